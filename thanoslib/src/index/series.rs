//! Series entries: labels and chunks of one series.

use std::cmp::Ordering;

use super::Symbols;
use crate::{
    encoding::{Take, crc32c},
    error::DecodeError,
    model::{Interval, Label},
};

/// Place of a chunk: number of the segment, counted from 0, and offset in it.
///
/// ```
/// use thanoslib::index::ChunkRef;
/// let chunk = ChunkRef::new(2, 8);
/// assert_eq!((chunk.segment(), chunk.offset()), (2, 8));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkRef(pub u64);

impl ChunkRef {
    /// The chunk at `offset` of segment number `segment`.
    pub const fn new(segment: u32, offset: u32) -> Self {
        Self((segment as u64) << 32 | offset as u64)
    }

    /// Number of the segment, counted from 0.
    pub const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Offset of the chunk's length field in the segment.
    pub const fn offset(self) -> u32 {
        self.0 as u32
    }
}

/// What the bytes at the place of a series entry hold.
///
/// See [`SeriesEntry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The content of the entry; its checksum is right.
    Whole(&'a [u8]),
    /// The entry has this many bytes, more than were given.
    Short(usize),
}

impl<'a> Entry<'a> {
    /// What the error of a wrong checksum says.
    pub(crate) const CHECKSUM_MISMATCH: &'static str = "series entry checksum mismatch";

    /// Takes the entry at the start of `bytes`, which lies at file offset `base`.
    ///
    /// # Errors
    /// A wrong checksum, or a length that no entry can have.
    pub fn parse(bytes: &'a [u8], base: u64) -> Result<Self, DecodeError> {
        let mut take = Take::at(bytes, base as usize);
        let Ok(len) = take.uvarint() else {
            // Ten bytes always hold the length.
            return match bytes.len() {
                0..10 => Ok(Entry::Short(10)),
                _ => Err(take.error("series entry: bad length")),
            };
        };
        let Some(len) = usize::try_from(len).ok().filter(|n| *n <= u32::MAX as usize) else {
            return Err(DecodeError::new("series entry: bad length", base as usize));
        };
        let need = take.taken() + len + 4;
        if need > bytes.len() {
            return Ok(Entry::Short(need));
        }
        let content = take.bytes(len)?;
        let at = take.offset();
        if take.be32()? != crc32c(content) {
            return Err(DecodeError::new(Self::CHECKSUM_MISMATCH, at));
        }
        Ok(Entry::Whole(content))
    }
}

/// A decoded series entry; reused from one entry to the next.
///
/// **Layout** of the content: number of labels, then for each label the references of its
/// name and value, all uvarint; number of chunks; the first chunk as `mint` varint,
/// `maxt - mint` uvarint, reference uvarint; each further one as `mint` minus the `maxt`
/// before uvarint, `maxt - mint` uvarint, difference of references varint.
///
/// Source: Prometheus `tsdb/docs/format/index.md`.
///
/// ```
/// use std::io::Cursor;
/// use thanoslib::index::{IndexFile, IndexWriter, SeriesEntry};
/// use thanoslib::model::Labels;
/// let labels = Labels::from_pairs([("job", "api")]);
/// let mut writer = IndexWriter::new(Cursor::new(Vec::new()), ["job", "api"])?;
/// let id = writer.add(labels.view(), &[])?;
/// let index = IndexFile::open(writer.finish()?.into_inner().into())?;
/// let mut entry = SeriesEntry::default();
/// index.series(id, &mut entry)?;
/// assert_eq!(index.labels(&entry)?, labels);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SeriesEntry {
    /// Symbol references of names and values.
    pub labels: Vec<(u32, u32)>,
    /// Time and place of each chunk, in time order.
    pub chunks: Vec<(Interval, ChunkRef)>,
}

impl SeriesEntry {
    /// Reads the content of an entry; `base` is its file offset.
    ///
    /// # Errors
    /// Content that ends early, goes on after the last chunk, or has times or references
    /// out of range.
    #[inline]
    pub fn read(&mut self, content: &[u8], base: u64) -> Result<(), DecodeError> {
        self.decode::<true>(content, base)
    }

    /// The same for entries whose chunks may be out of order: times and references wrap, as
    /// Go reads them.
    #[cfg(feature = "store")]
    pub(crate) fn read_unchecked(&mut self, content: &[u8], base: u64) -> Result<(), DecodeError> {
        self.decode::<false>(content, base)
    }

    #[inline]
    fn decode<const CHECKED: bool>(&mut self, content: &[u8], base: u64) -> Result<(), DecodeError> {
        self.labels.clear();
        self.chunks.clear();
        let mut take = Take::at(content, base as usize);
        let labels = count(&mut take, 2, "series entry: more labels than bytes")?;
        self.labels.reserve(labels);
        for _ in 0..labels {
            let name = reference(&mut take)?;
            self.labels.push((name, reference(&mut take)?));
        }
        let chunks = count(&mut take, 3, "series entry: more chunks than bytes")?;
        self.chunks.reserve(chunks);
        let (mut maxt, mut at) = (0i64, 0u64);
        for i in 0..chunks {
            let here = take;
            let (mint, early) = match i {
                0 => (take.varint()?, false),
                _ => maxt.overflowing_add_unsigned(take.uvarint()?),
            };
            let (end, late) = mint.overflowing_add_unsigned(take.uvarint()?);
            let (place, outside) = match i {
                0 => (take.uvarint()?, false),
                _ => at.overflowing_add_signed(take.varint()?),
            };
            if CHECKED && (early | late | outside) {
                return Err(here.error("series entry: chunk out of range"));
            }
            (maxt, at) = (end, place);
            self.chunks.push((Interval::new(mint, maxt), ChunkRef(at)));
        }
        if !take.is_empty() {
            return Err(take.error("series entry: bytes after the last chunk"));
        }
        Ok(())
    }

    /// Appends the labels in flat form, the layout of [`Labels`](crate::model::Labels).
    ///
    /// # Errors
    /// References to strings that do not exist; label names out of order or repeated.
    pub fn append_labels(&self, symbols: &Symbols, base: u64, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let mut last: &[u8] = b"";
        for &(name, value) in &self.labels {
            let (Some(name), Some(value)) = (symbols.get(name), symbols.get(value)) else {
                return Err(DecodeError::new("series entry: unknown symbol", base as usize));
            };
            if last.cmp(name) != Ordering::Less {
                return Err(DecodeError::new("series entry: labels are not sorted", base as usize));
            }
            last = name;
            if !value.is_empty() {
                Label { name, value }.append_flat(out);
            }
        }
        Ok(())
    }
}

fn count(take: &mut Take<'_>, item_bytes: usize, what: &'static str) -> Result<usize, DecodeError> {
    let before = *take;
    let n = take.uvarint()?;
    match usize::try_from(n) {
        Ok(n) if n <= take.rest().len() / item_bytes => Ok(n),
        _ => Err(before.error(what)),
    }
}

fn reference(take: &mut Take<'_>) -> Result<u32, DecodeError> {
    let before = *take;
    u32::try_from(take.uvarint()?).map_err(|_| before.error("series entry: symbol reference out of range"))
}
