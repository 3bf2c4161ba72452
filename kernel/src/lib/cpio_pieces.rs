// SPDX-License-Identifier: GPL-2.0-only
//! Reading an archive that comes in pieces (Linux 6.1, `init/initramfs.c`, whose states are
//! the places where a piece may end).
//!
//! Headers and names are gathered until they are whole; the content of a file is passed on as
//! it comes, however large it is.

use super::cpio::{Entry, Error, Item, Reader};
use alloc::vec::Vec;

/// What is wrong, in Linux's words.
pub type Why = &'static str;

/// Who is told what an archive has.
pub trait Sink {
    /// A member, with as much of its content as has come.
    fn member(&mut self, e: &Entry<'_>) -> Result<(), Why>;
    /// More of the last member's content; what is beyond its size is not passed on.
    fn more(&mut self, data: &[u8]) -> Result<(), Why>;
    /// The end of an archive.
    fn trailer(&mut self);
    /// Something is wrong: in which words.
    fn wrong(&mut self, e: Error<'_>) -> Why;
}

/// An archive in pieces.
#[derive(Default)]
pub struct Pieces {
    /// What is not understood yet.
    buf: Vec<u8>,
    /// Where the reader stands in it; beyond its end if bytes are to be passed over.
    at: usize,
    /// Where `buf` begins in the whole: members begin at multiples of four.
    offset: usize,
    after_member: bool,
    /// Bytes of the last member's content that are still to come.
    left: usize,
}

impl Pieces {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether what has come ends with a whole member.
    pub fn is_whole(&self) -> bool {
        self.after_member && self.at == self.buf.len()
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// What is wrong; the rest is not wanted then.
    pub fn push(&mut self, piece: &[u8], sink: &mut impl Sink) -> Result<(), Why> {
        let content = self.left.min(piece.len());
        if content != 0 {
            self.left -= content;
            sink.more(&piece[..content])?;
        }
        // All that was gathered is understood where more is to be passed over.
        let mut piece = piece;
        if self.at > self.buf.len() {
            let over = (self.at - self.buf.len()).min(piece.len());
            self.drop_front(self.buf.len() + over);
            piece = &piece[over..];
        }
        self.buf.try_reserve(piece.len()).map_err(|_| "out of memory")?;
        self.buf.extend_from_slice(piece);
        self.parse(sink)?;
        self.drop_front(self.at.min(self.buf.len()));
        Ok(())
    }

    /// The first `n` bytes are understood, or passed over.
    fn drop_front(&mut self, n: usize) {
        self.buf.drain(..n.min(self.buf.len()));
        self.at -= n;
        self.offset += n;
    }

    fn parse(&mut self, sink: &mut impl Sink) -> Result<(), Why> {
        let mut reader = Reader::resumed(&self.buf, self.at, self.offset, self.after_member);
        loop {
            let before = reader.clone();
            match reader.next_item() {
                Err(e) => return Err(sink.wrong(e)),
                Ok(Item::End) => {
                    let stays = if reader.was_cut_off() { before } else { reader };
                    (self.at, self.after_member) = stays.place();
                    return Ok(());
                }
                Ok(Item::Trailer) => sink.trailer(),
                Ok(Item::Member(e)) => {
                    self.left = e.size as usize - e.data.len();
                    sink.member(&e)?;
                }
                Ok(Item::Other(_)) => return Err("junk within compressed archive"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lib::cpio::tests::member;
    use proptest::prelude::*;
    use std::string::String;

    /// What an archive has: names, then what came of their content.
    #[derive(Default, Debug, PartialEq, Eq)]
    struct Seen(Vec<(String, Vec<u8>)>);

    impl Sink for Seen {
        fn member(&mut self, e: &Entry<'_>) -> Result<(), Why> {
            self.0.push((String::from_utf8_lossy(e.name).into_owned(), e.data.to_vec()));
            Ok(())
        }
        fn more(&mut self, data: &[u8]) -> Result<(), Why> {
            self.0.last_mut().unwrap().1.extend_from_slice(data);
            Ok(())
        }
        fn trailer(&mut self) {
            self.0.push(("-".into(), Vec::new()));
        }
        fn wrong(&mut self, e: Error<'_>) -> Why {
            e.message()
        }
    }

    fn archive() -> Vec<u8> {
        let mut v = member("d", 0o40755, b"");
        v.extend(member("d/file", 0o100_644, &[7; 333]));
        // A directory with content is passed over.
        v.extend(member("odd", 0o40755, &[8; 50]));
        v.extend(member("link", 0o120_777, b"d/file"));
        v.extend(member("TRAILER!!!", 0, b""));
        v.resize(v.len() + 38, 0);
        v.resize(v.len().next_multiple_of(4), 0);
        v.extend(member("late", 0o100_644, b"x"));
        v
    }

    fn read(pieces: &[&[u8]]) -> (Seen, Result<bool, Why>) {
        let (mut seen, mut p) = (Seen::default(), Pieces::new());
        for piece in pieces {
            if let Err(why) = p.push(piece, &mut seen) {
                return (seen, Err(why));
            }
            // Nothing is kept but what a header and a name may have.
            assert!(p.buf.len() <= 110 + 2 * 4096);
        }
        (seen, Ok(p.is_whole()))
    }

    #[test]
    fn in_one_piece() {
        let (seen, whole) = read(&[&archive()]);
        let names: Vec<&str> = seen.0.iter().map(|s| s.0.as_str()).collect();
        assert_eq!(names, ["d", "d/file", "link", "-", "late"]);
        assert_eq!((seen.0[1].1.len(), whole), (333, Ok(true)));
    }

    #[test]
    fn byte_by_byte() {
        let all = archive();
        let bytes: Vec<&[u8]> = all.chunks(1).collect();
        assert_eq!(read(&bytes), read(&[&all]));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let mut bad = archive();
        bad[112 + 2] = b'x';
        assert_eq!(read(&[&bad]).1, Err("no cpio magic"));
        let all = archive();
        assert_eq!(read(&[&all[..200], b""]).1, Ok(false));
        assert_eq!(read(&[&all, b"\0\0\0\0junk"]).1, Err("junk within compressed archive"));
    }

    proptest! {
        #[test]
        fn however_it_is_cut(mut cuts in proptest::collection::vec(0usize..900, 0..12)) {
            let all = archive();
            cuts.retain(|&c| c <= all.len());
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &all[w[0]..w[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[&all]));
        }

        #[test]
        fn any_bytes_come_to_some_end(bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 0usize..600) {
            let cut = cut.min(bytes.len());
            let _ = read(&[&bytes[..cut], &bytes[cut..]]);
        }
    }
}
