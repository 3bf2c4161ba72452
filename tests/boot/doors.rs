// SPDX-License-Identifier: GPL-2.0-only
//! `boot::…`: ways in. The literal QEMU line that the README gives, with an
//! archive that others made; little memory; the command line; an early end.

use libtest_mimic::{Completion, Failed, Trial};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tests::console::{FAULTS, expect_in_order, expect_none};
use tests::machine::{self, TIMEOUT, boot_archive, boot_file, kernel, rootfs, tail};
use tests::{c_program, hello};
use xtask::image;
use xtask::initramfs::gzip;
use xtask::paths::Paths;
use xtask::qemu::{self, Console, Machine, Outcome};
use xtask::report::Report;
use xtask::run::CONSOLE;
use xtask::tools::{Install, which};

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("boot::exit_powers_off", exit_powers_off),
        Trial::test("boot::signal_records", signal_records),
        Trial::test("boot::eight_mib", eight_mib),
        Trial::test("boot::nompx", nompx),
        Trial::test("boot::without_vdso", without_vdso),
        Trial::test("boot::vsyscall_xonly", || vsyscall_page("xonly")),
        Trial::test("boot::vsyscall_emulate", || vsyscall_page("emulate")),
        Trial::test("boot::greedy_programs", greedy_programs),
        Trial::test("boot::leaks", leaks),
        Trial::test("boot::out_of_memory", out_of_memory),
        Trial::test("boot::large_gzip", large_gzip),
        Trial::test("boot::no_initramfs", no_initramfs),
        Trial::test("boot::words_for_init", words_for_init),
        Trial::test("boot::unknown_words_go_to_init", unknown_words_go_to_init),
        Trial::test("boot::restart_with_a_command", restart_with_a_command),
        Trial::test("boot::too_many_words_for_init", too_many_words_for_init),
        Trial::test("boot::too_many_variables_for_init", too_many_variables_for_init),
        Trial::test("boot::one_that_hangs_says_where", one_that_hangs_says_where),
        Trial::ignorable_test("boot::disk_image", disk_image),
        Trial::ignorable_test("boot::c_program_packed_by_cpio", c_program_packed_by_cpio),
        Trial::ignorable_test("boot::c_program_gzipped", c_program_gzipped),
        Trial::ignorable_test("boot::c_program_static_pie", c_program_static_pie),
    ]
}

/// The console must carry these lines and no fault.
fn says(outcome: &Outcome, lines: &[&str]) -> Result<(), Failed> {
    expect_none(&outcome.console, &FAULTS)
        .and_then(|()| expect_in_order(&outcome.console, lines))
        .map_err(|why| format!("{why}\n{}", tail(&outcome.console)).into())
}

fn exit_powers_off() -> Result<(), Failed> {
    let outcome = boot_file(&rootfs()?, "-- --exit")?;
    says(&outcome, &["Run /init as init process"])?;
    match Report::parse(&outcome.report).done {
        Some((0, 0)) | None if outcome.panic_line().is_none() => Ok(()),
        other => Err(format!("reported {other:?}\n{}", tail(&outcome.console)).into()),
    }
}

/// `trapline.records=debugcon` gives one JSON object for each delivered signal.
fn signal_records() -> Result<(), Failed> {
    let file = tempfile::NamedTempFile::new()?;
    let append = format!("{CONSOLE} trapline.records=debugcon -- --only divide_error");
    let mut machine = Machine::direct(&kernel()?, Some(&rootfs()?), &append);
    machine.records = Some(file.path().to_path_buf());
    let outcome = machine::run(&machine)?;
    let text = std::fs::read_to_string(file.path())?;
    let records: Vec<serde_json::Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for action in ["core", "handler"] {
        let of_interest = |record: &&serde_json::Value| {
            record["comm"] == "divide_error" && record["sig"] == 8 && record["action"] == action
        };
        let Some(record) = records.iter().find(of_interest) else {
            return Err(
                format!("no SIGFPE with action {action} among\n{text}\n{}", tail(&outcome.console)).into()
            );
        };
        let agrees = record["code"] == 1 && record["trapno"] == 0 && record["addr"] == record["ip"];
        if !agrees || record["err"] != "0x0" || !record["pid"].is_u64() {
            return Err(format!("a wrong record: {record}").into());
        }
    }
    Ok(())
}

/// Without the extensions their instructions do nothing, and their registers are not kept.
fn nompx() -> Result<(), Failed> {
    let outcome = boot_file(&rootfs()?, "nompx -- mpx_bounds")?;
    says(
        &outcome,
        &[
            "nompx: Intel Memory Protection Extensions (MPX) disabled",
            "Enabled xstate features 0x207,",
            "mpx_bounds: exit 0",
        ],
    )
}

/// Programs run, and have no vDSO.
fn without_vdso() -> Result<(), Failed> {
    let outcome = boot_file(&rootfs()?, "vdso=0 -- --only vdso_image,exec_layout")?;
    let report = Report::parse(&outcome.report);
    let failed: Vec<_> = report.failures().map(|f| (f.program.as_str(), f.why.as_str())).collect();
    match (report.done, failed.as_slice()) {
        (Some((1, 1)), [("vdso_image", why)]) if why.contains("AT_SYSINFO_EHDR is missing") => Ok(()),
        other => Err(format!("{other:?}\n{}", tail(&outcome.console)).into()),
    }
}

/// The page of the legacy calls, as the command line wants it.
fn vsyscall_page(mode: &str) -> Result<(), Failed> {
    let outcome = boot_file(&rootfs()?, &format!("vsyscall={mode} -- --only vsyscall_page"))?;
    match Report::parse(&outcome.report).done {
        Some((1, 0)) => Ok(()),
        other => Err(format!("{other:?}\n{}", tail(&outcome.console)).into()),
    }
}

fn eight_mib() -> Result<(), Failed> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), hello::archive().finish())?;
    let mut machine = Machine::direct(&kernel()?, Some(file.path()), CONSOLE);
    machine.memory = 8;
    says(&machine::run(&machine)?, &[hello::LINE])
}

/// An archive that expands to more than half of the memory is unpacked as it expands.
fn large_gzip() -> Result<(), Failed> {
    let mut archive = hello::archive();
    archive.file("zeroes", 0o644, vec![0; 36 << 20]);
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), gzip(&archive.finish()))?;
    let mut machine = Machine::direct(&kernel()?, Some(file.path()), CONSOLE);
    machine.memory = 64;
    says(&machine::run(&machine)?, &[hello::LINE])
}

/// Programs that take all the memory in every way there is: the machine stays.
fn greedy_programs() -> Result<(), Failed> {
    let mut machine =
        Machine::direct(&kernel()?, Some(&rootfs()?), &format!("{CONSOLE} quiet rdinit=/bin/greedy"));
    machine.memory = 24;
    says(
        &machine::run(&machine)?,
        &["greedy: pipes:", "greedy: mounts:", "greedy: the machine is still there"],
    )
}

/// Ten thousand processes, mappings and threads later all the memory is there again.
fn leaks() -> Result<(), Failed> {
    let append = format!("{CONSOLE} quiet rdinit=/bin/leaks");
    let machine = Machine::direct(&kernel()?, Some(&rootfs()?), &append);
    let outcome = qemu::run(&machine, Console::Captured, Some(4 * TIMEOUT))
        .map_err(|error| format!("{error:#}"))
        .and_then(machine::ended)?;
    says(
        &outcome,
        &[
            "times fork, exec and exit:",
            "times mmap, faults and munmap:",
            "times threads:",
            "times semaphores to be undone:",
            "times pseudoterminals:",
            "leaks: done",
        ],
    )?;
    let lost = |line: &str| {
        let (_, rest) = line.strip_prefix("leaks: 10000 times ")?.rsplit_once(": ")?;
        // The heap has grown for two hundred pseudoterminals at once, of which each has three pages.
        let kept = if line.contains("pseudoterminals") { 64 } else { 0 };
        rest.split_once(" pages lost")?.0.parse::<i64>().ok().map(|pages| pages - kept)
    };
    let all: Vec<i64> = outcome.console.lines().filter_map(lost).collect();
    // What one round leaves would be ten thousand times as much.
    if all.len() == 5 && all.iter().all(|&pages| pages < 8) {
        return Ok(());
    }
    Err(format!("pages lost: {all:?}\n{}", tail(&outcome.console)).into())
}

/// Out of memory, the one that offered itself goes first, then the one that takes all; who may
/// not be ended stays. Linux's words about it.
fn out_of_memory() -> Result<(), Failed> {
    let append = format!("{CONSOLE} rdinit=/bin/oom_victims");
    let mut machine = Machine::direct(&kernel()?, Some(&rootfs()?), &append);
    machine.memory = 64;
    let outcome = machine::run(&machine)?;
    says(
        &outcome,
        &[
            "oom: 7 is 7",
            "oom: \"1001\": Err(EINVAL)",
            "oom: a user: Ok(()) Ok(()) Err(EACCES)",
            "oom_victims invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO), order=0, oom_score_adj=0",
            "Tasks state (memory values in pages):",
            "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
            ",global_oom,task_memcg=/,task=oom_victims,pid=",
            "Out of memory: Killed process",
            "oom: who takes all: killed by SIGKILL",
            "oom: who offered itself: killed by SIGKILL",
            "oom: who may not be ended is there",
            "oom: killed by hand: killed by SIGKILL",
        ],
    )?;
    let killed: Vec<&str> =
        outcome.console.lines().filter(|l| l.contains("Out of memory: Killed process")).collect();
    let order = ["oom_score_adj:900", "oom_score_adj:0"];
    if killed.len() == 2 && killed.iter().zip(order).all(|(line, end)| line.trim_end().ends_with(end)) {
        return Ok(());
    }
    Err(format!("{killed:#?}").into())
}

/// A machine that is stopped because its time is up tells where it was: in a program, in the kernel.
fn one_that_hangs_says_where() -> Result<(), Failed> {
    for (words, hangs, place) in [
        ("nmi_user", "nmi_user: running", "RIP is no address of the kernel's"),
        ("nmi_user /proc/sysrq-trigger=c", "end Kernel panic", "RIP is machine_halt"),
    ] {
        let append = format!("{CONSOLE} panic=0 -- {words}");
        let machine = Machine::direct(&kernel()?, Some(&rootfs()?), &append);
        let mut console = String::new();
        // It may not have come there, where the host is slow.
        for seconds in [4, 16, 60] {
            let limit = Some(Duration::from_secs(seconds));
            let outcome =
                qemu::run(&machine, Console::Captured, limit).map_err(|error| format!("{error:#}"))?;
            console.clone_from(&outcome.console);
            if !console.contains(hangs) {
                continue;
            }
            let said = outcome.trouble().ok_or("it ended by itself")?;
            let whole = ["VM status: running", "CR3=", place, "local APIC: LVTT", "QEMU's thread"];
            expect_in_order(&said, &whole).map_err(|why| format!("{why}\n{said}"))?;
            console.clear();
            break;
        }
        if !console.is_empty() {
            return Err(format!("it does not hang\n{}", tail(&console)).into());
        }
    }
    Ok(())
}

fn no_initramfs() -> Result<(), Failed> {
    let outcome = machine::run(&Machine::direct(&kernel()?, None, CONSOLE))?;
    says(&outcome, &["Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"])
}

/// Words behind `--` are `/init`'s arguments; Linux shows them before it runs it.
fn words_for_init() -> Result<(), Failed> {
    let outcome = boot_archive(&hello::archive().finish(), "loglevel=8 -- one two")?;
    says(&outcome, &["Run /init as init process", "with arguments:", "/init", "one", "two", hello::LINE])
}

/// So are words that the kernel does not know, and `a=b` goes to the environment.
fn unknown_words_go_to_init() -> Result<(), Failed> {
    let outcome = boot_archive(&hello::archive().finish(), "loglevel=8 single colour=red")?;
    says(
        &outcome,
        &[
            "Unknown kernel command line parameters \"single colour=red\", will be passed to user space.",
            "with arguments:",
            "single",
            "with environment:",
            "HOME=/",
            "TERM=linux",
            "colour=red",
        ],
    )?;
    Ok(())
}

/// `reboot(2)` with a command for the firmware; an address that is none ends nothing.
fn restart_with_a_command() -> Result<(), Failed> {
    let outcome = boot_file(&rootfs()?, "rdinit=/bin/restart_command")?;
    says(
        &outcome,
        &["restart_command: Err(EFAULT)", "reboot: Restarting system with command 'again, please'"],
    )
}

/// 32 words find place, and the 33rd ends the boot with Linux's words; so do variables.
fn too_many_words_for_init() -> Result<(), Failed> {
    let words = |count: usize| (1..=count).map(|i| format!(" w{i}")).collect::<Vec<_>>().concat();
    let fits = boot_archive(&hello::archive().finish(), &format!("loglevel=8 --{}", words(32)))?;
    says(&fits, &["with arguments:", "w31", "w32", hello::LINE])?;
    let outcome = boot_archive(&hello::archive().finish(), &words(40))?;
    says(&outcome, &["Kernel panic - not syncing: Too many boot init vars at `w33'"])
}

fn too_many_variables_for_init() -> Result<(), Failed> {
    let variables: Vec<String> = (1..=40).map(|i| format!(" v{i}=x")).collect();
    let outcome = boot_archive(&hello::archive().finish(), &variables.concat())?;
    says(&outcome, &["Kernel panic - not syncing: Too many boot env vars at `v32=x'"])
}

fn c_program_packed_by_cpio() -> Result<Completion, Failed> {
    let Some(dir) = c_program::pack(&["-static"])? else { return Ok(no_compiler()) };
    if which("cpio").is_none() {
        return Ok(Completion::ignored_with("there is no cpio here"));
    }
    let archive = dir.path().join("any.cpio");
    let pack = "find . -path ./any.cpio -prune -o -print | cpio -o -H newc --quiet > any.cpio";
    let packed =
        Command::new("sh").args(["-c", pack]).current_dir(dir.path()).stdin(Stdio::null()).status()?;
    if !packed.success() {
        return Err("cpio could not pack the archive".into());
    }
    by_the_readme(&archive).map(|()| Completion::Completed)
}

fn c_program_gzipped() -> Result<Completion, Failed> {
    c_program_with(&["-static"])
}

fn c_program_static_pie() -> Result<Completion, Failed> {
    c_program_with(&["-static-pie"])
}

fn c_program_with(flags: &[&str]) -> Result<Completion, Failed> {
    let Some(dir) = c_program::pack(flags)? else { return Ok(no_compiler()) };
    let archive = hello::archive_with(std::fs::read(dir.path().join("init"))?).finish();
    let file = dir.path().join("any.cpio.gz");
    std::fs::write(&file, xtask::initramfs::gzip(&archive))?;
    by_the_readme(&file).map(|()| Completion::Completed)
}

/// The second door: the same kernel, from a disk that a BIOS boots, with the command line
/// behind the initramfs.
fn disk_image() -> Result<Completion, Failed> {
    let paths = Paths::find().map_err(|error| format!("{error:#}"))?;
    if let Some(why) = image::not_ready(&paths) {
        return Ok(Completion::ignored_with(why));
    }
    kernel()?;
    let dir = tempfile::tempdir()?;
    let disk = dir.path().join("disk.img");
    let line = format!("{CONSOLE} loglevel=8 -- one \"two words\"");
    image::make(&paths, Install::Allowed, &hello::archive().finish(), &line, &disk)
        .map_err(|error| format!("{error:#}"))?;
    let outcome = machine::run(&image::machine(disk))?;
    says(&outcome, &["Run /init as init process", "with arguments:", "one", "two words", hello::LINE])?;
    Ok(Completion::Completed)
}

fn no_compiler() -> Completion {
    Completion::ignored_with("there is no C compiler here that links statically")
}

/// Boots an archive by the line that the README gives, word for word.
fn by_the_readme(archive: &Path) -> Result<(), Failed> {
    let mut args: Vec<OsString> =
        ["-accel", "tcg", "-cpu", "max", "-m", "64", "-kernel"].map(Into::into).into();
    args.extend([kernel()?.into(), "-initrd".into(), archive.into()]);
    args.extend(["-append", CONSOLE, "-nographic", "-no-reboot"].map(OsString::from));
    let outcome =
        qemu::run_arguments(&args, Console::Captured, Some(TIMEOUT)).map_err(|error| format!("{error:#}"))?;
    says(&machine::ended(outcome)?, c_program::LINES)
}
