// SPDX-License-Identifier: GPL-2.0-only
//! Expanding gzip (Linux 6.1, `lib/decompress_inflate.c`), in pieces: the whole may be larger
//! than what memory is free.

use crate::mm::util::kvcalloc;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// Size of a piece, and of the window that later pieces refer to.
const CHUNK: usize = 0x8000;

/// What is wrong, in Linux's words.
type Why = &'static str;

/// Expands one gzip member, handing over each piece; returns the member's length, trailer
/// included. Of a damaged one there is what came before the damage, in whole pieces.
///
/// # Errors
/// What is wrong with it, or what `flush` found wrong.
pub fn gunzip(z: &[u8], mut flush: impl FnMut(&[u8]) -> Result<(), Why>) -> Result<usize, Why> {
    if z.len() < 10 {
        return Err("read error");
    }
    if z[2] != 8 {
        return Err("Not a gzip file");
    }
    let header = gzip_header_len(z).ok_or("header error")?;
    let body = &z[header..];
    let mut window = kvcalloc(CHUNK).map_err(|_| "Out of memory while allocating output buffer")?;
    let mut state = DecompressorOxide::new();
    let (mut used, mut len) = (0, 0);
    // Nothing can be referred to that is before the first piece.
    let mut flags = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    loop {
        let (status, n, m) = decompress(&mut state, &body[used..], &mut window, len, flags);
        used += n;
        len += m;
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::HasMoreOutput => {
                flush(&window[..len])?;
                len = 0;
                flags = TINFL_FLAG_HAS_MORE_INPUT;
            }
            TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => return Err("read error"),
            _ => return Err("uncompression error"),
        }
    }
    flush(&window[..len])?;
    Ok((header + used + 8).min(z.len()))
}

/// Length of a gzip header: Linux knows of no field but the name.
fn gzip_header_len(z: &[u8]) -> Option<usize> {
    const FNAME: u8 = 8;
    if z[3] & FNAME == 0 {
        return Some(10);
    }
    z[10..].iter().position(|&b| b == 0).map(|n| 10 + n + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const HEADER: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";

    #[test]
    fn gzip_headers() {
        assert_eq!(gzip_header_len(HEADER), Some(10));
        assert_eq!(gzip_header_len(b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name\0"), Some(15));
        assert_eq!(gzip_header_len(b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name"), None);
    }

    #[test]
    fn damage_is_told_in_linuxs_words() {
        let end = |z: &[u8]| gunzip(z, |_| Ok(())).map(drop);
        assert_eq!(end(b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xff\xff\xff\xff"), Err("uncompression error"));
        assert_eq!(end(HEADER), Err("read error"));
        assert_eq!(end(b"\x1f\x8b\x08"), Err("read error"));
        assert_eq!(end(b"\x1f\x8b\x07\0\0\0\0\0\0\x03"), Err("Not a gzip file"));
        // Three bytes from a place before the beginning: a fixed block, length 3, distance 1.
        assert_eq!(end(&[HEADER, &[0x03, 0x02, 0x00, 0, 0, 0]].concat()), Err("uncompression error"));
        let stored = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\x02\0\xfd\xffhi\0\0\0\0\0\0\0\0";
        let mut data = Vec::new();
        let used = gunzip(stored, |piece| {
            data.extend_from_slice(piece);
            Ok(())
        });
        assert_eq!((&data[..], used), (&b"hi"[..], Ok(stored.len())));
    }

    /// As the deflate of `miniz_oxide` makes it, with a header and an unchecked trailer.
    fn gzipped(data: &[u8]) -> Vec<u8> {
        [HEADER, &miniz_oxide::deflate::compress_to_vec(data, 6), &[0; 8]].concat()
    }

    #[test]
    fn much_comes_in_pieces_that_refer_to_each_other() {
        let line: Vec<u8> = (0..30_011u32).map(|n| ((n * n) >> 7) as u8).collect();
        let data: Vec<u8> = line.iter().copied().cycle().take(300_000).collect();
        let (z, mut out, mut largest) = (gzipped(&data), Vec::new(), 0);
        let used = gunzip(&z, |piece| {
            largest = largest.max(piece.len());
            out.extend_from_slice(piece);
            Ok(())
        });
        assert_eq!((used, largest), (Ok(z.len()), CHUNK));
        assert!(out == data);
        let mut pieces = 0;
        let stopped = gunzip(&z, |_| {
            pieces += 1;
            if pieces == 3 { Err("enough") } else { Ok(()) }
        });
        assert_eq!((stopped, pieces), (Err("enough"), 3));
    }

    proptest! {
        #[test]
        fn any_bytes_are_expanded_to_some_end(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = gunzip(&[HEADER, &body].concat(), |_| Ok(()));
        }

        #[test]
        fn what_was_compressed_comes_out(data in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let mut out = Vec::new();
            let z = gzipped(&data);
            let used = gunzip(&z, |piece| { out.extend_from_slice(piece); Ok(()) });
            prop_assert_eq!(used, Ok(z.len()));
            prop_assert_eq!(out, data);
        }
    }
}
