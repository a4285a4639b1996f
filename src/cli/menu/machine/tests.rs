use super::*;
use crate::cli::error::Exit;

/// Runs the machine on `script`: `>` lines are entered, `=` lines are outcomes, all others are what
/// it does, exactly.
struct Play {
    machine: Machine,
    effects: Vec<Effect>,
}

impl Play {
    fn new(mut machine: Machine, known: Option<&str>) -> Play {
        let effects = machine.start(known.map(|name| name.parse().unwrap()));
        Play { machine, effects }
    }

    fn asks() -> Play {
        Play::new(Machine::new(None, true), None)
    }

    /// A machine whose peer 1 is logged in, at the Main menu.
    fn logged_in() -> Play {
        let mut play = Play::new(Machine::new(None, false), Some("1"));
        play.answer(login(false));
        play.effects.clear();
        play
    }

    fn enter(&mut self, line: &str) -> &mut Play {
        let effects = self.machine.handle(line.as_bytes());
        self.effects.extend(effects);
        self
    }

    fn answer(&mut self, outcome: Outcome) -> &mut Play {
        let effects = self.machine.done(outcome);
        self.effects.extend(effects);
        self
    }

    /// What was shown and done since the last time. An action stands in brackets.
    #[track_caller]
    fn shows(&mut self, expected: &str) -> &mut Play {
        let mut text = String::new();
        for effect in self.effects.drain(..) {
            text += &match effect {
                Effect::Print(line) => format!("{line}\n"),
                Effect::Prompt(prompt) => format!("{prompt}\n"),
                Effect::Do(action) => format!("[{action:?}]\n"),
                Effect::ClearNotices(serial) => format!("[clear {serial}]\n"),
                Effect::Exit => "[exit]\n".to_owned(),
                Effect::Fail(error) => format!("[fail {}]\n", error.code()),
            };
        }
        // The empty line above a menu is `screen`'s to test.
        assert_eq!(text.trim(), expected.trim());
        self
    }
}

fn login(new: bool) -> Outcome {
    Outcome::LoggedIn(Login {
        new,
        remark: None,
        notices: Notices::default(),
    })
}

fn topics(names: &[&str]) -> Vec<TopicName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn page(messages: &[(u64, &str)], more: bool) -> Outcome {
    let messages = messages.iter();
    Outcome::Pulled(Page {
        messages: messages
            .map(|&(offset, body)| (offset, body.into()))
            .collect(),
        more,
        subscribed: false,
    })
}

fn failed() -> Outcome {
    let error = CliError::new("unreachable", Exit::Unavailable, "cannot reach the index");
    Outcome::Failed(error.help("start it: waypost index"))
}

/// Without the line's end, which the shell gives or the terminal.
const MAIN: &str =
    "\nMain Menu:\n1. Publisher\n2. Subscriber\n3. Deregister\n4. Exit\nChoose an option (1-4): \n";
const PUBLISHER: &str = "\nPublisher Menu:\n1. Create Topic\n2. Delete Topic\n3. Send Message\n4. View Created Topics\n5. Back to Main Menu\nChoose an option (1-5): \n";
const SUBSCRIBER: &str = "\nSubscriber Menu:\n1. Subscribe to Topic\n2. Pull Messages\n3. View Subscribed Topics\n4. Back to Main Menu\nChoose an option (1-4): \n";

/// `{main}` and so on stand for the menus; trailing blanks of prompts are kept.
fn with_menus(text: &str) -> String {
    text.replace("{main}\n", MAIN)
        .replace("{publisher}\n", PUBLISHER)
        .replace("{subscriber}\n", SUBSCRIBER)
        .trim_end()
        .to_owned()
}

#[test]
fn a_publishers_session_reads_to_the_letter() {
    let mut play = Play::asks();
    play.shows("Enter your peer ID: ".trim_end());
    play.enter("1").shows("[Login(\"1\")]");
    play.answer(login(true)).shows(&with_menus(
        "New user 1 registered and logged in successfully.\n{main}\n",
    ));
    play.enter("1").shows(with_menus("{publisher}\n").trim());
    play.enter("1").enter("T1");
    play.shows("Enter the topic name: \n[Create(\"T1\")]");
    play.answer(Outcome::Done);
    play.shows(&with_menus(
        "Topic 'T1' created successfully.\n{publisher}\n",
    ));
    play.enter("3").enter("T1").enter("Hello");
    play.shows(
        "Enter the topic name to send a message to: \nEnter your message: \n\
         [Send(\"T1\", [72, 101, 108, 108, 111])]",
    );
    play.answer(Outcome::Done);
    play.shows(&with_menus(
        "Message sent to topic 'T1': Hello\n{publisher}\n",
    ));
    play.enter("4").answer(Outcome::Created(topics(&["T1"])));
    play.shows(&with_menus(
        "[ListCreated]\nCreated Topics: ['T1']\n{publisher}\n",
    ));
    play.enter("2").enter("T1").answer(Outcome::Done);
    play.shows(&with_menus(
        "Enter the topic name to delete: \n[Delete(\"T1\")]\n\
         Topic 'T1' deleted successfully.\n{publisher}\n",
    ));
    play.enter("4").answer(Outcome::Created(vec![]));
    play.shows(&with_menus(
        "[ListCreated]\nCreated Topics: []\n{publisher}\n",
    ));
    play.enter("5").shows(with_menus("{main}\n").trim());
    play.enter("4").shows("[exit]");
}

#[test]
fn a_subscribers_session_reads_to_the_letter() {
    let mut play = Play::new(Machine::new(None, true), Some("2"));
    play.shows("[Login(\"2\")]");
    play.answer(login(false));
    play.shows(&with_menus(
        "Peer 2 already registered. Logging in.\n{main}\n",
    ));
    play.enter("2").shows(with_menus("{subscriber}\n").trim());
    play.enter("1").enter("T1").answer(Outcome::Done);
    play.shows(&with_menus(
        "Enter the topic name to subscribe to: \n[Subscribe(\"T1\")]\n\
         Subscribed to topic 'T1'.\n{subscriber}\n",
    ));
    play.enter("2")
        .enter("T1")
        .answer(page(&[(1, "Hello")], false));
    play.shows(
        "Enter the topic name to pull messages from: \n[Pull(\"T1\")]\n\
         New messages from topic 'T1':\n  1: Hello\n[Commit(\"T1\")]",
    );
    play.answer(Outcome::Done)
        .shows(with_menus("{subscriber}\n").trim());
    play.enter("2").enter("T1").answer(page(&[], false));
    play.shows(&with_menus(
        "Enter the topic name to pull messages from: \n[Pull(\"T1\")]\n\
         No new messages in topic 'T1'\n{subscriber}\n",
    ));
    let subscribed = Outcome::Subscribed(topics(&["T1"]), Notices::default());
    play.enter("3").answer(subscribed);
    play.shows(&with_menus(
        "[ListSubscribed]\nSubscribed Topics: ['T1']\n{subscriber}\n",
    ));
    play.enter("4").shows(with_menus("{main}\n").trim());
}

#[test]
fn pages_of_one_pull_have_one_head_and_each_is_committed_after_it_was_printed() {
    let mut play = Play::logged_in();
    play.enter("2").enter("2").enter("T1").effects.clear();
    play.answer(page(&[(1, "a"), (2, "b")], true));
    play.shows("New messages from topic 'T1':\n  1: a\n  2: b\n[Commit(\"T1\")]");
    play.answer(Outcome::Done).shows("[Pull(\"T1\")]");
    play.answer(page(&[(3, "c")], false)).effects.remove(0);
    play.shows("[Commit(\"T1\")]");
    play.answer(Outcome::Done)
        .shows(with_menus("{subscriber}\n").trim());

    // A commit that fails ends the pull, and the next one begins anew.
    play.enter("2")
        .enter("T1")
        .answer(page(&[(4, "d")], true))
        .effects
        .clear();
    play.answer(failed()).effects.clear();
    play.enter("2").enter("T1").effects.clear();
    play.answer(page(&[(4, "d")], false));
    play.shows("New messages from topic 'T1':\n  4: d\n[Commit(\"T1\")]");
}

#[test]
fn a_bad_choice_is_asked_for_again() {
    let mut play = Play::logged_in();
    for line in ["5", "", "x", "0", "1 2", "\u{1b}[A"] {
        let again = "Invalid choice. Please enter a number from 1 to 4.\nChoose an option (1-4): ";
        play.enter(line).shows(again.trim_end());
    }
    play.enter(" 1 ").shows(with_menus("{publisher}\n").trim());
}

#[test]
fn bad_names_lead_back_to_the_menu_and_do_nothing() {
    let mut play = Play::logged_in();
    play.enter("1").effects.clear();
    let long = "t".repeat(300);
    let cases = [
        ("", "a topic name must not be empty"),
        (
            &long,
            "a topic name has at most 249 bytes, this one has 300",
        ),
        (
            "a\u{1b}b",
            "'\\u{1b}' at byte 1 is not allowed in a topic name; allowed are letters, digits and . _ / @ -",
        ),
    ];
    for (name, why) in cases {
        play.enter("1").enter(name);
        let expected = format!("Enter the topic name: \nerror[name]: {why}\n{{publisher}}\n");
        play.shows(&with_menus(&expected));
    }
    play.enter("3").effects.clear();
    let effects = play.machine.too_long();
    play.effects.extend(effects);
    play.shows(&with_menus(
        "That line is too long; nothing was done.\n{publisher}\n",
    ));
}

#[test]
fn an_error_is_two_lines_and_the_menu_goes_on() {
    let mut play = Play::logged_in();
    play.enter("1").enter("1").enter("T1").effects.clear();
    play.answer(failed());
    play.shows(&with_menus(
        "error[unreachable]: cannot reach the index\n  help: start it: waypost index\n{publisher}\n",
    ));
}

#[test]
fn the_only_identity_is_taken_for_an_empty_answer() {
    let only = Some("7".parse().unwrap());
    let mut play = Play::new(Machine::new(only, true), None);
    play.effects.clear();
    play.enter("").shows("[Login(\"7\")]");

    let mut play = Play::asks();
    play.effects.clear();
    play.enter("")
        .shows("error[name]: a peer name must not be empty\nEnter your peer ID:");
    play.enter("index");
    play.shows("error[name]: the peer name \"index\" is reserved\nEnter your peer ID:");
    play.enter("2").shows("[Login(\"2\")]");
}

#[test]
fn a_person_may_log_in_again_and_a_pipe_may_not() {
    let mut play = Play::asks();
    play.enter("1").effects.clear();
    play.answer(failed());
    play.shows(
        "error[unreachable]: cannot reach the index\n  help: start it: waypost index\n\
         Enter your peer ID:",
    );
    for known in [None, Some("1")] {
        let mut play = Play::new(Machine::new(None, false), known);
        play.enter("1").effects.clear();
        play.answer(failed()).shows("[fail unreachable]");
    }
}

#[test]
fn what_happened_meanwhile_is_told_at_login_and_cleared_after_it_was_printed() {
    let mut play = Play::new(Machine::new(None, false), Some("1"));
    play.effects.clear();
    play.answer(Outcome::LoggedIn(Login {
        new: false,
        remark: Some("Peer 1 is already running".into()),
        notices: Notices {
            lines: vec!["Topic 'T1' was deleted by peer 2".into()],
            serial: Some(4),
        },
    }));
    play.shows(&with_menus(
        "Peer 1 already registered. Logging in.\nPeer 1 is already running\n\
         Topic 'T1' was deleted by peer 2\n[clear 4]\n{main}\n",
    ));
    let told = play.machine.told("The peer has ended.".into());
    play.effects.extend(told);
    play.shows("The peer has ended.\nChoose an option (1-4):");
}

#[test]
fn deregistering_asks_where_messages_would_be_lost() {
    let mut play = Play::logged_in();
    play.enter("3").shows("[WouldLose]");
    let losses = Losses {
        hosted: 2,
        with_messages: vec![("T1".parse().unwrap(), 3)],
    };
    play.answer(Outcome::WouldLose(losses.clone()));
    let question = "These topics would be deleted with their messages:\n  T1: 3\n\
        Deregister and lose them? (yes/no):";
    play.shows(question);
    play.enter("perhaps");
    play.shows("Please answer yes or no.\nDeregister and lose them? (yes/no):");
    play.enter("no")
        .shows(&with_menus("Not deregistered.\n{main}\n"));
    play.enter("3")
        .answer(Outcome::WouldLose(losses))
        .effects
        .clear();
    play.enter("yes").shows("[Deregister(2)]");
    play.answer(Outcome::Done);
    play.shows("Successfully deregistered peer 1\nDeregistered successfully. Exiting...\n[exit]");
    play.enter("1").shows("");
}

#[test]
fn deregistering_without_messages_asks_nothing() {
    let mut play = Play::logged_in();
    let losses = Losses {
        hosted: 1,
        with_messages: vec![],
    };
    play.enter("3").answer(Outcome::WouldLose(losses));
    play.shows("[WouldLose]\n[Deregister(1)]");
}

#[test]
fn the_end_of_input_is_exit_everywhere() {
    let mut plays = [Play::asks(), Play::logged_in()];
    plays[1].enter("1").enter("3").enter("T1");
    for play in &mut plays {
        assert_eq!(play.machine.end(), [Effect::Exit]);
        play.effects.clear();
        play.enter("1").shows("");
    }
}
