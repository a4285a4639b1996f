//! The core by its exact effects.

use std::time::Duration;

use super::PublisherOptions;
use super::core::Event;
use super::rig::{Rig, route, send, send_to, single};
use super::tickets::TURN;
use crate::limits;
use crate::types::TopicSettings;
use crate::wire::ErrorCode;

const NOTHING: [&str; 0] = [];

#[test]
fn messages_gather_until_the_host_is_found_and_go_as_one_batch() {
    let mut rig = Rig::new(PublisherOptions::default());
    assert_eq!(rig.send(0), ["find 1"]);
    assert_eq!(rig.send(1), NOTHING);
    assert_eq!(rig.found(1, 0, 1, 1), ["send 0 #1 p0:0+2"]);
    assert_eq!(rig.steps(vec![send(2), send(3)]), ["send 0 #2 p0:2+2"]);
    assert_eq!(rig.ack(0, 1, 7), ["ok [0, 1] at 7"]);
    assert_eq!(rig.ack(0, 2, 9), ["ok [2, 3] at 9"]);
    assert_eq!(rig.ack(0, 2, 9), NOTHING);
}

#[test]
fn a_full_window_makes_messages_gather() {
    let mut rig = Rig::sending(
        PublisherOptions {
            in_flight: 2,
            ..PublisherOptions::default()
        },
        2,
    );
    assert_eq!(rig.send(2), NOTHING);
    assert_eq!(rig.send(3), NOTHING);
    assert_eq!(rig.ack(0, 1, 1), ["ok [0] at 1", "send 0 #3 p0:2+2"]);
}

#[test]
fn where_many_small_batches_are_under_way_topics_take_turns_and_theirs_grow() {
    let mut rig = Rig::with_room(2);
    let [a, b, c] = ["a", "b", "c"];
    rig.steps(vec![send_to(a, 0), send_to(b, 1), send_to(c, 2)]);
    assert_eq!(rig.found_for(0, 1, 5), ["send 5 #1 p0:0+1"]);
    assert_eq!(rig.found_for(1, 2, 5), ["send 5 #2 p1:0+1"]);
    // The stream has its two.
    assert_eq!(rig.found_for(2, 3, 5), NOTHING);
    assert_eq!(rig.step(send_to(a, 3)), NOTHING);
    assert_eq!(rig.step(send_to(c, 4)), NOTHING);
    assert_eq!(rig.wait(Duration::from_millis(1)), NOTHING);
    assert_eq!(rig.ack(5, 1, 1), ["ok [0] at 1", "send 5 #3 p2:0+2"]);
    assert_eq!(rig.step(send_to(a, 5)), NOTHING);
    assert_eq!(rig.ack(5, 2, 1), ["ok [1] at 1", "send 5 #4 p0:1+2"]);
    // Nobody waits for long: what is under way may never be answered.
    assert_eq!(rig.step(send_to(b, 8)), NOTHING);
    assert_eq!(rig.wait(TURN), ["send 5 #5 p1:1+1"]);
    // What is flushed waits for no turn.
    assert_eq!(rig.step(send_to(b, 6)), NOTHING);
    assert_eq!(rig.step(Event::Flush), ["send 5 #6 p1:2+1"]);
    // A stream that is lost takes its turns with it.
    assert_eq!(rig.step(send_to(b, 7)), NOTHING);
    rig.lost(5);
    rig.wait(Duration::from_secs(5));
    let sent = (4..=6).flat_map(|search| rig.found_for(1, search, 6));
    let sent: Vec<String> = sent.collect();
    let expected = ["send 6 #7 p1:1+1", "send 6 #8 p1:2+1", "send 6 #9 p1:3+1"];
    assert_eq!(sent, expected);
}

#[test]
fn a_batch_lingers_unless_it_is_full_or_flushed() {
    let linger = Duration::from_millis(5);
    let mut rig = Rig::new(PublisherOptions {
        linger,
        batch_messages: 2,
        ..PublisherOptions::default()
    });
    rig.send(0);
    assert_eq!(rig.found(1, 0, 1, 1), NOTHING);
    assert_eq!(rig.wait(linger), ["send 0 #1 p0:0+1"]);
    assert_eq!(rig.send(1), NOTHING);
    assert_eq!(rig.send(2), ["send 0 #2 p0:1+2"]);
    assert_eq!(rig.send(3), NOTHING);
    assert_eq!(rig.step(Event::Flush), ["send 0 #3 p0:3+1"]);
    assert_eq!(rig.send(4), NOTHING);
}

#[test]
fn a_stale_epoch_is_recovered_from_in_order_under_the_same_sequences() {
    let mut rig = Rig::sending(single(), 3);
    assert_eq!(rig.nack(0, 1, ErrorCode::StaleEpoch), NOTHING);
    assert_eq!(rig.nack(0, 2, ErrorCode::SequenceGap), NOTHING);
    assert_eq!(rig.send(3), NOTHING);
    assert_eq!(rig.nack(0, 3, ErrorCode::UnknownProducer), ["waiting"]);
    assert_eq!(rig.wake(), ["find 2 fresh"]);
    assert_eq!(
        rig.found(2, 0, 1, 2),
        [
            "send 0 #4 p0:0+1",
            "send 0 #5 p0:1+1",
            "send 0 #6 p0:2+1",
            "send 0 #7 p0:3+1"
        ]
    );
    assert_eq!(rig.ack(0, 4, 1), ["ok [0] at 1", "waiting no more"]);
    assert_eq!(rig.ack(0, 5, 2), ["ok [1] at 2"]);
}

#[test]
fn a_refused_pass_asks_for_a_fresh_one() {
    let mut rig = Rig::sending(single(), 1);
    assert_eq!(rig.nack(0, 1, ErrorCode::BadPass), ["waiting"]);
    assert_eq!(rig.wake(), ["find 2 pass"]);
}

#[test]
fn pauses_grow_until_something_is_acknowledged() {
    let mut rig = Rig::sending(single(), 1);
    let (mut ticket, mut last) = (1, Duration::ZERO);
    for _ in 0..4 {
        rig.nack(0, ticket, ErrorCode::StorageFull);
        let since = rig.now;
        let found = rig.wake();
        assert_eq!(found, [format!("find {}", ticket + 1)]);
        assert!(rig.now.since(since) >= last);
        last = rig.now.since(since);
        rig.found(ticket + 1, 0, 1, 1);
        ticket += 1;
    }
    assert!(last > Duration::from_millis(70));
}

#[test]
fn what_a_lost_stream_has_not_answered_is_sent_again() {
    let mut rig = Rig::sending(single(), 2);
    assert_eq!(rig.lost(0), ["waiting"]);
    assert_eq!(rig.ack(0, 1, 1), NOTHING);
    assert_eq!(rig.wake(), ["find 2 fresh"]);
    assert_eq!(
        rig.found(2, 1, 1, 2),
        ["send 1 #3 p0:0+1", "send 1 #4 p0:1+1"]
    );
    // Another host cannot answer for this one.
    assert_eq!(rig.ack(0, 3, 1), NOTHING);
    assert_eq!(rig.ack(1, 3, 1), ["ok [0] at 1", "waiting no more"]);
}

#[test]
fn a_lost_stream_without_messages_is_found_again_when_needed() {
    let mut rig = Rig::sending(single(), 1);
    rig.ack(0, 1, 1);
    assert_eq!(rig.lost(0), NOTHING);
    assert_eq!(rig.send(1), ["find 2 fresh"]);
}

#[test]
fn a_forgotten_producer_goes_on_under_another_id_if_nothing_can_have_been_taken() {
    let mut rig = Rig::sending(single(), 1);
    rig.ack(0, 1, 1);
    rig.send(1);
    rig.send(2);
    assert_eq!(rig.nack(0, 2, ErrorCode::UnknownProducer), NOTHING);
    assert_eq!(rig.nack(0, 3, ErrorCode::UnknownProducer), ["waiting"]);
    rig.wake();
    assert_eq!(
        rig.found(2, 0, 1, 1),
        ["send 0 #4 p1:0+1", "send 0 #5 p1:1+1"]
    );
}

#[test]
fn a_forgotten_producer_does_not_know_the_outcome_of_what_was_lost_before() {
    let mut rig = Rig::sending(single(), 1);
    rig.ack(0, 1, 1);
    rig.send(1);
    rig.lost(0);
    rig.wake();
    rig.found(2, 1, 1, 1);
    assert_eq!(rig.send(2), ["send 1 #4 p0:2+1"]);
    assert_eq!(rig.nack(1, 3, ErrorCode::UnknownProducer), NOTHING);
    assert_eq!(
        rig.nack(1, 4, ErrorCode::UnknownProducer),
        ["fail [1] unknown", "fail [2] unknown", "waiting no more"]
    );
    assert_eq!(rig.send(3), ["find 3"]);
    assert_eq!(rig.found(3, 1, 1, 1), ["send 1 #5 p1:0+1"]);
}

#[test]
fn a_gap_at_the_front_is_never_renumbered() {
    for code in [ErrorCode::SequenceGap, ErrorCode::SequenceTooOld] {
        let mut rig = Rig::sending(single(), 2);
        assert_eq!(
            rig.nack(0, 1, code),
            ["fail [0] unknown", "fail [1] unknown"]
        );
        assert_eq!(rig.ack(0, 2, 1), NOTHING);
        assert_eq!(rig.send(2), ["send 0 #3 p1:0+1"]);
    }
}

#[test]
fn a_refused_batch_fails_with_those_behind_it_and_later_ones_go_on() {
    let mut rig = Rig::sending(single(), 3);
    assert_eq!(
        rig.nack(0, 2, ErrorCode::Forbidden),
        [
            "fail [1] forbidden",
            "fail [2] not appended, for an earlier message was refused: forbidden"
        ]
    );
    // The first one is still under way: nothing may overtake it.
    assert_eq!(rig.send(3), NOTHING);
    assert_eq!(rig.nack(0, 3, ErrorCode::SequenceGap), NOTHING);
    assert_eq!(rig.ack(0, 1, 1), ["ok [0] at 1", "send 0 #4 p1:0+1"]);
}

#[test]
fn a_fault_of_the_host_leaves_the_outcome_open() {
    let mut rig = Rig::sending(single(), 1);
    assert_eq!(rig.nack(0, 1, ErrorCode::Internal), ["fail [0] unknown"]);
}

#[test]
fn messages_of_a_deleted_topic_fail_and_later_ones_go_to_the_new_one() {
    let mut rig = Rig::sending(single(), 1);
    rig.nack(0, 1, ErrorCode::NotHost);
    rig.send(1);
    assert_eq!(rig.wake(), ["find 2 fresh"]);
    assert_eq!(
        rig.found(2, 0, 2, 1),
        ["fail [0] topic 'T' was deleted", "send 0 #2 p1:0+1"]
    );
}

#[test]
fn a_missing_topic_fails_or_is_created_but_never_for_messages_of_a_deleted_one() {
    let mut rig = Rig::new(single());
    rig.send(0);
    assert_eq!(
        rig.not_found(1, ErrorCode::TopicNotFound),
        ["fail [0] topic-not-found"]
    );

    let mut rig = Rig::new(PublisherOptions {
        create_missing: Some(TopicSettings::default()),
        ..single()
    });
    assert_eq!(rig.send(0), ["find 1 create"]);
    rig.found(1, 0, 1, 1);
    rig.nack(0, 1, ErrorCode::NotHost);
    assert_eq!(rig.wake(), ["find 2 fresh"]);
    assert_eq!(
        rig.not_found(2, ErrorCode::TopicNotFound),
        ["fail [0] topic 'T' was deleted", "waiting no more"]
    );
    assert_eq!(rig.send(1), ["find 3 create"]);
}

#[test]
fn an_index_that_does_not_answer_is_asked_again() {
    let mut rig = Rig::new(single());
    rig.send(0);
    assert_eq!(rig.not_found(1, ErrorCode::NoLiveHost), ["waiting"]);
    assert_eq!(rig.wake(), ["find 2"]);
    assert_eq!(rig.found(1, 0, 1, 1), NOTHING);
    assert_eq!(rig.found(2, 0, 1, 1), ["send 0 #1 p0:0+1"]);
}

#[test]
fn a_silent_host_is_asked_about_and_given_up_if_it_is_another_process_now() {
    let probe = |rig: &mut Rig, search, incarnation| {
        rig.step(Event::Probed {
            topic: 0,
            search,
            route: route(1, incarnation),
        })
    };
    let mut rig = Rig::sending(single(), 1);
    assert_eq!(
        rig.wait(limits::SILENCE_BEFORE_PROBE),
        ["waiting", "probe 2"]
    );
    assert_eq!(probe(&mut rig, 2, 1), NOTHING);
    assert_eq!(
        rig.wait(limits::SILENCE_BEFORE_PROBE),
        ["waiting", "probe 3"]
    );
    assert_eq!(probe(&mut rig, 3, 2), ["abandon 0", "waiting"]);
    assert_eq!(rig.wake(), ["find 4 fresh"]);
    assert_eq!(rig.found(4, 1, 1, 2), ["send 1 #2 p0:0+1"]);
}

#[test]
fn what_is_not_answered_in_time_fails_by_whether_it_was_sent() {
    let options = PublisherOptions {
        in_flight: 1,
        delivery_timeout: Duration::from_millis(500),
        ..single()
    };
    let mut rig = Rig::sending(options.clone(), 2);
    rig.wait(Duration::from_millis(200));
    rig.send(2);
    assert_eq!(
        rig.wait(Duration::from_millis(300)),
        ["fail [0] unknown", "fail [1] timed out", "send 0 #2 p1:0+1"]
    );
    assert_eq!(rig.ack(0, 2, 1), ["ok [2] at 1"]);

    // A nack that says "not taken" leaves nothing open.
    let mut rig = Rig::sending(options, 1);
    rig.nack(0, 1, ErrorCode::StorageFull);
    assert_eq!(
        rig.wait(Duration::from_millis(500)),
        ["fail [0] timed out", "waiting no more"]
    );
}
