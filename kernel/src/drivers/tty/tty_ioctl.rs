// SPDX-License-Identifier: GPL-2.0-only
//! Settings of terminals, and job control (Linux 6.1, `drivers/tty/tty_ioctl.c`,
//! `tty_jobctrl.c`).

use super::n_tty::{Termios, Tty};
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EINVAL, ENOTTY, EPERM, ESRCH, Result};
use crate::kernel::fork::TASKLIST;
use crate::kernel::signal::kill_pgrp;
use crate::kernel::task::current;
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general as abi;
use linux_raw_sys::ioctl as io;

/// `ioctl(2)` on a terminal.
pub fn ioctl(t: &Tty, cmd: u32, arg: usize) -> Result<usize> {
    match cmd {
        io::TCGETS => {
            let tm = t.state.lock().termios;
            put_user(arg, &tm)?;
        }
        io::TCSETS | io::TCSETSW | io::TCSETSF => set_termios(t, get_user(arg)?, cmd == io::TCSETSF)?,
        io::TIOCGWINSZ => {
            let w = t.state.lock().winsize;
            put_user(arg, &w)?;
        }
        io::TIOCSWINSZ => set_winsize(t, get_user(arg)?),
        io::TIOCSCTTY => t.steal(arg == 1)?,
        io::TIOCGPGRP => {
            want_mine(t)?;
            put_user(arg, &t.pgrp.load(Relaxed))?;
        }
        io::TIOCSPGRP => set_pgrp(t, get_user(arg)?)?,
        io::TIOCGSID => {
            want_mine(t)?;
            put_user(arg, &t.session.load(Relaxed))?;
        }
        io::TIOCNOTTY => give_up(t)?,
        io::FIONREAD => put_user(arg, &(t.state.lock().ready.len() as i32))?,
        io::TIOCOUTQ => put_user(arg, &0i32)?,
        io::TCFLSH => flush(t, arg)?,
        io::TCSBRK | io::TCSBRKP | io::TCXONC => t.check_foreground(abi::SIGTTOU)?,
        _ => return Err(ENOTTY),
    }
    Ok(0)
}

fn want_mine(t: &Tty) -> Result {
    if t.is_mine() { Ok(()) } else { Err(ENOTTY) }
}

fn set_termios(t: &Tty, tm: Termios, flush: bool) -> Result {
    t.check_foreground(abi::SIGTTOU)?;
    let mut s = t.state.lock();
    // A line that was begun can be read as it is once there are no lines.
    if tm.lflag & abi::ICANON == 0 && !flush {
        let line = core::mem::take(&mut s.line);
        s.ready.extend(line);
    }
    s.termios = tm;
    if flush {
        s.ready.clear();
        s.line.clear();
    }
    Ok(())
}

fn set_winsize(t: &Tty, w: [u16; 4]) {
    let changed = core::mem::replace(&mut t.state.lock().winsize, w) != w;
    let pgrp = t.pgrp.load(Relaxed);
    if changed && pgrp != 0 {
        let _ = kill_pgrp(pgrp, abi::SIGWINCH as i32, true);
    }
}

/// `TIOCSPGRP`: to a process group of the same session.
fn set_pgrp(t: &Tty, pgrp: i32) -> Result {
    t.check_foreground(abi::SIGTTOU)?;
    let session = current().signal.session();
    if !t.is_mine() || t.session.load(Relaxed) != session {
        return Err(ENOTTY);
    }
    if pgrp < 0 {
        return Err(EINVAL);
    }
    let list = TASKLIST.lock();
    let member = list.iter().find(|p| p.signal.pgrp() == pgrp).ok_or(ESRCH)?;
    if member.signal.session() != session {
        return Err(EPERM);
    }
    t.pgrp.store(pgrp, Relaxed);
    Ok(())
}

/// `TIOCNOTTY`: a session leader takes the terminal from its whole session.
fn give_up(t: &Tty) -> Result {
    want_mine(t)?;
    let sig = &current().signal;
    sig.tty.store(0, Relaxed);
    if sig.leader.load(Relaxed) != 0 {
        let pgrp = t.pgrp.swap(0, Relaxed);
        t.session.store(0, Relaxed);
        if pgrp != 0 {
            let _ = kill_pgrp(pgrp, abi::SIGHUP as i32, true);
            let _ = kill_pgrp(pgrp, abi::SIGCONT as i32, true);
        }
    }
    Ok(())
}

/// `TCFLSH`: output is never waiting, input may be.
fn flush(t: &Tty, which: usize) -> Result {
    t.check_foreground(abi::SIGTTOU)?;
    match which {
        0 | 2 => {
            let mut s = t.state.lock();
            s.ready.clear();
            s.line.clear();
        }
        1 => {}
        _ => return Err(EINVAL),
    }
    Ok(())
}
