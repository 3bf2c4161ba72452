// SPDX-License-Identifier: GPL-2.0-only
//! The log's readers in user mode: `/dev/kmsg` ([`KmsgUser`]) and `syslog(2)`.
//!
//! After Linux 6.1, `kernel/printk/printk.c` (`devkmsg_read`, `do_syslog`).

use super::format::{EXT_LOG_MAX, LineBuf, parse_prefix, print_ext, print_text, print_text_len};
use super::ringbuffer::{Info, LOG_LINE_MAX};
use super::{
    CONSOLE_LOGLEVEL, DEFAULT_MESSAGE_LOGLEVEL, DevKmsg, MINIMUM_CONSOLE_LOGLEVEL, devkmsg, ring,
    time_enabled,
};
use crate::arch::x86::lib::usercopy::{access_ok, copy_to_user};
use crate::errno::{EAGAIN, EFAULT, EINVAL, EPERM, EPIPE, ESPIPE, Result};
use crate::kernel::capability::capable;
use crate::kernel::panic::Comm;
use crate::kernel::task::current;
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::wait::WaitQueue;
use crate::lib::iov_iter::IovIter;
use crate::lib::ratelimit::Ratelimit;
use crate::locking::SpinLock;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use linux_raw_sys::general::{CAP_SYS_ADMIN, CAP_SYSLOG};

/// Readers that wait for the next message (`log_wait`).
static LOG_WAIT: WaitQueue = WaitQueue::new();
static WAKE: AtomicBool = AtomicBool::new(false);

/// Where `poll` waits for the next message.
pub fn log_wait() -> &'static WaitQueue {
    &LOG_WAIT
}

/// First message that `dmesg` shows (`SYSLOG_ACTION_CLEAR`).
static CLEAR_SEQ: AtomicU64 = AtomicU64::new(0);
/// Whether only root may read the log (`/proc/sys/kernel/dmesg_restrict`; Debian's default).
pub static DMESG_RESTRICT: AtomicBool = AtomicBool::new(true);

/// Asks for waiting readers to be woken. Done by the next tick, not at once: `printk` may
/// be called with any lock held, the wait queue's and the run queue's included.
pub(super) fn wake_up_klogd() {
    WAKE.store(true, Ordering::Release);
}

/// Wakes waiting readers if somebody asked for it. From the timer tick.
pub(super) fn wake_readers() {
    if WAKE.swap(false, Ordering::AcqRel) {
        LOG_WAIT.wake_up();
    }
}

/// One open `/dev/kmsg`.
pub struct KmsgUser {
    seq: AtomicU64,
    rs: Ratelimit,
}

impl Default for KmsgUser {
    fn default() -> Self {
        Self::open()
    }
}

impl KmsgUser {
    /// Starts at the oldest message.
    pub fn open() -> Self {
        Self { seq: AtomicU64::new(ring().first_valid_seq()), rs: Ratelimit::new(5_000, 10) }
    }

    fn next(&self, text: &mut [u8; LOG_LINE_MAX]) -> Option<Info> {
        ring().read_valid(self.seq.load(Ordering::Relaxed), text)
    }

    /// Whether there is something to read, and whether messages were lost before it
    /// (`poll`'s `EPOLLIN` and `EPOLLERR`).
    pub fn poll(&self) -> (bool, bool) {
        let mut text = [0; LOG_LINE_MAX];
        match self.next(&mut text) {
            Some(i) => (true, i.seq != self.seq.load(Ordering::Relaxed)),
            None => (false, false),
        }
    }

    /// The next message as a line of `/dev/kmsg`. Waits for one unless `nonblock`
    /// (`EAGAIN`); `EPIPE` tells once that messages were lost; `EINVAL` if it is longer
    /// than `count`, and then it is skipped.
    pub fn read(&self, count: usize, nonblock: bool) -> Result<Vec<u8>> {
        let mut text = [0; LOG_LINE_MAX];
        let mut found = self.next(&mut text);
        if found.is_none() {
            if nonblock {
                return Err(EAGAIN);
            }
            LOG_WAIT.wait_event_interruptible(|| {
                found = self.next(&mut text);
                found.is_some()
            })?;
        }
        let Some(info) = found else {
            return Err(EAGAIN);
        };
        if info.seq != self.seq.swap(info.seq, Ordering::Relaxed) {
            return Err(EPIPE);
        }
        self.seq.store(info.seq + 1, Ordering::Relaxed);
        let mut line = Box::new(LineBuf::<EXT_LOG_MAX>::new());
        print_ext(&info, &text[..info.len], &mut line);
        if line.as_bytes().len() > count {
            return Err(EINVAL);
        }
        Ok(line.as_bytes().to_vec())
    }

    /// `lseek`: to the oldest message (`SEEK_SET`), behind the newest (`SEEK_END`), or to the
    /// first since the log was cleared (`SEEK_DATA`).
    pub fn seek(&self, offset: i64, whence: u32) -> Result<usize> {
        use linux_raw_sys::general::{SEEK_DATA, SEEK_END, SEEK_SET};
        if offset != 0 {
            return Err(ESPIPE);
        }
        let seq = match whence {
            SEEK_SET => ring().first_valid_seq(),
            SEEK_DATA => CLEAR_SEQ.load(Ordering::Relaxed),
            SEEK_END => ring().next_seq(),
            _ => return Err(EINVAL),
        };
        self.seq.store(seq, Ordering::Relaxed);
        Ok(0)
    }

    /// A line that user mode writes to the log, no longer than [`LOG_LINE_MAX`] (`devkmsg_write`).
    pub fn write(&self, line: &[u8]) -> Result<usize> {
        match devkmsg() {
            DevKmsg::Off => return Ok(line.len()),
            DevKmsg::Ratelimit => {
                // What is dropped is told at the end (`RATELIMIT_MSG_ON_RELEASE`).
                if !self.rs.check_quietly(ktime_get() / 1_000_000) {
                    return Ok(line.len());
                }
            }
            DevKmsg::On => {}
        }
        store_user(line);
        Ok(line.len())
    }

    /// It is closed: tells how many lines were dropped (`ratelimit_state_exit`).
    pub fn release(&self) {
        let missed = self.rs.take_missed();
        if missed != 0 {
            let comm = current().comm();
            crate::pr_warn!(
                "printk: {}: {missed} output lines suppressed due to ratelimiting\n",
                Comm(&comm)
            );
        }
    }
}

/// Stores a line from user mode, with the priority that it may begin with.
pub fn store_user(line: &[u8]) {
    let (level, facility, text) = parse_prefix(line, DEFAULT_MESSAGE_LOGLEVEL.load(Ordering::Relaxed) as u8);
    // A Linux kernel prints it with "%s": up to the first NUL.
    let text = text.split(|&b| b == 0).next().unwrap_or(&[]);
    super::store(facility, level, ktime_get(), text);
    super::console::flush();
    wake_up_klogd();
}

/// Position of `SYSLOG_ACTION_READ`.
struct Cursor {
    seq: u64,
    /// Bytes of its first record that were read already.
    partial: usize,
    /// Whether that record's lines carry their time.
    time: bool,
}

static CURSOR: SpinLock<Cursor> = SpinLock::new(Cursor { seq: 0, partial: 0, time: true });

/// Moves the cursor over what was lost; the record it then stands on.
fn cursor_record(c: &mut Cursor, text: &mut [u8; LOG_LINE_MAX]) -> Option<Info> {
    let info = ring().read_valid(c.seq, text)?;
    if info.seq != c.seq {
        c.seq = info.seq;
        c.partial = 0;
    }
    if c.partial == 0 {
        c.time = time_enabled();
    }
    Some(info)
}

/// `SYSLOG_ACTION_READ`: whole records as far as they fit, or a part of the first.
pub fn syslog_print(to: &mut IovIter<'_>) -> Result<usize> {
    let mut text = [0; LOG_LINE_MAX];
    LOG_WAIT.wait_event_interruptible(|| cursor_record(&mut CURSOR.lock(), &mut text).is_some())?;
    let mut len = 0;
    while to.count() != 0 {
        let mut c = CURSOR.lock();
        let Some(info) = cursor_record(&mut c, &mut text) else {
            break;
        };
        let line = print_text(&info, &text[..info.len], true, c.time);
        let skip = c.partial.min(line.as_bytes().len());
        let rest = &line.as_bytes()[skip..];
        let n = if rest.len() <= to.count() {
            c.seq = info.seq + 1;
            c.partial = 0;
            rest.len()
        } else if len == 0 {
            c.partial += to.count();
            to.count()
        } else {
            break;
        };
        drop(c);
        if to.copy_to(&rest[..n]) < n {
            return if len == 0 { Err(EFAULT) } else { Ok(len) };
        }
        len += n;
    }
    Ok(len)
}

/// Calls `f` for every readable record from `seq` on, until it says stop.
fn for_each_record(mut seq: u64, mut f: impl FnMut(&Info, &[u8]) -> bool) {
    let mut text = [0; LOG_LINE_MAX];
    let end = ring().next_seq();
    while seq < end {
        let Some(info) = ring().read_valid(seq, &mut text) else {
            return;
        };
        if !f(&info, &text[..info.len]) {
            return;
        }
        seq = info.seq + 1;
    }
}

/// `SYSLOG_ACTION_READ_ALL`: the newest messages that fit.
fn syslog_print_all(buf: usize, size: usize, clear: bool) -> Result<usize> {
    let time = time_enabled();
    let start = CLEAR_SEQ.load(Ordering::Relaxed);
    let mut total = 0;
    for_each_record(start, |i, t| {
        total += print_text_len(i, t, true, time);
        true
    });
    let (mut len, mut next, mut error) = (0, start, None);
    for_each_record(start, |i, t| {
        if total > size {
            // Too long: leave the oldest out.
            total -= print_text_len(i, t, true, time);
            return true;
        }
        let line = print_text(i, t, true, time);
        if len + line.as_bytes().len() > size {
            return false;
        }
        if let Err(e) = copy_to_user(buf + len, line.as_bytes()) {
            error = Some(e);
            return false;
        }
        len += line.as_bytes().len();
        next = i.seq + 1;
        true
    });
    if clear {
        CLEAR_SEQ.store(next, Ordering::Relaxed);
    }
    error.map_or(Ok(len), Err)
}

/// Bytes that the next `SYSLOG_ACTION_READ` finds.
pub fn size_unread() -> usize {
    let mut text = [0; LOG_LINE_MAX];
    let mut c = CURSOR.lock();
    if cursor_record(&mut c, &mut text).is_none() {
        return 0;
    }
    let (mut time, mut n) = (c.time, 0);
    for_each_record(c.seq, |i, t| {
        n += print_text_len(i, t, true, time);
        time = time_enabled();
        true
    });
    n - c.partial.min(n)
}

/// Level saved by `SYSLOG_ACTION_CONSOLE_OFF`; -1 if none is.
static SAVED_LOGLEVEL: AtomicI32 = AtomicI32::new(-1);

fn set_console_level(level: i32) -> Result<usize> {
    if !(1..=8).contains(&level) {
        return Err(EINVAL);
    }
    CONSOLE_LOGLEVEL.store(level.max(MINIMUM_CONSOLE_LOGLEVEL.load(Ordering::Relaxed)), Ordering::Relaxed);
    SAVED_LOGLEVEL.store(-1, Ordering::Relaxed);
    Ok(0)
}

fn console_off() {
    let now = CONSOLE_LOGLEVEL.load(Ordering::Relaxed);
    let _ = SAVED_LOGLEVEL.compare_exchange(-1, now, Ordering::Relaxed, Ordering::Relaxed);
    CONSOLE_LOGLEVEL.store(MINIMUM_CONSOLE_LOGLEVEL.load(Ordering::Relaxed), Ordering::Relaxed);
}

fn console_on() {
    let saved = SAVED_LOGLEVEL.swap(-1, Ordering::Relaxed);
    if saved != -1 {
        CONSOLE_LOGLEVEL.store(saved, Ordering::Relaxed);
    }
}

/// What `syslog(2)` can be asked (Linux 6.1, `include/linux/syslog.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Close,
    Open,
    Read,
    ReadAll,
    ReadClear,
    Clear,
    ConsoleOff,
    ConsoleOn,
    ConsoleLevel,
    SizeUnread,
    SizeBuffer,
}

impl Action {
    fn from_raw(v: i32) -> Option<Self> {
        const ALL: [Action; 11] = [
            Action::Close,
            Action::Open,
            Action::Read,
            Action::ReadAll,
            Action::ReadClear,
            Action::Clear,
            Action::ConsoleOff,
            Action::ConsoleOn,
            Action::ConsoleLevel,
            Action::SizeUnread,
            Action::SizeBuffer,
        ];
        ALL.get(usize::try_from(v).ok()?).copied()
    }
    /// Whether it needs root even where anybody may read the log.
    fn privileged(self) -> bool {
        !matches!(self, Self::ReadAll | Self::SizeBuffer) || DMESG_RESTRICT.load(Ordering::Relaxed)
    }
}

/// Whether a read may begin, and how long it is; `None`: it is empty.
fn check_buffer(buf: usize, len: i32) -> Result<Option<usize>> {
    let len = usize::try_from(len).map_err(|_| EINVAL)?;
    if buf == 0 {
        return Err(EINVAL);
    }
    if len != 0 && !access_ok(buf, len) {
        return Err(EFAULT);
    }
    Ok((len != 0).then_some(len))
}

static ADMIN_SAID: AtomicBool = AtomicBool::new(false);

/// Whether the current task may use the log in this way; Linux asks before it looks
/// whether there is such a way (`check_syslog_permissions`).
fn permitted(action: Option<Action>) -> bool {
    if !action.is_none_or(Action::privileged) || capable(CAP_SYSLOG) {
        return true;
    }
    // For those who were root's deputy before there was a capability for the log.
    let admin = capable(CAP_SYS_ADMIN);
    if admin && !ADMIN_SAID.swap(true, Ordering::Relaxed) {
        let cur = current();
        crate::pr_warn!(
            "{} ({}): Attempt to access syslog with CAP_SYS_ADMIN but no CAP_SYSLOG (deprecated).\n",
            Comm(&cur.comm()),
            cur.pid()
        );
    }
    admin
}

/// Whether the current task may read the log.
pub fn may_read_log() -> bool {
    permitted(Some(Action::ReadAll))
}

/// Whether the current task may read on in it, so that others do not get what it got.
pub fn may_take_log() -> bool {
    permitted(Some(Action::Open))
}

/// `syslog(type, buf, len)`.
pub fn sys_syslog(kind: i32, buf: usize, len: i32) -> Result<usize> {
    let action = Action::from_raw(kind);
    if !permitted(action) {
        return Err(EPERM);
    }
    match action.ok_or(EINVAL)? {
        Action::Close | Action::Open => Ok(0),
        Action::Read => check_buffer(buf, len)?.map_or(Ok(0), |n| syslog_print(&mut IovIter::user(buf, n)?)),
        Action::ReadAll => check_buffer(buf, len)?.map_or(Ok(0), |n| syslog_print_all(buf, n, false)),
        Action::ReadClear => check_buffer(buf, len)?.map_or(Ok(0), |n| syslog_print_all(buf, n, true)),
        Action::Clear => {
            CLEAR_SEQ.store(ring().next_seq(), Ordering::Relaxed);
            Ok(0)
        }
        Action::ConsoleOff => {
            console_off();
            Ok(0)
        }
        Action::ConsoleOn => {
            console_on();
            Ok(0)
        }
        Action::ConsoleLevel => set_console_level(len),
        Action::SizeUnread => Ok(size_unread()),
        Action::SizeBuffer => Ok(ring().size()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_have_linux_numbers() {
        assert_eq!(Action::from_raw(3), Some(Action::ReadAll));
        assert_eq!(Action::from_raw(8), Some(Action::ConsoleLevel));
        assert_eq!(Action::from_raw(10), Some(Action::SizeBuffer));
        assert_eq!(Action::from_raw(11), None);
        assert_eq!(Action::from_raw(-1), None);
    }
}
