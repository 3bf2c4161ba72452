// SPDX-License-Identifier: GPL-2.0-only
//! What a process is and does, as text (Linux 6.1, `fs/proc/array.c`).

use crate::drivers::tty::n_tty;
use crate::errno::Result;
use crate::fs::inode::Dev;
use crate::fs::seq_file::SeqFile;
use crate::kernel::exit::tracer_of;
use crate::kernel::ptrace::{PtraceMode, ptrace_may_access};
use crate::kernel::rusage::Rusage;
use crate::kernel::signal::action::SIG_IGN;
use crate::kernel::signal::{rlimit, with_siglock};
use crate::kernel::task::{
    TASK_INTERRUPTIBLE, TASK_RUNNING, TASK_STOPPED, TASK_TRACED, TASK_UNINTERRUPTIBLE, Task, pf,
};
use crate::kernel::ucount::UcountRlimit;
use crate::mm::mm_struct::Layout;
use crate::mm::page_alloc::{PAGE_SIZE, page_align};
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

/// Which signals a process ignores, and which it handles (`collect_sigign_sigcatch`).
fn ignored_and_caught(t: &Task) -> [u64; 2] {
    let mut sets = [0u64; 2];
    with_siglock(t, |actions| {
        for sig in 1..=64 {
            let bit = 1 << (sig - 1);
            sets[0] |= if actions[sig].handler == SIG_IGN { bit } else { 0 };
            sets[1] |= if actions[sig].is_handler() { bit } else { 0 };
        }
    });
    sets
}

/// `stat` of a process.
pub fn stat(t: &Task, o: &mut SeqFile) -> Result {
    do_task_stat(t, o, Rusage::of_process(&t.signal))
}

/// `stat` of a thread: the time that it has used itself.
pub fn thread_stat(t: &Task, o: &mut SeqFile) -> Result {
    do_task_stat(t, o, Rusage::of_task(t))
}

/// The number of its terminal, and the process group that is in the foreground there; 0 and -1 without one.
fn tty_of(t: &Task) -> (u64, i32) {
    let dev = Dev(t.signal.tty.load(Relaxed));
    n_tty::find(dev).map_or((0, -1), |tty| (dev.user(), tty.foreground_group()))
}

/// Where things are in memory is for those who may look at it.
fn do_task_stat(t: &Task, o: &mut SeqFile, used: Rusage) -> Result {
    let name = t.comm();
    let c = |ns: u64| ns / 10_000_000;
    let children = Rusage::of_children(&t.signal);
    let ppid = t.signal.ppid.load(Relaxed);
    let (mut vsize, mut rss, mut places) = (0, 0, Layout::default());
    let permitted = ptrace_may_access(t, PtraceMode::FsCreds);
    if let Some(mm) = t.get_mm() {
        let st = mm.lock();
        (vsize, rss) = (st.stat.total_vm * 4096, st.rss.anon + st.rss.file);
        if permitted {
            places = st.layout.clone();
        } else {
            (places.start_code, places.end_code) = (1, 1);
        }
    }
    let (tty, tpgid) = tty_of(t);
    write!(o, "{} (", t.pid());
    o.put(&name);
    write!(o, ") {} {ppid} ", state_char(t));
    write!(o, "{} {} {tty} {tpgid} {} ", t.signal.pgrp(), t.signal.session(), t.pf.load(Relaxed));
    let ((u, s), (cu, cs)) = (used.times, children.times);
    write!(o, "{} {} 0 0 {} {} {} {} ", used.min_flt, children.min_flt, c(u), c(s), c(cu), c(cs));
    let asked = t.se.params();
    let nice = asked.nice;
    // Real-time ones are below 0; SCHED_IDLE is none of its own.
    let prio = (t.se.prio().cast_signed() - 100).min(20 + nice);
    let (threads, start) = (t.signal.nr_threads.load(Relaxed), c(t.start_time.load(Relaxed)));
    let l = &places;
    write!(o, "{prio} {nice} {threads} 0 {start} {vsize} {rss} {} ", t.signal.rlimit_cur(rlimit::RSS));
    write!(o, "{} {} {} 0 0 ", l.start_code, l.end_code, l.start_stack);
    let low = |set: u64| set & 0x7fff_ffff;
    let [ignored, caught] = ignored_and_caught(t);
    let (pending, blocked) = (low(t.sig.pending.set().0), low(t.sig.blocked().0));
    write!(o, "{pending} {blocked} {} {} ", low(ignored), low(caught));
    let sleeps = permitted && t.state.load(Relaxed) != TASK_RUNNING;
    write!(o, "{} 0 0 {} 0 {} ", u8::from(sleeps), t.rel.exit_signal(), asked.rt_priority);
    write!(o, "{} 0 0 0 ", asked.policy);

    let rest = [l.start_data, l.end_data, l.start_brk, l.arg_start, l.arg_end, l.env_start, l.env_end];
    for at in rest {
        write!(o, "{at} ");
    }
    writeln!(o, "{}", if permitted { t.exit_code.load(Relaxed) } else { 0 });
    Ok(())
}

/// `status`.
pub fn status(t: &Task, o: &mut SeqFile) -> Result {
    let name = t.comm();
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
    let ppid = t.signal.ppid.load(Relaxed);
    let tracer = tracer_of(t).map_or(0, |p| p.pid());
    let fdsize = t.files.lock().as_ref().map_or(0, |f| f.capacity());
    o.put(b"Name:\t");
    // A name cannot make lines of its own (`proc_task_name`).
    for &byte in &name[..] {
        match byte {
            b'\n' => o.put(b"\\n"),
            b'\\' => o.put(b"\\\\"),
            _ => o.put(&[byte]),
        }
    }
    o.put(b"\n");
    if let Some(fs) = &*t.fs.lock() {
        writeln!(o, "Umask:\t{:04o}", fs.umask());
    }
    writeln!(o, "State:\t{word}\nTgid:\t{}", t.tgid);
    writeln!(o, "Ngid:\t0\nPid:\t{}\nPPid:\t{ppid}\nTracerPid:\t{tracer}", t.pid());
    writeln!(o, "Uid:\t{}\t{}\t{}\t{}", c.uid, c.euid, c.suid, c.fsuid);
    write!(o, "Gid:\t{}\t{}\t{}\t{}\nFDSize:\t{fdsize}\nGroups:\t", c.gid, c.egid, c.sgid, c.fsgid);
    for (i, g) in c.groups.iter().enumerate() {
        write!(o, "{}{g}", if i == 0 { "" } else { " " });
    }
    o.put(b" \n");
    let ids = [("tgid", t.tgid), ("pid", t.pid()), ("pgid", t.signal.pgrp()), ("sid", t.signal.session())];
    for (kind, id) in ids {
        writeln!(o, "NS{kind}:\t{id}");
    }
    if let Some(mm) = t.get_mm() {
        super::task_mmu::task_mem(&mm, o);
        let dumping = t.pf.load(Relaxed) & pf::DUMPCORE != 0;
        // There are no huge pages to have.
        writeln!(o, "CoreDumping:\t{}\nTHP_enabled:\t0", u8::from(dumping));
    }
    writeln!(o, "Threads:\t{}", t.signal.nr_threads.load(Relaxed));
    writeln!(
        o,
        "SigQ:\t{}/{}",
        c.ucounts.get(UcountRlimit::Sigpending),
        t.signal.rlimit_cur(rlimit::SIGPENDING)
    );
    let pending = [t.sig.pending.set().0, t.signal.shared_pending.set().0];
    writeln!(
        o,
        "SigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}",
        pending[0],
        pending[1],
        t.sig.blocked().0
    );
    let [ignored, caught] = ignored_and_caught(t);
    writeln!(o, "SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}");
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
    writeln!(o, "Seccomp:\t{}\nSeccomp_filters:\t{filters}", mode as u8);
    // No mitigation can be asked for (`PR_GET_SPECULATION_CTRL`).
    o.put(b"Speculation_Store_Bypass:\tunknown\nSpeculationIndirectBranch:\tunsupported\n");
    o.put(b"Cpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t");
    // A bit for each of 1024 nodes.
    (0..31).for_each(|_| o.put(b"00000000,"));
    o.put(b"00000001\nMems_allowed_list:\t0\n");
    let (own, forced) = (t.se.nvcsw.load(Relaxed), t.se.nivcsw.load(Relaxed));
    writeln!(o, "voluntary_ctxt_switches:\t{own}\nnonvoluntary_ctxt_switches:\t{forced}");
    Ok(())
}

/// `statm`.
pub fn statm(t: &Task, o: &mut SeqFile) -> Result {
    let Some(mm) = t.get_mm() else {
        o.put(b"0 0 0 0 0 0 0\n");
        return Ok(());
    };
    let st = mm.lock();
    let (l, page) = (&st.layout, PAGE_SIZE);
    let text = (page_align(l.end_code).saturating_sub(l.start_code & !(page - 1))) / page;
    let (shared, data) = super::smaps::shared_and_data(&st);
    writeln!(o, "{} {} {shared} {text} 0 {data} 0", st.stat.total_vm, st.rss.anon + st.rss.file);
    Ok(())
}
