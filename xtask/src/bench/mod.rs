// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask bench`: what things cost, in guest instructions.
//!
//! The instructions are counted by QEMU (`-icount shift=0`), where one tick of
//! the time-stamp counter is one executed instruction, from reset on. The
//! processor has no ERMS and no PKU: with ERMS each byte of a `rep movsb`
//! counts as an instruction, and PKU makes the translator slow out of
//! proportion, so that either would measure QEMU and not a kernel.
//!
//! | module | what |
//! |---|---|
//! | [`boot`] | the way to `/init` |
//! | [`rows`] | the common paths, beside Linux and the budgets |
//! | [`scale`] | the same with very many mappings and processes |
//! | [`profile`] | which functions a row's instructions are in |

pub mod boot;
pub mod profile;
pub mod rows;
pub mod scale;

use crate::build;
use crate::cli::Bench;
use crate::paths::Paths;
use crate::qemu::{self, Accel, Console, Machine};
use crate::run::CONSOLE;
use crate::tools::{self, Install};
use anyhow::{Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The processor that is measured on.
const CPU: &str = "max,-la57,-erms,-pku";
/// Longest that one measurement may take.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Runs the command.
pub fn main(what: &Bench) -> Result<ExitCode> {
    match what {
        Bench::Boot(args) => boot::main(args),
        Bench::Rows(args) => rows::main(args),
        Bench::Scale(args) => scale::main(args),
        Bench::Profile(args) => profile::main(args),
    }
}

/// What another kernel may be.
pub fn other_kernel(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if path.is_file() { Ok(path) } else { Err("no such file".into()) }
}

/// One line of a measuring program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Smallest of the samples, in instructions.
    pub min: u64,
    /// The sample in the middle.
    pub median: u64,
    /// Largest of the samples.
    pub max: u64,
}

impl Row {
    /// `bench NAME SAMPLES MIN MEDIAN MAX`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.trim().strip_prefix("bench ")?.split_whitespace();
        let name = words.next()?.to_owned();
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
        let [_, min, median, max] = numbers[..] else { return None };
        Some(Self { name, min, median, max })
    }
}

/// Builds kernel and initramfs, and says which kernel is to be measured.
fn prepare(paths: &Paths, install: Install) -> Result<()> {
    tools::need_qemu(install)?;
    build::kernel(paths, install)?;
    build::write_whole(&paths.rootfs(), &build::default_rootfs(paths, install)?.finish())
}

/// The machine that counts, with one of the measuring programs as its `/init`.
fn machine(kernel: &Path, rootfs: &Path, program: &str, words: &str) -> Machine {
    let append = format!("{CONSOLE} quiet nokaslr rdinit=/bin/{program} -- {words}");
    let mut machine = Machine::direct(kernel, Some(rootfs), &append);
    machine.accel = Accel::CountedTcg;
    machine.cpu = CPU.into();
    machine.memory = 512;
    machine
}

/// Boots a kernel with a measuring program, and returns what that says.
///
/// # Errors
/// The machine's trouble, or a program that ends without a word.
pub fn measure(kernel: &Path, rootfs: &Path, program: &str) -> Result<Vec<Row>> {
    let machine = machine(kernel, rootfs, program, "--samples 4096000");
    let outcome = qemu::run(&machine, Console::Captured, Some(TIMEOUT))?;
    if let Some(panic) = outcome.panic_line() {
        bail!("{}: the machine stopped with `{panic}`", kernel.display());
    }
    if let Some(trouble) = outcome.trouble() {
        bail!("{}: {trouble}", kernel.display());
    }
    let rows: Vec<Row> = outcome.console.lines().filter_map(Row::parse).collect();
    if rows.is_empty() {
        bail!("{}: {program} said nothing; the console:\n{}", kernel.display(), outcome.console);
    }
    Ok(rows)
}

/// A table whose columns `numbers` stand to the right.
fn table(
    header: &[&str],
    numbers: std::ops::Range<usize>,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    table.add_rows(rows);
    for i in numbers {
        if let Some(column) = table.column_mut(i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// How many times `b` goes into `a`.
#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
fn times(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}

/// A number with its thousands set apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_numbers_grouped() {
        let row = Row::parse("bench ud2 2000 1999 2000 2404\r").unwrap();
        assert_eq!((row.name.as_str(), row.min, row.median, row.max), ("ud2", 1999, 2000, 2404));
        assert_eq!(Row::parse("bench ud2 2000 1999"), None);
        assert_eq!(Row::parse("[    0.1] bench: no"), None);
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
    }
}
