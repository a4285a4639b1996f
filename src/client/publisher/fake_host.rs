//! What a host does with batches, in memory: for tests.

use bytes::Bytes;
use hashbrown::HashMap;

use crate::types::{Epoch, ProducerId};
use crate::wire::{ErrorCode, batch};

/// The durable half of a host: one topic's log with dedupe by producer and sequence.
#[derive(Default)]
pub(super) struct Host {
    /// Message numbers in the order of their offsets.
    pub(super) log: Vec<u32>,
    /// Per producer: ranges (sequence, offset of its first message), and the sequence due.
    pub(super) producers: HashMap<ProducerId, (Vec<(u64, u64)>, u64)>,
    pub(super) incarnation: u32,
}

impl Host {
    pub(super) fn epoch(&self) -> Epoch {
        Epoch {
            grant: 1,
            incarnation: self.incarnation,
        }
    }

    pub(super) fn append(&mut self, epoch: Epoch, bytes: &Bytes) -> Result<(u64, bool), ErrorCode> {
        if epoch != self.epoch() {
            return Err(ErrorCode::StaleEpoch);
        }
        let header = batch::verify(bytes).unwrap();
        let known = self.producers.contains_key(&header.producer);
        if !known && header.sequence != 0 {
            return Err(ErrorCode::UnknownProducer);
        }
        let (ranges, due) = self.producers.entry(header.producer).or_default();
        if let Some(&(_, base)) = ranges.iter().find(|range| range.0 == header.sequence) {
            return Ok((base, true));
        }
        if header.sequence != *due {
            return Err(ErrorCode::SequenceGap);
        }
        let base = self.log.len() as u64 + 1;
        ranges.push((header.sequence, base));
        *due = header.next_sequence();
        for (_, record) in batch::records(bytes).unwrap() {
            let number: [u8; 4] = record.body.try_into().unwrap();
            self.log.push(u32::from_le_bytes(number));
        }
        Ok((base, false))
    }
}
