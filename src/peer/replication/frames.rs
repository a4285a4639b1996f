//! Frames between a replica and its host, to and from what the machines say.
//!
//! Acknowledgements travel as two frames: ends with each group sync, revisions of positions only where
//! they have moved. A revision stands for its slot until the next one.

use crate::limits;
use crate::replication::host::{Join, JoinAnswer};
use crate::replication::hosting::{Down, SlotNo, Up};
use crate::transport::{CallError, FrameSender};
use crate::types::Offset;
use crate::wire::peer::replication::{
    HighWatermark, PositionsAck, ReplicaJoin, ReplicaJoined, ReplicaLeave,
};
use crate::wire::peer::{Ack, SlotEnded};
use crate::wire::{DecodeError, ErrorReply, Frame, Message};

/// A frame of a replica, at its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) enum FromReplica {
    /// What the machine takes as it is: a join, a leave.
    Up(Up),
    /// Ends that are durable.
    Ends(Vec<(SlotNo, Offset)>),
    /// Revisions of positions that are durable.
    Revisions(Vec<(SlotNo, u64)>),
}

/// Reads a replica's frame.
pub(in crate::peer) fn read_up(frame: &Frame) -> Result<FromReplica, CallError> {
    Ok(match frame.kind {
        ReplicaJoin::KIND => {
            let join: ReplicaJoin = frame.decode()?;
            let ReplicaJoin {
                slot,
                topic,
                known,
                last,
                end,
            } = join;
            FromReplica::Up(Up::Join(slot, topic, Join { known, last, end }))
        }
        ReplicaLeave::KIND => {
            let ReplicaLeave { slot, known } = frame.decode()?;
            FromReplica::Up(Up::Leave(slot, known))
        }
        Ack::KIND => FromReplica::Ends(frame.decode::<Ack>()?.ends),
        PositionsAck::KIND => FromReplica::Revisions(frame.decode::<PositionsAck>()?.revisions),
        found => {
            return Err(CallError::Decode(DecodeError::UnknownKind {
                found,
                expected: "a frame of a replica",
            }));
        }
    })
}

/// Buffers a replica's frame. `revised` tells which acknowledged revisions the host has not been told
/// yet.
pub(in crate::peer) fn buffer_up(
    sender: &mut FrameSender,
    frame: Up,
    mut revised: impl FnMut(SlotNo, u64) -> bool,
) {
    match frame {
        Up::Join(slot, topic, join) => sender.buffer(&ReplicaJoin {
            slot,
            topic,
            known: join.known,
            last: join.last,
            end: join.end,
        }),
        Up::Leave(slot, known) => sender.buffer(&ReplicaLeave { slot, known }),
        Up::Acks(acks) => {
            for part in acks.chunks(limits::SLOTS_PER_FRAME) {
                let revisions = part.iter().map(|&(slot, _, revision)| (slot, revision));
                let revisions: Vec<_> = revisions
                    .filter(|&(slot, revision)| revised(slot, revision))
                    .collect();
                // First: an end may complete what a revision has begun.
                if !revisions.is_empty() {
                    sender.buffer(&PositionsAck { revisions });
                }
                let ends = part.iter().map(|&(slot, end, _)| (slot, end)).collect();
                sender.buffer(&Ack { ends });
            }
        }
    }
}

/// Buffers a host's frame. `why`: what an ended slot is told.
pub(in crate::peer) fn buffer_down(
    sender: &mut FrameSender,
    frame: Down,
    why: impl FnOnce() -> ErrorReply,
) {
    match frame {
        Down::Joined(slot, answer) => sender.buffer(&ReplicaJoined {
            slot,
            epoch: answer.epoch,
            common: answer.common,
            start: answer.start,
            high_watermark: answer.high_watermark,
        }),
        Down::Watermarks(moved) => {
            for part in moved.chunks(limits::SLOTS_PER_FRAME) {
                let moved = part.to_vec();
                sender.buffer(&HighWatermark { moved });
            }
        }
        Down::Ended(slot) => sender.buffer(&SlotEnded { slot, error: why() }),
    }
}

/// Reads a host's frame; `None`: batches or positions, which are not the machine's.
pub(in crate::peer) fn read_down(frame: &Frame) -> Result<Option<Down>, CallError> {
    Ok(match frame.kind {
        ReplicaJoined::KIND => {
            let joined: ReplicaJoined = frame.decode()?;
            let answer = JoinAnswer {
                epoch: joined.epoch,
                common: joined.common,
                start: joined.start,
                high_watermark: joined.high_watermark,
            };
            Some(Down::Joined(joined.slot, answer))
        }
        HighWatermark::KIND => Some(Down::Watermarks(frame.decode::<HighWatermark>()?.moved)),
        SlotEnded::KIND => Some(Down::Ended(frame.decode::<SlotEnded>()?.slot)),
        _ => None,
    })
}
