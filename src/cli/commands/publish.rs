//! `waypost publish`: messages into a topic.

mod copies;
mod input;
mod report;
mod send;

use std::ffi::OsString;
use std::num::{NonZeroU8, NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::types::{PeerName, TopicName};

/// What `publish` takes.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The topic
    pub topic: TopicName,
    /// The message; - or nothing: standard input, one message a line
    #[arg(conflicts_with = "file")]
    pub message: Option<OsString>,
    /// The message is this file's content
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The messages' key
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A header, may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME:VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// Send the message so often
    #[arg(long, value_name = "N")]
    pub count: Option<NonZeroU64>,
    /// Send at most so many messages a second
    #[arg(long, value_name = "N")]
    pub rate: Option<NonZeroU32>,
    /// Copies that must be durable before it counts as sent
    #[arg(long, value_name = "COPIES")]
    pub min_ack: Option<NonZeroU8>,
    /// While no host is live, wait for one instead of leaving messages with the index; so does --min-ack
    #[arg(long)]
    pub no_hold: bool,
    /// Fail if the topic does not exist
    #[arg(long)]
    pub no_create: bool,
    /// The peer that is to host a topic created now
    #[arg(long, value_name = "PEER", conflicts_with = "no_create")]
    pub host: Option<PeerName>,
}

/// A header that has no colon.
#[derive(Debug, thiserror::Error)]
#[error("{found:?} is not a header; expected NAME:VALUE")]
pub struct HeaderError {
    found: String,
}

fn header(text: &str) -> Result<(String, String), HeaderError> {
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() => {
            Ok((name.to_owned(), value.trim_start().to_owned()))
        }
        _ => Err(HeaderError {
            found: text.to_owned(),
        }),
    }
}

/// Publishes.
pub async fn run(ctx: &Context, args: PublishArgs) -> Result<(), CliError> {
    copies::check(args.min_ack)?;
    let input = input::Input::open(&args)?;
    ctx.online(async |client| send::run(ctx, client, &args, input).await)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_split_at_the_first_colon() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(header("a: b:c").unwrap(), pair("a", "b:c"));
        assert_eq!(header("a:").unwrap(), pair("a", ""));
        assert!(header("a").is_err() && header(":b").is_err());
    }
}
