//! The machines by their exact effects, and a pair of peers with very many topics.

use super::configuration::{AlterInSync, Altered, Configuration, Phase, Refusal};
use super::epochs::TopicLog;
use super::following::{Entry, Following, FollowingEffect};
use super::host::{Ack, HostContext, HostEffect, HostEvent, HostTopic, Join, JoinAnswer};
use super::hosting::{Down, Hosting, HostingEffect, Up};
use super::members::{Members, PeerNo};
use super::replica::{ReplicaEffect, ReplicaEvent, ReplicaTopic, may_host};
use super::rules::Rules;
use crate::limits;
use crate::types::{Epoch, MonoNs, Offset, TopicId};

const A: PeerNo = PeerNo(1);
const B: PeerNo = PeerNo(2);
const START: MonoNs = MonoNs(0);

fn epoch(grant: u32) -> Epoch {
    Epoch {
        grant,
        incarnation: 5,
    }
}

fn ms(ms: u64) -> MonoNs {
    MonoNs(ms * 1_000_000)
}

fn record(in_sync: &[PeerNo]) -> Configuration {
    Configuration {
        in_sync: in_sync.iter().copied().collect(),
        replicas: [A, B].into_iter().collect(),
        ..Configuration::created(A)
    }
}

fn context() -> HostContext {
    HostContext::new(A)
}

/// A host whose log was empty when it began.
fn host(in_sync: &[PeerNo], least: u8) -> HostTopic {
    let log = TopicLog::default();
    let record = record(in_sync);
    let (topic, _) = HostTopic::begin(
        &context(),
        epoch(1),
        log,
        Offset::FIRST,
        &record,
        least,
        START,
    );
    topic
}

fn give(topic: &mut HostTopic, event: HostEvent, now: MonoNs) -> Vec<HostEffect> {
    topic.handle(&context(), event, now)
}

fn join(topic: &mut HostTopic) {
    let join = Join {
        known: epoch(1),
        last: None,
        end: Offset::FIRST,
    };
    let effects = give(topic, HostEvent::Join(B, 3, join), START);
    assert!(matches!(effects[0], HostEffect::Answer(B, _)));
}

fn acked(end: u64) -> HostEvent {
    let ack = Ack {
        epoch: epoch(1),
        end: Offset(end),
        positions: 1,
    };
    HostEvent::Acked(B, 3, ack)
}

fn written(end: u64) -> HostEvent {
    HostEvent::Written { end: Offset(end) }
}

fn synced(end: u64) -> HostEvent {
    HostEvent::Synced { end: Offset(end) }
}

fn watermark(effects: &[HostEffect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        HostEffect::HighWatermark(end) => Some(end.0),
        _ => None,
    })
}

fn proposed(effects: &[HostEffect]) -> Option<AlterInSync> {
    effects.iter().find_map(|effect| match effect {
        HostEffect::Propose(proposal) => Some(*proposal),
        _ => None,
    })
}

#[test]
fn an_append_waits_for_every_member() {
    let mut topic = host(&[A, B], 1);
    join(&mut topic);
    assert_eq!(watermark(&give(&mut topic, synced(4), START)), None);
    assert_eq!(watermark(&give(&mut topic, acked(3), START)), Some(3));
    assert_eq!(topic.durable_on(&context(), Offset(4)), Members::one(A));
    assert_eq!(watermark(&give(&mut topic, acked(4), START)), Some(4));
    let stale = Ack {
        epoch: epoch(0),
        end: Offset(9),
        positions: 9,
    };
    assert_eq!(give(&mut topic, HostEvent::Acked(B, 3, stale), START), []);
    let refused = give(&mut topic, acked(9), START);
    assert_eq!(refused[0], HostEffect::Refuse(B), "beyond the host's end");
}

#[test]
fn a_replica_may_have_durably_what_its_host_has_only_written() {
    let mut topic = host(&[A, B], 1);
    join(&mut topic);
    give(&mut topic, written(4), START);
    let effects = give(&mut topic, acked(4), START);
    assert_eq!(watermark(&effects), None, "the host does not have it");
    assert_eq!(topic.durable_on(&context(), Offset(4)), Members::one(B));
    assert_eq!(watermark(&give(&mut topic, synced(3), START)), Some(3));
    assert_eq!(watermark(&give(&mut topic, synced(4), START)), Some(4));
    let refused = give(&mut topic, acked(5), START);
    assert_eq!(refused[0], HostEffect::Refuse(B), "beyond what is written");
}

#[test]
fn a_replica_that_joins_again_keeps_what_its_host_has_only_written() {
    let mut topic = host(&[A, B], 1);
    join(&mut topic);
    give(&mut topic, synced(3), START);
    give(&mut topic, written(5), START);
    give(&mut topic, acked(5), START);
    give(&mut topic, HostEvent::Gone(B), START);
    let again = Join {
        known: epoch(1),
        last: Some(epoch(1)),
        end: Offset(5),
    };
    let effects = give(&mut topic, HostEvent::Join(B, 3, again), START);
    let HostEffect::Answer(B, answer) = effects[0] else {
        panic!("{effects:?}");
    };
    assert_eq!(answer.common, Some((epoch(1), Offset(5))));
    // It is not asked to acknowledge again what it has said.
    assert_eq!(watermark(&give(&mut topic, synced(5), START)), Some(5));
}

#[test]
fn a_laggard_is_dropped_only_when_the_index_has_said_so() {
    let mut topic = host(&[A, B], 1);
    join(&mut topic);
    give(&mut topic, acked(1), START);
    assert_eq!(give(&mut topic, synced(2), ms(100)), []);
    // It was to be woken already, for B had not come when the epoch began.
    let effects = give(&mut topic, HostEvent::Wake, ms(1_000));
    assert_eq!(effects, [HostEffect::WakeAt(ms(1_100))]);
    assert_eq!(
        proposed(&give(&mut topic, HostEvent::Wake, ms(1_099))),
        None
    );
    let proposal = proposed(&give(&mut topic, HostEvent::Wake, ms(1_100))).unwrap();
    assert_eq!(proposal.members, Members::one(A));
    let unknown = HostEvent::Altered(Altered::Unknown);
    let again = proposed(&give(&mut topic, unknown, ms(1_200))).unwrap();
    assert_eq!(again.version, 1, "it settles the first one");
    let mut shrunk = record(&[A]);
    shrunk.version = 2;
    let refused = Altered::Refused(shrunk, Refusal::StaleVersion);
    let effects = give(&mut topic, HostEvent::Altered(refused), ms(1_300));
    assert_eq!(watermark(&effects), Some(2), "the first had been applied");
}

#[test]
fn growth_is_waited_for_from_the_moment_it_is_asked() {
    let mut topic = host(&[A], 1);
    assert_eq!(watermark(&give(&mut topic, synced(3), START)), Some(3));
    join(&mut topic);
    assert_eq!(proposed(&give(&mut topic, acked(2), START)), None);
    let proposal = proposed(&give(&mut topic, acked(3), START)).unwrap();
    assert_eq!(proposal.members.as_slice(), [A, B]);
    assert_eq!(proposal.incarnations[1], 3);
    assert_eq!(watermark(&give(&mut topic, synced(4), START)), None);
    let why = Refusal::StaleMember(B);
    let refused = HostEvent::Altered(Altered::Refused(record(&[A]), why));
    assert_eq!(watermark(&give(&mut topic, refused, START)), Some(4));
}

#[test]
fn a_copy_that_is_behind_is_told_by_what_it_lacks_and_waited_for_only_once_it_may_be_in_sync() {
    let mut topic = host(&[A], 1);
    give(&mut topic, synced(11), START);
    let behind = |topic: &HostTopic| topic.behind().collect::<Vec<_>>();
    assert_eq!(behind(&topic), [(B, None)], "it has not told yet");
    join(&mut topic);
    give(&mut topic, acked(5), START);
    assert_eq!(behind(&topic), [(B, Some(6))]);
    assert!(!topic.waits_for(&context(), B), "it may be held up");
    give(&mut topic, HostEvent::Gone(B), START);
    assert_eq!(
        behind(&topic),
        [(B, Some(6))],
        "what it has told stays true"
    );
    join(&mut topic);
    let effects = give(&mut topic, acked(11), START);
    assert!(proposed(&effects).is_some());
    assert_eq!(behind(&topic), [(B, Some(0))]);
    assert!(
        topic.waits_for(&context(), B),
        "the wish may have been granted"
    );
    let grown = Configuration {
        version: 2,
        ..record(&[A, B])
    };
    give(
        &mut topic,
        HostEvent::Altered(Altered::Applied(grown)),
        START,
    );
    assert_eq!(behind(&topic), []);
    assert!(topic.waits_for(&context(), B));
}

#[test]
fn too_small_a_set_acknowledges_nothing() {
    let mut topic = host(&[A], 2);
    assert!(!topic.takes_appends());
    assert_eq!(watermark(&give(&mut topic, synced(3), START)), None);
    let effects = give(&mut topic, HostEvent::MinInSync(1), START);
    assert_eq!(watermark(&effects), Some(3));
}

#[test]
fn a_hand_over_pauses_and_says_when_the_target_is_level() {
    let mut topic = host(&[A, B], 1);
    join(&mut topic);
    give(&mut topic, synced(3), START);
    let handing = Configuration {
        phase: Phase::HandingOver { to: B },
        version: 2,
        ..record(&[A, B])
    };
    let effects = give(&mut topic, HostEvent::Record(handing), START);
    assert_eq!(effects, [HostEffect::Pause(true)]);
    give(&mut topic, written(4), START);
    let level = HostEffect::Level(B);
    assert!(!give(&mut topic, acked(3), START).contains(&level));
    assert!(give(&mut topic, acked(4), START).contains(&level));
    let moved = Configuration {
        host: B,
        grant: 2,
        version: 3,
        ..record(&[A, B])
    };
    let effects = give(&mut topic, HostEvent::Record(moved), START);
    assert_eq!(effects, [HostEffect::StepDown]);
    assert_eq!(give(&mut topic, acked(4), ms(9_000)), []);
}

fn join_knowing(topic: &mut HostTopic, peer: PeerNo, known: Epoch) -> Vec<HostEffect> {
    let (last, end) = (None, Offset::FIRST);
    let join = Join { known, last, end };
    give(topic, HostEvent::Join(peer, 3, join), START)
}

#[test]
fn who_is_no_replica_has_no_say() {
    let mut topic = host(&[A], 1);
    let effects = join_knowing(&mut topic, PeerNo(7), epoch(u32::MAX));
    assert_eq!(effects, [HostEffect::Refuse(PeerNo(7))]);
    assert!(topic.takes_appends());
}

#[test]
fn a_replicas_word_of_a_higher_epoch_holds_all_back_until_the_index_has_spoken() {
    let mut topic = host(&[A], 1);
    let effects = join_knowing(&mut topic, B, epoch(u32::MAX));
    assert_eq!(
        effects[..2],
        [HostEffect::Pause(true), HostEffect::Refuse(B)]
    );
    let proposal = proposed(&effects).expect("the index is asked");
    assert_eq!((proposal.members, proposal.version), (Members::one(A), 1));
    assert!(!topic.takes_appends() && !topic.is_deposed());
    assert_eq!(watermark(&give(&mut topic, synced(3), START)), None);
    // Whatever becomes of the question, it is asked until it is answered.
    let unknown = HostEvent::Altered(Altered::Unknown);
    assert!(proposed(&give(&mut topic, unknown, START)).is_some());
    let mut other = topic.clone();
    let applied = Configuration {
        version: 2,
        ..record(&[A])
    };
    let applied = HostEvent::Altered(Altered::Applied(applied));
    let effects = give(&mut topic, applied, START);
    assert!(effects.contains(&HostEffect::Pause(false)));
    assert_eq!(watermark(&effects), Some(3));
    assert!(topic.takes_appends());
    let moved = Configuration {
        host: B,
        grant: 2,
        version: 3,
        ..record(&[A, B])
    };
    let refused = Altered::Refused(moved, Refusal::StaleEpoch);
    let effects = give(&mut other, HostEvent::Altered(refused), START);
    assert!(effects.contains(&HostEffect::StepDown));
}

/// The index's word that everything is as it was, but for the version.
fn settled(topic: &mut HostTopic, now: MonoNs) -> Vec<HostEffect> {
    let version = topic.version() + 1;
    let record = Configuration {
        version,
        ..record(&[A])
    };
    give(topic, HostEvent::Altered(Altered::Applied(record)), now)
}

#[test]
fn a_replica_cannot_hold_a_topic_up_again_and_again() {
    let mut topic = host(&[A], 1);
    join_knowing(&mut topic, B, epoch(9));
    settled(&mut topic, START);
    assert!(topic.takes_appends());
    // The index knew of no such epoch, now and for ever.
    let rested = START.plus(limits::DOUBT_REST);
    for now in [START, rested] {
        let effects = give(&mut topic, HostEvent::Fenced(B, epoch(9)), now);
        assert_eq!(proposed(&effects), None);
        assert!(topic.takes_appends());
    }
    let effects = join_knowing(&mut topic, B, epoch(9));
    assert_eq!(effects, [HostEffect::Refuse(B)]);
    // Nor are higher ones taken up one after the other.
    give(&mut topic, HostEvent::Fenced(B, epoch(10)), START);
    assert!(topic.takes_appends());
    let effects = give(&mut topic, HostEvent::Fenced(B, epoch(11)), rested);
    assert!(proposed(&effects).is_some() && !topic.takes_appends());
    settled(&mut topic, rested);
    assert!(topic.takes_appends());
    give(&mut topic, HostEvent::Fenced(PeerNo(7), epoch(99)), rested);
    assert!(topic.takes_appends(), "no replica");
}

#[test]
fn a_doubt_waits_for_the_answer_to_a_question_that_was_asked_after_it() {
    let mut topic = host(&[A, B], 1);
    let late = ms(5_000);
    let effects = give(&mut topic, synced(3), START);
    assert_eq!(proposed(&effects), None);
    let effects = give(&mut topic, HostEvent::Wake, late);
    assert!(
        proposed(&effects).is_some(),
        "a set without the one that lags"
    );
    give(&mut topic, HostEvent::Fenced(B, epoch(9)), late);
    // The index may have answered this before the epoch of which the replica knows was given.
    let effects = settled(&mut topic, late);
    assert!(!topic.takes_appends());
    assert!(proposed(&effects).is_some());
    settled(&mut topic, late);
    assert!(topic.takes_appends());
}

#[test]
fn a_grant_that_an_index_from_a_backup_gives_again_deposes() {
    for version in [1, 7] {
        let mut topic = host(&[A, B], 1);
        let given = Configuration {
            host: B,
            version,
            ..record(&[A, B])
        };
        let effects = give(&mut topic, HostEvent::Record(given), START);
        assert_eq!(effects, [HostEffect::StepDown]);
        assert!(!topic.takes_appends());
    }
}

fn answer(grant: u32, common: Option<(Epoch, Offset)>) -> ReplicaEvent {
    ReplicaEvent::Answered(JoinAnswer {
        epoch: epoch(grant),
        common,
        start: Offset::FIRST,
        high_watermark: Offset::FIRST,
    })
}

fn replica(parts: &[(u32, u64)]) -> ReplicaTopic {
    let mut log = TopicLog::default();
    for &(grant, end) in parts {
        log.append(epoch(grant), Offset(end));
    }
    ReplicaTopic::new(log, Epoch::default(), Offset::FIRST)
}

fn open(topic: &mut ReplicaTopic, grant: u32) -> Vec<ReplicaEffect> {
    topic.handle(Rules::ALL, ReplicaEvent::Open { grant })
}

#[test]
fn a_replica_writes_the_epoch_then_the_cut_then_acknowledges() {
    let mut topic = replica(&[(1, 4), (2, 7)]);
    let asked = Join {
        known: epoch(2),
        last: Some(epoch(2)),
        end: Offset(7),
    };
    assert_eq!(open(&mut topic, 3), [ReplicaEffect::Ask(asked)]);
    let effects = topic.handle(Rules::ALL, answer(3, Some((epoch(1), Offset(3)))));
    let ack = Ack {
        epoch: epoch(3),
        end: Offset(3),
        positions: 0,
    };
    let due = [
        ReplicaEffect::Persist(epoch(3)),
        ReplicaEffect::Truncate { to: Offset(3) },
        ReplicaEffect::Ack(ack),
    ];
    assert_eq!(effects, due);
    let gap = ReplicaEvent::Batch {
        base: Offset(4),
        end: Offset(5),
        epoch: epoch(3),
    };
    assert_eq!(topic.handle(Rules::ALL, gap), [ReplicaEffect::Reopen]);
}

#[test]
fn a_lower_epoch_is_refused() {
    let mut topic = replica(&[(2, 4)]);
    let refuses = [ReplicaEffect::Refuse(epoch(2))];
    assert_eq!(open(&mut topic, 1), refuses);
    open(&mut topic, 2);
    assert_eq!(topic.handle(Rules::ALL, answer(1, None)), refuses);
    assert!(may_host(epoch(2), 0, epoch(3)));
    assert!(may_host(epoch(2), 2, epoch(2)));
    assert!(!may_host(epoch(2), 1, epoch(2)), "another's grant");
}

#[test]
fn a_grant_that_the_index_has_not_named_is_not_made_known() {
    let mut topic = replica(&[(2, 4)]);
    open(&mut topic, 2);
    let poison = answer(u32::MAX, Some((epoch(2), Offset(4))));
    let refuses = [ReplicaEffect::Refuse(epoch(2))];
    assert_eq!(topic.handle(Rules::ALL, poison), refuses);
    assert_eq!(topic.known(), epoch(2));
    open(&mut topic, 2);
    let sound = answer(2, Some((epoch(2), Offset(4))));
    topic.handle(Rules::ALL, sound);
    assert_eq!(topic.following(), Some(epoch(2)));
}

#[test]
fn what_is_committed_is_not_cut_but_the_copy_leaves() {
    let mut topic = replica(&[(1, 5)]);
    open(&mut topic, 1);
    topic.handle(Rules::ALL, answer(1, Some((epoch(1), Offset(5)))));
    let told = ReplicaEvent::Watermark {
        high_watermark: Offset(5),
        start: Offset::FIRST,
    };
    topic.handle(Rules::ALL, told);
    topic.handle(Rules::ALL, ReplicaEvent::Closed);
    open(&mut topic, 1);
    let effects = topic.handle(Rules::ALL, answer(1, Some((epoch(1), Offset(3)))));
    assert_eq!(effects, [ReplicaEffect::Leave]);
    assert_eq!(open(&mut topic, 1), [], "not before the index has answered");
    let effects = topic.handle(Rules::ALL, ReplicaEvent::Left);
    let start = Offset::FIRST;
    assert_eq!(effects[0], ReplicaEffect::Reset { start });
}

#[test]
fn a_new_replica_of_a_trimmed_topic_fetches_the_dedupe_table_first() {
    let mut topic = replica(&[]);
    open(&mut topic, 1);
    let trimmed = JoinAnswer {
        epoch: epoch(1),
        common: None,
        start: Offset(8),
        high_watermark: Offset(9),
    };
    let start = Offset(8);
    let effects = topic.handle(Rules::ALL, ReplicaEvent::Answered(trimmed));
    let due = [
        ReplicaEffect::Persist(epoch(1)),
        ReplicaEffect::Reset { start },
        ReplicaEffect::FetchDedupe,
    ];
    assert_eq!(effects, due);
    let effects = topic.handle(Rules::ALL, ReplicaEvent::Dedupe);
    assert!(matches!(effects[..], [ReplicaEffect::Ack(ack)] if ack.end == start));
}

fn id(n: u32) -> TopicId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    TopicId(bytes)
}

/// What goes up and down between two peers until nobody says anything more; the journal syncs at once.
fn talk(
    hosting: &mut Hosting,
    following: &mut Following,
    effects: Vec<FollowingEffect>,
) -> Vec<HostingEffect> {
    let mut up = effects;
    let mut out = Vec::new();
    while !up.is_empty() {
        let mut down = Vec::new();
        for effect in up {
            if let FollowingEffect::Send(to, frame) = effect {
                assert_eq!(to, A);
                down.extend(hosting.frame(B, frame, START));
            }
        }
        up = Vec::new();
        for effect in down {
            match effect {
                HostingEffect::Send(B, frame) => up.extend(following.frame(A, frame)),
                HostingEffect::Serve(B, slot, ..) => up.extend(following.positions(A, slot, 1)),
                other => out.push(other),
            }
        }
        up.extend(following.synced(following.written()));
    }
    out
}

#[test]
fn a_slot_that_is_given_up_is_served_no_more() {
    let mut hosting = Hosting::new(context());
    let mut following = Following::new(Rules::ALL);
    let (log, first) = (TopicLog::default(), Offset::FIRST);
    hosting.begin(id(1), epoch(1), log, first, &record(&[A]), 1, START);
    hosting.opened(B, 3, START);
    following.opened(A);
    let log = || (TopicLog::default(), Epoch::default(), first);
    let joins = following.follow(id(1), A, 1, log);
    talk(&mut hosting, &mut following, joins);
    let slot = following.slot_of(id(1)).unwrap();
    let ended = |effects: &[HostingEffect], slot| {
        effects.contains(&HostingEffect::Send(B, Down::Ended(slot)))
    };
    let (known, last, end) = (epoch(1), None, first);
    let again = Up::Join(slot + 1, id(1), Join { known, last, end });
    assert!(
        ended(&hosting.frame(B, again, START), slot),
        "another is in its place"
    );
    let effects = hosting.frame(B, Up::Leave(slot + 1, epoch(1)), START);
    assert!(ended(&effects, slot + 1));
    let (topic, told) = following.unfollow(id(1));
    assert!(topic.is_some());
    let leave = Up::Leave(slot, epoch(1));
    assert_eq!(told, [FollowingEffect::Send(A, leave)]);
}

#[test]
fn a_hundred_thousand_topics_of_two_peers() {
    const TOPICS: u32 = 100_000;
    let mut hosting = Hosting::new(context());
    let mut following = Following::new(Rules::ALL);
    for n in 0..TOPICS {
        let (log, first) = (TopicLog::default(), Offset::FIRST);
        hosting.begin(id(n), epoch(1), log, first, &record(&[A]), 1, START);
        following.follow(id(n), A, 1, || {
            (TopicLog::default(), Epoch::default(), first)
        });
    }
    hosting.opened(B, 3, START);
    let joins = following.opened(A);
    let mut proposals = 0;
    for effect in talk(&mut hosting, &mut following, joins) {
        if let HostingEffect::Propose(topic, proposal) = effect {
            proposals += 1;
            let record = super::manager::alter(
                &record(&[A]),
                &proposal,
                |peer| {
                    if peer == A { 5 } else { 3 }
                },
                Rules::ALL,
            );
            let applied = Altered::Applied(record.unwrap());
            hosting.altered(topic, applied, START);
        }
    }
    assert_eq!(proposals, TOPICS);
    assert_eq!(hosting.wake_at(), None, "nobody lags");

    // Three topics move: three batches, one frame of acknowledgements, one of watermarks.
    let moved: Vec<_> = (7..10).map(|n| (id(n), Offset(2))).collect();
    assert_eq!(hosting.synced(&moved, START), []);
    let mut written = 0;
    for n in 7..10 {
        let slot = following.slot_of(id(n)).unwrap();
        let effects = following.batch(A, slot, Offset(1), Offset(2), epoch(1));
        written += effects.len();
        assert!(matches!(
            effects[..],
            [FollowingEffect::Journal(_, _, Entry::Batch)]
        ));
    }
    assert_eq!(written, 3);
    let acks = following.synced(following.written());
    let [FollowingEffect::Send(A, Up::Acks(ends))] = &acks[..] else {
        panic!("{acks:?}");
    };
    assert_eq!(ends.len(), 3);
    let effects = hosting.frame(B, Up::Acks(ends.clone()), START);
    let frames = effects.iter().filter_map(|effect| match effect {
        HostingEffect::Send(B, Down::Watermarks(moved)) => Some(moved.len()),
        _ => None,
    });
    assert_eq!(frames.collect::<Vec<_>>(), [3]);
    let committed = |effect: &&HostingEffect| matches!(effect, HostingEffect::Committed(..));
    assert_eq!(effects.iter().filter(committed).count(), 3);
}

#[test]
fn sizes() {
    let (hosted, replicated) = (size_of::<HostTopic>(), size_of::<ReplicaTopic>());
    println!("a hosted topic takes {hosted} bytes, a replicated one {replicated}");
    assert!(hosted <= 272);
    assert!(replicated <= 80);
    assert!(size_of::<Members>() <= 32);
}
