// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask explain nmi`: the sixth document's stack, read from the running kernel at each stage
//! of an NMI that is interrupted by another one.

use super::PATIENCE;
use super::picture::{Picture, Stage, Word};
use crate::gdbstub::Debugged;
use crate::qemu::Machine;
use crate::run::CONSOLE;
use crate::symbols::Symbols;
use anyhow::Result;
use std::path::Path;
use std::time::Duration;

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

/// Boots, and looks.
pub fn picture(kernel: &Path, rootfs: &Path) -> Result<Picture> {
    let symbols = Symbols::read(kernel)?;
    let append = format!("{CONSOLE} quiet trapline.nmi=iret -- nmi_paths");
    let mut machine = Debugged::start(&Machine::direct(kernel, Some(rootfs), &append))?;
    let stages = nested_nmi(&mut machine, &symbols)?;
    Ok(Picture { title: "A nested NMI, stage by stage".into(), stages, ..Picture::default() })
}

/// An NMI in a system call, and another one behind a breakpoint of the first one's handler.
fn nested_nmi(d: &mut Debugged, symbols: &Symbols) -> Result<Vec<Stage>> {
    d.run_until_said("nmi_paths: running", Duration::from_secs(60))?;
    d.run_to(symbols.at("trapline::arch::x86::entry::common::do_syscall_64")?, PATIENCE)?;
    d.inject_nmi()?;
    let top = d.run_to(symbols.at("asm_nmi")?, PATIENCE)?.rsp() + 40;
    let first = "An NMI in the kernel: the CPU has pushed its five words.";
    let mut stages = vec![stage(d, symbols, top, ("asm_nmi", first))?];
    let mut go = |d: &mut Debugged, label: &'static str, text: &'static str| -> Result<()> {
        d.run_to(symbols.at(label)?, PATIENCE)?;
        stages.push(stage(d, symbols, top, (label, text))?);
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
    Ok(stages)
}

fn stage(d: &mut Debugged, symbols: &Symbols, top: u64, (label, text): (&str, &str)) -> Result<Stage> {
    let rsp = d.registers()?.rsp();
    let values = d.words(top - 8 * WORDS.len() as u64, WORDS.len())?;
    let word = |(i, (name, value)): (usize, (&&str, u64))| {
        let leads_to = if name.ends_with("RIP") { symbols.label(value) } else { None };
        Word { at: top - 8 * (i as u64 + 1), name: (*name).into(), value, leads_to }
    };
    let words = WORDS.iter().zip(values.into_iter().rev()).enumerate().map(word).collect();
    Ok(Stage { label: label.into(), text: text.into(), rsp, words, ..Stage::default() })
}
