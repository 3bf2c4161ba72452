// SPDX-License-Identifier: GPL-2.0-only
//! Printing pointers (Linux 6.1, `lib/vsprintf.c`, `%p`).

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The secret of this boot.
static PTR_KEY: AtomicU64 = AtomicU64::new(0);

/// A pointer as `%p` prints it: hashed, so that the log does not tell where things
/// are, but the same pointer always looks the same. Null and error values, which
/// are no addresses, are printed as they are.
pub struct HashedPtr(pub usize);

/// Highest error number that is hidden in a pointer (`MAX_ERRNO`).
const MAX_ERRNO: usize = 4095;

fn key() -> u64 {
    let k = PTR_KEY.load(Relaxed);
    if k != 0 {
        return k;
    }
    let fresh = crate::kernel::time::timekeeping::rdtsc() | 1;
    match PTR_KEY.compare_exchange(0, fresh, Relaxed, Relaxed) {
        Ok(_) => fresh,
        Err(k) => k,
    }
}

/// 32 well-mixed bits of `v` under `key`.
fn mix(v: u64, key: u64) -> u32 {
    let mut h = v ^ key.rotate_left(32);
    for round in 1..=3 {
        h = (h ^ (h >> 32)).wrapping_mul(key.rotate_left(round * 7) | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    (h >> 32) as u32
}

impl fmt::Display for HashedPtr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 || self.0 > usize::MAX - MAX_ERRNO {
            return write!(f, "{:016x}", self.0);
        }
        write!(f, "{:016x}", mix(self.0 as u64, key()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn pointers_are_hidden_but_recognisable() {
        let p = HashedPtr(0x7fff_1234_5678).to_string();
        assert_eq!(p.len(), 16);
        assert!(p.starts_with("00000000") && !p.contains("12345678"));
        assert_eq!(p, HashedPtr(0x7fff_1234_5678).to_string());
        assert_ne!(p, HashedPtr(0x7fff_1234_5680).to_string());
    }

    #[test]
    fn what_is_no_address_is_shown() {
        assert_eq!(HashedPtr(0).to_string(), "0000000000000000");
        assert_eq!(HashedPtr(usize::MAX - 7).to_string(), "fffffffffffffff8");
    }
}
