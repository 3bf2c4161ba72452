// SPDX-License-Identifier: GPL-2.0-only
//! A tracee that runs 32-bit code has i386's sets of registers, and a tracer that calls by
//! `int $0x80` i386's structures; the requests of old show what the tracer is.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::global_asm;
use user::compat::{Low, enter32, map_low};
use user::memory::PAGE;
use user::prelude::*;
use user::ptrace::x86::{PTRACE_GETFPXREGS, PTRACE_SETFPXREGS, PTRACE_SETREGS};
use user::ptrace::{
    OFFSET_DEBUGREG, PTRACE_CONT, PTRACE_DETACH, PTRACE_GETEVENTMSG, PTRACE_GETREGSET, PTRACE_GETSIGINFO,
    PTRACE_PEEKDATA, PTRACE_PEEKSIGINFO, PTRACE_PEEKUSR, PTRACE_POKEDATA, PTRACE_POKEUSR, PTRACE_SEIZE,
    PTRACE_SETOPTIONS, PTRACE_SETREGSET, PTRACE_SETSIGINFO, PTRACE_SYSCALL, ask, give, go, registers, stop,
    stopped, tell, trace_me,
};
use user::signal::{SIGKILL, SIGSTOP, SIGTRAP, SIGUSR1};
use user::syscall::int80;
use user::{file, syscall};

expect! { end: exit(0) }
program!(run);

const NT_PRSTATUS: usize = 1;
const NT_PRFPREG: usize = 2;
const NT_PRXFPREG: usize = 0x46e6_2b7f;
const NT_386_TLS: usize = 0x200;
const NT_386_IOPERM: usize = 0x201;
const NT_X86_XSTATE: usize = 0x202;

// What the tracee runs: it shows itself with known registers, and ends with what ST0 and EBX say.
global_asm!(
    ".pushsection .text.ptrace_compat,\"ax\",@progbits",
    ".code32",
    "compat_begin:",
    "mov eax, 0x2b",
    "mov ds, eax",
    "mov es, eax",
    "fninit",
    "fld1",
    "mov eax, 0x11110000",
    "mov ebx, 0x22220000",
    "mov ecx, 0x33330000",
    "mov edx, 0x44440000",
    "mov esi, 0x55550000",
    "mov edi, 0x66660000",
    "mov ebp, 0x77770000",
    "int3",
    "compat_stopped: sub esp, 4",
    "fistp dword ptr [esp]",
    "add ebx, [esp]",
    "mov eax, 1",
    "int 0x80",
    "compat_end:",
    ".code64",
    ".popsection",
);

unsafe extern "C" {
    safe static compat_begin: u8;
    safe static compat_stopped: u8;
    safe static compat_end: u8;
}

/// The tracee's code and stack, and the tracer's structures, all below 4 GiB.
#[derive(Clone, Copy)]
struct Place {
    code: usize,
    low: Low,
}

impl core::ops::Deref for Place {
    type Target = Low;
    fn deref(&self) -> &Low {
        &self.low
    }
}

impl Place {
    fn new() -> Option<Self> {
        let code = map_low(2 * PAGE).ok()?;
        let begin = &raw const compat_begin;
        // SAFETY: the whole of the code, to new memory.
        unsafe {
            let len = &raw const compat_end as usize - begin as usize;
            core::ptr::copy_nonoverlapping(begin, code as *mut u8, len);
        }
        Some(Self { code, low: Low::new(PAGE)? })
    }
    fn stack(self) -> usize {
        self.code + 2 * PAGE - 16
    }
    /// Where the tracee stops.
    fn stop(self) -> u32 {
        (self.code + &raw const compat_stopped as usize - &raw const compat_begin as usize) as u32
    }
}

fn run() {
    let Some(low) = Place::new() else { return check!(false, "memory below 4 GiB") };
    general(low);
    fpu(low);
    thread_areas(low);
    ports(low);
    at_a_call(low);
    old_tracer(low);
    old_tracer_fpu(low);
    poked_result(low);
}

/// A tracee that stands in its 32-bit code.
fn tracee(low: Place, before: impl FnOnce()) -> i32 {
    let pid = child(|| {
        before();
        let _ = trace_me();
        // SAFETY: the child uses nothing else from here on.
        unsafe { enter32(low.code, low.stack()) }
    });
    check_eq!(stop(pid), Ok(stopped(SIGTRAP)), "the first stop");
    pid
}

/// A set of registers, and how many bytes it has.
fn set_of<T: Copy>(pid: i32, note: usize, mut room: T) -> Result<(usize, T), Errno> {
    let iov = [(&raw mut room) as usize, size_of::<T>()];
    let iov = ask(PTRACE_GETREGSET, pid, note, iov)?;
    Ok((iov[1], room))
}

fn put_set<T: Copy>(pid: i32, note: usize, value: &T, len: usize) -> Result<usize, Errno> {
    let iov = [core::ptr::from_ref(value) as usize, len];
    give(PTRACE_SETREGSET, pid, note, &iov)
}

/// What the tracee's code has put there.
fn shown(low: Place, flags: u32) -> [u32; 17] {
    let (ip, sp) = (low.stop(), low.stack() as u32);
    let [b, c, d, si, di, bp, a] = [2, 3, 4, 5, 6, 7, 1].map(|n| n * 0x1111_0000);
    [b, c, d, si, di, bp, a, 0x2b, 0x2b, 0, 0, u32::MAX, ip, 0x23, flags, sp, 0x2b]
}

fn general(low: Place) {
    let pid = tracee(low, || {});
    let wide = registers(pid).unwrap_or_default();
    let (ip, sp) = (low.stop(), low.stack());
    check_eq!((wide.cs, wide.rip, wide.rsp), (0x23, ip.into(), sp as u64), "64-bit registers");
    let want = shown(low, wide.eflags as u32);
    let mut room = [7u32; 40];
    room[..17].copy_from_slice(&want);
    check_eq!(set_of(pid, NT_PRSTATUS, [7u32; 40]), Ok((68, room)), "seventeen words");
    check_eq!(set_of(pid, NT_PRSTATUS, [7u32; 3]), Ok((12, [want[0], want[1], want[2]])), "three of them");
    check_eq!(set_of(pid, NT_PRSTATUS, [7u8; 6]), Err(Errno(EINVAL)), "half a word");
    check_eq!(set_of(pid, 0x999, [7u32; 3]), Err(Errno(EINVAL)), "no such set");
    let mut words = want;
    for (at, value, result) in [
        (13, 0x10, Err(Errno(EIO))),
        (13, 0, Err(Errno(EIO))),
        (16, 0x18, Err(Errno(EIO))),
        (7, 0x10, Err(Errno(EIO))),
        (7, 0xffff_002b, Ok(0)),
        (0, 5, Ok(0)),
        (14, u32::MAX, Ok(0)),
    ] {
        words[at] = value;
        check_eq!(put_set(pid, NT_PRSTATUS, &words, 68), result, "word {at} becomes {value:#x}");
        words[at] = if result.is_ok() { words[at] } else { want[at] };
    }
    let got = set_of(pid, NT_PRSTATUS, [0u32; 17]).map_or([0; 17], |s| s.1);
    check_eq!((got[0], got[7], got[13]), (5, 0x2b, 0x23), "what was changed");
    check_eq!(got[14] & 0x3_7200, 0x1_4200, "flags of the kernel");
    // As it was, but for EBX. The old request has 64-bit registers all the same.
    check_eq!(give(PTRACE_SETREGS, pid, 0, &wide), Ok(0), "SETREGS");
    check_eq!(put_set(pid, NT_PRSTATUS, &5u32, 4), Ok(0), "EBX alone");
    check_eq!(registers(pid).map(|r| (r.rbx, r.rcx)), Ok((5, 0x3333_0000)), "and nothing else");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(6).0), "EBX and ST0");
}

fn fpu(low: Place) {
    let pid = tracee(low, || {});
    let (len, mut f) = set_of(pid, NT_PRFPREG, [0u32; 200]).unwrap_or((0, [0; 200]));
    check_eq!(len, 108, "FSAVE's image");
    check_eq!([f[0], f[1], f[2]], [0xffff_037f, 0xffff_3800, 0xffff_3fff], "control, status, tags");
    check_eq!((f[4], f[6]), (0x23, 0xffff_002b), "selectors");
    check_eq!([f[7], f[8], f[9]], [0, 0x8000_0000, 0x3fff], "1.0 in ST0");
    let fx = set_of(pid, NT_PRXFPREG, [0u32; 200]);
    check_eq!(
        fx.map(|(n, w)| (n, w[0] as u16, w[8], w[9])),
        Ok((512, 0x37f, 0, 0x8000_0000)),
        "FXSAVE's image"
    );
    if core::arch::x86_64::__cpuid(1).ecx & 1 << 27 != 0 {
        let x = set_of(pid, NT_X86_XSTATE, [0u32; 1024]);
        check!(x.is_ok_and(|(n, w)| n >= 576 && w[9] == 0x8000_0000), "the whole state");
    }
    f[9] = 0x4000;
    check_eq!(put_set(pid, NT_PRFPREG, &f, 104), Err(Errno(EINVAL)), "not all of it");
    check_eq!(put_set(pid, NT_PRFPREG, &f, 108), Ok(0), "2.0");
    check_eq!(put_set(pid, NT_PRXFPREG, &f, 508), Err(Errno(EINVAL)), "not all of it");
    check_eq!(put_set(pid, NT_PRSTATUS, &5u32, 4), Ok(0), "EBX");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(7).0), "EBX and ST0");
}

fn thread_areas(low: Place) {
    let pid = tracee(low, || {});
    let empty = |n: u32| [n, 0, 0, 0x28];
    let flat = [99, 0x1234_5000, 0xf_ffff, 0x51];
    check_eq!(set_of(pid, NT_386_TLS, [[7u32; 4]; 3]), Ok((48, [12, 13, 14].map(empty))), "none");
    check_eq!(set_of(pid, NT_386_TLS, [7u32; 3]), Err(Errno(EINVAL)), "a piece of one");
    check_eq!(put_set(pid, NT_386_TLS, &[flat, [0; 4]], 32), Ok(0), "one, and none");
    check_eq!(put_set(pid, NT_386_TLS, &[flat, [0, 0, 1, 0x50]], 32), Err(Errno(EINVAL)), "16 bits");
    check_eq!(put_set(pid, NT_386_TLS, &flat, 8), Err(Errno(EINVAL)), "a piece of one");
    check_eq!(put_set(pid, NT_386_TLS, &flat, 0), Ok(0), "nothing of it");
    let mut now = [12, 13, 14].map(empty);
    now[0] = [12, 0x1234_5000, 0xf_ffff, 0x51];
    check_eq!(set_of(pid, NT_386_TLS, [[7u32; 4]; 3]), Ok((48, now)), "what was set");
    // FS brings its base along.
    let mut words = set_of(pid, NT_PRSTATUS, [0u32; 17]).map_or([0; 17], |s| s.1);
    (words[0], words[9]) = (5, 0x63);
    check_eq!(put_set(pid, NT_PRSTATUS, &words, 68), Ok(0), "FS");
    check_eq!(registers(pid).map(|r| (r.fs, r.fs_base)), Ok((0x63, 0x1234_5000)), "its base");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(6).0), "and it goes on");
}

fn ports(low: Place) {
    let pid = tracee(low, || {});
    check_eq!(set_of(pid, NT_386_IOPERM, [0u8; 16]), Err(Errno(ENXIO)), "no ports");
    check_eq!(put_set(pid, NT_386_IOPERM, &[0u32; 4], 16), Err(Errno(EOPNOTSUPP)), "not to be written");
    check_eq!(tell(PTRACE_DETACH, pid, 0, SIGKILL as usize), Ok(0), "detached");
    check_eq!(wait(pid), Ok(WaitStatus::killed(SIGKILL as i32)), "gone");
    // SAFETY: no port is touched.
    let pid = tracee(low, || unsafe {
        check_eq!(syscall!(__NR_ioperm, 0x80, 2, 1), Ok(0), "ioperm");
    });
    let (len, bits) = set_of(pid, NT_386_IOPERM, [0u8; 9000]).unwrap_or((0, [0; 9000]));
    check_eq!(
        (len, bits[0x0f], bits[0x10], bits[8191], bits[8192]),
        (8192, 0xff, 0xfc, 0xff, 0),
        "two ports"
    );
    check_eq!(go(PTRACE_CONT, pid, SIGKILL), Ok(SIGKILL as i32), "killed");
}

/// Before a call, and in 64-bit code again.
fn at_a_call(low: Place) {
    let pid = tracee(low, || {});
    check_eq!(put_set(pid, NT_PRSTATUS, &4u32, 4), Ok(0), "EBX");
    check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(stopped(SIGTRAP)), "a call");
    let words = set_of(pid, NT_PRSTATUS, [0u32; 17]).map_or([0; 17], |s| s.1);
    check_eq!((words[11], words[6], words[0]), (1, -ENOSYS_RESULT as u32, 5), "exit(5)");
    // The code decides, whatever the call: with 64-bit code's selector it has the other set.
    let cs = 8 * 17;
    check_eq!(tell(PTRACE_POKEUSR, pid, cs, 0x33), Ok(0), "CS");
    check_eq!(set_of(pid, NT_PRSTATUS, [0u64; 40]).map(|s| s.0), Ok(216), "64-bit registers");
    check_eq!(set_of(pid, NT_386_TLS, [0u64; 40]).map(|s| s.0), Err(Errno(EINVAL)), "not there");
    check_eq!(set_of(pid, NT_386_IOPERM, [0u64; 40]).map(|s| s.0), Err(Errno(ENXIO)), "no ports");
    check_eq!(put_set(pid, NT_PRFPREG, &[0u64; 64], 504), Err(Errno(EINVAL)), "not the whole FPU");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(5).0), "and it ends");
}

const ENOSYS_RESULT: i32 = ENOSYS as i32;

/// `ptrace` by `int $0x80`.
fn ptrace32(request: u32, pid: i32, addr: usize, data: u32) -> syscall::Result {
    // SAFETY: what is written is in `Low`.
    unsafe { int80(26, [request, pid as u32, addr as u32, data, 0]) }
}

fn old_tracer(low: Place) {
    let pid = tracee(low, || {});
    let flags = registers(pid).map_or(0, |r| r.eflags as u32);
    let want = shown(low, flags);
    let at = low.put(0, [7u32; 20]);
    check_eq!(ptrace32(12, pid, 0, at), Ok(0), "GETREGS");
    check_eq!(low.get::<[u32; 17]>(0), want, "i386's registers");
    check_eq!(low.get::<u32>(68), 7, "seventeen words");
    for (offset, value) in
        [(0, want[0]), (48, want[12]), (64, want[16]), (68, 0), (252 + 24, 0xffff_0ff0), (284, 0)]
    {
        check_eq!(ptrace32(PTRACE_PEEKUSR, pid, offset, at), Ok(0), "PEEKUSR {offset}");
        check_eq!(low.get::<u32>(0), value, "what is at {offset}");
    }
    for offset in [2, 288, OFFSET_DEBUGREG] {
        check_eq!(ptrace32(PTRACE_PEEKUSR, pid, offset, at), Err(Errno(EIO)), "PEEKUSR {offset}");
    }
    for (offset, value, result) in [
        (0, 5, Ok(0)),
        (52, 0x10, Err(Errno(EIO))),
        (100, 1, Ok(0)),
        (252, 0x40_0001, Ok(0)),
        (252 + 28, 0xd_0001, Err(Errno(EINVAL))),
        (288, 1, Err(Errno(EIO))),
    ] {
        check_eq!(ptrace32(PTRACE_POKEUSR, pid, offset, value), result, "POKEUSR {offset}");
    }
    // Words of 32 bits.
    let there = low.at(512) as usize;
    check_eq!(ptrace32(PTRACE_POKEDATA, pid, there, 0x1234_5678), Ok(0), "POKEDATA");
    low.put(0, [7u32; 2]);
    check_eq!(ptrace32(PTRACE_PEEKDATA, pid, there, at), Ok(0), "PEEKDATA");
    check_eq!(low.get::<[u32; 2]>(0), [0x1234_5678, 7], "a word");
    check_eq!(ptrace32(PTRACE_PEEKDATA, pid, 8, at), Err(Errno(EIO)), "nothing there");
    low.put(0, [7u32; 2]);
    check_eq!(ptrace32(PTRACE_GETEVENTMSG, pid, 0, at), Ok(0), "GETEVENTMSG");
    check_eq!(low.get::<[u32; 2]>(0), [0, 7], "a word");
    infos(low, pid);
    // A buffer of i386's, with a set of registers in it.
    let iov = low.put(0, [low.at(64), 400]);
    check_eq!(ptrace32(PTRACE_GETREGSET, pid, NT_PRSTATUS, iov), Ok(0), "GETREGSET");
    check_eq!((low.get::<u32>(4), low.get::<[u32; 2]>(64)), (68, [5, want[1]]), "seventeen words");
    low.put(64, 4u32);
    low.put(4, 4u32);
    check_eq!(ptrace32(PTRACE_SETREGSET, pid, NT_PRSTATUS, iov), Ok(0), "SETREGSET");
    check_eq!(ptrace32(PTRACE_SETOPTIONS, pid, 0, 1), Ok(0), "what is the same for both");
    check_eq!(ptrace32(99, pid, 0, 1), Err(Errno(EIO)), "no such request");
    check_eq!(ptrace32(PTRACE_CONT, pid, 0, 0), Ok(0), "CONT");
    check_eq!(wait(pid), Ok(WaitStatus::exited(5)), "and it ends");
}

/// i386's siginfo.
fn infos(low: Place, pid: i32) {
    let at = low.put(0, [7u32; 32]);
    check_eq!(ptrace32(PTRACE_GETSIGINFO, pid, 0, at), Ok(0), "GETSIGINFO");
    check_eq!(low.get::<[u32; 5]>(0), [SIGTRAP, 0, 0x80, 0, 0], "SIGTRAP");
    low.put(0, [SIGUSR1, 0, 1, 0x1234, 0]);
    check_eq!(ptrace32(PTRACE_SETSIGINFO, pid, 0, at), Ok(0), "SETSIGINFO");
    check_eq!(ask(PTRACE_GETSIGINFO, pid, 0, SigInfo::ZERO).map(|i| i.signo), Ok(SIGUSR1 as i32), "as set");
    // What is queued: one signal.
    check_eq!(kill(pid, SIGUSR1), Ok(0), "kill");
    let args = low.put(256, [0u32, 0, 1, 2]);
    check_eq!(ptrace32(PTRACE_PEEKSIGINFO, pid, args as usize, at), Ok(1), "PEEKSIGINFO");
    check_eq!(low.get::<[u32; 4]>(0), [SIGUSR1, 0, 0, getpid() as u32], "the sender follows at once");
    check_eq!(ptrace32(PTRACE_CONT, pid, 0, 0), Ok(0), "CONT");
    check_eq!(stop(pid), Ok(stopped(SIGUSR1)), "the signal");
}

fn old_tracer_fpu(low: Place) {
    let pid = tracee(low, || {});
    let at = low.put(0, [7u32; 130]);
    check_eq!(ptrace32(14, pid, 0, at), Ok(0), "GETFPREGS");
    check_eq!(low.get::<[u32; 3]>(28), [0, 0x8000_0000, 0x3fff], "1.0 in FSAVE's image");
    check_eq!((low.get::<u32>(104), low.get::<u32>(108)), (0, 7), "its end");
    low.put(28 + 8, 0x4000u16);
    check_eq!(ptrace32(15, pid, 0, at), Ok(0), "SETFPREGS");
    check_eq!(ptrace32(PTRACE_GETFPXREGS, pid, 0, at), Ok(0), "GETFPXREGS");
    check_eq!(
        (low.get::<[u32; 3]>(32), low.get::<u32>(512)),
        ([0, 0x8000_0000, 0x4000], 7),
        "FXSAVE's image"
    );
    // Of sixteen XMM registers it has eight.
    low.put(160 + 7 * 16, 1u64);
    low.put(160 + 8 * 16, 2u64);
    low.put(32 + 8, 0x4001u16);
    check_eq!(ptrace32(PTRACE_SETFPXREGS, pid, 0, at), Ok(0), "SETFPXREGS");
    low.put(24, u32::MAX);
    check_eq!(ptrace32(PTRACE_SETFPXREGS, pid, 0, at), Err(Errno(EINVAL)), "a bad MXCSR");
    let fx = set_of(pid, NT_PRXFPREG, [0u32; 128]).map_or([0; 128], |s| s.1);
    check_eq!((fx[40 + 28], fx[40 + 32], fx[10]), (1, 0, 0x4001), "XMM7, XMM8, 4.0");
    check_eq!(ptrace32(PTRACE_POKEUSR, pid, 0, 5), Ok(0), "EBX");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(9).0), "EBX and ST0");
}

/// A 64-bit tracee waits in `read`; the tracer writes what it has read of its result and of the
/// call's number, 32 bits of each. With both the call is made again, with one alone it has a result.
fn poked_result(low: Place) {
    for with_number in [true, false] {
        let Ok((r, w)) = file::pipe(0) else { return };
        let pid = child(|| {
            let mut b = [0];
            // SAFETY: `b` is ours.
            let n = unsafe { syscall::raw(0, [r as usize, b.as_mut_ptr() as usize, 1, 0, 0, 0]) };
            i32::from(n == 1) + 2 * i32::from(n == 0xffff_fe00)
        });
        check_eq!(tell(PTRACE_SEIZE, pid, 0, 0), Ok(0), "seized");
        user::time::sleep_ms(30);
        check_eq!(kill(pid, SIGSTOP), Ok(0), "a signal");
        check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "it stops");
        let wide = registers(pid).unwrap_or_default();
        check_eq!((wide.rax as i64, wide.orig_rax), (-512, 0), "in the middle of a call");
        check_eq!(ptrace32(PTRACE_PEEKUSR, pid, 24, low.at(0)), Ok(0), "EAX");
        check_eq!(ptrace32(PTRACE_POKEUSR, pid, 24, low.get(0)), Ok(0), "the same");
        check_eq!(registers(pid).map(|r| r.rax), Ok(0xffff_fe00), "its upper half is gone");
        if with_number {
            check_eq!(ptrace32(PTRACE_POKEUSR, pid, 44, 0), Ok(0), "the number");
        }
        check_eq!(tell(PTRACE_CONT, pid, 0, 0), Ok(0), "it goes on");
        check_eq!(file::write(w, b"x"), Ok(1), "something to read");
        check_eq!(wait(pid), Ok(WaitStatus::exited(if with_number { 1 } else { 2 })), "what it has read");
        let _ = (file::close(r), file::close(w));
    }
}
