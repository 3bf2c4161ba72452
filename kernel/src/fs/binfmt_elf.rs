// SPDX-License-Identifier: GPL-2.0-only
//! Loading ELF programs (Linux 6.1, `fs/binfmt_elf.c`).

use crate::arch::x86::entry::vdso::vma::arch_setup_additional_pages;
use crate::arch::x86::kernel::process_64::start_thread;
use crate::arch::x86::lib::usercopy::TASK_SIZE_MAX;
use crate::arch::x86::mm::mmap::{ELF_ET_DYN_BASE, arch_mmap_rnd, arch_randomize_brk};
use crate::errno::{EEXIST, EINVAL, EIO, ELIBBAD, ENOEXEC, ENOMEM, Errno, Result};
use crate::fs::elf_image::{ElfHeader, ElfImage, Segment, interp_path, page_align, page_start};
use crate::fs::elf_tables::{self, Loaded};
use crate::fs::exec::{Binprm, RANDOMIZE_VA_SPACE, open_exec};
use crate::fs::file_table::File;
use crate::kernel::task::{current, pf};
use crate::mm::Mm;
use crate::mm::mmap::MmapArgs;
use crate::mm::page_alloc::PAGE_SIZE;
use crate::mm::util::kvcalloc;
use crate::mm::vma::{MmapFile, VmFlags, prot};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::{MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE};

/// `personality` bit that asks for a readable page 0.
const MMAP_PAGE_ZERO: u32 = 0x0010_0000;

/// Reads exactly `len` bytes, or `EIO` (`elf_read`).
fn elf_read(f: &File, pos: u64, len: usize) -> Result<alloc::vec::Vec<u8>> {
    let mut v = kvcalloc(len)?;
    if i64::try_from(pos).is_err() {
        return Err(EINVAL);
    }
    if f.kernel_read(&mut v, pos)? == len { Ok(v) } else { Err(EIO) }
}

/// The program headers of a file that starts with `start`.
fn load_image(f: &File, start: &[u8]) -> Result<ElfImage> {
    let h = ElfHeader::parse(start)?;
    let table = elf_read(f, h.phoff, h.table_len()).map_err(|_| ENOEXEC)?;
    ElfImage::parse(h, &table)
}

/// A program's interpreter: the file, and what it says.
struct Interp {
    file: Arc<File>,
    image: ElfImage,
}

fn open_interp(f: &File, image: &ElfImage) -> Result<Option<Interp>> {
    let Some((at, len)) = image.interp else {
        return Ok(None);
    };
    let bytes = elf_read(f, at, len)?;
    let file = open_exec(interp_path(&bytes)?)?;
    let start = elf_read(&file, 0, 64)?;
    let image = load_image(&file, &start).map_err(|_| ELIBBAD)?;
    Ok(Some(Interp { file, image }))
}

/// Maps files into one address space.
struct Mapper<'a> {
    mm: &'a Mm,
    file: &'a Arc<File>,
}

/// Whether an address cannot be a program's (`BAD_ADDR`).
const fn bad_addr(a: u64) -> bool {
    a >= TASK_SIZE_MAX as u64
}

impl Mapper<'_> {
    fn mmap(&self, addr: u64, len: u64, prot: u32, flags: u32, off: u64) -> Result<u64> {
        let len = page_align(len);
        if off.checked_add(len).is_none() || !off.is_multiple_of(PAGE_SIZE as u64) {
            return Err(EINVAL);
        }
        let a = MmapArgs {
            addr: addr as usize,
            len: len as usize,
            prot,
            flags: flags | MAP_PRIVATE,
            pgoff: off / PAGE_SIZE as u64,
        };
        let file = MmapFile {
            file: self.file.mmap(),
            readable: true,
            writable: false,
            noexec: false,
            sealed: false,
        };
        Ok(self.mm.lock().do_mmap(a, Some(file))? as u64)
    }

    /// Maps what a segment has of the file (`elf_map`); the first of several maps
    /// `total` bytes to find room for all. Returns the first page.
    fn map(&self, addr: u64, s: &Segment, flags: u32, total: u64) -> Result<u64> {
        let (size, off) = s.map_request();
        let addr = page_start(addr);
        if size == 0 {
            return Ok(addr);
        }
        let want = if total == 0 { size } else { page_align(total) };
        let r = self.mmap(addr, want, s.prot, flags, off);
        if flags & MAP_FIXED_NOREPLACE != 0 && r == Err(EEXIST) {
            let (pid, comm) = (current().pid(), current().comm());
            let comm = comm.escape_ascii();
            crate::pr_info!(
                "{pid} ({comm}): Uhuuh, elf segment at {addr:016x} requested but the memory is mapped already\n"
            );
        }
        let at = r?;
        if want > size {
            let _ = self.mm.lock().do_munmap((at + size) as usize, (want - size) as usize);
        }
        Ok(at)
    }

    /// Zeroes from `at` to the end of its page. What cannot be written is left.
    fn pad_zero(&self, at: u64) -> Result {
        static ZEROES: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
        let offset = at as usize % PAGE_SIZE;
        if offset == 0 { Ok(()) } else { self.mm.write_bytes(at as usize, &ZEROES[offset..]) }
    }

    fn brk(&self, start: u64, end: u64, prot: u32) -> Result {
        let extra = if prot & prot::EXEC != 0 { VmFlags::EXEC } else { VmFlags::empty() };
        self.mm.lock().vm_brk_flags(start as usize, end.wrapping_sub(start) as usize, extra)
    }

    /// Maps a segment: the file's part, and zeroes behind it (`elf_load`).
    fn load(&self, addr: u64, s: &Segment, flags: u32, total: u64) -> Result<u64> {
        let offset = s.page_offset();
        let mut at = page_start(addr);
        let mut zero_start = at;
        if s.filesz != 0 {
            at = self.map(addr, s, flags, total)?;
            if bad_addr(at) {
                return Err(EINVAL);
            }
            zero_start = at.wrapping_add(offset).wrapping_add(s.filesz);
            if s.memsz > s.filesz {
                let _ = self.pad_zero(zero_start);
            }
        }
        if s.memsz > s.filesz {
            let end = page_align(at.wrapping_add(offset).wrapping_add(s.memsz));
            let start = page_align(zero_start);
            // In C the length wraps to something that does not fit.
            if end < start {
                return Err(ENOMEM);
            }
            self.brk(start, end, s.prot)?;
        }
        Ok(at)
    }
}

/// Where the first segment of a program that may be loaded anywhere is wanted: the
/// address, and the flags of its mapping.
fn choose_base(m: &Mapper<'_>, image: &ElfImage, interp: bool, total: u64) -> Result<(u64, u32)> {
    let alignment = image.maximum_alignment();
    let align = |a: u64| if alignment == 0 { a } else { a & !(alignment - 1) };
    if interp {
        let base = ELF_ET_DYN_BASE + arch_mmap_rnd();
        return Ok((align(base as u64), MAP_FIXED_NOREPLACE));
    }
    if alignment > PAGE_SIZE as u64 {
        // Find out where there is room, and align that.
        let at = m.load(0, &image.segments[0], 0, total)?;
        let _ = m.mm.lock().do_munmap(page_start(at) as usize, page_align(total) as usize);
        return Ok((align(at), MAP_FIXED_NOREPLACE));
    }
    Ok((0, 0))
}

/// What loading the program's segments came to.
#[derive(Default)]
struct Extent {
    bias: u64,
    brk: u64,
    code: (u64, u64),
    data: (u64, u64),
}

/// Maps the program's segments.
fn load_segments(m: &Mapper<'_>, image: &ElfImage, interp: bool) -> Result<Extent> {
    let mut x = Extent { code: (u64::MAX, 0), ..Extent::default() };
    let mut first = true;
    for s in &image.segments {
        let (mut flags, mut total) = (MAP_FIXED, 0);
        if first && !image.header.dynamic {
            flags = MAP_FIXED_NOREPLACE;
        } else if first {
            total = image.total_mapping_size();
            if total == 0 {
                return Err(EINVAL);
            }
            let (base, f) = choose_base(m, image, interp, total)?;
            flags = f;
            x.bias = page_start(base.wrapping_sub(s.vaddr));
        }
        let at = m.load(x.bias.wrapping_add(s.vaddr), s, flags, total)?;
        if bad_addr(at) {
            return Err(EINVAL);
        }
        if first && image.header.dynamic {
            let wanted = page_start(x.bias.wrapping_add(s.vaddr));
            x.bias = x.bias.wrapping_add(at.wrapping_sub(wanted));
        }
        first = false;
        if s.is_bad() {
            return Err(EINVAL);
        }
        let (file_end, end) = (s.vaddr + s.filesz, s.vaddr + s.memsz);
        if s.prot & prot::EXEC != 0 {
            x.code = (x.code.0.min(s.vaddr), x.code.1.max(file_end));
        }
        x.data = (x.data.0.max(s.vaddr), x.data.1.max(file_end));
        x.brk = x.brk.max(end);
    }
    Ok(x)
}

/// Maps the interpreter's segments (`load_elf_interp`); returns its load address.
fn load_interp(mm: &Mm, interp: &Interp, no_base: u64) -> Result<u64> {
    let m = Mapper { mm, file: &interp.file };
    let image = &interp.image;
    let mut total = image.total_mapping_size();
    if total == 0 {
        return Err(EINVAL);
    }
    let (mut bias, mut placed) = (0u64, false);
    let (mut bss, mut last_bss, mut bss_prot) = (0, 0, 0);
    for s in &image.segments {
        let fixed = !image.header.dynamic || placed;
        if !fixed && no_base != 0 {
            bias = s.vaddr.wrapping_neg();
        }
        let at = m.map(bias.wrapping_add(s.vaddr), s, if fixed { MAP_FIXED } else { 0 }, total)?;
        total = 0;
        if bad_addr(at) {
            return Err(EINVAL);
        }
        if image.header.dynamic && !placed {
            bias = at.wrapping_sub(page_start(s.vaddr));
            placed = true;
        }
        let moved = Segment { vaddr: bias.wrapping_add(s.vaddr), ..*s };
        if moved.is_bad() {
            return Err(ENOMEM);
        }
        bss = bss.max(moved.vaddr + moved.filesz);
        if moved.vaddr + moved.memsz > last_bss {
            last_bss = moved.vaddr + moved.memsz;
            bss_prot = s.prot;
        }
    }
    m.pad_zero(bss)?;
    let (start, end) = (page_align(bss), page_align(last_bss));
    if end > start {
        m.brk(start, end, bss_prot)?;
    }
    Ok(bias)
}

/// Where the program break begins.
fn brk_start(x: &Extent, image: &ElfImage, interp: bool) -> usize {
    let moved = image.header.dynamic && !interp;
    let end = if moved { ELF_ET_DYN_BASE as u64 } else { x.brk.wrapping_add(x.bias) };
    let brk = page_align(end) as usize;
    let randomized = current().pf.load(Ordering::Relaxed) & pf::RANDOMIZE != 0;
    if randomized && RANDOMIZE_VA_SPACE.load(Ordering::Relaxed) > 1 {
        arch_randomize_brk(if moved { brk } else { brk + PAGE_SIZE })
    } else {
        brk
    }
}

/// Turns the current task into the program in `b`; `ENOEXEC` if it is none
/// (`load_elf_binary`).
pub fn load_elf_binary(b: &mut Binprm) -> Result {
    let image = load_image(&b.file, &b.buf)?;
    b.file.mmap()?;
    let interp = open_interp(&b.file, &image)?;
    if let Some(i) = &interp {
        b.would_dump(&i.file);
    }

    b.begin_new_exec()?;
    let file = b.file.clone();
    let mm = b.stack.mm.clone();
    mm.lock().set_stack_exec(b.stack.p, image.exec_stack)?;
    mm.setup_arg_pages(b.stack.p)?;

    let m = Mapper { mm: &mm, file: &file };
    let x = load_segments(&m, &image, interp.is_some())?;
    let own_entry = image.header.entry.wrapping_add(x.bias);
    let (entry, base) = match &interp {
        Some(i) => {
            let base = load_interp(&mm, i, x.bias)?;
            (base.wrapping_add(i.image.header.entry), base)
        }
        None => (own_entry, 0),
    };
    if bad_addr(entry) {
        return Err(EINVAL);
    }
    arch_setup_additional_pages(&mm)?;
    let loaded = Loaded {
        phdr: image.phdr_addr().wrapping_add(x.bias),
        phnum: image.header.phnum,
        base,
        entry: own_entry,
    };
    let sp = elf_tables::create(&b.stack, &loaded, &current().cred.get(), b.secure)?;
    set_layout(&mm, &x, brk_start(&x, &image, interp.is_some()));
    if current().personality.load(Ordering::Relaxed) & MMAP_PAGE_ZERO != 0 {
        map_page_zero(&mm);
    }
    start_thread(current().pt_regs(), entry, sp as u64);
    Ok(())
}

fn set_layout(mm: &Mm, x: &Extent, brk: usize) {
    let mut st = mm.lock();
    let at = |v: u64| v.wrapping_add(x.bias) as usize;
    let l = &mut st.layout;
    (l.start_code, l.end_code) = (at(x.code.0), at(x.code.1));
    (l.start_data, l.end_data) = (at(x.data.0), at(x.data.1));
    (l.start_brk, l.brk) = (brk, brk);
}

fn map_page_zero(mm: &Mm) {
    let flags = MAP_FIXED | MAP_PRIVATE | linux_raw_sys::general::MAP_ANONYMOUS;
    let a = MmapArgs { addr: 0, len: PAGE_SIZE, prot: prot::READ | prot::EXEC, flags, pgoff: 0 };
    let _: Result<usize, Errno> = mm.lock().do_mmap(a, None);
}
