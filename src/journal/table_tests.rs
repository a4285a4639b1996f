//! The table by its exact effects.

use super::*;
use crate::journal::command::Appended;
use crate::journal::testing::{EPOCH, append, batch_of, hosted, producer, topic};
use crate::types::ProducerId;

const NOW: UnixMicros = UnixMicros(1_000_000_000);

fn key() -> PositionKey {
    PositionKey {
        subscriber: Fingerprint([3; 32]),
        group: Group::default(),
    }
}

fn position(next: u64, sequence: u64, reset: bool) -> Command {
    Command::Position {
        topic: topic(0),
        key: key(),
        next: Offset(next),
        sequence,
        reset,
    }
}

/// Decides and applies.
fn step(table: &mut Table, command: &Command) -> Outcome {
    step_at(table, command, NOW)
}

fn step_at(table: &mut Table, command: &Command, wall: UnixMicros) -> Outcome {
    match table.decide(command, wall) {
        Decision::Answer(outcome) => outcome,
        Decision::Write(record, outcome) => {
            table.apply(&record);
            outcome
        }
        Decision::WriteAll(records, outcome) => {
            for record in records {
                table.apply(&record);
            }
            outcome
        }
    }
}

fn booted() -> Table {
    let mut table = Table::default();
    let boot = Command::Boot {
        incarnation: 1,
        boot: BootId([1; 16]),
    };
    assert_eq!(step(&mut table, &boot), Outcome::Done);
    assert_eq!(step(&mut table, &Command::Host(hosted(0))), Outcome::Done);
    table
}

fn appended(base: u64, count: u32, duplicate: bool) -> Outcome {
    Outcome::Appended(Appended {
        topic: hosted(0).id,
        base: Offset(base),
        count,
        epoch: EPOCH,
        duplicate,
    })
}

#[test]
fn nothing_is_appended_before_the_boot_of_this_process() {
    let mut table = booted();
    table.begin_life();
    let refused = Outcome::Refused(Refusal::NotBooted);
    assert_eq!(step(&mut table, &append(0, 0, 0, &[b"a"])), refused);
    let boot = |incarnation| Command::Boot {
        incarnation,
        boot: BootId([2; 16]),
    };
    let stale = Refusal::StaleBoot { known: 1, found: 1 };
    assert_eq!(step(&mut table, &boot(1)), Outcome::Refused(stale));
    assert_eq!(step(&mut table, &boot(2)), Outcome::Done);
    // Never lowered, and a reconnect writes nothing.
    assert_eq!(table.decide(&boot(1), NOW), Decision::Answer(Outcome::Done));
    let current = Epoch {
        grant: 1,
        incarnation: 2,
    };
    assert_eq!(table.epoch_of(&table.topics[&topic(0)]), Some(current));
    assert_eq!(
        step(&mut table, &append(0, 0, 0, &[b"a"])),
        Outcome::Refused(Refusal::StaleEpoch { current })
    );
}

#[test]
fn an_append_gets_offset_epoch_and_a_time_that_never_falls() {
    let mut table = booted();
    let batch = append(0, 0, 0, &[b"a", b"b"]);
    let Decision::Write(Record::Batch(header), outcome) = table.decide(&batch, NOW) else {
        panic!("not written");
    };
    assert_eq!(outcome, appended(1, 2, false));
    assert_eq!((header.base, header.epoch), (Offset(1), EPOCH));
    assert_eq!(header.appended, NOW);
    table.apply(&Record::Batch(header));
    let earlier = UnixMicros(NOW.0 - 5);
    let next = append(0, 0, 2, &[b"c"]);
    let Decision::Write(Record::Batch(header), _) = table.decide(&next, earlier) else {
        panic!("not written");
    };
    assert_eq!((header.base, header.appended), (Offset(3), NOW));
}

#[test]
fn duplicates_gaps_and_strangers_are_told_apart() {
    let mut table = booted();
    assert_eq!(
        step(&mut table, &append(0, 0, 0, &[b"a", b"b"])),
        appended(1, 2, false)
    );
    assert_eq!(
        step(&mut table, &append(0, 1, 0, &[b"x"])),
        appended(3, 1, false)
    );
    assert_eq!(
        step(&mut table, &append(0, 0, 2, &[b"c"])),
        appended(4, 1, false)
    );
    assert_eq!(
        step(&mut table, &append(0, 0, 0, &[b"a", b"b"])),
        appended(1, 2, true)
    );
    assert_eq!(
        step(&mut table, &append(0, 0, 1, &[b"b", b"c"])),
        appended(2, 2, true)
    );
    assert_eq!(
        step(&mut table, &append(0, 0, 4, &[b"e"])),
        Outcome::Refused(Refusal::SequenceGap {
            expected: 3,
            found: 4
        })
    );
    assert_eq!(
        step(&mut table, &append(0, 2, 1, &[b"e"])),
        Outcome::Refused(Refusal::UnknownProducer)
    );
}

#[test]
fn a_batch_for_another_topic_and_noise_are_refused() {
    let mut table = booted();
    let mut command = append(0, 0, 0, &[b"a"]);
    if let Command::Append { batch, .. } = &mut command {
        *batch = batch_of(1, 0, 0, &[b"a"]);
    }
    assert_eq!(
        step(&mut table, &command),
        Outcome::Refused(Refusal::WrongTopic {
            expected: topic(0),
            found: topic(1)
        })
    );
    if let Command::Append { batch, .. } = &mut command {
        *batch = bytes::Bytes::from_static(&[1; 200]);
    }
    assert!(matches!(
        step(&mut table, &command),
        Outcome::Refused(Refusal::Corrupt(_))
    ));
    assert_eq!(
        step(&mut table, &append(9, 0, 0, &[b"a"])),
        Outcome::Refused(Refusal::UnknownTopic)
    );
}

#[test]
fn a_grant_never_falls_and_an_equal_host_writes_nothing() {
    let mut table = booted();
    let mut higher = hosted(0);
    higher.grant = 5;
    assert_eq!(
        step(&mut table, &Command::Host(higher.clone())),
        Outcome::Done
    );
    assert_eq!(table.epoch_of(&table.topics[&topic(0)]).unwrap().grant, 5);
    let lower = Refusal::LowerGrant {
        known: Epoch {
            grant: 5,
            incarnation: 1,
        },
    };
    for (stale, outcome) in [
        (hosted(0), Outcome::Refused(lower)),
        (higher, Outcome::Done),
    ] {
        assert_eq!(
            table.decide(&Command::Host(stale), NOW),
            Decision::Answer(outcome)
        );
    }
}

#[test]
fn positions_go_by_commit_sequence_and_never_back_without_reset() {
    let mut table = booted();
    step(&mut table, &append(0, 0, 0, &[b"a", b"b", b"c"]));
    let at = |next, sequence| {
        Outcome::Position(Position {
            next: Offset(next),
            sequence,
        })
    };
    assert_eq!(step(&mut table, &position(3, 5, false)), at(3, 5));
    assert_eq!(
        step(&mut table, &position(4, 5, false)),
        at(3, 5),
        "same sequence"
    );
    assert_eq!(step(&mut table, &position(4, 4, true)), at(3, 5), "older");
    assert_eq!(step(&mut table, &position(2, 6, false)), at(3, 6), "back");
    assert_eq!(step(&mut table, &position(2, 7, true)), at(2, 7), "reset");
    assert_eq!(
        step(&mut table, &position(99, 8, false)),
        at(4, 8),
        "clamped"
    );
    step(
        &mut table,
        &Command::Trim {
            topic: topic(0),
            start: Offset(3),
        },
    );
    assert_eq!(step(&mut table, &position(1, 9, true)), at(3, 9), "clamped");
}

#[test]
fn forgetting_takes_everything() {
    let mut table = booted();
    step(&mut table, &append(0, 0, 0, &[b"a"]));
    step(&mut table, &position(2, 1, false));
    let forget = Command::Forget { topic: topic(0) };
    assert_eq!(step(&mut table, &forget), Outcome::Done);
    assert_eq!(table.decide(&forget, NOW), Decision::Answer(Outcome::Done));
    step(&mut table, &Command::Host(hosted(0)));
    assert_eq!(
        step(&mut table, &append(0, 0, 0, &[b"a"])),
        appended(1, 1, false)
    );
    assert_eq!(
        step(&mut table, &position(1, 1, false)),
        Outcome::Position(Position {
            next: Offset(1),
            sequence: 1
        })
    );
}

#[test]
fn a_subscriber_has_a_bounded_number_of_positions_in_a_topic() {
    let mut table = booted();
    let commit = |subscriber: u8, group: usize, sequence| Command::Position {
        topic: topic(0),
        key: PositionKey {
            subscriber: Fingerprint([subscriber; 32]),
            group: Group::new(&format!("g{group}")).unwrap(),
        },
        next: Offset(1),
        sequence,
        reset: false,
    };
    let max = limits::GROUPS_PER_SUBSCRIBER;
    let taken = |outcome| matches!(outcome, Outcome::Position(_));
    assert!((0..max).all(|group| taken(step(&mut table, &commit(3, group, 1)))));
    assert_eq!(
        step(&mut table, &commit(3, max, 1)),
        Outcome::Refused(Refusal::TooManyGroups { max })
    );
    assert!(
        taken(step(&mut table, &commit(3, 0, 2))),
        "a known one moves"
    );
    assert!(taken(step(&mut table, &commit(4, max, 1))), "others may");
}

fn retained(bytes: Option<u64>, age_ms: Option<u64>) -> Table {
    let mut table = booted();
    let mut topic = hosted(0);
    topic.settings.retain_bytes = bytes;
    topic.settings.retain_age_ms = age_ms;
    step(&mut table, &Command::Host(topic));
    table
}

/// All is committed.
fn all(_: &TopicId) -> Offset {
    Offset(u64::MAX)
}

#[test]
fn what_other_copies_may_still_need_is_not_trimmed() {
    let at = |ms: i64| UnixMicros(NOW.0 + ms * 1_000);
    for (bytes, age) in [(Some(1), None), (None, Some(1_000))] {
        let mut table = retained(bytes, age);
        for i in 0..4 {
            step_at(&mut table, &append(0, 0, i, &[b"a"]), at(500 * i as i64));
        }
        let trims = |table: &mut Table, committed: Offset| match age {
            None => table
                .size_trim(&topic(0), |_| committed)
                .into_iter()
                .collect(),
            Some(_) => table.age_trims(at(9_000), |_| committed),
        };
        let shared = true;
        let topic = topic(0);
        step(&mut table, &Command::Share { topic, shared });
        assert_eq!(trims(&mut table, Offset(1)), []);
        assert_eq!(
            trims(&mut table, Offset(1)),
            [],
            "asked again, and again at once"
        );
        let trim = Record::Trim(topic, Offset(3));
        assert_eq!(trims(&mut table, Offset(3)), [trim]);
    }
}

#[test]
fn size_retention_keeps_at_most_the_limit_and_the_newest_batch() {
    let size = match append(0, 0, 0, &[&[0; 900]]) {
        Command::Append { batch, .. } => batch.len() as u64,
        _ => unreachable!("an append"),
    };
    let mut table = retained(Some(10 * size), None);
    for i in 0..100 {
        step(&mut table, &append(0, 0, i, &[&[0; 900]]));
        let trim = table.size_trim(&topic(0), all);
        if i < 10 {
            assert_eq!(trim, None);
        } else {
            assert_eq!(trim, Some(Record::Trim(topic(0), Offset(i - 8))));
        }
        if let Some(trim) = trim {
            assert_eq!(table.apply(&trim), 10 * size);
        }
    }
    let large = append(0, 0, 100, &[&[0; 20_000]]);
    step(&mut table, &large);
    assert_eq!(
        table.size_trim(&topic(0), all),
        Some(Record::Trim(topic(0), Offset(101))),
        "the newest stays though it alone is over the limit"
    );
}

#[test]
fn age_retention_may_empty_a_topic() {
    let mut table = retained(None, Some(1_000));
    let at = |ms: i64| UnixMicros(NOW.0 + ms * 1_000);
    for i in 0..4 {
        step_at(&mut table, &append(0, 0, i, &[b"a"]), at(500 * i as i64));
    }
    assert_eq!(table.age_trims(at(1_000), all), []);
    let trim = Record::Trim(topic(0), Offset(2));
    assert_eq!(table.age_trims(at(1_001), all), std::slice::from_ref(&trim));
    table.apply(&trim);
    table.after_trim(&topic(0));
    assert_eq!(table.age_trims(at(1_001), all), []);
    let trim = Record::Trim(topic(0), Offset(5));
    assert_eq!(table.age_trims(at(9_000), all), std::slice::from_ref(&trim));
    assert_eq!(table.apply(&trim), 0);
    table.after_trim(&topic(0));
    assert_eq!(table.age_trims(at(9_000), all), []);
    assert_eq!(
        step_at(&mut table, &append(0, 0, 4, &[b"a"]), at(9_000)),
        appended(5, 1, false)
    );
    assert_eq!(
        table.age_trims(at(11_000), all),
        [Record::Trim(topic(0), Offset(6))]
    );
}

#[test]
fn marks_stay_few_and_add_up() {
    let mut table = retained(Some(1 << 40), Some(1 << 40));
    for i in 0..2_000 {
        let wall = UnixMicros(NOW.0 + i as i64 * (1 << 50));
        step_at(&mut table, &append(0, 0, i, &[b"a"]), wall);
    }
    let traffic = table.topics[&topic(0)].traffic.as_ref().unwrap();
    assert!(traffic.marks.len() <= limits::RETENTION_MARKS);
    let sum: u64 = traffic.marks.iter().map(|mark| mark.bytes).sum();
    assert_eq!(sum, traffic.bytes);
}

#[test]
fn a_suspect_topic_refuses_appends_until_the_loss_is_accepted() {
    let mut table = booted();
    step(&mut table, &append(0, 0, 0, &[b"a"]));
    table.damage(&topic(0), Offset(2), Offset(5));
    table.suspect(&topic(0));
    let refused = Outcome::Refused(Refusal::Damaged);
    assert_eq!(step(&mut table, &append(0, 1, 0, &[b"a"])), refused);
    let accept = Command::AcceptLoss { topic: topic(0) };
    let record = Record::AcceptLoss(topic(0), vec![(Offset(2), Offset(5))]);
    assert_eq!(
        table.decide(&accept, NOW),
        Decision::Write(record.clone(), Outcome::Done)
    );
    table.apply(&record);
    assert_eq!(table.decide(&accept, NOW), Decision::Answer(Outcome::Done));
    // Offsets that may have been given out are not given out again.
    assert_eq!(
        step(&mut table, &append(0, 1, 0, &[b"a"])),
        appended(5, 1, false)
    );
}

#[test]
fn an_idle_topic_is_small() {
    assert!(size_of::<Topic>() <= 48, "{}", size_of::<Topic>());
    assert!(size_of::<ProducerId>() == 16 && producer(0) != producer(1));
}
