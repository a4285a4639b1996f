//! Whole deployments over the production machines in virtual time, with everything going wrong that the
//! seed says; then a while of quiet, in which all must come right again.
//!
//! A seed that fails prints itself; `WAYPOST_SIM_SEED=n` runs that one alone, `WAYPOST_SIM_SEEDS=n` as
//! many as you like, `WAYPOST_SIM_FROM=n` from there on, `WAYPOST_SIM_THREADS=n` on so many threads.

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

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, available_parallelism};

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

/// What came of a seed.
struct Run {
    seed: u64,
    faults: Faults,
    given_up: usize,
    verdict: Result<(), String>,
}

fn run(seed: u64, care: Care) -> Run {
    let mut world = World::new(seed, care);
    let ran = AssertUnwindSafe(|| world.run());
    let verdict = catch_unwind(ran).unwrap_or_else(|_| {
        let why = "a machine's own assertion, see above";
        Err(why.to_owned())
    });
    Run {
        seed,
        faults: world.clock.faults,
        given_up: world.given_up.len(),
        verdict,
    }
}

/// Runs seeds on all cores, in their order as far as that goes, until one fails.
fn run_all(seeds: &[u64], care: Care) -> Vec<Run> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let work = || {
        let mut runs = Vec::new();
        while !failed.load(Ordering::Relaxed)
            && let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let run = run(seed, care);
            failed.fetch_or(run.verdict.is_err(), Ordering::Relaxed);
            runs.push(run);
        }
        runs
    };
    let threads = variable("WAYPOST_SIM_THREADS").map(|many| many as usize);
    let threads = threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
    let mut runs = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let runs = workers.into_iter().map(|worker| worker.join());
        runs.flat_map(|runs| runs.expect("a run catches its panics"))
            .collect::<Vec<_>>()
    });
    runs.sort_by_key(|run| run.seed);
    runs
}

#[test]
fn seeds() {
    let only = variable("WAYPOST_SIM_SEED");
    let from = only.or(variable("WAYPOST_SIM_FROM")).unwrap_or(0);
    let count = only.map_or(variable("WAYPOST_SIM_SEEDS").unwrap_or(1_000), |_| 1);
    let began = clock::mono_now();
    let regressions = REGRESSIONS.iter().copied().filter(|_| only.is_none());
    let seeds: Vec<u64> = regressions.chain(from..from + count).collect();
    let mut faults = Faults::default();
    let mut given_up = 0;
    for run in run_all(&seeds, CARE) {
        let seed = run.seed;
        if let Err(why) = run.verdict {
            panic!(
                "seed {seed}: {why}\nrun it alone: WAYPOST_SIM_SEED={seed} cargo test --test replication_sim seeds"
            );
        }
        assert!(run.faults.total() > 0, "seed {seed}: nothing went wrong");
        given_up += run.given_up;
        faults.add(&run.faults);
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
        count < 1_000 || missing.is_empty(),
        "these never came: {missing:?}"
    );
}

#[test]
fn a_seed_runs_the_same_each_time() {
    for seed in 0..300 {
        let (first, second) = (run(seed, CARE), run(seed, CARE));
        assert_eq!(first.faults, second.faults, "seed {seed}");
        assert_eq!(first.verdict, second.verdict, "seed {seed}");
    }
}

/// Whether some seed finds it.
fn found(name: &str, care: Care, seeds: u64) {
    let found = (0..seeds).find_map(|seed| Some((seed, run(seed, care).verdict.err()?)));
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
