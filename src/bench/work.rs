//! What load generators are told to do, as it travels to their processes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::BenchError;
use super::lanes::Until;
use super::measure::{Sample, histogram, note};
use crate::types::{Fingerprint, PeerName, TopicName};

/// A deployment's index, for load generators that are peers of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// The index, with its key: `HOST:PORT#SHA256:...`.
    pub index: String,
    /// Names under which this load generator registers, one connection each.
    pub names: Vec<PeerName>,
}

/// Topics by number: `prefix` and a number below `count`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topics {
    /// What their names begin with.
    pub prefix: String,
    /// How many there are.
    pub count: u64,
}

impl Topics {
    /// The name of one of them.
    pub fn name(&self, number: u64) -> Result<TopicName, BenchError> {
        let name = numbered(&self.prefix, number % self.count.max(1));
        TopicName::new(&name).map_err(|error| BenchError::Usage(error.to_string()))
    }
}

/// The prefix and at least seven digits: put together by hand, for formatting them was a sixth of what a load
/// generator does that looks many names up.
fn numbered(prefix: &str, number: u64) -> String {
    let (mut digits, mut at, mut left) = ([b'0'; 20], 20, number);
    while left > 0 || at > 13 {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    let mut name = String::with_capacity(prefix.len() + digits.len() - at);
    name.push_str(prefix);
    name.extend(digits[at..].iter().copied().map(char::from));
    name
}

/// The server of a raw QUIC baseline.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct RawServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its key.
    pub fingerprint: Fingerprint,
}

/// How bytes travel in a raw QUIC baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RawShape {
    /// One bidirectional stream per request.
    Echo,
    /// Requests on one long stream per lane, each answered.
    Pipelined,
    /// The server sends `reply` bytes in chunks of 64 KiB; an operation is one such transfer.
    Download,
    /// The client sends `request` bytes likewise.
    Upload,
}

/// What a load generator does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Work {
    /// Serves raw QUIC until it is ended.
    RawServe,
    /// Raw QUIC requests.
    Raw {
        /// Whom to ask.
        server: RawServer,
        /// How.
        shape: RawShape,
        /// Connections.
        connections: usize,
        /// Lanes per connection.
        in_flight: usize,
        /// Bytes out per operation.
        request: usize,
        /// Bytes back per operation.
        reply: usize,
        /// Operations that one counts for, as when a request carries many.
        ops: u64,
        /// When a run is over.
        until: Until,
    },
    /// Raw handshakes with mutual TLS, each with a first request.
    RawHandshake {
        /// Whom to ask.
        server: RawServer,
        /// How many side by side.
        side_by_side: usize,
        /// When a run is over.
        until: Until,
    },
    /// Raw `fdatasync` of overwritten, written-before space: what a disk can do.
    RawSync {
        /// Where.
        folder: PathBuf,
        /// Bytes written before each sync.
        bytes: usize,
        /// When a run is over.
        until: Until,
    },
    /// Lookups at the index.
    Lookup {
        /// Who asks, a connection each.
        target: Target,
        /// What is asked for.
        topics: Topics,
        /// Lanes per connection.
        in_flight: usize,
        /// Names per request; 1: the plain lookup; 0: an empty request, for the round trip.
        names: usize,
        /// Whether each is followed by a pull that finds nothing new.
        then_pull: bool,
        /// When a run is over.
        until: Until,
    },
    /// Messages to topics, each acknowledged as durable.
    Publish {
        /// Who publishes.
        target: Target,
        /// Where to, in turns.
        topics: Topics,
        /// Bytes of a body.
        size: usize,
        /// Messages not yet acknowledged, per publisher.
        in_flight: usize,
        /// Whether messages travel in batches; else one in a frame.
        batched: bool,
        /// When a run is over.
        until: Until,
    },
    /// Reading stored messages from the start of each topic.
    Pull {
        /// Who reads.
        target: Target,
        /// Which; an operation counts each message.
        topics: Topics,
        /// Bytes of a body, to be checked.
        size: usize,
        /// Messages per topic, to be checked.
        messages: u64,
        /// When a run is over.
        until: Until,
    },
    /// Follows one topic, from its end, and tells how old messages of [`Work::Paced`] were.
    Follow {
        /// Who follows, a connection each.
        target: Target,
        /// Which topic.
        topic: TopicName,
        /// Messages that each will see.
        messages: u64,
        /// Whether it takes nothing that comes.
        stalled: bool,
    },
    /// Messages at a fixed rate, whatever becomes of them: open loop. Each body begins with the
    /// time at which it should have been sent.
    Paced {
        /// Who publishes.
        target: Target,
        /// Where to.
        topic: TopicName,
        /// Bytes of a body.
        size: usize,
        /// Messages per second.
        rate: u64,
        /// Messages per run.
        messages: u64,
    },
    /// Comes to the index as a new peer: connects and registers.
    Register {
        /// Who: an operation each.
        target: Target,
    },
    /// Creates topics, each answered when its host has written it.
    Create {
        /// Who: a lane each.
        target: Target,
        /// What the topics' names begin with; those of a run differ from those of another.
        prefix: String,
        /// The hosts, in turns; empty: as the index chooses.
        hosts: Vec<PeerName>,
        /// When a run is over.
        until: Until,
    },
    /// Retrieves one message of a peer's topic at a time.
    Retrieve {
        /// Who: a lane each.
        target: Target,
        /// Topics, one per lane.
        topics: Topics,
        /// Bytes of a body.
        size: usize,
        /// Whether each is published first, by the same peer: an operation is then both.
        publish: bool,
        /// When a run is over.
        until: Until,
    },
}

impl Work {
    /// The deployment whose peer it is; `None` for baselines.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Work::Lookup { target, .. }
            | Work::Publish { target, .. }
            | Work::Pull { target, .. }
            | Work::Follow { target, .. }
            | Work::Paced { target, .. }
            | Work::Register { target }
            | Work::Create { target, .. }
            | Work::Retrieve { target, .. } => Some(target),
            Work::RawServe
            | Work::Raw { .. }
            | Work::RawHandshake { .. }
            | Work::RawSync { .. } => None,
        }
    }
}

/// What a load generator says once it is ready.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ready {
    /// A raw server's address and key.
    pub server: Option<RawServer>,
    /// Bytes of a request on the wire, and of its reply, for the baseline.
    pub sizes: Option<(usize, usize)>,
}

/// What a run of a load generator brought, as it travels back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    ops: u64,
    bytes: u64,
    elapsed_ns: u64,
    /// Response times: (nanoseconds, how often).
    times: Vec<(u64, u64)>,
}

impl Outcome {
    /// For the way back.
    pub fn of(sample: &Sample) -> Outcome {
        let recorded = sample.times.iter_recorded();
        Outcome {
            ops: sample.ops,
            bytes: sample.bytes,
            elapsed_ns: sample.elapsed.as_nanos() as u64,
            times: recorded
                .map(|step| (step.value_iterated_to(), step.count_at_value()))
                .collect(),
        }
    }

    /// As it was, without CPU time, which the asking side knows.
    pub fn into_sample(self) -> Sample {
        let mut times = histogram();
        for (value, count) in self.times {
            note(&mut times, value, count);
        }
        Sample {
            ops: self.ops,
            bytes: self.bytes,
            elapsed: Duration::from_nanos(self.elapsed_ns),
            times,
            cpu: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_as_formatting_them_would() {
        for number in [0, 7, 1_234_567, 9_999_999, 10_000_000, u64::MAX] {
            assert_eq!(numbered("t-", number), format!("t-{number:07}"));
        }
    }

    #[test]
    fn an_outcome_comes_back_as_it_was() {
        let mut times = histogram();
        for value in [900, 1_000, 1_000, 120_000, 3_000_000_000] {
            times.record(value).unwrap();
        }
        let sample = Sample {
            ops: 5,
            bytes: 50,
            elapsed: Duration::from_millis(3),
            times,
            cpu: Duration::ZERO,
        };
        let json = serde_json::to_string(&Outcome::of(&sample)).unwrap();
        let back: Outcome = serde_json::from_str(&json).unwrap();
        assert_eq!(back.into_sample().figures(), sample.figures());
    }

    #[test]
    fn topics_are_named_by_number() {
        let topics = Topics {
            prefix: "bench/x/".to_owned(),
            count: 10,
        };
        assert_eq!(topics.name(13).unwrap().as_str(), "bench/x/0000003");
    }
}
