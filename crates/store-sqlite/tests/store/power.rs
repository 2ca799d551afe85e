//! What a power cut takes: everything that was not synced, or any part of it. Nothing that was acknowledged is in that.
//!
//! A preloaded library (`power/loss.c`) keeps what each file was at its last sync. After the process has been killed under
//! load, its folder is put together again from that, with a random part of the sectors that were written since: a medium
//! may have written some of them, in any order. A file whose name was not synced is not there at all.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::tempdir;

use crate::crash::{Acknowledged, check, kill_after};
use crate::rig::child;

const CUTS: usize = 15;

/// What a medium writes as a whole or not at all; half of a page of the database.
const SECTOR: usize = 4_096;

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let dir = tempdir().expect("a directory");
    let library = library(dir.path());
    let mut chance = 0x5DEE_CE66_D1CE_4E5B;
    let mut acknowledged = Vec::new();
    let mut lost = 0;
    for cut in 0..CUTS {
        let (before, after) = (life(dir.path(), cut), life(dir.path(), cut + 1));
        let told = run_until_cut(&library, &before, &[], 1 + (cut as u64 * 7_919) % 3_000);
        // Nothing of it, half of it, or nearly all of it reached the medium.
        lost += restore(&before, &after, [0, 50, 90][cut % 3], &mut chance);
        let earlier = acknowledged.len();
        acknowledged.extend(told);
        check(&after, &acknowledged, &acknowledged[earlier..]);
    }
    assert!(lost > 0, "each time everything was synced: nothing was tried");
    eprintln!("{CUTS} cuts, {} acknowledged, {lost} written sectors lost", acknowledged.len());
}

/// The check is worth something: where a medium says that it has synced and has not, it finds what is missing.
#[test]
fn what_a_lying_medium_loses_is_noticed() {
    let dir = tempdir().expect("a directory");
    let library = library(dir.path());
    let (first, second, third) = (life(dir.path(), 0), life(dir.path(), 1), life(dir.path(), 2));
    let honest = run_until_cut(&library, &first, &[], 200);
    restore(&first, &second, 0, &mut 1);
    check(&second, &honest, &honest);
    let lied_about = run_until_cut(&library, &second, &[("POWER_LIES", "1")], 200);
    restore(&second, &third, 0, &mut 1);
    let found = catch_unwind(|| check(&third, &lied_about, &[]));
    assert!(found.is_err(), "{} appends were acknowledged and never synced", lied_about.len());
}

/// The folder of one life of the store.
fn life(dir: &Path, number: usize) -> PathBuf {
    let folder = dir.join(format!("life-{number}"));
    fs::create_dir_all(&folder).expect("the directory is writable");
    folder
}

/// Where the synced state of a folder is kept.
fn synced(folder: &Path) -> PathBuf {
    folder.with_extension("synced")
}

/// Compiles the library. Where Rust links there is a `cc`.
fn library(dir: &Path) -> PathBuf {
    let library = dir.join("loss.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/power/loss.c");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    let output = cc.args(["-ldl", "-lpthread"]).output().expect("rustc links with `cc`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// Appends in a child until so many are acknowledged, then kills it. Gives all that it has told.
fn run_until_cut(library: &Path, folder: &Path, more: &[(&str, &str)], count: u64) -> Vec<Acknowledged> {
    fs::create_dir_all(synced(folder).join("data")).expect("the directory is writable");
    let mut child = child("crash::child_that_appends", folder, "");
    child.env("LD_PRELOAD", library).env("POWER_FILES", folder).env("POWER_SYNCED", synced(folder));
    kill_after(child.envs(more.iter().copied()), count)
}

/// Puts together in `after` what is left of `before`: what was synced, and of the sectors that were written since so many
/// of a hundred. Gives how many of them are lost.
fn restore(before: &Path, after: &Path, percent: u64, chance: &mut u64) -> usize {
    let synced = synced(before);
    let names = fs::read_to_string(synced.join("names")).expect("the library writes it first of all");
    let mut lost = 0;
    for line in names.lines() {
        let (inode, name) = line.split_once(' ').expect("an inode and a name");
        // A file that was never synced has a name and nothing in it.
        let mut content = fs::read(synced.join("data").join(inode)).unwrap_or_default();
        let live = before.join(name);
        let is_it = fs::metadata(&live).is_ok_and(|found| found.ino().to_string() == inode);
        let written = if is_it { fs::read(&live).expect("it can be read") } else { Vec::new() };
        for (sector, at) in written.chunks(SECTOR).zip((0..).step_by(SECTOR)) {
            if content.get(at..at + sector.len()) == Some(sector) {
                continue;
            }
            if next(chance) % 100 >= percent {
                lost += 1;
                continue;
            }
            content.resize(content.len().max(at + sector.len()), 0);
            content[at..at + sector.len()].copy_from_slice(sector);
        }
        fs::write(after.join(name), content).expect("the directory is writable");
    }
    lost
}

/// The next of a fixed sequence of random numbers (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
