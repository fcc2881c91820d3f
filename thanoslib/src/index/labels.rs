//! From the references of a series entry to its labels.

use std::cmp::Ordering;

use super::{SeriesEntry, Symbols};
use crate::{
    encoding::Take,
    error::DecodeError,
    model::{Label, append_flat_string},
};

/// Bytes that a string is copied by, its length included.
const WINDOW: usize = 32;
/// Places that are remembered of a table that holds only some.
const SEEN: usize = 1 << 10;

/// Gives the labels of series entries of one index, which use the same names again and again.
///
/// A string of the table, with its length in front, is a string of flat labels as it is, unless
/// it is long; so it is copied in one go, where its place is held or was found before.
///
/// ```
/// use std::io::Cursor;
/// use thanoslib::index::{IndexFile, IndexWriter, LabelReader, SeriesEntry};
/// use thanoslib::model::Labels;
/// let labels = Labels::from_pairs([("job", "api")]);
/// let mut writer = IndexWriter::new(Cursor::new(Vec::new()), ["job", "api"])?;
/// let id = writer.add(labels.view(), &[])?;
/// let index = IndexFile::open(writer.finish()?.into_inner().into())?;
/// let mut reader = LabelReader::new(&index.index().symbols);
/// let (mut entry, mut flat) = (SeriesEntry::default(), Vec::new());
/// index.series(id, &mut entry)?;
/// reader.append(&entry, 0, &mut flat)?;
/// assert_eq!(flat, labels.as_bytes());
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LabelReader<'a> {
    symbols: &'a Symbols,
    /// Number and place of strings found before, at the number modulo [`SEEN`]; none when the
    /// table holds all places.
    seen: Vec<(u32, u32)>,
}

impl<'a> LabelReader<'a> {
    /// A reader of labels that consist of these strings.
    #[inline]
    pub fn new(symbols: &'a Symbols) -> Self {
        Self { symbols, seen: Vec::new() }
    }

    /// Appends the labels of an entry in flat form, the layout of
    /// [`Labels`](crate::model::Labels); `base` is the file offset of the entry.
    ///
    /// # Errors
    /// References to strings that do not exist; label names out of order or repeated.
    #[inline]
    pub fn append(&mut self, entry: &SeriesEntry, base: u64, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.append_pairs(&entry.labels, base, out)
    }

    /// The same for the references of names and values alone.
    #[inline]
    pub(crate) fn append_pairs(
        &mut self,
        labels: &[(u32, u32)],
        base: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let start = out.len();
        let done = match self.symbols.places() {
            _ if !self.symbols.numbers_ascend() => None,
            Some(places) => {
                let place = |number: u32| Some(*places.get(number as usize)? as usize);
                append_ascending(self.symbols.content(), labels, place, out)
            }
            None => self.append_sampled(labels, out),
        };
        match done {
            Some(()) => Ok(()),
            None => {
                out.truncate(start);
                self.append_compared(labels, base, out)
            }
        }
    }

    /// Appends labels whose strings have to be searched, unless they are remembered.
    fn append_sampled(&mut self, labels: &[(u32, u32)], out: &mut Vec<u8>) -> Option<()> {
        let (symbols, seen) = (self.symbols, &mut self.seen);
        // No string lies at place 0, where their count is.
        seen.resize(SEEN, (0, 0));
        let place = |number: u32| {
            let slot = seen.get_mut(number as usize % SEEN)?;
            if slot.0 != number || slot.1 == 0 {
                *slot = (number, u32::try_from(symbols.place(number as usize)?).ok()?);
            }
            Some(slot.1 as usize)
        };
        append_ascending(symbols.content(), labels, place, out)
    }

    /// Appends labels of a table whose numbers tell nothing about order, and finds what is wrong
    /// with others.
    #[cold]
    fn append_compared(
        &self,
        labels: &[(u32, u32)],
        base: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let mut last: &[u8] = b"";
        for &(name, value) in labels {
            let (Some(name), Some(value)) = (self.symbols.get(name), self.symbols.get(value)) else {
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

/// Appends labels by their places in `content`; `None` when names do not ascend or a string is
/// missing.
#[inline(always)]
fn append_ascending(
    content: &[u8],
    labels: &[(u32, u32)],
    mut place: impl FnMut(u32) -> Option<usize>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let mut last = None;
    for &(name, value) in labels {
        let start = out.len();
        let len = append_string(content, place(name)?, out)?;
        if last >= Some(name) || len == 0 {
            return None;
        }
        last = Some(name);
        if append_string(content, place(value)?, out)? == 0 {
            out.truncate(start);
        }
    }
    Some(())
}

/// Appends the string at a place; gives its length.
#[inline(always)]
fn append_string(content: &[u8], at: usize, out: &mut Vec<u8>) -> Option<usize> {
    let rest = content.get(at..)?;
    match rest.first_chunk::<WINDOW>() {
        Some(window) if usize::from(window[0]) < WINDOW => {
            let len = usize::from(window[0]);
            let end = out.len() + 1 + len;
            out.extend_from_slice(window);
            out.truncate(end);
            Some(len)
        }
        _ => append_long(rest, out),
    }
}

/// Appends a string that is long or lies at the end of the table.
#[inline(never)]
fn append_long(rest: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let string = Take::new(rest).str().ok()?;
    append_flat_string(string, out);
    Some(string.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        encoding::{crc32c, put_uvarint},
        index::Version,
    };

    /// Strings of many lengths: where lengths take more bytes, and where windows end.
    fn strings() -> Vec<Vec<u8>> {
        let lengths = [1, 2, 30, 31, 32, 33, 126, 127, 128, 254, 255, 256, 300, 2000];
        let mut strings: Vec<Vec<u8>> =
            lengths.iter().flat_map(|n| [b'a', b'b'].map(|c| vec![c; *n])).collect();
        strings.push(Vec::new());
        strings.sort();
        strings
    }

    fn symbols(strings: &[Vec<u8>], version: Version, rate: usize) -> Symbols {
        let mut content = (strings.len() as u32).to_be_bytes().to_vec();
        for s in strings {
            put_uvarint(&mut content, s.len() as u64);
            content.extend_from_slice(s);
        }
        let section = [&(content.len() as u32).to_be_bytes()[..], &content, &crc32c(&content).to_be_bytes()];
        Symbols::parse_sampled(&section.concat().into(), version, 5, rate).expect("symbols")
    }

    fn entry(labels: &[(u32, u32)]) -> SeriesEntry {
        SeriesEntry { labels: labels.to_vec(), chunks: Vec::new() }
    }

    #[test]
    fn labels_are_those_of_the_table_of_any_kind() {
        let sorted = strings();
        let mut unsorted = sorted.clone();
        unsorted[1..].reverse();
        for (strings, version) in [(&sorted, Version::V2), (&sorted, Version::V1), (&unsorted, Version::V2)] {
            for rate in [1, 2, 3, 32] {
                let symbols = symbols(strings, version, rate);
                let number = |s: &[u8]| match version {
                    Version::V2 => strings.iter().position(|o| o == s).expect("a string") as u32,
                    Version::V1 => symbols.find(s).expect("a string"),
                };
                let mut reader = LabelReader::new(&symbols);
                for value in &sorted {
                    let (mut want, mut labels) = (vec![9], Vec::new());
                    for name in &sorted[1..] {
                        labels.push((number(name), number(value)));
                        if !value.is_empty() {
                            Label { name, value }.append_flat(&mut want);
                        }
                    }
                    let mut out = vec![9];
                    reader.append(&entry(&labels), 0, &mut out).expect("labels");
                    assert!(out == want, "value of {} bytes, {version:?}, every {rate}", value.len());
                }
            }
        }
    }

    #[test]
    fn wrong_references_are_errors() {
        for rate in [1, 3] {
            let symbols = symbols(&strings(), Version::V2, rate);
            let count = symbols.len() as u32;
            let mut reader = LabelReader::new(&symbols);
            let mut check = |labels: &[(u32, u32)], want: &'static str| {
                let got = reader.append(&entry(labels), 77, &mut Vec::new());
                assert_eq!(got, Err(DecodeError::new(want, 77)), "{labels:?}");
            };
            for bad in [count, count + 1, u32::MAX] {
                check(&[(1, 2), (bad, 2)], "series entry: unknown symbol");
                check(&[(1, 2), (2, bad)], "series entry: unknown symbol");
                check(&[(3, 2), (2, bad)], "series entry: unknown symbol");
            }
            check(&[(0, 1)], "series entry: labels are not sorted");
            check(&[(1, 1), (1, 2)], "series entry: labels are not sorted");
            check(&[(2, 1), (1, 2)], "series entry: labels are not sorted");
        }
    }
}
