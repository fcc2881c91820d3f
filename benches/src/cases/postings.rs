//! Intersections of postings lists as they lie in an index.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use thanoslib::{
    encoding::crc32c,
    index::{SortedIds, intersect},
};

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

/// A list as it lies in an index.
fn framed(ids: &[u32]) -> Vec<u8> {
    let mut content = (ids.len() as u32).to_be_bytes().to_vec();
    ids.iter().for_each(|id| content.extend_from_slice(&id.to_be_bytes()));
    let mut out = (content.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(&content);
    out.extend_from_slice(&crc32c(&content).to_be_bytes());
    out
}

struct Intersect {
    lists: Vec<Vec<u32>>,
    framed: Vec<Vec<u8>>,
    out: Vec<u32>,
}

impl Intersect {
    fn new(lists: Vec<Vec<u32>>) -> Self {
        let framed = lists.iter().map(|l| framed(l)).collect();
        Self { lists, framed, out: Vec::new() }
    }
}

/// The numbers of a list whose checksum was seen before; the peer is given them so too.
struct Raw<'a>(&'a [[u8; 4]]);

impl SortedIds for Raw<'_> {
    type Id = [u8; 4];

    #[inline]
    fn ids(&self) -> &[[u8; 4]] {
        self.0
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
        let mut lists = self.framed.iter().map(|list| raw(list));
        self.out.clear();
        self.out.extend(lists.next().expect("lists").0.iter().map(|b| u32::from_be_bytes(*b)));
        lists.for_each(|list| intersect(&mut self.out, &list));
    }

    fn bare(&mut self) {
        // The plain way: two places, and a branch for each comparison.
        let mut lists = self.framed.iter().map(|list| raw(list));
        self.out.clear();
        self.out.extend(lists.next().expect("lists").0.iter().map(|b| u32::from_be_bytes(*b)));
        for list in lists {
            let (mut i, mut j, mut kept) = (0, 0, 0);
            while i < self.out.len() && j < list.0.len() {
                let (x, y) = (self.out[i], u32::from_be_bytes(list.0[j]));
                if x < y {
                    i += 1;
                } else if x > y {
                    j += 1;
                } else {
                    self.out[kept] = x;
                    (kept, i, j) = (kept + 1, i + 1, j + 1);
                }
            }
            self.out.truncate(kept);
        }
    }
}

/// The numbers of a framed list.
fn raw(list: &[u8]) -> Raw<'_> {
    Raw(list[8..list.len() - 4].as_chunks::<4>().0)
}
