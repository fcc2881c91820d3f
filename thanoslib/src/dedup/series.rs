//! Deduplicating series one after the other.

use super::{
    Algorithm, Counters, DedupRequest, Outcome, SeriesChunk, adjusts,
    lift::Lift,
    pair,
    reader::Reader,
    replica::{Read, Replica, Scratch},
    split_overlaps,
};
use crate::{
    downsample::aggregates_for,
    error::Result,
    model::Interval,
    series::{Aggr, FloatColumn, SampleColumns},
};

/// Deduplicates series by one request; keeps its buffers from series to series.
///
/// ```
/// use thanoslib::{
///     chunk::{Chunk, Encoding, XorAppender},
///     dedup::{Algorithm, Counters, DedupRequest, Deduplicator, SeriesChunk},
///     model::{Interval, SampleColumns},
/// };
///
/// let mut a = XorAppender::new();
/// let mut b = XorAppender::new();
/// for t in [10_000, 20_000, 30_000] {
///     a.append(t, 1.0)?;
///     b.append(t + 100, 2.0)?;
/// }
/// let chunk = |data, first| {
///     SeriesChunk::raw(Interval::new(first, first + 20_000), Chunk { encoding: Encoding::Xor, data })
/// };
/// let request = DedupRequest {
///     algorithm: Algorithm::Penalty,
///     counters: Counters::Prometheus,
///     function: "",
///     interval: Interval::ALL,
/// };
/// let mut samples = SampleColumns::default();
/// let replicas = [&[chunk(a.bytes(), 10_000)][..], &[chunk(b.bytes(), 10_100)][..]];
/// Deduplicator::new(request).dedup(&replicas, &mut samples)?;
/// assert_eq!(samples.floats.vs, [1.0; 3]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug)]
pub struct Deduplicator<'r> {
    request: DedupRequest<'r>,
    /// Decoded replicas of the current series; those beyond it wait to be used again.
    replicas: Vec<Replica>,
    used: usize,
    scratch: Scratch,
}

impl<'r> Deduplicator<'r> {
    /// A deduplicator that has seen no series.
    pub fn new(request: DedupRequest<'r>) -> Self {
        Self { request, replicas: Vec::new(), used: 0, scratch: Scratch::default() }
    }

    /// A deduplicator for another request that goes on with the buffers of this one.
    #[must_use]
    pub fn with_request(self, request: DedupRequest<'_>) -> Deduplicator<'_> {
        Deduplicator { request, replicas: self.replicas, used: self.used, scratch: self.scratch }
    }

    /// Appends the samples of one series to `out`, deduplicated.
    ///
    /// `replicas` are the series that stand for it, each with its chunks in order of time.
    /// Chunks of one of them that overlap count as replicas of their own.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when a chunk does not decode, lacks
    /// the aggregate that is needed, or a replica has no chunks; `out` then holds all that
    /// could be read, of this and of the other replicas.
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) for more than 512 overlapping replicas.
    pub fn dedup(&mut self, replicas: &[&[SeriesChunk<'_>]], out: &mut SampleColumns) -> Result<Outcome> {
        let (adjust, lift, outcome) = self.read(replicas, true);
        let replicas = &self.replicas[..self.used];
        if let [one] = replicas {
            one.copy_to(self.request.interval, out);
        } else if let Some(pair) = self.plain_pair(adjust).filter(|_| out.floats.st.is_empty()) {
            pair::merge(pair, self.request.interval, lift, &mut out.floats);
        } else {
            // The interval merge lifts by itself.
            let own_lift = self.request.algorithm == Algorithm::Interval && lift;
            let adjust = adjust || own_lift;
            let mut reader = Reader::new(self.request.algorithm, adjust, self.request.interval, replicas)?;
            let mut lift = (lift && !own_lift).then(|| Lift::new(replicas));
            while reader.advance() {
                match (&mut lift, reader.place()) {
                    (Some(lift), Some(place)) => reader.copy_raised(place, lift.next(place), out),
                    _ => reader.copy_to(out),
                }
            }
        }
        self.finish(outcome)
    }

    /// The two replicas, if nothing but floats is merged by the penalty.
    fn plain_pair(&self, adjust: bool) -> Option<[&FloatColumn; 2]> {
        let [a, b] = &self.replicas[..self.used] else { return None };
        if adjust || self.request.algorithm != Algorithm::Penalty {
            return None;
        }
        Some([a.plain_floats()?, b.plain_floats()?])
    }

    /// Appends the samples of one series to `out`, its chunks one after the other.
    ///
    /// Of chunks that overlap, the later gives only what comes after the earlier.
    ///
    /// # Errors
    /// As [`dedup`](Self::dedup).
    pub fn concat(&mut self, chunks: &[SeriesChunk<'_>], out: &mut SampleColumns) -> Result<Outcome> {
        let (_, _, outcome) = self.read(&[chunks], false);
        self.replicas[..self.used].iter().for_each(|r| r.copy_to(self.request.interval, out));
        self.finish(outcome)
    }

    /// A reader of one series, for callers that skip; values are not lifted.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) for more than 512 overlapping replicas.
    pub fn reader(&mut self, replicas: &[&[SeriesChunk<'_>]]) -> Result<Reader<'_>> {
        let (adjust, _, _) = self.read(replicas, true);
        Reader::new(self.request.algorithm, adjust, self.request.interval, &self.replicas[..self.used])
    }

    /// Decodes the replicas; says whether the merge adjusts values and whether they are lifted.
    fn read(&mut self, series: &[&[SeriesChunk<'_>]], split: bool) -> (bool, bool, Outcome) {
        let DedupRequest { counters, function, .. } = self.request;
        let mut outcome = Outcome::default();
        let read = match aggregates_for(function) {
            [Aggr::Counter] if counters == Counters::Thanos => Read::Counter,
            [Aggr::Counter] => {
                outcome.rewritten =
                    series.iter().flat_map(|s| s.iter()).any(|c| c.get(Aggr::Counter).is_some());
                if outcome.rewritten { Read::Counter } else { Read::One(Aggr::Raw) }
            }
            [one] => Read::One(*one),
            _ => Read::Average,
        };
        self.used = 0;
        for chunks in series {
            if split && self.request.algorithm == Algorithm::Interval && read != Read::Counter {
                // Which chunks are of one replica is found out slot by slot.
                chunks.iter().for_each(|chunk| self.read_replica(std::slice::from_ref(chunk), read));
                if chunks.is_empty() {
                    self.read_replica(&[], read);
                }
            } else if split {
                for chunks in split_overlaps(chunks) {
                    self.read_replica(&chunks, read);
                }
            } else {
                self.read_replica(chunks, read);
            }
        }
        (adjusts(function) && read == Read::Counter, adjusts(function) && read != Read::Counter, outcome)
    }

    fn read_replica(&mut self, chunks: &[SeriesChunk<'_>], read: Read) {
        if self.used == self.replicas.len() {
            self.replicas.push(Replica::default());
        }
        self.replicas[self.used].read(chunks, read, &mut self.scratch);
        self.used += 1;
    }

    /// The error of the first replica that has one.
    fn finish(&mut self, outcome: Outcome) -> Result<Outcome> {
        match self.replicas[..self.used].iter_mut().find_map(|r| r.error.take()) {
            Some(error) => Err(error),
            None => Ok(outcome),
        }
    }

    /// The wanted interval.
    pub fn interval(&self) -> Interval {
        self.request.interval
    }
}
