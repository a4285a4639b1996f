//! Pages of topics and subscriptions: names from the store's sorted tables, everything else from
//! memory. Touches the disk; knows no connections.

use parking_lot::RwLock;

use super::directory::{Directory, TopicFilter};
use super::record::{Change, Table, subscription_key, subscription_prefix};
use super::store::{Row, Store, StoreError};
use crate::limits;
use crate::types::{Fingerprint, MonoNs, PeerName, TopicName};
use crate::wire::index::{
    HostAddress, ListSubscriptions, ListTopics, PeerPage, SubscriptionInfo, SubscriptionPage,
    TopicPage,
};

/// Bytes of a listed entry besides its names and addresses, at most.
const ENTRY_BYTES: usize = 160;
/// Bytes of an address, at most.
const ADDRESS_BYTES: usize = 20;

fn page_limit(wanted: u32) -> usize {
    wanted.clamp(1, limits::PAGE_ENTRIES) as usize
}

/// A page of topics that pass the request's filter.
pub fn topics(
    directory: &RwLock<Directory>,
    store: &dyn Store,
    request: &ListTopics,
    now: MonoNs,
) -> Result<TopicPage, StoreError> {
    let filter = TopicFilter {
        owner: request.owner.clone(),
        host: request.host.clone(),
    };
    let limit = page_limit(request.limit);
    let mut topics = Vec::new();
    let mut after = request.after.clone();
    let mut looked_at = 0;
    while looked_at < limits::NAMES_PER_PAGE_SCAN {
        let from = after.as_ref().map(|name| name.as_str().as_bytes());
        let rows = store.scan(
            Table::Topics,
            request.prefix.as_bytes(),
            from,
            limits::NAMES_PER_LOCK,
        )?;
        let last = rows.len() < limits::NAMES_PER_LOCK;
        looked_at += rows.len();
        let directory = directory.read();
        for name in rows.iter().filter_map(name_of) {
            // A name that is not in memory yet, or no longer, is about to be.
            if directory.passes(name.as_str(), &filter) == Some(true) {
                topics.extend(directory.topic_info(name.as_str(), now));
            }
            after = Some(name);
            if topics.len() == limit {
                return Ok(TopicPage {
                    topics,
                    next: after,
                });
            }
        }
        if last {
            return Ok(TopicPage { topics, next: None });
        }
    }
    Ok(TopicPage {
        topics,
        next: after,
    })
}

fn name_of(row: &Row) -> Option<TopicName> {
    std::str::from_utf8(&row.0)
        .ok()
        .and_then(|name| TopicName::new(name).ok())
}

/// A page of one peer's subscriptions, the first with its oldest notices.
pub fn subscriptions(
    directory: &RwLock<Directory>,
    store: &dyn Store,
    peer: Fingerprint,
    request: &ListSubscriptions,
    now: MonoNs,
) -> Result<SubscriptionPage, StoreError> {
    let limit = page_limit(request.limit);
    let after = request
        .after
        .as_ref()
        .map(|(name, group)| subscription_key(peer, name, group));
    let prefix = subscription_prefix(peer);
    // One more than wanted says whether there is another page.
    let rows = store.scan(Table::Subscriptions, &prefix, after.as_deref(), limit + 1)?;
    let mut page = SubscriptionPage {
        subscriptions: Vec::new(),
        more: false,
        notices: Vec::new(),
    };
    let mut bytes = 0;
    let directory = directory.read();
    if request.after.is_none() {
        page.notices = directory
            .notices(peer)
            .take(limits::NOTICES_PER_PAGE)
            .cloned()
            .collect();
    }
    for (at, row) in rows.iter().enumerate() {
        if at == limit || bytes > limits::PAGE_BYTES {
            page.more = true;
            break;
        }
        let Some(Change::PutSubscription(record)) =
            Change::read(Table::Subscriptions, &row.0, &row.1)?
        else {
            continue;
        };
        let name = record.name.as_str();
        let route = directory
            .route(name)
            .filter(|route| route.topic == record.topic);
        let Some(route) = route else { continue };
        bytes += ENTRY_BYTES + name.len() + address_bytes(&route.host);
        page.subscriptions.push(SubscriptionInfo {
            reported: directory.reported(name, now),
            name: record.name,
            group: record.group,
            since: record.since,
            route,
        });
    }
    Ok(page)
}

fn address_bytes(host: &HostAddress) -> usize {
    host.addresses.len() * ADDRESS_BYTES
}

/// A page of peers, cut where it would grow too large for a reply.
pub fn peers(directory: &Directory, after: Option<&PeerName>, limit: u32) -> PeerPage {
    let mut page = directory.peer_page(after, limit);
    let mut bytes = 0;
    let fitting = page.peers.iter().take_while(|peer| {
        let before = bytes;
        bytes += ENTRY_BYTES + peer.version.len() + peer.addresses.len() * ADDRESS_BYTES;
        before <= limits::PAGE_BYTES
    });
    let fitting = fitting.count();
    if fitting < page.peers.len() {
        page.peers.truncate(fitting);
        page.more = true;
    }
    page
}
