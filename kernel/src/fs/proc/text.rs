// SPDX-License-Identifier: GPL-2.0-only
//! The files of `/proc` about the system (Linux 6.1, `fs/proc/{version,uptime,meminfo,
//! stat,loadavg,cmdline,interrupts}.c`, `arch/x86/kernel/cpu/proc.c`).

use crate::arch::x86::kernel::cpu::brand_string;
use crate::arch::x86::kernel::irq::IRQ_COUNTS;
use crate::arch::x86::percpu::this_cpu;
use crate::fs::seq_file::SeqFile;
use crate::kernel::capability::capable;
use crate::kernel::fork::{TASKLIST, TOTAL_FORKS};
use crate::kernel::sched::{NR_SWITCHES, nr_running};
use crate::kernel::sys::{UTS_RELEASE, UTS_VERSION};
use crate::kernel::time::timekeeping::{ktime_get, ktime_get_real, tsc_khz};
use crate::mm::page_alloc::{nr_free_pages, totalram_pages};
use alloc::format;
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
    ("meminfo", meminfo),
    ("cpuinfo", cpuinfo),
    ("stat", stat),
    ("loadavg", |o| {
        let (n, all) = (nr_running(), TASKLIST.lock().len());
        writeln!(o, "0.00 0.00 0.00 {n}/{all} {}", TOTAL_FORKS.load(Relaxed));
    }),
    ("filesystems", crate::fs::superblock::filesystems_text),
    ("interrupts", interrupts),
    ("kallsyms", kallsyms),
    // Nothing is ever swapped out.
    ("swaps", |o| o.put(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")),
    // No disks.
    ("partitions", |_| {}),
];

/// The kernel's functions; where they are is only for those who may see the log.
fn kallsyms(o: &mut SeqFile) {
    let shown = capable(linux_raw_sys::general::CAP_SYSLOG);
    for (addr, name) in crate::kernel::kallsyms::iter() {
        writeln!(o, "{:016x} T {name}", if shown { addr } else { 0 });
    }
}

fn uptime(o: &mut SeqFile) {
    let t = ktime_get();
    writeln!(o, "{}.{:02} 0.00", t / 1_000_000_000, t / 10_000_000 % 100);
}

fn meminfo(o: &mut SeqFile) {
    let kb = |pages: usize| pages * 4;
    let (total, free) = (kb(totalram_pages()), kb(nr_free_pages()));
    for (name, v) in
        [("MemTotal", total), ("MemFree", free), ("MemAvailable", free), ("Buffers", 0), ("Cached", 0)]
    {
        writeln!(o, "{:<15} {v:>8} kB", format!("{name}:"));
    }
}

fn cpuinfo(o: &mut SeqFile) {
    let id = raw_cpuid::CpuId::new();
    let vendor = id.get_vendor_info().map_or_else(Default::default, |v| format!("{v}"));
    let (fam, model, step) =
        id.get_feature_info().map_or((0, 0, 0), |f| (f.family_id(), f.model_id(), f.stepping_id()));
    let khz = tsc_khz();
    let name = brand_string();
    writeln!(o, "processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {fam}\nmodel\t\t: {model}");
    writeln!(o, "model name\t: {name}\nstepping\t: {step}");
    writeln!(o, "cpu MHz\t\t: {}.{:03}\n", khz / 1000, khz % 1000);
}

fn stat(o: &mut SeqFile) {
    let (mut user, mut sys) = (0, 0);
    for t in TASKLIST.lock().iter() {
        user += t.utime.load(Relaxed);
        sys += t.stime.load(Relaxed);
    }
    let c = |ns: u64| ns / 10_000_000;
    let idle = c(ktime_get().saturating_sub(user + sys));
    let line = format!("{} 0 {} {idle} 0 0 0 0 0 0", c(user), c(sys));
    writeln!(o, "cpu  {line}\ncpu0 {line}");
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
