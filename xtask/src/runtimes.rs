// SPDX-License-Identifier: GPL-2.0-only
//! Run-times of languages: the programs of `tests/programs/`, compiled on the host as their users
//! would, static, with whatever of the compilers is there.

use crate::host_programs::HostProgram;
use crate::paths::Paths;
use crate::tools::{rustlib, which};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is recorded of them (`tests/recorded/runtimes.txt`).
pub const SET: &str = "runtimes";

/// One program as one compiler makes it.
#[derive(Debug, Clone, Copy)]
pub struct Runtime {
    /// Its name.
    pub name: &'static str,
    /// Its source.
    source: &'static str,
    /// The compiler.
    compiler: &'static str,
    /// How to have the compiler.
    advice: &'static str,
    /// The compiler's words; `SOURCE` and `OUT` stand for the files.
    words: &'static str,
    /// The words of each run, without which there is one run without words.
    runs: &'static [&'static str],
}

const MUSL: &str = "x86_64-unknown-linux-musl";
const RUST: &str = "install Rust with rustup";
const RUST_RUNS: &[&str] = &["", "main", "thread"];

/// All of them.
pub const RUNTIMES: &[Runtime] = &[
    Runtime {
        name: "rust_musl",
        source: "rust_std.rs",
        compiler: "rustc",
        advice: "`rustup target add x86_64-unknown-linux-musl`",
        words: "--edition 2024 -O --target x86_64-unknown-linux-musl -o OUT SOURCE",
        runs: RUST_RUNS,
    },
    Runtime {
        name: "rust_glibc",
        source: "rust_std.rs",
        compiler: "rustc",
        advice: RUST,
        words: "--edition 2024 -O -C target-feature=+crt-static -C relocation-model=static -o OUT SOURCE",
        runs: RUST_RUNS,
    },
    Runtime {
        name: "rust_static_pie",
        source: "rust_std.rs",
        compiler: "rustc",
        advice: RUST,
        words: "--edition 2024 -O -C target-feature=+crt-static -o OUT SOURCE",
        runs: RUST_RUNS,
    },
    Runtime {
        name: "go",
        source: "go_faults.go",
        compiler: "go",
        advice: "Debian's golang-go",
        words: "build -o OUT SOURCE",
        runs: &["", "unrecovered"],
    },
    Runtime {
        name: "cxx",
        source: "cxx_throw.cpp",
        compiler: "g++",
        advice: "Debian's g++",
        words: "-static -O1 -fnon-call-exceptions -o OUT SOURCE -pthread",
        runs: &[""],
    },
    Runtime {
        name: "ada",
        source: "ada_faults.adb",
        compiler: "gnatmake",
        advice: "Debian's gnat",
        words: "-q -O1 SOURCE -o OUT -bargs -static -largs -static",
        runs: &["", "unhandled"],
    },
    Runtime {
        name: "fortran",
        source: "fortran_fpe.f90",
        compiler: "gfortran",
        advice: "Debian's gfortran",
        words: "-static -ffpe-trap=zero,invalid -o OUT SOURCE",
        runs: &["", "integer"],
    },
    Runtime {
        name: "libc_glibc",
        source: "libc_program.c",
        compiler: "gcc",
        advice: "Debian's gcc",
        words: "-static -O1 -w -o OUT SOURCE -pthread",
        runs: &[""],
    },
    Runtime {
        name: "libc_glibc_pie",
        source: "libc_program.c",
        compiler: "gcc",
        advice: "Debian's gcc",
        words: "-static-pie -O1 -w -o OUT SOURCE -pthread",
        runs: &[""],
    },
    Runtime {
        name: "libc_musl",
        source: "libc_program.c",
        compiler: "musl-gcc",
        advice: "Debian's musl-tools",
        words: "-static -O1 -w -o OUT SOURCE -pthread",
        runs: &[""],
    },
    Runtime {
        name: "context_glibc",
        source: "signal_context.c",
        compiler: "gcc",
        advice: "Debian's gcc",
        words: "-static -O1 -w -o OUT SOURCE -pthread -lm",
        runs: &[""],
    },
    Runtime {
        name: "context_musl",
        source: "signal_context.c",
        compiler: "musl-gcc",
        advice: "Debian's musl-tools",
        words: "-static -O1 -w -o OUT SOURCE -pthread",
        runs: &[""],
    },
];

impl Runtime {
    /// Why it cannot be compiled here, if it cannot.
    pub fn missing(&self, paths: &Paths) -> Option<String> {
        let target = !self.words.contains(MUSL) || rustlib(paths).is_some_and(|lib| lib.join(MUSL).is_dir());
        let there = which(self.compiler).is_some() && target;
        (!there).then(|| format!("there is no {} for it here: {}", self.compiler, self.advice))
    }

    /// Compiles it, if that was not done since its source was changed.
    pub fn compile(&self, paths: &Paths) -> Result<PathBuf> {
        let source = paths.root.join("tests/programs").join(self.source);
        let dir = paths.out().join("runtimes").join(self.name);
        let program = dir.join(self.name);
        std::fs::create_dir_all(&dir).context("cannot make a directory; is the disk full?")?;
        let modified = |file: &Path| file.metadata().and_then(|meta| meta.modified()).ok();
        if modified(&program) > modified(&source) {
            return Ok(program);
        }
        let word = |word: &str| match word {
            "SOURCE" => source.clone().into_os_string(),
            "OUT" => program.clone().into_os_string(),
            other => other.into(),
        };
        let mut command = Command::new(self.compiler);
        command.args(self.words.split_whitespace().map(word)).current_dir(&dir).stdin(Stdio::null());
        // What Go wants to know, and where it keeps things.
        command.env("CGO_ENABLED", "0").env("GO111MODULE", "off").env("GOCACHE", dir.join("cache"));
        let output = command.output().with_context(|| format!("cannot start {}", self.compiler))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{} could not compile {}:\n{said}", self.compiler, self.source);
        }
        Ok(program)
    }

    /// Its runs.
    pub fn runs(&self, program: &Path) -> Vec<HostProgram> {
        let words = |run: &str| run.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        self.runs.iter().map(|run| HostProgram::new(program, &words(run))).collect()
    }
}

/// The runs of all that can be compiled here, and what is said about the others.
pub fn all(paths: &Paths) -> Result<(Vec<HostProgram>, Vec<String>)> {
    let (mut runs, mut left_out) = (Vec::new(), Vec::new());
    for runtime in RUNTIMES {
        match runtime.missing(paths) {
            Some(why) => left_out.push(format!("{}: left out: {why}", runtime.name)),
            None => runs.extend(runtime.runs(&runtime.compile(paths)?)),
        }
    }
    Ok((runs, left_out))
}
