//! The sending half and the answering half of a `publish`, side by side.

use std::time::Duration;

use indicatif::ProgressBar;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::PublishArgs;
use super::input::Input;
use super::report::{self, Report};
use crate::cli::commands::topic::change::default_settings;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::nearest::explained;
use crate::cli::output::{self, Sink};
use crate::cli::wait;
use crate::client::{
    Client, Pending, Publisher, PublisherOptions, Waiting,
};
use crate::clock;
use crate::types::{MonoNs, TopicName};
use crate::wire::ErrorCode;

/// Answers awaited in order; the publisher's own buffer bounds their bytes.
const PENDING: usize = 8_192;
/// How long a command may be silent.
const SILENCE: Duration = Duration::from_secs(1);

pub(super) async fn run(
    ctx: &Context,
    client: &Client,
    args: &PublishArgs,
    input: Input,
) -> Result<(), CliError> {
    ensure_topic(ctx, client, args).await?;
    let settings = default_settings(&ctx.config);
    let publisher = client.publisher(PublisherOptions {
        delivery_timeout: ctx.host_patience(),
        create_missing: (!args.no_create).then_some(settings),
        host: args.host.clone(),
        ..PublisherOptions::default()
    });
    let announcer = announce(publisher.waiting());
    let work = exchange(ctx, client, args, input, &publisher);
    let result = tokio::select! {
        result = work => result,
        () = announcer => Ok(()),
    };
    publisher.close().await;
    result
}

/// Sees to it that there is a topic, and says so where it is made now. A cached route is enough; where
/// it has become stale the publisher itself finds out.
async fn ensure_topic(ctx: &Context, client: &Client, args: &PublishArgs) -> Result<(), CliError> {
    let topic = &args.topic;
    let found = wait::saying(index(client), client.route(topic, false)).await;
    let error = match found {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    if args.no_create || error.code() != Some(ErrorCode::TopicNotFound) {
        return Err(explained(client, topic, error).await);
    }
    let settings = default_settings(&ctx.config);
    let created = client.create_topic(topic, settings, args.host.as_ref());
    match wait::saying("a host for the new topic", created).await {
        Ok(route) => {
            let host = route.host.name;
            output::say(&format!("created topic '{topic}', hosted by peer {host}"));
            Ok(())
        }
        // Somebody else was faster.
        Err(error) if error.code() == Some(ErrorCode::TopicExists) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn index(client: &Client) -> String {
    format!("the index at {}", client.index().address())
}

/// Says what the publisher waits for, once it has waited for a while. Ends with the publisher.
async fn announce(mut waiting: watch::Receiver<Option<Waiting>>) {
    let mut said: Option<Waiting> = None;
    loop {
        let now = waiting.borrow_and_update().clone();
        let changed = match now.clone().filter(|now| said.as_ref() != Some(now)) {
            None => waiting.changed().await,
            Some(now) => match tokio::time::timeout(SILENCE, waiting.changed()).await {
                Ok(changed) => changed,
                Err(_) => {
                    output::say(&format!("topic '{}': waiting; {}", now.topic, now.why));
                    said = Some(now);
                    Ok(())
                }
            },
        };
        if changed.is_err() {
            // The publisher has ended, and whoever waits for it hears that from itself.
            return std::future::pending().await;
        }
    }
}

async fn exchange(
    ctx: &Context,
    client: &Client,
    args: &PublishArgs,
    input: Input,
    publisher: &Publisher,
) -> Result<(), CliError> {
    let started = clock::mono_now();
    let mut answers = Answers {
        sink: Sink::stdout()?,
        json: ctx.output.is_json(),
        report: Report::default(),
        progress: Progress::new(input.total(), &args.topic, started),
    };
    let (queue, pending) = mpsc::channel(PENDING);
    let (sent, answered) = tokio::join!(
        send_all(args, input, publisher, queue),
        answers.take_all(client, &args.topic, pending)
    );
    answers.progress.end();
    let result = answered.and(sent);
    let took = clock::mono_now().since(started);
    if !answers.json
        && let Some(text) = answers.report.text(took)
    {
        answers.sink.write(format!("{text}\n").as_bytes())?;
    }
    answers.sink.flush()?;
    result.map_err(|error| match answers.report.count() {
        0 => error,
        count => error.detail("before it", format!("{count} messages were acknowledged")),
    })
}

/// Sends until the input ends, or until nobody takes the answers any more.
async fn send_all(
    args: &PublishArgs,
    mut input: Input,
    publisher: &Publisher,
    queue: mpsc::Sender<Pending>,
) -> Result<(), CliError> {
    let mut pace = args.rate.map(|rate| {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / rate.get());
        // Timers are coarser than high rates; what was late goes together.
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        pace
    });
    loop {
        let next = tokio::select! {
            next = input.next() => next?,
            () = queue.closed() => return Ok(()),
        };
        let Some(message) = next else {
            return Ok(());
        };
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let pending = publisher.send(&args.topic, message).await?;
        if queue.send(pending).await.is_err() {
            return Ok(());
        }
    }
}

/// What is done with answers.
struct Answers {
    sink: Sink,
    json: bool,
    report: Report,
    progress: Progress,
}

impl Answers {
    /// Takes answers in the order of sending; the first failure ends it.
    async fn take_all(
        &mut self,
        client: &Client,
        topic: &TopicName,
        mut pending: mpsc::Receiver<Pending>,
    ) -> Result<(), CliError> {
        while let Some(next) = pending.recv().await {
            let receipt = match next.await {
                Ok(receipt) => receipt,
                Err(error) => return Err(explained(client, topic, error).await),
            };
            if self.json {
                self.sink.json(&report::json(&receipt))?;
                // Nothing more is there at once: whoever reads shall not wait for it.
                if pending.is_empty() {
                    self.sink.flush()?;
                }
            }
            if receipt.achieved.durable == 0 {
                return Err(CliError::new("internal", Exit::Other, "acknowledged, but durable nowhere"));
            }
            self.report.add(receipt);
            self.progress.at(self.report.count());
        }
        Ok(())
    }
}

/// A bar that appears on a terminal once the command has run for a while.
struct Progress {
    total: Option<u64>,
    what: String,
    from: MonoNs,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Messages between two looks at the clock.
    const EVERY: u64 = 64;

    fn new(total: Option<u64>, topic: &TopicName, started: MonoNs) -> Progress {
        Progress {
            total,
            what: format!("publishing to {topic}"),
            from: started.plus(SILENCE),
            bar: None,
        }
    }

    fn at(&mut self, count: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(count),
            None if count.is_multiple_of(Self::EVERY) && clock::mono_now() > self.from => {
                self.bar = Some(wait::progress(self.total, &self.what));
            }
            None => {}
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
