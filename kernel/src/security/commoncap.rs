// SPDX-License-Identifier: GPL-2.0-only
//! How capabilities come and go: with user ids, by `exec`, by `capset` and `prctl`
//! (Linux 6.1, `security/commoncap.c`). Files have none of their own here.
//!
//! Pure functions of credentials, which the host tests.

use crate::errno::{EINVAL, EPERM, Result};
use crate::kernel::capability::KernelCap;
use crate::kernel::cred::Cred;
use linux_raw_sys::general::{
    CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_LAST_CAP,
    CAP_LINUX_IMMUTABLE, CAP_MAC_OVERRIDE, CAP_MKNOD, CAP_SETPCAP, CAP_SETUID, CAP_SYS_PTRACE,
};
use linux_raw_sys::prctl as pr;

/// Root's id gives no capabilities.
const SECBIT_NOROOT: u32 = 1 << 0;
/// Changing the user id changes no capabilities.
const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;
/// Permitted capabilities survive the loss of root's id.
const SECBIT_KEEP_CAPS: u32 = 1 << 4;
const SECBIT_KEEP_CAPS_LOCKED: u32 = 1 << 5;
/// Nothing becomes ambient.
const SECBIT_NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;
const SECURE_ALL_BITS: u32 =
    SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS | SECBIT_NO_CAP_AMBIENT_RAISE;
/// Each bit's lock is the next one.
const SECURE_ALL_LOCKS: u32 = SECURE_ALL_BITS << 1;

/// What `fsuid` 0 always meant (`CAP_FS_SET`).
const CAP_FS_SET: KernelCap = KernelCap::of(&[
    CAP_CHOWN,
    CAP_MKNOD,
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    CAP_FOWNER,
    CAP_FSETID,
    CAP_LINUX_IMMUTABLE,
    CAP_MAC_OVERRIDE,
]);

/// The three sets that `capset` changes.
#[allow(missing_docs)]
pub struct CapSets {
    pub effective: KernelCap,
    pub permitted: KernelCap,
    pub inheritable: KernelCap,
}

/// The credentials that `capset` makes of `old`.
///
/// # Errors
/// `EPERM` for more than there was.
pub fn cap_capset(old: &Cred, new: &CapSets) -> Result<Cred> {
    let inheritable_from = old.cap_inheritable | old.cap_permitted;
    let within = (old.capable(CAP_SETPCAP) || new.inheritable.is_subset(inheritable_from))
        && new.inheritable.is_subset(old.cap_inheritable | old.cap_bset)
        && new.permitted.is_subset(old.cap_permitted)
        && new.effective.is_subset(new.permitted);
    if !within {
        return Err(EPERM);
    }
    Ok(Cred {
        cap_effective: new.effective,
        cap_permitted: new.permitted,
        cap_inheritable: new.inheritable,
        cap_ambient: old.cap_ambient & new.permitted & new.inheritable,
        ..old.clone()
    })
}

/// Capabilities follow the user ids (`cap_emulate_setxuid`).
pub fn cap_fix_setuid(new: &mut Cred, old: &Cred) {
    if old.securebits & SECBIT_NO_SETUID_FIXUP != 0 {
        return;
    }
    let has_root = |c: &Cred| [c.uid, c.euid, c.suid].contains(&0);
    if has_root(old) && !has_root(new) {
        if old.securebits & SECBIT_KEEP_CAPS == 0 {
            new.cap_permitted = KernelCap::EMPTY;
            new.cap_effective = KernelCap::EMPTY;
        }
        new.cap_ambient = KernelCap::EMPTY;
    }
    match (old.euid == 0, new.euid == 0) {
        (true, false) => new.cap_effective = KernelCap::EMPTY,
        (false, true) => new.cap_effective = new.cap_permitted,
        _ => {}
    }
}

/// Those about files follow the file system's user id.
pub fn cap_fix_setfsuid(new: &mut Cred, old: &Cred) {
    if old.securebits & SECBIT_NO_SETUID_FIXUP != 0 {
        return;
    }
    match (old.fsuid == 0, new.fsuid == 0) {
        (true, false) => new.cap_effective = new.cap_effective & !CAP_FS_SET,
        (false, true) => new.cap_effective = new.cap_effective | new.cap_permitted & CAP_FS_SET,
        _ => {}
    }
}

/// The credentials for `access(2)`: those of the real ids (Linux 6.1, `fs/open.c`,
/// `access_override_creds`).
pub fn access_creds(cred: &Cred) -> Cred {
    let mut c = Cred { fsuid: cred.uid, fsgid: cred.gid, ..cred.clone() };
    if cred.securebits & SECBIT_NO_SETUID_FIXUP == 0 {
        c.cap_effective = if c.uid == 0 { c.cap_permitted } else { KernelCap::EMPTY };
    }
    c
}

/// What `exec` knows beside the credentials.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsafe {
    /// The task shall gain nothing (`LSM_UNSAFE_NO_NEW_PRIVS`).
    pub no_new_privs: bool,
    /// It shares its working directory with others, or is traced by somebody who may not
    /// see what it gains.
    pub watched: bool,
}

/// The credentials of a program, whose file's set-id bits gave `new` its effective ids; and
/// whether its environment must not be trusted (`AT_SECURE`; `cap_bprm_creds_from_file`).
pub fn creds_from_file(old: &Cred, mut new: Cred, how: Unsafe) -> (Cred, bool) {
    let root_privileged = old.securebits & SECBIT_NOROOT == 0;
    let effective = root_privileged && new.euid == 0;
    new.cap_permitted = if root_privileged && (new.euid == 0 || new.uid == 0) {
        old.cap_bset | old.cap_inheritable
    } else {
        KernelCap::EMPTY
    };
    let is_setid = new.euid != old.uid || new.egid != old.gid;
    let gained = !new.cap_permitted.is_subset(old.cap_permitted);
    if (is_setid || gained) && (how.no_new_privs || how.watched) {
        if how.no_new_privs || !old.capable(CAP_SETUID) {
            (new.euid, new.egid) = (new.uid, new.gid);
        }
        new.cap_permitted = new.cap_permitted & old.cap_permitted;
    }
    (new.suid, new.fsuid) = (new.euid, new.euid);
    (new.sgid, new.fsgid) = (new.egid, new.egid);
    if is_setid {
        new.cap_ambient = KernelCap::EMPTY;
    }
    new.cap_permitted = new.cap_permitted | new.cap_ambient;
    new.cap_effective = if effective { new.cap_permitted } else { new.cap_ambient };
    new.securebits &= !SECBIT_KEEP_CAPS;
    let grew = !new.cap_permitted.is_subset(new.cap_ambient);
    let secure = is_setid || new.uid != 0 && (effective || grew);
    (new, secure)
}

/// Whether a task with `caller`'s credentials may look at one with `target`'s, as far as
/// capabilities go (`cap_ptrace_access_check`). `by_file`: through `/proc`, else by a call.
pub fn cap_ptrace_access_check(caller: &Cred, target: &Cred, by_file: bool) -> bool {
    let have = if by_file { caller.cap_effective } else { caller.cap_permitted };
    target.cap_permitted.is_subset(have) || caller.capable(CAP_SYS_PTRACE)
}

/// Whether a task with these credentials may make one with `tracer`'s trace it
/// (`cap_ptrace_traceme`).
pub fn cap_ptrace_traceme(tracer: &Cred, cred: &Cred) -> bool {
    cap_ptrace_access_check(tracer, cred, false)
}

/// What a `prctl` about capabilities does.
#[derive(Debug)]
pub enum Answer {
    /// It returns this.
    Value(usize),
    /// It returns 0, and these are the credentials from now on.
    Change(Cred),
}

/// `prctl`'s calls about capabilities; `None`: it is none of them (`cap_task_prctl`).
///
/// # Errors
/// `EINVAL` for what there is not, `EPERM` for what is locked or not allowed.
pub fn cap_task_prctl(old: &Cred, option: u32, a: [usize; 4]) -> Result<Option<Answer>> {
    let cap = |n: usize| u32::try_from(n).ok().filter(|&c| c <= CAP_LAST_CAP).ok_or(EINVAL);
    let yes = |b: bool| Answer::Value(usize::from(b));
    let answer = match option {
        pr::PR_CAPBSET_READ => yes(old.cap_bset.has(cap(a[0])?)),
        pr::PR_CAPBSET_DROP if !old.capable(CAP_SETPCAP) => return Err(EPERM),
        pr::PR_CAPBSET_DROP => {
            let cap_bset = old.cap_bset & !KernelCap::of(&[cap(a[0])?]);
            Answer::Change(Cred { cap_bset, ..old.clone() })
        }
        pr::PR_GET_SECUREBITS => Answer::Value(old.securebits as usize),
        pr::PR_SET_SECUREBITS => set_securebits(old, a[0])?,
        pr::PR_GET_KEEPCAPS => yes(old.securebits & SECBIT_KEEP_CAPS != 0),
        pr::PR_SET_KEEPCAPS if a[0] > 1 => return Err(EINVAL),
        pr::PR_SET_KEEPCAPS if old.securebits & SECBIT_KEEP_CAPS_LOCKED != 0 => return Err(EPERM),
        pr::PR_SET_KEEPCAPS => {
            let keep = if a[0] != 0 { SECBIT_KEEP_CAPS } else { 0 };
            Answer::Change(Cred { securebits: old.securebits & !SECBIT_KEEP_CAPS | keep, ..old.clone() })
        }
        pr::PR_CAP_AMBIENT => cap_ambient(old, a)?,
        _ => return Ok(None),
    };
    Ok(Some(answer))
}

/// Locked bits stay, locks stay, and no other bits are known (`PR_SET_SECUREBITS`).
fn set_securebits(old: &Cred, bits: usize) -> Result<Answer> {
    let bits = u32::try_from(bits).map_err(|_| EPERM)?;
    let locks = old.securebits & SECURE_ALL_LOCKS;
    let locked = locks >> 1 & (old.securebits ^ bits) != 0 || locks & !bits != 0;
    if locked || bits & !(SECURE_ALL_BITS | SECURE_ALL_LOCKS) != 0 || !old.capable(CAP_SETPCAP) {
        return Err(EPERM);
    }
    Ok(Answer::Change(Cred { securebits: bits, ..old.clone() }))
}

fn cap_ambient(old: &Cred, a: [usize; 4]) -> Result<Answer> {
    let what = u32::try_from(a[0]).map_err(|_| EINVAL)?;
    let change = |cap_ambient| Answer::Change(Cred { cap_ambient, ..old.clone() });
    if what == pr::PR_CAP_AMBIENT_CLEAR_ALL {
        return if a[1..] == [0; 3] { Ok(change(KernelCap::EMPTY)) } else { Err(EINVAL) };
    }
    let cap = u32::try_from(a[1]).ok().filter(|&c| c <= CAP_LAST_CAP && a[2..] == [0; 2]).ok_or(EINVAL)?;
    let one = KernelCap::of(&[cap]);
    match what {
        pr::PR_CAP_AMBIENT_IS_SET => Ok(Answer::Value(usize::from(old.cap_ambient.has(cap)))),
        pr::PR_CAP_AMBIENT_LOWER => Ok(change(old.cap_ambient & !one)),
        pr::PR_CAP_AMBIENT_RAISE => {
            let allowed = one.is_subset(old.cap_permitted & old.cap_inheritable);
            if allowed && old.securebits & SECBIT_NO_CAP_AMBIENT_RAISE == 0 {
                Ok(change(old.cap_ambient | one))
            } else {
                Err(EPERM)
            }
        }
        _ => Err(EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Cred {
        (*Cred::root()).clone()
    }
    fn user(id: u32) -> Cred {
        let caps = KernelCap::EMPTY;
        Cred { uid: id, euid: id, suid: id, fsuid: id, cap_permitted: caps, cap_effective: caps, ..root() }
    }
    fn changed(old: &Cred, option: u32, a: [usize; 4]) -> Cred {
        match cap_task_prctl(old, option, a) {
            Ok(Some(Answer::Change(c))) => c,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn giving_up_root_gives_up_capabilities() {
        let old = root();
        let mut new = Cred { euid: 5, ..old.clone() };
        cap_fix_setuid(&mut new, &old);
        assert_eq!((new.cap_effective, new.cap_permitted), (KernelCap::EMPTY, KernelCap::FULL));
        let mut back = Cred { euid: 0, ..new.clone() };
        cap_fix_setuid(&mut back, &new);
        assert_eq!(back.cap_effective, KernelCap::FULL);
        let mut gone = Cred { uid: 5, euid: 5, suid: 5, ..old.clone() };
        cap_fix_setuid(&mut gone, &old);
        assert_eq!(gone.cap_permitted, KernelCap::EMPTY);
    }

    #[test]
    fn who_asks_keeps_what_is_permitted() {
        let old = changed(&root(), pr::PR_SET_KEEPCAPS, [1, 0, 0, 0]);
        let mut new = Cred { uid: 5, euid: 5, suid: 5, ..old.clone() };
        cap_fix_setuid(&mut new, &old);
        assert_eq!((new.cap_effective, new.cap_permitted), (KernelCap::EMPTY, KernelCap::FULL));
    }

    #[test]
    fn the_fs_user_takes_what_is_about_files() {
        let old = root();
        let mut new = Cred { fsuid: 5, ..old.clone() };
        cap_fix_setfsuid(&mut new, &old);
        assert!(!new.capable(CAP_DAC_OVERRIDE) && new.capable(CAP_SETUID));
        let mut back = Cred { fsuid: 0, ..new.clone() };
        cap_fix_setfsuid(&mut back, &new);
        assert_eq!(back.cap_effective, KernelCap::FULL);
    }

    #[test]
    fn exec_gives_root_everything_and_others_nothing() {
        let none = Unsafe::default();
        let (c, secure) = creds_from_file(&root(), root(), none);
        assert_eq!((c.cap_effective, secure), (KernelCap::FULL, false));
        // Permitted capabilities do not survive it.
        let rich = Cred { cap_permitted: KernelCap::FULL, ..user(5) };
        let (c, secure) = creds_from_file(&rich, rich.clone(), none);
        assert_eq!((c.cap_permitted, secure), (KernelCap::EMPTY, false));
        // Unless they are ambient.
        let net = KernelCap::of(&[CAP_CHOWN]);
        let rich = Cred { cap_permitted: net, cap_inheritable: net, cap_ambient: net, ..user(5) };
        let (c, secure) = creds_from_file(&rich, rich.clone(), none);
        assert_eq!((c.cap_effective, c.cap_permitted, secure), (net, net, false));
    }

    #[test]
    fn set_id_programs() {
        let old = user(5);
        let file = Cred { euid: 0, ..old.clone() };
        let (c, secure) = creds_from_file(&old, file.clone(), Unsafe::default());
        assert_eq!((c.cap_effective, c.suid, c.fsuid, secure), (KernelCap::FULL, 0, 0, true));
        for how in [
            Unsafe { no_new_privs: true, ..Unsafe::default() },
            Unsafe { watched: true, ..Unsafe::default() },
        ] {
            let (c, secure) = creds_from_file(&old, file.clone(), how);
            assert_eq!((c.cap_permitted, c.euid, secure), (KernelCap::EMPTY, 5, true));
        }
    }

    #[test]
    fn capset_only_takes_away() {
        let some = KernelCap::of(&[CAP_CHOWN, CAP_SETUID]);
        let sets = |effective, permitted, inheritable| CapSets { effective, permitted, inheritable };
        let c = cap_capset(&root(), &sets(KernelCap::EMPTY, some, some)).unwrap();
        assert_eq!((c.cap_effective, c.cap_permitted), (KernelCap::EMPTY, some));
        assert!(cap_capset(&c, &sets(some, some, some)).is_ok());
        assert!(cap_capset(&c, &sets(KernelCap::EMPTY, KernelCap::FULL, some)).is_err());
        assert!(cap_capset(&c, &sets(some, KernelCap::EMPTY, KernelCap::EMPTY)).is_err());
        assert!(cap_capset(&c, &sets(some, some, KernelCap::FULL)).is_err());
    }

    #[test]
    fn locked_bits_stay() {
        let c = changed(&root(), pr::PR_SET_SECUREBITS, [0x3, 0, 0, 0]);
        assert_eq!(cap_task_prctl(&c, pr::PR_SET_SECUREBITS, [0x2, 0, 0, 0]).unwrap_err(), EPERM);
        assert_eq!(cap_task_prctl(&c, pr::PR_SET_SECUREBITS, [0x1, 0, 0, 0]).unwrap_err(), EPERM);
        assert_eq!(cap_task_prctl(&c, pr::PR_SET_SECUREBITS, [0x103, 0, 0, 0]).unwrap_err(), EPERM);
        assert!(cap_task_prctl(&c, pr::PR_SET_SECUREBITS, [0x7, 0, 0, 0]).is_ok());
        let (c, _) = creds_from_file(&c, c.clone(), Unsafe::default());
        assert_eq!(c.cap_permitted, KernelCap::EMPTY);
    }

    #[test]
    fn looking_at_others() {
        assert!(cap_ptrace_access_check(&root(), &root(), true));
        assert!(cap_ptrace_access_check(&user(5), &user(5), true));
        assert!(!cap_ptrace_access_check(&user(0), &root(), true));
    }
}
