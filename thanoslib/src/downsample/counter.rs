//! Counters whose resets are added up, as Thanos reads counter aggregates.

use crate::series::{FloatColumn, FloatHistogramColumn};

/// Turns the chunks of a counter into one series that never falls.
///
/// A sample at the time of the one before is no sample of its own: it gives the true last
/// value, to be compared with the first of the next chunk. NaN (stale markers too) is dropped,
/// samples that go back in time are ignored, histograms pass.
///
/// Source: Thanos `pkg/compact/downsample/downsample.go`.
///
/// ```
/// use thanoslib::{downsample::CounterResets, model::FloatColumn};
/// let (mut chunk, mut out) = (FloatColumn::default(), FloatColumn::default());
/// [(1, 5.0), (2, 8.0), (3, 1.0)].map(|(t, v)| chunk.push(t, v));
/// CounterResets::default().floats(&chunk, &mut out);
/// assert_eq!(out.vs, [5.0, 8.0, 9.0]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CounterResets {
    last_t: Option<i64>,
    /// Last raw value, once there was a float.
    last_v: Option<f64>,
    /// The sum so far.
    total: f64,
    /// Samples before this time were given by an earlier chunk.
    resume_at: Option<i64>,
}

impl CounterResets {
    /// Begins the next chunk, which may overlap the one before.
    pub fn next_chunk(&mut self) {
        let after = self.last_t.map(|t| t.saturating_add(1));
        self.resume_at = self.resume_at.max(after);
    }

    /// The last raw value, also where it stands beside the last sample of a chunk.
    pub fn last_raw(&self) -> Option<f64> {
        self.last_v
    }

    /// Appends what the floats of `chunk` give.
    pub fn floats(&mut self, chunk: &FloatColumn, out: &mut FloatColumn) {
        let Self { mut last_t, mut last_v, mut total, mut resume_at } = *self;
        for (&t, &v) in chunk.ts.iter().zip(&chunk.vs) {
            if v.is_nan() {
                continue;
            }
            match (last_v, last_t) {
                (Some(last), Some(before)) if t > before => {
                    total += if v >= last { v - last } else { v };
                }
                (Some(_), Some(before)) => {
                    if t == before {
                        last_v = Some(v);
                    }
                    continue;
                }
                _ => total = v,
            }
            (last_t, last_v) = (Some(t), Some(v));
            if resume_at.is_none_or(|at| t >= at) {
                resume_at = None;
                out.push(t, total);
            }
        }
        *self = Self { last_t, last_v, total, resume_at };
    }

    /// Appends the histograms of `chunk` that an earlier chunk did not give.
    pub fn histograms(&mut self, chunk: &FloatHistogramColumn, out: &mut FloatHistogramColumn) {
        for (i, &t) in chunk.ts.iter().enumerate() {
            self.last_t = Some(t);
            if self.resume_at.is_none_or(|at| t >= at) {
                self.resume_at = None;
                out.push_from(chunk, i);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[&[(i64, f64)]], expected: &[(i64, f64)]) {
        let mut resets = CounterResets::default();
        let mut out = FloatColumn::default();
        for chunk in chunks {
            let mut column = FloatColumn::default();
            chunk.iter().for_each(|&(t, v)| column.push(t, v));
            resets.next_chunk();
            resets.floats(&column, &mut out);
        }
        let got: Vec<_> = out.ts.into_iter().zip(out.vs).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn resets_add_up_inside_and_between_chunks() {
        check(&[&[(1, 5.0), (2, 8.0), (3, 1.0)]], &[(1, 5.0), (2, 8.0), (3, 9.0)]);
        // The true last value 3 of the first chunk makes the 4 of the next no reset.
        check(&[&[(1, 5.0), (2, 8.0), (2, 3.0)], &[(3, 4.0)]], &[(1, 5.0), (2, 8.0), (3, 9.0)]);
        check(&[&[(1, 5.0), (2, f64::NAN)], &[(1, 9.0), (3, 6.0)]], &[(1, 5.0), (3, 11.0)]);
        check(&[&[], &[]], &[]);
    }
}
