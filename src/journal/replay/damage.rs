//! Judging what does not fit: whose messages damage may have taken, and what is missing altogether.

use std::collections::BTreeSet;

use hashbrown::HashSet;

use super::Replay;
use crate::journal::layout::{EntryHeader, topic_mark};
use crate::journal::record::kind;
use crate::journal::recovery::Found;
use crate::journal::report::DamageReport;
use crate::journal::scan::{Bytes, struck_headers};
use crate::limits;
use crate::types::Offset;

impl Replay<'_> {
    /// Records damage of a segment's bytes and whom it may have struck.
    pub(super) fn damage(&mut self, segment: &Found, bytes: &Bytes, from: u64, to: u64) {
        self.quarantined.insert(segment.sequence);
        let struck = struck_headers(bytes, from, to);
        self.report(DamageReport {
            segment: segment.sequence,
            from,
            to,
            what: match struck {
                Some(_) => "the content of entries does not match its checksum",
                None if segment.generation.is_none() => "the segment is missing or has no header",
                None => "an entry is unreadable",
            },
        });
        match struck {
            Some(headers) => headers.iter().for_each(|header| self.doubt_marked(header)),
            // The footer knows every topic of the segment and its end.
            None if segment.footer.is_some() => self.doubt_copies(),
            None => {
                self.continuity.doubt(self.table.topics.keys().copied());
                self.doubt_copies();
            }
        }
    }

    /// A cut may have been among what nobody can read; only copies are ever cut.
    fn doubt_copies(&mut self) {
        let topics = self.table.topics.iter();
        let copies = topics.filter(|(_, topic)| !topic.hosts);
        self.continuity.doubt_cuts(copies.map(|(id, _)| *id));
    }

    fn doubt_marked(&mut self, header: &EntryHeader) {
        let ids = self.table.topics.keys();
        let struck = ids.filter(|id| topic_mark(id) == header.topic).copied();
        match header.kind {
            // Only these tell where a topic ends.
            kind::BATCH | kind::FORGET => self.continuity.doubt(struck),
            kind::TRUNCATE => self.continuity.doubt_cuts(struck),
            _ => {}
        }
    }

    pub(super) fn report(&mut self, damage: DamageReport) {
        tracing::error!(
            segment = damage.segment,
            from = damage.from,
            to = damage.to,
            "damage in the journal: {}",
            damage.what
        );
        if self.report.damage_count == 0 {
            // What nobody can read may have said that others have copies.
            let topics = self.table.topics.values_mut();
            topics.for_each(|topic| topic.shared = true);
        }
        self.report.damage_count += 1;
        if self.report.damage.len() < limits::DAMAGE_REPORTS {
            self.report.damage.push(damage);
        }
    }

    /// What the checkpoint has seen must be there.
    pub(super) fn check_reach(&mut self) {
        if self.chain.group < self.must_reach {
            let segment = self.view.active.sequence;
            let from = self.view.active.end;
            self.report(DamageReport {
                segment,
                from,
                to: from,
                what: "the journal ends before its checkpoint",
            });
            self.chain.group = self.must_reach;
        }
        for (id, topic) in &self.loaded {
            let last = topic.spans.last();
            if let Some(end) = self.table.end(id)
                && last.is_some_and(|span| span.segment >= self.from_segment)
            {
                self.continuity.reach(*id, end, &self.table);
            }
        }
    }

    /// A segment that a topic needs and that is not there is damage to the topic.
    pub(super) fn check_files(&mut self, segments: &[u64]) {
        let present: HashSet<u64> = segments.iter().copied().collect();
        let active = self.view.active.sequence;
        let gone: Vec<u64> = self.view.segments.keys().copied().collect();
        for sequence in gone {
            if !present.contains(&sequence) && sequence != active {
                self.view.segments.remove(&sequence);
            }
        }
        let mut lost = Vec::new();
        for (id, seen) in &self.view.topics {
            let Some(log) = seen.log.as_deref() else {
                continue;
            };
            let start = self.table.start(id).unwrap_or(Offset::FIRST);
            for span in log.spans.iter().filter(|span| span.end > start) {
                if !self.view.segments.contains_key(&span.segment) {
                    lost.push((*id, span.base, span.end, span.segment));
                }
            }
        }
        let missing: BTreeSet<u64> = lost.iter().map(|(.., segment)| *segment).collect();
        for segment in missing {
            self.report(DamageReport {
                segment,
                from: 0,
                to: 0,
                what: "the segment is missing",
            });
        }
        for (id, from, to, _) in lost {
            self.table.damage(&id, from, to);
        }
    }
}
