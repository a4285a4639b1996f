//! `waypost demo` from its first line to its last.

mod common;

use common::Deployment;

#[test]
fn the_demonstration_holds_and_leaves_nothing_behind() {
    let deployment = Deployment::new();
    // A folder of its own for temporary files, so that what is left there can be seen.
    let temporary = deployment.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = deployment.command(["demo"]);
    command.env("TMPDIR", &temporary);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}\n{errors}");
    let lines = [
        "index   | ",
        "Loaded 0 registered peers",
        "Indexing server starting on",
        "New connection from",
        "New user 3 registered from",
        "Peer 1 already registered. Logging in.",
        "Peer 1 created topic 'x'",
        "Peer 2 tried to create x, but it already exists.",
        "Peer 3 subscribed to topic 'z'",
        "ok: 45 messages are acknowledged as durable",
        "Peer 2 sent message to topic 'x'",
        "Peer 3 retrieved messages from topic 'y'",
        "ok: topic y holds all its messages",
        "ok: 20 messages are acknowledged without an index",
        "ok: peer 2 has followed all of them without a gap",
        "ok: the index is back with all topics",
        "ok: peer 1 is told: Topic 'z' was deleted by peer 3",
        "Unregistered peer 3",
        "Received exit signal. Shutting down...",
        "ok: both peers and the index end with exit code 0",
        "claims hold. It took",
    ];
    for line in lines {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
    assert!(!text.contains('\x1b'), "colours in a pipe");
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_interrupt_ends_every_process_and_removes_the_folder() {
    let deployment = Deployment::new();
    let temporary = deployment.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = deployment.command(["demo"]);
    command.env("TMPDIR", &temporary);
    let demo = common::Process::spawn(command);
    demo.wait_for("Peer 2 listening on");
    common::signal(demo.pid(), rustix::process::Signal::INT);
    demo.wait_for("error[interrupted]");
    assert_eq!(demo.wait().code(), Some(1));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    let folder = temporary.to_str().unwrap();
    common::eventually("the processes to be gone", || {
        (!runs_in(folder)).then_some(())
    });
}

/// Whether any process has its current folder below `folder`.
fn runs_in(folder: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let folders = processes.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok());
    folders
        .into_iter()
        .any(|cwd| cwd.to_string_lossy().starts_with(folder))
}
