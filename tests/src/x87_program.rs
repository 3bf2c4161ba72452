// SPDX-License-Identifier: GPL-2.0-only
//! A C program that calculates, compiled for the x87 alone: what compilers emit.

use crate::c_program::compile;
use std::process::Command;
use tempfile::TempDir;

const SOURCE: &str = include_str!("x87_program.c");

/// Compiles it to `init` in a directory of its own; `None` where there is no compiler for it.
pub fn pack() -> Result<Option<TempDir>, String> {
    compile(
        SOURCE,
        &[
            "-O2",
            "-ffast-math",
            "-mno-sse",
            "-mno-mmx",
            "-mfpmath=387",
            "-static",
            "-nostdlib",
            "-ffreestanding",
            "-fno-builtin",
            "-fno-stack-protector",
            "-fno-pie",
            "-no-pie",
            "-fcf-protection=none",
        ],
    )
}

/// What it prints on the machine that the tests run on, whose FPU is real.
pub fn lines_here(dir: &TempDir) -> Result<Vec<String>, String> {
    let output = Command::new(dir.path().join("init")).output().map_err(|e| format!("cannot run it: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || !text.ends_with("x87: done\n") {
        return Err(format!("{}, having said\n{text}", output.status));
    }
    Ok(text.lines().map(str::to_owned).collect())
}
