// SPDX-License-Identifier: GPL-2.0-only
//! `BUG` and `WARN`: places that can find themselves wrong (Linux 6.1, `lib/bug.c`,
//! `kernel/panic.c` for `__warn`).

use crate::arch::x86::kernel::dumpstack::show_regs;
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::kallsyms::Symbol;
use crate::kernel::panic::{
    PANIC_ON_WARN, Taint, add_taint, current_id, panic, print_modules, print_oops_end_marker,
};
use crate::kernel::printk::KERN_DEFAULT;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

/// What begins an oops or a warning in the log.
pub const CUT_HERE: &str = "------------[ cut here ]------------";

/// One place that can find itself wrong: what `ud2` there means.
#[repr(C)]
pub struct BugEntry {
    magic: u64,
    file: &'static str,
    line: u32,
    /// `WARN`, and then whether it has spoken already.
    kind: BugKind,
    done: AtomicBool,
}

/// What follows a [`BugEntry`]'s line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BugKind {
    /// The task dies.
    Bug,
    /// The kernel goes on.
    Warn,
    /// Likewise, and the message above has had its "cut here" line.
    WarnWithMessage,
    /// Likewise, and only the first time.
    WarnOnce,
}

const BUG_MAGIC: u64 = 0x5452_4150_2042_5547;
/// The instruction of `BUG` and `WARN`.
const INSN_UD2: [u8; 2] = [0x0f, 0x0b];

impl BugEntry {
    /// For the macros.
    pub const fn new(file: &'static str, line: u32, kind: BugKind) -> Self {
        Self { magic: BUG_MAGIC, file, line, kind, done: AtomicBool::new(false) }
    }

    /// Raises #UD with this entry for [`report_bug`].
    #[inline(always)]
    pub fn trap(&'static self) {
        // SAFETY: #UD in kernel mode is handled; for a `WARN` execution continues behind.
        #[cfg(target_os = "none")]
        unsafe {
            core::arch::asm!("ud2", in("rdi") self);
        };
        #[cfg(not(target_os = "none"))]
        panic!("BUG or WARN at {}:{}", self.file, self.line);
    }

    /// `BUG()`: [`trap`](Self::trap), and never back.
    #[inline(always)]
    pub fn bug(&'static self) -> ! {
        loop {
            self.trap();
        }
    }
}

/// Prints what a `ud2` in the kernel means. Returns true if it was a `WARN`: the kernel goes on
/// behind the instruction (`report_bug`).
pub fn report_bug(regs: &PtRegs) -> bool {
    let mut insn = [0; 2];
    let Ok(()) = crate::mm::maccess::copy_from_kernel_nofault(&mut insn, regs.ip.get() as usize) else {
        return false;
    };
    if insn != INSN_UD2 {
        return false;
    }
    let Some(bug) = bug_entry_at(regs.di.get()) else {
        return false;
    };
    match bug.kind {
        BugKind::Bug => {
            printk!(KERN_DEFAULT, "{CUT_HERE}\n");
            pr_crit!("kernel BUG at {}:{}!\n", bug.file, bug.line);
            return false;
        }
        BugKind::WarnOnce if bug.done.swap(true, Ordering::Relaxed) => return true,
        BugKind::Warn | BugKind::WarnOnce => printk!(KERN_DEFAULT, "{CUT_HERE}\n"),
        BugKind::WarnWithMessage => {}
    }
    __warn(bug, regs);
    true
}

/// The entry that RDI pointed to, if it is one: other code may contain a `ud2`, too.
fn bug_entry_at(addr: u64) -> Option<&'static BugEntry> {
    let in_image = addr >= 0xffff_ffff_8000_0000 && addr.is_multiple_of(align_of::<BugEntry>() as u64);
    let magic = in_image.then(|| crate::mm::maccess::read_kernel_nofault(addr as usize)).and_then(Result::ok);
    // SAFETY: in the kernel's image and marked: one of the macros' statics.
    (magic == Some(BUG_MAGIC)).then(|| unsafe { &*(addr as *const BugEntry) })
}

/// A warning's dump (`__warn`).
fn __warn(bug: &BugEntry, regs: &PtRegs) {
    let (cpu, pid) = (this_cpu().cpu_number.get(), current_id().0);
    pr_warn!("WARNING: CPU: {cpu} PID: {pid} at {}:{} {}\n", bug.file, bug.line, Symbol(regs.ip.get()));
    print_modules();
    show_regs(regs);
    if PANIC_ON_WARN.load(Ordering::Relaxed) {
        panic(format_args!("kernel: panic_on_warn set ..."));
    }
    print_oops_end_marker();
    add_taint(Taint::Warn);
}

/// `WARN(…)`'s message, before its trap (`__warn_printk`).
pub fn __warn_printk(args: fmt::Arguments<'_>) {
    pr_warn!("{CUT_HERE}\n");
    printk!(KERN_DEFAULT, "{args}\n");
}

/// `BUG()`: kills the current task with an oops.
#[macro_export]
macro_rules! bug {
    () => {{
        static BUG: $crate::lib::bug::BugEntry =
            $crate::lib::bug::BugEntry::new(file!(), line!(), $crate::lib::bug::BugKind::Bug);
        BUG.bug()
    }};
}

/// `BUG_ON(condition)`.
#[macro_export]
macro_rules! bug_on {
    ($cond:expr) => {
        if $cond {
            $crate::bug!()
        }
    };
}

/// `WARN_ON(condition)`, or `WARN(condition, "format", …)`: a dump in the log, and the kernel goes
/// on. Its value is the condition's.
#[macro_export]
macro_rules! warn_on {
    (@kind $cond:expr, $kind:ident $(, $($msg:tt)+)?) => {{
        let cond: bool = $cond;
        if cond {
            static BUG: $crate::lib::bug::BugEntry =
                $crate::lib::bug::BugEntry::new(file!(), line!(), $crate::lib::bug::BugKind::$kind);
            $($crate::lib::bug::__warn_printk(format_args!($($msg)+));)?
            BUG.trap();
        }
        cond
    }};
    ($cond:expr $(,)?) => { $crate::warn_on!(@kind $cond, Warn) };
    ($cond:expr, $($msg:tt)+) => { $crate::warn_on!(@kind $cond, WarnWithMessage, $($msg)+) };
}

/// `WARN_ON_ONCE(condition)`.
#[macro_export]
macro_rules! warn_on_once {
    ($cond:expr) => {
        $crate::warn_on!(@kind $cond, WarnOnce)
    };
}
