// SPDX-License-Identifier: GPL-2.0-only
//! The local APIC and its timer, which drives preemption and all timed events
//! (Linux 6.1, `arch/x86/kernel/apic/apic.c`).
//!
//! The timer runs in one-shot mode: it is set for the next tick or the next
//! [`hrtimer`](crate::kernel::time::hrtimer), whichever is sooner.

use crate::arch::x86::lib::msr::rdmsr;
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::sched;
use crate::kernel::task::current;
use crate::kernel::time::{hrtimer, timekeeping::ktime_get};
use crate::kernel::watchdog::watchdog_tick;
use crate::mm::vmalloc::ioremap;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Vector of the timer.
pub const LOCAL_TIMER_VECTOR: u8 = 0xec;
/// Vector of interrupts that went away before they were delivered.
pub const SPURIOUS_APIC_VECTOR: u8 = 0xff;
/// Timer ticks per second (`CONFIG_HZ`).
pub const HZ: u64 = 250;
/// Nanoseconds per tick.
pub const TICK_NSEC: u64 = 1_000_000_000 / HZ;

const ID: usize = 0x20;
const EOI: usize = 0xb0;
const SPIV: usize = 0xf0;
const ICR: usize = 0x300;
const ICR2: usize = 0x310;
const LVTT: usize = 0x320;
const LVT0: usize = 0x350;
const LVT1: usize = 0x360;
const TMICT: usize = 0x380;
const TMCCT: usize = 0x390;
const TDCR: usize = 0x3e0;

static REGS: AtomicUsize = AtomicUsize::new(0);
/// Timer counts per nanosecond, times 2^32.
static TIMER_MULT: AtomicU64 = AtomicU64::new(0);
static NEXT_TICK: AtomicU64 = AtomicU64::new(0);
/// What the timer is set for.
static PROGRAMMED: AtomicU64 = AtomicU64::new(u64::MAX);

fn write(reg: usize, v: u32) {
    let base = REGS.load(Ordering::Relaxed);
    if base != 0 {
        // SAFETY: the APIC's registers, mapped by `init`.
        unsafe { ((base + reg) as *mut u32).write_volatile(v) };
    }
}

fn read(reg: usize) -> u32 {
    let base = REGS.load(Ordering::Relaxed);
    if base == 0 {
        return 0;
    }
    // SAFETY: as above.
    unsafe { ((base + reg) as *const u32).read_volatile() }
}

/// This CPU's APIC's id.
pub fn id() -> u32 {
    read(ID) >> 24
}

/// Ends the interrupt being served.
pub fn eoi() {
    write(EOI, 0);
}

/// Maps and enables the APIC, with the legacy controller on LINT0 and NMI on LINT1.
pub fn init() {
    const IA32_APIC_BASE: u32 = 0x1b;
    let base = rdmsr(IA32_APIC_BASE) & 0xf_ffff_f000;
    let regs = ioremap(base, 0x1000).expect("memory to map the APIC");
    REGS.store(regs as usize, Ordering::Relaxed);
    write(SPIV, 0x100 | u32::from(SPURIOUS_APIC_VECTOR));
    write(LVT0, 0x700);
    write(LVT1, 0x400);
    write(TDCR, 0b1011);
    write(LVTT, 1 << 16);
}

/// Sends this CPU an NMI (an interprocessor interrupt to its own id).
pub fn send_nmi_to_self() {
    const LEVEL_ASSERT: u32 = 1 << 14;
    const DM_NMI: u32 = 4 << 8;
    write(ICR2, read(ID) & 0xff00_0000);
    write(ICR, LEVEL_ASSERT | DM_NMI);
}

/// Lets the timer count from its maximum; pair with [`calibration_elapsed`].
pub fn calibration_start() {
    write(TMICT, u32::MAX);
}

/// Counts since [`calibration_start`].
pub fn calibration_elapsed() -> u32 {
    u32::MAX - read(TMCCT)
}

/// Starts the tick: `counts` timer counts last `ns` nanoseconds.
pub fn start_timer(counts: u32, ns: u64) {
    TIMER_MULT.store(((u128::from(counts) << 32) / u128::from(ns.max(1))) as u64, Ordering::Relaxed);
    write(LVTT, u32::from(LOCAL_TIMER_VECTOR));
    NEXT_TICK.store(ktime_get() + TICK_NSEC, Ordering::Relaxed);
    PROGRAMMED.store(u64::MAX, Ordering::Relaxed);
    program(ktime_get() + TICK_NSEC);
}

fn program(expires: u64) {
    PROGRAMMED.store(expires, Ordering::Relaxed);
    let delta = expires.saturating_sub(ktime_get()).max(1000);
    let counts = (u128::from(delta) * u128::from(TIMER_MULT.load(Ordering::Relaxed))) >> 32;
    write(TMICT, (counts as u64).clamp(1, u64::from(u32::MAX)) as u32);
}

/// Tells the timer that an event is due at `expires` (nanoseconds since boot).
pub fn program_next_event(expires: u64) {
    if expires < PROGRAMMED.load(Ordering::Relaxed) && TIMER_MULT.load(Ordering::Relaxed) != 0 {
        program(expires);
    }
}

/// The timer's interrupt: timers that expired, the tick, and the next event.
pub fn local_apic_timer_interrupt(regs: &PtRegs) {
    let cpu = this_cpu();
    cpu.irq_timer_count.set(cpu.irq_timer_count.get() + 1);
    PROGRAMMED.store(u64::MAX, Ordering::Relaxed);
    let now = ktime_get();
    hrtimer::run_expired(now);
    let mut tick = NEXT_TICK.load(Ordering::Relaxed);
    if now >= tick {
        update_process_times(regs.user_mode());
        watchdog_tick(regs);
        sched::scheduler_tick();
        crate::kernel::printk::flush_pending();
        tick += TICK_NSEC;
        if tick <= now {
            tick = now + TICK_NSEC;
        }
        NEXT_TICK.store(tick, Ordering::Relaxed);
    }
    program(tick.min(hrtimer::next_expiry()));
}

/// Charges the tick to the current task (`update_process_times`).
fn update_process_times(user: bool) {
    let cur = current();
    if !crate::kernel::context_tracking::context_tracking_is_enabled() {
        let time = if user { &cur.utime } else { &cur.stime };
        time.fetch_add(TICK_NSEC, Ordering::Relaxed);
    }
    if cur.pid() != 0 {
        crate::kernel::time::itimer::account_tick(&cur, user);
    }
}
