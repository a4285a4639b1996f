//! How fast copies that are not in sync are brought up to date: a bucket of bytes. Pure.
//!
//! Sending is asked for before its size is known, so the bucket may go into debt by what was read; the next
//! one waits until that is paid off. What stands idle saves up at most a tenth of a second.

use std::time::Duration;

use crate::types::MonoNs;

/// How much may be saved up.
const BURST: Duration = Duration::from_millis(100);
const NANOS_PER_S: i128 = 1_000_000_000;

/// See the module. Levels are counted in bytes times nanoseconds a second, so that nothing is rounded.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_s: i128,
    level: i128,
    as_of: MonoNs,
}

impl Pace {
    /// A full bucket. At least a byte a second flows in.
    pub(super) fn new(bytes_per_s: u64) -> Self {
        let bytes_per_s = i128::from(bytes_per_s.max(1));
        Pace {
            bytes_per_s,
            level: bytes_per_s * BURST.as_nanos() as i128,
            as_of: MonoNs(0),
        }
    }

    /// How long to wait before sending; zero: now.
    pub(super) fn wait(&mut self, now: MonoNs) -> Duration {
        self.fill(now);
        match self.level >= 0 {
            true => Duration::ZERO,
            false => {
                // Rounded up: the level is paid off then.
                let nanos = (self.bytes_per_s - 1 - self.level) / self.bytes_per_s;
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
        }
    }

    /// So much was sent.
    pub(super) fn sent(&mut self, bytes: usize, now: MonoNs) {
        self.fill(now);
        self.level -= bytes as i128 * NANOS_PER_S;
    }

    fn fill(&mut self, now: MonoNs) {
        let passed = now.since(self.as_of).as_nanos() as i128;
        let most = self.bytes_per_s * BURST.as_nanos() as i128;
        self.level = (self.level + self.bytes_per_s * passed).min(most);
        self.as_of = now.max(self.as_of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MonoNs {
        MonoNs(ms * 1_000_000)
    }

    #[test]
    fn debt_is_paid_off_before_the_next_and_little_is_saved_up() {
        let mut pace = Pace::new(1_000);
        assert_eq!(pace.wait(ms(0)), Duration::ZERO);
        pace.sent(600, ms(0));
        // A hundred were saved up.
        assert_eq!(pace.wait(ms(0)), Duration::from_millis(500));
        assert_eq!(pace.wait(ms(499)), Duration::from_millis(1));
        assert_eq!(pace.wait(ms(500)), Duration::ZERO);
        // Long idleness saves up a tenth of a second, no more.
        pace.sent(1_100, ms(100_000));
        assert_eq!(pace.wait(ms(100_000)), Duration::from_secs(1));
        // A clock that seems to go back gives nothing.
        assert_eq!(pace.wait(ms(99_000)), Duration::from_secs(1));
        assert_eq!(pace.wait(ms(101_000)), Duration::ZERO);
    }

    #[test]
    fn over_time_it_is_the_rate_whatever_the_sizes() {
        let rate = 10_000_000;
        let mut pace = Pace::new(rate);
        let (mut now, mut sent) = (ms(0), 0u64);
        let sizes = [1usize, 262_144, 5_000, 8 << 20];
        for size in sizes.into_iter().cycle().take(400) {
            now = now.plus(pace.wait(now));
            pace.sent(size, now);
            sent += size as u64;
        }
        let paid = now.plus(pace.wait(now));
        let due = rate as f64 * (paid.0 as f64 / 1e9 + BURST.as_secs_f64());
        let ratio = sent as f64 / due;
        assert!((0.999..=1.001).contains(&ratio), "{ratio}");
    }

    #[test]
    fn no_rate_is_still_a_byte_a_second() {
        let mut pace = Pace::new(0);
        pace.sent(2, ms(0));
        assert!(pace.wait(ms(0)) <= Duration::from_secs(2));
    }
}
