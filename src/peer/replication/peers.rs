//! Numbers and names for keys: the machines of replication know peers by small numbers.

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::replication::members::{Members, PeerNo};
use crate::types::{Fingerprint, PeerName};

/// The numbers that this process has given to keys. A number is never taken back, for machines hold it;
/// there are as many as peers that this one shares topics with, or once did.
#[derive(Debug, Default)]
pub(in crate::peer) struct Peers {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<Fingerprint, PeerNo>,
    keys: Vec<Fingerprint>,
    names: HashMap<Fingerprint, PeerName>,
}

impl Peers {
    /// The number of a key.
    pub(in crate::peer) fn number(&self, key: Fingerprint) -> PeerNo {
        if let Some(&number) = self.known.read().numbers.get(&key) {
            return number;
        }
        let mut known = self.known.write();
        if let Some(&number) = known.numbers.get(&key) {
            return number;
        }
        // Four billion peers do not meet one process.
        let number = PeerNo(known.keys.len() as u32);
        known.keys.push(key);
        known.numbers.insert(key, number);
        number
    }

    /// A key's name, as its pass says.
    pub(in crate::peer) fn named(&self, key: Fingerprint, name: &PeerName) {
        let known = self.known.read().names.get(&key) == Some(name);
        if !known {
            self.known.write().names.insert(key, name.clone());
        }
    }

    /// The names of these keys, as far as they were told.
    pub(in crate::peer) fn names(&self, keys: &[Fingerprint]) -> Vec<PeerName> {
        let known = self.known.read();
        let name = |key| known.names.get(key).cloned();
        keys.iter().filter_map(name).collect()
    }

    /// The key of a number that [`Peers::number`] has given.
    pub(in crate::peer) fn key(&self, number: PeerNo) -> Option<Fingerprint> {
        self.known.read().keys.get(number.0 as usize).copied()
    }

    /// The keys of a set.
    pub(in crate::peer) fn keys(&self, members: Members) -> Vec<Fingerprint> {
        let known = self.known.read();
        let key = |member: PeerNo| known.keys.get(member.0 as usize).copied();
        members.iter().filter_map(key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_number() {
        let peers = Peers::default();
        let (a, b) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        let (first, second) = (peers.number(a), peers.number(b));
        assert_ne!(first, second);
        assert_eq!(peers.number(a), first);
        assert_eq!(peers.key(second), Some(b));
        assert_eq!(peers.key(PeerNo(2)), None);
        peers.named(a, &"1".parse().unwrap());
        assert_eq!(peers.names(&[b, a]), vec!["1".parse().unwrap()]);
        assert_eq!(peers.keys(Members::one(first).with(second)), vec![a, b]);
    }
}
