//! Messages left with the index while nobody is there who could host their topic. Pure.
//!
//! One batch at a time, in the order of sequences, under the producer id and sequence that a host would
//! see. So a batch of which nobody knows whether the old host had it may be held as well: the host that
//! drains drops it if it is in the log. Afterwards the topic goes on with the host under the sequences
//! that follow. What the index does not take (too large, too much) waits for a host.

use std::sync::Arc;

use super::Receipt;
use super::answers::is_certainly_not_taken;
use super::core::{Effect, Turn};
use super::topic::{Phase, Topic};
use crate::client::ClientError;
use crate::limits;
use crate::types::Offset;
use crate::wire::index::Route;
use crate::wire::index::copies::HeldInfo;
use crate::wire::peer::Achieved;
use crate::wire::{ErrorCode, Retry};

/// The batch that is on its way to the index.
pub(super) struct Holding {
    search: u64,
    route: Arc<Route>,
    /// Of its first message.
    sequence: u64,
    /// Whether a host may have taken it before.
    unsure: bool,
}

impl<W> Topic<W> {
    /// The search found no host, and there is none.
    pub(super) fn away(
        &mut self,
        search: u64,
        route: Arc<Route>,
        error: ClientError,
        retry: Retry,
        turn: &mut Turn<'_, W>,
    ) {
        if !matches!(self.phase, Phase::Finding { search: ours } if ours == search) {
            return;
        }
        self.lives(route.topic, turn);
        self.demand(retry);
        self.last = Some(error);
        self.hold_next(route, turn);
    }

    /// Leaves the next batch with the index, or waits for a host.
    fn hold_next(&mut self, route: Arc<Route>, turn: &mut Turn<'_, W>) {
        self.phase = Phase::Idle;
        if self.sealed.is_empty() {
            self.seal_ripe(turn);
        }
        let fits = |bytes: usize| bytes as u64 <= limits::HELD_BATCH_BYTES;
        let Some(batch) = (self.sealed.front_mut()).filter(|batch| fits(batch.bytes.len())) else {
            return self.pause(turn);
        };
        let search = turn.tickets.next_search();
        turn.effects.push(Effect::Hold {
            topic: self.key,
            name: self.name.clone(),
            search,
            life: route.topic,
            batch: batch.bytes.clone(),
        });
        self.phase = Phase::Holding(Holding {
            search,
            route,
            sequence: batch.sequence,
            unsure: std::mem::replace(&mut batch.unsure, true),
        });
    }

    /// The hold that is answered; the topic is idle until something else is said.
    fn take_holding(&mut self, search: u64) -> Option<Holding> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Holding(holding) if holding.search == search => Some(holding),
            other => {
                self.phase = other;
                None
            }
        }
    }

    pub(super) fn held(&mut self, search: u64, held: HeldInfo, turn: &mut Turn<'_, W>) {
        let Some(holding) = self.take_holding(search) else {
            return;
        };
        // It may have been given up meanwhile.
        let front = self.sealed.front().map(|batch| batch.sequence);
        if front == Some(holding.sequence)
            && let Some(batch) = self.sealed.pop_front()
        {
            let receipt = Receipt {
                topic: self.name.clone(),
                offset: Offset(0),
                epoch: holding.route.epoch,
                duplicate: false,
                achieved: Achieved { durable: 0, of: 0 },
                peers: Arc::from([]),
                host: Arc::clone(&holding.route.host),
                held: Some(held),
            };
            turn.effects.push(Effect::Answered {
                waiters: batch.waiters,
                answer: Ok(receipt),
            });
        }
        self.backoff.reset();
        self.tell(None, turn);
        self.need.fresh_route = true;
        if self.is_pending() {
            self.hold_next(holding.route, turn);
        }
    }

    pub(super) fn not_held(
        &mut self,
        search: u64,
        error: ClientError,
        sent: bool,
        turn: &mut Turn<'_, W>,
    ) {
        let Some(holding) = self.take_holding(search) else {
            return;
        };
        let code = error.code();
        let front = self.sealed.front_mut();
        if let Some(batch) = front.filter(|batch| batch.sequence == holding.sequence)
            && (!sent || code.is_some_and(is_certainly_not_taken))
        {
            batch.unsure = holding.unsure;
        }
        self.need.fresh_route = true;
        match code {
            Some(ErrorCode::TopicNotFound) => return self.fail_deleted(turn),
            // Somebody who can host is there, or may be: the search tells more.
            Some(ErrorCode::NotReady) | None => {}
            Some(_) => self.last = Some(error),
        }
        self.pause(turn);
    }
}
