// SPDX-License-Identifier: GPL-2.0-only
//! The kernel gives up, or nearly: `panic` and oopses (Linux 6.1, `kernel/panic.c`,
//! `arch/x86/kernel/dumpstack.c` for `oops_begin`).

use crate::arch::x86::kernel::dumpstack::{dump_stack_lvl, show_exec_summary};
use crate::arch::x86::percpu::{BOOT_CPU, this_cpu};
use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::printk::format::LineBuf;
use crate::kernel::printk::{KERN_DEFAULT, console, console_verbose, suppress_printk};
use crate::kernel::sys::{UTS_RELEASE, UTS_VERSION};
use crate::kernel::task::current;
use crate::lib::bug::CUT_HERE;
use crate::locking::{local_irq_disable, local_irq_restore, local_irq_save};
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Seconds until a reboot after a panic: 0 never, negative at once (`panic=`,
/// `/proc/sys/kernel/panic`).
pub static PANIC_TIMEOUT: AtomicI32 = AtomicI32::new(0);
/// Whether an oops is a panic (`oops=panic`, `/proc/sys/kernel/panic_on_oops`).
pub static PANIC_ON_OOPS: AtomicBool = AtomicBool::new(false);
/// Whether a warning is a panic (`panic_on_warn`).
pub static PANIC_ON_WARN: AtomicBool = AtomicBool::new(false);
/// How many tasks an oops has killed (`oops_count`).
pub static OOPS_COUNT: AtomicU32 = AtomicU32::new(0);
/// How many may be, before the kernel gives up; 0: any number (`kernel.oops_limit`).
pub static OOPS_LIMIT: AtomicU32 = AtomicU32::new(10_000);

/// An oops or a panic is being printed (`oops_in_progress`): consoles must not wait for
/// locks that the interrupted code may hold.
static OOPS_IN_PROGRESS: AtomicU32 = AtomicU32::new(0);
/// Panics begun: a panic inside a panic does less.
static PANICS: AtomicU32 = AtomicU32::new(0);

/// Whether consoles must do without their locks.
pub fn oops_in_progress() -> bool {
    OOPS_IN_PROGRESS.load(Ordering::Relaxed) != 0
}

/// What follows is shown at once, whoever owns the console and whatever the context is; or no longer
/// (`bust_spinlocks`).
pub fn bust_spinlocks(yes: bool) {
    if yes {
        OOPS_IN_PROGRESS.fetch_add(1, Ordering::Relaxed);
        console::bust_owner();
    } else {
        OOPS_IN_PROGRESS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gives a command-line parameter to whoever knows it: the log, panics, NMIs, context tracking,
/// signal records. Returns false if nobody does.
pub fn setup_param(name: &str, value: Option<&str>) -> bool {
    use crate::kernel::{context_tracking, printk, trace};
    printk::setup(name, value)
        || setup(name, value)
        || crate::arch::x86::kernel::nmi::setup(name, value)
        || crate::arch::x86::events::core::setup(name, value)
        || context_tracking::setup(name, value)
        || crate::arch::x86::entry::vsyscall_64::setup(name, value)
        || crate::arch::x86::entry::vdso::vma::setup(name, value)
        || crate::arch::x86::kernel::mce::setup(name, value)
        || crate::kernel::signal::fatal::setup(name, value)
        || trace::setup(name, value)
        || crate::kernel::sys_ni::setup(name, value)
        || crate::drivers::tty::sysrq::setup(name, value)
        || crate::kernel::watchdog::setup(name, value)
}

/// Handles one command-line parameter; false if it is not one of these.
fn setup(name: &str, value: Option<&str>) -> bool {
    match (name, value) {
        ("panic", Some(v)) => {
            if let Ok(n) = v.parse() {
                PANIC_TIMEOUT.store(n, Ordering::Relaxed);
            }
        }
        ("oops", Some("panic")) => PANIC_ON_OOPS.store(true, Ordering::Relaxed),
        ("panic_on_oops" | "panic_on_warn", v) => {
            let on = v != Some("0");
            let which = if name == "panic_on_oops" { &PANIC_ON_OOPS } else { &PANIC_ON_WARN };
            which.store(on, Ordering::Relaxed);
        }
        _ => return false,
    }
    true
}

/// Why the kernel is not what it was (`TAINT_*`): the bit's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Taint {
    /// Machine check.
    MachineCheck = 4,
    /// User mode asked for it.
    User = 6,
    /// It has died once: an oops.
    Die = 7,
    /// A warning.
    Warn = 9,
    /// A soft lockup.
    SoftLockup = 14,
}

static TAINTED: AtomicU64 = AtomicU64::new(0);

/// Letters in bit order; the first stands for "not proprietary" when its bit is clear.
const TAINT_LETTERS: &[u8; 19] = b"PFSRMBUDAWCIOELKXTN";

/// Records a taint (`add_taint`).
pub fn add_taint(t: Taint) {
    TAINTED.fetch_or(1 << t as u32, Ordering::Relaxed);
}

/// All taints, as `/proc/sys/kernel/tainted` shows them.
pub fn tainted_mask() -> u64 {
    TAINTED.load(Ordering::Relaxed)
}

/// `Not tainted`, or `Tainted: ` and a letter or a space for each taint (`print_tainted`).
struct Tainted(u64);

impl fmt::Display for Tainted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("Not tainted");
        }
        f.write_str("Tainted: ")?;
        for (i, &c) in TAINT_LETTERS.iter().enumerate() {
            let set = self.0 >> i & 1 != 0;
            let clear = if i == 0 { 'G' } else { ' ' };
            write!(f, "{}", if set { char::from(c) } else { clear })?;
        }
        Ok(())
    }
}

/// A command name in a log line.
pub struct Comm<'a>(pub &'a [u8]);

impl fmt::Display for Comm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.utf8_chunks() {
            f.write_str(part.valid())?;
            if !part.invalid().is_empty() {
                f.write_str("?")?;
            }
        }
        Ok(())
    }
}

/// The running task's id and name, even where its lock cannot be waited for.
pub fn current_id() -> (i32, arrayvec::ArrayVec<u8, 16>) {
    if !BOOT_CPU.has_current() {
        return (0, b"swapper"[..].iter().copied().collect());
    }
    let t = current();
    let comm = t.comm.try_lock().map_or([b'?', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], |c| *c);
    (t.pid(), comm.iter().copied().take_while(|&b| b != 0).collect())
}

/// The machine's description, if firmware gave one (`dump_stack_set_arch_desc`); else
/// there is no line.
static ARCH_DESC: AtomicPtr<String> = AtomicPtr::new(core::ptr::null_mut());

/// Sets what the `Hardware name:` line says.
pub fn dump_stack_set_arch_desc(desc: String) {
    ARCH_DESC.store(Box::leak(Box::new(desc)), Ordering::Release);
}

/// Prints who is running, on what (`dump_stack_print_info`).
pub fn show_regs_print_info(level: u8) {
    let cpu = if BOOT_CPU.has_current() { this_cpu().cpu_number.get() } else { 0 };
    let (pid, comm) = current_id();
    let (comm, taint) = (Comm(&comm), Tainted(tainted_mask()));
    // Of the version only the number: `#1`.
    let build = UTS_VERSION.split(' ').next().unwrap_or(UTS_VERSION);
    printk!(level, "CPU: {cpu} PID: {pid} Comm: {comm} {taint} {UTS_RELEASE} {build}\n");
    // SAFETY: null, or what was leaked above.
    if let Some(desc) = unsafe { ARCH_DESC.load(Ordering::Acquire).as_ref() } {
        printk!(level, "Hardware name: {desc}\n");
    }
}

/// There are no modules, but the line belongs to an oops.
pub fn print_modules() {
    printk!(KERN_DEFAULT, "Modules linked in:\n");
}

/// Busy-waits.
pub fn mdelay(ms: u64) {
    use crate::kernel::time::timekeeping::{rdtsc, tsc_khz};
    // Before calibration: as if it were 4 GHz.
    let khz = if tsc_khz() == 0 { 4_000_000 } else { tsc_khz() };
    let start = rdtsc();
    while rdtsc().wrapping_sub(start) < ms * khz {
        crate::kernel::watchdog_hld::touch_nmi_watchdog();
        core::hint::spin_loop();
    }
}

#[cfg(target_os = "none")]
use crate::arch::x86::kernel::reboot::{emergency_restart, machine_halt};
#[cfg(not(target_os = "none"))]
fn emergency_restart() -> ! {
    std::process::abort()
}
#[cfg(not(target_os = "none"))]
fn machine_halt() -> ! {
    std::process::abort()
}

/// The kernel cannot go on: says why, and reboots or halts as `panic=` tells.
#[cold]
#[inline(never)]
pub fn panic(args: fmt::Arguments<'_>) -> ! {
    local_irq_disable();
    PANIC_ON_WARN.store(false, Ordering::Relaxed);
    let nested = PANICS.fetch_add(1, Ordering::Relaxed);
    if nested > 2 {
        // Even saying so fails.
        finish_panic(format_args!("nested panic"), true);
    }
    console_verbose();
    OOPS_IN_PROGRESS.fetch_add(1, Ordering::Relaxed);
    let mut why = LineBuf::<512>::new();
    let _ = fmt::write(&mut why, args);
    let why = why.as_bytes().strip_suffix(b"\n").unwrap_or(why.as_bytes());
    let why = Comm(why);
    pr_emerg!("Kernel panic - not syncing: {why}\n");
    // An oops has printed its own trace already.
    let died = tainted_mask() >> Taint::Die as u32 & 1 != 0;
    if !died && nested == 0 && OOPS_IN_PROGRESS.load(Ordering::Relaxed) <= 1 {
        dump_stack_lvl(KERN_DEFAULT);
    }
    console::flush_on_panic();
    finish_panic(format_args!("{why}"), false)
}

/// Panics in an NMI. Returns if it has interrupted a panic, which goes on then (Linux 6.1,
/// `kernel/panic.c`, `nmi_panic`; there is no other CPU that could have begun one).
#[cold]
pub fn nmi_panic(args: fmt::Arguments<'_>) {
    if PANICS.load(Ordering::Relaxed) == 0 {
        panic(args);
    }
}

/// What comes after the message.
fn finish_panic(why: fmt::Arguments<'_>, quiet: bool) -> ! {
    let timeout = PANIC_TIMEOUT.load(Ordering::Relaxed);
    if !quiet {
        pr_emerg!("Kernel Offset: disabled\n");
        if timeout > 0 {
            pr_emerg!("Rebooting in {timeout} seconds..\n");
        }
        console::flush_on_panic();
    }
    if timeout != 0 {
        mdelay(u64::try_from(timeout).unwrap_or(0) * 1000);
        emergency_restart();
    }
    if !quiet {
        pr_emerg!("---[ end Kernel panic - not syncing: {why} ]---\n");
        console::flush_on_panic();
    }
    suppress_printk();
    machine_halt()
}

/// A Rust `panic!` inside the kernel: a bug, and memory that locks guard may be in any
/// state, so that nothing can go on.
pub fn rust_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    local_irq_disable();
    if PANICS.load(Ordering::Relaxed) == 0 {
        console_verbose();
        printk!(KERN_DEFAULT, "{CUT_HERE}\n");
        if let Some(l) = info.location() {
            pr_crit!("kernel BUG at {}:{}!\n", l.file(), l.line());
        }
    }
    panic(format_args!("{}", info.message()))
}

/// Ends an oops or a warning in the log.
pub fn print_oops_end_marker() {
    pr_warn!("---[ end trace 0000000000000000 ]---\n");
}

/// How deep oopses are nested: an oops inside an oops goes through the same doors.
static DIE_NEST_COUNT: AtomicU32 = AtomicU32::new(0);

/// Deeper than this, printing the oops is what oopses.
const DIE_NEST_LIMIT: u32 = 4;

/// Begins an oops: interrupts off, everything on the console. The return value is for
/// [`oops_end`].
pub fn oops_begin() -> bool {
    let irqs = local_irq_save();
    if DIE_NEST_COUNT.fetch_add(1, Ordering::Relaxed) >= DIE_NEST_LIMIT {
        panic(format_args!("Recursive oops"));
    }
    console_verbose();
    OOPS_IN_PROGRESS.fetch_add(1, Ordering::Relaxed);
    console::bust_owner();
    irqs
}

/// Ends an oops. With `signr` 0 the kernel goes on where it was; otherwise the task dies
/// as by that signal, or the kernel panics if the oops was in an interrupt, or if
/// `panic_on_oops` is set.
pub fn oops_end(irqs: bool, signr: i32) {
    OOPS_IN_PROGRESS.fetch_sub(1, Ordering::Relaxed);
    add_taint(Taint::Die);
    DIE_NEST_COUNT.fetch_sub(1, Ordering::Relaxed);
    local_irq_restore(irqs);
    print_oops_end_marker();
    show_exec_summary();
    if signr == 0 {
        return;
    }
    if in_interrupt() {
        panic(format_args!("Fatal exception in interrupt"));
    }
    if PANIC_ON_OOPS.load(Ordering::Relaxed) {
        panic(format_args!("Fatal exception"));
    }
    rewind_stack_and_make_dead(signr)
}

#[cfg(target_os = "none")]
fn in_interrupt() -> bool {
    !BOOT_CPU.has_current() || crate::arch::x86::kernel::irq::in_interrupt()
}
#[cfg(not(target_os = "none"))]
fn in_interrupt() -> bool {
    true
}

/// Kills the task from the top of its stack: the oops may have been on an exception stack,
/// or the stack may be used up.
#[cfg(target_os = "none")]
fn rewind_stack_and_make_dead(signr: i32) -> ! {
    let top = crate::arch::x86::kernel::dumpstack::current_top_of_stack() - size_of::<PtRegs>() as u64;
    // SAFETY: `make_task_dead` never returns, so that nobody misses what was on the stack;
    // the user registers at its top stay.
    unsafe {
        core::arch::asm!(
            "mov rsp, {top}",
            "lea rbp, [rsp + 1]",
            "push 0",
            "call {dead}",
            "ud2",
            top = in(reg) top,
            in("edi") signr,
            dead = sym make_task_dead,
            options(noreturn),
        )
    }
}
#[cfg(not(target_os = "none"))]
fn rewind_stack_and_make_dead(_signr: i32) -> ! {
    std::process::abort()
}

#[cfg(target_os = "none")]
extern "C" fn make_task_dead(signr: i32) -> ! {
    crate::kernel::exit::make_task_dead(signr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_are_letters_in_their_places() {
        assert_eq!(Tainted(0).to_string(), "Not tainted");
        assert_eq!(Tainted(1 << 7).to_string(), "Tainted: G      D           ");
        assert_eq!(Tainted(1 << 7 | 1 << 9 | 1 << 12 | 1 << 13).to_string(), "Tainted: G      D W  OE     ");
    }

    #[test]
    fn names_need_not_be_utf8() {
        assert_eq!(Comm(b"sh").to_string(), "sh");
        assert_eq!(Comm(b"a\xffb").to_string(), "a?b");
    }

    #[test]
    fn parameters() {
        assert!(setup("panic", Some("-1")));
        assert_eq!(PANIC_TIMEOUT.load(Ordering::Relaxed), -1);
        assert!(setup("oops", Some("panic")));
        assert!(PANIC_ON_OOPS.swap(false, Ordering::Relaxed));
        assert!(!setup("panics", None));
    }
}
