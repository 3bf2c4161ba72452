// SPDX-License-Identifier: GPL-2.0-only
//! `modes::…`: the whole set of user programs once more, on kernels that do the same in
//! another way. What programs see must not depend on it, but for what is stated here.

use libtest_mimic::{Completion, Failed, Trial};
use tests::console::{expect_in_order, expect_none};
use tests::machine::{self, boot_archive, boot_file, kernel, rootfs, tail};
use tests::{hello, x87_program};
use xtask::qemu::Machine;
use xtask::report::Report;
use xtask::run::CONSOLE;

/// A name, words for the kernel, and what it says of them.
const MODES: &[(&str, &str, &str)] = &[
    ("lazy_fpu", "eagerfpu=off", "x86/fpu: Using 'lazy' FPU context switches."),
    ("context_tracking", "context_tracking=on", "context_tracking: tracking user and kernel mode"),
    // Eighteen NMIs a second, and nobody finds them strange.
    ("nmi_watchdog", "nmi_watchdog=1", "NMI watchdog: Enabled."),
    ("noxsave", "noxsave", "x86/fpu: x87 FPU will use FXSAVE"),
];

/// The tests.
pub fn trials() -> Vec<Trial> {
    let mode = |&(name, words, line): &(&'static str, &'static str, &'static str)| {
        Trial::test(format!("modes::{name}"), move || whole_set(words, line))
    };
    let mut trials: Vec<_> = MODES.iter().map(mode).collect();
    trials.push(Trial::test("modes::cpu_without_xsave", cpu_without_xsave));
    trials.push(Trial::test("modes::unknown_syscalls", unknown_syscalls));
    trials.push(Trial::test("modes::no387", no387));
    trials.push(Trial::test("modes::nofxsr", nofxsr));
    trials.push(Trial::ignorable_test("modes::no387_c_program", no387_c_program));
    trials
}

/// `trapline.unknown_syscalls=1` names what is not there; the programs see the same.
fn unknown_syscalls() -> Result<(), Failed> {
    let outcome = boot_file(&rootfs()?, "loglevel=7 trapline.unknown_syscalls=1 -- unknown_calls")?;
    let line = |what: &str| format!("]: system call {what}");
    let ended = "/bin/unknown_calls: exit 0".to_owned();
    let lines = [
        line("156 is not there (_sysctl)"),
        line("174 is not there (create_module)"),
        line("423 is not there (no call of Linux's)"),
        line("4095 is not there (no call of Linux's)"),
        line("500 is not there (an i386 call)"),
        ended,
    ];
    expect_in_order(&outcome.console, &lines.each_ref().map(String::as_str))?;
    Ok(())
}

/// At least so many checks, none that failed, and a report without gaps.
pub fn judge(outcome: &xtask::qemu::Outcome, at_least: u64) -> Result<(), Failed> {
    let report = Report::parse(&outcome.report);
    let bad: Vec<String> =
        report.failures().map(|f| format!("{} {}: {}", f.program, f.mode, f.why)).collect();
    match report.done {
        Some((passed, 0)) if passed >= at_least && report.garbage == 0 => Ok(()),
        done => Err(format!("{done:?}\n{}\n{}", bad.join("\n"), tail(&outcome.console)).into()),
    }
}

fn whole_set(words: &str, line: &str) -> Result<(), Failed> {
    let outcome = boot_file(&rootfs()?, &format!("{words} -- --timeout 20"))?;
    expect_none(&outcome.console, &["WARNING:", "Oops", "BUG:", "Uhhuh", "LOCKUP"])?;
    expect_in_order(&outcome.console, &[line]).map_err(|why| format!("{why}\n{}", tail(&outcome.console)))?;
    judge(&outcome, 100)
}

/// Programs that use SSE.
const NEED_SSE: [&str; 7] = [
    "fpu_isolation",
    "frame_layout",
    "gp_movaps",
    "hostile_sigreturn",
    "preemption",
    "ptrace_regs",
    "sigreturn_regs",
];

/// Only these fail, of the whole set.
fn only_fail(words: &str, line: &str, expected: &[&str]) -> Result<(String, Report), Failed> {
    let outcome = boot_file(&rootfs()?, &format!("{words} -- --timeout 20"))?;
    expect_none(&outcome.console, &["WARNING:", "Oops", "BUG:"])?;
    expect_in_order(&outcome.console, &[line]).map_err(|why| format!("{why}\n{}", tail(&outcome.console)))?;
    let report = Report::parse(&outcome.report);
    let mut failed: Vec<&str> = report.failures().map(|f| f.program.as_str()).collect();
    failed.dedup();
    if failed != expected || report.done.is_none_or(|(passed, _)| passed < 150) {
        let done = report.done;
        return Err(format!("{done:?} {failed:?}\n{}", tail(&outcome.console)).into());
    }
    Ok((outcome.console, report))
}

/// Only the x87's registers are kept.
fn nofxsr() -> Result<(), Failed> {
    only_fail("nofxsr", "x86/fpu: x87 FPU will use FSAVE", &NEED_SSE)?;
    Ok(())
}

/// x87 instructions are emulated; an instruction that is not is fatal.
fn no387() -> Result<(), Failed> {
    let expected: Vec<&str> = NEED_SSE.into_iter().chain(["x87_sine"]).collect();
    let (console, report) = only_fail("no387", "x86/fpu: No FPU detected", &expected)?;
    for words in ["math_emulate: x87_sine[", ": no emulation of d9 fe"] {
        expect_in_order(&console, &[words]).map_err(|why| format!("{why}\n{}", tail(&console)))?;
    }
    let sine = report.failures().find(|f| f.program == "x87_sine").map(|f| f.got.as_str());
    if sine != Some("killed by SIGILL") {
        return Err(format!("x87_sine: {sine:?}").into());
    }
    Ok(())
}

/// A compiler's code calculates the same without an FPU as here with one.
fn no387_c_program() -> Result<Completion, Failed> {
    let Some(dir) = x87_program::pack()? else {
        return Ok(Completion::ignored_with("there is no compiler for x87 code here"));
    };
    let lines = x87_program::lines_here(&dir)?;
    let archive = hello::archive_with(std::fs::read(dir.path().join("init"))?).finish();
    let outcome = boot_archive(&archive, "no387")?;
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    expect_none(&outcome.console, &["WARNING:", "Oops", "BUG:", "math_emulate:"])?;
    expect_in_order(&outcome.console, &lines).map_err(|why| format!("{why}\n{}", tail(&outcome.console)))?;
    Ok(Completion::Completed)
}

/// A processor of the first 64-bit generation.
fn cpu_without_xsave() -> Result<(), Failed> {
    let append = format!("{CONSOLE} -- --only divide_error,fpu_isolation,sigreturn_regs,fork_cow");
    let mut machine = Machine::direct(&kernel()?, Some(&rootfs()?), &append);
    machine.cpu = "qemu64".into();
    judge(&machine::run(&machine)?, 5)
}
