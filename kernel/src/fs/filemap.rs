// SPDX-License-Identifier: GPL-2.0-only
//! The page cache: files that live in memory (Linux 6.1, `mm/filemap.c`, `mm/shmem.c`).
//!
//! No lock is held while user memory is copied: pages are reference-counted, so a
//! page that is being copied outlives a truncation.

use crate::arch::x86::lib::usercopy::{clear_user, copy_from_user_partial, copy_to_user_partial};
use crate::errno::{EFAULT, EFBIG, EIO, Result};
use crate::fs::superblock::SuperBlock;
use crate::locking::SpinLock;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use crate::mm::vma::VmFile;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// Largest file.
pub const MAX_FILE: u64 = i64::MAX as u64;

/// A file's pages and size.
pub struct AddressSpace {
    sb: Arc<SuperBlock>,
    pages: SpinLock<BTreeMap<u64, Page>>,
    size: AtomicU64,
}

/// The bytes of `page` from `off` on, as a slice for a copy. Mappings may change them
/// meanwhile, as they may during any read of a shared file.
fn page_bytes(page: &Page, off: usize, len: usize) -> &[u8] {
    assert!(off + len <= PAGE_SIZE);
    // SAFETY: within the page, which the reference keeps alive; bytes are always valid.
    unsafe { core::slice::from_raw_parts(page.as_ptr().add(off), len) }
}

impl AddressSpace {
    /// An empty file.
    pub fn new(sb: &Arc<SuperBlock>) -> Self {
        Self { sb: sb.clone(), pages: SpinLock::new(BTreeMap::new()), size: AtomicU64::new(0) }
    }
    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }
    /// Pages in memory.
    pub fn nr_pages(&self) -> usize {
        self.pages.lock().len()
    }
    /// The page, if it is there; a hole reads as zeroes.
    pub fn find(&self, idx: u64) -> Option<Page> {
        self.pages.lock().get(&idx).cloned()
    }
    /// The page, made if it is not there.
    pub fn find_or_create(&self, idx: u64) -> Result<Page> {
        if let Some(p) = self.find(idx) {
            return Ok(p);
        }
        self.sb.charge_page()?;
        let p = Page::alloc_user_zeroed().inspect_err(|_| self.sb.uncharge_pages(1))?;
        self.pages.lock().insert(idx, p.clone());
        Ok(p)
    }
    /// Makes the file `size` bytes long.
    pub fn truncate(&self, size: u64) {
        let old = self.size.swap(size, Ordering::AcqRel);
        if size >= old {
            return;
        }
        let keep = size.div_ceil(PAGE_SIZE as u64);
        let gone = self.pages.lock().split_off(&keep);
        self.sb.uncharge_pages(gone.len());
        if !gone.is_empty() {
            crate::mm::memory::unmap_mapping_range(core::ptr::from_ref(self) as usize, keep);
        }
        drop(gone);
        let tail = (size % PAGE_SIZE as u64) as usize;
        if tail != 0
            && let Some(p) = self.find(keep - 1)
        {
            p.write(tail, &[0; PAGE_SIZE][tail..]);
        }
    }
    /// Copies out of the file; returns how much there was.
    pub fn read_kernel(&self, pos: u64, buf: &mut [u8]) -> usize {
        let end = self.size().min(pos.saturating_add(buf.len() as u64));
        let mut at = pos;
        while at < end {
            let (idx, off) = (at / PAGE_SIZE as u64, (at % PAGE_SIZE as u64) as usize);
            let n = (PAGE_SIZE - off).min((end - at) as usize);
            let out = &mut buf[(at - pos) as usize..][..n];
            match self.find(idx) {
                Some(p) => p.read(off, out),
                None => out.fill(0),
            }
            at += n as u64;
        }
        at.saturating_sub(pos) as usize
    }
    /// Copies into the file, growing it.
    pub fn write_kernel(&self, pos: u64, buf: &[u8]) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let at = pos + done as u64;
            let off = (at % PAGE_SIZE as u64) as usize;
            let n = (PAGE_SIZE - off).min(buf.len() - done);
            match self.find_or_create(at / PAGE_SIZE as u64) {
                Ok(p) => p.write(off, &buf[done..done + n]),
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
            done += n;
        }
        self.size.fetch_max(pos + done as u64, Ordering::AcqRel);
        Ok(done)
    }
    /// Copies to user memory (`filemap_read`).
    pub fn read_user(&self, pos: u64, dst: usize, len: usize) -> Result<usize> {
        let end = self.size().min(pos.saturating_add(len as u64));
        let mut at = pos;
        while at < end {
            let (idx, off) = (at / PAGE_SIZE as u64, (at % PAGE_SIZE as u64) as usize);
            let n = (PAGE_SIZE - off).min((end - at) as usize);
            let to = dst + (at - pos) as usize;
            let left = match self.find(idx) {
                Some(p) => copy_to_user_partial(to, page_bytes(&p, off, n)),
                None => clear_user(to, n),
            };
            at += (n - left) as u64;
            if left != 0 {
                return if at == pos { Err(EFAULT) } else { Ok((at - pos) as usize) };
            }
        }
        Ok(at.saturating_sub(pos) as usize)
    }
    /// Copies from user memory, growing the file (`generic_perform_write`).
    pub fn write_user(&self, pos: u64, src: usize, len: usize) -> Result<usize> {
        if pos.checked_add(len as u64).is_none_or(|e| e > MAX_FILE) {
            return Err(EFBIG);
        }
        let mut bounce = [0u8; 512];
        let mut done = 0;
        while done < len {
            let at = pos + done as u64;
            let off = (at % PAGE_SIZE as u64) as usize;
            let n = (PAGE_SIZE - off).min(len - done).min(bounce.len());
            let left = copy_from_user_partial(&mut bounce[..n], src + done);
            let got = n - left;
            if got != 0 {
                match self.write_kernel(at, &bounce[..got]) {
                    Ok(w) => done += w,
                    Err(e) if done == 0 => return Err(e),
                    Err(_) => break,
                }
            }
            if left != 0 {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
        }
        Ok(done)
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        self.sb.uncharge_pages(self.pages.lock().len());
    }
}

/// A regular file as a mapping's backing.
pub struct MappedFile {
    /// Which file, under which name.
    pub path: crate::fs::namespace::Path,
}

impl MappedFile {
    fn mapping(&self) -> Result<&AddressSpace> {
        self.path.dentry.inode.ops.mapping().ok_or(EIO)
    }
}

impl VmFile for MappedFile {
    fn fault_page(&self, pgoff: u64) -> Result<Page> {
        let m = self.mapping()?;
        if pgoff >= m.size().div_ceil(PAGE_SIZE as u64) {
            return Err(EIO);
        }
        m.find_or_create(pgoff)
    }
    fn cached_page(&self, pgoff: u64) -> Option<Page> {
        let m = self.mapping().ok()?;
        if pgoff >= m.size().div_ceil(PAGE_SIZE as u64) { None } else { m.find(pgoff) }
    }
    fn size(&self) -> u64 {
        self.mapping().map_or(0, AddressSpace::size)
    }
    fn mapping_id(&self) -> usize {
        self.mapping().map_or(0, |m| core::ptr::from_ref(m) as usize)
    }
    fn name(&self, out: &mut Vec<u8>) {
        out.extend(self.path.d_path());
    }
    fn dev_ino(&self) -> (u64, u64) {
        let i = &self.path.dentry.inode;
        (i.sb.dev.user(), i.ino)
    }
}
