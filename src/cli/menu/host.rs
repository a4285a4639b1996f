//! The hosting peer that the menu is, or the one that runs already and is attached to.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::hosting::Hosting;
use crate::client::Client;
use crate::lock::{self, HolderState};
use crate::peer::{self, Stopped};
use crate::types::PeerName;

/// How long the index may take to see the new peer.
const LIVE_WITHIN: Duration = Duration::from_secs(10);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How long the peer may take to end by itself once it is deregistered.
const END_WITHIN: Duration = Duration::from_secs(3);

/// Where the peer of this menu runs.
pub(super) enum Host {
    /// In this process.
    Here(Here),
    /// In another one, about which this is to be said.
    Elsewhere(String),
}

/// A peer in this process.
pub(super) struct Here {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<Stopped, CliError>>,
    ended: bool,
}

impl Host {
    /// Runs the peer here until [`Host::stop`], or finds that it runs elsewhere. Answers once the
    /// index knows it as live, so that it can host what is created next.
    pub(super) async fn start(
        ctx: &Context,
        name: &PeerName,
        client: &Client,
    ) -> Result<Host, CliError> {
        let hosting = Hosting::prepare(ctx, name, ctx.config.index_address(), false).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (listening, listens) = oneshot::channel();
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(hosting.run(shutdown, move |started| {
            // Nobody waits any more only if the menu ends.
            let _ = listening.send(started.address.port());
        }));
        let mut here = Here {
            stop: Some(stop),
            task,
            ended: false,
        };
        match listens.await {
            Ok(port) => {
                here.until_live(client, name, port).await?;
                Ok(Host::Here(here))
            }
            Err(_) => match here.result().await {
                Err(error) if error.code() == "in-use" => Ok(Host::Elsewhere(elsewhere(ctx, name))),
                Err(error) => Err(error),
                Ok(_) => Err(CliError::new(
                    "internal",
                    Exit::Other,
                    "the peer ended before it began",
                )),
            },
        }
    }

    /// What there is to say about where it runs.
    pub(super) fn remark(&self) -> Option<String> {
        match self {
            Host::Here(_) => None,
            Host::Elsewhere(remark) => Some(remark.clone()),
        }
    }

    /// Completes if the peer ends by itself, with what is to be said about that.
    pub(super) async fn ended(&mut self) -> String {
        match self {
            Host::Here(here) if !here.ended => match here.result().await {
                Ok(_) => "This peer was deregistered; it hosts no topics any more.".to_owned(),
                Err(error) => error.short(),
            },
            _ => std::future::pending().await,
        }
    }

    /// Stops a peer that runs here, if it has not ended.
    pub(super) async fn stop(&mut self) -> Result<(), CliError> {
        match self {
            Host::Here(here) if !here.ended => {
                here.stop.take();
                here.result().await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Waits for the end of a peer that was deregistered.
    pub(super) async fn has_left(&mut self) -> Result<(), CliError> {
        if let Host::Here(here) = self {
            // The index tells it; if that got lost it is stopped like any other.
            let _ = tokio::time::timeout(END_WITHIN, here.result()).await;
        }
        self.stop().await
    }
}

impl Here {
    async fn result(&mut self) -> Result<Stopped, CliError> {
        if self.ended {
            return Ok(Stopped::Shutdown);
        }
        let joined = (&mut self.task).await;
        self.ended = true;
        joined.unwrap_or_else(|error| {
            let message = "the peer's task failed";
            Err(CliError::new("internal", Exit::Other, message).detail("cause", error))
        })
    }

    async fn until_live(
        &mut self,
        client: &Client,
        name: &PeerName,
        port: u16,
    ) -> Result<(), CliError> {
        tokio::select! {
            ended = self.result() => ended.map(drop),
            // Without a session it still serves what others know it for; what needs it says so.
            _ = tokio::time::timeout(LIVE_WITHIN, is_live(client, name, port)) => Ok(()),
        }
    }
}

/// Waits until the index knows `name` as live at `port`: an older session may still count.
async fn is_live(client: &Client, name: &PeerName, port: u16) {
    loop {
        if let Ok(info) = client.show_peer(name).await {
            let there = info.addresses.iter().any(|address| address.port() == port);
            if info.live && there {
                return;
            }
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn elsewhere(ctx: &Context, name: &PeerName) -> String {
    let dir = peer::journal_dir(&ctx.config.peer_data_dir(name));
    let holder = lock::holder(&dir);
    let pid = holder.as_ref().and_then(|holder| holder.pid);
    let suspended = holder.is_some_and(|holder| holder.state == HolderState::Stopped);
    let process = match (pid, suspended) {
        (Some(pid), true) => format!(" (process {pid}, suspended)"),
        (Some(pid), false) => format!(" (process {pid})"),
        (None, _) => String::new(),
    };
    format!(
        "Peer {name} is already running{process}; this menu attaches to it and hosts nothing itself."
    )
}
