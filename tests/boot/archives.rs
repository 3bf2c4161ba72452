// SPDX-License-Identifier: GPL-2.0-only
//! `initramfs::…`: archives and `/init` programs, good and bad.

use libtest_mimic::{Failed, Trial};
use tests::console::{FAULTS, expect_in_order, expect_none};
use tests::hello;
use tests::hostile::{Case, Expect, cases};
use tests::machine::{boot_archive, tail};

/// One test for each case.
pub fn trials() -> Vec<Trial> {
    cases().map(|case| Trial::test(format!("initramfs::{}", case.name), || run(case))).collect()
}

fn run(case: &Case) -> Result<(), Failed> {
    let outcome = boot_archive(&(case.archive)(), case.append)?;
    let verdict = expect_none(&outcome.console, &FAULTS).and_then(|()| match case.expect {
        Expect::Hello => expect_none(&outcome.console, &["Kernel panic"])
            .and_then(|()| expect_in_order(&outcome.console, &[hello::LINE])),
        Expect::Says(lines) => expect_in_order(&outcome.console, lines),
    });
    verdict.map_err(|why| format!("{why}\n{}", tail(&outcome.console)).into())
}
