// SPDX-License-Identifier: GPL-2.0-only
//! The PC's serial ports (Linux 6.1, `drivers/tty/serial/8250/`): polled output, so
//! that it works from any context, and interrupt-driven input.

use crate::arch::x86::kernel::irq::request_irq;
use arrayvec::ArrayVec;
use core::sync::atomic::{AtomicU32, Ordering};
use x86_64::instructions::port::Port;

/// I/O ports of ttyS0 to ttyS3.
const BASES: [u16; 4] = [0x3f8, 0x2f8, 0x3e8, 0x2e8];
/// Which ports are there, a bit each.
static PRESENT: AtomicU32 = AtomicU32::new(0);

const IER: u16 = 1;
const FCR: u16 = 2;
const LCR: u16 = 3;
const MCR: u16 = 4;
const LSR: u16 = 5;
const SCR: u16 = 7;
const LSR_DATA_READY: u8 = 1;
const LSR_THR_EMPTY: u8 = 0x20;

fn out(port: u32, reg: u16, v: u8) {
    // SAFETY: a register of a serial port.
    unsafe { Port::<u8>::new(BASES[port as usize] + reg).write(v) };
}

fn inb(port: u32, reg: u16) -> u8 {
    // SAFETY: a register of a serial port.
    unsafe { Port::<u8>::new(BASES[port as usize] + reg).read() }
}

/// Looks for ports by their scratch register, and sets them to 115200 8N1.
pub fn probe() {
    for port in 0..4 {
        let found = [0x5a, 0xa5].iter().all(|&v| {
            out(port, SCR, v);
            inb(port, SCR) == v
        });
        if !found {
            continue;
        }
        PRESENT.fetch_or(1 << port, Ordering::Relaxed);
        out(port, IER, 0);
        out(port, LCR, 0x80);
        out(port, 0, 1);
        out(port, IER, 0);
        out(port, LCR, 3);
        out(port, FCR, 7);
        out(port, MCR, 0x0b);
    }
}

/// The ports that are there.
pub fn present() -> ArrayVec<u32, 4> {
    let p = PRESENT.load(Ordering::Relaxed);
    (0..4).filter(|n| p >> n & 1 != 0).collect()
}

/// Bytes that an empty port takes at once.
pub const FIFO_SIZE: usize = 16;

/// Sends bytes, no more than [`FIFO_SIZE`], if the port has sent what it had.
pub fn try_write(port: u32, bytes: &[u8]) -> bool {
    debug_assert!(bytes.len() <= FIFO_SIZE);
    if inb(port, LSR) & LSR_THR_EMPTY == 0 {
        return false;
    }
    for &b in bytes {
        out(port, 0, b);
    }
    true
}

/// Sends bytes as they are, from any context.
pub fn write(port: u32, bytes: &[u8]) {
    for chunk in bytes.chunks(FIFO_SIZE) {
        // A line that is stuck gives up rather than hang.
        let mut tries = 0u32;
        while inb(port, LSR) & LSR_THR_EMPTY == 0 && tries < 1_000_000 {
            tries += 1;
        }
        for &b in chunk {
            out(port, 0, b);
        }
    }
}

/// Sends kernel messages: with a carriage return before each newline.
pub fn console_write(port: u32, bytes: &[u8]) {
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        if i != 0 {
            write(port, b"\r\n");
        }
        write(port, line);
    }
}

/// Unmasks the receive interrupts.
pub fn start_receiving() {
    for port in present() {
        let irq = if port % 2 == 0 { 4 } else { 3 };
        request_irq(irq, interrupt);
        out(port, IER, 1);
    }
}

/// Takes what has come in, on whichever port.
fn interrupt() {
    for port in present() {
        while inb(port, LSR) & LSR_DATA_READY != 0 {
            super::super::n_tty::receive(port, inb(port, 0));
        }
    }
}
