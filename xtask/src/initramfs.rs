// SPDX-License-Identifier: GPL-2.0-only
//! Writing initramfs archives: newc cpio, as `Linux
//! Documentation/driver-api/early-userspace/buffer-format.rst` describes it.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;
const S_IFCHR: u32 = 0o020_000;

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    mode: u32,
    device: (u32, u32),
    data: Vec<u8>,
}

/// An archive in the making. Names are kept sorted, so that parents come
/// before their children and the same input gives the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive {
    entries: BTreeMap<String, Entry>,
}

impl Archive {
    /// An archive with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    fn insert(&mut self, name: &str, mode: u32, data: Vec<u8>) {
        let name = name.trim_matches('/');
        if let Some((parent, _)) = name.rsplit_once('/')
            && !self.entries.contains_key(parent)
        {
            self.dir(parent);
        }
        self.entries.insert(name.to_owned(), Entry { mode, device: (0, 0), data });
    }

    /// Adds a directory, and its parents.
    pub fn dir(&mut self, name: &str) -> &mut Self {
        self.insert(name, S_IFDIR | 0o755, Vec::new());
        self
    }

    /// Adds a regular file with the given permission bits, and its parents.
    pub fn file(&mut self, name: &str, mode: u32, data: impl Into<Vec<u8>>) -> &mut Self {
        self.insert(name, S_IFREG | (mode & 0o7777), data.into());
        self
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, name: &str, to: &str) -> &mut Self {
        self.insert(name, S_IFLNK | 0o777, to.as_bytes().to_vec());
        self
    }

    /// Adds a character device.
    pub fn char_device(&mut self, name: &str, mode: u32, device: (u32, u32)) -> &mut Self {
        self.insert(name, S_IFCHR | (mode & 0o7777), Vec::new());
        if let Some(entry) = self.entries.get_mut(name.trim_matches('/')) {
            entry.device = device;
        }
        self
    }

    /// Adds a copy of a host file, executable.
    pub fn program(&mut self, name: &str, host: &Path) -> Result<&mut Self> {
        let data = std::fs::read(host).with_context(|| format!("cannot read {}", host.display()))?;
        Ok(self.file(name, 0o755, data))
    }

    /// Adds everything under a host directory, as it stands.
    pub fn tree(&mut self, host: &Path) -> Result<&mut Self> {
        self.subtree(host, "")?;
        Ok(self)
    }

    fn subtree(&mut self, host: &Path, prefix: &str) -> Result<()> {
        let cannot = || format!("cannot read {}", host.display());
        let mut children: Vec<PathBuf> = Vec::new();
        for child in std::fs::read_dir(host).with_context(cannot)? {
            children.push(child.with_context(cannot)?.path());
        }
        children.sort();
        for child in children {
            let leaf = child.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = if prefix.is_empty() { leaf } else { format!("{prefix}/{leaf}") };
            self.host_entry(&child, &name)?;
        }
        Ok(())
    }

    fn host_entry(&mut self, host: &Path, name: &str) -> Result<()> {
        let cannot = || format!("cannot read {}", host.display());
        let meta = host.symlink_metadata().with_context(cannot)?;
        let kind = meta.file_type();
        let mode = meta.permissions().mode();
        if kind.is_dir() {
            self.insert(name, S_IFDIR | (mode & 0o7777), Vec::new());
            self.subtree(host, name)?;
        } else if kind.is_symlink() {
            let to = std::fs::read_link(host).with_context(cannot)?;
            self.symlink(name, &to.to_string_lossy());
        } else if kind.is_file() {
            self.file(name, mode, std::fs::read(host).with_context(cannot)?);
        } else if kind.is_char_device() {
            let device = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
            self.char_device(name, mode, device);
        }
        Ok(())
    }

    /// Is there an entry of this name?
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name.trim_matches('/'))
    }

    /// The archive's bytes, trailer included, padded as `cpio(1)` pads.
    pub fn finish(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, (name, entry)) in self.entries.iter().enumerate() {
            let links = if entry.mode & S_IFMT == S_IFDIR { 2 } else { 1 };
            let builder = cpio::newc::Builder::new(name)
                .ino(number as u32 + 1)
                .mode(entry.mode)
                .nlink(links)
                .rdev_major(entry.device.0)
                .rdev_minor(entry.device.1);
            let mut writer = builder.write(&mut out, entry.data.len() as u32);
            // Writing to a Vec cannot fail.
            let _ = writer.write_all(&entry.data);
            let _ = writer.finish();
        }
        let _ = cpio::newc::trailer(&mut out);
        out.resize(out.len().next_multiple_of(512), 0);
        out
    }
}

/// The regular files of an archive, by name without a leading slash or `./`;
/// as far as it can be read, gzip or plain.
pub fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    walk(archive, |name, mode, data| {
        if mode & S_IFMT == S_IFREG {
            found.insert(name, data);
        }
    });
    found
}

/// The names of everything in an archive, as [`files`] gives them.
pub fn names(archive: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(archive, |name, _, _| {
        found.insert(name);
    });
    found
}

/// Calls `each` with the name, mode and content of each entry.
fn walk(archive: &[u8], mut each: impl FnMut(String, u32, Vec<u8>)) {
    let mut plain = Vec::new();
    if archive.starts_with(&[0x1f, 0x8b]) {
        // A cut-short stream still has its first files.
        let _ = flate2::read::MultiGzDecoder::new(archive).read_to_end(&mut plain);
    } else {
        plain.extend_from_slice(archive);
    }
    let mut input = Cursor::new(plain);
    while let Ok(mut reader) = cpio::NewcReader::new(input) {
        if reader.entry().is_trailer() {
            break;
        }
        let name = reader.entry().name().trim_start_matches("./").trim_matches('/').to_owned();
        let mode = reader.entry().mode();
        let mut data = Vec::new();
        if reader.read_to_end(&mut data).is_err() {
            break;
        }
        each(name, mode, data);
        let Ok(rest) = reader.finish() else { break };
        input = rest;
    }
}

/// Two archives as one image; the second may be plain or compressed, and wins where both have
/// a name.
pub fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut image = first.to_vec();
    // A kernel finds the next archive on a multiple of four.
    image.resize(image.len().next_multiple_of(4), 0);
    image.extend_from_slice(second);
    image
}

/// Compresses as `gzip -n` does.
pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(data);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Archive {
        let mut archive = Archive::new();
        archive
            .file("init", 0o755, "#!x")
            .file("/bin/deep/er", 0o644, vec![7; 1001])
            .symlink("sh", "bin/deep/er");
        archive.char_device("dev/console", 0o600, (5, 1));
        archive
    }

    #[test]
    fn parents_are_made_and_come_first() {
        let names: Vec<String> = sample().entries.into_keys().collect();
        assert_eq!(names, ["bin", "bin/deep", "bin/deep/er", "dev", "dev/console", "init", "sh"]);
    }

    #[test]
    fn newc_header_is_as_the_format_says() {
        let mut archive = Archive::new();
        archive.file("init", 0o755, "AB");
        let bytes = archive.finish();
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[14..22], b"000081ed");
        assert_eq!(&bytes[54..62], b"00000002");
        assert_eq!(&bytes[94..102], b"00000005");
        assert_eq!(&bytes[110..115], b"init\0");
        assert_eq!(&bytes[116..118], b"AB");
        assert_eq!(bytes.len() % 512, 0);
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let bytes = sample().finish();
        for data in [bytes.clone(), gzip(&bytes)] {
            let files = files(&data);
            assert_eq!(files.len(), 2);
            assert_eq!(files["bin/deep/er"], vec![7; 1001]);
            assert!(names(&data).contains("sh") && names(&data).contains("dev/console"));
        }
    }

    proptest! {
        #[test]
        fn reading_garbage_ends(data in proptest::collection::vec(any::<u8>(), 0..600), cut in 0usize..2000) {
            let _ = files(&data);
            let bytes = sample().finish();
            let _ = files(&bytes[..cut.min(bytes.len())]);
        }
    }
}
