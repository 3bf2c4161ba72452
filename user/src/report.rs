// SPDX-License-Identifier: GPL-2.0-only
//! The handler that tells `/init` the full record of the first signal.
//!
//! If the environment has `TRAPLINE_REPORT=FD`, the runtime installs it for
//! the signals of exceptions before the program starts. It checks the frame
//! that it runs on, writes one [`Report`] to the descriptor and exits with 0.

use crate::{
    file,
    process::exit_group,
    signal::{self, Action, AltStack, SigInfo},
    start,
    ucontext::{
        FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2, UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS, UContext,
        fp,
    },
};
use core::{
    mem::size_of,
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
};
use linux_raw_sys::general as abi;

/// The name of the environment variable.
pub const VARIABLE: &str = "TRAPLINE_REPORT";

/// What the handler saw.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Report {
    /// [`Report::MAGIC`].
    pub magic: u64,
    /// The signal number that the handler was called with.
    pub sig: u64,
    /// What is wrong with the frame: bits that index [`PROBLEMS`].
    pub problems: u64,
    /// The whole siginfo.
    pub info: SigInfo,
    /// The whole ucontext.
    pub context: UContext,
}

impl Report {
    /// Says that this is a whole report of this layout.
    pub const MAGIC: u64 = u64::from_le_bytes(*b"TRAPREP1");
    /// Its size.
    pub const SIZE: usize = size_of::<Self>();

    /// Reads a report from the bytes that came through the pipe.
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        // SAFETY: every field is a plain integer or a pointer that is never followed: any bytes will do.
        let report = unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() };
        (report.magic == Self::MAGIC).then_some(report)
    }
}

/// What may be wrong with a frame.
pub const PROBLEMS: [&str; 11] = [
    "handler's rsp is not 8 mod 16",
    "return address is not the restorer",
    "siginfo or ucontext not at its place in the frame",
    "rax is not 0 at entry",
    "DF or TF set at entry",
    "fpstate missing or not aligned to 64 bytes",
    "software bytes of the xsave image do not fit the CPU",
    "no magic2 behind the xsave image",
    "uc_flags wrong",
    "mxcsr or fcw not reset for the handler",
    "cs or ss in the frame are not 0x33 and 0x2b",
];

static FD: AtomicI32 = AtomicI32::new(-1);

/// Whether the kernel lets programs use SSE (`AT_HWCAP`, which is EDX of CPUID leaf 1 without
/// what the kernel has switched off).
static HAS_SSE: AtomicBool = AtomicBool::new(true);

const ALT_SIZE: usize = 0x8000;

/// The handler's stack: a fault may have left none.
#[repr(align(4096))]
struct Alt(core::cell::UnsafeCell<[u8; ALT_SIZE]>);
// SAFETY: only the kernel and the one handler that ends the process use it.
unsafe impl Sync for Alt {}
static ALT: Alt = Alt(core::cell::UnsafeCell::new([0; ALT_SIZE]));

/// What the registers held when the handler was entered.
#[repr(C)]
struct Entry {
    rsp: u64,
    rax: u64,
    flags: u64,
    mxcsr: u32,
    fcw: u32,
}

core::arch::global_asm!(
    ".pushsection .text.trapline_report,\"ax\",@progbits",
    ".globl trapline_report",
    "trapline_report:",
    "mov r9, rsp",
    "mov r8, rax",
    "pushfq",
    "pop r10",
    "sub rsp, 40",
    "mov [rsp], r9",
    "mov [rsp + 8], r8",
    "mov [rsp + 16], r10",
    // Without SSE there is no such register.
    "mov dword ptr [rsp + 24], 0x1f80",
    "cmp byte ptr [rip + {has_sse}], 0",
    "je 2f",
    "stmxcsr [rsp + 24]",
    "2:",
    "mov dword ptr [rsp + 28], 0",
    "fnstcw [rsp + 28]",
    "cld",
    "mov rcx, rsp",
    "and rsp, -16",
    "call {report}",
    "ud2",
    ".popsection",
    report = sym report,
    has_sse = sym HAS_SSE,
);

unsafe extern "C" {
    fn trapline_report();
}

/// Installs the handler if `/init` asks for a report.
pub fn arm() {
    let Some(fd) = start::env(VARIABLE).and_then(|v| v.parse().ok()) else {
        return;
    };
    FD.store(fd, Ordering::Relaxed);
    HAS_SSE.store(
        start::aux(linux_raw_sys::auxvec::AT_HWCAP).is_none_or(|caps| caps & 1 << 25 != 0),
        Ordering::Relaxed,
    );
    let stack = AltStack { sp: ALT.0.get() as u64, flags: 0, size: ALT_SIZE as u64 };
    let _ = signal::sigaltstack(Some(stack));
    let handler = Action::Address(trapline_report as *const () as u64);
    for sig in [abi::SIGILL, abi::SIGTRAP, abi::SIGBUS, abi::SIGFPE, abi::SIGSEGV, abi::SIGSYS] {
        let _ = signal::sigaction(sig, handler, abi::SA_ONSTACK, 0);
    }
}

extern "C" fn report(sig: u64, info: &SigInfo, context: &UContext, entry: &Entry) -> ! {
    let problems = frame_problems(info, context, entry);
    let report = Report { magic: Report::MAGIC, sig, problems, info: *info, context: *context };
    let bytes = core::ptr::from_ref(&report).cast::<u8>();
    // SAFETY: the structure has no padding that was not written.
    let bytes = unsafe { core::slice::from_raw_parts(bytes, Report::SIZE) };
    file::write_all(FD.load(Ordering::Relaxed), bytes);
    exit_group(0)
}

/// Checks the frame as Linux lays it out: Linux 6.1, `arch/x86/kernel/signal.c`.
fn frame_problems(info: &SigInfo, context: &UContext, entry: &Entry) -> u64 {
    let return_address = core::ptr::with_exposed_provenance::<u64>(entry.rsp as usize);
    // SAFETY: the kernel pushed the return address there.
    let return_address = unsafe { return_address.read() };
    let m = &context.mcontext;
    let bad = [
        entry.rsp % 16 != 8,
        return_address != signal::restorer(),
        core::ptr::from_ref(context) as u64 != entry.rsp + 8
            || core::ptr::from_ref(info) as u64 != entry.rsp + 312,
        entry.rax != 0,
        entry.flags & 0x500 != 0,
        m.fpstate == 0 || !m.fpstate.is_multiple_of(64),
        !software_bytes_fit(context),
        context.flags & UC_FP_XSTATE != 0 && !magic2_there(context),
        context.flags & !UC_FP_XSTATE != UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
        entry.mxcsr != 0x1f80 || entry.fcw != 0x37f,
        m.cs != 0x33 || m.ss != 0x2b,
    ];
    (0..).zip(bad).fold(0, |bits, (i, b)| bits | u64::from(b) << i)
}

/// Whether the CPU and the kernel use XSAVE, and its enabled features and size.
fn xsave_facts() -> Option<(u64, u32)> {
    let leaf1 = core::arch::x86_64::__cpuid(1);
    if leaf1.ecx & 1 << 27 == 0 {
        return None;
    }
    let (low, high): (u32, u32);
    // SAFETY: OSXSAVE says that xgetbv exists.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high,
            options(nomem, nostack));
    }
    let size = core::arch::x86_64::__cpuid_count(13, 0).ebx;
    Some((u64::from(low) | u64::from(high) << 32, size))
}

fn software_bytes_fit(context: &UContext) -> bool {
    let fpstate = context.fpstate();
    if fpstate.0 == 0 {
        return false;
    }
    let extended: u32 = fpstate.get(fp::EXTENDED_SIZE);
    let size: u32 = fpstate.get(fp::XSTATE_SIZE);
    match xsave_facts() {
        Some((features, xsize)) => {
            context.flags & UC_FP_XSTATE != 0
                && fpstate.get::<u32>(fp::MAGIC1) == FP_XSTATE_MAGIC1
                && fpstate.get::<u64>(fp::XFEATURES) == features
                && size == xsize
                && extended == size + 4
        }
        None => context.flags & UC_FP_XSTATE == 0 && size == 512 && extended == 516,
    }
}

fn magic2_there(context: &UContext) -> bool {
    let fpstate = context.fpstate();
    if !context.has_xsave() {
        return false;
    }
    let size: u32 = fpstate.get(fp::XSTATE_SIZE);
    size < 0x4000 && fpstate.get::<u32>(size.into()) == FP_XSTATE_MAGIC2
}
