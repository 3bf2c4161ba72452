// SPDX-License-Identifier: GPL-2.0-only
//! Booting for a test.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;
use xtask::build::Variant;
use xtask::paths::Paths;
use xtask::qemu::{self, Console, Machine, Outcome};
use xtask::run::CONSOLE;

/// No boot of a test takes longer, however busy the host is.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// The name of a variable that puts another kernel under test. The tests of
/// archives and programs hold on Linux 6.1 too, and this is how that is seen:
/// `TRAPLINE_TEST_KERNEL=/boot/vmlinuz-6.1… cargo test -p tests --test boot -- initramfs`.
pub const OTHER_KERNEL: &str = "TRAPLINE_TEST_KERNEL";

static PATHS: LazyLock<Result<Paths, String>> =
    LazyLock::new(|| Paths::find().map_err(|error| format!("{error:#}")));

fn paths() -> Result<&'static Paths, String> {
    PATHS.as_ref().map_err(Clone::clone)
}

/// The kernel under test.
pub fn kernel() -> Result<PathBuf, String> {
    match std::env::var_os(OTHER_KERNEL) {
        Some(kernel) => Ok(kernel.into()),
        None => paths()?.built_kernel().map_err(|error| format!("{error:#}")),
    }
}

/// A kernel that was built for tests only.
pub fn test_kernel(variant: Variant) -> Result<PathBuf, String> {
    paths()?.built_test_kernel(variant).map_err(|error| format!("{error:#}"))
}

/// The default initramfs.
pub fn rootfs() -> Result<PathBuf, String> {
    paths()?.built_rootfs().map_err(|error| format!("{error:#}"))
}

/// Boots an initramfs file with some words on the command line.
pub fn boot_file(initrd: &Path, append: &str) -> Result<Outcome, String> {
    let mut machine = Machine::direct(&kernel()?, Some(initrd), &format!("{CONSOLE} {append}"));
    if std::env::var_os(OTHER_KERNEL).is_some() {
        // What a distribution's kernel takes, and what it is unsure of under load.
        machine.memory = 512;
        machine.boot = match machine.boot {
            qemu::Boot::Direct { kernel, initrd, append } => {
                qemu::Boot::Direct { kernel, initrd, append: format!("no_timer_check {append}") }
            }
            disk @ qemu::Boot::Disk(_) => disk,
        };
    }
    run(&machine)
}

/// Boots an archive with some words on the command line.
pub fn boot_archive(archive: &[u8], append: &str) -> Result<Outcome, String> {
    let file =
        tempfile::NamedTempFile::new().map_err(|error| format!("cannot write a temporary file: {error}"))?;
    std::fs::write(file.path(), archive)
        .map_err(|error| format!("cannot write a temporary file: {error}"))?;
    boot_file(file.path(), append)
}

/// Boots a machine and gives back a run that came to its own end.
pub fn run(machine: &Machine) -> Result<Outcome, String> {
    ended(qemu::run(machine, Console::Captured, Some(TIMEOUT)).map_err(|error| format!("{error:#}"))?)
}

/// A run that ended by itself, or what stopped it and the end of its console.
pub fn ended(outcome: Outcome) -> Result<Outcome, String> {
    match outcome.trouble() {
        None => Ok(outcome),
        Some(trouble) => {
            let last = outcome.report.lines().next_back().unwrap_or("nothing");
            Err(format!("{trouble}\n{}\n--- the report's end:\n{last}", tail(&outcome.console)))
        }
    }
}

/// The last lines of a console.
pub fn tail(console: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<&str> = console.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    format!("--- the console's end:\n{}", lines[from..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_short() {
        let console = "line\n".repeat(100);
        assert_eq!(tail(&console).lines().count(), 41);
        assert!(tail("one").ends_with("one"));
    }
}
