// SPDX-License-Identifier: GPL-2.0-only
//! `int $0x80`, from 64-bit and from 32-bit code, SYSENTER and 32-bit SYSCALL: the i386 numbers with their arguments in
//! EBX, ECX, EDX, ESI, EDI, EBP (Linux 6.1, `arch/x86/entry/common.c`, `do_int80_syscall_32`,
//! `arch/x86/entry/syscalls/syscall_32.tbl`).
//!
//! The table has what a 64-bit program that mixes the two can use. Many calls pass nothing, or
//! what is laid out alike in both worlds, and are the same here as there; those with structures
//! of i386's own are in [`ia32`](crate::arch::x86::ia32).

use super::common::{exit_to_user_mode_work, exit_without_call, syscall_trace_enter};
use super::syscall_table::SyscallFn;
use crate::arch::x86::lib::usercopy::get_user;
use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::arch::x86::segment::{USER_DS, USER32_CS};
use crate::errno::{EINVAL, ENOSYS, Result, to_ret};
use crate::kernel::context_tracking;
use crate::kernel::sys_ni;
use crate::kernel::task::{current, tif};
use crate::locking::local_irq_enable;
use crate::mm::mm_struct::with_current_mm;

/// One more than the highest number of the table.
const IA32_NR_SYSCALLS: usize = 451;

fn sys_ni_syscall(regs: &PtRegs) -> i64 {
    sys_ni::sys_ni_syscall(regs.orig_ax.get() as i32, true)
}

macro_rules! ia32_syscalls {
    ($($nr:literal $name:ident => $f:path, ($($arg:ident),*);)*) => {
        /// The table, indexed by i386's number.
        static IA32_SYS_CALL_TABLE: [SyscallFn; IA32_NR_SYSCALLS] = {
            let mut t: [SyscallFn; IA32_NR_SYSCALLS] = [sys_ni_syscall; IA32_NR_SYSCALLS];
            $(t[$nr] = |_r: &PtRegs| to_ret($f($(_r.$arg.get() as u32 as _),*));)*
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
    5 open => crate::fs::open::compat_sys_open, (bx, cx, dx);
    6 close => crate::fs::file::sys_close, (bx);
    7 waitpid => compat_sys_waitpid, (bx, cx, dx);
    8 creat => crate::fs::open::sys_creat, (bx, cx);
    9 link => crate::fs::namei_calls::sys_link, (bx, cx);
    10 unlink => crate::fs::namei_calls::sys_unlink, (bx);
    11 execve => crate::fs::exec::compat_sys_execve, (bx, cx, dx);
    12 chdir => crate::fs::open::sys_chdir, (bx);
    13 time => crate::arch::x86::ia32::time32::sys_time32, (bx);
    14 mknod => crate::fs::namei_calls::sys_mknod, (bx, cx, dx);
    15 chmod => crate::fs::attr::sys_chmod, (bx, cx);
    16 lchown => crate::kernel::uid16::sys_lchown16, (bx, cx, dx);
    18 oldstat => crate::arch::x86::ia32::fs32::sys_stat, (bx, cx);
    19 lseek => compat_sys_lseek, (bx, cx, dx);
    20 getpid => crate::kernel::sys::sys_getpid, ();
    21 mount => crate::fs::namespace::sys_mount, (bx, cx, dx, si, di);
    22 umount => crate::arch::x86::ia32::process32::sys_oldumount, (bx);
    23 setuid => crate::kernel::uid16::sys_setuid16, (bx);
    24 getuid => crate::kernel::uid16::sys_getuid16, ();
    25 stime => crate::kernel::time::clock::sys_stime32, (bx);
    26 ptrace => crate::kernel::ptrace::sys_ptrace, (bx, cx, dx, si);
    27 alarm => crate::kernel::time::itimer::sys_alarm, (bx);
    28 oldfstat => crate::arch::x86::ia32::fs32::sys_fstat, (bx, cx);
    29 pause => crate::kernel::signal::syscalls::sys_pause, ();
    30 utime => crate::arch::x86::ia32::time32::sys_utime32, (bx, cx);
    33 access => crate::fs::open::sys_access, (bx, cx);
    34 nice => crate::kernel::sched::syscalls::sys_nice, (bx);
    36 sync => crate::fs::sync::sys_sync, ();
    37 kill => crate::kernel::signal::kill::sys_kill, (bx, cx);
    38 rename => crate::fs::rename::sys_rename, (bx, cx);
    39 mkdir => crate::fs::namei_calls::sys_mkdir, (bx, cx);
    40 rmdir => crate::fs::namei_calls::sys_rmdir, (bx);
    41 dup => crate::fs::file::sys_dup, (bx);
    42 pipe => crate::fs::pipe::sys_pipe, (bx);
    43 times => crate::arch::x86::ia32::process32::compat_sys_times, (bx);
    45 brk => crate::mm::mmap::sys_brk, (bx);
    46 setgid => crate::kernel::uid16::sys_setgid16, (bx);
    47 getgid => crate::kernel::uid16::sys_getgid16, ();
    48 signal => crate::arch::x86::ia32::sigmask32::sys_signal, (bx, cx);
    49 geteuid => crate::kernel::uid16::sys_geteuid16, ();
    50 getegid => crate::kernel::uid16::sys_getegid16, ();
    52 umount2 => crate::fs::namespace::sys_umount2, (bx, cx);
    54 ioctl => crate::fs::ioctl::sys_ioctl, (bx, cx, dx);
    55 fcntl => crate::arch::x86::ia32::fs32::compat_sys_fcntl64, (bx, cx, dx);
    57 setpgid => crate::kernel::sys::sys_setpgid, (bx, cx);
    59 oldolduname => crate::kernel::sys::sys_olduname, (bx);
    60 umask => crate::fs::fs_struct::sys_umask, (bx);
    61 chroot => crate::fs::open::sys_chroot, (bx);
    63 dup2 => crate::fs::file::sys_dup2, (bx, cx);
    64 getppid => crate::kernel::sys::sys_getppid, ();
    65 getpgrp => crate::kernel::sys::sys_getpgrp, ();
    66 setsid => crate::kernel::sys::sys_setsid, ();
    67 sigaction => crate::arch::x86::ia32::ia32_signal::compat_sys_sigaction, (bx, cx, dx);
    68 sgetmask => crate::arch::x86::ia32::sigmask32::sys_sgetmask, ();
    69 ssetmask => crate::arch::x86::ia32::sigmask32::sys_ssetmask, (bx);
    70 setreuid => crate::kernel::uid16::sys_setreuid16, (bx, cx);
    71 setregid => crate::kernel::uid16::sys_setregid16, (bx, cx);
    72 sigsuspend => crate::arch::x86::ia32::sigmask32::sys_sigsuspend, (bx, cx, dx);
    73 sigpending => crate::arch::x86::ia32::sigmask32::compat_sys_sigpending, (bx);
    74 sethostname => crate::kernel::sys::sys_sethostname, (bx, cx);
    75 setrlimit => crate::arch::x86::ia32::process32::compat_sys_setrlimit, (bx, cx);
    76 getrlimit => crate::arch::x86::ia32::process32::compat_sys_old_getrlimit, (bx, cx);
    77 getrusage => crate::kernel::rusage::sys_getrusage, (bx, cx);
    78 gettimeofday => crate::arch::x86::ia32::time32::compat_sys_gettimeofday, (bx, cx);
    79 settimeofday => crate::arch::x86::ia32::time32::compat_sys_settimeofday, (bx, cx);
    80 getgroups => crate::kernel::uid16::sys_getgroups16, (bx, cx);
    81 setgroups => crate::kernel::uid16::sys_setgroups16, (bx, cx);
    82 select => crate::fs::select::compat_sys_old_select, (bx);
    83 symlink => crate::fs::namei_calls::sys_symlink, (bx, cx);
    84 oldlstat => crate::arch::x86::ia32::fs32::sys_lstat, (bx, cx);
    85 readlink => crate::fs::stat::sys_readlink, (bx, cx, dx);
    88 reboot => crate::kernel::reboot::sys_reboot, (bx, cx, dx, si);
    89 readdir => crate::fs::readdir::compat_sys_old_readdir, (bx, cx, dx);
    90 mmap => crate::arch::x86::ia32::sys_ia32::compat_sys_ia32_mmap, (bx);
    91 munmap => crate::mm::mmap::sys_munmap, (bx, cx);
    92 truncate => crate::arch::x86::ia32::sys_ia32::compat_sys_truncate, (bx, cx);
    93 ftruncate => crate::arch::x86::ia32::sys_ia32::compat_sys_ftruncate, (bx, cx);
    94 fchmod => crate::fs::attr::sys_fchmod, (bx, cx);
    95 fchown => crate::kernel::uid16::sys_fchown16, (bx, cx, dx);
    96 getpriority => crate::kernel::sched::syscalls::sys_getpriority, (bx, cx);
    97 setpriority => crate::kernel::sched::syscalls::sys_setpriority, (bx, cx, dx);
    99 statfs => crate::arch::x86::ia32::sys_ia32::compat_sys_statfs, (bx, cx);
    100 fstatfs => crate::arch::x86::ia32::sys_ia32::compat_sys_fstatfs, (bx, cx);
    101 ioperm => crate::arch::x86::kernel::ioport::sys_ioperm, (bx, cx, dx);
    103 syslog => crate::kernel::printk::syslog::sys_syslog, (bx, cx, dx);
    104 setitimer => crate::arch::x86::ia32::time32::compat_sys_setitimer, (bx, cx, dx);
    105 getitimer => crate::arch::x86::ia32::time32::compat_sys_getitimer, (bx, cx);
    106 stat => crate::arch::x86::ia32::sys_ia32::compat_sys_newstat, (bx, cx);
    107 lstat => crate::arch::x86::ia32::sys_ia32::compat_sys_newlstat, (bx, cx);
    108 fstat => crate::arch::x86::ia32::sys_ia32::compat_sys_newfstat, (bx, cx);
    109 olduname => crate::kernel::sys::sys_uname, (bx);
    110 iopl => crate::arch::x86::kernel::ioport::sys_iopl, (bx);
    111 vhangup => crate::drivers::tty::tty_jobctrl::sys_vhangup, ();
    114 wait4 => crate::kernel::exit::sys_wait4, (bx, cx, dx, si);
    116 sysinfo => crate::arch::x86::ia32::process32::compat_sys_sysinfo, (bx);
    118 fsync => crate::fs::sync::sys_fsync, (bx);
    119 sigreturn => crate::arch::x86::ia32::ia32_signal::sys32_sigreturn, ();
    120 clone => crate::arch::x86::ia32::process32::compat_sys_ia32_clone, (bx, cx, dx, si, di);
    121 setdomainname => crate::kernel::sys::sys_setdomainname, (bx, cx);
    122 uname => crate::kernel::sys::sys_newuname, (bx);
    123 modify_ldt => crate::arch::x86::kernel::ldt::sys_modify_ldt, (bx, cx, dx);
    125 mprotect => crate::mm::mprotect::sys_mprotect, (bx, cx, dx);
    126 sigprocmask => crate::arch::x86::ia32::sigmask32::compat_sys_sigprocmask, (bx, cx, dx);
    132 getpgid => crate::kernel::sys::sys_getpgid, (bx);
    133 fchdir => crate::fs::open::sys_fchdir, (bx);
    136 personality => crate::kernel::sys::sys_personality, (bx);
    138 setfsuid => crate::kernel::uid16::sys_setfsuid16, (bx);
    139 setfsgid => crate::kernel::uid16::sys_setfsgid16, (bx);
    140 _llseek => crate::arch::x86::ia32::sys_ia32::sys_llseek, (bx, cx, dx, si, di);
    141 getdents => crate::fs::readdir::compat_sys_getdents, (bx, cx, dx);
    142 _newselect => crate::fs::select::compat_sys_select, (bx, cx, dx, si, di);
    143 flock => crate::fs::fcntl::sys_flock, (bx, cx);
    144 msync => crate::mm::madvise::sys_msync, (bx, cx, dx);
    145 readv => crate::fs::read_write::sys_readv, (bx, cx, dx);
    146 writev => crate::fs::read_write::sys_writev, (bx, cx, dx);
    147 getsid => crate::kernel::sys::sys_getsid, (bx);
    148 fdatasync => crate::fs::sync::sys_fsync, (bx);
    150 mlock => crate::mm::mlock::sys_mlock, (bx, cx);
    151 munlock => crate::mm::mlock::sys_munlock, (bx, cx);
    152 mlockall => crate::mm::mlock::sys_mlockall, (bx);
    153 munlockall => crate::mm::mlock::sys_munlockall, ();
    154 sched_setparam => crate::kernel::sched::syscalls::sys_sched_setparam, (bx, cx);
    155 sched_getparam => crate::kernel::sched::syscalls::sys_sched_getparam, (bx, cx);
    156 sched_setscheduler => crate::kernel::sched::syscalls::sys_sched_setscheduler, (bx, cx, dx);
    157 sched_getscheduler => crate::kernel::sched::syscalls::sys_sched_getscheduler, (bx);
    158 sched_yield => crate::kernel::sched::syscalls::sys_sched_yield, ();
    159 sched_get_priority_max => crate::kernel::sched::syscalls::sys_sched_get_priority_max, (bx);
    160 sched_get_priority_min => crate::kernel::sched::syscalls::sys_sched_get_priority_min, (bx);
    161 sched_rr_get_interval => crate::arch::x86::ia32::time32::sys_sched_rr_get_interval_time32, (bx, cx);
    162 nanosleep => crate::arch::x86::ia32::time32::sys_nanosleep_time32, (bx, cx);
    163 mremap => crate::mm::mremap::sys_mremap, (bx, cx, dx, si, di);
    164 setresuid => crate::kernel::uid16::sys_setresuid16, (bx, cx, dx);
    165 getresuid => crate::kernel::uid16::sys_getresuid16, (bx, cx, dx);
    168 poll => crate::fs::select::sys_poll, (bx, cx, dx);
    170 setresgid => crate::kernel::uid16::sys_setresgid16, (bx, cx, dx);
    171 getresgid => crate::kernel::uid16::sys_getresgid16, (bx, cx, dx);
    172 prctl => crate::kernel::sys::sys_prctl, (bx, cx, dx, si, di);
    173 rt_sigreturn => crate::arch::x86::ia32::ia32_signal::sys32_rt_sigreturn, ();
    174 rt_sigaction => crate::arch::x86::ia32::ia32_signal::compat_sys_rt_sigaction, (bx, cx, dx, si);
    175 rt_sigprocmask => crate::kernel::signal::syscalls::sys_rt_sigprocmask, (bx, cx, dx, si);
    176 rt_sigpending => crate::kernel::signal::syscalls::sys_rt_sigpending, (bx, cx);
    177 rt_sigtimedwait => crate::arch::x86::ia32::time32::compat_sys_rt_sigtimedwait_time32, (bx, cx, dx, si);
    178 rt_sigqueueinfo => crate::arch::x86::ia32::process32::compat_sys_rt_sigqueueinfo, (bx, cx, dx);
    179 rt_sigsuspend => crate::kernel::signal::syscalls::sys_rt_sigsuspend, (bx, cx);
    180 pread64 => crate::arch::x86::ia32::sys_ia32::sys_ia32_pread64, (bx, cx, dx, si, di);
    181 pwrite64 => crate::arch::x86::ia32::sys_ia32::sys_ia32_pwrite64, (bx, cx, dx, si, di);
    182 chown => crate::kernel::uid16::sys_chown16, (bx, cx, dx);
    183 getcwd => crate::fs::dcache::sys_getcwd, (bx, cx);
    184 capget => crate::kernel::capability::sys_capget, (bx, cx);
    185 capset => crate::kernel::capability::sys_capset, (bx, cx);
    186 sigaltstack => crate::arch::x86::ia32::ia32_signal::compat_sys_sigaltstack, (bx, cx);
    187 sendfile => crate::fs::sendfile::compat_sys_sendfile, (bx, cx, dx, si);
    190 vfork => crate::kernel::fork::sys_vfork, ();
    191 ugetrlimit => crate::arch::x86::ia32::process32::compat_sys_getrlimit, (bx, cx);
    192 mmap2 => compat_sys_mmap2, (bx, cx, dx, si, di, bp);
    193 truncate64 => crate::arch::x86::ia32::sys_ia32::sys_ia32_truncate64, (bx, cx, dx);
    194 ftruncate64 => crate::arch::x86::ia32::sys_ia32::sys_ia32_ftruncate64, (bx, cx, dx);
    195 stat64 => crate::arch::x86::ia32::sys_ia32::compat_sys_ia32_stat64, (bx, cx);
    196 lstat64 => crate::arch::x86::ia32::sys_ia32::compat_sys_ia32_lstat64, (bx, cx);
    197 fstat64 => crate::arch::x86::ia32::sys_ia32::compat_sys_ia32_fstat64, (bx, cx);
    198 lchown32 => crate::fs::attr::sys_lchown, (bx, cx, dx);
    199 getuid32 => crate::kernel::setid::sys_getuid, ();
    200 getgid32 => crate::kernel::setid::sys_getgid, ();
    201 geteuid32 => crate::kernel::setid::sys_geteuid, ();
    202 getegid32 => crate::kernel::setid::sys_getegid, ();
    203 setreuid32 => crate::kernel::setid::sys_setreuid, (bx, cx);
    204 setregid32 => crate::kernel::setid::sys_setregid, (bx, cx);
    205 getgroups32 => crate::kernel::setid::sys_getgroups, (bx, cx);
    206 setgroups32 => crate::kernel::setid::sys_setgroups, (bx, cx);
    207 fchown32 => crate::fs::attr::sys_fchown, (bx, cx, dx);
    208 setresuid32 => crate::kernel::setid::sys_setresuid, (bx, cx, dx);
    209 getresuid32 => crate::kernel::setid::sys_getresuid, (bx, cx, dx);
    210 setresgid32 => crate::kernel::setid::sys_setresgid, (bx, cx, dx);
    211 getresgid32 => crate::kernel::setid::sys_getresgid, (bx, cx, dx);
    212 chown32 => crate::fs::attr::sys_chown, (bx, cx, dx);
    213 setuid32 => crate::kernel::setid::sys_setuid, (bx);
    214 setgid32 => crate::kernel::setid::sys_setgid, (bx);
    215 setfsuid32 => crate::kernel::setid::sys_setfsuid, (bx);
    216 setfsgid32 => crate::kernel::setid::sys_setfsgid, (bx);
    218 mincore => crate::mm::mincore::sys_mincore, (bx, cx, dx);
    219 madvise => crate::mm::madvise::sys_madvise, (bx, cx, dx);
    220 getdents64 => crate::fs::readdir::sys_getdents64, (bx, cx, dx);
    221 fcntl64 => crate::arch::x86::ia32::fs32::compat_sys_fcntl64, (bx, cx, dx);
    224 gettid => crate::kernel::sys::sys_gettid, ();
    225 readahead => crate::arch::x86::ia32::sys_ia32::sys_ia32_readahead, (bx, cx, dx, si);
    238 tkill => crate::kernel::signal::kill::sys_tkill, (bx, cx);
    239 sendfile64 => crate::fs::sendfile::sys_sendfile64, (bx, cx, dx, si);
    240 futex => crate::arch::x86::ia32::time32::sys_futex_time32, (bx, cx, dx, si, di, bp);
    241 sched_setaffinity => crate::kernel::sched::syscalls::sys_sched_setaffinity, (bx, cx, dx);
    242 sched_getaffinity => crate::kernel::sched::syscalls::compat_sys_sched_getaffinity, (bx, cx, dx);
    243 set_thread_area => crate::arch::x86::kernel::tls::sys_set_thread_area, (bx);
    244 get_thread_area => crate::arch::x86::kernel::tls::sys_get_thread_area, (bx);
    250 fadvise64 => crate::arch::x86::ia32::sys_ia32::sys_ia32_fadvise64, (bx, cx, dx, si, di);
    252 exit_group => crate::kernel::exit::sys_exit_group, (bx);
    254 epoll_create => crate::fs::eventpoll::sys_epoll_create, (bx);
    255 epoll_ctl => crate::fs::eventpoll::sys_epoll_ctl, (bx, cx, dx, si);
    256 epoll_wait => crate::fs::eventpoll::sys_epoll_wait, (bx, cx, dx, si);
    258 set_tid_address => crate::kernel::fork::sys_set_tid_address, (bx);
    259 timer_create => crate::arch::x86::ia32::time32::compat_sys_timer_create, (bx, cx, dx);
    260 timer_settime => crate::arch::x86::ia32::time32::sys_timer_settime32, (bx, cx, dx, si);
    261 timer_gettime => crate::arch::x86::ia32::time32::sys_timer_gettime32, (bx, cx);
    262 timer_getoverrun => crate::kernel::time::posix_timers::sys_timer_getoverrun, (bx);
    263 timer_delete => crate::kernel::time::posix_timers::sys_timer_delete, (bx);
    264 clock_settime => crate::arch::x86::ia32::time32::sys_clock_settime32, (bx, cx);
    265 clock_gettime => crate::arch::x86::ia32::time32::sys_clock_gettime32, (bx, cx);
    266 clock_getres => crate::arch::x86::ia32::time32::sys_clock_getres_time32, (bx, cx);
    267 clock_nanosleep => crate::arch::x86::ia32::time32::sys_clock_nanosleep_time32, (bx, cx, dx, si);
    268 statfs64 => crate::arch::x86::ia32::sys_ia32::compat_sys_statfs64, (bx, cx, dx);
    269 fstatfs64 => crate::arch::x86::ia32::sys_ia32::compat_sys_fstatfs64, (bx, cx, dx);
    270 tgkill => crate::kernel::signal::kill::sys_tgkill, (bx, cx, dx);
    271 utimes => crate::arch::x86::ia32::time32::sys_utimes_time32, (bx, cx);
    272 fadvise64_64 => crate::arch::x86::ia32::sys_ia32::sys_ia32_fadvise64_64, (bx, cx, dx, si, di, bp);
    278 mq_unlink => crate::ipc::mqueue::syscalls::sys_mq_unlink, (bx);
    284 waitid => crate::kernel::exit::sys_waitid, (bx, cx, dx, si, di);
    295 openat => crate::fs::open::compat_sys_openat, (bx, cx, dx, si);
    296 mkdirat => crate::fs::namei_calls::sys_mkdirat, (bx, cx, dx);
    297 mknodat => crate::fs::namei_calls::sys_mknodat, (bx, cx, dx, si);
    298 fchownat => crate::fs::attr::sys_fchownat, (bx, cx, dx, si, di);
    299 futimesat => crate::arch::x86::ia32::time32::sys_futimesat_time32, (bx, cx, dx);
    300 fstatat64 => crate::arch::x86::ia32::sys_ia32::compat_sys_ia32_fstatat64, (bx, cx, dx, si);
    301 unlinkat => crate::fs::namei_calls::sys_unlinkat, (bx, cx, dx);
    302 renameat => crate::fs::rename::sys_renameat, (bx, cx, dx, si);
    303 linkat => crate::fs::namei_calls::sys_linkat, (bx, cx, dx, si, di);
    304 symlinkat => crate::fs::namei_calls::sys_symlinkat, (bx, cx, dx);
    305 readlinkat => crate::fs::stat::sys_readlinkat, (bx, cx, dx, si);
    306 fchmodat => crate::fs::attr::sys_fchmodat, (bx, cx, dx);
    307 faccessat => crate::fs::open::sys_faccessat, (bx, cx, dx);
    308 pselect6 => crate::arch::x86::ia32::time32::compat_sys_pselect6_time32, (bx, cx, dx, si, di, bp);
    309 ppoll => crate::arch::x86::ia32::time32::compat_sys_ppoll_time32, (bx, cx, dx, si, di);
    310 unshare => crate::kernel::unshare::sys_unshare, (bx);
    311 set_robust_list => crate::kernel::futex::compat_sys_set_robust_list, (bx, cx);
    312 get_robust_list => crate::kernel::futex::compat_sys_get_robust_list, (bx, cx, dx);
    313 splice => crate::fs::splice::sys_splice, (bx, cx, dx, si, di, bp);
    314 sync_file_range => crate::arch::x86::ia32::sys_ia32::sys_ia32_sync_file_range, (bx, cx, dx, si, di, bp);
    315 tee => crate::fs::splice::sys_tee, (bx, cx, dx, si);
    316 vmsplice => crate::fs::splice::sys_vmsplice, (bx, cx, dx, si);
    318 getcpu => crate::kernel::sched::syscalls::sys_getcpu, (bx, cx, dx);
    319 epoll_pwait => crate::fs::eventpoll::sys_epoll_pwait, (bx, cx, dx, si, di, bp);
    320 utimensat => crate::arch::x86::ia32::time32::sys_utimensat_time32, (bx, cx, dx, si);
    321 signalfd => crate::fs::signalfd::sys_signalfd, (bx, cx, dx);
    322 timerfd_create => crate::fs::timerfd::sys_timerfd_create, (bx, cx);
    323 eventfd => crate::fs::eventfd::sys_eventfd, (bx);
    324 fallocate => crate::arch::x86::ia32::sys_ia32::sys_ia32_fallocate, (bx, cx, dx, si, di, bp);
    325 timerfd_settime => crate::arch::x86::ia32::time32::sys_timerfd_settime32, (bx, cx, dx, si);
    326 timerfd_gettime => crate::arch::x86::ia32::time32::sys_timerfd_gettime32, (bx, cx);
    327 signalfd4 => crate::fs::signalfd::sys_signalfd4, (bx, cx, dx, si);
    328 eventfd2 => crate::fs::eventfd::sys_eventfd2, (bx, cx);
    329 epoll_create1 => crate::fs::eventpoll::sys_epoll_create1, (bx);
    330 dup3 => crate::fs::file::sys_dup3, (bx, cx, dx);
    331 pipe2 => crate::fs::pipe::sys_pipe2, (bx, cx);
    333 preadv => crate::arch::x86::ia32::sys_ia32::compat_sys_preadv, (bx, cx, dx, si, di);
    334 pwritev => crate::arch::x86::ia32::sys_ia32::compat_sys_pwritev, (bx, cx, dx, si, di);
    335 rt_tgsigqueueinfo => crate::arch::x86::ia32::process32::compat_sys_rt_tgsigqueueinfo, (bx, cx, dx, si);
    340 prlimit64 => crate::kernel::sys::sys_prlimit64, (bx, cx, dx, si);
    344 syncfs => crate::fs::sync::sys_syncfs, (bx);
    347 process_vm_readv => crate::mm::process_vm_access::sys_process_vm_readv, (bx, cx, dx, si, di, bp);
    348 process_vm_writev => crate::mm::process_vm_access::sys_process_vm_writev, (bx, cx, dx, si, di, bp);
    349 kcmp => crate::kernel::kcmp::sys_kcmp, (bx, cx, dx, si, di);
    351 sched_setattr => crate::kernel::sched::syscalls::sys_sched_setattr, (bx, cx, dx);
    352 sched_getattr => crate::kernel::sched::syscalls::sys_sched_getattr, (bx, cx, dx, si);
    353 renameat2 => crate::fs::rename::sys_renameat2, (bx, cx, dx, si, di);
    354 seccomp => crate::kernel::seccomp::sys_seccomp, (bx, cx, dx);
    355 getrandom => crate::drivers::char::random::sys_getrandom, (bx, cx, dx);
    356 memfd_create => crate::fs::memfd::sys_memfd_create, (bx, cx);
    358 execveat => crate::fs::exec::compat_sys_execveat, (bx, cx, dx, si, di);
    375 membarrier => crate::kernel::sched::membarrier::sys_membarrier, (bx, cx, dx);
    376 mlock2 => crate::mm::mlock::sys_mlock2, (bx, cx, dx);
    377 copy_file_range => crate::fs::sendfile::sys_copy_file_range, (bx, cx, dx, si, di, bp);
    378 preadv2 => crate::arch::x86::ia32::sys_ia32::compat_sys_preadv2, (bx, cx, dx, si, di, bp);
    379 pwritev2 => crate::arch::x86::ia32::sys_ia32::compat_sys_pwritev2, (bx, cx, dx, si, di, bp);
    380 pkey_mprotect => crate::mm::mprotect::sys_pkey_mprotect, (bx, cx, dx, si);
    381 pkey_alloc => crate::arch::x86::mm::pkeys::sys_pkey_alloc, (bx, cx);
    382 pkey_free => crate::arch::x86::mm::pkeys::sys_pkey_free, (bx);
    383 statx => crate::fs::stat::sys_statx, (bx, cx, dx, si, di);
    384 arch_prctl => crate::kernel::sys::compat_sys_arch_prctl, (bx, cx);
    386 rseq => crate::kernel::rseq::sys_rseq, (bx, cx, dx, si);
    393 semget => crate::ipc::sem::syscalls::sys_semget, (bx, cx, dx);
    395 shmget => crate::ipc::shm::sys_shmget, (bx, cx, dx);
    397 shmat => crate::ipc::shm::sys_shmat, (bx, cx, dx);
    398 shmdt => crate::ipc::shm::sys_shmdt, (bx);
    399 msgget => crate::ipc::msg::sys_msgget, (bx, cx);
    403 clock_gettime64 => crate::kernel::time::clock::sys_clock_gettime, (bx, cx);
    404 clock_settime64 => crate::kernel::time::clock::sys_clock_settime, (bx, cx);
    405 clock_adjtime64 => crate::kernel::time::ntp::timex::sys_clock_adjtime, (bx, cx);
    406 clock_getres_time64 => crate::kernel::time::clock::sys_clock_getres, (bx, cx);
    407 clock_nanosleep_time64 => crate::kernel::time::nanosleep::sys_clock_nanosleep, (bx, cx, dx, si);
    408 timer_gettime64 => crate::kernel::time::posix_timers::sys_timer_gettime, (bx, cx);
    409 timer_settime64 => crate::kernel::time::posix_timers::sys_timer_settime, (bx, cx, dx, si);
    410 timerfd_gettime64 => crate::fs::timerfd::sys_timerfd_gettime, (bx, cx);
    411 timerfd_settime64 => crate::fs::timerfd::sys_timerfd_settime, (bx, cx, dx, si);
    412 utimensat_time64 => crate::fs::utimes::sys_utimensat, (bx, cx, dx, si);
    413 pselect6_time64 => crate::arch::x86::ia32::time32::compat_sys_pselect6_time64, (bx, cx, dx, si, di, bp);
    414 ppoll_time64 => crate::fs::select::sys_ppoll, (bx, cx, dx, si, di);
    418 mq_timedsend_time64 => crate::ipc::mqueue::syscalls::sys_mq_timedsend, (bx, cx, dx, si, di);
    419 mq_timedreceive_time64 => crate::ipc::mqueue::syscalls::sys_mq_timedreceive, (bx, cx, dx, si, di);
    420 semtimedop_time64 => crate::ipc::sem::syscalls::sys_semtimedop, (bx, cx, dx, si);
    421 rt_sigtimedwait_time64 => crate::arch::x86::ia32::time32::compat_sys_rt_sigtimedwait_time64, (bx, cx, dx, si);
    422 futex_time64 => crate::kernel::futex::sys_futex, (bx, cx, dx, si, di, bp);
    423 sched_rr_get_interval_time64 => crate::kernel::sched::syscalls::sys_sched_rr_get_interval, (bx, cx);
    424 pidfd_send_signal => crate::kernel::pid::sys_pidfd_send_signal, (bx, cx, dx, si);
    434 pidfd_open => crate::kernel::pid::sys_pidfd_open, (bx, cx);
    435 clone3 => crate::kernel::fork::sys_clone3, (bx, cx);
    436 close_range => crate::fs::file::sys_close_range, (bx, cx, dx);
    437 openat2 => crate::fs::open::sys_openat2, (bx, cx, dx, si);
    438 pidfd_getfd => crate::kernel::pid::sys_pidfd_getfd, (bx, cx, dx);
    439 faccessat2 => crate::fs::open::sys_faccessat2, (bx, cx, dx, si);
    441 epoll_pwait2 => crate::fs::eventpoll::sys_epoll_pwait2, (bx, cx, dx, si, di, bp);
    449 futex_waitv => crate::kernel::futex::sys_futex_waitv, (bx, cx, dx, si, di);
}

/// `waitpid`: `wait4` without the usage.
fn compat_sys_waitpid(pid: i32, status: usize, options: u32) -> Result<usize> {
    crate::kernel::exit::sys_wait4(pid, status, options, 0)
}

/// `lseek` by a signed 32-bit offset.
fn compat_sys_lseek(fd: i32, offset: i32, whence: u32) -> Result<usize> {
    crate::fs::read_write::sys_lseek(fd, i64::from(offset), whence)
}

/// `mmap2`: the offset counts pages of 4096 bytes.
fn compat_sys_mmap2(addr: usize, len: usize, prot: u32, flags: u32, fd: i32, pages: usize) -> Result<usize> {
    let offset = pages.checked_mul(4096).ok_or(EINVAL)?;
    crate::mm::mmap::sys_mmap(addr, len, prot as _, flags as _, fd as _, offset)
}

/// `int $0x80`.
pub extern "C" fn do_int80_syscall_32(regs: &PtRegs, _error_code: u64) {
    context_tracking::user_exit();
    local_irq_enable();
    let mut nr = i64::from(regs.ax.get() as u32);
    regs.orig_ax.set(nr as u64);
    current().thread().compat_syscall.set(true);
    if current().test_flag(tif::SYSCALL_WORK_ENTER) {
        regs.ax.set(ENOSYS.as_ret() as u64);
        nr = syscall_trace_enter(regs);
    }
    do_syscall_32_irqs_on(regs, nr);
    // How the call is restarted depends on how it came.
    exit_to_user_mode_work(regs);
    current().thread().compat_syscall.set(false);
}

/// Makes call `nr`; -1 is none.
fn do_syscall_32_irqs_on(regs: &PtRegs, nr: i64) {
    if nr != -1 {
        let ret = match IA32_SYS_CALL_TABLE.get(nr as u32 as usize) {
            Some(call) => call(regs),
            None => sys_ni::sys_ni_syscall(nr as i32, true),
        };
        regs.ax.set(ret as u64);
    }
}

/// SYSENTER, which keeps neither RSP nor IF: the vDSO has left the one in EBP, and programs run with
/// the other set. Returns as [`do_fast_syscall_32`].
#[allow(non_snake_case)]
pub extern "C" fn do_SYSENTER_32(regs: &PtRegs) -> bool {
    regs.sp.set(regs.bp.get());
    regs.flags.update(|v| v | eflags::IF);
    do_fast_syscall_32(regs)
}

/// Where the 32-bit vDSO has the instruction behind its `int $0x80`: SYSENTER and 32-bit SYSCALL
/// return there, as if they had come by that (`sym_int80_landing_pad`; from what Debian's
/// 6.1.0-56 image returns to). A 64-bit process has another image mapped, and Linux does not look
/// which one: it ends up at this offset from the 64-bit image, cut to 32 bits.
const INT80_LANDING_PAD: usize = 0x559;

/// SYSENTER and 32-bit SYSCALL. Returns whether `sysret` restores all that is to be restored.
pub extern "C" fn do_fast_syscall_32(regs: &PtRegs) -> bool {
    context_tracking::user_exit();
    let vdso = with_current_mm(|mm| mm.lock().layout.vdso).unwrap_or(0);
    let landing_pad = vdso.wrapping_add(INT80_LANDING_PAD) as u64;
    regs.ip.set(landing_pad);
    local_irq_enable();
    current().thread().compat_syscall.set(true);
    // EBP is on the vDSO's stack.
    let called = match get_user::<u32>(regs.sp.get() as u32 as usize) {
        Ok(bp) => {
            regs.bp.set(regs.bp.get() & !0xffff_ffff | u64::from(bp));
            let traced = current().test_flag(tif::SYSCALL_WORK_ENTER);
            let nr = if traced { syscall_trace_enter(regs) } else { i64::from(regs.orig_ax.get() as u32) };
            do_syscall_32_irqs_on(regs, nr);
            exit_to_user_mode_work(regs);
            true
        }
        Err(e) => {
            // Half of it is lost, as `__get_user` has it.
            regs.bp.update(|v| v & !0xffff_ffff);
            regs.ax.set(e.as_ret() as u64);
            exit_without_call(regs);
            false
        }
    };
    current().thread().compat_syscall.set(false);
    context_tracking::user_enter();
    called
        && regs.cs.get() == u64::from(USER32_CS)
        && regs.ss.get() == u64::from(USER_DS)
        && regs.ip.get() == landing_pad
        && regs.flags.get() & (eflags::RF | eflags::TF) == 0
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
