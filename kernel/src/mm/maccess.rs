// SPDX-License-Identifier: GPL-2.0-only
//! Reading memory that may not be there (Linux 6.1, `mm/maccess.c`): for dumps, which
//! must not fault on top of the fault that they report.

use crate::arch::x86::lib::usercopy::TASK_SIZE_MAX;
use crate::errno::{EFAULT, ERANGE, Result};
use crate::mm::page_alloc::PAGE_SIZE;

/// Whether `addr` may be a kernel address at all (`copy_from_kernel_nofault_allowed`).
fn allowed(addr: usize) -> bool {
    let canonical = (addr as i64) << 16 >> 16 == addr as i64;
    canonical && addr >= TASK_SIZE_MAX + PAGE_SIZE
}

/// Copies from kernel memory that may not be mapped.
pub fn copy_from_kernel_nofault(dst: &mut [u8], src: usize) -> Result {
    if !allowed(src) {
        return Err(ERANGE);
    }
    #[cfg(target_os = "none")]
    {
        let left: usize;
        // SAFETY: `dst` is valid; a fault on the other side is recovered from through the
        // exception table.
        unsafe {
            core::arch::asm!(
                "2: rep movsb",
                "3:",
                crate::extable!("2", "3b", 1),
                inout("rcx") dst.len() => left,
                inout("rdi") dst.as_mut_ptr() => _,
                inout("rsi") src => _,
                options(nostack, preserves_flags),
            );
        }
        if left == 0 { Ok(()) } else { Err(EFAULT) }
    }
    #[cfg(not(target_os = "none"))]
    {
        let _ = dst;
        Err(EFAULT)
    }
}

/// Reads one word of kernel memory that may not be mapped.
pub fn read_kernel_nofault(src: usize) -> Result<u64> {
    let mut b = [0; 8];
    copy_from_kernel_nofault(&mut b, src)?;
    Ok(u64::from_ne_bytes(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kernel_addresses_are_tried() {
        assert!(!allowed(0));
        assert!(!allowed(0x7fff_ffff_ffff));
        assert!(!allowed(0x8000_0000_0000_0000));
        assert!(!allowed(0xffff_7fff_ffff_ffff));
        assert!(allowed(0xffff_8000_0000_0000));
        assert!(allowed(usize::MAX - 41));
    }
}
