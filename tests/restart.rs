//! Restarts: whatever was answered is there again, and one key has one host.

mod common;

use common::{Deployment, Process};
use serde_json::Value;

/// Index and host with something of everything in them.
struct Stage {
    deployment: Deployment,
    index: Process,
    host: Process,
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

impl Stage {
    fn new() -> Stage {
        let deployment = Deployment::new();
        let index = deployment.index();
        let host = deployment.peer("host");
        let stage = Stage {
            deployment,
            index,
            host,
        };
        stage.run(&["topic", "create", "T1", "T2", "gone", "--id", "host"]);
        stage.run(&["topic", "set", "T2", "--retain-age", "7d", "--id", "host"]);
        let input = b"one\ntwo\nthree\n";
        let args = ["publish", "T1", "-", "--id", "writer"];
        stage.deployment.run_with_input(args, input).ok();
        stage.run(&["subscribe", "gone", "--id", "reader"]);
        stage.run(&["pull", "T1", "--max", "1", "--id", "reader"]);
        stage.run(&["topic", "delete", "gone", "--id", "host", "--yes"]);
        stage
    }

    fn run(&self, args: &[&str]) -> String {
        self.deployment.run(args).ok()
    }

    fn index_again(&mut self, graceful: bool) {
        let again = |old: Process, deployment: &Deployment| {
            end(old, graceful);
            deployment.index()
        };
        take_mut(&mut self.index, |old| again(old, &self.deployment));
    }

    fn host_again(&mut self, graceful: bool) {
        let again = |old: Process, deployment: &Deployment| {
            end(old, graceful);
            deployment.peer("host")
        };
        take_mut(&mut self.host, |old| again(old, &self.deployment));
    }

    /// The registry as listings tell it, without what changes with restarts and time.
    fn registry(&self) -> Vec<Value> {
        let peers = json(&self.run(&["peers", "list", "-o", "json", "--id", "other"]));
        let peers = peers.as_array().expect("a list").iter();
        let keys = [
            "peer",
            "fingerprint",
            "registered",
            "hosted",
            "owned",
            "subscriptions",
        ];
        let mut told: Vec<Value> = peers
            .flat_map(|peer| keys.map(|key| peer[key].clone()))
            .collect();
        let topic = json(&self.run(&["topic", "show", "T2", "-o", "json", "--id", "other"]));
        let keys = ["topic", "id", "owner", "host", "version", "retain_age_ms"];
        told.extend(keys.map(|key| topic[key].clone()));
        assert!(told.len() > 20 && !told.contains(&Value::Null), "{told:?}");
        told
    }

    fn check_messages(&self) {
        let text = self.run(&["pull", "T1", "--from", "start", "--id", "writer"]);
        for body in ["one", "two", "three"] {
            assert!(text.contains(body), "{text}");
        }
        self.run(&["publish", "T1", "more", "--id", "writer"]);
    }

    /// The reader goes on where it was, and hears what was deleted.
    fn check_reader(&self) {
        let listed = self.deployment.run(["subscriptions", "--id", "reader"]);
        let told = format!("{}{}", listed.stdout, listed.stderr);
        assert!(told.contains("gone"), "{told}");
        let text = self.run(&["pull", "T1", "--id", "reader"]);
        assert!(!text.contains("one") && text.contains("two"), "{text}");
    }
}

fn take_mut(place: &mut Process, with: impl FnOnce(Process) -> Process) {
    // A process that has ended already stands in meanwhile.
    let stand_in = Process::spawn(std::process::Command::new("true"));
    let old = std::mem::replace(place, stand_in);
    *place = with(old);
}

fn end(process: Process, graceful: bool) {
    match graceful {
        true => assert_eq!(process.terminate(), Some(0)),
        false => process.kill(),
    }
}

fn survives(restart: impl Fn(&mut Stage)) {
    let mut stage = Stage::new();
    // Registers whoever asks, before it is looked.
    stage.run(&["topic", "list", "--id", "other"]);
    let before = stage.registry();
    restart(&mut stage);
    stage.host.wait_for("session with the index");
    assert_eq!(stage.registry(), before);
    stage.check_messages();
    restart(&mut stage);
    stage.check_messages();
    stage.check_reader();
}

#[test]
fn of_the_index_graceful() {
    survives(|stage| stage.index_again(true));
}

#[test]
fn of_the_index_killed() {
    survives(|stage| stage.index_again(false));
}

#[test]
fn of_the_host_graceful() {
    survives(|stage| stage.host_again(true));
}

#[test]
fn of_the_host_killed() {
    survives(|stage| stage.host_again(false));
}

#[test]
fn of_both_graceful() {
    survives(|stage| {
        stage.index_again(true);
        stage.host_again(true);
    });
}

#[test]
fn of_both_killed() {
    survives(|stage| {
        stage.host_again(false);
        stage.index_again(false);
        stage.host_again(false);
    });
}

fn epoch(deployment: &Deployment) -> Value {
    let shown = deployment.run(["topic", "show", "T1", "-o", "json", "--id", "host"]);
    let epoch = json(&shown.ok())["epoch"].clone();
    assert!(!epoch.is_null());
    epoch
}

#[test]
fn one_shot_commands_under_the_hosts_key_fence_nobody() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let host = deployment.peer("host");
    deployment
        .run(["publish", "T1", "first", "--id", "host"])
        .ok();
    let before = epoch(&deployment);
    for round in 0..10 {
        let message = format!("message {round}");
        deployment
            .run(["publish", "T1", &message, "--id", "host"])
            .ok();
        let text = deployment.run(["pull", "T1", "--id", "host"]).ok();
        assert!(text.contains(&message), "{text}");
    }
    assert_eq!(epoch(&deployment), before);
    let fenced = host
        .lines()
        .into_iter()
        .find(|line| line.contains("fenced"));
    assert_eq!(fenced, None);
    assert_eq!(host.terminate(), Some(0));
}

/// Starts a daemon under the key of `host` on another data folder: only the index can tell it from
/// the one that runs.
fn second_daemon(deployment: &Deployment) -> Process {
    let config = std::fs::read_to_string(deployment.config()).unwrap();
    let mut config = json(&config);
    config["peer_node"]["data_dir"] = "elsewhere".into();
    let other = deployment.path().join("other.json");
    std::fs::write(&other, config.to_string()).unwrap();
    deployment.spawn(["peer", "--id", "host", "--config", "other.json"])
}

fn incarnation(deployment: &Deployment) -> serde_json::Value {
    let args = ["peers", "show", "host", "--id", "reader", "-o", "json"];
    json(&deployment.run(args).ok())["incarnation"].clone()
}

#[test]
fn of_two_daemons_under_one_key_the_older_is_fenced_and_stays_away() {
    let deployment = Deployment::new();
    let index = deployment.index();
    let older = deployment.peer("host");
    let newer = second_daemon(&deployment);
    newer.wait_for("is open");

    older.wait_for("fenced");
    assert_eq!(older.wait().code(), Some(7));
    index.wait_for("was fenced");
    // It stays so: nobody came back to fence the newer one.
    assert_eq!(incarnation(&deployment), 2);
    assert_eq!(incarnation(&deployment), 2);
    assert!(!newer.lines().iter().any(|line| line.contains("fenced")));
}

#[test]
fn a_daemon_without_the_hosts_messages_is_refused_and_fences_nobody() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let host = deployment.peer("host");
    deployment
        .run(["publish", "T1", "first", "--id", "host"])
        .ok();
    let second = second_daemon(&deployment);
    second.wait_for("error[storage-changed]");
    assert_eq!(second.wait().code(), Some(4));

    let published = deployment.run(["publish", "T1", "second", "--id", "host"]);
    assert!(published.ok().contains("T1 @ 2"));
    assert_eq!(host.terminate(), Some(0));
}
