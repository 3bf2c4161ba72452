// SPDX-License-Identifier: GPL-2.0-only
//! A new program's stack, as `exec` makes it (Linux 6.1, `fs/exec.c`,
//! `__bprm_mm_init`, `setup_arg_pages`).
//!
//! `exec` calls [`Mm::setup_stack`], writes strings and vectors from the top
//! down with [`Mm::write_bytes`] (the stack grows with it), and ends with
//! [`Mm::setup_arg_pages`], which leaves room to grow into.

use crate::errno::{ENOMEM, Result};
use crate::mm::mm_struct::{Mm, MmState};
use crate::mm::page_alloc::{PAGE_SIZE, page_align};
use crate::mm::util::rlimit;
use crate::mm::vma::{Backing, VmFlags};
use linux_raw_sys::general::RLIMIT_STACK;

/// What a new stack can grow to without another fault.
const STACK_EXPAND: usize = 128 << 10;

/// Where a stack that was used down to `low` should begin, ending at `end`.
fn stack_base(low: usize, end: usize, limit: usize) -> usize {
    let limit = limit & !(PAGE_SIZE - 1);
    if end - low + STACK_EXPAND > limit { end.saturating_sub(limit).min(low) } else { low - STACK_EXPAND }
}

impl Mm {
    /// Maps the page below `top`, as a stack that grows down; `exec`: executable
    /// (`PT_GNU_STACK`).
    pub fn setup_stack(&self, top: usize, exec: bool) -> Result {
        let top = page_align(top);
        let mut flags = VmFlags::STACK;
        flags.set(VmFlags::EXEC, exec);
        let start = top - PAGE_SIZE;
        let mut st = self.lock();
        flags |= st.def_flags;
        st.mmap_region(start, PAGE_SIZE, flags, (start / PAGE_SIZE) as u64, Backing::Anon)?;
        Ok(())
    }

    /// Gives the stack that `sp` lies in the room that a new program may expect.
    pub fn setup_arg_pages(&self, sp: usize) -> Result {
        let mut st = self.lock();
        st.layout.start_stack = sp;
        let p = st.find_or_expand(sp).ok_or(ENOMEM)?;
        let v = st.vmas.get(p);
        let base = stack_base(v.start, v.end, rlimit(RLIMIT_STACK));
        if base < v.start {
            // As on Linux, a stack that cannot grow now may still do later.
            let _ = st.expand_stack(p, base);
        }
        Ok(())
    }
}

impl MmState {
    /// Makes the mappings of `[start, end)` executable or not, as
    /// `PT_GNU_STACK` is known only after the stack was begun.
    pub fn set_stack_exec(&mut self, sp: usize, exec: bool) -> Result {
        let p = self.vmas.find_containing(sp).ok_or(ENOMEM)?;
        let (start, len, flags) = {
            let v = self.vmas.get(p);
            (v.start, v.len(), v.flags)
        };
        let mut prot = crate::mm::vma::prot::READ | crate::mm::vma::prot::WRITE;
        if exec {
            prot |= crate::mm::vma::prot::EXEC;
        }
        if flags.contains(VmFlags::EXEC) == exec { Ok(()) } else { self.do_mprotect(start, len, prot) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_stacks_are_132_kib() {
        let end = 0x7fff_ffff_f000;
        assert_eq!(stack_base(end - 0x1000, end, 8 << 20), 0x7fff_fffd_e000);
        assert_eq!(stack_base(end - 0x1000, end, 0x8000), end - 0x8000);
        // Already larger than the limit: stays.
        assert_eq!(stack_base(end - 0x9000, end, 0x8000), end - 0x9000);
    }
}
