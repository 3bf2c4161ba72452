// SPDX-License-Identifier: GPL-2.0-only
//! The legacy vsyscall page at `0xffffffffff600000`: absent (`vsyscall=none`), so
//! that a call to it faults, and the log says why. After Linux 6.1,
//! `arch/x86/entry/vsyscall/vsyscall_64.c`.

use crate::arch::x86::mm::fault::pf;
use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::printk::{ratelimit, show_unhandled_signals};
use crate::kernel::task::current;
use crate::lib::ratelimit::Ratelimit;
use core::sync::atomic::Ordering;

/// Where the page would be (`VSYSCALL_ADDR`).
pub const VSYSCALL_ADDR: u64 = 0xffff_ffff_ff60_0000;

/// Whether `address` lies in the page.
#[inline]
pub fn is_vsyscall_vaddr(address: u64) -> bool {
    address & !0xfff == VSYSCALL_ADDR
}

static WARN_RATELIMIT: Ratelimit = Ratelimit::new(5_000, 10);

/// What there is to say about a fault in the page, if anything.
fn complaint(error_code: u64, at_ip: bool) -> Option<&'static str> {
    if error_code & (pf::WRITE | pf::USER) != pf::USER {
        return None;
    }
    Some(if at_ip {
        "vsyscall attempted with vsyscall=none"
    } else {
        "vsyscall read attempt denied -- look up the vsyscall kernel parameter if you need a workaround"
    })
}

/// A fault in the page: never emulated; logged.
#[cold]
pub fn emulate_vsyscall(error_code: u64, regs: &PtRegs, address: u64) {
    let Some(message) = complaint(error_code, address == regs.ip) else { return };
    if !show_unhandled_signals().load(Ordering::Relaxed) || !ratelimit(&WARN_RATELIMIT, "warn_bad_vsyscall") {
        return;
    }
    let cur = current();
    let comm = cur.comm();
    crate::pr_info!(
        "{}[{}] {message} ip:{:x} cs:{:x} sp:{:x} ax:{:x} si:{:x} di:{:x}\n",
        alloc::string::String::from_utf8_lossy(&comm),
        cur.pid,
        regs.ip,
        regs.cs,
        regs.sp,
        regs.ax,
        regs.si,
        regs.di
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_user_reads_and_calls_are_worth_a_line() {
        assert!(is_vsyscall_vaddr(VSYSCALL_ADDR + 0xfff) && !is_vsyscall_vaddr(VSYSCALL_ADDR + 0x1000));
        assert_eq!(complaint(0x14, true), Some("vsyscall attempted with vsyscall=none"));
        assert!(complaint(4, false).is_some_and(|m| m.starts_with("vsyscall read attempt denied")));
        assert_eq!(complaint(6, false), None);
        assert_eq!(complaint(0, true), None);
    }
}
