use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("x/config.json"))
}

/// A value that each key takes, other than its default.
fn sample(path: &str) -> Value {
    match path.split_once('.').unwrap().1 {
        "ip" | "bind_ip" | "advertise_ip" => json!("::1"),
        "port" | "base_port" => json!(7),
        "fingerprint" => json!(Fingerprint([3; 32]).to_string()),
        "admission" => json!("open"),
        "id" => json!("p-1"),
        "data_dir" | "file" => json!("/elsewhere"),
        "replicas" => json!(3),
        "min_in_sync" => json!(2),
        "replica" => json!(false),
        "repair_after_s" | "repair_mb_per_s" | "sort_mb_per_s" => json!(20),
        "segment_bytes" | "tail_cache_bytes" => json!(1 << 20),
        "level" => json!("debug"),
        "format" => json!("json"),
        other => panic!("no sample for {other}"),
    }
}

fn document(path: &str, value: &Value) -> String {
    let (section, key) = path.split_once('.').unwrap();
    json!({ section: { key: value } }).to_string()
}

#[test]
fn the_smallest_and_the_usual_config_load() {
    assert_eq!(
        parse("{}").unwrap().index_address().to_string(),
        "127.0.0.1:8088"
    );
    let config = parse(
        r#"{ "indexing_server": { "ip": "index.example", "port": 9 },
             "peer_node": { "ip": "::1", "base_port": 12347 } }"#,
    )
    .unwrap();
    assert_eq!(config.index_address().to_string(), "index.example:9");
    assert_eq!(*config.origin("peer_node.ip"), Origin::File { line: 2 });
    assert_eq!(*config.origin("log.level"), Origin::Default);
}

#[test]
fn the_shipped_config_is_valid() {
    let text = include_str!("../../config.json");
    let config = Config::parse(text, Path::new("config.json")).unwrap();
    assert_eq!(config.indexing_server, Config::default().indexing_server);
    assert_eq!(config.peer_node, Config::default().peer_node);
}

#[test]
fn every_key_is_read_shown_and_type_checked() {
    for key in KEYS {
        let value = sample(key.path);
        let config = parse(&document(key.path, &value)).unwrap();
        let entries = config.entries();
        let entry = entries.iter().find(|e| e.key == key).unwrap();
        assert_eq!(entry.value.as_ref(), Some(&value), "{}", key.path);
        assert_eq!(entry.origin, Origin::File { line: 1 });

        let error = parse(&document(key.path, &json!([1]))).unwrap_err();
        assert_eq!(error.key(), Some(key.path), "{error}");
        assert!(error.to_string().contains(key.expects), "{error}");
    }
}

#[test]
fn documented_defaults_are_the_real_ones() {
    for entry in Config::default().entries() {
        let documented: Option<Value> = serde_json::from_str(entry.key.default).ok();
        assert_eq!(entry.value, documented, "{}", entry.key.path);
    }
}

/// The README's table is this code's own; `config::markdown()` is what to paste.
#[test]
fn the_readme_holds_the_table_of_keys() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    match std::fs::read_to_string(readme) {
        Ok(text) => assert!(text.contains(&markdown()), "paste:\n{}", markdown()),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}

#[test]
fn errors_name_file_line_and_key() {
    let cases = [
        (
            "",
            "x/config.json:1: the file is empty; expected a JSON object, at least {}",
        ),
        (
            "[]",
            "x/config.json:1: the config is []; expected a JSON object",
        ),
        (
            "{\n \"peer_node\": 3}",
            "x/config.json:2: peer_node is 3; expected an object {...}",
        ),
        (
            "{\"peer_node\": {\n\"prot\": 1}}",
            "x/config.json:2: unknown key peer_node.prot; the nearest known one is peer_node.port",
        ),
        (
            "{\n\"logs\": {}}",
            "x/config.json:2: unknown key logs; the nearest known one is log",
        ),
        (
            "{\"peer_node\":\n{\"port\": 1,\n\"port\": 2}}",
            "x/config.json:3: peer_node.port is given twice, first in line 2",
        ),
        (
            "{\"log\": {},\n\"log\": {}}",
            "x/config.json:2: log is given twice, first in line 1",
        ),
        (
            "{\"indexing_server\": {\"port\":\n\"8088\"}}",
            "x/config.json:2: indexing_server.port is \"8088\"; expected a whole number from 1 to 65535",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let cases = [
        ("indexing_server.port", json!(0)),
        ("indexing_server.port", json!(70000)),
        ("peer_node.port", json!(-1)),
        ("peer_node.base_port", json!(1.5)),
        ("peer_node.port", json!(null)),
        ("peer_node.id", json!("../x")),
        ("peer_node.id", json!("index")),
        ("peer_node.ip", json!("10.0.0.300")),
        ("peer_node.replicas", json!(0)),
        ("peer_node.replicas", json!(256)),
        ("peer_node.min_in_sync", json!(8)),
        ("peer_node.segment_bytes", json!(1000)),
        ("peer_node.data_dir", json!("")),
        ("log.level", json!("inof")),
        ("log.format", json!("Human")),
        ("indexing_server.fingerprint", json!("SHA256:x")),
    ];
    for (path, value) in cases {
        let error = parse(&document(path, &value)).unwrap_err();
        assert_eq!(error.key(), Some(path), "{value}: {error}");
        assert_eq!(error.line(), Some(1));
    }
}

#[test]
fn only_a_named_file_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.json");
    let error = Config::load(Some(&missing)).unwrap_err();
    assert!(matches!(error, ConfigError::Missing { .. }), "{error}");
    let error = Config::load(Some(folder.path())).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");

    let file = folder.path().join("c.json");
    std::fs::write(&file, b"{\n\"a\xff\"").unwrap();
    let error = Config::load(Some(&file)).unwrap_err();
    assert_eq!(error.line(), Some(2), "{error}");
    let too_many = crate::limits::CONFIG_BYTES as usize + 1;
    std::fs::write(&file, vec![b' '; too_many]).unwrap();
    let error = Config::load(Some(&file)).unwrap_err();
    assert!(matches!(error, ConfigError::TooLarge { .. }), "{error}");
}

#[test]
fn folders_lie_beside_the_config() {
    let name = PeerName::new("1").unwrap();
    let config = parse(r#"{"indexing_server": {"data_dir": "/var/index"}}"#).unwrap();
    assert_eq!(config.root(), Path::new("x"));
    assert_eq!(config.certs_dir(), Path::new("x/certs"));
    assert_eq!(config.peer_data_dir(&name), Path::new("x/data/peers/1"));
    assert_eq!(config.index_data_dir(), Path::new("/var/index"));
    let config = Config::default();
    assert_eq!(config.root(), Path::new("."));
    assert_eq!(config.certs_dir(), Path::new("certs"));
    assert_eq!(config.peer_data_dir(&name), Path::new("data/peers/1"));
}

#[test]
fn another_index_address_brings_its_own_pin() {
    let pin = Fingerprint([1; 32]);
    let text = format!(r#"{{"indexing_server": {{"fingerprint": "{pin}"}}}}"#);
    let flag = Origin::Flag("--index");

    let mut config = parse(&text).unwrap();
    config.override_index("127.0.0.1:8088".parse().unwrap(), flag.clone());
    assert_eq!(config.indexing_server.fingerprint, Some(pin));

    config.override_index("127.0.0.1:8089".parse().unwrap(), flag.clone());
    assert_eq!(config.indexing_server.fingerprint, None);
    assert_eq!(*config.origin("indexing_server.fingerprint"), flag);
}

fn arbitrary_json() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        prop::sample::select(KEYS).prop_map(|k| k.path.split_once('.').unwrap().1.to_owned()),
        prop::sample::select(KEYS).prop_map(|k| k.path.split_once('.').unwrap().0.to_owned()),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n}")),
        Just("1e999".to_owned()),
        Just(r#""\ud800""#.to_owned()),
        word.clone().prop_map(|w| json!(w).to_string()),
    ];
    leaf.prop_recursive(4, 24, 6, move |inner| {
        let pair = (word.clone(), inner.clone()).prop_map(|(k, v)| format!("{}:\n{v}", json!(k)));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|v| format!("[{}]", v.join(","))),
            prop::collection::vec(pair, 0..6).prop_map(|v| format!("{{{}}}", v.join(",\n"))),
        ]
    })
}

fn check(text: &str) {
    if let Err(error) = parse(text) {
        let lines = text.matches('\n').count() + 1;
        assert!((1..=lines).contains(&error.line().unwrap()), "{error}");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}

proptest! {
    #[test]
    fn arbitrary_json_gets_a_config_or_an_error_with_its_place(text in arbitrary_json()) {
        check(&text);
    }

    #[test]
    fn arbitrary_text_gets_a_config_or_an_error_with_its_place(text in any::<String>()) {
        check(&text);
    }
}
