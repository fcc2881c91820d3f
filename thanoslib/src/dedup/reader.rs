//! Reading merged replicas sample by sample.

use super::{
    Algorithm, Replica,
    chain::{Chain, Walk},
    interval::Picks,
    penalty::Penalty,
    place::{Place, REPLICAS_MAX},
    replica::Cursor,
};
use crate::{
    error::{Error, ErrorKind, Result},
    model::{CounterReset, Interval},
    series::SampleColumns,
};

/// A merge of replicas that is read forward.
///
/// ```
/// use thanoslib::dedup::{Algorithm, Reader, Replica};
/// use thanoslib::model::{Interval, SampleColumns};
/// let replica = |ts: [i64; 2]| {
///     let mut samples = SampleColumns::default();
///     ts.map(|t| samples.floats.push(t, 1.0));
///     Replica::from(samples)
/// };
/// let replicas = [replica([10, 20]), replica([20, 30])];
/// let mut reader = Reader::new(Algorithm::Chain, false, Interval::ALL, &replicas)?;
/// let mut out = SampleColumns::default();
/// while reader.advance() {
///     reader.copy_to(&mut out);
/// }
/// assert_eq!(out.floats.ts, [10, 20, 30]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<'a> {
    replicas: &'a [Replica],
    merge: Merge<'a>,
}

#[derive(Debug)]
enum Merge<'a> {
    Empty,
    One(Cursor<'a>),
    Penalty(Penalty<'a>),
    Chain(Chain<Cursor<'a>>),
    Interval(Picks),
}

impl<'a> Reader<'a> {
    /// A reader before the first sample; one replica is read as it is.
    ///
    /// `adjust` raises the floats of a replica to the last value of the one before, as Thanos
    /// does under functions that look at resets.
    ///
    /// Compat: Thanos `pkg/query/iter.go`: one sample after `interval` may come out of a penalty
    /// merge, because only the first sample of a replica is compared with the end.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for more than 512 replicas, of which the
    /// interval merge takes so many at a time.
    pub fn new(
        algorithm: Algorithm,
        adjust: bool,
        interval: Interval,
        replicas: &'a [Replica],
    ) -> Result<Self> {
        // The interval merge takes each chunk for a replica.
        if replicas.len() > REPLICAS_MAX && algorithm != Algorithm::Interval {
            let message = format!("series has {} overlapping replicas, limit {REPLICAS_MAX}", replicas.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let merge = match (replicas, algorithm) {
            ([], _) => Merge::Empty,
            ([one], _) => Merge::One(Cursor::new(one, interval)),
            (_, Algorithm::Interval) => Merge::Interval(Picks::new(replicas, interval, adjust)?),
            (_, Algorithm::Penalty) => Merge::Penalty(Penalty::new(replicas, interval, adjust)),
            (_, Algorithm::Chain) => {
                Merge::Chain(Chain::new(replicas.iter().map(|r| Cursor::new(r, interval)).collect()))
            }
        };
        Ok(Self { replicas, merge })
    }

    /// Moves to the next sample; false at the end.
    pub fn advance(&mut self) -> bool {
        match &mut self.merge {
            Merge::Empty => false,
            Merge::One(cursor) => cursor.next(),
            Merge::Penalty(merge) => merge.next(),
            Merge::Chain(merge) => merge.next(),
            Merge::Interval(picks) => picks.advance(),
        }
    }

    /// Moves to the first sample at or after `t_ms`, not at all from one that is; false at the end.
    pub fn seek(&mut self, t_ms: i64) -> bool {
        match &mut self.merge {
            Merge::Empty => false,
            Merge::One(cursor) => cursor.seek(t_ms),
            Merge::Penalty(merge) => merge.seek(t_ms),
            Merge::Chain(merge) => merge.seek(t_ms),
            Merge::Interval(picks) => picks.seek(t_ms),
        }
    }

    pub(super) fn place(&self) -> Option<Place> {
        let (replica, cursor, raised, unknown) = match &self.merge {
            Merge::Empty => return None,
            Merge::Interval(picks) => return picks.place(),
            Merge::One(cursor) => (0, cursor, None, false),
            Merge::Penalty(merge) => {
                (merge.leaf(), merge.cursor(merge.leaf()), merge.raised(merge.leaf()), false)
            }
            Merge::Chain(merge) => (merge.leaf(), merge.cursor(merge.leaf()), None, !merge.consecutive()),
        };
        let (histogram, index) = cursor.place()?;
        Some(Place { replica, histogram, index, raised, unknown })
    }

    /// Appends the current sample to `out`.
    pub fn copy_to(&self, out: &mut SampleColumns) {
        if let Some(place) = self.place() {
            self.copy_raised(place, place.raised, out);
        }
    }

    /// Appends the sample at `place`, a float with `raised` added.
    pub(super) fn copy_raised(&self, place: Place, raised: Option<f64>, out: &mut SampleColumns) {
        let samples = &self.replicas[place.replica].samples;
        let i = place.index;
        if !place.histogram {
            let floats = &samples.floats;
            let v = raised.map_or(floats.vs[i], |by| floats.vs[i] + by);
            out.floats.push_st(floats.start(i), floats.ts[i], v);
            return;
        }
        out.histograms.push_from(&samples.histograms, i);
        if let Some(hint) = out.histograms.hints.last_mut()
            && place.unknown
            && *hint != CounterReset::Gauge
        {
            *hint = CounterReset::Unknown;
        }
    }
}
