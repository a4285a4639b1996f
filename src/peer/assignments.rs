//! What the index wants this peer to hold, done durably and confirmed.

use hashbrown::HashSet;
use tokio::sync::oneshot;

use super::append::refused;
use super::host::journal_stopped;
use super::tips::Tips;
use crate::journal::{Command, Done, HostedTopic, Journal, Outcome, Refusal};
use crate::limits;
use crate::transport::{CallError, Connection};
use crate::types::{SessionId, TopicId};
use crate::wire::ErrorReply;
use crate::wire::index::{Assign, Assigned, Assignment, AssignmentsOpened, SessionAssignments};

/// Takes assignments until the stream breaks.
pub(super) async fn run(
    connection: Connection,
    session: SessionId,
    journal: Journal,
    tips: &Tips,
) -> Result<(), CallError> {
    let (mut sender, mut receiver) = connection.open(&SessionAssignments { session }).await?;
    receiver.expect::<AssignmentsOpened>().await?;
    receiver.set_max(limits::METADATA_REPLY_BYTES);
    loop {
        let assign: Assign = receiver.expect().await?;
        let revision = assign.revision;
        let refused = take(&journal, tips, assign.assignments).await?;
        let known = Vec::new();
        let assigned = Assigned {
            revision,
            refused,
            known,
        };
        sender.send(&assigned).await?;
    }
}

/// Writes all assignments of a frame in as few groups as the journal makes of them; answers what
/// was refused.
async fn take(
    journal: &Journal,
    tips: &Tips,
    assignments: Vec<Assignment>,
) -> Result<Vec<(TopicId, ErrorReply)>, CallError> {
    let mut waiting = Vec::with_capacity(assignments.len());
    // What the journal says of these is out of date as soon as their turn comes.
    let mut erased = HashSet::new();
    for assignment in assignments {
        let (topic, command) = command(journal, assignment, &mut erased);
        let Some(command) = command else { continue };
        let (done, outcome) = oneshot::channel();
        let submitted = journal.submit(command, Done::Oneshot(done)).await;
        submitted.map_err(|_| CallError::Remote(journal_stopped()))?;
        waiting.push((topic, outcome));
    }
    let mut refusals = vec![];
    for (topic, outcome) in waiting {
        let outcome = outcome
            .await
            .map_err(|_| CallError::Remote(journal_stopped()))?;
        match outcome {
            // Erasing what is not there is done.
            Outcome::Refused(Refusal::UnknownTopic) => {}
            Outcome::Stopped => return Err(CallError::Remote(journal_stopped())),
            Outcome::Refused(refusal) => refusals.push((topic, refused(&refusal))),
            _ => {}
        }
        // Followers of an erased topic wake and are told.
        tips.moved(&[topic]);
    }
    Ok(refusals)
}

/// The journal's command for an assignment; none where it is done already, so that a peer with a
/// million topics does not write them all again at each session. `erased`: topics that go before its
/// turn comes.
fn command(
    journal: &Journal,
    assignment: Assignment,
    erased: &mut HashSet<TopicId>,
) -> (TopicId, Option<Command>) {
    match assignment {
        Assignment::Host {
            topic,
            name,
            settings,
            copies,
        } => {
            let grant = copies.grant;
            let known = journal.topic(topic).filter(|_| !erased.contains(&topic));
            let same =
                known.is_some_and(|known| known.grant == grant && known.settings == settings);
            let hosted = HostedTopic {
                id: topic,
                name,
                settings,
                grant,
            };
            (topic, (!same).then_some(Command::Host(hosted)))
        }
        Assignment::Erase { topic } => {
            erased.insert(topic);
            (topic, Some(Command::Forget { topic }))
        }
        // Nothing follows yet.
        Assignment::Replicate { topic, .. } => (topic, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Hooks, Options};
    use crate::types::{Fingerprint, Offset, TopicSettings};
    use crate::wire::index::copies::{Copies, CopiesPhase};

    const HOST: Fingerprint = Fingerprint([7; 32]);
    const TOPIC: TopicId = TopicId([1; 16]);

    fn host() -> Assignment {
        Assignment::Host {
            topic: TOPIC,
            name: "T1".parse().unwrap(),
            settings: TopicSettings::default(),
            copies: Copies {
                host: HOST,
                grant: 1,
                version: 1,
                in_sync: vec![HOST],
                replicas: vec![HOST],
                phase: CopiesPhase::Serving,
                lineage: 0,
            },
        }
    }

    #[tokio::test]
    async fn a_topic_that_is_erased_and_hosted_again_in_one_frame_is_there_and_empty() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            segment_bytes: 1 << 20,
            extent_bytes: 1 << 16,
            ..Options::new(folder.path())
        };
        let (journal, _) = Journal::open(options, Hooks::default()).unwrap();
        let tips = Tips::default();
        let erase = Assignment::Erase { topic: TOPIC };
        for frame in [
            vec![host()],
            vec![erase.clone(), host()],
            vec![erase.clone(), host(), erase.clone(), host()],
            vec![host()],
        ] {
            let refused = take(&journal, &tips, frame).await.unwrap();
            assert_eq!(refused, []);
            let stat = journal.topic(TOPIC).expect("hosted");
            assert_eq!(stat.end, Offset::FIRST);
        }
        take(&journal, &tips, vec![host(), erase]).await.unwrap();
        assert_eq!(journal.topic(TOPIC), None);
        journal.close();
    }
}
