// SPDX-License-Identifier: GPL-2.0-only
//! Files whose text the kernel makes when they are read (Linux 6.1, `fs/seq_file.c`,
//! `seq_read`; `fs/proc/proc_sysctl.c`).
//!
//! The text is made anew by every read from the beginning, and by one that does not begin
//! where the last one ended: who keeps a file open sees how it changes.

use crate::errno::{EACCES, EFAULT, EINVAL, EIO, Result};
use crate::fs::file_table::{Abilities, File, FileOps, generic_seek, poll};
use crate::fs::inode::{Attr, Inode, InodeOps, generic_permission};
use crate::fs::select::PollTable;
use crate::fs::seq_file::SeqFile;
use crate::kernel::cred::Cred;
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
enum Kind {
    Seq,
    /// A setting: its text is read by one read, and the next one is at the end.
    Sysctl,
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
    /// The same, as a setting.
    #[must_use]
    pub fn sysctl(self) -> Self {
        Self { kind: Kind::Sysctl, ..self }
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
        if self.kind == Kind::Seq {
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
            text: SpinLock::new((Arc::default(), 0)),
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
    /// The text, and where the last read of it ended.
    text: SpinLock<(Arc<Vec<u8>>, u64)>,
}

impl OpenProcFile {
    fn text_for(&self, pos: u64) -> Result<Arc<Vec<u8>>> {
        let (text, end) = self.text.lock().clone();
        if pos != 0 && pos == end {
            return Ok(text);
        }
        let mut text = SeqFile::new();
        (self.show)(&mut text)?;
        let text = Arc::new(text.finish()?);
        *self.text.lock() = (text.clone(), pos);
        Ok(text)
    }
}

impl FileOps for OpenProcFile {
    fn abilities(&self) -> Abilities {
        Abilities { splice_read: true, splice_write: self.kind == Kind::Sysctl, ..Abilities::DEFAULT }
    }
    fn read(&self, _: &File, to: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        if self.kind == Kind::Sysctl && *pos != 0 {
            return Ok(0);
        }
        let text = self.text_for(*pos)?;
        if let Polled::News = self.polled {
            self.seen.store(1, Relaxed);
        }
        let at = usize::try_from(*pos).map_err(|_| EINVAL)?.min(text.len());
        let want = (text.len() - at).min(to.count());
        let n = to.copy_to(&text[at..at + want]);
        if n < want && n == 0 {
            return Err(EFAULT);
        }
        *pos += n as u64;
        self.text.lock().1 = *pos;
        Ok(n)
    }
    fn write(&self, _: &File, from: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        let store = self.store.as_ref().ok_or(EIO)?;
        let len = from.count();
        // A number is written whole or not at all (`SYSCTL_WRITES_STRICT`).
        if *pos == 0 || self.kind == Kind::Seq {
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
    /// There is no end to seek to (`seq_lseek`).
    fn seek(&self, file: &File, offset: i64, whence: u32) -> Result<u64> {
        if self.kind == Kind::Seq && !matches!(whence, SEEK_SET | SEEK_CUR) {
            return Err(EINVAL);
        }
        generic_seek(file, offset, whence)
    }
}
