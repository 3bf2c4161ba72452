// SPDX-License-Identifier: GPL-2.0-only
//! Archives, good and bad.

use super::*;
use crate::hello;
use xtask::initramfs::gzip;

fn noise() -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..4096).map(|_| next()).collect()
}

fn cut(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    bytes.truncate(length);
    bytes
}

pub(super) const CASES: &[Case] = &[
    // Archives that work.
    case("plain", || hello::archive().finish(), Expect::Hello),
    case("gzip", || gzip(&hello::archive().finish()), Expect::Hello),
    case("two_archives", || [without_init().finish(), hello::archive().finish()].concat(), Expect::Hello),
    case(
        "plain_then_gzip",
        || [without_init().finish(), gzip(&hello::archive().finish())].concat(),
        Expect::Hello,
    ),
    case("zeros_before", || [vec![0; 1024], hello::archive().finish()].concat(), Expect::Hello),
    case("noise_behind", || [hello::archive().finish(), noise()].concat(), Expect::Hello),
    // Archives that do not.
    case("empty_archive", || Archive::new().finish(), NOTHING),
    case("zeros", || vec![0; 4096], NOTHING),
    case(
        "noise",
        noise,
        Expect::Says(&["Initramfs unpacking failed: invalid magic at start of compressed archive", NO_ROOT]),
    ),
    case("missing_init", || without_init().finish(), NOTHING),
    case("cut_in_header", || cut(hello::archive().finish(), 50), NOTHING),
    case(
        "cut_in_data",
        || {
            let archive = hello::archive().finish();
            let code = archive.windows(4).position(|bytes| bytes == b"\x7fELF").unwrap_or(0);
            cut(archive, code + 100)
        },
        ETXTBSY,
    ),
    case(
        "bad_magic",
        || {
            let mut archive = without_init().finish();
            archive[..6].copy_from_slice(b"070703");
            archive
        },
        Expect::Says(&["Initramfs unpacking failed: no cpio magic", NO_ROOT]),
    ),
    case(
        "odc_archive",
        || {
            let mut archive = hello::archive().finish();
            archive[..6].copy_from_slice(b"070707");
            archive
        },
        Expect::Says(&[
            "Initramfs unpacking failed: incorrect cpio method used: use -H newc option",
            NO_ROOT,
        ]),
    ),
    case(
        "name_without_its_end",
        || {
            let mut archive = without_init().finish();
            let name = archive.windows(9).position(|bytes| bytes == b"etc/motd\0").unwrap_or(0);
            archive[name + 8] = b'X';
            archive
        },
        Expect::Says(&[
            "initramfs name without nulterm: etc/motdX",
            "Initramfs unpacking failed: malformed archive",
            NO_ROOT,
        ]),
    ),
    case(
        "huge_name",
        || {
            let mut archive = hello::archive().finish();
            archive[94..102].copy_from_slice(b"ffffffff");
            archive
        },
        NOTHING,
    ),
    case(
        "huge_file",
        || {
            let mut archive = hello::archive_with("").finish();
            let init = archive.windows(5).position(|bytes| bytes == b"init\0").unwrap_or(0) - 110;
            archive[init + 54..init + 62].copy_from_slice(b"fffffff0");
            archive
        },
        ETXTBSY,
    ),
    case(
        "gzip_cut",
        || {
            let archive = gzip(&hello::archive().finish());
            let half = archive.len() / 2;
            cut(archive, half)
        },
        Expect::Says(&["Initramfs unpacking failed: read error", NO_ROOT]),
    ),
    case(
        "gzip_damaged",
        || {
            let mut archive = gzip(&hello::archive().finish());
            let middle = archive.len() / 2;
            archive[middle..middle + 8].fill(0xff);
            archive
        },
        Expect::Says(&["Initramfs unpacking failed: uncompression error", NO_ROOT]),
    ),
    case(
        "gzip_header_only",
        || cut(gzip(&hello::archive().finish()), 10),
        Expect::Says(&["Initramfs unpacking failed: read error", NO_ROOT]),
    ),
];
