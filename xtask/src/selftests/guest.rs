// SPDX-License-Identifier: GPL-2.0-only
//! Running self-tests on a kernel: one machine for a group, and another one for the rest of it
//! when a test has stopped that one.

use super::compile;
use super::suite::{Beside, Group, Test};
use super::verdict::{self, Result as TestResult, Verdict};
use crate::initramfs::{Archive, files};
use crate::oracle::CPU_WITHOUT_SMAP;
use crate::paths::Paths;
use crate::qemu::{self, Machine};
use crate::run::CONSOLE;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Where the tests are in the guest.
const ROOT: &str = "selftests";
/// So long a machine may be silent beyond the time of a test.
const GRACE: u32 = 40;

/// Runs tests of one group; what came of each, by its key. A test that stops Linux's machine gets
/// another chance: on a busy host the emulator does that now and then to any.
pub fn run_on_linux(
    kernel: &Path,
    paths: &Paths,
    group: &Group,
    tests: &[Test],
) -> Result<BTreeMap<String, TestResult>> {
    let mut results = run(kernel, paths, group, tests)?;
    let stopped = |test: &&Test| {
        results.get(&test.key()).is_some_and(|r| matches!(r.verdict, Verdict::Hang | Verdict::Panic))
    };
    let again: Vec<Test> = tests.iter().filter(stopped).cloned().collect();
    results.extend(run(kernel, paths, group, &again)?);
    Ok(results)
}

/// Runs tests of one group; what came of each, by its key.
pub fn run(
    kernel: &Path,
    paths: &Paths,
    group: &Group,
    tests: &[Test],
) -> Result<BTreeMap<String, TestResult>> {
    let mut results = BTreeMap::new();
    let mut left: Vec<&Test> = tests.iter().collect();
    while !left.is_empty() {
        let before = left.len();
        boot(kernel, paths, group, &left, &mut results)?;
        left.retain(|test| !results.contains_key(&test.key()));
        if left.len() == before {
            bail!("{}: a machine ended before its first test", group.dir);
        }
    }
    Ok(results)
}

fn boot(
    kernel: &Path,
    paths: &Paths,
    group: &Group,
    tests: &[&Test],
    results: &mut BTreeMap<String, TestResult>,
) -> Result<()> {
    let file = tempfile::NamedTempFile::new().context("cannot write; is the disk full?")?;
    std::fs::write(file.path(), archive(paths, group, tests)?).context("cannot write; is the disk full?")?;
    let append = format!("{CONSOLE} quiet printk.devkmsg=on no_timer_check rdinit=/bin/batch");
    let mut machine = Machine::direct(kernel, Some(file.path()), &append);
    machine.cpu = CPU_WITHOUT_SMAP.into();
    machine.memory = 512;
    let longest = tests.iter().map(|test| test.timeout).max().unwrap_or(0);
    let outcome = qemu::run_until_quiet(&machine, Duration::from_secs((longest + GRACE).into()))?;
    let said = outcome.report.replace('\r', "");
    let (done, running) = verdict::results(&said);
    let key = |program: &str| program.strip_prefix(&format!("/{ROOT}/")).unwrap_or(program).to_owned();
    results.extend(done.into_iter().map(|(program, result)| (key(&program), result)));
    let ended = said.lines().last() == Some("== done");
    match running {
        Some((program, output)) => {
            let verdict = if outcome.panic_line().is_some() { Verdict::Panic } else { Verdict::Hang };
            let output = format!("{output}\n--- console\n{}", outcome.console);
            results.insert(key(&program), TestResult { verdict, output });
        }
        None if !ended => bail!(
            "{}: {} and no test was running\n{}",
            group.dir,
            outcome.panic_line().unwrap_or("the machine ended early"),
            outcome.console
        ),
        None => {}
    }
    Ok(())
}

/// The initramfs: `/bin/batch`, a shell, the tests and what they want beside them.
fn archive(paths: &Paths, group: &Group, tests: &[&Test]) -> Result<Vec<u8>> {
    let rootfs = std::fs::read(paths.built_rootfs()?).context("cannot read the initramfs")?;
    let mut archive = Archive::new();
    for dir in ["bin", "dev", "proc", "sys", "tmp", "run"] {
        archive.dir(dir);
    }
    archive.char_device("dev/console", 0o600, (5, 1));
    let batch = files(&rootfs).remove("bin/batch").context("the initramfs has no bin/batch")?;
    archive.file("bin/batch", 0o755, batch);
    archive.program("bin/busybox", &shell::busybox(paths)?)?;
    for name in ["sh", "true", "cat", "echo", "sleep"] {
        archive.symlink(&format!("bin/{name}"), "busybox");
    }
    let out = compile::out(paths);
    let place = |name: &str| format!("{ROOT}/{}/{name}", group.dir);
    // All of the directory that could be compiled: some start others.
    let programs: BTreeSet<_> =
        group.tests().iter().map(|test| (test.name, out.join(test.place()))).collect();
    for (name, program) in programs.iter().filter(|(_, program)| program.is_file()) {
        archive.program(&place(name), program)?;
    }
    for beside in group.files {
        match *beside {
            Beside::Script(name, text) => archive.file(&place(name), 0o755, text),
            Beside::Link(name, to) => archive.symlink(&place(name), to),
            Beside::Dir(name) => archive.dir(&place(name)),
            Beside::Text(name) => archive.file(&place(name), 0o644, "text\n"),
            Beside::Denatured(name, of) => {
                let data = std::fs::read(out.join(group.dir).join(of)).unwrap_or_default();
                archive.file(&place(name), 0o644, data)
            }
        };
    }
    let command = |t: &&Test| format!("@{} /{} {}", t.timeout, place(t.name), t.args);
    archive.file("batch", 0o644, tests.iter().map(command).collect::<Vec<_>>().join("\n"));
    Ok(archive.finish())
}
