//! Messages in the forms in which they are printed: lines for people, ndjson, a format, raw bytes.
//! Pure.

mod format;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::units;
use crate::client::ReceivedMessage;
use crate::text::one_line;
use crate::types::TopicName;

pub use format::{Format, FormatError};

/// The form of messages on standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `  1: Hello` under a head.
    Indented,
    /// `1: Hello`; with the topic in front where there are several.
    Lines {
        /// Whether the topic stands in front.
        with_topic: bool,
    },
    /// One object a line.
    Json,
    /// As `--format` says.
    Format(Format),
    /// Bodies only.
    Raw,
}

impl Form {
    /// Adds a message to what is to be printed.
    pub fn render(&self, topic: &TopicName, message: &ReceivedMessage, out: &mut Vec<u8>) {
        let line = match self {
            Form::Raw => return out.extend_from_slice(&message.body),
            Form::Format(format) => return format.render(topic, message, out),
            Form::Indented => format!("  {}: {}", message.offset, readable(&message.body)),
            Form::Lines { with_topic: false } => {
                format!("{}: {}", message.offset, readable(&message.body))
            }
            Form::Lines { with_topic: true } => {
                format!("{topic} {}: {}", message.offset, readable(&message.body))
            }
            Form::Json => json_of(topic, message).to_string(),
        };
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
}

/// Bytes of others for a terminal: one line, nothing that steers it; what is no text in escapes.
pub fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => one_line(text).into_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

/// Text as text, anything else under NAME_base64.
fn put(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => object.insert(format!("{name}_base64"), STANDARD.encode(bytes).into()),
    };
}

fn json_of(topic: &TopicName, message: &ReceivedMessage) -> Value {
    let mut object = Map::new();
    object.insert("topic".into(), topic.as_str().into());
    object.insert("offset".into(), message.offset.0.into());
    if let Some(key) = &message.key {
        put(&mut object, "key", key);
    }
    if !message.headers.is_empty() {
        let header = |(name, value): &(String, bytes::Bytes)| {
            let mut header = Map::new();
            header.insert("name".into(), name.as_str().into());
            put(&mut header, "value", value);
            Value::Object(header)
        };
        let headers = message.headers.iter().map(header).collect();
        object.insert("headers".into(), headers);
    }
    put(&mut object, "body", &message.body);
    object.insert("appended".into(), json!(units::rfc3339(message.appended)));
    object.insert("produced".into(), json!(units::rfc3339(message.produced)));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Offset, ProducerId, UnixMicros};

    pub(super) fn message(body: &'static [u8]) -> ReceivedMessage {
        ReceivedMessage {
            offset: Offset(7),
            key: Some(bytes::Bytes::from_static(b"k")),
            headers: vec![("a".into(), bytes::Bytes::from_static(b"1"))],
            body: bytes::Bytes::from_static(body),
            produced: UnixMicros(0),
            appended: UnixMicros(1),
            producer: ProducerId([0; 16]),
        }
    }

    fn render(form: &Form, body: &'static [u8]) -> String {
        let mut out = vec![];
        form.render(&"T1".parse().unwrap(), &message(body), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn messages_read_as_documented_and_cannot_steer_a_terminal() {
        assert_eq!(render(&Form::Indented, b"Hello"), "  7: Hello\n");
        let lines = |with_topic| Form::Lines { with_topic };
        assert_eq!(
            render(&lines(false), b"a\nb\x1b[2J"),
            "7: a\\nb\\u{1b}[2J\n"
        );
        assert_eq!(render(&lines(true), b""), "T1 7: \n");
        assert_eq!(render(&lines(false), b"\xff\0"), "7: \\xff\\x00\n");
        assert_eq!(render(&Form::Raw, b"a\nb"), "a\nb");
    }

    #[test]
    fn json_keeps_every_byte() {
        let value: Value = serde_json::from_str(&render(&Form::Json, b"Hello")).unwrap();
        assert_eq!(value["body"], "Hello");
        assert_eq!(value["key"], "k");
        assert_eq!(value["headers"][0]["value"], "1");
        assert_eq!(value["appended"], "1970-01-01T00:00:00.000001Z");
        let value: Value = serde_json::from_str(&render(&Form::Json, b"\xff")).unwrap();
        assert_eq!(value["body_base64"], "/w==");
        assert!(value.get("body").is_none());
    }
}
