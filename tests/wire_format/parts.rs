//! What travels inside messages: error replies, the pass, enums, lists over their bounds.

use super::golden::{TOPIC, hex, only_frame};
use super::golden_index::{body, metadata};
use serde::Serialize;
use waypost::limits;
use waypost::wire::frame::encode;
use waypost::wire::index::{Report, SessionOpen};
use waypost::wire::pass::{SIGNATURE_DOMAIN, SignedPass};
use waypost::wire::peer::{ReadFrom, TopicStatus};
use waypost::wire::{DecodeError, ErrorCode, ErrorReply, Retry};

fn postcard_hex(value: &impl Serialize) -> String {
    hex(&postcard::to_stdvec(value).unwrap())
}

#[test]
fn error_replies_of_each_retry_class() {
    let cases = [
        (Retry::Never, ErrorCode::Malformed, "05000000ff02000178"),
        (Retry::Later, ErrorCode::StorageFull, "05000000ff21010178"),
        (Retry::FreshRoute, ErrorCode::NotHost, "05000000ff1e020178"),
        (Retry::FreshPass, ErrorCode::BadPass, "05000000ff0d030178"),
    ];
    for (retry, code, frozen) in cases {
        let reply = ErrorReply::new(code, "x");
        assert_eq!((reply.retry, reply.code()), (retry, code));
        assert_eq!(hex(&encode(&reply)), frozen);
        let frame = only_frame(&encode(&reply));
        assert_eq!(frame.decode::<ErrorReply>().unwrap(), reply);
    }
}

#[test]
fn an_error_code_of_a_later_version_still_decodes() {
    // Code 999 as a varint, retry class 1, "later".
    let bytes = [0xe7, 0x07, 1, 5, b'l', b'a', b't', b'e', b'r'];
    let reply: ErrorReply = postcard::from_bytes(&bytes).unwrap();
    assert_eq!((reply.code, reply.retry), (999, Retry::Later));
    assert_eq!(reply.code(), ErrorCode::Internal);
    // A retry class of a later version does not: there are four.
    assert!(postcard::from_bytes::<ErrorReply>(&[2, 4, 0]).is_err());
}

#[test]
fn the_pass_is_signed_over_these_bytes() {
    let frozen = format!("{}013107{}01", "22".repeat(32), "8080f28183898506");
    assert_eq!(postcard_hex(&body()), frozen);
    let bytes = postcard::to_stdvec(&body()).unwrap();
    let pass = SignedPass {
        body: bytes.clone(),
        issuer: vec![],
        signature: vec![],
    };
    assert_eq!(pass.read_body().unwrap(), body());
    assert_eq!(SIGNATURE_DOMAIN, b"waypost pass v1\0");
    assert_eq!(
        SignedPass::signed_bytes(&bytes),
        [SIGNATURE_DOMAIN, &bytes].concat()
    );
}

#[test]
fn an_enum_variant_of_a_later_version_is_refused() {
    use waypost::wire::index::{Assignment, CreateOutcome, NoticeKind, SessionEnd};
    let noise = [0u8; 64];
    let with = |number: u8| [&[number][..], &noise].concat();
    assert!(postcard::take_from_bytes::<ReadFrom>(&with(5)).is_err());
    assert!(postcard::take_from_bytes::<CreateOutcome>(&with(3)).is_err());
    assert!(postcard::take_from_bytes::<NoticeKind>(&with(1)).is_err());
    assert!(postcard::take_from_bytes::<SessionEnd>(&with(4)).is_err());
    // Replicate, Release and Grant are reserved, not there.
    for number in 2..=4 {
        assert!(postcard::take_from_bytes::<Assignment>(&with(number)).is_err());
    }
}

#[test]
fn lists_over_their_bound_are_refused_with_the_bound() {
    let report = Report {
        serial: 1,
        topics: vec![(TOPIC, metadata()); limits::REPORTS_PER_FRAME + 1],
        behind: vec![],
    };
    let frame = only_frame(&encode(&report));
    let expected = DecodeError::TooMany {
        message: "Report",
        found: limits::REPORTS_PER_FRAME + 1,
        max: limits::REPORTS_PER_FRAME,
    };
    assert_eq!(frame.decode::<Report>().unwrap_err(), expected);
    let reply = ErrorReply::from(expected);
    assert_eq!(reply.code(), ErrorCode::TooLarge);

    let status = TopicStatus {
        topics: vec![(TOPIC, Default::default()); limits::PAGE_ENTRIES as usize + 1],
    };
    let frame = only_frame(&encode(&status));
    let error = frame.decode::<TopicStatus>().unwrap_err();
    assert!(matches!(
        error,
        DecodeError::TooMany {
            message: "TopicStatus",
            ..
        }
    ));

    let open = SessionOpen {
        boot: super::golden::BOOT,
        storage: super::golden::STORAGE,
        incarnation: 0,
        addresses: vec!["127.0.0.1:1".parse().unwrap(); limits::PEER_ADDRESSES + 1],
        version: "x".into(),
        keeps_copies: true,
    };
    let error = only_frame(&encode(&open)).decode::<SessionOpen>();
    assert!(matches!(
        error,
        Err(DecodeError::TooMany {
            message: "SessionOpen",
            ..
        })
    ));
}

#[test]
fn a_list_that_claims_to_be_endless_costs_nothing() {
    // 2^63 names in a LookupMany of eleven bytes.
    let bytes = [
        0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0,
    ];
    let frame = waypost::wire::Frame {
        kind: 0x03,
        rest: bytes.to_vec().into(),
    };
    let error = frame.decode::<waypost::wire::index::LookupMany>();
    assert!(matches!(error, Err(DecodeError::Header { .. })));
}

#[test]
fn hostile_names_are_refused_where_they_are_decoded() {
    use waypost::wire::index::{Lookup, Register};
    let long = "x".repeat(10_000);
    for name in [
        "",
        "a b",
        "a\0",
        "a\nb",
        "Т1",
        "a\u{202e}b",
        "a:b",
        "a\\b",
        &long,
    ] {
        let frame = |kind: u8, rest: Vec<u8>| waypost::wire::Frame {
            kind,
            rest: rest.into(),
        };
        let lookup = frame(0x02, postcard::to_stdvec(name).unwrap());
        let error = lookup.decode::<Lookup>();
        assert!(
            matches!(
                error,
                Err(DecodeError::Header {
                    message: "Lookup",
                    ..
                })
            ),
            "{name:?}"
        );
        let register = frame(0x01, postcard::to_stdvec(&(name, "0.1.0")).unwrap());
        assert!(register.decode::<Register>().is_err(), "{name:?}");
    }
    // A legal topic that would be a path is no peer name.
    for name in ["../x", "..", "/etc/passwd", "index", ".hidden"] {
        let rest = postcard::to_stdvec(&(name, "0.1.0")).unwrap();
        let frame = waypost::wire::Frame {
            kind: 0x01,
            rest: rest.into(),
        };
        assert!(frame.decode::<Register>().is_err(), "{name:?}");
    }
}
