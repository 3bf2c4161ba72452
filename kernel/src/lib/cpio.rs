// SPDX-License-Identifier: GPL-2.0-only
//! Reading newc cpio archives (Linux 6.1, `init/initramfs.c`;
//! `Documentation/driver-api/early-userspace/buffer-format.rst`). Foreign bytes:
//! every length is checked, and what is wrong has Linux's message.

/// Longest name (`PATH_MAX`).
const PATH_MAX: usize = 4096;
const HEADER: usize = 110;

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Entry<'a> {
    pub ino: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub mtime: u32,
    /// Device the file was on.
    pub major: u32,
    pub minor: u32,
    /// Device that a node stands for.
    pub rmajor: u32,
    pub rminor: u32,
    pub name: &'a [u8],
    pub data: &'a [u8],
    /// The archive ends before the file does.
    pub cut: bool,
}

/// Walks an archive.
pub struct Reader<'a> {
    image: &'a [u8],
    at: usize,
}

fn hex(b: &[u8]) -> Option<u32> {
    b.iter().try_fold(0u32, |n, &c| Some(n << 4 | (c as char).to_digit(16)?))
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of an archive.
    pub const fn new(image: &'a [u8]) -> Self {
        Self { image, at: 0 }
    }

    /// Bytes read so far, to the end of the last entry's padding.
    pub fn consumed(&self) -> usize {
        self.at.min(self.image.len())
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let b = self.image.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(b)
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(4);
    }

    /// The next file; `None` at the archive's trailer, or where it just ends: Linux
    /// says nothing about an archive that is too short, and keeps what it has.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'a>>, &'static str> {
        // Entries may be apart by zeroes.
        while self.image.get(self.at) == Some(&0) {
            self.at += 1;
        }
        let Some(h) = self.take(HEADER) else { return self.end() };
        match &h[..6] {
            b"070701" | b"070702" => {}
            b"070707" => return Err("incorrect cpio method used: use -H newc option"),
            _ => return Err("no cpio magic"),
        }
        let mut f = [0u32; 13];
        for (v, d) in f.iter_mut().zip(h[6..].chunks_exact(8)) {
            *v = hex(d).ok_or("broken padding")?;
        }
        let [ino, mode, uid, gid, nlink, mtime, size, major, minor, rmajor, rminor, namesize, _check] = f;
        if namesize == 0 || namesize as usize > PATH_MAX {
            return self.end();
        }
        let Some(name) = self.take(namesize as usize) else { return self.end() };
        let name = name.split(|&b| b == 0).next().unwrap_or(name);
        self.align();
        let start = self.at.min(self.image.len());
        let cut = self.image.len() - start < size as usize;
        let data = &self.image[start..start + (size as usize).min(self.image.len() - start)];
        self.at = start + data.len();
        self.align();
        if name == b"TRAILER!!!" {
            return Ok(None);
        }
        Ok(Some(Entry { ino, mode, uid, gid, nlink, mtime, major, minor, rmajor, rminor, name, data, cut }))
    }

    fn end(&mut self) -> Result<Option<Entry<'a>>, &'static str> {
        self.at = self.image.len();
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn entry(name: &[u8], mode: u32, data: &[u8]) -> Vec<u8> {
        let mut v = b"070701".to_vec();
        let f = [1, mode, 0, 0, 1, 0, data.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        for x in f {
            v.extend(alloc::format!("{x:08x}").bytes());
        }
        v.extend(name);
        v.push(0);
        v.resize(v.len().next_multiple_of(4), 0);
        v.extend(data);
        v.resize(v.len().next_multiple_of(4), 0);
        v
    }

    #[test]
    fn files_in_order_then_the_trailer() {
        let mut a = entry(b"init", 0o100_755, b"hello");
        a.extend(entry(b"dir", 0o040_755, b""));
        a.extend(entry(b"TRAILER!!!", 0, b""));
        let len = a.len();
        a.extend([0; 200]);
        let mut r = Reader::new(&a);
        let e = r.next_entry().unwrap().unwrap();
        assert_eq!((e.name, e.mode, e.data), (&b"init"[..], 0o100_755, &b"hello"[..]));
        assert_eq!(r.next_entry().unwrap().unwrap().name, b"dir");
        assert_eq!(r.next_entry(), Ok(None));
        assert_eq!(r.consumed(), len);
    }

    #[test]
    fn damage_has_linuxs_words() {
        assert_eq!(Reader::new(b"070707xxx").next_entry(), Ok(None));
        let mut old = entry(b"a", 0, b"");
        old[5] = b'7';
        assert_eq!(Reader::new(&old).next_entry(), Err("incorrect cpio method used: use -H newc option"));
        let mut bad = entry(b"a", 0, b"");
        bad[0] = b'x';
        assert_eq!(Reader::new(&bad).next_entry(), Err("no cpio magic"));
        let long = entry(b"a", 0, b"data");
        let e = Reader::new(&long[..long.len() - 2]).next_entry().unwrap().unwrap();
        assert_eq!((e.data, e.cut), (&b"da"[..], true));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(a in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut r = Reader::new(&a);
            while let Ok(Some(_)) = r.next_entry() {}
            prop_assert!(r.consumed() <= a.len());
        }

        #[test]
        fn damage_never_panics(at in 0usize..300, v in any::<u8>(), cut in 0usize..400) {
            let mut a = entry(b"init", 0o100_755, &[7; 100]);
            a.extend(entry(b"TRAILER!!!", 0, b""));
            let n = a.len();
            a[at % n] = v;
            a.truncate(n - cut % n);
            let mut r = Reader::new(&a);
            while let Ok(Some(e)) = r.next_entry() {
                prop_assert!(e.data.len() <= a.len());
            }
        }
    }
}
