// SPDX-License-Identifier: GPL-2.0-only
//! Notifier chains: who wants to hear of an event, by priority (Linux 4.x and 6.1,
//! `kernel/notifier.c`).
//!
//! An *atomic* chain may be called from any context, NMIs included: calling walks a list
//! of static blocks, without a lock or an allocation. Registering takes a lock, and
//! happens in process context.

use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{EEXIST, ENOENT, Result};
use crate::locking::IrqLock;
use core::sync::atomic::{AtomicPtr, Ordering};

/// What a notifier says of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyResult {
    /// Not mine (`NOTIFY_DONE`).
    Done,
    /// Suits me (`NOTIFY_OK`).
    Ok,
    /// Veto: nobody else is asked (`NOTIFY_BAD`).
    Bad,
    /// Dealt with: nobody else is asked (`NOTIFY_STOP`).
    Stop,
}

impl NotifyResult {
    /// Whether the walk ends here (`NOTIFY_STOP_MASK`).
    #[inline(always)]
    fn ends_walk(self) -> bool {
        match self {
            Self::Bad | Self::Stop => true,
            Self::Done | Self::Ok => false,
        }
    }
}

/// One who wants to be told. `F` is the type of the function to be called, or has it.
pub struct NotifierBlock<F: 'static> {
    call: F,
    priority: i32,
    next: AtomicPtr<NotifierBlock<F>>,
}

impl<F> NotifierBlock<F> {
    /// Calls `call`; blocks of a higher priority are called first.
    pub const fn new(call: F, priority: i32) -> Self {
        Self { call, priority, next: AtomicPtr::new(core::ptr::null_mut()) }
    }
}

/// A chain of blocks.
pub struct AtomicNotifierHead<F: 'static> {
    head: AtomicPtr<NotifierBlock<F>>,
    /// Serialises changes.
    change: IrqLock<()>,
}

impl<F> AtomicNotifierHead<F> {
    /// Nobody.
    pub const fn new() -> Self {
        Self { head: AtomicPtr::new(core::ptr::null_mut()), change: IrqLock::new(()) }
    }

    /// The link that points to the first block for which `found` holds, or to the end.
    fn link_to(&self, found: impl Fn(&'static NotifierBlock<F>) -> bool) -> &AtomicPtr<NotifierBlock<F>> {
        let mut link = &self.head;
        while let Some(b) = deref(link) {
            if found(b) {
                break;
            }
            link = &b.next;
        }
        link
    }

    /// Adds a block behind those of the same priority
    /// (`atomic_notifier_chain_register`).
    pub fn register(&self, block: &'static NotifierBlock<F>) -> Result {
        let _lock = self.change.lock();
        if deref(self.link_to(|b| core::ptr::eq(b, block))).is_some() {
            return Err(EEXIST);
        }
        let link = self.link_to(|b| b.priority < block.priority);
        block.next.store(link.load(Ordering::Relaxed), Ordering::Relaxed);
        link.store(core::ptr::from_ref(block).cast_mut(), Ordering::Release);
        Ok(())
    }

    /// Removes a block (`atomic_notifier_chain_unregister`). A walk that stands on it goes
    /// on from there.
    pub fn unregister(&self, block: &'static NotifierBlock<F>) -> Result {
        let _lock = self.change.lock();
        let link = self.link_to(|b| core::ptr::eq(b, block));
        if deref(link).is_none() {
            return Err(ENOENT);
        }
        link.store(block.next.load(Ordering::Relaxed), Ordering::Release);
        Ok(())
    }

    /// Asks one after the other through `ask`, until one ends it; the last answer
    /// (`atomic_notifier_call_chain`).
    #[inline(always)]
    pub fn call_chain(&self, mut ask: impl FnMut(&'static F) -> NotifyResult) -> NotifyResult {
        let mut result = NotifyResult::Done;
        let mut link = &self.head;
        while let Some(b) = deref(link) {
            result = ask(&b.call);
            if result.ends_walk() {
                break;
            }
            link = &b.next;
        }
        result
    }
}

impl<F> Default for AtomicNotifierHead<F> {
    fn default() -> Self {
        Self::new()
    }
}

/// The block that a link leads to.
#[inline(always)]
fn deref<F>(link: &AtomicPtr<NotifierBlock<F>>) -> Option<&'static NotifierBlock<F>> {
    // SAFETY: links are null or made from `&'static` blocks.
    unsafe { link.load(Ordering::Acquire).as_ref() }
}

/// What happened, for the [`DIE_CHAIN`] (`enum die_val`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DieVal {
    /// The kernel is about to kill the task for a bug.
    Oops,
    /// A breakpoint instruction.
    Int3,
    /// A debug exception; `err` is the address of a `u64` with the reasons (DR6).
    Debug,
    /// Panic.
    Panic,
    /// A non-maskable interrupt.
    Nmi,
    /// `die` is called.
    Die,
    /// A kernel stack is nearly used up.
    KernelDebug,
    /// Any other exception.
    Trap,
    /// A general protection fault in kernel mode.
    Gpf,
    /// A page fault in kernel mode.
    PageFault,
    /// An NMI of unknown reason.
    NmiUnknown,
}

/// What is known of the event (`struct die_args`).
pub struct DieArgs<'a> {
    /// The interrupted context, which a notifier may change.
    pub regs: &'a PtRegs,
    /// What the log would call it.
    pub str: &'a str,
    /// The error code.
    pub err: u64,
    /// The vector.
    pub trapnr: u8,
    /// The signal that user mode would get.
    pub signr: i32,
}

/// A function on the die chain.
pub type DieNotifier = for<'a, 'b> fn(DieVal, &'b mut DieArgs<'a>) -> NotifyResult;

/// Those who want to hear of exceptions before they are acted upon.
pub static DIE_CHAIN: AtomicNotifierHead<DieNotifier> = AtomicNotifierHead::new();

/// Asks the die chain about an exception. [`NotifyResult::Stop`] means that it has been
/// dealt with.
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
pub fn notify_die(val: DieVal, str: &str, regs: &PtRegs, err: u64, trapnr: u8, signr: i32) -> NotifyResult {
    let mut args = DieArgs { regs, str, err, trapnr, signr };
    DIE_CHAIN.call_chain(|call| call(val, &mut args))
}

/// Adds a block to the die chain.
pub fn register_die_notifier(block: &'static NotifierBlock<DieNotifier>) -> Result {
    DIE_CHAIN.register(block)
}

/// Removes a block from the die chain.
pub fn unregister_die_notifier(block: &'static NotifierBlock<DieNotifier>) -> Result {
    DIE_CHAIN.unregister(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    type F = fn(&mut Vec<char>) -> NotifyResult;

    fn a(v: &mut Vec<char>) -> NotifyResult {
        v.push('a');
        NotifyResult::Ok
    }
    fn b(v: &mut Vec<char>) -> NotifyResult {
        v.push('b');
        NotifyResult::Done
    }
    fn stop(v: &mut Vec<char>) -> NotifyResult {
        v.push('s');
        NotifyResult::Stop
    }

    fn block(f: F, priority: i32) -> &'static NotifierBlock<F> {
        Box::leak(Box::new(NotifierBlock::new(f, priority)))
    }

    fn order(h: &AtomicNotifierHead<F>) -> (String, NotifyResult) {
        let mut v = Vec::new();
        let r = h.call_chain(|f| f(&mut v));
        (v.into_iter().collect(), r)
    }

    #[test]
    fn priority_then_order_of_registration() {
        let h = AtomicNotifierHead::<F>::new();
        assert_eq!(order(&h), (String::new(), NotifyResult::Done));
        let blocks = [block(a, 0), block(b, 0), block(b, 5), block(a, -5)];
        for b in blocks {
            h.register(b).unwrap();
        }
        assert_eq!(order(&h), ("baba".into(), NotifyResult::Ok));
        assert_eq!(h.register(blocks[1]), Err(EEXIST));
        h.unregister(blocks[3]).unwrap();
        assert_eq!(order(&h), ("bab".into(), NotifyResult::Done));
        assert_eq!(h.unregister(blocks[3]), Err(ENOENT));
        h.unregister(blocks[2]).unwrap();
        h.register(blocks[2]).unwrap();
        assert_eq!(order(&h).0, "bab");
    }

    #[test]
    fn stop_ends_the_walk() {
        let h = AtomicNotifierHead::<F>::new();
        for (f, p) in [(a as F, 2), (stop as F, 1), (b as F, 0)] {
            h.register(block(f, p)).unwrap();
        }
        assert_eq!(order(&h), ("as".into(), NotifyResult::Stop));
    }
}
