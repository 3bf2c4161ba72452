// SPDX-License-Identifier: GPL-2.0-only
//! Random numbers (where Linux has `drivers/char/random.c`): for addresses and
//! `AT_RANDOM`. `RDRAND` where the CPU has it, mixed with the time-stamp counter; not a
//! cryptographic generator, and `/dev/random` says no more than that.

use crate::arch::x86::lib::usercopy::copy_to_user;
use crate::errno::{EINVAL, Result};
use crate::kernel::time::timekeeping::rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general as abi;

static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);

/// The SplitMix64 output function.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What the CPU's own generator says; 0 if it has none.
fn rdrand() -> u64 {
    static HAS: spin::Once<bool> = spin::Once::new();
    let has = *HAS.call_once(|| raw_cpuid::CpuId::new().get_feature_info().is_some_and(|f| f.has_rdrand()));
    let mut v = 0u64;
    if has {
        // SAFETY: the CPU reports RDRAND; a failure leaves 0.
        unsafe { core::arch::asm!("rdrand {}", out(reg) v, options(nomem, nostack)) };
    }
    v
}

/// A random number.
pub fn get_random_u64() -> u64 {
    let seed = rdrand() ^ rdtsc();
    let s = STATE.fetch_add(0x9e37_79b9_7f4a_7c15 ^ mix(seed), Ordering::Relaxed);
    mix(s ^ seed)
}

/// `getrandom(2)`.
pub fn sys_getrandom(buf: usize, len: usize, flags: u32) -> Result<usize> {
    if flags & !(abi::GRND_NONBLOCK | abi::GRND_RANDOM | abi::GRND_INSECURE) != 0 {
        return Err(EINVAL);
    }
    let len = len.min(0x1ff_ffff);
    let mut done = 0;
    while done < len {
        let n = (len - done).min(8);
        if let Err(e) = copy_to_user(buf + done, &get_random_u64().to_le_bytes()[..n]) {
            return if done == 0 { Err(e) } else { Ok(done) };
        }
        done += n;
    }
    Ok(done)
}
