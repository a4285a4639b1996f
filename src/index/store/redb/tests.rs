use super::super::conformance;
use super::*;
use crate::index::record::tests_support::samples;

#[test]
fn conforms() {
    conformance::run(&|check| {
        let folder = tempfile::tempdir().unwrap();
        check(&|| Box::new(RedbStore::open(folder.path()).unwrap()));
    });
}

#[test]
fn another_format_is_refused_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    let transaction = store.begin().unwrap();
    put_number(&transaction, FORMAT_KEY, 9).unwrap();
    transaction.commit().unwrap();
    drop(store);
    let error = RedbStore::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("has format 9; this program reads format 1"),
        "{error}"
    );
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _store = RedbStore::open(folder.path()).unwrap();
    let error = RedbStore::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
}

/// Where the store that version 1 wrote lies; made once by `write_fixture`, never again.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v1/index.redb")
}

#[test]
fn a_store_of_version_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture(), folder.path().join(FILE)).unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    let mut changes = vec![];
    let revision = store.load(&mut |change| changes.push(change)).unwrap();
    assert_eq!((revision, changes), (1, samples()));
}

#[test]
#[ignore = "writes the fixture that later versions must read; run once per store format"]
fn write_fixture() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    store.commit(&[], &samples()).unwrap();
    drop(store);
    std::fs::create_dir_all(fixture().parent().unwrap()).unwrap();
    std::fs::copy(folder.path().join(FILE), fixture()).unwrap();
}
