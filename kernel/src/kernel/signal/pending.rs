// SPDX-License-Identifier: GPL-2.0-only
//! Pending signals: a set, and a queue with the information of those that have
//! any (`struct sigpending`).
//!
//! The signal that an instruction forces on its thread must not depend on the
//! heap, so a queue holds its oldest entry inline and spills only the others.
//! A POSIX timer's signal must not be lost either: the timer has a [`Sigqueue`]
//! from the start, and a place for it is kept free.
//! After Linux 6.1, `kernel/signal.c`, `__sigqueue_alloc`, `collect_signal`,
//! `flush_sigqueue_mask`.

use super::fatal::print_dropped_signal;
use super::siginfo::{KernelSiginfo, SI_TIMER, SI_USER, SigFields};
use super::sigset::{SYNCHRONOUS, SigSet, next_signal};
use super::{SigCell, Siglock};
use crate::errno::{EAGAIN, Result};
use crate::kernel::time::posix_timers::KItimer;
use crate::kernel::ucount::{UcountRlimit, Ucounts};
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};

/// One entry on a user's account, until it is dropped.
pub struct Charge {
    user: Arc<Ucounts>,
}

impl Charge {
    /// Fails at the user's limit.
    #[inline]
    pub fn new(sig: i32, limit: QueueLimit) -> Option<Self> {
        let count = limit.user.inc(UcountRlimit::Sigpending, 1);
        let c = Self { user: limit.user };
        if !limit.override_rlimit && count > limit.limit {
            print_dropped_signal(sig);
            return None;
        }
        Some(c)
    }
}

impl Drop for Charge {
    #[inline]
    fn drop(&mut self) {
        self.user.dec(UcountRlimit::Sigpending, 1);
    }
}

/// The one entry that a POSIX timer's signal has in a queue, made with the timer
/// (`struct sigqueue` with `SIGQUEUE_PREALLOC`).
pub struct Sigqueue {
    _charge: Charge,
    timer: Weak<KItimer>,
    /// Whether the entry is in a queue; under the siglock.
    queued: AtomicBool,
    /// How often the timer expired while it was.
    overrun: AtomicI32,
}

impl Sigqueue {
    /// The entry of a timer (`sigqueue_alloc`).
    pub fn new(charge: Charge, timer: Weak<KItimer>) -> Arc<Self> {
        let (queued, overrun) = (AtomicBool::new(false), AtomicI32::new(0));
        Arc::new(Self { _charge: charge, timer, queued, overrun })
    }
    /// If it is in a queue already: counts one more expiry.
    pub(super) fn count_overrun(&self, _: &Siglock) -> bool {
        let queued = self.queued.load(Relaxed);
        if queued {
            self.overrun.fetch_add(1, Relaxed);
        }
        queued
    }
}

/// Whose place in a queue it is.
enum Place {
    /// One of the user's.
    Charged(#[allow(dead_code)] Charge),
    /// A timer's.
    Timer(Arc<Sigqueue>),
}

/// A queued signal.
struct Queued {
    info: KernelSiginfo,
    place: Place,
}

impl Queued {
    /// The information as of now: a timer may have expired once more.
    fn info(&self) -> KernelSiginfo {
        match &self.place {
            Place::Charged(_) => self.info,
            Place::Timer(q) => self.info.with_overrun(q.overrun.load(Relaxed)),
        }
    }
    /// Puts the information as of now into `info`; returns the timer that sent it, unless that was
    /// deleted.
    #[inline]
    fn leave(&self, info: &mut KernelSiginfo) -> Option<Arc<KItimer>> {
        *info = self.info;
        match &self.place {
            Place::Charged(_) => None,
            Place::Timer(q) => {
                *info = self.info();
                q.timer.upgrade()
            }
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Place::Timer(q) = &self.place {
            q.queued.store(false, Relaxed);
        }
    }
}

/// First in, first out; the oldest entry may be inline.
#[derive(Default)]
struct Queue {
    /// Older than everything in `rest`.
    first: Option<Queued>,
    rest: VecDeque<Queued>,
    /// Timers whose signals come here: each has room for one entry, whatever else is queued.
    timers: usize,
}

/// What [`Queue::take`] has found beside the information.
struct Taken {
    timer: Option<Arc<KItimer>>,
    /// Whether another one is queued for the same signal.
    more: bool,
}

impl Queue {
    /// Appends an entry; fails if there is no memory for it.
    #[inline(always)]
    fn push(&mut self, info: &KernelSiginfo, place: Place) -> bool {
        if self.first.is_none() && self.rest.is_empty() {
            self.first = Some(Queued { info: *info, place });
            return true;
        }
        self.push_later(Queued { info: *info, place })
    }

    #[cold]
    fn push_later(&mut self, q: Queued) -> bool {
        let room = matches!(q.place, Place::Timer(_)) || self.rest.try_reserve(1 + self.timers).is_ok();
        if room {
            self.rest.push_back(q);
        }
        room
    }

    fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.first.iter().chain(self.rest.iter())
    }

    /// Removes the oldest entry that `pick` accepts, and puts its information into `info`: the only
    /// copy that is made of it.
    #[inline]
    fn take(&mut self, pick: impl Fn(&KernelSiginfo) -> bool, info: &mut KernelSiginfo) -> Option<Taken> {
        let timer = match &self.first {
            Some(q) if pick(&q.info) => {
                let timer = q.leave(info);
                self.first = None;
                timer
            }
            _ => self.remove_later(&pick)?.leave(info),
        };
        let is_left = |q: &Queued| q.info.si_signo == info.si_signo;
        let more = self.first.as_ref().is_some_and(is_left)
            || !self.rest.is_empty() && self.rest.iter().any(is_left);
        Some(Taken { timer, more })
    }

    #[cold]
    fn remove_later(&mut self, pick: &dyn Fn(&KernelSiginfo) -> bool) -> Option<Queued> {
        let i = self.rest.iter().position(|q| pick(&q.info))?;
        self.rest.remove(i)
    }

    fn remove(&mut self, which: impl Fn(&KernelSiginfo) -> bool) {
        self.rest.retain(|q| !which(&q.info));
        if self.first.as_ref().is_some_and(|q| which(&q.info)) {
            self.first = None;
        }
    }
}

/// Whether an entry may be queued for a user beyond what the limit allows.
pub struct QueueLimit {
    /// The account of the receiver's real user.
    pub user: Arc<Ucounts>,
    /// `RLIMIT_SIGPENDING` of the receiver.
    pub limit: u64,
    /// Queue it whatever the limit says.
    pub override_rlimit: bool,
}

/// The signals pending for a thread or for a whole process.
#[derive(Default)]
pub struct SigPending {
    /// Written under the siglock only; looked at without it.
    set: AtomicU64,
    queue: SigCell<Queue>,
}

impl SigPending {
    /// The pending signals.
    #[inline]
    pub fn set(&self) -> SigSet {
        SigSet(self.set.load(Relaxed))
    }
    /// Marks `sig` as pending.
    #[inline]
    pub fn add(&self, _: &Siglock, sig: i32) {
        self.set.store(self.set().union(SigSet::of(sig)).0, Relaxed);
    }
    /// Marks `sig` as not pending any more.
    #[inline]
    pub fn del(&self, _: &Siglock, sig: i32) {
        self.set.store(self.set().without(SigSet::of(sig)).0, Relaxed);
    }

    /// Queues a signal's information. Fails at the user's limit, or without memory.
    #[inline]
    pub fn enqueue(&self, l: &Siglock, info: &KernelSiginfo, limit: QueueLimit) -> bool {
        let Some(charge) = Charge::new(info.si_signo, limit) else { return false };
        self.queue.lock(l).push(info, Place::Charged(charge))
    }

    /// Keeps room for one more timer's signal.
    ///
    /// # Errors
    /// `EAGAIN` without memory.
    pub fn reserve_for_timer(&self, l: &Siglock) -> Result {
        let mut q = self.queue.lock(l);
        let timers = q.timers + 1;
        q.rest.try_reserve(timers).map_err(|_| EAGAIN)?;
        q.timers = timers;
        Ok(())
    }
    /// A timer is gone whose signals came here.
    pub fn unreserve(&self, l: &Siglock) {
        self.queue.lock(l).timers -= 1;
    }
    /// Queues a timer's signal in the place that is kept for it.
    pub(super) fn enqueue_timer(&self, l: &Siglock, info: &KernelSiginfo, q: &Arc<Sigqueue>) {
        q.queued.store(true, Relaxed);
        q.overrun.store(0, Relaxed);
        self.queue.lock(l).push(info, Place::Timer(q.clone()));
    }

    /// The queued information number `at`, oldest first.
    pub fn nth(&self, l: &Siglock, at: usize) -> Option<KernelSiginfo> {
        self.queue.lock(l).iter().nth(at).map(Queued::info)
    }

    /// Takes the next signal that `blocked` lets through, and puts its information into `info`;
    /// false if there is none.
    #[inline]
    pub fn dequeue(&self, l: &Siglock, blocked: SigSet, info: &mut KernelSiginfo) -> bool {
        let sig = next_signal(self.set(), blocked);
        if sig == 0 {
            return false;
        }
        let Some(Taken { timer, more }) = self.queue.lock(l).take(|i| i.si_signo == sig, info) else {
            // Sent without information, or there was no room for it.
            self.del(l, sig);
            *info = KernelSiginfo::new(sig, SI_USER, SigFields::Kill { pid: 0, uid: 0 });
            return true;
        };
        if !more {
            self.del(l, sig);
        }
        if let Some(timer) = timer {
            timer.rearm(l, info);
        }
        true
    }

    /// Takes the oldest signal that an instruction of this thread raised: those
    /// come before all others, so that the frame shows the state that they are
    /// about (Linux 6.1, `kernel/signal.c`, `dequeue_synchronous_signal`).
    #[inline]
    pub fn dequeue_synchronous(&self, l: &Siglock, blocked: SigSet, info: &mut KernelSiginfo) -> bool {
        if self.set().without(blocked).and(SYNCHRONOUS).is_empty() {
            return false;
        }
        let of_cpu = |i: &KernelSiginfo| i.si_code > SI_USER && SYNCHRONOUS.contains(i.si_signo);
        let Some(Taken { more, .. }) = self.queue.lock(l).take(of_cpu, info) else { return false };
        if !more {
            self.del(l, info.si_signo);
        }
        true
    }

    /// Forgets the pending signals of `mask`.
    pub fn flush(&self, l: &Siglock, mask: SigSet) {
        if self.set().and(mask).is_empty() {
            return;
        }
        self.set.store(self.set().without(mask).0, Relaxed);
        self.queue.lock(l).remove(|i| mask.contains(i.si_signo));
    }

    /// Forgets what timers have sent (`__flush_itimer_signals`).
    pub fn flush_timers(&self, l: &Siglock) {
        let mut q = self.queue.lock(l);
        let signals = |of_timer: bool| {
            let which = |q: &&Queued| (q.info.si_code == SI_TIMER) == of_timer;
            q.iter().filter(which).fold(SigSet::EMPTY, |s, q| s.union(SigSet::of(q.info.si_signo)))
        };
        let gone = signals(true).without(signals(false));
        q.remove(|i| i.si_code == SI_TIMER);
        self.set.store(self.set().without(gone).0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::siginfo::SI_QUEUE;
    use super::super::sigset::{SIGILL, SIGSEGV, SIGUSR1};
    use super::*;

    fn rt(sig: i32, value: u64) -> KernelSiginfo {
        KernelSiginfo::new(sig, SI_QUEUE, SigFields::Rt { pid: 1, uid: 0, value })
    }

    fn limit(uid: u32, limit: u64) -> QueueLimit {
        QueueLimit { user: Ucounts::of(uid), limit, override_rlimit: false }
    }

    fn dequeue(p: &SigPending, l: &Siglock, blocked: SigSet) -> Option<KernelSiginfo> {
        let mut info = KernelSiginfo::default();
        p.dequeue(l, blocked, &mut info).then_some(info)
    }

    fn dequeue_synchronous(p: &SigPending, l: &Siglock, blocked: SigSet) -> Option<KernelSiginfo> {
        let mut info = KernelSiginfo::default();
        p.dequeue_synchronous(l, blocked, &mut info).then_some(info)
    }

    fn send(p: &SigPending, l: &Siglock, info: KernelSiginfo) {
        assert!(p.enqueue(l, &info, limit(9, u64::MAX)));
        p.add(l, info.si_signo);
    }

    #[test]
    fn realtime_signals_keep_their_order() {
        super::super::with_test_lock(|l| {
            let p = SigPending::default();
            for (sig, v) in [(35, 1), (34, 1), (35, 2), (34, 2), (35, 3)] {
                send(&p, l, rt(sig, v));
            }
            let mut got = std::vec::Vec::new();
            while let Some(i) = dequeue(&p, l, SigSet::EMPTY) {
                got.push((i.si_signo, i.fields[1]));
            }
            assert_eq!(got, [(34, 1), (34, 2), (35, 1), (35, 2), (35, 3)]);
            assert!(p.set().is_empty());
        });
    }

    #[test]
    fn inline_slot_is_always_the_oldest() {
        super::super::with_test_lock(|l| {
            let p = SigPending::default();
            send(&p, l, rt(34, 1));
            send(&p, l, rt(35, 2));
            send(&p, l, rt(35, 3));
            assert_eq!(dequeue(&p, l, SigSet::of(35)).unwrap().fields[1], 1);
            // The slot is free, but the queue is not: a new entry goes to the end.
            send(&p, l, rt(35, 4));
            let got: std::vec::Vec<_> =
                core::iter::from_fn(|| dequeue(&p, l, SigSet::EMPTY)).map(|i| i.fields[1]).collect();
            assert_eq!(got, [2, 3, 4]);
        });
    }

    #[test]
    fn limit_is_per_user_and_released_on_delivery() {
        super::super::with_test_lock(|l| {
            let p = SigPending::default();
            let q = SigPending::default();
            let user = Ucounts::of(77);
            let all = || user.get(UcountRlimit::Sigpending);
            assert!(p.enqueue(l, &rt(34, 1), limit(77, 2)));
            assert!(q.enqueue(l, &rt(34, 2), limit(77, 2)));
            assert!(!q.enqueue(l, &rt(34, 3), limit(77, 2)));
            assert!(q.enqueue(l, &rt(34, 3), QueueLimit { override_rlimit: true, ..limit(77, 2) }));
            assert_eq!(all(), 3);
            q.add(l, 34);
            dequeue(&q, l, SigSet::EMPTY);
            assert_eq!(all(), 2);
            q.flush(l, SigSet::ALL);
            drop(p);
            assert_eq!(all(), 0);
        });
    }

    #[test]
    fn signals_without_information_look_like_kill() {
        super::super::with_test_lock(|l| {
            let p = SigPending::default();
            p.add(l, SIGUSR1);
            let i = dequeue(&p, l, SigSet::EMPTY).unwrap();
            assert_eq!((i.si_signo, i.si_code, i.fields[0]), (SIGUSR1, SI_USER, 0));
            assert!(dequeue(&p, l, SigSet::EMPTY).is_none());
        });
    }

    #[test]
    fn an_instructions_signal_overtakes_forged_ones() {
        super::super::with_test_lock(|l| {
            let p = SigPending::default();
            send(&p, l, KernelSiginfo::new(SIGILL, SI_USER, SigFields::Kill { pid: 1, uid: 0 }));
            send(&p, l, KernelSiginfo::fault(SIGSEGV, 1, 0x1000));
            assert_eq!(dequeue_synchronous(&p, l, SigSet::EMPTY).unwrap().si_signo, SIGSEGV);
            assert!(dequeue_synchronous(&p, l, SigSet::EMPTY).is_none());
            assert_eq!(dequeue(&p, l, SigSet::EMPTY).unwrap().si_signo, SIGILL);
        });
    }
}
