// SPDX-License-Identifier: GPL-2.0-only
//! What the common paths cost when there is much of everything: `cargo xtask bench scale` reads it. Run
//! as a test there is little, and nothing is said.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::bench::{Bench, Room, map_and_unmap, protect_pair, rdtsc};
use user::memory::{PAGE, PROT_READ, PROT_WRITE};
use user::prelude::*;
use user::process::setpgid;
use user::signal::{SIG_BLOCK, SIGIO, SIGKILL, SIGSEGV, SIGUSR1, SIGUSR2, sigprocmask, sigtimedwait};
use user::{Result, file, program, syscall};

expect! { end: exit(0) }
program!(run);

fn run() {
    user::bench::measure(rows);
}

fn rows() {
    let mut b = Bench::new();
    for (many, names) in [
        (5, ["page_fault@10", "mmap_munmap@10", "mprotect_pair@10", "segv@10"]),
        (b.count(25_000), ["page_fault@50000", "mmap_munmap@50000", "mprotect_pair@50000", "segv@50000"]),
    ] {
        with_mappings(&mut b, many, names);
    }
    for (many, names) in [
        (2, ["signal_pingpong@2", "signal_group@2", "signal_sigio@2", "user_fork@2", "truncate@2"]),
        (
            b.count(2000),
            [
                "signal_pingpong@2000",
                "signal_group@2000",
                "signal_sigio@2000",
                "user_fork@2000",
                "truncate@2000",
            ],
        ),
    ] {
        with_processes(&mut b, many, names);
    }
}

extern "C" fn skip(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    uc.mcontext.ip += 3;
}

/// Each of `2 * many` pages is a mapping of its own; what is measured happens in their middle.
fn with_mappings(b: &mut Bench, many: usize, [fault, mmap, mprotect, segv]: [&str; 4]) {
    let Ok(room) = Room::new(2 * many, 0) else { return check!(false, "no room") };
    for i in 0..many {
        let made = room.protect(2 * i, PROT_READ);
        check!(made.is_ok(), "mapping {i}: {made:?}");
    }
    let middle = many / 2 * 2;
    b.spans(fault, 256, || {
        let _ = room.renew(middle, PROT_READ | PROT_WRITE);
        let before = rdtsc();
        room.touch(middle, 1);
        rdtsc() - before
    });
    b.row(mmap, 256, || assert!(map_and_unmap().is_ok()));
    b.row(mprotect, 256, || assert!(protect_pair(&room, middle).is_ok()));
    check!(sigaction(SIGSEGV, Action::Handle(skip), 0, 0).is_ok(), "sigaction");
    b.row(segv, 256, || room.trespass(middle + 1));
    let _ = sigaction(SIGSEGV, Action::Default, 0, 0);
    check!(room.unmap().is_ok(), "munmap of all");
}

/// A pipe of whose input `owner` is told.
fn told_of_input(owner: i32) -> Result<(i32, i32)> {
    const F_SETFL: u32 = 4;
    const F_SETOWN: u32 = 8;
    const O_ASYNC: u32 = 0o20000;
    let (r, w) = file::pipe(0)?;
    // SAFETY: no memory is involved.
    unsafe {
        syscall!(__NR_fcntl, r, F_SETOWN, owner)?;
        syscall!(__NR_fcntl, r, F_SETFL, O_ASYNC)?;
    }
    Ok((r, w))
}

const NOBODY: u32 = 65534;

/// This real and effective user, and back.
fn real_user(uid: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_setresuid, uid, uid, 0) }
}

fn resize(fd: i32, size: usize) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_ftruncate, fd, size) }
}

/// A file that is mapped: two pages, of which the second is touched.
fn mapped_file() -> Result<i32> {
    // SAFETY: the name is a C string; new memory, within the file.
    unsafe {
        let fd = syscall!(__NR_memfd_create, c"scale".as_ptr(), 0)? as i32;
        resize(fd, 2 * PAGE)?;
        let at = syscall!(__NR_mmap, 0, 2 * PAGE, PROT_READ | PROT_WRITE, 1, fd, 0)?;
        core::ptr::with_exposed_provenance_mut::<u8>(at + PAGE).write_volatile(1);
        Ok(fd)
    }
}

/// A signal to one of `many` sleeping processes, and one back; to another process group than
/// theirs; to that group by a file of which it is told. A process of a user who has a limit of them,
/// made and waited for; a file that is mapped here alone and gets shorter.
fn with_processes(b: &mut Bench, many: usize, [pingpong, group, sigio, forks, shorter]: [&str; 5]) {
    check!(sigprocmask(SIG_BLOCK, bit(SIGUSR1) | bit(SIGUSR2) | bit(SIGIO)).is_ok(), "mask");
    let me = getpid();
    let mut sleepers = [0i32; 2000];
    for sleeper in &mut sleepers[..many] {
        *sleeper = child(|| {
            while sigtimedwait(bit(SIGUSR1), None).is_ok() {
                let _ = kill(me, SIGUSR2);
            }
            1
        });
        check!(*sleeper > 0, "fork: {sleeper}");
    }
    let one = sleepers[many / 2];
    b.row(pingpong, 256, || {
        let _ = kill(one, SIGUSR1);
        assert!(sigtimedwait(bit(SIGUSR2), None).is_ok());
    });
    let other = sleepers[0];
    check_eq!(setpgid(other, other), Ok(0), "a group of its own");
    b.row(group, 256, || assert!(kill(-other, 0).is_ok()));
    if let Ok((r, w)) = told_of_input(-other) {
        b.row(sigio, 256, || {
            assert!(file::write(w, b"x").is_ok());
            assert!(file::read(r, &mut [0]).is_ok());
        });
        let _ = (file::close(r), file::close(w));
    } else {
        check!(false, "no pipe");
    }
    if let Ok(fd) = mapped_file() {
        b.row(shorter, 256, || assert!(resize(fd, PAGE).is_ok() && resize(fd, 2 * PAGE).is_ok()));
        let _ = file::close(fd);
    } else {
        check!(false, "no file");
    }
    check!(real_user(NOBODY).is_ok(), "a user");
    b.row(forks, 64, || assert_eq!(wait(child(|| 0)), Ok(WaitStatus::exited(0))));
    check!(real_user(0).is_ok(), "root again");
    for sleeper in &sleepers[..many] {
        let _ = (kill(*sleeper, SIGKILL), wait(*sleeper));
    }
}
