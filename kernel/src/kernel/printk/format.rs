// SPDX-License-Identifier: GPL-2.0-only
//! How a record looks to its readers: the console and `syslog(2)` on one hand,
//! `/dev/kmsg` on the other. Pure functions of the record.
//!
//! After Linux 6.1, `kernel/printk/printk.c`, `record_print_text`, `msg_print_ext_body`.

use super::ringbuffer::{Info, LOG_LINE_MAX};
use core::fmt::{self, Write};

/// Most bytes that [`print_text`] produces (Linux's `CONSOLE_LOG_MAX`).
pub const CONSOLE_LOG_MAX: usize = 1024;
/// Most bytes that [`print_ext`] produces: every byte escaped, and the header.
pub const EXT_LOG_MAX: usize = LOG_LINE_MAX * 4 + 80;

/// A buffer that is filled by formatting and drops what does not fit.
pub struct LineBuf<const N: usize> {
    buf: [u8; N],
    len: usize,
}

impl<const N: usize> LineBuf<N> {
    /// Empty.
    pub const fn new() -> Self {
        Self { buf: [0; N], len: 0 }
    }
    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buf[..self.len]
    }
    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        N - self.len
    }
    /// Adds bytes, as far as they fit.
    pub fn push(&mut self, b: &[u8]) {
        let n = b.len().min(self.room());
        self.buf[self.len..self.len + n].copy_from_slice(&b[..n]);
        self.len += n;
    }
}

impl<const N: usize> Default for LineBuf<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Write for LineBuf<N> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push(s.as_bytes());
        Ok(())
    }
}

fn prefix(info: &Info, syslog: bool, time: bool) -> LineBuf<48> {
    let mut p = LineBuf::new();
    if syslog {
        let _ = write!(p, "<{}>", u32::from(info.facility) << 3 | u32::from(info.level));
    }
    if time {
        let (s, us) = (info.ts_nsec / 1_000_000_000, info.ts_nsec % 1_000_000_000 / 1000);
        let _ = write!(p, "[{s:5}.{us:06}] ");
    }
    p
}

/// The record as the console shows it, or as `syslog(2)` returns it: each line with
/// the prefix and a newline. Lines that do not fit into the buffer are cut.
pub fn print_text(info: &Info, text: &[u8], syslog: bool, time: bool) -> LineBuf<CONSOLE_LOG_MAX> {
    let mut out = LineBuf::new();
    let prefix = prefix(info, syslog, time);
    for line in text.split(|&b| b == b'\n') {
        let fixed = prefix.as_bytes().len() + 1;
        if out.room() <= fixed {
            break;
        }
        let room = out.room() - fixed;
        out.push(prefix.as_bytes());
        out.push(&line[..line.len().min(room)]);
        out.push(b"\n");
    }
    out
}

/// How many bytes [`print_text`] would produce.
pub fn print_text_len(info: &Info, text: &[u8], syslog: bool, time: bool) -> usize {
    let lines = text.split(|&b| b == b'\n').count();
    (text.len() + 1 + lines * prefix(info, syslog, time).as_bytes().len()).min(CONSOLE_LOG_MAX)
}

/// The record as `/dev/kmsg` gives it: `priority,sequence,microseconds,flag;text`, with
/// everything that is not printable ASCII as `\xNN`.
pub fn print_ext(info: &Info, text: &[u8], out: &mut LineBuf<EXT_LOG_MAX>) {
    let prio = u32::from(info.facility) << 3 | u32::from(info.level);
    let flag = if info.cont { 'c' } else { '-' };
    let _ = write!(out, "{prio},{},{},{flag};", info.seq, info.ts_nsec / 1000);
    for &b in text {
        if (b' '..127).contains(&b) && b != b'\\' {
            out.push(&[b]);
        } else {
            let _ = write!(out, "\\x{b:02x}");
        }
    }
    out.push(b"\n");
}

/// Splits the priority (`<N>`) off a line written to `/dev/kmsg`: level, facility and the
/// rest. Without one it is `default_level` of facility 1 (user); user mode cannot pose as
/// the kernel (facility 0).
pub fn parse_prefix(line: &[u8], default_level: u8) -> (u8, u8, &[u8]) {
    if let Some(rest) = line.strip_prefix(b"<")
        && let Some(end) = rest.iter().position(|b| !b.is_ascii_digit())
        && rest[end] == b'>'
    {
        let n = rest[..end].iter().fold(0u32, |n, d| n.wrapping_mul(10).wrapping_add(u32::from(d - b'0')));
        let facility = (n >> 3) as u8;
        return ((n & 7) as u8, if facility == 0 { 1 } else { facility }, &rest[end + 1..]);
    }
    (default_level, 1, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> Info {
        Info { seq: 12, ts_nsec: 1_234_567_890, level: 6, ..Info::default() }
    }

    #[test]
    fn console_lines_carry_the_time() {
        let p = print_text(&info(), b"hello", false, true);
        assert_eq!(p.as_bytes(), b"[    1.234567] hello\n");
        let p = print_text(&info(), b"a\nb", true, true);
        assert_eq!(p.as_bytes(), b"<6>[    1.234567] a\n<6>[    1.234567] b\n");
        assert_eq!(print_text_len(&info(), b"a\nb", true, true), p.as_bytes().len());
        assert_eq!(print_text(&info(), b"x", false, false).as_bytes(), b"x\n");
        let late = Info { ts_nsec: 123_456_000_001_000, ..info() };
        assert_eq!(print_text(&late, b"x", false, true).as_bytes(), b"[123456.000001] x\n");
    }

    #[test]
    fn long_text_is_cut_with_its_newline() {
        let p = print_text(&info(), &[b'x'; 2000], false, true);
        assert_eq!(p.as_bytes().len(), CONSOLE_LOG_MAX);
        assert!(p.as_bytes().ends_with(b"x\n"));
    }

    #[test]
    fn kmsg_lines_are_escaped() {
        let mut out = LineBuf::new();
        print_ext(&info(), b"a\nb\\c\xff\x7f", &mut out);
        assert_eq!(out.as_bytes(), b"6,12,1234567,-;a\\x0ab\\x5cc\\xff\\x7f\n");
        let mut out = LineBuf::new();
        print_ext(&Info { facility: 1, level: 4, cont: true, ..info() }, b"u", &mut out);
        assert_eq!(out.as_bytes(), b"12,12,1234567,c;u\n");
    }

    #[test]
    fn prefixes_of_user_messages() {
        assert_eq!(parse_prefix(b"plain", 4), (4, 1, &b"plain"[..]));
        assert_eq!(parse_prefix(b"<6>x", 4), (6, 1, &b"x"[..]));
        assert_eq!(parse_prefix(b"<30>x", 4), (6, 3, &b"x"[..]));
        assert_eq!(parse_prefix(b"<6x", 4), (4, 1, &b"<6x"[..]));
        assert_eq!(parse_prefix(b"<", 4), (4, 1, &b"<"[..]));
        assert_eq!(parse_prefix(b"<99999999999999>y", 4).2, b"y");
    }
}
