//! Blocks written, uploaded and read back; damaged objects; numbers of round trips.

use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, memory::InMemory, path::Path as ObjectPath};

use super::*;
use crate::{
    budget::Budget,
    chunk::{Chunk, Encoding},
    context::Context,
    error::{Error, ErrorKind, Result},
    model::{Interval, Labels, MatchOp, Matcher, TimeRange},
    series::SampleColumns,
};

fn labels(name: &str, i: usize) -> Labels {
    Labels::from_pairs([("__name__", name.to_owned()), ("i", format!("{i:05}"))])
}

fn spec() -> BlockSpec {
    BlockSpec {
        id: BlockId::from_parts(1_700_000_000_000, 7),
        range: TimeRange::new(0, 7_200_000),
        external_labels: Labels::from_pairs([("cluster", "a")]),
    }
}

/// A block of `series` series with `samples` samples, 15 s apart.
fn write(parent: &Path, series: usize, samples: i64) -> std::path::PathBuf {
    let all = (0..series)
        .map(|i| (labels("up", i), (0..samples).map(move |t| (t * 15_000, (t * i as i64) as f64))));
    spec().write(parent, all).expect("a block")
}

/// Counts the calls that wait for a store.
#[derive(Debug)]
struct Counted {
    inner: ObjectReader,
    rounds: AtomicUsize,
}

#[async_trait]
impl RangeReader for Counted {
    async fn size(&self, object: &str) -> Result<u64> {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        self.inner.size(object).await
    }

    async fn read_ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        self.inner.read_ranges(object, ranges).await
    }

    async fn read(&self, object: &str) -> Result<Bytes> {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        self.inner.read(object).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>> {
        self.inner.list(folder).await
    }
}

async fn uploaded(dir: &Path) -> Arc<Counted> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let prefix = ObjectPath::from("tenant");
    upload_block(&store, &prefix, dir).await.expect("an upload");
    let id = spec().id.to_string();
    Arc::new(Counted { inner: ObjectReader::new(store, prefix.join(id)), rounds: AtomicUsize::new(0) })
}

fn request(matchers: Vec<Matcher>) -> BlockSelect {
    BlockSelect { matchers, interval: Interval::ALL, skip_chunks: false, aggregates: Vec::new() }
}

async fn collect(
    block: &Arc<Block>,
    ctx: &Context,
    request: BlockSelect,
) -> Result<Vec<(Labels, SampleColumns)>> {
    let batches: Vec<BlockBatch> = block.select(ctx, request).await?.try_collect().await?;
    let mut out: Vec<(Labels, SampleColumns)> = Vec::new();
    for batch in &batches {
        for series in batch.series.iter() {
            if out.last().is_none_or(|(l, _)| l.view() != series.labels()) {
                out.push((series.labels().to_labels(), SampleColumns::default()));
            }
            let samples = &mut out.last_mut().expect("just pushed").1;
            for chunk in series.chunks() {
                Chunk { encoding: chunk.meta.encoding, data: chunk.data() }.decode_into(samples)?;
            }
        }
    }
    Ok(out)
}

#[tokio::test]
async fn a_written_block_reads_back_from_folder_and_bucket() {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = write(parent.path(), 300, 250);
    let ctx = Context::default();
    let bucket = uploaded(&dir).await;
    let readers: [Arc<dyn RangeReader>; 2] = [Arc::new(LocalReader::new(&dir)), bucket];
    for reader in readers {
        let block = Block::open(&ctx, reader).await.expect("opens");
        assert_eq!(block.meta().thanos.labels["cluster"], "a");
        assert_eq!((block.meta().stats.num_series, block.meta().stats.num_samples), (300, 75_000));
        let all =
            collect(&block, &ctx, request(vec![Matcher::equal("__name__", "up")])).await.expect("reads");
        assert_eq!(all.len(), 300);
        for (i, (l, samples)) in all.iter().enumerate() {
            assert_eq!(*l, labels("up", i));
            assert_eq!(samples.floats.len(), 250);
            assert_eq!(samples.floats.vs[249], (249 * i) as f64);
        }
        let values = block.label_values(&ctx, "i", &[Matcher::equal("__name__", "up")]).await.expect("reads");
        assert_eq!((values.len(), values.get(299)), (300, Some("00299")));
        let one = [Matcher::equal("i", "00007")];
        assert_eq!(block.label_values(&ctx, "i", &one).await.expect("reads"), ["00007"]);
        assert_eq!(block.label_names(&ctx, &one).await.expect("reads"), ["__name__", "i"]);
        assert!(collect(&block, &ctx, request(Vec::new())).await.expect("reads").is_empty());
        let before = BlockSelect { interval: Interval::new(-5, -1), ..request(one.to_vec()) };
        assert!(collect(&block, &ctx, before).await.expect("reads").is_empty());
    }
    let again = spec().write(parent.path(), [(labels("up", 1), vec![(1, 1.0)])]);
    assert_eq!(again.expect_err("exists").kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_cold_select_takes_five_round_trips_at_most() {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = write(parent.path(), 6000, 10);
    let ctx = Context::default();
    let reader = uploaded(&dir).await;
    let meta = BlockMeta::parse(&reader.read(BlockMeta::FILE).await.expect("meta")).expect("meta");
    assert!(meta.thanos.files[1].size_bytes > 4 * 65536, "an index that the first reads do not hold");
    reader.rounds.store(0, Ordering::Relaxed);
    let shared: Arc<dyn RangeReader> = Arc::<Counted>::clone(&reader);
    let block = Block::open_with_meta(&ctx, shared, meta).await.expect("opens");
    assert_eq!(reader.rounds.load(Ordering::Relaxed), 2);
    let m = Matcher::new(MatchOp::Regex, "i", "0.*3").expect("valid");
    assert_eq!(collect(&block, &ctx, request(vec![m])).await.expect("reads").len(), 600);
    assert_eq!(reader.rounds.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn values_come_from_few_entries_or_from_few_lists() {
    let parent = tempfile::tempdir().expect("a folder");
    // The lists of `i` have more bytes than are read unseen.
    let dir = write(parent.path(), 6000, 1);
    let ctx = Context::default();
    let block = Block::open(&ctx, Arc::new(LocalReader::new(&dir))).await.expect("opens");
    let check = async |matcher: Matcher, label: &str, want: Vec<String>| {
        let got = block.label_values(&ctx, label, std::slice::from_ref(&matcher)).await.expect("reads");
        assert_eq!(got, want, "{label} of {matcher:?}");
    };
    let matching = |value: &str| Matcher::new(MatchOp::Regex, "i", value).expect("valid");
    let numbers = |range: Range<usize>, step: usize| range.step_by(step).map(|i| format!("{i:05}")).collect();
    check(Matcher::equal("i", "05999"), "i", numbers(5999..6000, 1)).await;
    check(matching("0.*3"), "i", numbers(3..6000, 10)).await;
    check(Matcher::equal("__name__", "up"), "i", numbers(0..6000, 1)).await;
    check(matching("0.*3"), "__name__", vec!["up".to_owned()]).await;
    check(matching("0.*3"), "none", Vec::new()).await;
}

#[tokio::test]
async fn long_entries_take_a_second_round_and_memory_is_charged() {
    let parent = tempfile::tempdir().expect("a folder");
    let mut writer =
        BlockWriter::new(parent.path(), BlockMeta { ulid: spec().id, ..BlockMeta::default() }).expect("new");
    // A chunk of 40 000 bytes, and a series entry of more than 16 KiB.
    let mut data = vec![0u8; 40_000];
    data[..2].copy_from_slice(&[0, 1]);
    let long = [(Interval::new(0, 1), Chunk { encoding: Encoding::Xor, data: &data })];
    writer.add(labels("a", 0).view(), &long).expect("writes");
    let many: Vec<_> = (0..9000)
        .map(|i| (Interval::new(i * 2, i * 2 + 1), Chunk { encoding: Encoding::Xor, data: &data[..2] }))
        .collect();
    writer.add(labels("b", 0).view(), &many).expect("writes");
    let dir = writer.finish().expect("ends");
    let reader: Arc<dyn RangeReader> = uploaded(&dir).await;
    let budget = Budget::new("query", 1 << 20);
    let ctx = Context::new(Arc::clone(&budget));
    let block = Block::open(&ctx, reader).await.expect("opens");
    let everything = || request(vec![Matcher::new(MatchOp::Regex, "a", ".*").expect("valid")]);
    let batches: Vec<BlockBatch> =
        block.select(&ctx, everything()).await.expect("selects").try_collect().await.expect("reads");
    let counts: Vec<_> = batches.iter().flat_map(|b| b.series.iter()).map(|s| s.chunk_count()).collect();
    assert_eq!(counts, [1, 9000]);
    assert!(budget.used() > 40_000);
    drop(batches);
    assert_eq!(budget.used(), 0);
    let small = Context::new(Budget::new("query", 10_000));
    let stopped = collect(&block, &small, everything()).await;
    assert_eq!(stopped.expect_err("limit").kind(), ErrorKind::Limit);
    ctx.cancel();
    assert_eq!(collect(&block, &ctx, everything()).await.expect_err("stops").kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn a_mapped_file_that_changes_size_is_an_error() {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = write(parent.path(), 3, 10);
    let reader = LocalReader::new(&dir);
    let all = reader.read_ranges("index", &[0..5, 1 << 40..1 << 41]).await.expect("reads");
    assert_eq!((all[0].len(), all[1].len()), (5, 0));
    std::fs::OpenOptions::new()
        .write(true)
        .open(dir.join("index"))
        .expect("opens")
        .set_len(100)
        .expect("cuts");
    assert_eq!(reader.size("index").await.expect_err("changed").kind(), ErrorKind::Corrupt);
    assert_eq!(reader.size("nothing").await.expect_err("absent").kind(), ErrorKind::NotFound);
}

/// A block in memory with one object damaged.
#[derive(Clone, Debug)]
struct Damaged {
    objects: Vec<(String, Bytes)>,
}

impl Damaged {
    fn object(&self, name: &str) -> Result<&Bytes> {
        let found = self.objects.iter().find(|(n, _)| n == name);
        Ok(&found.ok_or_else(|| Error::not_found(format!("no {name}")))?.1)
    }
}

#[async_trait]
impl RangeReader for Damaged {
    async fn size(&self, object: &str) -> Result<u64> {
        Ok(self.object(object)?.len() as u64)
    }

    async fn read_ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let bytes = self.object(object)?;
        let len = bytes.len() as u64;
        Ok(ranges
            .iter()
            .map(|r| bytes.slice(r.start.min(len) as usize..r.end.clamp(r.start.min(len), len) as usize))
            .collect())
    }

    async fn read(&self, object: &str) -> Result<Bytes> {
        self.object(object).cloned()
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let inside =
            |(name, _): &(String, Bytes)| Some(name.strip_prefix(folder)?.trim_matches('/').to_owned());
        Ok(self.objects.iter().filter_map(inside).collect())
    }

    fn has_tombstones(&self) -> bool {
        true
    }
}

/// What all series of a block are, or why they cannot be read.
async fn everything(block: &Damaged) -> Result<Vec<(Labels, usize, u64)>> {
    let ctx = Context::new(Budget::new("query", 64 << 20));
    let reader: Arc<dyn RangeReader> = Arc::new(block.clone());
    let block = Block::open(&ctx, reader).await?;
    let matcher = Matcher::new(MatchOp::NotEqual, "none", "x")?;
    block.label_names(&ctx, std::slice::from_ref(&matcher)).await?;
    block.label_values(&ctx, "__name__", std::slice::from_ref(&matcher)).await?;
    let batches: Vec<BlockBatch> = block.select(&ctx, request(vec![matcher])).await?.try_collect().await?;
    let mut out = Vec::new();
    for series in batches.iter().flat_map(|b| b.series.iter()) {
        let sum = series
            .chunks()
            .flat_map(|c| c.data().to_vec())
            .fold(0u64, |s, b| s.rotate_left(5) ^ u64::from(b));
        out.push((series.labels().to_labels(), series.chunk_count(), sum));
    }
    Ok(out)
}

fn load(dir: &Path) -> Damaged {
    let mut objects = Vec::new();
    let mut add = |name: String| {
        if let Ok(bytes) = std::fs::read(dir.join(&name)) {
            objects.push((name, Bytes::from(bytes)));
        }
    };
    ["index", "meta.json", "tombstones"].into_iter().for_each(|n| add(n.to_owned()));
    let mut segments: Vec<_> = std::fs::read_dir(dir.join("chunks"))
        .expect("chunks")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    segments.sort();
    segments.into_iter().for_each(|n| add(format!("chunks/{n}")));
    Damaged { objects }
}

/// Cuts and flips bits of every object of a block: nothing panics, and where the answer
/// changes it is an error that names the object.
async fn damage(dir: &Path, times: usize, seed: &mut u64) {
    let sound = load(dir);
    let want = everything(&sound).await.expect("a sound block");
    let mut rand = |below: usize| {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        (*seed % below.max(1) as u64) as usize
    };
    for (i, (name, bytes)) in sound.objects.iter().enumerate() {
        for _ in 0..times {
            let mut changed = bytes.to_vec();
            let at = rand(changed.len());
            if rand(4) == 0 {
                changed.truncate(at);
            } else {
                changed[at] ^= 1 << rand(8);
            }
            let mut block = sound.clone();
            block.objects[i].1 = Bytes::from(changed);
            match everything(&block).await {
                // Header of a segment, padding, and free text of the description are not checked.
                Ok(got) => {
                    assert!(got == want || name == "meta.json" || name == "tombstones", "{dir:?} {name} {at}")
                }
                // It names segments and sizes, which then do not fit.
                Err(e) if name == "meta.json" => {
                    assert!(
                        matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound),
                        "{dir:?} {at}: {e}"
                    );
                }
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Corrupt, "{dir:?} {name} {at}: {e}");
                    assert!(e.message().contains(name), "{dir:?} {name} {at}: {e}");
                }
            }
        }
    }
}

#[tokio::test]
async fn damaged_objects_are_errors_that_name_them() {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = write(parent.path(), 40, 130);
    let mut tombstones = Tombstones::default();
    tombstones.add(9, Interval::new(0, 5));
    let mut out = Vec::new();
    tombstones.encode(&mut out);
    std::fs::write(dir.join(Tombstones::FILE), out).expect("writes");
    let mut seed = 42;
    damage(&dir, 300, &mut seed).await;
    // The recorded blocks, where they are at hand.
    let Some(root) = std::env::var_os("THANOSLIB_GOLDEN") else { return };
    for entry in std::fs::read_dir(Path::new(&root).join("tsdb/blocks")).expect("recorded blocks") {
        let dir = entry.expect("an entry").path();
        if dir.is_dir() {
            damage(&dir, 60, &mut seed).await;
        }
    }
}

#[tokio::test]
async fn an_index_header_is_built_by_ranges_kept_and_mended() {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = write(parent.path(), 300, 10);
    let reader = uploaded(&dir).await;
    let index = std::fs::read(dir.join("index")).expect("an index");
    let size = Some(index.len() as u64);
    let ctx = Context::default();
    reader.rounds.store(0, Ordering::Relaxed);
    let built = build_index_header(&ctx, &*reader, size).await.expect("built");
    assert_eq!(reader.rounds.load(Ordering::Relaxed), 3, "the ends, the symbols, the table");
    let path = parent.path().join("headers").join(INDEX_HEADER_FILE);
    let open = async || open_index_header(&ctx, &*reader, size, &path, 32).await;
    let header = open().await.expect("built into a file");
    assert_eq!(std::fs::read(&path).expect("a file"), built);
    assert!(header.label_values(b"i").count() == 300 && header.held_bytes() < 120);
    reader.rounds.store(0, Ordering::Relaxed);
    open().await.expect("read from the file");
    assert_eq!(reader.rounds.load(Ordering::Relaxed), 0);
    let check = async |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).expect("written");
        open().await.expect(what);
        assert_eq!(std::fs::read(&path).expect("a file"), built, "{what}");
    };
    check(&built[..built.len() - 7], "cut").await;
    for at in [0, 4, 5, 9, 20, built.len() / 2, built.len() - 30, built.len() - 15, built.len() - 1] {
        let mut bytes = built.to_vec();
        bytes[at] ^= 1;
        check(&bytes, &format!("byte {at}")).await;
    }
    check(b"", "empty").await;
    let left: Vec<_> = std::fs::read_dir(path.parent().expect("a folder")).expect("a folder").collect();
    assert_eq!(left.len(), 1, "nothing is left beside the file");
    let e = build_index_header(&ctx, &*reader, Some(index.len() as u64 - 1)).await.expect_err("other size");
    assert_eq!(e.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_block_opens_from_its_index_header_alone() {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = write(parent.path(), 30, 10);
    let (reader, ctx) = (uploaded(&dir).await, Context::default());
    let header = build_index_header(&ctx, &*reader, None).await.expect("built");
    let header = crate::index::IndexHeader::parse(&header, 7).expect("sound");
    let meta = BlockMeta::parse(&reader.read(BlockMeta::FILE).await.expect("meta")).expect("meta");
    reader.rounds.store(0, Ordering::Relaxed);
    let shared: Arc<dyn RangeReader> = Arc::<Counted>::clone(&reader);
    let block = Block::open_with_index(&ctx, shared, meta, header).await.expect("opens");
    assert_eq!(reader.rounds.load(Ordering::Relaxed), 0);
    let m = Matcher::new(MatchOp::Regex, "i", "0.*3").expect("valid");
    assert_eq!(collect(&block, &ctx, request(vec![m])).await.expect("reads").len(), 3);
}
