// SPDX-License-Identifier: GPL-2.0-only
//! Local descriptor tables: `modify_ldt(2)` (Linux 6.1, `arch/x86/kernel/ldt.c`).
//!
//! An address space may have one; most have none. A table is never changed: a new one
//! takes its place, and is loaded before the old one goes.

use crate::arch::x86::kernel::cpu;
use crate::arch::x86::lib::usercopy::{clear_user, copy_to_user, get_user};
use crate::arch::x86::percpu::this_cpu;
use crate::errno::{EFAULT, EINVAL, ENOMEM, ENOSYS, Result};
use crate::kernel::task::current;
use crate::locking::{IrqLock, local_irq_restore, local_irq_save};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, Ordering};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Descriptors in the largest table (`LDT_ENTRIES`).
pub const LDT_ENTRIES: usize = 8192;
const LDT_ENTRY_SIZE: usize = 8;
/// The bit of a selector that says "in the LDT" (`SEGMENT_TI_MASK`).
pub const TI_LDT: u16 = 4;

/// `struct user_desc`: a segment descriptor as programs write it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct UserDesc {
    /// Index in the table.
    pub entry_number: u32,
    /// Where the segment begins.
    pub base_addr: u32,
    /// Its last byte, or its last page.
    pub limit: u32,
    /// From the lowest bit: `seg_32bit`, `contents` (2), `read_exec_only`,
    /// `limit_in_pages`, `seg_not_present`, `useable`, `lm`.
    pub flags: u32,
}

const _: () = assert!(size_of::<UserDesc>() == 16);

impl UserDesc {
    const NOT_PRESENT: u32 = 1 << 5;
    const READ_EXEC_ONLY: u32 = 1 << 3;

    const fn bit(&self, n: u32) -> u64 {
        (self.flags >> n & 1) as u64
    }
    /// Data, expand-down data, code, conforming code.
    pub const fn contents(&self) -> u32 {
        self.flags >> 1 & 3
    }
    /// 32-bit code or stack.
    pub const fn seg_32bit(&self) -> bool {
        self.bit(0) != 0
    }
    /// Using the segment raises #NP.
    pub const fn seg_not_present(&self) -> bool {
        self.flags & Self::NOT_PRESENT != 0
    }
    /// Whether this asks for an entry to be cleared (`LDT_empty`).
    pub const fn is_empty(&self) -> bool {
        let flags = self.flags & 0x7f;
        self.base_addr == 0 && self.limit == 0 && flags == Self::NOT_PRESENT | Self::READ_EXEC_ONLY
    }
    /// The same in the words of programs that do not know better (`LDT_zero`).
    pub const fn is_zero(&self) -> bool {
        self.base_addr == 0 && self.limit == 0 && self.flags & 0x7f == 0
    }

    /// The descriptor as the CPU reads it: of privilege 3, accessed, never of 64-bit
    /// code (`fill_ldt`).
    pub const fn descriptor(&self) -> u64 {
        let (base, limit) = (self.base_addr as u64, self.limit as u64);
        let kind = 1 | (self.bit(3) ^ 1) << 1 | (self.contents() as u64) << 2;
        limit & 0xffff
            | (base & 0x00ff_ffff) << 16
            | kind << 40
            | 1 << 44
            | 3 << 45
            | (self.bit(5) ^ 1) << 47
            | (limit >> 16 & 0xf) << 48
            | self.bit(6) << 52
            | self.bit(0) << 54
            | self.bit(4) << 55
            | (base >> 24) << 56
    }

    /// What a descriptor says (`fill_user_desc`).
    pub fn from_descriptor(entry_number: u32, d: u64) -> Self {
        let bit = |n: u32, to: u32| ((d >> n & 1) as u32) << to;
        let contents = (d >> 42 & 3) as u32;
        Self {
            entry_number,
            base_addr: (d >> 16 & 0x00ff_ffff) as u32 | (d >> 56 << 24) as u32,
            limit: (d & 0xffff | (d >> 48 & 0xf) << 16) as u32,
            flags: bit(54, 0)
                | contents << 1
                | bit(41, 3) ^ Self::READ_EXEC_ONLY
                | bit(55, 4)
                | bit(47, 5) ^ Self::NOT_PRESENT
                | bit(52, 6)
                | bit(53, 7),
        }
    }
}

/// A table.
pub struct Ldt(Vec<u64>);

impl Ldt {
    /// A table of `len` descriptors that begins as `old` does.
    fn new(old: Option<&Self>, len: usize) -> Result<Self> {
        let mut entries = Vec::new();
        entries.try_reserve_exact(len).map_err(|_| ENOMEM)?;
        entries.extend_from_slice(old.map_or(&[], |l| &l.0));
        entries.resize(len, 0);
        Ok(Self(entries))
    }
}

/// An address space's table, if it has one (`mm->context.ldt`).
#[derive(Default)]
pub struct MmLdt {
    owner: IrqLock<Option<Arc<Ldt>>>,
    /// The same, for the context switch.
    table: AtomicPtr<Ldt>,
}

impl MmLdt {
    /// A copy for `fork` (`ldt_dup_context`).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn fork(&self) -> Result<Self> {
        let owner = self.owner.lock();
        match owner.as_deref() {
            None => Ok(Self::default()),
            Some(l) => {
                let copy = Arc::new(Ldt::new(Some(l), l.0.len())?);
                let table = AtomicPtr::new(Arc::as_ptr(&copy).cast_mut());
                Ok(Self { owner: IrqLock::new(Some(copy)), table })
            }
        }
    }

    /// Makes this the table that the CPU uses, if it is not (`switch_ldt`).
    #[inline]
    pub fn activate(&self) {
        let table = self.table.load(Ordering::Relaxed);
        if table != this_cpu().ldt.get() {
            load(table);
        }
    }

    /// Whether there is a table.
    pub fn is_there(&self) -> bool {
        !self.table.load(Ordering::Relaxed).is_null()
    }

    /// The descriptor that `selector` names.
    pub fn descriptor(&self, selector: u16) -> Option<u64> {
        self.owner.lock().as_ref()?.0.get(usize::from(selector >> 3)).copied()
    }

    /// Puts `table` in place, and uses it (`install_ldt`).
    fn install(&self, table: Ldt) {
        let table = Arc::new(table);
        let mut owner = self.owner.lock();
        self.table.store(Arc::as_ptr(&table).cast_mut(), Ordering::Relaxed);
        let old = owner.replace(table);
        self.activate();
        drop(owner);
        drop(old);
    }
}

impl Drop for MmLdt {
    fn drop(&mut self) {
        if this_cpu_uses(self.table.load(Ordering::Relaxed)) {
            load(core::ptr::null_mut());
        }
    }
}

/// The descriptor that a selector names in the table that this CPU uses. Good in any context.
pub fn loaded_descriptor(selector: u16) -> Option<u64> {
    // SAFETY: its owner keeps it until another one is loaded, which no interrupted code has got to yet.
    let table = unsafe { this_cpu().ldt.get().as_ref() }?;
    table.0.get(usize::from(selector >> 3)).copied()
}

fn this_cpu_uses(table: *mut Ldt) -> bool {
    !table.is_null() && this_cpu().ldt.get() == table
}

/// The CPU uses no table, until an address space with one is activated.
#[inline]
pub fn deactivate() {
    if !this_cpu().ldt.get().is_null() {
        load(core::ptr::null_mut());
    }
}

/// Has the CPU use `table` (`load_mm_ldt`, `clear_LDT`).
#[cold]
fn load(table: *mut Ldt) {
    let irqs = local_irq_save();
    // SAFETY: its owner keeps it until another one is loaded.
    cpu::load_ldt(unsafe { table.as_ref() }.map(|t| (t.0.as_ptr() as u64, t.0.len() * LDT_ENTRY_SIZE)));
    this_cpu().ldt.set(table);
    local_irq_restore(irqs);
}

/// The running task's table.
fn with_ldt<R>(f: impl FnOnce(&MmLdt) -> R) -> Result<R> {
    let mm = current().get_mm().ok_or(EINVAL)?;
    Ok(f(&mm.ldt))
}

fn zero(ptr: usize, count: usize) -> Result {
    if clear_user(ptr, count) == 0 { Ok(()) } else { Err(EFAULT) }
}

/// Copies the table out, and zeroes behind it (`read_ldt`).
fn read_ldt(ptr: usize, count: usize) -> Result<usize> {
    let count = count.min(LDT_ENTRIES * LDT_ENTRY_SIZE);
    // Copied, so that no lock is held while user memory is touched.
    let copy = with_ldt(|l| {
        let owner = l.owner.lock();
        owner.as_deref().map(|l| Ldt::new(Some(l), l.0.len())).transpose()
    })??;
    let Some(copy) = copy else { return Ok(0) };
    let bytes = copy.0.as_bytes();
    let n = bytes.len().min(count);
    copy_to_user(ptr, &bytes[..n])?;
    zero(ptr + n, count - n)?;
    Ok(count)
}

/// The table that i386 once gave to everybody (`read_default_ldt`).
fn read_default_ldt(ptr: usize, count: usize) -> Result<usize> {
    let count = count.min(128);
    zero(ptr, count)?;
    Ok(count)
}

/// What is to stand in the table, or `EINVAL`.
fn checked_descriptor(info: &UserDesc, oldmode: bool) -> Result<u64> {
    if info.entry_number as usize >= LDT_ENTRIES {
        return Err(EINVAL);
    }
    if info.contents() == 3 && (oldmode || !info.seg_not_present()) {
        return Err(EINVAL);
    }
    if (oldmode && info.base_addr == 0 && info.limit == 0) || info.is_empty() {
        return Ok(0);
    }
    // The old call does not know the bit that is free for use.
    Ok(if oldmode { info.descriptor() & !(1 << 52) } else { info.descriptor() })
}

/// Writes one descriptor (`write_ldt`).
fn write_ldt(ptr: usize, count: usize, oldmode: bool) -> Result<usize> {
    if count != size_of::<UserDesc>() {
        return Err(EINVAL);
    }
    let info: UserDesc = get_user(ptr).map_err(|_| EFAULT)?;
    let descriptor = checked_descriptor(&info, oldmode)?;
    let at = info.entry_number as usize;
    with_ldt(|l| {
        let mut new = {
            let owner = l.owner.lock();
            let old = owner.as_deref();
            Ldt::new(old, old.map_or(0, |o| o.0.len()).max(at + 1))?
        };
        new.0[at] = descriptor;
        l.install(new);
        Ok(())
    })??;
    super::process_64::segments::refresh_ldt_segments();
    Ok(0)
}

/// `modify_ldt(2)`. Errors come as 32-bit numbers: Linux declares the call's result `int`.
pub fn sys_modify_ldt(func: i32, ptr: usize, count: usize) -> Result<usize> {
    let r = match func {
        0 => read_ldt(ptr, count),
        1 => write_ldt(ptr, count, true),
        2 => read_default_ldt(ptr, count),
        0x11 => write_ldt(ptr, count, false),
        _ => Err(ENOSYS),
    };
    Ok(r.unwrap_or_else(|e| e.as_ret() as u32 as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn descriptors_are_linux_s() {
        // 32-bit code and data over all 4 GiB, as in Linux's own GDT, with AVL clear.
        let code = UserDesc { base_addr: 0, limit: 0xf_ffff, flags: 0b001_0101, ..UserDesc::default() };
        assert_eq!(code.descriptor(), 0x00cf_fb00_0000_ffff);
        let data = UserDesc { flags: 0b001_0001, ..code };
        assert_eq!(data.descriptor(), 0x00cf_f300_0000_ffff);
        let gone = UserDesc { flags: 0b010_0001, base_addr: 0x1234_5678, limit: 0x9abcd, ..data };
        assert_eq!(gone.descriptor(), 0x1249_7334_5678_abcd);
    }

    #[test]
    fn what_may_be_written() {
        let ok = UserDesc { limit: 1, flags: 1, ..UserDesc::default() };
        assert!(checked_descriptor(&ok, false).is_ok_and(|d| d != 0));
        assert_eq!(checked_descriptor(&UserDesc { entry_number: 8192, ..ok }, false), Err(EINVAL));
        // Conforming code only if it is not present, and never by the old call.
        let conforming = UserDesc { flags: 0b110, ..ok };
        assert_eq!(checked_descriptor(&conforming, false), Err(EINVAL));
        let absent = UserDesc { flags: 0b10_0110, ..ok };
        assert!(checked_descriptor(&absent, false).is_ok());
        assert_eq!(checked_descriptor(&absent, true), Err(EINVAL));
        // Clearing.
        assert_eq!(checked_descriptor(&UserDesc { flags: 0b10_1000, ..UserDesc::default() }, false), Ok(0));
        assert_eq!(checked_descriptor(&UserDesc { flags: 1, ..UserDesc::default() }, true), Ok(0));
        assert!(
            checked_descriptor(&UserDesc { flags: 1, ..UserDesc::default() }, false).is_ok_and(|d| d != 0)
        );
        let useable = UserDesc { flags: 0b100_0001, ..ok };
        assert_eq!(checked_descriptor(&useable, true), checked_descriptor(&ok, true));
    }

    proptest! {
        #[test]
        fn a_descriptor_tells_what_it_was_made_of(base: u32, limit in 0u32..0x10_0000, flags in 0u32..0x80) {
            let d = UserDesc { entry_number: 7, base_addr: base, limit, flags };
            prop_assert_eq!(UserDesc::from_descriptor(7, d.descriptor()), d);
            // Present or not, it is a code or data segment of privilege 3 that is not 64-bit.
            prop_assert_eq!(d.descriptor() >> 44 & 7, 7);
            prop_assert_eq!(d.descriptor() >> 53 & 1, 0);
        }
    }
}
