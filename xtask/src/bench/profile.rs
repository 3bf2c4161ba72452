// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask bench profile ROW`: which functions the instructions of one row are in, by stepping
//! through it.
//!
//! The measuring program calls `trapline_bench_mark` before and behind the operation; between the two
//! the machine is stepped through QEMU's gdb stub, and each instruction is counted where it is.

use super::{grouped, machine, prepare, table};
use crate::build;
use crate::cli::ProfileArgs;
use crate::gdbstub::Debugged;
use crate::paths::Paths;
use crate::symbols::Symbols;
use crate::ui::Step;
use anyhow::{Context, Result, bail};
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
    let counts = count(&mut d, mark, &symbols)?;
    step.done();
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

/// Steps from one mark to the next.
fn count(d: &mut Debugged, mark: u64, symbols: &Symbols) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for _ in 0..MOST {
        let rip = d.step()?.rip;
        if rip == mark {
            return Ok(counts);
        }
        let label = symbols.function(rip).unwrap_or_else(|| "(user mode)".into());
        *counts.entry(label).or_default() += 1;
    }
    bail!("no end after {MOST} instructions")
}

fn lines(counts: &BTreeMap<String, u64>) -> impl Iterator<Item = Vec<String>> {
    let mut rows: Vec<(&str, u64)> = counts.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    rows.push(("all", counts.values().sum()));
    rows.into_iter().map(|(name, n)| vec![grouped(n), name.to_owned()])
}
