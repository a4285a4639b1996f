//! `waypost config`: the config as it takes effect.

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::{self, Row};
use crate::config::{Config, Entry, Origin};

/// Commands about the config.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every key with its value and where that came from
    Show,
    /// Check the config and say what is wrong with it
    Validate,
}

/// Runs one.
pub async fn run(ctx: &Context, command: ConfigCommand) -> Result<(), CliError> {
    match command {
        ConfigCommand::Show => show(ctx),
        ConfigCommand::Validate => validate(ctx),
    }
}

#[derive(Serialize)]
struct Line {
    key: &'static str,
    value: Option<Value>,
    origin: String,
    default: &'static str,
    about: &'static str,
}

impl Row for Line {
    const HEAD: &'static [&'static str] = &["key", "value", "from", "what for"];

    fn cells(&self) -> Vec<String> {
        let value = match &self.value {
            // Words such as "the first free one", told from a value by the brackets.
            None => format!("({})", self.default),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        vec![
            self.key.to_owned(),
            value,
            self.origin.clone(),
            self.about.to_owned(),
        ]
    }
}

fn lines(config: &Config) -> Vec<Line> {
    let line = |entry: Entry| Line {
        key: entry.key.path,
        value: entry.value,
        origin: origin_text(config, &entry.origin),
        default: entry.key.default,
        about: entry.key.about,
    };
    config.entries().into_iter().map(line).collect()
}

fn origin_text(config: &Config, origin: &Origin) -> String {
    match (origin, config.file()) {
        (Origin::File { line }, Some(file)) => format!("{}:{line}", file.display()),
        (origin, _) => origin.to_string(),
    }
}

fn show(ctx: &Context) -> Result<(), CliError> {
    let lines = lines(&ctx.config);
    if ctx.output.is_json() {
        let whole = json!({
            "file": ctx.config.file(),
            "certs": ctx.config.certs_dir(),
            "keys": lines,
        });
        return ctx.output.value(&whole, String::new);
    }
    output::say(&format!(
        "{}; certs/ and data/ lie in {}",
        source(ctx),
        ctx.config.root().display()
    ));
    ctx.output.list(&lines)
}

fn source(ctx: &Context) -> String {
    match ctx.config.file() {
        Some(file) => format!("config file {}", file.display()),
        None => "no config file, all defaults".to_owned(),
    }
}

/// A config that loaded is valid; an invalid one ended the command before this.
fn validate(ctx: &Context) -> Result<(), CliError> {
    let value = json!({ "file": ctx.config.file(), "valid": true });
    ctx.output
        .value(&value, || format!("{}: valid", source(ctx)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KEYS;

    #[test]
    fn each_key_is_a_row_with_its_origin() {
        let text = "{\"peer_node\":\n{\"base_port\": 9}}";
        let config = Config::parse(text, "x/c.json".as_ref()).unwrap();
        let lines = lines(&config);
        assert_eq!(lines.len(), KEYS.len());
        let cells = |key| lines.iter().find(|l| l.key == key).unwrap().cells();
        assert_eq!(cells("peer_node.base_port")[1..3], ["9", "x/c.json:2"]);
        assert_eq!(
            cells("peer_node.port")[1..3],
            ["(the first free one)", "default"]
        );
        assert_eq!(cells("peer_node.ip")[1], "127.0.0.1");
    }
}
