// SPDX-License-Identifier: GPL-2.0-only
//! What the booting tests in `boot/` share and what needs no emulator to be
//! tested itself.
//!
//! | module | what it is for |
//! |---|---|
//! | [`machine`] | booting for a test: which kernel, how long, what went wrong |
//! | [`console`] | what a console must have carried |
//! | [`c_program`] | an ordinary C program as `/init` |
//! | [`hello`] | an `/init` that says one line and switches off |
//! | [`hostile`] | archives and programs that are wrong in one way each |
//! | [`monitor`] | QEMU's monitor |
//! | [`nmi_proof`] | an NMI at every instruction of the entries |
//! | [`programs`] | the user programs that carry an expectation |
//! | [`pty`] | a program on a terminal of its own, and somebody who types |
//! | [`x87_program`] | a C program of x87 code |

pub mod c_program;
pub mod console;
pub mod hello;
pub mod hostile;
pub mod machine;
pub mod monitor;
pub mod nmi_proof;
pub mod programs;
pub mod pty;
pub mod x87_program;
