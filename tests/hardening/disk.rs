//! A full disk: a peer whose data lies on a small file system of its own.

use std::path::Path;
use std::process::Command;

use crate::common::{Deployment, Process, eventually};
use serde_json::json;

/// The peer in a mount namespace in which its data folder is a tmpfs of `size`; `None` where that
/// is not allowed.
fn peer_on_small_disk(deployment: &Deployment, folder: &Path, size: &str) -> Option<Process> {
    let mount = format!("mount -t tmpfs -o size={size} tmpfs '{}'", folder.display());
    let allowed = Command::new("unshare")
        .args(["-m", "sh", "-c", &mount])
        .output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let inner = deployment.command(["peer", "--id", "host"]);
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
    let Some(peer) = peer_on_small_disk(&deployment, &folder, "12m") else {
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
