// SPDX-License-Identifier: GPL-2.0-only
//! i386's system calls about processes, with structures of its own (Linux 6.1, `kernel/sys.c`,
//! `kernel/signal.c`: `compat_sys_*`).

use super::siginfo::copy_siginfo_from_user32;
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::Result;
use crate::fs::namespace::sys_umount2;
use crate::kernel::fork::sys_clone;
use crate::kernel::signal::kill::{do_rt_sigqueueinfo, do_rt_tgsigqueueinfo};
use crate::kernel::sys::{do_prlimit, do_sysinfo, do_times};
use crate::mm::page_alloc::PAGE_SIZE;

/// No limit, in i386's words (`COMPAT_RLIM_INFINITY`).
const RLIM_INFINITY_32: u32 = u32::MAX;
/// The same for those who take the words for signed ones (`COMPAT_RLIM_OLD_INFINITY`).
const RLIM_OLD_INFINITY: u32 = 0x7fff_ffff;

/// `clone`: its last two arguments are the other way round, and a thread's TLS is a descriptor.
pub fn compat_sys_ia32_clone(
    flags: u32,
    stack: u32,
    parent_tid: usize,
    tls: u32,
    child_tid: usize,
) -> Result<usize> {
    sys_clone(flags.into(), stack.into(), parent_tid, child_tid, tls.into())
}

/// `umount` without flags.
pub fn sys_oldumount(name: usize) -> Result<usize> {
    sys_umount2(name, 0)
}

/// `times`.
pub fn compat_sys_times(buf: usize) -> Result<usize> {
    let (now, words) = do_times();
    if buf != 0 {
        put_user(buf, &words.map(|w| w as u32))?;
    }
    Ok(now as u32 as usize)
}

/// A `struct sysinfo` of i386's: memory in larger units if it does not fit otherwise.
fn sysinfo32(mut w: [u64; 14]) -> [u32; 16] {
    const MEMORY: [usize; 8] = [4, 5, 6, 7, 8, 9, 11, 12];
    if (w[4] | w[8]) >> 32 != 0 {
        let mut shift = 0;
        while w[13] < PAGE_SIZE as u64 {
            w[13] <<= 1;
            shift += 1;
        }
        for i in MEMORY {
            w[i] >>= shift;
        }
    }
    let mut out = [0; 16];
    for (o, w) in out.iter_mut().zip(w) {
        *o = w as u32;
    }
    // The number of processes has 16 bits, and nothing is beside it.
    out[10] &= 0xffff;
    out
}

/// `sysinfo`.
pub fn compat_sys_sysinfo(info: usize) -> Result<usize> {
    put_user(info, &sysinfo32(do_sysinfo())).map(|()| 0)
}

/// A limit in 32 bits, where `most` says "no limit".
fn limit32(limit: u64, most: u32) -> u32 {
    u32::try_from(limit).map_or(most, |l| l.min(most))
}

fn getrlimit32(resource: usize, rlim: usize, most: u32) -> Result<usize> {
    let limits = do_prlimit(0, resource, None)?;
    put_user(rlim, &limits.map(|l| limit32(l, most))).map(|()| 0)
}

/// `ugetrlimit`.
pub fn compat_sys_getrlimit(resource: usize, rlim: usize) -> Result<usize> {
    getrlimit32(resource, rlim, RLIM_INFINITY_32)
}

/// `getrlimit`.
pub fn compat_sys_old_getrlimit(resource: usize, rlim: usize) -> Result<usize> {
    getrlimit32(resource, rlim, RLIM_OLD_INFINITY)
}

/// `setrlimit`.
pub fn compat_sys_setrlimit(resource: usize, rlim: usize) -> Result<usize> {
    let wide = |l: u32| if l == RLIM_INFINITY_32 { u64::MAX } else { l.into() };
    let new: [u32; 2] = get_user(rlim)?;
    do_prlimit(0, resource, Some(new.map(wide))).map(|_| 0)
}

/// `rt_sigqueueinfo`.
pub fn compat_sys_rt_sigqueueinfo(pid: i32, sig: i32, uinfo: usize) -> Result<usize> {
    do_rt_sigqueueinfo(pid, sig, &copy_siginfo_from_user32(sig, uinfo)?)
}

/// `rt_tgsigqueueinfo`.
pub fn compat_sys_rt_tgsigqueueinfo(tgid: i32, pid: i32, sig: i32, uinfo: usize) -> Result<usize> {
    do_rt_tgsigqueueinfo(tgid, pid, sig, &copy_siginfo_from_user32(sig, uinfo)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_do_not_fit_are_none() {
        assert_eq!(limit32(5, RLIM_INFINITY_32), 5);
        assert_eq!(limit32(u64::MAX, RLIM_INFINITY_32), u32::MAX);
        assert_eq!(limit32(1 << 32, RLIM_INFINITY_32), u32::MAX);
        assert_eq!(limit32(0x8000_0000, RLIM_OLD_INFINITY), 0x7fff_ffff);
    }

    #[test]
    fn much_memory_is_counted_in_pages() {
        let mut w = [0; 14];
        (w[0], w[4], w[5], w[10], w[13]) = (7, 8 << 30, 4 << 30, 0x1_0003, 1);
        let s = sysinfo32(w);
        assert_eq!((s[0], s[4], s[5], s[10], s[13]), (7, 2 << 20, 1 << 20, 3, 4096));
        w[4] = 1 << 30;
        w[5] = 1 << 29;
        let s = sysinfo32(w);
        assert_eq!((s[4], s[5], s[13]), (1 << 30, 1 << 29, 1));
    }
}
