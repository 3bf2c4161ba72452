// SPDX-License-Identifier: GPL-2.0-only
//! The programs of a directory that carry an expectation, by name.

use super::options::{Options, What};
use crate::{Errno, Result, file, note, text, text::Text};
use core::ffi::CStr;
use core::fmt::Write;

const MAX: usize = 512;
const NAME: usize = 32;

/// Names in alphabetical order.
pub struct List {
    names: [[u8; NAME]; MAX],
    len: usize,
}

impl List {
    /// The programs that the options ask for.
    pub fn of(options: &Options, buffer: &mut [u8]) -> Result<Self> {
        let mut list = Self { names: [[0; NAME]; MAX], len: 0 };
        if let What::Only(names) = options.what {
            names.split(',').filter(|n| !n.is_empty()).for_each(|n| list.add(n));
            return Ok(list);
        }
        let dir = text!(256, "{}\0", options.dir());
        let dir = CStr::from_bytes_until_nul(dir.as_str().as_bytes()).unwrap_or(c"/bin");
        let fd = file::open(dir, file::O_RDONLY | file::O_DIRECTORY, 0)?;
        let mut entries = [0u8; 4096];
        loop {
            let n = file::getdents64(fd, &mut entries)?;
            if n == 0 {
                break;
            }
            each_name(&entries[..n], |name| {
                if carries_note(options, name, buffer) {
                    list.add(name);
                }
            });
        }
        file::close(fd)?;
        Ok(list)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names[..self.len].iter().map(|n| {
            let end = n.iter().position(|&b| b == 0).unwrap_or(NAME);
            core::str::from_utf8(&n[..end]).unwrap_or("?")
        })
    }

    /// Adds a name at its place; what is too long or too many is left out, with a word about it.
    fn add(&mut self, name: &str) {
        if name.len() > NAME || self.len == MAX {
            crate::println!("init: {name} left out: name too long or too many programs");
            return;
        }
        let mut new = [0; NAME];
        new[..name.len()].copy_from_slice(name.as_bytes());
        let at = self.names[..self.len].partition_point(|n| *n < new);
        self.names.copy_within(at..self.len, at + 1);
        self.names[at] = new;
        self.len += 1;
    }
}

/// Calls `f` with each name in a buffer that `getdents64` filled.
pub fn each_name(mut entries: &[u8], mut f: impl FnMut(&str)) {
    while entries.len() > 19 {
        let len = usize::from(u16::from_le_bytes([entries[16], entries[17]]));
        let Some(entry) = entries.get(..len).filter(|e| e.len() > 19) else {
            return;
        };
        let name = CStr::from_bytes_until_nul(&entry[19..]).ok().and_then(|n| n.to_str().ok());
        name.into_iter().filter(|n| !n.starts_with('.')).for_each(&mut f);
        entries = &entries[len..];
    }
}

/// Whether a file is a program with a note: also one whose note is bad, which is then reported.
fn carries_note(options: &Options, name: &str, buffer: &mut [u8]) -> bool {
    let path = options.path_of(name);
    let Ok(path) = CStr::from_bytes_until_nul(path.as_str().as_bytes()) else {
        return false;
    };
    match read_file(path, buffer) {
        Ok(image) => !matches!(note::find(image), Ok(None) | Err(note::Error::NotElf)),
        Err(_) => false,
    }
}

/// Reads a whole file into the buffer.
pub fn read_file<'b>(path: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
    let fd = file::open(path, file::O_RDONLY, 0)?;
    let n = file::read_full(fd, buffer);
    file::close(fd)?;
    match n? {
        n if n == buffer.len() => Err(Errno(linux_raw_sys::errno::EFBIG)),
        n => Ok(&buffer[..n]),
    }
}

/// Joins words with ", ".
pub fn join<const N: usize>(to: &mut Text<N>, word: core::fmt::Arguments<'_>) {
    if !to.is_empty() {
        let _ = to.write_str(", ");
    }
    let _ = to.write_fmt(word);
}
