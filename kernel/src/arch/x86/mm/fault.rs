// SPDX-License-Identifier: GPL-2.0-only
//! Page faults: from an error code and an address to a signal, or to nothing.
//!
//! [`decide`] says what a fault means, given what the address space answers; it
//! touches nothing, and the host tests it. [`exc_page_fault`] asks it, and does
//! what it says. After Linux 6.1, `arch/x86/mm/fault.c`; the functions have the
//! names that they have there.

use crate::arch::x86::entry::vsyscall_64;
use crate::arch::x86::kernel::dumpstack::show_opcodes;
use crate::arch::x86::lib::usercopy::TASK_SIZE_MAX;
use crate::arch::x86::mm::extable::{fixup_exception, search_exception_tables};
use crate::arch::x86::mm::fault_oops::{page_fault_oops, pgtable_bad};
use crate::arch::x86::mm::pkeys;
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::kernel::context_tracking::{exception_enter, exception_exit};
use crate::kernel::printk::{printk_ratelimit, show_unhandled_signals};
use crate::kernel::signal::sigset::{SIGBUS, SIGSEGV};
use crate::kernel::signal::{KernelSiginfo, force_sig_info, siginfo::SigFields, unhandled_signal};
use crate::kernel::task::current;
use crate::locking::{local_irq_disable, local_irq_enable};
use crate::mm::memory::{VmFault, print_vma_addr};
use crate::mm::mm_struct::{Mm, with_current_mm};
use crate::mm::oom_kill::pagefault_out_of_memory;
use crate::mm::vma::VmFlags;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as raw;

/// Vector 14.
pub const X86_TRAP_PF: u8 = 14;

/// Bits of a page fault's error code (`enum x86_pf_error_code`).
#[allow(missing_docs)]
pub mod pf {
    /// The page was present: its protection forbade the access.
    pub const PROT: u64 = 1 << 0;
    /// A write.
    pub const WRITE: u64 = 1 << 1;
    /// An access with user privilege.
    pub const USER: u64 = 1 << 2;
    /// A reserved bit was set in a page table.
    pub const RSVD: u64 = 1 << 3;
    /// An instruction fetch.
    pub const INSTR: u64 = 1 << 4;
    /// A protection key forbade it.
    pub const PK: u64 = 1 << 5;
}

const SEGV_MAPERR: i32 = raw::SEGV_MAPERR as i32;
const SEGV_ACCERR: i32 = raw::SEGV_ACCERR as i32;
const SEGV_PKUERR: i32 = raw::SEGV_PKUERR as i32;
const BUS_ADRERR: i32 = raw::BUS_ADRERR as i32;

/// What a fault is, as far as the CPU and the registers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each a bit of hardware state")]
pub struct Fault {
    /// As the CPU pushed it.
    pub error_code: u64,
    /// CR2.
    pub address: u64,
    /// The interrupted code was user mode.
    pub user_mode: bool,
    /// EFLAGS.AC was set: supervisor code meant to access user memory.
    pub ac: bool,
    /// SMAP is on.
    pub smap: bool,
    /// There is an address space, and this is no place where faults are forbidden.
    pub may_fault: bool,
}

/// What the address space says to an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmAnswer {
    /// The page is there now.
    Done,
    /// Nothing is mapped there, nor can a stack grow so far.
    NoVma,
    /// The mapping does not allow it.
    BadAccess,
    /// The protection key of the mapping does not.
    BadKey(u8),
    /// The mapping goes beyond the end of its file.
    Sigbus,
    /// No memory.
    Oom,
    /// Supervisor code that does not expect to fault did so while the address
    /// space was locked: asking would deadlock.
    Busy,
}

/// A signal for the current task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultSignal {
    /// `SIGSEGV` or `SIGBUS`.
    pub sig: i32,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`.
    pub address: u64,
    /// The error code as the program and the log see it.
    pub error_code: u64,
    /// `si_pkey`, with `SEGV_PKUERR`.
    pub pkey: Option<u8>,
}

/// What a fault leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The instruction can go on.
    Handled,
    /// The program cannot have the page now: free memory, then let it try again.
    OutOfMemory,
    /// A signal.
    Signal(FaultSignal),
    /// Kernel code: recover through the exception table, else [`Decision::Oops`].
    Fixup,
    /// A bug of the kernel; no recovery is looked for.
    Oops,
    /// The page tables are corrupt.
    BadPageTable,
}

/// Whether an address is the kernel's, as faults see it: the vsyscall page is
/// user space, high as it is (`fault_in_kernel_space`).
#[inline]
fn fault_in_kernel_space(address: u64) -> bool {
    address >= TASK_SIZE_MAX as u64 && !vsyscall_64::is_vsyscall_vaddr(address)
}

/// Hides from programs which kernel addresses are mapped (`sanitize_error_code`).
#[inline]
fn sanitize_error_code(address: u64, error_code: u64) -> u64 {
    if address >= TASK_SIZE_MAX as u64 { error_code | pf::PROT } else { error_code }
}

/// Whether the mapping forbids the access, protection keys aside (`access_error`).
#[inline]
pub fn access_error(error_code: u64, flags: VmFlags) -> bool {
    if error_code & pf::WRITE != 0 {
        return !flags.contains(VmFlags::WRITE);
    }
    // A read of a page that is there was refused by its protection; reading or
    // executing a page that is not there needs any permission at all.
    error_code & pf::PROT != 0 || !flags.accessible()
}

impl Fault {
    fn has(&self, bits: u64) -> bool {
        self.error_code & bits != 0
    }

    /// No good address, or no good access (`__bad_area_nosemaphore`).
    #[cold]
    fn bad_area(&self, code: i32, pkey: Option<u8>) -> Decision {
        if !self.user_mode {
            return Decision::Fixup;
        }
        if !self.has(pf::USER) {
            // User code made the CPU read a descriptor, say, that is not there. Under
            // QEMU's TCG also LRET and IRET from user mode read their stack with
            // supervisor privilege; Linux oopses there, and the task gets SIGKILL.
            return Decision::Oops;
        }
        self.signal(SIGSEGV, code, pkey)
    }

    fn signal(&self, sig: i32, code: i32, pkey: Option<u8>) -> Decision {
        let error_code = sanitize_error_code(self.address, self.error_code);
        Decision::Signal(FaultSignal { sig, code, address: self.address, error_code, pkey })
    }

    /// What is decided before the address space is asked (`handle_page_fault` and
    /// the first half of `do_user_addr_fault`).
    #[inline]
    fn before_mm(&self) -> Option<Decision> {
        if fault_in_kernel_space(self.address) {
            return Some(self.bad_area(SEGV_MAPERR, None));
        }
        if self.error_code & (pf::USER | pf::INSTR) == pf::INSTR {
            // The kernel jumped into user memory (SMEP).
            return Some(Decision::Oops);
        }
        if self.has(pf::RSVD) {
            return Some(Decision::BadPageTable);
        }
        if self.smap && !self.has(pf::USER) && !self.ac {
            return Some(Decision::Oops);
        }
        (!self.may_fault).then(|| self.bad_area(SEGV_MAPERR, None))
    }

    /// What the answer of the address space means.
    #[inline]
    fn after_mm(&self, answer: MmAnswer) -> Decision {
        match answer {
            MmAnswer::Done => Decision::Handled,
            MmAnswer::NoVma | MmAnswer::Busy => self.bad_area(SEGV_MAPERR, None),
            MmAnswer::BadAccess => self.bad_area(SEGV_ACCERR, None),
            MmAnswer::BadKey(key) => self.bad_area(SEGV_PKUERR, Some(key)),
            MmAnswer::Sigbus if self.user_mode => self.signal(SIGBUS, BUS_ADRERR, None),
            MmAnswer::Oom if self.user_mode => Decision::OutOfMemory,
            MmAnswer::Sigbus | MmAnswer::Oom => Decision::Fixup,
        }
    }
}

/// What a page fault means. `ask` is called only if the address space has a say.
#[inline]
pub fn decide(f: &Fault, ask: impl FnOnce() -> MmAnswer) -> Decision {
    match f.before_mm() {
        Some(d) => d,
        None => f.after_mm(ask()),
    }
}

/// Asks the address space to make `address` accessible.
#[inline]
fn ask_mm(mm: &Mm, regs: &PtRegs, f: &Fault) -> MmAnswer {
    let mut st = match mm.try_lock() {
        Some(st) => st,
        // Supervisor code outside the exception table faults by mistake, perhaps
        // with this very lock held.
        None if !regs.user_mode() && !search_exception_tables(regs.ip.get()) => return MmAnswer::Busy,
        None => mm.lock(),
    };
    let address = f.address as usize;
    let Some(p) = st.find_or_expand(address) else { return MmAnswer::NoVma };
    let flags = st.vmas.get(p).flags;
    if f.has(pf::PK) || pkeys::denies(flags, f.has(pf::WRITE), f.has(pf::INSTR)) {
        return MmAnswer::BadKey(flags.pkey());
    }
    if access_error(f.error_code, flags) {
        return MmAnswer::BadAccess;
    }
    match st.handle_mm_fault(p, address, f.has(pf::WRITE)) {
        VmFault::Done => {
            let faults = &current().min_flt;
            faults.store(faults.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            MmAnswer::Done
        }
        VmFault::Oom => MmAnswer::Oom,
        VmFault::Sigbus => MmAnswer::Sigbus,
    }
}

/// The page fault exception (`DEFINE_IDTENTRY_RAW_ERRORCODE(exc_page_fault)`).
/// Interrupts are off on entry and on return.
pub fn exc_page_fault(regs: &PtRegs, error_code: u64, address: u64) {
    let prev = exception_enter();
    do_user_addr_fault(regs, error_code, address);
    local_irq_disable();
    exception_exit(prev);
}

/// Decides and delivers.
#[inline]
fn do_user_addr_fault(regs: &PtRegs, error_code: u64, address: u64) {
    let f = Fault {
        error_code,
        address,
        user_mode: regs.user_mode(),
        ac: regs.flags.get() & eflags::AC != 0,
        smap: crate::arch::x86::kernel::cpu::has_smap(),
        may_fault: this_cpu().has_current() && this_cpu().preempt_count.get() == 0,
    };
    if vsyscall_64::is_vsyscall_vaddr(address) && f.user_mode {
        local_irq_enable();
        if vsyscall_64::emulate_vsyscall(error_code, regs, address) {
            return;
        }
    }
    let r: &PtRegs = regs;
    let decision = decide(&f, || {
        if f.user_mode || r.flags.get() & eflags::IF != 0 {
            local_irq_enable();
        }
        with_current_mm(|mm| ask_mm(mm, r, &f)).unwrap_or(MmAnswer::NoVma)
    });
    if decision != Decision::Handled {
        act(regs, &f, decision);
    }
}

/// Does what was decided.
#[cold]
#[inline(never)]
fn act(regs: &PtRegs, f: &Fault, decision: Decision) {
    match decision {
        Decision::Handled => {}
        Decision::Signal(s) => bad_area_signal(regs, &s),
        Decision::OutOfMemory => pagefault_out_of_memory(),
        Decision::Fixup => kernelmode_fixup_or_oops(regs, f),
        Decision::Oops => page_fault_oops(regs, f.error_code, f.address),
        Decision::BadPageTable => pgtable_bad(regs, f.error_code, f.address),
    }
}

/// Recovers through the exception table, or reports a bug.
fn kernelmode_fixup_or_oops(regs: &PtRegs, f: &Fault) {
    if !fixup_exception(regs, X86_TRAP_PF) {
        page_fault_oops(regs, f.error_code, f.address);
    }
}

/// Leaves a trace in the log if the signal will be fatal, and sends it
/// (`__bad_area_nosemaphore`, `do_sigbus`).
fn bad_area_signal(regs: &PtRegs, s: &FaultSignal) {
    if s.sig == SIGSEGV && show_unhandled_signals().load(Ordering::Relaxed) {
        show_signal_msg(regs, s.error_code, s.address);
    }
    set_signal_archinfo(s.address, s.error_code);
    let info = match s.pkey {
        None => KernelSiginfo::fault(s.sig, s.code, s.address),
        Some(pkey) => {
            KernelSiginfo::new(s.sig, s.code, SigFields::FaultPkey { addr: s.address, pkey: u32::from(pkey) })
        }
    };
    force_sig_info(&info);
}

/// What signal frames will say of the fault.
pub(super) fn set_signal_archinfo(address: u64, error_code: u64) {
    let cur = current();
    let thread = cur.thread();
    thread.trap_nr.set(u64::from(X86_TRAP_PF));
    thread.error_code.set(error_code | pf::USER);
    thread.cr2.set(address);
}

/// `COMM[PID]: segfault at …`, for a signal that nobody handles.
fn show_signal_msg(regs: &PtRegs, error_code: u64, address: u64) {
    let cur = current();
    if !unhandled_signal(&cur, SIGSEGV) || !printk_ratelimit("show_signal_msg") {
        return;
    }
    let level = if cur.pid() > 1 { 6 } else { 0 };
    let comm = cur.comm();
    let comm = alloc::string::String::from_utf8_lossy(&comm);
    let (pid, ip, sp) = (cur.pid(), regs.ip.get(), regs.sp.get());
    printk!(level, "{comm}[{pid}]: segfault at {address:x} ip {ip:016x} sp {sp:016x} error {error_code:x}");
    print_vma_addr(" in ", ip as usize);
    let cpu = this_cpu().cpu_number.get();
    pr_cont!(" likely on CPU {cpu} (core {cpu}, socket 0)");
    pr_cont!("\n");
    show_opcodes(regs, level);
}

#[cfg(test)]
#[path = "fault_tests.rs"]
mod tests;
