//! The parts of an index that every request needs, and a reader for whole files.

use std::ops::Range;

use bytes::Bytes;

use super::{
    Entry, HEADER_LEN, ListRef, Postings, PostingsPlan, PostingsTable, SeriesEntry, Symbols, Toc, Version,
    label_values, parse_header, plan_postings, select::list_in,
};
use crate::{
    error::{DecodeError, Result},
    model::{Labels, LabelsRef, Matcher},
};

/// Symbols and postings offset table of an index, and where the rest of it lies.
///
/// See [`IndexFile`].
#[derive(Clone, Debug)]
pub struct Index {
    /// Format version.
    pub version: Version,
    /// Where the sections begin.
    pub toc: Toc,
    /// All strings.
    pub symbols: Symbols,
    /// Where the postings lists lie.
    pub table: PostingsTable,
}

impl Index {
    /// The bytes that hold the symbols, to be read after the table of contents.
    pub fn symbols_range(toc: &Toc) -> Range<u64> {
        toc.symbols..toc.series
    }

    /// The bytes that hold the postings offset table in a file of `file_len` bytes.
    pub fn table_range(toc: &Toc, file_len: u64) -> Range<u64> {
        toc.postings_table..file_len.saturating_sub(Toc::LEN as u64)
    }

    /// Puts the parts together; `symbols` and `table` begin where `toc` says.
    ///
    /// # Errors
    /// What [`Symbols::parse`] and [`PostingsTable::parse`] find.
    pub fn from_parts(
        version: Version,
        toc: Toc,
        symbols: &Bytes,
        table: &Bytes,
    ) -> Result<Self, DecodeError> {
        Self::from_parts_sampled(version, toc, symbols, table, 1)
    }

    /// The same, with the place of every `sampling`-th symbol and value held.
    ///
    /// # Errors
    /// As [`Index::from_parts`].
    pub fn from_parts_sampled(
        version: Version,
        toc: Toc,
        symbols: &Bytes,
        table: &Bytes,
        sampling: usize,
    ) -> Result<Self, DecodeError> {
        let symbols = Symbols::parse_sampled(symbols, version, toc.symbols, sampling)?;
        let table = PostingsTable::parse_sampled(table, version, &toc, sampling)?;
        Ok(Self { version, toc, symbols, table })
    }

    /// File offset of the entry of series `id`.
    ///
    /// # Errors
    /// An id that points outside of the series section.
    pub fn series_offset(&self, id: u32) -> Result<u64, DecodeError> {
        let offset = self.version.series_offset(id);
        if offset < self.toc.series || offset >= self.toc.postings {
            return Err(DecodeError::new("series outside of the series section", offset as usize));
        }
        Ok(offset)
    }

    /// Bytes held in memory.
    pub fn size_bytes(&self) -> usize {
        self.symbols.size_bytes() + self.table.size_bytes()
    }

    /// Bytes held in memory beside the bytes of symbols and table, which may be mapped.
    pub fn held_bytes(&self) -> usize {
        self.symbols.index_bytes() + self.table.index_bytes()
    }
}

/// A whole index in memory or mapped.
///
/// ```
/// use std::io::Cursor;
/// use thanoslib::{index::{IndexFile, IndexWriter}, model::{Labels, Matcher}};
/// let mut writer = IndexWriter::new(Cursor::new(Vec::new()), ["job", "api", "web"])?;
/// for job in ["api", "web"] {
///     writer.add(Labels::from_pairs([("job", job)]).view(), &[])?;
/// }
/// let index = IndexFile::open(writer.finish()?.into_inner().into())?;
/// assert_eq!(index.select(&[Matcher::equal("job", "web")])?.len(), 1);
/// assert_eq!(index.label_values(b"job", &[])?, [b"api", b"web"]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct IndexFile {
    bytes: Bytes,
    index: Index,
}

impl IndexFile {
    /// Opens an index from the bytes of its file.
    ///
    /// # Errors
    /// Anything wrong with header, table of contents, symbols or postings offset table.
    pub fn open(bytes: Bytes) -> Result<Self, DecodeError> {
        let len = bytes.len();
        let version = parse_header(&bytes)?;
        let Some(toc) = len.checked_sub(Toc::LEN).filter(|n| *n >= HEADER_LEN).and_then(|n| bytes.get(n..))
        else {
            return Err(DecodeError::new("index is too short", len));
        };
        let toc = Toc::parse(toc, len as u64)?;
        let part = |r: Range<u64>| match bytes.get(r.start as usize..r.end as usize) {
            Some(part) => Ok(bytes.slice_ref(part)),
            None => Err(DecodeError::new("index section outside of the file", r.start as usize)),
        };
        let symbols = part(Index::symbols_range(&toc))?;
        let table = part(Index::table_range(&toc, len as u64))?;
        let index = Index::from_parts(version, toc, &symbols, &table)?;
        Ok(Self { bytes, index })
    }

    /// Symbols, postings offset table and places.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The postings list at a place.
    ///
    /// # Errors
    /// What [`Postings::parse`] finds.
    pub fn postings(&self, list: ListRef) -> Result<Postings<'_>, DecodeError> {
        list_in(&self.bytes, list)
    }

    /// The series that satisfy all matchers, ascending.
    ///
    /// # Errors
    /// `Corrupt` when a postings list is.
    pub fn select(&self, matchers: &[Matcher]) -> Result<Vec<u32>> {
        self.plan_series(&plan_postings(&self.index.table, matchers))
    }

    fn plan_series(&self, plan: &PostingsPlan) -> Result<Vec<u32>> {
        plan.series(|list| Ok(self.postings(list)?))
    }

    /// Sorted values of a label over the series that satisfy all matchers; over all series
    /// without matchers.
    ///
    /// # Errors
    /// `Corrupt` when a postings list is.
    pub fn label_values(&self, name: &[u8], matchers: &[Matcher]) -> Result<Vec<&[u8]>> {
        if matchers.is_empty() {
            return Ok(self.index.table.values(name).map(|(value, _)| value).collect());
        }
        let series = self.select(matchers)?;
        // Fewer entries than lists: the series are asked what they have.
        if series.len() < self.index.table.values(name).count() {
            return self.values_of(name, &series);
        }
        label_values(&self.index.table, name, &series, |list| Ok(self.postings(list)?))
    }

    /// Sorted values of a label, from the entries of some series.
    fn values_of(&self, name: &[u8], series: &[u32]) -> Result<Vec<&[u8]>> {
        let symbol = |id| self.index.symbols.get(id);
        let (mut entry, mut values) = (SeriesEntry::default(), Vec::new());
        for id in series {
            self.series(*id, &mut entry)?;
            let label = entry.labels.iter().find(|(n, _)| symbol(*n) == Some(name));
            values.extend(label.and_then(|(_, value)| symbol(*value)));
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    /// Sorted label names over the series that satisfy all matchers; over all series
    /// without matchers.
    ///
    /// # Errors
    /// `Corrupt` when a postings list or a series entry is.
    pub fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<&[u8]>> {
        if matchers.is_empty() {
            return Ok(self.index.table.names().collect());
        }
        let (mut entry, mut names) = (SeriesEntry::default(), std::collections::BTreeSet::new());
        let all = self.index.table.names().count();
        for id in self.select(matchers)? {
            if names.len() == all {
                break;
            }
            self.series(id, &mut entry)?;
            names.extend(entry.labels.iter().map(|(name, _)| *name));
        }
        let mut names: Vec<_> = names.into_iter().filter_map(|n| self.index.symbols.get(n)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Reads the entry of a series.
    ///
    /// # Errors
    /// An id without an entry, an entry that is cut, or one whose checksum or content is wrong.
    pub fn series(&self, id: u32, entry: &mut SeriesEntry) -> Result<(), DecodeError> {
        let offset = self.index.series_offset(id)?;
        let rest = self.bytes.get(offset as usize..self.index.toc.postings as usize).unwrap_or_default();
        match entry.parse(rest, offset)? {
            Entry::Whole(_) => Ok(()),
            Entry::Short(_) => Err(DecodeError::new("series entry is cut", offset as usize)),
        }
    }

    /// Labels of an entry that was read before.
    ///
    /// # Errors
    /// References to strings that do not exist, labels that are not sorted.
    pub fn labels(&self, entry: &SeriesEntry) -> Result<Labels, DecodeError> {
        let mut flat = Vec::new();
        entry.append_labels(&self.index.symbols, 0, &mut flat)?;
        Ok(LabelsRef::from_flat(&flat).to_labels())
    }
}
