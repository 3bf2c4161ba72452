// SPDX-License-Identifier: GPL-2.0-only
//! What an exception means: vector in, signal out. Pure functions of plain data.
//!
//! [`Vector`] names the exceptions of x86_64; [`decide`] is the documents' table (`DO_ERROR`,
//! `fill_trap_info`) and what Linux 6.1, `arch/x86/kernel/traps.c`, says of the vectors that
//! have a handler of their own. Every `match` on [`Vector`] names every vector.

use crate::kernel::signal::sigset::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
use linux_raw_sys::general as raw;

/// `SI_KERNEL`: sent by the kernel, for no reason that has a code.
pub const SI_KERNEL: i32 = raw::SI_KERNEL as i32;
/// Integer division by zero, or its result does not fit.
pub const FPE_INTDIV: i32 = raw::FPE_INTDIV as i32;
/// Illegal operand: any #UD.
pub const ILL_ILLOPN: i32 = raw::ILL_ILLOPN as i32;
/// Misaligned access.
pub const BUS_ADRALN: i32 = raw::BUS_ADRALN as i32;
/// `int1`, or a single step over a system call.
pub const TRAP_BRKPT: i32 = raw::TRAP_BRKPT as i32;
/// Single step (TF).
pub const TRAP_TRACE: i32 = raw::TRAP_TRACE as i32;
/// A debug register's breakpoint.
pub const TRAP_HWBKPT: i32 = raw::TRAP_HWBKPT as i32;

/// DR6 with its reserved bits flipped: which of DR0..DR3 matched.
pub const DR_TRAP_BITS: u64 = 0xf;
/// A bus lock was taken.
pub const DR_BUS_LOCK: u64 = 1 << 11;
/// A single step.
pub const DR_STEP: u64 = 1 << 14;
/// DR6's bits that are 1 when nothing is reported.
pub const DR6_RESERVED: u64 = 0xffff_0ff0;

/// How an entry reaches its handler (`idtentry`'s kinds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// On the interrupted kernel stack, or the task's.
    Plain,
    /// May strike anywhere in the kernel: looks at the GS base, and has its own stack.
    Paranoid,
    /// Its own stack even when user mode was interrupted.
    ParanoidIst,
}

/// The exceptions (Linux 6.1, `arch/x86/include/asm/trapnr.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Vector {
    /// #DE
    DivideError = 0,
    /// #DB
    Debug = 1,
    /// NMI
    Nmi = 2,
    /// #BP
    Breakpoint = 3,
    /// #OF
    Overflow = 4,
    /// #BR
    Bounds = 5,
    /// #UD
    InvalidOp = 6,
    /// #NM
    DeviceNotAvailable = 7,
    /// #DF
    DoubleFault = 8,
    /// The 387's segment overrun: no CPU of 64 bits raises it.
    CoprocessorSegmentOverrun = 9,
    /// #TS
    InvalidTss = 10,
    /// #NP
    SegmentNotPresent = 11,
    /// #SS
    StackSegment = 12,
    /// #GP
    GeneralProtection = 13,
    /// #PF
    PageFault = 14,
    /// Never raised, but for an erratum of the Pentium Pro.
    Spurious = 15,
    /// #MF
    CoprocessorError = 16,
    /// #AC
    AlignmentCheck = 17,
    /// #MC
    MachineCheck = 18,
    /// #XF
    SimdCoprocessorError = 19,
}

impl Vector {
    /// All of them, in order.
    pub const ALL: [Self; 20] = [
        Self::DivideError,
        Self::Debug,
        Self::Nmi,
        Self::Breakpoint,
        Self::Overflow,
        Self::Bounds,
        Self::InvalidOp,
        Self::DeviceNotAvailable,
        Self::DoubleFault,
        Self::CoprocessorSegmentOverrun,
        Self::InvalidTss,
        Self::SegmentNotPresent,
        Self::StackSegment,
        Self::GeneralProtection,
        Self::PageFault,
        Self::Spurious,
        Self::CoprocessorError,
        Self::AlignmentCheck,
        Self::MachineCheck,
        Self::SimdCoprocessorError,
    ];

    /// Its number, as `trapno` in a signal frame.
    pub const fn nr(self) -> u8 {
        self as u8
    }

    /// What the log calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DivideError => "divide error",
            Self::Debug => "debug",
            Self::Nmi => "nmi",
            Self::Breakpoint => "int3",
            Self::Overflow => "overflow",
            Self::Bounds => "bounds",
            Self::InvalidOp => "invalid opcode",
            Self::DeviceNotAvailable => "device not available",
            Self::DoubleFault => "double fault",
            Self::CoprocessorSegmentOverrun => "coprocessor segment overrun",
            Self::InvalidTss => "invalid TSS",
            Self::SegmentNotPresent => "segment not present",
            Self::StackSegment => "stack segment",
            Self::GeneralProtection => "general protection fault",
            Self::PageFault => "page fault",
            Self::Spurious => "spurious interrupt bug",
            Self::CoprocessorError => "fpu exception",
            Self::AlignmentCheck => "alignment check",
            Self::MachineCheck => "machine check",
            Self::SimdCoprocessorError => "simd exception",
        }
    }

    /// The manuals' abbreviation.
    pub const fn mnemonic(self) -> &'static str {
        match self {
            Self::DivideError => "#DE",
            Self::Debug => "#DB",
            Self::Nmi => "NMI",
            Self::Breakpoint => "#BP",
            Self::Overflow => "#OF",
            Self::Bounds => "#BR",
            Self::InvalidOp => "#UD",
            Self::DeviceNotAvailable => "#NM",
            Self::DoubleFault => "#DF",
            Self::CoprocessorSegmentOverrun => "#OLD_MF",
            Self::InvalidTss => "#TS",
            Self::SegmentNotPresent => "#NP",
            Self::StackSegment => "#SS",
            Self::GeneralProtection => "#GP",
            Self::PageFault => "#PF",
            Self::Spurious => "#SPURIOUS",
            Self::CoprocessorError => "#MF",
            Self::AlignmentCheck => "#AC",
            Self::MachineCheck => "#MC",
            Self::SimdCoprocessorError => "#XF",
        }
    }

    /// Whether the CPU pushes an error code.
    pub const fn has_error_code(self) -> bool {
        match self {
            Self::DoubleFault
            | Self::InvalidTss
            | Self::SegmentNotPresent
            | Self::StackSegment
            | Self::GeneralProtection
            | Self::PageFault
            | Self::AlignmentCheck => true,
            Self::DivideError
            | Self::Debug
            | Self::Nmi
            | Self::Breakpoint
            | Self::Overflow
            | Self::Bounds
            | Self::InvalidOp
            | Self::DeviceNotAvailable
            | Self::CoprocessorSegmentOverrun
            | Self::Spurious
            | Self::CoprocessorError
            | Self::MachineCheck
            | Self::SimdCoprocessorError => false,
        }
    }

    /// How its entry works.
    pub const fn entry_kind(self) -> EntryKind {
        match self {
            Self::Debug | Self::Breakpoint | Self::MachineCheck => EntryKind::Paranoid,
            Self::Nmi | Self::DoubleFault => EntryKind::ParanoidIst,
            Self::DivideError
            | Self::Overflow
            | Self::Bounds
            | Self::InvalidOp
            | Self::DeviceNotAvailable
            | Self::CoprocessorSegmentOverrun
            | Self::InvalidTss
            | Self::SegmentNotPresent
            | Self::StackSegment
            | Self::GeneralProtection
            | Self::PageFault
            | Self::Spurious
            | Self::CoprocessorError
            | Self::AlignmentCheck
            | Self::SimdCoprocessorError => EntryKind::Plain,
        }
    }
}

/// What `si_addr` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addr {
    /// Zero.
    None,
    /// The instruction pointer.
    Ip,
}

/// What the log says if nobody handles the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLine {
    /// Nothing.
    None,
    /// `COMM[TID] trap NAME ip:…`
    Trap,
    /// `COMM[TID] NAME ip:…`
    Plain,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// User mode gets a signal.
    Signal {
        /// Its number.
        sig: i32,
        /// Its code.
        code: i32,
        /// Its address.
        addr: Addr,
        /// Its log line.
        log: LogLine,
    },
    /// The kernel did it: continue where the exception table says, or die.
    FixupOrDie,
    /// The kernel did it, and no table entry can be meant.
    Die,
    /// Nothing is to be done.
    Nothing,
    /// The machine stops.
    Panic,
    /// Decided elsewhere: page faults by the address space, NMIs by their reason.
    Elsewhere,
}

/// What is known of an exception.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// User mode was interrupted.
    pub from_user: bool,
    /// #DB: DR6 in positive polarity (see [`DR6_RESERVED`]), and `virtual_dr6`.
    pub dr6: u64,
    /// #MF, #XF: the unmasked exceptions that are pending (see [`fpu_exceptions`]).
    pub fpu: u16,
}

const fn signal(sig: i32, code: i32, addr: Addr, log: LogLine) -> Decision {
    Decision::Signal { sig, code, addr, log }
}

/// The documents' `DO_ERROR` and `fill_trap_info`: a signal without a code of its own carries
/// `SI_KERNEL` and no address.
const fn do_error(sig: i32) -> Decision {
    signal(sig, SI_KERNEL, Addr::None, LogLine::Trap)
}

/// What an exception means.
pub const fn decide(vector: Vector, facts: &Facts) -> Decision {
    if facts.from_user { decide_user(vector, facts) } else { decide_kernel(vector) }
}

const fn decide_user(vector: Vector, facts: &Facts) -> Decision {
    match vector {
        Vector::DivideError => signal(SIGFPE, FPE_INTDIV, Addr::Ip, LogLine::Trap),
        Vector::InvalidOp => signal(SIGILL, ILL_ILLOPN, Addr::Ip, LogLine::Trap),
        Vector::Overflow | Vector::Bounds | Vector::InvalidTss => do_error(SIGSEGV),
        Vector::SegmentNotPresent | Vector::StackSegment => do_error(SIGBUS),
        Vector::CoprocessorSegmentOverrun => do_error(SIGFPE),
        Vector::AlignmentCheck => signal(SIGBUS, BUS_ADRALN, Addr::None, LogLine::Trap),
        Vector::Breakpoint => do_error(SIGTRAP),
        Vector::GeneralProtection => signal(SIGSEGV, SI_KERNEL, Addr::None, LogLine::Plain),
        Vector::Debug => decide_debug(facts.dr6),
        Vector::CoprocessorError | Vector::SimdCoprocessorError => match fpu_exception_code(facts.fpu) {
            0 => Decision::Nothing,
            code => signal(SIGFPE, code, Addr::Ip, LogLine::None),
        },
        Vector::Spurious => Decision::Nothing,
        // With the FPU always loaded there is no reason for #NM.
        Vector::DeviceNotAvailable | Vector::DoubleFault => Decision::Die,
        Vector::MachineCheck => Decision::Panic,
        Vector::PageFault | Vector::Nmi => Decision::Elsewhere,
    }
}

const fn decide_kernel(vector: Vector) -> Decision {
    match vector {
        Vector::DivideError
        | Vector::Overflow
        | Vector::InvalidOp
        | Vector::CoprocessorSegmentOverrun
        | Vector::InvalidTss
        | Vector::SegmentNotPresent
        | Vector::StackSegment
        | Vector::GeneralProtection
        | Vector::CoprocessorError
        | Vector::SimdCoprocessorError => Decision::FixupOrDie,
        Vector::Bounds
        | Vector::Breakpoint
        | Vector::DeviceNotAvailable
        | Vector::DoubleFault
        | Vector::AlignmentCheck => Decision::Die,
        // A breakpoint on user memory that the kernel has touched is only noted, for the tracer
        // (6.1, `exc_debug_kernel`; the documents' `do_debug` did signal it).
        Vector::Debug | Vector::Spurious => Decision::Nothing,
        Vector::MachineCheck => Decision::Panic,
        Vector::PageFault | Vector::Nmi => Decision::Elsewhere,
    }
}

/// A #DB that user mode is to hear of: why is in DR6; if nothing is, it was `int1`.
const fn decide_debug(dr6: u64) -> Decision {
    if dr6 != 0 && dr6 & (DR_STEP | DR_TRAP_BITS) == 0 {
        return Decision::Nothing;
    }
    signal(SIGTRAP, get_si_code(dr6), Addr::Ip, LogLine::None)
}

/// `TRAP_*` for DR6's reasons.
pub const fn get_si_code(dr6: u64) -> i32 {
    if dr6 & DR_STEP != 0 {
        TRAP_TRACE
    } else if dr6 & DR_TRAP_BITS != 0 {
        TRAP_HWBKPT
    } else {
        TRAP_BRKPT
    }
}

/// The pending exceptions that are not masked: of the x87, from its status and control words;
/// with `None`, of SSE, from MXCSR.
pub const fn fpu_exceptions(status: u32, control: Option<u16>) -> u16 {
    let masked = match control {
        Some(c) => c as u32,
        None => status >> 7,
    };
    (status & !masked & 0x3f) as u16
}

/// `FPE_*` for pending exceptions, 0 for none (Linux 6.1, `fpu__exception_code`): of several
/// the first of invalid, zero divide, overflow, underflow or denormal, precision.
pub const fn fpu_exception_code(pending: u16) -> i32 {
    if pending & 0x01 != 0 {
        raw::FPE_FLTINV as i32
    } else if pending & 0x04 != 0 {
        raw::FPE_FLTDIV as i32
    } else if pending & 0x08 != 0 {
        raw::FPE_FLTOVF as i32
    } else if pending & 0x12 != 0 {
        raw::FPE_FLTUND as i32
    } else if pending & 0x20 != 0 {
        raw::FPE_FLTRES as i32
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> Facts {
        Facts { from_user: true, ..Facts::default() }
    }

    #[test]
    fn numbers_are_positions() {
        for (i, v) in Vector::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(v.nr()), i);
        }
    }

    /// The measured record of Linux 6.1, as far as it comes from the decision.
    #[test]
    fn records_of_user_mode() {
        for (v, sig, code, addr, log) in [
            (Vector::DivideError, 8, 1, Addr::Ip, LogLine::Trap),
            (Vector::Breakpoint, 5, 128, Addr::None, LogLine::Trap),
            (Vector::Overflow, 11, 128, Addr::None, LogLine::Trap),
            (Vector::Bounds, 11, 128, Addr::None, LogLine::Trap),
            (Vector::InvalidOp, 4, 2, Addr::Ip, LogLine::Trap),
            (Vector::SegmentNotPresent, 7, 128, Addr::None, LogLine::Trap),
            (Vector::StackSegment, 7, 128, Addr::None, LogLine::Trap),
            (Vector::GeneralProtection, 11, 128, Addr::None, LogLine::Plain),
            (Vector::AlignmentCheck, 7, 1, Addr::None, LogLine::Trap),
        ] {
            assert_eq!(decide(v, &user()), Decision::Signal { sig, code, addr, log }, "{v:?}");
        }
    }

    #[test]
    fn debug_exceptions_say_why() {
        let code = |dr6| match decide(Vector::Debug, &Facts { dr6, ..user() }) {
            Decision::Signal { sig: SIGTRAP, code, addr: Addr::Ip, log: LogLine::None } => Some(code),
            _ => None,
        };
        assert_eq!(code(DR_STEP), Some(TRAP_TRACE));
        assert_eq!(code(DR_STEP | 1), Some(TRAP_TRACE));
        assert_eq!(code(4), Some(TRAP_HWBKPT));
        assert_eq!(code(0), Some(TRAP_BRKPT));
        assert_eq!(code(DR_BUS_LOCK), None);
    }

    #[test]
    fn the_kernel_never_gets_a_signal_for_its_own_faults() {
        for v in Vector::ALL {
            let d = decide(v, &Facts::default());
            assert!(!matches!(d, Decision::Signal { .. }), "{v:?}: {d:?}");
        }
        assert_eq!(decide(Vector::GeneralProtection, &Facts::default()), Decision::FixupOrDie);
        assert_eq!(decide(Vector::Breakpoint, &Facts::default()), Decision::Die);
    }

    #[test]
    fn float_exceptions() {
        // x87: zero divide pending; masked, unmasked.
        assert_eq!(fpu_exceptions(0x4, Some(0x37f)), 0);
        assert_eq!(fpu_exceptions(0x4, Some(0x37b)), 4);
        // MXCSR: overflow and precision pending, only overflow unmasked.
        assert_eq!(fpu_exceptions(0x1b80 | 0x28, None), 8);
        assert_eq!(fpu_exceptions(0x1f80 | 0x3f, None), 0);
        for (pending, code) in [(0x3f, 7), (0x3e, 4 - 1), (0x08, 4), (0x10, 5), (0x02, 5), (0x20, 6), (0, 0)]
        {
            assert_eq!(fpu_exception_code(pending), code, "{pending:#x}");
        }
        let facts = Facts { fpu: 0, ..user() };
        assert_eq!(decide(Vector::SimdCoprocessorError, &facts), Decision::Nothing);
        let facts = Facts { fpu: 4, ..user() };
        assert_eq!(
            decide(Vector::CoprocessorError, &facts),
            Decision::Signal { sig: SIGFPE, code: 3, addr: Addr::Ip, log: LogLine::None }
        );
    }
    /// The six exceptions of the x87 and of SSE, where their flags are, and what each is called
    /// in a `siginfo`: the manuals' and the documents' rule, in the order in which it is asked.
    const RULE: [(&str, u32, i32); 6] = [
        ("invalid operation", 0, 7), // FPE_FLTINV
        ("divide by zero", 2, 3),    // FPE_FLTDIV
        ("overflow", 3, 4),          // FPE_FLTOVF
        ("underflow", 4, 5),         // FPE_FLTUND
        ("denormal operand", 1, 5),  // FPE_FLTUND
        ("inexact result", 5, 6),    // FPE_FLTRES
    ];

    /// The code by the rule: of the first exception that is flagged and not masked; none, no code.
    fn by_rule(flagged: impl Fn(u32) -> bool, masked: impl Fn(u32) -> bool) -> i32 {
        RULE.iter().find(|(_, at, _)| flagged(*at) && !masked(*at)).map_or(0, |(_, _, code)| *code)
    }

    fn delivered(vector: Vector, fpu: u16, code: i32) -> bool {
        let wanted = match code {
            0 => Decision::Nothing,
            code => Decision::Signal { sig: SIGFPE, code, addr: Addr::Ip, log: LogLine::None },
        };
        decide(vector, &Facts { fpu, ..user() }) == wanted
    }

    /// Every status word with every set of masks, and with other bits in the control word.
    #[test]
    fn every_x87_exception() {
        let mut codes = [0u32; 8];
        for status in 0..=u16::MAX {
            for masks in 0..64u16 {
                let code = by_rule(|at| status & 1 << at != 0, |at| masks & 1 << at != 0);
                codes[code as usize] += 1;
                for others in [0, 0x340, 0xffc0] {
                    let fpu = fpu_exceptions(u32::from(status), Some(masks | others));
                    assert_eq!(fpu_exception_code(fpu), code, "status {status:#x} control {masks:#x}");
                    assert!(delivered(Vector::CoprocessorError, fpu, code));
                }
            }
        }
        // Half of all pairs of flag and mask are quiet in three ways of four: (3/4)^6, and so on.
        let unit = (1 << 22) / 4096;
        let share = |quiet: u32, rest: u32| 3u32.pow(quiet) * rest * unit;
        assert_eq!(codes[7], share(0, 1024));
        assert_eq!(codes[3], share(1, 256));
        assert_eq!(codes[4], share(2, 64));
        assert_eq!(codes[5], share(3, 16) + share(4, 4));
        assert_eq!(codes[6], share(5, 1));
        assert_eq!(codes[0], share(6, 1));
    }

    /// Every value of MXCSR's defined half.
    #[test]
    fn every_sse_exception() {
        for mxcsr in 0..=u16::MAX {
            let code = by_rule(|at| mxcsr & 1 << at != 0, |at| mxcsr & 0x80 << at != 0);
            let fpu = fpu_exceptions(u32::from(mxcsr), None);
            assert_eq!(fpu_exception_code(fpu), code, "mxcsr {mxcsr:#x}");
            assert!(delivered(Vector::SimdCoprocessorError, fpu, code));
        }
    }
}
