// SPDX-License-Identifier: GPL-2.0-only
//! SYSENTER and SYSCALL from 32-bit code in a 64-bit process: the call is made, and ends at the
//! offset that the 32-bit vDSO's landing pad has, cut to 32 bits; the arguments are where that
//! vDSO puts them.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use core::cell::UnsafeCell;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use linux_raw_sys::general::{MAP_32BIT, SIGSEGV, SIGTRAP, SIGUSR1, SS_DISABLE};
use user::memory::{
    MAP_ANONYMOUS, MAP_FIXED_NOREPLACE, MAP_PRIVATE, PAGE, PROT_EXEC, PROT_READ, PROT_WRITE, unmap,
};
use user::prelude::*;
use user::signal::{AltStack, raise, sigaltstack};
use user::syscall;
use user::syscall::Result;
use user::ucontext::SigContext;
use user::vdso::Vdso;

expect! { end: exit(0) }
program!(run);

const GETPID: u64 = 20;
const WRITE: u64 = 4;
const MMAP2: u64 = 192;
const NO_CALL: u64 = 9999;
const TF: u64 = 0x100;
const NT: u64 = 0x4000;
const AC: u64 = 0x4_0000;
const VDSO: usize = 2 * PAGE;

/// How 32-bit code calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Sysenter,
    Syscall,
}

/// What the 32-bit code starts with, and how it ended.
struct Crossing {
    start: SigContext,
    saved: SigContext,
    seen: SigContext,
    signal: (i32, i32, u64),
    nested_task: bool,
}

struct Shared(UnsafeCell<Option<Crossing>>);
// SAFETY: one thread, whose handlers run where it waits for them.
unsafe impl Sync for Shared {}
static CROSSING: Shared = Shared(UnsafeCell::new(None));

/// Puts registers into a frame; what belongs to the frame itself stays.
fn load(uc: &mut UContext, r: &SigContext) {
    let own = uc.mcontext;
    uc.mcontext = SigContext { fpstate: own.fpstate, reserved: own.reserved, ..*r };
}

extern "C" fn go_there(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    // SAFETY: see `Shared`.
    let Some(c) = (unsafe { &mut *CROSSING.0.get() }) else { return };
    c.saved = uc.mcontext;
    load(uc, &c.start);
    if c.nested_task {
        // It is not a frame's to set, but stays as it is when the handler returns.
        // SAFETY: the flag does nothing outside `iret`.
        unsafe { asm!("pushfq", "or qword ptr [rsp], 0x4000", "popfq") };
    }
}

extern "C" fn come_back(sig: i32, info: &mut SigInfo, uc: &mut UContext) {
    // SAFETY: as above; and the flag is put back.
    unsafe { asm!("pushfq", "and qword ptr [rsp], -0x4001", "popfq") };
    // SAFETY: see `Shared`.
    let Some(c) = (unsafe { &mut *CROSSING.0.get() }) else { exit_group(2) };
    c.seen = uc.mcontext;
    c.signal = (sig, info.code, info.addr());
    let saved = c.saved;
    load(uc, &saved);
}

/// Memory below 4 GiB: code, and a stack.
struct Low {
    code: usize,
    stack: usize,
    alt: usize,
}

impl Low {
    fn new() -> Result<Self> {
        let (prot, flags) = (PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT);
        // SAFETY: a new mapping.
        let code = unsafe { syscall!(__NR_mmap, 0, 0x2_0000, prot, flags, -1, 0) }?;
        let bytes = [[0x0f, 0x34], [0x0f, 0x05]];
        for (i, b) in bytes.into_iter().enumerate() {
            // SAFETY: our own memory.
            unsafe { with_exposed_provenance_mut::<[u8; 4]>(code + i * 16).write([b[0], b[1], 0x0f, 0x0b]) };
        }
        Ok(Self { code, stack: code + 0x8000, alt: code + 0x1_0000 })
    }

    /// Registers for a call: number and six arguments, as the vDSO would place them.
    fn call(&self, by: By, nr: u64, a: [u64; 6]) -> SigContext {
        // SAFETY: all zeroes are registers.
        let mut r: SigContext = unsafe { core::mem::zeroed() };
        // SAFETY: our own memory.
        unsafe { with_exposed_provenance_mut::<u32>(self.stack).write(a[5] as u32) };
        (r.ax, r.bx, r.cx, r.dx, r.si, r.di) = (nr, a[0], a[1], a[2], a[3], a[4]);
        (r.r8, r.r9, r.r10, r.r11) = (8, 9, 10, 11);
        (r.r12, r.r13, r.r14, r.r15) = (12, 13, 14, 15);
        (r.sp, r.cs, r.ss, r.flags) = (self.stack as u64, 0x23, 0x2b, 0x202);
        match by {
            By::Sysenter => (r.ip, r.bp) = (self.code as u64, r.sp),
            By::Syscall => (r.ip, r.bp, r.cx) = (self.code as u64 + 16, a[1], 77),
        }
        r
    }
}

/// Runs 32-bit code with these registers until it gets a signal.
fn cross(start: SigContext, nested_task: bool) -> Crossing {
    let none = SigContext { ip: 0, ..start };
    // SAFETY: see `Shared`.
    unsafe {
        *CROSSING.0.get() = Some(Crossing { start, saved: none, seen: none, signal: (0, 0, 0), nested_task });
        raise(SIGUSR1);
        (*CROSSING.0.get()).take().unwrap_or_else(|| exit_group(3))
    }
}

fn run() {
    let (Some(vdso), Ok(low)) = (Vdso::of_process(), Low::new()) else {
        return check!(false, "no vDSO, or no memory below 4 GiB");
    };
    let _ = sigaltstack(Some(AltStack { sp: low.alt as u64, flags: 0, size: 0x1_0000 }));
    let _ = sigaction(SIGUSR1, Action::Handle(go_there), 0, 0);
    for sig in [SIGSEGV, SIGTRAP] {
        let _ = sigaction(sig, Action::Handle(come_back), SA_ONSTACK, 0);
    }
    let mut offset = None;
    for by in [By::Sysenter, By::Syscall] {
        let at = lands(&low, by, vdso.base);
        check_eq!(*offset.get_or_insert(at), at, "both land at the same place");
        arguments(&low, by);
        errors(&low, by);
        flags(&low, by);
    }
    let Some(offset) = offset.filter(|&o| o < VDSO) else {
        return check!(false, "they land outside the image: {offset:x?}");
    };
    for by in [By::Sysenter, By::Syscall] {
        steps(&low, by, vdso.base + offset);
    }
    follows_the_vdso(&low, vdso.base, offset);
    let _ = sigaltstack(Some(AltStack { sp: 0, flags: SS_DISABLE, size: 0 }));
}

/// The call is made, and what is restored is what `sysret` restores. Gives the landing pad's offset.
fn lands(low: &Low, by: By, vdso: usize) -> usize {
    let c = cross(low.call(by, GETPID, [1, 2, 3, 4, 5, 6]), false);
    let s = &c.seen;
    check_eq!(c.signal, (SIGSEGV as i32, 1, s.ip), "{by:?}: signal");
    check_eq!((s.trapno, s.err, s.cr2), (14, 0x14, s.ip), "{by:?}: exception");
    check_eq!(s.ax, getpid() as u64, "{by:?}: result");
    check_eq!((s.cs, s.ss, s.flags & !0x1_0000), (0x23, 0x2b, 0x202), "{by:?}: segments and flags");
    check_eq!(s.sp, low.stack as u64, "{by:?}: stack");
    check_eq!((s.bx, s.dx, s.si, s.di, s.bp), (1, 3, 4, 5, 6), "{by:?}: registers");
    check_eq!((s.cx as u32, s.r11 & !0x1_0000), (s.ip as u32, 0x202), "{by:?}: what sysret uses");
    check_eq!([s.r8, s.r9, s.r10, s.r12, s.r13, s.r14, s.r15], [0; 7], "{by:?}: what nobody may see");
    (s.ip as usize).wrapping_sub(vdso) & 0xffff_ffff
}

/// All six come through.
fn arguments(low: &Low, by: By) {
    let (r, w) = user::file::pipe(0).unwrap_or((-1, -1));
    let text = low.code as u64 + 0x4000;
    // SAFETY: our own memory.
    unsafe { with_exposed_provenance_mut::<[u8; 5]>(text as usize).write(*b"hello") };
    let c = cross(low.call(by, WRITE, [w as u64, text, 5, 0, 0, 0]), false);
    let mut buf = [0; 8];
    check_eq!((c.seen.ax, user::file::read(r, &mut buf)), (5, Ok(5)), "{by:?}: write");
    check!(buf.starts_with(b"hello"), "{by:?}: it wrote {buf:x?}");
    let _ = (user::file::close(r), user::file::close(w));

    // SAFETY: a name, and no memory of ours.
    let Ok(fd) = (unsafe { syscall!(__NR_memfd_create, c"two pages".as_ptr(), 0) }) else {
        return check!(false, "no memfd");
    };
    for (page, byte) in [b'A', b'B'].into_iter().enumerate() {
        let _ = user::file::pwrite(fd as i32, &[byte; PAGE], (page * PAGE) as i64);
    }
    let args = [0, PAGE as u64, u64::from(PROT_READ), u64::from(MAP_PRIVATE), fd as u64, 1];
    let at = cross(low.call(by, MMAP2, args), false).seen.ax as usize;
    // SAFETY: it is mapped, if it is an address.
    let byte = if at.is_multiple_of(PAGE) { unsafe { with_exposed_provenance::<u8>(at).read() } } else { 0 };
    check_eq!(byte, b'B', "{by:?}: mmap2 of the second page gave {at:#x}");
    // SAFETY: nobody uses it.
    let _ = unsafe { unmap(at, PAGE) };
    let _ = user::file::close(fd as i32);
}

fn errors(low: &Low, by: By) {
    let minus = |errno: u32| u64::from(errno).wrapping_neg();
    let c = cross(low.call(by, NO_CALL, [0; 6]), false);
    check_eq!(c.seen.ax, minus(ENOSYS), "{by:?}: no such call");
    let c = cross(low.call(by, GETPID | 5 << 32, [0; 6]), false);
    check_eq!(c.seen.ax, getpid() as u64, "{by:?}: a number with upper bits");
    // Without a stack there is no EBP, and no call.
    let mut start = low.call(by, GETPID, [1, 2, 3, 4, 5, 6]);
    (start.sp, start.bp) = (8, if by == By::Sysenter { 8 } else { start.bp });
    let c = cross(start, false);
    let s = &c.seen;
    check_eq!((s.ax, s.sp), (minus(EFAULT), 8), "{by:?}: without a stack");
    check_eq!((s.bx, s.dx, s.si, s.di), (1, 3, 4, 5), "{by:?}: registers");
    check_eq!((s.bp, s.cx), (0, 2), "{by:?}: EBP, which is lost, and ECX");
    check_eq!([s.r9, s.r10, s.r12, s.r15], [9, 10, 12, 15], "{by:?}: all comes back");
}

/// NT and AC do not disturb the kernel, and are the program's again.
fn flags(low: &Low, by: By) {
    let mut start = low.call(by, GETPID, [0; 6]);
    start.flags |= AC;
    let c = cross(start, true);
    check_eq!(c.seen.ax, getpid() as u64, "{by:?}: with NT and AC");
    check_eq!(c.seen.flags & (NT | AC), NT | AC, "{by:?}: they stay");
    start.flags = 0x202 | 0x400;
    let c = cross(start, false);
    check_eq!((c.seen.ax, c.seen.flags & 0x400), (getpid() as u64, 0x400), "{by:?}: with DF");
}

/// With TF the step ends behind the landing pad's first instruction.
fn steps(low: &Low, by: By, landing: usize) {
    let page = landing & 0xffff_f000;
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    let prot = PROT_READ | PROT_WRITE | PROT_EXEC;
    // SAFETY: what is there stays there.
    let mapped = unsafe { syscall!(__NR_mmap, page, PAGE, prot, flags, -1, 0) };
    check_eq!(mapped, Ok(page), "a page at the landing pad");
    if mapped != Ok(page) {
        return;
    }
    // SAFETY: our own memory.
    unsafe { with_exposed_provenance_mut::<u8>(page).write_bytes(0x90, PAGE) };
    for nested_task in [false, true] {
        let mut start = low.call(by, GETPID, [0, 0, 0, 0, 0, 6]);
        start.flags |= TF;
        let c = cross(start, nested_task);
        let next = (landing & 0xffff_ffff) as u64 + 1;
        // TCG's `iret` to 32-bit code keeps the upper half of the address.
        let (sig, code, addr) = c.signal;
        check_eq!((sig, code, u64::from(addr as u32)), (SIGTRAP as i32, 2, next), "{by:?}: a step over it");
        check_eq!((c.seen.ax, c.seen.bp), (getpid() as u64, 6), "{by:?}: the call was made");
        check_eq!(c.seen.flags & TF, TF, "{by:?}: TF is still set");
        check_eq!((c.seen.cs, c.seen.r9, c.seen.r15), (0x23, 9, 15), "{by:?}: all comes back");
    }
    // SAFETY: nobody uses it.
    let _ = unsafe { unmap(page, PAGE) };
}

/// The landing pad is where the vDSO is, and where it was last.
fn follows_the_vdso(low: &Low, base: usize, offset: usize) {
    let Ok(room) = user::memory::map(VDSO, PROT_READ) else {
        return check!(false, "no room");
    };
    // SAFETY: nothing of Rust's is there.
    let moved = unsafe { syscall!(__NR_mremap, base, VDSO, VDSO, 3, room) };
    check_eq!(moved, Ok(room), "the vDSO moves");
    let here = |what: &str| {
        let c = cross(low.call(By::Sysenter, GETPID, [0; 6]), false);
        check_eq!(c.seen.ip, ((room + offset) & 0xffff_ffff) as u64, "the landing pad {what}");
    };
    here("moves with it");
    // SAFETY: nobody uses it.
    let _ = unsafe { unmap(room, VDSO) };
    here("outlives it");
}
