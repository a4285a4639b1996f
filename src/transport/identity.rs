//! A node's identity: an ed25519 key, a self-signed certificate that carries it, and their files.
//!
//! Guarantees: two processes that start at once end with the same key (the loser of the link takes
//! the winner's); a key file that exists is never written; a key file that others can read is
//! refused. The certificate is derived: a missing one is made again from the key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519, PublicKeyData};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::verify::{fingerprint_of, fingerprint_of_spki};
use crate::limits;
use crate::types::{Fingerprint, NameError, PeerName};
use crate::wire::pass::{PassBody, SignedPass};

/// The name under which the index keeps its key in `certs/`; reserved, so that no peer has it.
pub const INDEX_NAME: &str = "index";

/// Key pair, certificate and fingerprint of one node; cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    pkcs8: Vec<u8>,
    signer: Ed25519KeyPair,
    spki: Vec<u8>,
    certificate: CertificateDer<'static>,
    fingerprint: Fingerprint,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file operation failed.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The name is no peer's and not the index's.
    #[error("no identity can have this name: {0}")]
    Name(#[from] NameError),
    /// There is no key file.
    #[error("no identity {name:?}: {path} does not exist")]
    Missing {
        /// The name.
        name: String,
        /// The key file.
        path: PathBuf,
    },
    /// Others may read the key.
    #[error("{path} has mode {mode:03o}, so that others can read the key; run: chmod 600 {path}")]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file holds something else.
    #[error("{path} does not hold an ed25519 private key in PEM (PKCS #8): {detail}")]
    Key {
        /// The key file.
        path: PathBuf,
        /// What was seen.
        detail: String,
    },
    /// The certificate file holds something else.
    #[error("{path} does not hold a certificate in PEM: {detail}; remove it to have it made again")]
    Certificate {
        /// The certificate file.
        path: PathBuf,
        /// What was seen.
        detail: String,
    },
    /// The certificate carries another key.
    #[error(
        "{path} belongs to another key: expected {expected}, found {found}; \
         remove it to have it made again"
    )]
    CertificateMismatch {
        /// The certificate file.
        path: PathBuf,
        /// The key file's fingerprint.
        expected: Fingerprint,
        /// The certificate's fingerprint.
        found: Fingerprint,
    },
}

impl Identity {
    /// Reads `NAME.key.pem` and `NAME.cert.pem` in the folder `certs`; a missing certificate is
    /// made again, for the fingerprint is the key's.
    pub fn load(certs: &Path, name: &str) -> Result<Identity, IdentityError> {
        let files = Files::new(certs, name)?;
        match files.read_key()? {
            Some(key) => files.with_certificate(name, key),
            None => Err(IdentityError::Missing {
                name: name.to_owned(),
                path: files.key,
            }),
        }
    }

    /// As [`Identity::load`]; makes folder, key and certificate if there is no key. The flag says
    /// whether this call made the key.
    pub fn load_or_create(certs: &Path, name: &str) -> Result<(Identity, bool), IdentityError> {
        let files = Files::new(certs, name)?;
        if let Some(key) = files.read_key()? {
            return Ok((files.with_certificate(name, key)?, false));
        }
        fs::create_dir_all(certs).map_err(io_error("create the folder", certs))?;
        let made = generate();
        let created = publish(&files.key, made.serialize_pem().as_bytes(), 0o600)?;
        // Read back in both cases: what counts is what lies on disk.
        let key = files.read_key()?.ok_or_else(|| IdentityError::Missing {
            name: name.to_owned(),
            path: files.key.clone(),
        })?;
        Ok((files.with_certificate(name, key)?, created))
    }

    /// A key that lives as long as the process, for tests and benchmarks.
    pub fn ephemeral() -> Identity {
        let key = generate();
        let certificate = self_signed("ephemeral", &key);
        // Both were made from one key just now.
        Identity::assemble(&key, certificate).expect("a fresh key pair is valid")
    }

    /// From a key's PKCS #8 form, for tests with fixed keys.
    #[cfg(test)]
    pub(super) fn from_pkcs8(pkcs8: &[u8]) -> Result<Identity, rcgen::Error> {
        let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(pkcs8))?;
        let certificate = self_signed("test", &key);
        Ok(Identity::assemble(&key, certificate).expect("the key was just read"))
    }

    /// SHA-256 of the key's SubjectPublicKeyInfo DER.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// Signs a pass; only the index's passes mean anything.
    pub fn sign_pass(&self, body: &PassBody) -> SignedPass {
        // A struct of fixed fields and a bounded name serialises into memory.
        let body = postcard::to_stdvec(body).expect("a pass body serialises");
        let signature = self.0.signer.sign(&SignedPass::signed_bytes(&body));
        SignedPass {
            signature: signature.as_ref().to_vec(),
            issuer: self.0.spki.clone(),
            body,
        }
    }

    /// The certificate, for the handshake.
    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        self.0.certificate.clone()
    }

    /// The private key, for the handshake.
    pub(super) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.pkcs8.clone()).into()
    }

    /// A secret that only holders of the key can derive, the same at each start.
    pub(super) fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0.pkcs8);
        let mut secret = [0; 32];
        secret.copy_from_slice(hmac::sign(&key, purpose).as_ref());
        secret
    }

    fn assemble(key: &KeyPair, certificate: CertificateDer<'static>) -> Result<Identity, String> {
        let pkcs8 = key.serialize_der();
        let signer = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|e| e.to_string())?;
        let spki = key.subject_public_key_info();
        debug_assert!(spki.ends_with(signer.public_key().as_ref()));
        Ok(Identity(Arc::new(Inner {
            fingerprint: fingerprint_of_spki(&spki),
            pkcs8,
            signer,
            spki,
            certificate,
        })))
    }
}

impl std::fmt::Debug for Identity {
    /// Shows the fingerprint, never the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.0.fingerprint)
    }
}

/// Names of the peers that have a key file in `certs`, sorted; the index's key never counts. A
/// missing folder holds none.
pub fn list_identities(certs: &Path) -> io::Result<Vec<PeerName>> {
    let entries = match fs::read_dir(certs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let file_name = entry?.file_name();
        let name = file_name.to_str().and_then(|n| n.strip_suffix(".key.pem"));
        names.extend(name.and_then(|name| PeerName::new(name).ok()));
    }
    names.sort();
    Ok(names)
}

struct Files {
    key: PathBuf,
    certificate: PathBuf,
}

impl Files {
    fn new(certs: &Path, name: &str) -> Result<Files, IdentityError> {
        if name != INDEX_NAME {
            PeerName::new(name)?;
        }
        Ok(Files {
            key: certs.join(format!("{name}.key.pem")),
            certificate: certs.join(format!("{name}.cert.pem")),
        })
    }

    fn read_key(&self) -> Result<Option<KeyPair>, IdentityError> {
        let Some((text, mode)) = read_file(&self.key)? else {
            return Ok(None);
        };
        if mode & 0o077 != 0 {
            return Err(IdentityError::Exposed {
                path: self.key.clone(),
                mode: mode & 0o777,
            });
        }
        let refused = |detail: String| IdentityError::Key {
            path: self.key.clone(),
            detail,
        };
        let text = str::from_utf8(&text).map_err(|e| refused(e.to_string()))?;
        let key = KeyPair::from_pem(text).map_err(|e| refused(e.to_string()))?;
        if !key.is_compatible(&PKCS_ED25519) {
            return Err(refused("a key of another kind".to_owned()));
        }
        Ok(Some(key))
    }

    fn with_certificate(&self, name: &str, key: KeyPair) -> Result<Identity, IdentityError> {
        let text = match read_file(&self.certificate)? {
            Some((text, _)) => text,
            None => {
                let pem = certificate_of(name, &key).pem();
                publish(&self.certificate, pem.as_bytes(), 0o644)?;
                pem.into_bytes()
            }
        };
        let refused = |detail: String| IdentityError::Certificate {
            path: self.certificate.clone(),
            detail,
        };
        let der = CertificateDer::from_pem_slice(&text).map_err(|e| refused(e.to_string()))?;
        let found = fingerprint_of(&der).map_err(|e| refused(e.to_string()))?;
        let identity = Identity::assemble(&key, der).map_err(|detail| IdentityError::Key {
            path: self.key.clone(),
            detail,
        })?;
        if found != identity.fingerprint() {
            return Err(IdentityError::CertificateMismatch {
                path: self.certificate.clone(),
                expected: identity.fingerprint(),
                found,
            });
        }
        Ok(identity)
    }
}

fn generate() -> KeyPair {
    // Fails only if the system gives no randomness, in which case nothing can be secured.
    KeyPair::generate_for(&PKCS_ED25519).expect("the system gives randomness")
}

fn certificate_of(name: &str, key: &KeyPair) -> rcgen::Certificate {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    // Names are ASCII by their rules; signing with an ed25519 key in memory does not fail.
    params
        .self_signed(key)
        .expect("a certificate of a checked name can be signed")
}

fn self_signed(name: &str, key: &KeyPair) -> CertificateDer<'static> {
    certificate_of(name, key).der().clone()
}

pub(super) fn io_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> IdentityError + 'a {
    move |source| IdentityError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Content and mode, `None` if there is no such file. Reads no more than a sane size.
fn read_file(path: &Path) -> Result<Option<(Vec<u8>, u32)>, IdentityError> {
    let read = || -> io::Result<(Vec<u8>, u32)> {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        let mut content = Vec::new();
        file.take(limits::CERTS_FILE_BYTES)
            .read_to_end(&mut content)?;
        Ok((content, mode))
    };
    match read() {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path)(error)),
    }
}

/// Makes `path` with `content` whole or not at all; `false` if it exists already.
fn publish(path: &Path, content: &[u8], mode: u32) -> Result<bool, IdentityError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = folder.join(format!(".new-{:016x}", rand::random::<u64>()));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()
    };
    let linked = write().and_then(|()| match fs::hard_link(&temporary, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    });
    // Best effort: a leftover temporary file harms nobody.
    let _ = fs::remove_file(&temporary);
    let created = linked.map_err(io_error("create", path))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error("sync the folder of", path))?;
    Ok(created)
}
