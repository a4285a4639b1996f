//! Command lines of words, and their output as JSON.
#![allow(dead_code)] // each test file uses its part

use serde_json::Value;

use crate::common::{Deployment, Process, Ran};

/// A deployment with an index and peer 1.
pub fn running() -> (Deployment, Process, Process) {
    let deployment = Deployment::new();
    let index = deployment.index();
    let peer = deployment.peer("1");
    (deployment, index, peer)
}

/// Runs a line of words under identity 1 unless it names another.
pub fn run(deployment: &Deployment, line: &str) -> Ran {
    let mut words: Vec<&str> = line.split(' ').collect();
    if !words.contains(&"--id") {
        words.extend(["--id", "1"]);
    }
    deployment.run(words)
}

pub fn ok(deployment: &Deployment, line: &str) -> String {
    run(deployment, line).ok()
}

/// The JSON values on standard output, one a line.
pub fn json(deployment: &Deployment, line: &str) -> Vec<Value> {
    let output = ok(deployment, &format!("{line} -o json"));
    output
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

pub fn one(deployment: &Deployment, line: &str) -> Value {
    let mut values = json(deployment, line);
    assert_eq!(values.len(), 1, "{values:?}");
    values.remove(0)
}
