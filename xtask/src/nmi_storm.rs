// SPDX-License-Identifier: GPL-2.0-only
//! NMIs from outside while a machine runs, through QEMU's QMP.

use anyhow::{Context, Result};
use qapi::{Qmp, Stream, qmp};
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
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
        let mut control = loop {
            match connect(&self.socket, SILENCE) {
                Ok(control) => break control,
                Err(_) if running() => std::thread::sleep(Duration::from_millis(2)),
                Err(_) => return Ok(0),
            }
        };
        while running() && std::fs::metadata(&self.console).map_or(0, |m| m.len()) == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        let (start, mut count) = (Instant::now(), 0);
        while running() {
            let due = self.plan.due(count as usize);
            let wait = due.map_or(POLL, |due| due.saturating_sub(start.elapsed()));
            let told = if wait.is_zero() {
                if (count as usize) < self.plan.at.len() {
                    settle(&mut control);
                }
                count += 1;
                control.execute(&qmp::inject_nmi {}).map(drop)
            } else {
                std::thread::sleep(wait.min(POLL));
                control.execute(&qmp::query_status {}).map(drop)
            };
            let ends = control.events().any(|event| matches!(event, qmp::Event::SHUTDOWN { .. }));
            match told {
                // It has ended, or was ended; or it hangs, and who waits for its end will say where.
                Err(_) => return Ok(count),
                Ok(()) if ends => break,
                Ok(()) => {}
            }
        }
        drop(control);
        self.end();
        Ok(count)
    }

    /// Ends QEMU, which was told not to do so by itself: one that is told something while it ends may
    /// never end. Nor may it answer, and wait for the end of this connection; and what it was told is
    /// forgotten if that comes too early. So it is told again, and not soon.
    fn end(&self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        while self.running.load(Ordering::Relaxed) {
            if let Ok(mut control) = connect(&self.socket, PATIENCE) {
                let _ = control.execute(&qmp::quit {});
            }
            let until = Instant::now() + PATIENCE;
            while self.running.load(Ordering::Relaxed) && Instant::now() < until {
                std::thread::sleep(POLL);
            }
        }
    }
}

/// A single NMI is to be one by itself: the machine, which its host may have stopped, has run for a while
/// since the last one, and will have taken it.
fn settle(control: &mut Control) {
    const WHILE: Duration = Duration::from_millis(50);
    loop {
        std::thread::sleep(WHILE);
        let asked = Instant::now();
        if control.execute(&qmp::query_status {}).is_err() || asked.elapsed() < WHILE {
            return;
        }
    }
}

/// A way to tell a machine something.
pub type Control = Qmp<Stream<BufReader<UnixStream>, UnixStream>>;

/// Connects to a machine's QMP. An answer that does not come within `patience` is an error; a host that
/// is busy may well let it take seconds.
pub fn connect(socket: &Path, patience: Duration) -> Result<Control> {
    let stream = UnixStream::connect(socket).context("QMP")?;
    stream.set_read_timeout(Some(patience)).context("QMP")?;
    let reader = BufReader::new(stream.try_clone().context("QMP")?);
    let mut control = Qmp::new(Stream::new(reader, stream));
    control.handshake().context("QMP does not answer")?;
    Ok(control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
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

    /// Answers commands until one is `last`, or the other end is gone; `first` is done before the first
    /// answer to an NMI.
    fn answer(listener: &UnixListener, last: &str, mut first: impl FnMut()) -> u64 {
        let mut stream = listener.accept().unwrap().0;
        let version = r#"{"major":7,"minor":2,"micro":0}"#;
        let greeting = r#"{"QMP":{"version":{"qemu":VERSION,"package":""},"capabilities":[]}}"#;
        writeln!(stream, "{}", greeting.replace("VERSION", version)).unwrap();
        let mut nmis = 0;
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            let line = line.unwrap();
            if line.contains(last) {
                break;
            }
            if line.contains("inject-nmi") {
                first();
                nmis += 1;
            }
            let status = r#"{"running":true,"singlestep":false,"status":"running"}"#;
            let result = if line.contains("query-status") { status } else { "{}" };
            if nmis == 4 {
                let data = r#"{"guest":true,"reason":"guest-shutdown"}"#;
                let time = r#"{"seconds":1,"microseconds":2}"#;
                writeln!(stream, r#"{{"event":"SHUTDOWN","data":{data},"timestamp":{time}}}"#).unwrap();
            }
            writeln!(stream, r#"{{"return":{result}}}"#).unwrap();
        }
        nmis
    }

    /// A host that is busy answers late; and a QEMU that forgot that it was to end is told again.
    #[test]
    fn a_late_answer_is_no_end_and_a_lost_word_is_said_again() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, console) = (dir.path().join("qmp"), dir.path().join("console"));
        std::fs::write(&console, "x").unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let running = AtomicBool::new(true);
        let plan = Plan { hz: Some(1000), at: Vec::new() };
        std::thread::scope(|scope| {
            let storm = Storm { socket, console, plan: &plan, running: &running }.start(scope);
            let late = Cell::new(Duration::from_millis(2500));
            let nmis = answer(&listener, "quit", || std::thread::sleep(late.take()));
            assert_eq!(nmis, 4);
            assert_eq!(answer(&listener, "quit", || ()), 0);
            running.store(false, Ordering::Relaxed);
            assert_eq!(storm.join().unwrap().unwrap(), 4);
        });
    }
}
