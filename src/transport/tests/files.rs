//! What lies in `certs/`.

use super::*;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_key_is_made_once_and_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    assert!(matches!(
        Identity::load(&certs, "1"),
        Err(IdentityError::Missing { .. })
    ));
    let (made, created) = Identity::load_or_create(&certs, "1").unwrap();
    assert!(created);
    let key = certs.join("1.key.pem");
    let before = fs::read(&key).unwrap();
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let (again, created) = Identity::load_or_create(&certs, "1").unwrap();
    assert!(!created);
    assert_eq!(again.fingerprint(), made.fingerprint());
    assert_eq!(fs::read(&key).unwrap(), before);
    assert_eq!(
        Identity::load(&certs, "1").unwrap().fingerprint(),
        made.fingerprint()
    );
    let left: HashSet<_> = fs::read_dir(&certs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        left,
        HashSet::from(["1.key.pem".to_owned(), "1.cert.pem".to_owned()])
    );
}

#[test]
fn two_that_start_at_once_get_one_key() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let barrier = std::sync::Barrier::new(8);
        let made: Vec<_> = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                Identity::load_or_create(folder.path(), "1").unwrap()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let keys: HashSet<_> = made
            .iter()
            .map(|(identity, _)| identity.fingerprint())
            .collect();
        assert_eq!(keys.len(), 1);
        assert_eq!(made.iter().filter(|(_, created)| *created).count(), 1);
    }
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Identity::load_or_create(folder.path(), "1").unwrap();
    let key = folder.path().join("1.key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Identity::load(folder.path(), "1").unwrap_err().to_string();
    assert!(
        error.contains("mode 640") && error.contains("chmod 600"),
        "{error}"
    );
}

#[test]
fn odd_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path();
    let (first, _) = Identity::load_or_create(certs, "1").unwrap();
    let (second, _) = Identity::load_or_create(certs, "2").unwrap();
    let certificate = certs.join("1.cert.pem");
    fs::copy(certs.join("2.cert.pem"), &certificate).unwrap();
    match Identity::load(certs, "1").unwrap_err() {
        IdentityError::CertificateMismatch {
            expected, found, ..
        } => {
            assert_eq!(
                (expected, found),
                (first.fingerprint(), second.fingerprint())
            );
        }
        other => panic!("{other:?}"),
    }
    fs::write(&certificate, "x").unwrap();
    let error = Identity::load(certs, "1").unwrap_err();
    assert!(
        matches!(error, IdentityError::Certificate { .. }),
        "{error:?}"
    );
    fs::remove_file(&certificate).unwrap();
    assert_eq!(
        Identity::load(certs, "1").unwrap().fingerprint(),
        first.fingerprint()
    );
    assert!(certificate.exists());
    fs::write(certs.join("1.key.pem"), "x").unwrap();
    let error = Identity::load_or_create(certs, "1").unwrap_err();
    assert!(matches!(error, IdentityError::Key { .. }), "{error:?}");
    let error = Identity::load_or_create(certs, "../1").unwrap_err();
    assert!(matches!(error, IdentityError::Name(_)), "{error:?}");
}

#[test]
fn identities_are_listed_without_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path();
    assert!(list_identities(&certs.join("none")).unwrap().is_empty());
    for name in ["b", "index", "a"] {
        Identity::load_or_create(certs, name).unwrap();
    }
    fs::write(certs.join("c.cert.pem"), "").unwrap();
    fs::write(certs.join("-.key.pem"), "").unwrap();
    let names: Vec<_> = list_identities(certs)
        .unwrap()
        .iter()
        .map(|n| n.to_string())
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn the_indexs_key_is_remembered_and_a_changed_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let known = KnownIndex::new(folder.path());
    let (first, second) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
    assert_eq!(known.get("127.0.0.1:8088").unwrap(), None);
    assert_eq!(known.record("127.0.0.1:8088", first).unwrap(), Trust::First);
    assert_eq!(known.record("127.0.0.1:8088", first).unwrap(), Trust::Known);
    assert_eq!(known.record("[::1]:8088", second).unwrap(), Trust::First);
    assert_eq!(known.get("127.0.0.1:8088").unwrap(), Some(first));
    let error = known
        .record("127.0.0.1:8088", second)
        .unwrap_err()
        .to_string();
    for part in [
        &first.to_string(),
        &second.to_string(),
        "known_index",
        "help:",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(known.get("127.0.0.1:8088").unwrap(), Some(first));
    assert!(known.record("a b", first).is_err());
}

#[test]
fn two_that_record_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let known = KnownIndex::new(folder.path());
    std::thread::scope(|scope| {
        for n in 0..8u8 {
            let known = &known;
            scope.spawn(move || {
                known
                    .record(&format!("host:{n}"), Fingerprint([n; 32]))
                    .unwrap()
            });
        }
    });
    for n in 0..8u8 {
        assert_eq!(
            known.get(&format!("host:{n}")).unwrap(),
            Some(Fingerprint([n; 32]))
        );
    }
}

#[test]
fn odd_lines_are_named_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let known = KnownIndex::new(folder.path());
    fs::write(known.path(), "# note\n\nhost:1 SHA256:short\nhost:2\n").unwrap();
    let error = known.get("host:1").unwrap_err().to_string();
    assert!(error.ends_with("known_index:3"), "{error}");
    let error = known.get("host:3").unwrap_err().to_string();
    assert!(error.contains("known_index:4"), "{error}");
}
