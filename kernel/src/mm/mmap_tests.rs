// SPDX-License-Identifier: GPL-2.0-only
//! What `mmap` allows, and with which flags.

use super::*;
use crate::errno::ENODEV;
use crate::mm::page_alloc::Page;
use crate::mm::vma::VmFile;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::MAP_SYNC;

struct NoPages;

impl VmFile for NoPages {
    fn fault_page(&self, _: u64) -> Result<Page> {
        Err(ENODEV)
    }
    fn size(&self) -> u64 {
        0
    }
    fn name(&self, _: &mut Vec<u8>) {}
}

fn args(prot: u32, flags: u32) -> MmapArgs {
    MmapArgs { addr: 0, len: 4096, prot, flags, pgoff: 0 }
}

fn file(readable: bool, writable: bool, noexec: bool) -> MmapFile {
    MmapFile { file: Ok(Arc::new(NoPages)), readable, writable, noexec, sealed: false }
}

fn flags_of(prot: u32, flags: u32, f: Option<&MmapFile>) -> Result<VmFlags> {
    mmap_vm_flags(&args(prot, flags), f, VmFlags::empty())
}

#[test]
fn anonymous_memory() {
    let rw = prot::READ | prot::WRITE;
    let all = VmFlags::READ | VmFlags::WRITE | VmFlags::MAYACCESS;
    assert_eq!(flags_of(rw, MAP_PRIVATE, None), Ok(all));
    assert_eq!(flags_of(rw, MAP_SHARED, None), Ok(all | VmFlags::SHARED | VmFlags::MAYSHARE));
    assert_eq!(flags_of(rw, MAP_PRIVATE | MAP_GROWSDOWN, None), Ok(all | VmFlags::GROWSDOWN));
    assert_eq!(flags_of(rw, MAP_SHARED | MAP_GROWSDOWN, None), Err(EINVAL));
    assert_eq!(flags_of(rw, 0, None), Err(EINVAL));
    assert_eq!(flags_of(rw, MAP_SHARED_VALIDATE, None), Err(EINVAL));
}

#[test]
fn files_allow_what_they_were_opened_for() {
    let rw = prot::READ | prot::WRITE;
    let ro = file(true, false, false);
    assert_eq!(flags_of(rw, MAP_SHARED, Some(&ro)), Err(EACCES));
    // Shared and read-only: never writable, and not marked as shared.
    let f = flags_of(prot::READ, MAP_SHARED, Some(&ro)).unwrap();
    assert!(!f.intersects(VmFlags::SHARED | VmFlags::MAYWRITE) && f.contains(VmFlags::MAYSHARE));
    // Private pages may be written, whatever the file allows.
    assert!(flags_of(rw, MAP_PRIVATE, Some(&ro)).unwrap().contains(VmFlags::WRITE | VmFlags::MAYWRITE));
    assert_eq!(flags_of(prot::WRITE, MAP_PRIVATE, Some(&file(false, true, false))), Err(EACCES));
    let noexec = file(true, true, true);
    assert_eq!(flags_of(prot::EXEC, MAP_PRIVATE, Some(&noexec)), Err(EPERM));
    assert!(!flags_of(rw, MAP_PRIVATE, Some(&noexec)).unwrap().contains(VmFlags::MAYEXEC));
    assert_eq!(flags_of(rw, MAP_PRIVATE | MAP_GROWSDOWN, Some(&ro)), Err(EINVAL));
    assert_eq!(flags_of(prot::READ, MAP_SHARED_VALIDATE | MAP_SYNC, Some(&ro)), Err(EOPNOTSUPP));
}

#[test]
fn hints_below_the_minimum_are_raised() {
    assert_eq!(round_hint_to_min(0), 0);
    assert_eq!(round_hint_to_min(1), 0);
    assert_eq!(round_hint_to_min(0x1000), 0x10000);
    assert_eq!(round_hint_to_min(0x2_0fff), 0x2_0000);
}
