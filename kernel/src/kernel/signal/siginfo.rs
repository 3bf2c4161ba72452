// SPDX-License-Identifier: GPL-2.0-only
//! `siginfo`: what a signal says about its cause.
//!
//! The kernel keeps the 48 bytes that have a meaning, in the user's own layout,
//! so that delivery is one copy and a value queued by `rt_sigqueueinfo` passes
//! through unchanged; [`SigFields`] is the typed view. After Linux 6.1,
//! `include/uapi/asm-generic/siginfo.h`, `kernel/signal.c` (`siginfo_layout`).

use super::sigset::{SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGIO, SIGSEGV, SIGSYS, SIGTRAP};
use crate::arch::x86::lib::usercopy::{copy_from_user, get_user};
use crate::errno::{E2BIG, Result};
use core::mem::offset_of;
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Sent by `kill(2)`.
pub const SI_USER: i32 = raw::SI_USER as i32;
/// Sent by the kernel, without a more specific code.
pub const SI_KERNEL: i32 = raw::SI_KERNEL as i32;
/// Sent by `sigqueue(3)`.
pub const SI_QUEUE: i32 = raw::SI_QUEUE;
/// A POSIX timer expired.
pub const SI_TIMER: i32 = raw::SI_TIMER;
/// Queued SIGIO.
pub const SI_SIGIO: i32 = raw::SI_SIGIO;
/// Sent by `tkill(2)` or `tgkill(2)`.
pub const SI_TKILL: i32 = raw::SI_TKILL;
const SI_DETHREAD: i32 = raw::SI_DETHREAD;
const SI_ASYNCNL: i32 = raw::SI_ASYNCNL;

/// `si_code` of `SIGCHLD`.
#[allow(missing_docs)]
pub mod cld {
    pub const EXITED: i32 = 1;
    pub const KILLED: i32 = 2;
    pub const DUMPED: i32 = 3;
    pub const TRAPPED: i32 = 4;
    pub const STOPPED: i32 = 5;
    pub const CONTINUED: i32 = 6;
}

const BUS_MCEERR_AR: i32 = 4;
const BUS_MCEERR_AO: i32 = 5;
/// A pointer is out of its bounds.
pub const SEGV_BNDERR: i32 = 3;
const SEGV_PKUERR: i32 = 4;
const TRAP_PERF: i32 = 6;
/// Highest code of `POLL_*`.
const NSIGPOLL: i32 = 6;

/// A signal's information: the user's `siginfo_t` without its unused tail.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct KernelSiginfo {
    /// Signal number.
    pub si_signo: i32,
    /// Error number, nearly always 0.
    pub si_errno: i32,
    /// Why it was sent.
    pub si_code: i32,
    _pad: i32,
    /// The union, as [`SigFields`] encodes it.
    pub fields: [u64; 4],
}

/// Size of the user's `siginfo_t`.
pub const SI_MAX_SIZE: usize = raw::SI_MAX_SIZE as usize;
/// The part of it that carries nothing.
pub const SI_EXPANSION_SIZE: usize = SI_MAX_SIZE - size_of::<KernelSiginfo>();

/// The user's `siginfo_t`: ours, then zeros.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct UserSiginfo {
    /// What the kernel fills in.
    pub info: KernelSiginfo,
    /// Always zero.
    pub expansion: [u64; SI_EXPANSION_SIZE / 8],
}

const _: () = {
    type R = raw::siginfo__bindgen_ty_1__bindgen_ty_1;
    assert!(size_of::<KernelSiginfo>() == 48);
    assert!(size_of::<UserSiginfo>() == size_of::<raw::siginfo_t>());
    assert!(offset_of!(KernelSiginfo, si_errno) == offset_of!(R, si_errno));
    assert!(offset_of!(KernelSiginfo, si_code) == offset_of!(R, si_code));
    assert!(offset_of!(KernelSiginfo, fields) == offset_of!(R, _sifields));
    // Where the union's members lie, as `SigFields` assumes.
    assert!(offset_of!(raw::__sifields__bindgen_ty_1, _uid) == 4);
    assert!(offset_of!(raw::__sifields__bindgen_ty_2, _overrun) == 4);
    assert!(offset_of!(raw::__sifields__bindgen_ty_2, _sigval) == 8);
    assert!(offset_of!(raw::__sifields__bindgen_ty_2, _sys_private) == 16);
    assert!(offset_of!(raw::__sifields__bindgen_ty_3, _sigval) == 8);
    assert!(offset_of!(raw::__sifields__bindgen_ty_4, _status) == 8);
    assert!(offset_of!(raw::__sifields__bindgen_ty_4, _utime) == 16);
    assert!(offset_of!(raw::__sifields__bindgen_ty_4, _stime) == 24);
    assert!(offset_of!(raw::__sifields__bindgen_ty_5, __bindgen_anon_1) == 8);
    assert!(offset_of!(raw::__sifields__bindgen_ty_5__bindgen_ty_1__bindgen_ty_1, _lower) == 8);
    assert!(offset_of!(raw::__sifields__bindgen_ty_5__bindgen_ty_1__bindgen_ty_1, _upper) == 16);
    assert!(offset_of!(raw::__sifields__bindgen_ty_5__bindgen_ty_1__bindgen_ty_2, _pkey) == 8);
    assert!(offset_of!(raw::__sifields__bindgen_ty_5__bindgen_ty_1__bindgen_ty_3, _type) == 8);
    assert!(offset_of!(raw::__sifields__bindgen_ty_6, _fd) == 8);
    assert!(offset_of!(raw::__sifields__bindgen_ty_7, _arch) == 12);
};

/// Which member of the union a signal uses (`enum siginfo_layout`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Layout {
    Kill,
    Timer,
    Poll,
    Fault,
    FaultMceErr,
    FaultBndErr,
    FaultPkuErr,
    FaultPerfEvent,
    Chld,
    Rt,
    Sys,
}

/// The signals that have codes of their own: the highest one, and their layout.
const fn specific_codes(sig: i32) -> Option<(i32, Layout)> {
    Some(match sig {
        SIGILL => (11, Layout::Fault),
        SIGFPE => (15, Layout::Fault),
        SIGSEGV => (9, Layout::Fault),
        SIGBUS => (5, Layout::Fault),
        SIGTRAP => (6, Layout::Fault),
        SIGCHLD => (6, Layout::Chld),
        SIGIO => (NSIGPOLL, Layout::Poll),
        SIGSYS => (2, Layout::Sys),
        _ => return None,
    })
}

/// Whether the signal has codes of its own above 0 (`sig_specific_sicodes`).
pub const fn has_specific_codes(sig: i32) -> bool {
    specific_codes(sig).is_some()
}

/// Which member of the union the pair uses.
pub const fn siginfo_layout(sig: i32, code: i32) -> Layout {
    if code <= SI_USER || code >= SI_KERNEL {
        return match code {
            SI_TIMER => Layout::Timer,
            SI_SIGIO => Layout::Poll,
            c if c < 0 => Layout::Rt,
            _ => Layout::Kill,
        };
    }
    match specific_codes(sig) {
        Some((limit, layout)) if code <= limit => match (sig, code) {
            (SIGBUS, BUS_MCEERR_AR..=BUS_MCEERR_AO) => Layout::FaultMceErr,
            (SIGSEGV, SEGV_BNDERR) => Layout::FaultBndErr,
            (SIGSEGV, SEGV_PKUERR) => Layout::FaultPkuErr,
            (SIGTRAP, TRAP_PERF) => Layout::FaultPerfEvent,
            _ => layout,
        },
        _ if code <= NSIGPOLL => Layout::Poll,
        _ => Layout::Kill,
    }
}

/// Whether the kernel knows what such a `siginfo` contains, so that its tail may
/// be ignored (`known_siginfo_layout`).
const fn known_layout(sig: i32, code: i32) -> bool {
    if code == SI_KERNEL {
        return true;
    }
    if code > SI_USER {
        return match specific_codes(sig) {
            Some((limit, _)) => code <= limit,
            None => code <= NSIGPOLL,
        };
    }
    code >= SI_DETHREAD || code == SI_ASYNCNL
}

/// The union's members, typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SigFields {
    Kill { pid: i32, uid: u32 },
    Timer { tid: i32, overrun: i32, value: u64, sys_private: i32 },
    Rt { pid: i32, uid: u32, value: u64 },
    Chld { pid: i32, uid: u32, status: i32, utime: i64, stime: i64 },
    Fault { addr: u64 },
    FaultLsb { addr: u64, lsb: u16 },
    FaultBnd { addr: u64, lower: u64, upper: u64 },
    FaultPkey { addr: u64, pkey: u32 },
    FaultPerf { addr: u64, data: u64, kind: u32, flags: u32 },
    Poll { band: i64, fd: i32 },
    Sys { call_addr: u64, syscall: i32, arch: u32 },
}

/// Two 32-bit fields that share a word, lower address first.
const fn pair(lo: u32, hi: u32) -> u64 {
    lo as u64 | (hi as u64) << 32
}

const fn lo(w: u64) -> u32 {
    w as u32
}

const fn hi(w: u64) -> u32 {
    (w >> 32) as u32
}

impl SigFields {
    /// As the union's bytes.
    pub const fn encode(self) -> [u64; 4] {
        match self {
            Self::Kill { pid, uid } => [pair(pid as u32, uid), 0, 0, 0],
            Self::Timer { tid, overrun, value, sys_private } => {
                [pair(tid as u32, overrun as u32), value, sys_private as u32 as u64, 0]
            }
            Self::Rt { pid, uid, value } => [pair(pid as u32, uid), value, 0, 0],
            Self::Chld { pid, uid, status, utime, stime } => {
                [pair(pid as u32, uid), status as u32 as u64, utime as u64, stime as u64]
            }
            Self::Fault { addr } => [addr, 0, 0, 0],
            Self::FaultLsb { addr, lsb } => [addr, lsb as u64, 0, 0],
            Self::FaultBnd { addr, lower, upper } => [addr, 0, lower, upper],
            Self::FaultPkey { addr, pkey } => [addr, 0, pkey as u64, 0],
            Self::FaultPerf { addr, data, kind, flags } => [addr, data, pair(kind, flags), 0],
            Self::Poll { band, fd } => [band as u64, fd as u32 as u64, 0, 0],
            Self::Sys { call_addr, syscall, arch } => [call_addr, pair(syscall as u32, arch), 0, 0],
        }
    }

    /// The member that `sig` and `code` select.
    pub const fn decode(sig: i32, code: i32, w: &[u64; 4]) -> Self {
        let (pid, uid) = (lo(w[0]) as i32, hi(w[0]));
        match siginfo_layout(sig, code) {
            Layout::Kill => Self::Kill { pid, uid },
            Layout::Timer => {
                Self::Timer { tid: pid, overrun: uid as i32, value: w[1], sys_private: lo(w[2]) as i32 }
            }
            Layout::Poll => Self::Poll { band: w[0] as i64, fd: lo(w[1]) as i32 },
            Layout::Fault => Self::Fault { addr: w[0] },
            Layout::FaultMceErr => Self::FaultLsb { addr: w[0], lsb: w[1] as u16 },
            Layout::FaultBndErr => Self::FaultBnd { addr: w[0], lower: w[2], upper: w[3] },
            Layout::FaultPkuErr => Self::FaultPkey { addr: w[0], pkey: lo(w[2]) },
            Layout::FaultPerfEvent => {
                Self::FaultPerf { addr: w[0], data: w[1], kind: lo(w[2]), flags: hi(w[2]) }
            }
            Layout::Chld => {
                Self::Chld { pid, uid, status: lo(w[1]) as i32, utime: w[2] as i64, stime: w[3] as i64 }
            }
            Layout::Rt => Self::Rt { pid, uid, value: w[1] },
            Layout::Sys => Self::Sys { call_addr: w[0], syscall: lo(w[1]) as i32, arch: hi(w[1]) },
        }
    }
}

impl KernelSiginfo {
    /// A `siginfo` with typed fields.
    pub const fn new(sig: i32, code: i32, fields: SigFields) -> Self {
        Self { si_signo: sig, si_errno: 0, si_code: code, _pad: 0, fields: fields.encode() }
    }
    /// Of a fault at `addr`.
    pub const fn fault(sig: i32, code: i32, addr: u64) -> Self {
        Self::new(sig, code, SigFields::Fault { addr })
    }
    /// Sent by the kernel for no more specific reason (`SEND_SIG_PRIV`).
    pub const fn kernel(sig: i32) -> Self {
        Self::new(sig, SI_KERNEL, SigFields::Kill { pid: 0, uid: 0 })
    }
    /// The typed fields.
    pub const fn typed(&self) -> SigFields {
        SigFields::decode(self.si_signo, self.si_code, &self.fields)
    }
    /// A timer's, with `si_overrun`.
    #[must_use]
    pub const fn with_overrun(mut self, overrun: i32) -> Self {
        self.fields[0] = pair(lo(self.fields[0]), overrun as u32);
        self
    }
    /// A timer's, with `si_sys_private`.
    #[must_use]
    pub const fn with_sys_private(mut self, private: i32) -> Self {
        self.fields[2] = private as u32 as u64;
        self
    }
    /// Whether user mode made it up (`si_fromuser`).
    pub const fn from_user(&self) -> bool {
        self.si_code <= 0
    }
    /// Whether it names a sender (`has_si_pid_and_uid`).
    pub const fn has_pid_and_uid(&self) -> bool {
        matches!(siginfo_layout(self.si_signo, self.si_code), Layout::Kill | Layout::Chld | Layout::Rt)
    }
}

/// Writes `info` to the user's `siginfo_t` at `to`.
pub fn copy_siginfo_to_user(to: usize, info: &KernelSiginfo) -> Result {
    let user = UserSiginfo { info: *info, expansion: [0; SI_EXPANSION_SIZE / 8] };
    crate::arch::x86::lib::usercopy::put_user(to, &user)
}

/// Reads a `siginfo_t` for signal `sig`. If its layout is unknown to the kernel, a
/// tail that is not zero would be lost, hence refused (`E2BIG`).
pub fn copy_siginfo_from_user(sig: i32, from: usize) -> Result<KernelSiginfo> {
    let mut info: KernelSiginfo = get_user(from)?;
    info.si_signo = sig;
    if !known_layout(sig, info.si_code) {
        let mut tail = [0u8; SI_EXPANSION_SIZE];
        copy_from_user(&mut tail, from.wrapping_add(size_of::<KernelSiginfo>()))?;
        if tail.iter().any(|&b| b != 0) {
            return Err(E2BIG);
        }
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::signal::sigset::SIGUSR1;

    #[test]
    fn layouts_follow_signal_and_code() {
        use Layout::*;
        for (sig, code, want) in [
            (SIGUSR1, SI_USER, Kill),
            (SIGUSR1, SI_TKILL, Rt),
            (SIGUSR1, SI_QUEUE, Rt),
            (34, SI_TIMER, Timer),
            (SIGIO, SI_SIGIO, Poll),
            (SIGIO, 1, Poll),
            (35, 1, Poll),
            (SIGSEGV, 1, Fault),
            (SIGSEGV, 3, FaultBndErr),
            (SIGSEGV, 4, FaultPkuErr),
            (SIGSEGV, 10, Kill),
            (SIGSEGV, SI_KERNEL, Kill),
            (SIGBUS, 2, Fault),
            (SIGBUS, 4, FaultMceErr),
            (SIGFPE, 1, Fault),
            (SIGTRAP, 6, FaultPerfEvent),
            (SIGCHLD, cld::EXITED, Chld),
            (SIGSYS, 1, Sys),
            (SIGUSR1, 7, Kill),
        ] {
            assert_eq!(siginfo_layout(sig, code), want, "signal {sig} code {code}");
        }
    }

    #[test]
    fn fields_survive_encoding() {
        let cases = [
            (SIGUSR1, SI_USER, SigFields::Kill { pid: 7, uid: 1000 }),
            (SIGUSR1, SI_QUEUE, SigFields::Rt { pid: -1, uid: 3, value: u64::MAX }),
            (34, SI_TIMER, SigFields::Timer { tid: 4, overrun: -2, value: 9, sys_private: -1 }),
            (SIGCHLD, 1, SigFields::Chld { pid: 2, uid: 0, status: -42, utime: 5, stime: 6 }),
            (SIGSEGV, 1, SigFields::Fault { addr: 0xdead_beef_0000 }),
            (SIGSEGV, 3, SigFields::FaultBnd { addr: 1, lower: 2, upper: 3 }),
            (SIGSEGV, 4, SigFields::FaultPkey { addr: 1, pkey: 15 }),
            (SIGBUS, 4, SigFields::FaultLsb { addr: 1, lsb: 12 }),
            (SIGTRAP, 6, SigFields::FaultPerf { addr: 1, data: 2, kind: 3, flags: 4 }),
            (SIGIO, 1, SigFields::Poll { band: 0x41, fd: 3 }),
            (SIGSYS, 1, SigFields::Sys { call_addr: 1, syscall: 39, arch: 0xc000_003e }),
        ];
        for (sig, code, f) in cases {
            assert_eq!(KernelSiginfo::new(sig, code, f).typed(), f);
        }
    }

    #[test]
    fn bytes_lie_where_programs_look() {
        let i =
            KernelSiginfo::new(SIGCHLD, 1, SigFields::Chld { pid: 1, uid: 2, status: 3, utime: 4, stime: 5 });
        let words: std::vec::Vec<u32> =
            i.as_bytes().chunks(4).map(|c| u32::from_ne_bytes(c.try_into().unwrap())).collect();
        assert_eq!(words, [17, 0, 1, 0, 1, 2, 3, 0, 4, 0, 5, 0]);
    }

    #[test]
    fn unknown_codes_are_known_to_be_unknown() {
        assert!(known_layout(SIGUSR1, SI_USER));
        assert!(known_layout(SIGUSR1, SI_TKILL));
        assert!(known_layout(SIGUSR1, 6) && !known_layout(SIGUSR1, 7));
        assert!(known_layout(SIGSEGV, 9) && !known_layout(SIGSEGV, 10));
        assert!(known_layout(SIGUSR1, SI_ASYNCNL) && !known_layout(SIGUSR1, -8));
    }
}
