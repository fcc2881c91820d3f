//! The chunks of a series in, downsampled chunks out, from any resolution to the next.

use super::{AggrChunks, AggrDownsampler, RawDownsampler};
use crate::{
    chunk::Chunk,
    error::{Error, Result},
    model::{Interval, Resolution},
};

/// Downsamples whole series by their chunks, one series after the other.
///
/// ```
/// use thanoslib::{
///     chunk::{Chunk, Encoding, XorAppender},
///     downsample::SeriesDownsampler,
///     model::{Interval, Resolution},
/// };
///
/// let mut raw = XorAppender::new();
/// (0..100).try_for_each(|i| raw.append(i * 60_000, i as f64))?;
/// let chunk = Chunk { encoding: Encoding::Xor, data: raw.bytes() };
///
/// let mut to_5m = SeriesDownsampler::new(Resolution::Raw, Resolution::FiveMinutes)?;
/// let mut to_1h = SeriesDownsampler::new(Resolution::FiveMinutes, Resolution::OneHour)?;
/// to_5m.chunk(Interval::new(0, 99 * 60_000), chunk)?;
/// for (interval, chunk) in to_5m.finish()?.iter() {
///     to_1h.chunk(interval, chunk)?;
/// }
/// let hours = to_1h.finish()?;
/// assert_eq!(hours.iter().next().expect("a chunk").1.num_samples()?, 2);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SeriesDownsampler {
    level: Level,
    last_ms: Option<i64>,
    out: AggrChunks,
    /// True when `out` was given away.
    given: bool,
}

#[derive(Clone, Debug)]
enum Level {
    Raw(Box<RawDownsampler>),
    Aggr(Box<AggrDownsampler>),
}

impl SeriesDownsampler {
    /// A downsampler between two resolutions.
    ///
    /// # Errors
    /// `Invalid` unless the second is coarser.
    pub fn new(from: Resolution, to: Resolution) -> Result<Self> {
        let level = match from {
            Resolution::Raw => Level::Raw(Box::new(RawDownsampler::new(to.window_ms())?)),
            _ => Level::Aggr(Box::new(AggrDownsampler::new(from.window_ms(), to.window_ms())?)),
        };
        Ok(Self { level, last_ms: None, out: AggrChunks::default(), given: false })
    }

    /// Forgets the chunks of a series that is not finished.
    pub fn reset(&mut self) {
        match &mut self.level {
            Level::Raw(raw) => raw.reset(),
            Level::Aggr(aggr) => aggr.reset(),
        }
        self.last_ms = None;
        self.out.clear();
        self.given = false;
    }

    /// Adds the next chunk of the series.
    ///
    /// # Errors
    /// `Corrupt` for a chunk that does not decode or overlaps the one before.
    pub fn chunk(&mut self, interval: Interval, chunk: Chunk<'_>) -> Result<()> {
        if self.given {
            self.reset();
        }
        if let Some(last) = self.last_ms.filter(|last| *last >= interval.mint) {
            return Err(Error::corrupt(format!(
                "chunk at {interval} overlaps the one before, which ends at {last}"
            )));
        }
        self.last_ms = Some(interval.maxt);
        match &mut self.level {
            Level::Raw(raw) => raw.chunk(chunk, &mut self.out),
            Level::Aggr(aggr) => aggr.chunk(interval, chunk, &mut self.out),
        }
    }

    /// Ends the series and gives its chunks, none where no sample counts.
    ///
    /// # Errors
    /// As [`AggrDownsampler::finish`].
    pub fn finish(&mut self) -> Result<&AggrChunks> {
        if self.given {
            self.reset();
        }
        let ended = match &mut self.level {
            Level::Raw(raw) => raw.finish(&mut self.out),
            Level::Aggr(aggr) => aggr.finish(&mut self.out),
        };
        self.given = true;
        ended.map(|()| &self.out)
    }
}
