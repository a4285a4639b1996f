//! Where a follower stands in one topic, and what to do with what a host says. Pure.

use crate::types::{Epoch, Offset, TopicId};
use crate::wire::peer::ReadFrom;
use crate::wire::{ErrorCode, ErrorReply, Retry};

/// Where a follower stands in one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    start: ReadFrom,
    topic: Option<TopicId>,
    next: Option<Offset>,
    /// The epoch of the last message delivered, which lies just before `next`.
    last: Option<Epoch>,
}

/// What joining a host found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    /// It goes on where it stood (or starts).
    Clean,
    /// Messages in between are gone by retention.
    Skipped { from: Offset, to: Offset },
}

/// What to do when a host ends a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Find the route afresh, then join again.
    Rejoin,
    /// Joining again will not help.
    Fail,
}

impl Cursor {
    pub(super) fn new(start: ReadFrom) -> Self {
        Cursor {
            start,
            topic: None,
            next: None,
            last: None,
        }
    }

    /// The topic has this id now. Answers whether an earlier life of it was followed and is gone;
    /// the new life is then read from its position or start.
    pub(super) fn found(&mut self, topic: TopicId) -> bool {
        let replaced = self.topic.is_some_and(|known| known != topic);
        if replaced {
            self.restart();
        }
        self.topic = Some(topic);
        replaced
    }

    /// The topic does not exist. Answers whether it was followed before.
    pub(super) fn missing(&mut self) -> bool {
        let followed = self.topic.is_some();
        self.restart();
        self.topic = None;
        followed
    }

    fn restart(&mut self) {
        self.last = None;
        if self.next.take().is_some() && !matches!(self.start, ReadFrom::Position(_)) {
            self.start = ReadFrom::Start;
        }
    }

    /// Where to ask a host to start.
    pub(super) fn wanted(&self) -> ReadFrom {
        self.next
            .map_or_else(|| self.start.clone(), ReadFrom::Offset)
    }

    /// What the host's log must have just before what is wanted.
    pub(super) fn after(&self) -> Option<Epoch> {
        self.last
    }

    /// A host starts at `from`.
    pub(super) fn joined(&mut self, from: Offset) -> Join {
        let before = self.next.replace(from);
        if before != Some(from) {
            self.last = None;
        }
        match before {
            Some(before) if before < from => Join::Skipped {
                from: before,
                to: from,
            },
            _ => Join::Clean,
        }
    }

    /// The next offset due; known once a host was joined.
    pub(super) fn next(&self) -> Option<Offset> {
        self.next
    }

    /// Messages up to `next` were delivered.
    pub(super) fn delivered(&mut self, next: Offset, last: Option<Epoch>) {
        self.next = Some(next);
        self.last = last.or(self.last);
    }

    /// A host ended the slot. `joined`: it had been open; then an offset that is out of range has
    /// become so by retention, and joining again finds what is kept.
    pub(super) fn ended(&self, error: &ErrorReply, joined: bool) -> Verdict {
        let trimmed = joined && error.code() == ErrorCode::OffsetOutOfRange;
        if trimmed || error.retry != Retry::Never {
            Verdict::Rejoin
        } else {
            Verdict::Fail
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_where_it_stood() {
        let mut cursor = Cursor::new(ReadFrom::End);
        assert!(!cursor.found(TopicId([1; 16])));
        assert_eq!(cursor.wanted(), ReadFrom::End);
        assert_eq!(cursor.joined(Offset(5)), Join::Clean);
        let epoch = Epoch {
            grant: 2,
            incarnation: 1,
        };
        cursor.delivered(Offset(9), Some(epoch));
        assert_eq!(cursor.wanted(), ReadFrom::Offset(Offset(9)));
        assert!(!cursor.found(TopicId([1; 16])));
        assert_eq!(cursor.joined(Offset(9)), Join::Clean);
        assert_eq!(cursor.after(), Some(epoch));
        let skipped = Join::Skipped {
            from: Offset(9),
            to: Offset(20),
        };
        assert_eq!(cursor.joined(Offset(20)), skipped);
        assert_eq!(cursor.after(), None);
    }

    #[test]
    fn a_new_life_of_the_topic_is_read_from_its_start() {
        let mut cursor = Cursor::new(ReadFrom::End);
        cursor.found(TopicId([1; 16]));
        cursor.joined(Offset(5));
        assert!(cursor.found(TopicId([2; 16])));
        assert_eq!(cursor.wanted(), ReadFrom::Start);
        assert!(cursor.missing());
        assert!(!cursor.missing());
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let cursor = Cursor::new(ReadFrom::Start);
        let error = |code| ErrorReply::new(code, "");
        assert_eq!(
            cursor.ended(&error(ErrorCode::NotHost), false),
            Verdict::Rejoin
        );
        assert_eq!(
            cursor.ended(&error(ErrorCode::Damaged), true),
            Verdict::Fail
        );
        assert_eq!(
            cursor.ended(&error(ErrorCode::OffsetOutOfRange), true),
            Verdict::Rejoin
        );
        assert_eq!(
            cursor.ended(&error(ErrorCode::OffsetOutOfRange), false),
            Verdict::Fail
        );
    }
}
