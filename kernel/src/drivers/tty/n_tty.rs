// SPDX-License-Identifier: GPL-2.0-only
//! The line discipline (Linux 6.1, `drivers/tty/n_tty.c`): editing lines, echo, the keys
//! that send signals, newline translation.

use super::serial::p8250;
use crate::errno::{EAGAIN, EFAULT, EIO, ENOTTY, ESPIPE, Result};
use crate::fs::file_table::{File, FileOps, poll};
use crate::fs::select::PollTable;
use crate::kernel::sched::cond_resched;
use crate::kernel::signal::kill_pgrp;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::current;
use crate::kernel::wait::WaitQueue;
use crate::lib::iov_iter::IovIter;
use crate::locking::IrqLock;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use linux_raw_sys::general as abi;
use linux_raw_sys::ioctl::TIOCSPGRP;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What nobody has read; more is lost.
const N_TTY_BUF_SIZE: usize = 4096;

/// `struct termios`, as the ioctls pass it.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub struct Termios {
    pub(super) iflag: u32,
    pub(super) oflag: u32,
    pub(super) cflag: u32,
    pub(super) lflag: u32,
    pub(super) line: u8,
    pub(super) cc: [u8; 19],
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

pub(super) struct State {
    pub(super) termios: Termios,
    /// The line being edited.
    pub(super) line: VecDeque<u8>,
    /// What `read` may take; a line's end is its newline, or a marker of end of file.
    pub(super) ready: VecDeque<u8>,
    /// Ends of file that are due before more is read.
    eofs: u32,
    pub(super) winsize: [u16; 4],
}

/// A terminal.
pub struct Tty {
    pub(super) port: u32,
    pub(super) state: IrqLock<State>,
    wait: WaitQueue,
    /// Foreground process group.
    pub(super) pgrp: AtomicI32,
    pub(super) session: AtomicI32,
    /// How often it was hung up: files opened before the last time are no good any more.
    pub(super) hangups: AtomicU32,
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
        hangups: AtomicU32::new(0),
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
    let room = s.ready.len() + s.line.len() < N_TTY_BUF_SIZE - 1;
    if !l(abi::ICANON) {
        if !room {
            return Effect::None;
        }
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
    // There is always room for the end of a line that has begun.
    if room || c == b'\n' && !s.line.is_empty() {
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

    /// Raw mode with neither a minimum nor a time to wait: reading is asking.
    fn polls_by_reading(&self) -> bool {
        let tm = self.state.lock().termios;
        tm.lflag & abi::ICANON == 0 && tm.cc[abi::VMIN as usize] == 0 && tm.cc[abi::VTIME as usize] == 0
    }

    /// Up to `max` bytes of what can be read, and whether the call is over with them.
    fn take(&self, max: usize) -> (Vec<u8>, bool) {
        let mut s = self.state.lock();
        if s.ready.is_empty() {
            s.eofs = s.eofs.saturating_sub(1);
            return (Vec::new(), true);
        }
        let canon = s.termios.lflag & abi::ICANON != 0;
        let mut n = s.ready.len().min(max);
        let line = if canon { s.ready.iter().take(n).position(|&c| c == b'\n') } else { None };
        if let Some(i) = line {
            n = i + 1;
        }
        (s.ready.drain(..n).collect(), line.is_some())
    }

    /// A hangup: what was typed is lost, and whoever waits for more is woken.
    pub(super) fn flush_and_wake(&self) {
        let mut s = self.state.lock();
        s.ready.clear();
        s.line.clear();
        s.eofs = 0;
        drop(s);
        self.wait.wake_up();
    }
}

/// An open terminal.
pub struct TtyFile {
    tty: &'static Tty,
    /// How often the line had been hung up when this was opened; `None`: no hangup ends it.
    opened_at: Option<u32>,
}

impl TtyFile {
    /// The terminal until it is hung up.
    pub fn new(tty: &'static Tty) -> Self {
        Self { tty, opened_at: Some(tty.hangups.load(Ordering::Relaxed)) }
    }
    /// The console, which outlives hangups (Linux 6.1, drivers/tty/tty_io.c, `__tty_hangup`).
    pub const fn console(tty: &'static Tty) -> Self {
        Self { tty, opened_at: None }
    }
    fn hung_up(&self) -> bool {
        self.opened_at.is_some_and(|n| n != self.tty.hangups.load(Ordering::Relaxed))
    }
}

impl FileOps for TtyFile {
    fn read(&self, f: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        if self.hung_up() {
            return Ok(0);
        }
        let t = self.tty;
        t.check_foreground(abi::SIGTTIN)?;
        if to.count() == 0 {
            return Ok(0);
        }
        if !t.readable() {
            if t.polls_by_reading() {
                return Ok(0);
            }
            if f.nonblock() {
                return Err(EAGAIN);
            }
            t.wait.wait_event_interruptible(|| t.readable() || self.hung_up())?;
            if self.hung_up() {
                return Ok(0);
            }
        }
        let mut done = 0;
        loop {
            let (chunk, line_ends) = t.take(to.count().min(256));
            let n = to.copy_to(&chunk);
            done += n;
            if n < chunk.len() {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            if line_ends || chunk.len() < 256 || to.count() == 0 {
                return Ok(done);
            }
        }
    }

    fn write(&self, _: &File, from: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        let t = self.tty;
        let tm = t.state.lock().termios;
        if self.hung_up() {
            return Err(EIO);
        }
        if tm.lflag & abi::TOSTOP != 0 {
            t.check_foreground(abi::SIGTTOU)?;
        }
        let translate = tm.oflag & (abi::OPOST | abi::ONLCR) == abi::OPOST | abi::ONLCR;
        let mut chunk = [0u8; 256];
        let mut done = 0;
        while from.count() != 0 {
            let want = from.count().min(chunk.len());
            let n = from.copy_from(&mut chunk[..want]);
            if translate {
                p8250::console_write(t.port, &chunk[..n]);
            } else {
                p8250::write(t.port, &chunk[..n]);
            }
            done += n;
            if n < want {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            if from.count() != 0 && signal_pending(&current()) {
                return Ok(done);
            }
            cond_resched();
        }
        Ok(done)
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> u32 {
        table.wait_static(&self.tty.wait);
        let out = poll::OUT | poll::WRNORM;
        if self.hung_up() {
            return out | poll::IN | poll::RDNORM | poll::ERR | poll::HUP;
        }
        if self.tty.readable() { out | poll::IN | poll::RDNORM } else { out }
    }

    fn ioctl(&self, _: &File, cmd: u32, arg: usize) -> Result<usize> {
        if self.hung_up() {
            return Err(if cmd == TIOCSPGRP { ENOTTY } else { EIO });
        }
        super::tty_ioctl::ioctl(self.tty, cmd, arg)
    }

    fn seek(&self, _: &File, _: i64, _: u32) -> Result<u64> {
        Err(ESPIPE)
    }

    fn seekable(&self) -> bool {
        false
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
