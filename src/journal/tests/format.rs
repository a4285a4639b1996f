//! Formats that must never change.

use super::*;
use crate::journal::index::{Place, SegmentIndex};
use crate::journal::record::{HostRanges, Record};
use crate::journal::{footer, names};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn records_are_frozen() {
    let key = PositionKey {
        subscriber: Fingerprint([5; 32]),
        group: Group::new("g").unwrap(),
    };
    let position = Position {
        next: Offset(9),
        sequence: 3,
    };
    let mut with_limits = hosted(0);
    with_limits.settings.retain_bytes = Some(4096);
    let HostedTopic { name, settings, .. } = hosted(0);
    let kept = KeptTopic {
        id: topic(0),
        name,
        settings,
    };
    let range = DedupeRange {
        sequence: 3,
        offset: Offset(5),
        count: 2,
    };
    let table = HostRanges {
        below: Offset(7),
        first: true,
        ranges: vec![(producer(1), range)],
    };
    let id = "01000000000000000000000000000000";
    let cases = [
        (
            Record::Host(with_limits),
            2,
            format!("{id}0100000001001000000000000000000000000000000201020074 30"),
        ),
        (Record::Forget(topic(0)), 3, id.to_owned()),
        (
            Record::Boot(7, BootId([8; 16])),
            4,
            format!("07000000{}", "08".repeat(16)),
        ),
        (
            Record::Position(topic(0), key, position),
            5,
            format!(
                "{id}{}090000000000000003000000000000000167",
                "05".repeat(32)
            ),
        ),
        (
            Record::Trim(topic(0), Offset(300)),
            6,
            format!("{id}2c01000000000000"),
        ),
        (
            Record::AcceptLoss(topic(0), vec![(Offset(2), Offset(5))]),
            7,
            format!("{id}0100000002000000000000000500000000000000"),
        ),
        (Record::Marker(true), 8, "0100000000000000".to_owned()),
        (
            Record::Truncate(topic(0), Offset(9)),
            16,
            format!("{id}09000000000000000000000000000000"),
        ),
        (
            Record::Reset(topic(0), Offset(9)),
            16,
            format!("{id}01000000000000000900000000000000"),
        ),
        (
            Record::Known(kept, EPOCH),
            18,
            format!("{id}01000000010000000000000000000000000000000000000000020102007430"),
        ),
        (
            Record::Dedupe(topic(0), table),
            19,
            format!(
                "{id}07000000000000000101000000{}\
                 030000000000000005000000000000000200000000000000",
                "02000000000000000000000000000000"
            ),
        ),
    ];
    for (record, kind, expected) in cases {
        let mut body = Vec::new();
        record.encode(&mut body);
        assert_eq!(record.kind(), kind);
        assert_eq!(hex(&body), expected.replace(' ', ""), "{record:?}");
        assert_eq!(Record::decode(kind, &body), Ok(record));
        for cut in 0..body.len() {
            assert!(Record::decode(kind, &body[..cut]).is_err());
        }
        body.push(0);
        assert!(Record::decode(kind, &body).is_err());
    }
}

#[test]
fn the_footer_is_frozen() {
    let mut index = SegmentIndex::new(3, 0x1122);
    for (n, at) in [(1u128, 4096u64), (0, 4200)] {
        let place = Place {
            segment: 3,
            position: at,
            bytes: 104,
        };
        index.add(topic(n), Offset(5), Offset(7), place);
    }
    index.end = 4304;
    index.last_group = 6;
    let bytes = footer::encode(&index);
    let golden = include_str!("golden/footer.hex");
    assert_eq!(hex(&bytes), golden.trim());
    let disk = FaultyDisk::new();
    let dir = std::path::Path::new(DIR);
    footer::write(&disk, dir, &index).unwrap();
    let read = footer::Footer::open(&disk, dir, 3).unwrap();
    assert_eq!((read.generation, read.last_group), (0x1122, 6));
    for n in [0, 1] {
        let entries = read.entries(&topic(n)).unwrap().unwrap();
        assert_eq!(entries, index.topics[&topic(n)].entries);
    }
    assert_eq!(read.entries(&topic(2)), Ok(None));
}

#[test]
fn the_checkpoint_is_frozen() {
    use crate::journal::checkpoint::{Head, ListedSegment, Writer, load};
    use crate::journal::segments::Span;
    use crate::journal::table::Table;
    let mut table = Table::default();
    table.apply(&Record::Host(hosted(0)));
    let mut header = crate::wire::batch::read_header(&batch_of(0, 0, 0, &[b"abc"])).unwrap();
    header.base = Offset(1);
    header.epoch = EPOCH;
    header.appended = UnixMicros(77);
    table.apply(&Record::Batch(header));
    let head = Head {
        number: 4,
        storage: StorageId([9; 16]),
        from_segment: 2,
        from_group: 10,
        as_of: 11,
        incarnation: 1,
    };
    let listed = ListedSegment {
        sequence: 1,
        generation: 0x77,
        end: 5000,
        quarantined: false,
    };
    let span = Span {
        segment: 1,
        base: Offset(1),
        end: Offset(2),
        bytes: 136,
    };
    let disk = FaultyDisk::new();
    let dir = std::path::Path::new(DIR);
    let unfinished = names::unfinished(&names::checkpoint(dir, 4));
    let file = disk.create(&unfinished).unwrap();
    let mut writer = Writer::begin(file, &head, &[listed]).unwrap();
    writer.add(topic(0), &table.topics[&topic(0)], 11, [span].iter());
    writer.finish(&disk, dir).unwrap();
    let file = disk.open(&names::checkpoint(dir, 4)).unwrap();
    let (_, bytes) = disk.files().remove(0);
    assert_eq!(hex(&bytes), include_str!("golden/checkpoint.hex").trim());
    let loaded = load(&*file).unwrap();
    assert_eq!((loaded.head, &*loaded.segments), (head, &[listed][..]));
    assert_eq!(loaded.topics[&topic(0)].spans, [span]);
    assert_eq!(loaded.table.end(&topic(0)), Some(Offset(2)));
}

/// The folder that version 1 wrote, as tests/fixtures/journal-v1/README.md tells.
#[test]
fn the_first_version_is_read() {
    let fixture =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal-v1");
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let mut options = options(&FaultyDisk::new());
    options.dir = dir.path().to_owned();
    options.disk = Arc::new(RealDisk);
    let (journal, report) = open_with(options);
    assert!(report.was_clean && report.damage.is_empty(), "{report:?}");
    let checkpoint = (report.checkpoint, report.bad_checkpoints);
    assert_eq!(checkpoint, (Some(1), 0), "{report:?}");
    check_fixture(&journal);
}

fn check_fixture(journal: &Journal) {
    assert_eq!(journal.last_incarnation(), 1);
    let stat = journal.topic(topic(0)).unwrap();
    assert_eq!(
        (stat.start, stat.end, stat.grant),
        (Offset(2), Offset(41), 1)
    );
    let read = read_all(journal, 0).unwrap();
    assert_eq!(read.len(), 39);
    for (offset, body) in read {
        assert_eq!(body, vec![offset as u8; 3_000]);
    }
    assert_eq!(read_all(journal, 1).unwrap(), [(1, b"hello".to_vec())]);
    let key = PositionKey {
        subscriber: Fingerprint([1; 32]),
        group: Group::new("g").unwrap(),
    };
    let position = Position {
        next: Offset(7),
        sequence: 1,
    };
    assert_eq!(journal.position(topic(0), &key), Some(position));
    assert_eq!(journal.topic(topic(2)), None);
}

/// Writes the fixture anew into the folder named by `WAYPOST_FIXTURE`. For a new format version only.
#[test]
fn the_fixture_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let target = std::env::var_os("WAYPOST_FIXTURE");
    let mut options = options(&FaultyDisk::new());
    options.dir = target.map_or_else(|| dir.path().to_owned(), Into::into);
    options.disk = Arc::new(RealDisk);
    let (journal, _) = open_with(options);
    let epoch = boot(&journal);
    for n in 0..3 {
        host(&journal, n);
    }
    for i in 0..40u64 {
        put(&journal, epoch, 0, 0, i, &[&[i as u8 + 1; 3_000]]);
    }
    put(&journal, epoch, 1, 0, 0, &[b"hello"]);
    let key = PositionKey {
        subscriber: Fingerprint([1; 32]),
        group: Group::new("g").unwrap(),
    };
    for command in [
        Command::Trim {
            topic: topic(0),
            start: Offset(2),
        },
        Command::Position {
            topic: topic(0),
            key,
            next: Offset(7),
            sequence: 1,
            reset: false,
        },
        Command::Forget { topic: topic(2) },
    ] {
        journal.submit_blocking(command).unwrap();
    }
    check_fixture(&journal);
    journal.close();
}
