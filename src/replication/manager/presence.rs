//! Who counts as live: a session, or the doubt after the index's own start.

use std::time::Duration;

use crate::types::MonoNs;

/// After its start the index does not know who was live a moment ago, and calls nobody dead before a
/// lease could have run out. `index::session` does the same after its own overload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    doubt_until: MonoNs,
}

impl Presence {
    /// The index started now; `wait` is W.
    pub fn new(now: MonoNs, wait: Duration) -> Self {
        Presence {
            doubt_until: now.plus(wait),
        }
    }

    /// For [`super::Standing::live`].
    pub fn is_live(&self, has_session: bool, now: MonoNs) -> bool {
        has_session || now < self.doubt_until
    }

    /// From when on absence counts: once then, every topic whose host has no session is looked at.
    pub fn doubt_until(&self) -> MonoNs {
        self.doubt_until
    }
}
