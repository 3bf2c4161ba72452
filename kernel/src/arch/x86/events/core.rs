// SPDX-License-Identifier: GPL-2.0-only
//! Which functions a program is in: its stack, walked by frame pointers in any context, also in an NMI
//! (Linux 6.1, `arch/x86/events/core.c`, `perf_callchain_user`).
//!
//! Nothing here waits. A frame that is not in memory now ends the walk: the page fault finds an
//! exception-table entry and no address space to ask ([`copy_from_user_nmi`]). The `iret` of that
//! fault lets the next NMI in, which is then nested, and CR2 is put back at the NMI's end.
//!
//! With `trapline.user_stack=1` on the command line, what an NMI reports has the program's calls beside
//! the kernel's: SysRq's `l`, hard lockups, NMIs that nobody explains, I/O checks. Linux has no such
//! lines.

use crate::arch::x86::kernel::ldt::{TI_LDT, UserDesc, loaded_descriptor};
use crate::arch::x86::lib::usercopy::copy_from_user_nmi;
use crate::arch::x86::ptrace::PtRegs;
use crate::arch::x86::segment::{GDT_ENTRY_TLS_MIN, USER_DS, USER32_CS};
use crate::kernel::printk::KERN_DEFAULT;
use crate::kernel::task::current;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Most frames that are told (`PERF_MAX_STACK_DEPTH`).
pub const PERF_MAX_STACK_DEPTH: usize = 127;

static SHOWN: AtomicBool = AtomicBool::new(false);

/// Handles `trapline.user_stack=`; false if it is something else.
pub fn setup(name: &str, value: Option<&str>) -> bool {
    if name != "trapline.user_stack" {
        return false;
    }
    SHOWN.store(value != Some("0"), Relaxed);
    true
}

/// Tells where the program is: the address at which it was interrupted, then those to which its
/// functions return, the innermost first (`perf_callchain_user`). Good in any context.
pub fn perf_callchain_user(regs: &PtRegs, mut store: impl FnMut(u64)) {
    store(regs.ip.get());
    let mut left = PERF_MAX_STACK_DEPTH - 1;
    let mut tell = |addr| {
        store(addr);
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    if regs.user_64bit_mode() {
        walk64(regs.bp.get(), read, &mut tell);
    } else {
        let base = |selector: u64| u64::from(get_segment_base(selector as u16));
        walk32((base(regs.cs.get()), base(regs.ss.get())), regs.bp.get(), read, &mut tell);
    }
}

/// Two neighbouring words of user memory, of `N` bytes in all.
fn read<const N: usize>(addr: u64) -> Option<[u8; N]> {
    let mut frame = [0; N];
    (copy_from_user_nmi(&mut frame, addr as usize) == 0).then_some(frame)
}

/// Frames of 64-bit code: the caller's frame pointer, then the return address.
fn walk64(
    mut fp: u64,
    read: impl Fn(u64) -> Option<[u8; 16]>,
    tell: &mut impl FnMut(u64) -> ControlFlow<()>,
) {
    while let Some(frame) = read(fp) {
        let (words, _) = frame.as_chunks();
        fp = u64::from_le_bytes(words[0]);
        if tell(u64::from_le_bytes(words[1])).is_break() {
            break;
        }
    }
}

/// Those of 32-bit code, in whose segments addresses count from the bases of CS and SS
/// (`perf_callchain_user32`).
fn walk32(
    (cs, ss): (u64, u64),
    bp: u64,
    read: impl Fn(u64) -> Option<[u8; 8]>,
    tell: &mut impl FnMut(u64) -> ControlFlow<()>,
) {
    let mut fp = u64::from(ss.wrapping_add(bp) as u32);
    while let Some(frame) = read(fp) {
        let (words, _) = frame.as_chunks();
        fp = u64::from((ss as u32).wrapping_add(u32::from_le_bytes(words[0])));
        if tell(cs.wrapping_add(u64::from(u32::from_le_bytes(words[1])))).is_break() {
            break;
        }
    }
}

/// Where a segment begins, for the running task; without a lock (`get_segment_base`).
fn get_segment_base(selector: u16) -> u32 {
    let descriptor = if selector & TI_LDT != 0 {
        loaded_descriptor(selector)
    } else if matches!(selector | 3, USER32_CS | USER_DS) {
        None
    } else {
        let n = usize::from(selector >> 3).checked_sub(GDT_ENTRY_TLS_MIN);
        n.and_then(|n| current().thread().tls.get(n).map(core::cell::Cell::get))
    };
    descriptor.map_or(0, |d| UserDesc::from_descriptor(0, d).base_addr)
}

/// Prints the running program's calls, if the command line wants them: those that were interrupted, or
/// those that led into the kernel.
pub fn show_user_stack(interrupted: Option<&PtRegs>) {
    #[cfg(target_os = "none")]
    if SHOWN.load(Relaxed) && crate::arch::x86::percpu::this_cpu().has_current() {
        match interrupted {
            Some(regs) if regs.user_mode() => show(regs),
            _ => show(current().pt_regs()),
        }
    }
    #[cfg(not(target_os = "none"))]
    let _ = (interrupted, SHOWN.load(Relaxed), show);
}

/// Prints it. (No name of the program: that is behind a lock.)
fn show(regs: &PtRegs) {
    if crate::arch::x86::mm::tlb::nmi_uaccess_okay() && regs.user_mode() {
        printk!(KERN_DEFAULT, "User call trace of {}:\n", current().pid());
        perf_callchain_user(regs, |addr| printk!(KERN_DEFAULT, " {addr:#018x}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// What a walk tells of a memory of words, at most `limit`.
    fn told<const N: usize>(
        words: &[(u64, u64)],
        limit: usize,
        walk: impl Fn(&dyn Fn(u64) -> Option<[u8; N]>, &mut dyn FnMut(u64) -> ControlFlow<()>),
    ) -> Vec<u64> {
        let memory: BTreeMap<u64, u64> = words.iter().copied().collect();
        let read = |addr: u64| {
            let mut bytes = [0; N];
            for (i, half) in bytes.chunks_exact_mut(N / 2).enumerate() {
                let word = memory.get(&(addr + (i * N / 2) as u64))?;
                half.copy_from_slice(&word.to_le_bytes()[..N / 2]);
            }
            Some(bytes)
        };
        let mut told = Vec::new();
        walk(&read, &mut |addr| {
            told.push(addr);
            if told.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        told
    }

    #[test]
    fn frames_of_64_bits() {
        let walk = |read: &dyn Fn(u64) -> Option<[u8; 16]>, tell: &mut dyn FnMut(u64) -> ControlFlow<()>| {
            walk64(0x1000, read, &mut |a| tell(a));
        };
        let words = [(0x1000, 0x1100), (0x1008, 1), (0x1100, 0x2000), (0x1108, 2)];
        assert_eq!(told(&words, 9, walk), [1, 2]);
        // The return address of a frame is on the next page, which is not there.
        assert_eq!(told(&words[..3], 9, walk), [1]);
        assert_eq!(told(&[], 9, walk), []);
        // A ring has no end but the limit.
        assert_eq!(told(&[(0x1000, 0x1000), (0x1008, 7)], 3, walk), [7, 7, 7]);
    }

    #[test]
    fn frames_of_32_bits_count_from_their_segments() {
        let walk = |read: &dyn Fn(u64) -> Option<[u8; 8]>, tell: &mut dyn FnMut(u64) -> ControlFlow<()>| {
            walk32((0x10_0000, 0x1000), 0xffff_ffff_0000_0100, read, &mut |a| tell(a));
        };
        let words = [(0x1100, 0x200), (0x1104, 0x11), (0x1200, 0), (0x1204, 0x22)];
        assert_eq!(told(&words, 9, walk), [0x10_0011, 0x10_0022]);
    }
}
