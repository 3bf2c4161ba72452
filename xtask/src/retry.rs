// SPDX-License-Identifier: GPL-2.0-only
//! Tests that failed, run again one by one: where a host stops the emulators for seconds, what depends on
//! time can fail without being wrong.

use crate::ui;
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// More than so many failures are no matter of a moment: none of them is run again.
const MOST: usize = 5;

/// What a run of tests came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All passed.
    Passed,
    /// These failed, and passed when they were run again.
    PassedAgain(Vec<String>),
    /// Some failed.
    Failed,
}

/// Runs the tests once.
///
/// # Errors
/// They cannot be started.
pub fn once(command: &mut Command) -> Result<Verdict> {
    let status = command.status().context("cannot start cargo")?;
    Ok(if status.success() { Verdict::Passed } else { Verdict::Failed })
}

/// Runs the tests, and those that fail again: `command` makes a command for all (`None`) or for one.
///
/// # Errors
/// One cannot be started.
pub fn run(command: impl Fn(Option<&str>) -> Command) -> Result<Verdict> {
    let failed = match watched(&mut command(None))? {
        (true, _) => return Ok(Verdict::Passed),
        (false, failed) if failed.is_empty() || failed.len() > MOST => return Ok(Verdict::Failed),
        (false, failed) => failed,
    };
    for name in &failed {
        ui::say(&format!("running {name} again, by itself"));
        if !watched(&mut command(Some(name)))?.0 {
            return Ok(Verdict::Failed);
        }
    }
    Ok(Verdict::PassedAgain(failed))
}

/// Runs a command whose output is shown as it comes: whether it succeeded, and which tests it says failed.
fn watched(command: &mut Command) -> Result<(bool, Vec<String>)> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut failed = Vec::new();
    for line in BufReader::new(child.stdout.take().context("no output")?).split(b'\n') {
        let line = line.context("lost cargo's output")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        failed.extend(failed_test(&line).map(str::to_owned));
    }
    Ok((child.wait().context("lost track of cargo")?.success(), failed))
}

/// The test that a line of the harness says failed.
fn failed_test(line: &str) -> Option<&str> {
    let name = line.strip_prefix("test ")?.trim_end().strip_suffix("FAILED")?.trim_end();
    name.strip_suffix("...").map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn failed_tests_are_seen() {
        assert_eq!(failed_test("test nmi::storm              ... FAILED"), Some("nmi::storm"));
        assert_eq!(failed_test("test nmi::storm              ... ok"), None);
        assert_eq!(failed_test("test result: FAILED. 710 passed; 3 failed; 2 ignored"), None);
        assert_eq!(failed_test("==== tests: FAILED (status 1)"), None);
    }

    /// What comes of a run whose first command says `first`, and each later one ends with `then`.
    fn verdict(first: &str, then: i32) -> (Verdict, Vec<String>) {
        let asked = RefCell::new(Vec::new());
        let verdict = run(|test| {
            let mut command = Command::new("sh");
            match test {
                None => command.args(["-c", first]),
                Some(name) => {
                    asked.borrow_mut().push(name.to_owned());
                    command.args(["-c", &format!("exit {then}")])
                }
            };
            command
        });
        (verdict.unwrap(), asked.into_inner())
    }

    #[test]
    fn what_failed_is_run_again() {
        let two = "echo 'test a::b ... FAILED'; echo 'test a::c ... ok'; echo 'test d ... FAILED'; exit 1";
        let names = ["a::b", "d"].map(str::to_owned).to_vec();
        assert_eq!(verdict(two, 0), (Verdict::PassedAgain(names.clone()), names));
        assert_eq!(verdict(two, 1), (Verdict::Failed, vec!["a::b".to_owned()]));
        assert_eq!(verdict("exit 0", 1), (Verdict::Passed, Vec::new()));
    }

    #[test]
    fn much_that_fails_is_not() {
        let many = "for i in 1 2 3 4 5 6; do echo \"test t$i ... FAILED\"; done; exit 1";
        assert_eq!(verdict(many, 0), (Verdict::Failed, Vec::new()));
        // Nor is what fails without naming a test: it does not compile.
        assert_eq!(verdict("exit 101", 0), (Verdict::Failed, Vec::new()));
    }
}
