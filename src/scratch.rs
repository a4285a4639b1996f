//! A temporary folder on free ports in which this program runs as other processes: what the
//! demonstration and the bench play in.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A temporary folder that only this user can read; gone when dropped, unless it is to stay.
pub(crate) struct Scratch {
    path: PathBuf,
    keep: bool,
    program: PathBuf,
    /// The port of the index in [`Scratch::config`].
    pub(crate) port: u16,
    base_port: u16,
}

impl Scratch {
    /// A new folder `waypost-PURPOSE-...` below `parent`, which is the system's one for temporary
    /// things unless given.
    pub(crate) fn new(purpose: &str, parent: Option<&Path>, keep: bool) -> io::Result<Scratch> {
        let name = format!("waypost-{purpose}-{:016x}", rand::random::<u64>());
        let path = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = path.join(name);
        let program = std::env::current_exe()?;
        let (port, base_port) = free_ports()?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Scratch {
            path,
            keep,
            program,
            port,
            base_port,
        })
    }

    /// Where everything lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder, if it stays.
    pub(crate) fn kept(&self) -> Option<PathBuf> {
        self.keep.then(|| self.path.clone())
    }

    /// Writes `config.json`: an index and peers on loopback, and `node` more for the peers.
    pub(crate) fn configure(&self, node: &Value) -> io::Result<()> {
        let mut peer = json!({ "ip": "127.0.0.1", "base_port": self.base_port });
        if let (Some(peer), Some(more)) = (peer.as_object_mut(), node.as_object()) {
            peer.extend(more.clone());
        }
        let config = json!({
            "indexing_server": { "ip": "127.0.0.1", "port": self.port },
            "peer_node": peer,
        });
        fs::write(self.path.join("config.json"), format!("{config:#}\n"))
    }

    /// This program in the folder, without the caller's settings.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WAYPOST_") {
                command.env_remove(name);
            }
        }
        command.current_dir(&self.path).args(args);
        // Ctrl-C is for who started this, and ends them.
        command.process_group(0);
        command
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is left to the system's own cleaning of that place.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Two ports that were free a moment ago; both are bound at once, so that they differ.
fn free_ports() -> io::Result<(u16, u16)> {
    /// Peers probe upwards from their first port, which must leave them room.
    const HIGHEST: u16 = 65_000;
    let first = UdpSocket::bind("127.0.0.1:0")?;
    let second = UdpSocket::bind("127.0.0.1:0")?;
    let (first, second) = (first.local_addr()?.port(), second.local_addr()?.port());
    Ok((first, second.min(HIGHEST)))
}
