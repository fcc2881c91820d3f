//! Series entries: labels and chunks of one series.

use super::{LabelReader, Symbols};
use crate::{
    encoding::{Take, Words, crc32c},
    error::DecodeError,
    model::Interval,
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
    #[inline]
    pub fn parse(bytes: &'a [u8], base: u64) -> Result<Self, DecodeError> {
        Ok(Self::parse_ahead(bytes, base)?.0)
    }

    /// The same, and the bytes from the content on.
    #[inline]
    fn parse_ahead(bytes: &'a [u8], base: u64) -> Result<(Self, &'a [u8]), DecodeError> {
        let mut take = Take::at(bytes, base as usize);
        let Ok(len) = take.uvarint() else {
            // Ten bytes always hold the length.
            return match bytes.len() {
                0..10 => Ok((Entry::Short(10), bytes)),
                _ => Err(take.error("series entry: bad length")),
            };
        };
        let Some(len) = usize::try_from(len).ok().filter(|n| *n <= u32::MAX as usize) else {
            return Err(DecodeError::new("series entry: bad length", base as usize));
        };
        let need = take.taken() + len + 4;
        if need > bytes.len() {
            return Ok((Entry::Short(need), bytes));
        }
        let ahead = take.rest();
        let content = take.bytes(len)?;
        let at = take.offset();
        if take.be32()? != crc32c(content) {
            return Err(DecodeError::new(Self::CHECKSUM_MISMATCH, at));
        }
        Ok((Entry::Whole(content), ahead))
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
    /// Reads the entry at the start of `bytes`, which lies at file offset `base`, when it is
    /// there as a whole. Some bytes behind it, which need not be of the entry, help to be fast.
    ///
    /// # Errors
    /// As [`Entry::parse`] and [`SeriesEntry::read`].
    #[inline]
    pub fn parse<'a>(&mut self, bytes: &'a [u8], base: u64) -> Result<Entry<'a>, DecodeError> {
        let (entry, ahead) = Entry::parse_ahead(bytes, base)?;
        if let Entry::Whole(content) = entry
            && self.read_words(ahead, content.len()).is_none()
        {
            self.decode::<true>(content, base)?;
        }
        Ok(entry)
    }

    /// Reads the content of an entry; `base` is its file offset.
    ///
    /// # Errors
    /// Content that ends early, goes on after the last chunk, or has times or references
    /// out of range.
    pub fn read(&mut self, content: &[u8], base: u64) -> Result<(), DecodeError> {
        self.decode::<true>(content, base)
    }

    /// Reads an entry of short numbers, as nearly all have, from bytes that go on behind its
    /// `len` bytes; `None` when there are others, or anything is wrong, which
    /// [`decode`](Self::decode) tells then.
    #[inline(always)]
    fn read_words(&mut self, bytes: &[u8], len: usize) -> Option<()> {
        let mut words = Words::new(bytes);
        let labels = words.uvarint().filter(|n| *n <= len as u64 / 2)? as usize;
        // Every item is written below, so that old ones may stay.
        self.labels.resize(labels, (0, 0));
        for label in &mut self.labels {
            *label = words.pair()?;
        }
        let chunks = words.uvarint().filter(|n| *n <= len as u64 / 3)? as usize;
        self.chunks.resize(chunks, (Interval::new(0, 0), ChunkRef(0)));
        let Some((first, further)) = self.chunks.split_first_mut() else {
            return (words.taken() == len).then_some(());
        };
        let mint = words.varint()?;
        let (mut maxt, mut outside) = mint.overflowing_add_unsigned(words.uvarint()?);
        let mut at = words.uvarint()?;
        *first = (Interval::new(mint, maxt), ChunkRef(at));
        for chunk in further {
            let (gap, span) = words.pair()?;
            let (mint, early) = maxt.overflowing_add_unsigned(gap.into());
            let (end, late) = mint.overflowing_add_unsigned(span.into());
            let (place, far) = at.overflowing_add_signed(words.varint()?);
            outside |= early | late | far;
            (maxt, at) = (end, place);
            *chunk = (Interval::new(mint, maxt), ChunkRef(at));
        }
        (words.taken() == len && !outside).then_some(())
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

    /// Appends the labels in flat form, the layout of [`Labels`](crate::model::Labels). For
    /// many entries of one index a [`LabelReader`] is made once.
    ///
    /// # Errors
    /// References to strings that do not exist; label names out of order or repeated.
    pub fn append_labels(&self, symbols: &Symbols, base: u64, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        LabelReader::new(symbols).append(self, base, out)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{put_uvarint, put_varint};

    /// An entry with these references and times between chunks.
    fn content(labels: &[(u64, u64)], chunks: &[(i64, u64, i64)]) -> Vec<u8> {
        let mut out = Vec::new();
        put_uvarint(&mut out, labels.len() as u64);
        for (name, value) in labels {
            put_uvarint(&mut out, *name);
            put_uvarint(&mut out, *value);
        }
        put_uvarint(&mut out, chunks.len() as u64);
        for (i, (gap, span, place)) in chunks.iter().enumerate() {
            if i == 0 {
                put_varint(&mut out, *gap);
                put_uvarint(&mut out, *span);
                put_uvarint(&mut out, *place as u64);
            } else {
                put_uvarint(&mut out, *gap as u64);
                put_uvarint(&mut out, *span);
                put_varint(&mut out, *place);
            }
        }
        out
    }

    /// An entry is read alike by words and carefully, whatever follows it; true when it is sound.
    fn check(content: &[u8], parsed: &mut SeriesEntry) -> bool {
        let mut want = SeriesEntry::default();
        let wanted = want.read(content, 700);
        for tail in [&[][..], &[0; 16], &[0xff; 16], &[0x80; 3]] {
            let mut bytes = Vec::new();
            put_uvarint(&mut bytes, content.len() as u64);
            bytes.extend_from_slice(content);
            bytes.extend_from_slice(&crc32c(content).to_be_bytes());
            bytes.extend_from_slice(tail);
            let got = parsed.parse(&bytes, 700);
            assert_eq!(got, wanted.map(|()| Entry::Whole(content)), "{content:x?}");
            if wanted.is_ok() {
                assert_eq!((&parsed.labels, &parsed.chunks), (&want.labels, &want.chunks), "{content:x?}");
            }
        }
        wanted.is_ok()
    }

    #[test]
    fn entries_are_read_alike_by_words_and_carefully() {
        let mut entry = SeriesEntry::default();
        let mut sound = |labels: &[(u64, u64)], chunks: &[(i64, u64, i64)]| {
            let content = content(labels, chunks);
            let sound = check(&content, &mut entry);
            // Cut and damaged ones as well.
            for at in 0..content.len() {
                check(&content[..at], &mut entry);
                for bit in 0..8 {
                    let mut bad = content.clone();
                    bad[at] ^= 1 << bit;
                    check(&bad, &mut entry);
                }
            }
            sound
        };
        assert!(sound(&[], &[]));
        assert!(sound(&[(1, 2), (3, 200)], &[]));
        let chunks = [(1_700_006_400_000, 1_785_000, 8), (15_000, 1_785_000, 40), (30_000, 3_570_000, 9)];
        assert!(sound(&[(7, 5), (4000, 1 << 20), (1 << 27, 3)], &chunks));
        assert!(sound(&[(7, 5), (8, 1 << 28), (u32::MAX.into(), 0)], &chunks[..1]));
        assert!(sound(&[(1, 2)], &[(-5, 1 << 40, 1 << 50), (0, 0, -(1 << 49)), (1 << 35, 1 << 36, 0)]));
        assert!(sound(&[], &[(i64::MIN, u64::MAX, i64::MAX)]));
        assert!(!sound(&[(u64::from(u32::MAX) + 1, 0)], &chunks));
        assert!(!sound(&[], &[(0, 0, 5), (1, 1, -6)]));
        assert!(!sound(&[], &[(i64::MAX - 1, 1, 5), (1, 0, 0)]));
    }
}
