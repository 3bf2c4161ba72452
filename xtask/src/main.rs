// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask`: the one door to building, booting, testing and measuring.

use std::process::ExitCode;

fn main() -> ExitCode {
    match xtask::cli::main() {
        Ok(code) => code,
        Err(error) => {
            // One sentence; the causes follow on the same line, never a backtrace.
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
