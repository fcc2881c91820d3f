//! A bucket inside a bucket: every name begins with a fixed prefix that callers never see.
//!
//! Invariant: adds the prefix on the way in and takes it off on the way out, nothing else.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};

use super::dir_path;

/// An [`ObjectStore`] whose objects lie below a prefix of another.
#[derive(Debug)]
pub(crate) struct Prefixed {
    inner: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl Prefixed {
    /// The prefix that configuration means: slashes at both ends are dropped, and a prefix
    /// of nothing but slashes is none.
    ///
    /// # Errors
    /// `Invalid` for a prefix with empty, `.` or `..` parts or control characters inside.
    pub(crate) fn parse(prefix: &str) -> crate::Result<Option<Path>> {
        let trimmed = prefix.trim_matches('/');
        if trimmed.is_empty() {
            return Ok(None);
        }
        dir_path(trimmed).map(Some).map_err(|e| e.context("bucket prefix"))
    }

    /// The objects of `inner` below `prefix`.
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { inner, prefix }
    }

    fn full(&self, location: &Path) -> Path {
        add(&self.prefix, location)
    }
}

/// Appends the parts literally; joining parts one by one would encode them.
fn add(prefix: &Path, location: &Path) -> Path {
    if location.is_root() {
        return prefix.clone();
    }
    Path::parse(format!("{prefix}/{location}")).expect("two valid paths make a valid path")
}

fn strip(prefix: &Path, path: Path) -> Path {
    match path.as_ref().strip_prefix(prefix.as_ref()) {
        Some("") => Path::ROOT,
        Some(rest) if rest.starts_with('/') => {
            Path::parse(rest).expect("the end of a valid path is a valid path")
        }
        _ => path,
    }
}

fn strip_meta(prefix: &Path, meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta { location: strip(prefix, meta.location), ..meta }
}

impl fmt::Display for Prefixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} below {}", self.inner, self.prefix)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Prefixed {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(&self.full(location), payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(&self.full(location), options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = self.inner.get_opts(&self.full(location), options).await?;
        result.meta = strip_meta(&self.prefix, result.meta);
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(&self.full(location), ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (on_way_in, on_way_out) = (self.prefix.clone(), self.prefix.clone());
        let locations = locations.map_ok(move |path| add(&on_way_in, &path)).boxed();
        self.inner.delete_stream(locations).map_ok(move |path| strip(&on_way_out, path)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let full = prefix.map_or_else(|| self.prefix.clone(), |p| self.full(p));
        let prefix = self.prefix.clone();
        self.inner.list(Some(&full)).map_ok(move |meta| strip_meta(&prefix, meta)).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let full = prefix.map_or_else(|| self.prefix.clone(), |p| self.full(p));
        let prefix = self.prefix.clone();
        self.inner
            .list_with_offset(Some(&full), &self.full(offset))
            .map_ok(move |meta| strip_meta(&prefix, meta))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let full = prefix.map_or_else(|| self.prefix.clone(), |p| self.full(p));
        let listed = self.inner.list_with_delimiter(Some(&full)).await?;
        Ok(ListResult {
            common_prefixes: listed.common_prefixes.into_iter().map(|p| strip(&self.prefix, p)).collect(),
            objects: listed.objects.into_iter().map(|m| strip_meta(&self.prefix, m)).collect(),
            extensions: listed.extensions,
        })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(&self.full(from), &self.full(to), options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(&self.full(from), &self.full(to), options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::Bucket;

    #[test]
    fn a_prefix_is_trimmed_or_none() {
        let check = |prefix: &str, want: Option<&str>| {
            let got = Prefixed::parse(prefix).expect("valid");
            assert_eq!(got.as_ref().map(Path::as_ref), want, "{prefix:?}");
        };
        check("", None);
        check("/", None);
        check("///", None);
        check("/a/b/", Some("a/b"));
        check("a+b = c/100%/~x", Some("a+b = c/100%/~x"));
        assert!(Prefixed::parse("a//b").is_err());
        assert!(Prefixed::parse("../a").is_err());
    }

    #[tokio::test]
    async fn names_outside_carry_the_prefix_and_names_inside_do_not() {
        let whole = Bucket::memory("b");
        let part = whole.clone().with_prefix("/a b/c%/").expect("valid");
        part.put("x/y", "1").await.expect("put");
        whole.put("a b/c%2/z", "other").await.expect("put");
        assert_eq!(whole.get("a b/c%/x/y").await.expect("get"), "1");
        let names =
            |entries: Vec<crate::bucket::Entry>| entries.into_iter().map(|e| e.name).collect::<Vec<_>>();
        assert_eq!(names(part.list("").await.expect("list")), ["x/"]);
        assert_eq!(names(part.list("x").await.expect("list")), ["x/y"]);
        let all: Vec<_> = part.list_recursive("").try_collect().await.expect("list");
        assert_eq!(names(all), ["x/y"]);
        part.delete("x/y").await.expect("delete");
        assert!(!whole.exists("a b/c%/x/y").await.expect("exists"));
    }
}
