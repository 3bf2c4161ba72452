// SPDX-License-Identifier: GPL-2.0-only
//! The vDSO: system calls that a program can make without entering the kernel (Linux 6.1,
//! `arch/x86/entry/vdso/`, `lib/vdso/gettimeofday.c`).
//!
//! `kernel/build.rs` compiles this file once more by itself (with `--cfg vdso_image`), links it
//! into a shared object of its own, and the kernel maps that into every process, above a page
//! of [data](vvar::VdsoData) that its timekeeping writes. As an ordinary crate it gives the
//! kernel that page's layout, and the host its tests.
//!
//! The code must do without anything that would need relocating or memory of its own:
//! no statics, no panics, no calls out of the image.

#![no_std]

pub mod gettimeofday;
pub mod vvar;

use gettimeofday::{Timespec, Timeval, Timezone};
use vvar::VdsoData;

/// The symbols without `__vdso_`, for programs that look for the plain names; and the note
/// that tells of the kernel's version (`arch/x86/entry/vdso/vdso-note.S`), 6.1.0.
#[cfg(vdso_image)]
mod image {
    macro_rules! weak_aliases {
        ($($name:literal)*) => {
            core::arch::global_asm!($(concat!(
                ".weak ", $name, "\n",
                ".type ", $name, ", @function\n",
                ".set ", $name, ", __vdso_", $name, "\n"
            )),*);
        };
    }
    weak_aliases! { "clock_gettime" "gettimeofday" "time" "getcpu" "clock_getres" }

    core::arch::global_asm!(
        ".pushsection .note.Linux, \"a\", @note",
        ".balign 4",
        ".long 6, 4, 0",
        ".asciz \"Linux\"",
        ".balign 4",
        ".long 0x060100",
        ".popsection",
    );
}

/// The page of data: it is mapped below the image.
#[cfg(vdso_image)]
#[inline(always)]
fn vdso_data() -> &'static VdsoData {
    let page: *const VdsoData;
    // SAFETY: only an address; `__ehdr_start` is where the image begins.
    unsafe {
        core::arch::asm!(
            "lea {}, [rip + __ehdr_start - {below}]",
            out(reg) page,
            below = const vvar::VVAR_PAGES * vvar::PAGE_SIZE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    // SAFETY: the kernel maps the page there whenever it maps the image; who unmaps it, or moves
    // the image without it, faults.
    unsafe { &*page }
}

/// On the host there is no kernel that would write to it: every call is a system call.
#[cfg(not(vdso_image))]
fn vdso_data() -> &'static VdsoData {
    static NONE: VdsoData = VdsoData::new();
    &NONE
}

/// `clock_gettime(2)`.
///
/// # Safety
/// `ts` is to be written to.
#[cfg_attr(vdso_image, unsafe(no_mangle))]
pub unsafe extern "C" fn __vdso_clock_gettime(clock: i32, ts: *mut Timespec) -> i32 {
    // SAFETY: by the caller.
    unsafe { gettimeofday::clock_gettime(vdso_data(), clock, ts) }
}

/// `gettimeofday(2)`.
///
/// # Safety
/// What is not null is to be written to.
#[cfg_attr(vdso_image, unsafe(no_mangle))]
pub unsafe extern "C" fn __vdso_gettimeofday(tv: *mut Timeval, tz: *mut Timezone) -> i32 {
    // SAFETY: by the caller.
    unsafe { gettimeofday::gettimeofday(vdso_data(), tv, tz) }
}

/// `time(2)`.
///
/// # Safety
/// `t`, if it is not null, is to be written to.
#[cfg_attr(vdso_image, unsafe(no_mangle))]
pub unsafe extern "C" fn __vdso_time(t: *mut i64) -> i64 {
    // SAFETY: by the caller.
    unsafe { gettimeofday::time(vdso_data(), t) }
}

/// `clock_getres(2)`.
///
/// # Safety
/// `res`, if it is not null, is to be written to.
#[cfg_attr(vdso_image, unsafe(no_mangle))]
pub unsafe extern "C" fn __vdso_clock_getres(clock: i32, res: *mut Timespec) -> i32 {
    // SAFETY: by the caller.
    unsafe { gettimeofday::clock_getres(vdso_data(), clock, res) }
}

/// `getcpu(2)`: the numbers are in the limit of a segment that the kernel keeps for this
/// (`GDT_ENTRY_CPUNODE`; `arch/x86/entry/vdso/vgetcpu.c`).
///
/// # Safety
/// What is not null is to be written to.
#[cfg_attr(vdso_image, unsafe(no_mangle))]
pub unsafe extern "C" fn __vdso_getcpu(cpu: *mut u32, node: *mut u32, _unused: *mut u8) -> i64 {
    let limit: u32;
    // SAFETY: reads a segment's limit.
    unsafe {
        core::arch::asm!(
            "lsl {limit:e}, {selector:e}",
            limit = out(reg) limit,
            selector = in(reg) vvar::CPUNODE_SEG,
            options(nomem, nostack),
        );
    }
    let (this_cpu, this_node) = (limit & vvar::CPUNODE_MASK, limit >> vvar::CPUNODE_BITS);
    // SAFETY: by the caller.
    unsafe {
        if !cpu.is_null() {
            cpu.write(this_cpu);
        }
        if !node.is_null() {
            node.write(this_node);
        }
    }
    0
}

/// Nothing here panics; the language wants the function to be there.
#[cfg(vdso_image)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: ends the program.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}
