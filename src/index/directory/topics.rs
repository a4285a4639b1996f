//! The table of topics: 64 bytes and a name each, found by name or id.
//!
//! Hash tables hold only slot numbers and are cut into shards, so that growing one moves a few
//! thousand numbers, not a million, while the lock is held.

use std::hash::BuildHasher;
use std::num::NonZeroU8;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::arena::{NameArena, NameAt};
use super::copies::PackedPhase;
use crate::limits;
use crate::types::{TopicId, UnixMicros, Version};

const SHARDS: usize = 256;
const CHUNK: usize = 1_024;
/// Lookups in flight at once: about as many misses as a processor keeps outstanding, and some.
const GROUP: usize = 32;

/// The number of a topic's slot; used again after the topic is gone.
pub(crate) type Slot = u32;

/// A topic's record with everything shared replaced by numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed {
    pub(super) topic: TopicId,
    pub(super) version: Version,
    pub(super) created: UnixMicros,
    pub(super) owner: u32,
    pub(super) host: u32,
    /// The number of a [`super::copies::CopySet`].
    pub(super) copies: u32,
    pub(super) settings: u32,
    pub(super) grant: u32,
    pub(super) lineage: u32,
    pub(super) phase: PackedPhase,
    /// Never 0, so that an empty slot costs no byte of its own.
    name_len: NonZeroU8,
    name_at: NameAt,
}

const _: () = assert!(size_of::<Option<Packed>>() <= 64);

/// The parts of a [`Packed`] that its maker chooses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub(super) topic: TopicId,
    pub(super) version: Version,
    pub(super) created: UnixMicros,
    pub(super) owner: u32,
    pub(super) host: u32,
    /// The number of a [`super::copies::CopySet`].
    pub(super) copies: u32,
    pub(super) settings: u32,
    pub(super) grant: u32,
    pub(super) lineage: u32,
    pub(super) phase: PackedPhase,
}

#[derive(Debug)]
pub(super) struct Topics {
    slots: Vec<Vec<Option<Packed>>>,
    free: Vec<Slot>,
    len: usize,
    names: NameArena,
    by_name: Vec<HashTable<Slot>>,
    by_id: Vec<HashTable<Slot>>,
    hasher: FixedState,
}

/// Topic ids are drawn at random by the index itself, so their bytes are their hash.
fn id_hash(topic: TopicId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = topic.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Bits of the hash that hashbrown uses neither for its place nor for its tag.
fn shard(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}

impl Topics {
    /// `seed` keeps strangers from choosing names that collide.
    pub(super) fn new(seed: u64) -> Self {
        Topics {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
            names: NameArena::new(),
            by_name: (0..SHARDS).map(|_| HashTable::new()).collect(),
            by_id: (0..SHARDS).map(|_| HashTable::new()).collect(),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// Makes room for `more` topics, so that loading them moves nothing.
    pub(super) fn reserve(&mut self, more: usize) {
        let each = more / SHARDS;
        // Shards differ by some square roots of their size.
        let each = each + each / 16;
        let Topics {
            slots,
            names,
            by_name,
            by_id,
            hasher,
            ..
        } = self;
        for shard in by_name {
            shard.reserve(each, |&other| {
                let packed = in_use(slots, other);
                hasher.hash_one(names.bytes(packed.name_at, packed.name_bytes()))
            });
        }
        for shard in by_id {
            shard.reserve(each, |&other| id_hash(in_use(slots, other).topic));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One beyond the highest slot ever used.
    pub(super) fn end(&self) -> Slot {
        self.slots.last().map_or(0, |last| {
            ((self.slots.len() - 1) * CHUNK + last.len()) as Slot
        })
    }

    fn name_hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }

    pub(super) fn find(&self, name: &str) -> Option<Slot> {
        let hash = self.name_hash(name.as_bytes());
        self.by_name[shard(hash)]
            .find(hash, |&slot| self.name_bytes(slot) == name.as_bytes())
            .copied()
    }

    /// Finds many topics. A lookup waits for memory four times; done in steps for a group at once,
    /// the processor waits for the whole group's at the same time.
    pub(super) fn find_many<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        mut found: impl FnMut(Option<Slot>),
    ) {
        let mut names = names.peekable();
        while names.peek().is_some() {
            let mut group = [""; GROUP];
            let mut len = 0;
            for (place, name) in group.iter_mut().zip(&mut names) {
                *place = name;
                len += 1;
            }
            self.find_group(&group[..len])
                .into_iter()
                .take(len)
                .for_each(&mut found);
        }
    }

    fn find_group(&self, names: &[&str]) -> [Option<Slot>; GROUP] {
        let mut slots = [None; GROUP];
        for (slot, name) in slots.iter_mut().zip(names) {
            let hash = self.name_hash(name.as_bytes());
            // The first candidate is nearly always the right one.
            *slot = self.by_name[shard(hash)].find(hash, |_| true).copied();
        }
        let mut places = [None; GROUP];
        for (place, slot) in places.iter_mut().zip(slots) {
            let packed = slot.map(|slot| self.packed(slot));
            *place = packed.map(|packed| (packed.name_at, packed.name_bytes()));
        }
        for ((slot, place), name) in slots.iter_mut().zip(places).zip(names) {
            let is_right =
                place.is_some_and(|(at, len)| self.names.bytes(at, len) == name.as_bytes());
            if !is_right && slot.is_some() {
                *slot = self.find(name);
            }
        }
        slots
    }

    pub(super) fn find_id(&self, topic: TopicId) -> Option<Slot> {
        let hash = id_hash(topic);
        self.by_id[shard(hash)]
            .find(hash, |&slot| self.packed(slot).topic == topic)
            .copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Packed> {
        let slot = slot as usize;
        self.slots.get(slot / CHUNK)?.get(slot % CHUNK)?.as_ref()
    }

    /// A slot that is known to be in use.
    pub(super) fn packed(&self, slot: Slot) -> &Packed {
        match self.get(slot) {
            Some(packed) => packed,
            None => panic!("slot {slot} is not in use"),
        }
    }

    fn name_bytes(&self, slot: Slot) -> &[u8] {
        let packed = self.packed(slot);
        self.names.bytes(packed.name_at, packed.name_bytes())
    }

    pub(super) fn name(&self, slot: Slot) -> &str {
        // Only whole `TopicName`s are put in, which are ASCII.
        std::str::from_utf8(self.name_bytes(slot)).expect("topic names are ASCII")
    }

    /// Adds a topic whose name and id are both new.
    pub(super) fn insert(&mut self, name: &str, parts: Parts) -> Slot {
        assert!(self.len < limits::TOPICS, "the directory is full");
        let packed = Packed::new(parts, name_len(name), self.names.insert(name));
        let slot = self.take_slot(packed);
        let hash = self.name_hash(name.as_bytes());
        let Topics {
            slots,
            names,
            by_name,
            by_id,
            hasher,
            ..
        } = self;
        by_name[shard(hash)].insert_unique(hash, slot, |&other| {
            let packed = in_use(slots, other);
            hasher.hash_one(names.bytes(packed.name_at, packed.name_bytes()))
        });
        let hash = id_hash(parts.topic);
        by_id[shard(hash)].insert_unique(hash, slot, |&other| id_hash(in_use(slots, other).topic));
        self.len += 1;
        slot
    }

    fn take_slot(&mut self, packed: Packed) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize / CHUNK][slot as usize % CHUNK] = Some(packed);
            return slot;
        }
        if self.slots.last().is_none_or(|last| last.len() == CHUNK) {
            self.slots.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.slots.len() - 1;
        self.slots[chunk].push(Some(packed));
        (chunk * CHUNK + self.slots[chunk].len() - 1) as Slot
    }

    /// Changes a topic in place; its id stays.
    pub(super) fn update(&mut self, slot: Slot, parts: Parts) {
        let old = *self.packed(slot);
        assert_eq!(old.topic, parts.topic, "a topic's id never changes");
        self.slots[slot as usize / CHUNK][slot as usize % CHUNK] =
            Some(Packed::new(parts, old.name_len, old.name_at));
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Packed {
        let packed = *self.packed(slot);
        let hash = self.name_hash(self.name_bytes(slot));
        if let Ok(entry) = self.by_name[shard(hash)].find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        let hash = id_hash(packed.topic);
        if let Ok(entry) = self.by_id[shard(hash)].find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        self.names.remove(packed.name_at, packed.name_bytes());
        self.slots[slot as usize / CHUNK][slot as usize % CHUNK] = None;
        self.free.push(slot);
        self.len -= 1;
        packed
    }

    /// Slots in use from `from` on, in their order.
    pub(super) fn iter_from(&self, from: Slot) -> impl Iterator<Item = (Slot, &Packed)> {
        (from..self.end()).filter_map(|slot| Some((slot, self.get(slot)?)))
    }
}

fn in_use(slots: &[Vec<Option<Packed>>], slot: Slot) -> &Packed {
    match &slots[slot as usize / CHUNK][slot as usize % CHUNK] {
        Some(packed) => packed,
        None => panic!("slot {slot} is not in use"),
    }
}

fn name_len(name: &str) -> NonZeroU8 {
    let len = u8::try_from(name.len()).ok().and_then(NonZeroU8::new);
    // limits::TOPIC_NAME_BYTES is below 256, and no topic name is empty.
    len.expect("a topic name has 1 to 249 bytes")
}

impl Packed {
    fn name_bytes(&self) -> usize {
        self.name_len.get().into()
    }

    fn new(parts: Parts, name_len: NonZeroU8, name_at: NameAt) -> Self {
        Packed {
            topic: parts.topic,
            version: parts.version,
            created: parts.created,
            owner: parts.owner,
            host: parts.host,
            copies: parts.copies,
            settings: parts.settings,
            grant: parts.grant,
            lineage: parts.lineage,
            phase: parts.phase,
            name_len,
            name_at,
        }
    }
}
