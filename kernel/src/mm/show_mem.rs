// SPDX-License-Identifier: GPL-2.0-only
//! How much memory there is, for the log (Linux 6.1, `lib/show_mem.c`, `mm/page_alloc.c`,
//! `show_free_areas`): of Linux's lines those that have a meaning here.

use crate::kernel::fork::for_each_process;
use crate::mm::page_alloc::{nr_free_pages, totalram_pages, wmark_kernel};

/// What processes have of their own, of files, and page tables, in pages.
fn in_processes() -> (usize, usize, usize) {
    let mut sum = (0, 0, 0);
    for_each_process(|t| {
        if let Some(mm) = t.process_mm() {
            let st = mm.lock();
            sum = (sum.0 + st.rss.anon, sum.1 + st.rss.file, sum.2 + st.pt.tables());
        }
    });
    sum
}

/// Pages that are page tables of processes.
pub fn page_tables() -> usize {
    in_processes().2
}

/// Prints it (`show_mem`).
pub fn show_mem() {
    const LEVEL: u8 = crate::kernel::printk::KERN_DEFAULT;
    let (anon, mapped, tables) = in_processes();
    let (free, min) = (nr_free_pages(), wmark_kernel());
    crate::printk!(LEVEL, "Mem-Info:\n");
    crate::printk!(
        LEVEL,
        "active_anon:0 inactive_anon:{anon} isolated_anon:0\n mapped:{mapped} pagetables:{tables}\n free:{free}\n"
    );
    crate::printk!(LEVEL, "Node 0 DMA32 free:{}kB min:{}kB\n", free * 4, min * 4);
    crate::printk!(LEVEL, "0 pages in swap cache\n");
    crate::printk!(LEVEL, "Free swap  = 0kB\n");
    crate::printk!(LEVEL, "Total swap = 0kB\n");
    crate::printk!(LEVEL, "{} pages RAM\n", totalram_pages());
    crate::printk!(LEVEL, "0 pages HighMem/MovableOnly\n");
}
