//! The config file: raw config.json becomes a validated [`Config`] once, here.
//!
//! Guarantees: every key of a [`Config`] is legal and came from the file, a flag, the environment or
//! the documented default ([`KEYS`]), and [`Config::entries`] says from which. A file that is not
//! wholly understood is refused with file, line and key. Must not know what the values are used for.

mod error;
mod json;
mod keys;
mod load;
mod show;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::telemetry::{Filter, Format};
use crate::types::{Fingerprint, PeerName};

pub use crate::types::{AddressError, Host, IndexAddress};
pub use error::ConfigError;
pub use keys::{KEYS, Key, find, markdown};
pub use show::{Entry, Origin};

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "config.json";

/// A valid config.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    file: Option<PathBuf>,
    root: PathBuf,
    origins: BTreeMap<&'static str, Origin>,
    /// Where the index is and how it runs.
    pub indexing_server: IndexingServer,
    /// How a peer runs.
    pub peer_node: PeerNode,
    /// What daemons log.
    pub log: Log,
}

/// Section `indexing_server`.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexingServer {
    /// Where peers find the index.
    pub ip: Host,
    /// Its UDP port.
    pub port: u16,
    /// The address to bind instead of `ip`.
    pub bind_ip: Option<Host>,
    /// The only key that is trusted.
    pub fingerprint: Option<Fingerprint>,
    /// Who may register from other machines.
    pub admission: Admission,
    /// The index's data, relative to the config's folder.
    pub data_dir: PathBuf,
    /// How long a copy may be away before another peer makes up for it, seconds.
    pub repair_after_s: u64,
}

/// Who may register at an index that is not on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The keys in `certs/admitted`.
    Listed,
    /// Anyone.
    Open,
}

impl Admission {
    /// The word in the config.
    pub fn text(self) -> &'static str {
        match self {
            Admission::Listed => "listed",
            Admission::Open => "open",
        }
    }
}

/// Section `peer_node`.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerNode {
    /// The peer's name.
    pub id: Option<PeerName>,
    /// The address to bind.
    pub ip: Host,
    /// The first port to try.
    pub base_port: u16,
    /// The only port to try.
    pub port: Option<u16>,
    /// The address that other peers dial.
    pub advertise_ip: Option<Host>,
    /// Holds a folder per peer name, relative to the config's folder.
    pub data_dir: PathBuf,
    /// Copies wanted of topics that this peer creates.
    pub replicas: u8,
    /// Copies that must be in sync for such a topic to take messages.
    pub min_in_sync: u8,
    /// Whether this peer keeps copies of topics that others host.
    pub replica: bool,
    /// How fast copies of its topics are brought up to date while they are not in sync, 10^6 bytes a
    /// second.
    pub repair_mb_per_s: u64,
    /// How fast stored messages are sorted by topic where topics lie scattered, 10^6 bytes a second; 0: never.
    pub sort_mb_per_s: u64,
    /// Size of a journal segment.
    pub segment_bytes: u64,
    /// Memory for the newest messages.
    pub tail_cache_bytes: u64,
}

/// Section `log`; for daemons and the menu.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// What to log; `None`: the command's default.
    pub level: Option<Filter>,
    /// The form of log lines.
    pub format: Format,
    /// Where to, relative to the config's folder; `None`: the command's default.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Reads the file that was named (by `--config` or WAYPOST_CONFIG), else `./config.json`, else
    /// nothing: then all is at its default. Only a named file must exist.
    pub fn load(named: Option<&Path>) -> Result<Config, ConfigError> {
        load::load(named)
    }

    /// Validates the text of a config; `file` is for error messages and gives the root.
    pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
        load::parse(text, file)
    }

    /// The file that was read, if any.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The folder that `certs/` and `data/` lie in: the config's, else the current one. Never empty.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path of the config seen from the current folder.
    pub fn beside(&self, path: impl AsRef<Path>) -> PathBuf {
        if self.root == Path::new(".") {
            // So that messages say `certs/1.key.pem`, not `./certs/1.key.pem`.
            return path.as_ref().to_owned();
        }
        self.root.join(path)
    }

    /// Holds identities, `known_index` and `admitted`.
    pub fn certs_dir(&self) -> PathBuf {
        self.beside("certs")
    }

    /// Holds the index's data.
    pub fn index_data_dir(&self) -> PathBuf {
        self.beside(&self.indexing_server.data_dir)
    }

    /// Holds one peer's data.
    pub fn peer_data_dir(&self, name: &PeerName) -> PathBuf {
        self.beside(&self.peer_node.data_dir).join(name.as_str())
    }

    /// Where the index is.
    pub fn index_address(&self) -> IndexAddress {
        IndexAddress {
            host: self.indexing_server.ip.clone(),
            port: self.indexing_server.port,
            fingerprint: self.indexing_server.fingerprint,
        }
    }

    /// The host that an index server binds.
    pub fn index_bind(&self) -> &Host {
        let server = &self.indexing_server;
        server.bind_ip.as_ref().unwrap_or(&server.ip)
    }

    /// Takes a flag's or the environment's index address instead of the file's.
    ///
    /// The file's fingerprint goes with the file's address: it stays only where the other address
    /// is the same and names none, so that repeating an address never drops a pin.
    pub fn override_index(&mut self, address: IndexAddress, origin: Origin) {
        let server = &mut self.indexing_server;
        let moved = server.ip != address.host || server.port != address.port;
        server.ip = address.host;
        server.port = address.port;
        self.origins.insert("indexing_server.ip", origin.clone());
        self.origins.insert("indexing_server.port", origin.clone());
        if moved || address.fingerprint.is_some() {
            server.fingerprint = address.fingerprint;
            self.origins.insert("indexing_server.fingerprint", origin);
        }
    }

    /// Takes a flag's or the environment's peer name instead of the file's.
    pub fn override_id(&mut self, id: PeerName, origin: Origin) {
        self.peer_node.id = Some(id);
        self.origins.insert("peer_node.id", origin);
    }

    /// Takes a flag's or the environment's log settings, where given, instead of the file's. The
    /// file of a flag lies in the current folder, not beside the config.
    pub fn override_log(
        &mut self,
        level: Option<(Filter, Origin)>,
        format: Option<(Format, Origin)>,
        file: Option<(PathBuf, Origin)>,
    ) {
        if let Some((level, origin)) = level {
            self.log.level = Some(level);
            self.origins.insert("log.level", origin);
        }
        if let Some((format, origin)) = format {
            self.log.format = format;
            self.origins.insert("log.format", origin);
        }
        if let Some((file, origin)) = file {
            self.log.file = Some(std::path::absolute(&file).unwrap_or(file));
            self.origins.insert("log.file", origin);
        }
    }

    /// Where the value of a key came from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

impl Default for Config {
    /// What holds without a config file.
    fn default() -> Self {
        load::defaults()
    }
}

#[cfg(test)]
mod tests;
