// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `lib/`: helpers that are pure functions of plain data.
pub mod bug;
pub mod cmdline;
pub mod cpio;
pub mod cpio_pieces;
pub mod decompress_inflate;
pub mod iov_iter;
pub mod nmi_backtrace;
pub mod ratelimit;
