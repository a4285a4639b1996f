//! Messages for topics that nobody can host: who may leave them, who drains them, when the topic opens.

use super::*;
use crate::index::record::TopicState;
use crate::limits;
use crate::replication::held::Incoming;
use crate::types::{Epoch, MonoNs, ProducerId};
use crate::wire::index::TopicPhase;
use crate::wire::index::copies::{HeldInfo, HeldSettled, SettledHeld};

fn batch(n: u8, sequence: u64) -> Incoming {
    let mut producer = ProducerId([1; 16]);
    producer.0[..8].copy_from_slice(&key(n).0[..8]);
    Incoming {
        producer,
        sequence,
        count: 2,
        bytes: 100,
    }
}

impl Applied {
    /// Peer 1 hosts T1 alone and is away.
    fn orphaned() -> Self {
        let mut this = Applied::keepers(1);
        this.decide(&create(1, "T1", 1)).answer.unwrap();
        this.decide(&register(2)).answer.unwrap();
        this.goes(1);
        this
    }

    fn hold(&mut self, n: u8, batch: Incoming) -> Result<HeldInfo, ErrorCode> {
        let event = Event::HoldMessages {
            caller: caller(n),
            topic: self.topic("T1").topic,
            batch,
            bytes: bytes::Bytes::from_static(b"batch"),
        };
        match self.decide(&event).answer {
            Ok(Answer::Held(reply)) => Ok(reply.held),
            Err(error) => Err(error.code()),
            other => panic!("{other:?}"),
        }
    }

    fn epoch(&self) -> Epoch {
        self.directory.route("T1").unwrap().epoch
    }

    fn settle(
        &mut self,
        n: u8,
        epoch: Epoch,
        through: Option<u64>,
    ) -> Result<SettledHeld, ErrorCode> {
        let request = HeldSettled {
            topic: self.topic("T1").topic,
            epoch,
            through,
        };
        let caller = caller(n);
        match self.decide(&Event::HeldSettled { caller, request }).answer {
            Ok(Answer::Settled(reply)) => Ok(reply),
            Err(error) => Err(error.code()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_topic_is_held_with_its_first_batch_and_opens_with_the_last() {
    let mut index = Applied::orphaned();
    let before = index.topic("T1");
    assert_eq!(index.hold(2, batch(2, 0)).unwrap().messages, 2);
    let held = index.topic("T1");
    assert_eq!(held.state, TopicState::Held);
    assert_eq!(
        held.grant,
        before.grant + 1,
        "no host of before acts beside it"
    );
    assert_eq!(index.hold(2, batch(2, 2)).unwrap().messages, 4);
    assert_eq!(index.hold(2, batch(2, 2)).unwrap().messages, 4, "once");
    assert_eq!(index.topic("T1").grant, held.grant);
    assert_eq!(index.directory.held_count(), 4);

    index.comes(1);
    assert_eq!(index.topic("T1").state, TopicState::Held);
    assert_eq!(index.hold(2, batch(2, 4)), Err(ErrorCode::NotReady));
    let epoch = index.epoch();
    let settled = index.settle(1, epoch, Some(9)).unwrap();
    assert_eq!(settled.left, 2, "nothing was handed out");
    let topic = held.topic;
    assert_eq!(index.directory.drain_page(topic, epoch), [0, 1]);
    let wrong = Epoch { grant: 1, ..epoch };
    assert_eq!(index.settle(1, wrong, Some(1)), Err(ErrorCode::StaleEpoch));
    assert_eq!(index.settle(2, epoch, Some(1)), Err(ErrorCode::NotHost));
    assert_eq!(index.settle(1, epoch, Some(0)).unwrap().left, 1);
    assert_eq!(index.topic("T1").state, TopicState::Held);
    assert_eq!(index.settle(1, epoch, Some(1)).unwrap().left, 0);
    assert_eq!(index.topic("T1").state, TopicState::Serving);
    assert_eq!(index.directory.held_count(), 0);
    let info = index.directory.topic_info("T1", MonoNs(1)).unwrap();
    assert_eq!(info.phase, TopicPhase::Serving);
}

#[test]
fn nothing_is_held_while_somebody_can_host_or_may() {
    let mut index = Applied::keepers(1);
    index.decide(&create(1, "T1", 1)).answer.unwrap();
    assert_eq!(index.hold(1, batch(1, 0)), Err(ErrorCode::NotReady));
    index.directory.set_live(key(1), false);
    index.directory.set_doubt(true);
    assert_eq!(index.hold(1, batch(1, 0)), Err(ErrorCode::NotReady));
    index.directory.set_doubt(false);
    assert!(index.hold(1, batch(1, 0)).is_ok());
}

#[test]
fn a_batch_is_its_keys_and_within_the_quotas() {
    let mut index = Applied::orphaned();
    assert_eq!(index.hold(2, batch(1, 0)), Err(ErrorCode::Forbidden));
    let large = Incoming {
        bytes: limits::HELD_BATCH_BYTES + 1,
        ..batch(2, 0)
    };
    assert_eq!(index.hold(2, large), Err(ErrorCode::TooLarge));
    let many = Incoming {
        count: limits::HELD_MESSAGES_PER_PUBLISHER + 1,
        ..batch(2, 0)
    };
    assert_eq!(index.hold(2, many), Err(ErrorCode::HeldFull));
    assert_eq!(
        index.topic("T1").state,
        TopicState::Serving,
        "nothing is held"
    );
    index.hold(2, batch(2, 0)).unwrap();
    assert_eq!(index.hold(2, batch(2, 4)), Err(ErrorCode::SequenceGap));
}

#[test]
fn a_deleted_topic_takes_what_is_held_along() {
    let mut index = Applied::orphaned();
    index.hold(2, batch(2, 0)).unwrap();
    index.hold(2, batch(2, 2)).unwrap();
    index.decide(&delete(1, "T1")).answer.unwrap();
    assert_eq!(index.directory.held_count(), 0);
}

#[test]
fn another_member_of_the_set_drains_what_is_held() {
    let mut index = Applied::keepers(2);
    index.decide(&create(1, "T1", 1)).answer.unwrap();
    index.in_sync("T1", &[1, 2]);
    index.goes(2);
    index.goes(1);
    index.hold(1, batch(1, 0)).unwrap();
    index.comes(2);
    let record = index.topic("T1");
    assert_eq!((record.host, record.state), (key(2), TopicState::Held));
    let epoch = index.epoch();
    assert_eq!(index.directory.drain_page(record.topic, epoch), [0]);
    index.settle(2, epoch, Some(0)).unwrap();
    assert_eq!(index.topic("T1").state, TopicState::Serving);
}
