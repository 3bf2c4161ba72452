// SPDX-License-Identifier: GPL-2.0-only
//! Where `/proc` says that a process is: what it waits for, its call trace in the kernel, its pages, its
//! mapped files, its children; and what tools read of the system. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use core::fmt::Write;
use user::file::{self, lseek, read};
use user::memory::{PAGE, PROT_READ, PROT_WRITE, map, map_shared};
use user::prelude::*;
use user::process::{self, getpid, gettid};
use user::signal::{SIGKILL, kill, pause};
use user::text::Text;
use user::time::sleep_ms;

expect! { end: exit(0) }
program!(run);

static mut TEXT: [u8; 1 << 14] = [0; 1 << 14];

/// A file's text, until the next one is read; or why there is none.
fn text(path: core::fmt::Arguments<'_>) -> Result<&'static str, Errno> {
    let mut name = Text::<128>::new();
    let _ = write!(name, "{path}\0");
    let path = CStr::from_bytes_until_nul(name.as_str().as_bytes()).unwrap_or(c"");
    // SAFETY: one thread, which has done with the last one.
    let buf = unsafe { &mut *core::ptr::addr_of_mut!(TEXT) };
    file::load(path, buf).map(|t| core::str::from_utf8(t).unwrap_or("not text"))
}

fn sleeping_child() {
    let pid = process::child(|| {
        loop {
            let _ = pause();
        }
    });
    while text(format_args!("/proc/{pid}/stat")).is_ok_and(|t| !t.contains(") S ")) {
        sleep_ms(5);
    }
    check_eq!(text(format_args!("/proc/self/wchan")), Ok("0"), "one who runs waits for nothing");
    let waits = text(format_args!("/proc/{pid}/wchan")).unwrap_or("");
    check!(waits.contains("pause") && !waits.contains('\n'), "in which call: {waits}");
    let trace = text(format_args!("/proc/{pid}/stack")).unwrap_or("");
    check!(trace.lines().count() >= 3, "its call trace: {trace}");
    check!(trace.lines().all(|l| l.starts_with("[<0>] ") && l.contains("+0x")), "as functions: {trace}");
    let call = text(format_args!("/proc/{pid}/syscall")).unwrap_or("");
    check!(call.starts_with("34 0x"), "and which call it is: {call}");
    check_eq!(call.split(' ').count(), 9, "with its arguments");
    let mut want = Text::<16>::new();
    let _ = write!(want, "{pid} ");
    let me = getpid();
    check_eq!(text(format_args!("/proc/{me}/task/{}/children", gettid())), Ok(want.as_str()), "the children");
    check_eq!(text(format_args!("/proc/{me}/children")), Err(Errno(ENOENT)), "which are a thread's");
    check_eq!(text(format_args!("/proc/{me}/task/{me}/task")), Err(Errno(ENOENT)), "which has no threads");
    let of_thread = text(format_args!("/proc/{me}/task/{me}/stat")).unwrap_or("");
    check_eq!(of_thread.split(' ').count(), 52, "fields of a thread");
    let _ = kill(pid, SIGKILL);
    let _ = process::wait(pid);
    check_eq!(text(format_args!("/proc/{me}/task/{me}/children")), Ok(""), "nobody is left");
}

/// Who waits in one of i386's calls has its arguments elsewhere.
fn waits_in_int80() {
    let Ok((r, _w)) = file::pipe(0) else { return check!(false, "a pipe") };
    let pid = process::child(|| {
        // SAFETY: nothing comes through the pipe.
        i32::from(unsafe { user::syscall::int80(3, [r as u32, 0x1000, 1, 0x55, 0x66]) }.is_ok())
    });
    while text(format_args!("/proc/{pid}/stat")).is_ok_and(|t| !t.contains(") S ")) {
        sleep_ms(5);
    }
    let mut want = Text::<64>::new();
    let _ = write!(want, "3 {r:#x} 0x1000 0x1 0x55 0x66 0x");
    let call = text(format_args!("/proc/{pid}/syscall")).unwrap_or("");
    check!(call.starts_with(want.as_str()), "i386's read: {call}");
    let _ = kill(pid, SIGKILL);
    let _ = process::wait(pid);
}

const PRESENT: u64 = 1 << 63;
const FILE: u64 = 1 << 61;
const EXCLUSIVE: u64 = 1 << 56;

/// What `pagemap` says of the page at an address, without its frame.
fn page_flags(fd: i32, addr: usize) -> u64 {
    let mut word = [0; 8];
    let _ = lseek(fd, (addr / PAGE * 8) as i64, 0);
    check_eq!(read(fd, &mut word), Ok(8), "a word");
    u64::from_le_bytes(word) & (PRESENT | FILE | EXCLUSIVE | 1 << 62)
}

fn pages() {
    let Ok(fd) = file::open(c"/proc/self/pagemap", file::O_RDONLY, 0) else {
        return check!(false, "pagemap");
    };
    let (Ok(own), Ok(shared)) = (map(2 * PAGE, PROT_READ | PROT_WRITE), map_shared(PAGE)) else { return };
    check_eq!(page_flags(fd, own), 0, "nothing is there yet");
    // SAFETY: mappings of our own.
    unsafe {
        (own as *mut u8).write_volatile(1);
        (shared as *mut u8).write_volatile(1);
    }
    check_eq!(page_flags(fd, own), PRESENT | EXCLUSIVE, "a page of its own");
    check_eq!(page_flags(fd, own + PAGE), 0, "the next one");
    check_eq!(page_flags(fd, shared), PRESENT | FILE | EXCLUSIVE, "a file's");
    let mut odd = [0; 12];
    check_eq!(read(fd, &mut odd), Err(Errno(EINVAL)), "not in words");
    let _ = lseek(fd, 4, 0);
    check_eq!(read(fd, &mut odd[..8]), Err(Errno(EINVAL)), "between words");
    let _ = lseek(fd, 0x7fff_ffff_f000 / PAGE as i64 * 8, 0);
    check_eq!(read(fd, &mut odd[..8]), Ok(0), "behind the last page");
    let _ = file::close(fd);
}

fn system() {
    let cpu = text(format_args!("/proc/cpuinfo")).unwrap_or("");
    let names = [
        "processor",
        "vendor_id",
        "cpu MHz",
        "siblings",
        "fpu_exception",
        "flags",
        "bogomips",
        "address sizes",
    ];
    for name in names {
        check!(cpu.lines().any(|l| l.starts_with(name)), "{name} in cpuinfo");
    }
    let flags = cpu.lines().find(|l| l.starts_with("flags")).unwrap_or("");
    for flag in ["fpu", "tsc", "msr", "pae", "cx8", "apic", "sep", "syscall", "nx", "lm"] {
        check!(flags.split(' ').any(|f| f == flag), "{flag} in flags");
    }
    let mem = text(format_args!("/proc/meminfo")).unwrap_or("");
    for name in [
        "MemTotal:",
        "MemFree:",
        "MemAvailable:",
        "Buffers:",
        "Cached:",
        "SwapTotal:",
        "Shmem:",
        "Committed_AS:",
    ] {
        check!(mem.lines().any(|l| l.starts_with(name) && l.ends_with(" kB")), "{name}");
    }
    let devices = text(format_args!("/proc/devices")).unwrap_or("");
    for line in ["Character devices:", "  1 mem", "  4 ttyS", "  5 /dev/tty", "136 pts", "", "Block devices:"]
    {
        check!(devices.lines().any(|l| l == line), "{line} in devices");
    }
    check_eq!(text(format_args!("/proc/diskstats")), Ok(""), "no disks");
    check_eq!(
        text(format_args!("/proc/execdomains")),
        Ok("0-0\tLinux           \t[kernel]\n"),
        "execdomains"
    );
    check_eq!(text(format_args!("/proc/sys/kernel/cap_last_cap")), Ok("40\n"), "capabilities");
    check_eq!(text(format_args!("/proc/sys/kernel/ngroups_max")), Ok("65536\n"), "groups");
    check_eq!(text(format_args!("/proc/sys/kernel/overflowuid")), Ok("65534\n"), "nobody");
    check_eq!(text(format_args!("/proc/sys/kernel/random/poolsize")), Ok("256\n"), "random bits");
    check_eq!(text(format_args!("/proc/sys/fs/nr_open")), Ok("1048576\n"), "files");
    check_eq!(text(format_args!("/proc/sys/fs/pipe-max-size")), Ok("1048576\n"), "pipes");
}

fn uuids() {
    let mut ids = [[0; 37]; 4];
    let files = [c"/proc/sys/kernel/random/boot_id", c"/proc/sys/kernel/random/uuid"];
    for (i, id) in ids.iter_mut().enumerate() {
        check_eq!(file::load(files[i / 2], id).map(<[u8]>::len), Ok(37), "one and its line's end");
        let shape = id.iter().enumerate().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => *c == b'-',
            14 => *c == b'4',
            36 => *c == b'\n',
            _ => c.is_ascii_hexdigit(),
        });
        check!(shape, "a random one");
    }
    check!(ids[0] == ids[1] && ids[2] != ids[3], "one boot, many names");
}

fn old_adjustment() {
    check_eq!(text(format_args!("/proc/self/oom_adj")), Ok("0\n"), "as it is");
    for (old, new) in [("8", "470\n"), ("15", "1000\n"), ("-17", "-1000\n"), ("-3", "-176\n")] {
        check_eq!(file::store(c"/proc/self/oom_adj", old.as_bytes()), Ok(old.len()), "{old}");
        check_eq!(text(format_args!("/proc/self/oom_score_adj")), Ok(new), "what {old} is now");
    }
    check_eq!(file::store(c"/proc/self/oom_adj", b"16"), Err(Errno(EINVAL)), "too much");
    check_eq!(file::store(c"/proc/self/oom_adj", b"-18"), Err(Errno(EINVAL)), "too little");
    check_eq!(file::store(c"/proc/self/oom_score_adj", b"0"), Ok(1), "and back");
}

fn mapped_files() {
    const NAME: &CStr = c"/tmp/proc_places.map";
    let _ = file::put(NAME, &[7; PAGE], 0o644);
    let Ok(fd) = file::open(NAME, file::O_RDONLY, 0) else { return };
    // SAFETY: a new mapping.
    let at = unsafe { user::syscall!(__NR_mmap, 0, PAGE, PROT_READ, 2, fd, 0) };
    let Ok(at) = at else { return check!(false, "a mapping") };
    let _ = file::close(fd);
    let mut name = Text::<64>::new();
    let _ = write!(name, "/proc/self/map_files/{at:x}-{:x}\0", at + PAGE);
    let path = CStr::from_bytes_until_nul(name.as_str().as_bytes()).unwrap_or(c"");
    let mut to = [0; 64];
    // SAFETY: the kernel writes into the array.
    let len = unsafe { user::syscall!(__NR_readlink, path.as_ptr(), to.as_mut_ptr(), to.len()) };
    check_eq!(len.map(|n| &to[..n] == NAME.to_bytes()), Ok(true), "where its link leads");
    let mut byte = [0];
    check_eq!(file::load(path, &mut byte), Ok(&[7][..]), "what is there");
    let _ = file::unlink(NAME);
    check_eq!(
        text(format_args!("/proc/self/map_files/{at:x}-{:x}", at + 2 * PAGE)),
        Err(Errno(ENOENT)),
        "no such"
    );
}

fn run() {
    sleeping_child();
    waits_in_int80();
    pages();
    mapped_files();
    old_adjustment();
    system();
    uuids();
}
