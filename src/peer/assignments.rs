//! What the index wants this peer to hold: handed to whoever does it durably, and confirmed; and what the
//! index wants to know of what it holds.

use tokio::sync::{mpsc, oneshot};

use super::host::journal_stopped;
use super::replication::roles::{Frame, Tell, topic_of};
use crate::limits;
use crate::transport::{CallError, Connection};
use crate::types::{Incarnation, SessionId, TopicId};
use crate::wire::index::copies::CopyReport;
use crate::wire::index::recovery::ReportCopies;
use crate::wire::index::{Assign, Assigned, AssignmentsOpened, SessionAssignments};

/// Takes assignments until the stream breaks.
pub(super) async fn run(
    connection: Connection,
    session: SessionId,
    incarnation: Incarnation,
    roles: mpsc::Sender<Frame>,
) -> Result<(), CallError> {
    let (mut sender, mut receiver) = connection.open(&SessionAssignments { session }).await?;
    receiver.expect::<AssignmentsOpened>().await?;
    receiver.set_max(limits::METADATA_REPLY_BYTES);
    let stopped = || CallError::Remote(journal_stopped());
    // Topics that the full list has named so far; `None` once it has ended.
    let mut listed: Option<Vec<TopicId>> = Some(Vec::new());
    loop {
        let assign: Assign = receiver.expect().await?;
        if let Some(listed) = &mut listed {
            listed.extend(assign.assignments.iter().map(topic_of));
        }
        let asked = assign.tell_copies;
        let (round, tell) = match asked {
            Some(asked) => (asked.round, Some(asked.topic.map_or(Tell::All, Tell::One))),
            // An index that comes from a backup may not know of topics that were moved here since.
            None if assign.full_list_ends => (0, listed.take().map(Tell::Unnamed)),
            None => (0, None),
        };
        let (done, taken) = oneshot::channel();
        let frame = Frame {
            assignments: assign.assignments,
            full_list_ends: assign.full_list_ends,
            incarnation,
            tell,
            done,
        };
        roles.send(frame).await.map_err(|_| stopped())?;
        let taken = taken.await.map_err(|_| stopped())??;
        if asked.is_some() || !taken.held.is_empty() {
            tell_copies(&connection, session, round, &taken.held).await?;
        }
        let assigned = Assigned {
            revision: assign.revision,
            refused: taken.refused,
            known: taken.known,
        };
        sender.send(&assigned).await?;
    }
}

/// Tells what the journal holds, in parts; without any, that it is nothing.
async fn tell_copies(
    connection: &Connection,
    session: SessionId,
    round: u64,
    held: &[CopyReport],
) -> Result<(), CallError> {
    let mut rest = held;
    loop {
        let (copies, later) = rest.split_at(rest.len().min(limits::COPIES_PER_REPORT));
        let report = ReportCopies {
            session,
            round,
            copies: copies.to_vec(),
            last: later.is_empty(),
        };
        connection.request(&report).await?;
        if later.is_empty() {
            return Ok(());
        }
        rest = later;
    }
}
