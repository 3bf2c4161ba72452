// SPDX-License-Identifier: GPL-2.0-only
//! i386's calls of old with ids of 16 bits (Linux 6.1, `kernel/uid16.c`): -1 is "leave it as it is"
//! in 16 bits too, and an id that does not fit is shown as nobody's.

use super::setid::{set_groups, sys_getgroups};
use super::setid::{
    sys_getegid, sys_geteuid, sys_getgid, sys_getuid, sys_setfsgid, sys_setfsuid, sys_setgid, sys_setregid,
    sys_setresgid, sys_setresuid, sys_setreuid, sys_setuid,
};
use crate::arch::x86::lib::usercopy::{copy_from_user, copy_to_user, put_user};
use crate::errno::{EINVAL, Result};
use crate::fs::attr::{sys_chown, sys_fchown, sys_lchown};
use crate::kernel::task::current;
use crate::mm::util::kvcalloc;
use alloc::vec::Vec;
use zerocopy::IntoBytes;

/// Whose is what has an id that does not fit (`overflowuid`).
const OVERFLOW_ID: u16 = 65534;

/// An id in 16 bits (`high2lowuid`).
pub fn high2low(id: u32) -> u16 {
    u16::try_from(id).unwrap_or(OVERFLOW_ID)
}

/// What 16 bits mean (`low2highuid`).
fn low2high(id: u16) -> u32 {
    if id == u16::MAX { u32::MAX } else { id.into() }
}

/// An id that a call has returned.
fn low(id: Result<usize>) -> Result<usize> {
    id.map(|id| high2low(id as u32).into())
}

/// `chown`.
pub fn sys_chown16(name: usize, uid: u16, gid: u16) -> Result<usize> {
    sys_chown(name, low2high(uid), low2high(gid))
}
/// `lchown`.
pub fn sys_lchown16(name: usize, uid: u16, gid: u16) -> Result<usize> {
    sys_lchown(name, low2high(uid), low2high(gid))
}
/// `fchown`.
pub fn sys_fchown16(fd: i32, uid: u16, gid: u16) -> Result<usize> {
    sys_fchown(fd, low2high(uid), low2high(gid))
}
/// `setregid`.
pub fn sys_setregid16(real: u16, eff: u16) -> Result<usize> {
    sys_setregid(low2high(real), low2high(eff))
}
/// `setgid`.
pub fn sys_setgid16(gid: u16) -> Result<usize> {
    sys_setgid(low2high(gid))
}
/// `setreuid`.
pub fn sys_setreuid16(real: u16, eff: u16) -> Result<usize> {
    sys_setreuid(low2high(real), low2high(eff))
}
/// `setuid`.
pub fn sys_setuid16(uid: u16) -> Result<usize> {
    sys_setuid(low2high(uid))
}
/// `setresuid`.
pub fn sys_setresuid16(real: u16, eff: u16, saved: u16) -> Result<usize> {
    sys_setresuid(low2high(real), low2high(eff), low2high(saved))
}
/// `setresgid`.
pub fn sys_setresgid16(real: u16, eff: u16, saved: u16) -> Result<usize> {
    sys_setresgid(low2high(real), low2high(eff), low2high(saved))
}
/// `setfsuid`.
pub fn sys_setfsuid16(uid: u16) -> Result<usize> {
    sys_setfsuid(low2high(uid))
}
/// `setfsgid`.
pub fn sys_setfsgid16(gid: u16) -> Result<usize> {
    sys_setfsgid(low2high(gid))
}
/// `getuid`.
pub fn sys_getuid16() -> Result<usize> {
    low(sys_getuid())
}
/// `geteuid`.
pub fn sys_geteuid16() -> Result<usize> {
    low(sys_geteuid())
}
/// `getgid`.
pub fn sys_getgid16() -> Result<usize> {
    low(sys_getgid())
}
/// `getegid`.
pub fn sys_getegid16() -> Result<usize> {
    low(sys_getegid())
}

fn put_ids(ids: [u32; 3], at: [usize; 3]) -> Result<usize> {
    ids.into_iter().zip(at).try_for_each(|(id, at)| put_user(at, &high2low(id))).map(|()| 0)
}

/// `getresuid`.
pub fn sys_getresuid16(real: usize, eff: usize, saved: usize) -> Result<usize> {
    let c = current().cred.get();
    put_ids([c.uid, c.euid, c.suid], [real, eff, saved])
}
/// `getresgid`.
pub fn sys_getresgid16(real: usize, eff: usize, saved: usize) -> Result<usize> {
    let c = current().cred.get();
    put_ids([c.gid, c.egid, c.sgid], [real, eff, saved])
}

/// `getgroups`.
pub fn sys_getgroups16(size: i32, list: usize) -> Result<usize> {
    if size <= 0 {
        return sys_getgroups(size, list);
    }
    let groups = current().cred.get().groups.clone();
    if groups.len() > size as usize {
        return Err(EINVAL);
    }
    let mut low: Vec<u16> = kvcalloc(groups.len())?;
    low.iter_mut().zip(groups.iter()).for_each(|(to, &id)| *to = high2low(id));
    copy_to_user(list, low.as_slice().as_bytes())?;
    Ok(low.len())
}

/// `setgroups`.
pub fn sys_setgroups16(size: i32, list: usize) -> Result<usize> {
    set_groups(size, |groups| {
        let mut low: Vec<u16> = kvcalloc(groups.len())?;
        copy_from_user(low.as_mut_slice().as_mut_bytes(), list)?;
        groups.iter_mut().zip(low).for_each(|(to, id)| *to = low2high(id));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_do_not_fit() {
        assert_eq!([0, 65535, 65536, u32::MAX].map(high2low), [0, 65535, 65534, 65534]);
        assert_eq!([0, 65534, 65535].map(low2high), [0, 65534, u32::MAX]);
    }
}
