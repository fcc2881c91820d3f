//! Writing histogram chunks of both kinds, with and without start timestamps.
//!
//! Source: Prometheus `tsdb/chunkenc/histogram.go` and `float_histogram.go`.

use std::sync::Arc;

use super::{
    Encoding,
    fit::{Fit, Given, NewChunk, same_bounds, spans_fit, wrong_shape},
    kind::HistogramKind,
    layout::{reset_bits, write_layout},
    st::StartWriter,
    varbit::{XorWriter, write_int},
    widen::Widening,
};
use crate::{
    encoding::BitWriter,
    error::{Error, Result},
    model::{CounterReset, HistogramColumn, HistogramLayout, is_stale},
};

/// Most samples of a chunk without start timestamps.
const SAMPLES_MAX: u16 = u16::MAX;
/// Most samples of a chunk with start timestamps, whose count shares its bytes.
const SAMPLES_MAX_WITH_START: u16 = 0x3fff;

/// Writes a histogram chunk sample by sample, from columns.
///
/// A sample whose buckets differ from the chunk's is widened, or the chunk is written anew with
/// more buckets; neither is seen from outside but for the layout that samples have on reading.
/// When to begin a new chunk by time or size is for the caller to decide.
///
/// ```
/// use thanoslib::{chunk::{Fit, FloatHistogramAppender}, model::{FloatHistogram, FloatHistogramColumn}};
///
/// let mut column = FloatHistogramColumn::default();
/// column.push(1000, &FloatHistogram { count: 3.0, sum: 1.5, ..FloatHistogram::default() });
/// column.push(2000, &FloatHistogram { count: 2.0, sum: 0.5, ..FloatHistogram::default() });
/// let mut appender = FloatHistogramAppender::new(false);
/// assert_eq!(appender.append(&column, 0)?, Fit::Appended);
/// let Fit::NewChunk(why) = appender.append(&column, 1)? else { panic!("the count fell") };
/// let first = appender.finish();
/// appender.begin(appender.header_of(why), &column, 1)?;
/// let second = appender.finish();
/// # assert!(!first.is_empty() && !second.is_empty());
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HistogramAppender<K: HistogramKind> {
    w: BitWriter,
    count: u16,
    header: CounterReset,
    start: Option<StartWriter>,
    /// Layout of the chunk.
    layout: Arc<HistogramLayout>,
    /// Layout of the last sample that was no stale marker.
    given: Arc<HistogramLayout>,
    /// How `given` falls into `layout`, when it has fewer buckets.
    narrow: Option<Widening>,
    t_ms: i64,
    delta: i64,
    counts: Option<(K::State, K::State)>,
    sum: XorWriter,
    buckets: Vec<K::State>,
    scratch: Vec<K>,
}

/// Writes chunks of integer histograms.
pub type IntHistogramAppender = HistogramAppender<i64>;
/// Writes chunks of float histograms.
pub type FloatHistogramAppender = HistogramAppender<f64>;

/// How a sample goes into a chunk that takes it.
enum Way {
    /// As it is, or widened as the one before.
    Plain,
    /// Widened, and the chunk too where it lacks buckets.
    Widened(Widening),
}

impl<K: HistogramKind> HistogramAppender<K> {
    /// An appender to a new chunk, of the encoding with start timestamps or the one without.
    pub fn new(with_start: bool) -> Self {
        let empty = Arc::new(HistogramLayout::default());
        Self {
            w: BitWriter::after(vec![0; 3]),
            count: 0,
            header: CounterReset::Unknown,
            start: with_start.then(StartWriter::default),
            layout: Arc::clone(&empty),
            given: empty,
            narrow: None,
            t_ms: 0,
            delta: 0,
            counts: None,
            sum: XorWriter::after(0.0),
            buckets: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The encoding of the chunk.
    pub fn encoding(&self) -> Encoding {
        if self.start.is_some() { K::WITH_START } else { K::PLAIN }
    }

    /// Number of samples so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// True before the first sample.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The chunk so far.
    pub fn bytes(&self) -> &[u8] {
        self.w.bytes()
    }

    /// Ends the chunk and makes the appender ready for another; its memory is kept.
    pub fn finish(&mut self) -> Vec<u8> {
        let data = self.bytes().to_vec();
        self.restart();
        data
    }

    /// What the header of a new chunk says that begins for this reason.
    ///
    /// Compat: `tsdb/chunkenc/histogram.go` and `float_histogram.go`.
    pub fn header_of(&self, why: NewChunk) -> CounterReset {
        match why {
            NewChunk::Gauge => CounterReset::Gauge,
            NewChunk::Counter if K::TELLS_KIND_CHANGE => CounterReset::NotReset,
            NewChunk::Hinted | NewChunk::Fell | NewChunk::Bounds => CounterReset::Reset,
            NewChunk::Counter | NewChunk::Stale | NewChunk::Layout | NewChunk::Full => CounterReset::Unknown,
        }
    }

    /// What the header of a new chunk says that begins with sample `i` because this one is full
    /// or its time is over, although the sample might have fitted.
    ///
    /// Compat: `tsdb/chunkenc/float_histogram.go`: a float histogram of another layout passes for
    /// one without reset.
    pub fn header_after(&self, column: &HistogramColumn<K::Count, K>, i: usize) -> CounterReset {
        let given = Given::new(column, i);
        if given.is_gauge() {
            return CounterReset::Gauge;
        }
        if given.hint == CounterReset::Reset {
            return CounterReset::Reset;
        }
        if self.count == 0 {
            return CounterReset::Unknown;
        }
        match self.way(&given) {
            Ok(_) => CounterReset::NotReset,
            Err(why) => match self.header_of(why) {
                CounterReset::Unknown if !K::TELLS_KIND_CHANGE => CounterReset::NotReset,
                header => header,
            },
        }
    }

    /// Why sample `i` of a column would have to begin a new chunk; `None` when it fits.
    pub fn refusal(&self, column: &HistogramColumn<K::Count, K>, i: usize) -> Option<NewChunk> {
        if self.count == 0 {
            return None;
        }
        self.way(&Given::new(column, i)).err()
    }

    /// Appends sample `i` of a column; the caller gives ascending times.
    ///
    /// The header of a chunk that the sample begins follows from its hint alone.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) when the sample has other than as many buckets as
    /// its spans say; the chunk is as before.
    pub fn append(&mut self, column: &HistogramColumn<K::Count, K>, i: usize) -> Result<Fit> {
        let given = Given::new(column, i);
        self.check_given(&given)?;
        if self.count == 0 {
            let header = match given.hint {
                hint @ (CounterReset::Gauge | CounterReset::Reset) => hint,
                _ => CounterReset::Unknown,
            };
            self.first(header, &given);
            return Ok(Fit::Appended);
        }
        let way = match self.way(&given) {
            Ok(way) => way,
            Err(why) => return Ok(Fit::NewChunk(why)),
        };
        if is_stale(given.sum) {
            self.write(&given, &[]);
            return Ok(Fit::Appended);
        }
        let mut fit = Fit::Appended;
        if let Way::Widened(widening) = way {
            let narrow = widening.backward();
            let widening = if widening.forward() {
                self.recode(&widening, &given)?;
                fit = Fit::Recoded;
                widening.with_wide_chunk()
            } else {
                widening
            };
            self.given = Arc::clone(given.layout);
            self.narrow = narrow.then_some(widening);
        }
        match &self.narrow {
            None => self.write(&given, given.buckets),
            Some(widening) => {
                let mut wide = std::mem::take(&mut self.scratch);
                widening.widen_sample(given.buckets, &mut wide);
                self.write(&given, &wide);
                self.scratch = wide;
            }
        }
        Ok(fit)
    }

    /// Begins the chunk with sample `i` of a column and this header; drops what was in it.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn begin(
        &mut self,
        header: CounterReset,
        column: &HistogramColumn<K::Count, K>,
        i: usize,
    ) -> Result<()> {
        self.restart();
        let given = Given::new(column, i);
        self.check_given(&given)?;
        self.first(header, &given);
        Ok(())
    }

    /// Appends sample `i` of the column that a chunk with this header decoded to. Samples of one
    /// chunk fit behind each other, so that nothing is compared.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when the sample has other than the chunk's buckets.
    pub(super) fn append_again(
        &mut self,
        header: CounterReset,
        column: &HistogramColumn<K::Count, K>,
        i: usize,
    ) -> Result<()> {
        if self.count == 0 {
            return self.begin(header, column, i);
        }
        let given = Given::new(column, i);
        if is_stale(given.sum) {
            self.write(&given, &[]);
        } else if given.buckets.len() == self.layout.buckets() {
            self.write(&given, given.buckets);
        } else {
            return Err(Error::corrupt(format!(
                "histogram at {} has not the buckets of its chunk",
                given.t_ms
            )));
        }
        Ok(())
    }

    /// Checks that sample `i` of a column can be appended at all.
    pub(super) fn check(&self, column: &HistogramColumn<K::Count, K>, i: usize) -> Result<()> {
        self.check_given(&Given::new(column, i))
    }

    /// Checks that a sample has the buckets of its layout, and a new layout those of its spans.
    #[inline]
    fn check_given(&self, given: &Given<'_, K>) -> Result<()> {
        let layout = given.layout;
        let fits = layout.buckets() == given.buckets.len()
            && (Arc::ptr_eq(layout, &self.given) || spans_fit(layout));
        if fits || is_stale(given.sum) { Ok(()) } else { Err(wrong_shape(given)) }
    }

    fn restart(&mut self) {
        self.w.restart(3);
        self.count = 0;
        self.start = self.start.map(|_| StartWriter::default());
        (self.t_ms, self.delta) = (0, 0);
        self.counts = None;
        self.narrow = None;
        self.buckets.clear();
    }

    fn first(&mut self, header: CounterReset, given: &Given<'_, K>) {
        self.header = header;
        if is_stale(given.sum) {
            self.layout = Arc::new(HistogramLayout::default());
        } else {
            self.layout = Arc::clone(given.layout);
        }
        self.given = Arc::clone(&self.layout);
        self.write(given, given.buckets);
    }

    /// Says how a sample fits behind the last one; the order of the tests is upstream's.
    fn way(&self, given: &Given<'_, K>) -> Result<Way, NewChunk> {
        let gauge = given.is_gauge();
        match (self.header == CounterReset::Gauge, gauge) {
            (false, true) => return Err(NewChunk::Gauge),
            (true, false) => return Err(NewChunk::Counter),
            _ => {}
        }
        if given.hint == CounterReset::Reset {
            return Err(NewChunk::Hinted);
        }
        let most = if self.start.is_some() { SAMPLES_MAX_WITH_START } else { SAMPLES_MAX };
        if self.count == most {
            return Err(NewChunk::Full);
        }
        if is_stale(given.sum) {
            return Ok(Way::Plain);
        }
        let or_gauge = |why| if gauge { NewChunk::Gauge } else { why };
        if is_stale(self.sum.value()) {
            return Err(or_gauge(NewChunk::Stale));
        }
        let (count, zero_count) = self.counts.ok_or(NewChunk::Layout)?;
        if !gauge && K::count_fell(&count, given.count) {
            return Err(NewChunk::Fell);
        }
        let known = Arc::ptr_eq(given.layout, &self.given) || **given.layout == *self.given;
        if !known {
            if given.layout.schema != self.layout.schema
                || given.layout.zero_threshold != self.layout.zero_threshold
            {
                return Err(or_gauge(NewChunk::Layout));
            }
            if !same_bounds(&given.layout.custom_values, &self.layout.custom_values) {
                return Err(or_gauge(NewChunk::Bounds));
            }
        }
        if !gauge && K::count_fell(&zero_count, given.zero_count) {
            return Err(NewChunk::Fell);
        }
        if known && self.narrow.is_none() {
            if !gauge && self.fell(given) {
                return Err(NewChunk::Fell);
            }
            return Ok(Way::Plain);
        }
        if known && let Some(widening) = &self.narrow {
            return match !gauge && widening.fell(&self.buckets, given.buckets) {
                true => Err(NewChunk::Fell),
                false => Ok(Way::Plain),
            };
        }
        let widening = Widening::between(&self.layout, given.layout).ok_or(or_gauge(NewChunk::Layout))?;
        if !gauge && widening.fell(&self.buckets, given.buckets) {
            return Err(NewChunk::Fell);
        }
        Ok(Way::Widened(widening))
    }

    /// True when a bucket of a sample of the chunk's own layout is below the last one.
    fn fell(&self, given: &Given<'_, K>) -> bool {
        let (mut a, mut b) = (K::default(), K::default());
        let mut fell = false;
        for (i, (state, stored)) in self.buckets.iter().zip(given.buckets).enumerate() {
            if i == self.layout.positive_len {
                (a, b) = (K::default(), K::default());
            }
            (a, b) = (K::absolute(a, K::bucket(state)), K::absolute(b, *stored));
            fell |= a > b;
        }
        fell
    }

    /// Writes the chunk anew, with all buckets that it or the sample has.
    fn recode(&mut self, widening: &Widening, given: &Given<'_, K>) -> Result<()> {
        let layout = widening.layout(given.layout, given.is_gauge());
        let mut old = HistogramColumn::default();
        K::decode(self.bytes(), self.start.is_some(), &mut old)?;
        self.restart();
        self.layout = Arc::new(layout);
        let mut wide = std::mem::take(&mut self.scratch);
        for i in 0..old.len() {
            let sample = Given::new(&old, i);
            widening.widen_chunk(sample.buckets, &mut wide);
            self.write(&sample, &wide);
        }
        self.scratch = wide;
        Ok(())
    }

    /// Writes a sample whose buckets are those of the chunk's layout.
    fn write(&mut self, given: &Given<'_, K>, buckets: &[K]) {
        // In a local the writer's state stays in registers.
        let mut writer = std::mem::take(&mut self.w);
        let w = &mut writer;
        let before = self.t_ms;
        let stale = is_stale(given.sum);
        match &mut self.counts {
            None => {
                write_layout(w, &self.layout);
                write_int(w, given.t_ms);
                let zero = K::Count::default();
                let (count, zero_count) = if stale { (zero, zero) } else { (given.count, given.zero_count) };
                self.counts = Some((K::first_count(w, count), K::first_count(w, zero_count)));
                w.bits(given.sum.to_bits(), 64);
                self.sum = XorWriter::after(given.sum);
                if !stale {
                    self.buckets.extend(buckets.iter().map(|b| K::first_bucket(w, *b)));
                }
            }
            Some((count, zero_count)) => {
                let delta = given.t_ms.wrapping_sub(before);
                write_int(w, delta.wrapping_sub(self.delta));
                self.delta = delta;
                if stale {
                    K::stale_count(w, count, given.count);
                    K::stale_count(w, zero_count, given.zero_count);
                    self.sum.write(w, given.sum);
                } else {
                    K::next_count(w, count, given.count);
                    K::next_count(w, zero_count, given.zero_count);
                    self.sum.write(w, given.sum);
                    K::next_buckets(w, &mut self.buckets, buckets);
                }
            }
        }
        if let Some(start) = &mut self.start {
            start.write(w, usize::from(self.count), (given.st_ms, given.t_ms, before));
        }
        self.w = writer;
        self.t_ms = given.t_ms;
        self.count += 1;
        self.write_header();
    }

    fn write_header(&mut self) {
        let [high, low] = self.count.to_be_bytes();
        let reset = reset_bits(self.header);
        let head = match &self.start {
            None => [high, low, reset],
            Some(start) => [high | reset, low, start.header()],
        };
        self.w.bytes_mut()[..3].copy_from_slice(&head);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chunk::Chunk,
        model::{FloatHistogram, FloatHistogramColumn, Span, stale_nan},
    };

    /// A histogram with these buckets by index, and the count of all of them.
    fn histogram(hint: CounterReset, buckets: &[(i32, f64)]) -> FloatHistogram {
        let mut h = FloatHistogram { hint, sum: 1.0, ..FloatHistogram::default() };
        let mut next = 0;
        for (index, v) in buckets {
            h.positive_spans.push(Span { offset: index - next, length: 1 });
            h.positive_buckets.push(*v);
            h.count += v;
            next = index + 1;
        }
        h
    }

    /// Appends the second histogram behind the first; both are read back if it fits.
    fn check(first: &FloatHistogram, second: &FloatHistogram, expected: Fit) {
        let mut column = FloatHistogramColumn::default();
        column.push(10, first);
        column.push(20, second);
        let mut appender = FloatHistogramAppender::new(false);
        assert_eq!(appender.append(&column, 0).expect("sound"), Fit::Appended);
        let before = appender.bytes().to_vec();
        assert_eq!(appender.append(&column, 1).expect("sound"), expected, "{first:?} {second:?}");
        if let Fit::NewChunk(_) = expected {
            assert_eq!(appender.bytes(), before);
            return;
        }
        let mut out = FloatHistogramColumn::default();
        let chunk = Chunk { encoding: Encoding::FloatHistogram, data: appender.bytes() };
        assert_eq!(chunk.decode_float_histograms(&mut out), Ok(()));
        let populated = |h: &FloatHistogram| -> Vec<_> {
            let buckets = h.all_buckets().filter(|b| b.count != 0.0);
            buckets.map(|b| [b.lower, b.upper, b.count].map(f64::to_bits)).collect()
        };
        for (i, given) in [first, second].into_iter().enumerate() {
            let h = out.get(i);
            assert_eq!((h.count, h.sum.to_bits()), (given.count, given.sum.to_bits()));
            assert_eq!(populated(&h), populated(given));
        }
    }

    #[test]
    fn a_histogram_fits_is_widened_or_begins_a_chunk() {
        use CounterReset::{Gauge, Reset, Unknown};
        let counter = |buckets: &[(i32, f64)]| histogram(Unknown, buckets);
        let gauge = |buckets: &[(i32, f64)]| histogram(Gauge, buckets);
        let h = counter(&[(0, 1.0), (3, 2.0)]);
        check(&h, &h, Fit::Appended);
        check(&h, &counter(&[(0, 1.0), (3, 2.0), (4, 1.0)]), Fit::Recoded);
        check(&counter(&[(0, 1.0), (2, 0.0)]), &counter(&[(0, 2.0)]), Fit::Appended);
        check(&counter(&[(0, 1.0), (2, 0.0)]), &counter(&[(-2, 2.0), (0, 2.0)]), Fit::Recoded);
        check(&h, &counter(&[(0, 0.5), (3, 4.0)]), Fit::NewChunk(NewChunk::Fell));
        check(&h, &counter(&[(0, 5.0)]), Fit::NewChunk(NewChunk::Fell));
        check(&h, &counter(&[]), Fit::NewChunk(NewChunk::Fell));
        check(&h, &histogram(Reset, &[(0, 9.0)]), Fit::NewChunk(NewChunk::Hinted));
        check(&h, &gauge(&[(0, 9.0)]), Fit::NewChunk(NewChunk::Gauge));
        check(&gauge(&[(0, 9.0)]), &h, Fit::NewChunk(NewChunk::Counter));
        check(&gauge(&[(0, 9.0)]), &gauge(&[(2, 1.0)]), Fit::Recoded);
        check(&h, &FloatHistogram { schema: 1, ..h.clone() }, Fit::NewChunk(NewChunk::Layout));
        check(&h, &FloatHistogram { zero_threshold: 1.0, ..h.clone() }, Fit::NewChunk(NewChunk::Layout));
        let stale = FloatHistogram { sum: stale_nan(), ..FloatHistogram::default() };
        check(&h, &stale, Fit::Appended);
        check(&stale, &stale, Fit::Appended);
        check(&stale, &h, Fit::NewChunk(NewChunk::Stale));
        let custom = |bound: f64| FloatHistogram { schema: -53, custom_values: vec![bound], ..h.clone() };
        check(&custom(0.1 + 0.2), &custom(0.1 + 0.2), Fit::Appended);
        check(&custom(0.1 + 0.2), &custom(0.3), Fit::NewChunk(NewChunk::Bounds));
    }

    #[test]
    fn a_histogram_of_another_shape_than_its_spans_is_refused() {
        let mut h = histogram(CounterReset::Unknown, &[(0, 1.0)]);
        h.positive_spans[0].length = 2;
        let mut column = FloatHistogramColumn::default();
        column.push(10, &h);
        let mut appender = FloatHistogramAppender::new(true);
        let e = appender.append(&column, 0).expect_err("an error");
        assert_eq!((e.kind(), appender.len()), (crate::ErrorKind::Invalid, 0));
    }
}
