//! One connection per (key, protocol), dialled when needed and made again on loss.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::endpoint::{Endpoint, Expect};
use super::error::ConnectError;
use crate::limits;
use crate::types::Fingerprint;
use crate::wire::ErrorCode;

type Key = (Fingerprint, &'static [u8]);

/// The connections that one endpoint has dialled; cheap to clone.
///
/// It keeps one slot per peer ever asked for, until [`Pool::forget`]: as many as the caller knows
/// peers.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    current: Mutex<Option<Connection>>,
    /// Held while dialling; the last dial's failure.
    dialling: tokio::sync::Mutex<Option<ConnectError>>,
    /// Dials that ended, so that one who waited knows whether one did meanwhile.
    finished: AtomicU64,
}

impl Pool {
    /// An empty pool.
    pub fn new(endpoint: Endpoint) -> Pool {
        Pool(Arc::new(Inner {
            endpoint,
            slots: Mutex::default(),
        }))
    }

    /// The connection to `peer`, if there is one alive.
    pub fn alive(&self, peer: Fingerprint, alpn: &'static [u8]) -> Option<Connection> {
        self.0.slots.lock().get(&(peer, alpn))?.alive()
    }

    /// The connection to `peer`, dialled if there is none alive. Callers that come while a dial is
    /// under way share its outcome. `first_frame` goes before the first request of a connection
    /// made here ([`Connection::set_first_frame`]).
    ///
    /// Addresses are tried from one chosen by our own fingerprint, so that callers spread over a
    /// peer's I/O runtimes; the next one is tried after [`limits::DIAL_STAGGER`] or at once after a
    /// failure, and the first to finish wins. Cancelled, the dial is given up and the next caller
    /// in line dials.
    pub async fn get(
        &self,
        peer: Fingerprint,
        addrs: &[SocketAddr],
        alpn: &'static [u8],
        first_frame: Option<Bytes>,
    ) -> Result<Connection, ConnectError> {
        let slot = self.0.slots.lock().entry((peer, alpn)).or_default().clone();
        if let Some(connection) = slot.alive() {
            return Ok(connection);
        }
        let seen = slot.finished.load(Ordering::Acquire);
        let mut failure = slot.dialling.lock().await;
        if let Some(connection) = slot.alive() {
            return Ok(connection);
        }
        if slot.finished.load(Ordering::Acquire) != seen
            && let Some(failure) = &*failure
        {
            return Err(failure.clone());
        }
        let result = self.dial(peer, addrs, alpn).await;
        slot.finished.fetch_add(1, Ordering::Release);
        match result {
            Ok(connection) => {
                if let Some(frame) = first_frame {
                    connection.set_first_frame(frame);
                }
                *slot.current.lock() = Some(connection.clone());
                *failure = None;
                Ok(connection)
            }
            Err(error) => {
                *failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Drops the pool's connections to a peer; clones that callers hold live on.
    pub fn forget(&self, peer: Fingerprint) {
        self.0.slots.lock().retain(|(key, _), _| *key != peer);
    }

    async fn dial(
        &self,
        peer: Fingerprint,
        addrs: &[SocketAddr],
        alpn: &'static [u8],
    ) -> Result<Connection, ConnectError> {
        let me = self.0.endpoint.identity().fingerprint();
        let mut waiting = dial_order(me, addrs).into_iter();
        // Dropped with this future, which ends the dials that are still under way.
        let mut dials = JoinSet::new();
        let mut worst = ConnectError::NoAddress { peer };
        loop {
            if let Some(addr) = waiting.next() {
                let endpoint = self.0.endpoint.clone();
                let expect = Expect::Key(peer);
                dials.spawn(async move { endpoint.connect(addr, alpn, expect).await });
            }
            let joined = match waiting.len() {
                0 => dials.join_next().await,
                _ => match tokio::time::timeout(limits::DIAL_STAGGER, dials.join_next()).await {
                    Ok(joined) => joined,
                    Err(_) => continue,
                },
            };
            match joined {
                None => return Err(worst),
                Some(Ok(Ok(connection))) => {
                    close_others(dials);
                    return Ok(connection);
                }
                Some(Ok(Err(error))) if error.weight() >= worst.weight() => worst = error,
                // A lesser error; or a dial that panicked, which was reported already.
                Some(_) => {}
            }
        }
    }
}

/// Ends the dials that lost; one that finished meanwhile is told why.
fn close_others(mut dials: JoinSet<Result<Connection, ConnectError>>) {
    dials.abort_all();
    while let Some(joined) = dials.try_join_next() {
        if let Ok(Ok(connection)) = joined {
            connection.close(ErrorCode::ShuttingDown, "another address was faster");
        }
    }
}

/// All addresses once, starting at the one that the dialler's fingerprint chooses. Pure.
fn dial_order(me: Fingerprint, addrs: &[SocketAddr]) -> Vec<SocketAddr> {
    let addrs = &addrs[..addrs.len().min(limits::PEER_ADDRESSES)];
    if addrs.is_empty() {
        return Vec::new();
    }
    // A fingerprint is a hash already.
    let mut number = [0; 8];
    number.copy_from_slice(&me.0[..8]);
    let start = (u64::from_le_bytes(number) % addrs.len() as u64) as usize;
    let (before, after) = addrs.split_at(start);
    [after, before].concat()
}

impl Slot {
    fn alive(&self) -> Option<Connection> {
        let current = self.current.lock();
        current.as_ref().filter(|c| !c.is_closed()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_start_at_one_of_the_fingerprints_choice() {
        let addrs: Vec<SocketAddr> = (1..=4).map(|p| ([127, 0, 0, 1], p).into()).collect();
        let ports = |n: u8| -> Vec<u16> {
            let order = dial_order(Fingerprint([n; 32]), &addrs);
            order.iter().map(SocketAddr::port).collect()
        };
        assert_eq!(ports(0), [1, 2, 3, 4]);
        assert_eq!(ports(1), [2, 3, 4, 1]);
        assert_eq!(ports(3), [4, 1, 2, 3]);
        assert!(dial_order(Fingerprint([1; 32]), &[]).is_empty());
    }
}
