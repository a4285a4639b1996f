//! The two times: one for logic, one for people.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds of CLOCK_BOOTTIME: the only `now` that logic sees. It never goes back and runs on
/// while the machine sleeps; two machines' values cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MonoNs(pub u64);

impl MonoNs {
    /// The time `duration` later.
    pub fn plus(self, duration: Duration) -> MonoNs {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        MonoNs(self.0.saturating_add(nanos))
    }

    /// How long `earlier` lies back; zero if it lies ahead.
    pub fn since(self, earlier: MonoNs) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Microseconds since 1970-01-01 UTC: for people, retention and replay, never for decisions about
/// who may do what.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct UnixMicros(pub i64);

impl UnixMicros {
    /// The time `duration` later.
    pub fn plus(self, duration: Duration) -> UnixMicros {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        UnixMicros(self.0.saturating_add(micros))
    }
}

impl fmt::Display for UnixMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{}", time.strftime("%Y-%m-%d %H:%M:%SZ")),
            Err(_) => write!(f, "{} µs", self.0),
        }
    }
}
