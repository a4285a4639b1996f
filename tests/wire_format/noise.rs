//! Bytes from anywhere: no decoder panics, and what decodes is written and read again as the same.
//!
//! proptest prints the failing input and its seed; the inputs also go through the very functions
//! that the fuzz targets run.

use super::golden::all;
use proptest::prelude::*;
use waypost::fuzzing;

/// A number that exists, mostly, before noise.
fn numbered() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![4 => 1u8..0x39, 1 => any::<u8>()];
    (kind, prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(kind, mut rest)| {
        rest.insert(0, kind);
        rest
    })
}

/// A golden message with some bytes changed, the length left out.
fn bent() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (
        any::<prop::sample::Index>(),
        prop::collection::vec(change, 1..4),
    )
        .prop_map(|(which, changes)| {
            let all = all();
            let mut bytes = all[which.index(all.len())].frozen[4..].to_vec();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes
        })
}

proptest! {
    #[test]
    fn noise_never_panics_a_decoder(bytes in numbered()) {
        fuzzing::index_request(&bytes);
        fuzzing::peer_request(&bytes);
    }

    #[test]
    fn bent_messages_never_panic_a_decoder(bytes in bent()) {
        fuzzing::index_request(&bytes);
        fuzzing::peer_request(&bytes);
    }

    #[test]
    fn noise_never_panics_the_framing(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzzing::frame(&bytes);
    }

    #[test]
    fn noise_never_panics_the_batch(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzzing::batch(&bytes);
    }
}
