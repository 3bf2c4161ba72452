// SPDX-License-Identifier: GPL-2.0-only
//! placeholder: saving and restoring the user's FPU state.

/// A task's FPU state while it is not in the registers.
pub struct Fpu {}
