// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's log (Linux 6.1, `kernel/printk/`).
//!
//! [`vprintk`] stores a message in the [`ringbuffer`] and shows it on the [`console`]s. It
//! may be called from any context: storing takes no lock, and the console is only
//! shown something by whoever can own it at once. As in Linux a message ends with `\n`;
//! one without can be continued by `pr_cont!` and is shown once it is complete, or once
//! another follows.
//!
//! Readers: `/dev/kmsg` and `syslog(2)`, in [`syslog`].

pub mod console;
pub mod format;
pub mod ringbuffer;
pub mod syslog;

use crate::arch::x86::kernel::irq::in_nmi;
use crate::kernel::time::timekeeping::ktime_get;
use crate::lib::ratelimit::{Ratelimit, Verdict};
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering};
use format::LineBuf;
use ringbuffer::{Info, LOG_LINE_MAX, RingBuffer, Storage};

/// The machine is unusable.
pub const KERN_EMERG: u8 = 0;
/// Something must be done at once.
pub const KERN_ALERT: u8 = 1;
/// Critical conditions.
pub const KERN_CRIT: u8 = 2;
/// Errors.
pub const KERN_ERR: u8 = 3;
/// Warnings.
pub const KERN_WARNING: u8 = 4;
/// Normal, but worth a look.
pub const KERN_NOTICE: u8 = 5;
/// Information.
pub const KERN_INFO: u8 = 6;
/// For debugging.
pub const KERN_DEBUG: u8 = 7;
/// Level that continues the last message.
pub const KERN_CONT: u8 = b'c';
/// Level for messages that name none: `default_message_loglevel`.
pub const KERN_DEFAULT: u8 = b'd';

/// 1024 records, 128 KiB of text.
static STORAGE: Storage<1024, 2048> = Storage::new();
static BOOT_RING: RingBuffer = STORAGE.ring();
/// The ring in use if `log_buf_len=` asked for another.
static RING: AtomicPtr<RingBuffer> = AtomicPtr::new(core::ptr::null_mut());

/// Messages of a lower level than this are shown on the console.
pub static CONSOLE_LOGLEVEL: AtomicI32 = AtomicI32::new(CONSOLE_LOGLEVEL_DEFAULT);
/// Level of messages that name none.
pub static DEFAULT_MESSAGE_LOGLEVEL: AtomicI32 = AtomicI32::new(4);
/// The lowest value that `CONSOLE_LOGLEVEL` may be set to by `syslog(2)`.
pub static MINIMUM_CONSOLE_LOGLEVEL: AtomicI32 = AtomicI32::new(1);
/// `CONSOLE_LOGLEVEL` at boot.
pub static DEFAULT_CONSOLE_LOGLEVEL: AtomicI32 = AtomicI32::new(CONSOLE_LOGLEVEL_DEFAULT);
/// Shows all but debugging messages.
pub const CONSOLE_LOGLEVEL_DEFAULT: i32 = 7;
/// `quiet`.
const CONSOLE_LOGLEVEL_QUIET: i32 = 4;
/// `debug`.
pub const CONSOLE_LOGLEVEL_DEBUG: i32 = 10;
/// What an oops sets it to (`console_verbose`).
const CONSOLE_LOGLEVEL_MOTORMOUTH: i32 = 15;

static IGNORE_LOGLEVEL: AtomicBool = AtomicBool::new(false);
static TIME: AtomicBool = AtomicBool::new(true);
/// After a panic: nothing more is printed.
static SUPPRESS: AtomicBool = AtomicBool::new(false);
/// Whether writing a fatal signal of user mode to the log is wanted
/// (`show_unhandled_signals`, `/proc/sys/debug/exception-trace`).
static SHOW_UNHANDLED_SIGNALS: AtomicBool = AtomicBool::new(true);

/// What `/dev/kmsg` does with what is written to it (`printk.devkmsg=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevKmsg {
    /// At most 10 lines per 5 seconds.
    Ratelimit,
    /// Everything.
    On,
    /// Nothing.
    Off,
}
static DEVKMSG: AtomicI32 = AtomicI32::new(0);

/// The ring in use.
pub fn ring() -> &'static RingBuffer {
    let p = RING.load(Ordering::Acquire);
    // SAFETY: null, or leaked by `RingBuffer::allocate`.
    unsafe { p.as_ref() }.unwrap_or(&BOOT_RING)
}

/// `/proc/sys/debug/exception-trace`, to be read or written.
pub fn show_unhandled_signals() -> &'static AtomicBool {
    &SHOW_UNHANDLED_SIGNALS
}

/// Whether the console shows messages of `level`.
fn console_shows(level: u8) -> bool {
    i32::from(level) < CONSOLE_LOGLEVEL.load(Ordering::Relaxed) || IGNORE_LOGLEVEL.load(Ordering::Relaxed)
}

/// Whether lines carry their time.
pub fn time_enabled() -> bool {
    TIME.load(Ordering::Relaxed)
}

/// Shows everything from now on, for an oops (`console_verbose`).
pub fn console_verbose() {
    if CONSOLE_LOGLEVEL.load(Ordering::Relaxed) != 0 {
        CONSOLE_LOGLEVEL.store(CONSOLE_LOGLEVEL_MOTORMOUTH, Ordering::Relaxed);
    }
}

/// Nothing is printed any more: keeps a panic on the screen.
pub fn suppress_printk() {
    SUPPRESS.store(true, Ordering::Relaxed);
}

/// Who is printing: continuations are only joined to their own context's message.
fn caller_id() -> u64 {
    #[cfg(target_os = "none")]
    {
        if !crate::arch::x86::percpu::BOOT_CPU.has_current() {
            return 0;
        }
        let cpu = crate::arch::x86::percpu::this_cpu();
        u64::from(cpu.preempt_count.get() & 0x00ff_0000) << 16 | cpu.current().pid() as u64
    }
    #[cfg(not(target_os = "none"))]
    0
}

/// Logs one message.
pub fn vprintk(level: u8, args: fmt::Arguments<'_>) {
    vprintk_emit(0, level, args);
}

/// Logs one message of a facility (0: the kernel, 1: user).
pub fn vprintk_emit(facility: u8, level: u8, args: fmt::Arguments<'_>) {
    if SUPPRESS.load(Ordering::Relaxed) {
        return;
    }
    let ts_nsec = ktime_get();
    let mut buf = LineBuf::<LOG_LINE_MAX>::new();
    let _ = fmt::write(&mut buf, args);
    store(facility, level, ts_nsec, buf.as_bytes());
    // What an NMI logs is shown by the next tick: it may have interrupted the driver.
    if !in_nmi() || crate::kernel::panic::oops_in_progress() {
        console::flush();
    }
    syslog::wake_up_klogd();
}

/// Puts one message into the ring (`vprintk_store`).
fn store(facility: u8, level: u8, ts_nsec: u64, text: &[u8]) {
    let (text, newline) = match text.strip_suffix(b"\n") {
        Some(t) => (t, true),
        None => (text, false),
    };
    let caller = caller_id();
    let cont = level == KERN_CONT;
    if cont && ring().extend_last(caller, text, newline) {
        return;
    }
    let default = DEFAULT_MESSAGE_LOGLEVEL.load(Ordering::Relaxed) as u8;
    let level = if cont || level == KERN_DEFAULT { default } else { level };
    let info = Info { ts_nsec, level: level & 7, facility, cont, caller, ..Info::default() };
    ring().push(info, text, newline);
}

/// Completes a last message that still lacks its newline.
fn finalize_last() {
    if let Some(last) = ring().next_seq().checked_sub(1) {
        ring().finalize(last);
    }
}

/// Shows what could not be shown when it was logged: messages from NMI context. For the timer
/// tick. One that still lacks its end stays unseen until another follows, however long that
/// takes, as on Linux (`desc_read_finalized_seq`, v6.1).
pub fn flush_pending() {
    if !in_nmi() {
        console::flush();
        syslog::wake_readers();
    }
}

/// The state behind `printk_ratelimit`: 10 messages per 5 seconds over all callers.
pub static PRINTK_RATELIMIT: Ratelimit = Ratelimit::new(5_000, 10);

/// Whether a message that user mode can provoke may be printed now. `func` is the
/// calling function's name, for the line that tells how many were not (Linux 6.1,
/// `lib/ratelimit.c`, `___ratelimit`).
pub fn printk_ratelimit(func: &str) -> bool {
    ratelimit(&PRINTK_RATELIMIT, func)
}

/// [`printk_ratelimit`] with a state of one's own (`__ratelimit`).
pub fn ratelimit(rs: &Ratelimit, func: &str) -> bool {
    let Verdict { allowed, suppressed } = rs.check(ktime_get() / 1_000_000);
    if suppressed != 0 {
        vprintk(4, format_args!("{func}: {suppressed} callbacks suppressed\n"));
    }
    allowed
}

/// Prints where in which file `ip` is, on the current line (`print_vma_addr`).
pub use crate::mm::memory::print_vma_addr;

/// A pointer for the log that says nothing about the layout of memory, but is the same each time
/// (`%p`).
pub struct HashedPtr(pub usize);

/// The hash's key, drawn at its first use.
static PTR_KEY: AtomicU64 = AtomicU64::new(0);

impl fmt::Display for HashedPtr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fresh = crate::kernel::time::timekeeping::rdtsc() | 1;
        let key = match PTR_KEY.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => fresh,
            Err(k) => k,
        };
        // Rounds of multiply and shift: enough to hide an address from a log's reader.
        let mut h = self.0 as u64 ^ key;
        for k in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53 ^ key, 0x9e37_79b9_7f4a_7c15] {
            h = (h ^ (h >> 33)).wrapping_mul(k | 1);
        }
        write!(f, "{:016x}", h >> 32)
    }
}

/// Handles one command-line parameter; false if it is not one of the log's.
/// (`loglevel=`, `quiet`, `debug`, `ignore_loglevel`, `printk.time=`,
/// `printk.devkmsg=`, `log_buf_len=`.)
pub fn setup(name: &str, value: Option<&str>) -> bool {
    let set_level = |l: i32| CONSOLE_LOGLEVEL.store(l, Ordering::Relaxed);
    match (name, value) {
        ("loglevel", Some(v)) => {
            if let Ok(l) = v.parse() {
                set_level(l);
            }
        }
        ("quiet", None) => set_level(CONSOLE_LOGLEVEL_QUIET),
        ("debug", None) => set_level(CONSOLE_LOGLEVEL_DEBUG),
        ("ignore_loglevel" | "printk.ignore_loglevel", _) => IGNORE_LOGLEVEL.store(true, Ordering::Relaxed),
        ("printk.time", v) => {
            TIME.store(!matches!(v, Some("0" | "n" | "N" | "off")), Ordering::Relaxed);
        }
        ("printk.devkmsg", Some(v)) => {
            DEVKMSG_LOCKED.store(set_devkmsg(v).is_some(), Ordering::Relaxed);
        }
        ("log_buf_len", Some(v)) => LOG_BUF_LEN.store(memparse(v), Ordering::Relaxed),
        _ => return false,
    }
    true
}

/// Whether the command line set the policy: then nobody changes it any more.
static DEVKMSG_LOCKED: AtomicBool = AtomicBool::new(false);

/// `/proc/sys/kernel/printk_devkmsg` (`devkmsg_sysctl_set_loglvl`).
pub fn store_devkmsg(text: &[u8]) -> crate::errno::Result {
    let word = core::str::from_utf8(text.strip_suffix(b"\n").unwrap_or(text)).unwrap_or("");
    if DEVKMSG_LOCKED.load(Ordering::Relaxed) {
        return Err(crate::errno::EINVAL);
    }
    set_devkmsg(word).ok_or(crate::errno::EINVAL)
}

/// Sets the policy for writers of `/dev/kmsg` by its name.
fn set_devkmsg(v: &str) -> Option<()> {
    let n = match v {
        "ratelimit" => DevKmsg::Ratelimit,
        "on" => DevKmsg::On,
        "off" => DevKmsg::Off,
        _ => return None,
    };
    DEVKMSG.store(n as i32, Ordering::Relaxed);
    Some(())
}

impl DevKmsg {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ratelimit => "ratelimit",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// The policy for writers of `/dev/kmsg`.
pub fn devkmsg() -> DevKmsg {
    match DEVKMSG.load(Ordering::Relaxed) {
        1 => DevKmsg::On,
        2 => DevKmsg::Off,
        0.. | ..0 => DevKmsg::Ratelimit,
    }
}

/// A size with Linux's suffixes K, M and G (`memparse`); 0 if it is not one.
fn memparse(v: &str) -> u64 {
    let (digits, shift) = match v.as_bytes().last() {
        Some(b'k' | b'K') => (&v[..v.len() - 1], 10),
        Some(b'm' | b'M') => (&v[..v.len() - 1], 20),
        Some(b'g' | b'G') => (&v[..v.len() - 1], 30),
        _ => (v, 0),
    };
    digits.parse::<u64>().ok().and_then(|n| n.checked_shl(shift)).unwrap_or(0)
}

static LOG_BUF_LEN: AtomicU64 = AtomicU64::new(0);

/// Gives the log the size that `log_buf_len=` asked for, once there is a heap
/// (`setup_log_buf`). What was logged so far moves along, numbers and all.
pub fn setup_log_buf() {
    let want = LOG_BUF_LEN.load(Ordering::Relaxed).min(1 << 26) as usize;
    if want <= BOOT_RING.size() {
        return;
    }
    // Text and descriptors.
    if crate::mm::slab::room_for(want * 2).is_err() {
        crate::pr_err!("log_buf_len: {want} bytes not available\n");
        return;
    }
    let old = ring();
    let mut seq = old.first_valid_seq();
    let new = RingBuffer::allocate(want, seq);
    let mut text = [0; LOG_LINE_MAX];
    let mut copy = |seq: &mut u64| {
        while let Some(info) = old.read_valid(*seq, &mut text) {
            new.push(info, &text[..info.len], true);
            *seq = info.seq + 1;
        }
    };
    copy(&mut seq);
    RING.store(core::ptr::from_ref(new).cast_mut(), Ordering::Release);
    // What an interrupt logged between the last copy and the switch.
    copy(&mut seq);
    crate::pr_info!("printk: log_buf_len: {} bytes\n", new.size());
}

/// `printk!(level, "…\n", args)`
#[macro_export]
macro_rules! printk { ($l:expr, $($a:tt)*) => { $crate::kernel::printk::vprintk($l, format_args!($($a)*)) } }
/// KERN_EMERG
#[macro_export]
macro_rules! pr_emerg { ($($a:tt)*) => { $crate::printk!($crate::kernel::printk::KERN_EMERG, $($a)*) } }
/// KERN_ALERT
#[macro_export]
macro_rules! pr_alert { ($($a:tt)*) => { $crate::printk!($crate::kernel::printk::KERN_ALERT, $($a)*) } }
/// KERN_CRIT
#[macro_export]
macro_rules! pr_crit { ($($a:tt)*) => { $crate::printk!($crate::kernel::printk::KERN_CRIT, $($a)*) } }
/// KERN_ERR
#[macro_export]
macro_rules! pr_err { ($($a:tt)*) => { $crate::printk!($crate::kernel::printk::KERN_ERR, $($a)*) } }
/// KERN_WARNING
#[macro_export]
macro_rules! pr_warn { ($($a:tt)*) => { $crate::printk!($crate::kernel::printk::KERN_WARNING, $($a)*) } }
/// KERN_NOTICE
#[macro_export]
macro_rules! pr_notice { ($($a:tt)*) => { $crate::printk!($crate::kernel::printk::KERN_NOTICE, $($a)*) } }
/// KERN_INFO
#[macro_export]
macro_rules! pr_info { ($($a:tt)*) => { $crate::printk!($crate::kernel::printk::KERN_INFO, $($a)*) } }
/// KERN_DEBUG
#[macro_export]
macro_rules! pr_debug { ($($a:tt)*) => { $crate::printk!($crate::kernel::printk::KERN_DEBUG, $($a)*) } }
/// Continues the previous message (KERN_CONT)
#[macro_export]
macro_rules! pr_cont { ($($a:tt)*) => { $crate::printk!($crate::kernel::printk::KERN_CONT, $($a)*) } }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_suffixes() {
        assert_eq!(memparse("1M"), 1 << 20);
        assert_eq!(memparse("64k"), 1 << 16);
        assert_eq!(memparse("4096"), 4096);
        assert_eq!(memparse("x"), 0);
        assert_eq!(memparse(""), 0);
    }

    #[test]
    fn messages_without_a_newline_are_continued() {
        let start = ring().next_seq();
        vprintk(6, format_args!("traps: x[1] trap divide error ip:{:x}", 0x401000));
        vprintk(KERN_CONT, format_args!(" in x[401000+1000]"));
        vprintk(KERN_CONT, format_args!("\n"));
        vprintk(KERN_CONT, format_args!("alone\n"));
        let mut text = [0; LOG_LINE_MAX];
        let i = ring().read_valid(start, &mut text).unwrap();
        assert_eq!(&text[..i.len], b"traps: x[1] trap divide error ip:401000 in x[401000+1000]");
        assert_eq!((i.level, i.cont), (6, false));
        let i = ring().read_valid(i.seq + 1, &mut text).unwrap();
        assert_eq!((&text[..i.len], i.level, i.cont), (&b"alone"[..], 4, true));
    }
}
