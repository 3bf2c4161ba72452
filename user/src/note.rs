// SPDX-License-Identifier: GPL-2.0-only
//! The expectation note: finding it in an ELF file and reading it (pure).
//!
//! A program may carry two ELF notes named `Trapline` in a `PT_NOTE` segment
//! (4-byte alignment, little endian, 64-bit):
//!
//! - type 1, the expectation: ASCII text, one `key=value` per line, the first
//!   line being `trapline=1` (the version). Bytes after the last newline are 0.
//! - type 2, the label: 8 bytes, the signed distance from these bytes' own
//!   address to the instruction under test.
//!
//! | key | value |
//! |---|---|
//! | `signal` | `SIGFPE`… or a number; absent if no handler is ever to run |
//! | `code` | `FPE_INTDIV`… or a number |
//! | `addr`, `cr2`, `rip` | a rule: `ip`, `ip + 2`, `sp - 8`, a number, `any`, `none` (= 0) |
//! | `trapno` | a number |
//! | `err` | a number, or two (`0x10a \| 0x212`) where QEMU's TCG departs from real processors |
//! | `flags` | saved flags without the arithmetic ones and RF; 0x202 if absent |
//! | `mask` | the signal mask saved in the frame; 0 if absent |
//! | `end` | without handlers: `killed(SIGFPE)` or `exit(0)` |
//! | `log` | repeated: a pattern per kernel log line without handlers ([`crate::pattern`]) |
//! | `unlogged` | `true`: Linux must log nothing (`log: []` says this) |
//!
//! With `signal` there are also `code addr trapno err cr2 rip`; without it none of them.
//! This file depends on nothing else, so that host tools can include it.

use core::fmt;

/// The name of the notes.
pub const NAME: &[u8] = b"Trapline\0";
/// The type of the expectation note.
pub const TYPE_EXPECT: u32 = 1;
/// The type of the note that says where the instruction under test is.
pub const TYPE_LABEL: u32 = 2;
/// How many log lines a note may state.
pub const MAX_LOG: usize = 4;

/// Why a file or a note cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error<'a> {
    /// No ELF file for this machine.
    NotElf,
    /// A header points outside of the file.
    Truncated,
    /// A note's sizes do not fit its segment.
    BadNote,
    /// The text is not ASCII, or has a line without `=`.
    BadText,
    /// The first line is not `trapline=1`.
    Version,
    /// A key that this version does not have.
    UnknownKey(&'a str),
    /// A value that its key cannot have.
    BadValue(&'a str, &'a str),
    /// A key that is missing.
    Missing(&'static str),
    /// A key that comes twice, or too often.
    Repeated(&'a str),
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => f.write_str("not a 64-bit little-endian ELF file"),
            Self::Truncated => f.write_str("ELF file: a header points outside of the file"),
            Self::BadNote => f.write_str("note: sizes do not fit the segment"),
            Self::BadText => f.write_str("note: not lines of key=value in ASCII"),
            Self::Version => f.write_str("note: the first line is not trapline=1"),
            Self::UnknownKey(k) => write!(f, "note: unknown key {k:?}"),
            Self::BadValue(k, v) => write!(f, "note: {k} cannot be {v:?}"),
            Self::Missing(k) => write!(f, "note: {k} is missing"),
            Self::Repeated(k) => write!(f, "note: {k} comes too often"),
        }
    }
}

/// The notes of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notes<'a> {
    /// The expectation's text.
    pub text: &'a str,
    /// The address of the instruction under test, as linked.
    pub ip: Option<u64>,
    /// Whether the file is position-independent (`ET_DYN`).
    pub pie: bool,
}

fn bytes(data: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    data.get(start..end)
}

fn number(data: &[u8], offset: u64, len: u64) -> Option<u64> {
    let b = bytes(data, offset, len)?;
    Some(b.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
}

/// One `PT_LOAD` or `PT_NOTE` header, as far as it matters here.
struct Segment {
    kind: u64,
    offset: u64,
    vaddr: u64,
    size: u64,
}

fn is_elf(elf: &[u8]) -> bool {
    elf.len() >= 64 && elf.starts_with(b"\x7fELF\x02\x01\x01")
}

fn segment(elf: &[u8], index: u64) -> Option<Segment> {
    let phoff = number(elf, 32, 8)?;
    let at = phoff.checked_add(index * number(elf, 54, 2)?)?;
    let field = |offset: u64, len| number(elf, at.checked_add(offset)?, len);
    Some(Segment { kind: field(0, 4)?, offset: field(8, 8)?, vaddr: field(16, 8)?, size: field(32, 8)? })
}

/// Finds the notes in an ELF file; `None` if it carries no expectation.
pub fn find(elf: &[u8]) -> Result<Option<Notes<'_>>, Error<'_>> {
    if !is_elf(elf) {
        return Err(Error::NotElf);
    }
    let pie = number(elf, 16, 2) == Some(3);
    let (mut text, mut ip) = (None, None);
    for i in 0..number(elf, 56, 2).ok_or(Error::Truncated)? {
        let s = segment(elf, i).ok_or(Error::Truncated)?;
        if s.kind == 4 {
            let data = bytes(elf, s.offset, s.size).ok_or(Error::Truncated)?;
            scan(data, s.vaddr, &mut text, &mut ip)?;
        }
    }
    Ok(text.map(|text| Notes { text, ip, pie }))
}

/// Walks over the notes of one segment.
fn scan<'a>(
    data: &'a [u8],
    vaddr: u64,
    text: &mut Option<&'a str>,
    ip: &mut Option<u64>,
) -> Result<(), Error<'a>> {
    let mut at = 0;
    while at + 12 <= data.len() as u64 {
        let field = |i: u64| number(data, at + 4 * i, 4).ok_or(Error::BadNote);
        let (namesz, descsz, kind) = (field(0)?, field(1)?, field(2)?);
        let desc_at = (at + 12 + namesz).next_multiple_of(4);
        let name = bytes(data, at + 12, namesz).ok_or(Error::BadNote)?;
        let desc = bytes(data, desc_at, descsz).ok_or(Error::BadNote)?;
        if name == NAME && u64::from(TYPE_EXPECT) == kind {
            let len = desc.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
            let ascii = desc[..len].is_ascii().then_some(&desc[..len]).ok_or(Error::BadText)?;
            *text = Some(core::str::from_utf8(ascii).map_err(|_| Error::BadText)?);
        } else if name == NAME && u64::from(TYPE_LABEL) == kind {
            let distance = number(desc, 0, 8).ok_or(Error::BadNote)?;
            *ip = Some(vaddr.wrapping_add(desc_at).wrapping_add(distance));
        }
        at = (desc_at + descsz).next_multiple_of(4);
    }
    Ok(())
}

/// The bytes of a file that are loaded at an address, if they are all in one segment.
pub fn loaded_at(elf: &[u8], address: u64, len: u64) -> Option<&[u8]> {
    if !is_elf(elf) {
        return None;
    }
    (0..number(elf, 56, 2)?).filter_map(|i| segment(elf, i)).find_map(|s| {
        let within = address.checked_sub(s.vaddr)?;
        let fits = s.kind == 1 && within.checked_add(len)? <= s.size;
        fits.then(|| bytes(elf, s.offset.checked_add(within)?, len)).flatten()
    })
}

/// What a value must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Anything.
    Any,
    /// This value.
    Value(u64),
    /// The instruction under test, or so many bytes behind it.
    Ip(i64),
    /// The interrupted stack pointer, or so many bytes above it.
    Sp(i64),
}

impl Rule {
    /// Whether a value obeys the rule.
    pub fn allows(self, value: u64, ip: Option<u64>, sp: u64) -> bool {
        self.value(ip, sp).is_none_or(|v| v == value) && !(self.needs_ip() && ip.is_none())
    }

    /// The only value allowed; `None` if any is (or the label is not known).
    pub fn value(self, ip: Option<u64>, sp: u64) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Value(v) => Some(v),
            Self::Ip(n) => ip.map(|ip| ip.wrapping_add_signed(n)),
            Self::Sp(n) => Some(sp.wrapping_add_signed(n)),
        }
    }

    /// Whether the rule speaks of the instruction under test.
    pub fn needs_ip(self) -> bool {
        matches!(self, Self::Ip(_))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, n) = match *self {
            Self::Any => return f.write_str("any"),
            Self::Value(v) => return write!(f, "{v:#x}"),
            Self::Ip(n) => ("ip", n),
            Self::Sp(n) => ("sp", n),
        };
        if n == 0 { f.write_str(name) } else { write!(f, "{name}{n:+}") }
    }
}

/// The record of the first signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its number.
    pub signal: i32,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`.
    pub addr: Rule,
    /// The exception's vector.
    pub trapno: u64,
    /// The exception's error code: a processor's, and TCG's if that differs.
    pub err: [u64; 2],
    /// The faulting address as the frame has it.
    pub cr2: Rule,
    /// The interrupted instruction pointer.
    pub rip: Rule,
    /// The interrupted flags without the arithmetic ones and RF.
    pub flags: u64,
    /// The signal mask saved in the frame.
    pub mask: u64,
}

/// How a program ends without handlers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It exits.
    Exit(i32),
    /// A signal kills it.
    Killed(i32),
}

/// What a program expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expect<'a> {
    /// The record of the first signal, if a handler is to see it.
    pub record: Option<Record>,
    /// How it ends without handlers.
    pub end: End,
    /// The kernel's log lines without handlers; `None`: not looked at.
    pub log: Option<LogLines<'a>>,
}

/// The log lines that a note states.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogLines<'a> {
    lines: [&'a str; MAX_LOG],
    len: usize,
}

impl<'a> LogLines<'a> {
    /// The patterns in order.
    pub fn as_slice(&self) -> &[&'a str] {
        &self.lines[..self.len]
    }
}

/// Names that a note may use for numbers.
const NAMES: &[(&str, i64)] = &[
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGSEGV", 11),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGSYS", 31),
    ("SI_USER", 0),
    ("SI_KERNEL", 128),
    ("SI_QUEUE", -1),
    ("SI_TKILL", -6),
    ("FPE_INTDIV", 1),
    ("FPE_INTOVF", 2),
    ("FPE_FLTDIV", 3),
    ("FPE_FLTOVF", 4),
    ("FPE_FLTUND", 5),
    ("FPE_FLTRES", 6),
    ("FPE_FLTINV", 7),
    ("ILL_ILLOPN", 2),
    ("SEGV_MAPERR", 1),
    ("SEGV_ACCERR", 2),
    ("SEGV_BNDERR", 3),
    ("SEGV_PKUERR", 4),
    ("BUS_ADRALN", 1),
    ("BUS_ADRERR", 2),
    ("TRAP_BRKPT", 1),
    ("TRAP_TRACE", 2),
    ("TRAP_HWBKPT", 4),
];

fn parse_u64(s: &str) -> Option<u64> {
    match s.strip_prefix("0x") {
        // from_str_radix would take a sign.
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if s.starts_with('+') => None,
        None => s.parse().ok(),
    }
}

fn parse_int(s: &str) -> Option<i32> {
    let named = NAMES.iter().find(|(name, _)| *name == s).map(|n| n.1);
    named.or_else(|| s.parse().ok()).and_then(|n| i32::try_from(n).ok())
}

/// One number for both, or a processor's and TCG's.
fn parse_err(s: &str) -> Option<[u64; 2]> {
    let (cpu, tcg) = s.split_once('|').unwrap_or((s, s));
    Some([parse_u64(cpu.trim())?, parse_u64(tcg.trim())?])
}

fn parse_rule(s: &str) -> Option<Rule> {
    let make: fn(i64) -> Rule = match s.get(..2) {
        _ if s == "any" => return Some(Rule::Any),
        _ if s == "none" => return Some(Rule::Value(0)),
        Some("ip") => Rule::Ip,
        Some("sp") => Rule::Sp,
        _ => return parse_u64(s).map(Rule::Value),
    };
    let rest = s[2..].trim();
    let magnitude = |t: &str| parse_u64(t.trim()).and_then(|n| i64::try_from(n).ok());
    match rest.as_bytes().first() {
        None => Some(make(0)),
        Some(b'+') => magnitude(&rest[1..]).map(make),
        Some(b'-') => magnitude(&rest[1..]).map(|n| make(-n)),
        Some(_) => None,
    }
}

fn parse_end(s: &str) -> Option<End> {
    let (word, rest) = s.split_once('(')?;
    let value = parse_int(rest.strip_suffix(')')?)?;
    match word {
        "exit" if (0..256).contains(&value) => Some(End::Exit(value)),
        "killed" if (1..=64).contains(&value) => Some(End::Killed(value)),
        _ => None,
    }
}

/// The single-valued keys, in the order of `Fields`.
const KEYS: [&str; 10] = ["signal", "code", "addr", "trapno", "err", "cr2", "rip", "flags", "mask", "end"];

/// Reads the text of an expectation.
pub fn parse(text: &str) -> Result<Expect<'_>, Error<'_>> {
    let mut lines = text.lines();
    if lines.next() != Some("trapline=1") {
        return Err(Error::Version);
    }
    let mut values: [Option<&str>; KEYS.len()] = [None; KEYS.len()];
    let mut log = LogLines::default();
    let mut unlogged = false;
    for line in lines {
        let (key, value) = line.split_once('=').ok_or(Error::BadText)?;
        if key == "log" {
            *log.lines.get_mut(log.len).ok_or(Error::Repeated(key))? = value;
            log.len += 1;
        } else if key == "unlogged" {
            unlogged = value == "true";
        } else {
            let i = KEYS.iter().position(|k| *k == key).ok_or(Error::UnknownKey(key))?;
            if values[i].replace(value).is_some() {
                return Err(Error::Repeated(key));
            }
        }
    }
    let end = field(&values, 9, parse_end)?;
    let log = (unlogged || log.len > 0).then_some(log);
    Ok(Expect { record: record(&values)?, end, log })
}

fn field<'a, T>(
    values: &[Option<&'a str>; KEYS.len()],
    key: usize,
    parse: fn(&str) -> Option<T>,
) -> Result<T, Error<'a>> {
    let value = values[key].ok_or(Error::Missing(KEYS[key]))?;
    parse(value).ok_or(Error::BadValue(KEYS[key], value))
}

fn record<'a>(values: &[Option<&'a str>; KEYS.len()]) -> Result<Option<Record>, Error<'a>> {
    if values[0].is_none() {
        return match values[1..9].iter().position(Option::is_some) {
            Some(_) => Err(Error::Missing("signal")),
            None => Ok(None),
        };
    }
    Ok(Some(Record {
        signal: field(values, 0, |s| parse_int(s).filter(|n| (1..=64).contains(n)))?,
        code: field(values, 1, parse_int)?,
        addr: field(values, 2, parse_rule)?,
        trapno: field(values, 3, parse_u64)?,
        err: field(values, 4, parse_err)?,
        cr2: field(values, 5, parse_rule)?,
        rip: field(values, 6, parse_rule)?,
        flags: if values[7].is_some() { field(values, 7, parse_u64)? } else { 0x202 },
        mask: if values[8].is_some() { field(values, 8, parse_u64)? } else { 0 },
    }))
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
