// SPDX-License-Identifier: GPL-2.0-only
//! QEMU's `-kernel` door: the PVH entry.
//!
//! The ELF's `XEN_ELFNOTE_PHYS32_ENTRY` note names [`pvh_start_xen`], which QEMU
//! enters in 32-bit protected mode without paging, EBX holding the physical
//! address of an `hvm_start_info` (Xen's `public/arch-x86/hvm/start_info.h`;
//! Linux 6.1, `arch/x86/platform/pvh/head.S` and `enlighten.c` do the same job). The
//! stub turns long mode on with page tables that map the first 4 GiB three times:
//! as themselves, at the direct map and at the kernel's address; then Rust builds the
//! [`BootInfo`] that the `bootloader` crate would have passed and enters the same
//! `_start`.

use crate::arch::x86::mm::init::PAGE_OFFSET;
use arrayvec::ArrayVec;
use bootloader_api::BootInfo;
use bootloader_api::info::{MemoryRegion, MemoryRegionKind, Optional};
use core::arch::global_asm;
use core::cell::UnsafeCell;

/// Bytes of the boot stack.
pub const BOOT_STACK_SIZE: usize = crate::arch::x86::kernel::process_64::THREAD_SIZE;

/// The stack that boot runs on; later the idle task's.
#[repr(C, align(4096))]
pub struct BootStack(UnsafeCell<[u8; BOOT_STACK_SIZE]>);
// SAFETY: only ever used as the boot CPU's stack.
unsafe impl Sync for BootStack {}

/// The boot stack itself.
#[unsafe(link_section = ".bss..page_aligned")]
pub static BOOT_STACK: BootStack = BootStack(UnsafeCell::new([0; BOOT_STACK_SIZE]));

impl BootStack {
    /// The address just above it.
    pub fn top(&self) -> usize {
        self.0.get() as usize + BOOT_STACK_SIZE
    }
}

/// Early page tables: PML4, PDPT, and four page directories of 2 MiB pages.
#[repr(C, align(4096))]
struct EarlyTables(UnsafeCell<[[u64; 512]; 7]>);
// SAFETY: written by the stub before Rust runs, and only read by the CPU afterwards.
unsafe impl Sync for EarlyTables {}

#[unsafe(link_section = ".bss..page_aligned")]
static EARLY_TABLES: EarlyTables = EarlyTables(UnsafeCell::new([[0; 512]; 7]));

global_asm!(
    r#"
    .pushsection .note.Xen, "a", @note
    .balign 4
    .long 4, 8, 18              /* name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad pvh_start_xen - 0xffffffff80000000
    .popsection

    .pushsection .head.text, "ax"
    .code32
    .globl pvh_start_xen
pvh_start_xen:
    cld
    cli
    mov esi, ebx
    /* .bss is zero: QEMU clears what the file does not fill. */
    mov edi, offset {tables} - 0xffffffff80000000
    /* PML4: slot 0 and the direct map's (273) share one PDPT; slot 511 has another. */
    lea eax, [edi + 0x1003]
    mov [edi], eax
    mov [edi + 273*8], eax
    lea eax, [edi + 0x2003]
    mov [edi + 511*8], eax
    /* PDPT: four page directories; the kernel's PDPT slot 510 is the first of them. */
    lea eax, [edi + 0x3003]
    mov [edi + 0x1000], eax
    mov [edi + 0x2000 + 510*8], eax
    add eax, 0x1000
    mov [edi + 0x1008], eax
    add eax, 0x1000
    mov [edi + 0x1010], eax
    add eax, 0x1000
    mov [edi + 0x1018], eax
    /* 2048 entries of 2 MiB: present, writable, large. */
    lea edx, [edi + 0x3000]
    mov eax, 0x83
    mov ecx, 2048
2:  mov [edx], eax
    add eax, 0x200000
    add edx, 8
    dec ecx
    jnz 2b

    mov eax, cr4
    or eax, 0xa0                /* PAE, PGE */
    mov cr4, eax
    mov cr3, edi
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x900               /* LME, NXE */
    wrmsr
    mov eax, cr0
    or eax, 0x80010001          /* PG, WP, PE */
    mov cr0, eax
    lgdt [pvh_gdt_ptr - 0xffffffff80000000]
    ljmp 16, offset pvh_long - 0xffffffff80000000
    .code64
pvh_long:
    mov ax, 24
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor eax, eax
    mov fs, ax
    mov gs, ax
    movabs rax, offset pvh_high
    jmp rax
pvh_high:
    lea rsp, [rip + {stack} + {stack_size}]
    xor ebp, ebp
    mov edi, esi
    call {start}
    ud2
    .balign 8
pvh_gdt:
    .quad 0, 0, 0x00af9a000000ffff, 0x00cf92000000ffff
pvh_gdt_ptr:
    .word 31
    .quad pvh_gdt - 0xffffffff80000000
    .popsection
    "#,
    tables = sym EARLY_TABLES,
    stack = sym BOOT_STACK,
    stack_size = const BOOT_STACK_SIZE,
    start = sym pvh_start,
);

/// `hvm_start_info`, version 1.
#[repr(C)]
struct HvmStartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    nr_modules: u32,
    modlist_paddr: u64,
    cmdline_paddr: u64,
    rsdp_paddr: u64,
    memmap_paddr: u64,
    memmap_entries: u32,
    reserved: u32,
}

#[repr(C)]
struct HvmModlistEntry {
    paddr: u64,
    size: u64,
    cmdline_paddr: u64,
    reserved: u64,
}

#[repr(C)]
struct HvmMemmapEntry {
    addr: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

const XEN_HVM_START_MAGIC: u32 = 0x336e_c578;
const E820_RAM: u32 = 1;

/// Room for regions: what e820 has, and the pieces that carving leaves.
const MAX_REGIONS: usize = 64;

struct BootData {
    info: Option<BootInfo>,
    regions: [MemoryRegion; MAX_REGIONS],
}
struct BootCell(UnsafeCell<BootData>);
// SAFETY: written once by `pvh_start`, then handed on as a unique reference.
unsafe impl Sync for BootCell {}
static BOOT_DATA: BootCell =
    BootCell(UnsafeCell::new(BootData { info: None, regions: [MemoryRegion::empty(); MAX_REGIONS] }));

fn early_ptr<T>(paddr: u64) -> *const T {
    (PAGE_OFFSET as u64 + paddr) as *const T
}

// `BootInfo` is Rust on both sides of the call.
#[allow(improper_ctypes)]
unsafe extern "C" {
    fn _start(info: &'static mut BootInfo) -> !;
    static _text: u8;
    static _end: u8;
}

/// Turns `hvm_start_info` into a `BootInfo` and enters the kernel.
extern "C" fn pvh_start(start_info: u64) -> ! {
    crate::kernel::time::timekeeping::set_tsc_base(crate::kernel::time::timekeeping::rdtsc());
    // SAFETY: QEMU passed the address of the structure, below 4 GiB, which the early tables map.
    let si = unsafe { &*early_ptr::<HvmStartInfo>(start_info) };
    assert!(si.magic == XEN_HVM_START_MAGIC, "not started by a PVH loader");
    // SAFETY: the only use of BOOT_DATA.
    let boot = unsafe { &mut *BOOT_DATA.0.get() };

    let mut reserved = ArrayVec::<(u64, u64), 8>::new();
    let base = 0xffff_ffff_8000_0000u64;
    reserved.push((0, 0x1000));
    // The low megabyte's upper half is the BIOS's.
    reserved.push((0x9_f000, 0x10_0000));
    reserved.push(((&raw const _text) as u64 - base, (&raw const _end) as u64 - base));
    if si.nr_modules > 0 {
        // SAFETY: as for the start info.
        let m = unsafe { &*early_ptr::<HvmModlistEntry>(si.modlist_paddr) };
        reserved.push((m.paddr & !0xfff, (m.paddr + m.size + 0xfff) & !0xfff));
    }
    let n = carve(memmap(si), &reserved, &mut boot.regions);
    let mut info = BootInfo::new((&mut boot.regions[..n]).into());
    info.physical_memory_offset = Optional::Some(PAGE_OFFSET as u64);
    if si.rsdp_paddr != 0 {
        info.rsdp_addr = Optional::Some(si.rsdp_paddr);
    }
    if si.nr_modules > 0 {
        // SAFETY: as above.
        let m = unsafe { &*early_ptr::<HvmModlistEntry>(si.modlist_paddr) };
        info.ramdisk_addr = Optional::Some(PAGE_OFFSET as u64 + m.paddr);
        info.ramdisk_len = m.size;
    }
    if si.cmdline_paddr != 0 {
        // SAFETY: a NUL-terminated string by the protocol, below 4 GiB.
        let s = unsafe { core::ffi::CStr::from_ptr(early_ptr(si.cmdline_paddr)) };
        crate::init::set_boot_command_line(s.to_bytes());
    }
    let info = boot.info.insert(info);
    // SAFETY: `_start` is what `bootloader_api::entry_point!` defines in main.rs.
    unsafe { _start(info) }
}

/// The memory map as (start, end, is RAM), in the loader's order.
fn memmap(si: &HvmStartInfo) -> impl Iterator<Item = (u64, u64, bool)> {
    let entries = if si.version >= 1 { si.memmap_entries as usize } else { 0 };
    // SAFETY: the protocol promises that many entries there.
    let map = unsafe { core::slice::from_raw_parts(early_ptr::<HvmMemmapEntry>(si.memmap_paddr), entries) };
    map.iter().map(|e| (e.addr, e.addr.saturating_add(e.size), e.kind == E820_RAM))
}

/// Splits the map so that what is in use is not `Usable`. Returns the number of regions.
fn carve(
    map: impl Iterator<Item = (u64, u64, bool)>,
    reserved: &[(u64, u64)],
    out: &mut [MemoryRegion],
) -> usize {
    let mut n = 0;
    let mut push = |start: u64, end: u64, kind| {
        if start < end && n < out.len() {
            out[n] = MemoryRegion { start, end, kind };
            n += 1;
        }
    };
    for (start, end, ram) in map {
        if !ram {
            push(start, end, MemoryRegionKind::UnknownBios(2));
            continue;
        }
        let mut at = start;
        while at < end {
            let hit = reserved.iter().filter(|r| r.1 > at && r.0 < end).min_by_key(|r| r.0);
            let Some(&(rs, re)) = hit else {
                push(at, end, MemoryRegionKind::Usable);
                break;
            };
            push(at, rs, MemoryRegionKind::Usable);
            push(rs.max(at), re.min(end), MemoryRegionKind::Bootloader);
            at = re.max(at);
        }
    }
    n
}
