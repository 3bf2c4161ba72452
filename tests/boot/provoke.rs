// SPDX-License-Identifier: GPL-2.0-only
//! `provoke::…`: faults of the kernel's own, through lkdtm's file. The whole of what the kernel
//! says of each, and the fate of the task that asked, compared with what Linux 6.1 said
//! (`tests/recorded/oopses.txt`; `xtask::oops` says what is brought into a common form first).

use libtest_mimic::{Failed, Trial};
use std::collections::BTreeSet;
use std::sync::{LazyLock, OnceLock};
use tests::console::expect_in_order;
use tests::machine::{boot_file, kernel, rootfs, tail};
use xtask::oops::{self, BOOTS, Boot, Oopses};
use xtask::paths::Paths;

static PATHS: LazyLock<Result<Paths, String>> =
    LazyLock::new(|| Paths::find().map_err(|error| format!("{error:#}")));

static RECORDED: LazyLock<Result<Oopses, String>> = LazyLock::new(|| {
    let file = oops::recorded(PATHS.as_ref().map_err(Clone::clone)?);
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(oops::read(&text))
});

/// What was said in each of the boots, as far as they were made.
static BOOTED: [OnceLock<Result<Oopses, String>>; BOOTS.len()] = [const { OnceLock::new() }; BOOTS.len()];

/// The tests: one boot serves those that the machine survives.
pub fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("provoke::all_are_recorded", all_are_recorded)];
    for (index, boot) in BOOTS.iter().enumerate() {
        for name in boot.names {
            let title = boot.title(name);
            let test = format!("provoke::{}", title.replace(' ', "::"));
            trials.push(Trial::test(test, move || judge(index, &title)));
        }
    }
    trials.push(Trial::test("provoke::HARDLOCKUP", hardlockup));
    trials.push(Trial::test("provoke::SOFTLOCKUP", softlockup));
    trials
}

/// What a boot says, made once.
fn said(index: usize) -> Result<&'static Oopses, String> {
    let boot = |boot: &Boot| {
        let paths = PATHS.as_ref().map_err(Clone::clone)?;
        oops::boot(&kernel()?, paths, None, boot).map_err(|error| format!("{error:#}"))
    };
    BOOTED[index].get_or_init(|| boot(&BOOTS[index])).as_ref().map_err(Clone::clone)
}

fn judge(index: usize, title: &str) -> Result<(), Failed> {
    let recorded = RECORDED.as_ref().map_err(Clone::clone)?;
    let linux =
        recorded.get(title).ok_or("`cargo xtask compare --record oopses` has not seen Linux do this")?;
    let here = said(index)?.get(title).map_or(&[][..], Vec::as_slice);
    match oops::difference(linux, here) {
        None => Ok(()),
        Some(difference) => Err(format!("\n{difference}").into()),
    }
}

/// A record with nothing in it would agree with a kernel that says nothing; each has the line
/// that began it, and an end.
fn all_are_recorded() -> Result<(), Failed> {
    let recorded = RECORDED.as_ref().map_err(Clone::clone)?;
    let titles = BOOTS.iter().flat_map(|boot| boot.names.iter().map(|name| (boot.title(name), *name)));
    let titles: Vec<(String, &str)> = titles.collect();
    for (title, name) in &titles {
        let lines = recorded.get(title).map_or(&[][..], Vec::as_slice);
        let (begin, end) = (format!("lkdtm: Performing direct entry {name}"), format!("provoke: {name}: "));
        let ended = lines.last().is_some_and(|last| last.starts_with(&end))
            || lines.iter().any(|line| line.starts_with("Kernel panic - not syncing: "));
        if lines.first() != Some(&begin) || !ended {
            return Err(format!("the record of {title} is not whole").into());
        }
    }
    let known: BTreeSet<&String> = titles.iter().map(|(title, _)| title).collect();
    match recorded.keys().find(|title| !known.contains(title)) {
        Some(title) => Err(format!("{title} is recorded and never provoked").into()),
        None => Ok(()),
    }
}

/// A lockup lasts as long as the watchdog's patience: the lines that it must bring, in order.
fn locks_up(words: &str, name: &str, lines: &[&str]) -> Result<(), Failed> {
    let console = boot_file(&rootfs()?, &format!("{words} -- provoke {name}"))?.console;
    expect_in_order(&console, lines).map_err(|why| format!("{why}\n{}", tail(&console)).into())
}

/// The machine never comes back by itself.
fn hardlockup() -> Result<(), Failed> {
    locks_up(
        "nmi_watchdog=panic watchdog_thresh=2",
        "HARDLOCKUP",
        &[
            "NMI watchdog: Enabled.",
            "Performing direct entry HARDLOCKUP",
            "NMI watchdog: Watchdog detected hard LOCKUP on cpu 0",
            "Modules linked in:",
            "Comm: provoke ",
            "RIP: 0010:lkdtm_HARDLOCKUP+0x",
            "Call Trace:",
            "direct_entry+0x",
            "RIP: 0033:0x",
            "Kernel panic - not syncing: Hard LOCKUP",
        ],
    )
}

fn softlockup() -> Result<(), Failed> {
    locks_up(
        "softlockup_panic=1 watchdog_thresh=1",
        "SOFTLOCKUP",
        &[
            "Performing direct entry SOFTLOCKUP",
            "watchdog: BUG: soft lockup - CPU#0 stuck for ",
            "Modules linked in:",
            "RIP: 0010:lkdtm_SOFTLOCKUP+0x",
            "Call Trace:",
            "direct_entry+0x",
            "Kernel panic - not syncing: softlockup: hung tasks",
        ],
    )
}
