// SPDX-License-Identifier: GPL-2.0-only
//! Files that are no programs: execve's errno for each kind, and the caller lives on.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::{ffi::CStr, ptr::null};
use user::prelude::*;
use user::process::execve;
use user::{file, start};

expect! { end: exit(0) }
program!(run);

const PATH: &CStr = c"/tmp/trapline-bad-elf";

/// A small right program: one read-execute segment at 0x400000 whose code is `exit(0)`.
const GOOD: [u8; 136] = {
    let mut f = [0; 136];
    let header = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0\x78\0\x40\0\0\0\0\0\x40";
    let code = [0x6a, 60, 0x58, 0x31, 0xff, 0x0f, 0x05];
    let mut i = 0;
    while i < header.len() {
        f[i] = header[i];
        i += 1;
    }
    f[52] = 64; // e_ehsize
    f[54] = 56; // e_phentsize
    f[56] = 1; // e_phnum
    f[64] = 1; // p_type: PT_LOAD
    f[68] = 5; // p_flags: R X
    f[82] = 0x40; // p_vaddr: 0x400000
    f[90] = 0x40; // p_paddr
    f[96] = 136; // p_filesz
    f[104] = 136; // p_memsz
    f[113] = 0x10; // p_align: 4096
    i = 0;
    while i < code.len() {
        f[120 + i] = code[i];
        i += 1;
    }
    f
};

/// Writes the bytes to a file and executes it: the child's errno, or the status of what ran.
fn attempt(bytes: &[u8], mode: u32) -> Result<WaitStatus, Errno> {
    file::put(PATH, bytes, mode)?;
    execute(PATH)
}

fn execute(path: &CStr) -> Result<WaitStatus, Errno> {
    let (read, write) = file::pipe(file::O_CLOEXEC)?;
    let pid = child(|| {
        let e = execve(path, &[path.as_ptr(), null()], &[null()]);
        let _ = file::write(write, &[e.0 as u8]);
        0
    });
    let _ = file::close(write);
    let mut error = [0];
    let n = file::read(read, &mut error)?;
    let _ = file::close(read);
    let status = wait(pid)?;
    if n == 1 { Err(Errno(error[0].into())) } else { Ok(status) }
}

fn patched(at: usize, bytes: &[u8]) -> [u8; 136] {
    let mut f = GOOD;
    f[at..at + bytes.len()].copy_from_slice(bytes);
    f
}

fn run() {
    let noexec = Err(Errno(ENOEXEC));
    check_eq!(attempt(&GOOD, 0o755), Ok(WaitStatus::exited(0)), "the right program");
    check_eq!(attempt(b"", 0o755), noexec, "an empty file");
    check_eq!(attempt(b"just text\n", 0o755), noexec, "text");
    check_eq!(attempt(b"\x7fELF", 0o755), noexec, "four bytes");
    check_eq!(attempt(&GOOD[..63], 0o755), noexec, "half a header");
    check_eq!(attempt(&GOOD, 0o644), Err(Errno(EACCES)), "no execute permission");
    check_eq!(execute(c"/no/such/file"), Err(Errno(ENOENT)), "no file");
    check_eq!(execute(c"/tmp"), Err(Errno(EACCES)), "a directory");
    let below = start::arg(0).map_or(Ok(WaitStatus(0)), |_| execute(c"/tmp/trapline-bad-elf/x"));
    check_eq!(below, Err(Errno(ENOTDIR)), "below a file");
    headers(noexec);
    segments();
    let _ = file::unlink(PATH);
}

/// Headers that execve refuses before the old program is gone.
fn headers(noexec: Result<WaitStatus, Errno>) {
    for (what, at, bytes) in [
        ("magic", 1, &b"X"[..]),
        ("a relocatable file", 16, &[1]),
        ("another machine (AArch64)", 18, &[0xb7, 0]),
        ("phentsize of 32-bit files", 54, &[32]),
        ("no program headers", 56, &[0]),
        ("more than 64 KiB of program headers", 56, &[0xff, 0xff]),
    ] {
        check_eq!(attempt(&patched(at, bytes), 0o755), noexec, "{what}");
    }
    let truncated = attempt(&GOOD[..100], 0o755);
    check!(truncated.is_err(), "truncated in the program headers: {truncated:?}");
    let outside = attempt(&patched(32, &[0, 0, 1]), 0o755);
    check!(outside.is_err(), "program headers outside of the file: {outside:?}");
}

/// Segments that cannot be mapped: the old program is gone by then, so the new one is killed.
fn segments() {
    let mut larger_file = GOOD;
    larger_file[96..104].copy_from_slice(&0x2000u64.to_le_bytes());
    for (what, file) in [
        ("a segment in the kernel", patched(80, &0xffff_8000_0040_0000u64.to_le_bytes())),
        ("a segment across the end of user space", patched(80, &0x7fff_ffff_f000u64.to_le_bytes())),
        ("a segment larger than the address space", patched(104, &(1u64 << 62).to_le_bytes())),
        ("filesz larger than memsz", larger_file),
    ] {
        let got = attempt(&file, 0o755);
        check_eq!(got, Ok(WaitStatus::killed(11)), "{what}");
    }
    // An entry point where nothing is: it starts, and faults.
    let entry = patched(24, &0x10_0000u64.to_le_bytes());
    check_eq!(attempt(&entry, 0o755), Ok(WaitStatus::killed(11)), "entry outside of the program");
    let entry = patched(24, &0xffff_8000_0000_0000u64.to_le_bytes());
    let got = attempt(&entry, 0o755);
    check!(matches!(got, Err(Errno(EINVAL)) | Ok(WaitStatus(11))), "entry in the kernel: {got:?}");
    overlapping();
}

/// Two segments that share pages: the later one wins, and the program runs.
fn overlapping() {
    let mut f = [0; 256];
    f[..120].copy_from_slice(&GOOD[..120]);
    let second: [u8; 56] = core::array::from_fn(|i| GOOD[64 + i]);
    f[120..176].copy_from_slice(&second);
    f[56] = 2;
    f[24] = 0xb0;
    f[176..183].copy_from_slice(&GOOD[120..127]);
    for at in [96, 104, 152, 160] {
        f[at] = 200;
    }
    check_eq!(attempt(&f, 0o755), Ok(WaitStatus::exited(0)), "overlapping segments");
}
