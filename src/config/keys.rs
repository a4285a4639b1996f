//! The one table of config keys: the loader refuses what is not in it, `config show` and the README
//! print it.

use std::fmt::Write;

/// One key of config.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Section and name: `peer_node.base_port`.
    pub path: &'static str,
    /// What a value looks like, for error messages too.
    pub expects: &'static str,
    /// The value where none is given, as JSON; or, in words, what takes its place.
    pub default: &'static str,
    /// What it is for.
    pub about: &'static str,
}

const HOST: &str = "an IP address or host name as text";
const PORT: &str = "a whole number from 1 to 65535";
const FOLDER: &str = "a path as text";

/// Every key, in the order of docs and `config show`.
pub const KEYS: &[Key] = &[
    Key {
        path: "indexing_server.ip",
        expects: HOST,
        default: "\"127.0.0.1\"",
        about: "where peers find the index",
    },
    Key {
        path: "indexing_server.port",
        expects: PORT,
        default: "8088",
        about: "the index's UDP port",
    },
    Key {
        path: "indexing_server.bind_ip",
        expects: HOST,
        default: "the same as ip",
        about: "the address that the index binds, where it differs from the one that peers dial",
    },
    Key {
        path: "indexing_server.fingerprint",
        expects: "a fingerprint as text, SHA256: and 43 base64 characters",
        default: "the one in certs/known_index, else the first one met",
        about: "the only index key that is trusted",
    },
    Key {
        path: "indexing_server.admission",
        expects: "\"listed\" or \"open\"",
        default: "\"listed\"",
        about: "who may register from other machines: the keys in certs/admitted, or anyone",
    },
    Key {
        path: "indexing_server.data_dir",
        expects: FOLDER,
        default: "\"data/index\"",
        about: "the index's data, beside this file unless absolute",
    },
    Key {
        path: "indexing_server.repair_after_s",
        expects: "a whole number of seconds",
        default: "300",
        about: "how long a copy may be away before another peer makes up for it",
    },
    Key {
        path: "peer_node.id",
        expects: "a peer name as text: letters, digits and . _ - (a letter or digit first), at most 64",
        default: "the only identity in certs/",
        about: "the peer's name",
    },
    Key {
        path: "peer_node.ip",
        expects: HOST,
        default: "\"127.0.0.1\"",
        about: "the address that the peer binds",
    },
    Key {
        path: "peer_node.base_port",
        expects: PORT,
        default: "12347",
        about: "the peer binds the first free UDP port from here up",
    },
    Key {
        path: "peer_node.port",
        expects: PORT,
        default: "the first free one",
        about: "exactly this UDP port, for firewalls",
    },
    Key {
        path: "peer_node.advertise_ip",
        expects: HOST,
        default: "ip, or what the index observes if ip is unspecified",
        about: "the address that other peers dial",
    },
    Key {
        path: "peer_node.data_dir",
        expects: FOLDER,
        default: "\"data/peers\"",
        about: "holds a folder per peer name, beside this file unless absolute",
    },
    Key {
        path: "peer_node.replicas",
        expects: "a whole number from 1 to 7",
        default: "2",
        about: "copies wanted of topics that this peer creates, the host's included",
    },
    Key {
        path: "peer_node.min_in_sync",
        expects: "a whole number from 1 to 7",
        default: "1",
        about: "copies that must be in sync for such a topic to take messages",
    },
    Key {
        path: "peer_node.replica",
        expects: "true or false",
        default: "true",
        about: "whether this peer keeps copies of topics that others host",
    },
    Key {
        path: "peer_node.repair_mb_per_s",
        expects: "a whole number of 10^6 bytes, at least 1",
        default: "100",
        about: "how fast this peer brings others' copies of its topics up to date, all together; above \
                what the topics take in, or they never get there",
    },
    Key {
        path: "peer_node.sort_mb_per_s",
        expects: "a whole number of 10^6 bytes",
        default: "16",
        about: "how fast this peer sorts stored messages by topic where many topics were written in turns, \
                so that one is read as fast as if it were alone; 0: never",
    },
    Key {
        path: "peer_node.segment_bytes",
        expects: "a whole number of bytes from 1048576 to 4294967296",
        default: "134217728",
        about: "size of a journal segment",
    },
    Key {
        path: "peer_node.tail_cache_bytes",
        expects: "a whole number of bytes",
        default: "67108864",
        about: "memory for the newest messages, from which followers are served",
    },
    Key {
        path: "log.level",
        expects: "off, error, warn, info, debug or trace as text, or directives such as \
                  \"info,waypost::journal=debug\"",
        default: "\"info\"",
        about: "what index, peer, up and menu log; other commands: --log, default warn",
    },
    Key {
        path: "log.format",
        expects: "\"human\" or \"json\"",
        default: "\"human\"",
        about: "the form of log lines",
    },
    Key {
        path: "log.file",
        expects: FOLDER,
        default: "standard error; menu: data/menu.log",
        about: "where index, peer, up and menu log, beside this file unless absolute",
    },
];

/// The key of this path.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Section names in the order of [`KEYS`].
pub(super) fn sections() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    KEYS.iter().filter_map(move |key| {
        let section = key.path.split('.').next().unwrap_or(key.path);
        (section != std::mem::replace(&mut last, section)).then_some(section)
    })
}

/// The known key or, for a text without a section, known section that is spelled most alike.
pub(super) fn nearest(unknown: &str) -> &'static str {
    let candidates: Vec<&'static str> = if unknown.contains('.') {
        KEYS.iter().map(|key| key.path).collect()
    } else {
        sections().collect()
    };
    // A name from a file of bounded size, but the comparison is quadratic.
    let unknown: String = unknown.chars().take(80).collect();
    candidates
        .into_iter()
        .map(|known| {
            (
                strsim::normalized_damerau_levenshtein(&unknown, known),
                known,
            )
        })
        .fold(
            (-1.0, ""),
            |best, next| if next.0 > best.0 { next } else { best },
        )
        .1
}

/// The table as Markdown, as the README holds it.
pub fn markdown() -> String {
    let mut table = String::from("| key | value | default | what for |\n|---|---|---|---|\n");
    for key in KEYS {
        let cell = |text: &str| text.replace('|', "\\|");
        // Writing to a String does not fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            key.path,
            cell(key.expects),
            cell(key.default),
            cell(key.about)
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_distinct_and_grouped_by_section() {
        let mut paths: Vec<_> = KEYS.iter().map(|key| key.path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), KEYS.len());
        assert_eq!(
            sections().collect::<Vec<_>>(),
            ["indexing_server", "peer_node", "log"]
        );
    }

    #[test]
    fn the_nearest_key_is_named() {
        for (unknown, known) in [
            ("peer_node.prot", "peer_node.port"),
            ("peer_node.base-port", "peer_node.base_port"),
            ("indexing_server.admision", "indexing_server.admission"),
            ("log.levle", "log.level"),
            ("indexing_sever", "indexing_server"),
            ("peer", "peer_node"),
        ] {
            assert_eq!(nearest(unknown), known, "{unknown}");
        }
        assert!(!nearest(&"x".repeat(1_000_000)).is_empty());
    }

    #[test]
    fn the_markdown_table_has_a_row_per_key() {
        let table = markdown();
        assert_eq!(table.lines().count(), KEYS.len() + 2);
        assert!(
            table
                .lines()
                .all(|l| l.starts_with('|') && l.ends_with('|'))
        );
    }
}
