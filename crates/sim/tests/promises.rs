//! Random clients on random nodes: whatever happens, the promises of the delivery contract hold.
//!
//! `SIM_SEED=<seed>` runs one seed and prints each step; `SIM_SEEDS=<count>` runs more of them, from `SIM_FROM` on.

use trunkline_sim::{Tally, run};

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn whatever_happens_the_promises_hold() {
    if let Some(seed) = setting("SIM_SEED") {
        eprintln!("{:#?}", run(seed, true));
        return;
    }
    let mut tally = Tally::default();
    let (first, count) = (setting("SIM_FROM").unwrap_or(1), setting("SIM_SEEDS").unwrap_or(2_000));
    for seed in first..first + count {
        let result = std::panic::catch_unwind(|| run(seed, false));
        let ran = result.unwrap_or_else(|_| {
            panic!("seed {seed}; again: SIM_SEED={seed} cargo test -p trunkline-sim -- --nocapture")
        });
        tally.add_all(&ran);
    }
    eprintln!("{tally:#?}");
    check_reach(&tally, count);
}

/// The runs reach what they are there for.
fn check_reach(tally: &Tally, seeds: u64) {
    const REACHED: [&str; 15] = [
        "fell behind",
        "published",
        "duplicate",
        "recovered",
        "recovered nothing",
        "last",
        "page",
        "limit",
        "trimmed",
        "rewound",
        "held back",
        "internal",
        "not_available",
        "limit_exceeded",
        "full queue",
    ];
    assert!(
        tally.times("last given up") * 20 <= tally.times("last"),
        "pages are given up too easily: {tally:?}"
    );
    for what in REACHED.into_iter().filter(|_| seeds >= 1_000) {
        assert!(tally.times(what) > 0, "no run reached `{what}`: {tally:?}");
    }
}
