// SPDX-License-Identifier: GPL-2.0-only
//! The vDSO's clocks show what the system calls show, and never go back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, null_mut};
use user::prelude::*;
use user::ptrace::{PTRACE_SYSCALL, go, registers, stop, stopped, trace_me};
use user::signal::{SIGSTOP, SIGTRAP};
use user::syscall::Result;
use user::time::{Timespec, nanoseconds, timespec, timeval};
use user::vdso::Vdso;

expect! { end: exit(0) }
program!(run);

type ClockCall = extern "C" fn(i32, *mut Timespec) -> i32;
type GetTimeOfDay = extern "C" fn(*mut timeval, *mut [i32; 2]) -> i32;
type Time = extern "C" fn(*mut i64) -> i64;
type GetCpu = extern "C" fn(*mut u32, *mut u32, *mut u8) -> i64;

/// `CLOCK_REALTIME` and the others that need no system call.
const CLOCKS: [i32; 7] = [0, 1, 4, 5, 6, 7, 11];
const MONOTONIC: i32 = 1;
const ROUNDS: usize = 2000;

fn by_syscall(clock: i32) -> Result<i64> {
    let mut t = timespec(0, 0);
    // SAFETY: the kernel writes one structure.
    unsafe { user::syscall!(__NR_clock_gettime, clock, from_mut(&mut t)) }.map(|_| nanoseconds(&t))
}

fn by_vdso(f: ClockCall, clock: i32) -> i64 {
    let mut t = timespec(-1, 0);
    let r = f(clock, &raw mut t);
    if r == 0 { nanoseconds(&t) } else { i64::from(r) }
}

fn run() {
    let Some(v) = Vdso::of_process() else {
        return check!(false, "AT_SYSINFO_EHDR is missing");
    };
    // SAFETY: the types are those of the functions.
    let found = unsafe {
        (
            v.function::<ClockCall>(c"__vdso_clock_gettime"),
            v.function::<ClockCall>(c"__vdso_clock_getres"),
            v.function::<GetTimeOfDay>(c"__vdso_gettimeofday"),
            v.function::<Time>(c"__vdso_time"),
            v.function::<GetCpu>(c"__vdso_getcpu"),
        )
    };
    let (Some(gettime), Some(getres), Some(gettimeofday), Some(time), Some(getcpu)) = found else {
        return check!(false, "not all functions are there");
    };
    for clock in CLOCKS {
        agrees(gettime, clock);
    }
    other_clocks(gettime);
    resolutions(getres);
    wall_clock(gettimeofday, time);
    cpu(getcpu);
    without_entering_the_kernel(gettime);
}

/// Between two system calls it shows something between their results.
fn agrees(f: ClockCall, clock: i32) {
    let mut last = 0;
    for _ in 0..ROUNDS {
        let (before, here, after) = (by_syscall(clock), by_vdso(f, clock), by_syscall(clock));
        let (Ok(before), Ok(after)) = (before, after) else {
            return check!(false, "clock {clock}: {before:?} {after:?}");
        };
        if !(last <= before && before <= here && here <= after) {
            return check!(false, "clock {clock}: {last} {before} {here} {after}");
        }
        last = after;
    }
    for _ in 0..ROUNDS {
        let now = by_vdso(f, clock);
        if now < last {
            return check!(false, "clock {clock} went back from {last} to {now}");
        }
        last = now;
    }
}

/// The kernel is asked about them; its errors come through.
fn other_clocks(f: ClockCall) {
    for cpu_time in [2, 3, -2, -6] {
        let (before, here, after) = (by_syscall(cpu_time), by_vdso(f, cpu_time), by_syscall(cpu_time));
        check!(
            before.is_ok_and(|b| b <= here) && after.is_ok_and(|a| here <= a),
            "clock {cpu_time}: {before:?} {here} {after:?}"
        );
    }
    for none in [10, 12, 15, 16, 31, 32, 33, 64, i32::MAX] {
        check_eq!(by_vdso(f, none), -i64::from(EINVAL), "clock {none}");
    }
    check_eq!(f(2, core::ptr::without_provenance_mut(8)), -(EFAULT as i32), "a bad pointer for the kernel");
}

fn resolutions(f: ClockCall) {
    for clock in [0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 40] {
        let (mut a, mut b) = (timespec(-1, -1), timespec(-1, -1));
        // SAFETY: the kernel writes one structure.
        let wanted = unsafe { user::syscall!(__NR_clock_getres, clock, from_mut(&mut a)) };
        let got = f(clock, &raw mut b);
        check_eq!(got, wanted.map_or_else(|e| -(e.0 as i32), |n| n as i32), "resolution of {clock}");
        check_eq!(nanoseconds(&b), nanoseconds(&a), "resolution of {clock}");
        check_eq!(f(clock, null_mut()), got, "resolution of {clock} that nobody wants");
    }
}

fn wall_clock(gettimeofday: GetTimeOfDay, time: Time) {
    let micros = |t: &timeval| t.tv_sec * 1_000_000 + t.tv_usec;
    let (mut tv, mut zone, mut kernel_zone) = (timeval { tv_sec: 0, tv_usec: 0 }, [77; 2], [78; 2]);
    let before = by_syscall(0).unwrap_or(-1) / 1000;
    check_eq!(gettimeofday(&raw mut tv, &raw mut zone), 0, "gettimeofday");
    let after = by_syscall(0).unwrap_or(-1) / 1000;
    check!(before <= micros(&tv) && micros(&tv) <= after, "gettimeofday {before} {} {after}", micros(&tv));
    // SAFETY: the kernel writes two numbers.
    let _ = unsafe { user::syscall!(__NR_gettimeofday, 0, from_mut(&mut kernel_zone)) };
    check_eq!(zone, kernel_zone, "the time zone");
    check_eq!(gettimeofday(null_mut(), null_mut()), 0, "gettimeofday of nothing");

    // SAFETY: nothing is written.
    let seconds = || unsafe { user::syscall!(__NR_time, 0) }.map_or(-1, |t| t as i64);
    let mut stored = -1;
    let (before, got, after) = (seconds(), time(&raw mut stored), seconds());
    check!(before <= got && got <= after && got == stored, "time {before} {got} {stored} {after}");
    check!(time(null_mut()) >= got, "time without a place for it");
}

fn cpu(f: GetCpu) {
    let (mut cpu, mut node, mut kernel) = (77, 77, [78u32; 2]);
    check_eq!(f(&raw mut cpu, &raw mut node, null_mut()), 0, "getcpu");
    let [kernel_cpu, kernel_node] = &mut kernel;
    // SAFETY: the kernel writes two numbers.
    let _ = unsafe { user::syscall!(__NR_getcpu, from_mut(kernel_cpu), from_mut(kernel_node), 0) };
    check_eq!([cpu, node], kernel, "CPU and node");
    check_eq!(f(null_mut(), null_mut(), null_mut()), 0, "getcpu of nothing");
}

/// A tracer sees no system call.
fn without_entering_the_kernel(f: ClockCall) {
    let pid = child(|| {
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        let calls = (0..100).filter(|_| by_vdso(f, MONOTONIC) > 0).count();
        exit_group(calls as i32);
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "the first stop");
    check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(stopped(SIGTRAP)), "the next call");
    check_eq!(registers(pid).map(|r| (r.orig_rax, r.rdi)), Ok((231, 100)), "is exit_group");
    check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(WaitStatus::exited(100).0), "the end");
}
