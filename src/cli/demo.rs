//! The demonstration: the whole mission in one command, with an index and peers as processes of
//! their own, in a temporary folder on free ports.
//!
//! | module | subject |
//! |---|---|
//! | `stage` | the folder, the processes, the clients; all of it gone at the end |
//! | `actor` | one process, and the log lines that it prints |
//! | `script` | telling, showing the log, checking |
//! | `scenes` | starting, topics, messages |
//! | `faults` | what is killed and comes back |
//! | `takeover` | a topic with two copies loses its host |
//! | `farewell` | deleting, leaving, stopping |
//!
//! Every claim is checked against what came of it; the first that does not hold ends the
//! demonstration with an error. Nothing sleeps for a fixed time: conditions are waited for.

mod actor;
mod farewell;
mod faults;
mod scenes;
mod script;
mod stage;
mod takeover;

use super::context::Context;
use super::error::{CliError, Exit};
use super::signals;
use crate::clock;
use script::Script;
use stage::Stage;

/// Plays everything; `keep` leaves the folder where it is.
pub async fn run(ctx: &Context, keep: bool) -> Result<(), CliError> {
    let shutdown = signals::shutdown()?;
    let began = clock::mono_now();
    let script = Script::new(ctx.output);
    let mut stage = Stage::new(keep)?;
    // Whichever way this ends, dropping the stage kills what still runs.
    let played = tokio::select! {
        played = play(&script, &mut stage) => played,
        () = shutdown => Err(interrupted()),
    };
    stage.keep_log()?;
    played?;
    let took = clock::mono_now().since(began);
    script.end(took, stage.kept().as_deref())
}

async fn play(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    scenes::opening(script, stage).await?;
    scenes::peers_arrive(script, stage).await?;
    scenes::topics(script, stage).await?;
    scenes::subscriptions(script, stage).await?;
    scenes::messages(script, stage).await?;
    faults::a_peer_is_killed(script, stage).await?;
    faults::the_index_is_killed(script, stage).await?;
    takeover::a_host_is_killed(script, stage).await?;
    farewell::a_topic_is_deleted(script, stage).await?;
    farewell::a_peer_leaves(script, stage).await?;
    farewell::curtain(script, stage).await?;
    farewell::the_logs(script, stage)
}

fn interrupted() -> CliError {
    CliError::new(
        "interrupted",
        Exit::Other,
        "the demonstration was interrupted",
    )
}
