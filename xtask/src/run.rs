// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask run`: boot, show the console, print the table, and say by the
//! exit status whether every expectation held.

use crate::build;
use crate::cli::RunArgs;
use crate::elf;
use crate::initramfs::{self, Archive};
use crate::nmi_storm::Plan;
use crate::paths::Paths;
use crate::qemu::{self, Accel, Console, Machine, Outcome};
use crate::report::Report;
use crate::tools;
use crate::ui;
use anyhow::{Context, Result, bail};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What every command line starts with.
pub const CONSOLE: &str = "console=ttyS0 panic=-1";

/// How long a run may take if nobody says otherwise.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The initramfs of a run.
struct Userland {
    initrd: PathBuf,
    /// Is `/init` ours, so that a report must come?
    ours: bool,
    /// The words for `/init`.
    words: Vec<String>,
    /// Keeps a temporary initramfs until the run is over.
    _temporary: Option<tempfile::TempDir>,
}

/// Runs the command.
pub fn main(args: &RunArgs) -> Result<ExitCode> {
    let paths = Paths::find()?;
    let mut userland = prepare(args, &paths)?;
    let records = args.json.is_some().then(tempfile::NamedTempFile::new).transpose();
    let records = records.context("cannot write a temporary file; is the disk full?")?;
    if args.cores.is_some() && !userland.ours {
        bail!("--cores needs the default /init, which sends the files; this initramfs has its own");
    }
    if args.cores.is_some() {
        userland.words.insert(0, "--cores".into());
    }
    let append = command_line(args, &userland.words)?;
    let mut machine = Machine::direct(&paths.kernel(), Some(&userland.initrd), &append);
    machine.cpu.clone_from(&args.machine.cpu_name());
    machine.accel = if args.machine.kvm { Accel::Kvm } else { Accel::Tcg };
    machine.memory = args.machine.memory;
    machine.extra.clone_from(&args.machine.qemu_arg);
    machine.records = records.as_ref().map(|file| file.path().to_path_buf());
    let plan =
        Plan { hz: args.nmi_storm, at: args.nmi_at.iter().map(|&ms| Duration::from_millis(ms)).collect() };
    let outcome = if plan.is_empty() {
        qemu::run(&machine, Console::Terminal, timeout(args))?
    } else {
        let (outcome, count) = qemu::run_with_nmis(&machine, Console::Terminal, timeout(args), &plan)?;
        ui::say(&format!("{count} NMIs injected"));
        outcome
    };
    if let (Some(file), Some(records)) = (&args.json, &records) {
        save_records(records.path(), file)?;
    }
    if let Some(dir) = &args.cores {
        save_cores(&outcome, dir)?;
    }
    judge(&outcome, userland.ours)
}

/// Writes the core files that came.
fn save_cores(outcome: &Outcome, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for core in &Report::parse(&outcome.report).cores {
        let path = core.save(dir).with_context(|| format!("cannot write {}", dir.display()))?;
        ui::say(&format!("core file: {}", path.display()));
    }
    Ok(())
}

/// Builds what this run needs, and puts its initramfs together.
fn prepare(args: &RunArgs, paths: &Paths) -> Result<Userland> {
    let install = args.install.install();
    tools::need_qemu(install)?;
    build::kernel(paths, install)?;
    if let Some(file) = args.rootfs.as_ref().filter(|rootfs| rootfs.is_file()) {
        return with_archive(file, args);
    }
    let (mut archive, ours) = match &args.rootfs {
        Some(dir) if dir.is_dir() => from_directory(dir, paths, install)?,
        Some(missing) => bail!("--rootfs {}: no such directory or archive", missing.display()),
        None => (build::default_rootfs(paths, install)?, true),
    };
    if args.rootfs.is_none() {
        build::write_whole(&paths.rootfs(), &archive.finish())?;
    }
    let theirs = !ours && args.prog.first().is_none_or(|name| !Path::new(name).is_file());
    let placed = if theirs {
        Placed { words: args.prog.clone(), copy: None }
    } else {
        place_program(&args.prog, |name| archive.contains(name))?
    };
    placed.copy_into(&mut archive)?;
    temporary(&archive.finish(), ours, placed.words)
}

/// An initramfs for this run alone.
fn temporary(bytes: &[u8], ours: bool, words: Vec<String>) -> Result<Userland> {
    let dir = tempfile::tempdir().context("cannot make a temporary directory; is the disk full?")?;
    let initrd = dir.path().join("rootfs.cpio");
    build::write_whole(&initrd, bytes)?;
    Ok(Userland { initrd, ours, words, _temporary: Some(dir) })
}

/// Somebody's archive as it is; a program of the host's comes behind it, in a second one.
fn with_archive(file: &Path, args: &RunArgs) -> Result<Userland> {
    let as_it_is = |words| Userland { initrd: file.to_path_buf(), ours: false, words, _temporary: None };
    if !args.prog.first().is_some_and(|name| Path::new(name).is_file()) {
        return Ok(as_it_is(args.prog.clone()));
    }
    let archive = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let names = initramfs::names(&archive);
    let placed = place_program(&args.prog, |name| names.contains(name.trim_matches('/')))?;
    if placed.copy.is_none() {
        return Ok(as_it_is(placed.words));
    }
    let mut second = Archive::new();
    placed.copy_into(&mut second)?;
    temporary(&initramfs::joined(&archive, &second.finish()), false, placed.words)
}

/// A directory as it stands; where it has no `/init`, with our userland.
fn from_directory(dir: &Path, paths: &Paths, install: tools::Install) -> Result<(Archive, bool)> {
    let mut archive = Archive::new();
    archive.tree(dir)?;
    let ours = !archive.contains("init");
    if ours {
        build::add_userland(&mut archive, paths, install)?;
    }
    Ok((archive, ours))
}

/// `PROG ARGS` as words for `/init`, and what has to be copied for them.
struct Placed {
    words: Vec<String>,
    /// A place in the rootfs, and the host's file that belongs there.
    copy: Option<(String, PathBuf)>,
}

impl Placed {
    fn copy_into(&self, archive: &mut Archive) -> Result<()> {
        if let Some((place, host)) = &self.copy {
            archive.program(place, host)?;
        }
        Ok(())
    }
}

/// Finds the program: in the rootfs, which `there` knows, else on the host.
fn place_program(prog: &[String], there: impl Fn(&str) -> bool) -> Result<Placed> {
    let Some((name, rest)) = prog.split_first() else { return Ok(Placed { words: Vec::new(), copy: None }) };
    if name.starts_with("--") {
        return Ok(Placed { words: prog.to_vec(), copy: None });
    }
    let mut copy = None;
    let place = if name.starts_with('/') && there(name) {
        name.clone()
    } else if !name.contains('/') && there(&format!("bin/{name}")) {
        format!("/bin/{name}")
    } else {
        let host = Path::new(name);
        if !host.is_file() {
            bail!(
                "there is no program {name}, neither in the rootfs (a path there, or a name in its /bin) nor here"
            );
        }
        elf::check_static(host)?;
        let leaf = host.file_name().unwrap_or_default().to_string_lossy();
        let place = format!("/bin/{leaf}");
        copy = Some((place.clone(), host.to_path_buf()));
        place
    };
    Ok(Placed { words: std::iter::once(place).chain(rest.iter().cloned()).collect(), copy })
}

/// Longest command line of a kernel on x86 (`COMMAND_LINE_SIZE`, without the NUL).
const COMMAND_LINE_MAX: usize = 2047;
/// Most words that a kernel passes to `/init` (`MAX_INIT_ARGS`).
const INIT_WORDS_MAX: usize = 32;

/// How many words a kernel sees in this; quotes keep some together.
fn count_words(text: &str) -> usize {
    let mut in_quote = false;
    let words = text.split(|c: char| {
        in_quote ^= c == '"';
        c.is_ascii_whitespace() && !in_quote
    });
    words.filter(|word| !word.is_empty()).count()
}

/// The kernel's command line, with the words for `/init` behind ` -- `.
fn command_line(args: &RunArgs, words: &[String]) -> Result<String> {
    let appended = args.append.join(" ");
    let (kernel, init) = appended.split_once(" -- ").unwrap_or((&appended, ""));
    let mut line = CONSOLE.to_owned();
    if args.json.is_some() {
        line.push_str(" trapline.records=debugcon");
    }
    if args.nmi_storm.is_some() {
        line.push_str(" trapline.nmi=count");
    }
    if !kernel.is_empty() {
        line.push(' ');
        line.push_str(kernel);
    }
    if !init.is_empty() || !words.is_empty() {
        line.push_str(" --");
    }
    if !init.is_empty() {
        line.push(' ');
        line.push_str(init);
    }
    for word in words {
        line.push(' ');
        line.push_str(&quoted(word)?);
    }
    if line.len() > COMMAND_LINE_MAX {
        bail!(
            "the command line has {} bytes, and a kernel takes {COMMAND_LINE_MAX}: shorten --append or the program's words",
            line.len()
        );
    }
    let count = words.len() + count_words(init);
    if count > INIT_WORDS_MAX {
        bail!(
            "{count} words for /init, and a kernel passes {INIT_WORDS_MAX}: put them into a script in the rootfs"
        );
    }
    Ok(line)
}

/// A word as the command line wants it: in double quotes if it has spaces.
fn quoted(word: &str) -> Result<String> {
    if word.contains('"') {
        bail!(
            "the argument {word:?} has a double quote, which a kernel command line cannot carry; put it in a file"
        );
    }
    let plain = !word.is_empty() && !word.contains(char::is_whitespace);
    Ok(if plain { word.to_owned() } else { format!("\"{word}\"") })
}

/// A person at a terminal who runs one program may take his time.
fn timeout(args: &RunArgs) -> Option<Duration> {
    match args.timeout {
        Some(0) => None,
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None if !args.prog.is_empty() && std::io::stdin().is_terminal() => None,
        None => Some(TIMEOUT),
    }
}

/// Saves the records of delivered signals, and says if any is unreadable.
fn save_records(from: &Path, to: &Path) -> Result<()> {
    let text = std::fs::read(from).unwrap_or_default();
    std::fs::write(to, &text).with_context(|| format!("cannot write {}", to.display()))?;
    let bad = String::from_utf8_lossy(&text)
        .lines()
        .filter(|line| serde_json::from_str::<serde_json::Value>(line).is_err())
        .count();
    if bad > 0 {
        ui::say(&format!("warning: {bad} lines of {} are not JSON", to.display()));
    }
    Ok(())
}

/// Prints the table; the exit status, or the sentence that says what failed.
pub fn judge(outcome: &Outcome, report_due: bool) -> Result<ExitCode> {
    let report = Report::parse(&outcome.report);
    if !report.results.is_empty() {
        println!("{}", report.table(ui::columns()));
    }
    if let Some(panic) = outcome.panic_line() {
        bail!("the machine stopped with `{panic}`");
    }
    if let Some(trouble) = outcome.trouble() {
        bail!("{trouble}");
    }
    if let Some(ended) = &report.ended {
        println!("{}: {}", ended.program, ended.text);
        return Ok(ExitCode::from(ended.shell_status()));
    }
    let Some((passed, failed)) = report.done else {
        if report_due {
            bail!(
                "/init did not finish its report ({} results came); the console above shows how far it got",
                report.results.len()
            );
        }
        return Ok(ExitCode::SUCCESS);
    };
    if report.garbage > 0 {
        bail!("{} lines of the report made no sense; the console above may show why", report.garbage);
    }
    let came = report.results.len() as u64;
    if came != passed + failed {
        bail!("/init says that it sent {} results, and {came} came", passed + failed);
    }
    let failures = report.failures().count() as u64;
    if failed > 0 || failures > 0 {
        bail!(
            "{} of {} expectations did not hold; the rows marked FAIL say which",
            failed.max(failures),
            passed + failed
        );
    }
    if report.programs == Some(0) {
        bail!("/init found no program that says what it expects");
    }
    if passed > 0 {
        println!("all {passed} expectations held, in {:.2} s", outcome.wall.as_secs_f32());
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn args(words: &[&str]) -> RunArgs {
        let all = ["xtask", "run"].iter().chain(words);
        let command = crate::cli::Cli::try_parse_from(all).unwrap().command;
        let crate::cli::Command::Run(args) = command else { panic!("{command:?}") };
        args
    }

    #[test]
    fn command_lines() {
        let line = |words: &[&str], prog: &[&str]| {
            let prog: Vec<String> = prog.iter().map(|&word| word.to_owned()).collect();
            command_line(&args(words), &prog).unwrap()
        };
        assert_eq!(line(&[], &[]), "console=ttyS0 panic=-1");
        assert_eq!(
            line(&["--append", "quiet"], &["/bin/a", "b c"]),
            "console=ttyS0 panic=-1 quiet -- /bin/a \"b c\""
        );
        assert_eq!(
            line(&["--json", "f", "--append", "x=1 -- --exit"], &[]),
            "console=ttyS0 panic=-1 trapline.records=debugcon x=1 -- --exit"
        );
        assert!(quoted("\"").is_err());
    }

    #[test]
    fn what_a_kernel_would_cut_is_refused() {
        let line = |append: &str, count: usize| {
            command_line(&args(&["--append", append]), &vec!["w".to_owned(); count])
                .map_err(|e| e.to_string())
        };
        assert!(line("quiet", 32).is_ok());
        assert!(line("quiet", 33).unwrap_err().contains("33 words for /init"));
        assert!(line("quiet -- a \"b c\"", 31).unwrap_err().contains("33 words for /init"));
        assert!(line(&"x".repeat(2047 - "console=ttyS0 panic=-1 ".len()), 0).is_ok());
        assert!(
            line(&"x".repeat(2048 - "console=ttyS0 panic=-1 ".len()), 0).unwrap_err().contains("2048 bytes")
        );
    }

    #[test]
    fn programs_keep_their_options() {
        assert_eq!(args(&["--timeout", "3", "--", "ls", "-l"]).prog, ["ls", "-l"]);
        assert_eq!(args(&["ls", "-l", "--timeout"]).prog, ["ls", "-l", "--timeout"]);
        assert_eq!(args(&["--", "--exit"]).prog, ["--exit"]);
    }

    #[test]
    fn programs_are_found_in_the_rootfs_first() {
        let mut archive = Archive::new();
        archive.file("bin/sh", 0o755, "").file("sbin/x", 0o755, "");
        let place = |name: &str| {
            let placed = place_program(&[name.to_owned(), "a".into()], |name| archive.contains(name));
            placed.map(|p| (p.words, p.copy.is_some()))
        };
        let words = |place: &str| vec![place.to_owned(), "a".to_owned()];
        assert_eq!(place("sh").unwrap(), (words("/bin/sh"), false));
        assert_eq!(place("/sbin/x").unwrap(), (words("/sbin/x"), false));
        assert_eq!(place("--exit").unwrap(), (words("--exit"), false));
        assert!(place("no-such-thing").err().unwrap().to_string().contains("no program"));
    }

    #[test]
    fn a_program_of_the_hosts_follows_an_archive() {
        let dir = tempfile::tempdir().unwrap();
        let (theirs, mine) = (dir.path().join("theirs.cpio"), dir.path().join("mine"));
        let mut archive = Archive::new();
        archive.file("init", 0o755, "theirs").file("bin/odd", 0o755, "x");
        std::fs::write(&theirs, archive.finish()).unwrap();
        std::fs::write(&mine, crate::elf_writer::Elf::program(&[0xf4]).bytes()).unwrap();
        let run = |prog: &str| {
            let args = args(&["--rootfs", theirs.to_str().unwrap(), "--", prog, "a"]);
            with_archive(&theirs, &args)
        };
        let inside = run("odd").unwrap();
        assert_eq!((inside.initrd, inside.words), (theirs.clone(), vec!["odd".to_owned(), "a".into()]));
        let outside = run(mine.to_str().unwrap()).unwrap();
        assert_eq!(outside.words, ["/bin/mine", "a"]);
        let image = std::fs::read(&outside.initrd).unwrap();
        assert!(image.starts_with(&archive.finish()) && !outside.ours);
        let second = initramfs::files(&image[archive.finish().len()..]);
        assert_eq!(second["bin/mine"], std::fs::read(&mine).unwrap());
        // A script is no program for a kernel of its own.
        std::fs::write(&mine, "#!/bin/sh\n").unwrap();
        assert!(run(mine.to_str().unwrap()).is_err());
    }

    fn outcome(console: &str, report: &str) -> Outcome {
        use std::os::unix::process::ExitStatusExt;
        Outcome {
            status: Some(std::process::ExitStatus::from_raw(0)),
            console: console.into(),
            report: report.into(),
            complaint: String::new(),
            wall: Duration::ZERO,
            stopped_at: String::new(),
        }
    }

    #[test]
    fn only_a_finished_and_clean_report_passes() {
        let row = |ok| {
            format!(
                r#"{{"type":"result","program":"x","mode":"default","ok":{ok},"expected":"","got":"","log":"","why":""}}"#
            )
        };
        let report = |rows: &[bool], end: &str| {
            let rows: String = rows.iter().map(|&ok| row(ok) + "\n").collect();
            format!("{}\n{rows}{end}\n", r#"{"type":"start","programs":1}"#)
        };
        let end = r#"{"type":"done","passed":2,"failed":0}"#;
        let done = &report(&[true, true], end);
        assert!(judge(&outcome("", done), true).is_ok());
        assert!(judge(&outcome("", ""), true).is_err());
        assert!(judge(&outcome("", ""), false).is_ok());
        assert!(judge(&outcome("Kernel panic - not syncing: x", done), true).is_err());
        let failed = report(&[true, true, false], r#"{"type":"done","passed":2,"failed":1}"#);
        assert!(judge(&outcome("", &failed), true).is_err());
        // A row that did not come, one that is no JSON, no row at all.
        assert!(judge(&outcome("", &report(&[true], end)), true).is_err());
        assert!(judge(&outcome("", &format!("{{\"garbage\n{done}")), true).is_err());
        let nothing = r#"{"type":"start","programs":0}
{"type":"done","passed":0,"failed":0}"#;
        assert!(judge(&outcome("", nothing), true).is_err());
        let mut late = outcome("", done);
        late.status = None;
        assert!(judge(&late, true).is_err());
    }
}
