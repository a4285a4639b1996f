//! Messages of the index protocol, ALPN `waypost-index/1`.
//!
//! A request is the first frame of a bidirectional stream and is answered by one frame of the same
//! number, or by [`super::ErrorReply`]. Three requests open long streams that make up the session of
//! a hosting peer: [`SessionOpen`] (heartbeats), [`SessionAssignments`] and [`SessionReports`].
//!
//! Structs are frozen once released: a change is a new message number.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub mod copies;
pub mod recovery;
mod session;

pub use session::{
    Assign, Assigned, Assignment, AssignmentsOpened, CopyLag, Heartbeat, HeartbeatAck, Report,
    ReportAck, ReportsOpened, SessionAssignments, SessionEnd, SessionOpen, SessionOpened,
    SessionReports,
};

use copies::{
    AlterInSync, AlteredInSync, DrainHeld, DrainedHeld, HandOver, HandedOver, HeldInfo,
    HeldMessages, HeldSettled, HoldMessages, LeaveInSync, LeftInSync, MoveTopic, MovingTopic,
    SettledHeld,
};
use recovery::{
    CopiesReported, RecoverIndex, RecoverTopic, RecoveringIndex, RecoveringTopic, ReportCopies,
};

use super::frame::Frame;
use super::message::{Message, message, requests};
use super::pass::SignedPass;
use crate::limits;
use crate::types::{
    Epoch, Fingerprint, Group, Incarnation, Offset, PeerName, TopicId, TopicName, TopicSettings,
    UnixMicros, Version,
};

requests! {
    /// Every request of the index protocol.
    pub enum IndexRequest {
        Register => Registered,
        Lookup => Route,
        LookupMany => Routes,
        CreateTopics => CreatedTopics,
        DeleteTopic => DeletedTopic,
        SetTopic => SetTopicDone,
        ListTopics => TopicPage,
        ShowTopic => ShownTopic,
        Subscribe => Subscribed,
        Unsubscribe => Unsubscribed,
        ListSubscriptions => SubscriptionPage,
        ClearNotices => NoticesCleared,
        ListPeers => PeerPage,
        ShowPeer => ShownPeer,
        Deregister => Deregistered,
        Forget => Forgotten,
        IndexStatus => IndexStatusReply,
        SessionOpen => SessionOpened,
        SessionAssignments => AssignmentsOpened,
        SessionReports => ReportsOpened,
        AlterInSync => AlteredInSync,
        HandOver => HandedOver,
        MoveTopic => MovingTopic,
        LeaveInSync => LeftInSync,
        HoldMessages => HeldMessages,
        DrainHeld => DrainedHeld,
        HeldSettled => SettledHeld,
        ReportCopies => CopiesReported,
        RecoverTopic => RecoveringTopic,
        RecoverIndex => RecoveringIndex,
    }
}

// ---- registration ----

/// Binds the connection's key to a name, or logs in; answers a fresh pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Register {
    /// The name wanted.
    pub name: PeerName,
    /// The program's version, for `peers show`.
    pub version: String,
}
message!(0x01 Register, version <= limits::REMARK_BYTES);

/// The answer to [`Register`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// Whether the name was bound by this request; otherwise it was known under this key.
    pub new: bool,
    /// What hosts want to see.
    pub pass: SignedPass,
    /// The caller's address as the index sees it.
    pub observed: SocketAddr,
    /// Deleted topics and the like that wait for this peer (see [`ListSubscriptions`]).
    pub notices: u32,
}
message!(0x01 Registered);

// ---- routing ----

/// Asks for the route of one topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lookup {
    /// The topic.
    pub name: TopicName,
}
message!(0x02 Lookup);

/// Who hosts, where, under which key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAddress {
    /// The host's key.
    pub fingerprint: Fingerprint,
    /// The host's name.
    pub name: PeerName,
    /// Where it listens; empty if it never opened a session. One per I/O runtime: clients choose by
    /// their own fingerprint's hash.
    pub addresses: Vec<SocketAddr>,
    /// Whether its session is alive at the index.
    pub live: bool,
}

/// Where a topic is. Not signed: it arrives over the pinned connection to the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The topic's id; another id is another topic.
    pub topic: TopicId,
    /// The host's epoch for the topic, computed at the lookup.
    pub epoch: Epoch,
    /// The host; routes that came together share it.
    pub host: Arc<HostAddress>,
}
message!(0x02 Route);

/// Asks for many routes at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LookupMany {
    /// The topics; bounded by the size of a request.
    pub names: Vec<TopicName>,
}
message!(0x03 LookupMany, names <= limits::LOOKUP_NAMES);

impl LookupMany {
    /// The names as they lie in the frame, which spares the index an allocation for each. `None`: it is
    /// another message, or not a legal one, as decoding it says.
    pub fn names_in(frame: &Frame) -> Option<Vec<&str>> {
        if frame.kind != Self::KIND {
            return None;
        }
        let (names, rest) = postcard::take_from_bytes::<Vec<&str>>(&frame.rest).ok()?;
        let is_legal = rest.is_empty()
            && names.len() <= limits::LOOKUP_NAMES
            && names.iter().all(|name| TopicName::is_legal(name));
        is_legal.then_some(names)
    }
}

/// The answer to [`LookupMany`]: hosts are named once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Routes {
    /// The hosts that occur.
    pub hosts: Vec<Arc<HostAddress>>,
    /// One entry per name asked, in its order; `None`: no such topic.
    pub routes: Vec<Option<CompactRoute>>,
}
message!(0x03 Routes);

/// A route that points into [`Routes::hosts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactRoute {
    /// The topic's id.
    pub topic: TopicId,
    /// The host's epoch.
    pub epoch: Epoch,
    /// Position in the list of hosts.
    pub host: u32,
}

// ---- topics ----

/// Creates topics, all hosted by one peer; the caller is their owner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateTopics {
    /// The topics; bounded by the size of a request.
    pub topics: Vec<NewTopic>,
    /// Who is to host. `None`: the caller's own peer if it is live, else the least loaded live one.
    pub host: Option<PeerName>,
}
message!(0x04 CreateTopics);

/// One topic to create.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// Its settings.
    pub settings: TopicSettings,
}

/// The answer to [`CreateTopics`], given once the host has durably accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreatedTopics {
    /// The host of those that were created; `None` where none was.
    pub host: Option<Arc<HostAddress>>,
    /// One entry per topic asked, in its order.
    pub outcomes: Vec<CreateOutcome>,
}
message!(0x04 CreatedTopics);

/// What became of one topic to create.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CreateOutcome {
    /// It exists now.
    Created {
        /// Its id.
        topic: TopicId,
        /// Its host's epoch.
        epoch: Epoch,
    },
    /// The name is taken.
    Exists {
        /// By this owner.
        owner: Option<PeerName>,
    },
    /// It was not created, for another reason.
    Refused(super::ErrorReply),
}

/// Deletes a topic with all its data. Only the owner or the operator may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeleteTopic {
    /// The topic.
    pub name: TopicName,
    /// Deletes only this life of the topic.
    pub topic: Option<TopicId>,
}
message!(0x05 DeleteTopic);

/// The answer to [`DeleteTopic`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeletedTopic {
    /// The id that is gone.
    pub topic: TopicId,
    /// Subscribers that are told.
    pub subscribers: u32,
}
message!(0x05 DeletedTopic);

/// Changes settings. Only the owner or the operator may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetTopic {
    /// The topic.
    pub name: TopicName,
    /// The version that the caller has seen; the change is refused on another.
    pub version: Version,
    /// All settings as they shall be.
    pub settings: TopicSettings,
}
message!(0x06 SetTopic);

/// The answer to [`SetTopic`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetTopicDone {
    /// The record's new version.
    pub version: Version,
}
message!(0x06 SetTopicDone);

/// Asks for a page of topics in the order of their names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListTopics {
    /// Only names that begin so; empty: all.
    pub prefix: String,
    /// Only topics of this owner.
    pub owner: Option<PeerName>,
    /// Only topics hosted by this peer.
    pub host: Option<PeerName>,
    /// Names after this one; `None`: from the start.
    pub after: Option<TopicName>,
    /// Entries wanted, at most [`limits::PAGE_ENTRIES`].
    pub limit: u32,
}
message!(0x07 ListTopics, prefix <= limits::TOPIC_NAME_BYTES);

/// A page of topics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopicPage {
    /// The entries.
    pub topics: Vec<TopicInfo>,
    /// Where the next page starts (pass it as `after`); `None`: this was the last page. A page may
    /// hold fewer entries than asked, even none, and still have a next one.
    pub next: Option<TopicName>,
}
message!(0x07 TopicPage);

/// A topic as listings show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopicInfo {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub topic: TopicId,
    /// The owner's name; `None` once that peer is gone.
    pub owner: Option<PeerName>,
    /// The host's name.
    pub host: Option<PeerName>,
    /// Whether the host's session is alive.
    pub host_live: bool,
    /// The host's epoch.
    pub epoch: Epoch,
    /// The record's version.
    pub version: Version,
    /// Settings.
    pub settings: TopicSettings,
    /// What it is doing.
    pub phase: TopicPhase,
    /// Peers that keep a copy or are to get one, the host included.
    pub replicas: u8,
    /// How many of them have every acknowledged message.
    pub in_sync: u8,
    /// How many of those have a live session.
    pub in_sync_live: u8,
    /// What the host last reported, and how long ago.
    pub reported: Option<ReportedTopic>,
    /// Messages that the copy lacks that lacks most, as far as known.
    pub largest_lag: u64,
}

/// What a topic is doing, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopicPhase {
    /// Its host serves it.
    Serving,
    /// Its host pauses appends until the next one has everything.
    HandingOver,
    /// Nobody who has every acknowledged message is live.
    Offline,
    /// As Offline, and the index takes messages meanwhile.
    Held,
    /// A peer knows more of it than this index, which comes from a backup: nothing is decided about
    /// it before `waypost index recover`.
    Behind,
}

/// Reported metadata with its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedTopic {
    /// The report.
    pub metadata: TopicMetadata,
    /// Milliseconds since the index got it; `None`: before the index's last start.
    pub age_ms: Option<u64>,
}

/// What a host reports of a topic's log. Advisory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TopicMetadata {
    /// First offset kept.
    pub start: u64,
    /// Offset that the next message gets.
    pub end: u64,
    /// Bytes of batches kept.
    pub bytes: u64,
    /// Append time of the last message; 0: none yet.
    pub last_append: UnixMicros,
}

impl TopicMetadata {
    /// Messages kept.
    pub fn count(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// The last message's offset, if there is a message.
    pub fn last_offset(&self) -> Option<Offset> {
        (self.end > 1).then(|| Offset(self.end - 1))
    }
}

/// Asks for one topic with its subscribers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShowTopic {
    /// The topic.
    pub name: TopicName,
}
message!(0x08 ShowTopic);

/// The answer to [`ShowTopic`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownTopic {
    /// The topic.
    pub info: TopicInfo,
    /// The host's addresses.
    pub host: Option<Arc<HostAddress>>,
    /// In-sync members by name.
    pub in_sync: Vec<PeerName>,
    /// Peers that keep a copy or are to get one, by name.
    pub replicas: Vec<PeerName>,
    /// Whom it is being handed over to.
    pub handing_to: Option<PeerName>,
    /// What the index holds for it until a host has come and appended that.
    pub held: Option<HeldInfo>,
    /// Subscribers by name, at most [`limits::PAGE_ENTRIES`].
    pub subscribers: Vec<PeerName>,
    /// Subscribers in all.
    pub subscriber_count: u32,
    /// The replicas that are not in sync, by name.
    pub behind: Vec<BehindCopy>,
}
message!(0x08 ShownTopic);

/// A copy that is not in sync, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BehindCopy {
    /// Who keeps it, or is to get it.
    pub peer: PeerName,
    /// Messages that it lacks, as the host last reported; `None`: not known.
    pub messages: Option<u64>,
    /// Since how many milliseconds hosts have reported it behind; `None`: not known.
    pub behind_ms: Option<u64>,
}

// ---- subscriptions ----

/// Records a durable subscription of the caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscribe {
    /// The topic.
    pub name: TopicName,
    /// The caller's consumer group.
    pub group: Group,
}
message!(0x09 Subscribe);

/// The answer to [`Subscribe`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscribed {
    /// Whether it is new.
    pub new: bool,
    /// Where the topic is.
    pub route: Route,
}
message!(0x09 Subscribed);

/// Takes a subscription back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// The topic.
    pub name: TopicName,
    /// The caller's consumer group.
    pub group: Group,
}
message!(0x0a Unsubscribe);

/// The answer to [`Unsubscribe`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unsubscribed {}
message!(0x0a Unsubscribed);

/// Asks for the caller's subscriptions and notices, in pages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListSubscriptions {
    /// Continue after this topic and group.
    pub after: Option<(TopicName, Group)>,
    /// Entries wanted, at most [`limits::PAGE_ENTRIES`].
    pub limit: u32,
}
message!(0x0b ListSubscriptions);

/// A page of subscriptions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionPage {
    /// The entries, by topic name, then group.
    pub subscriptions: Vec<SubscriptionInfo>,
    /// Whether there are more after these.
    pub more: bool,
    /// The oldest undelivered notices, on the first page only; clear them when shown.
    pub notices: Vec<Notice>,
}
message!(0x0b SubscriptionPage);

/// One subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionInfo {
    /// The topic.
    pub name: TopicName,
    /// The consumer group.
    pub group: Group,
    /// Since when.
    pub since: UnixMicros,
    /// Where the topic is.
    pub route: Route,
    /// What the host last reported.
    pub reported: Option<ReportedTopic>,
}

/// Something that a peer is to be told, kept until it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Rises by time within one peer's notices.
    pub serial: u64,
    /// When it happened.
    pub at: UnixMicros,
    /// What happened.
    pub what: NoticeKind,
}

/// What a notice tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoticeKind {
    /// A subscribed topic was deleted.
    TopicDeleted {
        /// The topic.
        name: TopicName,
        /// Its id.
        topic: TopicId,
        /// By whom; `None`: by the index's operator.
        by: Option<PeerName>,
    },
}

/// Clears the caller's notices up to and with `serial`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClearNotices {
    /// The last notice that was shown.
    pub serial: u64,
}
message!(0x0c ClearNotices);

/// The answer to [`ClearNotices`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoticesCleared {}
message!(0x0c NoticesCleared);

// ---- peers ----

/// Asks for a page of peers in the order of their names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListPeers {
    /// Names after this one.
    pub after: Option<PeerName>,
    /// Entries wanted, at most [`limits::PAGE_ENTRIES`].
    pub limit: u32,
}
message!(0x0d ListPeers);

/// A page of peers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerPage {
    /// The entries.
    pub peers: Vec<PeerInfo>,
    /// Whether there are more after these.
    pub more: bool,
}
message!(0x0d PeerPage);

/// A peer as listings show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// Its name.
    pub name: PeerName,
    /// Its key.
    pub fingerprint: Fingerprint,
    /// Whether its session is alive.
    pub live: bool,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Its program's version.
    pub version: String,
    /// When it registered first.
    pub registered: UnixMicros,
    /// When it last opened a session or was last heard of, as far as recorded.
    pub last_seen: Option<UnixMicros>,
    /// Its incarnation; 0: never hosted.
    pub incarnation: Incarnation,
    /// Topics that it hosts.
    pub hosted: u32,
    /// Topics of which it keeps a copy or is to get one, hosted ones included.
    pub copies: u32,
    /// Whether it keeps copies of topics that others host; as said at its last session.
    pub keeps_copies: bool,
    /// Topics that it owns.
    pub owned: u32,
    /// Its subscriptions.
    pub subscriptions: u32,
    /// Of its copies, those that are not in sync.
    pub behind: u32,
    /// Messages that the one of them lacks that lacks most, as far as known.
    pub largest_lag: u64,
}

/// Asks for one peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShowPeer {
    /// The peer.
    pub name: PeerName,
}
message!(0x0e ShowPeer);

/// The answer to [`ShowPeer`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownPeer {
    /// The peer.
    pub info: PeerInfo,
}
message!(0x0e ShownPeer);

/// Removes the caller: its name, its subscriptions and its copies. Topics that it hosts move to other
/// peers first, if it is live and there are any who can take them: each call takes the next steps, so it
/// is repeated until [`Deregistered::left`] is 0. Topics of which nobody else has a copy are deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deregister {
    /// Topics that the caller has seen listed and agrees to lose; if the index knows of more that
    /// only the caller has, it answers `NeedsConfirmation`.
    pub delete_hosted: u32,
    /// Lose them even if others could take copies of them first.
    pub discard: bool,
}
message!(0x10 Deregister);

/// The answer to [`Deregister`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deregistered {
    /// Topics that were deleted.
    pub deleted: u32,
    /// Topics that the caller still hosts while some of them move to other peers; 0: the caller is gone.
    /// Otherwise to be asked again.
    pub left: u32,
}
message!(0x10 Deregistered);

/// Operator only: frees a peer's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forget {
    /// The name.
    pub name: PeerName,
    /// Keep its topics: the next key that registers the name from the same storage hosts again.
    pub keep_topics: bool,
}
message!(0x11 Forget);

/// The answer to [`Forget`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Topics that were deleted.
    pub deleted: u32,
    /// Topics that wait for the name's next key.
    pub kept: u32,
}
message!(0x11 Forgotten);

/// Asks the index about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexStatus {}
message!(0x12 IndexStatus);

/// The answer to [`IndexStatus`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexStatusReply {
    /// The program's version.
    pub version: String,
    /// When it started.
    pub started: UnixMicros,
    /// Registered peers.
    pub peers: u64,
    /// Peers with a live session.
    pub live: u64,
    /// Topics.
    pub topics: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Topics with fewer live copies in sync than they are to have.
    pub under_replicated: u64,
    /// Topics of which nobody who has every acknowledged message is live.
    pub offline: u64,
    /// Topics of which a peer knows more than this index does; see [`TopicPhase::Behind`].
    pub behind: u64,
    /// Messages that the index holds for topics without a live host.
    pub held: u64,
    /// Topics of which it holds some.
    pub held_topics: u64,
    /// Copies that are not in sync.
    pub copies_behind: u64,
    /// Messages that the one of them lacks that lacks most, as far as known.
    pub largest_lag: u64,
}
message!(0x12 IndexStatusReply);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::encode;

    fn frame_of(bytes: &[u8]) -> Frame {
        let (kind, rest) = bytes[4..].split_first().unwrap();
        Frame {
            kind: *kind,
            rest: bytes::Bytes::copy_from_slice(rest),
        }
    }

    #[test]
    fn names_are_read_in_place_where_the_message_is_a_legal_one() {
        let names = ["a/1", "b"].map(|name| TopicName::new(name).unwrap());
        let asked = LookupMany {
            names: names.to_vec(),
        };
        let bytes = encode(&asked);
        assert_eq!(
            LookupMany::names_in(&frame_of(&bytes)),
            Some(vec!["a/1", "b"])
        );
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(LookupMany::names_in(&frame_of(&longer)), None);
        let cut = frame_of(&bytes[..bytes.len() - 1]);
        assert_eq!(LookupMany::names_in(&cut), None);
        let mut illegal = bytes.to_vec();
        *illegal.last_mut().unwrap() = b' ';
        assert_eq!(LookupMany::names_in(&frame_of(&illegal)), None);
        assert!(frame_of(&illegal).decode::<LookupMany>().is_err());
        let other = encode(&Lookup {
            name: names[0].clone(),
        });
        assert_eq!(LookupMany::names_in(&frame_of(&other)), None);
    }
}
