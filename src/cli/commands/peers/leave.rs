//! `deregister`: says what would go, asks, and leaves. The key stays: it is the person's, and the
//! same key may register again.

use serde_json::json;

use super::DeregisterArgs;
use crate::cli::ask;
use crate::cli::context::Context;
use crate::cli::erase;
use crate::cli::error::{CliError, Exit};
use crate::cli::online::{hang_up, own_name};
use crate::cli::{output, units, wait};
use crate::client::{Client, TopicFilter};
use crate::types::{PeerName, TopicName};
use crate::wire::ErrorCode;
use crate::wire::index::{PeerInfo, TopicInfo};

/// Topics that are listed one by one.
const LISTED: usize = 50;

/// The topics that the peer hosts, and what would become of them.
#[derive(Debug, Default)]
struct Loss {
    topics: u32,
    messages: u64,
    /// Somebody else is there who would take them.
    takers: bool,
    /// Topics of which nobody else has a copy.
    sole: u32,
    /// These are to be lost even if somebody would take them.
    discard: bool,
    /// The first ones, with their messages as far as reported.
    listed: Vec<(TopicName, Option<u64>)>,
}

impl Loss {
    fn add(&mut self, topic: TopicInfo) {
        let messages = topic.reported.map(|reported| reported.metadata.count());
        self.topics = self.topics.saturating_add(1);
        self.sole = self.sole.saturating_add(u32::from(topic.in_sync <= 1));
        self.messages = self.messages.saturating_add(messages.unwrap_or(0));
        if self.listed.len() < LISTED {
            self.listed.push((topic.name, messages));
        }
    }

    /// How many topics are deleted for want of anybody who has them.
    fn deleted(&self) -> u32 {
        match self.takers && !self.discard {
            true => 0,
            false => self.sole,
        }
    }

    fn words(&self) -> String {
        let topics = units::count(self.topics.into(), "topic");
        format!("{topics} with {}", units::count(self.messages, "message"))
    }

    fn lines(&self, name: &PeerName) -> Vec<String> {
        if self.topics == 0 {
            return vec![format!(
                "Peer {name} hosts no topics; its name and subscriptions go."
            )];
        }
        let fate = match self.deleted() {
            0 => "which move to other peers first".to_owned(),
            all if all == self.topics => "which go with it".to_owned(),
            some => format!("of which {some} go with it, for nobody else has a copy"),
        };
        let head = format!("Peer {name} hosts {}, {fate}:", self.words());
        let listed = self.listed.iter().map(|(topic, messages)| match messages {
            Some(messages) => format!("  {topic}: {}", units::count(*messages, "message")),
            None => format!("  {topic}: messages not reported yet"),
        });
        let more = self.topics as usize - self.listed.len();
        let more = (more > 0).then(|| format!("  and {more} more"));
        [head].into_iter().chain(listed).chain(more).collect()
    }
}

/// No `online`: what it does at the end would register the peer again.
pub(super) async fn run(ctx: &Context, args: DeregisterArgs) -> Result<(), CliError> {
    let client = ctx.client()?;
    let left = leave(ctx, &client, args).await;
    hang_up(&client).await;
    let deleted = left?;
    // After the connection's end, which may have written routes.
    client.forget_state()?;
    let name = own_name(&client)?;
    erase::journal(ctx, &name).await?;
    let value = json!({ "peer": name, "deregistered": true, "topics_deleted": deleted });
    ctx.output
        .value(&value, || format!("Successfully deregistered peer {name}"))
}

async fn leave(ctx: &Context, client: &Client, args: DeregisterArgs) -> Result<u32, CliError> {
    let name = own_name(client)?;
    let loss = ctx
        .index_answer(client, loss(client, &name, args.discard))
        .await?;
    loss.lines(&name).iter().for_each(|line| output::say(line));
    if !args.yes {
        confirm(&name, &loss)?;
    }
    let bar = wait::progress(Some(loss.topics.into()), "moving topics to other peers");
    let progress = |left: u32| bar.set_position(loss.topics.saturating_sub(left).into());
    let done = client.leave(loss.deleted(), loss.discard, progress);
    let done = ctx.index_answer(client, done).await;
    bar.finish_and_clear();
    Ok(done?.deleted)
}

async fn loss(client: &Client, name: &PeerName, discard: bool) -> Result<Loss, CliError> {
    let peers = client.peers().await?;
    let is_taker = |peer: &PeerInfo| peer.live && peer.keeps_copies && peer.name != *name;
    let filter = TopicFilter {
        host: Some(name.clone()),
        ..TopicFilter::default()
    };
    let mut loss = Loss {
        takers: peers.iter().any(is_taker),
        discard,
        ..Loss::default()
    };
    let mut after = None;
    loop {
        let (page, next) = client.list_topics(&filter, after.as_ref()).await?;
        page.into_iter().for_each(|topic| loss.add(topic));
        match next {
            Some(next) => after = Some(next),
            None => return Ok(loss),
        }
    }
}

fn confirm(name: &PeerName, loss: &Loss) -> Result<(), CliError> {
    if ask::can_ask() {
        return ask::confirm(&format!("Deregister peer {name}?"));
    }
    let message = format!("deregistering peer {name} needs a confirmation");
    Err(
        CliError::new(ErrorCode::NeedsConfirmation.text(), Exit::Usage, message)
            .detail(
                if loss.deleted() == 0 {
                    "would move"
                } else {
                    "would go"
                },
                loss.words(),
            )
            .help("look at what would become of them, then repeat with --yes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_listed_first() {
        let name: PeerName = "1".parse().unwrap();
        let mut loss = Loss::default();
        assert_eq!(loss.lines(&name).len(), 1);
        (loss.topics, loss.sole) = (3, 3);
        loss.messages = 7;
        loss.listed = vec![
            ("a".parse().unwrap(), Some(7)),
            ("b".parse().unwrap(), None),
        ];
        let expected = [
            "Peer 1 hosts 3 topics with 7 messages, which go with it:",
            "  a: 7 messages",
            "  b: messages not reported yet",
            "  and 1 more",
        ];
        assert_eq!(loss.lines(&name), expected);
        loss.sole = 2;
        assert!(loss.lines(&name)[0].contains("of which 2 go with it"));
        loss.takers = true;
        assert!(loss.lines(&name)[0].contains("which move to other peers first"));
        loss.discard = true;
        assert_eq!(loss.deleted(), 2);
    }
}
