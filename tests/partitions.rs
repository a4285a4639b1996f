//! A topic with two copies while the network is cut in one direction only: what is acknowledged stays, and
//! one host at a time acknowledges.
//!
//! Needs root and iproute2; where these are not to be had the test says so and passes.

mod common;
#[path = "common/network.rs"]
mod network;

use common::eventually;
use network::{Host, Network};

/// A writer on a host of its own, which numbers its messages.
struct Writer<'a> {
    host: &'a Host,
    sent: u64,
}

impl Writer<'_> {
    /// Publishes one; answers what was said of it.
    fn publish(&mut self) -> String {
        self.sent += 1;
        let body = format!("message {}", self.sent);
        self.host
            .run(&["publish", "T1", &body, "--timeout", "30s"])
            .ok()
    }

    /// Publishes until what is said of a message holds `text`.
    fn publish_until(&mut self, text: &str) {
        eventually(&format!("a message that is {text}"), || {
            self.publish().contains(text).then_some(())
        });
    }

    /// Everything that was acknowledged is there once, in order, and nothing else.
    fn check(&self) {
        let read = self
            .host
            .run(&["pull", "T1", "--from", "start", "-f", "%o %s"])
            .ok();
        let expected: String = (1..=self.sent)
            .map(|n| format!("{n} message {n}\n"))
            .collect();
        assert_eq!(read, expected);
    }
}

/// The hosts of a deployment: index, three peers, a writer.
fn hosts() -> Option<(Network, Vec<Host>)> {
    let open = serde_json::json!({ "admission": "open" });
    match Network::new(&["i", "a", "b", "w"], &open) {
        Ok(made) => Some(made),
        Err(why) => {
            println!("SKIPPED: network namespaces are not to be had here: {why}");
            None
        }
    }
}

#[test]
fn one_way_cuts_lose_nothing() {
    let Some((network, hosts)) = hosts() else {
        return;
    };
    let [i, a, b, w] = hosts.as_slice() else {
        panic!("four hosts were made");
    };
    let index = i.spawn(&["index"]);
    index.wait_for("Indexing server starting on");
    let mut running = vec![];
    for (name, host) in [("a", a), ("b", b)] {
        let peer = host.spawn(&["peer", "--id", name]);
        peer.wait_for("session with the index");
        running.push(peer);
    }
    w.run(&["topic", "create", "T1", "--host", "a", "--id", "w"])
        .ok();
    let mut writer = Writer { host: w, sent: 0 };
    writer.publish_until("durable on 2 of 2 (peers a, b)");

    // The replica hears nothing from the host: it is taken out of the set, and comes back.
    a.stop_reaching(b);
    writer.publish_until("durable on 1 of 1 (peer a)");
    a.reach_again(b);
    writer.publish_until("durable on 2 of 2 (peers a, b)");

    // The host hears nothing from the replica.
    b.stop_reaching(a);
    writer.publish_until("durable on 1 of 1 (peer a)");
    b.reach_again(a);
    writer.publish_until("durable on 2 of 2 (peers a, b)");

    // The index hears nothing from the host, which hears and reaches everybody else: another takes its place.
    a.stop_reaching(i);
    index.wait_for("Peer a is away");
    writer.publish_until("(peer b)");
    let shown = w.run(&["topic", "show", "T1"]).ok();
    assert!(shown.contains("host         b "), "{shown}");
    a.reach_again(i);
    writer.publish_until("durable on 2 of 2 (peers a, b)");
    writer.check();

    // The host hears nothing from the index.
    i.stop_reaching(b);
    index.wait_for("Peer b is away");
    writer.publish_until("(peer a)");
    i.reach_again(b);
    writer.publish_until("durable on 2 of 2 (peers a, b)");
    writer.check();
    drop((running, index, network));
}
