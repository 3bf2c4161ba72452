// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask run --shell`: a machine to live in. Debian's `ash` and its friends, the test
//! programs in `/tests`, and the terminal one is sitting at as the machine's own: its size goes
//! to the guest when it starts and whenever it changes, and every key but Ctrl-] does.

use crate::build;
use crate::cli::RunArgs;
use crate::debian;
use crate::initramfs::Archive;
use crate::linux;
use crate::paths::Paths;
use crate::qemu::{self, Accel, Machine};
use crate::run::{self, CONSOLE};
use crate::tools::{self, Install};
use crate::ui;
use anyhow::{Context, Result};
use signal_hook::consts::SIGWINCH;
use signal_hook::iterator::Signals;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Debian's package with `ash` and its friends in one static program.
const BUSYBOX: &str = "busybox-static";
/// A distribution's kernel takes more memory than ours.
const LINUX_MEMORY: u32 = 512;

/// Runs the command.
pub fn main(args: &RunArgs) -> Result<ExitCode> {
    let paths = Paths::find()?;
    let install = args.install.install();
    tools::need_qemu(install)?;
    let kernel = kernel(args, &paths, install)?;
    let dir = tempfile::tempdir().context("cannot make a temporary directory; is the disk full?")?;
    let initrd = dir.path().join("shell.cpio");
    build::write_whole(&initrd, &archive(&paths, install)?.finish())?;
    let size = terminal_size();
    let append = command_line(size, std::env::var("TERM").ok().as_deref(), &args.append.join(" "));
    let mut machine = Machine::direct(&kernel, Some(&initrd), &append);
    machine.cpu = args.machine.cpu_name();
    machine.accel = if args.machine.kvm { Accel::Kvm } else { Accel::Tcg };
    machine.memory =
        if args.linux.is_some() { args.machine.memory.max(LINUX_MEMORY) } else { args.machine.memory };
    machine.extra.clone_from(&args.machine.qemu_arg);
    ui::say("Ctrl-] X leaves, Ctrl-] Ctrl-] is a Ctrl-]; so do `poweroff` and the end of the shell");
    let timeout = args.timeout.filter(|&s| s != 0).map(Duration::from_secs);
    let link = dir.path().join("link");
    let mut resized = Signals::new([SIGWINCH]).context("cannot watch the terminal's size")?;
    let handle = resized.handle();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| follow_size(&mut resized, &link));
        let outcome = qemu::run_shell(&machine, &link, timeout);
        handle.close();
        outcome
    })?;
    run::judge(&outcome, false)
}

fn kernel(args: &RunArgs, paths: &Paths, install: Install) -> Result<PathBuf> {
    match &args.linux {
        Some(named) => linux::kernel(paths, named.as_deref()),
        None => build::kernel(paths, install).map(|()| paths.kernel()),
    }
}

/// What the machine boots from.
pub fn archive(paths: &Paths, install: Install) -> Result<Archive> {
    let mut archive = with_busybox(paths)?;
    archive.file("init", 0o755, include_str!("../../user/shell/init"));
    archive.file("etc/profile", 0o644, include_str!("../../user/shell/profile"));
    for (name, host) in build::user_programs(paths, install)?.iter().filter(|(name, _)| *name != "init") {
        archive.program(&format!("tests/{name}"), host)?;
    }
    Ok(archive)
}

/// The directories that any `/init` mounts things on, and Debian's busybox.
pub fn with_busybox(paths: &Paths) -> Result<Archive> {
    let mut archive = Archive::new();
    for dir in ["bin", "dev", "proc", "root", "sys", "tmp"] {
        archive.dir(dir);
    }
    archive.char_device("dev/console", 0o600, (5, 1));
    archive.file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n");
    archive.file("etc/group", 0o644, "root:x:0:\ntty:x:5:\n");
    archive.program("bin/busybox", &busybox(paths)?)?;
    Ok(archive)
}

/// Debian's static busybox: the one that was fetched before, or a fresh one.
pub fn busybox(paths: &Paths) -> Result<PathBuf> {
    let dir = paths.out().join("busybox");
    // Where it is depends on the release.
    let find = |dir: &Path| {
        ["bin/busybox", "usr/bin/busybox"].map(|f| dir.join(f)).into_iter().find(|f| f.is_file())
    };
    let fetch = |fresh: &Path| debian::unpack(fresh, BUSYBOX, "bring an initramfs of your own with --rootfs");
    debian::once(&dir, find, fetch)?
        .with_context(|| format!("the package has no busybox; look into {}", dir.display()))
}

/// Rows and columns of the terminal, if it is one and knows.
fn terminal_size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(std::io::stdin()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// The size and kind of the terminal are words that a kernel does not know: they become
/// variables of `/init`'s environment.
fn command_line(size: Option<(u16, u16)>, term: Option<&str>, appended: &str) -> String {
    // What is not a plain word would not reach it as it is.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
    let term = term.filter(|t| !t.is_empty() && t.len() < 40 && t.chars().all(plain));
    let words = [
        Some(format!("{CONSOLE} no_timer_check quiet")),
        size.map(|(rows, columns)| format!("ROWS={rows} COLUMNS={columns}")),
        term.map(|term| format!("TERM={term}")),
        Some(appended.to_owned()).filter(|words| !words.is_empty()),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Tells the guest each new size, as a line `ROWS COLUMNS` on its second port.
fn follow_size(resized: &mut Signals, link: &Path) {
    let mut port: Option<UnixStream> = None;
    for _ in resized.forever() {
        if port.is_none() {
            port = UnixStream::connect(link).ok();
        }
        if let (Some(port), Some((rows, columns))) = (&mut port, terminal_size()) {
            // A guest that does not listen keeps the size it has.
            let _ = port.write_all(format!("{rows} {columns}\n").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_terminals_are_words() {
        let line = command_line(Some((40, 132)), Some("xterm-256color"), "debug");
        assert_eq!(
            line,
            "console=ttyS0 panic=-1 no_timer_check quiet ROWS=40 COLUMNS=132 TERM=xterm-256color debug"
        );
        assert_eq!(command_line(None, Some("a b"), ""), "console=ttyS0 panic=-1 no_timer_check quiet");
        assert_eq!(command_line(None, None, "x"), "console=ttyS0 panic=-1 no_timer_check quiet x");
    }
}
