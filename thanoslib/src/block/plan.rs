//! Reading in three beats: plan which bytes, fetch them, compute.

use std::ops::Range;

use bytes::Bytes;

use super::range::{RangeReader, coalesce};
use crate::{
    budget::Lease,
    context::Context,
    error::{Error, Result},
};

/// Which bytes of which objects are needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadPlan {
    reads: Vec<(String, Vec<Range<u64>>)>,
}

/// The bytes of a [`ReadPlan`]: for each object, in order, those of its ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetched(pub Vec<Pieces>);

/// The bytes of some ranges of one object, in the order of the plan.
///
/// Neighbours share a buffer, so that a range costs a look into it and no owner of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces {
    buffers: Vec<Bytes>,
    /// For each range its buffer and where it lies there.
    places: Vec<(usize, Range<usize>)>,
}

impl Pieces {
    /// Number of ranges.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The buffers that hold the ranges.
    pub(crate) fn buffers(&self) -> &[Bytes] {
        &self.buffers
    }

    /// For each range the number of its buffer, where it begins there, and its bytes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, usize, &[u8])> {
        self.places.iter().map(|(number, at)| {
            let bytes = self.buffers.get(*number).and_then(|b| b.get(at.clone()));
            (*number, at.start, bytes.unwrap_or_default())
        })
    }

    /// The bytes of each range, shared.
    pub(crate) fn into_bytes(self) -> Vec<Bytes> {
        let bytes = |(number, at): (usize, Range<usize>)| self.buffers.get(number).map(|b| b.slice(at));
        self.places.into_iter().map(|place| bytes(place).unwrap_or_default()).collect()
    }
}

/// What a computation says to the bytes it was given.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// It is done.
    Done(T),
    /// It needs more bytes, because lengths turned out greater than assumed.
    More(ReadPlan),
}

/// A computation over fetched bytes; it computes and never waits.
pub(crate) trait Compute: Send {
    /// What it gives.
    type Output;

    /// Takes the bytes of the plan that was made last.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not what they should be.
    fn compute(&mut self, fetched: Fetched) -> Result<Step<Self::Output>>;
}

impl ReadPlan {
    /// A plan that reads ranges of one object.
    pub(crate) fn of(object: impl Into<String>, ranges: Vec<Range<u64>>) -> Self {
        Self { reads: vec![(object.into(), ranges)] }
    }

    /// Adds ranges of another object.
    pub(crate) fn add(&mut self, object: impl Into<String>, ranges: Vec<Range<u64>>) {
        self.reads.push((object.into(), ranges));
    }

    /// Fetches all ranges, neighbours together; their bytes are charged to `lease` before.
    ///
    /// # Errors
    /// `Limit` when the budget has too little left, and what the reader fails with.
    pub(crate) async fn fetch(
        &self,
        ctx: &Context,
        reader: &dyn RangeReader,
        lease: &mut Lease,
    ) -> Result<Fetched> {
        let mut parts = Vec::with_capacity(self.reads.len());
        for (object, ranges) in &self.reads {
            let (joined, of) = coalesce(ranges, reader.gap_max());
            lease.grow(joined.iter().map(|r| r.end.saturating_sub(r.start)).sum())?;
            parts.push((object, ranges, joined, of));
        }
        let reads = parts.iter().map(|(object, _, joined, _)| reader.read_ranges(object, joined));
        let fetched = ctx.run(futures::future::try_join_all(reads)).await?;
        let mut out = Vec::with_capacity(parts.len());
        for ((_, ranges, joined, of), buffers) in parts.iter().zip(fetched) {
            let place = |(range, number): (&Range<u64>, &usize)| {
                let (Some(whole), Some(at)) = (buffers.get(*number), joined.get(*number)) else {
                    return (*number, 0..0);
                };
                let start = ((range.start - at.start) as usize).min(whole.len());
                let end = ((range.end.max(range.start) - at.start) as usize).min(whole.len());
                (*number, start..end)
            };
            let places = ranges.iter().zip(of).map(place).collect();
            out.push(Pieces { buffers, places });
        }
        Ok(Fetched(out))
    }
}

/// Fetches and computes, in two rounds at most.
///
/// # Errors
/// What fetching and computing fail with; `Corrupt` when a third round would be needed.
pub(crate) async fn run_plan<C: Compute>(
    ctx: &Context,
    reader: &dyn RangeReader,
    lease: &mut Lease,
    plan: ReadPlan,
    mut computation: C,
) -> Result<C::Output> {
    let mut plan = plan;
    for _ in 0..2 {
        let fetched = plan.fetch(ctx, reader, lease).await?;
        match computation.compute(fetched)? {
            Step::Done(out) => return Ok(out),
            Step::More(more) => plan = more,
        }
    }
    // The last plan asked for the exact bytes of entries, so their object ends before them.
    let cut = plan.reads.iter().find_map(|(object, ranges)| Some((object, ranges.first()?)));
    let (object, range) = cut.map_or(("no object", 0..0), |(object, range)| (object.as_str(), range.clone()));
    Err(Error::corrupt(format!(
        "{object}: entry at offset {} is cut, it needs {} bytes",
        range.start,
        range.end - range.start
    )))
}
