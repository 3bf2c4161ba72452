// SPDX-License-Identifier: GPL-2.0-only
//! What the fuzzers (`fuzz_*`) share: random numbers that can be had again, options, and
//! children with a time limit.
//!
//! Each case has its own random numbers, made of the seed and the case's number alone, so
//! that `--seed S --first N --cases 1` repeats case N of a long run.

use crate::process::{WNOHANG, exit_group, fork, getpid, wait4};
use crate::runner::machine;
use crate::signal::{SIGKILL, kill};
use crate::status::WaitStatus;
use crate::{println, start, time};

/// Random numbers (`splitmix64`).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The numbers of one case.
    pub const fn new(seed: u64, case: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
    /// The next one.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    /// One below `n`.
    pub const fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    /// Whether something that happens once in `n` times does.
    pub const fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    /// One of some things.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// What a fuzzer is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `--seed`.
    pub seed: u64,
    /// `--first`: the first case.
    pub first: u64,
    /// `--cases`: how many.
    pub cases: u64,
    /// `--show 1`: everything about each case.
    pub show: bool,
}

impl Options {
    /// Reads the program's arguments; what is not understood ends it.
    pub fn from_args() -> Self {
        let mut o = Self { seed: 1, first: 0, cases: 200, show: false };
        let mut i = 1;
        while let Some(word) = start::arg_str(i) {
            let value = start::arg_str(i + 1).and_then(|v| v.parse().ok());
            match (word, value) {
                ("--seed", Some(v)) => o.seed = v,
                ("--first", Some(v)) => o.first = v,
                ("--cases", Some(v)) => o.cases = v,
                ("--show", Some(v)) => o.show = v != 0,
                _ => {
                    println!("fuzz: {word}: --seed N, --first N, --cases N and --show 1 are what there is");
                    exit_group(2);
                }
            }
            i += 2;
        }
        o
    }
    /// The cases' numbers.
    pub fn range(&self) -> core::ops::Range<u64> {
        self.first..self.first.saturating_add(self.cases)
    }
}

/// A fuzzer's whole life: the cases, and a line at the end. It is best the first process
/// (`rdinit=`), whom no signal of its children can end; then it powers the machine off.
pub fn main(name: &str, mut case: impl FnMut(&Options, u64) -> Ending) {
    let init = getpid() == 1;
    if init {
        machine::set_up();
    }
    let o = Options::from_args();
    let (mut ended, mut killed, mut slow) = (0, 0, 0);
    for n in o.range() {
        match case(&o, n) {
            Ending::Ended(status) if status.0 & 0x7f != 0 => killed += 1,
            Ending::Ended(_) => ended += 1,
            Ending::TimedOut => slow += 1,
        }
        if n % 50 == 49 {
            println!("{name}: seed {} case {n}", o.seed);
        }
    }
    println!("{name}: seed {}: {ended} ended, {killed} killed, {slow} too slow", o.seed);
    if init {
        machine::power_off();
    }
}

/// How a child came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself.
    Ended(WaitStatus),
    /// It took longer than it may, and was killed.
    TimedOut,
}

/// Runs `body` in a child for at most `ms` milliseconds, and reaps whatever it leaves.
pub fn in_child(ms: i64, body: impl FnOnce()) -> Ending {
    let pid = match fork() {
        Ok(0) => {
            body();
            exit_group(0)
        }
        Ok(pid) => pid,
        Err(e) => {
            println!("fuzz: fork: {e}");
            exit_group(2)
        }
    };
    let until = time::now() + ms * 1_000_000;
    let mut pause = 1;
    let ending = loop {
        match wait4(pid, WNOHANG) {
            Ok(Some((_, status))) => break Ending::Ended(status),
            Ok(None) if time::now() < until => time::sleep_ms(pause),
            _ => {
                let _ = kill(pid, SIGKILL);
                let _ = wait4(pid, 0);
                break Ending::TimedOut;
            }
        }
        pause = (pause * 2).min(20);
    };
    while let Ok(Some(_)) = wait4(-1, WNOHANG) {}
    ending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_can_be_had_again() {
        let (mut a, mut b) = (Rng::new(7, 3), Rng::new(7, 3));
        assert!((0..100).all(|_| a.next() == b.next()));
        assert_ne!(Rng::new(7, 4).next(), Rng::new(7, 3).next());
        assert_ne!(Rng::new(8, 3).next(), Rng::new(7, 3).next());
        assert!((0..1000).all(|_| a.below(7) < 7));
    }
}
