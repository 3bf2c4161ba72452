// SPDX-License-Identifier: GPL-2.0-only
//! epoll, and what else there is to wait for: eventfd, signalfd, timerfd, poll.

use crate::{Result, syscall, time::Timespec, timer::Itimerspec};
use core::ptr::{from_mut, from_ref, null};

pub use linux_raw_sys::general::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD};

/// Events.
#[allow(missing_docs)]
pub mod ev {
    pub const IN: u32 = 1;
    pub const PRI: u32 = 2;
    pub const OUT: u32 = 4;
    pub const ERR: u32 = 8;
    pub const HUP: u32 = 0x10;
    pub const RDNORM: u32 = 0x40;
    pub const WRNORM: u32 = 0x100;
    pub const EXCLUSIVE: u32 = 1 << 28;
    pub const ONESHOT: u32 = 1 << 30;
    pub const ET: u32 = 1 << 31;
}

/// `struct epoll_event`, packed as on x86.
#[repr(C, packed)]
#[derive(Clone, Copy, Default)]
pub struct Event {
    events: u32,
    data: u64,
}

impl Event {
    /// What is wanted, and the program's word.
    pub const fn new(events: u32, data: u64) -> Self {
        Self { events, data }
    }
    /// Events and word.
    pub const fn get(self) -> (u32, u64) {
        (self.events, self.data)
    }
}

/// `epoll_create1(2)`.
pub fn epoll_create(flags: u32) -> Result<i32> {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_epoll_create1, flags) }.map(|fd| fd as i32)
}

/// `epoll_ctl(2)`.
pub fn epoll_ctl(ep: i32, op: u32, fd: i32, event: Event) -> Result {
    // SAFETY: the kernel reads the structure.
    unsafe { syscall!(__NR_epoll_ctl, ep, op, fd, from_ref(&event)) }
}

/// `epoll_wait(2)` for up to `N` events: how many there were, and they.
pub fn epoll_wait<const N: usize>(ep: i32, ms: i32) -> Result<(usize, [(u32, u64); N])> {
    let mut out = [Event::default(); N];
    // SAFETY: the kernel writes at most `N` structures.
    let n = unsafe { syscall!(__NR_epoll_wait, ep, out.as_mut_ptr(), N, ms) }?;
    Ok((n, out.map(Event::get)))
}

/// `eventfd2(2)`.
pub fn eventfd(count: u32, flags: u32) -> Result<i32> {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_eventfd2, count, flags) }.map(|fd| fd as i32)
}

/// `signalfd4(2)`.
pub fn signalfd(fd: i32, set: u64, flags: u32) -> Result<i32> {
    // SAFETY: the kernel reads the set.
    unsafe { syscall!(__NR_signalfd4, fd, from_ref(&set), 8, flags) }.map(|fd| fd as i32)
}

/// `timerfd_create(2)`.
pub fn timerfd_create(clock: u32, flags: u32) -> Result<i32> {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_timerfd_create, clock, flags) }.map(|fd| fd as i32)
}

/// `timerfd_settime(2)`: the old setting.
pub fn timerfd_settime(fd: i32, flags: u32, new: Itimerspec) -> Result<(i64, i64)> {
    let mut old = Itimerspec::new(-1, -1);
    // SAFETY: the kernel reads one structure and writes the other.
    unsafe { syscall!(__NR_timerfd_settime, fd, flags, from_ref(&new), from_mut(&mut old)) }?;
    Ok(old.get())
}

/// `timerfd_gettime(2)`.
pub fn timerfd_gettime(fd: i32) -> Result<(i64, i64)> {
    let mut now = Itimerspec::new(-1, -1);
    // SAFETY: the kernel writes the structure.
    unsafe { syscall!(__NR_timerfd_gettime, fd, from_mut(&mut now)) }?;
    Ok(now.get())
}

/// Reads a number of 64 bits.
pub fn read_u64(fd: i32) -> Result<u64> {
    let mut b = [0; 8];
    crate::file::read(fd, &mut b)?;
    Ok(u64::from_ne_bytes(b))
}

/// Writes one.
pub fn write_u64(fd: i32, n: u64) -> Result {
    crate::file::write(fd, &n.to_ne_bytes())
}

/// `poll(2)` of one descriptor for everything: what there is at once.
pub fn poll_now(fd: i32) -> u32 {
    let mut p = [fd as u32, 0xffff];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let no_mask: *const u64 = null();
    // SAFETY: the kernel reads one `struct pollfd` and writes its second half.
    let r = unsafe { syscall!(__NR_ppoll, p.as_mut_ptr(), 1, from_ref(&now), no_mask, 8) };
    if r.is_ok() { p[1] >> 16 } else { u32::MAX }
}
