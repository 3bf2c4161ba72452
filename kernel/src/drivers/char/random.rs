// SPDX-License-Identifier: GPL-2.0-only
//! Random numbers (where Linux has `drivers/char/random.c`): for addresses and
//! `AT_RANDOM`. `RDRAND` where the CPU has it, mixed with the time-stamp counter; not a
//! cryptographic generator, and `/dev/random` says no more than that.

use crate::errno::{EFAULT, EINVAL, Result};
use crate::kernel::sched::cond_resched;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::current;
use crate::kernel::time::timekeeping::rdtsc;
use crate::lib::iov_iter::IovIter;
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

/// Fills a buffer; stops at a bad address, and for a signal that is pending.
pub fn fill(to: &mut IovIter<'_>) -> Result<usize> {
    let mut done = 0;
    while to.count() != 0 {
        let mut block = [0u8; 64];
        for word in block.chunks_exact_mut(8) {
            word.copy_from_slice(&get_random_u64().to_le_bytes());
        }
        let want = to.count().min(block.len());
        let n = to.copy_to(&block[..want]);
        done += n;
        if n < want {
            return if done == 0 { Err(EFAULT) } else { Ok(done) };
        }
        if done % 4096 == 0 && signal_pending(&current()) {
            break;
        }
        cond_resched();
    }
    Ok(done)
}

/// `getrandom(2)`.
pub fn sys_getrandom(buf: usize, len: usize, flags: u32) -> Result<usize> {
    let kinds = abi::GRND_RANDOM | abi::GRND_INSECURE;
    if flags & !(abi::GRND_NONBLOCK | kinds) != 0 || flags & kinds == kinds {
        return Err(EINVAL);
    }
    fill(&mut IovIter::user(buf, len)?)
}
