//! What is known of one key.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::index::record::{PeerRecord, WaitingRecord};
use crate::types::{Fingerprint, TopicId};
use crate::wire::index::{HostAddress, Notice};

/// Tells one order to erase a copy from a later one to erase the next copy of the same topic.
pub type ErasureNo = u64;

/// One key, registered or only named by some topic.
#[derive(Debug, Default)]
pub(super) struct PeerSlot {
    pub(super) record: Option<PeerRecord>,
    pub(super) waiting: Option<WaitingRecord>,
    pub(super) live: bool,
    /// It has been live since the index last began to doubt. Volatile.
    pub(super) seen: bool,
    /// It had a session before this index started. Volatile.
    pub(super) from_before: bool,
    /// It keeps copies of topics that others host, if asked. Volatile.
    pub(super) willing: bool,
    /// It gives its topics to others and gets no new ones. Volatile.
    pub(super) leaving: bool,
    pub(super) hosted: u32,
    /// Topics of which it keeps a copy or is to get one, hosted ones included.
    pub(super) copies: u32,
    pub(super) owned: u32,
    pub(super) subscriptions: u32,
    pub(super) notices: VecDeque<Notice>,
    /// Topics that it is still to erase.
    pub(super) erasures: BTreeMap<TopicId, ErasureNo>,
    /// What lookups answer, made once per change of the peer.
    pub(super) address: Option<Arc<HostAddress>>,
}

impl PeerSlot {
    pub(super) fn renew_address(&mut self, fingerprint: Fingerprint) {
        let address = match (&self.record, &self.waiting) {
            (Some(record), _) => Some(HostAddress {
                fingerprint,
                name: record.name.clone(),
                addresses: record.addresses.clone(),
                live: self.live,
            }),
            (None, Some(waiting)) => Some(HostAddress {
                fingerprint,
                name: waiting.name.clone(),
                addresses: Vec::new(),
                live: false,
            }),
            (None, None) => None,
        };
        self.address = address.map(Arc::new);
    }

    pub(super) fn incarnation(&self) -> u32 {
        let record = self.record.as_ref().map(|record| record.incarnation);
        let waiting = self.waiting.as_ref().map(|waiting| waiting.incarnation);
        record.or(waiting).unwrap_or(0)
    }

    pub(super) fn is_unused(&self) -> bool {
        self.record.is_none()
            && self.waiting.is_none()
            && self.hosted == 0
            && self.copies == 0
            && self.owned == 0
            && self.subscriptions == 0
            && self.notices.is_empty()
            && self.erasures.is_empty()
    }
}
