// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask bench rows`: the common paths (`user/src/bin/bench_rows.rs`), beside what the same
//! program was measured to cost on Linux 6.1, and what it may cost here.

use super::{Row, grouped, measure, prepare, table, times};
use crate::cli::RowsArgs;
use crate::linux;
use crate::paths::Paths;
use crate::ui::{self, Step};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The rows, in their order, and what each is meant to cost at most.
pub const BUDGETS: [(&str, Option<u64>); 17] = [
    ("null_syscall", Some(100)),
    ("rt_sigaction", Some(160)),
    ("efault", Some(700)),
    ("pipe_write_read", None),
    ("kill_self", Some(1000)),
    ("ud2", Some(800)),
    ("divide", Some(800)),
    ("int3", Some(800)),
    ("gp_hlt", None),
    ("segv", Some(950)),
    ("demand_zero", Some(1100)),
    ("copy_on_write", Some(1400)),
    ("mmap_munmap", Some(2500)),
    ("mprotect_pair", Some(1500)),
    ("pipe_pingpong", Some(2500)),
    ("fork_exit_wait", Some(25_000)),
    ("fork_exec_wait", Some(60_000)),
];

/// What is kept of a measurement in `tests/recorded/bench.txt`, by row.
pub type Recorded = BTreeMap<String, Costs>;

/// Medians of a row, in instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// Debian's Linux 6.1.
    pub linux: u64,
    /// Trapline when the row was recorded.
    pub here: u64,
}

/// Runs the command.
pub fn main(args: &RowsArgs) -> Result<ExitCode> {
    let paths = Paths::find()?;
    prepare(&paths, args.install.install())?;
    let step = Step::start("counting the instructions of the common paths");
    let here = measure(&paths.kernel(), &paths.rootfs(), "bench_rows")?;
    step.done();
    let recorded = if args.record || args.kernel.is_some() {
        let linux = linux::kernel(&paths, args.kernel.as_deref())?;
        let step = Step::start(&format!("and on {}", linux.display()));
        let linux = measure(&linux, &paths.rootfs(), "bench_rows")?;
        step.done();
        together(&linux, &here)?
    } else {
        read(&file(&paths))?
    };
    if args.record {
        std::fs::write(file(&paths), text(&recorded)).context("cannot write what was measured")?;
        ui::say(&format!("recorded in {}", file(&paths).display()));
    }
    let header = ["row", "Linux 6.1", "budget", "here", "Linux / here", ""];
    println!("{}", table(&header, 1..5, lines(&here, &recorded)));
    println!("Instructions of the guest, medians. What is over its budget: docs/PERFORMANCE.md.");
    Ok(ExitCode::SUCCESS)
}

/// Where measurements are kept.
pub fn file(paths: &Paths) -> PathBuf {
    paths.root.join("tests/recorded/bench.txt")
}

/// Reads what was kept.
///
/// # Errors
/// No such file, or a line that is not `NAME LINUX HERE`.
pub fn read(file: &Path) -> Result<Recorded> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    parse(&text).with_context(|| format!("{} is damaged: write it anew with --record", file.display()))
}

fn parse(text: &str) -> Result<Recorded> {
    let mut recorded = Recorded::new();
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, linux, here] = words[..] else { bail!("not `NAME LINUX HERE`: {line:?}") };
        let costs = Costs { linux: linux.parse()?, here: here.parse()? };
        recorded.insert(name.to_owned(), costs);
    }
    Ok(recorded)
}

fn together(linux: &[Row], here: &[Row]) -> Result<Recorded> {
    let mut recorded = Recorded::new();
    for row in here {
        let Some(there) = linux.iter().find(|r| r.name == row.name) else {
            bail!("Linux has no row {}", row.name);
        };
        recorded.insert(row.name.clone(), Costs { linux: there.median, here: row.median });
    }
    Ok(recorded)
}

fn text(recorded: &Recorded) -> String {
    let mut out = String::from(
        "# row, Debian's Linux 6.1, Trapline: medians in guest instructions (cargo xtask bench rows --record)\n",
    );
    for (name, costs) in recorded {
        let _ = writeln!(out, "{name} {} {}", costs.linux, costs.here);
    }
    out
}

fn lines(here: &[Row], recorded: &Recorded) -> impl Iterator<Item = Vec<String>> {
    BUDGETS.iter().map(|&(name, budget)| {
        let Some(row) = here.iter().find(|r| r.name == name) else {
            return vec![name.into(), String::new(), String::new(), "not measured".into()];
        };
        let linux = recorded.get(name).map(|c| c.linux);
        vec![
            name.to_owned(),
            linux.map_or_else(String::new, grouped),
            budget.map_or_else(String::new, grouped),
            grouped(row.median),
            linux.map_or_else(String::new, |l| format!("{:.1}", times(l, row.median))),
            (if budget.is_some_and(|b| row.median > b) { "over" } else { "" }).to_owned(),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut recorded = Recorded::new();
        recorded.insert("ud2".into(), Costs { linux: 3226, here: 1999 });
        recorded.insert("segv".into(), Costs { linux: 3543, here: 2008 });
        assert_eq!(parse(&text(&recorded)).unwrap(), recorded);
        assert!(parse("ud2 1\n").is_err() && parse("ud2 1 x\n").is_err());
    }
}
