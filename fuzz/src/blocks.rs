//! Decoders of the objects of a block, and postings against sets.

use std::{collections::BTreeSet, sync::Arc};

use thanoslib::{
    block::{
        BlockMeta, DeletionMark, FindingKind, Mark, NoCompactMark, NoDownsampleMark, ObjectReader,
        Tombstones, VerifySettings, scan_cache_file, verify_block,
    },
    chunk::{ChunkRecord, parse_segment_header},
    context::Context,
    encoding::crc32c,
    index::{
        Entry, IndexFile, IndexHeader, Postings, PostingsDecoder, PostingsTable, SeriesEntry, Symbols, Toc,
        Version, encode_postings, intersect, intersects, parse_header, subtract, union,
    },
    model::Matcher,
    object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path},
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
            let sampled = Symbols::parse_sampled(&data.to_vec().into(), version, 5, 3).expect("the same");
            for reference in 0..data.len() as u32 + 9 {
                assert_eq!(sampled.get(reference), symbols.get(reference));
            }
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

/// One series entry: bare, and as the content of an entry with bytes behind it.
pub fn series_entry(data: &[u8]) {
    let mut entry = SeriesEntry::default();
    if let Ok(Entry::Whole(content)) = Entry::parse(data, 0) {
        let _ = entry.read(content, 0);
    }
    let read = entry.read(data, 0);
    let (mut framed, mut len) = (Vec::new(), data.len());
    while len >= 0x80 {
        framed.push(len as u8 | 0x80);
        len >>= 7;
    }
    framed.push(len as u8);
    framed.extend_from_slice(data);
    framed.extend_from_slice(&crc32c(data).to_be_bytes());
    framed.extend_from_slice(data.get(..8).unwrap_or(&[0xff; 8]));
    let mut parsed = SeriesEntry::default();
    assert_eq!(parsed.parse(&framed, 0), read.map(|()| Entry::Whole(data)));
    if read.is_ok() {
        assert_eq!((parsed.labels, parsed.chunks), (entry.labels, entry.chunks));
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

/// An index-header: every sampling answers alike.
pub fn index_header(data: &[u8]) {
    let bytes = data.to_vec().into();
    let Ok(whole) = IndexHeader::parse(&bytes, 1) else { return };
    let sampled = IndexHeader::parse(&bytes, 5).expect("what is whole is sampled");
    assert!(sampled.held_bytes() <= whole.held_bytes());
    assert!(sampled.index().table.iter().eq(whole.index().table.iter()));
    for (name, value, list) in whole.index().table.iter() {
        assert_eq!(sampled.index().table.find(name, value), Some(list));
    }
    for reference in 0..bytes.len() as u32 {
        assert_eq!(sampled.symbol(reference), whole.symbol(reference));
    }
    for name in whole.label_names() {
        assert!(sampled.label_values(name).eq(whole.label_values(name)));
    }
}

/// Cached postings: what is read is written and read again alike.
pub fn postings_codec(data: &[u8]) {
    let decode = |bytes: &[u8]| {
        let (mut ids, mut decoder) = (Vec::new(), PostingsDecoder::new(bytes).ok()?);
        while decoder.next_into(&mut ids).ok()? {}
        Some(ids)
    };
    let Some(ids) = decode(data) else { return };
    assert!(ids.is_sorted());
    let encoded = encode_postings(ids.iter().copied()).expect("ids ascend");
    assert_eq!(decode(&encoded), Some(ids));
}

/// A file of descriptions and index-headers.
pub fn cache_file(data: &[u8]) {
    let _ = scan_cache_file(data);
}

/// A block of an index, whose length comes first, and a chunk segment: verified, and read when it
/// is sound.
pub fn verify(data: &[u8]) {
    let Some((len, rest)) = data.split_first_chunk::<4>() else { return };
    let (index, chunks) = rest.split_at((u32::from_be_bytes(*len) as usize).min(rest.len()));
    let (index, chunks) = (index.to_vec(), chunks.to_vec());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let put = async |name: &str, bytes: Vec<u8>| {
            store.put(&Path::from(name), bytes.into()).await.expect("memory takes all");
        };
        put("b/index", index.clone()).await;
        put("b/chunks/000001", chunks).await;
        let reader = ObjectReader::new(Arc::clone(&store), Path::from("b"));
        let settings = VerifySettings { listed_max: 3, ..VerifySettings::default() };
        let report = verify_block(&Context::default(), &reader, &settings).await.expect("memory reads");
        assert!(report.findings.iter().all(|f| report.count(f.kind) > 0));
        // The description is missing in any case.
        let damaged = report.counts.keys().any(|kind| *kind != FindingKind::Missing);
        if !damaged {
            let file = IndexFile::open(index.into()).expect("a sound index opens");
            let mut entry = SeriesEntry::default();
            for id in file.select(&[Matcher::equal("", "")]).expect("sound postings") {
                file.series(id, &mut entry).expect("a sound entry");
                file.labels(&entry).expect("sound labels");
            }
        }
    });
}
