// SPDX-License-Identifier: GPL-2.0-only
//! Keeping each task's FPU, SSE, AVX and PKRU state apart (Linux 6.1,
//! `arch/x86/kernel/fpu/core.c`).
//!
//! Eager mode, the default: the state is saved and restored at every task switch. The
//! kernel is compiled without these registers, so between switches they belong to the
//! running task, also while it is in the kernel.
//!
//! Lazy mode (`eagerfpu=off`), which Linux lost in 4.9 and the documents describe: a task
//! gets its state when it first uses a register. Until then CR0.TS is set, and the use
//! raises #NM ([`Fpu::fpu__restore`]). A task's registers are *active* while CR0.TS is
//! clear for it; they are saved when it is switched away, and stay in the CPU for the case
//! that it is the next one to want them (`fpu_owner`). Who used them in many turns running
//! gets them at the switch, without the exception.
//!
//! Soft mode (`no387`): there are no registers. The image is the state, which the
//! [emulator](crate::arch::x86::math_emu) works on.

use super::regset::Fxsave;
use super::{legacy, xstate};
use crate::arch::x86::math_emu::fpu_system::SoftFpu;
use crate::arch::x86::percpu::this_cpu;
use crate::errno::Result;
use crate::extable;
use crate::kernel::task::current;
use crate::mm::page_alloc::Page;
use core::arch::asm;
use core::cell::Cell;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// A task's FPU state while it is not in the registers: an XSAVE image in standard
/// format (or an FXSAVE image, on CPUs without XSAVE), in a page of its own.
pub struct Fpu {
    image: Page,
    /// Lazy mode: the registers hold this task's state, and it may use them.
    active: Cell<bool>,
    /// Lazy mode: turns in a row in which it used them. It wraps, so that who stopped using
    /// them is found out now and then (Linux 4.2, `struct fpu`).
    counter: Cell<u8>,
}

/// More turns than this with the FPU, and the state is loaded at the switch
/// (Linux 4.2, `switch_fpu_prepare`).
const PRELOAD_AFTER: u8 = 5;

/// When the state is switched.
static MODE: AtomicU8 = AtomicU8::new(EAGER);
/// When tasks are.
const EAGER: u8 = 0;
/// When it is used.
const LAZY: u8 = 1;
/// Never: it is in memory only.
const SOFT: u8 = 2;

/// Whether the state is switched when tasks are (`use_eager_fpu`).
#[inline]
fn use_eager_fpu() -> bool {
    MODE.load(Relaxed) == EAGER
}

/// Whether the state is switched when it is used, not when tasks are.
#[inline]
pub fn use_lazy_fpu() -> bool {
    MODE.load(Relaxed) == LAZY
}

/// Whether the FPU is emulated.
#[inline]
pub fn use_soft_fpu() -> bool {
    MODE.load(Relaxed) == SOFT
}

/// `eagerfpu=off`; at boot, before the first task.
pub fn set_lazy_fpu() {
    MODE.store(LAZY, Relaxed);
    stts();
}

/// `no387`; at boot, before the first task. CR0.EM makes every instruction of the FPU raise
/// #NM, but for `fwait`, for which CR0.TS does.
pub fn set_soft_fpu() {
    MODE.store(SOFT, Relaxed);
    #[cfg(target_os = "none")]
    {
        use x86_64::registers::control::{Cr0, Cr0Flags};
        // SAFETY: concerns only the instructions of the FPU, which the kernel does not use now.
        unsafe { Cr0::write(Cr0::read() | Cr0Flags::EMULATE_COPROCESSOR) };
    }
    stts();
}

/// Lets the FPU's instructions run.
fn clts() {
    // SAFETY: concerns only whether the FPU's instructions trap.
    #[cfg(target_os = "none")]
    unsafe {
        asm!("clts", options(nomem, nostack, preserves_flags));
    }
}

/// Makes the next use of the FPU raise #NM.
fn stts() {
    #[cfg(target_os = "none")]
    {
        use x86_64::registers::control::{Cr0, Cr0Flags};
        // SAFETY: as in `clts`.
        unsafe { Cr0::write(Cr0::read() | Cr0Flags::TASK_SWITCHED) };
    }
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
        } else if xstate::use_fxsr() {
            asm!("fxsave64 [{}]", in(reg) p, options(nostack, preserves_flags));
        } else {
            legacy::fnsave(&mut *p.cast());
        }
    }
}

/// Loads the registers from `p` (`os_xrstor`). An image that the CPU refuses leaves them in their
/// initial state, and a warning in the log.
///
/// # Safety
/// `p` must be 64-byte aligned, and readable for `xstate::user_size()` bytes.
#[inline]
unsafe fn restore_from(p: *const u8) {
    // SAFETY: as promised; the instruction is one the CPU has, and its faults continue behind it.
    unsafe {
        if xstate::use_xsave() {
            asm!("2: xrstor64 [{}]", "3:", extable!("2", "3b", 6), in(reg) p, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack, preserves_flags));
        } else if xstate::use_fxsr() {
            asm!("2: fxrstor64 [{}]", "3:", extable!("2", "3b", 6), in(reg) p, options(nostack, preserves_flags));
        } else {
            legacy::frstor(&*p.cast());
        }
    }
}

/// The CPU has refused an image: the registers get their initial state
/// (`fpu_reset_from_exception_fixup`).
#[cold]
pub fn fpu_reset_from_exception_fixup() {
    // SAFETY: a valid image of all-initial components.
    unsafe { restore_from(INIT_FPSTATE.0.as_ptr()) };
    write_pkru(PKRU_INIT);
}

impl Fpu {
    /// Initial state.
    pub fn new() -> Result<Self> {
        let image = Page::alloc_zeroed()?;
        image.write(0, &INIT_FPSTATE.0[..32]);
        Ok(Self { image, active: Cell::new(false), counter: Cell::new(0) })
    }

    #[inline]
    fn save(&self) {
        // SAFETY: a page is aligned and larger than any state that is enabled.
        unsafe { save_to(self.image.as_ptr()) };
    }

    #[inline]
    fn restore(&self) {
        // SAFETY: the page holds what `new` or `save` put there.
        unsafe { restore_from(self.image.as_ptr()) };
    }

    /// A child's state: that of the running task, whose `parent` is (`fpu__copy`).
    pub fn copy_from(&self, parent: &Self) {
        if use_eager_fpu() || parent.active.get() {
            self.save();
        } else {
            self.image.copy_from(&parent.image);
        }
    }

    /// Brings the running task's image up to date (`fpu__save`).
    pub fn sync(&self) {
        if use_eager_fpu() || self.active.get() {
            self.save();
        }
    }

    /// Switches from the running task's registers to `next`'s; interrupts are off
    /// (`switch_fpu_prepare`, `switch_fpu_finish`).
    #[inline]
    pub fn switch_to(&self, next: &Self) {
        if !use_eager_fpu() {
            return self.switch_lazily(next);
        }
        self.save();
        next.restore();
    }

    #[cold]
    fn switch_lazily(&self, next: &Self) {
        if use_soft_fpu() {
            return;
        }
        let was_active = self.active.replace(false);
        if was_active {
            self.save();
        } else {
            self.counter.set(0);
        }
        if next.counter.get() > PRELOAD_AFTER {
            if !was_active {
                clts();
            }
            next.load_registers();
        } else if was_active {
            stts();
        }
    }

    /// The registers become this task's, unless they are still.
    fn load_registers(&self) {
        let owner = &this_cpu().fpu_owner;
        if !core::ptr::eq(owner.get(), self) {
            self.restore();
            owner.set(self);
        }
        self.active.set(true);
        self.counter.set(self.counter.get().wrapping_add(1));
    }

    /// The running task wants its registers: #NM, or the kernel on its behalf.
    #[allow(non_snake_case)] // the documents' name
    #[cold]
    pub fn fpu__restore(&self) {
        let irqs = crate::locking::local_irq_save();
        clts();
        self.load_registers();
        crate::locking::local_irq_restore(irqs);
    }

    /// The registers are to be overwritten for the running task: whatever is in them now
    /// is lost.
    fn take_registers(&self) {
        clts();
        this_cpu().fpu_owner.set(self);
        self.active.set(true);
    }

    /// The state is that of a new program, and not in the registers (`fpu__drop`).
    fn drop_state(&self) {
        let irqs = crate::locking::local_irq_save();
        if core::ptr::eq(this_cpu().fpu_owner.get(), self) {
            this_cpu().fpu_owner.set(core::ptr::null());
        }
        self.active.set(false);
        self.counter.set(0);
        self.init_image();
        stts();
        crate::locking::local_irq_restore(irqs);
    }

    fn init_image(&self) {
        self.image.clear();
        self.image.write(0, &INIT_FPSTATE.0[..32]);
    }

    /// The first 512 bytes of the image.
    fn fxsave_image(&self) -> Fxsave {
        let mut fx = Fxsave::EMPTY;
        self.image.read(0, &mut fx.0);
        fx
    }

    /// The running task's state, for the emulator.
    pub fn soft(&self) -> SoftFpu {
        SoftFpu::from_x87(&self.fxsave_image().x87())
    }

    /// What the emulator has made of it.
    pub fn set_soft(&self, fpu: &SoftFpu) {
        let mut fx = self.fxsave_image();
        fx.set_x87(&fpu.to_x87());
        self.image.write(0, &fx.0);
    }

    /// The image of a task that does not run was changed: registers that the CPU still keeps for
    /// it are out of date (`fpu_force_restore`).
    pub fn image_changed(&self) {
        if core::ptr::eq(this_cpu().fpu_owner.get(), self) {
            this_cpu().fpu_owner.set(core::ptr::null());
        }
    }

    /// The saved image.
    pub fn image(&self) -> &Page {
        &self.image
    }
}

impl Drop for Fpu {
    /// Registers that the CPU still keeps for this task must not be found again by another
    /// one that gets the same memory.
    fn drop(&mut self) {
        if use_lazy_fpu() && core::ptr::eq(this_cpu().fpu_owner.get(), self) {
            this_cpu().fpu_owner.set(core::ptr::null());
        }
    }
}

/// The running task's registers are in the CPU after this: before the kernel reads or
/// changes some of them for it (`fpregs_activate`).
#[inline]
pub fn fpregs_activate() {
    if use_lazy_fpu() && !current().thread().fpu.active.get() {
        current().thread().fpu.fpu__restore();
    }
}

/// Puts the registers into their initial state, PKRU included
/// (`fpu__clear_user_states`): for a new program or a signal handler.
#[inline]
pub fn fpu_clear_user_states() {
    if !use_eager_fpu() {
        let cur = current();
        let fpu = &cur.thread().fpu;
        if use_soft_fpu() {
            return fpu.init_image();
        }
        fpu.take_registers();
    }
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

/// The running task's first 512 bytes.
pub fn fxregs() -> Fxsave {
    if use_soft_fpu() {
        return current().thread().fpu.fxsave_image();
    }
    fpregs_activate();
    let mut fx = Fxsave::EMPTY;
    if xstate::use_fxsr() {
        // SAFETY: aligned room of our own.
        unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut fx, options(nostack)) };
    } else {
        fx.0[..32].copy_from_slice(&INIT_FPSTATE.0[..32]);
        legacy::fnsave(&mut fx);
    }
    fx
}

/// Loads them; MXCSR in them must be one that [`fxregs`] has given.
pub fn set_fxregs(fx: &Fxsave) {
    if use_soft_fpu() {
        return current().thread().fpu.set_soft(&SoftFpu::from_x87(&fx.x87()));
    }
    fpregs_activate();
    if !xstate::use_fxsr() {
        return legacy::frstor(fx);
    }
    // SAFETY: an image of ours, of which a bad one goes the way of `restore_from`'s.
    unsafe { asm!("2: fxrstor64 [{}]", "3:", extable!("2", "3b", 6), in(reg) fx, options(nostack)) };
}

/// A new program's FPU (`fpu_flush_thread`).
pub fn flush_thread() {
    if use_lazy_fpu() {
        return current().thread().fpu.drop_state();
    }
    fpu_clear_user_states();
}

#[cfg(target_os = "none")]
mod kunit {
    use super::*;
    use crate::kernel::kunit::Kunit;
    use crate::{kunit_assert_eq, kunit_suite};
    use xstate::XSAVE_HDR_OFFSET;

    kunit_suite! { "fpu": a_bad_image_is_not_fatal }

    /// Control word and MXCSR now.
    fn controls() -> (u16, u32) {
        let fx = fxregs().0;
        (u16::from_le_bytes([fx[0], fx[1]]), u32::from_le_bytes([fx[24], fx[25], fx[26], fx[27]]))
    }

    fn a_bad_image_is_not_fatal(test: &mut Kunit) {
        if !xstate::use_xsave() {
            return test.skip("no XSAVE");
        }
        let Ok(fpu) = Fpu::new() else {
            return test.skip("no memory");
        };
        // All exceptions but one masked, and components that are in the image.
        fpu.image.write(0, &0x037bu16.to_le_bytes());
        fpu.image.write(24, &0x1d80u32.to_le_bytes());
        fpu.image.write(XSAVE_HDR_OFFSET, &xstate::xfeature::FPSSE.to_le_bytes());
        fpu.restore();
        kunit_assert_eq!(test, controls(), (0x037b, 0x1d80));
        // A format that is not this one, which no CPU takes.
        fpu.image.write(XSAVE_HDR_OFFSET + 8, &1u64.to_le_bytes());
        fpu.restore();
        kunit_assert_eq!(test, controls(), (FCW_INIT, MXCSR_INIT));
    }
}
