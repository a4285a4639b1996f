//! What peers' journals hold, gathered when an operator or owner asks for it; and the recoveries that
//! are decided by it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::hub::Hub;
use super::requests::odd_answer;
use super::service::Index;
use super::streams::no_session;
use crate::index::decide::{
    Answer, Caller, Event, Gathered, Need, is_orphan, need, topic_not_found,
};
use crate::index::directory::Directory;
use crate::limits;
use crate::types::{Fingerprint, Offset, PeerName, SessionId, TopicId};
use crate::wire::index::copies::CopyReport;
use crate::wire::index::recovery::{
    CopiesReported, RecoverIndex, RecoverTopic, RecoveringIndex, RecoveringTopic, ReportCopies,
    Survivor, TellCopies,
};
use crate::wire::{ErrorCode, ErrorReply};

/// Rounds that are remembered; older ones have been given up by whoever began them.
const ROUNDS: usize = 4;

/// What was heard in one round.
#[derive(Debug, Default)]
struct Round {
    heard: BTreeMap<TopicId, Vec<(Fingerprint, CopyReport)>>,
    count: usize,
    told: BTreeSet<Fingerprint>,
    asked: BTreeSet<SessionId>,
    /// Only this topic.
    topic: Option<TopicId>,
}

#[derive(Debug, Default)]
struct Rounds {
    last: u64,
    open: BTreeMap<u64, Round>,
}

/// All rounds of one index.
#[derive(Debug)]
pub(super) struct Recovery {
    rounds: Mutex<Rounds>,
    /// Somebody has told everything.
    told: watch::Sender<()>,
}

impl Recovery {
    pub(super) fn new() -> Self {
        Recovery {
            rounds: Mutex::default(),
            told: watch::Sender::new(()),
        }
    }

    fn begin(&self, topic: Option<TopicId>) -> u64 {
        let mut rounds = self.rounds.lock();
        rounds.last += 1;
        let round = rounds.last;
        let begun = Round {
            topic,
            ..Round::default()
        };
        rounds.open.insert(round, begun);
        while rounds.open.len() > ROUNDS {
            rounds.open.pop_first();
        }
        round
    }

    fn end(&self, round: u64) {
        self.rounds.lock().open.remove(&round);
    }

    /// Takes a part of a peer's word. What belongs to no open round is of no use.
    fn take(&self, peer: Fingerprint, report: ReportCopies) -> Result<(), ErrorReply> {
        let mut rounds = self.rounds.lock();
        let Some(round) = rounds.open.get_mut(&report.round) else {
            return Ok(());
        };
        if round.count + report.copies.len() > limits::COPIES_GATHERED {
            return Err(ErrorReply::new(
                ErrorCode::TooLarge,
                format!(
                    "peers hold more than {} copies, which this index does not gather",
                    limits::COPIES_GATHERED
                ),
            ));
        }
        for copy in report.copies {
            let words = round.heard.entry(copy.topic).or_default();
            // A session that broke tells all of it again.
            words.retain(|&(teller, _)| teller != peer);
            words.push((peer, copy));
            round.count += 1;
        }
        if report.last {
            round.told.insert(peer);
            drop(rounds);
            self.told.send_replace(());
        }
        Ok(())
    }

    fn told(&self, round: u64) -> Option<BTreeSet<Fingerprint>> {
        Some(self.rounds.lock().open.get(&round)?.told.clone())
    }

    /// Asks those whose session has begun since the last time, too.
    fn ask(&self, hub: &Hub, number: u64) {
        if let Some(round) = self.rounds.lock().open.get_mut(&number) {
            let topic = round.topic;
            let ask = TellCopies {
                round: number,
                topic,
            };
            hub.ask(ask, &mut round.asked);
        }
    }

    /// Waits until all live peers have told what they have, as long as that is worth waiting for.
    async fn wait(&self, hub: &Hub, round: u64) {
        self.ask(hub, round);
        let mut told = self.told.subscribe();
        let all = async {
            loop {
                let heard = self.told(round).unwrap_or_default();
                if hub.linked().is_subset(&heard) {
                    return;
                }
                // The sender lives in `self`.
                let _ = told.changed().await;
            }
        };
        // Who has not told yet is named in the answer.
        let _ = tokio::time::timeout(limits::COPIES_WAIT, all).await;
    }

    /// What was heard of one topic.
    fn heard_of(&self, round: u64, topic: TopicId) -> Gathered {
        let rounds = self.rounds.lock();
        let heard = rounds.open.get(&round);
        let reports = heard.and_then(|round| round.heard.get(&topic));
        Gathered {
            topic,
            reports: reports.cloned().unwrap_or_default(),
        }
    }

    /// Takes out the first topics that need something.
    fn next(&self, round: u64, directory: &Directory) -> Vec<Gathered> {
        let mut rounds = self.rounds.lock();
        let Some(round) = rounds.open.get_mut(&round) else {
            return Vec::new();
        };
        let mut next = Vec::new();
        while next.len() < limits::RECOVERED_AT_ONCE
            && let Some((topic, reports)) = round.heard.pop_first()
        {
            let gathered = Gathered { topic, reports };
            match need(directory, &gathered) {
                Need::Nothing | Need::Taken => {}
                Need::Behind | Need::Unknown | Need::Copied => next.push(gathered),
            }
        }
        next
    }

    /// Counts what is still to do.
    fn count(&self, round: u64, directory: &Directory, answer: &mut RecoveringIndex) {
        let rounds = self.rounds.lock();
        let heard = rounds.open.get(&round).into_iter();
        for (&topic, reports) in heard.flat_map(|round| &round.heard) {
            let gathered = Gathered {
                topic,
                reports: reports.clone(),
            };
            let needed = need(directory, &gathered);
            match needed {
                Need::Nothing => continue,
                Need::Behind => answer.behind += 1,
                Need::Unknown => answer.unknown += 1,
                Need::Copied => answer.copied += 1,
                Need::Taken => {
                    if answer.taken.len() < limits::PAGE_ENTRIES as usize {
                        answer.taken.push(reports[0].1.name.clone());
                    }
                    continue;
                }
            }
            answer.left += 1;
            answer.offline += u64::from(needed != Need::Copied && is_orphan(&gathered));
        }
    }
}

impl Index {
    pub(super) fn take_copies(
        &self,
        caller: Caller,
        report: ReportCopies,
    ) -> Result<CopiesReported, ErrorReply> {
        if self.hub.link(report.session, caller.key).is_none() {
            return Err(no_session());
        }
        match report.round {
            0 => self.take_unasked(caller.key, report.copies),
            _ => self.recovery.take(caller.key, report)?,
        }
        Ok(CopiesReported {})
    }

    /// What the full list of assignments has not named. Only a word that may come of a backup counts, or
    /// anybody could stop anybody's topics.
    fn take_unasked(&self, peer: Fingerprint, mut words: Vec<CopyReport>) {
        let told = words.len();
        {
            let directory = self.directory.read();
            words.retain(|word| directory.may_freeze(peer, word));
        }
        let unheard = told - words.len();
        if unheard > 0 {
            tracing::debug!(target: "waypost::index", %peer, unheard, "A peer holds topics that it is not to keep; should this index come from a backup: waypost index recover");
        }
        self.hub.known(peer, &words);
    }

    async fn gather(&self, topic: Option<TopicId>) -> u64 {
        let round = self.recovery.begin(topic);
        self.recovery.wait(&self.hub, round).await;
        round
    }

    // ---- one topic ----

    pub(super) async fn recover_topic(
        &self,
        caller: Caller,
        request: RecoverTopic,
    ) -> Result<RecoveringTopic, ErrorReply> {
        let name = &request.name;
        let found = self.directory.read().topic(name.as_str());
        let record = found.ok_or_else(|| topic_not_found(name))?;
        // The decider says so too; this keeps strangers from having all peers asked.
        if !caller.operator && record.owner != caller.key {
            let why = format!("only the owner of topic '{name}' and the operator may recover it");
            return Err(ErrorReply::new(ErrorCode::Forbidden, why));
        }
        let round = self.gather(Some(record.topic)).await;
        let gathered = self.recovery.heard_of(round, record.topic);
        self.recovery.end(round);
        let mut answer = self.survivors(&gathered);
        let Some(survivor) = request.survivor else {
            return Ok(answer);
        };
        let found = self.directory.read().peer_named(&survivor).cloned();
        let key = found.map(|peer| peer.fingerprint);
        let survivor = key.ok_or_else(|| crate::index::decide::peer_not_found(&survivor))?;
        let event = Event::AcceptLoss {
            caller,
            gathered,
            survivor,
        };
        match self.decide(event).await? {
            Answer::LossAccepted(epoch) => answer.epoch = Some(epoch),
            other => return Err(odd_answer(other)),
        }
        Ok(answer)
    }

    fn survivors(&self, gathered: &Gathered) -> RecoveringTopic {
        let directory = self.directory.read();
        let record = directory.topic_by_id(gathered.topic);
        let name = |key: Fingerprint| directory.peer(key).map(|peer| peer.name.clone());
        let mut words: Vec<_> = gathered.reports.iter().collect();
        words.sort_by_key(|(_, word)| (word.damaged, std::cmp::Reverse((word.known, word.end))));
        let survivors = words.into_iter().filter_map(|(peer, word)| {
            Some(Survivor {
                peer: name(*peer)?,
                known: word.known,
                end: word.end,
                damaged: word.damaged,
            })
        });
        let survives = |key: &Fingerprint| gathered.reports.iter().any(|(peer, _)| peer == key);
        let in_sync = record.iter().flat_map(|record| &record.in_sync);
        let lost = in_sync.filter(|key| !survives(key));
        RecoveringTopic {
            topic: gathered.topic,
            survivors: survivors.collect(),
            host: record.as_ref().and_then(|record| name(record.host)),
            lost: lost.filter_map(|&key| name(key)).collect(),
            reported_end: directory.last_end(gathered.topic).map(Offset),
            epoch: None,
        }
    }

    // ---- all ----

    pub(super) async fn recover_index(
        &self,
        caller: Caller,
        request: RecoverIndex,
    ) -> Result<RecoveringIndex, ErrorReply> {
        if !caller.operator {
            let why = "only the index's operator, who holds its key, may recover it";
            return Err(ErrorReply::new(ErrorCode::Forbidden, why));
        }
        let round = match request.round {
            None => self.gather(None).await,
            Some(round) => {
                self.recovery.wait(&self.hub, round).await;
                round
            }
        };
        let (told, missing) = self.tellers(round, &request.without)?;
        if request.rebuild {
            if !missing.is_empty() {
                return Err(not_without(&missing));
            }
            let topics = self.recovery.next(round, &self.directory.read());
            let owner = request.owner;
            if !topics.is_empty() {
                self.decide(Event::Recover { topics, owner }).await?;
            }
        }
        let answer = self.progress(round, told, missing);
        if request.rebuild && answer.left == 0 {
            self.recovery.end(round);
            self.not_restored_any_more().await?;
        }
        Ok(answer)
    }

    fn progress(&self, round: u64, told: Vec<PeerName>, missing: Vec<PeerName>) -> RecoveringIndex {
        let linked = self.hub.linked();
        let directory = self.directory.read();
        let is_linked = |name: &&PeerName| {
            let peer = directory.peer_named(name);
            peer.is_some_and(|peer| linked.contains(&peer.fingerprint))
        };
        let mut answer = RecoveringIndex {
            round,
            telling: missing.iter().filter(is_linked).count() as u32,
            told,
            missing,
            behind: 0,
            unknown: 0,
            copied: 0,
            offline: 0,
            taken: Vec::new(),
            left: 0,
        };
        self.recovery.count(round, &directory, &mut answer);
        answer
    }

    async fn not_restored_any_more(&self) -> Result<(), ErrorReply> {
        if !self.directory.read().is_restored() {
            return Ok(());
        }
        let marker = self.restored.clone();
        let removed = tokio::task::spawn_blocking(move || mark_restored(&marker, false)).await;
        let removed = removed.map_err(std::io::Error::other).and_then(|done| done);
        removed.map_err(|error| {
            let file = self.restored.display();
            let what =
                format!("everything is rebuilt, but {file} cannot be removed: {error}; repeat");
            ErrorReply::new(ErrorCode::Internal, what)
        })?;
        self.hub.recovered();
        Ok(())
    }

    /// Who has told what it has, and who may hold something and has not.
    fn tellers(
        &self,
        round: u64,
        without: &[PeerName],
    ) -> Result<(Vec<PeerName>, Vec<PeerName>), ErrorReply> {
        let told = self.recovery.told(round).ok_or_else(|| {
            ErrorReply::new(
                ErrorCode::VersionMismatch,
                format!("round {round} is over or was given up; begin again"),
            )
        })?;
        let directory = self.directory.read();
        let all = directory.all_peers().filter(|peer| peer.storage.is_some());
        let (told, missing): (Vec<_>, Vec<_>) =
            all.partition(|peer| told.contains(&peer.fingerprint));
        let missing = missing.into_iter().map(|peer| peer.name.clone());
        Ok((
            told.into_iter().map(|peer| peer.name.clone()).collect(),
            missing.filter(|name| !without.contains(name)).collect(),
        ))
    }
}

/// Makes or removes, durably, the file which says that this index comes from a backup and was not
/// recovered yet.
pub(super) fn mark_restored(marker: &Path, restored: bool) -> std::io::Result<()> {
    match restored {
        true => File::create(marker)?.sync_all()?,
        false => match fs::remove_file(marker) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed?,
        },
    }
    // The folder holds the name.
    match marker.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn not_without(missing: &[PeerName]) -> ErrorReply {
    let names: Vec<&str> = missing.iter().map(PeerName::as_str).collect();
    ErrorReply::new(
        ErrorCode::NeedsConfirmation,
        format!(
            "what {} registered peers hold is not known: {}; start them, or go on without them",
            names.len(),
            names.join(", ")
        ),
    )
}
