//! docs/WIRE.md against the code: message numbers, reserved numbers, error codes, retry classes.

use std::collections::{BTreeMap, BTreeSet};

use super::golden::{Direction, Protocol, all};
use waypost::wire::{ErrorCode, Retry};

const DOC: &str = include_str!("../../docs/WIRE.md");
const INDEX: &str = concat!(
    include_str!("../../src/wire/index.rs"),
    include_str!("../../src/wire/index/session.rs"),
    include_str!("../../src/wire/index/copies.rs"),
    include_str!("../../src/wire/index/recovery.rs"),
);
const PEER: &str = concat!(
    include_str!("../../src/wire/peer.rs"),
    include_str!("../../src/wire/peer/replication.rs"),
);

type Numbered = BTreeSet<(Protocol, Direction, u8, String)>;

/// The part of the document under a heading that starts so.
fn section(heading: &str) -> &'static str {
    let from = DOC.find(heading).expect(heading);
    let body = &DOC[from + heading.len()..];
    let end = body.find("\n## ").unwrap_or(body.len());
    &body[..end]
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

fn number(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("0x")?.get(..2)?;
    u8::from_str_radix(digits, 16).ok()
}

fn name(text: &str) -> Option<String> {
    let word = text.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
    word.starts_with(|c: char| c.is_ascii_uppercase())
        .then(|| word.to_owned())
}

/// `up: Heartbeat 0x23; down: HeartbeatAck 0x23, SessionEnd 0x24`
fn stream_frames(protocol: Protocol, subject: &str, into: &mut Numbered) {
    for part in subject.split(';') {
        let Some((way, frames)) = part.trim().split_once(": ") else {
            continue;
        };
        let direction = match way {
            "up" => Direction::Up,
            "down" => Direction::Down,
            _ => continue,
        };
        for frame in frames.split(", ") {
            if let Some((word, rest)) = frame.split_once(' ')
                && let (Some(word), Some(number)) = (name(word), number(rest))
            {
                into.insert((protocol, direction, number, word));
            }
        }
    }
}

fn documented() -> Numbered {
    let mut found = Numbered::new();
    for (protocol, heading) in [
        (Protocol::Index, "## The index protocol"),
        (Protocol::Peer, "## The peer protocol"),
    ] {
        for row in section(heading).lines().filter_map(cells) {
            let [at, call, subject] = row[..] else {
                continue;
            };
            let (Some(at), Some((request, reply))) = (number(at), call.split_once('→')) else {
                continue;
            };
            let (request, reply) = (name(request).unwrap(), name(reply.trim()).unwrap());
            found.insert((protocol, Direction::Up, at, request));
            found.insert((protocol, Direction::Down, at, reply));
            stream_frames(protocol, subject, &mut found);
        }
    }
    // The one that stands in prose, for it is no request.
    assert!(DOC.contains("starts with `Present` (0x01, the pass)"));
    found.insert((Protocol::Peer, Direction::Up, 0x01, "Present".into()));
    found
}

fn golden() -> Numbered {
    all()
        .iter()
        .filter(|golden| golden.name != "Error")
        .map(|g| (g.protocol, g.direction, g.kind, g.name.to_owned()))
        .collect()
}

#[test]
fn the_document_lists_the_messages_of_the_code_and_no_others() {
    assert_eq!(documented(), golden());
}

#[test]
fn every_message_of_the_source_has_golden_bytes() {
    for (protocol, source) in [(Protocol::Index, INDEX), (Protocol::Peer, PEER)] {
        let listed: BTreeSet<(u8, String)> = golden()
            .into_iter()
            .filter(|(of, ..)| *of == protocol)
            .map(|(_, _, number, name)| (number, name))
            .collect();
        let declared: BTreeSet<(u8, String)> = source
            .lines()
            .filter_map(|line| line.strip_prefix("message!("))
            .map(|rest| {
                let (at, rest) = rest.split_once(' ').unwrap();
                (number(at).unwrap(), name(rest).unwrap())
            })
            .collect();
        assert_eq!(declared, listed);
    }
}

#[test]
fn numbers_are_unique_per_protocol_and_direction() {
    let mut taken = BTreeMap::new();
    for (protocol, direction, number, name) in golden() {
        assert_ne!(number, 0xff, "0xff is the error's");
        if let Some(other) = taken.insert((protocol, direction, number), name.clone()) {
            // Data goes down on two kinds of streams; one name, one number.
            panic!("{name} and {other} share {number:#04x} {direction:?} of {protocol:?}");
        }
    }
}

/// `0x30`, `0x16, 0x19`, `0x37–0x3f`
fn reserved(protocol: Protocol) -> BTreeSet<u8> {
    let heading = match protocol {
        Protocol::Index => "## The index protocol",
        Protocol::Peer => "## The peer protocol",
    };
    let (_, table) = section(heading)
        .split_once("Reserved for replication")
        .unwrap();
    let mut numbers = BTreeSet::new();
    for row in table.lines().filter_map(cells) {
        for part in row[0].split(", ") {
            match part.split_once('–') {
                Some((from, to)) => {
                    numbers.extend(number(from).unwrap()..=number(to).unwrap());
                }
                None => numbers.extend(number(part)),
            }
        }
    }
    numbers
}

#[test]
fn reserved_numbers_are_unused() {
    let index: BTreeSet<u8> = (0x39..=0x3f).collect();
    assert_eq!(reserved(Protocol::Index), index);
    let peer = BTreeSet::from([0x0b, 0x16, 0x1e, 0x1f]);
    assert_eq!(reserved(Protocol::Peer), peer);
    for (protocol, _, number, name) in golden() {
        assert!(
            !reserved(protocol).contains(&number),
            "{name} uses {number:#04x}"
        );
    }
}

fn retry_of(text: &str) -> Retry {
    match text {
        "Never" => Retry::Never,
        "Later" => Retry::Later,
        "FreshRoute" => Retry::FreshRoute,
        "FreshPass" => Retry::FreshPass,
        other => panic!("no retry class: {other:?}"),
    }
}

#[test]
fn the_table_of_error_codes_is_the_codes() {
    let mut documented = BTreeMap::new();
    for row in section("### `Error` (0xff)").lines().filter_map(cells) {
        if row.len() != 7 {
            continue;
        }
        for half in [&row[..3], &row[4..]] {
            if let Ok(number) = half[0].parse::<u16>() {
                let text = half[1].trim_end_matches(" (reserved)");
                documented.insert(number, (text.to_owned(), half[2].to_owned()));
            }
        }
    }
    assert_eq!(documented.len(), ErrorCode::ALL.len());
    for code in ErrorCode::ALL {
        let (text, retry) = &documented[&code.number()];
        assert_eq!(text, code.text(), "{}", code.number());
        assert_eq!(retry_of(retry), code.retry(), "{text}");
    }
}

#[test]
fn the_table_of_retry_classes_is_the_enum() {
    let mut seen = 0;
    for row in section("### `Error` (0xff)").lines().filter_map(cells) {
        let [class, number, _] = row[..] else {
            continue;
        };
        if let Ok(number) = number.parse::<u8>() {
            assert_eq!(retry_of(class) as u8, number);
            assert_eq!(postcard::to_stdvec(&retry_of(class)).unwrap(), [number]);
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
}

#[test]
fn the_documented_bounds_are_the_limits() {
    use waypost::limits;
    let frames = section("## Frames");
    let bound = |text: &str| {
        let row = frames
            .lines()
            .filter_map(cells)
            .find(|row| row[0].starts_with(text));
        row.expect(text)[1].to_owned()
    };
    assert_eq!(bound("a frame with a batch"), "8 MiB + 64 KiB");
    assert_eq!(limits::FRAME_BYTES, (8 << 20) + (64 << 10));
    assert_eq!(bound("a request without a batch"), "64 KiB");
    assert_eq!(limits::METADATA_REQUEST_BYTES, 64 << 10);
    assert_eq!(bound("a reply without a batch"), "1 MiB");
    assert_eq!(limits::METADATA_REPLY_BYTES, 1 << 20);
    assert_eq!(bound("a message:"), "4 MiB");
    assert_eq!(limits::MESSAGE_BYTES, 4 << 20);
    assert_eq!(bound("a batch"), "8 MiB, 131,072 messages");
    assert_eq!(limits::BATCH_BYTES, 8 << 20);
    assert_eq!(limits::BATCH_MESSAGES, 131_072);
}

#[test]
fn the_alpns_are_the_documented_ones() {
    for alpn in [waypost::wire::ALPN_INDEX, waypost::wire::ALPN_PEER] {
        let alpn = std::str::from_utf8(alpn).unwrap();
        assert!(DOC.contains(&format!("`{alpn}`")), "{alpn}");
    }
}
