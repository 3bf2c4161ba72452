// SPDX-License-Identifier: GPL-2.0-only
//! NMIs at every instruction of the entries, injected through QEMU's gdb stub while the machine
//! stands at that instruction, and what must not have changed when it stands there again.
//!
//! * [`every_boundary`]: the entries' own instructions, while programs go through them.
//! * [`every_user`]: instructions of user mode, whose NMIs are handled on the thread's stack.
//! * [`every_nested`]: the instructions of an NMI's handling.

mod nested;
pub use nested::every_nested;

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter, Mnemonic, Register};
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
    /// What they are, for who reads of them.
    texts: BTreeMap<u64, String>,
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
            texts: BTreeMap::new(),
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
            let own_label = !label.contains('+') && !label.contains("_end");
            if behind_an_end && idle && !own_label {
                k.padding += 1;
                continue;
            }
            let ends = [Mnemonic::Jmp, Mnemonic::Ret, Mnemonic::Iretq, Mnemonic::Sysret, Mnemonic::Sysretq];
            behind_an_end = ends.contains(&instruction.mnemonic()) || behind_an_end && idle;
            k.instructions.push(instruction.ip());
            k.lengths.insert(instruction.ip(), instruction.len());
            let mut text = String::new();
            IntelFormatter::new().format(&instruction, &mut text);
            k.texts.insert(instruction.ip(), text);
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

    /// Instructions by their names: the label that each lies behind, and what it is.
    fn names(&self, places: impl IntoIterator<Item = u64>) -> Vec<String> {
        let name = |addr| {
            let (label, text) = (self.label(addr), self.texts.get(&addr));
            format!("{}: {}", label.split('+').next().unwrap_or_default(), text.map_or("", String::as_str))
        };
        places.into_iter().map(name).collect()
    }
}

/// What a proof covered.
#[derive(Default)]
pub struct Coverage {
    /// Instructions at which an NMI was injected.
    pub injected: usize,
    /// Instructions that there are.
    pub of: usize,
    /// Instructions of what these call, at which one was injected as well.
    pub beyond: usize,
    /// Of those, the ones of what handlers print.
    pub reports: usize,
    /// What stands between entries only to align them, and was not counted.
    pub padding: usize,
    /// Where nothing ever came by.
    pub missed: Vec<String>,
    /// NMIs injected, and counted by the kernel.
    pub nmis: (u64, u64),
}

/// Who reads the machine's port 0x61.
pub const GET_REASON: &str = "trapline::arch::x86::kernel::nmi::default_get_nmi_reason";

/// From now on that says so.
///
/// # Errors
/// The stub's.
pub fn set_reason(d: &mut Debugged, get_reason: u64, reason: u8) -> Result<()> {
    // mov eax, reason; ret
    d.write(get_reason, &[0xb8, reason, 0, 0, 0, 0xc3]).map_err(words)
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

    /// A field of the CPU's data, whose offset the kernel says.
    fn of_cpu(&mut self, offset: &str) -> Result<u64> {
        let offset = self.d.word(self.k.at(offset)?).map_err(words)?;
        self.d.word(self.k.at("trapline::arch::x86::percpu::BOOT_CPU")? + offset).map_err(words)
    }

    /// How many NMIs the kernel has counted.
    fn count(&mut self) -> Result<u64> {
        self.of_cpu("TRAPLINE_NMI_COUNT")
    }

    /// What it knows of those from user mode (`nmi_state`).
    fn nmi_state(&mut self) -> Result<u32> {
        Ok(self.of_cpu("TRAPLINE_NMI_STATE")? as u32)
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

/// A machine check that nobody has to do anything about: a cache's line was not written back.
const HARMLESS_MACHINE_CHECK: &str = "mce 0 9 0xbd0000000000017a 0x5 0x1234000 0x8c";

/// (a) An NMI at every instruction of the entries. It must be handled with the kernel's GS base and on
/// the right stack, and leave everything as it was.
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
    for elsewhere in [by_machine_check, at_boot] {
        let open: Vec<u64> = all.difference(&done).copied().collect();
        let (reached, counts) = elsewhere(&k, kernel, rootfs, &open)?;
        done.extend(reached);
        nmis = (nmis.0 + counts.0, nmis.1 + counts.1);
    }
    let missed = k.names(all.difference(&done).copied());
    let (injected, of) = (done.len(), all.len());
    Ok(Coverage { injected, of, padding: k.padding, missed, nmis, ..Coverage::default() })
}

/// Where NMIs were, and how many of them came and were handled.
type Done = (Vec<u64>, (u64, u64));

/// The machine check's way from user mode: the hardware reports something while a program runs.
fn by_machine_check(k: &Kernel, kernel: &Path, rootfs: &Path, open: &[u64]) -> Result<Done> {
    let mut p = start(k, kernel, rootfs, "trapline.nmi=fault -- nmi_user")?;
    let (user, counted) = (user_places(&p)?[0], p.count()?);
    let entry = k.at("asm_machine_check")?;
    let mut reached = Vec::new();
    for &addr in open.iter().filter(|&&a| k.label(a).starts_with("asm_machine_check")) {
        p.run_to(user)?;
        let said = p.d.monitor(HARMLESS_MACHINE_CHECK).map_err(words)?;
        if !said.trim().is_empty() {
            return Err(format!("mce: {said}"));
        }
        p.run_to(entry)?;
        boundary(&mut p, addr)?;
        reached.push(addr);
    }
    Ok((reached, (p.injected, p.count()? - counted)))
}

/// The first task's way to user mode, by a function of the kernel's: once in a machine's life.
fn at_boot(k: &Kernel, kernel: &Path, rootfs: &Path, open: &[u64]) -> Result<Done> {
    let (mut reached, mut nmis) = (Vec::new(), (0, 0));
    for &addr in open.iter().filter(|&&a| k.label(a).starts_with("ret_from_fork_asm")) {
        let d = machine(kernel, rootfs, "trapline.nmi=fault -- nmi_user")?;
        let mut p = Proof { k, d, injected: 0 };
        p.run_to(addr)?;
        let counted = p.count()?;
        if !at_boundary(&mut p, addr).map_err(|why| format!("{}: {why}", k.label(addr)))? {
            return Err(format!("{}: the first task did not come by again", k.label(addr)));
        }
        reached.push(addr);
        nmis = (nmis.0 + p.injected, nmis.1 + p.count()? - counted);
    }
    Ok((reached, nmis))
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
    Ok(Coverage { injected, of: injected, nmis, ..Coverage::default() })
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

/// The registers are again what they were. In user mode nobody is about to read CR2, and it is not kept.
fn same(before: &Registers, after: Registers) -> Result<()> {
    let from_user = before.segments[0] & 3 != 0;
    let after = if from_user { Registers { cr2: before.cr2, ..after } } else { after };
    if after == *before { Ok(()) } else { Err(format!("before {before:x?}\nafter {after:x?}")) }
}
