// SPDX-License-Identifier: GPL-2.0-only
//! Terminals: serial lines with a line discipline (Linux 6.1, `drivers/tty/`).
pub mod n_tty;
pub mod serial;
pub mod sysrq;
pub mod tty_io;
pub mod tty_ioctl;
pub mod tty_jobctrl;
