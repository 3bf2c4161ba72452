// SPDX-License-Identifier: GPL-2.0-only
//! `/dev/null`, `zero`, `full`, `random`, `urandom`, `kmsg` (Linux 6.1, `drivers/char/mem.c`).

use super::{kmsg, random};
use crate::arch::x86::lib::usercopy::{clear_user, copy_to_user};
use crate::errno::{EFAULT, ENOSPC, ENXIO, Result};
use crate::fs::file_table::{File, FileOps, UserBuf};
use alloc::sync::Arc;

/// The device with this minor number of major 1.
pub fn open(minor: u32) -> Result<Arc<dyn FileOps>> {
    match minor {
        3 => Ok(Arc::new(Null)),
        5 => Ok(Arc::new(Zero)),
        7 => Ok(Arc::new(Full)),
        8 | 9 => Ok(Arc::new(Random)),
        11 => Ok(Arc::new(kmsg::Kmsg::open())),
        _ => Err(ENXIO),
    }
}

fn read_zeroes(buf: UserBuf) -> Result<usize> {
    let left = clear_user(buf.addr, buf.len);
    if left == buf.len && left != 0 { Err(EFAULT) } else { Ok(buf.len - left) }
}

struct Null;
impl FileOps for Null {
    fn read(&self, _: &File, _: UserBuf, _: u64) -> Result<usize> {
        Ok(0)
    }
    fn write(&self, _: &File, buf: UserBuf, _: u64) -> Result<usize> {
        Ok(buf.len)
    }
    fn llseek(&self, _: &File, _: i64, _: u32) -> Result<u64> {
        Ok(0)
    }
}

struct Zero;
impl FileOps for Zero {
    fn read(&self, _: &File, buf: UserBuf, _: u64) -> Result<usize> {
        read_zeroes(buf)
    }
    fn write(&self, _: &File, buf: UserBuf, _: u64) -> Result<usize> {
        Ok(buf.len)
    }
    fn llseek(&self, _: &File, _: i64, _: u32) -> Result<u64> {
        Ok(0)
    }
}

struct Full;
impl FileOps for Full {
    fn read(&self, _: &File, buf: UserBuf, _: u64) -> Result<usize> {
        read_zeroes(buf)
    }
    fn write(&self, _: &File, _: UserBuf, _: u64) -> Result<usize> {
        Err(ENOSPC)
    }
}

struct Random;
impl FileOps for Random {
    fn read(&self, _: &File, buf: UserBuf, _: u64) -> Result<usize> {
        let len = buf.len.min(1 << 20);
        let mut done = 0;
        while done < len {
            let n = (len - done).min(8);
            copy_to_user(buf.addr + done, &random::get_random_u64().to_le_bytes()[..n])?;
            done += n;
        }
        Ok(len)
    }
    fn write(&self, _: &File, buf: UserBuf, _: u64) -> Result<usize> {
        Ok(buf.len)
    }
}
