//! The series section: every entry, its labels, its chunks.

use super::{
    FindingKind, Parts, VerifyReport, Window,
    chunks::{Placed, Segments},
    postings::Pairs,
};
use crate::{
    block::{BlockMeta, RangeReader, read::INDEX},
    error::Result,
    index::{ChunkRef, Entry, SeriesEntry, Symbols, Toc, Version},
    model::Interval,
};

/// Bytes that hold most entries.
const ENTRY_BYTES: u64 = 4 << 10;
/// Chunks that are checked together.
const CHUNKS_AT_ONCE: usize = 16 << 10;

/// Walks over all entries; gives which series have which label.
pub(super) async fn check(
    reader: &dyn RangeReader,
    parts: &Parts,
    meta: Option<&BlockMeta>,
    mut segments: Option<Segments<'_>>,
    report: &mut VerifyReport,
) -> Result<Pairs> {
    let toc = *parts.plan.toc();
    let version = parts.plan.version();
    let mut window = Window::new(reader, INDEX.to_owned(), toc.postings);
    let mut state = State::new(parts, meta);
    let mut entry = SeriesEntry::default();
    let mut at = aligned(version, toc.series);
    let mut last: Option<u64> = None;
    while at < toc.postings {
        let read = read_entry(&mut window, at, &mut entry, report).await?;
        let id = match version {
            Version::V1 => at,
            Version::V2 => at / 16,
        };
        if let Some(before) = last.replace(at) {
            report.health.series_max_bytes = report.health.series_max_bytes.max(at - before);
        }
        report.stats.num_series += 1;
        match read {
            Some(len) => {
                state.entry(id, at, &entry, report);
                at = aligned(version, at + len);
            }
            None => {
                // Of a damaged entry neither labels nor end are known.
                state.pairs.damaged(id as u32);
                match state.pairs.next_listed(reader, parts, id as u32).await? {
                    Some(next) => at = version.series_offset(next),
                    None => break,
                }
            }
        }
        if state.placed.len() >= CHUNKS_AT_ONCE {
            check_chunks(&mut segments, &mut state.placed, report).await?;
        }
    }
    check_chunks(&mut segments, &mut state.placed, report).await?;
    report.health.series = report.stats.num_series;
    report.health.chunks = report.stats.num_chunks;
    Ok(state.pairs)
}

async fn check_chunks(
    segments: &mut Option<Segments<'_>>,
    placed: &mut Vec<Placed>,
    report: &mut VerifyReport,
) -> Result<()> {
    if let Some(segments) = segments {
        segments.check(placed, report).await?;
    }
    placed.clear();
    Ok(())
}

fn aligned(version: Version, offset: u64) -> u64 {
    match version {
        Version::V1 => offset,
        Version::V2 => offset.next_multiple_of(16),
    }
}

/// Reads an entry; gives its length, or `None` when it is damaged.
async fn read_entry(
    window: &mut Window<'_>,
    at: u64,
    entry: &mut SeriesEntry,
    report: &mut VerifyReport,
) -> Result<Option<u64>> {
    let left = window.end - at;
    let mut want = ENTRY_BYTES;
    loop {
        let bytes = window.at(at, want).await?;
        match Entry::parse(bytes, at) {
            Ok(Entry::Whole(content)) => {
                // Length before, checksum behind.
                let whole = content.as_ptr() as usize - bytes.as_ptr() as usize + content.len() + 4;
                if let Err(e) = entry.read_unchecked(content, at) {
                    report.say(FindingKind::SeriesEntry, INDEX, e.offset as u64, e.what);
                    return Ok(None);
                }
                return Ok(Some(whole as u64));
            }
            Ok(Entry::Short(need)) if need as u64 <= left && need as u64 > want => want = need as u64,
            Ok(Entry::Short(need)) => {
                report.add(FindingKind::SeriesEntry, INDEX, at, || {
                    (Some(need as i64), Some(left as i64), "the entry is longer than the section".to_owned())
                });
                return Ok(None);
            }
            Err(e) => {
                let checksum = e.what == Entry::CHECKSUM_MISMATCH;
                let kind = if checksum { FindingKind::SeriesChecksum } else { FindingKind::SeriesEntry };
                report.say(kind, INDEX, e.offset as u64, e.what);
                return Ok(None);
            }
        }
    }
}

/// What is carried from one entry to the next.
struct State<'a> {
    symbols: Option<&'a Symbols>,
    toc: Toc,
    ascend: bool,
    /// First and last time that a chunk may have; Thanos lets the end of the block count.
    inside: Option<Interval>,
    pairs: Pairs,
    placed: Vec<Placed>,
    last_labels: Vec<(u32, u32)>,
    any: bool,
    last_ref: ChunkRef,
}

impl<'a> State<'a> {
    fn new(parts: &'a Parts, meta: Option<&BlockMeta>) -> Self {
        Self {
            symbols: parts.symbols.as_ref(),
            toc: *parts.plan.toc(),
            ascend: parts.symbols_ascend,
            inside: meta.map(|m| Interval::new(m.min_time, m.max_time)),
            pairs: Pairs::default(),
            placed: Vec::new(),
            last_labels: Vec::new(),
            any: false,
            last_ref: ChunkRef(0),
        }
    }

    fn entry(&mut self, id: u64, at: u64, entry: &SeriesEntry, report: &mut VerifyReport) {
        debug_assert!(at < self.toc.postings, "the walk stays in the section");
        self.labels(at, entry, report);
        self.pairs.series(id as u32, &entry.labels);
        report.stats.num_chunks += entry.chunks.len() as u64;
        if entry.chunks.is_empty() {
            report.say(FindingKind::SeriesChunks, INDEX, at, self.text(entry));
        }
        let mut before: Option<(Interval, ChunkRef)> = None;
        for (interval, place) in &entry.chunks {
            self.times(at, *interval, before.map(|(i, _)| i), entry, report);
            if *place < self.last_ref {
                let (got, want) = (place.0 as i64, self.last_ref.0 as i64);
                report
                    .add(FindingKind::ChunkRefOrder, INDEX, at, || (Some(got), Some(want), self.text(entry)));
            }
            if let Some((_, last)) = before
                && last.segment() == place.segment()
            {
                let distance = u64::from(place.offset().saturating_sub(last.offset()));
                report.health.chunk_max_bytes = report.health.chunk_max_bytes.max(distance);
            }
            self.last_ref = *place;
            self.placed.push(Placed { place: *place, interval: *interval, series: at });
            before = Some((*interval, *place));
        }
    }

    fn labels(&mut self, at: u64, entry: &SeriesEntry, report: &mut VerifyReport) {
        if entry.labels.is_empty() {
            report.say(FindingKind::SeriesLabels, INDEX, at, "");
        }
        let Some(symbols) = self.symbols else { return };
        let (mut last, mut unsorted): (&[u8], bool) = (b"", false);
        for (name, value) in &entry.labels {
            match (symbols.get(*name), symbols.get(*value)) {
                (Some(name), Some(_)) => {
                    unsorted |= last >= name;
                    last = name;
                }
                (found, _) => {
                    let reference = if found.is_none() { *name } else { *value };
                    report.add(FindingKind::UnknownSymbol, INDEX, at, || {
                        (Some(reference.into()), None, self.text(entry))
                    });
                }
            }
        }
        if unsorted {
            report.health.out_of_order_labels += 1;
            report.say(FindingKind::LabelOrder, INDEX, at, self.text(entry));
        }
        // Symbols are in byte order, so their numbers compare as labels do.
        if self.ascend && self.any && self.last_labels >= entry.labels {
            report.health.out_of_order_series += 1;
            report.say(FindingKind::SeriesOrder, INDEX, at, self.text(entry));
        }
        self.any = true;
        self.last_labels.clone_from(&entry.labels);
    }

    /// Checks a chunk against the one before and against the time of the block.
    fn times(
        &self,
        at: u64,
        chunk: Interval,
        before: Option<Interval>,
        entry: &SeriesEntry,
        report: &mut VerifyReport,
    ) {
        let say = |report: &mut VerifyReport, kind, got: i64, want: i64| {
            report.add(kind, INDEX, at, || {
                (Some(got), Some(want), format!("chunk {chunk} of {}", self.text(entry)))
            });
        };
        if chunk.maxt < chunk.mint {
            say(report, FindingKind::ChunkInterval, chunk.maxt, chunk.mint);
        }
        if let Some(before) = before
            && chunk.mint <= before.maxt
        {
            if chunk == before {
                report.health.duplicate_chunks += 1;
                say(report, FindingKind::ChunkDuplicate, chunk.mint, before.mint);
            } else {
                report.health.out_of_order_chunks += 1;
                say(report, FindingKind::ChunkOrder, chunk.mint, before.maxt);
            }
        }
        let Some(block) = self.inside else { return };
        if chunk.mint >= block.mint && chunk.maxt <= block.maxt {
            return;
        }
        report.health.outside_chunks += 1;
        if chunk.mint > block.maxt || chunk.maxt < block.mint {
            report.health.outside_whole_chunks += 1;
            say(report, FindingKind::ChunkOutsideWhole, chunk.mint, block.mint);
        } else if chunk.mint == block.maxt {
            report.health.issue_347_chunks += 1;
            say(report, FindingKind::Chunk347, chunk.mint, block.maxt);
        } else if chunk.mint < block.mint {
            say(report, FindingKind::ChunkOutside, chunk.mint, block.mint);
        } else {
            say(report, FindingKind::ChunkOutside, chunk.maxt, block.maxt);
        }
    }

    /// Labels for people.
    fn text(&self, entry: &SeriesEntry) -> String {
        let Some(symbols) = self.symbols else { return String::new() };
        let string = |i: u32| match symbols.get(i) {
            Some(s) => String::from_utf8_lossy(s).into_owned(),
            None => format!("<symbol {i}>"),
        };
        let pairs: Vec<_> =
            entry.labels.iter().map(|(n, v)| format!("{}={:?}", string(*n), string(*v))).collect();
        format!("{{{}}}", pairs.join(", "))
    }
}
