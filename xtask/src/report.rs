// SPDX-License-Identifier: GPL-2.0-only
//! The lines that `/init` writes to the second serial port, one JSON object
//! each, and the table that they make.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Deserialize;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Start { programs: u64 },
    Result(Outcome),
    Ended(Ended),
    Done { passed: u64, failed: u64 },
    Core { name: String, size: u64 },
    CoreData { at: u64, hex: String },
}

/// A core file that a program has left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Core {
    /// Its name, without a directory.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// What is not zero: where, and what.
    pub pieces: Vec<(u64, Vec<u8>)>,
}

impl Core {
    /// Writes it into a directory, holes as holes; returns where.
    pub fn save(&self, dir: &Path) -> std::io::Result<PathBuf> {
        let path = dir.join(&self.name);
        let mut file = std::fs::File::create(&path)?;
        file.set_len(self.size)?;
        for (at, bytes) in &self.pieces {
            file.seek(SeekFrom::Start(*at))?;
            file.write_all(bytes)?;
        }
        Ok(path)
    }
}

/// How one run of one program compared with what its note says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Outcome {
    /// The program's name.
    pub program: String,
    /// `default`, `handled` or `exit`.
    pub mode: String,
    /// Did everything agree?
    pub ok: bool,
    /// What the note promises.
    #[serde(default)]
    pub expected: String,
    /// What happened.
    #[serde(default)]
    pub got: String,
    /// The kernel's own line about it.
    #[serde(default)]
    pub log: String,
    /// What did not agree.
    #[serde(default)]
    pub why: String,
}

/// How a program that was run by itself ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ended {
    /// The program's path in the guest.
    pub program: String,
    /// The wait status.
    pub status: i64,
    /// The wait status in words.
    #[serde(default)]
    pub text: String,
}

impl Ended {
    /// The exit status that a shell would give: the program's own, or 128
    /// and the signal's number.
    pub fn shell_status(&self) -> u8 {
        match (self.status & 0x7f) as u8 {
            0 => (self.status >> 8) as u8,
            signal => 128 | signal,
        }
    }
}

/// No core file is larger: a sparse file of this size is no burden.
const CORE_MAX: u64 = 1 << 40;

/// The whole report, as far as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many programs `/init` set out to run.
    pub programs: Option<u64>,
    /// The comparisons, in order.
    pub results: Vec<Outcome>,
    /// The program that was run by itself.
    pub ended: Option<Ended>,
    /// `(passed, failed)`, once `/init` has finished.
    pub done: Option<(u64, u64)>,
    /// Core files.
    pub cores: Vec<Core>,
    /// Lines that made no sense.
    pub garbage: usize,
}

impl Report {
    /// Reads a report; lines that make no sense are counted, not fatal.
    pub fn parse(text: &str) -> Self {
        let mut report = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match serde_json::from_str(line) {
                Ok(Line::Start { programs }) => report.programs = Some(programs),
                Ok(Line::Result(outcome)) => report.results.push(outcome),
                Ok(Line::Ended(ended)) => report.ended = Some(ended),
                Ok(Line::Done { passed, failed }) => report.done = Some((passed, failed)),
                Ok(Line::Core { name, size }) => {
                    let leaf = Path::new(&name).file_name().map(|leaf| leaf.to_string_lossy().into_owned());
                    match leaf.filter(|leaf| *leaf == name && size <= CORE_MAX) {
                        Some(name) => report.cores.push(Core { name, size, pieces: Vec::new() }),
                        None => report.garbage += 1,
                    }
                }
                Ok(Line::CoreData { at, hex }) => {
                    if !report.add_core_data(at, &hex) {
                        report.garbage += 1;
                    }
                }
                Err(_) => report.garbage += 1,
            }
        }
        report
    }

    /// Adds a piece to the last core file; false if it does not belong there.
    fn add_core_data(&mut self, at: u64, hex: &str) -> bool {
        let (Some(core), Ok(bytes)) = (self.cores.last_mut(), hex::decode(hex)) else { return false };
        let fits = at.checked_add(bytes.len() as u64).is_some_and(|end| end <= core.size);
        if fits {
            core.pieces.push((at, bytes));
        }
        fits
    }

    /// The comparisons that did not hold.
    pub fn failures(&self) -> impl Iterator<Item = &Outcome> {
        self.results.iter().filter(|outcome| !outcome.ok)
    }

    /// The comparison of one program in one mode.
    pub fn get(&self, program: &str, mode: &str) -> Option<&Outcome> {
        self.results.iter().find(|outcome| outcome.program == program && outcome.mode == mode)
    }

    /// The table at the end of a run, for a screen of that many columns; a
    /// screen too narrow for it gets the rows as paragraphs.
    pub fn table(&self, columns: Option<usize>) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["", "program", "mode", "expected", "got", "dmesg"]);
        for outcome in &self.results {
            let row = [
                outcome.mark(),
                &outcome.program,
                &outcome.mode,
                &outcome.expected,
                &outcome.came(),
                &outcome.log,
            ];
            table.add_row(row);
        }
        let table = table.to_string();
        let width = table.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        if columns.is_none_or(|columns| width <= columns) {
            return table;
        }
        self.results.iter().map(Outcome::paragraph).collect::<Vec<_>>().join("\n")
    }
}

impl Outcome {
    fn mark(&self) -> &'static str {
        if self.ok { "ok" } else { "FAIL" }
    }

    /// What happened, and what of it was wrong.
    fn came(&self) -> String {
        if self.why.is_empty() { self.got.clone() } else { format!("{} ({})", self.got, self.why) }
    }

    fn paragraph(&self) -> String {
        let head = format!("{:<4} {} {}", self.mark(), self.program, self.mode);
        let came = self.came();
        let rest = [("expected", &self.expected), ("got", &came), ("dmesg", &self.log)];
        let rest = rest.iter().filter(|(_, value)| !value.is_empty());
        let rest = rest.map(|(name, value)| format!("       {name:<8}  {value}"));
        std::iter::once(head).chain(rest).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = r#"{"type":"start","programs":1}
{"type":"result","program":"divide_error","mode":"default","ok":true,"expected":"SIGFPE","got":"SIGFPE","log":"traps: x","why":""}
[    1.0] someone else's words
{"type":"result","program":"bp","mode":"exit","ok":false}
{"type":"done","passed":1,"failed":1}
"#;

    #[test]
    fn reads_past_garbage() {
        let report = Report::parse(GOOD);
        assert_eq!(report.programs, Some(1));
        assert_eq!(report.done, Some((1, 1)));
        assert_eq!(report.garbage, 1);
        assert!(report.get("divide_error", "default").is_some_and(|outcome| outcome.ok));
        assert_eq!(report.failures().map(|outcome| outcome.program.as_str()).collect::<Vec<_>>(), ["bp"]);
    }

    #[test]
    fn core_files_come_in_pieces() {
        let report = Report::parse(
            r#"{"type":"core","name":"core.x.7","size":4096}
{"type":"coredata","at":16,"hex":"7f45"}
{"type":"coredata","at":4095,"hex":"0000"}
{"type":"coredata","at":0,"hex":"7"}
{"type":"core","name":"../x","size":1}
"#,
        );
        assert_eq!(report.garbage, 3);
        let core = Core { name: "core.x.7".into(), size: 4096, pieces: vec![(16, vec![0x7f, 0x45])] };
        assert_eq!(report.cores, [core]);
        let dir = tempfile::tempdir().unwrap();
        let path = report.cores[0].save(dir.path()).unwrap();
        let bytes = std::fs::read(path).unwrap();
        assert_eq!((bytes.len(), &bytes[15..19]), (4096, &[0, 0x7f, 0x45, 0][..]));
    }

    #[test]
    fn the_table_has_what_was_reported() {
        let table = Report::parse(GOOD).table(None);
        for word in ["divide_error", "default", "SIGFPE", "traps: x", "FAIL", "exit"] {
            assert!(table.contains(word), "{word} in\n{table}");
        }
        let narrow = Report::parse(GOOD).table(Some(40));
        assert!(narrow.starts_with("ok   divide_error default\n       expected  SIGFPE\n"), "{narrow}");
    }

    #[test]
    fn a_program_by_itself_ends_as_in_a_shell() {
        let ended = |line: &str| Report::parse(line).ended.map(|ended| ended.shell_status());
        assert_eq!(ended(r#"{"type":"ended","program":"/a","status":768,"text":"exit 3"}"#), Some(3));
        assert_eq!(
            ended(r#"{"type":"ended","program":"/a","status":139,"text":"killed by SIGSEGV"}"#),
            Some(139)
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>(), cut in 0usize..400) {
            let _ = Report::parse(&text);
            let _ = Report::parse(GOOD.get(cut..).unwrap_or(""));
            let _ = Report::parse(GOOD.get(..cut).unwrap_or("")).table(Some(cut));
        }
    }
}
