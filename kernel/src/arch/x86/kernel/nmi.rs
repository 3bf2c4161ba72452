// SPDX-License-Identifier: GPL-2.0-only
//! Non-maskable interrupts (the sixth document; Linux 4.x and 6.1, `arch/x86/kernel/nmi.c`). The
//! entry, which is what is hard about them, is
//! [`entry_64_nmi`](crate::arch::x86::entry::entry_64).
//!
//! The path, in the document's names:
//!
//! ```text
//! do_nmi                           again, for one that came while the handlers ran
//!     nmi_nesting_preprocess       interrupted a debug handler: its stack is spared
//!     nmi_enter
//!     default_do_nmi
//!         nmi_handle(NMI_LOCAL)    who expects NMIs on this CPU
//!             nmi_check_duration   and takes too long over them
//!         get_nmi_reason           port 0x61
//!         pci_serr_error, io_check_error
//!         unknown_nmi_error        "Uhhuh."
//!     nmi_exit
//!     nmi_nesting_postprocess
//! ```
//!
//! An NMI may have interrupted anything, with any lock held: what is called here takes none that
//! others take, which [`locking`](crate::locking) checks in debug builds.
//!
//! The path itself is in `.nmi.text`, where no breakpoint is placed (Linux 6.1, `NOKPROBE_SYMBOL` and
//! `noinstr`): it may have interrupted the handling of one. What handlers call is not.

use crate::arch::x86::events::core::show_user_stack;
use crate::arch::x86::kernel::cpu::is_debug_stack;
use crate::arch::x86::kernel::dumpstack::show_regs;
use crate::arch::x86::kernel::idt::{debug_stack_reset, debug_stack_set_zero};
use crate::arch::x86::kernel::traps::{ist_enter, ist_exit, local_db_restore, local_db_save};
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::PtRegs;
use crate::errno::Result;
use crate::fs::debugfs::{DebugFile, simple_attr_write};
use crate::kernel::context_tracking::{self, CtxState};
use crate::kernel::kallsyms::Function;
use crate::kernel::notifier::{AtomicNotifierHead, NotifierBlock, NotifyResult};
use crate::kernel::panic::nmi_panic;
use crate::kernel::printk::ratelimit;
use crate::kernel::time::timekeeping::{ktime_get, rdtsc};
use crate::kernel::watchdog_hld::touch_nmi_watchdog;
use crate::lib::ratelimit::Ratelimit;
use core::cell::Cell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use x86_64::instructions::port::Port;

/// Panic on an NMI that nobody explains (`/proc/sys/kernel/panic_on_unrecovered_nmi`).
pub static PANIC_ON_UNRECOVERED_NMI: AtomicI32 = AtomicI32::new(0);
/// Likewise (`unknown_nmi_panic`, `/proc/sys/kernel/unknown_nmi_panic`).
pub static UNKNOWN_NMI_PANIC: AtomicI32 = AtomicI32::new(0);
/// Panic on an I/O check (`/proc/sys/kernel/panic_on_io_nmi`).
pub static PANIC_ON_IO_NMI: AtomicI32 = AtomicI32::new(0);

/// Handles one command-line parameter; false if it is not one of these.
pub fn setup(name: &str, value: Option<&str>) -> bool {
    match name {
        "unknown_nmi_panic" => UNKNOWN_NMI_PANIC.store(1, Ordering::Relaxed),
        "trapline.nmi" => return super::nmi_selftest::setup(value),
        _ => return false,
    }
    true
}

/// Which NMIs a handler is for (`NMI_LOCAL`, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NmiType {
    /// This CPU's own: performance counters, other CPUs' requests.
    Local,
    /// Those that nobody else has explained.
    Unknown,
    /// System errors on the PCI bus.
    Serr,
    /// Checks of I/O devices.
    IoCheck,
}

/// Looks at an NMI; returns how many events it has dealt with (`nmi_handler_t`).
pub type NmiHandler = fn(NmiType, &PtRegs) -> u32;

/// A handler, and how long it has taken.
struct Measured {
    handler: NmiHandler,
    /// In nanoseconds, at most, among the times that were too long.
    max_duration: AtomicU64,
}

/// A handler to be registered (`struct nmiaction`).
pub struct NmiAction(NotifierBlock<Measured>);

impl NmiAction {
    /// Calls `handler`; those of a higher priority are called first.
    pub const fn new(handler: NmiHandler, priority: i32) -> Self {
        Self(NotifierBlock::new(Measured { handler, max_duration: AtomicU64::new(0) }, priority))
    }
}

/// The lists (`nmi_desc`).
static NMI_DESC: [AtomicNotifierHead<Measured>; 4] = [const { AtomicNotifierHead::new() }; 4];

/// Has a handler called for NMIs of a type.
///
/// # Errors
/// `EEXIST`: it is registered already.
pub fn register_nmi_handler(kind: NmiType, action: &'static NmiAction) -> Result {
    NMI_DESC[kind as usize].register(&action.0)
}

/// No longer calls a handler.
///
/// # Errors
/// `ENOENT`: it was not registered.
pub fn unregister_nmi_handler(kind: NmiType, action: &'static NmiAction) -> Result {
    NMI_DESC[kind as usize].unregister(&action.0)
}

/// Calls all handlers of a type, as one NMI may stand for several events (`nmi_handle`).
#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
fn nmi_handle(kind: NmiType, regs: &PtRegs) -> u32 {
    let mut handled = 0;
    NMI_DESC[kind as usize].call_chain(|action| {
        let from = ktime_get();
        handled += (action.handler)(kind, regs);
        nmi_check_duration(action, ktime_get().saturating_sub(from));
        NotifyResult::Done
    });
    handled
}

/// Nanoseconds that are too long for a handler (`nmi_longest_ns`).
pub(super) static NMI_LONGEST_NS: AtomicU64 = AtomicU64::new(1_000_000);

/// `/sys/kernel/debug/x86/nmi_longest_ns`.
pub static LONGEST: DebugFile = DebugFile {
    dir: "x86",
    name: "nmi_longest_ns",
    mode: 0o644,
    show: |o| writeln!(o, "{}", NMI_LONGEST_NS.load(Ordering::Relaxed)),
    store: Some(|text| {
        NMI_LONGEST_NS.store(simple_attr_write(text)?, Ordering::Relaxed);
        Ok(())
    }),
};

/// Says of a handler that it took too long, and no less than ever before.
fn nmi_check_duration(action: &Measured, ns: u64) {
    static LIMIT: Ratelimit = Ratelimit::new(5_000, 10);
    let longest = action.max_duration.load(Ordering::Relaxed);
    if ns < NMI_LONGEST_NS.load(Ordering::Relaxed) || ns < longest {
        return;
    }
    action.max_duration.store(ns, Ordering::Relaxed);
    if ratelimit(&LIMIT, "nmi_check_duration") {
        pr_info!(
            "INFO: NMI handler ({}) took too long to run: {}.{:03} msecs\n",
            Function(action.handler as usize as u64),
            ns / 1_000_000,
            ns % 1_000_000 / 1_000
        );
    }
}

/// How NMIs were explained (`nmi_stats`).
#[derive(Default)]
pub struct NmiStats {
    /// By local handlers: events.
    pub normal: Cell<u64>,
    /// Not at all, or by a handler for that case.
    pub unknown: Cell<u64>,
    /// By port 0x61.
    pub external: Cell<u64>,
    /// As the second half of one that was explained.
    pub swallow: Cell<u64>,
}

/// What this CPU's NMIs remember.
pub struct NmiCpu {
    /// See [`NmiStats`].
    pub stats: NmiStats,
    last_nmi_rip: Cell<u64>,
    swallow_nmi: Cell<bool>,
    /// Whether handlers run, and one more is to be handled behind them (`nmi_state`).
    state: AtomicU32,
}

const NMI_NOT_RUNNING: u32 = 0;
const NMI_EXECUTING: u32 = 1;
const NMI_LATCHED: u32 = 2;

impl NmiCpu {
    /// Where the state is, for who looks from outside.
    pub const STATE: usize = offset_of!(Self, state);

    /// None came yet.
    pub const fn new() -> Self {
        Self {
            stats: NmiStats {
                normal: Cell::new(0),
                unknown: Cell::new(0),
                external: Cell::new(0),
                swallow: Cell::new(0),
            },
            last_nmi_rip: Cell::new(0),
            swallow_nmi: Cell::new(false),
            state: AtomicU32::new(NMI_NOT_RUNNING),
        }
    }
}

impl Default for NmiCpu {
    fn default() -> Self {
        Self::new()
    }
}

fn add(c: &Cell<u64>, n: u32) {
    c.set(c.get() + u64::from(n));
}

/// "System control port B": why there was an NMI.
const NMI_REASON_PORT: u16 = 0x61;
const NMI_REASON_SERR: u8 = 0x80;
const NMI_REASON_IOCHK: u8 = 0x40;
const NMI_REASON_CLEAR_SERR: u8 = 0x04;
const NMI_REASON_CLEAR_IOCHK: u8 = 0x08;
const NMI_REASON_CLEAR_MASK: u8 = 0x0f;

/// What differs between machines (`struct x86_platform_ops`).
#[derive(Debug)]
pub struct X86PlatformOps {
    /// Why there was an NMI: port 0x61's byte.
    pub get_nmi_reason: fn() -> u8,
}

fn default_get_nmi_reason() -> u8 {
    // SAFETY: reads a status register.
    unsafe { Port::<u8>::new(NMI_REASON_PORT).read() }
}

static DEFAULT_PLATFORM: X86PlatformOps = X86PlatformOps { get_nmi_reason: default_get_nmi_reason };
static X86_PLATFORM: AtomicPtr<X86PlatformOps> = AtomicPtr::new((&raw const DEFAULT_PLATFORM).cast_mut());

/// This machine's (`x86_platform`).
pub fn x86_platform() -> &'static X86PlatformOps {
    // SAFETY: it points to what `set_x86_platform` was given, or to the default.
    unsafe { &*X86_PLATFORM.load(Ordering::Acquire) }
}

/// The machine is of another kind than was thought; returns what it was thought to be.
pub fn set_x86_platform(ops: &'static X86PlatformOps) -> &'static X86PlatformOps {
    let before = X86_PLATFORM.swap(core::ptr::from_ref(ops).cast_mut(), Ordering::AcqRel);
    // SAFETY: as above.
    unsafe { &*before }
}

/// What a reason byte means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    PciError,
    IoCheck,
    Unknown,
}

fn reason_of(byte: u8) -> Reason {
    if byte & NMI_REASON_SERR != 0 {
        Reason::PciError
    } else if byte & NMI_REASON_IOCHK != 0 {
        Reason::IoCheck
    } else {
        Reason::Unknown
    }
}

/// The interrupted code may be a handler of #DB or #BP, at the top of its stack: such exceptions in
/// here must not begin there again. (Between the entry and `shift_ist` nothing else prevents it.) A
/// program's RSP may be anything. Returns whether there is something to be undone.
#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
fn nmi_nesting_preprocess(regs: &PtRegs) -> bool {
    let spared = !regs.user_mode() && is_debug_stack(regs.sp.get() as usize);
    if spared {
        debug_stack_set_zero();
    }
    spared
}

#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
fn nmi_nesting_postprocess(spared: bool) {
    if spared {
        debug_stack_reset();
    }
}

/// NMI. One from user mode is handled on the thread's stack, where the next finds no sign of it once
/// an `iret` of its handlers has let that in: it only says that it was there (Linux 6.1, `exc_nmi`).
#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
pub extern "C" fn do_nmi(regs: &PtRegs, _error_code: u64) {
    let state = &this_cpu().nmi.state;
    if state.load(Ordering::Relaxed) != NMI_NOT_RUNNING {
        state.store(NMI_LATCHED, Ordering::Relaxed);
        return;
    }
    state.store(NMI_EXECUTING, Ordering::Relaxed);
    loop {
        handle_nmi(regs);
        // One that comes before this is handled now, one that comes behind it is a first one.
        if state.fetch_sub(1, Ordering::Relaxed) == NMI_EXECUTING {
            break;
        }
    }
}

#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
fn handle_nmi(regs: &PtRegs) {
    // Handlers look at user memory, on which there may be breakpoints.
    let dr7 = local_db_save();
    let spared = nmi_nesting_preprocess(regs);
    let prev_state = nmi_enter();
    let count = &this_cpu().nmi_count;
    count.set(count.get() + 1);
    default_do_nmi(regs);
    nmi_exit(prev_state);
    nmi_nesting_postprocess(spared);
    local_db_restore(dr7);
}

#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
fn nmi_enter() -> CtxState {
    ist_enter();
    context_tracking::nmi_enter()
}

#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
fn nmi_exit(prev_state: CtxState) {
    context_tracking::nmi_exit(prev_state);
    ist_exit();
}

/// The CPU is about to sleep: another NMI at the same place will not be the second half of the last
/// (`local_touch_nmi`).
pub fn local_touch_nmi() {
    this_cpu().nmi.last_nmi_rip.set(0);
}

#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
fn default_do_nmi(regs: &PtRegs) {
    let nmi = &this_cpu().nmi;
    // The same instruction as last time: perhaps nothing ran between the two.
    let b2b = regs.ip.get() == nmi.last_nmi_rip.replace(regs.ip.get());
    if !b2b {
        nmi.swallow_nmi.set(false);
    }
    let handled = nmi_handle(NmiType::Local, regs);
    add(&nmi.stats.normal, handled);
    if handled != 0 {
        // Of several events that were dealt with, one may still be on its way as an NMI, which
        // nobody will know.
        if handled > 1 {
            nmi.swallow_nmi.set(true);
        }
        return;
    }
    let reason = (x86_platform().get_nmi_reason)();
    match reason_of(reason) {
        Reason::PciError => pci_serr_error(reason, regs),
        Reason::IoCheck => io_check_error(reason, regs),
        Reason::Unknown => {
            if b2b && nmi.swallow_nmi.get() {
                add(&nmi.stats.swallow, 1);
            } else {
                unknown_nmi_error(reason, regs);
            }
            return;
        }
    }
    add(&nmi.stats.external, 1);
}

fn write_reason_port(v: u8) {
    // SAFETY: acknowledges an error line.
    unsafe { Port::<u8>::new(NMI_REASON_PORT).write(v) };
}

fn cpu_number() -> u32 {
    this_cpu().cpu_number.get()
}

fn is_set(switch: &AtomicI32) -> bool {
    switch.load(Ordering::Relaxed) != 0
}

fn not_continuing() {
    nmi_panic(format_args!("NMI: Not continuing"));
}

#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
fn pci_serr_error(reason: u8, regs: &PtRegs) {
    if nmi_handle(NmiType::Serr, regs) != 0 {
        return;
    }
    pr_emerg!("NMI: PCI system error (SERR) for reason {reason:02x} on CPU {}.\n", cpu_number());
    if is_set(&PANIC_ON_UNRECOVERED_NMI) {
        not_continuing();
    }
    pr_emerg!("Dazed and confused, but trying to continue\n");
    write_reason_port(reason & NMI_REASON_CLEAR_MASK | NMI_REASON_CLEAR_SERR);
}

#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
fn io_check_error(reason: u8, regs: &PtRegs) {
    if nmi_handle(NmiType::IoCheck, regs) != 0 {
        return;
    }
    pr_emerg!("NMI: IOCK error (debug interrupt?) for reason {reason:02x} on CPU {}.\n", cpu_number());
    show_regs(regs);
    show_user_stack(Some(regs));
    if is_set(&PANIC_ON_IO_NMI) {
        nmi_panic(format_args!("NMI IOCK error: Not continuing"));
        // A panic was under way, and goes on at once.
        return;
    }
    // The line is enabled again after a while.
    let cleared = reason & NMI_REASON_CLEAR_MASK | NMI_REASON_CLEAR_IOCHK;
    write_reason_port(cleared);
    delay_ns(2_000_000_000);
    write_reason_port(cleared & !NMI_REASON_CLEAR_IOCHK);
}

/// Waits; good in any context (`udelay`). Where the clock does not run, not for ever. Interrupts are off
/// all the while, which is no lockup.
fn delay_ns(ns: u64) {
    let (until, from) = (ktime_get().saturating_add(ns), rdtsc());
    while ktime_get() < until && rdtsc().wrapping_sub(from) < 1 << 36 {
        touch_nmi_watchdog();
        core::hint::spin_loop();
    }
}

#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
fn unknown_nmi_error(reason: u8, regs: &PtRegs) {
    let stats = &this_cpu().nmi.stats;
    let handled = nmi_handle(NmiType::Unknown, regs);
    if handled != 0 {
        add(&stats.unknown, handled);
        return;
    }
    add(&stats.unknown, 1);
    pr_emerg!("Uhhuh. NMI received for unknown reason {reason:02x} on CPU {}.\n", cpu_number());
    show_user_stack(Some(regs));
    if is_set(&UNKNOWN_NMI_PANIC) || is_set(&PANIC_ON_UNRECOVERED_NMI) {
        not_continuing();
    }
    pr_emerg!("Dazed and confused, but trying to continue\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_and_timer_bits_are_no_reason() {
        assert_eq!(reason_of(0x21), Reason::Unknown);
        assert_eq!(reason_of(0x31), Reason::Unknown);
        assert_eq!(reason_of(0xa1), Reason::PciError);
        assert_eq!(reason_of(0x61), Reason::IoCheck);
    }

    #[test]
    fn what_takes_longer_than_ever_is_remembered() {
        let action = Measured { handler: |_, _| 0, max_duration: AtomicU64::new(0) };
        let max = [999_999, 1_000_000, 5_000_000, 2_000_000, 999].map(|ns| {
            nmi_check_duration(&action, ns);
            action.max_duration.load(Ordering::Relaxed)
        });
        assert_eq!(max, [0, 1_000_000, 5_000_000, 5_000_000, 5_000_000]);
    }
}
