// SPDX-License-Identifier: GPL-2.0-only
//! The siginfo that kill, tkill, tgkill, sigqueue and tgsigqueue bring.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::{getppid, getuid};
use user::seen;
use user::signal::{SIGSEGV, SIGUSR1, SIGUSR2, sigqueueinfo, sigtimedwait, tgsigqueueinfo, tkill};
use user::time::timespec;

expect! { end: exit(0) }
program!(run);

const SI_QUEUE: i32 = -1;
const SI_TKILL: i32 = -6;

fn run() {
    let (me, uid) = (getpid(), getuid());
    seen::install(SIGUSR1, 0, 0);
    let expect = |what: &str, sent, want: SigInfo| {
        check_eq!(sent, Ok(0), "{what}");
        check_eq!(seen::count(), 1, "{what}: how many came");
        check_eq!(seen::get(0), want, "{what}");
        seen::clear();
    };
    expect("kill", kill(me, SIGUSR1), SigInfo::user(SIGUSR1, 0, me, uid));
    expect("tkill", tkill(me, SIGUSR1), SigInfo::user(SIGUSR1, SI_TKILL, me, uid));
    expect("tgkill", tgkill(me, me, SIGUSR1), SigInfo::user(SIGUSR1, SI_TKILL, me, uid));
    let queued = SigInfo::queue(SIGUSR1, SI_QUEUE, 1234, 7, 0xabcdef);
    expect("sigqueue", sigqueueinfo(me, SIGUSR1, &queued), queued);
    expect("tgsigqueue", tgsigqueueinfo(me, me, SIGUSR1, &queued), queued);
    // To oneself anything goes; si_signo is what was asked for.
    let mut forged = SigInfo::fault(SIGSEGV, 1, 0x4444);
    (forged.signo, forged.errno) = (99, 3);
    seen::install(SIGSEGV, 0, 0);
    let sent = sigqueueinfo(me, SIGSEGV, &forged);
    forged.signo = SIGSEGV as i32;
    expect("forged", sent, forged);
    others(me, uid);
    errors(me);
}

/// From another process: the sender is the child; to the child, codes that look like the kernel's or kill's are refused.
fn others(me: i32, uid: u32) {
    sigprocmask_set(bit(SIGUSR2));
    let pid = child(|| kill(getppid(), SIGUSR2).map_or(1, |_| 0));
    let got = sigtimedwait(bit(SIGUSR2), Some(&timespec(5, 0)));
    check_eq!(got, Ok(SigInfo::user(SIGUSR2, 0, pid, uid)), "kill from a child");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    let pid = child(|| user::signal::pause().map_or(0, |_| 1));
    for code in [0, 5, SI_TKILL] {
        let info = SigInfo::queue(SIGUSR1, code, me, uid, 0);
        check_eq!(sigqueueinfo(pid, SIGUSR1, &info), Err(Errno(EPERM)), "code {code} to a child");
    }
    check_eq!(kill(pid, 9), Ok(0), "kill");
    check_eq!(wait(pid), Ok(WaitStatus::killed(9)), "child");
}

fn errors(me: i32) {
    check_eq!(kill(me, 0), Ok(0), "signal 0 to oneself");
    check_eq!(kill(me, 65), Err(Errno(EINVAL)), "signal 65");
    check_eq!(kill(0x7fff_ffff, 0), Err(Errno(ESRCH)), "nobody");
    check_eq!(tkill(-1, 0), Err(Errno(EINVAL)), "tkill -1");
    check_eq!(tgkill(0, 0, 0), Err(Errno(EINVAL)), "tgkill 0");
    check_eq!(tgkill(1, me, 0), Err(Errno(ESRCH)), "tgkill of another group's thread");
}
