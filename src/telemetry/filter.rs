//! What to log: a level, or tracing's directives.
//!
//! tracing reads a mistyped level as the name of a module and then logs nothing; here it is an error.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A filter that was checked: `info`, or `warn,waypost::journal=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(String);

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A word alone that is no level.
    #[error(
        "{found:?} is not a log level; the nearest is {nearest}, all are off, error, warn, info, debug, trace"
    )]
    Level {
        /// The word.
        found: String,
        /// The level that is spelled most alike.
        nearest: &'static str,
    },
    /// Directives that tracing does not read.
    #[error("{found:?} is not a log filter: {problem}")]
    Directive {
        /// The text.
        found: String,
        /// tracing's words.
        problem: String,
    },
}

impl Filter {
    /// Warnings and errors: what one-shot commands log by default.
    pub fn warn() -> Filter {
        Filter("warn".to_owned())
    }

    /// What daemons log by default.
    pub fn info() -> Filter {
        Filter("info".to_owned())
    }

    /// The filter as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn to_env_filter(&self) -> EnvFilter {
        // Checked when it was made; `new` would skip, not panic at, a directive that does not read.
        EnvFilter::new(&self.0)
    }
}

fn check_level(word: &str) -> Result<(), FilterError> {
    if LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) {
        return Ok(());
    }
    let found: String = word.chars().take(40).collect();
    let nearest = LEVELS
        .iter()
        .min_by_key(|level| strsim::damerau_levenshtein(&found.to_lowercase(), level))
        .copied()
        .unwrap_or("info");
    Err(FilterError::Level { found, nearest })
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        for directive in text.split(',').map(str::trim) {
            if !directive.contains(['=', '[', ']']) {
                check_level(directive)?;
            }
        }
        EnvFilter::builder()
            .parse(text)
            .map_err(|error| FilterError::Directive {
                found: text.chars().take(80).collect(),
                problem: error.to_string(),
            })?;
        Ok(Filter(text.to_owned()))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_pass() {
        for text in [
            "info",
            "OFF",
            "warn,waypost::journal=debug",
            "waypost[session{peer}]=trace",
        ] {
            assert!(text.parse::<Filter>().is_ok(), "{text}");
        }
    }

    #[test]
    fn mistyped_levels_are_errors_with_the_nearest() {
        for (text, nearest) in [
            ("inof", "info"),
            ("warning", "warn"),
            ("info,debgu", "debug"),
        ] {
            match text.parse::<Filter>() {
                Err(FilterError::Level { nearest: n, .. }) => assert_eq!(n, nearest, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for text in ["", "waypost=inof", "waypost[=debug"] {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
    }
}
