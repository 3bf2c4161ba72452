// SPDX-License-Identifier: GPL-2.0-only
//! NMIs at every instruction of the entries, injected through QEMU's gdb stub while the machine
//! stands at that instruction, and what must not have changed when it stands there again.
//!
//! * [`every_boundary`]: the entries' own instructions, while programs go through them.
//! * [`every_user`]: instructions of user mode, whose NMIs are handled on the thread's stack.
//! * [`every_nested`]: the instructions of an NMI's handling, NMIs being let in by a breakpoint of
//!   the handler's; and those before it, where they are held back.

use iced_x86::{Decoder, DecoderOptions, Mnemonic, Register};
use object::{Object, ObjectSegment};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};
use xtask::gdbstub::{Debugged, Registers};
use xtask::qemu::Machine;
use xtask::run::CONSOLE;
use xtask::symbols::Symbols;

/// How long the machine may take to come to a breakpoint that it came to before.
const PATIENCE: Duration = Duration::from_secs(5);
/// And if it has not: it may only be slow.
const MORE_PATIENCE: Duration = Duration::from_secs(25);

type Result<T> = std::result::Result<T, String>;

fn words(error: impl std::fmt::Display) -> String {
    format!("{error:#}")
}

/// The kernel as the proofs know it: where things are.
pub struct Kernel {
    symbols: Symbols,
    /// Every instruction of the entry code, but for padding.
    instructions: Vec<u64>,
    /// How many instructions stand between entries only to align them.
    padding: usize,
    lengths: BTreeMap<u64, usize>,
    /// The page fault's way from its entry to where CR2 is read.
    before_cr2: Vec<u64>,
}

impl Kernel {
    /// Reads the kernel's file.
    pub fn read(path: &Path) -> Result<Self> {
        let data = std::fs::read(path).map_err(words)?;
        let file = object::File::parse(&*data).map_err(words)?;
        let symbols = Symbols::read(path).map_err(words)?;
        let mut k = Self {
            symbols,
            instructions: Vec::new(),
            padding: 0,
            lengths: BTreeMap::new(),
            before_cr2: Vec::new(),
        };
        let (start, end) = (k.at("__entry_text_start")?, k.at("__entry_text_end")?);
        let segment = file.segments().find(|s| (s.address()..s.address() + s.size()).contains(&start));
        let segment = segment.ok_or("the entry code is in no segment")?;
        let bytes = segment.data_range(start, end - start).map_err(words)?.ok_or("no entry code")?;
        let mut decoder = Decoder::with_ip(64, bytes, start, DecoderOptions::NONE);
        // Behind a jump or a return, and no label: nothing leads here.
        let mut behind_an_end = false;
        while decoder.can_decode() {
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                return Err(format!("no instruction at {:#x}", instruction.ip()));
            }
            let idle = matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3);
            let label = k.label(instruction.ip());
            if behind_an_end && idle && (label.contains('+') || label == "asm_nmi_end") {
                k.padding += 1;
                continue;
            }
            let ends = [Mnemonic::Jmp, Mnemonic::Ret, Mnemonic::Iretq, Mnemonic::Sysret, Mnemonic::Sysretq];
            behind_an_end = ends.contains(&instruction.mnemonic()) || behind_an_end && idle;
            k.instructions.push(instruction.ip());
            k.lengths.insert(instruction.ip(), instruction.len());
        }
        let handler = k.at("trapline::arch::x86::entry::common::do_page_fault")?;
        let bytes = segment.data_range(handler, 64).map_err(words)?.ok_or("no do_page_fault")?;
        for instruction in &mut Decoder::with_ip(64, bytes, handler, DecoderOptions::NONE) {
            k.before_cr2.push(instruction.ip());
            if instruction.op1_register() == Register::CR2 {
                return Ok(k);
            }
        }
        Err("do_page_fault does not read CR2".into())
    }

    /// The address of a symbol: an assembler's label, or a function's path.
    pub fn at(&self, name: &str) -> Result<u64> {
        self.symbols.at(name).map_err(words)
    }

    /// The label that `addr` lies behind.
    fn label(&self, addr: u64) -> String {
        self.symbols.label(addr).unwrap_or_else(|| format!("{addr:#x}"))
    }

    /// How many instructions lie behind each label.
    fn by_label(&self, places: impl IntoIterator<Item = u64>) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for addr in places {
            let label = self.label(addr);
            *counts.entry(label.split('+').next().unwrap_or_default().to_owned()).or_insert(0) += 1;
        }
        counts
    }
}

/// What a proof covered.
pub struct Coverage {
    /// Instructions at which an NMI was injected.
    pub injected: usize,
    /// Instructions that there are.
    pub of: usize,
    /// What stands between entries only to align them, and was not counted.
    pub padding: usize,
    /// Where nothing ever came by: label and number of instructions.
    pub missed: BTreeMap<String, usize>,
    /// NMIs injected, and counted by the kernel.
    pub nmis: (u64, u64),
}

/// A machine with the kernel and some words on its command line.
fn machine(kernel: &Path, rootfs: &Path, append: &str) -> Result<Debugged> {
    let machine = Machine::direct(kernel, Some(rootfs), &format!("{CONSOLE} quiet {append}"));
    Debugged::start(&machine).map_err(words)
}

struct Proof<'a> {
    k: &'a Kernel,
    d: Debugged,
    injected: u64,
}

impl Proof<'_> {
    fn inject(&mut self) -> Result<()> {
        self.injected += 1;
        self.d.inject_nmi().map_err(words)
    }

    fn run(&mut self) -> Result<Option<Registers>> {
        self.d.run(PATIENCE).map_err(words)
    }

    /// Runs to `addr`, where nothing else is in the way.
    fn run_to(&mut self, addr: u64) -> Result<Registers> {
        let label = || self.k.label(addr);
        self.d
            .run_to(addr, PATIENCE)
            .or_else(|_| self.d.run_to(addr, MORE_PATIENCE))
            .map_err(|why| format!("{why:#}\n({addr:#x} is {})", label()))
    }

    /// The stack from RSP up, as far as the next eight words are on its page; `None` for a program's that is
    /// nowhere.
    fn live_stack(&mut self, r: &Registers) -> Result<Option<Vec<u8>>> {
        let len = 64.min(4096 - r.rsp() % 4096);
        match self.d.read(r.rsp(), len as usize) {
            Ok(bytes) => Ok(Some(bytes)),
            // A program's stack may be anywhere; above the kernel's there is nothing.
            Err(_) if r.rsp() < 1 << 47 || r.rsp().is_multiple_of(4096) => Ok(None),
            Err(why) => Err(format!("no stack at {:#x}: {why:#}", r.rsp())),
        }
    }

    /// How many NMIs the kernel has counted.
    fn count(&mut self) -> Result<u64> {
        let offset = self.d.word(self.k.at("TRAPLINE_NMI_COUNT")?).map_err(words)?;
        self.d.word(self.k.at("trapline::arch::x86::percpu::BOOT_CPU")? + offset).map_err(words)
    }
}

/// Starts a machine with a program that says when it is on its way, and lets it come to that.
fn start<'a>(k: &'a Kernel, kernel: &Path, rootfs: &Path, words_and_program: &str) -> Result<Proof<'a>> {
    let mut d = machine(kernel, rootfs, words_and_program)?;
    let program = words_and_program.split_once("-- ").map_or("", |(_, p)| p).split(' ').next();
    let running = format!("{}: running", program.unwrap_or_default());
    d.run_until_said(&running, Duration::from_secs(60)).map_err(words)?;
    Ok(Proof { k, d, injected: 0 })
}

/// Who goes through the entries: programs (with the FPU given out lazily, so that #NM comes), and
/// the kernel itself through those that no program comes by. Each handler faults, and so changes CR2.
const WALKERS: [&str; 2] =
    ["trapline.nmi=fault eagerfpu=off -- nmi_paths", "trapline.nmi=fault -- nmi_paths entries"];

/// (a) An NMI at every instruction of the entries that somebody comes to. It must be handled with the
/// kernel's GS base and on the right stack, and leave everything as it was.
pub fn every_boundary(kernel: &Path, rootfs: &Path, budget: Duration) -> Result<Coverage> {
    let k = Kernel::read(kernel)?;
    let own = k.at("asm_nmi")?..k.at("asm_nmi_end")?;
    let mut all: BTreeSet<u64> = k.instructions.iter().copied().filter(|a| !own.contains(a)).collect();
    all.extend(&k.before_cr2);
    let (mut done, mut nmis) = (BTreeSet::new(), (0, 0));
    for walker in WALKERS {
        let mut p = start(&k, kernel, rootfs, walker)?;
        let counted = p.count()?;
        let open: Vec<u64> = all.difference(&done).copied().collect();
        let reached = reached(&mut p, &open, budget)?;
        for &addr in &reached {
            boundary(&mut p, addr)?;
        }
        done.extend(reached);
        nmis = (nmis.0 + p.injected, nmis.1 + p.count()? - counted);
    }
    let missed = k.by_label(all.difference(&done).copied());
    Ok(Coverage { injected: done.len(), of: all.len(), padding: k.padding, missed, nmis })
}

/// NMIs at instructions of user mode: `trapline.nmi=` says what handlers do. Returns how many came.
pub fn every_user(kernel: &Path, rootfs: &Path, handlers: &str) -> Result<Coverage> {
    const ROUNDS: usize = 3;
    let k = Kernel::read(kernel)?;
    let mut p = start(&k, kernel, rootfs, &format!("trapline.nmi={handlers} -- nmi_user"))?;
    let places = user_places(&p)?;
    let counted = p.count()?;
    for _ in 0..ROUNDS {
        for &addr in &places {
            boundary(&mut p, addr)?;
        }
    }
    let nmis = (p.injected, p.count()? - counted);
    let injected = places.len() * ROUNDS;
    Ok(Coverage { injected, of: injected, padding: 0, missed: BTreeMap::new(), nmis })
}

/// Where the program `nmi_user` says that its instructions are.
fn user_places(p: &Proof<'_>) -> Result<Vec<u64>> {
    let console = p.d.console();
    let list = console.split_once("nmi_user: [").and_then(|(_, l)| l.split_once(']'));
    let list = list.ok_or("the program does not say where it is")?.0.split(',');
    list.map(|hex| u64::from_str_radix(hex.trim(), 16).map_err(words)).collect()
}

/// One NMI at `addr` that could be judged.
fn boundary(p: &mut Proof<'_>, addr: u64) -> Result<()> {
    // It may not come by again at once, or somebody else may do so first.
    const ATTEMPTS: usize = 4;
    for _ in 0..ATTEMPTS {
        if at_boundary(p, addr).map_err(|why| format!("{}: {why}", p.k.label(addr)))? {
            return Ok(());
        }
    }
    Err(format!("{}: no clean run in {ATTEMPTS} tries", p.k.label(addr)))
}

/// Which of the instructions programs come to.
fn reached(p: &mut Proof<'_>, all: &[u64], budget: Duration) -> Result<BTreeSet<u64>> {
    for &addr in all {
        p.d.insert(addr).map_err(words)?;
    }
    let mut open: BTreeSet<u64> = all.iter().copied().collect();
    let mut reached = BTreeSet::new();
    let deadline = Instant::now() + budget;
    while !open.is_empty() && Instant::now() < deadline {
        let Some(r) = p.d.run(PATIENCE).map_err(words)? else { break };
        if !open.remove(&r.rip) {
            return Err(format!("stopped at {:#x} without a breakpoint", r.rip));
        }
        reached.insert(r.rip);
        p.d.remove(r.rip).map_err(words)?;
    }
    for addr in open {
        p.d.remove(addr).map_err(words)?;
    }
    Ok(reached)
}

/// One NMI at `addr`. False if it could not be judged, since another task came by first.
fn at_boundary(p: &mut Proof<'_>, addr: u64) -> Result<bool> {
    let do_nmi = p.k.at("trapline::arch::x86::kernel::nmi::do_nmi")?;
    p.d.insert(addr).map_err(words)?;
    let before = p.run()?;
    let Some(before) = before.filter(|r| r.rip == addr) else {
        p.d.remove(addr).map_err(words)?;
        return Ok(false);
    };
    let stack = p.live_stack(&before)?;
    p.inject()?;
    // The NMI's own way may lead by the same instruction.
    p.d.remove(addr).map_err(words)?;
    let inside = p.run_to(do_nmi).map_err(|why| format!("the NMI was lost: {why}"))?;
    in_handler(p, &inside, &before)?;
    p.d.insert(addr).map_err(words)?;
    let mut after = None;
    for _ in 0..3 {
        after = p.run()?;
        if after.is_none_or(|r| r.rsp() == before.rsp()) {
            break;
        }
        p.d.step().map_err(words)?;
    }
    p.d.remove(addr).map_err(words)?;
    let Some(after) = after else {
        return Err(format!("it never came back; the console:\n{}", p.d.console()));
    };
    if after.rsp() != before.rsp() {
        return Ok(false);
    }
    same(&before, after)?;
    if stack != p.live_stack(&before)? {
        return Err("the interrupted stack has changed".into());
    }
    Ok(true)
}

/// At `do_nmi`'s first instruction: the GS base, the frame, the stack.
fn in_handler(p: &mut Proof<'_>, r: &Registers, interrupted: &Registers) -> Result<()> {
    let percpu = p.k.at("trapline::arch::x86::percpu::BOOT_CPU")?;
    if r.gs_base != percpu {
        return Err(format!("the handler runs with GS base {:#x}, not the kernel's {percpu:#x}", r.gs_base));
    }
    let word = |p: &mut Proof<'_>, at: u64| p.d.word(r.rdi() + at).map_err(words);
    let (ip, sp) = (word(p, 128)?, word(p, 152)?);
    if (ip, sp) != (interrupted.rip, interrupted.rsp()) {
        return Err(format!("its frame says {ip:#x}, {sp:#x}"));
    }
    let from_user = interrupted.segments[0] & 3 != 0;
    let nmi_stack = (0xffff_fe00_0000_0000..0xffff_fe80_0000_0000).contains(&r.rsp());
    if from_user == nmi_stack {
        return Err(format!("it runs on the wrong stack, {:#x}", r.rsp()));
    }
    if r.rflags & 0x400 != 0 {
        return Err("the direction flag is set".into());
    }
    Ok(())
}

/// Bytes from the top of the NMI stack to its parts (see `entry_64_nmi.rs`).
const COPIED_TOP: u64 = 56;
const COPIED_RIP: u64 = 96;

/// (b) While an NMI is handled, another one at every instruction. `without`: with this jump taken out,
/// by which an NMI knows that it is nested.
pub fn every_nested(kernel: &Path, rootfs: &Path, without: Option<&str>) -> Result<Coverage> {
    let k = Kernel::read(kernel)?;
    let mut seen = Seen::default();
    // In the kernel proper.
    let mut p = start(&k, kernel, rootfs, "trapline.nmi=iret -- nmi_paths")?;
    if let Some(jump) = without {
        let jump = k.at(jump)?;
        let len = k.lengths.get(&jump).copied().ok_or("the jump is no instruction")?;
        p.d.write(jump, &vec![0x90; len]).map_err(words)?;
    }
    let somewhere = k.at("trapline::arch::x86::entry::common::do_syscall_64")?;
    let end = k.at("nmi_test_int3")?;
    counted(&mut p, &mut seen, |p, seen| held_back(p, somewhere, end, seen))?;
    counted(&mut p, &mut seen, |p, seen| unblocked(p, somewhere, seen))?;
    // Before an entry's swapgs, with the program's GS and RSP; the handler changes CR2 as well.
    let mut p = start(&k, kernel, rootfs, "trapline.nmi=iret,fault -- nmi_paths")?;
    let window = k.at("entry_SYSCALL_64")?;
    counted(&mut p, &mut seen, |p, seen| unblocked(p, window, seen))?;
    for label in ["nmi_swapgs", "nmi_restore_cr2"] {
        if !seen.places.contains(&k.at(label)?) {
            return Err(format!("no NMI's handling came by {label}"));
        }
    }
    // In user mode, on the thread's stack.
    let mut p = start(&k, kernel, rootfs, "trapline.nmi=iret -- nmi_user")?;
    let (user, handler) = (user_places(&p)?[0], k.at("trapline::arch::x86::kernel::nmi::do_nmi")?);
    counted(&mut p, &mut seen, |p, seen| held_back(p, user, handler, seen))?;
    counted(&mut p, &mut seen, |p, seen| user_handled(p, user, seen))?;
    let own = k.at("asm_nmi")?..k.at("asm_nmi_end")?;
    let entry: Vec<u64> = k.instructions.iter().copied().filter(|a| own.contains(a)).collect();
    let missed: Vec<u64> = entry.iter().copied().filter(|a| !seen.places.contains(a)).collect();
    let injected = entry.len() - missed.len();
    let missed = k.by_label(missed);
    Ok(Coverage { injected, of: entry.len(), padding: 0, missed, nmis: seen.nmis })
}

/// Where second NMIs came, how many NMIs there were, and how many handlings of them.
#[derive(Default)]
struct Seen {
    places: BTreeSet<u64>,
    nmis: (u64, u64),
}

/// One part of the proof, which says how many NMIs must have been handled.
fn counted<'a>(
    p: &mut Proof<'a>,
    seen: &mut Seen,
    part: impl FnOnce(&mut Proof<'a>, &mut Seen) -> Result<u64>,
) -> Result<()> {
    let (before, injected) = (p.count()?, p.injected);
    let expected = part(p, seen)?;
    let handled = p.count()? - before;
    if handled != expected {
        return Err(format!("{handled} NMIs were handled, and not {expected}"));
    }
    seen.nmis = (seen.nmis.0 + p.injected - injected, seen.nmis.1 + handled);
    Ok(())
}

/// The registers are again what they were. In user mode nobody is about to read CR2, and it is not kept.
fn same(before: &Registers, after: Registers) -> Result<()> {
    let from_user = before.segments[0] & 3 != 0;
    let after = if from_user { Registers { cr2: before.cr2, ..after } } else { after };
    if after == *before { Ok(()) } else { Err(format!("before {before:x?}\nafter {after:x?}")) }
}

/// Injects the second NMI where the CPU holds it back: from the entry's first instruction to `end`. Each
/// time the second is handled after the first, and all is as it was.
fn held_back(p: &mut Proof<'_>, somewhere: u64, end: u64, seen: &mut Seen) -> Result<u64> {
    let entry = p.k.at("asm_nmi")?;
    for steps in 0.. {
        let before = p.run_to(somewhere)?;
        p.inject()?;
        let mut r = p.run_to(entry)?;
        for _ in 0..steps {
            r = p.d.step().map_err(words)?;
            if r.rip == end {
                break;
            }
        }
        let last = r.rip == end;
        p.inject()?;
        seen.places.insert(r.rip);
        let after = p.run_to(somewhere)?;
        same(&before, after)
            .map_err(|why| format!("held back at step {steps} ({}): {why}", p.k.label(r.rip)))?;
        // Past the breakpoint that keeps stopping it.
        p.d.step().map_err(words)?;
        if last {
            return Ok(2 * (steps + 1));
        }
    }
    Err("the breakpoint is never hit".into())
}

/// Injects NMIs where they are let in: from behind the handler's breakpoint to the `iret`, and where
/// the frame is copied again. However many come, two are handled.
fn unblocked(p: &mut Proof<'_>, somewhere: u64, seen: &mut Seen) -> Result<u64> {
    let before = p.run_to(somewhere)?;
    p.inject()?;
    let top = p.run_to(p.k.at("asm_nmi")?)?.rsp() + 40;
    let mut r = p.run_to(p.k.at("nmi_test_unblocked")?)?;
    let (last, repeat, end) = (p.k.at("nmi_iret")?, p.k.at("repeat_nmi")?, p.k.at("end_repeat_nmi")?);
    third(p, &r, seen)?;
    let mut count = 0;
    loop {
        nested(p, &r, top, true)?;
        count += 1;
        let here = r.rip;
        seen.places.insert(here);
        if here == last {
            third(p, &r, seen)?;
        }
        r = p.d.step().map_err(words)?;
        if here == last {
            break;
        }
        if count > 5000 {
            return Err("the handler does not end".into());
        }
    }
    if r.rip != repeat {
        return Err(format!("the iret led to {:#x}, and not to repeat_nmi", r.rip));
    }
    third(p, &r, seen)?;
    while r.rip != end {
        nested(p, &r, top, false)?;
        seen.places.insert(r.rip);
        r = p.d.step().map_err(words)?;
    }
    let after = p.run_to(somewhere)?;
    same(&before, after).map_err(|why| format!("in the end: {why}"))?;
    // Past the breakpoint.
    p.d.step().map_err(words)?;
    Ok(2)
}

/// A third NMI at each instruction of a nested one, which comes at the present instruction.
fn third(p: &mut Proof<'_>, before: &Registers, seen: &mut Seen) -> Result<()> {
    let entry = p.k.at("asm_nmi")?;
    for steps in 0..100 {
        p.inject()?;
        let mut r = p.run_to(entry)?;
        for _ in 0..steps {
            r = p.d.step().map_err(words)?;
            if r.rip == before.rip {
                return Ok(());
            }
        }
        p.inject()?;
        seen.places.insert(r.rip);
        let place = format!("nested at {} with a third at {}", p.k.label(before.rip), p.k.label(r.rip));
        let after = p.run_to(before.rip).map_err(|why| format!("{place}: {why}"))?;
        same(before, after).map_err(|why| format!("{place}: {why}"))?;
    }
    Err("nested at an instruction, an NMI does not end".into())
}

/// NMIs behind the handling of one from user mode, where nothing holds them back: each is handled.
fn user_handled(p: &mut Proof<'_>, somewhere: u64, seen: &mut Seen) -> Result<u64> {
    let own = p.k.at("asm_nmi")?..p.k.at("asm_nmi_end")?;
    let before = p.run_to(somewhere)?;
    p.inject()?;
    // Behind the call of the handler: an instruction, and the jump to everybody's way back.
    let user_part = own.start..p.k.at("nmi_from_kernel")?;
    let behind = p.k.instructions.iter().copied().filter(|a| user_part.contains(a)).nth_back(1);
    let mut r = p.run_to(behind.ok_or("NMIs from user mode have no entry")?)?;
    let mut handled = 1;
    while own.contains(&r.rip) {
        p.inject()?;
        handled += 1;
        seen.places.insert(r.rip);
        let after = p.run_to(r.rip)?;
        same(&r, after).map_err(|why| format!("nested at {}: {why}", p.k.label(r.rip)))?;
        r = p.d.step().map_err(words)?;
    }
    let after = p.run_to(somewhere)?;
    same(&before, after).map_err(|why| format!("in the end: {why}"))?;
    Ok(handled)
}

/// One nested NMI at the present instruction. All but the frame that the CPU writes, and the one that
/// must now lead to `repeat_nmi`, stays.
fn nested(p: &mut Proof<'_>, before: &Registers, top: u64, changes_copy: bool) -> Result<()> {
    let place = format!("nested at {:#x} ({})", before.rip, p.k.label(before.rip));
    let kept = |p: &mut Proof<'_>| -> Result<Vec<u8>> {
        let from = before.rsp().min(top - 136);
        let mut bytes = p.d.read(from, (top - COPIED_RIP - from) as usize).map_err(words)?;
        bytes.extend(p.d.read(top - COPIED_TOP, 8).map_err(words)?);
        if !changes_copy {
            let copied = (COPIED_RIP - COPIED_TOP) as usize;
            bytes.extend(p.d.read(top - COPIED_RIP, copied).map_err(words)?);
        }
        Ok(bytes)
    };
    let stack = kept(p)?;
    p.inject()?;
    let after = p.run_to(before.rip).map_err(|why| format!("{place}: {why}"))?;
    if after != *before {
        return Err(format!("{place}: before {before:x?}\nafter {after:x?}"));
    }
    if kept(p)? != stack {
        return Err(format!("{place}: the first NMI's stack has changed"));
    }
    let copied_rip = p.d.word(top - COPIED_RIP).map_err(words)?;
    if changes_copy && copied_rip != p.k.at("repeat_nmi")? {
        return Err(format!("{place}: the first NMI will return to {copied_rip:#x}, not to repeat_nmi"));
    }
    Ok(())
}
