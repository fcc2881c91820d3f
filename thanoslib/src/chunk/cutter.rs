//! Samples of any kind in, finished chunks out.

use std::ops::Range;

use super::{
    Chunk, CutPolicy, Encoding, Fit, FloatHistogramAppender, HistogramAppender, HistogramKind,
    IntHistogramAppender, Xor2Appender, XorAppender, cut::Limits,
};
use crate::{
    error::{Error, ErrorKind, Result},
    model::{FloatColumn, FloatHistogramColumn, HistogramColumn, IntHistogramColumn, Interval},
};

/// A finished chunk.
///
/// See [`ChunkCutter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChunk {
    /// First and last sample.
    pub interval: Interval,
    /// How the samples are encoded.
    pub encoding: Encoding,
    /// Number of samples.
    pub samples: usize,
    /// The samples.
    pub data: Vec<u8>,
}

impl EncodedChunk {
    /// The bytes and how to read them.
    pub fn chunk(&self) -> Chunk<'_> {
        Chunk { encoding: self.encoding, data: &self.data }
    }
}

/// Which encodings samples without start timestamp get.
///
/// A sample with one always goes into a chunk that can hold it, and so do those that follow it
/// in the same chunk.
///
/// ```
/// use thanoslib::chunk::{ChunkCutter, ChunkFormat, CutPolicy, Encoding};
/// let format = ChunkFormat { xor2: true, ..ChunkFormat::default() };
/// let mut cutter = ChunkCutter::new(CutPolicy::default(), format);
/// cutter.append_float(0, 1_000, 0.5)?;
/// assert_eq!(cutter.finish().map(|chunk| chunk.encoding), Some(Encoding::Xor2));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkFormat {
    /// Floats become XOR2 chunks, not XOR.
    pub xor2: bool,
    /// Histograms go into the encodings with start timestamps.
    pub histogram_st: bool,
}

/// Takes the samples of one series in time order and cuts them into chunks.
///
/// A chunk ends when the policy says so, when the kind of samples changes, and when a histogram
/// can not follow the one before. Memory is kept from chunk to chunk and from series to series.
///
/// ```
/// use thanoslib::{chunk::{ChunkCutter, ChunkFormat, CutPolicy}, model::FloatColumn};
///
/// let mut column = FloatColumn::default();
/// (0..130).for_each(|i| column.push(i * 1000, i as f64));
/// let mut cutter = ChunkCutter::new(CutPolicy::default(), ChunkFormat::default());
/// let mut chunks = Vec::new();
/// cutter.append_floats(&column, 0..column.len(), &mut chunks)?;
/// chunks.extend(cutter.finish());
/// assert_eq!(chunks.iter().map(|c| c.samples).collect::<Vec<_>>(), [120, 10]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug)]
pub struct ChunkCutter {
    format: ChunkFormat,
    limits: Limits,
    open: Option<Encoding>,
    xor: XorAppender,
    xor2: Xor2Appender,
    /// Without and with start timestamps.
    ints: [IntHistogramAppender; 2],
    floats: [FloatHistogramAppender; 2],
}

impl ChunkCutter {
    /// A cutter before the first sample of a series.
    pub fn new(policy: CutPolicy, format: ChunkFormat) -> Self {
        Self {
            format,
            limits: Limits::new(policy),
            open: None,
            xor: XorAppender::new(),
            xor2: Xor2Appender::new(),
            ints: [false, true].map(HistogramAppender::new),
            floats: [false, true].map(HistogramAppender::new),
        }
    }

    /// Appends one float; gives the chunk that it ended.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for a sample that is not after the one before; nothing changes.
    pub fn append_float(&mut self, st_ms: i64, t_ms: i64, v: f64) -> Result<Option<EncodedChunk>> {
        self.check_order(t_ms)?;
        let closed = self.open_floats(st_ms, t_ms)?;
        match self.open {
            Some(Encoding::Xor) => self.xor.append(t_ms, v)?,
            _ => self.xor2.append(st_ms, t_ms, v)?,
        }
        self.limits.interval.maxt = t_ms;
        Ok(closed)
    }

    /// Appends the floats of a range of a column; finished chunks go to `out`.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for a sample that is not after the one before; those before it
    /// are appended.
    pub fn append_floats(
        &mut self,
        column: &FloatColumn,
        range: Range<usize>,
        out: &mut Vec<EncodedChunk>,
    ) -> Result<()> {
        let mut i = range.start;
        while i < range.end {
            self.check_order(column.ts[i])?;
            out.extend(self.open_floats(column.start(i), column.ts[i])?);
            let count = self.open_len();
            let room = self.limits.room(count).min(range.end - i);
            let mut n = ascending(&column.ts[i..i + room]);
            let (ts, vs) = (&column.ts[i..i + n], &column.vs[i..i + n]);
            if self.open == Some(Encoding::Xor) {
                if !column.st.is_empty() {
                    n = column.st[i..i + n].iter().take_while(|st| **st == 0).count();
                }
                self.xor.extend(&ts[..n], &vs[..n])?;
            } else {
                self.xor2.extend(column.st.get(i..i + n).unwrap_or_default(), ts, vs)?;
            }
            self.limits.interval.maxt = ts[n - 1];
            i += n;
        }
        Ok(())
    }

    /// Appends one integer histogram of a column; gives the chunk that it ended.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for a sample that is not after the one before,
    /// [`ErrorKind::Invalid`] when it has other than as many buckets as its spans say; nothing
    /// changes.
    pub fn append_int_histogram(
        &mut self,
        column: &IntHistogramColumn,
        i: usize,
    ) -> Result<Option<EncodedChunk>> {
        self.check_order(column.ts[i])?;
        self.ints[0].check(column, i)?;
        let with_start = self.histogram_start(column.start(i), Encoding::HistogramSt);
        let (closed, own) = self.close_others([Encoding::Histogram, Encoding::HistogramSt], with_start);
        let (open, cut) = push(&mut self.limits, &mut self.ints[usize::from(with_start)], column, i, own)?;
        self.open = Some(open);
        Ok(closed.or(cut))
    }

    /// Appends one float histogram of a column; gives the chunk that it ended.
    ///
    /// # Errors
    /// As [`append_int_histogram`](Self::append_int_histogram).
    pub fn append_float_histogram(
        &mut self,
        column: &FloatHistogramColumn,
        i: usize,
    ) -> Result<Option<EncodedChunk>> {
        self.check_order(column.ts[i])?;
        self.floats[0].check(column, i)?;
        let with_start = self.histogram_start(column.start(i), Encoding::FloatHistogramSt);
        let encodings = [Encoding::FloatHistogram, Encoding::FloatHistogramSt];
        let (closed, own) = self.close_others(encodings, with_start);
        let (open, cut) = push(&mut self.limits, &mut self.floats[usize::from(with_start)], column, i, own)?;
        self.open = Some(open);
        Ok(closed.or(cut))
    }

    /// Appends the integer histograms of a range of a column; finished chunks go to `out`.
    ///
    /// # Errors
    /// As [`append_int_histogram`](Self::append_int_histogram); those before are appended.
    pub fn append_int_histograms(
        &mut self,
        column: &IntHistogramColumn,
        range: Range<usize>,
        out: &mut Vec<EncodedChunk>,
    ) -> Result<()> {
        for i in range {
            out.extend(self.append_int_histogram(column, i)?);
        }
        Ok(())
    }

    /// Appends the float histograms of a range of a column; finished chunks go to `out`.
    ///
    /// # Errors
    /// As [`append_int_histogram`](Self::append_int_histogram); those before are appended.
    pub fn append_float_histograms(
        &mut self,
        column: &FloatHistogramColumn,
        range: Range<usize>,
        out: &mut Vec<EncodedChunk>,
    ) -> Result<()> {
        for i in range {
            out.extend(self.append_float_histogram(column, i)?);
        }
        Ok(())
    }

    /// The open chunk so far, with its first and last sample.
    pub fn open(&self) -> Option<(Interval, Chunk<'_>)> {
        let encoding = self.open?;
        let data = match encoding {
            Encoding::Xor => self.xor.bytes(),
            Encoding::Histogram | Encoding::HistogramSt => {
                self.ints[usize::from(encoding == Encoding::HistogramSt)].bytes()
            }
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
                self.floats[usize::from(encoding == Encoding::FloatHistogramSt)].bytes()
            }
            _ => self.xor2.bytes(),
        };
        Some((self.limits.interval, Chunk { encoding, data }))
    }

    /// Ends the series: gives the open chunk and makes the cutter ready for another series.
    pub fn finish(&mut self) -> Option<EncodedChunk> {
        let encoding = self.open.take()?;
        let (samples, data) = match encoding {
            Encoding::Xor => (self.xor.len(), self.xor.finish()),
            Encoding::Histogram | Encoding::HistogramSt => {
                let appender = &mut self.ints[usize::from(encoding == Encoding::HistogramSt)];
                (appender.len(), appender.finish())
            }
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
                let appender = &mut self.floats[usize::from(encoding == Encoding::FloatHistogramSt)];
                (appender.len(), appender.finish())
            }
            _ => (self.xor2.len(), self.xor2.finish()),
        };
        Some(EncodedChunk { interval: self.limits.interval, encoding, samples, data })
    }

    fn check_order(&self, t_ms: i64) -> Result<()> {
        if self.open.is_some() && t_ms <= self.limits.interval.maxt {
            let last = self.limits.interval.maxt;
            let message = format!("sample at {t_ms} is not after the one before at {last}");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(())
    }

    fn open_len(&self) -> usize {
        match self.open {
            Some(Encoding::Xor) => self.xor.len(),
            Some(Encoding::Xor2) => self.xor2.len(),
            _ => 0,
        }
    }

    /// Makes sure that a chunk is open that takes a float; gives the one that is closed for it.
    fn open_floats(&mut self, st_ms: i64, t_ms: i64) -> Result<Option<EncodedChunk>> {
        let with_start = self.format.xor2 || st_ms != 0 || self.open == Some(Encoding::Xor2);
        let encoding = if with_start { Encoding::Xor2 } else { Encoding::Xor };
        let bytes = if with_start { self.xor2.bytes().len() } else { self.xor.bytes().len() };
        if self.open == Some(encoding) && !self.limits.cuts_floats(t_ms, self.open_len(), bytes) {
            return Ok(None);
        }
        let closed = self.finish();
        // After a cut no chunk binds the choice.
        let with_start = self.format.xor2 || st_ms != 0;
        self.open = Some(if with_start { Encoding::Xor2 } else { Encoding::Xor });
        self.limits.begin(t_ms);
        Ok(closed)
    }

    fn histogram_start(&self, st_ms: i64, with_start: Encoding) -> bool {
        self.format.histogram_st || st_ms != 0 || self.open == Some(with_start)
    }

    /// Closes the open chunk if it is of another encoding; says whether one of the wanted is open.
    fn close_others(&mut self, encodings: [Encoding; 2], with_start: bool) -> (Option<EncodedChunk>, bool) {
        if self.open == Some(encodings[usize::from(with_start)]) {
            return (None, true);
        }
        (self.finish(), false)
    }
}

/// Number of leading times that ascend.
fn ascending(ts: &[i64]) -> usize {
    1 + ts.windows(2).take_while(|w| w[0] < w[1]).count()
}

/// Appends a histogram to the open chunk, or to a new one in its place.
fn push<K: HistogramKind>(
    limits: &mut Limits,
    appender: &mut HistogramAppender<K>,
    column: &HistogramColumn<K::Count, K>,
    i: usize,
    open: bool,
) -> Result<(Encoding, Option<EncodedChunk>)> {
    let (t_ms, encoding) = (column.ts[i], appender.encoding());
    let mut header = None;
    if open {
        if limits.cuts_histograms(t_ms, appender.len(), appender.bytes().len()) {
            header = limits.looks_back().then(|| appender.header_after(column, i));
        } else {
            match appender.append(column, i)? {
                Fit::Appended | Fit::Recoded => {
                    limits.interval.maxt = t_ms;
                    return Ok((encoding, None));
                }
                Fit::NewChunk(why) => header = Some(appender.header_of(why)),
            }
        }
    }
    let closed = open.then(|| {
        let (interval, samples) = (limits.interval, appender.len());
        EncodedChunk { interval, encoding, samples, data: appender.finish() }
    });
    match header {
        Some(header) => appender.begin(header, column, i)?,
        None => {
            let _ = appender.append(column, i)?;
        }
    }
    limits.begin(t_ms);
    Ok((encoding, closed))
}
