// SPDX-License-Identifier: GPL-2.0-only
//! What one `semop` does to a set: all of it, or nothing (Linux 6.1, `ipc/sem.c`,
//! `perform_atomic_semop_slow`).

use super::{SEMVMX, Sem};
use crate::errno::{EAGAIN, ERANGE, Errno};
use crate::ipc::util::IPC_NOWAIT;

/// The operation is taken back when the process ends.
pub const SEM_UNDO: u16 = 0x1000;

/// `struct sembuf`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sembuf {
    /// Which semaphore.
    pub num: u16,
    /// What is added to it; 0: it is waited until it is zero.
    pub op: i16,
    /// `IPC_NOWAIT`, [`SEM_UNDO`].
    pub flags: u16,
}

impl Sembuf {
    /// From its six bytes.
    pub fn from_bytes(b: &[u8]) -> Self {
        let word = |i: usize| u16::from_le_bytes([b[i], b[i + 1]]);
        Self { num: word(0), op: word(2).cast_signed(), flags: word(4) }
    }
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Everything is done.
    Done,
    /// This operation cannot be done yet.
    Blocked(usize),
    /// It cannot be done at all.
    Failed(Errno),
}

/// What keeps an operation from being done.
enum Obstacle {
    Block,
    Range,
}

fn step(sem: &mut Sem, adj: Option<&mut i16>, op: Sembuf) -> Result<(), Obstacle> {
    if op.op == 0 && sem.val != 0 {
        return Err(Obstacle::Block);
    }
    let val = sem.val + i32::from(op.op);
    if val < 0 {
        return Err(Obstacle::Block);
    }
    if val > SEMVMX {
        return Err(Obstacle::Range);
    }
    if let Some(adj) = adj {
        let undo = i32::from(*adj) - i32::from(op.op);
        *adj = i16::try_from(undo).map_err(|_| Obstacle::Range)?;
    }
    sem.val = val;
    Ok(())
}

/// Does the operations, in order, to a set whose semaphores they all name. `undo` is what the process
/// takes back of each semaphore, if any of them has [`SEM_UNDO`].
pub fn perform(sems: &mut [Sem], undo: &mut [i16], ops: &[Sembuf], pid: i32) -> Attempt {
    for (i, &op) in ops.iter().enumerate() {
        let num = usize::from(op.num);
        let adj = if op.flags & SEM_UNDO == 0 { None } else { undo.get_mut(num) };
        let Some(sem) = sems.get_mut(num) else { return Attempt::Failed(crate::errno::EFBIG) };
        let Err(why) = step(sem, adj, op) else { continue };
        for back in ops[..i].iter().rev() {
            let num = usize::from(back.num);
            sems[num].val -= i32::from(back.op);
            if back.flags & SEM_UNDO != 0
                && let Some(adj) = undo.get_mut(num)
            {
                // It held that value before.
                *adj = adj.wrapping_add(back.op);
            }
        }
        return match why {
            Obstacle::Range => Attempt::Failed(ERANGE),
            Obstacle::Block if u32::from(op.flags) & IPC_NOWAIT != 0 => Attempt::Failed(EAGAIN),
            Obstacle::Block => Attempt::Blocked(i),
        };
    }
    for op in ops {
        sems[usize::from(op.num)].pid = pid;
    }
    Attempt::Done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(num: u16, op: i16, flags: u16) -> Sembuf {
        Sembuf { num, op, flags }
    }
    fn values(sems: &[Sem]) -> Vec<i32> {
        sems.iter().map(|s| s.val).collect()
    }

    #[test]
    fn all_or_nothing() {
        let mut sems = vec![Sem { val: 2, pid: 1 }, Sem { val: 0, pid: 1 }];
        let mut undo = vec![0; 2];
        let ops = [op(0, -1, SEM_UNDO), op(0, 3, SEM_UNDO), op(1, -1, 0)];
        assert_eq!(perform(&mut sems, &mut undo, &ops, 7), Attempt::Blocked(2));
        assert_eq!((values(&sems), &undo, sems[0].pid), (vec![2, 0], &vec![0, 0], 1));
        assert_eq!(perform(&mut sems, &mut undo, &ops[..2], 7), Attempt::Done);
        assert_eq!((values(&sems), &undo, sems[0].pid), (vec![4, 0], &vec![-2, 0], 7));
    }

    #[test]
    fn what_cannot_be() {
        let mut sems = vec![Sem { val: 1, pid: 0 }];
        let nowait = IPC_NOWAIT as u16;
        let mut one = |o: Sembuf, undo: &mut [i16]| perform(&mut sems, undo, &[o], 1);
        assert_eq!(one(op(0, 0, 0), &mut []), Attempt::Blocked(0));
        assert_eq!(one(op(0, 0, nowait), &mut []), Attempt::Failed(EAGAIN));
        assert_eq!(one(op(0, -2, nowait), &mut []), Attempt::Failed(EAGAIN));
        assert_eq!(one(op(0, 32767, 0), &mut []), Attempt::Failed(ERANGE));
        assert_eq!(one(op(0, 1, SEM_UNDO), &mut [i16::MIN]), Attempt::Failed(ERANGE));
        assert_eq!(values(&sems), [1]);
    }

    #[test]
    fn bytes() {
        assert_eq!(Sembuf::from_bytes(&[1, 0, 0xff, 0xff, 0, 0x10]), op(1, -1, SEM_UNDO));
    }
}
