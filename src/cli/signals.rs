//! SIGINT and SIGTERM.

use tokio::signal::unix::{SignalKind, signal};

use super::error::{CliError, Exit};

/// Completes at the first SIGINT or SIGTERM. The handlers stand when this returns, so that no
/// signal is missed between here and the first poll; a second one ends the process as usual.
pub fn shutdown() -> Result<impl Future<Output = ()>, CliError> {
    let failed = |error: std::io::Error| {
        CliError::new("signals", Exit::Other, "cannot wait for signals").detail("cause", error)
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // Asked twice: whoever asks does not want to wait for what is in flight.
            std::process::exit(EXIT_ON_SECOND_SIGNAL);
        });
    })
}

/// What shells report for a process that SIGINT ended.
const EXIT_ON_SECOND_SIGNAL: i32 = 130;
