//! Postings: ascending series numbers of a label pair, and operations on such sets.
//!
//! Lists are read where they lie, big-endian in the bytes of an index; nothing is copied first.
//!
//! Invariant: knows numbers only; neither labels nor files.

mod blocks;
mod codec;
mod dense;
mod gallop;
mod ids;
mod members;
mod ops;

pub use codec::{PostingsDecoder, encode_postings};
pub use ids::{Id, SortedIds};
pub use ops::{intersect, intersects, subtract, union};
pub(super) use ops::{intersect_any, subtract_all};

use crate::{
    encoding::{Take, crc32c},
    error::DecodeError,
};

/// A postings list as it lies in an index: big-endian numbers, strictly ascending.
///
/// **Layout**: `len BE32 | count BE32 | count × BE32 | CRC-32C of count and numbers`.
///
/// Source: Prometheus `tsdb/docs/format/index.md`.
///
/// See [`PostingsTable`](super::PostingsTable).
#[derive(Clone, Copy, Debug, Default)]
pub struct Postings<'a> {
    ids: &'a [[u8; 4]],
}

impl<'a> Postings<'a> {
    /// Reads the list at the start of `bytes`, which lies at file offset `base`; bytes
    /// behind the list are ignored.
    ///
    /// # Errors
    /// A list that is cut, whose checksum is wrong, or whose numbers do not ascend.
    pub fn parse(bytes: &'a [u8], base: u64) -> Result<Self, DecodeError> {
        let mut take = Take::at(bytes, base as usize);
        let len = take.be32()? as usize;
        let content = take.bytes(len)?;
        let at = take.offset();
        if take.be32()? != crc32c(content) {
            return Err(DecodeError::new("postings checksum mismatch", at));
        }
        let mut content = Take::at(content, base as usize + 4);
        let count = content.be32()? as usize;
        let (ids, rest) = content.rest().as_chunks::<4>();
        if count != ids.len() || !rest.is_empty() {
            return Err(DecodeError::new("postings: count and length differ", base as usize + 4));
        }
        if let Some(i) = fault(ids) {
            return Err(DecodeError::new("postings do not ascend", base as usize + 12 + i * 4));
        }
        Ok(Self { ids })
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True without series.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The numbers in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.ids.iter().map(|b| u32::from_be_bytes(*b))
    }
}

impl SortedIds for Postings<'_> {
    type Id = [u8; 4];

    fn ids(&self) -> &[[u8; 4]] {
        self.ids
    }
}

/// The place of a number that is not below the next one.
fn fault(ids: &[[u8; 4]]) -> Option<usize> {
    let next = ids.get(1..).unwrap_or_default();
    // Without an early end the loop compares many pairs at once.
    let ascending = ids.iter().zip(next).fold(true, |ok, (a, b)| ok & (a.value() < b.value()));
    if ascending { None } else { ids.iter().zip(next).position(|(a, b)| a.value() >= b.value()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_checked() {
        let encode = |count: u32, ids: &[u32]| {
            let mut content = count.to_be_bytes().to_vec();
            ids.iter().for_each(|id| content.extend_from_slice(&id.to_be_bytes()));
            let mut out = (content.len() as u32).to_be_bytes().to_vec();
            out.extend_from_slice(&content);
            out.extend_from_slice(&crc32c(&content).to_be_bytes());
            out
        };
        let check = |bytes: &[u8], want: Result<Vec<u32>, &'static str>| {
            let got = Postings::parse(bytes, 0).map(|p| p.iter().collect()).map_err(|e| e.what);
            assert_eq!(got, want);
        };
        check(&encode(3, &[1, 5, 9]), Ok(vec![1, 5, 9]));
        check(&encode(0, &[]), Ok(vec![]));
        check(&encode(2, &[1, 5, 9]), Err("postings: count and length differ"));
        check(&encode(3, &[1, 5, 5]), Err("postings do not ascend"));
        check(&encode(3, &[1, 5, 9])[..12], Err("unexpected end of data"));
        let mut bad = encode(1, &[7]);
        bad[11] ^= 1;
        check(&bad, Err("postings checksum mismatch"));
    }
}
