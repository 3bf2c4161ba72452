// SPDX-License-Identifier: GPL-2.0-only
//! Trapline: Linux's x86_64 exception-to-signal path as a small kernel.
//!
//! The folders mirror Linux's tree, so that a behaviour is found by guessing the
//! file it has in Linux. Start at [`init::start_kernel`] for the boot order, or
//! at [`arch::x86::kernel::traps`] for the subject itself.
//!
//! The library also builds for the host, where everything that is a pure
//! function of plain data is unit-tested (`cargo xtask test`).
#![cfg_attr(target_os = "none", no_std)]
// The host builds the library for its unit tests only: nothing calls the rest there.
#![cfg_attr(not(target_os = "none"), allow(dead_code, unused_imports))]

extern crate alloc;

#[macro_use]
pub mod kernel;
pub mod arch;
pub mod drivers;
pub mod errno;
pub mod fs;
pub mod init;
pub mod ipc;
#[path = "lib/mod.rs"]
pub mod lib;
pub mod locking;
pub mod mm;
pub mod security;
