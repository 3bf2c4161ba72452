// SPDX-License-Identifier: GPL-2.0-only
//! Where a machine was when its time was up. Asked before it is stopped, for a hang that does not come
//! again: whether QEMU ran at all (its threads), what the CPU did, and by which functions it had
//! come there.

use crate::nmi_storm::connect;
use crate::symbols::Symbols;
use anyhow::{Context, Result};
use qapi::qmp;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// How often the CPU is looked at, and how far apart.
const LOOKS: usize = 3;
const APART: Duration = Duration::from_millis(100);
/// QEMU answers soon, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Words of the stack that are looked through, and how many addresses of the kernel's are shown.
const STACK_WORDS: usize = 512;
const CALLERS: usize = 40;

/// What is to be seen of the machine of the process `pid`, whose QMP is at `monitor`.
pub fn look(pid: u32, monitor: &Path, kernel: Option<&Path>) -> String {
    let before = threads(pid);
    let symbols = kernel.and_then(|k| Symbols::read(k).ok()).unwrap_or_default();
    let mut said = String::from("--- where the machine was:\n");
    if let Err(why) = ask(monitor, &symbols, &mut said) {
        let _ = writeln!(said, "QEMU does not say: {why:#}");
    }
    for (name, state, ticks) in threads(pid) {
        let was = before.iter().find(|(n, ..)| *n == name).map_or(ticks, |b| b.2);
        let _ = writeln!(said, "QEMU's thread {name}: {state}, {} ms of CPU meanwhile", (ticks - was) * 10);
    }
    said
}

/// A process's threads: name, state, CPU time in ticks of 10 ms (`proc(5)`).
fn threads(pid: u32) -> Vec<(String, char, u64)> {
    let dir = std::fs::read_dir(format!("/proc/{pid}/task"));
    let stats = dir.into_iter().flatten().flatten().filter_map(|t| {
        let stat = std::fs::read_to_string(t.path().join("stat")).ok()?;
        let (id, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        let ticks = fields.skip(10).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        Some((id.replacen('(', "", 1), state, ticks))
    });
    stats.collect()
}

fn ask(monitor: &Path, symbols: &Symbols, said: &mut String) -> Result<()> {
    let mut control = connect(monitor, PATIENCE)?;
    let mut ask = |line: String| -> Result<String> {
        let command = qmp::human_monitor_command { cpu_index: None, command_line: line };
        control.execute(&command).context("QMP")
    };
    writeln!(said, "{}", ask("info status".into())?.trim())?;
    let mut stack_pointer = None;
    for n in 0..LOOKS {
        let registers = ask("info registers".into())?;
        let all = registers.lines().take_while(|l| !l.starts_with("FCW")).filter(|l| !l.trim().is_empty());
        for line in all.filter(|l| n == 0 || l.starts_with("RIP=")) {
            writeln!(said, "{}", line.trim_end())?;
        }
        let rip = field(&registers, "RIP=").context("no RIP")?;
        writeln!(
            said,
            "RIP is {}",
            symbols.label(rip).unwrap_or_else(|| "no address of the kernel's".into())
        )?;
        stack_pointer = field(&registers, "RSP=");
        std::thread::sleep(APART);
    }
    let lapic = ask("info lapic".into())?;
    let of_interest = ["LVTT", "Timer", "ISR", "IRR"];
    for line in lapic.lines().filter(|l| of_interest.iter().any(|w| l.starts_with(w))) {
        writeln!(said, "local APIC: {}", line.trim_end())?;
    }
    let rsp = stack_pointer.context("no RSP")?;
    let stack = ask(format!("x /{STACK_WORDS}gx {rsp:#x}"))?;
    writeln!(said, "on its stack: {}", callers(&stack, symbols).join(" "))?;
    Ok(())
}

/// A register, by `NAME=`.
fn field(registers: &str, name: &str) -> Option<u64> {
    let (_, rest) = registers.split_once(name)?;
    u64::from_str_radix(rest.get(..16)?, 16).ok()
}

/// The addresses of the kernel's code in a dump of memory.
fn callers(dump: &str, symbols: &Symbols) -> Vec<String> {
    let (start, end) = (symbols.at("_text").unwrap_or(0), symbols.at("_etext").unwrap_or(0));
    let words = dump.lines().filter_map(|l| Some(l.split_once(": ")?.1)).flat_map(str::split_whitespace);
    let words = words.filter_map(|w| u64::from_str_radix(w.strip_prefix("0x")?, 16).ok());
    let inside = words.filter(|w| (start..end).contains(w));
    inside.filter_map(|w| symbols.label(w)).take(CALLERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_and_own_threads_are_found() {
        let registers = "RAX=0000000000000014 RBX=0\nRIP=ffffffff802014f1 RFL=00000086 HLT=1";
        assert_eq!(field(registers, "RIP="), Some(0xffff_ffff_8020_14f1));
        assert_eq!(field(registers, "RSP="), None);
        let own = threads(std::process::id());
        assert!(own.iter().any(|(_, state, _)| *state == 'R'), "{own:?}");
        assert!(look(std::process::id(), Path::new("/nowhere"), None).contains("QEMU does not say"));
    }
}
