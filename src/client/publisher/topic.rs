//! What one topic does next: find its host, send, wait, recover, give up. Pure.
//!
//! ```text
//!            search          found                 nack to retry, stream lost
//!   Idle ────────────▶ Finding ─────▶ Ready ─────────────────────────▶ Draining
//!     ▲                  │                                               │ all answered
//!     └──── time ──── Pausing ◀──────────────────────────────────────────┘   or lost
//! ```
//!
//! From Finding a topic without a host goes to Holding instead, and from there to Idle or Pausing.
//!
//! `sealed` holds what was sent and not answered, in the order of sequences; `gathered` what was
//! never sent. Recovery sends all of `sealed` again, in order, under the same sequences. Where that
//! cannot work, `sealed` fails and the topic goes on under a new producer id (`retiring` until the
//! last batch of the old one is answered, so that the order holds).

use std::collections::VecDeque;
use std::sync::Arc;

use rand::RngCore;

use super::PublisherOptions;
use super::batches::{Gathering, Sealed};
use super::core::{Effect, LinkId, Search, TopicKey, Turn};
use super::holding::Holding;
use super::tickets::TURN;
use crate::client::{Backoff, ClientError, describe};
use crate::limits;
use crate::types::{Fingerprint, MonoNs, PeerName, ProducerId, TopicId, TopicName};
use crate::wire::index::Route;
use crate::wire::peer::AppendNext;

/// The stream that a topic sends on.
#[derive(Clone)]
pub(super) struct Linked {
    pub(super) link: LinkId,
    pub(super) route: Arc<Route>,
    /// Who has durably what the host acknowledges.
    pub(super) peers: Arc<[PeerName]>,
}

/// Where a topic stands.
pub(super) enum Phase {
    Idle,
    Finding {
        search: u64,
    },
    Ready(Linked),
    /// There is no host: the first sealed batch is on its way to the index.
    Holding(Holding),
    /// Something went wrong on the stream: what is outstanding is awaited before a new try.
    Draining(Linked),
    Pausing {
        until: MonoNs,
    },
}

/// How a topic stands with its stream's bound on batches that are not full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Unasked,
    /// It is in the stream's queue.
    Awaited,
    /// Its turn has come: for this step.
    Given,
}

/// One topic of a publisher.
pub(super) struct Topic<W> {
    pub(super) key: TopicKey,
    pub(super) name: TopicName,
    pub(super) gathered: Gathering<W>,
    pub(super) sealed: VecDeque<Sealed<W>>,
    pub(super) producer: ProducerId,
    pub(super) next_sequence: u64,
    /// The topic id that `sealed` is made for.
    pub(super) life: Option<TopicId>,
    pub(super) phase: Phase,
    /// Sealed batches with a ticket.
    pub(super) outstanding: usize,
    /// No further batch is sealed under this producer id.
    pub(super) retiring: bool,
    /// The host does not know the producer id.
    pub(super) forgotten: bool,
    /// Nothing lingers until all that has gathered is sealed.
    pub(super) hurry: bool,
    pub(super) backoff: Backoff,
    /// Its place on the stream, for a batch that is not full.
    pub(super) room: Room,
    /// How the next search has to go.
    pub(super) need: Search,
    /// The last failure that was not final.
    pub(super) last: Option<ClientError>,
    /// The last sign of life of the host, or of the index about it.
    pub(super) quiet_since: MonoNs,
    /// The probe under way.
    pub(super) probe: Option<u64>,
    pub(super) told: bool,
    /// When the core has a timer for it.
    pub(super) wake: Option<MonoNs>,
    pub(super) touched: bool,
}

impl<W> Topic<W> {
    pub(super) fn new(
        key: TopicKey,
        name: TopicName,
        me: Fingerprint,
        mut random: &mut dyn RngCore,
    ) -> Self {
        Topic {
            key,
            name,
            gathered: Gathering::default(),
            sealed: VecDeque::new(),
            producer: ProducerId::of(me, &mut random),
            next_sequence: 0,
            life: None,
            phase: Phase::Idle,
            outstanding: 0,
            retiring: false,
            forgotten: false,
            hurry: false,
            room: Room::Unasked,
            backoff: Backoff::default(),
            need: Search::default(),
            last: None,
            quiet_since: MonoNs::default(),
            probe: None,
            told: false,
            wake: None,
            touched: false,
        }
    }

    /// The stream it sends on, if any.
    pub(super) fn link(&self) -> Option<LinkId> {
        self.linked().map(|linked| linked.link)
    }

    pub(super) fn linked(&self) -> Option<&Linked> {
        match &self.phase {
            Phase::Ready(linked) | Phase::Draining(linked) => Some(linked),
            _ => None,
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        !self.sealed.is_empty() || !self.gathered.is_empty()
    }

    /// Does all that is due.
    pub(super) fn advance(&mut self, turn: &mut Turn<'_, W>) {
        self.expire(turn);
        if matches!(self.phase, Phase::Draining(_)) && self.outstanding == 0 {
            self.drained(turn);
        }
        if self.retiring && self.sealed.is_empty() {
            self.begin_anew(turn);
        }
        match self.phase {
            Phase::Pausing { until } if until > turn.now => {}
            Phase::Pausing { .. } | Phase::Idle => self.search(turn),
            Phase::Ready(_) => self.send_ripe(turn),
            Phase::Finding { .. } | Phase::Holding(_) | Phase::Draining(_) => {}
        }
        if self.probe_at().is_some_and(|at| at <= turn.now) {
            self.probe_host(turn);
        }
        if !self.is_pending() {
            self.tell(None, turn);
        }
        assert!(self.sealed.len() <= turn.options.in_flight);
        assert!(self.outstanding <= self.sealed.len());
    }

    /// When [`Topic::advance`] has something to do, if nothing happens.
    pub(super) fn due(&self, options: &PublisherOptions) -> Option<MonoNs> {
        let first = self.sealed.front().map(|batch| batch.since);
        let expires = [first, self.gathered.since()]
            .map(|since| since.map(|since| since.plus(options.delivery_timeout)));
        let pause = match self.phase {
            Phase::Pausing { until } => Some(until),
            _ => None,
        };
        let ripe = self.gathered.ripe_at(options).filter(|_| {
            let ready = matches!(self.phase, Phase::Ready(_));
            ready && !self.retiring && self.sealed.len() < options.in_flight
        });
        let ripe = ripe.map(|at| match self.room {
            Room::Awaited => at.plus(TURN),
            Room::Unasked | Room::Given => at,
        });
        let [sealed, gathered] = expires;
        [sealed, gathered, pause, ripe, self.probe_at()]
            .into_iter()
            .flatten()
            .min()
    }

    fn search(&mut self, turn: &mut Turn<'_, W>) {
        self.phase = Phase::Idle;
        if !self.is_pending() {
            return;
        }
        let search = turn.tickets.next_search();
        // A topic that was deleted under our messages is not made again for them.
        let create = turn.options.create_missing.is_some() && self.life.is_none();
        let how = Search {
            create,
            ..std::mem::take(&mut self.need)
        };
        self.phase = Phase::Finding { search };
        turn.effects.push(Effect::Find {
            topic: self.key,
            name: self.name.clone(),
            search,
            how,
        });
    }

    fn send_ripe(&mut self, turn: &mut Turn<'_, W>) {
        while self.sealed.len() < turn.options.in_flight
            && self.has_room(turn)
            && self.seal_ripe(turn)
        {
            self.transmit(self.sealed.len() - 1, turn);
        }
        if self.room == Room::Given {
            self.room = Room::Unasked;
        }
        self.hurry &= !self.gathered.is_empty();
    }

    /// Whether the stream takes what is ripe. A batch that may still grow waits its turn where many
    /// such are under way already.
    fn has_room(&mut self, turn: &mut Turn<'_, W>) -> bool {
        let Phase::Ready(linked) = &self.phase else {
            return false;
        };
        let grows = !self.gathered.has_full(turn.options) && !self.hurry;
        if !grows || self.room == Room::Given || turn.tickets.has_room(linked.link) {
            return true;
        }
        let ripe_at = self.gathered.ripe_at(turn.options);
        if ripe_at.is_some_and(|at| at.plus(TURN) <= turn.now) {
            return true;
        }
        if self.is_ripe(turn) && self.room == Room::Unasked {
            self.room = Room::Awaited;
            turn.tickets.wait(self.key, linked.link);
        }
        false
    }

    /// Seals the next batch, if there is one that does not linger; whether there was.
    pub(super) fn seal_ripe(&mut self, turn: &mut Turn<'_, W>) -> bool {
        let Some(life) = self.life.filter(|_| !self.retiring && self.is_ripe(turn)) else {
            return false;
        };
        let sequence = self.next_sequence;
        let sealed = self
            .gathered
            .seal(life, self.producer, sequence, turn.wall, turn.options);
        let Some(batch) = sealed else { return false };
        self.next_sequence = batch.next_sequence();
        self.sealed.push_back(batch);
        true
    }

    fn is_ripe(&self, turn: &Turn<'_, W>) -> bool {
        let ripe_at = self.gathered.ripe_at(turn.options);
        ripe_at.is_some_and(|at| self.hurry || at <= turn.now)
    }

    /// Sends the sealed batch at `index`.
    pub(super) fn transmit(&mut self, index: usize, turn: &mut Turn<'_, W>) {
        let Phase::Ready(linked) = &self.phase else {
            return;
        };
        let batch = &mut self.sealed[index];
        assert!(batch.ticket.is_none(), "a batch is under way once at most");
        let ticket = turn.tickets.issue(self.key, linked.link, batch.is_full);
        batch.ticket = Some(ticket);
        if self.outstanding == 0 {
            self.quiet_since = turn.now;
        }
        self.outstanding += 1;
        turn.effects.push(Effect::Transmit {
            link: linked.link,
            next: AppendNext {
                ticket,
                topic: linked.route.topic,
                epoch: linked.route.epoch,
            },
            batch: batch.bytes.clone(),
        });
    }

    /// Everything outstanding is answered or lost: try again after a pause.
    fn drained(&mut self, turn: &mut Turn<'_, W>) {
        if std::mem::take(&mut self.forgotten) {
            self.renumber_or_fail(turn);
        }
        self.phase = Phase::Idle;
        self.pause(turn);
    }

    /// Waits before the next search.
    pub(super) fn pause(&mut self, turn: &mut Turn<'_, W>) {
        self.probe = None;
        if !self.is_pending() {
            self.phase = Phase::Idle;
            return;
        }
        let pause = self.backoff.next(turn.random.next_u32());
        self.phase = Phase::Pausing {
            until: turn.now.plus(pause),
        };
        if let Some(last) = &self.last {
            let why = describe(last);
            self.tell(Some(why), turn);
        }
    }

    /// A producer that was silent for long is forgotten by the host. If nothing of what is pending
    /// can have been taken, it goes under a new producer id; otherwise nobody knows.
    fn renumber_or_fail(&mut self, turn: &mut Turn<'_, W>) {
        if self.sealed.iter().any(|batch| batch.unsure) {
            let why = "the host does not remember this producer";
            return self.fail_unknown(why, turn);
        }
        self.begin_anew(turn);
        for batch in &mut self.sealed {
            batch.renumber(self.producer, self.next_sequence);
            self.next_sequence = batch.next_sequence();
        }
    }

    fn begin_anew(&mut self, turn: &mut Turn<'_, W>) {
        self.producer = ProducerId::of(turn.me, &mut turn.random);
        self.next_sequence = 0;
        self.retiring = false;
    }

    fn probe_at(&self) -> Option<MonoNs> {
        let waits = self.linked().is_some() && self.outstanding > 0 && self.probe.is_none();
        waits.then(|| self.quiet_since.plus(limits::SILENCE_BEFORE_PROBE))
    }

    fn probe_host(&mut self, turn: &mut Turn<'_, W>) {
        let Some(linked) = self.linked() else { return };
        let why = format!("peer {} does not answer", linked.route.host.name);
        let search = turn.tickets.next_search();
        self.probe = Some(search);
        self.tell(Some(why), turn);
        turn.effects.push(Effect::Probe {
            topic: self.key,
            name: self.name.clone(),
            search,
        });
    }

    /// Tells people what is waited for, and once when that is over.
    pub(super) fn tell(&mut self, why: Option<String>, turn: &mut Turn<'_, W>) {
        if self.told || why.is_some() {
            self.told = why.is_some();
            let topic = self.name.clone();
            turn.effects.push(Effect::Waiting { topic, why });
        }
    }

    /// Checks all that must always hold.
    #[cfg(test)]
    pub(super) fn check(&self, options: &PublisherOptions) {
        let tickets = self.sealed.iter().filter_map(|batch| batch.ticket);
        assert_eq!(self.outstanding, tickets.clone().count());
        assert!(
            tickets.is_sorted(),
            "transmissions are in the order of sequences"
        );
        assert!(self.sealed.len() <= options.in_flight);
        assert!(self.outstanding == 0 || self.linked().is_some());
        let ends = self.sealed.iter().map(|batch| batch.next_sequence());
        let starts = self.sealed.iter().skip(1).map(|batch| batch.sequence);
        let starts = starts.chain([self.next_sequence]);
        // Not always contiguous: a batch that the host has already may be acknowledged while one
        // before it, which it has too, is refused for now.
        assert!(ends.zip(starts).all(|(end, start)| end <= start));
        let waits = matches!(self.phase, Phase::Idle) && self.is_pending();
        assert!(!waits, "messages wait for nothing");
    }
}
