//! Frames of replicas on their streams to hosts.

use super::golden::*;
use super::golden::{Direction::*, Protocol::Peer};
use waypost::types::{Epoch, Offset, ProducerId};
use waypost::wire::peer::replication::*;

const EARLIER: Epoch = Epoch {
    grant: 2,
    incarnation: 9,
};

pub fn list() -> Vec<Golden> {
    let join = |last| ReplicaJoin {
        slot: 5,
        topic: TOPIC,
        known: EPOCH,
        last,
        end: Offset(42),
    };
    let joined = |common| ReplicaJoined {
        slot: 5,
        epoch: EPOCH,
        common,
        start: Offset(1),
        high_watermark: Offset(40),
    };
    let position = ReplicatedPosition {
        subscriber: KEY,
        group: group(),
        next: Offset(43),
        sequence: 2,
    };
    let range = ReplicatedRange {
        producer: ProducerId([0x33; 16]),
        sequence: 7,
        offset: Offset(42),
        count: 300,
    };
    vec![
        golden(Peer, Up, Replicate { incarnation: 300 }, "03000000 09 ac02"),
        golden(Peer, Down, ReplicateOpened {}, "01000000 09"),
        golden(
            Peer,
            Up,
            join(None),
            "17000000 1b 051111111111111111111111111111111103ac02002a",
        ),
        golden(
            Peer,
            Up,
            join(Some(EARLIER)),
            "19000000 1b 051111111111111111111111111111111103ac020102092a",
        ),
        golden(Peer, Down, joined(None), "08000000 1b 0503ac02000128"),
        golden(
            Peer,
            Down,
            joined(Some((EARLIER, Offset(41)))),
            "0b000000 1b 0503ac02010209290128",
        ),
        golden(
            Peer,
            Up,
            PositionsAck {
                revisions: vec![(5, 300)],
            },
            "05000000 1c 0105ac02",
        ),
        golden(
            Peer,
            Down,
            Positions {
                slot: 5,
                revision: 300,
                more: false,
                positions: vec![position],
            },
            "2a000000 19 05ac020001222222222222222222222222222222222222222222222222222222\
                222222222201672b02",
        ),
        golden(
            Peer,
            Down,
            HighWatermark {
                moved: vec![(5, Offset(300), Offset(1))],
            },
            "06000000 1a 0105ac0201",
        ),
        golden(
            Peer,
            Up,
            ReplicaLeave {
                slot: 5,
                known: EPOCH,
            },
            "05000000 1d 0503ac02",
        ),
        golden(
            Peer,
            Up,
            FetchDedupe {
                topic: TOPIC,
                epoch: EPOCH,
                below: Offset(42),
            },
            "15000000 0a 1111111111111111111111111111111103ac022a",
        ),
        golden(
            Peer,
            Down,
            DedupeTable {
                ranges: vec![range],
                more: true,
            },
            "17000000 0a 0133333333333333333333333333333333072aac0201",
        ),
    ]
}
