//! `waypost id`: the identities here.

use std::path::Path;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{self, Row};
use crate::config::{Config, IndexAddress, Origin};
use crate::transport::{INDEX_NAME, Identity, IdentityError, KnownIndex};
use crate::types::{Fingerprint, PeerName};

/// Commands about identities.
#[derive(Debug, Subcommand)]
pub enum IdCommand {
    /// Fingerprints of the identities in certs/; with --id only that one
    Show(ShowArgs),
}

/// What `id show` takes.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Print the index's address with its fingerprint, as --index and WAYPOST_INDEX accept it
    // Takes the place of the global flag, which needs a value. Whether it was typed at all is in
    // the context, for the environment gives the global flag a value too.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1)]
    pub index: Option<Option<IndexAddress>>,
}

/// Runs one.
pub async fn run(ctx: &Context, command: IdCommand) -> Result<(), CliError> {
    match command {
        IdCommand::Show(_) if ctx.index_typed => show_index(ctx),
        IdCommand::Show(_) => show(ctx),
    }
}

#[derive(Serialize)]
struct Line {
    name: PeerName,
    #[serde(serialize_with = "as_text")]
    fingerprint: Fingerprint,
    key: String,
}

fn as_text<S: serde::Serializer>(value: &Fingerprint, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Row for Line {
    const HEAD: &'static [&'static str] = &["name", "fingerprint", "key"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.to_string(),
            self.fingerprint.to_string(),
            self.key.clone(),
        ]
    }
}

/// The name that was asked for; one in a config does not narrow the list.
fn asked(config: &Config) -> Option<&PeerName> {
    match config.origin("peer_node.id") {
        Origin::Flag(_) | Origin::Env(_) => config.peer_node.id.as_ref(),
        _ => None,
    }
}

fn show(ctx: &Context) -> Result<(), CliError> {
    let certs = ctx.config.certs_dir();
    let names = match asked(&ctx.config) {
        Some(name) => vec![name.clone()],
        None => ctx.identities()?,
    };
    let line = |name: PeerName| {
        Ok(Line {
            fingerprint: Identity::load(&certs, name.as_str())?.fingerprint(),
            key: key_file(&certs, name.as_str()),
            name,
        })
    };
    let lines: Vec<Line> = names
        .into_iter()
        .map(line)
        .collect::<Result<_, CliError>>()?;
    if lines.is_empty() {
        output::say(&format!("no peer identities in {}", certs.display()));
    }
    ctx.output.list(&lines)
}

fn key_file(certs: &Path, name: &str) -> String {
    certs.join(format!("{name}.key.pem")).display().to_string()
}

fn show_index(ctx: &Context) -> Result<(), CliError> {
    let config = &ctx.config;
    let mut address = config.index_address();
    address.fingerprint = index_fingerprint(config)?;
    if address.fingerprint.is_none() {
        return Err(unknown_index(config));
    }
    if address.host.is_unspecified() {
        output::say(
            "note: others cannot dial this address; set indexing_server.ip to one they can",
        );
    }
    ctx.output
        .value(&json!({ "index": address.to_string() }), || {
            address.to_string()
        })
}

/// The pinned key; else, where the address is the config's own, the key of the index that runs from
/// this folder; else the one met earlier at the address.
fn index_fingerprint(config: &Config) -> Result<Option<Fingerprint>, CliError> {
    if let Some(pinned) = config.indexing_server.fingerprint {
        return Ok(Some(pinned));
    }
    let certs = config.certs_dir();
    let elsewhere = matches!(
        config.origin("indexing_server.ip"),
        Origin::Flag(_) | Origin::Env(_)
    );
    if !elsewhere {
        match Identity::load(&certs, INDEX_NAME) {
            Ok(identity) => return Ok(Some(identity.fingerprint())),
            Err(IdentityError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let server = &config.indexing_server;
    let place = server.ip.with_port(server.port);
    Ok(KnownIndex::new(&certs).get(&place)?)
}

fn unknown_index(config: &Config) -> CliError {
    let server = &config.indexing_server;
    let certs = config.certs_dir();
    CliError::new(
        "index-unknown",
        Exit::NotFound,
        "the index's key is not known here",
    )
    .detail("address", server.ip.with_port(server.port))
    .detail("searched", key_file(&certs, INDEX_NAME))
    .detail("searched", certs.join("known_index").display())
    .help("run this where the index runs, or start one: waypost index")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;

    fn config(folder: &Path) -> Result<Config, ConfigError> {
        Config::parse("{}", &folder.join("config.json"))
    }

    #[test]
    fn the_index_is_known_by_pin_own_key_or_earlier_meeting() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path()).unwrap();
        let certs = config.certs_dir();
        assert_eq!(index_fingerprint(&config).unwrap(), None);
        assert_eq!(unknown_index(&config).exit(), Exit::NotFound);

        let met = Fingerprint([2; 32]);
        let known = KnownIndex::new(&certs);
        known.record("127.0.0.1:8088", met).unwrap();
        assert_eq!(index_fingerprint(&config).unwrap(), Some(met));

        let (own, _) = Identity::load_or_create(&certs, INDEX_NAME).unwrap();
        let own = own.fingerprint();
        assert_eq!(index_fingerprint(&config).unwrap(), Some(own));

        // Our own key says nothing of an index elsewhere.
        let flag = Origin::Flag("--index");
        config.override_index("127.0.0.1:9".parse().unwrap(), flag.clone());
        assert_eq!(index_fingerprint(&config).unwrap(), None);
        let pinned = format!("127.0.0.1:9#{met}");
        config.override_index(pinned.parse().unwrap(), flag);
        assert_eq!(index_fingerprint(&config).unwrap(), Some(met));
    }
}
