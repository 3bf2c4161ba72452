// SPDX-License-Identifier: GPL-2.0-only
//! Messages in queues (Linux 6.1, `ipc/msg.c`).

use super::util::{By, IPC_NOWAIT, Ipc, IpcIds, S_IRUGO, S_IWUGO, cmd, now, room, stat};
use crate::arch::x86::lib::usercopy::{copy_from_user, copy_to_user, get_user, put_user};
use crate::errno::{E2BIG, EAGAIN, EFAULT, EIDRM, EINVAL, ENOMSG, EPERM, ERESTARTNOHAND, Errno, Result};
use crate::kernel::capability::capable;
use crate::kernel::sched::{schedule, set_current_state, wake_up_process};
use crate::kernel::signal::signal_pending;
use crate::kernel::task::{TASK_INTERRUPTIBLE, TASK_RUNNING, Task, current};
use crate::locking::SpinLock;
use crate::mm::util::{kvcalloc, try_push};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use linux_raw_sys::general::CAP_SYS_RESOURCE;

/// Limits: `/proc/sys/kernel/{msgmax,msgmnb,msgmni}`: bytes of a message, of a queue, queues.
pub static MSGMAX: AtomicUsize = AtomicUsize::new(8192);
#[allow(missing_docs)]
pub static MSGMNB: AtomicUsize = AtomicUsize::new(16384);
#[allow(missing_docs)]
pub static MSGMNI: AtomicUsize = AtomicUsize::new(32000);

const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;

const MSG_NOERROR: u32 = 0o10000;
const MSG_EXCEPT: u32 = 0o20000;
const MSG_COPY: u32 = 0o40000;

/// A message.
struct Msg {
    kind: i64,
    text: Vec<u8>,
}

/// Which messages one wants (`convert_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Any,
    Equal(i64),
    NotEqual(i64),
    /// Of those no greater than this, the least.
    LessEqual(i64),
    /// The message at this place.
    Number(i64),
}

impl Want {
    fn new(kind: i64, flags: u32) -> Self {
        match () {
            () if flags & MSG_COPY != 0 => Self::Number(kind),
            () if kind == 0 => Self::Any,
            () if kind < 0 => Self::LessEqual(kind.checked_neg().unwrap_or(i64::MAX)),
            () if flags & MSG_EXCEPT != 0 => Self::NotEqual(kind),
            () => Self::Equal(kind),
        }
    }
    fn takes(self, kind: i64) -> bool {
        match self {
            Self::Any | Self::Number(_) => true,
            Self::Equal(k) => kind == k,
            Self::NotEqual(k) => kind != k,
            Self::LessEqual(k) => kind <= k,
        }
    }
    /// Which of these it is (`find_msg`).
    fn find(self, kinds: impl Iterator<Item = i64>) -> Option<usize> {
        let mut fitting = kinds.enumerate().filter(|(_, kind)| self.takes(*kind));
        match self {
            Self::LessEqual(_) => fitting.min_by_key(|(i, kind)| (*kind, *i)),
            Self::Number(n) => fitting.nth(usize::try_from(n).ok()?),
            _ => fitting.next(),
        }
        .map(|(i, _)| i)
    }
}

/// How a receiver's wait ended.
type Received = core::result::Result<Msg, Errno>;

struct Receiver {
    task: Arc<Task>,
    want: Want,
    max: usize,
    done: SpinLock<Option<Received>>,
}

impl Receiver {
    fn finish(&self, how: Received) {
        *self.done.lock() = Some(how);
        wake_up_process(&self.task);
    }
}

struct Sender {
    task: Arc<Task>,
    len: usize,
}

/// A queue (`struct msg_queue`).
#[allow(missing_docs)]
pub struct MsgQueue {
    pub stime: u64,
    pub rtime: u64,
    pub ctime: u64,
    pub cbytes: usize,
    pub lspid: i32,
    pub lrpid: i32,
    qbytes: usize,
    messages: VecDeque<Msg>,
    receivers: Vec<Arc<Receiver>>,
    senders: Vec<Arc<Sender>>,
}

impl MsgQueue {
    /// How many messages there are.
    pub fn qnum(&self) -> usize {
        self.messages.len()
    }
    /// Whether one more message of this size may be in it (`msg_fits_inqueue`).
    fn fits(&self, len: usize) -> bool {
        self.cbytes + len <= self.qbytes && self.qnum() < self.qbytes
    }
    /// Wakes who could send now (`ss_wakeup`).
    fn wake_senders(&self) {
        self.senders.iter().filter(|s| self.fits(s.len)).for_each(|s| {
            wake_up_process(&s.task);
        });
    }
    /// Tells everybody who waits for a message that there will be none (`expunge_all`).
    fn expunge(&mut self, why: Errno) {
        self.receivers.drain(..).for_each(|r| r.finish(Err(why)));
    }
    /// Gives a message to one who waits for it, or returns it (`pipelined_send`).
    fn hand_over(&mut self, msg: Msg) -> Option<Msg> {
        while let Some(i) = self.receivers.iter().position(|r| r.want.takes(msg.kind)) {
            let r = self.receivers.remove(i);
            if msg.text.len() > r.max {
                r.finish(Err(E2BIG));
                continue;
            }
            (self.lrpid, self.rtime) = (r.task.pid(), now());
            r.finish(Ok(msg));
            return None;
        }
        Some(msg)
    }
    /// What `struct msqid64_ds` has behind the permissions.
    fn words(&self) -> [u64; 15] {
        let mut w = [0; 15];
        w[6..9].copy_from_slice(&[self.stime, self.rtime, self.ctime]);
        w[9..12].copy_from_slice(&[self.cbytes as u64, self.qnum() as u64, self.qbytes as u64]);
        w[12] = u64::from(self.lspid.cast_unsigned()) | u64::from(self.lrpid.cast_unsigned()) << 32;
        w
    }
}

static MSG_IDS: SpinLock<IpcIds<MsgQueue>> = SpinLock::new(IpcIds::NONE);

/// Calls `f` for every queue.
pub fn for_each(f: impl FnMut(&Ipc<MsgQueue>)) {
    MSG_IDS.lock().iter().for_each(f);
}

/// A new queue (`newque`).
fn newque(ids: &mut IpcIds<MsgQueue>, key: i32, flags: u32) -> Result<i32> {
    let queue = MsgQueue {
        stime: 0,
        rtime: 0,
        ctime: now(),
        cbytes: 0,
        lspid: 0,
        lrpid: 0,
        qbytes: MSGMNB.load(Relaxed),
        messages: VecDeque::new(),
        receivers: Vec::new(),
        senders: Vec::new(),
    };
    ids.add(key, flags, MSGMNI.load(Relaxed), queue)
}

/// `msgget(2)`.
pub fn sys_msgget(key: i32, flags: u32) -> Result<usize> {
    let id = MSG_IDS.lock().get(key, flags, |_| Ok(()), |ids| newque(ids, key, flags))?;
    Ok(id as usize)
}

/// Sends, or says whom to wait as.
fn try_send(id: i32, msg: &mut Option<Msg>, len: usize, nowait: bool) -> Result<Option<Arc<Sender>>> {
    let mut ids = MSG_IDS.lock();
    let q = ids.find_again(id)?;
    q.perm.check(S_IWUGO)?;
    if !q.fits(len) {
        if nowait {
            return Err(EAGAIN);
        }
        let s = Arc::new(Sender { task: current().to_arc(), len });
        try_push(&mut q.senders, s.clone())?;
        return Ok(Some(s));
    }
    q.messages.try_reserve(1).map_err(|_| crate::errno::ENOMEM)?;
    (q.lspid, q.stime) = (current().tgid, now());
    if let Some(msg) = msg.take().and_then(|msg| q.hand_over(msg)) {
        q.cbytes += len;
        q.messages.push_back(msg);
    }
    Ok(None)
}

/// `msgsnd(2)` (`do_msgsnd`).
pub fn sys_msgsnd(id: i32, buf: usize, len: usize, flags: u32) -> Result<usize> {
    let kind: i64 = get_user(buf)?;
    if len > MSGMAX.load(Relaxed) || len.cast_signed() < 0 || id < 0 || kind < 1 {
        return Err(EINVAL);
    }
    room()?;
    let mut text = kvcalloc(len)?;
    copy_from_user(&mut text, buf.wrapping_add(8))?;
    let mut msg = Some(Msg { kind, text });
    MSG_IDS.lock().find(id)?;
    loop {
        set_current_state(TASK_INTERRUPTIBLE);
        let sent = try_send(id, &mut msg, len, flags & IPC_NOWAIT != 0);
        let Ok(Some(s)) = sent else {
            set_current_state(TASK_RUNNING);
            return sent.map(|_| 0);
        };
        if !signal_pending(&current()) {
            schedule();
        }
        set_current_state(TASK_RUNNING);
        MSG_IDS.lock().find_again(id)?.senders.retain(|x| !Arc::ptr_eq(x, &s));
        if signal_pending(&current()) {
            return Err(ERESTARTNOHAND);
        }
    }
}

/// What a receiver asked for.
struct Asked {
    want: Want,
    len: usize,
    flags: u32,
}

impl Asked {
    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
    /// Takes a message out of a queue; `None` if there is none.
    fn take(&self, q: &mut MsgQueue) -> Result<Option<Msg>> {
        let Some(i) = self.want.find(q.messages.iter().map(|m| m.kind)) else { return Ok(None) };
        let len = q.messages[i].text.len();
        if self.len < len && !self.has(MSG_NOERROR) {
            return Err(E2BIG);
        }
        if self.has(MSG_COPY) {
            if self.len.min(MSGMAX.load(Relaxed)) < len {
                return Err(EINVAL);
            }
            let m = &q.messages[i];
            return Ok(Some(Msg { kind: m.kind, text: crate::mm::util::kmemdup(&m.text)? }));
        }
        let msg = q.messages.remove(i);
        q.cbytes -= len;
        (q.rtime, q.lrpid) = (now(), current().tgid);
        q.wake_senders();
        Ok(msg)
    }
    /// Receives, or says whom to wait as.
    fn attempt(&self, id: i32) -> Result<core::result::Result<Msg, Arc<Receiver>>> {
        let mut ids = MSG_IDS.lock();
        let q = ids.find_again(id)?;
        q.perm.check(S_IRUGO)?;
        if let Some(msg) = self.take(q)? {
            return Ok(Ok(msg));
        }
        if self.has(IPC_NOWAIT) {
            return Err(ENOMSG);
        }
        let max = if self.has(MSG_NOERROR) { i32::MAX as usize } else { self.len };
        let (task, done) = (current().to_arc(), SpinLock::new(None));
        let r = Arc::new(Receiver { task, want: self.want, max, done });
        try_push(&mut q.receivers, r.clone())?;
        Ok(Err(r))
    }
    fn receive(&self, id: i32) -> Result<Msg> {
        loop {
            set_current_state(TASK_INTERRUPTIBLE);
            let r = match self.attempt(id) {
                Ok(Err(r)) => r,
                ended => {
                    set_current_state(TASK_RUNNING);
                    return ended.and_then(|got| got.map_err(|_| EAGAIN));
                }
            };
            if !signal_pending(&current()) {
                schedule();
            }
            set_current_state(TASK_RUNNING);
            let mut ids = MSG_IDS.lock();
            if let Ok(q) = ids.find(id) {
                q.receivers.retain(|x| !Arc::ptr_eq(x, &r));
            }
            let done = r.done.lock().take();
            drop(ids);
            match done {
                // Who may receive has changed.
                Some(Err(EAGAIN)) => {}
                Some(how) => return how,
                None if signal_pending(&current()) => return Err(ERESTARTNOHAND),
                None => {}
            }
        }
    }
}

/// `msgrcv(2)` (`do_msgrcv`).
pub fn sys_msgrcv(id: i32, buf: usize, len: usize, kind: i64, flags: u32) -> Result<usize> {
    if id < 0 || len.cast_signed() < 0 {
        return Err(EINVAL);
    }
    if flags & MSG_COPY != 0 {
        if flags & MSG_EXCEPT != 0 || flags & IPC_NOWAIT == 0 {
            return Err(EINVAL);
        }
        // Linux makes a message of what is there before it copies into it.
        let mut there = kvcalloc(len.min(MSGMAX.load(Relaxed)))?;
        copy_from_user(&mut there, buf)?;
    }
    MSG_IDS.lock().find(id)?;
    let msg = Asked { want: Want::new(kind, flags), len, flags }.receive(id)?;
    put_user(buf, &msg.kind)?;
    let n = msg.text.len().min(len);
    copy_to_user(buf.checked_add(8).ok_or(EFAULT)?, &msg.text[..n])?;
    Ok(n)
}

/// The limits, or what is used, as `struct msginfo` has them; and the highest index.
fn info(used: bool) -> ([i32; 8], usize) {
    let ids = MSG_IDS.lock();
    let n = |limit: &AtomicUsize| limit.load(Relaxed) as i32;
    let (pool, map, all) = if used {
        let messages: usize = ids.iter().map(|q| q.qnum()).sum();
        let bytes: usize = ids.iter().map(|q| q.cbytes).sum();
        (ids.in_use() as i32, messages as i32, bytes as i32)
    } else {
        (32000 * 16384 / 1024, 16384, 16384)
    };
    // The last is a half word: segments that there could be once.
    ([pool, map, n(&MSGMAX), n(&MSGMNB), n(&MSGMNI), 16, all, 0xffff], ids.max_idx())
}

/// `IPC_SET`.
fn set(id: i32, words: &[u64; 15]) -> Result<usize> {
    let mut ids = MSG_IDS.lock();
    let q = ids.find_owned(id)?;
    // Linux takes it as an `int`.
    let qbytes = words[11] as i32 as usize;
    if qbytes > MSGMNB.load(Relaxed) && !capable(CAP_SYS_RESOURCE) {
        return Err(EPERM);
    }
    q.perm.update(words)?;
    (q.qbytes, q.ctime) = (qbytes, now());
    // Who waits to receive may not any more; who waits to send may be able to.
    q.expunge(EAGAIN);
    q.wake_senders();
    Ok(0)
}

/// `IPC_RMID` (`freeque`).
fn rmid(id: i32) -> Result<usize> {
    let mut ids = MSG_IDS.lock();
    let mut gone = ids.remove_owned(id)?;
    gone.expunge(EIDRM);
    gone.senders.iter().for_each(|s| {
        wake_up_process(&s.task);
    });
    Ok(0)
}

/// `msgctl(2)`.
pub fn sys_msgctl(id: i32, command: i32, buf: usize) -> Result<usize> {
    if id < 0 || command < 0 {
        return Err(EINVAL);
    }
    match command {
        cmd::IPC_INFO | MSG_INFO => {
            let (words, highest) = info(command == MSG_INFO);
            put_user(buf, &words)?;
            Ok(highest)
        }
        cmd::IPC_STAT => stat(&MSG_IDS, (id, By::Id), buf, |q| q.words()),
        MSG_STAT => stat(&MSG_IDS, (id, By::Index), buf, |q| q.words()),
        MSG_STAT_ANY => stat(&MSG_IDS, (id, By::AnyIndex), buf, |q| q.words()),
        cmd::IPC_SET => set(id, &get_user(buf)?),
        cmd::IPC_RMID => rmid(id),
        _ => Err(EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_message_is_wanted() {
        let find = |kind, flags| Want::new(kind, flags).find([5, 3, 9, 3].into_iter());
        assert_eq!(find(0, 0), Some(0));
        assert_eq!(find(3, 0), Some(1));
        assert_eq!(find(5, MSG_EXCEPT), Some(1));
        assert_eq!(find(-8, 0), Some(1));
        assert_eq!(find(-2, 0), None);
        assert_eq!(find(4, 0), None);
        assert_eq!(find(2, MSG_COPY), Some(2));
        assert_eq!(find(4, MSG_COPY), None);
        assert_eq!(find(-1, MSG_COPY), None);
        assert_eq!(Want::new(i64::MIN, 0), Want::LessEqual(i64::MAX));
    }
}
