//! Errors of the other modules in the words of the command line: exit code and next command.

use std::error::Error;
use std::io;

use super::{CliError, Exit};
use crate::bench::{BenchError, ReportError};
use crate::config::{ConfigError, KEYS};
use crate::telemetry::TelemetryError;
use crate::transport::{BindError, CallError, ConnectError, IdentityError, KnownIndexError};
use crate::types::NameError;
use crate::wire::{ErrorCode, ErrorReply};

/// The exit code of each error that another machine may answer.
pub fn exit_of(code: ErrorCode) -> Exit {
    use ErrorCode as C;
    match code {
        C::Internal | C::Unsupported | C::UnknownProducer | C::SequenceTooOld => Exit::Other,
        C::Malformed | C::TooLarge | C::NeedsConfirmation => Exit::Usage,
        C::TopicNotFound | C::PeerNotFound | C::NotSubscribed | C::OffsetOutOfRange => {
            Exit::NotFound
        }
        C::NotAdmitted
        | C::IdentityMismatch
        | C::NotRegistered
        | C::BadPass
        | C::Forbidden
        | C::NameTaken
        | C::StorageChanged
        | C::QuotaExceeded => Exit::Refused,
        C::Overloaded
        | C::ShuttingDown
        | C::NoLiveHost
        | C::NotHost
        | C::StaleEpoch
        | C::StorageFull
        | C::NotReady
        | C::NotEnoughInSync
        | C::HeldFull
        | C::NotYetVisible
        | C::NotCommitted => Exit::Unavailable,
        C::TimedOut | C::HostUnconfirmed => Exit::TimedOut,
        C::TopicExists | C::VersionMismatch | C::Fenced | C::SequenceGap | C::Diverged => {
            Exit::Conflict
        }
        C::Damaged | C::CorruptBatch => Exit::Damaged,
    }
}

/// The next command to try, where there is one that holds for every case of the code.
fn help_of(code: ErrorCode) -> Option<&'static str> {
    use ErrorCode as C;
    Some(match code {
        C::TopicNotFound => "see what there is: waypost topic list",
        C::PeerNotFound => "see who there is: waypost peers list",
        C::NotSubscribed => "see what you subscribe to: waypost subscriptions",
        C::NoLiveHost => "start one: waypost peer --id NAME",
        C::NameTaken => "see the identities here: waypost id show",
        C::Fenced => "the same identity runs elsewhere; stop it there, or take another with --id",
        C::NeedsConfirmation => "look at what would go, then repeat with --yes",
        C::Unsupported => {
            "compare versions: waypost peers list; upgrade the index first, then peers"
        }
        C::Overloaded | C::ShuttingDown | C::NotReady => "try again in a moment: waypost status",
        _ => return None,
    })
}

fn helped(error: CliError, help: Option<&str>) -> CliError {
    match help {
        Some(help) => error.help(help),
        None => error,
    }
}

impl From<ErrorReply> for CliError {
    fn from(reply: ErrorReply) -> CliError {
        let code = reply.code();
        if let Some(error) = bound_name(&reply) {
            return error;
        }
        helped(
            CliError::new(code.text(), exit_of(code), reply.detail),
            help_of(code),
        )
    }
}

/// The index's words about a name that is bound to another key, in their parts: `WHAT; expected KEY,
/// SINCE; found KEY`. Any other words stay one sentence.
fn bound_name(reply: &ErrorReply) -> Option<CliError> {
    if reply.code() != ErrorCode::IdentityMismatch {
        return None;
    }
    let mut parts = reply.detail.split("; ");
    let message = parts.next()?;
    let expected = parts.next()?.strip_prefix("expected ")?;
    let found = parts.next()?.strip_prefix("found ")?;
    let (expected, since) = expected.split_once(", ")?;
    let name = message.split('"').nth(1).unwrap_or("NAME");
    let error = CliError::new(ErrorCode::IdentityMismatch.text(), Exit::Refused, message)
        .detail("expected", expected)
        .note(since)
        .detail("found", found);
    Some(error.help(format!(
        "choose another name with --id, or restore the key; the index's operator can free the \
         name: waypost index forget {name}"
    )))
}

impl From<NameError> for CliError {
    fn from(error: NameError) -> CliError {
        CliError::new("name", Exit::Usage, error.to_string())
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> CliError {
        let made = CliError::new("config", Exit::Usage, error.to_string()).causes(&error);
        match &error {
            ConfigError::Missing { .. } => made.help("name another file with --config, or none"),
            ConfigError::UnknownKey { nearest, .. } => made
                .detail("known", keys_beside(nearest))
                .help("correct or remove the key, then look: waypost config validate"),
            _ => made.help("correct the file, then look: waypost config validate"),
        }
    }
}

/// All keys of the section that a key or section name stands for, in a line.
fn keys_beside(nearest: &str) -> String {
    let section = nearest.split('.').next().unwrap_or(nearest);
    let keys = KEYS.iter().filter_map(|key| {
        let (of, name) = key.path.split_once('.')?;
        (of == section).then_some(name)
    });
    format!("{section}: {}", keys.collect::<Vec<_>>().join(", "))
}

impl From<TelemetryError> for CliError {
    fn from(error: TelemetryError) -> CliError {
        CliError::new("log", Exit::Other, error.to_string())
            .causes(&error)
            .help("name another file with --log-file")
    }
}

impl From<IdentityError> for CliError {
    fn from(error: IdentityError) -> CliError {
        let (exit, help) = match &error {
            IdentityError::Missing { .. } => (
                Exit::NotFound,
                Some("see the identities here: waypost id show"),
            ),
            IdentityError::Name(_) => (Exit::Usage, None),
            IdentityError::Exposed { .. } | IdentityError::CertificateMismatch { .. } => {
                (Exit::Refused, None)
            }
            _ => (Exit::Other, None),
        };
        let made = CliError::new("identity", exit, error.to_string());
        match &error {
            IdentityError::Io { .. } => made.causes(&error),
            _ => helped(made, help),
        }
    }
}

impl From<KnownIndexError> for CliError {
    fn from(error: KnownIndexError) -> CliError {
        CliError::from(&error)
    }
}

impl From<&KnownIndexError> for CliError {
    fn from(error: &KnownIndexError) -> CliError {
        match error {
            KnownIndexError::Mismatch {
                address,
                expected,
                found,
                path,
            } => CliError::new(
                "identity-mismatch",
                Exit::Refused,
                format!("the index at {address} has another key than before"),
            )
            .detail("expected", expected)
            .note(format!("in {}", path.display()))
            .detail("found", found)
            .help(format!(
                "if the index was set up anew on purpose, remove the line of {address} from {}; \
                 otherwise somebody else answers there",
                path.display()
            )),
            error => CliError::new("known-index", Exit::Other, error.to_string()).causes(error),
        }
    }
}

impl From<BenchError> for CliError {
    fn from(error: BenchError) -> CliError {
        let plain = |code, exit| CliError::new(code, exit, error.to_string()).causes(&error);
        match error {
            BenchError::Waypost { doing, source } => CliError::from(*source).detail("while", doing),
            BenchError::Usage(_) => plain("usage", Exit::Usage),
            BenchError::TimedOut { .. } => plain("timed-out", Exit::TimedOut),
            BenchError::Interrupted => plain("interrupted", Exit::Other),
            _ => plain("bench", Exit::Other),
        }
    }
}

impl From<ReportError> for CliError {
    fn from(error: ReportError) -> CliError {
        CliError::new("report", Exit::Other, error.to_string()).causes(&error)
    }
}

impl From<BindError> for CliError {
    fn from(error: BindError) -> CliError {
        let (exit, help) = match &error {
            BindError::InUse { .. } => (
                Exit::Unavailable,
                Some("stop the other process, or choose another port in config.json"),
            ),
            BindError::AllInUse { .. } => (
                Exit::Unavailable,
                Some("choose another peer_node.base_port in config.json"),
            ),
            _ => (Exit::Other, None),
        };
        helped(
            CliError::new("bind", exit, error.to_string()).causes(&error),
            help,
        )
    }
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> CliError {
        let message = error.to_string();
        let causes = error.source().map(ToString::to_string);
        let plain = |code, exit| CliError::new(code, exit, message.clone());
        let made = match error {
            ConnectError::Timeout { .. } => plain("no-answer", Exit::Unavailable),
            ConnectError::KeyMismatch {
                addr,
                expected,
                found,
            } => CliError::new(
                "identity-mismatch",
                Exit::Refused,
                format!("{addr} answers with another key"),
            )
            .detail("expected", expected)
            .detail("found", found),
            ConnectError::WrongProtocol { .. } => plain("wrong-protocol", Exit::Other),
            ConnectError::Refused { addr, reply } => CliError::from(reply).detail("from", addr),
            ConnectError::NobodyListens { .. }
            | ConnectError::Handshake { .. }
            | ConnectError::NoAddress { .. } => plain("unreachable", Exit::Unavailable),
            ConnectError::Local { .. } => plain("connect", Exit::Other),
        };
        match causes {
            Some(cause) => made.detail("cause", cause),
            None => made,
        }
    }
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> CliError {
        let (code, exit) = match &error {
            CallError::Remote(reply) => return reply.clone().into(),
            CallError::Decode(_) => ("malformed", Exit::Damaged),
            CallError::Timeout { .. } => ("timed-out", Exit::TimedOut),
            CallError::ConnectionLost { .. } | CallError::Cancelled => {
                ("connection-lost", Exit::Unavailable)
            }
            _ => ("internal", Exit::Other),
        };
        // Decode errors are shown whole by their Display already.
        let made = CliError::new(code, exit, error.to_string());
        match error {
            CallError::ConnectionLost { .. } => made.causes(&error),
            _ => made,
        }
    }
}

impl CliError {
    /// A failed write to standard output: quiet where the reader has gone.
    pub fn stdout(error: &io::Error) -> CliError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::reader_gone(),
            _ => CliError::new("output", Exit::Other, "cannot write to standard output")
                .detail("cause", error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_errors_have_their_exit_codes() {
        use ErrorCode as C;
        let table = [
            (C::TopicNotFound, 3),
            (C::PeerNotFound, 3),
            (C::IdentityMismatch, 4),
            (C::NotAdmitted, 4),
            (C::Forbidden, 4),
            (C::NoLiveHost, 5),
            (C::StorageFull, 5),
            (C::TimedOut, 6),
            (C::TopicExists, 7),
            (C::VersionMismatch, 7),
            (C::Fenced, 7),
            (C::Damaged, 8),
            (C::CorruptBatch, 8),
            (C::TooLarge, 2),
            (C::Internal, 1),
        ];
        for (code, exit) in table {
            let error = CliError::from(ErrorReply::new(code, "x"));
            assert_eq!(error.exit() as u8, exit, "{code}");
            assert_eq!(error.code(), code.text());
        }
    }

    #[test]
    fn no_remote_error_looks_like_success_and_retries_are_5_to_7() {
        for &code in ErrorCode::ALL {
            assert_ne!(exit_of(code), Exit::Ok, "{code}");
            if code.retry() == crate::wire::Retry::Later {
                assert!((5..=7).contains(&(exit_of(code) as u8)), "{code}");
            }
        }
    }

    #[test]
    fn a_closed_pipe_is_quiet() {
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(CliError::stdout(&broken).exit(), Exit::Ok);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(CliError::stdout(&full).exit(), Exit::Other);
    }

    #[test]
    fn config_errors_are_usage_errors_with_their_place() {
        let error = crate::config::Config::parse("{\n\"x\": 1}", "c.json".as_ref()).unwrap_err();
        let error = CliError::from(error);
        assert_eq!(error.exit(), Exit::Usage);
        assert!(
            error
                .to_string()
                .starts_with("error[config]: c.json:2: unknown key x")
        );
    }
}
