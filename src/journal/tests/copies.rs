//! Topics of which this peer keeps a copy: random histories with cuts and changes of the role, against a
//! simple model, through crashes at any step.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::rewriting::{by_hand, try_rewriting};
use super::*;
use crate::journal::testing::{key, replicated, submit};
use crate::replication::epochs::TopicLog;
use crate::wire::batch::{self, BatchBuilder};

/// What a random history does to a topic.
#[derive(Debug, Clone)]
enum Act {
    /// The host sends a batch: how many messages, how large, by which producer.
    Batch(usize, usize, u128),
    /// The host's grant has risen.
    Epoch,
    /// The host has other messages than the last few batches.
    Truncate(usize),
    /// The copy is fetched anew.
    Reset(u64),
    /// The host tells of producers below the start.
    Dedupe(u8),
    Positions(u64),
    Trim(u64),
    /// This peer becomes the host, and appends.
    Host(usize),
    Forget,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => (1..4usize, 0..5_000usize, 0..3u128).prop_map(|(c, b, p)| Act::Batch(c, b, p)),
        3 => Just(Act::Epoch),
        6 => (1..6usize).prop_map(Act::Truncate),
        1 => (1..50u64).prop_map(Act::Reset),
        2 => any::<u8>().prop_map(Act::Dedupe),
        3 => (0..60u64).prop_map(Act::Positions),
        2 => (0..60u64).prop_map(Act::Trim),
        2 => (1..4usize).prop_map(Act::Host),
        1 => Just(Act::Forget),
    ]
}

/// What happens to the journal between them.
#[derive(Debug, Clone)]
enum Step {
    Act(u128, Act),
    Rewrite,
    Crash(u64),
    /// The disk fails some changes further on, in the middle of whatever comes; then a crash.
    Failing(u64, u64),
    CrashRewriting(u64, u64),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (0..3u128, act()).prop_map(|(n, act)| Step::Act(n, act)),
        2 => Just(Step::Rewrite),
        2 => any::<u64>().prop_map(Step::Crash),
        2 => (0..12u64, any::<u64>()).prop_map(|(c, s)| Step::Failing(c, s)),
        1 => (0..16u64, any::<u64>()).prop_map(|(c, s)| Step::CrashRewriting(c, s)),
        2 => Just(Step::Close),
    ]
}

/// A topic as it must be.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    log: TopicLog,
    known: Epoch,
    own_grant: u32,
    hosts: bool,
    /// (base, bodies) of batches, those below the start too.
    batches: Vec<(u64, Vec<Vec<u8>>)>,
    /// (producer, sequence) by offset.
    producers: BTreeMap<u64, (ProducerId, u64)>,
    next: BTreeMap<u128, u64>,
    position: Option<Position>,
    life: u128,
}

impl Model {
    fn new(life: u128) -> Model {
        Model {
            log: TopicLog::default(),
            known: Epoch::default(),
            own_grant: 0,
            hosts: false,
            batches: Vec::new(),
            producers: BTreeMap::new(),
            next: BTreeMap::new(),
            position: None,
            life,
        }
    }

    fn append(&mut self, epoch: Epoch, by: ProducerId, sequence: u64, bodies: &[Vec<u8>]) {
        let base = self.log.end();
        self.log.append(epoch, base.plus(bodies.len() as u64));
        self.known = self.known.max(epoch);
        self.batches.push((base.0, bodies.to_vec()));
        for i in 0..bodies.len() as u64 {
            self.producers.insert(base.0 + i, (by, sequence + i));
        }
    }

    fn truncate(&mut self, to: Offset) {
        if to == self.log.end() {
            return;
        }
        self.log.truncate(to);
        self.batches.retain(|(base, _)| *base < to.0);
        self.producers.split_off(&to.0);
        self.clamp();
    }

    fn clamp(&mut self) {
        let end = self.log.end();
        if let Some(position) = &mut self.position {
            position.next = position.next.min(end);
        }
    }
}

/// The commands of an act, each with the topic as it must be after it.
fn commands(n: u128, act: Act, now: &Model, incarnation: Incarnation) -> Vec<(Command, Model)> {
    let id = topic(n);
    let mut then = now.clone();
    if matches!(act, Act::Forget) {
        let known = (
            Command::Known {
                topic: kept(n),
                epoch: Epoch::default(),
            },
            Model::new(now.life + 1),
        );
        return vec![
            (Command::Forget { topic: id }, Model::new(now.life + 1)),
            known,
        ];
    }
    let mut out = Vec::new();
    if let Act::Host(count) = act {
        then.own_grant = then.known.grant + 1;
        then.hosts = true;
        then.known = Epoch {
            grant: then.own_grant,
            incarnation,
        };
        then.clamp();
        let hosted = HostedTopic {
            grant: then.own_grant,
            ..hosted(n)
        };
        out.push((Command::Host(hosted), then.clone()));
        for i in 0..count {
            let by = producer(
                100 + u128::from(then.own_grant)
                    + 1_000 * u128::from(incarnation)
                    + (now.life << 20),
            );
            let bodies = vec![vec![i as u8; 300]];
            let batch = sealed(n, by, i as u64, &bodies);
            then.append(then.known, by, i as u64, &bodies);
            let epoch = then.known;
            out.push((
                Command::Append {
                    topic: id,
                    epoch,
                    batch,
                },
                then.clone(),
            ));
        }
        return out;
    }
    if then.hosts {
        then.hosts = false;
        then.known = then.known.max(Epoch {
            grant: then.own_grant,
            incarnation,
        });
        out.push((
            Command::Known {
                topic: kept(n),
                epoch: Epoch::default(),
            },
            then.clone(),
        ));
    }
    match act {
        Act::Batch(count, size, by) => {
            let sequence = then.next.get(&by).copied().unwrap_or(0);
            then.next.insert(by, sequence + count as u64);
            let bodies = vec![vec![then.batches.len() as u8; size]; count];
            let by = producer(by + (now.life << 20));
            let base = then.log.end();
            let epoch = then.known.max(Epoch {
                grant: 1,
                incarnation: 7,
            });
            let batch = replicated(sealed(n, by, sequence, &bodies), base, epoch);
            then.append(epoch, by, sequence, &bodies);
            out.push((Command::Replicate { topic: id, batch }, then));
        }
        Act::Epoch => {
            then.known = Epoch {
                grant: then.known.grant + 1,
                incarnation: 9,
            };
            let epoch = then.known;
            out.push((
                Command::Known {
                    topic: kept(n),
                    epoch,
                },
                then,
            ));
        }
        Act::Truncate(batches) => {
            let kept = then
                .batches
                .iter()
                .filter(|(base, _)| *base >= then.log.start().0);
            let at = kept.rev().take(batches).last();
            let to = at.map_or(then.log.end(), |(base, _)| Offset(*base));
            then.truncate(to);
            out.push((Command::Truncate { topic: id, to }, then));
        }
        Act::Reset(start) => {
            let start = Offset(start);
            then.log = TopicLog::starting_at(start);
            then.batches.clear();
            then.producers.clear();
            then.position = None;
            out.push((Command::Reset { topic: id, start }, then));
        }
        Act::Dedupe(seed) if then.log.is_empty() => {
            let below = then.log.start();
            then.producers.clear();
            let mut ranges = Vec::new();
            for offset in (1..below.0).filter(|offset| offset % 7 == u64::from(seed % 7)) {
                let by = producer(500 + u128::from(offset) + (now.life << 20));
                ranges.push((
                    by,
                    DedupeRange {
                        sequence: 3,
                        offset: Offset(offset),
                        count: 1,
                    },
                ));
                then.producers.insert(offset, (by, 3));
            }
            out.push((
                Command::Dedupe {
                    topic: id,
                    below,
                    first: true,
                    ranges,
                },
                then,
            ));
        }
        Act::Positions(next) => {
            let sequence = then.position.map_or(1, |at| at.sequence + 1);
            let at = Position {
                next: Offset(next),
                sequence,
            };
            then.position = Some(at);
            let positions = vec![(key(), at)];
            out.push((
                Command::ReplicatePositions {
                    topic: id,
                    positions,
                },
                then,
            ));
        }
        Act::Trim(start) => {
            let start = Offset(start);
            then.log.trim(start);
            out.push((Command::Trim { topic: id, start }, then));
        }
        Act::Dedupe(_) | Act::Host(_) | Act::Forget => {}
    }
    out
}

fn kept(n: u128) -> KeptTopic {
    let HostedTopic {
        id, name, settings, ..
    } = hosted(n);
    KeptTopic { id, name, settings }
}

fn sealed(n: u128, by: ProducerId, sequence: u64, bodies: &[Vec<u8>]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for body in bodies {
        builder.push(&batch::Record {
            key: None,
            headers: Vec::new(),
            body,
        });
    }
    builder.seal(topic(n), by, sequence, UnixMicros(0))
}

/// What is wrong with a topic, if anything.
fn differs(journal: &Journal, n: u128, model: &Model, incarnation: Incarnation) -> Option<String> {
    let id = topic(n);
    let Some(copy) = journal.copy(id) else {
        return (*model != Model::new(model.life)).then(|| "it is gone".to_owned());
    };
    let own = Epoch {
        grant: model.own_grant,
        incarnation,
    };
    let known = if model.hosts {
        model.known.max(own)
    } else {
        model.known
    };
    let seen = (copy.known, copy.own_grant, copy.hosts, copy.damaged);
    if seen != (known, model.own_grant, model.hosts, false) || copy.log != model.log {
        return Some(format!("{copy:?}"));
    }
    if journal.position(id, &key()) != model.position {
        return Some(format!("position {:?}", journal.position(id, &key())));
    }
    let start = model.log.start().0;
    let wanted: Vec<(u64, Vec<u8>)> = model
        .batches
        .iter()
        .flat_map(|(base, bodies)| (*base..).zip(bodies.clone()))
        .filter(|(offset, _)| *offset >= start)
        .collect();
    for round in ["cached", "disk"] {
        let read = match round {
            "cached" => read_all(journal, n),
            _ => read_disk(journal, n),
        };
        let mut read = read.map_err(|error| error.to_string());
        if let Ok(read) = &mut read {
            read.retain(|(offset, _)| *offset >= start);
        }
        if read.as_ref() != Ok(&wanted) {
            let short = |all: &[(u64, Vec<u8>)]| {
                all.iter()
                    .map(|(o, b)| (*o, b.len(), b.first().copied()))
                    .collect::<Vec<_>>()
            };
            return Some(format!(
                "{round} reads {:?}, not {:?}",
                read.as_deref().map(short),
                short(&wanted)
            ));
        }
    }
    let remembered: BTreeSet<_> = journal
        .dedupe_below(id, model.log.end())
        .into_iter()
        .flat_map(|(by, range)| {
            (0..range.count).map(move |i| (range.offset.0 + i, (by, range.sequence + i)))
        })
        .collect();
    let expected: BTreeSet<_> = model.producers.iter().map(|(at, by)| (*at, *by)).collect();
    (remembered != expected).then(|| format!("dedupe {remembered:?}, not {expected:?}"))
}

/// Everything of a topic, past the tail cache.
fn read_disk(journal: &Journal, n: u128) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
    let shared = &journal.inner.shared;
    let mut from = journal.topic(topic(n)).map_or(Offset::FIRST, |t| t.start);
    let mut out = Vec::new();
    loop {
        let slice = shared
            .reader
            .read(&shared.options, &shared.view, topic(n), from, 1 << 16)?;
        if slice.next == from {
            return Ok(out);
        }
        out.extend(bodies(&slice));
        from = slice.next;
    }
}

fn agree(journal: &Journal, models: &[Model; 3]) {
    let incarnation = journal.last_incarnation();
    for (n, model) in models.iter().enumerate() {
        if let Some(how) = differs(journal, n as u128, model, incarnation) {
            panic!("topic {n}: {how}, expected {model:?}");
        }
    }
}

fn open_again(disk: &FaultyDisk) -> (Journal, RecoveryReport) {
    let (journal, report) = open_with(by_hand(disk));
    assert_eq!((&*report.damage, &*report.suspect), (&[][..], &[][..]));
    (journal, report)
}

fn crash(disk: &FaultyDisk, seed: u64) -> FaultyDisk {
    disk.crash(match seed % 4 {
        0 => Crash::LosesUnsynced,
        1 => Crash::KeepsAll,
        _ => Crash::TearsUnsynced(seed),
    })
}

fn keep_copy(journal: &Journal, n: u128) {
    let known = Command::Known {
        topic: kept(n),
        epoch: Epoch::default(),
    };
    assert_eq!(submit(journal, known), Outcome::Done);
}

/// Runs a history; after every restart all topics must be as they were.
fn run(steps: Vec<Step>) {
    let mut disk = FaultyDisk::new();
    let mut journal = open_with(by_hand(&disk)).0;
    boot(&journal);
    let mut models = [0, 1, 2].map(|_| Model::new(0));
    for n in 0..3 {
        keep_copy(&journal, n);
    }
    // The topic that may be one command further on than its model, and how it is then.
    let mut doubt: Option<(usize, Model)> = None;
    let mut seed_of_failure = 0;
    for step in steps.into_iter().chain([Step::Crash(0), Step::Close]) {
        if let Some((n, further)) = doubt.take() {
            disk = crash(&disk, seed_of_failure);
            journal.close();
            journal = open_again(&disk).0;
            let incarnation = journal.last_incarnation();
            if differs(&journal, n as u128, &models[n], incarnation).is_some() {
                models[n] = further;
            }
            agree(&journal, &models);
            boot(&journal);
            if journal.copy(topic(n as u128)).is_none() {
                keep_copy(&journal, n as u128);
            }
        }
        match step {
            Step::Act(n, act) => {
                let at = n as usize;
                for (command, then) in commands(n, act, &models[at], journal.last_incarnation()) {
                    match journal.submit_blocking(command.clone()) {
                        Ok(Outcome::Done | Outcome::Appended(_)) => models[at] = then,
                        Err(Stopped) => {
                            doubt = Some((at, then));
                            break;
                        }
                        other => panic!("{other:?} to {command:?}"),
                    }
                }
            }
            Step::Failing(changes, seed) => {
                seed_of_failure = seed;
                disk.fail_changes_after(changes);
            }
            Step::Rewrite => {
                // The disk may be failing.
                let _ = try_rewriting(&journal);
                agree(&journal, &models);
            }
            Step::Crash(seed) | Step::CrashRewriting(_, seed) => {
                if let Step::CrashRewriting(changes, _) = step {
                    disk.fail_changes_after(changes);
                    let _ = try_rewriting(&journal);
                }
                let after = crash(&disk, seed);
                journal.close();
                disk = after;
                journal = open_again(&disk).0;
                agree(&journal, &models);
                boot(&journal);
            }
            Step::Close => {
                agree(&journal, &models);
                journal.close();
                // Cut short where the disk fails.
                disk = crash(&disk, 1);
                journal = open_again(&disk).0;
                agree(&journal, &models);
                boot(&journal);
            }
        }
    }
    agree(&journal, &models);
    journal.close();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is cut, nothing else goes, and what was cut never comes back.
    #[test]
    fn a_copy_is_what_its_host_made_it(steps in prop::collection::vec(step(), 1..150)) {
        run(steps);
    }
}

/// A copy of topic 0 whose newest message was replaced by another host's, closed.
fn cut_copy() -> FaultyDisk {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    boot(&journal);
    keep_copy(&journal, 0);
    let epoch = |grant| Epoch {
        grant,
        incarnation: 3,
    };
    let put = |base: u64, grant, body: &[u8]| {
        let batch = sealed(0, producer(0), base - 1, &[body.to_vec()]);
        let batch = replicated(batch, Offset(base), epoch(grant));
        let topic = topic(0);
        assert_eq!(
            submit(&journal, Command::Replicate { topic, batch }),
            Outcome::Done
        );
    };
    put(1, 1, b"kept");
    put(2, 1, b"cut off");
    put(3, 1, b"cut off too");
    let cut = Command::Truncate {
        topic: topic(0),
        to: Offset(2),
    };
    assert_eq!(submit(&journal, cut), Outcome::Done);
    put(2, 2, b"new");
    put(3, 2, b"newer");
    put(4, 2, b"newest");
    journal.close();
    disk
}

#[test]
fn a_lost_cut_is_told_and_what_it_hid_is_no_sound_copy() {
    let disk = cut_copy();
    let path = segments(&disk).remove(0);
    let files = disk.files();
    let (_, bytes) = files.iter().find(|(name, _)| *name == path).unwrap();
    let mut told = 0;
    let content = bytes.iter().enumerate().skip(4096);
    for (at, _) in content.filter(|(_, byte)| **byte != 0) {
        let bad = FaultyDisk::holding(files.clone());
        bad.flip(&path, at, 0x10);
        let (journal, report) = open_with(options(&bad));
        let Some(copy) = journal.copy(topic(0)) else {
            told += report.damage_count;
            continue;
        };
        let read = read_all(&journal, 0).unwrap_or_default();
        let is_stale = read.iter().any(|(_, body)| body.starts_with(b"cut off"));
        assert!(!is_stale || copy.damaged, "byte {at}: {copy:?}");
        told += u64::from(copy.damaged);
    }
    assert!(told > 100, "{told} flips were told");
}

#[test]
fn a_copy_does_not_trim_by_itself_and_a_host_does() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    boot(&journal);
    let mut topic_kept = kept(0);
    topic_kept.settings.retain_bytes = Some(1_000);
    let known = Command::Known {
        topic: topic_kept.clone(),
        epoch: Epoch::default(),
    };
    assert_eq!(submit(&journal, known), Outcome::Done);
    let epoch = Epoch {
        grant: 1,
        incarnation: 4,
    };
    for i in 0..10 {
        let batch = sealed(0, producer(0), i, &[vec![1; 900]]);
        let batch = replicated(batch, Offset(i + 1), epoch);
        let topic = topic(0);
        let outcome = submit(&journal, Command::Replicate { topic, batch });
        assert_eq!(outcome, Outcome::Done);
    }
    assert_eq!(journal.topic(topic(0)).unwrap().start, Offset(1));
    let hosted = HostedTopic {
        id: topic(0),
        name: topic_kept.name,
        settings: topic_kept.settings,
        grant: 2,
    };
    assert_eq!(submit(&journal, Command::Host(hosted)), Outcome::Done);
    assert!(journal.topic(topic(0)).unwrap().start > Offset(1));
    journal.close();
}
