//! Servers: processes on free ports of loopback with their data in one temporary folder.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use waypost::clock;

use crate::wire::Result;

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked whether it has.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// The temporary folder; gone when dropped.
pub struct Place(TempDir);

/// A self-signed certificate of `localhost`, as files.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Place {
    /// A new one below `parent`.
    pub fn new(parent: Option<&Path>) -> Result<Place> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = tempfile::Builder::new()
            .prefix("waypost-compare-")
            .tempdir_in(&parent);
        let folder = folder.map_err(|error| format!("{}: {error}", parent.display()))?;
        Ok(Place(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A folder in it.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Makes a certificate for a server.
    pub fn certificate(&self, name: &str) -> Result<Certificate> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let files = Certificate {
            certificate: self.path().join(format!("{name}-certificate.pem")),
            key: self.path().join(format!("{name}-key.pem")),
        };
        fs::write(&files.certificate, made.cert.pem())?;
        fs::write(&files.key, made.signing_key.serialize_pem())?;
        Ok(files)
    }

    /// Waits until everything written is on the disk, so that nobody syncs for somebody else.
    pub fn settle(&self) -> Result<()> {
        Ok(rustix::fs::syncfs(File::open(self.path())?)?)
    }
}

/// A running server; killed when dropped.
pub struct Server {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts it; what it prints goes to a file.
    pub fn start(place: &Place, name: &str, mut command: Command) -> Result<Server> {
        let log = place.path().join(format!("{name}.log"));
        let file = File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        Ok(Server {
            name: name.to_owned(),
            child: command.spawn()?,
            log,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks again and again until there is an answer.
    pub async fn ready<T>(&mut self, ask: impl AsyncFn() -> Result<T>) -> Result<T> {
        let began = clock::mono_now();
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let ended = self.child.try_wait()?.is_some();
            if ended || clock::mono_now().since(began) > PATIENCE {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let last = log.lines().next_back().unwrap_or_default();
                return Err(format!("{} does not come up: {error}; {last}", self.name).into());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail harmlessly if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A TCP port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What `PROGRAM --version` says, and the program; `None`, with a word to people, if it is not there.
pub fn find(program: &str) -> Option<(String, String)> {
    // Debian keeps servers where only root looks.
    for path in [program.to_owned(), format!("/usr/sbin/{program}")] {
        if let Ok(output) = Command::new(&path).arg("--version").output() {
            let said = String::from_utf8_lossy(&output.stdout);
            return Some((path, said.trim().to_owned()));
        }
    }
    println!("{program} is not here: install it with apt-get install nats-server redis-server");
    None
}
