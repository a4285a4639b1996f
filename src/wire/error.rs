//! Errors that travel: a stable code, what a retry would be good for, and one sentence.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::message::Message;
use crate::types::{Fingerprint, NameError, ProducerId};

/// Whether and how the sender of a request may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Retry {
    /// It will not help.
    Never = 0,
    /// The same request again, after a back-off.
    Later = 1,
    /// Look the topic up afresh, then send again under the same sequences.
    FreshRoute = 2,
    /// Register again (a new pass), then send again.
    FreshPass = 3,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $retry:ident;)*) => {
        /// What went wrong, by a number that never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ErrorCode {
            $($(#[$doc])* $name = $number,)*
        }

        impl ErrorCode {
            /// Every code, for docs and tests.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The number on the wire.
            pub fn number(self) -> u16 {
                self as u16
            }

            /// The code of a number from the wire; unknown ones read as [`ErrorCode::Internal`].
            pub fn from_number(number: u16) -> ErrorCode {
                match number {
                    $($number => ErrorCode::$name,)*
                    _ => ErrorCode::Internal,
                }
            }

            /// The name that people see: `error[topic-not-found]`.
            pub fn text(self) -> &'static str {
                match self {
                    $(ErrorCode::$name => $text,)*
                }
            }

            /// What a retry is good for.
            pub fn retry(self) -> Retry {
                match self {
                    $(ErrorCode::$name => Retry::$retry,)*
                }
            }
        }
    };
}

codes! {
    /// A fault of the answering side; its log says more.
    Internal = 1, "internal", Never;
    /// The request does not decode.
    Malformed = 2, "malformed", Never;
    /// The request is known but not served by this version or role.
    Unsupported = 3, "unsupported", Never;
    /// Something is over a bound.
    TooLarge = 4, "too-large", Never;
    /// A deadline of the answering side passed.
    TimedOut = 5, "timed-out", Later;
    /// A quota or budget is used up for now.
    Overloaded = 6, "overloaded", Later;
    /// The answering side is stopping.
    ShuttingDown = 7, "shutting-down", Later;

    /// The key is not admitted at this index.
    NotAdmitted = 10, "not-admitted", Never;
    /// The name is bound to another key.
    IdentityMismatch = 11, "identity-mismatch", Never;
    /// The key has not registered.
    NotRegistered = 12, "not-registered", FreshPass;
    /// The pass is missing, expired, or not signed by the index that is pinned here.
    BadPass = 13, "bad-pass", FreshPass;
    /// The key has no right to do this.
    Forbidden = 14, "forbidden", Never;
    /// A newer hosting session under the same key exists.
    Fenced = 15, "fenced", Never;
    /// The key was registered under another name already.
    NameTaken = 16, "already-registered", Never;
    /// The peer came with another data folder than the one that holds its topics.
    StorageChanged = 17, "storage-changed", Never;

    /// No topic of this name or id.
    TopicNotFound = 20, "topic-not-found", Never;
    /// The topic exists already.
    TopicExists = 21, "topic-exists", Never;
    /// No peer of this name.
    PeerNotFound = 22, "peer-not-found", Never;
    /// The record has another version than the request expects.
    VersionMismatch = 23, "version-mismatch", Later;
    /// No live peer can host.
    NoLiveHost = 24, "no-live-host", Later;
    /// Not subscribed.
    NotSubscribed = 25, "not-subscribed", Never;
    /// A cap of the peer is reached.
    QuotaExceeded = 26, "quota-exceeded", Never;
    /// The host has not confirmed in time.
    HostUnconfirmed = 27, "host-unconfirmed", Later;
    /// Needs an explicit confirmation, for data would go.
    NeedsConfirmation = 28, "needs-confirmation", Never;

    /// This peer does not host the topic.
    NotHost = 30, "not-host", FreshRoute;
    /// The epoch is not the host's.
    StaleEpoch = 31, "stale-epoch", FreshRoute;
    /// The offset lies outside the log.
    OffsetOutOfRange = 32, "offset-out-of-range", Never;
    /// The host's disk is full.
    StorageFull = 33, "storage-full", Later;
    /// The data is damaged; it is never served.
    Damaged = 34, "damaged", Never;
    /// A sequence is missing before this one.
    SequenceGap = 35, "sequence-gap", Never;
    /// The host does not remember the producer: the outcome of earlier sends is unknown.
    UnknownProducer = 36, "unknown-producer", Never;
    /// The batch does not verify.
    CorruptBatch = 37, "corrupt-batch", Never;
    /// The host waits for something, usually for its session with the index.
    NotReady = 38, "not-ready", Later;
    /// The sequence is so old that the host cannot tell whether it has it.
    SequenceTooOld = 39, "sequence-too-old", Never;

    /// Reserved: the log ends differently than the reader remembers (`topic recover`).
    Diverged = 40, "diverged", Never;
    /// Fewer copies in sync than the topic demands.
    NotEnoughInSync = 41, "not-enough-in-sync", Later;
    /// The quota of messages held by the index is used up.
    HeldFull = 42, "held-full", Later;
    /// A new host does not know yet how far its topic is committed.
    NotYetVisible = 43, "not-yet-visible", Later;
    /// The host lost its role before all copies had it; the next host knows.
    NotCommitted = 44, "not-committed", FreshRoute;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// The error as a frame: it stands wherever a reply may stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct ErrorReply {
    /// [`ErrorCode::number`].
    pub code: u16,
    /// What a retry is good for; read this, not the code, to decide.
    pub retry: Retry,
    /// What was seen and expected, one sentence, for people.
    pub detail: String,
}

impl Message for ErrorReply {
    const KIND: u8 = 0xff;
    const NAME: &'static str = "Error";
}

impl ErrorReply {
    /// An error with the code's usual retry class.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        ErrorReply {
            code: code.number(),
            retry: code.retry(),
            detail: detail.into(),
        }
    }

    /// A batch came under a producer id of another key than its sender's.
    pub(crate) fn foreign_producer(producer: ProducerId, key: Fingerprint) -> Self {
        let detail = format!(
            "producer id {producer} is not one of key {key}: an id begins with the first 8 bytes of its \
             key's fingerprint"
        );
        ErrorReply::new(ErrorCode::Forbidden, detail)
    }

    /// The code as an enum.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::from_number(self.code)
    }
}

impl From<super::frame::DecodeError> for ErrorReply {
    fn from(error: super::frame::DecodeError) -> Self {
        use super::frame::DecodeError as E;
        let code = match error {
            E::TooLong { .. } | E::TooMany { .. } => ErrorCode::TooLarge,
            _ => ErrorCode::Malformed,
        };
        ErrorReply::new(code, error.to_string())
    }
}

impl From<NameError> for ErrorReply {
    fn from(error: NameError) -> Self {
        ErrorReply::new(ErrorCode::Malformed, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_and_read_back() {
        let mut numbers = HashSet::new();
        let mut texts = HashSet::new();
        for &code in ErrorCode::ALL {
            assert!(numbers.insert(code.number()));
            assert!(texts.insert(code.text()));
            assert_eq!(ErrorCode::from_number(code.number()), code);
        }
        assert_eq!(ErrorCode::from_number(9_999), ErrorCode::Internal);
    }
}
