//! A chunk of any encoding.

use super::{
    AggrChunk, Encoding, FloatHistogramDecoder, HistogramDecoder, Xor2Decoder, XorDecoder, header, layout,
};
use crate::{
    error::DecodeError,
    model::{CounterReset, FloatColumn, FloatHistogramColumn, IntHistogramColumn, SampleColumns},
};

/// The bytes of a chunk and how to read them.
///
/// ```
/// use thanoslib::{chunk::{Chunk, Encoding, XorAppender}, model::SampleColumns};
///
/// let mut appender = XorAppender::new();
/// appender.append(1000, 1.5)?;
/// appender.append(2000, 2.5)?;
/// let chunk = Chunk { encoding: Encoding::Xor, data: appender.bytes() };
/// let mut samples = SampleColumns::default();
/// chunk.decode_into(&mut samples)?;
/// assert_eq!(samples.floats.vs, [1.5, 2.5]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// How the samples are encoded.
    pub encoding: Encoding,
    /// The samples, without encoding byte, length and checksum.
    pub data: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Number of samples that the chunk says it has; of a downsampled chunk the windows.
    ///
    /// # Errors
    /// The header is cut.
    pub fn num_samples(&self) -> Result<usize, DecodeError> {
        match self.encoding {
            Encoding::None => Ok(0),
            Encoding::Xor | Encoding::Xor2 => header::count(self.data),
            Encoding::Histogram | Encoding::FloatHistogram => Ok(layout::head(self.data, false)?.0),
            Encoding::HistogramSt | Encoding::FloatHistogramSt => Ok(layout::head(self.data, true)?.0),
            Encoding::Aggr => AggrChunk::new(self.data).num_samples(),
        }
    }

    /// What the header of a histogram chunk says about a reset before it; `None` for other chunks.
    ///
    /// # Errors
    /// The header is cut.
    pub fn counter_reset(&self) -> Result<Option<CounterReset>, DecodeError> {
        let with_start = match self.encoding {
            Encoding::Histogram | Encoding::FloatHistogram => false,
            Encoding::HistogramSt | Encoding::FloatHistogramSt => true,
            _ => return Ok(None),
        };
        Ok(Some(layout::head(self.data, with_start)?.1))
    }

    /// True for chunks of histograms.
    pub fn is_histogram(&self) -> bool {
        matches!(
            self.encoding,
            Encoding::Histogram
                | Encoding::FloatHistogram
                | Encoding::HistogramSt
                | Encoding::FloatHistogramSt
        )
    }

    /// True for chunks of floats that are not downsampled.
    pub(crate) fn is_float(&self) -> bool {
        matches!(self.encoding, Encoding::Xor | Encoding::Xor2)
    }

    /// Appends all samples to the column of their kind, integer histograms as float ones.
    ///
    /// # Errors
    /// The data is malformed, or the chunk is a downsampled one, whose parts decode one by one
    /// (see [`AggrChunk::get`]). `out` then ends with the last sound sample.
    pub fn decode_into(&self, out: &mut SampleColumns) -> Result<(), DecodeError> {
        if self.is_histogram() {
            self.decode_float_histograms(&mut out.histograms)
        } else {
            self.decode_floats(&mut out.floats)
        }
    }

    /// As [`decode_into`](Self::decode_into), but ends soon after the first sample that is later
    /// than `maxt`; the caller cuts off what is.
    ///
    /// # Errors
    /// As [`decode_into`](Self::decode_into), of what is decoded.
    pub(crate) fn decode_until(&self, maxt: i64, out: &mut SampleColumns) -> Result<(), DecodeError> {
        /// Samples that are decoded at a time.
        const PIECE: usize = 32;
        if self.encoding != Encoding::Xor {
            return self.decode_into(out);
        }
        let mut decoder = XorDecoder::new(self.data)?;
        while decoder.fill(&mut out.floats, PIECE)? > 0 {
            if out.floats.ts.last().is_some_and(|t| *t > maxt) {
                break;
            }
        }
        Ok(())
    }

    /// Appends all samples of a float chunk.
    ///
    /// # Errors
    /// The data is malformed, or the chunk is of another kind.
    pub fn decode_floats(&self, out: &mut FloatColumn) -> Result<(), DecodeError> {
        match self.encoding {
            Encoding::Xor => XorDecoder::new(self.data)?.fill(out, usize::MAX).map(drop),
            Encoding::Xor2 => Xor2Decoder::new(self.data)?.fill(out, usize::MAX).map(drop),
            _ => Err(DecodeError::new("chunk does not hold floats", 0)),
        }
    }

    /// Appends all samples of a chunk of integer histograms.
    ///
    /// # Errors
    /// The data is malformed, or the chunk is of another kind.
    pub fn decode_int_histograms(&self, out: &mut IntHistogramColumn) -> Result<(), DecodeError> {
        let with_start = match self.encoding {
            Encoding::Histogram => false,
            Encoding::HistogramSt => true,
            _ => return Err(DecodeError::new("chunk does not hold integer histograms", 0)),
        };
        HistogramDecoder::new(self.data, with_start)?.fill(out, usize::MAX).map(drop)
    }

    /// Appends all samples of a histogram chunk, integer histograms as float ones.
    ///
    /// # Errors
    /// The data is malformed, or the chunk is of another kind.
    pub fn decode_float_histograms(&self, out: &mut FloatHistogramColumn) -> Result<(), DecodeError> {
        let data = self.data;
        match self.encoding {
            Encoding::Histogram => HistogramDecoder::new(data, false)?.fill_floats(out, usize::MAX),
            Encoding::HistogramSt => HistogramDecoder::new(data, true)?.fill_floats(out, usize::MAX),
            Encoding::FloatHistogram => FloatHistogramDecoder::new(data, false)?.fill(out, usize::MAX),
            Encoding::FloatHistogramSt => FloatHistogramDecoder::new(data, true)?.fill(out, usize::MAX),
            _ => return Err(DecodeError::new("chunk does not hold histograms", 0)),
        }
        .map(drop)
    }
}
