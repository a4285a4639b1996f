//! `waypost pull` and `waypost follow`: messages out of topics.

mod follow;
mod printer;
mod pull;
mod subscribing;

use std::io::{self, IsTerminal};
use std::num::NonZeroU64;
use std::str::FromStr;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::received::{Form, Format};
use crate::client::ReadFrom;
use crate::types::{Group, Offset, TopicName};

/// Where to start reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The earliest message kept.
    Start,
    /// After the last one.
    End,
    /// This offset.
    At(Offset),
    /// So many messages before the end.
    Last(u64),
}

/// A text that is no place to start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no place to start; expected start, end, an offset from 1, or -N for the last N"
)]
pub struct FromError {
    found: String,
}

impl FromStr for From {
    type Err = FromError;

    fn from_str(text: &str) -> Result<From, FromError> {
        let number = |digits: &str| digits.parse::<NonZeroU64>().ok().map(NonZeroU64::get);
        let from = match text {
            "start" => Some(From::Start),
            "end" => Some(From::End),
            text => match text.strip_prefix('-') {
                Some(digits) => number(digits).map(From::Last),
                None => number(text).map(|n| From::At(Offset(n))),
            },
        };
        from.ok_or_else(|| FromError {
            found: text.to_owned(),
        })
    }
}

/// What reading commands take.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// Where to start instead of my position: start, end, an offset, or -N for the last N
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    pub from: Option<From>,
    /// With --from: move my position on as well
    #[arg(long, requires = "from")]
    pub commit: bool,
    /// Consumer group; positions are kept per group
    #[arg(long, default_value = "", hide_default_value = true)]
    pub group: Group,
    /// Form of each message, such as '%o %k %s': %t topic, %o offset, %k key, %s body, %S its size,
    /// %h headers, %T append time in ms
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "raw")]
    pub format: Option<Format>,
    /// Bodies only, byte for byte, one after the other
    #[arg(long)]
    pub raw: bool,
}

/// What `pull` takes.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// The topic
    pub topic: TopicName,
    /// How to read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// At most so many messages
    #[arg(long, value_name = "N")]
    pub max: Option<NonZeroU64>,
    /// Wait until there is something new
    #[arg(long)]
    pub wait: bool,
}

/// What `follow` takes.
#[derive(Debug, Args)]
pub struct FollowArgs {
    /// The topics
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<TopicName>,
    /// How to read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Fail if a topic does not exist, instead of waiting for it
    #[arg(long)]
    pub no_wait: bool,
}

impl ReadArgs {
    /// Where to start.
    fn start(&self) -> ReadFrom {
        match self.from {
            None => ReadFrom::Position(self.group.clone()),
            Some(From::Start) => ReadFrom::Start,
            Some(From::End) => ReadFrom::End,
            Some(From::At(offset)) => ReadFrom::Offset(offset),
            Some(From::Last(count)) => ReadFrom::Last(count),
        }
    }

    /// Whether the position moves on: always, but for a look from elsewhere.
    fn commits(&self) -> bool {
        self.from.is_none() || self.commit
    }

    /// The form of messages, `lines` where no other was asked for.
    fn form(&self, ctx: &Context, lines: Form) -> Form {
        match &self.format {
            _ if self.raw => Form::Raw,
            Some(format) => Form::Format(format.clone().safe(io::stdout().is_terminal())),
            None if ctx.output.is_json() => Form::Json,
            None => lines,
        }
    }
}

/// Reads what is new.
pub async fn pull(ctx: &Context, args: PullArgs) -> Result<(), CliError> {
    ctx.online(async |client| pull::run(ctx, client, &args).await)
        .await
}

/// Reads messages as they come.
pub async fn follow(ctx: &Context, args: FollowArgs) -> Result<(), CliError> {
    ctx.online(async |client| follow::run(ctx, client, &args).await)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_parse() {
        for (text, from) in [
            ("start", From::Start),
            ("end", From::End),
            ("7", From::At(Offset(7))),
            ("-5", From::Last(5)),
        ] {
            assert_eq!(text.parse(), Ok(from));
        }
        for text in ["", "0", "-0", "-", "x", "+-1", "99999999999999999999"] {
            assert!(text.parse::<From>().is_err(), "{text}");
        }
    }
}
