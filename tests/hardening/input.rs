//! Odd names, messages and configs on the command line.

use crate::common::Deployment;

#[test]
fn hostile_names_are_refused_before_anything_is_made() {
    let deployment = Deployment::new();
    let long = "x".repeat(10_000);
    for topic in ["a b", "a\nb", "Т1", "a\u{202e}b", "", "a:b", "a\\b", &long] {
        deployment
            .run(["publish", topic, "hi", "--id", "1"])
            .fails(2, &["topic name"]);
    }
    for id in ["../x", "..", ".x", "a/b", "a\nb", "index", "", &long] {
        deployment
            .run(["peer", "--id", id])
            .fails(2, &["peer name"]);
    }
    let made: Vec<_> = std::fs::read_dir(deployment.path()).unwrap().collect();
    assert_eq!(made.len(), 1, "only config.json: {made:?}");
}

#[test]
fn names_that_look_like_paths_stay_names() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let _host = deployment.peer("1");
    for topic in ["../../x", "..", "/etc/passwd", "a//b", "@/-"] {
        deployment.run(["publish", topic, "hi"]).ok();
        let text = deployment.run(["pull", topic]).ok();
        assert!(text.contains("hi"), "{topic}: {text}");
    }
    let mut entries: Vec<_> = std::fs::read_dir(deployment.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    entries.sort();
    assert_eq!(entries, ["certs", "config.json", "data"]);
    assert!(!deployment.path().parent().unwrap().join("x").exists());
}

#[test]
fn messages_of_any_bytes_and_none_too_large() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let _host = deployment.peer("1");
    let file = deployment.path().join("message");
    for body in [&b""[..], b"a\0b", b"\xff\xfe\x80"] {
        std::fs::write(&file, body).unwrap();
        deployment.run(["publish", "T1", "--file", "message"]).ok();
    }
    std::fs::write(&file, vec![7; 5 << 20]).unwrap();
    deployment
        .run(["publish", "T1", "--file", "message"])
        .fails(2, &["too-large", "4"]);
    let large = std::fs::File::create(&file).unwrap();
    large.set_len(100 << 20).unwrap();
    deployment
        .run(["publish", "T1", "--file", "message"])
        .fails(2, &["too-large"]);
    deployment.run(["publish", "T1", "last"]).ok();
    assert!(deployment.run(["pull", "T1"]).ok().contains("last"));
}

#[test]
fn broken_configs_name_file_line_and_key() {
    let deployment = Deployment::new();
    let cases = [
        ("", "config.json:1: the file is empty"),
        ("{", "config.json:1"),
        ("[]", "expected a JSON object"),
        (
            "{\"peer_node\":\n{\"port\": \"x\"}}",
            "config.json:2: peer_node.port",
        ),
        (
            "{\"peer_node\":\n{\"prot\": 1}}",
            "config.json:2: unknown key peer_node.prot",
        ),
        (
            "{\"indexing_server\": {\"port\": 0}}",
            "indexing_server.port is 0",
        ),
        (
            "{\"indexing_server\": {\"port\": 70000}}",
            "indexing_server.port is 70000",
        ),
        (
            "{\"log\": {},\n\"log\": {}}",
            "config.json:2: log is given twice",
        ),
    ];
    for (text, expected) in cases {
        std::fs::write(deployment.config(), text).unwrap();
        for args in [
            &["index"][..],
            &["peer", "--id", "1"],
            &["peers", "list", "--id", "1"],
        ] {
            deployment.run(args).fails(2, &["error[config]", expected]);
        }
    }
    std::fs::remove_file(deployment.config()).unwrap();
    deployment
        .run(["index", "--config", "none.json"])
        .fails(2, &["none.json"]);
    let made: Vec<_> = std::fs::read_dir(deployment.path()).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
}
