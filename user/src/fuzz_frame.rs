// SPDX-License-Identifier: GPL-2.0-only
//! What the fuzzers of code and of signal frames share: memory at fixed addresses, one child
//! for each case, and lines that any kernel must write alike.
//!
//! `NAME_CASE H …` is the record of a handler, `NAME_CASE E …` how the child ended if not by
//! itself, with the kernel's log lines.

use crate::fuzz::Options;
use crate::process::{self, RLIMIT_CORE, fork, setrlimit, wait};
use crate::runner::kmsg::Log;
use crate::signal::{self, Action, AltStack, Handler, SigInfo};
use crate::text::Text;
use crate::ucontext::{UContext, fp};
use crate::{io, memory, time};
use core::fmt::Write;

/// Where code is, where data, where the stack: as many pages each.
pub const CODE: usize = 0x2000_0000;
/// See [`CODE`].
pub const DATA: usize = 0x1000_0000;
/// See [`CODE`].
pub const STACK: usize = 0x3000_0000;
/// Bytes of each area.
pub const AREA: usize = 4 * memory::PAGE;
const ALT: usize = 0x4000_0000;
const ALT_SIZE: usize = 0x8000;

/// Every signal that an exception raises.
pub const SIGNALS: [u32; 6] =
    [signal::SIGILL, signal::SIGTRAP, signal::SIGBUS, signal::SIGFPE, signal::SIGSEGV, signal::SIGSYS];

/// A case that has not ended by then (in ms) never will.
const LIMIT_MS: i64 = 3000;

/// Maps the areas; what they hold is the same for every case.
pub fn map_areas() {
    let all = memory::PROT_READ | memory::PROT_WRITE | memory::PROT_EXEC;
    for (at, len) in [(CODE, AREA), (DATA, AREA), (STACK, AREA), (ALT, ALT_SIZE)] {
        // SAFETY: nothing of ours is there.
        let mapped = unsafe { memory::map_fixed(at, len, all) };
        crate::check!(mapped.is_ok(), "map {at:#x}: {mapped:?}");
    }
    for word in 0..AREA / 8 {
        // SAFETY: the area was just mapped.
        unsafe { ((DATA + word * 8) as *mut u64).write((word as u64).wrapping_mul(0x0101_0307_0f1f_3f7f)) };
    }
}

/// Fills the code area: some bytes, then one byte over and over.
pub fn put_code(code: &[u8], rest: u8) {
    // SAFETY: the area is mapped, and only random code is ever run there.
    unsafe {
        core::ptr::write_bytes(CODE as *mut u8, rest, memory::PAGE);
        core::ptr::copy_nonoverlapping(code.as_ptr(), CODE as *mut u8, code.len());
    }
}

/// In the child: a stack for handlers, and the handler for everything that code can raise.
pub fn arm(handler: Handler) {
    let stack = AltStack { sp: ALT as u64, flags: 0, size: ALT_SIZE as u64 };
    let _ = signal::sigaltstack(Some(stack));
    for sig in SIGNALS {
        let _ = signal::sigaction(sig, Action::Handle(handler), signal_flags(), 0);
    }
}

/// The flags of such a handler.
pub const fn signal_flags() -> u32 {
    linux_raw_sys::general::SA_ONSTACK
}

/// Raises a signal whose handler makes the frame that the case begins with.
pub fn begin(handler: Handler) {
    let _ = signal::sigaction(signal::SIGUSR1, Action::Handle(handler), signal_flags(), 0);
    signal::raise(signal::SIGUSR1);
}

/// FNV-1a over words.
pub fn hash(words: impl Iterator<Item = u64>) -> u32 {
    let mix = |h: u64, w: u64| (h ^ w).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    let h = words.fold(0xcbf2_9ce4_8422_2325, mix);
    (h ^ h >> 32) as u32
}

fn words(at: usize, bytes: usize) -> impl Iterator<Item = u64> {
    // SAFETY: callers name memory that is there.
    (0..bytes / 8).map(move |i| unsafe { ((at + 8 * i) as *const u64).read_unaligned() })
}

/// One line with the whole record; `head` is what stands before it.
pub fn record(head: core::fmt::Arguments<'_>, info: &SigInfo, uc: &UContext) {
    let m = &uc.mcontext;
    let mut line = Text::<1024>::new();
    let general = [
        m.ax, m.bx, m.cx, m.dx, m.si, m.di, m.bp, m.sp, m.r8, m.r9, m.r10, m.r11, m.r12, m.r13, m.r14, m.r15,
    ];
    let _ = write!(
        line,
        "{head} sig={} code={} addr={:x} trapno={} err={:x} cr2={:x} ip={:x} sp={:x} fl={:x} cs={:x} ss={:x} gs={:x} fs={:x} uc={:x} mask={:x} regs={:08x}",
        info.signo,
        info.code,
        info.addr(),
        m.trapno,
        m.err,
        m.cr2,
        m.ip,
        m.sp,
        m.flags,
        m.cs,
        m.ss,
        m.gs,
        m.fs,
        uc.flags,
        uc.sigmask,
        hash(general.into_iter()),
    );
    if m.fpstate == 0 {
        let _ = write!(line, " fp=none");
    } else {
        let f = uc.fpstate();
        let _ = write!(
            line,
            " fcw={:x} mxcsr={:x} fp={:08x} bv={:x}",
            f.get::<u16>(fp::FCW),
            f.get::<u32>(fp::MXCSR),
            hash(words(m.fpstate as usize + 32, 384)),
            if uc.has_xsave() { f.get::<u64>(fp::XSTATE_BV) } else { 0 },
        );
    }
    let _ = writeln!(line, " mem={:08x}", hash(words(DATA, 1024).chain(words(STACK + AREA / 2 - 256, 512))));
    io::write_fmt(1, format_args!("{}", line.as_str()));
}

/// The general registers and the code of a case, for a person.
pub fn show(name: &str, case: u64, uc: &UContext) {
    let m = &uc.mcontext;
    io::write_fmt(
        1,
        format_args!(
            "{name}_{case} R ax={:x} bx={:x} cx={:x} dx={:x} si={:x} di={:x} bp={:x} sp={:x} r8={:x} r9={:x} r10={:x} r11={:x} r12={:x} r13={:x} r14={:x} r15={:x} ip={:x} fl={:x}\n",
            m.ax,
            m.bx,
            m.cx,
            m.dx,
            m.si,
            m.di,
            m.bp,
            m.sp,
            m.r8,
            m.r9,
            m.r10,
            m.r11,
            m.r12,
            m.r13,
            m.r14,
            m.r15,
            m.ip,
            m.flags
        ),
    );
    let mut code = Text::<512>::new();
    for word in words(CODE, 64) {
        let _ = write!(code, "{:016x}", word.swap_bytes());
    }
    io::write_fmt(1, format_args!("{name}_{case} C {}\n", code.as_str()));
}

/// Runs every case in a child of its own.
pub fn run(name: &str, body: impl Fn(&Options, u64)) {
    let o = Options::from_args();
    let _ = setrlimit(RLIMIT_CORE, 0, Some(0));
    map_areas();
    let mut log = Log::open(false, true);
    for case in o.range() {
        log.mark();
        let pid = match fork() {
            Ok(0) => {
                let _ = time::set_real_timer(LIMIT_MS, 0);
                body(&o, case);
                process::exit_group(3)
            }
            Ok(pid) => pid,
            Err(e) => {
                io::write_fmt(1, format_args!("{name}_{case} E fork: {e}\n"));
                continue;
            }
        };
        match wait(pid) {
            Ok(status) if status.0 == 0 => {}
            Ok(status) => ended(name, case, status, &mut log),
            Err(e) => io::write_fmt(1, format_args!("{name}_{case} E lost: {e}\n")),
        }
    }
    log.close();
}

fn ended(name: &str, case: u64, status: crate::status::WaitStatus, log: &mut Log) {
    let mut line = Text::<1024>::new();
    let _ = write!(line, "{name}_{case} E {status}");
    for text in log.read(crate::start::arg_str(0).and_then(|a| a.rsplit('/').next()).unwrap_or("?")).kept() {
        let _ = write!(line, " | {text}");
    }
    let _ = writeln!(line);
    io::write_fmt(1, format_args!("{}", line.as_str()));
}
