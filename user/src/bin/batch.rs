// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: as the first process (`rdinit=/bin/batch`) runs the commands of the
//! file `/batch`, one a line, one after the other, and switches the machine off. What they
//! write goes to the second serial port, between lines that say which command it was and
//! how it ended. `cargo xtask compare` boots two kernels with it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::{CStr, c_char};
use core::fmt::Write;
use core::ptr::null;
use user::process::{child, execve, getpid, wait};
use user::runner::{list::read_file, machine};
use user::text::Text;
use user::{file, println, program};

program!(run);

/// The longest file of commands, and the most words of one.
const LONGEST: usize = 4096;
const WORDS: usize = 12;

fn run() {
    let init = getpid() == 1;
    if init {
        machine::set_up();
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

fn command(line: &str) {
    println!("== {line}");
    let mut text = Text::<512>::new();
    let mut starts = [0; WORDS];
    let mut count = 0;
    for word in line.split_whitespace().take(WORDS - 1) {
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
        let error = execve(path, &argv, &[c"PATH=/bin".as_ptr(), null()]);
        println!("== {line}: {error}");
        127
    });
    match wait(pid) {
        Ok(status) => println!("== ended {status}"),
        Err(error) => println!("== lost {error}"),
    }
}
