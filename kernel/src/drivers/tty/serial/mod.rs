// SPDX-License-Identifier: GPL-2.0-only
//! Serial ports (Linux 6.1, `drivers/tty/serial/`).

pub mod p8250;

/// Finds the ports, and makes the one that `console=` names printk's console.
pub fn init() {
    p8250::probe();
    let wanted = crate::lib::cmdline::value("console");
    let port = match wanted.as_deref() {
        Some(v) => v.strip_prefix(b"ttyS").and_then(|r| r.first()).map(|c| c.saturating_sub(b'0') & 3),
        // Without a choice the first port it is: there is no screen.
        None => Some(0),
    };
    match port {
        Some(0) if p8250::present().contains(&0) => {
            crate::kernel::printk::console::register(|b| p8250::console_write(0, b));
        }
        Some(1) if p8250::present().contains(&1) => {
            crate::kernel::printk::console::register(|b| p8250::console_write(1, b));
        }
        _ => {}
    }
}

/// Turns on receiving, once interrupts work.
pub fn start() {
    p8250::start_receiving();
}
