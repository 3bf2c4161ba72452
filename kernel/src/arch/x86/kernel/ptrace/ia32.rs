// SPDX-License-Identifier: GPL-2.0-only
//! A tracee's registers as i386 has them, and the requests of a tracer that calls by
//! `int $0x80` (Linux 6.1, `arch/x86/kernel/ptrace.c`, `getreg32`, `putreg32`, `ia32_arch_ptrace`).

use super::regset::{NT_PRFPREG, NT_PRSTATUS, NT_PRXFPREG, X86_32};
use super::{Stopped, arch_ptrace, base_of, putreg, word};
use crate::arch::x86::kernel::hw_breakpoint::{ptrace_get_debugreg, ptrace_set_debugreg};
use crate::arch::x86::lib::usercopy::put_user;
use crate::errno::{EIO, Result};
use crate::kernel::ptrace::Tracee;
use crate::kernel::task::tif;
use linux_raw_sys::ptrace as nr;

/// `user_regs_struct32`: how many words it has.
pub const USER_REGS32: usize = 17;

/// The call's number.
const ORIG_AX: usize = 15;

/// Which words of `user_regs_struct` they are the lower halves of: EBX, ECX, EDX, ESI, EDI, EBP,
/// EAX, DS, ES, FS, GS, the call's number, EIP, CS, the flags, ESP, SS.
const WORDS: [usize; USER_REGS32] = [
    5,
    11,
    12,
    13,
    14,
    4,
    10,
    word::DS,
    word::ES,
    word::FS,
    word::GS,
    ORIG_AX,
    16,
    word::CS,
    word::FLAGS,
    19,
    word::SS,
];

/// `struct user32`: its size, and where its debug registers are. The registers are at its
/// beginning.
const SIZEOF_USER32: usize = 284;
const OFFSET_DEBUGREG32: usize = 252;

/// `genregs32_get`.
pub(super) fn genregs32_get(t: Stopped<'_>) -> [u32; USER_REGS32] {
    let all = t.user_regs();
    WORDS.map(|w| all[w] as u32)
}

/// Changes one word (`putreg32`). A segment's base comes with FS and GS: nothing else tells it.
///
/// # Errors
/// `EIO` for what no register can hold.
pub(super) fn genregs32_set(t: &Tracee, at: usize, value: u32) -> Result {
    let which = *WORDS.get(at).ok_or(EIO)?;
    putreg(t, which, value.into())?;
    let thread = t.arch_thread();
    match which {
        word::FS => thread.fsbase.set(base_of(t, thread, value as u16)),
        word::GS => thread.gsbase.set(base_of(t, thread, value as u16)),
        ORIG_AX if value != u32::MAX => {
            // An error in EAX is one of 32 bits, also if this is not an i386 call's end. It counts
            // until the thread is back in user mode.
            thread.i386_regs_poked.set(true);
            t.set_flag(tif::NOTIFY_RESUME);
        }
        _ => {}
    }
    Ok(())
}

/// What lies at an offset of `struct user32`.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Register(usize),
    Debug(usize),
    Nothing,
}

fn place(offset: usize) -> Result<Place> {
    if offset > SIZEOF_USER32 || !offset.is_multiple_of(4) {
        return Err(EIO);
    }
    Ok(match offset {
        OFFSET_DEBUGREG32..SIZEOF_USER32 => Place::Debug((offset - OFFSET_DEBUGREG32) / 4),
        _ if offset / 4 < USER_REGS32 => Place::Register(offset / 4),
        _ => Place::Nothing,
    })
}

fn peekusr32(t: &Tracee, offset: usize) -> Result<u32> {
    Ok(match place(offset)? {
        Place::Register(at) => genregs32_get(t.stopped())[at],
        Place::Debug(n) => ptrace_get_debugreg(t.arch_thread(), n) as u32,
        Place::Nothing => 0,
    })
}

fn pokeusr32(t: &Tracee, offset: usize, value: u32) -> Result {
    match place(offset)? {
        Place::Register(at) => genregs32_set(t, at, value),
        Place::Debug(n) => ptrace_set_debugreg(t, t.arch_thread(), n, value.into()),
        Place::Nothing => Ok(()),
    }
}

/// The requests that i386 has in its own way; `None` for others.
pub fn ia32_arch_ptrace(t: &Tracee, request: u32, addr: usize, data: usize) -> Option<Result<usize>> {
    let done = match request {
        nr::PTRACE_PEEKUSR => peekusr32(t, addr).and_then(|v| put_user(data, &v)),
        nr::PTRACE_POKEUSR => pokeusr32(t, addr, data as u32),
        nr::PTRACE_GETREGS => X86_32.get(t, NT_PRSTATUS, data),
        nr::PTRACE_SETREGS => X86_32.set(t, NT_PRSTATUS, data),
        nr::PTRACE_GETFPREGS => X86_32.get(t, NT_PRFPREG, data),
        nr::PTRACE_SETFPREGS => X86_32.set(t, NT_PRFPREG, data),
        nr::PTRACE_GETFPXREGS => X86_32.get(t, NT_PRXFPREG, data),
        nr::PTRACE_SETFPXREGS => X86_32.set(t, NT_PRXFPREG, data),
        nr::PTRACE_GET_THREAD_AREA | nr::PTRACE_SET_THREAD_AREA => {
            return arch_ptrace(t, request, addr, data);
        }
        _ => return None,
    };
    Some(done.map(|()| 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn struct_user32_is_checked() {
        assert_eq!(place(2), Err(EIO));
        assert_eq!(place(288), Err(EIO));
        assert_eq!(place(284), Ok(Place::Nothing));
        assert_eq!(place(64), Ok(Place::Register(16)));
        assert_eq!(place(68), Ok(Place::Nothing));
        assert_eq!(place(280), Ok(Place::Debug(7)));
    }

    #[test]
    fn words_are_where_the_structure_has_them() {
        let mut sorted = WORDS;
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(core::mem::offset_of!(crate::arch::x86::ptrace::PtRegs, bx), 8 * WORDS[0]);
        assert_eq!(core::mem::offset_of!(crate::arch::x86::ptrace::PtRegs, sp), 8 * WORDS[15]);
    }
}
