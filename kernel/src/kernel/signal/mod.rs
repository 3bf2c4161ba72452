// SPDX-License-Identifier: GPL-2.0-only
//! placeholder
use alloc::sync::Arc;
/// Shared by a thread group.
pub struct SignalStruct {}
/// Actions and the lock.
pub struct Sighand {}
/// One thread's signal state.
pub struct TaskSignals {}
impl SignalStruct {
    /// For a new process.
    pub fn new() -> Arc<Self> {
        todo!()
    }
}
impl Sighand {
    /// All actions default.
    pub fn new() -> Arc<Self> {
        todo!()
    }
}
impl TaskSignals {
    /// Nothing pending, nothing blocked.
    pub fn new() -> Self {
        todo!()
    }
}
/// Whether the task has a signal to act on.
pub fn signal_pending(t: &crate::kernel::task::Task) -> bool {
    t.test_flag(crate::kernel::task::tif::SIGPENDING)
}
/// Whether a fatal signal is pending.
pub fn fatal_signal_pending(_t: &crate::kernel::task::Task) -> bool {
    todo!()
}
