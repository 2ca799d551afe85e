//! Runs a seed, all of it or some of its steps, and says what came of it. Called by the command and by tests.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::tally::Tally;
use crate::violation::{Checked, Checker, Violation};
use crate::world::World;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What happened how often.
    pub tally: Tally,
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// The step at which it was; `None` for the end.
    pub step: Option<u32>,
    /// What happened, in words, a line for each thing, if it was wanted.
    pub trace: Vec<String>,
}

/// Runs the steps of `seed` that are given, in this order, and then the end.
///
/// The same seed and the same steps give the same run, always. A panic of the hub is a broken promise like others.
#[must_use]
pub fn run(seed: u64, steps: &[u32], traced: bool) -> Ran {
    let (mut world, mut at) = (World::new(seed, traced), None);
    let result = catch_unwind(AssertUnwindSafe(|| walk(&mut world, steps, &mut at)));
    let violation = match result {
        Ok(checked) => checked.err(),
        Err(panic) => Some(Violation { checker: Checker::NoPanic, what: words_of(&*panic) }),
    };
    let fell_behind = world.node.fell_behind as u64;
    let full_queue = u64::from(world.node.fullest >= world.setting.limits.queue);
    let (mut tally, trace) = world.into_records();
    tally.add("fell behind", fell_behind);
    tally.add("full queue", full_queue);
    Ran { tally, violation, step: at, trace }
}

fn walk(world: &mut World, steps: &[u32], at: &mut Option<u32>) -> Checked {
    for &step in steps {
        *at = Some(step);
        world.step(step)?;
    }
    *at = None;
    world.end()
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
