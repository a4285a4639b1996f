//! An index and three peers on hosts of their own (network namespaces with their own addresses):
//! nothing but config.json changes, peers must be admitted, and a stranger is refused.
//!
//! Needs root and iproute2; where these are not to be had the test says so and passes.

mod common;
#[path = "common/network.rs"]
mod network;

use common::Ran;
use network::{INDEX_PORT, Network};

/// The command that a refusal prints, as arguments.
fn admit_command(refused: &Ran) -> Vec<String> {
    let line = refused
        .stderr
        .lines()
        .find(|line| line.contains("waypost index admit"));
    let line = line.unwrap_or_else(|| panic!("no admit command in {}", refused.stderr));
    let from = line.find("index admit").unwrap();
    line[from..]
        .split_whitespace()
        .take(4)
        .map(str::to_owned)
        .collect()
}

#[test]
fn four_hosts_work_once_admitted_and_a_stranger_does_not() {
    let (network, hosts) = match Network::new(&["i", "a", "b", "c", "x"], &serde_json::json!({})) {
        Ok(made) => made,
        Err(why) => {
            println!("SKIPPED: network namespaces are not to be had here: {why}");
            return;
        }
    };
    let [index, peers @ .., stranger] = hosts.as_slice() else {
        panic!("five hosts were made");
    };
    let serving = index.spawn(&["index"]);
    serving.wait_for(&format!(
        "Indexing server starting on {}:{INDEX_PORT}",
        index.address
    ));

    let mut running = vec![];
    for (name, host) in ["a", "b", "c"].into_iter().zip(peers) {
        // Not admitted yet: refused, with the command that admits it; the index need not restart.
        let refused = host
            .run(&["peer", "--id", name])
            .fails(4, &["not-admitted"]);
        let admit = admit_command(&refused);
        assert_eq!(admit[2], name);
        let admit: Vec<&str> = admit.iter().map(String::as_str).collect();
        index.run(&admit).ok();
        let peer = host.spawn(&["peer", "--id", name]);
        peer.wait_for("session with the index");
        running.push(peer);
    }
    let [a, b, c] = peers else {
        panic!("three peers were made");
    };
    a.run(&["topic", "create", "T1"]).ok();
    b.run(&["subscribe", "T1"]).ok();
    c.run(&["publish", "T1", "from c"]).ok();
    b.run(&["publish", "T1", "from b"]).ok();
    let pulled = b.run(&["pull", "T1"]).ok();
    assert!(
        pulled.contains("1: from c") && pulled.contains("2: from b"),
        "{pulled}"
    );
    let shown = c.run(&["topic", "show", "T1"]).ok();
    assert!(shown.contains(&a.address), "{shown}");

    let refused = stranger.run(&["publish", "--id", "x", "T1", "hello"]);
    admit_command(&refused.fails(4, &["not-admitted"]));
    let pulled = b.run(&["pull", "T1"]).ok();
    assert!(pulled.contains("No new messages"), "{pulled}");
    assert!(stranger.certs().join("x.key.pem").exists());

    for peer in running {
        assert_eq!(peer.terminate(), Some(0));
    }
    assert_eq!(serving.terminate(), Some(0));
    drop(network);
}
