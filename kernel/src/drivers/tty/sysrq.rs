// SPDX-License-Identifier: GPL-2.0-only
//! The magic SysRq key: commands to the kernel itself (Linux 6.1, `drivers/tty/sysrq.c`).
//!
//! There is no keyboard, so the way in is `/proc/sysrq-trigger`, where any write's first byte is a
//! key. `/proc/sys/kernel/sysrq`, which says what keyboards may do, does not restrict that.
//! Each key's words are Linux's; keys that are about what is not here (virtual terminals,
//! tracing, timer lists) are not in the table, and bring the help.

use crate::arch::x86::kernel::hw_nmi::trigger_all_cpu_backtrace;
use crate::arch::x86::kernel::reboot::emergency_restart;
use crate::errno::Result;
use crate::kernel::fork::for_each_process;
use crate::kernel::panic::panic;
use crate::kernel::printk::{CONSOLE_LOGLEVEL, CONSOLE_LOGLEVEL_DEBUG, CONSOLE_LOGLEVEL_DEFAULT};
use crate::kernel::reboot::kernel_power_off;
use crate::kernel::sched_show::{show_blocked, show_state};
use crate::kernel::signal::send::do_send_sig_info;
use crate::kernel::signal::sigset::{SIGKILL, SIGTERM};
use crate::kernel::signal::{PidType, SendInfo};
use crate::kernel::task::pf;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

/// What keyboards may do: 0 nothing, 1 all, else a mask (`/proc/sys/kernel/sysrq`). Debian's default.
pub static SYSRQ_ENABLED: AtomicI32 = AtomicI32::new(0x1b6);
/// `sysrq_always_enabled`.
static ALWAYS_ENABLED: AtomicBool = AtomicBool::new(false);

const ENABLE_LOG: i32 = 0x2;
const ENABLE_DUMP: i32 = 0x8;
const ENABLE_SYNC: i32 = 0x10;
const ENABLE_REMOUNT: i32 = 0x20;
const ENABLE_SIGNAL: i32 = 0x40;
const ENABLE_BOOT: i32 = 0x80;

/// Handles one command-line parameter; false if it is not one of these.
pub fn setup(name: &str, _value: Option<&str>) -> bool {
    if name != "sysrq_always_enabled" {
        return false;
    }
    ALWAYS_ENABLED.store(true, Relaxed);
    crate::pr_info!("sysrq: sysrq always enabled.\n");
    true
}

/// A key's command (`struct sysrq_key_op`).
struct SysrqKeyOp {
    /// The keys that it has.
    keys: &'static [u8],
    help_msg: &'static str,
    action_msg: &'static str,
    /// Which bit lets keyboards do it.
    enable_mask: i32,
    handler: fn(u8),
}

macro_rules! sysrq_keys {
    ($($keys:literal $help:literal $action:literal $mask:expr => $handler:expr;)*) => {
        /// In the order of the help.
        static KEY_TABLE: &[SysrqKeyOp] = &[$(SysrqKeyOp {
            keys: $keys, help_msg: $help, action_msg: $action, enable_mask: $mask, handler: $handler,
        }),*];
    };
}

sysrq_keys! {
    b"0123456789" "loglevel(0-9)" "Changing Loglevel" ENABLE_LOG => loglevel;
    b"b" "reboot(b)" "Resetting" ENABLE_BOOT => |_| emergency_restart();
    b"c" "crash(c)" "Trigger a crash" ENABLE_DUMP => sysrq_handle_crash;
    b"e" "terminate-all-tasks(e)" "Terminate All Tasks" ENABLE_SIGNAL => |_| send_sig_all(SIGTERM);
    b"f" "memory-full-oom-kill(f)" "Manual OOM execution" ENABLE_SIGNAL => |_| manual_oom();
    b"i" "kill-all-tasks(i)" "Kill All Tasks" ENABLE_SIGNAL => |_| send_sig_all(SIGKILL);
    b"j" "thaw-filesystems(j)" "Emergency Thaw of all frozen filesystems" ENABLE_SIGNAL => |_| emergency_thaw();
    b"l" "show-backtrace-all-active-cpus(l)" "Show backtrace of all active CPUs" ENABLE_DUMP =>
        sysrq_handle_showallcpus;
    b"m" "show-memory-usage(m)" "Show Memory" ENABLE_DUMP => |_| crate::mm::show_mem::show_mem();
    b"o" "poweroff(o)" "Power Off" ENABLE_BOOT => |_| kernel_power_off();
    b"p" "show-registers(p)" "Show Regs" ENABLE_DUMP => show_registers;
    b"s" "sync(s)" "Emergency Sync" ENABLE_SYNC => |_| emergency_sync();
    b"t" "show-task-states(t)" "Show State" ENABLE_DUMP => |_| show_state();
    b"u" "unmount(u)" "Emergency Remount R/O" ENABLE_REMOUNT => |_| emergency_remount();
    b"w" "show-blocked-tasks(w)" "Show Blocked State" ENABLE_DUMP => |_| show_blocked();
}

fn key_op(key: u8) -> Option<&'static SysrqKeyOp> {
    KEY_TABLE.iter().find(|op| op.keys.contains(&key))
}

/// All keys, for those who pressed another one.
struct Help;

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        KEY_TABLE.iter().try_for_each(|op| write!(f, "{} ", op.help_msg))
    }
}

/// Whether a mask of [`SYSRQ_ENABLED`]'s allows a command (`sysrq_on_mask`).
fn on_mask(enabled: i32, mask: i32) -> bool {
    ALWAYS_ENABLED.load(Relaxed) || enabled == 1 || enabled & mask != 0
}

/// Does what a key says (`__handle_sysrq`); `check_mask`: if keyboards may.
fn handle_sysrq(key: u8, check_mask: bool) {
    // What was understood is shown whatever the console's level is; what it brings is not.
    let level = CONSOLE_LOGLEVEL.swap(CONSOLE_LOGLEVEL_DEFAULT, Relaxed);
    let restore = || CONSOLE_LOGLEVEL.store(level, Relaxed);
    match key_op(key) {
        None => {
            crate::pr_info!("sysrq: HELP : {Help}\n");
            restore();
        }
        Some(op) if check_mask && !on_mask(SYSRQ_ENABLED.load(Relaxed), op.enable_mask) => {
            crate::pr_info!("sysrq: This sysrq operation is disabled.\n");
            restore();
        }
        Some(op) => {
            crate::pr_info!("sysrq: {}\n", op.action_msg);
            restore();
            (op.handler)(key);
        }
    }
}

/// `/proc/sysrq-trigger` was written to (`write_sysrq_trigger`).
pub fn write_sysrq_trigger(bytes: &[u8]) -> Result {
    if let Some(&key) = bytes.first() {
        handle_sysrq(key, false);
    }
    Ok(())
}

fn loglevel(key: u8) {
    let level = i32::from(key - b'0');
    CONSOLE_LOGLEVEL.store(CONSOLE_LOGLEVEL_DEFAULT, Relaxed);
    crate::pr_info!("sysrq: Loglevel set to {level}\n");
    CONSOLE_LOGLEVEL.store(level, Relaxed);
}

fn sysrq_handle_crash(_: u8) {
    panic(format_args!("sysrq triggered crash\n"));
}

fn sysrq_handle_showallcpus(_: u8) {
    trigger_all_cpu_backtrace();
}

/// To every process but the first (`send_sig_all`).
fn send_sig_all(sig: i32) {
    for_each_process(|t| {
        if t.pf.load(Relaxed) & pf::KTHREAD == 0 && !t.is_global_init() {
            // A signal of the kernel's own; it fails for nobody who would mind.
            let _ = do_send_sig_info(sig, SendInfo::Priv, t, PidType::Tgid);
        }
    });
    CONSOLE_LOGLEVEL.store(CONSOLE_LOGLEVEL_DEBUG, Relaxed);
}

fn manual_oom() {
    if !crate::mm::oom_kill::out_of_memory() {
        crate::pr_info!("sysrq: OOM request ignored. No task eligible\n");
    }
}

/// Nothing here freezes a file system (`emergency_thaw_all`).
fn emergency_thaw() {
    crate::pr_warn!("Emergency Thaw complete\n");
}

/// Everything is where it belongs (`emergency_sync`).
fn emergency_sync() {
    crate::printk!(crate::kernel::printk::KERN_DEFAULT, "Emergency Sync complete\n");
}

/// Only file systems on block devices are made read-only, and there are none
/// (`emergency_remount`).
fn emergency_remount() {
    crate::printk!(crate::kernel::printk::KERN_DEFAULT, "Emergency Remount complete\n");
}

/// Those that an interrupt found; a write to a file has not interrupted anybody
/// (`sysrq_handle_showregs`).
fn show_registers(_: u8) {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn help_names_every_key_once() {
        let help = Help.to_string();
        assert!(help.starts_with("loglevel(0-9) reboot(b) crash(c) terminate-all-tasks(e) "), "{help}");
        assert!(help.contains(" show-backtrace-all-active-cpus(l) show-memory-usage(m) poweroff(o) "));
        for op in KEY_TABLE {
            assert_eq!(help.matches(op.help_msg).count(), 1, "{}", op.help_msg);
        }
    }

    #[test]
    fn keys() {
        assert_eq!(key_op(b'7').map(|op| op.action_msg), Some("Changing Loglevel"));
        assert_eq!(key_op(b'l').map(|op| op.help_msg), Some("show-backtrace-all-active-cpus(l)"));
        for none in [b'a', b'h', b'\n', b'?', b'L', 0xff] {
            assert!(key_op(none).is_none());
        }
    }

    #[test]
    fn masks() {
        assert!(on_mask(1, ENABLE_DUMP) && on_mask(0x1b6, ENABLE_BOOT) && on_mask(0x1b6, ENABLE_SYNC));
        assert!(!on_mask(0x1b6, ENABLE_DUMP) && !on_mask(0x1b6, ENABLE_SIGNAL) && !on_mask(0, ENABLE_LOG));
    }
}
