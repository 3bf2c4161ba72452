// SPDX-License-Identifier: GPL-2.0-only
//! The alternate signal stack (Linux 6.1, `kernel/signal.c`, `do_sigaltstack`;
//! `include/linux/sched/signal.h`, `on_sig_stack`).

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EINVAL, ENOMEM, EPERM, Result};
use crate::kernel::task::current;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The thread runs on it.
pub const SS_ONSTACK: u32 = raw::SS_ONSTACK;
/// There is none.
pub const SS_DISABLE: u32 = raw::SS_DISABLE;
/// It is forgotten while a handler runs on it.
pub const SS_AUTODISARM: u32 = raw::SS_AUTODISARM;
/// The flags proper; the other bits are a mode.
pub const SS_FLAG_BITS: u32 = raw::SS_FLAG_BITS;
/// The smallest stack that is accepted, though frames have outgrown it.
const MINSIGSTKSZ: u64 = raw::MINSIGSTKSZ as u64;

/// The user's `stack_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct StackT {
    /// Lowest address.
    pub sp: u64,
    /// `SS_*`.
    pub flags: u32,
    _pad: u32,
    /// Size in bytes.
    pub size: u64,
}

const _: () = {
    assert!(size_of::<StackT>() == size_of::<raw::stack_t>());
    assert!(offset_of!(StackT, sp) == offset_of!(raw::stack_t, ss_sp));
    assert!(offset_of!(StackT, flags) == offset_of!(raw::stack_t, ss_flags));
    assert!(offset_of!(StackT, size) == offset_of!(raw::stack_t, ss_size));
};

impl StackT {
    /// A stack.
    pub const fn new(sp: u64, flags: u32, size: u64) -> Self {
        Self { sp, flags, _pad: 0, size }
    }
    /// Whether `sp` lies on the stack, whatever its flags (`__on_sig_stack`).
    #[inline]
    pub const fn spans(&self, sp: u64) -> bool {
        sp > self.sp && sp - self.sp <= self.size
    }
    /// Whether a thread with stack pointer `sp` runs on the stack. One that disarms
    /// itself never counts: it is forgotten by then (`on_sig_stack`).
    #[inline]
    pub const fn is_on(&self, sp: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && self.spans(sp)
    }
    /// The mode that `sigaltstack` reports (`sas_ss_flags`).
    #[inline]
    pub const fn mode(&self, sp: u64) -> u32 {
        if self.size == 0 {
            SS_DISABLE
        } else if self.is_on(sp) {
            SS_ONSTACK
        } else {
            0
        }
    }
}

/// A thread's alternate stack; only the thread itself touches it.
pub struct AltStack {
    sp: AtomicU64,
    size: AtomicU64,
    flags: AtomicU32,
}

impl AltStack {
    /// None.
    pub const fn new() -> Self {
        Self { sp: AtomicU64::new(0), size: AtomicU64::new(0), flags: AtomicU32::new(SS_DISABLE) }
    }
    /// As stored.
    #[inline]
    pub fn get(&self) -> StackT {
        StackT {
            sp: self.sp.load(Relaxed),
            flags: self.flags.load(Relaxed),
            _pad: 0,
            size: self.size.load(Relaxed),
        }
    }
    /// Stores another one.
    pub fn set(&self, sp: u64, size: u64, flags: u32) {
        self.sp.store(sp, Relaxed);
        self.size.store(size, Relaxed);
        self.flags.store(flags, Relaxed);
    }
    /// Takes over another thread's.
    pub fn copy_from(&self, other: &Self) {
        let s = other.get();
        self.set(s.sp, s.size, s.flags);
    }
    /// Forgets it (`sas_ss_reset`).
    pub fn reset(&self) {
        self.set(0, 0, SS_DISABLE);
    }
    /// For `execve`: the stack went with the old memory; Linux keeps the flags.
    pub fn reset_on_exec(&self) {
        self.set(0, 0, self.flags.load(Relaxed));
    }
}

impl Default for AltStack {
    fn default() -> Self {
        Self::new()
    }
}

/// What a request to change the stack comes to, for a thread whose stack pointer is
/// `sp`: the stack to store.
fn change(old: &StackT, new: &StackT, sp: u64) -> Result<StackT> {
    if old.is_on(sp) {
        return Err(EPERM);
    }
    match new.flags & !SS_FLAG_BITS {
        SS_DISABLE => Ok(StackT { sp: 0, size: 0, ..*new }),
        // Giving back what is there already is not checked again.
        0 | SS_ONSTACK if new == old => Ok(*new),
        0 | SS_ONSTACK if new.size < MINSIGSTKSZ => Err(ENOMEM),
        0 | SS_ONSTACK => Ok(*new),
        _ => Err(EINVAL),
    }
}

/// Changes the current thread's alternate stack (`do_sigaltstack`).
pub fn set_altstack(new: &StackT, sp: u64) -> Result {
    let cur = current();
    let s = change(&cur.sig.altstack.get(), &StackT { _pad: 0, ..*new }, sp)?;
    cur.sig.altstack.set(s.sp, s.size, s.flags);
    Ok(())
}

/// `sigaltstack(2)`.
pub fn sys_sigaltstack(uss: usize, uoss: usize) -> Result<usize> {
    let cur = current();
    let sp = cur.pt_regs().sp.get();
    let new: Option<StackT> = if uss == 0 { None } else { Some(get_user(uss)?) };
    let mut old = cur.sig.altstack.get();
    old.flags = old.mode(sp) | old.flags & SS_FLAG_BITS;
    if let Some(new) = new {
        set_altstack(&new, sp)?;
    }
    if uoss != 0 {
        put_user(uoss, &old)?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: StackT = StackT { sp: 0, flags: SS_DISABLE, _pad: 0, size: 0 };

    fn stack(flags: u32, size: u64) -> StackT {
        StackT { sp: 0x10000, flags, _pad: 0, size }
    }

    #[test]
    fn requests_are_judged_as_the_oracle_saw() {
        // The oracle's `alt_small` probe, in its order.
        assert_eq!(change(&NONE, &stack(0, 2047), 0), Err(ENOMEM));
        assert_eq!(change(&NONE, &stack(0, 2048), 0), Ok(stack(0, 2048)));
        assert_eq!(change(&NONE, &stack(SS_ONSTACK, 2048), 0), Ok(stack(SS_ONSTACK, 2048)));
        assert_eq!(change(&NONE, &stack(4, 2048), 0), Err(EINVAL));
        assert_eq!(change(&NONE, &stack(SS_AUTODISARM, 2048), 0), Ok(stack(SS_AUTODISARM, 2048)));
        let off = change(&NONE, &stack(SS_AUTODISARM | SS_DISABLE, 2048), 0).unwrap();
        assert_eq!((off.sp, off.size, off.flags), (0, 0, SS_AUTODISARM | SS_DISABLE));
        assert_eq!(change(&NONE, &stack(SS_DISABLE, 5), 0).unwrap().size, 0);
    }

    #[test]
    fn a_stack_in_use_cannot_be_changed() {
        let on = 0x10800;
        assert_eq!(change(&stack(0, 0x1000), &stack(0, 0x2000), on), Err(EPERM));
        assert_eq!(change(&stack(0, 0x1000), &stack(SS_DISABLE, 0), on), Err(EPERM));
        assert!(change(&stack(SS_AUTODISARM, 0x1000), &stack(0, 0x2000), on).is_ok());
    }

    #[test]
    fn bounds_are_those_of_a_stack_that_grows_down() {
        let s = stack(0, 0x1000);
        assert!(!s.spans(0x10000) && s.spans(0x10001) && s.spans(0x11000) && !s.spans(0x11001));
        assert_eq!((s.mode(0x10800), s.mode(0)), (SS_ONSTACK, 0));
        assert_eq!(stack(SS_AUTODISARM, 0x1000).mode(0x10800), 0);
        assert_eq!(NONE.mode(0x10800), SS_DISABLE);
    }
}
