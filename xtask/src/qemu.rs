// SPDX-License-Identifier: GPL-2.0-only
//! One bounded run of the emulator: its command line, its ports, its end.

use crate::nmi_storm::{Plan, Storm};
use crate::post_mortem;
use crate::tools::QEMU;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accel {
    /// QEMU's translator: the same everywhere.
    #[default]
    Tcg,
    /// The translator with a clock that counts instructions: reproducible.
    CountedTcg,
    /// The host's processor.
    Kvm,
}

/// What is started, and how.
#[derive(Debug, Clone)]
pub enum Boot {
    /// QEMU's own loader: kernel, initramfs, command line.
    Direct {
        /// The kernel.
        kernel: PathBuf,
        /// The initramfs, if any.
        initrd: Option<PathBuf>,
        /// The command line.
        append: String,
    },
    /// Firmware and a disk.
    Disk(PathBuf),
}

/// A machine to start.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What to boot.
    pub boot: Boot,
    /// Who executes it.
    pub accel: Accel,
    /// QEMU's name for the processor.
    pub cpu: String,
    /// Memory in MiB.
    pub memory: u32,
    /// Where the bytes written to port 0xE9 go.
    pub records: Option<PathBuf>,
    /// Further arguments for QEMU, as they stand.
    pub extra: Vec<String>,
}

/// The processor of a run. Five-level paging is off because Linux then has
/// the memory map that its documents describe.
pub const CPU: &str = "max,-la57";

impl Machine {
    /// The usual machine around a kernel.
    pub fn direct(kernel: &Path, initrd: Option<&Path>, append: &str) -> Self {
        Self::new(Boot::Direct {
            kernel: kernel.to_path_buf(),
            initrd: initrd.map(Path::to_path_buf),
            append: append.to_owned(),
        })
    }

    /// The usual machine.
    pub fn new(boot: Boot) -> Self {
        Self { boot, accel: Accel::Tcg, cpu: CPU.into(), memory: 128, records: None, extra: Vec::new() }
    }

    /// QEMU's arguments, without those of the serial ports. `-nodefaults` and
    /// what follows it leave out the devices whose set-up takes QEMU and the
    /// firmware time: display, network, floppy, CD-ROM.
    fn arguments(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(OsString::from));
        match self.accel {
            Accel::Tcg => add(&["-accel", "tcg", "-cpu", &self.cpu]),
            Accel::Kvm => add(&["-accel", "kvm", "-cpu", &self.cpu]),
            Accel::CountedTcg => add(&[
                "-accel",
                "tcg",
                "-icount",
                "shift=0,sleep=off",
                "-rtc",
                "clock=vm,base=2020-01-01",
                "-seed",
                "1",
                "-cpu",
                &self.cpu,
            ]),
        }
        add(&["-m", &self.memory.to_string(), "-nodefaults", "-display", "none", "-no-reboot"]);
        match &self.boot {
            Boot::Direct { kernel, initrd, append } => {
                args.extend(["-kernel".into(), kernel.into()]);
                if let Some(initrd) = initrd {
                    args.extend(["-initrd".into(), initrd.into()]);
                }
                args.extend(["-append".into(), append.into()]);
            }
            Boot::Disk(image) => {
                args.push("-drive".into());
                args.push(with_path("format=raw,file=", image, ""));
            }
        }
        if let Some(records) = &self.records {
            args.extend(["-chardev".into(), with_path("file,id=records,path=", records, "")]);
            args.extend(["-device".into(), "isa-debugcon,iobase=0xe9,chardev=records".into()]);
        }
        args.extend(self.extra.iter().map(OsString::from));
        args
    }
}

/// `prefix` + a path with its commas doubled, as QEMU wants them, + `suffix`.
fn with_path(prefix: &str, path: &Path, suffix: &str) -> OsString {
    format!("{prefix}{}{suffix}", path.display().to_string().replace(',', ",,")).into()
}

/// The key that wakes QEMU's monitor while somebody lives in a shell: Ctrl-], for Ctrl-A is
/// the way to a line's beginning there.
const SHELL_ESCAPE: &str = "0x1d";

/// Who sees the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// The person at the terminal, who may type; Ctrl-A X leaves.
    Terminal,
    /// Only the caller, at the end.
    Captured,
}

/// How a run of the emulator ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// QEMU's own status; `None` if it was killed because its time was up.
    pub status: Option<ExitStatus>,
    /// What the first serial port carried.
    pub console: String,
    /// What the second serial port carried.
    pub report: String,
    /// What QEMU itself complained of.
    pub complaint: String,
    /// The whole process, from start to end.
    pub wall: Duration,
    /// Where the machine was when its time was up ([`post_mortem`]).
    pub stopped_at: String,
}

impl Outcome {
    /// The line of a kernel panic, if there was one.
    pub fn panic_line(&self) -> Option<&str> {
        let at = self.console.find("Kernel panic - not syncing")?;
        self.console[at..].lines().next().map(str::trim_end)
    }

    /// A sentence if the emulator itself went wrong, or ran out of time.
    pub fn trouble(&self) -> Option<String> {
        match self.status {
            None => Some(format!(
                "the machine was still running after {:.0} s and was stopped; give it more with --timeout, or look at the console\n{}",
                self.wall.as_secs_f32(),
                self.stopped_at
            )),
            Some(status) if !status.success() => {
                let complaint = self.complaint.trim().replace('\n', "; ");
                Some(format!("{QEMU} failed ({status}): {complaint}"))
            }
            Some(_) => None,
        }
    }
}

/// Boots a machine and waits for its end, but no longer than `timeout`.
pub fn run(machine: &Machine, console: Console, timeout: Option<Duration>) -> Result<Outcome> {
    run_watched(machine, console, timeout, |_| ())
}

/// Boots a machine and waits for its end, or until it has written to neither serial port for so
/// long.
pub fn run_until_quiet(machine: &Machine, quiet: Duration) -> Result<Outcome> {
    run_ports(
        machine,
        Console::Captured,
        |_| (),
        |child, files| wait_until_quiet(child, &[&files.console, &files.report], quiet),
    )
}

/// [`run`]; `watch` is told in which file the first serial port's output will be.
fn run_watched(
    machine: &Machine,
    console: Console,
    timeout: Option<Duration>,
    watch: impl FnOnce(&Path),
) -> Result<Outcome> {
    let kernel = match &machine.boot {
        Boot::Direct { kernel, .. } => Some(kernel.as_path()),
        Boot::Disk(_) => None,
    };
    let mut stopped_at = String::new();
    let outcome = run_ports(machine, console, watch, |child, files| {
        let look = |pid| stopped_at = post_mortem::look(pid, &files.monitor, kernel);
        wait_bounded(child, timeout, look)
    })?;
    Ok(Outcome { stopped_at, ..outcome })
}

/// What a running machine writes to, and where it can be asked.
struct Files {
    console: PathBuf,
    report: PathBuf,
    monitor: PathBuf,
}

/// Boots a machine whose serial ports go to files; `wait` gets the files and waits for the end.
fn run_ports(
    machine: &Machine,
    console: Console,
    watch: impl FnOnce(&Path),
    wait: impl FnOnce(Child, &Files) -> std::io::Result<Option<ExitStatus>>,
) -> Result<Outcome> {
    let dir = tempfile::tempdir().context("cannot make a temporary directory; is the disk full?")?;
    let [console_file, report_file, monitor] = ["console", "report", "monitor"].map(|f| dir.path().join(f));
    let mut args = machine.arguments();
    match console {
        Console::Terminal => terminal_port(&mut args, &console_file),
        Console::Captured => {
            args.extend(["-chardev".into(), with_path("file,id=console,path=", &console_file, "")]);
            args.extend(["-serial".into(), "chardev:console".into()]);
        }
    }
    args.extend(["-chardev".into(), with_path("file,id=report,path=", &report_file, "")]);
    args.extend(["-serial".into(), "chardev:report".into()]);
    args.extend(["-qmp".into(), with_path("unix:", &monitor, ",server=on,wait=off")]);
    watch(&console_file);
    let files = Files { console: console_file, report: report_file, monitor };
    let mut outcome = run_waiting(&args, console, |child| wait(child, &files))?;
    outcome.console = text_of(&files.console);
    outcome.report = text_of(&files.report);
    Ok(outcome)
}

/// [`run`] for a shell at this terminal: Ctrl-] X leaves, all other keys are the guest's. Its
/// second serial port is a socket at `link`.
pub fn run_shell(machine: &Machine, link: &Path, timeout: Option<Duration>) -> Result<Outcome> {
    let dir = tempfile::tempdir().context("cannot make a temporary directory; is the disk full?")?;
    let console_file = dir.path().join("console");
    let mut args = machine.arguments();
    args.extend(["-echr".into(), SHELL_ESCAPE.into()]);
    terminal_port(&mut args, &console_file);
    args.extend(["-chardev".into(), with_path("socket,id=link,server=on,wait=off,path=", link, "")]);
    args.extend(["-serial".into(), "chardev:link".into()]);
    let mut outcome = run_arguments(&args, Console::Terminal, timeout)?;
    outcome.console = text_of(&console_file);
    Ok(outcome)
}

/// The first serial port on our terminal, what it carries kept in a file.
fn terminal_port(args: &mut Vec<OsString>, log: &Path) {
    args.push("-chardev".into());
    args.push(with_path("stdio,id=console,mux=on,signal=off,logfile=", log, ""));
    args.extend(["-mon", "chardev=console", "-serial", "chardev:console"].map(OsString::from));
}

/// [`run`], with NMIs as planned; also says how many there were.
pub fn run_with_nmis(
    machine: &Machine,
    console: Console,
    timeout: Option<Duration>,
    plan: &Plan,
) -> Result<(Outcome, u64)> {
    let dir = tempfile::tempdir().context("cannot make a temporary directory; is the disk full?")?;
    let socket = dir.path().join("qmp");
    let mut machine = machine.clone();
    machine.extra.extend(["-qmp".into(), format!("unix:{},server=on,wait=off", socket.display())]);
    machine.extra.push("-no-shutdown".into());
    let running = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let mut storm = None;
        let outcome = run_watched(&machine, console, timeout, |file| {
            let (socket, console) = (socket.clone(), file.to_path_buf());
            storm = Some(Storm { socket, console, plan, running: &running }.start(scope));
        });
        running.store(false, Ordering::Relaxed);
        let count = storm.map(|s| s.join().unwrap_or_else(|_| bail!("the one who sends NMIs has fallen")));
        Ok((outcome?, count.transpose()?.unwrap_or(0)))
    })
}

/// Starts a machine that stands still before its first instruction and obeys a gdb stub at `socket`;
/// its console goes to a file.
pub fn spawn_debugged(machine: &Machine, socket: &Path, console: &Path) -> Result<Child> {
    let mut args = machine.arguments();
    args.extend(["-chardev".into(), with_path("file,id=console,path=", console, "")]);
    args.extend(["-serial".into(), "chardev:console".into(), "-serial".into(), "null".into()]);
    args.extend(["-chardev".into(), with_path("socket,id=gdb,server=on,wait=off,path=", socket, "")]);
    args.extend(["-gdb".into(), "chardev:gdb".into(), "-S".into()]);
    let mut command = Command::new(QEMU);
    command.args(&args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    die_with_parent(&mut command);
    command.spawn().with_context(|| format!("cannot start {QEMU}"))
}

/// Runs QEMU with exactly these arguments. `Captured` gives stdout as the
/// console, for arguments that put the serial port there.
pub fn run_arguments(args: &[OsString], console: Console, timeout: Option<Duration>) -> Result<Outcome> {
    run_waiting(args, console, |child| wait_bounded(child, timeout, |_| ()))
}

fn run_waiting(
    args: &[OsString],
    console: Console,
    wait: impl FnOnce(Child) -> std::io::Result<Option<ExitStatus>>,
) -> Result<Outcome> {
    let dir = tempfile::tempdir().context("cannot make a temporary directory; is the disk full?")?;
    let file = |name: &str| -> Result<(PathBuf, File)> {
        let path = dir.path().join(name);
        let file = File::create(&path).context("cannot write a temporary file; is the disk full?")?;
        Ok((path, file))
    };
    let (out_path, out) = file("stdout")?;
    let (err_path, err) = file("stderr")?;
    let mut command = Command::new(QEMU);
    command.args(args).stderr(err);
    if console == Console::Captured {
        command.stdin(Stdio::null()).stdout(out);
    }
    die_with_parent(&mut command);
    let terminal = Terminal::remember();
    let started = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot start {QEMU}"))?;
    let status = wait(child).with_context(|| format!("lost track of {QEMU}"))?;
    let wall = started.elapsed();
    drop(terminal);
    Ok(Outcome {
        status,
        console: text_of(&out_path),
        report: String::new(),
        complaint: text_of(&err_path),
        wall,
        stopped_at: String::new(),
    })
}

fn text_of(file: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned()
}

/// No emulator outlives the one who started it.
fn die_with_parent(command: &mut Command) {
    let set = || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
        Ok(())
    };
    // SAFETY: the closure makes one system call, and neither allocates nor
    // takes a lock.
    unsafe { command.pre_exec(set) };
}

/// Waits for the child's end; `None` if it had to be killed, at which `look` looked before.
fn wait_bounded(
    mut child: Child,
    timeout: Option<Duration>,
    look: impl FnOnce(u32),
) -> std::io::Result<Option<ExitStatus>> {
    let Some(timeout) = timeout else { return child.wait().map(Some) };
    let deadline = Instant::now() + timeout;
    if let Some(status) = poll_until(&mut child, deadline)? {
        return Ok(Some(status));
    }
    look(child.id());
    stop(child).map(|()| None)
}

/// Waits for the child's end; `None` if it had to be killed because none of its files grew.
fn wait_until_quiet(
    mut child: Child,
    files: &[&Path; 2],
    quiet: Duration,
) -> std::io::Result<Option<ExitStatus>> {
    let sizes = || files.map(|file| file.metadata().map_or(0, |meta| meta.len()));
    let (mut seen, mut since) = (sizes(), Instant::now());
    while since.elapsed() < quiet {
        if let Some(status) = poll_until(&mut child, Instant::now() + Duration::from_millis(200))? {
            return Ok(Some(status));
        }
        let now = sizes();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    stop(child).map(|()| None)
}

/// Ends a child that does not end by itself.
fn stop(mut child: Child) -> std::io::Result<()> {
    // Politely first: QEMU then puts the terminal right.
    if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if poll_until(&mut child, Instant::now() + Duration::from_secs(2))?.is_none() {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

fn poll_until(child: &mut Child, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        std::thread::sleep(left.min(Duration::from_millis(1)));
    }
}

/// The terminal's settings, put back at the end whatever became of QEMU.
struct Terminal(Option<rustix::termios::Termios>);

impl Terminal {
    fn remember() -> Self {
        let stdin = std::io::stdin();
        Self(stdin.is_terminal().then(|| rustix::termios::tcgetattr(&stdin).ok()).flatten())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            let _ =
                rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(machine: &Machine) -> String {
        let words: Vec<String> =
            machine.arguments().iter().map(|word| word.to_string_lossy().into_owned()).collect();
        words.join(" ")
    }

    #[test]
    fn the_usual_line() {
        let machine = Machine::direct(Path::new("k"), Some(Path::new("i")), "console=ttyS0 panic=-1");
        assert_eq!(
            words(&machine),
            "-accel tcg -cpu max,-la57 -m 128 -nodefaults -display none -no-reboot -kernel k -initrd i -append console=ttyS0 panic=-1"
        );
    }

    #[test]
    fn counting_and_disks() {
        let mut machine = Machine::new(Boot::Disk("a,b.img".into()));
        machine.accel = Accel::CountedTcg;
        let words = words(&machine);
        assert!(words.contains("-icount shift=0,sleep=off -rtc clock=vm,base=2020-01-01 -seed 1"), "{words}");
        assert!(words.contains("-drive format=raw,file=a,,b.img"), "{words}");
    }

    #[test]
    fn a_child_that_does_not_end_is_killed() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let started = Instant::now();
        let mut looked = false;
        assert_eq!(wait_bounded(child, Some(Duration::from_millis(20)), |_| looked = true).unwrap(), None);
        assert!(looked);
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_child_that_goes_quiet_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let (out, none) = (dir.path().join("out"), dir.path().join("none"));
        let script =
            format!("for i in 1 2 3; do echo $i >> {}; sleep 0.3; done; exec sleep 60", out.display());
        let child = Command::new("sh").args(["-c", &script]).spawn().unwrap();
        let started = Instant::now();
        assert_eq!(wait_until_quiet(child, &[&out, &none], Duration::from_millis(900)).unwrap(), None);
        assert!(started.elapsed() < Duration::from_secs(30));
        assert_eq!(std::fs::read_to_string(out).unwrap(), "1\n2\n3\n");
    }

    #[test]
    fn a_child_that_ends_tells_how() {
        let child = Command::new("false").spawn().unwrap();
        let status = wait_bounded(child, Some(Duration::from_secs(10)), |_| ()).unwrap();
        assert_eq!(status.and_then(|status| status.code()), Some(1));
    }

    #[test]
    fn a_panic_is_found_in_the_noise() {
        let outcome = Outcome {
            status: None,
            console: "x\r\n[    0.1] Kernel panic - not syncing: why\r\nmore".into(),
            report: String::new(),
            complaint: String::new(),
            stopped_at: String::new(),
            wall: Duration::from_secs(1),
        };
        assert_eq!(outcome.panic_line(), Some("Kernel panic - not syncing: why"));
        assert!(outcome.trouble().is_some_and(|text| text.contains("--timeout")));
    }
}
