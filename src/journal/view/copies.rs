//! What is seen of topics of which this peer keeps a copy, and how their logs are cut.

use super::{Log, Seen, View};
use crate::journal::segments::Span;
use crate::journal::slice::TopicCopy;
use crate::journal::table::{KeptTopic, Position, PositionKey};
use crate::journal::traffic::clip;
use crate::replication::epochs::TopicLog;
use crate::types::{Epoch, Incarnation, Offset, TopicId, TopicSettings};

impl Log {
    fn starting_at(start: Offset) -> Log {
        Log {
            start: Some(start),
            end: Some(start),
            ..Log::default()
        }
    }

    /// No position lies beyond the end.
    pub(super) fn clamp_positions(&mut self) {
        let end = self.range().1;
        for position in self.positions.values_mut() {
            position.next = position.next.min(end);
        }
    }

    /// Drops what lies at `to` and beyond; answers each span that it cut, before and after, and the
    /// start.
    fn truncate(&mut self, to: Offset) -> Vec<(Span, Option<Span>)> {
        let (start, end) = self.range();
        let to = to.max(start);
        if to >= end {
            return Vec::new();
        }
        self.end = Some(to);
        self.epochs.truncate(to);
        clip(&mut self.damaged, to);
        clip(&mut self.lost, to);
        self.clamp_positions();
        while self.recent.back().is_some_and(|cached| cached.end > to) {
            self.recent.pop_back();
        }
        let mut cut = Vec::new();
        while let Some(span) = self.spans.back().copied().filter(|span| span.end > to) {
            let left = span.below(to);
            self.spans.pop_back();
            self.spans.extend(left);
            cut.push((span, left));
        }
        cut
    }
}

impl View {
    /// Notes an epoch of a topic.
    pub(super) fn hear(&mut self, id: &TopicId, epoch: Epoch) {
        if let Some(seen) = self.topics.get_mut(id) {
            seen.heard = seen.heard.max(epoch);
            if seen.hosts {
                seen.grant = seen.grant.max(epoch.grant);
            }
        }
    }

    pub(super) fn keep_copy(&mut self, kept: &KeptTopic, epoch: Epoch) {
        let settings = (kept.settings != TopicSettings::default()).then(|| Box::new(kept.settings));
        if let Some(seen) = self.topics.get_mut(&kept.id) {
            seen.name = kept.name.clone();
            seen.settings = settings;
            seen.heard = seen.heard.max(epoch);
            seen.hosts = false;
            seen.shared = true;
            return;
        }
        let seen = Seen {
            name: kept.name.clone(),
            settings,
            grant: 0,
            heard: epoch,
            hosts: false,
            shared: true,
            log: None,
        };
        self.add_topic(kept.id, seen);
    }

    /// What lies at `to` and beyond is never seen again: not in the cache, not by the index of the
    /// active segment, nor by those of sealed ones, of which only spans are read.
    pub(super) fn truncate(&mut self, id: &TopicId, to: Offset) {
        self.unindex_from(id, to);
        let Some(log) = self.log_mut(id) else {
            return;
        };
        let start = log.range().0;
        for (span, left) in log.truncate(to) {
            match left {
                None => self.segments.release(&span, start),
                Some(left) => {
                    let gone = span.live_bytes(start);
                    let gone = gone.saturating_sub(left.live_bytes(start));
                    self.segments.shrink(span.segment, gone);
                }
            }
        }
    }

    /// A topic's log begins anew at `start`.
    pub(super) fn reset(&mut self, id: &TopicId, start: Offset) {
        self.unindex(id);
        if let Some(log) = self.log_mut(id) {
            let old = std::mem::replace(log, Log::starting_at(start));
            self.release(&old);
        }
    }

    /// See [`crate::journal::Journal::positions`].
    pub(in crate::journal) fn positions(&self, id: &TopicId) -> Vec<(PositionKey, Position)> {
        let log = self.topics.get(id).and_then(|seen| seen.log.as_deref());
        let positions = log.iter().flat_map(|log| &log.positions);
        positions.map(|(key, at)| (key.clone(), *at)).collect()
    }

    /// See [`crate::journal::Journal::copy`].
    pub(in crate::journal) fn copy(
        &self,
        id: &TopicId,
        incarnation: Incarnation,
    ) -> Option<TopicCopy> {
        let seen = self.topics.get(id)?;
        let log = seen.log.as_deref();
        let (start, end) = log.map_or((Offset::FIRST, Offset::FIRST), Log::range);
        let epochs = log.map(|log| log.epochs.table()).unwrap_or_default();
        let own = Epoch {
            grant: seen.grant,
            incarnation,
        };
        Some(TopicCopy {
            name: seen.name.clone(),
            settings: seen.settings.as_deref().copied().unwrap_or_default(),
            log: TopicLog::new(start, end, epochs),
            known: if seen.hosts {
                seen.heard.max(own)
            } else {
                seen.heard
            },
            own_grant: seen.grant,
            hosts: seen.hosts,
            shared: seen.shared,
            damaged: log.is_some_and(|log| log.suspect || !log.damaged.is_empty()),
        })
    }
}
