// SPDX-License-Identifier: GPL-2.0-only
//! Files whose text the kernel makes when they are read (Linux 6.1, `fs/seq_file.c`,
//! `seq_read`; `fs/proc/proc_sysctl.c`).
//!
//! The text is made anew by every read from the beginning, and by one that does not begin
//! where the last one ended: who keeps a file open sees how it changes. Of a text of many records only
//! as much is made at a time as fits in a page.

use crate::errno::{EACCES, EFAULT, EINVAL, EIO, Result};
use crate::fs::file_table::{Abilities, File, FileOps, default_seek, generic_seek, poll};
use crate::fs::inode::{Attr, Inode, InodeOps, generic_permission};
use crate::fs::select::PollTable;
use crate::fs::seq_file::SeqFile;
use crate::kernel::cred::Cred;
use crate::kernel::sched::cond_resched;
use crate::kernel::wait::WaitQueue;
use crate::lib::iov_iter::IovIter;
use crate::locking::SpinLock;
use crate::mm::page_alloc::PAGE_SIZE;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use linux_raw_sys::general::{SEEK_CUR, SEEK_SET};

/// Makes a file's text.
pub type Show = Arc<dyn Fn(&mut SeqFile) -> Result + Send + Sync>;
/// Takes what is written.
pub type StoreFn = fn(&[u8]) -> Result;
type Store = Arc<dyn Fn(&[u8]) -> Result + Send + Sync>;
/// Decides who may open a file, and what its text is made of from then on.
type OpenFn = Box<dyn Fn() -> Result<Show> + Send + Sync>;

/// How a file behaves beside its text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of a process's, most of them.
    Seq,
    /// One that fills all buffers of a call at once (`mounts_op`).
    SeqIter,
    /// One that has a size to seek in: none (`proc_pid_cmdline_ops` and its like).
    Plain,
    /// The same as far as there are positions (`proc_oom_score_adj_operations`).
    Anywhere,
    /// One about the system (fs/proc/inode.c, `proc_iter_file_ops`).
    Registered,
    /// A setting: a number is read by one read, and the next one is at the end (`proc_dointvec`).
    Sysctl,
    /// A setting that is a text, which can be read in parts (`proc_dostring`).
    SysctlText,
    /// One of `sysfs` (fs/kernfs/file.c, `kernfs_file_fops`).
    Attribute,
}

impl Kind {
    fn is_sysctl(self) -> bool {
        matches!(self, Self::Sysctl | Self::SysctlText)
    }
}

/// Something that happens, and that who has a file open can wait for (`struct ctl_table_poll`).
#[derive(Default)]
pub struct PollEvents {
    count: AtomicU32,
    wait: WaitQueue,
}

impl PollEvents {
    /// Nothing has happened.
    pub const fn new() -> Self {
        Self { count: AtomicU32::new(0), wait: WaitQueue::new() }
    }
    /// It has happened (`proc_sys_poll_notify`).
    pub fn notify(&self) {
        self.count.fetch_add(1, Relaxed);
        self.wait.wake_up();
    }
}

/// What `poll` says of a file.
#[derive(Clone, Copy)]
pub enum Polled {
    /// It knows nothing of `poll` (the files of `/proc/PID`).
    No,
    /// Everything can be done (Linux 6.1, fs/proc/inode.c, `proc_reg_poll`).
    Always,
    /// As above until the first read, that there is something new, too (fs/kernfs/file.c,
    /// `kernfs_generic_poll`).
    News,
    /// Something has happened since it was asked last, or this (fs/proc/proc_sysctl.c,
    /// `proc_sys_poll`; fs/proc_namespace.c, `mounts_poll`).
    Events(&'static PollEvents, u32),
}

/// A file with generated text.
pub struct ProcFile {
    open: OpenFn,
    store: Option<Store>,
    kind: Kind,
    polled: Polled,
}

impl ProcFile {
    /// A file that shows `show`'s text.
    pub fn new(show: impl Fn(&mut SeqFile) -> Result + Send + Sync + 'static) -> Self {
        let show: Show = Arc::new(show);
        Self::opened_by(move || Ok(show.clone()))
    }
    /// One that is not for everybody, or whose text is of something that was there when it
    /// was opened.
    pub fn opened_by(open: impl Fn() -> Result<Show> + Send + Sync + 'static) -> Self {
        Self { open: Box::new(open), store: None, kind: Kind::Seq, polled: Polled::No }
    }
    /// The same, taking what is written.
    #[must_use]
    pub fn with_store(self, store: impl Fn(&[u8]) -> Result + Send + Sync + 'static) -> Self {
        Self { store: Some(Arc::new(store)), ..self }
    }
    /// The same, of another kind.
    #[must_use]
    pub fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
    /// Whether it is a setting.
    pub fn is_sysctl(&self) -> bool {
        self.kind.is_sysctl()
    }
    /// The same, for `poll`.
    #[must_use]
    pub fn polled(self, polled: Polled) -> Self {
        Self { polled, ..self }
    }
}

impl InodeOps for ProcFile {
    /// Of a setting not even root may do what its permissions do not say (Linux 6.1,
    /// fs/proc/proc_sysctl.c, `test_perm`).
    fn permission(&self, attr: &Attr, cred: &Cred, mask: u32) -> Result {
        if !self.is_sysctl() {
            return generic_permission(attr, cred, mask);
        }
        let class = match () {
            () if cred.euid == 0 => attr.mode >> 6,
            () if cred.in_group(0) => attr.mode >> 3,
            () => attr.mode,
        };
        if mask & !class & 7 == 0 { Ok(()) } else { Err(EACCES) }
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(OpenProcFile {
            show: (self.open)()?,
            store: self.store.clone(),
            kind: self.kind,
            polled: self.polled,
            seen: AtomicU32::new(match self.polled {
                Polled::Events(e, _) => e.count.load(Relaxed),
                Polled::No | Polled::Always | Polled::News => 0,
            }),
            text: SpinLock::default(),
        }))
    }
}

struct OpenProcFile {
    show: Show,
    store: Option<Store>,
    kind: Kind,
    polled: Polled,
    /// How much has happened of what `poll` tells; of [`Polled::News`], whether it was read.
    seen: AtomicU32,
    text: SpinLock<Window>,
}

/// What a file keeps of its text between reads: a page of it or so, or a single record.
#[derive(Clone, Default)]
struct Window {
    text: Arc<Vec<u8>>,
    /// Where in the file it begins, and where the last read ended.
    begin: u64,
    end: u64,
    /// The first record behind it.
    next: Option<u64>,
}

impl Window {
    /// Where in the file it ends.
    fn text_end(&self) -> u64 {
        self.begin + self.text.len() as u64
    }
    /// What there is at `pos`; nothing if that is not in it.
    fn at(&self, pos: u64) -> &[u8] {
        let at = pos.checked_sub(self.begin).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.text.get(at..)).unwrap_or(&[])
    }
}

impl OpenProcFile {
    /// Makes the text from a record on.
    fn make(&self, begin: u64, from: u64) -> Result<Window> {
        let mut text = SeqFile::part(from, PAGE_SIZE);
        (self.show)(&mut text)?;
        let next = text.next();
        Ok(Window { text: Arc::new(text.finish()?), begin, end: begin, next })
    }
    /// The part of the text that `pos` is in: what was kept, if it is read on; else the beginning, or
    /// what follows that (`traverse`).
    fn window(&self, pos: u64) -> Result<Window> {
        let kept = self.text.lock().clone();
        let mut w = if pos != 0 && pos == kept.end { kept } else { self.make(0, 0)? };
        while pos >= w.text_end()
            && let Some(next) = w.next
        {
            w = self.make(w.text_end(), next)?;
            cond_resched();
        }
        Ok(w)
    }
    /// Keeps what is left of it behind `pos` for the next read; of some kinds nothing is kept.
    fn keep(&self, mut w: Window, pos: u64) {
        w.end = pos;
        if pos >= w.text_end() {
            (w.begin, w.text) = (pos, Arc::default());
        }
        if matches!(self.kind, Kind::Plain | Kind::Sysctl | Kind::SysctlText) {
            w = Window::default();
        }
        *self.text.lock() = w;
    }
}

impl FileOps for OpenProcFile {
    fn abilities(&self) -> Abilities {
        let iter =
            self.kind.is_sysctl() || matches!(self.kind, Kind::SeqIter | Kind::Registered | Kind::Attribute);
        Abilities {
            read_iter: iter,
            splice_read: iter,
            write_iter: self.kind.is_sysctl() || self.kind == Kind::Attribute,
            splice_write: self.kind.is_sysctl(),
            // Registered ones have it, and fail (`proc_reg_write`).
            writes: self.store.is_some() || self.kind.is_sysctl() || self.kind == Kind::Registered,
            fsync: self.kind == Kind::Attribute,
            ..Abilities::DEFAULT
        }
    }
    fn read(&self, _: &File, to: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        if self.kind == Kind::Sysctl && *pos != 0 {
            return Ok(0);
        }
        let w = self.window(*pos)?;
        if let Polled::News = self.polled {
            self.seen.store(1, Relaxed);
        }
        let text = w.at(*pos);
        let want = text.len().min(to.count());
        let n = to.copy_to(&text[..want]);
        if n < want && n == 0 {
            return Err(EFAULT);
        }
        *pos += n as u64;
        self.keep(w, *pos);
        Ok(n)
    }
    fn write(&self, _: &File, from: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        let store = self.store.as_ref().ok_or(EIO)?;
        let len = from.count();
        // A number is written whole or not at all (`SYSCTL_WRITES_STRICT`).
        if *pos == 0 || !self.kind.is_sysctl() {
            store(&from.take_all(PAGE_SIZE)?)?;
        }
        *pos += len as u64;
        Ok(len)
    }
    fn poll(&self, _: &File, table: &mut PollTable) -> Option<u32> {
        const NEWS: u32 = poll::ERR | poll::PRI;
        match self.polled {
            Polled::No => None,
            Polled::News if self.seen.load(Relaxed) == 0 => Some(poll::DEFAULT | NEWS),
            Polled::Always | Polled::News => Some(poll::DEFAULT),
            Polled::Events(events, otherwise) => {
                table.wait_static(&events.wait);
                let now = events.count.load(Relaxed);
                let news = self.seen.swap(now, Relaxed) != now;
                Some(if news { poll::IN | poll::RDNORM | NEWS } else { otherwise })
            }
        }
    }
    /// Most have no end to seek to (`seq_lseek`).
    fn seek(&self, file: &File, offset: i64, whence: u32) -> Result<u64> {
        match self.kind {
            Kind::Plain | Kind::Attribute => generic_seek(file, offset, whence),
            Kind::Anywhere | Kind::Sysctl | Kind::SysctlText => default_seek(file, offset, whence),
            Kind::Seq | Kind::SeqIter | Kind::Registered => match whence {
                SEEK_SET | SEEK_CUR => default_seek(file, offset, whence),
                _ => Err(EINVAL),
            },
        }
    }
}
