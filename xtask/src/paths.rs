// SPDX-License-Identifier: GPL-2.0-only
//! Where sources and build products are.

use crate::build::Variant;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The bare-metal target that the kernel and the user programs are built for.
pub const TARGET: &str = "x86_64-unknown-none";

/// The workspace's directories.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The top of the workspace.
    pub root: PathBuf,
    /// Cargo's target directory, wherever the user's settings put it.
    pub target: PathBuf,
}

impl Paths {
    /// Asks cargo where the workspace and its target directory are.
    pub fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().unwrap_or(manifest).to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) if Path::new(&dir).is_absolute() => PathBuf::from(dir),
            _ => target_from_cargo(&root)?,
        };
        Ok(Self { root, target })
    }

    /// The directory of the finished products.
    pub fn out(&self) -> PathBuf {
        self.target.join("trapline")
    }

    /// The bootable kernel.
    pub fn kernel(&self) -> PathBuf {
        self.kernel_variant(Variant::Plain)
    }

    /// The kernel, built as `variant` says.
    pub fn kernel_variant(&self, variant: Variant) -> PathBuf {
        self.out().join(variant.file_name())
    }

    /// The default initramfs.
    pub fn rootfs(&self) -> PathBuf {
        self.out().join("rootfs.cpio")
    }

    /// The BIOS disk image.
    pub fn image(&self) -> PathBuf {
        self.out().join("trapline.img")
    }

    /// The kernel as a build left it, or the sentence that says what to do.
    pub fn built_kernel(&self) -> Result<PathBuf> {
        built(self.kernel(), "cargo xtask build")
    }

    /// A kernel that only tests boot, as a build left it.
    pub fn built_test_kernel(&self, variant: Variant) -> Result<PathBuf> {
        built(self.kernel_variant(variant), "cargo xtask build --test-kernels")
    }

    /// The default initramfs as a build left it.
    pub fn built_rootfs(&self) -> Result<PathBuf> {
        built(self.rootfs(), "cargo xtask build")
    }
}

fn built(path: PathBuf, command: &str) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("{} is not there yet; run `{command}` first", path.display());
    }
    Ok(path)
}

fn target_from_cargo(root: &Path) -> Result<PathBuf> {
    let output = Command::new(crate::tools::cargo())
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot start cargo; install Rust with rustup and run this through `cargo xtask`")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .context("`cargo metadata` did not answer in JSON; run it by hand to see why")?;
    match metadata["target_directory"].as_str() {
        Some(dir) => Ok(PathBuf::from(dir)),
        None => bail!("`cargo metadata` names no target directory; run it by hand to see why"),
    }
}
