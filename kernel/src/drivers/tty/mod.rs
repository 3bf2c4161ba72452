// SPDX-License-Identifier: GPL-2.0-only
//! Terminals: serial lines and pseudoterminals with a line discipline (Linux 6.1, `drivers/tty/`).
pub mod n_tty;
mod n_tty_input;
mod n_tty_output;
pub mod pty;
pub mod serial;
pub mod sysrq;
mod tty_buffer;
pub mod tty_io;
pub mod tty_ioctl;
pub mod tty_jobctrl;
