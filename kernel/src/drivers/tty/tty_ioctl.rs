// SPDX-License-Identifier: GPL-2.0-only
//! Settings of terminals (Linux 6.1, `drivers/tty/tty_ioctl.c`).

use super::n_tty::{Termios, Tty};
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EINVAL, ENOTTY, EPERM, Result};
use crate::kernel::capability::capable;
use crate::kernel::signal::kill_pgrp;
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
        io::TIOCGPGRP => put_user(arg, &t.foreground()?)?,
        io::TIOCSPGRP => t.set_foreground(get_user(arg)?)?,
        io::TIOCSTI => {
            if !t.is_mine() && !capable(abi::CAP_SYS_ADMIN) {
                return Err(EPERM);
            }
            super::n_tty::receive(t.port, get_user(arg)?);
        }
        io::TIOCGSID => put_user(arg, &t.own_session()?)?,
        io::TIOCNOTTY => t.give_up()?,
        io::FIONREAD => put_user(arg, &(t.state.lock().input.len() as i32))?,
        io::TIOCOUTQ => put_user(arg, &0i32)?,
        io::TCFLSH => flush(t, arg)?,
        io::TCSBRK | io::TCSBRKP | io::TCXONC => t.check_foreground(abi::SIGTTOU)?,
        _ => return Err(ENOTTY),
    }
    Ok(0)
}

fn set_termios(t: &Tty, tm: Termios, flush: bool) -> Result {
    t.check_foreground(abi::SIGTTOU)?;
    let mut s = t.state.lock();
    if flush {
        s.input.clear();
    }
    if (tm.lflag ^ s.termios.lflag) & abi::ICANON != 0 {
        s.input.change_mode();
    }
    s.termios = tm;
    Ok(())
}

fn set_winsize(t: &Tty, w: [u16; 4]) {
    let changed = core::mem::replace(&mut t.state.lock().winsize, w) != w;
    let pgrp = t.pgrp.load(Relaxed);
    if changed && pgrp != 0 {
        let _ = kill_pgrp(pgrp, abi::SIGWINCH as i32, true);
    }
}

/// `TCFLSH`: output is never waiting, input may be.
fn flush(t: &Tty, which: usize) -> Result {
    t.check_foreground(abi::SIGTTOU)?;
    match which {
        0 | 2 => {
            let mut s = t.state.lock();
            s.input.clear();
        }
        1 => {}
        _ => return Err(EINVAL),
    }
    Ok(())
}
