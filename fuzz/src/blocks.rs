//! Decoders of the objects of a block, and postings against sets.

use std::collections::BTreeSet;

use thanoslib::{
    block::{BlockMeta, DeletionMark, Mark, NoCompactMark, NoDownsampleMark, Tombstones},
    chunk::{ChunkRecord, parse_segment_header},
    encoding::crc32c,
    index::{
        Entry, IndexFile, Postings, PostingsTable, SeriesEntry, Symbols, Toc, Version, intersect, intersects,
        parse_header, subtract, union,
    },
    model::Matcher,
};

/// A whole index: everything that can be asked of it.
pub fn index(data: &[u8]) {
    let Ok(file) = IndexFile::open(data.to_vec().into()) else { return };
    let every = Matcher::equal("", "");
    let mut entry = SeriesEntry::default();
    for id in file.select(std::slice::from_ref(&every)).unwrap_or_default() {
        if file.series(id, &mut entry).is_ok() {
            let _ = file.labels(&entry);
        }
    }
    let _ = file.label_names(std::slice::from_ref(&every));
    for name in file.index().table.names() {
        let _ = file.label_values(name, std::slice::from_ref(&every));
    }
}

/// Header and table of contents.
pub fn index_toc(data: &[u8]) {
    let _ = parse_header(data);
    if let Ok(toc) = Toc::parse(data, data.len() as u64 + 1000) {
        let mut out = Vec::new();
        toc.encode(&mut out);
        assert_eq!(out, data[..Toc::LEN]);
    }
}

/// Symbols section of both versions.
pub fn index_symbols(data: &[u8]) {
    for version in [Version::V1, Version::V2] {
        if let Ok(symbols) = Symbols::parse(&data.to_vec().into(), version, 5) {
            assert_eq!(symbols.iter().count(), symbols.len());
            let _ = symbols.get(7);
        }
    }
}

/// Postings offset table of both versions.
pub fn index_table(data: &[u8]) {
    let toc = Toc {
        symbols: 5,
        series: 9,
        label_indices: 9,
        label_indices_table: 1 << 20,
        postings: 9,
        postings_table: 1 << 20,
    };
    for version in [Version::V1, Version::V2] {
        if let Ok(table) = PostingsTable::parse(&data.to_vec().into(), version, &toc) {
            for name in table.names() {
                for (value, list) in table.values(name) {
                    assert_eq!(table.find(name, value), Some(list));
                }
            }
        }
    }
}

/// One postings list.
pub fn postings(data: &[u8]) {
    if let Ok(list) = Postings::parse(data, 0) {
        assert!(list.iter().is_sorted());
    }
}

/// One series entry.
pub fn series_entry(data: &[u8]) {
    let mut entry = SeriesEntry::default();
    let _ = entry.read(data, 0);
    if let Ok(Entry::Whole(content)) = Entry::parse(data, 0) {
        let _ = entry.read(content, 0);
    }
}

/// Header and first record of a chunk segment.
pub fn segment(data: &[u8]) {
    let _ = parse_segment_header(data);
    if let Ok(ChunkRecord::Short(need)) = ChunkRecord::parse(data, 0) {
        assert!(need > data.len());
    }
}

/// Deleted intervals.
pub fn tombstones(data: &[u8]) {
    if let Ok(tombstones) = Tombstones::parse(data) {
        let mut out = Vec::new();
        tombstones.encode(&mut out);
        assert_eq!(Tombstones::parse(&out), Ok(tombstones));
    }
}

/// Description and marks.
pub fn meta(data: &[u8]) {
    if let Ok(meta) = BlockMeta::parse(data) {
        let bytes = meta.encode().expect("what was read can be written");
        assert_eq!(BlockMeta::parse(&bytes).expect("what was written can be read"), meta);
    }
    let _ = DeletionMark::parse(data);
    let _ = NoCompactMark::parse(data);
    let _ = NoDownsampleMark::parse(data);
}

/// Postings operations against sets: the first byte says where the second list begins, the
/// next how thin the numbers lie.
pub fn postings_model(data: &[u8]) {
    let [at, gap, rest @ ..] = data else { return };
    let (a, b) = rest.split_at((*at as usize * 4).min(rest.len()));
    let gap = 1 << (gap % 16);
    let set = |bytes: &[u8]| -> BTreeSet<u32> {
        let spread = bytes.chunks_exact(2).map(|c| u32::from(u16::from_be_bytes([c[0], c[1]])) * gap);
        // A run of neighbours behind the first number, so that short inputs make long lists.
        let run = bytes.first().map_or(0, |n| u32::from(*n) * 16);
        spread
            .clone()
            .next()
            .into_iter()
            .flat_map(|first| first..first.saturating_add(run))
            .chain(spread)
            .collect()
    };
    let (a, b) = (set(a), set(b));
    let list = |s: &BTreeSet<u32>| s.iter().copied().collect::<Vec<_>>();
    let (xs, ys) = (list(&a), list(&b));
    let content: Vec<u8> = [ys.len() as u32].iter().chain(&ys).flat_map(|id| id.to_be_bytes()).collect();
    let mut file = (content.len() as u32).to_be_bytes().to_vec();
    file.extend_from_slice(&content);
    file.extend_from_slice(&crc32c(&content).to_be_bytes());
    let stored = Postings::parse(&file, 0).expect("a sound list");
    let (mut both, mut rest) = (xs.clone(), xs.clone());
    intersect(&mut both, &stored);
    subtract(&mut rest, &stored);
    assert_eq!(both, list(&(&a & &b)));
    assert_eq!(rest, list(&(&a - &b)));
    assert_eq!(union(&[xs.as_slice(), ys.as_slice()]), list(&(&a | &b)));
    let third = [xs.as_slice(), ys.as_slice(), &ys[..ys.len() / 2]];
    assert_eq!(union(&third), list(&(&a | &b)));
    assert_eq!(intersects(&xs, &stored), !both.is_empty());
}
