// SPDX-License-Identifier: GPL-2.0-only
//! `/proc/PID/mem`: another process's memory, read and written, also where it may not write
//! itself; the copy of a private page is its own; a tracer that dies lets its tracee go on.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::file::{self, O_RDONLY, O_RDWR};
use user::memory::{self, map};
use user::prelude::*;
use user::ptrace::{PTRACE_DETACH, PTRACE_SEIZE, stop, stopped, tell, trace_me};
use user::signal::{SIGCONT, SIGKILL, SIGSTOP};
use user::text::Text;
use user::{process, syscall};

expect! { end: exit(0) }
program!(run);

/// In a page of constants: a debugger may write it all the same.
static CONSTANT: [u8; 16] = *b"what is constant";

const PROT_READ: u32 = 1;
const PROT_WRITE: u32 = 2;

/// A file of a process's directory.
fn open(pid: i32, name: &str, flags: u32) -> user::Result<i32> {
    let mut path = Text::<64>::new();
    let _ = core::fmt::Write::write_fmt(&mut path, format_args!("/proc/{pid}/{name}\0"));
    let path = core::ffi::CStr::from_bytes_until_nul(path.as_str().as_bytes()).unwrap_or(c"");
    file::open(path, flags, 0)
}

fn run() {
    let _ = file::mount(c"proc", c"/proc");
    let page = map(8192, PROT_READ | PROT_WRITE).unwrap_or(0);
    let none = map(4096, 0).unwrap_or(0);
    check!(page != 0 && none != 0, "pages");
    // SAFETY: the page was just mapped.
    unsafe { (page as *mut u64).write(0x1122_3344_5566_7788) };
    let constant = CONSTANT.as_ptr() as usize;

    let pid = child(|| {
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        // SAFETY: constants, and the page above; others may have changed both.
        let (c, p) = unsafe { (CONSTANT.as_ptr().read_volatile(), (page as *const u64).read_volatile()) };
        i32::from(c == b'W') + 2 * i32::from(p == 7)
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "stopped");
    let Ok(mem) = open(pid, "mem", O_RDWR) else { return check!(false, "opened") };

    let mut word = [0; 8];
    check_eq!(file::pread(mem, &mut word, page as i64), Ok(8), "read");
    check_eq!(u64::from_le_bytes(word), 0x1122_3344_5566_7788, "what was there");
    check_eq!(file::pwrite(mem, &7u64.to_le_bytes(), page as i64), Ok(8), "written");
    check_eq!(file::pwrite(mem, b"W", constant as i64), Ok(1), "a constant, written");
    check_eq!(CONSTANT[0], b'w', "not this process's");
    check_eq!(file::pread(mem, &mut word, none as i64), Ok(8), "what nobody may read");
    check_eq!(file::pread(mem, &mut word, 0x10), Err(Errno(EIO)), "nothing there");
    check_eq!(file::lseek(mem, 0, 2), Err(Errno(EINVAL)), "no end");
    check_eq!(file::lseek(mem, page as i64, 0), Ok(page), "a place");
    check_eq!(file::read(mem, &mut word), Ok(8), "read there");
    check_eq!(u64::from_le_bytes(word), 7, "what was written");
    check_eq!(file::lseek(mem, 0, 1), Ok(page + 8), "and moved");
    check_eq!(file::lseek(mem, -4096, 0), Ok(4096usize.wrapping_neg()), "any address is a place");
    check_eq!(file::read(mem, &mut word), Err(Errno(EIO)), "of which nothing can be read");
    check_eq!(file::lseek(mem, 4092, 1), Err(Errno(4)), "the last one, which looks like an error");
    check_eq!(file::read(mem, &mut word), Err(Errno(EOVERFLOW)), "beyond the end");
    check_eq!(file::pread(mem, &mut word, -8), Err(Errno(EINVAL)), "a call's own place is not negative");
    two_pages(mem, page);
    // SAFETY: a bad address is refused.
    let bad = unsafe { syscall!(__NR_pread64, mem, 8usize, 8usize, page) };
    check_eq!(bad, Err(Errno(EFAULT)), "nowhere to put it");
    check_eq!(tell(PTRACE_DETACH, pid, 0, 0).is_ok(), true, "detached");
    check_eq!(wait(pid), Ok(WaitStatus::exited(3)), "it has seen both");
    check_eq!(file::pread(mem, &mut word, page as i64), Ok(0), "its memory has gone");
    let _ = file::close(mem);
    check_eq!(open(1, "mem", O_RDONLY).is_ok(), true, "root may look at all");
    tracer_dies();
}

/// What is read goes on until nothing is there; a bad place to put it undoes what was before it.
fn two_pages(mem: i32, page: usize) {
    let Ok(room) = map(3 * 4096, PROT_READ | PROT_WRITE) else { return check!(false, "room") };
    // SAFETY: two of the pages that were just mapped.
    let _ = unsafe { memory::unmap(room + 4096, 2 * 4096) };
    check_eq!(file::lseek(mem, page as i64, 0), Ok(page), "a place");
    // SAFETY: bad addresses are refused.
    let r = unsafe { syscall!(__NR_read, mem, room, 8192usize) };
    check_eq!(r, Err(Errno(EFAULT)), "half of the room is there");
    check_eq!(file::lseek(mem, 0, 1), Ok(page), "the place is the same");
    // Of several buffers one is filled after another, and the first one stays so.
    let vec = [[room, 16], [room + 4096, 16]];
    // SAFETY: likewise.
    let r = unsafe { syscall!(__NR_readv, mem, vec.as_ptr(), 2) };
    check_eq!((r, file::lseek(mem, 0, 1)), (Ok(16), Ok(page + 16)), "one buffer of two");
}

/// Without `PTRACE_O_EXITKILL` a tracee outlives its tracer, and what stopped it is over.
fn tracer_dies() {
    let pid = child(|| {
        loop {
            process::sched_yield();
        }
    });
    let tracer = child(|| {
        let seized = tell(PTRACE_SEIZE, pid, 0, 0).is_ok();
        let _ = kill(pid, SIGSTOP);
        let stopped_first = stop(pid) == Ok(stopped(SIGSTOP));
        i32::from(seized && stopped_first)
    });
    check_eq!(wait(tracer), Ok(WaitStatus::exited(1)), "seized, stopped, and gone");
    check_eq!(kill(pid, 0), Ok(0), "the tracee is there");
    let _ = kill(pid, SIGCONT);
    check_eq!(kill(pid, SIGKILL), Ok(0), "and can be ended");
    check_eq!(wait(pid), Ok(WaitStatus(SIGKILL as i32)), "as any child");
}
