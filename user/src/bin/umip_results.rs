// SPDX-License-Identifier: GPL-2.0-only
//! SGDT, SIDT, SMSW, SLDT and STR under UMIP: Linux gives made-up results instead of a
//! signal, to registers and to memory, whatever the address is made of.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use user::prelude::*;

expect! { end: exit(0) }
program!(run);

const GDT: u64 = 0xffff_ffff_fffe_0000;
const IDT: u64 = 0xffff_ffff_ffff_0000;

fn table(image: [u8; 16]) -> (u16, u64) {
    let (limit, base) = image[..10].split_at(2);
    (
        u16::from_le_bytes(limit.try_into().unwrap_or_default()),
        u64::from_le_bytes(base.try_into().unwrap_or_default()),
    )
}

fn run() {
    let mut m = [0xaa_u8; 16];
    let p = m.as_mut_ptr();
    // SAFETY: ten bytes are written.
    unsafe { asm!("sgdt [{}]", in(reg) p, options(nostack)) };
    check_eq!(table(m), (0, GDT), "sgdt [reg]");
    check!(m[10..] == [0xaa; 6], "behind sgdt's ten bytes");
    // SAFETY: as above, at p = r9 + rcx * 4 + 8.
    unsafe { asm!("sidt [r9 + rcx * 4 + 8]", in("r9") p as usize - 28, in("rcx") 5usize, options(nostack)) };
    check_eq!(table(m), (0, IDT), "sidt [base + index * scale + disp]");
    let r: u64;
    // SAFETY: writes a register.
    unsafe { asm!("smsw {}", out(reg) r, options(nomem, nostack)) };
    check_eq!(r, 0x8005_0033, "smsw r64");
    let r: u64;
    // SAFETY: as above; only the low 16 bits.
    unsafe { asm!("smsw {0:x}", inout(reg) 0x1111_2222_3333_4444_u64 => r, options(nomem, nostack)) };
    check_eq!(r, 0x1111_2222_3333_0033, "smsw r16");
    let r: u64;
    // SAFETY: as above.
    unsafe { asm!("str {}", out(reg) r, options(nomem, nostack)) };
    check_eq!(r, 0x40, "str");
    let r: u64;
    // SAFETY: as above.
    unsafe { asm!("sldt {}", out(reg) r, options(nomem, nostack)) };
    check_eq!(r, 0, "sldt without a table");
    m.fill(0xaa);
    // SAFETY: two bytes are written.
    unsafe { asm!("smsw word ptr [{}]", in(reg) p, options(nostack)) };
    check!(m[..3] == [0x33, 0, 0xaa], "smsw m16");
}
