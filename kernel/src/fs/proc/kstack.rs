// SPDX-License-Identifier: GPL-2.0-only
//! Where a task is in the kernel: `wchan`, `stack` (Linux 6.1, `fs/proc/base.c`).

use super::base::may_trace;
use crate::arch::x86::kernel::stacktrace::{get_wchan, stack_trace_save_tsk};
use crate::errno::{EACCES, Result};
use crate::fs::seq_file::SeqFile;
use crate::kernel::capability::capable;
use crate::kernel::kallsyms::Symbol;
use crate::kernel::ptrace::{PtraceMode, ptrace_may_access};
use crate::kernel::task::{TASK_RUNNING, Task, current};
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general::CAP_SYS_ADMIN;

/// In which function a task waits; `0` if it does not, or is nobody's business
/// (`proc_pid_wchan`).
pub fn wchan(t: &Task, o: &mut SeqFile) -> Result {
    let sleeps = !current().is(t) && t.state.load(Relaxed) != TASK_RUNNING && !t.rel.has_exited();
    let name = if sleeps && ptrace_may_access(t, PtraceMode::FsCreds) { get_wchan(t) } else { None };
    o.put(name.unwrap_or("0").as_bytes());
    Ok(())
}

/// Its call trace, for root: the lines are many things that programs should not know
/// (`proc_pid_stack`).
pub fn stack(t: &Task, o: &mut SeqFile) -> Result {
    if !capable(CAP_SYS_ADMIN) {
        return Err(EACCES);
    }
    may_trace(t)?;
    if t.rel.has_exited() {
        return Ok(());
    }
    for ret in stack_trace_save_tsk(t) {
        writeln!(o, "[<0>] {}", Symbol(ret));
    }
    Ok(())
}
