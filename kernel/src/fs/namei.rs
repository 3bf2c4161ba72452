// SPDX-License-Identifier: GPL-2.0-only
//! Walking path names (Linux 6.1, `fs/namei.c`).

use crate::errno::{EBADF, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, Result};
use crate::fs::file::fget;
use crate::fs::inode::{Link, MAY_EXEC};
use crate::fs::namespace::{Path, rootfs};
use crate::kernel::cred::Cred;
use crate::kernel::task::current;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as abi;

/// Symbolic links followed in one walk (`MAXSYMLINKS`).
const MAXSYMLINKS: u32 = 40;
/// Longest name of a directory entry (`NAME_MAX`).
const NAME_MAX: usize = 255;

/// Whether the last component, if it is a symbolic link, is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Follow {
    Yes,
    No,
}

/// One walk.
struct Walk {
    root: Path,
    at: Path,
    cred: Arc<Cred>,
    links: u32,
}

/// The place of a name that need not exist.
pub struct Parent {
    /// The directory.
    pub dir: Path,
    /// The last component; empty for `/`, and possibly `.` or `..`.
    pub name: Vec<u8>,
    /// The path ended in a slash.
    pub trailing_slash: bool,
}

impl Walk {
    fn start(dirfd: i32, path: &[u8]) -> Result<Self> {
        let cur = current();
        let fs = cur.fs.get();
        let root = fs.root();
        let at = if path.first() == Some(&b'/') {
            root.clone()
        } else if dirfd == abi::AT_FDCWD {
            fs.pwd()
        } else {
            let p = fget(dirfd)?.path.clone();
            if !path.is_empty() && !p.dentry.inode.is_dir() {
                return Err(ENOTDIR);
            }
            p
        };
        Ok(Self { root, at, cred: cur.cred.get(), links: 0 })
    }

    /// Goes one name further; symbolic links are followed if `follow`.
    fn step(&mut self, name: &[u8], follow: bool) -> Result {
        let inode = &self.at.dentry.inode;
        inode.want_dir()?;
        inode.permission(&self.cred, MAY_EXEC)?;
        match name {
            b"." => return Ok(()),
            b".." => {
                self.at = self.at.clone().dotdot(&self.root);
                return Ok(());
            }
            _ => {}
        }
        if name.len() > NAME_MAX {
            return Err(ENAMETOOLONG);
        }
        let dentry = self.at.dentry.lookup(name)?.ok_or(ENOENT)?;
        let next = Path { mnt: self.at.mnt.clone(), dentry }.follow_mounts();
        if follow && next.dentry.inode.is_symlink() {
            return self.follow_link(&next);
        }
        self.at = next;
        Ok(())
    }

    fn follow_link(&mut self, link: &Path) -> Result {
        self.links += 1;
        if self.links > MAXSYMLINKS {
            return Err(ELOOP);
        }
        match link.dentry.inode.ops.get_link()? {
            Link::Place(p) => {
                self.at = p;
                Ok(())
            }
            Link::Text(t) => {
                if t.is_empty() {
                    return Err(ENOENT);
                }
                if t[0] == b'/' {
                    self.at = self.root.clone();
                }
                self.walk(&t, true)
            }
        }
    }

    /// Walks all components of `path`.
    fn walk(&mut self, path: &[u8], follow_last: bool) -> Result {
        let slash = path.ends_with(b"/");
        let mut names = path.split(|&b| b == b'/').filter(|n| !n.is_empty()).peekable();
        while let Some(n) = names.next() {
            let last = names.peek().is_none();
            self.step(n, !last || follow_last || slash)?;
        }
        if slash { self.at.dentry.inode.want_dir() } else { Ok(()) }
    }
}

/// Finds what `path` names, from directory `dirfd` (or `AT_FDCWD`) on.
pub fn user_path_at(dirfd: i32, path: &[u8], follow: Follow) -> Result<Path> {
    if path.is_empty() {
        return Err(ENOENT);
    }
    let mut w = Walk::start(dirfd, path)?;
    w.walk(path, follow == Follow::Yes)?;
    Ok(w.at)
}

/// As [`user_path_at`], where an empty path names `dirfd` itself (`AT_EMPTY_PATH`).
pub fn path_or_fd(dirfd: i32, path: &[u8], flags: u32) -> Result<Path> {
    if path.is_empty() && flags & abi::AT_EMPTY_PATH != 0 {
        return if dirfd == abi::AT_FDCWD {
            Ok(current().fs.get().pwd())
        } else {
            fget(dirfd).map(|f| f.path.clone()).map_err(|_| EBADF)
        };
    }
    let follow = if flags & abi::AT_SYMLINK_NOFOLLOW != 0 { Follow::No } else { Follow::Yes };
    user_path_at(dirfd, path, follow)
}

/// Finds the directory that has, or would have, the last component (`path_parentat`).
pub fn parent_at(dirfd: i32, path: &[u8]) -> Result<Parent> {
    if path.is_empty() {
        return Err(ENOENT);
    }
    let mut w = Walk::start(dirfd, path)?;
    let end = path.iter().rposition(|&b| b != b'/').map_or(0, |i| i + 1);
    let (dirs, name) = match path[..end].iter().rposition(|&b| b == b'/') {
        Some(i) => (&path[..=i], &path[i + 1..end]),
        None => (&[][..], &path[..end]),
    };
    w.walk(dirs, true)?;
    w.at.dentry.inode.want_dir()?;
    if name.len() > NAME_MAX {
        return Err(ENAMETOOLONG);
    }
    Ok(Parent { dir: w.at, name: name.to_vec(), trailing_slash: end < path.len() && end > 0 })
}

/// Whether a path leads somewhere, as root and from the root.
pub fn exists(path: &[u8]) -> bool {
    user_path_at(abi::AT_FDCWD, path, Follow::Yes).is_ok()
}

/// The root of everything, for boot.
pub fn root() -> Path {
    rootfs()
}
