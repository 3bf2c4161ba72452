// SPDX-License-Identifier: GPL-2.0-only
//! What `/init` is made of: it runs programs, compares what happened with what
//! their notes say, reports, and powers the machine off.
//!
//! | module | what |
//! |---|---|
//! | [`options`] | the words on its command line |
//! | [`machine`] | mounting, standard descriptors, power off: only as pid 1 |
//! | [`list`] | the programs of a directory, in order |
//! | [`child`] | running one program, with a time limit |
//! | [`cores`] | core files, for the host |
//! | [`kmsg`] | the kernel log lines of one run |
//! | [`verdict`] | comparing with the note |
//! | [`channel`] | where the results go |

pub mod channel;
pub mod child;
pub mod cores;
pub mod kmsg;
pub mod list;
pub mod machine;
pub mod options;
pub mod verdict;

use crate::{
    note::{self, End, Expect, Notes},
    process, text,
    text::Text,
};
use channel::{Channel, Outcome};
use child::{Job, Run};
use core::ffi::CStr;
use core::fmt::Write;
use list::List;
use options::{Options, What};

/// The largest program file that is looked at.
const IMAGE: usize = 0x10_0000;

/// One program, found and read.
struct Program<'a> {
    name: &'a str,
    path: &'a CStr,
    image: &'a [u8],
    notes: Notes<'a>,
    expect: Expect<'a>,
}

/// The whole of `/init`.
pub fn main() {
    let init = process::getpid() == 1;
    let options = Options::from_args(init);
    if let What::Exit = options.what {
        leave(init, true);
    }
    if init {
        machine::set_up();
    }
    let mut channel = Channel::open(init, options.json);
    if options.cores
        && let Err(e) = cores::set_up()
    {
        channel.say(format_args!("init: no core files: {e}"));
    }
    let good = match options.what {
        What::Wrong(why) => {
            channel.say(format_args!("init: {why}"));
            false
        }
        What::Program(first) => run_program(&options, first, &mut channel),
        What::All | What::Only(_) | What::Exit => run_tests(&options, init, &mut channel),
    };
    leave(init, good)
}

fn leave(init: bool, good: bool) -> ! {
    if init {
        machine::power_off();
    }
    process::exit_group(i32::from(!good))
}

/// Runs one program on the console and says how it ended.
fn run_program(options: &Options, first: usize, channel: &mut Channel) -> bool {
    let Some(word) = crate::start::arg_str(first) else {
        return false;
    };
    let path = if word.contains('/') { text!(256, "{word}\0") } else { options.path_of(word) };
    let (status, text) = match child::attached(&path, first) {
        Ok(status) => (status.0, text!(128, "{status}")),
        Err(e) => (127 << 8, text!(128, "cannot run: {e}")),
    };
    if options.cores {
        cores::send(channel);
    }
    channel.ended(path.as_str().trim_end_matches('\0'), status, text.as_str());
    status == 0
}

/// Runs the tests and reports each.
fn run_tests(options: &Options, init: bool, channel: &mut Channel) -> bool {
    let Ok(buffer) = crate::memory::map(IMAGE, 3) else {
        channel.say(format_args!("init: no memory for program files"));
        return false;
    };
    // SAFETY: a fresh mapping of that size which nobody else knows.
    let buffer =
        unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(buffer), IMAGE) };
    let list = match List::of(options, buffer) {
        Ok(list) => list,
        Err(e) => {
            channel.say(format_args!("init: cannot list {}: {e}", options.dir()));
            return false;
        }
    };
    let mut log = kmsg::Log::open(init, options.log);
    if let Some(why) = log.not_checked() {
        channel.say(format_args!("init: kernel log not checked: {why}"));
    }
    channel.start(list.len());
    for name in list.names() {
        run_named(options, name, buffer, &mut log, channel);
        child::reap();
        if options.cores {
            cores::send(channel);
        }
    }
    log.close();
    channel.done()
}

/// Reads one program and runs it in its modes.
fn run_named(options: &Options, name: &str, buffer: &mut [u8], log: &mut kmsg::Log, channel: &mut Channel) {
    let path = options.path_of(name);
    let Ok(path) = CStr::from_bytes_until_nul(path.as_str().as_bytes()) else {
        return channel.result(&Outcome::broken(name, "its path is too long"));
    };
    let image = match list::read_file(path, buffer) {
        Ok(image) => image,
        Err(e) => return channel.result(&Outcome::broken(name, text!(64, "{e}").as_str())),
    };
    let notes = match note::find(image) {
        Ok(Some(notes)) => notes,
        Ok(None) => return channel.result(&Outcome::broken(name, "it carries no expectation")),
        Err(e) => return channel.result(&Outcome::broken(name, text!(128, "{e}").as_str())),
    };
    match note::parse(notes.text) {
        Err(e) => channel.result(&Outcome::broken(name, text!(128, "{e}").as_str())),
        Ok(expect) => {
            let program = Program { name, path, image, notes, expect };
            run_default(options, &program, log, channel);
            if program.expect.record.is_some() {
                run_handled(options, &program, channel);
            }
        }
    }
}

/// Runs without handlers: wait status and kernel log.
fn run_default(options: &Options, p: &Program<'_>, log: &mut kmsg::Log, channel: &mut Channel) {
    log.mark();
    let job = Job { path: p.path, timeout_ms: options.timeout_ms, report: false };
    let run = child::run(&job);
    let mut outcome = Outcome::new(p.name, "default");
    if let (None, End::Exit(_)) = (p.expect.record, p.expect.end) {
        outcome.mode = "exit";
    }
    let _ = write!(outcome.expected, "{}", verdict::EndText(p.expect.end));
    finish(&mut outcome, &run);
    if let Ok(run) = &run {
        verdict::end(p.expect.end, run, &mut outcome);
        match (p.expect.log, log.not_checked()) {
            (None, _) => {}
            // The first process can always read the log: if it could not, that is a failure.
            (Some(_), Some(why)) if process::getpid() == 1 => {
                outcome.fail(format_args!("kernel log not checked: {why}"));
            }
            (Some(_), Some(why)) => {
                let _ = write!(outcome.log, "not checked: {why}");
            }
            (Some(want), None) => {
                let lines = log.read(p.name);
                verdict::log(want.as_slice(), &lines, p, run.pid, &mut outcome);
            }
        }
    }
    channel.result(&outcome);
}

/// Runs with the reporting handler: the full record of the first signal.
fn run_handled(options: &Options, p: &Program<'_>, channel: &mut Channel) {
    let job = Job { path: p.path, timeout_ms: options.timeout_ms, report: true };
    let run = child::run(&job);
    let mut outcome = Outcome::new(p.name, "handled");
    finish(&mut outcome, &run);
    if let (Ok(run), Some(record)) = (&run, &p.expect.record) {
        verdict::record(record, p.notes.ip, p.notes.pie, run, &mut outcome);
    }
    channel.result(&outcome);
}

/// What every outcome says about its run: output, time limit, failure to start.
fn finish(outcome: &mut Outcome, run: &crate::Result<Run>) {
    match run {
        Ok(run) => {
            let _ = write!(outcome.output, "{}", run.output);
            if run.timed_out {
                outcome.fail(format_args!("time limit exceeded"));
            }
        }
        Err(e) => outcome.fail(format_args!("cannot run: {e}")),
    }
}

/// A path or a name with its final 0.
pub type PathText = Text<256>;
