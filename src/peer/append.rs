//! Appends: verified, handed to the journal, answered when durable at every copy that is in sync.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::host::{Caller, Host, journal_stopped};
use super::replication::hosted::{Settled, Settlement, achieved};
use super::traffic::Direction;
use crate::journal::{self, Command, CompletionQueue, Done, Outcome, Refusal};
use crate::limits;
use crate::transport::{CallError, FrameReceiver, FrameSender};
use crate::types::{Epoch, Fingerprint, TopicId};
use crate::wire::batch::{self, BatchError};
use crate::wire::peer::{
    Append, AppendAck, AppendNack, AppendNext, AppendStreamOpened, Appended, Members,
};
use crate::wire::{ErrorCode, ErrorReply, Frame};

/// Serves an append on its own stream.
pub(super) async fn single(
    host: &Host,
    caller: &Caller,
    request: Append,
    payload: Bytes,
) -> Result<Appended, ErrorReply> {
    let command = checked(caller, request.topic, request.epoch, payload)?;
    host.replication.takes_append(request.topic)?;
    let (done, outcome) = oneshot::channel();
    host.journal
        .submit_deferred(command, Done::Oneshot(done))
        .await
        .map_err(|_| journal_stopped())?;
    let appended = taken(outcome.await.map_err(|_| journal_stopped())?)?;
    let durable_on = settled(host, appended).await?;
    if !appended.duplicate {
        record(host, caller, &appended);
    }
    Ok(Appended {
        base: appended.base,
        duplicate: appended.duplicate,
        achieved: achieved(&durable_on),
        durable_on: durable_on.to_vec(),
    })
}

async fn settled(host: &Host, appended: journal::Appended) -> Settlement {
    let to = Arc::new(Settled::default());
    if let Some(settlement) = host.replication.settle(0, appended, &to) {
        return settlement;
    }
    let done = to.wait().await.pop();
    done.map_or_else(|| Err(journal_stopped()), |(_, _, settlement)| settlement)
}

fn checked(
    caller: &Caller,
    topic: TopicId,
    epoch: Epoch,
    batch: Bytes,
) -> Result<Command, ErrorReply> {
    let header = batch::verify(&batch).map_err(corrupt)?;
    if header.topic != topic {
        return Err(ErrorReply::new(
            ErrorCode::CorruptBatch,
            format!(
                "a batch made for topic {} came for topic {topic}",
                header.topic
            ),
        ));
    }
    // Under another's producer id the other's next batch would pass for a duplicate.
    if !header.producer.belongs_to(caller.fingerprint) {
        let key = caller.fingerprint;
        return Err(ErrorReply::foreign_producer(header.producer, key));
    }
    Ok(Command::Append {
        topic,
        epoch,
        batch,
    })
}

fn corrupt(error: BatchError) -> ErrorReply {
    let code = match error {
        BatchError::Length { .. } | BatchError::Count { .. } => ErrorCode::TooLarge,
        _ => ErrorCode::CorruptBatch,
    };
    ErrorReply::new(code, error.to_string())
}

fn taken(outcome: Outcome) -> Result<journal::Appended, ErrorReply> {
    match outcome {
        Outcome::Appended(appended) => Ok(appended),
        Outcome::Refused(refusal) => Err(refused(&refusal)),
        Outcome::Stopped => Err(journal_stopped()),
        other => Err(ErrorReply::new(
            ErrorCode::Internal,
            format!("the journal answered an append with {other:?}"),
        )),
    }
}

/// What a refusal of the journal tells the caller.
pub(super) fn refused(refusal: &Refusal) -> ErrorReply {
    let code = match refusal {
        Refusal::UnknownTopic | Refusal::NotHosted => ErrorCode::NotHost,
        Refusal::StaleEpoch { .. } | Refusal::LowerGrant { .. } => ErrorCode::StaleEpoch,
        Refusal::NotBooted | Refusal::StaleBoot { .. } => ErrorCode::NotReady,
        Refusal::SequenceGap { .. } => ErrorCode::SequenceGap,
        Refusal::UnknownProducer => ErrorCode::UnknownProducer,
        Refusal::SequenceTooOld => ErrorCode::SequenceTooOld,
        Refusal::StorageFull => ErrorCode::StorageFull,
        Refusal::TooManyGroups { .. } => ErrorCode::QuotaExceeded,
        Refusal::Damaged => ErrorCode::Damaged,
        Refusal::Corrupt(_) | Refusal::WrongTopic { .. } => ErrorCode::CorruptBatch,
        // To commands of a replica, which no caller can send.
        Refusal::Hosted | Refusal::NotNext { .. } => ErrorCode::Internal,
    };
    ErrorReply::new(code, refusal.to_string())
}

fn record(host: &Host, caller: &Caller, appended: &journal::Appended) {
    if let Some(topic) = host.journal.topic(appended.topic) {
        let count = u64::from(appended.count);
        host.record_traffic(Direction::Sent, caller, &topic, appended.base, count);
    }
}

/// Serves a stream of appends: one side reads and submits, the other writes answers as groups
/// become durable. Either side's end ends both.
pub(super) async fn stream(
    host: &Host,
    caller: &Caller,
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
) {
    if sender.send(&AppendStreamOpened {}).await.is_err() {
        return;
    }
    let answers = Answers {
        done: Arc::new(CompletionQueue::new()),
        settled: Arc::new(Settled::default()),
        room: Semaphore::new(limits::APPENDS_PER_STREAM),
    };
    let (nacks, refused) = mpsc::channel(limits::APPENDS_PER_STREAM);
    let submit = submit_all(host, caller, &answers, nacks, receiver);
    let answer = answer_all(host, caller, &answers, refused, sender);
    // A failed read still waits for the answers owed; a failed write ends the reading at once.
    let served = tokio::try_join!(async { Ok(submit.await) }, answer);
    if let Err(error) = served.and_then(|(read, ())| read) {
        tracing::debug!(peer = %caller.name, %error, "append stream ended");
    }
}

/// What the two sides of an append stream share.
struct Answers {
    /// Filled by the journal's writer, once per group.
    done: Arc<CompletionQueue>,
    /// Filled as other copies have what was durable here already.
    settled: Arc<Settled>,
    /// Permits of appends that are not answered yet.
    room: Semaphore,
}

async fn submit_all(
    host: &Host,
    caller: &Caller,
    answers: &Answers,
    nacks: mpsc::Sender<AppendNack>,
    receiver: &mut FrameReceiver,
) -> Result<(), CallError> {
    receiver.set_max(limits::FRAME_BYTES);
    while let Some(first) = receiver.next().await? {
        let mut appends = vec![];
        let gathered = gather(first, receiver, &mut appends);
        let Ok(permits) = answers.room.acquire_many(appends.len() as u32).await else {
            return Ok(());
        };
        permits.forget();
        for nack in submit(host, caller, answers, appends).await {
            if nacks.send(nack).await.is_err() {
                return Ok(());
            }
        }
        gathered?;
    }
    Ok(())
}

/// An append as it came.
type Came = (AppendNext, Bytes);

/// Adds `first` and the appends that came with it, as far as they are few and small, up to what is none.
fn gather(
    first: Frame,
    receiver: &mut FrameReceiver,
    appends: &mut Vec<Came>,
) -> Result<(), CallError> {
    let (mut frame, mut bytes) = (Some(first), 0);
    while let Some(came) = frame {
        let (next, batch) = came.decode_with_payload::<AppendNext>()?;
        bytes += batch.len();
        appends.push((next, batch));
        let enough =
            appends.len() == limits::APPENDS_TOGETHER || bytes >= limits::APPENDS_TOGETHER_BYTES;
        frame = if enough { None } else { receiver.next_here()? };
    }
    Ok(())
}

/// Hands appends to the journal; answers those that it is not to have.
async fn submit(
    host: &Host,
    caller: &Caller,
    answers: &Answers,
    appends: Vec<Came>,
) -> Vec<AppendNack> {
    let mut commands = Vec::with_capacity(appends.len());
    let mut tickets = Vec::with_capacity(appends.len());
    let mut nacks = vec![];
    let mut taken = None;
    for (next, batch) in appends {
        let AppendNext {
            ticket,
            topic,
            epoch,
        } = next;
        // Most are for the topic of the one before, which was asked about a moment ago.
        if taken != Some(topic)
            && let Err(error) = host.replication.takes_append(topic)
        {
            nacks.push(AppendNack { ticket, error });
            continue;
        }
        taken = Some(topic);
        match checked(caller, topic, epoch, batch) {
            Ok(command) => {
                let done = Done::Queue(Arc::clone(&answers.done), ticket);
                commands.push((command, done));
                tickets.push(ticket);
            }
            Err(error) => nacks.push(AppendNack { ticket, error }),
        }
    }
    if !commands.is_empty() && host.journal.submit_all_deferred(commands).await.is_err() {
        let stopped = |ticket| AppendNack {
            ticket,
            error: journal_stopped(),
        };
        nacks.extend(tickets.into_iter().map(stopped));
    }
    nacks
}

async fn answer_all(
    host: &Host,
    caller: &Caller,
    answers: &Answers,
    mut nacks: mpsc::Receiver<AppendNack>,
    sender: &mut FrameSender,
) -> Result<(), CallError> {
    let mut reading = true;
    let mut replies = Replies {
        host,
        caller,
        sender,
        told: HashMap::new(),
        unrecorded: None,
    };
    loop {
        let everything = answers.room.available_permits() == limits::APPENDS_PER_STREAM;
        if !reading && everything {
            return Ok(());
        }
        let answered = tokio::select! {
            outcomes = answers.done.wait() => {
                let answer = |(ticket, outcome)| replies.outcome(ticket, outcome, &answers.settled);
                outcomes.into_iter().map(answer).filter(|answered| *answered).count()
            }
            settled = answers.settled.wait() => {
                let count = settled.len();
                for (ticket, appended, settlement) in settled {
                    replies.answer(ticket, &appended, settlement);
                }
                count
            }
            nack = nacks.recv(), if reading => match nack {
                Some(nack) => { replies.sender.buffer(&nack); 1 }
                None => { reading = false; 0 }
            },
        };
        replies.record();
        // If the caller does not take its answers, nothing is lost: it asks again and the dedupe
        // answers.
        replies.sender.flush().await?;
        answers.room.add_permits(answered);
    }
}

/// Answers on one stream.
struct Replies<'a> {
    host: &'a Host,
    caller: &'a Caller,
    sender: &'a mut FrameSender,
    /// The peers that were last told to have a topic's appends, where it is not this one alone.
    told: HashMap<TopicId, Arc<[Fingerprint]>>,
    /// What was answered last, as far as it followed one upon the other, for the log of traffic.
    unrecorded: Option<journal::Appended>,
}

impl Replies<'_> {
    /// Answers what the journal says, unless other copies are to have it first; whether it was answered.
    fn outcome(&mut self, ticket: u64, outcome: Outcome, later: &Arc<Settled>) -> bool {
        let appended = match taken(outcome) {
            Ok(appended) => appended,
            Err(error) => {
                self.sender.buffer(&AppendNack { ticket, error });
                return true;
            }
        };
        let settled = self.host.replication.settle(ticket, appended, later);
        let Some(settlement) = settled else {
            return false;
        };
        self.answer(ticket, &appended, settlement);
        true
    }

    fn answer(&mut self, ticket: u64, appended: &journal::Appended, settlement: Settlement) {
        match settlement {
            Ok(durable_on) => {
                self.note(appended);
                self.name(ticket, appended.topic, &durable_on);
                self.sender.buffer(&AppendAck {
                    ticket,
                    base: appended.base,
                    duplicate: appended.duplicate,
                    achieved: achieved(&durable_on),
                });
            }
            Err(error) => self.sender.buffer(&AppendNack { ticket, error }),
        }
    }

    /// Notes an append for the log of traffic, where most are of the same topic as the one before.
    fn note(&mut self, appended: &journal::Appended) {
        if appended.duplicate {
            return;
        }
        if let Some(run) = &mut self.unrecorded
            && run.topic == appended.topic
            && run.base.plus(u64::from(run.count)) == appended.base
            && let Some(count) = run.count.checked_add(appended.count)
        {
            run.count = count;
            return;
        }
        self.record();
        self.unrecorded = Some(*appended);
    }

    fn record(&mut self) {
        if let Some(run) = self.unrecorded.take() {
            record(self.host, self.caller, &run);
        }
    }

    /// Says who has the append, where it is not the same as last time.
    fn name(&mut self, ticket: u64, topic: TopicId, durable_on: &Arc<[Fingerprint]>) {
        let told = self.told.get(&topic);
        let alone = durable_on.len() == 1;
        if told.map_or(alone, |told| told == durable_on) {
            return;
        }
        self.told.insert(topic, Arc::clone(durable_on));
        let mut peers = self.host.replication.peers.names(durable_on);
        peers.sort();
        self.sender.buffer(&Members { ticket, peers });
    }
}
