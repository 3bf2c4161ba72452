// SPDX-License-Identifier: GPL-2.0-only
//! In-kernel tests of message queues: who waits to send, though there is room.

use super::*;
use crate::kernel::kunit::Kunit;
use crate::{kunit_assert, kunit_assert_eq, kunit_suite};

kunit_suite! { "mqueue": a_sender_without_memory_is_received_from }

/// There was no memory to put its message into the queue when the last one was taken out.
fn a_sender_without_memory_is_received_from(test: &mut Kunit) {
    let made = Queue::new(Some([1, 16]));
    kunit_assert!(test, made.is_ok());
    let Ok(q) = made else { return };
    let waiter = Waiter::new(Some(Msg { prio: 3, text: b"kept".to_vec() }));
    q.state.lock().senders.push(waiter.clone());
    let got = q.receive(true, u64::MAX).map(|m| (m.prio, m.text));
    kunit_assert_eq!(test, got, Ok((3, b"kept".to_vec())));
    kunit_assert_eq!(test, *waiter.ready.lock(), true);
    kunit_assert_eq!(test, q.receive(true, u64::MAX).map(|m| m.prio), Err(EAGAIN));
}
