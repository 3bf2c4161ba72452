// SPDX-License-Identifier: GPL-2.0-only
//! What a core dump consists of: ELF headers, notes, memory (Linux 6.1,
//! `fs/binfmt_elf.c`, `elf_core_dump`; `fs/coredump.c`, `vma_dump_size`).

use crate::arch::x86::entry::vsyscall_64::{self, VSYSCALL_ADDR};
use crate::arch::x86::kernel::process_64::segments;
use crate::arch::x86::kernel::ptrace::Stopped;
use crate::arch::x86::kernel::ptrace::regset::{
    NT_PRFPREG, NT_PRSTATUS, UserRegsetView, task_user_regset_view,
};
use crate::arch::x86::mm::init::phys_to_virt;
use crate::errno::{EINTR, ENOMEM, Result};
use crate::fs::coredump::{Dump, is_in_dump};
use crate::fs::inode::mode::S_IXUGO;
use crate::fs::proc::base::state_char;
use crate::kernel::sched::cond_resched;
use crate::kernel::signal::{KernelSiginfo, fatal_signal_pending};
use crate::kernel::task::{Current, Task};
use crate::mm::mm_struct::Mm;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use crate::mm::util::try_push;
use crate::mm::vma::{Backing, VmFile, VmFlags, Vma};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use zerocopy::{Immutable, IntoBytes};

const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_FILE: u32 = 0x4649_4c45;
const NT_SIGINFO: u32 = 0x5349_4749;
/// `Elf64_Ehdr`.
#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct Ehdr {
    ident: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    phoff: u64,
    shoff: u64,
    flags: u32,
    ehsize: u16,
    phentsize: u16,
    phnum: u16,
    shentsize: u16,
    shnum: u16,
    shstrndx: u16,
}

/// `Elf64_Phdr`.
#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
struct Phdr {
    kind: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    paddr: u64,
    filesz: u64,
    memsz: u64,
    align: u64,
}

/// `struct elf_prstatus`.
#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct PrStatus {
    signo: i32,
    code: i32,
    errno: i32,
    cursig: u16,
    _pad: u16,
    sigpend: u64,
    sighold: u64,
    pid: i32,
    ppid: i32,
    pgrp: i32,
    sid: i32,
    /// User, system, children's user, children's system: seconds and microseconds.
    times: [[u64; 2]; 4],
    /// `user_regs_struct`, or what there is of i386's.
    reg: [u8; 27 * 8],
    fpvalid: u32,
    _tail: u32,
}

/// `struct elf_prpsinfo`.
#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct PrPsinfo {
    state: u8,
    sname: u8,
    zomb: u8,
    nice: i8,
    _pad: u32,
    flag: u64,
    uid: u32,
    gid: u32,
    pid: i32,
    ppid: i32,
    pgrp: i32,
    sid: i32,
    fname: [u8; 16],
    psargs: [u8; 80],
}

const _: () = {
    assert!(size_of::<Ehdr>() == 64 && size_of::<Phdr>() == 56 && size_of::<Shdr>() == 64);
    assert!(size_of::<PrStatus>() == 336 && core::mem::offset_of!(PrStatus, reg) == 112);
    assert!(size_of::<PrPsinfo>() == 136 && core::mem::offset_of!(PrPsinfo, fname) == 40);
};

/// A mapping as it is dumped.
struct DumpVma {
    start: usize,
    end: usize,
    flags: VmFlags,
    /// How much of it goes into the file.
    size: usize,
    file: Option<(Arc<dyn VmFile>, u64)>,
    kind: DumpKind,
}

/// How a page is dumped that was never touched, and whether one that was touched is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DumpKind {
    /// A hole.
    Touched,
    /// Faulted in: it has content all the same.
    All,
    /// What may not be looked into is a hole.
    Nothing,
    /// The page of the legacy system calls, which is nobody's mapping.
    Gate,
}

/// How much of a mapping is dumped, with the default filter: what the process made
/// itself, and the first page of what looks like a program (`vma_dump_size`,
/// `coredump_filter` 0x33).
fn vma_dump_size(v: &Vma) -> usize {
    let whole = v.end - v.start;
    if v.flags.contains(VmFlags::DONTDUMP) && !matches!(v.backing, Backing::Special(_)) {
        return 0;
    }
    match &v.backing {
        Backing::Special(_) => whole,
        // Shared memory without a name is a file that nobody can open.
        Backing::File(f) if v.flags.contains(VmFlags::SHARED) => {
            if f.mode_nlink().1 == 0 {
                whole
            } else {
                0
            }
        }
        // Touched private memory of either kind.
        _ if v.anon_vma => whole,
        Backing::File(f) if v.pgoff == 0 && v.flags.contains(VmFlags::READ) => {
            let may_run = f.mode_nlink().0 & S_IXUGO != 0;
            if may_run || starts_like_elf(v) { PAGE_SIZE } else { 0 }
        }
        Backing::Anon | Backing::File(_) => 0,
    }
}

/// Whether the file that is mapped at `v` is an ELF file.
fn starts_like_elf(v: &Vma) -> bool {
    let page = v.backing.file().and_then(|f| f.fault_page(0).ok());
    page.is_some_and(|p| {
        let mut magic = [0; 4];
        p.read(0, &mut magic);
        magic == *b"\x7fELF"
    })
}

/// The mappings, noted so that the lock need not be kept (`dump_vma_snapshot`).
fn dump_vma_snapshot(mm: &Mm) -> Result<Vec<DumpVma>> {
    let st = mm.lock();
    let mut all = Vec::new();
    all.try_reserve_exact(st.vmas.len() + 1).map_err(|_| ENOMEM)?;
    for v in st.vmas.iter() {
        let file = v.backing.file().map(|f| (f.clone(), v.pgoff));
        let kind = match v.backing {
            _ if v.flags.intersects(VmFlags::IO | VmFlags::PFNMAP) => DumpKind::Nothing,
            Backing::Anon => DumpKind::Touched,
            Backing::File(_) | Backing::Special(_) => DumpKind::All,
        };
        all.push(DumpVma { start: v.start, end: v.end, flags: v.flags, size: vma_dump_size(v), file, kind });
    }
    if let Some(flags) = vsyscall_64::gate_vma_flags() {
        let start = VSYSCALL_ADDR as usize;
        let (end, size) = (start + PAGE_SIZE, PAGE_SIZE);
        all.push(DumpVma { start, end, flags, size, file: None, kind: DumpKind::Gate });
    }
    Ok(all)
}

/// Notes, one after the other.
#[derive(Default)]
struct Notes(Vec<u8>);

impl Notes {
    /// Adds one; name and content are padded to four bytes (`fill_note`, `writenote`).
    fn add(&mut self, name: &[u8], kind: u32, content: &[u8]) -> Result {
        let len = 12 + name.len().next_multiple_of(4) + content.len().next_multiple_of(4);
        self.0.try_reserve(len).map_err(|_| ENOMEM)?;
        for word in [name.len() as u32, content.len() as u32, kind] {
            self.0.extend_from_slice(&word.to_le_bytes());
        }
        for part in [name, content] {
            self.0.extend_from_slice(part);
            self.0.resize(self.0.len().next_multiple_of(4), 0);
        }
        Ok(())
    }
}

const CORE: &[u8] = b"CORE\0";
const LINUX: &[u8] = b"LINUX\0";

fn timeval(ns: u64) -> [u64; 2] {
    [ns / 1_000_000_000, ns % 1_000_000_000 / 1000]
}

/// `fill_prstatus`; `general` are the registers.
fn prstatus(t: &Task, info: &KernelSiginfo, general: &[u8]) -> PrStatus {
    let (children, own) = (t.signal.children.times.get(), t.signal.cputime());
    // The leader tells of the process, the others of themselves.
    let (utime, stime) = if t.is_leader() { own } else { (t.utime.load(Relaxed), t.stime.load(Relaxed)) };
    let mut reg = [0; 27 * 8];
    reg[..general.len()].copy_from_slice(general);
    PrStatus {
        signo: info.si_signo,
        // Only the note with the siginfo has these.
        code: 0,
        errno: 0,
        cursig: info.si_signo as u16,
        _pad: 0,
        sigpend: t.sig.pending.set().0,
        sighold: t.sig.blocked().0,
        pid: t.pid(),
        ppid: t.signal.ppid.load(Relaxed),
        pgrp: t.signal.pgrp(),
        sid: t.signal.session(),
        times: [timeval(utime), timeval(stime), timeval(children.0), timeval(children.1)],
        reg,
        fpvalid: 1,
        _tail: 0,
    }
}

/// `fill_psinfo`.
fn prpsinfo(t: &Task, mm: &Mm) -> PrPsinfo {
    let state = state_char(t) as u8;
    let cred = t.cred.get();
    let mut fname = [0; 16];
    let comm = t.comm();
    fname[..comm.len().min(15)].copy_from_slice(&comm[..comm.len().min(15)]);
    let mut psargs = [0; 80];
    let (start, end) = {
        let st = mm.lock();
        (st.layout.arg_start, st.layout.arg_end)
    };
    let len = end.saturating_sub(start).min(79);
    if mm.read_bytes(start, &mut psargs[..len]).is_err() {
        psargs.fill(0);
    }
    for b in &mut psargs[..len] {
        if *b == 0 {
            *b = b' ';
        }
    }
    PrPsinfo {
        state: b"RSDTtXZPI".iter().position(|&c| c == state).unwrap_or(0) as u8,
        sname: state,
        zomb: u8::from(state == b'Z'),
        nice: t.se.params().nice as i8,
        _pad: 0,
        flag: u64::from(t.pf.load(Relaxed)),
        uid: cred.uid,
        gid: cred.gid,
        pid: t.pid(),
        ppid: t.signal.ppid.load(Relaxed),
        pgrp: t.signal.pgrp(),
        sid: t.signal.session(),
        fname,
        psargs,
    }
}

/// The table of mapped files (`fill_files_note`).
fn files_note(vmas: &[DumpVma]) -> Result<Vec<u8>> {
    let mut names = Vec::new();
    let mut words: Vec<u64> = Vec::new();
    try_push(&mut words, 0)?;
    try_push(&mut words, PAGE_SIZE as u64)?;
    for v in vmas {
        let Some((file, pgoff)) = &v.file else { continue };
        words[0] += 1;
        for w in [v.start as u64, v.end as u64, *pgoff] {
            try_push(&mut words, w)?;
        }
        let mut name = Vec::new();
        file.name(&mut name);
        names.try_reserve(name.len() + 1).map_err(|_| ENOMEM)?;
        names.extend_from_slice(&name);
        names.push(0);
    }
    let mut note = Vec::new();
    note.try_reserve_exact(words.len() * 8 + names.len()).map_err(|_| ENOMEM)?;
    note.extend_from_slice(words.as_bytes());
    note.extend_from_slice(&names);
    Ok(note)
}

/// All notes: the dumping thread's first, with those of the process after its status
/// (`fill_note_info`, `write_note_info`).
fn notes(
    cur: Current,
    view: &UserRegsetView,
    info: &KernelSiginfo,
    mm: &Mm,
    vmas: &[DumpVma],
) -> Result<Vec<u8>> {
    let mut n = Notes::default();
    let mut threads: Vec<Arc<Task>> = kvcalloc_threads(cur)?;
    threads.insert(0, cur.to_arc());
    for (i, t) in threads.iter().enumerate() {
        // SAFETY: the thread is in the kernel and stays there; the own registers were saved.
        let stopped = unsafe { Stopped::new(t) };
        n.add(CORE, NT_PRSTATUS, prstatus(t, info, &(view.sets[0].get)(stopped)?).as_bytes())?;
        if i == 0 {
            n.add(CORE, NT_PRPSINFO, prpsinfo(t, mm).as_bytes())?;
            let mut siginfo = [0; 128];
            siginfo[..size_of::<KernelSiginfo>()].copy_from_slice(info.as_bytes());
            n.add(CORE, NT_SIGINFO, &siginfo)?;
            let auxv = mm.lock().saved_auxv.clone();
            n.add(CORE, NT_AUXV, auxv.as_bytes())?;
            n.add(CORE, NT_FILE, &files_note(vmas)?)?;
        }
        for set in view.sets[1..].iter().filter(|set| (set.active)(stopped)) {
            let owner = if set.note == NT_PRFPREG { CORE } else { LINUX };
            n.add(owner, set.note, &(set.get)(stopped)?)?;
        }
    }
    Ok(n.0)
}

/// The process's other threads that wait for the dump, with room for one more.
fn kvcalloc_threads(cur: Current) -> Result<Vec<Arc<Task>>> {
    cur.signal.threads.with_irqs_off(|v| {
        let mut others = Vec::new();
        others.try_reserve_exact(v.len() + 1).map_err(|_| ENOMEM)?;
        others.extend(v.iter().filter(|t| !cur.is(t) && is_in_dump(t)).cloned());
        Ok(others)
    })
}

fn phdr_of(v: &DumpVma, offset: u64) -> Phdr {
    let bit = |f: VmFlags, b: u32| if v.flags.contains(f) { b } else { 0 };
    Phdr {
        kind: 1,
        flags: bit(VmFlags::READ, 4) | bit(VmFlags::WRITE, 2) | bit(VmFlags::EXEC, 1),
        offset,
        vaddr: v.start as u64,
        filesz: v.size as u64,
        memsz: (v.end - v.start) as u64,
        align: PAGE_SIZE as u64,
        ..Phdr::default()
    }
}

/// `Elf64_Shdr`.
#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
struct Shdr {
    name: u32,
    kind: u32,
    flags: u64,
    addr: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    addralign: u64,
    entsize: u64,
}

/// So many segments, or more: the count is in a section header behind everything else.
const PN_XNUM: usize = 0xffff;

/// That section header (`fill_extnum_info`).
fn count_section(segments: usize) -> Option<Shdr> {
    (segments >= PN_XNUM).then(|| Shdr { size: 1, info: segments as u32, ..Shdr::default() })
}

fn headers(machine: u16, vmas: &[DumpVma], notes: usize) -> Result<(Ehdr, Vec<Phdr>)> {
    let segments = vmas.len() + 1;
    let notes_at = (size_of::<Ehdr>() + segments * size_of::<Phdr>()) as u64;
    let mut phdrs = Vec::new();
    phdrs.try_reserve_exact(segments).map_err(|_| ENOMEM)?;
    phdrs.push(Phdr { kind: 4, offset: notes_at, filesz: notes as u64, ..Phdr::default() });
    let mut offset = (notes_at + notes as u64).next_multiple_of(PAGE_SIZE as u64);
    for v in vmas {
        phdrs.push(phdr_of(v, offset));
        offset += v.size as u64;
    }
    let count = count_section(segments);
    let mut ident = [0; 16];
    ident[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let ehdr = Ehdr {
        ident,
        kind: 4,
        machine,
        version: 1,
        entry: 0,
        phoff: size_of::<Ehdr>() as u64,
        shoff: if count.is_some() { offset } else { 0 },
        flags: 0,
        ehsize: size_of::<Ehdr>() as u16,
        phentsize: size_of::<Phdr>() as u16,
        phnum: segments.min(PN_XNUM) as u16,
        shentsize: if count.is_some() { size_of::<Shdr>() as u16 } else { 0 },
        shnum: u16::from(count.is_some()),
        shstrndx: 0,
    };
    Ok((ehdr, phdrs))
}

/// A page of the process, if it has one there (`get_dump_page`).
fn dump_page(mm: &Mm, addr: usize, kind: DumpKind, to: &Page) -> bool {
    use crate::arch::x86::mm::pgtable::PteFlags;
    match kind {
        DumpKind::Nothing => return false,
        DumpKind::Gate => return vsyscall_64::copy_gate_page(to),
        DumpKind::Touched | DumpKind::All => {}
    }
    let mut st = mm.lock();
    if kind == DumpKind::All && st.pt.get(addr).is_none() {
        let Some(p) = st.vmas.find_containing(addr) else { return false };
        let _ = st.handle_mm_fault(p, addr, false);
    }
    let pte = st.pt.get(addr);
    if !pte.present() && !pte.has(PteFlags::PROTNONE) {
        return false;
    }
    // SAFETY: the page is mapped while the lock is held.
    let from = unsafe { core::slice::from_raw_parts(phys_to_virt(pte.phys()), PAGE_SIZE) };
    to.write(0, from);
    true
}

/// Writes the dump (`elf_core_dump`). `None` if it could not be begun; what does not fit
/// is left out.
pub fn elf_core_dump(cur: Current, info: &KernelSiginfo, dump: &mut Dump) -> Option<()> {
    let mm = cur.get_mm()?;
    let vmas = dump_vma_snapshot(&mm).ok()?;
    // The running thread's registers are not in its image yet.
    segments::save(cur.thread());
    cur.thread().fpu.sync();
    let view = task_user_regset_view(cur.pt_regs());
    let notes = notes(cur, view, info, &mm, &vmas).ok()?;
    let (ehdr, phdrs) = headers(view.machine, &vmas, notes.len()).ok()?;
    let page = Page::alloc().ok()?;
    let mut write = || -> Result {
        dump.emit(ehdr.as_bytes())?;
        dump.emit(phdrs.as_bytes())?;
        dump.emit(&notes)?;
        let pad = dump.position().next_multiple_of(PAGE_SIZE as u64) - dump.position();
        dump.skip(pad);
        for v in &vmas {
            for addr in (0..v.size).step_by(PAGE_SIZE).map(|at| v.start + at) {
                // A reservation may be of terabytes, and hardly used.
                cond_resched();
                if fatal_signal_pending(&cur) {
                    return Err(EINTR);
                }
                if dump_page(&mm, addr, v.kind, &page) {
                    // SAFETY: the page is this function's own.
                    dump.emit(unsafe { core::slice::from_raw_parts(page.as_ptr(), PAGE_SIZE) })?;
                } else {
                    dump.skip(PAGE_SIZE as u64);
                }
            }
        }
        count_section(vmas.len() + 1).map_or(Ok(()), |s| dump.emit(s.as_bytes()))
    };
    // Cut off where the limit, the disk or somebody's SIGKILL says so.
    let _ = write();
    Some(())
}
