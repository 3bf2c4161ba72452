// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel says when it dies: registers, code, call trace.
//!
//! After Linux 6.1, `arch/x86/kernel/dumpstack.c`, `process_64.c` (`__show_regs`),
//! `unwind_frame.c`. Every read of memory probes ([`maccess`](crate::mm::maccess)), so that a
//! wild pointer is printed rather than followed.
//!
//! The trace follows frame pointers; only addresses that they lead to are printed. If the
//! chain breaks off before the way out to user mode, the rest of the stack is searched for
//! addresses of kernel code, printed with `? ` as clues.

use crate::arch::x86::lib::usercopy::copy_from_user_nmi;
use crate::arch::x86::percpu::BOOT_CPU;
use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::kallsyms::{Backtrace, Symbol};
use crate::kernel::notifier::{DieVal, NotifyResult, notify_die};
use crate::kernel::panic::{oops_begin, oops_end, show_regs_print_info};
use crate::kernel::printk::KERN_DEFAULT;
use crate::kernel::task::{Task, current};
use crate::mm::maccess::{copy_from_kernel_nofault, read_kernel_nofault};
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

/// Bytes of code shown before the instruction, and after its first byte.
const PROLOGUE_SIZE: usize = 42;
const EPILOGUE_SIZE: usize = 21;
const OPCODE_BUFSIZE: usize = PROLOGUE_SIZE + 1 + EPILOGUE_SIZE;

/// The `Code:` bytes, the one at the instruction pointer in angle brackets.
struct Opcodes<'a>(&'a [u8; OPCODE_BUFSIZE]);

impl fmt::Display for Opcodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, b) in self.0.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            if i == PROLOGUE_SIZE { write!(f, "{space}<{b:02x}>")? } else { write!(f, "{space}{b:02x}")? }
        }
        Ok(())
    }
}

/// Prints the code around `regs.ip`. User code is only shown of the current task's own
/// registers.
pub fn show_opcodes(regs: &PtRegs, level: u8) {
    let from = regs.ip.get().wrapping_sub(PROLOGUE_SIZE as u64);
    let mut buf = [0; OPCODE_BUFSIZE];
    let copied = if regs.user_mode() {
        if !BOOT_CPU.has_current() || !is_task_pt_regs(regs) {
            return;
        }
        copy_from_user_nmi(&mut buf, from as usize) == 0
    } else {
        copy_from_kernel_nofault(&mut buf, from as usize).is_ok()
    };
    if copied {
        printk!(level, "Code: {}\n", Opcodes(&buf));
    } else {
        printk!(level, "Code: Unable to access opcode bytes at {from:#x}.\n");
    }
}

/// Whether these are the registers that the current task's user mode was left with, or a
/// copy of them.
fn is_task_pt_regs(regs: &PtRegs) -> bool {
    let cur = current();
    let own = cur.pt_regs();
    core::ptr::eq(regs, own) || own == regs
}

/// Prints where `regs` is (`show_ip`).
fn show_ip(regs: &PtRegs, level: u8) {
    printk!(level, "RIP: {:04x}:{}\n", regs.cs.get() as u32, Symbol(regs.ip.get()));
    show_opcodes(regs, level);
}

/// How much [`__show_regs`] prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowRegs {
    /// General registers.
    Short,
    /// And the user's segment bases.
    User,
    /// And the control registers.
    All,
}

/// Prints registers (`__show_regs`).
pub fn __show_regs(regs: &PtRegs, mode: ShowRegs, level: u8) {
    show_ip(regs, level);
    let (ss, sp, flags) = (regs.ss.get() as u32, regs.sp.get(), regs.flags.get());
    if regs.orig_ax.get() == u64::MAX {
        printk!(level, "RSP: {ss:04x}:{sp:016x} EFLAGS: {flags:08x}\n");
    } else {
        printk!(level, "RSP: {ss:04x}:{sp:016x} EFLAGS: {flags:08x} ORIG_RAX: {:016x}\n", regs.orig_ax.get());
    }
    let r = regs;
    printk!(level, "RAX: {:016x} RBX: {:016x} RCX: {:016x}\n", r.ax.get(), r.bx.get(), r.cx.get());
    printk!(level, "RDX: {:016x} RSI: {:016x} RDI: {:016x}\n", r.dx.get(), r.si.get(), r.di.get());
    printk!(level, "RBP: {:016x} R08: {:016x} R09: {:016x}\n", r.bp.get(), r.r8.get(), r.r9.get());
    printk!(level, "R10: {:016x} R11: {:016x} R12: {:016x}\n", r.r10.get(), r.r11.get(), r.r12.get());
    printk!(level, "R13: {:016x} R14: {:016x} R15: {:016x}\n", r.r13.get(), r.r14.get(), r.r15.get());
    #[cfg(target_os = "none")]
    match mode {
        ShowRegs::Short => {}
        ShowRegs::User => system::show_user_bases(level),
        ShowRegs::All => system::show(regs, level),
    }
    #[cfg(not(target_os = "none"))]
    let _ = mode;
}

/// The registers that only the kernel reads.
#[cfg(target_os = "none")]
mod system {
    use super::PtRegs;
    use crate::arch::x86::lib::msr::rdmsr;
    use x86_64::registers::control::{Cr0, Cr2, Cr3, Cr4, Cr4Flags};
    use x86_64::registers::debug::{DebugAddressRegister, Dr0, Dr1, Dr2, Dr3, Dr6, Dr7};
    use x86_64::registers::segmentation::{DS, ES, FS, GS, Segment};

    /// `MSR_FS_BASE`, `MSR_GS_BASE` and `MSR_KERNEL_GS_BASE`.
    fn bases() -> [u64; 3] {
        [0xc000_0100, 0xc000_0101, 0xc000_0102].map(rdmsr)
    }

    pub fn show_user_bases(level: u8) {
        let [fs, _, user_gs] = bases();
        printk!(level, "FS:  {fs:016x} GS:  {user_gs:016x}\n");
    }

    pub fn show(regs: &PtRegs, level: u8) {
        let [fs, gs, shadow] = bases();
        let (fsi, gsi) = (FS::get_reg().0, GS::get_reg().0);
        printk!(level, "FS:  {fs:016x}({fsi:04x}) GS:{gs:016x}({gsi:04x}) knlGS:{shadow:016x}\n");
        let (ds, es, cr0) = (DS::get_reg().0, ES::get_reg().0, Cr0::read_raw());
        printk!(level, "CS:  {:04x} DS: {ds:04x} ES: {es:04x} CR0: {cr0:016x}\n", regs.cs.get());
        let (frame, low) = Cr3::read_raw();
        let cr3 = frame.start_address().as_u64() | u64::from(low);
        printk!(level, "CR2: {:016x} CR3: {cr3:016x} CR4: {:016x}\n", Cr2::read_raw(), Cr4::read_raw());
        show_debug_registers(level);
        if Cr4::read_raw() & Cr4Flags::PROTECTION_KEY_USER.bits() != 0 {
            let pkru: u32;
            // SAFETY: CR4.PKE is set, so RDPKRU exists; it only reads.
            unsafe {
                core::arch::asm!("rdpkru", in("ecx") 0, out("eax") pkru, out("edx") _, options(nomem, nostack, preserves_flags));
            };
            printk!(level, "PKRU: {pkru:08x}\n");
        }
    }

    /// Prints the debug registers if any is not as after reset.
    fn show_debug_registers(level: u8) {
        let d = [Dr0::read(), Dr1::read(), Dr2::read(), Dr3::read()];
        let (d6, d7) = (Dr6::read_raw(), Dr7::read_raw());
        if d == [0; 4] && d6 == 0xffff_0ff0 && d7 == 0x400 {
            return;
        }
        printk!(level, "DR0: {:016x} DR1: {:016x} DR2: {:016x}\n", d[0], d[1], d[2]);
        printk!(level, "DR3: {:016x} DR6: {d6:016x} DR7: {d7:016x}\n", d[3]);
    }
}

/// A stack: its name in a trace, and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackInfo {
    /// `TASK`, `#DF`, `NMI`, …
    pub name: &'static str,
    /// Lowest address.
    pub begin: usize,
    /// Address just above.
    pub end: usize,
}

impl StackInfo {
    fn holds(&self, addr: usize, len: usize) -> bool {
        addr >= self.begin && addr <= self.end && self.end - addr >= len
    }
}

/// The stack that `addr` is on (`get_stack_info`).
pub fn get_stack_info(addr: usize) -> Option<StackInfo> {
    #[cfg(target_os = "none")]
    if let Some((name, begin, end)) = crate::arch::x86::kernel::cpu::exception_stack_of(addr) {
        return Some(StackInfo { name, begin, end });
    }
    if !BOOT_CPU.has_current() {
        // Before there are tasks there is one stack, wherever the loader put it.
        return (addr > crate::mm::page_alloc::PAGE_SIZE).then_some(StackInfo {
            name: "TASK",
            begin: addr,
            end: addr.saturating_add(super::process_64::THREAD_SIZE),
        });
    }
    let stack = &current().stack;
    let info = StackInfo { name: "TASK", begin: stack.bottom(), end: stack.top() };
    info.holds(addr, 1).then_some(info)
}

/// The stack whose guard page `addr` lies in: an overflow (`get_stack_guard_info`).
pub fn get_stack_guard_info(addr: usize) -> Option<StackInfo> {
    use crate::mm::page_alloc::PAGE_SIZE;
    if get_stack_info(addr).is_some() {
        return None;
    }
    get_stack_info(addr.checked_add(PAGE_SIZE)? & !(PAGE_SIZE - 1))
        .filter(|i| i.begin == (addr / PAGE_SIZE + 1) * PAGE_SIZE)
}

/// Whether `addr` is an instruction of the kernel.
pub fn is_kernel_text(addr: u64) -> bool {
    #[cfg(target_os = "none")]
    return crate::arch::x86::mm::init::kernel_text_address(addr as usize);
    #[cfg(not(target_os = "none"))]
    return addr >= 0xffff_ffff_8000_0000;
}

/// Reads the `pt_regs` that an entry left at `addr`.
fn read_regs(addr: usize) -> Option<PtRegs> {
    let regs = PtRegs::zeroed();
    for (i, word) in regs.words().iter().enumerate() {
        word.set(read_kernel_nofault(addr + 8 * i).ok()?);
    }
    Some(regs)
}

/// Where a walk stands.
struct Unwind {
    bp: usize,
    stack: StackInfo,
    /// Everything below was walked over.
    at: usize,
}

/// What the next frame is.
enum Frame {
    /// A function's, with its return address.
    Return(u64),
    /// An entry's, with the registers that it saved.
    Entry(PtRegs),
    /// The chain leads nowhere.
    Broken,
}

impl Unwind {
    fn next_frame(&mut self) -> Frame {
        if self.bp & 1 != 0 {
            let at = self.bp - 1;
            let regs = self.stack.holds(at, size_of::<PtRegs>()).then(|| read_regs(at)).flatten();
            let Some(regs) = regs else {
                return Frame::Broken;
            };
            self.at = at + size_of::<PtRegs>();
            self.bp = regs.bp.get() as usize;
            return Frame::Entry(regs);
        }
        if !self.bp.is_multiple_of(8) || self.bp < self.at || !self.stack.holds(self.bp, 16) {
            return Frame::Broken;
        }
        let (Ok(next), Ok(ret)) = (read_kernel_nofault(self.bp), read_kernel_nofault(self.bp + 8)) else {
            return Frame::Broken;
        };
        if !is_kernel_text(ret) {
            return Frame::Broken;
        }
        self.at = self.bp + 16;
        self.bp = next as usize;
        Frame::Return(ret)
    }

    /// Goes on in the context that an exception interrupted, which may be on another stack.
    fn continue_at(&mut self, regs: &PtRegs, level: u8) -> bool {
        if self.stack.holds(regs.sp.get() as usize, 1) {
            return true;
        }
        printk!(level, " </{}>\n", self.stack.name);
        let Some(stack) = get_stack_info(regs.sp.get() as usize) else {
            return false;
        };
        self.stack = stack;
        self.at = regs.sp.get() as usize;
        printk!(level, " <{}>\n", self.stack.name);
        true
    }
}

/// Searches the rest of the stack for what may be return addresses.
fn scan_rest(u: &Unwind, level: u8) {
    for at in (u.at.next_multiple_of(8)..u.stack.end).step_by(8) {
        match read_kernel_nofault(at) {
            Ok(word) if is_kernel_text(word) => printk!(level, " ? {}\n", Backtrace(word)),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Prints the call trace from a frame pointer and stack pointer on
/// (`show_trace_log_lvl`); `ip` is where the registers stand that these came from.
fn show_trace(bp: usize, sp: usize, ip: Option<u64>, level: u8) {
    use crate::mm::page_alloc::page_align;
    printk!(level, "Call Trace:\n");
    // Below a stack lies its guard page: an overflow still gets its trace.
    let Some(stack) = get_stack_info(sp).or_else(|| get_stack_info(page_align(sp.min(usize::MAX - 0xfff))))
    else {
        return;
    };
    printk!(level, " <{}>\n", stack.name);
    if ip.is_some_and(|ip| !is_kernel_text(ip)) {
        // A call to nowhere: who made it has just pushed its return address.
        if let Some(ret) = read_kernel_nofault(sp).ok().filter(|&r| is_kernel_text(r)) {
            printk!(level, " {}\n", Backtrace(ret));
        }
    }
    show_frames(Unwind { bp, stack, at: sp.max(stack.begin) }, level);
}

/// Prints the frames of a walk, and where it leaves its last stack.
fn show_frames(mut u: Unwind, level: u8) {
    loop {
        match u.next_frame() {
            Frame::Return(ret) => printk!(level, " {}\n", Backtrace(ret)),
            // A kernel thread's, which has never been to user mode.
            Frame::Entry(regs) if regs.cs.get() == 0 => break,
            Frame::Entry(regs) => {
                __show_regs(&regs, ShowRegs::Short, level);
                if regs.user_mode() {
                    break;
                }
                if !u.continue_at(&regs, level) {
                    return;
                }
            }
            Frame::Broken => {
                // Zero is where a kernel thread began.
                if u.bp != 0 {
                    scan_rest(&u, level);
                }
                break;
            }
        }
    }
    printk!(level, " </{}>\n", u.stack.name);
}

/// This function's caller's frame pointer, and a stack pointer.
#[inline(always)]
fn frame_pointer() -> (usize, usize) {
    let (bp, sp): (usize, usize);
    // SAFETY: copies two registers.
    unsafe {
        core::arch::asm!("mov {}, rbp", "mov {}, rsp", out(reg) bp, out(reg) sp, options(nomem, nostack, preserves_flags));
    };
    (bp, sp)
}

/// Prints who is running and the call trace (`dump_stack_lvl`).
#[inline(never)]
pub fn dump_stack_lvl(level: u8) {
    show_regs_print_info(level);
    show_own_stack(level);
    // The trace begins with this function, as Linux's: it is to be on the stack.
    core::hint::black_box(());
}

/// Prints the trace of who called this.
#[inline(never)]
fn show_own_stack(level: u8) {
    let (bp, sp) = frame_pointer();
    show_trace(bp, sp, None, level);
}

/// Prints the kernel stack of a task that is switched out, or of the one that runs (`show_stack`).
pub fn show_stack(t: &Task, level: u8) {
    if current().is(t) {
        return show_own_stack(level);
    }
    // SAFETY: there is one CPU, and the task is not on it: nobody writes the word.
    let sp = unsafe { *(*t.thread.get()).sp.get() } as usize;
    let stack = StackInfo { name: "TASK", begin: t.stack.bottom(), end: t.stack.top() };
    printk!(level, "Call Trace:\n <TASK>\n");
    // What `switch_to_asm` left there: six registers, RBP first, and where it returns to.
    let (Ok(bp), Ok(ret)) = (read_kernel_nofault(sp + 40), read_kernel_nofault(sp + 48)) else {
        return;
    };
    printk!(level, " {}\n", Backtrace(ret));
    show_frames(Unwind { bp: bp as usize, stack, at: sp }, level);
}

/// Prints the call trace of where kernel code was with these registers (`show_stack_regs`).
pub fn show_stack_regs(regs: &PtRegs) {
    show_trace(regs.bp.get() as usize, regs.sp.get() as usize, Some(regs.ip.get()), KERN_DEFAULT);
}

/// Prints registers and, for the kernel's, the call trace (`show_regs`).
pub fn show_regs(regs: &PtRegs) {
    show_regs_print_info(KERN_DEFAULT);
    let mode = if regs.user_mode() { ShowRegs::User } else { ShowRegs::All };
    __show_regs(regs, mode, KERN_DEFAULT);
    if !regs.user_mode() {
        show_trace(regs.bp.get() as usize, regs.sp.get() as usize, Some(regs.ip.get()), KERN_DEFAULT);
    }
}

/// The first oops' registers, repeated after each (`exec_summary_regs`).
struct ExecSummary(PtRegs);
// SAFETY: written by the first oops only (see `DIE_COUNTER`), under the oops lock.
unsafe impl Sync for ExecSummary {}
static EXEC_SUMMARY: ExecSummary = ExecSummary(PtRegs::zeroed());
/// Oopses so far.
static DIE_COUNTER: AtomicU32 = AtomicU32::new(0);

/// Prints the first oops' registers, in case they have scrolled away.
pub fn show_exec_summary() {
    __show_regs(&EXEC_SUMMARY.0, ShowRegs::All, KERN_DEFAULT);
}

/// Prints an oops' first line.
pub fn __die_header(str: fmt::Arguments<'_>, regs: &PtRegs, err: u64) {
    let n = DIE_COUNTER.fetch_add(1, Ordering::Relaxed);
    if n == 0 {
        EXEC_SUMMARY.0.copy_from(regs);
    }
    printk!(KERN_DEFAULT, "{str}: {:04x} [#{}] PREEMPT SMP NOPTI\n", err & 0xffff, n + 1);
}

/// Prints an oops but for its first line; true if somebody on the die chain has dealt
/// with it, so that the task lives on.
fn __die_body(str: &str, regs: &PtRegs, err: u64) -> bool {
    show_regs(regs);
    crate::kernel::panic::print_modules();
    let trapnr = if BOOT_CPU.has_current() { current().thread().trap_nr.get() as u8 } else { 0 };
    notify_die(DieVal::Oops, str, regs, err, trapnr, crate::kernel::signal::sigset::SIGSEGV)
        == NotifyResult::Stop
}

/// Prints an oops; true if it has been dealt with (`__die`).
pub fn __die(str: &str, regs: &PtRegs, err: u64) -> bool {
    __die_header(format_args!("{str}"), regs, err);
    __die_body(str, regs, err)
}

/// The kernel has made a mistake: prints an oops and kills the task
/// (`die`). Returns only if the die chain has dealt with it.
pub fn die(str: &str, regs: &PtRegs, err: u64) {
    die_with(format_args!("{str}"), str, regs, err);
}

/// [`die`] with a first line that is composed of more than a name (`die_addr`).
pub fn die_with(header: fmt::Arguments<'_>, str: &str, regs: &PtRegs, err: u64) {
    let flags = oops_begin();
    __die_header(header, regs, err);
    let dealt_with = __die_body(str, regs, err);
    oops_end(flags, if dealt_with { 0 } else { crate::kernel::signal::sigset::SIGSEGV });
}

/// The top of the current task's stack, where dying tasks go on.
#[cfg(target_os = "none")]
pub(crate) fn current_top_of_stack() -> u64 {
    crate::arch::x86::percpu::this_cpu().top_of_stack.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_marks_the_instruction() {
        let mut b = [0u8; OPCODE_BUFSIZE];
        for (i, v) in b.iter_mut().enumerate() {
            *v = i as u8;
        }
        let s = Opcodes(&b).to_string();
        assert!(s.starts_with("00 01 02 "));
        assert!(s.contains(" 29 <2a> 2b "));
        assert!(s.ends_with(" 3e 3f"));
        assert_eq!(s.len(), 64 * 3 - 1 + 2);
    }

    #[test]
    fn stacks_hold_what_fits() {
        let s = StackInfo { name: "TASK", begin: 0x1000, end: 0x2000 };
        assert!(s.holds(0x1000, 0x1000) && s.holds(0x1ff0, 16) && s.holds(0x2000, 0));
        assert!(!s.holds(0xfff, 1) && !s.holds(0x1ff8, 16) && !s.holds(0x2001, 0));
    }
}
