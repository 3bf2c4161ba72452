// SPDX-License-Identifier: GPL-2.0-only
//! `struct timex`, and the calls that have one (Linux 6.1, `kernel/time/time.c`, `posix-timers.c`).

use super::do_adjtimex;
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EOPNOTSUPP, Result};
use crate::kernel::time::clock::Clock;
use linux_raw_sys::general::CLOCK_REALTIME;

/// Bits of `modes`: what is to be changed.
#[allow(missing_docs)]
pub mod adj {
    pub const OFFSET: u32 = 0x1;
    pub const FREQUENCY: u32 = 0x2;
    pub const MAXERROR: u32 = 0x4;
    pub const ESTERROR: u32 = 0x8;
    pub const STATUS: u32 = 0x10;
    pub const TIMECONST: u32 = 0x20;
    pub const TAI: u32 = 0x80;
    pub const SETOFFSET: u32 = 0x100;
    pub const MICRO: u32 = 0x1000;
    pub const NANO: u32 = 0x2000;
    /// With [`ADJTIME`]: nothing is to be changed.
    pub const OFFSET_READONLY: u32 = 0x2000;
    pub const TICK: u32 = 0x4000;
    /// It is `adjtime` that asks.
    pub const ADJTIME: u32 = 0x8000;
}

/// Bits of `status`.
#[allow(missing_docs)]
pub mod sta {
    pub const PLL: i32 = 0x1;
    pub const FLL: i32 = 0x8;
    pub const INS: i32 = 0x10;
    pub const DEL: i32 = 0x20;
    pub const UNSYNC: i32 = 0x40;
    pub const FREQHOLD: i32 = 0x80;
    pub const CLOCKERR: i32 = 0x1000;
    pub const NANO: i32 = 0x2000;
    pub const MODE: i32 = 0x4000;
    /// What a program cannot set.
    pub const RONLY: i32 = 0xff00;
}

/// `struct __kernel_timex`, without what is about a pulse a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Timex {
    pub modes: u32,
    pub offset: i64,
    pub freq: i64,
    pub maxerror: i64,
    pub esterror: i64,
    pub status: i32,
    pub constant: i64,
    pub precision: i64,
    pub tolerance: i64,
    pub time: [i64; 2],
    pub tick: i64,
    pub tai: i32,
}

/// The structure as words.
type Words = [i64; 26];

impl Timex {
    fn from_words(w: &Words) -> Self {
        Self {
            modes: w[0] as u32,
            offset: w[1],
            freq: w[2],
            maxerror: w[3],
            esterror: w[4],
            status: w[5] as i32,
            constant: w[6],
            precision: w[7],
            tolerance: w[8],
            time: [w[9], w[10]],
            tick: w[11],
            tai: w[20] as i32,
        }
    }
    fn write(&self, w: &mut Words) {
        let low = |old: i64, new: i32| old & !0xffff_ffff | i64::from(new.cast_unsigned());
        w[1..5].copy_from_slice(&[self.offset, self.freq, self.maxerror, self.esterror]);
        w[5] = low(w[5], self.status);
        w[6..12].copy_from_slice(&[
            self.constant,
            self.precision,
            self.tolerance,
            self.time[0],
            self.time[1],
            self.tick,
        ]);
        // There is no pulse a second.
        (w[12], w[13], w[14]) = (0, 0, low(w[14], 0));
        w[15..20].fill(0);
        w[20] = low(w[20], self.tai);
    }
}

/// `adjtimex(2)`.
pub fn sys_adjtimex(buf: usize) -> Result<usize> {
    let mut w: Words = get_user(buf)?;
    let mut t = Timex::from_words(&w);
    let ret = do_adjtimex(&mut t)?;
    t.write(&mut w);
    put_user(buf, &w)?;
    Ok(ret)
}

/// `clock_adjtime(2)`: of all clocks the wall clock can be adjusted.
pub fn sys_clock_adjtime(which: i32, buf: usize) -> Result<usize> {
    let _: Words = get_user(buf)?;
    // A clock of the CPU's is known by its number, whoever has it (`clockid_to_kclock`).
    const CLOCKFD: i32 = 3;
    let of_cpu = which < 0 && which & 7 != CLOCKFD;
    if !of_cpu {
        Clock::find(which)?;
    }
    if which != CLOCK_REALTIME as i32 {
        return Err(EOPNOTSUPP);
    }
    sys_adjtimex(buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_the_structure() {
        let mut w: Words = core::array::from_fn(|i| i as i64 | 7 << 32);
        let t = Timex::from_words(&w);
        assert_eq!((t.modes, t.status, t.tick, t.tai), (0, 5, 0xb | 7 << 32, 20));
        let changed = Timex { status: -1, tai: 37, ..t };
        changed.write(&mut w);
        assert_eq!(Timex::from_words(&w), changed);
        assert_eq!((w[5] >> 32, w[20], w[15], w[25]), (7, 7 << 32 | 0x25, 0, 0x19 | 7 << 32));
    }
}
