// SPDX-License-Identifier: GPL-2.0-only
//! lkdtm as a module for Debian's kernel, which is built without it.
//!
//! Its source and what modules are built with come as packages of the kernel's own version and
//! are unpacked beside the build; nothing is installed.

use crate::debian;
use crate::paths::Paths;
use crate::tools::which;
use crate::ui;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const INSTEAD: &str = "leave `oopses` out";
/// The package of the source, and what is taken of it.
const SOURCE: &str = "linux-source-6.1";
const LKDTM: &str = "linux-source-6.1/drivers/misc/lkdtm";

/// A function that the kernel has for its own lkdtm only, which a module must do without; the
/// fault that calls it (`UNSET_SMEP`) is not provoked.
const WITHOUT: &str = "-DCONFIG_LKDTM=1 -Dnative_write_cr4=lkdtm_no_write_cr4";
const STUB: &str = "// SPDX-License-Identifier: GPL-2.0-only\n\
    void native_write_cr4(unsigned long val);\nvoid native_write_cr4(unsigned long val) { }\n";

/// Builds the module for a kernel that is a `vmlinuz-RELEASE` of Debian's.
pub fn module(paths: &Paths, kernel: &Path) -> Result<PathBuf> {
    let name = kernel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let release = name.strip_prefix("vmlinuz-").with_context(|| {
        format!("{name} does not say which release it is (vmlinuz-RELEASE), so that there is no lkdtm for it; {INSTEAD}")
    })?;
    let dir = paths.out().join("lkdtm");
    let module = dir.join(format!("lkdtm-{release}.ko"));
    if module.exists() {
        return Ok(module);
    }
    if let Some(tool) = ["make", "gcc", "tar", "objcopy"].into_iter().find(|tool| which(tool).is_none()) {
        bail!("there is no {tool} here to build lkdtm with; {INSTEAD}");
    }
    let headers = headers(&dir, release)?;
    let source = source(&dir)?;
    let mut make = Command::new("make");
    make.arg("-C").arg(&headers).arg(format!("M={}", source.display()));
    make.args(["CONFIG_LKDTM=m", &format!("KCFLAGS={WITHOUT}"), "modules"]);
    ui::run_step(&format!("building lkdtm for {release}"), &mut make, INSTEAD)?;
    let mut strip = Command::new("objcopy");
    strip.arg("-g").arg(source.join("lkdtm.ko")).arg(&module);
    ui::run_step("stripping lkdtm", &mut strip, INSTEAD)?;
    Ok(module)
}

/// What modules of a release are built with. The packages name each other's places from the
/// root on, in one line, which is rewritten.
fn headers(dir: &Path, release: &str) -> Result<PathBuf> {
    let package = format!("linux-headers-{release}");
    let headers = dir.join("usr/src").join(&package);
    if !headers.exists() {
        let part = |prefix: &str| {
            let found = debian::dependency(&package, prefix)?;
            found.with_context(|| format!("apt knows no {package}; run `apt-get update`, or {INSTEAD}"))
        };
        for part in [part("linux-headers-")?, part("linux-kbuild-")?, package.clone()] {
            debian::unpack(dir, &part, INSTEAD)?;
        }
    }
    let makefile = headers.join("Makefile");
    let text = std::fs::read_to_string(&makefile).context("the package has no Makefile")?;
    let root = dir.join("usr/src");
    let text = text.replace("include /usr/src", &format!("include {}", root.display()));
    std::fs::write(&makefile, text).context("cannot write; is the disk full?")?;
    Ok(headers)
}

/// lkdtm's own source, made ready to be built alone.
fn source(dir: &Path) -> Result<PathBuf> {
    let archive = dir.join(format!("usr/src/{SOURCE}.tar.xz"));
    if !archive.exists() {
        debian::unpack(dir, SOURCE, INSTEAD)?;
    }
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(dir).arg("-xf").arg(&archive).arg(LKDTM);
    ui::run_step("unpacking lkdtm's source", &mut tar, INSTEAD)?;
    let source = dir.join(LKDTM);
    let makefile = source.join("Makefile");
    let text = std::fs::read_to_string(&makefile).context("lkdtm has no Makefile")?;
    std::fs::write(&makefile, text + "\nlkdtm-$(CONFIG_LKDTM) += without.o\n").context("cannot write")?;
    std::fs::write(source.join("without.c"), STUB).context("cannot write; is the disk full?")?;
    Ok(source)
}
