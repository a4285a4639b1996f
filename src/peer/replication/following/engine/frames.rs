//! What hosts say, given to the machine.

use bytes::Bytes;

use super::Engine;
use crate::journal::{Command, Position, PositionKey, Stopped};
use crate::peer::replication::following::link::{self, Event, What};
use crate::replication::hosting::{Down, SlotNo};
use crate::replication::members::PeerNo;
use crate::types::TopicId;
use crate::wire::batch;
use crate::wire::peer::replication::Positions;

impl Engine {
    pub(super) async fn on_event(&mut self, event: Event) -> Result<(), Stopped> {
        let Event { host, link, what } = event;
        let Some(known) = self.links.get_mut(&host).filter(|l| l.number == link) else {
            return Ok(());
        };
        match what {
            What::Opened(connection, outbox) => {
                known.open = Some((connection, outbox));
                let effects = self.machine.opened(host);
                self.perform(effects, None).await
            }
            What::Closed => {
                known.open = None;
                self.machine.closed(host);
                Ok(())
            }
            What::Frame(Down::Ended(slot)) => self.end_slot(host, slot),
            What::Frame(frame) => {
                if let Down::Watermarks(moved) = &frame {
                    for (slot, ..) in moved {
                        self.goes_well(host, *slot);
                    }
                }
                let effects = self.machine.frame(host, frame);
                self.perform(effects, None).await
            }
            What::Batches(slot, bytes) => self.on_batches(host, slot, bytes).await,
            What::Positions(positions) => self.on_positions(host, positions).await,
        }
    }

    /// The host gave the slot up, or it is of no use: asked for again after a while.
    pub(super) fn end_slot(&mut self, host: PeerNo, slot: SlotNo) -> Result<(), Stopped> {
        let topic = self.machine.topic_on(host, slot);
        // It has no effects: the slot is gone on both sides.
        let _ = self.machine.frame(host, Down::Ended(slot));
        if let Some(id) = topic {
            self.later(id);
        }
        Ok(())
    }

    fn goes_well(&mut self, host: PeerNo, slot: SlotNo) {
        if let Some(id) = self.machine.topic_on(host, slot)
            && let Some(kept) = self.topics.get_mut(&id)
        {
            kept.backoff.reset();
        }
    }

    async fn on_batches(
        &mut self,
        host: PeerNo,
        slot: SlotNo,
        mut rest: Bytes,
    ) -> Result<(), Stopped> {
        while let Some(id) = self.machine.topic_on(host, slot) {
            let (bytes, header) = match first_batch(&mut rest, id) {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(topic = %id, %error, "a host sent what is no batch of the topic");
                    return self.end_slot(host, slot);
                }
            };
            self.goes_well(host, slot);
            let (base, end, epoch) = (header.base, header.end(), header.epoch);
            let effects = self.machine.batch(host, slot, base, end, epoch);
            self.perform(effects, Some(bytes)).await?;
        }
        Ok(())
    }

    async fn on_positions(&mut self, host: PeerNo, frame: Positions) -> Result<(), Stopped> {
        let Some(topic) = self.machine.topic_on(host, frame.slot) else {
            return Ok(());
        };
        let positions = frame.positions.into_iter().map(|entry| {
            let key = PositionKey {
                subscriber: entry.subscriber,
                group: entry.group,
            };
            let at = Position {
                next: entry.next,
                sequence: entry.sequence,
            };
            (key, at)
        });
        let command = Command::ReplicatePositions {
            topic,
            positions: positions.collect(),
        };
        let number = (!frame.more).then(|| self.machine.written() + 1);
        self.submit(topic, number, command).await?;
        if frame.more {
            return Ok(());
        }
        let effects = self.machine.positions(host, frame.slot, frame.revision);
        self.perform(effects, None).await
    }
}

/// Takes the first batch off a frame's payload, verified. Its bytes share the frame's buffer until the
/// journal has copied them.
fn first_batch(
    rest: &mut Bytes,
    topic: TopicId,
) -> Result<Option<(Bytes, batch::BatchHeader)>, batch::BatchError> {
    let Some((first, after)) = batch::split_first(rest)? else {
        return Ok(None);
    };
    *rest = after;
    let header = link::verified(&first, topic)?;
    Ok(Some((first, header)))
}
