// SPDX-License-Identifier: GPL-2.0-only
//! What a program sets of itself by `prctl` that changes nothing here, but is kept, inherited and told
//! as Linux does (Linux 6.1, `kernel/sys.c`, `prctl`): timers end when they are due, without slack; there
//! are no huge pages, and no disks that a flusher could wait for.

use super::capability::capable;
use super::task::current;
use crate::arch::x86::lib::usercopy::put_user;
use crate::errno::{EINVAL, EPERM, Result};
use crate::mm::mm_struct::with_current_mm;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use linux_raw_sys::general::CAP_SYS_RESOURCE;
use linux_raw_sys::prctl as pr;

/// Nanoseconds by which timers may be late, of the first task.
const DEFAULT_SLACK: u64 = 50_000;

/// A task's settings.
pub struct Settings {
    timer_slack: AtomicU64,
    /// What a slack of 0 stands for: the slack of who made it.
    default_slack: AtomicU64,
    /// When it is told of memory errors (`PR_MCE_KILL_*`).
    mce_kill: AtomicU8,
    io_flusher: AtomicBool,
}

impl Default for Settings {
    /// As the first task has them.
    fn default() -> Self {
        Self {
            timer_slack: AtomicU64::new(DEFAULT_SLACK),
            default_slack: AtomicU64::new(DEFAULT_SLACK),
            mce_kill: AtomicU8::new(pr::PR_MCE_KILL_DEFAULT as u8),
            io_flusher: AtomicBool::new(false),
        }
    }
}

impl Settings {
    /// A new task gets those of who made it.
    pub fn inherit(&self, from: &Self) {
        let slack = from.timer_slack.load(Relaxed);
        self.timer_slack.store(slack, Relaxed);
        self.default_slack.store(slack, Relaxed);
        self.mce_kill.store(from.mce_kill.load(Relaxed), Relaxed);
        self.io_flusher.store(from.io_flusher.load(Relaxed), Relaxed);
    }
    fn set_timer_slack(&self, ns: u64) {
        let ns = if ns == 0 { self.default_slack.load(Relaxed) } else { ns };
        self.timer_slack.store(ns, Relaxed);
    }
    /// `PR_MCE_KILL`.
    fn set_mce_kill(&self, [what, how, a4, a5]: [usize; 4]) -> Result {
        let how = match (u32::try_from(what), u32::try_from(how)) {
            (Ok(pr::PR_MCE_KILL_CLEAR), Ok(0)) => pr::PR_MCE_KILL_DEFAULT,
            (
                Ok(pr::PR_MCE_KILL_SET),
                Ok(how @ (pr::PR_MCE_KILL_EARLY | pr::PR_MCE_KILL_LATE | pr::PR_MCE_KILL_DEFAULT)),
            ) => how,
            _ => return Err(EINVAL),
        };
        if a4 | a5 != 0 {
            return Err(EINVAL);
        }
        self.mce_kill.store(how as u8, Relaxed);
        Ok(())
    }
}

fn zeroes(args: &[usize]) -> Result {
    if args.iter().all(|&a| a == 0) { Ok(()) } else { Err(EINVAL) }
}

/// `prctl(2)`, if it is about one of these.
pub fn prctl_settings(option: u32, args: [usize; 4]) -> Result<usize> {
    let cur = current();
    let s = &cur.settings;
    match option {
        pr::PR_GET_TIMING | pr::PR_TASK_PERF_EVENTS_DISABLE | pr::PR_TASK_PERF_EVENTS_ENABLE => Ok(0),
        // Statistical timing is all there is.
        pr::PR_SET_TIMING => zeroes(&args[..1]).map(|()| 0),
        pr::PR_GET_TIMERSLACK => Ok(s.timer_slack.load(Relaxed) as usize),
        pr::PR_SET_TIMERSLACK => {
            if !cur.se.params().real_time() {
                s.set_timer_slack(args[0] as u64);
            }
            Ok(0)
        }
        pr::PR_MCE_KILL => s.set_mce_kill(args).map(|()| 0),
        pr::PR_MCE_KILL_GET => zeroes(&args).map(|()| s.mce_kill.load(Relaxed).into()),
        pr::PR_GET_TID_ADDRESS => {
            put_user(args[0], &cur.clear_child_tid.load(Relaxed))?;
            Ok(0)
        }
        pr::PR_GET_THP_DISABLE => {
            zeroes(&args)?;
            Ok(usize::from(with_current_mm(|mm| mm.thp_disabled.load(Relaxed)).unwrap_or(false)))
        }
        pr::PR_SET_THP_DISABLE => {
            zeroes(&args[1..])?;
            with_current_mm(|mm| mm.thp_disabled.store(args[0] != 0, Relaxed));
            Ok(0)
        }
        pr::PR_SET_IO_FLUSHER | pr::PR_GET_IO_FLUSHER if !capable(CAP_SYS_RESOURCE) => Err(EPERM),
        pr::PR_SET_IO_FLUSHER => {
            zeroes(&args[1..])?;
            let on = match args[0] {
                0 => false,
                1 => true,
                _ => return Err(EINVAL),
            };
            s.io_flusher.store(on, Relaxed);
            Ok(0)
        }
        pr::PR_GET_IO_FLUSHER => zeroes(&args).map(|()| s.io_flusher.load(Relaxed).into()),
        _ => Err(EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_is_inherited_as_the_default() {
        let s = Settings::default();
        s.set_timer_slack(777);
        let child = Settings::default();
        child.inherit(&s);
        child.set_timer_slack(5);
        child.set_timer_slack(0);
        assert_eq!(child.timer_slack.load(Relaxed), 777);
        s.set_timer_slack(0);
        assert_eq!(s.timer_slack.load(Relaxed), DEFAULT_SLACK);
    }

    #[test]
    fn memory_errors() {
        let s = Settings::default();
        let told = || u32::from(s.mce_kill.load(Relaxed));
        assert_eq!(s.set_mce_kill([1, 1, 0, 0]), Ok(()));
        assert_eq!(told(), pr::PR_MCE_KILL_EARLY);
        assert_eq!(s.set_mce_kill([0, 0, 0, 0]), Ok(()));
        assert_eq!(told(), pr::PR_MCE_KILL_DEFAULT);
        for bad in [[0, 1, 0, 0], [1, 3, 0, 0], [2, 0, 0, 0], [1, 1, 1, 0], [1 << 32, 0, 0, 0]] {
            assert_eq!(s.set_mce_kill(bad), Err(EINVAL));
        }
    }
}
