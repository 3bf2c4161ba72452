// SPDX-License-Identifier: GPL-2.0-only
//! Three descriptors of the GDT for each thread: `set_thread_area(2)`,
//! `get_thread_area(2)` (Linux 6.1, `arch/x86/kernel/tls.c`). 64-bit programs have no use
//! for them; their thread pointer is a base without a descriptor.

use super::ldt::UserDesc;
use super::process_64::{Thread, segments};
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::arch::x86::segment::GDT_ENTRY_TLS_MIN;
use crate::errno::{EINVAL, EIO, ESRCH, Result};
use crate::kernel::task::current;
use zerocopy::FromBytes;

/// How many there are (`GDT_ENTRY_TLS_ENTRIES`).
pub const TLS_ENTRIES: usize = 3;

/// Which of the three a GDT index means, or `EINVAL`.
fn slot(idx: i32) -> Result<usize> {
    let n = usize::try_from(idx).ok().and_then(|i| i.checked_sub(GDT_ENTRY_TLS_MIN));
    n.filter(|&n| n < TLS_ENTRIES).ok_or(EINVAL)
}

/// What a segment register holds of the descriptor at a GDT index.
const fn selector(idx: i32) -> u16 {
    (idx as u16) << 3 | 3
}

/// Whether a segment may be had: present, 32-bit, data (`tls_desc_okay`).
fn tls_desc_okay(info: &UserDesc) -> bool {
    info.is_empty() || info.is_zero() || (info.seg_32bit() && info.contents() <= 1 && !info.seg_not_present())
}

/// The first free one (`get_free_idx`).
fn get_free_idx(t: &Thread) -> Result<i32> {
    let n = t.tls.iter().position(|d| d.get() == 0).ok_or(ESRCH)?;
    Ok((GDT_ENTRY_TLS_MIN + n) as i32)
}

/// Puts a descriptor in its place, or takes it away (`set_tls_desc`).
fn set_tls_desc(t: &Thread, idx: i32, info: &UserDesc) -> Result {
    let clear = info.is_empty() || info.is_zero();
    t.tls[slot(idx)?].set(if clear { 0 } else { info.descriptor() });
    Ok(())
}

/// Shows one of a thread's descriptors (`do_get_thread_area`).
fn do_get_thread_area(t: &Thread, idx: i32, uinfo: usize) -> Result {
    let info = UserDesc::from_descriptor(idx as u32, t.tls[slot(idx)?].get());
    put_user(uinfo, &info)
}

/// Sets one of a switched-out thread's descriptors, for its tracer. What a segment register holds
/// of it is read anew when the thread runs; the bases are kept apart.
///
/// # Errors
/// `EFAULT`, `EINVAL`; `EIO` for an index below zero.
pub fn ptrace_set_thread_area(t: &Thread, idx: i32, uinfo: usize) -> Result {
    if idx < 0 {
        return Err(EIO);
    }
    set_thread_area_of(t, Some(idx), uinfo)
}

/// Sets the descriptor that the structure names, for a new thread's TLS by i386's `clone`
/// (`set_new_tls`).
///
/// # Errors
/// `EFAULT`, `EINVAL`.
pub fn set_new_tls(t: &Thread, uinfo: usize) -> Result {
    set_thread_area_of(t, None, uinfo)
}

/// `do_set_thread_area` for a thread that does not run.
fn set_thread_area_of(t: &Thread, idx: Option<i32>, uinfo: usize) -> Result {
    let info: UserDesc = get_user(uinfo)?;
    if !tls_desc_okay(&info) {
        return Err(EINVAL);
    }
    let idx = idx.unwrap_or(info.entry_number as i32);
    set_tls_desc(t, idx, &info)?;
    for (index, base) in [(&t.fsindex, &t.fsbase), (&t.gsindex, &t.gsbase)] {
        if index.get() == selector(idx) {
            base.set(info.base_addr.into());
        }
    }
    Ok(())
}

/// Shows one of a switched-out thread's descriptors to its tracer.
///
/// # Errors
/// As for [`ptrace_set_thread_area`].
pub fn ptrace_get_thread_area(t: &Thread, idx: i32, uinfo: usize) -> Result {
    if idx < 0 { Err(EIO) } else { do_get_thread_area(t, idx, uinfo) }
}

/// Whether a thread has any of them (`regset_tls_active`).
pub fn regset_tls_active(t: &Thread) -> bool {
    t.tls.iter().any(|d| d.get() != 0)
}

/// All of them (`regset_tls_get`).
pub fn regset_tls_get(t: &Thread) -> [UserDesc; TLS_ENTRIES] {
    [0, 1, 2].map(|i: usize| UserDesc::from_descriptor((GDT_ENTRY_TLS_MIN + i) as u32, t.tls[i].get()))
}

/// Replaces the first ones of a switched-out thread's (`regset_tls_set`).
///
/// # Errors
/// `EINVAL`: then none was changed.
pub fn regset_tls_set(t: &Thread, bytes: &[u8]) -> Result {
    let infos = || bytes.chunks(size_of::<UserDesc>()).map(UserDesc::read_from_bytes);
    if !infos().all(|info| info.is_ok_and(|info| tls_desc_okay(&info))) {
        return Err(EINVAL);
    }
    (GDT_ENTRY_TLS_MIN as i32..)
        .zip(infos().flatten())
        .try_for_each(|(idx, info)| set_tls_desc(t, idx, &info))
}

/// Sets one of the running thread's descriptors (`do_set_thread_area`); `idx` -1: the
/// structure says which, and -1 there: any.
///
/// # Errors
/// `EFAULT`, `EINVAL`, `ESRCH` (none is free).
pub fn do_set_thread_area(idx: i32, uinfo: usize, can_allocate: bool) -> Result {
    let info: UserDesc = get_user(uinfo)?;
    if !tls_desc_okay(&info) {
        return Err(EINVAL);
    }
    let cur = current();
    let t = cur.thread();
    let mut idx = if idx == -1 { info.entry_number as i32 } else { idx };
    if idx == -1 && can_allocate {
        idx = get_free_idx(t)?;
        put_user(uinfo, &idx)?;
    }
    set_tls_desc(t, idx, &info)?;
    segments::load_tls(t);
    segments::refresh(selector(idx));
    Ok(())
}

/// `set_thread_area(2)`.
pub fn sys_set_thread_area(uinfo: usize) -> Result<usize> {
    do_set_thread_area(-1, uinfo, true).map(|()| 0)
}

/// `get_thread_area(2)`.
pub fn sys_get_thread_area(uinfo: usize) -> Result<usize> {
    let idx: i32 = get_user(uinfo)?;
    do_get_thread_area(current().thread(), idx, uinfo).map(|()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_and_segments() {
        assert_eq!(
            (slot(12), slot(14), slot(11), slot(15), slot(-1)),
            (Ok(0), Ok(2), Err(EINVAL), Err(EINVAL), Err(EINVAL))
        );
        let data = UserDesc { limit: 1, flags: 1, ..UserDesc::default() };
        assert!(tls_desc_okay(&data) && tls_desc_okay(&UserDesc::default()));
        assert!(!tls_desc_okay(&UserDesc { flags: 0, ..data }), "16-bit");
        assert!(!tls_desc_okay(&UserDesc { flags: 0b101, ..data }), "code");
        assert!(!tls_desc_okay(&UserDesc { flags: 0b10_0001, ..data }), "not present");
    }
}
