// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask explain idtentry`: the fifth document's path of one exception, from the instruction
//! that raises it to the handler of its signal (or to where the exception table leads), walked on the
//! running kernel instruction by instruction.
//!
//! The program `exceptions` raises one kind of exception for ever. It is let go to the instruction, and
//! from there on the machine is stepped. A stage is where one of the functions of [`FUNCTIONS`] begins,
//! or where GS, the stack or `ctx_state` changes; what is said of it is said of the machine as it stands.

use super::PATIENCE;
use super::functions::FUNCTIONS;
use super::picture::{Detail, Picture, Stage, Word};
use super::walk::{CtxState, Lens, Moment, StackKind};
use crate::gdbstub::{Debugged, Registers};
use crate::qemu::Machine;
use crate::run::CONSOLE;
use anyhow::{Context, Result, bail};
use std::time::Duration;

/// An exception that can be walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Exception {
    /// #DE, by `div`
    #[default]
    DivideError,
    /// #DB, by the trap flag
    Debug,
    /// #BP, by `int3`
    Int3,
    /// #OF, by `int 4`
    Overflow,
    /// #UD, by `ud2`
    InvalidOp,
    /// #NM on a machine without an FPU (no387): the instruction is emulated
    DeviceNotAvailable,
    /// #GP, by `hlt`
    GeneralProtection,
    /// #PF, by a null pointer
    PageFault,
    /// #PF in the kernel, by a null pointer that a system call was given: the exception table
    Uaccess,
}

impl Exception {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::DivideError,
        Self::Debug,
        Self::Int3,
        Self::Overflow,
        Self::InvalidOp,
        Self::DeviceNotAvailable,
        Self::GeneralProtection,
        Self::PageFault,
        Self::Uaccess,
    ];

    /// The name by which the program and the command know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DivideError => "divide_error",
            Self::Debug => "debug",
            Self::Int3 => "int3",
            Self::Overflow => "overflow",
            Self::InvalidOp => "invalid_op",
            Self::DeviceNotAvailable => "device_not_available",
            Self::GeneralProtection => "general_protection",
            Self::PageFault => "page_fault",
            Self::Uaccess => "uaccess",
        }
    }

    /// The name of its entry and of its handler, without what they begin with.
    #[must_use]
    pub fn vector(self) -> &'static str {
        if self == Self::Uaccess { "page_fault" } else { self.name() }
    }

    /// Whether it strikes user mode.
    #[must_use]
    pub fn from_user(self) -> bool {
        self != Self::Uaccess
    }

    /// Whether the CPU pushes an error code.
    #[must_use]
    pub fn has_error_code(self) -> bool {
        matches!(self, Self::GeneralProtection | Self::PageFault | Self::Uaccess)
    }

    /// Whether CR2 says something.
    fn has_address(self) -> bool {
        matches!(self, Self::PageFault | Self::Uaccess)
    }

    /// Bytes from the instruction that raises it to the address that the CPU pushes.
    fn behind(self) -> u64 {
        match self {
            Self::Debug | Self::Int3 => 1,
            Self::Overflow => 2,
            Self::DivideError
            | Self::InvalidOp
            | Self::DeviceNotAvailable
            | Self::GeneralProtection
            | Self::PageFault
            | Self::Uaccess => 0,
        }
    }

    /// What the kernel's command line must say for it to come.
    fn words(self) -> &'static str {
        if self == Self::DeviceNotAvailable { "no387" } else { "" }
    }
}

/// From the top of `pt_regs` down.
const PT_REGS: [&str; 21] = [
    "SS", "RSP", "RFLAGS", "CS", "RIP", "orig_rax", "RDI", "RSI", "RDX", "RCX", "RAX", "R8", "R9", "R10",
    "R11", "RBX", "RBP", "R12", "R13", "R14", "R15",
];
/// Index in it, and how many words the CPU has pushed when there is no error code.
const ORIG_RAX: usize = 5;
/// How much of the stack below `pt_regs` is shown.
const BELOW: usize = 6;

/// The path that an exception took.
pub struct Path {
    /// Which one.
    pub exception: Exception,
    /// The machine before each instruction: the first raises the exception, the last is the first behind
    /// it.
    pub moments: Vec<Moment>,
    /// Some of them, with the stack.
    pub stages: Vec<Stage>,
    /// What the handler was given: `pt_regs` from its top down, as it stood at the handler's first
    /// instruction, and RSI.
    pub pt_regs: Vec<u64>,
    #[allow(missing_docs)]
    pub error_code: u64,
}

impl Path {
    /// Boots, and walks.
    pub fn walked(kernel: &std::path::Path, rootfs: &std::path::Path, exception: Exception) -> Result<Self> {
        let lens = Lens::new(kernel)?;
        let words = exception.words();
        let append =
            format!("{CONSOLE} quiet context_tracking=on {words} -- exceptions {}", exception.name());
        let mut d = Debugged::start(&Machine::direct(kernel, Some(rootfs), &append))?;
        d.run_until_said("exceptions: running", Duration::from_secs(60))?;
        let frame_top = to_the_instruction(&mut d, &lens, exception)?;
        let mut walker = Walker::new(&lens, exception, frame_top);
        let moments = lens.walk(&mut d, |d, m| walker.look(d, m))?;
        let Walker { stages, pt_regs, error_code, .. } = walker;
        Ok(Self { exception, moments, stages, pt_regs, error_code })
    }

    /// The picture of it.
    #[must_use]
    pub fn picture(self) -> Picture {
        let title = format!("idtentry {}, stage by stage", self.exception.vector());
        let summary = vec![
            format!("{} instructions in the kernel", self.moments.len() - 2),
            format!("ctx_state, in instructions: {}", runs(self.moments.iter().map(|m| m.ctx.name()))),
            format!("stack, in instructions: {}", runs(self.moments.iter().map(|m| m.stack.name()))),
        ];
        let detail = Detail {
            title: "Instruction by instruction".into(),
            headings: vec!["instructions", "function", "stack", "ctx_state"],
            rows: rows(&self.moments),
        };
        Picture { title, stages: self.stages, brief: true, summary, detail: Some(detail) }
    }
}

/// What follows upon what, and how often.
fn runs<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut runs: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match runs.last_mut() {
            Some((last, n)) if *last == name => *n += 1,
            _ => runs.push((name, 1)),
        }
    }
    let runs: Vec<String> = runs.iter().map(|(name, n)| format!("{name} × {n}")).collect();
    runs.join(", ")
}

/// Instructions in the same place are one row.
fn rows(moments: &[Moment]) -> Vec<Vec<String>> {
    let mut rows: Vec<(usize, String, StackKind, CtxState)> = Vec::new();
    for m in moments {
        let function = m.functions.join(" → ");
        match rows.last_mut() {
            Some((n, f, s, c)) if *f == function && (*s, *c) == (m.stack, m.ctx) => *n += 1,
            _ => rows.push((1, function, m.stack, m.ctx)),
        }
    }
    rows.into_iter().map(|(n, f, s, c)| vec![n.to_string(), f, s.name().into(), c.name().into()]).collect()
}

/// Runs to the instruction that raises the exception; returns where the CPU will begin to push.
fn to_the_instruction(d: &mut Debugged, lens: &Lens, e: Exception) -> Result<u64> {
    const ATTEMPTS: usize = 1000;
    let entry = lens.symbols.at(&format!("asm_{}", e.vector()))?;
    // Where it comes from: the frame says so.
    let mut from = None;
    for _ in 0..ATTEMPTS {
        let r = d.run_to(entry, PATIENCE)?;
        let frame = d.words(r.rsp() + 8 * u64::from(e.has_error_code()), 2)?;
        if (frame[1] & 3 != 0) == e.from_user() && (!e.has_address() || r.cr2 == 0) {
            let top = r.rsp() + 8 * (ORIG_RAX as u64 + u64::from(e.has_error_code()));
            from = Some((frame[0] - e.behind(), top));
            break;
        }
        d.step()?;
    }
    let (ip, top) = from.with_context(|| format!("nobody raises {}", e.name()))?;
    // To there, when it is about to raise it again; others may execute the same instruction.
    for _ in 0..ATTEMPTS {
        let at = d.run_to(ip, PATIENCE)?;
        if will_raise(&at, e) {
            return Ok(top);
        }
        d.step()?;
    }
    bail!("{} is not raised again at {ip:#x}", e.name())
}

/// Whether the instruction that the machine stands at raises the exception: that of the kernel's copies does
/// if it is to write to the null pointer.
fn will_raise(at: &Registers, e: Exception) -> bool {
    e.from_user() || at.rdi() == 0
}

/// Looks at each moment of a walk, and keeps those that are stages.
struct Walker<'a> {
    lens: &'a Lens,
    e: Exception,
    entry: String,
    handler: String,
    /// The top of `pt_regs` on the stack that the CPU has switched to.
    frame_top: u64,
    before: Option<Moment>,
    stages: Vec<Stage>,
    seen: Vec<&'static str>,
    pt_regs: Vec<u64>,
    error_code: u64,
}

impl<'a> Walker<'a> {
    fn new(lens: &'a Lens, e: Exception, frame_top: u64) -> Self {
        let (entry, handler) = (format!("asm_{}", e.vector()), format!("do_{}", e.vector()));
        Self {
            lens,
            e,
            entry,
            handler,
            frame_top,
            before: None,
            stages: Vec::new(),
            seen: Vec::new(),
            pt_regs: Vec::new(),
            error_code: 0,
        }
    }

    /// One moment; says whether it is the last.
    fn look(&mut self, d: &mut Debugged, m: &Moment) -> Result<bool> {
        let Some(before) = self.before.replace(m.clone()) else {
            let text = "The instruction that raises the exception; it has not been executed yet.";
            self.stage(d, m, m.functions.join(" → "), text.into(), "")?;
            return Ok(false);
        };
        if before.is_in("the program") && !m.is_in(&self.entry) && self.stages.len() == 1 {
            bail!("{:#x} raised nothing, the next is {:#x}", before.r.rip, m.r.rip);
        }
        if self.is_last(&before, m) {
            let text = if self.e.from_user() {
                "User mode goes on: in the signal's handler, if there was a signal."
            } else {
                "Where the exception table leads: the call will give EFAULT."
            };
            self.stage(d, m, m.functions.join(" → "), text.into(), "")?;
            return Ok(true);
        }
        self.changes(d, &before, m)?;
        self.begins(d, &before, m)?;
        Ok(false)
    }

    /// User mode runs again, or the kernel behind the entry's `iret`.
    fn is_last(&self, before: &Moment, m: &Moment) -> bool {
        if self.e.from_user() {
            return m.user_mode();
        }
        before.is_in("restore_regs_and_return_to_kernel") && !m.is_in("restore_regs_and_return_to_kernel")
    }

    /// What is different from the moment before, and not by a call.
    fn changes(&mut self, d: &mut Debugged, before: &Moment, m: &Moment) -> Result<()> {
        if before.kernel_gs != m.kernel_gs {
            let text = if m.kernel_gs {
                "From here on GS leads to this CPU's data."
            } else {
                "From here on GS is the program's again."
            };
            self.stage(d, m, format!("swapgs, in {}", before.functions.join(" → ")), text.into(), "swapgs")?;
        }
        if before.ctx != m.ctx {
            let (from, to) = (before.ctx.name(), m.ctx.name());
            let label = format!("ctx_state, in {}", before.functions.join(" → "));
            self.stage(d, m, label, format!("From {from} to {to}."), "enum ctx_state")?;
        }
        if before.stack != m.stack && !m.is_in(&self.entry) {
            let (from, to) = (before.stack.name(), m.stack.name());
            let label = format!("RSP, in {}", before.functions.join(" → "));
            self.stage(
                d,
                m,
                label,
                format!("From {from} stack to {to}; what stands there is yet to be overwritten."),
                "",
            )?;
        }
        Ok(())
    }

    /// A function begins here.
    fn begins(&mut self, d: &mut Debugged, before: &Moment, m: &Moment) -> Result<()> {
        for function in m.functions.iter().filter(|f| !before.is_in(f)) {
            if *function == self.entry && self.stages.len() == 1 {
                let error_code = if self.e.has_error_code() { " and an error code" } else { "" };
                let text = format!(
                    "The CPU has pushed SS, RSP, RFLAGS, CS, RIP{error_code}. All else is still that of the interrupted code."
                );
                let document = "the gate of the IDT leads to what idtentry defines";
                self.stage(d, m, self.entry.clone(), text, document)?;
            } else if *function == self.handler && self.pt_regs.is_empty() {
                let top = self.top(d, m)?;
                self.pt_regs = d.words(top - 8 * PT_REGS.len() as u64, PT_REGS.len())?;
                self.pt_regs.reverse();
                self.error_code = m.r.general[4];
                let text = format!(
                    "The handler: RDI leads to pt_regs, RSI is the error code ({:#x}). orig_rax is -1: this is no system call.",
                    self.error_code
                );
                self.stage(d, m, self.handler.clone(), text, "idtentry calls the handler, do_\\sym")?;
            } else if let Some((name, text, document)) = FUNCTIONS.iter().find(|f| f.0 == function)
                && !self.seen.contains(name)
            {
                self.seen.push(name);
                let outer = m.functions.iter().take_while(|f| *f != function).map(|f| format!("{f} → "));
                let label = outer.collect::<String>() + function;
                self.stage(d, m, label, (*text).into(), document)?;
            }
        }
        Ok(())
    }

    /// The top of the stack that is of interest: where `pt_regs` is.
    fn top(&self, d: &mut Debugged, m: &Moment) -> Result<u64> {
        let moved = m.stack == StackKind::Thread && self.e.from_user();
        if moved { self.lens.top_of_stack(d) } else { Ok(self.frame_top) }
    }

    /// Keeps the machine as it stands.
    fn stage(
        &mut self,
        d: &mut Debugged,
        m: &Moment,
        label: String,
        text: String,
        document: &'static str,
    ) -> Result<()> {
        let (trap_nr, error_code) = self.lens.last_trap(d)?;
        let gs = if m.kernel_gs { "the kernel's" } else { "the program's" };
        let mut facts = vec![
            ("ctx_state", m.ctx.name().to_owned()),
            ("GS base", format!("{gs}, {:#x}", m.r.gs_base)),
            ("stack", m.stack.name().to_owned()),
            ("interrupts", (if m.r.rflags & 0x200 != 0 { "on" } else { "off" }).to_owned()),
            ("thread", format!("trap_nr {trap_nr}, error_code {error_code:#x}")),
        ];
        if self.e.has_address() {
            facts.push(("CR2", format!("{:#x}", m.r.cr2)));
        }
        let mut stage = Stage { label, text, document, facts, rsp: m.r.rsp(), words: Vec::new(), more: 0 };
        let top = self.top(d, m)?;
        if m.stack != StackKind::User && m.r.rsp() < top {
            let count = ((top - m.r.rsp()) / 8) as usize;
            let shown = count.min(PT_REGS.len() + BELOW);
            stage.more = count - shown;
            let mut values = d.words(top - 8 * shown as u64, shown)?;
            values.reverse();
            stage.words = values.iter().enumerate().map(|(i, v)| self.word(top, i, *v)).collect();
        }
        self.stages.push(stage);
        Ok(())
    }

    fn word(&self, top: u64, i: usize, value: u64) -> Word {
        let name = match PT_REGS.get(i) {
            Some(_) if i == ORIG_RAX => "orig_rax (error code)".into(),
            Some(name) => (*name).to_owned(),
            None => String::new(),
        };
        let is_code = name == "RIP" || name.is_empty();
        let leads_to = if is_code { self.lens.symbols.label(value) } else { None };
        Word { at: top - 8 * (i as u64 + 1), name, value, leads_to }
    }
}
