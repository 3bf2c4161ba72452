// SPDX-License-Identifier: GPL-2.0-only
//! The `syscall` instruction and the error numbers it returns.

use core::{arch::asm, fmt};

pub use linux_raw_sys::general as nr;

/// A Linux error number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub u32);

/// What a system call returns.
pub type Result<T = usize> = core::result::Result<T, Errno>;

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use linux_raw_sys::errno as e;
        let name = match self.0 {
            e::EPERM => "EPERM",
            e::ENOENT => "ENOENT",
            e::ESRCH => "ESRCH",
            e::EINTR => "EINTR",
            e::EIO => "EIO",
            e::E2BIG => "E2BIG",
            e::ENOEXEC => "ENOEXEC",
            e::EBADF => "EBADF",
            e::ECHILD => "ECHILD",
            e::EAGAIN => "EAGAIN",
            e::ENOMEM => "ENOMEM",
            e::EACCES => "EACCES",
            e::EFAULT => "EFAULT",
            e::EBUSY => "EBUSY",
            e::EEXIST => "EEXIST",
            e::ENODEV => "ENODEV",
            e::ENOTDIR => "ENOTDIR",
            e::EISDIR => "EISDIR",
            e::EINVAL => "EINVAL",
            e::ETXTBSY => "ETXTBSY",
            e::EPIPE => "EPIPE",
            e::ENOSYS => "ENOSYS",
            e::ENOTTY => "ENOTTY",
            e::ENXIO => "ENXIO",
            e::ESPIPE => "ESPIPE",
            e::EROFS => "EROFS",
            e::EDOM => "EDOM",
            e::ERANGE => "ERANGE",
            e::ENOSPC => "ENOSPC",
            e::EFBIG => "EFBIG",
            e::EXDEV => "EXDEV",
            e::EMFILE => "EMFILE",
            e::ENFILE => "ENFILE",
            e::EMLINK => "EMLINK",
            e::ELOOP => "ELOOP",
            e::ENAMETOOLONG => "ENAMETOOLONG",
            e::ENOTEMPTY => "ENOTEMPTY",
            e::EOPNOTSUPP => "EOPNOTSUPP",
            e::ENODATA => "ENODATA",
            e::ETIMEDOUT => "ETIMEDOUT",
            e::ENOTSOCK => "ENOTSOCK",
            e::EOVERFLOW => "EOVERFLOW",
            e::ENOTBLK => "ENOTBLK",
            e::EDEADLK => "EDEADLK",
            e::ENOLCK => "ENOLCK",
            e::EAFNOSUPPORT => "EAFNOSUPPORT",
            e::EPROTONOSUPPORT => "EPROTONOSUPPORT",
            other => return write!(f, "errno {other}"),
        };
        f.write_str(name)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A value that fits into a system call's argument register.
pub trait Arg {
    /// The register's content.
    fn register(self) -> usize;
}

macro_rules! integer_args {
    ($($t:ty),*) => { $(impl Arg for $t { fn register(self) -> usize { self as usize } })* };
}
integer_args!(i32, u32, i64, u64, isize, usize);

impl<T> Arg for *const T {
    fn register(self) -> usize {
        self as usize
    }
}
impl<T> Arg for *mut T {
    fn register(self) -> usize {
        self as usize
    }
}

/// Executes `syscall` and returns rax as it comes.
///
/// # Safety
/// The call must not break Rust's assumptions about this process's memory.
#[inline]
pub unsafe fn raw(number: u32, args: [usize; 6]) -> isize {
    let ret;
    // SAFETY: the kernel clobbers rcx, r11 and rax only; the rest is up to the caller.
    unsafe {
        asm!("syscall",
            inlateout("rax") number as isize => ret,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    ret
}

/// Executes `int $0x80` with i386's `number` and up to five arguments of 32 bits.
///
/// # Errors
/// -1 to -4095, as an [`Errno`].
///
/// # Safety
/// As [`raw`].
#[inline(never)]
pub unsafe fn int80(number: u32, args: [u32; 5]) -> Result {
    let ret: isize;
    // SAFETY: LLVM keeps rbx for itself, so that it is exchanged; the kernel changes rax only.
    unsafe {
        asm!("xchg rbx, {bx}", "int 0x80", "xchg rbx, {bx}",
            bx = inout(reg) u64::from(args[0]) => _,
            inlateout("rax") number as isize => ret,
            in("rcx") args[1], in("rdx") args[2], in("rsi") args[3], in("rdi") args[4]);
    }
    if (-4095..0).contains(&ret) { Err(Errno(-ret as u32)) } else { Ok(ret as usize) }
}

/// Executes `int $0x80` with six arguments, and returns rax as it comes.
///
/// # Safety
/// As [`raw`].
#[inline(never)]
pub unsafe fn int80_raw(number: u32, args: [u32; 6]) -> isize {
    let ret: isize;
    // SAFETY: LLVM keeps rbx for itself, and rbp may be the frame's: both are put back.
    unsafe {
        asm!("push rbp", "push rbx", "mov ebx, {bx:e}", "mov ebp, {bp:e}", "int 0x80", "pop rbx", "pop rbp",
            bx = in(reg) args[0], bp = in(reg) args[5],
            inlateout("rax") number as isize => ret,
            in("rcx") args[1], in("rdx") args[2], in("rsi") args[3], in("rdi") args[4]);
    }
    ret
}

/// Executes `syscall` and turns -1..-4095 into an [`Errno`].
///
/// # Safety
/// As [`raw`].
#[inline]
pub unsafe fn call<const N: usize>(number: u32, args: [usize; N]) -> Result {
    let mut six = [0; 6];
    six[..N].copy_from_slice(&args);
    // SAFETY: passed on.
    let ret = unsafe { raw(number, six) };
    if (-4095..0).contains(&ret) { Err(Errno(-ret as u32)) } else { Ok(ret as usize) }
}

/// Options of [`arch_prctl`].
#[allow(missing_docs)]
pub mod prctl {
    pub const ARCH_SET_GS: u32 = 0x1001;
    pub const ARCH_SET_FS: u32 = 0x1002;
    pub const ARCH_GET_FS: u32 = 0x1003;
    pub const ARCH_GET_CPUID: u32 = 0x1011;
    pub const ARCH_GET_XCOMP_SUPP: u32 = 0x1021;
    pub const ARCH_GET_XCOMP_PERM: u32 = 0x1022;
    pub const ARCH_REQ_XCOMP_PERM: u32 = 0x1023;
    pub const ARCH_GET_XCOMP_GUEST_PERM: u32 = 0x1024;
    pub const ARCH_REQ_XCOMP_GUEST_PERM: u32 = 0x1025;
    pub const ARCH_MAP_VDSO_64: u32 = 0x2003;
}

/// `arch_prctl(2)`. A base that is set is not used by anything here: there is no thread-local memory.
///
/// # Errors
/// As the kernel says.
pub fn arch_prctl(option: u32, arg: usize) -> Result {
    // SAFETY: the kernel writes where it can, or refuses; bases are not used.
    unsafe { crate::syscall!(__NR_arch_prctl, option, arg) }
}

/// `syscall!(__NR_kill, pid, sig)`: one system call by its name in
/// `linux-raw-sys`, arguments of any integer or pointer type.
#[macro_export]
macro_rules! syscall {
    ($nr:ident $(, $arg:expr)* $(,)?) => {
        $crate::syscall::call($crate::syscall::nr::$nr, [$($crate::syscall::Arg::register($arg)),*])
    };
}
