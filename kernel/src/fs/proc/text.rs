// SPDX-License-Identifier: GPL-2.0-only
//! The files of `/proc` about the system (Linux 6.1, `fs/proc/{version,uptime,stat,
//! loadavg,cmdline,interrupts}.c`).

use crate::arch::x86::kernel::cpu_proc::show_cpuinfo;
use crate::arch::x86::kernel::irq::IRQ_COUNTS;
use crate::arch::x86::percpu::this_cpu;
use crate::fs::seq_file::SeqFile;
use crate::kernel::capability::capable;
use crate::kernel::fork::{TASKLIST, TOTAL_FORKS};
use crate::kernel::sched::{NR_SWITCHES, loadavg, nr_running};
use crate::kernel::sys::{UTS_RELEASE, UTS_VERSION};
use crate::kernel::time::timekeeping::{ktime_get, ktime_get_real};
use core::sync::atomic::Ordering::Relaxed;

type ShowFn = fn(&mut SeqFile);

/// Name and text.
pub static FILES: &[(&str, ShowFn)] = &[
    ("version", |o| writeln!(o, "Linux version {UTS_RELEASE} (Trapline) {UTS_VERSION}")),
    ("cmdline", |o| {
        o.put(&crate::init::saved_command_line());
        o.put(b"\n");
    }),
    ("uptime", uptime),
    ("meminfo", super::meminfo::meminfo),
    ("cpuinfo", show_cpuinfo),
    ("stat", stat),
    ("loadavg", |o| {
        let (n, all) = (nr_running(), TASKLIST.lock().len());
        for (whole, rest) in loadavg::hundredths() {
            write!(o, "{whole}.{rest:02} ");
        }
        writeln!(o, "{n}/{all} {}", TOTAL_FORKS.load(Relaxed));
    }),
    ("filesystems", crate::fs::superblock::filesystems_text),
    ("interrupts", interrupts),
    ("kallsyms", kallsyms),
    // Nothing is ever swapped out.
    ("swaps", |o| o.put(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")),
    // No disks.
    ("partitions", |_| {}),
    ("diskstats", |_| {}),
    ("modules", |_| {}),
    ("execdomains", |o| o.put(b"0-0\tLinux           \t[kernel]\n")),
    ("devices", crate::fs::char_dev::devices_text),
];

/// The kernel's functions; where they are is only for those who may see the log.
fn kallsyms(o: &mut SeqFile) {
    let shown = capable(linux_raw_sys::general::CAP_SYSLOG);
    for (i, (addr, name)) in (0..).zip(crate::kernel::kallsyms::iter()) {
        if !o.record(i, |o| writeln!(o, "{:016x} T {name}", if shown { addr } else { 0 })) {
            break;
        }
    }
}

fn uptime(o: &mut SeqFile) {
    let t = ktime_get();
    writeln!(o, "{}.{:02} 0.00", t / 1_000_000_000, t / 10_000_000 % 100);
}

fn stat(o: &mut SeqFile) {
    let (mut user, mut sys) = (0, 0);
    for t in TASKLIST.lock().iter() {
        user += t.utime.load(Relaxed);
        sys += t.stime.load(Relaxed);
    }
    let c = |ns: u64| ns / 10_000_000;
    let idle = c(ktime_get().saturating_sub(user + sys));
    for name in ["cpu ", "cpu0"] {
        writeln!(o, "{name} {} 0 {} {idle} 0 0 0 0 0 0", c(user), c(sys));
    }
    let counts = IRQ_COUNTS.iter().map(|c| c.load(Relaxed));
    let cpu = this_cpu();
    // The CPU's own count towards the sum (`arch_irq_stat_cpu`).
    let own = cpu.nmi_count.get() + cpu.irq_timer_count.get();
    write!(o, "intr {}", own + counts.clone().sum::<u64>());
    counts.for_each(|n| write!(o, " {n}"));
    o.put(b"\n");
    let btime = ktime_get_real().saturating_sub(ktime_get()) / 1_000_000_000;
    writeln!(o, "ctxt {}\nbtime {btime}", NR_SWITCHES.load(Relaxed));
    writeln!(o, "processes {}\nprocs_running {}\nprocs_blocked 0", TOTAL_FORKS.load(Relaxed), nr_running());
}

fn interrupts(o: &mut SeqFile) {
    o.put(b"           CPU0       \n");
    for (i, c) in IRQ_COUNTS.iter().enumerate() {
        let n = c.load(Relaxed);
        if n != 0 {
            writeln!(o, "{i:>3}: {n:>10}    XT-PIC      ");
        }
    }
    let cpu = this_cpu();
    let rows = [
        ("NMI", cpu.nmi_count.get(), "Non-maskable interrupts"),
        ("LOC", cpu.irq_timer_count.get(), "Local timer interrupts"),
    ];
    for (name, n, what) in rows {
        writeln!(o, "{name}: {n:>10}   {what}");
    }
}
