// SPDX-License-Identifier: GPL-2.0-only
//! Memory protection keys: a second, per-thread opinion on what pages allow.
//!
//! Each mapping has one of 16 keys; the register PKRU says what the thread may do
//! with each. `mprotect(PROT_EXEC)` uses one for memory that can be executed but
//! not read. After Linux 6.1, `arch/x86/mm/pkeys.c`, `arch/x86/include/asm/pkeys.h`,
//! `mm/mprotect.c` (the system calls).

use crate::arch::x86::kernel::cpu::has_ospke;
use crate::errno::{EINVAL, ENOSPC, Result};
use crate::mm::mm_struct::with_current_mm;
use crate::mm::vma::{VmFlags, prot};
use linux_raw_sys::general::{PKEY_DISABLE_ACCESS, PKEY_DISABLE_WRITE};

/// Keys that the hardware has.
const MAX_PKEY: i32 = 16;

/// The keys of an address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkeys {
    /// One bit for each key in use; key 0 always is at first.
    allocated: u16,
    /// The key of execute-only memory, once there is any.
    execute_only: Option<u8>,
}

impl Default for Pkeys {
    fn default() -> Self {
        Self { allocated: 1, execute_only: None }
    }
}

impl Pkeys {
    /// A free key (`mm_pkey_alloc`).
    fn alloc(&mut self) -> Option<u8> {
        let key = self.allocated.trailing_ones();
        if key >= MAX_PKEY as u32 {
            return None;
        }
        self.allocated |= 1 << key;
        Some(key as u8)
    }

    /// The key, if the program has it (`mm_pkey_is_allocated`).
    fn check(&self, key: i32) -> Result<u8> {
        let max = if has_ospke() { MAX_PKEY } else { 1 };
        let ours = (0..max).contains(&key)
            && self.allocated & 1 << key != 0
            && self.execute_only.is_none_or(|x| i32::from(x) != key);
        if ours { Ok(key as u8) } else { Err(EINVAL) }
    }

    /// The key for execute-only memory; `None` without hardware, or when all are
    /// taken (`__execute_only_pkey`).
    fn execute_only(&mut self) -> Option<u8> {
        if !has_ospke() {
            return None;
        }
        let key = match self.execute_only {
            Some(k) if !pkru_allows(read_pkru(), k, false) => return Some(k),
            Some(k) => k,
            None => self.alloc()?,
        };
        set_user_pkey_access(key, PKEY_DISABLE_ACCESS);
        self.execute_only = Some(key);
        Some(key)
    }

    /// The key of a new mapping with `prot`.
    pub fn for_mmap(&mut self, prot: u32) -> u8 {
        if prot == prot::EXEC { self.execute_only().unwrap_or(0) } else { 0 }
    }

    /// The key that a mapping with `old` flags has after `mprotect` with `prot`;
    /// `wanted` is `pkey_mprotect`'s (`arch_override_mprotect_pkey`).
    pub fn for_mprotect(&mut self, old: VmFlags, prot: u32, wanted: Option<u8>) -> u8 {
        if let Some(k) = wanted {
            return k;
        }
        if prot == prot::EXEC
            && let Some(k) = self.execute_only()
        {
            return k;
        }
        let was_execute_only =
            old & VmFlags::ACCESS == VmFlags::EXEC && self.execute_only == Some(old.pkey());
        if prot != prot::EXEC && was_execute_only { 0 } else { old.pkey() }
    }

    /// `pkey_mprotect`'s argument: -1 means "as it is".
    pub fn argument(&self, key: i32) -> Result<Option<u8>> {
        if key == -1 { Ok(None) } else { self.check(key).map(Some) }
    }
}

/// Whether PKRU lets the thread access memory with `key` (`__pkru_allows_pkey`).
fn pkru_allows(pkru: u32, key: u8, write: bool) -> bool {
    let denied = pkru >> (2 * key);
    denied & PKEY_DISABLE_ACCESS == 0 && !(write && denied & PKEY_DISABLE_WRITE != 0)
}

/// Whether the running thread's keys forbid an access to a mapping with `flags`.
/// They never forbid execution (`arch_vma_access_permitted`).
#[inline]
pub fn denies(flags: VmFlags, write: bool, execute: bool) -> bool {
    has_ospke() && !execute && !pkru_allows(read_pkru(), flags.pkey(), write)
}

/// The running thread's PKRU.
fn read_pkru() -> u32 {
    #[cfg(target_os = "none")]
    {
        let pkru: u32;
        // SAFETY: callers have seen `has_ospke`, so the instruction exists; it only reads.
        unsafe {
            core::arch::asm!("rdpkru", in("ecx") 0, out("eax") pkru, out("edx") _, options(nomem, nostack, preserves_flags));
        };
        pkru
    }
    #[cfg(not(target_os = "none"))]
    {
        0
    }
}

/// Sets what the running thread may do with `key`.
fn set_user_pkey_access(key: u8, rights: u32) {
    let shift = 2 * key;
    let pkru = read_pkru() & !(3 << shift) | rights << shift;
    #[cfg(target_os = "none")]
    // SAFETY: as in `read_pkru`; the register belongs to the running thread's user
    // state, and kernel code is subject to it only where it reaches user memory.
    unsafe {
        core::arch::asm!("wrpkru", in("eax") pkru, in("ecx") 0, in("edx") 0, options(nostack, preserves_flags));
    }
    #[cfg(not(target_os = "none"))]
    let _ = pkru;
}

/// `pkey_alloc(2)`.
pub fn sys_pkey_alloc(flags: usize, rights: usize) -> Result<usize> {
    if flags != 0 || rights & !(PKEY_DISABLE_ACCESS | PKEY_DISABLE_WRITE) as usize != 0 {
        return Err(EINVAL);
    }
    if !has_ospke() {
        return Err(ENOSPC);
    }
    let key = with_current_mm(|mm| mm.lock().pkeys.alloc()).flatten().ok_or(ENOSPC)?;
    set_user_pkey_access(key, rights as u32);
    Ok(usize::from(key))
}

/// `pkey_free(2)`.
pub fn sys_pkey_free(key: i32) -> Result<usize> {
    with_current_mm(|mm| {
        let mut st = mm.lock();
        let key = st.pkeys.check(key)?;
        st.pkeys.allocated &= !(1 << key);
        Ok(0)
    })
    .ok_or(EINVAL)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_given_once() {
        let mut p = Pkeys::default();
        for k in 1..16 {
            assert_eq!(p.alloc(), Some(k));
        }
        assert_eq!(p.alloc(), None);
        p.allocated &= !(1 << 5);
        assert_eq!(p.alloc(), Some(5));
    }

    #[test]
    fn rights_are_two_bits_each() {
        assert!(pkru_allows(0x5555_5554, 0, true));
        assert!(!pkru_allows(0x5555_5554, 1, false));
        assert!(pkru_allows(2 << 6, 3, false));
        assert!(!pkru_allows(2 << 6, 3, true));
        assert!(!pkru_allows(1 << 6, 3, true));
    }

    #[test]
    fn mprotect_leaves_execute_only_behind() {
        let mut p = Pkeys { allocated: 3, execute_only: Some(1) };
        let xonly = VmFlags::EXEC | VmFlags::PKEY_BIT0;
        assert_eq!(p.for_mprotect(xonly, prot::READ, None), 0);
        assert_eq!(p.for_mprotect(xonly, prot::READ, Some(4)), 4);
        // A key that the program chose stays.
        assert_eq!(p.for_mprotect(VmFlags::READ | VmFlags::PKEY_BIT1, prot::READ | prot::WRITE, None), 2);
    }
}
