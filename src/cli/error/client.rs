//! Errors of the client library in the words of the command line.

use std::net::SocketAddr;

use super::{CliError, Exit};
use crate::cli::units;
use crate::client::ClientError;
use crate::transport::ConnectError;
use crate::types::{PeerName, TopicName};
use crate::wire::ErrorCode;

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> CliError {
        let message = error.to_string();
        match error {
            ClientError::Bind(error) => error.into(),
            ClientError::KnownIndex(error) => CliError::from(&*error),
            // Whose name is bound to what says all; what was being done is nobody's question.
            ClientError::Refused { reply, .. } if reply.code() == ErrorCode::IdentityMismatch => {
                reply.into()
            }
            ClientError::Refused { doing, reply } => CliError::from(reply).doing(doing),
            ClientError::Broken { doing, source } => CliError::from(source).doing(doing),
            ClientError::IndexUnreachable {
                source: source @ ConnectError::KeyMismatch { .. },
                ..
            } => CliError::from(source)
                .help("correct the key after '#' in --index, or indexing_server.fingerprint"),
            ClientError::IndexUnreachable { address, source } => index(message, address, source),
            ClientError::HostUnreachable {
                topic,
                peer,
                addresses,
                source,
            } => host(message, &topic, &peer, &addresses, source),
            ClientError::PeerUnreachable { peer, source } => {
                unreachable("peer-unreachable", message, source)
                    .help(format!("see whether it runs: waypost peers show {peer}"))
            }
            ClientError::TimedOut { doing, after, last } => timed_out(message, doing, after, last),
            ClientError::OutcomeUnknown { topic, .. } => {
                CliError::new("outcome-unknown", Exit::Other, message)
                    .detail(
                        "found",
                        "the messages may be in the topic or not; they were not sent again",
                    )
                    .help(format!("look: waypost pull {topic} --from -10"))
            }
            ClientError::MessageTooLarge { found, max } => too_large(found as u64, max as u64),
            ClientError::Resolve { ref source, .. } => {
                CliError::new("unreachable", Exit::Unavailable, message)
                    .detail("cause", source)
                    .help("correct indexing_server.ip in config.json, or --index")
            }
            ClientError::BadData { ref source, .. } => {
                CliError::new("corrupt-batch", Exit::Damaged, message).detail("cause", source)
            }
            ClientError::State { ref source, .. } => {
                CliError::new("state", Exit::Other, message).detail("cause", source)
            }
            ClientError::Closed => CliError::new("internal", Exit::Other, message),
        }
    }
}

/// A message over the bound.
pub fn too_large(found: u64, max: u64) -> CliError {
    let message = "the message is too large, with its key and headers";
    CliError::new("too-large", Exit::Usage, message)
        .detail("limit", format!("{max} bytes ({})", units::bytes(max)))
        .detail("found", format!("{found} bytes"))
        .help("split it, or publish where it can be fetched from")
}

fn index(message: String, address: String, source: ConnectError) -> CliError {
    match source {
        ConnectError::Refused { reply, .. } => CliError::from(reply).detail("index", address),
        source @ ConnectError::WrongProtocol { .. } => CliError::from(source),
        source => unreachable("index-unreachable", message, source).help("start it: waypost index"),
    }
}

fn host(
    message: String,
    topic: &TopicName,
    peer: &PeerName,
    addresses: &[SocketAddr],
    source: ConnectError,
) -> CliError {
    let doing = format!("talking to peer {peer}, the host of topic '{topic}'");
    match source {
        ConnectError::Refused { reply, .. } => CliError::from(reply).doing(doing),
        source => {
            let places: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let places = match places.is_empty() {
                true => "no address: it has never run".to_owned(),
                false => places.join(", "),
            };
            let mut error = CliError::new("host-unreachable", Exit::Unavailable, message)
                .detail("sought", places);
            if !matches!(source, ConnectError::NoAddress { .. }) {
                error = error.detail("cause", &source).causes(&source);
            }
            error.help(format!("start it: waypost peer --id {peer}"))
        }
    }
}

fn unreachable(code: &'static str, message: String, source: ConnectError) -> CliError {
    match source {
        ConnectError::Refused { addr, reply } => CliError::from(reply).detail("from", addr),
        source => CliError::new(code, Exit::Unavailable, message)
            .detail("cause", &source)
            .causes(&source),
    }
}

/// What was tried for so long is what failed; only where nothing did is it the time that did.
fn timed_out(
    message: String,
    doing: String,
    after: std::time::Duration,
    last: Option<Box<ClientError>>,
) -> CliError {
    match last {
        Some(last) => CliError::from(*last)
            .doing(doing)
            .detail("tried for", units::age(after)),
        None => CliError::new("timed-out", Exit::TimedOut, message)
            .help("wait longer with --timeout, or look: waypost status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Fingerprint;
    use crate::wire::ErrorReply;
    use std::time::Duration;

    fn nobody() -> ConnectError {
        ConnectError::NobodyListens {
            addr: "127.0.0.1:9".parse().unwrap(),
        }
    }

    fn host_unreachable() -> ClientError {
        ClientError::HostUnreachable {
            topic: "T1".parse().unwrap(),
            peer: "2".parse().unwrap(),
            addresses: vec!["127.0.0.1:9".parse().unwrap()],
            source: nobody(),
        }
    }

    #[test]
    fn an_absent_index_says_how_to_start_one() {
        let error = CliError::from(ClientError::IndexUnreachable {
            address: "127.0.0.1:8088".into(),
            source: nobody(),
        });
        let expected = "\
error[index-unreachable]: cannot reach the index at 127.0.0.1:8088
  cause  nothing listens at 127.0.0.1:9
  help: start it: waypost index";
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.exit(), Exit::Unavailable);
    }

    #[test]
    fn an_absent_host_is_named_with_its_addresses_however_long_it_was_tried() {
        let error = CliError::from(ClientError::TimedOut {
            doing: "pulling from topic 'T1'".into(),
            after: Duration::from_secs(10),
            last: Some(Box::new(host_unreachable())),
        });
        let expected = "\
error[host-unreachable]: cannot reach peer 2, the host of topic 'T1'
  while      pulling from topic 'T1'
  sought     127.0.0.1:9
  cause      nothing listens at 127.0.0.1:9
  tried for  10s
  help: start it: waypost peer --id 2";
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.exit(), Exit::Unavailable);
    }

    #[test]
    fn time_alone_is_exit_6() {
        let error = CliError::from(ClientError::TimedOut {
            doing: "x".into(),
            after: Duration::from_secs(1),
            last: None,
        });
        assert_eq!((error.exit(), error.code()), (Exit::TimedOut, "timed-out"));
    }

    #[test]
    fn a_full_disk_stays_one_however_long_it_was_tried() {
        let reply = ErrorReply::new(ErrorCode::StorageFull, "no room on peer 1");
        let error = CliError::from(ClientError::TimedOut {
            doing: "x".into(),
            after: Duration::from_secs(1),
            last: Some(Box::new(ClientError::refused("y", reply))),
        });
        assert_eq!(
            (error.exit(), error.code()),
            (Exit::Unavailable, "storage-full")
        );
    }

    #[test]
    fn an_unknown_outcome_says_that_it_may_be_either() {
        let error = CliError::from(ClientError::OutcomeUnknown {
            topic: "T1".parse().unwrap(),
            why: "the host does not remember".into(),
        });
        assert_eq!(
            (error.exit(), error.code()),
            (Exit::Other, "outcome-unknown")
        );
        assert!(
            error.to_string().contains("may be in the topic or not"),
            "{error}"
        );
    }

    #[test]
    fn a_bound_name_reads_as_documented() {
        let (bound, found) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        let detail = format!(
            "peer name \"1\" is bound to another key; expected {bound}, registered 2026-11-22 \
             from 10.0.0.4; found {found}"
        );
        let reply = ErrorReply::new(ErrorCode::IdentityMismatch, detail);
        let error = CliError::from(ClientError::refused("registering peer 1", reply));
        let text = error
            .note_on("found", &found.to_string(), "in certs/1.key.pem")
            .to_string();
        let expected = format!(
            "error[identity-mismatch]: peer name \"1\" is bound to another key\n  \
             expected  {bound}   registered 2026-11-22 from 10.0.0.4\n  \
             found     {found}   in certs/1.key.pem\n  \
             help: choose another name with --id, or restore the key; the index's operator can \
             free the name: waypost index forget 1"
        );
        assert_eq!(text, expected);
    }
}
