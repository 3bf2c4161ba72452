// SPDX-License-Identifier: GPL-2.0-only
//! `kselftest::DIRECTORY`: Linux's own self-tests, each of which must end as it did on Linux 6.1
//! (`tests/recorded/kselftest.txt`), or be listed with the reason in `kselftest-differences`.
//!
//! Their source is not ours to have: they run where `cargo xtask kselftest` has fetched it once,
//! and are reported as ignored elsewhere.

use libtest_mimic::{Completion, Failed, Trial};
use xtask::paths::Paths;
use xtask::selftests::{self, source::Source, suite};

/// One test for each directory; those that are slow are for `cargo xtask kselftest` only.
pub fn trials() -> Vec<Trial> {
    let name = |dir: &str| format!("kselftest::{}", dir.replace('/', "_"));
    let mut trials: Vec<Trial> =
        suite::GROUPS.iter().map(|group| Trial::ignorable_test(name(group.dir), || run(group.dir))).collect();
    trials.push(Trial::test("kselftest::differences_are_of_tests", every_line_is_of_a_test));
    trials
}

fn paths() -> Result<Paths, Failed> {
    Paths::find().map_err(|error| format!("{error:#}").into())
}

fn run(dir: &str) -> Result<Completion, Failed> {
    let paths = paths()?;
    if let Err(why) = Source::ready(&paths) {
        return Ok(Completion::ignored_with(why));
    }
    selftests::check(&paths, dir).map(|()| Completion::Completed).map_err(|error| format!("{error:#}").into())
}

/// A line about a test that there is not, or that Linux was never asked about, is a mistake.
fn every_line_is_of_a_test() -> Result<(), Failed> {
    selftests::record::stray(&paths()?).map_err(|error| format!("{error:#}").into())
}
