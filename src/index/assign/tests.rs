use super::*;
use crate::index::record::{Change, TopicRecord, TopicState};
use crate::types::{Epoch, Offset, TopicName, TopicSettings, UnixMicros};

const HOST: Fingerprint = Fingerprint([1; 32]);

fn id(n: u32) -> TopicId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    TopicId(bytes)
}

fn topic(n: u32) -> Change {
    Change::PutTopic(TopicRecord {
        name: TopicName::new(&format!("t{n}")).unwrap(),
        topic: id(n),
        version: 1,
        owner: HOST,
        host: HOST,
        grant: 1,
        in_sync: vec![HOST],
        replicas: vec![HOST],
        settings: TopicSettings::default(),
        state: TopicState::Serving,
        lineage: 0,
        created: UnixMicros(0),
    })
}

fn directory(topics: u32) -> Directory {
    let mut directory = Directory::new(1);
    (0..topics).for_each(|n| directory.apply(&topic(n)));
    directory
}

fn assigned(revision: u64) -> Assigned {
    Assigned {
        revision,
        refused: vec![],
        known: vec![],
    }
}

/// Sends all that may be sent, none of which is acknowledged; the revisions.
fn send(feed: &mut Feed, directory: &Directory) -> Vec<u64> {
    let mut revisions = vec![];
    loop {
        match feed.next(directory) {
            Next::Frame(frame) => revisions.push(frame.revision),
            Next::Again => {}
            Next::Wait => return revisions,
        }
    }
}

/// Sends and acknowledges until there is nothing left; all frames.
fn drain(feed: &mut Feed, directory: &Directory) -> Vec<Assign> {
    let mut frames = vec![];
    loop {
        match feed.next(directory) {
            Next::Frame(frame) => {
                feed.acked(assigned(frame.revision)).unwrap();
                frames.push(frame);
            }
            Next::Again => {}
            Next::Wait => return frames,
        }
    }
}

#[test]
fn an_empty_full_list_still_ends() {
    let frames = drain(&mut Feed::new(HOST), &directory(0));
    assert_eq!(frames.len(), 1);
    assert!(frames[0].full_list_ends && frames[0].assignments.is_empty());
}

#[test]
fn the_full_list_is_paged_and_differences_follow() {
    let mut directory = directory(2_500);
    directory.apply(&Change::PutErasure {
        host: HOST,
        topic: id(9_999),
    });
    let mut feed = Feed::new(HOST);
    let frames = drain(&mut feed, &directory);
    let sizes: Vec<_> = frames.iter().map(|frame| frame.assignments.len()).collect();
    assert_eq!(sizes, [1, 1_024, 1_024, 452]);
    let ends: Vec<_> = frames.iter().map(|frame| frame.full_list_ends).collect();
    assert_eq!(ends, [false, false, false, true]);

    directory.apply(&topic(3_000));
    directory.apply(&Change::PutErasure {
        host: HOST,
        topic: id(1),
    });
    feed.push([
        Difference::Host(id(3_000)),
        Difference::Host(id(4_000)),
        Difference::Erase(id(1)),
        // It keeps a copy again by now.
        Difference::Erase(id(2)),
    ]);
    let frames = drain(&mut feed, &directory);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].revision, 5);
    assert_eq!(
        frames[0].assignments.len(),
        2,
        "the unknown topic is passed over"
    );
}

#[test]
fn a_host_that_does_not_acknowledge_gets_no_more_and_costs_no_more() {
    let directory = directory(20_000);
    let mut feed = Feed::new(HOST);
    let mut sent = 0;
    loop {
        match feed.next(&directory) {
            Next::Frame(_) => sent += 1,
            Next::Again => {}
            Next::Wait => break,
        }
    }
    assert_eq!(sent, limits::ASSIGN_FRAMES_IN_FLIGHT);
    feed.push((0..limits::ASSIGNMENTS_QUEUED as u32).map(|n| Difference::Erase(id(n))));
    assert_eq!(feed.queue.len(), limits::ASSIGNMENTS_QUEUED);
    feed.push([Difference::Erase(id(0))]);
    assert!(feed.queue.is_empty(), "the full list comes again instead");
    for revision in 1..=sent as u64 {
        feed.acked(assigned(revision)).unwrap();
    }
    let hosted: usize = drain(&mut feed, &directory)
        .iter()
        .map(|f| f.assignments.len())
        .sum();
    assert_eq!(hosted, 20_000);
}

#[test]
fn acknowledgements_say_what_was_done() {
    let mut directory = directory(2);
    directory.apply(&Change::PutErasure {
        host: HOST,
        topic: id(9),
    });
    let mut feed = Feed::new(HOST);
    assert!(matches!(feed.next(&directory), Next::Frame(_)));
    assert_eq!(feed.next(&directory), Next::Again);
    assert!(matches!(feed.next(&directory), Next::Frame(_)));
    let full = ErrorReply::new(ErrorCode::StorageFull, "full");
    let refused = Assigned {
        revision: 2,
        refused: vec![(id(1), full.clone()), (id(77), full.clone())],
        known: vec![],
    };
    let done = Done {
        accepted: vec![id(0)],
        erased: vec![],
        refused: vec![(id(1), full)],
        known: vec![],
    };
    assert_eq!(feed.acked(refused), Ok(done));
    assert_eq!(feed.acked(assigned(1)).unwrap().erased, [(id(9), 1)]);
    assert_eq!(
        feed.acked(assigned(1)).unwrap_err().code(),
        ErrorCode::Malformed
    );
}

#[test]
fn only_of_what_a_frame_told_it_a_host_may_know_more() {
    let mut directory = directory(2);
    directory.apply(&Change::PutErasure {
        host: HOST,
        topic: id(9),
    });
    let knows = |n| CopyReport {
        topic: id(n),
        name: TopicName::new("t").unwrap(),
        known: Epoch {
            grant: 9,
            incarnation: 1,
        },
        own_grant: 0,
        end: Offset(5),
        version: 9,
        settings: TopicSettings::default(),
        damaged: false,
    };
    let mut feed = Feed::new(HOST);
    assert!(matches!(feed.next(&directory), Next::Frame(_)));
    assert_eq!(feed.next(&directory), Next::Again);
    assert!(matches!(feed.next(&directory), Next::Frame(_)));
    let answer = |revision| Assigned {
        revision,
        refused: vec![],
        known: vec![knows(1), knows(9), knows(77)],
    };
    let erased = feed.acked(answer(1)).unwrap();
    assert_eq!((erased.known, erased.erased), (vec![], vec![(id(9), 1)]));
    let done = feed.acked(answer(2)).unwrap();
    assert_eq!(done.known, [knows(1)]);
    assert_eq!(done.accepted, [id(0)]);
}

#[test]
fn a_host_confirms_the_erasure_that_its_frame_told_it() {
    let mut directory = directory(0);
    let (host, topic) = (HOST, id(9));
    directory.apply(&Change::PutErasure { host, topic });
    let mut feed = Feed::new(HOST);
    let listed = send(&mut feed, &directory);
    directory.apply(&Change::DeleteErasure { host, topic });
    directory.apply(&Change::PutErasure { host, topic });
    feed.push([Difference::Erase(topic)]);
    let told = send(&mut feed, &directory);
    let now = directory.erasure(HOST, topic).unwrap();
    let earlier = feed.acked(assigned(listed[0])).unwrap().erased;
    assert_eq!(earlier, [(topic, now - 1)]);
    let erased = feed.acked(assigned(told[0])).unwrap().erased;
    assert_eq!(erased, [(topic, now)]);
}
