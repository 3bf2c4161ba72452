// SPDX-License-Identifier: GPL-2.0-only
//! User and group ids, supplementary groups, and capabilities: how they follow each other, what
//! they allow, and what `exec` makes of them. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::null;
use linux_raw_sys::general as abi;
use linux_raw_sys::prctl as pr;
use user::prelude::*;
use user::process::{become_user, execve};
use user::syscall::Result;
use user::{file, start, syscall};

expect! { end: exit(0) }
program!(run);

const KEEP: i32 = -1;
const FULL: u64 = (1 << (abi::CAP_LAST_CAP + 1)) - 1;

/// The three user ids.
fn uids() -> [u32; 3] {
    let mut ids = [0u32; 3];
    let p = ids.as_mut_ptr();
    // SAFETY: the kernel writes three words.
    let _ = unsafe { syscall!(__NR_getresuid, p, p.wrapping_add(1), p.wrapping_add(2)) };
    ids
}

/// Effective, permitted and inheritable capabilities.
fn caps() -> [u64; 3] {
    let (header, mut words) = ([0x2008_0522u32, 0], [0u32; 6]);
    // SAFETY: the kernel reads two words, and writes six.
    let r = unsafe { syscall!(__NR_capget, header.as_ptr(), words.as_mut_ptr()) };
    check_eq!(r, Ok(0), "capget");
    [0, 1, 2].map(|i| u64::from(words[i]) | u64::from(words[i + 3]) << 32)
}

fn effective_permitted() -> [u64; 2] {
    let [effective, permitted, _] = caps();
    [effective, permitted]
}

fn set_caps(sets: [u64; 3]) -> Result {
    let (header, mut words) = ([0x2008_0522u32, 0], [0u32; 6]);
    for (i, set) in sets.into_iter().enumerate() {
        (words[i], words[i + 3]) = (set as u32, (set >> 32) as u32);
    }
    // SAFETY: the kernel reads both.
    unsafe { syscall!(__NR_capset, header.as_ptr(), words.as_ptr()) }
}

fn prctl(option: u32, a: usize, b: usize) -> Result {
    // SAFETY: none of the options that are used here touches memory.
    unsafe { syscall!(__NR_prctl, option, a, b, 0, 0) }
}

/// `setreuid`.
fn setreuid(real: i32, effective: i32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_setreuid, real, effective) }
}

/// Runs `what` in a child, which must find everything as it expects.
fn apart(name: &str, what: impl FnOnce()) {
    let pid = child(|| {
        what();
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "{name}");
}

fn ids() {
    check_eq!(setreuid(1000, KEEP), Ok(0), "the real one");
    check_eq!(uids(), [1000, 0, 0], "the saved one follows the effective one");
    check_eq!(setreuid(KEEP, 1000), Ok(0), "the effective one");
    check_eq!(uids(), [1000, 1000, 0], "the saved one stays: it is the real one already");
    check_eq!(effective_permitted(), [0, FULL], "nothing is in effect");
    check_eq!(setreuid(KEEP, 2000), Err(Errno(EPERM)), "somebody else");
    check_eq!(setreuid(KEEP, 0), Ok(0), "back");
    check_eq!(effective_permitted(), [FULL, FULL], "everything is in effect again");
    // SAFETY: no memory is involved.
    let fsuid = |id: u32| unsafe { syscall!(__NR_setfsuid, id) };
    check_eq!(fsuid(1000), Ok(0), "the one for files was");
    check_eq!(fsuid(2000), Ok(1000), "and then");
    check_eq!(caps()[0] & 1 << abi::CAP_DAC_OVERRIDE, 0, "it takes the right to all files with it");
    check!(caps()[0] & 1 << abi::CAP_SETUID != 0, "but not others");
    check_eq!(setreuid(2000, 2000), Ok(0), "for good");
    check_eq!(uids(), [2000; 3], "all three");
    check_eq!(effective_permitted(), [0, 0], "nothing is left");
    check_eq!(setreuid(0, KEEP), Err(Errno(EPERM)), "no way back");
}

const SECRET: &core::ffi::CStr = c"/tmp/credentials.secret";

fn groups() {
    let (wanted, mut got) = ([77u32, 5, 77], [0u32; 4]);
    // SAFETY: the kernel reads the first list and writes the second.
    unsafe {
        check_eq!(syscall!(__NR_setgroups, 3, wanted.as_ptr()), Ok(0), "setgroups");
        check_eq!(syscall!(__NR_getgroups, 0, 0), Ok(3), "how many");
        check_eq!(syscall!(__NR_getgroups, 2, got.as_mut_ptr()), Err(Errno(EINVAL)), "too small");
        check_eq!(syscall!(__NR_getgroups, 4, got.as_mut_ptr()), Ok(3), "getgroups");
        check_eq!(got, [5, 77, 77, 0], "in order");
        check_eq!(syscall!(__NR_setgroups, 65_537, wanted.as_ptr()), Err(Errno(EINVAL)), "too many");
    }
    let _ = become_user(1000);
    check!(file::open(SECRET, file::O_RDONLY, 0).is_ok(), "a member may read");
    check_eq!(file::open(SECRET, file::O_WRONLY, 0), Err(Errno(EACCES)), "but not write");
    // SAFETY: the kernel reads the list.
    let again = unsafe { syscall!(__NR_setgroups, 1, wanted.as_ptr()) };
    check_eq!(again, Err(Errno(EPERM)), "setgroups without privilege");
}

fn capabilities() {
    let some = 1 << abi::CAP_SETUID | 1 << abi::CAP_DAC_READ_SEARCH;
    check_eq!(caps(), [FULL, FULL, 0], "root's");
    check_eq!(prctl(pr::PR_SET_KEEPCAPS, 1, 0), Ok(0), "keep them");
    let _ = become_user(1000);
    check_eq!(caps(), [0, FULL, 0], "permitted, not in effect");
    check_eq!(file::open(SECRET, file::O_RDONLY, 0), Err(Errno(EACCES)), "without");
    check_eq!(set_caps([some, some, 0]), Ok(0), "fewer");
    check!(file::open(SECRET, file::O_RDONLY, 0).is_ok(), "may read everything");
    check_eq!(file::open(SECRET, file::O_WRONLY, 0), Err(Errno(EACCES)), "but not write it");
    check_eq!(set_caps([some, FULL, 0]), Err(Errno(EPERM)), "more");
    check_eq!(set_caps([some, 0, 0]), Err(Errno(EPERM)), "in effect but not permitted");
    check_eq!(prctl(pr::PR_CAP_AMBIENT, 2, abi::CAP_SETUID as usize), Err(Errno(EPERM)), "not inheritable");
    check_eq!(set_caps([some, some, some]), Ok(0), "inheritable");
    check_eq!(prctl(pr::PR_CAP_AMBIENT, 2, abi::CAP_SETUID as usize), Ok(0), "ambient");
    check_eq!(prctl(pr::PR_CAPBSET_READ, abi::CAP_SETUID as usize, 0), Ok(1), "within bounds");
    check_eq!(prctl(pr::PR_CAPBSET_READ, 41, 0), Err(Errno(EINVAL)), "no such capability");
    let e = execve(c"/proc/self/exe", &[c"credentials".as_ptr(), c"ambient".as_ptr(), null()], &[null()]);
    check!(false, "exec: {e}");
}

/// What `exec` of an ordinary program keeps.
fn ambient() {
    let kept = 1 << abi::CAP_SETUID;
    check_eq!(effective_permitted(), [kept, kept], "the ambient one, in effect");
    check_eq!(prctl(pr::PR_GET_KEEPCAPS, 0, 0), Ok(0), "keeping them was for one time");
    check_eq!(setreuid(0, 0), Ok(0), "its use");
    check_eq!(caps()[1], kept, "gives no more");
}

/// A program that runs as its owner, and one that gains nothing.
fn set_id(no_new_privs: bool) {
    if no_new_privs {
        check_eq!(prctl(pr::PR_SET_NO_NEW_PRIVS, 2, 0), Err(Errno(EINVAL)), "a wrong value");
        check_eq!(prctl(pr::PR_SET_NO_NEW_PRIVS, 1, 0), Ok(0), "no_new_privs");
    }
    check_eq!(prctl(pr::PR_GET_NO_NEW_PRIVS, 0, 0), Ok(usize::from(no_new_privs)), "is it on");
    let _ = become_user(1000);
    let how = if no_new_privs { c"poor" } else { c"rich" };
    let e = execve(COPY, &[COPY.as_ptr(), how.as_ptr(), null()], &[null()]);
    check!(false, "exec: {e}");
}

const COPY: &core::ffi::CStr = c"/tmp/credentials.copy";

fn started(how: &str) {
    let secure = start::aux(linux_raw_sys::auxvec::AT_SECURE);
    let dumpable = prctl(pr::PR_GET_DUMPABLE, 0, 0);
    if how == "rich" {
        check_eq!((uids(), secure, dumpable), ([1000, 0, 0], Some(1), Ok(0)), "a set-id program");
        check_eq!(effective_permitted(), [FULL, FULL], "has root's capabilities");
    } else {
        check_eq!((uids(), secure, dumpable), ([1000; 3], Some(0), Ok(1)), "with no_new_privs");
        check_eq!(effective_permitted(), [0, 0], "has none");
    }
}

static mut IMAGE: [u8; 1 << 18] = [0; 1 << 18];

fn run() {
    match start::arg_str(1) {
        Some("ambient") => return ambient(),
        Some(how @ ("rich" | "poor")) => return started(how),
        _ => {}
    }
    check!(file::put(SECRET, b"secret", 0o640).is_ok(), "a file");
    // SAFETY: the path is a C string.
    let _ = unsafe { syscall!(__NR_chown, SECRET.as_ptr(), 0, 77) };
    apart("ids", ids);
    apart("groups", groups);
    apart("capabilities", capabilities);
    // SAFETY: nobody else uses it.
    let image = unsafe { &mut *core::ptr::addr_of_mut!(IMAGE) };
    let copied = file::load(c"/proc/self/exe", image).and_then(|all| file::put(COPY, all, 0o755));
    // SAFETY: the path is a C string. The mode is not subject to the umask.
    let marked = unsafe { syscall!(__NR_chmod, COPY.as_ptr(), 0o4755) };
    check!(copied.is_ok() && marked.is_ok(), "a copy that runs as root");
    apart("a set-id program", || set_id(false));
    apart("with no_new_privs", || set_id(true));
    let _ = file::unlink(SECRET);
    let _ = file::unlink(COPY);
}
