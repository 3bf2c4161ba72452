// SPDX-License-Identifier: GPL-2.0-only
//! The page from which the vDSO reads the clocks (Linux 6.1, `kernel/time/vsyscall.c`).

use crate::arch::x86::kernel::apic::TICK_NSEC;
use crate::locking::IrqLock;
use vdso::vvar::{Timebase, VdsoData};

const _: () = assert!(TICK_NSEC == vdso::gettimeofday::TICK_NSEC);

/// The page, of which user mode sees all: nothing else may be in it.
#[repr(C, align(4096))]
struct VvarPage {
    data: VdsoData,
    _rest: [u8; 4096 - size_of::<VdsoData>()],
}

static VVAR_PAGE: VvarPage = VvarPage { data: VdsoData::new(), _rest: [0; _] };
/// Who writes.
static WRITER: IrqLock<()> = IrqLock::new(());

/// Where the page is.
#[cfg(target_os = "none")]
pub fn vvar_phys() -> Option<u64> {
    crate::arch::x86::mm::init::lookup_kernel_address(&raw const VVAR_PAGE as usize).map(|(phys, _)| phys)
}

/// On the host it is nowhere.
#[cfg(not(target_os = "none"))]
pub fn vvar_phys() -> Option<u64> {
    None
}

/// Tells programs how the clocks follow from the counter now (`update_vsyscall`).
pub fn update_vsyscall(t: &Timebase) {
    let _writer = WRITER.lock();
    VVAR_PAGE.data.update(t);
}

/// Tells programs the time zone (`update_vsyscall_tz`).
pub fn update_vsyscall_tz(zone: [i32; 2]) {
    let _writer = WRITER.lock();
    VVAR_PAGE.data.update_tz(zone);
}

/// The time zone that somebody set (`sys_tz`): minutes west of Greenwich, and the kind of daylight
/// saving.
pub fn sys_tz() -> [i32; 2] {
    VVAR_PAGE.data.tz()
}
