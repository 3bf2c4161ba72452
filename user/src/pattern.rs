// SPDX-License-Identifier: GPL-2.0-only
//! Patterns for kernel log lines (pure).
//!
//! Everything outside of braces stands for itself.
//!
//! | placeholder | stands for |
//! |---|---|
//! | `{comm}` | the program's name as the kernel keeps it: 15 bytes at most |
//! | `{file}` | the program's file name |
//! | `{pid}` | its process id |
//! | `{tid}`, `{n}` | any decimal number |
//! | `{ip}` | the interrupted instruction pointer that the note states, in hex |
//! | `{err}` | the error code that the note states, in hex |
//! | `{sp}`, `{hex}` | any hex number |
//! | `{vma}` | `START+LEN` or, since Linux 6.8, `OFFSET,START+LEN` |
//! | `{in?}` | ` in FILE[VMA]` or nothing: what depends on Linux's version |
//! | `{frame}` | a hashed kernel-log pointer |
//! | `{code}` | the 64 bytes around the instruction pointer, that one in `<>` |

/// How many bytes a "Code:" line shows before the instruction pointer.
pub const CODE_BEFORE: usize = 42;
/// How many bytes a "Code:" line shows.
pub const CODE_LEN: usize = 64;

/// What the placeholders stand for in one run.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The program's file name.
    pub file: &'a str,
    /// Its process id.
    pub pid: i32,
    /// The expected instruction pointer; `None`: any.
    pub ip: Option<u64>,
    /// The error codes that may be.
    pub err: [u64; 2],
    /// The program may have been loaded at any base: compare only the page offset.
    pub any_base: bool,
    /// The bytes that a "Code:" line must show; `None`: any.
    pub code: Option<&'a [u8]>,
}

/// A program's name as the kernel keeps it.
pub fn comm(file: &str) -> &str {
    file.get(..15).unwrap_or(file)
}

/// Whether a log line is what the pattern says.
pub fn matches(pattern: &str, line: &str, context: &Context<'_>) -> bool {
    let (mut pattern, mut line) = (pattern, line);
    while let Some((literal, rest)) = pattern.split_once('{') {
        let Some((placeholder, after)) = rest.split_once('}') else {
            return false;
        };
        let Some(tail) = line.strip_prefix(literal) else {
            return false;
        };
        let Some(tail) = skip(placeholder, tail, context) else {
            return false;
        };
        (pattern, line) = (after, tail);
    }
    pattern == line
}

/// What is left of the line after one placeholder; `None` if it does not match.
fn skip<'l>(placeholder: &str, line: &'l str, context: &Context<'_>) -> Option<&'l str> {
    match placeholder {
        "comm" => line.strip_prefix(comm(context.file)),
        "file" => line.strip_prefix(context.file),
        "pid" => {
            let (digits, rest) = digits(line, 10)?;
            (digits.parse() == Ok(context.pid)).then_some(rest)
        }
        "tid" | "n" => digits(line, 10).map(|d| d.1),
        "sp" | "hex" => digits(line, 16).map(|d| d.1),
        "ip" => {
            let (digits, rest) = digits(line, 16)?;
            let value = u64::from_str_radix(digits, 16).ok()?;
            let differ = value ^ context.ip.unwrap_or(value);
            let ignored = if context.any_base { !0xfff } else { 0 };
            (differ & !ignored == 0).then_some(rest)
        }
        "err" => {
            let (digits, rest) = digits(line, 16)?;
            let value = u64::from_str_radix(digits, 16).ok()?;
            context.err.contains(&value).then_some(rest)
        }
        "vma" => vma(line),
        "in?" => match line.strip_prefix(" in ").and_then(|l| l.strip_prefix(context.file)) {
            Some(rest) => vma(rest.strip_prefix('[')?)?.strip_prefix(']'),
            None => Some(line),
        },
        "frame" => match line.strip_prefix("(____ptrval____)") {
            Some(rest) => Some(rest),
            None => digits(line, 16).map(|d| d.1),
        },
        "code" => code(line, context.code),
        _ => None,
    }
}

/// Splits off the digits at the front; there must be one at least.
fn digits(s: &str, radix: u32) -> Option<(&str, &str)> {
    let end = s.find(|c: char| !c.is_digit(radix)).unwrap_or(s.len());
    (end > 0).then(|| s.split_at(end))
}

/// Skips `START+LEN` or `OFFSET,START+LEN`.
fn vma(line: &str) -> Option<&str> {
    let (_, rest) = digits(line, 16)?;
    let rest = match rest.strip_prefix(',') {
        Some(rest) => digits(rest, 16)?.1,
        None => rest,
    };
    digits(rest.strip_prefix('+')?, 16).map(|d| d.1)
}

/// Reads the bytes of a "Code:" line.
fn code<'l>(mut line: &'l str, want: Option<&[u8]>) -> Option<&'l str> {
    for i in 0..CODE_LEN {
        let marked = i == CODE_BEFORE;
        if i > 0 {
            line = line.strip_prefix(' ')?;
        }
        if marked {
            line = line.strip_prefix('<')?;
        }
        let byte = u8::from_str_radix(line.get(..2)?, 16).ok()?;
        line = &line[2..];
        if marked {
            line = line.strip_prefix('>')?;
        }
        if want.is_some_and(|w| w.get(i) != Some(&byte)) {
            return None;
        }
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fmt::Write, string::String};

    const C: Context<'_> = Context {
        file: "divide_error_long_name",
        pid: 12,
        ip: Some(0x401020),
        any_base: false,
        err: [0x10a, 0x212],
        code: None,
    };

    #[test]
    fn linux_lines_match() {
        let p = "traps: {comm}[{pid}] trap divide error ip:{ip} sp:{sp} error:0 in {file}[{vma}]";
        let new = "traps: divide_error_lo[12] trap divide error ip:401020 sp:7ffe0 error:0 in divide_error_long_name[1020,401000+1000]";
        assert!(matches(p, new, &C));
        let old = new.replace("1020,", "");
        assert!(matches(p, &old, &C));
        assert!(!matches(p, &old.replace("[12]", "[13]"), &C));
        assert!(!matches(p, &old.replace("ip:401020", "ip:401021"), &C));
        assert!(!matches(p, &old.replace("error:0", "error:1"), &C));
        assert!(!matches(p, &(old + "x"), &C));
    }

    #[test]
    fn at_any_base_only_the_page_offset_counts() {
        let c = Context { any_base: true, ip: Some(0x1020), ..C };
        assert!(matches("ip {ip}", "ip 00007ffff7ff1020", &c));
        assert!(!matches("ip {ip}", "ip 00007ffff7ff1021", &c));
    }

    #[test]
    fn code_bytes_are_compared() {
        let bytes: [u8; 64] = core::array::from_fn(|i| i as u8);
        let mut line = String::from("Code:");
        for (i, b) in bytes.iter().enumerate() {
            let _ = if i == 42 { write!(line, " <{b:02x}>") } else { write!(line, " {b:02x}") };
        }
        assert!(matches("Code: {code}", &line, &Context { code: Some(&bytes), ..C }));
        assert!(matches("Code: {code}", &line, &C));
        assert!(!matches("Code: {code}", &line, &Context { code: Some(&[0; 64]), ..C }));
        assert!(!matches("Code: {code}", "Code: zz", &C));
    }

    #[test]
    fn a_part_may_depend_on_the_version() {
        let c = Context { file: "jump_null", ..C };
        assert!(matches("14{in?} likely", "14 in jump_null[400000+1000] likely", &c));
        assert!(matches("14{in?} likely", "14 likely", &c));
        assert!(!matches("14{in?} likely", "14 in other[400000+1000] likely", &c));
    }

    #[test]
    fn either_error_code_will_do() {
        assert!(matches("error:{err} in", "error:10a in", &C));
        assert!(matches("error:{err} in", "error:212 in", &C));
        assert!(!matches("error:{err} in", "error:0 in", &C));
    }

    #[test]
    fn a_broken_pattern_matches_nothing() {
        assert!(!matches("a {nonsense} b", "a x b", &C));
        assert!(!matches("a {ip", "a {ip", &C));
        assert!(!matches("é{code}", "éé", &C));
    }
}
