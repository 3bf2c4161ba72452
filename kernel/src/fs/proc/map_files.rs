// SPDX-License-Identifier: GPL-2.0-only
//! `/proc/PID/map_files`: a link for each mapping of a file (Linux 6.1, `fs/proc/base.c`,
//! `proc_map_files_lookup`, `proc_map_files_readdir`).

use super::base::{list, may_look, pid_inode};
use crate::errno::{ENOENT, ENOMEM, EPERM, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file_table::FileOps;
use crate::fs::inode::mode::S_IFLNK;
use crate::fs::inode::{Inode, InodeOps, Link};
use crate::fs::libfs::{DirContext, DirOps};
use crate::kernel::capability::capable;
use crate::kernel::fork::find_task;
use crate::mm::vma::VmFile;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN};

/// The directory.
pub struct MapFilesDir(pub i32);

/// One end of a range: hexadecimal digits, without zeroes before them.
fn bound(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
    if !digits || text.len() > 1 && text.starts_with('0') {
        return None;
    }
    usize::from_str_radix(text, 16).ok()
}

/// The range that a name stands for (`dname_to_vma_addr`).
fn range(name: &[u8]) -> Option<(usize, usize)> {
    let (start, end) = core::str::from_utf8(name).ok()?.split_once('-')?;
    Some((bound(start)?, bound(end)?))
}

/// The file that is mapped at exactly this range.
fn file_at(pid: i32, (start, end): (usize, usize)) -> Result<Arc<dyn VmFile>> {
    let t = find_task(pid).ok_or(ENOENT)?;
    may_look(&t)?;
    let mm = t.get_mm().ok_or(ENOENT)?;
    let st = mm.lock();
    let at = st.vmas.lower_bound(start).map(|p| st.vmas.get(p)).ok_or(ENOENT)?;
    let exact = at.start == start && at.end == end;
    at.backing.file().filter(|_| exact).cloned().ok_or(ENOENT)
}

/// A mapping's link. To read it is for those who may look at the process; to follow it could go
/// around the permissions of directories.
struct MapLink(i32, (usize, usize));
impl InodeOps for MapLink {
    fn get_link(&self) -> Result<Link> {
        if !capable(CAP_CHECKPOINT_RESTORE) && !capable(CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        Ok(Link::Place(file_at(self.0, self.1)?.path().ok_or(ENOENT)?))
    }
    fn readlink(&self) -> Result<Vec<u8>> {
        let mut name = Vec::new();
        file_at(self.0, self.1)?.name(&mut name);
        Ok(name)
    }
}

impl InodeOps for MapFilesDir {
    fn absent(&self) -> Result {
        Err(ENOENT)
    }
    fn lookup(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let Some(t) = find_task(self.0) else { return Ok(None) };
        may_look(&t)?;
        let Some(at) = range(name) else { return Ok(None) };
        let Ok(file) = file_at(self.0, at) else { return Ok(None) };
        let mode = S_IFLNK | 0o400 | if file.opened_for_writing() { 0o200 } else { 0 };
        Ok(Some(pid_inode(&dir.inode.sb, &t, mode, Box::new(MapLink(self.0, at)))))
    }
    fn iterate(&self, _: &Arc<Dentry>, ctx: &mut DirContext<'_>) -> Result {
        let t = find_task(self.0).ok_or(ENOENT)?;
        may_look(&t)?;
        let Some(mm) = t.get_mm() else { return Ok(()) };
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for v in mm.lock().vmas.iter().filter(|v| v.backing.file().is_some()) {
            ranges.try_reserve(1).map_err(|_| ENOMEM)?;
            ranges.push((v.start, v.end));
        }
        list(ctx, ranges.into_iter().map(|(start, end)| (format!("{start:x}-{end:x}"), S_IFLNK)));
        Ok(())
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps::Generic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ranges() {
        assert_eq!(range(b"400000-401000"), Some((0x40_0000, 0x40_1000)));
        assert_eq!(range(b"0-1000"), Some((0, 0x1000)));
        for bad in [
            "",
            "-",
            "1-",
            "-1",
            "01-2",
            "1-02",
            " 1-2",
            "1- 2",
            "1-2 ",
            "+1-2",
            "1-2-3",
            "10000000000000000-1",
        ] {
            assert_eq!(range(bad.as_bytes()), None, "{bad}");
        }
    }
}
