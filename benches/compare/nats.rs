//! NATS with JetStream: a server for each of synced or not, with TLS or without.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::contest::Contender;
use crate::lanes::{Did, Generator, Lane, Lanes};
use crate::nats_protocol::{self as protocol, Connection, Counter, request};
use crate::server::{Certificate, Place, Server, find, free_port};
use crate::wire::Result;
use crate::work::{ANSWER, TOPICS, Work};

/// Messages of one pull, and how many may be under way.
const PULL: u64 = 5_000;
const AHEAD: u64 = 2 * PULL;
/// Subjects of lookups.
const LOOKUP: &str = "lookup";

/// A running server.
pub struct Nats {
    server: Server,
    responder: Server,
    port: u16,
    certificate: Option<Certificate>,
    durable: bool,
    version: String,
}

/// Starts what can be started; nothing, with a word to people, if the program is not there.
pub async fn start(place: &Place, program: &str) -> Result<Vec<Nats>> {
    let Some((program, version)) = find(program) else {
        return Ok(vec![]);
    };
    let certificate = place.certificate("nats")?;
    let mut all = vec![];
    for durable in [true, false] {
        for certificate in [Some(&certificate), None] {
            let config = configure(place, durable, certificate)?;
            if durable && !understands(&program, &config.path)? {
                println!(
                    "{version} knows no sync_interval (2.10 does): it is measured without a sync \
                     for each message only. Another one: --nats-server PROGRAM"
                );
                break;
            }
            let certificate = certificate.cloned();
            all.push(Nats::start(place, &program, &version, config, certificate).await?);
        }
    }
    Ok(all)
}

struct Config {
    name: String,
    path: String,
    port: u16,
    durable: bool,
}

fn configure(place: &Place, durable: bool, tls: Option<&Certificate>) -> Result<Config> {
    let sync = if durable { "synced" } else { "default" };
    let name = format!(
        "nats-{sync}-{}",
        if tls.is_some() { "tls" } else { "plain" }
    );
    let port = free_port()?;
    let store = place.folder(&name)?;
    let sync = if durable { "sync_interval: always" } else { "" };
    let mut text = format!(
        "host: 127.0.0.1\nport: {port}\njetstream {{\n store_dir: {store:?}\n {sync}\n}}\n"
    );
    if let Some(tls) = tls {
        let Certificate { certificate, key } = tls;
        text += &format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}\n");
    }
    let path = place.path().join(format!("{name}.conf"));
    fs::write(&path, text)?;
    Ok(Config {
        name,
        path: path.display().to_string(),
        port,
        durable,
    })
}

fn understands(program: &str, config: &str) -> Result<bool> {
    let tried = Command::new(program).args(["-t", "-c", config]).output()?;
    Ok(tried.status.success())
}

impl Nats {
    async fn start(
        place: &Place,
        program: &str,
        version: &str,
        config: Config,
        certificate: Option<Certificate>,
    ) -> Result<Nats> {
        let mut command = Command::new(program);
        command.args(["-c", &config.path]);
        let mut server = Server::start(place, &config.name, command)?;
        let dial = async || protocol::connect(config.port, certificate.as_ref()).await;
        let connection = server.ready(dial).await?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--respond").arg(config.port.to_string());
        command.args(certificate.as_ref().map(|tls| &tls.certificate));
        let responder = format!("{}-responder", config.name);
        let responder = Server::start(place, &responder, command)?;
        let mut nats = Nats {
            server,
            responder,
            port: config.port,
            certificate,
            durable: config.durable,
            version: version.to_owned(),
        };
        let ask = async || {
            let answer = request(&connection, "lookup.0", b"?").await?;
            if answer == ANSWER {
                Ok(())
            } else {
                Err("nobody answers".into())
            }
        };
        nats.responder.ready(ask).await?;
        Ok(nats)
    }

    async fn connect(&self) -> Result<Connection> {
        protocol::connect(self.port, self.certificate.as_ref()).await
    }

    /// Who does the work: nobody where syncing makes no difference.
    pub async fn contenders(&self, work: Work) -> Result<Vec<Contender>> {
        if self.durable && !matches!(work, Work::Publish { .. }) {
            return Ok(vec![]);
        }
        Ok(vec![Contender {
            system: "nats",
            durable: self.durable,
            tls: self.certificate.is_some(),
            version: self.version.clone(),
            generator: self.generator(work).await?,
            servers: match work {
                Work::Lookup { .. } => vec![self.server.pid(), self.responder.pid()],
                _ => vec![self.server.pid()],
            },
        }])
    }

    async fn generator(&self, work: Work) -> Result<Box<dyn Generator>> {
        match work {
            Work::Publish { size, in_flight } => {
                let connection = self.connect().await?;
                let stream = create_stream(&connection).await?;
                let lane = || Publish::new(&connection, &stream, size);
                Ok(Lanes::boxed((0..in_flight).map(|_| lane())))
            }
            Work::Lookup { peers, in_flight } => {
                let mut lanes = vec![];
                for _ in 0..peers {
                    let connection = self.connect().await?;
                    lanes.extend((0..in_flight).map(|lane| Lookup(connection.clone(), lane)));
                }
                Ok(Lanes::boxed(lanes))
            }
            Work::Pull { size, messages } => {
                let connection = self.connect().await?;
                Ok(Lanes::boxed(
                    [Pull::fill(connection, size, messages).await?],
                ))
            }
        }
    }
}

/// Makes a stream in files; its name is its subject.
async fn create_stream(connection: &Connection) -> Result<String> {
    let name = format!("S{:08x}", rand::random::<u32>());
    let config = json!({"name": name, "subjects": [name], "storage": "file", "num_replicas": 1,
                        "retention": "limits", "discard": "old", "max_consumers": -1,
                        "max_msgs": -1, "max_bytes": -1, "max_age": 0});
    call(connection, &format!("STREAM.CREATE.{name}"), &config).await?;
    Ok(name)
}

async fn call(connection: &Connection, what: &str, body: &Value) -> Result<Value> {
    let subject = format!("$JS.API.{what}");
    let answer = request(connection, &subject, body.to_string().as_bytes()).await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    match answer.get("error") {
        Some(error) => Err(format!("{what}: {error}").into()),
        None => Ok(answer),
    }
}

struct Publish {
    connection: Connection,
    subject: String,
    body: Vec<u8>,
}

impl Publish {
    fn new(connection: &Connection, subject: &str, size: usize) -> Publish {
        Publish {
            connection: connection.clone(),
            subject: subject.to_owned(),
            body: vec![b'x'; size],
        }
    }
}

impl Lane for Publish {
    async fn once(&mut self) -> Result<Did> {
        let answer = request(&self.connection, &self.subject, &self.body).await?;
        // {"stream":"S","seq":1}
        if !answer.windows(5).any(|five| five == b"\"seq\"") {
            return Err(String::from_utf8_lossy(&answer).into());
        }
        Ok(Did {
            ops: 1,
            bytes: self.body.len() as u64,
        })
    }
}

/// Asks for one subject after the other.
struct Lookup(Connection, usize);

impl Lane for Lookup {
    async fn once(&mut self) -> Result<Did> {
        self.1 = (self.1 + 1) % TOPICS;
        let subject = format!("{LOOKUP}.{:07}", self.1);
        let answer = request(&self.0, &subject, b"?").await?;
        if answer != ANSWER {
            return Err("an answer to something else".into());
        }
        Ok(Did { ops: 1, bytes: 0 })
    }
}

/// Reads a stream from its start with a new consumer.
struct Pull {
    connection: Connection,
    stream: String,
    inbox: String,
    counter: Arc<Counter>,
    size: usize,
    messages: u64,
}

impl Pull {
    async fn fill(connection: Connection, size: usize, messages: u64) -> Result<Pull> {
        let stream = create_stream(&connection).await?;
        let mut publish = Publish::new(&connection, &stream, size);
        for number in 1..=messages {
            if number % PULL == 0 || number == messages {
                publish.once().await?;
            } else {
                let head = format!("PUB {stream} {size}\r\n");
                connection.send(|_, out| protocol::put(out, &head, &publish.body));
            }
        }
        let inbox = format!("_DELIVER.{:016x}", rand::random::<u64>());
        let counter = connection.send(|nats, out| nats.count(&inbox, out));
        Ok(Pull {
            connection,
            stream,
            inbox,
            counter,
            size,
            messages,
        })
    }

    async fn consumer(&self) -> Result<String> {
        let config = json!({"stream_name": self.stream, "config": {
            "ack_policy": "none", "deliver_policy": "all", "replay_policy": "instant",
            "inactive_threshold": 60_000_000_000u64, "mem_storage": true}});
        let create = format!("CONSUMER.CREATE.{}", self.stream);
        let made = call(&self.connection, &create, &config).await?;
        let name = made.get("name").and_then(Value::as_str);
        Ok(name.ok_or("a consumer without a name")?.to_owned())
    }

    fn ask(&self, consumer: &str) {
        let body = json!({ "batch": PULL }).to_string();
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{consumer}", self.stream);
        let head = format!("PUB {next} {} {}\r\n", self.inbox, body.len());
        self.connection
            .send(|_, out| protocol::put(out, &head, body.as_bytes()));
    }
}

impl Lane for Pull {
    async fn once(&mut self) -> Result<Did> {
        *self.counter.seen.lock() = (0, 0);
        let consumer = self.consumer().await?;
        let mut asked = 0;
        loop {
            let (messages, bytes) = *self.counter.seen.lock();
            if messages >= self.messages {
                let right = (self.messages, self.messages * self.size as u64);
                if (messages, bytes) != right {
                    return Err(format!("{messages} messages of {bytes} bytes came").into());
                }
                break;
            }
            while asked < self.messages && asked < messages + AHEAD {
                self.ask(&consumer);
                asked += PULL;
            }
            self.counter.more.notified().await;
        }
        let delete = format!("CONSUMER.DELETE.{}.{consumer}", self.stream);
        call(&self.connection, &delete, &json!({})).await?;
        Ok(Did {
            ops: self.messages,
            bytes: self.messages * self.size as u64,
        })
    }
}

/// Answers lookups until it is ended.
pub async fn respond(arguments: &[String]) -> Result<()> {
    let port = arguments.first().ok_or("no port")?.parse()?;
    let certificate = arguments.get(1).map(|path| Certificate {
        certificate: path.into(),
        key: path.into(),
    });
    let connection = protocol::connect(port, certificate.as_ref()).await?;
    connection.send(|nats, out| nats.serve(&format!("{LOOKUP}.*"), ANSWER, out));
    std::future::pending().await
}
