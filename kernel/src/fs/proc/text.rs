// SPDX-License-Identifier: GPL-2.0-only
//! The files of `/proc` about the system (Linux 6.1, `fs/proc/{version,uptime,meminfo,
//! stat,loadavg,cmdline,interrupts}.c`, `arch/x86/kernel/cpu/proc.c`).

use crate::arch::x86::kernel::cpu::brand_string;
use crate::arch::x86::kernel::irq::IRQ_COUNTS;
use crate::arch::x86::percpu::this_cpu;
use crate::kernel::fork::{TASKLIST, TOTAL_FORKS};
use crate::kernel::sched::{NR_SWITCHES, nr_running};
use crate::kernel::sys::{UTS_RELEASE, UTS_VERSION};
use crate::kernel::time::timekeeping::{ktime_get, ktime_get_real, tsc_khz};
use crate::mm::page_alloc::{nr_free_pages, totalram_pages};
use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

type ShowFn = fn(&mut Vec<u8>);

/// Name and text.
pub static FILES: &[(&str, ShowFn)] = &[
    ("version", |o| o.extend(format!("Linux version {UTS_RELEASE} (Trapline) {UTS_VERSION}\n").bytes())),
    ("cmdline", |o| {
        o.extend(crate::init::saved_command_line());
        o.push(b'\n');
    }),
    ("uptime", uptime),
    ("meminfo", meminfo),
    ("cpuinfo", cpuinfo),
    ("stat", stat),
    ("loadavg", |o| {
        let (n, all) = (nr_running(), TASKLIST.lock().len());
        o.extend(format!("0.00 0.00 0.00 {n}/{all} {}\n", TOTAL_FORKS.load(Relaxed)).bytes());
    }),
    ("filesystems", crate::fs::superblock::filesystems_text),
    ("interrupts", interrupts),
];

fn uptime(o: &mut Vec<u8>) {
    let t = ktime_get();
    o.extend(format!("{}.{:02} 0.00\n", t / 1_000_000_000, t / 10_000_000 % 100).bytes());
}

fn meminfo(o: &mut Vec<u8>) {
    let kb = |pages: usize| pages * 4;
    let (total, free) = (kb(totalram_pages()), kb(nr_free_pages()));
    for (name, v) in
        [("MemTotal", total), ("MemFree", free), ("MemAvailable", free), ("Buffers", 0), ("Cached", 0)]
    {
        o.extend(format!("{:<15} {v:>8} kB\n", format!("{name}:")).bytes());
    }
}

fn cpuinfo(o: &mut Vec<u8>) {
    let id = raw_cpuid::CpuId::new();
    let vendor = id.get_vendor_info().map_or_else(Default::default, |v| format!("{v}"));
    let (fam, model, step) =
        id.get_feature_info().map_or((0, 0, 0), |f| (f.family_id(), f.model_id(), f.stepping_id()));
    let khz = tsc_khz();
    let name = brand_string();
    o.extend(
        format!("processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {fam}\nmodel\t\t: {model}\n").bytes(),
    );
    o.extend(format!("model name\t: {name}\nstepping\t: {step}\n").bytes());
    o.extend(format!("cpu MHz\t\t: {}.{:03}\n\n", khz / 1000, khz % 1000).bytes());
}

fn stat(o: &mut Vec<u8>) {
    let (mut user, mut sys) = (0, 0);
    for t in TASKLIST.lock().iter() {
        user += t.utime.load(Relaxed);
        sys += t.stime.load(Relaxed);
    }
    let c = |ns: u64| ns / 10_000_000;
    let idle = c(ktime_get().saturating_sub(user + sys));
    let line = format!("{} 0 {} {idle} 0 0 0 0 0 0", c(user), c(sys));
    o.extend(format!("cpu  {line}\ncpu0 {line}\n").bytes());
    let btime = ktime_get_real().saturating_sub(ktime_get()) / 1_000_000_000;
    o.extend(format!("ctxt {}\nbtime {btime}\n", NR_SWITCHES.load(Relaxed)).bytes());
    o.extend(
        format!("processes {}\nprocs_running {}\nprocs_blocked 0\n", TOTAL_FORKS.load(Relaxed), nr_running())
            .bytes(),
    );
}

fn interrupts(o: &mut Vec<u8>) {
    o.extend(b"           CPU0       \n");
    for (i, c) in IRQ_COUNTS.iter().enumerate() {
        let n = c.load(Relaxed);
        if n != 0 {
            o.extend(format!("{i:>3}: {n:>10}    XT-PIC      \n").bytes());
        }
    }
    let cpu = this_cpu();
    let rows = [
        ("NMI", cpu.nmi_count.get(), "Non-maskable interrupts"),
        ("LOC", cpu.irq_timer_count.get(), "Local timer interrupts"),
    ];
    for (name, n, what) in rows {
        o.extend(format!("{name}: {n:>10}   {what}\n").bytes());
    }
}
