// SPDX-License-Identifier: GPL-2.0-only
//! seccomp: who may install a filter and which; what filters can answer; children, programs and
//! threads that have them; the strict mode.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, from_ref, null, null_mut};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::{become_user, execve, exit_thread, spawn_thread};
use user::ptrace::{
    PTRACE_CONT, PTRACE_O_EXITKILL, PTRACE_O_TRACESECCOMP, PTRACE_SETOPTIONS, UserRegs, event, give, go,
    message, registers, stop, stopped, tell, trace_me, x86,
};
use user::seccomp::answer::{ALLOW, ERRNO, KILL_PROCESS, KILL_THREAD, LOG, TRACE, TRAP, USER_NOTIF};
use user::seccomp::{Insn, Prog, install, load, ret, seccomp, unless_equal};
use user::signal::{SIGKILL, SIGSTOP, SIGSYS};
use user::syscall::Result;
use user::time::sleep_ms;
use user::{file, program, start, syscall};

expect! { end: exit(0) }
program!(run);

const PR_SET_SECCOMP: u32 = 22;
const PR_GET_SECCOMP: u32 = 21;
const PR_SET_NO_NEW_PRIVS: u32 = 38;
const ARCH: u32 = 0xc000_003e;

/// A filter that answers so to one call, and lets all others be.
fn filter(call: u32, answer: u32) -> Result {
    install(&[load(0), unless_equal(call, 1), ret(answer), ret(ALLOW)], 0)
}

fn prctl(option: u32, a: usize, b: usize) -> Result {
    // SAFETY: the kernel reads the arguments.
    unsafe { syscall!(__NR_prctl, option, a, b, 0, 0) }
}

fn getppid() -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_getppid) }
}

fn e(n: u32) -> Result {
    Err(Errno(n))
}

/// A child that must end so.
fn ends(what: &str, status: WaitStatus, body: impl FnOnce()) {
    let pid = child(|| {
        body();
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(status), "{what}");
}

fn in_child(what: &str, body: impl FnOnce()) {
    ends(what, WaitStatus::exited(0), body);
}

fn installing() {
    static LONG: [Insn; 4097] = [ret(ALLOW); 4097];
    let fine = [ret(ALLOW)];
    in_child("an ordinary user", || {
        let _ = become_user(1000);
        check_eq!(install(&fine, 0), e(EACCES), "who might get privileges");
        check_eq!(prctl(PR_SET_NO_NEW_PRIVS, 1, 0), Ok(0), "no new privileges");
        check_eq!(install(&fine, 0), Ok(0), "who will not");
    });
    check_eq!(install(&[], 0), e(EINVAL), "an empty one");
    check_eq!(install(&LONG, 0), e(EINVAL), "one that is too long");
    check_eq!(install(&[load(0)], 0), e(EINVAL), "one without an end");
    check_eq!(install(&[load(64), ret(ALLOW)], 0), e(EINVAL), "what is not there");
    check_eq!(install(&[load(2), ret(ALLOW)], 0), e(EINVAL), "not aligned");
    check_eq!(install(&[unless_equal(0, 1), ret(ALLOW)], 0), e(EINVAL), "a jump behind the end");
    check_eq!(install(&[Insn { code: 0x28, ..load(0) }, ret(ALLOW)], 0), e(EINVAL), "half a word");
    check_eq!(install(&[Insn { code: 0x60, ..load(0) }, ret(ALLOW)], 0), e(EINVAL), "memory not written");
    check_eq!(install(&fine, 0x40), e(EINVAL), "a flag");
    check_eq!(seccomp(1, 0, 8), e(EFAULT), "nowhere");
    let null_filter = Prog { len: 1, filter: null_mut() };
    check_eq!(seccomp(1, 0, from_ref(&null_filter) as usize), e(EINVAL), "no filter");
    let bad = Prog { len: 1, filter: 8 as *mut Insn };
    check_eq!(seccomp(1, 0, from_ref(&bad) as usize), e(EFAULT), "a filter that is nowhere");
    check_eq!([seccomp(0, 1, 0), seccomp(0, 0, 8), seccomp(9, 0, 0)], [e(EINVAL); 3], "operations");
    for action in [KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, USER_NOTIF, TRACE, LOG, ALLOW] {
        check_eq!(seccomp(2, 0, from_ref(&action) as usize), Ok(0), "action {action:x}");
    }
    check_eq!(seccomp(2, 0, from_ref(&0x1234_0000u32) as usize), e(EOPNOTSUPP), "no such action");
    check_eq!(seccomp(2, 1, from_ref(&ALLOW) as usize), e(EINVAL), "with a flag");
    let mut sizes = [0u16; 3];
    check_eq!((seccomp(3, 0, from_mut(&mut sizes) as usize), sizes), (Ok(0), [80, 24, 64]), "sizes");
    check_eq!(prctl(PR_GET_SECCOMP, 0, 0), Ok(0), "no mode so far");
    check_eq!([prctl(PR_SET_SECCOMP, 3, 0), prctl(PR_SET_SECCOMP, 0, 0)], [e(EINVAL); 2], "no such mode");
}

static SEEN: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

extern "C" fn on_sys(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    let words = [info.code as u64, info.errno as u64, info.word(0), info.word(1), uc.mcontext.ax];
    for (to, from) in SEEN.iter().zip(words) {
        to.store(from, SeqCst);
    }
    check_eq!(info.word(0), uc.mcontext.ip, "the address");
    uc.mcontext.ax = 77;
}

fn answers() {
    let call = abi::__NR_getppid;
    in_child("an error", || {
        check_eq!((filter(call, ERRNO | EPERM), getppid()), (Ok(0), e(EPERM)), "EPERM");
        check_eq!(prctl(PR_GET_SECCOMP, 0, 0), Ok(2), "the mode");
        let mut buf = [0; 2048];
        let status = file::load(c"/proc/self/status", &mut buf).unwrap_or(&[]);
        let has = |s: &[u8]| status.windows(s.len()).any(|w| w == s);
        check!(has(b"\nSeccomp:\t2\nSeccomp_filters:\t1\n"), "status");
        check_eq!(
            (filter(call, ERRNO | EACCES), getppid()),
            (Ok(0), e(EACCES)),
            "the later of the same kind"
        );
        check_eq!((filter(call, TRACE), getppid()), (Ok(0), e(EACCES)), "the stricter kind");
        check_eq!((filter(call, ERRNO), getppid()), (Ok(0), Ok(0)), "none");
        check_eq!(install(&[ret(ALLOW)], 1), Ok(0), "alone with all its threads");
        in_child("a child", || check_eq!(getppid(), Ok(0), "its child has them"));
        check_eq!(prctl(PR_SET_SECCOMP, 1, 0), e(EINVAL), "another mode");
    });
    in_child("a large error", || {
        check_eq!((filter(call, ERRNO | 0xffff), getppid()), (Ok(0), e(4095)), "as large as can be");
    });
    in_child("by argument", || {
        let p = [
            load(0),
            unless_equal(abi::__NR_getpriority, 4),
            load(16),
            unless_equal(5, 2),
            load(20),
            Insn { code: 0x15, jt: 1, jf: 0, k: 9 },
            ret(ALLOW),
            ret(ERRNO | 0x63),
        ];
        check_eq!(install(&p, 0), Ok(0), "a filter");
        // SAFETY: no memory is involved.
        let get = |a: u64| unsafe { syscall!(__NR_getpriority, a, 0) };
        check_eq!((get(9 << 32 | 5), get(5), get(0)), (e(99), e(EINVAL), Ok(20)), "all its bits");
    });
    in_child("a signal", || {
        let _ = sigaction(SIGSYS, Action::Handle(on_sys), 0, 0);
        check_eq!((filter(call, TRAP | 0x1234), getppid()), (Ok(0), Ok(77)), "what the handler says");
        let seen: [u64; 5] = core::array::from_fn(|i| SEEN[i].load(SeqCst));
        let number = u64::from(ARCH) << 32 | u64::from(call);
        check_eq!([seen[0], seen[1], seen[3], seen[4]], [1, 0x1234, number, call.into()], "its siginfo");
    });
    in_child("asking nobody", || {
        check_eq!((filter(call, TRACE | 5), getppid()), (Ok(0), e(ENOSYS)), "no tracer");
        check_eq!((filter(call, USER_NOTIF), getppid()), (Ok(0), e(ENOSYS)), "no listener");
    });
    in_child("the log", || {
        check_eq!((filter(call, LOG), getppid().is_ok_and(|p| p > 0)), (Ok(0), true), "allowed");
    });
    let killed = WaitStatus::killed(SIGSYS as i32);
    let kill_by = |what: &str, program: &[Insn]| {
        ends(what, killed, || {
            let _ = sigaction(SIGSYS, Action::Handle(on_sys), 0, 0);
            check_eq!(install(program, 0), Ok(0), "a filter");
            let _ = getppid();
        });
    };
    let on_getppid = |answer| [load(0), unless_equal(call, 1), ret(answer), ret(ALLOW)];
    kill_by("kill", &on_getppid(KILL_PROCESS));
    kill_by("kill the only thread", &on_getppid(KILL_THREAD));
    kill_by("an answer that is none", &on_getppid(0x1234_0000));
    let divide = [load(0), unless_equal(call, 1), Insn { code: 0x3c, jt: 0, jf: 0, k: 0 }, ret(ALLOW)];
    kill_by("a division by zero", &divide);
}

static TID: AtomicI32 = AtomicI32::new(0);
static STEP: AtomicU32 = AtomicU32::new(0);

extern "C" fn dies() -> ! {
    STEP.store(1, SeqCst);
    let _ = getppid();
    STEP.store(2, SeqCst);
    exit_thread(0)
}

extern "C" fn waits() -> ! {
    TID.store(gettid(), SeqCst);
    while STEP.load(SeqCst) != 5 {
        sleep_ms(1);
    }
    check_eq!(getppid(), e(EPERM), "another thread");
    STEP.store(6, SeqCst);
    exit_thread(0)
}

extern "C" fn has_its_own() -> ! {
    check_eq!(install(&[ret(ALLOW)], 0), Ok(0), "its own");
    TID.store(gettid(), SeqCst);
    loop {
        sleep_ms(1000);
    }
}

fn threads() {
    in_child("a thread", || {
        check_eq!(filter(abi::__NR_getppid, KILL_THREAD), Ok(0), "a filter");
        check!(spawn_thread(dies).is_ok(), "a thread");
        sleep_ms(50);
        check_eq!(STEP.load(SeqCst), 1, "it is dead, alone");
    });
    in_child("all threads", || {
        check!(spawn_thread(waits).is_ok(), "a thread");
        while TID.load(SeqCst) == 0 {
            sleep_ms(1);
        }
        let p = [load(0), unless_equal(abi::__NR_getppid, 1), ret(ERRNO | EPERM), ret(ALLOW)];
        check_eq!(install(&p, 1), Ok(0), "for all");
        STEP.store(5, SeqCst);
        while STEP.load(SeqCst) != 6 {
            sleep_ms(1);
        }
    });
    in_child("one that has its own", || {
        let tid = spawn_thread(has_its_own).unwrap_or(-1);
        while TID.load(SeqCst) == 0 {
            sleep_ms(1);
        }
        check_eq!(install(&[ret(ALLOW)], 1), Ok(tid as usize), "which it is");
        check_eq!(install(&[ret(ALLOW)], 17), e(ESRCH), "as an error");
    });
}

/// A tracer that may do anything reads a tracee's filters, and has it go on without.
fn seen_by_tracer() {
    const GET_FILTER: u32 = 0x420c;
    const GET_METADATA: u32 = 0x420d;
    const SUSPEND: usize = 1 << 21;
    let first = [load(0), unless_equal(abi::__NR_getppid, 1), ret(ERRNO | 9), ret(ALLOW)];
    let second = [ret(ALLOW)];
    let pid = child(|| {
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        check_eq!((install(&first, 0), install(&second, 2)), (Ok(0), Ok(0)), "filters");
        let _ = kill(getpid(), SIGSTOP);
        check!(getppid().is_ok(), "not asked");
        let _ = kill(getpid(), SIGSTOP);
        check_eq!(getppid(), e(9), "asked again");
        user::check::failures() as i32
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "at first");
    let mut got = [ret(7); 4];
    let to = got.as_mut_ptr() as usize;
    let mut about = [1u64, 77];
    let size = 16;
    check_eq!(tell(GET_FILTER, pid, 0, to), e(EINVAL), "no filter");
    check_eq!(tell(GET_METADATA, pid, size, about.as_mut_ptr() as usize), e(EINVAL), "nor flags");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(stopped(SIGSTOP)), "with filters");
    check_eq!(tell(GET_FILTER, pid, 0, 0), Ok(4), "how long the first one is");
    check_eq!(tell(GET_FILTER, pid, 0, to), Ok(4), "the first one");
    let same = |a: &Insn, b: &Insn| (a.code, a.jt, a.jf, a.k) == (b.code, b.jt, b.jf, b.k);
    check!(got.iter().zip(&first).all(|(a, b)| same(a, b)), "its instructions");
    check_eq!(tell(GET_FILTER, pid, 1, to), Ok(1), "the second one");
    check!(same(&got[0], &second[0]), "its instruction");
    check_eq!(tell(GET_FILTER, pid, 2, to), e(ENOENT), "a third one");
    check_eq!(tell(GET_FILTER, pid, 0, 8), e(EFAULT), "nowhere");
    check_eq!(tell(GET_METADATA, pid, 1000, about.as_mut_ptr() as usize), Ok(size), "flags");
    check_eq!(about, [1, 2], "it is logged");
    about = [0, 77];
    check_eq!(tell(GET_METADATA, pid, 8, about.as_mut_ptr() as usize), Ok(8), "which one");
    check_eq!(about, [0, 77], "no more than there is room for");
    check_eq!(tell(GET_METADATA, pid, 7, about.as_mut_ptr() as usize), e(EINVAL), "not even that");
    in_child("an ordinary user", || {
        let _ = become_user(1000);
        let other = child(|| {
            let _ = trace_me();
            let _ = kill(getpid(), SIGSTOP);
            0
        });
        check_eq!(stop(other), Ok(stopped(SIGSTOP)), "its tracee");
        check_eq!(tell(GET_FILTER, other, 0, 0), e(EACCES), "may not read filters");
        check_eq!(tell(GET_METADATA, other, 0, 0), e(EACCES), "nor flags");
        check_eq!(tell(PTRACE_SETOPTIONS, other, 0, SUSPEND), e(EPERM), "nor suspend them");
        let _ = (kill(other, SIGKILL), wait(other));
    });
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, SUSPEND), Ok(0), "without filters");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(stopped(SIGSTOP)), "it has made the call");
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, 0), Ok(0), "with them again");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(0).0), "it has not");
}

fn tracer() {
    let pid = child(|| {
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        let _ = filter(abi::__NR_getppid, TRACE | 0x55);
        let all = [getppid() == Ok(1234), getppid() == Ok(getpid() as usize), getppid().is_ok()];
        all.iter().fold(0, |n, ok| n * 2 + i32::from(*ok))
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "at first");
    let options = PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL;
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, options as usize), Ok(0), "options");
    for step in 0..3 {
        check_eq!(go(PTRACE_CONT, pid, 0), Ok(event(7)), "{step}: the filter asks");
        check_eq!(message(pid), Ok(0x55), "{step}: what it says");
        let r = registers(pid).unwrap_or_default();
        check_eq!((r.orig_rax, r.rax), (u64::from(abi::__NR_getppid), -38i64 as u64), "{step}: registers");
        let changed = match step {
            0 => UserRegs { orig_rax: u64::MAX, rax: 1234, ..r },
            1 => UserRegs { orig_rax: abi::__NR_getpid.into(), ..r },
            _ => r,
        };
        check_eq!(give(x86::PTRACE_SETREGS, pid, 0, &changed), Ok(0), "{step}: another call");
    }
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(7).0), "what it got");
}

fn strict() {
    let (from, to) = file::pipe(0).unwrap_or((-1, -1));
    let pid = child(|| {
        let r = prctl(PR_SET_SECCOMP, 1, 0);
        let _ = file::write(to, &[u8::from(r == Ok(0))]);
        exit_thread(3)
    });
    // exit_group is not allowed, exit is.
    check_eq!(wait(pid), Ok(WaitStatus::exited(3)), "its end");
    let mut byte = [9];
    check_eq!((file::read(from, &mut byte), byte), (Ok(1), [1]), "what it wrote");
    let killed = WaitStatus::killed(SIGKILL as i32);
    ends("another call", killed, || {
        let _ = seccomp(0, 0, 0);
        let _ = getppid();
    });
    ends("the clock", WaitStatus::killed(user::signal::SIGSEGV as i32), || {
        let _ = seccomp(0, 0, 0);
        // SAFETY: faults, since the mode has no clocks.
        unsafe { core::arch::asm!("rdtsc", out("eax") _, out("edx") _) };
    });
}

fn run() {
    if start::arg(1).is_some() {
        check_eq!(getppid(), e(EPERM), "another program");
        return;
    }
    installing();
    answers();
    threads();
    tracer();
    seen_by_tracer();
    strict();
    in_child("another program", || {
        check_eq!(filter(abi::__NR_getppid, ERRNO | EPERM), Ok(0), "a filter");
        let path = start::arg(0).unwrap_or(c"");
        let _ = execve(path, &[path.as_ptr(), c"again".as_ptr(), null()], &[null()]);
        check!(false, "execve");
    });
}
