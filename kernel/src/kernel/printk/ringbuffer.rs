// SPDX-License-Identifier: GPL-2.0-only
//! The log's ring buffer: lock-free, for writers in any context, NMIs included.
//!
//! It does the job of Linux 6.1's `kernel/printk/printk_ringbuffer.c` with a simpler
//! structure:
//!
//! * One atomic word, `head`, holds the next sequence number and the next chunk. A
//!   writer takes both in one compare-and-swap, so sequence numbers are dense and
//!   the chunks of a record adjoin.
//! * A record has a *descriptor* (`descs[seq % len]`: state, level, time, where the text
//!   is), and its text lies in *chunks* of 64 bytes. Both carry the sequence number of
//!   the record that they belong to, and both are claimed by a compare-and-swap before
//!   they are written. A writer that finds its place still in the hands of a slower
//!   one (which it interrupted a whole ring ago) gives its message up, rather than wait.
//! * A reader copies a record and then checks that every word still carries its sequence
//!   number: what was overwritten meanwhile is reported as lost, never shown torn.
//!
//! No context ever waits for another. A record without a newline at its end stays *open*:
//! the same context may extend it (`KERN_CONT`) until a newer record exists, and nobody
//! sees it before.

use core::sync::atomic::{AtomicU64, Ordering, fence};

/// Bytes of text in a chunk.
pub const CHUNK: usize = 64;
/// Longest text of one record (Linux's `LOG_LINE_MAX`, without `CONFIG_PRINTK_CALLER`).
pub const LOG_LINE_MAX: usize = 1024 - 32;

const SEQ_BITS: u32 = 40;
const SEQ_MASK: u64 = (1 << SEQ_BITS) - 1;
const CHUNK_MASK: u64 = (1 << (64 - SEQ_BITS)) - 1;

/// Somebody is writing it.
const WRITING: u64 = 0;
/// Complete so far, but may be extended.
const OPEN: u64 = 1;
/// Complete.
const FINAL: u64 = 2;
/// Given up: there is no text for this number.
const VOID: u64 = 3;

/// What a descriptor's state means for one sequence number.
fn state_of(seq: u64, kind: u64) -> u64 {
    // Zero is "never used", hence the +1.
    ((seq + 1) << 2) | kind
}

/// Where a record's text is and what else is known of it.
pub struct Desc {
    state: AtomicU64,
    /// Highest sequence number of this slot that was given up before it was claimed.
    lost: AtomicU64,
    first_chunk: AtomicU64,
    /// Text length, level, facility and flags.
    meta: AtomicU64,
    ts_nsec: AtomicU64,
    caller: AtomicU64,
}

impl Desc {
    const fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            first_chunk: AtomicU64::new(0),
            meta: AtomicU64::new(0),
            ts_nsec: AtomicU64::new(0),
            caller: AtomicU64::new(0),
        }
    }
}

/// A piece of text, and whose it is.
pub struct Chunk {
    /// `(seq + 1) << 1`, with bit 0 set while it is being written.
    owner: AtomicU64,
    words: [AtomicU64; CHUNK / 8],
}

impl Chunk {
    const fn new() -> Self {
        Self { owner: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; CHUNK / 8] }
    }

    /// Takes the chunk for `seq`; fails while an older record is being written to it,
    /// and for good when a newer one has it.
    fn claim(&self, seq: u64) -> bool {
        let old = self.owner.load(Ordering::Relaxed);
        let mine = (seq + 1) << 1;
        if old & 1 != 0 || old > mine {
            return false;
        }
        let taken = self.owner.compare_exchange(old, mine | 1, Ordering::Acquire, Ordering::Relaxed).is_ok();
        fence(Ordering::Release);
        taken
    }

    fn release(&self, seq: u64) {
        self.owner.store((seq + 1) << 1, Ordering::Release);
    }

    fn write(&self, at: usize, text: &[u8]) {
        for (i, &b) in text.iter().enumerate() {
            let (word, shift) = ((at + i) / 8, (at + i) % 8 * 8);
            let w = self.words[word].load(Ordering::Relaxed) & !(0xff << shift);
            self.words[word].store(w | (u64::from(b) << shift), Ordering::Relaxed);
        }
    }

    fn read(&self, out: &mut [u8]) {
        for (word, part) in self.words.iter().zip(out.chunks_mut(8)) {
            part.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes()[..part.len()]);
        }
    }
}

/// What is stored of a message besides its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Sequence number.
    pub seq: u64,
    /// Nanoseconds since boot.
    pub ts_nsec: u64,
    /// `KERN_EMERG` (0) to `KERN_DEBUG` (7).
    pub level: u8,
    /// 0: the kernel; 1: user mode, through `/dev/kmsg`.
    pub facility: u8,
    /// A continuation that could not be joined to its beginning.
    pub cont: bool,
    /// Bytes of text.
    pub len: usize,
    /// Who printed it: only the same caller may extend it.
    pub caller: u64,
}

impl Info {
    fn meta(&self) -> u64 {
        self.len as u64
            | u64::from(self.level) << 16
            | u64::from(self.facility) << 24
            | u64::from(self.cont) << 32
    }
    fn set_meta(&mut self, m: u64) {
        self.len = (m & 0xffff) as usize;
        self.level = (m >> 16) as u8;
        self.facility = (m >> 24) as u8;
        self.cont = m >> 32 & 1 != 0;
    }
}

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It does not exist yet, or is still being written.
    NotYet,
    /// It was overwritten or given up.
    Lost,
}

/// The buffer.
pub struct RingBuffer {
    descs: &'static [Desc],
    chunks: &'static [Chunk],
    head: AtomicU64,
    /// Messages that were given up.
    failed: AtomicU64,
}

fn pack(seq: u64, chunk: u64) -> u64 {
    (seq & SEQ_MASK) | (chunk & CHUNK_MASK) << SEQ_BITS
}

fn unpack(head: u64) -> (u64, u64) {
    (head & SEQ_MASK, head >> SEQ_BITS)
}

/// Storage for a [`RingBuffer`]: `D` descriptors and `C` chunks, both powers of two.
pub struct Storage<const D: usize, const C: usize> {
    descs: [Desc; D],
    chunks: [Chunk; C],
}

impl<const D: usize, const C: usize> Storage<D, C> {
    /// Empty.
    pub const fn new() -> Self {
        assert!(D.is_power_of_two() && C.is_power_of_two() && C * CHUNK >= 2 * LOG_LINE_MAX);
        Self { descs: [const { Desc::new() }; D], chunks: [const { Chunk::new() }; C] }
    }
    /// A buffer over this storage.
    pub const fn ring(&'static self) -> RingBuffer {
        RingBuffer {
            descs: &self.descs,
            chunks: &self.chunks,
            head: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }
}

impl<const D: usize, const C: usize> Default for Storage<D, C> {
    fn default() -> Self {
        Self::new()
    }
}

impl RingBuffer {
    /// A buffer on the heap that holds about `bytes` of text, never freed, whose first
    /// record will have number `seq`.
    pub fn allocate(bytes: usize, seq: u64) -> &'static Self {
        let chunks = (bytes / CHUNK).next_power_of_two().clamp(64, 1 << 20);
        let descs: alloc::vec::Vec<Desc> = (0..chunks / 2).map(|_| Desc::new()).collect();
        let chunks: alloc::vec::Vec<Chunk> = (0..chunks).map(|_| Chunk::new()).collect();
        alloc::boxed::Box::leak(alloc::boxed::Box::new(Self {
            descs: descs.leak(),
            chunks: chunks.leak(),
            head: AtomicU64::new(pack(seq, 0)),
            failed: AtomicU64::new(0),
        }))
    }

    /// Bytes of text that fit.
    pub fn size(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    /// The number that the next record will have (`prb_next_seq`).
    pub fn next_seq(&self) -> u64 {
        unpack(self.head.load(Ordering::Acquire)).0
    }

    /// Messages that had to be given up.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    fn desc(&self, seq: u64) -> &Desc {
        &self.descs[seq as usize % self.descs.len()]
    }

    fn chunk(&self, index: u64) -> &Chunk {
        &self.chunks[index as usize % self.chunks.len()]
    }

    /// Stores a record, returning its number. `done` says that nothing will be added to
    /// it. `info.seq` and `info.len` are filled in here.
    pub fn push(&self, mut info: Info, text: &[u8], done: bool) -> Option<u64> {
        let text = &text[..text.len().min(LOG_LINE_MAX)];
        let need = text.len().div_ceil(CHUNK) as u64;
        let (seq, first) = self.reserve(need);
        info.len = text.len();
        if seq > 0 {
            self.finalize(seq - 1);
        }
        if !self.claim_desc(seq) {
            self.desc(seq).lost.fetch_max(seq + 1, Ordering::Release);
            self.failed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let d = self.desc(seq);
        if !self.write_chunks(seq, first, 0, text) {
            d.state.store(state_of(seq, VOID), Ordering::Release);
            self.failed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        d.first_chunk.store(first, Ordering::Relaxed);
        d.ts_nsec.store(info.ts_nsec, Ordering::Relaxed);
        d.caller.store(info.caller, Ordering::Relaxed);
        d.meta.store(info.meta(), Ordering::Relaxed);
        self.commit(seq, done);
        Some(seq)
    }

    /// Adds to the newest record, if `caller` left it open.
    pub fn extend_last(&self, caller: u64, text: &[u8], done: bool) -> bool {
        let (next, chunk) = unpack(self.head.load(Ordering::Acquire));
        let Some(seq) = next.checked_sub(1) else {
            return false;
        };
        let d = self.desc(seq);
        let reopened = d
            .state
            .compare_exchange(
                state_of(seq, OPEN),
                state_of(seq, WRITING),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok();
        if !reopened {
            return false;
        }
        fence(Ordering::Release);
        let mut info = Info::default();
        info.set_meta(d.meta.load(Ordering::Relaxed));
        let first = d.first_chunk.load(Ordering::Relaxed);
        let len = (info.len + text.len()).min(LOG_LINE_MAX);
        let have = info.len.div_ceil(CHUNK) as u64;
        let more = len.div_ceil(CHUNK) as u64 - have;
        let fits = d.caller.load(Ordering::Relaxed) == caller
            && (first + have) & CHUNK_MASK == chunk
            && self
                .head
                .compare_exchange(
                    pack(next, chunk),
                    pack(next, chunk + more),
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                )
                .is_ok();
        let ok = fits && self.write_chunks(seq, first, info.len, &text[..len - info.len]);
        if ok {
            info.len = len;
            d.meta.store(info.meta(), Ordering::Relaxed);
        }
        // When it did not fit, the record is as complete as it will be.
        self.commit(seq, done || !ok);
        ok
    }

    /// Takes the next sequence number and `need` chunks.
    fn reserve(&self, need: u64) -> (u64, u64) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let (seq, chunk) = unpack(head);
            match self.head.compare_exchange_weak(
                head,
                pack(seq + 1, chunk + need),
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return (seq, chunk),
                Err(now) => head = now,
            }
        }
    }

    fn claim_desc(&self, seq: u64) -> bool {
        let d = self.desc(seq);
        let old = d.state.load(Ordering::Relaxed);
        let busy = old != 0 && old & 3 == WRITING;
        if busy || old >= state_of(seq, WRITING) {
            return false;
        }
        let taken = d
            .state
            .compare_exchange(old, state_of(seq, WRITING), Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        fence(Ordering::Release);
        taken
    }

    /// Writes `text` at byte `at` of the record whose chunks begin at `first`.
    fn write_chunks(&self, seq: u64, first: u64, at: usize, text: &[u8]) -> bool {
        let mut done = 0;
        while done < text.len() {
            let pos = at + done;
            let n = (CHUNK - pos % CHUNK).min(text.len() - done);
            let c = self.chunk((first + (pos / CHUNK) as u64) & CHUNK_MASK);
            if !c.claim(seq) {
                return false;
            }
            c.write(pos % CHUNK, &text[done..done + n]);
            c.release(seq);
            done += n;
        }
        true
    }

    /// Publishes the record; an open one becomes final at once if a newer one exists.
    fn commit(&self, seq: u64, done: bool) {
        let kind = if done { FINAL } else { OPEN };
        self.desc(seq).state.store(state_of(seq, kind), Ordering::SeqCst);
        if !done && unpack(self.head.load(Ordering::SeqCst)).0 != seq + 1 {
            self.finalize(seq);
        }
    }

    /// Ends the record, if it is open.
    pub fn finalize(&self, seq: u64) {
        let _ = self.desc(seq).state.compare_exchange(
            state_of(seq, OPEN),
            state_of(seq, FINAL),
            Ordering::SeqCst,
            Ordering::Relaxed,
        );
    }

    /// Reads record `seq` into `out`. An open record counts as not there yet.
    pub fn read(&self, seq: u64, out: &mut [u8; LOG_LINE_MAX]) -> Result<Info, Missing> {
        if seq >= self.next_seq() {
            return Err(Missing::NotYet);
        }
        let d = self.desc(seq);
        let state = d.state.load(Ordering::Acquire);
        match state.cmp(&state_of(seq, FINAL)) {
            core::cmp::Ordering::Equal => {}
            core::cmp::Ordering::Greater => return Err(Missing::Lost),
            core::cmp::Ordering::Less => {
                let given_up =
                    d.lost.load(Ordering::Acquire) > seq || self.next_seq() > seq + self.descs.len() as u64;
                return Err(if given_up { Missing::Lost } else { Missing::NotYet });
            }
        }
        let mut info = Info {
            seq,
            ts_nsec: d.ts_nsec.load(Ordering::Relaxed),
            caller: d.caller.load(Ordering::Relaxed),
            ..Info::default()
        };
        info.set_meta(d.meta.load(Ordering::Relaxed));
        info.len = info.len.min(LOG_LINE_MAX);
        let first = d.first_chunk.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        if d.state.load(Ordering::Relaxed) != state {
            return Err(Missing::Lost);
        }
        let owner = (seq + 1) << 1;
        for (i, part) in out[..info.len].chunks_mut(CHUNK).enumerate() {
            let c = self.chunk((first + i as u64) & CHUNK_MASK);
            if c.owner.load(Ordering::Acquire) != owner {
                return Err(Missing::Lost);
            }
            c.read(part);
            fence(Ordering::Acquire);
            if c.owner.load(Ordering::Relaxed) != owner {
                return Err(Missing::Lost);
            }
        }
        Ok(info)
    }

    /// The first readable record with a number of at least `seq`
    /// (`prb_read_valid`): lost ones are skipped.
    pub fn read_valid(&self, mut seq: u64, out: &mut [u8; LOG_LINE_MAX]) -> Option<Info> {
        seq = seq.max(self.next_seq().saturating_sub(self.descs.len() as u64));
        loop {
            match self.read(seq, out) {
                Ok(info) => return Some(info),
                Err(Missing::NotYet) => return None,
                Err(Missing::Lost) => seq += 1,
            }
        }
    }

    /// The oldest readable record's number, or the next one's if there is none
    /// (`prb_first_valid_seq`).
    pub fn first_valid_seq(&self) -> u64 {
        let mut text = [0; LOG_LINE_MAX];
        self.read_valid(0, &mut text).map_or_else(|| self.next_seq(), |i| i.seq)
    }
}

#[cfg(test)]
#[path = "ringbuffer_tests.rs"]
mod tests;
