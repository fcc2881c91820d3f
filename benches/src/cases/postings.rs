//! Intersections of postings lists as they lie in an index.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use thanoslib::index::{SortedIds, intersect};

use super::Make;
use crate::{Case, files, generate::Random};

pub(super) fn cases() -> Vec<(&'static str, Make)> {
    let case = |name, lists: fn() -> Vec<Vec<u32>>| -> (&'static str, Make) {
        (name, Box::new(move |_| Ok(Box::new(Intersect::new(lists())))))
    };
    vec![
        case("intersect/dense", || vec![every(1, 2, 1_000_000), every(2, 2, 1_000_000)]),
        case("intersect/dense_of_three", || {
            vec![every(1, 2, 1_000_000), every(2, 3, 1_000_000), every(3, 4, 1_000_000)]
        }),
        case("intersect/1k_of_1M", || vec![every(4, 2000, 1000), every(5, 2, 1_000_000)]),
    ]
}

/// `count` numbers, about every `gap`-th one.
fn every(salt: u64, gap: u64, count: usize) -> Vec<u32> {
    let mut random = Random::new(salt);
    let mut id = 0;
    (0..count)
        .map(|_| {
            id += 1 + random.below(2 * gap - 1) as u32;
            id
        })
        .collect()
}

/// A list as it lies in a file.
struct Raw(Vec<[u8; 4]>);

impl SortedIds for Raw {
    #[inline]
    fn count(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn at(&self, i: usize) -> Option<u32> {
        self.0.get(i).map(|b| u32::from_be_bytes(*b))
    }
}

struct Intersect {
    lists: Vec<Vec<u32>>,
    raw: Vec<Raw>,
    out: Vec<u32>,
}

impl Intersect {
    fn new(lists: Vec<Vec<u32>>) -> Self {
        let raw = lists.iter().map(|l| Raw(l.iter().map(|id| id.to_be_bytes()).collect())).collect();
        Self { lists, raw, out: Vec::new() }
    }
}

impl Case for Intersect {
    fn write(&self, dir: &Path) -> Result<PathBuf> {
        let mut out = Vec::new();
        self.lists.iter().for_each(|ids| files::put_list(&mut out, ids));
        let path = dir.join("lists");
        fs::write(&path, out)?;
        Ok(path)
    }

    fn items(&self) -> u64 {
        self.lists.iter().map(|l| l.len() as u64).sum()
    }

    fn checksum(&mut self) -> u64 {
        self.run();
        let places = self.out.iter().zip(1u64..);
        places.fold(0, |sum, (id, i)| sum.wrapping_add(u64::from(*id).wrapping_mul(i)))
    }

    fn run(&mut self) {
        self.out.clear();
        let (first, rest) = self.raw.split_first().expect("lists");
        self.out.extend(first.0.iter().map(|b| u32::from_be_bytes(*b)));
        rest.iter().for_each(|list| intersect(&mut self.out, list));
    }

    fn bare(&mut self) {
        // Every list is read once.
        self.out.clear();
        for list in &self.raw {
            self.out.clear();
            self.out.extend(list.0.iter().map(|b| u32::from_be_bytes(*b)));
        }
    }
}
