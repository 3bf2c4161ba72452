// SPDX-License-Identifier: GPL-2.0-only
//! Where the self-tests come from: Debian's `linux-source-6.1`, fetched as a package, of which
//! the part that they need is unpacked beside the build. None of it is copied into the sources.

use crate::paths::Paths;
use crate::tools::which;
use crate::{debian, ui};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package, and the name of the directory in it.
const PACKAGE: &str = "linux-source-6.1";
/// What of it is unpacked: the tests, and what `make headers` reads.
const PARTS: &[&str] = &[
    "tools/testing/selftests",
    "tools/include",
    "tools/arch",
    "tools/scripts",
    "tools/build",
    "include",
    "arch/x86",
    "scripts",
    "usr",
    "Makefile",
    "Kbuild",
    "Kconfig",
];

/// What the tests are compiled from.
#[derive(Debug, Clone)]
pub struct Source {
    dir: PathBuf,
}

impl Source {
    /// Where it belongs.
    fn at(paths: &Paths) -> Self {
        Self { dir: paths.out().join("linux-source") }
    }

    /// If it is there; else the sentence that says how to have it.
    pub fn ready(paths: &Paths) -> std::result::Result<Self, String> {
        let source = Self::at(paths);
        match (which("gcc"), source.mark().is_file()) {
            (None, _) => Err("there is no gcc here to compile Linux's self-tests".into()),
            (_, false) => {
                Err("run `cargo xtask kselftest --fetch` once: it fetches Debian's linux-source-6.1 (140 MB)"
                    .into())
            }
            _ => Ok(source),
        }
    }

    /// Fetches and unpacks what is missing.
    pub fn get(paths: &Paths) -> Result<Self> {
        crate::shell::busybox(paths)?;
        let found = |dir: &Path| Some(Self { dir: dir.to_owned() }).filter(|source| source.mark().is_file());
        let source =
            debian::once(&Self::at(paths).dir, found, |fresh| Self { dir: fresh.to_owned() }.fetch())?;
        source.context("Linux's self-tests were fetched and are not there; is somebody removing them?")
    }

    fn fetch(&self) -> Result<()> {
        for tool in ["gcc", "make", "tar", "xz"] {
            if which(tool).is_none() {
                bail!(
                    "there is no {tool} here, which Linux's self-tests are unpacked and compiled with; install it"
                );
            }
        }
        let instead = "put a Debian's apt in reach; Linux's self-tests come from that package only";
        debian::unpack(&self.dir, PACKAGE, instead)?;
        debian::unpack(&self.dir, "libcap-dev", instead)?;
        self.untar()?;
        self.headers()?;
        std::fs::write(self.mark(), "").context("cannot write; is the disk full?")
    }

    /// The file that says that all is there.
    fn mark(&self) -> PathBuf {
        self.dir.join("ready")
    }

    fn untar(&self) -> Result<()> {
        let archive = self.dir.join(format!("usr/src/{PACKAGE}.tar.xz"));
        let mut tar = Command::new("tar");
        tar.arg("-xJf").arg(&archive).arg("-C").arg(&self.dir);
        tar.args(PARTS.iter().map(|part| format!("{PACKAGE}/{part}")));
        ui::run_step("unpacking Linux's self-tests", &mut tar, "is the disk full?")?;
        std::fs::remove_file(&archive).context("cannot remove the archive")
    }

    fn headers(&self) -> Result<()> {
        let mut make = Command::new("make");
        make.args(["-s", "headers"]).current_dir(self.tree());
        ui::run_step("making Linux's headers for programs", &mut make, "see above")
    }

    /// Linux's tree, as far as it is unpacked.
    fn tree(&self) -> PathBuf {
        self.dir.join(PACKAGE)
    }

    /// The directory of a group of tests.
    pub fn tests(&self, dir: &str) -> PathBuf {
        self.tree().join("tools/testing/selftests").join(dir)
    }

    /// gcc's words for the headers and libraries that are not the system's.
    pub fn flags(&self) -> Vec<String> {
        let word = |flag: &str, path: &Path| format!("{flag}{}", path.display());
        vec![
            "-isystem".into(),
            self.tree().join("usr/include").display().to_string(),
            word("-I", &self.dir.join("usr/include")),
            word("-L", &self.dir.join("usr/lib/x86_64-linux-gnu")),
        ]
    }
}
