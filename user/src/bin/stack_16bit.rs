// SPDX-License-Identifier: GPL-2.0-only
//! Stack segments of 16 bits: an `iret` to one loads only SP, and bits 16 to 31 of ESP must
//! be the program's, not the kernel's (espfix64). And what such frames bring that cannot be
//! loaded: a double fault in the kernel, of which the program gets a #GP.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{addr_of, addr_of_mut};
use linux_raw_sys::general::{
    MAP_32BIT, MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE, SIGUSR1,
};
use user::prelude::*;
use user::signal::{AltStack, SIGBUS, SIGSEGV, sigaltstack};
use user::syscall;
use user::ucontext::SigContext;

expect! { end: exit(0) }
program!(run);

const USER32_CS: u16 = 0x23;
const USER_DS: u16 = 0x2b;
/// Selectors of the descriptors that [`segments`] makes.
const SS16: u16 = 1 << 3 | 7;
const GONE: u16 = 2 << 3 | 7;
const CODE32: u16 = 3 << 3 | 7;

/// What the next frame is to load, and what came of it.
#[derive(Clone, Copy)]
struct Case {
    cs: u16,
    ss: u16,
    sp: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Outcome {
    sig: i32,
    err: u64,
    trapno: u64,
    /// ESP as the code saw it.
    esp: u64,
    /// ESP as the frame says: 32-bit code has no more of it.
    saved_sp: u64,
}

static mut CASE: Case = Case { cs: 0, ss: 0, sp: 0 };
static mut OUTCOME: Outcome = Outcome { sig: 0, err: 0, trapno: 0, esp: 0, saved_sp: 0 };
static mut BEFORE: Option<SigContext> = None;
static mut STUB: u64 = 0;

extern "C" fn edit(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    // SAFETY: signals come one after the other.
    unsafe {
        *addr_of_mut!(BEFORE) = Some(uc.mcontext);
        let case = *addr_of!(CASE);
        (uc.mcontext.cs, uc.mcontext.ss) = (case.cs, case.ss);
        (uc.mcontext.sp, uc.mcontext.ip, uc.mcontext.ax) = (case.sp, *addr_of!(STUB), 0);
    }
}

/// The stub's fault, or the frame's: notes it, and goes back to before the signal.
extern "C" fn fallen(sig: i32, _: &mut SigInfo, uc: &mut UContext) {
    let m = &uc.mcontext;
    // SAFETY: as above.
    unsafe {
        *addr_of_mut!(OUTCOME) =
            Outcome { sig, err: m.err, trapno: m.trapno, esp: m.ax, saved_sp: m.sp & 0xffff_ffff };
        if let Some(before) = *addr_of!(BEFORE) {
            let fpstate = uc.mcontext.fpstate;
            uc.mcontext = before;
            uc.mcontext.fpstate = fpstate;
        }
    }
}

fn attempt(cs: u16, ss: u16, sp: u64) -> Outcome {
    // SAFETY: as above.
    unsafe {
        *addr_of_mut!(CASE) = Case { cs, ss, sp };
        let _ = kill(getpid(), SIGUSR1);
        *addr_of!(OUTCOME)
    }
}

/// A 16-bit data segment, one that is not present, and 32-bit code, in the LDT.
fn segments(base: u32) -> bool {
    let write = |entry: u32, flags: u32| {
        let d = [entry, if entry == 3 { 0 } else { base }, 0xf_ffff, flags];
        // SAFETY: the kernel reads the structure.
        unsafe { syscall!(__NR_modify_ldt, 0x11, d.as_ptr(), 16) }
    };
    write(1, 0) == Ok(0) && write(2, 1 << 5) == Ok(0) && write(3, 0b1_0101) == Ok(0)
}

fn run() {
    // SAFETY: new mappings.
    let map = |prot| unsafe {
        syscall!(__NR_mmap, 0, 0x1_0000, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0)
    };
    let (Ok(code), Ok(stack)) = (map(PROT_READ | PROT_WRITE | PROT_EXEC), map(PROT_READ | PROT_WRITE)) else {
        check!(false, "memory below 4 GiB");
        return;
    };
    if !segments(stack as u32) {
        // Debian's cloud kernels are configured so.
        user::println!("  skipped: this kernel has no 16-bit segments (CONFIG_X86_16BIT)");
        return;
    }
    // mov eax, esp; hlt.
    // SAFETY: ours.
    unsafe {
        (code as *mut [u8; 3]).write([0x89, 0xe0, 0xf4]);
        *addr_of_mut!(STUB) = code as u64;
    }
    let sp = user::memory::map(0x1_0000, PROT_READ | PROT_WRITE).unwrap_or(0) as u64;
    check!(sigaltstack(Some(AltStack { sp, flags: 0, size: 0x1_0000 })).is_ok(), "sigaltstack");
    for sig in [SIGSEGV, SIGBUS] {
        let _ = sigaction(sig, Action::Handle(fallen), SA_ONSTACK, 0);
    }
    let _ = sigaction(SIGUSR1, Action::Handle(edit), SA_ONSTACK, 0);

    let hlt = |esp: u64| Outcome { sig: SIGSEGV as i32, err: 0, trapno: 13, esp, saved_sp: esp };
    for cs in [USER32_CS, CODE32] {
        check_eq!(attempt(cs, USER_DS, 0x1234_5678), hlt(0x1234_5678), "32-bit stack, cs {cs:#x}");
        for sp in [0x1234_5678, 0xffff_fff0, 0x8000, 0xabcd_0004, 0x7fff_8000] {
            check_eq!(attempt(cs, SS16, sp), hlt(sp), "16-bit stack, cs {cs:#x}, esp {sp:#x}");
        }
    }
    // Frames that cannot be loaded: the exception of the last `iret` finds no room on its
    // small stack, and the kernel makes #GP with error code 0 of the double fault, whatever
    // it was.
    for (what, cs, ss) in [("stack that is not present", USER32_CS, GONE), ("code segment 0", 0, SS16)] {
        let o = attempt(cs, ss, 0x1234_5678);
        let want = Outcome { sig: SIGSEGV as i32, err: 0, trapno: 13, esp: 0, saved_sp: 0x1234_5678 };
        check_eq!(o, want, "{what}");
    }
}
