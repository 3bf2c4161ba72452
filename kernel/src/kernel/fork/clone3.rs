// SPDX-License-Identifier: GPL-2.0-only
//! `clone3(2)` (Linux 6.1, `kernel/fork.c`, `copy_clone_args_from_user`, `clone3_args_valid`).

use super::{CloneArgs, PID_MAX, kernel_clone};
use crate::arch::x86::lib::usercopy::{access_ok, copy_from_user, get_user};
use crate::errno::{E2BIG, EBADF, EINVAL, EPERM, Result};
use crate::kernel::capability::capable;
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general as nr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How deep process-id namespaces nest (`MAX_PID_NS_LEVEL`).
const MAX_PID_NS_LEVEL: u64 = 32;
const CLONE_ARGS_SIZE_VER0: usize = 64;
const CLONE_ARGS_SIZE_VER2: usize = 88;

/// `struct clone_args`; what a program does not know of it is 0.
#[repr(C)]
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct UserCloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const _: () = assert!(size_of::<UserCloneArgs>() == CLONE_ARGS_SIZE_VER2);

impl UserCloneArgs {
    fn read(uargs: usize, size: usize) -> Result<Self> {
        if size > 4096 {
            return Err(E2BIG);
        }
        if size < CLONE_ARGS_SIZE_VER0 {
            return Err(EINVAL);
        }
        let mut args = Self::default();
        let known = size.min(CLONE_ARGS_SIZE_VER2);
        copy_from_user(&mut args.as_mut_bytes()[..known], uargs)?;
        for at in (known..size).step_by(8) {
            let mut rest = [0u8; 8];
            let n = (size - at).min(8);
            copy_from_user(&mut rest[..n], uargs + at)?;
            if rest != [0; 8] {
                return Err(E2BIG);
            }
        }
        Ok(args)
    }

    /// What makes no sense, whoever asks (`copy_clone_args_from_user`, `clone3_args_valid`);
    /// `size`: how much of it the program knows.
    fn check(&self, size: usize) -> Result {
        const LEGACY_FLAGS: u64 = 0xffff_ffff;
        const NOT_HERE: u64 = nr::CLONE_DETACHED as u64 | nr::CSIGNAL as u64 & !(nr::CLONE_NEWTIME as u64);
        let both = |a: u64, b: u64| self.flags & a != 0 && self.flags & b != 0;
        let has_stack = self.stack != 0;
        let sound = self.set_tid_size <= MAX_PID_NS_LEVEL
            && (self.set_tid == 0) == (self.set_tid_size == 0)
            && self.exit_signal <= u64::from(nr::_NSIG)
            && (self.flags & nr::CLONE_INTO_CGROUP == 0
                || size >= CLONE_ARGS_SIZE_VER2 && i32::try_from(self.cgroup).is_ok())
            && self.flags & !(LEGACY_FLAGS | nr::CLONE_CLEAR_SIGHAND | nr::CLONE_INTO_CGROUP) == 0
            && self.flags & NOT_HERE == 0
            && !both(nr::CLONE_SIGHAND.into(), nr::CLONE_CLEAR_SIGHAND)
            && (self.exit_signal == 0 || self.flags & u64::from(nr::CLONE_THREAD | nr::CLONE_PARENT) == 0)
            && has_stack == (self.stack_size != 0)
            && (!has_stack || access_ok(self.stack as usize, self.stack_size as usize));
        if sound { Ok(()) } else { Err(EINVAL) }
    }

    /// The thread id that is asked for. Only one can be: there are no namespaces.
    fn wanted_tid(&self) -> Result<Option<i32>> {
        if self.set_tid == 0 {
            return Ok(None);
        }
        let tid: i32 = get_user(self.set_tid as usize)?;
        if self.set_tid_size != 1 || tid < 1 || tid >= PID_MAX.load(Relaxed) {
            return Err(EINVAL);
        }
        let allowed = capable(nr::CAP_CHECKPOINT_RESTORE) || capable(nr::CAP_SYS_ADMIN);
        if allowed { Ok(Some(tid)) } else { Err(EPERM) }
    }
}

/// `clone3(2)`.
pub fn sys_clone3(uargs: usize, size: usize) -> Result<usize> {
    let u = UserCloneArgs::read(uargs, size)?;
    u.check(size)?;
    let args = CloneArgs {
        flags: u.flags,
        exit_signal: u.exit_signal as i32,
        stack: u.stack.wrapping_add(u.stack_size),
        pidfd: u.pidfd as usize,
        parent_tid: u.parent_tid as usize,
        child_tid: u.child_tid as usize,
        tls: u.tls,
        set_tid: u.wanted_tid()?,
    };
    if u.flags & nr::CLONE_INTO_CGROUP != 0 {
        // No descriptor is one of a control group.
        return args.check().and(Err(EBADF));
    }
    kernel_clone(&args)
}
