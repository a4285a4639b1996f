//! The session of a hosting peer: heartbeats, assignments, reports, each on a stream of its own.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::TopicMetadata;
use super::copies::{Copies, CopyReport};
use super::recovery::TellCopies;
use crate::limits;
use crate::types::{
    BootId, Fingerprint, Incarnation, SessionId, StorageId, TopicId, TopicName, TopicSettings,
};
use crate::wire::ErrorReply;
use crate::wire::message::message;

/// Opens the session of a hosting peer. The stream stays open and carries [`Heartbeat`] up,
/// [`HeartbeatAck`] and [`SessionEnd`] down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionOpen {
    /// Random per start of the process; a new one raises the incarnation and fences the older session.
    pub boot: BootId,
    /// Random per data folder.
    pub storage: StorageId,
    /// The highest incarnation that the data folder has seen, 0 if none: the index grants a higher
    /// one, also when it was restored from a backup or the folder came under another key.
    pub incarnation: Incarnation,
    /// Where it listens; an unspecified IP is replaced by the address that the index observes.
    pub addresses: Vec<SocketAddr>,
    /// The program's version.
    pub version: String,
    /// Whether it is willing to keep copies of topics that others host.
    pub keeps_copies: bool,
}
message!(0x20 SessionOpen, addresses <= limits::PEER_ADDRESSES);

/// The answer to [`SessionOpen`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionOpened {
    /// Names the session on the other two streams.
    pub session: SessionId,
    /// The peer's incarnation from now on.
    pub incarnation: Incarnation,
    /// How often to send a heartbeat, ms.
    pub heartbeat_ms: u32,
    /// L: how long a host may act after sending a heartbeat that was answered, ms.
    pub lease_ms: u32,
    /// The addresses as the index will give them out.
    pub advertised: Vec<SocketAddr>,
}
message!(0x20 SessionOpened);

/// "I live." Sent on the stream of [`SessionOpen`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Counts up.
    pub serial: u64,
}
message!(0x23 Heartbeat);

/// "I heard heartbeat `serial`."
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatAck {
    /// The heartbeat's.
    pub serial: u64,
}
message!(0x23 HeartbeatAck);

/// The index ends the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionEnd {
    /// A newer process under the same key opened one.
    Fenced,
    /// The peer was deregistered, by itself or by the operator.
    Deregistered,
    /// The index stops; come back.
    ShuttingDown,
    /// Too many heartbeats were missing; come back.
    Expired,
}
message!(0x24 SessionEnd);

/// Opens the stream of assignments: [`Assign`] down, [`Assigned`] up. The first frames hold all
/// assignments of the peer, later ones the changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionAssignments {
    /// The session.
    pub session: SessionId,
}
message!(0x21 SessionAssignments);

/// The answer to [`SessionAssignments`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssignmentsOpened {}
message!(0x21 AssignmentsOpened);

/// What the peer shall hold, a part of the full list or a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assign {
    /// Counts frames of this stream; to be named in [`Assigned`].
    pub revision: u64,
    /// Whether this frame ends the full list.
    pub full_list_ends: bool,
    /// The entries, at most [`limits::ASSIGNMENTS_PER_FRAME`].
    pub assignments: Vec<Assignment>,
    /// The peer is to tell what its journal holds, as it is when the assignments are done and before
    /// it answers.
    pub tell_copies: Option<TellCopies>,
}
message!(0x25 Assign, assignments <= limits::ASSIGNMENTS_PER_FRAME);

/// One assignment. It is sent again whenever the version of the topic's record rises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Assignment {
    /// Host this topic. Only to the record's host, and only while it is in the in-sync set: one that
    /// has lost its disk is told to replicate.
    Host {
        /// Its id.
        topic: TopicId,
        /// Its name.
        name: TopicName,
        /// Its settings.
        settings: TopicSettings,
        /// Who keeps copies, under which grant.
        copies: Copies,
    },
    /// The topic is deleted, or this peer is to keep no copy of it any more: an explicit tombstone,
    /// the only reason to erase data.
    Erase {
        /// Its id.
        topic: TopicId,
    },
    /// Keep a copy of this topic, from its host, which an ordinary lookup finds. While the topic is
    /// offline there is no host to follow.
    Replicate {
        /// Its id.
        topic: TopicId,
        /// Its name.
        name: TopicName,
        /// Its settings.
        settings: TopicSettings,
        /// Who keeps copies, under which grant.
        copies: Copies,
    },
}

/// The peer has durably done the frame of this revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assigned {
    /// The frame's revision.
    pub revision: u64,
    /// What it could not take, and why.
    pub refused: Vec<(TopicId, ErrorReply)>,
    /// Topics of which it knows a higher grant than the frame's: the index comes from a backup. They
    /// are not taken either.
    pub known: Vec<CopyReport>,
}
message!(0x25 Assigned, refused <= limits::ASSIGNMENTS_PER_FRAME, known <= limits::ASSIGNMENTS_PER_FRAME);

/// Opens the stream of reports: [`Report`] up, [`ReportAck`] down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionReports {
    /// The session.
    pub session: SessionId,
}
message!(0x22 SessionReports);

/// The answer to [`SessionReports`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportsOpened {}
message!(0x22 ReportsOpened);

/// Metadata of topics that changed since the last report, at most once a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Counts up.
    pub serial: u64,
    /// At most [`limits::REPORTS_PER_FRAME`].
    pub topics: Vec<(TopicId, TopicMetadata)>,
    /// Copies of these topics that are not in sync. Nothing here of a topic that is named: all its
    /// copies are. At most [`limits::LAGS_PER_FRAME`].
    pub behind: Vec<CopyLag>,
}
message!(0x26 Report, topics <= limits::REPORTS_PER_FRAME, behind <= limits::LAGS_PER_FRAME);

/// A copy that is not in sync, as its topic's host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyLag {
    /// The topic.
    pub topic: TopicId,
    /// Who keeps the copy, or is to get it.
    pub peer: Fingerprint,
    /// Messages of the host's log that it lacks; `None`: it has not told this host yet what it has.
    pub messages: Option<u64>,
}

/// "I have report `serial`."
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportAck {
    /// The report's.
    pub serial: u64,
}
message!(0x26 ReportAck);
