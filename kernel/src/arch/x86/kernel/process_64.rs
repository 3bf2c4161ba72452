// SPDX-License-Identifier: GPL-2.0-only
//! Switching tasks, and what a task's architecture state is.
//! After Linux 6.1, `arch/x86/kernel/process_64.c`, `arch/x86/entry/entry_64.S` (`__switch_to_asm`).

use crate::arch::x86::kernel::fpu::core::Fpu;
use crate::errno::Result;
use crate::mm::vmalloc;
use core::cell::{Cell, RefCell};

/// Size of a kernel stack: 16 KiB, as in Linux (`THREAD_SIZE`).
pub const THREAD_SIZE: usize = 16 * 1024;

/// A kernel stack in the vmalloc area, with an unmapped guard page below.
pub struct KernelStack {
    area: Option<vmalloc::StackArea>,
    top: usize,
}

impl KernelStack {
    /// Allocates and maps a stack.
    pub fn new() -> Result<Self> {
        let area = vmalloc::StackArea::new(THREAD_SIZE)?;
        let top = area.top();
        Ok(Self { area: Some(area), top })
    }
    /// Wraps the boot stack, which is part of the image.
    pub const fn from_static(top: usize) -> Self {
        Self { area: None, top }
    }
    /// The address just above the stack.
    pub const fn top(&self) -> usize {
        self.top
    }
    /// The lowest address of the stack.
    pub const fn bottom(&self) -> usize {
        self.top - THREAD_SIZE
    }
    /// Whether it was allocated (and not part of the image).
    pub const fn is_allocated(&self) -> bool {
        self.area.is_some()
    }
}

/// What the architecture keeps for a task (`thread_struct`).
pub struct Thread {
    /// Kernel stack pointer while switched out.
    pub sp: Cell<u64>,
    /// FS base of user mode.
    pub fsbase: Cell<u64>,
    /// GS base of user mode.
    pub gsbase: Cell<u64>,
    /// User data segment selectors, saved while switched out.
    pub fsindex: Cell<u16>,
    #[allow(missing_docs)]
    pub gsindex: Cell<u16>,
    #[allow(missing_docs)]
    pub ds: Cell<u16>,
    #[allow(missing_docs)]
    pub es: Cell<u16>,
    /// Vector of the last exception (`thread.trap_nr`), as signal frames show it.
    pub trap_nr: Cell<u64>,
    /// Its error code.
    pub error_code: Cell<u64>,
    /// CR2 of the last page fault.
    pub cr2: Cell<u64>,
    /// DR6 of the last debug exception (`virtual_dr6`).
    pub virtual_dr6: Cell<u64>,
    /// User FPU state while switched out.
    pub fpu: RefCell<Fpu>,
}

/// Switches from the current task to `next`.
///
/// # Safety
/// Both are alive; interrupts are off.
pub unsafe fn switch_to(_cur: &crate::kernel::task::Task, _next: *const crate::kernel::task::Task) {
    todo!()
}
