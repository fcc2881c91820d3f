//! Thanos' downsampled chunks: up to five ordinary chunks of one series, one per aggregate.
//!
//! The layout is told at [`AggrChunk`].
//!
//! Source: Thanos `pkg/compact/downsample/aggr.go`.

use std::{error, fmt};

use super::{Chunk, Encoding};
use crate::{
    encoding::{Take, put_uvarint},
    error::{DecodeError, Error},
    model::Aggr,
};

/// The aggregates in the order of their chunks.
pub const AGGREGATES: [Aggr; 5] = [Aggr::Count, Aggr::Sum, Aggr::Min, Aggr::Max, Aggr::Counter];

/// A downsampled chunk whose parts are found when asked for.
///
///
/// ```
/// use thanoslib::{chunk::AggrChunk, downsample::{AggrChunks, RawDownsampler}, model::{Aggr, SampleColumns}};
/// let (mut downsampler, mut out) = (RawDownsampler::new(300_000)?, AggrChunks::default());
/// downsampler.floats(&[0, 60_000], &[1.0, 3.0], &mut out)?;
/// downsampler.finish(&mut out)?;
/// let (_, chunk) = out.iter().next().expect("a chunk");
/// let mut samples = SampleColumns::default();
/// AggrChunk::new(chunk.data).get(Aggr::Max)?.decode_into(&mut samples)?;
/// assert_eq!(samples.floats.vs, [3.0]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[doc = include_str!("../../docs/format/aggr-chunk.md")]
#[derive(Clone, Copy, Debug)]
pub struct AggrChunk<'a> {
    data: &'a [u8],
}

/// Why an aggregate could not be had.
///
/// ```
/// use thanoslib::{chunk::{AggrChunk, AggrError}, model::Aggr};
/// let mut bytes = Vec::new();
/// AggrChunk::encode(&[None; 5], &mut bytes);
/// assert_eq!(AggrChunk::new(&bytes).get(Aggr::Min).err(), Some(AggrError::Missing));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggrError {
    /// The chunk has no such aggregate.
    Missing,
    /// A length exceeds the data.
    InvalidSize,
    /// The sub-chunk has an encoding that is not known or that no sub-chunk may have.
    Encoding(u8),
}

impl fmt::Display for AggrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AggrError::Missing => f.write_str("aggregate does not exist"),
            AggrError::InvalidSize => f.write_str("invalid size"),
            AggrError::Encoding(0) => f.write_str("invalid chunk encoding \"none\""),
            AggrError::Encoding(_) => f.write_str("invalid chunk encoding \"<unknown>\""),
        }
    }
}

impl error::Error for AggrError {}

impl From<AggrError> for Error {
    fn from(e: AggrError) -> Self {
        Error::corrupt(e.to_string())
    }
}

impl<'a> AggrChunk<'a> {
    /// A view of `data`, the chunk without its encoding byte, length and checksum.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    /// The sub-chunk of one aggregate.
    ///
    /// # Errors
    /// Compat: Thanos `pkg/compact/downsample/aggr.go` checks for one more byte after each
    /// length, also of an absent aggregate; so an absent one at the end is
    /// [`AggrError::InvalidSize`], and [`AggrError::Missing`] elsewhere.
    pub fn get(&self, aggr: Aggr) -> Result<Chunk<'a>, AggrError> {
        let wanted = (aggr as usize).checked_sub(1).ok_or(AggrError::Missing)?;
        let mut take = Take::new(self.data);
        for i in 0..=wanted {
            let len = take.uvarint().map_err(|_| AggrError::InvalidSize)?;
            if len >= take.rest().len() as u64 {
                return Err(AggrError::InvalidSize);
            }
            if len == 0 {
                if i == wanted {
                    return Err(AggrError::Missing);
                }
                continue;
            }
            let encoding = take.u8().map_err(|_| AggrError::InvalidSize)?;
            let data = take.bytes(len as usize).map_err(|_| AggrError::InvalidSize)?;
            if i == wanted {
                return match Encoding::from_u8(encoding) {
                    None | Some(Encoding::None | Encoding::Aggr) => Err(AggrError::Encoding(encoding)),
                    Some(encoding) => Ok(Chunk { encoding, data }),
                };
            }
        }
        Err(AggrError::Missing)
    }

    /// Number of windows: the samples of the count, 0 when that is absent.
    ///
    /// # Errors
    /// The chunk is malformed.
    pub fn num_samples(&self) -> Result<usize, DecodeError> {
        match self.get(Aggr::Count) {
            Ok(count) => count.num_samples(),
            Err(AggrError::Missing) => Ok(0),
            Err(AggrError::InvalidSize) => Err(DecodeError::new("invalid size", 0)),
            Err(AggrError::Encoding(_)) => Err(DecodeError::new("invalid chunk encoding", 0)),
        }
    }

    /// Appends the chunk made of `parts`, which stand in the order of [`AGGREGATES`].
    pub fn encode(parts: &[Option<Chunk<'_>>; 5], out: &mut Vec<u8>) {
        for part in parts {
            let Some(chunk) = part else {
                out.push(0);
                continue;
            };
            put_uvarint(out, chunk.data.len() as u64);
            out.push(chunk.encoding as u8);
            out.extend_from_slice(chunk.data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &[u8], expected: [Result<&[u8], AggrError>; 5]) {
        let chunk = AggrChunk::new(data);
        for (aggr, expected) in AGGREGATES.into_iter().zip(expected) {
            assert_eq!(chunk.get(aggr).map(|c| c.data), expected, "{aggr:?}");
        }
    }

    #[test]
    fn parts_come_back_or_say_what_is_wrong() {
        use AggrError::{Encoding as Enc, InvalidSize, Missing};
        let part = |data| Some(Chunk { encoding: Encoding::Xor, data });
        let mut out = Vec::new();
        AggrChunk::encode(&[part(b"cc"), None, part(b"m"), None, part(b"last")], &mut out);
        check(&out, [Ok(b"cc"), Err(Missing), Ok(b"m"), Err(Missing), Ok(b"last")]);
        check(&[0; 5], [Err(Missing), Err(Missing), Err(Missing), Err(Missing), Err(InvalidSize)]);
        check(
            &[1, 9, 7, 0],
            [Err(Enc(9)), Err(InvalidSize), Err(InvalidSize), Err(InvalidSize), Err(InvalidSize)],
        );
        check(&[0x80], [Err(InvalidSize); 5]);
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], [Err(InvalidSize); 5]);
    }
}
