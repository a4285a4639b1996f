//! Hosts and the index's address, as people write them. The config, the command line and the client
//! library share them, so that an address means the same wherever it stands.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::{Fingerprint, ParseFingerprintError};

/// An IP address or a host name; a name is resolved when it is used, not here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A host name, checked for its form only.
    Name(String),
}

/// Why a text is not a host or not the address of an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither an IP address nor a host name.
    #[error("{found:?} is neither an IP address nor a host name")]
    Host {
        /// The text.
        found: String,
    },
    /// The form is not HOST:PORT.
    #[error(
        "{found:?} is not an address; expected HOST:PORT or HOST:PORT#SHA256:..., IPv6 in brackets"
    )]
    Form {
        /// The text.
        found: String,
    },
    /// The port is not one.
    #[error("{found:?} is not a port; expected a number from 1 to 65535")]
    Port {
        /// The text.
        found: String,
    },
    /// The part after `#` is not a fingerprint.
    #[error(transparent)]
    Fingerprint(#[from] ParseFingerprintError),
}

impl Host {
    /// Whether only this machine can be meant.
    pub fn is_loopback(&self) -> bool {
        match self {
            Host::Ip(ip) => ip.is_loopback(),
            Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Whether it stands for all addresses of a machine, which nobody can dial.
    pub fn is_unspecified(&self) -> bool {
        matches!(self, Host::Ip(ip) if ip.is_unspecified())
    }

    /// `HOST:PORT`, with brackets around IPv6: what resolvers and people read.
    pub fn with_port(&self, port: u16) -> String {
        match self {
            Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
            other => format!("{other}:{port}"),
        }
    }
}

/// RFC 1123, section 2.1, underscores allowed as container networks use them. A last label of digits
/// only would be a mistyped IPv4 address.
fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last = text.rsplit('.').next().unwrap_or("");
    text.len() <= 253 && text.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

impl FromStr for Host {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Some(ip) = bracketed.and_then(|t| t.parse::<Ipv6Addr>().ok()) {
            return Ok(Host::Ip(ip.into()));
        }
        if let Ok(ip) = text.parse() {
            return Ok(Host::Ip(ip));
        }
        if is_host_name(text) {
            return Ok(Host::Name(text.to_owned()));
        }
        Err(AddressError::Host {
            found: text.to_owned(),
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(ip) => fmt::Display::fmt(ip, f),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// Where an index is and, if known, under which key.
///
/// Written `HOST:PORT` or `HOST:PORT#SHA256:...`; the latter is what `waypost id show --index` prints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndexAddress {
    /// The host.
    pub host: Host,
    /// The UDP port.
    pub port: u16,
    /// The key's fingerprint; `None`: the key that `certs/known_index` pins, or the first one met.
    pub fingerprint: Option<Fingerprint>,
}

impl IndexAddress {
    /// `HOST:PORT`, as resolvers read it and `certs/known_index` pins it.
    pub fn host_port(&self) -> String {
        self.host.with_port(self.port)
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(AddressError::Port {
            found: text.to_owned(),
        }),
    }
}

impl FromStr for IndexAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (place, fingerprint) = match text.split_once('#') {
            Some((place, fingerprint)) => (place, Some(fingerprint.parse()?)),
            None => (text, None),
        };
        let form = || AddressError::Form {
            found: text.to_owned(),
        };
        let (host, port) = place.rsplit_once(':').ok_or_else(form)?;
        // Without brackets nobody can tell an IPv6 address from its port.
        if host.contains(':') && !host.starts_with('[') {
            return Err(form());
        }
        Ok(IndexAddress {
            host: host.parse()?,
            port: parse_port(port)?,
            fingerprint,
        })
    }
}

impl fmt::Display for IndexAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host_port())?;
        match &self.fingerprint {
            Some(fingerprint) => write!(f, "#{fingerprint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_or_names() {
        for text in [
            "127.0.0.1",
            "::1",
            "[::1]",
            "localhost",
            "db_1.example.org.",
            "a-1",
        ] {
            assert!(text.parse::<Host>().is_ok(), "{text}");
        }
        for text in [
            "",
            ".",
            "10.0.0.300",
            "1234",
            "-a",
            "a..b",
            "a b",
            "a\n",
            "[::1",
            "bücher.example",
            "a/b",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    #[test]
    fn index_addresses_print_and_parse() {
        let fingerprint = Fingerprint([1; 32]);
        for place in ["127.0.0.1:8088", "[::1]:8088", "index.example:1"] {
            for text in [place.to_owned(), format!("{place}#{fingerprint}")] {
                let address: IndexAddress = text.parse().unwrap();
                assert_eq!(address.to_string(), text);
            }
        }
    }

    #[test]
    fn bad_index_addresses_say_why() {
        let cases = [
            ("127.0.0.1", "expected HOST:PORT"),
            ("::1:8088", "IPv6 in brackets"),
            ("localhost:0", "\"0\" is not a port"),
            ("localhost:70000", "\"70000\" is not a port"),
            (":8088", "neither an IP address nor a host name"),
            ("localhost:1#abc", "not a fingerprint"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<IndexAddress>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
