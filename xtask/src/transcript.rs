// SPDX-License-Identifier: GPL-2.0-only
//! What two kernels said, row by row.
//!
//! A row is one line of a probe's output. Its key is its first two words (three where the
//! first is a mark in brackets); rows of the same key are told apart by their order.

use std::collections::BTreeMap;
use std::fmt::Write;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its first words.
    pub key: String,
    /// The whole of it.
    pub text: String,
}

/// A row that is not the same on both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The row's key.
    pub key: String,
    /// What Linux said, if anything.
    pub linux: Option<String>,
    /// What Trapline said, if anything.
    pub here: Option<String>,
}

/// Two transcripts compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The keys of the rows that are the same.
    pub identical: Vec<String>,
    /// The rest, in Linux's order.
    pub different: Vec<Difference>,
}

/// The rows of a transcript; lines that begin with `==` are the batch's own.
pub fn rows(text: &str) -> Vec<Row> {
    let lines = text.lines().map(str::trim_end).filter(|l| !l.is_empty() && !l.starts_with("=="));
    lines.map(|line| Row { key: key(line), text: line.to_owned() }).collect()
}

fn key(line: &str) -> String {
    let words = if line.starts_with('[') { 3 } else { 2 };
    let words: Vec<&str> = line.split_whitespace().take(words).collect();
    let key = words.join(" ");
    // A value is not part of the key.
    match key.find('=') {
        Some(end) if key.rfind(' ').is_some_and(|last| last < end) => key[..end].trim_end().to_owned(),
        _ => key,
    }
}

/// The rows of each group of the first word's beginning (up to `_` or `[`).
pub fn group(key: &str) -> &str {
    let name = key.split_whitespace().find(|w| !w.starts_with('[')).unwrap_or(key);
    let end = name.find(['_', '[', ':', '=']).unwrap_or(name.len());
    name.get(..end).filter(|g| !g.is_empty()).unwrap_or(name)
}

/// Compares, row by row.
pub fn compare(linux: &[Row], here: &[Row]) -> Comparison {
    let mut left = numbered(here);
    let mut result = Comparison::default();
    for (id, row) in with_numbers(linux) {
        match left.remove(&id) {
            Some(text) if text == row.text => result.identical.push(row.key.clone()),
            other => result.different.push(Difference {
                key: row.key.clone(),
                linux: Some(row.text.clone()),
                here: other.map(str::to_owned),
            }),
        }
    }
    for (_, row) in with_numbers(here).into_iter().filter(|(id, _)| left.contains_key(id)) {
        result.different.push(Difference { key: row.key.clone(), linux: None, here: Some(row.text.clone()) });
    }
    result
}

fn with_numbers(rows: &[Row]) -> Vec<((String, usize), &Row)> {
    let mut seen = BTreeMap::<&str, usize>::new();
    let number = |row: &'_ Row, seen: &mut usize| {
        *seen += 1;
        (row.key.clone(), *seen)
    };
    rows.iter().map(|row| (number(row, seen.entry(&row.key).or_default()), row)).collect()
}

fn numbered(rows: &[Row]) -> BTreeMap<(String, usize), &str> {
    with_numbers(rows).into_iter().map(|(id, row)| (id, row.text.as_str())).collect()
}

impl Difference {
    /// The two sides: only the fields that differ if both have the same fields, else the lines.
    pub fn show(&self) -> String {
        let mut out = format!("{}\n", self.key);
        match (&self.linux, &self.here) {
            (Some(linux), Some(here)) => {
                let (linux, here) = fields(linux, here).unwrap_or_else(|| (linux.clone(), here.clone()));
                let _ = writeln!(out, "   linux: {linux}\n   here:  {here}");
            }
            (Some(linux), None) => {
                let _ = writeln!(out, "   linux: {linux}\n   here:  (no such row)");
            }
            (None, here) => {
                let _ = writeln!(out, "   linux: (no such row)\n   here:  {}", here.as_deref().unwrap_or(""));
            }
        }
        out
    }
}

/// The words that differ, if there are as many on both sides and few that do.
fn fields(linux: &str, here: &str) -> Option<(String, String)> {
    let (a, b): (Vec<_>, Vec<_>) = (linux.split(' ').collect(), here.split(' ').collect());
    if a.len() != b.len() {
        return None;
    }
    let pairs: Vec<_> = a.iter().zip(&b).filter(|(a, b)| a != b).collect();
    if pairs.len() * 2 > a.len() {
        return None;
    }
    let join = |of: &dyn Fn(&(&&str, &&str)) -> String| pairs.iter().map(of).collect::<Vec<_>>().join(" ");
    Some((join(&|p| (*p.0).to_string()), join(&|p| (*p.1).to_string())))
}

/// A difference that is known, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The line in the file.
    pub line: usize,
    /// Whose rows.
    pub set: String,
    /// Which rows: a key, with `*` for anything.
    pub rows: String,
    /// Why.
    pub reason: String,
}

/// Reads `SET: ROWS: REASON` lines; `#` begins a comment.
pub fn expected(text: &str) -> Result<Vec<Expected>, String> {
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut parts = line.splitn(3, ": ").map(str::trim).filter(|part| !part.is_empty());
        let (Some(set), Some(rows), Some(reason)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("line {}: it is not `SET: ROWS: REASON`", index + 1));
        };
        let (set, rows, reason) = (set.to_owned(), rows.to_owned(), reason.to_owned());
        all.push(Expected { line: index + 1, set, rows, reason });
    }
    Ok(all)
}

impl Expected {
    /// Is this row meant?
    pub fn covers(&self, set: &str, key: &str) -> bool {
        self.set == set && matches(&self.rows, key)
    }
}

/// Does a text match a pattern in which `*` stands for anything?
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, rest)) => text.strip_prefix(before).is_some_and(|text| {
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.any(|at| matches(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_groups() {
        let key_of = |line: &str| rows(line)[0].key.clone();
        assert_eq!(key_of("pf_null H sig=SEGV(11) errno=0"), "pf_null H");
        assert_eq!(key_of("[noalt] pf_null H sig=SEGV(11)"), "[noalt] pf_null H");
        assert_eq!(key_of("auxv at[26]=2"), "auxv at[26]");
        assert_eq!(key_of("si_chld => exit(0)"), "si_chld");
        assert_eq!(group("pf_null H"), "pf");
        assert_eq!(group("[noalt] ud_ud2 H"), "ud");
        assert_eq!(group("sigreturn[fp] x"), "sigreturn");
        assert!(rows("== ended exit 0\n\n").is_empty());
    }

    #[test]
    fn rows_are_matched_by_key_and_order() {
        let linux = rows("a H x=1\na H x=2\nb D\n");
        let here = rows("a H x=1\na H x=3\nc D\n");
        let result = compare(&linux, &here);
        assert_eq!(result.identical, ["a H"]);
        let keys: Vec<&str> = result.different.iter().map(|d| d.key.as_str()).collect();
        assert_eq!(keys, ["a H", "b D", "c D"]);
        assert!(result.different[0].show().contains("linux: x=2"));
        assert_eq!(compare(&linux, &linux).different, []);
    }

    #[test]
    fn only_the_fields_that_differ_are_shown() {
        let linux = rows("a H sig=1 code=2 addr=3 trapno=4");
        let here = rows("a H sig=1 code=2 addr=9 trapno=4");
        let shown = compare(&linux, &here).different[0].show();
        assert_eq!(shown, "a H\n   linux: addr=3\n   here:  addr=9\n");
    }

    #[test]
    fn expectations_have_a_reason() {
        let list = expected("# c\n\nprobes: hw*_x T: no ptrace: yet\n").unwrap();
        assert_eq!(list[0].reason, "no ptrace: yet");
        assert!(list[0].covers("probes", "hwbp_x T") && !list[0].covers("other", "hwbp_x T"));
        assert!(!list[0].covers("probes", "hwbp_y T"));
        assert!(expected("probes: x").is_err());
        assert!(matches("*", "") && matches("a*", "abc") && !matches("a*d", "abc"));
    }
}
