//! Checksums of parts, joined: CRC-32C (RFC 3720, section 12.1).
//!
//! A CRC is a remainder modulo a polynomial P over GF(2), so the checksum of `a` and then `b` is that of `a`
//! times x^(8·|b|), plus that of `b`, modulo P (M. Adler, `crc32_combine` in zlib). That is some ten
//! multiplications, however long `b` is. [`crc32c::crc32c_combine`] squares matrices instead, which takes
//! longer than to read 64 KiB.

/// P without its highest term. As everywhere here, the highest bit is the constant term.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The polynomial x.
const X: u32 = 1 << 30;

/// x^(2^i) modulo P; for `i` from 31 on they come again.
const POWERS: [u32; 31] = powers();

const fn powers() -> [u32; 31] {
    let mut powers = [X; 31];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = times(powers[i - 1], powers[i - 1]);
        i += 1;
    }
    powers
}

/// The product of two polynomials modulo P. Without branches, which would not be foreseen.
const fn times(a: u32, b: u32) -> u32 {
    let mut product = 0;
    let mut shifted = b;
    let mut power = 0;
    while power < u32::BITS {
        product ^= shifted & is_set(a, 31 - power);
        shifted = shifted >> 1 ^ POLYNOMIAL & is_set(shifted, 0);
        power += 1;
    }
    product
}

/// All ones if the bit is set, or zero.
const fn is_set(bits: u32, bit: u32) -> u32 {
    (bits >> bit & 1).wrapping_neg()
}

/// The checksum of what has the checksum `first`, followed by `bytes` bytes that have the checksum `second`.
pub(super) fn join(first: u32, second: u32, bytes: usize) -> u32 {
    // A byte is x^8.
    let powers = POWERS.iter().cycle().skip(3);
    let mut joined = first;
    let mut left = bytes;
    for power in powers {
        if left == 0 {
            break;
        }
        if left & 1 == 1 {
            joined = times(joined, *power);
        }
        left >>= 1;
    }
    joined ^ second
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn joined_checksums_are_that_of_the_whole(
            bytes in prop::collection::vec(any::<u8>(), 0..5_000),
            cut in any::<prop::sample::Index>(),
        ) {
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let joined = join(crc32c::crc32c(first), crc32c::crc32c(second), second.len());
            prop_assert_eq!(joined, crc32c::crc32c(&bytes));
        }

        #[test]
        fn any_length_is_joined_as_the_library_does(
            first: u32, second: u32, bytes in 0..1_usize << 40,
        ) {
            let expected = crc32c::crc32c_combine(first, second, bytes);
            prop_assert_eq!(join(first, second, bytes), expected);
        }
    }
}
