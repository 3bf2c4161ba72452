// SPDX-License-Identifier: GPL-2.0-only
//! Debian's cloud kernel: fetched as a package and unpacked beside the build.

use crate::debian;
use crate::paths::Paths;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The package that always depends on the newest cloud kernel.
const META: &str = "linux-image-cloud-amd64";
/// What to do without it.
const INSTEAD: &str = "give a Linux kernel with --kernel FILE";

/// The kernel to compare with: the one that was named, the one that was fetched before, or a
/// fresh one.
pub fn kernel(paths: &Paths, named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_path_buf());
    }
    let dir = paths.out().join("linux");
    let fetch = |fresh: &Path| {
        debian::need_apt(META, INSTEAD)?;
        let package = debian::dependency(META, "linux-image-")?.with_context(|| {
            format!("apt knows no {META}; run `apt-get update` on a Debian, or {INSTEAD}")
        })?;
        debian::unpack(fresh, &package, INSTEAD)
    };
    debian::once(&dir, image_in, fetch)?
        .with_context(|| format!("the package has no boot/vmlinuz-*; look into {}", dir.display()))
}

/// The kernel of an unpacked package.
fn image_in(dir: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir.join("boot")).ok()?;
    let named =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    entries.flatten().map(|entry| entry.path()).filter(named).max()
}

#[cfg(test)]
mod tests {
    use super::*;

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
