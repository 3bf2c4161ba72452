// SPDX-License-Identifier: GPL-2.0-only
//! The vDSO is a shared object that dynamic linkers and unwinders can make something of.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use user::prelude::*;
use user::vdso::{DT_SONAME, DT_STRTAB, PT_DYNAMIC, PT_GNU_EH_FRAME, PT_LOAD, PT_NOTE, Symbol, Vdso};

expect! { end: exit(0) }
program!(run);

/// Each function has two names.
const NAMES: [(&CStr, &CStr); 5] = [
    (c"__vdso_clock_gettime", c"clock_gettime"),
    (c"__vdso_gettimeofday", c"gettimeofday"),
    (c"__vdso_time", c"time"),
    (c"__vdso_getcpu", c"getcpu"),
    (c"__vdso_clock_getres", c"clock_getres"),
];
/// `STB_GLOBAL` and `STB_WEAK` with `STT_FUNC`.
const GLOBAL: u8 = 1 << 4 | 2;
const WEAK: u8 = 2 << 4 | 2;

fn run() {
    let Some(v) = Vdso::of_process() else {
        return check!(false, "AT_SYSINFO_EHDR is missing");
    };
    check_eq!(v.base % 4096, 0, "its alignment");
    check_eq!(v.get::<[u8; 7]>(0), *b"\x7fELF\x02\x01\x01", "its first bytes");
    check_eq!(v.get::<[u16; 2]>(16), [3, 62], "a shared object for x86-64");
    segments(v);
    let soname = v.dynamic(DT_SONAME).zip(v.dynamic(DT_STRTAB)).map(|(s, t)| v.text(t + s));
    check_eq!(soname, Some(c"linux-vdso.so.1"), "its name");
    for (name, alias) in NAMES {
        let (Some(f), Some(a)) = (both_tables(v, name), both_tables(v, alias)) else {
            check!(false, "{name:?} or its other name is missing");
            continue;
        };
        check_eq!((f.info, a.info), (GLOBAL, WEAK), "bindings of {name:?}");
        check_eq!((f.addr, f.size), (a.addr, a.size), "{name:?} and its other name");
        check!(f.size != 0, "{name:?} has a size");
        unwinding(v, name, &f);
    }
    for name in [c"__vdso_nothing", c"", c"_DYNAMIC"] {
        check_eq!(both_tables(v, name), None, "{name:?}");
    }
}

fn segments(v: Vdso) {
    let loads = v.phdrs().filter(|p| p.kind == PT_LOAD).count();
    let load = v.phdr(PT_LOAD).unwrap_or_default();
    check_eq!((loads, load.flags, load.vaddr, load.offset), (1, 5, 0, 0), "its one segment");
    check!((0x800..=0x2000).contains(&load.memsz) && load.filesz == load.memsz, "its size {:#x}", load.memsz);
    for kind in [PT_DYNAMIC, PT_NOTE, PT_GNU_EH_FRAME] {
        let Some(p) = v.phdr(kind) else {
            check!(false, "no segment of kind {kind:#x}");
            continue;
        };
        check!(p.filesz != 0 && p.vaddr + p.memsz <= load.memsz, "segment {kind:#x}: {p:x?}");
    }
    let note = v.phdr(PT_NOTE).map_or(0, |p| p.vaddr as usize);
    check_eq!(v.get::<[u32; 3]>(note), [6, 4, 0], "a note");
    check_eq!(v.text(note + 12), c"Linux", "whose it is");
    check_eq!(v.get::<u32>(note + 20) >> 8, 0x601, "the version");
}

/// A symbol, which both tables find or neither.
fn both_tables(v: Vdso, name: &CStr) -> Option<Symbol> {
    let found = v.find_by_gnu_hash(name);
    check_eq!(v.find_by_hash(name), found, "{name:?} by the other table");
    if let Some(s) = &found {
        check_eq!(v.version(s), Some(c"LINUX_2.6"), "version of {name:?}");
    }
    found
}

/// An unwinder knows every instruction of the function.
fn unwinding(v: Vdso, name: &CStr, f: &Symbol) {
    for pc in f.addr..f.addr + f.size {
        let range = v.unwind_range(pc);
        if range.is_none_or(|(start, end)| start > f.addr || end < f.addr + f.size) {
            return check!(false, "unwinding {name:?} at +{}: {range:x?}", pc - f.addr);
        }
    }
}
