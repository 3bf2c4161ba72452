// SPDX-License-Identifier: GPL-2.0-only
//! The exceptions' handlers: the documents' `arch/x86/kernel/traps.c` (Linux 4.x), with the
//! behaviour of Linux 6.1 where it still has the thing.
//!
//! The path, in the documents' names:
//!
//! ```text
//! idtentry → do_divide_error → do_error_trap
//!     exception_enter
//!     notify_die                        NOTIFY_STOP: somebody has dealt with it
//!     conditional_sti
//!     do_trap
//!         do_trap_no_signal             kernel mode: fixup_exception, else die
//!         the log line, if nobody handles the signal
//!         force_sig_fault / force_sig
//!     exception_exit
//! ```
//!
//! Which signal, with which code and address, is decided in [`decide`]; here it is delivered.
//! Page faults are in [`mm::fault`](crate::arch::x86::mm::fault), NMIs in
//! [`nmi`](super::nmi).

pub mod decide;
pub mod insn_addr;

#[cfg(target_os = "none")]
use crate::arch::x86::kernel::cpu::DOUBLEFAULT_STACK;
use crate::arch::x86::kernel::cpu::cpu_has_umip;
use crate::arch::x86::kernel::dumpstack::{StackInfo, die, die_with, get_stack_guard_info};
use crate::arch::x86::kernel::fpu::core::use_lazy_fpu;
use crate::arch::x86::kernel::ioport::fixup_iopl_exception;
use crate::arch::x86::kernel::irq::{HARDIRQ_OFFSET, NMI_OFFSET};
use crate::arch::x86::kernel::kprobes;
pub use crate::arch::x86::kernel::mce::do_machine_check;
pub use crate::arch::x86::kernel::nmi::do_nmi;
use crate::arch::x86::kernel::step::set_block_step;
use crate::arch::x86::kernel::umip::fixup_umip_exception;
use crate::arch::x86::math_emu::fpu_entry::{MathEmuInfo, math_emulate};
use crate::arch::x86::mm::extable::fixup_exception;
use crate::arch::x86::mm::mpx::{Bounds, handle_bounds};
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::arch::x86::sections;
use crate::kernel::context_tracking::{exception_enter, exception_exit};
use crate::kernel::notifier::{DieVal, NotifyResult, notify_die};
use crate::kernel::panic::{Comm, panic};
use crate::kernel::printk::{HashedPtr, print_vma_addr, printk_ratelimit, show_unhandled_signals};
use crate::kernel::signal::sigset::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
use crate::kernel::signal::{force_sig, force_sig_fault, force_sig_info, unhandled_signal};
use crate::kernel::task::{Current, Task, current, tif};
use crate::lib::bug::report_bug;
use crate::locking::{local_irq_disable, local_irq_enable};
use crate::{warn_on, warn_on_once};
use core::sync::atomic::Ordering;
use decide::{Addr, Decision, Facts, LogLine, SI_KERNEL, Vector};

/// Turns interrupts on if the interrupted context had them on.
#[inline]
fn conditional_sti(regs: &PtRegs) {
    if regs.flags.get() & eflags::IF != 0 {
        local_irq_enable();
    }
}

/// Undoes [`conditional_sti`]: exceptions are left with interrupts off.
#[inline]
fn conditional_cli(regs: &PtRegs) {
    if regs.flags.get() & eflags::IF != 0 {
        local_irq_disable();
    }
}

/// Begins a handler that may have interrupted anything (`ist_enter`, `nmi_enter`).
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
pub(super) fn ist_enter() {
    let c = &this_cpu().preempt_count;
    c.set(c.get() + NMI_OFFSET + HARDIRQ_OFFSET);
}

/// Ends what [`ist_enter`] began.
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
pub(super) fn ist_exit() {
    let c = &this_cpu().preempt_count;
    c.set(c.get() - (NMI_OFFSET + HARDIRQ_OFFSET));
}

/// Records the exception for signal frames and `die`.
fn set_trap(tsk: Current, vector: Vector, error_code: u64) {
    tsk.thread().error_code.set(error_code);
    tsk.thread().trap_nr.set(u64::from(vector.nr()));
}

/// Deals with an exception of kernel mode: continues where the exception table says, else dies.
/// Returns whether it was one (virtual-8086 mode, the documents' other case, does not exist in
/// 64-bit mode).
fn do_trap_no_signal(vector: Vector, regs: &PtRegs, error_code: u64) -> bool {
    let tsk = current();
    if !regs.user_mode() {
        if !fixup_exception(regs, vector.nr()) {
            set_trap(tsk, vector, error_code);
            die(vector.name(), regs, error_code);
        }
        return true;
    }
    set_trap(tsk, vector, error_code);
    false
}

/// Logs a signal that nobody handles: `COMM[TID] WHAT ip:… sp:… error:… in FILE[…]`.
#[cold]
fn show_signal(tsk: &Task, sig: i32, kind: &str, desc: &str, regs: &PtRegs, error_code: u64) {
    if unhandled_signal(tsk, sig) && printk_ratelimit("show_signal") {
        let (comm, pid) = (tsk.comm(), tsk.pid());
        pr_info!(
            "traps: {}[{pid}] {kind}{desc} ip:{:x} sp:{:x} error:{error_code:x}",
            Comm(&comm),
            regs.ip.get(),
            regs.sp.get()
        );
        print_vma_addr(" in ", regs.ip.get() as usize);
        pr_cont!("\n");
    }
}

/// What a signal says beside its number (`fill_trap_info`): its code and address; `None` if it
/// is only "from the kernel".
fn fill_trap_info(regs: &PtRegs, code: i32, addr: Addr) -> Option<(i32, u64)> {
    if code == SI_KERNEL {
        return None;
    }
    let addr = match addr {
        Addr::Ip => regs.ip.get(),
        Addr::None => 0,
    };
    Some((code, addr))
}

/// Delivers what was decided for user mode.
#[inline]
fn send_decision(vector: Vector, decision: Decision, regs: &PtRegs, error_code: u64) {
    let Decision::Signal { sig, code, addr, log } = decision else {
        return;
    };
    if log != LogLine::None && show_unhandled_signals().load(Ordering::Relaxed) {
        let kind = if log == LogLine::Trap { "trap " } else { "" };
        show_signal(&current(), sig, kind, vector.name(), regs, error_code);
    }
    match fill_trap_info(regs, code, addr) {
        Some((code, addr)) => force_sig_fault(sig, code, addr),
        None => force_sig(sig),
    }
}

/// Kernel mode: fixup or death. User mode: the signal.
fn do_trap(vector: Vector, regs: &PtRegs, error_code: u64) {
    if do_trap_no_signal(vector, regs, error_code) {
        return;
    }
    let decision = decide::decide(vector, &Facts { from_user: true, ..Facts::default() });
    send_decision(vector, decision, regs, error_code);
}

/// The signal that the die chain is told, for a vector of the `DO_ERROR` family.
fn signr(vector: Vector) -> i32 {
    match decide::decide(vector, &Facts { from_user: true, ..Facts::default() }) {
        Decision::Signal { sig, .. } => sig,
        Decision::FixupOrDie | Decision::Die | Decision::Nothing | Decision::Panic | Decision::Elsewhere => {
            SIGSEGV
        }
    }
}

/// What the handlers that [`do_error!`] defines have in common.
fn do_error_trap(regs: &PtRegs, error_code: u64, vector: Vector) {
    let prev_state = exception_enter();
    if notify_die(DieVal::Trap, vector.name(), regs, error_code, vector.nr(), signr(vector))
        != NotifyResult::Stop
    {
        conditional_sti(regs);
        do_trap(vector, regs, error_code);
        conditional_cli(regs);
    }
    exception_exit(prev_state);
}

/// The documents' `DO_ERROR`: a handler for a vector. Its name in the log, its signal, code and
/// address are the vector's, in [`decide`]; `error_code` or `no_error_code` says whether the CPU
/// pushes one.
macro_rules! do_error {
    (@code error_code, $e:ident) => { $e };
    (@code no_error_code, $e:ident) => {{ let _ = $e; 0 }};
    ($($vector:ident, $err:ident, $handler:ident;)*) => {
        $(
            const _: () = assert!(Vector::$vector.has_error_code() == do_error!(@has $err));
            #[doc = concat!("Handles `", stringify!($vector), "`.")]
            #[allow(non_snake_case)]
            pub extern "C" fn $handler(regs: &PtRegs, error_code: u64) {
                do_error_trap(regs, do_error!(@code $err, error_code), Vector::$vector);
            }
        )*
    };
    (@has error_code) => { true };
    (@has no_error_code) => { false };
}

do_error! {
    DivideError,               no_error_code, do_divide_error;
    Overflow,                  no_error_code, do_overflow;
    CoprocessorSegmentOverrun, no_error_code, do_coprocessor_segment_overrun;
    InvalidTss,                error_code,    do_invalid_TSS;
    SegmentNotPresent,         error_code,    do_segment_not_present;
    StackSegment,              error_code,    do_stack_segment;
}

/// #UD. In the kernel it is how `BUG` and `WARN` speak up.
pub extern "C" fn do_invalid_op(regs: &PtRegs, _error_code: u64) {
    if !regs.user_mode() {
        conditional_sti(regs);
        let warned = report_bug(regs);
        conditional_cli(regs);
        if warned {
            // Behind the `ud2`.
            regs.ip.update(|v| v + 2);
            return;
        }
    }
    do_error_trap(regs, 0, Vector::InvalidOp);
}

/// #BP. In the kernel it may have been hit anywhere, and unless somebody on the die chain
/// has placed it, it is fatal.
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
pub extern "C" fn do_int3(regs: &PtRegs, _error_code: u64) {
    let v = Vector::Breakpoint;
    if !regs.user_mode() {
        ist_enter();
        if notify_die(DieVal::Int3, v.name(), regs, 0, v.nr(), SIGTRAP) != NotifyResult::Stop {
            set_trap(current(), v, 0);
            die(v.name(), regs, 0);
        }
        ist_exit();
        return;
    }
    let prev_state = exception_enter();
    if notify_die(DieVal::Int3, v.name(), regs, 0, v.nr(), SIGTRAP) != NotifyResult::Stop {
        conditional_sti(regs);
        do_trap(v, regs, 0);
        conditional_cli(regs);
    }
    exception_exit(prev_state);
}

/// #GP. Most of user mode's illegal acts.
pub extern "C" fn do_general_protection(regs: &PtRegs, error_code: u64) {
    let prev_state = exception_enter();
    conditional_sti(regs);
    let v = Vector::GeneralProtection;
    if regs.user_mode() {
        if (cpu_has_umip() && fixup_umip_exception(regs)) || fixup_iopl_exception(regs) {
            conditional_cli(regs);
            exception_exit(prev_state);
            return;
        }
        set_trap(current(), v, error_code);
        let decision = decide::decide(v, &Facts { from_user: true, ..Facts::default() });
        send_decision(v, decision, regs, error_code);
    } else {
        kernel_general_protection(regs, error_code);
    }
    conditional_cli(regs);
    exception_exit(prev_state);
}

/// A #GP of the kernel's own.
#[cold]
fn kernel_general_protection(regs: &PtRegs, error_code: u64) {
    let v = Vector::GeneralProtection;
    if fixup_exception(regs, v.nr()) {
        return;
    }
    set_trap(current(), v, error_code);
    if notify_die(DieVal::Gpf, v.name(), regs, error_code, v.nr(), SIGSEGV) == NotifyResult::Stop {
        return;
    }
    if error_code != 0 {
        die_with(format_args!("segment-related {}", v.name()), v.name(), regs, error_code);
        return;
    }
    match insn_addr::gp_address(regs) {
        Some((addr, true)) => {
            let line = format_args!("{}, probably for non-canonical address {addr:#x}", v.name());
            die_with(line, v.name(), regs, error_code);
        }
        Some((addr, false)) => {
            die_with(format_args!("{}, maybe for address {addr:#x}", v.name()), v.name(), regs, error_code);
        }
        None => die(v.name(), regs, error_code),
    }
}

/// DR6, cleared; in positive polarity.
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
fn debug_read_clear_dr6() -> u64 {
    use decide::DR6_RESERVED;
    let dr6: u64;
    // SAFETY: debug registers are the kernel's to read and write.
    unsafe {
        core::arch::asm!("mov {0}, dr6", "mov dr6, {1}", out(reg) dr6, in(reg) DR6_RESERVED, options(nomem, nostack, preserves_flags));
    }
    dr6 ^ DR6_RESERVED
}

/// Disables all breakpoints, returning DR7 (`local_db_save`).
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
pub(super) fn local_db_save() -> u64 {
    let dr7: u64;
    // SAFETY: as above; 0x400 is DR7 without any breakpoint.
    unsafe { core::arch::asm!("mov {}, dr7", out(reg) dr7, options(nomem, nostack, preserves_flags)) };
    if dr7 & 0xff != 0 {
        local_db_restore(0x400);
    }
    dr7
}

/// Undoes [`local_db_save`].
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
pub(super) fn local_db_restore(dr7: u64) {
    // SAFETY: as above.
    unsafe { core::arch::asm!("mov dr7, {}", in(reg) dr7, options(nomem, nostack, preserves_flags)) };
}

/// #DB: single step, breakpoint registers, `int1`.
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
pub extern "C" fn do_debug(regs: &PtRegs, _error_code: u64) {
    let dr6 = debug_read_clear_dr6();
    if regs.user_mode() { debug_user(regs, dr6) } else { debug_kernel(regs, dr6) }
}

/// Asks the die chain, whose members clear the reasons that were theirs.
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
fn notify_debug(regs: &PtRegs, dr6: &mut u64) -> bool {
    let at = core::ptr::from_mut(dr6) as u64;
    notify_die(DieVal::Debug, Vector::Debug.name(), regs, at, Vector::Debug.nr(), SIGTRAP)
        == NotifyResult::Stop
}

fn debug_user(regs: &PtRegs, mut dr6: u64) {
    let prev_state = exception_enter();
    let tsk = current();
    tsk.thread().virtual_dr6.set(dr6 & decide::DR_STEP);
    // The CPU has cleared BTF.
    tsk.clear_flag(tif::BLOCKSTEP);
    // No reason at all: that is what `int1` looks like.
    let icebp = dr6 == 0;
    if !notify_debug(regs, &mut dr6) {
        local_irq_enable();
        dr6 |= tsk.thread().virtual_dr6.get();
        if dr6 != 0 || icebp {
            set_trap(tsk, Vector::Debug, 0);
            let decision = decide::decide(Vector::Debug, &Facts { from_user: true, dr6, ..Facts::default() });
            send_decision(Vector::Debug, decision, regs, 0);
        }
        local_irq_disable();
    }
    exception_exit(prev_state);
}

/// An instruction of user mode's has been emulated: a step over it ends here. On its own the
/// CPU would go one instruction further. (It does where Linux 6.1 emulates; a real x87
/// instruction can be stepped over.)
pub fn end_emulated_step(regs: &PtRegs) {
    if regs.flags.get() & eflags::TF != 0 && !current().test_flag(tif::BLOCKSTEP) {
        debug_user(regs, decide::DR_STEP);
    }
}

/// The part of SYSENTER's entry that user mode's trap flag has stepped through.
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
fn is_sysenter_singlestep(ip: u64) -> bool {
    #[cfg(target_os = "none")]
    {
        use crate::arch::x86::entry::entry_64::entry;
        let start = entry::entry_sysenter_compat as *const () as u64;
        (start..entry::end_entry_sysenter_compat as *const () as u64).contains(&ip)
    }
    #[cfg(not(target_os = "none"))]
    {
        let _ = ip;
        false
    }
}

#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
fn debug_kernel(regs: &PtRegs, mut dr6: u64) {
    let dr7 = local_db_save();
    ist_enter();
    if current().test_flag(tif::BLOCKSTEP) {
        // The CPU has forgotten that user mode's steps are whole blocks.
        set_block_step(true);
    }
    if dr6 & decide::DR_STEP != 0 && is_sysenter_singlestep(regs.ip.get()) {
        // TF stays: the program's flags are being taken from the CPU's.
        dr6 &= !decide::DR_STEP;
    }
    // In the entry code a trap flag of user mode's may still be seen.
    if dr6 & decide::DR_STEP != 0 && sections::entry_text().contains(&regs.ip.get()) && !kprobes::stepping() {
        // User mode entered the kernel with TF set; it is user mode's step.
        dr6 &= !decide::DR_STEP;
        regs.flags.update(|v| v & !eflags::TF);
    }
    if dr6 != 0 && !notify_debug(regs, &mut dr6) && warn_on_once!(dr6 & decide::DR_STEP != 0) {
        regs.flags.update(|v| v & !eflags::TF);
    }
    ist_exit();
    local_db_restore(dr7);
}

/// #BR: a check of the memory protection extensions, or `bound`.
pub extern "C" fn do_bounds(regs: &PtRegs, _error_code: u64) {
    let prev_state = exception_enter();
    let v = Vector::Bounds;
    if notify_die(DieVal::Trap, v.name(), regs, 0, v.nr(), SIGSEGV) != NotifyResult::Stop {
        conditional_sti(regs);
        if !regs.user_mode() {
            die(v.name(), regs, 0);
        }
        match handle_bounds(regs) {
            Bounds::Handled => {}
            Bounds::Violation(info) => {
                set_trap(current(), v, 0);
                if show_unhandled_signals().load(Ordering::Relaxed) {
                    show_signal(&current(), SIGSEGV, "trap ", v.name(), regs, 0);
                }
                force_sig_info(&info);
            }
            Bounds::Other => do_trap(v, regs, 0),
        }
        conditional_cli(regs);
    }
    exception_exit(prev_state);
}

/// #AC.
pub extern "C" fn do_alignment_check(regs: &PtRegs, error_code: u64) {
    let prev_state = exception_enter();
    let v = Vector::AlignmentCheck;
    if notify_die(DieVal::Trap, v.name(), regs, error_code, v.nr(), SIGBUS) != NotifyResult::Stop {
        if !regs.user_mode() {
            die("Split lock detected\n", regs, error_code);
        }
        local_irq_enable();
        do_trap(v, regs, error_code);
        local_irq_disable();
    }
    exception_exit(prev_state);
}

/// #NM. Without an FPU the instruction is emulated. In lazy mode the task uses the FPU for the first time since it was switched to,
/// or the kernel does on its behalf: it gets its registers. In eager mode it cannot come:
/// if CR0.TS was set nevertheless, it is cleared and the instruction tried again.
pub extern "C" fn do_device_not_available(regs: &PtRegs, _error_code: u64) {
    use x86_64::registers::control::{Cr0, Cr0Flags};
    let prev_state = exception_enter();
    let cr0 = Cr0::read();
    if cr0.contains(Cr0Flags::EMULATE_COPROCESSOR) {
        conditional_sti(regs);
        if !regs.user_mode() {
            die("Math emulation needed in kernel", regs, 0);
        }
        math_emulate(&mut MathEmuInfo { regs });
        conditional_cli(regs);
    } else if use_lazy_fpu() && cr0.contains(Cr0Flags::TASK_SWITCHED) {
        current().thread().fpu.fpu__restore();
    } else if warn_on!(cr0.contains(Cr0Flags::TASK_SWITCHED), "CR0.TS was set") {
        // SAFETY: lets the FPU's instructions run, as they do always.
        unsafe { Cr0::write(cr0 - Cr0Flags::TASK_SWITCHED) };
    } else {
        set_trap(current(), Vector::DeviceNotAvailable, 0);
        die("unexpected #NM exception", regs, 0);
    }
    exception_exit(prev_state);
}

/// The FPU's pending, unmasked exceptions: its registers are still user mode's.
fn pending_fpu_exceptions(vector: Vector) -> u16 {
    if vector == Vector::CoprocessorError {
        let (mut status, mut control) = (0u16, 0u16);
        // SAFETY: these do not wait for pending exceptions, and only store two words.
        unsafe {
            core::arch::asm!("fnstsw word ptr [{}]", "fnstcw word ptr [{}]", in(reg) &raw mut status, in(reg) &raw mut control, options(nostack, preserves_flags));
        }
        decide::fpu_exceptions(u32::from(status), Some(control))
    } else {
        let mut mxcsr = 0u32;
        // SAFETY: stores one word.
        unsafe {
            core::arch::asm!("stmxcsr dword ptr [{}]", in(reg) &raw mut mxcsr, options(nostack, preserves_flags));
        };
        decide::fpu_exceptions(mxcsr, None)
    }
}

/// What #MF and #XF have in common.
fn math_error(regs: &PtRegs, vector: Vector) {
    if !regs.user_mode() {
        conditional_sti(regs);
        if !fixup_exception(regs, vector.nr()) {
            set_trap(current(), vector, 0);
            if notify_die(DieVal::Trap, vector.name(), regs, 0, vector.nr(), SIGFPE) != NotifyResult::Stop {
                die(vector.name(), regs, 0);
            }
        }
        conditional_cli(regs);
        return;
    }
    let fpu = pending_fpu_exceptions(vector);
    conditional_sti(regs);
    send_math_error(regs, vector, fpu);
    conditional_cli(regs);
}

/// Reports the FPU's pending exceptions to user mode. Without any there is no signal, and the
/// instruction is tried again.
fn send_math_error(regs: &PtRegs, vector: Vector, fpu: u16) {
    set_trap(current(), vector, 0);
    let decision = decide::decide(vector, &Facts { from_user: true, fpu, ..Facts::default() });
    send_decision(vector, decision, regs, 0);
}

/// The #MF that an emulated FPU would raise, whose status and control words these are.
pub fn do_soft_coprocessor_error(regs: &PtRegs, (status, control): (u16, u16)) {
    let fpu = decide::fpu_exceptions(u32::from(status), Some(control));
    send_math_error(regs, Vector::CoprocessorError, fpu);
}

/// The FPU's instruction is none that could be emulated (Linux 6.1,
/// `arch/x86/math-emu/errors.c`, `math_abort`).
pub fn emulation_failed() {
    set_trap(current(), Vector::DeviceNotAvailable, 0);
    force_sig(SIGILL);
}

/// #MF.
pub extern "C" fn do_coprocessor_error(regs: &PtRegs, _error_code: u64) {
    let prev_state = exception_enter();
    math_error(regs, Vector::CoprocessorError);
    exception_exit(prev_state);
}

/// #XF.
pub extern "C" fn do_simd_coprocessor_error(regs: &PtRegs, _error_code: u64) {
    let prev_state = exception_enter();
    math_error(regs, Vector::SimdCoprocessorError);
    exception_exit(prev_state);
}

/// Vector 15, which only an erratum of the Pentium Pro raises.
pub extern "C" fn do_spurious_interrupt_bug(_regs: &PtRegs, _error_code: u64) {}

/// Reports that a kernel stack has run into its guard page, and kills the task.
fn handle_stack_overflow(regs: &PtRegs, address: u64, stack: &StackInfo) -> ! {
    let (at, begin, end) = (HashedPtr(address as usize), HashedPtr(stack.begin), HashedPtr(stack.end));
    pr_emerg!("BUG: {} stack guard page was hit at {at} (stack is {begin}..{end})\n", stack.name);
    die("stack guard page", regs, 0);
    panic(format_args!("{} stack guard hit", stack.name))
}

/// If `address`, which the kernel could not reach, lies in a stack's guard page: reports an overflow
/// on the double-fault stack, as the task's own has no room left. Otherwise returns.
pub fn check_stack_overflow(regs: &PtRegs, address: u64) {
    let Some(stack) = get_stack_guard_info(address as usize) else {
        return;
    };
    #[cfg(target_os = "none")]
    {
        extern "C" fn on_other_stack(regs: &PtRegs, address: u64, stack: &StackInfo) -> ! {
            handle_stack_overflow(regs, address, stack)
        }
        // SAFETY: this CPU's TSS; its double-fault stack is not in use, and nothing returns to the
        // stack that is left.
        unsafe {
            let top = (*this_cpu().tss.get()).interrupt_stack_table[DOUBLEFAULT_STACK].as_u64();
            core::arch::asm!("mov rsp, {}", "call {}", "ud2", in(reg) top, sym on_other_stack,
                in("rdi") regs, in("rsi") address, in("rdx") &raw const stack, options(noreturn));
        }
    }
    #[cfg(not(target_os = "none"))]
    handle_stack_overflow(regs, address, &stack)
}

/// #DF: an exception could not be delivered. Usually the kernel stack has overflowed into
/// its guard page.
pub extern "C" fn do_double_fault(regs: &PtRegs, error_code: u64) {
    let address = x86_64::registers::control::Cr2::read_raw();
    #[cfg(target_os = "none")]
    if crate::arch::x86::kernel::espfix_64::fixup_espfix_fault(regs) {
        return;
    }
    ist_enter();
    let v = Vector::DoubleFault;
    notify_die(DieVal::Trap, v.name(), regs, error_code, v.nr(), SIGSEGV);
    set_trap(current(), v, error_code);
    if let Some(stack) = get_stack_guard_info(address as usize) {
        handle_stack_overflow(regs, address, &stack);
    }
    pr_emerg!("traps: PANIC: double fault, error_code: {error_code:#x}\n");
    die(v.name(), regs, error_code);
    panic(format_args!("Machine halted."));
}

/// The `iret` to user mode could not load what it was given (a selector from `rt_sigreturn`,
/// say). Makes the fault look as if user mode had raised it in the state that could not be
/// loaded: returns the `pt_regs` to continue with, at the top of the task's stack.
pub extern "C" fn fixup_bad_iret(bad_regs: &PtRegs) -> *const PtRegs {
    // Where they go and where they are may overlap: through a copy.
    let regs = bad_regs.clone();
    // SAFETY: RSP was on the five words that `iret` refused, on the task's stack.
    regs.set_iret_frame(unsafe { *(bad_regs.sp.get() as *const [u64; 5]) });
    let cur = current();
    cur.pt_regs().copy_from(&regs);
    cur.pt_regs()
}
