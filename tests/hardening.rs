//! Each row of the project's table of bad input and hostile callers, against real processes.
//! The hostile side speaks through the transport library, or below it.

#[path = "hardening/appends.rs"]
mod appends;
mod common;
#[path = "hardening/disk.rs"]
mod disk;
#[path = "hardening/flood.rs"]
mod flood;
#[path = "hardening/hostile.rs"]
mod hostile;
#[path = "hardening/identity.rs"]
mod identity;
#[path = "hardening/input.rs"]
mod input;
#[path = "hardening/rights.rs"]
mod rights;
#[path = "hardening/start.rs"]
mod start;
#[path = "hardening/wire.rs"]
mod wire;
