// SPDX-License-Identifier: GPL-2.0-only
//! Settings of terminals (Linux 6.1, `drivers/tty/tty_ioctl.c`, `tty_io.c`, `tty_ioctl`).

use super::n_tty::{Driver, Termios, Tty};
use super::pty::{FLUSHREAD, FLUSHWRITE};
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EFAULT, EINVAL, EIO, ENOTTY, EPERM, Result};
use crate::fs::file_table::File;
use crate::kernel::capability::capable;
use crate::kernel::signal::kill_pgrp;
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general as abi;
use linux_raw_sys::ioctl as io;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct termios2`: speeds as numbers behind the rest.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct Termios2 {
    termios: Termios,
    ispeed: u32,
    ospeed: u32,
}
const _: () = assert!(size_of::<Termios2>() == 44);

/// Bits per second of `B50` to `B38400`, and of `B57600` and on.
const SPEEDS: [u32; 16] =
    [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400];
const MORE_SPEEDS: [u32; 15] = [
    57600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000,
    2_500_000, 3_000_000, 3_500_000, 4_000_000,
];

/// The speed that the settings name (`tty_termios_baud_rate`).
fn baud_rate(tm: &Termios) -> u32 {
    let code = (tm.cflag & abi::CBAUD) as usize;
    let extended = abi::CBAUDEX as usize;
    let found = if code & extended == 0 {
        SPEEDS.get(code)
    } else {
        // The first of them is a speed of one's own.
        (code & !extended).checked_sub(1).and_then(|i| MORE_SPEEDS.get(i))
    };
    found.copied().unwrap_or(0)
}

/// `ioctl(2)` on a terminal.
pub fn ioctl(t: &Tty, f: &File, cmd: u32, arg: usize) -> Result<usize> {
    match cmd {
        io::TCGETS => {
            let tm = t.state.lock().termios;
            put_user(arg, &tm)?;
        }
        io::TCSETS | io::TCSETSW | io::TCSETSF => set_termios(t, get_user(arg)?, cmd == io::TCSETSF)?,
        io::TCGETS2 => {
            let termios = t.state.lock().termios;
            let speed = baud_rate(&termios);
            put_user(arg, &Termios2 { termios, ispeed: speed, ospeed: speed })?;
        }
        io::TCSETS2 | io::TCSETSW2 | io::TCSETSF2 => {
            set_termios(t, get_user::<Termios2>(arg)?.termios, cmd == io::TCSETSF2)?;
        }
        io::TIOCGWINSZ => {
            let w = t.state.lock().winsize;
            put_user(arg, &w)?;
        }
        io::TIOCSWINSZ => set_winsize(t, get_user(arg)?),
        io::TIOCEXCL | io::TIOCNXCL => t.state.lock().exclusive = cmd == io::TIOCEXCL,
        io::TIOCGEXCL => put_user(arg, &i32::from(t.state.lock().exclusive))?,
        // The usual discipline; nothing that waits to go out.
        io::TIOCGETD | io::TIOCOUTQ => put_user(arg, &0i32)?,
        // There is no other discipline.
        io::TIOCSETD => {
            if get_user::<i32>(arg)? != 0 {
                return Err(EINVAL);
            }
        }
        io::TIOCGDEV => put_user(arg, &(t.dev().user() as u32))?,
        io::FIONREAD => put_user(arg, &(t.chars_ready() as i32))?,
        io::TCFLSH => flush(t, arg)?,
        io::TCSBRK | io::TCSBRKP | io::TIOCSBRK | io::TIOCCBRK => t.check_foreground(abi::SIGTTOU)?,
        io::TCXONC => flow(t, arg)?,
        _ => return job_control(t, f, cmd, arg),
    }
    Ok(0)
}

/// Whose terminal it is, and what is pretended to be typed.
fn job_control(t: &Tty, f: &File, cmd: u32, arg: usize) -> Result<usize> {
    match cmd {
        io::TIOCSCTTY => t.steal(arg == 1, f.readable())?,
        io::TIOCGPGRP => put_user(arg, &t.foreground()?)?,
        io::TIOCSPGRP => t.set_foreground(arg)?,
        io::TIOCSTI => {
            if !t.is_mine() && !capable(abi::CAP_SYS_ADMIN) {
                return Err(EPERM);
            }
            t.receive(get_user(arg).map_err(|_| EFAULT)?);
        }
        io::TIOCGSID => put_user(arg, &t.own_session()?)?,
        io::TIOCNOTTY => t.give_up()?,
        io::TIOCVHANGUP => {
            if !capable(abi::CAP_SYS_ADMIN) {
                return Err(EPERM);
            }
            t.vhangup();
        }
        _ => return Err(ENOTTY),
    }
    Ok(0)
}

fn set_termios(t: &Tty, mut tm: Termios, flush: bool) -> Result {
    t.check_foreground(abi::SIGTTOU)?;
    if let Driver::Pty(_) = t.driver {
        // Whatever is asked, it has eight bits and no parity (`pty_set_termios`).
        tm.cflag = tm.cflag & !(abi::CSIZE | abi::PARENB) | abi::CS8 | abi::CREAD;
    }
    let mut s = t.state.lock();
    if flush {
        s.input.clear();
    }
    if (tm.lflag ^ s.termios.lflag) & abi::ICANON != 0 {
        s.input.change_mode();
    }
    let restart = s.termios.iflag & !tm.iflag & abi::IXON != 0;
    s.termios = tm;
    drop(s);
    if restart {
        t.set_stopped(false);
    }
    t.flush_to_ldisc();
    Ok(())
}

fn set_winsize(t: &Tty, w: [u16; 4]) {
    let changed = core::mem::replace(&mut t.state.lock().winsize, w) != w;
    let pgrp = t.pgrp.load(Relaxed);
    if changed && pgrp != 0 {
        let _ = kill_pgrp(pgrp, abi::SIGWINCH as i32, true);
    }
}

/// `TCFLSH`: what was typed and not read, what was written and not taken.
fn flush(t: &Tty, which: usize) -> Result {
    t.check_foreground(abi::SIGTTOU)?;
    if which > 2 {
        return Err(EINVAL);
    }
    if which != 1 {
        t.flush_input();
        t.tell_master(FLUSHREAD);
        t.out_wait.wake_up();
    }
    if which != 0 {
        t.state.lock().out.queue.clear();
        t.tell_master(FLUSHWRITE);
        t.out_wait.wake_up();
    }
    Ok(())
}

/// `TCXONC`: output stands, or goes on; or the other end is told to (`n_tty_ioctl_helper`).
fn flow(t: &Tty, what: usize) -> Result {
    t.check_foreground(abi::SIGTTOU)?;
    match what {
        0 | 1 => t.set_stopped(what == 0),
        2 | 3 => {
            let key = if what == 2 { abi::VSTOP } else { abi::VSTART };
            let c = t.state.lock().termios.cc[key as usize];
            if c != 0 {
                t.send_raw(c).map_err(|_| EIO)?;
            }
        }
        _ => return Err(EINVAL),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::n_tty::STD_TERMIOS;
    use super::*;

    #[test]
    fn speeds_have_names() {
        let speed = |cflag| baud_rate(&Termios { cflag, ..STD_TERMIOS });
        assert_eq!(speed(abi::B9600), 9600);
        assert_eq!(speed(abi::B38400), 38400);
        assert_eq!(speed(abi::B57600), 57600);
        assert_eq!(speed(abi::B115200), 115_200);
        assert_eq!(speed(abi::B4000000), 4_000_000);
        assert_eq!(speed(abi::B0), 0);
    }
}
