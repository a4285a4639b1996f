//! What a host knows of one replica, and how long it has been behind.

use std::time::Duration;

use crate::replication::members::PeerNo;
use crate::types::{Incarnation, MonoNs, Offset};

/// A replica behind the host: since when, and what it must reach to be given more time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Lag {
    pub(super) since: MonoNs,
    end: Offset,
    positions: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Follower {
    pub(super) peer: PeerNo,
    pub(super) incarnation: Incarnation,
    /// Durable end; `None` until it has acknowledged under this epoch and incarnation.
    pub(super) end: Option<Offset>,
    pub(super) positions: u64,
    /// Since when its stream is broken.
    pub(super) gone: Option<MonoNs>,
    pub(super) lag: Option<Lag>,
}

impl Follower {
    /// A follower is late when it does not reach within the lag what its host had when it fell behind.
    /// One whose stream is broken is late since then: its first missing append need not wait again.
    pub(super) fn renew_lag(&mut self, end: Offset, positions: u64, now: MonoNs) {
        let has = |end, positions| self.end >= Some(end) && self.positions >= positions;
        if has(end, positions) {
            self.lag = None;
            return;
        }
        match self.lag {
            Some(lag) if !has(lag.end, lag.positions) => {}
            _ => {
                let since = self.gone.unwrap_or(now);
                self.lag = Some(Lag {
                    since,
                    end,
                    positions,
                });
            }
        }
    }

    pub(super) fn lags(&self, patience: Duration, now: MonoNs) -> bool {
        self.lag.is_some_and(|lag| now.since(lag.since) >= patience)
    }
}
