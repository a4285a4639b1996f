//! The session of a hosting peer with the index.

use super::golden::*;
use super::golden::{Direction::*, Protocol::Index};
use super::golden_copies::copies;
use super::golden_index::metadata;
use waypost::types::Offset;
use waypost::wire::index::copies::CopyReport;
use waypost::wire::index::recovery::TellCopies;
use waypost::wire::index::*;

pub fn list() -> Vec<Golden> {
    let mut list = vec![
        golden(
            Index,
            Up,
            SessionOpen {
                boot: BOOT,
                storage: STORAGE,
                incarnation: 3,
                addresses: vec!["0.0.0.0:12347".parse().unwrap()],
                version: "0.1.0".into(),
                keeps_copies: true,
            },
            "31000000 20 444444444444444444444444444444445555555555555555555555555555555503010000000000bb6005302e312e3001",
        ),
        golden(
            Index,
            Down,
            SessionOpened {
                session: SESSION,
                incarnation: 2,
                heartbeat_ms: 300,
                lease_ms: 1_200,
                advertised: vec!["[::1]:65535".parse().unwrap()],
            },
            "2b000000 20 6666666666666666666666666666666602ac02b009010100000000000000\
                000000000000000001ffff03",
        ),
        golden(Index, Up, Heartbeat { serial: 1 }, "02000000 23 01"),
        golden(
            Index,
            Down,
            HeartbeatAck { serial: u64::MAX },
            "0b000000 23 ffffffffffffffffff01",
        ),
        golden(
            Index,
            Up,
            SessionAssignments { session: SESSION },
            "11000000 21 66666666666666666666666666666666",
        ),
        golden(Index, Down, AssignmentsOpened {}, "01000000 21"),
        golden(
            Index,
            Down,
            Assign {
                revision: 1,
                full_list_ends: true,
                assignments: vec![
                    Assignment::Host {
                        topic: TOPIC,
                        name: name(),
                        settings: settings(),
                        copies: copies(),
                    },
                    Assignment::Erase { topic: TOPIC },
                    Assignment::Replicate {
                        topic: TOPIC,
                        name: name(),
                        settings: settings(),
                        copies: copies(),
                    },
                ],
                tell_copies: Some(TellCopies {
                    round: 1,
                    topic: Some(TOPIC),
                }),
            },
            "aa010000 25 0101030011111111111111111111111111111111025431018080400002012222222222222222222222222222222222222222222222222222222222222222030901222222222222222222222222222222222222222222222222222222222222222202222222222222222222222222222222222222222222222222222222222222222277777777777777777777777777777777777777777777777777777777777777770177777777777777777777777777777777777777777777777777777777777777770101111111111111111111111111111111110211111111111111111111111111111111025431018080400002012222222222222222222222222222222222222222222222222222222222222222030901222222222222222222222222222222222222222222222222222222222222222202222222222222222222222222222222222222222222222222222222222222222277777777777777777777777777777777777777777777777777777777777777770177777777777777777777777777777777777777777777777777777777777777770101010111111111111111111111111111111111",
        ),
        golden(
            Index,
            Up,
            Assigned {
                revision: 1,
                refused: vec![(TOPIC, error())],
                known: vec![CopyReport {
                    topic: TOPIC,
                    name: name(),
                    known: EPOCH,
                    own_grant: 2,
                    end: Offset(9),
                    version: 7,
                    settings: settings(),
                    damaged: true,
                }],
            },
            "3a000000 25 0101111111111111111111111111111111111e02026e6f011111111111111111111111111111111102543103ac020209070180804000020101",
        ),
        golden(
            Index,
            Up,
            SessionReports { session: SESSION },
            "11000000 22 66666666666666666666666666666666",
        ),
        golden(Index, Down, ReportsOpened {}, "01000000 22"),
        golden(
            Index,
            Up,
            Report {
                serial: 1,
                topics: vec![(TOPIC, metadata())],
                behind: vec![
                    CopyLag {
                        topic: TOPIC,
                        peer: KEY,
                        messages: Some(300),
                    },
                    CopyLag {
                        topic: TOPIC,
                        peer: KEY,
                        messages: None,
                    },
                ],
            },
            "7f000000 26 010111111111111111111111111111111111018101808001010211111111111111111111111111111111222222222222222222222222222222222222222222222222222222222222222201ac0211111111111111111111111111111111222222222222222222222222222222222222222222222222222222222222222200",
        ),
        golden(Index, Down, ReportAck { serial: 1 }, "02000000 26 01"),
    ];
    let ends = [
        (SessionEnd::Fenced, "02000000 24 00"),
        (SessionEnd::Deregistered, "02000000 24 01"),
        (SessionEnd::ShuttingDown, "02000000 24 02"),
        (SessionEnd::Expired, "02000000 24 03"),
    ];
    list.extend(ends.map(|(end, frozen)| golden(Index, Down, end, frozen)));
    list
}
