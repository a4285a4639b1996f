//! What a simulated disk holds of a topic: messages, epochs, and what is remembered of producers; and
//! what damage does to it.

use std::collections::BTreeMap;

use waypost::replication::epochs::TopicLog;
use waypost::types::{Epoch, Offset};

use super::net::Body;

#[derive(Debug, Clone)]
pub enum Rec {
    Append(Epoch, Body),
    Known(Epoch),
    Host(Epoch),
    Truncate(Offset),
    Reset(Offset),
    Trim(Offset),
    Dedupe(Vec<(Body, Offset)>),
    /// Of no interest here, but synced like the others.
    Positions,
}

/// What a disk holds of a topic.
#[derive(Debug, Clone, Default)]
pub struct Copy {
    /// From the start on.
    messages: Vec<(Epoch, Body)>,
    log: TopicLog,
    pub known: Epoch,
    pub own_grant: u32,
    /// Where producers' messages are, by number; it outlives retention.
    producers: BTreeMap<u8, BTreeMap<u64, Offset>>,
    /// A bit has flipped in this message, and nobody has seen it yet.
    flipped: Option<Offset>,
    /// Damage was found: what the log lacks may have been committed.
    pub damaged: bool,
}

impl Copy {
    pub fn apply(&mut self, rec: &Rec) {
        match rec {
            Rec::Append(epoch, body) => self.append(*epoch, *body),
            Rec::Known(epoch) => self.known = self.known.max(*epoch),
            Rec::Host(epoch) => {
                self.known = self.known.max(*epoch);
                self.own_grant = epoch.grant;
            }
            Rec::Truncate(to) => self.truncate(*to),
            Rec::Reset(start) => {
                self.messages.clear();
                self.log = TopicLog::starting_at(*start);
                self.producers.clear();
                self.flipped = None;
                self.damaged = false;
            }
            Rec::Trim(start) => self.trim(*start),
            Rec::Dedupe(table) => {
                for &((producer, number), at) in table {
                    self.producers
                        .entry(producer)
                        .or_default()
                        .insert(number, at);
                }
            }
            Rec::Positions => {}
        }
    }

    fn append(&mut self, epoch: Epoch, body: Body) {
        let at = self.end();
        self.log.append(epoch, at.plus(1));
        self.messages.push((epoch, body));
        self.known = self.known.max(epoch);
        self.producers.entry(body.0).or_default().insert(body.1, at);
    }

    pub fn truncate(&mut self, to: Offset) {
        let to = to.clamp(self.start(), self.end());
        self.messages.truncate((to.0 - self.start().0) as usize);
        self.log.truncate(to);
        for known in self.producers.values_mut() {
            known.retain(|_, at| *at < to);
        }
        self.flipped = self.flipped.filter(|at| *at < to);
    }

    fn trim(&mut self, start: Offset) {
        let start = start.clamp(self.start(), self.end());
        self.messages.drain(..(start.0 - self.start().0) as usize);
        self.log.trim(start);
        self.flipped = self.flipped.filter(|at| *at >= start);
    }

    pub fn start(&self) -> Offset {
        self.log.start()
    }

    pub fn end(&self) -> Offset {
        self.log.end()
    }

    pub fn log(&self) -> &TopicLog {
        &self.log
    }

    /// The message at an offset; `None`: below the start, or beyond the end.
    pub fn at(&self, offset: Offset) -> Option<(Epoch, Body)> {
        let at = offset.0.checked_sub(self.start().0)?;
        self.messages.get(at as usize).copied()
    }

    /// Messages with their offsets, from the start to before `end`.
    pub fn until(&self, end: Offset) -> impl Iterator<Item = (u64, Body)> + '_ {
        let offsets = self.start().0..end.0;
        offsets.zip(self.messages.iter().map(|(_, body)| *body))
    }

    // ---- producers ----

    /// Where a producer's message is, and its last one's number.
    pub fn find(&self, body: Body) -> (Option<Offset>, u64) {
        let Some(known) = self.producers.get(&body.0) else {
            return (None, 0);
        };
        let last = known.last_key_value().map_or(0, |(number, _)| *number);
        (known.get(&body.1).copied(), last)
    }

    /// What a new copy that begins at `below` needs to know.
    pub fn dedupe_below(&self, below: Offset) -> Vec<(Body, Offset)> {
        let all = self.producers.iter();
        let all = all.flat_map(|(&no, known)| known.iter().map(move |(&n, &at)| ((no, n), at)));
        all.filter(|(_, at)| *at < below).collect()
    }

    // ---- damage ----

    /// A bit flips somewhere before the last message: that one cannot be told from a torn write.
    pub fn flip(&mut self, pick: u64) -> bool {
        let many = (self.messages.len() as u64).saturating_sub(1);
        if many == 0 || self.damaged {
            return false;
        }
        self.flipped = Some(self.start().plus(pick % many));
        true
    }

    pub fn is_flipped_at(&self, offset: Offset) -> bool {
        self.flipped == Some(offset)
    }

    /// Whether some of it cannot be read, known or not.
    pub fn is_harmed(&self) -> bool {
        self.damaged || self.flipped.is_some()
    }

    /// Checksums are looked at: what lies behind a bad one is not to be trusted. Whether there was one.
    pub fn check(&mut self, quarantine: bool) -> bool {
        let Some(bad) = self.flipped.take() else {
            return false;
        };
        self.truncate(bad);
        self.damaged = quarantine;
        true
    }
}
