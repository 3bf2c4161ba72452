// SPDX-License-Identifier: GPL-2.0-only
//! User mode's access to I/O ports: `ioperm(2)` and an emulated `iopl(2)` (Linux 6.1,
//! `arch/x86/kernel/ioport.c`, `process.c`, `asm/processor.h`).
//!
//! The I/O privilege level in EFLAGS stays 0: `iopl(3)` opens all ports through the task
//! state segment's bitmap, and CLI and STI are skipped. Tasks that have no ports pay
//! nothing; the bitmap of one that has is put in place on its way to user mode.

use crate::arch::x86::lib::usercopy::get_user;
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{EINVAL, ENOMEM, EPERM, Result};
use crate::kernel::panic::Comm;
use crate::kernel::printk::{print_vma_addr, printk_ratelimit};
use crate::kernel::task::{Current, current, tif};
use crate::mm::util::capable_rawio;
use alloc::sync::Arc;
use core::cell::{Cell, RefCell};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::structures::tss::TaskStateSegment;

/// Ports.
const IO_BITMAP_BITS: usize = 65536;
/// Bytes of a bitmap; the CPU reads one more.
pub const IO_BITMAP_BYTES: usize = IO_BITMAP_BITS / 8;

/// The bitmaps behind a [`TaskStateSegment`] (`struct x86_io_bitmap`).
#[repr(C)]
pub struct TssIoBitmaps {
    /// Which bitmap was copied here last: its sequence number, in two halves.
    prev_sequence: [u32; 2],
    _pad: [u32; 2],
    /// A task's; a set bit forbids.
    bitmap: [u8; IO_BITMAP_BYTES + 8],
    /// All ports: `iopl(3)`.
    mapall: [u8; IO_BITMAP_BYTES + 8],
}

const BASE: usize = size_of::<TaskStateSegment>();
const IO_BITMAP_OFFSET_VALID_MAP: u16 = (BASE + offset_of!(TssIoBitmaps, bitmap)) as u16;
const IO_BITMAP_OFFSET_VALID_ALL: u16 = (BASE + offset_of!(TssIoBitmaps, mapall)) as u16;
/// The segment's last byte (`__KERNEL_TSS_LIMIT`).
pub const KERNEL_TSS_LIMIT: u16 = (BASE + size_of::<TssIoBitmaps>() - 1) as u16;
/// Behind the segment's end there is no bitmap, hence no port.
pub const IO_BITMAP_OFFSET_INVALID: u16 = KERNEL_TSS_LIMIT + 1;

const _: () = assert!(KERNEL_TSS_LIMIT == 0x4087);

impl TssIoBitmaps {
    /// No task's bitmap; all ports in the other.
    pub const fn new() -> Self {
        Self {
            prev_sequence: [0; 2],
            _pad: [0; 2],
            bitmap: [0xff; IO_BITMAP_BYTES + 8],
            mapall: {
                let mut all = [0; IO_BITMAP_BYTES + 8];
                // The byte that the CPU reads beyond the last port's must be ones.
                let mut i = IO_BITMAP_BYTES;
                while i < all.len() {
                    all[i] = 0xff;
                    i += 1;
                }
                all
            },
        }
    }
}

impl Default for TssIoBitmaps {
    fn default() -> Self {
        Self::new()
    }
}

/// A bitmap, shared by tasks until one of them changes it (`struct io_bitmap`).
#[derive(Clone)]
struct IoBitmap {
    /// New with every change.
    sequence: u64,
    bits: alloc::vec::Vec<u8>,
}

static SEQUENCE: AtomicU64 = AtomicU64::new(0);

impl IoBitmap {
    fn new(old: Option<&Self>) -> Result<Self> {
        let mut bits = alloc::vec::Vec::new();
        bits.try_reserve_exact(IO_BITMAP_BYTES).map_err(|_| ENOMEM)?;
        match old {
            Some(o) => bits.extend_from_slice(&o.bits),
            None => bits.resize(IO_BITMAP_BYTES, 0xff),
        }
        Ok(Self { sequence: 0, bits })
    }
    /// Allows or forbids ports; returns whether any is allowed.
    fn set(&mut self, from: usize, num: usize, on: bool) -> bool {
        for port in from..from + num {
            let bit = 1 << (port % 8);
            if on {
                self.bits[port / 8] &= !bit;
            } else {
                self.bits[port / 8] |= bit;
            }
        }
        self.sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed) + 1;
        self.bits.iter().any(|&b| b != 0xff)
    }
}

/// What a thread may do with ports (`iopl_emul`, `io_bitmap` of `thread_struct`). Only the
/// thread itself and its creator touch it.
#[derive(Default)]
pub struct IoRights {
    iopl: Cell<u8>,
    iopl_warn: Cell<bool>,
    bitmap: RefCell<Option<Arc<IoBitmap>>>,
}

impl IoRights {
    /// A child's: the same (`io_bitmap_share`).
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            iopl: self.iopl.clone(),
            iopl_warn: Cell::new(false),
            bitmap: RefCell::new(self.bitmap.borrow().clone()),
        }
    }
    /// Whether `ioperm` has given it ports.
    pub fn has_bitmap(&self) -> bool {
        self.bitmap.borrow().is_some()
    }
    /// What it has given, for a tracer and for core dumps; a set bit forbids.
    pub fn with_bitmap<T>(&self, f: impl FnOnce(Option<&[u8]>) -> T) -> T {
        f(self.bitmap.borrow().as_ref().map(|b| b.bits.as_slice()))
    }
    /// Whether the thread may use any port.
    pub fn any(&self) -> bool {
        self.iopl.get() == 3 || self.bitmap.borrow().is_some()
    }
}

/// Sets where the CPU finds the bitmap.
fn set_io_bitmap_base(offset: u16) {
    // SAFETY: this CPU's; the CPU reads it only in user mode.
    unsafe { (*this_cpu().tss.get()).iomap_base = offset };
}

/// The next task has no ports (`tss_invalidate_io_bitmap`).
pub fn tss_invalidate_io_bitmap() {
    set_io_bitmap_base(IO_BITMAP_OFFSET_INVALID);
}

/// Puts the running task's bitmap in place, before it goes to user mode with interrupts
/// off (`native_tss_update_io_bitmap`).
#[cold]
pub fn tss_update_io_bitmap() {
    let cur = current();
    let io = &cur.thread().io;
    if io.iopl.get() == 3 {
        return set_io_bitmap_base(IO_BITMAP_OFFSET_VALID_ALL);
    }
    let bitmap = io.bitmap.borrow();
    let Some(bm) = bitmap.as_deref() else { return tss_invalidate_io_bitmap() };
    // SAFETY: this CPU's, with interrupts off; the CPU reads it only in user mode.
    let maps = unsafe { &mut *this_cpu().tss_io.get() };
    let sequence = [bm.sequence as u32, (bm.sequence >> 32) as u32];
    if maps.prev_sequence != sequence {
        maps.bitmap[..IO_BITMAP_BYTES].copy_from_slice(&bm.bits);
        maps.prev_sequence = sequence;
    }
    set_io_bitmap_base(IO_BITMAP_OFFSET_VALID_MAP);
}

/// Says whether the running task has ports (`task_update_io_bitmap`).
fn task_update_io_bitmap(cur: Current) {
    if cur.thread().io.any() {
        cur.set_flag(tif::IO_BITMAP);
    } else {
        cur.clear_flag(tif::IO_BITMAP);
        tss_invalidate_io_bitmap();
    }
}

/// `ioperm(2)`.
pub fn sys_ioperm(from: usize, num: usize, turn_on: i32) -> Result<usize> {
    let on = turn_on != 0;
    if from.checked_add(num).is_none_or(|end| end <= from || end > IO_BITMAP_BITS) {
        return Err(EINVAL);
    }
    if on && !capable_rawio() {
        return Err(EPERM);
    }
    let cur = current();
    let mut slot = cur.thread().io.bitmap.borrow_mut();
    if slot.is_none() && !on {
        return Ok(0);
    }
    let mut new = IoBitmap::new(slot.as_deref())?;
    *slot = new.set(from, num, on).then(|| Arc::new(new));
    drop(slot);
    task_update_io_bitmap(cur);
    Ok(0)
}

/// `iopl(2)`.
pub fn sys_iopl(level: u32) -> Result<usize> {
    let cur = current();
    let io = &cur.thread().io;
    if level > 3 {
        return Err(EINVAL);
    }
    let level = level as u8;
    if level == io.iopl.get() {
        return Ok(0);
    }
    if level > io.iopl.get() && !capable_rawio() {
        return Err(EPERM);
    }
    io.iopl.set(level);
    task_update_io_bitmap(cur);
    Ok(0)
}

/// CLI and STI of a task with `iopl(3)` are skipped (Linux 6.1, `arch/x86/kernel/traps.c`,
/// `fixup_iopl_exception`). Returns whether the #GP was one.
#[cold]
pub fn fixup_iopl_exception(regs: &PtRegs) -> bool {
    const CLI: u8 = 0xfa;
    const STI: u8 = 0xfb;
    let cur = current();
    let io = &cur.thread().io;
    if io.iopl.get() != 3 {
        return false;
    }
    let Some(ip) = crate::arch::x86::lib::insn_eval::effective_ip(regs) else { return false };
    if !matches!(get_user::<u8>(ip as usize), Ok(CLI | STI)) {
        return false;
    }
    if !io.iopl_warn.get() && printk_ratelimit("fixup_iopl_exception") {
        let comm = cur.comm();
        pr_err!(
            "traps: {}[{}] attempts to use CLI/STI, pretending it's a NOP, ip:{ip:x}",
            Comm(&comm),
            cur.pid()
        );
        print_vma_addr(" in ", ip as usize);
        pr_cont!("\n");
        io.iopl_warn.set(true);
    }
    regs.ip.update(|v| v + 1);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_bits() {
        let mut b = IoBitmap::new(None).unwrap();
        assert!(b.set(0x80, 1, true));
        assert_eq!((b.bits[0x10], b.bits[0x0f], b.bits[0x11]), (0xfe, 0xff, 0xff));
        assert!(b.set(0xffff, 1, true));
        assert_eq!(b.bits[IO_BITMAP_BYTES - 1], 0x7f);
        assert!(b.set(0x80, 1, false));
        assert!(!b.set(0, IO_BITMAP_BITS, false));
    }

    #[test]
    fn all_ports_and_none() {
        let t = TssIoBitmaps::new();
        assert!(t.mapall[..IO_BITMAP_BYTES].iter().all(|&b| b == 0));
        assert!(t.mapall[IO_BITMAP_BYTES..].iter().all(|&b| b == 0xff));
        assert!(t.bitmap.iter().all(|&b| b == 0xff));
    }
}
