// SPDX-License-Identifier: GPL-2.0-only
//! An `/init` that says one line and switches the machine off.

use xtask::elf_writer::{Elf, POWER_OFF};
use xtask::initramfs::Archive;

/// What it says.
pub const LINE: &str = "hello from init";

#[rustfmt::skip]
const CODE: [u8; 21] = [
    0xbf, 0x01, 0x00, 0x00, 0x00,             // mov  edi, 1
    0x48, 0x8d, 0x35, 0x21, 0x00, 0x00, 0x00, // lea  rsi, [rip + message]
    0xba, 0x10, 0x00, 0x00, 0x00,             // mov  edx, 16
    0x89, 0xf8,                               // mov  eax, edi
    0x0f, 0x05,                               // syscall: write
];

/// The code, and the message behind it.
fn body() -> Vec<u8> {
    [&CODE[..], &POWER_OFF, LINE.as_bytes(), b"\n"].concat()
}

/// The program.
pub fn program() -> Elf {
    Elf::program(&body())
}

/// An archive with a file as `/init`.
pub fn archive_with(init: impl Into<Vec<u8>>) -> Archive {
    let mut archive = Archive::new();
    archive.char_device("dev/console", 0o600, (5, 1)).file("init", 0o755, init);
    archive
}

/// The archive of the program.
pub fn archive() -> Archive {
    archive_with(program().bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_where_the_code_looks_for_it() {
        let next_instruction = 12;
        let message = next_instruction + 0x21;
        assert_eq!(&body()[message..], format!("{LINE}\n").as_bytes());
    }
}
