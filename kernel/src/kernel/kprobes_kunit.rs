// SPDX-License-Identifier: GPL-2.0-only
//! Kprobes on running code (compare Linux 6.1, `lib/test_kprobes.c`).

use super::{
    Kprobe, KprobeHandler, Place, disable_kprobe, enable_kprobe, points, register_kprobe, set_all_disarmed,
    show_list, unregister_kprobe, within_kprobe_blacklist,
};
use crate::arch::x86::kernel::kprobes::insn;
use crate::arch::x86::mm::extable;
use crate::arch::x86::mm::init::lookup_kernel_address;
use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::errno::{EILSEQ, EINVAL, ENOENT, Errno, Result};
use crate::fs::seq_file::SeqFile;
use crate::kernel::kallsyms;
use crate::kernel::kunit::Kunit;
use crate::{kunit_assert, kunit_assert_eq, kunit_suite};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::global_asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::structures::paging::PageTableFlags as F;

kunit_suite! { "kprobes":
    handlers_see_both_sides, several_at_one_place, handlers_may_go_elsewhere, any_instruction_resumes_right,
    nested_hits_are_missed, enabled_and_disabled, refused_places, text_stays_unwritable,
    real_functions_keep_their_results, what_handles_a_hit_has_no_hits, faults_are_the_originals,
}

/// Counts hits, and remembers where they were.
#[derive(Default)]
struct Seen {
    pre: AtomicU64,
    post: AtomicU64,
    pre_ip: AtomicU64,
    post_ip: AtomicU64,
    flags: AtomicU64,
    argument: AtomicU64,
}

struct Watch(Arc<Seen>);

impl KprobeHandler for Watch {
    fn pre_handler(&self, _: &Kprobe, regs: &PtRegs) -> bool {
        self.0.pre.fetch_add(1, Ordering::Relaxed);
        self.0.pre_ip.store(regs.ip.get(), Ordering::Relaxed);
        self.0.flags.store(regs.flags.get(), Ordering::Relaxed);
        self.0.argument.store(regs.di.get(), Ordering::Relaxed);
        false
    }
    fn post_handler(&self, _: &Kprobe, regs: &PtRegs) {
        self.0.post.fetch_add(1, Ordering::Relaxed);
        self.0.post_ip.store(regs.ip.get(), Ordering::Relaxed);
    }
}

fn watch(place: Place<'_>) -> (Arc<Seen>, Result<Arc<Kprobe>>) {
    let seen = Arc::new(Seen::default());
    let probe = register_kprobe(place, Box::new(Watch(seen.clone())), false);
    (seen, probe)
}

/// A probe where one must be possible.
macro_rules! must_watch {
    ($test:ident, $place:expr) => {{
        let (seen, probe) = watch($place);
        kunit_assert_eq!($test, probe.as_ref().map(|_| ()).map_err(|&e| e), Ok::<(), Errno>(()));
        let Ok(probe) = probe else { return };
        (seen, probe)
    }};
}

// A function of known instructions, one of each kind; RDI in, RAX out. `kprobe_test_data` is
// reached relative to RIP.
global_asm!(
    ".pushsection .text.kprobe_test, \"ax\"",
    ".balign 16",
    ".globl kprobe_test_body",
    "kprobe_test_body:",
    "push rbx",
    "mov rbx, rdi",
    "lea rax, [rip + 5f]",
    "call rax",
    "call 4f",
    "add rax, [rip + 6f]",
    "pushfq",
    "pop rcx",
    "and ecx, 0x300",
    "add rax, rcx",
    "cmp rbx, 5",
    "jb 2f",
    "add rax, 1000",
    "2: push rax",
    "mov rdi, rsp",
    "lea rsi, [rip + 6f]",
    "mov ecx, 8",
    "rep movsb",
    "lea rdx, [rip + 3f]",
    "jmp rdx",
    "ud2",
    "3: pop rax",
    "add rax, rbx",
    "pushfq",
    "cli",
    "popfq",
    "jmp 7f",
    "ud2",
    "7: pop rbx",
    "ret",
    "4: add rax, 17",
    "ret",
    "5: lea rax, [rbx + 2]",
    "ret 0",
    ".globl kprobe_test_end",
    "kprobe_test_end:",
    ".balign 8",
    "6: .quad 0x1234567",
    ".popsection",
);

unsafe extern "C" {
    safe fn kprobe_test_body(x: u64) -> u64;
    static kprobe_test_end: u8;
}

fn body() -> u64 {
    kprobe_test_body as *const () as u64
}

/// Where the instructions of `[start, end)` begin.
fn instructions(start: u64, end: u64) -> Vec<u64> {
    let mut at = start;
    let mut all = Vec::new();
    while at < end {
        all.push(at);
        // SAFETY: code of the kernel.
        let bytes = unsafe { core::slice::from_raw_parts(at as *const u8, 15) };
        at += insn::length(bytes).unwrap_or(1) as u64;
    }
    all
}

fn handlers_see_both_sides(test: &mut Kunit) {
    let expected = kprobe_test_body(7);
    let (seen, p) = must_watch!(test, Place::Symbol("kprobe_test_body", 0));
    kunit_assert_eq!(test, p.addr, body());
    kunit_assert_eq!(test, kprobe_test_body(7), expected);
    kunit_assert_eq!(test, kprobe_test_body(7), expected);
    unregister_kprobe(&p);
    kunit_assert_eq!(test, kprobe_test_body(7), expected);
    let of = |a: &AtomicU64| a.load(Ordering::Relaxed);
    kunit_assert_eq!(test, (of(&seen.pre), of(&seen.post), of(&seen.argument)), (2, 2, 7));
    kunit_assert_eq!(test, (of(&seen.pre_ip), of(&seen.post_ip)), (body(), body() + 1));
    kunit_assert_eq!(test, of(&seen.flags) & (eflags::IF | eflags::TF), eflags::IF);
    kunit_assert_eq!(test, p.nmissed.load(Ordering::Relaxed), 0);
    kunit_assert_eq!(test, points().count(), 0);
}

fn several_at_one_place(test: &mut Kunit) {
    let (a, pa) = must_watch!(test, Place::Symbol("kprobe_test_body", 0));
    let (b, pb) = must_watch!(test, Place::Address(body()));
    black_box(kprobe_test_body(1));
    unregister_kprobe(&pa);
    black_box(kprobe_test_body(1));
    unregister_kprobe(&pb);
    black_box(kprobe_test_body(1));
    let hits = |s: &Seen| (s.pre.load(Ordering::Relaxed), s.post.load(Ordering::Relaxed));
    kunit_assert_eq!(test, (hits(&a), hits(&b)), ((1, 1), (2, 2)));
}

/// Answers for the function.
struct Instead;
impl KprobeHandler for Instead {
    fn pre_handler(&self, _: &Kprobe, regs: &PtRegs) -> bool {
        regs.ax.set(regs.di.get() * 3);
        // SAFETY: at a function's first instruction its return address is on top of the stack.
        regs.ip.set(unsafe { *(regs.sp.get() as *const u64) });
        regs.sp.update(|v| v + 8);
        true
    }
}

fn handlers_may_go_elsewhere(test: &mut Kunit) {
    let p = register_kprobe(Place::Address(body()), Box::new(Instead), false);
    kunit_assert!(test, p.is_ok());
    let Ok(p) = p else { return };
    kunit_assert_eq!(test, kprobe_test_body(14), 42);
    unregister_kprobe(&p);
    kunit_assert!(test, kprobe_test_body(14) != 42);
}

/// Each instruction of the function by itself, then all of them.
fn any_instruction_resumes_right(test: &mut Kunit) {
    let end = &raw const kprobe_test_end as u64;
    let places = instructions(body(), end);
    let expected = [3, 9].map(|x| kprobe_test_body(x));
    let mut probes = Vec::new();
    let mut hits = 0;
    for &at in &places {
        let (seen, p) = watch(Place::Address(at));
        // SAFETY: code of the kernel.
        if p.is_err() && unsafe { *(at as *const [u8; 2]) } == [0x0f, 0x0b] {
            continue;
        }
        kunit_assert_eq!(test, p.as_ref().err(), None);
        kunit_assert_eq!(test, [3, 9].map(|x| kprobe_test_body(x)), expected);
        hits += seen.post.load(Ordering::Relaxed);
        probes.extend(p);
    }
    // All but `add rax, 1000` are passed by both calls.
    kunit_assert_eq!(test, (probes.len(), hits), (places.len() - 2, 2 * probes.len() as u64 - 1));
    kunit_assert_eq!(test, [3, 9].map(|x| kprobe_test_body(x)), expected);
    probes.iter().for_each(unregister_kprobe);
    kunit_assert_eq!(test, [3, 9].map(|x| kprobe_test_body(x)), expected);
}

#[inline(never)]
fn called_by_handlers(x: u64) -> u64 {
    black_box(x) + 1
}

/// Calls a function that is probed, too.
struct Nesting(Arc<AtomicU64>);
impl KprobeHandler for Nesting {
    fn pre_handler(&self, _: &Kprobe, _: &PtRegs) -> bool {
        self.0.fetch_add(called_by_handlers(1), Ordering::Relaxed);
        false
    }
    fn post_handler(&self, _: &Kprobe, _: &PtRegs) {
        self.0.fetch_add(called_by_handlers(1), Ordering::Relaxed);
    }
}

fn nested_hits_are_missed(test: &mut Kunit) {
    let sum = Arc::new(AtomicU64::new(0));
    let (seen, inner) = must_watch!(test, Place::Address(called_by_handlers as *const () as u64));
    let outer = register_kprobe(Place::Address(body()), Box::new(Nesting(sum.clone())), false);
    kunit_assert!(test, outer.is_ok());
    let Ok(outer) = outer else { return };
    black_box(kprobe_test_body(1));
    black_box(called_by_handlers(1));
    unregister_kprobe(&outer);
    unregister_kprobe(&inner);
    kunit_assert_eq!(test, sum.load(Ordering::Relaxed), 4);
    kunit_assert_eq!(test, inner.nmissed.load(Ordering::Relaxed), 2);
    kunit_assert_eq!(test, seen.pre.load(Ordering::Relaxed), 1);
}

fn enabled_and_disabled(test: &mut Kunit) {
    let (seen, p) = must_watch!(test, Place::Address(body()));
    let hits = || {
        black_box(kprobe_test_body(1));
        seen.pre.load(Ordering::Relaxed)
    };
    kunit_assert_eq!(test, hits(), 1);
    kunit_assert_eq!(test, (disable_kprobe(&p), hits()), (Ok(()), 1));
    kunit_assert_eq!(test, (enable_kprobe(&p), hits()), (Ok(()), 2));
    kunit_assert_eq!(test, (set_all_disarmed(true), hits()), (Ok(()), 2));
    kunit_assert_eq!(test, (set_all_disarmed(false), hits()), (Ok(()), 3));
    let mut o = SeqFile::new();
    show_list(&mut o);
    let line = alloc::format!("{:016x}  k  kprobe_test_body+0x0    \n", body());
    kunit_assert_eq!(test, o.finish().unwrap_or_default(), line.into_bytes());
    unregister_kprobe(&p);
    kunit_assert_eq!(test, hits(), 3);
    kunit_assert_eq!(test, enable_kprobe(&p), Err(EINVAL));
}

fn refused_places(test: &mut Kunit) {
    let refused = |place| watch(place).1.err();
    kunit_assert_eq!(test, refused(Place::Symbol("no such function", 0)), Some(ENOENT));
    // In the midst of `mov rbx, rdi`.
    kunit_assert_eq!(test, refused(Place::Symbol("kprobe_test_body", 2)), Some(EILSEQ));
    kunit_assert_eq!(test, refused(Place::Symbol("kprobe_test_body", u64::MAX)), Some(EINVAL));
    kunit_assert_eq!(test, refused(Place::Address(0x1000)), Some(EINVAL));
    kunit_assert_eq!(test, refused(Place::Address(&raw const *test as u64)), Some(EINVAL));
    let own =
        ["do_int3", "kprobe_exceptions_notify", "error_entry", "asm_int3", "__kprobe_insn_slots", "do_nmi"];
    for own in own {
        kunit_assert!(test, kallsyms::lookup_name(own).is_some());
        kunit_assert_eq!(test, refused(Place::Symbol(own, 0)), Some(EINVAL));
    }
    kunit_assert_eq!(test, points().count(), 0);
}

fn text_stays_unwritable(test: &mut Kunit) {
    let (_, p) = must_watch!(test, Place::Address(body()));
    let rights = |at| lookup_kernel_address(at as usize).map(|(_, f)| f & (F::WRITABLE | F::NO_EXECUTE));
    kunit_assert_eq!(test, rights(body()), Some(F::empty()));
    let slot = kallsyms::lookup_name("__kprobe_insn_slots").unwrap_or(0);
    kunit_assert_eq!(test, rights(slot), Some(F::empty()));
    unregister_kprobe(&p);
}

/// Functions of the kernel that the compiler has made, probed at every instruction.
fn real_functions_keep_their_results(test: &mut Kunit) {
    // By pointers that the compiler does not see through: nothing of them is inlined.
    let lookup = black_box(kallsyms::lookup as fn(u64) -> Option<(&'static str, u64, u64)>);
    let search = black_box(extable::search_exception_tables as fn(u64) -> bool);
    let work = || {
        let mut text = alloc::string::String::new();
        for name in ["panic", "do_int3", "kprobe_test_body", "nobody"] {
            let start = kallsyms::lookup_name(name);
            let found: Vec<_> = start.iter().flat_map(|at| (0..20).map(move |i| lookup(at + i))).collect();
            let _ = core::fmt::Write::write_fmt(&mut text, format_args!("{found:?} "));
        }
        let mut v: Vec<u64> = (0..100).map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).collect();
        v.sort_unstable();
        (text, v, search(body()))
    };
    let expected = work();
    let mut probes = Vec::new();
    let mut hits = Vec::new();
    for start in [lookup as usize as u64, search as usize as u64] {
        let Some((_, _, size)) = kallsyms::lookup(start) else { continue };
        for at in instructions(start, start + size).into_iter().take(100) {
            let (seen, p) = watch(Place::Address(at));
            hits.extend(p.is_ok().then_some(seen));
            probes.extend(p);
        }
    }
    let got = work();
    probes.iter().for_each(unregister_kprobe);
    let total: u64 = hits.iter().map(|s| s.post.load(Ordering::Relaxed)).sum();
    kunit_assert!(test, probes.len() > 60);
    kunit_assert!(test, total > 1000);
    kunit_assert_eq!(test, got, expected);
    kunit_assert_eq!(test, work(), expected);
}

/// What the code that deals with a hit may call outside of itself: what is only for breakpoints
/// and steps of user mode, and what says that something is wrong.
const MAY_BE_CALLED: &[&str] = &[
    "context_tracking_enter",
    "context_tracking_exit",
    "decide",
    "debug_user",
    "do_trap",
    "send_decision",
    "force_sig",
    "show_signal",
    "with_siglock",
    "vprintk_emit",
    "die",
    "die_with",
    "oops_begin",
    "__die_body",
    "oops_end",
    "panic_bounds_check",
    // Only for instructions that none of that code has.
    "unexpected_fixup",
];

/// No call leads from that code to where a breakpoint could be.
fn what_handles_a_hit_has_no_hits(test: &mut Kunit) {
    let [_, own, _] = crate::arch::x86::kernel::kprobes::blacklist();
    let mut calls = 0;
    let slots = kallsyms::lookup_name("__kprobe_insn_slots").unwrap_or(0);
    kunit_assert!(test, own.contains(&slots));
    for at in instructions(own.start, slots).into_iter().chain(instructions(slots + 4096, own.end)) {
        // SAFETY: code of the kernel.
        let bytes: [u8; 5] = unsafe { *(at as *const [u8; 5]) };
        if bytes[0] != 0xe8 && bytes[0] != 0xe9 {
            continue;
        }
        calls += 1;
        let distance = i32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        let to = (at + 5).wrapping_add_signed(i64::from(distance));
        let (from, _, _) = kallsyms::lookup(at).unwrap_or(("?", 0, 0));
        let (name, _, _) = kallsyms::lookup(to).unwrap_or(("?", 0, 0));
        // A kernel with debug assertions also checks pointers.
        let check = cfg!(debug_assertions) && name == "panic_nounwind_fmt";
        if !within_kprobe_blacklist(to) && !MAY_BE_CALLED.contains(&name) && !check {
            test.fail(file!(), line!(), format_args!("{from} calls {name}"));
        }
    }
    kunit_assert!(test, calls > 10);
}

global_asm!(
    ".pushsection .text.kprobe_test, \"ax\"",
    ".globl kprobe_test_divide",
    "kprobe_test_divide: xor edx, edx",
    "div rdx",
    "ret",
    ".popsection"
);
unsafe extern "C" {
    safe fn kprobe_test_divide() -> u64;
}

fn faults_are_the_originals(test: &mut Kunit) {
    use crate::kernel::notifier::{
        DieArgs, DieNotifier, DieVal, NotifierBlock, NotifyResult, register_die_notifier,
        unregister_die_notifier,
    };
    static AT: AtomicU64 = AtomicU64::new(0);
    /// Sees where the fault was, and goes on behind it.
    fn recover(val: DieVal, args: &mut DieArgs<'_>) -> NotifyResult {
        if val != DieVal::Trap || args.trapnr != 0 {
            return NotifyResult::Done;
        }
        AT.store(args.regs.ip.get(), Ordering::Relaxed);
        args.regs.ip.update(|v| v + 3);
        args.regs.ax.set(args.regs.flags.get() & (eflags::TF | eflags::IF));
        NotifyResult::Stop
    }
    static RECOVER: NotifierBlock<DieNotifier> = NotifierBlock::new(recover, 0);
    let at = kprobe_test_divide as *const () as u64 + 2;
    let (seen, p) = must_watch!(test, Place::Address(at));
    kunit_assert_eq!(test, register_die_notifier(&RECOVER), Ok(()));
    let flags = kprobe_test_divide();
    kunit_assert_eq!(test, unregister_die_notifier(&RECOVER), Ok(()));
    unregister_kprobe(&p);
    kunit_assert_eq!(test, (AT.load(Ordering::Relaxed), flags), (at, eflags::IF));
    let hits = (seen.pre.load(Ordering::Relaxed), seen.post.load(Ordering::Relaxed));
    kunit_assert_eq!(test, hits, (1, 0));
}
