// SPDX-License-Identifier: GPL-2.0-only
//! Tests of the note's parser: good notes, each kind of bad one, and noise.

use super::*;
use std::{format, string::String, vec::Vec};

const GOOD: &str = "trapline=1\nsignal=SIGFPE\ncode=FPE_INTDIV\naddr=ip + 2\ntrapno=0\nerr=0x12\n\
                    cr2=none\nrip=ip\nend=killed(SIGFPE)\nlog=one {ip}\nlog=two\n";

/// A small ELF file with these notes (type, text) in one segment at 0x400078.
fn elf(notes: &[(u32, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, desc) in notes {
        for n in [9, desc.len() as u32, *kind] {
            body.extend_from_slice(&n.to_le_bytes());
        }
        body.extend_from_slice(b"Trapline\0\0\0\0");
        body.extend_from_slice(desc);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut f = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0");
    f.resize(64, 0);
    f[32] = 64;
    f[54] = 56;
    f[56] = 1;
    for n in [4u64 | 4 << 32, 120, 0x40_0078, 0x40_0078, body.len() as u64, body.len() as u64, 4] {
        f.extend_from_slice(&n.to_le_bytes());
    }
    f.extend_from_slice(&body);
    f
}

#[test]
fn a_good_note_is_read() {
    let e = parse(GOOD).unwrap();
    let r = e.record.unwrap();
    assert_eq!((r.signal, r.code, r.trapno, r.err, r.flags), (8, 1, 0, [0x12; 2], 0x202));
    assert_eq!((r.addr, r.cr2, r.rip), (Rule::Ip(2), Rule::Value(0), Rule::Ip(0)));
    assert_eq!(parse_err("0x10a | 0x212"), Some([0x10a, 0x212]));
    assert_eq!(e.end, End::Killed(8));
    assert_eq!(e.log.unwrap().as_slice(), ["one {ip}", "two"]);
}

#[test]
fn an_end_is_enough() {
    let e = parse("trapline=1\nend=exit(0)\n").unwrap();
    assert_eq!(e, Expect { record: None, end: End::Exit(0), log: None });
    let silent = parse("trapline=1\nend=killed(9)\nunlogged=true\n").unwrap();
    assert_eq!(silent.log.unwrap().as_slice(), [""; 0]);
}

#[test]
fn bad_texts_say_what_is_wrong() {
    let replaced = |from: &str, to: &str| {
        let text = GOOD.replace(from, to);
        parse(&text).map(|_| ()).map_err(|e| format!("{e}"))
    };
    assert_eq!(parse(""), Err(Error::Version));
    assert_eq!(parse("trapline=2\n"), Err(Error::Version));
    assert_eq!(parse("trapline=1\nend\n"), Err(Error::BadText));
    assert_eq!(parse("trapline=1\n"), Err(Error::Missing("end")));
    assert_eq!(parse("trapline=1\nend=exit(0)\nfoo=1\n"), Err(Error::UnknownKey("foo")));
    assert_eq!(replaced("code=FPE_INTDIV\n", ""), Err("note: code is missing".into()));
    assert_eq!(replaced("signal=SIGFPE\n", ""), Err("note: signal is missing".into()));
    assert_eq!(replaced("log=two", "err=1"), Err("note: err comes too often".into()));
    assert_eq!(replaced("log=two", "log=2\nlog=3\nlog=4\nlog=5"), Err("note: log comes too often".into()));
    for (from, to) in [
        ("SIGFPE\nc", "65\nc"),
        ("FPE_INTDIV", "FPE_WHAT"),
        ("ip + 2", "ip * 2"),
        ("ip + 2", "ip +"),
        ("0x12", "0x+12"),
        ("0x12", "+12"),
        ("none", ""),
        ("killed(", "shot("),
        ("killed(SIGFPE)", "exit(256)"),
        ("killed(SIGFPE)", "killed SIGFPE"),
        ("killed(SIGFPE)", "killed(0)"),
    ] {
        let e = replaced(from, to).unwrap_err();
        assert!(e.contains("cannot be"), "{to:?}: {e}");
    }
}

#[test]
fn rules_hold() {
    assert!(Rule::Any.allows(7, None, 0));
    assert!(Rule::Ip(1).allows(0x401001, Some(0x401000), 0));
    assert!(!Rule::Ip(1).allows(0x401000, Some(0x401000), 0));
    assert!(!Rule::Ip(0).allows(0, None, 0));
    assert!(Rule::Sp(-8).allows(0xff8, None, 0x1000));
    assert_eq!(parse_rule("sp - 8"), Some(Rule::Sp(-8)));
    assert_eq!(format!("{} {} {}", Rule::Ip(2), Rule::Sp(-8), Rule::Value(16)), "ip+2 sp-8 0x10");
}

#[test]
fn notes_are_found_in_an_elf_file() {
    let file = elf(&[(2, &0x100u64.to_le_bytes()), (1, b"trapline=1\nend=exit(0)\n\0\0")]);
    let n = find(&file).unwrap().unwrap();
    assert_eq!(n.text, "trapline=1\nend=exit(0)\n");
    assert_eq!(n.ip, Some(0x40_0078 + 24 + 0x100));
    assert!(!n.pie);
    assert_eq!(find(&elf(&[])), Ok(None));
    assert_eq!(find(&elf(&[(7, b"abc")])), Ok(None));
    assert_eq!(find(b"#!/bin/sh"), Err(Error::NotElf));
    assert_eq!(find(&elf(&[(1, "é".as_bytes())])), Err(Error::BadText));
}

#[test]
fn a_label_note_that_is_too_short_is_refused() {
    assert_eq!(find(&elf(&[(2, b"1234")])), Err(Error::BadNote));
}

/// A small generator of pseudo-random numbers (xorshift), so that the noise is the same every time.
fn noise(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn no_file_however_wrong_breaks_the_finder() {
    let good = elf(&[(2, &8u64.to_le_bytes()), (1, GOOD.as_bytes())]);
    let mut seed = 0x1234_5678_9abc_def1;
    for _ in 0..20_000 {
        let mut file = good.clone();
        for _ in 0..=noise(&mut seed) % 4 {
            let at = noise(&mut seed) as usize % file.len().min(200);
            file[at] = noise(&mut seed) as u8;
        }
        file.truncate(noise(&mut seed) as usize % (file.len() + 1));
        if let Ok(Some(n)) = find(&file) {
            let _ = parse(n.text);
        }
        let _ = loaded_at(&file, noise(&mut seed), 64);
    }
    for len in 0..good.len() {
        let _ = find(&good[..len]);
    }
}

#[test]
fn no_text_however_wrong_breaks_the_parser() {
    let mut seed = 99;
    for _ in 0..20_000 {
        let mut text = Vec::from(GOOD.as_bytes());
        for _ in 0..=noise(&mut seed) % 6 {
            let at = noise(&mut seed) as usize % text.len();
            text[at] = noise(&mut seed) as u8;
        }
        let text = String::from_utf8_lossy(&text);
        if let Err(e) = parse(&text) {
            let _ = format!("{e}");
        }
    }
}

#[test]
fn names_agree_with_linux() {
    use linux_raw_sys::general as abi;
    for (name, value) in [
        ("SIGILL", abi::SIGILL),
        ("SIGSYS", abi::SIGSYS),
        ("SI_KERNEL", abi::SI_KERNEL),
        ("FPE_FLTINV", abi::FPE_FLTINV),
        ("ILL_ILLOPN", abi::ILL_ILLOPN),
        ("SEGV_PKUERR", abi::SEGV_PKUERR),
        ("SEGV_ACCERR", abi::SEGV_ACCERR),
        ("BUS_ADRERR", abi::BUS_ADRERR),
        ("TRAP_TRACE", abi::TRAP_TRACE),
    ] {
        assert_eq!(parse_int(name), Some(value as i32), "{name}");
    }
}
