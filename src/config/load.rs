//! From the file's text to a valid [`Config`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::json::{self, Member, Node, SyntaxError};
use super::keys::{self, Key};
use super::{
    Admission, Config, ConfigError, DEFAULT_FILE, Host, IndexingServer, Log, Origin, PeerNode,
};
use crate::limits;
use crate::telemetry::Format;
use crate::text::one_line;
use crate::types::TopicSettings;

const LOOPBACK: Host = Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
const COPIES: RangeInclusive<u64> = 1..=limits::COPIES as u64;
const PORTS: RangeInclusive<u64> = 1..=u16::MAX as u64;

pub(super) fn defaults() -> Config {
    Config {
        file: None,
        root: PathBuf::from("."),
        origins: BTreeMap::new(),
        indexing_server: IndexingServer {
            ip: LOOPBACK,
            port: 8088,
            bind_ip: None,
            fingerprint: None,
            admission: Admission::Listed,
            data_dir: "data/index".into(),
            repair_after_s: limits::REPAIR_AFTER.as_secs(),
        },
        peer_node: PeerNode {
            id: None,
            ip: LOOPBACK,
            base_port: 12347,
            port: None,
            advertise_ip: None,
            data_dir: "data/peers".into(),
            replicas: TopicSettings::default().replicas,
            min_in_sync: TopicSettings::default().min_in_sync,
            replica: true,
            repair_mb_per_s: limits::REPAIR_BYTES_PER_S / 1_000_000,
            sort_mb_per_s: limits::SORT_BYTES_PER_S / 1_000_000,
            segment_bytes: 128 << 20,
            tail_cache_bytes: 64 << 20,
        },
        log: Log {
            level: None,
            format: Format::Human,
            file: None,
        },
    }
}

pub(super) fn load(named: Option<&Path>) -> Result<Config, ConfigError> {
    let file = named.unwrap_or(Path::new(DEFAULT_FILE));
    match read(file) {
        Ok(text) => parse(&text, file),
        Err(ConfigError::Missing { .. }) if named.is_none() => Ok(defaults()),
        Err(error) => Err(error),
    }
}

fn read(file: &Path) -> Result<String, ConfigError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ConfigError::Missing {
            file: file.to_owned(),
        },
        _ => ConfigError::Read {
            file: file.to_owned(),
            source,
        },
    };
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|f| f.take(limits::CONFIG_BYTES + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > limits::CONFIG_BYTES {
        return Err(ConfigError::TooLarge {
            file: file.to_owned(),
            max: limits::CONFIG_BYTES,
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        ConfigError::Syntax {
            file: file.to_owned(),
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
            problem: "not UTF-8 text".to_owned(),
        }
    })
}

pub(super) fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
    let mut values = Values {
        file,
        found: collect(text, file)?,
        origins: BTreeMap::new(),
    };
    let mut config = defaults();
    values.fill(&mut config)?;
    config.origins = values.origins;
    config.file = Some(file.to_owned());
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        config.root = folder.to_owned();
    }
    Ok(config)
}

/// The values by key; unknown keys, duplicates and things that should be objects are found here.
fn collect<'a>(
    text: &'a str,
    file: &Path,
) -> Result<BTreeMap<&'static str, Node<'a>>, ConfigError> {
    let top = json::document(text).map_err(|e| syntax(file, e))?;
    if !top.is_object() {
        return Err(ConfigError::Syntax {
            file: file.to_owned(),
            line: top.line,
            problem: format!(
                "the config is {}; expected a JSON object",
                one_line(&top.shown())
            ),
        });
    }
    let mut found = BTreeMap::new();
    for section in members(file, "", top)? {
        if !keys::sections().any(|known| known == section.key) {
            return Err(unknown(file, &section, &section.key));
        }
        if !section.value.is_object() {
            return Err(bad(file, &section.key, section.value, "an object {...}"));
        }
        for member in members(file, &section.key, section.value)? {
            let path = format!("{}.{}", section.key, member.key);
            match keys::find(&path) {
                Some(key) => found.insert(key.path, member.value),
                None => return Err(unknown(file, &member, &path)),
            };
        }
    }
    Ok(found)
}

fn members<'a>(file: &Path, section: &str, node: Node<'a>) -> Result<Vec<Member<'a>>, ConfigError> {
    let members = node.members().map_err(|e| syntax(file, e))?;
    let mut first_lines: BTreeMap<&str, usize> = BTreeMap::new();
    for member in &members {
        if let Some(first_line) = first_lines.insert(&member.key, member.line) {
            let separator = if section.is_empty() { "" } else { "." };
            return Err(ConfigError::DuplicateKey {
                file: file.to_owned(),
                line: member.line,
                key: shown_key(&format!("{section}{separator}{}", member.key)),
                first_line,
            });
        }
    }
    Ok(members)
}

fn syntax(file: &Path, error: SyntaxError) -> ConfigError {
    ConfigError::Syntax {
        file: file.to_owned(),
        line: error.line,
        problem: one_line(&error.problem).into_owned(),
    }
}

fn unknown(file: &Path, member: &Member<'_>, path: &str) -> ConfigError {
    ConfigError::UnknownKey {
        file: file.to_owned(),
        line: member.line,
        key: shown_key(path),
        nearest: keys::nearest(path),
    }
}

fn bad(file: &Path, path: &str, node: Node<'_>, expected: &str) -> ConfigError {
    ConfigError::Value {
        file: file.to_owned(),
        line: node.line,
        key: shown_key(path),
        found: one_line(&node.shown()).into_owned(),
        expected: expected.to_owned(),
    }
}

/// A key from the file, safe and short enough for a message.
fn shown_key(path: &str) -> String {
    const MAX: usize = 100;
    let short: String = path.chars().take(MAX).collect();
    one_line(&short).into_owned()
}

/// The values of the file, taken one by one by [`Values::fill`].
struct Values<'a> {
    file: &'a Path,
    found: BTreeMap<&'static str, Node<'a>>,
    origins: BTreeMap<&'static str, Origin>,
}

impl Values<'_> {
    fn fill(&mut self, config: &mut Config) -> Result<(), ConfigError> {
        let server = &mut config.indexing_server;
        self.text("indexing_server.ip", &mut server.ip)?;
        self.number("indexing_server.port", PORTS, &mut server.port)?;
        self.optional_text("indexing_server.bind_ip", &mut server.bind_ip)?;
        self.optional_text("indexing_server.fingerprint", &mut server.fingerprint)?;
        self.text("indexing_server.admission", &mut server.admission)?;
        self.path("indexing_server.data_dir", &mut server.data_dir)?;
        self.number(
            "indexing_server.repair_after_s",
            0..=u64::MAX,
            &mut server.repair_after_s,
        )?;

        let node = &mut config.peer_node;
        self.optional_text("peer_node.id", &mut node.id)?;
        self.text("peer_node.ip", &mut node.ip)?;
        self.number("peer_node.base_port", PORTS, &mut node.base_port)?;
        self.take(
            "peer_node.port",
            |v| small(v, PORTS),
            |port| node.port = Some(port),
        )?;
        self.optional_text("peer_node.advertise_ip", &mut node.advertise_ip)?;
        self.path("peer_node.data_dir", &mut node.data_dir)?;
        self.number("peer_node.replicas", COPIES, &mut node.replicas)?;
        self.number("peer_node.min_in_sync", COPIES, &mut node.min_in_sync)?;
        self.take("peer_node.replica", |v| v.as_bool(), |is| node.replica = is)?;
        self.number(
            "peer_node.repair_mb_per_s",
            1..=u64::MAX,
            &mut node.repair_mb_per_s,
        )?;
        self.number(
            "peer_node.sort_mb_per_s",
            0..=u64::MAX,
            &mut node.sort_mb_per_s,
        )?;
        let sizes = limits::SEGMENT_BYTES_RANGE;
        self.number("peer_node.segment_bytes", sizes, &mut node.segment_bytes)?;
        self.number(
            "peer_node.tail_cache_bytes",
            0..=u64::MAX,
            &mut node.tail_cache_bytes,
        )?;

        let log = &mut config.log;
        self.optional_text("log.level", &mut log.level)?;
        self.text("log.format", &mut log.format)?;
        self.take("log.file", path, |file| log.file = Some(file))
    }

    /// Hands the value to `store` if the key is given and `read` understands it.
    fn take<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Node<'_>) -> Option<T>,
        store: impl FnOnce(T),
    ) -> Result<(), ConfigError> {
        let Some(node) = self.found.remove(key) else {
            return Ok(());
        };
        let expects = keys::find(key).map_or("another value", |key: &Key| key.expects);
        let value = read(node).ok_or_else(|| bad(self.file, key, node, expects))?;
        store(value);
        self.origins.insert(key, Origin::File { line: node.line });
        Ok(())
    }

    fn text<T: FromStr>(&mut self, key: &'static str, into: &mut T) -> Result<(), ConfigError> {
        self.take(key, |v| v.as_text()?.parse().ok(), |value| *into = value)
    }

    fn optional_text<T: FromStr>(
        &mut self,
        key: &'static str,
        into: &mut Option<T>,
    ) -> Result<(), ConfigError> {
        self.take(
            key,
            |v| v.as_text()?.parse().ok(),
            |value| *into = Some(value),
        )
    }

    fn number<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        into: &mut T,
    ) -> Result<(), ConfigError> {
        self.take(key, |v| small(v, range), |value| *into = value)
    }

    fn path(&mut self, key: &'static str, into: &mut PathBuf) -> Result<(), ConfigError> {
        self.take(key, path, |value| *into = value)
    }
}

fn small<T: TryFrom<u64>>(node: Node<'_>, range: RangeInclusive<u64>) -> Option<T> {
    let number = node.as_u64().filter(|number| range.contains(number))?;
    T::try_from(number).ok()
}

fn path(node: Node<'_>) -> Option<PathBuf> {
    node.as_text()
        .filter(|text| !text.is_empty() && !text.contains('\0'))
        .map(PathBuf::from)
}

impl FromStr for Admission {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Admission::Listed, Admission::Open]
            .into_iter()
            .find(|admission| admission.text() == text)
            .ok_or(())
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Format::Human, Format::Json]
            .into_iter()
            .find(|format| format.text() == text)
            .ok_or(())
    }
}
