// SPDX-License-Identifier: GPL-2.0-only
//! `/proc/sys` (Linux 6.1, `kernel/sysctl.c`): a table of names, what they show, and
//! what writing does.

use crate::arch::x86::kernel::nmi;
use crate::drivers::char::random::get_random_u64;
use crate::errno::{EINVAL, Result};
use crate::fs::coredump;
use crate::fs::exec::SUID_DUMPABLE;
use crate::fs::file_table::poll;
use crate::fs::proc::file::{Kind, Polled};
use crate::fs::seq_file::SeqFile;
use crate::ipc;
use crate::ipc::mqueue::queue;
use crate::kernel::fork::{MAX_THREADS, MAX_THREADS_RANGE};
use crate::kernel::panic::{OOPS_LIMIT, PANIC_ON_OOPS, PANIC_ON_WARN, PANIC_TIMEOUT};
use crate::kernel::printk::{self, syslog};
use crate::kernel::setid::NGROUPS_MAX;
use crate::kernel::signal::fatal::PRINT_FATAL_SIGNALS;
use crate::kernel::sys;
use crate::kernel::watchdog::{self, Switch};
use crate::kernel::watchdog_hld::HARDLOCKUP_PANIC;
use crate::mm::mm_struct::SUID_DUMP_ROOT;
use crate::mm::util;
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// What `poll` says of an entry: of the system's names, whether they have changed.
pub fn polled(path: &str) -> Polled {
    match path {
        "kernel/hostname" => Polled::Events(&sys::UTS_EVENTS[0], poll::DEFAULT),
        "kernel/domainname" => Polled::Events(&sys::UTS_EVENTS[1], poll::DEFAULT),
        _ => Polled::Always,
    }
}

/// Whether an entry is a text or numbers (`proc_dostring`).
pub fn kind(path: &str) -> Kind {
    const TEXTS: [&str; 9] = [
        "kernel/ostype",
        "kernel/osrelease",
        "kernel/version",
        "kernel/hostname",
        "kernel/domainname",
        "kernel/core_pattern",
        "kernel/printk_devkmsg",
        "kernel/random/boot_id",
        "kernel/random/uuid",
    ];
    if TEXTS.contains(&path) { Kind::SysctlText } else { Kind::Sysctl }
}

/// One entry.
pub struct Sysctl {
    /// Below `/proc/sys/`.
    pub path: &'static str,
    /// Its text.
    pub show: fn(&mut SeqFile),
    /// What writing it does; `None`: read-only.
    pub store: Option<fn(&[u8]) -> Result>,
}

/// A number of `int`'s range: decimal, octal behind `0`, hexadecimal behind `0x`
/// (`proc_get_long`, `__do_proc_dointvec`).
fn parse_int(word: &str) -> Option<i64> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let magnitude = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => u64::from_str_radix(&digits[2..], 16),
        [b'0', _, ..] => u64::from_str_radix(&digits[1..], 8),
        [b'0'..=b'9', ..] => digits.parse(),
        _ => return None,
    };
    let n = i64::try_from(magnitude.ok()?).ok()?;
    Some(if negative { -n } else { n })
}

/// Takes each number's value in turn, as many as are written, and at least one.
fn numbers(b: &[u8], mut take: impl FnMut(usize, i64) -> Result) -> Result {
    let text = core::str::from_utf8(b.split(|&b| b == 0).next().unwrap_or(&[])).map_err(|_| EINVAL)?;
    let mut count = 0;
    for word in text.split_ascii_whitespace() {
        take(count, parse_int(word).ok_or(EINVAL)?)?;
        count += 1;
    }
    if count == 0 { Err(EINVAL) } else { Ok(()) }
}

/// The first number written.
fn number(b: &[u8]) -> Result<i64> {
    let mut first = 0;
    numbers(b, |i, n| {
        if i == 0 {
            first = n;
        }
        Ok(())
    })?;
    Ok(first)
}

macro_rules! atomic_entry {
    ($path:literal, $var:expr, $t:ty) => {
        Sysctl {
            path: $path,
            show: |o| writeln!(o, "{}", $var.load(Relaxed)),
            store: Some(|b| {
                $var.store(<$t>::try_from(number(b)?).map_err(|_| EINVAL)?, Relaxed);
                Ok(())
            }),
        }
    };
}
macro_rules! bool_entry {
    ($path:literal, $var:expr) => {
        Sysctl {
            path: $path,
            show: |o| writeln!(o, "{}", u8::from($var.load(Relaxed))),
            store: Some(|b| {
                $var.store(number(b)? != 0, Relaxed);
                Ok(())
            }),
        }
    };
}
/// A switch with no more than two positions.
macro_rules! switch_entry {
    ($path:literal, $var:expr) => {
        Sysctl {
            path: $path,
            show: |o| writeln!(o, "{}", u8::from($var.load(Relaxed))),
            store: Some(|b| {
                let value = number(b)?;
                if !(0..=1).contains(&value) {
                    return Err(EINVAL);
                }
                $var.store(value != 0, Relaxed);
                Ok(())
            }),
        }
    };
}
macro_rules! watchdog_entry {
    ($path:literal, $switch:expr) => {
        Sysctl {
            path: $path,
            show: |o| writeln!(o, "{}", u8::from($switch.get())),
            store: Some(|b| $switch.set(number(b)?)),
        }
    };
}
macro_rules! text_entry {
    ($path:literal, $text:expr) => {
        Sysctl {
            path: $path,
            show: |o| {
                o.put($text);
                o.put(b"\n");
            },
            store: None,
        }
    };
}

/// A number without a sign, which may be larger than others.
fn ulong(b: &[u8]) -> Result<usize> {
    let text = core::str::from_utf8(b.split(|&b| b == 0).next().unwrap_or(&[])).map_err(|_| EINVAL)?;
    text.split_ascii_whitespace().next().and_then(|w| w.parse().ok()).ok_or(EINVAL)
}

/// A size within a range.
macro_rules! size_entry {
    ($path:literal, $var:expr, $range:expr) => {
        Sysctl {
            path: $path,
            show: |o| writeln!(o, "{}", $var.load(Relaxed)),
            store: Some(|b| {
                let n = ulong(b)?;
                if !($range).contains(&n) {
                    return Err(EINVAL);
                }
                $var.store(n, Relaxed);
                Ok(())
            }),
        }
    };
}
/// Most System V objects of a kind, and most bytes of a message.
const IPC_MNI_MAX: usize = 32768;
const INT_MAX: usize = i32::MAX as usize;

/// The four of `kernel/printk`.
static LOG_LEVELS: [&AtomicI32; 4] = [
    &printk::CONSOLE_LOGLEVEL,
    &printk::DEFAULT_MESSAGE_LOGLEVEL,
    &printk::MINIMUM_CONSOLE_LOGLEVEL,
    &printk::DEFAULT_CONSOLE_LOGLEVEL,
];

/// A number that never changes.
macro_rules! constant_entry {
    ($path:literal, $n:expr) => {
        Sysctl { path: $path, show: |o| writeln!(o, "{}", $n), store: None }
    };
}

/// A random UUID of version 4 (Linux 6.1, `drivers/char/random.c`, `proc_do_uuid`).
fn uuid() -> [u64; 2] {
    let (high, low) = (get_random_u64(), get_random_u64());
    [high & !0xf000 | 0x4000, low & !(3 << 62) | 1 << 63]
}

fn show_uuid(o: &mut SeqFile, [high, low]: [u64; 2]) {
    let (first, second, third) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    writeln!(o, "{first:08x}-{second:04x}-{third:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff);
}

/// One for as long as the machine runs.
fn boot_id() -> [u64; 2] {
    static ID: spin::Once<[u64; 2]> = spin::Once::new();
    *ID.call_once(uuid)
}

/// Who stands in for users that do not fit into 16 bits.
const OVERFLOW_ID: u32 = 65534;
/// Bits of the pool that random numbers come from: it is full once they are good.
const POOL_BITS: u32 = 256;

/// All entries.
pub static TABLE: &[Sysctl] = &[
    size_entry!("kernel/shmmax", ipc::shm::SHMMAX, 0..=usize::MAX),
    size_entry!("kernel/shmall", ipc::shm::SHMALL, 0..=usize::MAX),
    size_entry!("kernel/shmmni", ipc::shm::SHMMNI, 0..=IPC_MNI_MAX),
    size_entry!("kernel/msgmax", ipc::msg::MSGMAX, 0..=INT_MAX),
    size_entry!("kernel/msgmnb", ipc::msg::MSGMNB, 0..=INT_MAX),
    size_entry!("kernel/msgmni", ipc::msg::MSGMNI, 0..=IPC_MNI_MAX),
    Sysctl {
        path: "kernel/sem",
        show: |o| {
            let v = [0, 1, 2, 3].map(ipc::sem::limit);
            writeln!(o, "{}\t{}\t{}\t{}", v[0], v[1], v[2], v[3]);
        },
        store: Some(|b| {
            numbers(b, |i, n| {
                if let Some(limit) = ipc::sem::SEM_LIMITS.get(i) {
                    limit.store(usize::try_from(n).ok().filter(|&n| n <= INT_MAX).ok_or(EINVAL)?, Relaxed);
                }
                Ok(())
            })
        }),
    },
    size_entry!("fs/mqueue/queues_max", queue::QUEUES_MAX, 0..=INT_MAX),
    size_entry!("fs/mqueue/msg_max", queue::MSG_MAX, 1..=queue::HARD_MSGMAX),
    size_entry!("fs/mqueue/msgsize_max", queue::MSGSIZE_MAX, 128..=queue::HARD_MSGSIZEMAX),
    size_entry!("fs/mqueue/msg_default", queue::MSG_DEFAULT, 1..=queue::HARD_MSGMAX),
    size_entry!("fs/mqueue/msgsize_default", queue::MSGSIZE_DEFAULT, 128..=queue::HARD_MSGSIZEMAX),
    constant_entry!("kernel/cap_last_cap", linux_raw_sys::general::CAP_LAST_CAP),
    constant_entry!("kernel/ngroups_max", NGROUPS_MAX),
    constant_entry!("kernel/overflowuid", OVERFLOW_ID),
    constant_entry!("kernel/overflowgid", OVERFLOW_ID),
    constant_entry!("kernel/random/poolsize", POOL_BITS),
    constant_entry!("kernel/random/entropy_avail", POOL_BITS),
    constant_entry!("fs/nr_open", sys::NR_OPEN),
    constant_entry!("fs/pipe-max-size", crate::fs::pipe::MAX_SIZE),
    Sysctl { path: "kernel/random/boot_id", show: |o| show_uuid(o, boot_id()), store: None },
    Sysctl { path: "kernel/random/uuid", show: |o| show_uuid(o, uuid()), store: None },
    Sysctl {
        path: "kernel/domainname",
        show: |o| {
            o.put(&sys::domainname());
            o.put(b"\n");
        },
        store: Some(sys::store_domainname),
    },
    bool_entry!("debug/exception-trace", printk::show_unhandled_signals()),
    bool_entry!("kernel/panic_on_oops", PANIC_ON_OOPS),
    switch_entry!("kernel/panic_on_warn", PANIC_ON_WARN),
    atomic_entry!("kernel/unknown_nmi_panic", nmi::UNKNOWN_NMI_PANIC, i32),
    atomic_entry!("kernel/panic_on_unrecovered_nmi", nmi::PANIC_ON_UNRECOVERED_NMI, i32),
    atomic_entry!("kernel/panic_on_io_nmi", nmi::PANIC_ON_IO_NMI, i32),
    atomic_entry!("kernel/oops_limit", OOPS_LIMIT, u32),
    watchdog_entry!("kernel/watchdog", Switch::Any),
    watchdog_entry!("kernel/nmi_watchdog", Switch::Nmi),
    watchdog_entry!("kernel/soft_watchdog", Switch::Soft),
    Sysctl {
        path: "kernel/watchdog_thresh",
        show: |o| writeln!(o, "{}", watchdog::thresh()),
        store: Some(|b| watchdog::set_thresh(number(b)?)),
    },
    switch_entry!("kernel/softlockup_panic", watchdog::SOFTLOCKUP_PANIC),
    switch_entry!("kernel/hardlockup_panic", HARDLOCKUP_PANIC),
    atomic_entry!("kernel/sysrq", crate::drivers::tty::sysrq::SYSRQ_ENABLED, i32),
    switch_entry!("kernel/dmesg_restrict", syslog::DMESG_RESTRICT),
    atomic_entry!("kernel/panic", PANIC_TIMEOUT, i32),
    atomic_entry!("kernel/print-fatal-signals", PRINT_FATAL_SIGNALS, i32),
    atomic_entry!("kernel/pid_max", crate::kernel::fork::PID_MAX, i32),
    Sysctl {
        path: "kernel/threads-max",
        show: |o| writeln!(o, "{}", MAX_THREADS.load(Relaxed)),
        store: Some(|b| {
            let n = i32::try_from(number(b)?).ok().filter(|n| MAX_THREADS_RANGE.contains(n));
            MAX_THREADS.store(n.ok_or(EINVAL)?, Relaxed);
            Ok(())
        }),
    },
    atomic_entry!("kernel/randomize_va_space", crate::fs::exec::RANDOMIZE_VA_SPACE, u32),
    atomic_entry!("vm/overcommit_memory", util::SYSCTL_OVERCOMMIT_MEMORY, u32),
    atomic_entry!("vm/overcommit_ratio", util::SYSCTL_OVERCOMMIT_RATIO, u32),
    atomic_entry!("vm/max_map_count", util::SYSCTL_MAX_MAP_COUNT, usize),
    atomic_entry!("vm/mmap_min_addr", util::MMAP_MIN_ADDR, usize),
    text_entry!("kernel/ostype", b"Linux"),
    text_entry!("kernel/osrelease", sys::UTS_RELEASE.as_bytes()),
    text_entry!("kernel/version", sys::UTS_VERSION.as_bytes()),
    Sysctl {
        path: "kernel/hostname",
        show: |o| {
            o.put(&sys::hostname());
            o.put(b"\n");
        },
        store: Some(sys::store_hostname),
    },
    Sysctl {
        path: "kernel/core_pattern",
        show: |o| {
            o.put(&coredump::core_pattern());
            o.put(b"\n");
        },
        store: Some(|b| {
            coredump::set_core_pattern(b);
            coredump::validate_coredump_safety();
            Ok(())
        }),
    },
    Sysctl {
        path: "fs/suid_dumpable",
        show: |o| writeln!(o, "{}", SUID_DUMPABLE.load(Relaxed)),
        store: Some(|b| {
            let value = u8::try_from(number(b)?).ok().filter(|&v| v <= SUID_DUMP_ROOT).ok_or(EINVAL)?;
            SUID_DUMPABLE.store(value, Relaxed);
            coredump::validate_coredump_safety();
            Ok(())
        }),
    },
    bool_entry!("kernel/core_uses_pid", coredump::CORE_USES_PID),
    Sysctl {
        path: "kernel/printk_ratelimit",
        show: |o| {
            writeln!(o, "{}", printk::PRINTK_RATELIMIT.interval_ms.load(Relaxed) / 1000);
        },
        store: Some(|b| {
            let s = u32::try_from(number(b)?).map_err(|_| EINVAL)?;
            printk::PRINTK_RATELIMIT.interval_ms.store(s.saturating_mul(1000), Relaxed);
            Ok(())
        }),
    },
    Sysctl {
        path: "kernel/printk_ratelimit_burst",
        show: |o| writeln!(o, "{}", printk::PRINTK_RATELIMIT.burst.load(Relaxed)),
        store: Some(|b| {
            printk::PRINTK_RATELIMIT.burst.store(u32::try_from(number(b)?).map_err(|_| EINVAL)?, Relaxed);
            Ok(())
        }),
    },
    Sysctl {
        path: "kernel/printk_devkmsg",
        show: |o| writeln!(o, "{}", printk::devkmsg().name()),
        store: Some(printk::store_devkmsg),
    },
    Sysctl {
        path: "kernel/printk",
        show: |o| {
            let v = LOG_LEVELS.map(|a| a.load(Relaxed));
            writeln!(o, "{}\t{}\t{}\t{}", v[0], v[1], v[2], v[3]);
        },
        store: Some(|b| {
            numbers(b, |i, n| {
                if let Some(level) = LOG_LEVELS.get(i) {
                    level.store(i32::try_from(n).map_err(|_| EINVAL)?, Relaxed);
                }
                Ok(())
            })
        }),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_settings_have_them() {
        let values = [("7", 7), ("0x1F\n", 31), ("010", 8), (" -1 \n", -1), ("0", 0), ("4 5", 4)];
        for (text, n) in values {
            assert_eq!(number(text.as_bytes()), Ok(n), "{text}");
        }
        for bad in ["", "\n", "x", "1x", "--1", "0x", "09"] {
            assert_eq!(number(bad.as_bytes()), Err(EINVAL), "{bad}");
        }
    }
}
