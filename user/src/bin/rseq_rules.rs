// SPDX-License-Identifier: GPL-2.0-only
//! Restartable sequences: who may register what; a sequence that is preempted or interrupted by a
//! handler goes on where it says, before which its signature must stand; a broken one is SIGSEGV.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::global_asm;
use core::ptr::{addr_of, addr_of_mut};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use user::prelude::*;
use user::process::{exit_thread, spawn_thread};
use user::signal::{SIGALRM, SIGSEGV, SIGUSR1};
use user::syscall;
use user::syscall::Result;
use user::time::{set_real_timer, sleep_ms};

expect! { end: exit(0) }
program!(run);

const SIG: u32 = 0x5305_3053;
const UNREGISTER: u32 = 1;

/// `struct rseq`.
#[repr(C, align(32))]
struct Rseq {
    cpu_id_start: u32,
    cpu_id: u32,
    section: u64,
    flags: u32,
}

/// `struct rseq_cs`.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
struct Section {
    version: u32,
    flags: u32,
    start: u64,
    len: u64,
    abort: u64,
}

const NEW: Rseq = Rseq { cpu_id_start: 7, cpu_id: u32::MAX, section: 0, flags: 0 };
static mut AREA: [Rseq; 2] = [NEW, NEW];

// Turns until it has to begin again, or for a long time; RAX says which.
global_asm!(
    ".pushsection .text.trapline_rseq,\"ax\",@progbits",
    ".globl trapline_rseq, trapline_rseq_start, trapline_rseq_end, trapline_rseq_abort, trapline_rseq_unsigned",
    "trapline_rseq:",
    "mov rcx, 0x100000000",
    "mov [rdi], rsi",
    "trapline_rseq_start:",
    "2: dec rcx",
    "jnz 2b",
    "trapline_rseq_end:",
    "xor eax, eax",
    "ret",
    ".long 0x53053053",
    "trapline_rseq_abort:",
    "mov eax, 1",
    "ret",
    ".long 0x53053054",
    "trapline_rseq_unsigned:",
    "mov eax, 2",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    fn trapline_rseq(field: *mut u64, section: *const Section) -> u32;
    fn trapline_rseq_start();
    fn trapline_rseq_end();
    fn trapline_rseq_abort();
    fn trapline_rseq_unsigned();
}

fn section() -> Section {
    let start = trapline_rseq_start as *const () as u64;
    let len = trapline_rseq_end as *const () as u64 - start;
    Section { version: 0, flags: 0, start, len, abort: trapline_rseq_abort as *const () as u64 }
}

fn area(i: usize) -> *mut Rseq {
    // SAFETY: only the address is taken.
    unsafe { addr_of_mut!(AREA[i]) }
}

fn rseq_at(at: usize, len: usize, flags: u32, sig: u32) -> Result {
    // SAFETY: the kernel writes to the area from now on, which is static.
    unsafe { syscall!(__NR_rseq, at, len, flags, sig) }
}

fn rseq(i: usize, flags: u32, sig: u32) -> Result {
    rseq_at(area(i) as usize, 32, flags, sig)
}

/// The area's two numbers of the CPU.
fn cpu(i: usize) -> (u32, u32) {
    // SAFETY: the area is static; the kernel writes it when this thread is in the kernel.
    unsafe { (area(i).read_volatile().cpu_id_start, area(i).read_volatile().cpu_id) }
}

fn field(i: usize) -> u64 {
    // SAFETY: as above.
    unsafe { area(i).read_volatile().section }
}

fn set_field(i: usize, at: u64) {
    // SAFETY: as above.
    unsafe { addr_of_mut!((*area(i)).section).write_volatile(at) }
}

fn registration() {
    let e = |n| Err(Errno(n));
    let at = area(0) as usize;
    check_eq!(rseq(0, UNREGISTER, SIG), e(EINVAL), "unregistering nothing");
    check_eq!(rseq(0, 2, SIG), e(EINVAL), "a flag");
    check_eq!(rseq_at(at + 16, 32, 0, SIG), e(EINVAL), "not aligned");
    check_eq!(rseq_at(at, 64, 0, SIG), e(EINVAL), "a wrong size");
    check_eq!(rseq_at(0xffff_8000_0000_0000, 32, 0, SIG), e(EFAULT), "the kernel's");
    check_eq!(rseq_at(0, 32, 0, SIG), e(EFAULT), "no memory");
    check_eq!(cpu(0), (7, u32::MAX), "before");
    set_field(0, 1);
    check_eq!((rseq(0, 0, SIG), cpu(0), field(0)), (Ok(0), (0, 0), 0), "registering");
    check_eq!(rseq(0, 0, SIG), e(EBUSY), "again");
    check_eq!(rseq(0, 0, SIG + 1), e(EPERM), "with another signature");
    check_eq!(rseq(1, 0, SIG), e(EINVAL), "another area");
    check_eq!(rseq(0, UNREGISTER, SIG + 1), e(EPERM), "unregistering with another signature");
    check_eq!(rseq(1, UNREGISTER, SIG), e(EINVAL), "unregistering another area");
    check_eq!(rseq(0, UNREGISTER | 2, SIG), e(EINVAL), "unregistering with a flag");
    check_eq!((rseq(0, UNREGISTER, SIG), cpu(0)), (Ok(0), (0, u32::MAX)), "unregistering");
    check_eq!(rseq(0, 0, SIG), Ok(0), "for all that follows");
}

static THREAD: AtomicU32 = AtomicU32::new(0);

extern "C" fn thread() -> ! {
    // It has none of its maker's.
    check_eq!((rseq(0, UNREGISTER, SIG), rseq(1, 0, SIG)), (Err(Errno(EINVAL)), Ok(0)), "a thread");
    THREAD.store(1, SeqCst);
    exit_thread(0)
}

fn inheritance() {
    let pid = child(|| {
        // A copy of the memory, hence of the registration.
        check_eq!((rseq(0, 0, SIG), rseq(0, UNREGISTER, SIG)), (Err(Errno(EBUSY)), Ok(0)), "a child");
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the child");
    check!(spawn_thread(thread).is_ok(), "a thread");
    while THREAD.load(SeqCst) == 0 {
        sleep_ms(1);
    }
}

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_alarm(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    let (s, ip) = (section(), uc.mcontext.ip);
    // Not in the sequence: from there it was led away.
    check!(!(s.start..s.start + s.len).contains(&ip), "where the handler was: {ip:x}");
    check_eq!(field(0), 0, "in the handler");
    HANDLED.store(1, SeqCst);
}

fn spin(s: &Section) -> u32 {
    // SAFETY: the sequence touches nothing but the field and its registers.
    unsafe { trapline_rseq(addr_of_mut!((*area(0)).section), s) }
}

/// The other thread wakes up no more.
static ENOUGH: AtomicU32 = AtomicU32::new(0);

extern "C" fn sleeper() -> ! {
    while ENOUGH.load(SeqCst) == 0 {
        sleep_ms(10);
    }
    ENOUGH.store(2, SeqCst);
    exit_thread(0)
}

/// A signal now, and again and again: on a busy machine the first may come before the sequence begins,
/// which then has nobody to interrupt it.
fn alarms() -> Result {
    set_real_timer(20, 20)
}

fn aborted() {
    let s = section();
    let _ = sigaction(SIGALRM, Action::Handle(on_alarm), 0, 0);
    check!(alarms().is_ok(), "a timer");
    // Before it, others may have had their turn, as of the kernel's own threads.
    while HANDLED.load(SeqCst) == 0 {
        check_eq!((spin(&s), field(0)), (1, 0), "a signal");
    }
    check!(set_real_timer(0, 0).is_ok(), "no timer");
    check!(spawn_thread(sleeper).is_ok(), "a thread that runs now and then");
    check_eq!((spin(&s), field(0)), (1, 0), "another thread's turn");
    ENOUGH.store(1, SeqCst);
    while ENOUGH.load(SeqCst) != 2 {
        sleep_ms(1);
    }
    // Outside of it the field is forgotten.
    set_field(0, addr_of!(s) as u64);
    let _ = kill(getpid(), SIGALRM);
    check_eq!(field(0), 0, "a signal elsewhere");
}

/// A child with such a field gets a signal.
fn dies(what: &str, set: impl FnOnce(), in_section: bool, at: u64) {
    let pid = child(|| {
        let _ = sigaction(SIGUSR1, Action::Handle(on_alarm), 0, 0);
        let _ = sigaction(SIGALRM, Action::Handle(on_alarm), 0, 0);
        set();
        if in_section {
            let _ = alarms();
            // SAFETY: as in `spin`.
            let _ = unsafe { trapline_rseq(addr_of_mut!((*area(0)).section), at as *const Section) };
        } else {
            set_field(0, at);
            let _ = kill(getpid(), SIGUSR1);
        }
        0
    });
    check_eq!(wait(pid), Ok(WaitStatus::killed(SIGSEGV as i32)), "{what}");
}

fn broken() {
    let nothing = || {};
    dies("no memory", nothing, false, 8);
    dies("the kernel's", nothing, false, 1 << 63);
    let good = section();
    let bad = |what: &str, s: Section| dies(what, nothing, true, addr_of!(s) as u64);
    bad("another version", Section { version: 1, ..good });
    bad("a flag that was once", Section { flags: 1, ..good });
    bad("a flag that never was", Section { flags: 8, ..good });
    bad("going on inside", Section { abort: good.start + 1, ..good });
    bad("no signature", Section { abort: trapline_rseq_unsigned as *const () as u64, ..good });
    bad("going on in no memory", Section { abort: 0x10, ..good });
    bad("going on in the kernel", Section { abort: 1 << 63, ..good });
    bad("longer than can be", Section { len: u64::MAX, ..good });
    // SAFETY: the child's own copy.
    let flags = || unsafe { addr_of_mut!((*area(0)).flags).write_volatile(4) };
    dies("a flag of the thread", flags, true, addr_of!(good) as u64);
    // Who unmaps the area dies at the next occasion.
    let lost = || {
        let page = user::memory::map(4096, 3).unwrap_or(0);
        check_eq!((rseq(0, UNREGISTER, SIG), rseq_at(page, 32, 0, SIG)), (Ok(0), Ok(0)), "moving");
        // SAFETY: nobody uses the page any more.
        let _ = unsafe { syscall!(__NR_munmap, page, 4096) };
    };
    dies("no area", lost, false, 0);
}

fn run() {
    registration();
    inheritance();
    aborted();
    broken();
}
