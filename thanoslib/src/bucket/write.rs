//! Writing and deleting objects.
//!
//! Invariant: an object appears whole or not at all; deleting what is absent succeeds.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt, pin_mut, stream, stream::FuturesUnordered};
use object_store::{
    Attribute, Attributes as StoreAttributes, MultipartUpload, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload,
};

use super::{Bucket, map_err, object_path};
use crate::error::{Error, Result};

/// Parts that one upload may have: what S3 allows.
const PARTS_MAX: u64 = 10_000;
/// Smallest part size that S3 takes.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;

/// How objects are written.
///
/// ```
/// use thanoslib::bucket::{Bucket, PutSettings};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let put = PutSettings { part_bytes: 8 << 20, ..PutSettings::default() };
/// let bucket = Bucket::memory("demo").with_put_settings(put);
/// bucket.put("a", "text").await?;
/// assert_eq!(bucket.attributes("a").await?.size_bytes, 4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PutSettings {
    /// Objects at least this long go up in parts of this size. Default: 64 MiB.
    pub part_bytes: u64,
    /// Parts of one object that are on their way at a time. Default: 4.
    pub parts_at_once: usize,
    /// Whether parts are used at all; without them a streamed object is gathered in memory.
    pub multipart: bool,
    /// Attributes given to every object: storage class, user metadata.
    pub attributes: StoreAttributes,
}

impl Default for PutSettings {
    fn default() -> Self {
        Self { part_bytes: 64 << 20, parts_at_once: 4, multipart: true, attributes: StoreAttributes::new() }
    }
}

impl PutSettings {
    /// The same settings with a user metadata entry for every object.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: &str) -> Self {
        self.attributes.insert(Attribute::Metadata(key.to_owned().into()), value.to_owned().into());
        self
    }
}

impl Bucket {
    /// Writes an object from memory, replacing what is there.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn put(&self, name: &str, bytes: impl Into<Bytes> + Send) -> Result<()> {
        let path = object_path(name)?;
        let bytes = bytes.into();
        if self.put.multipart && bytes.len() as u64 > self.put.part_bytes.max(PART_BYTES_MIN) {
            let size = bytes.len() as u64;
            return self.put_stream(name, Some(size), stream::once(async move { Ok(bytes) })).await;
        }
        let options = PutOptions { attributes: self.put.attributes.clone(), ..PutOptions::default() };
        let done = self.store.put_opts(&path, PutPayload::from(bytes), options).await;
        done.map(drop).map_err(|e| map_err(&format!("put {name}"), e))
    }

    /// Writes an object from a stream, in parts when it is long, replacing what is there.
    ///
    /// `size_bytes` is the length when it is known; a stream of another length fails. When
    /// the stream or an upload fails, the parts are given up and nothing appears.
    ///
    /// **Cancel safety**: a dropped call leaves no object, but parts may stay at the
    /// provider until its own rules remove them.
    ///
    /// # Errors
    /// What the stream or the store reports; `Limit` for a stream of unknown length with
    /// more than 10 000 parts.
    pub async fn put_stream(
        &self,
        name: &str,
        size_bytes: Option<u64>,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<()> {
        let path = object_path(name)?;
        let part_bytes = self.part_bytes(size_bytes);
        pin_mut!(bytes);
        let mut parts = Parts { bytes, rest: Bytes::new(), part_bytes, total: 0 };
        let first = parts.next(name).await?;
        if (first.len() as u64) < part_bytes {
            parts.check_size(name, size_bytes)?;
            let options = PutOptions { attributes: self.put.attributes.clone(), ..PutOptions::default() };
            let done = self.store.put_opts(&path, PutPayload::from(first), options).await;
            return done.map(drop).map_err(|e| map_err(&format!("put {name}"), e));
        }
        let options =
            PutMultipartOptions { attributes: self.put.attributes.clone(), ..PutMultipartOptions::default() };
        let begun = self.store.put_multipart_opts(&path, options).await;
        let mut upload = begun.map_err(|e| map_err(&format!("begin upload of {name}"), e))?;
        let sent = send_parts(name, upload.as_mut(), first, &mut parts, self.put.parts_at_once).await;
        let done = match sent.and_then(|()| parts.check_size(name, size_bytes)) {
            Ok(()) => {
                upload.complete().await.map(drop).map_err(|e| map_err(&format!("end upload of {name}"), e))
            }
            Err(e) => Err(e),
        };
        if done.is_err() {
            // The first failure is what the caller must know; parts that stay are invisible.
            if let Err(e) = upload.abort().await {
                tracing::debug!(object = name, error = %e, "parts of a failed upload stay behind");
            }
        }
        done
    }

    /// Writes an object from a local file, in parts when it is long.
    ///
    /// # Errors
    /// As [`put_stream`](Self::put_stream); `NotFound` or `Internal` when the file cannot
    /// be read.
    #[cfg(feature = "fs")]
    pub async fn put_file(&self, name: &str, file: &std::path::Path) -> Result<()> {
        use tokio::io::AsyncReadExt;

        const READ_BYTES: usize = 1 << 20;
        let failed = |e: io::Error| {
            let kind = match e.kind() {
                io::ErrorKind::NotFound => crate::ErrorKind::NotFound,
                _ => crate::ErrorKind::Internal,
            };
            Error::new(kind, format!("put {name}: read {}: {e}", file.display())).with_source(e)
        };
        let open = tokio::fs::File::open(file).await.map_err(failed)?;
        let size = open.metadata().await.map_err(failed)?.len();
        let chunks = stream::try_unfold(open, |mut open| async move {
            let mut buf = BytesMut::with_capacity(READ_BYTES);
            let read = open.read_buf(&mut buf).await?;
            Ok((read > 0).then(|| (buf.freeze(), open)))
        });
        self.put_stream(name, Some(size), chunks).await
    }

    /// Deletes an object; one that is absent counts as deleted.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let path = object_path(name)?;
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(map_err(&format!("delete {name}"), e)),
        }
    }

    /// The part size that keeps an object of this length below the number of parts allowed.
    fn part_bytes(&self, size_bytes: Option<u64>) -> u64 {
        if !self.put.multipart {
            return u64::MAX;
        }
        let needed = size_bytes.map_or(0, |size| size.div_ceil(PARTS_MAX));
        self.put.part_bytes.max(PART_BYTES_MIN).max(needed)
    }
}

/// Cuts a stream into parts of equal length; only the last is shorter.
struct Parts<S> {
    bytes: S,
    rest: Bytes,
    part_bytes: u64,
    total: u64,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Parts<S> {
    /// The next part; a short one is the last.
    async fn next(&mut self, name: &str) -> Result<Bytes> {
        let want = usize::try_from(self.part_bytes).unwrap_or(usize::MAX);
        let mut part = BytesMut::new();
        while part.len() < want {
            if self.rest.is_empty() {
                match self.bytes.next().await {
                    None => break,
                    Some(Ok(bytes)) => self.rest = bytes,
                    Some(Err(e)) => {
                        return Err(
                            Error::unavailable(format!("put {name}: source failed: {e}")).with_source(e)
                        );
                    }
                }
            }
            let take = self.rest.len().min(want - part.len());
            if part.is_empty() && take == want {
                self.total += want as u64;
                return Ok(self.rest.split_to(want));
            }
            part.extend_from_slice(&self.rest.split_to(take));
        }
        self.total += part.len() as u64;
        Ok(part.freeze())
    }

    fn check_size(&self, name: &str, size_bytes: Option<u64>) -> Result<()> {
        match size_bytes {
            Some(size) if size != self.total => {
                Err(Error::invalid(format!("put {name}: source gave {} of {size} bytes", self.total)))
            }
            _ => Ok(()),
        }
    }
}

async fn send_parts<S: Stream<Item = io::Result<Bytes>> + Unpin + Send>(
    name: &str,
    upload: &mut dyn MultipartUpload,
    first: Bytes,
    parts: &mut Parts<S>,
    at_once: usize,
) -> Result<()> {
    let failed = |e| map_err(&format!("upload part of {name}"), e);
    let mut under_way = FuturesUnordered::new();
    let mut part = first;
    let mut count = 0_u64;
    loop {
        let last = (part.len() as u64) < parts.part_bytes;
        if !part.is_empty() {
            count += 1;
            if count > PARTS_MAX {
                return Err(Error::limit(format!("put {name}: more than {PARTS_MAX} parts")));
            }
            under_way.push(upload.put_part(PutPayload::from(part)));
        }
        if last {
            break;
        }
        while under_way.len() >= at_once.max(1) {
            under_way.try_next().await.map_err(failed)?;
        }
        part = parts.next(name).await?;
    }
    while under_way.try_next().await.map_err(failed)?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn cut(chunks: &[usize], part_bytes: u64) -> Vec<usize> {
        let chunks: Vec<_> = chunks.iter().map(|n| Ok(Bytes::from(vec![1; *n]))).collect();
        let mut parts = Parts { bytes: stream::iter(chunks), rest: Bytes::new(), part_bytes, total: 0 };
        let mut out = Vec::new();
        loop {
            let part = parts.next("x").await.expect("no source error");
            out.push(part.len());
            if (part.len() as u64) < part_bytes {
                return out;
            }
        }
    }

    #[tokio::test]
    async fn streams_are_cut_into_equal_parts() {
        assert_eq!(cut(&[], 4).await, [0]);
        assert_eq!(cut(&[3], 4).await, [3]);
        assert_eq!(cut(&[1, 0, 6, 2], 4).await, [4, 4, 1]);
        assert_eq!(cut(&[9], 4).await, [4, 4, 1]);
        assert_eq!(cut(&[4, 4], 4).await, [4, 4, 0]);
    }

    #[tokio::test]
    async fn a_source_that_fails_or_ends_early_writes_nothing() {
        let bucket = Bucket::memory("b");
        let broken = stream::iter([Ok(Bytes::from_static(b"abc")), Err(io::Error::other("torn"))]);
        assert!(bucket.put_stream("a", None, broken).await.is_err());
        let short = stream::iter([Ok(Bytes::from_static(b"abc"))]);
        assert!(bucket.put_stream("a", Some(5), short).await.is_err());
        assert!(!bucket.exists("a").await.expect("exists"));
    }
}
