// SPDX-License-Identifier: GPL-2.0-only
//! `nmi::…`: the proof that an NMI may come anywhere, and another into its handling.

use crate::modes::judge;
use libtest_mimic::{Failed, Trial};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;
use tests::console::{expect_in_order, expect_none};
use tests::machine::{self, boot_file, ended, kernel, rootfs, tail, test_kernel};
use tests::nmi_proof::{self, Coverage};
use xtask::build::Variant;
use xtask::gdbstub::Debugged;
use xtask::ktap::{self, Verdict};
use xtask::nmi_storm::Plan;
use xtask::qemu::{self, Console, Machine, Outcome};
use xtask::report::Report;
use xtask::run::CONSOLE;
use xtask::symbols::Symbols;

/// How long programs may go through the entries until nobody comes by a new instruction.
const BUDGET: Duration = Duration::from_secs(30);

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("nmi::at_every_boundary_of_the_entries", every_boundary),
        Trial::test("nmi::in_user_mode", || in_user_mode("fault", 1)),
        Trial::test("nmi::in_user_mode_with_a_second_pending", || in_user_mode("second,fault,iret", 2)),
        Trial::test("nmi::nested_at_every_instruction", every_nested),
        Trial::test("nmi::unknown_nmi_panic", || ends_in_panic("unknown_nmi_panic", 0x21)),
        Trial::test("nmi::panic_on_unrecovered_nmi", || ends_in_panic("panic_on_unrecovered_nmi", 0x21)),
        Trial::test("nmi::panic_on_unrecovered_nmi_of_pci", || {
            ends_in_panic("panic_on_unrecovered_nmi", 0xa1)
        }),
        Trial::test("nmi::panic_on_io_nmi", || ends_in_panic("panic_on_io_nmi", 0x61)),
        Trial::test("nmi::without_switches_no_panic", no_panic),
        Trial::test("nmi::in_a_panic_no_second", in_a_panic),
        Trial::test("nmi::sent_are_counted", sent_are_counted),
        Trial::test("nmi::storm", storm),
        Trial::test("nmi::a_second_behind_each", second),
        Trial::test("nmi::checked_kernel_in_a_storm", checked_storm),
        Trial::test("nmi::checked_kernel_kunit", checked_kunit),
        Trial::test("nmi::checked_kernel_prints", checked_prints),
        Trial::test("nmi::a_lock_in_a_handler_is_caught", a_lock_is_caught),
        Trial::test("nmi::a_kernel_without_nesting_is_found_out", built_without_nesting),
        Trial::test("nmi::without_the_look_at_rip", || found_out(&kernel()?, Some("nmi_if_repeating"))),
        Trial::test("nmi::without_the_look_at_the_variable", || {
            found_out(&kernel()?, Some("nmi_if_executing"))
        }),
        Trial::test("nmi::without_the_look_at_rsp", || found_out(&kernel()?, Some("nmi_if_leaving"))),
    ]
}

/// What was covered, for whoever reads the log.
fn show(name: &str, c: &Coverage) {
    if c.padding != 0 {
        println!("nmi::{name}: not counted: {} instructions that only align others", c.padding);
    }
    println!(
        "nmi::{name}: an NMI at {} of {} instructions; {} injected, {} handled",
        c.injected, c.of, c.nmis.0, c.nmis.1
    );
    if c.beyond != 0 {
        println!("nmi::{name}: and at {} instructions of what those call", c.beyond);
    }
    if c.reports != 0 {
        println!("nmi::{name}: {} of them in what handlers print", c.reports);
    }
}

fn every_boundary() -> Result<(), Failed> {
    let c = nmi_proof::every_boundary(&kernel()?, &rootfs()?, BUDGET)?;
    show("at_every_boundary_of_the_entries", &c);
    if c.nmis.0 != c.nmis.1 {
        return Err(format!("{} NMIs were injected, and {} handled", c.nmis.0, c.nmis.1).into());
    }
    complete(&c)
}

/// Nothing is left out: an instruction that nobody comes by is not proven.
fn complete(c: &Coverage) -> Result<(), Failed> {
    if c.missed.is_empty() && c.injected == c.of && c.of > 100 {
        return Ok(());
    }
    Err(format!("{} of {} instructions; nobody comes by {:#?}", c.injected, c.of, c.missed).into())
}

/// From user mode, on the thread's stack: GS, stack, frame, segments, flags are right in the handler,
/// and afterwards what they were. `times`: how many are handled for each that is injected, at most.
fn in_user_mode(handlers: &str, times: u64) -> Result<(), Failed> {
    let c = nmi_proof::every_user(&kernel()?, &rootfs()?, handlers)?;
    show("in_user_mode", &c);
    let (injected, handled) = c.nmis;
    // With `second`, every other handler has another one wait.
    let wanted = if times == 1 { injected..=injected } else { injected * 2 - 1..=injected * 2 + 1 };
    if injected < 15 || !wanted.contains(&handled) {
        return Err(format!("{injected} NMIs were injected, and {handled} handled").into());
    }
    Ok(())
}

/// A machine whose program is in user mode, after it has written to a file; port 0x61 says `reason`.
fn nmi_of_reason(files: &str, reason: u8) -> Result<Debugged, Failed> {
    let append = format!("{CONSOLE} panic=0 -- nmi_user {files}");
    let kernel = kernel()?;
    let mut d = Debugged::start(&Machine::direct(&kernel, Some(&rootfs()?), &append))?;
    d.run_until_said("nmi_user: running", Duration::from_secs(60))?;
    set_reason(&mut d, &kernel, reason)?;
    d.inject_nmi()?;
    Ok(d)
}

/// From now on the machine's port 0x61 says so.
fn set_reason(d: &mut Debugged, kernel: &Path, reason: u8) -> Result<(), Failed> {
    Ok(nmi_proof::set_reason(d, Symbols::read(kernel)?.at(nmi_proof::GET_REASON)?, reason)?)
}

/// What the log says first of an NMI with such a reason, and of the panic.
fn words_of(reason: u8) -> [&'static str; 2] {
    match reason & 0xc0 {
        0 => ["Uhhuh. NMI received for unknown reason 21 on CPU 0.", "NMI: Not continuing"],
        0x40 => {
            ["NMI: IOCK error (debug interrupt?) for reason 61 on CPU 0.", "NMI IOCK error: Not continuing"]
        }
        _ => ["NMI: PCI system error (SERR) for reason a1 on CPU 0.", "NMI: Not continuing"],
    }
}

/// One of the switches is on: such an NMI ends everything, also one from user mode.
fn ends_in_panic(switch: &str, reason: u8) -> Result<(), Failed> {
    let mut d = nmi_of_reason(&format!("/proc/sys/kernel/{switch}=1"), reason)?;
    let [first, why] = words_of(reason);
    let panic = format!("Kernel panic - not syncing: {why}");
    let end = format!("---[ end {panic} ]---");
    d.run_until_said(&end, Duration::from_secs(20))?;
    let console = d.console();
    expect_in_order(&console, &[first, &panic, &end])?;
    Ok(expect_none(&console, &["Dazed and confused"])?)
}

/// And without, all of these go on.
fn no_panic() -> Result<(), Failed> {
    for reason in [0x21, 0x61, 0xa1] {
        let mut d = nmi_of_reason("", reason)?;
        d.run_until_said(words_of(reason)[0], Duration::from_secs(20))?;
        if reason != 0x61 {
            d.run_until_said("Dazed and confused, but trying to continue", Duration::from_secs(20))?;
        }
        d.run(Duration::from_secs(1))?;
        expect_none(&d.console(), &["Kernel panic"])?;
    }
    Ok(())
}

/// An NMI that comes while a panic waits for its reboot does not panic again: it ends, as does the wait.
fn in_a_panic() -> Result<(), Failed> {
    for (switch, reason) in [("unknown_nmi_panic", 0x21), ("panic_on_io_nmi", 0x61)] {
        let append =
            format!("{CONSOLE} panic=2 -- nmi_user /proc/sys/kernel/{switch}=1 /proc/sysrq-trigger=c");
        let kernel = kernel()?;
        let mut d = Debugged::start(&Machine::direct(&kernel, Some(&rootfs()?), &append))?;
        d.run_until_said("Rebooting in 2 seconds..", Duration::from_secs(60))?;
        set_reason(&mut d, &kernel, reason)?;
        d.inject_nmi()?;
        let symbols = Symbols::read(&kernel)?;
        for label in ["asm_nmi", "nmi_iret"] {
            d.run_to(symbols.at(label)?, Duration::from_secs(10))
                .map_err(|why| format!("{label}: {why:#}"))?;
        }
        let console = d.console();
        if console.matches("Kernel panic - not syncing").count() != 1 {
            return Err(tail(&console).into());
        }
        // The machine is told not to start again.
        match d.run(Duration::from_secs(20)) {
            Err(why) if format!("{why:#}").contains("the machine ") => {}
            other => return Err(format!("the wait did not end: {other:?}\n{}", tail(&d.console())).into()),
        }
    }
    Ok(())
}

fn every_nested() -> Result<(), Failed> {
    let c = nmi_proof::every_nested(&kernel()?, &rootfs()?, None)?;
    show("nested_at_every_instruction", &c);
    // The handler, `do_nmi`, the breakpoint in there.
    if c.beyond < 300 {
        return Err(format!("only {} instructions of what the entry calls", c.beyond).into());
    }
    if c.reports < 500 {
        return Err(format!("only {} instructions of what handlers print", c.reports).into());
    }
    complete(&c)
}

/// A kernel that was built without the protocol must fail the same proof.
fn built_without_nesting() -> Result<(), Failed> {
    found_out(&test_kernel(Variant::BrokenNmiNesting)?, None)
}

/// As must one that lacks one of the three questions.
fn found_out(kernel: &Path, without: Option<&str>) -> Result<(), Failed> {
    match nmi_proof::every_nested(kernel, &rootfs()?, without) {
        // The frame is lost: the machine never comes back (the proof has waited twice), or somewhere else.
        Err(why) if ["nested at ", "held back at ", "never came to "].iter().any(|w| why.starts_with(w)) => {
            Ok(())
        }
        Err(why) => Err(format!("it failed for another reason: {why}").into()),
        Ok(_) => Err("a kernel that does not know nested NMIs passed the proof".into()),
    }
}

/// And so on a kernel with debug assertions: nothing that an NMI does takes a lock.
fn checked_storm() -> Result<(), Failed> {
    let (sent, (all, _)) = whole_set_on(&test_kernel(Variant::Checked)?, "trapline.nmi=count", 1000)?;
    println!("nmi::checked_kernel_in_a_storm: {all} NMIs handled, all as without");
    if all < sent / 2 || all < 500 { Err(format!("{sent} sent, {all} handled").into()) } else { Ok(()) }
}

/// The kernel's own tests, with its debug assertions. One of them is about the code of the usual kernel:
/// here the handling of a probe's hit also calls what the assertions need.
fn checked_kunit() -> Result<(), Failed> {
    let append = format!("{CONSOLE} kunit.enable=1 -- --only divide_error");
    let machine = Machine::direct(&test_kernel(Variant::Checked)?, Some(&rootfs()?), &append);
    let console = machine::run(&machine)?.console;
    let results = ktap::parse(&console);
    let of_usual = |name: &str| name.ends_with("what_handles_a_hit_has_no_hits");
    let failed = results.tests.iter().filter(|t| matches!(t.result, Verdict::Failed) && !of_usual(&t.name));
    let failed: Vec<_> = failed.collect();
    if !results.complete() || results.tests.len() < 40 || !failed.is_empty() {
        return Err(format!(
            "{} of {:?} came; {failed:?}\n{}",
            results.came,
            results.promised,
            tail(&console)
        )
        .into());
    }
    Ok(())
}

/// A run with `hz` NMIs a second, for so many seconds at most, and how many were sent.
fn stormed(kernel: &Path, words: &str, hz: u32, seconds: u64) -> Result<(Outcome, u64), Failed> {
    planned(kernel, words, &Plan { hz: Some(hz), at: Vec::new() }, seconds)
}

fn planned(kernel: &Path, words: &str, plan: &Plan, seconds: u64) -> Result<(Outcome, u64), Failed> {
    let machine = Machine::direct(kernel, Some(&rootfs()?), &format!("{CONSOLE} {words}"));
    let limit = Some(Duration::from_secs(seconds));
    Ok(qemu::run_with_nmis(&machine, Console::Captured, limit, plan).map_err(|e| format!("{e:#}"))?)
}

/// A handler that takes a lock is found out by a kernel with debug assertions, and by no other.
fn a_lock_is_caught() -> Result<(), Failed> {
    const CAUGHT: &str = "a lock in NMI context";
    let console = |kernel: &Path| -> Result<String, Failed> {
        let words = "trapline.nmi=lock -- --only divide_error,preemption,fork_cow";
        Ok(stormed(kernel, words, 50, 120)?.0.console)
    };
    let checked = console(&test_kernel(Variant::Checked)?)?;
    expect_in_order(&checked, &["kernel BUG at kernel/src/locking.rs:", CAUGHT])
        .map_err(|why| format!("{why}\n{}", tail(&checked)))?;
    Ok(expect_none(&console(&kernel()?)?, &[CAUGHT])?)
}

/// Nor does anything that is printed because of one, wherever that found the machine.
fn checked_prints() -> Result<(), Failed> {
    let words = "trapline.user_stack=1 trapline.nmi=backtrace,lockup,unknown -- --only divide_error,preemption,fork_cow";
    let (outcome, sent) = stormed(&test_kernel(Variant::Checked)?, words, 30, 120)?;
    let outcome = ended(outcome)?;
    let console = &outcome.console;
    expect_none(console, &["Oops", "a lock in NMI context", "WARNING:"])?;
    let count = |text| console.matches(text).count();
    let said = [
        count("Watchdog detected hard LOCKUP"),
        count("NMI backtrace for cpu 0"),
        count("Uhhuh. NMI received for unknown reason"),
    ];
    println!("nmi::checked_kernel_prints: of {sent} NMIs, {said:?} reports");
    if said.iter().any(|n| *n < 10) {
        return Err(format!("{sent} sent, {said:?} reports\n{}", tail(console)).into());
    }
    if rows(&outcome).iter().any(|(.., ok)| !ok) || rows(&outcome).len() < 3 {
        return Err(format!("{:?}\n{}", rows(&outcome), tail(console)).into());
    }
    Ok(())
}

/// How many NMIs the kernel says that it has handled, and how many of them were from user mode.
fn handled(console: &str) -> Result<(u64, u64), Failed> {
    let line = console.lines().find_map(|l| l.split_once("trapline.nmi: ").map(|(_, l)| l));
    let line = line.ok_or("the kernel does not say how many NMIs there were")?;
    let mut numbers = line.split_whitespace().filter_map(|w| w.parse().ok());
    Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
}

/// NMIs at given times (`--nmi-at`), so far apart that none is one with another: each is in the NMIs' line
/// of `/proc/interrupts`.
fn sent_are_counted() -> Result<(), Failed> {
    let plan = Plan { hz: None, at: (0..7).map(|n| Duration::from_millis(1500 + 250 * n)).collect() };
    let (outcome, sent) = planned(&kernel()?, "trapline.nmi=count -- nmi_user counts", &plan, 60)?;
    let outcome = ended(outcome)?;
    let lines = outcome.console.lines().filter_map(|l| l.split_once("nmi_user: "));
    let seen: Vec<u64> = lines
        .filter_map(|(_, l)| l.trim().strip_prefix("NMI:"))
        .filter_map(|l| l.strip_suffix("Non-maskable interrupts")?.trim().parse().ok())
        .collect();
    let (all, _) = handled(&outcome.console)?;
    println!("nmi::sent_are_counted: {sent} sent, {all} handled, {:?} shown", seen.last());
    if sent != 7 || all != sent || seen.last() != Some(&sent) || !seen.is_sorted() {
        return Err(format!("{sent} sent, {all} handled, {seen:?} shown\n{}", tail(&outcome.console)).into());
    }
    Ok(())
}

/// The whole set of programs with NMIs: how many were sent, and what the kernel says of them.
fn whole_set(words: &str, hz: u32) -> Result<(u64, (u64, u64)), Failed> {
    whole_set_on(&kernel()?, words, hz)
}

fn whole_set_on(kernel: &Path, words: &str, hz: u32) -> Result<(u64, (u64, u64)), Failed> {
    let (outcome, sent) = stormed(kernel, &format!("{words} -- --timeout 60"), hz, 180)?;
    let outcome = ended(outcome)?;
    expect_none(&outcome.console, &["Uhhuh", "Oops", "WARNING:", "BUG:"])?;
    judge(&outcome, 151)?;
    let (rows, quiet) = (rows(&outcome), QUIET.as_ref().map_err(String::as_str)?);
    if let Some((with, without)) = rows.iter().zip(quiet).find(|(a, b)| a != b) {
        return Err(format!("with NMIs {with:?}, without {without:?}").into());
    }
    if rows.len() != quiet.len() {
        return Err(format!("with NMIs {} rows, without {}", rows.len(), quiet.len()).into());
    }
    Ok((sent, handled(&outcome.console)?))
}

/// One row of a run's results: program, mode, what was promised, whether it was kept.
type Row = (String, String, String, bool);

fn rows(outcome: &Outcome) -> Vec<Row> {
    let report = Report::parse(&outcome.report);
    report.results.into_iter().map(|r| (r.program, r.mode, r.expected, r.ok)).collect()
}

/// The same set without NMIs, where all is as promised: what NMIs are measured by. A host that stops the
/// machine can spoil one run of it.
static QUIET: LazyLock<Result<Vec<Row>, String>> = LazyLock::new(|| {
    let set = || -> Result<Vec<Row>, Failed> {
        let outcome = boot_file(&rootfs()?, "-- --timeout 60")?;
        judge(&outcome, 151)?;
        Ok(rows(&outcome))
    };
    set().or_else(|_| set()).map_err(|why| format!("without NMIs: {}", why.message().unwrap_or("it failed")))
});

/// The whole set of programs, with thousands of NMIs a second: the same results as without. Those
/// that are sent while one waits already are one with it, but most are handled.
fn storm() -> Result<(), Failed> {
    let (mut total, mut user, mut rounds) = (0, 0, 0);
    while total < 10_000 && rounds < 10 {
        let (sent, (all, from_user)) = whole_set("trapline.nmi=count", 4000)?;
        if all > sent || all < sent / 2 {
            return Err(format!("{sent} NMIs were sent, and {all} handled").into());
        }
        (total, user, rounds) = (total + all, user + from_user, rounds + 1);
    }
    println!("nmi::storm: {total} NMIs handled, {user} from user mode, in {rounds} runs, all as without");
    if total < 10_000 { Err(format!("only {total} NMIs in {rounds} runs").into()) } else { Ok(()) }
}

/// Every other handler has another NMI wait, lets it in by a breakpoint, and faults. The second is
/// handled behind the first and not inside it, also where that came from user mode; and nobody's
/// notion of user mode and kernel mode is upset.
fn second() -> Result<(), Failed> {
    let (sent, (all, user)) = whole_set("context_tracking=on trapline.nmi=second,iret,fault", 200)?;
    println!("nmi::a_second_behind_each: {sent} NMIs sent, {all} handled, {user} from user mode");
    // Some of those that were sent were one; more than were sent must be the handlers' own.
    if all <= sent || user < 100 {
        return Err(format!("{sent} NMIs were sent, {all} handled, {user} from user mode").into());
    }
    Ok(())
}
