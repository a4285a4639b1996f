//! Assignments that the journal did not take, tried again after a pause.

use hashbrown::HashSet;

use super::{Roles, Taken, topic_of};
use crate::clock;
use crate::limits;
use crate::types::TopicId;
use crate::wire::ErrorCode;
use crate::wire::index::Assignment;

impl Roles {
    /// Keeps what the journal did not take. Not a host role of a topic that has never been here: whoever
    /// creates it is told, and the index may have given it up. Nor an erasure, which the index repeats.
    pub(super) fn keep_refused(&mut self, assignments: Vec<Assignment>, taken: &Taken) {
        if taken.refused.is_empty() {
            return;
        }
        let unsound = ErrorCode::Malformed;
        let refused = taken
            .refused
            .iter()
            .filter(|(_, why)| why.code() != unsound);
        let refused: HashSet<TopicId> = refused.map(|(topic, _)| *topic).collect();
        for assignment in assignments {
            let topic = topic_of(&assignment);
            let kept = match assignment {
                Assignment::Replicate { .. } => true,
                Assignment::Host { .. } => self.journal.copy(topic).is_some(),
                Assignment::Erase { .. } => false,
            };
            // The last of the frame counts.
            match kept && refused.contains(&topic) {
                true => self.again.insert(topic, assignment),
                false => self.again.remove(&topic),
            };
        }
        self.wait_again();
    }

    fn wait_again(&mut self) {
        let due = clock::mono_now().plus(limits::ROLE_AGAIN);
        self.again_at = (!self.again.is_empty()).then_some(due);
    }

    pub(in crate::peer::replication) async fn try_again(&mut self) {
        self.again_at = None;
        let due: Vec<Assignment> = self.again.drain().map(|(_, due)| due).collect();
        let tried = due.len();
        match self.take(due).await {
            Ok(taken) if taken.refused.is_empty() => {
                tracing::info!(
                    topics = tried,
                    "assignments that the journal had not taken are done"
                );
            }
            Ok(taken) => {
                let left = taken.refused.len();
                tracing::warn!(
                    topics = left,
                    "assignments that the journal does not take; trying again"
                );
            }
            // The journal has stopped, and the peer with it.
            Err(error) => tracing::debug!(%error, "assignments were not tried again"),
        }
    }
}
