// SPDX-License-Identifier: GPL-2.0-only
//! Running programs (Linux 6.1, `fs/exec.c`, `fs/binfmt_elf.c`, `fs/binfmt_script.c`).
//!
//! Everything that can fail is done on a new address space first; after the point of
//! no return, an error kills the process.

use crate::arch::x86::kernel::fpu::core::flush_thread;
use crate::arch::x86::kernel::process_64::start_thread;
use crate::arch::x86::lib::usercopy::{TASK_SIZE_MAX, get_user, strncpy_from_user};
use crate::errno::{E2BIG, EACCES, EFAULT, EINVAL, ELIBBAD, ELOOP, ENOENT, ENOEXEC, ENOMEM, Result};
use crate::fs::elf_image::{self, ElfImage};
use crate::fs::exec_stack::{StackInfo, build_stack};
use crate::fs::filemap::{AddressSpace, MappedFile};
use crate::fs::inode::MAY_EXEC;
use crate::fs::namei::{Follow, path_or_fd, user_path_at};
use crate::fs::namespace::Path;
use crate::kernel::fork::mm_release;
use crate::kernel::signal::jobctl::kill_other_threads;
use crate::kernel::signal::{action, force_fatal_sig, rlimit};
use crate::kernel::task::{current, pf};
use crate::mm::page_alloc::{PAGE_SIZE, page_align};
use crate::mm::vma::{Backing, VmFile, VmFlags};
use crate::mm::{Mm, leave_mm};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as abi;

/// Longest argument or environment string (`MAX_ARG_STRLEN`).
const MAX_ARG_STRLEN: usize = 128 << 10;
/// How deep scripts may name scripts.
const MAX_INTERP: usize = 5;
/// Top of the stack without randomisation.
const STACK_TOP: usize = TASK_SIZE_MAX;
/// Where position-independent programs without an interpreter go (`ELF_ET_DYN_BASE`).
const ELF_ET_DYN_BASE: usize = (TASK_SIZE_MAX / 3 * 2) & !(PAGE_SIZE - 1);

/// A program about to run (`struct linux_binprm`).
struct Binprm {
    /// The program's path, as `comm` and `AT_EXECFN` show it.
    filename: Vec<u8>,
    /// The file to load: the program, or its script's interpreter.
    file: Path,
    argv: Vec<Vec<u8>>,
    envp: Vec<Vec<u8>>,
}

fn mapping(p: &Path) -> Result<&AddressSpace> {
    p.dentry.inode.ops.mapping().ok_or(EACCES)
}

/// A file that may be run: regular, executable, not on a `noexec` mount (`do_open_execat`).
fn open_exec(p: Path) -> Result<Path> {
    let inode = &p.dentry.inode;
    if !inode.is_reg() {
        return Err(EACCES);
    }
    inode.permission(&current().cred.get(), MAY_EXEC)?;
    if p.mnt.flags.load(Ordering::Relaxed) & abi::MS_NOEXEC != 0 {
        return Err(EACCES);
    }
    // Nobody may be writing it (ETXTBSY).
    inode.deny_write_access()?;
    inode.allow_write_access();
    Ok(p)
}

fn read_at(p: &Path, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut b = alloc::vec![0; len];
    let n = mapping(p)?.read_kernel(offset, &mut b);
    b.truncate(n);
    Ok(b)
}

/// A script's interpreter, and its one argument.
type Interpreter = (Vec<u8>, Option<Vec<u8>>);

/// If the file is a script: interpreter and its one argument (`load_script`).
fn parse_script(start: &[u8]) -> Result<Option<Interpreter>> {
    let Some(line) = start.strip_prefix(b"#!") else { return Ok(None) };
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let cut = line.iter().position(|&b| b == b'\n' || b == 0);
    let whole = cut.is_some() || start.len() < 256;
    let line = &line[..cut.unwrap_or(line.len())];
    let line = line.trim_ascii_start();
    let end = line.iter().position(blank);
    if line.is_empty() || end.is_none() && !whole {
        return Err(ENOEXEC);
    }
    let (interp, rest) = line.split_at(end.unwrap_or(line.len()));
    let arg = rest.trim_ascii();
    Ok(Some((interp.to_vec(), (!arg.is_empty()).then(|| arg.to_vec()))))
}

fn load_image(p: &Path) -> Result<ElfImage> {
    let size = mapping(p)?.size();
    let start = read_at(p, 0, 256)?;
    let (at, len) = elf_image::program_headers(&start)?;
    let table = read_at(p, at, len)?;
    if table.len() != len {
        return Err(ENOEXEC);
    }
    elf_image::parse(&start, &table, size)
}

/// Follows `#!` until there is an ELF file.
fn resolve_scripts(b: &mut Binprm) -> Result {
    for _ in 0..=MAX_INTERP {
        let start = read_at(&b.file, 0, 256)?;
        let Some((interp, arg)) = parse_script(&start)? else { return Ok(()) };
        let mut argv = alloc::vec![interp.clone()];
        argv.extend(arg);
        argv.push(b.filename.clone());
        argv.extend(b.argv.drain(..).skip(1));
        b.argv = argv;
        b.file = open_exec(user_path_at(abi::AT_FDCWD, &interp, Follow::Yes)?)?;
        b.filename = interp;
    }
    Err(ELOOP)
}

/// Random bytes for addresses and `AT_RANDOM`: a counter through a strong mixer,
/// seeded by the clock at each call.
fn random_u64() -> u64 {
    crate::drivers::char::random::get_random_u64()
}

/// Whether this program's addresses are randomised.
fn randomize() -> bool {
    const ADDR_NO_RANDOMIZE: u32 = 0x004_0000;
    current().personality.load(Ordering::Relaxed) & ADDR_NO_RANDOMIZE == 0
        && crate::fs::proc::sysctl::RANDOMIZE_VA_SPACE.load(Ordering::Relaxed) != 0
        && !crate::lib::cmdline::flag("norandmaps")
}

/// Maps one image at `bias`; returns the end of its last segment's memory.
fn map_image(mm: &Mm, file: &Arc<dyn VmFile>, i: &ElfImage, bias: u64) -> Result<usize> {
    let mut end = 0;
    // Room for the whole image is asked for with the first segment (`elf_map`).
    let first = (i.segments[0].vaddr.wrapping_add(bias) as usize) & !(PAGE_SIZE - 1);
    let total = elf_image::total_size(i) as usize;
    if total > TASK_SIZE_MAX || first > TASK_SIZE_MAX - total {
        return Err(ENOMEM);
    }
    for s in &i.segments {
        s.check(bias)?;
        let addr = s.vaddr.wrapping_add(bias) as usize;
        let page = addr & !(PAGE_SIZE - 1);
        let file_end = addr + s.filesz as usize;
        let mem_end = addr + s.memsz as usize;
        let flags = VmFlags::from_prot(s.prot) | VmFlags::MAYACCESS;
        if s.filesz != 0 {
            let pgoff = s.offset / PAGE_SIZE as u64;
            let len = page_align(file_end) - page;
            mm.lock().mmap_region(page, len, flags, pgoff, Backing::File(file.clone()))?;
        }
        let bss_start = if s.filesz != 0 { page_align(file_end) } else { page };
        if page_align(mem_end) > bss_start {
            let pgoff = (bss_start / PAGE_SIZE) as u64;
            mm.lock().mmap_region(bss_start, page_align(mem_end) - bss_start, flags, pgoff, Backing::Anon)?;
        }
        if s.memsz > s.filesz && s.filesz != 0 && s.prot & 2 != 0 {
            // The rest of the file's last page belongs to .bss.
            let n = (page_align(file_end) - file_end).min(mem_end - file_end);
            if n != 0 {
                let zero = [0u8; PAGE_SIZE];
                mm.write_bytes(file_end, &zero[..n]).map_err(|_| EFAULT)?;
            }
        }
        end = end.max(mem_end);
    }
    Ok(end)
}

/// What a program needs to know of where it was loaded.
struct Loaded {
    entry: u64,
    bias: u64,
    interp_base: u64,
    brk: usize,
}

fn set_layout(mm: &Mm, stack_top: usize) {
    let limit = current().signal.rlimit_cur(rlimit::STACK) as usize;
    // The gap below the stack: its limit and the guard, within Linux's bounds
    // (arch/x86/mm/mmap.c, mmap_base).
    let gap = limit.saturating_add(256 * PAGE_SIZE).clamp(128 << 20, TASK_SIZE_MAX / 6 * 5);
    let rnd = if randomize() { (random_u64() as usize & ((1 << 28) - 1)) * PAGE_SIZE } else { 0 };
    let mut st = mm.lock();
    st.layout.mmap_base = page_align(STACK_TOP - gap - rnd);
    st.layout.mmap_legacy_base = page_align(TASK_SIZE_MAX / 3);
    st.layout.mmap_legacy = limit == usize::MAX;
    st.layout.start_stack = stack_top;
}

fn load_elf(b: &Binprm, mm: &Arc<Mm>, i: &ElfImage) -> Result<Loaded> {
    let vm: Arc<dyn VmFile> = Arc::new(MappedFile { path: b.file.clone() });
    let interp = match i.interp {
        None => None,
        Some((at, len)) => {
            let mut name = read_at(&b.file, at, len as usize)?;
            if name.pop() != Some(0) {
                return Err(ENOEXEC);
            }
            let p = open_exec(user_path_at(abi::AT_FDCWD, &name, Follow::Yes)?)?;
            let image = load_image(&p).map_err(|_| ELIBBAD)?;
            Some((p, image))
        }
    };
    let first = i.segments[0].vaddr & !(PAGE_SIZE as u64 - 1);
    let bias = if !i.dynamic {
        0
    } else if interp.is_some() {
        let rnd = if randomize() { (random_u64() & ((1 << 28) - 1)) * PAGE_SIZE as u64 } else { 0 };
        ((ELF_ET_DYN_BASE as u64 + rnd) & !(i.align - 1)).wrapping_sub(first)
    } else {
        // A static-PIE goes where mmap would put it (Linux 6.1, load_elf_binary).
        let size = page_align((elf_image::total_size(i) + i.align) as usize);
        let at = mm.lock().get_unmapped_area(0, size, 0)? as u64;
        ((at + i.align - 1) & !(i.align - 1)).wrapping_sub(first)
    };
    let end = map_image(mm, &vm, i, bias)?;
    mm.lock().exe_file = Some(vm);
    let (mut entry, mut interp_base) = (i.entry.wrapping_add(bias), 0);
    if let Some((p, image)) = interp {
        let file: Arc<dyn VmFile> = Arc::new(MappedFile { path: p });
        let size = page_align(elf_image::total_size(&image) as usize);
        let at = mm.lock().get_unmapped_area(0, size, 0)? as u64;
        interp_base = at.wrapping_sub(image.segments[0].vaddr & !(PAGE_SIZE as u64 - 1));
        map_image(mm, &file, &image, interp_base)?;
        entry = image.entry.wrapping_add(interp_base);
    }
    if entry >= TASK_SIZE_MAX as u64 {
        return Err(EINVAL);
    }
    {
        let mut st = mm.lock();
        let code = i.segments.iter().filter(|s| s.prot & 4 != 0);
        let (lo, hi) = code.fold((u64::MAX, 0), |(lo, hi), s| (lo.min(s.vaddr), hi.max(s.vaddr + s.filesz)));
        st.layout.start_code = lo.wrapping_add(bias) as usize;
        st.layout.end_code = hi.wrapping_add(bias) as usize;
        st.layout.end_data = end;
    }
    Ok(Loaded { entry, bias, interp_base, brk: page_align(end) })
}

fn brk_start(l: &Loaded, dynamic: bool) -> usize {
    let base = if dynamic && l.interp_base == 0 { ELF_ET_DYN_BASE } else { l.brk };
    let rnd = if randomize() { (random_u64() as usize % (32 << 20)) & !(PAGE_SIZE - 1) } else { 0 };
    base + rnd
}

fn check_strings(b: &Binprm) -> Result {
    let all = || b.argv.iter().chain(&b.envp);
    if all().any(|s| s.len() >= MAX_ARG_STRLEN) {
        return Err(E2BIG);
    }
    let bytes: usize = all().map(|s| s.len() + 1 + 8).sum();
    let stack = current().signal.rlimit_cur(rlimit::STACK) as usize;
    let limit = (stack / 4).clamp(PAGE_SIZE * 32, (8 << 20) / 4 * 3);
    if bytes > limit { Err(E2BIG) } else { Ok(()) }
}

/// The whole of `execve` (`bprm_execve`, `load_elf_binary`, `begin_new_exec`).
fn exec(mut b: Binprm) -> Result {
    check_strings(&b)?;
    let display_name = b.filename.clone();
    resolve_scripts(&mut b)?;
    let image = load_image(&b.file)?;
    let mm = Mm::new()?;
    become_program(&b, &display_name, &image, &mm).inspect_err(|_| {
        // Linux has given up the old program by now: what cannot be loaded dies
        // (`bprm_execve`). The first process gets the error instead.
        if current().get_mm().is_some() {
            force_fatal_sig(abi::SIGSEGV as i32);
        }
    })
}

/// Loads the program into `mm`, and becomes it.
fn become_program(b: &Binprm, display_name: &[u8], image: &ElfImage, mm: &Arc<Mm>) -> Result {
    let rnd = if randomize() { (random_u64() as usize & ((1 << 22) - 1)) * PAGE_SIZE } else { 0 };
    let stack_top = STACK_TOP - rnd;
    set_layout(mm, stack_top);
    mm.setup_stack(stack_top, image.exec_stack.unwrap_or(false))?;
    let loaded = load_elf(b, mm, image)?;
    let cred = current().cred.get();
    let info = StackInfo {
        argv: &b.argv,
        envp: &b.envp,
        filename: display_name,
        phdr: if image.phdr == 0 { 0 } else { image.phdr.wrapping_add(loaded.bias) },
        phnum: u64::from(image.phnum),
        base: loaded.interp_base,
        entry: image.entry.wrapping_add(loaded.bias),
        ids: [cred.uid, cred.euid, cred.gid, cred.egid],
        random: [random_u64(), random_u64()],
        align_noise: if randomize() { random_u64() as usize % 8192 } else { 0 },
    };
    let sp = build_stack(mm, stack_top, &info)?;
    mm.setup_arg_pages(sp)?;
    {
        let mut st = mm.lock();
        let brk = brk_start(&loaded, image.dynamic);
        st.layout.start_brk = brk;
        st.layout.brk = brk;
    }

    let cur = current();
    kill_other_threads(&cur)?;
    action::unshare_sighand(&cur);
    commit(display_name, mm);
    let regs = cur.pt_regs();
    // SAFETY: the current task's user registers, on its own stack.
    start_thread(unsafe { &mut *regs }, loaded.entry, sp as u64);
    Ok(())
}

/// Becomes the new program: memory, signals, files, name.
fn commit(filename: &[u8], mm: &Arc<Mm>) {
    let cur = current();
    mm_release(&cur);
    let old = cur.mm.lock().replace(mm.clone());
    leave_mm();
    mm.activate();
    drop(old);
    cur.sighand.get().flush_handlers_on_exec();
    cur.sig.altstack.reset_on_exec();
    let files = cur.files.lock().clone();
    if let Some(files) = files {
        // A table shared with others is theirs; this program gets its own.
        let own = if Arc::strong_count(&files) > 2 { files.fork() } else { files };
        own.close_on_exec();
        *cur.files.lock() = Some(own);
    }
    flush_thread();
    let base = filename.rsplit(|&c| c == b'/').next().unwrap_or(filename);
    let mut comm = [0u8; 16];
    let n = base.len().min(15);
    comm[..n].copy_from_slice(&base[..n]);
    *cur.comm.lock() = comm;
    cur.pf.fetch_and(!pf::FORKNOEXEC, Ordering::Relaxed);
    if randomize() {
        cur.pf.fetch_or(pf::RANDOMIZE, Ordering::Relaxed);
    }
    cur.signal.did_exec.store(1, Ordering::Relaxed);
}

/// Runs `path` in the current task, for the first process.
pub fn kernel_execve(path: &[u8], argv: &[Vec<u8>], envp: &[Vec<u8>]) -> Result {
    let file = open_exec(user_path_at(abi::AT_FDCWD, path, Follow::Yes)?)?;
    exec(Binprm { filename: path.to_vec(), file, argv: argv.to_vec(), envp: envp.to_vec() })
}

/// Reads a vector of strings from user memory.
fn copy_strings(mut at: usize) -> Result<Vec<Vec<u8>>> {
    let mut v = Vec::new();
    let mut total = 0;
    while at != 0 {
        let p: u64 = get_user(at)?;
        if p == 0 {
            break;
        }
        let s = strncpy_from_user(p as usize, MAX_ARG_STRLEN)
            .map_err(|e| if e == crate::errno::ENAMETOOLONG { E2BIG } else { e })?;
        total += s.len() + 9;
        if total > 8 << 20 {
            return Err(E2BIG);
        }
        v.push(s);
        at += 8;
    }
    Ok(v)
}

fn do_execveat(dirfd: i32, name: &[u8], argv: usize, envp: usize, flags: u32) -> Result<usize> {
    let file = open_exec(path_or_fd(dirfd, name, flags)?)?;
    let mut argv = copy_strings(argv)?;
    if argv.is_empty() {
        // Linux gives such programs an empty argv[0].
        argv.push(Vec::new());
    }
    let envp = copy_strings(envp)?;
    let filename =
        if name.is_empty() { alloc::format!("/dev/fd/{dirfd}").into_bytes() } else { name.to_vec() };
    exec(Binprm { filename, file, argv, envp })?;
    Ok(0)
}

/// `execve(2)`.
pub fn sys_execve(path: usize, argv: usize, envp: usize) -> Result<usize> {
    let name = crate::arch::x86::lib::usercopy::getname(path)?;
    do_execveat(abi::AT_FDCWD, &name, argv, envp, 0)
}

/// `execveat(2)`.
pub fn sys_execveat(dirfd: i32, path: usize, argv: usize, envp: usize, flags: u32) -> Result<usize> {
    if flags & !(abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    let name = strncpy_from_user(path, 4096)?;
    if name.is_empty() && flags & abi::AT_EMPTY_PATH == 0 {
        return Err(ENOENT);
    }
    do_execveat(dirfd, &name, argv, envp, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_their_interpreter() {
        assert_eq!(parse_script(b"\x7fELF"), Ok(None));
        assert_eq!(parse_script(b"#!/bin/sh\necho"), Ok(Some((b"/bin/sh".to_vec(), None))));
        let r = parse_script(b"#! /usr/bin/env  a b \nx").unwrap().unwrap();
        assert_eq!(r, (b"/usr/bin/env".to_vec(), Some(b"a b".to_vec())));
        assert_eq!(parse_script(b"#!"), Err(ENOEXEC));
        assert_eq!(parse_script(b"#!  \n"), Err(ENOEXEC));
    }
}
