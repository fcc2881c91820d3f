//! The postings offset table: where the list of each label pair lies.

use std::ops::Range;

use bytes::Bytes;

use super::{Toc, Version, section};
use crate::{encoding::Take, error::DecodeError};

/// Where a postings list lies in the index file: from its length field to the end of its
/// checksum; `end` may reach a little beyond.
///
/// See [`PostingsTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListRef {
    /// File offset of the length field.
    pub start: u64,
    /// File offset after the list.
    pub end: u64,
}

impl ListRef {
    /// The bytes of the file.
    pub fn range(self) -> Range<u64> {
        self.start..self.end
    }

    /// Number of series at most.
    pub fn series_max(self) -> u64 {
        (self.end - self.start).saturating_sub(12) / 4
    }
}

/// Label names, their values and the postings list of each pair.
///
/// **Layout**: `len BE32 | content | CRC-32C of content`, where content is the number of
/// entries as BE32 and then for each entry the uvarint 2, name and value with their
/// lengths, and the file offset of the list as uvarint. Version 2 is sorted by name and
/// value; version 1 is not.
///
/// Beside the bytes, the places of some entries are held: of a sorted table the first and
/// then every `rate`-th of each name, what lies between is found by walking; of another
/// table all, sorted.
///
/// Source: Prometheus `tsdb/docs/format/index.md`.
///
/// ```
/// use std::io::Cursor;
/// use thanoslib::{index::{IndexFile, IndexWriter}, model::Labels};
/// let mut writer = IndexWriter::new(Cursor::new(Vec::new()), ["job", "api"])?;
/// let id = writer.add(Labels::from_pairs([("job", "api")]).view(), &[])?;
/// let index = IndexFile::open(writer.finish()?.into_inner().into())?;
/// let list = index.index().table.find(b"job", b"api").expect("the pair");
/// assert_eq!(index.postings(list)?.iter().collect::<Vec<_>>(), [id]);
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PostingsTable {
    content: Bytes,
    count: usize,
    /// Where entries begin in `content`, sorted by name, then value.
    starts: Vec<u32>,
    /// For each name the number in `starts` of its first entry.
    names: Vec<u32>,
    /// True when the entries follow each other in `content` in order.
    sorted: bool,
    /// The offsets of all lists in file order; empty when that is the order of the entries.
    lists: Vec<u64>,
    /// End of the last list.
    end: u64,
}

#[derive(Clone, Copy)]
struct Item<'a> {
    name: &'a [u8],
    value: &'a [u8],
    offset: u64,
}

fn item<'a>(take: &mut Take<'a>) -> Result<Item<'a>, DecodeError> {
    if take.uvarint()? != 2 {
        return Err(take.error("postings table entry without two keys"));
    }
    Ok(Item { name: take.str()?, value: take.str()?, offset: take.uvarint()? })
}

impl PostingsTable {
    /// Reads the section, which begins where `toc` says; every entry is checked.
    ///
    /// # Errors
    /// A section that is cut or whose checksum is wrong; entries that are out of order,
    /// repeated or point outside of the postings.
    pub fn parse(bytes: &Bytes, version: Version, toc: &Toc) -> Result<Self, DecodeError> {
        Self::parse_sampled(bytes, version, toc, 1)
    }

    /// The same, with the place of every `rate`-th value of a name held; 0 counts as 1. Of a
    /// version 1 table all places are held.
    ///
    /// # Errors
    /// As [`PostingsTable::parse`].
    pub fn parse_sampled(
        bytes: &Bytes,
        version: Version,
        toc: &Toc,
        rate: usize,
    ) -> Result<Self, DecodeError> {
        let content = section(bytes, toc.postings_table as usize)?;
        Self::from_content(bytes.slice_ref(content), version, toc, rate)
    }

    /// Reads the content of the section, which begins 4 bytes behind its place in `toc`.
    pub(crate) fn from_content(
        content: Bytes,
        version: Version,
        toc: &Toc,
        rate: usize,
    ) -> Result<Self, DecodeError> {
        let base = toc.postings_table as usize + 4;
        let mut take = Take::at(&content, base);
        let count = take.be32()? as usize;
        // The smallest entry has four bytes.
        if count > take.rest().len() / 4 {
            return Err(take.error("more postings table entries than bytes"));
        }
        let sorted = version == Version::V2;
        let rate = if sorted { rate.max(1) } else { 1 };
        let (mut starts, mut names) = (Vec::new(), Vec::new());
        let mut last: Option<Item<'_>> = None;
        let (mut ascending, mut of_name) = (true, 0);
        for _ in 0..count {
            let at = take;
            let entry = item(&mut take)?;
            if entry.offset < toc.postings || entry.offset >= toc.postings_table {
                return Err(at.error("postings list outside of the postings"));
            }
            ascending &= last.is_none_or(|l| l.offset < entry.offset);
            of_name += 1;
            if sorted {
                match last {
                    Some(l) if (l.name, l.value) >= (entry.name, entry.value) => {
                        return Err(at.error("postings table is not sorted"));
                    }
                    Some(l) if l.name == entry.name => {}
                    _ => {
                        names.push(starts.len() as u32);
                        of_name = 0;
                    }
                }
            }
            if of_name % rate == 0 {
                starts.push(at.taken() as u32);
            }
            last = Some(entry);
        }
        if !take.is_empty() {
            return Err(take.error("bytes after the last postings table entry"));
        }
        let mut table =
            Self { content, count, starts, names, sorted, lists: Vec::new(), end: toc.postings_table };
        if !sorted {
            table.sort(base)?;
        }
        if !sorted || !ascending {
            table.lists = table.all_offsets();
        }
        Ok(table)
    }

    /// Sorts the places of all entries and finds the first of each name.
    fn sort(&mut self, base: usize) -> Result<(), DecodeError> {
        let mut starts = std::mem::take(&mut self.starts);
        let key = |start: u32| self.item(start).map(|e| (e.name, e.value)).unwrap_or_default();
        starts.sort_by(|a, b| key(*a).cmp(&key(*b)));
        let (mut last, mut names) = (None, Vec::new());
        for (i, start) in starts.iter().enumerate() {
            let (name, value) = key(*start);
            match last {
                Some(l) if l == (name, value) => {
                    return Err(DecodeError::new("postings table repeats a pair", base + *start as usize));
                }
                Some((n, _)) if n == name => {}
                _ => names.push(i as u32),
            }
            last = Some((name, value));
        }
        (self.starts, self.names) = (starts, names);
        Ok(())
    }

    fn all_offsets(&self) -> Vec<u64> {
        let mut take = Take::new(self.content.get(4..).unwrap_or_default());
        let mut lists: Vec<u64> =
            (0..self.count).map_while(|_| item(&mut take).ok()).map(|e| e.offset).collect();
        lists.sort_unstable();
        lists
    }

    /// The entry that begins at `start`.
    fn item(&self, start: u32) -> Option<Item<'_>> {
        item(&mut Take::new(self.content.get(start as usize..)?)).ok()
    }

    /// The numbers in `starts` of the entries of a name.
    fn find_name(&self, name: &[u8]) -> Option<Range<usize>> {
        let key = |i: &u32| self.name_at(*i).cmp(name);
        let n = self.names.binary_search_by(key).ok()?;
        let end = self.names.get(n + 1).map_or(self.starts.len(), |e| *e as usize);
        Some(*self.names.get(n)? as usize..end)
    }

    fn name_at(&self, i: u32) -> &[u8] {
        self.starts.get(i as usize).and_then(|s| self.item(*s)).map_or(&[][..], |e| e.name)
    }

    /// The entries from number `from` of `starts` on, up to number `to`.
    fn walk(&self, from: usize, to: usize) -> Walk<'_> {
        let place = |i: usize| self.starts.get(i).map_or(self.content.len(), |s| *s as usize);
        let mut walk = Walk {
            table: self,
            starts: self.starts.get(from..to).unwrap_or_default().iter(),
            take: Take::new(self.content.get(place(from)..).unwrap_or_default()),
            stop: place(to).saturating_sub(place(from)),
            ahead: None,
        };
        if self.sorted {
            walk.ahead = item(&mut walk.take).ok().filter(|_| walk.stop > 0);
        }
        walk
    }

    /// End of the list at `offset`, when the entries do not tell it.
    fn end_of(&self, offset: u64) -> u64 {
        self.lists.get(self.lists.partition_point(|o| *o <= offset)).copied().unwrap_or(self.end)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The list of all series.
    pub fn all(&self) -> Option<ListRef> {
        self.find(b"", b"")
    }

    /// The list of the series with this label.
    pub fn find(&self, name: &[u8], value: &[u8]) -> Option<ListRef> {
        let entries = self.find_name(name)?;
        let starts = self.starts.get(entries.clone())?;
        let key = |start: &u32| self.item(*start).is_some_and(|e| e.value <= value);
        let i = entries.start + starts.partition_point(key).checked_sub(1)?;
        let entry = self.walk(i, (i + 1).min(entries.end)).find(|(v, _)| *v >= value)?;
        (entry.0 == value).then_some(entry.1)
    }

    /// Label names in order.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|i| self.name_at(*i)).filter(|n| !n.is_empty())
    }

    /// Values of a label in order, each with its list; none for an unknown name.
    pub fn values(&self, name: &[u8]) -> impl Iterator<Item = (&[u8], ListRef)> {
        let entries = self.find_name(name).unwrap_or(0..0);
        self.walk(entries.start, entries.end)
    }

    /// Every pair with its list, sorted by name, then value; the list of all series comes
    /// first.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], ListRef)> {
        self.names.iter().enumerate().flat_map(move |(n, first)| {
            let end = self.names.get(n + 1).map_or(self.starts.len(), |e| *e as usize);
            let name = self.name_at(*first);
            self.walk(*first as usize, end).map(move |(value, list)| (name, value, list))
        })
    }

    /// Bytes held in memory.
    pub fn size_bytes(&self) -> usize {
        self.content.len() + self.index_bytes()
    }

    /// Bytes held in memory beside the bytes of the section.
    pub(super) fn index_bytes(&self) -> usize {
        (self.starts.len() + self.names.len()) * 4 + self.lists.len() * 8
    }
}

/// Entries in order, each with its list.
struct Walk<'a> {
    table: &'a PostingsTable,
    /// Places of the entries, used when the table is not sorted.
    starts: std::slice::Iter<'a, u32>,
    take: Take<'a>,
    /// Bytes of `take` after which no further entry is wanted.
    stop: usize,
    ahead: Option<Item<'a>>,
}

impl<'a> Iterator for Walk<'a> {
    type Item = (&'a [u8], ListRef);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if !self.table.sorted {
            let entry = self.table.item(*self.starts.next()?)?;
            let end = self.table.end_of(entry.offset);
            return Some((entry.value, ListRef { start: entry.offset, end }));
        }
        let entry = self.ahead.take()?;
        let wanted = self.take.taken() < self.stop;
        // The list ends where that of the next entry begins, be it of another name.
        let next = item(&mut self.take).ok();
        let end = match next {
            _ if !self.table.lists.is_empty() => self.table.end_of(entry.offset),
            Some(next) => next.offset,
            None => self.table.end,
        };
        self.ahead = next.filter(|_| wanted);
        Some((entry.value, ListRef { start: entry.offset, end }))
    }
}
