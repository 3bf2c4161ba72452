// SPDX-License-Identifier: GPL-2.0-only
//! NMIs from outside while a machine runs, through QEMU's QMP.

use anyhow::{Context, Result, bail};
use qapi::{ExecuteError, Qmp, Stream, qmp};
use std::io::{BufReader, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// When NMIs are injected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// So many a second, from the start of the machine to its end.
    pub hz: Option<u32>,
    /// One at each of these times after the start.
    pub at: Vec<Duration>,
}

impl Plan {
    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.hz.is_none() && self.at.is_empty()
    }

    /// When the NMI number `n` is due.
    fn due(&self, n: usize) -> Option<Duration> {
        match (self.at.get(n), self.hz) {
            (Some(at), _) => Some(*at),
            (None, Some(hz)) => Some(Duration::from_secs(1) * (n - self.at.len()) as u32 / hz.max(1)),
            (None, None) => None,
        }
    }
}

/// How often it is asked whether the machine still runs.
const POLL: Duration = Duration::from_millis(20);

/// A QEMU that says nothing for so long will say nothing more. The host may stop it for seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// A machine to be tormented, which was told not to end by itself (`-no-shutdown`). The start, from
/// which times count, is its first word: before that it may have nothing that could take an NMI.
pub struct Storm<'a> {
    /// Where its QMP is.
    pub socket: PathBuf,
    /// Where its words are.
    pub console: PathBuf,
    /// When.
    pub plan: &'a Plan,
    /// Set to false when the machine has ended.
    pub running: &'a AtomicBool,
}

impl<'a> Storm<'a> {
    /// Begins; the result is how many NMIs there were.
    pub fn start<'s>(self, scope: &'s Scope<'s, '_>) -> ScopedJoinHandle<'s, Result<u64>>
    where
        'a: 's,
    {
        scope.spawn(move || self.rage())
    }

    fn rage(&self) -> Result<u64> {
        let running = || self.running.load(Ordering::Relaxed);
        let stream = loop {
            match UnixStream::connect(&self.socket) {
                Ok(stream) => break stream,
                Err(_) if running() => std::thread::sleep(Duration::from_millis(2)),
                Err(_) => return Ok(0),
            }
        };
        stream.set_read_timeout(Some(SILENCE)).context("QMP")?;
        let end = stream.try_clone().context("QMP")?;
        let reader = BufReader::new(stream.try_clone().context("QMP")?);
        let mut control = Qmp::new(Stream::new(reader, stream));
        control.handshake().context("QMP does not answer")?;
        while running() && std::fs::metadata(&self.console).map_or(0, |m| m.len()) == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        let (start, mut count) = (Instant::now(), 0);
        while running() {
            let due = self.plan.due(count as usize);
            let wait = due.map_or(POLL, |due| due.saturating_sub(start.elapsed()));
            let told = if wait.is_zero() {
                count += 1;
                control.execute(&qmp::inject_nmi {}).map(drop)
            } else {
                std::thread::sleep(wait.min(POLL));
                control.execute(&qmp::query_status {}).map(drop)
            };
            let ends = control.events().any(|event| matches!(event, qmp::Event::SHUTDOWN { .. }));
            match told {
                Err(ExecuteError::Io(e)) if is_timeout(e.kind()) => {
                    bail!("QEMU has not answered for {} s, after {count} NMIs", SILENCE.as_secs())
                }
                // It has ended, or was ended.
                Err(_) => return Ok(count),
                Ok(()) if ends => break,
                Ok(()) => {}
            }
        }
        // A QEMU that is told something while it ends may never end: hence `-no-shutdown`, and this. It
        // may not answer either, and wait for the end of this connection.
        end.set_read_timeout(Some(Duration::from_secs(1))).context("QMP")?;
        let _ = control.execute(&qmp::quit {});
        Ok(count)
    }
}

/// What a socket says when it was read from for too long.
fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, Write};
    use std::os::unix::net::UnixListener;

    #[test]
    fn single_ones_come_first() {
        let plan = Plan { hz: Some(1000), at: vec![Duration::from_secs(3)] };
        let due: Vec<_> = (0..3).map(|n| plan.due(n).map(|d| d.as_millis())).collect();
        assert_eq!(due, [Some(3000), Some(0), Some(1)]);
        assert_eq!(Plan::default().due(0), None);
        assert!(Plan::default().is_empty());
    }

    /// A QEMU of which only QMP is there: it is stopped for a while at the third NMI, and its machine ends
    /// after the fifth. What it was told.
    fn stopped_for_a_while(listener: &UnixListener) -> Vec<String> {
        let (stream, _) = listener.accept().unwrap();
        let mut say = stream.try_clone().unwrap();
        writeln!(
            say,
            r#"{{"QMP":{{"version":{{"qemu":{{"micro":0,"minor":2,"major":7}},"package":""}},"capabilities":[]}}}}"#
        )
        .unwrap();
        let mut told = Vec::new();
        for line in BufReader::new(stream).lines() {
            let line = line.unwrap();
            let word = line.split('"').nth(3).unwrap_or_default().to_owned();
            let nmis = told.iter().filter(|t| *t == "inject-nmi").count();
            let nmi = word == "inject-nmi";
            if nmi && nmis == 2 {
                std::thread::sleep(Duration::from_millis(1500));
            }
            if nmi && nmis == 4 {
                let at = r#""timestamp":{"seconds":0,"microseconds":0}"#;
                let why = r#""data":{"guest":true,"reason":"guest-shutdown"}"#;
                writeln!(say, r#"{{{at},"event":"SHUTDOWN",{why}}}"#).unwrap();
            }
            let running = r#""running":true,"singlestep":false,"status":"running""#;
            let answer = if word == "query-status" { running } else { "" };
            writeln!(say, r#"{{"return":{{{answer}}}}}"#).unwrap();
            told.push(word);
        }
        told
    }

    #[test]
    fn a_host_that_stops_the_machine_does_not_end_it() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, console) = (dir.path().join("qmp"), dir.path().join("console"));
        std::fs::write(&console, "its first word").unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let (plan, running) = (Plan { hz: Some(100), at: Vec::new() }, AtomicBool::new(true));
        std::thread::scope(|scope| {
            let machine = scope.spawn(move || stopped_for_a_while(&listener));
            let storm = Storm { socket, console, plan: &plan, running: &running };
            assert_eq!(storm.start(scope).join().unwrap().unwrap(), 5);
            let told = machine.join().unwrap();
            let nmis = told.iter().filter(|t| *t == "inject-nmi").count();
            assert_eq!((nmis, told.last().map(String::as_str)), (5, Some("quit")), "{told:?}");
        });
    }
}
