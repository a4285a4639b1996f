//! Running the index from the command line: for `index` and `up`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::context::Context;
use super::error::{CliError, Exit};
use super::hosting::resolve;
use super::takeover::{in_use, look_for_port, take_over};
use crate::client::describe;
use crate::config;
use crate::index::admission::Policy;
use crate::index::server::{IndexError, ServerOptions, run};
use crate::index::store::StoreError;
use crate::transport::{Endpoint, EndpointOptions, INDEX_NAME, Identity};
use crate::types::Fingerprint;
use crate::wire::ALPN_INDEX;

/// An index that is ready to run.
pub struct Indexing {
    identity: Identity,
    bind: SocketAddr,
    data_dir: PathBuf,
    certs: PathBuf,
    admission: Policy,
    repair_after: Duration,
    /// The store was restored from a backup.
    pub restored: bool,
}

impl Indexing {
    /// Loads or makes the index's identity and looks whether its port is free. With `end_holder`,
    /// ends the process that holds its data.
    pub async fn prepare(ctx: &Context, end_holder: bool) -> Result<Indexing, CliError> {
        let config = &ctx.config;
        let data_dir = config.index_data_dir();
        if end_holder {
            take_over(&data_dir).await?;
        }
        let port = config.indexing_server.port;
        let bind = resolve("indexing_server.bind_ip", config.index_bind(), port).await?;
        // Before anything is made: a second index in a folder by mistake leaves no trace.
        look_for_port(bind, &data_dir)?;
        let certs = config.certs_dir();
        let (identity, created) = Identity::load_or_create(&certs, INDEX_NAME)?;
        if created {
            tracing::info!(
                key = %identity.fingerprint(),
                "made the index's key; peers pin it, so back up {}",
                certs.join("index.key.pem").display()
            );
        }
        Ok(Indexing {
            restored: false,
            identity,
            bind,
            data_dir,
            certs,
            repair_after: Duration::from_secs(config.indexing_server.repair_after_s),
            admission: match config.indexing_server.admission {
                config::Admission::Listed => Policy::Listed,
                config::Admission::Open => Policy::Open,
            },
        })
    }

    /// The index's key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.identity.fingerprint()
    }

    /// Runs it until `shutdown`, on the runtime of the caller.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), CliError> {
        let endpoint = Endpoint::bind(EndpointOptions {
            identity: self.identity,
            bind: self.bind,
            alpns: vec![ALPN_INDEX],
        })?;
        let mut options = ServerOptions::new(endpoint, self.data_dir, self.certs);
        options.admission = self.admission;
        options.repair_after = self.repair_after;
        options.restored = self.restored;
        Ok(run(options, shutdown).await?)
    }
}

impl From<IndexError> for CliError {
    fn from(error: IndexError) -> Self {
        match &error {
            IndexError::Store(StoreError::InUse { path, holder }) => in_use(path, holder),
            IndexError::Store(StoreError::Io { .. }) => {
                CliError::new("storage", Exit::Other, describe(&error))
                    .help("check the folder's owner, rights and free space")
            }
            IndexError::Store(_) => CliError::new("damaged", Exit::Damaged, describe(&error)),
            IndexError::Fatal(_) => {
                CliError::new("storage-failed", Exit::Damaged, describe(&error))
                    .help("check the disk, then start the index again: what it answered is there")
            }
            _ => CliError::new("internal", Exit::Other, describe(&error)),
        }
    }
}
