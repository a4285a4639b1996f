//! A full disk: a peer whose data lies on a small file system of its own.

use std::path::Path;
use std::process::Command;

use crate::common::{Deployment, Process, eventually};
use serde_json::json;

/// The peer in a mount namespace in which its data folder is a tmpfs of `size`; `None` where that
/// is not allowed.
fn peer_on_small_disk(
    deployment: &Deployment,
    name: &str,
    folder: &Path,
    size: &str,
) -> Option<Process> {
    let mount = format!("mount -t tmpfs -o size={size} tmpfs '{}'", folder.display());
    let allowed = Command::new("unshare")
        .args(["-m", "sh", "-c", &mount])
        .output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let inner = deployment.command(["peer", "--id", name]);
    let mut command = Command::new("unshare");
    let script = format!("{mount} && exec \"$0\" \"$@\"");
    command
        .args(["-m", "sh", "-c", &script])
        .arg(inner.get_program());
    command
        .args(inner.get_args())
        .current_dir(deployment.path());
    crate::common::clear_environment(&mut command);
    let peer = Process::spawn(command);
    peer.wait_for("session with the index");
    Some(peer)
}

#[test]
fn a_full_disk_refuses_appends_and_nothing_else() {
    let deployment = Deployment::with_config(|config| {
        config["peer_node"]["segment_bytes"] = json!(1 << 20);
        config["peer_node"]["data_dir"] = json!("small");
    });
    let folder = deployment.path().join("small");
    std::fs::create_dir(&folder).unwrap();
    let _index = deployment.index();
    let Some(peer) = peer_on_small_disk(&deployment, "host", &folder, "12m") else {
        println!("SKIPPED: no mount namespaces here");
        return;
    };
    deployment
        .run(["publish", "T1", "first", "--id", "user", "--host", "host"])
        .ok();
    let body = deployment.path().join("body");
    std::fs::write(&body, vec![7; 200 << 10]).unwrap();
    let publish = [
        "publish",
        "T1",
        "--file",
        "body",
        "--id",
        "user",
        "--timeout",
        "2s",
    ];
    let refused = eventually("the disk to be full", || {
        let ran = deployment.run(publish);
        (ran.code != Some(0)).then_some(ran)
    });
    refused.fails(5, &["storage-full"]);
    // Reading and positions go on.
    let text = deployment
        .run(["pull", "T1", "--max", "1", "--id", "user"])
        .ok();
    assert!(text.contains("first"), "{text}");
    let text = deployment
        .run(["pull", "T1", "--max", "1", "--id", "user"])
        .ok();
    assert!(!text.contains("first"), "the position was kept");
    // Room is made: the old messages go.
    deployment
        .run([
            "topic",
            "set",
            "T1",
            "--retain-bytes",
            "1MiB",
            "--id",
            "user",
        ])
        .ok();
    eventually("appends to go on", || {
        (deployment.run(publish).code == Some(0)).then_some(())
    });
    assert_eq!(peer.terminate(), Some(0));
}

#[test]
fn a_copy_on_a_full_disk_leaves_the_set_and_comes_back() {
    let deployment = Deployment::with_config(|config| {
        config["peer_node"]["segment_bytes"] = json!(1 << 20);
        config["peer_node"]["data_dir"] = json!("small");
    });
    let folder = deployment.path().join("small");
    std::fs::create_dir(&folder).unwrap();
    let _index = deployment.index();
    let _host = deployment.peer("a");
    let Some(copy) = peer_on_small_disk(&deployment, "b", &folder, "12m") else {
        println!("SKIPPED: no mount namespaces here");
        return;
    };
    let body = deployment.path().join("body");
    std::fs::write(&body, vec![7; 400 << 10]).unwrap();
    let topic = "topic create T1 --host a --id user";
    deployment.run(topic.split(' ')).ok();
    let publish = "publish T1 --file body --id user --timeout 20s";
    let until = |text: &str| {
        eventually(&format!("a message that is {text}"), || {
            let said = deployment.run(publish.split(' ')).ok();
            said.contains(text).then_some(())
        });
    };
    until("durable on 2 of 2");
    // The host has room, and goes on alone.
    until("durable on 1 of 1 (peer a)");
    // Both make room: the old messages go.
    let less = "topic set T1 --retain-bytes 1MiB --id user";
    deployment.run(less.split(' ')).ok();
    until("durable on 2 of 2");
    assert_eq!(copy.terminate(), Some(0));
}
