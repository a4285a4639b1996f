//! How one-shot commands reach the index and hosts: under whose key, for how long, and what is said
//! at the end.

use std::time::Duration;

use super::context::Context;
use super::error::{CliError, Exit};
use super::notices;
use super::output;
use super::wait;
use super::who::{Role, Who};
use crate::client::{Client, ClientOptions};
use crate::limits;
use crate::transport::{INDEX_NAME, Identity, KnownIndex};
use crate::types::PeerName;
use crate::wire::ErrorCode;

/// How long a command waits for an index that does not answer.
const INDEX_PATIENCE: Duration = Duration::from_secs(2);
/// How long a finished command stays to tell the other side that it goes. QUIC's own draining takes
/// a hundred times longer and is of use to nobody here.
const GOODBYE: Duration = Duration::from_millis(2);

impl Context {
    /// A client under the key that the identity rules name; made if they say so. It contacts nobody
    /// before it is used. To be called within the runtime.
    pub fn client(&self) -> Result<Client, CliError> {
        let certs = self.config.certs_dir();
        let name = match self.who(Role::OneShot)? {
            Who::Known(name) | Who::Make(name) => name,
            // Only the menu asks.
            Who::Ask => return Err(super::who::WhoError::None.in_folder(&certs)),
        };
        let (identity, new) = Identity::load_or_create(&certs, name.as_str())?;
        if new {
            output::say(&format!("made the identity {name} in {}", certs.display()));
        }
        self.client_as(identity, name)
    }

    /// A client under a given key and name.
    pub fn client_as(&self, identity: Identity, name: PeerName) -> Result<Client, CliError> {
        let state_dir = self.config.peer_data_dir(&name).join("client");
        let mut options = ClientOptions::new(identity, name, self.config.index_address());
        options.state_dir = Some(state_dir);
        self.finish_client(options)
    }

    /// A client under the index's key, for what only its operator may do.
    pub fn operator_client(&self) -> Result<Client, CliError> {
        let certs = self.config.certs_dir();
        let identity = Identity::load(&certs, INDEX_NAME).map_err(|error| {
            CliError::from(error)
                .help("run this where the index runs: its operator is who holds its key")
        })?;
        let mut options = ClientOptions {
            name: None,
            ..ClientOptions::new(identity, unused_name()?, self.config.index_address())
        };
        // The operator knows the index's key: it is the one it acts under.
        for address in &mut options.index {
            address
                .fingerprint
                .get_or_insert(options.identity.fingerprint());
        }
        self.finish_client(options)
    }

    fn finish_client(&self, mut options: ClientOptions) -> Result<Client, CliError> {
        options.known_index = Some(KnownIndex::new(&self.config.certs_dir()));
        options.index_patience = self.timeout.unwrap_or(INDEX_PATIENCE);
        options.host_patience = self.host_patience();
        Ok(Client::new(options)?)
    }

    /// How long a topic's host is sought and waited for.
    pub fn host_patience(&self) -> Duration {
        self.timeout.unwrap_or(limits::REPLY_TIMEOUT)
    }

    /// Runs `run` with a client, then shows what waits to be told and says goodbye, also after a
    /// failure.
    pub async fn online<T>(
        &self,
        run: impl AsyncFnOnce(&Client) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let telling = async |client: &Client| {
            let result = run(client).await;
            notices::show_waiting(client).await;
            result
        };
        self.online_unattended(telling).await
    }

    /// As [`Context::online`], for what runs unattended: what waits to be told goes on waiting.
    pub async fn online_unattended<T>(
        &self,
        run: impl AsyncFnOnce(&Client) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let client = self.client()?;
        let result = run(&client).await;
        hang_up(&client).await;
        result
    }

    /// Waits for an answer: says for what after a second, gives up after `--timeout`.
    pub async fn answer<T, E: Into<CliError>>(
        &self,
        what: impl std::fmt::Display,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CliError> {
        match self.timeout {
            None => wait::saying(what, future).await.map_err(Into::into),
            Some(limit) => wait::within(limit, what, future).await?.map_err(Into::into),
        }
    }

    /// As [`Context::answer`], where the index is awaited.
    pub async fn index_answer<T, E: Into<CliError>>(
        &self,
        client: &Client,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CliError> {
        let what = format!("the index at {}", client.index().address());
        self.answer(what, future).await
    }

    /// Adds to a refusal of our identity what only this side knows: where our key lies, and the
    /// exact command that admits it.
    pub fn with_identity(&self, error: CliError) -> CliError {
        let admission = error.code() == ErrorCode::NotAdmitted.text();
        let mismatch = error.code() == ErrorCode::IdentityMismatch.text();
        if !admission && !mismatch {
            return error;
        }
        // `up` knows an identity where a one-shot command might not.
        let Ok(Who::Known(name) | Who::Make(name)) = self.who(Role::Up) else {
            return error;
        };
        let certs = self.config.certs_dir();
        let Ok(identity) = Identity::load(&certs, name.as_str()) else {
            return error;
        };
        let ours = identity.fingerprint().to_string();
        if admission {
            return error
                .detail("found", &ours)
                .note(format!("peer {name}"))
                .help(format!(
                    "let the index's operator run: waypost index admit {name} {ours}"
                ));
        }
        let key = certs.join(format!("{name}.key.pem"));
        error.note_on("found", &ours, format!("in {}", key.display()))
    }
}

/// A name that stands nowhere, for options that need one before it is taken out again.
fn unused_name() -> Result<PeerName, CliError> {
    Ok(PeerName::new("operator")?)
}

/// Ends the client's connections without waiting for the other side's agreement.
pub async fn hang_up(client: &Client) {
    // Late or not, there is nothing more to do.
    let _ = tokio::time::timeout(GOODBYE, client.close()).await;
}

/// The name that a client acts under.
pub fn own_name(client: &Client) -> Result<PeerName, CliError> {
    let name = client.name().cloned();
    name.ok_or_else(|| CliError::new("internal", Exit::Other, "the client has no name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::{Output, OutputFormat};
    use crate::config::Config;

    fn context(folder: &std::path::Path) -> Context {
        Context {
            config: Config::parse("{}", &folder.join("config.json")).unwrap(),
            output: Output {
                format: OutputFormat::Table,
            },
            timeout: None,
            config_typed: false,
            index_typed: false,
        }
    }

    #[test]
    fn a_refused_identity_learns_the_exact_command_and_its_key_file() {
        let folder = tempfile::tempdir().unwrap();
        let ctx = context(folder.path());
        let certs = ctx.config.certs_dir();
        let key = Identity::load_or_create(&certs, "7")
            .unwrap()
            .0
            .fingerprint();

        let code = ErrorCode::NotAdmitted.text();
        let error = ctx.with_identity(CliError::new(code, Exit::Refused, "not admitted"));
        let command = format!("waypost index admit 7 {key}");
        assert!(error.to_string().ends_with(&command), "{error}");

        let code = ErrorCode::IdentityMismatch.text();
        let error = CliError::new(code, Exit::Refused, "bound").detail("found", key);
        let error = ctx.with_identity(error).to_string();
        assert!(error.ends_with("certs/7.key.pem"), "{error}");

        let other = CliError::new("x", Exit::Other, "y");
        assert_eq!(ctx.with_identity(other.clone()), other);
    }

    #[test]
    fn only_the_holder_of_the_key_is_operator() {
        let folder = tempfile::tempdir().unwrap();
        let ctx = context(folder.path());
        let Err(error) = ctx.operator_client() else {
            panic!("there is no key");
        };
        assert!(
            error
                .to_string()
                .contains("its operator is who holds its key"),
            "{error}"
        );
    }
}
