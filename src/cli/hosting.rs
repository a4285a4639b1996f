//! Running a hosting peer from the command line: for `peer`, `up` and the menu.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use super::context::Context;
use super::error::{CliError, Exit};
use super::takeover::{in_use, look_for_port, take_over};
use crate::client::{IndexAddress, describe};
use crate::config::Host;
use crate::journal::{self, OpenError, RecoveryReport};
use crate::peer::{self, Listen, PeerError, PeerOptions, Started, Stopped};
use crate::transport::{Identity, KnownIndex};
use crate::types::PeerName;

const MB: u64 = 1_000_000;

/// A peer that is ready to run.
pub struct Hosting {
    options: PeerOptions,
    name: PeerName,
}

impl Hosting {
    /// Loads or makes the identity of `name` and resolves what the config says about it. With
    /// `take_over`, ends the process that holds its data.
    pub async fn prepare(
        ctx: &Context,
        name: &PeerName,
        index: IndexAddress,
        end_holder: bool,
    ) -> Result<Hosting, CliError> {
        let config = &ctx.config;
        let certs = config.certs_dir();
        let dir = peer::journal_dir(&config.peer_data_dir(name));
        if end_holder {
            take_over(&dir).await?;
        }
        let listen = listen(ctx).await?;
        // Before anything is made: a peer on a taken port leaves no trace.
        if let Listen::Exactly(bind) = listen {
            look_for_port(bind, &dir)?;
        }
        let (identity, created) = Identity::load_or_create(&certs, name.as_str())?;
        if created {
            tracing::info!(peer = %name, key = %identity.fingerprint(), "made a new identity");
        }
        let mut journal = journal::Options::new(dir);
        journal.segment_bytes = config.peer_node.segment_bytes;
        journal.checkpoint_bytes = journal.segment_bytes;
        journal.sort_bytes_per_s = config.peer_node.sort_mb_per_s.saturating_mul(MB);
        journal.tail_cache_bytes =
            usize::try_from(config.peer_node.tail_cache_bytes).unwrap_or(usize::MAX);
        Ok(Hosting {
            options: PeerOptions {
                identity,
                name: name.clone(),
                index: vec![index],
                known_index: Some(KnownIndex::new(&certs)),
                listen,
                advertise: advertise(ctx).await?,
                keeps_copies: config.peer_node.replica,
                repair_bytes_per_s: config.peer_node.repair_mb_per_s.saturating_mul(MB),
                journal,
            },
            name: name.clone(),
        })
    }

    /// Runs it until `shutdown`; `started` is called once it listens.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
        started: impl FnOnce(&Started),
    ) -> Result<Stopped, CliError> {
        let name = self.name;
        let announce = |begun: &Started| {
            announce(&name, begun);
            started(begun);
        };
        let stopped = peer::run(self.options, shutdown, announce).await?;
        match stopped {
            Stopped::Shutdown => {
                tracing::info!(peer = %name, "Received exit signal. Shutting down...")
            }
            Stopped::Deregistered => {
                tracing::info!(peer = %name, "Unregistered peer {name}; it has stopped")
            }
        }
        Ok(stopped)
    }
}

fn announce(name: &PeerName, started: &Started) {
    let address = started.address;
    let report = &started.recovery;
    tracing::info!(
        peer = %name, entries = report.entries, clean = report.was_clean,
        "Peer {name} listening on {address}"
    );
    warn_of_damage(name, report);
}

fn warn_of_damage(name: &PeerName, report: &RecoveryReport) {
    if report.torn_bytes > 0 {
        tracing::warn!(
            peer = %name, bytes = report.torn_bytes,
            "the end of the journal was never acknowledged and has been cut off"
        );
    }
    for damage in &report.damage {
        tracing::error!(
            peer = %name, segment = damage.segment, from = damage.from, to = damage.to,
            "the journal is damaged ({}); what lies there is not served", damage.what
        );
    }
}

/// Resolves an address of this machine that a config key names.
pub async fn resolve(key: &'static str, host: &Host, port: u16) -> Result<SocketAddr, CliError> {
    let fail = |cause: String| {
        CliError::new(
            "config",
            Exit::Usage,
            format!("{key}: {host} is no address of this machine"),
        )
        .detail("cause", cause)
        .help("waypost config show")
    };
    let resolved = tokio::net::lookup_host(host.with_port(port)).await;
    let mut resolved = resolved.map_err(|error| fail(error.to_string()))?;
    resolved
        .next()
        .ok_or_else(|| fail("the name resolves to nothing".to_owned()))
}

async fn listen(ctx: &Context) -> Result<Listen, CliError> {
    let peer = &ctx.config.peer_node;
    Ok(match peer.port {
        Some(port) => Listen::Exactly(resolve("peer_node.ip", &peer.ip, port).await?),
        None => Listen::FirstFree(resolve("peer_node.ip", &peer.ip, peer.base_port).await?),
    })
}

async fn advertise(ctx: &Context) -> Result<Option<IpAddr>, CliError> {
    match &ctx.config.peer_node.advertise_ip {
        Some(host) => Ok(Some(resolve("peer_node.advertise_ip", host, 0).await?.ip())),
        None => Ok(None),
    }
}

impl From<PeerError> for CliError {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Journal(error) => error.into(),
            PeerError::Bind(error) => error.into(),
            PeerError::Refused(error) => (*error).into(),
            PeerError::Fenced { .. } => CliError::new("fenced", Exit::Conflict, error.to_string())
                .help("run one `waypost peer` per identity; choose another with --id"),
            PeerError::JournalFailed(_) => {
                CliError::new("storage-failed", Exit::Damaged, describe(&error))
                    .help("check the disk, then start the peer again: it finds out what is there")
            }
            PeerError::Thread { .. } => CliError::new("internal", Exit::Other, error.to_string()),
        }
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        match &error {
            OpenError::Locked { dir, holder } => in_use(dir, holder),
            OpenError::Io { .. } => CliError::new("storage", Exit::Other, error.to_string())
                .causes(&error)
                .help("check the folder's owner, rights and free space"),
            OpenError::SegmentBytes { .. } => {
                CliError::new("config", Exit::Usage, error.to_string()).help("waypost config show")
            }
            _ => CliError::new("damaged", Exit::Damaged, error.to_string()).causes(&error),
        }
    }
}
