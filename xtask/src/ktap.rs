// SPDX-License-Identifier: GPL-2.0-only
//! Reading KTAP (`Linux Documentation/dev-tools/ktap.rst`) off a console that
//! also carries time stamps, carriage returns and other people's messages.

/// One test of one suite, as the console told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// `suite.test`, or the bare name of a test that stands alone.
    pub name: String,
    /// What became of it.
    pub result: Verdict,
    /// The diagnostics (`# ...`) that preceded its result.
    pub said: Vec<String>,
}

/// What a KTAP result line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// `ok`
    Passed,
    /// `not ok`
    Failed,
    /// `ok N name # SKIP why`
    Skipped(String),
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Results {
    /// The innermost tests, in order.
    pub tests: Vec<Test>,
    /// Results that the top-level plan (`1..N`) promised.
    pub promised: Option<usize>,
    /// Top-level results that came.
    pub came: usize,
}

impl Results {
    /// Did every promised top-level result come?
    pub fn complete(&self) -> bool {
        self.promised == Some(self.came)
    }

    /// The test of that name.
    pub fn get(&self, name: &str) -> Option<&Test> {
        self.tests.iter().find(|test| test.name == name)
    }
}

/// Reads all KTAP that a console carried.
pub fn parse(console: &str) -> Results {
    let mut results = Results::default();
    let mut pending: Vec<Test> = Vec::new();
    let mut said: Vec<String> = Vec::new();
    let mut started = false;
    for raw in console.lines() {
        let line = strip_stamp(raw.trim_end_matches('\r'));
        let text = line.trim_start();
        let depth = (line.len() - text.len()) / 4;
        if text.starts_with("KTAP version ") || text.starts_with("TAP version ") {
            started = true;
        } else if !started {
        } else if let Some(count) = plan(text) {
            if depth == 0 {
                results.promised = Some(results.promised.unwrap_or(0) + count);
            }
        } else if let Some((name, result)) = verdict(text) {
            let test = Test { name, result, said: std::mem::take(&mut said) };
            if depth == 0 {
                results.came += 1;
                close_suite(&mut results.tests, &mut pending, test);
            } else {
                pending.push(test);
            }
        } else if let Some(diagnostic) = text.strip_prefix("# ") {
            said.push(diagnostic.to_owned());
        }
    }
    results.tests.append(&mut pending);
    results
}

/// A top-level result closes a suite, whose tests take its name; one without
/// tests inside is a test itself. So is a suite that failed on its own account.
fn close_suite(tests: &mut Vec<Test>, pending: &mut Vec<Test>, suite: Test) {
    let blameless = pending.iter().all(|test| test.result != Verdict::Failed);
    let own = pending.is_empty() || (suite.result == Verdict::Failed && blameless);
    for mut test in pending.drain(..) {
        test.name = format!("{}.{}", suite.name, test.name);
        tests.push(test);
    }
    if own {
        tests.push(suite);
    }
}

/// Takes `[    0.123456] ` off a line.
fn strip_stamp(line: &str) -> &str {
    let Some(rest) = line.strip_prefix('[') else { return line };
    let Some((stamp, rest)) = rest.split_once(']') else { return line };
    let is_stamp = stamp.contains('.') && stamp.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ' ');
    if is_stamp { rest.strip_prefix(' ').unwrap_or(rest) } else { line }
}

fn plan(text: &str) -> Option<usize> {
    text.strip_prefix("1..")?.trim().parse().ok()
}

fn verdict(text: &str) -> Option<(String, Verdict)> {
    let (passed, rest) = match text.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("ok ")?),
    };
    let (number, rest) = rest.split_once(' ')?;
    number.parse::<usize>().ok()?;
    let rest = rest.strip_prefix("- ").unwrap_or(rest);
    let (name, directive) = rest.split_once(" # ").unwrap_or((rest, ""));
    let name = name.trim().to_owned();
    let result = match directive.strip_prefix("SKIP") {
        Some(why) => Verdict::Skipped(why.trim().to_owned()),
        None if passed => Verdict::Passed,
        None => Verdict::Failed,
    };
    Some((name, result))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &str = "[    0.000000] Linux version\r
[    0.010000] KTAP version 1\r
[    0.010000] 1..3\r
[    0.010000]     KTAP version 1\r
[    0.010000]     # Subtest: extable\r
[    0.010000]     1..2\r
[    0.010000]     ok 1 sorted\r
[    0.010000]     # finds: expected 3\r
[    0.010000]     not ok 2 finds\r
[    0.010000] not ok 1 extable\r
[    0.010000]     KTAP version 1\r
[    0.010000]     1..1\r
[    0.010000]     ok 1 burst # SKIP no clock\r
[    0.010000] ok 2 ratelimit\r
[    0.010000] ok 3 alone\r
";

    #[test]
    fn suites_nest() {
        let results = parse(SAMPLE);
        assert!(results.complete());
        let names: Vec<&str> = results.tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["extable.sorted", "extable.finds", "ratelimit.burst", "alone"]);
        assert_eq!(results.tests[1].result, Verdict::Failed);
        assert_eq!(results.tests[1].said, ["Subtest: extable", "finds: expected 3"][1..]);
        assert_eq!(results.tests[2].result, Verdict::Skipped("no clock".into()));
        assert_eq!(results.get("alone").map(|test| test.result.clone()), Some(Verdict::Passed));
    }

    #[test]
    fn a_console_cut_short_is_incomplete() {
        assert!(!parse(&SAMPLE[..SAMPLE.len() - 40]).complete());
        assert!(!parse("").complete());
    }

    proptest! {
        #[test]
        fn never_panics(text in "(\\[ *[0-9.]{1,6}\\] |    |ok|not ok|1\\.\\.| [0-9]{1,3} |#|KTAP version 1|\n|.){0,60}") {
            let _ = parse(&text);
        }
    }
}
