//! The writer against itself with little memory, and against its limits.

use std::io::Cursor;

use super::*;
use crate::{index::IndexFile, model::Labels};

/// Series of four labels: one value for all, few, many, and one each.
fn series(n: usize) -> Vec<Labels> {
    let labels = |i: usize| {
        let (few, many, own) = (format!("{:02}", i % 7), format!("m{:03}", i % 97), format!("{i:05}"));
        Labels::from_pairs([("cluster", "a"), ("few", &few), ("many", &many), ("own", &own)])
    };
    let mut all: Vec<Labels> = (0..n).map(labels).collect();
    all.sort();
    all
}

fn symbols(series: &[Labels]) -> Vec<Vec<u8>> {
    series.iter().flat_map(|l| l.iter().flat_map(|l| [l.name.to_vec(), l.value.to_vec()])).collect()
}

fn chunk(n: u64) -> IndexChunk {
    IndexChunk { interval: Interval::new(0, 10), reference: ChunkRef(n) }
}

fn write(series: &[Labels], entries_max: usize) -> Vec<u8> {
    let writer = IndexWriter::new(Cursor::new(Vec::new()), symbols(series)).expect("memory");
    let mut writer = writer.with_entries_max(entries_max);
    for (i, labels) in series.iter().enumerate() {
        writer.add(labels.view(), &[chunk(8 + i as u64)]).expect("ascending");
    }
    writer.finish().expect("memory").into_inner()
}

#[test]
fn bytes_do_not_depend_on_the_memory_given() {
    let series = series(700);
    let whole = write(&series, POSTINGS_ENTRIES_MAX);
    let file = IndexFile::open(whole.clone().into()).expect("an index");
    let ids = |name: &[u8], value: &[u8]| -> Vec<u32> {
        let list = file.index().table.find(name, value).expect("a list");
        file.postings(list).expect("sound").iter().collect()
    };
    let all = ids(b"", b"");
    assert_eq!(all.len(), 700);
    for (name, value) in [("few", "03"), ("many", "m050"), ("own", "00321"), ("cluster", "a")] {
        let want = series.iter().zip(&all).filter(|(l, _)| l.get(name) == Some(value.as_bytes()));
        assert_eq!(ids(name.as_bytes(), value.as_bytes()), want.map(|(_, id)| *id).collect::<Vec<_>>());
    }
    for entries_max in [0, 1, 3, 50, 699, 700, 701, 1500] {
        assert!(write(&series, entries_max) == whole, "{entries_max} entries in memory");
    }
}

#[test]
fn no_series_and_no_labels_are_fine() {
    let index = write(&[], 1);
    let file = IndexFile::open(index.into()).expect("an index");
    assert_eq!(file.postings(file.index().table.all().expect("a list")).expect("sound").len(), 0);
    let index = write(&[Labels::empty(), Labels::from_pairs([("a", "b")])], 1);
    let file = IndexFile::open(index.into()).expect("an index");
    assert_eq!(file.postings(file.index().table.all().expect("a list")).expect("sound").len(), 2);
}

#[test]
fn series_and_chunks_out_of_order_are_refused() {
    let labels = Labels::from_pairs([("a", "b")]);
    let new = || IndexWriter::new(Cursor::new(Vec::new()), ["a", "b"]).expect("memory");
    let refused = |e: Error, want: &str| assert!(e.to_string().contains(want), "{e}");
    let mut writer = new();
    writer.add(labels.view(), &[]).expect("first");
    refused(writer.add(labels.view(), &[]).expect_err("twice"), "is not after the series before");
    refused(
        new().add(Labels::from_pairs([("a", "c")]).view(), &[]).expect_err("symbol"),
        "is not among the symbols",
    );
    refused(new().add(labels.view(), &[chunk(8), chunk(9)]).expect_err("overlap"), "out of order");
    refused(new().add_resolved(&[(2, 1), (1, 1)], &[]).expect_err("names"), "do not ascend");
    refused(new().add_resolved(&[(1, 3)], &[]).expect_err("number"), "there are 3");
    let sorted = ["b", "a"].map(Ok);
    let e = IndexWriter::with_sorted_symbols(Cursor::new(Vec::new()), sorted).expect_err("unsorted");
    refused(e, "symbol \"a\" comes after \"b\"");
}

#[test]
fn numbers_beyond_32_bits_are_refused() {
    let mut writer = IndexWriter::new(Cursor::new(Vec::new()), ["a", "b", "c"]).expect("memory");
    writer.out.pretend((16 << 32) - 32);
    let id = writer.add(Labels::from_pairs([("a", "b")]).view(), &[]).expect("the last number");
    assert_eq!(id, u32::MAX - 1);
    writer.out.pretend(16 << 32);
    let e = writer.add(Labels::from_pairs([("a", "c")]).view(), &[]).expect_err("beyond");
    assert_eq!((e.kind(), e.to_string().contains("64 GiB")), (crate::ErrorKind::Limit, true), "{e}");
    assert!(file::section_len(u64::from(u32::MAX), "a table").is_ok());
    let e = file::section_len(1 << 32, "a table").expect_err("beyond");
    assert_eq!(e.to_string(), "a table of 4294967296 bytes exceeds 4 GiB");
}
