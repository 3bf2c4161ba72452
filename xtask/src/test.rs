// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask test`: the host's unit tests, then the tests that boot.

use crate::build;
use crate::cli::TestArgs;
use crate::paths::Paths;
use crate::retry::{self, Verdict};
use crate::tools;
use crate::ui;
use anyhow::{Context, Result, bail};
use std::process::{Command, ExitCode};

/// Packages whose libraries have unit tests that run on the host.
const UNIT_TESTED: [&str; 5] = ["kernel", "vdso", "user", "xtask", "tests"];

/// Runs the command.
pub fn main(args: &TestArgs) -> Result<ExitCode> {
    let paths = Paths::find()?;
    let install = args.install.install();
    tools::need_qemu(install)?;
    if args.nextest && tools::which("cargo-nextest").is_none() {
        bail!(
            "--nextest needs cargo-nextest; run `cargo install cargo-nextest --locked`, or leave --nextest out"
        );
    }
    build::all(&paths, install)?;
    build::test_kernels(&paths, install)?;
    let (mut failed, mut again) = (Vec::new(), Vec::new());
    for (what, selection) in selections() {
        ui::say(&format!("running {what}"));
        let command = |test: Option<&str>| cargo_test(&paths, args, &selection, test);
        let verdict = if args.retry { retry::run(command) } else { retry::once(&mut command(None)) };
        match verdict.context(what)? {
            Verdict::Passed => {}
            Verdict::PassedAgain(tests) => again.extend(tests),
            Verdict::Failed => failed.push(what),
        }
    }
    for test in again {
        ui::say(&format!("{test} failed at first, and passed when it was run again by itself"));
    }
    if !failed.is_empty() {
        bail!("{} failed; each failed test says above what it wanted", failed.join(" and "));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is run, and cargo's words for it.
fn selections() -> [(&'static str, Vec<&'static str>); 2] {
    let mut units = vec!["--lib"];
    for package in UNIT_TESTED {
        units.extend(["-p", package]);
    }
    [("the unit tests", units), ("the booting tests", vec!["-p", "tests", "--test", "boot"])]
}

/// The command for one selection, with the user's filter and arguments; or for one test of it.
fn cargo_test(paths: &Paths, args: &TestArgs, selection: &[&str], test: Option<&str>) -> Command {
    let mut command = Command::new(tools::cargo());
    command.current_dir(&paths.root);
    if args.nextest {
        // A filter may fit the tests of one selection only.
        command.args(["nextest", "run", "--no-fail-fast", "--no-tests=pass"]).args(selection);
        command.args(&args.filter).args(&args.rest);
    } else {
        command.args(["test", "--quiet", "--no-fail-fast"]).args(selection).arg("--");
        match test {
            Some(test) => command.args([test, "--exact"]),
            None => command.args(&args.filter),
        };
        command.args(&args.rest);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn words(line: &[&str]) -> String {
        let cli = crate::cli::Cli::try_parse_from(["xtask", "test"].iter().chain(line)).unwrap();
        let crate::cli::Command::Test(args) = cli.command else { panic!("{cli:?}") };
        let paths = Paths { root: "/".into(), target: "/t".into() };
        let command = cargo_test(&paths, &args, &selections()[1].1, None);
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn arguments_are_passed_on() {
        assert_eq!(words(&[]), "test --quiet --no-fail-fast -p tests --test boot --");
        assert_eq!(
            words(&["user::", "--", "--exact"]),
            "test --quiet --no-fail-fast -p tests --test boot -- user:: --exact"
        );
        assert_eq!(
            words(&["--nextest", "kunit", "--", "--partition", "count:1/2"]),
            "nextest run --no-fail-fast --no-tests=pass -p tests --test boot kunit --partition count:1/2"
        );
    }
}
