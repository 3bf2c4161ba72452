// SPDX-License-Identifier: GPL-2.0-only
//! Wait statuses and signal names (pure).

use core::fmt;

/// What `wait4` says about a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitStatus(pub i32);

impl WaitStatus {
    /// The status of a child that exits with `code`.
    pub const fn exited(code: i32) -> Self {
        Self((code & 0xff) << 8)
    }

    /// The status of a child that `sig` kills (without a core file).
    pub const fn killed(sig: i32) -> Self {
        Self(sig)
    }

    /// The status of a child that `sig` stopped.
    pub const fn stopped(sig: i32) -> Self {
        Self(sig << 8 | 0x7f)
    }

    /// The status of a child that SIGCONT continued.
    pub const CONTINUED: Self = Self(0xffff);

    /// The same without the flag that says whether a core file was written.
    #[must_use]
    pub const fn without_core(self) -> Self {
        if self.0 & 0x7f != 0x7f && self.0 & 0x7f != 0 { Self(self.0 & !0x80) } else { self }
    }
}

impl fmt::Display for WaitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0;
        match s & 0x7f {
            _ if *self == Self::CONTINUED => f.write_str("continued"),
            0 => write!(f, "exit {}", s >> 8 & 0xff),
            0x7f => write!(f, "stopped by {}", SignalName(s >> 8 & 0xff)),
            sig if s & 0x80 != 0 => write!(f, "killed by {} (core dumped)", SignalName(sig)),
            sig => write!(f, "killed by {}", SignalName(sig)),
        }
    }
}

/// Signal names by number, from 1.
pub const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// Shows a signal number by its name (`SIGRTMIN+n` from 32, the kernel's own count).
pub struct SignalName(pub i32);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::try_from(self.0 - 1).ok().and_then(|i| SIGNALS.get(i)) {
            Some(name) => f.write_str(name),
            None if (32..=64).contains(&self.0) => write!(f, "SIGRTMIN+{}", self.0 - 32),
            None => write!(f, "signal {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn statuses_read_as_words() {
        assert_eq!(WaitStatus::exited(3).to_string(), "exit 3");
        assert_eq!(WaitStatus::killed(11).to_string(), "killed by SIGSEGV");
        assert_eq!(WaitStatus(0x8b).to_string(), "killed by SIGSEGV (core dumped)");
        assert_eq!(WaitStatus(0x8b).without_core(), WaitStatus::killed(11));
        assert_eq!(WaitStatus::stopped(19).to_string(), "stopped by SIGSTOP");
        assert_eq!(WaitStatus::CONTINUED.to_string(), "continued");
        assert_eq!(WaitStatus::killed(34).to_string(), "killed by SIGRTMIN+2");
    }
}
