//! Redis with an append-only file that is synced before each answer; messages are entries of a
//! stream.

use std::process::Command;

use crate::contest::Contender;
use crate::lanes::{Did, Generator, Lane, Lanes};
use crate::redis_protocol::{self as protocol, Connection, call, checked, send};
use crate::server::{Certificate, Place, Server, find, free_port};
use crate::wire::Result;
use crate::work::{ANSWER, TOPICS, Work};

/// Entries read at once; two such ranges are under way.
const RANGE: u64 = 5_000;

/// A running server.
pub struct Redis {
    server: Server,
    port: u16,
    tls: Option<(u16, Certificate)>,
    version: String,
}

/// Starts it; `None`, with a word to people, if the program is not there.
pub async fn start(place: &Place, program: &str) -> Result<Option<Redis>> {
    let Some((program, version)) = find(program) else {
        return Ok(None);
    };
    let (port, tls_port) = (free_port()?, free_port()?);
    let certificate = place.certificate("redis")?;
    let secure = (tls_port, certificate);
    let folder = place.folder("redis")?;
    for tls in [Some(secure), None] {
        let mut command = Command::new(&program);
        let text = format!(
            "--bind 127.0.0.1 --port {port} --save  --appendonly yes --appendfsync always \
             --auto-aof-rewrite-percentage 0"
        );
        command.args(text.split(' ')).arg("--dir").arg(&folder);
        if let Some((tls_port, files)) = &tls {
            command.args([
                "--tls-port",
                &tls_port.to_string(),
                "--tls-auth-clients",
                "no",
            ]);
            command.arg("--tls-cert-file").arg(&files.certificate);
            command.arg("--tls-key-file").arg(&files.key);
            command.arg("--tls-ca-cert-file").arg(&files.certificate);
        }
        let mut server = Server::start(place, "redis", command)?;
        match server
            .ready(async || protocol::connect(port, None).await)
            .await
        {
            Ok(_) => {
                return Ok(Some(Redis {
                    server,
                    port,
                    tls,
                    version,
                }));
            }
            Err(error) if tls.is_some() => println!("Redis is measured without TLS: {error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

impl Redis {
    /// Who does the work.
    pub async fn contenders(&self, work: Work) -> Result<Vec<Contender>> {
        let mut all = vec![];
        for tls in [self.tls.as_ref(), None] {
            // Without TLS in the program, there is only one.
            if tls.is_none() && self.tls.is_none() && !all.is_empty() {
                break;
            }
            all.push(Contender {
                system: "redis",
                durable: !matches!(work, Work::Lookup { .. }),
                tls: tls.is_some(),
                version: self.version.clone(),
                generator: self.generator(work, tls).await?,
                servers: vec![self.server.pid()],
            });
        }
        Ok(all)
    }

    async fn connect(&self, tls: Option<&(u16, Certificate)>) -> Result<Connection> {
        match tls {
            Some((port, certificate)) => protocol::connect(*port, Some(certificate)).await,
            None => protocol::connect(self.port, None).await,
        }
    }

    async fn generator(
        &self,
        work: Work,
        tls: Option<&(u16, Certificate)>,
    ) -> Result<Box<dyn Generator>> {
        let stream = format!("s{:08x}", rand::random::<u32>());
        match work {
            Work::Publish { size, in_flight } => {
                let connection = self.connect(tls).await?;
                let lane = || Publish {
                    connection: connection.clone(),
                    stream: stream.clone(),
                    body: vec![b'x'; size],
                };
                Ok(Lanes::boxed((0..in_flight).map(|_| lane())))
            }
            Work::Lookup { peers, in_flight } => {
                let mut lanes = vec![];
                for _ in 0..peers {
                    let connection = self.connect(tls).await?;
                    set_keys(&connection).await?;
                    lanes.extend((0..in_flight).map(|lane| Lookup(connection.clone(), lane)));
                }
                Ok(Lanes::boxed(lanes))
            }
            Work::Pull { size, messages } => {
                let connection = self.connect(tls).await?;
                fill(&connection, &stream, size, messages).await?;
                Ok(Lanes::boxed([Pull {
                    connection,
                    stream,
                    size,
                    messages,
                }]))
            }
        }
    }
}

async fn set_keys(connection: &Connection) -> Result<()> {
    let set = |number| send(connection, &[b"SET", key(number).as_bytes(), ANSWER]);
    let answers: Vec<_> = (0..TOPICS).map(set).collect();
    for answer in answers {
        checked(answer.await?)?;
    }
    Ok(())
}

async fn fill(connection: &Connection, stream: &str, size: usize, messages: u64) -> Result<()> {
    let body = vec![b'x'; size];
    let mut answers = vec![];
    for number in 1..=messages {
        let id = format!("1-{number}");
        let words: [&[u8]; 5] = [b"XADD", stream.as_bytes(), id.as_bytes(), b"b", &body];
        answers.push(send(connection, &words));
        if number % RANGE == 0 || number == messages {
            for answer in answers.drain(..) {
                checked(answer.await?)?;
            }
        }
    }
    Ok(())
}

fn key(number: usize) -> String {
    format!("lookup/{number:07}")
}

struct Publish {
    connection: Connection,
    stream: String,
    body: Vec<u8>,
}

impl Lane for Publish {
    async fn once(&mut self) -> Result<Did> {
        let words: [&[u8]; 5] = [b"XADD", self.stream.as_bytes(), b"*", b"b", &self.body];
        call(&self.connection, &words).await?;
        Ok(Did {
            ops: 1,
            bytes: self.body.len() as u64,
        })
    }
}

/// Asks for one key after the other.
struct Lookup(Connection, usize);

impl Lane for Lookup {
    async fn once(&mut self) -> Result<Did> {
        self.1 = (self.1 + 1) % TOPICS;
        let answer = call(&self.0, &[b"GET", key(self.1).as_bytes()]).await?;
        if answer.bodies != (1, ANSWER.len() as u64) {
            return Err("an answer to something else".into());
        }
        Ok(Did { ops: 1, bytes: 0 })
    }
}

/// Reads a stream from its start.
struct Pull {
    connection: Connection,
    stream: String,
    size: usize,
    messages: u64,
}

impl Lane for Pull {
    async fn once(&mut self) -> Result<Did> {
        let range = |first: u64| {
            let (from, to) = (format!("1-{first}"), format!("1-{}", first + RANGE - 1));
            let words = [self.stream.as_bytes(), from.as_bytes(), to.as_bytes()];
            send(&self.connection, &[b"XRANGE", words[0], words[1], words[2]])
        };
        let mut did = Did { ops: 0, bytes: 0 };
        let mut next = range(1);
        for first in (1..=self.messages).step_by(RANGE as usize) {
            let current = std::mem::replace(&mut next, range(first + RANGE));
            let (messages, bytes) = checked(current.await?)?.bodies;
            did.ops += messages;
            did.bytes += bytes;
        }
        checked(next.await?)?;
        if did.bytes != self.messages * self.size as u64 {
            return Err(format!("{} messages of {} bytes came", did.ops, did.bytes).into());
        }
        Ok(did)
    }
}
