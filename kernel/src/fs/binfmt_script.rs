// SPDX-License-Identifier: GPL-2.0-only
//! `#!` (Linux 6.1, `fs/binfmt_script.c`): which interpreter, with which argument.

use crate::errno::{ENOEXEC, Result};

/// How much of a file is looked at (`BINPRM_BUF_SIZE`).
pub const BUF_SIZE: usize = 256;

const fn spacetab(c: u8) -> bool {
    c == b' ' || c == b'\t'
}

/// A script's interpreter and its one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script<'a> {
    /// Path of the interpreter.
    pub interp: &'a [u8],
    /// The rest of the line, if there is any.
    pub arg: Option<&'a [u8]>,
}

/// Up to a NUL, as C sees it.
fn c_str(s: &[u8]) -> &[u8] {
    s.split(|&b| b == 0).next().unwrap_or(&[])
}

/// Reads the first bytes of a file, followed by NULs if it is shorter; `None` if it is no
/// script, `ENOEXEC` if it is one without an interpreter, or with one whose name does not fit.
pub fn parse(buf: &[u8; BUF_SIZE]) -> Result<Option<Script<'_>>> {
    let Some(line) = buf.strip_prefix(b"#!") else {
        return Ok(None);
    };
    // A NUL ends the search for the end of the line.
    let text = c_str(line);
    let end = if let Some(i) = text.iter().position(|&b| b == b'\n') {
        i
    } else {
        // The line may be cut off: then at least the name must be whole, that is,
        // something must follow it.
        let last = line.len() - 1;
        let name = line[..last].iter().position(|&b| !spacetab(b)).ok_or(ENOEXEC)?;
        if !line[name..last].iter().any(|&b| spacetab(b) || b == 0) {
            return Err(ENOEXEC);
        }
        last
    };
    let line = &line[..end];
    let line = &line[..line.iter().rposition(|&b| !spacetab(b)).map_or(0, |i| i + 1)];
    let start = line.iter().position(|&b| !spacetab(b)).ok_or(ENOEXEC)?;
    let line = &line[start..];
    let name_len = line.iter().position(|&b| spacetab(b) || b == 0).unwrap_or(line.len());
    let (interp, rest) = line.split_at(name_len);
    if interp.is_empty() {
        return Err(ENOEXEC);
    }
    let arg = match rest.first() {
        Some(&b) if b != 0 => rest.iter().position(|&b| !spacetab(b)).map(|i| c_str(&rest[i..])),
        _ => None,
    };
    Ok(Some(Script { interp, arg }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn buf(s: &[u8]) -> [u8; BUF_SIZE] {
        let mut b = [0; BUF_SIZE];
        b[..s.len()].copy_from_slice(s);
        b
    }

    fn check(s: &[u8], interp: &str, arg: Option<&str>) {
        let b = buf(s);
        let want = Script { interp: interp.as_bytes(), arg: arg.map(str::as_bytes) };
        assert_eq!(parse(&b), Ok(Some(want)), "{}", s.escape_ascii());
    }

    #[test]
    fn lines_are_read_as_on_linux() {
        check(b"#!/bin/sh\necho", "/bin/sh", None);
        check(b"#! \t/bin/sh -e  \n", "/bin/sh", Some("-e"));
        check(b"#!/bin/sh -a -b c\n", "/bin/sh", Some("-a -b c"));
        check(b"#!/bin/sh", "/bin/sh", None);
        check(b"#!/bin/sh -e", "/bin/sh", Some("-e"));
    }

    #[test]
    fn what_is_no_script() {
        assert_eq!(parse(&buf(b"\x7fELF")), Ok(None));
        assert_eq!(parse(&buf(b"# comment")), Ok(None));
        assert_eq!(parse(&buf(b"#!")), Err(ENOEXEC));
        assert_eq!(parse(&buf(b"#!\n")), Err(ENOEXEC));
        assert_eq!(parse(&buf(b"#!   \n/bin/sh")), Err(ENOEXEC));
    }

    #[test]
    fn names_that_may_be_cut_off_are_refused() {
        let mut long = [b'x'; BUF_SIZE];
        long[..3].copy_from_slice(b"#!/");
        assert_eq!(parse(&long), Err(ENOEXEC));
        long[200] = b' ';
        assert_eq!(parse(&long).unwrap().unwrap().interp.len(), 198);
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(s in proptest::collection::vec(any::<u8>(), BUF_SIZE - 2)) {
            let _ = parse(&buf(&[b"#!", &s[..]].concat()));
        }
    }
}
