//! What groups have been like of late, and so who had better commit the next one. Pure.

use std::time::Duration;

use crate::limits;

/// How much of the past counts: the last sixteen groups or so.
const MEMORY: u64 = 16;
/// Commands are counted in parts of one.
const PARTS: u64 = 256;

/// Moving averages over groups.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    write_ns: u64,
    command_parts: u64,
}

impl Default for Usual {
    /// Nothing is known: the writer's thread commits.
    fn default() -> Self {
        Usual {
            write_ns: limits::DEFERRED_SYNC.as_nanos() as u64 * 2,
            command_parts: PARTS,
        }
    }
}

impl Usual {
    /// Notes a group: how long writing and syncing it took, and how many commands it was.
    pub(super) fn note(&mut self, took: Duration, commands: usize) {
        let took = took.as_nanos().min(u128::from(u32::MAX)) as u64;
        self.write_ns = towards(self.write_ns, took);
        self.command_parts = towards(self.command_parts, commands as u64 * PARTS);
    }

    /// Whether whoever submitted `commands` commits them sooner than the writer's thread would: groups are
    /// small, so that nothing is gained by receiving the next one at the same time, and syncs are short.
    pub(super) fn submitter_commits(&self, commands: usize) -> bool {
        let few = limits::DEFERRED_ITEMS as u64;
        commands as u64 <= few
            && self.command_parts <= few * PARTS
            && u128::from(self.write_ns) <= limits::DEFERRED_SYNC.as_nanos()
    }
}

fn towards(average: u64, value: u64) -> u64 {
    (average * (MEMORY - 1) + value) / MEMORY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(groups: usize, took: Duration, commands: usize) -> Usual {
        let mut usual = Usual::default();
        for _ in 0..groups {
            usual.note(took, commands);
        }
        usual
    }

    #[test]
    fn submitters_commit_small_groups_to_quick_disks() {
        let quick = Duration::from_micros(150);
        assert!(!Usual::default().submitter_commits(1), "nothing is known");
        assert!(after(50, quick, 1).submitter_commits(1));
        assert!(!after(50, quick, 1).submitter_commits(50), "many wait");
        assert!(!after(50, quick, 50).submitter_commits(1), "many are usual");
        let slow = Duration::from_millis(8);
        assert!(!after(50, slow, 1).submitter_commits(1), "a slow disk");
        assert!(!after(50, Duration::MAX, 1).submitter_commits(1));
    }

    #[test]
    fn one_stall_is_enough_and_is_forgotten() {
        let mut usual = after(50, Duration::from_micros(150), 1);
        usual.note(Duration::from_millis(100), 1);
        assert!(!usual.submitter_commits(1));
        for _ in 0..100 {
            usual.note(Duration::from_micros(150), 1);
        }
        assert!(usual.submitter_commits(1));
    }
}
