//! Chunk segment files: records of encoded chunks, one after another.
//!
//! | offset | size | field | value |
//! |---|---|---|---|
//! | 0 | 4 | magic | `0x85BD40DD`, big-endian |
//! | 4 | 1 | version | 1 |
//! | 5 | 3 | padding | 0 |
//! | 8 | … | records | `len` uvarint, encoding byte, `len` bytes, CRC-32C BE32 of encoding and bytes |
//!
//! Source: Prometheus `tsdb/docs/format/chunks.md`.

use std::io::Write;

use super::Encoding;
use crate::{
    encoding::{Take, crc32c, put_uvarint},
    error::{DecodeError, Error, ErrorKind, Result},
};

const MAGIC: u32 = 0x85bd_40dd;

/// Length of the header of a segment file; the first chunk lies there.
pub(crate) const SEGMENT_HEADER_LEN: usize = 8;

/// Size from which on Prometheus begins another segment: 512 MiB.
pub const SEGMENT_SIZE_MAX: u64 = 512 << 20;

/// Checks the header of a segment file.
///
/// # Errors
/// Too few bytes, another magic number, an unknown version.
pub fn parse_segment_header(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut take = Take::new(bytes);
    if take.be32()? != MAGIC {
        return Err(DecodeError::new("chunk segment: wrong magic number", 0));
    }
    if take.u8()? != 1 {
        return Err(DecodeError::new("chunk segment: unknown version", 4));
    }
    take.bytes(3)?;
    Ok(())
}

/// What the bytes at the place of a chunk hold.
///
/// ```
/// use thanoslib::chunk::{ChunkRecord, Encoding, put_chunk_record};
/// let mut segment = Vec::new();
/// put_chunk_record(&mut segment, Encoding::Xor, b"samples");
/// assert!(matches!(ChunkRecord::parse(&segment, 8)?, ChunkRecord::Whole { .. }));
/// segment.truncate(5);
/// assert!(matches!(ChunkRecord::parse(&segment, 8)?, ChunkRecord::Short(_)));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkRecord<'a> {
    /// The chunk; its checksum is right.
    Whole {
        /// How the data is encoded.
        encoding: Encoding,
        /// The encoded samples.
        data: &'a [u8],
        /// Bytes of the whole record.
        len: usize,
    },
    /// The record has this many bytes, more than were given.
    Short(usize),
}

impl<'a> ChunkRecord<'a> {
    /// What the error of a wrong checksum says.
    pub(crate) const CHECKSUM_MISMATCH: &'static str = "chunk checksum mismatch";

    /// Takes the record at the start of `bytes`, which lies at offset `base` of its segment.
    ///
    /// # Errors
    /// A wrong checksum, an unknown encoding, a length that no chunk can have.
    pub fn parse(bytes: &'a [u8], base: u64) -> Result<Self, DecodeError> {
        let mut take = Take::at(bytes, base as usize);
        let Ok(len) = take.uvarint() else {
            // Ten bytes always hold the length.
            return match bytes.len() {
                0..10 => Ok(Self::Short(10)),
                _ => Err(take.error("chunk: bad length")),
            };
        };
        let Some(len) = usize::try_from(len).ok().filter(|n| *n <= u32::MAX as usize) else {
            return Err(DecodeError::new("chunk: bad length", base as usize));
        };
        let need = take.taken() + 1 + len + 4;
        if need > bytes.len() {
            return Ok(Self::Short(need));
        }
        let at = take.offset();
        let content = take.bytes(1 + len)?;
        let crc_at = take.offset();
        if take.be32()? != crc32c(content) {
            return Err(DecodeError::new(Self::CHECKSUM_MISMATCH, crc_at));
        }
        let Some((encoding, data)) = content.split_first() else { return Err(take.error("chunk: empty")) };
        match Encoding::from_u8(*encoding) {
            Some(encoding) => Ok(Self::Whole { encoding, data, len: need }),
            None => Err(DecodeError::new("chunk: unknown encoding", at)),
        }
    }
}

/// Appends the record of a chunk.
pub fn put_chunk_record(out: &mut Vec<u8>, encoding: Encoding, data: &[u8]) {
    put_uvarint(out, data.len() as u64);
    let start = out.len();
    out.push(encoding as u8);
    out.extend_from_slice(data);
    let crc = crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_be_bytes());
}

/// Name of segment number `segment`, counted from 0: `000001` is the first.
pub fn segment_name(segment: u32) -> String {
    format!("{:06}", u64::from(segment) + 1)
}

/// Writes chunks into segment files, cutting a new one as Prometheus does.
///
/// The chunks of a series are given together. They go to the current segment as long as
/// its size stays within the limit, counted with 10 bytes for each chunk besides its data;
/// a chunk that is larger than a segment is written whole.
///
/// Source: Prometheus `tsdb/chunks/chunks.go`.
///
/// ```
/// use thanoslib::chunk::{Encoding, SEGMENT_SIZE_MAX, SegmentWriter, parse_segment_header};
/// let mut refs = Vec::new();
/// let mut writer = SegmentWriter::new(SEGMENT_SIZE_MAX, |_name: &str| Ok(Vec::new()));
/// writer.write(&[(Encoding::Xor, b"samples")], &mut refs)?;
/// let segments = writer.finish()?;
/// parse_segment_header(&segments[0])?;
/// assert_eq!(refs, [8]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug)]
pub struct SegmentWriter<W, F> {
    limit: u64,
    open: F,
    /// Finished segments, then the current one.
    files: Vec<W>,
    /// Bytes in the current segment.
    len: u64,
    buf: Vec<u8>,
}

fn failed(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot write chunk segment: {e}")).with_source(e)
}

impl<W: Write, F: FnMut(&str) -> std::io::Result<W>> SegmentWriter<W, F> {
    /// A writer that gets each file from `open`, which is given its name.
    pub fn new(limit_bytes: u64, open: F) -> Self {
        Self { limit: limit_bytes, open, files: Vec::new(), len: 0, buf: Vec::new() }
    }

    /// Writes the chunks of one series and appends the reference of each to `refs`:
    /// number of the segment in the upper, offset in the lower 32 bits.
    ///
    /// # Errors
    /// `Unavailable` when writing fails, `Limit` for offsets that do not fit 32 bits.
    pub fn write(&mut self, chunks: &[(Encoding, &[u8])], refs: &mut Vec<u64>) -> Result<()> {
        let header = SEGMENT_HEADER_LEN as u64;
        // What lies in the segment before this series counts until the first cut.
        let mut before = if self.len > header { Some(self.len) } else { None };
        let mut batch = 0u64;
        for (i, (encoding, data)) in chunks.iter().enumerate() {
            let size = 10 + data.len() as u64;
            batch += size;
            let cut = match before {
                Some(len) => len + batch > self.limit,
                None => i > 0 && batch + header > self.limit,
            };
            if cut {
                before = None;
                batch = size;
            }
            if cut || self.files.is_empty() {
                self.cut()?;
            }
            let segment = self.files.len() as u64 - 1;
            let offset = u32::try_from(self.len + self.buf.len() as u64)
                .map_err(|_| Error::limit("chunk segment exceeds 4 GiB"))?;
            refs.push(segment << 32 | u64::from(offset));
            put_chunk_record(&mut self.buf, *encoding, data);
        }
        self.flush()
    }

    fn cut(&mut self) -> Result<()> {
        self.flush()?;
        if let Some(last) = self.files.last_mut() {
            last.flush().map_err(failed)?;
        }
        let segment = self.files.len() as u32;
        self.files.push((self.open)(&segment_name(segment)).map_err(failed)?);
        self.len = 0;
        self.buf.extend_from_slice(&MAGIC.to_be_bytes());
        self.buf.extend_from_slice(&[1, 0, 0, 0]);
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        if let Some(file) = self.files.last_mut() {
            file.write_all(&self.buf).map_err(failed)?;
            self.len += self.buf.len() as u64;
            self.buf.clear();
        }
        Ok(())
    }

    /// Ends writing and gives the files in order; none when there were no chunks.
    ///
    /// # Errors
    /// `Unavailable` when writing fails.
    pub fn finish(mut self) -> Result<Vec<W>> {
        self.flush()?;
        if let Some(last) = self.files.last_mut() {
            last.flush().map_err(failed)?;
        }
        Ok(self.files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_cut_at_the_limit_and_read_back() {
        let check = |limit: u64, series: &[&[usize]], want: &[u64]| {
            let mut writer = SegmentWriter::new(limit, |_| Ok(Vec::new()));
            let mut refs = Vec::new();
            let data = [7u8; 200];
            for lens in series {
                let chunks: Vec<_> = lens.iter().map(|n| (Encoding::Xor, &data[..*n])).collect();
                writer.write(&chunks, &mut refs).expect("memory");
            }
            let files = writer.finish().expect("memory");
            assert_eq!(refs, want, "limit {limit}, {series:?}");
            let lens = series.iter().flat_map(|s| s.iter());
            for (r, len) in refs.iter().zip(lens) {
                let file = &files[(r >> 32) as usize];
                parse_segment_header(file).expect("header");
                let at = *r as u32 as usize;
                let want = ChunkRecord::Whole {
                    encoding: Encoding::Xor,
                    data: &data[..*len],
                    len: len + 6 + len / 128,
                };
                assert_eq!(ChunkRecord::parse(&file[at..], 0), Ok(want));
                assert_eq!(
                    ChunkRecord::parse(&file[at..at + 6], 0),
                    Ok(ChunkRecord::Short(len + 6 + len / 128))
                );
            }
        };
        let second = 1 << 32;
        check(1000, &[&[10, 10], &[10]], &[8, 24, 40]);
        check(48, &[&[10, 10]], &[8, 24]);
        check(47, &[&[10, 10]], &[8, second | 8]);
        check(44, &[&[10], &[10]], &[8, 24]);
        check(43, &[&[10], &[10]], &[8, second | 8]);
        check(10, &[&[200], &[200]], &[8, second | 8]);
    }

    #[test]
    fn bad_records_are_errors() {
        let mut record = Vec::new();
        put_chunk_record(&mut record, Encoding::Xor, b"abc");
        record[2] ^= 1;
        fn err(bytes: &[u8]) -> Result<ChunkRecord<'_>, (&str, usize)> {
            ChunkRecord::parse(bytes, 100).map_err(|e| (e.what, e.offset))
        }
        assert_eq!(err(&record), Err(("chunk checksum mismatch", 105)));
        assert_eq!(err(&[0xff; 10]), Err(("chunk: bad length", 100)));
        assert_eq!(err(&[]), Ok(ChunkRecord::Short(10)));
        assert!(parse_segment_header(b"\x85\xbd\x40\xdd\x02\0\0\0").is_err());
    }
}
