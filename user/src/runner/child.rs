// SPDX-License-Identifier: GPL-2.0-only
//! Running one program, with a time limit.

use super::PathText;
use crate::{
    Errno, Result, file, process,
    report::{Report, VARIABLE},
    signal::{self, Action, SigInfo},
    start,
    status::WaitStatus,
    text,
    text::Text,
    time,
    ucontext::UContext,
};
use core::{
    ffi::{CStr, c_char},
    ptr::null,
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
};
use linux_raw_sys::errno::EINTR;

/// The descriptor through which a program's runtime reports.
const REPORT_FD: i32 = 9;

/// What to run.
pub struct Job<'a> {
    /// The program.
    pub path: &'a CStr,
    /// When to kill it.
    pub timeout_ms: i64,
    /// Whether its runtime shall report the first signal.
    pub report: bool,
}

/// What happened.
pub struct Run {
    /// The process id that it had.
    pub pid: i32,
    /// How it ended.
    pub status: WaitStatus,
    /// What its runtime reported.
    pub report: Option<Report>,
    /// The beginning of what it printed.
    pub output: Text<1024>,
    /// Whether it was killed for taking too long.
    pub timed_out: bool,
}

static EXPIRED: AtomicBool = AtomicBool::new(false);
static RUNNING: AtomicI32 = AtomicI32::new(0);

/// Kills what runs, with its process group; what we wait for then ends by itself.
extern "C" fn expired(_: i32, _: &mut SigInfo, _: &mut UContext) {
    EXPIRED.store(true, Ordering::Relaxed);
    let pid = RUNNING.load(Ordering::Relaxed);
    if pid > 0 {
        let _ = signal::kill(-pid, signal::SIGKILL);
        let _ = signal::kill(pid, signal::SIGKILL);
    }
}

fn again<T>(mut f: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match f() {
            Err(Errno(EINTR)) => {}
            other => return other,
        }
    }
}

/// Runs a program to its end, its output kept.
pub fn run(job: &Job<'_>) -> Result<Run> {
    let (out_read, out_write) = file::pipe(file::O_CLOEXEC)?;
    let (report_read, report_write) = file::pipe(file::O_CLOEXEC)?;
    EXPIRED.store(false, Ordering::Relaxed);
    RUNNING.store(0, Ordering::Relaxed);
    signal::sigaction(signal::SIGALRM, Action::Handle(expired), 0, 0)?;
    let pid = process::fork()?;
    if pid == 0 {
        exec(job, out_write, report_write);
    }
    let _ = process::setpgid(pid, pid);
    RUNNING.store(pid, Ordering::Relaxed);
    let _ = file::close(out_write);
    let _ = file::close(report_write);
    let _ = time::set_real_timer(job.timeout_ms, 1000);
    let report = read_report(report_read);
    let output = read_output(out_read);
    let status = again(|| process::wait4(pid, 0));
    let _ = time::set_real_timer(0, 0);
    RUNNING.store(0, Ordering::Relaxed);
    let _ = file::close(out_read);
    let _ = file::close(report_read);
    let status = status?.map_or(WaitStatus(0), |s| s.1);
    Ok(Run { pid, status, report, output, timed_out: EXPIRED.load(Ordering::Relaxed) })
}

/// In the child: becomes the program.
fn exec(job: &Job<'_>, out: i32, report: i32) -> ! {
    let _ = process::setpgid(0, 0);
    let _ = signal::sigaction(signal::SIGALRM, Action::Default, 0, 0);
    let _ = file::dup2(out, 1);
    let _ = file::dup2(out, 2);
    let variable = text!(32, "{VARIABLE}={REPORT_FD}\0");
    let mut environment = [c"PATH=/bin".as_ptr(), null(), null()];
    if job.report {
        let _ = file::dup2(report, REPORT_FD);
        environment[1] = variable.as_str().as_ptr().cast::<c_char>();
    }
    let e = process::execve(job.path, &[job.path.as_ptr(), null()], &environment);
    crate::println!("cannot execute: {e}");
    process::exit_group(127)
}

fn read_report(fd: i32) -> Option<Report> {
    let mut bytes = [0; Report::SIZE];
    let n = read_all(fd, &mut bytes);
    (n == Report::SIZE).then(|| Report::from_bytes(&bytes)).flatten()
}

fn read_output(fd: i32) -> Text<1024> {
    let mut output = Text::new();
    let mut chunk = [0; 512];
    loop {
        match read_all(fd, &mut chunk) {
            0 => return output,
            n => output.push_bytes(&chunk[..n]),
        }
    }
}

/// Reads until the buffer is full or every writer is gone, through interruptions.
fn read_all(fd: i32, buf: &mut [u8]) -> usize {
    let mut done = 0;
    while done < buf.len() {
        match again(|| file::read(fd, &mut buf[done..])) {
            Ok(n) if n > 0 => done += n,
            _ => break,
        }
    }
    done
}

/// Collects whatever orphans have ended meanwhile.
pub fn reap() {
    while let Ok(Some(_)) = process::wait4(-1, process::WNOHANG) {}
}

/// Runs a program on the console with our own words from `first` on as its arguments.
pub fn attached(path: &PathText, first: usize) -> Result<WaitStatus> {
    const MAX: usize = 64;
    let too_long = Errno(linux_raw_sys::errno::E2BIG);
    let path = CStr::from_bytes_until_nul(path.as_str().as_bytes()).map_err(|_| too_long)?;
    let mut argv = [null(); MAX];
    let mut envp = [null(); MAX];
    for (to, i) in argv[..MAX - 1].iter_mut().zip(first..) {
        *to = start::arg(i).map_or(null(), CStr::as_ptr);
    }
    for (to, from) in envp[..MAX - 1].iter_mut().zip(start::environment()) {
        *to = from.as_ptr();
    }
    // The pipe closes when execve succeeds; else it brings the error.
    let (read, write) = file::pipe(file::O_CLOEXEC)?;
    let pid = process::fork()?;
    if pid == 0 {
        let e = process::execve(path, &argv, &envp);
        file::write_all(write, &e.0.to_le_bytes());
        process::exit_group(127)
    }
    file::close(write)?;
    let mut error = [0; 4];
    let failed = read_all(read, &mut error) == error.len();
    file::close(read)?;
    loop {
        match again(|| process::wait4(-1, 0))? {
            Some((who, _)) if who == pid && failed => return Err(Errno(u32::from_le_bytes(error))),
            Some((who, status)) if who == pid => return Ok(status),
            _ => {}
        }
    }
}
