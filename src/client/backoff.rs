//! How long to wait before the next try: exponential with full jitter. Pure.

use std::time::Duration;

/// The pause before the second try.
const FIRST: Duration = Duration::from_millis(20);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(2);

/// Counts tries and gives pauses. The n-th pause lies between half and all of
/// `min(20 ms * 2^n, 2 s)`, so that many peers that lost the same index do not come back at once.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The next pause; `random` is any random number.
    pub fn next(&mut self, random: u32) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.tries.min(16)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// Pauses given so far.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Something went well: start over.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over() {
        let mut backoff = Backoff::default();
        let most: Vec<u128> = (0..9).map(|_| backoff.next(u32::MAX).as_millis()).collect();
        assert_eq!(most, [20, 40, 80, 160, 320, 640, 1280, 2000, 2000]);
        backoff.reset();
        assert_eq!(backoff.next(0), Duration::from_millis(10));
        assert_eq!(backoff.tries(), 1);
    }
}
