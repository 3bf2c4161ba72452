// SPDX-License-Identifier: GPL-2.0-only
//! The system call table (Linux 6.1, `arch/x86/entry/syscalls/syscall_64.tbl`).
//!
//! A row names the number, the function, and the registers that carry its
//! arguments; the function's parameter types say how they are narrowed.

use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{ENOSYS, to_ret};
use linux_raw_sys::general as nr;

/// A table entry: runs the call, and returns the value for RAX.
pub type SyscallFn = fn(&PtRegs) -> i64;

/// One more than the highest number of the table.
pub const NR_SYSCALLS: usize = 451;

fn sys_ni_syscall(_: &PtRegs) -> i64 {
    ENOSYS.as_ret()
}

macro_rules! syscalls {
    ($($nr:ident => $f:path, ($($arg:ident),*);)*) => {
        /// The table, indexed by number.
        pub static SYS_CALL_TABLE: [SyscallFn; NR_SYSCALLS] = {
            let mut t: [SyscallFn; NR_SYSCALLS] = [sys_ni_syscall; NR_SYSCALLS];
            $(t[nr::$nr as usize] = |_r: &PtRegs| to_ret($f($(_r.$arg as _),*));)*
            t
        };
    };
}

syscalls! {
    // One section per source file; add rows to yours.
    // --- kernel/signal
    __NR_rt_sigaction => crate::kernel::signal::syscalls::sys_rt_sigaction, (di, si, dx, r10);
    __NR_rt_sigprocmask => crate::kernel::signal::syscalls::sys_rt_sigprocmask, (di, si, dx, r10);
    __NR_rt_sigpending => crate::kernel::signal::syscalls::sys_rt_sigpending, (di, si);
    __NR_rt_sigsuspend => crate::kernel::signal::syscalls::sys_rt_sigsuspend, (di, si);
    __NR_rt_sigtimedwait => crate::kernel::signal::syscalls::sys_rt_sigtimedwait, (di, si, dx, r10);
    __NR_pause => crate::kernel::signal::syscalls::sys_pause, ();
    __NR_rt_sigqueueinfo => crate::kernel::signal::kill::sys_rt_sigqueueinfo, (di, si, dx);
    __NR_rt_tgsigqueueinfo => crate::kernel::signal::kill::sys_rt_tgsigqueueinfo, (di, si, dx, r10);
    __NR_kill => crate::kernel::signal::kill::sys_kill, (di, si);
    __NR_tkill => crate::kernel::signal::kill::sys_tkill, (di, si);
    __NR_tgkill => crate::kernel::signal::kill::sys_tgkill, (di, si, dx);
    __NR_sigaltstack => crate::kernel::signal::altstack::sys_sigaltstack, (di, si);
    __NR_rt_sigreturn => crate::arch::x86::kernel::signal::sys_rt_sigreturn, ();
    __NR_restart_syscall => crate::kernel::signal::restart_block::sys_restart_syscall, ();
    // --- kernel/time
    __NR_nanosleep => crate::kernel::time::nanosleep::sys_nanosleep, (di, si);
    __NR_clock_nanosleep => crate::kernel::time::nanosleep::sys_clock_nanosleep, (di, si, dx, r10);
    __NR_clock_gettime => crate::kernel::time::clock::sys_clock_gettime, (di, si);
    __NR_clock_getres => crate::kernel::time::clock::sys_clock_getres, (di, si);
    __NR_gettimeofday => crate::kernel::time::clock::sys_gettimeofday, (di, si);
    __NR_time => crate::kernel::time::clock::sys_time, (di);
    __NR_getitimer => crate::kernel::time::itimer::sys_getitimer, (di, si);
    __NR_setitimer => crate::kernel::time::itimer::sys_setitimer, (di, si, dx);
    __NR_alarm => crate::kernel::time::itimer::sys_alarm, (di);
    // --- kernel/sys.rs
    // --- kernel/fork.rs
    // --- kernel/exit.rs
    // --- kernel/futex.rs
    // --- kernel/reboot.rs
}
