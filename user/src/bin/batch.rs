// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: as the first process (`rdinit=/bin/batch`) runs the commands of the
//! file `/batch`, one a line, one after the other, and switches the machine off. What they
//! write goes to the second serial port, between lines that say which command it was and
//! how it ended. `cargo xtask compare` boots two kernels with it.
//!
//! `@SECONDS` before a command gives it so much time, in the directory of its program; behind
//! it everything is killed that it has left running.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::{CStr, c_char};
use core::fmt::Write;
use core::ptr::null;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use user::process::{WNOHANG, child, execve, getpid, setpgid, wait, wait4};
use user::runner::{list::read_file, machine};
use user::signal::SigInfo;
use user::status::WaitStatus;
use user::text::Text;
use user::ucontext::UContext;
use user::{file, println, program, signal, time};

program!(run);

/// The longest file of commands, and the most words of one.
const LONGEST: usize = 4096;
const WORDS: usize = 20;

fn run() {
    let init = getpid() == 1;
    if init {
        machine::set_up();
        set_up_more();
        redirect();
    }
    let mut buffer = [0; LONGEST];
    match read_file(c"/batch", &mut buffer).map(core::str::from_utf8) {
        Ok(Ok(commands)) => commands.lines().filter(|l| !l.trim().is_empty()).for_each(command),
        other => println!("== /batch: {other:?}"),
    }
    println!("== done");
    if init {
        machine::power_off();
    }
}

/// What distributions' programs expect beside that, and their `/init` makes.
fn set_up_more() {
    for (kind, dir) in [(c"tmpfs", c"/dev/shm"), (c"devpts", c"/dev/pts")] {
        let _ = file::mkdir(dir, 0o755);
        let _ = file::mount(kind, dir);
    }
    // SAFETY: both paths end with a NUL.
    let _ = unsafe { user::syscall!(__NR_symlink, c"/proc/self/fd".as_ptr(), c"/dev/fd".as_ptr()) };
}

/// Input from nowhere, output to the report's port, and a kernel that logs every line.
fn redirect() {
    let port = file::open(c"/dev/ttyS1", file::O_RDWR | linux_raw_sys::general::O_NOCTTY, 0);
    let null = file::open(c"/dev/null", file::O_RDONLY, 0);
    for (from, to) in [(null, 0), (port, 1), (port, 2)] {
        if let Ok(fd) = from {
            let _ = file::dup2(fd, to);
        }
    }
    for fd in [port, null].into_iter().flatten().filter(|fd| *fd > 2) {
        let _ = file::close(fd);
    }
    if let Ok(fd) = file::open(c"/proc/sys/kernel/printk_ratelimit", file::O_WRONLY, 0) {
        file::write_all(fd, b"0\n");
        let _ = file::close(fd);
    }
}

/// Whether the program that runs has taken too long, and its process.
static EXPIRED: AtomicBool = AtomicBool::new(false);
static RUNNING: AtomicI32 = AtomicI32::new(0);

/// The time is up: ends what was started, again and again until it is gone.
extern "C" fn expired(_: i32, _: &mut SigInfo, _: &mut UContext) {
    EXPIRED.store(true, Ordering::Relaxed);
    end_all();
}

/// Kills whatever runs beside us; where others run too, only the group that was started.
fn end_all() {
    let group = RUNNING.load(Ordering::Relaxed);
    let _ = signal::kill(-group, signal::SIGKILL);
    if getpid() == 1 {
        let _ = signal::kill(-1, signal::SIGKILL);
    }
}

fn command(line: &str) {
    println!("== {line}");
    let (seconds, words) = match line.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
        Some((seconds, words)) => (seconds.parse::<i64>().ok(), words),
        None => (None, line),
    };
    let mut text = Text::<512>::new();
    let mut starts = [0; WORDS];
    let mut count = 0;
    for word in words.split_whitespace().take(WORDS - 1) {
        starts[count] = text.as_str().len();
        count += 1;
        let _ = write!(text, "{word}\0");
    }
    let base = text.as_str().as_ptr();
    let mut argv = [null::<c_char>(); WORDS];
    for (arg, at) in argv.iter_mut().zip(&starts[..count]) {
        *arg = base.wrapping_add(*at).cast();
    }
    let Ok(path) = CStr::from_bytes_until_nul(text.as_str().as_bytes()) else { return };
    let pid = child(|| {
        if seconds.is_some() {
            let _ = setpgid(0, 0);
            go_where_it_is(path);
        }
        let error = execve(path, &argv, &[c"PATH=/bin".as_ptr(), null()]);
        println!("== {line}: {error}");
        127
    });
    match seconds {
        None => end(wait(pid)),
        Some(seconds) => bounded(pid, seconds),
    }
}

fn end(status: user::Result<WaitStatus>) {
    match status {
        Ok(status) => println!("== ended {status}"),
        Err(error) => println!("== lost {error}"),
    }
}

/// Waits so long, then kills; nothing that was started outlives this.
fn bounded(pid: i32, seconds: i64) {
    let _ = setpgid(pid, pid);
    RUNNING.store(pid, Ordering::Relaxed);
    EXPIRED.store(false, Ordering::Relaxed);
    let _ = signal::sigaction(signal::SIGALRM, signal::Action::Handle(expired), 0, 0);
    let _ = time::set_real_timer(seconds * 1000, 1000);
    let status = wait(pid);
    let _ = time::set_real_timer(0, 0);
    end_all();
    while matches!(wait4(-1, if getpid() == 1 { 0 } else { WNOHANG }), Ok(Some(_))) {}
    // What it wrote may have no end of a line.
    println!();
    if EXPIRED.load(Ordering::Relaxed) {
        println!("== ended timeout");
    } else {
        end(status);
    }
}

/// Changes to the directory of a program.
fn go_where_it_is(path: &CStr) {
    let bytes = path.to_bytes();
    let end = bytes.iter().rposition(|&b| b == b'/').unwrap_or(0);
    let mut dir = Text::<512>::new();
    dir.push_bytes(&bytes[..end]);
    let _ = write!(dir, "\0");
    // SAFETY: the path ends with a NUL.
    let _ = unsafe { user::syscall!(__NR_chdir, dir.as_str().as_ptr()) };
}
