// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for several files (Linux 6.1, `fs/select.c`).

use crate::arch::x86::lib::usercopy::{access_ok, copy_from_user, copy_to_user, get_user, put_user};
use crate::errno::{EBADF, EFAULT, EINTR, EINVAL, ENOMEM, ERESTARTNOHAND, Result};
use crate::fs::file::{current_files, fget};
use crate::fs::file_table::{File, poll};
use crate::kernel::sched::set_current_state;
use crate::kernel::signal::mask::restore_saved_sigmask_unless;
use crate::kernel::signal::restart_block::set_restart_fn;
use crate::kernel::signal::state::rlimit;
use crate::kernel::signal::{set_user_sigmask, signal_pending};
use crate::kernel::task::{TASK_INTERRUPTIBLE, TASK_RUNNING, current};
use crate::kernel::time::TimeAbi;
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::wait::{WaitFn, WaitQueue, schedule_hrtimeout};
use crate::mm::util::kvcalloc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// A queue that somebody keeps, or that is always there.
enum Queue {
    Shared(Arc<WaitQueue>),
    Static(&'static WaitQueue),
    Of(Arc<dyn WaitQueues>, usize),
}

/// Something that has several queues of its own.
pub trait WaitQueues: Send + Sync {
    /// One of them.
    fn queue(&self, which: usize) -> &WaitQueue;
}

impl Queue {
    fn get(&self) -> &WaitQueue {
        match self {
            Self::Shared(q) => q,
            Self::Static(q) => q,
            Self::Of(owner, which) => owner.queue(*which),
        }
    }
}

/// Who stands in the queues of a [`PollTable`].
enum Poller {
    /// Nobody, or nobody more.
    Closed,
    Task,
    /// What is called for epoll; whether one of its kind is enough.
    Call(Arc<dyn WaitFn>, bool),
}

/// The queues that a polling task stands in.
pub struct PollTable {
    who: Poller,
    queues: Vec<Queue>,
    /// There was no memory to stand in a queue.
    error: bool,
}

impl PollTable {
    fn new(who: Poller) -> Self {
        Self { who, queues: Vec::new(), error: false }
    }
    /// A table for asking only.
    pub fn none() -> Self {
        Self::new(Poller::Closed)
    }
    /// A table for something that is called from then on until the table is dropped.
    pub fn call(f: Arc<dyn WaitFn>, exclusive: bool) -> Self {
        Self::new(Poller::Call(f, exclusive))
    }
    /// Whether there was no memory for a place in a queue.
    pub fn failed(&self) -> bool {
        self.error
    }

    fn stand_in(&mut self, q: Queue) {
        if self.queues.try_reserve(1).is_err() {
            self.error = true;
            return;
        }
        let r = match &self.who {
            Poller::Closed => return,
            Poller::Task => q.get().try_add(),
            Poller::Call(f, exclusive) => q.get().try_add_call(f, *exclusive),
        };
        match r {
            Ok(()) => self.queues.push(q),
            Err(_) => self.error = true,
        }
    }
    /// A polling task has found something, or has been everywhere: it stands in no more queues.
    fn close(&mut self) {
        self.who = Poller::Closed;
    }
    fn is_open(&self) -> bool {
        !matches!(self.who, Poller::Closed)
    }

    /// The task is to be woken by `queue` as well.
    pub fn wait(&mut self, queue: &Arc<WaitQueue>) {
        if self.is_open() {
            self.stand_in(Queue::Shared(queue.clone()));
        }
    }
    /// The same for one of several queues.
    pub fn wait_of<T: WaitQueues + 'static>(&mut self, owner: &Arc<T>, which: usize) {
        if self.is_open() {
            self.stand_in(Queue::Of(owner.clone(), which));
        }
    }
    /// The same for a queue that is always there.
    pub fn wait_static(&mut self, queue: &'static WaitQueue) {
        if self.is_open() {
            self.stand_in(Queue::Static(queue));
        }
    }
}

impl Drop for PollTable {
    fn drop(&mut self) {
        for q in &self.queues {
            match &self.who {
                Poller::Call(f, _) => q.get().remove_call(f),
                Poller::Task | Poller::Closed => q.get().remove(),
            }
        }
    }
}

/// Asks all files in turn until one has something to say: `ask` returns how many
/// have. `ERESTARTNOHAND` when a signal comes, 0 when `deadline` passes.
fn wait_for(deadline: u64, mut ask: impl FnMut(&mut PollTable) -> usize) -> Result<usize> {
    let mut table = PollTable::new(if deadline == 0 { Poller::Closed } else { Poller::Task });
    let mut timed_out = deadline == 0;
    let r = loop {
        set_current_state(TASK_INTERRUPTIBLE);
        let n = ask(&mut table);
        table.close();
        if n != 0 || timed_out {
            break Ok(n);
        }
        if table.error {
            break Err(ENOMEM);
        }
        if signal_pending(&current()) {
            break Err(ERESTARTNOHAND);
        }
        timed_out = schedule_hrtimeout(deadline);
    };
    set_current_state(TASK_RUNNING);
    r
}

/// `struct pollfd`.
#[repr(C)]
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct PollFd {
    fd: i32,
    events: u16,
    revents: u16,
}

fn do_sys_poll(ufds: usize, nfds: usize, deadline: u64) -> Result<usize> {
    if nfds as u64 > rlimit(rlimit::NOFILE) {
        return Err(EINVAL);
    }
    let mut fds: Vec<PollFd> = kvcalloc(nfds)?;
    copy_from_user(fds.as_mut_slice().as_mut_bytes(), ufds)?;
    let mut files: Vec<Option<Arc<File>>> = kvcalloc(nfds)?;
    for (f, p) in files.iter_mut().zip(&fds) {
        *f = fget(p.fd).ok();
    }
    let r = wait_for(deadline, |table| {
        let mut count = 0;
        for (p, f) in fds.iter_mut().zip(&files) {
            let wanted = u32::from(p.events) | poll::ERR | poll::HUP;
            let got = match f {
                Some(f) => f.vfs_poll(table) & wanted,
                None if p.fd >= 0 => poll::NVAL,
                None => 0,
            };
            p.revents = got as u16;
            count += usize::from(got != 0);
            // Nobody waits in a queue once there is something to tell.
            if count != 0 {
                table.close();
            }
        }
        count
    });
    // Also where there is nothing to write (`user_write_access_begin`).
    if !access_ok(ufds, fds.len() * size_of::<PollFd>()) {
        return Err(EFAULT);
    }
    for (i, p) in fds.iter().enumerate() {
        put_user(ufds + i * size_of::<PollFd>() + 6, &p.revents)?;
    }
    r
}

/// The end of a wait that lasts `ns` from now.
fn deadline_after(ns: u64) -> u64 {
    if ns == 0 { 0 } else { ktime_get().saturating_add(ns) }
}

/// `poll(2)`.
pub fn sys_poll(ufds: usize, nfds: usize, timeout_ms: i32) -> Result<usize> {
    let deadline = match timeout_ms {
        ..0 => u64::MAX,
        ms => deadline_after(ms as u64 * 1_000_000),
    };
    poll_or_restart(ufds, nfds as u32 as usize, deadline)
}

fn poll_or_restart(ufds: usize, nfds: usize, deadline: u64) -> Result<usize> {
    do_sys_poll(ufds, nfds, deadline).map_err(|e| {
        if e == ERESTARTNOHAND {
            let args = [ufds as u64, nfds as u64, deadline, 0, 0];
            set_restart_fn(&current(), |a| poll_or_restart(a[0] as usize, a[1] as usize, a[2]), args)
        } else {
            e
        }
    })
}

/// A program's time to wait, in either of two units, which is told how much was left.
struct Timeout {
    addr: usize,
    abi: TimeAbi,
    /// Nanoseconds in the second word's unit.
    unit: u64,
    deadline: u64,
}

impl Timeout {
    fn read(addr: usize, unit: u64, abi: TimeAbi) -> Result<Self> {
        if addr == 0 {
            return Ok(Self { addr, abi, unit, deadline: u64::MAX });
        }
        let [sec, frac] = abi.get(addr)?;
        // A timeval may have more than a second's worth of microseconds.
        let sec = if unit == 1 { sec } else { sec.saturating_add(frac / 1_000_000) };
        let frac = if unit == 1 { frac } else { frac % 1_000_000 };
        if sec < 0 || !(0..(NSEC_PER_SEC / unit) as i64).contains(&frac) {
            return Err(EINVAL);
        }
        let ns = (sec as u64).saturating_mul(NSEC_PER_SEC).saturating_add(frac as u64 * unit);
        Ok(Self { addr, abi, unit, deadline: deadline_after(ns) })
    }
    /// Writes what is left, and puts the signal mask back (`poll_select_finish`).
    fn finish(&self, r: Result<usize>) -> Result<usize> {
        restore_saved_sigmask_unless(r == Err(ERESTARTNOHAND));
        if self.addr == 0 {
            return r;
        }
        let left = if self.deadline == 0 { 0 } else { self.deadline.saturating_sub(ktime_get()) };
        let words = [(left / NSEC_PER_SEC) as i64, (left % NSEC_PER_SEC / self.unit) as i64];
        match self.abi.put(self.addr, words) {
            // Where nothing can be written the call cannot be restarted either.
            Err(_) if r == Err(ERESTARTNOHAND) => Err(EINTR),
            _ => r,
        }
    }
}

/// `ppoll(2)`.
pub fn sys_ppoll(ufds: usize, nfds: usize, uts: usize, umask: usize, sigsetsize: usize) -> Result<usize> {
    ppoll(ufds, nfds, (uts, TimeAbi::Time64), umask, sigsetsize)
}

/// [`sys_ppoll`] with a time of either width.
pub fn ppoll(
    ufds: usize,
    nfds: usize,
    (uts, abi): (usize, TimeAbi),
    umask: usize,
    sigsetsize: usize,
) -> Result<usize> {
    let t = Timeout::read(uts, 1, abi)?;
    set_user_sigmask(umask, sigsetsize)?;
    t.finish(do_sys_poll(ufds, nfds as u32 as usize, t.deadline))
}

/// Three sets of descriptors: to be read, to be written, with something special.
struct FdSets {
    n: usize,
    /// Bytes of a set in the program's memory: whole words, which i386 has smaller ones of.
    user_bytes: usize,
    sets: [Vec<u8>; 3],
}

const IN_SET: u32 = poll::RDNORM | poll::RDBAND | poll::IN | poll::HUP | poll::ERR;
const OUT_SET: u32 = poll::WRBAND | poll::WRNORM | poll::OUT | poll::ERR;
const EX_SET: u32 = poll::PRI;

impl FdSets {
    fn read(n: i32, addrs: [usize; 3], word: usize) -> Result<Self> {
        let n = usize::try_from(n).map_err(|_| EINVAL)?.min(current_files().capacity().max(64));
        let bytes = n.div_ceil(64) * 8;
        let user_bytes = n.div_ceil(8 * word) * word;
        let mut sets = [kvcalloc(bytes)?, kvcalloc(bytes)?, kvcalloc(bytes)?];
        for (s, &a) in sets.iter_mut().zip(&addrs) {
            if a != 0 {
                copy_from_user(&mut s[..user_bytes], a)?;
            }
        }
        Ok(Self { n, user_bytes, sets })
    }
    fn has(&self, set: usize, fd: usize) -> bool {
        self.sets[set][fd / 8] & 1 << (fd % 8) != 0
    }
    fn wait(&self, deadline: u64) -> Result<(usize, [Vec<u8>; 3])> {
        let mut files = Vec::new();
        files.try_reserve_exact(self.n).map_err(|_| ENOMEM)?;
        for fd in (0..self.n).filter(|&fd| (0..3).any(|s| self.has(s, fd))) {
            files.push((fd, fget(fd as i32).map_err(|_| EBADF)?));
        }
        let bytes = self.sets[0].len();
        let mut out = [kvcalloc(bytes)?, kvcalloc(bytes)?, kvcalloc(bytes)?];
        let n = wait_for(deadline, |table| {
            for s in &mut out {
                s.fill(0);
            }
            let mut count = 0;
            for (fd, f) in &files {
                let got = f.vfs_poll(table);
                for (set, mask) in [IN_SET, OUT_SET, EX_SET].into_iter().enumerate() {
                    if got & mask != 0 && self.has(set, *fd) {
                        out[set][fd / 8] |= 1 << (fd % 8);
                        count += 1;
                    }
                }
                if count != 0 {
                    table.close();
                }
            }
            count
        })?;
        Ok((n, out))
    }
}

fn core_sys_select(n: i32, addrs: [usize; 3], word: usize, deadline: u64) -> Result<usize> {
    let sets = FdSets::read(n, addrs, word)?;
    let (count, out) = sets.wait(deadline)?;
    for (s, &a) in out.iter().zip(&addrs) {
        if a != 0 {
            copy_to_user(a, &s[..sets.user_bytes]).map_err(|_| EFAULT)?;
        }
    }
    Ok(count)
}

/// `select(2)`.
pub fn sys_select(n: i32, inp: usize, outp: usize, exp: usize, utv: usize) -> Result<usize> {
    let t = Timeout::read(utv, 1000, TimeAbi::Time64)?;
    t.finish(core_sys_select(n, [inp, outp, exp], size_of::<u64>(), t.deadline))
}

/// `select(2)` with sets and a time of i386's (`compat_sys_select`).
pub fn compat_sys_select(n: i32, inp: usize, outp: usize, exp: usize, utv: usize) -> Result<usize> {
    let t = Timeout::read(utv, 1000, TimeAbi::Time32)?;
    t.finish(core_sys_select(n, [inp, outp, exp], size_of::<u32>(), t.deadline))
}

/// The same, with its arguments in memory (`compat_sys_old_select`).
pub fn compat_sys_old_select(arg: usize) -> Result<usize> {
    let [n, inp, outp, exp, utv]: [u32; 5] = get_user(arg)?;
    compat_sys_select(n as i32, inp as usize, outp as usize, exp as usize, utv as usize)
}

/// `pselect6(2)` with sets of i386's, a time of either width, and a mask at an address of 32 bits
/// (`do_compat_pselect`).
pub fn compat_pselect(n: i32, sets: [usize; 3], (uts, abi): (usize, TimeAbi), usig: usize) -> Result<usize> {
    let [mask, size]: [u32; 2] = if usig == 0 { [0, 0] } else { get_user(usig)? };
    let t = Timeout::read(uts, 1, abi)?;
    set_user_sigmask(mask as usize, size as usize)?;
    t.finish(core_sys_select(n, sets, size_of::<u32>(), t.deadline))
}

/// `pselect6(2)`.
pub fn sys_pselect6(n: i32, inp: usize, outp: usize, exp: usize, uts: usize, usig: usize) -> Result<usize> {
    let [mask, size]: [usize; 2] = if usig == 0 { [0, 0] } else { get_user(usig)? };
    let t = Timeout::read(uts, 1, TimeAbi::Time64)?;
    set_user_sigmask(mask, size)?;
    t.finish(core_sys_select(n, [inp, outp, exp], size_of::<u64>(), t.deadline))
}
