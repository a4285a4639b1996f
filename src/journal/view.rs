//! What readers see: topics as of the last synced group, where their batches lie, and the tail in
//! memory. Told by the writer after each sync; it decides nothing.

mod copies;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use super::checkpoint;
use super::epochs::Epochs;
use super::index::{Place, SegmentIndex, Selected};
use super::record::Record;
use super::segments::{Segments, Span};
use super::slice::{CachedRead, Slice, TopicStat, range_check};
use super::table::{HostedTopic, Position, PositionKey, Table, of_grant};
use super::tail::{Cached, CachedGroup, Tail};
use crate::types::{Epoch, Offset, TopicId, TopicName, TopicSettings, UnixMicros};

/// What is seen of a topic with messages or positions.
#[derive(Debug, Default)]
pub(super) struct Log {
    start: Option<Offset>,
    end: Option<Offset>,
    bytes: u64,
    last_append: Option<UnixMicros>,
    epochs: Epochs,
    pub(super) spans: VecDeque<Span>,
    recent: VecDeque<Cached>,
    positions: HashMap<PositionKey, Position>,
    pub(super) damaged: Vec<(Offset, Offset)>,
    /// Ranges whose loss the operator has accepted: reads pass over holes in them.
    lost: Vec<(Offset, Offset)>,
    suspect: bool,
}

impl Log {
    pub(super) fn range(&self) -> (Offset, Offset) {
        let first = Offset::FIRST;
        (self.start.unwrap_or(first), self.end.unwrap_or(first))
    }
}

/// A topic as seen. Without traffic it is 48 bytes beside its name.
#[derive(Debug)]
pub(super) struct Seen {
    name: TopicName,
    settings: Option<Box<TopicSettings>>,
    grant: u32,
    heard: Epoch,
    hosts: bool,
    shared: bool,
    pub(super) log: Option<Box<Log>>,
}

/// What a group did, for the view.
#[derive(Debug)]
pub(super) struct Effect {
    pub(super) record: Record,
    pub(super) place: Place,
    /// Bytes that the topic holds after it.
    pub(super) kept: u64,
}

/// Where messages from some offset on are to be found.
#[derive(Debug)]
pub(super) enum Located {
    /// In this segment, whose index is in memory.
    Memory(u64, u64, Selected),
    /// In this segment (with its generation), whose index is in its footer; what of it begins at the
    /// offset or beyond was cut off.
    Footer(u64, u64, Offset),
    /// Nowhere above that offset.
    Nothing,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) topics: HashMap<TopicId, Seen>,
    pub(super) segments: Segments,
    pub(super) active: SegmentIndex,
    /// Sealed segments whose footer is not written yet.
    pub(super) sealed: BTreeMap<u64, Arc<SegmentIndex>>,
    /// The last group told of.
    pub(super) group: u64,
    /// The last group before the active segment.
    pub(super) active_from_group: u64,
    /// About how many bytes all that has come would add to a checkpoint.
    pub(super) growth: u64,
    tail: Tail,
}

impl View {
    /// Tells the view of a synced group. What falls out of the cache is handed back, to be freed
    /// after the lock is.
    pub(super) fn commit(
        &mut self,
        effects: &[Effect],
        group: u64,
        buffer: Bytes,
        budget: usize,
    ) -> Vec<Bytes> {
        self.group = group;
        let number = self.tail.next();
        let start = effects.first().map_or(0, |effect| effect.place.position);
        let mut topics = Vec::new();
        for effect in effects {
            self.apply(effect);
            self.active.last_group = group;
            self.active.end = effect.place.position + effect.place.bytes;
            if let Record::Batch(header) = &effect.record {
                let body = effect.place.position - start + super::layout::ENTRY_HEADER_BYTES as u64;
                let cached = Cached {
                    base: header.base,
                    end: header.end(),
                    group: number,
                    at: body as u32,
                    length: header.length,
                };
                if let Some(log) = self.log_mut(&header.topic) {
                    log.recent.push_back(cached);
                    topics.push(header.topic);
                }
            }
        }
        if let Some(info) = self.segments.get_mut(&self.active.sequence) {
            info.end = self.active.end;
        }
        if !topics.is_empty() {
            self.tail.push(CachedGroup { buffer, topics });
        }
        self.evict(budget)
    }

    fn evict(&mut self, budget: usize) -> Vec<Bytes> {
        let mut evicted = Vec::new();
        while let Some((number, group)) = self.tail.pop_over(budget) {
            for topic in &group.topics {
                if let Some(log) = self.log_mut(topic)
                    && log.recent.front().is_some_and(|c| c.group == number)
                {
                    log.recent.pop_front();
                }
            }
            evicted.push(group.buffer);
        }
        evicted
    }

    /// Takes one record in, without the cache.
    pub(super) fn apply(&mut self, effect: &Effect) {
        match &effect.record {
            Record::Host(hosted) => self.host(hosted),
            Record::Forget(id) => self.forget(id),
            Record::Batch(header) => {
                let (base, end) = (header.base, header.end());
                self.index_batch(&header.topic, base, end, effect.place);
                if self.extend(&header.topic, base, end, effect.place)
                    && let Some(log) = self.log_mut(&header.topic)
                {
                    log.last_append = log.last_append.max(Some(header.appended));
                    log.epochs.note(header.epoch, base);
                }
                self.hear(&header.topic, header.epoch);
            }
            Record::Known(kept, epoch) => self.keep_copy(kept, *epoch),
            Record::Truncate(id, to) => self.truncate(id, *to),
            Record::Reset(id, start) => self.reset(id, *start),
            Record::Position(id, key, position) => {
                if let Some(log) = self.log_mut(id)
                    && log.positions.insert(key.clone(), *position).is_none()
                {
                    self.growth += checkpoint::POSITION_BYTES + key.group.as_str().len() as u64;
                }
            }
            Record::Trim(id, start) => self.trim(id, *start),
            Record::AcceptLoss(id, ranges) => {
                if let Some(log) = self.log_mut(id) {
                    log.lost.extend_from_slice(ranges);
                    log.damaged.clear();
                    log.suspect = false;
                }
            }
            Record::Shared(id, shared) => {
                if let Some(seen) = self.topics.get_mut(id) {
                    seen.shared = *shared;
                }
            }
            Record::Boot(..) | Record::Marker(_) | Record::Dedupe(..) => {}
        }
        if let Some(id) = effect.record.topic()
            && let Some(log) = self.topics.get_mut(&id).and_then(|t| t.log.as_deref_mut())
        {
            log.bytes = effect.kept;
        }
    }

    /// Adds a batch to the active segment's index.
    pub(super) fn index_batch(&mut self, id: &TopicId, base: Offset, end: Offset, place: Place) {
        self.active.add(*id, base, end, place);
    }

    /// Drops a topic from the active segment's index: a later life of it begins anew.
    pub(super) fn unindex(&mut self, id: &TopicId) {
        self.active.topics.remove(id);
    }

    /// Drops what was cut off from the active segment's index.
    pub(super) fn unindex_from(&mut self, id: &TopicId, to: Offset) {
        self.active.truncate(id, to);
    }

    /// Notes that a topic's log goes on in a segment.
    fn extend(&mut self, id: &TopicId, base: Offset, end: Offset, place: Place) -> bool {
        let Some(seen) = self.topics.get_mut(id) else {
            return false;
        };
        let log = seen.log.get_or_insert_default();
        let start = log.range().0;
        log.end = Some(end);
        match log.spans.back_mut() {
            Some(span) if span.segment == place.segment => {
                let before = span.live_bytes(start);
                span.end = end;
                span.bytes += place.bytes;
                self.segments
                    .grow(place.segment, span.live_bytes(start) - before);
            }
            _ => {
                let span = Span {
                    segment: place.segment,
                    base,
                    end,
                    bytes: place.bytes,
                };
                log.spans.push_back(span);
                self.growth += checkpoint::SPAN_BYTES;
                self.segments.need(&span, start);
            }
        }
        true
    }

    fn host(&mut self, hosted: &HostedTopic) {
        let settings =
            (hosted.settings != TopicSettings::default()).then(|| Box::new(hosted.settings));
        match self.topics.get_mut(&hosted.id) {
            Some(seen) => {
                seen.name = hosted.name.clone();
                seen.settings = settings;
                seen.grant = seen.grant.max(hosted.grant);
                seen.heard = seen.heard.max(of_grant(hosted.grant));
                if !std::mem::replace(&mut seen.hosts, true)
                    && let Some(log) = &mut seen.log
                {
                    log.clamp_positions();
                }
            }
            None => {
                let seen = Seen {
                    name: hosted.name.clone(),
                    settings,
                    grant: hosted.grant,
                    heard: of_grant(hosted.grant),
                    hosts: true,
                    shared: false,
                    log: None,
                };
                self.add_topic(hosted.id, seen);
            }
        }
    }

    fn add_topic(&mut self, id: TopicId, seen: Seen) {
        self.growth += checkpoint::TOPIC_BYTES + seen.name.as_str().len() as u64;
        self.topics.insert(id, seen);
    }

    fn forget(&mut self, id: &TopicId) {
        self.unindex(id);
        if let Some(log) = self.topics.remove(id).and_then(|seen| seen.log) {
            self.release(&log);
        }
    }

    /// Nothing of a log is needed any more.
    fn release(&mut self, log: &Log) {
        let start = log.range().0;
        for span in &log.spans {
            self.segments.release(span, start);
        }
    }

    fn trim(&mut self, id: &TopicId, start: Offset) {
        let Some(log) = self.log_mut(id) else {
            return;
        };
        let before = log.range().0;
        log.start = Some(start.max(before));
        log.damaged.retain(|(_, to)| *to > start);
        log.epochs.trim(start.max(before));
        while log.recent.front().is_some_and(|cached| cached.end <= start) {
            log.recent.pop_front();
        }
        let mut dead = Vec::new();
        while let Some(span) = log.spans.front()
            && span.end <= start
        {
            dead.push(*span);
            log.spans.pop_front();
        }
        let cut = log.spans.front().copied();
        for span in dead {
            self.segments.release(&span, before);
        }
        if let Some(span) = cut {
            let gone = span.live_bytes(before) - span.live_bytes(start.max(before));
            self.segments.shrink(span.segment, gone);
        }
    }

    pub(super) fn log_mut(&mut self, id: &TopicId) -> Option<&mut Log> {
        self.topics
            .get_mut(id)
            .map(|seen| &mut **seen.log.get_or_insert_default())
    }

    /// A new segment takes over; the old one's index waits for its footer.
    pub(super) fn roll(&mut self, sequence: u64, generation: u64) -> Arc<SegmentIndex> {
        let next = SegmentIndex::new(sequence, generation);
        let sealed = Arc::new(std::mem::replace(&mut self.active, next));
        self.sealed.insert(sealed.sequence, sealed.clone());
        self.add_segment(sequence, generation);
        sealed
    }

    pub(super) fn add_segment(&mut self, sequence: u64, generation: u64) {
        self.segments.add(sequence, generation);
    }

    /// Takes a topic in as the table and a checkpoint have it.
    pub(super) fn load(&mut self, id: TopicId, table: &Table, spans: Vec<Span>) {
        let Some(topic) = table.topics.get(&id) else {
            return;
        };
        self.host(&topic.hosted(id));
        if let Some(log) = self.log_mut(&id).filter(|_| topic.traffic.is_some()) {
            log.spans = spans.into();
        }
        self.refresh(&id, table);
    }

    /// Copies what recovery has found out about a topic from the table.
    pub(super) fn refresh(&mut self, id: &TopicId, table: &Table) {
        let (Some(seen), Some(topic)) = (self.topics.get_mut(id), table.topics.get(id)) else {
            return;
        };
        seen.grant = topic.grant;
        seen.heard = topic.heard;
        seen.hosts = topic.hosts;
        seen.shared = topic.shared;
        let Some(traffic) = topic.traffic.as_deref() else {
            seen.log = None;
            return;
        };
        let log = seen.log.get_or_insert_default();
        log.start = Some(traffic.start);
        log.end = Some(traffic.end);
        log.bytes = traffic.bytes;
        log.last_append = traffic.last_append;
        log.epochs.clone_from(&traffic.epochs);
        log.positions.clone_from(&traffic.positions);
        log.damaged.clone_from(&traffic.damaged);
        log.lost.clone_from(&traffic.lost);
        log.suspect = traffic.suspect;
        while log.spans.front().is_some_and(|s| s.end <= traffic.start) {
            log.spans.pop_front();
        }
    }

    /// Counts for each segment the topics, and their bytes, that still need it.
    pub(super) fn count_live(&mut self) {
        self.segments.need_nothing();
        let logs = self.topics.values().filter_map(|seen| seen.log.as_ref());
        for log in logs {
            let start = log.range().0;
            for span in &log.spans {
                self.segments.need(span, start);
            }
        }
    }

    /// What a topic's host reports.
    pub(super) fn stat(&self, id: &TopicId) -> Option<TopicStat> {
        let seen = self.topics.get(id)?;
        let log = seen.log.as_deref();
        let (start, end) = log.map_or((Offset::FIRST, Offset::FIRST), Log::range);
        Some(TopicStat {
            id: *id,
            name: seen.name.clone(),
            settings: seen.settings.as_deref().copied().unwrap_or_default(),
            grant: seen.grant,
            hosts: seen.hosts,
            start,
            end,
            bytes: log.map_or(0, |log| log.bytes),
            last_append: log.and_then(|log| log.last_append),
            damaged: log.map_or(Vec::new(), |log| log.damaged.clone()),
            suspect: log.is_some_and(|log| log.suspect),
        })
    }

    pub(super) fn position(&self, id: &TopicId, key: &PositionKey) -> Option<Position> {
        let log = self.topics.get(id)?.log.as_deref()?;
        log.positions.get(key).copied()
    }

    /// The range of a topic and the damage in it; `None` if it is not known.
    pub(super) fn range(&self, id: &TopicId) -> Option<(Offset, Offset)> {
        let log = self.topics.get(id)?.log.as_deref();
        Some(log.map_or((Offset::FIRST, Offset::FIRST), Log::range))
    }

    /// The first damaged range of a topic that ends above `from`.
    pub(super) fn damage_from(&self, id: &TopicId, from: Offset) -> Option<(Offset, Offset)> {
        let log = self.topics.get(id)?.log.as_deref()?;
        log.damaged.iter().copied().find(|(_, to)| *to > from)
    }

    /// Whether the loss of a range was accepted.
    pub(super) fn is_lost(&self, id: &TopicId, from: Offset, to: Offset) -> bool {
        let log = self.topics.get(id).and_then(|seen| seen.log.as_deref());
        log.is_some_and(|log| log.lost.iter().any(|(f, t)| *f <= from && to <= *t))
    }

    /// The damaged ranges of a topic.
    pub(super) fn damaged(&self, id: &TopicId) -> Vec<(Offset, Offset)> {
        let log = self.topics.get(id).and_then(|seen| seen.log.as_deref());
        log.map_or(Vec::new(), |log| log.damaged.clone())
    }

    /// Notes damage that a read has found.
    pub(super) fn note_damage(&mut self, id: &TopicId, from: Offset, to: Offset) {
        if let Some(log) = self.log_mut(id)
            && !log.damaged.iter().any(|(f, t)| *f <= from && to <= *t)
        {
            log.damaged.push((from, to));
            log.damaged.sort_unstable();
        }
    }

    /// See [`super::Journal::read_cached`].
    pub(super) fn read_cached(&self, id: &TopicId, from: Offset, max_bytes: usize) -> CachedRead {
        let Some(seen) = self.topics.get(id) else {
            return CachedRead::Unknown;
        };
        let Some(log) = seen.log.as_deref() else {
            return range_check(from, Offset::FIRST, Offset::FIRST).unwrap_or(CachedRead::Miss);
        };
        let (start, end) = log.range();
        if let Some(answer) = range_check(from, start, end) {
            return answer;
        }
        let first = log.recent.partition_point(|cached| cached.end <= from);
        match log.recent.get(first) {
            Some(cached) if cached.base <= from => {}
            _ => return CachedRead::Miss,
        }
        let mut slice = Slice {
            batches: Vec::new(),
            next: from,
            end,
        };
        let mut bytes = 0;
        for cached in log.recent.range(first..) {
            let fits = bytes == 0 || bytes + cached.length as usize <= max_bytes;
            // A hole in the cache ends the slice; the next read goes to the disk.
            let joins = cached.base <= slice.next;
            if !fits || !joins {
                break;
            }
            let Some(batch) = self.tail.slice(cached) else {
                break;
            };
            bytes += batch.len();
            slice.batches.push(batch);
            slice.next = cached.end;
        }
        CachedRead::Hit(slice)
    }

    /// Where the messages of a topic from `from` on lie.
    pub(super) fn locate(&self, id: &TopicId, from: Offset, max_bytes: u64) -> Located {
        let log = self.topics.get(id).and_then(|seen| seen.log.as_deref());
        let Some(span) = log.and_then(|log| {
            let at = log.spans.partition_point(|span| span.end <= from);
            log.spans.get(at)
        }) else {
            return Located::Nothing;
        };
        let index = match self.sealed.get(&span.segment) {
            Some(index) => index,
            None if span.segment == self.active.sequence => &self.active,
            None => {
                let generation = self.segments.get(&span.segment).map_or(0, |s| s.generation);
                return Located::Footer(span.segment, generation, span.end);
            }
        };
        let selected = index.select(id, from.max(span.base), span.end, max_bytes);
        Located::Memory(span.segment, index.generation, selected)
    }

    /// The end of the span that holds, or follows, `from`.
    pub(super) fn span_end(&self, id: &TopicId, from: Offset) -> Option<Offset> {
        let log = self.topics.get(id)?.log.as_deref()?;
        let at = log.spans.partition_point(|span| span.end <= from);
        log.spans.get(at).map(|span| span.end)
    }

    /// A topic's batches in a segment, if it still needs it, and the topic's start.
    pub(super) fn span_in(&self, id: &TopicId, segment: u64) -> Option<(Span, Offset)> {
        let log = self.topics.get(id)?.log.as_deref()?;
        let at = log.spans.partition_point(|span| span.segment < segment);
        let span = log.spans.get(at).filter(|span| span.segment == segment)?;
        Some((*span, log.range().0))
    }

    /// Bytes held by the cache.
    pub(super) fn cached_bytes(&self) -> usize {
        self.tail.bytes()
    }
}
