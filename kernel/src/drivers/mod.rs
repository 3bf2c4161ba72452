// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `drivers/`: the serial ports, terminals, `/dev/null` and its kin, lkdtm, what the
//! firmware tells.
pub mod char;
pub mod firmware;
pub mod misc;
pub mod tty;
