// SPDX-License-Identifier: GPL-2.0-only
//! Kprobes on x86: what happens between a breakpoint in the kernel's code and the next
//! instruction (Linux 4.x and 6.1, `arch/x86/kernel/kprobes/core.c`).
//!
//! ```text
//! int3 → do_int3 → notify_die(DIE_INT3) → kprobe_int3_handler
//!            pre_handler; RIP = the copy, TF = 1, IF = 0          (setup_singlestep)
//!        the copy is executed
//! #DB  → do_debug → notify_die(DIE_DEBUG) → kprobe_debug_handler
//!            RIP, flags and stack as if at the original           (resume_execution)
//!            post_handler
//! ```
//!
//! Kprobes are on the die chain, before everybody else, and nothing of them is anywhere on a
//! path that has not hit a breakpoint. The code that deals with a hit is in `.kprobes.text`,
//! where no breakpoint is placed: up to where the hit is known to be nested, another would never
//! end. From there on (handlers, what they call) a nested hit is stepped over and counted as
//! missed.

pub mod insn;

use super::alternative::{INT3, text_poke};
use crate::arch::x86::kernel::traps::decide::DR_STEP;
use crate::arch::x86::mm::extable::search_exception_tables;
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::arch::x86::sections;
use crate::errno::{EILSEQ, EINVAL, ENOMEM, Result};
use crate::kernel::kprobes::{ProbePoint, get_kprobe};
use crate::kernel::notifier::{
    DieArgs, DieNotifier, DieVal, NotifierBlock, NotifyResult, register_die_notifier,
};
use crate::locking::IrqLock;
use core::cell::Cell;
use insn::{Insn, MAX_INSN_SIZE};

/// How far the handling of a hit has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Status {
    /// A handler runs (`KPROBE_HIT_ACTIVE`, `KPROBE_HIT_SSDONE`).
    #[default]
    Handler,
    /// The copy is being executed (`KPROBE_HIT_SS`).
    Step,
    /// The copy of a nested hit is being executed (`KPROBE_REENTER`).
    NestedStep,
}

/// A hit that is being dealt with.
#[derive(Clone, Copy)]
struct Hit {
    point: &'static ProbePoint,
    status: Status,
    /// TF and IF before the step.
    saved_flags: u64,
}

/// What a CPU knows of the hit that it deals with, and of the one which that has interrupted
/// (`struct kprobe_ctlblk`).
pub struct KprobeCtlblk {
    current: Cell<Option<Hit>>,
    prev: Cell<Option<Hit>>,
}

impl KprobeCtlblk {
    /// No hit.
    pub const fn new() -> Self {
        Self { current: Cell::new(None), prev: Cell::new(None) }
    }
}

impl Default for KprobeCtlblk {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a copy is being executed: a single step is the kernel's own.
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
pub fn stepping() -> bool {
    this_cpu().kprobe_ctlblk.current.get().is_some_and(|h| h.status != Status::Handler)
}

/// Places for copies: a page of the kernel's code, so that it is executable, not writable, and
/// within reach of what its instructions refer to.
#[cfg(target_os = "none")]
mod slots {
    core::arch::global_asm!(
        ".pushsection .kprobes.text, \"ax\"",
        ".balign 4096",
        ".globl __kprobe_insn_slots",
        "__kprobe_insn_slots:",
        ".fill 4096, 1, 0xcc",
        ".popsection",
    );
    unsafe extern "C" {
        static __kprobe_insn_slots: u8;
    }
    /// Where they begin.
    pub fn start() -> usize {
        &raw const __kprobe_insn_slots as usize
    }
}

const SLOTS: usize = 4096 / MAX_INSN_SIZE;

/// Which places are taken.
static USED: IrqLock<[u64; SLOTS / 64]> = IrqLock::new([0; SLOTS / 64]);

/// A copy in its place (`get_insn_slot`); dropping it gives the place back.
pub struct InsnSlot {
    index: usize,
    /// The address.
    pub addr: u64,
    insn: Insn,
}

#[cfg(target_os = "none")]
impl InsnSlot {
    /// Copies the instruction at the beginning of `bytes`, which stands at `from`.
    fn new(bytes: &[u8], from: u64) -> Result<Self> {
        let index = {
            let mut used = USED.lock();
            let free = (0..SLOTS).find(|i| used[i / 64] & 1 << (i % 64) == 0).ok_or(ENOMEM)?;
            used[free / 64] |= 1 << (free % 64);
            free
        };
        let addr = slots::start() + index * MAX_INSN_SIZE;
        let copied = Insn::copy(bytes, from, addr as u64).and_then(|insn| {
            // SAFETY: nobody executes the place before a breakpoint leads there.
            unsafe { text_poke(addr, insn.bytes()) }?;
            Ok(insn)
        });
        match copied {
            Ok(insn) => Ok(Self { index, addr: addr as u64, insn }),
            Err(e) => {
                release(index);
                Err(e)
            }
        }
    }
}

fn release(index: usize) {
    USED.lock()[index / 64] &= !(1 << (index % 64));
}

impl Drop for InsnSlot {
    fn drop(&mut self) {
        release(self.index);
    }
}

/// Makes the copy of the instruction at `addr`, if there begins one (`arch_prepare_kprobe`).
/// `code` is the function that it is in, as it is without breakpoints, and begins at `start`.
///
/// # Errors
/// `EILSEQ` in the midst of an instruction; `EINVAL` for one that cannot be moved, or that may
/// fault on purpose; `ENOMEM` without a place.
pub fn arch_prepare_kprobe(addr: u64, code: &[u8], start: u64) -> Result<InsnSlot> {
    let mut at = 0;
    while start + (at as u64) < addr {
        at += insn::length(code.get(at..).unwrap_or(&[])).ok_or(EILSEQ)?;
    }
    if start + at as u64 != addr {
        return Err(EILSEQ);
    }
    // A page fault there may sleep, and a step must not.
    if search_exception_tables(addr) {
        return Err(EINVAL);
    }
    #[cfg(target_os = "none")]
    {
        InsnSlot::new(&code[at..], addr)
    }
    #[cfg(not(target_os = "none"))]
    Err(ENOMEM)
}

/// Places the breakpoint (`arch_arm_kprobe`).
pub fn arch_arm_kprobe(addr: u64) -> Result {
    // SAFETY: one byte changes, and who executes it is led to the copy.
    unsafe { text_poke(addr as usize, &[INT3]) }
}

/// Removes it: `opcode` is what was there (`arch_disarm_kprobe`).
pub fn arch_disarm_kprobe(addr: u64, opcode: u8) -> Result {
    // SAFETY: one byte changes, back to what the compiler made.
    unsafe { text_poke(addr as usize, &[opcode]) }
}

/// Sends `regs` to the copy.
#[inline(always)]
fn setup_singlestep(hit: &mut Hit, regs: &PtRegs, status: Status) {
    hit.status = status;
    hit.saved_flags = Insn::prepare_singlestep(regs, hit.point.slot.addr);
    this_cpu().kprobe_ctlblk.current.set(Some(*hit));
}

/// A breakpoint in the kernel: is it one of ours?
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
fn kprobe_int3_handler(regs: &PtRegs) -> bool {
    let addr = regs.ip.get() - 1;
    let ctl = &this_cpu().kprobe_ctlblk;
    let Some(point) = get_kprobe(addr) else {
        return removed_meanwhile(regs, addr);
    };
    let mut hit = Hit { point, status: Status::Handler, saved_flags: 0 };
    if let Some(outer) = ctl.current.get() {
        return reenter_kprobe(&mut hit, regs, outer);
    }
    ctl.current.set(Some(hit));
    if point.call_pre_handlers(regs, addr) {
        // A handler has decided itself where to go on.
        ctl.current.set(None);
    } else {
        setup_singlestep(&mut hit, regs, Status::Step);
    }
    true
}

/// Hit while another hit is dealt with: it is stepped over, and its handlers do not hear of it.
#[inline(always)]
fn reenter_kprobe(hit: &mut Hit, regs: &PtRegs, outer: Hit) -> bool {
    if outer.status == Status::NestedStep {
        // In code that must not have a breakpoint: there is no third level.
        return false;
    }
    hit.point.count_missed();
    this_cpu().kprobe_ctlblk.prev.set(Some(outer));
    setup_singlestep(hit, regs, Status::NestedStep);
    true
}

/// The breakpoint that was hit is not there any more: the instruction is tried again.
#[inline(always)]
fn removed_meanwhile(regs: &PtRegs, addr: u64) -> bool {
    if !crate::arch::x86::mm::init::kernel_text_address(addr as usize) {
        return false;
    }
    // SAFETY: a byte of the kernel's code.
    if unsafe { core::ptr::with_exposed_provenance::<u8>(addr as usize).read_volatile() } == INT3 {
        return false;
    }
    regs.ip.set(addr);
    true
}

/// A single step in the kernel: is it over a copy?
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
fn kprobe_debug_handler(regs: &PtRegs) -> bool {
    let ctl = &this_cpu().kprobe_ctlblk;
    let Some(mut hit) = ctl.current.get() else { return false };
    if hit.status == Status::Handler {
        return false;
    }
    let point = hit.point;
    if point.slot.insn.goes_on(regs, point.slot.addr) {
        return true;
    }
    // SAFETY: the kernel's own stack; in 64-bit mode every exception has pushed RSP.
    let tos = unsafe { &mut *core::ptr::with_exposed_provenance_mut::<u64>(regs.sp.get() as usize) };
    point.slot.insn.resume_execution(regs, tos, point.addr, point.slot.addr, hit.saved_flags);
    if hit.status == Status::NestedStep {
        ctl.current.set(ctl.prev.take());
    } else {
        hit.status = Status::Handler;
        ctl.current.set(Some(hit));
        point.call_post_handlers(regs);
        ctl.current.set(None);
    }
    // A TF of before the breakpoint was somebody else's, who is to hear of this step.
    regs.flags.get() & eflags::TF == 0
}

/// The copy has raised an exception: it is the original's. The hit is over
/// (`kprobe_fault_handler`).
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
fn kprobe_fault_handler(regs: &PtRegs) {
    let ctl = &this_cpu().kprobe_ctlblk;
    let Some(hit) = ctl.current.get() else { return };
    if hit.status == Status::Handler || regs.ip.get() != hit.point.slot.addr {
        return;
    }
    regs.ip.set(hit.point.addr);
    regs.flags.set(regs.flags.get() & !eflags::TF | hit.saved_flags);
    ctl.current.set(ctl.prev.take());
}

/// The die chain's word for all of these (`kprobe_exceptions_notify`).
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
fn kprobe_exceptions_notify(val: DieVal, args: &mut DieArgs<'_>) -> NotifyResult {
    if args.regs.user_mode() {
        return NotifyResult::Done;
    }
    let ours = match val {
        DieVal::Int3 => kprobe_int3_handler(args.regs),
        DieVal::Debug => {
            // SAFETY: for this event `err` is the address of the reasons.
            let dr6 = unsafe { &mut *core::ptr::with_exposed_provenance_mut::<u64>(args.err as usize) };
            let ours = *dr6 & DR_STEP != 0 && kprobe_debug_handler(args.regs);
            if ours {
                *dr6 &= !DR_STEP;
            }
            // Other reasons are other people's.
            ours && *dr6 == 0
        }
        DieVal::Trap | DieVal::Gpf | DieVal::PageFault => {
            kprobe_fault_handler(args.regs);
            false
        }
        DieVal::Oops
        | DieVal::Panic
        | DieVal::Nmi
        | DieVal::Die
        | DieVal::KernelDebug
        | DieVal::NmiUnknown => false,
    };
    if ours { NotifyResult::Stop } else { NotifyResult::Done }
}

/// First on the chain: nobody else knows what an unexpected breakpoint is about.
static KPROBE_EXCEPTIONS_NB: NotifierBlock<DieNotifier> =
    NotifierBlock::new(kprobe_exceptions_notify, i32::MAX);

/// Joins the die chain, at boot (`init_kprobes`).
pub fn arch_init_kprobes() -> Result {
    register_die_notifier(&KPROBE_EXCEPTIONS_NB)
}

/// Code that deals with a hit, or may interrupt that: no breakpoint is placed there (`__kprobes_text`,
/// the entries, NMIs).
pub fn blacklist() -> [core::ops::Range<u64>; 3] {
    [sections::entry_text(), sections::kprobes_text(), sections::nmi_text()]
}
