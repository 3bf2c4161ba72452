// SPDX-License-Identifier: GPL-2.0-only
//! Pseudoterminals (Linux 6.1, `drivers/tty/pty.c`): a terminal whose other end is no port
//! but a file, the master. What is written to the master is what is typed; what the programs
//! write is what the master reads.
//!
//! It belongs to the open files of both ends, and goes with the last of them, whatever still has its
//! number: that is another's then (`release_tty`, `pty_unix98_remove`, `devpts_kill_index`).

use super::n_tty::{Driver, MASTER_WAIT, OUT_WAIT, Tty, TtyRef};
use super::n_tty_output::written;
use super::tty_io::TtyFile;
use super::tty_ioctl;
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EAGAIN, EFAULT, EINVAL, EIO, ENODEV, ENOSPC, ERESTARTSYS, Result};
use crate::fs::dcache::Dentry;
use crate::fs::devpts;
use crate::fs::fasync::default_owner;
use crate::fs::file::UnusedFd;
use crate::fs::file_table::{Abilities, File, FileOps, Seeking, poll};
use crate::fs::inode::Dev;
use crate::fs::namespace::{Path, all_mounts};
use crate::fs::open::{How, vfs_open};
use crate::fs::select::{PollTable, WaitQueues};
use crate::fs::seq_file::SeqFile;
use crate::kernel::signal::sigset::valid_signal;
use crate::kernel::signal::{kill_pgrp, signal_pending};
use crate::kernel::task::current;
use crate::kernel::wait::WaitQueue;
use crate::lib::iov_iter::IovIter;
use crate::locking::SpinLock;
use crate::mm::slab::room_for;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use linux_raw_sys::ioctl as io;

/// `UNIX98_PTY_SLAVE_MAJOR`.
const UNIX98_PTY_SLAVE_MAJOR: u32 = 136;
/// Most pseudoterminals (`/proc/sys/kernel/pty/max`).
pub const NR_UNIX98_PTY_MAX: u32 = 4096;
/// `/dev/ptmx`.
pub const PTMX_DEV: Dev = Dev::new(5, 2);

/// The device number of a terminal.
pub const fn slave_dev(index: u32) -> Dev {
    Dev::new(UNIX98_PTY_SLAVE_MAJOR, index)
}

/// The terminal with this device number, if it is one of ours.
pub fn index_of(dev: Dev) -> Option<u32> {
    (dev.major() == UNIX98_PTY_SLAVE_MAJOR).then_some(dev.minor())
}

/// What a master in packet mode is told: what was typed, or written, was thrown away.
pub(super) const FLUSHREAD: u8 = 1;
pub(super) const FLUSHWRITE: u8 = 2;

/// A pseudoterminal.
pub struct Pty {
    index: u32,
    /// The end that programs see as their terminal.
    pub(super) tty: Tty,
    /// Somebody has the master.
    master_open: AtomicBool,
    /// The terminal may not be opened yet (`TIOCSPTLCK`).
    locked: AtomicBool,
    /// Its node, while it has one.
    node: SpinLock<Option<Arc<Dentry>>>,
}

static PTYS: SpinLock<BTreeMap<u32, Weak<Pty>>> = SpinLock::new(BTreeMap::new());

/// The pseudoterminal of this number.
pub(super) fn get(index: u32) -> Option<Arc<Pty>> {
    PTYS.lock().get(&index)?.upgrade()
}

impl Pty {
    /// Whether programs may open the terminal (`pty_open`).
    pub(super) fn may_open(&self) -> Result {
        if self.master_open.load(Relaxed) && !self.locked.load(Relaxed) { Ok(()) } else { Err(EIO) }
    }

    pub(super) fn has_master(&self) -> bool {
        self.master_open.load(Relaxed)
    }
}

impl Drop for Pty {
    /// Its number is free.
    fn drop(&mut self) {
        let mut all = PTYS.lock();
        if all.get(&self.index).is_some_and(|p| p.strong_count() == 0) {
            all.remove(&self.index);
        }
    }
}

impl WaitQueues for Pty {
    fn queue(&self, which: usize) -> &WaitQueue {
        self.tty.queue(which)
    }
}

/// A new one, with the lowest number that is free (`devpts_new_index`).
fn take() -> Result<Arc<Pty>> {
    let mut all = PTYS.lock();
    let free = |i: &u32| all.get(i).is_none_or(|p| p.strong_count() == 0);
    let index = (0..NR_UNIX98_PTY_MAX).find(free).ok_or(ENOSPC)?;
    room_for(size_of::<Pty>())?;
    let new = Arc::new(Pty {
        index,
        tty: Tty::new_pty(index)?,
        master_open: AtomicBool::new(true),
        locked: AtomicBool::new(true),
        node: SpinLock::new(None),
    });
    all.insert(index, Arc::downgrade(&new));
    Ok(new)
}

/// `/dev/ptmx`.
pub fn open_ptmx(_: Dev, _: u32) -> Result<Arc<dyn FileOps>> {
    open_master(&devpts::at_dev_pts()?)
}

/// A new pseudoterminal, its node in the instance of `devpts` with this root (`ptmx_open`).
pub fn open_master(root: &Arc<Dentry>) -> Result<Arc<dyn FileOps>> {
    // From here on dropping the master gives everything back.
    let master = Arc::new(Master { pty: take()? });
    *master.pty.node.lock() = Some(devpts::pty_new(root, master.pty.index)?);
    Ok(master)
}

/// A terminal by its node (`pts_unix98_lookup`).
pub fn open_slave(index: u32, flags: u32) -> Result<Arc<dyn FileOps>> {
    let pty = get(index).ok_or(EIO)?;
    pty.may_open()?;
    let file = TtyFile::open(TtyRef::Pty(pty.clone()))?;
    if flags & linux_raw_sys::general::O_NOCTTY == 0 {
        pty.tty.acquire_on_open(flags);
    }
    Ok(Arc::new(file))
}

/// The end that stands for the person at the terminal.
struct Master {
    pty: Arc<Pty>,
}

impl Drop for Master {
    /// The line is cut (`pty_close`).
    fn drop(&mut self) {
        if let Some(node) = self.pty.node.lock().take() {
            node.unhash();
        }
        self.pty.tty.vhangup();
        self.pty.master_open.store(false, Relaxed);
        self.pty.tty.out_wait.wake_up();
    }
}

impl Master {
    /// Whether a read has something, if only the news that nobody will write any more.
    fn readable(&self) -> bool {
        let tty = &self.pty.tty;
        let s = tty.state.lock();
        !s.out.queue.is_empty() || s.packet.is_some_and(|p| p != 0) || tty.other_closed()
    }

    /// The event that a reader in packet mode is told first; else what the programs wrote.
    fn take(&self, to: &mut IovIter<'_>) -> Result<Option<usize>> {
        let mut bytes = [0u8; 512];
        let mut n = 0;
        {
            let mut s = self.pty.tty.state.lock();
            if let Some(status) = &mut s.packet {
                bytes[0] = core::mem::take(status);
                n = 1;
            }
            if bytes[0] == 0 {
                let want = s.out.queue.len().min(to.count().saturating_sub(n)).min(bytes.len() - n);
                if want == 0 {
                    return Ok(None);
                }
                for (byte, c) in bytes[n..].iter_mut().zip(s.out.queue.drain(..want)) {
                    *byte = c;
                }
                n += want;
            }
        }
        self.pty.tty.out_wait.wake_up();
        if to.copy_to(&bytes[..n]) == n { Ok(Some(n)) } else { Err(EFAULT) }
    }

    /// The way to the terminal's node, for `TIOCGPTPEER` (`ptm_open_peer`).
    fn open_peer(&self, flags: u32) -> Result<usize> {
        let node = self.pty.node.lock().clone().ok_or(EIO)?;
        let root = node.parent().ok_or(EIO)?;
        let mnt = all_mounts()?.into_iter().find(|m| Arc::ptr_eq(&m.root, &root)).ok_or(ENODEV)?;
        let fd = UnusedFd::get(flags)?;
        let file = vfs_open(Path { mnt, dentry: node }, How { flags, mode: 0 })?;
        Ok(fd.install(file) as usize)
    }
}

impl FileOps for Master {
    fn abilities(&self) -> Abilities {
        Abilities { splice_read: true, splice_write: true, seeking: Seeking::Never, ..Abilities::DEFAULT }
    }
    /// Its number (`pty_show_fdinfo`).
    fn show_fdinfo(&self, _: &File, out: &mut SeqFile) {
        writeln!(out, "tty-index:\t{}", self.pty.index);
    }
    fn read(&self, f: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        if to.count() == 0 {
            return Ok(0);
        }
        let tty = &self.pty.tty;
        let mut done = 0;
        loop {
            while to.count() != 0 {
                match self.take(to) {
                    Ok(Some(n)) => done += n,
                    Ok(None) => break,
                    Err(e) if done == 0 => return Err(e),
                    Err(_) => return Ok(done),
                }
                // A packet is read alone.
                if tty.state.lock().packet.is_some() {
                    return Ok(done);
                }
            }
            if done != 0 {
                return Ok(done);
            }
            if tty.other_closed() {
                return Err(EIO);
            }
            if f.nonblock() {
                return Err(EAGAIN);
            }
            tty.master_wait.wait_event_interruptible(|| self.readable())?;
        }
    }

    fn write(&self, f: &File, from: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        let tty = &self.pty.tty;
        let mut chunk = [0u8; 256];
        let mut done = 0;
        while from.count() != 0 {
            let want = from.count().min(chunk.len());
            let n = from.copy_from(&mut chunk[..want]);
            let mut typed = 0;
            while typed < n {
                typed += tty.type_in(&chunk[typed..n]);
                if typed == n {
                    break;
                }
                let wait = || tty.out_wait.wait_event_interruptible(|| tty.may_type());
                if let Err(e) = if f.nonblock() { Err(EAGAIN) } else { wait() } {
                    return written(done + typed, e);
                }
            }
            done += n;
            if n < want {
                return written(done, EFAULT);
            }
            if from.count() != 0 && signal_pending(&current()) {
                return written(done, ERESTARTSYS);
            }
        }
        Ok(done)
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> Option<u32> {
        let tty = &self.pty.tty;
        table.wait_of(&self.pty, MASTER_WAIT);
        table.wait_of(&self.pty, OUT_WAIT);
        let mut mask = if tty.may_type() { poll::OUT | poll::WRNORM } else { 0 };
        let s = tty.state.lock();
        if !s.out.queue.is_empty() {
            mask |= poll::IN | poll::RDNORM;
        }
        if s.packet.is_some_and(|p| p != 0) {
            mask |= poll::PRI | poll::IN | poll::RDNORM;
        }
        if tty.other_closed() {
            mask |= poll::HUP;
        }
        Some(mask)
    }

    fn fasync(&self, file: &File, fd: i32, on: bool) -> Option<Result> {
        if on {
            // It is nobody's terminal.
            default_owner(file, 0);
        }
        Some(self.pty.tty.master_fasync.set(file, fd, on))
    }

    fn ioctl(&self, f: &File, cmd: u32, arg: usize) -> Result<usize> {
        let tty = &self.pty.tty;
        match cmd {
            io::TIOCGPTN => put_user(arg, &self.pty.index)?,
            io::TIOCSPTLCK => {
                let lock: i32 = get_user(arg)?;
                self.pty.locked.store(lock != 0, Relaxed);
            }
            io::TIOCGPTLCK => put_user(arg, &i32::from(self.pty.locked.load(Relaxed)))?,
            io::TIOCGPTPEER => return self.open_peer(arg as u32),
            io::TIOCPKT => {
                let on: i32 = get_user(arg)?;
                let mut s = tty.state.lock();
                s.packet = if on == 0 { None } else { Some(s.packet.unwrap_or(0)) };
            }
            io::TIOCGPKT => put_user(arg, &i32::from(tty.state.lock().packet.is_some()))?,
            io::TIOCSIG => {
                let sig = arg as i32;
                if !valid_signal(sig) || sig == 0 {
                    return Err(EINVAL);
                }
                let pgrp = tty.pgrp.load(Relaxed);
                if pgrp != 0 {
                    let _ = kill_pgrp(pgrp, sig, true);
                }
            }
            io::FIONREAD => put_user(arg, &(tty.state.lock().out.queue.len() as i32))?,
            // Whose they are is asked of the terminal, by somebody who need not be of its session.
            io::TIOCGPGRP => put_user(arg, &tty.pgrp.load(Relaxed))?,
            io::TIOCGSID => {
                let session = tty.session.load(Relaxed);
                if session == 0 {
                    return Err(crate::errno::ENOTTY);
                }
                put_user(arg, &session)?;
            }
            io::TCFLSH => self.flush(arg)?,
            _ => return tty_ioctl::ioctl(tty, f, cmd, arg),
        }
        Ok(0)
    }
}

impl Master {
    /// What the master would read goes, or what it wrote.
    fn flush(&self, which: usize) -> Result {
        let tty = &self.pty.tty;
        if which > 2 {
            return Err(EINVAL);
        }
        if which != 1 {
            tty.state.lock().out.queue.clear();
            tty.out_wait.wake_up();
        }
        Ok(())
    }
}

impl Tty {
    /// Tells a master in packet mode what happened to the terminal (`n_tty_packet_mode_flush`).
    pub(super) fn tell_master(&self, what: u8) {
        let Driver::Pty(_) = self.driver else { return };
        let told = self.state.lock().packet.as_mut().map(|p| *p |= what).is_some();
        if told {
            self.master_wait.wake_up();
        }
    }
}
