//! The client's side of the Redis protocol: commands go out in a pipeline, answers come in order.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};
use tokio::sync::oneshot;

use crate::server::Certificate;
use crate::wire::{self, Protocol, Result, Wire};

/// Strings of at least so many bytes are bodies; names and numbers are shorter.
const BODY: usize = 60;

/// What an answer held.
#[derive(Debug, Default)]
pub struct Answer {
    /// Bodies, and their bytes.
    pub bodies: (u64, u64),
    /// What went wrong.
    pub error: Option<String>,
}

/// The protocol's state.
#[derive(Default)]
pub struct Redis {
    waiting: VecDeque<oneshot::Sender<Answer>>,
    /// Elements that the current answer still lacks, and what it has.
    missing: i64,
    answer: Answer,
}

/// A connection.
pub type Connection = Wire<Redis>;

/// Connects, with TLS if there is a certificate.
pub async fn connect(port: u16, tls: Option<&Certificate>) -> Result<Connection> {
    let socket = wire::dial(port).await?;
    let socket: Box<dyn wire::Socket> = match tls {
        Some(tls) => wire::secure(socket, &tls.certificate).await?,
        None => Box::new(socket),
    };
    let connection = Wire::start(socket, Redis::default());
    call(&connection, &[b"PING"]).await?;
    Ok(connection)
}

/// Sends a command; the answer will come.
pub fn send(connection: &Connection, words: &[&[u8]]) -> oneshot::Receiver<Answer> {
    connection.send(|redis, out| {
        out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            out.extend_from_slice(word);
            out.extend_from_slice(b"\r\n");
        }
        let (sender, answer) = oneshot::channel();
        redis.waiting.push_back(sender);
        answer
    })
}

/// Sends a command and waits for its answer.
pub async fn call(connection: &Connection, words: &[&[u8]]) -> Result<Answer> {
    checked(send(connection, words).await?)
}

/// An error if the answer is one.
pub fn checked(mut answer: Answer) -> Result<Answer> {
    match answer.error.take() {
        Some(error) => Err(error.into()),
        None => Ok(answer),
    }
}

impl Redis {
    fn element(&mut self) {
        self.missing -= 1;
        if self.missing == 0 {
            let answer = std::mem::take(&mut self.answer);
            // Whoever asked may have gone.
            let _ = self.waiting.pop_front().map(|asked| asked.send(answer));
        }
    }
}

impl Protocol for Redis {
    fn take(&mut self, input: &mut BytesMut, _: &mut BytesMut) -> Result<()> {
        while let Some(end) = input.iter().position(|&byte| byte == b'\n') {
            let line = std::str::from_utf8(&input[..end])?.trim_end();
            let (kind, rest) = line.split_at_checked(1).ok_or("an empty line")?;
            let mut length = end + 1;
            let mut more = 0;
            match kind {
                "$" => {
                    if let Ok(bytes) = rest.parse::<usize>() {
                        length += bytes + 2;
                        if input.len() < length {
                            break;
                        }
                        let is_body = bytes >= BODY;
                        self.answer.bodies.0 += u64::from(is_body);
                        self.answer.bodies.1 += if is_body { bytes as u64 } else { 0 };
                    }
                }
                "*" => more = rest.parse::<i64>()?.max(0),
                "-" => self.answer.error = Some(rest.to_owned()),
                _ => {}
            }
            input.advance(length);
            self.missing = self.missing.max(1) + more;
            self.element();
        }
        Ok(())
    }

    fn end(&mut self) {
        self.waiting.clear();
    }
}
