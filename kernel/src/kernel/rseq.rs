// SPDX-License-Identifier: GPL-2.0-only
//! Restartable sequences (Linux 6.1, `kernel/rseq.c`): code of a thread that begins again when
//! the thread was preempted in it, or a handler ran.
//!
//! Threads that did not register are not looked at: who did has `TIF_RSEQ`, and a switch away
//! from it, or a handler, has it looked at before user mode runs.

use crate::arch::x86::lib::usercopy::{TASK_SIZE_MAX, access_ok, get_user, put_user};
use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{EBUSY, EFAULT, EINVAL, EPERM, Result};
use crate::kernel::printk::{HashedPtr, ratelimit};
use crate::kernel::signal::force::force_sigsegv;
use crate::kernel::task::{Current, Task, current, pf, tif};
use crate::lib::ratelimit::Ratelimit;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};

/// Size and alignment of `struct rseq`, and where its fields are.
const RSEQ_SIZE: u32 = 32;
const CPU_ID_START: usize = 0;
const CPU_ID: usize = 4;
const RSEQ_CS: usize = 8;
const FLAGS: usize = 16;

const RSEQ_FLAG_UNREGISTER: i32 = 1;
const RSEQ_CPU_ID_UNINITIALIZED: u32 = u32::MAX;
/// Flags that Linux once had.
const NO_RESTART_FLAGS: u32 = 7;

/// What happened since the thread was looked at last (`rseq_event_mask`).
mod event {
    pub const PREEMPT: u32 = 1;
    pub const SIGNAL: u32 = 2;
}

/// A thread's registration.
#[derive(Default)]
pub struct Rseq {
    /// Where its `struct rseq` is; 0 if there is none.
    at: AtomicUsize,
    sig: AtomicU32,
    events: AtomicU32,
}

impl Rseq {
    /// Address and signature.
    pub fn get(&self) -> (usize, u32) {
        (self.at.load(Relaxed), self.sig.load(Relaxed))
    }
    fn set(&self, at: usize, sig: u32) {
        self.at.store(at, Relaxed);
        self.sig.store(sig, Relaxed);
    }
}

/// A new task that does not share its maker's memory has its registration (`rseq_fork`).
pub fn rseq_fork(parent: &Task, child: &Task) {
    if parent.test_flag(tif::RSEQ) {
        let (at, sig) = parent.rseq.get();
        child.rseq.set(at, sig);
        child.rseq.events.store(parent.rseq.events.load(Relaxed), Relaxed);
        child.set_flag(tif::RSEQ);
    }
}

/// Another program, which has not registered (`rseq_execve`).
pub fn rseq_execve(cur: Current) {
    forget(cur);
    cur.rseq.events.store(0, Relaxed);
}

fn forget(cur: Current) {
    cur.rseq.set(0, 0);
    cur.clear_flag(tif::RSEQ);
}

/// A thread that has registered gives the CPU away (`rseq_preempt`).
#[cold]
pub fn rseq_preempt(t: &Task) {
    t.rseq.events.fetch_or(event::PREEMPT, Relaxed);
    t.set_flag(tif::NOTIFY_RESUME);
}

/// A handler is about to run in a thread that has registered: what it interrupted has to begin
/// again (`rseq_signal_deliver`).
#[cold]
pub fn rseq_signal_deliver(cur: Current, sig: i32, regs: &PtRegs) {
    cur.rseq.events.fetch_or(event::SIGNAL, Relaxed);
    rseq_handle_notify_resume(cur, sig, regs);
}

/// User mode is about to run. `sig`: in this signal's handler, or 0.
pub fn rseq_handle_notify_resume(cur: Current, sig: i32, regs: &PtRegs) {
    if cur.pf.load(Relaxed) & pf::EXITING != 0 {
        return;
    }
    let (at, _) = cur.rseq.get();
    if ip_fixup(cur, at, regs).and_then(|()| update_cpu_id(at)).is_err() {
        force_sigsegv(sig);
    }
}

/// Tells on which CPU the thread runs.
fn update_cpu_id(at: usize) -> Result {
    if !access_ok(at, RSEQ_SIZE as usize) {
        return Err(EFAULT);
    }
    put_user(at + CPU_ID_START, &0u32)?;
    put_user(at + CPU_ID, &0u32)
}

/// A critical section (`struct rseq_cs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Section {
    flags: u32,
    start_ip: u64,
    post_commit_offset: u64,
    abort_ip: u64,
}

impl Section {
    /// Reads its fields, as far as they make sense (`rseq_get_rseq_cs`).
    fn new([version_flags, start_ip, post_commit_offset, abort_ip]: [u64; 4]) -> Result<Self> {
        let end = start_ip.wrapping_add(post_commit_offset);
        let outside = [start_ip, end, abort_ip].iter().any(|&ip| ip >= TASK_SIZE_MAX as u64);
        let (version, flags) = (version_flags as u32, (version_flags >> 32) as u32);
        let s = Self { flags, start_ip, post_commit_offset, abort_ip };
        if outside || version > 0 || end < start_ip || s.contains(abort_ip) {
            return Err(EINVAL);
        }
        Ok(s)
    }
    fn contains(&self, ip: u64) -> bool {
        ip.wrapping_sub(self.start_ip) < self.post_commit_offset
    }
}

/// The section that the thread says it is in.
fn current_section(cur: Current, at: usize) -> Result<Section> {
    let section: u64 = get_user(at + RSEQ_CS)?;
    if section == 0 {
        return Ok(Section::default());
    }
    if section >= TASK_SIZE_MAX as u64 {
        return Err(EINVAL);
    }
    let s = Section::new(get_user(section as usize)?)?;
    check_signature(cur, s.abort_ip.wrapping_sub(4) as usize)?;
    Ok(s)
}

/// The word before the place to go on at must be the program's signature, or any code that can
/// write to the thread's memory could choose that place.
fn check_signature(cur: Current, at: usize) -> Result {
    static ATTACKS: Ratelimit = Ratelimit::new(5000, 10);
    let (found, wanted): (u32, u32) = (get_user(at)?, cur.rseq.get().1);
    if found == wanted {
        return Ok(());
    }
    if ratelimit(&ATTACKS, "rseq_get_rseq_cs") {
        crate::pr_warn!(
            "Possible attack attempt. Unexpected rseq signature 0x{found:x}, expecting 0x{wanted:x} (pid={}, addr={}).\n",
            cur.pid(),
            HashedPtr(at)
        );
    }
    Err(EINVAL)
}

/// Says once what is wrong with the flags of `what`; whether anything is (`rseq_warn_flags`).
fn warn_flags(what: &str, flags: u32) -> bool {
    static DEPRECATED: AtomicBool = AtomicBool::new(false);
    static UNKNOWN: AtomicBool = AtomicBool::new(false);
    let (old, unknown) = (flags & NO_RESTART_FLAGS, flags & !NO_RESTART_FLAGS);
    if old != 0 && !DEPRECATED.swap(true, Relaxed) {
        crate::pr_warn!("Deprecated flags ({old}) in {what} ABI structure\n");
    }
    if unknown != 0 && !UNKNOWN.swap(true, Relaxed) {
        crate::pr_warn!("Unknown flags ({unknown}) in {what} ABI structure\n");
    }
    flags != 0
}

/// In a section, and something happened: it goes on where the section says (`rseq_ip_fixup`).
fn ip_fixup(cur: Current, at: usize, regs: &PtRegs) -> Result {
    let s = current_section(cur, at)?;
    if s.contains(regs.ip.get()) {
        if warn_flags("rseq_cs", s.flags) || warn_flags("rseq", get_user(at + FLAGS)?) {
            return Err(EINVAL);
        }
        if cur.rseq.events.swap(0, Relaxed) == 0 {
            return Ok(());
        }
        put_user(at + RSEQ_CS, &0u64)?;
        regs.ip.set(s.abort_ip);
        return Ok(());
    }
    put_user(at + RSEQ_CS, &0u64)
}

/// `rseq(2)`.
pub fn sys_rseq(at: usize, len: u32, flags: i32, sig: u32) -> Result<usize> {
    let cur = current();
    let (registered, its_sig) = cur.rseq.get();
    let unregister = flags == RSEQ_FLAG_UNREGISTER;
    if flags != 0 && !unregister {
        return Err(EINVAL);
    }
    if registered != 0 || unregister {
        if registered != at || registered == 0 || len != RSEQ_SIZE {
            return Err(EINVAL);
        }
        if its_sig != sig {
            return Err(EPERM);
        }
        if !unregister {
            return Err(EBUSY);
        }
        put_user(at + CPU_ID_START, &0u32)?;
        put_user(at + CPU_ID, &RSEQ_CPU_ID_UNINITIALIZED)?;
        forget(cur);
        return Ok(0);
    }
    register(cur, at, len, sig)
}

fn register(cur: Current, at: usize, len: u32, sig: u32) -> Result<usize> {
    if !at.is_multiple_of(RSEQ_SIZE as usize) || len != RSEQ_SIZE {
        return Err(EINVAL);
    }
    if !access_ok(at, len as usize) {
        return Err(EFAULT);
    }
    // What an earlier thread left there.
    if get_user::<u64>(at + RSEQ_CS)? != 0 {
        put_user(at + RSEQ_CS, &0u64)?;
    }
    cur.rseq.set(at, sig);
    // At address 0 there is nothing that could be registered.
    if at != 0 {
        cur.set_flag(tif::RSEQ | tif::NOTIFY_RESUME);
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_that_make_no_sense() {
        let new = |start, len, abort| Section::new([0, start, len, abort]);
        let s = new(0x1000, 0x10, 0x2000).unwrap();
        assert!(s.contains(0x1000) && s.contains(0x100f) && !s.contains(0x1010) && !s.contains(0xfff));
        assert!(!Section::default().contains(0));
        assert!(new(0x1000, 0x10, 0x1010).is_ok() && new(0x1000, 0x10, 0xfff).is_ok());
        assert_eq!(new(0x1000, 0x10, 0x1008), Err(EINVAL));
        assert_eq!(new(0x1000, u64::MAX - 0x800, 0x2000), Err(EINVAL));
        assert_eq!(new(1 << 48, 0x10, 0x2000), Err(EINVAL));
        assert_eq!(new(0x1000, 0x10, 1 << 63), Err(EINVAL));
        assert_eq!(Section::new([1, 0x1000, 0x10, 0x2000]), Err(EINVAL));
        assert_eq!(Section::new([3 << 32, 0x1000, 0x10, 0x2000]).unwrap().flags, 3);
    }
}
