// SPDX-License-Identifier: GPL-2.0-only
//! `/proc/sysvipc` (Linux 6.1, `ipc/{shm,sem,msg}.c`, `sysvipc_*_proc_show`).

use super::util::KernIpcPerm;
use super::{msg, sem, shm};
use crate::fs::seq_file::SeqFile;
use crate::mm::page_alloc::PAGE_SIZE;

type ShowFn = fn(&mut SeqFile);

/// Name below `/proc/`, and text.
pub static FILES: [(&str, ShowFn); 3] =
    [("sysvipc/shm", show_shm), ("sysvipc/sem", show_sem), ("sysvipc/msg", show_msg)];

fn first(o: &mut SeqFile, p: &KernIpcPerm) {
    write!(o, "{:>10} {:>10}  {:>4o} ", p.key, p.id, p.mode);
}

fn owners(o: &mut SeqFile, p: &KernIpcPerm) {
    write!(o, "{:>5} {:>5} {:>5} {:>5}", p.uid, p.gid, p.cuid, p.cgid);
}

/// What is done with each object.
type Each<'a, T> = &'a mut dyn FnMut(&T);

/// Writes the heading, and a record for each object.
fn table<T>(o: &mut SeqFile, heading: &[&str], for_each: fn(Each<'_, T>), show: fn(&T, &mut SeqFile)) {
    o.record(0, |o| heading.iter().for_each(|part| o.put(part.as_bytes())));
    let mut number = 0;
    for_each(&mut |object| {
        number += 1;
        o.record(number, |o| show(object, o));
    });
}

fn show_shm(o: &mut SeqFile) {
    let heading = [
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid ",
        "     atime      dtime      ctime                   rss                  swap\n",
    ];
    table(
        o,
        &heading,
        |f| shm::for_each(f),
        |s, o| {
            first(o, &s.perm);
            write!(o, "{:>21} {:>5} {:>5}  {:>5} ", s.size, s.cpid, s.lpid, s.nattch());
            owners(o, &s.perm);
            write!(o, " {:>10} {:>10} {:>10} ", s.atime, s.dtime, s.ctime);
            writeln!(o, "{:>21} {:>21}", s.resident() * PAGE_SIZE, 0);
        },
    );
}

fn show_sem(o: &mut SeqFile) {
    let heading = ["       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n"];
    table(
        o,
        &heading,
        |f| sem::for_each(f),
        |s, o| {
            first(o, &s.perm);
            write!(o, "{:>10} ", s.len());
            owners(o, &s.perm);
            writeln!(o, " {:>10} {:>10}", s.otime, s.ctime);
        },
    );
}

fn show_msg(o: &mut SeqFile) {
    let heading = [
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid ",
        "     stime      rtime      ctime\n",
    ];
    table(
        o,
        &heading,
        |f| msg::for_each(f),
        |q, o| {
            first(o, &q.perm);
            write!(o, " {:>10} {:>10} {:>5} {:>5} ", q.cbytes, q.qnum(), q.lspid, q.lrpid);
            owners(o, &q.perm);
            writeln!(o, " {:>10} {:>10} {:>10}", q.stime, q.rtime, q.ctime);
        },
    );
}
