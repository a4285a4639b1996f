//! Each exit code, with the error that people read and the one that programs read.

mod common;

use std::process::Stdio;

use common::{Deployment, Ran, eventually};
use serde_json::Value;

fn run(deployment: &Deployment, line: &str) -> Ran {
    deployment.run(line.split(' '))
}

/// The error object of `-o json`.
fn error(ran: &Ran) -> Value {
    let last = ran.stderr.lines().last().expect("an error");
    serde_json::from_str::<Value>(last).expect("JSON")["error"].clone()
}

#[test]
fn exit_1_where_standard_output_takes_nothing() {
    let d = Deployment::new();
    let mut command = d.command(["config", "show"]);
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = command
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("error[output]"),
        "{output:?}"
    );
}

#[test]
fn exit_2_where_the_line_does_not_say_what_to_do() {
    let d = Deployment::new();
    run(&d, "topic list").fails(2, &["error[no-identity]", "searched  certs", "--id NAME"]);
    run(&d, "publish T1 x --min-ack 8 --id 1").fails(2, &["error[usage]", "at most 7"]);
    run(&d, "publish T1 --count 2 --id 1").fails(2, &["error[usage]"]);
    run(&d, "topic set T1 --id 1").fails(2, &["error[usage]", "--retain-bytes"]);
    run(&d, "pull T1 -f %q --id 1").fails(2, &["%q", "%s body"]);
    let big = std::fs::File::create(d.path().join("big")).unwrap();
    big.set_len(100 << 20).unwrap();
    let ran = run(&d, "publish T1 --file big --id 1");
    ran.fails(
        2,
        &[
            "error[too-large]",
            "4194304 bytes (4.0 MiB)",
            "104857600 bytes",
        ],
    );
    run(&d, "publish ../é x --id 1").fails(2, &["not allowed in a topic name"]);
}

#[test]
fn exit_3_where_something_does_not_exist() {
    let d = Deployment::new();
    let (_index, _peer) = (d.index(), d.peer("1"));
    run(&d, "topic create orders").ok();
    run(&d, "topic show order").fails(3, &["error[topic-not-found]", "nearest  orders"]);
    for line in [
        "pull none",
        "publish none x --no-create",
        "topic delete none",
        "subscribe none",
    ] {
        run(&d, line).fails(3, &["error[topic-not-found]", "waypost topic list"]);
    }
    run(&d, "peers show none").fails(3, &["error[peer-not-found]", "waypost peers list"]);
    run(&d, "unsubscribe orders").fails(3, &["error[not-subscribed]", "waypost subscriptions"]);
    let ran = run(&d, "topic show order -o json");
    let found = error(&ran);
    assert_eq!(
        (&found["code"], &found["exit"]),
        (&"topic-not-found".into(), &3.into())
    );
}

#[test]
fn exit_4_where_identity_or_rights_are_wrong() {
    let d = Deployment::new();
    let (_index, _peer) = (d.index(), d.peer("1"));
    run(&d, "topic create T1 --id 1").ok();
    let ran = run(&d, "topic delete T1 --id 2");
    ran.fails(4, &["error[forbidden]", "topic 'T1' belongs to peer 1"]);

    // Another key under the name of peer 2.
    let certs = d.path().join("certs");
    std::fs::remove_file(certs.join("2.key.pem")).unwrap();
    std::fs::remove_file(certs.join("2.cert.pem")).unwrap();
    run(&d, "topic list --id 2").fails(
        4,
        &[
            "error[identity-mismatch]: peer name \"2\" is bound to another key",
            "  expected  SHA256:",
            "registered 2",
            "   in certs/2.key.pem",
            "waypost index forget 2",
        ],
    );

    // Another key at the index's address.
    let known = certs.join("known_index");
    let other = waypost::types::Fingerprint([7; 32]);
    std::fs::write(&known, format!("127.0.0.1:{} {other}\n", d.port)).unwrap();
    let ran = run(&d, "topic list --id 1");
    ran.fails(
        4,
        &[
            "error[identity-mismatch]",
            "has another key than before",
            "known_index",
        ],
    );
}

#[test]
fn exit_5_where_a_retry_is_worth_it() {
    let d = Deployment::new();
    let ran = run(&d, "topic list --id 1");
    ran.fails(5, &["error[index-unreachable]", "start it: waypost index"]);
    let found = error(&run(&d, "topic list --id 1 -o json"));
    assert_eq!(
        (&found["exit"], &found["help"]),
        (&5.into(), &"start it: waypost index".into())
    );

    let _index = d.index();
    let ran = run(&d, "publish T1 x --id 1");
    ran.fails(
        5,
        &["error[no-live-host]", "start one: waypost peer --id NAME"],
    );
    let peer = d.peer("1");
    run(&d, "publish T1 x --id 1").ok();
    run(&d, "pull T1 --id 1").ok();
    peer.kill();
    for line in [
        "publish T1 x --id 1 --no-hold --timeout 2s",
        "pull T1 --id 1 --timeout 2s",
    ] {
        let ran = run(&d, line);
        ran.fails(
            5,
            &[
                "error[host-unreachable]",
                "peer 1",
                "127.0.0.1:",
                "waypost peer --id 1",
            ],
        );
    }
}

#[test]
fn exit_6_where_time_is_up() {
    let d = Deployment::new();
    let (_index, _peer) = (d.index(), d.peer("1"));
    run(&d, "topic create T1").ok();
    let ran = run(&d, "pull T1 --wait --timeout 300ms");
    ran.fails(
        6,
        &[
            "error[timed-out]",
            "new messages in topic 'T1' did not come within 300ms",
        ],
    );
}

#[test]
fn exit_7_where_it_exists_already() {
    let d = Deployment::new();
    let (_index, _peer) = (d.index(), d.peer("1"));
    run(&d, "topic create T1").ok();
    let ran = run(&d, "topic create T1 T2");
    assert_eq!(ran.stdout, "Topic 'T2' created successfully.\n");
    ran.fails(7, &["error[topic-exists]", "waypost topic show T1"]);
}

/// Flips a byte of the first message behind which further groups lie.
fn damage(d: &Deployment, body: &[u8]) {
    let folder = d.path().join("data/peers/1");
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "seg") {
                let mut bytes = std::fs::read(&path).unwrap();
                if let Some(at) = bytes.windows(body.len()).position(|window| window == body) {
                    bytes[at] ^= 1;
                    std::fs::write(&path, bytes).unwrap();
                    return;
                }
            }
        }
    }
    panic!("no segment holds the message");
}

#[test]
fn exit_8_where_data_is_damaged() {
    let d = Deployment::with_config(|config| {
        config["peer_node"]["segment_bytes"] = serde_json::json!(1 << 20);
    });
    let _index = d.index();
    let peer = d.peer("1");
    run(&d, "publish T1 this-one-is-damaged").ok();
    run(&d, "publish T1 this-one-is-not").ok();
    assert_eq!(peer.terminate(), Some(0));
    damage(&d, b"this-one-is-damaged");
    let _peer = d.peer("1");
    let ran = eventually("an answer of the host", || {
        let ran = run(&d, "pull T1 --from start");
        (ran.code != Some(5)).then_some(ran)
    });
    ran.fails(8, &["error[damaged]"]);
}
