//! Names that people give to peers, topics and consumer groups.
//!
//! Every name is checked when it is made, deserialising included, so that no later code meets a name
//! with a path separator trick, a control character or a look-alike letter in it.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text has no characters.
    #[error("a {kind} name must not be empty")]
    Empty {
        /// What was to be named: `peer`, `topic` or `group`.
        kind: &'static str,
    },
    /// The text is over the bound.
    #[error("a {kind} name has at most {max} bytes, this one has {found}")]
    TooLong {
        /// What was to be named.
        kind: &'static str,
        /// Bytes allowed.
        max: usize,
        /// Bytes seen.
        found: usize,
    },
    /// A character outside the allowed set.
    #[error("{character:?} at byte {at} is not allowed in a {kind} name; allowed are {allowed}")]
    Character {
        /// What was to be named.
        kind: &'static str,
        /// The offending character.
        character: char,
        /// Its byte position.
        at: usize,
        /// The allowed set, for people.
        allowed: &'static str,
    },
    /// A name that Waypost keeps for itself.
    #[error("the {kind} name {name:?} is reserved")]
    Reserved {
        /// What was to be named.
        kind: &'static str,
        /// The name.
        name: String,
    },
}

/// Which bytes are allowed: ASCII only, so that bytes are characters.
type Alphabet = [bool; 256];

const fn letters_digits_and(more: &[u8]) -> Alphabet {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        allowed[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < more.len() {
        allowed[more[at] as usize] = true;
        at += 1;
    }
    allowed
}

static LETTERS_DIGITS: Alphabet = letters_digits_and(b"");
static PEER_BYTES: Alphabet = letters_digits_and(b"._-");
static TOPIC_BYTES: Alphabet = letters_digits_and(b"._-/@");

struct Rules {
    kind: &'static str,
    max: usize,
    first: &'static Alphabet,
    rest: &'static Alphabet,
    allowed: &'static str,
    reserved: &'static [&'static str],
}

fn check(text: &str, rules: &Rules) -> Result<(), NameError> {
    let kind = rules.kind;
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if text.len() > rules.max {
        return Err(NameError::TooLong {
            kind,
            max: rules.max,
            found: text.len(),
        });
    }
    let bytes = text.as_bytes();
    let is_allowed = |at: usize, byte: u8| match at {
        0 => rules.first[byte as usize],
        _ => rules.rest[byte as usize],
    };
    let bad = (0..bytes.len()).find(|&at| !is_allowed(at, bytes[at]));
    // The first byte that is not allowed begins a character: all before it are ASCII.
    if let Some((at, character)) = bad.and_then(|at| Some((at, text[at..].chars().next()?))) {
        return Err(NameError::Character {
            kind,
            character,
            at,
            allowed: rules.allowed,
        });
    }
    if rules.reserved.contains(&text) {
        return Err(NameError::Reserved {
            kind,
            name: text.to_owned(),
        });
    }
    Ok(())
}

const PEER: Rules = Rules {
    kind: "peer",
    max: limits::PEER_NAME_BYTES,
    first: &LETTERS_DIGITS,
    rest: &PEER_BYTES,
    allowed: "letters, digits and . _ - (a letter or digit first)",
    reserved: &["index"],
};

const TOPIC: Rules = Rules {
    kind: "topic",
    max: limits::TOPIC_NAME_BYTES,
    first: &TOPIC_BYTES,
    rest: &TOPIC_BYTES,
    allowed: "letters, digits and . _ / @ -",
    reserved: &[],
};

const GROUP: Rules = Rules {
    kind: "group",
    max: limits::PEER_NAME_BYTES,
    first: &LETTERS_DIGITS,
    rest: &PEER_BYTES,
    allowed: "letters, digits and . _ - (a letter or digit first)",
    reserved: &[],
};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and makes a name of it.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let checked: fn(&str) -> Result<(), NameError> = $check;
                checked(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// Whether `text` is such a name.
            pub fn is_legal(text: &str) -> bool {
                let checked: fn(&str) -> Result<(), NameError> = $check;
                checked(text).is_ok()
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a name")
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

name_type!(
    /// The name of a peer: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, not `index`.
    PeerName,
    |text| check(text, &PEER)
);

name_type!(
    /// The name of a topic: 1 to 249 bytes of `[A-Za-z0-9._/@-]`. Never used in a path on disk.
    TopicName,
    |text| check(text, &TOPIC)
);

name_type!(
    /// A consumer group of one peer: positions of one peer in one topic are kept per group.
    ///
    /// The empty group is the default one; other groups are spelled like peer names.
    Group,
    |text| if text.is_empty() { Ok(()) } else { check(text, &GROUP) }
);

impl Default for Group {
    fn default() -> Self {
        Group(Arc::from(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_names_pass() {
        for name in ["1", "a", "peer-1", "A.b_c-9", &"x".repeat(64)] {
            assert!(PeerName::new(name).is_ok(), "{name}");
        }
        for name in ["T1", "a/b", "@inbox/1", "..", "-", &"t".repeat(249)] {
            assert!(TopicName::new(name).is_ok(), "{name}");
        }
        assert!(Group::new("").is_ok());
    }

    #[test]
    fn illegal_names_say_why() {
        let long = "t".repeat(250);
        let cases = [
            ("", "must not be empty"),
            (long.as_str(), "at most 249 bytes, this one has 250"),
            ("a b", "' ' at byte 1"),
            ("a\nb", "'\\n' at byte 1"),
            ("a\0", "'\\0' at byte 1"),
            ("Тopic", "at byte 0"),
        ];
        for (name, expected) in cases {
            let error = TopicName::new(name).unwrap_err().to_string();
            assert!(error.contains(expected), "{name:?}: {error}");
        }
        for name in ["", ".", "../x", "-a", "a/b", "index", &"p".repeat(65)] {
            assert!(PeerName::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn deserialising_checks_too() {
        let bytes = postcard::to_stdvec("../x").unwrap();
        assert!(postcard::from_bytes::<PeerName>(&bytes).is_err());
        let bytes = postcard::to_stdvec("x").unwrap();
        assert_eq!(
            postcard::from_bytes::<PeerName>(&bytes).unwrap().as_str(),
            "x"
        );
    }
}
