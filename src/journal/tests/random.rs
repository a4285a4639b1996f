//! Random runs and random bytes, against a simple model of what was acknowledged.

use proptest::prelude::*;

use super::faults::{Model, check};
use super::rewriting::{by_hand, rewrite_now, try_rewriting};
use super::*;

/// What a random run does.
#[derive(Debug, Clone)]
enum Act {
    Append(u128, usize, usize),
    Position(u128, u64),
    Forget(u128),
    Trim(u128, u64),
    Rewrite,
    Crash(u64),
    /// The process is killed some steps into a rewriting.
    CrashRewriting(u64, u64),
    Close,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => (0..3u128, 1..4usize, 0..6_000usize).prop_map(|(n, c, b)| Act::Append(n, c, b)),
        4 => (0..3u128, 0..60u64).prop_map(|(n, o)| Act::Position(n, o)),
        1 => (0..3u128).prop_map(Act::Forget),
        2 => (0..3u128, 0..60u64).prop_map(|(n, o)| Act::Trim(n, o)),
        2 => Just(Act::Rewrite),
        2 => any::<u64>().prop_map(Act::Crash),
        2 => (0..16u64, any::<u64>()).prop_map(|(n, s)| Act::CrashRewriting(n, s)),
        1 => Just(Act::Close),
    ]
}

/// The state that was acknowledged.
#[derive(Debug, Clone, Default)]
struct Expected {
    start: u64,
    bodies: Vec<Vec<u8>>,
    position: Option<Position>,
    sequence: u64,
    life: u128,
}

fn agree(journal: &Journal, topics: &[Expected; 3]) {
    let key = PositionKey {
        subscriber: Fingerprint([1; 32]),
        group: Group::default(),
    };
    for (n, expected) in topics.iter().enumerate() {
        let n = n as u128;
        let stat = journal.topic(topic(n)).expect("hosted");
        assert_eq!(stat.end.0, expected.bodies.len() as u64 + 1);
        assert_eq!(stat.start.0, expected.start.max(1));
        assert_eq!(journal.position(topic(n), &key), expected.position);
        let mut read = read_all(journal, n).expect("readable");
        read.retain(|(offset, _)| *offset >= stat.start.0);
        let wanted = expected
            .bodies
            .iter()
            .enumerate()
            .skip(stat.start.0 as usize - 1);
        let wanted: Vec<_> = wanted.map(|(i, b)| (i as u64 + 1, b.clone())).collect();
        assert_eq!(read, wanted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, what was acknowledged is there, in order, once.
    #[test]
    fn acknowledged_survives(acts in prop::collection::vec(act(), 1..120)) {
        let mut disk = FaultyDisk::new();
        let mut journal = open_with(by_hand(&disk)).0;
        let mut epoch = boot(&journal);
        let mut topics: [Expected; 3] = Default::default();
        for n in 0..3 {
            host(&journal, n);
        }
        let mut commit = 0;
        for act in acts {
            match act {
                Act::Append(n, count, size) => {
                    let topic = &mut topics[n as usize];
                    let fill = topic.bodies.len() as u8;
                    let body = vec![fill; size];
                    let by = n + 3 * topic.life;
                    let sequence = topic.sequence;
                    let outcome = put(&journal, epoch, n, by, sequence, &vec![&*body; count]);
                    prop_assert_eq!(base(outcome).0, topic.bodies.len() as u64 + 1);
                    topic.sequence += count as u64;
                    topic.bodies.extend(std::iter::repeat_n(body, count));
                }
                Act::Position(n, next) => {
                    commit += 1;
                    let key = PositionKey { subscriber: Fingerprint([1; 32]), group: Group::default() };
                    let command = Command::Position {
                        topic: topic(n), key, next: Offset(next), sequence: commit, reset: true,
                    };
                    match journal.submit_blocking(command).unwrap() {
                        Outcome::Position(position) => topics[n as usize].position = Some(position),
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                Act::Forget(n) => {
                    journal.submit_blocking(Command::Forget { topic: topic(n) }).unwrap();
                    host(&journal, n);
                    let life = topics[n as usize].life + 1;
                    topics[n as usize] = Expected { life, ..Expected::default() };
                }
                Act::Trim(n, start) => {
                    let command = Command::Trim { topic: topic(n), start: Offset(start) };
                    journal.submit_blocking(command).unwrap();
                    let expected = &mut topics[n as usize];
                    let start = start.min(expected.bodies.len() as u64 + 1);
                    expected.start = expected.start.max(start);
                }
                Act::Rewrite => {
                    rewrite_now(&journal);
                    agree(&journal, &topics);
                }
                Act::Crash(seed) | Act::CrashRewriting(_, seed) => {
                    if let Act::CrashRewriting(steps, _) = act {
                        disk.fail_changes_after(steps);
                        // Fails at that step, if there is anything to rewrite.
                        let _ = try_rewriting(&journal);
                    }
                    let crash = match seed % 4 {
                        0 => Crash::LosesUnsynced,
                        1 => Crash::KeepsAll,
                        _ => Crash::TearsUnsynced(seed),
                    };
                    let after = disk.crash(crash);
                    journal.close();
                    disk = after;
                    let (opened, report) = open_with(by_hand(&disk));
                    prop_assert_eq!(report.damage, vec![]);
                    journal = opened;
                    agree(&journal, &topics);
                    epoch = boot(&journal);
                }
                Act::Close => {
                    journal.close();
                    let (opened, report) = open_with(by_hand(&disk));
                    prop_assert!(report.was_clean && report.damage.is_empty(), "{:?}", report);
                    journal = opened;
                    epoch = boot(&journal);
                }
            }
        }
        agree(&journal, &topics);
    }

    /// Bits may flip anywhere, several at once: nothing wrong is served.
    #[test]
    fn flips_are_never_served(flips in prop::collection::vec((0..3usize, any::<prop::sample::Index>(), 1..=255u8), 1..6)) {
        let disk = FaultyDisk::new();
        let journal = open(&disk);
        let epoch = boot(&journal);
        let mut model = Model::new();
        for n in 0..3 {
            host(&journal, n);
        }
        for i in 0..150u64 {
            let n = u128::from(i % 3);
            let body = vec![i as u8; 900];
            let at = base(put(&journal, epoch, n, 0, i / 3, &[&body]));
            model.insert((n, at.0), body);
        }
        journal.close();
        let files: Vec<_> = disk.files().into_iter().filter(|(_, bytes)| bytes.len() > 64).collect();
        for (file, at, mask) in flips {
            let (path, bytes) = &files[file % files.len()];
            disk.flip(path, at.index(bytes.len()), mask);
        }
        check(&disk, &model, true);
    }

    /// Noise where segments should be never panics.
    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..9_000)) {
        crate::journal::fuzz_recover(&bytes);
    }

    /// Nor do entries that are sound and make no sense.
    #[test]
    fn nonsense_never_panics(
        entries in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)), 0..60)
    ) {
        let mut bytes = Vec::new();
        for (op, body) in entries {
            // Mostly batches, hosts and their like, whole groups.
            bytes.extend_from_slice(&[op & 0x39 | 0x10, body.len() as u8]);
            bytes.extend_from_slice(&body);
        }
        crate::journal::fuzz_recover(&bytes);
    }

    /// The same for entries that could be: a topic, batches with odd offsets, trims, cuts, tombstones.
    #[test]
    fn odd_logs_never_panic(
        entries in prop::collection::vec((0..12u8, 0..2u8, any::<u8>(), any::<u8>(), 0..12u8), 0..80)
    ) {
        let mut bytes = Vec::new();
        for (what, n, a, b, group) in entries {
            let mut id = [0; 16];
            id[0] = n;
            let number = u64::from(a) << (b % 60);
            let trim = [&id[..], &number.to_le_bytes()].concat();
            let position = [&id[..], &[1; 32], &number.to_le_bytes(), &[b; 8], &[0]].concat();
            let lost = [&id[..], &[1, 0, 0, 0], &number.to_le_bytes(), &[b; 8]].concat();
            let (kind, body) = match what {
                0 => (3, id.to_vec()),
                1 => (6, trim),
                2 => (5, position),
                3 => (7, lost),
                4 => (13, [&trim[..], &[0; 8]].concat()),
                5 => (13, [&id[..], &[1, 0, 0, 0, 0, 0, 0, 0], &number.to_le_bytes()].concat()),
                6 => (14, known(&id, a)),
                7 => (15, [&trim[..], &[b & 1, 1, 0, 0, 0], &id, &[a; 16], &number.to_le_bytes()].concat()),
                _ => (1, vec![a, b, n, a, b % 5, b, a, 0, 0]),
            };
            let flags = if group == 0 { 0x20 } else { 0x10 };
            bytes.extend_from_slice(&[kind | flags, body.len() as u8]);
            bytes.extend_from_slice(&body);
        }
        crate::journal::fuzz_recover(&bytes);
    }
}

/// The body of an entry that makes this peer keep a copy.
fn known(id: &[u8; 16], incarnation: u8) -> Vec<u8> {
    let epoch = [incarnation, 0, 0, 0, 1, 0, 0, 0];
    let settings = [0; 19];
    [&id[..], &epoch, &settings, &[1, 0], b"t"].concat()
}
