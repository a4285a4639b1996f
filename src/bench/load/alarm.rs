//! A timer that wakes its own thread's runtime, exact to what the kernel takes to wake a thread.
//!
//! The runtime's timers have a grain of a millisecond. A thread that sleeps and then wakes the runtime's is
//! late by what handing over takes, and one that polls the clock takes a core from what is measured.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock;
use crate::types::MonoNs;

/// The last part of a wait, for which the thread yields instead: about what it takes to be woken.
const GRAIN: Duration = Duration::from_micros(40);

/// A Linux timerfd on the clock of [`clock::mono_now`].
#[derive(Debug)]
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// An alarm for tasks of the current runtime.
    #[expect(
        deprecated,
        reason = "unsound only for types that may change their descriptor, which an OwnedFd never does; \
                  what replaces it is unsafe"
    )]
    pub fn new() -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        Ok(Alarm(AsyncFd::with_interest(timer, Interest::READABLE)?))
    }

    /// Waits until `due`; returns at once if that is over.
    pub async fn until(&self, due: MonoNs) -> io::Result<()> {
        let left = due.since(clock::mono_now());
        if left > GRAIN {
            self.sleep_until(MonoNs(due.0 - GRAIN.as_nanos() as u64))
                .await?;
        }
        while clock::mono_now() < due {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn sleep_until(&self, due: MonoNs) -> io::Result<()> {
        let time = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: (due.0 / 1_000_000_000) as i64,
                tv_nsec: (due.0 % 1_000_000_000) as _,
            },
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &time)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut expired = [0; 8];
            match ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expired)?)) {
                Ok(read) => return read.map(drop),
                // It was readable for the time before.
                Err(_) => continue,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_woken_early() {
        let alarm = Alarm::new().unwrap();
        for micros in [0, 10, 300, 2_000, 300] {
            let due = clock::mono_now().plus(Duration::from_micros(micros));
            alarm.until(due).await.unwrap();
            assert!(clock::mono_now() >= due, "{micros} us");
        }
        // What is over is not waited for.
        alarm.until(MonoNs(0)).await.unwrap();
    }
}
