// SPDX-License-Identifier: GPL-2.0-only
//! What a program finds at its stack pointer: argc, argv, envp, the auxiliary vector
//! (Linux 6.1, `fs/binfmt_elf.c`, `create_elf_tables`).

use crate::arch::x86::entry::vdso::vma::vdso64_enabled;
use crate::arch::x86::kernel::signal::get_sigframe_size;
use crate::arch::x86::mm::mmap::{arch_align_stack, get_random_u64};
use crate::errno::{EFAULT, ENOMEM, Result};
use crate::fs::exec_stack::ArgStack;
use crate::kernel::cred::Cred;
use crate::mm::page_alloc::PAGE_SIZE;
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use linux_raw_sys::auxvec as at;
use zerocopy::IntoBytes;

/// Size of a program header.
const PHENT: u64 = 56;
/// `USER_HZ`.
const CLKTCK: u64 = 100;
const PLATFORM: &[u8] = b"x86_64\0";

/// What the loader knows.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Loaded {
    /// Where the program headers are in memory.
    pub phdr: u64,
    pub phnum: u16,
    /// Where the interpreter was loaded.
    pub base: u64,
    /// The program's own entry.
    pub entry: u64,
}

/// Addresses that the vector names.
struct Places {
    random: u64,
    platform: u64,
    execfn: u64,
    /// The vDSO, unless there is none.
    vdso: Option<u64>,
}

/// EDX of CPUID leaf 1, without what user mode may not use.
fn hwcap() -> u64 {
    u64::from(core::arch::x86_64::__cpuid(1).edx & !crate::arch::x86::kernel::fpu::xstate::cleared_caps())
}

/// The auxiliary vector, in Linux's order. Without a vDSO its entry is not there (`ARCH_DLINFO`).
fn auxv(l: &Loaded, p: &Places, cred: &Cred, secure: bool, hw: [u64; 2]) -> ArrayVec<(u32, u64), 21> {
    let [hwcap, minsigstksz] = hw;
    let vdso = p.vdso.map(|addr| (at::AT_SYSINFO_EHDR, addr));
    vdso.into_iter()
        .chain([
            (at::AT_MINSIGSTKSZ, minsigstksz),
            (at::AT_HWCAP, hwcap),
            (at::AT_PAGESZ, PAGE_SIZE as u64),
            (at::AT_CLKTCK, CLKTCK),
            (at::AT_PHDR, l.phdr),
            (at::AT_PHENT, PHENT),
            (at::AT_PHNUM, u64::from(l.phnum)),
            (at::AT_BASE, l.base),
            (at::AT_FLAGS, 0),
            (at::AT_ENTRY, l.entry),
            (at::AT_UID, u64::from(cred.uid)),
            (at::AT_EUID, u64::from(cred.euid)),
            (at::AT_GID, u64::from(cred.gid)),
            (at::AT_EGID, u64::from(cred.egid)),
            (at::AT_SECURE, u64::from(secure)),
            (at::AT_RANDOM, p.random),
            (at::AT_HWCAP2, 0),
            (at::AT_EXECFN, p.execfn),
            (at::AT_PLATFORM, p.platform),
            (at::AT_NULL, 0),
        ])
        .collect()
}

/// Writes it all below the strings; returns the stack pointer.
pub fn create(s: &ArgStack, l: &Loaded, cred: &Cred, secure: bool) -> Result<usize> {
    let platform = arch_align_stack(s.p) - PLATFORM.len();
    let random = platform - 16;
    let random_bytes = [get_random_u64().to_le_bytes(), get_random_u64().to_le_bytes()].concat();
    let vdso = vdso64_enabled().then(|| s.mm.lock().layout.vdso as u64);
    let places = Places { random: random as u64, platform: platform as u64, execfn: s.exec as u64, vdso };
    let vector = auxv(l, &places, cred, secure, [hwcap(), get_sigframe_size() as u64]);
    // As many as the program's strings.
    let mut words: Vec<u64> = Vec::new();
    words.try_reserve_exact(s.argc + s.envc + 3 + vector.len() * 2).map_err(|_| ENOMEM)?;
    words.push(s.argc as u64);
    let arg_end = s.string_addresses(s.p, s.argc, &mut words)?;
    words.push(0);
    let env_end = s.string_addresses(arg_end, s.envc, &mut words)?;
    words.push(0);
    let saved: Vec<u64> = vector.iter().flat_map(|&(k, v)| [u64::from(k), v]).collect();
    words.extend_from_slice(&saved);
    let sp = (random - words.len() * 8) & !15;

    s.mm.write_bytes(platform, PLATFORM).map_err(|_| EFAULT)?;
    s.mm.write_bytes(random, &random_bytes).map_err(|_| EFAULT)?;
    let bytes = words.as_bytes();
    // From the top down, so that the stack grows step by step.
    let mut end = bytes.len();
    while end != 0 {
        let start = end.saturating_sub(PAGE_SIZE);
        s.mm.write_bytes(sp + start, &bytes[start..end]).map_err(|_| EFAULT)?;
        end = start;
    }
    let mut st = s.mm.lock();
    (st.layout.arg_start, st.layout.arg_end) = (s.p, arg_end);
    (st.layout.env_start, st.layout.env_end) = (arg_end, env_end);
    st.layout.start_stack = sp;
    st.saved_auxv = saved;
    Ok(sp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_is_in_linuxs_order() {
        let p = Places { random: 1, platform: 2, execfn: 3, vdso: Some(4) };
        let v = auxv(&Loaded::default(), &p, &Cred::default(), false, [7, 3632]);
        let keys: Vec<u32> = v.iter().map(|e| e.0).collect();
        // The oracle's row `auxv types:`, with the end.
        assert_eq!(keys, [33, 51, 16, 6, 17, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 23, 25, 26, 31, 15, 0]);
        let without =
            auxv(&Loaded::default(), &Places { vdso: None, ..p }, &Cred::default(), false, [7, 3632]);
        assert_eq!(without[..], v[1..]);
    }
}
