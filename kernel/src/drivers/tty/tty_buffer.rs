// SPDX-License-Identifier: GPL-2.0-only
//! What was typed at a pseudoterminal's master and has no place in the line discipline yet
//! (Linux 6.1, `drivers/tty/tty_buffer.c`): it goes there as soon as somebody reads.

use super::n_tty::{State, Tty};
use linux_raw_sys::general::ICANON;

/// Most bytes that wait (Linux 6.1, `drivers/tty/pty.c`, `tty_buffer_set_limit`).
const LIMIT: usize = 8192;

impl State {
    /// Whether the line discipline takes a byte: a line that is edited any, so that it can be erased
    /// (`n_tty_receive_buf_common`).
    fn has_receive_room(&self) -> bool {
        let i = &self.input;
        i.has_room() || self.termios.lflag & ICANON != 0 && i.has_no_line()
    }
    /// Keeps a byte for later, if there is room for it.
    fn hold(&mut self, c: u8) -> bool {
        let held = &mut self.input.held;
        let room = held.len() < LIMIT && held.try_reserve(1).is_ok();
        if room {
            held.push_back(c);
        }
        room
    }
    /// The next byte that the line discipline takes.
    fn next_held(&mut self) -> Option<u8> {
        if !self.has_receive_room() {
            return None;
        }
        let c = self.input.held.pop_front()?;
        if self.input.held.is_empty() {
            self.input.held.shrink_to(0);
        }
        Some(c)
    }
}

impl Tty {
    /// Bytes are typed at the master: takes what there is room for, and returns how many that are
    /// (`pty_write`).
    pub(super) fn type_in(&self, bytes: &[u8]) -> usize {
        let take = |&c: &u8| {
            let mut s = self.state.lock();
            let now = s.input.held.is_empty() && s.has_receive_room();
            let later = !now && s.hold(c);
            drop(s);
            if now {
                self.receive(c);
            }
            now || later
        };
        bytes.iter().take_while(|c| take(c)).count()
    }

    /// The line discipline may have room again (`flush_to_ldisc`).
    pub(super) fn flush_to_ldisc(&self) {
        let next = || self.state.lock().next_held();
        while let Some(c) = next() {
            self.receive(c);
        }
        self.out_wait.wake_up();
    }

    /// Whether a byte that is typed now would be taken (`pty_write_room`).
    pub(super) fn may_type(&self) -> bool {
        self.state.lock().input.held.len() < LIMIT
    }
}
