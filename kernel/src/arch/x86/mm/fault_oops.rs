// SPDX-License-Identifier: GPL-2.0-only
//! Page faults that are the kernel's own fault: what the oops says.
//! After Linux 6.1, `arch/x86/mm/fault.c` (`show_fault_oops`, `page_fault_oops`).

use crate::arch::x86::kernel::dumpstack::__die;
use crate::arch::x86::kernel::traps::check_stack_overflow;
use crate::arch::x86::kernel::traps::decide::Vector;
use crate::arch::x86::mm::fault::{pf, set_signal_archinfo};
use crate::arch::x86::mm::init::{CPU_ENTRY_AREA_BASE, VMALLOC_START, phys_to_virt};
use crate::arch::x86::mm::tlb::read_cr3_pa;
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::notifier::{DieVal, NotifyResult, notify_die};
use crate::kernel::panic::{oops_begin, oops_end};
use crate::kernel::signal::sigset::SIGKILL;
use crate::kernel::task::current;
use crate::mm::page_alloc::PAGE_SIZE;
use core::fmt;

const PRESENT: u64 = 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NX: u64 = 1 << 63;
const ADDR: u64 = 0x000f_ffff_ffff_f000;

/// Entries for an address, from the top level down, as far as there are any.
struct PageTableWalk {
    entries: [u64; 4],
    depth: usize,
}

/// Walks the loaded page tables for any address (`lookup_address_in_pgd`).
fn walk(address: u64) -> PageTableWalk {
    let mut w = PageTableWalk { entries: [0; 4], depth: 0 };
    let mut table = read_cr3_pa();
    for level in [3, 2, 1, 0] {
        let index = (address >> (12 + 9 * level)) as usize & 511;
        // SAFETY: a page table that is loaded, in the direct map.
        let e = unsafe { ((phys_to_virt(table) as usize + index * 8) as *const u64).read_volatile() };
        w.entries[w.depth] = e;
        w.depth += 1;
        if e & PRESENT == 0 || e & LARGE != 0 {
            break;
        }
        table = e & ADDR;
    }
    w
}

impl PageTableWalk {
    /// The last entry, if it maps a page.
    fn leaf(&self) -> Option<u64> {
        let e = self.entries[self.depth - 1];
        (e & PRESENT != 0 && (self.depth == 4 || e & LARGE != 0)).then_some(e)
    }
}

impl fmt::Display for PageTableWalk {
    /// `PGD x P4D x PUD x PMD x PTE x`: with four levels, the P4D is the PGD's
    /// entry seen once more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PGD {:x} ", self.entries[0])?;
        if self.entries[0] & PRESENT == 0 {
            return Ok(());
        }
        write!(f, "P4D {:x} ", self.entries[0])?;
        for (name, e) in ["PUD", "PMD"].iter().zip(&self.entries[1..self.depth.min(3)]) {
            write!(f, "{name} {e:x} ")?;
        }
        if self.depth == 4 { write!(f, "PTE {:x}", self.entries[3]) } else { Ok(()) }
    }
}

/// Prints the page-table entries for `address`.
fn dump_pagetable(address: u64) {
    if cfg!(target_os = "none") {
        pr_info!("{}\n", walk(address));
    }
}

/// What kind of access the error code tells.
fn access_kind(error_code: u64) -> &'static str {
    if error_code & pf::INSTR != 0 {
        "instruction fetch"
    } else if error_code & pf::WRITE != 0 {
        "write access"
    } else {
        "read access"
    }
}

/// Why the page tables refused it.
fn refusal(error_code: u64) -> &'static str {
    if error_code & pf::PROT == 0 {
        "not-present page"
    } else if error_code & pf::RSVD != 0 {
        "reserved bit violation"
    } else if error_code & pf::PK != 0 {
        "protection keys violation"
    } else {
        "permissions violation"
    }
}

/// Code that must not run: says which protection stopped it.
fn show_exec_attempt(address: u64) {
    let w = walk(address);
    let Some(leaf) = w.leaf() else { return };
    let uid = if this_cpu().has_current() { current().cred.lock().uid } else { 0 };
    if leaf & NX != 0 {
        pr_crit!("kernel tried to execute NX-protected page - exploit attempt? (uid: {uid})\n");
    } else if w.entries[0] & USER != 0 {
        pr_crit!("unable to execute userspace code (SMEP?) (uid: {uid})\n");
    }
}

/// Prints what is special about an oops from a page fault.
fn show_fault_oops(regs: &PtRegs, error_code: u64, address: u64) {
    let user_mode = regs.user_mode();
    if error_code & pf::INSTR != 0 && cfg!(target_os = "none") {
        show_exec_attempt(address);
    }
    if address < PAGE_SIZE as u64 && !user_mode {
        pr_alert!("BUG: kernel NULL pointer dereference, address: {address:016x}\n");
    } else {
        pr_alert!("BUG: unable to handle page fault for address: {address:016x}\n");
    }
    let privilege = if error_code & pf::USER != 0 { "user" } else { "supervisor" };
    let mode = if user_mode { "user" } else { "kernel" };
    pr_alert!("#PF: {privilege} {} in {mode} mode\n", access_kind(error_code));
    pr_alert!("#PF: error_code({error_code:#06x}) - {}\n", refusal(error_code));
    if error_code & pf::USER == 0 && user_mode {
        descriptors::show();
    }
    dump_pagetable(address);
}

/// The kernel has made a mistake (or, see [`Fault`](super::fault::Fault), QEMU has made
/// user mode look so): report it, and end the task with `SIGKILL`.
pub fn page_fault_oops(regs: &PtRegs, error_code: u64, address: u64) {
    // A stack may end in the middle of a function that has room for the fault itself. Only there:
    // the boot's stack lies in the image.
    if !regs.user_mode() && (VMALLOC_START..CPU_ENTRY_AREA_BASE).contains(&(address as usize)) {
        check_stack_overflow(regs, address);
    }
    let v = Vector::PageFault;
    if notify_die(DieVal::PageFault, v.name(), regs, error_code, v.nr(), SIGKILL) == NotifyResult::Stop {
        return;
    }
    let flags = oops_begin();
    show_fault_oops(regs, error_code, address);
    let dealt_with = __die("Oops", regs, error_code);
    // In case the body has scrolled away.
    crate::printk!(crate::kernel::printk::KERN_DEFAULT, "CR2: {address:016x}\n");
    oops_end(flags, if dealt_with { 0 } else { SIGKILL });
}

/// A reserved bit is set in a page table: memory is corrupt.
pub fn pgtable_bad(regs: &PtRegs, error_code: u64, address: u64) {
    let flags = oops_begin();
    let comm = current().comm();
    pr_alert!("{}: Corrupted page table at address {address:x}\n", comm.escape_ascii());
    dump_pagetable(address);
    set_signal_archinfo(address, error_code);
    let dealt_with = __die("Bad pagetable", regs, error_code);
    oops_end(flags, if dealt_with { 0 } else { SIGKILL });
}

/// The descriptor tables, which a fault with supervisor privilege from user mode
/// may be about.
mod descriptors {
    #[cfg(target_os = "none")]
    pub fn show() {
        use x86_64::instructions::tables::{sgdt, sidt};
        let (idt, gdt) = (sidt(), sgdt());
        pr_alert!(
            "IDT: {:#x} (limit={:#x}) GDT: {:#x} (limit={:#x})\n",
            idt.base.as_u64(),
            { idt.limit },
            gdt.base.as_u64(),
            { gdt.limit }
        );
        let (ldtr, tr): (u16, u16);
        // SAFETY: these only read the selectors.
        unsafe {
            core::arch::asm!("sldt {:x}", out(reg) ldtr, options(nomem, nostack, preserves_flags));
            core::arch::asm!("str {:x}", out(reg) tr, options(nomem, nostack, preserves_flags));
        }
        for (name, index) in [("LDTR", ldtr), ("TR", tr)] {
            if index == 0 {
                pr_alert!("{name}: NULL\n");
            } else if usize::from(index) + 15 > usize::from(gdt.limit) {
                pr_alert!("{name}: {index:#x} -- out of bounds\n");
            } else {
                // SAFETY: both words of the descriptor lie within the GDT's limit.
                let (lo, hi) = unsafe {
                    let at = (gdt.base.as_u64() + u64::from(index & !7)) as *const u64;
                    (at.read_unaligned(), at.add(1).read_unaligned())
                };
                let base = lo >> 16 & 0xff_ffff | lo >> 32 & 0xff00_0000 | hi << 32;
                let limit = lo & 0xffff | lo >> 32 & 0xf_0000;
                pr_alert!("{name}: {index:#x} -- base={base:#x} limit={limit:#x}\n");
            }
        }
    }
    #[cfg(not(target_os = "none"))]
    pub fn show() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_error_codes() {
        assert_eq!((access_kind(0), refusal(0)), ("read access", "not-present page"));
        assert_eq!((access_kind(3), refusal(3)), ("write access", "permissions violation"));
        assert_eq!((access_kind(0x11), refusal(9)), ("instruction fetch", "reserved bit violation"));
        assert_eq!(refusal(0x21), "protection keys violation");
    }

    #[test]
    fn page_table_line_stops_where_the_walk_does() {
        let w = PageTableWalk { entries: [0x1ff5_7067, 0x1ff5_8067, 0, 0], depth: 3 };
        assert_eq!(w.to_string(), "PGD 1ff57067 P4D 1ff57067 PUD 1ff58067 PMD 0 ");
        let w = PageTableWalk { entries: [0; 4], depth: 1 };
        assert_eq!(w.to_string(), "PGD 0 ");
        let w = PageTableWalk { entries: [0x67, 0x167, 0x267, 0x8000_0000_029d_c867], depth: 4 };
        assert_eq!(w.to_string(), "PGD 67 P4D 67 PUD 167 PMD 267 PTE 80000000029dc867");
    }
}
