//! An index from a backup, and topics of which only poor copies are left.

use super::*;
use crate::index::decide::{Gathered, Need, need};
use crate::types::Offset;
use crate::wire::index::copies::CopyReport;

/// What a peer says of topic `T1`, whose id is 9.
fn word(known: u32, own_grant: u32, end: u64) -> CopyReport {
    CopyReport {
        topic: id(9),
        name: name("T1"),
        known: Epoch {
            grant: known,
            incarnation: 1,
        },
        own_grant,
        end: Offset(end),
        version: 0,
        settings: TopicSettings::default(),
        damaged: false,
    }
}

fn gathered<const N: usize>(words: [(u8, CopyReport); N]) -> Gathered {
    Gathered {
        topic: id(9),
        reports: words.map(|(n, word)| (key(n), word)).to_vec(),
    }
}

impl Applied {
    fn recovers(&mut self, gathered: &Gathered, owner: Option<u8>) {
        let event = Event::Recover {
            topics: vec![gathered.clone()],
            owner: owner.map(peer),
        };
        self.decide(&event).answer.unwrap();
        assert_eq!(need(&self.directory, gathered), Need::Nothing);
    }

    fn accepts_loss(&mut self, gathered: Gathered, survivor: u8) -> Result<Answer, ErrorReply> {
        let event = Event::AcceptLoss {
            caller: caller(1),
            gathered,
            survivor: key(survivor),
        };
        self.decide(&event).answer
    }
}

fn keepers(peers: u8) -> Applied {
    let mut applied = Applied {
        directory: Directory::new(7),
        changes: vec![],
    };
    for n in 1..=peers {
        applied.decide(&register(n)).answer.unwrap();
        applied.decide(&keep(n, n, n)).answer.unwrap();
    }
    applied
}

#[test]
fn a_frozen_topic_comes_back_under_its_last_host() {
    let mut applied = keepers(3);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    let later = word(4, 4, 50);
    assert!(applied.directory.note_known(key(3), &later));
    let leaving = Event::Deregister {
        caller: caller(1),
        delete_hosted: 9,
        discard: true,
    };
    let refused = applied.decide(&leaving).answer.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotReady);
    let all = gathered([(1, word(3, 3, 99)), (3, later)]);
    assert_eq!(need(&applied.directory, &all), Need::Behind);
    applied.recovers(&all, None);
    let record = applied.directory.topic("T1").unwrap();
    assert_eq!((record.host, record.grant), (key(3), 5));
    assert_eq!(record.in_sync, [key(3)]);
    assert_eq!(record.replicas, [key(1), key(3)]);
    assert_eq!(record.owner, key(1));
    assert!(!applied.directory.is_behind(id(9)));
}

#[test]
fn a_later_version_freezes_a_topic_too() {
    let mut applied = keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    let same = word(1, 1, 5);
    assert!(!applied.directory.note_known(key(1), &same));
    let later = CopyReport { version: 7, ..same };
    assert!(applied.directory.note_known(key(1), &later));
    applied.recovers(&gathered([(1, later)]), None);
    let record = applied.directory.topic("T1").unwrap();
    assert!(record.version > 7 && !applied.directory.is_behind(id(9)));
}

#[test]
fn without_its_last_host_a_topic_waits_for_it() {
    let mut applied = keepers(3);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    let first = gathered([(1, word(4, 1, 50))]);
    applied.recovers(&first, None);
    let record = applied.directory.topic("T1").unwrap();
    assert_eq!((record.state, record.grant), (TopicState::Offline, 5));
    assert!(record.in_sync.is_empty());
    // It comes after all.
    let both = gathered([(1, word(4, 1, 50)), (3, word(4, 4, 60))]);
    assert_eq!(need(&applied.directory, &both), Need::Behind);
    applied.recovers(&both, None);
    let record = applied.directory.topic("T1").unwrap();
    assert_eq!((record.host, record.grant), (key(3), 6));
    assert_eq!(record.state, TopicState::Serving);
}

#[test]
fn what_the_index_does_not_know_is_taken_up_unless_its_name_is_taken() {
    let mut applied = keepers(2);
    let held = gathered([(2, word(1, 1, 5))]);
    assert_eq!(need(&applied.directory, &held), Need::Unknown);
    applied.recovers(&held, Some(1));
    let record = applied.directory.topic("T1").unwrap();
    assert_eq!((record.host, record.owner), (key(2), key(1)));
    let other = Gathered {
        topic: id(8),
        ..held
    };
    assert_eq!(need(&applied.directory, &other), Need::Taken);
}

#[test]
fn loss_is_accepted_only_where_nobody_has_everything() {
    let mut applied = keepers(3);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    let left = gathered([(3, word(2, 0, 40))]);
    let refused = applied.accepts_loss(left.clone(), 3).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Forbidden);
    applied.directory.set_live(key(1), false);
    let refused = applied.accepts_loss(left.clone(), 2).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NoLiveHost);
    applied.accepts_loss(left, 3).unwrap();
    let record = applied.directory.topic("T1").unwrap();
    assert_eq!((record.host, record.lineage), (key(3), 1));
    // Above all that anybody knows.
    assert_eq!(record.grant, 3);
    assert_eq!(record.in_sync, [key(3)]);
}

#[test]
fn a_stranger_that_was_not_asked_freezes_nothing() {
    let mut applied = keepers(3);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    let later = word(4, 4, 50);
    let newer = CopyReport {
        version: 7,
        ..word(1, 1, 5)
    };
    let may = |applied: &Applied, n, word| applied.directory.may_freeze(key(n), word);
    // It has come since the index started.
    assert!(!may(&applied, 3, &later));
    // By the record it keeps the copy.
    assert!(may(&applied, 1, &later) && may(&applied, 1, &newer));
    assert!(!may(&applied, 9, &later), "nobody knows it");
    // The topic may have been moved to it after the backup with which the index started.
    applied.directory.begin();
    assert!(may(&applied, 3, &later));
    assert!(!may(&applied, 3, &newer), "its host was another one then");
    applied.decide(&register(4)).answer.unwrap();
    applied.decide(&keep(4, 4, 4)).answer.unwrap();
    assert!(!may(&applied, 4, &later));
    applied.directory.set_restored(true);
    assert!(may(&applied, 4, &later));
}
