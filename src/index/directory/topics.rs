//! The table of topics, found by name or id: 96 bytes each, and a name if it is long.
//!
//! With many topics a lookup is as fast as memory: no cache holds what it touches. So all that it
//! reads of a topic lies in one line of the processor's caches ([`Place`]), and the rest elsewhere;
//! the way there is one more line ([`SlotTable`]).

use std::hash::BuildHasher;
use std::hint::black_box;

use foldhash::fast::FixedState;

use super::arena::{NameArena, NameAt};
use super::copies::PackedPhase;
use super::slots::{Slot, SlotTable};
use crate::limits;
use crate::types::{TopicId, UnixMicros, Version};

/// Slots of the first chunk; each further one has twice as many as the one before.
const FIRST_CHUNK: usize = 1_024;
/// Searches in flight at once: about as many misses as a processor keeps outstanding, and some.
pub(super) const GROUP: usize = 32;

/// A topic's record without its name, with everything shared replaced by numbers.
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
}

/// What a lookup reads of a topic, in one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Place {
    pub(super) topic: TopicId,
    pub(super) host: u32,
    pub(super) grant: u32,
    /// Lookups do not read it, but it has room here.
    phase: PackedPhase,
    name: Name,
}

/// What a lookup does not read.
#[derive(Debug, Clone, Copy)]
struct Rest {
    version: Version,
    created: UnixMicros,
    owner: u32,
    copies: u32,
    settings: u32,
    lineage: u32,
}

/// Bytes of a name that needs no place of its own.
const INLINE: usize = 37;

/// A topic's name, or where it is.
#[derive(Debug, Clone, Copy)]
enum Name {
    Inline { len: u8, bytes: [u8; INLINE] },
    Elsewhere { len: u8, at: NameAt },
}

const _: () = assert!(size_of::<Option<Place>>() == 64);
const _: () = assert!(size_of::<Rest>() == 32);

#[derive(Debug)]
pub(super) struct Topics {
    slots: Vec<Chunk>,
    free: Vec<Slot>,
    len: usize,
    names: NameArena,
    by_name: SlotTable,
    by_id: SlotTable,
    hasher: FixedState,
}

/// A run of slots. Nothing is moved when more are needed, and there are so few chunks that caches hold where they are.
#[derive(Debug)]
struct Chunk {
    /// `None` for slots that are free.
    places: Vec<Option<Place>>,
    rest: Vec<Rest>,
}

/// Topic ids are drawn at random by the index itself, so their bytes are their hash.
fn id_hash(topic: TopicId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = topic.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl Topics {
    /// `seed` keeps strangers from choosing names that collide.
    pub(super) fn new(seed: u64) -> Self {
        Topics {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
            names: NameArena::new(),
            by_name: SlotTable::new(),
            by_id: SlotTable::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// Makes room for `more` topics, so that loading them moves hardly anything.
    pub(super) fn reserve(&mut self, more: usize) {
        let Topics {
            slots,
            names,
            by_name,
            by_id,
            hasher,
            ..
        } = self;
        by_name.reserve(more, |slot| {
            hasher.hash_one(in_use(slots, slot).name.bytes(names))
        });
        by_id.reserve(more, |slot| id_hash(in_use(slots, slot).topic));
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One beyond the highest slot ever used.
    pub(super) fn end(&self) -> Slot {
        self.slots.last().map_or(0, |last| {
            (first_of(self.slots.len() - 1) + last.places.len()) as Slot
        })
    }

    fn name_hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }

    pub(super) fn find(&self, name: &str) -> Option<Slot> {
        let hash = self.name_hash(name.as_bytes());
        self.by_name
            .find(hash, |slot| self.name_bytes(slot) == name.as_bytes())
    }

    /// Finds many topics. A lookup waits for memory twice; done in steps for a group at once,
    /// the processor waits for the whole group's at the same time.
    pub(super) fn find_many<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        mut found: impl FnMut(Option<&Place>),
    ) {
        let mut names = names.peekable();
        while names.peek().is_some() {
            let mut group = [""; GROUP];
            let mut len = 0;
            for (place, name) in group.iter_mut().zip(&mut names) {
                *place = name;
                len += 1;
            }
            self.find_group(&group[..len], &mut found);
        }
    }

    /// Each step begins with reads that need nothing of each other and are so short that the processor has them all
    /// under way at once. (In a loop of nothing but lookups, which keeps caches warm, that costs more than it saves; in
    /// an index that serves requests a name takes 0.26 instead of 0.32 µs of processor time.)
    fn find_group(&self, names: &[&str], mut found: impl FnMut(Option<&Place>)) {
        let mut hashes = [0; GROUP];
        let hashes = &mut hashes[..names.len()];
        for (hash, name) in hashes.iter_mut().zip(names) {
            *hash = self.name_hash(name.as_bytes());
        }
        touch_all(hashes.iter().map(|&hash| self.by_name.touch(hash)));
        let mut slots = [None; GROUP];
        let slots = &mut slots[..names.len()];
        for (slot, &hash) in slots.iter_mut().zip(hashes.iter()) {
            // The first candidate is nearly always the right one.
            *slot = self.by_name.find(hash, |_| true);
        }
        touch_all(slots.iter().flatten().map(|&slot| self.place(slot).host));
        for (slot, name) in slots.iter().zip(names) {
            let candidate = slot.map(|slot| self.place(slot));
            let is_right = |place: &Place| place.name.bytes(&self.names) == name.as_bytes();
            found(match candidate {
                Some(place) if !is_right(place) => self.find(name).map(|slot| self.place(slot)),
                candidate => candidate,
            });
        }
    }

    /// Reads where searches for this name and this id begin: a first step for many at once ([`touch_all`]).
    pub(super) fn touch(&self, name: &str, topic: TopicId) -> u32 {
        let by_name = self.by_name.touch(self.name_hash(name.as_bytes()));
        by_name.wrapping_add(self.touch_id(topic))
    }

    /// As [`Topics::touch`], for an id alone.
    pub(super) fn touch_id(&self, topic: TopicId) -> u32 {
        self.by_id.touch(id_hash(topic))
    }

    pub(super) fn find_id(&self, topic: TopicId) -> Option<Slot> {
        let hash = id_hash(topic);
        self.by_id
            .find(hash, |slot| self.place(slot).topic == topic)
    }

    pub(super) fn get(&self, slot: Slot) -> Option<Packed> {
        let (chunk, at) = in_chunk(slot);
        let chunk = self.slots.get(chunk)?;
        Some(Packed::join(
            chunk.places.get(at)?.as_ref()?,
            &chunk.rest[at],
        ))
    }

    /// A slot that is known to be in use.
    pub(super) fn packed(&self, slot: Slot) -> Packed {
        let (chunk, at) = in_chunk(slot);
        Packed::join(self.place(slot), &self.slots[chunk].rest[at])
    }

    /// What a lookup reads of a slot that is known to be in use.
    pub(super) fn place(&self, slot: Slot) -> &Place {
        in_use(&self.slots, slot)
    }

    fn name_bytes(&self, slot: Slot) -> &[u8] {
        self.place(slot).name.bytes(&self.names)
    }

    pub(super) fn name(&self, slot: Slot) -> &str {
        // Only whole `TopicName`s are put in, which are ASCII.
        std::str::from_utf8(self.name_bytes(slot)).expect("topic names are ASCII")
    }

    /// Adds a topic whose name and id are both new.
    pub(super) fn insert(&mut self, name: &str, packed: Packed) -> Slot {
        assert!(self.len < limits::TOPICS, "the directory is full");
        let stored = Name::store(name, &mut self.names);
        let slot = self.take_slot(packed.split(stored));
        let hash = self.name_hash(name.as_bytes());
        let Topics {
            slots,
            names,
            by_name,
            by_id,
            hasher,
            ..
        } = self;
        by_name.insert(hash, slot, |other| {
            hasher.hash_one(in_use(slots, other).name.bytes(names))
        });
        let hash = id_hash(packed.topic);
        by_id.insert(hash, slot, |other| id_hash(in_use(slots, other).topic));
        self.len += 1;
        slot
    }

    fn take_slot(&mut self, (place, rest): (Place, Rest)) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.put(slot, (place, rest));
            return slot;
        }
        let slot = self.end();
        let (chunk, _) = in_chunk(slot);
        if chunk == self.slots.len() {
            self.slots.push(Chunk::new(FIRST_CHUNK << chunk));
        }
        let chunk = &mut self.slots[chunk];
        chunk.places.push(Some(place));
        chunk.rest.push(rest);
        slot
    }

    fn put(&mut self, slot: Slot, (place, rest): (Place, Rest)) {
        let (chunk, at) = in_chunk(slot);
        let chunk = &mut self.slots[chunk];
        chunk.places[at] = Some(place);
        chunk.rest[at] = rest;
    }

    /// Changes a topic in place; its id stays.
    pub(super) fn update(&mut self, slot: Slot, packed: Packed) {
        let old = self.place(slot);
        assert_eq!(old.topic, packed.topic, "a topic's id never changes");
        self.put(slot, packed.split(old.name));
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Packed {
        let packed = self.packed(slot);
        let hash = self.name_hash(self.name_bytes(slot));
        self.by_name.remove(hash, slot);
        self.by_id.remove(id_hash(packed.topic), slot);
        let (chunk, at) = in_chunk(slot);
        if let Some(gone) = self.slots[chunk].places[at].take() {
            gone.name.forget(&mut self.names);
        }
        self.free.push(slot);
        self.len -= 1;
        packed
    }

    /// Slots in use from `from` on, in their order.
    pub(super) fn iter_from(&self, from: Slot) -> impl Iterator<Item = (Slot, Packed)> {
        (from..self.end()).filter_map(|slot| Some((slot, self.get(slot)?)))
    }
}

/// Has these read, whatever they are.
pub(super) fn touch_all(reads: impl Iterator<Item = u32>) {
    black_box(reads.fold(0, u32::wrapping_add));
}

/// The number of its chunk, and where it is in there.
fn in_chunk(slot: Slot) -> (usize, usize) {
    let chunk = (slot as usize / FIRST_CHUNK + 1).ilog2() as usize;
    (chunk, slot as usize - first_of(chunk))
}

/// The first slot of a chunk: those before it have as many as it has itself, less those of the first chunk.
fn first_of(chunk: usize) -> usize {
    (FIRST_CHUNK << chunk) - FIRST_CHUNK
}

fn in_use(slots: &[Chunk], slot: Slot) -> &Place {
    let (chunk, at) = in_chunk(slot);
    match &slots[chunk].places[at] {
        Some(place) => place,
        None => panic!("slot {slot} is not in use"),
    }
}

impl Chunk {
    fn new(slots: usize) -> Self {
        Chunk {
            places: Vec::with_capacity(slots),
            rest: Vec::with_capacity(slots),
        }
    }
}

impl Packed {
    fn split(self, name: Name) -> (Place, Rest) {
        let place = Place {
            topic: self.topic,
            host: self.host,
            grant: self.grant,
            phase: self.phase,
            name,
        };
        let rest = Rest {
            version: self.version,
            created: self.created,
            owner: self.owner,
            copies: self.copies,
            settings: self.settings,
            lineage: self.lineage,
        };
        (place, rest)
    }

    fn join(place: &Place, rest: &Rest) -> Self {
        Packed {
            topic: place.topic,
            version: rest.version,
            created: rest.created,
            owner: rest.owner,
            host: place.host,
            copies: rest.copies,
            settings: rest.settings,
            grant: place.grant,
            lineage: rest.lineage,
            phase: place.phase,
        }
    }
}

impl Name {
    fn store(name: &str, arena: &mut NameArena) -> Self {
        // limits::TOPIC_NAME_BYTES is below 256.
        let len = u8::try_from(name.len()).expect("a topic name has at most 249 bytes");
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..name.len()) {
            Some(place) => {
                place.copy_from_slice(name.as_bytes());
                Name::Inline { len, bytes }
            }
            None => Name::Elsewhere {
                len,
                at: arena.insert(name),
            },
        }
    }

    fn bytes<'a>(&'a self, arena: &'a NameArena) -> &'a [u8] {
        match self {
            Name::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Name::Elsewhere { len, at } => arena.bytes(*at, (*len).into()),
        }
    }

    fn forget(self, arena: &mut NameArena) {
        if let Name::Elsewhere { len, at } = self {
            arena.remove(at, len.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_place_in_one_chunk() {
        let mut slot = 0;
        for chunk in 0..12 {
            assert_eq!(first_of(chunk), slot);
            let end = slot + (FIRST_CHUNK << chunk);
            let last = (FIRST_CHUNK << chunk) - 1;
            assert_eq!(in_chunk(slot as Slot), (chunk, 0));
            assert_eq!(in_chunk((end - 1) as Slot), (chunk, last));
            slot = end;
        }
        assert_eq!(in_chunk(Slot::MAX).0, 22);
    }
}
