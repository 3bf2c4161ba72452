// SPDX-License-Identifier: GPL-2.0-only
//! Debian's packages: fetched with apt and unpacked beside the build. Nothing is installed, and
//! nothing outside the target directory is written.

use crate::tools::which;
use crate::ui;
use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `find` sees in `dir`; if that is nothing, `fetch` fills a fresh directory, which then takes
/// the place of `dir` whole. Tests ask for the same package at once, in threads or in processes:
/// one of them fetches, the others wait for it.
pub fn once<T>(
    dir: &Path,
    find: impl Fn(&Path) -> Option<T>,
    fetch: impl FnOnce(&Path) -> Result<()>,
) -> Result<Option<T>> {
    if let Some(found) = find(dir) {
        return Ok(Some(found));
    }
    let parent = dir.parent().unwrap_or(dir);
    std::fs::create_dir_all(parent).context("cannot make a directory; is the disk full?")?;
    let lock = File::create(dir.with_extension("lock")).context("cannot make a lock file")?;
    flock(&lock, FlockOperation::LockExclusive).context("cannot take a file's lock")?;
    if let Some(found) = find(dir) {
        return Ok(Some(found));
    }
    let fresh = dir.with_extension("fresh");
    // One that was interrupted may have left something.
    for leftover in [&fresh, dir].into_iter().filter(|path| path.exists()) {
        std::fs::remove_dir_all(leftover).with_context(|| format!("cannot remove {}", leftover.display()))?;
    }
    fetch(&fresh)?;
    std::fs::rename(&fresh, dir).with_context(|| format!("cannot rename {}", fresh.display()))?;
    Ok(find(dir))
}

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
    fn one_fetches_and_the_others_wait() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("package");
        // What another one left half done.
        std::fs::create_dir_all(dir.with_extension("fresh").join("half")).unwrap();
        let fetched = std::sync::atomic::AtomicUsize::new(0);
        let get = || {
            let find = |dir: &Path| dir.join("done").is_file().then(|| dir.join("half").exists());
            once(&dir, find, |fresh| {
                fetched.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                std::fs::create_dir(fresh)?;
                std::thread::sleep(std::time::Duration::from_millis(50));
                std::fs::write(fresh.join("done"), "")?;
                Ok(())
            })
        };
        std::thread::scope(|scope| {
            let askers: Vec<_> = (0..4).map(|_| scope.spawn(get)).collect();
            for asker in askers {
                assert_eq!(asker.join().unwrap().unwrap(), Some(false));
            }
        });
        assert_eq!(fetched.into_inner(), 1);
    }

    #[test]
    fn what_could_not_be_fetched_is_asked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("package");
        let find = |dir: &Path| dir.is_dir().then_some(());
        assert!(once(&dir, find, |_| bail!("no network")).is_err());
        let fetch = |fresh: &Path| Ok(std::fs::create_dir(fresh)?);
        assert_eq!(once(&dir, find, fetch).unwrap(), Some(()));
    }

    #[test]
    fn a_longer_name_is_another_package() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("libcap-dev_1_amd64.deb"), "").unwrap();
        assert!(downloaded(dir.path(), "libcap-dev").is_ok());
        assert!(downloaded(dir.path(), "libcap").is_err());
    }
}
