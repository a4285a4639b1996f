//! Which line leads where. Pure: lines and outcomes in, effects out.

use super::event::{Action, Effect, Login, Losses, Notices, Outcome, Page};
use super::screen::{self, Menu};
use crate::cli::error::CliError;
use crate::text::one_line;
use crate::types::{NameError, PeerName, TopicName};

/// The menus of one person.
#[derive(Debug)]
pub struct Machine {
    state: State,
    /// Taken where no ID is entered.
    only: Option<PeerName>,
    /// The peer, once it is logged in.
    me: Option<PeerName>,
    /// Whether a login that failed may be tried again with another line.
    retries: bool,
    /// Whether pages of the same pull were printed before.
    page: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    AskId,
    Choose(Menu),
    AskTopic(Purpose),
    AskMessage(TopicName),
    Confirm(u32),
    Working(Action),
    Over,
}

/// What a topic's name is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Create,
    Delete,
    Send,
    Subscribe,
    Pull,
}

impl Purpose {
    fn prompt(self) -> &'static str {
        match self {
            Purpose::Create => screen::ENTER_TOPIC,
            Purpose::Delete => screen::ENTER_TOPIC_TO_DELETE,
            Purpose::Send => screen::ENTER_TOPIC_TO_SEND,
            Purpose::Subscribe => screen::ENTER_TOPIC_TO_SUBSCRIBE,
            Purpose::Pull => screen::ENTER_TOPIC_TO_PULL,
        }
    }

    fn menu(self) -> Menu {
        match self {
            Purpose::Create | Purpose::Delete | Purpose::Send => Menu::Publisher,
            Purpose::Subscribe | Purpose::Pull => Menu::Subscriber,
        }
    }
}

impl Machine {
    /// Menus that begin by asking who it is; an empty answer takes `only`. With `retries`, a login
    /// that failed asks again; without, it ends the menu, for what follows on a pipe means nothing then.
    pub fn new(only: Option<PeerName>, retries: bool) -> Machine {
        Machine {
            state: State::AskId,
            only,
            me: None,
            retries,
            page: false,
        }
    }

    /// The beginning; `known` is who it is, if that need not be asked.
    pub fn start(&mut self, known: Option<PeerName>) -> Vec<Effect> {
        match known {
            Some(name) => {
                self.retries = false;
                self.work(Action::Login(name))
            }
            None => vec![self.prompt()],
        }
    }

    /// A line was entered, without its end.
    pub fn handle(&mut self, line: &[u8]) -> Vec<Effect> {
        match self.state.clone() {
            State::AskId => self.entered_id(line),
            State::Choose(menu) => self.chosen(menu, line),
            State::AskTopic(purpose) => self.entered_topic(purpose, line),
            State::AskMessage(topic) => self.work(Action::Send(topic, line.to_vec())),
            State::Confirm(hosted) => self.confirmed(hosted, line),
            State::Working(_) | State::Over => vec![],
        }
    }

    /// A line was entered that is longer than any message may be.
    pub fn too_long(&mut self) -> Vec<Effect> {
        let line = Effect::Print("That line is too long; nothing was done.".to_owned());
        match &self.state {
            State::AskTopic(purpose) => self.back_with(line, purpose.menu()),
            State::AskMessage(_) => self.back_with(line, Menu::Publisher),
            _ => vec![line, self.prompt()],
        }
    }

    /// There are no more lines.
    pub fn end(&mut self) -> Vec<Effect> {
        self.state = State::Over;
        vec![Effect::Exit]
    }

    /// Something happened that the person should know of.
    pub fn told(&self, what: String) -> Vec<Effect> {
        match self.state {
            State::Working(_) | State::Over => vec![Effect::Print(what)],
            _ => vec![Effect::Print(format!("\n{what}")), self.prompt()],
        }
    }

    /// The operation of the last [`Effect::Do`] has ended.
    pub fn done(&mut self, outcome: Outcome) -> Vec<Effect> {
        let State::Working(action) = self.state.clone() else {
            return vec![];
        };
        match (action, outcome) {
            (Action::Login(name), Outcome::LoggedIn(login)) => self.logged_in(name, login),
            (Action::Login(name), Outcome::Failed(error)) => self.not_logged_in(&name, error),
            (Action::Pull(topic), Outcome::Pulled(page)) => self.pulled(topic, page),
            (Action::Commit(topic), Outcome::Done) if self.page => self.work(Action::Pull(topic)),
            (Action::WouldLose, Outcome::WouldLose(losses)) => self.would_lose(losses),
            (Action::Deregister(_), Outcome::Done) => self.deregistered(),
            (action, outcome) => self.finished(action, outcome),
        }
    }

    fn entered_id(&mut self, line: &[u8]) -> Vec<Effect> {
        let text = name_text(line);
        let name = match (&self.only, text.is_empty()) {
            (Some(only), true) => Ok(only.clone()),
            _ => PeerName::new(&text),
        };
        match name {
            Ok(name) => self.work(Action::Login(name)),
            Err(error) => vec![illegal(&error), self.prompt()],
        }
    }

    fn chosen(&mut self, menu: Menu, line: &[u8]) -> Vec<Effect> {
        match (menu, name_text(line).as_str()) {
            (Menu::Main, "1") => self.show(Menu::Publisher),
            (Menu::Main, "2") => self.show(Menu::Subscriber),
            (Menu::Main, "3") => self.work(Action::WouldLose),
            (Menu::Main, "4") => self.end(),
            (Menu::Publisher, "1") => self.ask(State::AskTopic(Purpose::Create)),
            (Menu::Publisher, "2") => self.ask(State::AskTopic(Purpose::Delete)),
            (Menu::Publisher, "3") => self.ask(State::AskTopic(Purpose::Send)),
            (Menu::Publisher, "4") => self.work(Action::ListCreated),
            (Menu::Subscriber, "1") => self.ask(State::AskTopic(Purpose::Subscribe)),
            (Menu::Subscriber, "2") => self.ask(State::AskTopic(Purpose::Pull)),
            (Menu::Subscriber, "3") => self.work(Action::ListSubscribed),
            (Menu::Publisher, "5") | (Menu::Subscriber, "4") => self.show(Menu::Main),
            _ => vec![Effect::Print(menu.invalid()), self.prompt()],
        }
    }

    fn entered_topic(&mut self, purpose: Purpose, line: &[u8]) -> Vec<Effect> {
        let topic = match TopicName::new(&name_text(line)) {
            Ok(topic) => topic,
            Err(error) => return self.back_with(illegal(&error), purpose.menu()),
        };
        match purpose {
            Purpose::Create => self.work(Action::Create(topic)),
            Purpose::Delete => self.work(Action::Delete(topic)),
            Purpose::Send => self.ask(State::AskMessage(topic)),
            Purpose::Subscribe => self.work(Action::Subscribe(topic)),
            Purpose::Pull => self.work(Action::Pull(topic)),
        }
    }

    fn confirmed(&mut self, hosted: u32, line: &[u8]) -> Vec<Effect> {
        match name_text(line).to_lowercase().as_str() {
            "yes" | "y" => self.work(Action::Deregister(hosted)),
            "no" | "n" => self.back_with(Effect::Print("Not deregistered.".into()), Menu::Main),
            _ => vec![
                Effect::Print("Please answer yes or no.".into()),
                self.prompt(),
            ],
        }
    }

    fn logged_in(&mut self, name: PeerName, login: Login) -> Vec<Effect> {
        let welcome = match login.new {
            true => format!("New user {name} registered and logged in successfully."),
            false => format!("Peer {name} already registered. Logging in."),
        };
        self.me = Some(name);
        let mut effects = vec![Effect::Print(welcome)];
        effects.extend(login.remark.map(Effect::Print));
        effects.extend(tell(login.notices));
        effects.extend(self.show(Menu::Main));
        effects
    }

    fn not_logged_in(&mut self, name: &PeerName, error: CliError) -> Vec<Effect> {
        if !self.retries {
            self.state = State::Over;
            return vec![Effect::Fail(
                error.doing(format!("logging in as peer {name}")),
            )];
        }
        self.state = State::AskId;
        vec![Effect::Print(error.short()), self.prompt()]
    }

    fn pulled(&mut self, topic: TopicName, page: Page) -> Vec<Effect> {
        let mut effects = vec![];
        if page.subscribed {
            effects.push(Effect::Print(format!("Subscribed to topic '{topic}'.")));
        }
        let first = !std::mem::replace(&mut self.page, page.more);
        if page.messages.is_empty() {
            if first {
                effects.push(Effect::Print(format!("No new messages in topic '{topic}'")));
            }
            self.page = false;
            effects.extend(self.show(Menu::Subscriber));
            return effects;
        }
        if first {
            effects.push(Effect::Print(format!("New messages from topic '{topic}':")));
        }
        let line = |(offset, body): &(u64, Vec<u8>)| format!("  {offset}: {}", screen::body(body));
        let lines: Vec<String> = page.messages.iter().map(line).collect();
        effects.push(Effect::Print(lines.join("\n")));
        effects.extend(self.work(Action::Commit(topic)));
        effects
    }

    fn would_lose(&mut self, losses: Losses) -> Vec<Effect> {
        if losses.with_messages.is_empty() {
            return self.work(Action::Deregister(losses.hosted));
        }
        let mut text = "These topics would be deleted with their messages:".to_owned();
        for (topic, messages) in &losses.with_messages {
            text.push_str(&format!("\n  {topic}: {messages}"));
        }
        let mut effects = vec![Effect::Print(text)];
        effects.extend(self.ask(State::Confirm(losses.hosted)));
        effects
    }

    fn deregistered(&mut self) -> Vec<Effect> {
        self.state = State::Over;
        let me = self.me.as_ref().map_or("", PeerName::as_str);
        vec![
            Effect::Print(format!("Successfully deregistered peer {me}")),
            Effect::Print(screen::GOODBYE.to_owned()),
            Effect::Exit,
        ]
    }

    /// An operation after which its menu comes again.
    fn finished(&mut self, action: Action, outcome: Outcome) -> Vec<Effect> {
        self.page = false;
        let menu = menu_of(&action);
        let mut effects = match outcome {
            Outcome::Failed(error) => vec![Effect::Print(error.short())],
            Outcome::Created(topics) => {
                let topics = screen::list(&topics);
                vec![Effect::Print(format!("Created Topics: {topics}"))]
            }
            Outcome::Subscribed(topics, notices) => {
                let topics = screen::list(&topics);
                let mut effects = tell(notices);
                effects.push(Effect::Print(format!("Subscribed Topics: {topics}")));
                effects
            }
            _ => confirmation(&action)
                .map(Effect::Print)
                .into_iter()
                .collect(),
        };
        effects.extend(self.show(menu));
        effects
    }

    fn work(&mut self, action: Action) -> Vec<Effect> {
        self.state = State::Working(action.clone());
        vec![Effect::Do(action)]
    }

    fn ask(&mut self, state: State) -> Vec<Effect> {
        self.state = state;
        vec![self.prompt()]
    }

    fn show(&mut self, menu: Menu) -> Vec<Effect> {
        self.state = State::Choose(menu);
        vec![Effect::Print(menu.text()), self.prompt()]
    }

    fn back_with(&mut self, effect: Effect, menu: Menu) -> Vec<Effect> {
        let mut effects = vec![effect];
        effects.extend(self.show(menu));
        effects
    }

    /// What the current state asks.
    fn prompt(&self) -> Effect {
        Effect::Prompt(match &self.state {
            State::AskId => screen::ENTER_ID.to_owned(),
            State::Choose(menu) => menu.prompt(),
            State::AskTopic(purpose) => purpose.prompt().to_owned(),
            State::AskMessage(_) => screen::ENTER_MESSAGE.to_owned(),
            State::Confirm(_) => screen::CONFIRM_LOSS.to_owned(),
            State::Working(_) | State::Over => String::new(),
        })
    }
}

/// A line as a name or choice: people and scripts leave blanks around them.
fn name_text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim().to_owned()
}

fn illegal(error: &NameError) -> Effect {
    let text = one_line(&error.to_string()).into_owned();
    Effect::Print(format!("error[name]: {text}"))
}

fn tell(notices: Notices) -> Vec<Effect> {
    let mut effects: Vec<Effect> = notices.lines.into_iter().map(Effect::Print).collect();
    effects.extend(notices.serial.map(Effect::ClearNotices));
    effects
}

fn menu_of(action: &Action) -> Menu {
    match action {
        Action::Login(_) | Action::WouldLose | Action::Deregister(_) => Menu::Main,
        Action::Create(_) | Action::Delete(_) | Action::Send(..) | Action::ListCreated => {
            Menu::Publisher
        }
        Action::Subscribe(_) | Action::Pull(_) | Action::Commit(_) | Action::ListSubscribed => {
            Menu::Subscriber
        }
    }
}

/// What is said where an operation has nothing to show.
fn confirmation(action: &Action) -> Option<String> {
    Some(match action {
        Action::Create(topic) => format!("Topic '{topic}' created successfully."),
        Action::Delete(topic) => format!("Topic '{topic}' deleted successfully."),
        Action::Send(topic, message) => {
            let message = screen::body(message);
            format!("Message sent to topic '{topic}': {message}")
        }
        Action::Subscribe(topic) => format!("Subscribed to topic '{topic}'."),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
