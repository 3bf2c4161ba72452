// SPDX-License-Identifier: GPL-2.0-only
//! The debug registers that a tracer sets for its tracee (Linux 6.1,
//! `arch/x86/kernel/hw_breakpoint.c`; `arch/x86/kernel/ptrace.c`, `ptrace_write_dr7`).
//!
//! In Linux they are perf events of the tracee; here the registers themselves are the task's
//! state, loaded when it runs (`TIF_HW_BREAKPOINT`). What can be set is what Linux lets be set,
//! but for kernel addresses: they are refused (`EPERM`) even to root.

use crate::arch::x86::kernel::traps::decide::{DR_STEP, DR_TRAP_BITS, DR6_RESERVED};
use crate::arch::x86::lib::usercopy::TASK_SIZE_MAX;
use crate::errno::{EINVAL, EIO, EPERM, Result};
use crate::kernel::notifier::{
    DieArgs, DieNotifier, DieVal, NotifierBlock, NotifyResult, register_die_notifier,
};
use crate::kernel::task::{Current, Task, current, tif};
use core::cell::Cell;

/// How many breakpoints there are (`HBP_NUM`).
pub const HBP_NUM: usize = 4;
/// DR7's bits that a program cannot set (`DR_CONTROL_RESERVED`).
const DR_CONTROL_RESERVED: u64 = 0xffff_ffff_0000_fc00;
/// DR7: exact breakpoints, local and global (`DR_LOCAL_SLOWDOWN`, `DR_GLOBAL_SLOWDOWN`).
const DR_GLOBAL_SLOWDOWN: u64 = 0x200;
/// DR7 without any breakpoint.
const DR7_FIXED: u64 = 0x400;

/// What DR7 says of one breakpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Control {
    enabled: bool,
    /// What is watched (`X86_BREAKPOINT_EXECUTE`, …): the RW field.
    kind: u64,
    /// How much of it: the LEN field.
    len: u64,
}

const EXECUTE: u64 = 0;
const WRITE: u64 = 1;
const IO: u64 = 2;

impl Control {
    /// The fields of breakpoint `i` (`decode_dr7`).
    #[inline(always)]
    const fn of(dr7: u64, i: usize) -> Self {
        let info = dr7 >> (16 + 4 * i);
        Self { enabled: dr7 >> (2 * i) & 3 != 0, kind: info & 3, len: info >> 2 & 3 }
    }

    /// Bytes that are watched.
    const fn bytes(self) -> u64 {
        [1, 2, 8, 4][self.len as usize]
    }

    /// DR7's bits for it, if it is enabled (`encode_dr7`).
    #[inline(always)]
    const fn encode(self, i: usize) -> u64 {
        if !self.enabled {
            return 0;
        }
        (self.len << 2 | self.kind) << (16 + 4 * i) | 2 << (2 * i) | DR_GLOBAL_SLOWDOWN
    }

    /// Whether such a breakpoint can be at `addr` (`hw_breakpoint_arch_parse`).
    fn check(self, addr: u64) -> Result {
        if self.kind == IO || (self.kind == EXECUTE && self.len != 0) {
            return Err(EINVAL);
        }
        if addr & (self.bytes() - 1) != 0 {
            return Err(EINVAL);
        }
        let max = TASK_SIZE_MAX as u64;
        if addr >= max || addr + self.bytes() > max { Err(EPERM) } else { Ok(()) }
    }
}

/// One task's breakpoints.
#[derive(Default)]
pub struct DebugRegisters {
    addr: [Cell<u64>; HBP_NUM],
    /// Which of them have been set, enabled or not: they must be valid.
    present: Cell<u8>,
    /// As the tracer wrote it (`ptrace_dr7`).
    dr7: Cell<u64>,
}

impl DebugRegisters {
    fn is_present(&self, i: usize) -> bool {
        self.present.get() >> i & 1 != 0
    }

    /// What goes into DR7 while the task runs.
    #[inline(always)]
    fn effective_dr7(&self) -> u64 {
        let dr7 = self.dr7.get();
        (0..HBP_NUM).fold(DR7_FIXED, |v, i| v | Control::of(dr7, i).encode(i))
    }

    fn any_enabled(&self) -> bool {
        self.effective_dr7() != DR7_FIXED
    }

    /// The control of a breakpoint that has an address only: a byte, written.
    fn control(&self, i: usize) -> Control {
        let c = Control::of(self.dr7.get(), i);
        if c.enabled { c } else { Control { enabled: false, kind: WRITE, len: 0 } }
    }

    fn set_addr(&self, i: usize, addr: u64) -> Result {
        self.control(i).check(addr)?;
        self.addr[i].set(addr);
        self.present.set(self.present.get() | 1 << i);
        Ok(())
    }

    fn set_dr7(&self, value: u64) -> Result {
        let dr7 = value & !DR_CONTROL_RESERVED;
        let mut present = self.present.get();
        for i in 0..HBP_NUM {
            let c = Control::of(dr7, i);
            if !c.enabled && !self.is_present(i) {
                continue;
            }
            // One without an address watches address 0.
            c.check(self.addr[i].get())?;
            present |= 1 << i;
        }
        self.present.set(present);
        self.dr7.set(value);
        Ok(())
    }
}

/// Reads a debug register for the tracer of `t` (`ptrace_get_debugreg`).
pub fn ptrace_get_debugreg(thread: &super::process_64::Thread, n: usize) -> u64 {
    match n {
        0..HBP_NUM => thread.debug.addr[n].get(),
        6 => thread.virtual_dr6.get() ^ DR6_RESERVED,
        7 => thread.debug.dr7.get(),
        _ => 0,
    }
}

/// Writes a debug register for the tracer of `t`, which does not run (`ptrace_set_debugreg`).
///
/// # Errors
/// `EIO` for DR4 and DR5, `EINVAL` for what cannot be a breakpoint, `EPERM` for one in the kernel.
pub fn ptrace_set_debugreg(t: &Task, thread: &super::process_64::Thread, n: usize, value: u64) -> Result {
    match n {
        0..HBP_NUM => thread.debug.set_addr(n, value)?,
        6 => thread.virtual_dr6.set(value ^ DR6_RESERVED),
        7 => thread.debug.set_dr7(value)?,
        _ => return Err(EIO),
    }
    if thread.debug.any_enabled() {
        t.set_flag(tif::HW_BREAKPOINT);
    } else {
        t.clear_flag(tif::HW_BREAKPOINT);
    }
    Ok(())
}

/// A new program is not watched as the old one was (`flush_ptrace_hw_breakpoint`).
pub fn flush_ptrace_hw_breakpoint(cur: Current) {
    let thread = cur.thread();
    if cur.test_flag(tif::HW_BREAKPOINT) {
        let irqs = crate::locking::local_irq_save();
        cur.clear_flag(tif::HW_BREAKPOINT);
        load(None);
        crate::locking::local_irq_restore(irqs);
    }
    let d = &thread.debug;
    d.addr.iter().for_each(|a| a.set(0));
    d.present.set(0);
    d.dr7.set(0);
    thread.virtual_dr6.set(0);
}

/// Loads a task's breakpoints, or none; interrupts are off.
pub fn load(d: Option<&DebugRegisters>) {
    #[cfg(target_os = "none")]
    {
        use core::arch::asm;
        // SAFETY: debug registers are the kernel's to write; all breakpoints are off while their
        // addresses change, and on only at addresses of user mode.
        unsafe {
            asm!("mov dr7, {}", in(reg) DR7_FIXED, options(nomem, nostack, preserves_flags));
            let Some(d) = d else { return };
            asm!("mov dr0, {}", in(reg) d.addr[0].get(), options(nomem, nostack, preserves_flags));
            asm!("mov dr1, {}", in(reg) d.addr[1].get(), options(nomem, nostack, preserves_flags));
            asm!("mov dr2, {}", in(reg) d.addr[2].get(), options(nomem, nostack, preserves_flags));
            asm!("mov dr3, {}", in(reg) d.addr[3].get(), options(nomem, nostack, preserves_flags));
            asm!("mov dr7, {}", in(reg) d.effective_dr7(), options(nomem, nostack, preserves_flags));
        }
    }
    #[cfg(not(target_os = "none"))]
    let _ = d;
}

/// Takes its breakpoints' share out of a debug exception's reasons: what was hit is noted for the
/// tracer, and an instruction breakpoint does not strike again when the instruction is tried again.
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
fn hw_breakpoint_handler(args: &mut DieArgs<'_>) -> NotifyResult {
    // SAFETY: for `DIE_DEBUG` it is the address of the handler's own variable.
    let dr6 = unsafe { &mut *(args.err as *mut u64) };
    let hit = *dr6;
    if hit & DR_TRAP_BITS == 0 {
        return NotifyResult::Done;
    }
    let thread_of = current();
    let thread = thread_of.thread();
    let dr7 = thread.debug.effective_dr7();
    for i in (0..HBP_NUM).filter(|i| hit >> i & 1 != 0) {
        let c = Control::of(dr7, i);
        // DR6 tells of conditions whose breakpoint is off, too; a step comes first, and the
        // instruction's breakpoint strikes again.
        if !c.enabled || (c.kind == EXECUTE && hit & DR_STEP != 0) {
            continue;
        }
        *dr6 &= !(1 << i);
        thread.virtual_dr6.set(thread.virtual_dr6.get() | 1 << i);
        if c.kind == EXECUTE {
            args.regs.flags.update(|v| v | crate::arch::x86::ptrace::eflags::RF);
        }
    }
    if thread.virtual_dr6.get() & DR_TRAP_BITS != 0 || hit & !DR_TRAP_BITS != 0 {
        NotifyResult::Done
    } else {
        NotifyResult::Stop
    }
}

#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
fn hw_breakpoint_exceptions_notify(val: DieVal, args: &mut DieArgs<'_>) -> NotifyResult {
    if val == DieVal::Debug { hw_breakpoint_handler(args) } else { NotifyResult::Done }
}

static NOTIFIER: NotifierBlock<DieNotifier> = NotifierBlock::new(hw_breakpoint_exceptions_notify, i32::MAX);

/// From now on debug exceptions are looked at (`init_hw_breakpoint`).
pub fn init_hw_breakpoint() {
    let _ = register_die_notifier(&NOTIFIER);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dr7_is_taken_apart() {
        // The oracle's: four bytes, written; read or written; an instruction.
        let w = Control::of(0xd0001, 0);
        assert_eq!((w.enabled, w.kind, w.bytes()), (true, WRITE, 4));
        assert_eq!(w.encode(0), 0xd0002 | DR_GLOBAL_SLOWDOWN);
        assert_eq!(Control::of(0xf0001, 0).kind, 3);
        assert_eq!(Control::of(0x1, 0), Control { enabled: true, kind: EXECUTE, len: 0 });
        assert!(!Control::of(0xd0001, 1).enabled);
    }

    #[test]
    fn only_what_can_be_is_watched() {
        let d = DebugRegisters::default();
        assert_eq!(d.set_addr(0, 0xffff_8000_0000_0000), Err(EPERM));
        assert_eq!(d.set_addr(0, 0x1003), Ok(()));
        assert_eq!(d.set_dr7(0xd0001), Err(EINVAL), "misaligned");
        assert_eq!(d.set_dr7(0x4_0001), Err(EINVAL), "an instruction of two bytes");
        assert_eq!(d.set_dr7(0x2_0001), Err(EINVAL), "I/O");
        assert_eq!(d.set_dr7(0x1_0001), Ok(()));
        assert!(d.any_enabled());
        assert_eq!(d.set_addr(0, 0x2002), Ok(()));
        assert_eq!(d.set_dr7(0), Ok(()));
        assert!(!d.any_enabled());
    }
}
