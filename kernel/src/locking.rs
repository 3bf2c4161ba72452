// SPDX-License-Identifier: GPL-2.0-only
//! Spinlocks that know about interrupts.
//!
//! * [`SpinLock`]: taken in process context only, never from an interrupt
//!   handler; interrupts stay as they are (Linux's `spin_lock`).
//! * [`IrqLock`]: interrupts are off while it is held (Linux's
//!   `spin_lock_irqsave`); the only kind an interrupt handler may take.
//!
//! Neither may be held across [`schedule`](crate::kernel::sched::schedule), nor
//! taken from NMI context. The kernel is not preempted while it runs, so on
//! one CPU a `SpinLock` is never contended; the spinning is what makes the code
//! ready for more CPUs.

use core::ops::{Deref, DerefMut};

/// Whether interrupts are enabled on this CPU.
pub fn irqs_enabled() -> bool {
    #[cfg(target_os = "none")]
    {
        x86_64::instructions::interrupts::are_enabled()
    }
    #[cfg(not(target_os = "none"))]
    {
        true
    }
}

/// Disables interrupts, returning whether they were enabled (`local_irq_save`).
#[inline(always)]
pub fn local_irq_save() -> bool {
    #[cfg(target_os = "none")]
    {
        let flags: u64;
        // SAFETY: reads RFLAGS and clears IF; the caller restores it.
        unsafe { core::arch::asm!("pushfq", "pop {}", "cli", out(reg) flags) };
        flags & 0x200 != 0
    }
    #[cfg(not(target_os = "none"))]
    {
        false
    }
}

/// Puts interrupts back as `local_irq_save` found them.
#[inline(always)]
pub fn local_irq_restore(enabled: bool) {
    #[cfg(target_os = "none")]
    if enabled {
        local_irq_enable();
    }
    #[cfg(not(target_os = "none"))]
    let _ = enabled;
}

/// Enables interrupts.
#[inline(always)]
pub fn local_irq_enable() {
    #[cfg(target_os = "none")]
    // SAFETY: enabling interrupts is always sound; handlers only take `IrqLock`s.
    unsafe {
        core::arch::asm!("sti");
    };
}

/// Disables interrupts.
#[inline(always)]
pub fn local_irq_disable() {
    #[cfg(target_os = "none")]
    // SAFETY: disabling interrupts is always sound.
    unsafe {
        core::arch::asm!("cli");
    };
}

/// A lock for process context.
#[derive(Default)]
pub struct SpinLock<T: ?Sized>(spin::Mutex<T>);

impl<T> SpinLock<T> {
    /// A new, unlocked lock.
    pub const fn new(v: T) -> Self {
        Self(spin::Mutex::new(v))
    }
    /// The value, by move.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Takes the lock.
    #[inline]
    pub fn lock(&self) -> spin::MutexGuard<'_, T> {
        assert_not_nmi();
        self.0.lock()
    }
    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<spin::MutexGuard<'_, T>> {
        self.0.try_lock()
    }
}

/// In debug builds: no lock is waited for in an NMI, whose interrupted code may hold it. (An oops goes
/// on regardless: what it waits for is broken anyway.)
#[inline(always)]
fn assert_not_nmi() {
    #[cfg(all(debug_assertions, target_os = "none"))]
    {
        use crate::arch::x86::kernel::irq::in_nmi;
        debug_assert!(!in_nmi() || crate::kernel::panic::oops_in_progress(), "a lock in NMI context");
    }
}

/// A lock that keeps interrupts off while it is held.
#[derive(Default)]
pub struct IrqLock<T: ?Sized>(spin::Mutex<T>);

/// Holds an [`IrqLock`]; dropping it unlocks, then restores interrupts.
pub struct IrqGuard<'a, T: ?Sized> {
    guard: core::mem::ManuallyDrop<spin::MutexGuard<'a, T>>,
    irqs: bool,
}

impl<T> IrqLock<T> {
    /// A new, unlocked lock.
    pub const fn new(v: T) -> Self {
        Self(spin::Mutex::new(v))
    }
}

impl<T: ?Sized> IrqLock<T> {
    /// Disables interrupts and takes the lock.
    #[inline]
    pub fn lock(&self) -> IrqGuard<'_, T> {
        assert_not_nmi();
        let irqs = local_irq_save();
        IrqGuard { guard: core::mem::ManuallyDrop::new(self.0.lock()), irqs }
    }
    /// Takes the lock if it is free; interrupts are off only on success.
    pub fn try_lock(&self) -> Option<IrqGuard<'_, T>> {
        let irqs = local_irq_save();
        if let Some(g) = self.0.try_lock() {
            Some(IrqGuard { guard: core::mem::ManuallyDrop::new(g), irqs })
        } else {
            local_irq_restore(irqs);
            None
        }
    }
}

impl<T: ?Sized> Deref for IrqGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> DerefMut for IrqGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T: ?Sized> Drop for IrqGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: dropped once, here; the guard is not used afterwards.
        unsafe { core::mem::ManuallyDrop::drop(&mut self.guard) };
        local_irq_restore(self.irqs);
    }
}
