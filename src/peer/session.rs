//! The session of a hosting peer with the index: when to open it, when to send heartbeats, how long
//! the lease runs. Pure: `handle(event, now, random) -> effects`.

use std::collections::VecDeque;
use std::time::Duration;

use crate::client::Backoff;
use crate::types::MonoNs;
use crate::wire::index::SessionEnd;

/// An index that answers no heartbeat for so many leases is given up and dialled anew.
const SILENT_LEASES: u32 = 3;

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The session stands.
    Opened {
        heartbeat: Duration,
        lease: Duration,
    },
    /// Opening failed, or a stream of the session broke.
    Lost,
    /// The index answered a heartbeat.
    Acked { serial: u64 },
    /// The index ended the session.
    Ended(SessionEnd),
    /// Time passed. A disk sync may be outstanding since some time.
    Tick { sync_since: Option<MonoNs> },
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Dial the index and open the session; answer with `Opened` or `Lost`.
    Open,
    /// Send a heartbeat.
    Heartbeat { serial: u64 },
    /// Drop the session's streams.
    Close,
    /// End the process: the peer may not host any more.
    Stop(SessionEnd),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Away { retry_at: MonoNs },
    Opening,
    Open(Open),
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    heartbeat: Duration,
    lease: Duration,
    serial: u64,
    next_beat: MonoNs,
    unanswered: VecDeque<(u64, MonoNs)>,
    lease_until: MonoNs,
}

/// The state of the session.
#[derive(Debug, Clone)]
pub(super) struct Session {
    phase: Phase,
    backoff: Backoff,
}

impl Session {
    /// A session that is to be opened at once.
    pub(super) fn new(now: MonoNs) -> Self {
        Session {
            phase: Phase::Away { retry_at: now },
            backoff: Backoff::default(),
        }
    }

    /// When the next `Tick` is due.
    pub(super) fn wake_at(&self) -> Option<MonoNs> {
        match &self.phase {
            Phase::Away { retry_at } => Some(*retry_at),
            Phase::Open(open) => Some(open.next_beat),
            Phase::Opening | Phase::Stopped => None,
        }
    }

    /// Until when this peer may believe that the index counts it as alive. Acknowledgements never
    /// depend on it.
    pub(super) fn lease_until(&self) -> Option<MonoNs> {
        match &self.phase {
            Phase::Open(open) => Some(open.lease_until),
            _ => None,
        }
    }

    /// Tries since the session last stood.
    pub(super) fn tries(&self) -> u32 {
        self.backoff.tries()
    }

    /// Takes an event in; answers what to do.
    pub(super) fn handle(&mut self, event: Event, now: MonoNs, random: u32) -> Vec<Effect> {
        match event {
            Event::Opened { heartbeat, lease } => self.on_opened(heartbeat, lease, now),
            Event::Lost => self.on_lost(now, random),
            Event::Acked { serial } => self.on_acked(serial),
            Event::Ended(end) => self.on_ended(end, now, random),
            Event::Tick { sync_since } => self.on_tick(sync_since, now, random),
        }
    }

    fn on_opened(&mut self, heartbeat: Duration, lease: Duration, now: MonoNs) -> Vec<Effect> {
        if self.phase != Phase::Opening {
            return vec![];
        }
        self.backoff.reset();
        self.phase = Phase::Open(Open {
            heartbeat,
            lease,
            serial: 0,
            next_beat: now.plus(heartbeat),
            unanswered: VecDeque::new(),
            lease_until: now,
        });
        vec![]
    }

    fn on_lost(&mut self, now: MonoNs, random: u32) -> Vec<Effect> {
        match self.phase {
            Phase::Stopped | Phase::Away { .. } => vec![],
            Phase::Opening | Phase::Open(_) => {
                let retry_at = now.plus(self.backoff.next(random));
                self.phase = Phase::Away { retry_at };
                vec![Effect::Close]
            }
        }
    }

    fn on_acked(&mut self, serial: u64) -> Vec<Effect> {
        if let Phase::Open(open) = &mut self.phase {
            while let Some(&(oldest, sent)) = open.unanswered.front() {
                if oldest > serial {
                    break;
                }
                open.unanswered.pop_front();
                // The lease runs from the sending, which the index cannot have seen earlier.
                open.lease_until = open.lease_until.max(sent.plus(open.lease));
            }
        }
        vec![]
    }

    fn on_ended(&mut self, end: SessionEnd, now: MonoNs, random: u32) -> Vec<Effect> {
        match end {
            SessionEnd::Fenced | SessionEnd::Deregistered => {
                self.phase = Phase::Stopped;
                vec![Effect::Stop(end)]
            }
            SessionEnd::ShuttingDown | SessionEnd::Expired => self.on_lost(now, random),
        }
    }

    fn on_tick(&mut self, sync_since: Option<MonoNs>, now: MonoNs, random: u32) -> Vec<Effect> {
        match &mut self.phase {
            Phase::Away { retry_at } if *retry_at <= now => {
                self.phase = Phase::Opening;
                vec![Effect::Open]
            }
            Phase::Open(open) if open.next_beat <= now => {
                let oldest = open.unanswered.front().map(|&(_, sent)| sent);
                if oldest.is_some_and(|sent| now.since(sent) > open.lease * SILENT_LEASES) {
                    return self.on_lost(now, random);
                }
                open.next_beat = now.plus(open.heartbeat);
                // A peer whose disk hangs must not keep its topics from moving.
                if sync_since.is_some_and(|since| now.since(since) > open.lease) {
                    return vec![];
                }
                open.serial += 1;
                open.unanswered.push_back((open.serial, now));
                vec![Effect::Heartbeat {
                    serial: open.serial,
                }]
            }
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(300);
    const LEASE: Duration = Duration::from_millis(1_200);

    fn ms(ms: u64) -> MonoNs {
        MonoNs(ms * 1_000_000)
    }

    fn tick(session: &mut Session, at: u64) -> Vec<Effect> {
        session.handle(Event::Tick { sync_since: None }, ms(at), 0)
    }

    fn open(at: u64) -> Session {
        let mut session = Session::new(ms(at));
        assert_eq!(tick(&mut session, at), [Effect::Open]);
        assert_eq!(session.wake_at(), None);
        let opened = Event::Opened {
            heartbeat: BEAT,
            lease: LEASE,
        };
        assert_eq!(session.handle(opened, ms(at), 0), []);
        session
    }

    #[test]
    fn heartbeats_go_out_and_extend_the_lease_from_their_sending() {
        let mut session = open(0);
        assert_eq!(tick(&mut session, 299), []);
        assert_eq!(tick(&mut session, 300), [Effect::Heartbeat { serial: 1 }]);
        assert_eq!(tick(&mut session, 600), [Effect::Heartbeat { serial: 2 }]);
        assert_eq!(session.lease_until(), Some(ms(0)));
        session.handle(Event::Acked { serial: 1 }, ms(650), 0);
        assert_eq!(session.lease_until(), Some(ms(1_500)));
        session.handle(Event::Acked { serial: 2 }, ms(660), 0);
        assert_eq!(session.lease_until(), Some(ms(1_800)));
    }

    #[test]
    fn a_hanging_disk_stops_the_heartbeats() {
        let mut session = open(0);
        let hanging = Event::Tick {
            sync_since: Some(ms(0)),
        };
        assert_eq!(
            session.handle(hanging, ms(1_200), 0),
            [Effect::Heartbeat { serial: 1 }]
        );
        assert_eq!(session.handle(hanging, ms(1_501), 0), []);
        assert_eq!(tick(&mut session, 1_801), [Effect::Heartbeat { serial: 2 }]);
    }

    #[test]
    fn a_silent_index_is_dialled_anew_with_growing_pauses() {
        let mut session = open(0);
        tick(&mut session, 300);
        assert_eq!(tick(&mut session, 3_901), [Effect::Close]);
        assert_eq!(session.wake_at(), Some(ms(3_911)));
        assert_eq!(tick(&mut session, 3_911), [Effect::Open]);
        assert_eq!(session.handle(Event::Lost, ms(4_000), 0), [Effect::Close]);
        assert_eq!(session.wake_at(), Some(ms(4_020)));
        assert_eq!(session.tries(), 2);
    }

    #[test]
    fn fencing_and_deregistration_stop_for_good() {
        for end in [SessionEnd::Fenced, SessionEnd::Deregistered] {
            let mut session = open(0);
            let effects = session.handle(Event::Ended(end), ms(10), 0);
            assert_eq!(effects, [Effect::Stop(end)]);
            assert_eq!(tick(&mut session, 100_000), []);
            assert_eq!(session.handle(Event::Lost, ms(100_000), 0), []);
        }
        let mut session = open(0);
        let ended = Event::Ended(SessionEnd::ShuttingDown);
        assert_eq!(session.handle(ended, ms(10), 0), [Effect::Close]);
    }
}
