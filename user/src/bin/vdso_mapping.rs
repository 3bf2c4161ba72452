// SPDX-License-Identifier: GPL-2.0-only
//! `[vvar]` and `[vdso]` in the address space: where they are, what may be done to them.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::fmt::Write;
use core::ptr::with_exposed_provenance;
use user::memory::{PAGE, PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE, map, peek, poke, protect, unmap};
use user::prelude::*;
use user::ptrace::{peek as peek_text, stop, stopped, trace_me};
use user::signal::{SIGBUS, SIGKILL, SIGSEGV, SIGSTOP};
use user::syscall;
use user::syscall::prctl::ARCH_MAP_VDSO_64;
use user::syscall::{Result, arch_prctl};
use user::text::Text;
use user::time::{Timespec, nanoseconds, timespec};
use user::vdso::Vdso;

expect! { end: exit(0) }
program!(run);

type ClockCall = extern "C" fn(i32, *mut Timespec) -> i32;

const VVAR: usize = 4 * PAGE;
const VDSO: usize = 2 * PAGE;
const MAYMOVE: u32 = 1;
const FIXED: u32 = 2;
const DONTNEED: i32 = 4;
const DOFORK: i32 = 11;
const DODUMP: i32 = 17;
const POPULATE_READ: i32 = 22;

fn mremap(addr: usize, old: usize, new: usize, flags: u32, to: usize) -> Result {
    // SAFETY: nothing of Rust's is there.
    unsafe { syscall!(__NR_mremap, addr, old, new, flags, to) }
}

fn madvise(addr: usize, len: usize, advice: i32) -> Result {
    // SAFETY: nothing of Rust's is there.
    unsafe { syscall!(__NR_madvise, addr, len, advice) }
}

fn unmapped(addr: usize, len: usize) -> Result {
    // SAFETY: nothing of Rust's is there.
    unsafe { unmap(addr, len) }
}

fn protected(addr: usize, len: usize, prot: u32) -> Result {
    // SAFETY: nothing of Rust's is there.
    unsafe { protect(addr, len, prot) }
}

/// The line of a mapping in `/proc/self/maps`, without the rest of the file.
fn line_of(name: &str) -> Text<128> {
    let mut buf = [0; 8192];
    let maps = user::file::load(c"/proc/self/maps", &mut buf).unwrap_or_default();
    let mut out = Text::new();
    let found = maps.split(|&b| b == b'\n').find(|l| l.ends_with(name.as_bytes()));
    out.push_bytes(found.unwrap_or(b"none"));
    out
}

/// As it has to be.
fn line(start: usize, len: usize, rights: &str, name: &str) -> Text<128> {
    let mut out = Text::new();
    let _ = write!(out, "{start:08x}-{:08x} {rights} 00000000 00:00 0 ", start + len);
    while out.as_str().len() < 73 {
        out.push_bytes(b" ");
    }
    out.push_bytes(name.as_bytes());
    out
}

/// A clock by the function at an offset of an image.
fn clock(base: usize, offset: usize) -> i64 {
    let f: *const () = with_exposed_provenance(base + offset);
    // SAFETY: the function is there, or the fault wanted.
    let f: ClockCall = unsafe { core::mem::transmute(f) };
    let mut t = timespec(0, 0);
    f(1, &raw mut t);
    nanoseconds(&t)
}

/// The signal by which a child ends that runs `f`, its code, and the address it is about.
fn fault(f: impl FnOnce()) -> (i32, i32, usize) {
    extern "C" fn tell(sig: i32, info: &mut SigInfo, _: &mut UContext) {
        let words = [sig as usize, info.code as usize, info.word(0) as usize];
        let _ = user::file::write(1023, &words.map(usize::to_ne_bytes).concat_bytes());
        exit_group(0);
    }
    let (r, w) = user::file::pipe(0).unwrap_or((-1, -1));
    let pid = child(|| {
        let _ = user::file::dup2(w, 1023);
        for sig in [SIGSEGV, SIGBUS] {
            let _ = sigaction(sig, Action::Handle(tell), 0, 0);
        }
        f();
        1
    });
    let _ = user::file::close(w);
    let mut words = [0; 24];
    let _ = user::file::read_full(r, &mut words);
    let _ = (user::file::close(r), wait(pid));
    let word = |i: usize| usize::from_ne_bytes(words[i * 8..i * 8 + 8].try_into().unwrap_or_default());
    (word(0) as i32, word(1) as i32, word(2))
}

trait ConcatBytes {
    fn concat_bytes(&self) -> [u8; 24];
}
impl ConcatBytes for [[u8; 8]; 3] {
    fn concat_bytes(&self) -> [u8; 24] {
        core::array::from_fn(|i| self[i / 8][i % 8])
    }
}

fn run() {
    let Some(v) = Vdso::of_process() else {
        return check!(false, "AT_SYSINFO_EHDR is missing");
    };
    let offset = v.find_by_gnu_hash(c"__vdso_clock_gettime").map_or(0, |s| s.addr - v.base);
    let (text, data) = (v.base, v.base - VVAR);
    where_they_are(text, data);
    what_is_refused(text, data);
    what_faults(text, data);
    from_outside(text, data);
    breakpoints(text);
    moved(text, data, offset);
}

fn where_they_are(text: usize, data: usize) {
    check_eq!(line_of("[vdso]").as_str(), line(text, VDSO, "r-xp", "[vdso]").as_str(), "the image");
    check_eq!(line_of("[vvar]").as_str(), line(data, VVAR, "r--p", "[vvar]").as_str(), "the data");
}

fn what_is_refused(text: usize, data: usize) {
    let einval = Err(Errno(EINVAL));
    check_eq!(unmapped(text, PAGE), einval, "munmap of half the image");
    check_eq!(unmapped(text + PAGE, PAGE), einval, "munmap of the other half");
    check_eq!(unmapped(data + PAGE, PAGE), einval, "munmap of a page of data");
    check_eq!(unmapped(data - PAGE, 2 * PAGE), einval, "munmap of a page of data and what is below");
    check_eq!(protected(text, PAGE, PROT_READ), einval, "mprotect of half the image");
    check_eq!(mremap(text, PAGE, PAGE, MAYMOVE | FIXED, 0x10_0000_0000), einval, "mremap of half the image");
    check_eq!(mremap(text, VDSO, PAGE, 0, 0), einval, "mremap to half the size");
    check_eq!(mremap(text, VDSO, 3 * PAGE, MAYMOVE, 0), Err(Errno(EFAULT)), "mremap to more");
    check_eq!(mremap(text, VDSO, VDSO, MAYMOVE | 4, 0), einval, "MREMAP_DONTUNMAP");
    check_eq!(protected(data, VVAR, PROT_READ | PROT_WRITE), Err(Errno(EACCES)), "data made writable");
    check_eq!(protected(data, VVAR, PROT_READ | PROT_EXEC), Err(Errno(EACCES)), "data made executable");
    check_eq!(protected(data, VVAR, PROT_NONE), Ok(0), "data made unreadable");
    check_eq!(protected(data, VVAR, PROT_READ), Ok(0), "and readable again");
    check_eq!(madvise(data, VVAR, DONTNEED), einval, "MADV_DONTNEED on data");
    check_eq!(madvise(data, VVAR, DODUMP), einval, "MADV_DODUMP on data");
    check_eq!(madvise(data, VVAR, DOFORK), einval, "MADV_DOFORK on data");
    check_eq!(madvise(data, VVAR, POPULATE_READ), einval, "MADV_POPULATE_READ on data");
    check_eq!(madvise(text, VDSO, DONTNEED), Ok(0), "MADV_DONTNEED on the image");
    check_eq!(madvise(text, VDSO, DODUMP), einval, "MADV_DODUMP on the image");
    // SAFETY: only reads the memory.
    check_eq!(unsafe { syscall!(__NR_mlock, data, VVAR + VDSO) }, Ok(0), "mlock");
    let mut buf = [0; 4096];
    let status = user::file::load(c"/proc/self/status", &mut buf).unwrap_or_default();
    let locked = status.split(|&b| b == b'\n').find(|l| l.starts_with(b"VmLck"));
    check_eq!(locked, Some(&b"VmLck:\t       0 kB"[..]), "is not counted");
    // SAFETY: no memory is involved.
    check_eq!(arch_prctl(ARCH_MAP_VDSO_64, 0), Err(Errno(EEXIST)), "a second one");
}

fn what_faults(text: usize, data: usize) {
    // SAFETY: the faults are wanted.
    unsafe {
        check_eq!(fault(|| poke(text, 0)), (SIGSEGV as i32, 2, text), "a write to the image");
        check_eq!(fault(|| poke(data, 0)), (SIGSEGV as i32, 2, data), "a write to data");
        let hole = data + 3 * PAGE;
        check_eq!(fault(|| _ = peek(hole)), (SIGBUS as i32, 2, hole), "a page of data that is not there");
    }
    let (r, w) = user::file::pipe(0).unwrap_or((-1, -1));
    let from = |at: usize, len: usize| {
        // SAFETY: the kernel only reads.
        unsafe { syscall!(__NR_write, w, with_exposed_provenance::<u8>(at), len) }
    };
    check_eq!(from(data + 3 * PAGE, 1), Err(Errno(EFAULT)), "the kernel reads it");
    check_eq!(from(text, 16), Ok(16), "the kernel reads the image");
    check_eq!(from(data, 16), Ok(16), "the kernel reads data");
    let _ = (user::file::close(r), user::file::close(w));
}

/// A tracer sees the image, and not the data.
fn from_outside(text: usize, data: usize) {
    let pid = child(|| {
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        0
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "the child stops");
    let magic = peek_text(pid, text).map(|w| w as u32);
    check_eq!(magic, Ok(u32::from_le_bytes(*b"\x7fELF")), "the image from outside");
    check_eq!(peek_text(pid, data), Err(Errno(EIO)), "data from outside");
    let _ = kill(pid, SIGKILL);
    check_eq!(wait(pid), Ok(WaitStatus::killed(SIGKILL as i32)), "its end");
}

/// Who writes to the image has a copy.
fn breakpoints(text: usize) {
    let last = text + VDSO - 1;
    // SAFETY: the image's last byte means nothing.
    unsafe {
        check_eq!(protected(text, VDSO, PROT_READ | PROT_WRITE | PROT_EXEC), Ok(0), "made writable");
        let was = peek(last);
        let pid = child(|| {
            poke(last, was + 1);
            i32::from(peek(last) == was + 1)
        });
        check_eq!(wait(pid), Ok(WaitStatus::exited(1)), "the child wrote");
        check_eq!(peek(last), was, "what the parent sees");
    }
    check_eq!(protected(text, VDSO, PROT_READ | PROT_EXEC), Ok(0), "made as it was");
}

/// The two move, and go, and come back.
fn moved(text: usize, data: usize, offset: usize) {
    let before = clock(text, offset);
    let Ok(room) = map(VVAR + VDSO, PROT_NONE) else {
        return check!(false, "no room");
    };
    let (new_data, new_text) = (room, room + VVAR);
    check_eq!(mremap(data, VVAR, VVAR, MAYMOVE | FIXED, new_data), Ok(new_data), "data moves");
    check_eq!(mremap(text, VDSO, VDSO, MAYMOVE | FIXED, new_text), Ok(new_text), "the image moves");
    let after = clock(new_text, offset);
    check!(before != 0 && before <= after, "the clock there: {before} {after}");
    check_eq!(line_of("[vdso]").as_str(), line(new_text, VDSO, "r-xp", "[vdso]").as_str(), "where it is");
    let pid = child(|| i32::from(clock(new_text, offset) >= after));
    check_eq!(wait(pid), Ok(WaitStatus::exited(1)), "a child has it there");
    // SAFETY: the faults are wanted.
    unsafe {
        check_eq!(fault(|| _ = peek(text)), (SIGSEGV as i32, 1, text), "the old place");
    }
    check_eq!(unmapped(new_data, VVAR), Ok(0), "data goes");
    let f = fault(|| _ = clock(new_text, offset));
    check_eq!((f.0, f.1, f.2 & !(PAGE - 1)), (SIGSEGV as i32, 1, new_data), "the image without it");
    // SAFETY: no memory is involved.
    let map_vdso = |at: usize| arch_prctl(ARCH_MAP_VDSO_64, at);
    check_eq!(map_vdso(0), Err(Errno(EEXIST)), "there is one still");
    check_eq!(unmapped(new_text, VDSO), Ok(0), "the image goes");
    check_eq!(line_of("[vdso]").as_str(), "none", "there is none");
    // Signals need none: handlers return to the program's own code.
    // SAFETY: the fault is wanted.
    check_eq!(fault(|| unsafe { poke(text, 0) }), (SIGSEGV as i32, 1, text), "a signal without one");
    check_eq!(map_vdso(data), Ok(VDSO), "a new one");
    check!(clock(text, offset) >= after, "the clock where it was");
}
