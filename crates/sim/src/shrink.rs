//! Makes a failing run small: leaves out steps as long as the same checker still fails (delta debugging, Zeller and
//! Hildebrandt 2002). It works because a step draws the same whatever steps came before it.

use crate::run::run;
use crate::violation::Checker;

/// So many runs are tried at most.
const RUNS_MAX: usize = 20_000;

/// As few of `steps` as can be found with which `seed` still fails at `checker`.
#[must_use]
pub fn shrink(seed: u64, steps: &[u32], checker: Checker) -> Vec<u32> {
    let mut steps = steps.to_vec();
    let mut runs = 0;
    let mut chunk = steps.len().div_ceil(2);
    while chunk > 0 && runs < RUNS_MAX {
        let (mut at, mut smaller) = (0, false);
        while at < steps.len() && runs < RUNS_MAX {
            let without: Vec<u32> =
                steps[..at].iter().chain(&steps[(at + chunk).min(steps.len())..]).copied().collect();
            runs += 1;
            let ran = run(seed, &without, false);
            if ran.violation.is_some_and(|violation| violation.checker == checker) {
                steps = up_to(without, ran.step);
                smaller = true;
            } else {
                at += chunk;
            }
        }
        if chunk == 1 && !smaller {
            break;
        }
        chunk = if chunk == 1 { 1 } else { chunk / 2 };
    }
    steps
}

/// Steps after the one that failed do not matter.
fn up_to(mut steps: Vec<u32>, last: Option<u32>) -> Vec<u32> {
    if let Some(last) = last {
        steps.retain(|step| *step <= last);
    }
    steps
}
