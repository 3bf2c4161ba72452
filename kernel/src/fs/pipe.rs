// SPDX-License-Identifier: GPL-2.0-only
//! Pipes and fifos (Linux 6.1, `fs/pipe.c`).

use crate::arch::x86::lib::usercopy::put_user;
use crate::errno::{EAGAIN, EBUSY, EFAULT, EINVAL, ENOMEM, ENOTTY, ENXIO, EPERM, EPIPE, Result};
use crate::fs::dcache::Dentry;
use crate::fs::fasync::{Band, FasyncList};
use crate::fs::file::UnusedFd;
use crate::fs::file_table::{Abilities, File, FileOps, Seeking, poll};
use crate::fs::inode::mode::S_IFIFO;
use crate::fs::inode::{Dev, Inode, InodeOps};
use crate::fs::ioctl::FIONREAD;
use crate::fs::namespace::{Mount, Path};
use crate::fs::select::PollTable;
use crate::fs::superblock::{FsType, MAX_LFS_FILESIZE, SuperBlock};
use crate::kernel::capability::capable;
use crate::kernel::signal::send_sig;
use crate::kernel::signal::sigset::SIGPIPE;
use crate::kernel::task::current;
use crate::kernel::wait::WaitQueue;
use crate::lib::iov_iter::IovIter;
use crate::locking::SpinLock;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use linux_raw_sys::general::CAP_SYS_RESOURCE;
use linux_raw_sys::general::{O_ACCMODE, O_CLOEXEC, O_DIRECT, O_NONBLOCK, O_RDONLY, O_WRONLY};

/// Buffers of a new pipe (`PIPE_DEF_BUFFERS`).
const DEF_BUFFERS: usize = 16;
/// Largest size that others than root may ask for (`/proc/sys/fs/pipe-max-size`).
pub const MAX_SIZE: usize = 1 << 20;

/// Some bytes in a pipe: part of a page, which may be others', too.
#[derive(Clone)]
pub(super) struct Buffer {
    page: Page,
    offset: u16,
    len: u16,
    /// Written at once with `O_DIRECT`: read at once.
    packet: bool,
    /// The rest of the page is the pipe's own.
    can_merge: bool,
}

impl Buffer {
    /// Part of a page that somebody has.
    pub(super) fn linked(page: Page, offset: usize, len: usize) -> Self {
        Self { page, offset: offset as u16, len: len as u16, packet: false, can_merge: false }
    }
    pub(super) fn bytes(&self) -> &[u8] {
        page_bytes(&self.page, self.offset.into(), self.len.into())
    }
    /// At most `max` bytes of it, as they are now or will be.
    fn part(&self, max: usize) -> Self {
        Self { len: usize::from(self.len).min(max) as u16, can_merge: false, ..self.clone() }
    }
    /// The first `n` bytes are gone.
    pub(super) fn advance(&mut self, n: usize) {
        self.offset += n as u16;
        self.len -= n as u16;
    }
}

#[derive(Default)]
struct Ring {
    bufs: VecDeque<Buffer>,
    max: usize,
    /// Buffers that there is room for beside those, since somebody is about to put them in.
    kept: usize,
    /// The first of all is out: who reads waits until it is known what is left of it.
    taken: bool,
    /// A page that was emptied, for the next write.
    spare: Option<Page>,
}

/// A pipe.
pub struct Pipe {
    ring: SpinLock<Ring>,
    rd_wait: Arc<WaitQueue>,
    wr_wait: Arc<WaitQueue>,
    readers: AtomicU32,
    writers: AtomicU32,
    /// How often each side was opened: whom a fifo's opener waits for.
    r_count: AtomicU32,
    w_count: AtomicU32,
    /// Somebody has polled it: epoll wants to hear of each write, not only of the first into an
    /// empty pipe (`poll_usage`).
    poll_usage: AtomicBool,
    fasync_readers: FasyncList,
    fasync_writers: FasyncList,
    /// Who waits while the first buffer is out.
    turn: WaitQueue,
}

const READABLE: u32 = poll::IN | poll::RDNORM;
const WRITABLE: u32 = poll::OUT | poll::WRNORM;

impl Ring {
    fn full(&self) -> bool {
        self.bufs.len() + self.kept >= self.max
    }
    /// Sees to the memory for `n` more buffers.
    fn reserve(&mut self, n: usize) -> Result {
        self.bufs.try_reserve(self.kept + n).map_err(|_| ENOMEM)
    }
    /// Appends to the last buffer what is no whole page, if it fits.
    fn merge(&mut self, from: &mut IovIter<'_>) -> Result<usize> {
        let chars = from.count() & (PAGE_SIZE - 1);
        let Some(b) = self.bufs.back_mut().filter(|b| b.can_merge) else {
            return Ok(0);
        };
        let end = usize::from(b.offset + b.len);
        if chars == 0 || end + chars > PAGE_SIZE {
            return Ok(0);
        }
        // What cannot be copied whole is not written at all.
        if from.copy_from(page_bytes(&b.page, end, chars)) < chars {
            return Err(EFAULT);
        }
        b.len += chars as u16;
        Ok(chars)
    }
    /// Fills one more buffer.
    fn append(&mut self, from: &mut IovIter<'_>, packet: bool) -> Result<usize> {
        self.reserve(1)?;
        let page = match self.spare.take() {
            Some(p) => p,
            None => Page::alloc_user()?,
        };
        let want = from.count().min(PAGE_SIZE);
        if from.copy_from(page_bytes(&page, 0, want)) < want {
            self.spare = Some(page);
            return Err(EFAULT);
        }
        self.bufs.push_back(Buffer { page, offset: 0, len: want as u16, packet, can_merge: !packet });
        Ok(want)
    }
    /// Takes what there is; says whether a buffer became free.
    fn take(&mut self, to: &mut IovIter<'_>) -> (Result<usize>, bool) {
        let (mut done, mut freed) = (0, false);
        while let Some(b) = self.bufs.front_mut() {
            if to.count() == 0 {
                break;
            }
            let want = usize::from(b.len).min(to.count());
            let n = to.copy_to(page_bytes(&b.page, usize::from(b.offset), want));
            done += n;
            if n < want && done == 0 {
                return (Err(EFAULT), freed);
            }
            b.advance(n);
            let packet = b.packet;
            if b.len == 0 || packet {
                freed = true;
                self.spare = self.bufs.pop_front().map(|b| b.page).filter(|p| p.ref_count() == 1);
            }
            if n < want || packet {
                break;
            }
        }
        (Ok(done), freed)
    }
}

/// The bytes of a buffer's page.
#[allow(clippy::mut_from_ref)]
fn page_bytes(p: &Page, at: usize, len: usize) -> &mut [u8] {
    assert!(at + len <= PAGE_SIZE);
    // SAFETY: within the page. Where it is written it is the pipe's own, whose lock is held; what is
    // read may be changed by others who have the page, but is only handed to copies.
    unsafe { core::slice::from_raw_parts_mut(p.as_ptr().add(at), len) }
}

impl Pipe {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            ring: SpinLock::new(Ring { max: DEF_BUFFERS, ..Ring::default() }),
            rd_wait: Arc::default(),
            wr_wait: Arc::default(),
            readers: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            r_count: AtomicU32::new(0),
            w_count: AtomicU32::new(0),
            poll_usage: AtomicBool::new(false),
            fasync_readers: FasyncList::new(),
            fasync_writers: FasyncList::new(),
            turn: WaitQueue::new(),
        })
    }
    /// One that has a reader.
    #[cfg(target_os = "none")]
    pub(super) fn for_test() -> (Arc<Self>, Arc<dyn FileOps>) {
        let p = Self::new();
        let end = PipeEnd::new(&p, O_RDONLY);
        (p, end)
    }
    fn readers(&self) -> u32 {
        self.readers.load(Ordering::Relaxed)
    }
    fn writers(&self) -> u32 {
        self.writers.load(Ordering::Relaxed)
    }

    fn read(&self, to: &mut IovIter<'_>, nonblock: bool) -> Result<usize> {
        if to.count() == 0 {
            return Ok(0);
        }
        loop {
            let mut ring = self.ring.lock();
            if ring.taken {
                drop(ring);
                self.wait_turn();
                continue;
            }
            let was_full = ring.full();
            if !ring.bufs.is_empty() {
                let (r, freed) = ring.take(to);
                drop(ring);
                if was_full && freed {
                    self.wr_wait.wake_up_poll(WRITABLE);
                }
                self.fasync_writers.kill(Band::Out);
                return r;
            }
            drop(ring);
            if self.writers() == 0 {
                return Ok(0);
            }
            if nonblock {
                return Err(EAGAIN);
            }
            self.rd_wait.sleep_interruptible(|| !self.ring.lock().bufs.is_empty() || self.writers() == 0)?;
        }
    }

    fn write(&self, from: &mut IovIter<'_>, nonblock: bool, packet: bool) -> Result<usize> {
        if from.count() == 0 {
            return Ok(0);
        }
        let mut done = 0;
        let mut first = true;
        let r = loop {
            if let Err(e) = self.want_readers() {
                break Err(e);
            }
            let mut ring = self.ring.lock();
            let was_empty = ring.bufs.is_empty();
            let r = fill(&mut ring, from, packet, core::mem::take(&mut first), &mut done);
            let filled = was_empty && !ring.bufs.is_empty();
            drop(ring);
            if filled || self.poll_usage.load(Ordering::Relaxed) {
                self.rd_wait.wake_up_poll(READABLE);
            }
            self.fasync_readers.kill(Band::In);
            if r.is_err() || from.count() == 0 {
                break r;
            }
            if nonblock {
                break Err(EAGAIN);
            }
            if let Err(e) =
                self.wr_wait.sleep_interruptible(|| !self.ring.lock().full() || self.readers() == 0)
            {
                break Err(e);
            }
        };
        if done != 0 { Ok(done) } else { r.map(|()| 0) }
    }

    /// Waits until there is something to read, or never will be (`ipipe_prep`).
    pub(super) fn wait_readable(&self, nonblock: bool) -> Result {
        loop {
            self.wait_turn();
            if self.is_readable() {
                return Ok(());
            }
            if nonblock {
                return Err(EAGAIN);
            }
            self.rd_wait.sleep_interruptible(|| self.is_readable() || self.ring.lock().taken)?;
        }
    }
    /// Whether there is something to read, or never will be, and it is nobody else's turn.
    pub(super) fn is_readable(&self) -> bool {
        let ring = self.ring.lock();
        !ring.taken && (!ring.bufs.is_empty() || self.writers() == 0)
    }
    /// Waits while somebody has the first buffer out, however long (Linux holds the pipe's mutex while a
    /// file is written from it).
    fn wait_turn(&self) {
        if self.ring.lock().taken {
            self.turn.wait_event(|| !self.ring.lock().taken);
        }
    }
    /// Waits for room (`wait_for_space`).
    pub(super) fn wait_writable(&self, nonblock: bool) -> Result {
        loop {
            self.want_readers()?;
            if self.room() != 0 {
                return Ok(());
            }
            if nonblock {
                return Err(EAGAIN);
            }
            self.wr_wait.sleep_interruptible(|| self.room() != 0 || self.readers() == 0)?;
        }
    }
    /// Who writes what nobody will read is told so.
    fn want_readers(&self) -> Result {
        if self.readers() == 0 {
            let _ = send_sig(SIGPIPE, &current(), false);
            return Err(EPIPE);
        }
        Ok(())
    }
    /// How many buffers fit in.
    pub(super) fn room(&self) -> usize {
        let ring = self.ring.lock();
        ring.max.saturating_sub(ring.bufs.len() + ring.kept)
    }
    /// Whether it is empty for good.
    pub(super) fn ended(&self) -> bool {
        self.writers() == 0 && self.ring.lock().bufs.is_empty()
    }
    /// Puts a buffer behind the others (`add_to_pipe`).
    pub(super) fn push(&self, b: Buffer) -> Result {
        self.want_readers()?;
        let mut ring = self.ring.lock();
        if ring.full() {
            return Err(EAGAIN);
        }
        ring.reserve(1)?;
        ring.bufs.push_back(b);
        Ok(())
    }
    /// Keeps room for `n` buffers: nothing can hinder them any more. (Linux holds the pipe's mutex
    /// meanwhile: others who write wait there as well.)
    pub(super) fn keep(&self, n: usize) -> Result<Kept<'_>> {
        self.want_readers()?;
        let mut ring = self.ring.lock();
        if ring.bufs.len() + ring.kept + n > ring.max {
            return Err(EAGAIN);
        }
        ring.reserve(n)?;
        ring.kept += n;
        Ok(Kept { pipe: self, left: n })
    }
    /// Takes the first buffer out, and keeps its place for what of it will be put back.
    pub(super) fn take_first(&self) -> Option<(Buffer, Taken<'_>)> {
        self.wait_turn();
        let mut ring = self.ring.lock();
        let b = ring.bufs.pop_front()?;
        ring.kept += 1;
        ring.taken = true;
        Some((b, Taken(Kept { pipe: self, left: 1 })))
    }
    /// Takes at most `max` bytes of the first buffer out.
    pub(super) fn pop(&self, max: usize) -> Option<Buffer> {
        let mut ring = self.ring.lock();
        let first = ring.bufs.front_mut()?;
        if usize::from(first.len) <= max {
            return ring.bufs.pop_front();
        }
        let part = first.part(max);
        first.advance(max);
        Some(part)
    }
    /// At most `max` bytes of buffer `i`, which stay where they are.
    pub(super) fn peek(&self, i: usize, max: usize) -> Option<Buffer> {
        self.ring.lock().bufs.get(i).map(|b| b.part(max))
    }
    /// There is more to read (`wakeup_pipe_readers`).
    pub(super) fn wake_readers(&self) {
        self.rd_wait.wake_up_poll(READABLE);
        self.fasync_readers.kill(Band::In);
    }
    /// There is more room (`wakeup_pipe_writers`).
    pub(super) fn wake_writers(&self) {
        self.wr_wait.wake_up_poll(WRITABLE);
        self.fasync_writers.kill(Band::Out);
    }

    /// Sets the number of buffers (`pipe_set_size`).
    fn set_size(&self, bytes: usize) -> Result<usize> {
        if bytes > 1 << 31 {
            return Err(EINVAL);
        }
        let size = bytes.max(PAGE_SIZE).next_power_of_two();
        if size > MAX_SIZE && !capable(CAP_SYS_RESOURCE) {
            return Err(EPERM);
        }
        let mut ring = self.ring.lock();
        if size / PAGE_SIZE < ring.bufs.len() + ring.kept {
            return Err(EBUSY);
        }
        ring.max = size / PAGE_SIZE;
        drop(ring);
        self.wr_wait.wake_up();
        Ok(size)
    }
}

/// Room for some buffers in a pipe, which nobody else can take.
pub(super) struct Kept<'a> {
    pipe: &'a Pipe,
    left: usize,
}

impl Kept<'_> {
    fn put(&mut self, f: impl FnOnce(&mut VecDeque<Buffer>)) {
        if self.left != 0 {
            let mut ring = self.pipe.ring.lock();
            ring.kept -= 1;
            self.left -= 1;
            f(&mut ring.bufs);
        }
    }
    /// Puts a buffer behind the others; there must be room left.
    pub(super) fn push(&mut self, b: Buffer) {
        self.put(|bufs| bufs.push_back(b));
    }
}

/// The place of the first buffer, which is out: nobody else reads meanwhile.
pub(super) struct Taken<'a>(Kept<'a>);

impl Taken<'_> {
    /// Puts what is left of it before the others again.
    pub(super) fn put_back(&mut self, b: Buffer) {
        self.0.put(|bufs| bufs.push_front(b));
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let pipe = self.0.pipe;
        let mut ring = pipe.ring.lock();
        ring.taken = false;
        let is_left = !ring.bufs.is_empty();
        drop(ring);
        pipe.turn.wake_up();
        if is_left {
            // Who was woken by it while it was out sleeps again.
            pipe.rd_wait.wake_up();
        }
    }
}

impl Drop for Kept<'_> {
    /// Others may have what is left.
    fn drop(&mut self) {
        if self.left == 0 {
            return;
        }
        let mut ring = self.pipe.ring.lock();
        let was_full = ring.full();
        ring.kept -= self.left;
        drop(ring);
        if was_full {
            self.pipe.wr_wait.wake_up_poll(WRITABLE);
        }
    }
}

/// Puts as much as there is room for into the ring.
fn fill(ring: &mut Ring, from: &mut IovIter<'_>, packet: bool, first: bool, done: &mut usize) -> Result {
    if first && !packet {
        *done += ring.merge(from)?;
    }
    while from.count() != 0 && !ring.full() {
        *done += ring.append(from, packet)?;
    }
    Ok(())
}

/// One open end (or, for a fifo opened for both, two).
struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
}

impl PipeEnd {
    fn new(pipe: &Arc<Pipe>, flags: u32) -> Arc<Self> {
        let acc = flags & O_ACCMODE;
        let (reads, writes) = (acc != O_WRONLY, acc != O_RDONLY);
        pipe.readers.fetch_add(u32::from(reads), Ordering::Relaxed);
        pipe.writers.fetch_add(u32::from(writes), Ordering::Relaxed);
        pipe.r_count.fetch_add(u32::from(reads), Ordering::Relaxed);
        pipe.w_count.fetch_add(u32::from(writes), Ordering::Relaxed);
        Arc::new(Self { pipe: pipe.clone(), reads, writes })
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.pipe.readers.fetch_sub(u32::from(self.reads), Ordering::Relaxed);
        self.pipe.writers.fetch_sub(u32::from(self.writes), Ordering::Relaxed);
        let news = READABLE | WRITABLE | poll::ERR | poll::HUP;
        self.pipe.rd_wait.wake_up_poll(news);
        self.pipe.wr_wait.wake_up_poll(news);
        if (self.pipe.readers() == 0) != (self.pipe.writers() == 0) {
            self.pipe.fasync_readers.kill(Band::In);
            self.pipe.fasync_writers.kill(Band::Out);
        }
    }
}

impl FileOps for PipeEnd {
    fn abilities(&self) -> Abilities {
        Abilities { seeking: Seeking::Never, ..Abilities::DEFAULT }
    }
    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        self.pipe.read(to, file.nonblock())
    }
    fn write(&self, file: &File, from: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        self.pipe.write(from, file.nonblock(), file.flags() & O_DIRECT != 0)
    }
    fn poll(&self, _: &File, table: &mut PollTable) -> Option<u32> {
        let p = &self.pipe;
        p.poll_usage.store(true, Ordering::Relaxed);
        let mut mask = 0;
        if self.reads {
            table.wait(&p.rd_wait);
        }
        if self.writes {
            table.wait(&p.wr_wait);
        }
        let ring = p.ring.lock();
        if self.reads {
            if !ring.bufs.is_empty() || ring.taken {
                mask |= READABLE;
            }
            if p.writers() == 0 && p.w_count.load(Ordering::Relaxed) != 0 {
                mask |= poll::HUP;
            }
        }
        if self.writes {
            if !ring.full() {
                mask |= WRITABLE;
            }
            if p.readers() == 0 {
                mask |= poll::ERR;
            }
        }
        Some(mask)
    }
    fn fasync(&self, file: &File, fd: i32, on: bool) -> Option<Result> {
        let set = |wanted, list: &FasyncList| if wanted { list.set(file, fd, on) } else { Ok(()) };
        let readers = set(self.reads, &self.pipe.fasync_readers);
        Some(readers.and_then(|()| set(self.writes, &self.pipe.fasync_writers)))
    }
    fn ioctl(&self, _: &File, cmd: u32, arg: usize) -> Result<usize> {
        if cmd != FIONREAD {
            return Err(ENOTTY);
        }
        let n: usize = self.pipe.ring.lock().bufs.iter().map(|b| usize::from(b.len)).sum();
        put_user(arg, &(n as i32)).map(|()| 0)
    }
    fn as_any(&self) -> Option<&dyn core::any::Any> {
        Some(self)
    }
}

/// The pipe that a file is an end of.
pub(super) fn get_pipe_info(file: &File) -> Option<&Pipe> {
    file.op.as_any()?.downcast_ref::<PipeEnd>().map(|e| &*e.pipe)
}

/// `fcntl`'s `F_GETPIPE_SZ` (`None`) and `F_SETPIPE_SZ`; `EBADF` if it is no pipe.
pub fn pipe_size(file: &File, set: Option<usize>) -> Result<usize> {
    let pipe = get_pipe_info(file).ok_or(crate::errno::EBADF)?;
    match set {
        Some(n) => pipe.set_size(n),
        None => Ok(pipe.ring.lock().max * PAGE_SIZE),
    }
}

/// A fifo's pipe, while somebody has it open.
#[derive(Default)]
pub struct FifoSlot(SpinLock<Weak<Pipe>>);

impl FifoSlot {
    /// The pipe, or a new one if nobody has it open any more.
    fn pipe(&self) -> Arc<Pipe> {
        let mut s = self.0.lock();
        s.upgrade().unwrap_or_else(|| {
            let p = Pipe::new();
            *s = Arc::downgrade(&p);
            p
        })
    }
}

/// Opens a fifo: waits for the other side unless told not to (`fifo_open`).
pub fn fifo_open(slot: &FifoSlot, flags: u32) -> Result<Arc<dyn FileOps>> {
    let pipe = slot.pipe();
    let nonblock = flags & O_NONBLOCK != 0;
    if flags & O_ACCMODE == O_WRONLY && nonblock && pipe.readers() == 0 {
        return Err(ENXIO);
    }
    let end = PipeEnd::new(&pipe, flags);
    pipe.rd_wait.wake_up();
    pipe.wr_wait.wake_up();
    let wait = |queue: &WaitQueue, here: &AtomicU32, count: &AtomicU32| {
        let seen = count.load(Ordering::Relaxed);
        queue.wait_event_interruptible(|| {
            here.load(Ordering::Relaxed) != 0 || count.load(Ordering::Relaxed) != seen
        })
    };
    match flags & O_ACCMODE {
        O_RDONLY if !nonblock => wait(&pipe.rd_wait, &pipe.writers, &pipe.w_count)?,
        O_RDONLY if pipe.writers() == 0 => pipe.w_count.store(0, Ordering::Relaxed),
        O_WRONLY => wait(&pipe.wr_wait, &pipe.readers, &pipe.r_count)?,
        _ => {}
    }
    Ok(end)
}

/// What has no name in any directory: pipes.
static PSEUDO: FsType = FsType {
    name: "pipefs",
    magic: 0x5049_5045,
    noexec: false,
    maxbytes: MAX_LFS_FILESIZE,
    mount: |_| Err(EINVAL),
};

/// The instance that they all are on.
fn pseudo_sb() -> Arc<SuperBlock> {
    pseudo_mount().root.inode.sb.clone()
}

fn pseudo_mount() -> &'static Arc<Mount> {
    static MOUNT: spin::Once<Arc<Mount>> = spin::Once::new();
    MOUNT.call_once(|| {
        let sb = SuperBlock::new(&PSEUDO, String::new(), usize::MAX, usize::MAX);
        Mount::new(crate::fs::ramfs::new_root(&sb, 0o555), b"none", 0)
    })
}

/// A place for an inode without a name; `label` is what `/proc/PID/fd` shows.
fn pseudo_path(label: &[u8], inode: Arc<Inode>) -> Path {
    Path { mnt: pseudo_mount().clone(), dentry: Dentry::pseudo(label, inode) }
}

/// A pipe without a name. By `/proc/PID/fd` either end can be opened once more, and nobody waits for
/// the other one (Linux 6.1, `fs/pipe.c`, `fifo_open`, of a pipe of `pipefs`).
struct AnonPipe(FifoSlot);
impl InodeOps for AnonPipe {
    fn open(&self, _: &Arc<Inode>, flags: u32) -> Result<Arc<dyn FileOps>> {
        Ok(PipeEnd::new(&self.0.pipe(), flags))
    }
}

/// `pipe2(2)`.
pub fn sys_pipe2(fds: usize, flags: u32) -> Result<usize> {
    if flags & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 {
        return Err(EINVAL);
    }
    let pipe = Pipe::new();
    let slot = FifoSlot(SpinLock::new(Arc::downgrade(&pipe)));
    let inode = Inode::new(&pseudo_sb(), S_IFIFO | 0o600, Dev::default(), Box::new(AnonPipe(slot)));
    inode.init_owner();
    let path = pseudo_path(format!("pipe:[{}]", inode.ino).as_bytes(), inode);
    let kept = flags & (O_NONBLOCK | O_DIRECT);
    let read_end = File::new(path.clone(), O_RDONLY | kept & !O_DIRECT, PipeEnd::new(&pipe, O_RDONLY), false);
    let write_end = File::new(path, O_WRONLY | kept, PipeEnd::new(&pipe, O_WRONLY), false);
    let (r, w) = (UnusedFd::get(flags)?, UnusedFd::get(flags)?);
    put_user(fds, &[r.fd(), w.fd()])?;
    r.install(read_end);
    w.install(write_end);
    Ok(0)
}

/// `pipe(2)`.
pub fn sys_pipe(fds: usize) -> Result<usize> {
    sys_pipe2(fds, 0)
}
