// SPDX-License-Identifier: GPL-2.0-only
//! Keys of `/proc/sysrq-trigger` that leave the machine as it was, and what each of them brings
//! to the log; what `/proc/sys/kernel/sysrq` takes. Needs root; puts everything back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use linux_raw_sys::general as abi;
use user::file;
use user::prelude::*;
use user::syscall;
use user::text;
use user::time::{now, sleep_ms};

expect! { end: exit(0) }
program!(run);

const TRIGGER: &CStr = c"/proc/sysrq-trigger";
const ENABLED: &CStr = c"/proc/sys/kernel/sysrq";
const PRINTK: &CStr = c"/proc/sys/kernel/printk";

/// The log from where it was opened.
struct Log(i32);

impl Log {
    fn open() -> Self {
        let fd = file::open(c"/dev/kmsg", file::O_RDONLY | file::O_NONBLOCK, 0).unwrap_or(-1);
        check!(fd >= 0, "no /dev/kmsg");
        let _ = file::lseek(fd, 0, 2);
        Self(fd)
    }

    /// These texts come, in this order, whatever else does in between; some soon only.
    fn says(&self, key: &[u8], texts: &[&str]) {
        let (mut record, mut left) = ([0; 2048], texts);
        let deadline = now() + 5_000_000_000;
        while let [text, rest @ ..] = left {
            match file::read(self.0, &mut record) {
                Ok(n) if record[..n].windows(text.len()).any(|w| w == text.as_bytes()) => left = rest,
                Ok(_) => {}
                Err(_) if now() < deadline => sleep_ms(2),
                Err(e) => return check!(false, "{}: no {text:?} ({e})", key.escape_ascii()),
            }
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = file::close(self.0);
    }
}

/// Presses a key, which brings these texts.
fn press(key: &[u8], texts: &[&str]) {
    let log = Log::open();
    check_eq!(file::store(TRIGGER, key), Ok(key.len()), "pressing {}", key.escape_ascii());
    log.says(key, texts);
}

fn files() {
    let mode = file::stat(TRIGGER).map(|s| s.st_mode & 0o777);
    check_eq!(mode, Ok(0o200), "who may press keys");
    let mut room = [0; 64];
    check_eq!(file::load(TRIGGER, &mut room), Err(Errno(EIO)), "reading");
    check_eq!(file::store(TRIGGER, b""), Ok(0), "no key");

    let mut old = [0; 16];
    let Ok(old) = file::load(ENABLED, &mut old) else {
        return check!(false, "no {ENABLED:?}");
    };
    check_eq!(file::store(ENABLED, b"-5"), Ok(2), "any number");
    check_eq!(file::load(ENABLED, &mut room), Ok(&b"-5\n"[..]), "is kept");
    check_eq!(file::store(ENABLED, b"x"), Err(Errno(EINVAL)), "no number");
    // What keyboards may not do can be done here.
    check_eq!(file::store(ENABLED, b"0"), Ok(1), "nothing allowed");
    press(b"s", &["sysrq: Emergency Sync", "Emergency Sync complete"]);
    check_eq!(file::store(ENABLED, old), Ok(old.len()), "putting it back");
}

const HELP: &str = "sysrq: HELP : loglevel(0-9) reboot(b) crash(c) terminate-all-tasks(e) \
                    memory-full-oom-kill(f) kill-all-tasks(i) thaw-filesystems(j) ";

fn own_backtrace() {
    let pid = text!(64, "CPU: 0 PID: {} Comm: sysrq_keys ", getpid());
    let frames = ["Call Trace:", " <TASK>", "entry_SYSCALL_64_after_hwframe+0x", "RIP: 0033:0x", " </TASK>"];
    let mut texts = ["sysrq: Show backtrace of all active CPUs", "NMI backtrace for cpu 0", pid.as_str()]
        .into_iter()
        .chain(frames);
    let texts: [&str; 8] = core::array::from_fn(|_| texts.next().unwrap_or_default());
    press(b"l", &texts);
    // Only the first key counts.
    press(b"lm", &texts);
}

fn log_levels() {
    let mut old = [0; 64];
    let Ok(old) = file::load(PRINTK, &mut old) else {
        return check!(false, "no {PRINTK:?}");
    };
    press(b"5", &["sysrq: Changing Loglevel", "sysrq: Loglevel set to 5"]);
    let mut now = [0; 64];
    let first = file::load(PRINTK, &mut now).map(|t| t[0]);
    check_eq!(first, Ok(b'5'), "the console's level");
    check_eq!(file::store(PRINTK, old), Ok(old.len()), "putting it back");
}

/// A parent that waits in `vfork` is the one blocked task.
fn blocked_task() {
    let flags = abi::CLONE_VFORK | abi::SIGCHLD;
    // SAFETY: a child with a copy of everything.
    let pid = unsafe { syscall!(__NR_clone, flags, 0, 0, 0, 0) };
    if pid == Ok(0) {
        let parent = user::process::getppid();
        let line = text!(64, " stack:0     pid:{parent:<5} ppid:");
        let texts = ["sysrq: Show Blocked State", "task:sysrq_keys      state:D", "Call Trace:", " </TASK>"];
        press(b"w", &texts);
        press(b"w", &[line.as_str()]);
        exit_group(i32::from(user::check::failures() != 0));
    }
    check_eq!(wait(pid.map_or(-1, |p| p as i32)), Ok(WaitStatus::exited(0)), "what the child saw");
}

fn run() {
    files();
    for key in [b"h", b"?", b"\n", b"L", b"a"] {
        press(key, &[HELP]);
    }
    own_backtrace();
    log_levels();
    blocked_task();
    let pid = text!(64, " pid:{:<5} ppid:", getpid());
    press(b"t", &["sysrq: Show State", "task:sysrq_keys      state:R  running task     stack:0 "]);
    press(b"t", &[pid.as_str()]);
    press(b"m", &["sysrq: Show Memory", "Mem-Info:", "active_anon:", "Free swap  = ", " pages RAM"]);
    press(b"p", &["sysrq: Show Regs"]);
    press(b"j", &["sysrq: Emergency Thaw of all frozen filesystems", "Emergency Thaw complete"]);
    press(b"u", &["sysrq: Emergency Remount R/O", "Emergency Remount complete"]);
}
