// SPDX-License-Identifier: GPL-2.0-only
//! Where a read puts its bytes and a write finds them: buffers of a program, or of
//! the kernel (Linux 6.1, `lib/iov_iter.c`).

use crate::arch::x86::ia32::in_compat_syscall;
use crate::arch::x86::lib::usercopy::{
    access_ok, copy_from_user, copy_from_user_partial, copy_to_user_partial, get_user,
};
use crate::errno::{EFAULT, EINVAL, Result};
use crate::mm::util::kvcalloc;
use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most buffers of one call (`UIO_MAXIOV`).
const UIO_MAXIOV: usize = 1024;
/// Most bytes of one call (`MAX_RW_COUNT`).
pub const MAX_RW_COUNT: usize = 0x7fff_f000;

/// One buffer of a program (`struct iovec`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct IoVec {
    /// Its address.
    pub base: usize,
    /// Its length.
    pub len: usize,
}

enum Kind<'a> {
    One(IoVec),
    Many(&'a [IoVec]),
    Source(&'a [u8]),
    Sink(&'a mut [u8]),
}

/// A position in some buffers.
pub struct IovIter<'a> {
    kind: Kind<'a>,
    /// Into the first buffer.
    offset: usize,
    count: usize,
    /// `RWF_*` flags of this call alone.
    flags: u32,
}

impl<'a> IovIter<'a> {
    /// One buffer of a program; what is too long is cut (`import_single_range`).
    #[inline]
    pub fn user(base: usize, len: usize) -> Result<Self> {
        let len = len.min(MAX_RW_COUNT);
        if !access_ok(base, len) {
            return Err(EFAULT);
        }
        Ok(Self { kind: Kind::One(IoVec { base, len }), offset: 0, count: len, flags: 0 })
    }
    /// One buffer of a program, all of which must be where programs are (`vfs_read`, `vfs_write`).
    #[inline]
    pub fn user_whole(base: usize, len: usize) -> Result<Self> {
        if !access_ok(base, len) {
            return Err(EFAULT);
        }
        let len = len.min(MAX_RW_COUNT);
        Ok(Self { kind: Kind::One(IoVec { base, len }), offset: 0, count: len, flags: 0 })
    }
    /// Several buffers, as [`import_iovec`] made them.
    pub fn vector(vec: &'a [IoVec]) -> Self {
        let count = vec.iter().map(|v| v.len).sum();
        Self { kind: Kind::Many(vec), offset: 0, count, flags: 0 }
    }
    /// Bytes of the kernel to be written somewhere.
    pub fn source(data: &'a [u8]) -> Self {
        Self { count: data.len(), kind: Kind::Source(data), offset: 0, flags: 0 }
    }
    /// Room of the kernel for what is read.
    pub fn sink(room: &'a mut [u8]) -> Self {
        Self { count: room.len(), kind: Kind::Sink(room), offset: 0, flags: 0 }
    }

    /// The same for a call with `RWF_*` flags of its own.
    #[must_use]
    pub fn with_flags(self, flags: u32) -> Self {
        Self { flags, ..self }
    }
    /// `RWF_*` flags of this call alone (`ki_flags`).
    #[inline]
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Bytes left.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }
    /// Leaves at most `n` bytes.
    pub fn truncate(&mut self, n: usize) {
        self.count = self.count.min(n);
    }

    /// The rest of the current user buffer.
    fn segment(&mut self) -> IoVec {
        match &mut self.kind {
            Kind::One(v) => IoVec { base: v.base + self.offset, len: v.len - self.offset },
            Kind::Many(vecs) => {
                while let [v, rest @ ..] = vecs
                    && self.offset >= v.len
                    && !rest.is_empty()
                {
                    self.offset = 0;
                    *vecs = rest;
                }
                vecs.first().map_or(IoVec::default(), |v| IoVec {
                    base: v.base + self.offset,
                    len: v.len - self.offset,
                })
            }
            Kind::Source(_) | Kind::Sink(_) => IoVec::default(),
        }
    }
    #[inline]
    fn advance(&mut self, n: usize) {
        self.offset += n;
        self.count -= n;
    }

    /// Writes `src` out; returns how much of it, less than all only where there
    /// is no more room or at a bad address (`copy_to_iter`).
    #[inline]
    pub fn copy_to(&mut self, src: &[u8]) -> usize {
        if let Kind::One(v) = self.kind {
            let n = src.len().min(self.count);
            let done = n - copy_to_user_partial(v.base + self.offset, &src[..n]);
            self.advance(done);
            return done;
        }
        self.copy_to_others(src)
    }

    fn copy_to_others(&mut self, src: &[u8]) -> usize {
        let src = &src[..src.len().min(self.count)];
        match &mut self.kind {
            Kind::Source(_) => return 0,
            Kind::Sink(room) => {
                room[self.offset..self.offset + src.len()].copy_from_slice(src);
                self.advance(src.len());
                return src.len();
            }
            Kind::One(_) | Kind::Many(_) => {}
        }
        let mut done = 0;
        while done < src.len() {
            let seg = self.segment();
            let n = seg.len.min(src.len() - done);
            let left = copy_to_user_partial(seg.base, &src[done..done + n]);
            self.advance(n - left);
            done += n - left;
            if left != 0 || n == 0 {
                break;
            }
        }
        done
    }

    /// Fills `dst`; returns how much of it, less than all only where there is no
    /// more to be had or at a bad address (`copy_from_iter`).
    #[inline]
    pub fn copy_from(&mut self, dst: &mut [u8]) -> usize {
        if let Kind::One(v) = self.kind {
            let n = dst.len().min(self.count);
            let done = n - copy_from_user_partial(&mut dst[..n], v.base + self.offset);
            self.advance(done);
            return done;
        }
        self.copy_from_others(dst)
    }

    fn copy_from_others(&mut self, dst: &mut [u8]) -> usize {
        let want = dst.len().min(self.count);
        let dst = &mut dst[..want];
        match &self.kind {
            Kind::Sink(_) => return 0,
            Kind::Source(data) => {
                dst.copy_from_slice(&data[self.offset..self.offset + want]);
                self.advance(want);
                return want;
            }
            Kind::One(_) | Kind::Many(_) => {}
        }
        let mut done = 0;
        while done < want {
            let seg = self.segment();
            let n = seg.len.min(want - done);
            let left = copy_from_user_partial(&mut dst[done..done + n], seg.base);
            self.advance(n - left);
            done += n - left;
            if left != 0 || n == 0 {
                break;
            }
        }
        done
    }

    /// All that is left, up to `max` bytes, or `EFAULT`.
    pub fn take_all(&mut self, max: usize) -> Result<Vec<u8>> {
        let n = self.count.min(max);
        let mut v = kvcalloc(n)?;
        if self.copy_from(&mut v) == n { Ok(v) } else { Err(EFAULT) }
    }
}

/// Reads a program's array of buffers (`import_iovec`).
pub fn import_iovec(uvec: usize, count: usize) -> Result<Vec<IoVec>> {
    let mut vec = iovec_from_user(uvec, count)?;
    check_iovec(&mut vec)?;
    Ok(vec)
}

/// Reads an array of ranges, which need not be the program's own (`iovec_from_user`).
pub fn iovec_from_user(uvec: usize, count: usize) -> Result<Vec<IoVec>> {
    // Linux takes it for an `unsigned int`.
    let count = count as u32 as usize;
    if count > UIO_MAXIOV {
        return Err(EINVAL);
    }
    let mut vec: Vec<IoVec> = kvcalloc(count)?;
    if in_compat_syscall() {
        // i386's are half as large, and a length of 2^31 is a negative one.
        for (i, v) in vec.iter_mut().enumerate() {
            let [base, len]: [u32; 2] = get_user(uvec + 8 * i)?;
            let len = isize::try_from(len as i32).map_err(|_| EINVAL)?;
            *v = IoVec { base: base as usize, len: len as usize };
        }
    } else {
        copy_from_user(vec.as_mut_slice().as_mut_bytes(), uvec)?;
    }
    if vec.iter().any(|v| (v.len as isize) < 0) { Err(EINVAL) } else { Ok(vec) }
}

/// Refuses negative lengths and addresses that are not the program's; cuts the
/// total at [`MAX_RW_COUNT`].
fn check_iovec(vec: &mut [IoVec]) -> Result {
    let mut total = 0;
    if vec.iter().any(|v| (v.len as isize) < 0) {
        return Err(EINVAL);
    }
    for v in vec {
        if !access_ok(v.base, v.len) {
            return Err(EFAULT);
        }
        v.len = v.len.min(MAX_RW_COUNT - total);
        total += v.len;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_buffers_are_filled_in_turn() {
        let (mut a, mut b) = ([0u8; 3], [0u8; 4]);
        let vec = [
            IoVec { base: a.as_mut_ptr() as usize, len: 3 },
            IoVec { base: 0, len: 0 },
            IoVec { base: b.as_mut_ptr() as usize, len: 4 },
        ];
        let mut it = IovIter::vector(&vec);
        assert_eq!(it.count(), 7);
        assert_eq!(it.copy_to(b"ab"), 2);
        assert_eq!(it.copy_to(b"cdefghij"), 5);
        assert_eq!((&a, &b), (b"abc", b"defg"));
        assert_eq!(it.copy_to(b"x"), 0);
    }

    #[test]
    fn totals_are_cut() {
        let mut v = [IoVec { base: 4096, len: MAX_RW_COUNT - 5 }, IoVec { base: 4096, len: 10 }];
        assert_eq!(check_iovec(&mut v), Ok(()));
        assert_eq!(v[1].len, 5);
        assert_eq!(check_iovec(&mut [IoVec { base: 0, len: usize::MAX }]), Err(EINVAL));
        assert_eq!(check_iovec(&mut [IoVec { base: usize::MAX - 5, len: 3 }]), Err(EFAULT));
    }
}
