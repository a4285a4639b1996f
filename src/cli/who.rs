//! Who am I: which identity a command acts under. Decides only; touches no file.

use std::path::Path;

use super::error::{CliError, Exit};
use crate::config::{Config, Origin};
use crate::types::PeerName;

/// Who named the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `--id`.
    Flag,
    /// WAYPOST_ID.
    Env,
    /// `peer_node.id`.
    Config,
}

impl Source {
    fn text(self) -> &'static str {
        match self {
            Source::Flag => "--id",
            Source::Env => "WAYPOST_ID",
            Source::Config => "peer_node.id",
        }
    }
}

/// A name that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The name.
    pub name: PeerName,
    /// By whom.
    pub source: Source,
}

impl Given {
    /// The name that holds in `config`, flags and environment included.
    pub fn of(config: &Config) -> Option<Given> {
        let name = config.peer_node.id.clone()?;
        let source = match config.origin("peer_node.id") {
            Origin::Flag(_) => Source::Flag,
            Origin::Env(_) => Source::Env,
            Origin::File { .. } | Origin::Default => Source::Config,
        };
        Some(Given { name, source })
    }
}

/// The kinds of commands that differ in who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs, answers and ends.
    OneShot,
    /// `peer`.
    Peer,
    /// `up`.
    Up,
    /// `menu`.
    Menu,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// An identity that exists.
    Known(PeerName),
    /// One to be made now.
    Make(PeerName),
    /// The person is to be asked.
    Ask,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhoError {
    /// Nobody named one and there are several.
    #[error("there are several identities here; say which one to use")]
    Several {
        /// All of them.
        found: Vec<PeerName>,
    },
    /// Nobody named one and there is none.
    #[error("there is no peer identity here")]
    None,
    /// The named one does not exist, and this command makes one only when `--id` names it.
    #[error("there is no identity {name:?} here, which {} names", by.text())]
    Missing {
        /// The name.
        name: PeerName,
        /// Who named it.
        by: Source,
    },
}

/// The identity to act under, given who named one and which exist (the index's never counts).
pub fn decide(given: Option<&Given>, found: &[PeerName], role: Role) -> Result<Who, WhoError> {
    match (given, found) {
        (Some(given), _) => named(given, found, role),
        // Its first words are the question; whoever sits there may be somebody new.
        (None, _) if role == Role::Menu => Ok(Who::Ask),
        (None, [only]) => Ok(Who::Known(only.clone())),
        (None, []) => match role {
            // "1" is a legal name: types::names tests it.
            Role::Up => Ok(Who::Make(PeerName::new("1").map_err(|_| WhoError::None)?)),
            _ => Err(WhoError::None),
        },
        (None, several) => Err(WhoError::Several {
            found: several.to_vec(),
        }),
    }
}

fn named(given: &Given, found: &[PeerName], role: Role) -> Result<Who, WhoError> {
    if found.contains(&given.name) {
        return Ok(Who::Known(given.name.clone()));
    }
    // A name in the environment or a config may meet a wrong folder; a typed one is meant.
    if role == Role::OneShot && given.source != Source::Flag {
        return Err(WhoError::Missing {
            name: given.name.clone(),
            by: given.source,
        });
    }
    Ok(Who::Make(given.name.clone()))
}

impl WhoError {
    /// The error for people, with the folder that was searched.
    pub fn in_folder(self, certs: &Path) -> CliError {
        let code = match &self {
            WhoError::Several { .. } => "several-identities",
            WhoError::None | WhoError::Missing { .. } => "no-identity",
        };
        let error =
            CliError::new(code, Exit::Usage, self.to_string()).detail("searched", certs.display());
        match self {
            WhoError::Several { found } => {
                let names: Vec<&str> = found.iter().map(PeerName::as_str).collect();
                error
                    .detail("found", names.join(", "))
                    .help(format!("choose one: --id {}", found[0]))
            }
            WhoError::None => {
                error.help("make one: waypost peer --id NAME, or --id NAME with this command")
            }
            WhoError::Missing { name, .. } => error.help(format!(
                "make it: waypost peer --id {name}, or --id {name} with this command"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PeerName {
        PeerName::new(text).unwrap()
    }

    fn given(text: &str, source: Source) -> Option<Given> {
        Some(Given {
            name: name(text),
            source,
        })
    }

    const ROLES: [Role; 4] = [Role::OneShot, Role::Peer, Role::Up, Role::Menu];

    #[test]
    fn an_existing_name_is_used_whoever_gives_it() {
        for source in [Source::Flag, Source::Env, Source::Config] {
            for role in ROLES {
                let who = decide(given("2", source).as_ref(), &[name("1"), name("2")], role);
                assert_eq!(who, Ok(Who::Known(name("2"))));
            }
        }
    }

    #[test]
    fn daemons_make_a_named_identity_and_one_shot_commands_only_by_flag() {
        use Source::*;
        for found in [vec![], vec![name("1")], vec![name("1"), name("2")]] {
            for source in [Flag, Env, Config] {
                let given = given("new", source);
                for role in [Role::Peer, Role::Up, Role::Menu] {
                    let who = decide(given.as_ref(), &found, role);
                    assert_eq!(who, Ok(Who::Make(name("new"))));
                }
                let who = decide(given.as_ref(), &found, Role::OneShot);
                let expected = match source {
                    Flag => Ok(Who::Make(name("new"))),
                    _ => Err(WhoError::Missing {
                        name: name("new"),
                        by: source,
                    }),
                };
                assert_eq!(who, expected);
            }
        }
    }

    #[test]
    fn the_only_identity_is_used() {
        for role in [Role::OneShot, Role::Peer, Role::Up] {
            assert_eq!(decide(None, &[name("7")], role), Ok(Who::Known(name("7"))));
        }
    }

    #[test]
    fn the_menu_asks_whatever_there_is() {
        for found in [vec![], vec![name("1")], vec![name("1"), name("2")]] {
            assert_eq!(decide(None, &found, Role::Menu), Ok(Who::Ask));
        }
    }

    #[test]
    fn without_any_up_takes_1_and_others_fail() {
        assert_eq!(decide(None, &[], Role::Up), Ok(Who::Make(name("1"))));
        assert_eq!(decide(None, &[], Role::Peer), Err(WhoError::None));
        assert_eq!(decide(None, &[], Role::OneShot), Err(WhoError::None));
    }

    #[test]
    fn several_are_listed_with_exit_2() {
        let found = [name("1"), name("2")];
        for role in [Role::OneShot, Role::Peer, Role::Up] {
            let error = decide(None, &found, role).unwrap_err();
            let error = error.in_folder(Path::new("certs"));
            assert_eq!(error.exit(), Exit::Usage);
            let expected = "\
error[several-identities]: there are several identities here; say which one to use
  searched  certs
  found     1, 2
  help: choose one: --id 1";
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn the_searched_folder_is_named() {
        let error = WhoError::None.in_folder(Path::new("x/certs"));
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains("searched  x/certs"), "{error}");
    }
}
