// SPDX-License-Identifier: GPL-2.0-only
//! A program on a terminal of its own, and somebody who types there.

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// The program's terminal, and what it has shown (without carriage returns, for each of two
/// terminals on the way may add one).
#[derive(Debug)]
pub struct Pty {
    master: File,
    /// Held so that the terminal outlives the program, and its settings can be looked at.
    slave: File,
    child: Child,
    shown: String,
    /// Up to here it was expected.
    seen: usize,
}

fn said(what: &str, error: impl std::fmt::Display) -> String {
    format!("{what}: {error}")
}

impl Pty {
    /// Starts a program as the leader of a session on a new terminal of this size.
    pub fn start(mut command: Command, rows: u16, columns: u16) -> Result<Self, String> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).map_err(|e| said("openpt", e))?;
        grantpt(&master).and_then(|()| unlockpt(&master)).map_err(|e| said("unlockpt", e))?;
        let name = ptsname(&master, Vec::new()).map_err(|e| said("ptsname", e))?;
        let name = name.into_string().map_err(|e| said("ptsname", e))?;
        fcntl_setfl(&master, OFlags::NONBLOCK).map_err(|e| said("fcntl", e))?;
        let slave = OpenOptions::new().read(true).write(true).open(&name).map_err(|e| said(&name, e))?;
        let end = || slave.try_clone().map_err(|e| said("dup", e));
        command.stdin(end()?).stdout(end()?).stderr(end()?);
        // SAFETY: two system calls, on the child's own descriptor.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
                Ok(())
            });
        }
        let child = command.spawn().map_err(|e| said("cannot start the program", e))?;
        let pty = Self { master: File::from(master), slave, child, shown: String::new(), seen: 0 };
        pty.resize(rows, columns)?;
        Ok(pty)
    }

    /// The window gets another size.
    pub fn resize(&self, ws_row: u16, ws_col: u16) -> Result<(), String> {
        let size = Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).map_err(|e| said("cannot set the size", e))
    }

    /// The terminal's settings.
    pub fn settings(&self) -> Result<Termios, String> {
        tcgetattr(&self.slave).map_err(|e| said("tcgetattr", e))
    }

    /// The program's process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Presses keys.
    pub fn keys(&mut self, keys: &str) -> Result<(), String> {
        self.master.write_all(keys.as_bytes()).map_err(|e| said("cannot type", e))
    }

    /// Takes what the program has shown meanwhile; false at the end.
    fn look(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(0) => return false,
            Ok(n) => self.shown.push_str(&String::from_utf8_lossy(&buffer[..n]).replace('\r', "")),
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => return false,
        }
        true
    }

    /// Waits until a text is shown, behind what was expected before; gives what came before it.
    pub fn expect(&mut self, text: &str, within: Duration) -> Result<String, String> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                let before = self.shown[self.seen..self.seen + at].to_owned();
                self.seen += at + text.len();
                return Ok(before);
            }
            let gone = self.child.try_wait().ok().flatten().is_some();
            if Instant::now() > deadline || !self.look() || gone && !self.shown[self.seen..].contains(text) {
                return Err(format!("`{text}` did not come; since the last that did:\n{}", self.rest()));
            }
        }
    }

    /// Waits for the program's end.
    pub fn end(&mut self, within: Duration) -> Result<ExitStatus, String> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            self.look();
            if let Some(status) = self.child.try_wait().map_err(|e| said("wait", e))? {
                return Ok(status);
            }
        }
        Err(format!("the program does not end; what it showed last:\n{}", self.rest()))
    }

    /// What was shown and not expected.
    pub fn rest(&self) -> &str {
        &self.shown[self.seen..]
    }
}

impl Drop for Pty {
    /// Nothing outlives the test.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_program_is_typed_to() {
        let mut command = Command::new("sh");
        command.args(["-c", "stty size; read line; echo \"<$line>\"; exit 3"]);
        let mut pty = Pty::start(command, 31, 91).unwrap();
        pty.expect("31 91", SOON).unwrap();
        pty.keys("hello\r").unwrap();
        assert_eq!(pty.expect("<hello>", SOON).unwrap().trim(), "hello");
        assert!(pty.expect("never", Duration::from_millis(50)).is_err());
        assert_eq!(pty.end(SOON).unwrap().code(), Some(3));
    }
}
