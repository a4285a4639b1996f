//! Hosts of their own: network namespaces with their own addresses, on a switch. Needs root and iproute2.
#![allow(dead_code)] // each test uses its part

use std::path::Path;
use std::process::{Command, Output};

use crate::common::{Process, Ran, clear_environment, run_to_end};

pub const INDEX_PORT: u16 = 8088;

/// A switch and hosts that hang on it; removed when dropped.
pub struct Network {
    names: Vec<String>,
}

/// One machine: a namespace with an address, and a folder.
pub struct Host {
    pub namespace: String,
    pub address: String,
    pub folder: tempfile::TempDir,
}

/// Runs `ip`.
pub fn ip(line: &str) -> Result<(), String> {
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
    /// A switch and these hosts, the first at 10.77.0.1, the next at .2, and so on; what `extra` says goes
    /// into the index's part of each config.
    pub fn new(hosts: &[&str], extra: &serde_json::Value) -> Result<(Network, Vec<Host>), String> {
        // Tests of one process each have their own names.
        let tag = format!("{:x}", rand::random::<u16>());
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
            made.push(Host::new(namespace, address, extra));
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
    fn new(namespace: String, address: String, extra: &serde_json::Value) -> Host {
        let folder = tempfile::tempdir().unwrap();
        let mut config = serde_json::json!({
            "indexing_server": { "ip": "10.77.0.1", "port": INDEX_PORT },
            "peer_node": { "ip": address, "base_port": 12347 },
        });
        for (key, value) in extra.as_object().into_iter().flatten() {
            config["indexing_server"][key] = value.clone();
        }
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

    pub fn run(&self, args: &[&str]) -> Ran {
        run_to_end(self.command(args), b"")
    }

    pub fn spawn(&self, args: &[&str]) -> Process {
        Process::spawn(self.command(args))
    }

    pub fn certs(&self) -> std::path::PathBuf {
        Path::new(self.folder.path()).join("certs")
    }

    /// Nothing that this host sends reaches `other` any more; what `other` sends still comes.
    pub fn stop_reaching(&self, other: &Host) {
        self.route("add", other).unwrap();
    }

    /// Takes [`Host::stop_reaching`] back.
    pub fn reach_again(&self, other: &Host) {
        self.route("del", other).unwrap();
    }

    fn route(&self, what: &str, other: &Host) -> Result<(), String> {
        let (namespace, address) = (&self.namespace, &other.address);
        ip(&format!(
            "-n {namespace} route {what} blackhole {address}/32"
        ))
    }
}
