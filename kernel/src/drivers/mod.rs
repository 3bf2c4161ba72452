// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `drivers/`: the serial ports, terminals, and `/dev/null` and its kin.
pub mod char;
pub mod misc;
pub mod tty;
