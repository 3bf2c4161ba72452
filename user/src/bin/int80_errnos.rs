// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: every call of `int $0x80`, of i386's numbers, with arguments that mean
//! nothing. `cargo xtask compare errnos32` runs it on two kernels. [`user::errnos`] has the columns;
//! all addresses of 32 bits are a program's, so that its `hole` and `kern` are only empty.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::errnos::Way;
use user::text::Text;
use user::{program, syscall};

program!(run);

const WAY: Way = Way {
    // SAFETY: not given: the process may break, and its parent looks only at how it ends.
    call: |number, args| unsafe { syscall::int80_raw(number, args.map(|a| a as u32)) },
    hole: 0x8000_0000,
    kern: 0xffff_e000,
    beyond: 0x7fff_ffff,
};

/// Those that do not return to their caller (1, 252), that start a child on a stack that is nobody's (120, 190),
/// that take the stack for a signal's frame (119, 173), and one that takes a number for a mask, by which the
/// signal that ends its waiting is blocked (72).
const LEFT_OUT: &[u32] = &[1, 72, 119, 120, 173, 190, 252];

fn run() {
    for number in (0..=451).chain([999, u32::MAX]).filter(|n| !LEFT_OUT.contains(n)) {
        let mut text = Text::<64>::new();
        let _ = core::fmt::Write::write_fmt(&mut text, format_args!("int80_{number:03}"));
        WAY.row(number, text.as_str());
    }
}
