//! Requests and replies of the index protocol.

use std::sync::Arc;

use super::golden::*;
use super::golden::{Direction::*, Protocol::Index};
use waypost::wire::ErrorReply;
use waypost::wire::index::*;
use waypost::wire::pass::{PassBody, SignedPass};

pub fn body() -> PassBody {
    PassBody {
        fingerprint: KEY,
        name: peer("1"),
        serial: 7,
        issued: TIME,
        expires: BEFORE,
    }
}

pub fn pass() -> SignedPass {
    SignedPass {
        body: vec![1, 2],
        issuer: vec![3],
        signature: vec![4, 5, 6],
    }
}

pub fn host() -> HostAddress {
    HostAddress {
        fingerprint: KEY,
        name: peer("1"),
        addresses: vec![
            "127.0.0.1:12347".parse().unwrap(),
            "[::1]:1".parse().unwrap(),
        ],
        live: true,
    }
}

fn route() -> Route {
    Route {
        topic: TOPIC,
        epoch: EPOCH,
        host: Arc::new(HostAddress {
            addresses: vec![],
            live: false,
            ..host()
        }),
    }
}

fn reported() -> ReportedTopic {
    ReportedTopic {
        metadata: metadata(),
        age_ms: Some(1_000),
    }
}

pub fn metadata() -> TopicMetadata {
    TopicMetadata {
        start: 1,
        end: 129,
        bytes: 16_384,
        last_append: BEFORE,
    }
}

fn info() -> TopicInfo {
    TopicInfo {
        name: name(),
        topic: TOPIC,
        owner: Some(peer("1")),
        host: None,
        host_live: false,
        epoch: EPOCH,
        version: 5,
        settings: settings(),
        phase: TopicPhase::Offline,
        replicas: 2,
        in_sync: 1,
        in_sync_live: 0,
        reported: Some(reported()),
        largest_lag: 300,
    }
}

fn peer_info() -> PeerInfo {
    PeerInfo {
        name: peer("1"),
        fingerprint: KEY,
        live: true,
        addresses: vec!["10.0.0.4:80".parse().unwrap()],
        version: "0.1.0".into(),
        registered: TIME,
        last_seen: None,
        incarnation: 2,
        hosted: 3,
        copies: 6,
        keeps_copies: true,
        owned: 4,
        subscriptions: 5,
        behind: 2,
        largest_lag: 300,
    }
}

pub fn list() -> Vec<Golden> {
    vec![
        golden(
            Index,
            Up,
            Register {
                name: peer("1"),
                version: "0.1.0".into(),
            },
            "09000000 01 013105302e312e30",
        ),
        golden(
            Index,
            Down,
            Registered {
                new: true,
                pass: pass(),
                observed: "10.0.0.4:8088".parse().unwrap(),
                notices: 200,
            },
            "14000000 01 01020102010303040506000a000004983fc801",
        ),
        golden(Index, Up, Lookup { name: name() }, "04000000 02 025431"),
        golden(
            Index,
            Down,
            Route {
                host: host().into(),
                ..route()
            },
            "51000000 02 1111111111111111111111111111111103ac022222222222222222222222\
                222222222222222222222222222222222222222222013102007f000001bb600100000000\
                0000000000000000000000010101",
        ),
        golden(
            Index,
            Up,
            LookupMany {
                names: vec![name(), "a/b".parse().unwrap()],
            },
            "09000000 03 0202543103612f62",
        ),
        golden(
            Index,
            Down,
            Routes {
                hosts: vec![host().into()],
                routes: vec![
                    None,
                    Some(CompactRoute {
                        topic: TOPIC,
                        epoch: EPOCH,
                        host: 0,
                    }),
                ],
            },
            "56000000 03 012222222222222222222222222222222222222222222222222222222222\
                222222013102007f000001bb600100000000000000000000000000000001010102000111\
                11111111111111111111111111111103ac0200",
        ),
        golden(
            Index,
            Up,
            CreateTopics {
                topics: vec![NewTopic {
                    name: name(),
                    settings: settings(),
                }],
                host: Some(peer("2")),
            },
            "0f000000 04 0102543101808040000201010132",
        ),
        golden(
            Index,
            Down,
            CreatedTopics {
                host: None,
                outcomes: vec![
                    CreateOutcome::Created {
                        topic: TOPIC,
                        epoch: EPOCH,
                    },
                    CreateOutcome::Exists {
                        owner: Some(peer("1")),
                    },
                    CreateOutcome::Refused(error()),
                ],
            },
            "21000000 04 0003001111111111111111111111111111111103ac0201010131021e0202\
                6e6f",
        ),
        golden(
            Index,
            Up,
            DeleteTopic {
                name: name(),
                topic: Some(TOPIC),
            },
            "15000000 05 0254310111111111111111111111111111111111",
        ),
        golden(
            Index,
            Down,
            DeletedTopic {
                topic: TOPIC,
                subscribers: 2,
            },
            "12000000 05 1111111111111111111111111111111102",
        ),
        golden(
            Index,
            Up,
            SetTopic {
                name: name(),
                version: 9,
                settings: settings(),
            },
            "0c000000 06 0254310901808040000201",
        ),
        golden(Index, Down, SetTopicDone { version: 10 }, "02000000 06 0a"),
        golden(
            Index,
            Up,
            ListTopics {
                prefix: "T".into(),
                owner: Some(peer("1")),
                host: None,
                after: Some(name()),
                limit: 1_000,
            },
            "0d000000 07 01540101310001025431e807",
        ),
        golden(
            Index,
            Down,
            TopicPage {
                topics: vec![info()],
                next: Some(name()),
            },
            "3a000000 07 0102543111111111111111111111111111111111010131000003ac02050180804000020102020100010181018080010101e807ac0201025431",
        ),
        golden(Index, Up, ShowTopic { name: name() }, "04000000 08 025431"),
        golden(
            Index,
            Down,
            ShownTopic {
                info: TopicInfo {
                    reported: None,
                    ..info()
                },
                host: None,
                in_sync: vec![peer("1")],
                replicas: vec![peer("1"), peer("2")],
                handing_to: Some(peer("2")),
                held: Some(copies::HeldInfo {
                    messages: 3,
                    bytes: 4,
                    since: TIME,
                }),
                subscribers: vec![peer("2")],
                subscriber_count: 1,
                behind: vec![BehindCopy {
                    peer: peer("2"),
                    messages: Some(300),
                    behind_ms: None,
                }],
            },
            "4d000000 08 02543111111111111111111111111111111111010131000003ac0205018080400002010202010000ac020001013102013101320101320103048080f281838985060101320101013201ac0200",
        ),
        golden(
            Index,
            Up,
            Subscribe {
                name: name(),
                group: group(),
            },
            "06000000 09 0254310167",
        ),
        golden(
            Index,
            Down,
            Subscribed {
                new: true,
                route: route(),
            },
            "39000000 09 011111111111111111111111111111111103ac0222222222222222222222\
                2222222222222222222222222222222222222222222201310000",
        ),
        golden(
            Index,
            Up,
            Unsubscribe {
                name: name(),
                group: group(),
            },
            "06000000 0a 0254310167",
        ),
        golden(Index, Down, Unsubscribed {}, "01000000 0a"),
        golden(
            Index,
            Up,
            ListSubscriptions {
                after: Some((name(), group())),
                limit: 10,
            },
            "08000000 0b 0102543101670a",
        ),
        golden(
            Index,
            Down,
            SubscriptionPage {
                subscriptions: vec![SubscriptionInfo {
                    name: name(),
                    group: group(),
                    since: TIME,
                    route: route(),
                    reported: None,
                }],
                more: false,
                notices: vec![Notice {
                    serial: 1,
                    at: TIME,
                    what: NoticeKind::TopicDeleted {
                        name: name(),
                        topic: TOPIC,
                        by: None,
                    },
                }],
            },
            "67000000 0b 0102543101678080f2818389850611111111111111111111111111111111\
                03ac02222222222222222222222222222222222222222222222222222222222222222201\
                310000000001018080f28183898506000254311111111111111111111111111111111100",
        ),
        golden(Index, Up, ClearNotices { serial: 1 }, "02000000 0c 01"),
        golden(Index, Down, NoticesCleared {}, "01000000 0c"),
        golden(
            Index,
            Up,
            ListPeers {
                after: None,
                limit: 5,
            },
            "03000000 0d 0005",
        ),
        golden(
            Index,
            Down,
            PeerPage {
                peers: vec![peer_info()],
                more: true,
            },
            "45000000 0d 01013122222222222222222222222222222222222222222222222222222222222222220101000a0000045005302e312e308080f281838985060002030601040502ac0201",
        ),
        golden(Index, Up, ShowPeer { name: peer("1") }, "03000000 0e 0131"),
        golden(
            Index,
            Down,
            ShownPeer { info: peer_info() },
            "43000000 0e 013122222222222222222222222222222222222222222222222222222222222222220101000a0000045005302e312e308080f281838985060002030601040502ac02",
        ),
        golden(
            Index,
            Up,
            Deregister {
                delete_hosted: 3,
                discard: false,
            },
            "03000000 10 0300",
        ),
        golden(
            Index,
            Down,
            Deregistered {
                deleted: 3,
                left: 1,
            },
            "03000000 10 0301",
        ),
        golden(
            Index,
            Up,
            Forget {
                name: peer("1"),
                keep_topics: true,
            },
            "04000000 11 013101",
        ),
        golden(
            Index,
            Down,
            Forgotten {
                deleted: 1,
                kept: 2,
            },
            "03000000 11 0102",
        ),
        golden(Index, Up, IndexStatus {}, "01000000 12"),
        golden(
            Index,
            Down,
            IndexStatusReply {
                version: "0.1.0".into(),
                started: TIME,
                peers: 1,
                live: 2,
                topics: 3,
                subscriptions: 4,
                under_replicated: 5,
                offline: 6,
                behind: 7,
                held: 8,
                held_topics: 10,
                copies_behind: 9,
                largest_lag: 300,
            },
            "1b000000 12 05302e312e308080f2818389850601020304050607080a09ac02",
        ),
        golden(
            Index,
            Down,
            ErrorReply {
                code: 31,
                retry: waypost::wire::Retry::FreshRoute,
                detail: "stale".into(),
            },
            "09000000 ff 1f02057374616c65",
        ),
    ]
}
