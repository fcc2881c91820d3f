//! The strings of an index.

use bytes::Bytes;

use super::{Version, section};
use crate::{encoding::Take, error::DecodeError};

/// All label names and values of an index, each once, in byte order.
///
/// **Layout**: `len BE32 | content | CRC-32C of content`, where content is the number of
/// strings as BE32 and then each string with its length as uvarint. A reference is the
/// number of the string (version 2) or its file offset (version 1).
///
/// Beside the bytes, the place of every `rate`-th string is held; what lies between is found
/// by walking from the one before.
///
/// Source: Prometheus `tsdb/docs/format/index.md`.
///
/// ```
/// use std::io::Cursor;
/// use thanoslib::index::{IndexFile, IndexWriter};
/// let index = IndexWriter::new(Cursor::new(Vec::new()), ["job", "api"])?.finish()?.into_inner();
/// let index = IndexFile::open(index.into())?;
/// let symbols = &index.index().symbols;
/// assert_eq!((symbols.find(b"api"), symbols.get(2)), (Some(1), Some(&b"job"[..])));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Symbols {
    content: Bytes,
    count: usize,
    /// Where the length of every `rate`-th string begins in `content`.
    starts: Vec<u32>,
    rate: usize,
    /// File offset of `content`.
    base: u64,
    version: Version,
    /// True when each string is greater than the one before, as the format wants it.
    ascend: bool,
}

impl Symbols {
    /// Reads the section, which begins at file offset `offset`; every string is checked.
    ///
    /// # Errors
    /// A section that is cut, whose checksum is wrong or that holds fewer strings than it says.
    pub fn parse(bytes: &Bytes, version: Version, offset: u64) -> Result<Self, DecodeError> {
        Self::parse_sampled(bytes, version, offset, 1)
    }

    /// The same, with the place of every `rate`-th string held; 0 counts as 1.
    ///
    /// # Errors
    /// As [`Symbols::parse`].
    pub fn parse_sampled(
        bytes: &Bytes,
        version: Version,
        offset: u64,
        rate: usize,
    ) -> Result<Self, DecodeError> {
        let content = section(bytes, offset as usize)?;
        Self::from_content(bytes.slice_ref(content), version, offset + 4, rate)
    }

    /// Reads the content of the section, which begins at file offset `base`.
    pub(crate) fn from_content(
        content: Bytes,
        version: Version,
        base: u64,
        rate: usize,
    ) -> Result<Self, DecodeError> {
        let rate = rate.max(1);
        let mut take = Take::at(&content, base as usize);
        let count = take.be32()? as usize;
        // Each string takes a byte at least.
        if count > take.rest().len() {
            return Err(take.error("more symbols than bytes"));
        }
        let mut starts = Vec::with_capacity(count.div_ceil(rate));
        let (mut ascend, mut last): (bool, &[u8]) = (true, b"");
        for i in 0..count {
            if i.is_multiple_of(rate) {
                starts.push(take.taken() as u32);
            }
            let string = take.str()?;
            ascend &= i == 0 || last < string;
            last = string;
        }
        if !take.is_empty() {
            return Err(take.error("bytes after the last symbol"));
        }
        Ok(Self { content, count, starts, rate, base, version, ascend })
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True without strings.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The string that a series entry calls `reference`.
    #[inline]
    pub fn get(&self, reference: u32) -> Option<&[u8]> {
        match self.version {
            Version::V2 => self.nth(reference as usize),
            Version::V1 => self.at(reference),
        }
    }

    /// The string at a file offset, if one begins there.
    fn at(&self, reference: u32) -> Option<&[u8]> {
        let start = u32::try_from(u64::from(reference).checked_sub(self.base)?).ok()?;
        let sample = self.starts.partition_point(|s| *s <= start).checked_sub(1)?;
        let mut take = self.walk(sample)?;
        let first = *self.starts.get(sample)? as usize;
        for _ in 0..self.rate {
            let here = first + take.taken();
            if here >= start as usize {
                return if here == start as usize { take.str().ok() } else { None };
            }
            take.str().ok()?;
        }
        None
    }

    /// A cursor at sampled string number `sample`.
    fn walk(&self, sample: usize) -> Option<Take<'_>> {
        Some(Take::new(self.content.get(*self.starts.get(sample)? as usize..)?))
    }

    fn nth(&self, i: usize) -> Option<&[u8]> {
        Take::new(self.content.get(self.place(i)?..)?).str().ok()
    }

    /// Where the length of string number `i` lies in the content.
    #[inline]
    pub(super) fn place(&self, i: usize) -> Option<usize> {
        let start = *self.starts.get(i / self.rate)? as usize;
        if self.rate == 1 {
            return Some(start);
        }
        if i >= self.count {
            return None;
        }
        let mut at = start;
        for _ in 0..i % self.rate {
            at += match *self.content.get(at)? {
                len @ 0..0x80 => 1 + usize::from(len),
                _ => {
                    let mut take = Take::new(self.content.get(at..)?);
                    take.str().ok()?;
                    take.taken()
                }
            };
        }
        Some(at)
    }

    /// The bytes that places count in.
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    /// The place of every string, if all are held.
    pub(super) fn places(&self) -> Option<&[u32]> {
        (self.rate == 1).then_some(&self.starts)
    }

    /// True when references are numbers that compare as their strings do.
    pub(super) fn numbers_ascend(&self) -> bool {
        self.ascend && self.version == Version::V2
    }

    /// The reference of a string, if the index has it.
    pub fn find(&self, string: &[u8]) -> Option<u32> {
        let first = |s: &u32| {
            let rest = self.content.get(*s as usize..).unwrap_or_default();
            Take::new(rest).str().is_ok_and(|s| s <= string)
        };
        let sample = self.starts.partition_point(first).checked_sub(1)?;
        let mut take = self.walk(sample)?;
        let start = u64::from(*self.starts.get(sample)?);
        let number = sample * self.rate;
        for i in number..self.count.min(number + self.rate) {
            let here = start + take.taken() as u64;
            match take.str().ok()?.cmp(string) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => {
                    return match self.version {
                        Version::V2 => u32::try_from(i).ok(),
                        Version::V1 => u32::try_from(self.base + here).ok(),
                    };
                }
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut take = Take::new(self.content.get(4..).unwrap_or_default());
        (0..self.count).map_while(move |_| take.str().ok())
    }

    /// Bytes held in memory.
    pub fn size_bytes(&self) -> usize {
        self.content.len() + self.index_bytes()
    }

    /// Bytes held in memory beside the bytes of the section.
    pub(super) fn index_bytes(&self) -> usize {
        self.starts.len() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{crc32c, put_uvarint};

    #[test]
    fn strings_are_found_at_every_sampling_rate() {
        let names: Vec<String> = (0..100).map(|i| format!("{:03}", i * 3)).collect();
        let mut content = (names.len() as u32).to_be_bytes().to_vec();
        let mut starts = Vec::new();
        for name in &names {
            starts.push(content.len() as u32);
            put_uvarint(&mut content, name.len() as u64);
            content.extend_from_slice(name.as_bytes());
        }
        let mut bytes = (content.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&content);
        bytes.extend_from_slice(&crc32c(&content).to_be_bytes());
        let bytes = Bytes::from(bytes);
        for rate in [0, 1, 2, 7, 32, 100, 1000] {
            let v2 = Symbols::parse_sampled(&bytes, Version::V2, 5, rate).expect("valid");
            let v1 = Symbols::parse_sampled(&bytes, Version::V1, 5, rate).expect("valid");
            assert!(v2.iter().eq(names.iter().map(String::as_bytes)));
            for (i, name) in names.iter().enumerate() {
                let name = name.as_bytes();
                assert_eq!(v2.get(i as u32), Some(name), "rate {rate}");
                assert_eq!(v1.get(9 + starts[i]), Some(name), "rate {rate}");
                assert_eq!(v1.get(10 + starts[i]), None, "rate {rate}");
                assert_eq!(v2.find(name), Some(i as u32));
                assert_eq!(v1.find(name), Some(9 + starts[i]));
            }
            assert_eq!((v2.get(100), v1.get(8), v1.get(5000)), (None, None, None));
            for absent in ["", "001", "298", "9"] {
                assert_eq!(v2.find(absent.as_bytes()), None, "{absent}");
            }
        }
    }
}
