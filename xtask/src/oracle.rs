// SPDX-License-Identifier: GPL-2.0-only
//! The probes that say what a kernel does with exceptions, and the boots that run them.
//!
//! The programs of `user/oracle/` are C without a libc, because they are as much about
//! 32-bit and hand-made frames as about signals. They and the fuzzers are run by
//! `/bin/batch` as the first process of a machine; any kernel that Linux programs run on can
//! be asked. What Linux 6.1 answered is in `tests/recorded/`.

use crate::initramfs::{Archive, files};
use crate::paths::Paths;
use crate::qemu::{self, Console, Machine, Outcome};
use crate::report::Report;
use crate::run::CONSOLE;
use crate::shell;
use crate::tools::which;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// One boot and what is run in it.
#[derive(Debug, Clone)]
pub struct Set {
    /// Its name, and that of its recorded output.
    pub name: String,
    /// QEMU's name for the processor.
    pub cpu: String,
    /// Words for the kernel's command line.
    pub append: String,
    /// What `/bin/batch` runs; nothing if `/init` runs user programs instead.
    pub commands: Vec<String>,
    /// The user programs that `/init` runs; none for all of them.
    pub programs: Vec<String>,
    /// Whether the commands are those of `user/oracle/`.
    pub probes: bool,
    /// Whether they are the shell's, with the scripts of `tests/scripts/`.
    pub scripts: bool,
}

impl Set {
    fn new(name: &str, cpu: &str, append: &str, commands: &[&str], probes: bool) -> Self {
        let commands = commands.iter().map(|&c| c.to_owned()).collect();
        Self {
            name: name.into(),
            cpu: cpu.into(),
            append: append.into(),
            commands,
            programs: Vec::new(),
            probes,
            scripts: false,
        }
    }

    /// The scripts of `tests/scripts/`, run by Debian's `ash`, each in a session of its own.
    fn scripts() -> Self {
        let run = |name: &&str| format!("/bin/timeout 100 /bin/setsid sh /scripts/{name}.sh");
        let install = "/bin/busybox --install -s /bin".to_owned();
        let commands = [install].into_iter().chain(SCRIPTS.iter().map(run)).collect();
        Self { commands, scripts: true, ..Self::new("scripts", qemu::CPU, "", &[], false) }
    }

    /// User programs, run by `/init`: some, or all.
    pub fn programs(names: &[String]) -> Self {
        Self { programs: names.to_vec(), ..Self::new(PROGRAMS, qemu::CPU, "", &[], false) }
    }

    /// Some cases of a fuzzer (`user/src/bin/fuzz_KIND.rs`).
    pub fn fuzz(kind: &str, seed: u64, first: u64, cases: u64) -> Self {
        let name = format!("fuzz_{kind}");
        let command = format!("/bin/{name} --seed {seed} --first {first} --cases {cases}");
        Self::new(&name, CPU_WITHOUT_SMAP, "", &[&command], false)
    }

    /// The words for `/init`.
    fn words(&self) -> String {
        let only = if self.programs.is_empty() {
            String::new()
        } else {
            format!(" --only {}", self.programs.join(","))
        };
        format!("{} -- --timeout 20{only}", self.append)
    }
}

/// The processor for code that runs LRET and IRET in user mode: QEMU 7.2's TCG reads the
/// user's stack as the supervisor for them, and with SMAP kills who did nothing wrong.
pub const CPU_WITHOUT_SMAP: &str = "max,-la57,-smap";

/// How many cases of each fuzzer are recorded.
const RECORDED_CASES: u64 = 800;

/// The set of all user programs.
pub const PROGRAMS: &str = "programs";

/// The scripts of `tests/scripts/`.
const SCRIPTS: [&str; 8] = ["files", "jobs", "language", "mounts", "pipes", "procs", "text", "traps"];

/// Everything that is recorded.
pub fn sets() -> Vec<Set> {
    let probe = |name, cpu, append, commands: &[&str]| Set::new(name, cpu, append, commands, true);
    let usual = qemu::CPU;
    vec![
        probe("probes", usual, "", &["/oracle/xprobe64 all", "/oracle/sigsem all"]),
        probe("nosmap", CPU_WITHOUT_SMAP, "", &["/oracle/xprobe64 all i_"]),
        probe("vsyscall_xonly", usual, "vsyscall=xonly", &["/oracle/xprobe64 all vsys"]),
        probe("vsyscall_emulate", usual, "vsyscall=emulate", &["/oracle/xprobe64 all vsys"]),
        Set::programs(&[]),
        Set::fuzz("code", 1, 0, RECORDED_CASES),
        Set::fuzz("sigreturn", 1, 0, RECORDED_CASES),
        Set::fuzz("sigreturn32", 1, 0, RECORDED_CASES),
        Set::scripts(),
        Set::new("errnos", usual, "", &["/bin/syscall_errnos"], false),
        Set::new("errnos32", usual, "", &["/bin/int80_errnos"], false),
    ]
}

/// Every set by its name.
pub fn find(name: &str) -> Option<Set> {
    sets().into_iter().find(|set| set.name == name)
}

/// The file with what Linux said.
pub fn recorded(paths: &Paths, set: &str) -> PathBuf {
    paths.root.join(format!("tests/recorded/{set}.txt"))
}

/// The file with the rows that are known to differ, and why.
pub fn expected_differences(paths: &Paths) -> PathBuf {
    paths.root.join("tests/recorded/expected-differences")
}

/// Compiles the probes; `None` where there is no gcc.
pub fn build_probes(paths: &Paths) -> Result<Option<Vec<PathBuf>>> {
    const FLAGS: &str = "-O1 -w -mgeneral-regs-only -mno-red-zone -fno-pie -no-pie -static -nostdlib \
        -ffreestanding -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
        -fno-strict-aliasing -Wl,--build-id=none -Wl,-z,noexecstack";
    let Some(gcc) = which("gcc") else { return Ok(None) };
    let sources = paths.root.join("user/oracle");
    let out = paths.out().join("oracle");
    std::fs::create_dir_all(&out).context("cannot make a directory; is the disk full?")?;
    let mut built = Vec::new();
    for name in ["xprobe64", "sigsem"] {
        let fresh = tempfile::NamedTempFile::new_in(&out).context("cannot write; is the disk full?")?;
        let mut command = Command::new(&gcc);
        command.args(FLAGS.split_whitespace()).arg("-o").arg(fresh.path());
        command.arg(sources.join(format!("{name}.c"))).stdin(Stdio::null());
        let output = command.output().context("cannot start gcc")?;
        if !output.status.success() {
            bail!("gcc could not compile {name}.c:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let program = out.join(name);
        fresh.persist(&program).context("cannot write; is the disk full?")?;
        built.push(program);
    }
    Ok(Some(built))
}

/// The initramfs of a set: the default one's programs, the probes, and the list of commands.
pub fn archive(paths: &Paths, set: &Set, probes: &[PathBuf]) -> Result<Vec<u8>> {
    let rootfs = std::fs::read(paths.built_rootfs()?).context("cannot read the initramfs")?;
    let mut archive = if set.scripts { shell::with_busybox(paths)? } else { Archive::new() };
    for dir in ["bin", "dev", "proc", "sys", "tmp", "oracle"] {
        archive.dir(dir);
    }
    archive.char_device("dev/console", 0o600, (5, 1));
    for name in SCRIPTS.iter().filter(|_| set.scripts) {
        let script = format!("scripts/{name}.sh");
        archive.program(&script, &paths.root.join("tests").join(&script))?;
    }
    let wanted = |name: &str| name == "bin/batch" || set.commands.iter().any(|c| names(c, name));
    for (name, data) in files(&rootfs).into_iter().filter(|(name, _)| wanted(name)) {
        archive.file(&name, 0o755, data);
    }
    for probe in probes {
        let name = probe.file_name().unwrap_or_default().to_string_lossy();
        archive.program(&format!("oracle/{name}"), probe)?;
    }
    archive.file("batch", 0o644, set.commands.join("\n") + "\n");
    Ok(archive.finish())
}

fn names(command: &str, file: &str) -> bool {
    command.split_whitespace().next().is_some_and(|program| program.trim_start_matches('/') == file)
}

/// Boots a kernel with a set. `no_timer_check` is for Linux under load, which else may take
/// the emulator's timer for broken; `norandmaps` for addresses that can be compared.
pub fn boot(kernel: &Path, paths: &Paths, set: &Set, timeout: Duration) -> Result<Outcome> {
    let probes = if set.probes {
        build_probes(paths)?.context("the probes need gcc, and there is none here")?
    } else {
        Vec::new()
    };
    let temporary = tempfile::NamedTempFile::new().context("cannot write; is the disk full?")?;
    let (initrd, words) = if set.commands.is_empty() {
        (paths.built_rootfs()?, set.words())
    } else {
        let archive = archive(paths, set, &probes)?;
        std::fs::write(temporary.path(), archive).context("cannot write; is the disk full?")?;
        (temporary.path().to_path_buf(), format!("rdinit=/bin/batch {}", set.append))
    };
    let append = format!(
        "{CONSOLE} quiet loglevel=1 printk.devkmsg=on no_timer_check norandmaps log_buf_len=4M {words}"
    );
    let mut machine = Machine::direct(kernel, Some(&initrd), &append);
    machine.cpu.clone_from(&set.cpu);
    machine.memory = 512;
    let mut outcome = qemu::run(&machine, Console::Captured, Some(timeout))?;
    outcome.report = outcome.report.replace('\r', "");
    Ok(outcome)
}

/// What a boot said, for [`rows`](crate::transcript::rows).
pub fn transcript(set: &Set, outcome: &Outcome) -> String {
    if set.probes {
        return outcome.report.clone();
    }
    if set.scripts {
        return script_rows(&outcome.report);
    }
    if !set.commands.is_empty() {
        return outcome.report.lines().map(|line| without_mapping(&log(line)) + "\n").collect();
    }
    let line = |o: &crate::report::Outcome| {
        format!("{} {} {} | {}\n", o.program, o.mode, o.got, without_places(&log(&o.log)))
    };
    Report::parse(&outcome.report).results.iter().map(line).collect()
}

/// What scripts said, each line with its script's name.
fn script_rows(report: &str) -> String {
    let mut rows = String::new();
    let mut name = "";
    for line in report.lines() {
        if let Some(path) = line.strip_prefix("== ").and_then(|l| l.split('/').next_back()) {
            name = path.strip_suffix(".sh").unwrap_or(name);
            let ended = line.strip_prefix("== ended ").map(|how| format!("{name}: script ended {how}\n"));
            rows.push_str(ended.as_deref().filter(|_| !name.is_empty()).unwrap_or(""));
        } else {
            let _ = writeln!(rows, "{name}: {line}");
        }
    }
    rows
}

/// A log line without what differs from boot to boot: process ids, the stack, hashed addresses.
fn log(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['[', ' ']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (kept, skipped) = variable(from);
        out.push_str(kept);
        rest = &from[skipped..];
    }
    out + rest
}

/// A program's log line without what every build of the runtime moves: instruction addresses,
/// mappings and the bytes of the code. The program's own expectation is exact about the first.
fn without_places(line: &str) -> String {
    let mut out = Vec::new();
    let mut words = line.split(' ').peekable();
    while let Some(word) = words.next() {
        match word {
            "Code:" if words.peek().is_none_or(|next| *next != "Unable") => {
                out.push("Code:".to_owned());
                while words.next_if(|byte| byte.trim_matches(['<', '>', '"', ',', ';']).len() == 2).is_some()
                {
                }
            }
            "ip" if words.next().is_some() => out.push("ip IP".to_owned()),
            _ if word.starts_with("ip:") => out.push("ip:IP".to_owned()),
            _ => out.push(without_mapping(word)),
        }
    }
    out.join(" ")
}

/// A line without where a file is mapped, and how large: another linker makes another file.
fn without_mapping(line: &str) -> String {
    let word = |word: &str| {
        let mapping = word.split_once('[').and_then(|(name, rest)| Some((name, rest.split_once(']')?)));
        match mapping {
            Some((name, (place, after))) if place.contains('+') => format!("{name}[VMA]{after}"),
            _ => word.to_owned(),
        }
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// What to write for the beginning of a text, and how much of the text that is.
fn variable(text: &str) -> (&str, usize) {
    let digits = |from: usize| text[from..].chars().take_while(char::is_ascii_hexdigit).count();
    let number = text[1..].chars().take_while(char::is_ascii_digit).count();
    if number > 0 && text[1 + number..].starts_with(']') {
        return ("[PID]", number + 2);
    }
    for (word, instead) in [(" sp:", " sp:SP"), (" sp ", " sp SP"), (" frame:", " frame:HASHED")] {
        let found = if text.starts_with(word) { digits(word.len()) } else { 0 };
        if found > 0 {
            return (instead, word.len() + found);
        }
    }
    (&text[..1], 1)
}

/// Why a boot did not come to the end of its batch, if it did not.
pub fn trouble(set: &Set, outcome: &Outcome) -> Option<String> {
    if let Some(panic) = outcome.panic_line() {
        return Some(format!("the machine stopped with `{panic}`"));
    }
    if let Some(trouble) = outcome.trouble() {
        return Some(trouble);
    }
    let done = if set.commands.is_empty() {
        Report::parse(&outcome.report).done.is_some()
    } else {
        outcome.report.lines().last() == Some("== done")
    };
    (!done).then(|| "the batch did not come to its end".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_names_of_their_own() {
        let mut all: Vec<String> = sets().into_iter().map(|set| set.name).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), sets().len());
        assert!(find("probes").is_some_and(|set| set.probes) && find("no").is_none());
    }

    #[test]
    fn logs_lose_what_varies() {
        let line = "traps: x[17] trap y ip:401000 sp:7ffe12 error:0 in x[400000+1000] frame:(____ptrval____)";
        let want = "traps: x[PID] trap y ip:401000 sp:SP error:0 in x[400000+1000] frame:(____ptrval____)";
        assert_eq!(log(line), want);
        assert_eq!(
            log("x[2]: segfault at 0 ip 00 sp 00ff error 4"),
            "x[PID]: segfault at 0 ip 00 sp SP error 4"
        );
        assert_eq!(log(""), "");
    }

    #[test]
    fn logs_of_programs_lose_places() {
        let line =
            "x[PID]: segfault at 0 ip 0000401000 sp SP error 4 in x[401000+3000] likely, Code: 0f <0b> aa";
        let want = "x[PID]: segfault at 0 ip IP sp SP error 4 in x[VMA] likely, Code:";
        assert_eq!(without_places(line), want);
        assert_eq!(without_mapping("at 0 in x[400000+2000] likely"), "at 0 in x[VMA] likely");
        assert_eq!(without_places("trap ip:40 Code: Unable to access"), "trap ip:IP Code: Unable to access");
    }

    #[test]
    fn scripts_lines_have_their_names() {
        let report = "== /bin/busybox --install -s /bin\n== ended exit 0\n== /bin/sh /scripts/a.sh\none\ntwo\n== ended exit 0\n== done\n";
        assert_eq!(script_rows(report), "a: one\na: two\na: script ended exit 0\n");
    }

    #[test]
    fn only_what_runs_is_packed() {
        assert!(names("/bin/fuzz_code --seed 1", "bin/fuzz_code"));
        assert!(!names("/bin/fuzz_code --seed 1", "bin/fuzz"));
    }
}
