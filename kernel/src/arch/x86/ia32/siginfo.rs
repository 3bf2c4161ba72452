// SPDX-License-Identifier: GPL-2.0-only
//! i386's `siginfo_t` (Linux 6.1, `kernel/signal.c`, `copy_siginfo_to_external32`).

use crate::kernel::signal::siginfo::{KernelSiginfo, SigFields};

/// The whole of it, 128 bytes: three words, and a union that follows at once.
pub type CompatSiginfo = [u32; 32];

/// The union's words; pointers and times lose their upper halves.
fn fields(f: SigFields) -> [u32; 5] {
    match f {
        SigFields::Kill { pid, uid } => [pid as u32, uid, 0, 0, 0],
        SigFields::Timer { tid, overrun, value, .. } => [tid as u32, overrun as u32, value as u32, 0, 0],
        SigFields::Rt { pid, uid, value } => [pid as u32, uid, value as u32, 0, 0],
        SigFields::Chld { pid, uid, status, utime, stime } => {
            [pid as u32, uid, status as u32, utime as u32, stime as u32]
        }
        SigFields::Fault { addr } => [addr as u32, 0, 0, 0, 0],
        SigFields::FaultLsb { addr, lsb } => [addr as u32, u32::from(lsb), 0, 0, 0],
        SigFields::FaultBnd { addr, lower, upper } => [addr as u32, 0, lower as u32, upper as u32, 0],
        SigFields::FaultPkey { addr, pkey } => [addr as u32, 0, pkey, 0, 0],
        SigFields::FaultPerf { addr, data, kind, flags } => [addr as u32, data as u32, kind, flags, 0],
        SigFields::Poll { band, fd } => [band as u32, fd as u32, 0, 0, 0],
        SigFields::Sys { call_addr, syscall, arch } => [call_addr as u32, syscall as u32, arch, 0, 0],
    }
}

/// `info` as 32-bit code reads it.
pub fn to_compat(info: &KernelSiginfo) -> CompatSiginfo {
    let mut c = [0; 32];
    c[..3].copy_from_slice(&[info.si_signo as u32, info.si_errno as u32, info.si_code as u32]);
    c[3..8].copy_from_slice(&fields(info.typed()));
    c
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::signal::sigset::{SIGCHLD, SIGSEGV};

    #[test]
    fn words_lie_where_i386_has_them() {
        let c = to_compat(&KernelSiginfo::fault(SIGSEGV, 1, 0x1_ffff_f000));
        assert_eq!(c[..5], [11, 0, 1, 0xffff_f000, 0]);
        let child = SigFields::Chld { pid: 7, uid: 8, status: 9, utime: 10, stime: 11 };
        assert_eq!(to_compat(&KernelSiginfo::new(SIGCHLD, 1, child))[..9], [17, 0, 1, 7, 8, 9, 10, 11, 0]);
        let bound = SigFields::FaultBnd { addr: 1, lower: 2, upper: 3 };
        assert_eq!(to_compat(&KernelSiginfo::new(SIGSEGV, 3, bound))[3..7], [1, 0, 2, 3]);
    }
}
