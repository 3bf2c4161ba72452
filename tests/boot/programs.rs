// SPDX-License-Identifier: GPL-2.0-only
//! `user::PROGRAM::MODE`: every user program that carries an expectation, in
//! every mode. One boot serves all the tests that this process selected; a
//! program that this boot did not get to is booted for by itself, so that the
//! one that stopped the machine takes the blame.

use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tests::machine::{boot_file, rootfs, tail};
use tests::programs::{Program, in_archive};
use xtask::report::{Outcome, Report};

/// The words for `/init` must fit Linux's command line of 2048 bytes.
const LONGEST_LIST: usize = 1500;

/// So many lonely boots may fail to report before the rest is given up.
const PATIENCE: u32 = 8;
static SPENT: AtomicU32 = AtomicU32::new(0);

/// What the boot for all of them brought.
struct Shared {
    report: Report,
    /// Why the boot did not come to its end, if it did not.
    trouble: Option<String>,
}

/// The words of the shared boot.
static WORDS: OnceLock<String> = OnceLock::new();
static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();

/// One test for each program and mode; a test that fails if there are none.
pub fn trials(args: &Arguments) -> Vec<Trial> {
    let programs = match rootfs().and_then(|archive| in_archive(&archive)) {
        Ok(programs) if !programs.is_empty() => programs,
        Ok(_) => return vec![broken("the initramfs has no program with an expectation".into())],
        Err(why) => return vec![broken(why)],
    };
    let all = programs.len();
    let mut trials = Vec::new();
    let mut selected = BTreeSet::new();
    for Program { name, modes } in programs {
        for &mode in modes {
            let program = name.clone();
            let trial = Trial::test(format!("user::{name}::{mode}"), move || run(&program, mode));
            if !args.is_filtered_out(&trial) {
                selected.insert(name.clone());
            }
            trials.push(trial);
        }
    }
    let list = selected.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    let everything = selected.len() == all || list.len() > LONGEST_LIST;
    WORDS.get_or_init(|| if everything { String::new() } else { format!("--only {list}") });
    trials
}

fn broken(why: String) -> Trial {
    Trial::test("user::programs", move || Err(why.into()))
}

fn run(program: &str, mode: &str) -> Result<(), Failed> {
    let words = WORDS.get().map_or("", String::as_str);
    let shared = SHARED.get_or_init(|| boot(words)).as_ref().map_err(Clone::clone)?;
    if let Some(outcome) = shared.report.get(program, mode) {
        return judge(outcome);
    }
    let missed = format!("the boot for all programs has no result for it ({})", shared.why());
    if SPENT.load(Ordering::Relaxed) >= PATIENCE {
        return Err(missed.into());
    }
    let alone = boot(&format!("--only {program}"))?;
    if let Some(outcome) = alone.report.get(program, mode) {
        return judge(outcome);
    }
    SPENT.fetch_add(1, Ordering::Relaxed);
    Err(format!("{missed}, and neither has one for it alone: {}", alone.why()).into())
}

impl Shared {
    fn why(&self) -> &str {
        self.trouble.as_deref().unwrap_or("/init ended without it")
    }
}

fn boot(words: &str) -> Result<Shared, String> {
    let outcome = boot_file(&rootfs()?, &format!("-- --timeout 20 {words}"));
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(why) => return Ok(Shared { report: Report::default(), trouble: Some(why) }),
    };
    let report = Report::parse(&outcome.report);
    let trouble = match outcome.panic_line() {
        Some(panic) => Some(format!("`{panic}`\n{}", tail(&outcome.console))),
        None if report.done.is_none() => Some(format!("no `done` line\n{}", tail(&outcome.console))),
        None => None,
    };
    Ok(Shared { report, trouble })
}

fn judge(outcome: &Outcome) -> Result<(), Failed> {
    if outcome.ok {
        return Ok(());
    }
    let Outcome { why, expected, got, log, .. } = outcome;
    Err(format!("{why}\n  expected  {expected}\n  got       {got}\n  dmesg     {log}").into())
}
