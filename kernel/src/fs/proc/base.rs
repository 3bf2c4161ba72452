// SPDX-License-Identifier: GPL-2.0-only
//! A process's directory in `/proc` (Linux 6.1, `fs/proc/base.c`).

use super::fd::{FdDir, FdInfoDir};
use super::file::{Kind, Polled, ProcFile};
use super::map_files::MapFilesDir;
use super::mem::MemFile;
use super::pagemap::Pagemap;
use super::{ProcLink, array, kstack, smaps, task_mmu};
use crate::arch::x86::syscall::syscall_get_arguments;
use crate::errno::{EACCES, EINVAL, ENOENT, ENOMEM, EPERM, ESRCH, Result};
use crate::fs::FsStruct;
use crate::fs::dcache::Dentry;
use crate::fs::file_table::{FileOps, poll};
use crate::fs::inode::mode::*;
use crate::fs::inode::{Dev, Fixed, Inode, InodeOps, Link};
use crate::fs::libfs::{DirContext, DirOps};
use crate::fs::namespace::MOUNT_EVENTS;
use crate::fs::proc_namespace;
use crate::fs::seq_file::SeqFile;
use crate::fs::superblock::SuperBlock;
use crate::kernel::exit::next_child;
use crate::kernel::fork::{find_task, for_each_process};
use crate::kernel::ptrace::{PtraceMode, ptrace_may_access};
use crate::kernel::task::{TASK_RUNNING, Task, current};
use crate::mm::Mm;
use crate::mm::mm_struct::{Layout, SUID_DUMP_USER};
use crate::mm::oom_kill;
use crate::mm::page_alloc::PAGE_SIZE;
use crate::mm::util::kvcalloc;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

pub use super::array::state_char;

/// Positions of processes in the root's listing begin here, above the static names.
const PID_POS: u64 = 1 << 41;

/// A number as names have it: digits alone, without zeroes before them (`name_to_int`).
pub fn name_to_int(name: &[u8]) -> Option<i32> {
    let zero_first = name.len() > 1 && name[0] == b'0';
    if zero_first || !name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(name).ok()?.parse().ok()
}

/// Who owns what `/proc` has of a task: its user, but root where the memory is not its
/// user's; directories for everybody are always its user's (`task_dump_owner`).
fn task_dump_owner(t: &Task, mode: u32) -> (u32, u32) {
    let cred = t.cred.get();
    let own = mode == S_IFDIR | 0o555 || t.get_mm().is_some_and(|mm| mm.dumpable() == SUID_DUMP_USER);
    if own { (cred.euid, cred.egid) } else { (0, 0) }
}

/// An inode about a task.
pub fn pid_inode(sb: &Arc<SuperBlock>, t: &Task, mode: u32, ops: Box<dyn InodeOps>) -> Arc<Inode> {
    fixed_inode(sb, t, (mode, Fixed::Mode), ops)
}

fn fixed_inode(
    sb: &Arc<SuperBlock>,
    t: &Task,
    (mode, fixed): (u32, Fixed),
    ops: Box<dyn InodeOps>,
) -> Arc<Inode> {
    let inode = Inode::with_fixed(sb, (mode, fixed), Dev(0), ops);
    let mut a = inode.attr.lock();
    (a.uid, a.gid) = task_dump_owner(t, mode);
    drop(a);
    inode
}

/// Whether the current task may see what `t` has: `EACCES`.
pub fn may_look(t: &Task) -> Result {
    if ptrace_may_access(t, PtraceMode::FsCreds) { Ok(()) } else { Err(EACCES) }
}

/// A task's memory, for those who may look at it; they do not keep it from going. A task that has
/// none has nothing to see (`proc_mem_open`, `mm_access`).
pub fn proc_mem_open(pid: i32) -> Result<Weak<Mm>> {
    let t = find_task(pid).ok_or(ESRCH)?;
    let Some(mm) = t.get_mm() else { return Ok(Weak::new()) };
    if !current().get_mm().is_some_and(|own| Arc::ptr_eq(&own, &mm)) {
        may_look(&t)?;
    }
    Ok(Arc::downgrade(&mm))
}

/// The directory of the process or thread called `name`.
pub fn lookup_pid(sb: &Arc<SuperBlock>, name: &[u8]) -> Option<Arc<Inode>> {
    let t = find_task(name_to_int(name).filter(|&pid| pid > 0)?)?;
    Some(pid_dir(sb, &t, false))
}

fn pid_dir(sb: &Arc<SuperBlock>, t: &Task, thread: bool) -> Arc<Inode> {
    fixed_inode(sb, t, (S_IFDIR | 0o555, Fixed::All), Box::new(PidDir { id: t.pid(), thread }))
}

/// Lists the processes.
pub fn iterate_pids(ctx: &mut DirContext<'_>) {
    let mut more = true;
    for_each_process(|t| {
        let pos = PID_POS + t.pid() as u64;
        if more && pos >= ctx.pos {
            more = ctx.add(format!("{}", t.pid()).as_bytes(), t.pid() as u64 + (1 << 32), S_IFDIR, pos + 1);
        }
    });
}

/// `/proc/PID`, or `/proc/PID/task/TID`.
struct PidDir {
    id: i32,
    thread: bool,
}

/// What a file's text is made of.
#[derive(Clone, Copy)]
enum PidFile {
    /// The task, whoever asks.
    Task(fn(&Task, &mut SeqFile) -> Result),
    /// Its memory as it was when the file was opened, for those who may look at it
    /// (`proc_mem_open`).
    Memory(fn(&Mm, &mut SeqFile) -> Result),
}
use PidFile::{Memory, Task as Of};

type Row = (&'static str, u32, PidFile);

/// What processes have and threads do not.
const PROCESS_FILES: &[Row] =
    &[("stat", 0o444, Of(array::stat)), ("mountstats", 0o400, Of(proc_namespace::mountstats))];
/// What threads have and processes do not.
const THREAD_FILES: &[Row] = &[("stat", 0o444, Of(array::thread_stat)), ("children", 0o444, Of(children))];
/// What both have.
const FILES: &[Row] = &[
    ("status", 0o444, Of(array::status)),
    ("maps", 0o444, Memory(task_mmu::maps)),
    ("cmdline", 0o444, Of(cmdline)),
    ("environ", 0o400, Memory(environ)),
    ("comm", 0o644, Of(comm)),
    ("auxv", 0o400, Memory(auxv)),
    ("mounts", 0o444, Of(proc_namespace::mounts)),
    ("mountinfo", 0o444, Of(proc_namespace::mountinfo)),
    ("limits", 0o444, Of(limits)),
    ("personality", 0o400, Of(personality)),
    ("syscall", 0o400, Of(syscall)),
    ("smaps", 0o444, Memory(smaps::smaps)),
    ("smaps_rollup", 0o444, Memory(smaps::smaps_rollup)),
    ("statm", 0o444, Of(array::statm)),
    ("wchan", 0o444, Of(kstack::wchan)),
    ("stack", 0o400, Of(kstack::stack)),
    // There are no control groups to be in.
    ("cgroup", 0o444, Of(|_, _| Ok(()))),
    ("oom_adj", 0o644, Of(oom_kill::show_adj)),
    ("oom_score", 0o444, Of(oom_kill::show_score)),
    ("oom_score_adj", 0o644, Of(oom_kill::show_score_adj)),
];
const LINKS: &[&str] = &["exe", "cwd", "root"];
const DIRS: &[&str] = &["fd", "fdinfo"];
const PROCESS_DIRS: &[&str] = &["task", "map_files"];

impl PidFile {
    fn file(self, pid: i32) -> ProcFile {
        match self {
            Of(show) => ProcFile::new(move |o| show(&*find_task(pid).ok_or(ESRCH)?, o)),
            Memory(show) => ProcFile::opened_by(move || {
                let mm = proc_mem_open(pid)?;
                Ok(Arc::new(move |o: &mut SeqFile| mm.upgrade().map_or(Ok(()), |mm| show(&mm, o))))
            }),
        }
    }
}

impl PidDir {
    fn files(&self) -> impl Iterator<Item = &'static Row> {
        let own = if self.thread { THREAD_FILES } else { PROCESS_FILES };
        own.iter().chain(FILES)
    }
}

impl InodeOps for PidDir {
    fn tgid(&self) -> Option<i32> {
        (!self.thread).then_some(self.id)
    }
    fn absent(&self) -> Result {
        Err(ENOENT)
    }
    fn lookup(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let sb = &dir.inode.sb;
        let pid = self.id;
        let Some(t) = find_task(pid) else { return Ok(None) };
        if let Some(&(_, mode, file)) = self.files().find(|f| f.0.as_bytes() == name) {
            let file = file.file(pid);
            let file = match name {
                b"cmdline" | b"environ" | b"auxv" => file.of_kind(Kind::Plain),
                b"mounts" | b"mountinfo" => {
                    file.of_kind(Kind::SeqIter).polled(Polled::Events(&MOUNT_EVENTS, poll::IN | poll::RDNORM))
                }
                b"mountstats" => file.of_kind(Kind::SeqIter),
                b"comm" => file.with_store(move |b| set_comm(pid, b)),
                b"oom_adj" => file
                    .of_kind(Kind::Plain)
                    .with_store(move |b| oom_kill::set_adj(&*find_task(pid).ok_or(ESRCH)?, b)),
                b"oom_score_adj" => file
                    .of_kind(Kind::Anywhere)
                    .with_store(move |b| oom_kill::set_score_adj(&*find_task(pid).ok_or(ESRCH)?, b)),
                _ => file,
            };
            return Ok(Some(pid_inode(sb, &t, S_IFREG | mode, Box::new(file))));
        }
        if let Some(&which) = LINKS.iter().find(|l| l.as_bytes() == name) {
            let link = ProcLink(Box::new(move || task_link(pid, which)));
            return Ok(Some(pid_inode(sb, &t, S_IFLNK | 0o777, Box::new(link))));
        }
        Ok(match name {
            b"mem" => Some(pid_inode(sb, &t, S_IFREG | 0o600, Box::new(MemFile(pid)))),
            b"fd" => Some(pid_inode(sb, &t, S_IFDIR | 0o500, Box::new(FdDir(pid)))),
            b"fdinfo" => Some(pid_inode(sb, &t, S_IFDIR | 0o555, Box::new(FdInfoDir(pid)))),
            b"pagemap" => Some(pid_inode(sb, &t, S_IFREG | 0o400, Box::new(Pagemap(pid)))),
            _ if self.thread => None,
            b"map_files" => Some(pid_inode(sb, &t, S_IFDIR | 0o500, Box::new(MapFilesDir(pid)))),
            b"task" => Some(pid_inode(sb, &t, S_IFDIR | 0o555, Box::new(TaskDir(pid)))),
            _ => None,
        })
    }
    fn iterate(&self, _: &Arc<Dentry>, ctx: &mut DirContext<'_>) -> Result {
        let files = self.files().map(|f| f.0).chain(["mem", "pagemap"]).map(|name| (name, S_IFREG));
        let more = if self.thread { &[] } else { PROCESS_DIRS };
        let dirs = DIRS.iter().chain(more).map(|&d| (d, S_IFDIR));
        let all = files.chain(LINKS.iter().map(|&l| (l, S_IFLNK))).chain(dirs);
        list(ctx, all.map(|(n, m)| (String::from(n), m)));
        Ok(())
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps::Generic))
    }
}

/// Lists names, each with its type.
pub fn list(ctx: &mut DirContext<'_>, names: impl Iterator<Item = (String, u32)>) {
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

/// `/proc/PID/task`.
struct TaskDir(i32);
impl InodeOps for TaskDir {
    fn absent(&self) -> Result {
        Err(ENOENT)
    }
    fn lookup(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let Some(tid) = name_to_int(name) else { return Ok(None) };
        let Some(t) = find_task(tid) else { return Ok(None) };
        let same = find_task(self.0).is_some_and(|p| p.tgid == t.tgid);
        Ok(same.then(|| pid_dir(&dir.inode.sb, &t, true)))
    }
    fn iterate(&self, _: &Arc<Dentry>, ctx: &mut DirContext<'_>) -> Result {
        let t = find_task(self.0).ok_or(ESRCH)?;
        // Room for them is made before the lock is taken.
        let mut ids: Vec<i32> = Vec::new();
        ids.try_reserve(t.signal.nr_threads.load(Relaxed) as usize).map_err(|_| ENOMEM)?;
        t.signal.threads.with_irqs_off(|v| ids.extend(v.iter().take(ids.capacity()).map(|t| t.pid())));
        list(ctx, ids.into_iter().map(|i| (format!("{i}"), S_IFDIR)));
        Ok(())
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps::Generic))
    }
}

/// Root and working directory of a task that has not given them up.
pub fn task_fs(t: &Task) -> Option<Arc<FsStruct>> {
    t.fs.lock().clone()
}

fn task_link(pid: i32, which: &str) -> Result<Link> {
    let t = find_task(pid).ok_or(ENOENT)?;
    may_look(&t)?;
    match which {
        "cwd" => Ok(Link::Place(task_fs(&t).ok_or(ENOENT)?.pwd())),
        "root" => Ok(Link::Place(task_fs(&t).ok_or(ENOENT)?.root())),
        _ => {
            let mm = t.get_mm().ok_or(ENOENT)?;
            let exe = mm.lock().exe_file.clone().ok_or(ENOENT)?;
            Ok(Link::Place(exe.path().ok_or(ENOENT)?))
        }
    }
}

/// Copies a range of a process's memory, as much as is there.
fn read_range(mm: &Mm, o: &mut SeqFile, range: impl Fn(&Layout) -> (usize, usize)) -> Result {
    let (start, end) = range(&mm.lock().layout);
    let len = end.saturating_sub(start).min(1 << 21);
    let mut b = kvcalloc(len)?;
    if mm.read_bytes(start, &mut b).is_ok() {
        o.put(&b);
    }
    Ok(())
}

/// The arguments. Who has written over the zero behind the last one has given itself a title, which may
/// go on where the environment was: all up to the first zero (`get_mm_cmdline`, `get_mm_proctitle`).
fn cmdline(t: &Task, o: &mut SeqFile) -> Result {
    let Some(mm) = t.get_mm() else { return Ok(()) };
    let (start, end, env) = {
        let l = &mm.lock().layout;
        (l.arg_start, l.arg_end, (l.env_start, l.env_end))
    };
    let mut last = [0];
    if start >= end || mm.read_bytes(end - 1, &mut last).is_err() || last == [0] {
        return read_range(&mm, o, |l| (l.arg_start, l.arg_end));
    }
    let end = if env.0 == end { env.1.max(end) } else { end };
    let mut title = kvcalloc((end - start).min(PAGE_SIZE))?;
    let n = mm.lock().read_remote(start, &mut title, false);
    let title = &title[..n];
    o.put(title.iter().position(|&b| b == 0).map_or(title, |zero| &title[..=zero]));
    Ok(())
}

fn environ(mm: &Mm, o: &mut SeqFile) -> Result {
    read_range(mm, o, |l| (l.env_start, l.env_end))
}

fn comm(t: &Task, o: &mut SeqFile) -> Result {
    o.put(&t.comm());
    o.put(b"\n");
    Ok(())
}

/// A thread of the same process gets another name; what is too long is cut (`comm_write`).
fn set_comm(pid: i32, text: &[u8]) -> Result {
    let t = find_task(pid).ok_or(ESRCH)?;
    if t.tgid != current().tgid {
        return Err(EINVAL);
    }
    let mut name = [0; 16];
    let text = text.split(|&b| b == 0).next().unwrap_or(&[]);
    let len = text.len().min(15);
    name[..len].copy_from_slice(&text[..len]);
    *t.comm.lock() = name;
    Ok(())
}

fn auxv(mm: &Mm, o: &mut SeqFile) -> Result {
    for w in &mm.lock().saved_auxv {
        o.put(&w.to_le_bytes());
    }
    Ok(())
}

/// Whether the current task may see where another is, and with what (`lock_trace`).
pub fn may_trace(t: &Task) -> Result {
    may_look(t).map_err(|_| EPERM)
}

fn personality(t: &Task, o: &mut SeqFile) -> Result {
    may_trace(t)?;
    writeln!(o, "{:08x}", t.personality.load(Relaxed));
    Ok(())
}

/// The children that a thread has made (Linux 6.1, `fs/proc/array.c`, `children_seq_show`).
fn children(t: &Task, o: &mut SeqFile) -> Result {
    let mut from = 0;
    while let Some((place, child)) = next_child(t, from) {
        write!(o, "{} ", child.pid());
        from = place + 1;
    }
    Ok(())
}

/// `syscall`: the call that a task is in, its arguments, and where it came from
/// (`proc_pid_syscall`).
fn syscall(t: &Task, o: &mut SeqFile) -> Result {
    may_trace(t)?;
    if t.rel.is_zombie() {
        o.put(b"-1 0x0 0x0\n");
        return Ok(());
    }
    if !current().is(t) && t.state.load(Relaxed) == TASK_RUNNING {
        o.put(b"running\n");
        return Ok(());
    }
    // SAFETY: its own state, and its user registers, on its kernel stack; it sleeps in the kernel, or is the one who
    // asks.
    let (r, compat) = unsafe { (&*t.task_pt_regs(), (*t.thread.get()).compat_syscall.get()) };
    // An `int` (`syscall_get_nr`).
    let nr = r.orig_ax.get() as i32;
    write!(o, "{nr}");
    if nr >= 0 {
        for a in syscall_get_arguments(r, compat) {
            write!(o, " {a:#x}");
        }
    }
    writeln!(o, " {:#x} {:#x}", r.sp.get(), r.ip.get());
    Ok(())
}

/// `limits` (`proc_pid_limits`).
fn limits(t: &Task, o: &mut SeqFile) -> Result {
    use crate::kernel::signal::rlimit as r;
    const ROWS: [(usize, &str, &str); r::NLIMITS] = [
        (r::CPU, "Max cpu time", "seconds"),
        (r::FSIZE, "Max file size", "bytes"),
        (r::DATA, "Max data size", "bytes"),
        (r::STACK, "Max stack size", "bytes"),
        (r::CORE, "Max core file size", "bytes"),
        (r::RSS, "Max resident set", "bytes"),
        (r::NPROC, "Max processes", "processes"),
        (r::NOFILE, "Max open files", "files"),
        (r::MEMLOCK, "Max locked memory", "bytes"),
        (r::AS, "Max address space", "bytes"),
        (r::LOCKS, "Max file locks", "locks"),
        (r::SIGPENDING, "Max pending signals", "signals"),
        (r::MSGQUEUE, "Max msgqueue size", "bytes"),
        (r::NICE, "Max nice priority", ""),
        (r::RTPRIO, "Max realtime priority", ""),
        (r::RTTIME, "Max realtime timeout", "us"),
    ];
    writeln!(o, "{:<25} {:<20} {:<20} {:<10}", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (resource, name, unit) in ROWS {
        let (soft, hard) = t.signal.rlimit(resource);
        write!(o, "{name:<25} ");
        for value in [soft, hard] {
            if value == u64::MAX {
                write!(o, "{:<20} ", "unlimited");
            } else {
                write!(o, "{value:<20} ");
            }
        }
        if unit.is_empty() {
            o.put(b"\n");
        } else {
            writeln!(o, "{unit:<10}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_numbers() {
        assert_eq!(name_to_int(b"0"), Some(0));
        assert_eq!(name_to_int(b"2147483647"), Some(i32::MAX));
        for bad in [&b""[..], b"00", b"01", b"+1", b"-1", b" 1", b"1x", b"2147483648"] {
            assert_eq!(name_to_int(bad), None);
        }
    }
}
