//! The index's log: one place with its sentences, each with peer and topic as fields.

use std::net::SocketAddr;

use crate::limits;
use crate::types::{Fingerprint, PeerName, TopicName};

use super::decide::{Happened, Recast, Why};

/// Logs what a committed decision brought about.
pub(super) fn happened(what: &Happened) {
    match what {
        Happened::Registered { peer, from, key } => {
            tracing::info!(target: "waypost::index", %peer, %from, %key, "New user {peer} registered from {from}");
        }
        Happened::LoggedIn { peer } => {
            tracing::info!(target: "waypost::index", %peer, "Peer {peer} already registered. Logging in.");
        }
        Happened::Created { peer, topics, host } if topics.len() > limits::CREATIONS_LOGGED => {
            let (first, count) = (&topics[0], topics.len());
            tracing::info!(target: "waypost::index", %peer, topic = %first, count, %host, "Peer {peer} created {count} topics, the first '{first}'");
        }
        Happened::Created { peer, topics, host } => {
            for topic in topics {
                tracing::info!(target: "waypost::index", %peer, %topic, %host, "Peer {peer} created topic '{topic}'");
            }
        }
        Happened::Existed { peer, topic } => {
            tracing::info!(target: "waypost::index", %peer, %topic, "Peer {peer} tried to create {topic}, but it already exists.");
        }
        Happened::Deleted {
            peer: Some(peer),
            topic,
        } => {
            tracing::info!(target: "waypost::index", %peer, %topic, "Peer {peer} deleted topic '{topic}'");
        }
        Happened::Deleted { peer: None, topic } => {
            tracing::info!(target: "waypost::index", %topic, "The operator deleted topic '{topic}'");
        }
        Happened::Refused { host, topic, why } => {
            tracing::warn!(target: "waypost::index", %host, %topic, %why, "Topic '{topic}' was not created: its host refused it");
        }
        Happened::Set {
            peer: Some(peer),
            topic,
        } => {
            tracing::info!(target: "waypost::index", %peer, %topic, "Peer {peer} changed topic '{topic}'");
        }
        Happened::Set { peer: None, topic } => {
            tracing::info!(target: "waypost::index", %topic, "The operator changed topic '{topic}'");
        }
        Happened::Subscribed { peer, topic } => {
            tracing::info!(target: "waypost::index", %peer, %topic, "Peer {peer} subscribed to topic '{topic}'");
        }
        Happened::Unsubscribed { peer, topic } => {
            tracing::info!(target: "waypost::index", %peer, %topic, "Peer {peer} unsubscribed from topic '{topic}'");
        }
        Happened::Unregistered { peer, deleted } => {
            tracing::info!(target: "waypost::index", %peer, deleted, "Unregistered peer {peer}");
        }
        Happened::Forgotten {
            peer,
            deleted,
            kept,
        } => {
            tracing::info!(target: "waypost::index", %peer, deleted, kept, "The operator freed the name of peer {peer}");
        }
        Happened::SessionOpened { peer, incarnation } => {
            tracing::info!(target: "waypost::index", %peer, incarnation, "Peer {peer} is live");
        }
        Happened::Adopted { peer, topics } => {
            tracing::info!(target: "waypost::index", %peer, topics, "Peer {peer} hosts the {topics} topics again that its name had");
        }
        Happened::Recast { topics, count, why } => recast(topics, *count, why),
    }
}

fn recast(topics: &[Recast], count: usize, why: &Why) {
    let why = reason(why);
    if count > topics.len()
        && let Some(first) = topics.first()
    {
        let first = &first.topic;
        tracing::info!(target: "waypost::index", count, topic = %first, why, "The copies of {count} topics, the first '{first}', were changed: {why}");
        return;
    }
    for Recast {
        topic,
        host,
        grant,
        in_sync,
        replicas,
        state,
    } in topics
    {
        let (in_sync, copies) = (listed(in_sync), listed(replicas));
        let host = host.as_ref().map_or("-", |host| host.as_str());
        tracing::info!(target: "waypost::index", %topic, host, grant, in_sync, copies, state, why, "Topic '{topic}' is {state} at {host}, in sync {in_sync} of {copies}: {why}");
    }
}

fn listed(names: &[PeerName]) -> String {
    let names: Vec<&str> = names.iter().map(PeerName::as_str).collect();
    format!("[{}]", names.join(" "))
}

fn reason(why: &Why) -> String {
    match why {
        Why::Wished => "its host says who is in sync".into(),
        Why::Away(peer) => format!("peer {peer} is away"),
        Why::Live(peer) => format!("peer {peer} is live"),
        Why::Reviewed => "who is live has changed".into(),
        Why::Placed => "a peer is there that keeps copies".into(),
        Why::Repaired => "a copy has been away for long".into(),
        Why::Set => "its settings were changed".into(),
        Why::Moving => "another host is wished".into(),
        Why::TakenOver => "the next host has everything".into(),
        Why::Lost(peer) => format!("the copy of peer {peer} is not what it was"),
        Why::Held => "nobody can host it, so the index holds messages for it".into(),
        Why::Drained => "its host has all that the index held".into(),
        Why::Leaves(peer) => format!("peer {peer} leaves"),
        Why::Recovered => "rebuilt from what peers have".into(),
        Why::LossAccepted => "what other copies had is given up".into(),
    }
}

/// A peer knows more of a topic than the index.
pub(super) fn behind(topic: &TopicName, grant: u32, known: u32, key: Fingerprint) {
    tracing::error!(target: "waypost::index", %topic, grant, known, %key, "Topic '{topic}' is frozen: a peer knows grant {known}, this index {grant}, so it comes from a backup");
}

/// A peer fell silent.
pub(super) fn away(peer: &str, key: Fingerprint) {
    tracing::warn!(target: "waypost::index", %peer, %key, "Peer {peer} is away");
}

/// A session ended because a newer process took its place.
pub(super) fn fenced(peer: &str, key: Fingerprint) {
    tracing::warn!(target: "waypost::index", %peer, %key, "An older process of peer {peer} was fenced");
}

/// An attempt to take a name or get in that was refused.
pub(super) fn refused(from: SocketAddr, key: Fingerprint, why: &str) {
    tracing::warn!(target: "waypost::index", %from, %key, why, "Registration refused");
}
