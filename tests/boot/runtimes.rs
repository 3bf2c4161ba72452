// SPDX-License-Identifier: GPL-2.0-only
//! `runtimes::NAME`: run-times of languages, whose programs (`tests/programs/`) must say what they
//! said on Linux 6.1 (`tests/recorded/runtimes.txt`). Where a compiler is missing, its programs
//! are reported as ignored.

use libtest_mimic::{Completion, Failed, Trial};
use std::fmt::Write;
use tests::machine::kernel;
use xtask::oracle;
use xtask::paths::Paths;
use xtask::runtimes::{RUNTIMES, Runtime, SET};
use xtask::{host_programs, transcript};

/// One test for each program and compiler.
pub fn trials() -> Vec<Trial> {
    let trial = |runtime: &'static Runtime| {
        Trial::ignorable_test(format!("runtimes::{}", runtime.name), || run(runtime))
    };
    RUNTIMES.iter().map(trial).collect()
}

fn run(runtime: &Runtime) -> Result<Completion, Failed> {
    let paths = Paths::find().map_err(|error| format!("{error:#}"))?;
    if let Some(why) = runtime.missing(&paths) {
        return Ok(Completion::ignored_with(why));
    }
    let runs = runtime.runs(&runtime.compile(&paths).map_err(|error| format!("{error:#}"))?);
    let here = host_programs::rows(&kernel()?, &paths, &runs).map_err(|error| format!("{error:#}"))?;
    let recorded = std::fs::read_to_string(oracle::recorded(&paths, SET))?;
    let mut linux = transcript::rows(&recorded);
    linux.retain(|row| runs.iter().any(|run| row.key.split(' ').next() == Some(&run.name)));
    if linux.is_empty() {
        return Err("`cargo xtask compare --record runtimes` has not seen Linux run it".into());
    }
    let known = std::fs::read_to_string(oracle::expected_differences(&paths))?;
    let known = transcript::expected(&known)?;
    let different = transcript::compare(&linux, &here).different;
    let mut wrong = String::new();
    for difference in &different {
        if !known.iter().any(|e| e.covers(SET, &difference.key)) {
            let _ = write!(wrong, "{}", difference.show());
        }
    }
    // A line that is about rows of this program must be about one that differs.
    for e in known.iter().filter(|e| linux.iter().any(|row| e.covers(SET, &row.key))) {
        if !different.iter().any(|difference| e.covers(SET, &difference.key)) {
            let _ = writeln!(wrong, "now as on Linux; line {} of expected-differences is too much", e.line);
        }
    }
    if wrong.is_empty() { Ok(Completion::Completed) } else { Err(format!("\n{wrong}").into()) }
}
