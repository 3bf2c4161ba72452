// SPDX-License-Identifier: GPL-2.0-only
//! POSIX timers: what their signals say, what is left of them, overruns, and how they end.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::null;
use core::sync::atomic::{AtomicI32, Ordering::SeqCst};
use user::prelude::*;
use user::process::{RLIMIT_SIGPENDING, exit_thread, setrlimit, spawn_thread};
use user::process::{execve, getuid};
use user::signal::{SIGALRM, SIGUSR1, SIGUSR2, sigpending, sigqueueinfo, sigtimedwait};
use user::time::{now, sleep_ms, timespec};
use user::timer::*;
use user::{seen, start, syscall};

expect! { end: exit(0) }
program!(run);

const MS: i64 = 1_000_000;
const SI_TIMER: i32 = -2;
const ABSTIME: u32 = 1;

fn run() {
    if start::arg_str(1) == Some("second") {
        return after_exec();
    }
    refused();
    one_shot();
    absolute();
    periodic();
    pending_counts();
    deleted_while_pending();
    silent();
    ignored();
    cpu_time();
    to_a_thread();
    forked();
    limited();
    let me = start::arg(0).unwrap_or(c"");
    let id = create(CLOCK_MONOTONIC, Some(&Sigevent::new(SIGEV_SIGNAL, SIGUSR2, 0)));
    sigprocmask_set(bit(SIGUSR1) | bit(SIGUSR2));
    set(id, 0, 1, MS);
    sleep_ms(5);
    check_eq!(kill(getpid(), SIGUSR1), Ok(0), "kill");
    check_eq!(sigpending(), bit(SIGUSR1) | bit(SIGUSR2), "pending before exec");
    let e = execve(me, &[me.as_ptr(), c"second".as_ptr(), null()], &[null()]);
    check!(false, "execve: {e}");
}

fn after_exec() {
    check_eq!(sigpending(), bit(SIGUSR1), "exec drops what timers have sent");
    for id in 0..20 {
        check_eq!(timer_gettime(id), Err(Errno(EINVAL)), "timer {id} is gone");
    }
}

fn create(clock: u32, event: Option<&Sigevent>) -> i32 {
    let id = timer_create(clock as i32, event);
    check!(id.is_ok(), "timer_create({clock}): {id:?}");
    id.unwrap_or(-1)
}

fn set(id: i32, flags: u32, value: i64, interval: i64) {
    let r = timer_settime(id, flags, Itimerspec::new(value, interval));
    check!(r.is_ok(), "timer_settime: {r:?}");
}

/// Sets it to a time that has passed, and lets it notice.
fn expire(id: i32) {
    set(id, ABSTIME, 1, 0);
    sleep_ms(2);
}

/// The next signal of a set that is blocked.
fn take(set: u64) -> user::Result<SigInfo> {
    sigtimedwait(set, Some(&timespec(5, 0)))
}

fn timer_info(sig: u32, id: i32, overrun: u32, value: u64) -> SigInfo {
    SigInfo::queue(sig, SI_TIMER, id, overrun, value)
}

fn refused() {
    let ev = |notify, signo| Sigevent::new(notify, signo, 0);
    let good = ev(SIGEV_SIGNAL, SIGUSR1);
    let create = |clock: i32, ev| timer_create(clock, Some(&ev));
    for clock in [10, 12, 99] {
        check_eq!(create(clock, good), Err(Errno(EINVAL)), "clock {clock}");
    }
    for clock in [4, 5, 6] {
        check_eq!(create(clock, good), Err(Errno(EOPNOTSUPP)), "clock {clock} has no timers");
    }
    check_eq!(create(-5, good), Err(Errno(EOPNOTSUPP)), "a clock that is a file");
    check_eq!(create(!99_999 << 3 | 2, good), Err(Errno(EINVAL)), "a process that is not there");
    check_eq!(create(!getpid() << 3 | 3, good), Err(Errno(EOPNOTSUPP)), "a file again");
    for (bad, what) in [
        (ev(SIGEV_SIGNAL, 0), "signal 0"),
        (ev(SIGEV_SIGNAL, 65), "signal 65"),
        (ev(3, SIGUSR1), "kind 3"),
        (ev(8, SIGUSR1), "kind 8"),
        (Sigevent::thread(1, SIGUSR1, 0), "another process's thread"),
        (Sigevent::thread(getpid(), 0, 0), "a thread's signal 0"),
    ] {
        check_eq!(create(1, bad), Err(Errno(EINVAL)), "{what}");
    }
    // SAFETY: the kernel refuses the addresses.
    let bad_event = unsafe { syscall!(__NR_timer_create, 1, 8, 8) };
    check_eq!(bad_event, Err(Errno(EFAULT)), "where there is no event");
    // SAFETY: as above.
    let bad_id = unsafe { syscall!(__NR_timer_create, 1, 0, 8) };
    check_eq!(bad_id, Err(Errno(EFAULT)), "where no id can be written");
    // Each try but those with a bad clock or address of the event has used an id up.
    let id = self::create(CLOCK_MONOTONIC, None);
    check_eq!(id, 8, "ids count failures");
    check_eq!(timer_create(1, Some(&ev(SIGEV_NONE, 99))), Ok(9), "SIGEV_NONE needs no signal");
    for bad in [-1, 100] {
        check_eq!(timer_gettime(bad), Err(Errno(EINVAL)), "gettime of {bad}");
        check_eq!(timer_getoverrun(bad), Err(Errno(EINVAL)), "getoverrun of {bad}");
        check_eq!(timer_delete(bad), Err(Errno(EINVAL)), "delete of {bad}");
    }
    let too_much = Itimerspec::new(0, 0);
    check_eq!(timer_settime(77, 0, too_much), Err(Errno(EINVAL)), "settime of no timer");
    let bad = [0i64, 1_000_000_000, 0, 0];
    // SAFETY: the kernel reads four words.
    let r = unsafe { syscall!(__NR_timer_settime, id, 0, bad.as_ptr(), 0) };
    check_eq!(r, Err(Errno(EINVAL)), "a billion nanoseconds");
    // SAFETY: the kernel refuses the addresses.
    let r = unsafe { [syscall!(__NR_timer_settime, id, 0, 0, 0), syscall!(__NR_timer_settime, id, 0, 8, 0)] };
    check_eq!(r, [Err(Errno(EINVAL)), Err(Errno(EFAULT))], "no new setting");
    check_eq!([timer_delete(id), timer_delete(9)], [Ok(0), Ok(0)], "delete");
    check_eq!(timer_delete(id), Err(Errno(EINVAL)), "delete twice");
}

/// Without a `sigevent`: SIGALRM, with the id as its value.
fn one_shot() {
    sigprocmask_set(bit(SIGALRM));
    for clock in [CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI] {
        let id = create(clock, None);
        check_eq!(timer_gettime(id), Ok((0, 0)), "not set yet");
        let start = now();
        set(id, 0, 20 * MS, 0);
        let left = timer_gettime(id).unwrap_or((0, 0));
        check!(left.0 > 0 && left.0 <= 20 * MS && left.1 == 0, "left {left:?} of 20 ms");
        check_eq!(take(bit(SIGALRM)), Ok(timer_info(SIGALRM, id, 0, id as u64)), "clock {clock}");
        let took = now() - start;
        check!(took >= 20 * MS, "clock {clock}: it took {took} ns");
        check_eq!(timer_gettime(id), Ok((0, 0)), "expired");
        check_eq!(timer_getoverrun(id), Ok(0), "overrun");
        set(id, 0, 1000 * MS, 5 * MS);
        let was = timer_settime(id, 0, Itimerspec::new(0, 7)).unwrap_or((0, 0));
        check!(was.0 > 900 * MS && was.1 == 5 * MS, "it was set to {was:?}");
        check_eq!(timer_gettime(id), Ok((0, 0)), "disarmed: without an interval, too");
        check_eq!(timer_delete(id), Ok(0), "delete");
    }
    sigprocmask_set(0);
}

fn absolute() {
    sigprocmask_set(bit(40));
    let id = create(CLOCK_MONOTONIC, Some(&Sigevent::new(SIGEV_SIGNAL, 40, 0x1234_5678_9abc)));
    let start = now();
    set(id, ABSTIME, start + 10 * MS, 0);
    check_eq!(take(bit(40)), Ok(timer_info(40, id, 0, 0x1234_5678_9abc)), "at a time");
    check!(now() >= start + 10 * MS, "not before it");
    expire(id);
    check_eq!(sigpending(), bit(40), "a time that has passed is now");
    check_eq!(take(bit(40)).is_ok(), true, "and comes");
    // A periodic one has missed what lies between; the first signal says so.
    set(id, ABSTIME, now() - 50 * MS, 10 * MS);
    let overrun = take(bit(40)).map(|i| i.uid());
    check!(matches!(overrun, Ok(5..)), "overrun of 50 ms in steps of 10: {overrun:?}");
    check_eq!(timer_getoverrun(id).map(|n| n as u32), overrun, "getoverrun says the same");
    check_eq!(timer_delete(id), Ok(0), "delete");
    sigprocmask_set(0);
}

/// What expires while its signal is blocked becomes its overrun.
fn periodic() {
    let ev = Sigevent::new(SIGEV_THREAD, 41, 5);
    let id = create(CLOCK_MONOTONIC, Some(&ev));
    sigprocmask_set(bit(41));
    let start = now();
    set(id, 0, 2 * MS, 2 * MS);
    sleep_ms(50);
    let (left, interval) = timer_gettime(id).unwrap_or((0, 0));
    check!(left > 0 && left <= 2 * MS && interval == 2 * MS, "left {left}, interval {interval}");
    let first = take(bit(41)).unwrap_or(SigInfo::ZERO);
    let steps = (now() - start) / (2 * MS);
    check!((24..=steps as u32).contains(&(first.uid() + 1)), "{} of {steps} steps", first.uid());
    check_eq!(timer_getoverrun(id), Ok(first.uid() as usize), "getoverrun");
    check_eq!(take(bit(41)).map(|i| i.signo), Ok(41), "it goes on");
    set(id, 0, 0, 0);
    check_eq!(timer_getoverrun(id), Ok(0), "setting forgets the overrun");
    check_eq!(timer_delete(id), Ok(0), "delete");
    let _ = sigtimedwait(bit(41), Some(&timespec(0, 0)));
    sigprocmask_set(0);
}

/// A timer's signal has a place of its own: a standard signal may be pending twice.
fn pending_counts() {
    seen::clear();
    seen::install(SIGUSR1, 0, 0);
    sigprocmask_set(bit(SIGUSR1));
    let a = create(CLOCK_MONOTONIC, Some(&Sigevent::new(SIGEV_SIGNAL, SIGUSR1, 1)));
    let b = create(CLOCK_MONOTONIC, Some(&Sigevent::new(SIGEV_SIGNAL, SIGUSR1, 2)));
    check_eq!(kill(getpid(), SIGUSR1), Ok(0), "kill");
    expire(a);
    expire(b);
    // One that is queued still counts its expiries.
    expire(a);
    expire(a);
    sigprocmask_set(0);
    let want = [
        SigInfo::user(SIGUSR1, 0, getpid(), getuid()),
        timer_info(SIGUSR1, a, 2, 1),
        timer_info(SIGUSR1, b, 0, 2),
    ];
    check_eq!(core::array::from_fn(seen::get), want, "kill, and two timers");
    check_eq!(seen::count(), 3, "signals");
    check_eq!([timer_delete(a), timer_delete(b)], [Ok(0), Ok(0)], "delete");
}

fn deleted_while_pending() {
    sigprocmask_set(bit(42));
    let id = create(CLOCK_MONOTONIC, Some(&Sigevent::new(SIGEV_SIGNAL, 42, 3)));
    expire(id);
    check_eq!(timer_delete(id), Ok(0), "delete");
    check_eq!(take(bit(42)), Ok(timer_info(42, id, 0, 3)), "what was sent comes");
    sigprocmask_set(0);
}

fn silent() {
    let id = create(CLOCK_MONOTONIC, Some(&Sigevent::new(SIGEV_NONE, 0, 0)));
    set(id, 0, 10 * MS, 0);
    let left = timer_gettime(id).unwrap_or((0, 0)).0;
    check!(left > 0 && left <= 10 * MS, "left {left}");
    sleep_ms(12);
    check_eq!(timer_gettime(id), Ok((0, 0)), "silently expired");
    set(id, 0, 10 * MS, 30 * MS);
    sleep_ms(15);
    let (left, interval) = timer_gettime(id).unwrap_or((0, 0));
    check!(left > 0 && left <= 30 * MS && interval == 30 * MS, "left {left}, interval {interval}");
    check_eq!(timer_delete(id), Ok(0), "delete");
}

/// An ignored signal's expiries count as well.
fn ignored() {
    let _ = sigaction(43, Action::Ignore, 0, 0);
    let id = create(CLOCK_MONOTONIC, Some(&Sigevent::new(SIGEV_SIGNAL, 43, 3)));
    set(id, 0, MS, MS);
    sleep_ms(30);
    sigprocmask_set(bit(43));
    let got = take(bit(43)).map(|i| i.uid());
    check!(matches!(got, Ok(20..)), "expiries while it was ignored: {got:?}");
    check_eq!(timer_delete(id), Ok(0), "delete");
    let _ = sigtimedwait(bit(43), Some(&timespec(0, 0)));
    let _ = sigaction(43, Action::Default, 0, 0);
    sigprocmask_set(0);
}

fn cpu_now(clock: u32) -> i64 {
    let mut t = timespec(0, 0);
    // SAFETY: the kernel writes one structure.
    let _ = unsafe { syscall!(__NR_clock_gettime, clock, core::ptr::from_mut(&mut t)) };
    user::time::nanoseconds(&t)
}

fn cpu_time() {
    for clock in [CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID] {
        seen::clear();
        seen::install(44, 0, 0);
        let id = create(clock, Some(&Sigevent::new(SIGEV_SIGNAL, 44, 9)));
        let from = cpu_now(clock);
        set(id, 0, 30 * MS, 0);
        let left = timer_gettime(id).unwrap_or((0, 0)).0;
        check!(left > 0 && left <= 30 * MS, "left {left} of CPU time");
        sleep_ms(60);
        check_eq!(seen::count(), 0, "sleeping takes no CPU time");
        let give_up = now() + 5_000 * MS;
        while seen::count() == 0 && now() < give_up {}
        check!(cpu_now(clock) - from >= 25 * MS, "CPU time used");
        check_eq!(seen::get(0), timer_info(44, id, 0, 9), "clock {clock}");
        check_eq!(timer_gettime(id), Ok((0, 0)), "expired");
        // What has passed expires at once, though no time passes on the clock.
        sigprocmask_set(bit(44));
        expire(id);
        check_eq!(sigpending(), bit(44), "a CPU time that has passed");
        check_eq!(take(bit(44)), Ok(timer_info(44, id, 0, 9)), "and what it sends");
        set(id, 0, 10 * MS, 10 * MS);
        let give_up = now() + 5_000 * MS;
        let from = cpu_now(clock);
        while cpu_now(clock) - from < 60 * MS && now() < give_up {}
        let overrun = take(bit(44)).map(|i| i.uid());
        check!(matches!(overrun, Ok(3..=8)), "overrun of 60 ms in steps of 10: {overrun:?}");
        check_eq!(timer_delete(id), Ok(0), "delete");
        let _ = sigtimedwait(bit(44), Some(&timespec(0, 0)));
        sigprocmask_set(0);
    }
}

static TOOK: AtomicI32 = AtomicI32::new(0);
static TIMER: AtomicI32 = AtomicI32::new(-1);

extern "C" fn note_thread(_: i32, _: &mut SigInfo, _: &mut UContext) {
    TOOK.store(gettid(), SeqCst);
}

extern "C" fn thread() -> ! {
    TOOK.store(0, SeqCst);
    let id = create(CLOCK_MONOTONIC, Some(&Sigevent::thread(gettid(), SIGUSR2, 0)));
    TIMER.store(id, SeqCst);
    set(id, 0, 5 * MS, 0);
    sleep_ms(20);
    check_eq!(TOOK.load(SeqCst), gettid(), "who took it");
    set(id, 0, 5 * MS, 5 * MS);
    exit_thread(0)
}

fn to_a_thread() {
    check!(sigaction(SIGUSR2, Action::Handle(note_thread), SA_RESTART, 0).is_ok(), "sigaction");
    TOOK.store(-1, SeqCst);
    check!(spawn_thread(thread).is_ok(), "spawn");
    sleep_ms(60);
    let id = TIMER.load(SeqCst);
    check!(TOOK.load(SeqCst) != gettid(), "the other thread took it");
    check!(id >= 0, "the thread made a timer");
    TOOK.store(0, SeqCst);
    sleep_ms(20);
    check_eq!(TOOK.load(SeqCst), 0, "nobody takes the signal of a thread that is gone");
    check_eq!(timer_delete(id), Ok(0), "delete");
}

fn forked() {
    let id = create(CLOCK_MONOTONIC, None);
    set(id, 0, 1000 * MS, 0);
    let pid = child(|| i32::from(timer_gettime(id) != Err(Errno(EINVAL))));
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "a child has no timers");
    check_eq!(timer_delete(id), Ok(0), "delete");
    // A process ends with its timers armed.
    let pid = child(|| {
        set(create(CLOCK_MONOTONIC, None), 0, 5 * MS, 5 * MS);
        set(create(CLOCK_PROCESS_CPUTIME_ID, None), 0, 5 * MS, 5 * MS);
        0
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "armed timers do not matter");
}

/// A timer takes one of the signals that its user may have queued, and loses none of its own.
fn limited() {
    let pid = child(|| {
        let (me, uid) = (getpid(), getuid());
        sigprocmask_set(bit(45) | bit(46));
        check!(setrlimit(RLIMIT_SIGPENDING, 20, None).is_ok(), "setrlimit");
        let id = create(CLOCK_MONOTONIC, Some(&Sigevent::new(SIGEV_SIGNAL, 46, 0)));
        while sigqueueinfo(me, 45, &SigInfo::queue(45, -1, me, uid, 0)).is_ok() {}
        check_eq!(timer_create(1, None), Err(Errno(EAGAIN)), "no room for another timer");
        expire(id);
        check_eq!(take(bit(46)), Ok(timer_info(46, id, 0, 0)), "its own signal comes");
        check_eq!(timer_delete(id), Ok(0), "delete");
        check!(timer_create(1, None).is_ok(), "room again");
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "at the limit");
}
