// SPDX-License-Identifier: GPL-2.0-only
//! Line-buffered formatted output.
//!
//! A line is collected on the stack and written with one system call, so that
//! output from handlers, threads and children never mixes within a line.

use crate::{file, text::Text};
use core::fmt::{self, Write};

struct Lines {
    fd: i32,
    line: Text<1024>,
}

impl Lines {
    fn flush(&mut self) {
        file::write_all(self.fd, self.line.as_str().as_bytes());
        self.line.clear();
    }
}

impl Write for Lines {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for part in s.split_inclusive('\n') {
            self.line.write_str(part)?;
            if part.ends_with('\n') || self.line.is_cut() {
                self.flush();
            }
        }
        Ok(())
    }
}

/// Writes formatted text to a file descriptor, line by line.
pub fn write_fmt(fd: i32, args: fmt::Arguments<'_>) {
    let mut out = Lines { fd, line: Text::new() };
    let _ = out.write_fmt(args);
    out.flush();
}

/// Writes to standard output.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::io::write_fmt(1, format_args!($($arg)*)) };
}

/// Writes a line to standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arg:tt)+) => { $crate::print!("{}\n", format_args!($($arg)+)) };
}
