//! Whole deployments over the production machines in virtual time, with everything going wrong that the
//! seed says; then a while of quiet, in which all must come right again.
//!
//! A seed that fails prints itself; `WAYPOST_SIM_SEED=n` runs that one alone, `WAYPOST_SIM_SEEDS=n` as
//! many as you like, `WAYPOST_SIM_FROM=n` from there on.

#[path = "replication_sim/disk.rs"]
mod disk;
#[path = "replication_sim/faults.rs"]
mod faults;
#[path = "replication_sim/held.rs"]
mod held;
#[path = "common/history.rs"]
mod history;
#[path = "replication_sim/index.rs"]
mod index;
#[path = "replication_sim/net.rs"]
mod net;
#[path = "replication_sim/peer.rs"]
mod peer;
#[path = "replication_sim/world.rs"]
mod world;

use faults::Faults;
use peer::Care;
use waypost::clock;
use waypost::replication::rules::{Rule, Rules};
use world::World;

/// Seeds that have found something once.
const REGRESSIONS: [u64; 0] = [];

const CARE: Care = Care {
    rules: Rules::ALL,
    fsync: true,
    dedupe: true,
    quarantine: true,
    dedupe_transfer: true,
    drain_dedupe: true,
};

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {value}")),
    )
}

fn run(seed: u64, care: Care) -> (Faults, usize, Result<(), String>) {
    let mut world = World::new(seed, care);
    let verdict = world.run();
    (world.clock.faults, world.given_up.len(), verdict)
}

#[test]
fn seeds() {
    let only = variable("WAYPOST_SIM_SEED");
    let from = only.or(variable("WAYPOST_SIM_FROM")).unwrap_or(0);
    let count = only.map_or(variable("WAYPOST_SIM_SEEDS").unwrap_or(1_000), |_| 1);
    let began = clock::mono_now();
    let mut faults = Faults::default();
    let mut given_up = 0;
    let regressions = REGRESSIONS.iter().copied().filter(|_| only.is_none());
    for seed in regressions.chain(from..from + count) {
        let (injected, lost, verdict) = run(seed, CARE);
        given_up += lost;
        if let Err(why) = verdict {
            panic!(
                "seed {seed}: {why}\nrun it alone: WAYPOST_SIM_SEED={seed} cargo test --test replication_sim seeds"
            );
        }
        assert!(injected.total() > 0, "seed {seed}: nothing went wrong");
        faults.add(&injected);
    }
    let took = clock::mono_now().since(began).as_secs_f64();
    println!(
        "{count} seeds in {took:.1} s, {:.0} a minute; {faults:?}",
        count as f64 * 60.0 / took
    );
    println!("{given_up} topics were given up with the disk of their only copy");
    assert!(
        only.is_some() || given_up as u64 <= count / 20,
        "too many are excused"
    );
    let missing = faults.missing();
    assert!(
        only.is_some() || missing.is_empty(),
        "these never came: {missing:?}"
    );
}

/// Whether some seed finds it.
fn found(name: &str, care: Care, seeds: u64) {
    let wrong = |seed| {
        let ran = std::panic::catch_unwind(|| run(seed, care).2);
        ran.unwrap_or_else(|_| Err("a machine's assertion".to_owned()))
            .err()
    };
    let found = (0..seeds).find_map(|seed| Some((seed, wrong(seed)?)));
    let (seed, why) = found.unwrap_or_else(|| panic!("{name}: nothing was found in {seeds} seeds"));
    println!(
        "{name}: found by seed {seed}: {}",
        why.lines().next().unwrap_or("")
    );
}

#[test]
fn a_disk_that_lies_is_found() {
    found(
        "fsync off",
        Care {
            fsync: false,
            ..CARE
        },
        200,
    );
}

#[test]
fn a_host_without_dedupe_is_found() {
    found(
        "dedupe off",
        Care {
            dedupe: false,
            ..CARE
        },
        200,
    );
}

#[test]
fn a_damaged_copy_that_stays_in_the_set_is_found() {
    found(
        "quarantine off",
        Care {
            quarantine: false,
            ..CARE
        },
        200,
    );
}

#[test]
fn a_copy_that_is_not_told_of_producers_is_found() {
    found(
        "dedupe transfer off",
        Care {
            dedupe_transfer: false,
            ..CARE
        },
        200,
    );
}

#[test]
fn a_drain_without_dedupe_is_found() {
    found(
        "drain without dedupe",
        Care {
            drain_dedupe: false,
            ..CARE
        },
        200,
    );
}

#[test]
fn a_missing_rule_is_found() {
    // The others are lost in so few orders of events that it takes the model to find them.
    for rule in [
        Rule::CommitShrinkFirst,
        Rule::ElectFromInSync,
        Rule::WipedLeavesSets,
    ] {
        let rules = Rules::without(rule);
        found(&format!("without {rule:?}"), Care { rules, ..CARE }, 200);
    }
}
