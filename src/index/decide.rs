//! What the index decides: an event against the directory gives changes, effects and an answer.
//! Pure.
//!
//! | module | subject |
//! |---|---|
//! | `overlay` | what earlier decisions of the same commit changed |
//! | `rights` | who may do what to whom: the only place that says so |
//! | `register` | names and keys, passes |
//! | `topics` | creating, deleting, setting |
//! | `subscriptions` | subscribing, notices |
//! | `copies`, `recasting` | in-sync sets, elections, placement, repair |
//! | `moves` | wishes for another host |
//! | `held` | messages for topics that nobody can host |
//! | `recovery` | an index from a backup, topics whose copies are lost |
//! | `leave` | deregistering and forgetting |
//! | `session` | incarnations, a forgotten peer's return |
//!
//! Guarantees: a refused event changes nothing. Everything durable is in [`Decision::changes`],
//! which must be committed before [`Decision::effects`] happen and the answer is given. Must not
//! know tokio, connections or disks; time and random numbers are arguments.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::directory::{Directory, ErasureNo, Slot};
use super::record::Change;
use crate::replication::held::Incoming;
use crate::types::{
    BootId, Epoch, Fingerprint, Group, Incarnation, PeerName, SessionId, StorageId, TopicId,
    TopicName, TopicSettings, UnixMicros, Version,
};
use crate::wire::ErrorReply;
use crate::wire::index::copies::{
    AlterInSync, AlteredInSync, HandOver, HandedOver, HeldMessages, HeldSettled, LeftInSync,
    MovingTopic, SettledHeld,
};
use crate::wire::index::{
    CreateOutcome, DeletedTopic, Deregistered, Forgotten, HostAddress, NewTopic, SessionEnd,
    SetTopicDone, Subscribed,
};
use crate::wire::pass::PassBody;

mod copies;
mod held;
mod leave;
mod moves;
mod overlay;
mod recasting;
mod recovery;
mod register;
mod rights;
mod session;
mod subscriptions;
mod topics;

pub use overlay::Overlay;
use overlay::View;
pub use recasting::{Recast, Why};
pub use recovery::Gathered;
pub(crate) use recovery::{Need, is_orphan, need};
pub use rights::Caller;
pub(crate) use rights::not_registered;
pub(crate) use topics::{not_found as topic_not_found, peer_not_found};

/// Something to decide.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the fields are the requests'
pub enum Event {
    Register {
        caller: Caller,
        name: PeerName,
        program: String,
        observed: SocketAddr,
        /// The pass's number, never given before.
        serial: u64,
    },
    CreateTopics {
        caller: Caller,
        /// With the id that each gets if it is created.
        topics: Vec<(NewTopic, TopicId)>,
        host: Option<PeerName>,
    },
    DeleteTopic {
        caller: Caller,
        name: TopicName,
        topic: Option<TopicId>,
    },
    SetTopic {
        caller: Caller,
        name: TopicName,
        version: Version,
        settings: TopicSettings,
    },
    Subscribe {
        caller: Caller,
        name: TopicName,
        group: Group,
    },
    Unsubscribe {
        caller: Caller,
        name: TopicName,
        group: Group,
    },
    ClearNotices {
        caller: Caller,
        serial: u64,
    },
    Deregister {
        caller: Caller,
        delete_hosted: u32,
        discard: bool,
    },
    Forget {
        caller: Caller,
        name: PeerName,
        keep_topics: bool,
    },
    OpenSession {
        caller: Caller,
        session: SessionId,
        boot: BootId,
        storage: StorageId,
        incarnation: Incarnation,
        addresses: Vec<SocketAddr>,
        program: String,
        keeps_copies: bool,
    },
    AlterInSync {
        caller: Caller,
        request: AlterInSync,
    },
    HandOver {
        caller: Caller,
        request: HandOver,
    },
    /// A batch that was verified, to be held.
    HoldMessages {
        caller: Caller,
        topic: TopicId,
        batch: Incoming,
        bytes: Bytes,
    },
    /// Whether the caller may drain what is held.
    DrainHeld {
        caller: Caller,
        topic: TopicId,
        epoch: Epoch,
    },
    HeldSettled {
        caller: Caller,
        request: HeldSettled,
    },
    /// Of the caller's session, which still stands.
    LeaveInSync {
        caller: Caller,
        topic: TopicId,
    },
    MoveTopic {
        caller: Caller,
        name: TopicName,
        to: Option<PeerName>,
    },
    /// What an index that comes from a backup has learnt of topics: their records are rebuilt.
    Recover {
        topics: Vec<Gathered>,
        owner: Option<PeerName>,
    },
    /// The owner or operator gives up what the survivor's copy lacks.
    AcceptLoss {
        caller: Caller,
        gathered: Gathered,
        survivor: Fingerprint,
    },
    /// A peer came or went (`None`: any may have): topics that name it get a host that stands.
    Review {
        peer: Option<Fingerprint>,
        from: Slot,
    },
    /// Topics that never had their copies get some.
    Place {
        from: Slot,
    },
    /// Topics of which copies have been away for long get others.
    Repair {
        topics: Vec<TopicId>,
    },
    /// A host has erased topics, each as this order told it to.
    Erased {
        host: Fingerprint,
        topics: Vec<(TopicId, ErasureNo)>,
    },
    /// A host has not taken topics that were just created.
    HostRefused {
        host: Fingerprint,
        topics: Vec<(TopicId, ErrorReply)>,
    },
    /// A peer was last heard of now.
    Seen {
        peer: Fingerprint,
    },
    /// Old notices go.
    PruneNotices,
    /// Reports are written; the decider collects them.
    FlushReports,
}

impl Event {
    /// Whether the event walks whole tables, so that it must see every earlier decision applied.
    pub fn stands_alone(&self) -> bool {
        matches!(
            self,
            Event::Deregister { .. }
                | Event::Forget { .. }
                | Event::OpenSession { .. }
                | Event::PruneNotices
                | Event::Review { .. }
                | Event::Place { .. }
                | Event::Repair { .. }
                // The queues of what is held are the directory's.
                | Event::HoldMessages { .. }
                | Event::HeldSettled { .. }
                | Event::Recover { .. }
        )
    }
}

/// What a decision answers its requester.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // each is the answer to the event of its name
pub enum Answer {
    Registered {
        new: bool,
        pass: PassBody,
        notices: u32,
    },
    Created {
        host: Option<Arc<HostAddress>>,
        outcomes: Vec<CreateOutcome>,
    },
    Deleted(DeletedTopic),
    Set(SetTopicDone),
    Subscribed(Subscribed),
    Deregistered(Deregistered),
    Forgotten(Forgotten),
    SessionOpened {
        incarnation: Incarnation,
        advertised: Vec<SocketAddr>,
    },
    Altered(AlteredInSync),
    HandedOver(HandedOver),
    LeftInSync(LeftInSync),
    Moving(MovingTopic),
    Held(HeldMessages),
    /// The host may be given what is held.
    MayDrain,
    Settled(SettledHeld),
    LossAccepted(Epoch),
    /// Of an event that walks: where it goes on.
    Walked {
        next: Option<Slot>,
    },
    Done,
}

/// What happens once the changes are durable and applied, in this order.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // see each variant
pub enum Effect {
    /// The host is told to host these topics, by their records of that moment.
    Assign {
        host: Fingerprint,
        topics: Vec<TopicId>,
    },
    /// The host is told to erase these topics.
    Erase {
        host: Fingerprint,
        topics: Vec<TopicId>,
    },
    /// Whoever waits for the acceptance of this topic waits in vain.
    TopicGone { topic: TopicId, why: ErrorReply },
    /// A session begins; an older one of the peer is fenced if its boot differs.
    SessionOpened {
        peer: Fingerprint,
        session: SessionId,
        boot: BootId,
        keeps_copies: bool,
    },
    /// The peer gives its topics to others.
    Leaving { peer: Fingerprint },
    /// These topics may need other copies, or do not any more.
    LookAtCopies { topics: Vec<TopicId> },
    /// Some topics lack copies by name, and somebody may be there who can keep them.
    PlaceCopies,
    /// Nobody could be found who keeps copies of these topics.
    RepairLater { topics: Vec<TopicId> },
    /// The peer's session ends.
    EndSession { peer: Fingerprint, end: SessionEnd },
    /// A line for the log.
    Log(Happened),
}

/// What the log tells.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // see `index::log`
pub enum Happened {
    Registered {
        peer: PeerName,
        from: SocketAddr,
        key: Fingerprint,
    },
    LoggedIn {
        peer: PeerName,
    },
    Created {
        peer: PeerName,
        topics: Vec<TopicName>,
        host: PeerName,
    },
    Existed {
        peer: PeerName,
        topic: TopicName,
    },
    Deleted {
        peer: Option<PeerName>,
        topic: TopicName,
    },
    Refused {
        host: Fingerprint,
        topic: TopicName,
        why: ErrorReply,
    },
    Set {
        peer: Option<PeerName>,
        topic: TopicName,
    },
    Subscribed {
        peer: PeerName,
        topic: TopicName,
    },
    Unsubscribed {
        peer: PeerName,
        topic: TopicName,
    },
    Unregistered {
        peer: PeerName,
        deleted: u32,
    },
    Forgotten {
        peer: PeerName,
        deleted: u32,
        kept: u32,
    },
    SessionOpened {
        peer: PeerName,
        incarnation: Incarnation,
    },
    Adopted {
        peer: PeerName,
        topics: u32,
    },
    /// The first topics, and how many there are.
    Recast {
        topics: Vec<Recast>,
        count: usize,
        why: Why,
    },
}

/// What was decided about one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What becomes durable first.
    pub changes: Vec<Change>,
    /// What happens then.
    pub effects: Vec<Effect>,
    /// What the requester hears at last.
    pub answer: Result<Answer, ErrorReply>,
}

impl Decision {
    fn answered(answer: Answer) -> Self {
        Decision {
            changes: Vec::new(),
            effects: Vec::new(),
            answer: Ok(answer),
        }
    }

    fn refused(why: ErrorReply) -> Self {
        Decision {
            changes: Vec::new(),
            effects: Vec::new(),
            answer: Err(why),
        }
    }
}

/// Decides one event over the directory and the overlay of this commit, and adds its changes to
/// the overlay.
pub fn decide(base: &Directory, overlay: &mut Overlay, event: &Event, now: UnixMicros) -> Decision {
    let mut view = View { base, overlay, now };
    let decided = match event {
        Event::Register {
            caller,
            name,
            program,
            observed,
            serial,
        } => register::register(&view, *caller, name, program, *observed, *serial),
        Event::CreateTopics {
            caller,
            topics,
            host,
        } => topics::create(&view, *caller, topics, host.as_ref()),
        Event::DeleteTopic {
            caller,
            name,
            topic,
        } => topics::delete(&mut view, *caller, name, *topic),
        Event::SetTopic {
            caller,
            name,
            version,
            settings,
        } => topics::set(&view, *caller, name, *version, settings),
        Event::HostRefused { host, topics } => topics::host_refused(&mut view, *host, topics),
        Event::Erased { host, topics } => Ok(topics::erased(&view, *host, topics)),
        Event::Subscribe {
            caller,
            name,
            group,
        } => subscriptions::subscribe(&view, *caller, name, group),
        Event::Unsubscribe {
            caller,
            name,
            group,
        } => subscriptions::unsubscribe(&view, *caller, name, group),
        Event::ClearNotices { caller, serial } => subscriptions::clear(&view, *caller, *serial),
        Event::PruneNotices => Ok(subscriptions::prune(&view)),
        Event::Deregister {
            caller,
            delete_hosted,
            discard,
        } => leave::deregister(&mut view, *caller, *delete_hosted, *discard),
        Event::Forget {
            caller,
            name,
            keep_topics,
        } => leave::forget(&mut view, *caller, name, *keep_topics),
        Event::OpenSession {
            caller,
            session,
            boot,
            storage,
            incarnation,
            addresses,
            program,
            keeps_copies,
        } => {
            let opening = session::Opening {
                session: *session,
                boot: *boot,
                storage: *storage,
                incarnation: *incarnation,
                addresses,
                program,
                keeps_copies: *keeps_copies,
            };
            session::open(&view, *caller, &opening)
        }
        Event::AlterInSync { caller, request } => copies::alter(&view, *caller, request),
        Event::HandOver { caller, request } => copies::hand_over(&view, *caller, request),
        Event::HoldMessages {
            caller,
            topic,
            batch,
            bytes,
        } => held::hold(&view, *caller, *topic, *batch, bytes),
        Event::DrainHeld {
            caller,
            topic,
            epoch,
        } => held::drain(&view, *caller, *topic, *epoch),
        Event::HeldSettled { caller, request } => held::settled(&view, *caller, request),
        Event::LeaveInSync { caller, topic } => copies::leave_in_sync(&view, caller.key, *topic),
        Event::MoveTopic { caller, name, to } => {
            moves::move_topic(&view, *caller, name, to.as_ref())
        }
        Event::Recover { topics, owner } => recovery::recover(&view, topics, owner.as_ref()),
        Event::AcceptLoss {
            caller,
            gathered,
            survivor,
        } => recovery::accept_loss(&view, *caller, gathered, *survivor),
        Event::Review { peer, from } => Ok(copies::review(&view, *peer, *from)),
        Event::Place { from } => Ok(copies::place(&view, *from)),
        Event::Repair { topics } => Ok(copies::repair(&view, topics)),
        Event::Seen { peer } => Ok(register::seen(&view, *peer)),
        Event::FlushReports => Ok(Decision::answered(Answer::Done)),
    };
    let decision = decided.unwrap_or_else(Decision::refused);
    overlay.add(base, &decision.changes);
    decision
}

#[cfg(test)]
mod tests;
