// SPDX-License-Identifier: GPL-2.0-only
//! Comparing what happened with what the note says.

use super::{Program, channel::Outcome, child::Run, kmsg::Lines};
use crate::{
    note::{self, End, Record, Rule},
    pattern::{self, CODE_BEFORE, CODE_LEN},
    report::{PROBLEMS, Report},
    status::{SignalName, WaitStatus},
};
use core::fmt::{self, Write};

/// Flags that no expectation speaks of: CF PF AF ZF SF OF, and RF, which TCG
/// does not push as real processors do.
const FLAGS_IGNORED: u64 = 0x8d5 | 0x1_0000;

/// Shows how a program is to end.
pub struct EndText(pub End);

impl fmt::Display for EndText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        status_of(self.0).fmt(f)
    }
}

fn status_of(end: End) -> WaitStatus {
    match end {
        End::Exit(code) => WaitStatus::exited(code),
        End::Killed(sig) => WaitStatus::killed(sig),
    }
}

/// Compares the wait status.
pub fn end(want: End, run: &Run, outcome: &mut Outcome) {
    let got = run.status.without_core();
    let _ = write!(outcome.got, "{got}");
    if got != status_of(want) {
        outcome.fail(format_args!("end: {got}, expected {}", status_of(want)));
    }
}

/// Compares the kernel log lines.
pub(super) fn log(want: &[&str], lines: &Lines, p: &Program<'_>, pid: i32, outcome: &mut Outcome) {
    // At any base the label tells only the page offset.
    let rip = p.expect.record.map_or(Rule::Any, |r| r.rip);
    let ip = rip.value(p.notes.ip, 0).filter(|_| !matches!(rip, Rule::Sp(_)));
    let code = ip
        .and_then(|ip| ip.checked_sub(CODE_BEFORE as u64))
        .and_then(|first| note::loaded_at(p.image, first, CODE_LEN as u64));
    let err = p.expect.record.map_or([0; 2], |r| r.err);
    let context = pattern::Context { file: p.name, pid, ip, err, any_base: p.notes.pie, code };
    for (i, line) in lines.kept().enumerate() {
        let _ = write!(outcome.log, "{}{line}", if i > 0 { " | " } else { "" });
        match want.get(i) {
            None => outcome.fail(format_args!("log: unexpected line")),
            Some(w) if !pattern::matches(w, line, &context) => {
                outcome.fail(format_args!("log: line {} is not {w:?}", i + 1));
            }
            Some(_) => {}
        }
    }
    if lines.count() < want.len() {
        outcome.fail(format_args!("log: {} lines, expected {}", lines.count(), want.len()));
    }
}

/// Compares the record of the first signal.
pub fn record(want: &Record, label: Option<u64>, pie: bool, run: &Run, outcome: &mut Outcome) {
    let report_err = run.report.map(|r| r.context.mcontext.err);
    let _ = write!(
        outcome.expected,
        "{} code={} addr={} trapno={} err={:#x} cr2={} rip={} flags={:#x}",
        SignalName(want.signal),
        want.code,
        want.addr,
        want.trapno,
        shown_err(want, report_err),
        want.cr2,
        want.rip,
        want.flags
    );
    let Some(report) = &run.report else {
        let _ = write!(outcome.got, "no signal: {}", run.status);
        outcome.fail(format_args!("the handler reported nothing; the program ended: {}", run.status));
        return;
    };
    let m = &report.context.mcontext;
    // At any base the distance from the interrupted instruction is all there is.
    let ip = label.map(|ip| if pie { (m.ip & !0xfff) | (ip & 0xfff) } else { ip });
    let flags = m.flags & !FLAGS_IGNORED;
    show(report, want, ip, flags, outcome);
    compare(report, want, ip, flags, outcome);
    for (i, problem) in PROBLEMS.iter().enumerate() {
        if report.problems & 1 << i != 0 {
            outcome.fail(format_args!("frame: {problem}"));
        }
    }
    if run.status != WaitStatus::exited(0) {
        outcome.fail(format_args!("after the report: {}", run.status));
    }
}

/// The error code that was expected: where there are two, the one that came.
fn shown_err(want: &Record, got: Option<u64>) -> u64 {
    got.filter(|e| want.err.contains(e)).unwrap_or(want.err[0])
}

fn show(report: &Report, want: &Record, ip: Option<u64>, flags: u64, outcome: &mut Outcome) {
    let m = &report.context.mcontext;
    let value = |got, rule| Value { got, rule, ip, sp: m.sp };
    let _ = write!(
        outcome.got,
        "{} code={} addr={} trapno={} err={:#x} cr2={} rip={} flags={flags:#x}",
        SignalName(report.info.signo),
        report.info.code,
        value(report.info.addr(), want.addr),
        m.trapno,
        m.err,
        value(m.cr2, want.cr2),
        value(m.ip, want.rip)
    );
}

fn compare(report: &Report, want: &Record, ip: Option<u64>, flags: u64, outcome: &mut Outcome) {
    let m = &report.context.mcontext;
    let allowed = |rule: Rule, value| rule.allows(value, ip, m.sp);
    for (good, what) in [
        (report.sig == want.signal as u64, "the handler's number"),
        (report.info.signo == want.signal, "si_signo"),
        (report.info.errno == 0, "si_errno"),
        (report.info.code == want.code, "si_code"),
        (allowed(want.addr, report.info.addr()), "si_addr"),
        (m.trapno == want.trapno, "trapno"),
        (want.err.contains(&m.err), "err"),
        (allowed(want.cr2, m.cr2), "cr2"),
        (allowed(want.rip, m.ip), "rip"),
        (flags == want.flags, "flags"),
        (report.context.sigmask == want.mask, "the saved signal mask"),
        (report.context.link == 0, "uc_link"),
    ] {
        if !good {
            outcome.fail(format_args!("{what} differs"));
        }
    }
}

/// Shows a value as its rule does if it obeys, else as it is.
struct Value {
    got: u64,
    rule: Rule,
    ip: Option<u64>,
    sp: u64,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rule.allows(self.got, self.ip, self.sp) {
            return self.rule.fmt(f);
        }
        let distance = self.ip.map(|ip| self.got.wrapping_sub(ip) as i64);
        match distance {
            Some(d) if (-64..=64).contains(&d) => Rule::Ip(d).fmt(f),
            _ => write!(f, "{:#x}", self.got),
        }
    }
}
