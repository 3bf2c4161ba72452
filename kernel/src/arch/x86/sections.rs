// SPDX-License-Identifier: GPL-2.0-only
//! Where the parts of the kernel's image lie (Linux 6.1, `include/asm-generic/sections.h`): the linker's
//! script names their ends. On the host, where tests run, there is no image, and all of them are empty.

use core::ops::Range;

/// What lies between two of the linker's symbols.
macro_rules! section {
    ($($(#[$doc:meta])* $name:ident: $start:ident, $end:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() -> Range<u64> {
            #[cfg(target_os = "none")]
            {
                unsafe extern "C" {
                    static $start: u8;
                    static $end: u8;
                }
                &raw const $start as u64..&raw const $end as u64
            }
            #[cfg(not(target_os = "none"))]
            {
                0..0
            }
        }
    )*};
}

section! {
    /// Entries, and ways back (`.entry.text`).
    entry_text: __entry_text_start, __entry_text_end;
    /// Code that deals with breakpoints (`.kprobes.text`).
    kprobes_text: __kprobes_text_start, __kprobes_text_end;
    /// An NMI's way to those who want it (`.nmi.text`).
    nmi_text: __nmi_text_start, __nmi_text_end;
    /// Where a CPU waits for interrupts (`.cpuidle.text`).
    cpuidle_text: __cpuidle_text_start, __cpuidle_text_end;
}
