// SPDX-License-Identifier: GPL-2.0-only
//! The emulator against the real thing: the same instruction, on the same state, on the
//! host's x87 and on [`SoftFpu`]. Everything that it changes must agree.

use super::fpu_reg::Reg;
use super::fpu_system::{Machine, Memory, SoftFpu, Stop};
use crate::arch::x86::kernel::fpu::regset::{Fsave, Fxsave};
use core::arch::asm;
use iced_x86::{Code, Decoder, DecoderOptions, Instruction};
use proptest::prelude::*;
use proptest::test_runner::Config;
use zerocopy::IntoBytes;

/// Room for the largest memory operand.
const OPERAND: usize = 108;

/// What an instruction starts with and leaves.
#[derive(Clone, PartialEq, Eq)]
struct State {
    fsave: Fsave,
    flags: u64,
    ax: u64,
    memory: [u8; OPERAND],
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let s = &self.fsave;
        write!(f, "cw {:04x} sw {:04x} tw {:04x}", s.cwd as u16, s.swd as u16, s.twd as u16)?;
        write!(f, " flags {:03x} ax {:x}", self.flags, self.ax)?;
        for st in &s.st {
            let r = Reg::from_bytes(*st);
            write!(f, "\n  {:04x}.{:016x}", r.se, r.sig)?;
        }
        write!(f, "\n  memory {:02x?}", &self.memory[..16])
    }
}

impl State {
    /// Without what the two need not agree on: addresses, and bits without meaning.
    fn comparable(&self) -> Self {
        let f = &self.fsave;
        let fsave = Fsave {
            cwd: f.cwd & 0xffff,
            swd: f.swd & 0xffff,
            twd: f.twd & 0xffff,
            st: f.st,
            ..Fsave::default()
        };
        Self { fsave, ..self.clone() }
    }
}

/// A page of code.
struct CodePage(*mut u8);

impl CodePage {
    fn new() -> Self {
        let at: isize;
        // SAFETY: mmap of an anonymous page that may be written and executed.
        unsafe {
            asm!("syscall", inlateout("rax") 9isize => at, in("rdi") 0, in("rsi") 4096, in("rdx") 7, in("r10") 0x22,
                in("r8") -1isize, in("r9") 0, out("rcx") _, out("r11") _, options(nostack));
        }
        assert!(at > 0, "a page for code: {at}");
        Self(at as *mut u8)
    }

    /// Runs an instruction whose memory operand is at RSI.
    fn run(&self, insn: &[u8], s: &State) -> State {
        let mut code = vec![0x51, 0x9d, 0x4c, 0x89, 0xc0, 0xdd, 0x27]; // push rcx; popfq; mov rax, r8; frstor [rdi]
        code.extend(insn);
        code.extend([0xdd, 0x32, 0x9c, 0x59]); // fnsave [rdx]; pushfq; pop rcx
        code.extend([0x48, 0x89, 0x4a, 0x70, 0x48, 0x89, 0x42, 0x78, 0xc3]); // mov [rdx+112], rcx; mov [rdx+120], rax; ret
        #[repr(C, align(16))]
        struct Out {
            fsave: Fsave,
            pad: u32,
            flags: u64,
            ax: u64,
        }
        let mut out = Out { fsave: Fsave::default(), pad: 0, flags: 0, ax: 0 };
        let mut memory = s.memory;
        // SAFETY: the page is ours; the code keeps to the calling convention, and the
        // operand of the instruction is in `memory`.
        unsafe {
            core::ptr::copy_nonoverlapping(code.as_ptr(), self.0, code.len());
            let f: extern "sysv64" fn(*const Fsave, *mut u8, *mut Out, u64, u64) =
                core::mem::transmute(self.0);
            f(&raw const s.fsave, memory.as_mut_ptr(), &raw mut out, s.flags, s.ax);
        }
        State { fsave: out.fsave, flags: out.flags & FLAGS, ax: out.ax, memory }
    }
}

/// The arithmetic flags.
const FLAGS: u64 = 0x8d5;

struct Buffer([u8; OPERAND]);

impl Memory for Buffer {
    fn load(&mut self, to: &mut [u8]) -> Result<(), Stop> {
        to.copy_from_slice(&self.0[..to.len()]);
        Ok(())
    }
    fn store(&mut self, from: &[u8]) -> Result<(), Stop> {
        self.0[..from.len()].copy_from_slice(from);
        Ok(())
    }
}

fn decode(bytes: &[u8]) -> Instruction {
    Decoder::new(64, bytes, DecoderOptions::NONE).decode()
}

/// The same on the emulator.
fn emulate(insn: &[u8], s: &State) -> Result<State, Stop> {
    let mut fx = Fxsave::EMPTY;
    fx.take_fsave(&s.fsave);
    let mut fpu = SoftFpu::from_x87(&fx.x87());
    let mut memory = Buffer(s.memory);
    let mut m = Machine { flags: s.flags, ax: s.ax, memory: &mut memory };
    fpu.execute(&decode(insn), &mut m)?;
    let (flags, ax) = (m.flags & FLAGS, m.ax);
    Ok(State { fsave: fpu.to_fxsave().to_fsave(0, 0), flags, ax, memory: memory.0 })
}

/// A generator of interesting numbers.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    /// Bits in a row, few bits, or any bits.
    fn pattern(&mut self) -> u64 {
        let (n, bits) = (self.below(64), self.next());
        match self.below(6) {
            0 => 0,
            1 => !0 << n,
            2 => !0 >> n,
            3 => 1 << n,
            4 => bits & !0 << n,
            _ => bits,
        }
    }
    fn register(&mut self) -> [u8; 10] {
        let sign = (self.next() as u16) << 15;
        let normal = self.pattern() | 1 << 63;
        let (se, sig) = match self.below(16) {
            0 => (0, 0),
            1 => (0x7fff, 1 << 63),
            2 => (0x7fff, self.pattern() | 1 << 63),
            3 => (0, self.pattern() & !0 >> self.below(64)),
            4 => (self.next() as u16 & 0x7fff, self.pattern()),
            5 => (self.below(70) as u16, normal),
            6 => (0x7ffe - self.below(70) as u16, normal),
            // About where a `float` or a `double` ends.
            7 => (0x3fff - 126 - self.below(30) as u16, normal),
            8 => (0x3fff - 1022 - self.below(60) as u16, normal),
            9 => (0x3fff + 127 + self.below(2) as u16, normal),
            10 => (0x3fff + 1023 + self.below(2) as u16, normal),
            11 => (self.next() as u16 % 0x7fff, normal),
            _ => (0x3fff + self.below(70) as u16 - 3, normal),
        };
        let mut b = [0; 10];
        b[..8].copy_from_slice(&u64::to_le_bytes(sig));
        b[8..].copy_from_slice(&u16::to_le_bytes(se | sign));
        b
    }
    /// Control words in which everything is masked, or something.
    fn control(&mut self) -> u16 {
        let masks = if self.below(2) == 0 { 0x3f } else { self.next() as u16 & 0x3f };
        let precision = [0, 2, 3, 3][self.below(4) as usize];
        masks | 0x40 | precision << 8 | (self.below(4) as u16) << 10
    }
    fn state(&mut self) -> State {
        let cwd = self.control();
        // Exceptions so far, none of them pending.
        let swd = self.next() as u16 & (0x7f00 | cwd & 0x3f | 0x40);
        let empty = self.next() & self.next() & self.next();
        let twd = (0..8).fold(0, |t, i| t | if empty >> i & 1 != 0 { 3 << (2 * i) } else { 0 });
        let st = core::array::from_fn(|_| self.register());
        let fsave = Fsave {
            cwd: 0xffff_0000 | u32::from(cwd),
            swd: 0xffff_0000 | u32::from(swd),
            twd: 0xffff_0000 | twd,
            st,
            ..Fsave::default()
        };
        State { fsave, flags: self.next() & FLAGS, ax: self.next(), memory: [0; OPERAND] }
    }
    fn single(&mut self) -> u32 {
        let exp = [0, 0xff, self.below(256) as u32, 127 + self.below(40) as u32][self.below(4) as usize];
        (self.pattern() >> 41) as u32 | exp << 23 | (self.next() as u32) << 31
    }
    fn double(&mut self) -> u64 {
        let exp = [0, 0x7ff, self.below(2048), 1023 + self.below(70)][self.below(4) as usize];
        self.pattern() >> 12 | exp << 52 | self.next() << 63
    }
    fn memory(&mut self, code: Code) -> [u8; OPERAND] {
        let mut m = [0; OPERAND];
        let name = format!("{code:?}");
        if name.contains("m32fp") {
            m[..4].copy_from_slice(&self.single().to_le_bytes());
        } else if name.contains("m64fp") {
            m[..8].copy_from_slice(&self.double().to_le_bytes());
        } else if name.contains("m80") {
            m[..10].copy_from_slice(&self.register());
        } else if name.starts_with("Fldenv") || name.starts_with("Frstor") {
            let f = self.state().fsave;
            m.copy_from_slice(f.as_bytes());
        } else {
            m[..8].copy_from_slice(&self.pattern().to_le_bytes());
        }
        if name.starts_with("Fbld") {
            // Digits.
            for b in &mut m[..9] {
                *b = (self.below(10) | self.below(10) << 4) as u8;
            }
            m[9] = (self.next() as u8) & 0x80;
        }
        m
    }
    fn instruction(&mut self) -> [u8; 2] {
        let first = 0xd8 | self.below(8) as u8;
        let second =
            if self.below(2) == 0 { 0xc0 | self.below(64) as u8 } else { (self.below(8) as u8) << 3 | 6 };
        [first, second]
    }
}

/// Condition codes that are not defined to be anything, which CPUs differ in: what it does with
/// them is AMD's way, and is compared only there.
fn undefined(insn: &Instruction, real: &State) -> u16 {
    use iced_x86::Mnemonic as M;
    const C1: u16 = 0x200;
    let incomplete = real.fsave.swd & 0x400 != 0;
    match insn.mnemonic() {
        // How far one step goes is up to the CPU, too.
        M::Fprem | M::Fprem1 if incomplete || real.fsave.swd & 1 != 0 => 0x4700,
        M::Ffree | M::Ffreep | M::Fcomi | M::Fcomip | M::Fucomi | M::Fucomip => C1,
        other if format!("{other:?}").starts_with("Fcmov") => C1,
        _ => 0,
    }
}

fn is_amd() -> bool {
    raw_cpuid::CpuId::new().get_vendor_info().is_some_and(|v| v.as_str() == "AuthenticAMD")
}

fn agree(insn: &[u8], real: &State, soft: &State) -> bool {
    let (mut real, mut soft) = (real.comparable(), soft.comparable());
    let insn = decode(insn);
    let mask = if is_amd() { 0 } else { undefined(&insn, &real) };
    if mask == 0x4700 {
        (real.fsave.st[0], real.fsave.twd) = (soft.fsave.st[0], soft.fsave.twd);
    }
    for s in [&mut real, &mut soft] {
        s.fsave.swd &= !u32::from(mask);
    }
    real == soft
}

/// Compares the two on an instruction that is emulated. Returns whether it is.
fn check(page: &CodePage, insn: &[u8], s: &State) -> Result<bool, String> {
    let Ok(soft) = emulate(insn, s) else { return Ok(false) };
    let real = page.run(insn, s);
    if agree(insn, &real, &soft) {
        return Ok(true);
    }
    let code = decode(insn).code();
    Err(format!("{insn:02x?} {code:?}\nbefore {s:?}\nreal   {real:?}\nsoft   {soft:?}"))
}

/// Two hundred thousand cases, with `TRAPLINE_X87_CASES` as many as you like.
#[test]
fn agrees_with_the_hosts_x87() {
    let page = CodePage::new();
    let cases: u32 = std::env::var("TRAPLINE_X87_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let config = Config { cases: cases / 100, failure_persistence: None, ..Config::default() };
    proptest!(config, |(seed in any::<u64>())| {
        let mut dice = Dice(seed);
        for _ in 0..100 {
            let insn = dice.instruction();
            let mut s = dice.state();
            s.memory = dice.memory(decode(&insn).code());
            check(&page, &insn, &s).map_err(TestCaseError::fail)?;
        }
    });
}

/// Each instruction there is: emulated, and as the host does it, or one of these.
#[test]
fn every_instruction_is_emulated_or_named() {
    const REFUSED: &str = "F2xm1 Fcos Fpatan Fptan Fsin Fsincos Fyl2x Fyl2xp1 Fstpnce_sti Frstpm INVALID";
    let page = CodePage::new();
    let mut dice = Dice(1);
    for (first, second) in (0xd8..=0xdfu8).flat_map(|a| (0..=0xffu8).map(move |b| (a, b))) {
        if second < 0xc0 && second & 0xc7 != 6 {
            continue;
        }
        let code = decode(&[first, second]).code();
        let refused = REFUSED.split(' ').any(|name| name == format!("{code:?}"));
        for _ in 0..20 {
            let mut s = dice.state();
            s.memory = dice.memory(code);
            let emulated = check(&page, &[first, second], &s).unwrap();
            assert_eq!(emulated, !refused, "{first:02x} {second:02x} {code:?}");
        }
    }
}

/// The image that 16-bit code has of the environment, and of the whole state.
#[test]
fn images_of_16_bit_code() {
    let page = CodePage::new();
    let mut dice = Dice(2);
    for _ in 0..1000 {
        for insn in [[0x66, 0xd9, 0x36], [0x66, 0xdd, 0x36], [0x66, 0xd9, 0x26], [0x66, 0xdd, 0x26]] {
            let mut s = dice.state();
            let f = dice.state().fsave;
            for (i, w) in [f.cwd, f.swd, f.twd].into_iter().enumerate() {
                s.memory[2 * i..2 * i + 2].copy_from_slice(&(w as u16).to_le_bytes());
            }
            s.memory[14..94].copy_from_slice(f.st.as_bytes());
            assert!(emulate(&insn, &s).is_ok());
            let (real, mut soft) = (page.run(&insn, &s), emulate(&insn, &s).unwrap());
            // Addresses are the CPU's own.
            if insn[2] == 0x36 {
                soft.memory[6..14].copy_from_slice(&real.memory[6..14]);
            }
            assert_eq!(real.comparable(), soft.comparable(), "{insn:02x?}");
        }
    }
}
