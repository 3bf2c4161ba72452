// SPDX-License-Identifier: GPL-2.0-only
//! `provoke::…`: faults of the kernel's own, through lkdtm's file. Linux's words, the fate of
//! the task that asked, and a machine that goes on. Addresses and the register dumps are not
//! compared.

use libtest_mimic::{Failed, Trial};
use std::sync::OnceLock;
use tests::console::expect_in_order;
use tests::machine::{boot_file, rootfs, tail};

/// What is asked for, the lines it must bring, and how the task that asked ends.
const CRASHES: &[(&str, &[&str], &str)] = &[
    (
        "BUG",
        &["kernel BUG at kernel/src/drivers/misc/lkdtm.rs:", "invalid opcode: 0000 [#", "RIP: 0010:bug+0x"],
        "killed by SIGSEGV",
    ),
    (
        "WARNING",
        &["------------[ cut here ]------------", "WARNING: CPU: 0 PID: ", "RIP: 0010:warning+0x"],
        "exit 0",
    ),
    (
        "WARNING_MESSAGE",
        &["Warning message trigger count: 1", "WARNING: CPU: 0 PID: ", "RIP: 0010:warning_message+0x"],
        "exit 0",
    ),
    (
        "EXCEPTION",
        &[
            "BUG: kernel NULL pointer dereference, address: 0000000000000000",
            "#PF: supervisor write access in kernel mode",
            "#PF: error_code(0x0002) - not-present page",
            "Oops: 0002 [#",
            "RIP: 0010:exception+0x",
            "Call Trace:",
            "direct_entry+0x",
        ],
        "killed by SIGKILL",
    ),
    ("UNALIGNED_LOAD_STORE_WRITE", &["XFAIL: arch has CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS"], "exit 0"),
    ("EXEC_DATA", NX, "killed by SIGKILL"),
    ("EXEC_STACK", NX, "killed by SIGKILL"),
    ("EXEC_KMALLOC", NX, "killed by SIGKILL"),
    ("EXEC_RODATA", NX, "killed by SIGKILL"),
    (
        "EXEC_USERSPACE",
        &[
            "unable to execute userspace code (SMEP?) (uid: 0)",
            "#PF: error_code(0x0011) - permissions violation",
        ],
        "killed by SIGKILL",
    ),
    (
        "EXEC_NULL",
        &[
            "BUG: kernel NULL pointer dereference",
            "#PF: supervisor instruction fetch in kernel mode",
            "RIP: 0010:0x0",
        ],
        "killed by SIGKILL",
    ),
    (
        "ACCESS_USERSPACE",
        &[
            "attempting bad read",
            "#PF: error_code(0x0001) - permissions violation",
            "RIP: 0010:access_userspace+0x",
        ],
        "killed by SIGKILL",
    ),
    (
        "ACCESS_NULL",
        &[
            "BUG: kernel NULL pointer dereference",
            "#PF: supervisor read access in kernel mode",
            "Oops: 0000 [#",
        ],
        "killed by SIGKILL",
    ),
    (
        "WRITE_RO",
        &[
            "attempting bad rodata write",
            "#PF: error_code(0x0003) - permissions violation",
            "RIP: 0010:write_ro+0x",
        ],
        "killed by SIGKILL",
    ),
    (
        "WRITE_KERN",
        &[
            "attempting bad 8 byte write",
            "#PF: error_code(0x0003) - permissions violation",
            "RIP: 0010:write_kern+0x",
        ],
        "killed by SIGKILL",
    ),
];

const NX: &[&str] = &[
    "attempting bad execution at",
    "kernel tried to execute NX-protected page - exploit attempt? (uid: 0)",
    "#PF: supervisor instruction fetch in kernel mode",
    "#PF: error_code(0x0011) - permissions violation",
    "Oops: 0011 [#",
];

static CONSOLE: OnceLock<Result<String, String>> = OnceLock::new();

/// The tests: one boot serves those that the machine survives.
pub fn trials() -> Vec<Trial> {
    let crash = |&(name, lines, end): &(&'static str, &'static [&'static str], &'static str)| {
        Trial::test(format!("provoke::{name}"), move || survived(name, lines, end))
    };
    let mut trials: Vec<_> = CRASHES.iter().map(crash).collect();
    trials.push(Trial::test("provoke::EXHAUST_STACK", exhaust_stack));
    trials.push(Trial::test("provoke::PANIC", panic));
    trials.push(Trial::test("provoke::panic_on_oops", panic_on_oops));
    trials.push(Trial::test("provoke::HARDLOCKUP", hardlockup));
    trials.push(Trial::test("provoke::SOFTLOCKUP", softlockup));
    trials
}

fn provoke(words: &str, names: &str) -> Result<String, String> {
    Ok(boot_file(&rootfs()?, &format!("{words} -- provoke {names}"))?.console)
}

fn says(console: &str, lines: &[&str]) -> Result<(), Failed> {
    expect_in_order(console, lines).map_err(|why| format!("{why}\n{}", tail(console)).into())
}

fn survived(name: &str, lines: &[&str], end: &str) -> Result<(), Failed> {
    let all = || {
        let names: Vec<&str> = CRASHES.iter().map(|c| c.0).collect();
        provoke("", &names.join(" "))
    };
    let console = CONSOLE.get_or_init(all).as_ref().map_err(Clone::clone)?;
    says(console, &["provoke: the machine is still there"])?;
    let begin = format!("lkdtm: Performing direct entry {name}\r");
    let from = console.find(&begin).ok_or_else(|| format!("no `{begin}`\n{}", tail(console)))?;
    let last = format!("provoke: {name}: {end}");
    let to = console[from..].find("provoke: ").map_or(console.len(), |at| from + at + last.len());
    let part = &console[from..to.min(console.len())];
    let mut wanted = lines.to_vec();
    wanted.push(&last);
    says(part, &wanted)
}

/// The stack's end is the machine's, as on Linux: the oops is on an exception stack.
fn exhaust_stack() -> Result<(), Failed> {
    let console = provoke("", "EXHAUST_STACK")?;
    says(
        &console,
        &[
            "BUG: TASK stack guard page was hit at ",
            "stack guard page: 0000 [#1] PREEMPT SMP NOPTI",
            "RIP: 0010:recurse+0x",
            "Call Trace:",
            "recurse+0x",
            "Kernel panic - not syncing: Fatal exception in interrupt",
        ],
    )
}

fn panic() -> Result<(), Failed> {
    says(
        &provoke("", "PANIC")?,
        &[
            "Performing direct entry PANIC",
            "Kernel panic - not syncing: dumptest",
            "Call Trace:",
            "direct_entry+0x",
        ],
    )
}

fn panic_on_oops() -> Result<(), Failed> {
    let console = provoke("oops=panic", "EXCEPTION")?;
    says(
        &console,
        &[
            "BUG: kernel NULL pointer dereference",
            "RIP: 0010:exception+0x",
            "Kernel panic - not syncing: Fatal exception",
        ],
    )
}

/// The machine never comes back by itself.
fn hardlockup() -> Result<(), Failed> {
    let console = provoke("nmi_watchdog=panic watchdog_thresh=2", "HARDLOCKUP")?;
    says(
        &console,
        &[
            "NMI watchdog: Enabled.",
            "Performing direct entry HARDLOCKUP",
            "NMI watchdog: Watchdog detected hard LOCKUP on cpu 0",
            "Modules linked in:",
            "Comm: provoke ",
            "RIP: 0010:hardlockup+0x",
            "Call Trace:",
            "direct_entry+0x",
            "RIP: 0033:0x",
            "Kernel panic - not syncing: Hard LOCKUP",
        ],
    )
}

fn softlockup() -> Result<(), Failed> {
    let console = provoke("softlockup_panic=1 watchdog_thresh=1", "SOFTLOCKUP")?;
    says(
        &console,
        &[
            "Performing direct entry SOFTLOCKUP",
            "watchdog: BUG: soft lockup - CPU#0 stuck for ",
            "Modules linked in:",
            "RIP: 0010:softlockup+0x",
            "Call Trace:",
            "direct_entry+0x",
            "Kernel panic - not syncing: softlockup: hung tasks",
        ],
    )
}
