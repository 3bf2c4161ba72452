// SPDX-License-Identifier: GPL-2.0-only
//! Whole oopses, compared between two kernels.
//!
//! `/bin/provoke` has the kernel make its own faults (lkdtm). Everything that the kernel says
//! of one, from `lkdtm: Performing direct entry` to what became of the task that asked, is
//! taken, brought into a form that is the same wherever the kernel was built and whatever it
//! lay at ([`normalise`]), and compared line by line with what Linux 6.1 said
//! (`tests/recorded/oopses.txt`, a section for each fault). No line is left out because it
//! differs: what must differ is written in a common way, by a rule that has its reason beside it.

mod normalise;

use crate::initramfs::{Archive, joined};
use crate::paths::Paths;
use crate::qemu::{self, Console, Machine};
use crate::run::CONSOLE;
use anyhow::{Context, Result};
use normalise::Normaliser;
use similar::{Algorithm, ChangeTag, capture_diff_slices};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the set, and of its file.
pub const SET: &str = "oopses";

/// One boot, and what is provoked in it.
#[derive(Debug, Clone, Copy)]
pub struct Boot {
    /// Words for the kernel's command line.
    pub append: &'static str,
    /// The faults, in order: an oops repeats the first one's registers and counts.
    pub names: &'static [&'static str],
}

/// All boots: one that the machine survives, and those that end it.
pub const BOOTS: &[Boot] = &[
    Boot {
        append: "",
        names: &[
            "BUG",
            "WARNING",
            "WARNING_MESSAGE",
            "EXCEPTION",
            "UNALIGNED_LOAD_STORE_WRITE",
            "EXEC_DATA",
            "EXEC_STACK",
            "EXEC_KMALLOC",
            "EXEC_VMALLOC",
            "EXEC_RODATA",
            "EXEC_USERSPACE",
            "EXEC_NULL",
            "ACCESS_USERSPACE",
            "ACCESS_NULL",
            "WRITE_RO",
            "WRITE_KERN",
            "WRITE_OPD",
            "STACK_GUARD_PAGE_LEADING",
            "STACK_GUARD_PAGE_TRAILING",
            "DOUBLE_FAULT",
            "CORRUPT_PAC",
        ],
    },
    Boot { append: "", names: &["EXHAUST_STACK"] },
    Boot { append: "", names: &["PANIC"] },
    Boot { append: "oops=panic", names: &["EXCEPTION"] },
];

impl Boot {
    /// A section's name.
    pub fn title(&self, name: &str) -> String {
        if self.append.is_empty() { name.to_owned() } else { format!("{name} {}", self.append) }
    }
}

/// What was said of each fault, normalised.
pub type Oopses = BTreeMap<String, Vec<String>>;

/// The file with what Linux said.
pub fn recorded(paths: &Paths) -> PathBuf {
    crate::oracle::recorded(paths, SET)
}

/// Boots a kernel, and takes what it said. `module` is lkdtm where it is not part of the kernel.
pub fn boot(kernel: &Path, paths: &Paths, module: Option<&Path>, boot: &Boot) -> Result<Oopses> {
    let mut initrd = std::fs::read(paths.built_rootfs()?).context("cannot read the initramfs")?;
    if let Some(module) = module {
        let mut more = Archive::new();
        more.program("lkdtm.ko", module)?;
        initrd = joined(&initrd, &more.finish());
    }
    let file = tempfile::NamedTempFile::new().context("cannot write; is the disk full?")?;
    std::fs::write(file.path(), initrd).context("cannot write; is the disk full?")?;
    let words =
        format!("{CONSOLE} no_timer_check norandmaps {} -- provoke {}", boot.append, boot.names.join(" "));
    let mut machine = Machine::direct(kernel, Some(file.path()), &words);
    machine.memory = 512;
    let outcome = qemu::run(&machine, Console::Captured, Some(Duration::from_secs(120)))?;
    Ok(boot.names.iter().map(|name| (boot.title(name), section(&outcome.console, name))).collect())
}

/// Who speaks by the clock and not of what was provoked.
const OTHERS: [&str; 3] = ["tsc: ", "clocksource: ", "random: "];

/// The lines about one fault; none if it was never provoked.
fn section(console: &str, name: &str) -> Vec<String> {
    let begin = format!("lkdtm: Performing direct entry {name}");
    let end = format!("provoke: {name}: ");
    let mut normaliser = Normaliser::default();
    let lines = console.lines().map(without_time).skip_while(|line| *line != begin);
    let mut out = Vec::new();
    for line in lines.filter(|line| !OTHERS.iter().any(|other| line.starts_with(other))) {
        out.extend(normaliser.line(line));
        if line.starts_with(&end) {
            break;
        }
    }
    out
}

/// A line without its time stamp: time passes as it likes.
fn without_time(line: &str) -> &str {
    let line = line.trim_end();
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((time, rest)) if time.trim().chars().all(|c| c.is_ascii_digit() || c == '.') => rest.trim_end(),
        _ => line,
    }
}

/// Writes sections in the form of the recorded file.
pub fn write(all: &Oopses) -> String {
    let mut out = String::from(
        "# What Linux 6.1 said of faults of its own, normalised (xtask/src/oops.rs says how).\n\
         # `cargo xtask compare --record oopses` makes this file.\n",
    );
    for (title, lines) in all {
        let _ = writeln!(out, "\n== {title}");
        for line in lines {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

/// Reads them back.
pub fn read(text: &str) -> Oopses {
    let mut all = Oopses::new();
    let mut title = None;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        match line.strip_prefix("== ") {
            Some(name) => title = Some(name.to_owned()),
            None => all.entry(title.clone().unwrap_or_default()).or_default().push(line.to_owned()),
        }
    }
    all
}

/// The lines in which two sections differ, as `diff` shows them.
pub fn difference(linux: &[String], here: &[String]) -> Option<String> {
    if linux == here {
        return None;
    }
    let mut out = String::new();
    for op in capture_diff_slices(Algorithm::Myers, linux, here) {
        for line in op.iter_changes(linux, here) {
            let _ = match line.tag() {
                ChangeTag::Delete => writeln!(out, "   linux: {}", line.value()),
                ChangeTag::Insert => writeln!(out, "   here:  {}", line.value()),
                ChangeTag::Equal => Ok(()),
            };
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_cut_out() {
        let console = "[ 0.1] x\r\n[ 0.2] lkdtm: Performing direct entry BUG\r\n[ 0.3] kernel BUG at a.c:7!\r\n\
                       provoke: BUG: killed by SIGSEGV\r\n[ 0.4] lkdtm: Performing direct entry BUGS\r\n";
        assert_eq!(
            section(console, "BUG"),
            [
                "lkdtm: Performing direct entry BUG",
                "kernel BUG at SOURCE!",
                "provoke: BUG: killed by SIGSEGV"
            ]
        );
        assert!(section(console, "NO").is_empty());
    }

    #[test]
    fn files_are_read_as_written() {
        let mut all = Oopses::new();
        all.insert("A".into(), vec!["#PF: one".into(), " two".into()]);
        all.insert("B oops=panic".into(), vec!["three".into()]);
        assert_eq!(read(&write(&all)), all);
        let (a, b) = (&all["A"], &["#PF: one".to_owned(), "2".to_owned()][..]);
        assert_eq!(difference(a, a), None);
        assert_eq!(difference(a, b).unwrap(), "   linux:  two\n   here:  2\n");
    }
}
