// SPDX-License-Identifier: GPL-2.0-only
//! Progress: a spinner on a terminal, plain lines where there is none.
//! Everything goes to stderr, so that stdout carries only results.

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Says one line, now.
pub fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// True if a person is looking at stderr.
pub fn on_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// How wide stdout's screen is; `None` where it is no screen.
pub fn columns() -> Option<usize> {
    let stdout = std::io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok())??;
    (size.ws_col > 0).then_some(size.ws_col as usize)
}

/// A long step in progress.
#[derive(Debug)]
pub struct Step {
    what: String,
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Step {
    /// Starts a step; `what` reads like "building the kernel".
    pub fn start(what: &str) -> Self {
        let bar = on_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(what.to_owned());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if bar.is_none() {
            say(what);
        }
        Self { what: what.to_owned(), bar, started: Instant::now() }
    }

    /// Tells how far the step is.
    pub fn note(&self, detail: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {}", self.what, detail.trim()));
        }
    }

    /// Ends the step; one that took a while leaves a line behind.
    pub fn done(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            let took = self.started.elapsed();
            if took > Duration::from_secs(2) {
                say(&format!("{}: done in {:.1} s", self.what, took.as_secs_f32()));
            }
        }
    }

    /// Ends the step without a word, for the caller has one.
    pub fn abandon(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Runs a command as a step. Its stderr moves the spinner, and is shown only
/// if the command fails; `next` is the advice that ends the error's sentence.
pub fn run_step(what: &str, command: &mut Command, next: &str) -> Result<()> {
    let step = Step::start(what);
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{what}: cannot start {program}"))?;
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n').map_while(std::io::Result::ok) {
            let line = String::from_utf8_lossy(&line);
            step.note(&line);
            said.push_str(&line);
            said.push('\n');
        }
    }
    let status = child.wait().with_context(|| format!("{what}: lost track of {program}"))?;
    if status.success() {
        step.done();
        return Ok(());
    }
    step.abandon();
    eprint!("{said}");
    bail!("{what} failed ({status}); {next}");
}
