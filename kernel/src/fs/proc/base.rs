// SPDX-License-Identifier: GPL-2.0-only
//! A process's directory in `/proc` (Linux 6.1, `fs/proc/base.c`, `array.c`, `task_mmu.c`).

use super::{ProcFile, ProcLink, Show, file_inode};
use crate::errno::{ENOENT, ESRCH, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file_table::FileOps;
use crate::fs::inode::mode::*;
use crate::fs::inode::{Dev, Inode, InodeOps, Link};
use crate::fs::libfs::{DirContext, DirOps};
use crate::fs::seq_file::SeqFile;
use crate::fs::superblock::SuperBlock;
use crate::kernel::exit::{parent_of, tracer_of};
use crate::kernel::fork::{find_task, for_each_process};
use crate::kernel::task::{
    TASK_INTERRUPTIBLE, TASK_RUNNING, TASK_STOPPED, TASK_TRACED, TASK_UNINTERRUPTIBLE, Task,
};
use crate::mm::util::kvcalloc;
use crate::mm::vma::{Backing, VmFlags};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

/// Positions of processes in the root's listing begin here, above the static names.
const PID_POS: u64 = 1 << 41;

fn parse_pid(name: &[u8]) -> Option<i32> {
    if name.first() == Some(&b'0') {
        return None;
    }
    core::str::from_utf8(name).ok()?.parse().ok().filter(|&p| p > 0)
}

/// The directory of the process or thread called `name`.
pub fn lookup_pid(sb: &Arc<SuperBlock>, name: &[u8]) -> Option<Arc<Inode>> {
    let pid = parse_pid(name)?;
    find_task(pid)?;
    Some(Inode::new(sb, S_IFDIR | 0o555, Dev(0), Box::new(PidDir(pid))))
}

/// Lists the processes.
pub fn iterate_pids(ctx: &mut DirContext<'_>) {
    let mut pids = Vec::new();
    for_each_process(|t| pids.push(t.pid));
    for pid in pids {
        let pos = PID_POS + pid as u64;
        if pos < ctx.pos {
            continue;
        }
        if !ctx.add(format!("{pid}").as_bytes(), pid as u64 + (1 << 32), S_IFDIR, pos + 1) {
            return;
        }
    }
}

/// `/proc/PID`.
struct PidDir(i32);

type TaskShow = fn(&Task, &mut SeqFile) -> Result;
const FILES: &[(&str, u32, TaskShow)] = &[
    ("stat", 0o444, stat),
    ("status", 0o444, status),
    ("maps", 0o444, maps),
    ("cmdline", 0o444, cmdline),
    ("environ", 0o400, environ),
    ("comm", 0o644, comm),
    ("auxv", 0o400, auxv),
    ("mounts", 0o444, mounts),
    ("statm", 0o444, statm),
];
const LINKS: &[&str] = &["exe", "cwd", "root"];
const DIRS: &[&str] = &["fd", "task"];

impl InodeOps for PidDir {
    fn lookup(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let sb = &dir.inode.sb;
        let pid = self.0;
        if let Some(&(_, mode, show)) = FILES.iter().find(|f| f.0.as_bytes() == name) {
            let show: Show = Box::new(move |o| show(&*find_task(pid).ok_or(ESRCH)?, o));
            return Ok(Some(file_inode(sb, mode, ProcFile::new(show, None))));
        }
        if let Some(&which) = LINKS.iter().find(|l| l.as_bytes() == name) {
            let link = ProcLink(Box::new(move || task_link(pid, which)));
            return Ok(Some(Inode::new(sb, S_IFLNK | 0o777, Dev(0), Box::new(link))));
        }
        let ops: Box<dyn InodeOps> = match name {
            b"fd" => Box::new(FdDir(pid)),
            b"task" => Box::new(TaskDir(pid)),
            _ => return Ok(None),
        };
        Ok(Some(Inode::new(sb, S_IFDIR | 0o555, Dev(0), ops)))
    }
    fn iterate(&self, _: &Arc<Dentry>, ctx: &mut DirContext<'_>) -> Result {
        let files = FILES.iter().map(|f| (f.0, S_IFREG));
        let all = files.chain(LINKS.iter().map(|&l| (l, S_IFLNK))).chain(DIRS.iter().map(|&d| (d, S_IFDIR)));
        list(ctx, all.map(|(n, m)| (String::from(n), m)));
        Ok(())
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps))
    }
}

fn list(ctx: &mut DirContext<'_>, names: impl Iterator<Item = (String, u32)>) {
    for (i, (name, mode)) in names.enumerate() {
        let pos = PID_POS + i as u64;
        if pos < ctx.pos {
            continue;
        }
        if !ctx.add(name.as_bytes(), pos, mode, pos + 1) {
            return;
        }
    }
}

/// `/proc/PID/fd`.
struct FdDir(i32);
impl InodeOps for FdDir {
    fn lookup(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let (Ok(text), pid) = (core::str::from_utf8(name), self.0) else { return Ok(None) };
        let Ok(fd) = text.parse::<i32>() else { return Ok(None) };
        let get = move || {
            let files = find_task(pid).ok_or(ESRCH)?.files.lock().clone().ok_or(ENOENT)?;
            files.fget_raw(fd).map_err(|_| ENOENT)
        };
        if get().is_err() {
            return Ok(None);
        }
        let link = ProcLink(Box::new(move || Ok(Link::Place(get()?.path.clone()))));
        Ok(Some(Inode::new(&dir.inode.sb, S_IFLNK | 0o700, Dev(0), Box::new(link))))
    }
    fn iterate(&self, _: &Arc<Dentry>, ctx: &mut DirContext<'_>) -> Result {
        let files = find_task(self.0).ok_or(ESRCH)?.files.lock().clone().ok_or(ENOENT)?;
        let used = core::iter::successors(files.next_used(0), |&fd| files.next_used(fd as usize + 1));
        list(ctx, used.map(|fd| (format!("{fd}"), S_IFLNK)));
        Ok(())
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps))
    }
}

/// `/proc/PID/task`.
struct TaskDir(i32);
impl InodeOps for TaskDir {
    fn lookup(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let Some(tid) = parse_pid(name) else { return Ok(None) };
        let same = find_task(tid).is_some_and(|t| find_task(self.0).is_some_and(|p| p.tgid == t.tgid));
        Ok(if same { lookup_pid(&dir.inode.sb, name) } else { None })
    }
    fn iterate(&self, _: &Arc<Dentry>, ctx: &mut DirContext<'_>) -> Result {
        let t = find_task(self.0).ok_or(ESRCH)?;
        let ids: Vec<i32> = t.signal.threads.with_irqs_off(|v| v.iter().map(|t| t.pid).collect());
        list(ctx, ids.into_iter().map(|i| (format!("{i}"), S_IFDIR)));
        Ok(())
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps))
    }
}

fn task_link(pid: i32, which: &str) -> Result<Link> {
    let t = find_task(pid).ok_or(ESRCH)?;
    match which {
        "cwd" => Ok(Link::Place(t.fs.get().pwd())),
        "root" => Ok(Link::Place(t.fs.get().root())),
        _ => {
            let mm = t.get_mm().ok_or(ENOENT)?;
            let exe = mm.lock().exe_file.clone().ok_or(ENOENT)?;
            let mut name = Vec::new();
            exe.name(&mut name);
            Ok(Link::Text(name))
        }
    }
}

/// The letter that says what a task does (`task_state_array`).
pub fn state_char(t: &Task) -> char {
    if t.rel.is_zombie() {
        return 'Z';
    }
    let s = t.state.load(Relaxed);
    match () {
        () if s == TASK_RUNNING => 'R',
        () if s & TASK_STOPPED != 0 => 'T',
        () if s & TASK_TRACED != 0 => 't',
        () if s & TASK_INTERRUPTIBLE != 0 => 'S',
        () if s & TASK_UNINTERRUPTIBLE != 0 => 'D',
        () => 'X',
    }
}

fn stat(t: &Task, o: &mut SeqFile) -> Result {
    let name = t.comm();
    let comm = String::from_utf8_lossy(&name);
    let c = |ns: u64| ns / 10_000_000;
    let (u, s) = t.signal.cputime();
    let (cu, cs) = t.signal.children.get();
    let ppid = parent_of(t).map_or(0, |p| p.tgid);
    let (vsize, rss) = t.get_mm().map_or((0, 0), |mm| {
        let st = mm.lock();
        (st.stat.total_vm * 4096, st.rss.anon + st.rss.file)
    });
    write!(o, "{} ({comm}) {} {ppid} {} {} 0 -1 ", t.pid, state_char(t), t.signal.pgrp(), t.signal.session());
    write!(o, "{} 0 0 0 0 {} {} {} {} 20 0 ", t.pf.load(Relaxed), c(u), c(s), c(cu), c(cs));
    write!(o, "{} 0 {} {vsize} {rss} {}", t.signal.nr_threads.load(Relaxed), c(t.start_time), u64::MAX);
    o.put(b" 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
    Ok(())
}

fn status(t: &Task, o: &mut SeqFile) -> Result {
    let name = t.comm();
    let comm = String::from_utf8_lossy(&name);
    let word = match state_char(t) {
        'R' => "R (running)",
        'S' => "S (sleeping)",
        'D' => "D (disk sleep)",
        'T' => "T (stopped)",
        't' => "t (tracing stop)",
        'Z' => "Z (zombie)",
        _ => "X (dead)",
    };
    let c = t.cred.get();
    let ppid = parent_of(t).map_or(0, |p| p.tgid);
    let tracer = tracer_of(t).map_or(0, |p| p.pid);
    let fdsize = t.files.lock().as_ref().map_or(0, |f| f.capacity());
    writeln!(o, "Name:\t{comm}\nUmask:\t{:04o}\nState:\t{word}\nTgid:\t{}", t.fs.get().umask(), t.tgid);
    writeln!(o, "Ngid:\t0\nPid:\t{}\nPPid:\t{ppid}\nTracerPid:\t{tracer}", t.pid);
    writeln!(o, "Uid:\t{}\t{}\t{}\t{}", c.uid, c.euid, c.suid, c.euid);
    writeln!(o, "Gid:\t{}\t{}\t{}\t{}\nFDSize:\t{fdsize}\nGroups:\t ", c.gid, c.egid, c.sgid, c.egid);
    if let Some(mm) = t.get_mm() {
        let st = mm.lock();
        let (vm, rss) = (st.stat.total_vm * 4, st.rss_bytes() / 1024);
        writeln!(o, "VmSize:\t{vm:>8} kB\nVmRSS:\t{rss:>8} kB");
    }
    writeln!(o, "Threads:\t{}", t.signal.nr_threads.load(Relaxed));
    let pending = [t.sig.pending.set().0, t.signal.shared_pending.set().0];
    writeln!(
        o,
        "SigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}",
        pending[0],
        pending[1],
        t.sig.blocked().0
    );
    Ok(())
}

fn statm(t: &Task, o: &mut SeqFile) -> Result {
    let (size, rss) = t.get_mm().map_or((0, 0), |mm| {
        let st = mm.lock();
        (st.stat.total_vm, st.rss.anon + st.rss.file)
    });
    writeln!(o, "{size} {rss} 0 0 0 0 0");
    Ok(())
}

fn maps(t: &Task, o: &mut SeqFile) -> Result {
    let Some(mm) = t.get_mm() else { return Ok(()) };
    let st = mm.lock();
    for v in st.vmas.iter() {
        let bit = |f: VmFlags, c: char| if v.flags.contains(f) { c } else { '-' };
        let share = if v.flags.contains(VmFlags::MAYSHARE) { 's' } else { 'p' };
        let (dev, ino) = v.backing.file().map_or((0, 0), |f| f.dev_ino());
        let off = if v.backing.file().is_some() { v.pgoff * 4096 } else { 0 };
        let line = o.len();
        write!(
            o,
            "{:08x}-{:08x} {}{}{}{share} {off:08x} {:02x}:{:02x} {ino} ",
            v.start,
            v.end,
            bit(VmFlags::READ, 'r'),
            bit(VmFlags::WRITE, 'w'),
            bit(VmFlags::EXEC, 'x'),
            dev >> 8 & 0xfff,
            dev & 0xff,
        );
        let mut name = Vec::new();
        match &v.backing {
            Backing::File(f) => f.name(&mut name),
            Backing::Special(s) => name.extend(s.name.bytes()),
            Backing::Anon if st.is_heap(v) => name.extend(b"[heap]"),
            Backing::Anon if st.is_stack(v) => name.extend(b"[stack]"),
            Backing::Anon => {}
        }
        if !name.is_empty() {
            o.pad(line, 73);
            o.put(&name);
        }
        o.put(b"\n");
    }
    if let Some(line) = crate::arch::x86::entry::vsyscall_64::gate_vma() {
        o.put(line.as_bytes());
    }
    Ok(())
}

/// Copies a range of another process's memory, as much as is there.
fn read_range(
    t: &Task,
    o: &mut SeqFile,
    range: impl Fn(&crate::mm::mm_struct::Layout) -> (usize, usize),
) -> Result {
    let Some(mm) = t.get_mm() else { return Ok(()) };
    let (start, end) = range(&mm.lock().layout);
    let len = end.saturating_sub(start).min(1 << 21);
    let mut b = kvcalloc(len)?;
    if mm.read_bytes(start, &mut b).is_ok() {
        o.put(&b);
    }
    Ok(())
}

fn cmdline(t: &Task, o: &mut SeqFile) -> Result {
    read_range(t, o, |l| (l.arg_start, l.arg_end))
}

fn environ(t: &Task, o: &mut SeqFile) -> Result {
    read_range(t, o, |l| (l.env_start, l.env_end))
}

fn comm(t: &Task, o: &mut SeqFile) -> Result {
    o.put(&t.comm());
    o.put(b"\n");
    Ok(())
}

fn auxv(t: &Task, o: &mut SeqFile) -> Result {
    if let Some(mm) = t.get_mm() {
        for w in &mm.lock().saved_auxv {
            o.put(&w.to_le_bytes());
        }
    }
    Ok(())
}

fn mounts(t: &Task, o: &mut SeqFile) -> Result {
    let root = t.fs.get().root();
    for m in crate::fs::namespace::all_mounts() {
        let Ok((path, _)) = m.root_path().path_from(&root) else { continue };
        o.put(&m.source);
        o.put(b" ");
        o.put(&path);
        let rw = if m.is_readonly() { "ro" } else { "rw" };
        writeln!(o, " {} {rw}{} 0 0", m.root.inode.sb.fs.name, m.root.inode.sb.options);
    }
    Ok(())
}
