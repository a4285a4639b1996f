//! The jobs.

use serde_json::{Map, Value, json};

/// A job, the same for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Messages, each acknowledged by itself, over one connection.
    Publish {
        /// Bytes of a body.
        size: usize,
        /// Messages not yet acknowledged.
        in_flight: usize,
    },
    /// Small questions: who hosts a topic, or the like.
    Lookup {
        /// Connections.
        peers: usize,
        /// Questions not yet answered, per connection.
        in_flight: usize,
    },
    /// Reading back everything that is stored, over one connection.
    Pull {
        /// Bytes of a body.
        size: usize,
        /// Messages stored.
        messages: u64,
    },
}

/// Topics (keys) of lookups.
pub const TOPICS: usize = 1_000;
/// Bytes of an answer to a lookup, about as many as Waypost's have.
pub const ANSWER: &[u8] = &[b'a'; 60];

impl Work {
    /// Every job; pulls read about so many bytes.
    pub fn all(bytes: u64) -> Vec<Work> {
        let pull = |size: usize| Work::Pull {
            size,
            messages: bytes / size as u64,
        };
        vec![
            Work::Publish {
                size: 1_024,
                in_flight: 1,
            },
            Work::Publish {
                size: 100,
                in_flight: 256,
            },
            Work::Lookup {
                peers: 1,
                in_flight: 1,
            },
            Work::Lookup {
                peers: 8,
                in_flight: 16,
            },
            pull(1_024),
            pull(100),
        ]
    }

    /// Its name.
    pub fn job(&self) -> &'static str {
        match self {
            Work::Publish { .. } => "publish",
            Work::Lookup { .. } => "lookup",
            Work::Pull { .. } => "pull",
        }
    }

    /// Whether operations come one after the other, so that response times are the subject.
    pub fn is_sequential(&self) -> bool {
        matches!(
            self,
            Work::Publish { in_flight: 1, .. } | Work::Lookup { peers: 1, .. }
        )
    }

    /// One line for people.
    pub fn title(&self) -> String {
        match self {
            Work::Publish { size, in_flight } => format!(
                "publish {size} byte messages, one a frame, {in_flight} in flight, 1 connection"
            ),
            Work::Lookup { peers, in_flight } => format!(
                "lookup (NATS: request and reply, Redis: GET), {peers} connections x {in_flight} in flight"
            ),
            Work::Pull { size, messages } => {
                format!("read back {messages} messages of {size} bytes, 1 connection")
            }
        }
    }

    /// What a report says of it.
    pub fn params(&self, system: &str, durable: bool, tls: bool) -> Map<String, Value> {
        let mut params = Map::new();
        let mut add = |name: &str, value: Value| params.insert(name.to_owned(), value);
        add("system", json!(system));
        add("job", json!(self.job()));
        match *self {
            Work::Publish { size, in_flight } => {
                add("size", json!(size));
                add("in_flight", json!(in_flight));
            }
            Work::Lookup { peers, in_flight } => {
                add("peers", json!(peers));
                add("in_flight", json!(in_flight));
            }
            Work::Pull { size, .. } => drop(add("size", json!(size))),
        }
        add("durable", json!(durable));
        add("tls", json!(tls));
        params
    }
}
