// SPDX-License-Identifier: GPL-2.0-only
//! `nmi::user_stack_…`: a program's calls, read in an NMI (`trapline.user_stack=1`). The program
//! `user_stack` says where it will be; the kernel must say the same, and nothing more.

use libtest_mimic::{Failed, Trial};
use std::path::Path;
use std::time::Duration;
use tests::console::{expect_in_order, expect_none};
use tests::machine::{boot_file, kernel, rootfs, tail, test_kernel};
use xtask::build::Variant;
use xtask::explain::walk::Lens;
use xtask::gdbstub::{Debugged, Registers};
use xtask::qemu::Machine;
use xtask::run::CONSOLE;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("nmi::user_stack_of_a_program", || computing(&kernel()?)),
        Trial::test("nmi::user_stack_on_a_lost_page", || lost_page(&kernel()?)),
        Trial::test("nmi::user_stack_on_a_checked_kernel", || {
            let checked = test_kernel(Variant::Checked)?;
            computing(&checked)?;
            lost_page(&checked)
        }),
        Trial::test("nmi::user_stack_of_a_system_call", in_a_call),
        Trial::test("nmi::user_stack_by_sysrq", by_sysrq),
        Trial::test("nmi::user_stack_of_a_hard_lockup", hard_lockup),
    ]
}

const PATIENCE: Duration = Duration::from_secs(20);
const WANTED: &str = "trapline.user_stack=1";

/// Where the program says that it will be.
struct Places {
    /// Where it computes: at this instruction, or the next.
    spin: u64,
    /// Where it returns to, the innermost function first.
    returns: Vec<u64>,
    /// What the outermost frame leads to.
    link: u64,
}

fn number(hex: &str) -> Result<u64, Failed> {
    Ok(u64::from_str_radix(hex.trim(), 16)?)
}

fn places(console: &str) -> Result<Places, Failed> {
    let line =
        console.lines().find_map(|l| l.split_once("user_stack: [")).ok_or("no word of the program's")?.1;
    let (list, link) = line.split_once("] then ").ok_or("half a word of the program's")?;
    let mut at = list.split(',').map(number).collect::<Result<Vec<_>, _>>()?;
    Ok(Places { spin: at.remove(0), returns: at, link: number(link)? })
}

/// What the kernel has told, each time.
fn told(console: &str) -> Result<Vec<Vec<u64>>, Failed> {
    let mut told: Vec<Vec<u64>> = Vec::new();
    let mut inside = false;
    for line in console.lines() {
        // Behind the time.
        let text = line.split_once("] ").map_or(line, |(_, text)| text);
        if text.starts_with("User call trace of ") {
            told.push(Vec::new());
            inside = true;
        } else if let (true, Some(hex), Some(list)) = (inside, text.strip_prefix(" 0x"), told.last_mut()) {
            list.push(number(hex)?);
        } else {
            inside = false;
        }
    }
    Ok(told)
}

/// The program computes: the first address is one of two.
fn is_computing(told: &[u64], p: &Places) -> bool {
    told.split_first().is_some_and(|(ip, rest)| (p.spin..p.spin + 4).contains(ip) && *rest == p.returns[1..])
}

fn machine(kernel: &Path, words: &str, arguments: &str) -> Result<(Debugged, Lens), Failed> {
    let append = format!("{CONSOLE} {WANTED} {words} -- user_stack {arguments}");
    let mut d = Debugged::start(&Machine::direct(kernel, Some(&rootfs()?), &append))?;
    d.run_until_said("user_stack: running", Duration::from_secs(60))?;
    // From here on it is where it says.
    d.run(Duration::from_millis(300))?;
    Ok((d, Lens::new(kernel)?))
}

/// An NMI that nobody explains finds the program where it is.
fn computing(kernel: &Path) -> Result<(), Failed> {
    for arguments in ["spin whole", "spin lost"] {
        let (mut d, _) = machine(kernel, "", arguments)?;
        d.inject_nmi()?;
        d.run_until_said("Dazed and confused", PATIENCE)?;
        let console = d.console();
        expect_in_order(
            &console,
            &["Uhhuh. NMI received for unknown reason", "User call trace of ", "Dazed"],
        )
        .map_err(|why| format!("{why}\n{}", tail(&console)))?;
        let (p, told) = (places(&console)?, told(&console)?);
        if told.len() != 1 || !is_computing(&told[0], &p) {
            return Err(format!("{arguments}: {told:x?}, not {:x?} and {:x?}", p.spin, p.returns).into());
        }
    }
    Ok(())
}

/// Where an NMI at its first instruction has interrupted the CPU: RIP and CS.
fn interrupted(d: &mut Debugged, at_entry: &Registers) -> Result<(u64, u64), Failed> {
    let frame = d.words(at_entry.rsp(), 2)?;
    Ok((frame[0], frame[1]))
}

/// The NMI's walk faults at the page that is not there, and the fault's `iret` lets the next one in: where that
/// has interrupted the first.
fn lets_another_in(d: &mut Debugged, lens: &Lens, p: &Places) -> Result<(), Failed> {
    let faulted = d.run_to(lens.symbols.at("asm_page_fault")?, PATIENCE)?;
    if faulted.cr2 != p.link {
        return Err(format!("the walk faults at {:#x}, not at {:#x}", faulted.cr2, p.link).into());
    }
    let second = d.run_to(lens.symbols.at("asm_nmi")?, PATIENCE)?;
    let (ip, cs) = interrupted(d, &second)?;
    if cs & 3 != 0 || !lens.functions(ip).iter().any(|f| f == "copy_from_user_nmi") {
        return Err(format!("the second NMI came at {ip:#x}, in {:?}", lens.functions(ip)).into());
    }
    Ok(())
}

/// Waits for what two NMIs have told: the log's lines come to the console some time later.
fn wait_for_two(d: &mut Debugged) -> Result<(), Failed> {
    for _ in 0..50 {
        if told(&d.console())?.len() >= 2 {
            break;
        }
        d.run(Duration::from_millis(200))?;
    }
    Ok(())
}

/// The last frame is on a page that is not there, and another NMI waits: the fault's `iret` lets it in, into
/// the copy. It is handled behind the first, and both tell the same.
fn lost_page(kernel: &Path) -> Result<(), Failed> {
    let (mut d, lens) = machine(kernel, "trapline.nmi=second,stack", "spin lost")?;
    let entry = lens.symbols.at("asm_nmi")?;
    let p = places(&d.console())?;
    // Not in the midst of a clock interrupt.
    d.run_to(p.spin, PATIENCE)?;
    d.inject_nmi()?;
    let first = d.run_to(entry, PATIENCE)?;
    let (ip, cs) = interrupted(&mut d, &first)?;
    if cs & 3 != 3 || !(p.spin..p.spin + 4).contains(&ip) {
        return Err(format!("the first NMI came at {ip:#x}").into());
    }
    lets_another_in(&mut d, &lens, &p)?;
    wait_for_two(&mut d)?;
    d.run(Duration::from_millis(500))?;
    let console = d.console();
    let told = told(&console)?;
    if told.len() != 2 || !told.iter().all(|t| is_computing(t, &p)) {
        return Err(format!("{told:x?}, not {:x?} and {:x?} twice", p.spin, p.returns).into());
    }
    Ok(expect_none(&console, &["Oops", "WARNING:", "BUG:", "Uhhuh"])?)
}

/// In a system call it is the calls that led there. The fault in the NMI's handler changes no register that
/// the interrupted kernel knows of, CR2 among them.
fn in_a_call() -> Result<(), Failed> {
    let (mut d, lens) = machine(&kernel()?, "trapline.nmi=second,stack", "call lost")?;
    let call = lens.symbols.at("trapline::arch::x86::entry::common::do_syscall_64")?;
    let p = places(&d.console())?;
    // The first fault of all may find some other address in CR2; from then on it must stay.
    let before = d.run_to(call, PATIENCE)?;
    if before.cr2 == p.link {
        return Err("CR2 has been the lost page's before".into());
    }
    d.inject_nmi()?;
    d.run_to(lens.symbols.at("asm_nmi")?, PATIENCE)?;
    lets_another_in(&mut d, &lens, &p)?;
    let after = d.run_to(call, PATIENCE)?;
    if after != before {
        return Err(format!("before {before:x?}\nafter {after:x?}").into());
    }
    wait_for_two(&mut d)?;
    let told = told(&d.console())?;
    if told != [&p.returns[..], &p.returns[..]] {
        return Err(format!("{told:x?}, not {:x?} twice", p.returns).into());
    }
    Ok(())
}

/// The program writes to a file, and its calls are in what comes of that; without the switch they are not.
fn by_writing(words: &str, arguments: &str) -> Result<String, Failed> {
    let append = |switch: &str| format!("{switch} {words} -- user_stack {arguments}");
    let without = boot_file(&rootfs()?, &append(""))?.console;
    expect_none(&without, &["User call trace"])?;
    let console = boot_file(&rootfs()?, &append(WANTED))?.console;
    let (p, told) = (places(&console)?, told(&console)?);
    if told != [&p.returns[..]] {
        return Err(format!("{told:x?}, not {:x?}\n{}", p.returns, tail(&console)).into());
    }
    Ok(console)
}

fn by_sysrq() -> Result<(), Failed> {
    let console = by_writing("", "/proc/sysrq-trigger whole l")?;
    let lines =
        ["sysrq: Show backtrace of all active CPUs", "NMI backtrace for cpu 0", "User call trace of "];
    Ok(expect_in_order(&console, &lines)?)
}

fn hard_lockup() -> Result<(), Failed> {
    let file = "/sys/kernel/debug/provoke-crash/DIRECT";
    let console = by_writing("nmi_watchdog=panic watchdog_thresh=2", &format!("{file} lost HARDLOCKUP"))?;
    let lines = ["hard LOCKUP on cpu 0", "lkdtm_HARDLOCKUP+0x", "User call trace of ", "Kernel panic"];
    Ok(expect_in_order(&console, &lines)?)
}
