// SPDX-License-Identifier: GPL-2.0-only
//! Records of delivered signals for the world outside the machine.
//!
//! With `trapline.records=debugcon` each delivered signal is one line of JSON on I/O port
//! 0xE9, which QEMU's `-debugcon file:F` keeps. Without it a delivery costs one test of a
//! static bool.

use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::printk::format::LineBuf;
use crate::kernel::signal::KernelSiginfo;
use crate::kernel::task::Current;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Handles `trapline.records=`; false if it is something else.
pub fn setup(name: &str, value: Option<&str>) -> bool {
    if name != "trapline.records" {
        return false;
    }
    ENABLED.store(value == Some("debugcon"), Ordering::Relaxed);
    true
}

/// What becomes of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SignalAction {
    Handler,
    Kill,
    Core,
    Stop,
    Ignore,
}

impl SignalAction {
    fn name(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Kill => "kill",
            Self::Core => "core",
            Self::Stop => "stop",
            Self::Ignore => "ignore",
        }
    }
}

/// A command name inside a JSON string.
struct JsonStr<'a>(&'a [u8]);

impl fmt::Display for JsonStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &b in self.0 {
            match b {
                b'"' | b'\\' => write!(f, "\\{}", char::from(b))?,
                b' '..=0x7e => write!(f, "{}", char::from(b))?,
                // Bytes that are not ASCII stand for the character of that number.
                0..=0x1f | 0x7f.. => write!(f, "\\u{b:04x}")?,
            }
        }
        Ok(())
    }
}

/// One delivered signal.
struct Record<'a> {
    pid: i32,
    tid: i32,
    comm: &'a [u8],
    info: &'a KernelSiginfo,
    /// `trapno`, error code and CR2, as a signal frame would show them.
    last_trap: [u64; 3],
    regs: &'a PtRegs,
    action: SignalAction,
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (i, [trapno, err, cr2], r) = (self.info, self.last_trap, self.regs);
        write!(f, r#"{{"pid":{},"tid":{},"comm":"{}","#, self.pid, self.tid, JsonStr(self.comm))?;
        write!(f, r#""sig":{},"errno":{},"code":{},"#, i.si_signo, i.si_errno, i.si_code)?;
        write!(f, r#""addr":"{:#x}","trapno":{trapno},"err":"{err:#x}","cr2":"{cr2:#x}","#, i.fields[0])?;
        write!(f, r#""ip":"{:#x}","sp":"{:#x}","flags":"{:#x}","#, r.ip.get(), r.sp.get(), r.flags.get())?;
        writeln!(f, r#""action":"{}"}}"#, self.action.name())
    }
}

/// Records that the current thread, whose user registers are `regs`, is given a signal.
#[inline]
pub fn signal_deliver(t: &Current, info: &KernelSiginfo, regs: &PtRegs, action: SignalAction) {
    if ENABLED.load(Ordering::Relaxed) {
        emit(*t, info, regs, action);
    }
}

#[cold]
fn emit(t: Current, info: &KernelSiginfo, regs: &PtRegs, action: SignalAction) {
    let comm = t.comm();
    let thread = t.thread();
    let last_trap = [thread.trap_nr.get(), thread.error_code.get(), thread.cr2.get()];
    let mut line = LineBuf::<512>::new();
    let _ =
        write!(line, "{}", Record { pid: t.tgid, tid: t.pid(), comm: &comm, info, last_trap, regs, action });
    #[cfg(target_os = "none")]
    // SAFETY: QEMU's debug console, or nobody, listens at this port.
    unsafe {
        core::arch::asm!("rep outsb", in("dx") 0xe9u16, inout("rcx") line.as_bytes().len() => _,
            inout("rsi") line.as_bytes().as_ptr() => _, options(nostack, preserves_flags, readonly));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_line_of_json() {
        let info = KernelSiginfo::fault(8, 1, 0x401000);
        let regs =
            PtRegs { ip: 0x401000.into(), sp: 0x7fff0.into(), flags: 0x202.into(), ..PtRegs::default() };
        let r = Record {
            pid: 12,
            tid: 13,
            comm: b"a\"b\n",
            info: &info,
            last_trap: [0, 0, 0],
            regs: &regs,
            action: SignalAction::Handler,
        };
        let want = concat!(
            r#"{"pid":12,"tid":13,"comm":"a\"b\u000a","sig":8,"errno":0,"code":1,"addr":"0x401000","#,
            r#""trapno":0,"err":"0x0","cr2":"0x0","ip":"0x401000","sp":"0x7fff0","flags":"0x202","#,
            r#""action":"handler"}"#,
            "\n"
        );
        assert_eq!(r.to_string(), want);
    }
}
