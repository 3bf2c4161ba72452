// SPDX-License-Identifier: GPL-2.0-only
//! `shell::NAME`: `cargo xtask run --shell` on a terminal, and somebody who types: job control,
//! the keys, the window's size, the ways out, and the terminal as it was found.

use libtest_mimic::{Completion, Failed, Trial};
use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;
use tests::machine::OTHER_KERNEL;
use tests::pty::Pty;
use xtask::paths::Paths;
use xtask::{shell, tools};

/// Cargo may have to build first, and the host may be busy.
const START: Duration = Duration::from_secs(180);
/// For everything else.
const SOON: Duration = Duration::from_secs(30);
const PROMPT: &str = "~ # ";

/// The tests.
pub fn trials() -> Vec<Trial> {
    let test = |name: &str, run: fn() -> Result<(), Failed>| {
        Trial::ignorable_test(format!("shell::{name}"), move || {
            let paths = Paths::find().map_err(|e| format!("{e:#}"))?;
            match shell::with_busybox(&paths) {
                Ok(_) => run().map(|()| Completion::Completed),
                Err(why) => Ok(Completion::ignored_with(format!("{why:#}"))),
            }
        })
    };
    vec![
        test("job_control", job_control),
        test("window_size", window_size),
        test("programs_and_log", programs_and_log),
        test("the_key_that_leaves", the_key_that_leaves),
        test("the_terminal_is_put_right", the_terminal_is_put_right),
    ]
}

/// A shell at its first prompt.
fn start() -> Result<Pty, Failed> {
    let paths = Paths::find().map_err(|e| format!("{e:#}"))?;
    let mut command = Command::new(tools::cargo());
    command.args(["run", "-q", "-p", "xtask", "--", "run", "--shell", "--no-install", "--timeout", "300"]);
    if let Some(kernel) = std::env::var_os(OTHER_KERNEL) {
        let mut word = OsString::from("--linux=");
        word.push(kernel);
        command.arg(word);
    }
    command.current_dir(&paths.root).env("CARGO_TARGET_DIR", &paths.target).env("TERM", "vt100");
    let mut pty = Pty::start(command, 33, 101)?;
    pty.expect(PROMPT, START)?;
    Ok(pty)
}

/// Types a line, and gives what is shown up to the next prompt, the line itself left out.
fn line(pty: &mut Pty, text: &str) -> Result<String, Failed> {
    pty.keys(&format!("{text}\r"))?;
    let shown = pty.expect(PROMPT, SOON)?;
    Ok(shown.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned()))
}

fn says(shown: &str, want: &str) -> Result<(), Failed> {
    if shown.contains(want) { Ok(()) } else { Err(format!("`{want}` is not in:\n{shown}").into()) }
}

/// Types a command that goes on, and waits until it runs.
fn start_job(pty: &mut Pty, command: &str) -> Result<(), Failed> {
    pty.keys(&format!("echo on its way; {command}\r"))?;
    pty.expect("on its way\n", SOON)?;
    // The command follows the line that says so.
    std::thread::sleep(Duration::from_millis(400));
    Ok(())
}

fn job_control() -> Result<(), Failed> {
    let mut pty = start()?;
    start_job(&mut pty, "sleep 100")?;
    pty.keys("\x03")?;
    says(&pty.expect(PROMPT, SOON)?, "^C")?;
    says(&line(&mut pty, "echo ended $?")?, "ended 130")?;
    start_job(&mut pty, "cat")?;
    pty.keys("\x1a")?;
    says(&pty.expect(PROMPT, SOON)?, "Stopped")?;
    says(&line(&mut pty, "jobs")?, "[1]+  Stopped")?;
    // In the background it wants the terminal, and is stopped for that.
    says(&line(&mut pty, "bg; sleep 0.3; jobs")?, "Stopped (tty input)")?;
    pty.keys("fg\r")?;
    pty.expect("\n", SOON)?;
    std::thread::sleep(Duration::from_millis(300));
    pty.keys("back again\r")?;
    pty.expect("back again\nback again\n", SOON)?;
    pty.keys("\x1c")?;
    says(&pty.expect(PROMPT, SOON)?, "Quit")?;
    says(&line(&mut pty, "sleep 100 & sleep 0.3; kill $!; wait; echo all $?")?, "all 0")?;
    pty.keys("\x04")?;
    ends_well(&mut pty)
}

fn ends_well(pty: &mut Pty) -> Result<(), Failed> {
    let status = pty.end(SOON)?;
    if status.success() { Ok(()) } else { Err(format!("{status}\n{}", pty.rest()).into()) }
}

fn window_size() -> Result<(), Failed> {
    let mut pty = start()?;
    says(&line(&mut pty, "stty size; echo $TERM; tty")?, "33 101\nvt100\n/dev/ttyS0")?;
    start_job(&mut pty, "sh -c 'trap \"stty size; exit\" WINCH; while :; do sleep 0.1; done'")?;
    pty.resize(50, 120)?;
    pty.expect("50 120", SOON)?;
    pty.expect(PROMPT, SOON)?;
    pty.keys("poweroff -f\r")?;
    ends_well(&mut pty)
}

fn programs_and_log() -> Result<(), Failed> {
    let mut pty = start()?;
    says(&line(&mut pty, "divide_error; echo status $?")?, "status 136")?;
    says(&line(&mut pty, "dmesg | tail -n 1")?, "traps: divide_error[")?;
    says(&line(&mut pty, "sh -c 'kill -SEGV $$'; echo status $?")?, "Segmentation fault\nstatus 139")?;
    says(&line(&mut pty, "ps -o pid,tty,comm")?, "    1 ?      init")?;
    says(&line(&mut pty, "cat /proc/$$/comm; head -n 1 /proc/version")?, "sh\nLinux version 6.1")?;
    says(&line(&mut pty, "mount | cut -d' ' -f3 | tr '\\n' ' '")?, "/proc /sys /dev /dev/pts /dev/shm /tmp")?;
    pty.keys("exit\r")?;
    ends_well(&mut pty)
}

fn the_key_that_leaves() -> Result<(), Failed> {
    let mut pty = start()?;
    // Ctrl-A is a key like others: the line's beginning.
    says(&line(&mut pty, "one two\x01echo ")?, "one two")?;
    pty.keys("\x1dx")?;
    ends_well(&mut pty)
}

/// Whoever ends the run finds the terminal as it was.
fn the_terminal_is_put_right() -> Result<(), Failed> {
    use rustix::process::{Pid, Signal, kill_process};
    use rustix::termios::LocalModes;
    let mut pty = start()?;
    let raw = pty.settings()?;
    if raw.local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG) {
        return Err(format!("not raw while the machine runs: {raw:?}").into());
    }
    let pid = Pid::from_raw(pty.pid()).ok_or("no pid")?;
    kill_process(pid, Signal::TERM)?;
    let _ = pty.end(SOON)?;
    let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
    for _ in 0..100 {
        if pty.settings()?.local_modes.contains(cooked) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(format!("the terminal was left raw: {:?}", pty.settings()?).into())
}
