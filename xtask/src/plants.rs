//! Bugs planted on purpose: `crates/sim/plants.toml` lists them, with the checkers that must find each. They are put
//! into a copy of the crates, one at a time; a simulator that overlooks one is a defect.
//!
//! Called by `sim`. A test here sees to it that the list fits the code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::log::Log;
use crate::sim::SIMULATOR;
use crate::workshop::Workshop;
use crate::workspace::Workspace;

/// Where the list lies, below the root.
const LIST: &str = "crates/sim/plants.toml";

/// The crates of which the simulator is made.
const CRATES: [&str; 5] = ["model", "backend", "dialect", "hub", "sim"];

/// So many seeds may pass before a bug is found.
const SEEDS_MAX: u64 = 10_000;

/// A bug to be planted.
#[derive(Clone, Debug)]
struct Plant {
    name: String,
    checkers: Vec<String>,
    edits: Vec<Edit>,
}

/// A text that occurs in a file exactly once, and what takes its place.
#[derive(Clone, Debug)]
struct Edit {
    file: String,
    find: String,
    replace: String,
}

/// Plants the named bugs, or all, one at a time, and prints what found each.
pub fn run(workspace: Workspace, names: &[String]) -> Result<ExitCode> {
    let mut plants = read(&workspace.root)?;
    if let Some(unknown) = names.iter().find(|name| plants.iter().all(|plant| plant.name != **name)) {
        bail!("there is no plant `{unknown}` in {LIST}");
    }
    plants.retain(|plant| names.is_empty() || names.contains(&plant.name));
    let workshop = Workshop::open(workspace, false)?;
    let log = Log::create(&workshop.workspace.logs(), "plants")?;
    let nursery = Nursery::lay_out(&workshop)?;
    let sound = nursery.simulate(&workshop, &log, 200)?;
    if let Some((checker, seed)) = sound {
        bail!("nothing is planted, and `{checker}` finds something at seed {seed}");
    }
    println!("| plant | found by | at seed |\n|---|---|---|");
    let mut failed = 0;
    for plant in &plants {
        nursery.plant(plant)?;
        let found = nursery.simulate(&workshop, &log, SEEDS_MAX);
        nursery.clear(plant)?;
        let found_as_meant = found.map(|found| report(plant, found)).unwrap_or_else(|error| {
            println!("| {} | **{error:#}** | – |", plant.name);
            false
        });
        failed += usize::from(!found_as_meant);
    }
    println!("\n{} of {} planted bugs are found as they should be", plants.len() - failed, plants.len());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints a line of the table; whether the bug was found by a checker that it is meant for.
fn report(plant: &Plant, found: Option<(String, u64)>) -> bool {
    let name = &plant.name;
    match found {
        Some((checker, seed)) if plant.checkers.contains(&checker) => {
            println!("| {name} | {checker} | {seed} |");
            true
        }
        Some((checker, seed)) => {
            println!("| {name} | **{checker}, not {}** | {seed} |", plant.checkers.join(" or "));
            false
        }
        None => {
            println!("| {name} | **nothing** | – |");
            false
        }
    }
}

fn read(root: &Path) -> Result<Vec<Plant>> {
    let text = fs::read_to_string(root.join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let table: Table = text.parse().with_context(|| format!("{LIST} is no TOML"))?;
    let plants = table.get("plant").and_then(Value::as_array).context("no [[plant]] is listed")?;
    plants.iter().map(|plant| read_plant(plant).with_context(|| format!("in {LIST}: {plant}"))).collect()
}

fn read_plant(plant: &Value) -> Result<Plant> {
    let list =
        |name: &str| plant.get(name).and_then(Value::as_array).with_context(|| format!("no list `{name}`"));
    let checkers = list("checkers")?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let edits = list("edit")?.iter().map(|edit| {
        Ok(Edit { file: word(edit, "file")?, find: word(edit, "find")?, replace: word(edit, "replace")? })
    });
    word(plant, "why")?;
    Ok(Plant { name: word(plant, "name")?, checkers, edits: edits.collect::<Result<_>>()? })
}

fn word(value: &Value, name: &str) -> Result<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("no text `{name}`"))
}

/// Makes the edits to the files below `from`, and gives the files as they are then.
fn edited(plant: &Plant, from: &Path) -> Result<Vec<(String, String)>> {
    let mut files: Vec<(String, String)> = Vec::new();
    for Edit { file, find, replace } in &plant.edits {
        let index = files.iter().position(|(path, _)| path == file);
        let index = match index {
            Some(index) => index,
            None => {
                let text =
                    fs::read_to_string(from.join(file)).with_context(|| format!("cannot read {file}"))?;
                files.push((file.clone(), text));
                files.len() - 1
            }
        };
        let text = &mut files[index].1;
        let times = text.matches(find.as_str()).count();
        if times != 1 {
            bail!("`{}` looks for a text that occurs {times} times in {file}, not once:\n{find}", plant.name);
        }
        *text = text.replacen(find.as_str(), replace, 1);
    }
    Ok(files)
}

/// The copy in which bugs are planted.
struct Nursery {
    original: PathBuf,
    root: PathBuf,
}

impl Nursery {
    /// Copies what the simulator is made of. What was built there before is used again.
    fn lay_out(workshop: &Workshop) -> Result<Self> {
        let original = workshop.workspace.root.clone();
        let root = workshop.workspace.target.join("plants");
        for name in CRATES {
            let (from, to) = (original.join("crates").join(name), root.join("crates").join(name));
            if to.exists() {
                fs::remove_dir_all(&to).with_context(|| format!("cannot clear {}", to.display()))?;
            }
            copy(&from, &to)?;
        }
        let manifest = fs::read_to_string(original.join("Cargo.toml"))?;
        let members = r#"members = ["crates/*", "xtask"]"#;
        if !manifest.contains(members) {
            bail!("the workspace's manifest does not say `{members}` any more");
        }
        fs::write(root.join("Cargo.toml"), manifest.replace(members, r#"members = ["crates/*"]"#))?;
        for file in ["Cargo.lock", "rust-toolchain.toml"] {
            fs::copy(original.join(file), root.join(file)).with_context(|| format!("cannot copy {file}"))?;
        }
        Ok(Self { original, root })
    }

    fn plant(&self, plant: &Plant) -> Result<()> {
        let files = edited(plant, &self.original)?;
        files.iter().try_for_each(|(file, text)| Ok(fs::write(self.root.join(file), text)?))
    }

    fn clear(&self, plant: &Plant) -> Result<()> {
        plant.edits.iter().try_for_each(|edit| {
            // Not a copy, which would keep the old time: cargo is to see that it has changed.
            fs::write(self.root.join(&edit.file), fs::read(self.original.join(&edit.file))?)?;
            Ok(())
        })
    }

    /// Builds what is there and runs so many seeds: which checker found something, and where.
    fn simulate(&self, workshop: &Workshop, log: &Log, seeds: u64) -> Result<Option<(String, u64)>> {
        let target = self.root.join("target");
        let mut build = workshop.workspace.cargo();
        build.current_dir(&self.root).args([
            "build",
            "--release",
            "--package",
            SIMULATOR,
            "--bin",
            SIMULATOR,
        ]);
        build.arg("--target-dir").arg(&target);
        // Most of the time goes into building.
        build.env("CARGO_PROFILE_RELEASE_DEBUG", "false").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
        let built = workshop.runner.run(build, log)?;
        if !built.success() {
            bail!("what is planted does not compile; see {}", log.path().display());
        }
        let mut simulator = std::process::Command::new(target.join("release").join(SIMULATOR));
        simulator.args(["--brief", "--seeds", &format!("1..{}", seeds + 1)]);
        let ran = workshop.runner.run(simulator, log)?;
        if ran.success() {
            return Ok(None);
        }
        found(&ran.output).map(Some).with_context(|| format!("the simulator says:\n{}", ran.output))
    }
}

/// The checker and the seed in `seed 7 of commit x breaks [prefix] …`.
fn found(output: &str) -> Option<(String, u64)> {
    let line = output.lines().find(|line| line.starts_with("seed ") && line.contains(" breaks ["))?;
    let seed = line.split(' ').nth(1)?.parse().ok()?;
    let checker = line.split_once(" breaks [")?.1.split_once(']')?.0;
    Some((checker.to_owned(), seed))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_planted_fits_the_code() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root");
        let plants = read(root).expect("the list can be read");
        let checkers = fs::read_to_string(root.join("crates/sim/src/violation.rs")).expect("it is there");
        for plant in &plants {
            edited(plant, root).expect("each text occurs once");
            assert!(!plant.checkers.is_empty(), "{} has no checker", plant.name);
            let unknown = plant.checkers.iter().find(|name| !checkers.contains(&format!("=> \"{name}\"")));
            assert_eq!(unknown, None, "`{}` names a checker that is none", plant.name);
            let same = plants.iter().filter(|other| other.name == plant.name).count();
            assert_eq!(same, 1, "`{}` is listed twice", plant.name);
        }
        // A checker for which nothing is planted could be blind.
        for name in checkers.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let planted = plants.iter().any(|plant| plant.checkers.iter().any(|checker| checker == name));
            assert!(planted, "no plant is for `{name}`");
        }
    }

    #[test]
    fn a_text_that_does_not_occur_once_is_refused() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let plant = |find: &str| Plant {
            name: "x".to_owned(),
            checkers: Vec::new(),
            edits: vec![Edit {
                file: "Cargo.toml".to_owned(),
                find: find.to_owned(),
                replace: String::new(),
            }],
        };
        assert!(edited(&plant("name = \"xtask\""), root).is_ok());
        assert!(edited(&plant("workspace = true"), root).is_err());
        assert!(edited(&plant("nowhere"), root).is_err());
    }

    #[test]
    fn what_the_simulator_says_is_read() {
        let output = "1000 of 2 seeds\nseed 7 of commit abc breaks [no-false-alarm] it [x] was\n";
        assert_eq!(found(output), Some(("no-false-alarm".to_owned(), 7)));
        assert_eq!(found("200 seeds of 2000 steps hold"), None);
    }
}
