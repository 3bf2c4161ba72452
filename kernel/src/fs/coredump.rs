// SPDX-License-Identifier: GPL-2.0-only
//! Core dumps: whether one is written, where, and who waits for it (Linux 6.1,
//! `fs/coredump.c`). What it consists of is in [`elfcore`](super::elfcore).

use crate::errno::{EINTR, EIO, Result};
use crate::fs::elfcore;
use crate::fs::file_table::File;
use crate::fs::namei_calls::do_unlink;
use crate::fs::open::{How, do_filp_open};
use crate::kernel::signal::{
    KernelSiginfo, begin_core_dump, fatal_signal_pending, state::rlimit, with_siglock,
};
use crate::kernel::task::{Current, Task, current, pf};
use crate::lib::iov_iter::IovIter;
use crate::locking::SpinLock;
use crate::mm::page_alloc::PAGE_SIZE;
use alloc::sync::Arc;
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use linux_raw_sys::general::{AT_FDCWD, O_CREAT, O_EXCL, O_LARGEFILE, O_NOFOLLOW, O_WRONLY};

/// Longest pattern, with its NUL (`CORENAME_MAX_SIZE`).
const CORENAME_MAX_SIZE: usize = 128;
/// Less than this is not worth a file (`min_coredump` of ELF).
const MIN_COREDUMP: u64 = PAGE_SIZE as u64;

/// `/proc/sys/kernel/core_uses_pid`.
pub static CORE_USES_PID: AtomicBool = AtomicBool::new(false);
/// `None` until somebody writes it; then what was written, even if that is nothing.
static CORE_PATTERN: SpinLock<Option<ArrayVec<u8, CORENAME_MAX_SIZE>>> = SpinLock::new(None);

/// `/proc/sys/kernel/core_pattern`.
pub fn core_pattern() -> ArrayVec<u8, CORENAME_MAX_SIZE> {
    CORE_PATTERN.lock().clone().unwrap_or_else(|| b"core".iter().copied().collect())
}

/// Sets it: what is too long is cut off, and so is everything from a newline on.
pub fn set_core_pattern(text: &[u8]) {
    let line = text.split(|&b| b == b'\n' || b == 0).next().unwrap_or(&[]);
    *CORE_PATTERN.lock() = Some(line.iter().copied().take(CORENAME_MAX_SIZE - 1).collect());
}

/// What the pattern's specifiers stand for.
struct Specifiers<'a> {
    pid: i32,
    tid: i32,
    uid: u32,
    gid: u32,
    sig: i32,
    time: u64,
    limit: u64,
    host: &'a [u8],
    comm: &'a [u8],
}

/// A name with its slashes made harmless (`cn_esc_printf`).
fn escaped(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(|&b| if b == b'/' { b'!' } else { b }));
}

/// The file's name (`format_corename`).
fn format_corename(pattern: &[u8], uses_pid: bool, s: &Specifiers<'_>) -> Vec<u8> {
    struct Text<'a>(&'a mut Vec<u8>);
    impl Write for Text<'_> {
        fn write_str(&mut self, s: &str) -> core::fmt::Result {
            self.0.extend_from_slice(s.as_bytes());
            Ok(())
        }
    }
    let mut out = Vec::new();
    let (mut pid_seen, mut at) = (false, 0);
    while let Some(&b) = pattern.get(at) {
        at += 1;
        if b != b'%' {
            out.push(b);
            continue;
        }
        let Some(&spec) = pattern.get(at) else { break };
        at += 1;
        let mut t = Text(&mut out);
        // Writing to memory does not fail.
        let _ = match spec {
            b'%' => t.write_char('%'),
            b'p' | b'P' => {
                pid_seen = true;
                write!(t, "{}", s.pid)
            }
            b'i' | b'I' => write!(t, "{}", s.tid),
            b'u' => write!(t, "{}", s.uid),
            b'g' => write!(t, "{}", s.gid),
            b's' => write!(t, "{}", s.sig),
            b't' => write!(t, "{}", s.time),
            b'c' => write!(t, "{}", s.limit),
            b'd' => t.write_char('1'),
            b'h' => {
                escaped(&mut out, s.host);
                Ok(())
            }
            b'e' | b'f' => {
                escaped(&mut out, s.comm);
                Ok(())
            }
            // What is not known disappears.
            _ => Ok(()),
        };
    }
    if !pid_seen && uses_pid {
        let _ = write!(Text(&mut out), ".{}", s.pid);
    }
    out
}

/// A file being written, up to a limit (`coredump_params`).
pub struct Dump {
    file: Arc<File>,
    pos: u64,
    limit: u64,
}

impl Dump {
    /// Appends bytes (`dump_emit`).
    ///
    /// # Errors
    /// `EIO` beyond the limit, `EINTR` once somebody kills the process for good.
    pub fn emit(&mut self, bytes: &[u8]) -> Result {
        if self.pos + bytes.len() as u64 > self.limit {
            return Err(EIO);
        }
        if fatal_signal_pending(&current()) {
            return Err(EINTR);
        }
        let mut left = bytes;
        while !left.is_empty() {
            match self.file.op.write(&self.file, &mut IovIter::source(left), &mut self.pos)? {
                0 => return Err(EIO),
                n => left = &left[n..],
            }
        }
        Ok(())
    }
    /// Leaves a hole of zeroes (`dump_skip`).
    ///
    /// # Errors
    /// As [`Dump::emit`].
    pub fn skip(&mut self, len: usize) -> Result {
        if self.pos + len as u64 > self.limit {
            return Err(EIO);
        }
        self.pos += len as u64;
        Ok(())
    }
    /// Where the next byte goes.
    pub fn position(&self) -> u64 {
        self.pos
    }
    /// A hole at the end must become part of the file (`dump_truncate`).
    fn finish(&self) {
        if let Some(pages) = self.file.inode.ops.mapping()
            && pages.size() < self.pos
        {
            pages.truncate(self.pos);
        }
    }
}

/// Makes the file: never through a link, and never one that is there already.
fn open_core(name: &[u8]) -> Result<Arc<File>> {
    // A file that was there before goes; who has it open keeps it.
    let _ = do_unlink(AT_FDCWD, name);
    let flags = O_CREAT | O_WRONLY | O_NOFOLLOW | O_LARGEFILE | O_EXCL;
    let file = do_filp_open(AT_FDCWD, name, How::new(flags, 0o600)?)?;
    if file.inode.is_reg() { Ok(file) } else { Err(EIO) }
}

/// Other threads of a process that dumps wait here, with their registers on their stacks,
/// until it is done (`coredump_task_exit`).
pub fn coredump_task_exit(cur: Current) {
    let core = &cur.signal.core;
    if !core.in_progress() || cur.pf.load(Relaxed) & pf::DUMPCORE != 0 {
        return;
    }
    cur.pf.fetch_or(pf::POSTCOREDUMP, Relaxed);
    core.arrived.wake_up();
    core.done.wait_event(|| !core.in_progress());
}

/// Waits until every other thread is in [`coredump_task_exit`], or was dead before
/// (`coredump_wait`).
fn coredump_wait(cur: Current) {
    let parked = |t: &Arc<Task>| {
        cur.is(t) || t.pf.load(Relaxed) & (pf::EXITING | pf::POSTCOREDUMP) != 0 || t.rel.has_exited()
    };
    let all = || cur.signal.threads.with_irqs_off(|v| v.iter().all(parked));
    cur.signal.core.arrived.wait_event(all);
}

/// A signal whose default action is to dump core ends the process: writes the dump if
/// limits and places allow (`do_coredump`). The group's exit code says whether it was.
pub fn do_coredump(info: &KernelSiginfo) {
    let cur = current();
    let limit = rlimit(rlimit::CORE);
    let pattern = core_pattern();
    // Pipes to programs are not supported, and an empty name means no dump.
    if limit < MIN_COREDUMP || matches!(pattern.first(), None | Some(b'|')) || cur.get_mm().is_none() {
        return;
    }
    if !with_siglock(&cur, |l| begin_core_dump(l, cur, info.si_signo)) {
        return;
    }
    cur.pf.fetch_or(pf::DUMPCORE, Relaxed);
    coredump_wait(cur);
    let (cred, comm) = (cur.cred.get(), cur.comm());
    let name = format_corename(
        &pattern,
        CORE_USES_PID.load(Relaxed),
        &Specifiers {
            pid: cur.tgid,
            tid: cur.pid,
            uid: cred.uid,
            gid: cred.gid,
            sig: info.si_signo,
            time: crate::kernel::time::timekeeping::ktime_get_real() / 1_000_000_000,
            limit,
            host: &crate::kernel::sys::hostname(),
            comm: &comm,
        },
    );
    if let Ok(file) = open_core(&name) {
        let mut dump = Dump { file, pos: 0, limit };
        // A dump that was begun counts, even if there was no room for all of it.
        if elfcore::elf_core_dump(cur, info, &mut dump).is_some() {
            cur.signal.group_exit_code.fetch_or(0x80, Relaxed);
        }
        dump.finish();
    }
    cur.signal.core.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(pattern: &[u8], uses_pid: bool) -> Vec<u8> {
        let s = Specifiers {
            pid: 12,
            tid: 13,
            uid: 1,
            gid: 2,
            sig: 11,
            time: 99,
            limit: 4096,
            host: b"h/ost",
            comm: b"a/b",
        };
        format_corename(pattern, uses_pid, &s)
    }

    #[test]
    fn an_empty_pattern_stays_empty() {
        assert_eq!(core_pattern().as_slice(), b"core");
        set_core_pattern(b"\n");
        assert!(core_pattern().is_empty());
        set_core_pattern(b"c.%p\nrest");
        assert_eq!(core_pattern().as_slice(), b"c.%p");
    }

    #[test]
    fn names() {
        assert_eq!(name(b"core", false), b"core");
        assert_eq!(name(b"core", true), b"core.12");
        assert_eq!(name(b"/tmp/%e.%p", true), b"/tmp/a!b.12");
        assert_eq!(name(b"%%%s-%i-%u-%g-%t-%c-%h%z%", false), b"%11-13-1-2-99-4096-h!ost");
    }
}
