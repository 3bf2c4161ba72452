// SPDX-License-Identifier: GPL-2.0-only
//! What Linux's self-tests said on Linux (`tests/recorded/kselftest.txt`), and which of them are
//! known to end in another way here (`kselftest-differences` beside it).

use super::Results;
use super::suite::Test;
use super::verdict::Verdict;
use crate::build;
use crate::paths::Paths;
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn file(paths: &Paths, name: &str) -> PathBuf {
    paths.root.join("tests/recorded").join(name)
}

/// The verdicts on Linux, by the test's key.
pub fn read(paths: &Paths) -> Result<BTreeMap<String, Verdict>> {
    let file = file(paths, "kselftest.txt");
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    parse(&text).map_err(|line| anyhow!("{}: `{line}` is no `DIR/NAME VERDICT`", file.display()))
}

fn parse(text: &str) -> std::result::Result<BTreeMap<String, Verdict>, String> {
    let row = |line: &str| {
        let (key, verdict) = line.split_once(' ')?;
        Some((key.to_owned(), Verdict::parse(verdict)?))
    };
    text.lines().map(|line| row(line).ok_or(line.to_owned())).collect()
}

/// The verdicts of a run.
pub fn verdicts(
    results: &Results,
    tests: &[Test],
    broken: &BTreeMap<String, String>,
) -> BTreeMap<String, Verdict> {
    let of = |test: &Test| {
        let key = test.key();
        let came = results.get(&key).map(|result| result.verdict.clone());
        let verdict = if broken.contains_key(&key) { Some(Verdict::NotBuilt) } else { came };
        verdict.map(|verdict| (key, verdict))
    };
    tests.iter().filter_map(of).collect()
}

/// Renews the rows of the tests that ran.
pub fn write(
    paths: &Paths,
    mut old: BTreeMap<String, Verdict>,
    new: &BTreeMap<String, Verdict>,
) -> Result<()> {
    old.extend(new.clone());
    let lines: Vec<String> = old.iter().map(|(key, verdict)| format!("{key} {verdict}")).collect();
    build::write_whole(&file(paths, "kselftest.txt"), (lines.join("\n") + "\n").as_bytes())
}

/// A difference that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The line in the file.
    pub line: usize,
    key: String,
    /// Why.
    pub reason: String,
}

impl Known {
    /// The line about a test.
    pub fn find<'a>(known: &'a [Self], key: &str) -> Option<&'a Self> {
        known.iter().find(|line| line.key == key)
    }
}

/// The differences that are known.
pub fn known(paths: &Paths) -> Result<Vec<Known>> {
    let file = file(paths, "kselftest-differences");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    parse_known(&text).map_err(|line| anyhow!("{}: line {line} is no `DIR/NAME: REASON`", file.display()))
}

/// Says which lines are about no recorded test.
pub fn stray(paths: &Paths) -> Result<()> {
    let recorded = read(paths)?;
    match known(paths)?.iter().find(|line| !recorded.contains_key(&line.key)) {
        Some(line) => {
            bail!("line {} of kselftest-differences ({}) is about no recorded test", line.line, line.key)
        }
        None => Ok(()),
    }
}

fn parse_known(text: &str) -> std::result::Result<Vec<Known>, usize> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, text)| {
            let (key, reason) = text.split_once(": ").filter(|(key, _)| key.contains('/')).ok_or(line)?;
            Ok(Known { line, key: key.to_owned(), reason: reason.to_owned() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_a_verdict() {
        let rows = parse("x86/iopl pass\nx86/amx killed SIGSEGV\n").unwrap();
        assert_eq!(rows["x86/amx"], Verdict::Killed("SIGSEGV".into()));
        assert_eq!(parse("x86/iopl\n").unwrap_err(), "x86/iopl");
    }

    #[test]
    fn differences_have_a_reason() {
        let known = parse_known("# c\n\nx86/amx: no AMX: yet\n").unwrap();
        assert_eq!(
            Known::find(&known, "x86/amx").map(|k| (k.line, k.reason.as_str())),
            Some((3, "no AMX: yet"))
        );
        assert_eq!(Known::find(&known, "x86/am"), None);
        assert_eq!(parse_known("x86/amx").unwrap_err(), 1);
    }
}
