//! External labels laid over a sorted stream while it streams.
//!
//! A label that no series has changes the order in one case only: a series whose labels are the beginning
//! of another's came before it, and comes behind it when the other goes on with a smaller name than that
//! of the new label. So such a series waits until those that go on are through.

use std::{collections::VecDeque, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};

use super::{Frame, SeriesStream};
use crate::{
    context::Context,
    error::{Error, Result},
    model::{Labels, LabelsRef},
    series::{BatchBuilder, SeriesBatch, SeriesView},
};

/// The same series with `external` laid over them, none of which they may have, in their new order.
pub(super) fn lay(ctx: &Context, external: Labels, stream: SeriesStream) -> SeriesStream {
    let state = Lay {
        ctx: ctx.clone(),
        external,
        stream,
        waiting: Vec::new(),
        unused: Vec::new(),
        ready: VecDeque::new(),
        done: false,
    };
    let frames = stream::try_unfold(state, |mut state| async move {
        Ok::<_, Error>(state.next().await?.map(|frame| (frame, state)))
    });
    frames.boxed()
}

/// A series that is not out yet.
#[derive(Debug, Default)]
struct Waiting {
    /// Its own labels, and those it goes out with, as flat bytes.
    own: Vec<u8>,
    laid: Vec<u8>,
    /// Where its chunks are: it may go on in the next batch.
    parts: Vec<(Option<Arc<SeriesBatch>>, usize)>,
}

struct Lay {
    ctx: Context,
    external: Labels,
    stream: SeriesStream,
    /// Each is the beginning of the next.
    waiting: Vec<Waiting>,
    unused: Vec<Waiting>,
    ready: VecDeque<Frame>,
    done: bool,
}

impl Lay {
    async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(Some(frame));
            }
            if self.done {
                return Ok(None);
            }
            match self.stream.try_next().await? {
                Some(Frame::Batch(batch)) => self.batch(batch)?,
                Some(other) => self.ready.push_back(other),
                None => {
                    self.done = true;
                    let mut out = BatchBuilder::default();
                    self.leave(0, None, &mut out);
                    self.push(out)?;
                }
            }
        }
    }

    fn batch(&mut self, batch: SeriesBatch) -> Result<()> {
        let batch = Arc::new(batch);
        let mut out = BatchBuilder::default();
        for (i, series) in batch.iter().enumerate() {
            self.series(&batch, i, series.labels(), &mut out)?;
        }
        // What waits outlives the batch; nothing else refers to it then.
        for waiting in &mut self.waiting {
            for (held, _) in &mut waiting.parts {
                held.get_or_insert_with(|| Arc::clone(&batch));
            }
        }
        self.push(out)
    }

    fn series(
        &mut self,
        batch: &Arc<SeriesBatch>,
        index: usize,
        labels: LabelsRef<'_>,
        out: &mut BatchBuilder,
    ) -> Result<()> {
        let own = labels.as_bytes();
        let mut new = self.unused.pop().unwrap_or_default();
        new.laid.clear();
        overlay(labels, &self.external, &mut new.laid);
        let mut stay = self.waiting.len();
        while let Some(last) = stay.checked_sub(1).and_then(|i| self.waiting.get_mut(i)) {
            if last.own == own {
                last.parts.push((None, index));
                self.unused.push(new);
                return Ok(());
            }
            if own.starts_with(&last.own) {
                if LabelsRef::from_flat(&new.laid) < LabelsRef::from_flat(&last.laid) {
                    break;
                }
            } else if labels < LabelsRef::from_flat(&last.own) {
                return Err(Error::corrupt(format!("series {labels} comes too late in its store")));
            }
            stay -= 1;
        }
        self.leave(stay, Some(batch), out);
        new.own.clear();
        new.own.extend_from_slice(own);
        new.parts.clear();
        new.parts.push((None, index));
        self.waiting.push(new);
        Ok(())
    }

    /// Hands out the series that wait behind the first `stay`, the last one first.
    fn leave(&mut self, stay: usize, current: Option<&Arc<SeriesBatch>>, out: &mut BatchBuilder) {
        while self.waiting.len() > stay {
            let Some(series) = self.waiting.pop() else { return };
            out.series(LabelsRef::from_flat(&series.laid));
            for (batch, i) in &series.parts {
                let part: Option<SeriesView<'_>> = batch.as_ref().or(current).and_then(|b| b.get(*i));
                part.into_iter().for_each(|part| out.copy_chunks(part));
            }
            self.unused.push(series);
        }
    }

    /// Chunk data is charged by its source, labels here.
    fn push(&mut self, mut out: BatchBuilder) -> Result<()> {
        if !out.is_empty() {
            let lease = self.ctx.budget().reserve(out.size_bytes() as u64)?;
            self.ready.push_back(Frame::Batch(out.finish().with_lease(Arc::new(lease))));
        }
        Ok(())
    }
}

/// Appends the labels of both, in order; no name is in both.
fn overlay(series: LabelsRef<'_>, external: &Labels, out: &mut Vec<u8>) {
    let mut external = external.iter().peekable();
    for label in series.iter() {
        while let Some(before) = external.next_if(|e| e.name < label.name) {
            before.append_flat(out);
        }
        label.append_flat(out);
    }
    external.for_each(|label| label.append_flat(out));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        chunk::{Encoding, XorAppender},
        model::{Aggr, Interval},
        store::external,
    };

    /// Labels and first times of chunks, batch by batch.
    fn laid(series: &[(Labels, Vec<i64>)], per_batch: usize, external: &Labels) -> Vec<(Labels, Vec<i64>)> {
        let mut frames = Vec::new();
        for series in series.chunks(per_batch) {
            let mut out = BatchBuilder::default();
            for (labels, times) in series {
                out.series(labels.view());
                for t in times {
                    let mut chunk = XorAppender::new();
                    chunk.append(*t, 1.0).expect("room");
                    let at = Interval::new(*t, *t);
                    out.chunk(at, Aggr::Raw, Encoding::Xor, true, chunk.into_bytes().into());
                }
            }
            frames.push(Ok(Frame::Batch(out.finish())));
        }
        let stream = lay(&Context::default(), external.clone(), stream::iter(frames).boxed());
        let frames: Vec<Frame> =
            stream.try_collect().now_or_never().expect("nothing to wait for").expect("sorted");
        let mut out = Vec::new();
        for frame in frames {
            let Frame::Batch(batch) = frame else { continue };
            for series in batch.iter() {
                let times = series.chunks().map(|c| c.meta.interval.mint).collect();
                out.push((series.labels().to_labels(), times));
            }
        }
        out
    }

    #[test]
    fn a_beginning_waits_and_a_series_that_goes_on_stays_whole() {
        let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        let (short, long) = (labels(&[("a", "1")]), labels(&[("a", "1"), ("b", "2")]));
        let series = [(short.clone(), vec![1]), (short, vec![2]), (long, vec![3])];
        for per_batch in 1..4 {
            let got = laid(&series, per_batch, &labels(&[("m", "x")]));
            let want = [
                (labels(&[("a", "1"), ("b", "2"), ("m", "x")]), vec![3]),
                (labels(&[("a", "1"), ("m", "x")]), vec![1, 2]),
            ];
            assert_eq!(got, want);
        }
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_a_sort(
            sets in prop::collection::btree_set(
                prop::collection::btree_map("[aceg]", "[xy]", 0..4), 0..40),
            external in prop::collection::btree_map("[bdfh]", "[xy]", 1..3),
            per_batch in 1usize..9,
        ) {
            let sorted: BTreeSet<Labels> = sets.into_iter().map(Labels::from_pairs).collect();
            let external = Labels::from_pairs(external);
            let series: Vec<_> = sorted.iter().enumerate().map(|(i, l)| (l.clone(), vec![i as i64])).collect();
            let mut want: Vec<_> =
                series.iter().map(|(l, t)| (external::overlay(l.view(), &external, &[]), t.clone())).collect();
            want.sort();
            prop_assert_eq!(laid(&series, per_batch, &external), want);
        }
    }
}
