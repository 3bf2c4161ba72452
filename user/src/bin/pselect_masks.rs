// SPDX-License-Identifier: GPL-2.0-only
//! pselect6: the mask that holds while it waits, the time that is left, and which bits of the sets are
//! looked at and written.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, from_ref};
use user::file::{self, pipe};
use user::memory::{PAGE, PROT_READ, PROT_WRITE, map, protect};
use user::prelude::*;
use user::signal::{SIGALRM, SIGUSR1, SIGUSR2, raise, sigmask, sigpending};
use user::time::{Timespec, nanoseconds, now, set_real_timer, timespec};
use user::{Result, seen, syscall};

expect! { end: exit(0) }
program!(run);

const MS: i64 = 1_000_000;
/// A set of 128 descriptors.
type Set = [u64; 2];

struct Call<'a> {
    n: i32,
    sets: [Option<&'a mut Set>; 3],
    time: Option<&'a mut Timespec>,
    mask: Option<u64>,
}

fn pselect(call: Call<'_>) -> Result {
    let [r, w, e] = call.sets.map(|s| s.map_or(core::ptr::null_mut(), from_mut));
    let time = call.time.map_or(core::ptr::null_mut(), from_mut);
    let mask = call.mask;
    let sig = [mask.as_ref().map_or(0, |m| from_ref(m) as usize), 8];
    // SAFETY: the kernel reads and writes what these point to.
    unsafe { syscall!(__NR_pselect6, call.n, r, w, e, time, from_ref(&sig)) }
}

/// Waits for nothing but a signal.
fn only_time(time: &mut Timespec, mask: Option<u64>) -> Result {
    pselect(Call { n: 0, sets: [None, None, None], time: Some(time), mask })
}

fn run() {
    for sig in [SIGUSR1, SIGUSR2, SIGALRM] {
        seen::install(sig, SA_SIGINFO, 0);
    }
    pending_before();
    during();
    kept_for_later();
    time_left();
    no_room_for_time();
    sets();
    refused();
}

fn pending_before() {
    sigprocmask_set(bit(SIGUSR1));
    raise(SIGUSR1);
    let mut t = timespec(5, 0);
    check_eq!(only_time(&mut t, Some(0)), Err(Errno(EINTR)), "one that waited");
    check_eq!(seen::numbers(), [SIGUSR1 as i32, 0], "comes while it waits");
    check_eq!(sigmask(), bit(SIGUSR1), "and the mask is the old one again");
    seen::clear();
}

/// SIGALRM interrupts, SIGUSR1 stays pending.
fn during() {
    sigprocmask_set(bit(SIGALRM));
    raise(SIGALRM);
    let mut t = timespec(0, 20 * MS);
    check_eq!(only_time(&mut t, None), Ok(0), "without a mask the program's holds");
    check_eq!(seen::count(), 0, "nothing came");
    let mut t = timespec(5, 0);
    check_eq!(only_time(&mut t, Some(bit(SIGUSR1))), Err(Errno(EINTR)), "with another one");
    check_eq!(seen::numbers(), [SIGALRM as i32, 0], "it comes");
    seen::clear();
    let begun = now();
    check!(set_real_timer(30, 0).is_ok(), "a timer");
    let mut t = timespec(5, 0);
    check_eq!(only_time(&mut t, Some(bit(SIGUSR1))), Err(Errno(EINTR)), "one that comes later");
    check!(now() - begun >= 29 * MS, "not before its time");
    check_eq!((seen::numbers(), sigmask()), ([SIGALRM as i32, 0], bit(SIGALRM)), "and then the old mask");
    seen::clear();
    sigprocmask_set(0);
}

/// What is ready is told, and the signal that waits stays blocked.
fn kept_for_later() {
    let (r, w) = pipe(0).unwrap_or((-1, -1));
    file::write_all(w, b"x");
    sigprocmask_set(bit(SIGUSR2));
    raise(SIGUSR2);
    let mut set = [1 << r, 0];
    let got = pselect(Call { n: r + 1, sets: [Some(&mut set), None, None], time: None, mask: Some(0) });
    check_eq!((got, set), (Ok(1), [1 << r, 0]), "a byte is there");
    check_eq!((seen::count(), sigpending()), (0, bit(SIGUSR2)), "the signal waits");
    sigprocmask_set(0);
    check_eq!(seen::numbers(), [SIGUSR2 as i32, 0], "until it may come");
    seen::clear();
    let _ = (file::close(r), file::close(w));
}

fn time_left() {
    let (r, w) = pipe(0).unwrap_or((-1, -1));
    let mut t = timespec(0, 10 * MS);
    check_eq!(only_time(&mut t, None), Ok(0), "the time is up");
    check_eq!((t.tv_sec, t.tv_nsec), (0, 0), "none is left");
    file::write_all(w, b"x");
    let (mut t, mut set) = (timespec(100, 0), [1 << r, 0]);
    let got = pselect(Call { n: r + 1, sets: [Some(&mut set), None, None], time: Some(&mut t), mask: None });
    check_eq!(got, Ok(1), "ready at once");
    check!((90_000 * MS..100_000 * MS).contains(&nanoseconds(&t)), "nearly all is left: {}", nanoseconds(&t));
    check!(set_real_timer(20, 0).is_ok(), "a timer");
    let mut t = timespec(100, 0);
    check_eq!(only_time(&mut t, None), Err(Errno(EINTR)), "interrupted");
    check!((80_000 * MS..=99_981 * MS).contains(&nanoseconds(&t)), "what is left: {}", nanoseconds(&t));
    seen::clear();
    for bad in [timespec(0, 1000 * MS), timespec(-1, 0), timespec(0, -1)] {
        check_eq!(only_time(&mut { bad }, None), Err(Errno(EINVAL)), "no time");
    }
    let _ = (file::close(r), file::close(w));
}

/// Where the time that is left cannot be written, the call is as without it.
fn no_room_for_time() {
    let at = map(PAGE, PROT_READ | PROT_WRITE).unwrap_or(0);
    let time = at as *mut Timespec;
    // SAFETY: the page is mapped, and only the kernel looks at it from then on.
    let t = unsafe {
        time.write(timespec(0, 10 * MS));
        check!(protect(at, PAGE, PROT_READ).is_ok(), "mprotect");
        &mut *time
    };
    check_eq!(only_time(t, None), Ok(0), "the time is up, and cannot be told");
    check_eq!(t.tv_nsec, 10 * MS, "it is as it was");
}

fn sets() {
    let (r, w) = pipe(0).unwrap_or((-1, -1));
    let mut none = timespec(0, 0);
    let both = 1 << r | 1 << w;
    let (mut rs, mut ws, mut es) = ([both, 0], [both, 0], [both, 0]);
    let all = [Some(&mut rs), Some(&mut ws), Some(&mut es)];
    check_eq!(
        pselect(Call { n: w + 1, sets: all, time: Some(&mut none), mask: None }),
        Ok(1),
        "an empty pipe"
    );
    check_eq!((rs, ws, es), ([0; 2], [1 << w, 0], [0; 2]), "can be written");
    file::write_all(w, b"x");
    let (mut rs, mut ws) = ([both, 7], [both, 7]);
    let two = [Some(&mut rs), Some(&mut ws), None];
    check_eq!(
        pselect(Call { n: w + 1, sets: two, time: Some(&mut none), mask: None }),
        Ok(2),
        "a byte in it"
    );
    check_eq!((rs, ws), ([1 << r, 7], [1 << w, 7]), "can be read; words behind the last are not touched");
    let mut rs = [both, 0];
    let first = [Some(&mut rs), None, None];
    check_eq!(
        pselect(Call { n: r, sets: first, time: Some(&mut none), mask: None }),
        Ok(0),
        "below the first"
    );
    check_eq!(rs, [0; 2], "nothing is said of what lies behind");
    let _ = file::close(w);
    let mut rs = [1 << r, 0];
    let first = [Some(&mut rs), None, None];
    check_eq!(
        pselect(Call { n: r + 1, sets: first, time: None, mask: None }),
        Ok(1),
        "nobody writes any more"
    );
    let _ = file::close(r);
}

fn of(n: i32, set: &mut Set) -> Result {
    pselect(Call { n, sets: [Some(set), None, None], time: Some(&mut timespec(0, 0)), mask: None })
}

fn refused() {
    let mut set = [1 << 40, 0];
    check_eq!(of(41, &mut set), Err(Errno(EBADF)), "nothing is open there");
    check_eq!(set, [1 << 40, 0], "and the set is as it was");
    check_eq!(of(-1, &mut set), Err(Errno(EINVAL)), "a negative number");
    check_eq!(of(40, &mut set), Ok(0), "which are not looked at");
    // SAFETY: the kernel reads the two words, and a mask of the wrong size.
    let sized = |mask: usize, size: usize| unsafe {
        syscall!(__NR_pselect6, 0, 0, 0, 0, from_ref(&timespec(0, 0)), from_ref(&[mask, size]))
    };
    let mask = 0u64;
    check_eq!(sized(from_ref(&mask) as usize, 8), Ok(0), "a mask");
    check_eq!(sized(from_ref(&mask) as usize, 4), Err(Errno(EINVAL)), "half a mask");
    check_eq!(sized(0, 4), Ok(0), "none, of any size");
    check_eq!(sized(8, 8), Err(Errno(EFAULT)), "one that is nowhere");
}
