// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask explain nmi`: the sixth document's stack, read from the running kernel at each stage
//! of an NMI that is interrupted by another one.

use crate::build;
use crate::cli::{ExplainArgs, Explained};
use crate::gdbstub::Debugged;
use crate::paths::Paths;
use crate::qemu::Machine;
use crate::run::CONSOLE;
use crate::symbols::Symbols;
use crate::tools;
use crate::ui;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::time::Duration;

/// How long the machine may take from one stage to the next.
const PATIENCE: Duration = Duration::from_secs(20);

/// The words from the top of the NMI stack down: the document's names.
const WORDS: [&str; 17] = [
    "original SS",
    "original Return RSP",
    "original RFLAGS",
    "original CS",
    "original RIP",
    "temp storage for rdx",
    "NMI executing variable",
    "copied SS",
    "copied Return RSP",
    "copied RFLAGS",
    "copied CS",
    "copied RIP",
    "Saved SS",
    "Saved Return RSP",
    "Saved RFLAGS",
    "Saved CS",
    "Saved RIP",
];

/// One moment: what happens there, and the stack.
struct Stage {
    label: &'static str,
    text: &'static str,
    rsp: u64,
    words: [u64; 17],
}

/// Runs the command.
pub fn main(args: &ExplainArgs) -> Result<()> {
    let Explained::Nmi = args.what;
    let paths = Paths::find()?;
    let install = args.install.install();
    tools::need_qemu(install)?;
    build::kernel(&paths, install)?;
    build::write_whole(&paths.rootfs(), &build::default_rootfs(&paths, install)?.finish())?;
    let symbols = Symbols::read(&paths.kernel())?;
    let append = format!("{CONSOLE} quiet trapline.nmi=iret -- nmi_paths");
    let mut machine = Debugged::start(&Machine::direct(&paths.kernel(), Some(&paths.rootfs()), &append))?;
    ui::say("booting, up to a system call that two NMIs will interrupt");
    let (top, stages) = nested_nmi(&mut machine, &symbols)?;
    print!("{}", as_text(top, &stages, &symbols));
    if let Some(file) = &args.html {
        std::fs::write(file, as_html(top, &stages, &symbols))
            .with_context(|| format!("cannot write {}", file.display()))?;
        ui::say(&format!("the same as a page: {}", file.display()));
    }
    Ok(())
}

/// An NMI in a system call, and another one behind a breakpoint of the first one's handler.
fn nested_nmi(d: &mut Debugged, symbols: &Symbols) -> Result<(u64, Vec<Stage>)> {
    d.run_until_said("nmi_paths: running", Duration::from_secs(60))?;
    d.run_to(symbols.at("trapline::arch::x86::entry::common::do_syscall_64")?, PATIENCE)?;
    d.inject_nmi()?;
    let top = d.run_to(symbols.at("asm_nmi")?, PATIENCE)?.rsp() + 40;
    let mut stages =
        vec![stage(d, top, "asm_nmi", "An NMI in the kernel: the CPU has pushed its five words.")?];
    let mut go = |d: &mut Debugged, label: &'static str, text: &'static str| -> Result<()> {
        d.run_to(symbols.at(label)?, PATIENCE)?;
        stages.push(stage(d, top, label, text)?);
        Ok(())
    };
    go(d, "first_nmi", "Not nested: neither RIP, nor the variable, nor RSP says so.")?;
    go(d, "repeat_nmi", "The frame is saved. From here on an iret may lead back to this place.")?;
    go(d, "end_repeat_nmi", "And copied: the copy is what the iret will take.")?;
    go(d, "nmi_test_unblocked", "In the handler, behind a breakpoint: its iret lets NMIs in again.")?;
    d.inject_nmi()?;
    go(d, "asm_nmi", "A second NMI: the CPU has overwritten the original frame.")?;
    go(d, "nested_nmi", "The variable is 1: this one is nested.")?;
    go(d, "nested_nmi_out", "The copied frame now leads to repeat_nmi; that is all that a nested NMI does.")?;
    go(d, "nmi_test_unblocked", "Back in the first one's handler.")?;
    go(d, "nmi_iret", "The first is done, the variable is 0: the iret takes the copied frame.")?;
    go(
        d,
        "repeat_nmi",
        "Not back, but once more, for the second; the copied frame comes from the saved one.",
    )?;
    go(d, "end_repeat_nmi", "Everything as for the first.")?;
    go(d, "nmi_test_unblocked", "The second one's handling, behind its breakpoint.")?;
    go(d, "nmi_iret", "And now the iret leads back to where the first NMI struck.")?;
    Ok((top, stages))
}

fn stage(d: &mut Debugged, top: u64, label: &'static str, text: &'static str) -> Result<Stage> {
    let rsp = d.registers()?.rsp();
    let bytes = d.read(top - 8 * WORDS.len() as u64, 8 * WORDS.len())?;
    let mut words = [0; WORDS.len()];
    for (word, piece) in words.iter_mut().rev().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(piece.try_into().unwrap_or_default());
    }
    Ok(Stage { label, text, rsp, words })
}

/// A value, and where it points to in the kernel.
fn shown(value: u64, name: &str, symbols: &Symbols) -> String {
    let label = if name.ends_with("RIP") { symbols.label(value) } else { None };
    label.map_or_else(|| format!("{value:#018x}"), |label| format!("{value:#018x}  {label}"))
}

fn as_text(top: u64, stages: &[Stage], symbols: &Symbols) -> String {
    let mut out = String::new();
    let mut before: Option<&Stage> = None;
    for (n, s) in stages.iter().enumerate() {
        let _ = writeln!(out, "\n{}. {}\n   {}", n + 1, s.label, s.text);
        for (i, (name, value)) in WORDS.iter().zip(s.words).enumerate() {
            let at = top - 8 * (i as u64 + 1);
            let new = before.is_some_and(|b| b.words[i] != value);
            let (mark, arrow) = (if new { '*' } else { ' ' }, if at == s.rsp { "  <- RSP" } else { "" });
            let _ = writeln!(out, "   {at:#x} {mark} | {name:<23}| {}{arrow}", shown(value, name, symbols));
        }
        before = Some(s);
    }
    out.push_str("\n   * has changed since the stage before\n");
    out
}

fn as_html(top: u64, stages: &[Stage], symbols: &Symbols) -> String {
    let escape = |s: &str| s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut out = String::from(
        "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>A nested NMI</title><style>\
         body{font:15px sans-serif;max-width:60em;margin:2em auto}table{border-collapse:collapse;\
         font:13px monospace}td{border:1px solid #999;padding:2px 8px}.new{background:#fd8}\
         .sp{border-bottom:3px solid #c00}</style><h1>A nested NMI, stage by stage</h1>\
         <p>Read from the running kernel. Yellow: changed since the stage before. Red: RSP.</p>",
    );
    let mut before: Option<&Stage> = None;
    for (n, s) in stages.iter().enumerate() {
        let _ = write!(out, "<h2>{}. {}</h2><p>{}</p><table>", n + 1, s.label, escape(s.text));
        for (i, (name, value)) in WORDS.iter().zip(s.words).enumerate() {
            let at = top - 8 * (i as u64 + 1);
            let new = if before.is_some_and(|b| b.words[i] != value) { "new" } else { "" };
            let sp = if at == s.rsp { "sp" } else { "" };
            let value = escape(&shown(value, name, symbols));
            let _ = write!(
                out,
                "<tr class='{sp}'><td>{at:#x}</td><td>{name}</td><td class='{new}'>{value}</td></tr>"
            );
        }
        out.push_str("</table>");
        before = Some(s);
    }
    out + "</html>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_shown() {
        let words = core::array::from_fn(|i| i as u64);
        let s = [
            Stage { label: "a", text: "x < y", rsp: 0x1000 - 40, words: [0; 17] },
            Stage { label: "b", text: "z", rsp: 0x1000 - 48, words },
        ];
        let text = as_text(0x1000, &s, &Symbols::default());
        assert!(text.contains("0xfd8   | original RIP           | 0x0000000000000000  <- RSP"), "{text}");
        assert!(text.contains("0xfd0 * | temp storage for rdx   | 0x0000000000000005  <- RSP"), "{text}");
        let page = as_html(0x1000, &s, &Symbols::default());
        assert!(page.contains("x &lt; y") && page.matches("<tr").count() == 34);
    }
}
