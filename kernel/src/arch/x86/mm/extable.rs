// SPDX-License-Identifier: GPL-2.0-only
//! The exception table: where a kernel-mode fault may continue.
//!
//! 1. An instruction that may fault on purpose (a user copy, `rdmsr` of an
//!    unknown register) records itself with [`extable!`](crate::extable): an entry
//!    in the `__ex_table` section holding its own address, the address to
//!    continue at (both relative to the entry, so the table needs no relocation),
//!    and what to do on the way.
//! 2. The table is sorted once at boot ([`sort_main_extable`]).
//! 3. A fault in kernel mode looks its RIP up by bisection ([`search_extable`]).
//! 4. If there is an entry, [`fixup_exception`] applies it to the saved registers
//!    and the `iret` continues at the recovery address; otherwise the fault is a
//!    bug, and `die` reports it.
//!
//! After Linux 6.1, `arch/x86/mm/extable.c`, `lib/extable.c`.

use crate::arch::x86::ptrace::PtRegs;

/// One entry: 12 bytes, self-relative.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ExceptionTableEntry {
    insn: i32,
    fixup: i32,
    kind: i32,
}

/// What happens besides continuing at the recovery address (Linux's `EX_TYPE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ExType {
    /// Nothing else.
    Default = 1,
    /// The vector goes to RAX (`EX_TYPE_FAULT`).
    Fault = 2,
    /// A user access: a #GP here means a non-canonical address (`EX_TYPE_UACCESS`).
    Uaccess = 3,
    /// `rdmsr`: RAX and RDX become 0, and the log says so once (`EX_TYPE_RDMSR`).
    Rdmsr = 4,
    /// `wrmsr`: the write is dropped, and the log says so once (`EX_TYPE_WRMSR`).
    Wrmsr = 5,
    /// FPU registers are loaded from an image of the kernel's: the log says so once, and they
    /// get their initial state (`EX_TYPE_FPU_RESTORE`).
    FpuRestore = 6,
}

impl ExType {
    fn from_raw(v: i32) -> Option<Self> {
        [Self::Default, Self::Fault, Self::Uaccess, Self::Rdmsr, Self::Wrmsr, Self::FpuRestore]
            .into_iter()
            .find(|k| *k as i32 == v)
    }
}

/// Assembly text that records an exception-table entry.
///
/// `extable!("2", "{err}", 3)`: a fault at local label `2:` continues at `{err}`
/// with [`ExType`] number 3.
#[macro_export]
macro_rules! extable {
    ($insn:literal, $fixup:literal, $kind:literal) => {
        concat!(
            ".pushsection __ex_table, \"aw\"\n.balign 4\n.long ",
            $insn,
            "b - .\n.long ",
            $fixup,
            " - .\n.long ",
            $kind,
            "\n.popsection"
        )
    };
}

impl ExceptionTableEntry {
    /// An entry as it would stand at address `at`.
    #[cfg(test)]
    fn new_at(at: usize, insn: usize, fixup: usize, kind: ExType) -> Self {
        Self {
            insn: insn.wrapping_sub(at) as i32,
            fixup: fixup.wrapping_sub(at + 4) as i32,
            kind: kind as i32,
        }
    }
    /// Address of the instruction that may fault, for an entry standing at `at`.
    fn insn_at(&self, at: usize) -> usize {
        at.wrapping_add_signed(self.insn as isize)
    }
    /// Address to continue at.
    fn fixup_at(&self, at: usize) -> usize {
        (at + 4).wrapping_add_signed(self.fixup as isize)
    }
}

/// Sorts a table in place by instruction address, keeping each entry's meaning
/// although it moves (`sort_extable`).
fn sort_extable(table: &mut [ExceptionTableEntry]) {
    let base = table.as_ptr() as usize;
    let size = size_of::<ExceptionTableEntry>();
    // Make every offset relative to the table's start, sort, and undo it.
    for (i, e) in table.iter_mut().enumerate() {
        e.insn = e.insn.wrapping_add((i * size) as i32);
        e.fixup = e.fixup.wrapping_add((i * size) as i32);
    }
    table.sort_unstable_by_key(|e| base.wrapping_add_signed(e.insn as isize));
    for (i, e) in table.iter_mut().enumerate() {
        e.insn = e.insn.wrapping_sub((i * size) as i32);
        e.fixup = e.fixup.wrapping_sub((i * size) as i32);
    }
}

/// The entry for the instruction at `ip`, as (recovery address, kind).
pub fn search_extable(table: &[ExceptionTableEntry], ip: usize) -> Option<(usize, ExType)> {
    let addr = |i: usize| core::ptr::from_ref(&table[i]) as usize;
    let (mut lo, mut hi) = (0, table.len());
    while lo < hi {
        let mid = usize::midpoint(lo, hi);
        let insn = table[mid].insn_at(addr(mid));
        match insn.cmp(&ip) {
            core::cmp::Ordering::Equal => {
                let e = &table[mid];
                return Some((e.fixup_at(addr(mid)), ExType::from_raw(e.kind)?));
            }
            core::cmp::Ordering::Less => lo = mid + 1,
            core::cmp::Ordering::Greater => hi = mid,
        }
    }
    None
}

/// What to change in the saved registers so that the fault is recovered from:
/// the decision alone, without touching anything.
fn apply(regs: &PtRegs, fixup: usize, kind: ExType, trapnr: u8) {
    match kind {
        ExType::Default | ExType::Uaccess | ExType::Wrmsr | ExType::FpuRestore => {}
        ExType::Fault => regs.ax.set(u64::from(trapnr)),
        ExType::Rdmsr => {
            regs.ax.set(0);
            regs.dx.set(0);
        }
    }
    regs.ip.set(fixup as u64);
}

/// What the log says of recoveries that nobody meant to happen, each kind once.
#[cfg(target_os = "none")]
mod report {
    use super::ExType;
    use crate::arch::x86::kernel::dumpstack::show_stack_regs;
    use crate::arch::x86::kernel::fpu::core::fpu_reset_from_exception_fixup;
    use crate::arch::x86::ptrace::PtRegs;
    use crate::kernel::kallsyms::{Backtrace, Symbol};
    use core::sync::atomic::{AtomicBool, Ordering};

    /// Says what happened, and puts the FPU's registers right.
    #[cold]
    #[inline(never)]
    pub fn unexpected_fixup(kind: ExType, regs: &PtRegs) {
        match kind {
            ExType::Default | ExType::Fault | ExType::Uaccess => {}
            ExType::Rdmsr => unchecked_rdmsr(regs),
            ExType::Wrmsr => unchecked_wrmsr(regs),
            ExType::FpuRestore => {
                bad_fpu_state(regs);
                fpu_reset_from_exception_fixup();
            }
        }
    }

    /// Whether this is the first time.
    fn first(said: &AtomicBool) -> bool {
        !said.swap(true, Ordering::Relaxed)
    }

    fn unchecked_rdmsr(regs: &PtRegs) {
        static SAID: AtomicBool = AtomicBool::new(false);
        if first(&SAID) {
            let (msr, ip) = (regs.cx.get() as u32, regs.ip.get());
            crate::pr_warn!(
                "unchecked MSR access error: RDMSR from 0x{msr:x} at rIP: 0x{ip:x} ({})\n",
                Symbol(ip)
            );
            show_stack_regs(regs);
        }
    }

    fn unchecked_wrmsr(regs: &PtRegs) {
        static SAID: AtomicBool = AtomicBool::new(false);
        if first(&SAID) {
            let (msr, hi, lo, ip) =
                (regs.cx.get() as u32, regs.dx.get() as u32, regs.ax.get() as u32, regs.ip.get());
            crate::pr_warn!(
                "unchecked MSR access error: WRMSR to 0x{msr:x} (tried to write 0x{hi:08x}{lo:08x}) at rIP: 0x{ip:x} ({})\n",
                Symbol(ip)
            );
            show_stack_regs(regs);
        }
    }

    fn bad_fpu_state(regs: &PtRegs) {
        static SAID: AtomicBool = AtomicBool::new(false);
        crate::warn_on!(
            first(&SAID),
            "Bad FPU state detected at {}, reinitializing FPU registers.",
            Backtrace(regs.ip.get())
        );
    }
}

#[cfg(target_os = "none")]
fn main_table() -> &'static mut [ExceptionTableEntry] {
    unsafe extern "C" {
        static mut __start___ex_table: ExceptionTableEntry;
        static mut __stop___ex_table: ExceptionTableEntry;
    }
    let start = &raw mut __start___ex_table;
    let end = &raw mut __stop___ex_table;
    let len = (end as usize - start as usize) / size_of::<ExceptionTableEntry>();
    // SAFETY: the linker places the section between these symbols; it is written
    // only by the one sort at boot, before the first lookup.
    unsafe { core::slice::from_raw_parts_mut(start, len) }
}

/// Sorts the kernel's table; called once, first thing at boot (`sort_main_extable`).
#[cfg(target_os = "none")]
pub fn sort_main_extable() {
    sort_extable(main_table());
}

/// Whether a fault at `ip` can be recovered from (`search_exception_tables`).
#[cfg(target_os = "none")]
pub fn search_exception_tables(ip: u64) -> bool {
    search_extable(main_table(), ip as usize).is_some()
}

/// Whether a fault at `ip` can be recovered from; on the host there is no table.
#[cfg(not(target_os = "none"))]
pub fn search_exception_tables(_ip: u64) -> bool {
    false
}

/// There is no table on the host.
#[cfg(not(target_os = "none"))]
pub fn sort_main_extable() {}

/// Recovers from a kernel-mode fault if its instruction is in the table.
/// Returns false if it is not: then the fault is a bug.
#[cfg(target_os = "none")]
pub fn fixup_exception(regs: &PtRegs, trapnr: u8) -> bool {
    match search_extable(main_table(), regs.ip.get() as usize) {
        Some((fixup, kind)) => {
            if matches!(kind, ExType::Rdmsr | ExType::Wrmsr | ExType::FpuRestore) {
                report::unexpected_fixup(kind, regs);
            }
            apply(regs, fixup, kind, trapnr);
            true
        }
        None => false,
    }
}

/// Recovers from a kernel-mode fault; on the host there is no table.
#[cfg(not(target_os = "none"))]
pub fn fixup_exception(_regs: &PtRegs, _trapnr: u8) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_table_is_found_by_bisection() {
        let mut t = [ExceptionTableEntry { insn: 0, fixup: 0, kind: 0 }; 5];
        let base = t.as_ptr() as usize;
        let insns = [0x500usize, 0x100, 0x400, 0x200, 0x300].map(|o| base + 0x1000 + o);
        for (i, insn) in insns.iter().enumerate() {
            t[i] = ExceptionTableEntry::new_at(base + i * 12, *insn, insn + 7, ExType::Uaccess);
        }
        sort_extable(&mut t);
        for insn in insns {
            assert_eq!(search_extable(&t, insn), Some((insn + 7, ExType::Uaccess)));
            assert_eq!(search_extable(&t, insn + 1), None);
        }
        assert_eq!(search_extable(&[], 5), None);
    }

    #[test]
    fn kinds_change_what_they_say() {
        let r = PtRegs { ax: 1.into(), dx: 2.into(), ip: 3.into(), ..PtRegs::default() };
        apply(&r, 0x99, ExType::Fault, 14);
        assert_eq!((r.ax.get(), r.dx.get(), r.ip.get()), (14, 2, 0x99));
        apply(&r, 0x98, ExType::Rdmsr, 13);
        assert_eq!((r.ax.get(), r.dx.get(), r.ip.get()), (0, 0, 0x98));
        let before = PtRegs { ax: 5.into(), dx: 6.into(), ..PtRegs::default() };
        let r = before.clone();
        apply(&r, 0x97, ExType::Default, 14);
        assert_eq!(r, PtRegs { ip: 0x97.into(), ..before });
    }
}
