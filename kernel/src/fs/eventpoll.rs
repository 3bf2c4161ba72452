// SPDX-License-Identifier: GPL-2.0-only
//! epoll: waiting for many files, at a cost that does not depend on how many (Linux 6.1,
//! `fs/eventpoll.c`).
//!
//! An [`EpItem`] stands in the wait queues of its file from the moment it is added. What wakes
//! those puts it on its epoll's ready list; `epoll_wait` asks only what is there. An item that is
//! level-triggered goes back to the list's end after it was told, until its file has nothing to
//! say any more.
//!
//! An epoll may watch others, four deep and without loops ([`paths`]). Locks: the items, a file's
//! own list of items, and then, with interrupts off: the file's wait queue, the ready list, the
//! wait queue of the epoll.

mod paths;

use crate::arch::x86::lib::usercopy::{access_ok, get_user, put_user};
use crate::errno::{EEXIST, EFAULT, EINTR, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM, Result};
use crate::fs::anon_inodes::anon_inode_getfile;
use crate::fs::file::{fd_install, fget};
use crate::fs::file_table::{Abilities, File, FileOps, Seeking, poll};
use crate::fs::select::PollTable;
use crate::fs::seq_file::SeqFile;
use crate::kernel::sched::set_current_state;
use crate::kernel::signal::mask::restore_saved_sigmask_unless;
use crate::kernel::signal::{fatal_signal_pending, set_user_sigmask, signal_pending};
use crate::kernel::task::{TASK_INTERRUPTIBLE, TASK_RUNNING, current};
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::time::{TimeAbi, Timespec};
use crate::kernel::wait::{WaitFn, WaitQueue, schedule_hrtimeout};
use crate::locking::{IrqLock, SpinLock};
use crate::mm::page_alloc::{PAGE_SIZE, totalram_pages};
use crate::mm::util::try_push;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use linux_raw_sys::general::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, O_CLOEXEC};
use paths::LoopMark;

const EPOLLEXCLUSIVE: u32 = 1 << 28;
const EPOLLWAKEUP: u32 = 1 << 29;
const EPOLLONESHOT: u32 = 1 << 30;
const EPOLLET: u32 = 1 << 31;
/// What is not an event (`EP_PRIVATE_BITS`).
const PRIVATE_BITS: u32 = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
const INOUT: u32 = poll::IN | poll::OUT;
/// What `EPOLLEXCLUSIVE` may come with.
const EXCLUSIVE_OK: u32 = INOUT | poll::ERR | poll::HUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

/// Bytes of a program's `struct epoll_event`, which has no padding on x86.
const EVENT_SIZE: usize = 12;
/// Most events of one call (`EP_MAX_EVENTS`).
const MAX_EVENTS: i32 = i32::MAX / EVENT_SIZE as i32;

/// Items that each user has.
static WATCHES: SpinLock<BTreeMap<u32, usize>> = SpinLock::new(BTreeMap::new());

/// Most items of a user: they may take a 25th of the memory (`max_user_watches`).
fn max_user_watches() -> usize {
    totalram_pages() * PAGE_SIZE / 25 / size_of::<EpItem>()
}

/// One item on its user's account.
struct Watch {
    uid: u32,
}

impl Watch {
    fn charge(uid: u32) -> Result<Self> {
        let mut users = WATCHES.lock();
        let n = users.entry(uid).or_insert(0);
        if *n >= max_user_watches() {
            return Err(ENOSPC);
        }
        *n += 1;
        Ok(Self { uid })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut users = WATCHES.lock();
        if let Some(n) = users.get_mut(&self.uid) {
            *n -= 1;
            if *n == 0 {
                users.remove(&self.uid);
            }
        }
    }
}

/// A file and the descriptor that it was added by: one file may be added by several.
type Key = (usize, i32);

fn key(file: &Arc<File>, fd: i32) -> Key {
    (Arc::as_ptr(file).addr(), fd)
}

/// A file that an epoll watches (`struct epitem`).
pub struct EpItem {
    ep: Arc<EventPoll>,
    file: Weak<File>,
    key: Key,
    /// What it is watched for; nothing but private bits once a one-shot item was told.
    events: AtomicU32,
    /// The program's.
    data: AtomicU64,
    /// Whether it is on the ready list, and whether it was removed: under that list's lock.
    linked: AtomicBool,
    dead: AtomicBool,
    /// The queues that it stands in.
    hooks: SpinLock<Option<PollTable>>,
    _watch: Watch,
}

/// What an epoll file is about (`struct eventpoll`).
pub struct EventPoll {
    items: SpinLock<BTreeMap<Key, Arc<EpItem>>>,
    /// Has room for all items, so that a wake-up needs no memory.
    ready: IrqLock<VecDeque<Arc<EpItem>>>,
    /// Who is in `epoll_wait`.
    wait: WaitQueue,
    /// Who polls the epoll itself.
    poll_wait: Arc<WaitQueue>,
    /// Whose account its items are on.
    uid: u32,
    file: spin::Once<Weak<File>>,
    mark: LoopMark,
}

/// The open file of an epoll; when it goes, so do the items.
struct EpFile(Arc<EventPoll>);

impl EpItem {
    fn events(&self) -> u32 {
        self.events.load(Relaxed)
    }
    /// Which of the wanted events there are (`ep_item_poll`).
    fn poll(&self, table: &mut PollTable) -> u32 {
        // A file that is just going away has nothing to say.
        self.file.upgrade().map_or(0, |f| f.vfs_poll(table) & self.events())
    }
    /// Puts the item at the end of the ready list unless it is there, with that list's lock.
    fn link(self: &Arc<Self>, ready: &mut VecDeque<Arc<Self>>) {
        if !self.dead.load(Relaxed) && !self.linked.swap(true, Relaxed) {
            ready.push_back(self.clone());
        }
    }
    /// The item was found to have events.
    fn make_ready(self: &Arc<Self>) {
        self.link(&mut self.ep.ready.lock());
        self.ep.wait.wake_up();
        self.ep.poll_wait.wake_up_poll(poll::IN);
    }
}

impl WaitFn for EpItem {
    /// Its file has woken those who wait for it (`ep_poll_callback`).
    fn wake(self: Arc<Self>, events: u32) -> bool {
        let wanted = self.events();
        let shared = wanted & EPOLLEXCLUSIVE == 0;
        let disabled = wanted & !PRIVATE_BITS == 0;
        if disabled || events != 0 && events & wanted == 0 {
            return shared;
        }
        let mut ready = self.ep.ready.lock();
        self.link(&mut ready);
        let anybody = self.ep.wait.is_active();
        self.ep.wait.wake_up();
        drop(ready);
        self.ep.poll_wait.wake_up_poll(poll::IN);
        let news = events & INOUT;
        shared || anybody && (news == 0 || news != INOUT && news & wanted != 0)
    }
}

impl EventPoll {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            items: SpinLock::default(),
            ready: IrqLock::default(),
            wait: WaitQueue::new(),
            poll_wait: Arc::default(),
            uid: current().cred.lock().uid,
            file: spin::Once::new(),
            mark: LoopMark::default(),
        })
    }

    /// Makes room on the ready list for one more item.
    fn reserve(&self) -> Result {
        let wanted = self.items.lock().len() + 1;
        let mut ready = self.ready.lock();
        let more = wanted.saturating_sub(ready.len());
        ready.try_reserve(more).map_err(|_| ENOMEM)
    }

    /// Adds a file (`ep_insert`).
    fn insert(self: &Arc<Self>, file: &Arc<File>, fd: i32, (events, data): (u32, u64)) -> Result {
        let watch = Watch::charge(self.uid)?;
        self.reserve()?;
        let item = Arc::new(EpItem {
            ep: self.clone(),
            file: Arc::downgrade(file),
            key: key(file, fd),
            events: AtomicU32::new(events),
            data: AtomicU64::new(data),
            linked: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            hooks: SpinLock::new(None),
            _watch: watch,
        });
        try_push(&mut file.f_ep.lock(), item.clone())?;
        self.items.lock().insert(item.key, item.clone());
        if let Err(e) = paths::reverse_path_check(self, file) {
            item.remove();
            return Err(e);
        }
        let mut table = PollTable::call(item.clone(), events & EPOLLEXCLUSIVE != 0);
        let now = item.poll(&mut table);
        let failed = table.failed();
        *item.hooks.lock() = Some(table);
        if failed {
            item.remove();
            return Err(ENOMEM);
        }
        if now != 0 {
            item.make_ready();
        }
        Ok(())
    }

    /// Takes the first item off the ready list.
    fn next_ready(&self) -> Option<Arc<EpItem>> {
        let mut ready = self.ready.lock();
        let item = ready.pop_front()?;
        item.linked.store(false, Relaxed);
        Some(item)
    }
    /// Puts an item back to where [`EventPoll::next_ready`] took it.
    fn put_back(&self, item: Arc<EpItem>) {
        let mut ready = self.ready.lock();
        if !item.dead.load(Relaxed) && !item.linked.swap(true, Relaxed) {
            ready.push_front(item);
        }
    }

    /// Tells what is ready, up to `max` events; how many (`ep_send_events`).
    fn send_events(&self, mut to: usize, max: usize) -> Result<usize> {
        if fatal_signal_pending(&current()) {
            return Err(EINTR);
        }
        let mut sent = 0;
        // What is put back on the list is not asked again.
        let n = self.ready.lock().len();
        for _ in 0..n {
            if sent == max {
                break;
            }
            let Some(item) = self.next_ready() else { break };
            let events = item.poll(&mut PollTable::none());
            if events == 0 {
                continue;
            }
            if let Err(e) = put_event(to, events, item.data.load(Relaxed)) {
                self.put_back(item);
                return if sent == 0 { Err(e) } else { Ok(sent) };
            }
            to += EVENT_SIZE;
            sent += 1;
            let wanted = item.events();
            if wanted & EPOLLONESHOT != 0 {
                item.events.store(wanted & PRIVATE_BITS, Relaxed);
            } else if wanted & EPOLLET == 0 {
                item.link(&mut self.ready.lock());
            }
        }
        // The next one that waits may have what is left.
        let ready = self.ready.lock();
        if !ready.is_empty() {
            self.wait.wake_up();
        }
        Ok(sent)
    }

    /// Waits for events until `deadline`; 0 is not at all (`ep_poll`).
    fn poll_events(&self, to: usize, max: usize, deadline: u64) -> Result<usize> {
        let mut timed_out = deadline == 0;
        loop {
            if !self.ready.lock().is_empty() {
                let n = self.send_events(to, max)?;
                if n != 0 {
                    return Ok(n);
                }
            }
            if timed_out {
                return Ok(0);
            }
            if signal_pending(&current()) {
                return Err(EINTR);
            }
            set_current_state(TASK_INTERRUPTIBLE);
            let waits = {
                let ready = self.ready.lock();
                if ready.is_empty() { self.wait.try_add_exclusive().map(|()| true) } else { Ok(false) }
            };
            if waits == Ok(true) {
                timed_out = schedule_hrtimeout(deadline);
                self.wait.remove();
            }
            set_current_state(TASK_RUNNING);
            waits?;
        }
    }
}

impl EpItem {
    /// It is watched no more (`ep_remove`).
    fn remove(self: &Arc<Self>) {
        let mut ready = self.ep.ready.lock();
        if self.dead.swap(true, Relaxed) {
            return;
        }
        if self.linked.swap(false, Relaxed) {
            ready.retain(|i| !Arc::ptr_eq(i, self));
        }
        drop(ready);
        // From here on nobody wakes it.
        drop(self.hooks.lock().take());
        self.ep.items.lock().remove(&self.key);
        if let Some(f) = self.file.upgrade() {
            f.f_ep.lock().retain(|i| !Arc::ptr_eq(i, self));
        }
    }
}

/// A file's last descriptor is closed: whoever watches it forgets it (`eventpoll_release`).
#[inline]
pub fn eventpoll_release(file: &File) {
    if !file.f_ep.lock().is_empty() {
        release_file(file);
    }
}

#[cold]
fn release_file(file: &File) {
    let items = core::mem::take(&mut *file.f_ep.lock());
    for i in items {
        i.remove();
    }
}

impl Drop for EpFile {
    fn drop(&mut self) {
        // Each item is let go after the lock.
        while let Some(item) = { self.0.items.lock().first_key_value().map(|(_, i)| i.clone()) } {
            item.remove();
        }
    }
}

impl FileOps for EpFile {
    fn abilities(&self) -> Abilities {
        Abilities { seeking: Seeking::Ignored, reads: false, writes: false, ..Abilities::DEFAULT }
    }
    fn poll(&self, _: &File, table: &mut PollTable) -> Option<u32> {
        let ep = &self.0;
        table.wait(&ep.poll_wait);
        let n = ep.ready.lock().len();
        for _ in 0..n {
            let Some(item) = ep.next_ready() else { break };
            if item.poll(&mut PollTable::none()) != 0 {
                ep.put_back(item);
                return Some(poll::IN | poll::RDNORM);
            }
        }
        Some(0)
    }
    fn show_fdinfo(&self, _: &File, out: &mut SeqFile) {
        for i in self.0.items.lock().values() {
            let Some(f) = i.file.upgrade() else { continue };
            let (events, data, pos) = (i.events(), i.data.load(Relaxed), *f.pos.lock());
            let (ino, dev) = (f.inode.ino, f.inode.sb.dev.0);
            writeln!(
                out,
                "tfd: {:8} events: {events:8x} data: {data:16x}  pos:{pos} ino:{ino:x} sdev:{dev:x}",
                i.key.1
            );
        }
    }
    fn as_any(&self) -> Option<&dyn core::any::Any> {
        Some(self)
    }
}

/// The epoll of an open file, if it is one (`is_file_epoll`).
fn epoll_of(f: &File) -> Option<&Arc<EventPoll>> {
    f.op.as_any()?.downcast_ref::<EpFile>().map(|e| &e.0)
}

fn put_event(at: usize, events: u32, data: u64) -> Result {
    put_user(at, &[events, data as u32, (data >> 32) as u32])
}

/// `epoll_create1(2)`.
pub fn sys_epoll_create1(flags: u32) -> Result<usize> {
    if flags & !O_CLOEXEC != 0 {
        return Err(EINVAL);
    }
    let ep = EventPoll::new();
    let file = anon_inode_getfile("[eventpoll]", Arc::new(EpFile(ep.clone())), 0);
    ep.file.call_once(|| Arc::downgrade(&file));
    Ok(fd_install(file, flags)? as usize)
}

/// `epoll_create(2)`: the size has no meaning any more.
pub fn sys_epoll_create(size: i32) -> Result<usize> {
    if size <= 0 { Err(EINVAL) } else { sys_epoll_create1(0) }
}

/// What `EPOLLEXCLUSIVE` must not come with.
fn check_exclusive(op: u32, target: &File, events: u32) -> Result {
    let bad = op == EPOLL_CTL_MOD
        || op == EPOLL_CTL_ADD && (epoll_of(target).is_some() || events & !EXCLUSIVE_OK != 0);
    if events & EPOLLEXCLUSIVE != 0 && bad { Err(EINVAL) } else { Ok(()) }
}

/// `epoll_ctl(2)`.
pub fn sys_epoll_ctl(epfd: i32, op: u32, fd: i32, event: usize) -> Result<usize> {
    let [events, lo, hi]: [u32; 3] = if op == EPOLL_CTL_DEL { [0; 3] } else { get_user(event)? };
    // Nothing here wakes a machine that sleeps.
    let (events, data) = (events & !EPOLLWAKEUP, u64::from(lo) | u64::from(hi) << 32);
    let (file, target) = (fget(epfd)?, fget(fd)?);
    if target.op.poll(&target, &mut PollTable::none()).is_none() {
        return Err(EPERM);
    }
    let ep = epoll_of(&file).filter(|_| !Arc::ptr_eq(&file, &target)).ok_or(EINVAL)?;
    check_exclusive(op, &target, events)?;
    if op == EPOLL_CTL_ADD
        && let Some(inner) = epoll_of(&target)
    {
        paths::check_nesting(ep, inner)?;
    }
    let item = ep.items.lock().get(&key(&target, fd)).cloned();
    let wanted = events | poll::ERR | poll::HUP;
    match (op, item) {
        (EPOLL_CTL_ADD, None) => ep.insert(&target, fd, (wanted, data))?,
        (EPOLL_CTL_ADD, Some(_)) => return Err(EEXIST),
        (EPOLL_CTL_DEL | EPOLL_CTL_MOD, None) => return Err(ENOENT),
        (EPOLL_CTL_DEL, Some(i)) => i.remove(),
        (EPOLL_CTL_MOD, Some(i)) if i.events() & EPOLLEXCLUSIVE == 0 => i.modify(wanted, data),
        _ => return Err(EINVAL),
    }
    Ok(0)
}

impl EpItem {
    /// It is watched for something else from now on (`ep_modify`).
    fn modify(self: &Arc<Self>, events: u32, data: u64) {
        self.events.store(events, Relaxed);
        self.data.store(data, Relaxed);
        if self.poll(&mut PollTable::none()) != 0 {
            self.make_ready();
        }
    }
}

fn do_epoll_wait(epfd: i32, to: usize, max: i32, deadline: u64) -> Result<usize> {
    if !(1..=MAX_EVENTS).contains(&max) {
        return Err(EINVAL);
    }
    let max = max as usize;
    if !access_ok(to, max * EVENT_SIZE) {
        return Err(EFAULT);
    }
    let file = fget(epfd)?;
    epoll_of(&file).ok_or(EINVAL)?.poll_events(to, max, deadline)
}

/// The end of a wait of so many milliseconds; a negative one has none.
fn deadline_ms(ms: i32) -> u64 {
    match u64::try_from(ms) {
        Err(_) => u64::MAX,
        Ok(0) => 0,
        Ok(ms) => ktime_get().saturating_add(ms * 1_000_000),
    }
}

fn epoll_pwait((epfd, to, max): (i32, usize, i32), deadline: u64, mask: usize, size: usize) -> Result<usize> {
    set_user_sigmask(mask, size)?;
    let r = do_epoll_wait(epfd, to, max, deadline);
    restore_saved_sigmask_unless(r == Err(EINTR));
    r
}

/// `epoll_wait(2)`.
pub fn sys_epoll_wait(epfd: i32, events: usize, max: i32, ms: i32) -> Result<usize> {
    do_epoll_wait(epfd, events, max, deadline_ms(ms))
}

/// `epoll_pwait(2)`.
pub fn sys_epoll_pwait(
    epfd: i32,
    events: usize,
    max: i32,
    ms: i32,
    mask: usize,
    size: usize,
) -> Result<usize> {
    epoll_pwait((epfd, events, max), deadline_ms(ms), mask, size)
}

/// `epoll_pwait2(2)`.
pub fn sys_epoll_pwait2(
    epfd: i32,
    events: usize,
    max: i32,
    uts: usize,
    mask: usize,
    size: usize,
) -> Result<usize> {
    let deadline = if uts == 0 {
        u64::MAX
    } else {
        match Timespec::get(uts, TimeAbi::Time64)?.to_ns().ok_or(EINVAL)? {
            0 => 0,
            ns => ktime_get().saturating_add(ns),
        }
    };
    epoll_pwait((epfd, events, max), deadline, mask, size)
}
