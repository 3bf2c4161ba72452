// SPDX-License-Identifier: GPL-2.0-only
//! Setting the wall clock moves what waits for a time on it, and nothing else.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, from_ref};
use user::prelude::*;
use user::signal::sigtimedwait;
use user::time::{Timespec, nanoseconds, now, sleep_ms, timespec};
use user::timer::*;
use user::{Result, syscall};

expect! { end: exit(0) }
program!(run);

const MS: i64 = 1_000_000;
const HOUR: i64 = 3600 * 1000 * MS;
const ABSTIME: u32 = 1;

fn ts(ns: i64) -> Timespec {
    timespec(ns / 1_000_000_000, ns % 1_000_000_000)
}

fn wall() -> i64 {
    let mut t = timespec(0, 0);
    // SAFETY: the kernel writes one structure.
    let _ = unsafe { syscall!(__NR_clock_gettime, CLOCK_REALTIME, from_mut(&mut t)) };
    nanoseconds(&t)
}

fn move_wall(by: i64) {
    let t = ts(wall() + by);
    // SAFETY: the kernel reads one structure.
    let r = unsafe { syscall!(__NR_clock_settime, CLOCK_REALTIME, from_ref(&t)) };
    check_eq!(r, Ok(0), "clock_settime");
}

fn sleep(clock: u32, flags: u32, time: i64) -> Result {
    // SAFETY: the kernel reads one structure.
    unsafe { syscall!(__NR_clock_nanosleep, clock, flags, from_ref(&ts(time)), 0) }
}

/// Runs `body` while a child moves the clock by `by` after 30 ms; the clock is put back.
fn while_moving(by: i64, body: impl FnOnce()) {
    let pid = child(|| {
        sleep_ms(30);
        move_wall(by);
        i32::from(user::check::failures() != 0)
    });
    body();
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the child that sets the clock");
    move_wall(-by);
}

fn run() {
    while_moving(HOUR, || {
        let start = now();
        check_eq!(sleep(CLOCK_REALTIME, ABSTIME, wall() + HOUR), Ok(0), "until an hour from now");
        let took = now() - start;
        check!((30 * MS..5000 * MS).contains(&took), "it became that: {took}");
    });
    while_moving(-HOUR / 2, || {
        let (start, until) = (now(), wall() + 60 * MS);
        let pid = child(|| {
            sleep_ms(100);
            move_wall(HOUR / 2 + 100 * MS);
            0
        });
        check_eq!(sleep(CLOCK_REALTIME, ABSTIME, until), Ok(0), "until what is moved away");
        let took = now() - start;
        check!((90 * MS..5000 * MS).contains(&took), "and back: {took}");
        check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the child that sets it back");
        move_wall(-HOUR / 2 - 100 * MS);
    });
    while_moving(HOUR, || {
        let start = now();
        check_eq!(sleep(CLOCK_REALTIME, 0, 80 * MS), Ok(0), "for a span");
        check!(now() - start >= 80 * MS, "a span is a span");
    });
    sigprocmask_set(bit(40));
    for (flags, hour_passes) in [(ABSTIME, true), (0, false)] {
        while_moving(HOUR, || timer(flags, hour_passes));
    }
}

fn timer(flags: u32, hour_passes: bool) {
    let id = timer_create(CLOCK_REALTIME as i32, Some(&Sigevent::new(SIGEV_SIGNAL, 40, 0)));
    let id = id.unwrap_or(-1);
    let from = if flags == 0 { 0 } else { wall() };
    let set = timer_settime(id, flags, Itimerspec::new(from + HOUR / 2, 0));
    check_eq!(set, Ok((0, 0)), "timer_settime");
    let came = sigtimedwait(bit(40), Some(&ts(80 * MS))).is_ok();
    check_eq!(came, hour_passes, "whether a timer with flags {flags} comes");
    check_eq!(timer_delete(id), Ok(0), "timer_delete");
}
