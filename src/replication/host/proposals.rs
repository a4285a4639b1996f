//! What a host asks of the index: a set without those that lag and with those that have caught up, and
//! the end of a hand-over.

use super::follower::Follower;
use super::{HostContext, HostEffect, HostTopic, Role};
use crate::replication::configuration::AlterInSync;
use crate::replication::members::{COPIES, Members, PeerNo};
use crate::replication::rules::Rule;
use crate::types::{Incarnation, MonoNs};

impl HostTopic {
    /// The target of a hand-over is level. Said at every event until the record moves: saying it twice
    /// does no harm, and saying it once may be lost.
    pub(super) fn hand_over(&mut self, context: &HostContext, effects: &mut Vec<HostEffect>) {
        if let Role::HandingOver(to) = self.role
            && !self.doubts.are_open()
        {
            let end = self.end_of(context, to);
            let level = self.in_sync.contains(to) && end >= Some(self.written);
            if level && self.positions_of(context, to) >= self.positions {
                effects.push(HostEffect::Level(to));
            }
        }
    }

    pub(super) fn propose(
        &mut self,
        context: &HostContext,
        now: MonoNs,
        effects: &mut Vec<HostEffect>,
    ) {
        if self.asking {
            return;
        }
        let doubted = self.doubts.are_open();
        let members = match doubted {
            true => self.in_sync,
            false => self.wished(context, now),
        };
        // After an unknown outcome the same set, proposed again, settles it: whether it is applied or
        // refused, the version tells what became of the earlier one.
        if members == self.in_sync && !self.unknown && !doubted {
            return;
        }
        let pending = self.pending.unwrap_or(members).union(members);
        let mut incarnations = [0; COPIES];
        for (peer, incarnation) in members.iter().zip(&mut incarnations) {
            let added = !self.in_sync.contains(peer);
            *incarnation = self.incarnation_of(peer).filter(|_| added).unwrap_or(0);
        }
        self.pending = Some(pending);
        self.asking = true;
        self.doubts.ask();
        effects.push(HostEffect::Propose(AlterInSync {
            from: context.me,
            epoch: self.epoch,
            version: self.version,
            members,
            incarnations,
        }));
    }

    /// The set without those that lag and with those that have caught up.
    fn wished(&self, context: &HostContext, now: MonoNs) -> Members {
        let lagging = |peer| {
            let follower = self.followers.iter().find(|f| f.peer == peer);
            follower.is_some_and(|f| f.lags(context.lag, now))
        };
        let kept = self.in_sync.filter(|peer| !lagging(peer));
        let coming = self.followers.iter().filter(|f| self.may_join(context, f));
        let room = COPIES - self.in_sync.len();
        let coming = coming.take(room).map(|f| f.peer);
        kept.iter().chain(coming).collect()
    }

    /// Rule 4: a member must have everything that may be committed. What was committed before this
    /// epoch lies below its start, whatever this host knows of the high watermark.
    fn may_join(&self, context: &HostContext, follower: &Follower) -> bool {
        let least = self.high_watermark.max(self.began);
        let has = !context.rules.keeps(Rule::GrowWhenCaughtUp)
            || (follower.end.is_some_and(|end| end >= least)
                && follower.positions >= self.positions_committed.max(1));
        has && follower.gone.is_none() && !self.in_sync.contains(follower.peer)
    }

    fn incarnation_of(&self, peer: PeerNo) -> Option<Incarnation> {
        let follower = self.followers.iter().find(|f| f.peer == peer);
        follower.map(|f| f.incarnation)
    }

    /// Asks to be woken when the next member's patience ends, or to settle an unknown outcome.
    pub(super) fn wake(
        &mut self,
        context: &HostContext,
        now: MonoNs,
        effects: &mut Vec<HostEffect>,
    ) {
        if self.asking {
            return;
        }
        let members = self
            .followers
            .iter()
            .filter(|f| self.in_sync.contains(f.peer));
        let due = members.filter_map(|f| Some(f.lag?.since.plus(context.lag)));
        let retry = self.unknown.then(|| now.plus(context.lag));
        let due = due.chain(retry).min();
        if let Some(due) = due.filter(|due| self.wake_at.is_none_or(|armed| *due < armed)) {
            self.wake_at = Some(due);
            effects.push(HostEffect::WakeAt(due));
        }
    }
}
