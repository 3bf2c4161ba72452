// SPDX-License-Identifier: GPL-2.0-only
//! `debugfs`: files for those who look into the kernel (Linux 6.1, `fs/debugfs/`).

use crate::errno::{EINVAL, ERANGE, Result};
use crate::fs::dcache::Dentry;
use crate::fs::proc::file::{ProcFile, StoreFn};
use crate::fs::proc::file_inode;
use crate::fs::ramfs;
use crate::fs::superblock::{FsType, MAX_NON_LFS, SuperBlock};
use crate::kernel::kprobes;
use alloc::string::String;
use alloc::sync::Arc;

/// `debugfs`.
pub static FS_TYPE: FsType =
    FsType { name: "debugfs", magic: 0x6462_6720, noexec: false, maxbytes: MAX_NON_LFS, mount };

/// A file: its directory, name, mode, what reading it shows and what writing it does.
pub struct DebugFile {
    /// Below the root.
    pub dir: &'static str,
    #[allow(missing_docs)]
    pub name: &'static str,
    #[allow(missing_docs)]
    pub mode: u32,
    #[allow(missing_docs)]
    pub show: fn(&mut crate::fs::seq_file::SeqFile),
    #[allow(missing_docs)]
    pub store: Option<StoreFn>,
}

/// All files.
static FILES: &[&DebugFile] = &[
    &crate::drivers::misc::lkdtm::DIRECT,
    &kprobes::LIST,
    &kprobes::BLACKLIST,
    &kprobes::ENABLED,
    &crate::arch::x86::kernel::nmi::LONGEST,
    #[cfg(target_os = "none")]
    &crate::arch::x86::kernel::nmi_entries::ENTRIES,
];

fn make() -> Arc<Dentry> {
    let sb = SuperBlock::new(&FS_TYPE, String::new(), 0, usize::MAX);
    let root = Dentry::root(ramfs::new_dir(&sb, 0o700));
    for f in FILES {
        let dir = root.child(f.dir.as_bytes());
        let dir = dir.map_or_else(|| root.add(f.dir.as_bytes(), ramfs::new_dir(&sb, 0o755)), Ok);
        let file = ProcFile::new(|o| {
            (f.show)(o);
            Ok(())
        });
        let file = match f.store {
            Some(store) => file.with_store(store),
            None => file,
        };
        if let Ok(dir) = dir {
            let _ = dir.add(f.name.as_bytes(), file_inode(&sb, f.mode, file));
        }
    }
    root
}

fn mount(_data: &[u8]) -> Result<Arc<Dentry>> {
    static ROOT: spin::Once<Arc<Dentry>> = spin::Once::new();
    Ok(ROOT.call_once(make).clone())
}

/// The number that was written to a file of one (Linux 6.1, `fs/libfs.c`, `simple_attr_write`;
/// `lib/kstrtox.c`, `kstrtoull`): octal behind `0`, hexadecimal behind `0x`; all of it, but for a
/// newline.
pub fn simple_attr_write(text: &[u8]) -> Result<u64> {
    const MOST: usize = 23;
    let text = text[..text.len().min(MOST)].split(|&b| b == 0).next().unwrap_or_default();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let (radix, digits) = match text {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, &text[2..]),
        [b'0', _, ..] => (8, &text[1..]),
        _ => (10, text),
    };
    let mut value: Option<u64> = Some(0);
    for &b in digits {
        let digit = char::from(b).to_digit(radix).ok_or(EINVAL)?;
        value = value.and_then(|v| v.checked_mul(radix.into())?.checked_add(digit.into()));
    }
    if digits.is_empty() { Err(EINVAL) } else { value.ok_or(ERANGE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, n) in [
            ("0", 0),
            ("12\n", 12),
            ("+7", 7),
            ("0x1F\n", 31),
            ("017", 15),
            ("00", 0),
            ("18446744073709551615", u64::MAX),
            ("0xffffffffffffffff\n", u64::MAX),
        ] {
            assert_eq!(simple_attr_write(text.as_bytes()), Ok(n), "{text}");
        }
        for text in ["", "\n", "+", "-1", "1 ", " 1", "0x", "0xg", "08", "1\n\n", "x", "++1", "1a"] {
            assert_eq!(simple_attr_write(text.as_bytes()), Err(EINVAL), "{text}");
        }
        for text in ["18446744073709551616", "0x10000000000000000"] {
            assert_eq!(simple_attr_write(text.as_bytes()), Err(ERANGE), "{text}");
        }
        // What is too long is cut off.
        assert_eq!(simple_attr_write(b"00000000000000000000001x"), Ok(1));
        assert_eq!(simple_attr_write(b"1\0x"), Ok(1));
    }
}
