// SPDX-License-Identifier: GPL-2.0-only
//! The user programs that carry an expectation, and the modes that `/init`
//! runs each of them in.

use std::path::Path;
use user::note::{self, End};
use xtask::initramfs;

/// A program under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name in `/bin`.
    pub name: String,
    /// The modes that it is run in.
    pub modes: &'static [&'static str],
}

/// The programs of an initramfs that carry a note.
pub fn in_archive(archive: &Path) -> Result<Vec<Program>, String> {
    let data =
        std::fs::read(archive).map_err(|error| format!("cannot read {}: {error}", archive.display()))?;
    let mut programs = Vec::new();
    for (path, file) in initramfs::files(&data) {
        let Some(name) = path.strip_prefix("bin/") else { continue };
        if let Some(modes) = modes(&file) {
            programs.push(Program { name: name.to_owned(), modes });
        }
    }
    Ok(programs)
}

/// The modes that `/init` runs a program in: without handlers always (called
/// `exit` if the program is to end by itself), with handlers if one is to run.
/// A note that cannot be read is a program too, for `/init` to complain of.
fn modes(file: &[u8]) -> Option<&'static [&'static str]> {
    let notes = note::find(file).ok()??;
    let Ok(expect) = note::parse(notes.text) else { return Some(&["note"]) };
    Some(match (expect.record, expect.end) {
        (Some(_), _) => &["default", "handled"],
        (None, End::Killed(_)) => &["default"],
        (None, End::Exit(_)) => &["exit"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_note_are_no_tests() {
        assert_eq!(modes(b"#!/bin/sh"), None);
        assert_eq!(modes(&crate::hello::program().bytes()), None);
    }
}
