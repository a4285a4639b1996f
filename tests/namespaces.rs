//! An index and three peers on hosts of their own (network namespaces with their own addresses):
//! nothing but config.json changes, peers must be admitted, and a stranger is refused.
//!
//! Needs root and iproute2; where these are not to be had the test says so and passes.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{Process, Ran, clear_environment, run_to_end};

const INDEX_PORT: u16 = 8088;

/// A switch and hosts that hang on it; removed when dropped.
struct Network {
    names: Vec<String>,
}

/// One machine: a namespace with an address, and a folder.
struct Host {
    namespace: String,
    address: String,
    folder: tempfile::TempDir,
}

fn ip(line: &str) -> Result<(), String> {
    let told = |output: Output| match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    };
    let ran = Command::new("ip").args(line.split_whitespace()).output();
    ran.map_err(|error| error.to_string())
        .and_then(told)
        .map_err(|error| format!("ip {line}: {error}"))
}

impl Network {
    fn new(hosts: &[&str]) -> Result<(Network, Vec<Host>), String> {
        let tag = std::process::id();
        let mut network = Network { names: vec![] };
        let switch = network.namespace(&format!("wp{tag}s"))?;
        ip(&format!("-n {switch} link add br0 type bridge"))?;
        ip(&format!("-n {switch} link set br0 up"))?;
        let mut made = vec![];
        for (number, host) in (1..).zip(hosts) {
            let namespace = network.namespace(&format!("wp{tag}{host}"))?;
            let address = format!("10.77.0.{number}");
            ip(&format!(
                "-n {namespace} link add eth0 type veth peer name port{number} netns {switch}"
            ))?;
            ip(&format!("-n {switch} link set port{number} master br0 up"))?;
            ip(&format!("-n {namespace} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
            made.push(Host::new(namespace, address));
        }
        Ok((network, made))
    }

    fn namespace(&mut self, name: &str) -> Result<String, String> {
        ip(&format!("netns add {name}"))?;
        self.names.push(name.to_owned());
        Ok(name.to_owned())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            if let Err(error) = ip(&format!("netns del {name}")) {
                eprintln!("{error}");
            }
        }
    }
}

impl Host {
    fn new(namespace: String, address: String) -> Host {
        let folder = tempfile::tempdir().unwrap();
        let config = serde_json::json!({
            "indexing_server": { "ip": "10.77.0.1", "port": INDEX_PORT },
            "peer_node": { "ip": address, "base_port": 12347 },
        });
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        Host {
            namespace,
            address,
            folder,
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args([
                "netns",
                "exec",
                &self.namespace,
                env!("CARGO_BIN_EXE_waypost"),
            ])
            .args(args)
            .current_dir(self.folder.path());
        clear_environment(&mut command);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        run_to_end(self.command(args), b"")
    }

    fn spawn(&self, args: &[&str]) -> Process {
        Process::spawn(self.command(args))
    }

    fn certs(&self) -> std::path::PathBuf {
        Path::new(self.folder.path()).join("certs")
    }
}

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
    let (network, hosts) = match Network::new(&["i", "a", "b", "c", "x"]) {
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
