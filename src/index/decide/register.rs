//! Names and keys: the first to register a name has it until it leaves.

use std::net::SocketAddr;

use super::overlay::View;
use super::rights::Caller;
use super::{Answer, Decision, Effect, Happened};
use crate::index::record::{Change, Counters, PeerRecord};
use crate::limits;
use crate::types::{Fingerprint, PeerName, UnixMicros};
use crate::wire::pass::PassBody;
use crate::wire::{ErrorCode, ErrorReply};

pub(super) fn register(
    view: &View<'_>,
    caller: Caller,
    name: &PeerName,
    program: &str,
    observed: SocketAddr,
    serial: u64,
) -> Result<Decision, ErrorReply> {
    let known = view.peer_named(name);
    if let Some(other) = known.filter(|peer| peer.fingerprint != caller.key) {
        return Err(mismatch(other, caller.key));
    }
    if let Some(other) = view.peer(caller.key).filter(|peer| peer.name != *name) {
        return Err(ErrorReply::new(
            ErrorCode::NameTaken,
            format!(
                "this key is registered as peer \"{}\" already; expected that name, found \"{name}\"",
                other.name
            ),
        ));
    }
    let new = known.is_none();
    let mut decision = Decision::answered(Answer::Registered {
        new,
        pass: pass(view.now, caller.key, name, serial),
        notices: view.notices(caller.key).len() as u32,
    });
    let record = match known {
        Some(peer) => login(peer, program),
        None => Some(newcomer(view, caller.key, name, program, observed)),
    };
    decision.changes.extend(record.map(Change::PutPeer));
    decision.changes.extend(reserve(view.counters(), serial));
    decision.effects.push(Effect::Log(if new {
        Happened::Registered {
            peer: name.clone(),
            from: observed,
            key: caller.key,
        }
    } else {
        Happened::LoggedIn { peer: name.clone() }
    }));
    Ok(decision)
}

fn newcomer(
    view: &View<'_>,
    key: Fingerprint,
    name: &PeerName,
    program: &str,
    observed: SocketAddr,
) -> PeerRecord {
    // A key that was forgotten and comes back must not fall behind its own epochs.
    let incarnation = view
        .base
        .waiting(key)
        .map_or(0, |waiting| waiting.incarnation);
    PeerRecord {
        name: name.clone(),
        fingerprint: key,
        version: 1,
        incarnation,
        boot: None,
        fenced: Vec::new(),
        storage: None,
        addresses: Vec::new(),
        program: program.to_owned(),
        registered: view.now,
        observed,
        last_seen: None,
    }
}

/// Logging in changes nothing durable unless the program is another: one-shot commands log in
/// all the time.
fn login(peer: &PeerRecord, program: &str) -> Option<PeerRecord> {
    (peer.program != program).then(|| PeerRecord {
        version: peer.version + 1,
        program: program.to_owned(),
        ..peer.clone()
    })
}

fn pass(now: UnixMicros, key: Fingerprint, name: &PeerName, serial: u64) -> PassBody {
    let age = i64::try_from(limits::PASS_AGE.as_micros()).unwrap_or(i64::MAX);
    PassBody {
        fingerprint: key,
        name: name.clone(),
        serial,
        issued: now,
        expires: UnixMicros(now.0.saturating_add(age)),
    }
}

/// Serials are reserved in blocks, so that most log-ins write nothing; a restart skips the rest.
fn reserve(counters: Counters, serial: u64) -> Option<Change> {
    (serial >= counters.passes).then(|| {
        Change::PutCounters(Counters {
            passes: serial + limits::PASS_SERIALS_RESERVED,
            ..counters
        })
    })
}

fn mismatch(bound: &PeerRecord, found: Fingerprint) -> ErrorReply {
    let date = bound.registered.to_string();
    let date = date.split(' ').next().unwrap_or_default();
    ErrorReply::new(
        ErrorCode::IdentityMismatch,
        format!(
            "peer name \"{}\" is bound to another key; expected {}, registered {date} from {}; found {found}",
            bound.name,
            bound.fingerprint,
            bound.observed.ip()
        ),
    )
}

/// Records when a peer was last heard of.
pub(super) fn seen(view: &View<'_>, key: Fingerprint) -> Decision {
    let mut decision = Decision::answered(Answer::Done);
    decision.changes.extend(view.peer(key).map(|peer| {
        Change::PutPeer(PeerRecord {
            version: peer.version + 1,
            last_seen: Some(view.now),
            ..peer.clone()
        })
    }));
    decision
}
