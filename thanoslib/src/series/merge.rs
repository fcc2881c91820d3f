//! Joining the chunks of one series that several sources hold.

use std::cmp::Ordering;

use super::batch::{BatchBuilder, ChunkView, SeriesView};
use crate::{chunk::Encoding, model::Aggr};

/// Joins the chunks of one series from all its sources: once each, in time order.
///
/// Aggregates of one window stay together. A window is dropped when each of its chunks has
/// the bytes of a chunk kept before: replicas of one block, or one series asked twice. Keeps
/// its buffers from series to series.
///
/// ```
/// use thanoslib::{BatchBuilder, Encoding, Interval, Labels, model::Aggr, series::ChunkJoin};
/// let labels = Labels::from_pairs([("job", "api")]);
/// let mut builder = BatchBuilder::default();
/// builder.series(labels.view());
/// builder.chunk_copied(Interval::new(0, 9), Aggr::Raw, Encoding::Xor, true, b"samples");
/// let source = builder.finish();
/// builder.series(labels.view());
/// ChunkJoin::default().join(2, |_| source.get(0), &mut builder);
/// assert_eq!(builder.finish().get(0).map(|series| series.chunk_count()), Some(1));
/// ```
#[derive(Debug, Default)]
pub struct ChunkJoin {
    windows: Vec<Window>,
}

/// Chunks of one source that belong together.
#[derive(Clone, Copy, Debug)]
struct Window {
    mint: i64,
    maxt: i64,
    raw: bool,
    part: u32,
    chunk: u32,
    len: u32,
}

impl ChunkJoin {
    /// Appends the chunks of `parts` sources to the current series of `out`; `part(i)` gives
    /// what source `i` holds.
    pub fn join<'a>(
        &mut self,
        parts: usize,
        part: impl Fn(usize) -> Option<SeriesView<'a>>,
        out: &mut BatchBuilder,
    ) {
        if let Some(one) = part(0).filter(|one| alike(*one, parts, &part)) {
            out.copy_chunks(one);
            return;
        }
        self.windows.clear();
        for i in 0..parts {
            for (n, chunk) in part(i).iter().flat_map(|s| s.chunks()).enumerate() {
                match self.windows.last_mut() {
                    Some(window) if !chunk.meta.first && window.part == i as u32 => window.len += 1,
                    _ => self.windows.push(Window {
                        mint: chunk.meta.interval.mint,
                        maxt: chunk.meta.interval.maxt,
                        raw: chunk.meta.aggr == Aggr::Raw,
                        part: i as u32,
                        chunk: n as u32,
                        len: 1,
                    }),
                }
            }
        }
        let at = &|w: &Window, n: u32| part(w.part as usize)?.chunk((w.chunk + n) as usize);
        let data = |w: &Window| {
            let w = *w;
            (0..w.len).map(move |n| at(&w, n).map(|c| c.data()))
        };
        let time = |w: &Window| (w.mint, w.maxt);
        // Equal times: any fixed order does, so that an answer does not depend on arrival.
        self.windows.sort_unstable_by(|a, b| {
            let order = (a.mint, a.maxt, !a.raw).cmp(&(b.mint, b.maxt, !b.raw));
            let order = if order == Ordering::Equal { data(a).cmp(data(b)) } else { order };
            order.then_with(|| (a.part, a.chunk).cmp(&(b.part, b.chunk)))
        });
        // Where the windows of the present times begin, and the windows of them kept so far.
        let (mut group, mut kept) = (0, 0);
        for i in 0..self.windows.len() {
            let window = self.windows[i];
            if group == kept || time(&self.windows[group]) != time(&window) {
                group = kept;
            }
            let before = &self.windows[group..kept];
            let known = |chunk: ChunkView<'_>| {
                // Compat: chunks without data fall away where sources are joined, and only there
                // (thanos pkg/store/proxy_merge.go).
                if chunk.meta.encoding == Encoding::None {
                    return true;
                }
                before.iter().rev().any(|w| (0..w.len).filter_map(|n| at(w, n)).any(|c| same(c, chunk)))
            };
            if (0..window.len).filter_map(|n| at(&window, n)).all(known) {
                continue;
            }
            for n in 0..window.len {
                at(&window, n).into_iter().for_each(|chunk| out.copy_chunk(chunk));
            }
            self.windows[kept] = window;
            kept += 1;
        }
    }
}

/// True when all sources hold the same windows, in the order of time.
fn alike<'a>(one: SeriesView<'a>, parts: usize, part: &impl Fn(usize) -> Option<SeriesView<'a>>) -> bool {
    let mut last = None;
    for meta in one.chunks().map(|c| c.meta) {
        let time = Some((meta.interval.mint, meta.interval.maxt));
        let in_order = if meta.first { last < time } else { last.is_some() };
        if !in_order || meta.encoding == Encoding::None {
            return false;
        }
        last = time;
    }
    let equal = |(a, b): (ChunkView<'_>, ChunkView<'_>)| a.meta.first == b.meta.first && same(a, b);
    let like_one = |other: SeriesView<'_>| {
        other.chunk_count() == one.chunk_count() && one.chunks().zip(other.chunks()).all(equal)
    };
    (1..parts).all(|i| part(i).is_some_and(like_one))
}

fn same(a: ChunkView<'_>, b: ChunkView<'_>) -> bool {
    // Times count too: upstream collapses windows of equal bytes at other times.
    let key = |c: ChunkView<'_>| (c.meta.interval.mint, c.meta.interval.maxt, c.meta.aggr, c.meta.encoding);
    key(a) == key(b) && a.data() == b.data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Interval, LabelsRef},
        series::SeriesBatch,
    };

    type Chunk<'a> = (i64, i64, Aggr, bool, &'a [u8]);

    fn batch(chunks: &[Chunk<'_>]) -> SeriesBatch {
        let mut b = BatchBuilder::default();
        b.series(LabelsRef::EMPTY);
        for (mint, maxt, aggr, first, data) in chunks {
            let encoding = if data.is_empty() { Encoding::None } else { Encoding::Xor };
            b.chunk_copied(Interval::new(*mint, *maxt), *aggr, encoding, *first, data);
        }
        b.finish()
    }

    fn check(sources: &[&[Chunk<'_>]], want: &[Chunk<'_>]) {
        let batches: Vec<SeriesBatch> = sources.iter().map(|s| batch(s)).collect();
        let mut out = BatchBuilder::default();
        out.series(LabelsRef::EMPTY);
        let view = |i: usize| batches[i].get(0);
        ChunkJoin::default().join(batches.len(), view, &mut out);
        let out = out.finish();
        let got = out.get(0).expect("one series");
        let key = |c: ChunkView<'_>| {
            (c.meta.interval.mint, c.meta.interval.maxt, c.meta.aggr, c.meta.first, c.data().to_vec())
        };
        let want: Vec<_> = want.iter().map(|(a, b, c, d, e)| (*a, *b, *c, *d, e.to_vec())).collect();
        assert_eq!(got.chunks().map(key).collect::<Vec<_>>(), want);
    }

    #[test]
    fn equal_chunks_are_kept_once_and_in_time_order() {
        let raw = |mint, data: &'static [u8]| (mint, mint + 9, Aggr::Raw, true, data);
        check(
            &[&[raw(10, b"x"), raw(20, b"y")], &[raw(0, b"w"), raw(10, b"x"), raw(20, b"z")]],
            &[raw(0, b"w"), raw(10, b"x"), raw(20, b"y"), raw(20, b"z")],
        );
        check(&[&[], &[]], &[]);
        // Chunks without data say nothing beside others.
        check(&[&[raw(0, b""), raw(10, b"x")], &[raw(20, b"y")]], &[raw(10, b"x"), raw(20, b"y")]);
        check(&[&[raw(0, b"")], &[raw(0, b"")]], &[]);
    }

    #[test]
    fn aggregates_of_a_window_stay_together() {
        let window = |sum: &'static [u8], count: &'static [u8]| {
            [(0, 9, Aggr::Sum, true, sum), (0, 9, Aggr::Count, false, count)]
        };
        let (one, two) = (window(b"s", b"c"), window(b"s", b"d"));
        check(&[&one, &one], &one);
        // A window with one new chunk is kept whole.
        check(&[&two, &one], &[one[0], one[1], two[0], two[1]]);
        // Equal bytes at other times are other chunks.
        let later: Chunk<'_> = (0, 10, Aggr::Sum, true, b"s");
        check(&[&one, &[later]], &[one[0], one[1], later]);
    }
}
