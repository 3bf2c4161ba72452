// SPDX-License-Identifier: GPL-2.0-only
//! What a terminal makes of what is written to it (Linux 6.1, `drivers/tty/n_tty.c`,
//! `do_output_char`, `process_output_block`): newlines, tabs, columns; and how it gets to the
//! other end.

use super::n_tty::{Driver, Termios, Tty};
use super::serial::p8250;
use crate::errno::{EAGAIN, EIO, ERESTARTSYS, Errno, Result};
use crate::fs::fasync::Band;
use crate::kernel::sched::yield_now;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::current;
use alloc::collections::VecDeque;
use arrayvec::ArrayVec;
use linux_raw_sys::general as abi;

/// Most bytes that one byte becomes: a tab.
const TAB: u32 = 8;
/// Most bytes that are on their way to a pseudoterminal's master.
pub const QUEUE_SIZE: usize = 8192;
/// Bytes that go to it at once.
const CHUNK: usize = 256;

/// Where the cursor is, and what has not been taken yet.
#[derive(Default)]
pub(super) struct Output {
    pub(super) column: u32,
    /// Where the line that is being edited begins.
    pub(super) canon_column: u32,
    /// Nothing goes out (`^S`).
    pub(super) stopped: bool,
    /// What a pseudoterminal's master has not read.
    pub(super) queue: VecDeque<u8>,
}

impl Output {
    pub(super) const fn new() -> Self {
        Self { column: 0, canon_column: 0, stopped: false, queue: VecDeque::new() }
    }
}

/// Whether a byte goes on with a character that has begun.
fn is_continuation(tm: &Termios, c: u8) -> bool {
    tm.iflag & abi::IUTF8 != 0 && c & 0xc0 == 0x80
}

/// Hands over what one byte becomes, and moves the cursor (`do_output_char`).
pub(super) fn opost(tm: &Termios, at: (&mut u32, &mut u32), c: u8, put: &mut dyn FnMut(&[u8])) {
    let o = |f: u32| tm.oflag & f != 0;
    let (column, canon_column) = at;
    match c {
        b'\n' => {
            if o(abi::ONLRET) {
                *column = 0;
            }
            if o(abi::ONLCR) {
                (*column, *canon_column) = (0, 0);
                return put(b"\r\n");
            }
            *canon_column = *column;
        }
        b'\r' if o(abi::ONOCR) && *column == 0 => return,
        b'\r' if o(abi::OCRNL) => {
            if o(abi::ONLRET) {
                (*column, *canon_column) = (0, 0);
            }
            return put(b"\n");
        }
        b'\r' => (*column, *canon_column) = (0, 0),
        b'\t' => {
            let spaces = TAB - (*column & (TAB - 1));
            *column += spaces;
            if tm.oflag & abi::TABDLY == abi::XTABS {
                return put(&b"        "[..spaces as usize]);
            }
        }
        8 => *column = column.saturating_sub(1),
        c if c < 32 || c == 127 => {}
        c => {
            let c = if o(abi::OLCUC) { c.to_ascii_uppercase() } else { c };
            *column += u32::from(!is_continuation(tm, c));
            return put(&[c]);
        }
    }
    put(&[c]);
}

/// Most bytes that this one becomes.
const fn most(c: u8) -> usize {
    match c {
        b'\t' => TAB as usize,
        b'\n' => 2,
        _ => 1,
    }
}

impl Tty {
    /// Sends bytes as the settings have them: how many of them went, and what stopped it.
    /// Whoever is at the other end may be slow: nothing is lost, and others run meanwhile.
    pub(super) fn send(&self, bytes: &[u8], nonblock: bool, gone: &dyn Fn() -> bool) -> (usize, Result) {
        let mut done = 0;
        while done < bytes.len() {
            let (chunk, taken, columns) = self.process(&bytes[done..]);
            if let Err(e) = self.deliver(&chunk, nonblock, gone) {
                return (done, Err(e));
            }
            let mut s = self.state.lock();
            (s.out.column, s.out.canon_column) = columns;
            done += taken;
        }
        (done, Ok(()))
    }

    /// What goes out for the first of these bytes, how many they are, and where the cursor is then.
    fn process(&self, bytes: &[u8]) -> (ArrayVec<u8, CHUNK>, usize, (u32, u32)) {
        let limit = match self.driver {
            Driver::Serial(_) => p8250::FIFO_SIZE,
            Driver::Pty(_) => CHUNK,
        };
        let s = self.state.lock();
        let (tm, mut column, mut canon) = (s.termios, s.out.column, s.out.canon_column);
        drop(s);
        let mut chunk = ArrayVec::new();
        let mut taken = 0;
        for &c in bytes {
            if chunk.len() + most(c) > limit {
                break;
            }
            if tm.oflag & abi::OPOST == 0 {
                chunk.push(c);
            } else {
                opost(&tm, (&mut column, &mut canon), c, &mut |b| chunk.extend(b.iter().copied()));
            }
            taken += 1;
        }
        (chunk, taken, (column, canon))
    }

    /// Gives bytes to the other end as soon as it takes them all.
    fn deliver(&self, chunk: &[u8], nonblock: bool, gone: &dyn Fn() -> bool) -> Result {
        loop {
            if gone() {
                return Err(EIO);
            }
            let stopped = self.state.lock().out.stopped;
            if !stopped && self.try_deliver(chunk) {
                return Ok(());
            }
            if nonblock && (stopped || matches!(self.driver, Driver::Pty(_))) {
                return Err(EAGAIN);
            }
            if signal_pending(&current()) {
                return Err(ERESTARTSYS);
            }
            if stopped || matches!(self.driver, Driver::Pty(_)) {
                self.out_wait.wait_event_interruptible(|| gone() || self.has_room(chunk.len()))?;
            } else {
                yield_now();
            }
        }
    }

    fn has_room(&self, n: usize) -> bool {
        let s = self.state.lock();
        let room = matches!(self.driver, Driver::Serial(_)) || s.out.queue.len() + n <= QUEUE_SIZE;
        !s.out.stopped && room
    }

    /// Sends one byte as it is, past what waits.
    pub(super) fn send_raw(&self, c: u8) -> Result {
        self.deliver(&[c], true, &|| false)
    }

    /// Whether a write would not wait.
    pub(super) fn writable(&self) -> bool {
        self.has_room(1)
    }

    fn try_deliver(&self, chunk: &[u8]) -> bool {
        match self.driver {
            Driver::Serial(port) => p8250::try_write(port, chunk),
            Driver::Pty(_) => {
                let mut s = self.state.lock();
                if s.out.queue.len() + chunk.len() > QUEUE_SIZE {
                    return false;
                }
                // Room for all of it was made with the terminal.
                s.out.queue.extend(chunk);
                drop(s);
                self.master_wait.wake_up();
                self.master_fasync.kill(Band::In);
                true
            }
        }
    }

    /// Output goes on or stands (`start_tty`, `stop_tty`).
    pub(super) fn set_stopped(&self, stopped: bool) {
        let was = core::mem::replace(&mut self.state.lock().out.stopped, stopped);
        if was && !stopped {
            self.out_wait.wake_up();
        }
    }
}

/// What `write` says of what went out and what stopped it.
pub(super) fn written(done: usize, stopped_by: Errno) -> Result<usize> {
    if done == 0 { Err(stopped_by) } else { Ok(done) }
}

#[cfg(test)]
mod tests {
    use super::super::n_tty::STD_TERMIOS;
    use super::*;
    use alloc::vec::Vec;

    fn shown(oflag: u32, text: &[u8]) -> (Vec<u8>, u32) {
        let tm = Termios { oflag: abi::OPOST | oflag, ..STD_TERMIOS };
        let (mut out, mut column, mut canon) = (Vec::new(), 0, 0);
        for &c in text {
            opost(&tm, (&mut column, &mut canon), c, &mut |b| out.extend_from_slice(b));
        }
        (out, column)
    }

    #[test]
    fn newlines_returns_and_tabs() {
        assert_eq!(shown(abi::ONLCR, b"ab\nc"), (b"ab\r\nc".to_vec(), 1));
        assert_eq!(shown(0, b"ab\nc"), (b"ab\nc".to_vec(), 3));
        assert_eq!(shown(abi::ONLRET, b"ab\nc"), (b"ab\nc".to_vec(), 1));
        assert_eq!(shown(abi::ONOCR, b"\rab\rc"), (b"ab\rc".to_vec(), 1));
        assert_eq!(shown(abi::OCRNL, b"ab\rc"), (b"ab\nc".to_vec(), 3));
        assert_eq!(shown(abi::XTABS, b"a\tb"), (b"a       b".to_vec(), 9));
        assert_eq!(shown(0, b"a\tb\x08"), (b"a\tb\x08".to_vec(), 8));
        assert_eq!(shown(abi::OLCUC, b"aB1"), (b"AB1".to_vec(), 3));
    }
}
