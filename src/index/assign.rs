//! What one host is told, cut into frames: the full list from the directory's memory, then the
//! differences. Pure.
//!
//! Guarantees: at most [`limits::ASSIGN_FRAMES_IN_FLIGHT`] frames wait for an acknowledgement and at
//! most [`limits::ASSIGNMENTS_QUEUED`] differences wait for a frame; beyond that the host gets the
//! full list again, so memory stays bounded whatever the host does. Every assignment is sent at
//! least once, in the state that it has when its frame is made. Must not know tokio or connections.

use std::collections::VecDeque;

use hashbrown::HashSet;

use super::directory::{Directory, ErasureNo, Slot};
use crate::limits;
use crate::types::{Fingerprint, TopicId};
use crate::wire::index::copies::CopyReport;
use crate::wire::index::recovery::TellCopies;
use crate::wire::index::{Assign, Assigned, Assignment};
use crate::wire::{ErrorCode, ErrorReply};

/// Something to tell a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Host it or keep a copy, as its record now says.
    Host(TopicId),
    /// Erase it.
    Erase(TopicId),
}

/// How far the full list has got.
#[derive(Debug, Clone, Copy)]
enum Listing {
    Erasures { after: Option<TopicId> },
    Hosted { from: Slot },
}

const START: Listing = Listing::Erasures { after: None };

#[derive(Debug)]
struct InFlight {
    revision: u64,
    hosts: Vec<TopicId>,
    copies: Vec<TopicId>,
    erases: Vec<(TopicId, ErasureNo)>,
}

/// What a host has done, by its word.
#[derive(Debug, Default, PartialEq)]
pub struct Done {
    /// Topics that it durably hosts.
    pub accepted: Vec<TopicId>,
    /// Topics that it has erased, with the order that it was told: there may be a later one by now.
    pub erased: Vec<(TopicId, ErasureNo)>,
    /// Topics that it does not host, and why.
    pub refused: Vec<(TopicId, ErrorReply)>,
    /// Topics of which it knows a later epoch, among those that the frame told it to host or copy.
    pub known: Vec<CopyReport>,
}

/// The next thing to do with a feed.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Send this.
    Frame(Assign),
    /// Look again soon: the walk over the directory goes on.
    Again,
    /// Nothing to send until something is acknowledged or added.
    Wait,
}

/// The assignments of one session.
#[derive(Debug)]
pub struct Feed {
    host: Fingerprint,
    listing: Option<Listing>,
    queue: VecDeque<Difference>,
    revision: u64,
    in_flight: VecDeque<InFlight>,
    ask: Option<TellCopies>,
}

impl Feed {
    /// A feed that begins with the full list.
    pub fn new(host: Fingerprint) -> Self {
        Feed {
            host,
            listing: Some(START),
            queue: VecDeque::new(),
            revision: 0,
            in_flight: VecDeque::new(),
            ask: None,
        }
    }

    /// Begins with the full list again.
    pub fn restart(&mut self) {
        self.queue = VecDeque::new();
        self.listing = Some(START);
    }

    /// Has the host tell what its journal holds, once it has done all that it was told before.
    pub fn ask(&mut self, ask: TellCopies) {
        self.ask = Some(ask);
    }

    /// Adds differences, after they were applied to the directory.
    pub fn push(&mut self, differences: impl IntoIterator<Item = Difference>) {
        self.queue.extend(differences);
        if self.queue.len() > limits::ASSIGNMENTS_QUEUED {
            self.queue = VecDeque::new();
            self.listing = Some(START);
        }
    }

    /// The next frame, from the directory as it is now.
    pub fn next(&mut self, directory: &Directory) -> Next {
        if self.in_flight.len() >= limits::ASSIGN_FRAMES_IN_FLIGHT {
            return Next::Wait;
        }
        match self.listing {
            Some(Listing::Erasures { after }) => self.list_erasures(directory, after),
            Some(Listing::Hosted { from }) => self.list_hosted(directory, from),
            None if self.queue.is_empty() && self.ask.is_some() => {
                self.frame(Vec::new(), Vec::new(), false)
            }
            None if self.queue.is_empty() => Next::Wait,
            None => self.next_differences(directory),
        }
    }

    fn list_erasures(&mut self, directory: &Directory, after: Option<TopicId>) -> Next {
        let topics = directory.erasures_from(self.host, after, limits::ASSIGNMENTS_PER_FRAME);
        let Some(&(last, _)) = topics.last() else {
            self.listing = Some(Listing::Hosted { from: 0 });
            return Next::Again;
        };
        self.listing = Some(Listing::Erasures { after: Some(last) });
        let told = topics.iter().map(|&(topic, _)| Assignment::Erase { topic });
        self.frame(told.collect(), topics, false)
    }

    fn list_hosted(&mut self, directory: &Directory, from: Slot) -> Next {
        let limit = limits::ASSIGNMENTS_PER_FRAME;
        let (assignments, next) = directory.hosted_from(self.host, from, limit);
        self.listing = next.map(|from| Listing::Hosted { from });
        if assignments.is_empty() && next.is_some() {
            return Next::Again;
        }
        self.frame(assignments, Vec::new(), next.is_none())
    }

    fn next_differences(&mut self, directory: &Directory) -> Next {
        let count = self.queue.len().min(limits::ASSIGNMENTS_PER_FRAME);
        let due = self.queue.drain(..count);
        let mut erases = Vec::new();
        let assignments: Vec<Assignment> = due
            .filter_map(|difference| match difference {
                // Gone or hosted elsewhere by now: another difference says so.
                Difference::Host(topic) => directory.assignment(self.host, topic),
                // It keeps a copy again: erasing it now would take one that is counted on.
                Difference::Erase(topic) => {
                    erases.push((topic, directory.erasure(self.host, topic)?));
                    Some(Assignment::Erase { topic })
                }
            })
            .collect();
        if assignments.is_empty() {
            return Next::Again;
        }
        self.frame(assignments, erases, false)
    }

    fn frame(
        &mut self,
        assignments: Vec<Assignment>,
        erases: Vec<(TopicId, ErasureNo)>,
        full_list_ends: bool,
    ) -> Next {
        self.revision += 1;
        let mut waiting = InFlight {
            revision: self.revision,
            hosts: Vec::new(),
            copies: Vec::new(),
            erases,
        };
        for assignment in &assignments {
            match assignment {
                Assignment::Host { topic, .. } => waiting.hosts.push(*topic),
                // Nobody waits for a copy's beginning; the host may know more of it than the index.
                Assignment::Replicate { topic, .. } => waiting.copies.push(*topic),
                Assignment::Erase { .. } => {}
            }
        }
        self.in_flight.push_back(waiting);
        // With the list's end the host tells something else.
        let done = self.listing.is_none() && self.queue.is_empty() && !full_list_ends;
        Next::Frame(Assign {
            revision: self.revision,
            full_list_ends,
            assignments,
            tell_copies: self.ask.take_if(|_| done),
        })
    }

    /// Takes the host's word on a frame. Frames may be acknowledged in any order.
    pub fn acked(&mut self, assigned: Assigned) -> Result<Done, ErrorReply> {
        let at = self
            .in_flight
            .iter()
            .position(|frame| frame.revision == assigned.revision);
        let Some(frame) = at.and_then(|at| self.in_flight.remove(at)) else {
            return Err(ErrorReply::new(
                ErrorCode::Malformed,
                format!(
                    "revision {} does not wait for its acknowledgement",
                    assigned.revision
                ),
            ));
        };
        let told: HashSet<TopicId> = frame.hosts.iter().chain(&frame.copies).copied().collect();
        // A word on what it was not told freezes a topic that is none of its business.
        let known = assigned.known.into_iter();
        let known: Vec<CopyReport> = known
            .filter(|report| told.contains(&report.topic))
            .collect();
        let left: HashSet<TopicId> = assigned
            .refused
            .iter()
            .map(|&(topic, _)| topic)
            .chain(known.iter().map(|report| report.topic))
            .collect();
        let mut done = Done {
            accepted: frame.hosts,
            erased: frame.erases,
            refused: assigned.refused,
            known,
        };
        done.refused
            .retain(|(topic, _)| done.accepted.contains(topic));
        done.accepted.retain(|topic| !left.contains(topic));
        done.erased.retain(|(topic, _)| !left.contains(topic));
        Ok(done)
    }
}

#[cfg(test)]
mod tests;
