//! Who may register at all: anyone over loopback, elsewhere the keys in `certs/admitted`.
//!
//! The file has lines `NAME FINGERPRINT`, like ssh's authorized_keys; `#` begins a comment. It is
//! read again when it changes. A key is admitted under the names that stand before it.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::limits;
use crate::types::{Fingerprint, PeerName};
use crate::wire::{ErrorCode, ErrorReply};

/// The file in the folder of certificates.
const FILE: &str = "admitted";

/// Who is admitted from other machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Only keys in `certs/admitted`.
    #[default]
    Listed,
    /// Anyone.
    Open,
}

type Names = HashMap<Fingerprint, Vec<PeerName>>;

/// Changes whenever the file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified_ns: (i64, i64),
    inode: u64,
    bytes: u64,
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Stamp {
            modified_ns: (metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
            bytes: metadata.len(),
        }
    }
}

/// The rules of one index.
#[derive(Debug)]
pub struct Admission {
    policy: Policy,
    path: PathBuf,
    read: Mutex<(Option<Stamp>, Names)>,
}

impl Admission {
    /// The rules, with `certs/admitted` in the folder `certs`.
    pub fn new(policy: Policy, certs: &Path) -> Self {
        Admission {
            policy,
            path: certs.join(FILE),
            read: Mutex::default(),
        }
    }

    /// Whether a key that comes from `remote` may send requests at all.
    pub fn admits(&self, remote: IpAddr, key: Fingerprint) -> bool {
        self.is_open_to(remote) || self.names(key).is_some()
    }

    /// Whether it may register `name`; the refusal names the command that admits it.
    pub fn check(
        &self,
        remote: IpAddr,
        key: Fingerprint,
        name: &PeerName,
    ) -> Result<(), ErrorReply> {
        let names = match self.is_open_to(remote) {
            true => return Ok(()),
            false => self.names(key).unwrap_or_default(),
        };
        if names.contains(name) {
            return Ok(());
        }
        Err(refusal(key, Some(name)))
    }

    fn is_open_to(&self, remote: IpAddr) -> bool {
        self.policy == Policy::Open || remote.to_canonical().is_loopback()
    }

    fn names(&self, key: Fingerprint) -> Option<Vec<PeerName>> {
        let mut read = self.read.lock();
        let stamp = std::fs::metadata(&self.path).ok().as_ref().map(Stamp::from);
        if read.0 != stamp {
            *read = (stamp, self.read_names());
        }
        read.1.get(&key).cloned()
    }

    /// An unreadable file admits nobody.
    fn read_names(&self) -> Names {
        let mut text = String::new();
        let file = File::open(&self.path);
        let read = file.and_then(|file| {
            file.take(limits::ADMITTED_FILE_BYTES)
                .read_to_string(&mut text)
        });
        if let Err(error) = read
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(target: "waypost::index", path = %self.path.display(), %error, "cannot read the admitted keys");
        }
        parse(&text, &self.path)
    }
}

fn parse(text: &str, path: &Path) -> Names {
    let mut names = Names::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        match parse_line(line) {
            Some((name, key)) => names.entry(key).or_default().push(name),
            None => tracing::warn!(
                target: "waypost::index",
                path = %path.display(),
                line = number + 1,
                "not an admitted key; expected NAME FINGERPRINT"
            ),
        }
    }
    names
}

fn parse_line(line: &str) -> Option<(PeerName, Fingerprint)> {
    let (name, key) = line.split_once(char::is_whitespace)?;
    Some((name.parse().ok()?, key.trim().parse().ok()?))
}

/// What an unadmitted key hears: the exact command that admits it.
pub fn refusal(key: Fingerprint, name: Option<&PeerName>) -> ErrorReply {
    let name = name.map_or("NAME", PeerName::as_str);
    ErrorReply::new(
        ErrorCode::NotAdmitted,
        format!(
            "this key is not admitted here; the index's operator can admit it: waypost index admit {name} {key}"
        ),
    )
}

/// Adds a line to `certs/admitted`; `false` if it stands there already. The file is replaced as a
/// whole, so that a crash leaves the old or the new one.
pub fn admit(certs: &Path, name: &PeerName, key: Fingerprint) -> io::Result<bool> {
    let path = certs.join(FILE);
    let mut text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    if parse(&text, &path)
        .get(&key)
        .is_some_and(|names| names.contains(name))
    {
        return Ok(false);
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("{name} {key}\n"));
    std::fs::create_dir_all(certs)?;
    let new = certs.join(format!("{FILE}.new-{}", std::process::id()));
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, &path)?;
    File::open(certs)?.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Fingerprint = Fingerprint([5; 32]);

    fn far() -> IpAddr {
        "10.0.0.4".parse().unwrap()
    }

    fn name(text: &str) -> PeerName {
        PeerName::new(text).unwrap()
    }

    #[test]
    fn loopback_and_open_admit_anyone() {
        let certs = tempfile::tempdir().unwrap();
        let listed = Admission::new(Policy::Listed, certs.path());
        for near in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(listed.admits(near.parse().unwrap(), KEY), "{near}");
        }
        assert!(!listed.admits(far(), KEY));
        assert!(Admission::new(Policy::Open, certs.path()).admits(far(), KEY));
    }

    #[test]
    fn a_refusal_names_the_command_that_helps() {
        let certs = tempfile::tempdir().unwrap();
        let admission = Admission::new(Policy::Listed, certs.path());
        let refused = admission.check(far(), KEY, &name("1")).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::NotAdmitted);
        let command = format!("waypost index admit 1 {KEY}");
        assert!(refused.detail.ends_with(&command), "{refused}");

        assert!(admit(certs.path(), &name("1"), KEY).unwrap());
        assert!(!admit(certs.path(), &name("1"), KEY).unwrap());
        assert_eq!(admission.check(far(), KEY, &name("1")), Ok(()));
        assert!(
            admission.check(far(), KEY, &name("2")).is_err(),
            "under its own name only"
        );
        admit(certs.path(), &name("2"), KEY).unwrap();
        assert_eq!(admission.check(far(), KEY, &name("2")), Ok(()));
    }

    #[test]
    fn comments_and_bad_lines_are_passed_over() {
        let text = format!("# ops\n\n1 {KEY} # the first\nnonsense\n../x {KEY}\n2\t{KEY}");
        let names = parse(&text, Path::new("admitted"));
        assert_eq!(names[&KEY], [name("1"), name("2")]);
    }
}
