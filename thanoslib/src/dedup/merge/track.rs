//! A decoded chunk.

use std::ops::Range;

use crate::{
    chunk::{Chunk, ChunkCutter, EncodedChunk, Encoding},
    error::{DecodeError, Result},
    model::{FloatColumn, FloatHistogramColumn, HistogramColumn, IntHistogramColumn},
};

/// The samples of one chunk; memory is kept for the next one.
#[derive(Debug, Default)]
pub(super) struct Track {
    kind: Kind,
    floats: FloatColumn,
    ints: IntHistogramColumn,
    histograms: FloatHistogramColumn,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Floats,
    Ints,
    Histograms,
}

impl Track {
    /// Takes the samples of a chunk that is not a downsampled one.
    pub(super) fn decode(&mut self, chunk: Chunk<'_>) -> Result<(), DecodeError> {
        self.floats.clear();
        match chunk.encoding {
            Encoding::Histogram | Encoding::HistogramSt => {
                self.kind = Kind::Ints;
                self.ints.clear();
                chunk.decode_int_histograms(&mut self.ints)
            }
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
                self.kind = Kind::Histograms;
                self.histograms.clear();
                chunk.decode_float_histograms(&mut self.histograms)
            }
            Encoding::None => {
                self.kind = Kind::Floats;
                Ok(())
            }
            Encoding::Xor | Encoding::Xor2 | Encoding::Aggr => {
                self.kind = Kind::Floats;
                chunk.decode_floats(&mut self.floats)
            }
        }
    }

    /// True for integer and float histograms.
    pub(super) fn is_histograms(&self) -> bool {
        self.kind != Kind::Floats
    }

    /// Times of the samples.
    pub(super) fn ts(&self) -> &[i64] {
        match self.kind {
            Kind::Floats => &self.floats.ts,
            Kind::Ints => &self.ints.ts,
            Kind::Histograms => &self.histograms.ts,
        }
    }

    /// Appends floats to a column; false for histograms.
    pub(super) fn gather(&self, range: Range<usize>, out: &mut FloatColumn) -> bool {
        if self.kind != Kind::Floats {
            return false;
        }
        let from = &self.floats;
        let len = out.len();
        out.ts.extend_from_slice(&from.ts[range.clone()]);
        out.vs.extend_from_slice(&from.vs[range.clone()]);
        if !from.st.is_empty() {
            out.st.resize(len, 0);
            out.st.extend_from_slice(&from.st[range]);
        } else if !out.st.is_empty() {
            out.st.resize(out.ts.len(), 0);
        }
        true
    }

    /// Appends samples to a cutter.
    pub(super) fn append(
        &self,
        range: Range<usize>,
        cutter: &mut ChunkCutter,
        out: &mut Vec<EncodedChunk>,
    ) -> Result<()> {
        match self.kind {
            Kind::Floats => cutter.append_floats(&self.floats, range, out),
            Kind::Ints => cutter.append_int_histograms(&self.ints, range, out),
            Kind::Histograms => cutter.append_float_histograms(&self.histograms, range, out),
        }
    }

    /// True when times and values are equal to the bit; start timestamps are not looked at.
    pub(super) fn same_values(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.ts() == other.ts()
            && match self.kind {
                Kind::Floats => same_bits(&self.floats.vs, &other.floats.vs),
                Kind::Ints => same_histograms(&self.ints, &other.ints, |a, b| a == b, |a, b| a == b),
                Kind::Histograms => {
                    same_histograms(&self.histograms, &other.histograms, same_bits, same_bits)
                }
            }
    }
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn same_histograms<C: Copy, B: Copy>(
    a: &HistogramColumn<C, B>,
    b: &HistogramColumn<C, B>,
    counts: impl Fn(&[C], &[C]) -> bool,
    buckets: impl Fn(&[B], &[B]) -> bool,
) -> bool {
    a.hints == b.hints
        && same_bits(&a.sums, &b.sums)
        && counts(&a.counts, &b.counts)
        && counts(&a.zero_counts, &b.zero_counts)
        && a.bucket_ends == b.bucket_ends
        && buckets(&a.buckets, &b.buckets)
        && (0..a.len()).all(|i| a.layout(i) == b.layout(i))
}
