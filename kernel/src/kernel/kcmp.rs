// SPDX-License-Identifier: GPL-2.0-only
//! Whether two tasks share something (Linux 6.1, `kernel/kcmp.c`).

use crate::drivers::char::random::get_random_u64;
use crate::errno::{EBADF, EINVAL, EOPNOTSUPP, EPERM, ESRCH, Result};
use crate::kernel::fork::find_task;
use crate::kernel::ptrace::{PtraceMode, ptrace_may_access};
use crate::kernel::task::Task;
use alloc::sync::Arc;
use spin::Once;

/// `KCMP_*`.
mod kind {
    pub const FILE: u32 = 0;
    pub const VM: u32 = 1;
    pub const FILES: u32 = 2;
    pub const FS: u32 = 3;
    pub const SIGHAND: u32 = 4;
    pub const IO: u32 = 5;
    pub const SYSVSEM: u32 = 6;
    pub const EPOLL_TFD: u32 = 7;
}

/// For each kind, what makes an order of addresses that does not tell them (`kptr_obfuscate`): a
/// number to be exclusive-ored, and an odd one to be multiplied with.
static COOKIES: Once<[[u64; 2]; 8]> = Once::new();

fn obfuscate(address: usize, kind: u32) -> u64 {
    let cookies =
        COOKIES.call_once(|| core::array::from_fn(|_| [get_random_u64(), get_random_u64() | 1 << 63 | 1]));
    let [xor, factor] = cookies[kind as usize];
    (address as u64 ^ xor).wrapping_mul(factor)
}

/// 0: the same; 1: less; 2: greater (`kcmp_ptr`).
fn compare([a, b]: [usize; 2], kind: u32) -> usize {
    let (a, b) = (obfuscate(a, kind), obfuscate(b, kind));
    usize::from(a < b) | usize::from(a > b) << 1
}

/// An address that two have in common if they share the thing.
fn address<T>(of: Option<&Arc<T>>) -> usize {
    of.map_or(0, |p| Arc::as_ptr(p) as usize)
}

fn file(t: &Task, fd: usize) -> Result<usize> {
    let files = t.files.lock().clone().ok_or(EBADF)?;
    let f = files.fget_raw(i32::try_from(fd).map_err(|_| EBADF)?)?;
    Ok(Arc::as_ptr(&f) as usize)
}

/// `kcmp(2)`.
pub fn sys_kcmp(pid1: i32, pid2: i32, what: u32, fd1: usize, fd2: usize) -> Result<usize> {
    let tasks = [find_task(pid1).ok_or(ESRCH)?, find_task(pid2).ok_or(ESRCH)?];
    if !tasks.iter().all(|t| ptrace_may_access(t, PtraceMode::RealCreds)) {
        return Err(EPERM);
    }
    let [a, b] = &tasks;
    let both = |f: fn(&Task) -> usize| [f(a), f(b)];
    let addresses = match what {
        kind::FILE => {
            let (x, y) = (file(a, fd1), file(b, fd2));
            [x?, y?]
        }
        kind::VM => both(|t| address(t.mm.lock().as_ref())),
        kind::FILES => both(|t| address(t.files.lock().as_ref())),
        kind::FS => both(|t| address(t.fs.lock().as_ref())),
        kind::SIGHAND => both(|t| Arc::as_ptr(&t.sighand.lock()) as usize),
        kind::SYSVSEM => both(|t| t.sysvsem.with(address)),
        // Nobody has any.
        kind::IO => [0, 0],
        kind::EPOLL_TFD => return Err(EOPNOTSUPP),
        _ => return Err(EINVAL),
    };
    Ok(compare(addresses, what))
}
