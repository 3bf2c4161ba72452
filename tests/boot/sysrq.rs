// SPDX-License-Identifier: GPL-2.0-only
//! `sysrq::…`: SysRq keys after which the machine is not what it was, or not there. (The others:
//! `user::sysrq_keys`.)

use libtest_mimic::{Failed, Trial};
use tests::console::{expect_in_order, expect_none};
use tests::machine::{boot_file, rootfs, tail};

/// A name, the keys, what comes, and what must not.
type Key = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const KEYS: &[Key] = &[
    (
        "terminate_all_tasks",
        "e",
        &["sysrq: Terminate All Tasks", "e: the first killed by SIGTERM", "sysrq_trigger: still there"],
        &["the second"],
    ),
    (
        "kill_all_tasks",
        "i",
        // The one that asked as well.
        &["sysrq: Kill All Tasks", "sysrq_trigger: killed by SIGKILL"],
        &["sysrq_trigger: still there"],
    ),
    (
        "manual_oom",
        "f",
        &["sysrq: Manual OOM execution", " invoked oom-killer", " (sysrq_trigger) total-vm:"],
        &["OOM request ignored"],
    ),
    (
        "crash",
        "c",
        &[
            "sysrq: Trigger a crash",
            "Kernel panic - not syncing: sysrq triggered crash",
            "Call Trace:",
            "write_sysrq_trigger+0x",
            "RIP: 0033:0x",
        ],
        &["sysrq_trigger: still there"],
    ),
    ("reboot", "b", &["sysrq: Resetting"], &["sysrq_trigger: still there", "reboot: "]),
    ("power_off", "o", &["sysrq: Power Off", "reboot: Power down"], &["sysrq_trigger: still there"]),
];

/// The tests.
pub fn trials() -> Vec<Trial> {
    let key = |&(name, keys, lines, never): &Key| {
        Trial::test(format!("sysrq::{name}"), move || press(keys, lines, never))
    };
    KEYS.iter().map(key).collect()
}

fn press(keys: &str, lines: &[&str], never: &[&str]) -> Result<(), Failed> {
    let console = boot_file(&rootfs()?, &format!("panic=1 -- sysrq_trigger {keys}"))?.console;
    expect_none(&console, never)?;
    expect_in_order(&console, lines).map_err(|why| format!("{why}\n{}", tail(&console)).into())
}
