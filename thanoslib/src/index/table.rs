//! The postings offset table: where the list of each label pair lies.

use std::ops::Range;

use bytes::Bytes;

use super::{Toc, Version, section};
use crate::{encoding::Take, error::DecodeError};

/// Where a postings list lies in the index file: from its length field to the end of its
/// checksum; `end` may reach a little beyond.
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
/// value; version 1 is not, and is sorted here.
///
/// Source: Prometheus `tsdb/docs/format/index.md`.
#[derive(Clone, Debug)]
pub struct PostingsTable {
    content: Bytes,
    /// Where each entry begins in `content`, sorted by name, then value.
    starts: Vec<u32>,
    /// For each name the number of its first entry.
    names: Vec<u32>,
    /// The offsets of all lists in file order; empty when that is the order of the entries.
    lists: Vec<u64>,
    /// End of the last list.
    end: u64,
}

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
        let content = section(bytes, toc.postings_table as usize)?;
        let base = toc.postings_table as usize + 4;
        let mut take = Take::at(content, base);
        let count = take.be32()? as usize;
        // The smallest entry has four bytes.
        if count > take.rest().len() / 4 {
            return Err(take.error("more postings table entries than bytes"));
        }
        let mut starts = Vec::with_capacity(count);
        let mut ascending = true;
        let mut last = 0;
        for _ in 0..count {
            let at = take;
            starts.push(take.taken() as u32);
            let offset = item(&mut take)?.offset;
            if offset < toc.postings || offset >= toc.postings_table {
                return Err(at.error("postings list outside of the postings"));
            }
            ascending &= offset > last;
            last = offset;
        }
        if !take.is_empty() {
            return Err(take.error("bytes after the last postings table entry"));
        }
        let mut table = Self {
            content: bytes.slice_ref(content),
            starts,
            names: Vec::new(),
            lists: Vec::new(),
            end: toc.postings_table,
        };
        if version == Version::V1 {
            table.sort();
            ascending = false;
        }
        if !ascending {
            table.lists = (0..table.starts.len()).filter_map(|i| table.item(i)).map(|e| e.offset).collect();
            table.lists.sort_unstable();
        }
        table.find_names(base)?;
        Ok(table)
    }

    fn sort(&mut self) {
        let mut starts = std::mem::take(&mut self.starts);
        let key = |start: &u32| {
            let rest = self.content.get(*start as usize..).unwrap_or_default();
            item(&mut Take::new(rest)).map(|e| (e.name, e.value)).unwrap_or_default()
        };
        starts.sort_by(|a, b| key(a).cmp(&key(b)));
        self.starts = starts;
    }

    fn find_names(&mut self, base: usize) -> Result<(), DecodeError> {
        let mut names = Vec::new();
        let mut last: Option<(&[u8], &[u8])> = None;
        for (i, start) in self.starts.iter().enumerate() {
            let Some(e) = self.item(i) else { continue };
            match last {
                Some(l) if l >= (e.name, e.value) => {
                    return Err(DecodeError::new("postings table is not sorted", base + *start as usize));
                }
                Some((name, _)) if name == e.name => {}
                _ => names.push(i as u32),
            }
            last = Some((e.name, e.value));
        }
        self.names = names;
        Ok(())
    }

    fn item(&self, i: usize) -> Option<Item<'_>> {
        let rest = self.content.get(*self.starts.get(i)? as usize..)?;
        item(&mut Take::new(rest)).ok()
    }

    /// Numbers of the entries of name number `n`.
    fn entries(&self, n: usize) -> Range<usize> {
        let end = self.names.get(n + 1).map_or(self.starts.len(), |e| *e as usize);
        self.names.get(n).map_or(end, |s| *s as usize)..end
    }

    fn find_name(&self, name: &[u8]) -> Option<Range<usize>> {
        let key = |i: &u32| self.item(*i as usize).map_or(&[][..], |e| e.name);
        let n = self.names.binary_search_by(|i| key(i).cmp(name)).ok()?;
        Some(self.entries(n))
    }

    fn list(&self, i: usize) -> Option<ListRef> {
        let start = self.item(i)?.offset;
        let end = if self.lists.is_empty() {
            self.item(i + 1).map(|e| e.offset)
        } else {
            self.lists.get(self.lists.partition_point(|o| *o <= start)).copied()
        };
        Some(ListRef { start, end: end.unwrap_or(self.end) })
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The list of all series.
    pub fn all(&self) -> Option<ListRef> {
        self.find(b"", b"")
    }

    /// The list of the series with this label.
    pub fn find(&self, name: &[u8], value: &[u8]) -> Option<ListRef> {
        let entries = self.find_name(name)?;
        let starts = self.starts.get(entries.clone())?;
        let key = |start: &u32| {
            let rest = self.content.get(*start as usize..).unwrap_or_default();
            item(&mut Take::new(rest)).map_or(&[][..], |e| e.value)
        };
        let i = starts.binary_search_by(|s| key(s).cmp(value)).ok()?;
        self.list(entries.start + i)
    }

    /// Label names in order.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().filter_map(|i| self.item(*i as usize)).map(|e| e.name).filter(|n| !n.is_empty())
    }

    /// Values of a label in order, each with its list; none for an unknown name.
    pub fn values(&self, name: &[u8]) -> impl Iterator<Item = (&[u8], ListRef)> {
        let entries = self.find_name(name).unwrap_or(0..0);
        entries.filter_map(|i| Some((self.item(i)?.value, self.list(i)?)))
    }

    /// Bytes held in memory.
    pub fn size_bytes(&self) -> usize {
        self.content.len() + (self.starts.len() + self.names.len()) * 4 + self.lists.len() * 8
    }
}
