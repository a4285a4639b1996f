//! `topic move`.

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::MoveArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::nearest::explained;
use crate::clock;
use crate::types::Epoch;
use crate::wire::index::copies::{MoveState, MovingTopic};
use std::time::Duration;

/// How often the picture of progress moves.
const TICK: Duration = Duration::from_millis(100);

pub(super) async fn run(ctx: &Context, args: MoveArgs) -> Result<(), CliError> {
    let name = &args.topic;
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    let began = clock::mono_now();
    ctx.online(async |client| {
        let moved = async {
            let shown = |moving: &MovingTopic| bar.set_message(doing(moving));
            match client.move_topic(name, args.to.as_ref(), shown).await {
                Ok(moved) => Ok(moved),
                Err(error) => Err(explained(client, name, error).await),
            }
        };
        let moved = ctx.index_answer(client, moved).await;
        bar.finish_and_clear();
        let moved = moved?;
        let epoch = epoch(&moved);
        let took = clock::mono_now().since(began);
        let value = json!({
            "topic": name,
            "id": moved.topic.to_string(),
            "host": moved.to,
            "epoch": epoch.map(|epoch| epoch.to_string()),
            "took_ms": took.as_millis() as u64,
        });
        let text = || format!("Topic '{name}' is hosted by peer {} now.", moved.to);
        ctx.output.value(&value, text)
    })
    .await
}

fn doing(moving: &MovingTopic) -> String {
    let to = &moving.to;
    match moving.state {
        MoveState::Copying { end } => {
            format!(
                "peer {to} is getting its copy of {} messages",
                end.0.saturating_sub(1)
            )
        }
        MoveState::HandingOver => format!("handing over to peer {to}"),
        MoveState::Done { .. } => format!("peer {to} hosts"),
    }
}

fn epoch(moved: &MovingTopic) -> Option<Epoch> {
    match moved.state {
        MoveState::Done { epoch } => Some(epoch),
        _ => None,
    }
}
