// SPDX-License-Identifier: GPL-2.0-only
//! Core dumps: whether one is written, where, and who waits for it (Linux 6.1,
//! `fs/coredump.c`). What it consists of is in [`elfcore`](super::elfcore).

use crate::errno::{EINTR, EIO, ENOMEM, Result};
use crate::fs::elfcore;
use crate::fs::exec::SUID_DUMPABLE;
use crate::fs::file_table::File;
use crate::fs::namei::Walk;
use crate::fs::namei_calls::do_unlink;
use crate::fs::namespace::rootfs;
use crate::fs::open::{How, do_filp_open, path_openat};
use crate::kernel::cred::Cred;
use crate::kernel::panic::Comm;
use crate::kernel::printk::format::LineBuf;
use crate::kernel::printk::ratelimit;
use crate::kernel::signal::{
    KernelSiginfo, begin_core_dump, fatal_signal_pending, state::rlimit, with_siglock,
};
use crate::kernel::task::{Current, Task, current, pf};
use crate::lib::iov_iter::IovIter;
use crate::lib::ratelimit::Ratelimit;
use crate::locking::SpinLock;
use crate::mm::Mm;
use crate::mm::mm_struct::{SUID_DUMP_DISABLE, SUID_DUMP_ROOT};
use crate::mm::page_alloc::PAGE_SIZE;
use alloc::sync::Arc;
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use core::fmt::{Display, Write};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use linux_raw_sys::general::{AT_FDCWD, O_CREAT, O_EXCL, O_LARGEFILE, O_NOFOLLOW, O_RDWR};

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

/// `CORE_PATTERN` does not say where a dump goes that only root may have
/// (`validate_coredump_safety`).
pub fn validate_coredump_safety() {
    let relative = !matches!(core_pattern().first(), Some(b'/' | b'|'));
    if SUID_DUMPABLE.load(Relaxed) == SUID_DUMP_ROOT && relative {
        crate::pr_warn!(
            "Unsafe core_pattern used with fs.suid_dumpable=2.\n\
             Pipe handler or fully qualified core dump path required.\n\
             Set kernel.core_pattern before fs.suid_dumpable.\n"
        );
    }
}

/// What the pattern's specifiers stand for.
struct Specifiers<'a> {
    pid: i32,
    tid: i32,
    uid: u32,
    gid: u32,
    dumpable: u8,
    sig: i32,
    time: u64,
    limit: u64,
    host: &'a [u8],
    comm: &'a [u8],
    /// The program's path name.
    exe: &'a [u8],
}

/// A name being made.
struct CoreName(Vec<u8>);

impl CoreName {
    fn put(&mut self, bytes: &[u8]) -> Result {
        self.0.try_reserve(bytes.len()).map_err(|_| ENOMEM)?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn number(&mut self, n: impl Display) -> Result {
        let mut digits = LineBuf::<24>::new();
        // Every number fits.
        let _ = write!(digits, "{n}");
        self.put(digits.as_bytes())
    }
    /// Text that must not lead anywhere else (`cn_esc_printf`).
    fn escaped(&mut self, text: &[u8]) -> Result {
        let at = self.0.len();
        self.put(if text.is_empty() { b"!" } else { text })?;
        for b in self.0[at..].iter_mut().filter(|b| **b == b'/') {
            *b = b'!';
        }
        if text == b"." || text == b".." {
            self.0[at] = b'!';
        }
        Ok(())
    }
    /// What one specifier stands for; what is not known disappears.
    fn specifier(&mut self, which: u8, s: &Specifiers<'_>) -> Result {
        match which {
            b'%' => self.put(b"%"),
            b'p' | b'P' => self.number(s.pid),
            b'i' | b'I' => self.number(s.tid),
            b'u' => self.number(s.uid),
            b'g' => self.number(s.gid),
            b'd' => self.number(s.dumpable),
            b's' => self.number(s.sig),
            b't' => self.number(s.time),
            b'c' => self.number(s.limit),
            b'h' => self.escaped(s.host),
            b'e' => self.escaped(s.comm),
            b'f' => self.escaped(s.exe.rsplit(|&b| b == b'/').next().unwrap_or(s.exe)),
            b'E' => self.escaped(s.exe),
            _ => Ok(()),
        }
    }
}

/// The file's name (`format_corename`).
fn format_corename(pattern: &[u8], uses_pid: bool, s: &Specifiers<'_>) -> Result<Vec<u8>> {
    let mut out = CoreName(Vec::new());
    let (mut pid_seen, mut at) = (false, 0);
    while let Some(&b) = pattern.get(at) {
        at += 1;
        if b != b'%' {
            out.put(&[b])?;
            continue;
        }
        let Some(&spec) = pattern.get(at) else { break };
        at += 1;
        pid_seen |= spec == b'p';
        out.specifier(spec, s)?;
    }
    if !pid_seen && uses_pid {
        out.put(b".")?;
        out.number(s.pid)?;
    }
    Ok(out.0)
}

/// A file being written, up to a limit (`coredump_params`).
pub struct Dump {
    file: Arc<File>,
    pos: u64,
    /// A hole that the next bytes come behind.
    to_skip: u64,
    /// What counts against the limit: holes take no room.
    written: u64,
    limit: u64,
}

impl Dump {
    /// Appends bytes (`dump_emit`).
    ///
    /// # Errors
    /// `EIO` beyond the limit, `EINTR` once somebody kills the process for good.
    pub fn emit(&mut self, bytes: &[u8]) -> Result {
        if fatal_signal_pending(&current()) {
            return Err(EINTR);
        }
        self.pos += core::mem::take(&mut self.to_skip);
        if self.written + bytes.len() as u64 > self.limit {
            return Err(EIO);
        }
        let mut left = bytes;
        while !left.is_empty() {
            match self.file.op.write(&self.file, &mut IovIter::source(left), &mut self.pos)? {
                0 => return Err(EIO),
                n => left = &left[n..],
            }
        }
        self.written += bytes.len() as u64;
        Ok(())
    }
    /// Leaves a hole of zeroes before what comes next (`dump_skip`).
    pub fn skip(&mut self, len: u64) {
        self.to_skip += len;
    }
    /// Where the next byte goes.
    pub fn position(&self) -> u64 {
        self.pos + self.to_skip
    }
    /// A hole at the end becomes part of the file by its last byte.
    fn finish(&mut self) {
        if let Some(hole) = self.to_skip.checked_sub(1) {
            self.to_skip = hole;
            // Where there is no room for it, the file is shorter.
            let _ = self.emit(&[0]);
        }
    }
}

/// Makes the file: never through a link, and never one that is there already. One that
/// only root may have is made by root, at the real root.
fn open_core(name: &[u8], for_root: bool) -> Result<Arc<File>> {
    let flags = O_CREAT | O_RDWR | O_NOFOLLOW | O_LARGEFILE | O_EXCL;
    let how = How::new(flags, 0o600)?;
    let file = if for_root {
        let cred = Cred { fsuid: 0, ..(*current().cred.get()).clone() };
        path_openat(Walk::rooted(rootfs(), Arc::new(cred)), rootfs(), name, how)?
    } else {
        // A file that was there before goes; who has it open keeps it.
        let _ = do_unlink(AT_FDCWD, name);
        do_filp_open(AT_FDCWD, name, how)?
    };
    if file.inode.is_reg() && keeps_to_itself(name, &file, for_root) { Ok(file) } else { Err(EIO) }
}

/// Whether the file became the dumper's, for nobody else: the file system, or the umask, may have
/// had it otherwise (`do_coredump`).
fn keeps_to_itself(name: &[u8], file: &File, for_root: bool) -> bool {
    static RATELIMIT: Ratelimit = Ratelimit::new(5000, 10);
    let owner = if for_root { 0 } else { current().cred.get().fsuid };
    let (uid, mode) = {
        let a = file.inode.attr.lock();
        (a.uid, a.mode)
    };
    let what = match (uid == owner, mode & 0o677 == 0o600) {
        (true, true) => return true,
        (false, _) => "owner",
        (true, false) => "permissions",
    };
    if ratelimit(&RATELIMIT, "do_coredump") {
        crate::pr_info!("Core dump to {} aborted: cannot preserve file {what}\n", Comm(name));
    }
    false
}

/// A thread begins to end: a dump that begins from now on does not wait for it. One that a dump
/// has killed waits here, with its registers on its stack, until that is done
/// (`coredump_task_exit`).
pub fn coredump_task_exit(cur: Current) {
    let core = &cur.signal.core;
    cur.pf.fetch_or(pf::POSTCOREDUMP, Relaxed);
    if !core.in_progress() || cur.pf.load(Relaxed) & pf::DUMPCORE != 0 {
        return;
    }
    core.arrived.wake_up();
    if is_in_dump(&cur) {
        core.done.wait_event(|| !core.in_progress());
    }
}

/// Whether a thread that has come to [`coredump_task_exit`] was killed for the dump, and is part
/// of it.
pub fn is_in_dump(t: &Task) -> bool {
    const BOTH: u32 = pf::SIGNALED | pf::POSTCOREDUMP;
    t.pf.load(Relaxed) & BOTH == BOTH
}

/// Waits until every other thread has come to [`coredump_task_exit`] (`coredump_wait`).
fn coredump_wait(cur: Current) {
    let parked = |t: &Arc<Task>| cur.is(t) || t.pf.load(Relaxed) & pf::POSTCOREDUMP != 0;
    let all = || cur.signal.threads.with_irqs_off(|v| v.iter().all(parked));
    cur.signal.core.arrived.wait_event(all);
}

/// The name for the current process's dump.
fn corename(pattern: &[u8], info: &KernelSiginfo, mm: &Mm, limit: u64) -> Result<Vec<u8>> {
    let cur = current();
    let (cred, comm) = (cur.cred.get(), cur.comm());
    let mut exe = Vec::new();
    if let Some(file) = mm.lock().exe_file.clone() {
        file.name(&mut exe);
    }
    let s = Specifiers {
        pid: cur.tgid,
        tid: cur.pid(),
        uid: cred.uid,
        gid: cred.gid,
        dumpable: mm.dumpable(),
        sig: info.si_signo,
        time: crate::kernel::time::timekeeping::ktime_get_real() / 1_000_000_000,
        limit,
        host: &crate::kernel::sys::hostname(),
        comm: &comm,
        exe: &exe,
    };
    format_corename(pattern, CORE_USES_PID.load(Relaxed), &s)
}

/// Where a dump goes, if anywhere.
fn dump_file(pattern: &[u8], info: &KernelSiginfo, mm: &Mm, limit: u64) -> Option<Arc<File>> {
    let cur = current();
    let say = |what: core::fmt::Arguments<'_>| crate::pr_warn!("{what}\n");
    let Ok(name) = corename(pattern, info, mm, limit) else {
        say(format_args!("format_corename failed"));
        say(format_args!("Aborting core"));
        return None;
    };
    let for_root = mm.dumpable() == SUID_DUMP_ROOT;
    if for_root && name.first() != Some(&b'/') {
        let comm = cur.comm();
        say(format_args!("Pid {}({}) can only dump core to fully qualified path!", cur.tgid, Comm(&comm)));
        say(format_args!("Skipping core dump"));
        return None;
    }
    open_core(&name, for_root).ok()
}

/// A signal whose default action is to dump core ends the process: writes the dump if
/// limits, places and whose memory it is allow (`do_coredump`). The group's exit code says
/// whether it was.
pub fn do_coredump(info: &KernelSiginfo) {
    let cur = current();
    let limit = rlimit(rlimit::CORE);
    let pattern = core_pattern();
    let Some(mm) = cur.get_mm().filter(|mm| mm.dumpable() != SUID_DUMP_DISABLE) else { return };
    // Pipes to programs are not supported, and an empty name means no dump.
    if limit < MIN_COREDUMP || matches!(pattern.first(), None | Some(b'|')) {
        return;
    }
    if !with_siglock(&cur, |l| begin_core_dump(l, cur, info.si_signo)) {
        return;
    }
    cur.pf.fetch_or(pf::DUMPCORE, Relaxed);
    coredump_wait(cur);
    if let Some(file) = dump_file(&pattern, info, &mm, limit) {
        let mut dump = Dump { file, pos: 0, to_skip: 0, written: 0, limit };
        // A dump that was begun counts, even if there was no room for all of it, but not one that
        // somebody has ended.
        let dumped = elfcore::elf_core_dump(cur, info, &mut dump).is_some();
        dump.finish();
        if dumped && !fatal_signal_pending(&cur) {
            cur.signal.group_exit_code.fetch_or(0x80, Relaxed);
        }
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
            dumpable: 1,
            sig: 11,
            time: 99,
            limit: 4096,
            host: b"h/ost",
            comm: b"a/b",
            exe: b"/usr/bin/..",
        };
        format_corename(pattern, uses_pid, &s).unwrap()
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
        assert_eq!(name(b"%P", true), b"12.12");
        assert_eq!(name(b"%d.%f.%E", false), b"1.!..!usr!bin!..");
        assert_eq!(name(b"%%%s-%i-%u-%g-%t-%c-%h%z%", false), b"%11-13-1-2-99-4096-h!ost");
    }
}
