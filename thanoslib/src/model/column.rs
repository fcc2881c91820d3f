//! Columns of samples that decoders fill and operators read.

use std::{ops::Range, sync::Arc};

use super::{
    CounterReset, FloatHistogram, Histogram, Interval, Span, histogram::CUSTOM_BUCKETS_SCHEMA, is_stale,
};

/// Float samples in time order.
///
/// ```
/// use thanoslib::model::FloatColumn;
/// let mut column = FloatColumn::default();
/// column.push(1_000, 0.5);
/// column.push(16_000, 0.75);
/// assert_eq!((column.len(), &column.ts[..]), (2, &[1_000, 16_000][..]));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatColumn {
    /// Times in milliseconds.
    pub ts: Vec<i64>,
    /// Values, same length as `ts`.
    pub vs: Vec<f64>,
    /// Start timestamps in milliseconds, 0 where unknown; empty when none is known.
    pub st: Vec<i64>,
}

impl FloatColumn {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.ts.len()
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.ts.is_empty()
    }

    /// Removes all samples, keeps the memory.
    pub fn clear(&mut self) {
        self.ts.clear();
        self.vs.clear();
        self.st.clear();
    }

    /// Appends one sample without start timestamp.
    #[inline]
    pub fn push(&mut self, t_ms: i64, v: f64) {
        self.ts.push(t_ms);
        self.vs.push(v);
        if !self.st.is_empty() {
            self.st.push(0);
        }
    }

    /// Appends one sample with its start timestamp (0 = unknown).
    pub fn push_st(&mut self, st_ms: i64, t_ms: i64, v: f64) {
        if st_ms != 0 && self.st.is_empty() {
            self.st.resize(self.ts.len(), 0);
            self.st.push(st_ms);
            self.ts.push(t_ms);
            self.vs.push(v);
            return;
        }
        self.push(t_ms, v);
        if let Some(last) = self.st.last_mut() {
            *last = st_ms;
        }
    }

    /// Start timestamp of sample `i`, 0 when unknown.
    pub fn start(&self, i: usize) -> i64 {
        self.st.get(i).copied().unwrap_or(0)
    }
}

/// What consecutive histograms of one series share.
///
/// ```
/// use thanoslib::model::{FloatHistogram, FloatHistogramColumn};
/// let mut column = FloatHistogramColumn::default();
/// column.push(1_000, &FloatHistogram { schema: 3, ..FloatHistogram::default() });
/// column.push(2_000, &FloatHistogram { schema: 3, ..FloatHistogram::default() });
/// assert_eq!((column.layouts.len(), column.layout(1).schema), (1, 3));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramLayout {
    /// Resolution: -4 to 8 exponential, -53 custom bounds.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Runs of positive buckets.
    pub positive_spans: Vec<Span>,
    /// Runs of negative buckets.
    pub negative_spans: Vec<Span>,
    /// Upper bounds of custom buckets, without +Inf.
    pub custom_values: Vec<f64>,
    /// Number of positive buckets: the sum of the span lengths.
    pub positive_len: usize,
    /// Number of negative buckets.
    pub negative_len: usize,
}

impl HistogramLayout {
    /// Number of buckets that one sample holds.
    pub fn buckets(&self) -> usize {
        self.positive_len + self.negative_len
    }

    /// True for custom bucket bounds.
    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }
}

/// Histogram samples in time order, buckets in one flat list.
///
/// `C` is the type of counts and `B` of buckets: `u64` and `i64` deltas for integer
/// histograms, `f64` and absolute `f64` for float histograms. A stale sample has a stale
/// `sum` and the empty layout.
///
/// ```
/// use thanoslib::model::{Histogram, IntHistogramColumn, Span};
/// let histogram = Histogram {
///     count: 3,
///     sum: 4.5,
///     positive_spans: vec![Span { offset: 0, length: 2 }],
///     positive_deltas: vec![2, -1],
///     ..Histogram::default()
/// };
/// let mut column = IntHistogramColumn::default();
/// column.push(1_000, &histogram);
/// assert_eq!(column.get(0), histogram);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramColumn<C, B> {
    /// Times in milliseconds.
    pub ts: Vec<i64>,
    /// Start timestamps in milliseconds, 0 where unknown; empty when none is known.
    pub st: Vec<i64>,
    /// Knowledge about counter resets.
    pub hints: Vec<CounterReset>,
    /// All observations.
    pub counts: Vec<C>,
    /// Observations in the zero bucket.
    pub zero_counts: Vec<C>,
    /// Sums of observations.
    pub sums: Vec<f64>,
    /// For each sample its index in `layouts`.
    pub layout_ids: Vec<u32>,
    /// For each sample the end of its buckets; they begin where those of the sample before end.
    pub bucket_ends: Vec<u32>,
    /// Positive, then negative buckets of each sample.
    pub buckets: Vec<B>,
    /// The distinct layouts in order of appearance.
    pub layouts: Vec<Arc<HistogramLayout>>,
}

/// Integer histograms as chunks store them.
pub type IntHistogramColumn = HistogramColumn<u64, i64>;
/// Float histograms, what everything that computes works on.
pub type FloatHistogramColumn = HistogramColumn<f64, f64>;

impl<C, B> Default for HistogramColumn<C, B> {
    fn default() -> Self {
        Self {
            ts: Vec::new(),
            st: Vec::new(),
            hints: Vec::new(),
            counts: Vec::new(),
            zero_counts: Vec::new(),
            sums: Vec::new(),
            layout_ids: Vec::new(),
            bucket_ends: Vec::new(),
            buckets: Vec::new(),
            layouts: Vec::new(),
        }
    }
}

impl<C: Copy, B: Copy> HistogramColumn<C, B> {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.ts.len()
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.ts.is_empty()
    }

    /// Removes all samples and layouts, keeps the memory.
    pub fn clear(&mut self) {
        self.ts.clear();
        self.st.clear();
        self.hints.clear();
        self.counts.clear();
        self.zero_counts.clear();
        self.sums.clear();
        self.layout_ids.clear();
        self.bucket_ends.clear();
        self.buckets.clear();
        self.layouts.clear();
    }

    /// Index of `layout` in `layouts`, appended if the last one differs.
    pub fn layout_id(&mut self, layout: &HistogramLayout) -> u32 {
        if self.layouts.last().is_none_or(|l| **l != *layout) {
            self.layouts.push(Arc::new(layout.clone()));
        }
        (self.layouts.len() - 1) as u32
    }

    /// Appends sample `i` of `other`; layouts are shared, not copied.
    pub fn push_from(&mut self, other: &Self, i: usize) {
        let layout = &other.layouts[other.layout_ids[i] as usize];
        if self.layouts.last().is_none_or(|l| !Arc::ptr_eq(l, layout) && **l != **layout) {
            self.layouts.push(Arc::clone(layout));
        }
        let start = if i == 0 { 0 } else { other.bucket_ends[i - 1] as usize };
        self.ts.push(other.ts[i]);
        self.hints.push(other.hints[i]);
        self.counts.push(other.counts[i]);
        self.zero_counts.push(other.zero_counts[i]);
        self.sums.push(other.sums[i]);
        self.layout_ids.push((self.layouts.len() - 1) as u32);
        self.buckets.extend_from_slice(&other.buckets[start..other.bucket_ends[i] as usize]);
        self.bucket_ends.push(self.buckets.len() as u32);
        self.set_last_start(other.start(i));
    }

    /// Appends some samples of `other`; layouts are shared, not copied.
    pub(crate) fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        let begin = self.ts.len();
        self.ts.extend_from_slice(&other.ts[range.clone()]);
        self.hints.extend_from_slice(&other.hints[range.clone()]);
        self.counts.extend_from_slice(&other.counts[range.clone()]);
        self.zero_counts.extend_from_slice(&other.zero_counts[range.clone()]);
        self.sums.extend_from_slice(&other.sums[range.clone()]);
        for ids in other.layout_ids[range.clone()].chunk_by(|a, b| a == b) {
            let layout = &other.layouts[ids[0] as usize];
            if self.layouts.last().is_none_or(|l| !Arc::ptr_eq(l, layout) && **l != **layout) {
                self.layouts.push(Arc::clone(layout));
            }
            let id = (self.layouts.len() - 1) as u32;
            self.layout_ids.resize(self.layout_ids.len() + ids.len(), id);
        }
        let end = |i: usize| if i == 0 { 0 } else { other.bucket_ends[i - 1] };
        let (from, to) = (end(range.start), end(range.end));
        let at = self.buckets.len() as u32;
        self.buckets.extend_from_slice(&other.buckets[from as usize..to as usize]);
        self.bucket_ends.extend(other.bucket_ends[range.clone()].iter().map(|end| at + (end - from)));
        if !self.st.is_empty() || !other.st.is_empty() {
            self.st.resize(begin, 0);
            self.st.extend(range.map(|i| other.start(i)));
        }
    }

    /// Layout of sample `i`.
    pub fn layout(&self, i: usize) -> &HistogramLayout {
        &self.layouts[self.layout_ids[i] as usize]
    }

    /// Positive and negative buckets of sample `i`.
    pub fn buckets(&self, i: usize) -> (&[B], &[B]) {
        let start = if i == 0 { 0 } else { self.bucket_ends[i - 1] as usize };
        self.buckets[start..self.bucket_ends[i] as usize].split_at(self.layout(i).positive_len)
    }

    /// Start timestamp of sample `i`, 0 when unknown.
    pub fn start(&self, i: usize) -> i64 {
        self.st.get(i).copied().unwrap_or(0)
    }

    /// True when sample `i` is a stale marker.
    pub fn is_stale(&self, i: usize) -> bool {
        is_stale(self.sums[i])
    }

    /// Notes the start timestamp (0 = unknown) of the sample that was pushed last.
    pub fn set_last_start(&mut self, st_ms: i64) {
        if st_ms != 0 && self.st.is_empty() {
            self.st.resize(self.ts.len(), 0);
        }
        if !self.st.is_empty() {
            self.st.resize(self.ts.len(), 0);
            if let Some(last) = self.st.last_mut() {
                *last = st_ms;
            }
        }
    }
}

/// A histogram of either kind, field by field.
struct Fields<'a, C, B> {
    hint: CounterReset,
    schema: i32,
    zero_threshold: f64,
    zero_count: C,
    count: C,
    sum: f64,
    positive: (&'a [Span], &'a [B]),
    negative: (&'a [Span], &'a [B]),
    custom_values: &'a [f64],
}

impl<C: Copy, B: Copy> HistogramColumn<C, B> {
    fn push_fields(&mut self, t_ms: i64, h: Fields<'_, C, B>) {
        let id = self.layout_id(&HistogramLayout {
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            positive_spans: h.positive.0.to_vec(),
            negative_spans: h.negative.0.to_vec(),
            custom_values: h.custom_values.to_vec(),
            positive_len: h.positive.1.len(),
            negative_len: h.negative.1.len(),
        });
        self.ts.push(t_ms);
        self.hints.push(h.hint);
        self.counts.push(h.count);
        self.zero_counts.push(h.zero_count);
        self.sums.push(h.sum);
        self.layout_ids.push(id);
        self.buckets.extend_from_slice(h.positive.1);
        self.buckets.extend_from_slice(h.negative.1);
        self.bucket_ends.push(self.buckets.len() as u32);
        if !self.st.is_empty() {
            self.st.push(0);
        }
    }
}

/// Whole histograms into and out of the column of their kind, whose buckets have names of their own.
macro_rules! whole_histograms {
    ($column:ty, $histogram:ident { $positive:ident, $negative:ident }) => {
        impl $column {
            /// Appends one histogram; the number of buckets must be that of the spans.
            pub fn push(&mut self, t_ms: i64, h: &$histogram) {
                let fields = Fields {
                    hint: h.hint,
                    schema: h.schema,
                    zero_threshold: h.zero_threshold,
                    zero_count: h.zero_count,
                    count: h.count,
                    sum: h.sum,
                    positive: (&h.positive_spans, &h.$positive),
                    negative: (&h.negative_spans, &h.$negative),
                    custom_values: &h.custom_values,
                };
                self.push_fields(t_ms, fields);
            }

            /// Sample `i` as a histogram of its own.
            pub fn get(&self, i: usize) -> $histogram {
                let layout = self.layout(i);
                let (positive, negative) = self.buckets(i);
                $histogram {
                    hint: self.hints[i],
                    schema: layout.schema,
                    zero_threshold: layout.zero_threshold,
                    zero_count: self.zero_counts[i],
                    count: self.counts[i],
                    sum: self.sums[i],
                    positive_spans: layout.positive_spans.clone(),
                    negative_spans: layout.negative_spans.clone(),
                    $positive: positive.to_vec(),
                    $negative: negative.to_vec(),
                    custom_values: layout.custom_values.clone(),
                }
            }
        }
    };
}

whole_histograms!(FloatHistogramColumn, FloatHistogram { positive_buckets, negative_buckets });
whole_histograms!(IntHistogramColumn, Histogram { positive_deltas, negative_deltas });

#[cfg(feature = "promql")]
impl FloatHistogramColumn {
    /// True with samples, all of one layout, whose buckets can be added and compared one by one.
    pub(crate) fn has_one_layout(&self) -> bool {
        let Some(first) = self.layout_ids.first() else { return false };
        if self.layout_ids.iter().any(|id| id != first) {
            return false;
        }
        let one = self.get(0);
        one.same_layout(&one)
    }

    /// What [`FloatHistogram::detect_reset`] says of sample `i` and the one before, of columns that
    /// [have one layout](Self::has_one_layout).
    pub(crate) fn detect_reset_alike(&self, i: usize) -> bool {
        match self.hints[i] {
            CounterReset::Reset => return true,
            CounterReset::NotReset => return false,
            CounterReset::Unknown | CounterReset::Gauge => {}
        }
        if self.counts[i] < self.counts[i - 1] || self.zero_counts[i] < self.zero_counts[i - 1] {
            return true;
        }
        let (now, before) = (self.buckets(i), self.buckets(i - 1));
        // A number that is none is not at least as large.
        let shrank = |now: &[f64], before: &[f64]| {
            now.iter().zip(before).any(|(now, before)| {
                *before != 0.0 && now.partial_cmp(before).is_none_or(std::cmp::Ordering::is_lt)
            })
        };
        shrank(now.0, before.0) || shrank(now.1, before.1)
    }
}

/// The samples of one series: floats and histograms, each in time order.
///
/// The two columns together are one time line; no time stands in both.
///
/// ```
/// use thanoslib::model::{Interval, SampleColumns};
/// let mut samples = SampleColumns::default();
/// (0..10).for_each(|i| samples.floats.push(i * 15_000, 1.0));
/// assert_eq!(samples.within(Interval::new(15_000, 60_000)).len(), 4);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleColumns {
    /// Float samples.
    pub floats: FloatColumn,
    /// Native histogram samples.
    pub histograms: FloatHistogramColumn,
}

impl SampleColumns {
    /// Number of samples of both kinds.
    pub fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples inside an interval.
    pub fn within(&self, interval: Interval) -> Self {
        let range = |ts: &[i64]| {
            ts.partition_point(|t| *t < interval.mint)..ts.partition_point(|t| *t <= interval.maxt)
        };
        let mut out = Self::default();
        for i in range(&self.floats.ts) {
            out.floats.push_st(self.floats.start(i), self.floats.ts[i], self.floats.vs[i]);
        }
        out.histograms.extend_from(&self.histograms, range(&self.histograms.ts));
        out
    }

    /// Removes all samples, keeps the memory.
    pub fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
    }
}
