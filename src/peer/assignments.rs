//! What the index wants this peer to hold: handed to whoever does it durably, and confirmed.

use tokio::sync::{mpsc, oneshot};

use super::host::journal_stopped;
use super::replication::roles::Frame;
use crate::limits;
use crate::transport::{CallError, Connection};
use crate::types::{Incarnation, SessionId};
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
    loop {
        let assign: Assign = receiver.expect().await?;
        let (done, taken) = oneshot::channel();
        let frame = Frame {
            assignments: assign.assignments,
            full_list_ends: assign.full_list_ends,
            incarnation,
            done,
        };
        roles.send(frame).await.map_err(|_| stopped())?;
        let taken = taken.await.map_err(|_| stopped())??;
        let assigned = Assigned {
            revision: assign.revision,
            refused: taken.refused,
            known: taken.known,
        };
        sender.send(&assigned).await?;
    }
}
