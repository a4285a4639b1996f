//! `pull`: what is new since the position. The position follows what was flushed, so that whatever
//! happens, a message is shown again rather than never.

use std::time::Duration;

use super::printer::Printer;
use super::{PullArgs, subscribing};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::nearest::explained;
use crate::cli::received::Form;
use crate::cli::{output, units, wait};
use crate::client::{Client, ClientError, Position, PullOptions, PullStream, Pulled, ReadFrom};
use crate::clock;
use crate::types::{MonoNs, Offset};
use crate::wire::batch::BatchError;

/// Messages of the first request, and of one commit: little enough to be shown at once.
const PAGE_BYTES: u64 = 8 << 20;
/// How long one request waits at the host; then it is asked again, or not at all.
const WAIT: Duration = Duration::from_secs(10);

pub(super) async fn run(ctx: &Context, client: &Client, args: &PullArgs) -> Result<(), CliError> {
    let subscribed = subscribing::ensure(client, &args.topic, &args.read.group);
    let index = format!("the index at {}", client.index().address());
    if let Err(error) = wait::saying(index, subscribed).await {
        return Err(explained(client, &args.topic, error).await);
    }
    let mut pull = Pull {
        client,
        args,
        form: args.read.form(ctx, Form::Indented),
        printer: Printer::new()?,
        printed: 0,
    };
    let first = pull.first(ctx).await?;
    pull.pages(ctx, first).await?;
    if pull.printed == 0 {
        pull.say_nothing_new().await?;
    }
    Ok(())
}

/// What retention took before it was read: the first offset wanted, and the first one kept.
fn skipped(start: &ReadFrom, page: &Pulled) -> Option<(Offset, Offset)> {
    let wanted = match start {
        ReadFrom::Position(_) => page.position?.next,
        ReadFrom::Offset(offset) => *offset,
        ReadFrom::Start | ReadFrom::End | ReadFrom::Last(_) => return None,
    };
    (wanted < page.start).then_some((wanted, page.start))
}

struct Pull<'a> {
    client: &'a Client,
    args: &'a PullArgs,
    form: Form,
    printer: Printer,
    printed: u64,
}

impl Pull<'_> {
    async fn page(
        &self,
        ctx: &Context,
        from: ReadFrom,
        patience: Duration,
    ) -> Result<Pulled, CliError> {
        let topic = &self.args.topic;
        let options = PullOptions {
            from,
            group: self.args.read.group.clone(),
            max_messages: self.wanted(),
            max_bytes: PAGE_BYTES,
            wait: patience,
        };
        let pulled = self.explaining(self.client.pull(topic, &options));
        let what = format!("the host of topic '{topic}'");
        match patience {
            Duration::ZERO => ctx.answer(what, pulled).await,
            // Whoever waits for messages has said so already.
            _ => pulled.await,
        }
    }

    /// The first page; with `--wait` the first one that holds a message.
    async fn first(&self, ctx: &Context) -> Result<Pulled, CliError> {
        let mut page = self
            .page(ctx, self.args.read.start(), Duration::ZERO)
            .await?;
        if let Some((from, to)) = skipped(&self.args.read.start(), &page) {
            output::say(&format!(
                "topic '{}': offsets {from} to {} are no longer kept; going on at {to}",
                self.args.topic,
                to.0 - 1
            ));
        }
        self.subscribe_again(&page).await?;
        if !self.args.wait || !page.delivery.is_empty() {
            return Ok(page);
        }
        let deadline = ctx
            .timeout
            .map(|limit| (limit, clock::mono_now().plus(limit)));
        let what = format!("new messages in topic '{}'", self.args.topic);
        let waited = async {
            while page.delivery.is_empty() {
                let patience = left(deadline.map(|(_, at)| at));
                if patience.is_zero() {
                    break;
                }
                // From where the first page ended, or `end` would skip what came meanwhile.
                let from = ReadFrom::Offset(page.delivery.next);
                page = self.page(ctx, from, patience).await?;
            }
            Ok::<_, CliError>(page)
        };
        let page = wait::saying(&what, waited).await?;
        match deadline {
            Some((limit, _)) if page.delivery.is_empty() => {
                let message = format!("{what} did not come within {}", units::age(limit));
                Err(CliError::new("timed-out", Exit::TimedOut, message)
                    .help("wait longer with --timeout"))
            }
            _ => Ok(page),
        }
    }

    async fn subscribe_again(&self, page: &Pulled) -> Result<(), CliError> {
        let (topic, group) = (&self.args.topic, &self.args.read.group);
        // A subscription that was not made because the index is down was tried a moment ago.
        if self.client.subscribed_to(topic, group).is_none() {
            return Ok(());
        }
        let again = subscribing::ensure_this_life(self.client, topic, group, page.topic);
        again.await.map_err(CliError::from)
    }

    /// Prints and commits page by page, up to the end as it was at first.
    async fn pages(&mut self, ctx: &Context, first: Pulled) -> Result<(), CliError> {
        let end = first.delivery.end;
        self.print(&first).await?;
        let mut last = self.commit(first).await?;
        let next = last.delivery.next;
        let options = PullOptions {
            from: ReadFrom::Offset(next),
            group: self.args.read.group.clone(),
            max_messages: self.wanted().min(end.0.saturating_sub(next.0)),
            max_bytes: u64::MAX,
            wait: Duration::ZERO,
        };
        let mut stream = self.client.pull_stream(&self.args.topic, options);
        let mut shown = 0;
        loop {
            match self.piece(ctx, &mut stream).await {
                Ok(Some(piece)) => {
                    self.print(&piece).await?;
                    shown += piece.delivery.bytes();
                    last = Pulled {
                        position: last.position,
                        ..piece
                    };
                    if shown >= PAGE_BYTES {
                        last = self.commit(last).await?;
                        shown = 0;
                    }
                }
                // What was shown before it broke off is not to come again.
                ended => {
                    if shown > 0 {
                        self.commit(last).await?;
                    }
                    return ended.map(drop);
                }
            }
        }
    }

    async fn piece(
        &self,
        ctx: &Context,
        stream: &mut PullStream,
    ) -> Result<Option<Pulled>, CliError> {
        let what = format!("the host of topic '{}'", self.args.topic);
        ctx.answer(what, self.explaining(stream.next())).await
    }

    async fn explaining<T>(
        &self,
        read: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, CliError> {
        match read.await {
            Ok(read) => Ok(read),
            Err(error) => Err(explained(self.client, &self.args.topic, error).await),
        }
    }

    /// Messages that may yet be shown.
    fn wanted(&self) -> u64 {
        let max = self.args.max.map_or(u64::MAX, |max| max.get());
        max.saturating_sub(self.printed)
    }

    async fn print(&mut self, page: &Pulled) -> Result<(), CliError> {
        if page.delivery.is_empty() {
            return Ok(());
        }
        let mut out = vec![];
        if self.printed == 0 && self.form == Form::Indented {
            let new = if self.args.read.from.is_none() {
                "New messages"
            } else {
                "Messages"
            };
            out.extend_from_slice(format!("{new} from topic '{}':\n", self.args.topic).as_bytes());
        }
        for message in page.delivery.messages() {
            let message = message.map_err(|source| self.bad(source))?;
            self.form.render(&self.args.topic, &message, &mut out);
            self.printed += 1;
        }
        self.printer.print(out).await
    }

    fn bad(&self, source: BatchError) -> ClientError {
        ClientError::BadData {
            topic: self.args.topic.clone(),
            source,
        }
    }

    /// Answers the page with the position that holds now.
    async fn commit(&self, page: Pulled) -> Result<Pulled, CliError> {
        let (topic, read) = (&self.args.topic, &self.args.read);
        let committed = match (read.from, read.commits()) {
            (_, false) => return Ok(page),
            (None, _) if page.delivery.is_empty() => return Ok(page),
            (None, _) => self.client.commit(topic, &page).await,
            // From a place that was named the position goes there, back too and without a message.
            (Some(_), _) => {
                let position = position_after(page.position, page.delivery.next);
                let group = &read.group;
                let client = self.client;
                client
                    .commit_position(topic, page.topic, group, position, true)
                    .await
            }
        };
        let position = committed.map_err(|error| {
            CliError::from(error).detail("found", "the messages were shown; they will come again")
        })?;
        Ok(Pulled {
            position: Some(position),
            ..page
        })
    }

    async fn say_nothing_new(&mut self) -> Result<(), CliError> {
        if self.form != Form::Indented {
            return Ok(());
        }
        let topic = &self.args.topic;
        let text = match self.args.read.from {
            None => format!("No new messages in topic '{topic}'\n"),
            Some(_) => format!("No messages from there on in topic '{topic}'\n"),
        };
        self.printer.print(text.into_bytes()).await
    }
}

fn position_after(before: Option<Position>, next: Offset) -> Position {
    Position {
        next,
        sequence: before.map_or(0, |position| position.sequence) + 1,
    }
}

fn left(deadline: Option<MonoNs>) -> Duration {
    deadline.map_or(WAIT, |at| at.since(clock::mono_now()).min(WAIT))
}
