// SPDX-License-Identifier: GPL-2.0-only
//! A fatal signal writes a core file where limit and name allow, and the wait status says
//! so. The dump has the fault, the registers, every thread and the memory. Needs root for
//! `/proc/sys/kernel/core_pattern`, which it puts back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use core::ffi::CStr;
use linux_raw_sys::general as abi;
use user::compat::{enter32, map_low};
use user::file;
use user::memory::{PAGE, PROT_READ, PROT_WRITE, map};
use user::prelude::*;
use user::process::{RLIMIT_CORE, setrlimit, spawn_thread};
use user::signal::{SIGILL, SIGKILL, SIGQUIT, SIGSEGV, SIGTERM};
use user::syscall;

expect! { end: exit(0) }
program!(run);

const PATTERN: &CStr = c"/proc/sys/kernel/core_pattern";
const CORE: &CStr = c"/tmp/trapline.core";
/// A child's wait status, with the flag that says whether it was dumped.
fn end_of(pid: i32) -> Result<WaitStatus, Errno> {
    Ok(user::process::wait4(pid, 0)?.map_or(WaitStatus(0), |(_, status)| status))
}

/// A word that is nowhere else in the file.
const WORD: u64 = 0x1122_3344_5566_7788 ^ 0x00ff_00ff_00ff_00ff;

static mut IMAGE: [u8; 1 << 16] = [0; 1 << 16];

/// The core file's beginning, with all headers and notes.
fn read_core() -> Option<&'static [u8]> {
    let fd = file::open(CORE, file::O_RDONLY, 0).ok()?;
    // SAFETY: nobody else uses it.
    let image = unsafe { &mut *core::ptr::addr_of_mut!(IMAGE) };
    let n = file::read_full(fd, image).ok()?;
    let _ = file::close(fd);
    Some(&image[..n])
}

fn word(b: &[u8], at: usize) -> u64 {
    b.get(at..at + 8).map_or(0, |w| u64::from_le_bytes(w.try_into().unwrap_or_default()))
}

fn half(b: &[u8], at: usize) -> u32 {
    b.get(at..at + 4).map_or(0, |w| u32::from_le_bytes(w.try_into().unwrap_or_default()))
}

/// Calls `f` with each note's type and content.
fn notes<'a>(core: &'a [u8], mut f: impl FnMut(u32, &'a [u8])) {
    let (mut at, len) = (word(core, 64 + 8) as usize, word(core, 64 + 32) as usize);
    let end = at + len;
    while at + 12 <= end {
        let (name, size, kind) = (half(core, at) as usize, half(core, at + 4) as usize, half(core, at + 8));
        let content = at + 12 + name.next_multiple_of(4);
        f(kind, core.get(content..content + size).unwrap_or(&[]));
        at = content + size.next_multiple_of(4);
    }
}

fn word_of_file(offset: u64) -> u64 {
    let mut b = [0; 8];
    let Ok(fd) = file::open(CORE, file::O_RDONLY, 0) else { return 0 };
    let _ = file::lseek(fd, offset as i64, 0);
    let _ = file::read_full(fd, &mut b);
    let _ = file::close(fd);
    u64::from_le_bytes(b)
}

/// The content of the segment that holds an address.
fn memory_at(core: &[u8], addr: u64) -> Option<u64> {
    let count = usize::from(core[56]) | usize::from(core[57]) << 8;
    (1..count).find_map(|i| {
        let p = 64 + i * 56;
        let (offset, vaddr, filesz) = (word(core, p + 8), word(core, p + 16), word(core, p + 32));
        (vaddr <= addr && addr < vaddr + filesz).then(|| word_of_file(offset + addr - vaddr))
    })
}

extern "C" fn other_thread() -> ! {
    // SAFETY: a register that nobody changes afterwards.
    unsafe { asm!("mov r15, {}", "2: pause", "jmp 2b", in(reg) WORD, options(noreturn)) }
}

fn contents(addr: usize) {
    let pid = child(|| {
        let _ = setrlimit(RLIMIT_CORE, 1 << 30, None);
        // SAFETY: the page is ours.
        unsafe { (addr as *mut u64).write(WORD ^ 1) };
        // SAFETY: no memory is involved; this process.
        let _ = unsafe { syscall!(__NR_setpriority, 0, 0, 3) };
        let _ = spawn_thread(other_thread);
        user::time::sleep_ms(50);
        // SAFETY: the fault is the purpose.
        unsafe { asm!("mov rbx, {}", "mov qword ptr [0x1230], 1", in(reg) WORD ^ 2, options(noreturn)) }
    });
    check_eq!(end_of(pid), Ok(WaitStatus(SIGSEGV as i32 | 0x80)), "killed, and dumped");
    let Some(core) = read_core() else {
        check!(false, "no core file");
        return;
    };
    check!(core.starts_with(b"\x7fELF\x02\x01\x01") && core[16] == 4 && core[18] == 62, "a core file");
    check_eq!(word(core, 64 + 48), 0, "the notes' alignment");
    let (mut threads, mut first, mut other_r15, mut siginfo, mut kinds) = (0, (0, 0, 0), 0, (0, 0, 0), 0u64);
    notes(core, |kind, c| {
        kinds |= 1 << (kind % 61);
        match kind {
            1 => {
                threads += 1;
                // rbx, the signal, the thread.
                check_eq!((half(c, 4), half(c, 8)), (0, 0), "code and error are in another note");
                if threads == 1 {
                    first = (word(c, 112 + 5 * 8), half(c, 0), half(c, 32));
                } else {
                    other_r15 = word(c, 112);
                }
            }
            0x5349_4749 => siginfo = (half(c, 0), half(c, 8), word(c, 16)),
            3 => check_eq!(c[3], 3, "how nice it was"),
            0x202 => check!(word(c, 464) & 7 == 7, "the features in the XSAVE image: {:#x}", word(c, 464)),
            _ => {}
        }
    });
    check_eq!(threads, 2, "threads");
    check_eq!(first, (WORD ^ 2, SIGSEGV, pid as u32), "the faulting thread");
    check_eq!(other_r15, WORD, "the other thread's r15");
    check_eq!(siginfo, (SIGSEGV, 1, 0x1230), "siginfo: signal, code, address");
    for kind in [2, 3, 6, 0x4649_4c45u32] {
        check!(kinds & 1 << (kind % 61) != 0, "note {kind:#x}");
    }
    check_eq!(memory_at(core, addr as u64), Some(WORD ^ 1), "memory");
}

/// Who dies in 32-bit code has i386's registers dumped, into a file that is a 64-bit one all the same;
/// another thread has the same kind.
fn compat() {
    let Ok(low) = map_low(2 * PAGE) else { return check!(false, "memory below 4 GiB") };
    // mov ebx, 0x11223344; ud2
    const CODE: u64 = 0x0b_0f11_2233_44bb;
    // SAFETY: new memory.
    unsafe {
        (low as *mut u64).write(CODE);
        ((low + 64) as *mut [u32; 4]).write([13, 0x1000, 0xfff, 1]);
    }
    let _ = file::unlink(CORE);
    let pid = child(|| {
        let _ = setrlimit(RLIMIT_CORE, 1 << 30, None);
        let _ = spawn_thread(other_thread);
        user::time::sleep_ms(50);
        // SAFETY: set_thread_area, of a descriptor that nobody uses; ports that nobody uses; the end.
        unsafe {
            check_eq!(syscall::int80(243, [low as u32 + 64, 0, 0, 0, 0]), Ok(0), "set_thread_area");
            check_eq!(syscall!(__NR_ioperm, 0x80, 1, 1), Ok(0), "ioperm");
            enter32(low, low + 2 * PAGE)
        }
    });
    check_eq!(end_of(pid), Ok(WaitStatus(SIGILL as i32 | 0x80)), "killed, and dumped");
    let core = read_core().unwrap_or(&[]);
    check_eq!((half(core, 0), half(core, 4) & 0xff, half(core, 18) & 0xffff), (0x464c_457f, 2, 3), "i386's");
    let (mut all, mut count) = ([(0, 0); 16], 0);
    notes(core, |kind, c| {
        match (kind, count) {
            (1, 0) => {
                check_eq!((half(c, 112), half(c, 112 + 48)), (0x1122_3344, low as u32 + 5), "EBX, EIP");
                check_eq!((half(c, 112 + 68), half(c, 328)), (0, 1), "seventeen words; there is an FPU");
            }
            // The other thread's RIP is not the same from run to run.
            (1, _) => check_eq!(half(c, 112 + 52), 0x33, "the other thread's CS"),
            (0x200, _) => check_eq!((half(c, 16), half(c, 20)), (13, 0x1000), "a descriptor"),
            (0x201, _) => check_eq!(half(c, 16), 0xffff_fffe, "a port"),
            _ => {}
        }
        // Sizes that depend on the machine or on the program.
        let len = if matches!(kind, 0x202 | 6 | 0x4649_4c45) { 0 } else { c.len() };
        if let Some(place) = all.get_mut(count) {
            *place = (kind, len);
        }
        count += 1;
    });
    let process = [(1, 336), (3, 136), (0x5349_4749, 128), (6, 0), (0x4649_4c45, 0)];
    check_eq!(&all[..5], &process[..], "notes of the process");
    // Of the FPU's sets those that the kernel uses: OSXSAVE shows programs one; a kernel without it may
    // have the x87 alone.
    let xsave = core::arch::x86_64::__cpuid(1).ecx & 1 << 27 != 0;
    let fxsr = xsave || all.contains(&(0x46e6_2b7f, 512));
    let there = |kind: u32| (kind != 0x202 || xsave) && (kind != 0x46e6_2b7f || fxsr);
    let thread = [(2, 108), (0x46e6_2b7f, 512), (0x202, 0), (0x200, 48), (0x201, 8192)];
    let other = [(1, 336), (2, 108), (0x46e6_2b7f, 512), (0x202, 0), (0, 0)];
    let mut left = all[5..].iter();
    for want in thread.iter().chain(&other).filter(|n| there(n.0)) {
        check_eq!(left.next(), Some(want), "the next note");
    }
}

/// How a child ends that is killed with a limit for its core file.
fn status(limit: u64, sig: u32) -> Result<WaitStatus, Errno> {
    let _ = file::unlink(CORE);
    end_of(child(|| {
        let _ = setrlimit(RLIMIT_CORE, limit, None);
        let _ = kill(getpid(), sig);
        0
    }))
}

fn limits() {
    check_eq!(status(0, SIGQUIT), Ok(WaitStatus::killed(SIGQUIT as i32)), "no limit, no dump");
    check!(read_core().is_none(), "a file in spite of the limit");
    check_eq!(status(4095, SIGQUIT), Ok(WaitStatus::killed(SIGQUIT as i32)), "less than a page");
    check_eq!(status(1 << 30, SIGTERM), Ok(WaitStatus::killed(SIGTERM as i32)), "a signal without a dump");
    check!(read_core().is_none(), "a file for SIGTERM");
    check_eq!(status(8192, SIGQUIT), Ok(WaitStatus(SIGQUIT as i32 | 0x80)), "a dump that is cut off");
    check!(read_core().is_some_and(|c| c.len() <= 8192), "longer than the limit");
}

/// Pages that were never touched are holes, which take no room: a limit does not count them.
fn sparse() {
    const LEN: usize = 64 << 20;
    let Ok(start) = map(LEN, PROT_READ | PROT_WRITE) else {
        check!(false, "no memory");
        return;
    };
    let last = (start + LEN - 8) as *mut u64;
    let _ = file::unlink(CORE);
    let pid = child(|| {
        let _ = setrlimit(RLIMIT_CORE, 1 << 21, None);
        // SAFETY: just mapped.
        unsafe { last.write(WORD ^ 3) };
        let _ = kill(getpid(), SIGQUIT);
        0
    });
    check_eq!(end_of(pid), Ok(WaitStatus(SIGQUIT as i32 | 0x80)), "a sparse dump");
    let found = read_core().and_then(|core| memory_at(core, last as u64));
    check_eq!(found, Some(WORD ^ 3), "the end of it");
}

/// A dump of a reservation takes its time, but not after a SIGKILL.
fn killed() {
    const LEN: usize = 8 << 30;
    let _ = file::unlink(CORE);
    let pid = child(|| {
        let _ = setrlimit(RLIMIT_CORE, u64::MAX, None);
        let flags = abi::MAP_PRIVATE | abi::MAP_ANONYMOUS | abi::MAP_NORESERVE;
        // SAFETY: a new mapping, whose first word is written.
        unsafe {
            let Ok(at) = syscall!(__NR_mmap, 0, LEN, PROT_READ | PROT_WRITE, flags, -1, 0) else { return 1 };
            (at as *mut u64).write(WORD);
        }
        let _ = kill(getpid(), SIGQUIT);
        0
    });
    while file::stat(CORE).is_err() {
        user::process::sched_yield();
    }
    check_eq!(kill(pid, SIGKILL), Ok(0), "kill");
    check_eq!(end_of(pid), Ok(WaitStatus::killed(SIGKILL as i32)), "killed while it is dumped");
}

/// A file that is not just its owner's, or not even his, gets no dump.
fn unfit() {
    let _ = file::unlink(CORE);
    let pid = child(|| {
        let _ = setrlimit(RLIMIT_CORE, 1 << 21, None);
        // SAFETY: no memory is involved.
        let _ = unsafe { syscall!(__NR_umask, 0o277) };
        let _ = kill(getpid(), SIGQUIT);
        0
    });
    check_eq!(end_of(pid), Ok(WaitStatus::killed(SIGQUIT as i32)), "a umask that takes the owner's right");
    check_eq!(file::stat(CORE).map(|s| (s.st_mode & 0o777, s.st_size)), Ok((0o400, 0)), "the file");
}

const MAX_MAP_COUNT: &CStr = c"/proc/sys/vm/max_map_count";

/// More segments than the ELF header can count.
fn many() {
    const SEGMENTS: usize = 0x1_0000;
    let mut old = [0; 32];
    let Ok(old) = file::load(MAX_MAP_COUNT, &mut old) else {
        check!(false, "no max_map_count");
        return;
    };
    check!(file::store(MAX_MAP_COUNT, b"100000").is_ok(), "max_map_count is set");
    let _ = file::unlink(CORE);
    let pid = child(|| {
        let _ = setrlimit(RLIMIT_CORE, 1 << 25, None);
        let start = map(SEGMENTS * PAGE, PROT_READ).unwrap_or(0);
        for page in (0..SEGMENTS).step_by(2) {
            // SAFETY: nobody uses this memory.
            let _ = unsafe { syscall!(__NR_mprotect, start + page * PAGE, PAGE, 0) };
        }
        let _ = kill(getpid(), SIGQUIT);
        0
    });
    check_eq!(end_of(pid), Ok(WaitStatus(SIGQUIT as i32 | 0x80)), "a dump of many segments");
    let header = read_core().unwrap_or(&[]);
    let sections = word(header, 40);
    check_eq!(half(header, 56) & 0xffff, 0xffff, "more than there is room for");
    // Size of a section header, how many, and the strings' one.
    check_eq!(word(header, 56) >> 16, 0x0000_0001_0040, "one section header");
    // Its size and link; and the count.
    check_eq!(word_of_file(sections + 32), 1, "its size is their number");
    let count = word_of_file(sections + 40) >> 32;
    check!((SEGMENTS..SEGMENTS + 40).contains(&(count as usize)), "segments: {count:#x}");
    check_eq!(file::stat(CORE).map(|s| s.st_size as u64), Ok(sections + 64), "it is the last of the file");
    check!(file::store(MAX_MAP_COUNT, old).is_ok(), "max_map_count is put back");
}

fn run() {
    let mut old = [0; 128];
    let Ok(fd) = file::open(PATTERN, file::O_RDONLY, 0) else {
        check!(false, "no core_pattern");
        return;
    };
    let n = file::read_full(fd, &mut old).unwrap_or(0);
    let _ = file::close(fd);
    check!(file::put(PATTERN, CORE.to_bytes(), 0o644).is_ok(), "core_pattern is set");
    if let Ok(addr) = map(PAGE, PROT_READ | PROT_WRITE) {
        contents(addr);
        compat();
        limits();
        sparse();
        killed();
        unfit();
        many();
    }
    let _ = file::unlink(CORE);
    check!(file::put(PATTERN, &old[..n], 0o644).is_ok(), "core_pattern is put back");
}
