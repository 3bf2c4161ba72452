// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask fuzz`: rounds of random cases until the time is up, each on a machine of its
//! own; where the cases can be compared, on Linux as well. A case depends on the seed and its
//! number alone, so whatever is found can be had again.

use crate::cli::FuzzArgs;
use crate::oracle::{self, Set};
use crate::paths::Paths;
use crate::qemu::{self, Console, Machine, Outcome};
use crate::run::CONSOLE;
use crate::transcript::{self, Comparison};
use crate::{build, linux, tools, ui};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// No round takes longer.
const TIMEOUT: Duration = Duration::from_secs(120);
/// So many findings are shown of a round.
const SHOWN: usize = 10;

/// The fuzzers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Random code, step by step
    Code,
    /// Hostile signal frames
    Sigreturn,
    /// The same of i386's, through int 0x80
    Sigreturn32,
    /// System calls with arguments that nobody means (not compared)
    Syscalls,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Sigreturn => "sigreturn",
            Self::Sigreturn32 => "sigreturn32",
            Self::Syscalls => "syscalls",
        }
    }

    /// Cases of a round: what takes Linux less than half a minute.
    fn round(self) -> u64 {
        match self {
            Self::Code | Self::Sigreturn | Self::Sigreturn32 => 2500,
            Self::Syscalls => 300,
        }
    }
}

/// `I/N` with 1 ≤ I ≤ N.
pub fn shard(text: &str) -> Result<(u64, u64), String> {
    let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parsed {
        Some((i, n)) if 1 <= i && i <= n => Ok((i, n)),
        _ => Err("it is I/N with I from 1 to N".into()),
    }
}

/// What a campaign needs to know.
struct Campaign<'a> {
    args: &'a FuzzArgs,
    paths: Paths,
    linux: Option<PathBuf>,
    compared: usize,
    cases: u64,
    findings: usize,
}

/// Runs the command.
pub fn main(args: &FuzzArgs) -> Result<ExitCode> {
    let paths = Paths::find()?;
    let install = args.install.install();
    tools::need_qemu(install)?;
    let linux = if args.alone { None } else { Some(linux::kernel(&paths, args.kernel.as_deref())?) };
    build::all(&paths, install)?;
    let all = Kind::value_variants().to_vec();
    let kinds = if args.kinds.is_empty() { all } else { args.kinds.clone() };
    let mut campaign = Campaign { args, paths, linux, compared: 0, cases: 0, findings: 0 };
    let end = Instant::now() + Duration::from_secs_f64(args.minutes.max(0.0) * 60.0);
    let mut round = args.shard.0 - 1;
    loop {
        for &kind in &kinds {
            campaign.round(kind, round)?;
        }
        round += args.shard.1;
        if args.cases.is_some() || Instant::now() >= end {
            break;
        }
    }
    let Campaign { cases, compared, findings, .. } = campaign;
    println!("seed {}: {cases} cases, {compared} rows as on Linux, {findings} findings", args.seed);
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Campaign<'_> {
    fn round(&mut self, kind: Kind, round: u64) -> Result<()> {
        let cases = self.args.cases.unwrap_or(kind.round());
        let first = self.args.first + round * cases;
        ui::say(&format!("{}: seed {}, cases {first} to {}", kind.name(), self.args.seed, first + cases - 1));
        self.cases += cases;
        let before = self.findings;
        match kind {
            Kind::Syscalls => self.survive(first, cases)?,
            Kind::Code | Kind::Sigreturn | Kind::Sigreturn32 => self.compare(kind, first, cases)?,
        }
        if self.findings > before {
            let pattern = format!("{}-{}-{first}", kind.name(), self.args.seed);
            for who in ["trapline", "linux"] {
                let kept = self.transcript(&format!("{pattern}-{who}"));
                if std::fs::rename(self.transcript(&format!("{}-{who}", kind.name())), &kept).is_ok() {
                    println!("   transcript: {}", kept.display());
                }
            }
        }
        Ok(())
    }

    fn transcript(&self, name: &str) -> PathBuf {
        self.paths.out().join("fuzz").join(format!("{name}.txt"))
    }

    /// Both kernels, at once.
    fn compare(&mut self, kind: Kind, first: u64, cases: u64) -> Result<()> {
        let mut set = Set::fuzz(kind.name(), self.args.seed, first, cases);
        if self.args.show {
            set.commands.iter_mut().for_each(|command| command.push_str(" --show 1"));
        }
        let boot = |kernel: &Path| oracle::boot(kernel, &self.paths, &set, TIMEOUT);
        let (linux, here) = std::thread::scope(|scope| {
            let linux = self.linux.as_deref().map(|kernel| scope.spawn(move || boot(kernel)));
            let here = boot(&self.paths.kernel());
            (linux.map(std::thread::ScopedJoinHandle::join), here)
        });
        let here = here?;
        self.keep(kind, "trapline", &here)?;
        let rows = transcript::rows(&oracle::transcript(&set, &here));
        if self.args.show {
            for row in &rows {
                println!("{}", row.text);
            }
        }
        if let Some(status) = here.status.filter(|status| status.signal().is_some()) {
            // What the emulator cannot run says nothing about the kernel: go on behind it.
            let (case, end) = (next_case(&rows, kind, first), first + cases);
            println!(
                "{}: seed {} case {case}: left out: QEMU itself died ({status})",
                kind.name(),
                self.args.seed
            );
            return if case + 1 < end { self.compare(kind, case + 1, end - case - 1) } else { Ok(()) };
        }
        if let Some(trouble) = oracle::trouble(&set, &here) {
            self.found(kind, next_case(&rows, kind, first), &trouble);
        }
        let lost = lost(&rows, kind, first..first + cases);
        for case in lost.iter().take(SHOWN) {
            self.found(kind, *case, "the case left no line");
        }
        let Some(linux) = linux else { return Ok(()) };
        let linux = linux.map_err(|_| anyhow::anyhow!("the thread that ran Linux panicked"))??;
        self.keep(kind, "linux", &linux)?;
        if let Some(trouble) = oracle::trouble(&set, &linux) {
            bail!("Linux itself: {trouble}");
        }
        let theirs = transcript::rows(&oracle::transcript(&set, &linux));
        let Comparison { identical, different } = transcript::compare(&theirs, &rows);
        self.compared += identical.len();
        for difference in different.iter().take(SHOWN) {
            self.found(kind, case_of(&difference.key, kind).unwrap_or(first), &difference.show());
        }
        self.findings += different.len().saturating_sub(SHOWN);
        Ok(())
    }

    /// Trapline alone must come to the end.
    fn survive(&mut self, first: u64, cases: u64) -> Result<()> {
        const FAULTS: [&str; 5] =
            ["Oops", "BUG:", "general protection fault:", "double fault", "panicked at"];
        let seed = self.args.seed;
        let words = format!("--seed {seed} --first {first} --cases {cases}");
        let append = format!("{CONSOLE} quiet rdinit=/bin/fuzz_syscalls -- {words}");
        let machine = Machine::direct(&self.paths.kernel(), Some(&self.paths.built_rootfs()?), &append);
        let outcome = qemu::run(&machine, Console::Captured, Some(TIMEOUT))?;
        self.keep(Kind::Syscalls, "trapline", &outcome)?;
        let fault = FAULTS.iter().find(|fault| outcome.console.contains(**fault));
        let ended = outcome.console.contains(&format!("fuzz_syscalls: seed {seed}: "));
        let trouble = match (outcome.trouble(), fault) {
            (Some(trouble), _) => Some(trouble),
            (None, Some(fault)) => Some(format!("`{fault}` is on the console")),
            (None, None) if !ended => Some("it did not come to its end".into()),
            (None, None) => None,
        };
        if let Some(trouble) = trouble {
            let last = outcome.console.rmatches(" case ").count() as u64 * 50;
            self.found(Kind::Syscalls, first + last, &trouble);
        }
        Ok(())
    }

    /// Says what was found and how to see it again.
    fn found(&mut self, kind: Kind, case: u64, what: &str) {
        self.findings += 1;
        let (seed, name) = (self.args.seed, kind.name());
        println!("{name}: seed {seed} case {case}: {}", what.trim_end());
        println!("   again: cargo xtask fuzz --seed {seed} --first {case} --cases 1 --show {name}");
    }

    /// Writes the transcript of the newest round.
    fn keep(&self, kind: Kind, who: &str, outcome: &Outcome) -> Result<()> {
        let text = format!("{}\n--- console\n{}", outcome.report, outcome.console);
        let file = self.transcript(&format!("{}-{who}", kind.name()));
        build::write_whole(&file, text.as_bytes()).context("cannot keep the transcript")
    }
}

/// The case that a row is about.
fn case_of(key: &str, kind: Kind) -> Option<u64> {
    let name = key.split(' ').next()?;
    name.strip_prefix(kind.name())?.strip_prefix('_')?.parse().ok()
}

/// The cases without any row.
fn lost(rows: &[transcript::Row], kind: Kind, cases: std::ops::Range<u64>) -> Vec<u64> {
    let seen: BTreeSet<u64> = rows.iter().filter_map(|row| case_of(&row.key, kind)).collect();
    cases.filter(|case| !seen.contains(case)).collect()
}

/// The case behind the last that was heard of.
fn next_case(rows: &[transcript::Row], kind: Kind, first: u64) -> u64 {
    rows.iter().filter_map(|row| case_of(&row.key, kind)).max().map_or(first, |case| case + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards() {
        assert_eq!(shard("2/5"), Ok((2, 5)));
        for bad in ["0/5", "6/5", "1", "a/b"] {
            assert!(shard(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lost_cases_are_noticed() {
        let rows = transcript::rows("code_3 H x=1\ncode_3 E killed\ncode_5 H x=2\n");
        assert_eq!(lost(&rows, Kind::Code, 3..7), [4, 6]);
        assert_eq!(next_case(&rows, Kind::Code, 3), 6);
        assert_eq!(case_of("sigreturn_9 H", Kind::Code), None);
    }
}
