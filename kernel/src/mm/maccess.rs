// SPDX-License-Identifier: GPL-2.0-only
//! Reading memory that may not be there (Linux 6.1, `mm/maccess.c`): for dumps, which
//! must not fault on top of the fault that they report.

use crate::arch::x86::lib::usercopy::{TASK_SIZE_MAX, access_ok};
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

/// Copies from the current address space's user memory as far as it is present now:
/// nothing is faulted in, so that any context may call it (`copy_from_user_nofault`,
/// `copy_from_user_nmi`).
///
/// The page tables are walked by hand and the bytes read through the direct map: what a
/// program could not read itself (no page, no right, a protection key) is refused.
pub fn copy_from_user_nofault(dst: &mut [u8], src: usize) -> Result {
    if !access_ok(src, dst.len()) {
        return Err(EFAULT);
    }
    let mut done = 0;
    while done < dst.len() {
        let at = src + done;
        let n = (PAGE_SIZE - at % PAGE_SIZE).min(dst.len() - done);
        let from = walk::user_page(at).ok_or(EFAULT)?;
        // SAFETY: a present page's frame, in the direct map; it may change under us, but it
        // is only copied.
        unsafe { core::ptr::copy_nonoverlapping(from, dst[done..].as_mut_ptr(), n) };
        done += n;
    }
    Ok(())
}

/// The page-table walk behind [`copy_from_user_nofault`].
#[cfg(target_os = "none")]
mod walk {
    use crate::arch::x86::mm::init::phys_to_virt;

    const PRESENT: u64 = 1;
    const USER: u64 = 1 << 2;
    const HUGE: u64 = 1 << 7;
    const ADDR: u64 = 0x000f_ffff_ffff_f000;

    /// Whether PKRU lets user mode read pages with the key of `pte`.
    fn pkey_allows(pte: u64) -> bool {
        let key = (pte >> 59) & 15;
        if key == 0 || !crate::arch::x86::kernel::cpu::has_ospke() {
            return true;
        }
        let pkru: u32;
        // SAFETY: RDPKRU exists since CR4.PKE is set; it only reads.
        unsafe {
            core::arch::asm!("rdpkru", in("ecx") 0, out("eax") pkru, out("edx") _, options(nomem, nostack, preserves_flags));
        };
        pkru >> (2 * key) & 1 == 0
    }

    /// Where the byte at user address `va` is in the direct map, if user mode may read it.
    pub fn user_page(va: usize) -> Option<*const u8> {
        let (cr3, _) = x86_64::registers::control::Cr3::read();
        let mut table = cr3.start_address().as_u64();
        for level in (0..4).rev() {
            let shift = 12 + 9 * level;
            let index = va >> shift & 511;
            // SAFETY: a page table of the running address space, in the direct map.
            let e = unsafe {
                core::ptr::with_exposed_provenance::<u64>(phys_to_virt(table).addr() + 8 * index)
                    .read_volatile()
            };
            if e & (PRESENT | USER) != PRESENT | USER {
                return None;
            }
            if level == 0 || e & HUGE != 0 {
                let mask = (1u64 << shift) - 1;
                return pkey_allows(e)
                    .then(|| phys_to_virt((e & ADDR & !mask) + (va as u64 & mask)).cast_const());
            }
            table = e & ADDR;
        }
        None
    }
}

/// On the host there is no user memory.
#[cfg(not(target_os = "none"))]
mod walk {
    pub fn user_page(_va: usize) -> Option<*const u8> {
        None
    }
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
