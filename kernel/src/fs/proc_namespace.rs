// SPDX-License-Identifier: GPL-2.0-only
//! What is mounted where, as a process sees it (Linux 6.1, `fs/proc_namespace.c`).

use crate::errno::{EINVAL, Result};
use crate::fs::namespace::{Mount, all_mounts};
use crate::fs::proc::base::task_fs;
use crate::fs::seq_file::SeqFile;
use crate::kernel::task::Task;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Calls `show` for each mount that can be reached from the task's root, with its place.
fn for_each_mount(t: &Task, mut show: impl FnMut(&Arc<Mount>, &[u8]) -> Result) -> Result {
    let root = task_fs(t).ok_or(EINVAL)?.root();
    for m in all_mounts()? {
        let Ok((path, true)) = m.root_path().path_from(&root) else { continue };
        show(&m, &path)?;
    }
    Ok(())
}

fn put_path(o: &mut SeqFile, path: &[u8]) {
    o.put_mangled(path, b" \t\n\\");
}

fn put_source(o: &mut SeqFile, m: &Mount) {
    o.put_mangled(&m.source, b" \t\n\\#");
}

/// `mounts` (`show_vfsmnt`).
pub fn mounts(t: &Task, o: &mut SeqFile) -> Result {
    for_each_mount(t, |m, path| {
        put_source(o, m);
        o.put(b" ");
        put_path(o, path);
        writeln!(o, " {} {} 0 0", m.root.inode.sb.fs.name, m.options());
        Ok(())
    })
}

/// `mountinfo` (`show_mountinfo`). Mounts are nobody's peers.
pub fn mountinfo(t: &Task, o: &mut SeqFile) -> Result {
    for_each_mount(t, |m, path| {
        let parent = m.mountpoint().map_or(m.id, |p| p.mnt.id);
        let sb = &m.root.inode.sb;
        write!(o, "{} {parent} {}:{} ", m.id, sb.dev.major(), sb.dev.minor());
        let in_fs: Vec<u8> = m.root_in_fs()?;
        put_path(o, &in_fs);
        o.put(b" ");
        put_path(o, path);
        let (own, of_fs) = m.separate_options();
        write!(o, " {own} - {} ", sb.fs.name);
        put_source(o, m);
        writeln!(o, " {of_fs}");
        Ok(())
    })
}

/// `mountstats` (`show_vfsstat`).
pub fn mountstats(t: &Task, o: &mut SeqFile) -> Result {
    for_each_mount(t, |m, path| {
        o.put(b"device ");
        put_source(o, m);
        o.put(b" mounted on ");
        put_path(o, path);
        writeln!(o, " with fstype {}", m.root.inode.sb.fs.name);
        Ok(())
    })
}
