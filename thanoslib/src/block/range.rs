//! Reading parts of the objects of a block.

use std::{fmt, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;

/// Ranges that lie at most this many bytes apart are fetched as one.
pub(crate) const GAP_MAX: u64 = 512 << 10;

/// Where the objects of one block lie: a folder, or a prefix of a bucket.
///
/// Object names are relative to the block: `meta.json`, `index`, `chunks/000001`.
///
/// ```
/// use bytes::Bytes;
/// use std::{collections::BTreeMap, ops::Range};
/// use thanoslib::{Error, Result, block::RangeReader};
///
/// #[derive(Debug)]
/// struct InMemory(BTreeMap<String, Bytes>);
///
/// #[async_trait::async_trait]
/// impl RangeReader for InMemory {
///     async fn size(&self, object: &str) -> Result<u64> {
///         Ok(self.read(object).await?.len() as u64)
///     }
///
///     async fn read_ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
///         let bytes = self.read(object).await?;
///         let at = |place: u64| bytes.len().min(place as usize);
///         Ok(ranges.iter().map(|range| bytes.slice(at(range.start)..at(range.end))).collect())
///     }
///
///     async fn read(&self, object: &str) -> Result<Bytes> {
///         self.0.get(object).cloned().ok_or_else(|| Error::not_found(format!("no object {object}")))
///     }
///
///     async fn list(&self, folder: &str) -> Result<Vec<String>> {
///         Ok(self.0.keys().filter(|name| name.starts_with(folder)).cloned().collect())
///     }
/// }
/// ```
#[async_trait]
pub trait RangeReader: fmt::Debug + Send + Sync + 'static {
    /// Size of an object in bytes.
    ///
    /// # Errors
    /// `NotFound` when it does not exist.
    async fn size(&self, object: &str) -> Result<u64>;

    /// Reads ranges of an object, in the order asked. A range is shortened at the end of
    /// the object; one that begins behind it comes back empty.
    ///
    /// # Errors
    /// `NotFound` when the object does not exist, `Corrupt` when it changed since it was
    /// first read.
    async fn read_ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>>;

    /// Reads a whole object.
    ///
    /// # Errors
    /// `NotFound` when it does not exist.
    async fn read(&self, object: &str) -> Result<Bytes>;

    /// Names of the objects in a folder of the block, in byte order.
    async fn list(&self, folder: &str) -> Result<Vec<String>>;

    /// Ranges at most this far apart are better read as one; 0 when reading costs nothing.
    fn gap_max(&self) -> u64 {
        GAP_MAX
    }

    /// True when a `tombstones` object is heeded: for blocks of a local Prometheus. Blocks
    /// in buckets have none.
    fn has_tombstones(&self) -> bool {
        false
    }
}

/// Joins ranges that overlap or lie at most `gap_max` apart.
///
/// Gives the joined ranges in order and, for each of `ranges`, the number of the joined
/// range that holds it.
pub(crate) fn coalesce(ranges: &[Range<u64>], gap_max: u64) -> (Vec<Range<u64>>, Vec<usize>) {
    let mut parts: Vec<Range<u64>> = Vec::new();
    // The part that takes a range which begins no earlier than those before.
    let mut part_of = |range: &Range<u64>| {
        match parts.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap_max) => {
                last.end = last.end.max(range.end)
            }
            _ => parts.push(range.clone()),
        }
        parts.len() - 1
    };
    if ranges.is_sorted_by_key(|range| range.start) {
        let of = ranges.iter().map(part_of).collect();
        return (parts, of);
    }
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|i| (ranges[*i].start, ranges[*i].end));
    let mut of = vec![0; ranges.len()];
    for i in order {
        of[i] = part_of(&ranges[i]);
    }
    (parts, of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_within_the_gap_become_one() {
        let check = |ranges: &[(u64, u64)], parts: &[(u64, u64)], of: &[usize]| {
            let list = |pairs: &[(u64, u64)]| pairs.iter().map(|(a, b)| *a..*b).collect::<Vec<_>>();
            assert_eq!(coalesce(&list(ranges), 10), (list(parts), of.to_vec()), "{ranges:?}");
        };
        check(&[], &[], &[]);
        check(&[(0, 5), (15, 20)], &[(0, 20)], &[0, 0]);
        check(&[(0, 5), (16, 20)], &[(0, 5), (16, 20)], &[0, 1]);
        check(&[(16, 20), (0, 5), (2, 30)], &[(0, 30)], &[0, 0, 0]);
        check(&[(7, 9), (7, 9)], &[(7, 9)], &[0, 0]);
    }
}
