// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask kselftest`: Linux's own self-tests, compiled from Debian's source package and run
//! unchanged on Linux and here, in the same emulator; and what differs.
//!
//! | module | what it is for |
//! |---|---|
//! | [`suite`] | which tests there are |
//! | [`source`] | where they come from |
//! | [`compile`] | from source to static program |
//! | [`guest`] | running them in machines |
//! | [`verdict`] | how one ended |
//! | [`record`] | what Linux said, and what is known to differ |

pub mod compile;
pub mod guest;
pub mod record;
pub mod source;
pub mod suite;
pub mod verdict;

use crate::cli::KselftestArgs;
use crate::paths::Paths;
use crate::ui::{self, Step};
use crate::{build, linux, tools};
use anyhow::{Context, Result, anyhow, bail};
use record::Known;
use source::Source;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use suite::{Group, Test};
use verdict::{Result as TestResult, Verdict};

/// Results by the test's key.
pub type Results = BTreeMap<String, TestResult>;

/// Runs the command.
pub fn main(args: &KselftestArgs) -> Result<ExitCode> {
    let paths = Paths::find()?;
    let install = args.install.install();
    let chosen = suite::select(&args.names).map_err(|name| {
        let all: Vec<&str> = suite::GROUPS.iter().map(|group| group.dir).collect();
        anyhow!(
            "there is no self-test {name}; there are the directories {}, and what is in them",
            all.join(", ")
        )
    })?;
    if !args.fetch {
        tools::need_qemu(install)?;
    }
    let source = Source::get(&paths)?;
    let tests: Vec<Test> = chosen.iter().flat_map(|(_, tests)| tests.clone()).collect();
    // Some start others of their directory.
    let compiled: Vec<Test> = chosen.iter().flat_map(|(group, _)| group.tests()).collect();
    let broken = compile::all(&paths, &source, &compiled)?;
    for (key, why) in &broken {
        ui::say(&format!("{key}: not compiled: {why}"));
    }
    if args.fetch {
        return Ok(ExitCode::SUCCESS);
    }
    build::all(&paths, install)?;
    let built: Vec<(&Group, Vec<Test>)> = chosen
        .iter()
        .map(|(group, tests)| {
            (*group, tests.iter().filter(|test| !broken.contains_key(&test.key())).cloned().collect())
        })
        .collect();
    let theirs = if args.recorded {
        None
    } else {
        let kernel = linux::kernel(&paths, args.kernel.as_deref())?;
        Some(run("Linux", &built, args.jobs, |group, tests| {
            guest::run_on_linux(&kernel, &paths, group, tests)
        })?)
    };
    let ours =
        run("Trapline", &built, args.jobs, |group, tests| guest::run(&paths.kernel(), &paths, group, tests))?;
    if let Some(dir) = &args.output {
        for (who, results) in [("linux", theirs.as_ref()), ("trapline", Some(&ours))] {
            save(&dir.join(who), results.into_iter().flatten())?;
        }
    }
    let recorded = record::read(&paths)?;
    let linux = match &theirs {
        Some(results) => record::verdicts(results, &tests, &broken),
        None => recorded.clone(),
    };
    if args.record {
        record::write(&paths, recorded, &linux)?;
    }
    show(&paths, &tests, &broken, theirs.as_ref(), &linux, &ours)
}

/// Runs all groups on a kernel, some at a time.
fn run(
    name: &str,
    groups: &[(&Group, Vec<Test>)],
    jobs: Option<usize>,
    one: impl Fn(&Group, &[Test]) -> Result<Results> + Sync,
) -> Result<Results> {
    let step = Step::start(&format!("Linux's self-tests on {name}"));
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Ok(Results::new())));
    let work = || {
        while let Some((group, tests)) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            step.note(group.dir);
            let came = one(group, tests);
            let mut all = all.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (came, all.as_mut()) {
                (Ok(came), Ok(all)) => all.extend(came),
                (Err(error), Ok(_)) => *all = Err(error),
                (_, Err(_)) => {}
            }
        }
    };
    let workers = jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    step.done();
    all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Keeps what the tests wrote, a file for each.
fn save<'a>(dir: &Path, results: impl Iterator<Item = (&'a String, &'a TestResult)>) -> Result<()> {
    for (key, result) in results {
        let text = format!("{}\n== {}\n", result.output, result.verdict);
        build::write_whole(&dir.join(format!("{}.txt", key.replace('/', "."))), text.as_bytes())?;
    }
    Ok(())
}

/// Prints both columns, and the reason for each difference.
fn show(
    paths: &Paths,
    tests: &[Test],
    broken: &BTreeMap<String, String>,
    theirs: Option<&Results>,
    linux: &BTreeMap<String, Verdict>,
    ours: &Results,
) -> Result<ExitCode> {
    let known = record::known(paths)?;
    let (mut passing, mut same, mut explained, mut open) = (0, 0, 0, 0);
    println!("{:<48} {:<28} {:<28}", "", "Linux 6.1", "Trapline");
    for test in tests.iter().filter(|test| !broken.contains_key(&test.key())) {
        let key = test.key();
        let there =
            linux.get(&key).with_context(|| format!("nobody has recorded {key}; leave out --recorded"))?;
        let here = ours.get(&key).with_context(|| format!("{key} did not run"))?;
        let shown = theirs.and_then(|all| all.get(&key)).map_or(there.to_string(), TestResult::show);
        println!("{key:<48} {shown:<28} {:<28}", here.show());
        passing += usize::from(*there == Verdict::Pass);
        match (*there == here.verdict, Known::find(&known, &key)) {
            (true, None) => same += 1,
            (true, Some(line)) => {
                open += 1;
                println!("    the same on both: line {} of kselftest-differences is too much", line.line);
            }
            (false, Some(line)) => {
                explained += 1;
                println!("    known: {}", line.reason);
            }
            (false, None) => {
                open += 1;
                println!("    DIFFERENT, and nobody knows why");
            }
        }
    }
    println!(
        "{passing} pass on Linux; {same} the same here, {explained} different with a reason, {open} without"
    );
    if !broken.is_empty() {
        println!("{} could not be compiled here", broken.len());
    }
    Ok(if open == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// For the tests that boot: runs one group here, and says what is not as recorded.
pub fn check(paths: &Paths, dir: &str) -> Result<()> {
    let source = Source::ready(paths).map_err(|why| anyhow!(why))?;
    let group = suite::GROUPS.iter().find(|group| group.dir == dir).context("no such group")?;
    let mut all = group.tests();
    let broken = compile::all(paths, &source, &all)?;
    all.retain(|test| !test.slow);
    let tests: Vec<Test> = all.iter().filter(|test| !broken.contains_key(&test.key())).cloned().collect();
    let ours = guest::run(&paths.built_kernel()?, paths, group, &tests)?;
    let (linux, known) = (record::read(paths)?, record::known(paths)?);
    let complaint = |test: &Test| {
        let key = test.key();
        if let Some(why) = broken.get(&key) {
            let before = linux.get(&key) != Some(&Verdict::NotBuilt);
            return before.then(|| format!("{key}: it could be compiled once, and cannot be here: {why}\n"));
        }
        let (Some(there), Some(here)) = (linux.get(&key), ours.get(&key)) else {
            return Some(format!("{key}: not recorded; `cargo xtask kselftest --record {dir}`\n"));
        };
        match (*there == here.verdict, Known::find(&known, &key)) {
            (true, None) | (false, Some(_)) => None,
            (true, Some(line)) => Some(format!(
                "{key}: now as on Linux; line {} of kselftest-differences is too much\n",
                line.line
            )),
            (false, None) => {
                Some(format!("{key}: {there} on Linux, {} here\n{}\n", here.verdict, here.output))
            }
        }
    };
    let wrong: Vec<String> = all.iter().filter_map(complaint).collect();
    if wrong.is_empty() { Ok(()) } else { bail!("\n{}", wrong.concat()) }
}
