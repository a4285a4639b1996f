//! The sending half and the answering half of a `publish`, side by side.

use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroU8;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::PublishArgs;
use super::copies;
use super::input::Input;
use super::report::{self, Report};
use crate::cli::commands::topic::change::default_settings;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::nearest::explained;
use crate::cli::output::{self, Sink};
use crate::cli::wait;
use crate::client::{
    Client, ClientError, Message, Pending, Publisher, PublisherOptions, Receipt, Waiting,
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
    mut input: Input,
) -> Result<(), CliError> {
    let total = input.total();
    let Some(first) = input.next().await? else {
        return Ok(());
    };
    let started = clock::mono_now();
    let mut answers = Answers {
        sink: Sink::stdout()?,
        json: ctx.output.is_json(),
        min_ack: args.min_ack,
        report: Report::default(),
        progress: Progress::new(total, &args.topic, started),
    };
    let (publisher, first) = send_first(ctx, client, args, first).await?;
    let result = match first {
        Ok(receipt) => match answers.take(receipt, true) {
            Ok(()) => {
                let rest = exchange(client, args, input, &publisher, &mut answers);
                announcing(&publisher, rest).await
            }
            Err(error) => Err(error),
        },
        Err(error) => Err(explained(client, &args.topic, error).await),
    };
    answers.end(clock::mono_now().since(started))?;
    publisher.close().await;
    result.map_err(|error| match answers.report.count() {
        0 => error,
        count => error.detail("before it", format!("{count} messages were acknowledged")),
    })
}

/// The first message goes alone: it shows whether a cached route has outlived its topic. A message
/// for a topic that is gone goes to the one that has its name now; all others follow it there.
async fn send_first(
    ctx: &Context,
    client: &Client,
    args: &PublishArgs,
    first: Message,
) -> Result<(Publisher, Result<Receipt, ClientError>), CliError> {
    let mut fresh = false;
    loop {
        ensure_topic(ctx, client, args, fresh).await?;
        copies::wait(ctx, client, &args.topic, args.min_ack).await?;
        let publisher = new_publisher(ctx, client, args);
        let sent = publisher.publish(&args.topic, first.clone());
        match announcing(&publisher, sent).await {
            Err(error) if is_missing(&error) && !fresh => fresh = true,
            answer => return Ok((publisher, answer)),
        }
        publisher.close().await;
    }
}

fn is_missing(error: &ClientError) -> bool {
    error.code() == Some(ErrorCode::TopicNotFound)
}

fn new_publisher(ctx: &Context, client: &Client, args: &PublishArgs) -> Publisher {
    let settings = default_settings(&ctx.config);
    client.publisher(PublisherOptions {
        delivery_timeout: ctx.host_patience(),
        create_missing: (!args.no_create).then_some(settings),
        host: args.host.clone(),
        // What is held is on no copy yet.
        hold: !args.no_hold && args.min_ack.is_none(),
        ..PublisherOptions::default()
    })
}

/// Says what the publisher waits for while `work` is under way.
async fn announcing<F: Future>(publisher: &Publisher, work: F) -> F::Output {
    tokio::select! {
        output = work => output,
        never = announce(publisher.waiting()) => match never {},
    }
}

/// Sees to it that there is a topic, and says so where it is made now. A cached route is enough unless
/// a `fresh` one is asked for.
async fn ensure_topic(
    ctx: &Context,
    client: &Client,
    args: &PublishArgs,
    fresh: bool,
) -> Result<(), CliError> {
    let topic = &args.topic;
    let found = wait::saying(index(client), client.route(topic, fresh)).await;
    let error = match found {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    if args.no_create || !is_missing(&error) {
        return Err(explained(client, topic, error).await);
    }
    let settings = default_settings(&ctx.config);
    let created = client.create_topic(topic, settings, args.host.as_ref());
    match wait::saying("a host for the new topic", created).await {
        Ok(route) => {
            let host = &route.host.name;
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

/// Says what the publisher waits for, once it has waited for a while. Never ends.
async fn announce(mut waiting: watch::Receiver<Option<Waiting>>) -> Infallible {
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
    client: &Client,
    args: &PublishArgs,
    input: Input,
    publisher: &Publisher,
    answers: &mut Answers,
) -> Result<(), CliError> {
    let (queue, pending) = mpsc::channel(PENDING);
    let (sent, answered) = tokio::join!(
        send_all(args, input, publisher, queue),
        answers.take_all(client, &args.topic, pending)
    );
    answered.and(sent)
}

/// Sends until the input ends, or until nobody takes the answers any more.
async fn send_all(
    args: &PublishArgs,
    mut input: Input,
    publisher: &Publisher,
    queue: mpsc::Sender<Pending>,
) -> Result<(), CliError> {
    let mut pace = args.rate.map(|rate| {
        let period = Duration::from_secs(1) / rate.get();
        // The first message is gone already.
        let mut pace = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
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
    min_ack: Option<NonZeroU8>,
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
            self.take(receipt, pending.is_empty())?;
        }
        Ok(())
    }

    /// `flush`: nothing more comes at once, and whoever reads shall not wait for it.
    fn take(&mut self, receipt: Receipt, flush: bool) -> Result<(), CliError> {
        if self.json {
            self.sink.json(&report::json(&receipt))?;
            if flush {
                self.sink.flush()?;
            }
        }
        let achieved = copies::achieved(&receipt, self.min_ack);
        self.report.add(receipt);
        self.progress.at(self.report.count());
        achieved
    }

    /// Says what was achieved, in one line for all; programs have got each receipt.
    fn end(&mut self, took: Duration) -> Result<(), CliError> {
        self.progress.end();
        if !self.json
            && let Some(text) = self.report.text(took)
        {
            self.sink.write(format!("{text}\n").as_bytes())?;
        }
        self.sink.flush()
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
