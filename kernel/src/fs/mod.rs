// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `fs/`: files, their names, and the programs in them.
//!
//! | here | what |
//! |---|---|
//! | [`inode`], [`dcache`], [`namespace`] | objects, their names, and how file systems are joined to one tree |
//! | [`namei`], [`namei_calls`] | path names: walking, and the calls that change names |
//! | [`file_table`], [`mod@file`], [`fs_struct`] | open files, descriptor tables, root and working directory |
//! | [`filemap`], [`ramfs`], [`libfs`] | files kept in memory |
//! | [`pipe`] | files that are a stream between processes |
//! | [`exec`], [`elf_image`], [`exec_stack`] | running programs |
//! | [`initramfs`] | the archive that the boot loader hands over |
//! | [`proc`], [`sysfs`], [`devtmpfs`] | the kernel's own files |
//!
//! The rest are the system calls, in the files where Linux has them.
pub mod char_dev;
pub mod dcache;
pub mod devtmpfs;
pub mod elf_image;
pub mod exec;
pub mod exec_stack;
pub mod fcntl;
pub mod file;
pub mod file_table;
pub mod filemap;
pub mod fs_struct;
pub mod initramfs;
pub mod inode;
pub mod libfs;
pub mod namei;
pub mod namei_calls;
pub mod namespace;
pub mod open;
pub mod pipe;
pub mod proc;
pub mod ramfs;
pub mod read_write;
pub mod readdir;
pub mod select;
pub mod stat;
pub mod superblock;
pub mod sysfs;

pub use file::FilesStruct;
pub use file_table::File;
pub use fs_struct::FsStruct;
