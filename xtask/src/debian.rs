// SPDX-License-Identifier: GPL-2.0-only
//! Debian's packages: fetched with apt and unpacked beside the build. Nothing is installed, and
//! nothing outside the target directory is written.

use crate::tools::which;
use crate::ui;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Fetches a package and unpacks it in `dir`; `instead` says what to do where that cannot be.
pub fn unpack(dir: &Path, package: &str, instead: &str) -> Result<()> {
    need_apt(package, instead)?;
    std::fs::create_dir_all(dir).context("cannot make a directory; is the disk full?")?;
    let mut download = Command::new("apt-get");
    download.args(["download", package]).current_dir(dir);
    let next = format!("run `apt-get update`, or {instead}");
    ui::run_step(&format!("fetching {package}"), &mut download, &next)?;
    let file = downloaded(dir, package)?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(&file).arg(dir);
    ui::run_step(&format!("unpacking {package}"), &mut unpack, "is the disk full?")?;
    std::fs::remove_file(&file).context("cannot remove the package's file")
}

/// Says what is missing where packages cannot be had.
pub fn need_apt(package: &str, instead: &str) -> Result<()> {
    match ["apt-get", "apt-cache", "dpkg-deb"].into_iter().find(|tool| which(tool).is_none()) {
        Some(tool) => bail!("there is no {tool} here to fetch Debian's {package} with; {instead}"),
        None => Ok(()),
    }
}

/// The first package that another one depends on and whose name begins so.
pub fn dependency(package: &str, prefix: &str) -> Result<Option<String>> {
    let output = Command::new("apt-cache").args(["depends", package]).stdin(Stdio::null()).output();
    let output = output.context("cannot start apt-cache")?;
    Ok(first_dependency(&String::from_utf8_lossy(&output.stdout), prefix))
}

fn first_dependency(text: &str, prefix: &str) -> Option<String> {
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::trim).find(|name| name.starts_with(prefix)).map(str::to_owned)
}

fn downloaded(dir: &Path, package: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(dir).context("cannot read a directory")?;
    let start = format!("{package}_");
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&start) && path.extension().is_some_and(|e| e == "deb")
    };
    let found = entries.flatten().map(|entry| entry.path()).find(wanted);
    found.with_context(|| format!("apt-get left no {package}_*.deb in {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dependency_is_found() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-1-cloud-amd64\n  Suggests: x\n";
        let found = |text| first_dependency(text, "linux-image-");
        assert_eq!(found(text).as_deref(), Some("linux-image-6.1.0-1-cloud-amd64"));
        assert_eq!(found("N: no packages found\n"), None);
    }

    #[test]
    fn a_longer_name_is_another_package() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("libcap-dev_1_amd64.deb"), "").unwrap();
        assert!(downloaded(dir.path(), "libcap-dev").is_ok());
        assert!(downloaded(dir.path(), "libcap").is_err());
    }
}
