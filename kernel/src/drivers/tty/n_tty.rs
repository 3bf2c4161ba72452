// SPDX-License-Identifier: GPL-2.0-only
//! The line discipline (Linux 6.1, `drivers/tty/n_tty.c`): editing lines, echo, the keys
//! that send signals, newline translation.

use super::n_tty_output::{Output, QUEUE_SIZE, opost};
use super::pty;
use super::serial::{self, p8250};
use crate::errno::{ENOMEM, Result};
use crate::fs::fasync::{Band, FasyncList};
use crate::fs::inode::Dev;
use crate::kernel::signal::kill_pgrp;
use crate::kernel::wait::WaitQueue;
use crate::locking::IrqLock;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use linux_raw_sys::general as abi;
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

#[derive(Default)]
pub(super) struct Input {
    /// The line being edited.
    line: VecDeque<u8>,
    /// What `read` may take.
    ready: VecDeque<u8>,
    /// How much of it each line has; one that ended with the end-of-file key has no newline,
    /// and may be empty.
    lines: VecDeque<usize>,
    /// The next key is an ordinary one.
    lnext: bool,
    /// What was typed when there was no more room, by the master of a pseudoterminal.
    pub(super) held: VecDeque<u8>,
}

impl Input {
    const fn new() -> Self {
        Self {
            line: VecDeque::new(),
            ready: VecDeque::new(),
            lines: VecDeque::new(),
            lnext: false,
            held: VecDeque::new(),
        }
    }
    /// What is there goes, but for what has no room yet (`reset_buffer_flags`).
    pub(super) fn clear(&mut self) {
        self.line.clear();
        self.ready.clear();
        self.lines.clear();
    }
    /// Bytes that could be read.
    pub(super) fn len(&self) -> usize {
        self.ready.len()
    }
    pub(super) fn has_room(&self) -> bool {
        self.ready.len() + self.line.len() < N_TTY_BUF_SIZE - 1 && self.lines.len() < N_TTY_BUF_SIZE
    }
    /// Whether no line is whole.
    pub(super) fn has_no_line(&self) -> bool {
        self.lines.is_empty()
    }
    /// The line is whole.
    fn end_line(&mut self) {
        self.lines.push_back(self.line.len());
        self.ready.extend(self.line.drain(..));
    }
    /// From lines to single bytes or back: what there is can be read as it is
    /// (`n_tty_set_termios`).
    pub(super) fn change_mode(&mut self) {
        self.ready.extend(self.line.drain(..));
        self.lines.clear();
        if !self.ready.is_empty() {
            self.lines.push_back(self.ready.len());
        }
    }
    /// Up to `max` bytes, and whether they end a line.
    fn take(&mut self, max: usize, canon: bool) -> (Vec<u8>, bool) {
        let first = if canon { self.lines.front().copied().unwrap_or(0) } else { self.ready.len() };
        let n = first.min(max);
        let ends = canon && n == first;
        if ends {
            self.lines.pop_front();
        } else if canon && let Some(left) = self.lines.front_mut() {
            *left -= n;
        }
        (self.ready.drain(..n).collect(), ends)
    }
}

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
    const fn new(termios: Termios) -> Self {
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

/// The terminal with this device number.
pub fn find(dev: Dev) -> Option<&'static Tty> {
    match serial::port(dev) {
        Some(port) => Some(tty(port)),
        None => pty::index_of(dev).and_then(pty::get).map(|p| &p.tty),
    }
}

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
    tty(port).receive(c);
}

impl Tty {
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

    /// As it was when it was new; whoever still had it open has lost it.
    pub(super) fn reset(&self) {
        self.hangups.fetch_add(1, Ordering::Relaxed);
        self.was_open.store(false, Ordering::Relaxed);
        let mut s = self.state.lock();
        let mut queue = core::mem::take(&mut s.out.queue);
        queue.clear();
        *s = State::new(PTY_TERMIOS);
        s.out.queue = queue;
    }

    /// A byte has come in; may be from an interrupt.
    pub(super) fn receive(&self, c: u8) {
        let (effect, stopped, echoed) = {
            let mut s = self.state.lock();
            let before = s.out.stopped;
            // What is echoed goes where what is written goes.
            let mut queue = core::mem::take(&mut s.out.queue);
            let queued = queue.len();
            if s.input.line.is_empty() {
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

fn input(s: &mut State, c: u8, echo: &mut dyn FnMut(&[u8])) -> Effect {
    let tm = s.termios;
    let c = if tm.iflag & abi::ISTRIP != 0 { c & 0x7f } else { c };
    let lower = tm.iflag & abi::IUCLC != 0 && tm.lflag & abi::IEXTEN != 0;
    let c = if lower { c.to_ascii_lowercase() } else { c };
    if core::mem::take(&mut s.input.lnext) {
        return ordinary(s, c, echo);
    }
    let l = |f: u32| tm.lflag & f != 0;
    let is = |i: u32, c: u8| tm.cc[i as usize] == c && c != 0;
    if tm.iflag & abi::IXON != 0 {
        if is(abi::VSTART, c) || is(abi::VSTOP, c) {
            s.out.stopped = !is(abi::VSTART, c);
            return Effect::None;
        }
        // The keys that send signals start output too, and with IXANY all do.
        let keys = [abi::VINTR, abi::VQUIT, abi::VSUSP];
        if tm.iflag & abi::IXANY != 0 || l(abi::ISIG) && keys.iter().any(|&k| is(k, c)) {
            s.out.stopped = false;
        }
    }
    if l(abi::ISIG) {
        let keys = [(abi::VINTR, abi::SIGINT), (abi::VQUIT, abi::SIGQUIT), (abi::VSUSP, abi::SIGTSTP)];
        if let Some(&(_, sig)) = keys.iter().find(|k| is(k.0, c)) {
            if !l(abi::NOFLSH) {
                s.input.clear();
            }
            echo_char(&tm, c, echo);
            return Effect::Signal(sig as i32);
        }
    }
    let c = match c {
        b'\r' if tm.iflag & abi::IGNCR != 0 => return Effect::None,
        b'\r' if tm.iflag & abi::ICRNL != 0 => b'\n',
        b'\n' if tm.iflag & abi::INLCR != 0 => b'\r',
        c => c,
    };
    if l(abi::ICANON) { edit(s, c, echo) } else { ordinary(s, c, echo) }
}

/// A key while lines are edited (`n_tty_receive_char_special`).
fn edit(s: &mut State, c: u8, echo: &mut dyn FnMut(&[u8])) -> Effect {
    let tm = s.termios;
    let is = |i: u32| tm.cc[i as usize] == c && c != 0;
    let extended = tm.lflag & abi::IEXTEN != 0;
    if is(abi::VERASE) {
        erase(s, |_, erased| erased == 1, echo);
    } else if is(abi::VKILL) {
        erase(s, |_, _| false, echo);
    } else if is(abi::VWERASE) && extended {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let mut seen = false;
        // Back over what is no word, then over the word.
        let over = move |b: Option<u8>, _| {
            let in_word = b.is_some_and(word);
            seen |= in_word;
            seen && !in_word
        };
        erase(s, over, echo);
    } else if is(abi::VLNEXT) && extended {
        s.input.lnext = true;
        if tm.lflag & (abi::ECHO | abi::ECHOCTL) == abi::ECHO | abi::ECHOCTL {
            echo(b"^\x08");
        }
    } else if is(abi::VREPRINT) && extended && tm.lflag & abi::ECHO != 0 {
        echo_char(&tm, c, echo);
        echo(b"\n");
        s.input.line.iter().for_each(|&b| echo_char(&tm, b, echo));
    } else if is(abi::VEOF) {
        if s.input.lines.len() < N_TTY_BUF_SIZE {
            s.input.end_line();
        }
        return Effect::Ready;
    } else {
        return ordinary(s, c, echo);
    }
    Effect::None
}

/// Takes bytes off the line's end until `stop` says so of the byte that is last now and of how
/// many went (`eraser`).
fn erase(s: &mut State, mut stop: impl FnMut(Option<u8>, usize) -> bool, echo: &mut dyn FnMut(&[u8])) {
    let tm = s.termios;
    let mut erased = 0;
    while !s.input.line.is_empty() && !stop(s.input.line.back().copied(), erased) {
        let c = s.input.line.pop_back().unwrap_or(0);
        erased += 1;
        if tm.lflag & abi::ECHO != 0 && c == b'\t' {
            (0..tab_width(s)).for_each(|_| echo(b"\x08"));
        } else if tm.lflag & abi::ECHO != 0 {
            let control = c < 32 && c != b'\t' || c == 127;
            echo(if control && tm.lflag & abi::ECHOCTL != 0 { b"\x08 \x08\x08 \x08" } else { b"\x08 \x08" });
        }
    }
}

/// How far back the tab goes that stood behind what is left of the line (`__process_echoes`,
/// `ECHO_OP_ERASE_TAB`).
fn tab_width(s: &State) -> u32 {
    let shown = |&c: &u8| if c < 32 && s.termios.lflag & abi::ECHOCTL != 0 || c == 127 { 2 } else { 1 };
    let since: u32 = s.input.line.iter().rev().take_while(|&&c| c != b'\t').map(shown).sum();
    let from_tab = s.input.line.contains(&b'\t');
    let column = if from_tab { since } else { since + s.out.canon_column };
    8 - (column & 7)
}

/// A byte that means itself, or ends a line.
fn ordinary(s: &mut State, c: u8, echo: &mut dyn FnMut(&[u8])) -> Effect {
    let tm = s.termios;
    let room = s.input.has_room();
    let canon = tm.lflag & abi::ICANON != 0;
    if !room && canon && tm.iflag & abi::IMAXBEL != 0 && c != b'\n' {
        echo(b"\x07");
    }
    let ends =
        canon && (c == b'\n' || c != 0 && [abi::VEOL, abi::VEOL2].iter().any(|&i| tm.cc[i as usize] == c));
    if tm.lflag & abi::ECHO != 0 || canon && c == b'\n' && tm.lflag & abi::ECHONL != 0 {
        echo_char(&tm, c, echo);
    }
    if !canon {
        if room {
            s.input.ready.push_back(c);
        }
        return Effect::Ready;
    }
    // There is always room for the end of a line that has begun.
    if room || ends && !s.input.line.is_empty() {
        s.input.line.push_back(c);
    }
    if !ends {
        return Effect::None;
    }
    s.input.end_line();
    Effect::Ready
}

/// Shows a key: control characters as `^X` (`echo_char`).
fn echo_char(tm: &Termios, c: u8, echo: &mut dyn FnMut(&[u8])) {
    if tm.lflag & (abi::ECHO | abi::ECHONL) == 0 {
        return;
    }
    let control = c < 32 && c != b'\t' || c == 127;
    match c {
        c if control && c != b'\n' && tm.lflag & abi::ECHOCTL != 0 => echo(&[b'^', c ^ 0x40]),
        c => echo(&[c]),
    }
}

impl Tty {
    /// Whether there is something to read: a line, or `least` bytes where there are no lines.
    pub(super) fn has_input(&self, least: usize) -> bool {
        let s = self.state.lock();
        if s.termios.lflag & abi::ICANON != 0 {
            return !s.input.lines.is_empty();
        }
        s.input.ready.len() >= least.max(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State::new(STD_TERMIOS)
    }

    fn type_in(s: &mut State, keys: &[u8]) -> (Vec<u8>, Option<i32>) {
        let mut echo = Vec::new();
        let mut sig = None;
        for &k in keys {
            if let Effect::Signal(n) = input(s, k, &mut |b| echo.extend(b)) {
                sig = Some(n);
            }
        }
        (echo, sig)
    }

    /// What one read gives after some keys.
    fn read(s: &mut State, max: usize) -> Vec<u8> {
        let canon = s.termios.lflag & abi::ICANON != 0;
        s.input.take(max, canon).0
    }

    #[test]
    fn lines_are_edited_before_they_are_read() {
        let mut s = state();
        let (echo, _) = type_in(&mut s, b"ab\x7fc");
        assert!(s.input.ready.is_empty());
        assert_eq!(echo, b"ab\x08 \x08c");
        type_in(&mut s, b"\r");
        assert_eq!(read(&mut s, 99), b"ac\n");
        // Backspace is a character like others, shown as one.
        assert_eq!(type_in(&mut s, b"x\x08\n").0, b"x^H\n");
        assert_eq!(read(&mut s, 99), b"x\x08\n");
        assert_eq!(type_in(&mut s, b"x\x01\x7f\x15y\n").0, b"x^A\x08 \x08\x08 \x08\x08 \x08y\n");
        assert_eq!(read(&mut s, 99), b"y\n");
    }

    #[test]
    fn keys_send_signals_and_ends_of_file() {
        let mut s = state();
        assert_eq!(type_in(&mut s, b"x\x03").1, Some(2));
        assert!(s.input.line.is_empty());
        assert_eq!(type_in(&mut s, b"\x1c").1, Some(3));
        // An end of file comes where it was typed.
        type_in(&mut s, b"abc\n\x04de\x04f\n");
        let reads: [Vec<u8>; 4] = core::array::from_fn(|_| read(&mut s, 99));
        assert_eq!(reads, [&b"abc\n"[..], b"", b"de", b"f\n"].map(<[u8]>::to_vec));
    }

    #[test]
    fn lines_are_read_in_parts() {
        let mut s = state();
        type_in(&mut s, b"abcd\nef\n");
        assert_eq!((read(&mut s, 3), read(&mut s, 3)), (b"abc".to_vec(), b"d\n".to_vec()));
        assert_eq!(read(&mut s, 3), b"ef\n");
    }

    #[test]
    fn words_go_and_keys_lose_their_meaning() {
        let mut s = state();
        type_in(&mut s, b"one two_2  \x17three\n");
        assert_eq!(read(&mut s, 99), b"one three\n");
        assert_eq!(type_in(&mut s, b"a\x16\x03b\n").1, None);
        assert_eq!(read(&mut s, 99), b"a\x03b\n");
        assert_eq!(type_in(&mut s, b"ab\x12\n").0, b"ab^R\nab\n");
    }

    #[test]
    fn returns_and_newlines() {
        let mut s = state();
        s.termios.iflag |= abi::IGNCR | abi::ISTRIP;
        type_in(&mut s, b"x\ry\xfa\n");
        assert_eq!(read(&mut s, 99), b"xyz\n");
        s.termios.lflag &= !abi::ICANON;
        s.input.change_mode();
        s.termios.iflag = abi::INLCR;
        type_in(&mut s, b"a\nb\x04");
        assert_eq!(read(&mut s, 99), b"a\rb\x04");
    }

    #[test]
    fn what_is_not_read_does_not_grow() {
        let mut s = state();
        for _ in 0..3 * N_TTY_BUF_SIZE {
            type_in(&mut s, b"x\x04\x04");
        }
        assert!(s.input.ready.len() <= N_TTY_BUF_SIZE && s.input.lines.len() <= N_TTY_BUF_SIZE);
        s.input.clear();
        type_in(&mut s, &[b'y'; 2 * N_TTY_BUF_SIZE]);
        type_in(&mut s, b"\n");
        let line = read(&mut s, 9999);
        assert!(line.len() <= N_TTY_BUF_SIZE && line.ends_with(b"y\n"));
    }
}
