// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `mm/`: physical pages, the kernel heap, address spaces.
//!
//! | here | what |
//! |---|---|
//! | [`page_alloc`], [`slab`], [`vmalloc`] | frames, the kernel's heap, mapped kernel memory |
//! | [`vma`], [`vma_tree`] | one mapping; all of them in order |
//! | [`i_mmap`] | all mappings of a file |
//! | [`mm_struct`] | an address space: its lock, `fork`, the end |
//! | [`memory`] | demand paging and copy-on-write |
//! | [`mmap`], [`mprotect`], [`mremap`], [`madvise`], [`mlock`], [`mincore`] | the system calls |
//! | [`gup`] | reaching into an address space from outside |
//! | [`stack`] | a new program's stack |
//! | [`shmem`] | shared anonymous memory |
//! | [`util`] | limits and promises of memory |
//! | [`oom_kill`] | when it runs out |
//! | [`show_mem`] | how much there is, for the log |
//! | [`maccess`] | reading memory that may not be there |
pub mod gup;
pub mod i_mmap;
pub mod maccess;
pub mod madvise;
pub mod memory;
pub mod mincore;
pub mod mlock;
#[cfg(target_os = "none")]
mod mm_kunit;
pub mod mm_struct;
pub mod mmap;
pub mod mprotect;
pub mod mremap;
pub mod oom_kill;
pub mod page_alloc;
pub mod process_vm_access;
pub mod shmem;
pub mod show_mem;
pub mod slab;
pub mod stack;
pub mod util;
pub mod vma;
pub mod vma_tree;
pub mod vmalloc;
pub use mm_struct::{Mm, leave_mm};
pub use vma::VmFile;
