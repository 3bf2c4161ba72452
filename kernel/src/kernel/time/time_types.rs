// SPDX-License-Identifier: GPL-2.0-only
//! The user's time structures, and nanoseconds.

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::Result;
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// `struct __kernel_timespec`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[allow(missing_docs)]
pub struct Timespec {
    pub tv_sec: i64,
    pub tv_nsec: i64,
}

/// `struct __kernel_old_timeval`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[allow(missing_docs)]
pub struct Timeval {
    pub tv_sec: i64,
    pub tv_usec: i64,
}

const _: () = {
    assert!(size_of::<Timespec>() == size_of::<raw::__kernel_timespec>());
    assert!(size_of::<Timeval>() == size_of::<raw::__kernel_old_timeval>());
};

/// How wide the words of a call's times are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeAbi {
    /// 64 bits.
    Time64,
    /// 32 bits: i386's calls from before 2038 was near (`old_timespec32`, `old_timeval32`).
    Time32,
}

impl TimeAbi {
    /// Bytes of a time.
    pub const fn time_size(self) -> usize {
        match self {
            Self::Time64 => size_of::<[i64; 2]>(),
            Self::Time32 => size_of::<[i32; 2]>(),
        }
    }
    /// Reads a time's two words.
    pub fn get(self, at: usize) -> Result<[i64; 2]> {
        match self {
            Self::Time64 => get_user(at),
            Self::Time32 => get_user::<[i32; 2]>(at).map(|w| w.map(i64::from)),
        }
    }
    /// Writes them; of what is too long the upper halves are lost.
    pub fn put(self, at: usize, words: [i64; 2]) -> Result {
        match self {
            Self::Time64 => put_user(at, &words),
            Self::Time32 => put_user(at, &words.map(|w| w as i32)),
        }
    }
}

/// Nanoseconds of a valid, not negative time; what is too long becomes the longest.
fn to_ns(sec: i64, fraction: i64, per_sec: u64) -> Option<u64> {
    if sec < 0 || !(0..per_sec as i64).contains(&fraction) {
        return None;
    }
    let ns =
        (sec as u64).saturating_mul(NSEC_PER_SEC).saturating_add(fraction as u64 * (NSEC_PER_SEC / per_sec));
    // Linux's times are signed 64-bit nanoseconds (`KTIME_MAX`).
    Some(ns.min(i64::MAX as u64))
}

impl Timespec {
    /// Reads one of a program's.
    pub fn get(at: usize, abi: TimeAbi) -> Result<Self> {
        abi.get(at).map(|[tv_sec, tv_nsec]| Self { tv_sec, tv_nsec })
    }
    /// Writes it.
    pub fn put(self, at: usize, abi: TimeAbi) -> Result {
        abi.put(at, [self.tv_sec, self.tv_nsec])
    }
    /// Nanoseconds, or `None` if it is not valid (`timespec64_valid`).
    pub fn to_ns(self) -> Option<u64> {
        to_ns(self.tv_sec, self.tv_nsec, NSEC_PER_SEC)
    }
    /// From nanoseconds.
    pub const fn from_ns(ns: u64) -> Self {
        Self { tv_sec: (ns / NSEC_PER_SEC) as i64, tv_nsec: (ns % NSEC_PER_SEC) as i64 }
    }
}

impl Timeval {
    /// Nanoseconds, or `None` if it is not valid (`timeval_valid`).
    pub fn to_ns(self) -> Option<u64> {
        to_ns(self.tv_sec, self.tv_usec, 1_000_000)
    }
    /// From nanoseconds, rounded down.
    pub const fn from_ns(ns: u64) -> Self {
        Self { tv_sec: (ns / NSEC_PER_SEC) as i64, tv_usec: (ns % NSEC_PER_SEC / 1000) as i64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_convert_and_invalid_ones_do_not() {
        assert_eq!(Timespec { tv_sec: 1, tv_nsec: 5 }.to_ns(), Some(1_000_000_005));
        assert_eq!(Timeval { tv_sec: 1, tv_usec: 5 }.to_ns(), Some(1_000_005_000));
        assert_eq!(Timespec { tv_sec: -1, tv_nsec: 0 }.to_ns(), None);
        assert_eq!(Timespec { tv_sec: 0, tv_nsec: -1 }.to_ns(), None);
        assert_eq!(Timespec { tv_sec: 0, tv_nsec: 1_000_000_000 }.to_ns(), None);
        assert_eq!(Timespec { tv_sec: i64::MAX, tv_nsec: 0 }.to_ns(), Some(i64::MAX as u64));
        assert_eq!(Timespec::from_ns(1_000_000_005), Timespec { tv_sec: 1, tv_nsec: 5 });
        assert_eq!(Timeval::from_ns(1_000_005_999), Timeval { tv_sec: 1, tv_usec: 5 });
    }
}
