// SPDX-License-Identifier: GPL-2.0-only
//! Learning about the machine from the boot loader (Linux 6.1,
//! `arch/x86/kernel/setup.c`).

use super::{acpi, apic, cpu, irq, tsc};
use crate::arch::x86::mm::{extable, init as mm_init};
use bootloader_api::BootInfo;
use core::sync::atomic::{AtomicU64, Ordering};

static RAMDISK: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Memory, descriptor tables and protection: after this, exceptions are reported,
/// the heap works, and user copies are safe.
///
/// # Safety
/// Once, first thing at boot, on the boot stack, with interrupts off.
pub unsafe fn setup_arch(info: &mut BootInfo) {
    // SAFETY: as promised by the caller.
    unsafe {
        cpu::early_cpu_init();
        extable::sort_main_extable();
        remember_ramdisk(info);
        mm_init::init_mem_mapping(info);
        cpu::cpu_init();
    }
}

/// Where the initramfs is in physical memory.
fn remember_ramdisk(info: &BootInfo) {
    let (Some(addr), Some(offset)) =
        (info.ramdisk_addr.into_option(), info.physical_memory_offset.into_option())
    else {
        return;
    };
    let top = info.memory_regions.iter().map(|r| r.end).max().unwrap_or(0);
    let phys = if addr >= offset && addr - offset < top {
        addr - offset
    } else {
        // The boot loader mapped it on its own: ask its page tables.
        mm_init::loader_translate(offset, addr)
    };
    RAMDISK[0].store(phys, Ordering::Relaxed);
    RAMDISK[1].store(info.ramdisk_len, Ordering::Relaxed);
}

/// The initramfs, in the direct map; empty if there is none.
pub fn initrd() -> &'static [u8] {
    let [phys, len] = [&RAMDISK[0], &RAMDISK[1]].map(|a| a.load(Ordering::Relaxed));
    if len == 0 {
        return &[];
    }
    // SAFETY: the loader put it there; the memory is reserved until `free_initrd`.
    unsafe { core::slice::from_raw_parts(mm_init::phys_to_virt(phys), len as usize) }
}

/// Gives the initramfs's memory back once it is unpacked (`free_initrd_mem`).
///
/// # Safety
/// Nothing may refer to [`initrd`]'s bytes any more.
pub unsafe fn free_initrd() {
    let phys = RAMDISK[0].load(Ordering::Relaxed);
    let len = RAMDISK[1].swap(0, Ordering::Relaxed);
    // SAFETY: as promised by the caller.
    unsafe { mm_init::free_boot_memory(phys, phys + len) };
}

/// Interrupts and clocks: needs the heap; ends with the tick running (interrupts
/// are still off).
pub fn time_init(rsdp: Option<u64>, tsc_khz: Option<u64>) {
    irq::init_8259a();
    apic::init();
    tsc::init(tsc_khz);
    acpi::init(rsdp);
    crate::drivers::firmware::dmi_scan::dmi_setup();
}
