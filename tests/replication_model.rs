//! Searches every order of events of a small deployment for a broken promise, over the machines that
//! production runs; and shows that each of the ten rules is needed, by taking it away.
//!
//! `WAYPOST_MODEL=large` searches the larger spaces (minutes; use `--release`). State counts are
//! printed with `--nocapture`.

#[path = "replication_model/invariants.rs"]
mod invariants;
#[path = "replication_model/world.rs"]
mod world;

use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model, Property};
use waypost::clock;
use waypost::replication::rules::{Rule, Rules};
use world::{Action, Bounds, World};

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
        next.step(action, self.rules);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("promises", |_, world: &World| {
                invariants::check(world).is_none()
            }),
            Property::sometimes(
                "committed after a failover with two in sync",
                |_, world: &World| {
                    world.record.grant > 1
                        && world.record.in_sync.len() > 1
                        && !world.committed.is_empty()
                },
            ),
        ]
    }
}

const SMALL: Bounds = Bounds {
    peers: 2,
    all_in_sync: false,
    entries: 1,
    crashes: 1,
    wipes: 0,
    expiries: 1,
    unknown: 1,
    alters: 2,
};

/// Searches; answers how many states there are and the shortest way to a broken promise.
fn search(name: &str, bounds: Bounds, rules: Rules) -> (usize, Option<String>) {
    let began = clock::mono_now();
    let checker = Search { bounds, rules }
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(Duration::from_secs(3_600))
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
        let useful = checker.discovery("committed after a failover with two in sync");
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
    let (_, found) = search(&format!("without {rule:?}"), bounds, Rules::without(rule));
    let found = found.unwrap_or_else(|| panic!("nothing is lost without {rule:?}"));
    println!("{found}");
}

#[test]
fn two_peers_a_crash_and_a_growing_set() {
    holds("2 peers", SMALL);
}
