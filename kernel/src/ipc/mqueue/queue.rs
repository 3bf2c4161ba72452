// SPDX-License-Identifier: GPL-2.0-only
//! A queue: messages by priority, who waits for them, and who is told that there is one.

use crate::errno::{
    EAGAIN, EBUSY, EINVAL, EMFILE, ENOMEM, ENOSPC, EOVERFLOW, ERESTARTSYS, ETIMEDOUT, Result,
};
use crate::fs::file_table::poll;
use crate::ipc::util::room;
use crate::kernel::capability::capable;
use crate::kernel::fork::find_task;
use crate::kernel::sched::{set_current_state, wake_up_process};
use crate::kernel::signal::send::{SendInfo, do_send_sig_info};
use crate::kernel::signal::siginfo::{KernelSiginfo, SigFields};
use crate::kernel::signal::state::rlimit;
use crate::kernel::signal::{PidType, SignalStruct, rlimit as r, signal_pending};
use crate::kernel::task::{TASK_INTERRUPTIBLE, TASK_RUNNING, Task, current};
use crate::kernel::time::hrtimer::ClockBase;
use crate::kernel::ucount::{Charge, UcountRlimit};
use crate::kernel::wait::{WaitQueue, schedule_hrtimeout_on};
use crate::locking::SpinLock;
use crate::mm::util::try_push;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use linux_raw_sys::general::{CAP_SYS_RESOURCE, SIGEV_SIGNAL};

/// Limits of `/proc/sys/fs/mqueue`.
pub static QUEUES_MAX: AtomicUsize = AtomicUsize::new(256);
#[allow(missing_docs)]
pub static MSG_MAX: AtomicUsize = AtomicUsize::new(10);
#[allow(missing_docs)]
pub static MSGSIZE_MAX: AtomicUsize = AtomicUsize::new(8192);
#[allow(missing_docs)]
pub static MSG_DEFAULT: AtomicUsize = AtomicUsize::new(10);
#[allow(missing_docs)]
pub static MSGSIZE_DEFAULT: AtomicUsize = AtomicUsize::new(8192);
/// What not even root exceeds: messages, and bytes of one.
pub const HARD_MSGMAX: usize = 65536;
#[allow(missing_docs)]
pub const HARD_MSGSIZEMAX: usize = 16 << 20;
/// Priorities are smaller.
pub const MQ_PRIO_MAX: u32 = 32768;
/// What Linux counts for a message, and for a priority, beside the text.
const HEADER: usize = 48;

/// The signal's `si_code`.
const SI_MESGQ: i32 = -3;

/// Queues that there are.
static QUEUES: AtomicUsize = AtomicUsize::new(0);

/// A message.
pub struct Msg {
    /// The higher, the sooner it is received.
    pub prio: u32,
    /// What it says.
    pub text: Vec<u8>,
}

/// Who waits: to receive, or to send this message.
struct Waiter {
    task: Arc<Task>,
    prio: u32,
    msg: SpinLock<Option<Msg>>,
    ready: SpinLock<bool>,
}

impl Waiter {
    fn new(msg: Option<Msg>) -> Arc<Self> {
        let task = current().to_arc();
        let prio = task.se.prio();
        Arc::new(Self { task, prio, msg: SpinLock::new(msg), ready: SpinLock::new(false) })
    }
    fn finish(&self) {
        *self.ready.lock() = true;
        wake_up_process(&self.task);
    }
}

/// Takes who is served next: the most urgent one, of those the oldest (`wq_get_first_waiter`).
fn first_waiter(all: &mut Vec<Arc<Waiter>>) -> Option<Arc<Waiter>> {
    let i = all.iter().enumerate().min_by_key(|(i, w)| (w.prio, *i))?.0;
    Some(all.remove(i))
}

/// Who is told, and how.
pub struct Notify {
    owner: Weak<SignalStruct>,
    tgid: i32,
    kind: u32,
    signo: i32,
    value: u64,
    /// How often it had called `execve`: another program does not expect the signal.
    execs: u32,
}

impl Notify {
    /// The current process, by a `struct sigevent`'s fields.
    pub fn new(kind: u32, signo: i32, value: u64) -> Self {
        let cur = current();
        Self {
            owner: Arc::downgrade(&cur.signal),
            tgid: cur.tgid,
            kind,
            signo,
            value,
            execs: cur.signal.did_exec.load(Relaxed),
        }
    }
    fn is_of_current(&self) -> bool {
        core::ptr::eq(self.owner.as_ptr(), Arc::as_ptr(&current().signal))
    }
    /// Sends the signal (`__do_notify`).
    fn send(self) {
        if self.kind != SIGEV_SIGNAL || self.signo == 0 {
            return;
        }
        let cur = current();
        let (pid, uid) = (cur.tgid, cur.cred.get().uid);
        let rt = SigFields::Rt { pid, uid, value: self.value };
        let info = KernelSiginfo::new(self.signo, SI_MESGQ, rt);
        if let Some(t) = find_task(self.tgid)
            && core::ptr::eq(self.owner.as_ptr(), Arc::as_ptr(&t.signal))
            && t.signal.did_exec.load(Relaxed) == self.execs
        {
            let _ = do_send_sig_info(self.signo, SendInfo::Info(&info), &t, PidType::Tgid);
        }
    }
}

#[derive(Default)]
struct State {
    /// By priority, each in the order in which they came.
    messages: BTreeMap<u32, VecDeque<Msg>>,
    count: usize,
    bytes: usize,
    receivers: Vec<Arc<Waiter>>,
    senders: Vec<Arc<Waiter>>,
    notify: Option<Notify>,
}

impl State {
    /// Queues a message; gives it back if there is no memory for that.
    fn insert(&mut self, msg: Msg) -> Result<(), Msg> {
        let of_prio = self.messages.entry(msg.prio).or_default();
        if of_prio.try_reserve(1).is_err() {
            if of_prio.is_empty() {
                self.messages.remove(&msg.prio);
            }
            return Err(msg);
        }
        self.count += 1;
        self.bytes += msg.text.len();
        of_prio.push_back(msg);
        Ok(())
    }
    /// The first of those who wait to send does so. Without memory it waits on
    /// (`pipelined_receive`).
    fn serve_sender(&mut self, w: Arc<Waiter>) {
        let msg = w.msg.lock().take();
        match msg.map_or(Ok(()), |msg| self.insert(msg)) {
            Ok(()) => w.finish(),
            Err(msg) => {
                *w.msg.lock() = Some(msg);
                // There is room where it was taken from; it stays before those as urgent.
                self.senders.insert(0, w);
            }
        }
    }
    /// The message of who waits to send though there is none in the queue: there was no memory to put
    /// it there.
    fn take_from_sender(&mut self) -> Option<Msg> {
        let w = first_waiter(&mut self.senders)?;
        let msg = w.msg.lock().take();
        w.finish();
        msg
    }
    /// Takes the oldest of the most important ones (`msg_get`).
    fn take(&mut self) -> Option<Msg> {
        let mut last = self.messages.last_entry()?;
        let msg = last.get_mut().pop_front();
        if last.get().is_empty() {
            last.remove();
        }
        let msg = msg?;
        self.count -= 1;
        self.bytes -= msg.text.len();
        Some(msg)
    }
}

/// How many messages of which size a queue may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Attr {
    pub maxmsg: usize,
    pub msgsize: usize,
}

impl Attr {
    /// As `struct mq_attr` has them; or the default ones.
    pub fn new(words: Option<[i64; 2]>) -> Result<Self> {
        let default = |default: &AtomicUsize, max: &AtomicUsize| default.load(Relaxed).min(max.load(Relaxed));
        let Some(words) = words else {
            return Ok(Self {
                maxmsg: default(&MSG_DEFAULT, &MSG_MAX),
                msgsize: default(&MSGSIZE_DEFAULT, &MSGSIZE_MAX),
            });
        };
        let [maxmsg, msgsize] = words.map(|w| usize::try_from(w).ok().filter(|&n| n != 0));
        let a = Self { maxmsg: maxmsg.ok_or(EINVAL)?, msgsize: msgsize.ok_or(EINVAL)? };
        let (most, largest) = if capable(CAP_SYS_RESOURCE) {
            (HARD_MSGMAX, HARD_MSGSIZEMAX)
        } else {
            (MSG_MAX.load(Relaxed), MSGSIZE_MAX.load(Relaxed))
        };
        if a.maxmsg > most || a.msgsize > largest { Err(EINVAL) } else { Ok(a) }
    }
    /// What a full queue needs.
    fn bytes(self) -> Result<usize> {
        let headers = self.maxmsg * HEADER + self.maxmsg.min(MQ_PRIO_MAX as usize) * HEADER;
        self.msgsize.checked_mul(self.maxmsg).and_then(|n| n.checked_add(headers)).ok_or(EOVERFLOW)
    }
}

/// A queue (`struct mqueue_inode_info`).
pub struct Queue {
    /// Its limits.
    pub attr: Attr,
    /// The bytes that it may need, on its maker's account.
    _charge: Charge,
    state: SpinLock<State>,
    /// Who polls.
    pub wait: Arc<WaitQueue>,
}

impl Queue {
    /// A new one of the current user's (`mqueue_create_attr`, `mqueue_get_inode`).
    ///
    /// # Errors
    /// `ENOSPC` if there are too many, `EMFILE` at `RLIMIT_MSGQUEUE`, `EINVAL`, `ENOMEM`.
    pub fn new(words: Option<[i64; 2]>) -> Result<Arc<Self>> {
        if QUEUES.load(Relaxed) >= QUEUES_MAX.load(Relaxed) && !capable(CAP_SYS_RESOURCE) {
            return Err(ENOSPC);
        }
        let attr = Attr::new(words)?;
        let bytes = attr.bytes()?;
        room()?;
        let user = current().cred.get().ucounts.clone();
        let charge = Charge::new(user, UcountRlimit::Msgqueue, bytes as u64);
        if charge.is_over(rlimit(r::MSGQUEUE)) {
            return Err(EMFILE);
        }
        QUEUES.fetch_add(1, Relaxed);
        let (state, wait) = (SpinLock::new(State::default()), Arc::default());
        Ok(Arc::new(Self { attr, _charge: charge, state, wait }))
    }

    /// How many messages are in it.
    pub fn curmsgs(&self) -> usize {
        self.state.lock().count
    }

    /// Sends (`do_mq_timedsend`), waiting for room until `deadline` of the wall clock unless `nonblock`.
    pub fn send(&self, msg: Msg, nonblock: bool, deadline: u64) -> Result {
        let waiter = {
            let mut s = self.state.lock();
            if s.count < self.attr.maxmsg {
                if let Some(w) = first_waiter(&mut s.receivers) {
                    *w.msg.lock() = Some(msg);
                    w.finish();
                    return Ok(());
                }
                s.insert(msg).map_err(|_| ENOMEM)?;
                // Who is told is told of the first message only, and once.
                let told = if s.count == 1 { s.notify.take() } else { None };
                drop(s);
                if let Some(n) = told {
                    n.send();
                }
                self.wait.wake_up_poll(poll::IN | poll::RDNORM);
                return Ok(());
            }
            if nonblock {
                return Err(EAGAIN);
            }
            let w = Waiter::new(Some(msg));
            try_push(&mut s.senders, w.clone())?;
            w
        };
        self.sleep(&waiter, deadline)
    }

    /// Receives the most important message (`do_mq_timedreceive`).
    pub fn receive(&self, nonblock: bool, deadline: u64) -> Result<Msg> {
        let waiter = {
            let mut s = self.state.lock();
            if let Some(msg) = s.take() {
                if let Some(w) = first_waiter(&mut s.senders) {
                    s.serve_sender(w);
                } else {
                    drop(s);
                    self.wait.wake_up_poll(poll::OUT | poll::WRNORM);
                }
                return Ok(msg);
            }
            if let Some(msg) = s.take_from_sender() {
                return Ok(msg);
            }
            if nonblock {
                return Err(EAGAIN);
            }
            let w = Waiter::new(None);
            try_push(&mut s.receivers, w.clone())?;
            w
        };
        self.sleep(&waiter, deadline)?;
        let msg = waiter.msg.lock().take();
        msg.ok_or(EAGAIN)
    }

    /// Waits until somebody has served the waiter (`wq_sleep`).
    fn sleep(&self, w: &Arc<Waiter>, deadline: u64) -> Result {
        let mut timed_out = false;
        loop {
            set_current_state(TASK_INTERRUPTIBLE);
            if *w.ready.lock() || timed_out || signal_pending(&current()) {
                break;
            }
            timed_out = schedule_hrtimeout_on(ClockBase::Real, deadline);
        }
        set_current_state(TASK_RUNNING);
        let mut s = self.state.lock();
        if *w.ready.lock() {
            return Ok(());
        }
        let other = |x: &Arc<Waiter>| !Arc::ptr_eq(x, w);
        s.senders.retain(other);
        s.receivers.retain(other);
        Err(if signal_pending(&current()) { ERESTARTSYS } else { ETIMEDOUT })
    }

    /// Has the current process be told of the next message in an empty queue, or no more
    /// (`do_mq_notify`).
    pub fn set_notify(&self, n: Option<Notify>) -> Result {
        let mut s = self.state.lock();
        match n {
            None if s.notify.as_ref().is_some_and(Notify::is_of_current) => s.notify = None,
            None => {}
            Some(_) if s.notify.is_some() => return Err(EBUSY),
            Some(n) => s.notify = Some(n),
        }
        Ok(())
    }

    /// What reading it says: bytes, and who is told (`mqueue_read_file`).
    pub fn status(&self) -> alloc::string::String {
        let s = self.state.lock();
        let n = s.notify.as_ref();
        let kind = n.map_or(0, |n| n.kind);
        let signo = n.filter(|n| n.kind == SIGEV_SIGNAL).map_or(0, |n| n.signo);
        let pid = n.map_or(0, |n| n.tgid);
        alloc::format!("QSIZE:{:<10} NOTIFY:{kind:<5} SIGNO:{signo:<5} NOTIFY_PID:{pid:<6}\n", s.bytes)
    }

    /// What can be done without waiting (`mqueue_poll_file`).
    pub fn poll(&self) -> u32 {
        let count = self.curmsgs();
        let readable = if count > 0 { poll::IN | poll::RDNORM } else { 0 };
        let writable = if count < self.attr.maxmsg { poll::OUT | poll::WRNORM } else { 0 };
        readable | writable
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        QUEUES.fetch_sub(1, Relaxed);
    }
}

#[cfg(target_os = "none")]
#[path = "queue_kunit.rs"]
mod kunit;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_important_comes_first() {
        let mut s = State::default();
        for (prio, text) in [(1, "a"), (5, "b"), (1, "c"), (5, "d")] {
            assert!(s.insert(Msg { prio, text: text.into() }).is_ok());
        }
        assert_eq!((s.count, s.bytes), (4, 4));
        let mut order = Vec::new();
        while let Some(m) = s.take() {
            order.extend(m.text);
        }
        assert_eq!((order.as_slice(), s.count, s.bytes, s.messages.len()), (&b"bdac"[..], 0, 0, 0));
    }

    #[test]
    fn what_a_queue_needs() {
        assert_eq!(Attr { maxmsg: 10, msgsize: 8192 }.bytes(), Ok(81920 + 960));
        assert_eq!(Attr { maxmsg: 2, msgsize: usize::MAX }.bytes(), Err(EOVERFLOW));
    }
}
