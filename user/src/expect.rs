// SPDX-License-Identifier: GPL-2.0-only
//! `expect!`: a program states what must happen to it, in its own binary.
//!
//! ```text
//! expect! {
//!     signal: SIGFPE, code: FPE_INTDIV, addr: ip,
//!     trapno: 0, err: 0, cr2: 0, rip: ip,
//!     end: killed(SIGFPE),
//!     log: [trap_log!("divide error", "0")],
//! }
//! ```
//! for an exception that a handler may see, or, for a program that checks by
//! itself and for one whose handler must never run,
//!
//! ```text
//! expect! { end: exit(0) }
//! expect! { end: killed(SIGSEGV), log: [] }
//! ```
//!
//! `log: []` says that the kernel logs nothing; without `log` nobody looks.
//! The text goes into an ELF note as [`crate::note`] describes; names of
//! signals and codes are checked against `linux-raw-sys` when compiling.

/// An ELF note of type 1 with `N` bytes of text.
#[repr(C, align(4))]
pub struct ExpectNote<const N: usize> {
    namesz: u32,
    descsz: u32,
    kind: u32,
    name: [u8; 12],
    text: [u8; N],
}

/// The size of a note's text, padded.
pub const fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

impl<const N: usize> ExpectNote<N> {
    /// The note for a text, which [`padded`] must make `N` bytes long.
    pub const fn new(text: &str) -> Self {
        let mut note = Self {
            namesz: 9,
            descsz: N as u32,
            kind: crate::note::TYPE_EXPECT,
            name: *b"Trapline\0\0\0\0",
            text: [0; N],
        };
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            note.text[i] = bytes[i];
            i += 1;
        }
        note
    }
}

/// Puts a text into the binary as its expectation.
#[macro_export]
macro_rules! expect_text {
    ($text:expr) => {
        const _: () = {
            const TEXT: &str = $text;
            #[used]
            #[cfg_attr(target_os = "none", unsafe(link_section = ".note.trapline"))]
            static NOTE: $crate::expect::ExpectNote<{ $crate::expect::padded(TEXT.len()) }> =
                $crate::expect::ExpectNote::new(TEXT);
        };
    };
}

/// The log part of a note's text.
#[macro_export]
macro_rules! expect_log {
    () => { "" };
    ([]) => { "unlogged=true\n" };
    ([$($line:expr),+ $(,)?]) => { concat!($("log=", $line, "\n"),+) };
}

/// States what must happen; see [`crate::expect`].
#[macro_export]
macro_rules! expect {
    (
        signal: $signal:ident, code: $code:ident, addr: $addr:expr,
        trapno: $trapno:literal, err: $err:expr, cr2: $cr2:expr, rip: $rip:expr,
        $(flags: $flags:literal,)?
        $(mask: $mask:literal,)?
        end: $end:ident($how:tt)
        $(, log: $log:tt)? $(,)?
    ) => {
        #[allow(unused_imports)]
        const _: () = {
            use $crate::syscall::nr::{$signal, $code};
        };
        $crate::expect_text!(concat!(
            "trapline=1\n",
            "signal=", stringify!($signal), "\n",
            "code=", stringify!($code), "\n",
            "addr=", stringify!($addr), "\n",
            "trapno=", stringify!($trapno), "\n",
            "err=", stringify!($err), "\n",
            "cr2=", stringify!($cr2), "\n",
            "rip=", stringify!($rip), "\n",
            $("flags=", stringify!($flags), "\n",)?
            $("mask=", stringify!($mask), "\n",)?
            "end=", stringify!($end), "(", stringify!($how), ")\n",
            $crate::expect_log!($($log)?),
        ));
    };
    (end: $end:ident($how:tt) $(, log: $log:tt)? $(,)?) => {
        $crate::expect_text!(concat!(
            "trapline=1\n",
            "end=", stringify!($end), "(", stringify!($how), ")\n",
            $crate::expect_log!($($log)?),
        ));
    };
}

/// The line that Linux logs for an unhandled exception: its name, its error code in hex.
#[macro_export]
macro_rules! trap_log {
    ($name:literal, $err:literal) => {
        concat!("traps: {comm}[{pid}] trap ", $name, " ip:{ip} sp:{sp} error:", $err, " in {file}[{vma}]")
    };
}

/// The line that Linux logs for an unhandled #GP: its error code in hex.
#[macro_export]
macro_rules! gp_log {
    ($err:literal) => {
        concat!(
            "traps: {comm}[{pid}] general protection fault ip:{ip} sp:{sp} error:",
            $err,
            " in {file}[{vma}]"
        )
    };
}

/// The line that Linux logs for an unhandled page fault: address and error code in hex.
/// `nowhere` is for an instruction pointer outside of the program's file, `below`
/// for one below its first mapping: Linux 6.1 names that one then, newer ones do not.
#[macro_export]
macro_rules! segfault_log {
    ($addr:literal, $err:literal) => {
        concat!(
            "{comm}[{pid}]: segfault at ",
            $addr,
            " ip {ip} sp {sp} error ",
            $err,
            " in {file}[{vma}] likely on CPU {n} (core {n}, socket {n})"
        )
    };
    ($addr:literal, $err:literal, below) => {
        concat!(
            "{comm}[{pid}]: segfault at ",
            $addr,
            " ip {ip} sp {sp} error ",
            $err,
            "{in?} likely on CPU {n} (core {n}, socket {n})"
        )
    };
    ($addr:literal, $err:literal, nowhere) => {
        concat!(
            "{comm}[{pid}]: segfault at ",
            $addr,
            " ip {ip} sp {sp} error ",
            $err,
            " likely on CPU {n} (core {n}, socket {n})"
        )
    };
}

/// The line with the bytes around the instruction pointer, or without them
/// when they cannot be read (the address is that of the first one).
#[macro_export]
macro_rules! code_log {
    () => {
        "Code: {code}"
    };
    ($addr:literal) => {
        concat!("Code: Unable to access opcode bytes at 0x", $addr, ".")
    };
}
