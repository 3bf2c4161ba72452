// SPDX-License-Identifier: GPL-2.0-only
//! System calls that a program wants to see itself, unless they come from a range of its code
//! (Linux 6.1, `kernel/entry/syscall_user_dispatch.c`): a word of its memory says whether.

use crate::arch::x86::lib::usercopy::{access_ok, get_user};
use crate::arch::x86::ptrace::PtRegs;
use crate::arch::x86::syscall::syscall_get_arch;
use crate::errno::{EFAULT, EINVAL, Result};
use crate::kernel::signal::force::{force_exit_sig, force_sig_info};
use crate::kernel::signal::siginfo::{KernelSiginfo, SigFields};
use crate::kernel::signal::sigset::{SIGSEGV, SIGSYS};
use crate::kernel::task::{Current, current, tif};
use core::cell::Cell;

const PR_SYS_DISPATCH_OFF: usize = 0;
const PR_SYS_DISPATCH_ON: usize = 1;
/// What the selector says.
const SYSCALL_DISPATCH_FILTER_ALLOW: u8 = 0;
const SYSCALL_DISPATCH_FILTER_BLOCK: u8 = 1;
const SYS_USER_DISPATCH: i32 = 2;

/// A thread's setting, its own.
#[derive(Default)]
pub struct SyscallUserDispatch {
    selector: Cell<usize>,
    offset: Cell<u64>,
    len: Cell<u64>,
    /// This call was not done: nobody traces its end.
    on_dispatch: Cell<bool>,
}

/// Whether the call goes to the program instead.
#[cold]
pub fn syscall_user_dispatch(cur: Current, regs: &PtRegs) -> bool {
    let sd = &cur.thread().syscall_dispatch;
    if regs.ip.get().wrapping_sub(sd.offset.get()) < sd.len.get() {
        return false;
    }
    if sd.selector.get() != 0 {
        match get_user(sd.selector.get()) {
            Ok(SYSCALL_DISPATCH_FILTER_ALLOW) => return false,
            Ok(SYSCALL_DISPATCH_FILTER_BLOCK) => {}
            Ok(_) => {
                force_exit_sig(SIGSYS);
                return true;
            }
            Err(_) => {
                force_exit_sig(SIGSEGV);
                return true;
            }
        }
    }
    sd.on_dispatch.set(true);
    let compat = cur.thread().compat_syscall.get();
    let (syscall, arch) = (regs.orig_ax.get() as i32, syscall_get_arch(compat));
    regs.ax.set(regs.orig_ax.get());
    let fields = SigFields::Sys { call_addr: regs.ip.get(), syscall, arch };
    force_sig_info(&KernelSiginfo::new(SIGSYS, SYS_USER_DISPATCH, fields));
    true
}

/// After a call: whether it was one that went to the program.
pub fn was_dispatched(cur: Current) -> bool {
    cur.thread().syscall_dispatch.on_dispatch.replace(false)
}

/// `prctl(PR_SET_SYSCALL_USER_DISPATCH)`.
///
/// # Errors
/// `EINVAL`, `EFAULT`.
pub fn set_syscall_user_dispatch(mode: usize, offset: u64, len: u64, selector: usize) -> Result<usize> {
    let cur = current();
    match mode {
        PR_SYS_DISPATCH_OFF if (offset, len, selector) == (0, 0, 0) => {}
        PR_SYS_DISPATCH_ON if offset != 0 && offset.wrapping_add(len) <= offset => return Err(EINVAL),
        PR_SYS_DISPATCH_ON if selector != 0 && !access_ok(selector, 1) => return Err(EFAULT),
        PR_SYS_DISPATCH_ON => {}
        _ => return Err(EINVAL),
    }
    let sd = &cur.thread().syscall_dispatch;
    sd.selector.set(selector);
    sd.offset.set(offset);
    sd.len.set(len);
    sd.on_dispatch.set(false);
    if mode == PR_SYS_DISPATCH_ON {
        cur.set_flag(tif::SYSCALL_USER_DISPATCH);
    } else {
        cur.clear_flag(tif::SYSCALL_USER_DISPATCH);
    }
    Ok(0)
}
