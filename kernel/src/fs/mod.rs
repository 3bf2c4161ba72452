// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `fs/`: files, their names, and the programs in them.
//!
//! | here | what |
//! |---|---|
//! | [`inode`], [`dcache`], [`namespace`] | objects, their names, and how file systems are joined to one tree |
//! | [`namei`] | path names: walking, and the calls that change names |
//! | [`file_table`], [`mod@file`], [`fs_struct`] | open files, descriptor tables, root and working directory |
//! | [`filemap`], [`ramfs`], [`libfs`] | files kept in memory |
//! | [`pipe`], [`memfd`], [`eventfd`], [`signalfd`], [`timerfd`] | files without a name |
//! | [`select`], [`eventpoll`] | waiting for several of them |
//! | [`exec`], [`exec_stack`], [`binfmt_elf`], [`binfmt_script`], [`elf_image`], [`elf_tables`] | running programs |
//! | [`coredump`], [`elfcore`] | what is left of them |
//! | [`initramfs`] | the archive that the boot loader hands over |
//! | [`proc`], [`sysfs`], [`devtmpfs`], [`debugfs`] | the kernel's own files |
//!
//! The rest are the system calls, in the files where Linux has them.
pub mod anon_inodes;
pub mod attr;
pub mod binfmt_elf;
pub mod binfmt_script;
pub mod char_dev;
pub mod coredump;
pub mod dcache;
pub mod debugfs;
pub mod devpts;
pub mod devtmpfs;
pub mod elf_image;
pub mod elf_tables;
pub mod elfcore;
pub mod eventfd;
pub mod eventpoll;
pub mod exec;
pub mod exec_stack;
mod exec_thread;
pub mod fasync;
pub mod fcntl;
pub mod file;
pub mod file_table;
pub mod filemap;
pub mod fs_struct;
pub mod initramfs;
pub mod inode;
pub mod ioctl;
pub mod libfs;
pub mod locks;
pub mod memfd;
pub mod namei;
pub mod namei_calls;
pub mod namespace;
pub mod open;
pub mod pipe;
pub mod proc;
pub mod proc_namespace;
pub mod ramfs;
pub mod read_write;
pub mod readdir;
pub mod rename;
pub mod select;
pub mod sendfile;
pub mod seq_file;
pub mod signalfd;
pub mod splice;
#[cfg(target_os = "none")]
mod splice_kunit;
pub mod stat;
pub mod statfs;
pub mod superblock;
pub mod sync;
pub mod sysfs;
pub mod timerfd;
pub mod tmpfs;
pub mod utimes;

pub use file::FilesStruct;
pub use file_table::File;
pub use fs_struct::FsStruct;
