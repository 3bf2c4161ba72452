// SPDX-License-Identifier: GPL-2.0-only
//! `int $0x80`, from 64-bit and from 32-bit code: the i386 numbers with their arguments in
//! EBX, ECX, EDX, ESI, EDI, EBP (Linux 6.1, `arch/x86/entry/common.c`, `do_int80_syscall_32`,
//! `arch/x86/entry/syscalls/syscall_32.tbl`).
//!
//! The table has what a 64-bit program that mixes the two can use: calls without pointers,
//! or with pointers to what is laid out alike in both worlds. Structures of i386's own
//! (`struct stat64`, 32-bit times, argument vectors) are not read, but for those of
//! signals: `ENOSYS`.

use super::common::{exit_to_user_mode_work, syscall_trace_enter};
use super::syscall_table::SyscallFn;
use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{EINVAL, ENOSYS, Result, to_ret};
use crate::kernel::context_tracking;
use crate::kernel::task::{current, tif};
use crate::locking::local_irq_enable;
use linux_raw_sys::general::MAP_32BIT;

/// One more than the highest number of the table.
const IA32_NR_SYSCALLS: usize = 451;

fn sys_ni_syscall(_: *const PtRegs) -> i64 {
    ENOSYS.as_ret()
}

macro_rules! ia32_syscalls {
    ($($nr:literal $name:ident => $f:path, ($($arg:ident),*);)*) => {
        /// The table, indexed by i386's number.
        static IA32_SYS_CALL_TABLE: [SyscallFn; IA32_NR_SYSCALLS] = {
            let mut t: [SyscallFn; IA32_NR_SYSCALLS] = [sys_ni_syscall; IA32_NR_SYSCALLS];
            $(t[$nr] = |_r: *const PtRegs| {
                // SAFETY: the caller's registers, read before the call may replace them.
                to_ret($f($(unsafe { (*_r).$arg } as u32 as _),*))
            };)*
            t
        };
        /// Number and name, for tests.
        #[cfg(test)]
        const NAMES: &[(usize, &str)] = &[$(($nr, stringify!($name))),*];
    };
}

ia32_syscalls! {
    0 restart_syscall => crate::kernel::signal::restart_block::sys_restart_syscall, ();
    1 exit => crate::kernel::exit::sys_exit, (bx);
    2 fork => crate::kernel::fork::sys_fork, ();
    3 read => crate::fs::read_write::sys_read, (bx, cx, dx);
    4 write => crate::fs::read_write::sys_write, (bx, cx, dx);
    5 open => crate::fs::open::sys_open, (bx, cx, dx);
    6 close => crate::fs::file::sys_close, (bx);
    7 waitpid => compat_sys_waitpid, (bx, cx, dx);
    8 creat => crate::fs::open::sys_creat, (bx, cx);
    9 link => crate::fs::namei_calls::sys_link, (bx, cx);
    10 unlink => crate::fs::namei_calls::sys_unlink, (bx);
    12 chdir => crate::fs::open::sys_chdir, (bx);
    15 chmod => crate::fs::open::sys_chmod, (bx, cx);
    19 lseek => compat_sys_lseek, (bx, cx, dx);
    20 getpid => crate::kernel::sys::sys_getpid, ();
    27 alarm => crate::kernel::time::itimer::sys_alarm, (bx);
    29 pause => crate::kernel::signal::syscalls::sys_pause, ();
    33 access => crate::fs::open::sys_access, (bx, cx);
    36 sync => crate::fs::sync::sys_sync, ();
    37 kill => crate::kernel::signal::kill::sys_kill, (bx, cx);
    38 rename => crate::fs::rename::sys_rename, (bx, cx);
    39 mkdir => crate::fs::namei_calls::sys_mkdir, (bx, cx);
    40 rmdir => crate::fs::namei_calls::sys_rmdir, (bx);
    41 dup => crate::fs::file::sys_dup, (bx);
    42 pipe => crate::fs::pipe::sys_pipe, (bx);
    45 brk => crate::mm::mmap::sys_brk, (bx);
    57 setpgid => crate::kernel::sys::sys_setpgid, (bx, cx);
    60 umask => crate::fs::fs_struct::sys_umask, (bx);
    63 dup2 => crate::fs::file::sys_dup2, (bx, cx);
    64 getppid => crate::kernel::sys::sys_getppid, ();
    65 getpgrp => crate::kernel::sys::sys_getpgrp, ();
    66 setsid => crate::kernel::sys::sys_setsid, ();
    67 sigaction => crate::arch::x86::ia32::ia32_signal::compat_sys_sigaction, (bx, cx, dx);
    83 symlink => crate::fs::namei_calls::sys_symlink, (bx, cx);
    85 readlink => crate::fs::stat::sys_readlink, (bx, cx, dx);
    91 munmap => crate::mm::mmap::sys_munmap, (bx, cx);
    101 ioperm => crate::arch::x86::kernel::ioport::sys_ioperm, (bx, cx, dx);
    110 iopl => crate::arch::x86::kernel::ioport::sys_iopl, (bx);
    118 fsync => crate::fs::sync::sys_fsync, (bx);
    119 sigreturn => crate::arch::x86::ia32::ia32_signal::sys32_sigreturn, ();
    123 modify_ldt => crate::arch::x86::kernel::ldt::sys_modify_ldt, (bx, cx, dx);
    125 mprotect => crate::mm::mprotect::sys_mprotect, (bx, cx, dx);
    132 getpgid => crate::kernel::sys::sys_getpgid, (bx);
    133 fchdir => crate::fs::open::sys_fchdir, (bx);
    136 personality => crate::kernel::sys::sys_personality, (bx);
    147 getsid => crate::kernel::sys::sys_getsid, (bx);
    158 sched_yield => crate::kernel::sched_syscalls::sys_sched_yield, ();
    168 poll => crate::fs::select::sys_poll, (bx, cx, dx);
    172 prctl => crate::kernel::sys::sys_prctl, (bx, cx, dx, si, di);
    173 rt_sigreturn => crate::arch::x86::ia32::ia32_signal::sys32_rt_sigreturn, ();
    174 rt_sigaction => crate::arch::x86::ia32::ia32_signal::compat_sys_rt_sigaction, (bx, cx, dx, si);
    175 rt_sigprocmask => crate::kernel::signal::syscalls::sys_rt_sigprocmask, (bx, cx, dx, si);
    176 rt_sigpending => crate::kernel::signal::syscalls::sys_rt_sigpending, (bx, cx);
    179 rt_sigsuspend => crate::kernel::signal::syscalls::sys_rt_sigsuspend, (bx, cx);
    183 getcwd => crate::fs::dcache::sys_getcwd, (bx, cx);
    186 sigaltstack => crate::arch::x86::ia32::ia32_signal::compat_sys_sigaltstack, (bx, cx);
    190 vfork => crate::kernel::fork::sys_vfork, ();
    192 mmap2 => compat_sys_mmap2, (bx, cx, dx, si, di, bp);
    199 getuid32 => crate::kernel::setid::sys_getuid, ();
    200 getgid32 => crate::kernel::setid::sys_getgid, ();
    201 geteuid32 => crate::kernel::setid::sys_geteuid, ();
    202 getegid32 => crate::kernel::setid::sys_getegid, ();
    219 madvise => crate::mm::madvise::sys_madvise, (bx, cx, dx);
    224 gettid => crate::kernel::sys::sys_gettid, ();
    238 tkill => crate::kernel::signal::kill::sys_tkill, (bx, cx);
    243 set_thread_area => crate::arch::x86::kernel::tls::sys_set_thread_area, (bx);
    244 get_thread_area => crate::arch::x86::kernel::tls::sys_get_thread_area, (bx);
    252 exit_group => crate::kernel::exit::sys_exit_group, (bx);
    258 set_tid_address => crate::kernel::fork::sys_set_tid_address, (bx);
    270 tgkill => crate::kernel::signal::kill::sys_tgkill, (bx, cx, dx);
    295 openat => crate::fs::open::sys_openat, (bx, cx, dx, si);
    330 dup3 => crate::fs::file::sys_dup3, (bx, cx, dx);
    331 pipe2 => crate::fs::pipe::sys_pipe2, (bx, cx);
    403 clock_gettime64 => crate::kernel::time::clock::sys_clock_gettime, (bx, cx);
    407 clock_nanosleep_time64 => crate::kernel::time::nanosleep::sys_clock_nanosleep, (bx, cx, dx, si);
}

/// `waitpid`: `wait4` without the usage.
fn compat_sys_waitpid(pid: i32, status: usize, options: u32) -> Result<usize> {
    crate::kernel::exit::sys_wait4(pid, status, options, 0)
}

/// `lseek` by a signed 32-bit offset.
fn compat_sys_lseek(fd: i32, offset: i32, whence: u32) -> Result<usize> {
    crate::fs::read_write::sys_lseek(fd, i64::from(offset), whence)
}

/// `mmap2`: the offset counts pages of 4096 bytes, and the mapping is where 32 bits reach.
fn compat_sys_mmap2(addr: usize, len: usize, prot: u32, flags: u32, fd: i32, pages: usize) -> Result<usize> {
    let offset = pages.checked_mul(4096).ok_or(EINVAL)?;
    crate::mm::mmap::sys_mmap(addr, len, prot as _, (flags | MAP_32BIT) as _, fd as _, offset)
}

/// `int $0x80`.
pub extern "C" fn do_int80_syscall_32(regs: &mut PtRegs, _error_code: u64) {
    context_tracking::user_exit();
    local_irq_enable();
    let mut nr = i64::from(regs.ax as u32);
    regs.orig_ax = nr as u64;
    current().thread().compat_syscall.set(true);
    if current().test_flag(tif::SYSCALL_WORK_ENTER) {
        regs.ax = ENOSYS.as_ret() as u64;
        nr = syscall_trace_enter(regs);
    }
    if nr != -1 {
        let ret = match IA32_SYS_CALL_TABLE.get(nr as u32 as usize) {
            Some(call) => call(regs),
            None => ENOSYS.as_ret(),
        };
        regs.ax = ret as u64;
    }
    // How the call is restarted depends on how it came.
    exit_to_user_mode_work(regs);
    current().thread().compat_syscall.set(false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_order_and_once() {
        assert!(NAMES.windows(2).all(|w| w[0].0 < w[1].0), "{NAMES:?}");
        assert!(NAMES.contains(&(20, "getpid")) && NAMES.contains(&(252, "exit_group")));
    }
}
