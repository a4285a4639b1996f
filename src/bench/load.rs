//! Load generators: peers of a deployment that do one kind of operation.
//!
//! | module | subject |
//! |---|---|
//! | `peers` | clients with keys of their own |
//! | `prepare` | from what is wanted to what runs |
//! | `lookup`, `publish`, `pull`, `scale` | closed loop: lanes |
//! | `paced`, `alarm`, `follow` | open loop: messages at a rate, each woken for, and who sees them when |

mod alarm;
mod follow;
mod lookup;
mod paced;
mod peers;
mod prepare;
mod publish;
mod pull;
mod scale;

pub(super) use lookup::check;
pub(super) use peers::Peers;
pub(super) use prepare::prepare;
