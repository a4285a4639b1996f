//! Accounts of accepted connections and their receive windows. Pure.
//!
//! Every connection has [`limits::CONNECTION_WINDOW_MIN_BYTES`]; the cap on connections bounds their
//! sum. What it gets beyond comes out of two pools, one of the process and one of its key, of
//! which it may take a share of what is left: an idle server is generous, a crowded one is fair,
//! and a key with many connections takes from itself. Windows are given back when connections close.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::limits;
use crate::types::Fingerprint;

/// Which cap turned a connection away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CapReached {
    #[error("this endpoint has {max} connections, as many as it takes", max = limits::CONNECTIONS)]
    Total,
    #[error(
        "{address} has {max} connections here, as many as are taken from one address",
        max = limits::CONNECTIONS_PER_ADDRESS
    )]
    Address { address: IpAddr },
    #[error(
        "the key {key} has {max} connections here, as many as one key may have",
        max = limits::CONNECTIONS_PER_KEY
    )]
    Key { key: Fingerprint },
}

#[derive(Debug, Default)]
struct KeyAccount {
    connections: usize,
    window: u64,
}

/// The accounts.
#[derive(Debug, Default)]
pub(super) struct Budget {
    connections: usize,
    per_address: HashMap<IpAddr, usize>,
    per_key: HashMap<Fingerprint, KeyAccount>,
    window: u64,
}

impl Budget {
    /// Whether a further connection from `address` can be thought of; checked before the handshake,
    /// which costs a signature.
    pub(super) fn check_address(&self, address: IpAddr) -> Result<(), CapReached> {
        if self.connections >= limits::CONNECTIONS {
            return Err(CapReached::Total);
        }
        // Every process of this machine shares the loopback address.
        let here = self.per_address.get(&address).copied().unwrap_or(0);
        if !address.is_loopback() && here >= limits::CONNECTIONS_PER_ADDRESS {
            return Err(CapReached::Address { address });
        }
        Ok(())
    }

    /// Opens the account of one connection, with the least window.
    pub(super) fn admit(&mut self, address: IpAddr, key: Fingerprint) -> Result<(), CapReached> {
        self.check_address(address)?;
        let used = self.per_key.get(&key).map_or(0, |k| k.connections);
        if used >= limits::CONNECTIONS_PER_KEY {
            return Err(CapReached::Key { key });
        }
        self.per_key.entry(key).or_default().connections += 1;
        *self.per_address.entry(address).or_default() += 1;
        self.connections += 1;
        Ok(())
    }

    /// Raises a connection's window from `held` towards `wanted`; answers the window it has now.
    pub(super) fn raise(&mut self, key: Fingerprint, held: u32, wanted: u32) -> u32 {
        let account = self.per_key.entry(key).or_default();
        let pool_left = limits::WINDOW_POOL_BYTES - self.window;
        let key_left = limits::WINDOW_PER_KEY_BYTES - account.window;
        let more = u64::from(wanted.saturating_sub(held))
            .min(pool_left / limits::WINDOW_POOL_SHARE)
            .min(key_left / limits::WINDOW_PER_KEY_SHARE);
        self.window += more;
        account.window += more;
        held + more as u32 // at most wanted - held, which is a u32
    }

    /// Closes the account of a connection whose window is `held`.
    pub(super) fn release(&mut self, address: IpAddr, key: Fingerprint, held: u32) {
        let extra = u64::from(held - limits::CONNECTION_WINDOW_MIN_BYTES);
        self.window -= extra;
        self.connections -= 1;
        if let Some(account) = self.per_key.get_mut(&key) {
            account.window -= extra;
            account.connections -= 1;
            if account.connections == 0 {
                self.per_key.remove(&key);
            }
        }
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIN: u32 = limits::CONNECTION_WINDOW_MIN_BYTES;
    const FULL: u32 = limits::CONNECTION_WINDOW_BYTES;

    fn key(n: u8) -> Fingerprint {
        Fingerprint([n; 32])
    }

    fn remote(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    #[test]
    fn the_first_connection_gets_all_it_wants() {
        let mut budget = Budget::default();
        budget.admit(remote(1), key(1)).unwrap();
        assert_eq!(budget.raise(key(1), MIN, FULL), FULL);
    }

    #[test]
    fn one_key_takes_from_itself() {
        let mut budget = Budget::default();
        let mut total = 0;
        for _ in 0..limits::CONNECTIONS_PER_KEY {
            budget.admit(remote(1), key(1)).unwrap();
            total += u64::from(budget.raise(key(1), MIN, FULL) - MIN);
        }
        assert!(total <= limits::WINDOW_PER_KEY_BYTES);
        assert_eq!(
            budget.admit(remote(1), key(1)),
            Err(CapReached::Key { key: key(1) })
        );
        budget.admit(remote(1), key(2)).unwrap();
        assert!(budget.raise(key(2), MIN, FULL) > FULL / 2);
    }

    #[test]
    fn addresses_are_capped_except_loopback() {
        let mut budget = Budget::default();
        let loopback = IpAddr::from([127, 0, 0, 1]);
        for n in 0..limits::CONNECTIONS_PER_ADDRESS {
            let key = key((n / limits::CONNECTIONS_PER_KEY) as u8);
            budget.admit(remote(1), key).unwrap();
        }
        assert!(matches!(
            budget.check_address(remote(1)),
            Err(CapReached::Address { .. })
        ));
        budget.check_address(remote(2)).unwrap();
        for n in 0..=limits::CONNECTIONS_PER_ADDRESS {
            let key = key(100 + (n / limits::CONNECTIONS_PER_KEY) as u8);
            budget.admit(loopback, key).unwrap();
        }
    }

    proptest! {
        #[test]
        fn all_is_given_back(steps in prop::collection::vec((0u8..4, 0u32..3, any::<u32>(), any::<bool>()), 1..200)) {
            let mut budget = Budget::default();
            let mut open = Vec::new();
            for (k, a, wanted, close) in steps {
                if close && !open.is_empty() {
                    let (address, key, held) = open.swap_remove(wanted as usize % open.len());
                    budget.release(address, key, held);
                } else if budget.admit(remote(a), key(k)).is_ok() {
                    open.push((remote(a), key(k), budget.raise(key(k), MIN, wanted)));
                }
                prop_assert!(budget.window <= limits::WINDOW_POOL_BYTES);
                prop_assert_eq!(budget.connections, open.len());
            }
            for (address, key, held) in open {
                budget.release(address, key, held);
            }
            prop_assert_eq!((budget.window, budget.connections), (0, 0));
            prop_assert!(budget.per_key.is_empty() && budget.per_address.is_empty());
        }
    }
}
