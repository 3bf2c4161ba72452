// SPDX-License-Identifier: GPL-2.0-only
//! The words on `/init`'s command line.
//!
//! | words | meaning |
//! |---|---|
//! | none | run every program in `/bin` that carries an expectation |
//! | `--only NAME,NAME…` | run those |
//! | `PROG [ARG…]` | run that one program on the console |
//! | `--exit` | power off at once |
//! | `--dir DIR` | programs are in DIR (default: `/bin`; not as pid 1: beside this file) |
//! | `--timeout SECONDS` | time limit of each run (default 60) |
//! | `--cores` | as pid 1: programs dump core, and the files are sent to the host |
//! | `--json` | not as pid 1: JSON lines instead of text |
//! | `--log` | not as pid 1: check the kernel log too (needs its rate limit lifted, which this does for the duration) |

use super::PathText;
use crate::{start, text};

/// What is to be done.
#[derive(Clone, Copy)]
pub enum What {
    /// Power off at once.
    Exit,
    /// Run every test program.
    All,
    /// Run the test programs of this comma-separated list.
    Only(&'static str),
    /// Run the program whose words start at this index.
    Program(usize),
    /// The command line is not understood.
    Wrong(&'static str),
}

/// The command line, understood.
pub struct Options {
    /// What is to be done.
    pub what: What,
    /// Time limit of each run.
    pub timeout_ms: i64,
    /// JSON lines on standard output.
    pub json: bool,
    /// Check the kernel log although not pid 1.
    pub log: bool,
    /// Send core files to the host.
    pub cores: bool,
    dir: &'static str,
}

impl Options {
    /// Reads the program's arguments.
    pub fn from_args(init: bool) -> Self {
        let beside = start::arg_str(0).and_then(|a| a.rsplit_once('/')).map_or(".", |s| s.0);
        let dir = if init { "/bin" } else { beside };
        let mut o = Self { what: What::All, timeout_ms: 60_000, json: false, log: false, cores: false, dir };
        let mut i = 1;
        while let Some(word) = start::arg_str(i) {
            let value = start::arg_str(i + 1);
            match (word, value) {
                ("--exit", _) => o.what = What::Exit,
                ("--json", _) => o.json = true,
                ("--log", _) => o.log = true,
                ("--cores", _) => o.cores = init,
                ("--only", Some(list)) => o.what = What::Only(list),
                ("--dir", Some(dir)) => o.dir = dir,
                ("--timeout", Some(s)) if s.parse::<u32>().is_ok() => {
                    o.timeout_ms = s.parse::<u32>().map_or(0, i64::from) * 1000;
                }
                _ if word.starts_with('-') => {
                    o.what = What::Wrong("unknown option, or an option without its value");
                    return o;
                }
                _ => {
                    o.what = What::Program(i);
                    return o;
                }
            }
            i += if matches!(word, "--only" | "--dir" | "--timeout") { 2 } else { 1 };
        }
        o
    }

    /// Where the programs are.
    pub fn dir(&self) -> &'static str {
        self.dir
    }

    /// The path of a program there, with its final 0.
    pub fn path_of(&self, name: &str) -> PathText {
        text!(256, "{}/{name}\0", self.dir)
    }
}
