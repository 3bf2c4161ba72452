// SPDX-License-Identifier: GPL-2.0-only
//! Static programs of the host's, run by `/bin/batch` on any kernel, and what they said.

use crate::initramfs::{Archive, files};
use crate::paths::Paths;
use crate::qemu::{self, Machine};
use crate::run::CONSOLE;
use crate::selftests::verdict::{self, Verdict};
use crate::transcript::{self, Row};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A program, and the words that it is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostProgram {
    /// What its rows are called.
    pub name: String,
    /// The executable.
    pub file: PathBuf,
    /// Its arguments.
    pub words: Vec<String>,
}

impl HostProgram {
    /// A program as it is; its rows are called like the file and the words.
    pub fn new(file: &Path, words: &[String]) -> Self {
        let leaf = file.file_name().unwrap_or_default().to_string_lossy();
        let name =
            std::iter::once(leaf.into_owned()).chain(words.iter().cloned()).collect::<Vec<_>>().join(":");
        Self { name, file: file.to_path_buf(), words: words.to_vec() }
    }
}

/// When a program is killed, in seconds.
const LIMIT: u32 = 60;
/// So long a machine may be silent beyond that.
const GRACE: u32 = 30;

/// Runs programs on a kernel; each line that one wrote is a row, and so is how it ended.
pub fn rows(kernel: &Path, paths: &Paths, programs: &[HostProgram]) -> Result<Vec<Row>> {
    let file = tempfile::NamedTempFile::new().context("cannot write; is the disk full?")?;
    std::fs::write(file.path(), archive(paths, programs)?).context("cannot write; is the disk full?")?;
    let append = format!("{CONSOLE} quiet loglevel=1 no_timer_check rdinit=/bin/batch");
    let mut machine = Machine::direct(kernel, Some(file.path()), &append);
    machine.memory = 512;
    let outcome = qemu::run_until_quiet(&machine, Duration::from_secs((LIMIT + GRACE).into()))?;
    let said = outcome.report.replace('\r', "");
    let (done, running) = verdict::results(&said);
    if let Some((program, output)) = running {
        let why = outcome.panic_line().unwrap_or("the machine stood still");
        bail!("{program}: {why}\n{output}\n--- console\n{}", outcome.console);
    }
    if said.lines().last() != Some("== done") {
        bail!("the programs did not come to their end\n{}", outcome.console);
    }
    let mut lines = Vec::new();
    for (program, (_, result)) in programs.iter().zip(&done) {
        let said =
            result.output.lines().filter_map(stable).chain([format!("ended: {}", ending(&result.verdict))]);
        lines.extend(said.map(|line| format!("{} {line}", program.name)));
    }
    Ok(transcript::rows(&lines.join("\n")))
}

/// How a program ended, in a program's words.
fn ending(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "exit 0".into(),
        Verdict::Skip => "exit 4".into(),
        Verdict::Fail(code) => format!("exit {code}"),
        Verdict::Killed(signal) => format!("killed by {signal}"),
        other => other.to_string(),
    }
}

/// A line without what differs from run to run and from compiler to compiler: process ids,
/// addresses of code, the lines of a backtrace.
fn stable(line: &str) -> Option<String> {
    let backtrace = ["#", "\t", "goroutine ", "main.", "runtime.", "created by "];
    if line.trim().is_empty() || backtrace.iter().any(|begin| line.starts_with(begin)) {
        return None;
    }
    let word = |word: &str| {
        let inner = word.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        if inner.is_some_and(|n| {
            !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) && line.starts_with("thread ")
        }) {
            return "(PID)".to_owned();
        }
        match word.split_once("0x") {
            Some((before, digits)) if digits.trim_end_matches(']').len() > 4 => format!("{before}ADDRESS"),
            _ => word.to_owned(),
        }
    };
    Some(line.split(' ').map(word).collect::<Vec<_>>().join(" "))
}

fn archive(paths: &Paths, programs: &[HostProgram]) -> Result<Vec<u8>> {
    let rootfs = std::fs::read(paths.built_rootfs()?).context("cannot read the initramfs")?;
    let mut archive = Archive::new();
    for dir in ["bin", "dev", "proc", "sys", "tmp"] {
        archive.dir(dir);
    }
    archive.char_device("dev/console", 0o600, (5, 1));
    archive.file(
        "bin/batch",
        0o755,
        files(&rootfs).remove("bin/batch").context("the initramfs has no bin/batch")?,
    );
    let mut commands = Vec::new();
    for (number, program) in programs.iter().enumerate() {
        let leaf = program.file.file_name().unwrap_or_default().to_string_lossy();
        let place = format!("programs/{number}/{leaf}");
        archive.program(&place, &program.file)?;
        commands.push(format!("@{LIMIT} /{place} {}", program.words.join(" ")));
    }
    archive.file("batch", 0o644, commands.join("\n") + "\n");
    Ok(archive.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_words() {
        let program = HostProgram::new(Path::new("/x/a.out"), &["one".into(), "two".into()]);
        assert_eq!(program.name, "a.out:one:two");
    }

    #[test]
    fn what_varies_is_masked() {
        let line = "thread 'main' (17) has overflowed its stack";
        assert_eq!(stable(line).as_deref(), Some("thread 'main' (PID) has overflowed its stack"));
        let line = "[signal SIGSEGV: code=0x1 addr=0x8 pc=0x49412f]";
        assert_eq!(stable(line).as_deref(), Some("[signal SIGSEGV: code=0x1 addr=0x8 pc=ADDRESS"));
        assert_eq!(stable("#0  0x402272 in ???"), None);
        assert_eq!(stable("sum (a) (1, 2)").as_deref(), Some("sum (a) (1, 2)"));
    }
}
