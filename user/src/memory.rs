// SPDX-License-Identifier: GPL-2.0-only
//! Memory mappings.

use crate::{Result, syscall};

pub use linux_raw_sys::general::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_NONE, PROT_READ,
    PROT_WRITE,
};

/// The size of a page.
pub const PAGE: usize = 4096;

/// Maps fresh private memory where the kernel likes.
pub fn map(len: usize, prot: u32) -> Result {
    // SAFETY: a new mapping overlaps nothing that exists.
    unsafe { syscall!(__NR_mmap, 0, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) }
}

/// Maps fresh memory shared with children made later.
pub fn map_shared(len: usize) -> Result {
    let prot = PROT_READ | PROT_WRITE;
    // SAFETY: a new mapping overlaps nothing that exists.
    unsafe { syscall!(__NR_mmap, 0, len, prot, MAP_SHARED | MAP_ANONYMOUS, -1, 0) }
}

/// Maps fresh private memory at an address.
///
/// # Safety
/// What was mapped there is gone: nothing may use it any more.
pub unsafe fn map_fixed(addr: usize, len: usize, prot: u32) -> Result {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    // SAFETY: the caller's promise.
    unsafe { syscall!(__NR_mmap, addr, len, prot, flags, -1, 0) }
}

/// Maps the last page of user space, readable and writable, unless the stack has it already (it
/// begins there where addresses are not random); gives its address.
pub fn map_top_page() -> Result {
    const TOP: usize = 0x7fff_ffff_e000;
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    // SAFETY: what is there stays there.
    match unsafe { syscall!(__NR_mmap, TOP, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) } {
        Err(crate::Errno(linux_raw_sys::errno::EEXIST)) => Ok(TOP),
        r => r,
    }
}

/// `mprotect(2)`.
///
/// # Safety
/// Nothing may rely on the protection that the pages had.
pub unsafe fn protect(addr: usize, len: usize, prot: u32) -> Result {
    // SAFETY: the caller's promise.
    unsafe { syscall!(__NR_mprotect, addr, len, prot) }
}

/// `munmap(2)`.
///
/// # Safety
/// Nothing may use the pages any more.
pub unsafe fn unmap(addr: usize, len: usize) -> Result {
    // SAFETY: the caller's promise.
    unsafe { syscall!(__NR_munmap, addr, len) }
}

/// Reads one byte, whatever the compiler thinks of it.
///
/// # Safety
/// The address must be readable, or the fault wanted.
pub unsafe fn peek(addr: usize) -> u8 {
    // SAFETY: the caller's promise.
    unsafe { core::ptr::with_exposed_provenance::<u8>(addr).read_volatile() }
}

/// Writes one byte, whatever the compiler thinks of it.
///
/// # Safety
/// The address must be writable memory that no Rust object owns, or the fault wanted.
pub unsafe fn poke(addr: usize, value: u8) {
    // SAFETY: the caller's promise.
    unsafe { core::ptr::with_exposed_provenance_mut::<u8>(addr).write_volatile(value) }
}
