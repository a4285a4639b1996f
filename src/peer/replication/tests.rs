//! A host with a real journal, and a replica that is played by hand.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{mpsc, oneshot};

use super::asking::Ask;
use super::following::{Copying, CopyingContext};
use super::hosted::{More, Settled};
use super::roles::{Frame, Roles, Taken};
use super::stream::ReplicaStream;
use super::{Replication, Tips};
use crate::client::{Client, ClientOptions};
use crate::journal::faulty::FaultyDisk;
use crate::journal::{
    self, Command, Disk, Done, Hooks, Journal, KeptTopic, Options, Outcome, PositionKey, RealDisk,
};
use crate::peer::host::HostState;
use crate::peer::reports::Changed;
use crate::replication::configuration::Altered;
use crate::replication::host::Join;
use crate::replication::hosting::{Down, Up};
use crate::transport::Identity;
use crate::types::{
    BootId, Epoch, Fingerprint, Group, Offset, ProducerId, TopicId, TopicSettings, UnixMicros,
};
use crate::wire::ErrorCode;
use crate::wire::batch::{BatchBuilder, Record};
use crate::wire::index::Assignment;
use crate::wire::index::copies::{Copies, CopiesPhase};

const TOPIC: TopicId = TopicId([1; 16]);
const OTHER: Fingerprint = Fingerprint([9; 32]);
const SLOT: u32 = 1;

/// Holds the journal's writer between its write and its sync.
#[derive(Default)]
struct Gate {
    /// Whether it is shut, and whether somebody stands before it.
    state: Mutex<(bool, bool)>,
    moved: Condvar,
}

impl Gate {
    fn shut(&self) {
        self.state.lock().0 = true;
    }

    fn pass(&self) {
        let mut state = self.state.lock();
        state.1 = true;
        self.moved.notify_all();
        while state.0 {
            self.moved.wait(&mut state);
        }
        state.1 = false;
    }

    /// Waits until the writer stands before it.
    fn reached(&self) {
        let mut state = self.state.lock();
        while !state.1 {
            self.moved.wait(&mut state);
        }
    }

    fn open(&self) {
        self.state.lock().0 = false;
        self.moved.notify_all();
    }
}

struct Peer {
    _folder: tempfile::TempDir,
    gate: Arc<Gate>,
    me: Fingerprint,
    journal: Journal,
    replication: Arc<Replication>,
    copying: Arc<Copying>,
    roles: mpsc::Sender<Frame>,
    producer: ProducerId,
}

fn epoch(grant: u32) -> Epoch {
    Epoch {
        grant,
        incarnation: 1,
    }
}

impl Peer {
    async fn start() -> Peer {
        Peer::start_on(Arc::new(RealDisk)).await
    }

    async fn start_on(disk: Arc<dyn Disk>) -> Peer {
        let folder = tempfile::tempdir().unwrap();
        let (identity, _) = Identity::load_or_create(&folder.path().join("certs"), "1").unwrap();
        let me = identity.fingerprint();
        let tips = Arc::new(Tips::default());
        let replication = Replication::new(me, tips, Arc::new(Changed::default()));
        let replication = Arc::new(replication);
        let gate = Arc::new(Gate::default());
        let hooks = Hooks {
            on_written: {
                let (replication, gate) = (Arc::clone(&replication), Arc::clone(&gate));
                Box::new(move |group| {
                    let sent = replication.written(group);
                    // Not for the journal's own marks, which come when they come.
                    if group.batches().next().is_some() {
                        gate.pass();
                    }
                    sent
                })
            },
            on_commit: {
                let replication = Arc::clone(&replication);
                Box::new(move |ends| replication.synced(ends))
            },
            ..Hooks::default()
        };
        let options = Options {
            segment_bytes: 1 << 20,
            extent_bytes: 1 << 16,
            disk,
            ..Options::new(folder.path().join("journal"))
        };
        let (journal, _) = Journal::open(options, hooks).unwrap();
        replication.open(journal.clone());
        let index = "127.0.0.1:1".parse().unwrap();
        let options = ClientOptions::new(identity, "1".parse().unwrap(), index);
        let copying = Copying::new(CopyingContext {
            client: Client::new(options).unwrap(),
            replication: Arc::clone(&replication),
            journal: journal.clone(),
            state: Arc::new(HostState::default()),
        });
        let (roles, frames) = mpsc::channel(1);
        let copying = Arc::new(copying);
        let task = Roles::new(
            Arc::clone(&replication),
            journal.clone(),
            Arc::clone(&copying),
        );
        tokio::spawn(task.run(frames));
        let peer = Peer {
            _folder: folder,
            gate,
            me,
            journal,
            replication,
            copying,
            roles,
            producer: ProducerId::of(me, &mut rand::rng()),
        };
        let boot = BootId::random(&mut rand::rng());
        let boot = Command::Boot {
            incarnation: 1,
            boot,
        };
        assert_eq!(peer.written(boot).await, Outcome::Done);
        peer
    }

    async fn written(&self, command: Command) -> Outcome {
        let (done, outcome) = oneshot::channel();
        let submitted = self.journal.submit(command, Done::Oneshot(done)).await;
        submitted.unwrap();
        outcome.await.unwrap()
    }

    fn copies(&self, version: u64, in_sync: &[Fingerprint], replicas: &[Fingerprint]) -> Copies {
        Copies {
            host: self.me,
            grant: 1,
            version,
            in_sync: in_sync.to_vec(),
            replicas: replicas.to_vec(),
            phase: CopiesPhase::Serving,
            lineage: 0,
        }
    }

    fn host(&self, copies: Copies) -> Assignment {
        Assignment::Host {
            topic: TOPIC,
            name: "T1".parse().unwrap(),
            settings: TopicSettings::default(),
            copies,
        }
    }

    async fn assign(&self, assignments: Vec<Assignment>) -> Taken {
        let (done, taken) = oneshot::channel();
        let frame = Frame {
            tell: None,
            assignments,
            full_list_ends: true,
            incarnation: 1,
            done,
        };
        self.roles.send(frame).await.ok().unwrap();
        taken.await.unwrap().unwrap()
    }

    fn message(&self, sequence: u64, epoch: Epoch) -> Command {
        let mut builder = BatchBuilder::new();
        builder.push(&Record {
            key: None,
            headers: vec![],
            body: b"body",
        });
        Command::Append {
            topic: TOPIC,
            epoch,
            batch: builder.seal(TOPIC, self.producer, sequence, UnixMicros(1)),
        }
    }

    /// One message, durable here.
    async fn append(&self, sequence: u64, epoch: Epoch) -> journal::Appended {
        match self.written(self.message(sequence, epoch)).await {
            Outcome::Appended(appended) => appended,
            other => panic!("{other:?}"),
        }
    }

    /// A stream of the other peer that has joined and has everything.
    async fn joined(&self) -> Arc<ReplicaStream> {
        let other = self.replication.peers.number(OTHER);
        let stream = self.replication.stream_opened(other, 4);
        let join = Join {
            known: Epoch::default(),
            last: None,
            end: Offset::FIRST,
        };
        let join = Up::Join(SLOT, TOPIC, join);
        self.replication.stream_frame(other, &stream, join);
        let answered = stream.wait().await.unwrap();
        assert!(matches!(answered.frames[..], [Down::Joined(SLOT, _)]));
        stream
    }

    fn acked(&self, stream: &Arc<ReplicaStream>, end: Offset, revision: u64) {
        let other = self.replication.peers.number(OTHER);
        let acks = Up::Acks(vec![(SLOT, end, revision)]);
        self.replication.stream_frame(other, stream, acks);
    }

    /// Both peers are in sync.
    async fn in_sync(&self) -> Arc<ReplicaStream> {
        let both = [self.me, OTHER];
        let alone = self.copies(1, &[self.me], &both);
        assert_eq!(self.assign(vec![self.host(alone)]).await, Taken::default());
        let stream = self.joined().await;
        let end = self.journal.topic(TOPIC).unwrap().end;
        self.acked(&stream, end, 1);
        let record = self.copies(2, &both, &both);
        let record = super::records::configuration(&self.replication.peers, &record).unwrap();
        self.replication.altered(TOPIC, Altered::Applied(record));
        stream
    }
}

#[tokio::test]
async fn the_only_copy_is_answered_at_once() {
    let peer = Peer::start().await;
    let refused = peer.replication.takes_append(TOPIC).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotHost);
    let alone = peer.copies(1, &[peer.me], &[peer.me]);
    peer.assign(vec![peer.host(alone)]).await;
    peer.replication.takes_append(TOPIC).unwrap();
    let appended = peer.append(0, epoch(1)).await;
    let to = Arc::new(Settled::default());
    let settled = peer.replication.settle(1, appended, &to).unwrap().unwrap();
    assert_eq!(*settled, [peer.me]);
    assert_eq!(peer.replication.visible(TOPIC), Ok(None));
    // A second copy is wanted: what is there is committed, and seen.
    let wanted = peer.copies(2, &[peer.me], &[peer.me, OTHER]);
    peer.assign(vec![peer.host(wanted)]).await;
    assert_eq!(peer.replication.visible(TOPIC), Ok(Some(Offset(2))));
    let appended = peer.append(1, epoch(1)).await;
    assert!(peer.replication.settle(2, appended, &to).unwrap().is_ok());
    peer.journal.close();
}

#[tokio::test]
async fn what_is_synced_while_the_only_copy_gets_others_is_committed_too() {
    let peer = Peer::start().await;
    let alone = peer.copies(1, &[peer.me], &[peer.me]);
    peer.assign(vec![peer.host(alone)]).await;
    let wanted = peer.copies(2, &[peer.me], &[peer.me, OTHER]);
    let record = super::records::configuration(&peer.replication.peers, &wanted).unwrap();
    let (journal, message) = (peer.journal.clone(), peer.message(0, epoch(1)));
    let mut writing = None;
    peer.replication.begin(TOPIC, || {
        let log = journal.copy(TOPIC).unwrap().log;
        assert_eq!(log.end(), Offset(1));
        let writer = journal.clone();
        let written = std::thread::spawn(move || writer.submit_blocking(message));
        // The journal has it; its hook comes whenever it comes.
        while journal.topic(TOPIC).unwrap().end < Offset(2) {
            std::thread::yield_now();
        }
        writing = Some(written);
        super::hosting::Beginning {
            epoch: epoch(1),
            log,
            known_watermark: Offset(1),
            record,
            min_in_sync: 1,
        }
    });
    let written = writing.unwrap().join().unwrap().unwrap();
    assert!(matches!(written, Outcome::Appended(_)));
    assert_eq!(peer.replication.visible(TOPIC), Ok(Some(Offset(2))));
    peer.journal.close();
}

#[tokio::test]
async fn an_append_is_answered_when_the_other_copy_has_it() {
    let peer = Peer::start().await;
    let stream = peer.in_sync().await;
    let appended = peer.append(0, epoch(1)).await;
    let to = Arc::new(Settled::default());
    assert_eq!(peer.replication.settle(7, appended, &to), None);
    assert_eq!(peer.replication.visible(TOPIC), Ok(Some(Offset(1))));
    peer.acked(&stream, Offset(2), 1);
    let settled = to.wait().await.pop().unwrap();
    assert_eq!((settled.0, settled.2.unwrap().len()), (7, 2));
    assert_eq!(peer.replication.visible(TOPIC), Ok(Some(Offset(2))));
    let again = peer.append(0, epoch(1)).await;
    assert!(again.duplicate);
    assert!(peer.replication.settle(8, again, &to).unwrap().is_ok());
    peer.journal.close();
}

/// A message that is written here and not synced, with the gate shut behind it.
async fn unsynced(peer: &Peer, epoch: Epoch) -> oneshot::Receiver<Outcome> {
    peer.gate.shut();
    let (done, outcome) = oneshot::channel();
    let message = peer.message(0, epoch);
    let submitted = peer.journal.submit(message, Done::Oneshot(done)).await;
    submitted.unwrap();
    peer.gate.reached();
    outcome
}

#[tokio::test]
async fn replicas_are_sent_what_is_written_and_nobody_else_sees_it() {
    let peer = Peer::start().await;
    let stream = peer.in_sync().await;
    let hosted = peer.replication.hosted(TOPIC).unwrap();
    let outcome = unsynced(&peer, epoch(1)).await;
    let More::InMemory(ahead) = hosted.more(Offset(1), 1) else {
        panic!("the journal has not synced it");
    };
    assert_eq!((ahead.next, ahead.end), (Offset(2), Offset(2)));
    let sent = crate::wire::batch::verify(&ahead.batches[0]).unwrap();
    assert_eq!((sent.base, sent.epoch), (Offset(1), epoch(1)));
    assert_eq!(peer.journal.topic(TOPIC).unwrap().end, Offset(1));
    // The replica has it before this peer: that commits nothing, and is no lie.
    peer.acked(&stream, Offset(2), 1);
    assert!(matches!(hosted.more(Offset(2), 1), More::Nothing));
    assert_eq!(peer.replication.visible(TOPIC), Ok(Some(Offset(1))));
    peer.gate.open();
    let Outcome::Appended(appended) = outcome.await.unwrap() else {
        panic!("not appended");
    };
    let to = Arc::new(Settled::default());
    let settled = peer.replication.settle(7, appended, &to).unwrap().unwrap();
    assert_eq!(settled.len(), 2);
    assert_eq!(peer.replication.visible(TOPIC), Ok(Some(Offset(2))));
    assert!(matches!(hosted.more(Offset(1), 1), More::InJournal));
    assert!(matches!(hosted.more(Offset(2), 1), More::Nothing));
    peer.journal.close();
}

#[tokio::test]
async fn what_is_written_under_an_epoch_that_is_not_hosted_is_not_sent() {
    let peer = Peer::start().await;
    let _stream = peer.in_sync().await;
    let hosted = peer.replication.hosted(TOPIC).unwrap();
    // The next role is the journal's already, and not this peer's yet.
    let next = Command::Host(journal::HostedTopic {
        id: TOPIC,
        name: "T1".parse().unwrap(),
        settings: TopicSettings::default(),
        grant: 2,
    });
    assert_eq!(peer.written(next).await, Outcome::Done);
    let outcome = unsynced(&peer, epoch(2)).await;
    assert!(hosted.ahead(Offset(1), 1).is_none());
    assert_eq!(hosted.written(), Offset(1));
    peer.gate.open();
    assert!(matches!(outcome.await.unwrap(), Outcome::Appended(_)));
    peer.journal.close();
}

#[tokio::test]
async fn what_was_written_before_the_only_copy_got_others_is_sent_when_it_is_synced() {
    let peer = Peer::start().await;
    let alone = peer.copies(1, &[peer.me], &[peer.me]);
    peer.assign(vec![peer.host(alone)]).await;
    let outcome = unsynced(&peer, epoch(1)).await;
    let wanted = peer.copies(2, &[peer.me], &[peer.me, OTHER]);
    let record = super::records::configuration(&peer.replication.peers, &wanted).unwrap();
    peer.replication.begin(TOPIC, || super::hosting::Beginning {
        epoch: epoch(1),
        log: peer.journal.copy(TOPIC).unwrap().log,
        known_watermark: Offset(1),
        record,
        min_in_sync: 1,
    });
    let watcher = Arc::new(crate::peer::tips::Watcher::default());
    peer.replication.replica_tips.watch(TOPIC, &watcher, SLOT);
    let hosted = peer.replication.hosted(TOPIC).unwrap();
    assert!(hosted.ahead(Offset(1), 1).is_none());
    peer.gate.open();
    assert!(matches!(outcome.await.unwrap(), Outcome::Appended(_)));
    assert_eq!(watcher.wait().await, [SLOT]);
    assert_eq!(hosted.written(), Offset(2));
    peer.journal.close();
}

#[tokio::test]
async fn a_position_is_committed_when_the_other_copy_has_it() {
    let peer = Peer::start().await;
    let stream = peer.in_sync().await;
    let key = PositionKey {
        subscriber: OTHER,
        group: Group::default(),
    };
    let commit = peer.replication.position_synced(TOPIC, &key);
    let other = async {
        loop {
            let sent = stream.wait().await.unwrap();
            if let Some((_, unsent)) = sent.positions.get(&SLOT) {
                peer.acked(&stream, Offset(1), unsent.revision);
                if unsent.revision == 2 {
                    return;
                }
            }
        }
    };
    let (committed, ()) = tokio::join!(commit, other);
    assert_eq!(committed, Ok(()));
    peer.journal.close();
}

#[tokio::test]
async fn a_deposed_host_answers_nothing_and_sends_everybody_on() {
    let peer = Peer::start().await;
    let _stream = peer.in_sync().await;
    let appended = peer.append(0, epoch(1)).await;
    let to = Arc::new(Settled::default());
    assert_eq!(peer.replication.settle(7, appended, &to), None);
    let moved = Copies {
        host: OTHER,
        grant: 2,
        ..peer.copies(3, &[OTHER], &[peer.me, OTHER])
    };
    let replicate = Assignment::Replicate {
        topic: TOPIC,
        name: "T1".parse().unwrap(),
        settings: TopicSettings::default(),
        copies: moved,
    };
    assert_eq!(peer.assign(vec![replicate]).await, Taken::default());
    let settled = to.wait().await.pop().unwrap();
    let error = settled.2.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotCommitted);
    assert_eq!(error.retry, crate::wire::Retry::FreshRoute);
    let refused = peer.replication.takes_append(TOPIC).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotHost);
    assert!(peer.replication.visible(TOPIC).is_err());
    assert!(!peer.journal.copy(TOPIC).unwrap().hosts);
    // What comes late does not make it host again, by whatever record.
    for version in [1, 2] {
        let late = peer.copies(version, &[peer.me], &[peer.me, OTHER]);
        peer.assign(vec![peer.host(late)]).await;
        assert!(peer.replication.hosts(TOPIC).is_err());
    }
    peer.journal.close();
}

#[tokio::test]
async fn an_index_of_before_is_told_what_is_known() {
    let peer = Peer::start().await;
    let newer = Copies {
        grant: 5,
        ..peer.copies(9, &[peer.me], &[peer.me])
    };
    peer.assign(vec![peer.host(newer)]).await;
    let older = peer.copies(3, &[peer.me], &[peer.me]);
    let taken = peer.assign(vec![peer.host(older)]).await;
    assert_eq!(taken.known.len(), 1);
    assert_eq!(
        (taken.known[0].known, taken.known[0].own_grant),
        (epoch(5), 5)
    );
    peer.replication.hosts(TOPIC).unwrap();
    peer.journal.close();
}

#[tokio::test]
async fn a_host_whose_copy_is_damaged_leaves_the_set_if_another_member_is_there() {
    let peer = Peer::start().await;
    let stream = peer.in_sync().await;
    peer.replication.damaged(TOPIC);
    // Each read that meets it says so.
    peer.replication.damaged(TOPIC);
    let asked = peer.replication.asks.wait().await;
    let leaves = asked.iter().filter(|ask| **ask == Ask::Leave(TOPIC));
    assert_eq!(leaves.count(), 1, "{asked:?}");

    let alone = Peer::start().await;
    let stream_of_another = alone.in_sync().await;
    let other = alone.replication.peers.number(OTHER);
    alone.replication.stream_closed(other, &stream_of_another);
    alone.replication.damaged(TOPIC);
    let asks = &alone.replication.asks;
    asks.push(Ask::Leave(TopicId([2; 16])));
    let asked = asks.wait().await;
    assert!(!asked.contains(&Ask::Leave(TOPIC)), "{asked:?}");
    drop(stream);
}

#[tokio::test]
async fn a_topic_that_is_erased_and_hosted_again_in_one_frame_is_there_and_empty() {
    let peer = Peer::start().await;
    let host = || peer.host(peer.copies(1, &[peer.me], &[peer.me]));
    let erase = || Assignment::Erase { topic: TOPIC };
    for frame in [
        vec![host()],
        vec![erase(), host()],
        vec![erase(), host(), erase(), host()],
        vec![host()],
    ] {
        assert_eq!(peer.assign(frame).await, Taken::default());
        let stat = peer.journal.topic(TOPIC).expect("hosted");
        assert_eq!(stat.end, Offset::FIRST);
        peer.replication.takes_append(TOPIC).unwrap();
    }
    peer.assign(vec![host(), erase()]).await;
    assert_eq!(peer.journal.topic(TOPIC), None);
    assert!(peer.replication.hosts(TOPIC).is_err());
    peer.journal.close();
}

#[tokio::test]
async fn a_copy_that_found_no_room_is_tried_again() {
    let disk = FaultyDisk::new();
    let peer = Peer::start_on(Arc::new(disk.clone())).await;
    let (replication, journal) = (Arc::clone(&peer.replication), peer.journal.clone());
    let mut roles = Roles::new(replication, journal, Arc::clone(&peer.copying));
    disk.set_capacity(Some(1));
    let known = |n: u128| Command::Known {
        topic: KeptTopic {
            id: TopicId(n.to_le_bytes()),
            name: "T1".parse().unwrap(),
            settings: TopicSettings::default(),
        },
        epoch: Epoch::default(),
    };
    let mut topics = 0;
    while peer.written(known(topics)).await == Outcome::Done {
        topics += 1;
    }
    let replicate = Assignment::Replicate {
        topic: TOPIC,
        name: "T1".parse().unwrap(),
        settings: TopicSettings::default(),
        copies: Copies {
            host: OTHER,
            ..peer.copies(1, &[OTHER], &[OTHER, peer.me])
        },
    };
    let taken = roles.take(vec![replicate]).await.unwrap();
    assert_eq!(taken.refused[0].1.code(), ErrorCode::StorageFull);
    roles.try_again().await;
    assert_eq!(peer.journal.copy(TOPIC), None);
    disk.set_capacity(None);
    while peer.journal.is_full() {
        tokio::task::yield_now().await;
    }
    roles.try_again().await;
    assert!(!peer.journal.copy(TOPIC).unwrap().hosts);
    peer.journal.close();
}
