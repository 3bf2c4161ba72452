// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: takes all the memory that a machine has, in every way that a
//! program has to make a kernel take some, one after the other. Meant as the first
//! process (`rdinit=/bin/greedy`) of a small machine, which must come through:
//! each greedy child ends by its own will or by the OOM killer, the next one starts, and
//! what they took is there again. A test boots it; never run it where you live.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::{RLIMIT_SIGPENDING, setrlimit};
use user::runner::machine;
use user::signal::sigqueueinfo;
use user::{file, memory, print, println, program, syscall};

program!(run);

const PAGE: usize = 4096;
const MIB: usize = 1 << 20;

/// A way of taking memory; returns when it gets no more.
type Greed = fn();

const WAYS: &[(&str, Greed)] = &[
    ("anonymous memory", touch),
    ("memory of a thread that is left", touch_by_thread),
    ("pipes", pipes),
    ("files without a name", memfds),
    ("files with names", names),
    ("mappings", mappings),
    ("mappings times processes", mappings_forked),
    ("descriptors", descriptors),
    ("poll sets", poll_sets),
    ("texts of /proc", proc_texts),
    ("queued signals", signals),
    ("processes", processes),
    ("long argument lists", arguments),
    ("many arguments", many_arguments),
    ("deep directories", deep_directories),
    ("mounts", mounts),
];

/// How many of each sort are let loose together.
const CHILDREN: usize = 4;

fn run() {
    if getpid() != 1 {
        return;
    }
    machine::set_up();
    let before = free_kib();
    for (name, greed) in WAYS {
        print!("greedy: {name}:");
        // SAFETY: the number of children is small.
        let pids: [i32; CHILDREN] = core::array::from_fn(|_| start(*greed));
        for pid in pids {
            match user::process::wait(pid) {
                Ok(status) => print!(" {status:?}"),
                Err(e) => print!(" {e}"),
            }
        }
        reap_all();
        println!(", {} KiB not back", before.saturating_sub(free_kib()));
        let _ = file::unlink(c"/tmp/unused");
    }
    println!("greedy: the machine is still there");
    machine::power_off();
}

/// A child in a process group of its own, all of which is gone when it is.
fn start(greed: Greed) -> i32 {
    match user::process::fork() {
        Ok(0) => {
            for (what, limit) in [(abi::RLIMIT_NOFILE, 1 << 20), (RLIMIT_SIGPENDING, 1 << 30)] {
                let _ = setrlimit(what, limit, Some(limit));
            }
            greed();
            // What was got stays for a moment, so that the others have less.
            user::time::sleep_ms(20);
            user::process::exit_group(0);
        }
        Ok(pid) => pid,
        Err(e) => {
            println!("greedy: fork: {e}");
            machine::power_off();
        }
    }
}

/// Children of children.
fn reap_all() {
    while let Ok(Some(_)) = user::process::wait4(-1, 0) {}
}

/// `MemFree` of `/proc/meminfo`, in KiB.
fn free_kib() -> usize {
    let mut buf = [0; 512];
    let Ok(fd) = file::open(c"/proc/meminfo", file::O_RDONLY, 0) else { return 0 };
    let n = file::read_full(fd, &mut buf).unwrap_or(0);
    let _ = file::close(fd);
    let text = core::str::from_utf8(&buf[..n]).unwrap_or("");
    let line = text.lines().find_map(|l| l.strip_prefix("MemFree:")).unwrap_or("");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

fn touch() {
    while let Ok(at) = memory::map(MIB, memory::PROT_READ | memory::PROT_WRITE) {
        for page in (at..at + MIB).step_by(PAGE) {
            // SAFETY: just mapped.
            unsafe { (page as *mut u8).write_volatile(1) };
        }
    }
}

extern "C" fn toucher() -> ! {
    touch();
    user::time::sleep_ms(20);
    user::process::exit_group(0)
}

/// The process's first thread is gone, and the memory is its other one's.
fn touch_by_thread() {
    if user::process::spawn_thread(toucher).is_ok() {
        user::process::exit_thread(0);
    }
}

static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];

fn pipes() {
    while let Ok((_, write)) = file::pipe(abi::O_NONBLOCK) {
        // SAFETY: no memory is involved.
        let _ = unsafe { syscall!(__NR_fcntl, write, abi::F_SETPIPE_SZ, MIB) };
        while file::write(write, &ZEROES).is_ok() {}
    }
}

fn memfds() {
    // SAFETY: the name is a C string.
    while let Ok(fd) = unsafe { syscall!(__NR_memfd_create, c"greedy".as_ptr(), 0) } {
        for _ in 0..64 {
            if file::write(fd as i32, &ZEROES).is_err() {
                return;
            }
        }
    }
}

fn names() {
    let pid = getpid();
    for n in 0.. {
        let mut name = [b'x'; 220];
        name[..5].copy_from_slice(b"/tmp/");
        for (i, digit) in name[8..28].iter_mut().enumerate() {
            let word = if i < 10 { pid as usize } else { n };
            *digit = b'0' + (word / 10usize.pow(i as u32 % 10) % 10) as u8;
        }
        name[219] = 0;
        let Ok(path) = core::ffi::CStr::from_bytes_with_nul(&name) else { return };
        if file::mkdir(path, 0o755).is_err() {
            return;
        }
    }
}

/// Every other page with other rights: a mapping each.
fn mappings() {
    const LEN: usize = 65_000 * PAGE;
    let Ok(at) = memory::map(LEN, memory::PROT_NONE) else { return };
    for page in (at..at + LEN).step_by(2 * PAGE) {
        // SAFETY: the range is ours, and unused.
        if unsafe { syscall!(__NR_mprotect, page, PAGE, memory::PROT_READ) }.is_err() {
            return;
        }
    }
}

/// Children that live for a while, until there can be no more; each does `what` first.
fn children(what: fn()) {
    for _ in 0..5000 {
        match user::process::fork() {
            Ok(0) => {
                what();
                user::time::sleep_ms(300);
                user::process::exit_group(0)
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn mappings_forked() {
    mappings();
    children(|| {});
}

/// Tables of a million descriptors, a process each.
fn descriptors() {
    children(|| {
        // SAFETY: no memory is involved.
        let _ = unsafe { syscall!(__NR_dup2, 0, (1 << 20) - 1) };
    });
}

/// The same descriptor, a million times.
fn poll_sets() {
    let Ok((read, _)) = file::pipe(0) else { return };
    let len = 8 << 20;
    let Ok(at) = memory::map(len, memory::PROT_READ | memory::PROT_WRITE) else { return };
    for i in (at..at + len).step_by(8) {
        // SAFETY: just mapped.
        unsafe { (i as *mut [i32; 2]).write([read, 1]) };
    }
    for n in [1 << 10, 1 << 14, 1 << 17, 1 << 20] {
        // SAFETY: as many `pollfd`s are there.
        let _ = unsafe { syscall!(__NR_poll, at, n, 10) };
        // SAFETY: bits of the first set, which is ours.
        let _ = unsafe { syscall!(__NR_select, n, at, 0, 0, 0) };
    }
}

/// The text about many mappings, kept many times.
fn proc_texts() {
    mappings();
    while file::open(c"/proc/self/maps", file::O_RDONLY, 0).is_ok() {}
}

fn signals() {
    user::signal::sigprocmask_set(user::signal::bit(34));
    let me = getpid();
    while sigqueueinfo(me, 34, &SigInfo::queue(34, -1, me, 0, 0)).is_ok() {}
}

fn processes() {
    children(|| {});
}

/// As long as they may be, of a program that isn't there and of one that is.
fn arguments() {
    static ARG: [u8; 100_000] = {
        let mut a = [b'a'; 100_000];
        a[99_999] = 0;
        a
    };
    let mut argv = [ARG.as_ptr().cast::<core::ffi::c_char>(); 21];
    argv[20] = core::ptr::null();
    for _ in 0..10 {
        let _ = user::process::execve(c"/bin/nothing", &argv, &argv);
        let _ = user::process::execve(c"/proc/self/maps", &argv, &argv);
    }
}

/// As many as there may be, each empty.
fn many_arguments() {
    const COUNT: usize = 200_000;
    let len = (COUNT + 1) * 8;
    let Ok(at) = memory::map(len, memory::PROT_READ | memory::PROT_WRITE) else { return };
    for i in 0..COUNT {
        // SAFETY: within the mapping, whose last word stays null.
        unsafe { (at as *mut *const u8).add(i).write(c"".as_ptr().cast()) };
    }
    for path in [c"/proc/self/exe", c"/bin/nothing"] {
        // What runs is this program again, which is not the first process: it ends.
        // SAFETY: a list that ends with null.
        let _ = unsafe { syscall!(__NR_execve, path.as_ptr(), at, core::ptr::null::<usize>()) };
    }
}

/// Directories within directories, and where this one is.
fn deep_directories() {
    let mut name = [b'd'; 251];
    name[250] = 0;
    let Ok(path) = core::ffi::CStr::from_bytes_with_nul(&name) else { return };
    let mut buf = [0u8; 8192];
    // SAFETY: C strings, and a buffer of ours.
    unsafe {
        let _ = syscall!(__NR_chdir, c"/tmp".as_ptr());
        for _ in 0..5500 {
            if file::mkdir(path, 0o755).is_err() || syscall!(__NR_chdir, path.as_ptr()).is_err() {
                break;
            }
        }
        let _ = syscall!(__NR_getcwd, buf.as_mut_ptr(), buf.len());
        let _ = syscall!(__NR_readlink, c"/proc/self/cwd".as_ptr(), buf.as_mut_ptr(), buf.len());
    }
}

fn mounts() {
    // What was mounted stays, so there is an end to it.
    for _ in 0..50 {
        if file::mount(c"tmpfs", c"/tmp").is_err() {
            return;
        }
    }
}
