// SPDX-License-Identifier: GPL-2.0-only
//! The kernel log lines that one run of a program causes.

use crate::{file, pattern, text, text::Text};
use linux_raw_sys::errno::EPIPE;

const RATE_LIMIT: &core::ffi::CStr = c"/proc/sys/kernel/printk_ratelimit";

/// The kernel log, read from where [`Log::mark`] was last called.
pub struct Log {
    fd: i32,
    why_not: Option<&'static str>,
    /// The rate limit to be put back: its text and length.
    old_limit: Option<([u8; 16], usize)>,
}

/// At most this many lines of a run are kept.
pub const MAX_LINES: usize = 6;

/// The lines of one run, and how many there were.
pub struct Lines {
    lines: [Text<512>; MAX_LINES],
    count: usize,
}

impl Lines {
    /// The lines that were kept.
    pub fn kept(&self) -> impl Iterator<Item = &str> {
        self.lines[..self.count.min(MAX_LINES)].iter().map(Text::as_str)
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl Log {
    /// Opens the log and lifts its rate limit, if this is ours to do.
    pub fn open(init: bool, asked: bool) -> Self {
        let mut log = Self { fd: -1, why_not: None, old_limit: None };
        if !init && !asked {
            log.why_not = Some("not pid 1, and no --log");
            return log;
        }
        let flags = file::O_RDONLY | file::O_NONBLOCK | file::O_CLOEXEC;
        let Ok(fd) = file::open(c"/dev/kmsg", flags, 0) else {
            log.why_not = Some("no /dev/kmsg");
            return log;
        };
        log.fd = fd;
        log.lift_limit(init);
        log
    }

    fn lift_limit(&mut self, init: bool) {
        let Ok(fd) = file::open(RATE_LIMIT, file::O_RDWR | file::O_CLOEXEC, 0) else {
            crate::println!("init: the log's rate limit cannot be lifted: lines may be missing");
            return;
        };
        let mut old = [0; 16];
        if let (false, Ok(n)) = (init, file::read(fd, &mut old)) {
            self.old_limit = Some((old, n));
        }
        let _ = file::lseek(fd, 0, 0);
        file::write_all(fd, b"0\n");
        let _ = file::close(fd);
    }

    /// Puts back what was changed.
    pub fn close(&mut self) {
        if let (Some((old, n)), Ok(fd)) = (self.old_limit.take(), file::open(RATE_LIMIT, file::O_RDWR, 0)) {
            file::write_all(fd, &old[..n]);
            let _ = file::close(fd);
        }
    }

    /// Why the log is not looked at, if so.
    pub fn not_checked(&self) -> Option<&'static str> {
        self.why_not
    }

    /// Forgets everything logged so far.
    pub fn mark(&mut self) {
        let _ = file::lseek(self.fd, 0, 2);
    }

    /// The lines since the mark that speak of this program: those that name it
    /// as `COMM[PID]`, and "Code:" lines right behind one of them.
    pub fn read(&mut self, name: &str) -> Lines {
        let mut lines = Lines { lines: [const { Text::new() }; MAX_LINES], count: 0 };
        let subject = text!(32, "{}[", pattern::comm(name));
        let mut ours = false;
        let mut record = [0; 2048];
        loop {
            let n = match file::read(self.fd, &mut record) {
                Ok(n) => n,
                Err(e) if e.0 == EPIPE => continue,
                Err(_) => return lines,
            };
            let Some(line) = kernel_line(&record[..n]) else {
                continue;
            };
            let line: Text<512> = {
                let mut t = Text::new();
                t.push_bytes(line);
                t
            };
            ours = line.as_str().contains(subject.as_str()) || ours && line.as_str().starts_with("Code: ");
            if ours {
                if let Some(to) = lines.lines.get_mut(lines.count) {
                    *to = line;
                }
                lines.count += 1;
            }
        }
    }
}

/// The text of a record `PRIORITY,SEQUENCE,TIME,-;TEXT\n…`, if the kernel wrote it.
pub fn kernel_line(record: &[u8]) -> Option<&[u8]> {
    let semicolon = record.iter().position(|&b| b == b';')?;
    let comma = record.iter().position(|&b| b == b',')?;
    let priority: u32 = core::str::from_utf8(&record[..comma]).ok()?.parse().ok()?;
    let line = &record[semicolon + 1..];
    let end = line.iter().position(|&b| b == b'\n').unwrap_or(line.len());
    // A facility other than 0 means that a program wrote it.
    (priority < 8).then_some(&line[..end])
}

#[cfg(test)]
mod tests {
    use super::kernel_line;

    #[test]
    fn records_are_taken_apart() {
        assert_eq!(kernel_line(b"6,339,5140900,-;text; more\n KEY=1\n"), Some(&b"text; more"[..]));
        assert_eq!(kernel_line(b"14,1,2,-;from a program\n"), None);
        assert_eq!(kernel_line(b"nonsense"), None);
        assert_eq!(kernel_line(b",;"), None);
    }
}
