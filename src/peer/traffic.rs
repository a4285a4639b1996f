//! The log of what is sent and retrieved, bounded in lines: the first event of a (peer, topic) is
//! logged at once, further ones are added up and logged at most once a second.
//!
//! Pure: the caller passes `now` and logs the lines it gets back. Offsets only, never bodies.

use std::time::Duration;

use hashbrown::HashMap;

use crate::types::{MonoNs, Offset, PeerName, TopicName};

/// Lines of one (peer, topic, direction) are at least so far apart.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// Entries kept; beyond it the table is flushed whole.
const ENTRIES: usize = 10_000;

/// Which way messages went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    /// Published to this host.
    Sent,
    /// Pulled or followed from this host.
    Retrieved,
}

/// One line for the log: messages `first` to `last` of `topic`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) direction: Direction,
    pub(super) peer: PeerName,
    pub(super) topic: TopicName,
    pub(super) messages: u64,
    pub(super) first: Offset,
    pub(super) last: Offset,
}

impl Line {
    /// Writes the line under the target `waypost::traffic`.
    pub(super) fn log(&self) {
        let Line {
            direction,
            peer,
            topic,
            messages,
            first,
            last,
        } = self;
        match direction {
            Direction::Sent => tracing::info!(
                target: "waypost::traffic", %peer, %topic, messages, first = first.0, last = last.0,
                "Peer {peer} sent message to topic '{topic}'"
            ),
            Direction::Retrieved => tracing::info!(
                target: "waypost::traffic", %peer, %topic, messages, first = first.0, last = last.0,
                "Peer {peer} retrieved messages from topic '{topic}'"
            ),
        }
    }
}

struct Entry {
    logged: MonoNs,
    pending: Option<(u64, Offset, Offset)>,
}

/// Adds traffic up into lines.
#[derive(Default)]
pub(super) struct TrafficLog {
    entries: HashMap<(Direction, PeerName, TopicName), Entry>,
}

impl TrafficLog {
    /// Records `count` messages from `first` on; returns the line to log now, if any.
    pub(super) fn record(
        &mut self,
        direction: Direction,
        peer: &PeerName,
        topic: &TopicName,
        first: Offset,
        count: u64,
        now: MonoNs,
    ) -> Option<Line> {
        if count == 0 {
            return None;
        }
        let last = Offset(first.0 + count - 1);
        let key = (direction, peer.clone(), topic.clone());
        let line = |messages, first, last| Line {
            direction,
            peer: peer.clone(),
            topic: topic.clone(),
            messages,
            first,
            last,
        };
        match self.entries.get_mut(&key) {
            None => {
                self.entries.insert(
                    key,
                    Entry {
                        logged: now,
                        pending: None,
                    },
                );
                Some(line(count, first, last))
            }
            Some(entry) => {
                let (messages, from) = match entry.pending {
                    Some((messages, from, _)) => (messages + count, from),
                    None => (count, first),
                };
                if now.since(entry.logged) < LINE_EVERY {
                    entry.pending = Some((messages, from, last));
                    return None;
                }
                *entry = Entry {
                    logged: now,
                    pending: None,
                };
                Some(line(messages, from, last))
            }
        }
    }

    /// The lines that have waited long enough; entries idle for as long are dropped.
    pub(super) fn flush(&mut self, now: MonoNs) -> Vec<Line> {
        let everything = self.entries.len() > ENTRIES;
        let mut lines = vec![];
        self.entries.retain(|(direction, peer, topic), entry| {
            if !everything && now.since(entry.logged) < LINE_EVERY {
                return true;
            }
            let Some((messages, first, last)) = entry.pending.take() else {
                return false;
            };
            lines.push(Line {
                direction: *direction,
                peer: peer.clone(),
                topic: topic.clone(),
                messages,
                first,
                last,
            });
            entry.logged = now;
            !everything
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_at_once_and_a_storm_adds_up() {
        let mut log = TrafficLog::default();
        let peer = PeerName::new("1").unwrap();
        let topic = TopicName::new("T1").unwrap();
        let at = |ms: u64| MonoNs(ms * 1_000_000);
        let mut record = |offset, now| {
            log.record(Direction::Sent, &peer, &topic, Offset(offset), 2, now)
                .map(|line| (line.messages, line.first.0, line.last.0))
        };
        assert_eq!(record(1, at(0)), Some((2, 1, 2)));
        assert_eq!(record(3, at(10)), None);
        assert_eq!(record(5, at(20)), None);
        assert_eq!(record(7, at(1_500)), Some((6, 3, 8)));
        assert_eq!(record(9, at(1_600)), None);
        assert_eq!(log.flush(at(1_700)), vec![]);
        let lines = log.flush(at(2_600));
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (lines[0].messages, lines[0].first.0, lines[0].last.0),
            (2, 9, 10)
        );
        assert_eq!(log.flush(at(4_000)), vec![]);
        assert!(log.entries.is_empty());
    }
}
