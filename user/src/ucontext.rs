// SPDX-License-Identifier: GPL-2.0-only
//! What a signal handler is given: `siginfo_t`, `ucontext_t` and the x87/SSE
//! part of the saved extended state, as Linux lays them out.

use core::fmt;
use core::mem::{offset_of, size_of};
use linux_raw_sys::general as abi;

/// `siginfo_t`: the common head, then fields whose meaning depends on the signal.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SigInfo {
    /// The signal's number.
    pub signo: i32,
    /// An error number, mostly 0.
    pub errno: i32,
    /// Why the signal was sent.
    pub code: i32,
    pad: i32,
    fields: [u64; 14],
}

const _: () = {
    assert!(size_of::<SigInfo>() == size_of::<abi::siginfo_t>());
    assert!(offset_of!(SigInfo, fields) == 16);
    type Common = abi::siginfo__bindgen_ty_1__bindgen_ty_1;
    assert!(offset_of!(SigInfo, signo) == offset_of!(Common, si_signo));
    assert!(offset_of!(SigInfo, errno) == offset_of!(Common, si_errno));
    assert!(offset_of!(SigInfo, code) == offset_of!(Common, si_code));
    assert!(offset_of!(SigInfo, fields) == offset_of!(Common, _sifields));
};

impl SigInfo {
    /// All zero.
    pub const ZERO: Self = Self { signo: 0, errno: 0, code: 0, pad: 0, fields: [0; 14] };

    /// A word behind the common head.
    pub const fn word(&self, i: usize) -> u64 {
        self.fields[i]
    }

    /// What `sigqueue` sends: a value with the sender's identity.
    pub const fn queue(signo: u32, code: i32, pid: i32, uid: u32, value: u64) -> Self {
        let mut si = Self { signo: signo as i32, code, ..Self::ZERO };
        si.fields[0] = pid as u32 as u64 | (uid as u64) << 32;
        si.fields[1] = value;
        si
    }

    /// What `kill` and its kin send: the sender's identity.
    pub const fn user(signo: u32, code: i32, pid: i32, uid: u32) -> Self {
        Self::queue(signo, code, pid, uid, 0)
    }

    /// What a child's change sends; the times are left at 0.
    pub const fn child(code: u32, pid: i32, uid: u32, status: i32) -> Self {
        Self::queue(abi::SIGCHLD, code as i32, pid, uid, status as u32 as u64)
    }

    /// What an exception sends.
    pub const fn fault(signo: u32, code: u32, addr: u64) -> Self {
        let mut si = Self { signo: signo as i32, code: code as i32, ..Self::ZERO };
        si.fields[0] = addr;
        si
    }

    /// The same without the times that a child used: they differ from run to run.
    #[must_use]
    pub const fn without_times(mut self) -> Self {
        self.fields[2] = 0;
        self.fields[3] = 0;
        self
    }

    /// `si_addr`: the address of a fault.
    pub const fn addr(&self) -> u64 {
        self.fields[0]
    }

    /// `si_pid`: who sent it, or the child that changed.
    pub const fn pid(&self) -> i32 {
        self.fields[0] as i32
    }

    /// `si_uid`.
    pub const fn uid(&self) -> u32 {
        (self.fields[0] >> 32) as u32
    }

    /// `si_value`.
    pub const fn value(&self) -> u64 {
        self.fields[1]
    }

    /// `si_status`: a child's exit code or signal.
    pub const fn status(&self) -> i32 {
        self.fields[1] as i32
    }
}

impl fmt::Debug for SigInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{signo {} errno {} code {}", self.signo, self.errno, self.code)?;
        for (i, v) in self.fields.iter().enumerate().filter(|(_, v)| **v != 0) {
            write!(f, " [{i}]={v:#x}")?;
        }
        f.write_str("}")
    }
}

/// `struct sigcontext`: the interrupted registers.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct SigContext {
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub di: u64,
    pub si: u64,
    pub bp: u64,
    pub bx: u64,
    pub dx: u64,
    pub ax: u64,
    pub cx: u64,
    pub sp: u64,
    pub ip: u64,
    pub flags: u64,
    pub cs: u16,
    pub gs: u16,
    pub fs: u16,
    pub ss: u16,
    pub err: u64,
    pub trapno: u64,
    pub oldmask: u64,
    pub cr2: u64,
    pub fpstate: u64,
    pub reserved: [u64; 8],
}

/// `struct ucontext`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct UContext {
    /// `UC_FP_XSTATE` and friends.
    pub flags: u64,
    /// Always 0 on Linux.
    pub link: u64,
    /// The alternate stack's settings when the signal came.
    pub stack: abi::stack_t,
    /// The registers.
    pub mcontext: SigContext,
    /// The signal mask that sigreturn restores.
    pub sigmask: u64,
}

// linux-raw-sys has neither type; these offsets are those of Linux's
// arch/x86/include/uapi/asm/sigcontext.h and ucontext.h.
const _: () = {
    assert!(size_of::<SigContext>() == 256);
    assert!(offset_of!(SigContext, ip) == 128);
    assert!(offset_of!(SigContext, cs) == 144);
    assert!(offset_of!(SigContext, err) == 152);
    assert!(offset_of!(SigContext, fpstate) == 184);
    assert!(size_of::<UContext>() == 304);
    assert!(offset_of!(UContext, mcontext) == 40);
    assert!(offset_of!(UContext, sigmask) == 296);
};

/// The saved extended state holds an XSAVE image (`uc_flags`).
pub const UC_FP_XSTATE: u64 = 1;
/// The frame holds ss (`uc_flags`).
pub const UC_SIGCONTEXT_SS: u64 = 2;
/// sigreturn takes ss as it is in the frame (`uc_flags`).
pub const UC_STRICT_RESTORE_SS: u64 = 4;

/// First word of the software part of an XSAVE image in a frame.
pub const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
/// The word behind the XSAVE image.
pub const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;

/// The saved extended state of a frame, by byte offsets from its start.
#[derive(Clone, Copy)]
pub struct FpState(pub u64);

/// Offsets into [`FpState`].
#[allow(missing_docs)]
pub mod fp {
    pub const FCW: u64 = 0;
    pub const MXCSR: u64 = 24;
    pub const ST0: u64 = 32;
    pub const XMM0: u64 = 160;
    pub const MAGIC1: u64 = 464;
    pub const EXTENDED_SIZE: u64 = 468;
    pub const XFEATURES: u64 = 472;
    pub const XSTATE_SIZE: u64 = 480;
    pub const XSTATE_BV: u64 = 512;
    pub const XCOMP_BV: u64 = 520;
    pub const HEADER_RESERVED: u64 = 528;
}

impl FpState {
    /// Reads a value inside the image.
    pub fn get<T: Copy>(self, offset: u64) -> T {
        let p = core::ptr::with_exposed_provenance::<T>((self.0 + offset) as usize);
        // SAFETY: the kernel put at least a whole FXSAVE area and, with magic1, a whole
        // XSAVE image with its magic2 there; callers stay within.
        unsafe { p.read_unaligned() }
    }

    /// Changes a value inside the image; sigreturn will see it.
    pub fn set<T: Copy>(self, offset: u64, value: T) {
        let p = core::ptr::with_exposed_provenance_mut::<T>((self.0 + offset) as usize);
        // SAFETY: as for `get`; the image is only read by the kernel.
        unsafe { p.write_unaligned(value) }
    }
}

impl UContext {
    /// The saved extended state.
    pub const fn fpstate(&self) -> FpState {
        FpState(self.mcontext.fpstate)
    }

    /// Whether that is an XSAVE image: magic1 is there without XSAVE too.
    pub const fn has_xsave(&self) -> bool {
        self.mcontext.fpstate != 0 && self.flags & UC_FP_XSTATE != 0
    }
}
