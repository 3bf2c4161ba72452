// SPDX-License-Identifier: GPL-2.0-only
//! Tests that run inside the kernel (Linux 6.1, `lib/kunit/`), before `/init`, if the command
//! line says `kunit.enable=1`.
//!
//! A suite is declared where it belongs, with [`kunit_suite!`](crate::kunit_suite); the linker
//! collects them. Results are printed in KTAP, as Linux's KUnit prints them. An assertion
//! that fails ends its case and is reported; it does not panic.

#[cfg(target_os = "none")]
mod suites;

use core::fmt;

/// One test.
pub struct KunitCase {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&mut Kunit),
}

/// Tests that belong together.
pub struct KunitSuite {
    /// Its name.
    pub name: &'static str,
    /// In the order in which they run.
    pub cases: &'static [KunitCase],
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Success,
    Failure,
    Skipped(&'static str),
}

impl Status {
    fn ok(self) -> &'static str {
        match self {
            Self::Success | Self::Skipped(_) => "ok",
            Self::Failure => "not ok",
        }
    }
}

/// A running test.
pub struct Kunit {
    name: &'static str,
    status: Status,
}

impl Kunit {
    /// Reports a failed assertion (`KUNIT_ASSERT_*`).
    #[cold]
    pub fn fail(&mut self, file: &str, line: u32, what: fmt::Arguments<'_>) {
        self.status = Status::Failure;
        pr_info!("    # {}: ASSERTION FAILED at {file}:{line}\n", self.name);
        pr_info!("    {what}\n");
    }

    /// Marks the test as not run, and says why (`kunit_skip`).
    pub fn skip(&mut self, why: &'static str) {
        self.status = Status::Skipped(why);
    }
}

/// Counts of how tests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stats {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Stats {
    fn count(&mut self, s: Status) {
        match s {
            Status::Success => self.passed += 1,
            Status::Failure => self.failed += 1,
            Status::Skipped(_) => self.skipped += 1,
        }
    }
    fn total(self) -> usize {
        self.passed + self.failed + self.skipped
    }
    /// A suite fails if a case does; it is skipped if every case is.
    fn suite_status(self) -> Status {
        if self.failed > 0 {
            Status::Failure
        } else if self.passed == 0 && self.skipped > 0 {
            Status::Skipped("")
        } else {
            Status::Success
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pass:{} fail:{} skip:{} total:{}", self.passed, self.failed, self.skipped, self.total())
    }
}

/// `ok 1 name`, with ` # SKIP why` if it was.
fn print_ok_not_ok(indent: &str, status: Status, number: usize, name: &str) {
    let (directive, why) = match status {
        Status::Skipped(why) => (" # SKIP ", why),
        Status::Success | Status::Failure => ("", ""),
    };
    pr_info!("{indent}{} {number} {name}{directive}{why}\n", status.ok());
}

fn run_suite(number: usize, suite: &KunitSuite) -> Stats {
    pr_info!("    KTAP version 1\n");
    pr_info!("    # Subtest: {}\n", suite.name);
    pr_info!("    1..{}\n", suite.cases.len());
    let mut stats = Stats::default();
    for (i, case) in suite.cases.iter().enumerate() {
        let mut test = Kunit { name: case.name, status: Status::Success };
        (case.run)(&mut test);
        print_ok_not_ok("    ", test.status, i + 1, case.name);
        stats.count(test.status);
    }
    if stats.total() > 1 {
        pr_info!("# {}: {stats}\n", suite.name);
        pr_info!("# Totals: {stats}\n");
    }
    print_ok_not_ok("", stats.suite_status(), number, suite.name);
    stats
}

#[cfg(target_os = "none")]
fn all_suites() -> &'static [&'static KunitSuite] {
    unsafe extern "C" {
        static __start_kunit_test_suites: usize;
        static __stop_kunit_test_suites: usize;
    }
    let (start, stop) = (&raw const __start_kunit_test_suites, &raw const __stop_kunit_test_suites);
    let len = (stop as usize - start as usize) / size_of::<&KunitSuite>();
    // SAFETY: the linker places `kunit_suite!`'s references, and nothing else, between the two.
    unsafe { core::slice::from_raw_parts(start.cast::<&'static KunitSuite>(), len) }
}
#[cfg(not(target_os = "none"))]
fn all_suites() -> &'static [&'static KunitSuite] {
    &[]
}

/// Runs every suite, printing KTAP (`kunit_run_all_tests`). Returns whether all passed.
pub fn run_all() -> bool {
    let suites = all_suites();
    pr_info!("KTAP version 1\n");
    pr_info!("1..{}\n", suites.len());
    let failed: usize = suites.iter().enumerate().map(|(i, s)| run_suite(i + 1, s).failed).sum();
    failed == 0
}

/// Whether the command line says `kunit.enable=1`.
pub fn enabled() -> bool {
    crate::lib::cmdline::value("kunit.enable").is_some_and(|v| matches!(v.as_slice(), b"1" | b"y" | b"Y"))
}

/// Runs every suite if the command line says `kunit.enable=1`.
pub fn run_if_enabled() {
    if enabled() {
        run_all();
    }
}

/// Declares a suite: `kunit_suite! { "name": case_one, case_two }`, the cases being functions
/// `fn(&mut Kunit)`.
#[macro_export]
macro_rules! kunit_suite {
    ($name:literal: $($case:ident),+ $(,)?) => {
        const _: () = {
            static SUITE: $crate::kernel::kunit::KunitSuite = $crate::kernel::kunit::KunitSuite {
                name: $name,
                cases: &[$($crate::kernel::kunit::KunitCase { name: stringify!($case), run: $case }),+],
            };
            #[used]
            #[cfg_attr(target_os = "none", unsafe(link_section = ".kunit_test_suites"))]
            static ENTRY: &$crate::kernel::kunit::KunitSuite = &SUITE;
        };
    };
}

/// Ends the test as failed unless the condition holds.
#[macro_export]
macro_rules! kunit_assert {
    ($test:ident, $cond:expr $(,)?) => {
        if !$cond {
            $test.fail(
                file!(),
                line!(),
                format_args!("Expected {} to be true, but is false", stringify!($cond)),
            );
            return;
        }
    };
}

/// Ends the test as failed unless the values are equal.
#[macro_export]
macro_rules! kunit_assert_eq {
    ($test:ident, $left:expr, $right:expr $(,)?) => {
        match (&$left, &$right) {
            (l, r) => {
                if *l != *r {
                    $test.fail(
                        file!(),
                        line!(),
                        format_args!(
                            "Expected {} == {}, but {:?} != {:?}",
                            stringify!($left),
                            stringify!($right),
                            l,
                            r
                        ),
                    );
                    return;
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_as_good_as_its_worst_case() {
        let mut s = Stats::default();
        assert_eq!(s.suite_status(), Status::Success);
        s.count(Status::Skipped("why"));
        assert_eq!(s.suite_status(), Status::Skipped(""));
        s.count(Status::Success);
        assert_eq!(s.suite_status(), Status::Success);
        s.count(Status::Failure);
        assert_eq!(s.suite_status(), Status::Failure);
        assert_eq!(s.to_string(), "pass:1 fail:1 skip:1 total:3");
        assert_eq!((Status::Skipped("").ok(), Status::Failure.ok()), ("ok", "not ok"));
    }

    #[test]
    fn assertions_end_the_case() {
        fn body(test: &mut Kunit) {
            kunit_assert!(test, true);
            kunit_assert_eq!(test, 1 + 1, 3);
            test.skip("never reached");
        }
        let mut t = Kunit { name: "t", status: Status::Success };
        body(&mut t);
        assert_eq!(t.status, Status::Failure);
    }
}
