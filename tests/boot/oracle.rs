// SPDX-License-Identifier: GPL-2.0-only
//! `oracle::GROUP`: what the probes of `user/oracle/` say here, compared row by row with what
//! they said on Linux 6.1 (`tests/recorded/`). Rows that are known to differ are listed with
//! the reason in `tests/recorded/expected-differences`; one that is listed and is the same
//! fails too, so that the list only has what is true.

use libtest_mimic::{Completion, Failed, Trial};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tests::machine::{kernel, tail};
use xtask::oracle::{self, Set};
use xtask::paths::Paths;
use xtask::transcript::{self, Comparison, Difference, Expected, Row};

/// No boot of a set takes longer.
const TIMEOUT: Duration = Duration::from_secs(200);

static PATHS: LazyLock<Result<Paths, String>> =
    LazyLock::new(|| Paths::find().map_err(|error| format!("{error:#}")));

/// The comparison of each set that was booted, once.
static BOOTED: Mutex<BTreeMap<String, Result<Comparison, String>>> = Mutex::new(BTreeMap::new());

static EXPECTED: LazyLock<Result<Vec<Expected>, String>> = LazyLock::new(|| {
    let file = oracle::expected_differences(PATHS.as_ref().map_err(Clone::clone)?);
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    transcript::expected(&text).map_err(|why| format!("{}: {why}", file.display()))
});

/// One test for each group of rows of each set.
pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test("oracle::expected_differences_are_of_rows", every_line_covers),
        Trial::ignorable_test("oracle::programs_are_recorded", programs_are_recorded),
    ];
    for set in oracle::sets() {
        let name = set.name.clone();
        match recorded(&name) {
            Err(why) => {
                trials.push(Trial::test(format!("oracle::{name}"), move || Err(why.clone().into())));
            }
            Ok(rows) => {
                let groups: BTreeSet<String> =
                    rows.iter().map(|row| transcript::group(&row.key).to_owned()).collect();
                trials.extend(groups.into_iter().map(|group| trial(&set, group)));
            }
        }
    }
    trials
}

fn recorded(set: &str) -> Result<Vec<Row>, String> {
    let file = oracle::recorded(PATHS.as_ref().map_err(Clone::clone)?, set);
    let text = std::fs::read_to_string(&file)
        .map_err(|error| format!("{}: {error}; `cargo xtask compare --record` makes it", file.display()))?;
    Ok(transcript::rows(&text))
}

fn trial(set: &Set, group: String) -> Trial {
    let set = set.clone();
    let name = match set.name.as_str() {
        "probes" => format!("oracle::{group}"),
        other => format!("oracle::{other}::{group}"),
    };
    Trial::ignorable_test(name, move || {
        if set.probes && xtask::tools::which("gcc").is_none() {
            return Ok(Completion::ignored_with("there is no gcc here to compile the probes"));
        }
        if set.scripts
            && let Err(why) = xtask::shell::with_busybox(PATHS.as_ref().map_err(Clone::clone)?)
        {
            return Ok(Completion::ignored_with(format!("{why:#}")));
        }
        judge(&set, &group).map(|()| Completion::Completed)
    })
}

fn judge(set: &Set, group: &str) -> Result<(), Failed> {
    let all = comparison(set)?;
    let expected = EXPECTED.as_ref().map_err(Clone::clone)?;
    let known = |key: &str| line_about(expected, set, key);
    let mut wrong = String::new();
    for difference in all.different.iter().filter(|d| transcript::group(&d.key) == group) {
        if known(&difference.key).is_none() {
            wrong.push_str(&difference.show());
        }
    }
    for key in all.identical.iter().filter(|key| transcript::group(key) == group) {
        // Rows of one key that come more than once may differ in one place only.
        if let Some(e) = known(key).filter(|_| !all.different.iter().any(|d| d.key == **key)) {
            let _ = writeln!(
                wrong,
                "{key}: now as on Linux; line {} of expected-differences is too much (`{}`)",
                e.line, e.rows
            );
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("\n{wrong}").into()) }
}

/// Boots for a set, or has done so.
fn comparison(set: &Set) -> Result<Comparison, String> {
    let mut booted = BOOTED.lock().unwrap_or_else(PoisonError::into_inner);
    booted.entry(set.name.clone()).or_insert_with(|| boot(set)).clone()
}

/// The line of expected-differences that is about a row.
fn line_about<'a>(expected: &'a [Expected], set: &Set, key: &str) -> Option<&'a Expected> {
    expected.iter().find(|e| e.covers(&set.name, key))
}

/// So many rows, and no more, can be a moment's in which the host stopped the machine: what was to
/// interrupt a sleep came when the sleep was over too.
const A_MOMENT: usize = 3;

/// The set's comparison. Where a few rows differ that should not it is booted again, what differed once
/// is printed, and what differs both times counts.
fn boot(set: &Set) -> Result<Comparison, String> {
    let expected = EXPECTED.as_ref().map_err(Clone::clone)?;
    let odd = |d: &&Difference| d.linux.is_some() && line_about(expected, set, &d.key).is_none();
    let first = boot_once(set)?;
    if !(1..=A_MOMENT).contains(&first.different.iter().filter(odd).count()) {
        return Ok(first);
    }
    let mut again = boot_once(set)?;
    again.different.retain(|d| first.different.iter().any(|f| f.key == d.key));
    for d in first.different.iter().filter(odd) {
        println!("oracle::{}: differed in the first boot:\n{}", set.name, d.show());
    }
    Ok(again)
}

fn boot_once(set: &Set) -> Result<Comparison, String> {
    let paths = PATHS.as_ref().map_err(Clone::clone)?;
    let linux = recorded(&set.name)?;
    let outcome = oracle::boot(&kernel()?, paths, set, TIMEOUT).map_err(|error| format!("{error:#}"))?;
    if let Some(trouble) = oracle::trouble(set, &outcome) {
        let (said, console) = (tail(&outcome.report), tail(&outcome.console));
        return Err(format!("{trouble}\n{said}\n{console}"));
    }
    Ok(transcript::compare(&linux, &transcript::rows(&oracle::transcript(set, &outcome))))
}

/// A line that covers no row of any record is a mistake.
fn every_line_covers() -> Result<(), Failed> {
    for e in EXPECTED.as_ref().map_err(Clone::clone)? {
        let rows = recorded(&e.set)?;
        if !rows.iter().any(|row| e.covers(&e.set, &row.key)) {
            return Err(
                format!("line {} of expected-differences (`{}`) is about no row", e.line, e.rows).into()
            );
        }
    }
    Ok(())
}

/// A program that is newer than the record is shown as ignored: its own expectation is
/// still tested (`user::PROGRAM`).
fn programs_are_recorded() -> Result<Completion, Failed> {
    let set = Set::programs(&[]);
    let recorded: BTreeSet<String> = recorded(oracle::PROGRAMS)?.into_iter().map(|row| row.key).collect();
    let all = comparison(&set)?;
    let missing: Vec<&str> =
        all.different.iter().map(|d| d.key.as_str()).filter(|k| !recorded.contains(*k)).collect();
    if missing.is_empty() {
        return Ok(Completion::Completed);
    }
    let list = missing.join(", ");
    Ok(Completion::ignored_with(format!("`cargo xtask compare --record` has not seen Linux run {list}")))
}
