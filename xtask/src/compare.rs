// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask compare`: Linux and Trapline on the same QEMU line with the same initramfs,
//! and the rows in which what they say is not the same.

use crate::cli::CompareArgs;
use crate::oracle::{self, Set};
use crate::paths::Paths;
use crate::transcript::{self, Expected, Row};
use crate::ui::{self, Step};
use crate::{build, linux, tools};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// How many rows came out how.
#[derive(Debug, Default)]
struct Totals {
    identical: usize,
    different: usize,
    explained: usize,
}

/// Runs the command.
pub fn main(args: &CompareArgs) -> Result<ExitCode> {
    let paths = Paths::find()?;
    let install = args.install.install();
    tools::need_qemu(install)?;
    let linux = linux::kernel(&paths, args.kernel.as_deref())?;
    build::all(&paths, install)?;
    let timeout = Duration::from_secs(args.timeout);
    let known = known(&paths)?;
    let mut totals = Totals::default();
    for set in selected(&args.what) {
        if set.probes && tools::which("gcc").is_none() {
            ui::say(&format!("{}: left out: there is no gcc here to compile the probes", set.name));
            continue;
        }
        let theirs = said(&linux, "Linux", &paths, &set, timeout)?;
        if args.record {
            record(&paths, &set, &theirs)?;
        }
        let ours = said(&paths.kernel(), "Trapline", &paths, &set, timeout)?;
        show(&set, &theirs, &ours, &known, &mut totals);
    }
    let Totals { identical, different, explained } = totals;
    println!("{identical} identical, {different} different");
    if explained > 0 {
        println!("{explained} of the different ones are explained in tests/recorded/expected-differences");
    }
    Ok(if different > explained { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn known(paths: &Paths) -> Result<Vec<Expected>> {
    let file = oracle::expected_differences(paths);
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    transcript::expected(&text).map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))
}

/// The sets that were asked for; what is not a set's name is a user program's.
fn selected(what: &[String]) -> Vec<Set> {
    if what.is_empty() {
        return oracle::sets();
    }
    let (sets, programs): (Vec<_>, Vec<_>) = what.iter().partition(|name| oracle::find(name).is_some());
    let mut all: Vec<Set> = sets.into_iter().filter_map(|name| oracle::find(name)).collect();
    if !programs.is_empty() {
        all.push(Set::programs(&programs.into_iter().cloned().collect::<Vec<_>>()));
    }
    all
}

/// Boots one kernel with a set; what it said.
fn said(kernel: &Path, name: &str, paths: &Paths, set: &Set, timeout: Duration) -> Result<Vec<Row>> {
    let step = Step::start(&format!("{}: {name}", set.name));
    let outcome = oracle::boot(kernel, paths, set, timeout)?;
    step.done();
    if let Some(trouble) = oracle::trouble(set, &outcome) {
        let kept = paths.out().join(format!("compare-{}-{name}.txt", set.name));
        let text = format!("{}\n--- console\n{}", outcome.report, outcome.console);
        build::write_whole(&kept, text.as_bytes())?;
        bail!("{}: {name}: {trouble}; what it said so far is in {}", set.name, kept.display());
    }
    Ok(transcript::rows(&oracle::transcript(set, &outcome)))
}

/// Renews what is recorded. Of user programs only those that ran.
fn record(paths: &Paths, set: &Set, rows: &[Row]) -> Result<()> {
    let file = oracle::recorded(paths, &set.name);
    let mut all: Vec<Row> = rows.to_vec();
    if !set.programs.is_empty() {
        let old = std::fs::read_to_string(&file).unwrap_or_default();
        let new = |row: &Row| all.iter().any(|r| r.key == row.key);
        let kept: Vec<Row> = transcript::rows(&old).into_iter().filter(|row| !new(row)).collect();
        all.extend(kept);
        all.sort_by(|a, b| a.key.cmp(&b.key));
    }
    let lines: Vec<&str> = all.iter().map(|row| row.text.as_str()).collect();
    build::write_whole(&file, (lines.join("\n") + "\n").as_bytes())
}

/// Prints the rows that differ.
fn show(set: &Set, theirs: &[Row], ours: &[Row], known: &[Expected], totals: &mut Totals) {
    let result = transcript::compare(theirs, ours);
    totals.identical += result.identical.len();
    totals.different += result.different.len();
    for difference in &result.different {
        print!("{}: {}", set.name, difference.show());
        if let Some(e) = known.iter().find(|e| e.covers(&set.name, &difference.key)) {
            totals.explained += 1;
            println!("   known: {}", e.reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sets_or_programs() {
        assert_eq!(selected(&[]).len(), oracle::sets().len());
        let some = selected(&["nosmap".into(), "divide_error".into(), "pf_null_read".into()]);
        assert_eq!(some.len(), 2);
        assert_eq!(some[1].programs, ["divide_error", "pf_null_read"]);
    }
}
