//! What publishers were told, and whether what readers find agrees with it.
//!
//! Promises checked: every acknowledged message is in its topic exactly once, at the offset that was
//! acknowledged; offsets run from 1 without gaps; the messages of one publisher stand in the order
//! of sending; nothing is there that nobody sent. A message whose outcome was reported as unknown
//! may be there once or not at all.

use std::collections::{BTreeMap, HashMap, HashSet};

/// One message: who sent it, and the how-manieth of that sender's to the topic it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sent {
    pub publisher: String,
    pub number: u64,
}

impl Sent {
    /// The message's body.
    pub fn body(&self) -> String {
        format!("{} {}", self.publisher, self.number)
    }

    /// Reads a body.
    pub fn parse(body: &[u8]) -> Option<Sent> {
        let (publisher, number) = std::str::from_utf8(body).ok()?.split_once(' ')?;
        Some(Sent {
            publisher: publisher.to_owned(),
            number: number.parse().ok()?,
        })
    }
}

/// What is known of all messages, by topic.
#[derive(Debug, Default)]
pub struct History {
    sent: HashMap<String, HashSet<Sent>>,
    acknowledged: HashMap<String, BTreeMap<u64, Sent>>,
    observed: HashMap<String, BTreeMap<u64, Sent>>,
}

impl History {
    /// A message is about to be sent.
    pub fn sent(&mut self, topic: &str, sent: Sent) {
        self.sent.entry(topic.to_owned()).or_default().insert(sent);
    }

    /// A message was acknowledged at an offset.
    pub fn acknowledged(&mut self, topic: &str, sent: Sent, offset: u64) -> Result<(), String> {
        let topic_acks = self.acknowledged.entry(topic.to_owned()).or_default();
        match topic_acks.insert(offset, sent.clone()) {
            Some(other) if other != sent => Err(format!(
                "offset {offset} of {topic} was acknowledged for {other:?} and for {sent:?}"
            )),
            _ => Ok(()),
        }
    }

    /// A reader saw a message at an offset: every reader must see the same there, at any time.
    #[allow(dead_code)] // not every test reads while it goes on
    pub fn observed(&mut self, topic: &str, offset: u64, sent: Sent) -> Result<(), String> {
        let seen = self.observed.entry(topic.to_owned()).or_default();
        match seen.insert(offset, sent.clone()) {
            Some(other) if other != sent => Err(format!(
                "offset {offset} of {topic} was read as {other:?} and as {sent:?}"
            )),
            _ => Ok(()),
        }
    }

    /// Messages acknowledged so far.
    #[allow(dead_code)] // not every test counts
    pub fn acknowledged_count(&self) -> usize {
        self.acknowledged.values().map(BTreeMap::len).sum()
    }

    /// Checks what a reader found in a topic: offsets and bodies in the order of reading.
    pub fn check(&self, topic: &str, read: &[(u64, Vec<u8>)]) -> Result<(), String> {
        self.check_from(topic, 1, read)
    }

    /// As [`History::check`], where retention has taken all below `start`: what was acknowledged or read
    /// there is gone, and must not be anywhere else.
    pub fn check_from(
        &self,
        topic: &str,
        start: u64,
        read: &[(u64, Vec<u8>)],
    ) -> Result<(), String> {
        let nothing = HashSet::new();
        let sent = self.sent.get(topic).unwrap_or(&nothing);
        let mut seen: HashMap<Sent, u64> = HashMap::new();
        let mut latest: HashMap<String, u64> = HashMap::new();
        for (offset, message) in self.known_below(topic, start) {
            seen.insert(message.clone(), offset);
            latest.insert(message.publisher.clone(), message.number);
        }
        for (due, (offset, body)) in (start..).zip(read) {
            if *offset != due {
                return Err(format!("{topic}: offset {offset} where {due} was due"));
            }
            let message = Sent::parse(body).filter(|message| sent.contains(message));
            let message = message.ok_or_else(|| {
                format!("{topic}: offset {offset} holds {body:?}, which nobody sent")
            })?;
            if let Some(first) = seen.insert(message.clone(), *offset) {
                return Err(format!(
                    "{topic}: {message:?} is at {first} and at {offset}"
                ));
            }
            let before = latest.insert(message.publisher.clone(), message.number);
            if before.is_some_and(|before| before >= message.number) {
                return Err(format!("{topic}: {message:?} at {offset} is out of order"));
            }
        }
        for (offset, message) in self.acknowledged.get(topic).into_iter().flatten() {
            match seen.get(message) {
                Some(found) if found == offset => {}
                found => {
                    return Err(format!(
                        "{topic}: {message:?} was acknowledged at {offset}, found at {found:?}"
                    ));
                }
            }
        }
        for (offset, message) in self.observed.get(topic).into_iter().flatten() {
            match seen.get(message) {
                Some(found) if found == offset => {}
                found => {
                    return Err(format!(
                        "{topic}: {message:?} was read at {offset}, found at {found:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// What is known to have been below an offset, in its order.
    fn known_below(&self, topic: &str, start: u64) -> BTreeMap<u64, &Sent> {
        let acknowledged = self.acknowledged.get(topic).into_iter().flatten();
        let observed = self.observed.get(topic).into_iter().flatten();
        let known = acknowledged.chain(observed);
        let below = known.filter(|(offset, _)| **offset < start);
        below.map(|(&offset, message)| (offset, message)).collect()
    }
}

/// After quiet, all copies of a topic are the same.
#[allow(dead_code)] // for tests of replication
pub fn equal_copies<T: PartialEq + std::fmt::Debug>(
    topic: &str,
    copies: impl IntoIterator<Item = (String, T)>,
) -> Result<(), String> {
    let mut copies = copies.into_iter();
    let Some((first, copy)) = copies.next() else {
        return Ok(());
    };
    match copies.find(|(_, other)| *other != copy) {
        None => Ok(()),
        Some((second, other)) => Err(format!(
            "{topic}: the copies at {first} and {second} differ after quiet: {copy:?}, {other:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let mut history = History::default();
        for number in 1..=3 {
            let sent = Sent {
                publisher: "p".into(),
                number,
            };
            history.sent("T", sent.clone());
            if number < 3 {
                history.acknowledged("T", sent, number).unwrap();
            }
        }
        history
    }

    fn read(bodies: &[&str]) -> Vec<(u64, Vec<u8>)> {
        (1..)
            .zip(bodies.iter().map(|body| body.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn a_true_history_passes_with_and_without_the_unknown() {
        history().check("T", &read(&["p 1", "p 2"])).unwrap();
        history().check("T", &read(&["p 1", "p 2", "p 3"])).unwrap();
    }

    #[test]
    fn every_lie_is_found() {
        let lies: [&[&str]; 6] = [
            &["p 1"],               // lost
            &["p 1", "p 2", "p 2"], // doubled
            &["p 2", "p 1"],        // out of order
            &["p 1", "p 2", "p 4"], // never sent
            &["p 1", "p 3", "p 2"], // acknowledged elsewhere
            &["p 1", "p 2", "noise"],
        ];
        for lie in lies {
            assert!(history().check("T", &read(lie)).is_err(), "{lie:?}");
        }
        let mut gap = read(&["p 1", "p 2"]);
        gap[1].0 = 3;
        assert!(history().check("T", &gap).is_err());
        let twice = Sent {
            publisher: "q".into(),
            number: 1,
        };
        assert!(history().acknowledged("T", twice, 1).is_err());
    }

    #[test]
    fn what_retention_took_comes_nowhere_again() {
        let kept = |bodies: &[&str]| {
            let numbered = (2..).zip(bodies);
            let read = numbered.map(|(at, body)| (at, body.as_bytes().to_vec()));
            history().check_from("T", 2, &read.collect::<Vec<_>>())
        };
        kept(&["p 2", "p 3"]).unwrap();
        for lie in [&["p 2", "p 1"][..], &["p 1", "p 2"], &["p 3"], &[]] {
            assert!(kept(lie).is_err(), "{lie:?}");
        }
        assert!(history().check_from("T", 2, &read(&["p 2"])).is_err());
    }

    #[test]
    fn readers_and_copies_must_agree() {
        let of = |number| Sent {
            publisher: "p".into(),
            number,
        };
        let mut seen = history();
        seen.observed("T", 1, of(1)).unwrap();
        seen.observed("T", 3, of(3)).unwrap();
        assert!(seen.observed("T", 1, of(2)).is_err());
        let mut lost = history();
        lost.observed("T", 3, of(3)).unwrap();
        assert!(lost.check("T", &read(&["p 1", "p 2"])).is_err());
        let copies = |a: u8, b: u8| [("1".to_owned(), a), ("2".to_owned(), b)];
        assert!(equal_copies("T", copies(1, 1)).is_ok());
        assert!(equal_copies("T", copies(1, 2)).is_err());
    }
}
