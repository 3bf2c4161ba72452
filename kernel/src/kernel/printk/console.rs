// SPDX-License-Identifier: GPL-2.0-only
//! Consoles: where messages are shown as they come.
//!
//! Whoever prints tries to become the console's owner, and then shows everything that
//! is not shown yet; whoever finds it owned leaves, knowing that the owner looks again
//! after letting go. Nobody waits. NMI context never shows anything (it may have
//! interrupted the driver): its messages appear with the next flush from elsewhere.
//! After Linux 6.1, `kernel/printk/printk.c` (`console_unlock`, `console_flush_on_panic`).

use super::format::print_text;
use super::ringbuffer::LOG_LINE_MAX;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// Writes bytes to a device. Called with the console owned, in any context but NMI
/// (after [`flush_on_panic`]: in any).
pub type WriteFn = fn(&[u8]);

const MAX_CONSOLES: usize = 4;
static CONSOLES: [AtomicPtr<()>; MAX_CONSOLES] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CONSOLES];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static OWNED: AtomicBool = AtomicBool::new(false);
/// Next record to show.
static SEQ: AtomicU64 = AtomicU64::new(0);

/// Adds a console (at most four). It is shown everything logged so far.
pub fn register(write: WriteFn) {
    let i = COUNT.fetch_add(1, Ordering::AcqRel);
    if let Some(slot) = CONSOLES.get(i) {
        slot.store(write as *mut (), Ordering::Release);
        // As Linux's CON_PRINTBUFFER: the first console starts from the oldest record.
        if i == 0 {
            SEQ.store(super::ring().first_valid_seq(), Ordering::Release);
        }
    }
    flush();
}

/// Whether any console is registered.
pub fn any() -> bool {
    COUNT.load(Ordering::Acquire) != 0
}

/// Writes to every console, past the log: for what must be seen even if the log is broken.
fn emit(text: &[u8]) {
    for slot in &CONSOLES {
        let p = slot.load(Ordering::Acquire);
        if !p.is_null() {
            // SAFETY: the slots hold null or a `WriteFn` put there by `register`.
            let write: WriteFn = unsafe { core::mem::transmute::<*mut (), WriteFn>(p) };
            write(text);
        }
    }
}

/// Shows the record at the console's position; false if there is none.
fn emit_next() -> bool {
    let mut text = [0; LOG_LINE_MAX];
    let seq = SEQ.load(Ordering::Acquire);
    let Some(info) = super::ring().read_valid(seq, &mut text) else {
        return false;
    };
    SEQ.store(info.seq + 1, Ordering::Release);
    if info.seq > seq && seq != 0 {
        let mut lost = super::format::LineBuf::<64>::new();
        let _ =
            core::fmt::write(&mut lost, format_args!("** {} printk messages dropped **\n", info.seq - seq));
        emit(lost.as_bytes());
    }
    if super::console_shows(info.level) {
        emit(print_text(&info, &text[..info.len], false, super::time_enabled()).as_bytes());
    }
    true
}

/// Whether there is something that no console has shown.
fn pending() -> bool {
    SEQ.load(Ordering::Acquire) < super::ring().next_seq()
}

/// Shows what is not shown yet, unless somebody else is at it. Not for NMI context.
pub fn flush() {
    // After letting go, look again: a message stored meanwhile found the console owned.
    while any() && pending() && !OWNED.swap(true, Ordering::Acquire) {
        let mut progress = false;
        while emit_next() {
            progress = true;
        }
        OWNED.store(false, Ordering::Release);
        if !progress {
            // The next record is still being written; its writer will flush.
            return;
        }
    }
}

/// An oops begins: whoever owned the console may be what has oopsed, and will not let go.
pub fn bust_owner() {
    OWNED.store(false, Ordering::Release);
}

/// Shows everything, whoever owns the console: the machine is going down.
pub fn flush_on_panic() {
    super::finalize_last();
    OWNED.store(true, Ordering::Relaxed);
    let before = SEQ.load(Ordering::Relaxed);
    // Bounded by what is there now, in case a driver prints.
    for _ in before..super::ring().next_seq() {
        if !emit_next() {
            break;
        }
    }
    OWNED.store(false, Ordering::Release);
}
