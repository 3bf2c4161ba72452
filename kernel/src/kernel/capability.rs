// SPDX-License-Identifier: GPL-2.0-only
//! Capabilities: what root may do, in pieces (Linux 6.1, `kernel/capability.c`). The rules by
//! which they come and go are in [`commoncap`](crate::security::commoncap).

use crate::arch::x86::lib::usercopy::{copy_to_user, get_user, put_user};
use crate::errno::{EINVAL, EPERM, ESRCH, Result};
use crate::kernel::cred::commit_creds;
use crate::kernel::fork::find_task;
use crate::kernel::panic::Comm;
use crate::kernel::task::current;
use crate::security::commoncap::{CapSets, cap_capset};
use core::ops::{BitAnd, BitOr, Not};
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general::CAP_LAST_CAP;
use zerocopy::IntoBytes;

/// A set of capabilities (`kernel_cap_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCap(u64);

impl KernelCap {
    /// None.
    pub const EMPTY: Self = Self(0);
    /// All that there are.
    pub const FULL: Self = Self((1 << (CAP_LAST_CAP + 1)) - 1);
    /// The set with these (`CAP_*`).
    pub const fn of(caps: &[u32]) -> Self {
        let (mut set, mut i) = (0, 0);
        while i < caps.len() {
            set |= 1 << caps[i];
            i += 1;
        }
        Self(set)
    }
    /// From bits; those that mean nothing are left out.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & Self::FULL.0)
    }
    /// As bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
    /// Whether `cap` is in it.
    #[inline]
    pub const fn has(self, cap: u32) -> bool {
        self.0 >> cap & 1 != 0
    }
    /// Whether all of it is in `of` too.
    pub const fn is_subset(self, of: Self) -> bool {
        self.0 & !of.0 == 0
    }
}

impl BitOr for KernelCap {
    type Output = Self;
    fn bitor(self, o: Self) -> Self {
        Self(self.0 | o.0)
    }
}
impl BitAnd for KernelCap {
    type Output = Self;
    fn bitand(self, o: Self) -> Self {
        Self(self.0 & o.0)
    }
}
impl Not for KernelCap {
    type Output = Self;
    fn not(self) -> Self {
        Self::from_bits(!self.0)
    }
}

/// Whether the current task may do what `cap` (`CAP_*`) stands for.
pub fn capable(cap: u32) -> bool {
    current().cred.lock().capable(cap)
}

/// The oldest interface's number, with 32 capabilities.
const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;

/// One half of `struct __user_cap_data_struct`: effective, permitted, inheritable.
type Words = [u32; 3];

/// How many [`Words`] the caller's version has; of an unknown one, the known one is told
/// (`cap_validate_magic`).
fn words_of_version(header: usize) -> Result<usize> {
    static SAID: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    let say = |which: usize, what: &str| {
        if !SAID[which].swap(true, Ordering::Relaxed) {
            let comm = current().comm();
            crate::pr_info!("capability: warning: `{}' uses {what}\n", Comm(&comm));
        }
    };
    match get_user::<u32>(header)? {
        VERSION_1 => {
            say(0, "32-bit capabilities (legacy support in use)");
            Ok(1)
        }
        VERSION_2 => {
            say(1, "deprecated v2 capabilities in a way that may be insecure");
            Ok(2)
        }
        VERSION_3 => Ok(2),
        _ => {
            put_user(header, &VERSION_3)?;
            Err(EINVAL)
        }
    }
}

/// `capget(2)`.
pub fn sys_capget(header: usize, data: usize) -> Result<usize> {
    let words = match words_of_version(header) {
        // A question about the version alone.
        Ok(_) | Err(EINVAL) if data == 0 => return Ok(0),
        other => other?,
    };
    let pid: i32 = get_user(header + 4)?;
    if pid < 0 {
        return Err(EINVAL);
    }
    let cur = current();
    let cred =
        if pid == 0 || pid == cur.pid() { cur.cred.get() } else { find_task(pid).ok_or(ESRCH)?.cred.get() };
    let sets = [cred.cap_effective, cred.cap_permitted, cred.cap_inheritable];
    let out: [Words; 2] = [0, 32].map(|shift| sets.map(|s| (s.bits() >> shift) as u32));
    copy_to_user(data, out[..words].as_bytes())?;
    Ok(0)
}

/// `capset(2)`: the current thread's own.
pub fn sys_capset(header: usize, data: usize) -> Result<usize> {
    let words = words_of_version(header)?;
    let pid: i32 = get_user(header + 4)?;
    if pid != 0 && pid != current().pid() {
        return Err(EPERM);
    }
    let mut sets = [0u64; 3];
    for i in 0..words {
        let half: Words = get_user(data + i * size_of::<Words>())?;
        for (set, bits) in sets.iter_mut().zip(half) {
            *set |= u64::from(bits) << (32 * i);
        }
    }
    let [effective, permitted, inheritable] = sets.map(KernelCap::from_bits);
    let old = current().cred.get();
    commit_creds(cap_capset(&old, &CapSets { effective, permitted, inheritable })?);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let s = KernelCap::of(&[0, 40]);
        assert_eq!(s.bits(), 1 << 40 | 1);
        assert!(s.has(40) && !s.has(39) && s.is_subset(KernelCap::FULL));
        assert!(!KernelCap::FULL.is_subset(s));
        assert_eq!(KernelCap::from_bits(u64::MAX), KernelCap::FULL);
        assert_eq!(!KernelCap::EMPTY, KernelCap::FULL);
    }
}
