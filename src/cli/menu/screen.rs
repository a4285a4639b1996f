//! The menus' wording. Scripts and people know it by heart: a change breaks them.

use crate::text::one_line;
use crate::types::TopicName;

/// Asked first.
pub const ENTER_ID: &str = "Enter your peer ID: ";
/// Asked in the Publisher menu.
pub const ENTER_TOPIC: &str = "Enter the topic name: ";
/// Asked in the Publisher menu.
pub const ENTER_TOPIC_TO_DELETE: &str = "Enter the topic name to delete: ";
/// Asked in the Publisher menu.
pub const ENTER_TOPIC_TO_SEND: &str = "Enter the topic name to send a message to: ";
/// Asked in the Publisher menu.
pub const ENTER_MESSAGE: &str = "Enter your message: ";
/// Asked in the Subscriber menu.
pub const ENTER_TOPIC_TO_SUBSCRIBE: &str = "Enter the topic name to subscribe to: ";
/// Asked in the Subscriber menu.
pub const ENTER_TOPIC_TO_PULL: &str = "Enter the topic name to pull messages from: ";
/// Asked before messages are lost.
pub const CONFIRM_LOSS: &str = "Deregister and lose them? (yes/no): ";
/// The last line of a peer that has left.
pub const GOODBYE: &str = "Deregistered successfully. Exiting...";

/// One of the three menus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Menu {
    /// The first one.
    Main,
    /// For topics and sending.
    Publisher,
    /// For subscriptions and reading.
    Subscriber,
}

impl Menu {
    fn title(self) -> &'static str {
        match self {
            Menu::Main => "Main Menu:",
            Menu::Publisher => "Publisher Menu:",
            Menu::Subscriber => "Subscriber Menu:",
        }
    }

    /// What can be chosen, from 1 on.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Menu::Main => &["Publisher", "Subscriber", "Deregister", "Exit"],
            Menu::Publisher => &[
                "Create Topic",
                "Delete Topic",
                "Send Message",
                "View Created Topics",
                "Back to Main Menu",
            ],
            Menu::Subscriber => &[
                "Subscribe to Topic",
                "Pull Messages",
                "View Subscribed Topics",
                "Back to Main Menu",
            ],
        }
    }

    /// The menu below an empty line.
    pub fn text(self) -> String {
        let options = self.options().iter().enumerate();
        let lines = options.map(|(i, option)| format!("\n{}. {option}", i + 1));
        format!("\n{}{}", self.title(), lines.collect::<String>())
    }

    /// What is asked below it.
    pub fn prompt(self) -> String {
        format!("Choose an option (1-{}): ", self.options().len())
    }

    /// The answer to a choice that there is not.
    pub fn invalid(self) -> String {
        format!(
            "Invalid choice. Please enter a number from 1 to {}.",
            self.options().len()
        )
    }
}

/// `['T1', 'T2']`; topic names need no escaping.
pub fn list(topics: &[TopicName]) -> String {
    let quoted: Vec<String> = topics.iter().map(|topic| format!("'{topic}'")).collect();
    format!("[{}]", quoted.join(", "))
}

/// A message as one line that is safe for a terminal.
pub fn body(bytes: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn menus_read_as_documented() {
        let main = "\nMain Menu:\n1. Publisher\n2. Subscriber\n3. Deregister\n4. Exit";
        assert_eq!(Menu::Main.text(), main);
        assert_eq!(Menu::Main.prompt(), "Choose an option (1-4): ");
        let publisher = "\nPublisher Menu:\n1. Create Topic\n2. Delete Topic\n3. Send Message\n\
            4. View Created Topics\n5. Back to Main Menu";
        assert_eq!(Menu::Publisher.text(), publisher);
        assert_eq!(Menu::Publisher.prompt(), "Choose an option (1-5): ");
        let subscriber = "\nSubscriber Menu:\n1. Subscribe to Topic\n2. Pull Messages\n\
            3. View Subscribed Topics\n4. Back to Main Menu";
        assert_eq!(Menu::Subscriber.text(), subscriber);
        assert_eq!(Menu::Subscriber.prompt(), "Choose an option (1-4): ");
    }

    #[test]
    fn lists_look_like_pythons() {
        let topics: Vec<TopicName> = ["T1", "a/b"].map(|t| t.parse().unwrap()).into();
        assert_eq!(list(&[]), "[]");
        assert_eq!(list(&topics[..1]), "['T1']");
        assert_eq!(list(&topics), "['T1', 'a/b']");
    }

    #[test]
    fn bodies_cannot_steer_a_terminal() {
        assert_eq!(body(b"Hello \xc3\xbc"), "Hello ü");
        assert_eq!(body(b"a\x1b[2J\nb\xff"), "a\\u{1b}[2J\\nb\u{fffd}");
    }
}
