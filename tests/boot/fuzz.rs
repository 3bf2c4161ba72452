// SPDX-License-Identifier: GPL-2.0-only
//! `fuzz::…`: the fuzzers, bounded, with a fixed seed. Each is the first process of a
//! machine of its own, which must still be there at the end.

use libtest_mimic::{Failed, Trial};
use tests::console::{FAULTS, expect_in_order, expect_none};
use tests::machine::{boot_file, rootfs, tail};

/// Each fuzzer with how many cases it runs here.
const FUZZERS: &[(&str, u32)] = &[("syscalls", 200)];

/// The tests.
pub fn trials() -> Vec<Trial> {
    let trial = |&(name, cases): &(&'static str, u32)| {
        Trial::test(format!("fuzz::{name}"), move || fuzz(name, cases))
    };
    FUZZERS.iter().map(trial).collect()
}

fn fuzz(name: &str, cases: u32) -> Result<(), Failed> {
    let append = format!("quiet rdinit=/bin/fuzz_{name} -- --seed 1 --cases {cases}");
    let outcome = boot_file(&rootfs()?, &append)?;
    let last = format!("fuzz_{name}: seed 1: ");
    expect_none(&outcome.console, &FAULTS)
        .and_then(|()| expect_in_order(&outcome.console, &[&last]))
        .map_err(|why| format!("{why}\n{}", tail(&outcome.console)).into())
}
