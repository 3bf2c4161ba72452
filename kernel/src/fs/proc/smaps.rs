// SPDX-License-Identifier: GPL-2.0-only
//! What of each mapping is in memory: `smaps`, `smaps_rollup` (Linux 6.1, `fs/proc/task_mmu.c`,
//! `show_smap`, `show_smaps_rollup`).

use super::task_mmu::{GATE, for_each_vma, map_line};
use crate::arch::x86::entry::vsyscall_64;
use crate::arch::x86::kernel::cpu::has_ospke;
use crate::arch::x86::mm::pgtable::{Pte, PteFlags};
use crate::errno::Result;
use crate::fs::seq_file::SeqFile;
use crate::mm::Mm;
use crate::mm::mm_struct::MmState;
use crate::mm::page_alloc::PAGE_SIZE;
use crate::mm::vma::{VmFlags, Vma};

/// Bits below the point of a share (`PSS_SHIFT`).
const PSS_SHIFT: u32 = 12;

/// Bytes, by what is known of their pages (`struct mem_size_stats`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct MemSizeStats {
    resident: u64,
    shared_clean: u64,
    shared_dirty: u64,
    private_clean: u64,
    private_dirty: u64,
    referenced: u64,
    anonymous: u64,
    pss: u64,
    pss_anon: u64,
    pss_shmem: u64,
    pss_dirty: u64,
    pss_locked: u64,
}

/// What a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The process.
    Anon,
    /// A file: all of them are in memory.
    Shmem,
    /// The kernel.
    Other,
}

/// One page: whose it is, and how often it is mapped.
#[derive(Clone, Copy)]
struct Mapped {
    kind: Kind,
    dirty: bool,
    young: bool,
    locked: bool,
    count: u64,
}

impl MemSizeStats {
    /// Counts a page (`smaps_account`, `smaps_page_accumulate`).
    fn account(&mut self, m: Mapped) {
        let size = PAGE_SIZE as u64;
        let pss = (size << PSS_SHIFT) / m.count.max(1);
        let young = if m.young { size } else { 0 };
        self.resident += size;
        self.referenced += young;
        self.pss += pss;
        match m.kind {
            Kind::Anon => {
                self.anonymous += size;
                self.pss_anon += pss;
            }
            Kind::Shmem => self.pss_shmem += pss,
            Kind::Other => {}
        }
        if m.locked {
            self.pss_locked += pss;
        }
        if m.dirty {
            self.pss_dirty += pss;
        }
        *match (m.count > 1, m.dirty) {
            (true, true) => &mut self.shared_dirty,
            (true, false) => &mut self.shared_clean,
            (false, true) => &mut self.private_dirty,
            (false, false) => &mut self.private_clean,
        } += size;
    }

    /// The lines (`__show_smap`); some are of the sum only.
    fn show(&self, o: &mut SeqFile, rollup: bool) {
        let mut line = |name: &str, bytes: u64| writeln!(o, "{:<16}{:>8} kB", name, bytes >> 10);
        line("Rss:", self.resident);
        line("Pss:", self.pss >> PSS_SHIFT);
        line("Pss_Dirty:", self.pss_dirty >> PSS_SHIFT);
        if rollup {
            line("Pss_Anon:", self.pss_anon >> PSS_SHIFT);
            line("Pss_File:", (self.pss - self.pss_anon - self.pss_shmem) >> PSS_SHIFT);
            line("Pss_Shmem:", self.pss_shmem >> PSS_SHIFT);
        }
        line("Shared_Clean:", self.shared_clean);
        line("Shared_Dirty:", self.shared_dirty);
        line("Private_Clean:", self.private_clean);
        line("Private_Dirty:", self.private_dirty);
        line("Referenced:", self.referenced);
        line("Anonymous:", self.anonymous);
        // None of these are there.
        for name in [
            "LazyFree:",
            "AnonHugePages:",
            "ShmemPmdMapped:",
            "FilePmdMapped:",
            "Shared_Hugetlb:",
            "Private_Hugetlb:",
            "Swap:",
            "SwapPss:",
        ] {
            line(name, 0);
        }
        line("Locked:", self.pss_locked >> PSS_SHIFT);
    }
}

/// What an entry of a mapping's tables counts as; nothing if its page is nobody's.
fn mapped(v: &Vma, pte: Pte) -> Option<Mapped> {
    if !pte.owns_page() {
        return None;
    }
    // SAFETY: the entry owns its page, and the address space is locked.
    let refs = u64::from(unsafe { pte.borrow_page() }.ref_count());
    let kind = match () {
        () if pte.has(PteFlags::ANON) => Kind::Anon,
        () if v.backing.file().is_some() => Kind::Shmem,
        () => Kind::Other,
    };
    // The file, or the kernel, has a reference of its own.
    let count = if kind == Kind::Anon { refs } else { refs - 1 };
    let dirty = pte.has(PteFlags::DIRTY) || kind == Kind::Shmem;
    let young = pte.has(PteFlags::ACCESSED);
    Some(Mapped { kind, dirty, young, locked: v.flags.contains(VmFlags::LOCKED), count })
}

/// Adds what a mapping has in memory (`smap_gather_stats`).
fn gather(st: &MmState, v: &Vma, stats: &mut MemSizeStats) {
    const TABLE: usize = 512 * PAGE_SIZE;
    let mut at = v.start;
    // Whole tables that are not there are passed over.
    while let Some(start) = st.pt.next_mapped(at, v.end) {
        let end = ((start / TABLE + 1) * TABLE).min(v.end);
        for addr in (start..end).step_by(PAGE_SIZE) {
            if let Some(m) = mapped(v, st.pt.get(addr)) {
                stats.account(m);
            }
        }
        at = end;
    }
}

/// Two letters for each flag, in the order of Linux's bits (`show_smap_vma_flags`).
fn vm_flags(f: VmFlags) -> impl Iterator<Item = &'static str> {
    const NAMES: [(VmFlags, &str); 25] = [
        (VmFlags::READ, "rd"),
        (VmFlags::WRITE, "wr"),
        (VmFlags::EXEC, "ex"),
        (VmFlags::SHARED, "sh"),
        (VmFlags::MAYREAD, "mr"),
        (VmFlags::MAYWRITE, "mw"),
        (VmFlags::MAYEXEC, "me"),
        (VmFlags::MAYSHARE, "ms"),
        (VmFlags::GROWSDOWN, "gd"),
        (VmFlags::PFNMAP, "pf"),
        (VmFlags::LOCKED, "lo"),
        (VmFlags::IO, "io"),
        (VmFlags::SEQ_READ, "sr"),
        (VmFlags::RAND_READ, "rr"),
        (VmFlags::DONTCOPY, "dc"),
        (VmFlags::DONTEXPAND, "de"),
        (VmFlags::LOCKONFAULT, "lf"),
        (VmFlags::ACCOUNT, "ac"),
        (VmFlags::NORESERVE, "nr"),
        (VmFlags::WIPEONFORK, "wf"),
        (VmFlags::DONTDUMP, "dd"),
        // Nobody can ask for the soft-dirty bits to be cleared: every mapping has been written to.
        (VmFlags::empty(), "sd"),
        (VmFlags::HUGEPAGE, "hg"),
        (VmFlags::NOHUGEPAGE, "nh"),
        (VmFlags::MERGEABLE, "mg"),
    ];
    NAMES.into_iter().filter(move |n| f.contains(n.0)).map(|n| n.1)
}

/// A mapping's lines below that of `maps`.
fn show_smap(o: &mut SeqFile, len: usize, stats: &MemSizeStats, pkey: u8) {
    for (name, bytes) in [("Size:", len), ("KernelPageSize:", PAGE_SIZE), ("MMUPageSize:", PAGE_SIZE)] {
        writeln!(o, "{name:<16}{:>8} kB", bytes >> 10);
    }
    stats.show(o, false);
    o.put(b"THPeligible:    0\n");
    if has_ospke() {
        writeln!(o, "ProtectionKey:  {pkey:>8}");
    }
}

/// A mapping's record of `smaps`.
fn show_vma(st: &MmState, v: &Vma, o: &mut SeqFile) {
    map_line(st, v, o);
    let mut stats = MemSizeStats::default();
    gather(st, v, &mut stats);
    show_smap(o, v.len(), &stats, v.flags.pkey());
    o.put(b"VmFlags: ");
    // The stack lost the bit when `execve` gave it its permissions.
    let shown = vm_flags(v.flags).filter(|&n| n != "sd" || !st.is_stack(v));
    shown.for_each(|name| write!(o, "{name} "));
    o.put(b"\n");
}

/// `smaps`.
pub fn smaps(mm: &Mm, o: &mut SeqFile) -> Result {
    let st = mm.lock();
    let all = for_each_vma(&st, o, |v, o| show_vma(&st, v, o));
    if all && let (Some(line), Some(flags)) = (vsyscall_64::gate_vma(), vsyscall_64::gate_vma_flags()) {
        o.record(GATE, |o| {
            o.put(line.as_bytes());
            show_smap(o, PAGE_SIZE, &MemSizeStats::default(), 0);
            o.put(b"VmFlags: ");
            vm_flags(flags).filter(|&n| n != "sd").for_each(|name| write!(o, "{name} "));
            o.put(b"\n");
        });
    }
    Ok(())
}

/// `smaps_rollup`: all of it in one.
pub fn smaps_rollup(mm: &Mm, o: &mut SeqFile) -> Result {
    let st = mm.lock();
    let mut stats = MemSizeStats::default();
    let (mut start, mut end) = (None, 0);
    for v in st.vmas.iter() {
        start.get_or_insert(v.start);
        end = v.end;
        gather(&st, v, &mut stats);
    }
    // Without a mapping it is all of nothing.
    let start = start.unwrap_or(0);
    let line = o.len();
    write!(o, "{start:08x}-{end:08x} ---p 00000000 00:00 0 ");
    o.pad(line, 73);
    o.put(b"[rollup]\n");
    stats.show(o, true);
    Ok(())
}

/// Pages of the process that are in files, and its data and stacks: for `statm` (`task_statm`).
pub fn shared_and_data(st: &MmState) -> (usize, usize) {
    (st.rss.file, st.stat.data_vm + st.stat.stack_vm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_shared_by_those_who_map_them() {
        let page = Mapped { kind: Kind::Anon, dirty: true, young: true, locked: false, count: 1 };
        let mut s = MemSizeStats::default();
        s.account(page);
        s.account(Mapped { count: 3, locked: true, ..page });
        s.account(Mapped { kind: Kind::Shmem, dirty: false, young: false, ..page });
        assert_eq!((s.resident, s.referenced, s.anonymous), (12288, 8192, 8192));
        assert_eq!((s.private_dirty, s.shared_dirty, s.private_clean, s.shared_clean), (4096, 4096, 4096, 0));
        assert_eq!((s.pss >> PSS_SHIFT, s.pss_locked >> PSS_SHIFT), (4096 + 1365 + 4096, 1365));
        assert_eq!((s.pss_anon >> PSS_SHIFT, s.pss_shmem >> PSS_SHIFT), (4096 + 1365, 4096));
    }

    #[test]
    fn flags_have_linuxs_names_and_order() {
        let text = VmFlags::READ | VmFlags::EXEC | VmFlags::MAYACCESS;
        assert!(vm_flags(text).eq(["rd", "ex", "mr", "mw", "me", "sd"]));
        let data = VmFlags::READ | VmFlags::MAYREAD | VmFlags::SPECIAL | VmFlags::DONTDUMP;
        assert!(vm_flags(data).eq(["rd", "mr", "pf", "io", "de", "dd", "sd"]));
        assert!(vm_flags(VmFlags::STACK).eq(["rd", "wr", "mr", "mw", "me", "gd", "ac", "sd"]));
    }
}
