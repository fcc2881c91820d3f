//! Writing the index of a block.

mod file;
mod lists;
mod strings;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io::{Read, Seek, Write},
};

use super::{ChunkRef, Toc, toc::encode_header};
use crate::{
    encoding::{crc32c, put_uvarint, put_varint},
    error::{Error, Result},
    model::{Interval, LabelsRef},
};
use file::Out;
use lists::Series;
use strings::Strings;

/// Time and place of a chunk of a series.
///
/// ```
/// use std::io::Cursor;
/// use thanoslib::index::{ChunkRef, IndexChunk, IndexWriter};
/// use thanoslib::model::{Interval, Labels};
/// let chunk = IndexChunk { interval: Interval::new(0, 60_000), reference: ChunkRef::new(0, 8) };
/// let mut writer = IndexWriter::new(Cursor::new(Vec::new()), ["job", "api"])?;
/// writer.add(Labels::from_pairs([("job", "api")]).view(), &[chunk])?;
/// assert!(writer.finish()?.into_inner().starts_with(&[0xba, 0xaa, 0xd7, 0x00, 2]));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexChunk {
    /// First and last sample.
    pub interval: Interval,
    /// Where the chunk lies.
    pub reference: ChunkRef,
}

/// Pairs of a label and a series that are held in memory while postings are made.
pub(crate) const POSTINGS_ENTRIES_MAX: usize = 4 << 20;

/// Writes a version 2 index: all symbols first, then series in label order.
///
/// Series go out as they come. At the end the series section is read back from the file,
/// as many times as it takes to make all postings with at most 4 Mi entries
/// in memory. So memory grows with the number of symbols (less than one byte each) and of
/// label pairs (about four bytes each), not with the number of series.
/// The bytes are those that Prometheus writes for the same symbols, series and chunks.
///
/// The file must be empty, and be readable too: a `File` opened so, or a `Cursor`.
///
/// Source: Prometheus `tsdb/docs/format/index.md`, `tsdb/index/index.go`.
///
/// See [`IndexChunk`] and [`IndexFile`](super::IndexFile).
#[derive(Debug)]
pub struct IndexWriter<W> {
    out: Out<W>,
    strings: Strings,
    series: Series,
    toc: Toc,
    /// Labels of the series before, as symbols, which are in byte order.
    last: Vec<(u32, u32)>,
    last_chunk: ChunkRef,
    entries_max: usize,
    ids: Vec<(u32, u32)>,
    content: Vec<u8>,
    buf: Vec<u8>,
}

impl<W: Read + Write + Seek> IndexWriter<W> {
    /// Writes header and symbols. `symbols` must hold every label name and value, in any
    /// order; the empty string is added. They are held until they are sorted.
    ///
    /// # Errors
    /// `Limit` for symbols of more than 4 GiB, `Unavailable` when writing fails.
    pub fn new<S: AsRef<[u8]>>(out: W, symbols: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut names: Vec<S> = symbols.into_iter().collect();
        names.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        Self::with_sorted_symbols(out, names.into_iter().map(Ok))
    }

    /// Writes header and symbols, which come in byte order, such as from a merge of those of
    /// other indexes; repeated ones count once, the empty string is added.
    ///
    /// # Errors
    /// `Invalid` for symbols out of order, and as [`IndexWriter::new`]; the first error of
    /// `symbols`.
    pub fn with_sorted_symbols<S: AsRef<[u8]>>(
        out: W,
        symbols: impl IntoIterator<Item = Result<S>>,
    ) -> Result<Self> {
        let mut out = Out::new(out);
        let mut header = Vec::new();
        encode_header(&mut header);
        out.put(&header)?;
        let at = out.pos();
        let strings = Strings::write(&mut out, symbols)?;
        let start = out.pos();
        let toc = Toc {
            symbols: at,
            series: start,
            label_indices: 0,
            label_indices_table: 0,
            postings: 0,
            postings_table: 0,
        };
        Ok(Self {
            out,
            strings,
            series: Series { section: start..start, count: 0, names: BTreeMap::new() },
            toc,
            last: Vec::new(),
            last_chunk: ChunkRef(0),
            entries_max: POSTINGS_ENTRIES_MAX,
            ids: Vec::new(),
            content: Vec::new(),
            buf: Vec::new(),
        })
    }

    /// The same writer with another number of entries held while postings are made, at
    /// least one; each entry takes 12 bytes.
    #[must_use]
    pub fn with_entries_max(self, entries_max: usize) -> Self {
        Self { entries_max, ..self }
    }

    /// Adds a series with its chunks; gives its number.
    ///
    /// # Errors
    /// `Invalid` for labels that do not ascend from series to series, labels whose strings
    /// are no symbols, chunks that overlap or whose references go down. `Limit` beyond the
    /// 64 GiB of an index.
    pub fn add(&mut self, labels: LabelsRef<'_>, chunks: &[IndexChunk]) -> Result<u32> {
        let mut ids = std::mem::take(&mut self.ids);
        ids.clear();
        for label in labels.iter() {
            ids.push((self.symbol(label.name)?, self.symbol(label.value)?));
        }
        let added = self.add_resolved(&ids, chunks).map_err(|e| e.context(format_args!("series {labels}")));
        self.ids = ids;
        added
    }

    /// Adds a series whose labels are given as numbers of symbols, counted from 0 in byte
    /// order; gives its number.
    ///
    /// # Errors
    /// As [`IndexWriter::add`]; `Invalid` for numbers without a symbol, and for names that do
    /// not ascend.
    pub fn add_resolved(&mut self, labels: &[(u32, u32)], chunks: &[IndexChunk]) -> Result<u32> {
        if self.series.count > 0 && self.last.as_slice() >= labels {
            return Err(Error::invalid("series is not after the series before"));
        }
        if !labels.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Error::invalid("label names do not ascend"));
        }
        let count = self.strings.len();
        if let Some((name, value)) = labels.iter().find(|(n, v)| u64::from(*n.max(v)) >= count) {
            return Err(Error::invalid(format!("symbols {name} and {value}, but there are {count}")));
        }
        self.content.clear();
        put_uvarint(&mut self.content, labels.len() as u64);
        for (name, value) in labels {
            put_uvarint(&mut self.content, u64::from(*name));
            put_uvarint(&mut self.content, u64::from(*value));
        }
        self.encode_chunks(chunks)?;
        let at = self.out.pos().next_multiple_of(16);
        let id = u32::try_from(at / 16).map_err(|_| Error::limit("index exceeds 64 GiB"))?;
        self.out.pad(16)?;
        self.buf.clear();
        put_uvarint(&mut self.buf, self.content.len() as u64);
        self.buf.extend_from_slice(&self.content);
        self.buf.extend_from_slice(&crc32c(&self.content).to_be_bytes());
        self.out.put(&self.buf)?;
        self.series.section.end = self.out.pos();
        self.series.count += 1;
        for (name, _) in labels {
            *self.series.names.entry(*name).or_default() += 1;
        }
        self.last_chunk = chunks.last().map_or(self.last_chunk, |c| c.reference);
        self.last.clear();
        self.last.extend_from_slice(labels);
        Ok(id)
    }

    fn encode_chunks(&mut self, chunks: &[IndexChunk]) -> Result<()> {
        let out = &mut self.content;
        put_uvarint(out, chunks.len() as u64);
        let (mut last, mut last_ref): (Option<IndexChunk>, _) = (None, self.last_chunk);
        for c in chunks {
            let Interval { mint, maxt } = c.interval;
            let overlap = last.is_some_and(|l| mint <= l.interval.maxt);
            if maxt < mint || overlap || c.reference < last_ref {
                return Err(Error::invalid(format!(
                    "chunk {} at {:#x} is out of order",
                    c.interval, c.reference.0
                )));
            }
            match last {
                None => put_varint(out, mint),
                Some(l) => put_uvarint(out, mint.wrapping_sub(l.interval.maxt) as u64),
            }
            put_uvarint(out, maxt.wrapping_sub(mint) as u64);
            match last {
                None => put_uvarint(out, c.reference.0),
                Some(l) => put_varint(out, c.reference.0.wrapping_sub(l.reference.0) as i64),
            }
            last_ref = c.reference;
            last = Some(*c);
        }
        Ok(())
    }

    fn symbol(&mut self, s: &[u8]) -> Result<u32> {
        let unknown = || Error::invalid(format!("{:?} is not among the symbols", String::from_utf8_lossy(s)));
        self.strings.find(&mut self.out, s)?.ok_or_else(unknown)
    }

    /// Writes postings, postings offset table and table of contents.
    ///
    /// # Errors
    /// `Limit` for a list or table of more than 4 GiB, `Unavailable` when writing or
    /// reading back fails.
    pub fn finish(mut self) -> Result<W> {
        self.toc.postings = self.out.pos();
        self.toc.label_indices = self.toc.postings;
        self.out.pad(4)?;
        let first = self.out.pos();
        let pairs = lists::write(&mut self.out, &self.series, self.strings.len(), self.entries_max)?;
        self.toc.postings_table = self.out.pos();
        self.toc.label_indices_table = self.toc.postings_table;
        lists::write_table(&mut self.out, &mut self.strings, &pairs, self.series.count, first)?;
        self.buf.clear();
        self.toc.encode(&mut self.buf);
        self.out.put(&self.buf)?;
        self.out.finish()
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.out.pos()
    }

    /// False: a header is there from the start.
    pub fn is_empty(&self) -> bool {
        self.out.pos() == 0
    }
}
