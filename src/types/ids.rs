//! Identifiers and counters.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

/// SHA-256 of a public key's SubjectPublicKeyInfo DER: the identity of a peer or index.
///
/// Printed like ssh does, `SHA256:` and unpadded base64 (RFC 4648).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is not a fingerprint; expected SHA256: and 43 base64 characters, as `waypost id show` prints it"
)]
pub struct ParseFingerprintError {
    /// The text.
    pub found: String,
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, ParseFingerprintError> {
        text.strip_prefix("SHA256:")
            .and_then(|rest| STANDARD_NO_PAD.decode(rest).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Fingerprint)
            .ok_or_else(|| ParseFingerprintError {
                found: text.to_owned(),
            })
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// A new random identifier drawn from `random`.
            pub fn random(random: &mut impl rand::RngCore) -> Self {
                let mut bytes = [0; 16];
                random.fill_bytes(&mut bytes);
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

random_id!(
    /// Names one life of a topic: deleting and creating again gives another id.
    TopicId
);
random_id!(
    /// Names one producer; its sequences count per topic. The first half names the key that it
    /// belongs to, see [`ProducerId::of`]; a host takes batches under it from that key only.
    ProducerId
);

impl ProducerId {
    /// A new producer of a key: the first 8 bytes of its fingerprint, then 8 random ones. So who may
    /// use it can be told from the id alone, wherever a batch has come to lie.
    pub fn of(key: Fingerprint, random: &mut impl rand::RngCore) -> Self {
        let mut id = Self::random(random);
        id.0[..8].copy_from_slice(&key.0[..8]);
        id
    }

    /// Whether it belongs to the key.
    pub fn belongs_to(&self, key: Fingerprint) -> bool {
        self.0[..8] == key.0[..8]
    }

    /// What it repeats of its key's fingerprint: the same for all producers of a key.
    pub fn key_mark(&self) -> [u8; 8] {
        let mut mark = [0; 8];
        mark.copy_from_slice(&self.0[..8]);
        mark
    }
}
random_id!(
    /// Names one start of a peer's process. A new one at a session raises the incarnation.
    BootId
);
random_id!(
    /// Names one data folder, so that a wiped disk under an old key is told from the old disk.
    StorageId
);
random_id!(
    /// Names one session of a hosting peer with the index.
    SessionId
);

/// Counts the boots of one peer, durable at the index; 0 means "has never hosted".
pub type Incarnation = u32;

/// The version of a topic record; every change is a compare-and-set on it.
pub type Version = u64;

/// The fencing token of a topic's host, ordered by grant, then incarnation.
///
/// `grant` is per topic and rises when the host role moves; `incarnation` is per peer and rises when
/// the host's process starts anew.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Epoch {
    /// Rises when the topic's host role moves.
    pub grant: u32,
    /// The host's incarnation.
    pub incarnation: Incarnation,
}

impl Epoch {
    /// Both parts in one number that orders as the epoch does.
    pub fn as_u64(self) -> u64 {
        u64::from(self.grant) << 32 | u64::from(self.incarnation)
    }

    /// The inverse of [`Epoch::as_u64`].
    pub fn from_u64(value: u64) -> Self {
        Epoch {
            grant: (value >> 32) as u32,
            incarnation: value as u32,
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.grant, self.incarnation)
    }
}

/// The place of a message in its topic. The first is 1; each next rises by 1, without gaps.
///
/// As the *end* of a log it is the offset that the next message will get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset of a topic's first message.
    pub const FIRST: Offset = Offset(1);

    /// The offset `count` messages further on.
    pub fn plus(self, count: u64) -> Offset {
        Offset(self.0.saturating_add(count))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_print_and_parse() {
        let fingerprint = Fingerprint([7; 32]);
        let text = fingerprint.to_string();
        assert_eq!(text.len(), "SHA256:".len() + 43);
        assert_eq!(text.parse::<Fingerprint>().unwrap(), fingerprint);
        for bad in ["", "SHA256:", "SHA256:abc", &text[1..], &format!("{text}A")] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn epochs_order_by_grant_then_incarnation() {
        let low = Epoch {
            grant: 1,
            incarnation: 9,
        };
        let high = Epoch {
            grant: 2,
            incarnation: 1,
        };
        assert!(low < high);
        assert!(low.as_u64() < high.as_u64());
        assert_eq!(Epoch::from_u64(high.as_u64()), high);
    }
}
