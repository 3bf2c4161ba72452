// SPDX-License-Identifier: GPL-2.0-only
//! Archives and programs that are wrong in one way each, and what Linux 6.1
//! says of them (each seen on Debian's 6.1.0-56 under the same emulator).

mod archives;
mod no_programs;
mod programs;

use xtask::initramfs::Archive;

/// What becomes of it.
#[derive(Debug, Clone, Copy)]
pub enum Expect {
    /// `/init` says its line.
    Hello,
    /// The kernel says these, in order, and stops.
    Says(&'static [&'static str]),
}

/// One wrong thing.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The test's name.
    pub name: &'static str,
    /// Words for the command line.
    pub append: &'static str,
    /// The initramfs.
    pub archive: fn() -> Vec<u8>,
    /// What must come of it.
    pub expect: Expect,
}

const fn case(name: &'static str, archive: fn() -> Vec<u8>, expect: Expect) -> Case {
    Case { name, append: "", archive, expect }
}

/// An archive with only an ordinary file in it.
fn without_init() -> Archive {
    let mut archive = Archive::new();
    archive.char_device("dev/console", 0o600, (5, 1)).file("etc/motd", 0o644, "hello\n");
    archive
}

/// No root file system: nothing to run was unpacked, and there is no disk.
const NO_ROOT: &str = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)";

/// Nothing that could be run could be run.
const NO_INIT: &str = "Kernel panic - not syncing: No working init found.  Try passing init= option to kernel. \
                       See Linux Documentation/admin-guide/init.rst for guidance.";

/// Nothing was unpacked, and nobody complained.
const NOTHING: Expect = Expect::Says(&[NO_ROOT]);

/// `/init` is there but is no program that could be run.
const ENOENT: Expect = Expect::Says(&["Failed to execute /init (error -2)", NO_INIT]);
const ENOEXEC: Expect = Expect::Says(&["Failed to execute /init (error -8)", NO_INIT]);
const ENOMEM: Expect = Expect::Says(&["Failed to execute /init (error -12)", NO_INIT]);
const EACCES: Expect = Expect::Says(&["Failed to execute /init (error -13)", NO_INIT]);
const EINVAL: Expect = Expect::Says(&["Failed to execute /init (error -22)", NO_INIT]);
/// The unpacker never came to the end of the file, and has it open still.
const ETXTBSY: Expect = Expect::Says(&["Failed to execute /init (error -26)", NO_INIT]);

/// `/init` was killed: SIGSEGV is 11, SIGBUS is 7.
const SEGV: Expect =
    Expect::Says(&["Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b"]);
const BUS: Expect =
    Expect::Says(&["Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000007"]);

/// All of them.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    archives::CASES.iter().chain(no_programs::CASES).chain(programs::CASES)
}
