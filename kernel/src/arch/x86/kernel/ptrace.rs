// SPDX-License-Identifier: GPL-2.0-only
//! A tracee's registers, as its tracer reads and writes them (Linux 6.1,
//! `arch/x86/kernel/ptrace.c`).
//!
//! | file | what |
//! |---|---|
//! | this one | general registers, `struct user`, the requests of this architecture |
//! | [`regset`] | sets of registers, for `PTRACE_GETREGSET` and core dumps: which there are depends on the code that the thread runs |
//! | [`fpregs`] | the sets of the FPU |
//! | [`ia32`] | the registers as i386 has them, and its requests |

mod fpregs;
mod ia32;
pub mod regset;

pub use ia32::ia32_arch_ptrace;

use crate::arch::x86::kernel::hw_breakpoint::{ptrace_get_debugreg, ptrace_set_debugreg};
use crate::arch::x86::kernel::ldt::UserDesc;
use crate::arch::x86::kernel::process_64::Thread;
use crate::arch::x86::kernel::process_64::prctl::*;
use crate::arch::x86::kernel::tls::{ptrace_get_thread_area, ptrace_set_thread_area};
use crate::arch::x86::lib::insn_eval::descriptor_of;
use crate::arch::x86::lib::usercopy::{TASK_SIZE_MAX, put_user};
use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::errno::{EINVAL, EIO, EPERM, Result};
use crate::kernel::ptrace::Tracee;
use crate::kernel::task::{Task, tif};
use core::cell::Cell;
use linux_raw_sys::ptrace as nr;

/// `user_regs_struct`: how many words it has.
pub const USER_REGS: usize = 27;

/// Words of `user_regs_struct` with rules of their own.
mod word {
    pub const CS: usize = 17;
    pub const FLAGS: usize = 18;
    pub const SS: usize = 20;
    pub const FS_BASE: usize = 21;
    pub const GS_BASE: usize = 22;
    pub const DS: usize = 23;
    pub const ES: usize = 24;
    pub const FS: usize = 25;
    pub const GS: usize = 26;
}

/// Flags that a tracer may change (`FLAG_MASK`).
const FLAG_MASK: u64 = eflags::CF
    | eflags::PF
    | eflags::AF
    | eflags::ZF
    | eflags::SF
    | eflags::TF
    | eflags::DF
    | eflags::OF
    | eflags::RF
    | eflags::AC
    | eflags::NT;

/// `struct user`: its size, and where its debug registers are. The registers are at its beginning.
const SIZEOF_USER: usize = 912;
const OFFSET_DEBUGREG: usize = 848;

/// A thread whose registers lie in memory.
#[derive(Clone, Copy)]
pub struct Stopped<'a>(&'a Task);

impl<'a> Stopped<'a> {
    /// Says that they do.
    ///
    /// # Safety
    /// The thread is switched out and stays so, or it is the running one, whose segment and FPU
    /// registers were saved.
    pub unsafe fn new(t: &'a Task) -> Self {
        Self(t)
    }
    /// The registers that user mode was left with.
    pub fn regs(self) -> &'a PtRegs {
        // SAFETY: the thread does not run in user mode; its user registers are on its stack, and cells.
        unsafe { &*self.0.task_pt_regs() }
    }
    /// Its architecture state, as it was saved when it was switched away.
    pub fn thread(self) -> &'a Thread {
        // SAFETY: as promised to `new`.
        unsafe { &*self.0.thread.get() }
    }
    /// The registers in `user_regs_struct`'s order (`genregs_get`).
    pub fn user_regs(self) -> [u64; USER_REGS] {
        let (t, s) = (self.0, self.thread());
        let mut all = [0; USER_REGS];
        all.iter_mut().zip(self.regs().words()).for_each(|(to, word)| *to = word.get());
        // The trap flag may be the tracer's (`get_flags`).
        if t.test_flag(tif::FORCED_TF) {
            all[word::FLAGS] &= !eflags::TF;
        }
        all[word::FS_BASE] = read_base(t, s, &s.fsbase, &s.fsindex);
        all[word::GS_BASE] = read_base(t, s, &s.gsbase, &s.gsindex);
        for (at, sel) in
            [(word::DS, &s.ds), (word::ES, &s.es), (word::FS, &s.fsindex), (word::GS, &s.gsindex)]
        {
            all[at] = u64::from(sel.get());
        }
        all
    }
}

impl Tracee {
    /// Its registers, to be read.
    pub fn stopped(&self) -> Stopped<'_> {
        // SAFETY: a frozen tracee is switched out.
        unsafe { Stopped::new(self) }
    }
    /// The registers that user mode was left with, and goes on with.
    pub fn regs(&self) -> &PtRegs {
        self.stopped().regs()
    }
    /// Its architecture state.
    pub fn arch_thread(&self) -> &Thread {
        self.stopped().thread()
    }
}

/// The base that goes with a thread's FS or GS: what `arch_prctl` set while the selector is null,
/// else its descriptor's (Linux 6.1, `arch/x86/kernel/process_64.c`, `x86_gsbase_read_task` without
/// FSGSBASE).
fn read_base(task: &Task, thread: &Thread, base: &Cell<u64>, index: &Cell<u16>) -> u64 {
    match index.get() {
        0 => base.get(),
        selector => base_of(task, thread, selector),
    }
}

/// The base of the descriptor that a program's selector names (`x86_fsgsbase_read_task`).
fn base_of(task: &Task, thread: &Thread, selector: u16) -> u64 {
    descriptor_of(task, thread, selector).map_or(0, |d| u64::from(UserDesc::from_descriptor(0, d).base_addr))
}

/// A selector that user mode cannot have (`invalid_selector`).
const fn invalid_selector(v: u64) -> bool {
    v as u16 != 0 && v & 3 != 3
}

/// Changes one word of `user_regs_struct` (`putreg`).
///
/// # Errors
/// `EIO` for what no register can hold.
fn putreg(t: &Tracee, at: usize, value: u64) -> Result {
    let thread = t.arch_thread();
    let regs = t.regs();
    match at {
        word::FS_BASE | word::GS_BASE => {
            if value >= TASK_SIZE_MAX as u64 {
                return Err(EIO);
            }
            if at == word::FS_BASE { &thread.fsbase } else { &thread.gsbase }.set(value);
            return Ok(());
        }
        word::DS | word::ES | word::FS | word::GS => {
            if invalid_selector(value) {
                return Err(EIO);
            }
            let cell = match at {
                word::DS => &thread.ds,
                word::ES => &thread.es,
                word::FS => &thread.fsindex,
                _ => &thread.gsindex,
            };
            cell.set(value as u16);
            return Ok(());
        }
        word::CS | word::SS => {
            if invalid_selector(value) || value as u16 == 0 {
                return Err(EIO);
            }
            if at == word::CS { &regs.cs } else { &regs.ss }.set(value & 0xffff);
        }
        word::FLAGS => regs.flags.set(new_flags(t, regs.flags.get(), value)),
        0..PtRegs::WORDS => regs.words()[at].set(value),
        _ => return Err(EIO),
    }
    Ok(())
}

/// A trap flag that the tracer writes is the program's from then on (`set_flags`).
fn new_flags(t: &Tracee, old: u64, mut value: u64) -> u64 {
    if value & eflags::TF != 0 {
        t.clear_flag(tif::FORCED_TF);
    } else if t.test_flag(tif::FORCED_TF) {
        value |= eflags::TF;
    }
    old & !FLAG_MASK | value & FLAG_MASK
}

/// Changes registers from the first on, until one is refused.
fn set_user_regs(t: &Tracee, words: &[u64]) -> Result {
    words.iter().enumerate().try_for_each(|(i, &w)| putreg(t, i, w))
}

fn aligned_in_user(addr: usize) -> Result {
    if !addr.is_multiple_of(8) || addr >= SIZEOF_USER { Err(EIO) } else { Ok(()) }
}

fn peekusr(t: &Tracee, addr: usize) -> Result<u64> {
    aligned_in_user(addr)?;
    Ok(match addr / 8 {
        at @ 0..USER_REGS => t.stopped().user_regs()[at],
        _ if addr >= OFFSET_DEBUGREG => ptrace_get_debugreg(t.arch_thread(), (addr - OFFSET_DEBUGREG) / 8),
        _ => 0,
    })
}

fn pokeusr(t: &Tracee, addr: usize, value: u64) -> Result {
    aligned_in_user(addr)?;
    match addr / 8 {
        at @ 0..USER_REGS => putreg(t, at, value),
        _ if addr >= OFFSET_DEBUGREG => {
            ptrace_set_debugreg(t, t.arch_thread(), (addr - OFFSET_DEBUGREG) / 8, value)
        }
        _ => Err(EIO),
    }
}

/// `PTRACE_ARCH_PRCTL` (`do_arch_prctl_64` of another task).
fn arch_prctl(t: &Tracee, option: u32, arg: usize) -> Result<usize> {
    let thread = t.arch_thread();
    let (base, index) = match option {
        ARCH_SET_FS | ARCH_GET_FS => (&thread.fsbase, &thread.fsindex),
        ARCH_SET_GS | ARCH_GET_GS => (&thread.gsbase, &thread.gsindex),
        _ => return Err(EINVAL),
    };
    if option == ARCH_GET_FS || option == ARCH_GET_GS {
        put_user(arg, &read_base(t, thread, base, index))?;
    } else if arg >= TASK_SIZE_MAX {
        return Err(EPERM);
    } else {
        index.set(0);
        base.set(arg as u64);
    }
    Ok(0)
}

/// The requests that only this architecture has; `None` for others (`arch_ptrace`).
pub fn arch_ptrace(t: &Tracee, request: u32, addr: usize, data: usize) -> Option<Result<usize>> {
    let done = |r: Result| r.map(|()| 0);
    Some(match request {
        nr::PTRACE_PEEKUSR => peekusr(t, addr).and_then(|v| done(put_user(data, &v))),
        nr::PTRACE_POKEUSR => done(pokeusr(t, addr, data as u64)),
        nr::PTRACE_GETREGS => done(regset::X86_64.get(t, regset::NT_PRSTATUS, data)),
        nr::PTRACE_SETREGS => done(regset::X86_64.set(t, regset::NT_PRSTATUS, data)),
        nr::PTRACE_GETFPREGS => done(regset::X86_64.get(t, regset::NT_PRFPREG, data)),
        nr::PTRACE_SETFPREGS => done(regset::X86_64.set(t, regset::NT_PRFPREG, data)),
        nr::PTRACE_GET_THREAD_AREA => done(ptrace_get_thread_area(t.arch_thread(), addr as i32, data)),
        nr::PTRACE_SET_THREAD_AREA => done(ptrace_set_thread_area(t.arch_thread(), addr as i32, data)),
        nr::PTRACE_ARCH_PRCTL => arch_prctl(t, data as u32, addr),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_user_mode() {
        assert!(!invalid_selector(0) && !invalid_selector(0x33) && !invalid_selector(7));
        assert!(invalid_selector(0x10) && invalid_selector(1) && invalid_selector(0x32));
    }

    #[test]
    fn struct_user_is_checked() {
        assert_eq!(aligned_in_user(4), Err(EIO));
        assert_eq!(aligned_in_user(912), Err(EIO));
        assert_eq!(aligned_in_user(904), Ok(()));
        assert_eq!(OFFSET_DEBUGREG + 8 * 8, SIZEOF_USER);
    }
}
