// SPDX-License-Identifier: GPL-2.0-only
//! Walking path names (Linux 6.1, `fs/namei.c`).

use crate::arch::x86::lib::usercopy::{getname, strncpy_from_user};
use crate::errno::{ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file::fget_raw;
use crate::fs::fs_struct::current_fs;
use crate::fs::inode::{Link, MAY_EXEC};
use crate::fs::namespace::Path;
use crate::kernel::cred::Cred;
use crate::kernel::task::current;
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW};

/// Longest component of a path (`NAME_MAX`).
pub const NAME_MAX: usize = 255;
/// Most symbolic links on the way (`MAXSYMLINKS`).
const MAXSYMLINKS: u32 = 40;

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Follow {
    Yes,
    No,
}

impl Follow {
    /// From `AT_SYMLINK_NOFOLLOW`.
    pub fn unless_nofollow(flags: u32) -> Self {
        if flags & AT_SYMLINK_NOFOLLOW != 0 { Self::No } else { Self::Yes }
    }
}

/// The last component of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// An ordinary name.
    Name(Vec<u8>),
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// There is none: the path is `/`.
    Root,
}

/// Where a path's last component is to be looked up.
pub struct Parent {
    /// The directory.
    pub dir: Path,
    /// The component.
    pub last: Last,
    /// Slashes follow it: it must be a directory.
    pub trailing: bool,
}

/// One walk: who walks, and how many links were followed.
pub struct Walk {
    root: Path,
    cred: Arc<Cred>,
    links: u32,
}

impl Walk {
    /// A walk of the current task.
    pub fn new() -> Self {
        let cur = current();
        Self { root: current_fs().root(), cred: cur.cred.get(), links: 0 }
    }

    /// Who walks.
    pub fn cred(&self) -> &Cred {
        &self.cred
    }

    /// Follows `name` from `at` up to its last component (`link_path_walk`).
    pub fn parent(&mut self, at: Path, name: &[u8]) -> Result<Parent> {
        let mut rest: Cow<'_, [u8]> = Cow::Borrowed(name);
        let mut dir = at;
        let mut pos = 0;
        if rest.first() == Some(&b'/') {
            dir = self.root.clone().follow_mounts();
        }
        loop {
            pos += slashes(&rest[pos..]);
            let len = rest[pos..].iter().take_while(|&&b| b != b'/').count();
            if len == 0 {
                return Ok(Parent { dir, last: Last::Root, trailing: false });
            }
            self.may_search(&dir)?;
            let last = component(&rest[pos..pos + len])?;
            pos += len;
            let gap = slashes(&rest[pos..]);
            if pos + gap == rest.len() {
                return Ok(Parent { dir, last, trailing: gap != 0 });
            }
            let next = match last {
                Last::Name(n) => self.lookup(&dir, &n)?.ok_or(ENOENT)?,
                other => self.step(dir.clone(), &other),
            };
            if next.dentry.inode.is_symlink() {
                match self.follow_link(&next)? {
                    Link::Place(p) => dir = p,
                    Link::Text(mut t) => {
                        if t.first() == Some(&b'/') {
                            dir = self.root.clone().follow_mounts();
                        }
                        t.try_reserve(rest.len() - pos).map_err(|_| ENOMEM)?;
                        t.extend_from_slice(&rest[pos..]);
                        rest = Cow::Owned(t);
                        pos = 0;
                        continue;
                    }
                }
            } else {
                dir = next;
            }
            dir.dentry.inode.want_dir()?;
        }
    }

    fn may_search(&self, dir: &Path) -> Result {
        let inode = &dir.dentry.inode;
        inode.want_dir()?;
        inode.permission(&self.cred, MAY_EXEC)
    }

    /// `.`, `..` and the root itself.
    fn step(&self, dir: Path, last: &Last) -> Path {
        if *last == Last::DotDot { dir.dotdot(&self.root) } else { dir }
    }

    /// Finds a name in a directory; mounts on it are entered.
    pub fn lookup(&self, dir: &Path, name: &[u8]) -> Result<Option<Path>> {
        let found = dir.dentry.lookup(name)?;
        Ok(found.map(|dentry| Path { mnt: dir.mnt.clone(), dentry }.follow_mounts()))
    }

    /// Where a link leads; counts it.
    pub fn follow_link(&mut self, link: &Path) -> Result<Link> {
        self.links += 1;
        if self.links > MAXSYMLINKS {
            return Err(ELOOP);
        }
        match link.dentry.inode.ops.get_link()? {
            Link::Text(t) if t.is_empty() => Err(ENOENT),
            l => Ok(l),
        }
    }

    /// Follows all of `name` (`path_lookupat`).
    pub fn path(&mut self, at: Path, name: &[u8], follow: Follow) -> Result<Path> {
        let mut p = self.parent(at, name)?;
        let mut must_be_dir = false;
        loop {
            must_be_dir |= p.trailing;
            let found = match &p.last {
                Last::Name(n) => self.lookup(&p.dir, n)?.ok_or(ENOENT)?,
                other => self.step(p.dir.clone(), other),
            };
            if found.dentry.inode.is_symlink() && (follow == Follow::Yes || must_be_dir) {
                match self.follow_link(&found)? {
                    Link::Text(t) => {
                        p = self.parent(p.dir, &t)?;
                        continue;
                    }
                    Link::Place(place) => return checked(place, must_be_dir),
                }
            }
            return checked(found, must_be_dir);
        }
    }
}

impl Walk {
    /// A walk that begins at `root` and is checked with `cred` (`file_open_root`).
    pub fn rooted(root: Path, cred: Arc<Cred>) -> Self {
        Self { root, cred, links: 0 }
    }
}

impl Default for Walk {
    fn default() -> Self {
        Self::new()
    }
}

fn checked(p: Path, must_be_dir: bool) -> Result<Path> {
    if must_be_dir {
        p.dentry.inode.want_dir()?;
    }
    Ok(p)
}

fn slashes(s: &[u8]) -> usize {
    s.iter().take_while(|&&b| b == b'/').count()
}

fn component(name: &[u8]) -> Result<Last> {
    match name {
        b"." => Ok(Last::Dot),
        b".." => Ok(Last::DotDot),
        n if n.len() > NAME_MAX => Err(ENAMETOOLONG),
        n => Ok(Last::Name(n.to_vec())),
    }
}

/// The directory that a relative path starts from: the working directory, or the
/// one behind a descriptor.
pub fn start(dfd: i32, name: &[u8]) -> Result<Path> {
    if dfd == AT_FDCWD || name.first() == Some(&b'/') {
        return Ok(current_fs().pwd());
    }
    let f = fget_raw(dfd)?;
    if !name.is_empty() && !f.inode.is_dir() {
        return Err(ENOTDIR);
    }
    Ok(f.path.clone())
}

/// Follows a path from `dfd` (`filename_lookup`).
pub fn user_path_at(dfd: i32, name: &[u8], follow: Follow) -> Result<Path> {
    if name.is_empty() {
        return Err(ENOENT);
    }
    Walk::new().path(start(dfd, name)?, name, follow)
}

/// The path name at `uname`, which may be empty with `AT_EMPTY_PATH` (`getname_flags`).
pub fn getname_flags(uname: usize, flags: u32) -> Result<Vec<u8>> {
    if flags & AT_EMPTY_PATH == 0 {
        return getname(uname);
    }
    strncpy_from_user(uname, 4096)
}

/// Follows the path at `uname`; with `AT_EMPTY_PATH` an empty one means `dfd` itself
/// (`user_path_at_empty`).
pub fn user_path_at_empty(dfd: i32, uname: usize, flags: u32) -> Result<Path> {
    let name = getname_flags(uname, flags)?;
    if name.is_empty() {
        return if dfd == AT_FDCWD { Ok(current_fs().pwd()) } else { Ok(fget_raw(dfd)?.path.clone()) };
    }
    user_path_at(dfd, &name, Follow::unless_nofollow(flags))
}

/// Whether there is something at `path`, seen from the root (`init_eaccess`).
pub fn exists(path: &[u8]) -> bool {
    user_path_at(AT_FDCWD, path, Follow::Yes).is_ok()
}

/// The directory and name for a call that makes or removes a name
/// (`filename_parentat`).
pub fn user_path_parent(dfd: i32, name: &[u8]) -> Result<Parent> {
    if name.is_empty() {
        return Err(ENOENT);
    }
    Walk::new().parent(start(dfd, name)?, name)
}

/// The inode's path in the mount of `p`, for a fresh dentry.
pub fn sibling(p: &Path, dentry: Arc<Dentry>) -> Path {
    Path { mnt: p.mnt.clone(), dentry }
}
