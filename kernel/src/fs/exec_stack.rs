// SPDX-License-Identifier: GPL-2.0-only
//! The stack of a program that is about to run: its strings are written straight into
//! the new address space (Linux 6.1, `fs/exec.c`, `copy_strings` and its neighbours).

use crate::arch::x86::lib::usercopy::{get_user, strncpy_from_user};
use crate::arch::x86::mm::mmap::{STACK_TOP, get_random_u64};
use crate::errno::{E2BIG, ENAMETOOLONG, ERESTARTNOHAND, Result};
use crate::kernel::panic::Comm;
use crate::kernel::sched::cond_resched;
use crate::kernel::signal::fatal_signal_pending;
use crate::kernel::signal::state::rlimit;
use crate::kernel::task::current;
use crate::mm::Mm;
use crate::mm::page_alloc::PAGE_SIZE;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

/// Longest string, its NUL included (`MAX_ARG_STRLEN`).
const MAX_ARG_STRLEN: usize = 32 * PAGE_SIZE;
/// Most strings (`MAX_ARG_STRINGS`).
const MAX_ARG_STRINGS: usize = 0x7fff_ffff;
/// What strings may always take (`ARG_MAX`).
const ARG_MAX: u64 = 131_072;
/// The usual limit of a stack (`_STK_LIM`).
pub const STK_LIM: u64 = 8 << 20;

/// Pages by which stacks differ (`STACK_RND_MASK`).
const STACK_RND_MASK: u64 = 0x3f_ffff;

/// Where a program's strings come from.
#[derive(Clone, Copy)]
pub enum Strings<'a> {
    /// A vector of pointers in the memory of the task that calls `execve`.
    User(usize),
    /// The same, with pointers of 32 bits.
    Compat(usize),
    /// The kernel's own.
    Kernel(&'a [Vec<u8>]),
}

impl Strings<'_> {
    /// How many there are.
    fn count(self) -> Result<usize> {
        match self {
            Self::Kernel(v) => return Ok(v.len()),
            Self::User(0) | Self::Compat(0) => return Ok(0),
            Self::User(_) | Self::Compat(_) => {}
        }
        let mut n = 0;
        while self.pointer(n)? != 0 {
            n += 1;
            if n >= MAX_ARG_STRINGS {
                return Err(E2BIG);
            }
            give_way()?;
        }
        Ok(n)
    }
    /// The `i`th.
    fn get(self, i: usize) -> Result<Vec<u8>> {
        match self {
            Self::Kernel(v) => Ok(v[i].clone()),
            Self::User(_) | Self::Compat(_) => strncpy_from_user(self.pointer(i)?, MAX_ARG_STRLEN)
                .map_err(|e| if e == ENAMETOOLONG { E2BIG } else { e }),
        }
    }
    /// The `i`th pointer (`get_user_arg_ptr`).
    fn pointer(self, i: usize) -> Result<usize> {
        match self {
            Self::Kernel(_) => Ok(0),
            Self::User(at) => get_user::<u64>(at + i * 8).map(|p| p as usize),
            Self::Compat(at) => get_user::<u32>(at + i * 4).map(|p| p as usize),
        }
    }
}

/// Between strings, of which there may be millions: lets others run, and gives up if the task is
/// being killed.
fn give_way() -> Result {
    if fatal_signal_pending(&current()) {
        return Err(ERESTARTNOHAND);
    }
    cond_resched();
    Ok(())
}

/// How many bytes strings and their pointers may take, by the stack's limit
/// (`bprm_stack_limits`).
fn string_room(stack_limit: u64) -> u64 {
    (stack_limit / 4).clamp(ARG_MAX, STK_LIM / 4 * 3)
}

/// Says once that somebody runs programs without an `argv[0]` (`do_execveat_common`).
fn warn_null_argv(filename: &[u8]) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        let comm = current().comm();
        crate::pr_warn!(
            "process '{}' launched '{}' with NULL argv: empty string added\n",
            Comm(&comm),
            Comm(filename)
        );
    }
}

/// The new stack, filled from the top down.
pub struct ArgStack {
    /// The new address space.
    pub mm: Arc<Mm>,
    /// The lowest byte in use (`bprm->p`).
    pub p: usize,
    /// Strings may not reach below.
    argmin: usize,
    /// Number of arguments.
    pub argc: usize,
    /// Number of environment strings.
    pub envc: usize,
    /// Bytes of the first argument, its NUL included.
    arg0: usize,
    /// Where the file name's string is.
    pub exec: usize,
    /// Where the environment's strings begin and end.
    pub env: (usize, usize),
}

/// A page somewhat below the top (`randomize_stack_top`), for a program that is not
/// the current one yet.
fn random_stack_top() -> usize {
    STACK_TOP - (get_random_u64() & STACK_RND_MASK) as usize * PAGE_SIZE
}

impl ArgStack {
    /// A new address space with nothing but the beginning of a stack, at a random
    /// place if the program is to be `randomized`.
    pub fn new(randomized: bool) -> Result<Self> {
        let mm = Mm::new()?;
        let top = if randomized { random_stack_top() } else { STACK_TOP };
        mm.setup_stack(top, false)?;
        // The topmost word stays empty.
        let p = top - size_of::<usize>();
        Ok(Self { mm, p, argmin: 0, argc: 0, envc: 0, arg0: 0, exec: 0, env: (0, 0) })
    }

    /// Writes the file name, the environment and the arguments.
    pub fn fill(&mut self, filename: &[u8], argv: Strings<'_>, envp: Strings<'_>) -> Result {
        self.argc = argv.count()?;
        if self.argc == 0 {
            warn_null_argv(filename);
        }
        self.envc = envp.count()?;
        let room = string_room(rlimit(rlimit::STACK));
        let pointers = (self.argc.max(1) + self.envc) as u64 * 8;
        let room = room.checked_sub(pointers).filter(|&r| r != 0).ok_or(E2BIG)?;
        self.argmin = self.p - room as usize;
        self.push(filename)?;
        self.exec = self.p;
        for i in (0..self.envc).rev() {
            self.push(&envp.get(i)?)?;
            give_way()?;
        }
        self.env = (self.p, self.exec);
        for i in (0..self.argc).rev() {
            let s = argv.get(i)?;
            self.arg0 = s.len() + 1;
            self.push(&s)?;
            give_way()?;
        }
        if self.argc == 0 {
            // A program may count on argv[0].
            self.push_arg(&[])?;
        }
        Ok(())
    }

    /// Writes one string below the others (`copy_string_kernel`).
    fn push(&mut self, s: &[u8]) -> Result {
        if s.len() >= MAX_ARG_STRLEN {
            return Err(E2BIG);
        }
        let p = self.p.checked_sub(s.len() + 1).filter(|&p| p >= self.argmin).ok_or(E2BIG)?;
        // From the top down, so that the stack grows by less than its guard gap.
        self.mm.write_bytes(p + s.len(), &[0]).map_err(|_| E2BIG)?;
        let mut end = s.len();
        while end != 0 {
            let start = end.saturating_sub(PAGE_SIZE);
            self.mm.write_bytes(p + start, &s[start..end]).map_err(|_| E2BIG)?;
            end = start;
        }
        self.p = p;
        Ok(())
    }

    /// Writes one more first argument.
    pub fn push_arg(&mut self, s: &[u8]) -> Result {
        self.push(s)?;
        self.arg0 = s.len() + 1;
        self.argc += 1;
        Ok(())
    }

    /// Takes the first argument away (`remove_arg_zero`). Only once between pushes.
    pub fn remove_arg_zero(&mut self) {
        self.p += core::mem::take(&mut self.arg0);
        self.argc -= 1;
    }

    /// The addresses of `n` strings that lie one behind the other from `at` on.
    pub fn string_addresses(&self, mut at: usize, n: usize, out: &mut Vec<u64>) -> Result<usize> {
        let mut chunk = [0u8; 256];
        let mut starts = true;
        let mut left = n;
        while left != 0 {
            let len = chunk.len().min(PAGE_SIZE - at % PAGE_SIZE);
            self.mm.read_bytes(at, &mut chunk[..len])?;
            for (i, &b) in chunk[..len].iter().enumerate() {
                if starts {
                    out.push((at + i) as u64);
                }
                starts = b == 0;
                if starts {
                    left -= 1;
                    if left == 0 {
                        return Ok(at + i + 1);
                    }
                }
            }
            at += len;
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_get_a_quarter_of_the_stack() {
        assert_eq!(string_room(8 << 20), 2 << 20);
        assert_eq!(string_room(u64::MAX), 6 << 20);
        assert_eq!(string_room(4096), 131_072);
    }
}
