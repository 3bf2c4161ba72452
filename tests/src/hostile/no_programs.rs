// SPDX-License-Identifier: GPL-2.0-only
//! An `/init` that is missing, or is no ELF program, and what is tried instead.

use super::*;
use crate::hello;

pub(super) const CASES: &[Case] = &[
    case("empty_init", || hello::archive_with("").finish(), ENOEXEC),
    case("text_init", || hello::archive_with("just text\n").finish(), ENOEXEC),
    case("script_without_interpreter", || hello::archive_with("#!/no/such/thing\n").finish(), ENOENT),
    case(
        "directory_init",
        || {
            let mut archive = without_init();
            archive.dir("init");
            archive.finish()
        },
        EACCES,
    ),
    case(
        "not_executable",
        || {
            let mut archive = without_init();
            archive.file("init", 0o644, hello::program().bytes());
            archive.finish()
        },
        EACCES,
    ),
    Case {
        name: "rdinit_missing",
        append: "rdinit=/no/such",
        archive: || hello::archive().finish(),
        expect: NOTHING,
    },
    Case {
        name: "rdinit_elsewhere",
        append: "rdinit=/sbin/other",
        archive: || {
            let mut archive = without_init();
            archive.file("sbin/other", 0o755, hello::program().bytes());
            archive.finish()
        },
        expect: Expect::Hello,
    },
    Case {
        name: "init_missing_after_rdinit_fails",
        append: "init=/no/such",
        archive: || hello::archive_with("").finish(),
        expect: Expect::Says(&[
            "Failed to execute /init (error -8)",
            "Kernel panic - not syncing: Requested init /no/such failed (error -2).",
        ]),
    },
    case(
        "fallback_to_bin_sh",
        || {
            let mut archive = hello::archive_with("");
            archive.file("bin/sh", 0o755, hello::program().bytes());
            archive.finish()
        },
        Expect::Hello,
    ),
    case(
        "fallback_is_text_too",
        || {
            let mut archive = hello::archive_with("");
            archive.file("sbin/init", 0o755, "text");
            archive.finish()
        },
        Expect::Says(&[
            "Failed to execute /init (error -8)",
            "Starting init: /sbin/init exists but couldn't execute it (error -8)",
            NO_INIT,
        ]),
    ),
];
