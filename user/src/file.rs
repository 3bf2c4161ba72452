// SPDX-License-Identifier: GPL-2.0-only
//! Files, pipes and file systems.

use crate::{Result, syscall};
use core::ffi::CStr;
use linux_raw_sys::general as abi;

pub use linux_raw_sys::general::{
    O_CLOEXEC, O_CREAT, O_DIRECTORY, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY,
};

/// `open(2)`.
pub fn open(path: &CStr, flags: u32, mode: u32) -> Result<i32> {
    // SAFETY: the path is a C string that outlives the call.
    unsafe { syscall!(__NR_open, path.as_ptr(), flags, mode) }.map(|fd| fd as i32)
}

/// `close(2)`.
pub fn close(fd: i32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_close, fd) }
}

/// `read(2)`.
pub fn read(fd: i32, buf: &mut [u8]) -> Result {
    // SAFETY: the kernel writes at most `len` bytes into the slice.
    unsafe { syscall!(__NR_read, fd, buf.as_mut_ptr(), buf.len()) }
}

/// `write(2)`.
pub fn write(fd: i32, buf: &[u8]) -> Result {
    // SAFETY: the kernel only reads the slice.
    unsafe { syscall!(__NR_write, fd, buf.as_ptr(), buf.len()) }
}

/// Writes everything, through interruptions; gives up silently on an error.
pub fn write_all(fd: i32, mut buf: &[u8]) {
    while !buf.is_empty() {
        match write(fd, buf) {
            Ok(n) if n > 0 => buf = buf.get(n..).unwrap_or(&[]),
            Err(e) if e.0 == linux_raw_sys::errno::EINTR => {}
            _ => return,
        }
    }
}

/// Reads until the buffer is full or the file ends.
pub fn read_full(fd: i32, buf: &mut [u8]) -> Result {
    let mut done = 0;
    while done < buf.len() {
        match read(fd, &mut buf[done..])? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

/// `lseek(2)`.
pub fn lseek(fd: i32, offset: i64, whence: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_lseek, fd, offset, whence) }
}

/// `pipe2(2)`: the reading and the writing end.
pub fn pipe(flags: u32) -> Result<(i32, i32)> {
    let mut fds = [0i32; 2];
    // SAFETY: the kernel writes two descriptors into the array.
    unsafe { syscall!(__NR_pipe2, fds.as_mut_ptr(), flags) }?;
    Ok((fds[0], fds[1]))
}

/// `dup2(2)`.
pub fn dup2(from: i32, to: i32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_dup2, from, to) }
}

/// `unlink(2)`.
pub fn unlink(path: &CStr) -> Result {
    // SAFETY: the path is a C string that outlives the call.
    unsafe { syscall!(__NR_unlink, path.as_ptr()) }
}

/// `mkdir(2)`.
pub fn mkdir(path: &CStr, mode: u32) -> Result {
    // SAFETY: the path is a C string that outlives the call.
    unsafe { syscall!(__NR_mkdir, path.as_ptr(), mode) }
}

/// `mount(2)` of a file system without a device.
pub fn mount(kind: &CStr, target: &CStr) -> Result {
    // SAFETY: all strings outlive the call.
    unsafe { syscall!(__NR_mount, kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, 0) }
}

/// `getdents64(2)`.
pub fn getdents64(fd: i32, buf: &mut [u8]) -> Result {
    // SAFETY: the kernel writes at most `len` bytes into the slice.
    unsafe { syscall!(__NR_getdents64, fd, buf.as_mut_ptr(), buf.len()) }
}

/// Writes these bytes to a file that is there, in one call.
pub fn store(path: &CStr, bytes: &[u8]) -> Result {
    let fd = open(path, O_WRONLY, 0)?;
    let written = write(fd, bytes);
    close(fd)?;
    written
}

/// Reads a file's beginning into the buffer: what there is of it.
pub fn load<'a>(path: &CStr, buf: &'a mut [u8]) -> Result<&'a [u8]> {
    let fd = open(path, O_RDONLY, 0)?;
    let n = read_full(fd, buf);
    close(fd)?;
    Ok(&buf[..n?])
}

/// `stat(2)`.
pub fn stat(path: &CStr) -> Result<abi::stat> {
    // SAFETY: all zeroes are a `stat`.
    let mut out: abi::stat = unsafe { core::mem::zeroed() };
    // SAFETY: the path is a C string, and the kernel writes the structure.
    unsafe { syscall!(__NR_stat, path.as_ptr(), core::ptr::from_mut(&mut out)) }?;
    Ok(out)
}

/// `fstat(2)`.
pub fn fstat(fd: i32) -> Result<abi::stat> {
    // SAFETY: all zeroes are a `stat`.
    let mut st: abi::stat = unsafe { core::mem::zeroed() };
    // SAFETY: the kernel writes it.
    unsafe { syscall!(__NR_fstat, fd, core::ptr::from_mut(&mut st)) }?;
    Ok(st)
}

/// `pread64(2)`.
pub fn pread(fd: i32, buf: &mut [u8], pos: i64) -> Result {
    // SAFETY: the kernel writes at most `len` bytes into the slice.
    unsafe { syscall!(__NR_pread64, fd, buf.as_mut_ptr(), buf.len(), pos) }
}

/// `pwrite64(2)`.
pub fn pwrite(fd: i32, buf: &[u8], pos: i64) -> Result {
    // SAFETY: the kernel only reads the slice.
    unsafe { syscall!(__NR_pwrite64, fd, buf.as_ptr(), buf.len(), pos) }
}

/// Creates or replaces a file with these bytes and this mode.
pub fn put(path: &CStr, bytes: &[u8], mode: u32) -> Result<()> {
    let _ = unlink(path);
    let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode)?;
    write_all(fd, bytes);
    close(fd)?;
    Ok(())
}
