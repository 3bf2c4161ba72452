// SPDX-License-Identifier: GPL-2.0-only
//! Tests of [`super`]: Linux's errno for each kind of damage, and no panic for any.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

/// A static program of one segment.
fn sample() -> Vec<u8> {
    let mut f = std::vec![0u8; 8192];
    f[..4].copy_from_slice(ELFMAG);
    f[4..7].copy_from_slice(&[2, 1, 1]);
    let mut put = |at: usize, v: u64, n: usize| f[at..at + n].copy_from_slice(&v.to_le_bytes()[..n]);
    put(16, 2, 2);
    put(18, 62, 2);
    put(20, 1, 4);
    put(24, 0x40_1000, 8);
    put(32, 64, 8);
    put(54, 56, 2);
    put(56, 1, 2);
    put(64, 1, 4);
    put(68, 5, 4);
    put(80, 0x40_0000, 8);
    put(96, 8192, 8);
    put(104, 8192, 8);
    put(112, 4096, 8);
    f
}

fn load(f: &[u8]) -> Result<ElfImage> {
    let h = ElfHeader::parse(&f[..f.len().min(256)])?;
    let at = usize::try_from(h.phoff).map_err(|_| ENOEXEC)?;
    let end = at.checked_add(h.table_len()).ok_or(ENOEXEC)?;
    ElfImage::parse(h, f.get(at..end).ok_or(ENOEXEC)?)
}

fn changed(at: usize, b: &[u8]) -> Result<ElfImage> {
    let mut f = sample();
    f[at..at + b.len()].copy_from_slice(b);
    load(&f)
}

#[test]
fn a_good_program() {
    let i = load(&sample()).unwrap();
    assert_eq!((i.header.entry, i.phdr_addr(), i.header.dynamic), (0x40_1000, 0x40_0040, false));
    assert_eq!(i.segments[0].prot, 5);
    assert_eq!((i.total_mapping_size(), i.maximum_alignment()), (8192, 4096));
    assert!(!i.exec_stack && !i.segments[0].is_bad());
}

#[test]
fn headers_that_linux_refuses() {
    for f in [&b""[..], b"#!/bin/sh", b"\x7fELF", &sample()[..40]] {
        assert_eq!(load(f), Err(ENOEXEC));
    }
    assert_eq!(changed(0, b"\x7fELG"), Err(ENOEXEC));
    assert_eq!(changed(18, &[183, 0]), Err(ENOEXEC));
    assert_eq!(changed(18, &[3, 0]), Err(ENOEXEC));
    assert_eq!(changed(16, &[1, 0]), Err(ENOEXEC));
    assert_eq!(changed(16, &[4, 0]), Err(ENOEXEC));
    assert_eq!(changed(54, &[32, 0]), Err(ENOEXEC));
    assert_eq!(changed(56, &[0, 0]), Err(ENOEXEC));
    assert_eq!(changed(56, &[0xff, 0xff]), Err(ENOEXEC));
    assert_eq!(changed(32, &[0xff; 8]), Err(ENOEXEC));
}

#[test]
fn class_and_version_do_not_matter() {
    assert!(changed(4, &[1, 2, 0]).is_ok());
}

#[test]
fn segments_that_linux_refuses_when_it_has_mapped_them() {
    let bad = |at, v: u64| changed(at, &v.to_le_bytes()).unwrap().segments[0].is_bad();
    assert!(bad(80, 0xffff_8000_0000_0000));
    assert!(bad(80, TASK_SIZE));
    assert!(bad(96, 8193));
    assert!(bad(104, u64::MAX));
    assert!(!bad(104, TASK_SIZE - 0x40_0000));
}

#[test]
fn interpreters_are_named_by_whole_strings() {
    assert_eq!(interp_path(b"/lib/ld.so\0"), Ok(&b"/lib/ld.so"[..]));
    assert_eq!(interp_path(b"/lib/ld.so"), Err(ENOEXEC));
    let mut f = sample();
    f[64] = 3;
    assert_eq!(load(&f), Err(ENOEXEC));
    f[96..104].copy_from_slice(&5000u64.to_le_bytes());
    assert_eq!(load(&f), Err(ENOEXEC));
    f[96..104].copy_from_slice(&1u64.to_le_bytes());
    assert_eq!(load(&f), Err(ENOEXEC));
    f[96..104].copy_from_slice(&20u64.to_le_bytes());
    assert_eq!(load(&f).unwrap().interp, Some((0, 20)));
}

proptest! {
    #[test]
    fn any_bytes_have_an_answer(f in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = load(&f);
    }

    #[test]
    fn damaged_programs_have_an_answer(
        at in 0usize..120, v in any::<u8>(), w in any::<u64>(), wat in 0usize..112, len in 0usize..8192
    ) {
        let mut f = sample();
        f[at] = v;
        f[wat..wat + 8].copy_from_slice(&w.to_le_bytes());
        f.truncate(len.max(200));
        if let Ok(i) = load(&f) {
            let _ = (i.total_mapping_size(), i.maximum_alignment(), i.phdr_addr());
            for s in &i.segments {
                let _ = s.map_request();
                prop_assert!(s.is_bad() || s.vaddr + s.memsz <= TASK_SIZE);
            }
        }
    }
}
