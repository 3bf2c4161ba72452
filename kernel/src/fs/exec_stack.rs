// SPDX-License-Identifier: GPL-2.0-only
//! A new program's stack: strings, vectors, auxiliary vector (Linux 6.1, `fs/exec.c`,
//! `copy_strings`; `fs/binfmt_elf.c`, `create_elf_tables`).
//!
//! From the top down: a null word; the file name; the environment's strings; the
//! arguments' strings; alignment; the platform's name; 16 random bytes; and, at a
//! multiple of 16, argc, argv, envp and the auxiliary vector.

use crate::arch::x86::kernel::signal::get_sigframe_size;
use crate::errno::Result;
use crate::mm::Mm;
use alloc::vec::Vec;
use linux_raw_sys::auxvec as at;

/// What goes on the stack.
pub struct StackInfo<'a> {
    /// Arguments.
    pub argv: &'a [Vec<u8>],
    /// Environment.
    pub envp: &'a [Vec<u8>],
    /// `AT_EXECFN`.
    pub filename: &'a [u8],
    /// `AT_PHDR`.
    pub phdr: u64,
    /// `AT_PHNUM`.
    pub phnum: u64,
    /// `AT_BASE`.
    pub base: u64,
    /// `AT_ENTRY`.
    pub entry: u64,
    /// Real and effective user, real and effective group.
    pub ids: [u32; 4],
    /// `AT_RANDOM`'s bytes.
    pub random: [u64; 2],
    /// Bytes left out below the strings, to vary the stack pointer.
    pub align_noise: usize,
}

/// The stack's bytes, built downwards from `top`.
struct Builder {
    top: usize,
    /// In reverse: the last byte is the lowest address.
    bytes: Vec<u8>,
}

impl Builder {
    fn sp(&self) -> usize {
        self.top - self.bytes.len()
    }
    fn push(&mut self, b: &[u8]) -> usize {
        self.bytes.extend(b.iter().rev());
        self.sp()
    }
    fn string(&mut self, s: &[u8]) -> usize {
        self.push(&[0]);
        self.push(s)
    }
    fn align(&mut self, to: usize) {
        while !self.sp().is_multiple_of(to) {
            self.bytes.push(0);
        }
    }
}

/// What the CPU offers, for `AT_HWCAP`.
fn hwcap() -> u64 {
    // SAFETY: every x86_64 CPU has leaf 1.
    #[allow(unused_unsafe)]
    let r = unsafe { core::arch::x86_64::__cpuid(1) };
    u64::from(r.edx)
}

/// The words at the stack pointer, and the bytes above them.
struct Plan {
    words: Vec<u64>,
    strings: Builder,
    arg: (usize, usize),
    env: (usize, usize),
}

fn plan(top: usize, i: &StackInfo<'_>, hwcap: u64, minsigstksz: u64) -> Plan {
    let mut b = Builder { top, bytes: Vec::new() };
    b.push(&[0; 8]);
    let execfn = b.string(i.filename);
    let env_end = b.sp();
    let mut envp: Vec<usize> = i.envp.iter().rev().map(|s| b.string(s)).collect();
    envp.reverse();
    let env_start = b.sp();
    let mut argv: Vec<usize> = i.argv.iter().rev().map(|s| b.string(s)).collect();
    argv.reverse();
    let arg_start = b.sp();
    b.align(16);
    for _ in 0..i.align_noise {
        b.bytes.push(0);
    }
    b.align(16);
    let platform = b.string(b"x86_64");
    let random = b.push(&[i.random[0].to_le_bytes(), i.random[1].to_le_bytes()].concat());
    b.align(16);
    let [uid, euid, gid, egid] = i.ids.map(u64::from);
    let auxv: [(u32, u64); 19] = [
        (at::AT_HWCAP, hwcap),
        (at::AT_PAGESZ, 4096),
        (at::AT_CLKTCK, 100),
        (at::AT_PHDR, i.phdr),
        (at::AT_PHENT, 56),
        (at::AT_PHNUM, i.phnum),
        (at::AT_BASE, i.base),
        (at::AT_FLAGS, 0),
        (at::AT_ENTRY, i.entry),
        (at::AT_UID, uid),
        (at::AT_EUID, euid),
        (at::AT_GID, gid),
        (at::AT_EGID, egid),
        (at::AT_SECURE, 0),
        (at::AT_RANDOM, random as u64),
        (at::AT_HWCAP2, 0),
        (at::AT_EXECFN, execfn as u64),
        (at::AT_PLATFORM, platform as u64),
        (at::AT_NULL, 0),
    ];
    let mut words = alloc::vec![argv.len() as u64];
    words.extend(argv.iter().map(|&a| a as u64));
    words.push(0);
    words.extend(envp.iter().map(|&a| a as u64));
    words.push(0);
    // x86's own comes first.
    words.extend([u64::from(at::AT_MINSIGSTKSZ), minsigstksz]);
    words.extend(auxv.iter().flat_map(|a| [u64::from(a.0), a.1]));
    Plan { words, strings: b, arg: (arg_start, env_start), env: (env_start, env_end) }
}

/// Writes the stack below `top`; returns the stack pointer.
pub fn build_stack(mm: &Mm, top: usize, i: &StackInfo<'_>) -> Result<usize> {
    let p = plan(top, i, hwcap(), get_sigframe_size() as u64);
    let sp = (p.strings.sp() - p.words.len() * 8) & !15;
    let mut image: Vec<u8> = p.words.iter().flat_map(|w| w.to_le_bytes()).collect();
    image.resize(p.strings.sp() - sp, 0);
    image.extend(p.strings.bytes.iter().rev());
    mm.write_bytes(sp, &image)?;
    let mut st = mm.lock();
    (st.layout.arg_start, st.layout.arg_end) = p.arg;
    (st.layout.env_start, st.layout.env_end) = p.env;
    st.saved_auxv =
        p.words[p.words.iter().position(|&w| w == u64::from(at::AT_MINSIGSTKSZ)).unwrap_or(0)..].to_vec();
    Ok(sp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_point_at_their_strings() {
        let argv = [b"/bin/x".to_vec(), b"two".to_vec()];
        let envp = [b"A=b".to_vec()];
        let info = StackInfo {
            argv: &argv,
            envp: &envp,
            filename: b"/bin/x",
            phdr: 0x40_0040,
            phnum: 3,
            base: 0,
            entry: 0x40_1000,
            ids: [0; 4],
            random: [1, 2],
            align_noise: 0,
        };
        let top = 0x7fff_ffff_f000;
        let p = plan(top, &info, 7, 3632);
        let at = |addr: u64| {
            let off = top - addr as usize;
            let s: Vec<u8> = p.strings.bytes[..off].iter().rev().copied().take_while(|&b| b != 0).collect();
            s
        };
        assert_eq!(p.words[0], 2);
        assert_eq!(at(p.words[1]), b"/bin/x");
        assert_eq!(at(p.words[2]), b"two");
        assert_eq!(p.words[3], 0);
        assert_eq!(at(p.words[4]), b"A=b");
        assert_eq!(p.words[5], 0);
        assert_eq!(&p.words[6..10], &[51, 3632, 16, 7]);
        assert_eq!(p.words[p.words.len() - 2], 0);
        assert!(p.strings.sp().is_multiple_of(16));
        // Arguments lie directly below the environment, as ps relies on.
        assert_eq!(p.arg.1, p.env.0);
    }
}
