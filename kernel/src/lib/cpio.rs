// SPDX-License-Identifier: GPL-2.0-only
//! The `newc` archive format of initramfs images
//! (Linux 6.1, `Documentation/driver-api/early-userspace/buffer-format.rst`,
//! `init/initramfs.c`).

/// Size of a header.
const HEADER: usize = 110;
/// Longest name and link target (`PATH_MAX`), the NUL included.
const PATH_MAX: usize = 4096;
const S_IFMT: u32 = 0o170000;
const S_IFREG: u32 = 0o100000;
const S_IFLNK: u32 = 0o120000;

/// What is wrong with an archive. One that just ends too early is not wrong to Linux:
/// what there is of it is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<'a> {
    /// Something else than a header where one must be.
    NoCpioMagic,
    /// The older portable format.
    OldMagic,
    /// An archive that does not start on a multiple of four.
    BrokenPadding,
    /// A name without its NUL, which is shown.
    Malformed {
        /// "name", or "symlink".
        what: &'static str,
        /// What there is.
        name: &'a [u8],
    },
}

impl Error<'_> {
    /// Linux's words for it.
    pub const fn message(self) -> &'static str {
        match self {
            Self::NoCpioMagic => "no cpio magic",
            Self::OldMagic => "incorrect cpio method used: use -H newc option",
            Self::BrokenPadding => "broken padding",
            Self::Malformed { .. } => "malformed archive",
        }
    }
}

/// One member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Entry<'a> {
    /// The name, without its NUL.
    pub name: &'a [u8],
    /// Content, or where a symbolic link leads; shorter than `size` at the end of an
    /// archive that was cut off.
    pub data: &'a [u8],
    /// Size of the content as the header has it.
    pub size: u32,
    /// Sum of the content's bytes, in archives that have it.
    pub checksum: Option<u32>,
    pub ino: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub mtime: u32,
    /// Device that the file was on: hard links share it and `ino`.
    pub dev: (u32, u32),
    /// For device nodes: which.
    pub rdev: (u32, u32),
}

/// What stands next in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A member.
    Member(Entry<'a>),
    /// The end of an archive (`TRAILER!!!`); another may follow.
    Trailer,
    /// What follows is no plain archive: maybe a compressed one.
    Other(&'a [u8]),
    /// The end of the image.
    End,
}

/// Reads an image: archives one after the other, with NULs between.
#[derive(Clone)]
pub struct Reader<'a> {
    image: &'a [u8],
    at: usize,
    /// Where `image` begins in the whole: members begin at multiples of four.
    offset: usize,
    /// A member or trailer came before, and nothing else since.
    after_member: bool,
    /// The image ended where it should go on.
    cut_off: bool,
}

/// A number in hexadecimal, up to what is no digit.
fn hex(field: &[u8]) -> u32 {
    field.iter().map_while(|&c| (c as char).to_digit(16)).fold(0, |n, d| n << 4 | d)
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `image`.
    pub const fn new(image: &'a [u8]) -> Self {
        Self::resumed(image, 0, 0, false)
    }
    /// Goes on at `at` of a part of an image that begins at `offset`.
    pub const fn resumed(image: &'a [u8], at: usize, offset: usize, after_member: bool) -> Self {
        Self { image, at, offset, after_member, cut_off: false }
    }
    /// Where it stands, maybe behind the image, and whether behind a member.
    pub const fn place(&self) -> (usize, bool) {
        (self.at, self.after_member)
    }
    /// Whether the image ended within a header or name.
    pub const fn was_cut_off(&self) -> bool {
        self.cut_off
    }
    /// Goes on `n` bytes further: behind what [`Item::Other`] turned out to be.
    pub fn skip(&mut self, n: usize) {
        self.at = self.at.saturating_add(n).min(self.image.len());
        self.after_member = false;
    }
    /// The next item.
    pub fn next_item(&mut self) -> Result<Item<'a>, Error<'a>> {
        loop {
            while self.image.get(self.at) == Some(&0) {
                self.at += 1;
            }
            let rest = self.image.get(self.at..).unwrap_or(&[]);
            let Some(&first) = rest.first() else {
                return Ok(Item::End);
            };
            let aligned = (self.offset + self.at).is_multiple_of(4);
            if !aligned && self.after_member {
                return Err(Error::BrokenPadding);
            }
            if first != b'0' || !aligned {
                return Ok(Item::Other(rest));
            }
            let Some((header, body)) = rest.split_at_checked(HEADER) else {
                return Ok(self.cut_off());
            };
            match &header[..6] {
                b"070701" | b"070702" => {}
                b"070707" => return Err(Error::OldMagic),
                _ => return Err(Error::NoCpioMagic),
            }
            if let Some(item) = self.member(header, body)? {
                return Ok(item);
            }
        }
    }

    /// The image ends where it should go on.
    fn cut_off(&mut self) -> Item<'a> {
        self.at = self.image.len();
        self.after_member = false;
        self.cut_off = true;
        Item::End
    }

    /// One member; `None` if it is of a kind that is passed over.
    fn member(&mut self, header: &[u8], body: &'a [u8]) -> Result<Option<Item<'a>>, Error<'a>> {
        let mut f = [0u32; 13];
        for (to, from) in f.iter_mut().zip(header[6..].chunks_exact(8)) {
            *to = hex(from);
        }
        let [ino, mode, uid, gid, nlink, mtime, size, maj, min, rmaj, rmin, namesize, sum] = f;
        let (namesize, length) = (namesize as usize, size as usize);
        // Header and name together fill a multiple of four.
        let data_at = ((namesize + 1) & !3) + 2;
        let begin = self.offset + self.at;
        let next = ((begin + HEADER + data_at + length + 3) & !3) - self.offset;
        let kind = mode & S_IFMT;
        let wanted = match kind {
            S_IFLNK => length <= PATH_MAX,
            S_IFREG => true,
            _ => length == 0,
        };
        self.after_member = true;
        self.at = next;
        if !wanted || namesize == 0 || namesize > PATH_MAX {
            return Ok(None);
        }
        if body.len() < data_at || kind == S_IFLNK && body.len() < data_at + length {
            return Ok(Some(self.cut_off()));
        }
        let name = body[..namesize].split(|&b| b == 0).next().unwrap_or(&[]);
        if body[namesize - 1] != 0 {
            let what = if kind == S_IFLNK { "symlink" } else { "name" };
            return Err(Error::Malformed { what, name });
        }
        if name == b"TRAILER!!!" && kind != S_IFLNK {
            return Ok(Some(Item::Trailer));
        }
        let data = &body[data_at..body.len().min(data_at + length)];
        let checksum = (header[5] == b'2').then_some(sum);
        let (dev, rdev) = ((maj, min), (rmaj, rmin));
        Ok(Some(Item::Member(Entry {
            name,
            data,
            size,
            checksum,
            ino,
            mode,
            uid,
            gid,
            nlink,
            mtime,
            dev,
            rdev,
        })))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// A member of an archive, whole.
    pub fn member(name: &str, mode: u32, data: &[u8]) -> Vec<u8> {
        let mut v = Vec::new();
        let fields = [7, mode, 1, 2, 1, 99, data.len() as u32, 8, 1, 4, 64, name.len() as u32 + 1, 0];
        v.extend(b"070701");
        for f in fields {
            v.extend(std::format!("{f:08X}").bytes());
        }
        v.extend(name.bytes());
        v.push(0);
        v.resize(v.len().next_multiple_of(4), 0);
        v.extend(data);
        v.resize(v.len().next_multiple_of(4), 0);
        v
    }

    fn names(image: &[u8]) -> Result<Vec<String>, Error<'_>> {
        let mut r = Reader::new(image);
        let mut out = Vec::new();
        loop {
            match r.next_item()? {
                Item::Member(e) => out.push(String::from_utf8_lossy(e.name).into_owned()),
                Item::Trailer => out.push("-".into()),
                Item::Other(_) => {
                    out.push("?".into());
                    return Ok(out);
                }
                Item::End => return Ok(out),
            }
        }
    }

    #[test]
    fn members_come_out_as_they_went_in() {
        let image = member("dev/ttyS0", 0o20600, b"");
        let Ok(Item::Member(e)) = Reader::new(&image).next_item() else { panic!() };
        assert_eq!((e.name, e.mode, e.uid, e.gid), (&b"dev/ttyS0"[..], 0o20600, 1, 2));
        assert_eq!((e.ino, e.mtime, e.dev, e.rdev), (7, 99, (8, 1), (4, 64)));
    }

    #[test]
    fn archives_may_follow_each_other() {
        let mut image = member("a", 0o100644, b"hello");
        image.extend(member("TRAILER!!!", 0, b""));
        image.resize(512, 0);
        image.extend(member("b", 0o100644, b""));
        image.extend(member("TRAILER!!!", 0, b""));
        image.extend(b"\x1f\x8b");
        assert_eq!(names(&image).unwrap(), ["a", "-", "b", "-", "?"]);
    }

    #[test]
    fn damage_has_a_name() {
        let image = member("a", 0o100644, b"hello");
        let mut old = image.clone();
        old[5] = b'7';
        assert_eq!(names(&old), Err(Error::OldMagic));
        let mut bad = image.clone();
        bad[2] = b'x';
        assert_eq!(names(&bad), Err(Error::NoCpioMagic));
        let mut endless = image.clone();
        endless[111] = b'b';
        assert_eq!(names(&endless), Err(Error::Malformed { what: "name", name: b"ab" }));
        let mut link = member("a", 0o120777, b"hello");
        link[111] = b'b';
        assert_eq!(names(&link), Err(Error::Malformed { what: "symlink", name: b"ab" }));
        let mut shifted = member("b", 0o100644, b"");
        shifted.push(0);
        shifted.extend(&image);
        assert_eq!(names(&shifted), Err(Error::BrokenPadding));
        assert_eq!(names(&[&[0][..], &image].concat()).unwrap(), ["?"]);
    }

    #[test]
    fn what_there_is_of_a_cut_archive_is_read() {
        let image = member("a", 0o100644, b"hello");
        assert!(names(&image[..50]).unwrap().is_empty());
        assert!(names(&image[..111]).unwrap().is_empty());
        let mut r = Reader::new(&image[..115]);
        let Ok(Item::Member(e)) = r.next_item() else { panic!() };
        assert_eq!((e.data, e.size), (&b"hel"[..], 5));
        assert_eq!(r.next_item(), Ok(Item::End));
        assert!(r.place().0 > 115 && !r.was_cut_off());
    }

    #[test]
    fn sizes_cannot_overflow() {
        let mut image = member("a", 0o100644, b"hello");
        image[54..62].copy_from_slice(b"ffffffff");
        assert_eq!(names(&image).unwrap(), ["a"]);
        image[94..102].copy_from_slice(b"ffffffff");
        assert!(names(&image).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_some_end(image in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = names(&image);
        }

        #[test]
        fn damaged_archives_are_read_to_some_end(
            data in proptest::collection::vec(any::<u8>(), 0..40), at in 0usize..400, with in any::<u8>()
        ) {
            let mut image = member("some/name", 0o100755, &data);
            image.extend(member("link", 0o120777, b"to"));
            image.extend(member("TRAILER!!!", 0, b""));
            let n = image.len();
            image[at % n] = with;
            let _ = names(&image);
        }
    }
}
