// SPDX-License-Identifier: GPL-2.0-only
//! `modify_ldt` and `set_thread_area`: what is taken, what is refused, what the segments
//! are then, and who has them after fork and exec.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use user::prelude::*;
use user::ptrace;
use user::signal::SIGSTOP;
use user::syscall;
use user::syscall::arch_prctl;
use user::syscall::prctl::*;

expect! { end: exit(0) }
program!(run);

/// `struct user_desc`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct UserDesc {
    entry: u32,
    base: u32,
    limit: u32,
    flags: u32,
}

/// 32-bit, read and write, present.
const DATA: u32 = 1;
const CODE: u32 = 0b101;
const NOT_PRESENT: u32 = 1 << 5;

fn desc(entry: u32, base: u32, flags: u32) -> UserDesc {
    UserDesc { entry, base, limit: 0xffff, flags }
}

/// The call's result as a C program sees it: an `int`.
fn modify_ldt(func: i32, d: *mut UserDesc, count: usize) -> i32 {
    // SAFETY: the kernel reads or writes `count` bytes at `d`.
    unsafe { syscall::raw(syscall::nr::__NR_modify_ldt, [func as usize, d as usize, count, 0, 0, 0]) as i32 }
}

fn write(mut d: UserDesc) -> i32 {
    modify_ldt(0x11, &raw mut d, size_of::<UserDesc>())
}

/// Loads a selector into FS; reads the word at `offset` of the segment.
fn through_fs(selector: u16, offset: u64) -> u64 {
    let word;
    // SAFETY: nothing else here uses FS.
    unsafe { asm!("mov fs, {0:x}", "mov {1}, fs:[{2}]", in(reg) selector, out(reg) word, in(reg) offset) };
    word
}

/// Whether the access rights of a selector can be read.
fn lar(selector: u16) -> Option<u32> {
    let (rights, ok): (u32, u8);
    // SAFETY: reads a descriptor.
    unsafe {
        asm!("lar {0:e}, {1:e}", "setz {2}", out(reg) rights, in(reg) u32::from(selector), out(reg_byte) ok);
    };
    (ok != 0).then_some(rights & 0x00f0_ff00)
}

fn errors() {
    let e = |n: u32| -(n as i32);
    check_eq!(modify_ldt(0, core::ptr::null_mut(), 16), 0, "reading no table");
    check_eq!(modify_ldt(7, core::ptr::null_mut(), 16), e(ENOSYS), "no such function");
    check_eq!(modify_ldt(0x11, core::ptr::null_mut(), 16), e(EFAULT), "bad pointer");
    check_eq!(modify_ldt(0x11, core::ptr::null_mut(), 15), e(EINVAL), "bad size");
    check_eq!(write(desc(8192, 0, DATA)), e(EINVAL), "beyond the table");
    check_eq!(write(desc(0, 0, CODE | 0b10)), e(EINVAL), "conforming code");
    check_eq!(write(desc(0, 0, CODE | 0b10 | NOT_PRESENT)), 0, "conforming code that is not present");
    // SAFETY: an error number above 32 bits would be negative here.
    let raw = unsafe { syscall::raw(syscall::nr::__NR_modify_ldt, [7, 0, 0, 0, 0, 0]) };
    check_eq!(raw, (-(ENOSYS as i32)) as u32 as isize, "the error number has 32 bits");
}

fn segments(low: usize) {
    // SAFETY: two words of ours.
    unsafe { (low as *mut [u64; 2]).write([0x1122, 0x3344]) };
    check_eq!(write(desc(3, low as u32, DATA)), 0, "write");
    let selector = 3 << 3 | 7;
    check_eq!(through_fs(selector, 8), 0x3344, "fs:[8]");
    check_eq!(lar(selector), Some(0x40_f300), "access rights of data");
    check_eq!(write(desc(5, 0, CODE)), 0, "write code");
    check_eq!(lar(5 << 3 | 7), Some(0x40_fb00), "access rights of code");
    check_eq!(lar(4 << 3 | 7), None, "between the two");
    let mut back = [0u8; 64];
    check_eq!(modify_ldt(0, back.as_mut_ptr().cast(), 64), 64, "read");
    check!(back[40..48] == [0xff, 0xff, 0, 0, 0, 0xfb, 0x40, 0], "code descriptor");
    check!(back[48..] == [0; 16], "zeroed behind the table");
    // A child has a copy of its own.
    let status = wait(child(|| {
        check_eq!(through_fs(selector, 0), 0x1122, "in the child");
        check_eq!(write(desc(3, low as u32 + 8, DATA)), 0, "write in the child");
        check_eq!(through_fs(selector, 0), 0x3344, "another base in the child");
        i32::from(user::check::failures() != 0)
    }));
    check_eq!(status, Ok(WaitStatus::exited(0)), "the child");
    check_eq!(through_fs(selector, 0), 0x1122, "the parent's table afterwards");
    check_eq!(write(UserDesc { entry: 3, base: 0, limit: 0, flags: NOT_PRESENT | 0b1000 }), 0, "clear");
    check_eq!(lar(selector), None, "cleared");
}

/// These two are calls of i386 only.
const SET_THREAD_AREA: u32 = 243;
const GET_THREAD_AREA: u32 = 244;

fn thread_areas(low: usize) {
    let at = low + 256;
    let set = |mut d: UserDesc| {
        // SAFETY: the kernel reads the structure at `at`, which is ours, and writes its first word.
        unsafe {
            (at as *mut UserDesc).write(d);
            let r = syscall::int80(SET_THREAD_AREA, [at as u32, 0, 0, 0, 0]);
            d = (at as *const UserDesc).read();
            r.map(|_| d.entry)
        }
    };
    check_eq!(set(desc(u32::MAX, low as u32, DATA)), Ok(12), "the first");
    check_eq!(set(desc(u32::MAX, 0, DATA)), Ok(13), "the second");
    check_eq!(set(desc(14, low as u32 + 8, DATA)), Ok(14), "the third, by number");
    check_eq!(set(desc(u32::MAX, 0, DATA)), Err(Errno(ESRCH)), "a fourth");
    check_eq!(set(desc(11, 0, DATA)), Err(Errno(EINVAL)), "not one of them");
    check_eq!(set(desc(12, 0, CODE)), Err(Errno(EINVAL)), "code");
    check_eq!(set(desc(12, 0, DATA | NOT_PRESENT)), Err(Errno(EINVAL)), "not present");
    check_eq!(set(desc(12, 0, 0)), Err(Errno(EINVAL)), "16-bit");
    check_eq!(through_fs(12 << 3 | 3, 0), 0x1122, "through the first");
    check_eq!(through_fs(14 << 3 | 3, 0), 0x3344, "through the third");
    // SAFETY: the kernel writes the structure.
    let (r, d) = unsafe {
        (at as *mut UserDesc).write(desc(14, 0, 0));
        (syscall::int80(GET_THREAD_AREA, [at as u32, 0, 0, 0, 0]), (at as *const UserDesc).read())
    };
    check_eq!(r, Ok(0), "get");
    check_eq!(d, desc(14, low as u32 + 8, DATA), "what was set");
    let status = wait(child(|| i32::from(through_fs(12 << 3 | 3, 8) != 0x3344)));
    check_eq!(status, Ok(WaitStatus::exited(0)), "a child has them");
    check_eq!(through_fs(12 << 3 | 3, 0), 0x1122, "after others ran");
}

/// The descriptor behind GS goes while the thread is away, or is in use: GS becomes null,
/// and the kernel does not stumble over loading it.
fn vanishing_gs(low: usize) {
    let selector = 7u16 << 3 | 7;
    let gs = || {
        let v: u16;
        // SAFETY: reads a selector.
        unsafe { asm!("mov {0:x}, gs", out(reg) v) };
        v
    };
    check_eq!(write(desc(7, low as u32, DATA)), 0, "write");
    // SAFETY: nothing here uses GS.
    unsafe { asm!("mov gs, {0:x}", in(reg) selector) };
    check_eq!(gs(), selector, "loaded");
    check_eq!(write(UserDesc { entry: 7, base: 0, limit: 0, flags: NOT_PRESENT | 0b1000 }), 0, "clear");
    // Others run, and this task comes back.
    user::time::sleep_ms(5);
    check_eq!(gs(), 0, "after a switch, with the descriptor gone");
    // A descriptor that is not present raises #NP, not #GP.
    check_eq!(write(desc(7, low as u32, DATA)), 0, "write again");
    // SAFETY: as above.
    unsafe { asm!("mov gs, {0:x}", in(reg) selector) };
    check_eq!(write(desc(7, low as u32, DATA | NOT_PRESENT)), 0, "not present any more");
    user::time::sleep_ms(5);
    check_eq!(gs(), 0, "after a switch, with the segment gone");
    let at = low + 256;
    // SAFETY: as in `thread_areas`.
    unsafe {
        (at as *mut UserDesc).write(desc(13, low as u32, DATA));
        check_eq!(syscall::int80(SET_THREAD_AREA, [at as u32, 0, 0, 0, 0]), Ok(0), "set");
        asm!("mov gs, {0:x}", in(reg) 13u16 << 3 | 3);
        (at as *mut UserDesc).write(UserDesc { entry: 13, base: 0, limit: 0, flags: NOT_PRESENT | 0b1000 });
        check_eq!(syscall::int80(SET_THREAD_AREA, [at as u32, 0, 0, 0, 0]), Ok(0), "clear");
    }
    check_eq!(gs(), 0, "with the thread's own descriptor gone");
}

/// A null selector other than 0 has the base that it has, before and after others ran, and not
/// what was set before it was loaded.
fn null_selectors(low: usize) {
    let base = || {
        let mut base = 0usize;
        let _ = arch_prctl(ARCH_GET_FS, core::ptr::from_mut(&mut base) as usize);
        base
    };
    // SAFETY: nothing here uses FS.
    unsafe {
        check_eq!(arch_prctl(ARCH_SET_FS, low), Ok(0), "arch_prctl");
        user::time::sleep_ms(1);
        check_eq!(base(), low, "what was set");
        asm!("mov fs, {0:x}", in(reg) 3u16);
    }
    let before = base();
    user::time::sleep_ms(1);
    check_eq!(base(), before, "the base of selector 3 after a switch");
    // SAFETY: as above.
    unsafe { asm!("mov fs, {0:x}", in(reg) 0u16) };
}

/// Loads a selector of this process's table into DS's neighbours, sleeps and looks again, for
/// another process does the same with a table of its own.
fn sleep_with(selector: u16, word: u64) {
    // SAFETY: nothing here uses ES or GS.
    unsafe { asm!("mov es, {0:x}", "mov gs, {0:x}", in(reg) selector) };
    for _ in 0..5 {
        user::time::sleep_ms(1);
        let (es, gs, seen): (u16, u16, u64);
        // SAFETY: reads selectors, and a word of ours if GS is what it was.
        unsafe {
            asm!("mov {0:x}, es", "mov {1:x}, gs", "xor {2:e}, {2:e}", "cmp {1:x}, {3:x}", "jne 2f",
                "mov {2}, gs:[0]", "2:", out(reg) es, out(reg) gs, out(reg) seen, in(reg) selector);
        }
        check_eq!((es, gs), (selector, selector), "selectors after a switch");
        check_eq!(seen, word, "what they select");
    }
    // SAFETY: as above.
    unsafe { asm!("mov es, {0:x}", "mov gs, {0:x}", in(reg) 0u16) };
}

/// Two processes, each with a descriptor 6 of its own, in turns.
fn switches(low: usize) {
    let selector = 6 << 3 | 7;
    let pid = child(|| {
        check_eq!(write(desc(6, low as u32 + 8, DATA)), 0, "write in the child");
        sleep_with(selector, 0x3344);
        i32::from(user::check::failures() != 0)
    });
    check_eq!(write(desc(6, low as u32, DATA)), 0, "write");
    sleep_with(selector, 0x1122);
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the other process");
}

/// A tracer sees the bases of the segments that its tracee has loaded.
fn traced_bases(low: usize) {
    let (fs, gs) = (6u16 << 3 | 7, 5u16 << 3 | 7);
    let pid = child(|| {
        check_eq!(write(desc(6, low as u32 + 8, DATA)), 0, "write");
        check_eq!(write(desc(5, low as u32, DATA)), 0, "write");
        // SAFETY: nothing here uses them.
        unsafe { asm!("mov fs, {0:x}", "mov gs, {1:x}", in(reg) fs, in(reg) gs) };
        let _ = ptrace::trace_me();
        let _ = kill(getpid(), SIGSTOP);
        i32::from(user::check::failures() != 0)
    });
    check_eq!(ptrace::stop(pid), Ok(ptrace::stopped(SIGSTOP)), "the tracee");
    let r = ptrace::registers(pid).unwrap_or_default();
    check_eq!((r.fs as u16, r.gs as u16), (fs, gs), "selectors");
    check_eq!((r.fs_base as usize, r.gs_base as usize), (low + 8, low), "their bases");
    check_eq!(ptrace::go(ptrace::PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(0).0), "it goes on");
}

fn run() {
    use linux_raw_sys::general::{MAP_32BIT, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE};
    // SAFETY: a new mapping.
    let low = unsafe {
        syscall!(__NR_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0)
    };
    let Ok(low) = low else {
        check!(false, "memory below 4 GiB: {low:?}");
        return;
    };
    errors();
    segments(low);
    thread_areas(low);
    vanishing_gs(low);
    switches(low);
    null_selectors(low);
    traced_bases(low);
}
