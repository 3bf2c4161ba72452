// SPDX-License-Identifier: GPL-2.0-only
//! The vDSO in an address space: where it goes, and what its pages are (Linux 6.1,
//! `arch/x86/entry/vdso/vma.c`; `mm/mmap.c`, `_install_special_mapping`).

use crate::arch::x86::lib::usercopy::TASK_SIZE_MAX;
use crate::arch::x86::mm::mmap::get_random_u64;
use crate::errno::{EEXIST, EFAULT, Errno, Result};
use crate::kernel::time::vsyscall::vvar_phys;
use crate::mm::Mm;
use crate::mm::mm_struct::{MmState, with_current_mm};
use crate::mm::page_alloc::{PAGE_SIZE, Page, page_align};
use crate::mm::vma::{Backing, SpecialMapping, SpecialPage, VmFlags, Vma};
use core::sync::atomic::{AtomicBool, Ordering};
use spin::Once;
use vdso::vvar::{VDSO_PAGES, VVAR_PAGES};

/// The shared object, as `build.rs` links it.
#[cfg(target_os = "none")]
static IMAGE: &[u8] = include_bytes!(env!("VDSO_IMAGE"));
/// The host maps none.
#[cfg(not(target_os = "none"))]
static IMAGE: &[u8] = &[];

const _: () = assert!(IMAGE.len() <= VDSO_PAGES * PAGE_SIZE, "the vDSO does not fit its pages");

/// Bytes of data below the image.
const VVAR_SIZE: usize = VVAR_PAGES * PAGE_SIZE;
/// Bytes of the image.
const VDSO_SIZE: usize = VDSO_PAGES * PAGE_SIZE;
/// What one page table reaches.
const PMD_SIZE: usize = 2 << 20;

/// Whether programs get a vDSO (`vdso=`).
static VDSO64_ENABLED: AtomicBool = AtomicBool::new(true);

/// Whether programs get a vDSO.
pub fn vdso64_enabled() -> bool {
    VDSO64_ENABLED.load(Ordering::Relaxed)
}

/// The number that a word starts with, as C reads it (`simple_strtoul` with base 0).
fn starts_with_number(word: &str) -> u64 {
    let (digits, radix) = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if word.starts_with('0') => (word, 8),
        None => (word, 10),
    };
    digits
        .chars()
        .map_while(|c| c.to_digit(radix))
        .fold(0, |n: u64, d| n.wrapping_mul(u64::from(radix)).wrapping_add(u64::from(d)))
}

/// Handles `vdso=`; false if it is something else.
pub fn setup(name: &str, value: Option<&str>) -> bool {
    if name != "vdso" {
        return false;
    }
    if let Some(value) = value {
        VDSO64_ENABLED.store(starts_with_number(value) != 0, Ordering::Relaxed);
    }
    true
}

/// The image's pages, which all programs share.
static PAGES: Once<[Page; VDSO_PAGES]> = Once::new();

/// Makes the pages, at boot (`init_vdso`).
#[cfg(target_os = "none")]
pub fn init_vdso() {
    PAGES.call_once(|| {
        core::array::from_fn(|i| {
            let page = Page::alloc_zeroed().expect("memory for the vDSO");
            let rest = IMAGE.get(i * PAGE_SIZE..).unwrap_or_default();
            page.write(0, &rest[..rest.len().min(PAGE_SIZE)]);
            page
        })
    });
}

/// A page of the image.
fn vdso_fault(pgoff: u64) -> Result<SpecialPage> {
    let page = PAGES.get().and_then(|all| all.get(usize::try_from(pgoff).ok()?)).ok_or(EFAULT)?;
    Ok(SpecialPage::Page(page.clone()))
}

/// Of the pages of data only the first is there.
fn vvar_fault(pgoff: u64) -> Result<SpecialPage> {
    if pgoff == 0 { vvar_phys().map(SpecialPage::Pfn).ok_or(EFAULT) } else { Err(EFAULT) }
}

/// The image has been moved.
fn vdso_mremap(st: &mut MmState, to: usize) {
    st.layout.vdso = to;
}

static VDSO_MAPPING: SpecialMapping =
    SpecialMapping { name: "[vdso]", fault: vdso_fault, mremap: Some(vdso_mremap) };
static VVAR_MAPPING: SpecialMapping = SpecialMapping { name: "[vvar]", fault: vvar_fault, mremap: None };

impl MmState {
    /// Maps data and image at `hint`, or where there is room (`map_vdso`).
    fn map_vdso(&mut self, hint: usize) -> Result {
        let addr = self.get_unmapped_area(hint, VVAR_SIZE + VDSO_SIZE, 0)?;
        let text = addr + VVAR_SIZE;
        // Debuggers may write breakpoints into a copy of it.
        let text_flags = VmFlags::READ | VmFlags::EXEC | VmFlags::MAYACCESS;
        self.install_special_mapping(text, VDSO_SIZE, text_flags, &VDSO_MAPPING)?;
        let data_flags = VmFlags::READ | VmFlags::MAYREAD | VmFlags::IO | VmFlags::DONTDUMP | VmFlags::PFNMAP;
        self.install_special_mapping(addr, VVAR_SIZE, data_flags, &VVAR_MAPPING).inspect_err(|_| {
            let _ = self.do_munmap(text, VDSO_SIZE);
        })?;
        self.layout.vdso = text;
        Ok(())
    }

    /// A mapping of the kernel's at a place that is free (`_install_special_mapping`).
    fn install_special_mapping(
        &mut self,
        addr: usize,
        len: usize,
        flags: VmFlags,
        mapping: &'static SpecialMapping,
    ) -> Result {
        let lock = VmFlags::LOCKED | VmFlags::LOCKONFAULT;
        let flags = flags | (self.def_flags - lock) | VmFlags::DONTEXPAND;
        self.vmas.try_reserve()?;
        // As large as it is whatever the limits are: it is the kernel's.
        self.stat.account(flags, (len / PAGE_SIZE) as isize);
        self.vmas.insert(Vma::new(addr, addr + len, flags, 0, Backing::Special(mapping)));
        Ok(())
    }

    /// Whether a part of the vDSO is mapped.
    fn has_vdso(&self) -> bool {
        let parts = [&raw const VDSO_MAPPING, &raw const VVAR_MAPPING];
        let is_part =
            |b: &Backing| matches!(b, Backing::Special(s) if parts.contains(&core::ptr::from_ref(*s)));
        self.vmas.iter().any(|v| is_part(&v.backing))
    }
}

/// Where `len` bytes go above a stack that starts at `start`: in the same page table, at a place
/// that `random` chooses (`vdso_addr`).
fn vdso_addr(start: usize, len: usize, random: u64) -> usize {
    let start = page_align(start);
    let end = ((start + len + PMD_SIZE - 1) & !(PMD_SIZE - 1)).min(TASK_SIZE_MAX) - len;
    if end <= start {
        return start;
    }
    let pages = ((end - start) / PAGE_SIZE + 1) as u64;
    start + (random % pages) as usize * PAGE_SIZE
}

/// Gives a new program its vDSO, unless there is none (`arch_setup_additional_pages`).
pub fn arch_setup_additional_pages(mm: &Mm) -> Result {
    if !vdso64_enabled() {
        return Ok(());
    }
    let mut st = mm.lock();
    let hint = vdso_addr(st.layout.start_stack, VVAR_SIZE + VDSO_SIZE, get_random_u64());
    st.map_vdso(hint)
}

/// `arch_prctl(ARCH_MAP_VDSO_64)`: maps it near `addr`, for who has none left. Returns the image's
/// size (`prctl_map_vdso`).
pub fn prctl_map_vdso(addr: usize) -> Result<usize> {
    with_current_mm(|mm| {
        let mut st = mm.lock();
        if st.has_vdso() {
            return Err::<usize, Errno>(EEXIST);
        }
        st.map_vdso(addr)?;
        Ok(VDSO_SIZE)
    })
    .ok_or(EFAULT)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_above_the_stack_into_the_same_page_table() {
        let len = VVAR_SIZE + VDSO_SIZE;
        let stack = 0x7ffc_1234_5678;
        let lowest = vdso_addr(stack, len, 0);
        assert_eq!(lowest, 0x7ffc_1234_6000);
        let highest = (0..512).map(|r| vdso_addr(stack, len, r)).max().unwrap();
        assert_eq!(highest, 0x7ffc_1240_0000 - len);
        // Without randomisation there is no room above: somebody else chooses the place.
        assert_eq!(vdso_addr(0x7fff_ffff_e010, len, 5), TASK_SIZE_MAX);
    }

    #[test]
    fn the_parameter_is_a_number_as_c_writes_it() {
        for (word, n) in [("0", 0), ("1", 1), ("0x10", 16), ("010", 8), ("2x", 2), ("x", 0), ("", 0)] {
            assert_eq!(starts_with_number(word), n, "{word}");
        }
    }
}
