// SPDX-License-Identifier: GPL-2.0-only
//! Compiling the self-tests, outside of their tree, as many at a time as there are processors.

use super::source::Source;
use super::suite::Test;
use crate::paths::Paths;
use crate::ui::Step;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the programs go.
pub fn out(paths: &Paths) -> PathBuf {
    paths.out().join("selftests")
}

/// Compiles what is not there yet; the tests that could not be, and gcc's first complaint.
pub fn all(paths: &Paths, source: &Source, tests: &[Test]) -> Result<BTreeMap<String, String>> {
    let out = out(paths);
    let tests: Vec<&Test> = tests.iter().filter(|test| !is_built(&out, source, test)).collect();
    if tests.is_empty() {
        return Ok(BTreeMap::new());
    }
    let step = Step::start("compiling Linux's self-tests");
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Ok(BTreeMap::new())));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
            step.note(&test.key());
            let why = one(&out, source, test);
            let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (why, failed.as_mut()) {
                (Ok(Some(why)), Ok(all)) => {
                    all.insert(test.key(), why);
                }
                (Err(error), Ok(_)) => *failed = Err(error),
                _ => {}
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    step.done();
    failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// gcc's words for one, and the file that keeps those that it was compiled with.
fn words(out: &Path, source: &Source, test: &Test) -> (Vec<String>, PathBuf) {
    let note = out.join(test.place()).with_file_name(format!(".{}.words", test.name));
    ([source.flags(), test.words.clone()].concat(), note)
}

/// Whether it is there as it is wanted.
fn is_built(out: &Path, source: &Source, test: &Test) -> bool {
    let (words, note) = words(out, source, test);
    out.join(test.place()).is_file() && std::fs::read_to_string(&note).is_ok_and(|old| old == words.join(" "))
}

/// Compiles one; gcc's complaint if it cannot be.
fn one(out: &Path, source: &Source, test: &Test) -> Result<Option<String>> {
    let program = out.join(test.place());
    let dir = program.parent().unwrap_or(out);
    std::fs::create_dir_all(dir).context("cannot make a directory; is the disk full?")?;
    let (words, note) = words(out, source, test);
    let mut gcc = Command::new("gcc");
    gcc.current_dir(source.tests(test.dir)).args(&words).arg("-o").arg(&program).stdin(Stdio::null());
    let output = gcc.output().context("cannot start gcc")?;
    if !output.status.success() {
        return Ok(Some(complaint(&String::from_utf8_lossy(&output.stderr))));
    }
    std::fs::write(&note, words.join(" ")).context("cannot write; is the disk full?")?;
    Ok(None)
}

/// The line that says most.
fn complaint(said: &str) -> String {
    let telling = ["error:", "cannot find", "undefined reference"];
    let line = said.lines().find(|line| telling.iter().any(|words| line.contains(words)));
    line.or(said.lines().next()).unwrap_or("gcc failed without a word").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_picked_out() {
        let said =
            "In file included from x.c:3:\ny.h:1: fatal error: z.h: No such file\ncompilation terminated.";
        assert_eq!(complaint(said), "y.h:1: fatal error: z.h: No such file");
        assert_eq!(complaint(""), "gcc failed without a word");
    }
}
