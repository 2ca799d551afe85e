//! Makes a failing run small: leaves out steps as long as the same checker still fails (delta debugging, Zeller and
//! Hildebrandt 2002). It works because a step draws the same whatever steps came before it.

use crate::run::run;
use crate::violation::Checker;

/// So many runs are tried at most.
const RUNS_MAX: usize = 20_000;

/// As few of `steps` as can be found with which `seed` still fails at `checker`.
#[must_use]
pub fn shrink(seed: u64, steps: &[u32], checker: Checker) -> Vec<u32> {
    smallest(steps, |steps| {
        let ran = run(seed, steps, false);
        let same = ran.violation.is_some_and(|violation| violation.checker == checker);
        same.then(|| ran.step.unwrap_or(u32::MAX))
    })
}

/// Leaves out ever smaller parts while `fails` says the step up to which that still fails.
fn smallest(steps: &[u32], mut fails: impl FnMut(&[u32]) -> Option<u32>) -> Vec<u32> {
    let mut steps = steps.to_vec();
    let (mut runs, mut part) = (0, steps.len().div_ceil(2));
    while part > 0 {
        let (mut at, mut smaller) = (0, false);
        while at < steps.len() && runs < RUNS_MAX {
            let rest = &steps[(at + part).min(steps.len())..];
            let mut without = [&steps[..at], rest].concat();
            runs += 1;
            if let Some(last) = fails(&without) {
                // What comes after the step that failed does not matter.
                without.retain(|step| *step <= last);
                (steps, smaller) = (without, true);
            } else {
                at += part;
            }
        }
        // With the last step that goes, another one may be able to.
        part = if part == 1 && smaller && runs < RUNS_MAX { 1 } else { part / 2 };
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fails: impl Fn(&[u32]) -> Option<u32>, expect: &[u32]) {
        let steps: Vec<u32> = (0..1_000).collect();
        assert_eq!(smallest(&steps, fails), expect);
    }

    #[test]
    fn the_steps_that_matter_are_left() {
        let both = |steps: &[u32]| (steps.contains(&3) && steps.contains(&717)).then_some(717);
        check(both, &[3, 717]);
        check(|_| Some(u32::MAX), &[]);
        // Here 5 matters only as long as 900 is there.
        let either = |steps: &[u32]| {
            (steps.contains(&8) && (!steps.contains(&900) || steps.contains(&5))).then_some(u32::MAX)
        };
        check(either, &[8]);
    }
}
