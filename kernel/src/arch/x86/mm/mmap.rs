// SPDX-License-Identifier: GPL-2.0-only
//! The layout of an address space: where mappings and stacks begin, and by how
//! much each place is randomised. After Linux 6.1, `arch/x86/mm/mmap.c`,
//! `mm/util.c`, `fs/binfmt_elf.c` (`randomize_stack_top`).

use crate::arch::x86::lib::usercopy::TASK_SIZE_MAX;
use crate::kernel::task::{current, pf};
use crate::mm::mm_struct::Layout;
use crate::mm::page_alloc::{PAGE_SIZE, page_align};
use crate::mm::util::rlimit;
use crate::mm::vma::STACK_GUARD_GAP;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::RLIMIT_STACK;
use x86_64::instructions::random::RdRand;

/// Just above the stack (`STACK_TOP`).
pub const STACK_TOP: usize = TASK_SIZE_MAX;
/// Where a program that may go anywhere goes (`ELF_ET_DYN_BASE`).
pub const ELF_ET_DYN_BASE: usize = TASK_SIZE_MAX / 3 * 2;
/// `personality` bit that turns randomisation off.
pub const ADDR_NO_RANDOMIZE: u32 = 0x0004_0000;
/// `personality` bit that asks for the bottom-up layout.
pub const ADDR_COMPAT_LAYOUT: u32 = 0x0020_0000;

/// `personality` bit that keeps 32-bit code below 3 GiB.
const ADDR_LIMIT_3GB: u32 = 0x0800_0000;

/// Pages by which stacks differ (`STACK_RND_MASK`): 22 bits.
const STACK_RND_MASK: u64 = 0x3f_ffff;
/// The same where 32 bits reach.
const STACK_RND_MASK_32: u64 = 0x7ff;
/// Bits by which mappings differ (`vm.mmap_rnd_bits`).
const MMAP_RND_BITS: u32 = 28;
/// The same where 32 bits reach (`vm.mmap_rnd_compat_bits`).
const MMAP_RND_COMPAT_BITS: u32 = 8;

/// Where the addresses of 32-bit code end (`task_size_32bit`).
pub fn task_size_32bit() -> usize {
    task_size_32bit_of(current().personality.load(Ordering::Relaxed))
}

const fn task_size_32bit_of(personality: u32) -> usize {
    if personality & ADDR_LIMIT_3GB == 0 { 0xffff_e000 } else { 0xc000_0000 }
}

/// Whether the current program's addresses are randomised (`PF_RANDOMIZE`).
fn randomized() -> bool {
    current().pf.load(Ordering::Relaxed) & pf::RANDOMIZE != 0
}

static STATE: AtomicU64 = AtomicU64::new(0);

/// Random bits: the CPU's if it has them, mixed with time.
pub fn get_random_u64() -> u64 {
    let hw = RdRand::new().and_then(RdRand::get_u64).unwrap_or(0);
    // SAFETY: every 64-bit CPU has RDTSC.
    let time = unsafe { core::arch::x86_64::_rdtsc() };
    // One step of SplitMix64 over all that was ever put in.
    let seed = STATE.fetch_add(0x9e37_79b9_7f4a_7c15 ^ time, Ordering::Relaxed) ^ hw.rotate_left(17) ^ time;
    let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31) ^ hw
}

/// Bytes by which this program's mappings move, a multiple of the page size
/// (`arch_mmap_rnd`); 0 without randomisation.
pub fn arch_mmap_rnd() -> usize {
    arch_rnd(MMAP_RND_BITS)
}

fn arch_rnd(bits: u32) -> usize {
    if randomized() { (get_random_u64() & ((1 << bits) - 1)) as usize * PAGE_SIZE } else { 0 }
}

/// Where the search for `MAP_32BIT` begins (`find_start_end`).
pub fn map_32bit_base() -> usize {
    const BEGIN: usize = 0x4000_0000;
    if randomized() { randomize_page(BEGIN, 0x0200_0000) } else { BEGIN }
}

/// A random page-aligned address in `[start, start + range)` (`randomize_page`).
pub fn randomize_page(start: usize, range: usize) -> usize {
    let (start, range) = (page_align(start), range - (page_align(start) - start));
    match range / PAGE_SIZE {
        0 => start,
        pages => start + (get_random_u64() % pages as u64) as usize * PAGE_SIZE,
    }
}

/// A stack top somewhat below `top` (`randomize_stack_top`).
pub fn randomize_stack_top(top: usize) -> usize {
    let off = if randomized() { (get_random_u64() & STACK_RND_MASK) as usize * PAGE_SIZE } else { 0 };
    page_align(top) - off
}

/// The initial stack pointer within its page (`arch_align_stack`).
pub fn arch_align_stack(sp: usize) -> usize {
    let sp = if randomized() { sp - (get_random_u64() % 8192) as usize } else { sp };
    sp & !0xf
}

/// Where the heap may begin (`arch_randomize_brk`).
pub fn arch_randomize_brk(brk: usize) -> usize {
    if randomized() { randomize_page(brk, 0x0200_0000) } else { brk }
}

/// Top of the mappings, below the largest stack, which is randomised by as many pages as
/// `stack_rnd` (`mmap_base`).
fn mmap_base(rnd: usize, task_size: usize, stack_limit: usize, stack_rnd: u64) -> usize {
    let pad = stack_rnd as usize * PAGE_SIZE + STACK_GUARD_GAP;
    let gap = stack_limit.checked_add(pad).unwrap_or(stack_limit);
    let gap = gap.clamp(128 << 20, task_size / 6 * 5);
    page_align(task_size - gap - rnd)
}

/// Bottom of the mappings in the old layout (`mmap_legacy_base`).
fn mmap_legacy_base(rnd: usize, task_size: usize) -> usize {
    page_align(task_size / 3) + rnd
}

/// Chooses where mappings go (`arch_pick_mmap_layout`), for `exec`, after it has
/// decided on [`pf::RANDOMIZE`].
pub fn arch_pick_mmap_layout(l: &mut Layout, personality: u32) {
    let stack = rlimit(RLIMIT_STACK);
    l.mmap_legacy = personality & ADDR_COMPAT_LAYOUT != 0;
    let bases = |bits, task_size, stack_rnd| {
        let (rnd, stack_rnd) = (arch_rnd(bits), if randomized() { stack_rnd } else { 0 });
        (mmap_base(rnd, task_size, stack, stack_rnd), mmap_legacy_base(rnd, task_size))
    };
    (l.mmap_base, l.mmap_legacy_base) = bases(MMAP_RND_BITS, TASK_SIZE_MAX, STACK_RND_MASK);
    (l.mmap_compat_base, l.mmap_compat_legacy_base) =
        bases(MMAP_RND_COMPAT_BITS, task_size_32bit_of(personality), STACK_RND_MASK_32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_layout_is_linuxs() {
        assert_eq!(mmap_base(0, TASK_SIZE_MAX, 8 << 20, 0), 0x7fff_f7ff_f000);
        assert_eq!(mmap_legacy_base(0, TASK_SIZE_MAX), 0x2aaa_aaaa_a000 + 0x1000);
        assert_eq!(mmap_base(0, task_size_32bit_of(0), 8 << 20, 0), 0xf7ff_e000);
        assert_eq!(mmap_legacy_base(0, task_size_32bit_of(0)), 0x5555_5000);
        assert_eq!(task_size_32bit_of(ADDR_LIMIT_3GB), 3 << 30);
        assert_eq!(ELF_ET_DYN_BASE, 0x5555_5555_4aaa);
        // A huge stack limit does not push the mappings out of the address space.
        let base = mmap_base(0, TASK_SIZE_MAX, usize::MAX, 0);
        assert_eq!(base, page_align(TASK_SIZE_MAX - TASK_SIZE_MAX / 6 * 5));
    }

    #[test]
    fn random_layout_stays_below_the_stack() {
        let base = |rnd| mmap_base(rnd, TASK_SIZE_MAX, 8 << 20, STACK_RND_MASK);
        let (top, lowest) = (base(0), base(((1 << MMAP_RND_BITS) - 1) * PAGE_SIZE));
        assert!(TASK_SIZE_MAX - top >= 16 << 30);
        assert_eq!(top - lowest, ((1 << MMAP_RND_BITS) - 1) * PAGE_SIZE);
    }

    #[test]
    fn random_pages_lie_in_their_range() {
        for _ in 0..1000 {
            let p = randomize_page(0x1000_0001, 0x10_0000);
            assert!(p.is_multiple_of(PAGE_SIZE) && (0x1000_1000..0x1010_0001).contains(&p));
        }
        assert_eq!(randomize_page(0x5000, 10), 0x5000);
    }
}
