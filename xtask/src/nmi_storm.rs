// SPDX-License-Identifier: GPL-2.0-only
//! NMIs from outside while a machine runs, through QEMU's QMP.

use anyhow::{Context, Result};
use qapi::{Qmp, Stream, qmp};
use std::io::BufReader;
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
        // A QEMU that is ending may not answer, and wait for the end of this connection.
        stream.set_read_timeout(Some(Duration::from_secs(1))).context("QMP")?;
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
            if ends || told.is_err() {
                break;
            }
        }
        // A QEMU that is told something while it ends may never end: hence `-no-shutdown`, and this.
        let _ = control.execute(&qmp::quit {});
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ones_come_first() {
        let plan = Plan { hz: Some(1000), at: vec![Duration::from_secs(3)] };
        let due: Vec<_> = (0..3).map(|n| plan.due(n).map(|d| d.as_millis())).collect();
        assert_eq!(due, [Some(3000), Some(0), Some(1)]);
        assert_eq!(Plan::default().due(0), None);
        assert!(Plan::default().is_empty());
    }
}
