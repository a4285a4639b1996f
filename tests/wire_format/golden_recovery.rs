//! Messages of recoveries: what peers hold, and what the operator and owners ask for.

use super::golden::*;
use super::golden::{Direction::*, Protocol::Index};
use waypost::types::Offset;
use waypost::wire::index::copies::CopyReport;
use waypost::wire::index::recovery::*;

pub fn list() -> Vec<Golden> {
    let report = CopyReport {
        topic: TOPIC,
        name: name(),
        known: EPOCH,
        own_grant: 2,
        end: Offset(9),
        version: 7,
        settings: settings(),
        damaged: false,
    };
    let survivor = Survivor {
        peer: peer("1"),
        known: EPOCH,
        end: Offset(9),
        damaged: false,
    };
    vec![
        golden(
            Index,
            Up,
            ReportCopies {
                session: SESSION,
                round: 1,
                copies: vec![report],
                last: true,
            },
            "35000000 27 6666666666666666666666666666666601011111111111111111111111111111111102543103ac02020907018080400002010001",
        ),
        golden(Index, Down, CopiesReported {}, "01000000 27"),
        golden(
            Index,
            Up,
            RecoverTopic {
                name: name(),
                survivor: Some(peer("1")),
            },
            "07000000 35 025431010131",
        ),
        golden(
            Index,
            Down,
            RecoveringTopic {
                topic: TOPIC,
                survivors: vec![survivor],
                host: Some(peer("1")),
                lost: vec![peer("1")],
                reported_end: Some(Offset(12)),
                epoch: Some(EPOCH),
            },
            "25000000 35 1111111111111111111111111111111101013103ac020900010131010131010c0103ac02",
        ),
        golden(
            Index,
            Up,
            RecoverIndex {
                round: Some(1),
                rebuild: true,
                without: vec![peer("1")],
                owner: Some(peer("1")),
            },
            "0a000000 36 010101010131010131",
        ),
        golden(
            Index,
            Down,
            RecoveringIndex {
                round: 1,
                told: vec![peer("1")],
                missing: vec![peer("1")],
                telling: 1,
                behind: 2,
                unknown: 3,
                copied: 4,
                offline: 1,
                taken: vec![name()],
                left: 9,
            },
            "12000000 36 0101013101013101020304010102543109",
        ),
    ]
}
