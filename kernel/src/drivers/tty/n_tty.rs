// SPDX-License-Identifier: GPL-2.0-only
//! The line discipline (Linux 6.1, `drivers/tty/n_tty.c`): editing lines, echo, the keys
//! that send signals, newline translation.

use super::serial::p8250;
use crate::arch::x86::lib::usercopy::{copy_from_user_partial, copy_to_user, get_user, put_user};
use crate::errno::{EAGAIN, EFAULT, ENOTTY, EPERM, Result};
use crate::fs::file_table::{File, FileOps, POLLIN, POLLOUT, UserBuf};
use crate::fs::inode::Dev;
use crate::kernel::signal::kill_pgrp;
use crate::kernel::task::current;
use crate::kernel::wait::WaitQueue;
use crate::locking::IrqLock;
use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicI32, Ordering};
use linux_raw_sys::general as abi;
use linux_raw_sys::ioctl as io;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct termios`, as the ioctls pass it.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct Termios {
    iflag: u32,
    oflag: u32,
    cflag: u32,
    lflag: u32,
    line: u8,
    cc: [u8; 19],
}
const _: () = assert!(size_of::<Termios>() == 36);

/// The settings a terminal starts with (`tty_std_termios`).
const STD_TERMIOS: Termios = Termios {
    iflag: abi::ICRNL | abi::IXON,
    oflag: abi::OPOST | abi::ONLCR,
    cflag: abi::B38400 | abi::CS8 | abi::CREAD | abi::HUPCL,
    lflag: abi::ISIG
        | abi::ICANON
        | abi::ECHO
        | abi::ECHOE
        | abi::ECHOK
        | abi::ECHOCTL
        | abi::ECHOKE
        | abi::IEXTEN,
    line: 0,
    cc: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0],
};

struct State {
    termios: Termios,
    /// The line being edited.
    line: VecDeque<u8>,
    /// What `read` may take; a line's end is its newline, or a marker of end of file.
    ready: VecDeque<u8>,
    /// Ends of file that are due before more is read.
    eofs: u32,
    winsize: [u16; 4],
}

/// A terminal.
pub struct Tty {
    port: u32,
    state: IrqLock<State>,
    wait: WaitQueue,
    /// Foreground process group.
    pgrp: AtomicI32,
    session: AtomicI32,
}

const fn new_tty(port: u32) -> Tty {
    Tty {
        port,
        state: IrqLock::new(State {
            termios: STD_TERMIOS,
            line: VecDeque::new(),
            ready: VecDeque::new(),
            eofs: 0,
            winsize: [24, 80, 0, 0],
        }),
        wait: WaitQueue::new(),
        pgrp: AtomicI32::new(0),
        session: AtomicI32::new(0),
    }
}

static TTYS: [Tty; 4] = [new_tty(0), new_tty(1), new_tty(2), new_tty(3)];

/// The terminal on a serial port.
pub fn tty(port: u32) -> &'static Tty {
    &TTYS[port as usize & 3]
}

/// What one incoming byte leads to.
enum Effect {
    None,
    Ready,
    Signal(i32),
}

/// A byte has come in; from the port's interrupt.
pub fn receive(port: u32, c: u8) {
    let t = tty(port);
    let effect = {
        let mut s = t.state.lock();
        input(&mut s, c, &mut |b| p8250::write(port, b))
    };
    match effect {
        Effect::None => {}
        Effect::Ready => t.wait.wake_up(),
        Effect::Signal(sig) => {
            let pgrp = t.pgrp.load(Ordering::Relaxed);
            if pgrp != 0 {
                let _ = kill_pgrp(pgrp, sig, true);
            }
            t.wait.wake_up();
        }
    }
}

fn input(s: &mut State, c: u8, echo: &mut dyn FnMut(&[u8])) -> Effect {
    let tm = s.termios;
    let l = |f: u32| tm.lflag & f != 0;
    let is = |i: u32, c: u8| tm.cc[i as usize] == c && c != 0;
    let c = if c == b'\r' && tm.iflag & abi::ICRNL != 0 { b'\n' } else { c };
    if l(abi::ISIG) {
        let keys = [(abi::VINTR, abi::SIGINT), (abi::VQUIT, abi::SIGQUIT), (abi::VSUSP, abi::SIGTSTP)];
        if let Some(&(_, sig)) = keys.iter().find(|k| is(k.0, c)) {
            if l(abi::ECHO) {
                echo(&[b'^', c ^ 0x40, b'\r', b'\n']);
            }
            s.line.clear();
            s.ready.clear();
            return Effect::Signal(sig as i32);
        }
    }
    if !l(abi::ICANON) {
        s.ready.push_back(c);
        if l(abi::ECHO) {
            echo(&[c]);
        }
        return Effect::Ready;
    }
    if is(abi::VERASE, c) || c == 8 {
        if s.line.pop_back().is_some() && l(abi::ECHO) {
            echo(b"\x08 \x08");
        }
        return Effect::None;
    }
    if is(abi::VKILL, c) {
        while s.line.pop_back().is_some() {
            echo(b"\x08 \x08");
        }
        return Effect::None;
    }
    if is(abi::VEOF, c) {
        if s.line.is_empty() {
            s.eofs += 1;
        }
        let line = core::mem::take(&mut s.line);
        s.ready.extend(line);
        return Effect::Ready;
    }
    if s.line.len() < 4095 {
        s.line.push_back(c);
    }
    if l(abi::ECHO) || c == b'\n' && l(abi::ECHONL) {
        match c {
            b'\n' => echo(b"\r\n"),
            c if c < 32 && c != b'\t' && l(abi::ECHOCTL) => echo(&[b'^', c ^ 0x40]),
            c => echo(&[c]),
        }
    }
    if c != b'\n' {
        return Effect::None;
    }
    let line = core::mem::take(&mut s.line);
    s.ready.extend(line);
    Effect::Ready
}

impl Tty {
    fn readable(&self) -> bool {
        let s = self.state.lock();
        !s.ready.is_empty() || s.eofs != 0
    }

    /// Stops a background process that reads or changes the terminal (`job_control`).
    fn check_foreground(&self, sig: u32) -> Result {
        use crate::kernel::signal::kill::is_pgrp_orphaned;
        let cur = current();
        let fg = self.pgrp.load(Ordering::Relaxed);
        let mine = Dev::new(4, 64 + self.port).0 == cur.signal.tty.load(Ordering::Relaxed);
        if !mine || fg == 0 || fg == cur.signal.pgrp() {
            return Ok(());
        }
        if is_pgrp_orphaned(cur.signal.pgrp()) {
            return Err(crate::errno::EIO);
        }
        let _ = kill_pgrp(cur.signal.pgrp(), sig as i32, true);
        Err(crate::errno::ERESTARTSYS)
    }
}

/// An open terminal.
pub struct TtyFile(pub &'static Tty);

impl FileOps for TtyFile {
    fn read(&self, f: &File, buf: UserBuf, _: u64) -> Result<usize> {
        let t = self.0;
        t.check_foreground(abi::SIGTTIN)?;
        if !t.readable() {
            if f.nonblock() {
                return Err(EAGAIN);
            }
            t.wait.wait_event_interruptible(|| t.readable())?;
        }
        let mut out = [0u8; 256];
        let mut n = 0;
        {
            let mut s = t.state.lock();
            if s.ready.is_empty() {
                s.eofs = s.eofs.saturating_sub(1);
                return Ok(0);
            }
            let canon = s.termios.lflag & abi::ICANON != 0;
            while n < buf.len.min(out.len())
                && let Some(c) = s.ready.pop_front()
            {
                out[n] = c;
                n += 1;
                if canon && c == b'\n' {
                    break;
                }
            }
        }
        copy_to_user(buf.addr, &out[..n])?;
        Ok(n)
    }

    fn write(&self, _: &File, buf: UserBuf, _: u64) -> Result<usize> {
        let t = self.0;
        let translate = t.state.lock().termios.oflag & (abi::OPOST | abi::ONLCR) == abi::OPOST | abi::ONLCR;
        let mut chunk = [0u8; 256];
        let mut done = 0;
        while done < buf.len {
            let n = (buf.len - done).min(chunk.len());
            let left = copy_from_user_partial(&mut chunk[..n], buf.addr + done);
            let got = n - left;
            if translate {
                p8250::console_write(t.port, &chunk[..got]);
            } else {
                p8250::write(t.port, &chunk[..got]);
            }
            done += got;
            if left != 0 {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
        }
        Ok(done)
    }

    fn poll(&self, _: &File) -> u32 {
        POLLOUT | if self.0.readable() { POLLIN } else { 0 }
    }
    fn poll_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.wait)
    }

    fn ioctl(&self, _: &File, cmd: u32, arg: usize) -> Result<usize> {
        let t = self.0;
        let cur = current();
        match cmd {
            io::TCGETS => {
                let tm = t.state.lock().termios;
                put_user(arg, &tm)?;
            }
            io::TCSETS | io::TCSETSW | io::TCSETSF => {
                let tm: Termios = get_user(arg)?;
                let mut s = t.state.lock();
                s.termios = tm;
                if cmd == io::TCSETSF {
                    s.ready.clear();
                    s.line.clear();
                }
            }
            io::TIOCGWINSZ => {
                let w = t.state.lock().winsize;
                put_user(arg, &w)?;
            }
            io::TIOCSWINSZ => {
                let w: [u16; 4] = get_user(arg)?;
                let changed = core::mem::replace(&mut t.state.lock().winsize, w) != w;
                let pgrp = t.pgrp.load(Ordering::Relaxed);
                if changed && pgrp != 0 {
                    let _ = kill_pgrp(pgrp, abi::SIGWINCH as i32, true);
                }
            }
            io::TIOCSCTTY => {
                if cur.signal.leader.load(Ordering::Relaxed) == 0 {
                    return Err(EPERM);
                }
                cur.signal.tty.store(Dev::new(4, 64 + t.port).0, Ordering::Relaxed);
                t.session.store(cur.signal.session(), Ordering::Relaxed);
                t.pgrp.store(cur.signal.pgrp(), Ordering::Relaxed);
            }
            io::TIOCGPGRP => put_user(arg, &t.pgrp.load(Ordering::Relaxed))?,
            io::TIOCSPGRP => {
                let g: i32 = get_user(arg)?;
                if t.session.load(Ordering::Relaxed) != cur.signal.session() {
                    return Err(ENOTTY);
                }
                t.pgrp.store(g, Ordering::Relaxed);
            }
            io::TIOCGSID => put_user(arg, &t.session.load(Ordering::Relaxed))?,
            io::TIOCNOTTY => cur.signal.tty.store(0, Ordering::Relaxed),
            io::TCFLSH | io::TCSBRK | io::TCXONC => {}
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            termios: STD_TERMIOS,
            line: VecDeque::new(),
            ready: VecDeque::new(),
            eofs: 0,
            winsize: [0; 4],
        }
    }

    fn type_in(s: &mut State, keys: &[u8]) -> (alloc::vec::Vec<u8>, Option<i32>) {
        let mut echo = alloc::vec::Vec::new();
        let mut sig = None;
        for &k in keys {
            if let Effect::Signal(n) = input(s, k, &mut |b| echo.extend(b)) {
                sig = Some(n);
            }
        }
        (echo, sig)
    }

    #[test]
    fn lines_are_edited_before_they_are_read() {
        let mut s = state();
        let (echo, _) = type_in(&mut s, b"ab\x7fc");
        assert!(s.ready.is_empty());
        assert_eq!(echo, b"ab\x08 \x08c");
        type_in(&mut s, b"\r");
        assert_eq!(s.ready, b"ac\n");
    }

    #[test]
    fn keys_send_signals_and_ends_of_file() {
        let mut s = state();
        assert_eq!(type_in(&mut s, b"x\x03").1, Some(2));
        assert!(s.line.is_empty());
        assert_eq!(type_in(&mut s, b"\x1c").1, Some(3));
        type_in(&mut s, b"\x04");
        assert_eq!(s.eofs, 1);
    }
}
