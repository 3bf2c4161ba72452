// SPDX-License-Identifier: GPL-2.0-only
//! A hand on the machine while it runs: QEMU's monitor.

use crate::machine::{self, TIMEOUT};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use xtask::qemu::{Machine, Outcome};

/// Runs a machine, and has QEMU's monitor do `command` once a signal was delivered to the program
/// called `comm`. The kernel's command line must say `trapline.records=debugcon`.
pub fn run_with_command(mut machine: Machine, comm: &str, command: &str) -> Result<Outcome, String> {
    let dir = tempfile::tempdir().map_err(|error| format!("cannot make a directory: {error}"))?;
    let (records, socket) = (dir.path().join("records"), dir.path().join("monitor"));
    machine.records = Some(records.clone());
    machine.extra.extend(["-monitor".into(), format!("unix:{},server=on,wait=off", socket.display())]);
    let ready = format!("\"comm\":\"{comm}\"");
    std::thread::scope(|scope| {
        let typist = scope.spawn(|| {
            wait_for(&records, &ready)?;
            // The record is written on the way to the handler.
            std::thread::sleep(Duration::from_millis(300));
            type_in(&socket, command).map_err(|error| format!("QEMU's monitor: {error}"))
        });
        let outcome = machine::run(&machine);
        let typed = typist.join().unwrap_or_else(|_| Err("the typist fell".into()));
        outcome.and_then(|o| typed.map(|()| o))
    })
}

/// Waits until a file contains a text.
fn wait_for(file: &Path, text: &str) -> Result<(), String> {
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        if std::fs::read_to_string(file).is_ok_and(|all| all.contains(text)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(format!("no record with {text}"))
}

/// Types a line, and reads until the monitor asks for the next or the machine is gone.
fn type_in(socket: &Path, command: &str) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    writeln!(stream, "{command}")?;
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    let prompts = |said: &[u8]| said.windows(6).filter(|w| w == b"(qemu)").count();
    while prompts(&said) < 2 {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => said.extend_from_slice(&buffer[..n]),
        }
    }
    Ok(())
}
