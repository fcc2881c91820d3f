//! Postings lists against the series that should be in them.
//!
//! Of each label pair the number of its series and the sum of their mixed numbers is kept. A list
//! with the same two and ascending numbers holds the same series, but for a chance of 2⁻⁶⁴.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasherDefault, Hasher},
};

use super::{FindingKind, Parts, VerifyReport, Window};
use crate::{
    block::{RangeReader, read::INDEX},
    encoding::Crc32c,
    error::Result,
    index::{ListRef, Version},
};

/// Bytes of a list that are looked at together.
const PIECE_BYTES: u64 = 1 << 20;

/// Number and mixed sum of some series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Print {
    count: u64,
    sum: u64,
}

impl Print {
    fn add(&mut self, id: u32) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(mix(u64::from(id)));
    }
}

/// Scatters a number over 64 bits.
fn mix(x: u64) -> u64 {
    let x = (x ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Hashes a pair of symbols.
#[derive(Default)]
pub(super) struct PairHasher(u64);

impl Hasher for PairHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u64((*b).into()));
    }

    fn write_u32(&mut self, x: u32) {
        self.write_u64(x.into());
    }

    fn write_u64(&mut self, x: u64) {
        self.0 = mix(self.0.rotate_left(32) ^ x);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Which series have which label, as the entries say.
#[derive(Default)]
pub(super) struct Pairs {
    of: HashMap<(u32, u32), Print, BuildHasherDefault<PairHasher>>,
    all: Print,
    /// Series whose labels are not known.
    damaged: BTreeSet<u32>,
    /// The list of all series, read when an entry was damaged.
    listed: Option<Vec<u32>>,
}

impl Pairs {
    pub(super) fn series(&mut self, id: u32, labels: &[(u32, u32)]) {
        self.all.add(id);
        for pair in labels {
            self.of.entry(*pair).or_default().add(id);
        }
    }

    pub(super) fn damaged(&mut self, id: u32) {
        self.damaged.insert(id);
    }

    /// The series that follows `id` in the list of all.
    pub(super) async fn next_listed(
        &mut self,
        reader: &dyn RangeReader,
        parts: &Parts,
        id: u32,
    ) -> Result<Option<u32>> {
        if self.listed.is_none() {
            let mut ids = Vec::new();
            if let Some(list) = parts.table.as_ref().and_then(|t| t.all()) {
                let mut window = Window::new(reader, INDEX.to_owned(), list.end);
                each(&mut window, list, |id| ids.push(id)).await?;
            }
            // Only numbers that lead into the section lead on.
            let toc = parts.plan.toc();
            let version = parts.plan.version();
            ids.retain(|id| (toc.series..toc.postings).contains(&version.series_offset(*id)));
            ids.sort_unstable();
            self.listed = Some(ids);
        }
        let ids = self.listed.as_deref().unwrap_or_default();
        Ok(ids.get(ids.partition_point(|i| *i <= id)).copied())
    }
}

/// What a walk over a list found besides its series.
#[derive(Clone, Copy, Debug, Default)]
struct Walked {
    /// The list cannot be read; the text says why.
    broken: Option<&'static str>,
    /// Place of the first series that is not after the one before.
    unordered: Option<u64>,
    checksum: Option<(u32, u32)>,
}

/// Calls `f` with every series of a list.
async fn each(window: &mut Window<'_>, list: ListRef, mut f: impl FnMut(u32)) -> Result<Walked> {
    let mut walked = Walked::default();
    let broken = |what| Walked { broken: Some(what), ..Walked::default() };
    let Some((&[a, b, c, d, e, g, h, i], _)) = window.at(list.start, 8).await?.split_first_chunk::<8>()
    else {
        return Ok(broken("the list is cut"));
    };
    let len = u64::from(u32::from_be_bytes([a, b, c, d]));
    let count_bytes = [e, g, h, i];
    let count = u64::from(u32::from_be_bytes(count_bytes));
    if len != 4 + 4 * count {
        return Ok(broken("number and length of the list differ"));
    }
    if list.start + 8 + 4 * count + 4 > list.end {
        return Ok(broken("the list is longer than its place"));
    }
    let mut crc = Crc32c::default();
    crc.update(&count_bytes);
    let (mut at, ids_end) = (list.start + 8, list.start + 8 + 4 * count);
    let mut last: Option<u32> = None;
    while at < ids_end {
        let want = PIECE_BYTES.min(ids_end - at);
        let piece = window.at(at, want).await?.get(..want as usize).unwrap_or_default();
        if piece.is_empty() {
            return Ok(broken("the list is cut"));
        }
        crc.update(piece);
        for (i, id) in piece.as_chunks::<4>().0.iter().enumerate() {
            let id = u32::from_be_bytes(*id);
            if last.is_some_and(|l| l >= id) {
                walked.unordered.get_or_insert(at + 4 * i as u64);
            }
            last = Some(id);
            f(id);
        }
        at += want;
    }
    let Some((sum, _)) = window.at(ids_end, 4).await?.split_first_chunk::<4>() else {
        return Ok(broken("the list is cut"));
    };
    let (got, want) = (crc.sum(), u32::from_be_bytes(*sum));
    walked.checksum = (got != want).then_some((got, want));
    Ok(walked)
}

/// The list of all series, to be looked at again.
pub(super) struct AllSeries {
    list: Option<ListRef>,
}

impl AllSeries {
    /// Which of `series`, ascending, are not in the list.
    pub(super) async fn without(&self, reader: &dyn RangeReader, series: &[u64]) -> Result<Vec<u64>> {
        let Some(list) = self.list.filter(|_| !series.is_empty()) else { return Ok(series.to_vec()) };
        let mut absent: BTreeSet<u64> = series.iter().copied().collect();
        let mut window = Window::new(reader, INDEX.to_owned(), list.end);
        each(&mut window, list, |id| {
            absent.remove(&id.into());
        })
        .await?;
        Ok(absent.into_iter().collect())
    }
}

/// Compares every list with the series that have its label.
pub(super) async fn check(
    reader: &dyn RangeReader,
    parts: &Parts,
    mut pairs: Pairs,
    report: &mut VerifyReport,
) -> Result<AllSeries> {
    let Some(table) = &parts.table else { return Ok(AllSeries { list: None }) };
    let mut window = Window::new(reader, INDEX.to_owned(), parts.plan.toc().postings_table);
    let mut lists: Vec<_> = Vec::new();
    let in_file_order: Box<dyn Iterator<Item = _> + Send> = match parts.plan.version() {
        Version::V2 => Box::new(table.iter()),
        Version::V1 => {
            lists.extend(table.iter());
            lists.sort_unstable_by_key(|(_, _, list)| list.start);
            Box::new(lists.into_iter())
        }
    };
    let mut known: (&[u8], Option<u32>) = (b"", None);
    for (name, value, list) in in_file_order {
        let mut print = Print::default();
        let damaged = &pairs.damaged;
        let walked = each(&mut window, list, |id| {
            if damaged.is_empty() || !damaged.contains(&id) {
                print.add(id);
            }
        })
        .await?;
        let text = || format!("{}={:?}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        if let Some(what) = walked.broken {
            report.say(FindingKind::Postings, INDEX, list.start, format_args!("{}: {what}", text()));
        }
        if let Some((got, want)) = walked.checksum {
            report.add(FindingKind::Postings, INDEX, list.start, || {
                (Some(got.into()), Some(want.into()), format!("{}: checksum of the list", text()))
            });
        }
        if let Some(at) = walked.unordered {
            report.say(FindingKind::PostingsOrder, INDEX, at, text());
        }
        let want = if name.is_empty() {
            Some(pairs.all)
        } else if let Some(symbols) = parts.symbols.as_ref().filter(|_| parts.symbols_ascend) {
            if known.0 != name {
                known = (name, symbols.find(name));
            }
            let pair = known.1.zip(symbols.find(value));
            Some(pair.and_then(|pair| pairs.of.remove(&pair)).unwrap_or_default())
        } else {
            None
        };
        let Some(want) = want.filter(|_| walked.broken.is_none()) else { continue };
        if print != want {
            let (got, want) = (print.count as i64, want.count as i64);
            let other = if got == want { ": as many series, but others" } else { "" };
            report.add(FindingKind::PostingsSeries, INDEX, list.start, || {
                (Some(got), Some(want), format!("{}{other}", text()))
            });
        }
    }
    if table.all().is_none() && pairs.all.count > 0 {
        report.add(FindingKind::PostingsMissing, INDEX, parts.plan.toc().postings_table, || {
            (Some(0), Some(pairs.all.count as i64), "the list of all series".to_owned())
        });
    }
    if let Some(symbols) = parts.symbols.as_ref().filter(|_| parts.symbols_ascend) {
        let mut left: Vec<_> = pairs.of.into_iter().collect();
        left.sort_unstable_by_key(|(pair, _)| *pair);
        for ((name, value), print) in left {
            let text = |i| String::from_utf8_lossy(symbols.get(i).unwrap_or_default()).into_owned();
            report.add(FindingKind::PostingsMissing, INDEX, parts.plan.toc().postings_table, || {
                (Some(0), Some(print.count as i64), format!("{}={:?}", text(name), text(value)))
            });
        }
    }
    Ok(AllSeries { list: table.all() })
}
