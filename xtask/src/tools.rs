// SPDX-License-Identifier: GPL-2.0-only
//! What a build and a boot need from the machine, and how it gets there.

use crate::paths::{Paths, TARGET};
use crate::ui;
use anyhow::{Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The emulator.
pub const QEMU: &str = "qemu-system-x86_64";

/// The cargo that started us, else the one in `PATH`.
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Looks a program up as the shell would.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// May we install, or only say what is missing?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Install {
    /// Install what is missing, after saying so.
    Allowed,
    /// Stop, and print the command that would install it.
    Forbidden,
}

/// Makes sure that the bare-metal target's `core` is installed.
pub fn need_target(paths: &Paths, install: Install) -> Result<()> {
    if rustlib(paths).is_some_and(|lib| lib.join(TARGET).join("lib").is_dir()) {
        return Ok(());
    }
    let command = format!("rustup target add {TARGET}");
    if install == Install::Forbidden {
        bail!("the Rust target {TARGET} is missing and --no-install is given; run `{command}`");
    }
    if which("rustup").is_none() {
        bail!(
            "the Rust target {TARGET} is missing and there is no rustup to add it; install Rust with rustup, or {TARGET} the way your Rust came"
        );
    }
    ui::say(&format!("the Rust target {TARGET} is missing: running `{command}`"));
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).current_dir(&paths.root);
    ui::run_step("adding the Rust target", &mut rustup, &format!("check the network, then run `{command}`"))
}

/// `lib/rustlib` of the toolchain in use.
pub fn rustlib(paths: &Paths) -> Option<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .current_dir(&paths.root)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    Some(Path::new(sysroot.trim()).join("lib/rustlib"))
}

/// A package manager, and how it brings the emulator.
#[derive(Debug, PartialEq, Eq)]
struct Manager {
    program: &'static str,
    /// Refreshes the lists of packages; run only if the first try fails.
    refresh: &'static [&'static str],
    install: &'static [&'static str],
}

const MANAGERS: [Manager; 5] = [
    Manager {
        program: "apt-get",
        refresh: &["update"],
        install: &["install", "-y", "--no-install-recommends", "qemu-system-x86"],
    },
    Manager { program: "dnf", refresh: &["makecache"], install: &["install", "-y", "qemu-system-x86-core"] },
    Manager {
        program: "pacman",
        refresh: &["-Sy", "--noconfirm"],
        install: &["-S", "--noconfirm", "--needed", "qemu-system-x86"],
    },
    Manager {
        program: "zypper",
        refresh: &["--non-interactive", "refresh"],
        install: &["--non-interactive", "install", "qemu-x86"],
    },
    Manager { program: "apk", refresh: &["update"], install: &["add", "qemu-system-x86_64"] },
];

impl Manager {
    fn shell(&self, words: &[&str]) -> String {
        let mut line = self.program.to_owned();
        for word in words {
            line.push(' ');
            line.push_str(word);
        }
        line
    }

    /// The commands for a person to type, who may be root (where there may be no sudo).
    fn advice(&self, root: bool) -> String {
        let sudo = if root { "" } else { "sudo " };
        format!("{sudo}{} && {sudo}{}", self.shell(self.refresh), self.shell(self.install))
    }
}

/// Makes sure that the emulator is installed.
pub fn need_qemu(install: Install) -> Result<()> {
    if which(QEMU).is_some() {
        return Ok(());
    }
    let Some(manager) = MANAGERS.iter().find(|manager| which(manager.program).is_some()) else {
        bail!(
            "{QEMU} is missing and no known package manager is here; install QEMU for x86_64 so that {QEMU} is in PATH"
        );
    };
    let advice = manager.advice(rustix::process::geteuid().is_root());
    if install == Install::Forbidden {
        bail!("{QEMU} is missing and --no-install is given; run `{advice}`");
    }
    let Some(prefix) = privilege() else {
        bail!(
            "{QEMU} is missing and installing it needs root (sudo would ask for a password); run `{advice}`"
        );
    };
    ui::say(&format!(
        "{QEMU} is missing: running `{}` through {}",
        manager.shell(manager.install),
        manager.program
    ));
    install_with(manager, prefix, &advice)?;
    if which(QEMU).is_none() {
        bail!(
            "{} ended well but {QEMU} is still not in PATH; install QEMU for x86_64 by hand",
            manager.program
        );
    }
    Ok(())
}

/// How to become root without being asked: nothing, `sudo -n`, or no way.
fn privilege() -> Option<&'static [&'static str]> {
    if rustix::process::geteuid().is_root() {
        return Some(&[]);
    }
    let sudo = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    sudo.is_ok_and(|status| status.success()).then_some(&["sudo", "-n"])
}

/// Installs; on a fresh machine the package lists come first.
fn install_with(manager: &Manager, prefix: &[&str], advice: &str) -> Result<()> {
    let command = |words: &[&str]| {
        let mut all: Vec<&str> = prefix.to_vec();
        all.push(manager.program);
        all.extend(words);
        let mut command = Command::new(all[0]);
        command.args(&all[1..]).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let next = format!("see above, then run `{advice}`");
    let step = ui::Step::start("installing QEMU");
    let mut quick = command(manager.install);
    let quick = quick.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if quick.is_ok_and(|status| status.success()) {
        step.done();
        return Ok(());
    }
    step.abandon();
    ui::run_step("refreshing the package lists", &mut command(manager.refresh), &next)?;
    ui::run_step("installing QEMU", &mut command(manager.install), &next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_and_only_programs() {
        assert!(which("sh").is_some());
        assert!(which("no-such-program-anywhere").is_none());
    }

    #[test]
    fn advice_can_be_typed() {
        assert_eq!(
            MANAGERS[0].advice(false),
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends qemu-system-x86"
        );
        assert!(MANAGERS[0].advice(true).starts_with("apt-get update && apt-get install"));
    }
}
