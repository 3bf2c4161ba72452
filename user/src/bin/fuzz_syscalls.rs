// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: system calls with arguments that nobody means. The kernel must
//! still be there at the end, and able to run the next program. Not for a machine that
//! is used for something else.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as nr;
use user::fuzz::{Rng, in_child};
use user::process::{self, RLIMIT_CORE, setrlimit};
use user::{file, memory, program, syscall, time};

program!(run);

/// Calls of one case.
const CALLS: usize = 200;
/// A case that takes longer waits for something that does not come.
const LIMIT_MS: i64 = 60;
const PAGE: usize = memory::PAGE;

/// What would end the run instead of testing the kernel: the machine's end, the
/// program's own, and the terminal's.
const NOT_THESE: &[u32] = &[nr::__NR_reboot, nr::__NR_exit, nr::__NR_exit_group, nr::__NR_vhangup];

/// Where programs and kernels are, and what they count with.
const VALUES: &[usize] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    16,
    17,
    31,
    32,
    63,
    64,
    65,
    128,
    255,
    256,
    512,
    1023,
    1024,
    4095,
    4096,
    4097,
    0x8000,
    0x1_0000,
    0x10_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_f000,
    0x7fff_ffff_ffff,
    0x8000_0000_0000,
    0xffff_8880_0000_0000,
    0xffff_c900_0000_0000,
    0xffff_ffff_8010_0000,
    usize::MAX - 4095,
    usize::MAX - 1,
    usize::MAX,
    1 << 63,
    (1 << 63) - 1,
];

fn run() {
    user::fuzz::main("fuzz_syscalls", |o, case| in_child(LIMIT_MS, || one_case(&mut Rng::new(o.seed, case))));
}

/// Things to get hold of: descriptors 0 to 9, a page, and the page behind it, which is
/// not there.
fn set_up(rng: &mut Rng) -> usize {
    let _ = setrlimit(RLIMIT_CORE, 0, Some(0));
    for fd in 0..10 {
        let _ = file::close(fd);
    }
    let _ = file::open(c"/dev/null", file::O_RDWR, 0);
    let _ = file::open(c"/proc/self/maps", file::O_RDONLY, 0);
    let _ = file::open(c"/dev/zero", file::O_RDWR, 0);
    let _ = file::pipe(0);
    let _ = file::open(c"/tmp", file::O_RDONLY, 0);
    let _ = file::open(c"/tmp/fuzz", file::O_RDWR | file::O_CREAT, 0o644);
    let _ = file::open(c"/dev/kmsg", file::O_RDWR | file::O_NONBLOCK, 0);
    let Ok(page) = memory::map(2 * PAGE, memory::PROT_READ | memory::PROT_WRITE) else { return 0 };
    // SAFETY: the second page is ours.
    let _ = unsafe { syscall!(__NR_munmap, page + PAGE, PAGE) };
    for at in (page..page + PAGE).step_by(8) {
        let word = if rng.one_in(3) { rng.next() as usize } else { argument(rng, page) };
        // SAFETY: within the page.
        unsafe { (at as *mut usize).write(word) };
    }
    for (at, text) in [(0, &b"/tmp/fuzz\0"[..]), (512, b"/proc/self/maps\0"), (1024, b"..\0"), (1536, b"\0")]
    {
        // SAFETY: within the page.
        unsafe { core::ptr::copy_nonoverlapping(text.as_ptr(), (page + at) as *mut u8, text.len()) };
    }
    page
}

fn argument(rng: &mut Rng, page: usize) -> usize {
    match rng.below(8) {
        0 => page + rng.below(8) * 512,
        1 => page + PAGE - rng.below(40),
        2 => rng.below(10),
        3 => 1 << rng.below(64),
        4 => rng.next() as usize & rng.next() as usize & 0xffff_ffff,
        _ => rng.pick(VALUES),
    }
}

fn one_case(rng: &mut Rng) {
    // SAFETY: no memory is involved.
    let _ = unsafe { syscall!(__NR_setsid) };
    let _ = time::alarm(1);
    let page = set_up(rng);
    for _ in 0..CALLS {
        // A few are beyond the table.
        let number = rng.below(470) as u32;
        if NOT_THESE.contains(&number) {
            continue;
        }
        let args: [usize; 6] = core::array::from_fn(|_| argument(rng, page));
        // SAFETY: not given: this process may break, and its parent looks only at how it ends.
        let ret = unsafe { syscall::raw(number, args) };
        let forks = [nr::__NR_fork, nr::__NR_vfork, nr::__NR_clone, nr::__NR_clone3];
        if ret == 0 && forks.contains(&number) {
            process::exit_group(0);
        }
    }
}
