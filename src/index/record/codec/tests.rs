use super::*;
use crate::wire::index::NoticeKind;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One record of each kind; the fixture of tests/fixtures/store-v1 holds the same.
pub(crate) fn samples() -> Vec<Change> {
    let key = Fingerprint([0xaa; 32]);
    let host = Fingerprint([0xbb; 32]);
    let name = TopicName::new("T1").unwrap();
    let topic = TopicId([0x11; 16]);
    vec![
        Change::PutCounters(Counters {
            passes: 1_024,
            notices: 3,
        }),
        Change::PutPeer(PeerRecord {
            name: PeerName::new("1").unwrap(),
            fingerprint: key,
            version: 2,
            incarnation: 3,
            boot: Some(BootId([1; 16])),
            fenced: vec![BootId([2; 16])],
            storage: Some(StorageId([3; 16])),
            addresses: vec!["10.0.0.4:12347".parse().unwrap()],
            program: "0.1.0".into(),
            registered: UnixMicros(1_000_000),
            observed: "[::1]:5000".parse().unwrap(),
            last_seen: None,
        }),
        Change::PutWaiting(WaitingRecord {
            fingerprint: host,
            name: PeerName::new("2").unwrap(),
            storage: None,
            incarnation: 7,
        }),
        Change::PutTopic(TopicRecord {
            name: name.clone(),
            topic,
            version: 5,
            owner: key,
            host,
            grant: 1,
            in_sync: vec![host],
            replicas: vec![host],
            settings: TopicSettings::default(),
            state: TopicState::Serving,
            lineage: 0,
            created: UnixMicros(2_000_000),
        }),
        Change::PutSubscription(SubscriptionRecord {
            peer: key,
            name: name.clone(),
            group: Group::new("g").unwrap(),
            topic,
            since: UnixMicros(3_000_000),
        }),
        Change::PutNotice {
            peer: key,
            notice: Notice {
                serial: 3,
                at: UnixMicros(4_000_000),
                what: NoticeKind::TopicDeleted {
                    name,
                    topic: TopicId([0x22; 16]),
                    by: PeerName::new("1").ok(),
                },
            },
        },
        Change::PutErasure {
            host,
            topic: TopicId([0x22; 16]),
        },
        Change::PutReport {
            topic,
            metadata: TopicMetadata {
                start: 1,
                end: 43,
                bytes: 4_096,
                last_append: UnixMicros(5_000_000),
            },
        },
    ]
}

#[test]
fn records_read_back() {
    for change in samples() {
        let entry = change.entry();
        let value = entry.value.unwrap();
        assert_eq!(
            Change::read(entry.table, &entry.key, &value),
            Ok(Some(change))
        );
    }
}

/// These bytes lie on disks. A change here is a new form byte, and the old form is still read.
#[test]
fn bytes_of_form_1_never_change() {
    let golden = [
        ("636f756e74657273", "01800803"),
        (
            "31",
            "010200000000000000{aa}0301010101010101010101010101010101010102020202020202020202020202020202010303030303030303030303030303030301000a000004bb6005302e312e3080897a0100000000000000000000000000000001882700",
        ),
        ("{bb}", "0101320007"),
        (
            "5431",
            "020500000000000000{id}{aa}{bb}0101{bb}000000020100008092f401",
        ),
        ("{aa}54310067", "01{id}809bee02"),
        (
            "{aa}0000000000000003",
            "010380a4e8030002543122222222222222222222222222222222010131",
        ),
        ("{bb}22222222222222222222222222222222", "01"),
        ("{id}", "01012b802080ade204"),
    ];
    let golden = golden.map(|(key, value)| {
        let fill = |text: &str| {
            let text = text
                .replace("{aa}", &"aa".repeat(32))
                .replace("{bb}", &"bb".repeat(32));
            text.replace("{id}", &"11".repeat(16))
        };
        (fill(key), fill(value))
    });
    let found: Vec<(String, String)> = samples()
        .iter()
        .map(|change| {
            let entry = change.entry();
            (hex(&entry.key), hex(&entry.value.unwrap()))
        })
        .collect();
    assert_eq!(found, golden);
}

#[test]
fn odd_bytes_say_what_is_wrong() {
    let entry = samples()[3].entry();
    let value = entry.value.unwrap();
    let read = |value: &[u8]| {
        Change::read(Table::Topics, b"T1", value)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        read(&[9]),
        "a record of table topics has form 9, which this program does not know; use the version of waypost that wrote it"
    );
    assert_eq!(read(&[]), "a record of table topics is cut short");
    assert_eq!(read(&value[..5]), "a record of table topics is cut short");
    assert_eq!(
        read(&value[..20]),
        "a record of table topics does not decode"
    );
    let bad_key = Change::read(Table::Topics, b"a b", &value).unwrap_err();
    assert_eq!(bad_key.to_string(), "a key of table topics is malformed");
    assert_eq!(version_of(&value), Some(5));
}

#[test]
fn subscriptions_sort_by_peer_topic_and_group() {
    let key = |peer: u8, name: &str, group: &str| {
        let group = Group::new(group).unwrap();
        subscription_key(
            Fingerprint([peer; 32]),
            &TopicName::new(name).unwrap(),
            &group,
        )
    };
    let mut keys = vec![
        key(2, "a", ""),
        key(1, "b", ""),
        key(1, "a-", ""),
        key(1, "a", "x"),
        key(1, "a", ""),
    ];
    keys.sort();
    let sorted = [
        key(1, "a", ""),
        key(1, "a", "x"),
        key(1, "a-", ""),
        key(1, "b", ""),
        key(2, "a", ""),
    ];
    assert_eq!(keys, sorted);
}
