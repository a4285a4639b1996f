//! Messages left with the index, by the core's exact effects.

use super::PublisherOptions;
use super::core::Event;
use super::rig::{Rig, route, single};
use crate::client::ClientError;
use crate::types::UnixMicros;
use crate::wire::index::copies::HeldInfo;
use crate::wire::{ErrorCode, ErrorReply, Retry};

impl Rig {
    fn away(&mut self, search: u64) -> Vec<String> {
        self.step(Event::Away {
            topic: 0,
            search,
            route: route(1, 1),
            error: ClientError::Closed,
            retry: Retry::FreshRoute,
        })
    }

    fn held(&mut self, search: u64, messages: u64) -> Vec<String> {
        let held = HeldInfo {
            messages,
            bytes: 100,
            since: UnixMicros(0),
        };
        self.step(Event::Held {
            topic: 0,
            search,
            held,
        })
    }

    fn not_held(&mut self, search: u64, code: ErrorCode) -> Vec<String> {
        let error = ClientError::refused("holding", ErrorReply::new(code, code.text()));
        self.step(Event::NotHeld {
            topic: 0,
            search,
            error,
            sent: true,
        })
    }
}

#[test]
fn without_a_host_messages_are_left_in_order_and_the_host_gets_what_follows() {
    let mut rig = Rig::new(single());
    assert_eq!(rig.send(0), ["find 1"]);
    assert_eq!(rig.away(1), ["hold 2 p0:0+1"]);
    assert!(rig.send(1).is_empty(), "one at a time");
    assert_eq!(rig.held(2, 1), ["held [0] of 1", "hold 3 p0:1+1"]);
    assert_eq!(rig.held(3, 2), ["held [1] of 2"]);
    assert!(rig.held(3, 2).is_empty(), "an answer counts once");
    assert_eq!(rig.send(2), ["find 4 fresh"]);
    assert_eq!(rig.found(4, 0, 1, 2), ["send 0 #1 p0:2+1"]);
    assert_eq!(rig.ack(0, 1, 43), ["ok [2] at 43"]);
}

#[test]
fn what_the_old_host_may_have_is_held_under_the_same_sequences() {
    let mut rig = Rig::sending(single(), 2);
    assert_eq!(rig.lost(0), ["waiting"]);
    assert_eq!(rig.wake(), ["find 2 fresh"]);
    assert_eq!(rig.away(2), ["hold 3 p0:0+1"]);
    assert_eq!(
        rig.held(3, 1),
        ["held [0] of 1", "waiting no more", "hold 4 p0:1+1"]
    );
    assert_eq!(rig.held(4, 2), ["held [1] of 2"]);
}

#[test]
fn what_the_index_does_not_take_waits_for_a_host() {
    let mut rig = Rig::new(single());
    rig.send(0);
    assert_eq!(rig.away(1), ["hold 2 p0:0+1"]);
    assert_eq!(rig.not_held(2, ErrorCode::NotReady), ["waiting"]);
    assert_eq!(rig.wake(), ["find 3 fresh"]);
    assert_eq!(rig.away(3), ["hold 4 p0:0+1"]);
    assert_eq!(rig.not_held(4, ErrorCode::HeldFull), ["waiting"]);
    assert_eq!(rig.wake(), ["find 5 fresh"]);
    assert_eq!(rig.found(5, 0, 1, 2), ["send 0 #1 p0:0+1"]);
}

#[test]
fn a_message_whose_hold_was_not_answered_in_time_is_unknown_and_one_refused_is_not() {
    for (code, expected) in [
        (ErrorCode::Internal, "unknown"),
        (ErrorCode::NotReady, "timed out"),
    ] {
        let mut rig = Rig::new(single());
        rig.send(0);
        rig.away(1);
        rig.not_held(2, code);
        let timeout = PublisherOptions::default().delivery_timeout;
        let failed = rig.wait(timeout);
        assert!(
            failed.contains(&format!("fail [0] {expected}")),
            "{failed:?}"
        );
    }
}

#[test]
fn a_topic_that_is_gone_at_the_index_fails_its_messages() {
    let mut rig = Rig::new(single());
    rig.send(0);
    rig.away(1);
    let failed = rig.not_held(2, ErrorCode::TopicNotFound);
    assert_eq!(failed, ["fail [0] topic 'T' was deleted"]);
}
