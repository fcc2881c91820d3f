//! Every body over its seeds and over seeded changes of them.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use thanoslib_fuzz::{BODIES, Body};

/// Changed inputs made from each seed.
const CHANGES: usize = 120;
/// Inputs made of nothing.
const MADE_UP: usize = 300;
/// Longest part of a seed that is cut off byte by byte.
const CUTS: usize = 200;

/// Xorshift: the same inputs in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn bytes(&mut self, len: usize, mask: u8) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8 & mask).collect()
    }
}

/// Runs the body; a failure shows the input, so that it can be added to the corpus.
fn run(name: &str, body: Body, data: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| body(data))).is_err() {
        let hex: String = data.iter().map(|b| format!("{b:02x}")).collect();
        panic!("{name} fails on {hex}");
    }
}

/// Flips bits, sets bytes, moves pieces, adds or drops an end.
fn change(random: &mut Random, seed: &[u8]) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=random.below(4) {
        if data.is_empty() {
            break;
        }
        let at = random.below(data.len());
        match random.below(6) {
            0 | 1 => data[at] ^= 1 << random.below(8),
            2 => data[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            3 => data.truncate(at),
            4 => {
                let piece = data[at..(at + random.below(16)).min(data.len())].to_vec();
                let to = random.below(data.len());
                data.splice(to..to, piece);
            }
            _ => {
                let len = random.below(32);
                data.extend(random.bytes(len, 0xff));
            }
        }
    }
    data
}

fn survives(name: &str, body: Body) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> =
        fs::read_dir(&dir).expect("a corpus").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has no seeds");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for file in &files {
        let seed = fs::read(file).expect("a seed");
        run(name, body, &seed);
        for cut in 0..seed.len().min(CUTS) {
            run(name, body, &seed[..cut]);
            run(name, body, &seed[cut..]);
        }
        for _ in 0..CHANGES {
            run(name, body, &change(&mut random, &seed));
        }
    }
    for round in 0..MADE_UP {
        let len = random.below(200);
        // Small numbers make lengths and counts that are nearly right.
        run(name, body, &random.bytes(len, if round % 2 == 0 { 0xff } else { 0x07 }));
    }
}

#[test]
fn every_body_survives_its_corpus_and_changes_of_it() {
    for (name, body) in BODIES.iter().copied() {
        survives(name, body);
    }
}

#[test]
fn every_corpus_has_a_body() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(dir).expect("the corpora") {
        let name = entry.expect("an entry").file_name().into_string().expect("text");
        assert!(BODIES.iter().any(|(body, _)| *body == name), "no body is named {name}");
    }
}
