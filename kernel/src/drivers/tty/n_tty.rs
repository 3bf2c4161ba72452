// SPDX-License-Identifier: GPL-2.0-only
//! The line discipline (Linux 6.1, `drivers/tty/n_tty.c`): a terminal with its settings, what comes in
//! and what is read. What a key does is in [`super::n_tty_input`].

use super::n_tty_input::{Effect, Input, input};
use super::n_tty_output::{Output, QUEUE_SIZE, opost};
use super::pty::{self, Pty};
use super::serial::{self, p8250};
use crate::errno::{ENOMEM, Result};
use crate::fs::fasync::{Band, FasyncList};
use crate::fs::inode::Dev;
use crate::fs::select::PollTable;
use crate::kernel::signal::kill_pgrp;
use crate::kernel::wait::WaitQueue;
use crate::locking::IrqLock;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use linux_raw_sys::general as abi;
use zerocopy::{FromBytes, Immutable, IntoBytes};

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

/// The settings a terminal on a serial port starts with (`tty_std_termios`; `serial_core.c`,
/// `uart_register_driver`).
pub(super) const STD_TERMIOS: Termios = Termios {
    iflag: abi::ICRNL | abi::IXON,
    oflag: abi::OPOST | abi::ONLCR,
    cflag: abi::B9600 | abi::CS8 | abi::CREAD | abi::HUPCL | abi::CLOCAL,
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
    pub(super) input: Input,
    pub(super) out: Output,
    pub(super) winsize: [u16; 4],
    /// Only root may open it (`TIOCEXCL`).
    pub(super) exclusive: bool,
    /// The master is in packet mode, and is to be told this.
    pub(super) packet: Option<u8>,
}

impl State {
    pub(super) const fn new(termios: Termios) -> Self {
        Self {
            termios,
            input: Input::new(),
            out: Output::new(),
            winsize: [0; 4],
            exclusive: false,
            packet: None,
        }
    }
}

/// What is at the other end of the line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// A serial port.
    Serial(u32),
    /// The master of a pseudoterminal.
    Pty(u32),
}

/// A terminal.
pub struct Tty {
    pub(super) driver: Driver,
    pub(super) state: IrqLock<State>,
    /// Readers, and whoever polls.
    pub(super) wait: WaitQueue,
    /// Writers that the other end keeps waiting; of a pseudoterminal also who writes to the
    /// master.
    pub(super) out_wait: WaitQueue,
    /// Whoever reads the master of a pseudoterminal.
    pub(super) master_wait: WaitQueue,
    /// Files of the master whose owners want to be told of output.
    pub(super) master_fasync: FasyncList,
    /// Foreground process group.
    pub(super) pgrp: AtomicI32,
    pub(super) session: AtomicI32,
    /// How often it was hung up: files opened before the last time are no good any more.
    pub(super) hangups: AtomicU32,
    /// How many files of it are open.
    pub(super) opens: AtomicU32,
    /// It was open before: who has the master sees the end when it is not any more.
    pub(super) was_open: AtomicBool,
    /// Files whose owners want to be told of input.
    pub(super) fasync: FasyncList,
}

const fn new_tty(driver: Driver, termios: Termios) -> Tty {
    Tty {
        driver,
        state: IrqLock::new(State::new(termios)),
        wait: WaitQueue::new(),
        out_wait: WaitQueue::new(),
        master_wait: WaitQueue::new(),
        master_fasync: FasyncList::new(),
        pgrp: AtomicI32::new(0),
        session: AtomicI32::new(0),
        hangups: AtomicU32::new(0),
        opens: AtomicU32::new(0),
        was_open: AtomicBool::new(false),
        fasync: FasyncList::new(),
    }
}

const fn new_port(port: u32) -> Tty {
    new_tty(Driver::Serial(port), STD_TERMIOS)
}

static TTYS: [Tty; 4] = [new_port(0), new_port(1), new_port(2), new_port(3)];

/// The settings of a new pseudoterminal (Linux 6.1, `drivers/tty/pty.c`, `unix98_pty_init`).
const PTY_TERMIOS: Termios = Termios { cflag: abi::B38400 | abi::CS8 | abi::CREAD, ..STD_TERMIOS };

/// A terminal that somebody has: a port's, which is always there, or a pseudoterminal.
#[derive(Clone)]
pub enum TtyRef {
    /// The terminal on a serial port.
    Port(&'static Tty),
    /// A pseudoterminal's end that programs see.
    Pty(Arc<Pty>),
}

impl Deref for TtyRef {
    type Target = Tty;
    fn deref(&self) -> &Tty {
        match self {
            Self::Port(t) => t,
            Self::Pty(p) => &p.tty,
        }
    }
}

impl TtyRef {
    /// Who polls is to be woken by one of its queues.
    pub(super) fn poll_wait(&self, table: &mut PollTable, which: usize) {
        match self {
            Self::Port(t) => table.wait_static(t.queue(which)),
            Self::Pty(p) => table.wait_of(p, which),
        }
    }
}

/// A terminal's queues, for who polls.
pub(super) const WAIT: usize = 0;
pub(super) const OUT_WAIT: usize = 1;
pub(super) const MASTER_WAIT: usize = 2;

/// The terminal with this device number.
pub fn find(dev: Dev) -> Option<TtyRef> {
    match serial::port(dev) {
        Some(port) => Some(TtyRef::Port(tty(port))),
        None => pty::index_of(dev).and_then(pty::get).map(TtyRef::Pty),
    }
}

/// The terminal on a serial port.
pub fn tty(port: u32) -> &'static Tty {
    &TTYS[port as usize & 3]
}

/// A byte has come in; from the port's interrupt.
pub fn receive(port: u32, c: u8) {
    tty(port).receive(c);
}

impl Tty {
    /// [`WAIT`], [`OUT_WAIT`] or [`MASTER_WAIT`].
    pub(super) fn queue(&self, which: usize) -> &WaitQueue {
        [&self.wait, &self.out_wait, &self.master_wait][which]
    }

    /// A new terminal with a master.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn new_pty(index: u32) -> Result<Self> {
        let tty = new_tty(Driver::Pty(index), PTY_TERMIOS);
        let mut queue = VecDeque::new();
        queue.try_reserve_exact(QUEUE_SIZE).map_err(|_| ENOMEM)?;
        tty.state.lock().out.queue = queue;
        Ok(tty)
    }

    /// A byte has come in; may be from an interrupt.
    pub(super) fn receive(&self, c: u8) {
        let (effect, stopped, echoed) = {
            let mut s = self.state.lock();
            let before = s.out.stopped;
            // What is echoed goes where what is written goes.
            let mut queue = core::mem::take(&mut s.out.queue);
            let queued = queue.len();
            if s.input.is_between_lines() {
                // A line that is edited begins here.
                s.out.canon_column = s.out.column;
            }
            let mut at = (s.out.column, s.out.canon_column);
            let tm = s.termios;
            let effect = input(&mut s, c, &mut |echoed| {
                for &b in echoed {
                    if tm.oflag & abi::OPOST == 0 {
                        self.echo(&mut queue, &[b]);
                    } else {
                        opost(&tm, (&mut at.0, &mut at.1), b, &mut |out| self.echo(&mut queue, out));
                    }
                }
            });
            (s.out.column, s.out.canon_column) = at;
            if matches!(effect, Effect::Signal(_)) && tm.lflag & abi::NOFLSH == 0 {
                // (`isig`, `n_tty_packet_mode_flush`; `pty.c`, `pty_flush_buffer`.)
                s.packet = s.packet.map(|p| p | pty::FLUSHREAD | pty::FLUSHWRITE);
            }
            let echoed = queue.len() > queued;
            s.out.queue = queue;
            (effect, (before, s.out.stopped), echoed)
        };
        if let Driver::Pty(_) = self.driver {
            self.master_wait.wake_up();
            if echoed {
                self.master_fasync.kill(Band::In);
            }
        }
        if stopped == (true, false) {
            self.out_wait.wake_up();
        }
        match effect {
            Effect::None => {}
            Effect::Ready => {
                self.wait.wake_up();
                self.fasync.kill(Band::In);
            }
            Effect::Signal(sig) => {
                let pgrp = self.pgrp.load(Ordering::Relaxed);
                if pgrp != 0 {
                    let _ = kill_pgrp(pgrp, sig, true);
                }
                self.wait.wake_up();
            }
        }
    }

    /// What there is no room for is not echoed.
    fn echo(&self, queue: &mut VecDeque<u8>, bytes: &[u8]) {
        match self.driver {
            Driver::Serial(port) => p8250::write(port, bytes),
            Driver::Pty(_) if queue.len() + bytes.len() <= QUEUE_SIZE => queue.extend(bytes),
            Driver::Pty(_) => {}
        }
    }

    /// Its device number.
    pub(super) fn dev(&self) -> Dev {
        match self.driver {
            Driver::Serial(port) => serial::dev(port),
            Driver::Pty(index) => pty::slave_dev(index),
        }
    }

    /// Everybody has closed the terminal again: its master reads to the end, and no further
    /// (`TTY_OTHER_CLOSED`).
    pub(super) fn other_closed(&self) -> bool {
        self.was_open.load(Ordering::Relaxed) && self.opens.load(Ordering::Relaxed) == 0
    }
}

impl Tty {
    /// Whether there is something to read: a line, or `least` bytes where there are no lines.
    pub(super) fn has_input(&self, least: usize) -> bool {
        let s = self.state.lock();
        if s.termios.lflag & abi::ICANON != 0 {
            return !s.input.has_no_line();
        }
        s.input.len() >= least.max(1)
    }

    /// Whether a read would give something.
    pub(super) fn readable(&self) -> bool {
        self.has_input(1)
    }

    /// The same for who polls: where the settings want more bytes at least, without a limit of time,
    /// that many (`input_available_p`).
    pub(super) fn poll_readable(&self) -> bool {
        let cc = self.state.lock().termios.cc;
        let [least, time] = [abi::VMIN, abi::VTIME].map(|i| cc[i as usize]);
        self.has_input(if time == 0 { least.into() } else { 1 })
    }

    /// Up to `max` bytes of what can be read, and whether they end a line.
    pub(super) fn take(&self, max: usize) -> (Vec<u8>, bool) {
        let mut s = self.state.lock();
        let canon = s.termios.lflag & abi::ICANON != 0;
        s.input.take(max, canon)
    }

    /// How much a read would give: of lines, none that is not whole (`inq_canon`).
    pub(super) fn chars_ready(&self) -> usize {
        self.state.lock().input.len()
    }

    /// What was typed is lost (`tty_buffer_flush`).
    pub(super) fn flush_input(&self) {
        let mut s = self.state.lock();
        s.input.clear();
        s.input.held = VecDeque::new();
    }

    /// A hangup: what was typed is lost, and whoever waits for more is woken.
    pub(super) fn flush_and_wake(&self) {
        self.flush_input();
        self.wait.wake_up();
    }
}
