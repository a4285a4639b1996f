//! Amounts as people write and read them: bytes, durations, ages.

use std::time::Duration;

use crate::types::UnixMicros;

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a size.
    #[error("{found:?} is not a size; expected such as 4096, 64KiB, 1GB")]
    Bytes {
        /// The text.
        found: String,
    },
    /// Not a duration.
    #[error("{found:?} is not a duration; expected such as 500ms, 10s, 1h30m, 7d")]
    Duration {
        /// The text.
        found: String,
    },
}

const BYTE_UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("t", 1 << 40),
];
const DECIMAL_UNITS: [(&str, u64); 4] = [
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];
const TIME_UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// Splits `12x...` into 12, `x` and the rest.
fn split_amount(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    let rest = &text[digits..];
    let unit = rest
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(rest.len());
    Some((number, rest[..unit].trim(), &rest[unit..]))
}

/// Reads a size: a number of bytes, with a binary (`KiB`, `K`) or decimal (`KB`) unit.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let parse = || {
        let (number, unit, rest) = split_amount(text.trim())?;
        let unit = unit.to_ascii_lowercase();
        let (_, factor) = BYTE_UNITS
            .iter()
            .chain(&DECIMAL_UNITS)
            .find(|(name, _)| *name == unit)?;
        number.checked_mul(*factor).filter(|_| rest.is_empty())
    };
    parse().ok_or_else(|| UnitError::Bytes {
        found: text.to_owned(),
    })
}

/// Reads a duration: numbers with units, or seconds without one.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let parse = || {
        let mut rest = text.trim();
        if let Ok(seconds) = rest.parse::<u32>() {
            return Some(Duration::from_secs(seconds.into()));
        }
        let mut total_ms = 0_u64;
        while !rest.is_empty() {
            let (number, unit, after) = split_amount(rest)?;
            let (_, factor) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
            total_ms = total_ms.checked_add(number.checked_mul(*factor)?)?;
            rest = after;
        }
        (!text.trim().is_empty()).then_some(Duration::from_millis(total_ms))
    };
    parse().ok_or_else(|| UnitError::Duration {
        found: text.to_owned(),
    })
}

/// Bytes for people: `1.5 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // What would print as 1024.0 belongs to the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A duration for people, in its largest one or two units: `350ms`, `12s`, `3m05s`, `2h10m`, `9d`.
pub fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A count with its noun: `1 topic`, `2 topics`.
pub fn count(n: u64, noun: &str) -> String {
    match n {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}

/// The largest lag of some copies, after the word "behind"; nothing where none is known.
pub fn lag(largest: u64) -> String {
    match largest {
        0 => String::new(),
        largest => format!(" by up to {}", count(largest, "message")),
    }
}

/// A time for programs: RFC 3339 with microseconds.
pub fn rfc3339(time: UnixMicros) -> String {
    match jiff::Timestamp::from_microsecond(time.0) {
        Ok(time) => format!("{time:.6}"),
        // Beyond what a calendar holds; the number is all there is to say.
        Err(_) => time.0.to_string(),
    }
}

/// How long ago a time lies, for people.
pub fn ago(now: UnixMicros, then: UnixMicros) -> String {
    let micros = u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0);
    format!("{} ago", age(Duration::from_micros(micros)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_read_and_print() {
        for (text, count) in [
            ("0", 0),
            ("4096", 4096),
            ("64KiB", 65536),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(parse_bytes(text), Ok(count), "{text}");
        }
        for text in ["", "x", "1.5G", "-1", "1 GiB 2", "99999999999T", "1Q"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn durations_read_and_print() {
        for (text, ms) in [
            ("500ms", 500),
            ("10", 10_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in ["", "s", "1x", "-1s", "1s2", "999999999999999999w"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for (ms, text) in [
            (350, "350ms"),
            (12_000, "12s"),
            (185_000, "3m05s"),
            (7_800_000, "2h10m"),
        ] {
            assert_eq!(age(Duration::from_millis(ms)), text);
        }
        assert_eq!(age(Duration::from_secs(9 * 86_400)), "9d");
    }

    #[test]
    fn times_print_for_programs_and_people() {
        let time = UnixMicros(1_763_769_600_000_001);
        assert_eq!(rfc3339(time), "2025-11-22T00:00:00.000001Z");
        assert_eq!(rfc3339(UnixMicros(i64::MAX)), i64::MAX.to_string());
        assert_eq!(ago(UnixMicros(12_000_000), UnixMicros(0)), "12s ago");
        assert_eq!(ago(UnixMicros(0), UnixMicros(5)), "0ms ago");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in any::<String>(), count in any::<u64>()) {
            let _ = parse_bytes(&text);
            let _ = parse_duration(&text);
            let _ = bytes(count);
            prop_assert_eq!(parse_bytes(&count.to_string()), Ok(count));
        }
    }
}
