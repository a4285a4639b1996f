//! Replaying segments into a table and a view, and judging what does not fit.

mod begin;
mod damage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use super::Options;
use super::checkpoint::{Loaded, LoadedTopic};
use super::continuity::Continuity;
use super::error::OpenError;
use super::index::{Place, SegmentIndex};
use super::later::{Kept, Later, cached};
use super::layout::{EntryHeader, FIRST_ENTRY, LAST_OF_GROUP};
use super::names;
use super::record::Record;
use super::recovery::{Found, Tail};
use super::report::{DamageReport, RecoveryReport};
use super::scan::{At, Bytes};
use super::table::{HostedTopic, Table};
use super::view::{Effect, View};
use crate::types::{TopicId, TopicName, TopicSettings};
use crate::wire::batch::BatchHeader;

/// Where the chain of groups stands.
#[derive(Debug, Clone, Copy)]
struct Chain {
    /// The group of the last entry.
    group: u64,
    /// That entry was the group's last.
    whole: bool,
}

impl Chain {
    fn expected(&self) -> u64 {
        match self.whole {
            true => self.group + 1,
            false => self.group,
        }
    }
}

/// See the module.
pub(super) struct Replay<'a> {
    options: &'a Options,
    table: Table,
    view: View,
    report: RecoveryReport,
    loaded: HashMap<TopicId, LoadedTopic>,
    /// Entries up to this group are told by the checkpoint, for topics that it does not list too.
    checkpoint_as_of: u64,
    /// The highest group that the checkpoint has seen: the log must reach it.
    must_reach: u64,
    from_segment: u64,
    listed_last: u64,
    chain: Chain,
    /// Entries of the group that is being read; taken in when it is whole.
    pending: Vec<(u64, Record, Place)>,
    /// Where the group that is being read begins.
    group_at: u64,
    continuity: Continuity,
    finished: BTreeMap<u64, Arc<SegmentIndex>>,
    quarantined: BTreeSet<u64>,
    has_footer: BTreeSet<u64>,
    last_marker: Option<bool>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        options: &'a Options,
        loaded: Option<Loaded>,
        report: RecoveryReport,
    ) -> Replay<'a> {
        let mut replay = Replay {
            options,
            table: Table::default(),
            view: View::default(),
            report,
            loaded: HashMap::new(),
            checkpoint_as_of: 0,
            must_reach: 0,
            from_segment: 1,
            listed_last: 0,
            chain: Chain {
                group: 0,
                whole: true,
            },
            pending: Vec::new(),
            group_at: FIRST_ENTRY,
            continuity: Continuity::default(),
            finished: BTreeMap::new(),
            quarantined: BTreeSet::new(),
            has_footer: BTreeSet::new(),
            last_marker: None,
        };
        if let Some(loaded) = loaded {
            replay.take_checkpoint(loaded);
        }
        replay
    }

    /// Replays the segments and answers where the log ends.
    pub(super) fn run(&mut self, found: &[Found]) -> Result<Tail, OpenError> {
        let mut tail = Tail {
            segment: None,
            position: FIRST_ENTRY,
            torn_end: FIRST_ENTRY,
            from_group: self.chain.group,
        };
        let next = Kept::new(None);
        for (at, segment) in found.iter().enumerate() {
            let bytes = cached(self.options, segment, &next)?;
            self.report.scanned_bytes += bytes.data.len() as u64;
            let from_group = self.chain.group;
            let later = Later {
                options: self.options,
                found: &found[at + 1..],
                next: &next,
            };
            match self.segment(segment, &bytes, &later)? {
                End::Sealed => self.seal(segment),
                End::Log { position, torn_end } => {
                    tail = Tail {
                        segment: segment.generation.map(|_| segment.sequence),
                        position,
                        torn_end,
                        from_group,
                    };
                    break;
                }
            }
        }
        self.check_reach();
        Ok(tail)
    }

    /// Replays one segment.
    fn segment(
        &mut self,
        segment: &Found,
        bytes: &Bytes,
        later: &Later<'_>,
    ) -> Result<End, OpenError> {
        let sequence = segment.sequence;
        self.view.active = SegmentIndex::new(sequence, bytes.generation);
        self.view.add_segment(sequence, bytes.generation);
        self.group_at = FIRST_ENTRY;
        let mut at = FIRST_ENTRY;
        loop {
            let expected = self.chain.expected();
            match bytes.at(at) {
                At::Entry(header, body) if header.group == expected => {
                    self.entry(sequence, at, header, body)?;
                    at += header.total();
                    if self.chain.whole {
                        self.group_at = at;
                    }
                    continue;
                }
                At::Entry(..) | At::BadBody(_) | At::Nothing => {}
            }
            let resumes = bytes.next_entry(at, expected);
            if resumes.is_none() && self.chain.whole && later.begin_with(expected)? {
                return Ok(End::Sealed);
            }
            if !(bytes.has_later(at, expected)
                || self.is_proven(segment, expected)
                || later.has_later(expected)?)
            {
                return Ok(self.tail(segment, bytes));
            }
            let to = resumes.map_or(bytes.data.len() as u64, |(to, _)| to);
            // A jump from the end of the segment before was reported there.
            if to > FIRST_ENTRY || segment.generation.is_none() {
                self.damage(segment, bytes, at, to);
            }
            self.take_pending();
            let Some((_, header)) = resumes else {
                let sealed_at = segment.footer.as_ref().map_or(0, |f| f.last_group);
                self.chain = Chain {
                    group: self.chain.group.max(sealed_at),
                    whole: true,
                };
                return Ok(End::Sealed);
            };
            self.chain = Chain {
                group: header.group,
                whole: false,
            };
            self.group_at = to;
            at = to;
        }
    }

    /// Whether a footer or the checkpoint shows that a group had been synced.
    fn is_proven(&self, segment: &Found, group: u64) -> bool {
        let footer = segment.footer.as_ref();
        group <= self.must_reach || footer.is_some_and(|footer| footer.last_group >= group)
    }

    /// The log ends here; a group that was not whole is dropped.
    fn tail(&mut self, segment: &Found, bytes: &Bytes) -> End {
        let position = self.group_at;
        if segment.generation.is_none() {
            self.damage(segment, bytes, 0, 0);
        }
        let torn_end = bytes.end_of_headers(position);
        self.pending.clear();
        if !self.chain.whole {
            self.chain = Chain {
                group: self.chain.group - 1,
                whole: true,
            };
        }
        self.report.torn_bytes = torn_end - position;
        self.report.was_clean = self.report.torn_bytes == 0
            && (self.last_marker == Some(true) || self.report.entries == 0);
        End::Log { position, torn_end }
    }

    fn entry(
        &mut self,
        segment: u64,
        position: u64,
        header: EntryHeader,
        body: &[u8],
    ) -> Result<(), OpenError> {
        let record = Record::decode(header.kind, body).map_err(|source| OpenError::Unknown {
            path: names::segment(&self.options.dir, segment),
            position,
            source,
        })?;
        let place = Place {
            segment,
            position,
            bytes: header.total(),
        };
        self.pending.push((header.group, record, place));
        self.chain = Chain {
            group: header.group,
            whole: header.flags & LAST_OF_GROUP != 0,
        };
        if self.chain.whole {
            self.take_pending();
        }
        Ok(())
    }

    fn take_pending(&mut self) {
        for (group, record, place) in std::mem::take(&mut self.pending) {
            self.take(group, record, place);
        }
    }

    fn take(&mut self, group: u64, record: Record, place: Place) {
        self.report.entries += 1;
        self.view.active.end = place.position + place.bytes;
        self.view.active.last_group = group;
        if let Some(info) = self.view.segments.get_mut(&place.segment) {
            info.end = self.view.active.end;
        }
        self.last_marker = match record {
            Record::Marker(closed) => Some(closed),
            _ => None,
        };
        let told = record.topic().is_some_and(|id| {
            let loaded = self.loaded.get(&id).map(|topic| topic.as_of);
            group <= loaded.unwrap_or(self.checkpoint_as_of)
        });
        if !told && let Record::Batch(header) = &record {
            self.revive(header, place);
            // No writer lays such a batch; whatever did, offsets are not given twice.
            if self
                .table
                .end(&header.topic)
                .is_some_and(|end| header.base < end)
            {
                self.quarantined.insert(place.segment);
                self.continuity.contradict(header.topic);
                self.report(DamageReport {
                    segment: place.segment,
                    from: place.position,
                    to: place.position + place.bytes,
                    what: "a batch overlaps the one before",
                });
                return;
            }
        }
        self.continuity.note(&record, told, &self.table);
        if told {
            match &record {
                Record::Batch(header) => {
                    let (base, end) = (header.base, header.end());
                    self.view.index_batch(&header.topic, base, end, place);
                }
                Record::Forget(id) | Record::Reset(id, _) => self.view.unindex(id),
                Record::Truncate(id, to) => self.view.unindex_from(id, *to),
                _ => {}
            }
            return;
        }
        let kept = self.table.apply(&record);
        self.view.apply(&Effect {
            record,
            place,
            kept,
        });
    }

    /// A batch of a topic that nobody has told of: damage took the entry that did. The topic lives on
    /// under a makeshift name until its host names it again; a tombstone may still follow.
    fn revive(&mut self, header: &BatchHeader, place: Place) {
        if self.table.topics.contains_key(&header.topic) {
            return;
        }
        let Ok(name) = TopicName::new(&format!("lost/{}", header.topic)) else {
            return;
        };
        let record = Record::Host(HostedTopic {
            id: header.topic,
            name,
            settings: TopicSettings::default(),
            grant: header.epoch.grant,
        });
        let kept = self.table.apply(&record);
        self.view.apply(&Effect {
            record,
            place,
            kept,
        });
    }

    /// A segment is done: its footer, if it has one, tells what should have been in it.
    fn seal(&mut self, segment: &Found) {
        let ends = segment.footer.iter().flat_map(|footer| footer.ends());
        for (id, end) in ends {
            self.continuity.reach(id, end, &self.table);
        }
        if segment.footer.is_some() {
            self.has_footer.insert(segment.sequence);
        }
        let index = std::mem::take(&mut self.view.active);
        self.finished.insert(segment.sequence, Arc::new(index));
    }

    /// Sets the view right after the replay: `segments` lie in the folder.
    pub(super) fn settle(&mut self, active: u64, generation: u64, segments: &[u64]) {
        if self.view.active.sequence != active {
            let index =
                std::mem::replace(&mut self.view.active, SegmentIndex::new(active, generation));
            if index.sequence != 0 && !index.topics.is_empty() {
                self.finished.insert(index.sequence, Arc::new(index));
            }
            self.view.add_segment(active, generation);
        }
        for (sequence, index) in std::mem::take(&mut self.finished) {
            if !self.has_footer.contains(&sequence) {
                self.view.sealed.insert(sequence, index);
            }
        }
        self.check_files(segments);
        self.report.suspect = self.continuity.settle(&mut self.table);
        for sequence in &self.quarantined {
            if let Some(info) = self.view.segments.get_mut(sequence) {
                info.quarantined = true;
            }
        }
        self.table.begin_life();
        let ids: Vec<TopicId> = self.table.topics.keys().copied().collect();
        for id in ids {
            self.view.refresh(&id, &self.table);
        }
        self.view.count_live();
    }

    pub(super) fn has_segment(&self, sequence: u64) -> bool {
        self.view.segments.contains_key(&sequence)
    }

    pub(super) fn group(&self) -> u64 {
        self.chain.group
    }

    pub(super) fn into_parts(self) -> (Table, View, RecoveryReport, bool) {
        let needs_marker = self.report.entries > 0 && self.last_marker.is_none();
        (self.table, self.view, self.report, needs_marker)
    }
}

enum End {
    /// The log goes on in the next segment.
    Sealed,
    /// The log ends at `position`; up to `torn_end` lies what has to be zeroed.
    Log { position: u64, torn_end: u64 },
}
