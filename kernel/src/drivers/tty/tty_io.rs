// SPDX-License-Identifier: GPL-2.0-only
//! Opening, reading and writing terminals (Linux 6.1, `drivers/tty/tty_io.c`;
//! `n_tty.c`, `n_tty_read`).

use super::n_tty::{self, OUT_WAIT, Tty, TtyRef, WAIT};
use super::n_tty_output;
use super::pty;
use super::serial;
use crate::errno::{EAGAIN, EBUSY, EFAULT, EIO, ENOTTY, ENXIO, Result};
use crate::fs::char_dev::Device;
use crate::fs::fasync::default_owner;
use crate::fs::file_table::{Abilities, File, FileOps, Seeking, poll};
use crate::fs::inode::Dev;
use crate::fs::select::PollTable;
use crate::kernel::capability::capable;
use crate::kernel::sched::cond_resched;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::current;
use crate::kernel::time::timekeeping::ktime_get;
use crate::lib::iov_iter::IovIter;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::{self as abi, O_NOCTTY};
use linux_raw_sys::ioctl::TIOCSPGRP;

/// `TTYAUX_MAJOR`.
const TTYAUX_MAJOR: u32 = 5;

/// `/dev/tty`, `/dev/console` and `/dev/ptmx`.
pub static DEVICES: &[Device] = &[
    Device { name: "tty", dev: Dev::new(TTYAUX_MAJOR, 0), mode: 0o666, open: open_current_tty },
    Device { name: "console", dev: Dev::new(TTYAUX_MAJOR, 1), mode: 0o600, open: open_console },
    Device { name: "ptmx", dev: pty::PTMX_DEV, mode: 0o666, open: pty::open_ptmx },
];

/// The terminal on a serial port.
fn find_port(port: u32) -> Result<&'static Tty> {
    if serial::ports().contains(&port) { Ok(n_tty::tty(port)) } else { Err(ENXIO) }
}

/// `/dev/tty`: the controlling terminal, if there is one.
fn open_current_tty(_: Dev, _: u32) -> Result<Arc<dyn FileOps>> {
    let tty = n_tty::find(Dev(current().signal.tty.load(Ordering::Relaxed))).ok_or(ENXIO)?;
    Ok(Arc::new(TtyFile::open(tty)?))
}

/// `/dev/console`: never becomes the controlling terminal by being opened.
fn open_console(_: Dev, _: u32) -> Result<Arc<dyn FileOps>> {
    Ok(Arc::new(TtyFile::console(TtyRef::Port(find_port(serial::console_port())?))))
}

/// `/dev/ttyS*` and `/dev/pts/*`: becomes the controlling terminal of a session leader that
/// has none.
pub fn open_tty(dev: Dev, flags: u32) -> Result<Arc<dyn FileOps>> {
    if let Some(index) = pty::index_of(dev) {
        return pty::open_slave(index, flags);
    }
    let port = serial::port(dev).ok_or(ENXIO)?;
    let tty = find_port(port)?;
    let file = TtyFile::open(TtyRef::Port(tty))?;
    if flags & O_NOCTTY == 0 {
        tty.acquire_on_open(flags);
    }
    Ok(Arc::new(file))
}

/// An open terminal.
pub struct TtyFile {
    tty: TtyRef,
    /// How often the line had been hung up when this was opened; `None`: no hangup ends it.
    opened_at: Option<u32>,
}

impl TtyFile {
    /// The terminal until it is hung up; not for everybody if somebody wants it alone
    /// (`tty_reopen`).
    pub(super) fn open(tty: TtyRef) -> Result<Self> {
        if tty.state.lock().exclusive && !capable(abi::CAP_SYS_ADMIN) {
            return Err(EBUSY);
        }
        let hangups = tty.hangups.load(Ordering::Relaxed);
        Ok(Self::counted(tty, Some(hangups)))
    }
    /// The console, which outlives hangups (Linux 6.1, drivers/tty/tty_io.c, `__tty_hangup`).
    fn console(tty: TtyRef) -> Self {
        Self::counted(tty, None)
    }
    fn counted(tty: TtyRef, opened_at: Option<u32>) -> Self {
        tty.opens.fetch_add(1, Ordering::Relaxed);
        tty.was_open.store(true, Ordering::Relaxed);
        Self { tty, opened_at }
    }
    fn hung_up(&self) -> bool {
        self.opened_at.is_some_and(|n| n != self.tty.hangups.load(Ordering::Relaxed))
    }
}

impl Drop for TtyFile {
    /// The last one to close it lets others in again, and a master see the end.
    fn drop(&mut self) {
        if self.tty.opens.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.tty.state.lock().exclusive = false;
            self.tty.master_wait.wake_up();
        }
    }
}

impl FileOps for TtyFile {
    fn abilities(&self) -> Abilities {
        Abilities { splice_read: true, splice_write: true, seeking: Seeking::Never, ..Abilities::DEFAULT }
    }
    fn read(&self, f: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        if self.hung_up() {
            return Ok(0);
        }
        let t = &self.tty;
        t.check_foreground(abi::SIGTTIN)?;
        if to.count() == 0 {
            return Ok(0);
        }
        let tm = t.state.lock().termios;
        let canon = tm.lflag & abi::ICANON != 0;
        let [least, tenths] = [abi::VMIN, abi::VTIME].map(|i| u64::from(tm.cc[i as usize]));
        let time = tenths * 100_000_000;
        let after = |ns: u64| ktime_get().saturating_add(ns);
        // Without a minimum the time is for the whole read, else from byte to byte.
        let mut deadline = if canon || least != 0 { u64::MAX } else { after(time) };
        let want = if canon { 1 } else { least.max(1) as usize };
        let mut done = 0;
        while to.count() != 0 {
            if !t.readable() {
                if deadline != u64::MAX && ktime_get() >= deadline {
                    break;
                }
                let waited = if f.nonblock() {
                    Err(EAGAIN)
                } else {
                    t.wait.wait_event_interruptible_until(deadline, || t.readable() || self.hung_up())
                };
                match waited {
                    Err(e) if done == 0 => return Err(e),
                    Ok(true) => {}
                    _ => break,
                }
            }
            if self.hung_up() {
                break;
            }
            let (chunk, line_ends) = t.take(to.count().min(256));
            if let n_tty::Driver::Pty(_) = t.driver {
                t.flush_to_ldisc();
            }
            let n = to.copy_to(&chunk);
            done += n;
            if n < chunk.len() {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            if line_ends || !canon && done >= want && !t.readable() {
                break;
            }
            if !canon && least != 0 && time != 0 {
                deadline = after(time);
            }
        }
        Ok(done)
    }

    fn write(&self, f: &File, from: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        let t = &self.tty;
        let tm = t.state.lock().termios;
        if self.hung_up() || !t.is_connected() {
            return Err(EIO);
        }
        if tm.lflag & abi::TOSTOP != 0 {
            t.check_foreground(abi::SIGTTOU)?;
        }
        let gone = || self.hung_up() || !t.is_connected();
        let mut chunk = [0u8; 256];
        let mut done = 0;
        while from.count() != 0 {
            let want = from.count().min(chunk.len());
            let n = from.copy_from(&mut chunk[..want]);
            let (sent, end) = t.send(&chunk[..n], f.nonblock(), &gone);
            done += sent;
            if let Err(e) = end {
                return n_tty_output::written(done, e);
            }
            if n < want {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            if from.count() != 0 && signal_pending(&current()) {
                return Ok(done);
            }
            cond_resched();
        }
        Ok(done)
    }

    fn fasync(&self, file: &File, fd: i32, on: bool) -> Option<Result> {
        if self.hung_up() {
            // Who goes is let go all the same.
            return Some(if on { Err(ENOTTY) } else { self.tty.fasync.set(file, fd, false) });
        }
        if on {
            default_owner(file, self.tty.pgrp.load(Ordering::Relaxed));
        }
        Some(self.tty.fasync.set(file, fd, on))
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> Option<u32> {
        self.tty.poll_wait(table, WAIT);
        self.tty.poll_wait(table, OUT_WAIT);
        let out = if self.tty.writable() { poll::OUT | poll::WRNORM } else { 0 };
        if self.hung_up() {
            return Some(poll::OUT | poll::WRNORM | poll::IN | poll::RDNORM | poll::ERR | poll::HUP);
        }
        Some(if self.tty.poll_readable() { out | poll::IN | poll::RDNORM } else { out })
    }

    fn ioctl(&self, f: &File, cmd: u32, arg: usize) -> Result<usize> {
        if self.hung_up() {
            return Err(if cmd == TIOCSPGRP { ENOTTY } else { EIO });
        }
        super::tty_ioctl::ioctl(&self.tty, f, cmd, arg)
    }
}
