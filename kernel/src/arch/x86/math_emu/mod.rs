// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `arch/x86/math-emu/`: x87 instructions without an x87 (`no387`).
//!
//! CR0.EM makes each of them raise #NM. [`fpu_entry`] fetches and decodes it, and has
//! [`fpu_system::SoftFpu`] carry it out: the task's registers, which are in its FPU state as
//! FXSAVE would store them. What isn't covered is refused, never guessed.
pub mod control_w;
pub mod fpu_arith;
pub mod fpu_aux;
pub mod fpu_entry;
pub mod fpu_etc;
pub mod fpu_reg;
pub mod fpu_system;
pub mod fpu_trig;
pub mod load_store;
pub mod reg_arith;
pub mod reg_compare;
pub mod reg_constant;
pub mod reg_ld_str;
pub mod reg_round;

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod real_x87;

/// Elsewhere there is nothing to compare with.
#[cfg(all(test, not(all(target_arch = "x86_64", target_os = "linux"))))]
mod real_x87 {
    #[test]
    #[ignore = "needs an x87"]
    fn agrees_with_the_hosts_x87() {}
}
