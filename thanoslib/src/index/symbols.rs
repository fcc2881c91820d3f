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
/// Source: Prometheus `tsdb/docs/format/index.md`.
#[derive(Clone, Debug)]
pub struct Symbols {
    content: Bytes,
    /// Where each string's length begins in `content`.
    starts: Vec<u32>,
    /// File offset of `content`.
    base: u64,
    version: Version,
}

impl Symbols {
    /// Reads the section, which begins at file offset `offset`; every string is checked.
    ///
    /// # Errors
    /// A section that is cut, whose checksum is wrong or that holds fewer strings than it says.
    pub fn parse(bytes: &Bytes, version: Version, offset: u64) -> Result<Self, DecodeError> {
        let content = section(bytes, offset as usize)?;
        let base = offset + 4;
        let mut take = Take::at(content, base as usize);
        let count = take.be32()? as usize;
        // Each string takes a byte at least.
        if count > take.rest().len() {
            return Err(take.error("more symbols than bytes"));
        }
        let mut starts = Vec::with_capacity(count);
        for _ in 0..count {
            starts.push(take.taken() as u32);
            take.str()?;
        }
        if !take.is_empty() {
            return Err(take.error("bytes after the last symbol"));
        }
        Ok(Self { content: bytes.slice_ref(content), starts, base, version })
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// True without strings.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The string that a series entry calls `reference`.
    #[inline]
    pub fn get(&self, reference: u32) -> Option<&[u8]> {
        let i = match self.version {
            Version::V2 => reference as usize,
            Version::V1 => {
                let start = u64::from(reference).checked_sub(self.base)?;
                self.starts.binary_search(&u32::try_from(start).ok()?).ok()?
            }
        };
        self.nth(i)
    }

    fn nth(&self, i: usize) -> Option<&[u8]> {
        let rest = self.content.get(*self.starts.get(i)? as usize..)?;
        Take::new(rest).str().ok()
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|i| self.nth(i))
    }

    /// Bytes held in memory.
    pub fn size_bytes(&self) -> usize {
        self.content.len() + self.starts.len() * 4
    }
}
