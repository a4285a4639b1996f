//! A host that says nothing: quiet, or gone? One that was killed looks alive until QUIC gives its connection
//! up ([`limits::IDLE_TIMEOUT`]), long after another has taken its place. So while nothing comes, the index
//! is asked now and then who hosts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Client;
use crate::limits;
use crate::types::TopicName;
use crate::wire::index::{HostAddress, Route};

/// What the index's word on a silent host means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is the host, and lives.
    Stay,
    /// It is the host, but away: gone, or only out of the index's reach.
    Ask,
    /// Another one is, or it is elsewhere.
    Leave,
}

/// `held` is the host as it was found, `named` as the index names it now.
fn judge(held: &HostAddress, named: &HostAddress) -> Verdict {
    if (named.fingerprint, &named.addresses) != (held.fingerprint, &held.addresses) {
        return Verdict::Leave;
    }
    match named.live {
        true => Verdict::Stay,
        false => Verdict::Ask,
    }
}

/// How long until the next question, nothing having come since the last.
fn longer(pause: Duration) -> Duration {
    (pause * 2).min(limits::SILENCE_BETWEEN_PROBES)
}

impl Client {
    /// Completes when nothing was heard of a host for some time and it is not there, or not the host,
    /// any more; answers that time. Its connection is forgotten then. `heard` counts what comes.
    pub(super) async fn lost_silently(
        &self,
        topic: &TopicName,
        host: &HostAddress,
        heard: &AtomicU64,
    ) -> Duration {
        let mut pause = limits::SILENCE_BEFORE_PROBE;
        let mut before = heard.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(pause).await;
            let now = heard.load(Ordering::Relaxed);
            if now != before {
                (before, pause) = (now, limits::SILENCE_BEFORE_PROBE);
                continue;
            }
            if self.is_lost(topic, host).await {
                tracing::info!(
                    %topic, peer = %host.name,
                    "the host says nothing, and is not there or not the host any more; going to where the \
                     topic is now"
                );
                self.inner.pool.forget(host.fingerprint);
                return pause;
            }
            pause = longer(pause);
        }
    }

    async fn is_lost(&self, topic: &TopicName, host: &HostAddress) -> bool {
        let Ok(Route { host: named, .. }) = self.route(topic, true).await else {
            return false;
        };
        match judge(host, &named) {
            Verdict::Stay => false,
            Verdict::Leave => true,
            Verdict::Ask => {
                let asked = self.peer_status(host);
                let answer = tokio::time::timeout(limits::SILENCE_BEFORE_PROBE, asked).await;
                !matches!(answer, Ok(Ok(_)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Fingerprint;

    fn host(key: u8, port: u16, live: bool) -> HostAddress {
        HostAddress {
            fingerprint: Fingerprint([key; 32]),
            name: "1".parse().unwrap(),
            addresses: vec![([127, 0, 0, 1], port).into()],
            live,
        }
    }

    #[test]
    fn a_silent_host_is_left_when_it_is_not_the_host_and_asked_when_it_is_away() {
        let held = host(1, 7, true);
        assert_eq!(judge(&held, &held), Verdict::Stay);
        assert_eq!(judge(&host(1, 7, false), &held), Verdict::Stay);
        assert_eq!(judge(&held, &host(1, 7, false)), Verdict::Ask);
        assert_eq!(judge(&held, &host(2, 7, true)), Verdict::Leave);
        assert_eq!(judge(&held, &host(1, 8, true)), Verdict::Leave);
    }

    #[test]
    fn a_host_is_found_gone_before_quic_notices() {
        // Asked just before the next host stands, and once more.
        let pauses =
            std::iter::successors(Some(limits::SILENCE_BEFORE_PROBE), |p| Some(longer(*p)));
        let longest = pauses.take(100).max().unwrap();
        let failover = limits::LEASE_WAIT;
        assert!(failover + longest + limits::SILENCE_BEFORE_PROBE < limits::IDLE_TIMEOUT / 2);
    }
}
