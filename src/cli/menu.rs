//! The interactive menus: `waypost menu`, for a person and from a pipe.
//!
//! | module | subject |
//! |---|---|
//! | [`machine`] | which line leads where (pure) |
//! | [`screen`] | the wording |
//! | [`event`] | what the machine is told and what it wants done |
//! | `input` | lines of bounded length from standard input |
//! | `session` | the operations, as a client |
//! | `host` | the peer that this process is, or the one that it attaches to |
//! | `shell` | the loop around all of it |
//!
//! Guarantees: what a pull printed is flushed before the position moves; an operation that fails
//! never ends the menu.

pub mod event;
mod host;
mod input;
pub mod machine;
pub mod screen;
mod session;
mod shell;

pub use shell::run;
