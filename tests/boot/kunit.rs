// SPDX-License-Identifier: GPL-2.0-only
//! `kunit::SUITE.TEST`: the tests that run inside the kernel. They are found
//! by booting once with `kunit.enable=1`, and that boot is also their run. A
//! test that is asked for by its exact name is taken at its word, so that
//! under nextest the process of one test boots once, for that test.

use libtest_mimic::{Arguments, Failed, Trial};
use std::sync::LazyLock;
use tests::machine::{boot_archive, tail};
use tests::{console, hello};
use xtask::ktap::{self, Results, Verdict};

const PREFIX: &str = "kunit::";

/// What the boot brought: the results, and the console for whoever asks why.
static BOOT: LazyLock<Result<(Results, String), String>> = LazyLock::new(|| {
    let outcome = boot_archive(&hello::archive().finish(), "kunit.enable=1")?;
    Ok((ktap::parse(&outcome.console), outcome.console))
});

/// One test for each in-kernel test, and one for the run as a whole.
pub fn trials(args: &Arguments) -> Vec<Trial> {
    let mut trials = vec![Trial::test("kunit::whole_run", whole_run)];
    if !wanted(args) {
        return trials;
    }
    match args.filter.as_deref().filter(|_| args.exact) {
        Some(name) if name == trials[0].name() => {}
        Some(name) => trials.push(trial(name.trim_start_matches(PREFIX).to_owned(), false)),
        None => {
            let found = BOOT.as_ref().map(|(results, _)| results.tests.as_slice()).unwrap_or_default();
            let skipped = |verdict: &Verdict| matches!(verdict, Verdict::Skipped(_));
            trials.extend(found.iter().map(|test| trial(test.name.clone(), skipped(&test.result))));
        }
    }
    trials
}

/// Can the filter be meant for these tests?
fn wanted(args: &Arguments) -> bool {
    const OTHERS: [&str; 5] = ["user::", "initramfs::", "boot::", "fuzz::", "oracle::"];
    match args.filter.as_deref() {
        Some(filter) if args.exact => filter.starts_with(PREFIX),
        Some(filter) => !OTHERS.iter().any(|other| filter.starts_with(other)),
        None => true,
    }
}

fn trial(name: String, skipped: bool) -> Trial {
    Trial::test(format!("{PREFIX}{name}"), move || run(&name)).with_ignored_flag(skipped)
}

fn run(name: &str) -> Result<(), Failed> {
    let (results, text) = BOOT.as_ref().map_err(Clone::clone)?;
    let Some(test) = results.get(name) else {
        return Err(format!("the kernel ran no test of this name\n{}", tail(text)).into());
    };
    match &test.result {
        Verdict::Passed => Ok(()),
        Verdict::Failed => Err(format!("the kernel says:\n{}", test.said.join("\n")).into()),
        Verdict::Skipped(why) => Err(format!("the kernel skipped it: {why}").into()),
    }
}

/// What the tests provoke must be in the log as Linux words it.
const PROVOKED: [&str; 3] = [
    "unchecked MSR access error: RDMSR from 0x4b564dff at rIP: 0xffffffff8",
    "unchecked MSR access error: WRMSR to 0x6e1 (tried to write 0x123456789abcdef0) at rIP: 0xffffffff8",
    ", reinitializing FPU registers.",
];

/// Every promised result came, and the kernel went on to `/init`.
fn whole_run() -> Result<(), Failed> {
    let (results, text) = BOOT.as_ref().map_err(Clone::clone)?;
    if !results.complete() {
        let promised = results.promised.map_or("nothing".into(), |count| format!("{count} results"));
        return Err(format!("the plan promised {promised}, and {} came\n{}", results.came, tail(text)).into());
    }
    for line in PROVOKED {
        console::expect_in_order(text, &[line]).map_err(|why| format!("{why}\n{}", tail(text)))?;
    }
    console::expect_in_order(text, &[hello::LINE]).map_err(|why| format!("{why}\n{}", tail(text)).into())
}
