// SPDX-License-Identifier: GPL-2.0-only
//! Where the results go: text for people on standard output, and one JSON
//! object per line on the second serial line, if there is one.

use super::list::join;
use crate::{file, println, text::Json, text::Text};
use core::fmt::{Arguments, Write};
use linux_raw_sys::general::O_NOCTTY;

/// What one run of one program came to.
pub struct Outcome<'a> {
    /// The program's name.
    pub program: &'a str,
    /// `default`, `handled`, `exit` or `note` (it could not be run).
    pub mode: &'static str,
    /// Whether everything was as expected.
    pub ok: bool,
    /// What the note says.
    pub expected: Text<256>,
    /// What happened.
    pub got: Text<256>,
    /// The kernel's log lines.
    pub log: Text<1024>,
    /// What differs.
    pub why: Text<512>,
    /// What the program printed.
    pub output: Text<1024>,
}

impl<'a> Outcome<'a> {
    /// Nothing has gone wrong yet.
    pub fn new(program: &'a str, mode: &'static str) -> Self {
        Self {
            program,
            mode,
            ok: true,
            expected: Text::new(),
            got: Text::new(),
            log: Text::new(),
            why: Text::new(),
            output: Text::new(),
        }
    }

    /// A program that cannot be tested.
    pub fn broken(program: &'a str, why: &str) -> Self {
        let mut outcome = Self::new(program, "note");
        outcome.fail(format_args!("{why}"));
        outcome
    }

    /// Notes a difference.
    pub fn fail(&mut self, why: Arguments<'_>) {
        self.ok = false;
        join(&mut self.why, why);
    }
}

/// Bytes as digits.
struct Hex<'a>(&'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// Where the results go.
pub struct Channel {
    json: Option<i32>,
    text: bool,
    passed: usize,
    failed: usize,
}

impl Channel {
    /// As pid 1 the second serial line, if it can be opened; else standard output if asked to.
    pub fn open(init: bool, json: bool) -> Self {
        let serial = || {
            let flags = file::O_WRONLY | file::O_CLOEXEC | O_NOCTTY;
            file::open(c"/dev/ttyS1", flags, 0).ok()
        };
        let json = if init { serial() } else { json.then_some(1) };
        Self { json, text: json != Some(1), passed: 0, failed: 0 }
    }

    fn json(&self, line: Arguments<'_>) {
        if let Some(fd) = self.json {
            let mut buffer = Text::<8192>::new();
            let _ = buffer.write_fmt(line);
            let _ = buffer.write_str("\n");
            file::write_all(fd, buffer.as_str().as_bytes());
        }
    }

    /// A line for people.
    pub fn say(&self, line: Arguments<'_>) {
        if self.text {
            println!("{line}");
        }
    }

    /// So many programs will be run.
    pub fn start(&mut self, programs: usize) {
        self.json(format_args!(r#"{{"type":"start","programs":{programs}}}"#));
    }

    /// One run is done.
    pub fn result(&mut self, o: &Outcome<'_>) {
        *(if o.ok { &mut self.passed } else { &mut self.failed }) += 1;
        let mut why = Text::<2048>::new();
        let _ = write!(why, "{}", o.why);
        if !o.ok && !o.output.is_empty() {
            let _ = write!(why, "; it printed: {}", o.output.as_str().trim());
        }
        self.json(format_args!(
            r#"{{"type":"result","program":{},"mode":"{}","ok":{},"expected":{},"got":{},"log":{},"why":{}}}"#,
            Json(o.program), o.mode, o.ok, Json(o.expected.as_str()), Json(o.got.as_str()),
            Json(o.log.as_str()), Json(why.as_str())
        ));
        let mark = if o.ok { "ok  " } else { "FAIL" };
        self.say(format_args!("{mark} {:<20} {:<7} {}", o.program, o.mode, o.got));
        if !o.log.is_empty() {
            self.say(format_args!("       log: {}", o.log));
        }
        if !o.ok {
            self.say(format_args!("       expected: {}\n       why: {why}", o.expected));
        }
    }

    /// The one program of the command line has ended.
    pub fn ended(&mut self, program: &str, status: i32, text: &str) {
        self.json(format_args!(
            r#"{{"type":"ended","program":{},"status":{status},"text":{}}}"#,
            Json(program),
            Json(text)
        ));
        self.say(format_args!("{program}: {text}"));
    }

    /// A core file of that many bytes follows; only for machines.
    pub fn core(&self, name: &str, size: u64) {
        self.json(format_args!(r#"{{"type":"core","name":{},"size":{size}}}"#, Json(name)));
    }

    /// A piece of the core file, in hexadecimal digits.
    pub fn core_data(&self, at: u64, bytes: &[u8]) {
        self.json(format_args!(r#"{{"type":"coredata","at":{at},"hex":"{}"}}"#, Hex(bytes)));
    }

    /// All are done; returns whether all were as expected.
    pub fn done(&mut self) -> bool {
        let (passed, failed) = (self.passed, self.failed);
        self.json(format_args!(r#"{{"type":"done","passed":{passed},"failed":{failed}}}"#));
        self.say(format_args!("{passed} passed, {failed} failed"));
        failed == 0
    }
}
