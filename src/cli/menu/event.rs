//! What the menu's machine is told and what it wants done.

use crate::cli::error::CliError;
use crate::types::{PeerName, TopicName};

/// What the machine wants done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Show this text as a line, or several.
    Print(String),
    /// Ask: show this text and wait for a line.
    Prompt(String),
    /// Show everything printed so far, then do this and answer with its [`Outcome`].
    Do(Action),
    /// Forget the notices up to this serial; they have been printed.
    ClearNotices(u64),
    /// End.
    Exit,
    /// End with this error.
    Fail(CliError),
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Become this peer.
    Login(PeerName),
    /// Create a topic.
    Create(TopicName),
    /// Delete a topic.
    Delete(TopicName),
    /// Publish a message.
    Send(TopicName, Vec<u8>),
    /// The topics that this peer owns.
    ListCreated,
    /// Subscribe to a topic.
    Subscribe(TopicName),
    /// Read a page of what is new.
    Pull(TopicName),
    /// Move the position behind the page that was printed.
    Commit(TopicName),
    /// The topics that this peer subscribes to.
    ListSubscribed,
    /// What would be lost if this peer left.
    WouldLose,
    /// Leave; so many hosted topics may be deleted.
    Deregister(u32),
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done and there is nothing more to say.
    Done,
    /// [`Action::Login`].
    LoggedIn(Login),
    /// [`Action::ListCreated`].
    Created(Vec<TopicName>),
    /// [`Action::Pull`].
    Pulled(Page),
    /// [`Action::ListSubscribed`].
    Subscribed(Vec<TopicName>, Notices),
    /// [`Action::WouldLose`].
    WouldLose(Losses),
    /// It failed.
    Failed(CliError),
}

/// A peer that is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Whether its name was bound just now.
    pub new: bool,
    /// What there is to say about where it runs.
    pub remark: Option<String>,
    /// What happened while it was away.
    pub notices: Notices,
}

/// Things that a peer is to be told once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notices {
    /// One line each.
    pub lines: Vec<String>,
    /// The last one's serial.
    pub serial: Option<u64>,
}

/// Some of the new messages of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Offset and body.
    pub messages: Vec<(u64, Vec<u8>)>,
    /// Whether there are more after these.
    pub more: bool,
    /// Whether the topic was subscribed to by this pull.
    pub subscribed: bool,
}

/// What leaving would delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Topics that would be deleted.
    pub hosted: u32,
    /// Those of them that hold messages, and how many.
    pub with_messages: Vec<(TopicName, u64)>,
}
