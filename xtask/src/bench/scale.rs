// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask bench scale`: what the common paths cost when there are very many mappings and
//! processes (`user/src/bin/bench_scale.rs`).

use super::{Row, grouped, measure, prepare, table, times};
use crate::cli::ScaleArgs;
use crate::paths::Paths;
use crate::ui::Step;
use anyhow::Result;
use std::process::ExitCode;

/// One path with little and with much around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// What it is.
    pub name: String,
    /// How many mappings or processes there are.
    pub many: [u64; 2],
    /// What it costs then: medians, in instructions.
    pub costs: [u64; 2],
}

impl Pair {
    /// How many times dearer it is with much.
    pub fn ratio(&self) -> f64 {
        times(self.costs[1], self.costs[0])
    }

    /// How many times dearer it may be: a signal to a process not at all (but for noise), the rest twice.
    pub fn limit(&self) -> f64 {
        if self.name.starts_with("signal") { 1.02 } else { 2.0 }
    }
}

/// Runs the command; it fails if something costs too much more.
pub fn main(args: &ScaleArgs) -> Result<ExitCode> {
    let paths = Paths::find()?;
    prepare(&paths, args.install.install())?;
    let kernel = args.kernel.clone().unwrap_or_else(|| paths.kernel());
    let step = Step::start("counting with very many mappings and processes");
    let pairs = pairs(&measure(&kernel, &paths.rootfs(), "bench_scale")?);
    step.done();
    let header = ["path", "with", "costs", "with", "costs", "times", "at most"];
    println!("{}", table(&header, 1..7, lines(&pairs)));
    let all_well = pairs.iter().all(|p| p.ratio() <= p.limit());
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Puts `NAME@FEW` and `NAME@MANY` together.
pub fn pairs(rows: &[Row]) -> Vec<Pair> {
    let split = |row: &Row| -> Option<(String, u64)> {
        let (name, many) = row.name.split_once('@')?;
        Some((name.to_owned(), many.parse().ok()?))
    };
    let mut pairs: Vec<Pair> = Vec::new();
    for row in rows {
        let Some((name, many)) = split(row) else { continue };
        match pairs.iter_mut().find(|p| p.name == name) {
            Some(pair) => (pair.many[1], pair.costs[1]) = (many, row.median),
            None => pairs.push(Pair { name, many: [many, many], costs: [row.median, row.median] }),
        }
    }
    pairs
}

fn lines(pairs: &[Pair]) -> impl Iterator<Item = Vec<String>> {
    pairs.iter().map(|p| {
        vec![
            p.name.clone(),
            grouped(p.many[0]),
            grouped(p.costs[0]),
            grouped(p.many[1]),
            grouped(p.costs[1]),
            format!("{:.2}", p.ratio()),
            format!("{:.2}", p.limit()),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_paired() {
        let row = |name: &str, median| Row { name: name.into(), min: 1, median, max: 9 };
        let pairs = pairs(&[row("a@10", 100), row("b@2", 5), row("a@50000", 150), row("c", 1)]);
        assert_eq!(pairs.len(), 2);
        assert_eq!((pairs[0].many, pairs[0].costs), ([10, 50000], [100, 150]));
        assert!((pairs[0].ratio() - 1.5).abs() < 1e-9);
    }
}
