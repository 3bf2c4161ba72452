// SPDX-License-Identifier: GPL-2.0-only
//! User and group ids (Linux 6.1, `kernel/sys.c`, `kernel/groups.c`).

use crate::arch::x86::lib::usercopy::{copy_from_user, copy_to_user, put_user};
use crate::errno::{EINVAL, EPERM, Result};
use crate::kernel::capability::capable;
use crate::kernel::cred::{Cred, commit_creds};
use crate::kernel::signal::state::rlimit;
use crate::kernel::task::{current, pf};
use crate::kernel::ucount::{UcountRlimit, Ucounts};
use crate::mm::util::kvcalloc;
use crate::security::commoncap::{cap_fix_setfsuid, cap_fix_setuid};
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general::{CAP_SETGID, CAP_SETUID};
use zerocopy::IntoBytes;

/// Most supplementary groups (`NGROUPS_MAX`).
pub const NGROUPS_MAX: usize = 65_536;
/// "Leave it as it is".
const KEEP: u32 = u32::MAX;

/// The four user ids, or the four group ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ids {
    real: u32,
    eff: u32,
    saved: u32,
    fs: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Group,
}

impl Kind {
    fn ids(self, c: &Cred) -> Ids {
        match self {
            Self::User => Ids { real: c.uid, eff: c.euid, saved: c.suid, fs: c.fsuid },
            Self::Group => Ids { real: c.gid, eff: c.egid, saved: c.sgid, fs: c.fsgid },
        }
    }
    fn with_ids(self, old: &Cred, i: Ids) -> Cred {
        let c = old.clone();
        match self {
            Self::User => Cred { uid: i.real, euid: i.eff, suid: i.saved, fsuid: i.fs, ..c },
            Self::Group => Cred { gid: i.real, egid: i.eff, sgid: i.saved, fsgid: i.fs, ..c },
        }
    }
    /// Whether the current task may take any id.
    fn privileged(self, c: &Cred) -> bool {
        c.capable(if self == Self::User { CAP_SETUID } else { CAP_SETGID })
    }
    /// Applies a rule to the current task; capabilities follow.
    fn change(self, rule: impl FnOnce(Ids, bool) -> Result<Ids>) -> Result<usize> {
        let old = current().cred.get();
        let mut new = self.with_ids(&old, rule(self.ids(&old), self.privileged(&old))?);
        if self == Self::User {
            set_user(&mut new, &old);
            cap_fix_setuid(&mut new, &old);
        }
        commit_creds(new);
        Ok(0)
    }
}

/// Whose processes are counted follows the real user. A user who has too many already gets this one
/// all the same, for programs do not expect `setuid` to fail, but no `execve` while that is so
/// (`set_cred_ucounts`, `flag_nproc_exceeded`).
fn set_user(new: &mut Cred, old: &Cred) {
    if new.uid == old.uid {
        return;
    }
    new.ucounts = Ucounts::of(new.uid);
    let cur = current();
    if new.uid != 0 && new.ucounts.is_overlimit(UcountRlimit::Nproc, rlimit(rlimit::NPROC)) {
        cur.pf.fetch_or(pf::NPROC_EXCEEDED, Relaxed);
    } else {
        cur.pf.fetch_and(!pf::NPROC_EXCEEDED, Relaxed);
    }
}

/// All three, each one of the present three unless privileged (`__sys_setresuid`).
fn setres(old: Ids, new: [u32; 3], privileged: bool) -> Result<Ids> {
    let present = [old.real, old.eff, old.saved];
    if !privileged && new.iter().any(|n| *n != KEEP && !present.contains(n)) {
        return Err(EPERM);
    }
    let or = |n: u32, o: u32| if n == KEEP { o } else { n };
    let [real, eff, saved] = [or(new[0], old.real), or(new[1], old.eff), or(new[2], old.saved)];
    Ok(Ids { real, eff, saved, fs: eff })
}

/// Real and effective may be exchanged; the saved one follows when there is something to
/// give up (`__sys_setreuid`).
fn setre(old: Ids, real: u32, eff: u32, privileged: bool) -> Result<Ids> {
    let real_ok = privileged || [KEEP, old.real, old.eff].contains(&real);
    let eff_ok = privileged || [KEEP, old.real, old.eff, old.saved].contains(&eff);
    if !real_ok || !eff_ok {
        return Err(EPERM);
    }
    let new = setres(old, [real, eff, KEEP], true)?;
    let follows = real != KEEP || eff != KEEP && eff != old.real;
    Ok(if follows { Ids { saved: new.eff, ..new } } else { new })
}

/// All of them with privilege, else the effective one (`__sys_setuid`).
fn set(old: Ids, id: u32, privileged: bool) -> Result<Ids> {
    if id == KEEP {
        return Err(EINVAL);
    }
    if privileged {
        return Ok(Ids { real: id, eff: id, saved: id, fs: id });
    }
    if [old.real, old.saved].contains(&id) { Ok(Ids { eff: id, fs: id, ..old }) } else { Err(EPERM) }
}

/// The one for files (`__sys_setfsuid`); nothing happens where it may not.
fn setfs(kind: Kind, id: u32) -> usize {
    let old = current().cred.get();
    let ids = kind.ids(&old);
    let allowed = [ids.real, ids.eff, ids.saved, ids.fs].contains(&id) || kind.privileged(&old);
    if id != KEEP && id != ids.fs && allowed {
        let mut new = kind.with_ids(&old, Ids { fs: id, ..ids });
        if kind == Kind::User {
            cap_fix_setfsuid(&mut new, &old);
        }
        commit_creds(new);
    }
    ids.fs as usize
}

fn put_ids(ids: Ids, at: [usize; 3]) -> Result<usize> {
    for (id, p) in [ids.real, ids.eff, ids.saved].iter().zip(at) {
        put_user(p, id)?;
    }
    Ok(0)
}

/// `getuid(2)`.
pub fn sys_getuid() -> Result<usize> {
    Ok(current().cred.get().uid as usize)
}
/// `geteuid(2)`.
pub fn sys_geteuid() -> Result<usize> {
    Ok(current().cred.get().euid as usize)
}
/// `getgid(2)`.
pub fn sys_getgid() -> Result<usize> {
    Ok(current().cred.get().gid as usize)
}
/// `getegid(2)`.
pub fn sys_getegid() -> Result<usize> {
    Ok(current().cred.get().egid as usize)
}
/// `setresuid(2)`.
pub fn sys_setresuid(r: u32, e: u32, s: u32) -> Result<usize> {
    Kind::User.change(|old, privileged| setres(old, [r, e, s], privileged))
}
/// `setresgid(2)`.
pub fn sys_setresgid(r: u32, e: u32, s: u32) -> Result<usize> {
    Kind::Group.change(|old, privileged| setres(old, [r, e, s], privileged))
}
/// `setreuid(2)`.
pub fn sys_setreuid(r: u32, e: u32) -> Result<usize> {
    Kind::User.change(|old, privileged| setre(old, r, e, privileged))
}
/// `setregid(2)`.
pub fn sys_setregid(r: u32, e: u32) -> Result<usize> {
    Kind::Group.change(|old, privileged| setre(old, r, e, privileged))
}
/// `setuid(2)`.
pub fn sys_setuid(uid: u32) -> Result<usize> {
    Kind::User.change(|old, privileged| set(old, uid, privileged))
}
/// `setgid(2)`.
pub fn sys_setgid(gid: u32) -> Result<usize> {
    Kind::Group.change(|old, privileged| set(old, gid, privileged))
}
/// `setfsuid(2)`: returns the old one.
pub fn sys_setfsuid(uid: u32) -> Result<usize> {
    Ok(setfs(Kind::User, uid))
}
/// `setfsgid(2)`: returns the old one.
pub fn sys_setfsgid(gid: u32) -> Result<usize> {
    Ok(setfs(Kind::Group, gid))
}
/// `getresuid(2)`.
pub fn sys_getresuid(r: usize, e: usize, s: usize) -> Result<usize> {
    put_ids(Kind::User.ids(&current().cred.get()), [r, e, s])
}
/// `getresgid(2)`.
pub fn sys_getresgid(r: usize, e: usize, s: usize) -> Result<usize> {
    put_ids(Kind::Group.ids(&current().cred.get()), [r, e, s])
}

/// `getgroups(2)`.
pub fn sys_getgroups(size: i32, list: usize) -> Result<usize> {
    let size = usize::try_from(size).map_err(|_| EINVAL)?;
    let groups = current().cred.get().groups.clone();
    if size != 0 {
        if groups.len() > size {
            return Err(EINVAL);
        }
        copy_to_user(list, groups.as_slice().as_bytes())?;
    }
    Ok(groups.len())
}

/// `setgroups(2)`.
pub fn sys_setgroups(size: i32, list: usize) -> Result<usize> {
    set_groups(size, |groups| copy_from_user(groups.as_mut_bytes(), list))
}

/// Replaces the supplementary groups by `size` that `read` gets.
pub fn set_groups(size: i32, read: impl FnOnce(&mut [u32]) -> Result) -> Result<usize> {
    if !capable(CAP_SETGID) {
        return Err(EPERM);
    }
    let size = usize::try_from(size).ok().filter(|&n| n <= NGROUPS_MAX).ok_or(EINVAL)?;
    let mut groups = kvcalloc::<u32>(size)?;
    read(&mut groups)?;
    if groups.contains(&KEEP) {
        return Err(EINVAL);
    }
    groups.sort_unstable();
    let old = current().cred.get();
    commit_creds(Cred { groups: Arc::new(groups), ..(*old).clone() });
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Ids = Ids { real: 1, eff: 2, saved: 3, fs: 2 };

    #[test]
    fn res_ids_are_exchanged() {
        let ids = |real, eff, saved| Ok(Ids { real, eff, saved, fs: eff });
        assert_eq!(setres(OLD, [3, KEEP, 1], false), ids(3, 2, 1));
        assert_eq!(setres(OLD, [4, KEEP, KEEP], false), Err(EPERM));
        assert_eq!(setres(OLD, [4, 5, 6], true), ids(4, 5, 6));
    }

    #[test]
    fn re_ids_take_the_saved_one_along() {
        let ids = |real, eff, saved| Ok(Ids { real, eff, saved, fs: eff });
        assert_eq!(setre(OLD, 2, 1, false), ids(2, 1, 1));
        assert_eq!(setre(OLD, KEEP, 1, false), ids(1, 1, 3));
        assert_eq!(setre(OLD, KEEP, 3, false), ids(1, 3, 3));
        assert_eq!(setre(OLD, 3, KEEP, false), Err(EPERM));
        assert_eq!(setre(OLD, KEEP, 4, false), Err(EPERM));
        assert_eq!(setre(OLD, KEEP, 4, true), ids(1, 4, 4));
    }

    #[test]
    fn one_id() {
        assert_eq!(set(OLD, 3, false), Ok(Ids { eff: 3, fs: 3, ..OLD }));
        assert_eq!(set(OLD, 2, false), Err(EPERM));
        assert_eq!(set(OLD, KEEP, true), Err(EINVAL));
        assert_eq!(set(OLD, 7, true), Ok(Ids { real: 7, eff: 7, saved: 7, fs: 7 }));
    }
}
