// SPDX-License-Identifier: GPL-2.0-only
//! Every instruction between two places, and where the CPU is at each: in which functions (also those
//! that the compiler has put into others: the debug information knows), on which stack, with whose GS
//! base, and what context tracking thinks.

use crate::gdbstub::{Debugged, Registers};
use crate::symbols::Symbols;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// More instructions than any exception takes.
const MOST: usize = 50_000;

/// The kernel under the looking glass.
pub struct Lens {
    /// Where things are.
    pub symbols: Symbols,
    inlined: addr2line::Loader,
    percpu: u64,
    offsets: Offsets,
}

/// Where the kernel keeps what is looked at.
struct Offsets {
    current: u64,
    top_of_stack: u64,
    tss_ist: u64,
    ctx_state: u64,
    trap_nr: u64,
    error_code: u64,
}

/// What context tracking thinks of a CPU (`enum ctx_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtxState {
    /// It is in the kernel.
    Kernel,
    /// It is in user mode.
    User,
    /// It is in a guest.
    Guest,
}

impl CtxState {
    /// The document's name and number.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "CONTEXT_KERNEL (0)",
            Self::User => "CONTEXT_USER (1)",
            Self::Guest => "CONTEXT_GUEST (2)",
        }
    }

    fn from_raw(v: u64) -> Result<Self> {
        Ok(match v as u32 {
            0 => Self::Kernel,
            1 => Self::User,
            2 => Self::Guest,
            other => bail!("ctx_state is {other}, which is none"),
        })
    }
}

/// A kind of stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackKind {
    /// A program's.
    User,
    /// The thread's own in the kernel.
    Thread,
    /// One of the interrupt stack table, by its index.
    Ist(usize),
}

impl StackKind {
    /// The documents' name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "the program's",
            Self::Thread => "the thread's",
            Self::Ist(0) => "IST: DOUBLEFAULT_STACK",
            Self::Ist(1) => "IST: NMI_STACK",
            Self::Ist(2) => "IST: DEBUG_STACK",
            Self::Ist(3) => "IST: MCE_STACK",
            Self::Ist(_) => "IST: BREAKPOINT_STACK",
        }
    }
}

/// The machine before one instruction.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The registers.
    pub r: Registers,
    /// Where context tracking thinks that the CPU is.
    pub ctx: CtxState,
    /// The stack that RSP is on.
    pub stack: StackKind,
    /// Whether the GS base is the kernel's.
    pub kernel_gs: bool,
    /// The functions that the instruction is in, those that contain others first.
    pub functions: Vec<String>,
}

impl Moment {
    /// Whether the CPU runs a program.
    #[must_use]
    pub fn user_mode(&self) -> bool {
        self.r.segments[0] & 3 != 0
    }

    /// Whether it is in a function.
    #[must_use]
    pub fn is_in(&self, function: &str) -> bool {
        self.functions.iter().any(|f| f == function)
    }
}

impl Lens {
    /// Reads the kernel's file.
    pub fn new(kernel: &Path) -> Result<Self> {
        let symbols = Symbols::read(kernel)?;
        let inlined = addr2line::Loader::new(kernel)
            .map_err(|e| anyhow::anyhow!("the kernel's debug information: {e}"))?;
        let data = std::fs::read(kernel)?;
        let constant = |name: &str| constant(&data, symbols.at(name)?).with_context(|| name.to_owned());
        let offsets = Offsets {
            current: constant("TRAPLINE_CURRENT")?,
            top_of_stack: constant("TRAPLINE_TOP_OF_STACK")?,
            tss_ist: constant("TRAPLINE_TSS_IST")?,
            ctx_state: constant("TRAPLINE_CTX_STATE")?,
            trap_nr: constant("TRAPLINE_TRAP_NR")?,
            error_code: constant("TRAPLINE_ERROR_CODE")?,
        };
        let percpu = symbols.at("trapline::arch::x86::percpu::BOOT_CPU")?;
        Ok(Self { symbols, inlined, percpu, offsets })
    }

    /// The top of the running thread's stack.
    pub fn top_of_stack(&self, d: &mut Debugged) -> Result<u64> {
        d.word(self.percpu + self.offsets.top_of_stack)
    }

    /// `thread.trap_nr` and `thread.error_code` of the running task.
    pub fn last_trap(&self, d: &mut Debugged) -> Result<(u64, u64)> {
        let task = d.word(self.percpu + self.offsets.current)?;
        Ok((d.word(task + self.offsets.trap_nr)?, d.word(task + self.offsets.error_code)?))
    }

    /// The kernel's functions that an address is in, those that contain others first; what is of Rust's
    /// library counts as theirs. For assembly it is the label before it.
    #[must_use]
    pub fn functions(&self, addr: u64) -> Vec<String> {
        let mut names = Vec::new();
        if let Ok(mut frames) = self.inlined.find_frames(addr) {
            while let Ok(Some(frame)) = frames.next() {
                let file = frame.location.and_then(|l| l.file).unwrap_or_default();
                let name = frame.function.and_then(|f| short_name(&f.raw_name().ok()?));
                let name = name.filter(|_| !file.contains("/library/"));
                names.extend(name);
            }
        }
        if names.is_empty() {
            let label = self.symbols.label(addr).unwrap_or_default();
            names.push(label.split('+').next().unwrap_or_default().to_owned());
        }
        names.dedup();
        names.reverse();
        names
    }

    fn stack_of(&self, d: &mut Debugged, r: &Registers) -> Result<StackKind> {
        const CPU_ENTRY_AREA: std::ops::Range<u64> = 0xffff_fe00_0000_0000..0xffff_fe80_0000_0000;
        if r.rsp() < 1 << 47 {
            return Ok(StackKind::User);
        }
        if !CPU_ENTRY_AREA.contains(&r.rsp()) {
            return Ok(StackKind::Thread);
        }
        let tops = d.words(self.percpu + self.offsets.tss_ist, 5)?;
        let nearest = (0..tops.len()).min_by_key(|i| tops[*i].abs_diff(r.rsp()));
        Ok(StackKind::Ist(nearest.unwrap_or_default()))
    }

    /// The present moment.
    pub fn moment(&self, d: &mut Debugged, r: Registers) -> Result<Moment> {
        let ctx = CtxState::from_raw(d.word(self.percpu + self.offsets.ctx_state)?)?;
        let stack = self.stack_of(d, &r)?;
        let functions =
            if r.segments[0] & 3 == 0 { self.functions(r.rip) } else { vec!["the program".into()] };
        Ok(Moment { r, ctx, stack, kernel_gs: r.gs_base == self.percpu, functions })
    }

    /// From where the machine stands, instruction by instruction, until `done` (which gets each moment, and
    /// the machine to look at).
    pub fn walk(
        &self,
        d: &mut Debugged,
        mut done: impl FnMut(&mut Debugged, &Moment) -> Result<bool>,
    ) -> Result<Vec<Moment>> {
        let mut moments = Vec::new();
        let mut r = d.registers()?;
        while moments.len() < MOST {
            let moment = self.moment(d, r)?;
            let is_last = done(d, &moment)?;
            moments.push(moment);
            if is_last {
                return Ok(moments);
            }
            r = stepped(d, &r)?;
        }
        bail!("{MOST} instructions, and no end")
    }
}

/// The machine one instruction later. QEMU may stop before it has executed any, when something else
/// of the machine's wanted its attention.
fn stepped(d: &mut Debugged, from: &Registers) -> Result<Registers> {
    const ATTEMPTS: usize = 16;
    for _ in 0..ATTEMPTS {
        let r = d.step()?;
        if r != *from {
            return Ok(r);
        }
    }
    bail!("the machine does not go on from {:#x}", from.rip)
}

/// A word of the kernel's constants, as it stands in the file.
fn constant(file: &[u8], addr: u64) -> Result<u64> {
    use object::{Object, ObjectSegment};
    let elf = object::File::parse(file)?;
    let segment = elf.segments().find(|s| (s.address()..s.address() + s.size()).contains(&addr));
    let bytes = segment.context("it is nowhere in the file")?.data_range(addr, 8)?;
    Ok(u64::from_le_bytes(bytes.context("it is not in the file")?.try_into()?))
}

/// The name of a function without where it is defined, nor what it is generic over.
fn short_name(mangled: &str) -> Option<String> {
    let path = format!("{:#}", rustc_demangle::demangle(mangled));
    let name = path.rsplit("::").find(|part| !part.starts_with('{'))?;
    Some(name.split('<').next().unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short() {
        let short = |name| short_name(name).unwrap_or_default();
        assert_eq!(short("trapline::traps::do_trap"), "do_trap");
        assert_eq!(short("trapline::traps::do_trap::{{closure}}"), "do_trap");
        assert_eq!(short("with<u32>"), "with");
        assert_eq!(short("asm_int3"), "asm_int3");
        assert!(CtxState::from_raw(7).is_err());
    }
}
