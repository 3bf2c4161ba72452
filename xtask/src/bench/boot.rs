// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask bench boot`: how long a boot takes, in guest instructions and
//! in seconds of the whole QEMU process.

use super::{CPU, grouped};
use crate::build;
use crate::cli::BenchArgs;
use crate::elf_writer::{Elf, POWER_OFF};
use crate::initramfs::Archive;
use crate::paths::Paths;
use crate::qemu::{self, Accel, Console, Machine, Outcome};
use crate::run::CONSOLE;
use crate::tools;
use crate::ui::Step;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const RUNS: usize = 5;
const TIMEOUT: Duration = Duration::from_secs(300);
/// What `/init` writes before the number.
const MARK: &str = " at tsc=";

/// Runs the command.
pub fn main(args: &BenchArgs) -> Result<ExitCode> {
    let paths = Paths::find()?;
    let install = args.install.install();
    tools::need_qemu(install)?;
    let dir = tempfile::tempdir().context("cannot make a temporary directory; is the disk full?")?;
    let tiny = dir.path().join("tiny.cpio");
    build::write_whole(&tiny, &tiny_initramfs())?;
    let kernel = if let Some(kernel) = &args.kernel {
        kernel.clone()
    } else {
        build::kernel(&paths, install)?;
        paths.kernel()
    };
    println!("{}", kernel.display());
    println!(
        "{:>14}  guest instructions from reset to the first of /init (quiet)",
        counted(&kernel, &tiny, &args.append)?
    );
    timed(&kernel, &tiny, &args.append, "a tiny /init")?;
    if args.kernel.is_none() {
        let rootfs = paths.rootfs();
        build::write_whole(&rootfs, &build::default_rootfs(&paths, install)?.finish())?;
        timed(&kernel, &rootfs, &format!("{} -- --exit", args.append), "the default rootfs, /init --exit")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Boots once with the counting clock; the number with thousands set apart.
fn counted(kernel: &Path, initrd: &Path, append: &str) -> Result<String> {
    let mut machine = Machine::direct(kernel, Some(initrd), &format!("{CONSOLE} quiet {append}"));
    machine.accel = Accel::CountedTcg;
    machine.cpu = CPU.into();
    let step = Step::start("counting a boot's instructions");
    let outcome = boot_once(&machine)?;
    step.done();
    let Some(count) = stamp(&outcome.console) else {
        bail!("/init ran but its line was not found on the console; is console=ttyS0 the console?");
    };
    Ok(grouped(count))
}

/// Boots several times with the plain translator, and prints the median.
fn timed(kernel: &Path, initrd: &Path, append: &str, what: &str) -> Result<()> {
    let machine = Machine::direct(kernel, Some(initrd), &format!("{CONSOLE} {append}"));
    let step = Step::start(&format!("timing {RUNS} boots of {what}"));
    let mut walls = Vec::new();
    for _ in 0..RUNS {
        walls.push(boot_once(&machine)?.wall.as_secs_f64());
    }
    step.done();
    walls.sort_by(f64::total_cmp);
    println!(
        "{:>14.3}  s, the whole QEMU process, {what} (median of {RUNS}; {:.3} to {:.3})",
        walls[RUNS / 2],
        walls[0],
        walls[RUNS - 1]
    );
    Ok(())
}

fn boot_once(machine: &Machine) -> Result<Outcome> {
    let outcome = qemu::run(machine, Console::Captured, Some(TIMEOUT))?;
    if let Some(panic) = outcome.panic_line() {
        bail!("the machine stopped with `{panic}`; `cargo xtask run` shows the whole console");
    }
    if let Some(trouble) = outcome.trouble() {
        bail!("{trouble}");
    }
    Ok(outcome)
}

/// The number in `/init`'s line.
fn stamp(console: &str) -> Option<u64> {
    let at = console.rfind(MARK)? + MARK.len();
    let digits: String = console[at..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// An initramfs whose `/init` is [`stamp_program`] and nothing more.
fn tiny_initramfs() -> Vec<u8> {
    let mut archive = Archive::new();
    archive.char_device("dev/console", 0o600, (5, 1)).file("init", 0o755, stamp_program());
    archive.finish()
}

/// A static ELF program of one page that reads the time-stamp counter with its
/// first instruction, writes it in decimal, and switches the machine off.
fn stamp_program() -> Vec<u8> {
    #[rustfmt::skip]
    const CODE: [u8; 78] = [
        0x0f, 0x31,                                                 // rdtsc
        0x48, 0xc1, 0xe2, 0x20,                                     // shl  rdx, 32
        0x48, 0x09, 0xd0,                                           // or   rax, rdx
        0x48, 0x83, 0xec, 0x40,                                     // sub  rsp, 64
        0x48, 0x8d, 0x74, 0x24, 0x28,                               // lea  rsi, [rsp+40]
        0xc6, 0x06, 0x0a,                                           // mov  byte ptr [rsi], '\n'
        0xb9, 0x0a, 0x00, 0x00, 0x00,                               // mov  ecx, 10
        0x31, 0xd2,                                                 // 1: xor edx, edx
        0x48, 0xf7, 0xf1,                                           // div  rcx
        0x80, 0xc2, 0x30,                                           // add  dl, '0'
        0x48, 0xff, 0xce,                                           // dec  rsi
        0x88, 0x16,                                                 // mov  [rsi], dl
        0x48, 0x85, 0xc0,                                           // test rax, rax
        0x75, 0xee,                                                 // jnz  1b
        0x48, 0x83, 0xee, 0x08,                                     // sub  rsi, 8
        0x48, 0xb8, b' ', b'a', b't', b' ', b't', b's', b'c', b'=', // mov  rax, " at tsc="
        0x48, 0x89, 0x06,                                           // mov  [rsi], rax
        0x48, 0x8d, 0x54, 0x24, 0x29,                               // lea  rdx, [rsp+41]
        0x48, 0x29, 0xf2,                                           // sub  rdx, rsi
        0xbf, 0x01, 0x00, 0x00, 0x00,                               // mov  edi, 1
        0x89, 0xf8,                                                 // mov  eax, edi
        0x0f, 0x05,                                                 // syscall: write
    ];
    Elf::program(&[&CODE[..], &POWER_OFF].concat()).bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found() {
        assert_eq!(stamp("[ 0.1] Run /init\r\n at tsc=1234567\r\n"), Some(1_234_567));
        assert_eq!(stamp("nothing"), None);
    }

    #[test]
    fn the_tiny_program_is_a_static_elf() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tiny");
        std::fs::write(&file, stamp_program()).unwrap();
        crate::elf::check_static(&file).unwrap();
    }
}
