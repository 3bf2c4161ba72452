// SPDX-License-Identifier: GPL-2.0-only
//! How the clock is disciplined: `adjtimex` and `clock_adjtime` (Linux 6.1, `kernel/time/ntp.c`,
//! `kernel/time/timekeeping.c`, `do_adjtimex`).
//!
//! What is asked for becomes a length of the second ([`Ntp::second_length`]), and that a rate of the
//! clocks. A phase or a time to be slewed in, and a leap second, change with every second of the wall
//! clock: a timer sees to it for as long as there is any. The error that grows meanwhile is added when
//! somebody asks.

use super::hrtimer::{ClockBase, HrTimer, TimerFn};
use super::timekeeping::{ktime_get_real, set_real, set_tai_offset, step_real, tai_offset, update_rate};
use crate::errno::{EINVAL, EPERM, Result};
use crate::kernel::capability::capable;
use crate::locking::IrqLock;
use alloc::sync::Arc;
use linux_raw_sys::general::CAP_SYS_TIME;
use timex::{Timex, adj, sta};

pub mod timex;

const NSEC_PER_SEC: i64 = 1_000_000_000;
const NSEC_PER_USEC: i64 = 1000;
/// Clock interrupts a second that user mode knows of, and that the arithmetic is made in.
const USER_HZ: i64 = 100;
const NTP_INTERVAL_FREQ: i64 = 250;
/// Bits below the point of scaled nanoseconds.
const NTP_SCALE_SHIFT: u32 = 32;
/// What a part in a million with 16 bits below the point is, in scaled nanoseconds a second.
const PPM_SCALE: i64 = NSEC_PER_USEC << (NTP_SCALE_SHIFT - 16);
const PPM_SCALE_INV_SHIFT: u32 = 19;
const PPM_SCALE_INV: i64 = (1 << (PPM_SCALE_INV_SHIFT + NTP_SCALE_SHIFT)) / PPM_SCALE + 1;
/// Largest frequency: so many nanoseconds a second.
const MAXFREQ: i64 = 500_000;
const MAXFREQ_SCALED: i64 = MAXFREQ << NTP_SCALE_SHIFT;
/// Largest phase in nanoseconds, and what counts as no idea of the time, in microseconds.
const MAXPHASE: i64 = 500_000_000;
const NTP_PHASE_LIMIT: i64 = (MAXPHASE / NSEC_PER_USEC) << 5;
const MAXTC: i64 = 10;
const SHIFT_PLL: u32 = 2;
const SHIFT_FLL: u32 = 2;
const MINSEC: i64 = 256;
const MAXSEC: i64 = 2048;
/// Microseconds that `adjtime` slews in a second.
const MAX_TICKADJ: i64 = 500;
const MAX_TAI_OFFSET: i64 = 100_000;
const SECS_PER_DAY: i64 = 86400;

/// What is known of leap seconds: the call's result (`TIME_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Leap {
    /// There will be none.
    Ok = 0,
    /// One is inserted at the end of the day.
    Ins = 1,
    /// One is left out.
    Del = 2,
    /// It is now.
    Oop = 3,
    /// It was.
    Wait = 4,
}
/// The result if the clock is not synchronized (`TIME_ERROR`).
const TIME_ERROR: usize = 5;

/// The state (`time_status` and the rest).
struct Ntp {
    leap: Leap,
    status: i32,
    /// Phase to be slewed in, in scaled nanoseconds of an interval.
    offset: i64,
    constant: i64,
    maxerror: i64,
    esterror: i64,
    /// Frequency in scaled nanoseconds a second.
    freq: i64,
    reftime: i64,
    /// What `adjtime` has left, in microseconds.
    adjust: i64,
    tick_usec: i64,
    /// What this second is longer by, in scaled nanoseconds.
    slew: i64,
    /// The last second that was accounted for.
    second: i64,
    next_leap: i64,
}

static NTP: IrqLock<Ntp> = IrqLock::new(Ntp::NEW);

/// `v` divided by a power of two, towards zero (`shift_right`).
const fn shift_right(v: i64, by: u32) -> i64 {
    if v < 0 { -(-v >> by) } else { v >> by }
}

impl Ntp {
    const NEW: Self = Self {
        leap: Leap::Ok,
        status: sta::UNSYNC,
        offset: 0,
        constant: 2,
        maxerror: NTP_PHASE_LIMIT,
        esterror: NTP_PHASE_LIMIT,
        freq: 0,
        reftime: 0,
        adjust: 0,
        tick_usec: 1_000_000 / USER_HZ,
        slew: 0,
        second: 0,
        next_leap: i64::MAX,
    };

    fn has(&self, bits: i32) -> bool {
        self.status & bits != 0
    }

    /// How long a second is, in scaled nanoseconds (`ntp_update_frequency`).
    fn second_length(&self) -> i128 {
        let ticks = i128::from(self.tick_usec * NSEC_PER_USEC * USER_HZ) << NTP_SCALE_SHIFT;
        ticks + i128::from(self.freq) + i128::from(self.slew)
    }

    /// The clock was set: nothing is known of it any more (`ntp_clear`).
    fn clear(&mut self) {
        self.adjust = 0;
        self.status |= sta::UNSYNC;
        (self.maxerror, self.esterror) = (NTP_PHASE_LIMIT, NTP_PHASE_LIMIT);
        (self.offset, self.slew, self.next_leap) = (0, 0, i64::MAX);
    }

    /// Whether every second changes something.
    fn is_active(&self) -> bool {
        self.offset != 0
            || self.adjust != 0
            || self.slew != 0
            || self.leap != Leap::Ok
            || self.has(sta::INS | sta::DEL)
    }

    /// A second begins, `secs` since 1970: what it is longer by, and by how many seconds the clock is to
    /// be set (`second_overflow`).
    fn second_overflow(&mut self, secs: i64) -> i64 {
        let step = self.next_leap_state(secs);
        self.grow_error(1);
        let chunk = shift_right(self.offset, SHIFT_PLL + self.constant as u32);
        self.offset -= chunk;
        let adjust = self.adjust.clamp(-MAX_TICKADJ, MAX_TICKADJ);
        self.adjust -= adjust;
        self.slew = chunk * NTP_INTERVAL_FREQ + ((adjust * NSEC_PER_USEC) << NTP_SCALE_SHIFT);
        step
    }

    fn next_leap_state(&mut self, secs: i64) -> i64 {
        let day_end = |at: i64| secs + SECS_PER_DAY - at.rem_euclid(SECS_PER_DAY);
        match self.leap {
            Leap::Ok if self.has(sta::INS) => (self.leap, self.next_leap) = (Leap::Ins, day_end(secs)),
            Leap::Ok if self.has(sta::DEL) => (self.leap, self.next_leap) = (Leap::Del, day_end(secs + 1)),
            Leap::Ins if !self.has(sta::INS) => (self.leap, self.next_leap) = (Leap::Ok, i64::MAX),
            Leap::Del if !self.has(sta::DEL) => (self.leap, self.next_leap) = (Leap::Ok, i64::MAX),
            Leap::Ins if secs == self.next_leap => {
                self.leap = Leap::Oop;
                crate::pr_notice!("Clock: inserting leap second 23:59:60 UTC\n");
                return -1;
            }
            Leap::Del if secs == self.next_leap => {
                (self.leap, self.next_leap) = (Leap::Wait, i64::MAX);
                crate::pr_notice!("Clock: deleting leap second 23:59:59 UTC\n");
                return 1;
            }
            Leap::Oop => (self.leap, self.next_leap) = (Leap::Wait, i64::MAX),
            Leap::Wait if !self.has(sta::INS | sta::DEL) => self.leap = Leap::Ok,
            Leap::Ok | Leap::Ins | Leap::Del | Leap::Wait => {}
        }
        0
    }

    /// Accounts for the seconds that nobody looked at.
    fn catch_up(&mut self, secs: i64) {
        if self.is_active() {
            return;
        }
        let passed = (secs - self.second).clamp(0, NTP_PHASE_LIMIT);
        self.second = secs;
        self.grow_error(passed);
    }

    /// So many seconds make the error larger by what the clock may be off in them.
    fn grow_error(&mut self, secs: i64) {
        self.maxerror += secs * (MAXFREQ / NSEC_PER_USEC);
        if self.maxerror > NTP_PHASE_LIMIT {
            self.maxerror = NTP_PHASE_LIMIT;
            self.status |= sta::UNSYNC;
        }
    }

    /// A new status (`process_adj_status`).
    fn set_status(&mut self, status: i32, secs: i64) {
        if self.has(sta::PLL) && status & sta::PLL == 0 {
            (self.leap, self.status, self.next_leap) = (Leap::Ok, sta::UNSYNC, i64::MAX);
        }
        if !self.has(sta::PLL) && status & sta::PLL != 0 {
            self.reftime = secs;
        }
        self.status = self.status & sta::RONLY | status & !sta::RONLY;
    }

    /// A new phase: it is slewed in, and says something of the frequency (`ntp_update_offset`).
    fn set_offset(&mut self, offset: i64, secs: i64) {
        if !self.has(sta::PLL) {
            return;
        }
        let offset =
            if self.has(sta::NANO) { offset } else { offset.clamp(-1_000_000, 1_000_000) * NSEC_PER_USEC };
        let offset = offset.clamp(-MAXPHASE, MAXPHASE);
        let mut interval = if self.has(sta::FREQHOLD) { 0 } else { secs - self.reftime };
        self.reftime = secs;
        self.status &= !sta::MODE;
        let mut freq = 0i128;
        if interval >= MINSEC && (self.has(sta::FLL) || interval > MAXSEC) {
            self.status |= sta::MODE;
            freq = i128::from((offset << (NTP_SCALE_SHIFT - SHIFT_FLL)) / interval);
        }
        interval = interval.min(1 << (SHIFT_PLL as i64 + 1 + self.constant));
        let gain = NTP_SCALE_SHIFT as i64 - 2 * (SHIFT_PLL as i64 + 2 + self.constant);
        freq += (i128::from(offset) * i128::from(interval)) << gain;
        let limit = i128::from(MAXFREQ_SCALED);
        self.freq = (freq + i128::from(self.freq)).clamp(-limit, limit) as i64;
        self.offset = (offset << NTP_SCALE_SHIFT) / NTP_INTERVAL_FREQ;
    }

    /// What is asked for (`process_adjtimex_modes`).
    fn set(&mut self, t: &Timex, secs: i64) {
        let wants = |mode| t.modes & mode != 0;
        if wants(adj::STATUS) {
            self.set_status(t.status, secs);
        }
        if wants(adj::NANO) {
            self.status |= sta::NANO;
        }
        if wants(adj::MICRO) {
            self.status &= !sta::NANO;
        }
        if wants(adj::FREQUENCY) {
            self.freq = (t.freq * PPM_SCALE).clamp(-MAXFREQ_SCALED, MAXFREQ_SCALED);
        }
        if wants(adj::MAXERROR) {
            self.maxerror = t.maxerror.clamp(0, NTP_PHASE_LIMIT);
        }
        if wants(adj::ESTERROR) {
            self.esterror = t.esterror.clamp(0, NTP_PHASE_LIMIT);
        }
        if wants(adj::TIMECONST) {
            let more = if self.has(sta::NANO) { 0 } else { 4 };
            self.constant = (t.constant.clamp(0, MAXTC) + more).min(MAXTC);
        }
        if wants(adj::OFFSET) {
            self.set_offset(t.offset, secs);
        }
        if wants(adj::TICK) {
            self.tick_usec = t.tick;
        }
    }

    /// Does what is asked for and tells how things are (`__do_adjtimex`).
    fn adjust(&mut self, t: &mut Timex, secs: i64, nsec: i64) -> usize {
        if t.modes & adj::ADJTIME != 0 {
            let left = self.adjust;
            if t.modes & adj::OFFSET_READONLY == 0 {
                self.adjust = t.offset;
            }
            t.offset = left;
        } else {
            self.set(t, secs);
            t.offset = shift_right(self.offset * NTP_INTERVAL_FREQ, NTP_SCALE_SHIFT);
            if !self.has(sta::NANO) {
                t.offset /= NSEC_PER_USEC;
            }
        }
        t.freq = shift_right((self.freq >> PPM_SCALE_INV_SHIFT) * PPM_SCALE_INV, NTP_SCALE_SHIFT);
        (t.maxerror, t.esterror, t.status) = (self.maxerror, self.esterror, self.status);
        (t.constant, t.precision, t.tolerance) = (self.constant, 1, MAXFREQ_SCALED / PPM_SCALE);
        t.tick = self.tick_usec;
        t.time = [secs, if self.has(sta::NANO) { nsec } else { nsec / NSEC_PER_USEC }];
        // No pulse a second is listened to.
        let error = self.has(sta::UNSYNC | sta::CLOCKERR);
        if error { TIME_ERROR } else { self.leap as usize }
    }
}

/// The start of every second of the wall clock, while there is something to do.
struct EverySecond;

impl TimerFn for EverySecond {
    fn expired(&self, now: u64) -> Option<u64> {
        let secs = now.cast_signed() / NSEC_PER_SEC;
        let (step, active, length) = {
            let mut ntp = NTP.lock();
            ntp.second = secs;
            (ntp.second_overflow(secs), ntp.is_active(), ntp.second_length())
        };
        update_rate(length);
        if step != 0 {
            step_real(step * NSEC_PER_SEC);
            set_tai_offset(tai_offset() - step);
        }
        let next = (secs + step + 1) * NSEC_PER_SEC;
        active.then_some(next.cast_unsigned())
    }
}

/// Sees to it that [`EverySecond`] comes, if there is something to do.
fn start_timer(active: bool) {
    static TIMER: spin::Once<(Arc<HrTimer>, Arc<dyn TimerFn>)> = spin::Once::new();
    if active {
        let (timer, call) = TIMER.call_once(|| (HrTimer::new(), Arc::new(EverySecond)));
        let next = ktime_get_real() / NSEC_PER_SEC as u64 + 1;
        timer.start_on(ClockBase::Real, next * NSEC_PER_SEC as u64, call);
    }
}

/// The wall clock was set.
pub fn ntp_clear() {
    let length = {
        let mut ntp = NTP.lock();
        ntp.clear();
        ntp.second_length()
    };
    update_rate(length);
}

/// Whether such a thing may be asked for (`timekeeping_validate_timex`).
fn validate(t: &Timex) -> Result {
    let may = || if capable(CAP_SYS_TIME) { Ok(()) } else { Err(EPERM) };
    let wants = |mode| t.modes & mode != 0;
    if wants(adj::ADJTIME) {
        if !wants(adj::OFFSET) {
            return Err(EINVAL);
        }
        if !wants(adj::OFFSET_READONLY) {
            may()?;
        }
    } else if t.modes != 0 {
        may()?;
        // Who is off by more than a tenth is no clock.
        if wants(adj::TICK) && !(900_000 / USER_HZ..=1_100_000 / USER_HZ).contains(&t.tick) {
            return Err(EINVAL);
        }
    }
    if wants(adj::SETOFFSET) {
        may()?;
        let per_second = if wants(adj::NANO) { NSEC_PER_SEC } else { 1_000_000 };
        if !(0..per_second).contains(&t.time[1]) {
            return Err(EINVAL);
        }
    }
    if wants(adj::FREQUENCY) && !(i64::MIN / PPM_SCALE..=i64::MAX / PPM_SCALE).contains(&t.freq) {
        return Err(EINVAL);
    }
    Ok(())
}

/// Sets the clock ahead or back (`timekeeping_inject_offset`).
fn inject_offset(t: &Timex) -> Result {
    let scale = if t.modes & adj::NANO != 0 { 1 } else { NSEC_PER_USEC };
    let delta = i128::from(t.time[0]) * i128::from(NSEC_PER_SEC) + i128::from(t.time[1] * scale);
    let now = u64::try_from(i128::from(ktime_get_real()) + delta).map_err(|_| EINVAL)?;
    if now > i64::MAX as u64 {
        return Err(EINVAL);
    }
    set_real(now)
}

/// `adjtimex(2)` once its argument is here (`do_adjtimex`).
pub fn do_adjtimex(t: &mut Timex) -> Result<usize> {
    validate(t)?;
    if t.modes & adj::SETOFFSET != 0 {
        inject_offset(t)?;
    }
    let now = ktime_get_real().cast_signed();
    let (secs, nsec) = (now / NSEC_PER_SEC, now % NSEC_PER_SEC);
    let mut ntp = NTP.lock();
    ntp.catch_up(secs);
    let was_active = ntp.is_active();
    let tai = (t.modes & adj::ADJTIME == 0 && t.modes & adj::TAI != 0).then_some(t.constant);
    let ret = ntp.adjust(t, secs, nsec);
    let (active, length) = (ntp.is_active(), ntp.second_length());
    drop(ntp);
    if let Some(tai) = tai.filter(|t| (0..=MAX_TAI_OFFSET).contains(t)) {
        set_tai_offset(tai);
    }
    t.tai = tai_offset() as i32;
    update_rate(length);
    if !was_active {
        start_timer(active);
    }
    Ok(ret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(ntp: &mut Ntp, modes: u32, with: impl FnOnce(&mut Timex)) -> (usize, Timex) {
        let mut t = Timex { modes, ..Timex::default() };
        with(&mut t);
        let ret = ntp.adjust(&mut t, 1000, 5_000_000);
        (ret, t)
    }

    #[test]
    fn a_frequency_comes_back_as_it_was_set() {
        let mut n = Ntp::NEW;
        for ppm in [0, 1 << 16, -(37 << 16), 500 << 16, 12345] {
            let (_, t) = ask(&mut n, adj::FREQUENCY, |t| t.freq = ppm);
            assert_eq!((t.freq, t.tolerance, t.precision), (ppm, 500 << 16, 1));
        }
        let (_, t) = ask(&mut n, adj::FREQUENCY, |t| t.freq = 600 << 16);
        assert_eq!(t.freq, 500 << 16, "no more than that");
        assert_eq!(n.second_length(), (1_000_500_000i128) << 32);
        let _ = ask(&mut n, adj::TICK, |t| t.tick = 9000);
        assert_eq!(n.second_length(), (900_500_000i128) << 32);
    }

    #[test]
    fn adjtime_is_slewed_in() {
        let mut n = Ntp::NEW;
        let (_, t) = ask(&mut n, adj::ADJTIME | adj::OFFSET, |t| t.offset = 1200);
        assert_eq!((t.offset, n.is_active()), (0, true));
        let slews = [1, 2, 3, 4].map(|s| {
            n.second_overflow(s);
            n.slew >> 32
        });
        assert_eq!(slews, [500_000, 500_000, 200_000, 0]);
        assert!(!n.is_active());
    }

    #[test]
    fn a_phase_needs_the_loop() {
        let mut n = Ntp::NEW;
        let (_, t) = ask(&mut n, adj::OFFSET, |t| t.offset = 1000);
        assert_eq!(t.offset, 0, "it is off");
        let set = adj::STATUS | adj::NANO | adj::OFFSET | adj::TIMECONST;
        let (ret, t) = ask(&mut n, set, |t| (t.status, t.offset, t.constant) = (sta::PLL, 8_000_000, 0));
        assert_eq!((ret, t.status, t.time), (0, sta::PLL | sta::NANO, [1000, 5_000_000]));
        assert!((7_999_990..=8_000_000).contains(&t.offset), "{}", t.offset);
        n.constant = 0;
        n.second_overflow(1001);
        assert!((1_999_990..=2_000_000).contains(&(n.slew >> 32)), "a quarter");
    }

    #[test]
    fn leap_seconds() {
        let mut n = Ntp { status: sta::INS, ..Ntp::NEW };
        let day = 20_000 * SECS_PER_DAY;
        assert_eq!((n.second_overflow(day - 2), n.leap), (0, Leap::Ins));
        assert_eq!((n.second_overflow(day - 1), n.leap), (0, Leap::Ins));
        assert_eq!((n.second_overflow(day), n.leap), (-1, Leap::Oop));
        assert_eq!((n.second_overflow(day), n.leap), (0, Leap::Wait));
        n.status = 0;
        assert_eq!((n.second_overflow(day + 1), n.leap), (0, Leap::Ok));
        n.status = sta::DEL;
        assert_eq!((n.second_overflow(day - 5), n.leap), (0, Leap::Del));
        assert_eq!((n.second_overflow(day - 1), n.leap), (1, Leap::Wait));
    }

    #[test]
    fn the_error_grows() {
        let mut n = Ntp { second: 100, maxerror: 1000, status: 0, ..Ntp::NEW };
        n.catch_up(110);
        assert_eq!((n.maxerror, n.status), (6000, 0));
        n.catch_up(i64::MAX);
        assert_eq!((n.maxerror, n.status), (NTP_PHASE_LIMIT, sta::UNSYNC));
    }
}
