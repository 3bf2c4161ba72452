// SPDX-License-Identifier: GPL-2.0-only
//! process_vm_readv and process_vm_writev: what is copied between two processes, and how far;
//! kcmp: what tasks share.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::from_mut;
use core::sync::atomic::{AtomicI32, Ordering::SeqCst};
use user::memory::{PAGE, PROT_NONE, PROT_READ, PROT_WRITE, map};
use user::prelude::*;
use user::process::{become_user, spawn_thread};
use user::signal::SIGKILL;
use user::syscall::Result;
use user::time::sleep_ms;
use user::{file, syscall};

expect! { end: exit(0) }
program!(run);

type IoVec = [usize; 2];

fn readv(pid: i32, local: &[IoVec], remote: &[IoVec], flags: u32) -> Result {
    let (l, r) = (local.as_ptr(), remote.as_ptr());
    // SAFETY: the kernel writes to the local ranges, which are this program's.
    unsafe { syscall!(__NR_process_vm_readv, pid, l, local.len(), r, remote.len(), flags) }
}

fn writev(pid: i32, local: &[IoVec], remote: &[IoVec]) -> Result {
    let (l, r) = (local.as_ptr(), remote.as_ptr());
    // SAFETY: the kernel reads the local ranges.
    unsafe { syscall!(__NR_process_vm_writev, pid, l, local.len(), r, remote.len(), 0) }
}

fn e(n: u32) -> Result {
    Err(Errno(n))
}

/// Fills memory.
fn fill(at: usize, len: usize, byte: u8) {
    // SAFETY: within a mapping of this program.
    unsafe { core::ptr::write_bytes(core::ptr::with_exposed_provenance_mut::<u8>(at), byte, len) };
}

fn byte(at: usize) -> u8 {
    // SAFETY: within a mapping of this program.
    unsafe { core::ptr::with_exposed_provenance::<u8>(at).read_volatile() }
}

fn copies() {
    // Two pages, then one that is only read, then none.
    let at = map(4 * PAGE, PROT_READ | PROT_WRITE).unwrap_or(0);
    fill(at, 3 * PAGE, 1);
    // SAFETY: pages of this program's.
    unsafe {
        let _ = syscall!(__NR_mprotect, at + 2 * PAGE, PAGE, PROT_READ);
        let _ = syscall!(__NR_mprotect, at + 3 * PAGE, PAGE, PROT_NONE);
    }
    let pid = child(|| {
        fill(at, 2 * PAGE, 2);
        loop {
            sleep_ms(1000);
        }
    });
    sleep_ms(30);
    let mut buf = [0u8; 64];
    let b = from_mut(&mut buf) as usize;
    check_eq!((readv(pid, &[[b, 64]], &[[at + PAGE - 32, 64]], 0), buf), (Ok(64), [2; 64]), "across pages");
    let r = readv(pid, &[[b, 3], [b + 60, 4]], &[[at + 2 * PAGE - 1, 2], [at, 1], [at + 2 * PAGE, 4]], 0);
    check_eq!((r, buf[0], buf[1], buf[2], buf[60]), (Ok(7), 2, 1, 2, 1), "several ranges");
    check_eq!(readv(pid, &[[b, 64]], &[[at + 3 * PAGE - 8, 64]], 0), Ok(8), "as far as it can be read");
    check_eq!(readv(pid, &[[b, 64]], &[[at + 3 * PAGE, 64]], 0), e(EFAULT), "what cannot be read");
    check_eq!(readv(pid, &[[8, 64]], &[[at, 64]], 0), e(EFAULT), "to nowhere");
    check_eq!(readv(pid, &[[b, 64]], &[[1 << 63, 64]], 0), e(EFAULT), "the kernel's");
    fill(b, 64, 9);
    check_eq!(writev(pid, &[[b, 64]], &[[at + PAGE - 32, 64]]), Ok(64), "writing");
    check_eq!(
        (readv(pid, &[[b, 4]], &[[at + PAGE - 34, 4]], 0), buf[..4] == [2, 2, 9, 9]),
        (Ok(4), true),
        "what is there"
    );
    check_eq!(byte(at + PAGE), 1, "one's own is as it was");
    check_eq!(writev(pid, &[[b, 64]], &[[at + 2 * PAGE - 8, 64]]), Ok(8), "as far as it can be written");
    check_eq!(writev(pid, &[[b, 64]], &[[at + 2 * PAGE, 64]]), e(EFAULT), "what cannot be written");
    check_eq!(readv(pid, &[[b, 64]], &[[at, 64]], 1), e(EINVAL), "a flag");
    check_eq!([readv(pid, &[], &[[at, 1]], 0), readv(pid, &[[b, 1]], &[], 0)], [Ok(0); 2], "nothing");
    check_eq!(readv(pid, &[[b, usize::MAX]], &[[at, 1]], 0), e(EINVAL), "less than nothing");
    check_eq!(readv(pid, &[[b, 1]], &[[at, usize::MAX]], 0), e(EINVAL), "of less than nothing");
    check_eq!(readv(0x3fff_ffff, &[[b, 1]], &[[at, 1]], 0), e(ESRCH), "nobody");
    let stranger = child(|| {
        let _ = become_user(1000);
        i32::from(readv(pid, &[[b, 1]], &[[at, 1]], 0) != e(EPERM))
    });
    check_eq!(wait(stranger), Ok(WaitStatus::exited(0)), "somebody else's");
    let _ = kill(pid, SIGKILL);
    sleep_ms(30);
    check_eq!(readv(pid, &[[b, 1]], &[[at, 1]], 0), e(ESRCH), "a dead one");
    let _ = wait(pid);
}

fn kcmp(a: i32, b: i32, what: u32, x: i32, y: i32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_kcmp, a, b, what, x, y) }
}

static TID: AtomicI32 = AtomicI32::new(0);

extern "C" fn thread() -> ! {
    TID.store(gettid(), SeqCst);
    loop {
        sleep_ms(1000);
    }
}

fn comparisons() {
    let me = getpid();
    check!(spawn_thread(thread).is_ok(), "a thread");
    while TID.load(SeqCst) == 0 {
        sleep_ms(1);
    }
    let tid = TID.load(SeqCst);
    for what in 1..=6 {
        check_eq!(kcmp(me, tid, what, 0, 0), Ok(0), "{what}: a thread");
    }
    // SAFETY: no memory is involved; a set of one semaphore for us alone.
    let set = unsafe { syscall!(__NR_semget, 0, 1, 0o600) }.unwrap_or(0);
    // What is done to it, and whether that is undone.
    let change = |by: i16, undo: u16| {
        let op = [0, by as u16, undo];
        // SAFETY: one `struct sembuf`.
        unsafe { syscall!(__NR_semop, set, op.as_ptr(), 1) }
    };
    let pid = child(|| {
        let _ = change(1, 0x1000);
        loop {
            sleep_ms(1000);
        }
    });
    check_eq!(change(-1, 0), Ok(0), "the child has said what is to be undone");
    for what in [1, 2, 3, 4, 6] {
        let (ab, ba) = (kcmp(me, pid, what, 0, 0), kcmp(pid, me, what, 0, 0));
        check!(matches!((ab, ba), (Ok(1), Ok(2)) | (Ok(2), Ok(1))), "{what}: a child: {ab:?} {ba:?}");
    }
    // SAFETY: no memory is involved; IPC_RMID.
    check_eq!(unsafe { syscall!(__NR_semctl, set, 0, 0, 0) }, Ok(0), "away with it");
    let other = file::open(c"/proc/self/status", 0, 0).unwrap_or(-1);
    let same = file::dup2(other, 50).unwrap_or(0) as i32;
    check_eq!(kcmp(me, me, 0, other, same), Ok(0), "a copy of a descriptor");
    check!(matches!(kcmp(me, me, 0, 1, other), Ok(1 | 2)), "another file");
    check_eq!(kcmp(me, pid, 0, 1, 1), Ok(0), "the child's descriptor");
    check_eq!([kcmp(me, me, 0, 1, 99), kcmp(me, pid, 0, other, other)], [e(EBADF); 2], "not open");
    check_eq!(kcmp(me, me, 8, 0, 0), e(EINVAL), "no such thing");
    check_eq!(kcmp(me, 0x3fff_ffff, 1, 0, 0), e(ESRCH), "nobody");
    let stranger = child(|| {
        let _ = become_user(1000);
        i32::from(kcmp(pid, pid, 1, 0, 0) != e(EPERM))
    });
    check_eq!(wait(stranger), Ok(WaitStatus::exited(0)), "somebody else's");
    let _ = (kill(pid, SIGKILL), wait(pid));
}

fn run() {
    copies();
    comparisons();
}
