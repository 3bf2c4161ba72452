// SPDX-License-Identifier: GPL-2.0-only
//! i386's signal calls of before there were more than 32 signals (Linux 6.1, `kernel/signal.c`:
//! `sigprocmask`, `sigpending`, `sigsuspend`, `sgetmask`, `ssetmask`, `signal`).

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EINVAL, ERESTARTNOHAND, Result};
use crate::kernel::signal::action::{KSigaction, do_sigaction, sa};
use crate::kernel::signal::mask::sigsuspend;
use crate::kernel::signal::set_current_blocked;
use crate::kernel::signal::sigset::SigSet;
use crate::kernel::signal::syscalls::do_sigpending;
use crate::kernel::task::current;
use linux_raw_sys::general::{SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK};

/// What a request makes of a mask; signals above 32 stay.
fn changed(old: SigSet, how: i32, set: u32) -> Result<SigSet> {
    let set = u64::from(set);
    Ok(SigSet(match how as u32 {
        SIG_BLOCK => old.0 | set,
        SIG_UNBLOCK => old.0 & !set,
        SIG_SETMASK => old.0 & !0xffff_ffff | set,
        _ => return Err(EINVAL),
    }))
}

/// `sigprocmask`.
pub fn compat_sys_sigprocmask(how: i32, nset: usize, oset: usize) -> Result<usize> {
    let old = current().sig.blocked();
    if nset != 0 {
        set_current_blocked(changed(old, how, get_user(nset)?)?);
    }
    if oset != 0 {
        put_user(oset, &(old.0 as u32))?;
    }
    Ok(0)
}

/// `sigpending`.
pub fn compat_sys_sigpending(set: usize) -> Result<usize> {
    put_user(set, &(do_sigpending().0 as u32)).map(|()| 0)
}

/// `sigsuspend`: the first two arguments are nothing.
pub fn sys_sigsuspend(_: u32, _: u32, mask: u32) -> Result<usize> {
    sigsuspend(SigSet(mask.into()));
    Err(ERESTARTNOHAND)
}

/// `sgetmask`.
pub fn sys_sgetmask() -> Result<usize> {
    Ok(current().sig.blocked().0 as usize)
}

/// `ssetmask`: the mask is a signed word, and becomes a long one as such.
pub fn sys_ssetmask(mask: i32) -> Result<usize> {
    let old = current().sig.blocked().0 as i32;
    set_current_blocked(SigSet(mask as u64));
    Ok(old as usize)
}

/// `signal`: the handler is used once, and blocks nothing.
pub fn sys_signal(sig: i32, handler: usize) -> Result<usize> {
    let action = KSigaction { handler, flags: sa::RESETHAND | sa::NODEFER, restorer: 0, mask: SigSet(0) };
    Ok(do_sigaction(&current(), sig, Some(&action))?.handler)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_signals_stay() {
        let old = SigSet(1 << 40 | 0b11);
        let change = |how| changed(old, how as i32, 0b110).map(|s| s.0);
        assert_eq!(change(SIG_BLOCK), Ok(1 << 40 | 0b111));
        assert_eq!(change(SIG_UNBLOCK), Ok(1 << 40 | 0b001));
        assert_eq!(change(SIG_SETMASK), Ok(1 << 40 | 0b110));
        assert_eq!(change(7), Err(EINVAL));
    }
}
