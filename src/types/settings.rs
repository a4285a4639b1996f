//! What an owner may set on a topic.

use serde::{Deserialize, Serialize};

/// Settings of a topic. Frozen on the wire and on disk: a change is a new message kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TopicSettings {
    /// Bytes of batches kept; the oldest go first. `None`: unlimited.
    pub retain_bytes: Option<u64>,
    /// Age in milliseconds, by the host's append time, after which batches go. `None`: unlimited.
    pub retain_age_ms: Option<u64>,
    /// Copies wanted, the host's included.
    pub replicas: u8,
    /// Copies that must be in sync for an append to be acknowledged.
    pub min_in_sync: u8,
}

impl Default for TopicSettings {
    fn default() -> Self {
        TopicSettings {
            retain_bytes: None,
            retain_age_ms: None,
            replicas: 2,
            min_in_sync: 1,
        }
    }
}
