//! Copies that are not in sync, as hosts report them: a table of those only, so that a topic whose
//! copies are all in sync costs nothing here.

use hashbrown::HashMap;

use super::slots::Slot;
use super::{Directory, Packed};
use crate::replication::members::{Members, PeerNo};
use crate::types::{MonoNs, TopicId};
use crate::wire::index::{BehindCopy, CopyLag};

/// One copy that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lag {
    peer: PeerNo,
    messages: Option<u64>,
    /// When it was reported first, without a report of another kind since.
    since: MonoNs,
}

#[derive(Debug, Default)]
pub(super) struct Lags {
    topics: HashMap<Slot, Vec<Lag>>,
}

impl Lags {
    fn get(&self, slot: Slot) -> &[Lag] {
        self.topics.get(&slot).map_or(&[], Vec::as_slice)
    }

    /// Replaces what was known of a topic.
    fn put(&mut self, slot: Slot, lags: impl Iterator<Item = (PeerNo, Option<u64>)>, now: MonoNs) {
        let known = self.get(slot);
        let since = |peer| {
            known
                .iter()
                .find(|lag| lag.peer == peer)
                .map(|lag| lag.since)
        };
        let lag = |(peer, messages)| Lag {
            peer,
            messages,
            since: since(peer).unwrap_or(now),
        };
        let mut lags: Vec<Lag> = lags.map(lag).collect();
        // One word on each copy, whatever a host sends.
        lags.sort_unstable_by_key(|lag| lag.peer.0);
        lags.dedup_by_key(|lag| lag.peer);
        match lags.is_empty() {
            true => drop(self.topics.remove(&slot)),
            false => drop(self.topics.insert(slot, lags)),
        }
    }

    /// Forgets all of a topic but what `keep` wants.
    pub(super) fn retain(&mut self, slot: Slot, keep: impl Fn(PeerNo) -> bool) {
        if let Some(lags) = self.topics.get_mut(&slot) {
            lags.retain(|lag| keep(lag.peer));
            if lags.is_empty() {
                self.topics.remove(&slot);
            }
        }
    }

    /// The largest lag that is known, of one peer's copies or of all.
    fn largest(&self, of: Option<PeerNo>) -> u64 {
        let lags = self.topics.values().flatten();
        let lags = lags.filter(|lag| of.is_none_or(|peer| peer == lag.peer));
        lags.filter_map(|lag| lag.messages).max().unwrap_or(0)
    }

    /// As [`Lags::largest`], for every peer at once.
    fn largest_by_peer(&self) -> HashMap<PeerNo, u64> {
        let mut largest = HashMap::new();
        for lag in self.topics.values().flatten() {
            let most: &mut u64 = largest.entry(lag.peer).or_default();
            *most = lag.messages.unwrap_or(0).max(*most);
        }
        largest
    }
}

/// Copies behind, and the largest lag that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) copies: u32,
    pub(crate) largest_lag: u64,
}

/// Replicas that are not in sync.
fn not_in_sync(replicas: Members, in_sync: Members) -> Members {
    replicas.filter(|peer| !in_sync.contains(peer))
}

impl Directory {
    /// Takes a host's word on the copies of topics that it reports; those that it does not name are in
    /// sync. Only replicas that are not in sync count: the host may not have heard of the newest record.
    pub(super) fn note_lags<'a>(
        &self,
        topics: impl Iterator<Item = (Slot, &'a [CopyLag])>,
        now: MonoNs,
    ) {
        let mut lags = self.lags.lock();
        for (slot, told) in topics {
            let behind = self.not_in_sync(&self.topics.packed(slot));
            let told = told.iter().filter_map(|lag| {
                let peer = self.peer_no(lag.peer)?;
                behind.contains(peer).then_some((peer, lag.messages))
            });
            lags.put(slot, told, now);
        }
    }

    fn not_in_sync(&self, packed: &Packed) -> Members {
        let set = self.copies.get(packed.copies);
        not_in_sync(set.replicas, set.in_sync)
    }

    /// What was told of copies that are in sync by now, or kept no more, is no longer true.
    pub(super) fn renew_lags(&mut self, slot: Slot) {
        let behind = self.not_in_sync(&self.topics.packed(slot));
        let lags = self.lags.get_mut();
        lags.retain(slot, |peer| behind.contains(peer));
    }

    /// The copies of a topic that are not in sync, by name.
    pub(super) fn behind_copies(
        &self,
        packed: &Packed,
        slot: Slot,
        now: MonoNs,
    ) -> Vec<BehindCopy> {
        let lags = self.lags.lock();
        let known = lags.get(slot);
        let copies = self.not_in_sync(packed);
        let copies = copies.iter().filter_map(|peer| {
            let record = self.peers[peer.0 as usize].record.as_ref()?;
            let lag = known.iter().find(|lag| lag.peer == peer);
            let age = |since| u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
            Some(BehindCopy {
                peer: record.name.clone(),
                messages: lag.and_then(|lag| lag.messages),
                behind_ms: lag.map(|lag| age(lag.since)),
            })
        });
        let mut copies: Vec<_> = copies.collect();
        copies.sort_by(|a, b| a.peer.cmp(&b.peer));
        copies
    }

    /// What the copy of a topic lacks that lacks most, as far as known.
    pub(super) fn largest_lag(&self, slot: Slot) -> u64 {
        let lags = self.lags.lock();
        let known = lags.get(slot).iter().filter_map(|lag| lag.messages);
        known.max().unwrap_or(0)
    }

    /// Copies behind in all.
    pub(crate) fn behind_in_all(&self) -> Behind {
        let sets = self.copies.iter();
        let counts = sets.map(|(set, count)| {
            let behind = not_in_sync(set.replicas, set.in_sync);
            count.saturating_mul(behind.len() as u32)
        });
        Behind {
            copies: counts.fold(0, u32::saturating_add),
            largest_lag: self.lags.lock().largest(None),
        }
    }

    /// One peer's copies that are behind.
    pub(super) fn behind_at(&self, peer: PeerNo) -> Behind {
        let sets = self.copies.iter();
        let sets = sets.filter(|(set, _)| not_in_sync(set.replicas, set.in_sync).contains(peer));
        Behind {
            copies: sets.map(|(_, count)| count).sum(),
            largest_lag: self.lags.lock().largest(Some(peer)),
        }
    }

    /// As [`Directory::behind_at`], for every peer that has such: each topic is looked at once, and sets
    /// of copies, which are few.
    pub(super) fn behind_by_peer(&self) -> HashMap<PeerNo, Behind> {
        let largest = self.lags.lock().largest_by_peer();
        let mut all: HashMap<PeerNo, Behind> = HashMap::new();
        for (set, count) in self.copies.iter() {
            for peer in not_in_sync(set.replicas, set.in_sync).iter() {
                let behind = all.entry(peer).or_default();
                behind.copies += count;
                behind.largest_lag = largest.get(&peer).copied().unwrap_or(0);
            }
        }
        all
    }

    /// Takes over what hosts told another directory of the same topics.
    pub(super) fn take_over_lags(&mut self, old: &Directory) {
        let told = old.lags.lock();
        for (&slot, lags) in &told.topics {
            let Some(new) = self.topics.find_id(old.topics.packed(slot).topic) else {
                continue;
            };
            let kept = lags.iter().filter_map(|lag| {
                let peer = self.peer_no(old.key_of(lag.peer))?;
                Some(Lag { peer, ..*lag })
            });
            let kept: Vec<Lag> = kept.collect();
            self.lags.get_mut().topics.insert(new, kept);
            self.renew_lags(new);
        }
    }
}

/// A frame's word on copies, by topic.
#[derive(Debug, Default)]
pub struct ToldLags {
    sorted: Vec<CopyLag>,
}

impl ToldLags {
    /// Sorts them by topic.
    pub fn new(mut told: Vec<CopyLag>) -> Self {
        told.sort_unstable_by_key(|lag| lag.topic);
        ToldLags { sorted: told }
    }

    /// Those of a topic.
    pub(super) fn of(&self, topic: TopicId) -> &[CopyLag] {
        let from = self.sorted.partition_point(|lag| lag.topic < topic);
        let count = self.sorted[from..].partition_point(|lag| lag.topic == topic);
        &self.sorted[from..from + count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Fingerprint;

    fn lag(topic: u8, peer: u8, messages: u64) -> CopyLag {
        CopyLag {
            topic: TopicId([topic; 16]),
            peer: Fingerprint([peer; 32]),
            messages: Some(messages),
        }
    }

    #[test]
    fn what_was_told_is_found_by_topic() {
        let told = ToldLags::new(vec![lag(2, 1, 5), lag(1, 1, 6), lag(2, 2, 7)]);
        assert_eq!(told.of(TopicId([1; 16])), [lag(1, 1, 6)]);
        assert_eq!(told.of(TopicId([2; 16])).len(), 2);
        assert_eq!(told.of(TopicId([3; 16])), []);
    }

    #[test]
    fn since_when_stays_until_the_copy_was_in_sync() {
        let mut lags = Lags::default();
        let peer = PeerNo(3);
        let told = |messages| [(peer, messages)].into_iter();
        lags.put(1, told(Some(4)), MonoNs(10));
        lags.put(1, told(None), MonoNs(20));
        assert_eq!(lags.get(1)[0].since, MonoNs(10));
        lags.put(1, [].into_iter(), MonoNs(30));
        assert!(lags.topics.is_empty(), "a level topic takes no room");
        lags.put(1, told(Some(9)), MonoNs(40));
        lags.put(2, [(PeerNo(4), Some(5))].into_iter(), MonoNs(40));
        assert_eq!(lags.get(1)[0].since, MonoNs(40));
        assert_eq!((lags.largest(None), lags.largest(Some(PeerNo(4)))), (9, 5));
        lags.retain(1, |_| false);
        assert_eq!((lags.largest(None), lags.topics.len()), (5, 1));
    }
}
