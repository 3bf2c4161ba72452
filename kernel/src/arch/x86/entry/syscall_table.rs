// SPDX-License-Identifier: GPL-2.0-only
//! The system call table (Linux 6.1, `arch/x86/entry/syscalls/syscall_64.tbl`).
//!
//! A row names the number, the function, and the registers that carry its
//! arguments; the function's parameter types say how they are narrowed.

use crate::arch::x86::ptrace::PtRegs;
use crate::errno::to_ret;
use crate::kernel::sys_ni;
use linux_raw_sys::general as nr;

/// A table entry: runs the call, and returns the value for RAX. Some calls (`rt_sigreturn`,
/// `execve`) replace the registers.
pub type SyscallFn = fn(&PtRegs) -> i64;

/// One more than the highest number of the table.
pub const NR_SYSCALLS: usize = 451;

fn sys_ni_syscall(regs: &PtRegs) -> i64 {
    sys_ni::sys_ni_syscall(regs.orig_ax.get() as i32, false)
}

macro_rules! syscalls {
    ($($nr:ident => $f:path, ($($arg:ident),*);)*) => {
        /// The table, indexed by number.
        pub static SYS_CALL_TABLE: [SyscallFn; NR_SYSCALLS] = {
            let mut t: [SyscallFn; NR_SYSCALLS] = [sys_ni_syscall; NR_SYSCALLS];
            $(t[nr::$nr as usize] = |_r: &PtRegs| to_ret($f($(_r.$arg.get() as _),*));)*
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
    // --- ipc
    __NR_shmget => crate::ipc::shm::sys_shmget, (di, si, dx);
    __NR_shmat => crate::ipc::shm::sys_shmat, (di, si, dx);
    __NR_shmdt => crate::ipc::shm::sys_shmdt, (di);
    __NR_shmctl => crate::ipc::shm::sys_shmctl, (di, si, dx);
    __NR_semget => crate::ipc::sem::syscalls::sys_semget, (di, si, dx);
    __NR_semop => crate::ipc::sem::syscalls::sys_semop, (di, si, dx);
    __NR_semtimedop => crate::ipc::sem::syscalls::sys_semtimedop, (di, si, dx, r10);
    __NR_semctl => crate::ipc::sem::syscalls::sys_semctl, (di, si, dx, r10);
    __NR_msgget => crate::ipc::msg::sys_msgget, (di, si);
    __NR_msgsnd => crate::ipc::msg::sys_msgsnd, (di, si, dx, r10);
    __NR_msgrcv => crate::ipc::msg::sys_msgrcv, (di, si, dx, r10, r8);
    __NR_mq_open => crate::ipc::mqueue::syscalls::sys_mq_open, (di, si, dx, r10);
    __NR_mq_unlink => crate::ipc::mqueue::syscalls::sys_mq_unlink, (di);
    __NR_mq_timedsend => crate::ipc::mqueue::syscalls::sys_mq_timedsend, (di, si, dx, r10, r8);
    __NR_mq_timedreceive => crate::ipc::mqueue::syscalls::sys_mq_timedreceive, (di, si, dx, r10, r8);
    __NR_mq_notify => crate::ipc::mqueue::syscalls::sys_mq_notify, (di, si);
    __NR_mq_getsetattr => crate::ipc::mqueue::syscalls::sys_mq_getsetattr, (di, si, dx);
    __NR_msgctl => crate::ipc::msg::sys_msgctl, (di, si, dx);
    // --- kernel/time
    __NR_adjtimex => crate::kernel::time::ntp::timex::sys_adjtimex, (di);
    __NR_clock_adjtime => crate::kernel::time::ntp::timex::sys_clock_adjtime, (di, si);
    __NR_nanosleep => crate::kernel::time::nanosleep::sys_nanosleep, (di, si);
    __NR_clock_nanosleep => crate::kernel::time::nanosleep::sys_clock_nanosleep, (di, si, dx, r10);
    __NR_clock_gettime => crate::kernel::time::clock::sys_clock_gettime, (di, si);
    __NR_clock_getres => crate::kernel::time::clock::sys_clock_getres, (di, si);
    __NR_gettimeofday => crate::kernel::time::clock::sys_gettimeofday, (di, si);
    __NR_clock_settime => crate::kernel::time::clock::sys_clock_settime, (di, si);
    __NR_settimeofday => crate::kernel::time::clock::sys_settimeofday, (di, si);
    __NR_time => crate::kernel::time::clock::sys_time, (di);
    __NR_getitimer => crate::kernel::time::itimer::sys_getitimer, (di, si);
    __NR_setitimer => crate::kernel::time::itimer::sys_setitimer, (di, si, dx);
    __NR_alarm => crate::kernel::time::itimer::sys_alarm, (di);
    __NR_timer_create => crate::kernel::time::posix_timers::sys_timer_create, (di, si, dx);
    __NR_timer_settime => crate::kernel::time::posix_timers::sys_timer_settime, (di, si, dx, r10);
    __NR_timer_gettime => crate::kernel::time::posix_timers::sys_timer_gettime, (di, si);
    __NR_timer_getoverrun => crate::kernel::time::posix_timers::sys_timer_getoverrun, (di);
    __NR_timer_delete => crate::kernel::time::posix_timers::sys_timer_delete, (di);
    // --- kernel/sys.rs
    __NR_uname => crate::kernel::sys::sys_newuname, (di);
    __NR_sethostname => crate::kernel::sys::sys_sethostname, (di, si);
    __NR_setdomainname => crate::kernel::sys::sys_setdomainname, (di, si);
    __NR_getpid => crate::kernel::sys::sys_getpid, ();
    __NR_gettid => crate::kernel::sys::sys_gettid, ();
    __NR_getppid => crate::kernel::sys::sys_getppid, ();
    __NR_getpgid => crate::kernel::sys::sys_getpgid, (di);
    __NR_getpgrp => crate::kernel::sys::sys_getpgrp, ();
    __NR_getsid => crate::kernel::sys::sys_getsid, (di);
    __NR_setsid => crate::kernel::sys::sys_setsid, ();
    __NR_setpgid => crate::kernel::sys::sys_setpgid, (di, si);
    __NR_getuid => crate::kernel::setid::sys_getuid, ();
    __NR_geteuid => crate::kernel::setid::sys_geteuid, ();
    __NR_getgid => crate::kernel::setid::sys_getgid, ();
    __NR_getegid => crate::kernel::setid::sys_getegid, ();
    __NR_setuid => crate::kernel::setid::sys_setuid, (di);
    __NR_setgid => crate::kernel::setid::sys_setgid, (di);
    __NR_setresuid => crate::kernel::setid::sys_setresuid, (di, si, dx);
    __NR_setresgid => crate::kernel::setid::sys_setresgid, (di, si, dx);
    __NR_getresuid => crate::kernel::setid::sys_getresuid, (di, si, dx);
    __NR_getresgid => crate::kernel::setid::sys_getresgid, (di, si, dx);
    __NR_setreuid => crate::kernel::setid::sys_setreuid, (di, si);
    __NR_setregid => crate::kernel::setid::sys_setregid, (di, si);
    __NR_setfsuid => crate::kernel::setid::sys_setfsuid, (di);
    __NR_setfsgid => crate::kernel::setid::sys_setfsgid, (di);
    __NR_setgroups => crate::kernel::setid::sys_setgroups, (di, si);
    __NR_capget => crate::kernel::capability::sys_capget, (di, si);
    __NR_capset => crate::kernel::capability::sys_capset, (di, si);
    __NR_getgroups => crate::kernel::setid::sys_getgroups, (di, si);
    __NR_prlimit64 => crate::kernel::sys::sys_prlimit64, (di, si, dx, r10);
    __NR_getrlimit => crate::kernel::sys::sys_getrlimit, (di, si);
    __NR_setrlimit => crate::kernel::sys::sys_setrlimit, (di, si);
    __NR_getrusage => crate::kernel::rusage::sys_getrusage, (di, si);
    __NR_times => crate::kernel::sys::sys_times, (di);
    __NR_sysinfo => crate::kernel::sys::sys_sysinfo, (di);
    __NR_prctl => crate::kernel::sys::sys_prctl, (di, si, dx, r10, r8);
    __NR_iopl => crate::arch::x86::kernel::ioport::sys_iopl, (di);
    __NR_ioperm => crate::arch::x86::kernel::ioport::sys_ioperm, (di, si, dx);
    __NR_modify_ldt => crate::arch::x86::kernel::ldt::sys_modify_ldt, (di, si, dx);
    __NR_arch_prctl => crate::kernel::sys::sys_arch_prctl, (di, si);
    __NR_personality => crate::kernel::sys::sys_personality, (di);
    __NR_sched_yield => crate::kernel::sched::syscalls::sys_sched_yield, ();
    __NR_sched_getaffinity => crate::kernel::sched::syscalls::sys_sched_getaffinity, (di, si, dx);
    __NR_sched_setaffinity => crate::kernel::sched::syscalls::sys_sched_setaffinity, (di, si, dx);
    __NR_sched_get_priority_min => crate::kernel::sched::syscalls::sys_sched_get_priority_min, (di);
    __NR_sched_get_priority_max => crate::kernel::sched::syscalls::sys_sched_get_priority_max, (di);
    __NR_sched_getscheduler => crate::kernel::sched::syscalls::sys_sched_getscheduler, (di);
    __NR_sched_setscheduler => crate::kernel::sched::syscalls::sys_sched_setscheduler, (di, si, dx);
    __NR_sched_getparam => crate::kernel::sched::syscalls::sys_sched_getparam, (di, si);
    __NR_sched_setparam => crate::kernel::sched::syscalls::sys_sched_setparam, (di, si);
    __NR_sched_setattr => crate::kernel::sched::syscalls::sys_sched_setattr, (di, si, dx);
    __NR_sched_getattr => crate::kernel::sched::syscalls::sys_sched_getattr, (di, si, dx, r10);
    __NR_sched_rr_get_interval => crate::kernel::sched::syscalls::sys_sched_rr_get_interval, (di, si);
    __NR_getpriority => crate::kernel::sched::syscalls::sys_getpriority, (di, si);
    __NR_setpriority => crate::kernel::sched::syscalls::sys_setpriority, (di, si, dx);
    __NR_membarrier => crate::kernel::sched::membarrier::sys_membarrier, (di, si, dx);
    __NR_getcpu => crate::kernel::sched::syscalls::sys_getcpu, (di, si, dx);
    __NR_set_robust_list => crate::kernel::futex::sys_set_robust_list, (di, si);
    // --- kernel/fork.rs
    __NR_fork => crate::kernel::fork::sys_fork, ();
    __NR_vfork => crate::kernel::fork::sys_vfork, ();
    __NR_clone => crate::kernel::fork::sys_clone, (di, si, dx, r10, r8);
    __NR_clone3 => crate::kernel::fork::sys_clone3, (di, si);
    __NR_set_tid_address => crate::kernel::fork::sys_set_tid_address, (di);
    // --- kernel/pid.rs
    __NR_pidfd_open => crate::kernel::pid::sys_pidfd_open, (di, si);
    __NR_pidfd_send_signal => crate::kernel::pid::sys_pidfd_send_signal, (di, si, dx, r10);
    __NR_pidfd_getfd => crate::kernel::pid::sys_pidfd_getfd, (di, si, dx);
    // --- kernel/exit.rs
    __NR_exit => crate::kernel::exit::sys_exit, (di);
    __NR_exit_group => crate::kernel::exit::sys_exit_group, (di);
    __NR_wait4 => crate::kernel::exit::sys_wait4, (di, si, dx, r10);
    __NR_waitid => crate::kernel::exit::sys_waitid, (di, si, dx, r10, r8);
    // --- kernel/ptrace
    __NR_ptrace => crate::kernel::ptrace::sys_ptrace, (di, si, dx, r10);
    // --- kernel/futex
    __NR_futex => crate::kernel::futex::sys_futex, (di, si, dx, r10, r8, r9);
    __NR_futex_waitv => crate::kernel::futex::sys_futex_waitv, (di, si, dx, r10, r8);
    __NR_unshare => crate::kernel::unshare::sys_unshare, (di);
    __NR_get_robust_list => crate::kernel::futex::sys_get_robust_list, (di, si, dx);
    // --- kernel/rseq.rs
    __NR_rseq => crate::kernel::rseq::sys_rseq, (di, si, dx, r10);
    // --- kernel/seccomp.rs
    __NR_seccomp => crate::kernel::seccomp::sys_seccomp, (di, si, dx);
    __NR_kcmp => crate::kernel::kcmp::sys_kcmp, (di, si, dx, r10, r8);
    // --- kernel/reboot.rs
    __NR_reboot => crate::kernel::reboot::sys_reboot, (di, si, dx, r10);
    // --- mm/
    __NR_mmap => crate::mm::mmap::sys_mmap, (di, si, dx, r10, r8, r9);
    __NR_mprotect => crate::mm::mprotect::sys_mprotect, (di, si, dx);
    __NR_munmap => crate::mm::mmap::sys_munmap, (di, si);
    __NR_brk => crate::mm::mmap::sys_brk, (di);
    __NR_mremap => crate::mm::mremap::sys_mremap, (di, si, dx, r10, r8);
    __NR_msync => crate::mm::madvise::sys_msync, (di, si, dx);
    __NR_mincore => crate::mm::mincore::sys_mincore, (di, si, dx);
    __NR_madvise => crate::mm::madvise::sys_madvise, (di, si, dx);
    __NR_process_madvise => crate::mm::madvise::sys_process_madvise, (di, si, dx, r10, r8);
    __NR_mlock => crate::mm::mlock::sys_mlock, (di, si);
    __NR_munlock => crate::mm::mlock::sys_munlock, (di, si);
    __NR_mlockall => crate::mm::mlock::sys_mlockall, (di);
    __NR_munlockall => crate::mm::mlock::sys_munlockall, ();
    __NR_mlock2 => crate::mm::mlock::sys_mlock2, (di, si, dx);
    __NR_pkey_mprotect => crate::mm::mprotect::sys_pkey_mprotect, (di, si, dx, r10);
    __NR_pkey_alloc => crate::arch::x86::mm::pkeys::sys_pkey_alloc, (di, si);
    __NR_pkey_free => crate::arch::x86::mm::pkeys::sys_pkey_free, (di);
    __NR_process_vm_readv => crate::mm::process_vm_access::sys_process_vm_readv, (di, si, dx, r10, r8, r9);
    __NR_process_vm_writev => crate::mm::process_vm_access::sys_process_vm_writev, (di, si, dx, r10, r8, r9);
    // --- kernel/printk/syslog.rs
    __NR_syslog => crate::kernel::printk::syslog::sys_syslog, (di, si, dx);
    // --- fs/
    __NR_read => crate::fs::read_write::sys_read, (di, si, dx);
    __NR_write => crate::fs::read_write::sys_write, (di, si, dx);
    __NR_readv => crate::fs::read_write::sys_readv, (di, si, dx);
    __NR_writev => crate::fs::read_write::sys_writev, (di, si, dx);
    __NR_pread64 => crate::fs::read_write::sys_pread64, (di, si, dx, r10);
    __NR_pwrite64 => crate::fs::read_write::sys_pwrite64, (di, si, dx, r10);
    __NR_preadv => crate::fs::read_write::sys_preadv, (di, si, dx, r10);
    __NR_pwritev => crate::fs::read_write::sys_pwritev, (di, si, dx, r10);
    __NR_preadv2 => crate::fs::read_write::sys_preadv2, (di, si, dx, r10, r8, r9);
    __NR_pwritev2 => crate::fs::read_write::sys_pwritev2, (di, si, dx, r10, r8, r9);
    __NR_lseek => crate::fs::read_write::sys_lseek, (di, si, dx);
    __NR_sendfile => crate::fs::sendfile::sys_sendfile64, (di, si, dx, r10);
    __NR_copy_file_range => crate::fs::sendfile::sys_copy_file_range, (di, si, dx, r10, r8, r9);
    __NR_splice => crate::fs::splice::sys_splice, (di, si, dx, r10, r8, r9);
    __NR_tee => crate::fs::splice::sys_tee, (di, si, dx, r10);
    __NR_vmsplice => crate::fs::splice::sys_vmsplice, (di, si, dx, r10);
    __NR_open => crate::fs::open::sys_open, (di, si, dx);
    __NR_openat => crate::fs::open::sys_openat, (di, si, dx, r10);
    __NR_openat2 => crate::fs::open::sys_openat2, (di, si, dx, r10);
    __NR_creat => crate::fs::open::sys_creat, (di, si);
    __NR_truncate => crate::fs::open::sys_truncate, (di, si);
    __NR_ftruncate => crate::fs::open::sys_ftruncate, (di, si);
    __NR_fallocate => crate::fs::open::sys_fallocate, (di, si, dx, r10);
    __NR_access => crate::fs::open::sys_access, (di, si);
    __NR_faccessat => crate::fs::open::sys_faccessat, (di, si, dx);
    __NR_faccessat2 => crate::fs::open::sys_faccessat2, (di, si, dx, r10);
    __NR_chdir => crate::fs::open::sys_chdir, (di);
    __NR_fchdir => crate::fs::open::sys_fchdir, (di);
    __NR_chroot => crate::fs::open::sys_chroot, (di);
    __NR_chmod => crate::fs::attr::sys_chmod, (di, si);
    __NR_fchmod => crate::fs::attr::sys_fchmod, (di, si);
    __NR_fchmodat => crate::fs::attr::sys_fchmodat, (di, si, dx);
    __NR_chown => crate::fs::attr::sys_chown, (di, si, dx);
    __NR_lchown => crate::fs::attr::sys_lchown, (di, si, dx);
    __NR_fchown => crate::fs::attr::sys_fchown, (di, si, dx);
    __NR_fchownat => crate::fs::attr::sys_fchownat, (di, si, dx, r10, r8);
    __NR_close => crate::fs::file::sys_close, (di);
    __NR_close_range => crate::fs::file::sys_close_range, (di, si, dx);
    __NR_dup => crate::fs::file::sys_dup, (di);
    __NR_dup2 => crate::fs::file::sys_dup2, (di, si);
    __NR_dup3 => crate::fs::file::sys_dup3, (di, si, dx);
    __NR_fcntl => crate::fs::fcntl::sys_fcntl, (di, si, dx);
    __NR_flock => crate::fs::fcntl::sys_flock, (di, si);
    __NR_ioctl => crate::fs::ioctl::sys_ioctl, (di, si, dx);
    __NR_mkdir => crate::fs::namei_calls::sys_mkdir, (di, si);
    __NR_mkdirat => crate::fs::namei_calls::sys_mkdirat, (di, si, dx);
    __NR_rmdir => crate::fs::namei_calls::sys_rmdir, (di);
    __NR_unlink => crate::fs::namei_calls::sys_unlink, (di);
    __NR_unlinkat => crate::fs::namei_calls::sys_unlinkat, (di, si, dx);
    __NR_symlink => crate::fs::namei_calls::sys_symlink, (di, si);
    __NR_symlinkat => crate::fs::namei_calls::sys_symlinkat, (di, si, dx);
    __NR_link => crate::fs::namei_calls::sys_link, (di, si);
    __NR_linkat => crate::fs::namei_calls::sys_linkat, (di, si, dx, r10, r8);
    __NR_mknod => crate::fs::namei_calls::sys_mknod, (di, si, dx);
    __NR_mknodat => crate::fs::namei_calls::sys_mknodat, (di, si, dx, r10);
    __NR_rename => crate::fs::rename::sys_rename, (di, si);
    __NR_renameat => crate::fs::rename::sys_renameat, (di, si, dx, r10);
    __NR_renameat2 => crate::fs::rename::sys_renameat2, (di, si, dx, r10, r8);
    __NR_getcwd => crate::fs::dcache::sys_getcwd, (di, si);
    __NR_vhangup => crate::drivers::tty::tty_jobctrl::sys_vhangup, ();
    __NR_umask => crate::fs::fs_struct::sys_umask, (di);
    __NR_stat => crate::fs::stat::sys_newstat, (di, si);
    __NR_lstat => crate::fs::stat::sys_newlstat, (di, si);
    __NR_fstat => crate::fs::stat::sys_newfstat, (di, si);
    __NR_newfstatat => crate::fs::stat::sys_newfstatat, (di, si, dx, r10);
    __NR_statx => crate::fs::stat::sys_statx, (di, si, dx, r10, r8);
    __NR_readlink => crate::fs::stat::sys_readlink, (di, si, dx);
    __NR_readlinkat => crate::fs::stat::sys_readlinkat, (di, si, dx, r10);
    __NR_statfs => crate::fs::statfs::sys_statfs, (di, si);
    __NR_fstatfs => crate::fs::statfs::sys_fstatfs, (di, si);
    __NR_utimensat => crate::fs::utimes::sys_utimensat, (di, si, dx, r10);
    __NR_utimes => crate::fs::utimes::sys_utimes, (di, si);
    __NR_utime => crate::fs::utimes::sys_utime, (di, si);
    __NR_sync => crate::fs::sync::sys_sync, ();
    __NR_syncfs => crate::fs::sync::sys_syncfs, (di);
    __NR_fsync => crate::fs::sync::sys_fsync, (di);
    __NR_fdatasync => crate::fs::sync::sys_fsync, (di);
    __NR_readahead => crate::fs::sync::sys_readahead, (di, si, dx);
    __NR_sync_file_range => crate::fs::sync::sys_sync_file_range, (di, si, dx, r10);
    __NR_futimesat => crate::fs::utimes::sys_futimesat, (di, si, dx);
    __NR_fadvise64 => crate::fs::sync::sys_fadvise64, (di, si, dx, r10);
    __NR_getdents64 => crate::fs::readdir::sys_getdents64, (di, si, dx);
    __NR_getdents => crate::fs::readdir::sys_getdents, (di, si, dx);
    __NR_pipe => crate::fs::pipe::sys_pipe, (di);
    __NR_pipe2 => crate::fs::pipe::sys_pipe2, (di, si);
    __NR_poll => crate::fs::select::sys_poll, (di, si, dx);
    __NR_ppoll => crate::fs::select::sys_ppoll, (di, si, dx, r10, r8);
    __NR_select => crate::fs::select::sys_select, (di, si, dx, r10, r8);
    __NR_pselect6 => crate::fs::select::sys_pselect6, (di, si, dx, r10, r8, r9);
    __NR_epoll_create => crate::fs::eventpoll::sys_epoll_create, (di);
    __NR_epoll_create1 => crate::fs::eventpoll::sys_epoll_create1, (di);
    __NR_epoll_ctl => crate::fs::eventpoll::sys_epoll_ctl, (di, si, dx, r10);
    __NR_epoll_wait => crate::fs::eventpoll::sys_epoll_wait, (di, si, dx, r10);
    __NR_epoll_pwait => crate::fs::eventpoll::sys_epoll_pwait, (di, si, dx, r10, r8, r9);
    __NR_epoll_pwait2 => crate::fs::eventpoll::sys_epoll_pwait2, (di, si, dx, r10, r8, r9);
    __NR_eventfd => crate::fs::eventfd::sys_eventfd, (di);
    __NR_eventfd2 => crate::fs::eventfd::sys_eventfd2, (di, si);
    __NR_signalfd => crate::fs::signalfd::sys_signalfd, (di, si, dx);
    __NR_signalfd4 => crate::fs::signalfd::sys_signalfd4, (di, si, dx, r10);
    __NR_timerfd_create => crate::fs::timerfd::sys_timerfd_create, (di, si);
    __NR_timerfd_settime => crate::fs::timerfd::sys_timerfd_settime, (di, si, dx, r10);
    __NR_timerfd_gettime => crate::fs::timerfd::sys_timerfd_gettime, (di, si);
    __NR_memfd_create => crate::fs::memfd::sys_memfd_create, (di, si);
    __NR_mount => crate::fs::namespace::sys_mount, (di, si, dx, r10, r8);
    __NR_umount2 => crate::fs::namespace::sys_umount2, (di, si);
    __NR_execve => crate::fs::exec::sys_execve, (di, si, dx);
    __NR_execveat => crate::fs::exec::sys_execveat, (di, si, dx, r10, r8);
    __NR_getrandom => crate::drivers::char::random::sys_getrandom, (di, si, dx);
}
