//! What an answer, a lost stream, a found host or the passing of time means for one topic. Pure.

use std::sync::Arc;

use super::Receipt;
use super::batches::Sealed;
use super::core::{Effect, LinkId, Turn};
use super::topic::{Linked, Phase, Room, Topic};
use crate::client::ClientError;
use crate::types::{PeerName, TopicId};
use crate::wire::index::Route;
use crate::wire::peer::{AppendAck, AppendNack};
use crate::wire::{ErrorCode, ErrorReply, Retry};

impl<W> Topic<W> {
    pub(super) fn doing(&self) -> String {
        format!("publishing to topic '{}'", self.name)
    }

    // ---- searches ----

    pub(super) fn found(
        &mut self,
        search: u64,
        route: Arc<Route>,
        link: LinkId,
        turn: &mut Turn<'_, W>,
    ) {
        if !matches!(self.phase, Phase::Finding { search: ours } if ours == search) {
            return;
        }
        self.lives(route.topic, turn);
        let peers = Arc::from([route.host.name.clone()]);
        // It may be another stream now; a turn on the old one does no harm.
        self.room = Room::Unasked;
        self.phase = Phase::Ready(Linked { link, route, peers });
        for index in 0..self.sealed.len() {
            self.transmit(index, turn);
        }
    }

    /// The topic has this id now.
    pub(super) fn lives(&mut self, topic: TopicId, turn: &mut Turn<'_, W>) {
        if self.life.is_some_and(|life| life != topic) {
            self.fail_deleted(turn);
        }
        self.life = Some(topic);
    }

    pub(super) fn not_found(
        &mut self,
        search: u64,
        error: ClientError,
        retry: Retry,
        turn: &mut Turn<'_, W>,
    ) {
        if self.probe == Some(search) {
            self.probe = None;
            self.quiet_since = turn.now;
        }
        if !matches!(self.phase, Phase::Finding { search: ours } if ours == search) {
            return;
        }
        self.phase = Phase::Idle;
        let deleted = error.code() == Some(ErrorCode::TopicNotFound) && self.life.is_some();
        if deleted {
            self.fail_deleted(turn);
            if turn.options.create_missing.is_some() {
                // The next search may create it for what has gathered.
                return;
            }
        }
        if retry == Retry::Never {
            self.need.fresh_route = true;
            return self.fail_all(&error, turn);
        }
        self.demand(retry);
        self.last = Some(error);
        self.pause(turn);
    }

    /// Compares what the index says now with where the silent stream leads: the stream, if it leads
    /// elsewhere.
    pub(super) fn probed(
        &mut self,
        search: u64,
        route: &Route,
        turn: &mut Turn<'_, W>,
    ) -> Option<(LinkId, ClientError)> {
        if self.probe != Some(search) {
            return None;
        }
        self.probe = None;
        self.quiet_since = turn.now;
        let linked = self.linked()?;
        // Nobody is there who would answer for it; the index holds the messages meanwhile.
        let away = turn.options.hold && !route.host.live;
        let moved = away
            || route.epoch != linked.route.epoch
            || route.topic != linked.route.topic
            || route.host.fingerprint != linked.route.host.fingerprint
            || route.host.addresses != linked.route.host.addresses;
        let silent = || ClientError::TimedOut {
            doing: self.doing(),
            after: crate::limits::SILENCE_BEFORE_PROBE,
            last: None,
        };
        moved.then(|| (linked.link, silent()))
    }

    // ---- answers ----

    /// Takes the ticket off its batch and says where that is.
    fn answered(&mut self, ticket: u64, turn: &mut Turn<'_, W>) -> Option<usize> {
        let found = self.sealed.iter().position(|b| b.ticket == Some(ticket));
        // The core routes outstanding tickets only.
        let index = found?;
        turn.tickets.retire(ticket);
        self.sealed[index].ticket = None;
        self.outstanding -= 1;
        self.quiet_since = turn.now;
        Some(index)
    }

    pub(super) fn copied(&mut self, peers: Vec<PeerName>) {
        if let Phase::Ready(linked) | Phase::Draining(linked) = &mut self.phase {
            linked.peers = peers.into();
        }
    }

    pub(super) fn acked(&mut self, ack: &AppendAck, turn: &mut Turn<'_, W>) {
        let Some(index) = self.answered(ack.ticket, turn) else {
            return;
        };
        let (Some(batch), Some(linked)) = (self.sealed.remove(index), self.linked()) else {
            return;
        };
        let receipt = Receipt {
            topic: self.name.clone(),
            offset: ack.base,
            epoch: linked.route.epoch,
            duplicate: ack.duplicate,
            achieved: ack.achieved,
            peers: Arc::clone(&linked.peers),
            host: Arc::clone(&linked.route.host),
            held: None,
        };
        turn.effects.push(Effect::Answered {
            waiters: batch.waiters,
            answer: Ok(receipt),
        });
        self.backoff.reset();
        self.last = None;
        self.tell(None, turn);
    }

    pub(super) fn nacked(&mut self, nack: AppendNack, turn: &mut Turn<'_, W>) {
        let Some(index) = self.answered(nack.ticket, turn) else {
            return;
        };
        let error = nack.error;
        self.sealed[index].unsure |= !is_certainly_not_taken(error.code());
        match error.code() {
            // One before it was not taken; its answer decides, and may come later than this one.
            ErrorCode::SequenceGap | ErrorCode::UnknownProducer if index > 0 => self.drain(),
            ErrorCode::SequenceGap | ErrorCode::SequenceTooOld => {
                self.fail_unknown(&error.detail, turn);
            }
            ErrorCode::UnknownProducer => {
                self.forgotten = true;
                self.remember(error);
                self.drain();
            }
            _ if error.retry == Retry::Never => self.refuse(index, &error, turn),
            _ => {
                self.demand(error.retry);
                self.remember(error);
                self.drain();
            }
        }
    }

    pub(super) fn lost(&mut self, error: &ClientError, retry: Retry, turn: &mut Turn<'_, W>) {
        for batch in &mut self.sealed {
            if let Some(ticket) = batch.ticket.take() {
                turn.tickets.retire(ticket);
                batch.unsure = true;
            }
        }
        self.outstanding = 0;
        self.demand(Retry::FreshRoute);
        self.demand(retry);
        self.last = Some(error.clone());
        self.drain();
    }

    fn drain(&mut self) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Ready(linked) => Phase::Draining(linked),
            other => other,
        };
    }

    pub(super) fn demand(&mut self, retry: Retry) {
        self.need.fresh_route |= retry == Retry::FreshRoute;
        self.need.fresh_pass |= retry == Retry::FreshPass;
    }

    fn remember(&mut self, reply: ErrorReply) {
        self.last = Some(ClientError::refused(self.doing(), reply));
    }

    // ---- failures ----

    /// Takes sealed batches from `index` on out. What is under way may still be taken.
    fn take_sealed(&mut self, index: usize, turn: &mut Turn<'_, W>) -> Vec<Sealed<W>> {
        let mut taken: Vec<_> = self.sealed.drain(index..).collect();
        for batch in &mut taken {
            if let Some(ticket) = batch.ticket.take() {
                turn.tickets.retire(ticket);
                self.outstanding -= 1;
                batch.unsure = true;
            }
        }
        // Even if nothing is left: what was sealed under this producer id will not all arrive.
        self.retiring = true;
        taken
    }

    fn unknown(&self, why: &str) -> ClientError {
        ClientError::OutcomeUnknown {
            topic: self.name.clone(),
            why: why.to_owned(),
        }
    }

    /// Fails all that is sealed: as unknown what may have been taken, with `error` what was not.
    fn fail_sealed(&mut self, error: &ClientError, why: &str, turn: &mut Turn<'_, W>) {
        for batch in self.take_sealed(0, turn) {
            let error = match batch.unsure {
                true => self.unknown(why),
                false => error.clone(),
            };
            fail(batch.waiters, error, turn);
        }
    }

    fn fail_all(&mut self, error: &ClientError, turn: &mut Turn<'_, W>) {
        self.fail_sealed(error, &error.to_string(), turn);
        while let Some(waiters) = self.gathered.give_up_first() {
            fail(waiters, error.clone(), turn);
        }
    }

    /// The host cannot tell what it has of all that is sealed.
    pub(super) fn fail_unknown(&mut self, why: &str, turn: &mut Turn<'_, W>) {
        for batch in self.take_sealed(0, turn) {
            let error = self.unknown(why);
            fail(batch.waiters, error, turn);
        }
    }

    /// The topic that `sealed` was for is gone with all its messages.
    pub(super) fn fail_deleted(&mut self, turn: &mut Turn<'_, W>) {
        let detail = format!("topic '{}' was deleted", self.name);
        let reply = ErrorReply::new(ErrorCode::TopicNotFound, detail);
        let error = ClientError::refused(self.doing(), reply);
        for batch in self.take_sealed(0, turn) {
            fail(batch.waiters, error.clone(), turn);
        }
        self.life = None;
    }

    /// The batch at `index` is refused for good. Those behind it are refused for the gap that it
    /// leaves: if it certainly was not taken, neither are they.
    fn refuse(&mut self, index: usize, reply: &ErrorReply, turn: &mut Turn<'_, W>) {
        let mut taken = self.take_sealed_keeping_sure(index, turn).into_iter();
        let Some(first) = taken.next() else { return };
        let unsure = first.unsure;
        let error = match unsure {
            true => self.unknown(&reply.detail),
            false => ClientError::refused(self.doing(), reply.clone()),
        };
        fail(first.waiters, error, turn);
        let why = format!(
            "not appended, for an earlier message was refused: {}",
            reply.detail
        );
        let behind = ErrorReply {
            detail: why.clone(),
            ..reply.clone()
        };
        for batch in taken {
            let error = match unsure || batch.unsure {
                true => self.unknown(&why),
                false => ClientError::refused(self.doing(), behind.clone()),
            };
            fail(batch.waiters, error, turn);
        }
    }

    /// As [`Topic::take_sealed`], but what is under way for the first time does not count as
    /// possibly taken.
    fn take_sealed_keeping_sure(&mut self, index: usize, turn: &mut Turn<'_, W>) -> Vec<Sealed<W>> {
        let unsure: Vec<bool> = self.sealed.iter().skip(index).map(|b| b.unsure).collect();
        let mut taken = self.take_sealed(index, turn);
        for (batch, unsure) in taken.iter_mut().zip(unsure) {
            batch.unsure = unsure;
        }
        taken
    }

    /// Fails what has waited too long. With the oldest sealed batch goes all that is sealed: what
    /// comes behind it cannot be appended without it.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_, W>) {
        let timeout = turn.options.delivery_timeout;
        let now = turn.now;
        if (self.sealed.front()).is_some_and(|batch| batch.since.plus(timeout) <= now) {
            let error = self.timed_out(turn);
            let why = format!("no answer came within {timeout:?}");
            self.fail_sealed(&error, &why, turn);
        }
        while (self.gathered.since()).is_some_and(|since| since.plus(timeout) <= now) {
            let error = self.timed_out(turn);
            // It is there, for it waits since then.
            if let Some(waiters) = self.gathered.give_up_first() {
                fail(waiters, error, turn);
            }
        }
    }

    fn timed_out(&self, turn: &Turn<'_, W>) -> ClientError {
        ClientError::TimedOut {
            doing: self.doing(),
            after: turn.options.delivery_timeout,
            last: self.last.clone().map(Box::new),
        }
    }
}

fn fail<W>(waiters: W, error: ClientError, turn: &mut Turn<'_, W>) {
    turn.effects.push(Effect::Answered {
        waiters,
        answer: Err(Box::new(error)),
    });
}

/// Whether a host that answers so has not taken the batch and will not. Other answers (an internal
/// fault, a deadline) leave it open.
pub(super) fn is_certainly_not_taken(code: ErrorCode) -> bool {
    use ErrorCode as E;
    matches!(
        code,
        E::Malformed
            | E::Unsupported
            | E::TooLarge
            | E::Overloaded
            | E::NotAdmitted
            | E::NotRegistered
            | E::BadPass
            | E::Forbidden
            | E::TopicNotFound
            | E::NotHost
            | E::StaleEpoch
            | E::StorageFull
            | E::Damaged
            | E::SequenceGap
            | E::UnknownProducer
            | E::CorruptBatch
            | E::NotReady
            | E::NotEnoughInSync
            | E::HeldFull
    )
}
