// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask compare`: Linux and Trapline on the same QEMU line with the same initramfs,
//! and the rows in which what they say is not the same.

use crate::cli::CompareArgs;
use crate::host_programs::{self, HostProgram};
use crate::oracle::{self, Set};
use crate::paths::Paths;
use crate::transcript::{self, Expected, Row};
use crate::ui::{self, Step};
use crate::{build, elf, linux, lkdtm, oops, runtimes, tools};
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
    let (programs, rest) = host_programs(&args.what);
    let (oopses, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|name| name == oops::SET);
    if args.what.is_empty() || !oopses.is_empty() {
        compare_oopses(&paths, &linux, args.record, &mut totals)?;
    }
    let (languages, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|name| name == runtimes::SET);
    if args.what.is_empty() || !languages.is_empty() {
        let (runs, left_out) = runtimes::all(&paths)?;
        for line in &left_out {
            ui::say(line);
        }
        let theirs = said_by(&linux, "Linux", &paths, runtimes::SET, &runs)?;
        if args.record {
            record_runs(&paths, &runs, &theirs)?;
        }
        let ours = said_by(&paths.kernel(), "Trapline", &paths, runtimes::SET, &runs)?;
        show(runtimes::SET, &theirs, &ours, &known, &mut totals);
    }
    for program in programs {
        elf::check_static(&program.file)?;
        let (name, one) = (program.name.clone(), [program]);
        let theirs = said_by(&linux, "Linux", &paths, &name, &one)?;
        let ours = said_by(&paths.kernel(), "Trapline", &paths, &name, &one)?;
        for row in &theirs {
            println!("{}", row.text);
        }
        show(&name, &theirs, &ours, &known, &mut totals);
    }
    let sets = if args.what.is_empty() || !rest.is_empty() { selected(&rest) } else { Vec::new() };
    for set in sets {
        if set.probes && tools::which("gcc").is_none() {
            ui::say(&format!("{}: left out: there is no gcc here to compile the probes", set.name));
            continue;
        }
        let theirs = said(&linux, "Linux", &paths, &set, timeout)?;
        if args.record {
            record(&paths, &set, &theirs)?;
        }
        let ours = said(&paths.kernel(), "Trapline", &paths, &set, timeout)?;
        show(&set.name, &theirs, &ours, &known, &mut totals);
    }
    let Totals { identical, different, explained } = totals;
    println!("{identical} identical, {different} different");
    if explained > 0 {
        println!("{explained} of the different ones are explained in tests/recorded/expected-differences");
    }
    Ok(if different > explained { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The kernels' own faults, whole. There is no list of known differences for these: a rule in
/// [`oops`] makes the two sides one, or they differ.
fn compare_oopses(paths: &Paths, linux: &Path, record: bool, totals: &mut Totals) -> Result<()> {
    let module = match lkdtm::module(paths, linux) {
        Ok(module) => module,
        Err(why) => {
            ui::say(&format!("{}: left out: {why:#}", oops::SET));
            return Ok(());
        }
    };
    let all = |kernel: &Path, name: &str, module: Option<&Path>| -> Result<oops::Oopses> {
        let step = Step::start(&format!("{}: {name}", oops::SET));
        let mut all = oops::Oopses::new();
        for boot in oops::BOOTS {
            all.extend(oops::boot(kernel, paths, module, boot)?);
        }
        step.done();
        Ok(all)
    };
    let theirs = all(linux, "Linux", Some(&module))?;
    if record {
        build::write_whole(&oops::recorded(paths), oops::write(&theirs).as_bytes())?;
    }
    let ours = all(&paths.kernel(), "Trapline", None)?;
    for (title, lines) in &theirs {
        match oops::difference(lines, ours.get(title).map_or(&[], Vec::as_slice)) {
            None => totals.identical += 1,
            Some(difference) => {
                totals.different += 1;
                print!("{}: {title}\n{difference}", oops::SET);
            }
        }
    }
    Ok(())
}

fn known(paths: &Paths) -> Result<Vec<Expected>> {
    let file = oracle::expected_differences(paths);
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    transcript::expected(&text).map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))
}

/// Those words that name a program of the host's (with its arguments, if it is quoted), and the
/// others.
fn host_programs(what: &[String]) -> (Vec<HostProgram>, Vec<String>) {
    let (mut programs, mut rest) = (Vec::new(), Vec::new());
    for text in what {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        match words.split_first() {
            Some((file, args)) if file.contains('/') && Path::new(file).is_file() => {
                programs.push(HostProgram::new(Path::new(file), args));
            }
            _ => rest.push(text.clone()),
        }
    }
    (programs, rest)
}

/// Boots one kernel with programs of the host's; what they said.
fn said_by(
    kernel: &Path,
    name: &str,
    paths: &Paths,
    what: &str,
    programs: &[HostProgram],
) -> Result<Vec<Row>> {
    let step = Step::start(&format!("{what}: {name}"));
    let rows = host_programs::rows(kernel, paths, programs).with_context(|| format!("{what}: {name}"))?;
    step.done();
    Ok(rows)
}

/// Renews what is recorded of run-times; the rows of those that did not run stay.
fn record_runs(paths: &Paths, runs: &[HostProgram], rows: &[Row]) -> Result<()> {
    let file = oracle::recorded(paths, runtimes::SET);
    let old = std::fs::read_to_string(&file).unwrap_or_default();
    let ran = |line: &&str| runs.iter().any(|run| line.split(' ').next() == Some(&run.name));
    let kept = old.lines().filter(|line| !ran(line));
    // In each run the order of the lines says something: only the runs are sorted.
    let mut lines: Vec<&str> = kept.chain(rows.iter().map(|row| row.text.as_str())).collect();
    lines.sort_by_key(|line| line.split(' ').next());
    build::write_whole(&file, (lines.join("\n") + "\n").as_bytes())
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
fn show(set: &str, theirs: &[Row], ours: &[Row], known: &[Expected], totals: &mut Totals) {
    let result = transcript::compare(theirs, ours);
    totals.identical += result.identical.len();
    totals.different += result.different.len();
    for difference in &result.different {
        print!("{set}: {}", difference.show());
        if let Some(e) = known.iter().find(|e| e.covers(set, &difference.key)) {
            totals.explained += 1;
            println!("   known: {}", e.reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_the_host_have_a_path() {
        let me = std::env::current_exe().unwrap().display().to_string();
        let (programs, rest) = host_programs(&[format!("{me} one two"), "probes".into(), "./no/such".into()]);
        assert_eq!(programs[0].words, ["one", "two"]);
        assert_eq!(rest, ["probes", "./no/such"]);
    }

    #[test]
    fn names_are_sets_or_programs() {
        assert_eq!(selected(&[]).len(), oracle::sets().len());
        let some = selected(&["nosmap".into(), "divide_error".into(), "pf_null_read".into()]);
        assert_eq!(some.len(), 2);
        assert_eq!(some[1].programs, ["divide_error", "pf_null_read"]);
    }
}
