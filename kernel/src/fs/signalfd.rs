// SPDX-License-Identifier: GPL-2.0-only
//! `signalfd(2)`: pending signals as a file to read (Linux 6.1, `fs/signalfd.c`). Whoever reads or
//! polls it gets signals of its own.

use crate::arch::x86::lib::usercopy::get_user;
use crate::errno::{EAGAIN, EFAULT, EINVAL, Result};
use crate::fs::anon_inodes::anon_inode_getfd;
use crate::fs::file::fget;
use crate::fs::file_table::{Abilities, File, FileOps, Seeking, poll};
use crate::fs::select::PollTable;
use crate::fs::seq_file::SeqFile;
use crate::kernel::signal::deliver::dequeue_signal;
use crate::kernel::signal::sigset::{KERNEL_ONLY, SIGSETSIZE, next_signal};
use crate::kernel::signal::{KernelSiginfo, SigSet, siginfo, with_siglock};
use crate::kernel::task::current;
use crate::lib::iov_iter::IovIter;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use linux_raw_sys::general::{O_CLOEXEC, O_NONBLOCK};
use siginfo::SigFields;
use zerocopy::{Immutable, IntoBytes};

/// `struct signalfd_siginfo`.
#[repr(C)]
#[derive(Default, IntoBytes, Immutable)]
#[allow(clippy::struct_field_names)] // Linux's names
struct SignalfdSiginfo {
    ssi_signo: u32,
    ssi_errno: i32,
    ssi_code: i32,
    ssi_pid: u32,
    ssi_uid: u32,
    ssi_fd: i32,
    ssi_tid: u32,
    ssi_band: u32,
    ssi_overrun: u32,
    ssi_trapno: u32,
    ssi_status: i32,
    ssi_int: i32,
    ssi_ptr: u64,
    ssi_utime: u64,
    ssi_stime: u64,
    ssi_addr: u64,
    ssi_addr_lsb: u16,
    pad2: u16,
    ssi_syscall: i32,
    ssi_call_addr: u64,
    ssi_arch: u32,
    pad: [u32; 7],
}

const SIZE: usize = 128;
const _: () = assert!(size_of::<SignalfdSiginfo>() == SIZE);

impl SignalfdSiginfo {
    /// What of the information its kind has (`signalfd_copyinfo`).
    fn new(i: &KernelSiginfo) -> Self {
        let s = Self {
            ssi_signo: i.si_signo as u32,
            ssi_errno: i.si_errno,
            ssi_code: i.si_code,
            ..Self::default()
        };
        match i.typed() {
            SigFields::Kill { pid, uid } => Self { ssi_pid: pid as u32, ssi_uid: uid, ..s },
            SigFields::Timer { tid, overrun, value, .. } => Self {
                ssi_tid: tid as u32,
                ssi_overrun: overrun as u32,
                ssi_ptr: value,
                ssi_int: value as i32,
                ..s
            },
            SigFields::Rt { pid, uid, value } => {
                Self { ssi_pid: pid as u32, ssi_uid: uid, ssi_ptr: value, ssi_int: value as i32, ..s }
            }
            SigFields::Chld { pid, uid, status, utime, stime } => Self {
                ssi_pid: pid as u32,
                ssi_uid: uid,
                ssi_status: status,
                ssi_utime: utime as u64,
                ssi_stime: stime as u64,
                ..s
            },
            SigFields::Poll { band, fd } => Self { ssi_band: band as u32, ssi_fd: fd, ..s },
            SigFields::Fault { addr }
            | SigFields::FaultBnd { addr, .. }
            | SigFields::FaultPkey { addr, .. }
            | SigFields::FaultPerf { addr, .. } => Self { ssi_addr: addr, ..s },
            SigFields::FaultLsb { addr, lsb } => Self { ssi_addr: addr, ssi_addr_lsb: lsb, ..s },
            SigFields::Sys { call_addr, syscall, arch } => {
                Self { ssi_call_addr: call_addr, ssi_syscall: syscall, ssi_arch: arch, ..s }
            }
        }
    }
}

struct SignalFd {
    /// The signals that it is for.
    set: AtomicU64,
}

impl SignalFd {
    fn set(&self) -> SigSet {
        SigSet(self.set.load(Relaxed))
    }
    fn take(&self) -> Option<KernelSiginfo> {
        let cur = current();
        with_siglock(&cur, |l| dequeue_signal(l, &cur, self.set().not()))
    }
    /// The next signal, waiting for one unless told not to.
    fn dequeue(&self, nonblock: bool) -> Result<KernelSiginfo> {
        let mut info = self.take();
        if info.is_none() && !nonblock {
            let sighand = current().sighand.get();
            sighand.signalfd_wqh().wait_event_interruptible(|| {
                info = self.take();
                info.is_some()
            })?;
        }
        info.ok_or(EAGAIN)
    }
}

impl FileOps for SignalFd {
    fn abilities(&self) -> Abilities {
        Abilities { seeking: Seeking::Ignored, writes: false, ..Abilities::NO_ITER }
    }
    fn read(&self, f: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        if to.count() < SIZE {
            return Err(EINVAL);
        }
        let mut done = 0;
        while to.count() >= SIZE {
            let info = match self.dequeue(f.nonblock() || done != 0) {
                Ok(info) => info,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            };
            if to.copy_to(SignalfdSiginfo::new(&info).as_bytes()) < SIZE {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            done += SIZE;
        }
        Ok(done)
    }
    fn poll(&self, _: &File, table: &mut PollTable) -> Option<u32> {
        let cur = current();
        table.wait(cur.sighand.get().signalfd_wqh());
        let pending = cur.sig.pending.set().union(cur.signal.shared_pending.set());
        Some(if next_signal(pending, self.set().not()) != 0 { poll::IN } else { 0 })
    }
    fn show_fdinfo(&self, _: &File, out: &mut SeqFile) {
        writeln!(out, "sigmask:\t{:016x}", self.set().0);
    }
    fn as_any(&self) -> Option<&dyn core::any::Any> {
        Some(self)
    }
}

/// `signalfd4(2)`: a new descriptor for -1, else `fd` is for other signals from now on.
pub fn sys_signalfd4(fd: i32, mask: usize, size: usize, flags: u32) -> Result<usize> {
    if size != SIGSETSIZE {
        return Err(EINVAL);
    }
    let set = get_user::<SigSet>(mask)?.without(KERNEL_ONLY);
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(EINVAL);
    }
    if fd == -1 {
        let op = SignalFd { set: AtomicU64::new(set.0) };
        return anon_inode_getfd("[signalfd]", Arc::new(op), flags);
    }
    let file = fget(fd)?;
    let s: &SignalFd = file.op.as_any().and_then(|a| a.downcast_ref()).ok_or(EINVAL)?;
    s.set.store(set.0, Relaxed);
    current().sighand.get().signalfd_wqh().wake_up();
    Ok(fd as usize)
}

/// `signalfd(2)`.
pub fn sys_signalfd(fd: i32, mask: usize, size: usize) -> Result<usize> {
    sys_signalfd4(fd, mask, size, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn fields_lie_where_programs_look() {
        assert_eq!(offset_of!(SignalfdSiginfo, ssi_overrun), 32);
        assert_eq!(offset_of!(SignalfdSiginfo, ssi_ptr), 48);
        assert_eq!(offset_of!(SignalfdSiginfo, ssi_addr_lsb), 80);
        assert_eq!(offset_of!(SignalfdSiginfo, ssi_call_addr), 88);
    }

    #[test]
    fn a_kind_has_its_fields_and_no_others() {
        let queued =
            KernelSiginfo::new(34, siginfo::SI_QUEUE, SigFields::Rt { pid: 5, uid: 6, value: 7 << 32 | 8 });
        let s = SignalfdSiginfo::new(&queued);
        assert_eq!((s.ssi_signo, s.ssi_pid, s.ssi_uid, s.ssi_int), (34, 5, 6, 8));
        assert_eq!((s.ssi_ptr, s.ssi_addr, s.ssi_tid), (7 << 32 | 8, 0, 0));
    }
}
