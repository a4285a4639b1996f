//! The loop around the machine: lines in, effects out.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::pin::pin;

use super::event::Effect;
use super::input::{self, Line};
use super::machine::Machine;
use super::session::Session;
use crate::cli::context::{self, Context, Logs};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{self, Sink};
use crate::cli::signals;
use crate::cli::who::{Role, Who};
use crate::types::PeerName;

/// Runs the menus to their end.
pub async fn run(ctx: &Context) -> Result<(), CliError> {
    let shutdown = signals::shutdown()?;
    let known = match ctx.who(Role::Menu)? {
        Who::Known(name) | Who::Make(name) => Some(name),
        Who::Ask => None,
    };
    if let Some(file) = context::log_options(&ctx.config, Logs::Menu).file {
        output::say(&format!("logs go to {}", file.display()));
    }
    let mut session = Session::new(ctx);
    let ended = tokio::select! {
        ended = converse(ctx, &mut session, known) => ended,
        () = shutdown => screen()?.fresh_line(),
    };
    let closed = session.close().await;
    ended.and(closed)
}

async fn converse(
    ctx: &Context,
    session: &mut Session<'_>,
    known: Option<PeerName>,
) -> Result<(), CliError> {
    let mut screen = screen()?;
    let mut lines = input::lines().map_err(|error| {
        CliError::new("input", Exit::Other, "cannot read standard input").detail("cause", error)
    })?;
    let identities = ctx.identities()?;
    let only = match &identities[..] {
        [only] => Some(only.clone()),
        _ => None,
    };
    let mut machine = Machine::new(only, screen.person);
    let mut effects = VecDeque::from(machine.start(known));
    loop {
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Print(text) => screen.print(&text)?,
                Effect::Prompt(text) => screen.prompt(&text)?,
                Effect::Do(action) => {
                    screen.flush()?;
                    let outcome = pin!(session.perform(action)).await;
                    effects.extend(machine.done(outcome));
                }
                Effect::ClearNotices(serial) => {
                    screen.flush()?;
                    session.clear_notices(serial).await;
                }
                Effect::Exit => return screen.flush(),
                Effect::Fail(error) => return screen.flush().and(Err(error)),
            }
        }
        screen.flush()?;
        let next = tokio::select! {
            line = lines.recv() => {
                screen.entered(line.is_some())?;
                match line {
                    Some(Line::Text(line)) => machine.handle(&line),
                    Some(Line::TooLong) => machine.too_long(),
                    None => machine.end(),
                }
            }
            what = session.host_ended() => machine.told(what),
        };
        effects.extend(next);
    }
}

/// Standard output as the menus use it.
struct Screen {
    sink: Sink,
    /// Whether a person types: then the terminal shows the line and its end.
    person: bool,
}

fn screen() -> Result<Screen, CliError> {
    Ok(Screen {
        sink: Sink::stdout()?,
        person: io::stdin().is_terminal(),
    })
}

impl Screen {
    fn print(&mut self, text: &str) -> Result<(), CliError> {
        self.sink.write(text.as_bytes())?;
        self.sink.write(b"\n")
    }

    fn prompt(&mut self, text: &str) -> Result<(), CliError> {
        self.sink.write(text.as_bytes())
    }

    /// Ends the prompt's line where no terminal has done so.
    fn entered(&mut self, line: bool) -> Result<(), CliError> {
        match self.person && line {
            true => Ok(()),
            false => self.sink.write(b"\n"),
        }
    }

    fn fresh_line(&mut self) -> Result<(), CliError> {
        self.sink.write(b"\n")?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), CliError> {
        self.sink.flush()
    }
}
