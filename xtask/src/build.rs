// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask build`: the kernel with its symbol table, the user programs,
//! and the default initramfs.

use crate::initramfs::Archive;
use crate::kallsyms::{self, Patched};
use crate::paths::{Paths, TARGET};
use crate::tools::{self, Install};
use crate::ui::{self, Step};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds everything that a run of the default rootfs needs.
pub fn all(paths: &Paths, install: Install) -> Result<()> {
    kernel(paths, install)?;
    let archive = default_rootfs(paths, install)?;
    write_whole(&paths.rootfs(), &archive.finish())
}

/// How a kernel is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// As it is meant to be.
    Plain,
    /// For a test: without the questions by which an NMI knows that it is nested.
    BrokenNmiNesting,
    /// For tests: with debug assertions.
    Checked,
}

impl Variant {
    /// What it is called among the products.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Plain => "kernel",
            Self::BrokenNmiNesting => "kernel-broken-nmi-nesting",
            Self::Checked => "kernel-checked",
        }
    }

    /// What to tell the user, and cargo.
    fn words(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Plain => ("building the kernel", &["--release"]),
            Self::BrokenNmiNesting => {
                ("building a kernel without NMI nesting", &["--release", "--features", "broken_nmi_nesting"])
            }
            Self::Checked => ("building the kernel with its assertions", &["--profile", "checked"]),
        }
    }
}

/// Builds the kernel, and gives it its symbol table.
pub fn kernel(paths: &Paths, install: Install) -> Result<()> {
    kernel_variant(paths, install, Variant::Plain)
}

/// Builds the kernels that only tests boot.
pub fn test_kernels(paths: &Paths, install: Install) -> Result<()> {
    kernel_variant(paths, install, Variant::BrokenNmiNesting)?;
    kernel_variant(paths, install, Variant::Checked)
}

fn kernel_variant(paths: &Paths, install: Install, variant: Variant) -> Result<()> {
    tools::need_target(paths, install)?;
    let (what, how) = variant.words();
    let built = cargo_build(paths, what, &["-p", "kernel", "--bin", "trapline"], how)?;
    let Some(linked) = built.get("trapline") else {
        bail!("cargo built no kernel; does kernel/Cargo.toml still have the binary `trapline`?");
    };
    let mut bytes = std::fs::read(linked).with_context(|| format!("cannot read {}", linked.display()))?;
    match kallsyms::patch(&mut bytes)? {
        Patched::Symbols(_) => {}
        Patched::TooBig { needed, reserved } => ui::say(&format!(
            "warning: the symbol table needs {needed} bytes and the kernel reserves {reserved}; call traces will show addresses only"
        )),
        Patched::NoSection => {
            ui::say("warning: the kernel reserves no .kallsyms; call traces will show addresses only");
        }
    }
    write_whole(&paths.kernel_variant(variant), &bytes)
}

/// The user programs, by name.
pub fn user_programs(paths: &Paths, install: Install) -> Result<BTreeMap<String, PathBuf>> {
    tools::need_target(paths, install)?;
    cargo_build(paths, "building the user programs", &["-p", "user", "--bins"], &["--release"])
}

/// The default initramfs: `rootfs/` as it stands, and our userland.
pub fn default_rootfs(paths: &Paths, install: Install) -> Result<Archive> {
    let mut archive = Archive::new();
    let files = paths.root.join("rootfs");
    if files.is_dir() {
        archive.tree(&files)?;
    }
    add_userland(&mut archive, paths, install)?;
    Ok(archive)
}

/// Adds `/init`, the programs in `/bin`, and the directories that `/init`
/// mounts things on.
pub fn add_userland(archive: &mut Archive, paths: &Paths, install: Install) -> Result<()> {
    for dir in ["bin", "dev", "proc", "sys", "tmp"] {
        if !archive.contains(dir) {
            archive.dir(dir);
        }
    }
    archive.char_device("dev/console", 0o600, (5, 1));
    let programs = user_programs(paths, install)?;
    if !programs.contains_key("init") {
        bail!("the user package has no program `init`; does user/Cargo.toml still name it?");
    }
    for (name, host) in &programs {
        let place = if name == "init" { "init".to_owned() } else { format!("bin/{name}") };
        archive.program(&place, host)?;
    }
    Ok(())
}

/// Builds a package for the bare-metal target; tells the executables by name.
fn cargo_build(
    paths: &Paths,
    what: &str,
    package: &[&str],
    how: &[&str],
) -> Result<BTreeMap<String, PathBuf>> {
    let step = Step::start(what);
    let mut command = bare_cargo(paths, "build");
    command.args(package).args(how).args(["--message-format", "json-render-diagnostics"]);
    let color = if ui::on_terminal() { "always" } else { "auto" };
    command.env("CARGO_TERM_COLOR", color).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{what}: cannot start cargo"))?;
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let (built, said) = std::thread::scope(|scope| {
        let collector = scope.spawn(|| stdout.map(executables).unwrap_or_default());
        let said = stderr.map(|stderr| follow(stderr, &step)).unwrap_or_default();
        (collector.join().unwrap_or_default(), said)
    });
    let status = child.wait().with_context(|| format!("{what}: lost track of cargo"))?;
    if !status.success() {
        step.abandon();
        eprint!("{said}");
        bail!("{what} failed; the compiler's words are above");
    }
    step.done();
    eprint!("{said}");
    Ok(built)
}

/// A cargo command for the bare-metal target. Flags from the environment would
/// replace those of `.cargo/config.toml`, without which nothing links.
pub fn bare_cargo(paths: &Paths, verb: &str) -> Command {
    let mut command = Command::new(tools::cargo());
    command.current_dir(&paths.root).args([verb, "--target", TARGET, "--target-dir"]).arg(&paths.target);
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

/// Shows cargo's progress, and keeps the compiler's words.
fn follow(stderr: impl Read, step: &Step) -> String {
    let mut said = String::new();
    for line in BufReader::new(stderr).split(b'\n').map_while(std::io::Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if is_progress(&line) {
            step.note(&line);
        } else {
            said.push_str(&line);
            said.push('\n');
        }
    }
    said
}

/// Cargo's own words about how far it is; the rest is the compiler's.
fn is_progress(line: &str) -> bool {
    const VERBS: [&str; 10] = [
        "Compiling",
        "Checking",
        "Downloading",
        "Downloaded",
        "Updating",
        "Locking",
        "Adding",
        "Blocking",
        "Finished",
        "Building",
    ];
    VERBS.iter().any(|verb| {
        let words = line.trim_start();
        words.starts_with(verb) || (words.starts_with('\x1b') && words.contains(&format!("{verb}\x1b")))
    })
}

/// Picks the executables out of cargo's messages.
fn executables(stdout: impl Read) -> BTreeMap<String, PathBuf> {
    let mut built = BTreeMap::new();
    for line in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
        let (Some(name), Some(file)) = (message["target"]["name"].as_str(), message["executable"].as_str())
        else {
            continue;
        };
        built.insert(name.to_owned(), PathBuf::from(file));
    }
    built
}

/// Writes a product so that nobody sees half of it; one that has not changed
/// is left alone.
pub fn write_whole(file: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("cannot write {}; is the disk full?", file.display());
    if std::fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let dir = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).with_context(cannot)?;
    let temporary = tempfile::NamedTempFile::new_in(dir).with_context(cannot)?;
    std::fs::write(temporary.path(), bytes).with_context(cannot)?;
    // A temporary file is for its owner only; a product is for everyone.
    std::fs::set_permissions(temporary.path(), Permissions::from_mode(0o644)).with_context(cannot)?;
    temporary.persist(file).with_context(cannot)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_come_from_cargos_messages() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"lib"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"init"},"executable":"/t/init"}
not json
"#;
        let built = executables(&messages[..]);
        assert_eq!(built, BTreeMap::from([("init".to_owned(), PathBuf::from("/t/init"))]));
    }

    #[test]
    fn progress_is_told_from_diagnostics() {
        assert!(is_progress("   Compiling kernel v0.1.0 (/x)"));
        assert!(is_progress("\x1b[1m\x1b[92m   Compiling\x1b[0m kernel"));
        assert!(!is_progress("warning: unused import: `Building`"));
        assert!(!is_progress("error: cannot find Compiling"));
    }

    #[test]
    fn products_are_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deep/product");
        write_whole(&file, b"one").unwrap();
        write_whole(&file, b"two").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }
}
