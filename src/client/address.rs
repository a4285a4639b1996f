//! Where an index is: host, port and, if known, its key.

use std::fmt;
use std::str::FromStr;

use crate::types::{Fingerprint, ParseFingerprintError};

/// `HOST:PORT` or `HOST:PORT#SHA256:…`; the host may be a name, an IPv4 or a bracketed IPv6
/// address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndexAddress {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// The key to pin; `None`: as `certs/known_index` says, else trust on first use.
    pub fingerprint: Option<Fingerprint>,
}

/// A text that is not an index address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseAddressError {
    /// The part before `#` is not `HOST:PORT`.
    #[error("{found:?} is not HOST:PORT; for example 127.0.0.1:8088 or [::1]:8088")]
    HostPort {
        /// What was found.
        found: String,
    },
    /// The part behind `#` is not a fingerprint.
    #[error("the key behind '#' does not parse")]
    Fingerprint(#[from] ParseFingerprintError),
}

impl IndexAddress {
    /// `HOST:PORT` as it is pinned in `certs/known_index`.
    pub fn host_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for IndexAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host_port())?;
        match self.fingerprint {
            Some(fingerprint) => write!(f, "#{fingerprint}"),
            None => Ok(()),
        }
    }
}

impl FromStr for IndexAddress {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let (place, fingerprint) = match text.split_once('#') {
            Some((place, key)) => (place, Some(key.parse()?)),
            None => (text, None),
        };
        let wrong = || ParseAddressError::HostPort {
            found: place.to_owned(),
        };
        let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(wrong)?,
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        Ok(IndexAddress {
            host: host.to_owned(),
            port,
            fingerprint,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print() {
        let key = Fingerprint([3; 32]);
        for text in [
            "127.0.0.1:8088".to_owned(),
            "[::1]:8088".to_owned(),
            format!("index.example:8088#{key}"),
        ] {
            assert_eq!(text.parse::<IndexAddress>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "x",
            "x:",
            ":1",
            "x:0",
            "x:70000",
            "::1:8088",
            "[::1:8088",
            "x:1#abc",
        ] {
            assert!(bad.parse::<IndexAddress>().is_err(), "{bad}");
        }
    }
}
