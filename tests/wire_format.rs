//! The formats on the wire, frozen: golden bytes of every message, what malformed ones are answered
//! with, and that docs/WIRE.md tells the truth about numbers and codes.

#[path = "wire_format/documented.rs"]
mod documented;
#[path = "wire_format/golden.rs"]
mod golden;
#[path = "wire_format/golden_copies.rs"]
mod golden_copies;
#[path = "wire_format/golden_index.rs"]
mod golden_index;
#[path = "wire_format/golden_peer.rs"]
mod golden_peer;
#[path = "wire_format/golden_recovery.rs"]
mod golden_recovery;
#[path = "wire_format/golden_replication.rs"]
mod golden_replication;
#[path = "wire_format/golden_session.rs"]
mod golden_session;
#[path = "wire_format/noise.rs"]
mod noise;
#[path = "wire_format/parts.rs"]
mod parts;

use bytes::Bytes;
use golden::{Golden, all, hex, only_frame};
use waypost::wire::frame::LENGTH_BYTES;
use waypost::wire::index::IndexRequest;
use waypost::wire::peer::PeerRequest;
use waypost::wire::{DecodeError, Frame, FrameDecoder, WireRequest};

#[test]
fn every_message_has_its_golden_bytes() {
    let wrong: Vec<String> = all()
        .iter()
        .filter(|golden| golden.encoded != golden.frozen)
        .map(|golden| format!("{} {}", golden.name, hex(&golden.encoded)))
        .collect();
    assert!(
        wrong.is_empty(),
        "changed on the wire:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn golden_bytes_decode_to_the_value() {
    for golden in all() {
        let frame = only_frame(&golden.frozen);
        assert_eq!(frame.kind, golden.kind, "{}", golden.name);
        (golden.check)(&frame).unwrap();
    }
}

#[test]
fn a_frame_cut_anywhere_is_no_frame() {
    for golden in all() {
        for length in 1..golden.frozen.len() {
            let mut decoder = FrameDecoder::new(1 << 20);
            decoder.push(&golden.frozen[..length]);
            assert_eq!(decoder.next(), Ok(None), "{}", golden.name);
            let cut = decoder.finish();
            assert!(matches!(cut, Err(DecodeError::Cut { missing }) if missing > 0));
        }
    }
}

#[test]
fn a_header_cut_anywhere_is_refused_by_name() {
    for golden in all() {
        let frame = only_frame(&golden.frozen);
        let header = frame.rest.len() - golden.payload.unwrap_or(0);
        for length in 0..header {
            let cut = Frame {
                kind: frame.kind,
                rest: frame.rest.slice(..length),
            };
            let error = (golden.check)(&cut).unwrap_err();
            assert!(
                matches!(&error, DecodeError::Header { message, .. } if *message == golden.name),
                "{} cut to {length}: {error}",
                golden.name
            );
        }
    }
}

#[test]
fn trailing_bytes_are_refused_by_name() {
    for golden in all().iter().filter(|golden| golden.payload.is_none()) {
        let frame = only_frame(&golden.frozen);
        let longer = Frame {
            kind: frame.kind,
            rest: [&frame.rest[..], b"\0\0"].concat().into(),
        };
        let expected = DecodeError::Trailing {
            message: golden.name,
            extra: 2,
        };
        assert_eq!((golden.check)(&longer).unwrap_err(), expected);
    }
}

#[test]
fn another_number_is_refused() {
    for golden in all() {
        let frame = only_frame(&golden.frozen);
        let other = Frame {
            kind: frame.kind ^ 0x40,
            rest: frame.rest,
        };
        let expected = DecodeError::UnknownKind {
            found: golden.kind ^ 0x40,
            expected: golden.name,
        };
        assert_eq!((golden.check)(&other).unwrap_err(), expected);
    }
}

/// A server decodes a stream's first frame by the protocol's enum; frames of long streams and the
/// pass are none of its requests.
#[test]
fn servers_take_requests_and_nothing_else() {
    use golden::{Direction, Protocol};
    let not_first = ["Present", "AppendNext", "Add", "Remove", "Credit", "Ack"];
    let not_first_either = ["Heartbeat", "Assigned", "Report"];
    let of_replicas = ["ReplicaJoin", "PositionsAck", "ReplicaLeave"];
    let up = |golden: &&Golden| golden.direction == Direction::Up;
    for golden in all().iter().filter(up) {
        let frame = only_frame(&golden.frozen);
        let decoded = match golden.protocol {
            Protocol::Index => {
                IndexRequest::decode(&frame).map(|(request, rest)| (request.name(), rest))
            }
            Protocol::Peer => {
                PeerRequest::decode(&frame).map(|(request, rest)| (request.name(), rest))
            }
        };
        let lists = [&not_first[..], &not_first_either, &of_replicas];
        if lists.iter().any(|list| list.contains(&golden.name)) {
            assert!(matches!(decoded, Err(DecodeError::UnknownKind { .. })));
        } else {
            let (name, payload) = decoded.unwrap();
            assert_eq!(
                (name, payload.len()),
                (golden.name, golden.payload.unwrap_or(0))
            );
        }
    }
}

#[test]
fn the_length_is_little_endian_and_counts_what_follows() {
    for golden in all() {
        let (length, rest) = golden.frozen.split_at(LENGTH_BYTES);
        let length = u32::from_le_bytes(length.try_into().unwrap());
        assert_eq!(length as usize, rest.len(), "{}", golden.name);
        assert_eq!(rest[0], golden.kind);
    }
}

#[test]
fn a_frame_over_the_bound_is_refused_by_its_length() {
    let golden = &all()[0];
    let length = golden.frozen.len() - LENGTH_BYTES;
    let mut decoder = FrameDecoder::new(length - 1);
    decoder.push(&golden.frozen[..LENGTH_BYTES]);
    let expected = DecodeError::TooLong {
        found: length,
        max: length - 1,
    };
    assert_eq!(decoder.next(), Err(expected));
    let mut decoder = FrameDecoder::new(length);
    decoder.push(&golden.frozen);
    assert!(decoder.next().unwrap().is_some());
}

#[test]
fn an_empty_frame_is_refused() {
    let mut decoder = FrameDecoder::new(100);
    decoder.push(&Bytes::from_static(&[0; LENGTH_BYTES]));
    assert_eq!(decoder.next(), Err(DecodeError::Empty));
}
