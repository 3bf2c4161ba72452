// SPDX-License-Identifier: GPL-2.0-only
//! Serial ports (Linux 6.1, `drivers/tty/serial/`).

pub mod p8250;

use crate::fs::inode::Dev;
use crate::kernel::printk::console;
use arrayvec::ArrayVec;

/// `TTY_MAJOR`.
const TTY_MAJOR: u32 = 4;
/// Minor number of `ttyS0`.
const MINOR_BASE: u32 = 64;

/// The ports that are there.
pub fn ports() -> ArrayVec<u32, 4> {
    p8250::present()
}

/// Device number of a port.
pub const fn dev(port: u32) -> Dev {
    Dev::new(TTY_MAJOR, MINOR_BASE + port)
}

/// The port with this device number.
pub fn port(d: Dev) -> Option<u32> {
    (0..4).find(|&p| dev(p) == d)
}

/// The port named by `console=ttySn[,options]`.
fn parse_console(value: &[u8]) -> Option<u32> {
    let (&digit, rest) = value.strip_prefix(b"ttyS")?.split_first()?;
    let whole = rest.is_empty() || rest[0] == b',';
    (whole && (b'0'..b'4').contains(&digit)).then(|| u32::from(digit - b'0'))
}

/// The port that is `/dev/console`: the last that the command line names, else the first.
pub fn console_port() -> u32 {
    crate::lib::cmdline::values("console").iter().rev().find_map(|v| parse_console(v)).unwrap_or(0)
}

/// What printk calls for each port.
const WRITERS: [console::WriteFn; 4] = [
    |b| p8250::console_write(0, b),
    |b| p8250::console_write(1, b),
    |b| p8250::console_write(2, b),
    |b| p8250::console_write(3, b),
];

/// Finds the ports, and makes those that `console=` names printk's consoles. Without a
/// choice it is the first: there is no screen.
pub fn init() {
    p8250::probe();
    let named = crate::lib::cmdline::values("console");
    let mut wanted: ArrayVec<u32, 4> = ArrayVec::new();
    for p in named.iter().filter_map(|v| parse_console(v)) {
        if !wanted.contains(&p) {
            wanted.push(p);
        }
    }
    if named.is_empty() {
        wanted.push(0);
    }
    for p in wanted.into_iter().filter(|p| ports().contains(p)) {
        console::register(WRITERS[p as usize]);
    }
}

/// Turns on receiving, once interrupts work.
pub fn start() {
    p8250::start_receiving();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_are_named_as_on_linux() {
        assert_eq!(parse_console(b"ttyS1"), Some(1));
        assert_eq!(parse_console(b"ttyS0,115200n8"), Some(0));
        assert_eq!(parse_console(b"ttyS9"), None);
        assert_eq!(parse_console(b"ttyS"), None);
        assert_eq!(parse_console(b"tty0"), None);
        assert_eq!(port(dev(3)), Some(3));
        assert_eq!(port(Dev::new(5, 1)), None);
    }
}
