//! The command behind `cargo xtask sim`: runs one seed in words, or a range of seeds until a promise is broken, and then
//! makes the failing run small.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use trunkline_sim::{Ran, Tally, Violation, run, shrink};

/// Steps of a seed, if nothing else is asked for.
const STEPS: u32 = 2_000;

const USAGE: &str = "usage: trunkline-sim (--seed N | --seeds A..B) [--steps N] [--commit NAME] [--brief]";

/// What was asked for.
struct Asked {
    first: u64,
    /// One beyond the last.
    end: u64,
    /// Whether one seed is to be told step by step.
    told: bool,
    steps: u32,
    commit: String,
    /// Whether a failing run is only named, not made small.
    brief: bool,
}

fn main() -> ExitCode {
    match asked(std::env::args().skip(1)) {
        Ok(asked) => play(&asked),
        Err(error) => {
            eprintln!("trunkline-sim: {error:#}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn asked(mut arguments: impl Iterator<Item = String>) -> Result<Asked> {
    let mut asked =
        Asked { first: 0, end: 0, told: false, steps: STEPS, commit: "unknown".to_owned(), brief: false };
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("`{name}` needs a value"));
        match name.as_str() {
            "--seed" => {
                let seed = number(&value()?)?;
                (asked.first, asked.end, asked.told) = (seed, seed + 1, true);
            }
            "--seeds" => {
                let range = value()?;
                let (first, end) =
                    range.split_once("..").with_context(|| format!("`{range}` is no range A..B"))?;
                (asked.first, asked.end, asked.told) = (number(first)?, number(end)?, false);
            }
            "--steps" => asked.steps = u32::try_from(number(&value()?)?).context("that is too many steps")?,
            "--commit" => asked.commit = value()?,
            "--brief" => asked.brief = true,
            other => bail!("there is no option `{other}`"),
        }
    }
    if asked.first >= asked.end {
        bail!("no seed is asked for");
    }
    Ok(asked)
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("`{text}` is no number"))
}

fn play(asked: &Asked) -> ExitCode {
    let steps: Vec<u32> = (0..asked.steps).collect();
    let mut tally = Tally::default();
    for seed in asked.first..asked.end {
        let ran = run(seed, &steps, asked.told);
        ran.trace.iter().for_each(|line| println!("{line}"));
        if let Some(violation) = &ran.violation {
            println!("seed {seed} of commit {} breaks {violation}", asked.commit);
            if !asked.brief {
                explain(seed, &steps, &ran, violation);
            }
            return ExitCode::FAILURE;
        }
        tally.add_all(&ran.tally);
        let done = seed + 1 - asked.first;
        if done.is_multiple_of(1_000) {
            eprintln!("{done} of {} seeds", asked.end - asked.first);
        }
    }
    println!("{} seeds of {} steps hold; in them:\n{tally}", asked.end - asked.first, asked.steps);
    ExitCode::SUCCESS
}

/// Prints the smallest run that can be found that breaks the same promise.
fn explain(seed: u64, steps: &[u32], ran: &Ran, violation: &Violation) {
    // Each smaller run that panics would say so here.
    std::panic::set_hook(Box::new(|_| {}));
    let until = ran.step.map_or(steps.len(), |step| step as usize + 1);
    let small = shrink(seed, &steps[..until.min(steps.len())], violation.checker);
    let again = run(seed, &small, true);
    println!("{} steps are enough:", small.len());
    again.trace.iter().for_each(|line| println!("{line}"));
    if let Some(violation) = again.violation {
        println!("       {violation}");
    }
}
