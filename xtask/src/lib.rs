// SPDX-License-Identifier: GPL-2.0-only
//! The host side of Trapline, as a library so that the booting tests in
//! `tests/` use the same emulator runner, archive writer and report parser
//! that `cargo xtask` uses.
//!
//! | module | what it is for |
//! |---|---|
//! | [`cli`] | the commands and their options |
//! | [`paths`] | where things are: sources, build products |
//! | [`ui`] | progress on a terminal, plain lines elsewhere |
//! | [`tools`] | finding and installing what a build or a boot needs |
//! | [`build`] | kernel, user programs, symbol table, initramfs |
//! | [`kallsyms`] | the symbol table that the kernel carries |
//! | [`elf`] | what the host needs to know of an ELF file |
//! | [`elf_writer`] | making tiny programs, and broken ones |
//! | [`initramfs`] | writing newc archives |
//! | [`qemu`] | one bounded run of the emulator |
//! | [`gdbstub`] | a machine that stands still, and obeys |
//! | [`nmi_storm`] | NMIs while a machine runs |
//! | [`report`] | the lines that `/init` reports |
//! | [`ktap`] | the lines that in-kernel tests print |
//! | [`oracle`] | the probes, and the boots that run them |
//! | [`transcript`] | what two kernels said, row by row |
//! | [`debian`] | packages, fetched but not installed |
//! | [`linux`] | Debian's kernel, fetched but not installed |
//! | [`oops`], [`lkdtm`] | whole oopses, compared; and what provokes them on Debian's kernel |
//! | [`compare`] | both kernels, side by side |
//! | [`explain`] | what the kernel does, stage by stage |
//! | [`symbols`] | where things are in the kernel |
//! | [`host_programs`] | programs of the host's, and what they say on a kernel |
//! | [`runtimes`] | programs of other languages, compiled here |
//! | [`selftests`] | Linux's own tests, on both kernels |
//! | [`fuzz`] | campaigns of the fuzzers |
//! | [`shell`] | a machine to live in, on the terminal one is sitting at |
//! | [`run`], [`test`], [`bench`], [`image`] | the commands themselves |

pub mod bench;
pub mod build;
pub mod cli;
pub mod compare;
pub mod debian;
pub mod elf;
pub mod elf_writer;
pub mod explain;
pub mod fuzz;
pub mod gdbstub;
pub mod host_programs;
pub mod image;
pub mod initramfs;
pub mod kallsyms;
pub mod ktap;
pub mod linux;
pub mod lkdtm;
pub mod nmi_storm;
pub mod oops;
pub mod oracle;
pub mod paths;
pub mod post_mortem;
pub mod qemu;
pub mod report;
pub mod retry;
pub mod run;
pub mod runtimes;
pub mod selftests;
pub mod shell;
pub mod symbols;
pub mod test;
pub mod tools;
pub mod transcript;
pub mod ui;
