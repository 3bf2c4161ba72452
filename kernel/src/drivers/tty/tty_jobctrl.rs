// SPDX-License-Identifier: GPL-2.0-only
//! Terminals and sessions (Linux 6.1, `drivers/tty/tty_jobctrl.c`): whose terminal it is,
//! which process group is in its foreground, and what happens when the session ends.

use super::n_tty::{self, Driver, Tty};
use super::pty;
use crate::arch::x86::lib::usercopy::get_user;
use crate::errno::{EINVAL, EIO, ENOTTY, EPERM, ERESTARTSYS, ESRCH, Result};
use crate::fs::inode::Dev;
use crate::kernel::capability::capable;
use crate::kernel::fork::{TASKLIST, find_task};
use crate::kernel::signal::action::SIG_IGN;
use crate::kernel::signal::kill::is_pgrp_orphaned;
use crate::kernel::signal::{kill_pgrp, send_sig, with_siglock};
use crate::kernel::task::{current, tif};
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general::{
    CAP_SYS_ADMIN, CAP_SYS_TTY_CONFIG, O_ACCMODE, O_WRONLY, SIGCONT, SIGHUP, SIGTTIN,
};

/// Nobody of the session has a terminal any more (`session_clear_tty`).
fn session_clear_tty(session: i32) {
    for t in TASKLIST.lock().session_members(session) {
        t.signal.tty.store(0, Relaxed);
    }
}

/// The current process, a session leader, ends: its terminal is hung up
/// (`disassociate_ctty`, with `on_exit`).
pub fn disassociate_ctty() {
    let sig = &current().signal;
    if sig.leader.load(Relaxed) == 0 {
        return;
    }
    if let Some(tty) = n_tty::find(Dev(sig.tty.load(Relaxed))) {
        tty.session_ends();
        return;
    }
    // The terminal went before: its foreground hears of it now.
    let old = sig.tty_old_pgrp.swap(0, Relaxed);
    if old != 0 {
        let _ = kill_pgrp(old, SIGHUP as i32, true);
        let _ = kill_pgrp(old, SIGCONT as i32, true);
    }
}

/// `vhangup(2)`: the caller's terminal, if it has one, is hung up (Linux 6.1, `fs/open.c`;
/// `drivers/tty/tty_io.c`, `tty_vhangup_self`).
pub fn sys_vhangup() -> Result<usize> {
    if !capable(CAP_SYS_TTY_CONFIG) {
        return Err(EPERM);
    }
    if let Some(tty) = n_tty::find(Dev(current().signal.tty.load(Relaxed))) {
        tty.vhangup();
    }
    Ok(0)
}

impl Tty {
    /// Whether it is the current process's controlling terminal.
    pub(super) fn is_mine(&self) -> bool {
        self.dev().0 == current().signal.tty.load(Relaxed)
    }

    fn want_mine(&self) -> Result {
        if self.is_mine() { Ok(()) } else { Err(ENOTTY) }
    }

    /// Stops a background process that reads, writes or changes the terminal
    /// (`__tty_check_change`).
    pub(super) fn check_foreground(&self, sig: u32) -> Result {
        let cur = current();
        let fg = self.pgrp.load(Relaxed);
        let own = cur.signal.pgrp();
        if !self.is_mine() || fg == 0 || fg == own {
            return Ok(());
        }
        let ignored = with_siglock(&cur, |l| l[sig as i32].handler == SIG_IGN);
        let blocked = cur.sig.blocked().contains(sig as i32);
        if ignored || blocked {
            return if sig == SIGTTIN { Err(EIO) } else { Ok(()) };
        }
        if is_pgrp_orphaned(own) {
            return Err(EIO);
        }
        let _ = kill_pgrp(own, sig as i32, true);
        // Another thread may have been chosen to take it: the call is restarted all the same.
        cur.set_flag(tif::SIGPENDING);
        Err(ERESTARTSYS)
    }

    /// Becomes the current session's controlling terminal (`__proc_set_tty`).
    fn set_controlling(&self) {
        let cur = current();
        cur.signal.tty.store(self.dev().0, Relaxed);
        cur.signal.tty_old_pgrp.store(0, Relaxed);
        self.session.store(cur.signal.session(), Relaxed);
        self.pgrp.store(cur.signal.pgrp(), Relaxed);
    }

    /// `TIOCSCTTY`: only a session leader without a terminal may, and, but for root
    /// with `force`, only if no other session has it; through a file that it can read, for who has a
    /// terminal can read what is typed there (`tiocsctty`).
    pub(super) fn steal(&self, force: bool, readable: bool) -> Result {
        let cur = current();
        let session = self.session.load(Relaxed);
        let leader = cur.signal.leader.load(Relaxed) != 0;
        if leader && session == cur.signal.session() {
            return Ok(());
        }
        if !leader || cur.signal.tty.load(Relaxed) != 0 {
            return Err(EPERM);
        }
        if session != 0 {
            if !(force && capable(CAP_SYS_ADMIN)) {
                return Err(EPERM);
            }
            session_clear_tty(session);
        }
        if !readable && !capable(CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        self.set_controlling();
        Ok(())
    }

    /// A session leader without a terminal gets the one it opens for reading
    /// (`tty_open_proc_set_tty`).
    pub(super) fn acquire_on_open(&self, flags: u32) {
        let sig = &current().signal;
        let reads = flags & O_ACCMODE != O_WRONLY;
        let wants = reads && sig.leader.load(Relaxed) != 0 && sig.tty.load(Relaxed) == 0;
        if wants && self.session.load(Relaxed) == 0 {
            self.set_controlling();
        }
    }

    /// `TIOCGPGRP`: the process group in the foreground.
    pub(super) fn foreground(&self) -> Result<i32> {
        self.want_mine()?;
        Ok(self.pgrp.load(Relaxed))
    }

    /// `TIOCGSID`: the session that has the terminal.
    pub(super) fn own_session(&self) -> Result<i32> {
        self.want_mine()?;
        Ok(self.session.load(Relaxed))
    }

    /// `TIOCSPGRP`: to a process group of the same session; a number that is a process's of it will
    /// do (`tiocspgrp`, `session_of_pgrp`).
    pub(super) fn set_foreground(&self, at: usize) -> Result {
        // An orphan is told that the terminal is not its own.
        let orphan = |e| if e == EIO { ENOTTY } else { e };
        self.check_foreground(linux_raw_sys::general::SIGTTOU).map_err(orphan)?;
        let pgrp: i32 = get_user(at)?;
        if pgrp < 0 {
            return Err(EINVAL);
        }
        let session = current().signal.session();
        if !self.is_mine() || self.session.load(Relaxed) != session {
            return Err(ENOTTY);
        }
        let list = TASKLIST.lock();
        let member = list.pgrp_members(pgrp).next().cloned();
        let of = member.or_else(|| list.find(pgrp)).ok_or(ESRCH)?;
        if of.signal.session() != session {
            return Err(EPERM);
        }
        self.pgrp.store(pgrp, Relaxed);
        Ok(())
    }

    /// `TIOCNOTTY`: a session leader takes the terminal from its whole session (`no_tty`).
    pub(super) fn give_up(&self) -> Result {
        self.want_mine()?;
        let sig = &current().signal;
        if sig.leader.load(Relaxed) != 0 {
            let pgrp = self.pgrp.swap(0, Relaxed);
            self.session.store(0, Relaxed);
            if pgrp != 0 {
                let _ = kill_pgrp(pgrp, SIGHUP as i32, false);
                let _ = kill_pgrp(pgrp, SIGCONT as i32, false);
            }
            session_clear_tty(sig.session());
            sig.tty_old_pgrp.store(0, Relaxed);
        }
        sig.tty.store(0, Relaxed);
        Ok(())
    }

    /// The session that has the terminal ends with its leader, the current process: the foreground
    /// hears of it, and the terminal is free for another session. Whoever has it open finds it at
    /// its end, but for a pseudoterminal, whose line is its master's to cut (`disassociate_ctty`;
    /// Linux 6.1, drivers/tty/tty_io.c, `tty_vhangup_session`).
    fn session_ends(&self) {
        if let Driver::Serial(_) = self.driver {
            self.cut();
        }
        session_clear_tty(self.session.swap(0, Relaxed));
        let pgrp = self.pgrp.swap(0, Relaxed);
        if pgrp != 0 {
            let _ = kill_pgrp(pgrp, SIGHUP as i32, true);
        }
    }

    /// Whoever has it open finds it at its end.
    fn cut(&self) {
        self.hangups.fetch_add(1, Relaxed);
        self.flush_and_wake();
        self.out_wait.wake_up();
    }

    /// The line was cut: the session loses it, and its leader is told (Linux 6.1,
    /// drivers/tty/tty_io.c, `__tty_hangup`; tty_jobctrl.c, `tty_signal_session_leader`).
    pub(super) fn vhangup(&self) {
        self.cut();
        let (session, pgrp) = (self.session.swap(0, Relaxed), self.pgrp.swap(0, Relaxed));
        if session == 0 {
            return;
        }
        let leader = find_task(session).filter(|t| t.signal.leader.load(Relaxed) != 0);
        session_clear_tty(session);
        if let Some(leader) = leader {
            leader.signal.tty_old_pgrp.store(pgrp, Relaxed);
            let _ = send_sig(SIGHUP as i32, &leader, true);
            let _ = send_sig(SIGCONT as i32, &leader, true);
        }
    }

    /// The process group in its foreground, 0 if there is none.
    pub fn foreground_group(&self) -> i32 {
        self.pgrp.load(Relaxed)
    }

    /// Whether there is anybody at the other end.
    pub(super) fn is_connected(&self) -> bool {
        match self.driver {
            Driver::Serial(_) => true,
            Driver::Pty(index) => pty::get(index).is_some_and(|p| p.has_master()),
        }
    }
}
