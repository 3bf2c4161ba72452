// SPDX-License-Identifier: GPL-2.0-only
//! Where a task is in the kernel, for those who ask (Linux 6.1, `arch/x86/kernel/stacktrace.c`,
//! `kernel/stacktrace.c`).

use super::dumpstack::is_kernel_text;
use crate::kernel::kallsyms;
use crate::kernel::task::{Task, current};
use crate::mm::maccess::read_kernel_nofault;
use arrayvec::ArrayVec;

/// Frames that are told (`MAX_STACK_TRACE_DEPTH`).
pub const MAX_STACK_TRACE_DEPTH: usize = 64;

/// Return addresses, the innermost first.
pub type Trace = ArrayVec<u64, MAX_STACK_TRACE_DEPTH>;

/// Follows frame pointers from `bp` up the stack `[low, high)`.
fn walk(mut bp: usize, mut low: usize, high: usize, trace: &mut Trace) {
    while bp.is_multiple_of(8) && (low..high.saturating_sub(15)).contains(&bp) {
        let (Ok(next), Ok(ret)) = (read_kernel_nofault(bp), read_kernel_nofault(bp + 8)) else { return };
        if !is_kernel_text(ret) || trace.try_push(ret).is_err() {
            return;
        }
        (low, bp) = (bp + 16, next as usize);
    }
}

/// The stack of the running task, or of one that is switched out (`stack_trace_save_tsk`).
#[inline(never)]
pub fn stack_trace_save_tsk(t: &Task) -> Trace {
    let mut trace = Trace::new();
    let (low, high) = (t.stack.bottom(), t.stack.top());
    if current().is(t) {
        let bp: usize;
        // SAFETY: copies a register.
        unsafe {
            core::arch::asm!("mov {}, rbp", out(reg) bp, options(nomem, nostack, preserves_flags));
        };
        walk(bp, low, high, &mut trace);
        return trace;
    }
    // SAFETY: there is one CPU, and the task is not on it: nobody writes the word.
    let sp = unsafe { *(*t.thread.get()).sp.get() } as usize;
    // What `switch_to_asm` left there: six registers, RBP first, and where it returns to.
    if (low..high.saturating_sub(55)).contains(&sp)
        && let (Ok(bp), Ok(ret)) = (read_kernel_nofault(sp + 40), read_kernel_nofault(sp + 48))
    {
        trace.push(ret);
        walk(bp as usize, sp, high, &mut trace);
    }
    trace
}

/// Whether a function only puts tasks to sleep: where they wait is its caller (`in_sched_functions`).
fn in_sched_functions(name: &str) -> bool {
    ["schedule", "WaitQueue::", "switch_to", "yield_now", "cond_resched"].iter().any(|s| name.contains(s))
}

/// The name of the function without where it is.
fn last_part(name: &str) -> &str {
    name.rsplit("::").find(|part| !part.starts_with('{')).unwrap_or(name)
}

/// In which function a sleeping task waits (`get_wchan`).
pub fn get_wchan(t: &Task) -> Option<&'static str> {
    let trace = stack_trace_save_tsk(t);
    let names = trace.iter().filter_map(|ret| kallsyms::lookup(ret.wrapping_sub(1))).map(|found| found.0);
    names.map(|name| (name, last_part(name))).find(|(name, _)| !in_sched_functions(name)).map(|n| n.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_not_who_puts_to_sleep() {
        assert!(in_sched_functions("kernel::sched::schedule"));
        assert!(in_sched_functions("kernel::wait::WaitQueue::wait_checked"));
        assert!(!in_sched_functions("fs::pipe::pipe_read"));
        assert_eq!(last_part("fs::pipe::pipe_read"), "pipe_read");
        assert_eq!(last_part("fs::pipe::pipe_read::{closure#0}"), "pipe_read");
        assert_eq!(last_part("entry_SYSCALL_64"), "entry_SYSCALL_64");
    }
}
