// SPDX-License-Identifier: GPL-2.0-only
//! NMIs that the kernel sends itself, with what a handler may run into (compare Linux 6.1,
//! `arch/x86/kernel/nmi_selftest.c`).
//!
//! `trapline.nmi=` explains every NMI, so that they can be injected without a word in the log, and
//! says how many there were when the machine is switched off. Its value is a list of what handlers
//! do beside: for the proofs from outside (`tests/boot/nmi.rs`).
//!
//! | word | each handler |
//! |---|---|
//! | `count` | only counts |
//! | `iret` | hits a breakpoint, whose `iret` lets the next NMI in |
//! | `fault` | reads where nothing is, which changes CR2 |
//! | `lock` | takes a lock, as none may: a kernel with debug assertions notices |
//! | `stack` | prints the interrupted program's calls, if `trapline.user_stack=1` |
//! | `backtrace` | prints where the NMI found the CPU, as `l` of SysRq has it |
//! | `lockup` | prints the report of a hard lockup |
//! | `unknown` | does not explain the NMI after all |
//! | `second` | has another NMI wait, every other time, before all this |
//!
//! One that runs inside another is warned of.

use super::nmi::{NmiAction, NmiType, register_nmi_handler};
use crate::arch::x86::events::core::show_user_stack;
use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::watchdog_hld::report as report_hard_lockup;
use crate::lib::nmi_backtrace::answer as answer_for_backtrace;
use crate::locking::SpinLock;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

const ON: u32 = 1;
const IRET: u32 = 2;
const FAULT: u32 = 4;
const SECOND: u32 = 8;
const TAKE_LOCK: u32 = 16;
const STACK: u32 = 32;
const BACKTRACE: u32 = 64;
const LOCKUP: u32 = 128;
const UNKNOWN: u32 = 256;
static LOCK: SpinLock<()> = SpinLock::new(());

/// What handlers do.
static DO: AtomicU32 = AtomicU32::new(0);
static RUNS: AtomicU64 = AtomicU64::new(0);
static FROM_USER: AtomicU64 = AtomicU64::new(0);
static INSIDE: AtomicBool = AtomicBool::new(false);

fn claim(_: NmiType, regs: &PtRegs) -> u32 {
    crate::warn_on_once!(INSIDE.swap(true, Ordering::Relaxed));
    let what = DO.load(Ordering::Relaxed);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    FROM_USER.fetch_add(u64::from(regs.user_mode()), Ordering::Relaxed);
    if what & SECOND != 0 && run.is_multiple_of(2) {
        super::apic::send_nmi_to_self();
    }
    if what & STACK != 0 {
        show_user_stack(Some(regs));
    }
    if what & IRET != 0 {
        hit_breakpoint();
    }
    if what & FAULT != 0 {
        page_fault(NOWHERE);
    }
    if what & TAKE_LOCK != 0 {
        drop(LOCK.lock());
    }
    if what & BACKTRACE != 0 {
        answer_for_backtrace(regs);
    }
    if what & LOCKUP != 0 {
        report_hard_lockup(regs);
    }
    INSIDE.store(false, Ordering::Relaxed);
    u32::from(what & UNKNOWN == 0)
}

static CLAIM: NmiAction = NmiAction::new(claim, 0);

/// Whether `trapline.nmi=` was given.
pub fn enabled() -> bool {
    DO.load(Ordering::Relaxed) != 0
}

/// Handles `trapline.nmi=`; false for what it does not know.
pub fn setup(value: Option<&str>) -> bool {
    let mut what = ON;
    for word in value.unwrap_or_default().split(',') {
        what |= match word {
            "count" => 0,
            "iret" => IRET,
            "fault" => FAULT,
            "lock" => TAKE_LOCK,
            "second" => SECOND,
            "stack" => STACK,
            "backtrace" => BACKTRACE,
            "lockup" => LOCKUP,
            "unknown" => UNKNOWN,
            _ => return false,
        };
    }
    DO.store(what, Ordering::Relaxed);
    register_nmi_handler(NmiType::Local, &CLAIM).is_ok()
}

/// Says how many NMIs there were, if the command line asked for them.
pub fn report() {
    if DO.load(Ordering::Relaxed) != 0 {
        let (runs, user) = (RUNS.load(Ordering::Relaxed), FROM_USER.load(Ordering::Relaxed));
        crate::pr_info!("trapline.nmi: {runs} NMIs were handled, {user} of them from user mode\n");
    }
}

/// An address at which nothing ever is.
const NOWHERE: usize = 0xffff_c700_0000_1000;

#[cfg(target_os = "none")]
mod hits {
    use crate::arch::x86::kernel::traps::decide::DR_STEP;
    use crate::arch::x86::ptrace::eflags;
    use crate::kernel::notifier::{
        DieArgs, DieNotifier, DieVal, NotifierBlock, NotifyResult, register_die_notifier,
    };
    use core::arch::{asm, global_asm};
    use core::sync::atomic::{AtomicU32, Ordering};

    // The one breakpoint: behind it NMIs are not held back any more.
    global_asm!(
        ".pushsection .text.nmi_selftest, \"ax\"",
        ".globl nmi_test_int3",
        "nmi_test_int3:",
        "int3",
        ".globl nmi_test_unblocked",
        "nmi_test_unblocked:",
        "ret",
        ".popsection",
    );

    unsafe extern "C" {
        fn nmi_test_int3();
        static nmi_test_unblocked: u8;
    }

    /// Steps that were seen.
    pub static STEPS: AtomicU32 = AtomicU32::new(0);

    fn own(val: DieVal, args: &mut DieArgs<'_>) -> NotifyResult {
        match val {
            DieVal::Int3 if args.regs.ip.get() == &raw const nmi_test_unblocked as u64 => NotifyResult::Stop,
            DieVal::Debug if STEPS.load(Ordering::Relaxed) & STEPPING != 0 => {
                // SAFETY: for a debug exception it is the address of the handler's DR6.
                let dr6 = unsafe { &mut *(args.err as *mut u64) };
                if *dr6 & DR_STEP == 0 {
                    return NotifyResult::Done;
                }
                *dr6 &= !DR_STEP;
                args.regs.flags.update(|v| v & !eflags::TF);
                STEPS.store((STEPS.load(Ordering::Relaxed) & !STEPPING) + 1, Ordering::Relaxed);
                NotifyResult::Stop
            }
            _ => NotifyResult::Done,
        }
    }

    const STEPPING: u32 = 1 << 31;

    static OWN: NotifierBlock<DieNotifier> = NotifierBlock::new(own, i32::MAX - 1);

    /// From now on the breakpoint and the step are expected.
    pub fn init() {
        let _ = register_die_notifier(&OWN);
    }

    /// Hits a breakpoint.
    pub fn hit_breakpoint() {
        // SAFETY: `own` expects it; it changes nothing.
        unsafe { nmi_test_int3() };
    }

    /// Executes an instruction with the trap flag.
    pub fn single_step() {
        STEPS.fetch_or(STEPPING, Ordering::Relaxed);
        // SAFETY: `own` expects the exception, and clears the flag.
        unsafe { asm!("pushfq", "or dword ptr [rsp], 0x100", "popfq", "nop") };
    }

    /// Reads where nothing is, through the exception table.
    pub fn page_fault(addr: usize) {
        // SAFETY: listed in the exception table.
        unsafe {
            asm!("2: mov al, [{}]", "3:", crate::extable!("2", "3b", 1), in(reg) addr, out("al") _, options(nostack));
        }
    }
}

#[cfg(target_os = "none")]
pub use hits::{hit_breakpoint, init, page_fault, single_step};

#[cfg(not(target_os = "none"))]
fn hit_breakpoint() {}
#[cfg(not(target_os = "none"))]
fn page_fault(_: usize) {}

#[cfg(target_os = "none")]
mod kunit {
    use super::super::apic::send_nmi_to_self;
    use super::super::nmi::{
        NMI_LONGEST_NS, NmiAction, NmiType, X86PlatformOps, register_nmi_handler, set_x86_platform,
        unregister_nmi_handler,
    };
    use super::NOWHERE;
    use super::hits::{STEPS, hit_breakpoint, page_fault, single_step};
    use crate::arch::x86::percpu::this_cpu;
    use crate::arch::x86::ptrace::PtRegs;
    use crate::kernel::kunit::Kunit;
    use crate::kernel::printk::ring;
    use crate::kernel::printk::ringbuffer::LOG_LINE_MAX;
    use crate::kernel::time::timekeeping::ktime_get;
    use crate::{kunit_assert, kunit_assert_eq, kunit_suite};
    use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
    use x86_64::registers::control::Cr2;

    kunit_suite! { "nmi":
        comes_once, breakpoint_with_a_second_pending, page_fault_with_a_second_pending,
        step_with_a_second_pending, many_in_a_row, cr2_survives, unknown_is_counted, swallows_a_second_half,
        interrupted_breakpoint_handler_keeps_its_frame, pci_system_error, io_check,
        a_slow_handler_is_told_of,
    }

    /// How often the handler ran, and how often it is inside itself.
    static RUNS: AtomicU32 = AtomicU32::new(0);
    static INSIDE: AtomicU32 = AtomicU32::new(0);
    static DEEPEST: AtomicU32 = AtomicU32::new(0);
    /// What each run does; the last goes on for ever.
    static PLAN: [AtomicU32; 8] = [const { AtomicU32::new(0) }; 8];
    const SEND: u32 = 1;
    const INT3: u32 = 2;
    const FAULT: u32 = 4;
    const STEP: u32 = 8;
    static LAST_FAULT: AtomicU64 = AtomicU64::new(0);

    fn handler(_: NmiType, _: &PtRegs) -> u32 {
        let depth = INSIDE.fetch_add(1, Relaxed) + 1;
        DEEPEST.fetch_max(depth, Relaxed);
        let n = RUNS.fetch_add(1, Relaxed) as usize;
        let plan = PLAN[n.min(PLAN.len() - 1)].load(Relaxed);
        if plan & SEND != 0 {
            // Held back until an iret.
            send_nmi_to_self();
        }
        if plan & INT3 != 0 {
            hit_breakpoint();
        }
        if plan & FAULT != 0 {
            page_fault(NOWHERE);
            LAST_FAULT.store(Cr2::read_raw(), Relaxed);
        }
        if plan & STEP != 0 {
            single_step();
        }
        INSIDE.fetch_sub(1, Relaxed);
        1
    }

    static HANDLER: NmiAction = NmiAction::new(handler, 1);

    /// An NMI comes soon, or not at all.
    fn wait_until(came: impl Fn() -> bool) {
        for _ in 0..1_000_000 {
            if came() {
                break;
            }
            core::hint::spin_loop();
        }
    }

    /// Sends one NMI whose handler's runs do what `plan` says; returns how many there were.
    fn run(plan: &[u32], want: u32) -> u32 {
        for (i, p) in PLAN.iter().enumerate() {
            p.store(plan.get(i).copied().unwrap_or(0), Relaxed);
        }
        RUNS.store(0, Relaxed);
        DEEPEST.store(0, Relaxed);
        let _ = register_nmi_handler(NmiType::Local, &HANDLER);
        send_nmi_to_self();
        wait_until(|| RUNS.load(Relaxed) >= want);
        // One too many would come now.
        (0..10_000).for_each(|_| core::hint::spin_loop());
        let _ = unregister_nmi_handler(NmiType::Local, &HANDLER);
        RUNS.load(Relaxed)
    }

    fn comes_once(test: &mut Kunit) {
        let before = this_cpu().nmi_count.get();
        kunit_assert_eq!(test, run(&[], 1), 1);
        kunit_assert_eq!(test, this_cpu().nmi_count.get() - before, 1);
    }

    fn second_pending(test: &mut Kunit, what: u32) {
        let before = this_cpu().nmi_count.get();
        kunit_assert_eq!(test, run(&[SEND | what], 2), 2);
        kunit_assert_eq!(test, this_cpu().nmi_count.get() - before, 2);
        // The second ran after the first, not inside it.
        kunit_assert_eq!(test, DEEPEST.load(Relaxed), 1);
    }

    fn breakpoint_with_a_second_pending(test: &mut Kunit) {
        second_pending(test, INT3);
    }

    fn page_fault_with_a_second_pending(test: &mut Kunit) {
        second_pending(test, FAULT);
        kunit_assert_eq!(test, LAST_FAULT.load(Relaxed), NOWHERE as u64);
    }

    fn step_with_a_second_pending(test: &mut Kunit) {
        let before = STEPS.load(Relaxed);
        second_pending(test, STEP);
        kunit_assert_eq!(test, STEPS.load(Relaxed) - before, 1);
    }

    fn many_in_a_row(test: &mut Kunit) {
        let plan = [SEND | INT3, SEND | FAULT, SEND | STEP, SEND | INT3 | FAULT, SEND | FAULT | STEP, 0];
        kunit_assert_eq!(test, run(&plan, 6), 6);
        kunit_assert_eq!(test, DEEPEST.load(Relaxed), 1);
    }

    fn cr2_survives(test: &mut Kunit) {
        // SAFETY: no page fault is being handled.
        unsafe { core::arch::asm!("mov cr2, {}", in(reg) 0x1234_5000u64) };
        kunit_assert_eq!(test, run(&[FAULT], 1), 1);
        kunit_assert_eq!(test, LAST_FAULT.load(Relaxed), NOWHERE as u64);
        kunit_assert_eq!(test, Cr2::read_raw(), 0x1234_5000);
    }

    /// Claims what nobody else has.
    fn claim_unknown(_: NmiType, _: &PtRegs) -> u32 {
        1
    }
    static CLAIM_UNKNOWN: NmiAction = NmiAction::new(claim_unknown, 0);

    fn unknown_is_counted(test: &mut Kunit) {
        let stats = &this_cpu().nmi.stats;
        let (unknown, count) = (stats.unknown.get(), this_cpu().nmi_count.get());
        let _ = register_nmi_handler(NmiType::Unknown, &CLAIM_UNKNOWN);
        send_nmi_to_self();
        wait_until(|| this_cpu().nmi_count.get() != count);
        let _ = super::super::nmi::unregister_nmi_handler(NmiType::Unknown, &CLAIM_UNKNOWN);
        kunit_assert_eq!(test, stats.unknown.get() - unknown, 1);
    }

    /// The first run claims two events and has a second NMI pending; the second claims none.
    fn two_then_none(_: NmiType, _: &PtRegs) -> u32 {
        if RUNS.fetch_add(1, Relaxed) == 0 {
            send_nmi_to_self();
            return 2;
        }
        0
    }
    static TWO_THEN_NONE: NmiAction = NmiAction::new(two_then_none, 0);

    fn swallows_a_second_half(test: &mut Kunit) {
        let stats = &this_cpu().nmi.stats;
        let (swallowed, unknown) = (stats.swallow.get(), stats.unknown.get());
        RUNS.store(0, Relaxed);
        let _ = register_nmi_handler(NmiType::Local, &TWO_THEN_NONE);
        send_nmi_to_self();
        // Both strike at the same instruction.
        wait_until(|| RUNS.load(Relaxed) >= 2);
        let _ = unregister_nmi_handler(NmiType::Local, &TWO_THEN_NONE);
        kunit_assert_eq!(test, stats.swallow.get() - swallowed, 1);
        kunit_assert_eq!(test, stats.unknown.get() - unknown, 0);
    }

    /// A notifier of breakpoints that is interrupted by an NMI whose handler hits a breakpoint.
    fn interrupted_breakpoint_handler_keeps_its_frame(test: &mut Kunit) {
        use crate::kernel::notifier::{
            DieArgs, DieNotifier, DieVal, NotifierBlock, NotifyResult, register_die_notifier,
            unregister_die_notifier,
        };
        fn nested(val: DieVal, args: &mut DieArgs<'_>) -> NotifyResult {
            if val == DieVal::Int3 && RUNS.load(Relaxed) == 0 {
                let before = args.regs.clone();
                send_nmi_to_self();
                wait_until(|| RUNS.load(Relaxed) != 0);
                LAST_FAULT.store(u64::from(before == *args.regs), Relaxed);
            }
            NotifyResult::Done
        }
        static NESTED: NotifierBlock<DieNotifier> = NotifierBlock::new(nested, i32::MAX);
        for p in &PLAN {
            p.store(0, Relaxed);
        }
        PLAN[0].store(INT3, Relaxed);
        RUNS.store(0, Relaxed);
        LAST_FAULT.store(0, Relaxed);
        let _ = register_nmi_handler(NmiType::Local, &HANDLER);
        kunit_assert!(test, register_die_notifier(&NESTED).is_ok());
        hit_breakpoint();
        kunit_assert!(test, unregister_die_notifier(&NESTED).is_ok());
        let _ = unregister_nmi_handler(NmiType::Local, &HANDLER);
        kunit_assert_eq!(test, (RUNS.load(Relaxed), LAST_FAULT.load(Relaxed)), (1, 1));
        kunit_assert_eq!(test, this_cpu().debug_idt_ctr.get(), 0);
    }

    /// What the machine says of the next NMI; then nothing.
    static REASON: AtomicU32 = AtomicU32::new(0);
    static OTHER_MACHINE: X86PlatformOps = X86PlatformOps { get_nmi_reason: reason };

    fn reason() -> u8 {
        REASON.swap(0, Relaxed) as u8
    }

    /// Whether the log has such a line since `seq`.
    fn said(seq: u64, such: impl Fn(&str) -> bool) -> bool {
        let (mut seq, mut text) = (seq, [0; LOG_LINE_MAX]);
        while let Some(info) = ring().read_valid(seq, &mut text) {
            if such(str::from_utf8(&text[..info.len]).unwrap_or_default()) {
                return true;
            }
            seq = info.seq + 1;
        }
        false
    }

    /// One NMI of which the machine says `byte`: how many were counted as such, the log's first new
    /// record, and how long it took.
    fn with_reason(byte: u32) -> (u64, u64, u64) {
        let stats = &this_cpu().nmi.stats;
        let (external, seq, from) = (stats.external.get(), ring().next_seq(), ktime_get());
        REASON.store(byte, Relaxed);
        let machine = set_x86_platform(&OTHER_MACHINE);
        send_nmi_to_self();
        wait_until(|| stats.external.get() != external);
        let _ = set_x86_platform(machine);
        (stats.external.get() - external, seq, ktime_get() - from)
    }

    /// Deals with what it is called for.
    fn deal(_: NmiType, _: &PtRegs) -> u32 {
        RUNS.fetch_add(1, Relaxed);
        1
    }
    static DEAL: NmiAction = NmiAction::new(deal, 0);

    fn dealt_with(test: &mut Kunit, kind: NmiType, byte: u32) {
        RUNS.store(0, Relaxed);
        kunit_assert!(test, register_nmi_handler(kind, &DEAL).is_ok());
        let (count, seq, _) = with_reason(byte);
        kunit_assert!(test, unregister_nmi_handler(kind, &DEAL).is_ok());
        kunit_assert_eq!(
            test,
            (count, RUNS.load(Relaxed), said(seq, |l| l.starts_with("NMI:"))),
            (1, 1, false)
        );
    }

    fn pci_system_error(test: &mut Kunit) {
        let (count, seq, _) = with_reason(0xa1);
        kunit_assert_eq!(test, count, 1);
        kunit_assert!(test, said(seq, |l| l == "NMI: PCI system error (SERR) for reason a1 on CPU 0."));
        kunit_assert!(test, said(seq, |l| l == "Dazed and confused, but trying to continue"));
        dealt_with(test, NmiType::Serr, 0x80);
    }

    fn io_check(test: &mut Kunit) {
        let (count, seq, ns) = with_reason(0x61);
        kunit_assert_eq!(test, count, 1);
        kunit_assert!(test, said(seq, |l| l == "NMI: IOCK error (debug interrupt?) for reason 61 on CPU 0."));
        // The line is off for two seconds.
        kunit_assert!(test, ns >= 2_000_000_000);
        dealt_with(test, NmiType::IoCheck, 0x40);
    }

    /// Takes longer each time.
    fn slow_handler(_: NmiType, _: &PtRegs) -> u32 {
        let until = ktime_get() + 3_000_000 * u64::from(RUNS.fetch_add(1, Relaxed) + 1);
        while ktime_get() < until {
            core::hint::spin_loop();
        }
        1
    }

    /// What is said of it since `seq`.
    fn slow_said(seq: u64) -> bool {
        said(seq, |l| {
            let rest = l.strip_prefix("INFO: NMI handler (slow_handler) took too long to run: ");
            let number = rest.and_then(|l| l.strip_suffix(" msecs")).and_then(|l| l.split_once('.'));
            number.is_some_and(|(whole, part)| {
                whole.parse::<u32>().is_ok_and(|ms| ms >= 3) && part.len() == 3 && part.parse::<u32>().is_ok()
            })
        })
    }

    fn a_slow_handler_is_told_of(test: &mut Kunit) {
        static SLOW: NmiAction = NmiAction::new(slow_handler, 0);
        RUNS.store(0, Relaxed);
        kunit_assert!(test, register_nmi_handler(NmiType::Local, &SLOW).is_ok());
        let mut told = [false; 2];
        // One millisecond is too long, and then nothing is.
        for (told, runs) in told.iter_mut().zip(1..) {
            let seq = ring().next_seq();
            send_nmi_to_self();
            wait_until(|| RUNS.load(Relaxed) >= runs);
            *told = slow_said(seq);
            NMI_LONGEST_NS.store(u64::MAX, Relaxed);
        }
        NMI_LONGEST_NS.store(1_000_000, Relaxed);
        kunit_assert!(test, unregister_nmi_handler(NmiType::Local, &SLOW).is_ok());
        kunit_assert_eq!(test, told, [true, false]);
    }
}
