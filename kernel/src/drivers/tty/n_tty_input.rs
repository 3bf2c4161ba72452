// SPDX-License-Identifier: GPL-2.0-only
//! What a terminal makes of what is typed (Linux 6.1, `drivers/tty/n_tty.c`, `n_tty_receive_char`,
//! `eraser`, `echo_char`): editing lines, echo, the keys that send signals, newline translation.

use super::n_tty::{State, Termios};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use linux_raw_sys::general as abi;

/// What nobody has read; more is lost.
const N_TTY_BUF_SIZE: usize = 4096;

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
    pub(super) const fn new() -> Self {
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
    /// Whether no line has begun that is edited.
    pub(super) fn is_between_lines(&self) -> bool {
        self.line.is_empty()
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
    pub(super) fn take(&mut self, max: usize, canon: bool) -> (Vec<u8>, bool) {
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

/// What one incoming byte leads to.
pub(super) enum Effect {
    None,
    Ready,
    Signal(i32),
}

/// What a byte that has come in does to the line, and leads to (`n_tty_receive_char`); `echo` shows it.
pub(super) fn input(s: &mut State, c: u8, echo: &mut dyn FnMut(&[u8])) -> Effect {
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

#[cfg(test)]
mod tests {
    use super::super::n_tty::STD_TERMIOS;
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
