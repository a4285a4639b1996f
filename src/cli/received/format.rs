//! `--format`: each message as its reader wants it, in the letters of kcat. Pure.

use std::str::FromStr;

use super::readable;
use crate::client::ReceivedMessage;
use crate::types::TopicName;

/// A parsed format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    parts: Vec<Part>,
    /// Whether bytes of messages are made safe for a terminal.
    safe: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Topic,
    Offset,
    Key,
    Body,
    Size,
    Headers,
    Time,
}

/// A text that is no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is not known in a format; known are %t topic, %o offset, %k key, %s body, %S its size \
     in bytes, %h headers, %T append time in ms, %%, and \\n \\t \\r \\0 \\\\"
)]
pub struct FormatError {
    found: String,
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Format, FormatError> {
        let mut parts = vec![];
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let part = match c {
                '%' => directive(chars.next())?,
                '\\' => Part::Text(escape(chars.next())?.to_string()),
                c => Part::Text(c.to_string()),
            };
            match part {
                Part::Text(text) => plain.push_str(&text),
                part => {
                    flush(&mut plain, &mut parts);
                    parts.push(part);
                }
            }
        }
        // Each message ends its line, unless the format says how it ends.
        if !plain.ends_with(['\n', '\0']) {
            plain.push('\n');
        }
        flush(&mut plain, &mut parts);
        Ok(Format { parts, safe: false })
    }
}

fn flush(plain: &mut String, parts: &mut Vec<Part>) {
    if !plain.is_empty() {
        parts.push(Part::Text(std::mem::take(plain)));
    }
}

fn directive(letter: Option<char>) -> Result<Part, FormatError> {
    Ok(match letter {
        Some('t') => Part::Topic,
        Some('o') => Part::Offset,
        Some('k') => Part::Key,
        Some('s') => Part::Body,
        Some('S') => Part::Size,
        Some('h') => Part::Headers,
        Some('T') => Part::Time,
        Some('%') => Part::Text("%".into()),
        other => return Err(unknown('%', other)),
    })
}

fn escape(letter: Option<char>) -> Result<char, FormatError> {
    Ok(match letter {
        Some('n') => '\n',
        Some('t') => '\t',
        Some('r') => '\r',
        Some('0') => '\0',
        Some('\\') => '\\',
        other => return Err(unknown('\\', other)),
    })
}

fn unknown(first: char, letter: Option<char>) -> FormatError {
    FormatError {
        found: [Some(first), letter].into_iter().flatten().collect(),
    }
}

impl Format {
    /// With bytes of messages made safe for a terminal.
    pub fn safe(mut self, safe: bool) -> Format {
        self.safe = safe;
        self
    }

    pub(super) fn render(&self, topic: &TopicName, message: &ReceivedMessage, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Topic => out.extend_from_slice(topic.as_str().as_bytes()),
                Part::Offset => out.extend_from_slice(message.offset.to_string().as_bytes()),
                Part::Key => self.bytes(message.key.as_deref().unwrap_or_default(), out),
                Part::Body => self.bytes(&message.body, out),
                Part::Size => out.extend_from_slice(message.body.len().to_string().as_bytes()),
                Part::Headers => self.headers(message, out),
                Part::Time => {
                    let ms = message.appended.0.div_euclid(1_000);
                    out.extend_from_slice(ms.to_string().as_bytes());
                }
            }
        }
    }

    fn headers(&self, message: &ReceivedMessage, out: &mut Vec<u8>) {
        for (at, (name, value)) in message.headers.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.bytes(name.as_bytes(), out);
            out.push(b'=');
            self.bytes(value, out);
        }
    }

    fn bytes(&self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.safe {
            true => out.extend_from_slice(readable(bytes).as_bytes()),
            false => out.extend_from_slice(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::message;
    use super::*;

    fn render(format: &str, safe: bool) -> String {
        let format = format.parse::<Format>().unwrap().safe(safe);
        let mut out = vec![];
        format.render(&"T1".parse().unwrap(), &message(b"a\nb"), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_letter_has_its_meaning() {
        assert_eq!(
            render("%t %o %k %S %h %T 100%%", false),
            "T1 7 k 3 a=1 0 100%\n"
        );
        assert_eq!(render("%s", false), "a\nb\n");
        assert_eq!(render("%s", true), "a\\nb\n");
        assert_eq!(render("%o\\t%o\\0", false), "7\t7\0");
        assert_eq!(render("%o\\n", false), "7\n");
    }

    #[test]
    fn unknown_letters_are_named() {
        for (text, found) in [("%x", "%x"), ("a%", "%"), ("\\q", "\\q")] {
            assert_eq!(text.parse::<Format>().unwrap_err().found, found);
        }
    }
}
