// SPDX-License-Identifier: GPL-2.0-only
//! Text in a buffer of fixed size: what does not fit is cut off, visibly.

use core::fmt;

/// A string of at most `N` bytes.
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
    cut: bool,
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Text<N> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { bytes: [0; N], len: 0, cut: false }
    }

    /// The text so far.
    pub fn as_str(&self) -> &str {
        // Only whole characters are ever stored.
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether something did not fit.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Forgets the text.
    pub fn clear(&mut self) {
        self.len = 0;
        self.cut = false;
    }

    /// Adds bytes that others wrote: what is not printable ASCII becomes `?`.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        for &b in bytes {
            let c = if (0x20..0x7f).contains(&b) || b == b'\n' { b } else { b'?' };
            self.push(char::from(c));
        }
    }

    fn push(&mut self, c: char) {
        let mut utf8 = [0; 4];
        let s = c.encode_utf8(&mut utf8).as_bytes();
        if self.cut || self.len + s.len() > N {
            self.cut = true;
            return;
        }
        self.bytes[self.len..self.len + s.len()].copy_from_slice(s);
        self.len += s.len();
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        s.chars().for_each(|c| self.push(c));
        Ok(())
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        if self.cut { f.write_str("...") } else { Ok(()) }
    }
}

/// Formats into a new [`Text`].
#[macro_export]
macro_rules! text {
    ($n:literal, $($arg:tt)*) => {{
        let mut t = $crate::text::Text::<$n>::new();
        let _ = core::fmt::Write::write_fmt(&mut t, format_args!($($arg)*));
        t
    }};
}

/// Shows a string as JSON wants it, with its quotes.
pub struct Json<'a>(pub &'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                c if (c as u32) < 0x20 => write!(f, "\\u{:04x}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn what_does_not_fit_is_cut_visibly() {
        let t = text!(4, "{}", 123_456);
        assert_eq!(t.as_str(), "1234");
        assert_eq!(t.to_string(), "1234...");
    }

    #[test]
    fn characters_are_never_split() {
        let t = text!(3, "aé€");
        assert_eq!(t.as_str(), "aé");
        assert!(t.is_cut());
    }

    #[test]
    fn json_escapes() {
        assert_eq!(Json("a\"b\\c\n\u{1}").to_string(), r#""a\"b\\c\n\u0001""#);
    }
}
