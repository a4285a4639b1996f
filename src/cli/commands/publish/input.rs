//! Where the messages of a `publish` come from. Bodies are bytes: empty and binary ones are fine, and
//! none is read beyond the bound of a message.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader, Stdin};

use super::PublishArgs;
use crate::cli::error::{CliError, Exit, too_large};
use crate::cli::output;
use crate::client::Message;
use crate::limits;

/// One byte more tells a message at the bound from one above it.
const READ_BYTES: u64 = limits::MESSAGE_BYTES as u64 + 1;

/// Messages to come.
pub(super) struct Input {
    template: Message,
    source: Source,
}

enum Source {
    /// The same message, so often.
    Repeated { body: Bytes, left: u64 },
    /// One message a line.
    Lines {
        reader: BufReader<Stdin>,
        number: u64,
    },
}

impl Input {
    pub(super) fn open(args: &PublishArgs) -> Result<Input, CliError> {
        let template = Message {
            key: args.key.clone().map(Bytes::from),
            headers: args
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), Bytes::from(value.clone())))
                .collect(),
            body: Bytes::new(),
        };
        let body = match (&args.file, &args.message) {
            (Some(file), _) => Some(whole_file(file)?),
            (None, Some(text)) if text != "-" => Some(Bytes::copy_from_slice(text.as_bytes())),
            _ => None,
        };
        let source = match body {
            Some(body) => Source::Repeated {
                body,
                left: args.count.map_or(1, NonZeroU64::get),
            },
            None => lines(args)?,
        };
        Ok(Input { template, source })
    }

    /// How many will come, where that is known.
    pub(super) fn total(&self) -> Option<u64> {
        match &self.source {
            Source::Repeated { left, .. } => Some(*left),
            Source::Lines { .. } => None,
        }
    }

    /// The next message. Cancellation safe for repeated messages only; a line may be lost.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, CliError> {
        let body = match &mut self.source {
            Source::Repeated { left: 0, .. } => None,
            Source::Repeated { body, left } => {
                *left -= 1;
                Some(body.clone())
            }
            Source::Lines { reader, number } => {
                *number += 1;
                read_line(reader, *number).await?
            }
        };
        Ok(body.map(|body| Message {
            body,
            ..self.template.clone()
        }))
    }
}

fn lines(args: &PublishArgs) -> Result<Source, CliError> {
    if args.count.is_some() {
        let message = "--count repeats one message, and standard input has many";
        return Err(CliError::new("usage", Exit::Usage, message)
            .help("name the message, or its file with --file"));
    }
    if std::io::stdin().is_terminal() {
        output::say("each line is a message; end with Ctrl-D");
    }
    Ok(Source::Lines {
        reader: BufReader::new(tokio::io::stdin()),
        number: 0,
    })
}

fn whole_file(path: &Path) -> Result<Bytes, CliError> {
    let failed = |error| {
        let message = format!("cannot read {}", path.display());
        CliError::new("file", Exit::Usage, message).detail("cause", error)
    };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size >= READ_BYTES {
        return Err(too_large(size, limits::MESSAGE_BYTES as u64));
    }
    let mut body = Vec::with_capacity(size as usize);
    file.take(READ_BYTES)
        .read_to_end(&mut body)
        .map_err(failed)?;
    // A pipe tells no size beforehand.
    if body.len() as u64 >= READ_BYTES {
        return Err(too_large(READ_BYTES, limits::MESSAGE_BYTES as u64).note("at least"));
    }
    Ok(body.into())
}

/// A line without its end; the last one may lack it.
async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    number: u64,
) -> Result<Option<Bytes>, CliError> {
    let mut line = vec![];
    // The line's end counts as one byte more.
    let read = reader
        .take(READ_BYTES + 1)
        .read_until(b'\n', &mut line)
        .await;
    let read = read.map_err(|error| {
        CliError::new("input", Exit::Other, "cannot read standard input").detail("cause", error)
    })?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if line.len() as u64 >= READ_BYTES {
        let error = too_large(line.len() as u64, limits::MESSAGE_BYTES as u64);
        return Err(error.note(format!("at least, in line {number}")));
    }
    Ok(Some(line.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(input: &[u8]) -> Result<Vec<Bytes>, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut reader = BufReader::new(input);
            let mut lines = vec![];
            while let Some(line) = read_line(&mut reader, lines.len() as u64 + 1).await? {
                lines.push(line);
            }
            Ok(lines)
        })
    }

    #[test]
    fn each_line_is_a_message_whatever_its_bytes() {
        let lines = read_all(b"a\n\n\xff\0\r\nlast").unwrap();
        assert_eq!(lines, [&b"a"[..], b"", b"\xff\0\r", b"last"]);
        assert!(read_all(b"").unwrap().is_empty());
    }

    #[test]
    fn a_line_over_the_bound_is_refused_with_its_number() {
        let mut input = b"short\n".to_vec();
        input.resize(input.len() + limits::MESSAGE_BYTES, b'x');
        input.push(b'\n');
        assert_eq!(read_all(&input).unwrap()[1].len(), limits::MESSAGE_BYTES);
        input.pop();
        input.extend_from_slice(b"xx\n");
        let error = read_all(&input).unwrap_err();
        assert_eq!((error.code(), error.exit()), ("too-large", Exit::Usage));
        assert!(error.to_string().contains("in line 2"), "{error}");
        assert!(error.to_string().contains("4194304 bytes"), "{error}");
    }

    #[test]
    fn a_file_is_one_message() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        std::fs::write(&path, b"a\nb\0").unwrap();
        assert_eq!(whole_file(&path).unwrap(), &b"a\nb\0"[..]);
        let file = File::create(&path).unwrap();
        file.set_len(100 << 20).unwrap();
        let error = whole_file(&path).unwrap_err();
        assert!(error.to_string().contains("104857600 bytes"), "{error}");
        assert_eq!(
            whole_file(&folder.path().join("no")).unwrap_err().exit(),
            Exit::Usage
        );
    }
}
