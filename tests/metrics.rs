//! `waypost metrics`, as a collector finds it.

mod common;

use std::collections::BTreeMap;

use common::{Deployment, eventually};

/// Values by series: `name{labels}`. Every line must be a comment or a series of a name that was
/// described before.
fn series(text: &str) -> BTreeMap<String, f64> {
    let mut described = vec![];
    let mut series = BTreeMap::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# TYPE ") {
            let (name, kind) = comment.split_once(' ').expect("a name and a type");
            assert_eq!(kind, "gauge", "{line}");
            described.push(name.to_owned());
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let (key, value) = line.rsplit_once(' ').expect(line);
        let name = key.split('{').next().expect("split has a first part");
        assert!(described.iter().any(|known| known == name), "{line}");
        let before = series.insert(key.to_owned(), value.parse().expect(line));
        assert_eq!(before, None, "{key} comes once");
    }
    assert!(text.ends_with("# EOF\n"), "it is whole");
    series
}

fn metrics(deployment: &Deployment, more: &[&str]) -> BTreeMap<String, f64> {
    let args = [&["metrics", "--id", "watcher"], more].concat();
    series(&deployment.run(args).ok())
}

#[test]
fn index_peers_and_topics_are_told() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let _first = deployment.peer("a");
    let create = ["topic", "create", "T1", "--replicas", "2", "--id", "a"];
    deployment.run(create).ok();
    deployment.run(["publish", "T1", "hi", "--id", "a"]).ok();
    let all = metrics(&deployment, &[]);
    let is = |all: &BTreeMap<String, f64>, key: &str, value: f64| {
        assert_eq!(all.get(key), Some(&value), "{key} in {all:#?}");
    };
    for (key, value) in [
        ("waypost_index_up", 1.0),
        ("waypost_peers", 2.0),
        ("waypost_peers_live", 1.0),
        ("waypost_topics", 1.0),
        ("waypost_topics_under_replicated", 1.0),
        ("waypost_topics_offline", 0.0),
        ("waypost_held_messages", 0.0),
        ("waypost_peer_live{peer=\"a\"}", 1.0),
        ("waypost_peer_up{peer=\"a\"}", 1.0),
        ("waypost_peer_live{peer=\"watcher\"}", 0.0),
        ("waypost_peer_hosted_topics{peer=\"a\"}", 1.0),
        ("waypost_peer_copies_in_sync{peer=\"a\"}", 1.0),
        ("waypost_peer_storage_full{peer=\"a\"}", 0.0),
    ] {
        is(&all, key, value);
    }
    assert!(all["waypost_peer_journal_bytes{peer=\"a\"}"] > 0.0);
    assert!(
        !all.contains_key("waypost_peer_up{peer=\"watcher\"}"),
        "nobody to ask"
    );
    assert!(!all.keys().any(|key| key.starts_with("waypost_topic_")));

    let topic = |name: &str| format!("waypost_topic_{name}{{topic=\"T1\"}}");
    let all = eventually("the host's report", || {
        let all = metrics(&deployment, &["--topics"]);
        (all.get(&topic("end_offset")) == Some(&2.0)).then_some(all)
    });
    for (name, value) in [
        ("grant", 1.0),
        ("incarnation", 1.0),
        ("replicas", 1.0),
        ("in_sync", 1.0),
        ("lag_messages", 0.0),
        ("serving", 1.0),
    ] {
        is(&all, &topic(name), value);
    }
    is(&all, "waypost_topic_host{topic=\"T1\",host=\"a\"}", 1.0);

    // A copy that stands still falls behind, and its peer does not answer.
    let second = deployment.peer("b");
    eventually("a second copy", || {
        let all = metrics(&deployment, &[]);
        (all["waypost_peer_copies_in_sync{peer=\"b\"}"] == 1.0).then_some(())
    });
    second.suspend();
    let lines = "x\n".repeat(30);
    let publish = ["publish", "T1", "-", "--id", "a"];
    deployment.run_with_input(publish, lines.as_bytes()).ok();
    eventually("its lag", || {
        let all = metrics(&deployment, &["--topics", "--timeout", "5s"]);
        let lag = all.get(&topic("lag_messages")) == Some(&30.0);
        let behind = all["waypost_peer_copies_behind{peer=\"b\"}"] == 1.0;
        (lag && behind && all["waypost_largest_lag_messages"] == 30.0).then_some(())
    });
    second.resume();
}

#[test]
fn a_file_is_written_also_when_the_index_is_down() {
    let deployment = Deployment::new();
    let index = deployment.index();
    let folder = deployment.path().join("collected");
    std::fs::create_dir(&folder).expect("a folder");
    let file = folder.join("waypost.prom");
    let args = ["metrics", "--id", "watcher", "--textfile"].map(str::to_owned);
    let args: Vec<String> = args
        .into_iter()
        .chain([file.display().to_string()])
        .collect();
    let read = || series(&std::fs::read_to_string(&file).expect("the file"));
    assert_eq!(deployment.run(&args).ok(), "", "the file has it");
    assert_eq!(read()["waypost_index_up"], 1.0);
    index.kill();
    let ran = deployment.run(&args);
    ran.fails(5, &["index"]);
    let down = read();
    assert_eq!(down["waypost_index_up"], 0.0);
    assert!(
        !down.contains_key("waypost_peers"),
        "nothing of before: {down:?}"
    );
    let left = std::fs::read_dir(&folder).expect("the folder");
    assert_eq!(left.count(), 1, "nothing is left beside it");

    let nowhere = folder.join("none/waypost.prom").display().to_string();
    let ran = deployment.run(["metrics", "--id", "watcher", "--textfile", &nowhere]);
    ran.fails(1, &["cannot write the metrics to"]);
}
