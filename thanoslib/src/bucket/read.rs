//! Reading objects: whole, in ranges, or only what is known about them.
//!
//! Invariant: a range is shortened at the object's end and never fails because of it.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};

use super::{Bucket, map_err, metered::Operation, object_path};
use crate::error::{Error, ErrorKind, Result};

/// Ranges of one call that are nearer than this are read together.
const JOIN_GAP_BYTES: u64 = 64 * 1024;
/// Range requests of one call that are under way at a time.
const RANGES_AT_ONCE: usize = 10;

/// What is known about an object without reading it.
///
/// See [`Entry`](super::Entry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Its length.
    pub size_bytes: u64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub last_modified_ms: i64,
}

impl From<&ObjectMeta> for Attributes {
    fn from(meta: &ObjectMeta) -> Self {
        Self { size_bytes: meta.size, last_modified_ms: meta.last_modified.timestamp_millis() }
    }
}

impl Bucket {
    /// The whole object.
    ///
    /// # Errors
    /// `NotFound` when there is none, else what the store reports.
    pub async fn get(&self, name: &str) -> Result<Bytes> {
        self.get_at_most(name, u64::MAX).await
    }

    /// The whole object, unless it is longer than `max_bytes`.
    ///
    /// # Errors
    /// As [`get`](Self::get); `Limit` for a longer object, of which nothing is held then.
    pub async fn get_at_most(&self, name: &str, max_bytes: u64) -> Result<Bytes> {
        let path = object_path(name)?;
        let failed = |e| map_err(&format!("get {name}"), e);
        let too_long = |size: u64| {
            Error::limit(format!("get {name}: object has {size} bytes, at most {max_bytes} are read"))
        };
        let answer = self.store.get(&path).await.map_err(failed)?;
        let size = answer.meta.size;
        if size > max_bytes {
            return Err(too_long(size));
        }
        let mut parts = answer.into_stream();
        let Some(first) = parts.try_next().await.map_err(failed)? else {
            return Ok(Bytes::new());
        };
        if first.len() as u64 == size {
            return Ok(first);
        }
        // The size is the store's word: memory is taken as the bytes come.
        let mut all = BytesMut::from(first);
        while let Some(part) = parts.try_next().await.map_err(failed)? {
            if all.len() as u64 + part.len() as u64 > max_bytes {
                return Err(too_long(all.len() as u64 + part.len() as u64));
            }
            all.extend_from_slice(&part);
        }
        if all.len() as u64 != size {
            let got = all.len();
            return Err(Error::unavailable(format!("get {name}: {got} of {size} bytes came")));
        }
        Ok(all.freeze())
    }

    /// The bytes of `range` that the object has; a range behind the end is empty.
    ///
    /// An empty range is answered without asking the store.
    ///
    /// # Errors
    /// `NotFound` when there is no such object, else what the store reports.
    pub async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        let path = object_path(name)?;
        self.range_of(&path, range).await
    }

    /// The bytes of each range, in the order asked; see [`get_range`](Self::get_range).
    ///
    /// Ranges that lie close together are read by one request.
    ///
    /// # Errors
    /// As [`get_range`](Self::get_range); one failure fails all.
    pub async fn get_ranges(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let path = object_path(name)?;
        let joined = join(ranges);
        let path = &path;
        let parts: Vec<Bytes> = stream::iter(joined.clone())
            .map(|range| self.range_of(path, range))
            .buffered(RANGES_AT_ONCE)
            .try_collect()
            .await?;
        Ok(ranges.iter().map(|range| cut(range, &joined, &parts)).collect())
    }

    /// Size and time of the object.
    ///
    /// # Errors
    /// `NotFound` when there is none, else what the store reports.
    pub async fn attributes(&self, name: &str) -> Result<Attributes> {
        let path = object_path(name)?;
        let meta = self.store.head(&path).await.map_err(|e| map_err(&format!("attributes of {name}"), e))?;
        Ok(Attributes::from(&meta))
    }

    /// True when there is such an object.
    ///
    /// # Errors
    /// What the store reports; absence is no error.
    pub async fn exists(&self, name: &str) -> Result<bool> {
        let path = object_path(name)?;
        let mut options = GetOptions::new().with_head(true);
        options.extensions.insert(Operation::Exists);
        match self.store.get_opts(&path, options).await {
            Ok(_) => Ok(true),
            Err(e) => match map_err(&format!("exists {name}"), e) {
                e if e.kind() == ErrorKind::NotFound => Ok(false),
                e => Err(e),
            },
        }
    }

    async fn range_of(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let options = GetOptions::new().with_range(Some(GetRange::Bounded(range.clone())));
        let read = async {
            let answer = self.store.get_opts(path, options).await?;
            let want = answer.range.end - answer.range.start;
            Ok((want, answer.bytes().await?))
        };
        match read.await {
            Ok((want, bytes)) if bytes.len() as u64 == want => Ok(bytes),
            Ok((want, bytes)) => {
                let got = bytes.len();
                Err(Error::unavailable(format!("get range {range:?} of {path}: {got} of {want} bytes came")))
            }
            Err(e @ (object_store::Error::Generic { .. } | object_store::Error::NotSupported { .. })) => {
                // Stores refuse a range that starts behind the end, each in its own words.
                match self.store.head(path).await {
                    Ok(meta) if meta.size <= range.start => Ok(Bytes::new()),
                    _ => Err(map_err(&format!("get range {range:?} of {path}"), e)),
                }
            }
            Err(e) => Err(map_err(&format!("get range {range:?} of {path}"), e)),
        }
    }
}

/// Sorted ranges that cover all given ones, near ones joined.
fn join(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<_> = ranges.iter().filter(|r| !r.is_empty()).cloned().collect();
    sorted.sort_unstable_by_key(|r| r.start);
    let mut out: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match out.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(JOIN_GAP_BYTES) => {
                last.end = last.end.max(range.end);
            }
            _ => out.push(range),
        }
    }
    out
}

/// What was asked for, out of the parts that were read.
fn cut(range: &Range<u64>, joined: &[Range<u64>], parts: &[Bytes]) -> Bytes {
    if range.is_empty() {
        return Bytes::new();
    }
    let at = joined.partition_point(|j| j.start <= range.start);
    let Some((whole, part)) = at.checked_sub(1).and_then(|i| joined.get(i).zip(parts.get(i))) else {
        return Bytes::new();
    };
    let len = part.len() as u64;
    let start = (range.start - whole.start).min(len);
    let end = (range.end - whole.start).min(len);
    part.slice(start as usize..end as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one range is a list of ranges here")]
    fn near_ranges_are_joined_and_cut_again() {
        let check = |ranges: &[Range<u64>], want: &[Range<u64>]| assert_eq!(join(ranges), want);
        check(&[], &[]);
        check(&[5..5], &[]);
        check(&[10..20, 0..5], &[0..20]);
        check(&[0..10, 2..4, 100_000..100_001], &[0..10, 100_000..100_001]);
        check(&[0..u64::MAX, 7..9], &[0..u64::MAX]);

        let parts = [Bytes::from_static(b"0123456789")];
        let cut = |range: Range<u64>| cut(&range, std::slice::from_ref(&(0..10)), &parts);
        assert_eq!(cut(3..5), "34");
        assert_eq!(cut(8..20), "89");
        assert_eq!(cut(10..20), "");
        assert_eq!(cut(4..4), "");
    }

    #[tokio::test]
    async fn an_object_over_the_limit_is_refused() {
        let bucket = Bucket::memory("b");
        bucket.put("a", vec![7_u8; 100]).await.expect("put");
        assert_eq!(bucket.get_at_most("a", 100).await.expect("fits").len(), 100);
        let refused = bucket.get_at_most("a", 99).await.expect_err("too long");
        assert_eq!(refused.kind(), ErrorKind::Limit);
    }
}
