// SPDX-License-Identifier: GPL-2.0-only
//! Records of delivered signals (where Linux has the tracepoint `signal_deliver`).

use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::signal::KernelSiginfo;
use crate::kernel::task::Task;

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// A handler runs.
    Handler,
    /// The process dies.
    Kill,
    /// The process dies, of a signal that dumps core.
    Core,
    /// The process stops.
    Stop,
    /// Nothing.
    Ignore,
}

/// `t` has taken the signal `info`, interrupted in the context `regs`.
#[inline(always)]
pub fn signal_deliver(_t: &Task, _info: &KernelSiginfo, _regs: &PtRegs, _action: SignalAction) {}
