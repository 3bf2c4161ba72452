// SPDX-License-Identifier: GPL-2.0-only
//! `machine_check::…`: QEMU's monitor breaks the hardware, in a bank and with a status that say
//! how badly. There is no record of Linux to compare with: Debian's kernel is built without
//! `CONFIG_X86_MCE`. The words are those of `arch/x86/kernel/cpu/mce/` of Linux 6.1.

use libtest_mimic::{Failed, Trial};
use tests::console::expect_in_order;
use tests::machine::{kernel, rootfs, tail};
use tests::monitor::run_with_command;
use xtask::qemu::{Machine, Outcome};
use xtask::run::CONSOLE;

/// A damaged processor: valid, uncorrected, enabled, with MISC and ADDR, context corrupt.
const FATAL: &str = "mce 0 3 0xbe00000000000151 0x5 0x1234000 0x8c";
/// A load of data that memory could not deliver, to the instruction at RIP, which wants it.
const DATA_LOAD: &str = "mce 0 1 0xbd80000000000134 0x7 0x1234000 0x8c";

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("machine_check::fatal", fatal),
        Trial::test("machine_check::data_load_of_a_program", data_load),
        Trial::test("machine_check::disabled", disabled),
    ]
}

fn boot(words: &str, command: &str) -> Result<Outcome, String> {
    let line = format!("{CONSOLE} quiet trapline.records=debugcon {words} -- machine_check");
    run_with_command(Machine::direct(&kernel()?, Some(&rootfs()?), &line), "machine_check", command)
}

fn says(outcome: &Outcome, lines: &[&str]) -> Result<(), Failed> {
    expect_in_order(&outcome.console, lines)
        .map_err(|why| format!("{why}\n{}", tail(&outcome.console)).into())
}

fn fatal() -> Result<(), Failed> {
    let outcome = boot("", FATAL)?;
    says(
        &outcome,
        &[
            "mce: [Hardware Error]: CPU 0: Machine Check Exception: 5 Bank 3: be00000000000151",
            "mce: [Hardware Error]: RIP !INEXACT! ",
            " ADDR 1234000 MISC 8c ",
            "mce: [Hardware Error]: PROCESSOR ",
            "mce: [Hardware Error]: Machine check: Processor context corrupt",
            "Kernel panic - not syncing: Fatal local machine check",
        ],
    )
}

/// The program's alone: it gets `SIGBUS`, and the machine goes on.
fn data_load() -> Result<(), Failed> {
    says(
        &boot("loglevel=7", DATA_LOAD)?,
        &[
            "mce: Uncorrected hardware memory error in user-access at 1234000",
            "mce: Memory error not recovered",
            "machine_check: killed by SIGBUS",
            "machine_check: the machine is still there",
        ],
    )
}

/// With the exception disabled the CPU shuts down: no words, and no going on.
fn disabled() -> Result<(), Failed> {
    for words in ["mce=off", "nomce"] {
        let outcome = boot(words, FATAL)?;
        if outcome.console.contains("Hardware Error") || outcome.console.contains("still there") {
            return Err(format!("{words}: the machine went on\n{}", tail(&outcome.console)).into());
        }
    }
    Ok(())
}
