//! JSON objects with the line of each member, duplicates included.
//!
//! serde_json checks the grammar and hands out the raw text of each key and value; where such a text
//! lies in the file gives its line. Knows nothing of what the keys mean.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value: its text and the line that it starts in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) raw: &'a str,
    pub(super) line: usize,
}

/// A member of an object.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Node<'a>,
}

/// A text that is not JSON.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) problem: String,
}

struct Pairs<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairVisitor;
        impl<'de> Visitor<'de> for PairVisitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairVisitor)
    }
}

/// The line, from 1, in which `part` begins; `part` must be a slice of `whole`.
fn line_of(whole: &str, part: &str) -> usize {
    let offset = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    let before = whole.as_bytes().get(..offset).unwrap_or_default();
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

/// The whole text as one value.
pub(super) fn document(text: &str) -> Result<Node<'_>, SyntaxError> {
    if text.trim().is_empty() {
        return Err(SyntaxError {
            line: 1,
            problem: "the file is empty; expected a JSON object, at least {}".to_owned(),
        });
    }
    let value: &RawValue = serde_json::from_str(text).map_err(|e| syntax(&e, 1))?;
    Ok(Node {
        raw: value.get(),
        line: line_of(text, value.get()),
    })
}

fn syntax(error: &serde_json::Error, first_line: usize) -> SyntaxError {
    SyntaxError {
        line: first_line + error.line().saturating_sub(1),
        problem: format!("not JSON: {error}"),
    }
}

impl<'a> Node<'a> {
    pub(super) fn is_object(&self) -> bool {
        self.raw.starts_with('{')
    }

    /// The members of an object in their order, duplicates included.
    pub(super) fn members(&self) -> Result<Vec<Member<'a>>, SyntaxError> {
        let Pairs(pairs) = serde_json::from_str(self.raw).map_err(|e| syntax(&e, self.line))?;
        let place = |part: &str| self.line + line_of(self.raw, part) - 1;
        pairs
            .into_iter()
            .map(|(key, value)| {
                let line = place(key.get());
                Ok(Member {
                    key: serde_json::from_str(key.get()).map_err(|e| syntax(&e, line))?,
                    line,
                    value: Node {
                        raw: value.get(),
                        line: place(value.get()),
                    },
                })
            })
            .collect()
    }

    /// The value, if it is a string.
    pub(super) fn as_text(&self) -> Option<String> {
        serde_json::from_str(self.raw).ok()
    }

    /// The value, if it is a whole number.
    pub(super) fn as_u64(&self) -> Option<u64> {
        serde_json::from_str(self.raw).ok()
    }

    /// The value, if it is true or false.
    pub(super) fn as_bool(&self) -> Option<bool> {
        serde_json::from_str(self.raw).ok()
    }

    /// The value as it stands there, on one line and shortened, for error messages.
    pub(super) fn shown(&self) -> String {
        const MAX: usize = 60;
        let flat = self.raw.split_whitespace().collect::<Vec<_>>().join(" ");
        match flat.char_indices().nth(MAX) {
            Some((end, _)) => format!("{}...", &flat[..end]),
            None => flat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_with_lines_and_duplicates() {
        let text = "\n{ \"a\": 1,\n  \"b\":\n    {\"c\": 2,\n\n \"c\": \"x\"}, \"a\": [] }";
        let top = document(text).unwrap().members().unwrap();
        let seen: Vec<_> = top.iter().map(|m| (m.key.as_str(), m.line)).collect();
        assert_eq!(seen, [("a", 2), ("b", 3), ("a", 6)]);
        assert_eq!(top[1].value.line, 4);
        let inner = top[1].value.members().unwrap();
        let seen: Vec<_> = inner.iter().map(|m| (m.key.as_str(), m.line)).collect();
        assert_eq!(seen, [("c", 4), ("c", 6)]);
        assert_eq!(inner[0].value.as_u64(), Some(2));
        assert_eq!(inner[1].value.as_text().as_deref(), Some("x"));
    }

    #[test]
    fn escaped_keys_are_unescaped() {
        let top = document(r#"{"\u0061b": 1}"#).unwrap().members().unwrap();
        assert_eq!(top[0].key, "ab");
    }

    #[test]
    fn bad_grammar_names_its_line() {
        for (text, line) in [
            ("", 1),
            (" \n", 1),
            ("{\n\"a\": }", 2),
            ("{}\n{}", 2),
            ("{\n", 2),
        ] {
            assert_eq!(document(text).unwrap_err().line, line, "{text:?}");
        }
    }
}
