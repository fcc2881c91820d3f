//! What every bucket must do, whatever keeps it.
//!
//! Invariant: uses [`Bucket`] alone; knows no provider.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};

use crate::{
    bucket::{Bucket, PutSettings},
    error::ErrorKind,
};

/// Names with characters that some encoding on the way might change.
const ODD_NAMES: [&str; 7] =
    ["odd/a b", "odd/a+b=c", "odd/100%25", "odd/a%2Fb", "odd/ü日本", "odd/q?x&y;z", "odd/it's (1)~!@$,"];

/// Proves that a bucket does what the rest of the library relies on. It must be empty at
/// the start and is empty at the end.
///
/// # Panics
/// When the bucket does anything else; the message names it.
pub async fn bucket_contract(bucket: &Bucket) {
    nothing_is_there_at_first(bucket).await;
    reads_give_what_was_written(bucket).await;
    listings_show_directories(bucket).await;
    odd_names_stay_as_they_are(bucket).await;
    long_objects_go_up_in_parts(bucket).await;
    readers_and_writers_meet(bucket).await;
    let left = all_names(bucket, "").await;
    assert!(left.is_empty(), "everything was deleted: {left:?}");
    assert_eq!(child_names(bucket, "").await, [""; 0], "no empty directory stays");
}

async fn nothing_is_there_at_first(bucket: &Bucket) {
    let kind = |e: crate::Error| e.kind();
    assert_eq!(bucket.get("no/object").await.map_err(kind), Err(ErrorKind::NotFound));
    assert_eq!(bucket.get_range("no/object", 0..1).await.map_err(kind), Err(ErrorKind::NotFound));
    let ranges = bucket.get_ranges("no/object", &[0..1, 5..6]).await;
    assert_eq!(ranges.map_err(kind), Err(ErrorKind::NotFound));
    assert_eq!(bucket.attributes("no/object").await.map_err(kind), Err(ErrorKind::NotFound));
    assert_eq!(bucket.exists("no/object").await.map_err(kind), Ok(false));
    bucket.delete("no/object").await.expect("deleting what is absent succeeds");
    assert_eq!(child_names(bucket, "no/dir").await, [""; 0], "a missing directory lists nothing");
    assert_eq!(all_names(bucket, "no/dir/").await, [""; 0], "a missing directory lists nothing");
    assert_eq!(bucket.get("..").await.map_err(kind), Err(ErrorKind::Invalid));
}

async fn reads_give_what_was_written(bucket: &Bucket) {
    let text = Bytes::from_static(b"0123456789");
    bucket.put("read/a", text.clone()).await.expect("put");
    assert_eq!(bucket.get("read/a").await.expect("get"), text);
    let range = async |start: u64, end: u64| bucket.get_range("read/a", start..end).await.expect("range");
    assert_eq!(range(0, 10).await, text);
    assert_eq!(range(2, 5).await, "234");
    assert_eq!(range(8, 100).await, "89", "a range is shortened at the end");
    assert_eq!(range(10, 20).await, "", "a range behind the end is empty");
    assert_eq!(range(1000, 1001).await, "", "a range behind the end is empty");
    assert_eq!(range(4, 4).await, "", "an empty range is empty");
    let several =
        bucket.get_ranges("read/a", &[7..9, 0..2, 1..4, 9..20, 50..60, 3..3]).await.expect("ranges");
    assert_eq!(several, ["78", "01", "123", "9", "", ""], "ranges come in the order asked");
    assert_eq!(bucket.get_ranges("read/a", &[]).await.expect("no ranges"), Vec::<Bytes>::new());

    let seen = bucket.attributes("read/a").await.expect("attributes");
    assert_eq!(seen.size_bytes, 10);
    assert!(seen.last_modified_ms > 1_600_000_000_000, "{} is a time of today", seen.last_modified_ms);
    assert!(bucket.exists("read/a").await.expect("exists"));
    assert!(!bucket.exists("read").await.expect("exists"), "a directory is no object");

    bucket.put("read/a", "new").await.expect("overwrite");
    assert_eq!(bucket.get("read/a").await.expect("get"), "new");
    bucket.put("read/a", "").await.expect("empty object");
    assert_eq!(bucket.get("read/a").await.expect("get"), "");
    assert_eq!(range(0, 5).await, "", "an empty object has no bytes");
    bucket.delete("read/a").await.expect("delete");
    assert!(!bucket.exists("read/a").await.expect("exists"));
    bucket.delete("read/a").await.expect("deleting twice succeeds");
}

async fn listings_show_directories(bucket: &Bucket) {
    let names = ["list/b", "list/a/x", "list/a/y", "list/c/d/e", "list-2/z", "top"];
    for name in names {
        bucket.put(name, name.as_bytes()).await.expect("put");
    }
    assert_eq!(child_names(bucket, "").await, ["list-2/", "list/", "top"]);
    for dir in ["list", "list/"] {
        assert_eq!(child_names(bucket, dir).await, ["list/a/", "list/b", "list/c/"]);
    }
    assert_eq!(child_names(bucket, "list/a").await, ["list/a/x", "list/a/y"]);
    assert_eq!(child_names(bucket, "lis").await, [""; 0], "half a name is no directory");
    assert_eq!(child_names(bucket, "list/b").await, [""; 0], "an object is no directory");
    assert_eq!(
        all_names(bucket, "").await,
        ["list-2/z", "list/a/x", "list/a/y", "list/b", "list/c/d/e", "top"]
    );
    assert_eq!(all_names(bucket, "list/a/").await, ["list/a/x", "list/a/y"]);
    let entries = bucket.list("list").await.expect("list");
    let object = entries.iter().find(|e| e.name == "list/b").expect("listed");
    assert_eq!(object.attributes.map(|a| a.size_bytes), Some(6));
    assert_eq!(object.base_name(), "b");
    assert!(entries.iter().all(|e| e.is_dir() == e.name.ends_with('/')));
    for name in names {
        bucket.delete(name).await.expect("delete");
    }

    // A bucket inside the bucket has the same children under shorter names.
    let inner = bucket.clone().with_prefix("/pre fix/1/").expect("prefix");
    inner.put("a/b", "1").await.expect("put");
    assert_eq!(child_names(&inner, "").await, ["a/"]);
    assert_eq!(all_names(&inner, "").await, ["a/b"]);
    assert_eq!(all_names(bucket, "pre fix").await, ["pre fix/1/a/b"]);
    inner.delete("a/b").await.expect("delete");
}

async fn odd_names_stay_as_they_are(bucket: &Bucket) {
    for name in ODD_NAMES {
        bucket.put(name, name.as_bytes()).await.expect(name);
    }
    let mut want = ODD_NAMES.to_vec();
    want.sort_unstable();
    assert_eq!(child_names(bucket, "odd").await, want);
    assert_eq!(all_names(bucket, "odd").await, want);
    for name in ODD_NAMES {
        assert_eq!(bucket.get(name).await.expect(name), name, "content of {name}");
        bucket.delete(name).await.expect(name);
    }
}

async fn long_objects_go_up_in_parts(bucket: &Bucket) {
    const PART: usize = 5 << 20;
    let bucket =
        &bucket.clone().with_put_settings(PutSettings { part_bytes: PART as u64, ..PutSettings::default() });
    let long = Bytes::from((0..2 * PART + 1000).map(|i| ((i * 31) >> 7) as u8).collect::<Vec<_>>());
    let pieces = long.chunks(777_777).map(|c| Ok(Bytes::copy_from_slice(c))).collect::<Vec<_>>();
    bucket.put_stream("long/a", Some(long.len() as u64), stream::iter(pieces)).await.expect("stream");
    assert_eq!(bucket.attributes("long/a").await.expect("attributes").size_bytes, long.len() as u64);
    assert!(bucket.get("long/a").await.expect("get") == long, "a long object comes back unchanged");
    let seam = PART as u64 - 3..PART as u64 + 3;
    let want = long.slice(PART - 3..PART + 3);
    assert_eq!(bucket.get_range("long/a", seam).await.expect("range"), want);

    bucket.put("long/b", long.clone()).await.expect("put of a long object");
    assert!(bucket.get("long/b").await.expect("get") == long, "a long object comes back unchanged");

    let torn = stream::iter([Ok(long.clone()), Err(std::io::Error::other("torn"))]);
    assert!(bucket.put_stream("long/c", None, torn).await.is_err(), "a torn source fails");
    let short = stream::iter([Ok(long.clone())]);
    let size = Some(long.len() as u64 + 1);
    assert!(bucket.put_stream("long/c", size, short).await.is_err(), "a short source fails");
    assert_eq!(all_names(bucket, "long").await, ["long/a", "long/b"], "a failed upload leaves no object");
    bucket.delete("long/a").await.expect("delete");
    bucket.delete("long/b").await.expect("delete");
}

async fn readers_and_writers_meet(bucket: &Bucket) {
    let text = Bytes::from((0..=255_u8).cycle().take(100_000).collect::<Vec<_>>());
    bucket.put("many/a", text.clone()).await.expect("put");
    let reads = (0..32_u64).map(|i| {
        let text = text.clone();
        async move {
            let start = i * 3001;
            let got = bucket.get_range("many/a", start..start + 5000).await.expect("range");
            let end = text.len().min(start as usize + 5000);
            assert!(got == text.slice(start as usize..end), "concurrent read {i}");
        }
    });
    let writes = stream::iter(0..32).for_each_concurrent(8, |i| async move {
        bucket.put(&format!("many/w{i}"), format!("{i}")).await.expect("put");
    });
    future::join(future::join_all(reads), writes).await;
    assert_eq!(bucket.list("many").await.expect("list").len(), 33);
    stream::iter(all_names(bucket, "many").await)
        .for_each_concurrent(8, |name| async move { bucket.delete(&name).await.expect("delete") })
        .await;
}

async fn child_names(bucket: &Bucket, dir: &str) -> Vec<String> {
    let entries = bucket.list(dir).await.expect("list");
    assert!(entries.is_sorted_by(|a, b| a.name < b.name), "children are sorted and distinct");
    entries.into_iter().map(|e| e.name).collect()
}

async fn all_names(bucket: &Bucket, dir: &str) -> Vec<String> {
    let entries: Vec<_> = bucket.list_recursive(dir).try_collect().await.expect("list");
    let mut names: Vec<String> = entries.into_iter().map(|e| e.name).collect();
    names.sort_unstable();
    names
}
