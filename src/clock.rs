//! The only place that reads clocks. Shells call it and hand the values on; logic gets `now` as an
//! argument.

use rustix::time::{ClockId, clock_gettime};

use crate::types::{MonoNs, UnixMicros};

/// CLOCK_BOOTTIME.
pub fn mono_now() -> MonoNs {
    let time = clock_gettime(ClockId::Boottime);
    MonoNs(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// The wall clock, for people, retention and replay.
pub fn wall_now() -> UnixMicros {
    let time = clock_gettime(ClockId::Realtime);
    UnixMicros(time.tv_sec * 1_000_000 + time.tv_nsec / 1_000)
}
