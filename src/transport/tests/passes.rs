//! Signing and checking passes.

use super::*;
use crate::types::{PeerName, UnixMicros};
use crate::wire::pass::PassBody;

const HOUR: i64 = 3_600_000_000;

fn body(peer: Fingerprint) -> PassBody {
    PassBody {
        fingerprint: peer,
        name: PeerName::new("peer-1").unwrap(),
        serial: 300,
        issued: UnixMicros(HOUR),
        expires: UnixMicros(2 * HOUR),
    }
}

#[test]
fn a_pass_of_the_pinned_index_is_taken() {
    let index = Identity::ephemeral();
    let peer = Fingerprint([5; 32]);
    let pass = index.sign_pass(&body(peer));
    let verify = |now| verify_pass(&pass, index.fingerprint(), peer, UnixMicros(now));
    assert_eq!(verify(HOUR).unwrap(), body(peer));
    // The clock here may be behind the index's, and a day ahead of it.
    assert!(verify(0).is_ok());
    assert!(verify(26 * HOUR).is_ok());
    let error = verify(26 * HOUR + 1).unwrap_err();
    assert!(matches!(error, PassError::Expired { .. }));
    assert_eq!(ErrorReply::from(error).code(), ErrorCode::BadPass);
}

#[test]
fn a_pass_of_another_index_is_refused() {
    let (index, other) = (Identity::ephemeral(), Identity::ephemeral());
    let peer = Fingerprint([5; 32]);
    let pass = other.sign_pass(&body(peer));
    let error = verify_pass(&pass, index.fingerprint(), peer, UnixMicros(HOUR)).unwrap_err();
    let expected = index.fingerprint();
    let found = other.fingerprint();
    assert_eq!(error, PassError::OtherIndex { expected, found });
    // The right issuer's name under another's signature.
    let mut forged = pass;
    forged.issuer = index.sign_pass(&body(peer)).issuer;
    let error = verify_pass(&forged, index.fingerprint(), peer, UnixMicros(HOUR)).unwrap_err();
    assert!(matches!(error, PassError::Signature { .. }));
}

#[test]
fn a_pass_for_another_peer_is_refused() {
    let index = Identity::ephemeral();
    let pass = index.sign_pass(&body(Fingerprint([5; 32])));
    let thief = Fingerprint([6; 32]);
    let error = verify_pass(&pass, index.fingerprint(), thief, UnixMicros(HOUR)).unwrap_err();
    assert!(matches!(error, PassError::OtherPeer { .. }));
}

#[test]
fn a_changed_pass_is_refused() {
    let index = Identity::ephemeral();
    let peer = Fingerprint([5; 32]);
    let pass = index.sign_pass(&body(peer));
    for at in 0..pass.body.len() {
        let mut changed = pass.clone();
        changed.body[at] ^= 1;
        let error = verify_pass(&changed, index.fingerprint(), peer, UnixMicros(HOUR));
        assert!(matches!(error, Err(PassError::Signature { .. })));
    }
    for length in [0, 1, 63] {
        let mut cut = pass.clone();
        cut.signature.truncate(length);
        assert!(verify_pass(&cut, index.fingerprint(), peer, UnixMicros(HOUR)).is_err());
        let mut cut = pass.clone();
        cut.issuer.truncate(length.min(43));
        assert!(verify_pass(&cut, index.fingerprint(), peer, UnixMicros(HOUR)).is_err());
    }
}

/// A released pass must verify for ever: the bytes are frozen. Issuer and signature were computed
/// with OpenSSL, so that it is plain ed25519.
#[test]
fn golden_pass() {
    // PKCS #8 of the ed25519 seed 01 02 .. 20.
    let mut pkcs8 = hex("302e020100300506032b657004220420");
    pkcs8.extend(1..=32u8);
    let index = Identity::from_pkcs8(&pkcs8).unwrap();
    let peer = Fingerprint([5; 32]);
    let pass = index.sign_pass(&body(peer));
    assert_eq!(
        text(&pass.body),
        concat!(
            "050505050505050505050505050505050505050505050505050505050505050506706565722d31ac",
            "0280909de91a80a0bad235",
        )
    );
    assert_eq!(
        text(&pass.issuer),
        "302a300506032b657003210079b5562e8fe654f94078b112e8a98ba7901f853ae695bed7e0e3910bad049664"
    );
    assert_eq!(
        text(&pass.signature),
        concat!(
            "1e74a1de411e7dab4c3f0d1ec75c0cbbec469cb3ce599c3ce0f2e6fa838a4bb2a1dab631e71ee2fa",
            "bd2bd493499390fb21a8fbbf7e6d796edc254f85b29b6406",
        )
    );
    verify_pass(&pass, index.fingerprint(), peer, UnixMicros(HOUR)).unwrap();
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
