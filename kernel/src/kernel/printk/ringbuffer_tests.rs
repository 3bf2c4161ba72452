// SPDX-License-Identifier: GPL-2.0-only
//! Tests of the log's ring.

use super::*;

fn ring<const D: usize, const C: usize>() -> RingBuffer {
    Box::leak(Box::new(Storage::<D, C>::new())).ring()
}

fn text(r: &RingBuffer, seq: u64) -> Result<String, Missing> {
    let mut buf = [0; LOG_LINE_MAX];
    r.read(seq, &mut buf).map(|i| String::from_utf8(buf[..i.len].to_vec()).unwrap())
}

#[test]
fn records_come_back_as_they_went_in() {
    let r = ring::<16, 64>();
    let long: String = (0..300).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
    let info = Info { level: 6, facility: 1, ts_nsec: 77, cont: true, caller: 9, ..Info::default() };
    assert_eq!(r.push(info, b"one", true), Some(0));
    assert_eq!(r.push(info, long.as_bytes(), true), Some(1));
    assert_eq!(r.push(info, b"", true), Some(2));
    assert_eq!(text(&r, 0).unwrap(), "one");
    assert_eq!(text(&r, 1).unwrap(), long);
    assert_eq!(text(&r, 2).unwrap(), "");
    assert_eq!(text(&r, 3), Err(Missing::NotYet));
    let mut buf = [0; LOG_LINE_MAX];
    assert_eq!(r.read(0, &mut buf).unwrap(), Info { seq: 0, len: 3, ..info });
}

#[test]
fn wrapping_loses_the_oldest_only() {
    let r = ring::<16, 32>();
    for i in 0..1000u64 {
        let s = format!("message {i} {}", "x".repeat((i % 90) as usize));
        assert_eq!(r.push(Info::default(), s.as_bytes(), true), Some(i));
        assert_eq!(text(&r, i).unwrap(), s);
    }
    let first = r.first_valid_seq();
    assert!((984..1000).contains(&first), "{first}");
    for i in first..1000 {
        assert!(text(&r, i).unwrap().starts_with(&format!("message {i} ")));
    }
    assert_eq!(text(&r, first - 1), Err(Missing::Lost));
    assert_eq!(text(&r, 3), Err(Missing::Lost));
}

#[test]
fn open_records_can_be_extended_by_their_caller_only() {
    let r = ring::<16, 64>();
    let me = Info { caller: 1, ..Info::default() };
    r.push(me, b"segfault at 0", false);
    assert_eq!(text(&r, 0), Err(Missing::NotYet));
    assert!(r.extend_last(1, &[b'y'; 80], false));
    assert!(!r.extend_last(2, b"stranger", true));
    assert_eq!(text(&r, 0).unwrap().len(), 93);
    assert!(!r.extend_last(1, b"too late", true));
    r.push(me, b"a", false);
    r.push(me, b"b", true);
    assert_eq!(text(&r, 1).unwrap(), "a");
    r.push(me, b"c", false);
    assert!(r.extend_last(1, b"d", true));
    assert_eq!(text(&r, 3).unwrap(), "cd");
}

#[test]
fn a_writer_that_was_overtaken_gives_up() {
    let r = ring::<8, 32>();
    r.push(Info::default(), b"x", true);
    // A slow writer: it has claimed its descriptor and been interrupted.
    let (slow, _) = r.reserve(1);
    assert!(r.claim_desc(slow));
    for _ in 0..7 {
        assert!(r.push(Info::default(), b"fast", true).is_some());
    }
    // The same slot again, a ring later.
    assert_eq!(r.push(Info::default(), b"no room", true), None);
    assert_eq!(r.failed(), 1);
    let mut buf = [0; LOG_LINE_MAX];
    assert_eq!(r.read(slow + 8, &mut buf), Err(Missing::Lost));
    r.push(Info::default(), b"after", true);
    assert_eq!(text(&r, slow + 9).unwrap(), "after");
}

fn letter(writer: u8, i: usize) -> u8 {
    b'a' + ((usize::from(writer) + i) % 26) as u8
}

#[test]
fn threads_never_tear_a_record() {
    let r: &'static RingBuffer = Box::leak(Box::new(ring::<64, 128>()));
    let writers: Vec<_> = (0..4u8)
        .map(|w| {
            std::thread::spawn(move || {
                for i in 0..20_000usize {
                    let body = vec![letter(w, i); i % 200];
                    let caller = i as u64 * 4 + u64::from(w);
                    r.push(Info { caller, ..Info::default() }, &body, i % 3 != 0);
                    if i % 3 == 0 {
                        r.extend_last(caller, &[letter(w, i); 70], true);
                    }
                }
            })
        })
        .collect();
    let mut buf = [0; LOG_LINE_MAX];
    let (mut seq, mut seen) = (0, 0);
    while !(writers.iter().all(std::thread::JoinHandle::is_finished) && seq + 1 >= r.next_seq()) {
        let Some(info) = r.read_valid(seq, &mut buf) else {
            r.finalize(r.next_seq().saturating_sub(1));
            continue;
        };
        let t = &buf[..info.len];
        assert!(t.iter().all(|&b| b == t[0]), "torn: {:?}", String::from_utf8_lossy(t));
        seq = info.seq + 1;
        seen += 1;
    }
    assert!(seen > 0);
    for w in writers {
        w.join().unwrap();
    }
    assert_eq!(r.next_seq(), 80_000);
}
