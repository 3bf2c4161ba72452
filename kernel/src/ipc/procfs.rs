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

fn show_shm(o: &mut SeqFile) {
    o.put(b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid ");
    o.put(b"     atime      dtime      ctime                   rss                  swap\n");
    shm::for_each(|s| {
        first(o, &s.perm);
        write!(o, "{:>21} {:>5} {:>5}  {:>5} ", s.size, s.cpid, s.lpid, s.nattch());
        owners(o, &s.perm);
        write!(o, " {:>10} {:>10} {:>10} ", s.atime, s.dtime, s.ctime);
        writeln!(o, "{:>21} {:>21}", s.resident() * PAGE_SIZE, 0);
    });
}

fn show_sem(o: &mut SeqFile) {
    o.put(b"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    sem::for_each(|s| {
        first(o, &s.perm);
        write!(o, "{:>10} ", s.len());
        owners(o, &s.perm);
        writeln!(o, " {:>10} {:>10}", s.otime, s.ctime);
    });
}

fn show_msg(o: &mut SeqFile) {
    o.put(b"       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid ");
    o.put(b"     stime      rtime      ctime\n");
    msg::for_each(|q| {
        first(o, &q.perm);
        write!(o, " {:>10} {:>10} {:>5} {:>5} ", q.cbytes, q.qnum(), q.lspid, q.lrpid);
        owners(o, &q.perm);
        writeln!(o, " {:>10} {:>10} {:>10}", q.stime, q.rtime, q.ctime);
    });
}
