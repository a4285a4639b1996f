//! Waiting until servers that were filled have nothing left to do by themselves.
//!
//! An index that has taken a million topics goes on for seconds: hosts report, and what they reported is
//! written. Measured beside that, a lookup's average told how much of it was left.

use std::time::Duration;

use super::process::cpu_of;
use crate::clock;
use crate::limits;
use crate::types::MonoNs;

/// What comes at intervals comes within this time.
const QUIET: Duration = limits::REPORT_FLUSH.saturating_add(Duration::from_secs(1));
/// Processor time that is taken for none: sessions say now and then that they live.
const SHARE: f64 = 0.05;
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A server that is never quiet is measured as it is.
const AT_MOST: Duration = Duration::from_secs(60);

/// Since when hardly any processor time was taken. Pure.
#[derive(Debug)]
struct Quiet {
    since: MonoNs,
    last: MonoNs,
    used: Duration,
}

impl Quiet {
    fn new(now: MonoNs, used: Duration) -> Self {
        Quiet {
            since: now,
            last: now,
            used,
        }
    }

    /// How long it has been quiet, `used` being the processor time taken up to now.
    fn look(&mut self, now: MonoNs, used: Duration) -> Duration {
        let allowed = now.since(self.last).mul_f64(SHARE);
        if used.saturating_sub(self.used) > allowed {
            self.since = now;
        }
        self.last = now;
        self.used = used;
        now.since(self.since)
    }
}

/// Returns when these processes have taken hardly any processor time for a while, or after a minute.
pub async fn settled(pids: &[u32]) {
    let used = || pids.iter().copied().map(cpu_of).sum::<Duration>();
    let began = clock::mono_now();
    let mut quiet = Quiet::new(began, used());
    while clock::mono_now().since(began) < AT_MOST {
        tokio::time::sleep(LOOK_EVERY).await;
        if quiet.look(clock::mono_now(), used()) >= QUIET {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_begins_anew_with_each_burst() {
        let at = |millis: u64| MonoNs(millis * 1_000_000);
        let ms = Duration::from_millis;
        let mut quiet = Quiet::new(at(0), ms(100));
        assert_eq!(quiet.look(at(500), ms(400)), ms(0));
        assert_eq!(quiet.look(at(1_000), ms(420)), ms(500));
        assert_eq!(quiet.look(at(1_500), ms(445)), ms(1_000));
        assert_eq!(
            quiet.look(at(2_000), ms(471)),
            ms(0),
            "more than a twentieth"
        );
        assert_eq!(quiet.look(at(2_500), ms(471)), ms(500));
    }
}
