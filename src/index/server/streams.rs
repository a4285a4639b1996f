//! The three long streams of a hosting peer's session: heartbeats, assignments, reports.

use std::net::SocketAddr;
use std::sync::Arc;

use super::hub::{Ending, Link};
use super::service::{Conn, Index};
use crate::index::assign::Next;
use crate::index::decide::{Answer, Event};
use crate::index::directory::ToldLags;
use crate::transport::{CallError, FrameReceiver, FrameSender, RequestStream};
use crate::types::{Fingerprint, SessionId};
use crate::wire::index::copies::CopyReport;
use crate::wire::index::{
    Assigned, AssignmentsOpened, Heartbeat, HeartbeatAck, Report, ReportAck, ReportsOpened,
    SessionOpen, SessionOpened,
};
use crate::wire::{ErrorCode, ErrorReply, Frame};
use crate::{clock, limits};

/// Why a long stream ends early.
enum Stop {
    /// The other side is gone, or sent what does not belong here; the transport has told it.
    Call,
    /// The other side is told this.
    Tell(ErrorReply),
}

impl From<CallError> for Stop {
    fn from(_: CallError) -> Self {
        Stop::Call
    }
}

impl From<crate::wire::DecodeError> for Stop {
    fn from(error: crate::wire::DecodeError) -> Self {
        Stop::Tell(error.into())
    }
}

impl From<ErrorReply> for Stop {
    fn from(why: ErrorReply) -> Self {
        Stop::Tell(why)
    }
}

/// Ends a long stream: in order, or with the reason why not.
async fn end(result: Result<(), Stop>, mut sender: FrameSender) {
    match result {
        Ok(()) => {}
        Err(Stop::Call) => return,
        Err(Stop::Tell(why)) => {
            if sender.send(&why).await.is_err() {
                return;
            }
        }
    }
    if sender.flush().await.is_ok() {
        sender.finish();
    }
}

/// Where the peer listens, as others are to be told: an unspecified IP becomes the one that it came
/// from.
fn advertised(asked: &[SocketAddr], remote: SocketAddr) -> Result<Vec<SocketAddr>, ErrorReply> {
    let usable = !asked.is_empty() && asked.iter().all(|address| address.port() != 0);
    if !usable {
        return Err(ErrorReply::new(
            ErrorCode::Malformed,
            "a hosting peer has at least one address, each with a port",
        ));
    }
    let observed = remote.ip().to_canonical();
    let told = asked
        .iter()
        .map(|&address| match address.ip().is_unspecified() {
            true => SocketAddr::new(observed, address.port()),
            false => address,
        });
    Ok(told.collect())
}

pub(super) async fn session(
    index: &Arc<Index>,
    conn: &Conn,
    request: SessionOpen,
    stream: RequestStream,
) {
    let id = SessionId::random(&mut rand::rng());
    let opened = match open(index, conn, id, request).await {
        Ok(opened) => opened,
        Err(why) => return stream.reply_error(&why).await,
    };
    let Some(link) = index.hub.link(id, conn.caller.key) else {
        return stream.reply_error(&ended_at_once()).await;
    };
    let (mut sender, mut receiver) = stream.into_parts();
    let result = heartbeats(index, id, &link, &opened, &mut sender, &mut receiver).await;
    end(result, sender).await;
}

async fn open(
    index: &Index,
    conn: &Conn,
    id: SessionId,
    request: SessionOpen,
) -> Result<SessionOpened, ErrorReply> {
    let event = Event::OpenSession {
        caller: conn.caller,
        session: id,
        boot: request.boot,
        storage: request.storage,
        incarnation: request.incarnation,
        addresses: advertised(&request.addresses, conn.remote)?,
        program: request.version,
        keeps_copies: request.keeps_copies,
    };
    let leases = index.hub.leases();
    match index.decide(event).await? {
        Answer::SessionOpened {
            incarnation,
            advertised,
        } => Ok(SessionOpened {
            session: id,
            incarnation,
            heartbeat_ms: leases.heartbeat.as_millis() as u32,
            lease_ms: leases.lease.as_millis() as u32,
            advertised,
        }),
        _ => Err(ErrorReply::new(
            ErrorCode::Internal,
            "the index's log says more",
        )),
    }
}

/// The session outlives a stream that breaks: only silence ends it, so that a reconnect changes
/// nothing. A stream that the peer finishes in order is a goodbye: it hosts nothing any more.
async fn heartbeats(
    index: &Arc<Index>,
    id: SessionId,
    link: &Link,
    opened: &SessionOpened,
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
) -> Result<(), Stop> {
    sender.send(opened).await?;
    loop {
        tokio::select! {
            biased;
            ending = link.ended() => {
                if let Ending::Told(word) = ending {
                    sender.send(&word).await?;
                }
                return Ok(());
            }
            frame = receiver.next() => {
                let Some(frame) = frame? else {
                    index.goodbye(id);
                    return Ok(());
                };
                let Heartbeat { serial } = frame.decode()?;
                if index.hub.heartbeat(id) {
                    sender.send(&HeartbeatAck { serial }).await?;
                }
            }
        }
    }
}

/// A session that was over before its stream began: the index is stopping, or another one took its
/// place. Not `Fenced`, which would end the peer's process for good; if another process hosts under
/// the key, the next opening says so.
fn ended_at_once() -> ErrorReply {
    ErrorReply::new(
        ErrorCode::ShuttingDown,
        "the session ended as it began; open another one",
    )
}

pub(super) fn no_session() -> ErrorReply {
    ErrorReply::new(ErrorCode::Fenced, "this session is over; open another one")
}

pub(super) async fn assignments(
    index: &Arc<Index>,
    peer: Fingerprint,
    id: SessionId,
    stream: RequestStream,
) {
    let Some(link) = index.hub.link(id, peer) else {
        return stream.reply_error(&no_session()).await;
    };
    if !link.claim_feed() {
        let why = ErrorReply::new(
            ErrorCode::Malformed,
            "this session has its assignment stream",
        );
        return stream.reply_error(&why).await;
    }
    let (mut sender, mut receiver) = stream.into_parts();
    // Refusals carry their reasons.
    receiver.set_max(limits::METADATA_REPLY_BYTES);
    let result = assign(index, &link, &mut sender, &mut receiver).await;
    end(result, sender).await;
}

async fn assign(
    index: &Index,
    link: &Link,
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
) -> Result<(), Stop> {
    sender.send(&AssignmentsOpened {}).await?;
    loop {
        if link.is_over() {
            return Ok(());
        }
        let next = link.feed.lock().next(&index.directory.read());
        match next {
            Next::Frame(frame) => {
                sender.send(&frame).await?;
                continue;
            }
            Next::Again => {
                tokio::task::yield_now().await;
                continue;
            }
            Next::Wait => {}
        }
        tokio::select! {
            _ = link.ended() => return Ok(()),
            () = link.changed.notified() => {}
            frame = receiver.next() => {
                let Some(frame) = frame? else { return Ok(()) };
                acknowledged(index, link, &frame).await?;
            }
        }
    }
}

/// What a peer says of topics of which it keeps a copy: meanwhile it may have been released.
fn of_copies(index: &Index, link: &Link, mut known: Vec<CopyReport>) -> Vec<CopyReport> {
    let directory = index.directory.read();
    known.retain(|report| directory.keeps_copy(link.peer, report.topic));
    known
}

/// Passes the host's word on: to creators that wait, and to the decider.
async fn acknowledged(index: &Index, link: &Link, frame: &Frame) -> Result<(), Stop> {
    let assigned: Assigned = frame.decode()?;
    let done = link.feed.lock().acked(assigned)?;
    index
        .hub
        .settle(done.accepted.into_iter().map(|topic| (topic, None)));
    index
        .hub
        .known(link.peer, &of_copies(index, link, done.known));
    if !done.erased.is_empty() {
        let event = Event::Erased {
            host: link.peer,
            topics: done.erased,
        };
        index.decide(event).await?;
    }
    // Only a topic that nobody has seen created yet goes again.
    let (new, old): (Vec<_>, Vec<_>) = done
        .refused
        .into_iter()
        .partition(|(topic, _)| index.hub.waits_for(*topic));
    for (topic, why) in old {
        tracing::warn!(target: "waypost::index", host = %link.peer, topic = %topic, %why, "A host does not serve a topic that it hosts");
    }
    if !new.is_empty() {
        let event = Event::HostRefused {
            host: link.peer,
            topics: new,
        };
        index.decide(event).await?;
    }
    Ok(())
}

pub(super) async fn reports(
    index: &Arc<Index>,
    peer: Fingerprint,
    id: SessionId,
    stream: RequestStream,
) {
    let Some(link) = index.hub.link(id, peer) else {
        return stream.reply_error(&no_session()).await;
    };
    let (mut sender, mut receiver) = stream.into_parts();
    receiver.set_max(limits::METADATA_REPLY_BYTES);
    let result = take_reports(index, &link, &mut sender, &mut receiver).await;
    end(result, sender).await;
}

async fn take_reports(
    index: &Index,
    link: &Link,
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
) -> Result<(), Stop> {
    sender.send(&ReportsOpened {}).await?;
    loop {
        let frame = tokio::select! {
            _ = link.ended() => return Ok(()),
            frame = receiver.next() => frame?,
        };
        let Some(frame) = frame else { return Ok(()) };
        let Report {
            serial,
            topics,
            behind,
        } = frame.decode()?;
        let behind = ToldLags::new(behind);
        let now = clock::mono_now();
        for part in topics.chunks(limits::CHANGES_PER_LOCK) {
            index.directory.read().report(link.peer, part, &behind, now);
        }
        sender.send(&ReportAck { serial }).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_ends_as_it_begins_is_opened_again() {
        assert_eq!(ended_at_once().retry, crate::wire::Retry::Later);
    }

    #[test]
    fn unspecified_addresses_become_the_observed_one() {
        let remote = "[::ffff:10.0.0.4]:9".parse().unwrap();
        let asked = ["0.0.0.0:1", "[::]:2", "192.0.2.1:3"].map(|text| text.parse().unwrap());
        let told = advertised(&asked, remote).unwrap();
        let expected = ["10.0.0.4:1", "10.0.0.4:2", "192.0.2.1:3"];
        assert_eq!(told, expected.map(|text| text.parse().unwrap()));
        assert!(advertised(&[], remote).is_err());
        assert!(advertised(&["1.2.3.4:0".parse().unwrap()], remote).is_err());
    }
}
