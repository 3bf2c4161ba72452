// SPDX-License-Identifier: GPL-2.0-only
//! Signal numbers, sets of them, and what the kernel does with each by default.
//! After Linux 6.1, `include/linux/signal.h` and signal(7).

use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! signals {
    ($($name:ident),* $(,)?) => {
        $(#[doc = concat!("Linux's `", stringify!($name), "`.")]
        pub const $name: i32 = raw::$name as i32;)*
    };
}

signals! {
    SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV,
    SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGPWR, SIGSYS, SIGRTMIN,
}

/// Number of signals, the highest being `_NSIG` itself.
pub const NSIG: i32 = 64;

/// Whether `sig` is a signal's number, or 0, the probe (`valid_signal`).
pub const fn valid_signal(sig: i32) -> bool {
    (sig as u32) <= NSIG as u32
}

/// A set of signals: bit `n - 1` is signal `n` (the kernel's `sigset_t`).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SigSet(pub u64);

/// Size of a signal set, which system calls check (`sizeof(sigset_t)`).
pub const SIGSETSIZE: usize = size_of::<SigSet>();
const _: () = assert!(SIGSETSIZE == size_of::<raw::kernel_sigset_t>());

impl SigSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);

    /// Only `sig`, which must be a signal's number.
    #[inline]
    pub const fn of(sig: i32) -> Self {
        Self(1 << (sig - 1))
    }
    /// The signals of a list.
    pub const fn of_all(list: &[i32]) -> Self {
        let (mut s, mut i) = (0, 0);
        while i < list.len() {
            s |= Self::of(list[i]).0;
            i += 1;
        }
        Self(s)
    }
    /// Whether `sig` is in the set.
    #[inline]
    pub const fn contains(self, sig: i32) -> bool {
        self.0 >> (sig - 1) & 1 != 0
    }
    /// Signals of either set.
    #[must_use]
    #[inline]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// Signals of both sets.
    #[must_use]
    #[inline]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
    /// Signals of this set that are not in `other`.
    #[must_use]
    #[inline]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    /// Signals that are not in the set.
    #[must_use]
    pub const fn not(self) -> Self {
        Self(!self.0)
    }
    /// Whether there is none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The lowest signal's number, or 0.
    #[inline]
    pub const fn first(self) -> i32 {
        if self.0 == 0 { 0 } else { self.0.trailing_zeros() as i32 + 1 }
    }
}

/// Cannot be caught, blocked or ignored.
pub const KERNEL_ONLY: SigSet = SigSet::of_all(&[SIGKILL, SIGSTOP]);
/// Stop the process by default.
pub const KERNEL_STOP: SigSet = SigSet::of_all(&[SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU]);
/// Dump core by default.
pub const KERNEL_COREDUMP: SigSet =
    SigSet::of_all(&[SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGSEGV, SIGBUS, SIGSYS, SIGXCPU, SIGXFSZ]);
/// Do nothing by default (`SIGCONT` has done its work when it was sent).
pub const KERNEL_IGNORE: SigSet = SigSet::of_all(&[SIGCONT, SIGCHLD, SIGWINCH, SIGURG]);
/// Usually raised by the thread's own instruction, hence delivered first.
pub const SYNCHRONOUS: SigSet = SigSet::of_all(&[SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS]);

/// What happens to a process that has `SIG_DFL` for a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// Nothing.
    Ignore,
    /// The whole thread group stops.
    Stop,
    /// The process dies, with a core dump where those exist.
    Core,
    /// The process dies.
    Terminate,
}

/// The default action of `sig`.
pub const fn default_action(sig: i32) -> DefaultAction {
    if KERNEL_IGNORE.contains(sig) {
        DefaultAction::Ignore
    } else if KERNEL_STOP.contains(sig) {
        DefaultAction::Stop
    } else if KERNEL_COREDUMP.contains(sig) {
        DefaultAction::Core
    } else {
        DefaultAction::Terminate
    }
}

/// The signal to take next from `pending`, or 0: the synchronous ones first, then
/// the lowest number (Linux 6.1, `kernel/signal.c`, `next_signal`).
#[inline]
pub const fn next_signal(pending: SigSet, blocked: SigSet) -> i32 {
    let ready = pending.without(blocked);
    let sync = ready.and(SYNCHRONOUS);
    if sync.is_empty() { ready.first() } else { sync.first() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_actions_are_those_of_the_manual() {
        use DefaultAction::*;
        let expect = |sig| match sig {
            3 | 4 | 5 | 6 | 7 | 8 | 11 | 24 | 25 | 31 => Core,
            17 | 18 | 23 | 28 => Ignore,
            19..=22 => Stop,
            _ => Terminate,
        };
        for sig in 1..=NSIG {
            assert_eq!(default_action(sig), expect(sig), "signal {sig}");
        }
    }

    #[test]
    fn synchronous_signals_come_first_then_the_lowest() {
        // The oracle's `order` probe: delivery order with every signal in sa_mask.
        let mut pending =
            SigSet::of_all(&[SIGUSR2, 35, 34, SIGTERM, SIGSEGV, SIGUSR1, SIGHUP, SIGCHLD, SIGILL]);
        let mut got = std::vec::Vec::new();
        while !pending.is_empty() {
            let s = next_signal(pending, SigSet::EMPTY);
            got.push(s);
            pending = pending.without(SigSet::of(s));
        }
        assert_eq!(got, [4, 11, 1, 10, 12, 15, 17, 34, 35]);
        assert_eq!(next_signal(SigSet::of(SIGSEGV), SigSet::of(SIGSEGV)), 0);
        assert_eq!(next_signal(SigSet::of_all(&[SIGSEGV, SIGHUP]), SigSet::of(SIGSEGV)), SIGHUP);
    }

    #[test]
    fn sets_count_from_one() {
        assert_eq!(SigSet::of(1).0, 1);
        assert_eq!(SigSet::of(64).0, 1 << 63);
        assert!(SigSet::of(64).contains(64) && !SigSet::of(64).contains(1));
        assert_eq!(SigSet::EMPTY.first(), 0);
        assert_eq!(KERNEL_ONLY.not().0, 0xffff_ffff_fffb_feff);
        assert!(valid_signal(0) && valid_signal(64) && !valid_signal(65) && !valid_signal(-1));
    }
}
