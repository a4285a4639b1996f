//! Who is live: one session per hosting peer, kept alive by heartbeats. Pure.
//!
//! Guarantees: a peer is declared away only after nothing was received from it for the whole of W,
//! counted from receipt, and never because the index itself was stopped or slow (then every session
//! counts as just heard of). After a start nobody is live until it opens its session, and nobody is
//! declared away that was not live. Must not know tokio, connections or disks.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits;
use crate::types::{BootId, Fingerprint, MonoNs, SessionId};
use crate::wire::index::SessionEnd;

/// What a session's event brings about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEffect {
    /// The peer is live.
    Live(Fingerprint),
    /// The peer is away.
    Away(Fingerprint),
    /// The session's streams end, with this word to the peer.
    End(SessionId, SessionEnd),
    /// The session's streams end without a word: the same process has opened another one.
    Replaced(SessionId),
}

/// The waits of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leases {
    /// How often peers are told to send.
    pub heartbeat: Duration,
    /// L: how long a host may act after sending.
    pub lease: Duration,
    /// W: how long the index waits after receiving.
    pub wait: Duration,
    /// A gap between two ticks from which on the index distrusts itself.
    pub late: Duration,
}

impl Default for Leases {
    fn default() -> Self {
        Leases {
            heartbeat: limits::HEARTBEAT,
            lease: limits::LEASE,
            wait: limits::LEASE_WAIT,
            late: limits::SESSION_TICK_LATE,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Session {
    id: SessionId,
    boot: BootId,
    heard: MonoNs,
}

/// The sessions of all hosting peers.
#[derive(Debug)]
pub struct Sessions {
    leases: Leases,
    by_peer: BTreeMap<Fingerprint, Session>,
    peers: BTreeMap<SessionId, Fingerprint>,
    last_tick: MonoNs,
}

impl Sessions {
    /// No sessions yet.
    pub fn new(leases: Leases, now: MonoNs) -> Self {
        Sessions {
            leases,
            by_peer: BTreeMap::new(),
            peers: BTreeMap::new(),
            last_tick: now,
        }
    }

    /// The waits.
    pub fn leases(&self) -> Leases {
        self.leases
    }

    /// A peer's session began; it takes the place of an older one.
    pub fn opened(
        &mut self,
        peer: Fingerprint,
        id: SessionId,
        boot: BootId,
        now: MonoNs,
    ) -> Vec<SessionEffect> {
        let mut effects = Vec::new();
        let session = Session {
            id,
            boot,
            heard: now,
        };
        if let Some(old) = self.by_peer.insert(peer, session) {
            self.peers.remove(&old.id);
            effects.push(if old.boot == boot {
                SessionEffect::Replaced(old.id)
            } else {
                SessionEffect::End(old.id, SessionEnd::Fenced)
            });
        }
        self.peers.insert(id, peer);
        effects.push(SessionEffect::Live(peer));
        self.check();
        effects
    }

    /// A heartbeat came; whether its session still stands, so that it is to be answered.
    pub fn heartbeat(&mut self, id: SessionId, now: MonoNs) -> bool {
        let Some(peer) = self.peers.get(&id) else {
            return false;
        };
        let Some(session) = self.by_peer.get_mut(peer) else {
            return false;
        };
        session.heard = session.heard.max(now);
        true
    }

    /// Whose session this is.
    pub fn peer(&self, id: SessionId) -> Option<Fingerprint> {
        self.peers.get(&id).copied()
    }

    /// The session of a peer.
    pub fn of(&self, peer: Fingerprint) -> Option<SessionId> {
        self.by_peer.get(&peer).map(|session| session.id)
    }

    /// Looks for silent peers; to be called every [`limits::SESSION_TICK`].
    pub fn tick(&mut self, now: MonoNs) -> Vec<SessionEffect> {
        let gap = now.since(self.last_tick);
        self.last_tick = now;
        if gap >= self.leases.late {
            self.by_peer
                .values_mut()
                .for_each(|session| session.heard = now);
            return Vec::new();
        }
        let wait = self.leases.wait;
        let silent = |session: &Session| now.since(session.heard) > wait;
        let expired = self.by_peer.iter().filter(|(_, session)| silent(session));
        let expired: Vec<Fingerprint> = expired.map(|(&peer, _)| peer).collect();
        expired
            .into_iter()
            .flat_map(|peer| self.end(peer, SessionEnd::Expired))
            .collect()
    }

    /// Ends the session of a peer, if it has one.
    pub fn end(&mut self, peer: Fingerprint, end: SessionEnd) -> Vec<SessionEffect> {
        let Some(session) = self.by_peer.remove(&peer) else {
            return Vec::new();
        };
        self.peers.remove(&session.id);
        self.check();
        vec![
            SessionEffect::Away(peer),
            SessionEffect::End(session.id, end),
        ]
    }

    /// The peer of this session says that it stops.
    pub fn leave(&mut self, id: SessionId) -> Vec<SessionEffect> {
        match self.peer(id) {
            Some(peer) => self.end(peer, SessionEnd::ShuttingDown),
            None => Vec::new(),
        }
    }

    /// Ends all sessions: the index stops.
    pub fn end_all(&mut self, end: SessionEnd) -> Vec<SessionEffect> {
        let peers: Vec<Fingerprint> = self.by_peer.keys().copied().collect();
        peers
            .into_iter()
            .flat_map(|peer| self.end(peer, end))
            .collect()
    }

    /// One session per peer, found both ways.
    fn check(&self) {
        assert_eq!(
            self.by_peer.len(),
            self.peers.len(),
            "sessions and peers pair up"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Fingerprint = Fingerprint([1; 32]);
    const B: Fingerprint = Fingerprint([2; 32]);

    fn id(n: u8) -> SessionId {
        SessionId([n; 16])
    }

    fn boot(n: u8) -> BootId {
        BootId([n; 16])
    }

    fn ms(ms: u64) -> MonoNs {
        MonoNs(ms * 1_000_000)
    }

    fn sessions() -> Sessions {
        Sessions::new(Leases::default(), ms(0))
    }

    /// Ticks often enough until `until`.
    fn tick_to(sessions: &mut Sessions, from: u64, until: u64) -> Vec<SessionEffect> {
        (from..=until)
            .step_by(100)
            .flat_map(|at| sessions.tick(ms(at)))
            .collect()
    }

    #[test]
    fn a_goodbye_ends_a_session_at_once_and_only_its_own() {
        let mut sessions = sessions();
        sessions.opened(A, id(1), boot(1), ms(0));
        sessions.opened(A, id(2), boot(1), ms(10));
        assert_eq!(sessions.leave(id(1)), vec![]);
        let gone = vec![
            SessionEffect::Away(A),
            SessionEffect::End(id(2), SessionEnd::ShuttingDown),
        ];
        assert_eq!(sessions.leave(id(2)), gone);
        assert_eq!(sessions.leave(id(2)), vec![]);
    }

    #[test]
    fn silence_longer_than_w_ends_a_session() {
        let mut sessions = sessions();
        let live = vec![SessionEffect::Live(A)];
        assert_eq!(sessions.opened(A, id(1), boot(1), ms(0)), live);
        assert_eq!(tick_to(&mut sessions, 0, 1_800), vec![]);
        assert!(sessions.heartbeat(id(1), ms(1_800)));
        assert_eq!(tick_to(&mut sessions, 1_900, 3_600), vec![]);
        let gone = vec![
            SessionEffect::Away(A),
            SessionEffect::End(id(1), SessionEnd::Expired),
        ];
        assert_eq!(tick_to(&mut sessions, 3_700, 3_700), gone);
        assert!(!sessions.heartbeat(id(1), ms(3_700)));
        assert_eq!(tick_to(&mut sessions, 3_800, 9_000), vec![]);
    }

    #[test]
    fn a_newer_boot_fences_and_a_reconnect_replaces() {
        let mut sessions = sessions();
        sessions.opened(A, id(1), boot(1), ms(0));
        sessions.opened(B, id(9), boot(9), ms(0));
        assert_eq!(
            sessions.opened(A, id(2), boot(1), ms(1)),
            vec![SessionEffect::Replaced(id(1)), SessionEffect::Live(A)]
        );
        assert_eq!(
            sessions.opened(A, id(3), boot(2), ms(2)),
            vec![
                SessionEffect::End(id(2), SessionEnd::Fenced),
                SessionEffect::Live(A)
            ]
        );
        assert!(!sessions.heartbeat(id(2), ms(3)));
        assert_eq!(sessions.peer(id(3)), Some(A));
        assert_eq!(sessions.of(B), Some(id(9)));
    }

    #[test]
    fn an_index_that_was_stopped_declares_nobody_away() {
        let mut sessions = sessions();
        sessions.opened(A, id(1), boot(1), ms(0));
        assert_eq!(sessions.tick(ms(60_000)), vec![]);
        assert_eq!(tick_to(&mut sessions, 60_100, 61_800), vec![]);
        assert_eq!(tick_to(&mut sessions, 61_900, 61_900).len(), 2);
    }

    #[test]
    fn the_end_of_the_index_ends_all() {
        let mut sessions = sessions();
        sessions.opened(A, id(1), boot(1), ms(0));
        sessions.opened(B, id(2), boot(2), ms(0));
        let effects = sessions.end_all(SessionEnd::ShuttingDown);
        assert_eq!(effects.len(), 4);
        assert!(effects.contains(&SessionEffect::End(id(2), SessionEnd::ShuttingDown)));
    }
}
