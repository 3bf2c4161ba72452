// SPDX-License-Identifier: GPL-2.0-only
//! Debian's cloud kernel: fetched as a package and unpacked beside the build. Nothing is
//! installed, and nothing outside the target directory is written.

use crate::paths::Paths;
use crate::tools::which;
use crate::ui;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The package that always depends on the newest cloud kernel.
const META: &str = "linux-image-cloud-amd64";

/// The kernel to compare with: the one that was named, the one that was fetched before, or a
/// fresh one.
pub fn kernel(paths: &Paths, named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_path_buf());
    }
    let dir = paths.out().join("linux");
    if let Some(image) = image_in(&dir) {
        return Ok(image);
    }
    fetch(&dir)?;
    image_in(&dir).with_context(|| format!("the package has no boot/vmlinuz-*; look into {}", dir.display()))
}

/// The kernel of an unpacked package.
fn image_in(dir: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir.join("boot")).ok()?;
    let named =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    entries.flatten().map(|entry| entry.path()).filter(named).max()
}

fn fetch(dir: &Path) -> Result<()> {
    for tool in ["apt-get", "apt-cache", "dpkg-deb"] {
        if which(tool).is_none() {
            bail!(
                "there is no {tool} here to fetch Debian's {META} with; give a Linux kernel with --kernel FILE"
            );
        }
    }
    std::fs::create_dir_all(dir).context("cannot make a directory; is the disk full?")?;
    let package = package()?;
    let next = "run `apt-get update`, or give a Linux kernel with --kernel FILE";
    let mut download = Command::new("apt-get");
    download.args(["download", &package]).current_dir(dir);
    ui::run_step(&format!("fetching {package}"), &mut download, next)?;
    let file = downloaded(dir, &package)?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(&file).arg(dir);
    ui::run_step(&format!("unpacking {package}"), &mut unpack, "is the disk full?")?;
    std::fs::remove_file(&file).context("cannot remove the package's file")
}

/// What the meta package depends on.
fn package() -> Result<String> {
    let output = Command::new("apt-cache").args(["depends", META]).stdin(Stdio::null()).output();
    let output = output.context("cannot start apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    first_dependency(&text).with_context(|| {
        format!(
            "apt knows no {META}; run `apt-get update` on a Debian, or give a Linux kernel with --kernel FILE"
        )
    })
}

fn first_dependency(text: &str) -> Option<String> {
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::trim).find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

fn downloaded(dir: &Path, package: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(dir).context("cannot read a directory")?;
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(package) && path.extension().is_some_and(|e| e == "deb")
    };
    let found = entries.flatten().map(|entry| entry.path()).find(wanted);
    found.with_context(|| format!("apt-get left no {package}_*.deb in {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_the_dependency() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-1-cloud-amd64\n  Suggests: x\n";
        assert_eq!(first_dependency(text).as_deref(), Some("linux-image-6.1.0-1-cloud-amd64"));
        assert_eq!(first_dependency("N: no packages found\n"), None);
    }

    #[test]
    fn an_image_is_found_in_boot() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(image_in(dir.path()), None);
        std::fs::create_dir(dir.path().join("boot")).unwrap();
        std::fs::write(dir.path().join("boot/vmlinuz-6.1"), "").unwrap();
        std::fs::write(dir.path().join("boot/config-6.1"), "").unwrap();
        assert!(image_in(dir.path()).unwrap().ends_with("boot/vmlinuz-6.1"));
    }
}
