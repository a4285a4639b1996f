//! Records that are not to be trusted, rebuilt from what peers have; and what an operator or owner
//! gives up. The rules are `replication::manager`'s.
//!
//! Nobody is told to erase anything here: a copy that is of no use now may be all that is left of
//! something else.

use hashbrown::HashSet;

use super::copies::{by_id, epoch, is_current};
use super::held;
use super::overlay::View;
use super::recasting::{Recasting, Why, configuration, recast};
use super::rights::{self, Action, Caller};
use super::topics::peer_not_found;
use super::{Answer, Decision};
use crate::index::directory::Directory;
use crate::index::record::{TopicRecord, TopicState};
use crate::replication::configuration::{Configuration, Phase};
use crate::replication::manager::{self, Report};
use crate::replication::members::{COPIES, Members};
use crate::types::{Fingerprint, PeerName, TopicId};
use crate::wire::index::copies::CopyReport;
use crate::wire::{ErrorCode, ErrorReply};

/// What peers have of one topic, by their word.
#[derive(Debug, Clone, PartialEq)]
pub struct Gathered {
    /// The topic.
    pub topic: TopicId,
    /// Each peer's word, one or more.
    pub reports: Vec<(Fingerprint, CopyReport)>,
}

/// What is to be done about a topic of an index that comes from a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Its record is as good as any.
    Nothing,
    /// A peer knows more than the record.
    Behind,
    /// There is no record.
    Unknown,
    /// There is no record, and another topic has its name.
    Taken,
    /// The record may be of a time when others were in sync.
    Copied,
}

/// See [`Need`].
pub(crate) fn need(base: &Directory, gathered: &Gathered) -> Need {
    let words = || gathered.reports.iter().map(|(_, word)| word);
    let Some(record) = base.topic_by_id(gathered.topic) else {
        let taken = words().any(|word| base.topic(word.name.as_str()).is_some());
        return if taken { Need::Taken } else { Need::Unknown };
    };
    let behind =
        words().any(|word| word.known.grant > record.grant || word.version > record.version);
    // Rebuilt before, without the peer that hosted it last; now that is here.
    let returned = record.in_sync.is_empty()
        && words().any(|word| word.own_grant.saturating_add(1) == record.grant);
    if behind || returned || base.has_words_on(gathered.topic) {
        return Need::Behind;
    }
    let hosted = words().any(|word| word.own_grant == record.grant);
    match record.replicas.len() > 1 && hosted {
        true => Need::Copied,
        false => Need::Nothing,
    }
}

/// The words as the manager takes them. Of a peer that has not told now, but has said something
/// when its session opened, only what it knows counts: it is not here to host.
fn reports(view: &View<'_>, gathered: &Gathered, lineage: u32) -> Vec<Report> {
    let mut words = gathered.reports.clone();
    for (peer, mut word) in view.base.words_on(gathered.topic) {
        if !words.iter().any(|&(told, _)| told == peer) {
            word.own_grant = 0;
            words.push((peer, word));
        }
    }
    let report = |(peer, word): &(Fingerprint, CopyReport)| {
        Some(Report {
            peer: view.base.peer_no(*peer)?,
            known: word.known,
            own_grant: word.own_grant,
            end: word.end,
            lineage,
        })
    };
    words.iter().filter_map(report).collect()
}

/// Whether nobody can host a topic that is rebuilt from these words.
pub(crate) fn is_orphan(gathered: &Gathered) -> bool {
    let words = || gathered.reports.iter().map(|(_, word)| word);
    let highest = words().map(|word| word.known.grant).max();
    !words().any(|word| Some(word.own_grant) == highest)
}

/// Who has told keeps its copy, as far as there is room.
fn with_tellers(view: &View<'_>, record: Configuration, gathered: &Gathered) -> Configuration {
    let mut replicas: Members = record.replicas;
    for &(peer, _) in &gathered.reports {
        if let Some(peer) = view.base.peer_no(peer)
            && (replicas.len() < COPIES || replicas.contains(peer))
        {
            replicas = replicas.with(peer);
        }
    }
    Configuration { replicas, ..record }
}

pub(super) fn recover(
    view: &View<'_>,
    topics: &[Gathered],
    owner: Option<&PeerName>,
) -> Result<Decision, ErrorReply> {
    let owner = match owner {
        Some(name) => {
            let peer = view.peer_named(name).ok_or_else(|| peer_not_found(name))?;
            Some(peer.fingerprint)
        }
        None => None,
    };
    let mut recasting = Recasting::default();
    let mut names = HashSet::new();
    for gathered in topics {
        let after = match need(view.base, gathered) {
            Need::Nothing | Need::Taken => None,
            needed => rebuilt(view, gathered, owner, needed),
        };
        if let Some(after) = after.filter(|after| names.insert(after.name.clone())) {
            put(&mut recasting, view, after);
        }
    }
    let mut decision = Decision::answered(Answer::Done);
    recasting.finish(&mut decision, Why::Recovered);
    Ok(decision)
}

/// Without telling anybody to erase a copy.
fn put(recasting: &mut Recasting, view: &View<'_>, after: TopicRecord) {
    let nobody = TopicRecord {
        replicas: Vec::new(),
        ..after.clone()
    };
    recasting.put(view, &nobody, after);
}

fn rebuilt(
    view: &View<'_>,
    gathered: &Gathered,
    owner: Option<Fingerprint>,
    needed: Need,
) -> Option<TopicRecord> {
    let before = by_id(view, gathered.topic).ok();
    let lineage = before.as_ref().map_or(0, |record| record.lineage);
    let next = manager::rebuild(&reports(view, gathered, lineage))?;
    if needed == Need::Copied && next.phase != Phase::Serving {
        return None;
    }
    let next = with_tellers(view, next, gathered);
    let host = view.base.key_of(next.host);
    let before = match before {
        Some(record) => record,
        None => unknown(view, gathered, owner.unwrap_or(host), host)?,
    };
    let next = Configuration {
        grant: next.grant.max(before.grant.saturating_add(1)),
        version: next.version.max(before.version + 1),
        ..next
    };
    let next = held::first(view, gathered.topic, next);
    Some(recast(view, before, &next))
}

/// A record for a topic that the index does not know; the best copy's word is taken for its settings.
fn unknown(
    view: &View<'_>,
    gathered: &Gathered,
    owner: Fingerprint,
    host: Fingerprint,
) -> Option<TopicRecord> {
    let words = gathered.reports.iter().map(|(_, word)| word);
    let best = words.max_by_key(|word| (word.known, word.end))?;
    Some(TopicRecord {
        name: best.name.clone(),
        topic: gathered.topic,
        version: 0,
        owner,
        host,
        grant: 0,
        in_sync: Vec::new(),
        replicas: Vec::new(),
        settings: best.settings,
        state: TopicState::Offline,
        lineage: 0,
        created: view.now,
    })
}

pub(super) fn accept_loss(
    view: &View<'_>,
    caller: Caller,
    gathered: &Gathered,
    survivor: Fingerprint,
) -> Result<Decision, ErrorReply> {
    let record = by_id(view, gathered.topic)?;
    rights::check(view, caller, &Action::Change(&record))?;
    is_current(view, &record)?;
    nothing_else_helps(view, &record)?;
    let told = gathered.reports.iter().any(|&(peer, _)| peer == survivor);
    let number = view.base.peer_no(survivor);
    let number = number.filter(|_| told && view.base.is_live(survivor));
    let number = number.ok_or_else(|| {
        let what = format!(
            "{survivor} is not live, or has no copy of topic '{}'",
            record.name
        );
        ErrorReply::new(ErrorCode::NoLiveHost, what)
    })?;
    let next = manager::accept_loss(&configuration(view, &record), number);
    let known = gathered.reports.iter().map(|(_, word)| word.known.grant);
    let known = known.max().unwrap_or(0);
    let next = Configuration {
        grant: next.grant.max(known.saturating_add(1)),
        ..with_tellers(view, next, gathered)
    };
    let next = held::first(view, gathered.topic, next);
    let after = recast(view, record, &next);
    let epoch = epoch(view, &after);
    let mut recasting = Recasting::default();
    put(&mut recasting, view, after);
    let mut decision = Decision::answered(Answer::LossAccepted(epoch));
    recasting.finish(&mut decision, Why::LossAccepted);
    Ok(decision)
}

/// Nothing is given up that somebody who is here has.
fn nothing_else_helps(view: &View<'_>, record: &TopicRecord) -> Result<(), ErrorReply> {
    let live = record.in_sync.iter().find(|&&peer| view.base.is_live(peer));
    let Some(&live) = live else { return Ok(()) };
    let who = view.name_of(live);
    let who = who.map_or_else(|| live.to_string(), |name| format!("peer {name}"));
    Err(ErrorReply::new(
        ErrorCode::Forbidden,
        format!(
            "topic '{}' has lost nothing: {who} is live and has every acknowledged message",
            record.name
        ),
    ))
}
