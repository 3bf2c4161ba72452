// SPDX-License-Identifier: GPL-2.0-only
//! 32-bit code in this 64-bit process.

use crate::memory::{MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE};
use crate::{Result, syscall};
use core::arch::asm;
use linux_raw_sys::general::MAP_32BIT;

/// The selector of 32-bit code.
pub const USER32_CS: u16 = 0x23;

/// Memory that 32 bits reach, and in which code may run.
pub fn map_low(len: usize) -> Result {
    let prot = PROT_READ | PROT_WRITE | PROT_EXEC;
    // SAFETY: a new mapping.
    unsafe { syscall!(__NR_mmap, 0, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0) }
}

/// Goes on with the 32-bit code at `code`, with `stack`, of which a few words below are used.
///
/// # Safety
/// Both are in memory as of [`map_low`]. Whatever Rust has borrowed stays so for ever.
pub unsafe fn enter32(code: usize, stack: usize) -> ! {
    let target = (stack - 8) as *mut u64;
    // SAFETY: as promised. The jump is a far one, for TCG's far return reads the stack as the kernel.
    unsafe {
        target.write(code as u64 | u64::from(USER32_CS) << 32);
        asm!("mov rsp, rdi", ".byte 0xff, 0x6f, 0xf8", in("rdi") stack, options(noreturn))
    }
}

/// Memory below 4 GiB for what `int $0x80` reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct Low(usize);

impl Low {
    /// New pages.
    pub fn new(len: usize) -> Option<Self> {
        map_low(len).ok().map(Self)
    }
    /// As a call takes the address of what lies at an offset.
    pub fn at(self, offset: usize) -> u32 {
        (self.0 + offset) as u32
    }
    /// Puts something there; its address.
    pub fn put<T: Copy>(self, offset: usize, value: T) -> u32 {
        // SAFETY: in these pages, which no Rust object owns.
        unsafe { ((self.0 + offset) as *mut T).write_unaligned(value) };
        self.at(offset)
    }
    /// Integers that lie there.
    pub fn get<T: Copy>(self, offset: usize) -> T {
        // SAFETY: as above; only integers are read.
        unsafe { ((self.0 + offset) as *const T).read_unaligned() }
    }
    /// Fills the first page, so that what a call writes is seen.
    pub fn dirty(self) {
        // SAFETY: as above.
        unsafe { core::ptr::write_bytes(self.0 as *mut u8, 0xa5, crate::memory::PAGE) };
    }
}
