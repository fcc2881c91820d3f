//! Comparisons of the library with the bare cost of a job and with a peer program.
//!
//! A [`Case`] writes its input, made from a seed, to a file; does the job in this process; and
//! names a bare cost: what moving the result alone takes. With `THANOSLIB_PEER=<command>` the
//! peer does the same job on the same file, in turn with ours, so that both see the same machine:
//! it is called with the name of the case and the path, and prints
//! `case ns_per_item items checksum`. Items and checksums must equal ours.
//!
//! `README.md` beside this file says how to run it and holds the last table.

pub mod cases;
mod files;
mod generate;
mod measure;
mod peer;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// Turns of ours, the bare cost and the peer.
const TURNS: usize = 7;

/// A job with its input.
pub trait Case {
    /// Writes what the peer reads below `dir`; returns its path.
    ///
    /// # Errors
    /// The file cannot be written.
    fn write(&self, dir: &Path) -> Result<PathBuf>;
    /// What the job works through: samples, series entries, numbers.
    fn items(&self) -> u64;
    /// A sum over the result, taken outside the measured time.
    fn checksum(&mut self) -> u64;
    /// The job.
    fn run(&mut self);
    /// What no implementation can save: moving the bytes of the result.
    fn bare(&mut self);
}

/// Runs the cases whose names contain one of `wanted`, or all when it is empty, and prints a table.
///
/// # Errors
/// The peer fails, or its answer differs from ours.
pub fn run(wanted: &[String]) -> Result<()> {
    let peer = peer::Peer::from_env();
    println!(
        "| case | items | ns/item | of bare cost | worst | peer ns/item | times faster | quickest | worst |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut ratios: Vec<(String, Faster)> = Vec::new();
    for (name, make) in cases::all() {
        if !wanted.is_empty() && !wanted.iter().any(|w| name.contains(w.as_str())) {
            continue;
        }
        let dir = tempfile::tempdir()?;
        let mut case = make(dir.path())?;
        let path = case.write(dir.path())?;
        let items = case.items();
        ensure!(items > 0, "{name} has no items");
        let sum = case.checksum();
        let (mut ours, mut bare, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            ours.push(measure::median_ns(|| case.run()) / items as f64);
            bare.push(measure::median_ns(|| case.bare()) / items as f64);
            if let Some(peer) = &peer {
                theirs.push(peer.run(name, &path, items, sum)?);
            }
        }
        let of_bare = measure::ratios(&ours, &bare);
        print!(
            "| {name} | {items} | {:.3} | {:.2} | {:.2} |",
            measure::mean(&ours),
            measure::mean(&of_bare),
            measure::max(&of_bare)
        );
        if theirs.is_empty() {
            println!(" | | | |");
        } else {
            let faster = Faster::new(&theirs, &ours);
            println!(" {:.3} | {faster} |", measure::mean(&theirs));
            ratios.push((name.split('/').next().unwrap_or(name).to_owned(), faster));
        }
    }
    if !ratios.is_empty() {
        println!("\n| group | geometric mean | quickest | worst |\n|---|--:|--:|--:|");
        ratios.chunk_by(|a, b| a.0 == b.0).for_each(|group| {
            let of = |part: fn(&Faster) -> f64| group.iter().map(|(_, f)| part(f)).collect::<Vec<_>>();
            let faster = Faster {
                mean: measure::geometric_mean(&of(|f| f.mean)),
                quickest: measure::geometric_mean(&of(|f| f.quickest)),
                worst: measure::min(&of(|f| f.worst)),
            };
            println!("| {} | {faster} |", group[0].0);
        });
    }
    Ok(())
}

/// How many times faster than the peer we are.
struct Faster {
    /// The mean over the turns.
    mean: f64,
    /// Our quickest turn against the peer's quickest, those that others disturbed least.
    quickest: f64,
    /// The worst turn.
    worst: f64,
}

impl Faster {
    fn new(theirs: &[f64], ours: &[f64]) -> Self {
        let turns = measure::ratios(theirs, ours);
        Self {
            mean: measure::mean(&turns),
            quickest: measure::min(theirs) / measure::min(ours),
            worst: measure::min(&turns),
        }
    }
}

impl std::fmt::Display for Faster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} | {:.2} | {:.2}", self.mean, self.quickest, self.worst)
    }
}
