// SPDX-License-Identifier: GPL-2.0-only
//! Bringing a CPU up: descriptor tables, entry stacks, protection bits, the
//! `syscall` registers (Linux 6.1, `arch/x86/kernel/cpu/common.c`,
//! `arch/x86/mm/cpu_entry_area.c`).

use crate::arch::x86::kernel::ioport::KERNEL_TSS_LIMIT;
use crate::arch::x86::mm::init::{CPU_ENTRY_AREA_BASE, KERNEL_DATA, map_kernel_page};
use crate::arch::x86::percpu::{BOOT_CPU, PerCpu};
use crate::arch::x86::ptrace::eflags;
use crate::arch::x86::segment::{
    GDT_ENTRIES, GDT_ENTRY_CPUNODE, GDT_ENTRY_LDT, GDT_ENTRY_TLS_MIN, GDT_ENTRY_TSS, KERNEL_CS, KERNEL_DS,
    USER32_CS,
};
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use raw_cpuid::CpuId;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::instructions::tables::{lgdt, load_tss};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::model_specific::{Efer, EferFlags, Msr};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, SegmentSelector};
use x86_64::{PrivilegeLevel, VirtAddr};

/// Size of one exception stack.
pub const EXCEPTION_STKSZ: usize = 16 * 1024;
/// IST index of the double-fault stack (the documents' `DOUBLEFAULT_STACK`, counted from 0).
pub const DOUBLEFAULT_STACK: usize = 0;
/// IST index of the NMI stack.
pub const NMI_STACK: usize = 1;
/// IST index of the stacks for #DB: two of them, one below the other.
pub const DEBUG_STACK: usize = 2;
/// IST index of the machine-check stack.
pub const MCE_STACK: usize = 3;
/// IST index of the stacks for #BP, two as well. In the documents these are the debug stacks; but a
/// watchpoint that `mov ss` holds back behind the `int3` strikes at the first instruction of the
/// breakpoint's entry, and would overwrite its frame (CVE-2018-8897).
pub const BREAKPOINT_STACK: usize = 4;

/// Name, and number of stacks, of each IST entry.
const IST_STACKS: [(&str, usize); 5] = [("#DF", 1), ("NMI", 1), ("#DB", 2), ("#MC", 1), ("#BP", 2)];
/// Address space per IST entry: its stacks, with unmapped pages between.
const IST_SLOT: usize = 4 * EXCEPTION_STKSZ;

static HAS_UMIP: AtomicBool = AtomicBool::new(false);

/// Whether User-Mode Instruction Prevention is on.
pub fn cpu_has_umip() -> bool {
    HAS_UMIP.load(Ordering::Relaxed)
}

/// CPU features that decide how the kernel behaves.
static HAS_SMAP: AtomicBool = AtomicBool::new(false);
static HAS_OSPKE: AtomicBool = AtomicBool::new(false);
/// CR4 as set at boot.
static CR4_BITS: AtomicU64 = AtomicU64::new(0);

/// Whether supervisor access to user pages is prevented (SMAP).
pub fn has_smap() -> bool {
    HAS_SMAP.load(Ordering::Relaxed)
}

/// Whether protection keys are on (CR4.PKE).
pub fn has_ospke() -> bool {
    HAS_OSPKE.load(Ordering::Relaxed)
}

/// A GDT with Linux's layout.
struct Gdt(core::cell::UnsafeCell<[u64; GDT_ENTRIES]>);
// SAFETY: written at boot and at task switches (the TLS entries) by its own CPU.
unsafe impl Sync for Gdt {}

static GDT: Gdt = Gdt(core::cell::UnsafeCell::new({
    let mut t = [0; GDT_ENTRIES];
    t[1] = 0x00cf_9b00_0000_ffff; // 32-bit kernel code
    t[2] = 0x00af_9b00_0000_ffff; // kernel code
    t[3] = 0x00cf_9300_0000_ffff; // kernel data
    t[4] = 0x00cf_fb00_0000_ffff; // 32-bit user code
    t[5] = 0x00cf_f300_0000_ffff; // user data
    t[6] = 0x00af_fb00_0000_ffff; // user code
    // CPU and node number in the limit; user mode reads it with LSL.
    t[GDT_ENTRY_CPUNODE] = 0x0040_f500_0000_0000;
    t
}));

/// Writes a thread's TLS descriptors into the GDT (`load_TLS`).
pub fn load_tls(tls: &[u64; 3]) {
    // SAFETY: this CPU's GDT; segment registers reload only in user mode or through us.
    let t = unsafe { &mut *GDT.0.get() };
    t[GDT_ENTRY_TLS_MIN..GDT_ENTRY_TLS_MIN + 3].copy_from_slice(tls);
}

/// Has the CPU use a local descriptor table of `size` bytes at an address, or none
/// (`set_ldt`).
pub fn load_ldt(table: Option<(u64, usize)>) {
    let selector = match table {
        None => 0,
        Some((base, size)) => {
            // An available 64-bit LDT.
            let low = (size as u64 - 1) & 0xffff
                | (base & 0x00ff_ffff) << 16
                | 0x82 << 40
                | (base >> 24 & 0xff) << 56;
            // SAFETY: this CPU's GDT, with interrupts off.
            let t = unsafe { &mut *GDT.0.get() };
            t[GDT_ENTRY_LDT] = low;
            t[GDT_ENTRY_LDT + 1] = base >> 32;
            (GDT_ENTRY_LDT * 8) as u16
        }
    };
    // SAFETY: a null selector, or the descriptor just written.
    #[cfg(target_os = "none")]
    unsafe {
        core::arch::asm!("lldt {:x}", in(reg) selector, options(nostack, preserves_flags));
    }
    #[cfg(not(target_os = "none"))]
    let _ = selector;
}

fn load_gdt(cpu: &'static PerCpu) {
    // SAFETY: boot, interrupts off; the table is static.
    unsafe {
        let t = &mut *GDT.0.get();
        let Descriptor::SystemSegment(lo, hi) = Descriptor::tss_segment_unchecked(cpu.tss.get()) else {
            unreachable!()
        };
        // The I/O bitmaps are part of the segment.
        t[GDT_ENTRY_TSS] = lo & !0xffff | u64::from(KERNEL_TSS_LIMIT);
        t[GDT_ENTRY_TSS + 1] = hi;
        lgdt(&DescriptorTablePointer {
            limit: (GDT_ENTRIES * 8 - 1) as u16,
            base: VirtAddr::from_ptr(GDT.0.get()),
        });
        CS::set_reg(SegmentSelector(KERNEL_CS));
        SS::set_reg(SegmentSelector(KERNEL_DS));
        for null in [DS::set_reg, ES::set_reg, FS::set_reg, GS::set_reg] {
            null(SegmentSelector(0));
        }
        load_tss(SegmentSelector::new(GDT_ENTRY_TSS as u16, PrivilegeLevel::Ring0));
    }
    // After reset the LDT is 64 KiB at address 0 (`clear_LDT`).
    load_ldt(None);
}

/// Top of the `n`-th stack of IST entry `ist`.
fn ist_top(ist: usize, n: usize) -> usize {
    // One unmapped page below each stack; within an entry the stacks adjoin, as
    // `shift_ist` expects.
    CPU_ENTRY_AREA_BASE + (ist + 1) * IST_SLOT - n * EXCEPTION_STKSZ
}

/// Maps the IST stacks and points the TSS at them.
fn setup_ist(cpu: &PerCpu) {
    for (ist, (_, count)) in IST_STACKS.iter().enumerate() {
        let top = ist_top(ist, 0);
        for va in (top - count * EXCEPTION_STKSZ..top).step_by(PAGE_SIZE) {
            let page = Page::alloc_zeroed().expect("memory for exception stacks");
            // SAFETY: an address in this CPU's own area.
            unsafe { map_kernel_page(va, page.into_raw(), KERNEL_DATA) }.expect("memory for page tables");
        }
        // SAFETY: this CPU's TSS; no exception uses the entry yet.
        unsafe { (*cpu.tss.get()).interrupt_stack_table[ist] = VirtAddr::new(top as u64) };
    }
}

/// The exception stack that `addr` lies on: its name, bottom and top
/// (`in_exception_stack`).
pub fn exception_stack_of(addr: usize) -> Option<(&'static str, usize, usize)> {
    for (ist, &(name, count)) in IST_STACKS.iter().enumerate() {
        for n in 0..count {
            let top = ist_top(ist, n);
            if (top - EXCEPTION_STKSZ..top).contains(&addr) {
                return Some((name, top - EXCEPTION_STKSZ, top));
            }
        }
    }
    None
}

/// Whether `addr` is on a stack of #DB's or #BP's (`is_debug_stack`).
#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
pub fn is_debug_stack(addr: usize) -> bool {
    [DEBUG_STACK, BREAKPOINT_STACK].into_iter().any(|ist| {
        let top = ist_top(ist, 0);
        (top - IST_STACKS[ist].1 * EXCEPTION_STKSZ..top).contains(&addr)
    })
}

/// Turns on the protections that the CPU has, and what user mode may use.
fn setup_protection() {
    let id = CpuId::new();
    let ext = id.get_extended_feature_info();
    let has = |f: fn(&raw_cpuid::ExtendedFeatures) -> bool| ext.as_ref().is_some_and(f);
    let mut cr4 = Cr4::read() | Cr4Flags::PAGE_GLOBAL | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE;
    // Means nothing in long mode; Linux has it set, and oopses show CR4
    // (Linux 6.1, arch/x86/mm/init.c, probe_page_size_mask).
    cr4 |= Cr4Flags::PAGE_SIZE_EXTENSION;
    if has(raw_cpuid::ExtendedFeatures::has_smep) {
        cr4 |= Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION;
    }
    if has(raw_cpuid::ExtendedFeatures::has_smap) {
        cr4 |= Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION;
    }
    if has(raw_cpuid::ExtendedFeatures::has_umip) {
        cr4 |= Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION;
        HAS_UMIP.store(true, Ordering::Relaxed);
    }
    if has(raw_cpuid::ExtendedFeatures::has_pku) {
        cr4 |= Cr4Flags::PROTECTION_KEY_USER;
        HAS_OSPKE.store(true, Ordering::Relaxed);
    }
    if id.get_feature_info().is_some_and(|f| f.has_xsave()) {
        cr4 |= Cr4Flags::OSXSAVE;
    }
    // User mode must not set its GS base: `paranoid_entry` tells by it whose it is.
    cr4 -= Cr4Flags::FSGSBASE;
    // SAFETY: each bit is one the CPU reports; the mappings in use comply with them.
    unsafe {
        Cr4::write(cr4);
        let keep = Cr0Flags::PROTECTED_MODE_ENABLE | Cr0Flags::PAGING | Cr0Flags::EXTENSION_TYPE;
        Cr0::write(
            (Cr0::read() & keep)
                | Cr0Flags::WRITE_PROTECT
                | Cr0Flags::NUMERIC_ERROR
                | Cr0Flags::ALIGNMENT_MASK
                | Cr0Flags::MONITOR_COPROCESSOR,
        );
    }
    CR4_BITS.store(cr4.bits(), Ordering::Relaxed);
    if has(raw_cpuid::ExtendedFeatures::has_smap) {
        HAS_SMAP.store(true, Ordering::Relaxed);
        patch_smap();
    }
}

/// User mode may not use XSAVE, nor what needs it (`noxsave`).
pub fn disable_xsave() {
    clear_cr4(Cr4Flags::OSXSAVE);
}

/// User mode may not use SSE's registers: its instructions are invalid.
pub fn disable_sse() {
    clear_cr4(Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE);
}

/// There are no protection keys.
pub fn disable_pku() {
    clear_cr4(Cr4Flags::PROTECTION_KEY_USER);
    HAS_OSPKE.store(false, Ordering::Relaxed);
}

fn clear_cr4(bits: Cr4Flags) {
    // SAFETY: user mode loses instructions; the kernel has not used them yet.
    let cr4 = unsafe {
        Cr4::update(|f| f.remove(bits));
        Cr4::read()
    };
    CR4_BITS.store(cr4.bits(), Ordering::Relaxed);
}

/// Puts `stac` and `clac` where entries and user copies left room for them (`apply_alternatives`).
fn patch_smap() {
    const CLAC: [u8; 3] = [0x0f, 0x01, 0xca];
    const STAC: [u8; 3] = [0x0f, 0x01, 0xcb];
    unsafe extern "C" {
        static __start_alt_clac: u64;
        static __stop_alt_clac: u64;
        static __start_alt_stac: u64;
        static __stop_alt_stac: u64;
    }
    let gaps = [
        (CLAC, &raw const __start_alt_clac, &raw const __stop_alt_clac),
        (STAC, &raw const __start_alt_stac, &raw const __stop_alt_stac),
    ];
    // SAFETY: the sections hold the addresses of the three-byte gaps; boot runs alone,
    // with interrupts off, and write protection is lifted for just these stores.
    unsafe {
        let cr0 = Cr0::read();
        Cr0::write(cr0 - Cr0Flags::WRITE_PROTECT);
        for (insn, start, stop) in gaps {
            let sites = core::slice::from_raw_parts(start, (stop as usize - start as usize) / 8);
            for &site in sites {
                core::ptr::copy_nonoverlapping(insn.as_ptr(), site as *mut u8, insn.len());
            }
        }
        Cr0::write(cr0);
    }
}

/// Tells `syscall` and `sysenter` where to go (`syscall_init`).
fn syscall_init() {
    let mask = eflags::CF
        | eflags::PF
        | eflags::AF
        | eflags::ZF
        | eflags::SF
        | eflags::TF
        | eflags::IF
        | eflags::DF
        | eflags::OF
        | eflags::IOPL
        | eflags::NT
        | eflags::RF
        | eflags::AC
        | eflags::ID;
    // SAFETY: the selectors are those of the GDT just loaded, the entry is ours.
    // `sysret` takes CS from STAR[63:48]+16 and SS from +8, hence USER32_CS.
    unsafe {
        Efer::write(Efer::read() | EferFlags::SYSTEM_CALL_EXTENSIONS | EferFlags::NO_EXECUTE_ENABLE);
        Msr::new(0xC000_0081).write(u64::from(USER32_CS) << 48 | u64::from(KERNEL_CS) << 32);
        Msr::new(0xC000_0082)
            .write(crate::arch::x86::entry::entry_64::entry::entry_syscall_64 as *const () as u64);
        Msr::new(0xC000_0083)
            .write(crate::arch::x86::entry::entry_64::entry::entry_syscall_compat as *const () as u64);
        Msr::new(0xC000_0084).write(mask);
        // The entry has a stack before it uses one; what comes in between has a stack of its own.
        Msr::new(0x174).write(u64::from(KERNEL_CS));
        Msr::new(0x175).write(0);
        Msr::new(0x176)
            .write(crate::arch::x86::entry::entry_64::entry::entry_sysenter_compat as *const () as u64);
    }
}

/// Per-CPU data and descriptor tables: what the first exception needs.
///
/// # Safety
/// Once, at boot, with interrupts off, before `current` is used.
pub unsafe fn early_cpu_init() {
    // SAFETY: as promised by the caller.
    unsafe { BOOT_CPU.install() };
    load_gdt(&BOOT_CPU);
    // Loading GS with a null selector cleared the base.
    // SAFETY: as above.
    unsafe { BOOT_CPU.install() };
    super::idt::load();
}

/// Everything else (`cpu_init`).
///
/// # Safety
/// Once, at boot, after the kernel's page tables are in place.
pub unsafe fn cpu_init() {
    setup_ist(&BOOT_CPU);
    super::idt::use_ist();
    setup_protection();
    syscall_init();
    #[cfg(target_os = "none")]
    super::espfix_64::init_espfix().expect("memory for the small stack");
}

/// The `model name` of the CPU, for `/proc/cpuinfo`.
pub fn brand_string() -> alloc::string::String {
    CpuId::new()
        .get_processor_brand_string()
        .map_or_else(alloc::string::String::new, |b| b.as_str().trim().into())
}
