//! The config as it takes effect, with where each value came from.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::{Config, KEYS, Key};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// The config file.
    File {
        /// The line, from 1.
        line: usize,
    },
    /// A flag of the command line, as it is spelled.
    Flag(&'static str),
    /// An environment variable.
    Env(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { line } => write!(f, "line {line}"),
            Origin::Flag(name) | Origin::Env(name) => f.write_str(name),
        }
    }
}

/// One key with what holds for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: &'static Key,
    /// The value; `None`: what the key's default says in words.
    pub value: Option<Value>,
    /// Where it came from.
    pub origin: Origin,
}

impl Config {
    /// Every key of [`KEYS`], in its order.
    pub fn entries(&self) -> Vec<Entry> {
        KEYS.iter()
            .map(|key| Entry {
                key,
                value: self.value(key.path),
                origin: self.origin(key.path).clone(),
            })
            .collect()
    }

    fn value(&self, path: &str) -> Option<Value> {
        let server = &self.indexing_server;
        let node = &self.peer_node;
        match path {
            "indexing_server.ip" => text(Some(&server.ip)),
            "indexing_server.port" => Some(server.port.into()),
            "indexing_server.bind_ip" => text(server.bind_ip.as_ref()),
            "indexing_server.fingerprint" => text(server.fingerprint.as_ref()),
            "indexing_server.admission" => Some(server.admission.text().into()),
            "indexing_server.data_dir" => folder(&server.data_dir),
            "indexing_server.repair_after_s" => Some(server.repair_after_s.into()),
            "peer_node.id" => text(node.id.as_ref()),
            "peer_node.ip" => text(Some(&node.ip)),
            "peer_node.base_port" => Some(node.base_port.into()),
            "peer_node.port" => node.port.map(Value::from),
            "peer_node.advertise_ip" => text(node.advertise_ip.as_ref()),
            "peer_node.data_dir" => folder(&node.data_dir),
            "peer_node.replicas" => Some(node.replicas.into()),
            "peer_node.min_in_sync" => Some(node.min_in_sync.into()),
            "peer_node.replica" => Some(node.replica.into()),
            "peer_node.repair_mb_per_s" => Some(node.repair_mb_per_s.into()),
            "peer_node.sort_mb_per_s" => Some(node.sort_mb_per_s.into()),
            "peer_node.segment_bytes" => Some(node.segment_bytes.into()),
            "peer_node.tail_cache_bytes" => Some(node.tail_cache_bytes.into()),
            "log.level" => Some(
                self.log
                    .level
                    .as_ref()
                    .map_or("info", |l| l.as_str())
                    .into(),
            ),
            "log.format" => Some(self.log.format.text().into()),
            "log.file" => self.log.file.as_deref().and_then(folder),
            _ => None,
        }
    }
}

fn text<T: fmt::Display>(value: Option<&T>) -> Option<Value> {
    value.map(|value| value.to_string().into())
}

fn folder(path: &Path) -> Option<Value> {
    Some(path.to_string_lossy().into_owned().into())
}
