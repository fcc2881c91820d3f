//! The encodings of chunks.

/// How the samples of a chunk are encoded; the number is the byte in chunk files.
///
/// Source: Prometheus `tsdb/chunkenc/chunk.go`; 0xff is Thanos' downsampled chunk.
///
/// ```
/// use thanoslib::chunk::Encoding;
/// assert_eq!(Encoding::from_u8(4), Some(Encoding::Xor2));
/// assert_eq!(Encoding::from_u8(9), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Encoding {
    /// No data.
    None = 0,
    /// Floats.
    Xor = 1,
    /// Integer histograms.
    Histogram = 2,
    /// Float histograms.
    FloatHistogram = 3,
    /// Floats with start timestamps.
    Xor2 = 4,
    /// Integer histograms with start timestamps.
    HistogramSt = 5,
    /// Float histograms with start timestamps.
    FloatHistogramSt = 6,
    /// Five aggregates of downsampled windows.
    Aggr = 0xff,
}

impl Encoding {
    /// The encoding with this number.
    pub const fn from_u8(b: u8) -> Option<Self> {
        Some(match b {
            0 => Self::None,
            1 => Self::Xor,
            2 => Self::Histogram,
            3 => Self::FloatHistogram,
            4 => Self::Xor2,
            5 => Self::HistogramSt,
            6 => Self::FloatHistogramSt,
            0xff => Self::Aggr,
            _ => return None,
        })
    }
}
