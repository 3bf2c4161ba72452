// SPDX-License-Identifier: GPL-2.0-only
//! `cores::…`: core files on the host, as `cargo xtask run --cores` brings them, and what a
//! stock debugger shows of them.

use libtest_mimic::{Failed, Trial};
use std::path::PathBuf;
use std::process::Command;
use tests::console::expect_in_order;
use tests::machine::{boot_file, rootfs};
use xtask::initramfs;
use xtask::report::Report;

/// The tests. Without gdb the one that needs it is shown as ignored.
pub fn trials() -> Vec<Trial> {
    let gdb = Command::new("gdb").arg("--version").output().is_ok();
    vec![
        Trial::test("cores::arrive", arrive),
        Trial::test("cores::gdb_shows_the_fault", gdb_shows_the_fault).with_ignored_flag(!gdb),
    ]
}

/// A program and its core file.
struct Dump {
    dir: tempfile::TempDir,
    program: PathBuf,
    core: PathBuf,
}

/// Runs a program, which must dump core.
fn dump_of(name: &str) -> Result<Dump, String> {
    let rootfs = rootfs()?;
    let outcome = boot_file(&rootfs, &format!("-- --cores {name}"))?;
    let report = Report::parse(&outcome.report);
    if report.garbage != 0 {
        return Err(format!("{} lines of the report made no sense", report.garbage));
    }
    let [core] = report.cores.as_slice() else {
        return Err(format!("{} core files came, not one", report.cores.len()));
    };
    let io = |e: std::io::Error| format!("a temporary file: {e}");
    let dir = tempfile::tempdir().map_err(io)?;
    let archive = std::fs::read(&rootfs).map_err(io)?;
    let path = format!("bin/{name}");
    let (_, bytes) = initramfs::files(&archive).into_iter().find(|(p, _)| *p == path).ok_or("no program")?;
    let program = dir.path().join(name);
    std::fs::write(&program, bytes).map_err(io)?;
    let core = core.save(dir.path()).map_err(io)?;
    Ok(Dump { dir, program, core })
}

fn arrive() -> Result<(), Failed> {
    let dump = dump_of("divide_error")?;
    let name = dump.core.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if !name.starts_with("core.divide_error.") {
        return Err(format!("named {name}").into());
    }
    let bytes = std::fs::read(&dump.core).map_err(|e| e.to_string())?;
    // An ELF file of type ET_CORE.
    if !bytes.starts_with(b"\x7fELF\x02\x01\x01") || bytes[16] != 4 {
        return Err("not a core file".into());
    }
    drop(dump.dir);
    Ok(())
}

/// What gdb says of a core file when it is told these commands.
fn gdb(dump: &Dump, commands: &[&str]) -> Result<String, String> {
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-ex", "set debuginfod enabled off"]);
    for c in commands {
        gdb.args(["-ex", c]);
    }
    let out = gdb.arg(&dump.program).arg(&dump.core).output().map_err(|e| format!("gdb: {e}"))?;
    Ok(format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

fn gdb_shows_the_fault() -> Result<(), Failed> {
    let dump = dump_of("divide_error")?;
    let said = gdb(&dump, &["print $_siginfo.si_code", "x/i $pc", "info auxv", "info registers xmm0"])?;
    expect_in_order(
        &said,
        &[
            "Program terminated with signal SIGFPE, Arithmetic exception.",
            "$1 = 1",
            "<trapline_ip>:\tdiv",
            "AT_ENTRY",
            "xmm0",
        ],
    )
    .map_err(|why| format!("{why}\n{said}"))?;
    // Out of the vDSO: its image is in the dump, with what an unwinder needs.
    let dump = dump_of("vdso_unwind")?;
    let said = gdb(&dump, &["backtrace", "info symbol $pc"])?;
    let found = ["clock_gettime ()", "caller_of_the_vdso ()", "_start ()", "system-supplied DSO"];
    expect_in_order(&said, &found).map_err(|why| format!("{why}\n{said}"))?;
    let dump = dump_of("thread_fault")?;
    let said = gdb(&dump, &["info threads", "print $_siginfo._sifields._sigfault.si_addr"])?;
    expect_in_order(
        &said,
        &["Program terminated with signal SIGSEGV, Segmentation fault.", "* 1", "  2", "$1 = (void *) 0x0"],
    )
    .map_err(|why| format!("{why}\n{said}").into())
}
