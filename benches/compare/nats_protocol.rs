//! The client's side of the NATS protocol, as far as the jobs need it.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, oneshot};

use crate::server::Certificate;
use crate::wire::{self, Protocol, Result, Wire};

/// Subscriptions, by number: answers, messages of a stream, and requests to be answered.
const ANSWERS: &str = "1";
const STREAM: &str = "2";
const REQUESTS: &str = "3";
/// What comes before a status, which carries no message.
const STATUS: &[u8] = b"NATS/1.0 ";

/// Messages that came, counted.
#[derive(Debug, Default)]
pub struct Counter {
    /// Messages, and bytes of their bodies.
    pub seen: Mutex<(u64, u64)>,
    /// Told when more came.
    pub more: Notify,
}

/// The protocol's state.
pub struct Nats {
    inbox: String,
    waiting: Vec<Option<oneshot::Sender<Bytes>>>,
    free: Vec<usize>,
    counter: Arc<Counter>,
    answer: &'static [u8],
}

/// A connection.
pub type Connection = Wire<Nats>;

/// Connects, with TLS if there is a certificate.
pub async fn connect(port: u16, tls: Option<&Certificate>) -> Result<Connection> {
    let mut socket = wire::dial(port).await?;
    // The server speaks first, in plain text.
    while socket.read_u8().await? != b'\n' {}
    let socket: Box<dyn wire::Socket> = match tls {
        Some(tls) => wire::secure(socket, &tls.certificate).await?,
        None => Box::new(socket),
    };
    let inbox = format!("_INBOX.{:016x}", rand::random::<u64>());
    let hello = json!({
        "verbose": false, "pedantic": false, "headers": true, "no_responders": true,
        "tls_required": tls.is_some(), "lang": "rust", "version": "1", "protocol": 1,
    });
    let hello = format!("CONNECT {hello}\r\nSUB {inbox}.* {ANSWERS}\r\n");
    let connection = Wire::start(
        socket,
        Nats {
            inbox,
            waiting: vec![],
            free: vec![],
            counter: Arc::default(),
            answer: &[],
        },
    );
    connection.send(|_, out| out.extend_from_slice(hello.as_bytes()));
    Ok(connection)
}

/// Asks and waits for the answer.
pub async fn request(connection: &Connection, subject: &str, body: &[u8]) -> Result<Bytes> {
    let answer = connection.send(|nats, out| nats.request(subject, body, out));
    Ok(answer.await?)
}

impl Nats {
    /// Sends a request; the answer will come.
    pub fn request(
        &mut self,
        subject: &str,
        body: &[u8],
        out: &mut BytesMut,
    ) -> oneshot::Receiver<Bytes> {
        let (sender, answer) = oneshot::channel();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.waiting.push(None);
            self.waiting.len() - 1
        });
        self.waiting[slot] = Some(sender);
        let head = format!("PUB {subject} {}.{slot} {}\r\n", self.inbox, body.len());
        put(out, &head, body);
        answer
    }

    /// Subscribes to messages that are only counted.
    pub fn count(&self, subject: &str, out: &mut BytesMut) -> Arc<Counter> {
        out.extend_from_slice(format!("SUB {subject} {STREAM}\r\n").as_bytes());
        Arc::clone(&self.counter)
    }

    /// Subscribes to requests and answers each with `answer`.
    pub fn serve(&mut self, subject: &str, answer: &'static [u8], out: &mut BytesMut) {
        self.answer = answer;
        out.extend_from_slice(format!("SUB {subject} {REQUESTS}\r\nPING\r\n").as_bytes());
    }

    fn message(&mut self, head: &Head<'_>, body: Bytes, out: &mut BytesMut) {
        match head.subscription {
            REQUESTS => {
                let head = format!("PUB {} {}\r\n", head.reply, self.answer.len());
                put(out, &head, self.answer);
            }
            STREAM => self.counted(&body),
            _ => self.answered(head.subject, body),
        }
    }

    fn counted(&self, body: &Bytes) {
        if body.is_empty() || body.starts_with(STATUS) {
            return;
        }
        let mut seen = self.counter.seen.lock();
        seen.0 += 1;
        seen.1 += body.len() as u64;
    }

    fn answered(&mut self, subject: &str, body: Bytes) {
        let slot = subject
            .rsplit('.')
            .next()
            .and_then(|slot| slot.parse().ok());
        let waiting =
            slot.and_then(|slot: usize| self.waiting.get_mut(slot)?.take().zip(Some(slot)));
        if let Some((waiting, slot)) = waiting {
            self.free.push(slot);
            // Whoever asked may have gone.
            let _ = waiting.send(body);
        }
    }
}

/// A publication.
pub fn put(out: &mut BytesMut, head: &str, body: &[u8]) {
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

/// What stands before a message.
struct Head<'a> {
    subject: &'a str,
    subscription: &'a str,
    reply: &'a str,
    headers: usize,
    total: usize,
}

impl<'a> Head<'a> {
    /// Of `MSG subject sid [reply] bytes`, or of `HMSG subject sid [reply] headers bytes`.
    fn parse(line: &'a str, has_headers: bool) -> Option<Head<'a>> {
        let mut words = line.split_ascii_whitespace();
        let (_, subject, subscription) = (words.next()?, words.next()?, words.next()?);
        let mut last = words.next_back()?;
        let total = last.parse().ok()?;
        let mut headers = 0;
        if has_headers {
            last = words.next_back()?;
            headers = last.parse().ok()?;
        }
        Some(Head {
            subject,
            subscription,
            reply: words.next().unwrap_or_default(),
            headers,
            total,
        })
    }
}

impl Protocol for Nats {
    fn take(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<()> {
        let before = self.counter.seen.lock().0;
        while let Some(end) = input.iter().position(|&byte| byte == b'\n') {
            let line = std::str::from_utf8(&input[..end])?;
            let has_headers = line.starts_with("HMSG");
            if !has_headers && !line.starts_with("MSG") {
                if line.starts_with("PING") {
                    out.extend_from_slice(b"PONG\r\n");
                } else if line.starts_with("-ERR") {
                    return Err(line.into());
                }
                input.advance(end + 1);
                continue;
            }
            let head = Head::parse(line, has_headers).ok_or("a broken message")?;
            let length = end + 1 + head.total + 2;
            if input.len() < length {
                break;
            }
            // The head is read again from where it no longer borrows the input.
            let whole = input.split_to(length).freeze();
            let line = std::str::from_utf8(&whole[..end])?;
            let head = Head::parse(line, has_headers).ok_or("a broken message")?;
            let body = whole.slice(end + 1 + head.headers..end + 1 + head.total);
            self.message(&head, body, out);
        }
        if self.counter.seen.lock().0 > before {
            self.counter.more.notify_one();
        }
        Ok(())
    }

    fn end(&mut self) {
        self.waiting.clear();
        self.free.clear();
        self.counter.more.notify_one();
    }
}
