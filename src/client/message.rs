//! Messages as applications see them.

use bytes::Bytes;

use crate::types::{Epoch, Offset, ProducerId, TopicName, UnixMicros};
use crate::wire::batch::{self, BatchError, Record};

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Optional key.
    pub key: Option<Bytes>,
    /// Headers in order: name and value.
    pub headers: Vec<(String, Bytes)>,
    /// The body; may be empty.
    pub body: Bytes,
}

impl Message {
    /// A message with a body only.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Message {
            body: body.into(),
            ..Message::default()
        }
    }

    /// The message as the batch builder takes it.
    pub(crate) fn record(&self) -> Record<'_> {
        Record {
            key: self.key.as_deref(),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), &value[..]))
                .collect(),
            body: &self.body,
        }
    }
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Its place in the topic.
    pub offset: Offset,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its headers in order.
    pub headers: Vec<(String, Bytes)>,
    /// Its body.
    pub body: Bytes,
    /// The producer's wall time of its batch.
    pub produced: UnixMicros,
    /// The host's wall time of the append; non-decreasing within a topic.
    pub appended: UnixMicros,
    /// Who produced it: random per publisher.
    pub producer: ProducerId,
}

/// Batches of one topic, in order and without gaps, as the host served them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The topic.
    pub topic: TopicName,
    /// The first offset wanted; the first batch may begin below it and is trimmed when read.
    pub from: Offset,
    /// The offset after the last message.
    pub next: Offset,
    /// The end of the topic as the host saw it then.
    pub end: Offset,
    /// Whole batches, verified.
    pub batches: Vec<Bytes>,
}

impl Delivery {
    /// Messages in it.
    pub fn count(&self) -> u64 {
        self.next.0.saturating_sub(self.from.0)
    }

    /// The epoch of the last message; `None`: there is none.
    pub(crate) fn last_epoch(&self) -> Option<Epoch> {
        let last = batch::read_header(self.batches.last()?).ok()?;
        Some(last.epoch)
    }

    /// Whether there is no message in it.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The messages, decoded one batch after the other, trimmed to `from .. next`.
    pub fn messages(&self) -> impl Iterator<Item = Result<ReceivedMessage, BatchError>> + '_ {
        let wanted = self.from..self.next;
        self.batches
            .iter()
            .flat_map(|bytes| match decode(bytes) {
                Ok(messages) => messages.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            })
            .filter(move |message| {
                message
                    .as_ref()
                    .map_or(true, |message| wanted.contains(&message.offset))
            })
    }

    /// Leaves out what lies beyond the first `messages` messages: whole batches, and the rest of the
    /// last one when it is read.
    pub(crate) fn limit(&mut self, messages: u64) {
        let next = self.from.plus(messages).min(self.next);
        self.next = next;
        self.batches
            .retain(|bytes| batch::read_header(bytes).is_ok_and(|header| header.base < next));
    }

    /// One without messages yet.
    pub(crate) fn at(topic: &TopicName, from: Offset, end: Offset) -> Delivery {
        Delivery {
            topic: topic.clone(),
            from,
            next: from,
            end,
            batches: Vec::new(),
        }
    }

    /// Takes up what came behind it.
    pub(crate) fn join(&mut self, behind: Delivery) {
        debug_assert_eq!(behind.from, self.next);
        self.next = behind.next;
        self.end = self.end.max(behind.end);
        self.batches.extend(behind.batches);
    }

    /// Bytes of its batches.
    pub(crate) fn bytes(&self) -> u64 {
        self.batches.iter().map(|batch| batch.len() as u64).sum()
    }

    /// Verifies `batches` and that they continue without a gap from `from` on.
    pub(crate) fn verified(
        topic: &TopicName,
        from: Offset,
        end: Offset,
        batches: Vec<Bytes>,
    ) -> Result<Delivery, BatchError> {
        let mut next = from;
        for bytes in &batches {
            let header = batch::verify(bytes)?;
            if header.base > next || header.end() <= next {
                return Err(BatchError::Discontinuous {
                    expected: next,
                    first: header.base,
                    end: header.end(),
                });
            }
            next = header.end();
        }
        Ok(Delivery {
            topic: topic.clone(),
            from,
            next,
            end,
            batches,
        })
    }
}

fn decode(bytes: &Bytes) -> Result<Vec<ReceivedMessage>, BatchError> {
    let header = batch::read_header(bytes)?;
    let records = batch::records(bytes)?;
    let messages = records.into_iter().map(|(offset, record)| ReceivedMessage {
        offset,
        key: record.key.map(|key| bytes.slice_ref(key)),
        headers: record
            .headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), bytes.slice_ref(value)))
            .collect(),
        body: bytes.slice_ref(record.body),
        produced: header.produced,
        appended: header.appended,
        producer: header.producer,
    });
    Ok(messages.collect())
}
