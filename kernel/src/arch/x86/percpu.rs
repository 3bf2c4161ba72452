// SPDX-License-Identifier: GPL-2.0-only
//! Per-CPU data, reached through GS (Linux 6.1, `arch/x86/include/asm/percpu.h`).
//!
//! The kernel's GS base points at this CPU's [`PerCpu`]; `swapgs` at every
//! crossing from user mode puts it there. Fields are cells: a CPU only touches
//! its own, and a field that interrupts also touch is read and written whole.

use crate::arch::x86::kernel::fpu::core::Fpu;
use crate::arch::x86::kernel::ioport::{IO_BITMAP_OFFSET_INVALID, TssIoBitmaps};
use crate::arch::x86::kernel::kprobes::KprobeCtlblk;
use crate::arch::x86::kernel::ldt::Ldt;
use crate::arch::x86::kernel::nmi::NmiCpu;
use crate::arch::x86::kernel::process_64::Thread;
use crate::kernel::task::{Current, Task};
use core::cell::{Cell, UnsafeCell};
use core::mem::offset_of;
use core::ptr::NonNull;
use x86_64::structures::tss::TaskStateSegment;

/// What each CPU keeps for itself. The entry assembly knows the offsets below.
#[repr(C)]
pub struct PerCpu {
    /// Points to itself, so that one load yields the address.
    self_ptr: Cell<*const PerCpu>,
    /// The running task.
    pub current_task: Cell<*const Task>,
    /// Top of the running task's kernel stack (`cpu_current_top_of_stack`).
    pub top_of_stack: Cell<u64>,
    /// Where `syscall` parks the user's stack pointer for a moment.
    pub user_sp: Cell<u64>,
    /// `preempt_count`: hardirq and NMI nesting in Linux's bit fields.
    pub preempt_count: Cell<u32>,
    /// Number of this CPU.
    pub cpu_number: Cell<u32>,
    /// Local timer interrupts taken.
    pub irq_timer_count: Cell<u64>,
    /// Non-maskable interrupts taken (`__nmi_count`).
    pub nmi_count: Cell<u64>,
    /// What NMIs remember of each other.
    pub nmi: NmiCpu,
    /// NMIs that run without stacks for #DB and #BP (`debug_idt_ctr`).
    pub debug_idt_ctr: Cell<u32>,
    /// `ctx_state` of context tracking.
    pub context_tracking_state: Cell<u32>,
    /// With context tracking: when it last changed, in nanoseconds since boot.
    pub vtime_start: Cell<u64>,
    /// Where the last `iret` to a 16-bit stack runs, and where that is written.
    pub espfix_stack: Cell<u64>,
    #[allow(missing_docs)]
    pub espfix_waddr: Cell<u64>,
    /// Lazy FPU switching: whose state the registers hold, for all that is known
    /// (`fpu_fpregs_owner_ctx`).
    pub fpu_owner: Cell<*const Fpu>,
    /// The local descriptor table in use; null: none.
    pub ldt: Cell<*mut Ldt>,
    /// The kprobe hit that is being dealt with.
    pub kprobe_ctlblk: KprobeCtlblk,
    /// The task state segment: the stacks that entries switch to.
    pub tss: UnsafeCell<TaskStateSegment>,
    /// Its I/O permission bitmaps, right behind it.
    pub tss_io: UnsafeCell<TssIoBitmaps>,
}

const _: () = assert!(offset_of!(PerCpu, tss_io) == offset_of!(PerCpu, tss) + size_of::<TaskStateSegment>());

/// Offset of [`PerCpu::top_of_stack`], for the entry assembly.
pub const TOP_OF_STACK: usize = offset_of!(PerCpu, top_of_stack);
/// Offsets for who looks at a running kernel from outside (`tests/boot/nmi.rs`, `cargo xtask explain`).
macro_rules! offsets {
    ($($name:ident = $offset:expr;)*) => { $(#[used] #[unsafe(no_mangle)] static $name: usize = $offset;)* };
}

// In a CPU's data.
offsets! {
    TRAPLINE_NMI_COUNT = offset_of!(PerCpu, nmi_count);
    TRAPLINE_NMI_STATE = offset_of!(PerCpu, nmi) + NmiCpu::STATE;
    TRAPLINE_CURRENT = offset_of!(PerCpu, current_task);
    TRAPLINE_TOP_OF_STACK = TOP_OF_STACK;
    TRAPLINE_TSS_IST = TSS_IST;
    TRAPLINE_CTX_STATE = offset_of!(PerCpu, context_tracking_state);
}
// In a task.
offsets! {
    TRAPLINE_TRAP_NR = offset_of!(Task, thread) + offset_of!(Thread, trap_nr);
    TRAPLINE_ERROR_CODE = offset_of!(Task, thread) + offset_of!(Thread, error_code);
}
/// Offset of [`PerCpu::user_sp`], for the entry assembly.
pub const USER_SP: usize = offset_of!(PerCpu, user_sp);

/// Offset of [`PerCpu::espfix_stack`], for the entry assembly.
pub const ESPFIX_STACK: usize = offset_of!(PerCpu, espfix_stack);
/// Offset of [`PerCpu::espfix_waddr`], for the entry assembly.
pub const ESPFIX_WADDR: usize = offset_of!(PerCpu, espfix_waddr);
/// Offset of the IST entries of [`PerCpu::tss`], for the entry assembly.
pub const TSS_IST: usize = offset_of!(PerCpu, tss) + offset_of!(TaskStateSegment, interrupt_stack_table);

// SAFETY: reached only through `this_cpu`, hence by one CPU.
unsafe impl Sync for PerCpu {}

impl PerCpu {
    /// Zeroed data for CPU `n`; `self_ptr` is set by [`PerCpu::install`].
    pub const fn new(n: u32) -> Self {
        Self {
            self_ptr: Cell::new(core::ptr::null()),
            current_task: Cell::new(core::ptr::null()),
            top_of_stack: Cell::new(0),
            user_sp: Cell::new(0),
            preempt_count: Cell::new(0),
            cpu_number: Cell::new(n),
            irq_timer_count: Cell::new(0),
            nmi_count: Cell::new(0),
            nmi: NmiCpu::new(),
            debug_idt_ctr: Cell::new(0),
            context_tracking_state: Cell::new(0),
            vtime_start: Cell::new(0),
            espfix_stack: Cell::new(0),
            espfix_waddr: Cell::new(0),
            fpu_owner: Cell::new(core::ptr::null()),
            ldt: Cell::new(core::ptr::null_mut()),
            kprobe_ctlblk: KprobeCtlblk::new(),
            tss: UnsafeCell::new({
                let mut tss = TaskStateSegment::new();
                tss.iomap_base = IO_BITMAP_OFFSET_INVALID;
                tss
            }),
            tss_io: UnsafeCell::new(TssIoBitmaps::new()),
        }
    }

    /// Makes this the running CPU's data by loading its GS base.
    ///
    /// # Safety
    /// Once per CPU, at boot, with interrupts off.
    pub unsafe fn install(&'static self) {
        self.self_ptr.set(self);
        // SAFETY: the kernel's GS base is ours to set; user's starts at 0.
        unsafe {
            x86_64::registers::model_specific::Msr::new(0xC000_0101).write(core::ptr::from_ref(self) as u64);
            x86_64::registers::model_specific::Msr::new(0xC000_0102).write(0);
        }
    }

    /// The running task.
    #[inline(always)]
    pub fn current(&self) -> Current {
        // SAFETY: set before the first use of `current` and at every switch.
        unsafe { Current::from_raw(NonNull::new_unchecked(self.current_task.get().cast_mut())) }
    }

    /// Sets the stack that entries from user mode start on (`load_sp0`).
    #[inline]
    pub fn load_sp0(&self, top: usize) {
        self.top_of_stack.set(top as u64);
        // SAFETY: this CPU's TSS; the CPU reads it only when entering from user mode.
        unsafe { (*self.tss.get()).privilege_stack_table[0] = x86_64::VirtAddr::new_truncate(top as u64) };
    }

    /// Whether a task is running yet (false only in early boot).
    pub fn has_current(&self) -> bool {
        !self.current_task.get().is_null()
    }
}

/// The boot CPU's data.
pub static BOOT_CPU: PerCpu = PerCpu::new(0);

/// The running CPU's data.
#[inline(always)]
pub fn this_cpu() -> &'static PerCpu {
    let p: *const PerCpu;
    // SAFETY: GS base is the address of this CPU's data whenever Rust code of the
    // kernel runs: `install` at boot, `swapgs` at entry.
    unsafe {
        core::arch::asm!("mov {}, gs:[0]", out(reg) p, options(nostack, preserves_flags, pure, readonly));
        &*p
    }
}
