// SPDX-License-Identifier: GPL-2.0-only
//! Copies between kernel and user memory.
//!
//! The only code that touches user memory. Each access checks that the range
//! lies below `TASK_SIZE_MAX`, opens SMAP with `stac` for just the copy, and is
//! listed in the exception table, so that a bad pointer becomes `EFAULT`.
//! After Linux 6.1, `arch/x86/include/asm/uaccess.h`, `arch/x86/lib/`.

use crate::arch::x86::percpu::this_cpu;
use crate::errno::{EFAULT, ENAMETOOLONG, Result};
#[cfg(target_os = "none")]
use crate::extable;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// First address that is not user space with four-level paging:
/// 2^47 minus a guard page (`TASK_SIZE_MAX`).
pub const TASK_SIZE_MAX: usize = 0x7fff_ffff_f000;

/// Whether `[addr, addr + len)` lies in user space (`access_ok`).
#[inline]
pub fn access_ok(addr: usize, len: usize) -> bool {
    len <= TASK_SIZE_MAX && addr <= TASK_SIZE_MAX - len
}

/// An instruction that boot puts in (`patch_smap`) if the CPU has SMAP, so that it exists.
#[cfg(target_os = "none")]
macro_rules! smap_insn {
    ($section:literal) => {
        // SAFETY: three bytes that do nothing, or change AC.
        unsafe {
            core::arch::asm!(
                "2: .byte 0x0f, 0x1f, 0x00",
                concat!(".pushsection ", $section, ", \"a\""),
                ".quad 2b",
                ".popsection",
                options(nostack),
            );
        }
    };
}

/// Lets supervisor code reach user pages.
#[inline(always)]
fn stac() {
    #[cfg(target_os = "none")]
    smap_insn!(".alt_stac");
}

/// Ends what `stac` began.
#[inline(always)]
fn clac() {
    #[cfg(target_os = "none")]
    smap_insn!(".alt_clac");
}

/// Runs `f` with user pages reachable. `f` may only touch user memory through
/// instructions that are in the exception table.
#[inline(always)]
pub fn user_access<R>(f: impl FnOnce() -> R) -> R {
    stac();
    let r = f();
    clac();
    r
}

/// Copies `len` bytes, one side being user memory. Returns how many bytes at the
/// end were not copied.
///
/// # Safety
/// The kernel side must be valid for `len` bytes; the user side must have passed
/// `access_ok`.
#[inline]
unsafe fn raw_copy(dst: *mut u8, src: *const u8, len: usize) -> usize {
    #[cfg(target_os = "none")]
    {
        let left: usize;
        // Words first, then bytes. A fault among the words leaves RCX words and the
        // tail. If the word crosses a page, some of its bytes may be reachable: going
        // on bytewise finds out.
        // SAFETY: the caller vouches for the kernel side; faults on the user side are
        // recovered through the exception table.
        unsafe {
            stac();
            core::arch::asm!(
                "mov {tail}, rcx",
                "shr rcx, 3",
                "and {tail:e}, 7",
                "2: rep movsq",
                "mov ecx, {tail:e}",
                "3: rep movsb",
                "jmp 5f",
                "4: lea rcx, [{tail} + rcx*8]",
                "mov {tail:e}, esi",
                "and {tail:e}, 0xfff",
                "cmp {tail:e}, 0xff8",
                "ja 6f",
                "mov {tail:e}, edi",
                "and {tail:e}, 0xfff",
                "cmp {tail:e}, 0xff8",
                "jbe 5f",
                "6: rep movsb",
                "5:",
                extable!("2", "4b", 3),
                extable!("3", "5b", 3),
                extable!("6", "5b", 3),
                tail = out(reg) _,
                inout("rcx") len => left,
                inout("rdi") dst => _,
                inout("rsi") src => _,
                options(nostack),
            );
            clac();
        }
        left
    }
    #[cfg(not(target_os = "none"))]
    {
        // SAFETY: as documented; on the host both sides are ordinary memory.
        unsafe { core::ptr::copy_nonoverlapping(src, dst, len) };
        0
    }
}

/// Copies from user memory; returns how many bytes could *not* be copied (the
/// rest of `dst` is zeroed, as in Linux).
#[inline]
pub fn copy_from_user_partial(dst: &mut [u8], src: usize) -> usize {
    if !access_ok(src, dst.len()) {
        dst.fill(0);
        return dst.len();
    }
    // SAFETY: `dst` is valid, the source range is user space.
    let left = unsafe { raw_copy(dst.as_mut_ptr(), src as *const u8, dst.len()) };
    if left != 0 {
        let done = dst.len() - left;
        dst[done..].fill(0);
    }
    left
}

/// Copies from user memory what is there now, in any context; returns how many bytes at the end were not
/// copied. A page fault in here asks no address space, waits for nobody, and costs an NMI nothing but
/// that the next is let in (Linux 6.1, `arch/x86/lib/usercopy.c`, `copy_from_user_nmi`).
pub fn copy_from_user_nmi(dst: &mut [u8], src: usize) -> usize {
    if !access_ok(src, dst.len()) || !crate::arch::x86::mm::tlb::nmi_uaccess_okay() {
        return dst.len();
    }
    let _no_faults = PagefaultDisabled::new();
    // SAFETY: `dst` is valid, the source range is user space.
    unsafe { raw_copy(dst.as_mut_ptr(), src as *const u8, dst.len()) }
}

/// While it lives, page faults of the kernel's are left to the exception table (`pagefault_disable`).
/// Faults ask whether the kernel is in anything that must not sleep (`faulthandler_disabled`); this
/// is counted as that.
struct PagefaultDisabled;

impl PagefaultDisabled {
    fn new() -> Self {
        let count = &this_cpu().preempt_count;
        count.set(count.get() + 1);
        Self
    }
}

impl Drop for PagefaultDisabled {
    fn drop(&mut self) {
        let count = &this_cpu().preempt_count;
        count.set(count.get() - 1);
    }
}

/// Copies to user memory; returns how many bytes could *not* be copied.
#[inline]
pub fn copy_to_user_partial(dst: usize, src: &[u8]) -> usize {
    if !access_ok(dst, src.len()) {
        return src.len();
    }
    // SAFETY: `src` is valid, the destination range is user space.
    unsafe { raw_copy(dst as *mut u8, src.as_ptr(), src.len()) }
}

/// Copies from user memory, or `EFAULT`.
#[inline]
pub fn copy_from_user(dst: &mut [u8], src: usize) -> Result {
    if copy_from_user_partial(dst, src) == 0 { Ok(()) } else { Err(EFAULT) }
}

/// Copies to user memory, or `EFAULT`.
#[inline]
pub fn copy_to_user(dst: usize, src: &[u8]) -> Result {
    if copy_to_user_partial(dst, src) == 0 { Ok(()) } else { Err(EFAULT) }
}

/// Reads a plain value from user memory.
#[inline(always)]
pub fn get_user<T: FromBytes>(src: usize) -> Result<T> {
    let mut room = MaybeUninit::uninit();
    get_user_into(&mut room, src)?;
    // SAFETY: it was read.
    Ok(unsafe { room.assume_init() })
}

/// Reads a plain value from user memory to where it stays.
#[inline(always)]
pub fn get_user_into<T: FromBytes>(room: &mut MaybeUninit<T>, src: usize) -> Result<&T> {
    if !access_ok(src, size_of::<T>()) {
        return Err(EFAULT);
    }
    let to: *mut u8 = room.as_mut_ptr().cast();
    // SAFETY: there is room for as many bytes as are read, and the source range is user space. Once all have come
    // they are a `T`, as any bytes are.
    unsafe {
        #[cfg(target_os = "none")]
        match const { Move::of(size_of::<T>()) } {
            Move::Long => to.cast::<u32>().write_unaligned(get_word::<4>(src)? as u32),
            Move::Quad => to.cast::<u64>().write_unaligned(get_word::<8>(src)?),
            Move::Words => user_access(|| move_words(to, src as *const u8, size_of::<T>() / 8))?,
            Move::Any if raw_copy(to, src as *const u8, size_of::<T>()) != 0 => return Err(EFAULT),
            Move::Any => {}
        }
        #[cfg(not(target_os = "none"))]
        raw_copy(to, src as *const u8, size_of::<T>());
        Ok(room.assume_init_ref())
    }
}

/// Writes a plain value to user memory.
#[inline(always)]
pub fn put_user<T: IntoBytes + Immutable>(dst: usize, v: &T) -> Result {
    copy_to_user(dst, v.as_bytes())
}

/// How a value of fixed size is moved.
#[cfg(target_os = "none")]
#[derive(Clone, Copy)]
enum Move {
    /// One instruction of 32 bits.
    Long,
    /// One instruction of 64 bits.
    Quad,
    /// So many of these.
    Words,
    /// Words and bytes.
    Any,
}

#[cfg(target_os = "none")]
impl Move {
    const fn of(size: usize) -> Self {
        match size {
            4 => Self::Long,
            8 => Self::Quad,
            _ if size.is_multiple_of(8) => Self::Words,
            _ => Self::Any,
        }
    }
}

/// Reads `N` bytes, 4 or 8, of an address that has passed [`access_ok`].
#[cfg(target_os = "none")]
#[inline(always)]
fn get_word<const N: usize>(src: usize) -> Result<u64> {
    let (word, fault): (u64, u32);
    macro_rules! read {
        ($insn:literal) => {
            core::arch::asm!(
                "mov {fault:e}, 1",
                concat!("2: ", $insn),
                "xor {fault:e}, {fault:e}",
                "3:",
                extable!("2", "3b", 3),
                src = in(reg) src,
                word = out(reg) word,
                fault = out(reg) fault,
                options(nostack),
            )
        };
    }
    // SAFETY: the address lies in user space; a fault is recovered through the exception table.
    unsafe {
        stac();
        if const { N == 4 } {
            read!("mov {word:e}, dword ptr [{src}]");
        } else {
            read!("mov {word}, qword ptr [{src}]");
        }
        clac();
    }
    if fault == 0 { Ok(word) } else { Err(EFAULT) }
}

/// Moves words, one side being user memory that is reachable and has passed [`access_ok`]: all, or `EFAULT`.
///
/// # Safety
/// The kernel side is valid for as many.
#[inline(always)]
unsafe fn move_words(to: *mut u8, from: *const u8, words: usize) -> Result {
    #[cfg(target_os = "none")]
    {
        let left: usize;
        // SAFETY: by the caller; a fault is recovered through the exception table.
        unsafe {
            core::arch::asm!(
                "2: rep movsq",
                "3:",
                extable!("2", "3b", 3),
                inout("rcx") words => left,
                inout("rdi") to => _,
                inout("rsi") from => _,
                options(nostack, preserves_flags),
            );
        }
        if left == 0 { Ok(()) } else { Err(EFAULT) }
    }
    #[cfg(not(target_os = "none"))]
    {
        // SAFETY: on the host both sides are ordinary memory.
        unsafe { core::ptr::copy_nonoverlapping(from, to, 8 * words) };
        Ok(())
    }
}

/// A `T` in user memory that is written word by word: one that is composed in the kernel first is
/// written twice (Linux's `unsafe_put_user`).
pub struct UserStruct<T>(usize, PhantomData<T>);

impl<T> UserStruct<T> {
    /// Has `f` write the one at `at`, while user pages are reachable.
    #[inline(always)]
    pub fn write(at: usize, f: impl FnOnce(&Self) -> Result) -> Result {
        if !access_ok(at, size_of::<T>()) {
            return Err(EFAULT);
        }
        user_access(|| f(&Self(at, PhantomData)))
    }

    /// Writes the word at `OFFSET`.
    #[inline(always)]
    pub fn put<const OFFSET: usize>(&self, word: u64) -> Result {
        const { assert!(OFFSET + 8 <= size_of::<T>()) };
        #[cfg(target_os = "none")]
        // SAFETY: a word of the structure, which is in user space; a fault is recovered through the exception table.
        unsafe {
            core::arch::asm!(
                "2: mov qword ptr [{at} + {offset}], {word}",
                extable!("2", "{fault}", 3),
                at = in(reg) self.0,
                offset = const OFFSET,
                word = in(reg) word,
                fault = label { return Err(EFAULT) },
                options(nostack, preserves_flags),
            );
        }
        #[cfg(not(target_os = "none"))]
        // SAFETY: on the host it is ordinary memory.
        unsafe {
            ((self.0 + OFFSET) as *mut u64).write_unaligned(word);
        }
        Ok(())
    }

    /// Writes what begins at `OFFSET`.
    #[inline(always)]
    pub fn put_all<const OFFSET: usize, V: IntoBytes + Immutable>(&self, v: &V) -> Result {
        const { assert!(OFFSET + size_of::<V>() <= size_of::<T>() && size_of::<V>().is_multiple_of(8)) };
        // SAFETY: `v` is valid, and the destination is a part of the structure.
        unsafe { move_words((self.0 + OFFSET) as *mut u8, v.as_bytes().as_ptr(), size_of::<V>() / 8) }
    }
}

/// Writes `new` to a word of user memory if it is `old`, at once; returns what it was.
pub fn cmpxchg_user(at: usize, old: u32, new: u32) -> Result<u32> {
    if !access_ok(at, 4) {
        return Err(EFAULT);
    }
    #[cfg(target_os = "none")]
    {
        let (found, fault): (u32, u32);
        // SAFETY: the word lies in user space; a fault is recovered through the exception table.
        unsafe {
            stac();
            core::arch::asm!(
                "2: lock cmpxchg dword ptr [{at}], {new:e}",
                "xor {fault:e}, {fault:e}",
                "jmp 4f",
                "3: mov {fault:e}, 1",
                "4:",
                extable!("2", "3b", 3),
                at = in(reg) at,
                new = in(reg) new,
                fault = out(reg) fault,
                inout("eax") old => found,
                options(nostack),
            );
            clac();
        }
        if fault == 0 { Ok(found) } else { Err(EFAULT) }
    }
    #[cfg(not(target_os = "none"))]
    {
        use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
        // SAFETY: on the host it is ordinary memory.
        let word = unsafe { &*(at as *const AtomicU32) };
        Ok(word.compare_exchange(old, new, SeqCst, SeqCst).unwrap_or_else(|found| found))
    }
}

/// Zeroes user memory; returns how many bytes could not be zeroed.
pub fn clear_user(dst: usize, len: usize) -> usize {
    const ZERO: [u8; 256] = [0; 256];
    let mut done = 0;
    while done < len {
        let n = (len - done).min(ZERO.len());
        let left = copy_to_user_partial(dst + done, &ZERO[..n]);
        done += n - left;
        if left != 0 {
            break;
        }
    }
    len - done
}

/// Reads a NUL-terminated string of at most `max` bytes without its NUL; says whether the
/// NUL was there.
fn read_string(src: usize, max: usize) -> Result<(Vec<u8>, bool)> {
    let mut out = Vec::new();
    let mut at = src;
    let mut chunk = [0u8; 128];
    while out.len() < max {
        // Never read across a page end: the string may stop just before it.
        let n = chunk.len().min(4096 - at % 4096).min(max - out.len());
        let left = copy_from_user_partial(&mut chunk[..n], at);
        let got = &chunk[..n - left];
        if let Some(z) = got.iter().position(|&b| b == 0) {
            out.extend_from_slice(&got[..z]);
            return Ok((out, true));
        }
        if left != 0 {
            return Err(EFAULT);
        }
        out.extend_from_slice(got);
        at += n;
    }
    Ok((out, false))
}

/// Reads a NUL-terminated string of at most `max` bytes without its NUL.
/// `ENAMETOOLONG` if there is no NUL within `max`, `EFAULT` as ever.
pub fn strncpy_from_user(src: usize, max: usize) -> Result<Vec<u8>> {
    match read_string(src, max)? {
        (s, true) => Ok(s),
        (_, false) => Err(ENAMETOOLONG),
    }
}

/// The same, but what is too long is cut off after `max` bytes.
pub fn strncpy_from_user_cut(src: usize, max: usize) -> Result<Vec<u8>> {
    Ok(read_string(src, max)?.0)
}

/// `strncpy_from_user` for path names (`getname`): at most `PATH_MAX` bytes, and
/// not empty.
pub fn getname(src: usize) -> Result<Vec<u8>> {
    let name = strncpy_from_user(src, 4096)?;
    if name.is_empty() { Err(crate::errno::ENOENT) } else { Ok(name) }
}
