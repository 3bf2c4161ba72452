// SPDX-License-Identifier: GPL-2.0-only
//! What Linux makes of a page fault, row by row; the names are those of the
//! oracle's probes where there is one.

use super::*;

const USER_FAULT: Fault =
    Fault { error_code: 4, address: 0, user_mode: true, ac: false, smap: true, may_fault: true };
const COPY: Fault = Fault { error_code: 0, user_mode: false, ac: true, ..USER_FAULT };

fn segv(code: i32, address: u64, error_code: u64) -> Decision {
    Decision::Signal(FaultSignal { sig: SIGSEGV, code, address, error_code, pkey: None })
}

fn user(error_code: u64, address: u64, answer: MmAnswer) -> Decision {
    decide(&Fault { error_code, address, ..USER_FAULT }, || answer)
}

/// The address space must not be asked.
fn unasked(f: Fault) -> Decision {
    decide(&f, || panic!("the address space has no say in {f:x?}"))
}

#[test]
fn user_faults() {
    use MmAnswer::*;
    // (probe, error code, address, answer, si_code, error code as seen)
    let table: &[(&str, u64, u64, MmAnswer, i32, u64)] = &[
        ("pf_null_rd", 4, 0, NoVma, 1, 4),
        ("pf_null_wr", 6, 0, NoVma, 1, 6),
        ("pf_null_ex", 0x14, 0, NoVma, 1, 0x14),
        ("pf_unm_rd", 4, 0x1000_1008, NoVma, 1, 4),
        ("pf_ro_wr", 6, 0x1001_0010, BadAccess, 2, 6),
        ("pf_ro_wr_touched", 7, 0x1001_0010, BadAccess, 2, 7),
        ("pf_ro_ex", 0x15, 0x1001_0010, BadAccess, 2, 0x15),
        ("pf_none_rd", 4, 0x1002_0010, BadAccess, 2, 4),
        ("pf_none_ex", 0x14, 0x1002_0010, BadAccess, 2, 0x14),
        ("pf_high_unm", 4, 0x7f00_0000_0000, NoVma, 1, 4),
        ("pf_stack_guard", 6, 0x1007_fff8, NoVma, 1, 6),
        ("pf_vsyscall", 0x14, 0xffff_ffff_ff60_0000, NoVma, 1, 0x15),
    ];
    for &(name, err, addr, answer, code, seen) in table {
        assert_eq!(user(err, addr, answer), segv(code, addr, seen), "{name}");
    }
}

#[test]
fn kernel_addresses_look_present_and_are_never_asked_about() {
    for (addr, err, seen) in [
        (0xffff_8880_0000_0000, 4, 5),
        (0xffff_8880_0000_0000, 6, 7),
        (0xffff_8880_0000_0000, 0x14, 0x15),
        (0xffff_ffff_8100_0000, 5, 5),
        (0xffff_8000_0000_0000, 4, 5),
        (0xffff_ffff_ffff_fffe, 4, 5),
        (0x7fff_ffff_f000, 4, 5),
        (0xffff_fe00_0000_0000, 6, 7),
    ] {
        let f = Fault { error_code: err, address: addr, ..USER_FAULT };
        assert_eq!(unasked(f), segv(1, addr, seen), "{addr:x}");
    }
}

#[test]
fn beyond_the_end_of_a_file() {
    let want = FaultSignal { sig: SIGBUS, code: 2, address: 0x1004_1010, error_code: 6, pkey: None };
    assert_eq!(user(6, 0x1004_1010, MmAnswer::Sigbus), Decision::Signal(want));
    assert_eq!(decide(&COPY, || MmAnswer::Sigbus), Decision::Fixup);
}

#[test]
fn protection_keys_tell_which() {
    let want = FaultSignal { sig: SIGSEGV, code: 4, address: 0x1006_0000, error_code: 0x25, pkey: Some(3) };
    assert_eq!(user(0x25, 0x1006_0000, MmAnswer::BadKey(3)), Decision::Signal(want));
}

#[test]
fn user_copies_fault_pages_in_or_recover() {
    assert_eq!(decide(&COPY, || MmAnswer::Done), Decision::Handled);
    for a in [MmAnswer::NoVma, MmAnswer::BadAccess, MmAnswer::Oom, MmAnswer::Busy] {
        assert_eq!(decide(&COPY, || a), Decision::Fixup);
    }
    assert_eq!(user(6, 0x1000, MmAnswer::Oom), Decision::OutOfMemory);
}

#[test]
fn supervisor_access_that_was_not_meant_is_a_bug() {
    // AC clear: not a user copy (SMAP).
    assert_eq!(unasked(Fault { ac: false, error_code: 1, ..COPY }), Decision::Oops);
    // Without SMAP nothing tells a stray access from a user copy.
    assert_eq!(decide(&Fault { ac: false, smap: false, ..COPY }, || MmAnswer::Done), Decision::Handled);
    // The kernel jumps to user code.
    assert_eq!(unasked(Fault { error_code: 0x11, ..COPY }), Decision::Oops);
    // A kernel address: the exception table, else an oops.
    assert_eq!(unasked(Fault { address: 0xffff_8880_0000_0000, ..COPY }), Decision::Fixup);
    // User mode with supervisor privilege (descriptor loads; LRET and IRET under TCG).
    let implicit = Fault { error_code: 1, address: 0x7fff_ffff_e830, ..USER_FAULT };
    assert_eq!(unasked(implicit), Decision::Oops);
    let implicit = Fault { error_code: 0, address: 0xffff_8880_0000_0000, ..USER_FAULT };
    assert_eq!(unasked(implicit), Decision::Oops);
}

#[test]
fn where_faults_are_forbidden() {
    assert_eq!(unasked(Fault { may_fault: false, ..COPY }), Decision::Fixup);
    assert_eq!(unasked(Fault { error_code: 0xd, ..USER_FAULT }), Decision::BadPageTable);
}

#[test]
fn what_mappings_allow() {
    use VmFlags as F;
    let rw = F::READ | F::WRITE;
    // (error code, flags, refused)
    for (err, flags, refused) in [
        (4, F::READ, false),
        (6, F::READ, true),
        (6, rw, false),
        (7, rw, false),         // copy on write
        (5, rw, true),          // no reason to refuse a read but a key or NX
        (0x14, F::EXEC, false), // not there yet
        (0x14, rw, false),      // comes back as 0x15 once the page is there
        (0x15, rw, true),
        (4, F::EXEC, false), // but a key forbids it, where there are keys
        (4, F::empty(), true),
    ] {
        assert_eq!(access_error(err, flags), refused, "{err:x} {flags:?}");
    }
}
