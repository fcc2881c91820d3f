//! Blocks that are spoilt in one way each, and what is found then.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    block::{BlockId, BlockSpec, BlockWriter, LocalReader},
    chunk::{Chunk, Encoding, XorAppender},
    index::{IndexFile, ListRef},
    model::{Interval, Labels, TimeRange},
};

const SERIES: usize = 20;

fn id() -> BlockId {
    BlockId::from_parts(1_700_000_000_000, 7)
}

/// A block of 20 series with three chunks each.
fn write(parent: &Path) -> PathBuf {
    let spec = BlockSpec {
        id: id(),
        range: TimeRange::new(0, 7_200_000),
        external_labels: Labels::from_pairs([("cluster", "a")]),
    };
    let series = (0..SERIES).map(|i| {
        let labels = Labels::from_pairs([("__name__", "up"), ("i", &format!("{i:02}"))]);
        (labels, (0..300).map(move |t| (t * 15_000, (t * i as i64) as f64)))
    });
    spec.write(parent, series).expect("a block")
}

async fn verify(dir: &Path) -> VerifyReport {
    let reader = LocalReader::new(dir);
    verify_block(&Context::default(), &reader, &VerifySettings::default()).await.expect("readable")
}

/// Spoils a block and expects these kinds of findings, and no other.
async fn check(what: &str, spoil: impl FnOnce(&Path), want: &[FindingKind]) -> VerifyReport {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = write(parent.path());
    spoil(&dir);
    let report = verify(&dir).await;
    let got: Vec<_> = report.counts.keys().copied().collect();
    let mut want = want.to_vec();
    want.sort_unstable();
    let texts: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(got, want, "{what}: {texts:#?}");
    for (kind, count) in &report.counts {
        let listed = report.findings.iter().filter(|f| f.kind == *kind).count() as u64;
        assert_eq!(listed, (*count).min(100), "{what}: {kind:?}");
    }
    report
}

fn edit(dir: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.join(file);
    let mut bytes = fs::read(&path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

fn edit_meta(dir: &Path, change: impl FnOnce(&mut BlockMeta)) {
    edit(dir, BlockMeta::FILE, |bytes| {
        let mut meta = BlockMeta::parse(bytes).expect("meta");
        change(&mut meta);
        *bytes = meta.encode().expect("meta");
    });
}

/// Changes the index, which is given with itself opened before.
fn edit_index(dir: &Path, change: impl FnOnce(&mut Vec<u8>, &IndexFile)) {
    edit(dir, INDEX, |bytes| {
        let index = IndexFile::open(bytes.clone().into()).expect("an index");
        change(bytes, &index);
    });
}

/// Gives the bytes of a range their checksum again, which lies behind them.
fn seal(bytes: &mut [u8], content: Range<usize>) {
    let sum = crc32c(&bytes[content.clone()]);
    bytes[content.end..content.end + 4].copy_from_slice(&sum.to_be_bytes());
}

fn list(index: &IndexFile, name: &str, value: &str) -> ListRef {
    index.index().table.find(name.as_bytes(), value.as_bytes()).expect("a list")
}

fn nth(index: &IndexFile, n: usize) -> usize {
    let all = index.postings(list(index, "", "")).expect("a list");
    all.iter().nth(n).expect("a series") as usize * 16
}

/// Changes the content of the n-th series entry, and seals it.
fn edit_series(dir: &Path, n: usize, change: impl FnOnce(&mut [u8])) {
    edit_index(dir, |bytes, index| {
        let at = nth(index, n);
        let content = at + 1..at + 1 + usize::from(bytes[at]);
        change(&mut bytes[content.clone()]);
        seal(bytes, content);
    });
}

#[tokio::test]
async fn a_sound_block_has_no_findings() {
    let report = check("nothing", |_| {}, &[]).await;
    assert!(report.is_sound() && report.health.critical().is_none() && report.health.problems().is_empty());
    assert_eq!((report.health.series, report.health.chunks, report.stats.num_samples), (20, 60, 6000));
    assert!(report.health.series_max_bytes > 0 && report.health.chunk_max_bytes > 0);
}

#[tokio::test]
async fn missing_and_cut_objects_are_found() {
    use FindingKind::*;
    check("no index", |d| fs::remove_file(d.join("index")).expect("removed"), &[Missing]).await;
    check("no chunks", |d| fs::remove_file(d.join("chunks/000001")).expect("removed"), &[Missing, Stats])
        .await;
    check("no meta", |d| fs::remove_file(d.join("meta.json")).expect("removed"), &[Missing]).await;
    check("meta", |d| edit(d, "meta.json", |b| b.truncate(9)), &[Meta]).await;
    check("cut index", |d| edit(d, "index", |b| b.truncate(b.len() - 9)), &[FileSize, Toc]).await;
    check("short index", |d| edit(d, "index", |b| b.truncate(30)), &[FileSize, Toc]).await;
    let cut = |d: &Path| edit(d, "chunks/000001", |b| b.truncate(b.len() / 2));
    check("cut chunks", cut, &[FileSize, ChunkRef, ChunkContent, Stats]).await;
    check("segment", |d| edit(d, "chunks/000001", |b| b[0] ^= 1), &[Segment]).await;
    let other = |d: &Path| edit_meta(d, |m| m.thanos.segment_files.clear());
    check("listed segments", other, &[]).await;
    check("series", |d| edit_meta(d, |m| m.stats.num_series += 1), &[Stats]).await;
    check("samples", |d| edit_meta(d, |m| m.stats.num_float_samples -= 1), &[Stats]).await;
    check("tombstones", |d| edit_meta(d, |m| m.stats.num_tombstones = 2), &[Stats]).await;
}

#[tokio::test]
async fn damaged_sections_are_found() {
    use FindingKind::*;
    let last = |b: &mut Vec<u8>| *b.last_mut().expect("bytes") ^= 1;
    check("toc", |d| edit(d, "index", last), &[Toc]).await;
    let flip = |d: &Path, at: fn(&IndexFile) -> usize| edit_index(d, |b, i| b[at(i)] ^= 1);
    check("symbols' sum", |d| flip(d, |i| i.index().toc.series as usize - 1), &[Symbols]).await;
    check("symbols' length", |d| flip(d, |_| 6), &[Symbols]).await;
    let order = |d: &Path| {
        edit_index(d, |b, i| {
            let (from, to) = (i.index().toc.symbols as usize + 4, i.index().toc.series as usize - 4);
            // The strings "00" and "01" change places.
            let at = b.windows(2).position(|w| w == b"00").expect("a symbol");
            (b[at + 1], b[at + 4]) = (b[at + 4], b[at + 1]);
            seal(b, from..to);
        })
    };
    check("symbols' order", order, &[SymbolOrder]).await;
    let report =
        check("series", |d| edit_index(d, |b, i| b[nth(i, 3) + 3] ^= 1), &[SeriesChecksum, Stats]).await;
    assert_eq!((report.count(SeriesChecksum), report.stats.num_series), (1, 20), "the others are read");
    let long = |d: &Path| edit_index(d, |b, i| b[nth(i, 19)] = 0x7f);
    check("series' length", long, &[SeriesEntry, Stats]).await;
    check("table", |d| flip(d, |i| i.index().toc.postings_table as usize + 9), &[PostingsTable]).await;
    check("list", |d| edit_index(d, |b, i| b[list(i, "i", "07").end as usize - 1] ^= 1), &[Postings]).await;
    let count = |d: &Path| edit_index(d, |b, i| b[list(i, "i", "07").start as usize + 7] += 1);
    check("list's number", count, &[Postings]).await;
    let chunk = |d: &Path| edit(d, "chunks/000001", |b| b[40] ^= 1);
    let report = check("chunk", chunk, &[ChunkChecksum, Stats]).await;
    assert_eq!(report.count(ChunkChecksum), 1);
}

#[tokio::test]
async fn sealed_nonsense_in_the_index_is_found() {
    use FindingKind::*;
    let ids = |d: &Path, change: fn(&mut [u8])| {
        edit_index(d, |b, i| {
            let list = list(i, "__name__", "up");
            let content = list.start as usize + 4..list.end as usize - 4;
            change(&mut b[content.start + 4..content.end]);
            seal(b, content);
        })
    };
    check("order of a list", |d| ids(d, |ids| ids.swap(3, 7)), &[PostingsOrder]).await;
    check("other series in a list", |d| ids(d, |ids| ids[79] += 1), &[PostingsSeries]).await;
    let labels = |d: &Path| {
        edit_series(d, 3, |content| {
            content.swap(1, 3);
            content.swap(2, 4);
        })
    };
    let report = check("labels", labels, &[LabelOrder, SeriesOrder]).await;
    assert_eq!(report.health.out_of_order_labels, 1);
    check(
        "unknown symbol",
        |d| edit_series(d, 3, |c| c[4] = 0x70),
        &[UnknownSymbol, SeriesOrder, PostingsSeries, PostingsMissing],
    )
    .await;
    let renamed = |d: &Path| {
        edit_index(d, |b, i| {
            let table = i.index().toc.postings_table as usize;
            let content = table + 4..b.len() - crate::index::Toc::LEN - 4;
            let at = table + b[table..].windows(2).position(|w| w == b"up").expect("a value");
            b[at + 1] = b'q';
            seal(b, content);
        })
    };
    check("renamed list", renamed, &[PostingsSeries, PostingsMissing]).await;
    // Three chunks become none, and what follows is too much.
    check("chunks", |d| edit_series(d, 3, |c| c[5] = 0), &[SeriesEntry, Stats]).await;
}

#[tokio::test]
async fn chunks_outside_of_the_block_are_told_apart() {
    use FindingKind::*;
    // Chunks cover 0..=1785 s, 1800..=3585 s, 3600..=4485 s.
    let times = |mint: i64, maxt: i64| {
        move |d: &Path| {
            edit_meta(d, |m| {
                (m.min_time, m.max_time) = (mint, maxt);
            })
        }
    };
    let report = check("starts late", times(15_000, 7_200_000), &[ChunkOutside]).await;
    assert_eq!((report.health.outside_chunks, report.health.outside_whole_chunks), (20, 0));
    assert!(report.health.critical().is_some() && report.is_broken());
    let report = check("far too late", times(1_800_000, 7_200_000), &[ChunkOutsideWhole]).await;
    assert_eq!((report.health.outside_chunks, report.health.outside_whole_chunks), (20, 20));
    let report = check("issue 347", times(0, 3_600_000), &[Chunk347]).await;
    assert_eq!((report.health.outside_chunks, report.health.issue_347_chunks), (20, 20));
    assert!(report.health.critical().is_none() && !report.is_broken());
    assert_eq!(report.health.problems().len(), 1);
    check("the end counts as inside", times(0, 4_485_000), &[]).await;
}

/// A block with one series of such chunks, whose times in the index may be others.
fn one_series(parent: &Path, chunks: &[(Interval, &[i64])]) -> PathBuf {
    let meta = BlockMeta { ulid: id(), min_time: i64::MIN, max_time: i64::MAX, ..BlockMeta::default() };
    let mut writer = BlockWriter::new(parent, meta).expect("a writer");
    let encode = |times: &[i64]| {
        let mut chunk = XorAppender::new();
        times.iter().for_each(|t| chunk.append(*t, 1.0).expect("in order"));
        chunk.into_bytes()
    };
    let data: Vec<_> = chunks.iter().map(|(at, times)| (*at, encode(times))).collect();
    let chunks: Vec<_> =
        data.iter().map(|(at, data)| (*at, Chunk { encoding: Encoding::Xor, data })).collect();
    writer.add(Labels::from_pairs([("a", "b")]).view(), &chunks).expect("a series");
    writer.finish().expect("a block")
}

#[tokio::test]
async fn chunks_out_of_order_twice_and_with_other_times_are_found() {
    const FAR: i64 = 1 << 62;
    let check = async |what: &str, chunks: &[(Interval, &[i64])], step: Option<i64>, want: &[FindingKind]| {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = one_series(parent.path(), chunks);
        if let Some(step) = step {
            // The second chunk begins 2^63 after the first ended, a number of ten bytes.
            edit_series(&dir, 0, |content| {
                let at =
                    content.windows(10).position(|w| w == [128, 128, 128, 128, 128, 128, 128, 128, 128, 1]);
                let at = at.expect("a long number");
                let mut new = Vec::new();
                crate::encoding::put_uvarint(&mut new, step as u64);
                content[at..at + 10].copy_from_slice(&new);
            });
        }
        let report = verify(&dir).await;
        assert_eq!(report.counts.keys().copied().collect::<Vec<_>>(), want, "{what}: {:#?}", report.findings);
        report
    };
    let (first, second) = (Interval::new(-FAR - 10, -FAR), Interval::new(FAR, FAR + 10));
    let chunks: [(Interval, &[i64]); 2] = [(first, &[-FAR - 10, -FAR]), (second, &[FAR, FAR + 10])];
    check("sound", &chunks, None, &[]).await;
    let report =
        check("again", &chunks, Some(-10), &[FindingKind::ChunkDuplicate, FindingKind::ChunkTimes]).await;
    assert_eq!((report.health.duplicate_chunks, report.health.out_of_order_chunks), (1, 0));
    let report =
        check("before", &chunks, Some(-5), &[FindingKind::ChunkOrder, FindingKind::ChunkTimes]).await;
    assert_eq!((report.health.duplicate_chunks, report.health.out_of_order_chunks), (0, 1));
    let other: [(Interval, &[i64]); 1] = [(Interval::new(0, 9), &[1, 2, 9])];
    check("times", &other, None, &[FindingKind::ChunkTimes]).await;
    let late: [(Interval, &[i64]); 1] = [(Interval::new(9, 0), &[0, 9])];
    let parent = tempfile::tempdir().expect("a folder");
    let refused = std::panic::catch_unwind(|| one_series(parent.path(), &late));
    assert!(refused.is_err(), "the writer takes no chunk that ends before it begins");
}

#[tokio::test]
async fn tombstones_are_checked() {
    use FindingKind::*;
    let write = |series: u64| {
        move |d: &Path| {
            let mut tombstones = super::Tombstones::default();
            tombstones.add(series, Interval::new(1, 2));
            let mut bytes = Vec::new();
            tombstones.encode(&mut bytes);
            fs::write(d.join("tombstones"), bytes).expect("written");
            edit_meta(d, |m| m.stats.num_tombstones = 1);
        }
    };
    check("unknown series", write(1), &[TombstoneSeries]).await;
    check("damaged", |d| fs::write(d.join("tombstones"), b"no").expect("written"), &[Tombstones]).await;
    check("sound", |d| edit_index(d, |_, i| write(nth(i, 4) as u64 / 16)(d)), &[]).await;
}

#[tokio::test]
async fn findings_of_a_kind_are_capped_and_counted() {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = write(parent.path());
    edit_meta(&dir, |m| m.min_time = 1_800_000);
    let settings = VerifySettings { listed_max: 3, ..VerifySettings::default() };
    let reader = LocalReader::new(&dir);
    let report = verify_block(&Context::default(), &reader, &settings).await.expect("readable");
    assert_eq!((report.findings.len(), report.count(FindingKind::ChunkOutsideWhole)), (3, 20));
    assert!(report.findings[0].detail.contains("{__name__=\"up\", i=\"00\"}"), "{}", report.findings[0]);
}
