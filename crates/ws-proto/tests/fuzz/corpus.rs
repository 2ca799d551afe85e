//! The committed inputs of `fuzz/corpus`, and some mutations of each, through the targets' functions. Called by
//! `cargo test`. An input that once found a defect has a name that says which.

use std::path::Path;

use crate::{close, deflate, frames, inflate, lists, request, response, utf8};

/// Mutations of each input.
const MUTATIONS: usize = 200;

/// And where messages are compressed, which takes longer.
const MUTATIONS_COMPRESSED: usize = 40;

/// The longest input that a mutation makes.
const SIZE_MAX: usize = 4 << 10;

/// SplitMix64: reproducible, and good enough to choose places and bytes.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(input.len());
            match self.below(6) {
                _ if input.is_empty() => input.push(self.next() as u8),
                0 => input[at] ^= 1 << self.below(8),
                1 => input[at] = [0, 0x7F, 0x80, 0xFF, b',', b'\r', b'\n', b' '][self.below(8)],
                2 => input.insert(at, self.next() as u8),
                3 => drop(input.remove(at)),
                4 => input.truncate(at),
                _ => {
                    let again = input[at..].to_vec();
                    input.extend(again);
                }
            }
        }
        input.truncate(SIZE_MAX);
    }
}

fn replay(target: &str, check: fn(&[u8])) {
    replay_mutated(target, MUTATIONS, check);
}

fn replay_mutated(target: &str, mutations: usize, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has inputs");
    for path in paths {
        let input = std::fs::read(&path).expect("a readable file");
        println!("{}", path.display());
        check(&input);
        let mut chance = Chance(input.len() as u64);
        for _ in 0..mutations {
            let mut mutated = input.clone();
            chance.mutate(&mut mutated);
            println!("{mutated:02x?}");
            check(&mutated);
        }
    }
}

#[test]
fn frames() {
    replay("frames", frames::check);
}

#[test]
fn inflate() {
    replay_mutated("inflate", MUTATIONS_COMPRESSED, inflate::check);
}

#[test]
fn deflate() {
    replay_mutated("deflate", MUTATIONS_COMPRESSED, deflate::check);
}

#[test]
fn request() {
    replay("request", request::check);
}

#[test]
fn response() {
    replay("response", response::check);
}

#[test]
fn lists() {
    replay("lists", lists::check);
}

#[test]
fn close() {
    replay("close", close::check);
}

#[test]
fn utf8() {
    replay("utf8", utf8::check);
}
