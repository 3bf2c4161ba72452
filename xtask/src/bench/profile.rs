// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask bench profile ROW`: which functions the instructions of one row are in, by stepping
//! through it.
//!
//! The measuring program calls `trapline_bench_mark` before and behind the operation; between the two
//! the machine is stepped through QEMU's gdb stub, and each instruction is counted where it is. With
//! `--listing` the instructions themselves are printed, in the order in which they ran.

use super::{grouped, machine, prepare, table};
use crate::build;
use crate::cli::ProfileArgs;
use crate::gdbstub::Debugged;
use crate::paths::Paths;
use crate::symbols::Symbols;
use crate::ui::Step;
use anyhow::{Context, Result, bail};
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use object::{Object, ObjectSymbol};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// More steps than any row has.
const MOST: usize = 2_000_000;

/// Runs the command.
pub fn main(args: &ProfileArgs) -> Result<ExitCode> {
    let paths = Paths::find()?;
    prepare(&paths, args.install.install())?;
    let symbols = Symbols::read(&paths.kernel())?;
    let programs = build::user_programs(&paths, args.install.install())?;
    let mark = mark(programs.get("bench_rows").context("there is no program bench_rows")?)?;
    let words = format!("--mark +{}", args.row);
    let mut d = Debugged::start(&machine(&paths.kernel(), &paths.rootfs(), "bench_rows", &words))?;
    let step = Step::start(&format!("stepping through {}", args.row));
    d.run_to(mark, Duration::from_secs(60))
        .with_context(|| format!("{} is not measured: no such row, or one without a mark", args.row))?;
    let ran = ran(&mut d, mark)?;
    step.done();
    if args.listing {
        list(&mut d, &ran, &symbols)?;
    }
    let counts = count(&ran, &symbols);
    println!("{}", table(&["instructions", "function"], 0..1, lines(&counts)));
    Ok(ExitCode::SUCCESS)
}

/// The mark's address in the program, which is where it was linked to be.
fn mark(file: &Path) -> Result<u64> {
    let data = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let elf = object::File::parse(&*data).context("the measuring program is no ELF file")?;
    let mark = elf.symbols().find(|s| s.name() == Ok("trapline_bench_mark"));
    Ok(mark.context("the measuring program has no mark")?.address())
}

/// Steps from one mark to the next; returns where each instruction was.
fn ran(d: &mut Debugged, mark: u64) -> Result<Vec<u64>> {
    let mut ran = Vec::new();
    while ran.len() < MOST {
        let rip = d.step()?.rip;
        if rip == mark {
            return Ok(ran);
        }
        ran.push(rip);
    }
    bail!("no end after {MOST} instructions")
}

/// How many instructions were in which function.
fn count(ran: &[u64], symbols: &Symbols) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for rip in ran {
        *counts.entry(place(*rip, symbols)).or_default() += 1;
    }
    counts
}

fn place(rip: u64, symbols: &Symbols) -> String {
    symbols.function(rip).unwrap_or_else(|| "(user mode)".into())
}

/// Prints what ran, with a heading where it comes into another function.
fn list(d: &mut Debugged, ran: &[u64], symbols: &Symbols) -> Result<()> {
    let mut last = String::new();
    let mut formatter = IntelFormatter::new();
    for rip in ran {
        let function = place(*rip, symbols);
        if function != last {
            println!("{function}:");
            last = function;
        }
        let code = d.read(*rip, 15)?;
        let mut text = String::new();
        formatter.format(&Decoder::with_ip(64, &code, *rip, DecoderOptions::NONE).decode(), &mut text);
        println!("    {rip:x}  {text}");
    }
    Ok(())
}

fn lines(counts: &BTreeMap<String, u64>) -> impl Iterator<Item = Vec<String>> {
    let mut rows: Vec<(&str, u64)> = counts.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    rows.push(("all", counts.values().sum()));
    rows.into_iter().map(|(name, n)| vec![grouped(n), name.to_owned()])
}
