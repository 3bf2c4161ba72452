// SPDX-License-Identifier: GPL-2.0-only
//! The x87 state as FSAVE has it, made of FXSAVE's and back (Linux 6.1,
//! `arch/x86/kernel/fpu/regset.c`, `convert_from_fxsr`, `convert_to_fxsr`).

use super::xstate::FXSAVE_SIZE;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// FXSAVE's image; aligned as the instruction wants it.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
pub struct Fxsave(pub [u8; FXSAVE_SIZE]);

/// The x87 part of FXSAVE's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct X87 {
    pub cwd: u16,
    pub swd: u16,
    /// A bit for each register that is not empty.
    pub tags: u8,
    pub fop: u16,
    pub fip: u64,
    pub fdp: u64,
    /// ST0 to ST7.
    pub st: [[u8; 10]; 8],
}

/// FSAVE's image (`struct user_i387_ia32_struct`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[allow(missing_docs)]
pub struct Fsave {
    pub cwd: u32,
    pub swd: u32,
    pub twd: u32,
    pub fip: u32,
    pub fcs: u32,
    pub foo: u32,
    pub fos: u32,
    pub st: [[u8; 10]; 8],
}

const _: () = assert!(size_of::<Fsave>() == 108);

// Where FXSAVE's fields begin.
const SWD: usize = 2;
const TWD: usize = 4;
const FOP: usize = 6;
const RIP: usize = 8;
const RDP: usize = 16;
const ST: usize = 32;

/// FXSAVE's tags, a bit for each register that is not empty, of FSAVE's, two bits each.
const fn twd_i387_to_fxsr(twd: u16) -> u8 {
    let (mut tags, mut i) = (0, 0);
    while i < 8 {
        if twd >> (2 * i) & 3 != 3 {
            tags |= 1 << i;
        }
        i += 1;
    }
    tags
}

impl Fxsave {
    /// All zero.
    pub const EMPTY: Self = Self([0; FXSAVE_SIZE]);

    /// The x87 part.
    pub fn x87(&self) -> X87 {
        let u64 = |at| u64::from(self.u32(at)) | u64::from(self.u32(at + 4)) << 32;
        let mut st = [[0; 10]; 8];
        for (i, st) in st.iter_mut().enumerate() {
            st.copy_from_slice(&self.0[ST + 16 * i..][..10]);
        }
        let (cwd, swd) = (self.u16(0), self.swd());
        X87 { cwd, swd, tags: self.0[TWD], fop: self.u16(FOP), fip: u64(RIP), fdp: u64(RDP), st }
    }

    /// Sets the x87 part.
    pub fn set_x87(&mut self, x: &X87) {
        self.put(0, &x.cwd.to_le_bytes());
        self.put(SWD, &x.swd.to_le_bytes());
        self.put(TWD, &[x.tags, 0]);
        self.put(FOP, &x.fop.to_le_bytes());
        self.put(RIP, &x.fip.to_le_bytes());
        self.put(RDP, &x.fdp.to_le_bytes());
        for (i, st) in x.st.iter().enumerate() {
            self.put(ST + 16 * i, st);
            self.put(ST + 16 * i + 10, &[0; 6]);
        }
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }
    fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) | u32::from(self.u16(at + 2)) << 16
    }
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
    /// The status word.
    pub fn swd(&self) -> u16 {
        self.u16(SWD)
    }

    /// FSAVE's tag of the physical register `i`: valid, zero, special, empty.
    fn tag(&self, i: usize) -> u32 {
        if self.0[TWD] >> i & 1 == 0 {
            return 3;
        }
        let top = usize::from(self.swd() >> 11 & 7);
        let st = ST + (i + 8 - top) % 8 * 16;
        let exponent = self.u16(st + 8) & 0x7fff;
        let fraction = &self.0[st..st + 8];
        match exponent {
            0 if fraction.iter().all(|&b| b == 0) => 1,
            1..0x7fff if fraction[7] & 0x80 != 0 => 0,
            _ => 2,
        }
    }

    /// FSAVE's image of this state. The selectors are not in the state any more: they
    /// are `cs`, `ds`.
    pub fn to_fsave(&self, cs: u16, ds: u16) -> Fsave {
        let mut f = Fsave {
            cwd: u32::from(self.u16(0)) | 0xffff_0000,
            swd: u32::from(self.swd()) | 0xffff_0000,
            twd: (0..8).fold(0xffff_0000, |t, i| t | self.tag(i) << (2 * i)),
            fip: self.u32(RIP),
            fcs: u32::from(cs),
            foo: self.u32(RDP),
            fos: u32::from(ds) | 0xffff_0000,
            st: [[0; 10]; 8],
        };
        for (i, st) in f.st.iter_mut().enumerate() {
            st.copy_from_slice(&self.0[ST + 16 * i..][..10]);
        }
        f
    }

    /// Takes the x87 state from FSAVE's image; MXCSR and the XMM registers stay.
    pub fn take_fsave(&mut self, f: &Fsave) {
        self.put(0, &(f.cwd as u16).to_le_bytes());
        self.put(SWD, &(f.swd as u16).to_le_bytes());
        self.0[TWD] = twd_i387_to_fxsr(f.twd as u16);
        self.put(FOP, &((f.fcs >> 16) as u16).to_le_bytes());
        self.put(RIP, &u64::from(f.fip).to_le_bytes());
        self.put(RDP, &u64::from(f.foo).to_le_bytes());
        for (i, st) in f.st.iter().enumerate() {
            self.put(ST + 16 * i, st);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TOP is 6: ST0 is register 6 (1.0), ST1 register 7 (0.0); the rest is empty.
    fn two_values() -> Fxsave {
        let mut fx = Fxsave([0; FXSAVE_SIZE]);
        fx.put(0, &[0x7f, 3, 0, 6 << 3, 0xc0]);
        fx.put(ST, &[0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f]);
        fx.put(24, &[0x80, 0x1f]);
        fx
    }

    #[test]
    fn tags_are_told_from_the_values() {
        let f = two_values().to_fsave(0x23, 0x2b);
        assert_eq!((f.cwd, f.swd, f.twd), (0xffff_037f, 0xffff_3000, 0xffff_4fff));
        assert_eq!((f.fcs, f.fos), (0x23, 0xffff_002b));
        assert_eq!(f.st[0], [0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f]);
        assert_eq!(Fxsave([0; FXSAVE_SIZE]).to_fsave(0, 0).twd, 0xffff_ffff);
    }

    #[test]
    fn there_and_back() {
        let fx = two_values();
        let mut back = fx;
        back.put(0, &[0; 24]);
        back.put(ST, &[0xee; 10]);
        back.take_fsave(&fx.to_fsave(0x23, 0x2b));
        assert_eq!(back.0, fx.0);
    }
}
