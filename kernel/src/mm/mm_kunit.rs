// SPDX-License-Identifier: GPL-2.0-only
//! In-kernel tests of address spaces: what needs real page tables.

use crate::arch::x86::mm::pgtable::PteFlags;
use crate::errno::{EACCES, EFAULT, ENOMEM};
use crate::kernel::kunit::Kunit;
use crate::mm::i_mmap::IMmap;
use crate::mm::mm_struct::{Mm, MmState};
use crate::mm::mmap::{MmapArgs, VM_DATA_DEFAULT};
use crate::mm::page_alloc::{PAGE_SIZE, Page, nr_free_pages, with_reserve, wmark_kernel};
use crate::mm::vma::{Backing, VmFlags};
use crate::{kunit_assert, kunit_assert_eq, kunit_suite};
use alloc::sync::Arc;
use alloc::vec::Vec;

kunit_suite! { "mm": pages_come_back, demand_zero, copy_on_write, protection, protect_many, moving, stack_growth, shared_memory, mappings_that_move, reserve }

/// What is done to all mappings of a file is done to those that move meanwhile, too.
fn mappings_that_move(test: &mut Kunit) {
    let (mm, file) = (new_mm(), IMmap::default());
    let weak = Arc::downgrade(&mm);
    let slots = [1, 2, 3].map(|start| file.link(&weak, start, false));
    let mut seen = Vec::new();
    file.for_each(|_, start| {
        seen.push(start);
        if seen.len() == 2 {
            // The last one gets the place of the first, which was passed already.
            file.unlink(&slots[0], false);
            file.unlink(&slots[2], false);
            file.link(&weak, 4, false);
            file.link(&weak, 5, false);
        }
    });
    kunit_assert!(test, [2, 4, 5].iter().all(|s| seen[2..].contains(s)));
    seen.clear();
    file.for_each(|_, start| seen.push(start));
    kunit_assert_eq!(test, seen.len(), 3);
}

/// Lists that must grow do, when nobody else gets anything any more.
fn reserve(test: &mut Kunit) {
    const MORE_THAN_AN_ARENA_HAS: usize = 64 * 1024;
    let mut all: Vec<Page> = Vec::new();
    kunit_assert!(test, all.try_reserve_exact(nr_free_pages()).is_ok());
    let before = nr_free_pages();
    while let Ok(p) = Page::alloc() {
        all.push(p);
    }
    let mut list: Vec<u8> = Vec::new();
    let refused = list.try_reserve_exact(MORE_THAN_AN_ARENA_HAS).is_err();
    let granted = with_reserve(|| list.try_reserve_exact(MORE_THAN_AN_ARENA_HAS).is_ok());
    let (free, pages) = (nr_free_pages(), Page::alloc().is_err());
    drop(list);
    all.clear();
    kunit_assert_eq!(test, (refused, granted, pages), (true, true, true));
    kunit_assert!(test, free < wmark_kernel());
    // The kernel keeps page tables of its own space.
    kunit_assert!(test, nr_free_pages() + 3 >= before);
}

const BASE: usize = 0x1000_0000;
const RW: u32 = 3;
const PRIVATE: u32 = 0x22;
const SHARED: u32 = 0x21;

/// A space that searches for room below `BASE`.
fn new_mm() -> Arc<Mm> {
    let mm = Mm::new().expect("memory for a test");
    mm.lock().layout.mmap_base = BASE;
    mm
}

fn map(st: &mut MmState, addr: usize, pages: usize, prot: u32, flags: u32) -> usize {
    let fixed = if addr == 0 { 0 } else { 0x10 };
    let a = MmapArgs { addr, len: pages * PAGE_SIZE, prot, flags: flags | fixed, pgoff: 0 };
    st.do_mmap(a, None).unwrap_or(0)
}

/// Writes and reads back one byte of the space.
fn poke(mm: &Mm, addr: usize, v: u8) -> bool {
    let mut b = [0];
    mm.write_bytes(addr, &[v]).is_ok() && mm.read_bytes(addr, &mut b).is_ok() && b[0] == v
}

fn peek(mm: &Mm, addr: usize) -> Option<u8> {
    let mut b = [0];
    mm.read_bytes(addr, &mut b).ok().map(|()| b[0])
}

/// Maps, touches, forks and drops a space.
fn churn() {
    let mm = new_mm();
    map(&mut mm.lock(), BASE, 700, RW, PRIVATE);
    for i in (0..700).step_by(3) {
        poke(&mm, BASE + i * PAGE_SIZE, 1);
    }
    let child = mm.fork();
    if let Ok(c) = &child {
        poke(c, BASE, 2);
    }
    let _ = mm.lock().do_munmap(BASE + PAGE_SIZE, 600 * PAGE_SIZE);
}

fn pages_come_back(test: &mut Kunit) {
    // The first round fills caches (quicklists, the heap).
    churn();
    let before = nr_free_pages();
    churn();
    kunit_assert_eq!(test, nr_free_pages(), before);
}

fn demand_zero(test: &mut Kunit) {
    let mm = new_mm();
    let at = map(&mut mm.lock(), 0, 2, RW, PRIVATE);
    kunit_assert_eq!(test, at, BASE - 2 * PAGE_SIZE);
    kunit_assert!(test, mm.lock().pt.get(at).is_none());
    kunit_assert_eq!(test, peek(&mm, at), Some(0));
    // Read: the zero page, which is nobody's. Written: a page of its own.
    kunit_assert!(test, mm.lock().pt.get(at).has(PteFlags::SPECIAL));
    kunit_assert_eq!(test, mm.lock().rss.anon, 0);
    kunit_assert!(test, poke(&mm, at, 7));
    kunit_assert!(test, mm.lock().pt.get(at).has(PteFlags::ANON | PteFlags::RW));
    kunit_assert_eq!(test, mm.lock().rss.anon, 1);
    kunit_assert_eq!(test, peek(&mm, at + 2 * PAGE_SIZE), None);
}

fn copy_on_write(test: &mut Kunit) {
    let mm = new_mm();
    map(&mut mm.lock(), BASE, 1, RW, PRIVATE);
    kunit_assert!(test, poke(&mm, BASE, 1));
    let child = mm.fork().expect("memory for a test");
    let page = mm.lock().pt.get(BASE).phys();
    kunit_assert_eq!(test, child.lock().pt.get(BASE).phys(), page);
    kunit_assert!(test, !mm.lock().pt.get(BASE).has(PteFlags::RW));
    kunit_assert!(test, poke(&child, BASE, 2));
    kunit_assert_eq!(test, peek(&mm, BASE), Some(1));
    kunit_assert!(test, child.lock().pt.get(BASE).phys() != page);
    // The last owner keeps the page.
    kunit_assert!(test, poke(&mm, BASE, 3));
    kunit_assert_eq!(test, mm.lock().pt.get(BASE).phys(), page);
}

fn protection(test: &mut Kunit) {
    let mm = new_mm();
    map(&mut mm.lock(), BASE, 3, RW, PRIVATE);
    kunit_assert!(test, poke(&mm, BASE + PAGE_SIZE, 9));
    kunit_assert_eq!(test, mm.lock().do_mprotect(BASE + PAGE_SIZE, PAGE_SIZE, 0), Ok(()));
    kunit_assert_eq!(test, mm.lock().vmas.len(), 3);
    let pte = mm.lock().pt.get(BASE + PAGE_SIZE);
    kunit_assert!(test, !pte.present() && pte.owns_page());
    kunit_assert_eq!(test, mm.read_bytes(BASE + PAGE_SIZE, &mut [0]), Err(EFAULT));
    // A debugger sees it all the same.
    let mut b = [0];
    kunit_assert_eq!(test, mm.access_read(BASE + PAGE_SIZE, &mut b), 1);
    kunit_assert_eq!(test, b[0], 9);
    kunit_assert_eq!(test, mm.lock().do_mprotect(BASE, 3 * PAGE_SIZE, RW), Ok(()));
    kunit_assert_eq!(test, mm.lock().vmas.len(), 1);
    kunit_assert!(test, mm.lock().pt.get(BASE + PAGE_SIZE).has(PteFlags::RW | PteFlags::PRESENT));
    kunit_assert_eq!(test, mm.lock().do_mprotect(BASE, 4 * PAGE_SIZE, 1), Err(ENOMEM));
    kunit_assert_eq!(test, mm.lock().do_mprotect(BASE, PAGE_SIZE, RW | 4), Ok(()));
    // What may never be written cannot be made writable.
    let flags = VmFlags::READ | VmFlags::MAYREAD | VmFlags::MAYSHARE;
    let at = BASE + 16 * PAGE_SIZE;
    let r = mm.lock().mmap_region(at, PAGE_SIZE, flags, 0, Backing::Anon).map(|_| ());
    kunit_assert_eq!(test, r, Ok(()));
    kunit_assert_eq!(test, mm.lock().do_mprotect(at, PAGE_SIZE, RW), Err(EACCES));
}

fn protect_many(test: &mut Kunit) {
    let mm = new_mm();
    for i in 0..5 {
        map(&mut mm.lock(), BASE + i * PAGE_SIZE, 1, if i % 2 == 0 { 1 } else { RW }, PRIVATE);
    }
    kunit_assert_eq!(test, mm.lock().vmas.len(), 5);
    // Starts and ends within mappings, merges on the way.
    kunit_assert_eq!(test, mm.lock().do_mprotect(BASE + PAGE_SIZE, 3 * PAGE_SIZE, RW), Ok(()));
    kunit_assert_eq!(test, mm.lock().vmas.len(), 3);
    kunit_assert_eq!(test, mm.lock().do_mprotect(BASE, 5 * PAGE_SIZE, RW), Ok(()));
    kunit_assert_eq!(test, mm.lock().vmas.len(), 1);
    // A hole: what comes before it is changed, then the call fails.
    kunit_assert_eq!(test, mm.lock().do_munmap(BASE + 2 * PAGE_SIZE, PAGE_SIZE), Ok(()));
    kunit_assert_eq!(test, mm.lock().do_mprotect(BASE, 5 * PAGE_SIZE, 1), Err(ENOMEM));
    kunit_assert!(test, !poke(&mm, BASE, 1) && poke(&mm, BASE + 4 * PAGE_SIZE, 1));
}

fn moving(test: &mut Kunit) {
    let mm = new_mm();
    map(&mut mm.lock(), BASE, 2, RW, PRIVATE);
    map(&mut mm.lock(), BASE + 2 * PAGE_SIZE, 1, 1, PRIVATE);
    kunit_assert!(test, poke(&mm, BASE + PAGE_SIZE + 5, 0x5a));
    // No room behind it: it has to move.
    kunit_assert_eq!(test, mm.lock().mremap(BASE, 2 * PAGE_SIZE, 8 * PAGE_SIZE, 0), Err(ENOMEM));
    let to = mm.lock().mremap(BASE, 2 * PAGE_SIZE, 8 * PAGE_SIZE, 1).unwrap_or(0);
    kunit_assert_eq!(test, to, BASE - 8 * PAGE_SIZE);
    kunit_assert_eq!(test, peek(&mm, to + PAGE_SIZE + 5), Some(0x5a));
    kunit_assert_eq!(test, peek(&mm, BASE), None);
    kunit_assert_eq!(test, mm.lock().stat.total_vm, 9);
    kunit_assert_eq!(test, mm.lock().mremap(to, 8 * PAGE_SIZE, PAGE_SIZE, 0), Ok(to));
    kunit_assert_eq!(test, mm.lock().stat.total_vm, 2);
    kunit_assert_eq!(test, mm.lock().rss.anon, 0);
}

fn stack_growth(test: &mut Kunit) {
    let mm = new_mm();
    let top = 0x7fff_ffff_f000;
    kunit_assert_eq!(test, mm.setup_stack(top, false), Ok(()));
    kunit_assert!(test, poke(&mm, top - 3 * PAGE_SIZE, 1));
    kunit_assert_eq!(test, mm.lock().stat.stack_vm, 3);
    // A mapping within the guard gap stops it; one without any permission does not.
    map(&mut mm.lock(), top - 300 * PAGE_SIZE, 1, 0, PRIVATE);
    kunit_assert!(test, poke(&mm, top - 200 * PAGE_SIZE, 1));
    kunit_assert_eq!(test, mm.lock().do_mprotect(top - 300 * PAGE_SIZE, PAGE_SIZE, 1), Ok(()));
    kunit_assert!(test, !poke(&mm, top - 201 * PAGE_SIZE, 1));
    kunit_assert!(test, mm.lock().find_or_expand(top - 20_000 * PAGE_SIZE).is_none());
    // The next mapping leaves the gap free.
    mm.lock().layout.mmap_base = top;
    let at = map(&mut mm.lock(), 0, 1, VM_DATA_DEFAULT.bits() as u32 & 7, PRIVATE);
    kunit_assert_eq!(test, at, top - (200 + 256 + 1) * PAGE_SIZE);
}

fn shared_memory(test: &mut Kunit) {
    let mm = new_mm();
    map(&mut mm.lock(), BASE, 2, RW, SHARED);
    let child = mm.fork().expect("memory for a test");
    kunit_assert!(test, poke(&child, BASE, 4));
    kunit_assert_eq!(test, peek(&mm, BASE), Some(4));
    kunit_assert_eq!(test, mm.lock().rss.file, 1);
}
