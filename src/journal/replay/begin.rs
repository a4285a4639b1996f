//! What a checkpoint tells, before the first segment is read.

use super::Replay;
use crate::journal::checkpoint::Loaded;
use crate::journal::recovery::listed;
use crate::journal::segments::SegmentInfo;

impl Replay<'_> {
    pub(super) fn take_checkpoint(&mut self, loaded: Loaded) {
        for segment in listed(&loaded) {
            let info = SegmentInfo {
                generation: segment.generation,
                end: segment.end,
                live: 0,
                live_bytes: 0,
                quarantined: segment.quarantined,
                rewritten: false,
            };
            self.view.segments.insert(segment.sequence, info);
        }
        let quarantined = loaded.segments.iter().filter(|s| s.quarantined);
        self.quarantined.extend(quarantined.map(|s| s.sequence));
        self.listed_last = loaded
            .segments
            .iter()
            .map(|s| s.sequence)
            .max()
            .unwrap_or(0);
        self.from_segment = loaded.head.from_segment;
        self.chain.group = loaded.head.from_group;
        self.checkpoint_as_of = loaded.head.as_of;
        self.must_reach = loaded.as_of;
        self.table = loaded.table;
        self.loaded = loaded.topics;
        for (id, topic) in &self.loaded {
            self.view.load(*id, &self.table, topic.spans.clone());
            let below = topic.spans.iter().rev();
            let last = below.into_iter().find(|s| s.segment < self.from_segment);
            let first = topic.spans.iter().find(|s| s.segment >= self.from_segment);
            // Where the segments to be replayed must take the topic up.
            if let Some(end) = last.map(|s| s.end).or(first.map(|s| s.base)) {
                self.continuity.begin(*id, end);
            }
        }
        // The next checkpoint will be larger by what follows only.
        self.view.growth = 0;
    }

    /// The generation that the checkpoint gives a segment that is not replayed.
    pub(in crate::journal) fn listed_generation(&self, sequence: u64) -> Option<u64> {
        let info = self.view.segments.get(&sequence);
        info.map(|info| info.generation)
    }

    /// A listed segment's file is another than when the checkpoint was written.
    pub(in crate::journal) fn take_file(&mut self, sequence: u64, generation: u64, end: u64) {
        if let Some(info) = self.view.segments.get_mut(&sequence) {
            (info.generation, info.end) = (generation, end);
        }
    }

    /// A listed segment's file says that it was written anew.
    pub(in crate::journal) fn note_rewritten(&mut self, sequence: u64) {
        if let Some(info) = self.view.segments.get_mut(&sequence) {
            info.rewritten = true;
        }
    }

    /// The last segment that the checkpoint names: it must be there.
    pub(in crate::journal) fn last_listed_segment(&self) -> u64 {
        self.listed_last
    }
}
