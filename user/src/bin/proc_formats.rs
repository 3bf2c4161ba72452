// SPDX-License-Identifier: GPL-2.0-only
//! What the files of `/proc/PID` that tools parse look like: how many fields and which names they
//! have, and that they agree with each other.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use user::prelude::*;
use user::{file, syscall};

expect! { end: exit(0) }
program!(run);

/// The names of `status`, of a process with memory.
const STATUS: &str = "Name Umask State Tgid Ngid Pid PPid TracerPid Uid Gid FDSize Groups NStgid NSpid NSpgid \
    NSsid VmPeak VmSize VmLck VmPin VmHWM VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe VmLib VmPTE VmSwap \
    HugetlbPages CoreDumping THP_enabled Threads SigQ SigPnd ShdPnd SigBlk SigIgn SigCgt CapInh CapPrm CapEff \
    CapBnd CapAmb NoNewPrivs Seccomp Seccomp_filters Speculation_Store_Bypass SpeculationIndirectBranch \
    Cpus_allowed Cpus_allowed_list Mems_allowed Mems_allowed_list voluntary_ctxt_switches \
    nonvoluntary_ctxt_switches";

/// What `smaps` has of a mapping, below its line.
const SMAPS: &str = "Size KernelPageSize MMUPageSize Rss Pss Pss_Dirty Shared_Clean Shared_Dirty Private_Clean \
    Private_Dirty Referenced Anonymous LazyFree AnonHugePages ShmemPmdMapped FilePmdMapped Shared_Hugetlb \
    Private_Hugetlb Swap SwapPss Locked THPeligible ProtectionKey VmFlags";

static mut TEXT: [u8; 1 << 15] = [0; 1 << 15];

/// A file's text, until the next one is read.
fn text(path: &CStr) -> &'static str {
    // SAFETY: one thread, which has done with the last one.
    let buf = unsafe { &mut *core::ptr::addr_of_mut!(TEXT) };
    let Ok(fd) = file::open(path, file::O_RDONLY, 0) else { return "" };
    let n = file::read_full(fd, buf).unwrap_or(0);
    let _ = file::close(fd);
    core::str::from_utf8(&buf[..n]).unwrap_or("")
}

/// The sum of what follows this name in all lines.
fn sum(text: &str, name: &str) -> u64 {
    let values = text.lines().filter_map(|l| l.strip_prefix(name)?.split_whitespace().next());
    values.filter_map(|v| v.parse::<u64>().ok()).sum()
}

/// What stands before the colon in each line.
fn names<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    lines.map(|l| l.split(':').next().unwrap_or(""))
}

fn limits() {
    let t = text(c"/proc/self/limits");
    check_eq!(t.lines().count(), 17, "a heading and sixteen limits");
    for (i, line) in t.lines().enumerate() {
        let unitless = i == 14 || i == 15;
        check_eq!(line.len(), if unitless { 68 } else { 78 }, "columns of line {i}");
    }
    let head = "Limit                     Soft Limit           Hard Limit           Units     ";
    check_eq!(t.lines().next(), Some(head), "the heading");
}

fn memory() {
    let maps = text(c"/proc/self/maps").lines().count();
    let pages = text(c"/proc/self/statm").split_whitespace().next().and_then(|v| v.parse::<u64>().ok());
    check_eq!(text(c"/proc/self/statm").split_whitespace().count(), 7, "fields of statm");
    let smaps = text(c"/proc/self/smaps");
    check_eq!(smaps.lines().filter(|l| l.starts_with("VmFlags: ")).count(), maps, "mappings");
    check_eq!(smaps.lines().filter(|l| l.starts_with("Rss:")).count(), maps, "with their pages");
    // Keys are shown where the processor has them.
    let first = names(smaps.lines().skip(1).take_while(|l| l.as_bytes().get(8) != Some(&b'-')));
    let keys = smaps.contains("ProtectionKey:");
    check!(first.eq(SMAPS.split_whitespace().filter(|&n| keys || n != "ProtectionKey")), "names of smaps");
    let all = sum(smaps, "Size:") / 4;
    // What is the kernel's own (vsyscall) has a line, but no part in the size.
    check!(pages.is_some_and(|p| all == p || all == p + 1), "sizes {all} of {pages:?}");
    check!(sum(smaps, "Rss:") <= sum(smaps, "Size:"), "no more than there is");
    let roll = text(c"/proc/self/smaps_rollup");
    check_eq!(roll.lines().count(), 22, "lines of smaps_rollup");
    check!(roll.lines().next().is_some_and(|l| l.ends_with("[rollup]")), "its heading");
}

/// A name that looks like something else is shown as what it is.
fn strange_name() {
    // SAFETY: the kernel reads a string.
    let r = unsafe { syscall!(__NR_prctl, 15, c"a\nb\\ c".as_ptr(), 0, 0, 0) };
    check_eq!(r, Ok(0), "PR_SET_NAME");
    check_eq!(text(c"/proc/self/status").lines().next(), Some("Name:\ta\\nb\\\\ c"), "in status");
    check!(text(c"/proc/self/stat").contains(" (a\nb\\ c) R "), "in stat");
    check_eq!(text(c"/proc/self/comm"), "a\nb\\ c\n", "in comm");
}

fn run() {
    limits();
    check_eq!(text(c"/proc/self/personality"), "00000000\n", "personality");
    check_eq!(text(c"/proc/self/stat").split_whitespace().count(), 52, "fields of stat");
    check!(names(text(c"/proc/self/status").lines()).eq(STATUS.split_whitespace()), "the names of status");
    for line in text(c"/proc/self/mountinfo").lines() {
        let mut fields = line.split(' ');
        check!(fields.clone().count() >= 10, "fields of mountinfo");
        check!(fields.nth(2).is_some_and(|dev| dev.contains(':')), "a device");
        check!(fields.any(|f| f == "-"), "the end of what is optional");
    }
    memory();
    strange_name();
    check_eq!(text(c"/proc/self/syscall").split_whitespace().count(), 9, "a call, its arguments, sp, ip");
    check!(text(c"/proc/self/syscall").starts_with("0 0x"), "it is read");
}
