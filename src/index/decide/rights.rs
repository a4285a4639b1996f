//! Who may do what: asked on the target of each request, and only here.

use super::overlay::View;
use crate::index::record::{PeerRecord, TopicRecord};
use crate::types::Fingerprint;
use crate::wire::{ErrorCode, ErrorReply};

/// Whoever sent a request, as the connection's handshake proved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The key.
    pub key: Fingerprint,
    /// Whether it is the index's own key.
    pub operator: bool,
}

/// What a request wants to do, with its target.
pub(super) enum Action<'a> {
    /// Something that concerns only the caller: its own topics to be, subscriptions, notices,
    /// session, name.
    Own,
    /// Ending or changing a topic.
    Change(&'a TopicRecord),
    /// Freeing another peer's name.
    Forget,
}

/// Answers the caller's own record, `None` for an operator who is no peer, if the action is allowed.
pub(super) fn check<'a>(
    view: &'a View<'_>,
    caller: Caller,
    action: &Action<'_>,
) -> Result<Option<&'a PeerRecord>, ErrorReply> {
    let peer = view.peer(caller.key);
    match action {
        Action::Own => peer.map(Some).ok_or_else(|| not_registered(caller.key)),
        Action::Change(_) | Action::Forget if caller.operator => Ok(peer),
        Action::Change(topic) => {
            let peer = peer.ok_or_else(|| not_registered(caller.key))?;
            if topic.owner == caller.key {
                return Ok(Some(peer));
            }
            let owner = view.name_of(topic.owner);
            let owner =
                owner.map_or_else(|| topic.owner.to_string(), |name| format!("peer {name}"));
            Err(ErrorReply::new(
                ErrorCode::Forbidden,
                format!(
                    "topic '{}' belongs to {owner}; peer {} may neither delete nor change it",
                    topic.name, peer.name
                ),
            ))
        }
        Action::Forget => Err(ErrorReply::new(
            ErrorCode::Forbidden,
            "only the index's operator, who holds its key, may free a name",
        )),
    }
}

/// The caller's own record, for actions that only a registered peer takes.
pub(super) fn own(view: &View<'_>, caller: Caller) -> Result<PeerRecord, ErrorReply> {
    match check(view, caller, &Action::Own)? {
        Some(peer) => Ok(peer.clone()),
        None => Err(not_registered(caller.key)),
    }
}

/// The error for a key without a name.
pub(crate) fn not_registered(key: Fingerprint) -> ErrorReply {
    ErrorReply::new(
        ErrorCode::NotRegistered,
        format!("the key {key} has not registered a name here"),
    )
}
