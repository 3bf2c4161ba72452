// SPDX-License-Identifier: GPL-2.0-only
//! Switching tasks, and what a task's architecture state is (Linux 6.1,
//! `arch/x86/kernel/process_64.c`; `__switch_to_asm` in `entry_64.S`).

use crate::arch::x86::kernel::fpu::core::Fpu;
use crate::arch::x86::kernel::hw_breakpoint::{self, DebugRegisters};
use crate::arch::x86::kernel::ioport::{self, IoRights};
use crate::arch::x86::kernel::tls::TLS_ENTRIES;
use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{EINVAL, Result};
#[cfg(target_os = "none")]
use crate::kernel::rseq::rseq_preempt;
use crate::kernel::syscall_user_dispatch::SyscallUserDispatch;
use crate::kernel::task::{Task, current, tif};
use crate::mm::vmalloc;
use core::cell::{Cell, UnsafeCell};

/// Size of a kernel stack: 16 KiB, as in Linux (`THREAD_SIZE`).
pub const THREAD_SIZE: usize = 16 * 1024;

/// A kernel stack in the vmalloc area, with unmapped memory below it.
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
    #[inline]
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
    pub sp: UnsafeCell<u64>,
    /// FS base of user mode (authoritative while the FS selector is 0).
    pub fsbase: Cell<u64>,
    /// GS base of user mode, likewise.
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
    /// The tracer's breakpoints.
    pub debug: DebugRegisters,
    /// Descriptors of `set_thread_area` (`tls_array`); all zero, mostly.
    pub tls: [Cell<u64>; TLS_ENTRIES],
    /// In a call through `int $0x80` (`TS_COMPAT`).
    pub compat_syscall: Cell<bool>,
    /// A tracer has written i386's call number: an error in EAX has 32 bits until user mode runs
    /// (`TS_I386_REGS_POKED`).
    pub i386_regs_poked: Cell<bool>,
    /// `prctl(PR_SET_SYSCALL_USER_DISPATCH)`.
    pub syscall_dispatch: SyscallUserDispatch,
    /// Rights to use I/O ports.
    pub io: IoRights,
    /// User FPU state while switched out.
    pub fpu: Fpu,
}

impl Thread {
    /// The state of a task without a past.
    pub fn new() -> Result<Self> {
        Ok(Self {
            sp: UnsafeCell::new(0),
            fsbase: Cell::new(0),
            gsbase: Cell::new(0),
            fsindex: Cell::new(0),
            gsindex: Cell::new(0),
            ds: Cell::new(0),
            es: Cell::new(0),
            trap_nr: Cell::new(0),
            error_code: Cell::new(0),
            cr2: Cell::new(0),
            virtual_dr6: Cell::new(0),
            debug: DebugRegisters::default(),
            tls: [const { Cell::new(0) }; TLS_ENTRIES],
            compat_syscall: Cell::new(false),
            i386_regs_poked: Cell::new(false),
            syscall_dispatch: SyscallUserDispatch::default(),
            io: IoRights::default(),
            fpu: Fpu::new()?,
        })
    }

    /// Whether any descriptor of `set_thread_area` is there.
    #[inline]
    fn has_tls(&self) -> bool {
        self.tls.iter().any(|d| d.get() != 0)
    }

    /// A copy for a child of the running task: segments, last trap, and the FPU
    /// registers as they are now (`copy_thread`).
    pub fn fork(&self) -> Result<Self> {
        segments::save(self);
        let mut t = Self::new()?;
        t.io = self.io.fork();
        t.fsbase.set(self.fsbase.get());
        t.gsbase.set(self.gsbase.get());
        t.fsindex.set(self.fsindex.get());
        t.gsindex.set(self.gsindex.get());
        t.ds.set(self.ds.get());
        t.es.set(self.es.get());
        for (to, from) in t.tls.iter().zip(&self.tls) {
            to.set(from.get());
        }
        t.trap_nr.set(self.trap_nr.get());
        t.error_code.set(self.error_code.get());
        t.cr2.set(self.cr2.get());
        t.fpu.copy_from(&self.fpu);
        Ok(t)
    }
}

/// What `switch_to_asm` pops for a task that never ran: its callee-saved
/// registers, and the address it returns to.
#[repr(C)]
struct InactiveTaskFrame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    bx: u64,
    bp: u64,
    ret_addr: u64,
}

/// Prepares a new task's kernel stack: it starts in `ret_from_fork_asm` with
/// `regs` as its user registers. With `kernel_fn` it first calls that function
/// with `arg`; when the function returns, the task goes to user mode.
pub fn init_stack(t: &Task, regs: PtRegs, kernel_fn: Option<(extern "C" fn(u64), u64)>) {
    let (bx, r12) = kernel_fn.map_or((0, 0), |(f, a)| (f as *const () as u64, a));
    let pt_regs = t.task_pt_regs();
    let frame = (pt_regs as usize - size_of::<InactiveTaskFrame>()) as *mut InactiveTaskFrame;
    // SAFETY: the task's own stack, before it first runs.
    unsafe {
        pt_regs.cast_mut().write(regs);
        frame.write(InactiveTaskFrame {
            r15: 0,
            r14: 0,
            r13: 0,
            r12,
            bx,
            bp: pt_regs as u64 + 1,
            ret_addr: ret_from_fork_address(),
        });
        *(*t.thread.get()).sp.get() = frame as u64;
    }
}

#[cfg(target_os = "none")]
fn ret_from_fork_address() -> u64 {
    crate::arch::x86::entry::entry_64::entry::ret_from_fork_asm as *const () as u64
}
#[cfg(not(target_os = "none"))]
fn ret_from_fork_address() -> u64 {
    0
}

/// The registers with which a program starts (`start_thread`).
pub fn start_thread(regs: &PtRegs, ip: u64, sp: u64) {
    use crate::arch::x86::segment::{USER_CS, USER_DS};
    regs.copy_from(&PtRegs::zeroed());
    regs.ip.set(ip);
    regs.sp.set(sp);
    regs.cs.set(u64::from(USER_CS));
    regs.ss.set(u64::from(USER_DS));
    regs.flags.set(crate::arch::x86::ptrace::eflags::IF);
    segments::reset();
}

/// Switches from the current task to `next`.
///
/// # Safety
/// `prev` is the current task, both are alive, and interrupts are off.
#[cfg(target_os = "none")]
pub unsafe fn switch_to(prev: &Task, next: *const Task) {
    use crate::arch::x86::entry::entry_64::entry::switch_to_asm;
    use crate::arch::x86::percpu::this_cpu;
    // SAFETY: as promised by the caller; with interrupts off nobody else looks at
    // either `Thread`.
    unsafe {
        let (pt, n) = (&*prev.thread.get(), &*next);
        let nt = &*n.thread.get();
        crate::kernel::context_tracking::task_switch();
        segments::save(pt);
        this_cpu().current_task.set(next);
        this_cpu().load_sp0(n.stack.top());
        // Before the selectors: those of the LDT mean what the next task's says.
        if let Some(mm) = &*n.mm.lock() {
            mm.activate();
        } else {
            crate::mm::leave_mm();
        }
        segments::load(pt, nt);
        if prev.test_flag(tif::CTXSW_WORK) || n.test_flag(tif::CTXSW_WORK) {
            switch_to_xtra(prev, n);
        }
        pt.fpu.switch_to(&nt.fpu);
        switch_to_asm(pt.sp.get(), *nt.sp.get());
    }
}

/// What few tasks need at a switch (`__switch_to_xtra`).
#[cfg(target_os = "none")]
#[cold]
fn switch_to_xtra(prev: &Task, next: &Task) {
    if prev.test_flag(tif::RSEQ) {
        rseq_preempt(prev);
    }
    if prev.test_flag(tif::IO_BITMAP) {
        ioport::tss_invalidate_io_bitmap();
    }
    if prev.test_flag(tif::BLOCKSTEP) || next.test_flag(tif::BLOCKSTEP) {
        super::step::set_block_step(next.test_flag(tif::BLOCKSTEP));
    }
    if next.test_flag(tif::HW_BREAKPOINT) {
        // SAFETY: the next task's own state, with interrupts off.
        hw_breakpoint::load(Some(unsafe { &(*next.thread.get()).debug }));
    } else if prev.test_flag(tif::HW_BREAKPOINT) {
        hw_breakpoint::load(None);
    }
    if prev.test_flag(tif::NOTSC) != next.test_flag(tif::NOTSC) {
        set_tsc_disabled(next.test_flag(tif::NOTSC));
    }
}

/// Whether user mode may not read the time stamp counter (CR4.TSD).
fn set_tsc_disabled(disabled: bool) {
    #[cfg(target_os = "none")]
    {
        use x86_64::registers::control::{Cr4, Cr4Flags};
        // SAFETY: concerns user mode only.
        unsafe { Cr4::update(|f| f.set(Cr4Flags::TIMESTAMP_DISABLE, disabled)) };
    }
    #[cfg(not(target_os = "none"))]
    let _ = disabled;
}

const PR_TSC_ENABLE: i32 = 1;
const PR_TSC_SIGSEGV: i32 = 2;

/// `prctl(PR_GET_TSC)`: what RDTSC does.
pub fn get_tsc_mode() -> i32 {
    if current().test_flag(tif::NOTSC) { PR_TSC_SIGSEGV } else { PR_TSC_ENABLE }
}

/// `prctl(PR_SET_TSC)`.
///
/// # Errors
/// `EINVAL`.
pub fn set_tsc_mode(mode: usize) -> Result {
    let irqs = crate::locking::local_irq_save();
    let r = match i32::try_from(mode) {
        Ok(PR_TSC_SIGSEGV) => {
            current().set_flag(tif::NOTSC);
            set_tsc_disabled(true);
            Ok(())
        }
        Ok(PR_TSC_ENABLE) => {
            current().clear_flag(tif::NOTSC);
            set_tsc_disabled(false);
            Ok(())
        }
        _ => Err(EINVAL),
    };
    crate::locking::local_irq_restore(irqs);
    r
}

/// On the host nothing is ever switched.
///
/// # Safety
/// Never called.
#[cfg(not(target_os = "none"))]
pub unsafe fn switch_to(_prev: &Task, _next: *const Task) {
    unreachable!("the host has no tasks to switch")
}

/// Options of `arch_prctl(2)` (`arch/x86/include/uapi/asm/prctl.h`).
#[allow(missing_docs)]
pub mod prctl {
    pub const ARCH_SET_GS: u32 = 0x1001;
    pub const ARCH_SET_FS: u32 = 0x1002;
    pub const ARCH_GET_FS: u32 = 0x1003;
    pub const ARCH_GET_GS: u32 = 0x1004;
    pub const ARCH_GET_CPUID: u32 = 0x1011;
    pub const ARCH_SET_CPUID: u32 = 0x1012;
    pub const ARCH_MAP_VDSO_64: u32 = 0x2003;
}

/// User segment registers: selectors and bases (without FSGSBASE, so that user mode
/// cannot make `MSR_GS_BASE` look like the kernel's to `paranoid_entry`).
pub mod segments {
    use super::Thread;
    use crate::arch::x86::lib::msr::{rdmsr, wrmsr};
    use crate::extable;
    use core::arch::asm;

    const FS_BASE: u32 = 0xC000_0100;
    const KERNEL_GS_BASE: u32 = 0xC000_0102;

    macro_rules! read_sel {
        ($seg:literal) => {{
            let v: u16;
            // SAFETY: reads a segment register.
            unsafe { asm!(concat!("mov {:x}, ", $seg), out(reg) v, options(nomem, nostack, preserves_flags)) };
            v
        }};
    }
    macro_rules! load_sel {
        ($seg:literal, $v:expr) => {
            // SAFETY: user segment registers; a selector that no longer loads
            // becomes null through the exception table.
            unsafe {
                asm!(
                    concat!("2: mov ", $seg, ", {v:x}"),
                    "jmp 4f",
                    "3: xor {v:e}, {v:e}",
                    concat!("mov ", $seg, ", {v:x}"),
                    "4:",
                    extable!("2", "3b", 1),
                    v = inout(reg) $v => _,
                    options(nostack),
                )
            }
        };
    }

    /// Saves the running task's selectors (`save_fsgs`).
    pub fn save(t: &Thread) {
        let (fs, gs) = (read_sel!("fs"), read_sel!("gs"));
        t.fsindex.set(fs);
        t.gsindex.set(gs);
        t.ds.set(read_sel!("ds"));
        t.es.set(read_sel!("es"));
        // A non-null selector brings its base from the descriptor, and 1 to 3 the base 0; what was
        // set through arch_prctl is gone then (Linux 6.1, `save_base_legacy`).
        if fs != 0 {
            t.fsbase.set(0);
        }
        if gs != 0 {
            t.gsbase.set(0);
        }
    }

    /// Loads `next`'s selectors and bases (`x86_fsgsbase_load`).
    pub fn load(prev: &Thread, next: &Thread) {
        if prev.has_tls() || next.has_tls() {
            load_tls(next);
        }
        if (next.ds.get() | prev.ds.get()) != 0 {
            load_sel!("ds", next.ds.get());
        }
        if (next.es.get() | prev.es.get()) != 0 {
            load_sel!("es", next.es.get());
        }
        if (next.fsindex.get() | prev.fsindex.get()) != 0 {
            load_sel!("fs", next.fsindex.get());
        }
        if next.fsindex.get() <= 3 {
            set_fsbase(next.fsbase.get());
        }
        if (next.gsindex.get() | prev.gsindex.get()) != 0 {
            load_gs_index(next.gsindex.get());
        }
        if next.gsindex.get() <= 3 {
            set_gsbase(next.gsbase.get());
        }
    }

    /// The data segment selectors of user mode.
    #[allow(missing_docs)]
    pub struct Selectors {
        pub ds: u16,
        pub es: u16,
        pub fs: u16,
        pub gs: u16,
    }

    /// The running task's selectors: the kernel does not change them.
    pub fn selectors() -> Selectors {
        Selectors { ds: read_sel!("ds"), es: read_sel!("es"), fs: read_sel!("fs"), gs: read_sel!("gs") }
    }

    /// Loads those selectors that differ from the running task's, as `sigreturn` of 32-bit
    /// code wants them (`reload_segments`).
    pub fn reload_segments(s: &Selectors) {
        let irqs = crate::locking::local_irq_save();
        let old = selectors();
        if s.gs != old.gs {
            load_gs_index(s.gs);
        }
        if s.fs != old.fs {
            load_sel!("fs", s.fs);
        }
        load_data_segments(s.ds, s.es);
        crate::locking::local_irq_restore(irqs);
    }

    /// Loads DS and ES, if these are others.
    pub fn load_data_segments(ds: u16, es: u16) {
        if read_sel!("ds") != ds {
            load_sel!("ds", ds);
        }
        if read_sel!("es") != es {
            load_sel!("es", es);
        }
    }

    /// Loads the descriptors of `set_thread_area` (`load_TLS`).
    pub fn load_tls(t: &Thread) {
        crate::arch::x86::kernel::cpu::load_tls(&[0, 1, 2].map(|i: usize| t.tls[i].get()));
    }

    /// Loads the selectors that name the descriptor `selector` once more, for it has changed.
    pub fn refresh(selector: u16) {
        let irqs = crate::locking::local_irq_save();
        if read_sel!("ds") == selector {
            load_sel!("ds", selector);
        }
        if read_sel!("es") == selector {
            load_sel!("es", selector);
        }
        if read_sel!("fs") == selector {
            load_sel!("fs", selector);
        }
        if read_sel!("gs") == selector {
            load_gs_index(selector);
        }
        crate::locking::local_irq_restore(irqs);
    }

    /// The same for DS and ES after the LDT was replaced (`refresh_ldt_segments`).
    pub fn refresh_ldt_segments() {
        for selector in [read_sel!("ds"), read_sel!("es")] {
            if selector & crate::arch::x86::kernel::ldt::TI_LDT != 0 {
                refresh(selector);
            }
        }
    }

    // The one place in the kernel proper that runs with the user's GS base: should the
    // selector not load, `error_entry` knows the instruction, and swaps. The fixup then
    // begins with the kernel's base (`asm_load_gs_index` in Linux's entry_64.S).
    #[cfg(target_os = "none")]
    core::arch::global_asm!(
        ".pushsection .entry.text, \"ax\"",
        ".globl asm_load_gs_index",
        "asm_load_gs_index:",
        "swapgs",
        ".globl gs_change",
        "gs_change:",
        "2: mov gs, edi",
        "4: swapgs",
        "ret",
        "3: swapgs",
        "xor eax, eax",
        "mov gs, eax",
        "jmp 4b",
        extable!("2", "3b", 1),
        ".popsection",
    );

    /// Loads the user's GS selector without losing the kernel's base; interrupts are off.
    fn load_gs_index(sel: u16) {
        #[cfg(target_os = "none")]
        {
            unsafe extern "C" {
                fn asm_load_gs_index(sel: u32);
            }
            // SAFETY: the swaps pair up on both ways through.
            unsafe { asm_load_gs_index(u32::from(sel)) };
        }
        #[cfg(not(target_os = "none"))]
        let _ = sel;
    }

    /// Sets the FS base in the register.
    pub fn set_fsbase(v: u64) {
        // SAFETY: user's FS base; canonical by `arch_prctl`'s check.
        unsafe { wrmsr(FS_BASE, v) };
    }

    /// Sets the user's GS base in the register (the kernel's is loaded now).
    pub fn set_gsbase(v: u64) {
        // SAFETY: user's GS base; canonical by `arch_prctl`'s check.
        unsafe { wrmsr(KERNEL_GS_BASE, v) };
    }

    /// The running task's FS base.
    pub fn fsbase() -> u64 {
        rdmsr(FS_BASE)
    }

    /// The running task's user GS base.
    pub fn gsbase() -> u64 {
        rdmsr(KERNEL_GS_BASE)
    }

    /// `ARCH_SET_FS`: a null selector with this base.
    pub fn set_user_fs(t: &Thread, base: u64) {
        let irqs = crate::locking::local_irq_save();
        load_sel!("fs", 0u16);
        set_fsbase(base);
        t.fsindex.set(0);
        t.fsbase.set(base);
        crate::locking::local_irq_restore(irqs);
    }

    /// `ARCH_SET_GS`: a null selector with this base.
    pub fn set_user_gs(t: &Thread, base: u64) {
        let irqs = crate::locking::local_irq_save();
        load_gs_index(0);
        set_gsbase(base);
        t.gsindex.set(0);
        t.gsbase.set(base);
        crate::locking::local_irq_restore(irqs);
    }

    /// Null selectors, zero bases: a new program's.
    pub fn reset() {
        let irqs = crate::locking::local_irq_save();
        let cur = crate::kernel::task::current();
        let t = cur.thread();
        load_sel!("ds", 0u16);
        load_sel!("es", 0u16);
        load_sel!("fs", 0u16);
        load_gs_index(0);
        set_fsbase(0);
        set_gsbase(0);
        if t.has_tls() {
            t.tls.iter().for_each(|d| d.set(0));
            load_tls(t);
        }
        for c in [&t.fsindex, &t.gsindex, &t.ds, &t.es] {
            c.set(0);
        }
        t.fsbase.set(0);
        t.gsbase.set(0);
        crate::locking::local_irq_restore(irqs);
    }
}
