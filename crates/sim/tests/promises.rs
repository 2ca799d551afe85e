//! Random clients on random nodes: whatever happens, the promises of the delivery contract hold. `cargo xtask sim` runs
//! more of it, and makes a failing run small.

use std::time::{Duration, Instant, SystemTime};

use trunkline_sim::{Tally, run, shrink};

/// Steps of one seed.
const STEPS: u32 = 2_000;

/// Runs the seeds until `enough`, and fails at the first that breaks a promise.
fn hold(seeds: impl Iterator<Item = u64>, mut enough: impl FnMut(u64) -> bool) -> Tally {
    let (mut tally, mut count) = (Tally::default(), 0);
    for seed in seeds {
        if enough(count) {
            break;
        }
        let steps: Vec<u32> = (0..STEPS).collect();
        let ran = run(seed, &steps, false);
        if let Some(violation) = ran.violation {
            let small = shrink(seed, &steps, violation.checker);
            let trace = run(seed, &small, true).trace.join("\n");
            panic!("seed {seed} breaks {violation}\n{trace}\nall of it: cargo xtask sim --seed {seed}");
        }
        tally.add_all(&ran.tally);
        count += 1;
    }
    eprintln!("{count} seeds\n{tally}");
    tally
}

#[test]
fn whatever_happens_the_promises_hold() {
    let tally = hold(1.., |count| count == 600);
    assert!(
        tally.times("last given up") * 20 <= tally.times("last"),
        "pages are given up too easily:\n{tally}"
    );
    for what in REACHED {
        assert!(tally.times(what) > 0, "no run reached `{what}`:\n{tally}");
    }
}

/// What the runs are there for.
const REACHED: [&str; 33] = [
    "bad_request",
    "changes",
    "conflict",
    "crash",
    "delete",
    "disk in trouble",
    "duplicate",
    "edit",
    "entries lost with a backup",
    "erased item",
    "fell behind",
    "folded item",
    "full queue",
    "held back",
    "internal",
    "key_expired",
    "last",
    "limit",
    "limit_exceeded",
    "merged",
    "mischief",
    "not_available",
    "not_found",
    "page",
    "published",
    "react",
    "recovered nothing",
    "recovered",
    "rewound",
    "sent again",
    "state",
    "trimmed",
    "unreact",
];

#[test]
fn so_they_do_with_seeds_that_nobody_has_seen() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    let first = u64::try_from(now.as_millis()).expect("a time");
    eprintln!("seeds from {first} on");
    let begun = Instant::now();
    hold(first.., |_| begun.elapsed() >= Duration::from_secs(10));
}

#[test]
fn a_run_is_the_same_each_time_and_steps_can_be_left_out() {
    let steps: Vec<u32> = (0..500).collect();
    let trace = |steps: &[u32]| run(7, steps, true).trace;
    assert_eq!(trace(&steps), trace(&steps));
    let even: Vec<u32> = steps.iter().copied().filter(|step| step % 2 == 0).collect();
    assert!(run(7, &even, false).violation.is_none());
    assert_ne!(trace(&steps), trace(&even));
}
