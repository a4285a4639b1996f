//! `follow`: messages as they come, until interrupted. Positions follow what was flushed.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::printer::Printer;
use super::{FollowArgs, subscribing};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::nearest::explained;
use crate::cli::output;
use crate::cli::received::Form;
use crate::client::{
    Client, ClientError, Committer, Delivery, FollowEvent, FollowOptions, Follower,
};
use crate::types::{Offset, TopicName};

/// How often positions are committed at most.
const COMMIT_EVERY: Duration = Duration::from_millis(100);
/// How long the last commit may take when the command ends.
const LAST_COMMIT: Duration = Duration::from_secs(2);

type Committing = Pin<Box<dyn Future<Output = ()>>>;

pub(super) async fn run(ctx: &Context, client: &Client, args: &FollowArgs) -> Result<(), CliError> {
    let mut interrupted = std::pin::pin!(interrupted()?);
    let options = FollowOptions {
        from: args.read.start(),
        group: args.read.group.clone(),
        wait_for_topic: !args.no_wait,
        ..FollowOptions::default()
    };
    let several = args.topics.iter().any(|topic| *topic != args.topics[0]);
    let follower = client.follow(args.topics.clone(), options);
    let mut following = Following {
        client,
        args,
        form: args.read.form(
            ctx,
            Form::Lines {
                with_topic: several,
            },
        ),
        printer: Printer::new()?,
        positions: Positions::new(&follower),
        waiting: BTreeMap::new(),
        subscribing: JoinSet::new(),
        failed: None,
        json: ctx.output.is_json(),
    };
    let result = tokio::select! {
        result = following.until_all_ended(follower) => result,
        () = &mut interrupted => Ok(()),
    };
    let last = following.positions.commit_last();
    tokio::select! {
        () = last => {}
        // A second Ctrl-C means now.
        () = second_interrupt() => {}
    }
    result
}

/// Waits for SIGINT or SIGTERM; the handlers stand once this returns.
fn interrupted() -> Result<impl Future<Output = ()>, CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind).map_err(|error| {
            CliError::new("signal", Exit::Other, "cannot listen for signals").detail("cause", error)
        })
    };
    let (mut int, mut term) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    Ok(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
    })
}

async fn second_interrupt() {
    match interrupted() {
        Ok(interrupted) => interrupted.await,
        Err(_) => std::future::pending().await,
    }
}

struct Following<'a> {
    client: &'a Client,
    args: &'a FollowArgs,
    form: Form,
    printer: Printer,
    positions: Positions,
    /// What was said that a topic waits for.
    waiting: BTreeMap<TopicName, String>,
    subscribing: JoinSet<(TopicName, Result<(), ClientError>)>,
    failed: Option<CliError>,
    json: bool,
}

impl Following<'_> {
    async fn until_all_ended(&mut self, mut follower: Follower) -> Result<(), CliError> {
        let mut tick = tokio::time::interval(COMMIT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = follower.next() => match event {
                    Ok(Some(event)) => self.on_event(event).await?,
                    Ok(None) => return self.failed.take().map_or(Ok(()), Err),
                    Err(error) => self.on_failure(error).await,
                },
                _ = tick.tick(), if self.positions.may_start() => self.positions.start(),
                () = self.positions.commit_done() => {}
                Some(Ok((topic, result))) = self.subscribing.join_next() => {
                    if let Err(error) = result {
                        let error = CliError::from(error).doing(format!("subscribing to topic '{topic}'"));
                        output::say_error(&error, self.json);
                    }
                }
            }
        }
    }

    async fn on_event(&mut self, event: FollowEvent) -> Result<(), CliError> {
        match event {
            FollowEvent::Messages(delivery) => return self.on_messages(delivery).await,
            FollowEvent::Joined { topic, next, .. } => self.on_joined(topic, next),
            FollowEvent::Waiting { topic, why } => {
                output::say(&format!("waiting for topic '{topic}': {why}"));
                self.waiting.insert(topic, why);
            }
            FollowEvent::Skipped { topic, from, to } => output::say(&format!(
                "topic '{topic}': offsets {from} to {} are no longer kept; going on at {to}",
                to.0.saturating_sub(1)
            )),
            FollowEvent::Deleted { topic } => {
                self.positions.forget(&topic);
                output::say(&format!("topic '{topic}' was deleted"));
            }
        }
        Ok(())
    }

    async fn on_messages(&mut self, delivery: Delivery) -> Result<(), CliError> {
        let mut out = vec![];
        for message in delivery.messages() {
            let message = message.map_err(|source| ClientError::BadData {
                topic: delivery.topic.clone(),
                source,
            })?;
            self.form.render(&delivery.topic, &message, &mut out);
        }
        self.printer.print(out).await?;
        if self.args.read.commits() {
            self.positions.flushed(delivery.topic, delivery.next);
        }
        Ok(())
    }

    fn on_joined(&mut self, topic: TopicName, next: Offset) {
        if self.waiting.remove(&topic).is_some() {
            output::say(&format!("following topic '{topic}' from offset {next}"));
        }
        let (client, group) = (self.client.clone(), self.args.read.group.clone());
        // Beside the reading, which needs no index.
        self.subscribing.spawn(async move {
            let result = match client.route(&topic, false).await {
                Ok(route) => {
                    let id = route.topic;
                    subscribing::ensure_this_life(&client, &topic, &group, id).await
                }
                Err(error) if subscribing::is_absence(&error) => Ok(()),
                Err(error) => Err(error),
            };
            (topic, result)
        });
    }

    /// A topic that cannot be followed any more; the others go on.
    async fn on_failure(&mut self, error: ClientError) {
        let error = match (&error, self.args.topics.as_slice()) {
            (_, [topic]) => explained(self.client, topic, error).await,
            _ => error.into(),
        };
        match &self.failed {
            None => self.failed = Some(error),
            Some(_) => output::say_error(&error, self.json),
        }
    }
}

/// Positions that were flushed and wait to be committed, one commit at a time.
struct Positions {
    committer: Committer,
    flushed: BTreeMap<TopicName, Offset>,
    committing: Option<Committing>,
}

impl Positions {
    fn new(follower: &Follower) -> Positions {
        Positions {
            committer: follower.committer(),
            flushed: BTreeMap::new(),
            committing: None,
        }
    }

    fn flushed(&mut self, topic: TopicName, next: Offset) {
        self.flushed.insert(topic, next);
    }

    fn forget(&mut self, topic: &TopicName) {
        self.flushed.remove(topic);
    }

    fn may_start(&self) -> bool {
        self.committing.is_none() && !self.flushed.is_empty()
    }

    fn start(&mut self) {
        let flushed = std::mem::take(&mut self.flushed);
        let committer = self.committer.clone();
        self.committing = Some(Box::pin(async move {
            let mut commits = JoinSet::new();
            for (topic, next) in flushed {
                let committer = committer.clone();
                commits.spawn(async move {
                    let committed = committer.commit(&topic, next).await;
                    (topic, committed)
                });
            }
            while let Some(done) = commits.join_next().await {
                if let Ok((topic, Err(error))) = done {
                    let error = CliError::from(error);
                    output::say(&format!(
                        "the position in topic '{topic}' is not moved, messages may come again: {error}"
                    ));
                }
            }
        }));
    }

    /// Ends with the commit that is under way; never, where there is none.
    async fn commit_done(&mut self) {
        match &mut self.committing {
            Some(committing) => committing.await,
            None => std::future::pending().await,
        }
        self.committing = None;
    }

    async fn commit_last(&mut self) {
        let all = async {
            if self.committing.is_some() {
                self.commit_done().await;
            }
            if self.may_start() {
                self.start();
                self.commit_done().await;
            }
        };
        if tokio::time::timeout(LAST_COMMIT, all).await.is_err() {
            output::say(
                "positions are not moved, the host does not answer; messages may come again",
            );
        }
    }
}
