// SPDX-License-Identifier: GPL-2.0-only
//! Keeping each task's FPU, SSE, AVX and PKRU state apart (Linux 6.1,
//! `arch/x86/kernel/fpu/core.c`).
//!
//! Eager mode: the state is saved and restored at every task switch. The kernel
//! is compiled without these registers, so between switches they belong to the
//! running task, also while it is in the kernel.

use super::xstate;
use crate::errno::Result;
use crate::mm::page_alloc::Page;
use core::arch::asm;

/// A task's FPU state while it is not in the registers: an XSAVE image in standard
/// format (or an FXSAVE image, on CPUs without XSAVE), in a page of its own.
pub struct Fpu {
    image: Page,
}

/// Initial x87 control word.
pub const FCW_INIT: u16 = 0x037f;
/// Initial MXCSR.
pub const MXCSR_INIT: u32 = 0x1f80;
/// Initial PKRU: no access but to key 0 (`init_pkru_value`).
pub const PKRU_INIT: u32 = 0x5555_5554;

/// The state a program starts with, and a signal handler: an image whose
/// components are all in their initial configuration.
#[repr(C, align(64))]
struct InitImage([u8; 4096]);

static INIT_FPSTATE: InitImage = {
    let mut b = [0; 4096];
    let fcw = FCW_INIT.to_le_bytes();
    b[0] = fcw[0];
    b[1] = fcw[1];
    let mxcsr = MXCSR_INIT.to_le_bytes();
    b[24] = mxcsr[0];
    b[25] = mxcsr[1];
    InitImage(b)
};

/// Saves the registers to `p` (`os_xsave`).
///
/// # Safety
/// `p` must be 64-byte aligned, writable, and large enough for `xstate::user_size()`.
#[inline]
unsafe fn save_to(p: *mut u8) {
    // SAFETY: as promised; the instruction is one the CPU has.
    unsafe {
        if xstate::use_xsave() {
            asm!("xsave64 [{}]", in(reg) p, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack, preserves_flags));
        } else {
            asm!("fxsave64 [{}]", in(reg) p, options(nostack, preserves_flags));
        }
    }
}

/// Loads the registers from `p` (`os_xrstor`).
///
/// # Safety
/// `p` must hold a valid image, as `save_to` writes it.
#[inline]
unsafe fn restore_from(p: *const u8) {
    // SAFETY: as promised; the instruction is one the CPU has.
    unsafe {
        if xstate::use_xsave() {
            asm!("xrstor64 [{}]", in(reg) p, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack, preserves_flags));
        } else {
            asm!("fxrstor64 [{}]", in(reg) p, options(nostack, preserves_flags));
        }
    }
}

impl Fpu {
    /// Initial state.
    pub fn new() -> Result<Self> {
        let image = Page::alloc_zeroed()?;
        image.write(0, &INIT_FPSTATE.0[..32]);
        Ok(Self { image })
    }

    /// Saves the CPU's registers here: at a switch away, or for a forked child.
    #[inline]
    pub fn save_current(&self) {
        // SAFETY: a page is aligned and larger than any state that is enabled.
        unsafe { save_to(self.image.as_ptr()) };
    }

    /// Loads the CPU's registers from here: at a switch to this task.
    #[inline]
    pub fn restore(&self) {
        // SAFETY: the page holds what `new` or `save_current` put there.
        unsafe { restore_from(self.image.as_ptr()) };
    }

    /// The saved image.
    pub fn image(&self) -> &Page {
        &self.image
    }
}

/// Puts the registers into their initial state, PKRU included
/// (`fpu__clear_user_states`): for a new program or a signal handler.
#[inline]
pub fn fpu_clear_user_states() {
    // SAFETY: a valid image of all-initial components.
    unsafe { restore_from(INIT_FPSTATE.0.as_ptr()) };
    write_pkru(PKRU_INIT);
}

/// Writes PKRU where protection keys are on.
#[inline]
pub fn write_pkru(v: u32) {
    #[cfg(target_os = "none")]
    if crate::arch::x86::kernel::cpu::has_ospke() {
        // SAFETY: CR4.PKE is set; PKRU concerns user pages only.
        unsafe { asm!("wrpkru", in("eax") v, in("ecx") 0, in("edx") 0, options(nostack, preserves_flags)) };
    }
    #[cfg(not(target_os = "none"))]
    let _ = v;
}

/// A new program's FPU (`fpu_flush_thread`).
pub fn flush_thread() {
    fpu_clear_user_states();
}
