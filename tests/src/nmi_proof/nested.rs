// SPDX-License-Identifier: GPL-2.0-only
//! A second NMI at each instruction of the first one's handling: of its entry and its way back, of
//! `do_nmi` and the handler, of the breakpoint that the handler hits, and of the handling behind it,
//! for an NMI that came in the kernel and for one that came in user mode.
//!
//! Up to the `iret` of that breakpoint the CPU holds the second one back ([`held_back`]); behind it
//! nothing does ([`unblocked`], [`unblocked_from_user`]). What is handled again because of it is
//! gone through in the same manner, until nobody comes by an instruction that was not come by.
//!
//! What handlers do beside (print where the CPU is, say that an NMI is of nobody) knows nothing of NMIs.
//! It is gone through behind a breakpoint, too, each instruction once, for so many steps ([`in_reports`]).

use super::{
    Coverage, GET_REASON, Kernel, MORE_PATIENCE, PATIENCE, Proof, Result, same, set_reason, start,
    user_places, words,
};
use std::collections::BTreeSet;
use std::path::Path;
use xtask::gdbstub::Registers;

/// Bytes from the top of the NMI stack to its parts (see `entry_64_nmi.rs`), and to its end.
const COPIED_TOP: u64 = 56;
const COPIED_RIP: u64 = 96;
const STACK_SIZE: u64 = 0x4000;

/// `nmi_state`.
const NOT_RUNNING: u32 = 0;
const EXECUTING: u32 = 1;
const LATCHED: u32 = 2;

/// Where second NMIs came, how many NMIs there were, and how many handlings of them.
#[derive(Default)]
struct Seen {
    places: BTreeSet<u64>,
    nmis: (u64, u64),
}

/// (b) While an NMI is handled, another one at every instruction. `without`: with this jump taken out,
/// by which an NMI knows that it is nested.
pub fn every_nested(kernel: &Path, rootfs: &Path, without: Option<&str>) -> Result<Coverage> {
    let k = Kernel::read(kernel)?;
    let mut seen = Seen::default();
    let top =
        in_the_kernel(start(&k, kernel, rootfs, "trapline.nmi=iret -- nmi_paths")?, without, &mut seen)?;
    in_the_window(start(&k, kernel, rootfs, "trapline.nmi=iret,fault -- nmi_paths")?, &mut seen)?;
    let program = format!("trapline.nmi=iret -- nmi_user rsp={:x}", top - 0x800);
    seems_nested(start(&k, kernel, rootfs, &program)?, &mut seen)?;
    in_user_mode(start(&k, kernel, rootfs, "trapline.nmi=iret -- nmi_user")?, &mut seen)?;
    let reports = if without.is_none() { in_reports(&k, kernel, rootfs, &mut seen)? } else { 0 };
    let own = k.at("asm_nmi")?..k.at("asm_nmi_end")?;
    let (of, beyond) = (
        k.instructions.iter().filter(|a| own.contains(a)).count(),
        seen.places.iter().filter(|a| !own.contains(a)).count(),
    );
    let missed = k.instructions.iter().copied().filter(|a| own.contains(a) && !seen.places.contains(a));
    let missed = k.names(missed);
    Ok(Coverage { injected: of - missed.len(), of, beyond, reports, padding: 0, missed, nmis: seen.nmis })
}

/// In the kernel proper. Returns where the NMI's stack ends.
fn in_the_kernel(mut p: Proof<'_>, without: Option<&str>, seen: &mut Seen) -> Result<u64> {
    if let Some(jump) = without {
        let jump = p.k.at(jump)?;
        let len = p.k.lengths.get(&jump).copied().ok_or("the jump is no instruction")?;
        p.d.write(jump, &vec![0x90; len]).map_err(words)?;
    }
    let somewhere = p.k.at("trapline::arch::x86::entry::common::do_syscall_64")?;
    let end = p.k.at("nmi_test_unblocked")?;
    let mut top = 0;
    counted(&mut p, seen, |p, seen| {
        let handled;
        (handled, top) = unblocked(p, somewhere, true, seen)?;
        Ok(handled)
    })?;
    counted(&mut p, seen, |p, seen| held_back(p, somewhere, end, seen))?;
    Ok(top)
}

/// Before an entry's `swapgs`, with the program's GS and RSP; the handler changes CR2 as well.
fn in_the_window(mut p: Proof<'_>, seen: &mut Seen) -> Result<()> {
    let window = p.k.at("entry_SYSCALL_64")?;
    counted(&mut p, seen, |p, seen| Ok(unblocked(p, window, false, seen)?.0))?;
    for label in ["nmi_swapgs", "nmi_restore_cr2"] {
        if !seen.places.contains(&p.k.at(label)?) {
            return Err(format!("no NMI's handling came by {label}"));
        }
    }
    Ok(())
}

/// There as well, with an RSP of the program's that points to the NMI's stack: it is not nested.
fn seems_nested(mut p: Proof<'_>, seen: &mut Seen) -> Result<()> {
    let (window, end) = (p.k.at("entry_SYSCALL_64")?, p.k.at("first_nmi")?);
    counted(&mut p, seen, |p, seen| held_back(p, window, end, seen))
}

/// In user mode, on the thread's stack.
fn in_user_mode(mut p: Proof<'_>, seen: &mut Seen) -> Result<()> {
    let (user, end) = (user_places(&p)?[0], p.k.at("nmi_test_unblocked")?);
    counted(&mut p, seen, |p, seen| unblocked_from_user(p, user, seen))?;
    counted(&mut p, seen, |p, seen| held_back(p, user, end, seen))
}

/// What NMIs have printed: what handlers do, what port 0x61 says if it is asked, and how many steps are
/// gone through.
const REPORTS: [(&str, Option<u8>, usize); 5] = [
    ("unknown", Some(0x21), 3000),
    ("unknown", Some(0xa1), 1000),
    ("unknown", Some(0x61), 3000),
    ("backtrace", None, 4000),
    ("lockup", None, 3000),
];

/// NMIs inside what handlers print, once a breakpoint has let them in. Returns how many instructions
/// they came at that were not come by before.
fn in_reports(k: &Kernel, kernel: &Path, rootfs: &Path, seen: &mut Seen) -> Result<usize> {
    let (somewhere, before) = (k.at("trapline::arch::x86::entry::common::do_syscall_64")?, seen.places.len());
    for (what, reason, steps) in REPORTS {
        let mut p = start(k, kernel, rootfs, &format!("trapline.nmi=iret,{what} -- nmi_paths"))?;
        if let Some(reason) = reason {
            set_reason(&mut p.d, k.at(GET_REASON)?, reason)?;
        }
        let place = |why| format!("in the report of {what}, {reason:x?}: {why}");
        counted(&mut p, seen, |p, seen| in_report(p, somewhere, steps, seen)).map_err(place)?;
    }
    Ok(seen.places.len() - before)
}

/// Injects NMIs at instructions of one NMI's handling, behind its breakpoint, as long as there are new
/// ones among the next steps; then it is handled once more. Returns how often it was.
fn in_report(p: &mut Proof<'_>, somewhere: u64, steps: usize, seen: &mut Seen) -> Result<u64> {
    let before = p.run_to(somewhere)?;
    p.inject()?;
    let top = p.run_to(p.k.at("asm_nmi")?)?.rsp() + 40;
    let mut r = p.run_to(p.k.at("nmi_test_unblocked")?)?;
    let own = p.k.at("asm_nmi")?..p.k.at("asm_nmi_end")?;
    let mut nested_ones = 0;
    for _ in 0..steps {
        if own.contains(&r.rip) {
            break;
        }
        if seen.places.insert(r.rip) {
            nested(p, &r, top, true)?;
            nested_ones += 1;
        }
        r = p.d.step().map_err(words)?;
    }
    let after = p.run_to(somewhere)?;
    same(&before, after).map_err(|why| format!("nested at its instructions: {why}"))?;
    p.d.step().map_err(words)?;
    Ok(1 + u64::from(nested_ones != 0))
}

/// One part of the proof, which says how many NMIs must have been handled.
fn counted<'a>(
    p: &mut Proof<'a>,
    seen: &mut Seen,
    part: impl FnOnce(&mut Proof<'a>, &mut Seen) -> Result<u64>,
) -> Result<()> {
    let (before, injected) = (p.count()?, p.injected);
    let expected = part(p, seen)?;
    let handled = p.count()? - before;
    if handled != expected {
        return Err(format!("nested at one of its instructions: {handled} were handled, and not {expected}"));
    }
    seen.nmis = (seen.nmis.0 + p.injected - injected, seen.nmis.1 + handled);
    Ok(())
}

/// The instructions from here to `end`, each once, in the order in which they are come by.
fn path(p: &mut Proof<'_>, mut r: Registers, end: u64) -> Result<Vec<u64>> {
    const LONGEST: usize = 20_000;
    let (mut known, mut places) = (BTreeSet::new(), Vec::new());
    for _ in 0..LONGEST {
        if known.insert(r.rip) {
            places.push(r.rip);
        }
        if r.rip == end {
            return Ok(places);
        }
        r = p.d.step().map_err(words)?;
    }
    Err(format!("nested at {}, it does not end", p.k.label(end)))
}

/// Runs to `addr`, or to `end` if that is come by first.
fn run_to_one(p: &mut Proof<'_>, addr: u64, end: u64) -> Result<Registers> {
    if addr == end {
        return p.run_to(addr);
    }
    p.d.insert(end).map_err(words)?;
    p.d.insert(addr).map_err(words)?;
    let r = p.run()?;
    p.d.remove(addr).map_err(words)?;
    p.d.remove(end).map_err(words)?;
    r.ok_or_else(|| format!("never came to {}", p.k.label(addr)))
}

/// Runs until the machine is again at this instruction, on the same stack: others may come by.
fn back_at(p: &mut Proof<'_>, r: &Registers) -> Result<Registers> {
    p.d.insert(r.rip).map_err(words)?;
    let mut after = None;
    for patience in [PATIENCE, PATIENCE, PATIENCE, MORE_PATIENCE] {
        after = p.d.run(patience).map_err(words)?;
        if after.is_some_and(|a| a.rsp() == r.rsp()) {
            break;
        }
        if after.is_some() {
            p.d.step().map_err(words)?;
        }
    }
    p.d.remove(r.rip).map_err(words)?;
    after.ok_or_else(|| format!("never came to {} again", p.k.label(r.rip)))
}

/// Injects the second NMI at each instruction from the entry to `end`, which at `end` at the latest is
/// let in. It is handled after the first, and all is as it was.
fn held_back(p: &mut Proof<'_>, somewhere: u64, end: u64, seen: &mut Seen) -> Result<u64> {
    let entry = p.k.at("asm_nmi")?;
    p.run_to(somewhere)?;
    p.inject()?;
    let r = p.run_to(entry)?;
    let places = path(p, r, end)?;
    p.run_to(somewhere)?;
    // Past the breakpoint that keeps stopping it.
    p.d.step().map_err(words)?;
    for &addr in &places {
        let before = p.run_to(somewhere)?;
        p.inject()?;
        let mut r = p.run_to(entry)?;
        if addr != entry {
            r = run_to_one(p, addr, end)?;
        }
        p.inject()?;
        seen.places.insert(r.rip);
        let place = format!("held back at {}", p.k.label(r.rip));
        let after = p.run_to(somewhere).map_err(|why| format!("{place}: {why}"))?;
        same(&before, after).map_err(|why| format!("{place}: {why}"))?;
        p.d.step().map_err(words)?;
    }
    Ok(1 + 2 * places.len() as u64)
}

/// Injects NMIs where they are let in: from behind the handler's breakpoint to the `iret`, where the
/// frame is copied again, and (`whole`) in what is handled again. However many come while one is
/// handled, that is done once more. Returns how often it was, and where the NMI's stack ends.
fn unblocked(p: &mut Proof<'_>, somewhere: u64, whole: bool, seen: &mut Seen) -> Result<(u64, u64)> {
    let before = p.run_to(somewhere)?;
    p.inject()?;
    let top = p.run_to(p.k.at("asm_nmi")?)?.rsp() + 40;
    let mut r = p.run_to(p.k.at("nmi_test_unblocked")?)?;
    let (iret, repeat, end) = (p.k.at("nmi_iret")?, p.k.at("repeat_nmi")?, p.k.at("end_repeat_nmi")?);
    third(p, &r, seen)?;
    let (mut known, mut handled, mut again) = (BTreeSet::new(), 1, false);
    loop {
        let here = r.rip;
        if here == end && !whole {
            r = p.run_to(somewhere)?;
            break;
        }
        if known.insert(here) {
            let copying = (repeat..end).contains(&here);
            nested(p, &r, top, !copying)?;
            again |= !copying;
            seen.places.insert(here);
            if here == iret || here == repeat {
                third(p, &r, seen)?;
            }
        }
        r = p.d.step().map_err(words)?;
        if here == iret {
            let wanted = if again { repeat } else { somewhere };
            if r.rip != wanted {
                let (at, wanted) = (p.k.label(r.rip), p.k.label(wanted));
                return Err(format!(
                    "nested at one of its instructions: the iret led to {at}, not to {wanted}"
                ));
            }
            if !again {
                break;
            }
            handled += 1;
            again = false;
        }
    }
    same(&before, r).map_err(|why| format!("nested at all of its instructions: {why}"))?;
    // Past the breakpoint.
    p.d.step().map_err(words)?;
    Ok((handled, top))
}

/// A third NMI at each instruction of a nested one, which comes at the present instruction.
fn third(p: &mut Proof<'_>, before: &Registers, seen: &mut Seen) -> Result<()> {
    let entry = p.k.at("asm_nmi")?;
    p.inject()?;
    let r = p.run_to(entry)?;
    let places = path(p, r, before.rip)?;
    for &addr in places.iter().filter(|&&addr| addr != before.rip) {
        p.inject()?;
        let mut r = p.run_to(entry)?;
        if addr != entry {
            r = run_to_one(p, addr, before.rip)?;
        }
        p.inject()?;
        seen.places.insert(r.rip);
        let place = format!("nested at {} with a third at {}", p.k.label(before.rip), p.k.label(r.rip));
        let after = p.run_to(before.rip).map_err(|why| format!("{place}: {why}"))?;
        same(before, after).map_err(|why| format!("{place}: {why}"))?;
    }
    Ok(())
}

/// NMIs in the handling of one from user mode, once its breakpoint has let them in. While handlers run,
/// they are handled behind them, on the thread's stack; from then on each by itself.
fn unblocked_from_user(p: &mut Proof<'_>, somewhere: u64, seen: &mut Seen) -> Result<u64> {
    let own = p.k.at("asm_nmi")?..p.k.at("asm_nmi_end")?;
    let before = p.run_to(somewhere)?;
    p.inject()?;
    let mut r = p.run_to(p.k.at("nmi_test_unblocked")?)?;
    let (mut known, mut handled, mut state) = (BTreeSet::new(), 1, p.nmi_state()?);
    // To the end of the entry's own part: the rest is everybody's way back.
    let mut leaving = false;
    while !leaving || own.contains(&r.rip) {
        let place = format!("nested at {}", p.k.label(r.rip));
        if known.insert(r.rip) {
            let stack = p.live_stack(&r)?;
            p.inject()?;
            let after = back_at(p, &r).map_err(|why| format!("{place}: {why}"))?;
            same(&r, after).map_err(|why| format!("{place}: {why}"))?;
            if stack != p.live_stack(&r)? {
                return Err(format!("{place}: the stack has changed"));
            }
            handled += u64::from(state == NOT_RUNNING);
            let wanted = if state == NOT_RUNNING { NOT_RUNNING } else { LATCHED };
            state = p.nmi_state()?;
            if state != wanted {
                return Err(format!("{place}: the state is {state}, and not {wanted}"));
            }
        }
        r = p.d.step().map_err(words)?;
        let next = p.nmi_state()?;
        match (state, next) {
            (LATCHED, EXECUTING) => handled += 1,
            (EXECUTING, NOT_RUNNING) => {}
            _ if state == next => {}
            _ => return Err(format!("{place}: after state {state} there is {next}")),
        }
        state = next;
        leaving |= own.contains(&r.rip);
    }
    seen.places.extend(known);
    let after = p.run_to(somewhere)?;
    same(&before, after).map_err(|why| format!("nested at all of its instructions: {why}"))?;
    Ok(handled)
}

/// One nested NMI at the present instruction. All but the frame that the CPU writes, and the one that
/// must now lead to `repeat_nmi`, stays.
fn nested(p: &mut Proof<'_>, before: &Registers, top: u64, changes_copy: bool) -> Result<()> {
    let place = format!("nested at {:#x} ({})", before.rip, p.k.label(before.rip));
    let kept = |p: &mut Proof<'_>| -> Result<Vec<u8>> {
        // A breakpoint's handling has a stack of its own.
        let on_stack = (top - STACK_SIZE..top).contains(&before.rsp());
        let from = if on_stack { before.rsp().min(top - 136) } else { top - 136 };
        let mut bytes = p.d.read(from, (top - COPIED_RIP - from) as usize).map_err(words)?;
        bytes.extend(p.d.read(top - COPIED_TOP, 8).map_err(words)?);
        if !changes_copy {
            let copied = (COPIED_RIP - COPIED_TOP) as usize;
            bytes.extend(p.d.read(top - COPIED_RIP, copied).map_err(words)?);
        }
        if !on_stack {
            bytes.extend(p.live_stack(before)?.unwrap_or_default());
        }
        Ok(bytes)
    };
    let stack = kept(p)?;
    p.inject()?;
    let after = p.run_to(before.rip).map_err(|why| format!("{place}: {why}"))?;
    if after != *before {
        return Err(format!("{place}: before {before:x?}\nafter {after:x?}"));
    }
    if kept(p)? != stack {
        return Err(format!("{place}: the first NMI's stack has changed"));
    }
    let copied_rip = p.d.word(top - COPIED_RIP).map_err(words)?;
    if changes_copy && copied_rip != p.k.at("repeat_nmi")? {
        return Err(format!("{place}: the first NMI will return to {copied_rip:#x}, not to repeat_nmi"));
    }
    Ok(())
}
