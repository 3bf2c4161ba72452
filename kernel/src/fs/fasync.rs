// SPDX-License-Identifier: GPL-2.0-only
//! `O_ASYNC`: signals that say that a file can be read or written (Linux 6.1, `fs/fcntl.c`,
//! `fasync_helper`, `kill_fasync`, `send_sigio`).

use crate::errno::{EINVAL, ESRCH, Result};
use crate::fs::file_table::{File, poll};
use crate::kernel::cred::Cred;
use crate::kernel::exit::ExitState;
use crate::kernel::fork::{TASKLIST, for_each_in_pgrp};
use crate::kernel::signal::send::do_send_sig_info;
use crate::kernel::signal::siginfo::{SI_SIGIO, SigFields, has_specific_codes};
use crate::kernel::signal::sigset::{SIGIO, valid_signal};
use crate::kernel::signal::{KernelSiginfo, PidType, SendInfo, SignalStruct};
use crate::kernel::task::{Task, current};
use crate::locking::IrqLock;
use crate::mm::util::try_push;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use linux_raw_sys::general::{F_OWNER_PGRP, F_OWNER_PID, F_OWNER_TID};

/// What has become possible (`POLL_IN`, …): the code of the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// There is input.
    In = 1,
    /// There is room for output.
    Out = 2,
}

impl Band {
    /// The same as `poll` would say it (`band_table`).
    const fn events(self) -> u32 {
        match self {
            Self::In => poll::IN | poll::RDNORM,
            Self::Out => poll::OUT | poll::WRNORM | poll::WRBAND,
        }
    }
}

/// Who is told.
#[derive(Clone, Default)]
enum Owner {
    #[default]
    Nobody,
    Thread(Weak<Task>),
    Process(Weak<SignalStruct>),
    Group,
}

#[derive(Clone, Default)]
struct State {
    owner: Owner,
    /// What it was named as (`F_OWNER_TID`, …), though it was nobody.
    kind: u32,
    /// The number that it was named by.
    number: i32,
    /// The ids of who named it: they decide whether it may be told.
    uid: u32,
    euid: u32,
    /// The signal, if it is not the plain `SIGIO`.
    signum: i32,
}

/// Who is told of an open file's events, and how (`struct fown_struct`).
#[derive(Default)]
pub struct FownStruct(IrqLock<State>);

fn fown(f: &File) -> &Arc<FownStruct> {
    f.f_owner.call_once(Arc::default)
}

fn state(f: &File) -> State {
    f.f_owner.get().map_or_else(State::default, |o| o.0.lock().clone())
}

/// Makes `kind` and `number` the owner; 0 is nobody. The number has to be in use, but not for what
/// it is said to be: then nobody is told (`__f_setown`).
fn set_owner(f: &File, kind: u32, number: i32) -> Result {
    let mut list = TASKLIST.lock();
    if number != 0 && !list.is_taken(number) {
        return Err(ESRCH);
    }
    let task = list.find(number);
    drop(list);
    let owner = match kind {
        _ if number == 0 => Owner::Nobody,
        F_OWNER_PGRP => Owner::Group,
        F_OWNER_PID => Owner::Process(task.map_or_else(Weak::new, |t| Arc::downgrade(&t.signal))),
        _ => Owner::Thread(task.as_ref().map_or_else(Weak::new, Arc::downgrade)),
    };
    let cred = current().cred.get();
    let mut s = fown(f).0.lock();
    (s.owner, s.kind, s.number) = (owner, kind, number);
    if number != 0 {
        (s.uid, s.euid) = (cred.uid, cred.euid);
    }
    Ok(())
}

/// `F_SETOWN`: a process, or as a negative number a process group (`f_setown`).
pub fn f_setown(f: &File, who: i32) -> Result {
    match who {
        0.. => set_owner(f, F_OWNER_PID, who),
        _ => set_owner(f, F_OWNER_PGRP, who.checked_neg().ok_or(EINVAL)?),
    }
}

/// `F_SETOWN_EX`.
pub fn f_setown_ex(f: &File, [kind, number]: [i32; 2]) -> Result {
    let kind = kind as u32;
    if !matches!(kind, F_OWNER_TID | F_OWNER_PID | F_OWNER_PGRP) {
        return Err(EINVAL);
    }
    set_owner(f, kind, number)
}

/// `F_GETOWN_EX`: the owner's kind, and its number unless it is gone.
pub fn f_getown_ex(f: &File) -> [i32; 2] {
    let s = state(f);
    let there = match &s.owner {
        Owner::Nobody => false,
        Owner::Thread(t) => thread(t).is_some(),
        // Who was named by the number of another thread than the first is told all the same.
        Owner::Process(p) => process(p).is_some_and(|t| t.tgid == s.number),
        Owner::Group => TASKLIST.lock().has_pgrp(s.number),
    };
    [s.kind as i32, if there { s.number } else { 0 }]
}

/// `F_GETOWN`: a group as a negative number.
pub fn f_getown(f: &File) -> i32 {
    let [kind, number] = f_getown_ex(f);
    if kind == F_OWNER_PGRP as i32 { -number } else { number }
}

/// `F_SETSIG`: 0 is the plain `SIGIO`.
pub fn f_setsig(f: &File, sig: usize) -> Result {
    let sig = i32::try_from(sig).ok().filter(|&s| valid_signal(s)).ok_or(EINVAL)?;
    fown(f).0.lock().signum = sig;
    Ok(())
}

/// `F_GETSIG`.
pub fn f_getsig(f: &File) -> i32 {
    state(f).signum
}

/// A terminal's file that has no owner gets the foreground group, else the current process
/// (`__tty_fasync`).
pub fn default_owner(f: &File, pgrp: i32) {
    if matches!(state(f).owner, Owner::Nobody) {
        let _ = f_setown(f, if pgrp == 0 { current().tgid } else { -pgrp });
    }
}

fn thread(t: &Weak<Task>) -> Option<Arc<Task>> {
    t.upgrade().filter(|t| t.rel.exit_state() != ExitState::Dead)
}

fn process(p: &Weak<SignalStruct>) -> Option<Arc<Task>> {
    p.upgrade()?.any_thread()
}

/// Whether who named the receiver might signal it (`sigio_perm`).
fn sigio_perm(s: &State, receiver: &Cred) -> bool {
    let same = |id| id == receiver.suid || id == receiver.uid;
    s.euid == 0 || same(s.euid) || same(s.uid)
}

impl State {
    /// What the signal says (`send_sigio_to_task`).
    fn info(&self, fd: i32, band: Band) -> KernelSiginfo {
        // Some signals have codes of their own: for them the code only says that it is about a file.
        let clashes = self.signum != SIGIO && has_specific_codes(self.signum);
        let code = if clashes { SI_SIGIO } else { band as i32 };
        KernelSiginfo::new(self.signum, code, SigFields::Poll { band: band.events().into(), fd })
    }
    fn send_to(&self, t: &Task, kind: PidType, fd: i32, band: Band) {
        if !sigio_perm(self, &t.cred.get()) {
            return;
        }
        let told = self.signum != 0 && {
            let info = self.info(fd, band);
            do_send_sig_info(self.signum, SendInfo::Info(&info), t, kind).is_ok()
        };
        if !told {
            // The plain one says less, and is never lost.
            let _ = do_send_sig_info(SIGIO, SendInfo::Priv, t, kind);
        }
    }
    /// Tells the owner (`send_sigio`).
    fn send(&self, fd: i32, band: Band) {
        match &self.owner {
            Owner::Nobody => {}
            Owner::Thread(t) => {
                if let Some(t) = thread(t) {
                    self.send_to(&t, PidType::Pid, fd, band);
                }
            }
            Owner::Process(p) => {
                if let Some(t) = process(p) {
                    self.send_to(&t, PidType::Tgid, fd, band);
                }
            }
            Owner::Group => for_each_in_pgrp(self.number, |t| self.send_to(t, PidType::Tgid, fd, band)),
        }
    }
}

struct Entry {
    owner: Arc<FownStruct>,
    /// The descriptor that it was asked for by.
    fd: i32,
}

/// The open files whose owners want to be told of something.
#[derive(Default)]
pub struct FasyncList {
    any: AtomicBool,
    entries: IrqLock<Vec<Entry>>,
}

impl FasyncList {
    /// Nobody.
    pub const fn new() -> Self {
        Self { any: AtomicBool::new(false), entries: IrqLock::new(Vec::new()) }
    }

    /// Adds or removes `f` (`fasync_helper`).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn set(&self, f: &File, fd: i32, on: bool) -> Result {
        let owner = fown(f);
        let mut entries = self.entries.lock();
        entries.retain(|e| !Arc::ptr_eq(&e.owner, owner));
        if on {
            try_push(&mut entries, Entry { owner: owner.clone(), fd })?;
        }
        self.any.store(!entries.is_empty(), Relaxed);
        drop(entries);
        f.set_fasync(on);
        Ok(())
    }

    /// Tells them (`kill_fasync`). Callable from interrupts.
    #[inline]
    pub fn kill(&self, band: Band) {
        if self.any.load(Relaxed) {
            self.kill_all(band);
        }
    }
    #[cold]
    fn kill_all(&self, band: Band) {
        for e in self.entries.lock().iter() {
            let s = e.owner.0.lock().clone();
            s.send(e.fd, band);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::signal::sigset::SIGSEGV;

    #[test]
    fn codes_that_clash_are_not_used() {
        let of = |signum| State { signum, ..State::default() }.info(5, Band::In);
        assert_eq!(of(35).si_code, 1);
        assert_eq!(of(SIGIO).si_code, 1);
        assert_eq!(of(SIGSEGV).si_code, SI_SIGIO);
        assert_eq!(of(35).typed(), SigFields::Poll { band: 0x41, fd: 5 });
        assert_eq!(Band::Out.events(), 0x304);
    }

    #[test]
    fn ids_of_who_named_it_decide() {
        let by = |uid, euid| State { uid, euid, ..State::default() };
        let receiver = Cred { uid: 5, suid: 6, ..Cred::default() };
        assert!(sigio_perm(&by(9, 0), &receiver) && sigio_perm(&by(6, 9), &receiver));
        assert!(!sigio_perm(&by(0, 9), &receiver));
    }
}
