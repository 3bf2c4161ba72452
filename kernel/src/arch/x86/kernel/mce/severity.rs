// SPDX-License-Identifier: GPL-2.0-only
//! How bad is it? What a bank says of an error decides, with what the CPU says of the
//! interrupted context (Linux 6.1, `arch/x86/kernel/cpu/mce/severity.c`).

/// Bits of a bank's status (`MCI_STATUS_*`).
pub mod status {
    /// The bank says something.
    pub const VAL: u64 = 1 << 63;
    /// It said something before that was not read.
    pub const OVER: u64 = 1 << 62;
    /// Not corrected by the hardware.
    pub const UC: u64 = 1 << 61;
    /// Was to be reported.
    pub const EN: u64 = 1 << 60;
    /// The MISC register says more.
    pub const MISCV: u64 = 1 << 59;
    /// The ADDR register says where.
    pub const ADDRV: u64 = 1 << 58;
    /// The processor's state is damaged.
    pub const PCC: u64 = 1 << 57;
    /// Signaled by an exception.
    pub const S: u64 = 1 << 56;
    /// Something has to be done before the program goes on.
    pub const AR: u64 = 1 << 55;
    /// What kind of error.
    pub const MCACOD: u64 = 0xffff;
    /// A load of data.
    pub const MCACOD_DATA: u64 = 0x134;
    /// An instruction fetch.
    pub const MCACOD_INSTR: u64 = 0x150;
}

/// Bits of the global status (`MCG_STATUS_*`).
pub mod mcg {
    /// The interrupted program can be continued.
    pub const RIPV: u64 = 1 << 0;
    /// The error is that of the instruction at RIP.
    pub const EIPV: u64 = 1 << 1;
    /// A machine check is being dealt with.
    pub const MCIP: u64 = 1 << 2;
}

/// From nothing to the worst (`enum severity_level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing, or nothing that was to be reported.
    No,
    /// Left in the bank for others to find.
    Keep,
    /// Something, which needs nothing done.
    Some,
    /// Not corrected; the interrupted program may not know.
    Uncorrected,
    /// The interrupted program cannot go on.
    ActionRequired,
    /// Nothing can go on.
    Panic,
}

/// What is known of an error.
#[derive(Clone, Copy, Debug)]
pub struct Error {
    /// The bank's status.
    pub status: u64,
    /// The global status.
    pub mcgstatus: u64,
    /// User mode was interrupted.
    pub user: bool,
    /// The CPU tells errors that need an action from others (`MCG_SER_P`).
    pub ser: bool,
}

/// The severity, and why.
pub fn mce_severity(e: &Error) -> (Severity, &'static str) {
    use Severity::{Keep, No, Panic};
    let has = |bits| e.status & bits == bits;
    let can_restart = e.mcgstatus & mcg::RIPV != 0;
    if !has(status::VAL) {
        (No, "Invalid")
    } else if !has(status::EN) {
        (No, "Not enabled")
    } else if has(status::PCC) {
        (Panic, "Processor context corrupt")
    } else if e.mcgstatus & mcg::MCIP == 0 {
        (Panic, "MCIP not set in MCA handler")
    } else if !can_restart && e.mcgstatus & mcg::EIPV == 0 {
        (Panic, "Neither restart nor error IP")
    } else if !e.user && !can_restart {
        (Panic, "In kernel and no restart IP")
    } else if e.ser {
        with_recovery(e)
    } else if !has(status::UC) {
        (Keep, "Corrected error")
    } else {
        without_hints(e)
    }
}

/// On a CPU that says whether something must be done.
fn with_recovery(e: &Error) -> (Severity, &'static str) {
    use Severity::{Keep, Panic, Some};
    let has = |bits| e.status & bits == bits;
    match (has(status::UC), has(status::S), has(status::AR)) {
        (true, false, false) => (Keep, "Uncorrected no action required"),
        (true, false, true) if !has(status::OVER) => (Panic, "Illegal combination (UCNA with AR=1)"),
        (_, false, _) => (Keep, "Non signaled machine check"),
        (true, true, true) if has(status::OVER) => (Panic, "Action required with lost events"),
        (true, true, true) => action_required(e),
        (true, true, false) if has(status::OVER) => (Some, "Action optional with lost events"),
        (true, true, false) => (Some, "Action optional: unknown MCACOD"),
        (false, true, _) => (Some, "No match"),
    }
}

/// Whose action?
fn action_required(e: &Error) -> (Severity, &'static str) {
    use Severity::{ActionRequired, Keep, Panic};
    let located = e.status & (status::ADDRV | status::MISCV) == status::ADDRV | status::MISCV;
    let elsewhere = e.mcgstatus & (mcg::RIPV | mcg::EIPV) == mcg::RIPV;
    match (e.status & status::MCACOD, e.user) {
        _ if !located => (Panic, "Action required: unknown MCACOD"),
        _ if elsewhere => (Keep, "Action required but unaffected thread is continuable"),
        (status::MCACOD_DATA, true) => (ActionRequired, "Action required: data load error in a user process"),
        (status::MCACOD_INSTR, true) => {
            (ActionRequired, "Action required: instruction fetch error in a user process")
        }
        (status::MCACOD_DATA, false) => (Panic, "Data load in unrecoverable area of kernel"),
        (status::MCACOD_INSTR, false) => (Panic, "Instruction fetch error in kernel"),
        _ => (Panic, "Action required: unknown MCACOD"),
    }
}

/// On a CPU that does not.
fn without_hints(e: &Error) -> (Severity, &'static str) {
    if e.status & status::OVER != 0 {
        (Severity::Panic, "Overflowed uncorrected")
    } else {
        (Severity::Uncorrected, "Uncorrected")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNALED: u64 = status::VAL | status::UC | status::EN | status::S | status::AR;
    const LOCATED: u64 = status::ADDRV | status::MISCV;

    fn grade(status: u64, mcgstatus: u64, user: bool, ser: bool) -> Severity {
        mce_severity(&Error { status, mcgstatus, user, ser }).0
    }

    #[test]
    fn who_can_go_on() {
        let at_rip = mcg::MCIP | mcg::RIPV | mcg::EIPV;
        let data = SIGNALED | LOCATED | status::MCACOD_DATA;
        assert_eq!(grade(data, at_rip, true, true), Severity::ActionRequired);
        assert_eq!(grade(data, at_rip, false, true), Severity::Panic);
        assert_eq!(grade(data, mcg::MCIP | mcg::RIPV, true, true), Severity::Keep);
        assert_eq!(grade(data | status::OVER, at_rip, true, true), Severity::Panic);
        assert_eq!(grade(data & !status::ADDRV, at_rip, true, true), Severity::Panic);
        assert_eq!(grade(data | status::PCC, at_rip, true, true), Severity::Panic);
        assert_eq!(grade(data, at_rip & !mcg::MCIP, true, true), Severity::Panic);
        assert_eq!(grade(data, mcg::MCIP, true, true), Severity::Panic);
        assert_eq!(grade(data, mcg::MCIP | mcg::EIPV, true, true), Severity::ActionRequired);
        assert_eq!(grade(data, mcg::MCIP | mcg::EIPV, false, true), Severity::Panic);
        assert_eq!(grade(data, at_rip, true, false), Severity::Uncorrected);
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(grade(0, 0, false, true), Severity::No);
        assert_eq!(grade(!status::VAL, 0, false, true), Severity::No);
        assert_eq!(grade(!status::EN, 0, false, false), Severity::No);
        let mc = mcg::MCIP | mcg::RIPV;
        assert_eq!(grade(status::VAL | status::EN, mc, false, false), Severity::Keep);
        assert_eq!(grade(status::VAL | status::EN | status::UC, mc, false, true), Severity::Keep);
    }

    /// Nobody goes on with a damaged processor, and the kernel never without a place to go on at.
    #[test]
    fn some_things_are_always_fatal() {
        for bits in 0..512u64 {
            let status = bits << 55 | status::MCACOD_DATA;
            for mcgstatus in 0..8 {
                for (user, ser) in [(false, false), (false, true), (true, false), (true, true)] {
                    let s = grade(status, mcgstatus, user, ser);
                    let said = status & status::VAL != 0 && status & status::EN != 0;
                    assert_eq!(s == Severity::No, !said);
                    let lost = status & status::PCC != 0 || !user && mcgstatus & mcg::RIPV == 0;
                    assert!(!said || !lost || s == Severity::Panic, "{status:#x} {mcgstatus}");
                }
            }
        }
    }
}
