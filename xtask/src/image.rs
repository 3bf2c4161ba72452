// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask image`: the same kernel on a disk that a BIOS boots. Nothing
//! else needs it.
//!
//! The `bootloader` crate loads a kernel and one ramdisk. The ramdisk is the
//! initramfs and, behind it, the command line: `#CMDLINE\n`, the words, `\n`,
//! the words' length as u32, and `TRAPCMD1`. The kernel takes these bytes off
//! again before it unpacks the archive.

use crate::build;
use crate::cli::ImageArgs;
use crate::paths::Paths;
use crate::qemu::{self, Boot, Console, Machine};
use crate::run::{CONSOLE, judge};
use crate::tools::{self, Install};
use crate::ui;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// What `bootloader` builds its stages with, and rustup does not install by
/// default: directory in `lib/rustlib` and component.
const COMPONENTS: [(&str, &str); 2] = [("src/rust/library/core", "rust-src"), (OBJCOPY, "llvm-tools")];

/// In `lib/rustlib`; `HOST` is the host's target.
const OBJCOPY: &str = "HOST/bin/llvm-objcopy";

/// Runs the command.
pub fn main(args: &ImageArgs) -> Result<ExitCode> {
    let paths = Paths::find()?;
    let install = args.install.install();
    for (file, component) in COMPONENTS {
        need_component(&paths, install, file, component)?;
    }
    if args.run {
        tools::need_qemu(install)?;
    }
    build::all(&paths, install)?;
    let line = [&[CONSOLE.to_owned()], args.append.as_slice()].concat().join(" ");
    let initramfs = std::fs::read(paths.built_rootfs()?).context("cannot read the initramfs")?;
    let output = args.output.clone().unwrap_or_else(|| paths.image());
    make(&paths, install, &initramfs, &line, &output)?;
    println!("{}", output.display());
    if !args.run {
        return Ok(ExitCode::SUCCESS);
    }
    let mut machine = machine(output);
    machine.memory = args.machine.memory;
    machine.cpu = args.machine.cpu_name();
    machine.extra.clone_from(&args.machine.qemu_arg);
    if args.machine.kvm {
        machine.accel = qemu::Accel::Kvm;
    }
    let outcome = qemu::run(&machine, Console::Terminal, Some(Duration::from_secs(args.timeout)))?;
    judge(&outcome, true)
}

/// The machine that boots a disk.
pub fn machine(disk: PathBuf) -> Machine {
    let mut machine = Machine::new(Boot::Disk(disk));
    // The boot loader's first stage draws on a screen.
    machine.extra = vec!["-vga".into(), "std".into()];
    machine
}

/// Puts the built kernel, an initramfs and a command line on a disk.
pub fn make(paths: &Paths, install: Install, initramfs: &[u8], line: &str, disk: &Path) -> Result<()> {
    let mut ramdisk = initramfs.to_vec();
    ramdisk.extend_from_slice(&trailer(line));
    let ramdisk_file = disk.with_extension("ramdisk");
    build::write_whole(&ramdisk_file, &ramdisk)?;
    let kernel = disk.with_extension("kernel");
    strip(paths, &kernel)?;
    let mut builder = builder(paths, install);
    builder.args(["--"]).arg(&kernel).arg(&ramdisk_file).arg(disk);
    ui::run_step("making the disk image", &mut builder, "the `bootloader` crate's words are above")
}

/// Why a disk cannot be made here at once: parts of the toolchain are missing, or the
/// `bootloader` crate was never built, which takes minutes.
pub fn not_ready(paths: &Paths) -> Option<String> {
    let there = |file: &str| in_rustlib(paths, file).is_some_and(|file| file.exists());
    match COMPONENTS.into_iter().find(|(file, _)| !there(file)) {
        Some((_, component)) => Some(format!("the Rust component {component} is not installed")),
        None if !paths.target.join("image/release/image").is_file() => {
            Some("`cargo xtask image` was never run here".into())
        }
        None => None,
    }
}

/// Makes sure that a component of the toolchain is installed.
fn need_component(paths: &Paths, install: Install, file: &str, component: &str) -> Result<()> {
    if in_rustlib(paths, file).is_some_and(|file| file.exists()) {
        return Ok(());
    }
    let command = format!("rustup component add {component}");
    if install == Install::Forbidden || tools::which("rustup").is_none() {
        bail!("the disk image needs the Rust component {component}, which is not installed; run `{command}`");
    }
    ui::say(&format!("the Rust component {component} is missing: running `{command}`"));
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add", component]).current_dir(&paths.root);
    ui::run_step("adding the component", &mut rustup, &format!("check the network, then run `{command}`"))
}

/// A file of the toolchain's.
fn in_rustlib(paths: &Paths, file: &str) -> Option<PathBuf> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    tools::rustlib(paths).map(|lib| lib.join(file.replace("HOST", &host)))
}

/// A copy of the kernel without debug information: a BIOS reads slowly.
fn strip(paths: &Paths, to: &Path) -> Result<()> {
    let objcopy = in_rustlib(paths, OBJCOPY).context("rustc does not say where its libraries are")?;
    let mut command = Command::new(objcopy);
    command.arg("--strip-debug").arg(paths.kernel()).arg(to);
    ui::run_step(
        "stripping the kernel",
        &mut command,
        "see above; `rustup component add llvm-tools` may help",
    )
}

/// The project in `xtask/image`, which is no member of the workspace.
fn builder(paths: &Paths, install: Install) -> Command {
    let mut command = Command::new(tools::cargo());
    command.current_dir(paths.root.join("xtask/image"));
    command.args(["run", "--release", "--locked", "--target-dir"]).arg(paths.target.join("image"));
    if install == Install::Forbidden {
        command.arg("--offline");
    }
    // The stages use unstable features; they are built only here.
    command.env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

/// The bytes that carry the command line.
fn trailer(line: &str) -> Vec<u8> {
    let mut bytes = b"#CMDLINE\n".to_vec();
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(&(line.len() as u32).to_le_bytes());
    bytes.extend_from_slice(b"TRAPCMD1");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trailer_is_read_from_its_end() {
        let bytes = trailer("a=1 b");
        assert_eq!(bytes, b"#CMDLINE\na=1 b\n\x05\0\0\0TRAPCMD1");
    }
}
