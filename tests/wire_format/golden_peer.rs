//! The peer protocol.

use super::golden::*;
use super::golden::{Direction::*, Protocol::Peer};
use super::golden_index::pass;
use waypost::types::Offset;
use waypost::wire::peer::*;

const POSITION: PositionValue = PositionValue {
    next: Offset(43),
    sequence: 2,
};

const ACHIEVED: Achieved = Achieved { durable: 1, of: 2 };

fn pull(from: ReadFrom) -> Pull {
    Pull {
        topic: TOPIC,
        epoch: EPOCH,
        from,
        max_bytes: 1 << 20,
        max_messages: 10,
        wait_ms: 500,
        group: group(),
    }
}

pub fn list() -> Vec<Golden> {
    let mut list = vec![
        golden(
            Peer,
            Up,
            Present { pass: pass() },
            "0a000000 01 020102010303040506",
        ),
        with_payload(
            Peer,
            Up,
            Append {
                topic: TOPIC,
                epoch: EPOCH,
            },
            b"batch",
            "19000000 02 1111111111111111111111111111111103ac026261746368",
        ),
        golden(
            Peer,
            Down,
            Appended {
                base: Offset(42),
                duplicate: false,
                achieved: ACHIEVED,
                durable_on: vec![KEY],
            },
            "26000000 02 2a0001020122222222222222222222222222222222222222222222222222\
                22222222222222",
        ),
        golden(Peer, Up, AppendStream {}, "01000000 03"),
        golden(Peer, Down, AppendStreamOpened {}, "01000000 03"),
        with_payload(
            Peer,
            Up,
            AppendNext {
                ticket: 1,
                topic: TOPIC,
                epoch: EPOCH,
            },
            b"batch",
            "1a000000 10 011111111111111111111111111111111103ac026261746368",
        ),
        golden(
            Peer,
            Down,
            Members {
                ticket: 1,
                peers: vec![peer("1"), peer("22")],
            },
            "08000000 17 01020131023232",
        ),
        golden(
            Peer,
            Down,
            AppendAck {
                ticket: 1,
                base: Offset(42),
                duplicate: true,
                achieved: ACHIEVED,
            },
            "06000000 10 012a010102",
        ),
        golden(
            Peer,
            Down,
            AppendNack {
                ticket: 1,
                error: error(),
            },
            "07000000 11 011e02026e6f",
        ),
        golden(
            Peer,
            Down,
            PullStarted {
                from: Offset(1),
                start: Offset(1),
                end: Offset(u64::MAX),
                position: Some(POSITION),
            },
            "10000000 04 0101ffffffffffffffffff01012b02",
        ),
        with_payload(
            Peer,
            Down,
            Data {
                slot: 1,
                end: Offset(44),
            },
            b"batch",
            "08000000 18 012c6261746368",
        ),
        golden(Peer, Up, Follow {}, "01000000 05"),
        golden(Peer, Down, FollowOpened {}, "01000000 05"),
        golden(
            Peer,
            Up,
            Add {
                slot: 1,
                topic: TOPIC,
                epoch: EPOCH,
                from: ReadFrom::Start,
                group: group(),
                credit: 1 << 20,
                after: Some(EPOCH),
            },
            "1f000000 12 011111111111111111111111111111111103ac020101678080400103ac02",
        ),
        golden(
            Peer,
            Down,
            Added {
                slot: 1,
                from: Offset(1),
                start: Offset(1),
                end: Offset(44),
                position: None,
            },
            "06000000 12 0101012c00",
        ),
        golden(Peer, Up, Remove { slot: 1 }, "02000000 13 01"),
        golden(
            Peer,
            Up,
            Credit {
                slot: 1,
                bytes: 65_536,
            },
            "05000000 14 01808004",
        ),
        golden(
            Peer,
            Up,
            Ack {
                ends: vec![(1, Offset(44))],
            },
            "04000000 15 01012c",
        ),
        golden(
            Peer,
            Down,
            SlotEnded {
                slot: 1,
                error: error(),
            },
            "07000000 13 011e02026e6f",
        ),
        golden(
            Peer,
            Up,
            Commit {
                topic: TOPIC,
                epoch: EPOCH,
                group: group(),
                position: POSITION,
                reset: false,
            },
            "19000000 06 1111111111111111111111111111111103ac0201672b0200",
        ),
        golden(
            Peer,
            Down,
            Committed { position: POSITION },
            "03000000 06 2b02",
        ),
        golden(
            Peer,
            Up,
            TopicStatus {
                topics: vec![(TOPIC, group())],
            },
            "14000000 07 01111111111111111111111111111111110167",
        ),
        golden(
            Peer,
            Down,
            TopicStatuses {
                topics: vec![
                    None,
                    Some(TopicState {
                        start: Offset(1),
                        end: Offset(44),
                        bytes: 9,
                        last_append: Some(TIME),
                        epoch: EPOCH,
                        position: None,
                        damaged: true,
                    }),
                ],
            },
            "15000000 07 020001012c09018080f2818389850603ac020001",
        ),
        golden(Peer, Up, PeerStatus {}, "01000000 08"),
        golden(
            Peer,
            Down,
            PeerStatusReply {
                version: "0.1.0".into(),
                boot: BOOT,
                storage: STORAGE,
                incarnation: 2,
                started: TIME,
                topics: 3,
                journal_bytes: 4,
                storage_full: false,
                session: true,
            },
            "34000000 08 05302e312e30444444444444444444444444444444445555555555555555\
                5555555555555555028080f2818389850603040001",
        ),
    ];
    let from = [
        (
            ReadFrom::Position(group()),
            "1f000000 04 1111111111111111111111111111111103ac020001678080400af4030167",
        ),
        (
            ReadFrom::Start,
            "1d000000 04 1111111111111111111111111111111103ac02018080400af4030167",
        ),
        (
            ReadFrom::End,
            "1d000000 04 1111111111111111111111111111111103ac02028080400af4030167",
        ),
        (
            ReadFrom::Offset(Offset(7)),
            "1e000000 04 1111111111111111111111111111111103ac0203078080400af4030167",
        ),
        (
            ReadFrom::Last(8),
            "1e000000 04 1111111111111111111111111111111103ac0204088080400af4030167",
        ),
    ];
    list.extend(from.map(|(from, frozen)| golden(Peer, Up, pull(from), frozen)));
    list
}
