//! Whatever waits for more than a second says for what, on standard error.

use std::fmt::Display;
use std::future::Future;
use std::io::{self, IsTerminal};
use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::error::{CliError, Exit};
use super::{output, units};

/// How long a command may be silent.
const SILENCE: Duration = Duration::from_secs(1);
/// How often a spinner moves.
const TICK: Duration = Duration::from_millis(120);

/// Waits for `future`; from a second on, says for what.
pub async fn saying<F: Future>(what: impl Display, future: F) -> F::Output {
    announced(SILENCE, || Sign::show(&what.to_string()), future).await
}

/// As [`saying`], but gives up after `limit`.
pub async fn within<F: Future>(
    limit: Duration,
    what: impl Display,
    future: F,
) -> Result<F::Output, CliError> {
    let waited = tokio::time::timeout(limit, saying(&what, future)).await;
    waited.map_err(|_| {
        let message = format!("{what} did not come within {}", units::age(limit));
        CliError::new("timed-out", Exit::TimedOut, message).help("wait longer with --timeout")
    })
}

/// `announce` is called after `silence`; what it returns is dropped with the end of the wait.
async fn announced<F: Future, S>(
    silence: Duration,
    announce: impl FnOnce() -> S,
    future: F,
) -> F::Output {
    let mut future = pin!(future);
    tokio::select! {
        biased;
        output = &mut future => return output,
        () = tokio::time::sleep(silence) => {}
    }
    let _sign = announce();
    future.await
}

/// What stands on standard error during a wait: a spinner on a terminal, else one line.
struct Sign(Option<ProgressBar>);

impl Sign {
    fn show(what: &str) -> Sign {
        if !io::stderr().is_terminal() {
            output::say(&format!("waiting for {what}"));
            return Sign(None);
        }
        let bar = ProgressBar::new_spinner().with_style(style("{spinner} {msg} ({elapsed})"));
        bar.set_message(format!("waiting for {}", crate::text::one_line(what)));
        bar.enable_steady_tick(TICK);
        Sign(Some(bar))
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A bar over `total` steps, or a counter where the total is not known. Draws on a terminal only.
pub fn progress(total: Option<u64>, what: &str) -> ProgressBar {
    let bar = match total {
        Some(total) => ProgressBar::new(total).with_style(style(
            "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}",
        )),
        None => ProgressBar::no_length().with_style(style("{spinner} {msg} {human_pos} {per_sec}")),
    };
    bar.set_message(crate::text::one_line(what).into_owned());
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn only_a_long_wait_is_announced() {
        let announced_ = Cell::new(false);
        let say = || announced_.set(true);
        let silence = Duration::from_secs(60);
        assert_eq!(run(announced(silence, say, async { 1 })), 1);
        assert!(!announced_.get());

        let long = async { tokio::time::sleep(Duration::from_millis(20)).await };
        run(announced(Duration::from_millis(1), say, long));
        assert!(announced_.get());
    }

    #[test]
    fn giving_up_is_exit_6_and_says_what_was_awaited() {
        let limit = Duration::from_millis(5);
        let error =
            run(async { within(limit, "topic \"T1\"", std::future::pending::<()>()).await });
        let error = error.unwrap_err();
        assert_eq!(error.exit(), Exit::TimedOut);
        assert!(
            error
                .to_string()
                .contains("topic \"T1\" did not come within 5ms")
        );
    }
}
