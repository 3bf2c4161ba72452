// SPDX-License-Identifier: GPL-2.0-only
//! How a self-test ended (pure): what the guest's transcript says of each, and what is made of it.

use std::fmt;

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Exit status 0.
    Pass,
    /// It says that it cannot run here (exit status 4).
    Skip,
    /// Another exit status.
    Fail(i32),
    /// A signal killed it.
    Killed(String),
    /// It was killed because its time was up.
    Timeout,
    /// The kernel panicked.
    Panic,
    /// The machine stood still.
    Hang,
    /// It could not be compiled.
    NotBuilt,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Skip => f.write_str("skip"),
            Self::Fail(code) => write!(f, "fail {code}"),
            Self::Killed(signal) => write!(f, "killed {signal}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Panic => f.write_str("panic"),
            Self::Hang => f.write_str("hang"),
            Self::NotBuilt => f.write_str("not built"),
        }
    }
}

impl Verdict {
    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(' ') {
            None => match text {
                "pass" => Self::Pass,
                "skip" => Self::Skip,
                "timeout" => Self::Timeout,
                "panic" => Self::Panic,
                "hang" => Self::Hang,
                _ => return None,
            },
            Some(("fail", code)) => Self::Fail(code.parse().ok()?),
            Some(("killed", signal)) => Self::Killed(signal.to_owned()),
            Some(("not", "built")) => Self::NotBuilt,
            Some(_) => return None,
        })
    }

    /// Of the words that `/bin/batch` says behind `== ended`.
    fn of_status(words: &str) -> Self {
        match words.split_once(' ') {
            Some(("exit", "0")) => Self::Pass,
            Some(("exit", "4")) => Self::Skip,
            Some(("exit", code)) => Self::Fail(code.parse().unwrap_or(-1)),
            _ if words == "timeout" => Self::Timeout,
            _ => Self::Killed(words.strip_prefix("killed by ").unwrap_or(words).to_owned()),
        }
    }
}

/// What a test said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Result {
    /// How it ended.
    pub verdict: Verdict,
    /// All that it wrote.
    pub output: String,
}

impl Result {
    /// The verdict, and how many of its checks held, skipped or failed if it counts them.
    pub fn show(&self) -> String {
        match Counts::of(&self.output) {
            Counts { ok: 0, not_ok: 0, .. } => self.verdict.to_string(),
            Counts { ok, not_ok: 0, .. } => format!("{} ({ok})", self.verdict),
            Counts { ok, not_ok, .. } => format!("{} ({ok}, {not_ok} not)", self.verdict),
        }
    }
}

/// The checks that a test counts, in TAP's words or with the x86 tests' marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that held.
    pub ok: usize,
    /// Those that did not.
    pub not_ok: usize,
}

impl Counts {
    /// Counts a test's lines.
    pub fn of(output: &str) -> Self {
        let mut counts = Self::default();
        for line in output.lines().map(str::trim_start) {
            if line.starts_with("ok ") || line.starts_with("[OK]") {
                counts.ok += 1;
            } else if line.starts_with("not ok ") || line.starts_with("[FAIL]") {
                counts.not_ok += 1;
            }
        }
        counts
    }
}

/// A program, and something of it.
pub type Of<T> = (String, T);

/// The results that a transcript of `/bin/batch` has, by the first word of the command; and the
/// output of the command that was running when it broke off.
pub fn results(transcript: &str) -> (Vec<Of<Result>>, Option<Of<String>>) {
    let mut done = Vec::new();
    let mut running: Option<Of<String>> = None;
    for line in transcript.lines() {
        match (line.strip_prefix("== "), running.take()) {
            (Some(words), Some((name, output))) if words.starts_with("ended ") => {
                let verdict = Verdict::of_status(&words["ended ".len()..]);
                done.push((name, Result { verdict, output }));
            }
            (Some(words), None) if words.starts_with('/') || words.starts_with('@') => {
                let program = words.split_whitespace().find(|word| !word.starts_with('@'));
                running = program.map(|program| (program.to_owned(), String::new()));
            }
            (_, Some((name, mut output))) => {
                output.push_str(line);
                output.push('\n');
                running = Some((name, output));
            }
            (_, None) => {}
        }
    }
    (done, running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_back() {
        for verdict in [
            Verdict::Pass,
            Verdict::Skip,
            Verdict::Fail(3),
            Verdict::Killed("SIGSEGV".into()),
            Verdict::Timeout,
            Verdict::Panic,
            Verdict::Hang,
            Verdict::NotBuilt,
        ] {
            assert_eq!(Verdict::parse(&verdict.to_string()), Some(verdict));
        }
        assert_eq!(Verdict::parse("perhaps"), None);
    }

    #[test]
    fn a_transcript_has_results_and_may_break_off() {
        let text = "== @60 /t/a -x\nok 1 y\nnot ok 2 z\n== ended exit 1\n== /t/b\n[OK]\tfine\n\
            == ended killed by SIGSEGV (core dumped)\n== /t/c\n== ended timeout\n== /t/d\nhalf";
        let (done, running) = results(text);
        let shown: Vec<String> = done.iter().map(|(name, r)| format!("{name}: {}", r.show())).collect();
        assert_eq!(
            shown,
            ["/t/a: fail 1 (1, 1 not)", "/t/b: killed SIGSEGV (core dumped) (1)", "/t/c: timeout"]
        );
        assert_eq!(running, Some(("/t/d".into(), "half\n".into())));
        assert_eq!(results("== /t/a\nx\n== ended exit 4\n== done\n").0[0].1.verdict, Verdict::Skip);
    }
}
