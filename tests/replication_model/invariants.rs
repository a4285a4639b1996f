//! The promises, checked in every state (docs/REPLICATION.md, "Invariants").

use super::world::{Role, World};

/// What is broken, if something is.
pub fn check(world: &World) -> Option<String> {
    if let Some(broken) = world.broken {
        return Some(broken.to_owned());
    }
    members_have_what_is_committed(world)
        .or_else(|| one_writer_per_epoch(world))
        .or_else(|| one_content_per_epoch_and_offset(world))
        .or_else(|| failures_never_empty_a_set(world))
}

fn members_have_what_is_committed(world: &World) -> Option<String> {
    // A record from a backup names the members of then; what is left to promise is I2 to I4.
    if world.restored {
        return None;
    }
    for member in world.record.in_sync.iter() {
        let peer = &world.peers[member.0 as usize];
        if peer.storage != world.known[member.0 as usize].storage {
            continue;
        }
        let log: Vec<u8> = peer.disk.log.iter().map(|(_, content)| *content).collect();
        if !log.starts_with(&world.committed) {
            return Some(format!(
                "I1: {member:?} is in sync with {log:?}, committed is {:?}",
                world.committed
            ));
        }
    }
    None
}

fn one_writer_per_epoch(world: &World) -> Option<String> {
    let mut epochs = Vec::new();
    for peer in &world.peers {
        if let Role::Host(topic) = &peer.role {
            if epochs.contains(&topic.epoch()) {
                return Some(format!("I2: two hosts under {}", topic.epoch()));
            }
            epochs.push(topic.epoch());
        }
    }
    None
}

/// I3 and log matching: logs with the same epoch at an offset are equal up to it.
fn one_content_per_epoch_and_offset(world: &World) -> Option<String> {
    for (at, one) in world.peers.iter().enumerate() {
        for other in &world.peers[at + 1..] {
            let (one, other) = (&one.disk.log, &other.disk.log);
            let shared = one.iter().zip(other).rposition(|(a, b)| a.0 == b.0);
            if let Some(last) = shared.filter(|&last| one[..=last] != other[..=last]) {
                return Some(format!(
                    "I3: two logs differ below {last}: {one:?} {other:?}"
                ));
            }
        }
    }
    None
}

/// I9: only a lost disk may.
fn failures_never_empty_a_set(world: &World) -> Option<String> {
    let wiped = world.peers.iter().any(|peer| peer.storage > 0);
    (world.record.in_sync.is_empty() && !wiped).then(|| "I9: the in-sync set is empty".to_owned())
}
