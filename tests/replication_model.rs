//! Searches every order of events of a small deployment for a broken promise, over the machines that
//! production runs; and shows that each of the ten rules is needed, by taking it away.
//!
//! `WAYPOST_MODEL=large` searches the larger spaces (minutes; use `--release`). State counts are
//! printed with `--nocapture`.

#[path = "replication_model/invariants.rs"]
mod invariants;
#[path = "replication_model/world.rs"]
mod world;

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::Once;
use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model, Property};
use waypost::clock;
use waypost::replication::rules::{Rule, Rules};
use world::{Action, Bounds, World};

thread_local! {
    /// Assertions that fire are what is looked for; nobody wants to read them.
    static MUTANT_RUNS: Cell<bool> = const { Cell::new(false) };
}

/// A search that takes longer has not searched everything, and fails.
const LONGEST: Duration = Duration::from_secs(1_800);

struct Search {
    bounds: Bounds,
    rules: Rules,
}

impl Model for Search {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.bounds, self.rules)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        if self.rules == Rules::ALL {
            next.step(action, self.rules);
        } else {
            // Without a rule an assertion of the machines may fire first; that is a find, too.
            MUTANT_RUNS.set(true);
            let step = AssertUnwindSafe(|| next.step(action, self.rules));
            if std::panic::catch_unwind(step).is_err() {
                next.broken = Some("an assertion of the machines fired");
            }
            MUTANT_RUNS.set(false);
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("promises", |_, world: &World| {
                invariants::check(world).is_none()
            }),
            Property::sometimes("committed after a failover", |_, world: &World| {
                world.record.grant > 1 && !world.committed.is_empty()
            }),
        ]
    }
}

/// Nothing may happen; what each search adds is what it looks at.
const STILL: Bounds = Bounds {
    peers: 2,
    all_in_sync: true,
    entries: 1,
    crashes: 0,
    wipes: 0,
    expiries: 0,
    unknown: 0,
    alters: 0,
    restores: 0,
    breaks: 0,
};

/// Searches; answers how many states there are and the shortest way to a broken promise.
fn search(name: &str, bounds: Bounds, rules: Rules) -> (usize, Option<String>) {
    let began = clock::mono_now();
    let checker = Search { bounds, rules }
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(LONGEST)
        .spawn_bfs()
        .join();
    let took = clock::mono_now().since(began);
    let states = checker.unique_state_count();
    println!(
        "{name}: {states} states in {:.1} s, depth {}",
        took.as_secs_f64(),
        checker.max_depth()
    );
    let found = checker.discovery("promises").map(|path| {
        let last = path.last_state();
        let why = invariants::check(last).unwrap_or_default();
        let steps: Vec<String> = path
            .into_actions()
            .iter()
            .map(|action| format!("  {action:?}"))
            .collect();
        format!("{why}\n{}", steps.join("\n"))
    });
    if found.is_none() {
        let useful = checker.discovery("committed after a failover");
        assert!(
            useful.is_some() || bounds.expiries == 0 || bounds.alters == 0,
            "{name}: the search never came to anything worth searching"
        );
    }
    (states, found)
}

fn holds(name: &str, bounds: Bounds) {
    let (_, found) = search(name, bounds, Rules::ALL);
    assert_eq!(found, None, "{name}");
}

fn needs(rule: Rule, bounds: Bounds) {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !MUTANT_RUNS.get() {
                loud(panic);
            }
        }));
    });
    let (_, found) = search(&format!("without {rule:?}"), bounds, Rules::without(rule));
    let found = found.unwrap_or_else(|| panic!("nothing is lost without {rule:?}"));
    println!("{found}");
}

#[test]
fn two_peers_a_crash_and_a_growing_set() {
    let bounds = Bounds {
        all_in_sync: false,
        crashes: 1,
        expiries: 1,
        alters: 1,
        ..STILL
    };
    holds("2 peers, growing", bounds);
}

#[test]
fn two_peers_in_sync_a_wiped_disk() {
    let bounds = Bounds {
        wipes: 1,
        expiries: 1,
        alters: 1,
        ..STILL
    };
    holds("2 peers, wiped", bounds);
}

#[test]
fn three_peers_and_a_failover() {
    let bounds = Bounds {
        peers: 3,
        expiries: 1,
        ..STILL
    };
    holds("3 peers", bounds);
}

/// What a replica has and its host lost, and what it has before its host.
#[test]
fn two_peers_in_sync_a_broken_stream_and_a_crash() {
    let bounds = Bounds {
        crashes: 1,
        expiries: 1,
        breaks: 1,
        ..STILL
    };
    holds("2 peers, broken stream", bounds);
}

#[test]
fn an_index_from_a_backup() {
    let bounds = Bounds {
        expiries: 1,
        alters: 1,
        restores: 1,
        ..STILL
    };
    holds("restored index", bounds);
}

/// Minutes, with `--release`.
#[test]
fn larger_spaces_when_asked_for() {
    if std::env::var("WAYPOST_MODEL").as_deref() != Ok("large") {
        return;
    }
    let two = Bounds {
        entries: 2,
        crashes: 1,
        expiries: 1,
        unknown: 1,
        alters: 2,
        ..STILL
    };
    holds("2 peers, 2 entries", two);
    let growing = Bounds {
        all_in_sync: false,
        crashes: 2,
        expiries: 2,
        entries: 1,
        unknown: 0,
        ..two
    };
    holds("2 peers, growing, 2 crashes, 3 grants", growing);
    let restored = Bounds {
        restores: 1,
        entries: 2,
        crashes: 1,
        expiries: 1,
        alters: 1,
        ..STILL
    };
    holds("2 peers, restored index", restored);
    let three = Bounds {
        peers: 3,
        crashes: 1,
        expiries: 1,
        ..STILL
    };
    holds("3 peers, 1 crash", three);
}

/// What most mutants are looked for in.
const MUTANT: Bounds = Bounds {
    entries: 2,
    crashes: 1,
    expiries: 1,
    alters: 1,
    ..STILL
};

/// The same, while the set grows.
const GROWING: Bounds = Bounds {
    all_in_sync: false,
    entries: 1,
    unknown: 1,
    alters: 2,
    ..MUTANT
};

#[test]
fn rule_1_a_replica_that_acknowledges_before_its_sync_loses() {
    needs(Rule::SyncBeforeAck, MUTANT);
}

#[test]
fn rule_1_a_host_that_acknowledges_before_its_own_sync_loses() {
    needs(Rule::HostSyncs, MUTANT);
}

#[test]
fn rule_2_growth_that_is_not_waited_for_loses() {
    needs(Rule::WaitForProposals, GROWING);
}

#[test]
fn rule_3_a_member_dropped_before_the_index_knows_loses() {
    needs(Rule::CommitShrinkFirst, MUTANT);
}

#[test]
fn rule_3_an_unknown_outcome_taken_for_a_refusal_loses() {
    needs(Rule::KeepUnion, GROWING);
}

#[test]
fn rule_5_a_wiped_peer_that_was_to_be_added_loses() {
    needs(
        Rule::CurrentMembers,
        Bounds {
            crashes: 0,
            wipes: 1,
            ..GROWING
        },
    );
}

#[test]
fn rule_4_a_member_that_has_not_caught_up_loses() {
    needs(Rule::GrowWhenCaughtUp, GROWING);
}

#[test]
fn rule_5_a_late_change_of_the_set_loses() {
    needs(
        Rule::CompareAndSet,
        Bounds {
            entries: 2,
            expiries: 2,
            ..GROWING
        },
    );
}

#[test]
fn rule_6_a_forgotten_epoch_loses() {
    needs(
        Rule::RefuseLowerEpochs,
        Bounds {
            crashes: 1,
            restores: 1,
            entries: 2,
            ..MUTANT
        },
    );
}

#[test]
fn rule_7_a_host_from_outside_of_the_set_loses() {
    needs(Rule::ElectFromInSync, GROWING);
}

#[test]
fn rule_8_cutting_to_the_high_watermark_loses() {
    needs(
        Rule::ReconcileByEpoch,
        Bounds {
            crashes: 2,
            ..MUTANT
        },
    );
}

#[test]
fn rule_8_cutting_to_what_the_host_has_synced_loses() {
    needs(
        Rule::AnswerFromWritten,
        Bounds {
            entries: 1,
            crashes: 0,
            breaks: 1,
            ..MUTANT
        },
    );
}

#[test]
fn rule_9_a_second_life_under_one_epoch_loses() {
    needs(
        Rule::NewIncarnation,
        Bounds {
            crashes: 1,
            ..GROWING
        },
    );
}

#[test]
fn rule_10_an_empty_disk_in_the_set_loses() {
    needs(
        Rule::WipedLeavesSets,
        Bounds {
            crashes: 0,
            wipes: 1,
            ..MUTANT
        },
    );
}
