//! `waypost menu` through a pipe, to the letter.

mod common;

use common::{Deployment, Ran};

const MAIN: &str = "
Main Menu:
1. Publisher
2. Subscriber
3. Deregister
4. Exit
Choose an option (1-4): \n";
const PUBLISHER: &str = "
Publisher Menu:
1. Create Topic
2. Delete Topic
3. Send Message
4. View Created Topics
5. Back to Main Menu
Choose an option (1-5): \n";
const SUBSCRIBER: &str = "
Subscriber Menu:
1. Subscribe to Topic
2. Pull Messages
3. View Subscribed Topics
4. Back to Main Menu
Choose an option (1-4): \n";

/// The menu's output for these lines; it must end with 0.
#[track_caller]
fn menu(deployment: &Deployment, args: &[&str], lines: &[&str]) -> String {
    run(deployment, args, lines).ok()
}

fn run(deployment: &Deployment, args: &[&str], lines: &[&str]) -> Ran {
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    deployment.run_with_input(["menu"].iter().chain(args), input.as_bytes())
}

#[track_caller]
fn reads(found: &str, expected: &[&str]) {
    assert_eq!(found, expected.concat(), "found:\n{found}");
}

#[test]
fn a_publisher_and_a_subscriber_to_the_letter() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let script = [
        "1", "1", "4", "1", "T1", "1", "T1", "4", "3", "T1", "Hello", "5", "4",
    ];
    reads(
        &menu(&deployment, &[], &script),
        &[
            "Enter your peer ID: \n",
            "New user 1 registered and logged in successfully.\n",
            MAIN,
            PUBLISHER,
            "Created Topics: []\n",
            PUBLISHER,
            "Enter the topic name: \nTopic 'T1' created successfully.\n",
            PUBLISHER,
            "Enter the topic name: \nerror[topic-exists]: Topic 'T1' already exists.\n",
            "  help: choose another name, or send messages to it\n",
            PUBLISHER,
            "Created Topics: ['T1']\n",
            PUBLISHER,
            "Enter the topic name to send a message to: \nEnter your message: \n",
            "Message sent to topic 'T1': Hello\n",
            PUBLISHER,
            MAIN,
        ],
    );

    // The second time it is known, hosts what it hosted, and reads what it wrote.
    let script = ["2", "1", "T1", "2", "T1", "2", "T1", "3", "4", "4"];
    reads(
        &menu(&deployment, &["--id", "1"], &script),
        &[
            "Peer 1 already registered. Logging in.\n",
            MAIN,
            SUBSCRIBER,
            "Enter the topic name to subscribe to: \nSubscribed to topic 'T1'.\n",
            SUBSCRIBER,
            "Enter the topic name to pull messages from: \n",
            "New messages from topic 'T1':\n  1: Hello\n",
            SUBSCRIBER,
            "Enter the topic name to pull messages from: \nNo new messages in topic 'T1'\n",
            SUBSCRIBER,
            "Subscribed Topics: ['T1']\n",
            SUBSCRIBER,
            MAIN,
        ],
    );
}

#[test]
fn the_menu_asks_although_there_is_an_identity_and_an_empty_answer_takes_it() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    menu(&deployment, &[], &["7"]);
    let text = menu(&deployment, &[], &[""]);
    reads(
        &text,
        &[
            "Enter your peer ID: \nPeer 7 already registered. Logging in.\n",
            MAIN,
        ],
    );
    let text = menu(&deployment, &[], &["8"]);
    assert!(text.contains("New user 8 registered"), "{text}");
}

#[test]
fn the_end_of_input_is_exit_wherever_it_comes() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let lines = ["1", "1", "3", "T1"];
    for count in 0..=lines.len() {
        let text = menu(&deployment, &[], &lines[..count]);
        assert!(text.ends_with(": \n"), "{text}");
    }
}

#[test]
fn nonsense_is_refused_and_the_menu_goes_on() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let long = "t".repeat(300);
    let script = [
        "../1", "1", "9", "", "1", "1", "a b", "1", &long, "3", "absent", "Hello", "2", "absent",
        "5", "4",
    ];
    let text = menu(&deployment, &[], &script);
    for expected in [
        "error[name]: '.' at byte 0 is not allowed in a peer name",
        "Enter your peer ID: \nNew user 1 registered",
        "Invalid choice. Please enter a number from 1 to 4.\nChoose an option (1-4): \n",
        "error[name]: ' ' at byte 1 is not allowed in a topic name",
        "error[name]: a topic name has at most 249 bytes, this one has 300",
        "Enter your message: \nerror[topic-not-found]: ",
        "Enter the topic name to delete: \nerror[topic-not-found]: ",
    ] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    assert!(text.ends_with(MAIN), "{text}");
}

#[test]
fn beside_a_running_peer_the_menu_attaches() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let peer = deployment.peer("1");
    let script = ["1", "1", "T1", "3", "T1", "Hello", "5", "2", "2", "T1"];
    let text = menu(&deployment, &["--id", "1"], &script);
    let attached = format!(
        "Peer 1 already registered. Logging in.\nPeer 1 is already running (process {}); \
         this menu attaches to it and hosts nothing itself.\n",
        peer.pid()
    );
    assert!(text.starts_with(&attached), "{text}");
    assert!(text.contains("Subscribed to topic 'T1'.\n"), "{text}");
    assert!(
        text.contains("New messages from topic 'T1':\n  1: Hello\n"),
        "{text}"
    );
    peer.wait_for("Peer 1 sent message to topic 'T1'");
    peer.wait_for("Peer 1 retrieved messages from topic 'T1'");
    assert_eq!(peer.terminate(), Some(0));
}

#[test]
fn deregistering_asks_before_messages_are_lost() {
    let deployment = Deployment::new();
    let index = deployment.index();
    let script = [
        "1", "1", "1", "T1", "3", "T1", "Hello", "5", "3", "no", "3", "yes",
    ];
    let text = menu(&deployment, &[], &script);
    let asked = "These topics would be deleted with their messages:\n  T1: 1\n\
        Deregister and lose them? (yes/no): \n";
    assert!(
        text.contains(&format!("{asked}Not deregistered.\n{MAIN}")),
        "{text}"
    );
    let end =
        format!("{asked}Successfully deregistered peer 1\nDeregistered successfully. Exiting...\n");
    assert!(text.ends_with(&end), "{text}");
    index.wait_for("Unregistered peer 1");

    // The name is free again, and nothing is left.
    let text = menu(&deployment, &[], &["1", "1", "4", "5", "3"]);
    assert!(
        text.contains("New user 1 registered and logged in successfully.\n"),
        "{text}"
    );
    assert!(text.contains("Created Topics: []\n"), "{text}");
    assert!(
        text.ends_with("Deregistered successfully. Exiting...\n"),
        "{text}"
    );
}

#[test]
fn a_subscriber_that_was_away_is_told_of_a_deleted_topic() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let _peer = deployment.peer("host");
    menu(&deployment, &["--id", "host"], &["1", "1", "T1"]);
    menu(&deployment, &["--id", "1"], &["2", "1", "T1"]);
    menu(&deployment, &["--id", "host"], &["1", "2", "T1"]);
    let told = "Topic 'T1' was deleted by peer host at ";
    let text = menu(&deployment, &["--id", "1"], &["2", "3"]);
    assert!(
        text.contains(told) && text.contains("Subscribed Topics: []\n"),
        "{text}"
    );
    let text = menu(&deployment, &["--id", "1"], &["2", "3"]);
    assert!(!text.contains(told), "told twice: {text}");
}

#[test]
fn without_an_index_a_pipe_fails_and_says_what_to_do() {
    let deployment = Deployment::new();
    let ran = run(&deployment, &[], &["1", "1", "1", "T1"]).fails(5, &["help: "]);
    assert_eq!(ran.stdout, "Enter your peer ID: \n");
}

#[test]
fn logs_go_to_a_file() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let ran = run(&deployment, &[], &["1"]);
    assert_eq!(ran.stderr, "logs go to data/menu.log\n");
    let log = std::fs::read_to_string(deployment.path().join("data/menu.log")).unwrap();
    assert!(log.contains("Peer 1 listening on"), "{log}");
    assert!(
        log.contains("Received exit signal. Shutting down..."),
        "{log}"
    );
}
