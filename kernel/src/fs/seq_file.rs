// SPDX-License-Identifier: GPL-2.0-only
//! Text that the kernel makes for a file (Linux 6.1, `fs/seq_file.c`).

use crate::errno::{ENOMEM, Result};
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// A text being made. How long it gets may be up to a program (a line for each of its
/// mappings), so running out of memory is remembered, not fatal: [`SeqFile::finish`]
/// says so at the end.
pub struct SeqFile {
    text: Vec<u8>,
    overflow: bool,
    /// The first record that is wanted, and how much text.
    from: u64,
    room: usize,
    /// The first that there was no room for.
    next: Option<u64>,
}

impl Default for SeqFile {
    fn default() -> Self {
        Self::new()
    }
}

impl SeqFile {
    /// An empty text.
    pub const fn new() -> Self {
        Self::part(0, usize::MAX)
    }

    /// A text of which only the records from `from` on are wanted, as many as fit in `room` bytes, but at
    /// least one: of a long text no more is ever in memory (`seq_read_iter`).
    pub const fn part(from: u64, room: usize) -> Self {
        Self { text: Vec::new(), overflow: false, from, room, next: None }
    }

    /// The first record that is wanted.
    pub fn from(&self) -> u64 {
        self.from
    }
    /// The first record that there was no room for, behind the others.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// Writes one record of a text that has many; their numbers rise. False if there is no room for more.
    pub fn record(&mut self, number: u64, show: impl FnOnce(&mut Self)) -> bool {
        if self.next.is_some() {
            return false;
        }
        if number < self.from {
            return true;
        }
        let before = self.text.len();
        show(self);
        if before != 0 && self.text.len() > self.room {
            self.text.truncate(before);
            self.next = Some(number);
        }
        self.next.is_none()
    }

    /// Appends bytes (`seq_write`).
    pub fn put(&mut self, bytes: &[u8]) {
        if self.overflow || self.text.try_reserve(bytes.len()).is_err() {
            self.overflow = true;
            return;
        }
        self.text.extend_from_slice(bytes);
    }

    /// Appends formatted text: what `write!` calls (`seq_printf`).
    pub fn write_fmt(&mut self, args: fmt::Arguments<'_>) {
        struct Sink<'a>(&'a mut SeqFile);
        impl Write for Sink<'_> {
            fn write_str(&mut self, s: &str) -> fmt::Result {
                self.0.put(s.as_bytes());
                Ok(())
            }
        }
        // The sink never fails, and neither do the kernel's own `Display`s.
        let _ = Sink(self).write_fmt(args);
    }

    /// Appends bytes, with those in `escape` as a backslash and three octal digits
    /// (`seq_escape`).
    pub fn put_mangled(&mut self, bytes: &[u8], escape: &[u8]) {
        for part in bytes.split_inclusive(|b| escape.contains(b)) {
            match part.split_last() {
                Some((last, rest)) if escape.contains(last) => {
                    self.put(rest);
                    write!(self, "\\{last:03o}");
                }
                _ => self.put(part),
            }
        }
    }

    /// Spaces up to column `column` of the line that began at `line` (`seq_pad`).
    pub fn pad(&mut self, line: usize, column: usize) {
        for _ in self.text.len()..line + column {
            self.put(b" ");
        }
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is no text yet.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text.
    ///
    /// # Errors
    /// `ENOMEM` if some of it found no place.
    pub fn finish(self) -> Result<Vec<u8>> {
        if self.overflow { Err(ENOMEM) } else { Ok(self.text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_mangled() {
        let mut s = SeqFile::new();
        s.put_mangled(b" a\nb\\", b" \n\\");
        s.put_mangled(b"x y", b"\n");
        assert_eq!(s.finish().unwrap(), b"\\040a\\012b\\134x y");
    }

    #[test]
    fn records_are_made_as_they_are_wanted() {
        let part = |from, room| {
            let mut s = SeqFile::part(from, room);
            let mut made = 0;
            for (i, text) in ["one\n", "two\n", "three\n", "four\n"].into_iter().enumerate() {
                let more = s.record(i as u64, |s| {
                    made += 1;
                    s.put(text.as_bytes());
                });
                if !more {
                    break;
                }
            }
            let next = s.next();
            (s.finish().unwrap(), next, made)
        };
        assert_eq!(part(0, 100), (b"one\ntwo\nthree\nfour\n".to_vec(), None, 4));
        assert_eq!(part(0, 8), (b"one\ntwo\n".to_vec(), Some(2), 3));
        assert_eq!(part(1, 9), (b"two\n".to_vec(), Some(2), 2));
        // One is always there.
        assert_eq!(part(2, 1), (b"three\n".to_vec(), Some(3), 2));
        assert_eq!(part(4, 1), (Vec::new(), None, 0));
    }

    #[test]
    fn text_is_gathered() {
        let mut s = SeqFile::new();
        write!(s, "{:>3}", 7);
        s.put(b"\n");
        let line = s.len();
        s.put(b"ab");
        s.pad(line, 4);
        s.put(b"|");
        assert_eq!(s.finish().unwrap(), b"  7\nab  |");
    }
}
