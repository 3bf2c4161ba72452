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
    // --- kernel/sys.rs
}
