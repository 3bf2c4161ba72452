// SPDX-License-Identifier: GPL-2.0-only
//! System V shared memory, semaphores and messages: who finds them, who may use them, who waits, what is
//! taken back when a process ends, and when they go. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::from_mut;
use user::file;
use user::memory::PAGE;
use user::prelude::*;
use user::process::{self, become_user, child, getpid};
use user::signal::{Action, SIGALRM, SIGKILL, SigInfo, kill, sigaction};
use user::syscall;
use user::time::{Timespec, alarm, now, sleep_ms};
use user::ucontext::UContext;

expect! { end: exit(0) }
program!(run);

const PRIVATE: i32 = 0;
const CREAT: u32 = 0o1000;
const EXCL: u32 = 0o2000;
const NOWAIT: u32 = 0o4000;
const RMID: i32 = 0;
const SET: i32 = 1;
const STAT: i32 = 2;
const KEY: i32 = 0x7472_6170;

fn bad<T>(errno: u32) -> Result<T, Errno> {
    Err(Errno(errno))
}

fn shmget(key: i32, size: usize, flags: u32) -> Result<i32, Errno> {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_shmget, key, size, flags) }.map(|id| id as i32)
}
fn shmat(id: i32, at: usize, flags: u32) -> Result<usize, Errno> {
    // SAFETY: a new mapping, where there is none.
    unsafe { syscall!(__NR_shmat, id, at, flags) }
}
fn shmdt(at: usize) -> Result<usize, Errno> {
    // SAFETY: a mapping that nothing of ours is in.
    unsafe { syscall!(__NR_shmdt, at) }
}
/// What `shmctl` fills in.
type Words = [u64; 16];
fn shmctl(id: i32, command: i32, buf: &mut Words) -> Result<usize, Errno> {
    // SAFETY: the kernel reads or writes no more than there is.
    unsafe { syscall!(__NR_shmctl, id, command, from_mut(buf)) }
}
fn msgctl(id: i32, command: i32, buf: &mut Words) -> Result<usize, Errno> {
    // SAFETY: as above.
    unsafe { syscall!(__NR_msgctl, id, command, from_mut(buf)) }
}

fn nattch(id: i32) -> u64 {
    let mut w = [0; 16];
    check_eq!(shmctl(id, STAT, &mut w), Ok(0), "IPC_STAT");
    w[11]
}
fn byte(at: usize) -> *mut u8 {
    at as *mut u8
}

fn keys() {
    let Ok(id) = shmget(KEY, 3 * PAGE, CREAT | EXCL | 0o640) else { return check!(false, "a segment") };
    check_eq!(shmget(KEY, 3 * PAGE, CREAT | EXCL), bad(EEXIST), "there is one");
    check_eq!(shmget(KEY, PAGE, 0), Ok(id), "a part of it");
    check_eq!(shmget(KEY, 4 * PAGE, 0), bad(EINVAL), "more than it is");
    check_eq!(shmget(KEY + 1, PAGE, 0), bad(ENOENT), "no such key");
    check_eq!(shmget(PRIVATE, 0, CREAT), bad(EINVAL), "nothing");
    let mut w = [0; 16];
    check_eq!(shmctl(id, STAT, &mut w), Ok(0), "IPC_STAT");
    check_eq!((w[0], w[1], w[2]), (KEY as u64, 0, 0o640 << 32), "its key, owners and permissions");
    check_eq!((w[6], w[11], w[10] as i32), (3 * PAGE as u64, 0, getpid()), "size, attachments, maker");
    let other = child(|| {
        let _ = become_user(1000);
        check_eq!(shmget(KEY, PAGE, 0o400), bad(EACCES), "not for others");
        check_eq!(shmget(KEY, PAGE, 0), Ok(id), "its id is known");
        check_eq!(shmat(id, 0, 0o10000), bad(EACCES), "which is of no use");
        let mut w = [0; 16];
        check_eq!(shmctl(id, STAT, &mut w), bad(EACCES), "nor shown");
        check_eq!(shmctl(id, RMID, &mut w), bad(EPERM), "nor removed");
        user::check::failures() as i32
    });
    check_eq!(process::wait(other).map(|s| s.0), Ok(0), "the other one's findings");
    w[2] = 0o444 << 32;
    check_eq!(shmctl(id, SET, &mut w), Ok(0), "IPC_SET");
    check_eq!(shmctl(id, STAT, &mut w).map(|_| w[2]), Ok(0o444 << 32), "others may read");
    check_eq!(shmctl(id, RMID, &mut w), Ok(0), "IPC_RMID");
    check_eq!(shmctl(id, STAT, &mut w), bad(EINVAL), "it is gone");
    check_eq!(shmat(id, 0, 0), bad(EINVAL), "for all");
}

fn attachments() {
    let Ok(id) = shmget(PRIVATE, 3 * PAGE, 0o600) else { return check!(false, "a segment") };
    let (Ok(a), Ok(b)) = (shmat(id, 0, 0), shmat(id, 0, 0o10000)) else { return check!(false, "attached") };
    check_eq!(nattch(id), 2, "twice");
    // SAFETY: both are mapped.
    unsafe {
        byte(a).write_volatile(7);
        check_eq!(byte(b).read_volatile(), 7, "the same memory");
    }
    check_eq!(shmat(id, a, 0), bad(EINVAL), "there is something");
    check_eq!(shmat(id, a + 1, 0), bad(EINVAL), "between pages");
    check_eq!(shmat(id, a, 0o40000), Ok(a), "instead of what is there");
    check_eq!(nattch(id), 2, "as before");
    let forked = child(|| {
        check_eq!(nattch(id), 4, "a child has them too");
        // SAFETY: mapped.
        unsafe { byte(a).write_volatile(9) };
        check_eq!(shmdt(a), Ok(0), "and leaves one");
        check_eq!(nattch(id), 3, "of four");
        user::check::failures() as i32
    });
    check_eq!(process::wait(forked).map(|s| s.0), Ok(0), "the child's findings");
    check_eq!(nattch(id), 2, "its end");
    // SAFETY: mapped.
    check_eq!(unsafe { byte(b).read_volatile() }, 9, "what it wrote");
    // SAFETY: a page of ours.
    let _ = unsafe { syscall!(__NR_munmap, a + PAGE, PAGE) };
    check_eq!(nattch(id), 3, "a hole makes two of one");
    check_eq!(shmdt(a + PAGE), bad(EINVAL), "nothing begins there");
    let mut w = [0; 16];
    check_eq!(shmctl(id, RMID, &mut w), Ok(0), "it goes later");
    check_eq!(shmctl(id, STAT, &mut w).map(|_| w[2] >> 32), Ok(0o1600), "and says so");
    check_eq!(shmdt(a), Ok(0), "both pieces");
    check_eq!(nattch(id), 1, "one is left");
    check_eq!(shmdt(b), Ok(0), "the last one");
    check_eq!(shmctl(id, STAT, &mut w), bad(EINVAL), "it is gone");
    check_eq!(shmdt(b), bad(EINVAL), "and not attached");
}

/// Which process did something last, and whether anything was ever detached.
fn last(id: i32) -> (i32, bool) {
    let mut w = [0; 16];
    check_eq!(shmctl(id, STAT, &mut w), Ok(0), "IPC_STAT");
    ((w[10] >> 32) as i32, w[8] != 0)
}

/// Each part of an attachment counts, and each child's: when it comes to be, and when it goes.
fn parts() {
    let Ok(id) = shmget(PRIVATE, 3 * PAGE, 0o600) else { return check!(false, "a segment") };
    check_eq!(last(id), (0, false), "nobody yet");
    let Ok(at) = shmat(id, 0, 0) else { return check!(false, "attached") };
    let me = getpid();
    check_eq!(last(id), (me, false), "attached");
    let forked = child(|| 0);
    check_eq!(process::wait(forked).map(|s| s.0), Ok(0), "a child");
    check_eq!((nattch(id), last(id)), (1, (forked, true)), "which leaves it by its end");
    let forked = child(|| {
        check_eq!(last(id), (me, true), "copied by its parent");
        // SAFETY: a page of the child's.
        let _ = unsafe { syscall!(__NR_munmap, at + PAGE, PAGE) };
        check_eq!((nattch(id), last(id)), (3, (getpid(), true)), "two parts, and the parent's");
        user::check::failures() as i32
    });
    check_eq!(process::wait(forked).map(|s| s.0), Ok(0), "the child's findings");
    check_eq!((nattch(id), last(id)), (1, (forked, true)), "both parts are gone");
    // SAFETY: pages of ours.
    let protect = |prot: u32| unsafe { syscall!(__NR_mprotect, at, PAGE, prot) };
    check_eq!((protect(1), nattch(id), last(id)), (Ok(0), 2, (me, true)), "two parts by protection");
    check_eq!((protect(3), nattch(id)), (Ok(0), 2), "which never become one again");
    // SAFETY: more of the same memory, at a new place.
    let more = unsafe { syscall!(__NR_mremap, at, 0, PAGE, 1) };
    check_eq!((more.is_ok(), nattch(id)), (true, 3), "once more");
    check_eq!(shmctl(id, RMID, &mut [0; 16]), Ok(0), "it goes with the last of them");
    check_eq!((shmdt(at), nattch(id)), (Ok(0), 1), "two are gone");
    // SAFETY: a page of ours.
    let _ = more.map(|more| unsafe { syscall!(__NR_munmap, more, PAGE) });
    check_eq!(shmctl(id, STAT, &mut [0; 16]), bad(EINVAL), "all are");
}

fn shown() {
    let Ok(id) = shmget(KEY, PAGE, CREAT | 0o600) else { return check!(false, "a segment") };
    let Ok(at) = shmat(id, 0, 0) else { return check!(false, "attached") };
    static mut TEXT: [u8; 1 << 14] = [0; 1 << 14];
    // SAFETY: one thread uses it, here.
    let buf = unsafe { &mut *core::ptr::addr_of_mut!(TEXT) };
    let maps = file::load(c"/proc/self/maps", buf).map_or("", |t| core::str::from_utf8(t).unwrap_or(""));
    check!(
        maps.lines().any(|l| l.contains("rw-s") && l.ends_with("/SYSV74726170 (deleted)")),
        "in maps: {maps}"
    );
    let list = file::load(c"/proc/sysvipc/shm", buf).map_or("", |t| core::str::from_utf8(t).unwrap_or(""));
    check!(
        list.starts_with("       key      shmid perms                  size  cpid  lpid nattch "),
        "its names"
    );
    let mine = list.lines().find(|l| l.split_whitespace().nth(1).and_then(|n| n.parse().ok()) == Some(id));
    check_eq!(mine.map(|l| l.split_whitespace().count()), Some(16), "in sysvipc");
    let _ = (shmdt(at), shmctl(id, RMID, &mut [0; 16]));
}

/// `struct sembuf`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Op(u16, i16, u16);
const UNDO: u16 = 0x1000;
const SEM_NOWAIT: u16 = 0o4000;

fn semop(id: i32, ops: &[Op]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads the operations.
    unsafe { syscall!(__NR_semop, id, ops.as_ptr(), ops.len()) }
}
fn semctl(id: i32, which: i32, command: i32, arg: usize) -> Result<usize, Errno> {
    // SAFETY: the arguments are numbers here.
    unsafe { syscall!(__NR_semctl, id, which, command, arg) }
}
fn value(id: i32, which: i32) -> usize {
    semctl(id, which, 12, 0).unwrap_or(usize::MAX)
}
/// Waits until so many wait for a semaphore (14: to grow, 15: to be zero).
fn until_waits(id: i32, command: i32) {
    while semctl(id, 0, command, 0) == Ok(0) {
        sleep_ms(2);
    }
}
fn ended(pid: i32) -> Result<i32, Errno> {
    process::wait(pid).map(|s| s.0)
}

fn semaphores() {
    // SAFETY: no memory is involved.
    let made = unsafe { syscall!(__NR_semget, PRIVATE, 2, 0o600) };
    let Ok(id) = made else { return check!(false, "a set") };
    let id = id as i32;
    check_eq!(semctl(id, 0, 16, 2), Ok(0), "SETVAL");
    check_eq!(semctl(id, 2, 16, 2), bad(EINVAL), "no such semaphore");
    check_eq!(semctl(id, 0, 16, 32768), bad(ERANGE), "too much");
    check_eq!(semop(id, &[Op(0, -1, 0), Op(1, 5, 0), Op(0, -2, SEM_NOWAIT)]), bad(EAGAIN), "all or nothing");
    check_eq!((value(id, 0), value(id, 1)), (2, 0), "nothing");
    check_eq!(semop(id, &[Op(0, -1, 0), Op(1, 5, 0)]), Ok(0), "all");
    check_eq!((value(id, 0), value(id, 1)), (1, 5), "so");
    check_eq!(semctl(id, 1, 11, 0), Ok(getpid() as usize), "who did it");
    check_eq!(semop(id, &[Op(2, 1, 0)]), bad(EFBIG), "a third one");
    check_eq!(semop(id, &[]), bad(EINVAL), "nothing to do");
    check_eq!(semop(id, &[Op(1, 32767, 0)]), bad(ERANGE), "too much");
    check_eq!(semop(-1, &[Op(0, 1, 0)]), bad(EINVAL), "no set");
    let mut all = [0u16; 2];
    check_eq!(semctl(id, 0, 13, all.as_mut_ptr() as usize), Ok(0), "GETALL");
    check_eq!(all, [1, 5], "both");
    // What a process takes back.
    let undoing = child(|| semop(id, &[Op(0, -1, UNDO), Op(1, 2, UNDO)]).map_or(1, |_| 0));
    check_eq!(ended(undoing), Ok(0), "a child that takes them");
    check_eq!((value(id, 0), value(id, 1)), (1, 5), "gives them back");
    let undoing = child(|| {
        let _ = semop(id, &[Op(0, 1, UNDO)]);
        semctl(id, 0, 16, 3).map_or(1, |_| 0)
    });
    check_eq!((ended(undoing), value(id, 0)), (Ok(0), 3), "but not behind SETVAL");
    waiting(id);
}

fn waiting(id: i32) {
    let _ = semctl(id, 0, 16, 0);
    let one = child(|| semop(id, &[Op(0, -2, 0)]).map_or(1, |_| 0));
    until_waits(id, 14);
    check_eq!((semop(id, &[Op(0, 1, 0)]), value(id, 0)), (Ok(0), 1), "not enough");
    check_eq!(semctl(id, 0, 14, 0), Ok(1), "it waits on");
    check_eq!((semop(id, &[Op(0, 2, 0)]), ended(one), value(id, 0)), (Ok(0), Ok(0), 1), "enough, at once");
    let zero = child(|| semop(id, &[Op(0, 0, 0)]).map_or(1, |_| 0));
    until_waits(id, 15);
    check_eq!((semop(id, &[Op(0, -1, 0)]), ended(zero)), (Ok(0), Ok(0)), "zero");
    let start = now();
    let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let op = [Op(0, -1, 0)];
    // SAFETY: the kernel reads the operation and the time.
    let timed = unsafe { syscall!(__NR_semtimedop, id, op.as_ptr(), 1, core::ptr::from_ref(&wait)) };
    check_eq!(timed, bad(EAGAIN), "it takes too long");
    check!(now() - start >= 20_000_000, "so long");
    let _ = sigaction(SIGALRM, Action::Handle(nothing), 0x1000_0000, 0);
    let _ = user::time::set_real_timer(20, 0);
    check_eq!(semop(id, &op), bad(EINTR), "a signal ends it, whatever it asked for");
    check_eq!(semctl(id, 0, 14, 0), Ok(0), "nobody waits");
    let gone = child(|| i32::from(semop(id, &op) != bad(EIDRM)));
    until_waits(id, 14);
    check_eq!((semctl(id, 0, RMID, 0), ended(gone)), (Ok(0), Ok(0)), "the set is removed");
    check_eq!(semop(id, &op), bad(EINVAL), "for all");
    let _ = alarm(0);
}

extern "C" fn nothing(_: i32, _: &mut SigInfo, _: &mut UContext) {}

#[repr(C)]
struct Message {
    kind: i64,
    text: [u8; 16],
}
fn send(id: i32, kind: i64, len: usize, flags: u32) -> Result<usize, Errno> {
    let m = Message { kind, text: [kind as u8; 16] };
    // SAFETY: the kernel reads the message.
    unsafe { syscall!(__NR_msgsnd, id, core::ptr::from_ref(&m), len, flags) }
}
/// Receives: how many bytes, and of which kind.
fn receive(id: i32, kind: i64, len: usize, flags: u32) -> Result<(usize, i64), Errno> {
    let mut m = Message { kind: 0, text: [0; 16] };
    // SAFETY: the kernel writes no more than there is room for.
    let n = unsafe { syscall!(__NR_msgrcv, id, from_mut(&mut m), len, kind, flags) }?;
    check!(m.text[..n].iter().all(|b| i64::from(*b) == m.kind), "its text");
    Ok((n, m.kind))
}

fn messages() {
    // SAFETY: no memory is involved.
    let made = unsafe { syscall!(__NR_msgget, PRIVATE, 0o600) };
    let Ok(id) = made else { return check!(false, "a queue") };
    let id = id as i32;
    check_eq!(receive(id, 0, 16, NOWAIT), bad(ENOMSG), "nothing");
    check_eq!(send(id, 0, 1, 0), bad(EINVAL), "no kind");
    check_eq!(send(id, 1, 9000, 0), bad(EINVAL), "too long");
    for kind in [5, 3, 9, 3] {
        check_eq!(send(id, kind, 8, 0), Ok(0), "sent");
    }
    check_eq!(receive(id, 9, 16, NOWAIT), Ok((8, 9)), "by kind");
    check_eq!(receive(id, -4, 16, NOWAIT), Ok((8, 3)), "the least");
    check_eq!(receive(id, 5, 16, NOWAIT | 0o20000), Ok((8, 3)), "another kind");
    check_eq!(receive(id, 0, 4, NOWAIT), bad(E2BIG), "too long");
    check_eq!(receive(id, 0, 16, NOWAIT | 0o40000), Ok((8, 5)), "a copy");
    check_eq!(receive(id, 0, 4, NOWAIT | 0o10000), Ok((4, 5)), "its beginning");
    check_eq!(receive(id, 0, 4, NOWAIT | 0o10000), bad(ENOMSG), "all of it is gone");
    let mut w = [0; 16];
    check_eq!(msgctl(id, STAT, &mut w), Ok(0), "IPC_STAT");
    check_eq!((w[9], w[10], w[11]), (0, 0, 16384), "bytes, messages, room");
    let pid = getpid() as u64;
    check_eq!(w[12], pid | pid << 32, "who sent, who received");
    let one = child(|| i32::from(receive(id, 4, 16, 0) != Ok((2, 4))));
    sleep_ms(20);
    check_eq!((send(id, 3, 2, 0), send(id, 4, 2, 0), ended(one)), (Ok(0), Ok(0), Ok(0)), "who waits gets it");
    full(id);
    let gone = child(|| i32::from(receive(id, 77, 16, 0) != bad(EIDRM)));
    sleep_ms(20);
    check_eq!((msgctl(id, RMID, &mut w), ended(gone)), (Ok(0), Ok(0)), "the queue is removed");
    check_eq!(send(id, 1, 1, 0), bad(EINVAL), "for all");
}

fn full(id: i32) {
    let mut w = [0; 16];
    let _ = msgctl(id, STAT, &mut w);
    w[11] = 10;
    check_eq!(msgctl(id, SET, &mut w), Ok(0), "less room");
    check_eq!(send(id, 1, 9, NOWAIT), bad(EAGAIN), "is not enough");
    check_eq!(send(id, 1, 8, NOWAIT), Ok(0), "this is");
    let sender = child(|| send(id, 2, 6, 0).map_or(1, |_| 0));
    sleep_ms(20);
    check_eq!(receive(id, 1, 16, 0), Ok((8, 1)), "makes room");
    check_eq!((ended(sender), receive(id, 2, 16, 0)), (Ok(0), Ok((6, 2))), "for who waits");
    let stuck = child(|| send(id, 2, 10, 0).map_or(1, |_| 0));
    sleep_ms(10);
    let _ = kill(stuck, SIGKILL);
    check_eq!(ended(stuck), Ok(SIGKILL as i32), "who waits can be killed");
}

fn run() {
    keys();
    attachments();
    parts();
    shown();
    semaphores();
    messages();
}
