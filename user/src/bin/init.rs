// SPDX-License-Identifier: GPL-2.0-only
//! `/init`: runs what its command line asks for, reports, powers off.
//! See [`user::runner`].
#![cfg_attr(target_os = "none", no_std, no_main)]

user::program!(run);

fn run() {
    user::runner::main();
}
