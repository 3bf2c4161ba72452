// SPDX-License-Identifier: GPL-2.0-only
//! `/proc/sys` (Linux 6.1, `kernel/sysctl.c`): a table of names, what they show, and
//! what writing does.

use crate::errno::{EINVAL, Result};
use crate::fs::coredump;
use crate::fs::exec::SUID_DUMPABLE;
use crate::fs::seq_file::SeqFile;
use crate::kernel::panic::{OOPS_LIMIT, PANIC_ON_OOPS, PANIC_ON_WARN, PANIC_TIMEOUT};
use crate::kernel::printk::{self, syslog};
use crate::kernel::signal::fatal::PRINT_FATAL_SIGNALS;
use crate::kernel::sys;
use crate::mm::mm_struct::SUID_DUMP_ROOT;
use crate::mm::util;
use core::sync::atomic::Ordering::Relaxed;

/// One entry.
pub struct Sysctl {
    /// Below `/proc/sys/`.
    pub path: &'static str,
    /// Its text.
    pub show: fn(&mut SeqFile),
    /// What writing it does; `None`: read-only.
    pub store: Option<fn(&[u8]) -> Result>,
}

fn number(b: &[u8]) -> Result<i64> {
    core::str::from_utf8(b).ok().and_then(|s| s.trim().parse().ok()).ok_or(EINVAL)
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

/// All entries.
pub static TABLE: &[Sysctl] = &[
    bool_entry!("debug/exception-trace", printk::show_unhandled_signals()),
    bool_entry!("kernel/panic_on_oops", PANIC_ON_OOPS),
    bool_entry!("kernel/panic_on_warn", PANIC_ON_WARN),
    atomic_entry!("kernel/oops_limit", OOPS_LIMIT, u32),
    bool_entry!("kernel/dmesg_restrict", syslog::DMESG_RESTRICT),
    atomic_entry!("kernel/panic", PANIC_TIMEOUT, i32),
    atomic_entry!("kernel/print-fatal-signals", PRINT_FATAL_SIGNALS, i32),
    atomic_entry!("kernel/pid_max", crate::kernel::fork::PID_MAX, i32),
    atomic_entry!("kernel/randomize_va_space", crate::fs::exec::RANDOMIZE_VA_SPACE, u32),
    atomic_entry!("vm/overcommit_memory", util::SYSCTL_OVERCOMMIT_MEMORY, u32),
    atomic_entry!("vm/overcommit_ratio", util::SYSCTL_OVERCOMMIT_RATIO, u32),
    atomic_entry!("vm/max_map_count", util::SYSCTL_MAX_MAP_COUNT, usize),
    atomic_entry!("vm/mmap_min_addr", util::MMAP_MIN_ADDR, usize),
    text_entry!("kernel/ostype", b"Linux"),
    text_entry!("kernel/osrelease", sys::UTS_RELEASE.as_bytes()),
    text_entry!("kernel/version", sys::UTS_VERSION.as_bytes()),
    text_entry!("kernel/hostname", &sys::hostname()),
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
            let v = [
                &printk::CONSOLE_LOGLEVEL,
                &printk::DEFAULT_MESSAGE_LOGLEVEL,
                &printk::MINIMUM_CONSOLE_LOGLEVEL,
                &printk::DEFAULT_CONSOLE_LOGLEVEL,
            ]
            .map(|a| a.load(Relaxed));
            writeln!(o, "{}\t{}\t{}\t{}", v[0], v[1], v[2], v[3]);
        },
        store: Some(|b| {
            let first = b.split(u8::is_ascii_whitespace).find(|w| !w.is_empty()).ok_or(EINVAL)?;
            printk::CONSOLE_LOGLEVEL.store(i32::try_from(number(first)?).map_err(|_| EINVAL)?, Relaxed);
            Ok(())
        }),
    },
];
