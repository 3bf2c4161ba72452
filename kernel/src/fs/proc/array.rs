// SPDX-License-Identifier: GPL-2.0-only
//! What a process is and does, as text (Linux 6.1, `fs/proc/array.c`).

use crate::errno::Result;
use crate::fs::seq_file::SeqFile;
use crate::kernel::exit::{parent_of, tracer_of};
use crate::kernel::task::{
    TASK_INTERRUPTIBLE, TASK_RUNNING, TASK_STOPPED, TASK_TRACED, TASK_UNINTERRUPTIBLE, Task,
};
use alloc::string::String;
use core::sync::atomic::Ordering::Relaxed;

/// The letter that says what a task does (`task_state_array`).
pub fn state_char(t: &Task) -> char {
    if t.rel.is_zombie() {
        return 'Z';
    }
    let s = t.state.load(Relaxed);
    match () {
        () if s == TASK_RUNNING => 'R',
        () if s & TASK_STOPPED != 0 => 'T',
        () if s & TASK_TRACED != 0 => 't',
        () if s & TASK_INTERRUPTIBLE != 0 => 'S',
        () if s & TASK_UNINTERRUPTIBLE != 0 => 'D',
        () => 'X',
    }
}

/// `stat`.
pub fn stat(t: &Task, o: &mut SeqFile) -> Result {
    let name = t.comm();
    let comm = String::from_utf8_lossy(&name);
    let c = |ns: u64| ns / 10_000_000;
    let (u, s) = t.signal.cputime();
    let (cu, cs) = t.signal.children.get();
    let ppid = parent_of(t).map_or(0, |p| p.tgid);
    let (vsize, rss) = t.get_mm().map_or((0, 0), |mm| {
        let st = mm.lock();
        (st.stat.total_vm * 4096, st.rss.anon + st.rss.file)
    });
    write!(
        o,
        "{} ({comm}) {} {ppid} {} {} 0 -1 ",
        t.pid(),
        state_char(t),
        t.signal.pgrp(),
        t.signal.session()
    );
    let asked = t.se.params();
    let nice = asked.nice;
    // Real-time ones are below 0; SCHED_IDLE is none of its own.
    let prio = (t.se.prio().cast_signed() - 100).min(20 + nice);
    write!(o, "{} 0 0 0 0 {} {} {} {} ", t.pf.load(Relaxed), c(u), c(s), c(cu), c(cs));
    write!(o, "{prio} {nice} ");
    write!(
        o,
        "{} 0 {} {vsize} {rss} {}",
        t.signal.nr_threads.load(Relaxed),
        c(t.start_time.load(Relaxed)),
        u64::MAX
    );
    o.put(b" 0 0 0 0 0 0 0 0 0 0 0 0 17 0");
    write!(o, " {} {}", asked.rt_priority, asked.policy);
    o.put(b" 0 0 0 0 0 0 0 0 0 0 0\n");
    Ok(())
}

/// `status`.
pub fn status(t: &Task, o: &mut SeqFile) -> Result {
    let name = t.comm();
    let comm = String::from_utf8_lossy(&name);
    let word = match state_char(t) {
        'R' => "R (running)",
        'S' => "S (sleeping)",
        'D' => "D (disk sleep)",
        'T' => "T (stopped)",
        't' => "t (tracing stop)",
        'Z' => "Z (zombie)",
        _ => "X (dead)",
    };
    let c = t.cred.get();
    let ppid = parent_of(t).map_or(0, |p| p.tgid);
    let tracer = tracer_of(t).map_or(0, |p| p.pid());
    let fdsize = t.files.lock().as_ref().map_or(0, |f| f.capacity());
    writeln!(o, "Name:\t{comm}");
    if let Some(fs) = &*t.fs.lock() {
        writeln!(o, "Umask:\t{:04o}", fs.umask());
    }
    writeln!(o, "State:\t{word}\nTgid:\t{}", t.tgid);
    writeln!(o, "Ngid:\t0\nPid:\t{}\nPPid:\t{ppid}\nTracerPid:\t{tracer}", t.pid());
    writeln!(o, "Uid:\t{}\t{}\t{}\t{}", c.uid, c.euid, c.suid, c.fsuid);
    write!(o, "Gid:\t{}\t{}\t{}\t{}\nFDSize:\t{fdsize}\nGroups:\t", c.gid, c.egid, c.sgid, c.fsgid);
    for g in c.groups.iter() {
        write!(o, "{g} ");
    }
    o.put(b" \n");
    if let Some(mm) = t.get_mm() {
        super::task_mmu::task_mem(&mm, o);
    }
    writeln!(o, "Threads:\t{}", t.signal.nr_threads.load(Relaxed));
    let pending = [t.sig.pending.set().0, t.signal.shared_pending.set().0];
    writeln!(
        o,
        "SigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}",
        pending[0],
        pending[1],
        t.sig.blocked().0
    );
    for (name, set) in [
        ("Inh", c.cap_inheritable),
        ("Prm", c.cap_permitted),
        ("Eff", c.cap_effective),
        ("Bnd", c.cap_bset),
        ("Amb", c.cap_ambient),
    ] {
        writeln!(o, "Cap{name}:\t{:016x}", set.bits());
    }
    writeln!(o, "NoNewPrivs:\t{}", u8::from(t.no_new_privs.load(Relaxed)));
    let (mode, filters) = t.seccomp.status();
    writeln!(o, "Seccomp:\t{mode}\nSeccomp_filters:\t{filters}");
    writeln!(o, "Cpus_allowed:\t1\nCpus_allowed_list:\t0");
    Ok(())
}

/// `statm`.
pub fn statm(t: &Task, o: &mut SeqFile) -> Result {
    let (size, rss) = t.get_mm().map_or((0, 0), |mm| {
        let st = mm.lock();
        (st.stat.total_vm, st.rss.anon + st.rss.file)
    });
    writeln!(o, "{size} {rss} 0 0 0 0 0");
    Ok(())
}
