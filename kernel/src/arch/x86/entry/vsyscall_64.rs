// SPDX-License-Identifier: GPL-2.0-only
//! The legacy vsyscall page at `0xffffffffff600000`, three calls that old programs make
//! by jumping there. After Linux 6.1, `arch/x86/entry/vsyscall/vsyscall_64.c`.
//!
//! Nobody executes the page: the jump faults, and the call is made by the fault's handler
//! (`vsyscall=xonly`, or `emulate`, where the page can also be read), or not at all
//! (`vsyscall=none`, the default, as in Debian). The log tells of what was refused.

use crate::arch::x86::lib::usercopy::{access_ok, get_user};
use crate::arch::x86::mm::fault::{X86_TRAP_PF, pf};
use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{EFAULT, ENOSYS, to_ret};
use crate::kernel::printk::{ratelimit, show_unhandled_signals};
use crate::kernel::seccomp::secure_computing;
use crate::kernel::signal::force::force_exit_sig;
use crate::kernel::signal::sigset::{SIGSEGV, SIGSYS};
use crate::kernel::signal::{force_sig, force_sig_fault};
use crate::kernel::task::{current, tif};
use crate::lib::ratelimit::Ratelimit;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use crate::mm::vma::VmFlags;
use core::sync::atomic::{AtomicU8, Ordering};
use linux_raw_sys::general::{__NR_getcpu, __NR_gettimeofday, __NR_time, SEGV_MAPERR};

/// Where the page would be (`VSYSCALL_ADDR`).
pub const VSYSCALL_ADDR: u64 = 0xffff_ffff_ff60_0000;

/// Whether `address` lies in the page.
#[inline]
pub fn is_vsyscall_vaddr(address: u64) -> bool {
    address & !0xfff == VSYSCALL_ADDR
}

static WARN_RATELIMIT: Ratelimit = Ratelimit::new(5_000, 10);

/// `vsyscall=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    None,
    Xonly,
    Emulate,
}

static MODE: AtomicU8 = AtomicU8::new(Mode::None as u8);

fn mode() -> Mode {
    match MODE.load(Ordering::Relaxed) {
        1 => Mode::Xonly,
        2 => Mode::Emulate,
        _ => Mode::None,
    }
}

/// Handles `vsyscall=`; false if it is something else.
pub fn setup(name: &str, value: Option<&str>) -> bool {
    if name != "vsyscall" {
        return false;
    }
    let mode = match value {
        Some("emulate") => Mode::Emulate,
        Some("xonly") => Mode::Xonly,
        _ => Mode::None,
    };
    MODE.store(mode as u8, Ordering::Relaxed);
    true
}

/// What the page reads as: `mov eax, NR; syscall; ret`, at each of the three entries.
static IMAGE: [(usize, [u8; 10]); 3] = [
    (0, [0x48, 0xc7, 0xc0, 0x60, 0, 0, 0, 0x0f, 0x05, 0xc3]),
    (0x400, [0x48, 0xc7, 0xc0, 0xc9, 0, 0, 0, 0x0f, 0x05, 0xc3]),
    (0x800, [0x48, 0xc7, 0xc0, 0x35, 1, 0, 0, 0x0f, 0x05, 0xc3]),
];

/// With `vsyscall=emulate` programs can read the page; at boot, before the first address
/// space is made (`map_vsyscall`).
#[cfg(target_os = "none")]
pub fn map_vsyscall() {
    if mode() != Mode::Emulate {
        return;
    }
    let Ok(page) = Page::alloc_zeroed() else { return };
    for b in 0..PAGE_SIZE {
        page.write(b, &[0xcc]);
    }
    for (at, code) in &IMAGE {
        page.write(*at, code);
    }
    crate::arch::x86::mm::init::map_user_readable(VSYSCALL_ADDR as usize, page.into_raw());
}

/// What the page allows, as if it were a mapping; `None` if there is none (`get_gate_vma`).
pub fn gate_vma_flags() -> Option<VmFlags> {
    match mode() {
        Mode::None => None,
        Mode::Xonly => Some(VmFlags::EXEC),
        Mode::Emulate => Some(VmFlags::READ | VmFlags::EXEC),
    }
}

/// The line of `/proc/PID/maps`.
pub fn gate_vma() -> Option<&'static str> {
    gate_vma_flags().map(|f| {
        if f.contains(VmFlags::READ) {
            "ffffffffff600000-ffffffffff601000 r-xp 00000000 00:00 0                  [vsyscall]\n"
        } else {
            "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
        }
    })
}

/// The page's content, if it can be read (`get_gate_page`).
#[cfg(target_os = "none")]
pub fn copy_gate_page(to: &Page) -> bool {
    let page = crate::arch::x86::mm::init::lookup_kernel_address(VSYSCALL_ADDR as usize);
    let Some((phys, _)) = page.filter(|_| mode() == Mode::Emulate) else { return false };
    // SAFETY: the page that `map_vsyscall` made, in the direct map.
    let from =
        unsafe { core::slice::from_raw_parts(crate::arch::x86::mm::init::phys_to_virt(phys), PAGE_SIZE) };
    to.write(0, from);
    true
}

/// On the host it is not there.
#[cfg(not(target_os = "none"))]
pub fn copy_gate_page(_to: &Page) -> bool {
    false
}

/// The page's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vsyscall {
    Gettimeofday,
    Time,
    Getcpu,
}

impl Vsyscall {
    /// The one at this offset in the page (`addr_to_vsyscall_nr`).
    fn at(offset: u64) -> Option<Self> {
        match offset {
            0 => Some(Self::Gettimeofday),
            0x400 => Some(Self::Time),
            0x800 => Some(Self::Getcpu),
            _ => None,
        }
    }
    /// The system call that it is.
    fn syscall_nr(self) -> u32 {
        match self {
            Self::Gettimeofday => __NR_gettimeofday,
            Self::Time => __NR_time,
            Self::Getcpu => __NR_getcpu,
        }
    }
}

/// What is to be done about a fault in the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// It is a page fault like others; with a line in the log or not.
    Fault(Option<&'static str>),
    /// It is refused: a SIGSEGV, with a line in the log.
    Segv(&'static str),
    /// It is call 0, 1 or 2.
    Call(Vsyscall),
}

fn plan(mode: Mode, error_code: u64, address: u64) -> Plan {
    if error_code & (pf::WRITE | pf::USER) != pf::USER {
        return Plan::Fault(None);
    }
    if error_code & pf::INSTR == 0 {
        let denied =
            "vsyscall read attempt denied -- look up the vsyscall kernel parameter if you need a workaround";
        return Plan::Fault((mode != Mode::Emulate).then_some(denied));
    }
    if mode == Mode::None {
        return Plan::Fault(Some("vsyscall attempted with vsyscall=none"));
    }
    match Vsyscall::at(address & 0xfff) {
        Some(call) => Plan::Call(call),
        None => Plan::Segv(
            "misaligned vsyscall (exploit attempt or buggy program) -- look up the vsyscall kernel parameter if you need a workaround",
        ),
    }
}

/// `COMM[TID] MESSAGE ip:… cs:… …` (`warn_bad_vsyscall`).
fn warn_bad_vsyscall(level: u8, regs: &PtRegs, message: &str) {
    if !show_unhandled_signals().load(Ordering::Relaxed) || !ratelimit(&WARN_RATELIMIT, "warn_bad_vsyscall") {
        return;
    }
    let cur = current();
    let comm = cur.comm();
    crate::printk!(
        level,
        "{}[{}] {message} ip:{:x} cs:{:x} sp:{:x} ax:{:x} si:{:x} di:{:x}\n",
        alloc::string::String::from_utf8_lossy(&comm),
        cur.pid(),
        regs.ip.get(),
        regs.cs.get(),
        regs.sp.get(),
        regs.ax.get(),
        regs.si.get(),
        regs.di.get()
    );
}

/// Whether a call would write to user space. If not, there is a page fault to see, which the
/// call's own code would have had (`write_ok_or_segv`).
fn results_in_user_space(which: Vsyscall, di: usize, si: usize) -> bool {
    const TIMEVAL: usize = 16;
    const TIMEZONE: usize = 8;
    const TIME_T: usize = 8;
    const UNSIGNED: usize = 4;
    let results = match which {
        Vsyscall::Gettimeofday => [(di, TIMEVAL), (si, TIMEZONE)],
        Vsyscall::Time => [(di, TIME_T), (0, 0)],
        Vsyscall::Getcpu => [(di, UNSIGNED), (si, UNSIGNED)],
    };
    let Some((ptr, _)) = results.into_iter().find(|&(ptr, size)| !access_ok(ptr, size)) else { return true };
    let cur = current();
    let thread = cur.thread();
    thread.error_code.set(pf::USER | pf::WRITE);
    thread.cr2.set(ptr as u64);
    thread.trap_nr.set(u64::from(X86_TRAP_PF));
    force_sig_fault(SIGSEGV, SEGV_MAPERR as i32, ptr as u64);
    false
}

/// Whether the task's filters let it make a call from this page.
enum Verdict {
    Allowed,
    /// They have put its result into the registers, or sent a signal.
    Skipped,
    /// They, or a tracer, have made another call of it: the process ends.
    Changed,
}

/// Asks the filters as before any call, at the page's address (`secure_computing`).
fn ask_filters(which: Vsyscall, regs: &PtRegs) -> Verdict {
    let (nr, ip) = (u64::from(which.syscall_nr()), regs.ip.get());
    regs.orig_ax.set(nr);
    regs.ax.set(ENOSYS.as_ret() as u64);
    let allowed = !current().test_flag(tif::SECCOMP) || secure_computing(regs);
    if allowed && regs.orig_ax.get() != nr || regs.ip.get() != ip {
        return Verdict::Changed;
    }
    regs.orig_ax.set(u64::MAX);
    if allowed { Verdict::Allowed } else { Verdict::Skipped }
}

/// As `ret` would.
fn return_to(caller: u64, regs: &PtRegs) {
    regs.ip.set(caller);
    regs.sp.update(|v| v + 8);
}

/// Makes a call, and returns from it. False for a SIGSEGV.
fn call(which: Vsyscall, regs: &PtRegs) -> bool {
    let Ok(caller) = get_user::<u64>(regs.sp.get() as usize) else {
        warn_bad_vsyscall(4, regs, "vsyscall with bad stack (exploit attempt?)");
        return false;
    };
    let (di, si) = (regs.di.get() as usize, regs.si.get() as usize);
    let r = if results_in_user_space(which, di, si) {
        match ask_filters(which, regs) {
            Verdict::Allowed => {}
            Verdict::Skipped => {
                return_to(caller, regs);
                return true;
            }
            Verdict::Changed => {
                warn_bad_vsyscall(7, regs, "seccomp tried to change syscall nr or ip");
                force_exit_sig(SIGSYS);
                return true;
            }
        }
        match which {
            Vsyscall::Gettimeofday => crate::kernel::time::clock::sys_gettimeofday(di, si),
            Vsyscall::Time => crate::kernel::time::clock::sys_time(di),
            Vsyscall::Getcpu => crate::kernel::sched::syscalls::sys_getcpu(di, si, 0),
        }
    } else {
        Err(EFAULT)
    };
    if r == Err(EFAULT) {
        warn_bad_vsyscall(6, regs, "vsyscall fault (exploit attempt?)");
        return false;
    }
    regs.ax.set(to_ret(r) as u64);
    return_to(caller, regs);
    true
}

/// A fault of user mode's in the page. Returns whether that was all there is to it.
#[cold]
pub fn emulate_vsyscall(error_code: u64, regs: &PtRegs, address: u64) -> bool {
    match plan(mode(), error_code, address) {
        Plan::Fault(None) => return false,
        Plan::Fault(Some(message)) => {
            warn_bad_vsyscall(6, regs, message);
            return false;
        }
        Plan::Call(which) if call(which, regs) => return true,
        Plan::Call(_) => {}
        Plan::Segv(message) => warn_bad_vsyscall(4, regs, message),
    }
    force_sig(SIGSEGV);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_faults_in_the_page() {
        let at = |offset| VSYSCALL_ADDR + offset;
        assert!(is_vsyscall_vaddr(at(0xfff)) && !is_vsyscall_vaddr(at(0x1000)));
        let (jump, read, write) = (pf::USER | pf::INSTR, pf::USER, pf::USER | pf::WRITE);
        assert_eq!(plan(Mode::None, jump, at(0)), Plan::Fault(Some("vsyscall attempted with vsyscall=none")));
        assert!(
            matches!(plan(Mode::Xonly, read, at(0)), Plan::Fault(Some(m)) if m.starts_with("vsyscall read"))
        );
        assert_eq!(plan(Mode::Emulate, read, at(0)), Plan::Fault(None));
        assert_eq!(plan(Mode::Xonly, write, at(0)), Plan::Fault(None));
        let calls = [(0, Vsyscall::Gettimeofday), (0x400, Vsyscall::Time), (0x800, Vsyscall::Getcpu)];
        for (offset, which) in calls {
            assert_eq!(plan(Mode::Xonly, jump, at(offset)), Plan::Call(which));
        }
        for offset in [1, 0x10, 0x401, 0xc00] {
            assert!(matches!(plan(Mode::Emulate, jump, at(offset)), Plan::Segv(_)));
        }
    }
}
