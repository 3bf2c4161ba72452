// SPDX-License-Identifier: GPL-2.0-only
//! What a process has mapped (Linux 6.1, `fs/proc/task_mmu.c`).

use crate::arch::x86::entry::vsyscall_64::gate_vma;
use crate::errno::Result;
use crate::fs::inode::Dev;
use crate::fs::seq_file::SeqFile;
use crate::mm::Mm;
use crate::mm::mm_struct::MmState;
use crate::mm::page_alloc::{PAGE_SIZE, page_align};
use crate::mm::vma::{Backing, VmFlags, Vma};
use alloc::vec::Vec;

/// The sizes in `status` (`task_mem`).
pub fn task_mem(mm: &Mm, o: &mut SeqFile) {
    let st = mm.lock();
    let (s, rss, l) = (&st.stat, &st.rss, &st.layout);
    let text = page_align(l.end_code).saturating_sub(l.start_code & !(PAGE_SIZE - 1)) / PAGE_SIZE;
    let text = text.min(s.exec_vm);
    let resident = rss.anon + rss.file;
    for (name, pages) in [
        ("VmPeak", s.peak_vm),
        ("VmSize", s.total_vm),
        ("VmLck", s.locked_vm),
        ("VmPin", 0),
        ("VmHWM", st.hiwater_rss.max(resident)),
        ("VmRSS", resident),
        ("RssAnon", rss.anon),
        ("RssFile", rss.file),
        ("RssShmem", 0),
        ("VmData", s.data_vm),
        ("VmStk", s.stack_vm),
        ("VmExe", text),
        ("VmLib", s.exec_vm - text),
        ("VmPTE", st.pt.tables()),
        ("VmSwap", 0),
        ("HugetlbPages", 0),
    ] {
        writeln!(o, "{name}:\t{:>8} kB", pages * (PAGE_SIZE / 1024));
    }
}

/// `maps`: a line for each mapping.
pub fn maps(mm: &Mm, o: &mut SeqFile) -> Result {
    let st = mm.lock();
    let all = for_each_vma(&st, o, |v, o| map_line(&st, v, o));
    if all && let Some(line) = gate_vma() {
        o.record(GATE, |o| o.put(line.as_bytes()));
    }
    Ok(())
}

/// The record of the kernel's own page, behind all mappings.
pub const GATE: u64 = u64::MAX;

/// Writes a record for each mapping from the one that is wanted first on, by their addresses (`m_start`).
/// False if there is no room for more.
pub fn for_each_vma(st: &MmState, o: &mut SeqFile, mut show: impl FnMut(&Vma, &mut SeqFile)) -> bool {
    let mut at = st.vmas.lower_bound(usize::try_from(o.from()).unwrap_or(usize::MAX));
    while let Some(p) = at {
        let v = st.vmas.get(p);
        // One that has grown down since the last read is still to come.
        if !o.record((v.start as u64).max(o.from()), |o| show(v, o)) {
            return false;
        }
        at = st.vmas.next(p);
    }
    true
}

/// A mapping's line (`show_map_vma`).
pub fn map_line(st: &MmState, v: &Vma, o: &mut SeqFile) {
    let bit = |f: VmFlags, c: char| if v.flags.contains(f) { c } else { '-' };
    let share = if v.flags.contains(VmFlags::MAYSHARE) { 's' } else { 'p' };
    let (dev, ino) = v.backing.file().map_or((0, 0), |f| f.dev_ino());
    let dev = Dev::from_user(dev as u32);
    let off = if v.backing.file().is_some() { v.pgoff * 4096 } else { 0 };
    let line = o.len();
    write!(
        o,
        "{:08x}-{:08x} {}{}{}{share} {off:08x} {:02x}:{:02x} {ino} ",
        v.start,
        v.end,
        bit(VmFlags::READ, 'r'),
        bit(VmFlags::WRITE, 'w'),
        bit(VmFlags::EXEC, 'x'),
        dev.major(),
        dev.minor(),
    );
    let mut name = Vec::new();
    match &v.backing {
        Backing::File(f) => f.name(&mut name),
        Backing::Special(s) => name.extend(s.name.bytes()),
        Backing::Anon if st.is_heap(v) => name.extend(b"[heap]"),
        Backing::Anon if st.is_stack(v) => name.extend(b"[stack]"),
        Backing::Anon => {}
    }
    if !name.is_empty() {
        o.pad(line, 73);
        // A name of two lines would be two mappings.
        o.put_mangled(&name, b"\n");
    }
    o.put(b"\n");
}
