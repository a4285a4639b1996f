//! What the operator and owners ask of the index when records or copies are lost, and what peers tell it
//! of their journals then. See docs/REPLICATION.md, "Recovery".

use serde::{Deserialize, Serialize};

use super::copies::CopyReport;
use crate::limits;
use crate::types::{Epoch, Offset, PeerName, SessionId, TopicId, TopicName};
use crate::wire::message::message;

/// The index wants to know what a peer's journal holds. Comes with [`super::Assign`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TellCopies {
    /// To be named in [`ReportCopies`].
    pub round: u64,
    /// Only this topic; `None`: all.
    pub topic: Option<TopicId>,
}

/// A part of what a peer's journal holds. Valid in the caller's session only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportCopies {
    /// The session.
    pub session: SessionId,
    /// Whose asking it answers ([`TellCopies`]). 0: nobody's; these are topics that the full list of
    /// assignments has not named.
    pub round: u64,
    /// The entries.
    pub copies: Vec<CopyReport>,
    /// Whether it ends here.
    pub last: bool,
}
message!(0x27 ReportCopies, copies <= limits::COPIES_PER_REPORT);

/// The answer to [`ReportCopies`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopiesReported {}
message!(0x27 CopiesReported);

/// Owner or operator: whoever has the most of a topic becomes its host, and what only lost copies had
/// is given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoverTopic {
    /// The topic.
    pub name: TopicName,
    /// Whose copy it is to be, as an earlier answer has named it; `None`: nothing is changed, only said.
    pub survivor: Option<PeerName>,
}
message!(0x35 RecoverTopic);

/// The answer to [`RecoverTopic`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoveringTopic {
    /// The topic's id.
    pub topic: TopicId,
    /// Live peers that have a copy, the best first.
    pub survivors: Vec<Survivor>,
    /// Who hosts by the record; `None` once that peer is gone.
    pub host: Option<PeerName>,
    /// Peers in sync that are not among the survivors, as far as they have a name.
    pub lost: Vec<PeerName>,
    /// Where the host's log ended by its last report.
    pub reported_end: Option<Offset>,
    /// The epoch under which the survivor hosts now; `None`: nothing was changed.
    pub epoch: Option<Epoch>,
}
message!(0x35 RecoveringTopic);

/// A peer with a copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Survivor {
    /// The peer.
    pub peer: PeerName,
    /// The highest epoch that it knows.
    pub known: Epoch,
    /// Where its log ends.
    pub end: Offset,
    /// Whether damage was found in it.
    pub damaged: bool,
}

/// Operator only: the index comes from a backup, and learns from its peers what it does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoverIndex {
    /// The round that was answered before; `None`: all peers are asked what they have.
    pub round: Option<u64>,
    /// Rebuilds the next topics; repeated until [`RecoveringIndex::left`] is 0. Otherwise nothing is
    /// changed, only said.
    pub rebuild: bool,
    /// Peers that will not come.
    pub without: Vec<PeerName>,
    /// Who shall own topics that the index does not know; `None`: their hosts.
    pub owner: Option<PeerName>,
}
message!(0x36 RecoverIndex, without <= limits::PAGE_ENTRIES as usize);

/// The answer to [`RecoverIndex`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoveringIndex {
    /// The round.
    pub round: u64,
    /// Peers that have told what they have.
    pub told: Vec<PeerName>,
    /// Registered peers with a data folder that have not, and may hold what is missing.
    pub missing: Vec<PeerName>,
    /// Live peers among them that are still telling.
    pub telling: u32,
    /// Topics still to rebuild: of which a peer knows more than the index.
    pub behind: u64,
    /// Topics still to rebuild: that the index does not know.
    pub unknown: u64,
    /// Topics still to rebuild: with several copies, whose in-sync sets are not to be trusted.
    pub copied: u64,
    /// Of all these, topics that nobody can host: whoever hosted them last has not told.
    pub offline: u64,
    /// The first topics that stay as they are, for another topic has their name.
    pub taken: Vec<TopicName>,
    /// Topics still to rebuild in all.
    pub left: u64,
}
message!(0x36 RecoveringIndex, taken <= limits::PAGE_ENTRIES as usize);
