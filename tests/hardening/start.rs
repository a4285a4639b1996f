//! Daemons that cannot start say why in a sentence, and leave nothing half-made.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use crate::common::Deployment;
use serde_json::json;

fn everything_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything_in(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn a_taken_port_stops_the_index_before_it_makes_anything() {
    let deployment = Deployment::new();
    let _taken = UdpSocket::bind(("127.0.0.1", deployment.port)).unwrap();
    let before = everything_in(deployment.path());
    deployment
        .run(["index"])
        .fails(5, &["in use", &deployment.port.to_string()]);
    assert_eq!(everything_in(deployment.path()), before);
}

#[test]
fn a_taken_exact_port_stops_a_peer_before_it_makes_anything() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let deployment = Deployment::with_config(|config| {
        config["peer_node"]["port"] = json!(port);
    });
    let _index = deployment.index();
    let before = everything_in(deployment.path());
    deployment
        .run(["peer", "--id", "1"])
        .fails(5, &["in use", &port.to_string()]);
    assert_eq!(everything_in(deployment.path()), before);
}

#[test]
fn a_second_peer_on_the_folder_names_the_first() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let first = deployment.peer("1");
    let pid = first.pid().to_string();
    let help = format!("kill {pid}");
    deployment
        .run(["peer", "--id", "1"])
        .fails(7, &["in-use", &pid, "running", &help, "--take-over"]);
    // The first lives on.
    deployment.run(["publish", "T1", "hi"]).ok();
}

#[test]
fn a_second_index_on_the_folder_names_the_first() {
    let deployment = Deployment::new();
    let first = deployment.index();
    let pid = first.pid().to_string();
    deployment
        .run(["index"])
        .fails(7, &["in-use", &pid, "--take-over"]);
    deployment.run(["peers", "list", "--id", "1"]).ok();
}

#[test]
fn a_suspended_peer_is_named_and_taken_over() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let first = deployment.peer("1");
    deployment.run(["publish", "T1", "before"]).ok();
    first.suspend();
    let pid = first.pid().to_string();
    let help = format!("kill -CONT {pid}");
    deployment
        .run(["peer", "--id", "1"])
        .fails(7, &["suspended", &help, "--take-over"]);
    let second = deployment.spawn(["peer", "--id", "1", "--take-over"]);
    second.wait_for("session with the index");
    first.wait();
    let text = deployment.run(["pull", "T1"]).ok();
    assert!(text.contains("before"), "{text}");
}

#[test]
fn a_suspended_index_is_taken_over() {
    let deployment = Deployment::new();
    let first = deployment.index();
    let _host = deployment.peer("1");
    deployment.run(["publish", "T1", "before"]).ok();
    first.suspend();
    deployment
        .run(["index"])
        .fails(7, &["suspended", "kill -CONT", "--take-over"]);
    let second = deployment.spawn(["index", "--take-over"]);
    second.wait_for("Indexing server starting on");
    first.wait();
    assert!(deployment.run(["topic", "list"]).ok().contains("T1"));
}

#[test]
fn a_folder_without_permission_says_so() {
    if rustix::process::getuid().is_root() {
        println!("SKIPPED: root may write anywhere");
        return;
    }
    let deployment = Deployment::new();
    let data = deployment.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut rights = std::fs::metadata(&data).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o500);
    std::fs::set_permissions(&data, rights).unwrap();
    deployment.run(["index"]).fails(1, &["data", "owner"]);
}
