// SPDX-License-Identifier: GPL-2.0-only
//! i386's `siginfo_t` (Linux 6.1, `kernel/signal.c`, `copy_siginfo_to_external32`).

use crate::arch::x86::lib::usercopy::get_user;
use crate::errno::Result;
use crate::kernel::signal::siginfo::{KernelSiginfo, Layout, SigFields, siginfo_layout};

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

/// Reads one that a program has made up (`copy_siginfo_from_user32`).
pub fn copy_siginfo_from_user32(sig: i32, from: usize) -> Result<KernelSiginfo> {
    let c: CompatSiginfo = get_user(from)?;
    let w = |i: usize| u64::from(c[i]);
    let code = c[2] as i32;
    let fields = match siginfo_layout(sig, code) {
        Layout::Kill => [w(3) | w(4) << 32, 0, 0, 0],
        Layout::Timer | Layout::Rt => [w(3) | w(4) << 32, w(5), 0, 0],
        Layout::Poll => [c[3] as i32 as u64, w(4), 0, 0],
        Layout::Fault => [w(3), 0, 0, 0],
        Layout::FaultMceErr => [w(3), w(4) & 0xffff, 0, 0],
        Layout::FaultBndErr => [w(3), 0, w(5), w(6)],
        Layout::FaultPkuErr => [w(3), 0, w(5), 0],
        Layout::FaultPerfEvent => [w(3), w(4), w(5) | w(6) << 32, 0],
        Layout::Chld => [w(3) | w(4) << 32, w(5), c[6] as i32 as u64, c[7] as i32 as u64],
        Layout::Sys => [w(3), w(4) | w(5) << 32, 0, 0],
    };
    let mut info = KernelSiginfo::new(sig, code, SigFields::decode(sig, code, &fields));
    info.si_errno = c[1] as i32;
    Ok(info)
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
