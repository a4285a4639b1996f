//! Records of topics between the wire, where peers are keys, and the machines, where they are numbers.
//!
//! The machines assert what holds of every record; what comes over the wire is checked here first, so
//! that a fault of the index cannot end a peer.

use super::peers::Peers;
use crate::limits;
use crate::replication::configuration::{AlterInSync, Altered, Configuration, Phase, Refusal};
use crate::replication::members::Members;
use crate::types::{Fingerprint, TopicId};
use crate::wire::index::copies::{self, AlterRefusal, AlteredInSync, Copies, CopiesPhase};

/// A record that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the index's record of the topic is not sound: {what}; it was left aside")]
pub(in crate::peer) struct Unsound {
    what: &'static str,
}

fn members(peers: &Peers, keys: &[Fingerprint], what: &'static str) -> Result<Members, Unsound> {
    match keys.len() <= limits::COPIES {
        true => Ok(keys.iter().map(|key| peers.number(*key)).collect()),
        false => Err(Unsound { what }),
    }
}

/// The record as the machines know it.
pub(in crate::peer) fn configuration(
    peers: &Peers,
    copies: &Copies,
) -> Result<Configuration, Unsound> {
    let in_sync = members(peers, &copies.in_sync, "the in-sync set is too large")?;
    let replicas = members(peers, &copies.replicas, "there are too many replicas")?;
    let record = Configuration {
        host: peers.number(copies.host),
        grant: copies.grant,
        version: copies.version,
        in_sync,
        replicas,
        phase: match copies.phase {
            CopiesPhase::Serving => Phase::Serving,
            CopiesPhase::HandingOver { to } => Phase::HandingOver {
                to: peers.number(to),
            },
            CopiesPhase::Offline => Phase::Offline,
            CopiesPhase::Held => Phase::Held,
        },
        lineage: copies.lineage,
    };
    if !in_sync.is_subset(&replicas) {
        let what = "an in-sync member is not a replica";
        return Err(Unsound { what });
    }
    if record.phase == Phase::Serving && record.acting_host().is_none() {
        let what = "its host serves outside of the in-sync set";
        return Err(Unsound { what });
    }
    Ok(record)
}

/// A host's wish as it travels.
pub(in crate::peer) fn wish(
    peers: &Peers,
    topic: TopicId,
    wish: &AlterInSync,
) -> copies::AlterInSync {
    let members = wish.members.iter().zip(wish.incarnations);
    let keyed = |(member, incarnation)| Some((peers.key(member)?, incarnation));
    copies::AlterInSync {
        topic,
        epoch: wish.epoch,
        version: wish.version,
        members: members.filter_map(keyed).collect(),
    }
}

/// What the index says to a wish.
pub(in crate::peer) fn altered(peers: &Peers, answer: &AlteredInSync) -> Result<Altered, Unsound> {
    let record = configuration(peers, &answer.copies)?;
    Ok(match answer.refused {
        None => Altered::Applied(record),
        Some(why) => Altered::Refused(
            record,
            match why {
                AlterRefusal::StaleEpoch => Refusal::StaleEpoch,
                AlterRefusal::StaleVersion => Refusal::StaleVersion,
                AlterRefusal::StaleMember(key) => Refusal::StaleMember(peers.number(key)),
                AlterRefusal::NotReplica(key) => Refusal::NotReplica(peers.number(key)),
                AlterRefusal::LacksHost => Refusal::LacksHost,
            },
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::members::PeerNo;
    use crate::types::Epoch;

    const A: Fingerprint = Fingerprint([1; 32]);
    const B: Fingerprint = Fingerprint([2; 32]);

    fn copies() -> Copies {
        Copies {
            host: A,
            grant: 3,
            version: 9,
            in_sync: vec![A],
            replicas: vec![A, B],
            phase: CopiesPhase::HandingOver { to: B },
            lineage: 0,
        }
    }

    #[test]
    fn a_record_is_translated_and_an_unsound_one_refused() {
        let peers = Peers::default();
        let (a, b) = (peers.number(A), peers.number(B));
        let record = configuration(&peers, &copies()).unwrap();
        assert_eq!(record.in_sync, Members::one(a));
        assert_eq!(record.phase, Phase::HandingOver { to: b });
        let many = (0..8).map(|n| Fingerprint([n; 32])).collect();
        for wrong in [
            Copies {
                replicas: vec![B],
                ..copies()
            },
            Copies {
                replicas: many,
                ..copies()
            },
            Copies {
                host: B,
                phase: CopiesPhase::Serving,
                ..copies()
            },
        ] {
            assert!(configuration(&peers, &wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_wish_names_keys_with_their_incarnations() {
        let peers = Peers::default();
        let (a, b) = (peers.number(A), peers.number(B));
        let epoch = Epoch {
            grant: 3,
            incarnation: 1,
        };
        let machine = AlterInSync {
            from: a,
            epoch,
            version: 9,
            members: Members::one(a).with(b),
            incarnations: [0, 5, 0, 0, 0, 0, 0],
        };
        let wire = wish(&peers, TopicId([1; 16]), &machine);
        assert_eq!(wire.members, vec![(A, 0), (B, 5)]);
        assert_eq!(peers.key(PeerNo(1)), Some(B));
    }
}
