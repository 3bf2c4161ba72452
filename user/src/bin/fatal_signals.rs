// SPDX-License-Identifier: GPL-2.0-only
//! With `kernel.print-fatal-signals` the log has a dump of the registers for each signal that
//! dumps core, and a line for a signal that found no place. Needs root for the sysctl and the
//! log; puts the sysctl back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use core::ffi::CStr;
use user::file;
use user::prelude::*;
use user::process::{RLIMIT_SIGPENDING, getuid, setrlimit};
use user::runner::kmsg::kernel_line;
use user::signal::{SIGILL, SIGQUIT, SIGTERM, sigqueueinfo};
use user::text::Text;

expect! { end: exit(0) }
program!(run);

const SYSCTL: &CStr = c"/proc/sys/kernel/print-fatal-signals";

/// The log from where it ended when this was made.
struct Log(i32);

impl Log {
    fn open() -> Option<Self> {
        let fd = file::open(c"/dev/kmsg", file::O_RDONLY | file::O_NONBLOCK, 0).ok()?;
        let _ = file::lseek(fd, 0, 2);
        Some(Self(fd))
    }

    /// The next line of the kernel's that begins with `prefix`, if there is one.
    fn find(&self, prefix: &str) -> Option<Text<512>> {
        let mut record = [0; 2048];
        loop {
            let n = match file::read(self.0, &mut record) {
                Ok(n) => n,
                Err(e) if e.0 == EPIPE => continue,
                Err(_) => return None,
            };
            if let Some(line) = kernel_line(&record[..n])
                && line.starts_with(prefix.as_bytes())
            {
                let mut t = Text::new();
                t.push_bytes(line);
                return Some(t);
            }
        }
    }
}

/// Dies with known registers, at a known address: returns that, in the parent.
fn die_of_ud() -> (i32, u64) {
    let at: u64;
    // SAFETY: only an address.
    unsafe { asm!("lea {}, [rip + {}]", out(reg) at, sym bad_instruction) };
    let pid = child(|| {
        // SAFETY: to fault is the purpose.
        unsafe {
            asm!("xchg rbx, {b}", "call {f}", b = in(reg) 0x1122_3344_5566_7788u64, f = sym bad_instruction,
                in("rcx") 0xccu64, in("rdx") 0xddu64, in("r15") 0xff15u64, options(noreturn))
        }
    });
    let status = wait(pid);
    check_eq!(status, Ok(WaitStatus::killed(SIGILL as i32)), "killed");
    (pid, at + DISTANCE)
}

/// Far enough behind the beginning that the log can show what stands before it.
const DISTANCE: u64 = 64;

#[unsafe(naked)]
extern "C" fn bad_instruction() {
    core::arch::naked_asm!(".fill {n}, 1, 0x90", "ud2", n = const DISTANCE)
}

fn dumped() {
    let Some(log) = Log::open() else {
        check!(false, "no /dev/kmsg");
        return;
    };
    let (pid, at) = die_of_ud();
    check!(log.find("potentially unexpected fatal signal 4.").is_some(), "the signal");
    let who = user::text!(64, "CPU: 0 PID: {pid} Comm: fatal_signals ");
    check!(log.find(who.as_str()).is_some(), "who");
    let line = log.find("RIP: ").unwrap_or_default();
    check_eq!(line.as_str(), user::text!(64, "RIP: 0033:{at:#x}").as_str(), "where");
    let line = log.find("Code: ").unwrap_or_default();
    check!(line.as_str().contains("<0f> 0b"), "the code: {}", line.as_str());
    let line = log.find("RSP: ").unwrap_or_default();
    check!(
        line.as_str().starts_with("RSP: 002b:0000") && !line.as_str().contains("ORIG"),
        "{}",
        line.as_str()
    );
    let line = log.find("RAX: ").unwrap_or_default();
    check!(line.as_str().ends_with("RBX: 1122334455667788 RCX: 00000000000000cc"), "{}", line.as_str());
    let line = log.find("RDX: ").unwrap_or_default();
    check!(line.as_str().starts_with("RDX: 00000000000000dd RSI: "), "{}", line.as_str());
    let line = log.find("R13: ").unwrap_or_default();
    check!(line.as_str().ends_with("R15: 000000000000ff15"), "{}", line.as_str());
    let line = log.find("FS:  ").unwrap_or_default();
    check!(line.as_str().contains(" GS:  0000000000000000"), "{}", line.as_str());
}

/// How a signal that a child sends itself is spoken of.
fn says(sig: u32, line: &str) -> bool {
    let Some(log) = Log::open() else { return false };
    let pid = child(|| {
        let _ = kill(getpid(), sig);
        0
    });
    check_eq!(wait(pid), Ok(WaitStatus::killed(sig as i32)), "killed");
    let said = log.find(line).is_some();
    let _ = file::close(log.0);
    said
}

/// At a limit of nothing a signal's record finds no place.
fn dropped() {
    let Some(log) = Log::open() else { return };
    let pid = child(|| {
        sigprocmask_set(bit(34));
        let _ = setrlimit(RLIMIT_SIGPENDING, 0, None);
        let info = SigInfo::queue(34, -1, getpid(), getuid(), 7);
        check_eq!(sigqueueinfo(getpid(), 34, &info), Err(Errno(EAGAIN)), "refused");
        0
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the child");
    let line = user::text!(96, "fatal_signals/{pid}: reached RLIMIT_SIGPENDING, dropped signal 34");
    check!(log.find(line.as_str()).is_some(), "the dropped signal");
}

fn run() {
    let mut old = [0; 16];
    let Ok(before) = file::load(SYSCTL, &mut old) else {
        check!(false, "no sysctl");
        return;
    };
    check_eq!(file::store(SYSCTL, b"0"), Ok(1), "off");
    check!(!says(SIGQUIT, "potentially unexpected fatal signal"), "a dump though it is off");
    check_eq!(file::store(SYSCTL, b"1"), Ok(1), "on");
    dumped();
    check!(says(SIGQUIT, "potentially unexpected fatal signal 3."), "sent by a program");
    check!(!says(SIGTERM, "potentially unexpected fatal signal"), "SIGTERM dumps no core");
    dropped();
    check_eq!(file::store(SYSCTL, before), Ok(before.len()), "put back");
}
