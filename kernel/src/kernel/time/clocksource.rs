// SPDX-License-Identifier: GPL-2.0-only
//! What counts the time, as programs see and choose it in sysfs (Linux 6.1,
//! `kernel/time/clocksource.c`). There is one: the CPU's counter (`arch/x86/kernel/tsc.rs`).

use crate::errno::{EBUSY, EINVAL, ENODEV, Result};
use crate::fs::seq_file::SeqFile;

const NAME: &str = "tsc";
/// Longest name, with its NUL (`CS_NAME_LEN`).
const CS_NAME_LEN: usize = 32;

/// `available_clocksource`.
pub fn show_available(out: &mut SeqFile) {
    writeln!(out, "{NAME} ");
}

/// `current_clocksource`.
pub fn show_current(out: &mut SeqFile) {
    writeln!(out, "{NAME}");
}

/// The name that was written, without the end of its line (`sysfs_get_uname`).
fn name(text: &[u8]) -> Result<&[u8]> {
    if text.is_empty() || text.len() >= CS_NAME_LEN {
        return Err(EINVAL);
    }
    Ok(text.strip_suffix(b"\n").unwrap_or(text))
}

/// Chooses one: of a name that nothing has, the best that there is stays chosen
/// (`current_clocksource_store`).
///
/// # Errors
/// `EINVAL` for what is too long to be a name.
pub fn store_current(text: &[u8]) -> Result {
    name(text).map(|_| ())
}

/// Lets one go, if another one can take its place (`clocksource_unbind`).
///
/// # Errors
/// `EBUSY` for the only one, `ENODEV` for what there is none of, and `EINVAL`.
pub fn unbind(text: &[u8]) -> Result {
    Err(if name(text)? == NAME.as_bytes() { EBUSY } else { ENODEV })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_line_end_or_not() {
        assert_eq!(name(b"tsc\n"), Ok(&b"tsc"[..]));
        assert_eq!(name(b"\n"), Ok(&b""[..]));
        assert_eq!(name(&[b'x'; 32]), Err(EINVAL));
        assert_eq!(name(&[b'x'; 31]).map(<[u8]>::len), Ok(31));
    }

    #[test]
    fn the_only_one_stays() {
        assert_eq!(unbind(b"tsc"), Err(EBUSY));
        assert_eq!(unbind(b"hpet\n"), Err(ENODEV));
        assert_eq!(store_current(b"hpet"), Ok(()));
    }
}
