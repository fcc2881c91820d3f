//! Holding a member to the contract of a store.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    model::{Labels, LabelsRef},
    series::{BatchBuilder, ChunkView, SeriesBatch, SeriesView},
    store::{Frame, proxy::ProxyMember},
};

/// Frames without a series that may follow each other.
const EMPTY_FRAMES_MAX: usize = 10_000;
/// Warnings of one member that are told; the last of them says that there are more.
const WARNINGS_MAX: usize = 500;
/// Bytes of a warning that are told.
const WARNING_BYTES_MAX: usize = 4 << 10;
/// Copies of the last part of a series that are passed over.
const REPEATED_MAX: usize = 1000;

/// What was seen of a stream so far.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// Address of the member.
    address: Arc<str>,
    last: Option<Labels>,
    /// The part that came last, to tell copies of it.
    last_part: Option<SeriesBatch>,
    repeated: usize,
    empty: usize,
    warnings: usize,
}

impl Check {
    /// Of a stream that has just begun.
    pub(super) fn new(member: &ProxyMember) -> Self {
        Self { address: Arc::clone(&member.address), ..Self::default() }
    }

    /// The frame as it may go on; `None` when nothing is left of it.
    ///
    /// # Errors
    /// Says what is wrong with the stream.
    pub(super) fn frame(&mut self, frame: Frame) -> Result<Option<Frame>, String> {
        match frame {
            Frame::Batch(batch) => Ok(self.batch(batch)?.map(Frame::Batch)),
            Frame::Warning(mut warning) => {
                self.aside()?;
                self.warnings = self.warnings.saturating_add(1);
                let len = warning.message.floor_char_boundary(WARNING_BYTES_MAX);
                warning.message.truncate(len);
                if self.warnings == WARNINGS_MAX {
                    warning.message = format!("more warnings of {} are left out", self.address);
                }
                Ok((self.warnings <= WARNINGS_MAX).then_some(Frame::Warning(warning)))
            }
            other => self.aside().map(|()| Some(other)),
        }
    }

    /// Counts a frame that holds no series.
    ///
    /// # Errors
    /// Says what is wrong when there are too many.
    fn aside(&mut self) -> Result<(), String> {
        self.empty += 1;
        if self.empty > EMPTY_FRAMES_MAX {
            return Err(format!("{EMPTY_FRAMES_MAX} frames without a series"));
        }
        Ok(())
    }

    /// The batch as it may go on; `None` when nothing is left of it.
    ///
    /// # Errors
    /// Says what is wrong when series are out of order, repeated without end, or have chunks
    /// that end before they begin.
    fn batch(&mut self, batch: SeriesBatch) -> Result<Option<SeriesBatch>, String> {
        let Some(first) = batch.get(0) else {
            self.aside()?;
            return Ok(None);
        };
        self.empty = 0;
        let mut before = self.last.as_ref().map(Labels::view);
        let mut pieces = false;
        for (i, series) in batch.iter().enumerate() {
            let labels = series.labels();
            match before.map(|last| labels.cmp(&last)) {
                Some(Ordering::Less) => {
                    let last = before.map(|l| l.to_string()).unwrap_or_default();
                    return Err(format!("series out of order: {labels} after {last}"));
                }
                Some(Ordering::Equal) => pieces |= i > 0,
                _ => {}
            }
            before = Some(labels);
            if let Some(chunk) = series.chunks().find(|c| c.meta.interval.mint > c.meta.interval.maxt) {
                let at = chunk.meta.interval;
                return Err(format!("series {labels} has a chunk from {} to {}", at.mint, at.maxt));
            }
        }
        let first = first.labels().to_labels();
        // Peers may send a series in several pieces of one frame.
        let batch = if pieces { joined(&batch) } else { batch };
        let goes_on = self.last.as_ref().is_some_and(|last| *last == first);
        if goes_on && batch.len() == 1 {
            return self.continued(batch);
        }
        self.repeated = 0;
        self.last_part = None;
        self.last = last_labels(&batch);
        Ok(Some(batch))
    }

    /// A batch that holds nothing but more of the last series.
    fn continued(&mut self, batch: SeriesBatch) -> Result<Option<SeriesBatch>, String> {
        let copies = match (self.last_part.as_ref().and_then(|p| p.get(0)), batch.get(0)) {
            (Some(last), Some(part)) => copies(last, part),
            (None, Some(part)) if part.chunk_count() == 0 => 1,
            _ => 0,
        };
        if copies == 0 {
            self.repeated = 0;
            self.last_part = Some(batch.clone());
            return Ok(Some(batch));
        }
        self.repeated += copies;
        if self.repeated > REPEATED_MAX {
            let labels = self.last.clone().unwrap_or_default();
            return Err(format!("series {labels} came {REPEATED_MAX} times"));
        }
        Ok(None)
    }
}

fn last_labels(batch: &SeriesBatch) -> Option<Labels> {
    Some(batch.get(batch.len().checked_sub(1)?)?.labels().to_labels())
}

/// How often a part holds what the one before holds, and nothing else; 0 when it holds more.
fn copies(last: SeriesView<'_>, part: SeriesView<'_>) -> usize {
    let same = |(a, b): (ChunkView<'_>, ChunkView<'_>)| {
        let key = |c: &ChunkView<'_>| (c.meta.interval, c.meta.aggr, c.meta.encoding);
        key(&a) == key(&b) && a.data() == b.data()
    };
    if last.chunk_count() == part.chunk_count() {
        return usize::from(last.chunks().zip(part.chunks()).all(same));
    }
    // Copies of one chunk may come in parts of any length.
    let Some(end) = last.chunks().last() else { return 0 };
    if part.chunks().all(|chunk| same((end, chunk))) { part.chunk_count() } else { 0 }
}

/// The batch with equal neighbours made into one series.
fn joined(batch: &SeriesBatch) -> SeriesBatch {
    let mut out = BatchBuilder::default();
    let mut before: Option<LabelsRef<'_>> = None;
    for series in batch.iter() {
        if before.replace(series.labels()) != Some(series.labels()) {
            out.series(series.labels());
        }
        out.copy_chunks(series);
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        chunk::Encoding,
        model::{Aggr, Interval, Warning},
    };

    /// A batch of series named by their label; each with a chunk of the time given.
    fn batch(series: &[(&str, i64)]) -> SeriesBatch {
        let mut out = BatchBuilder::default();
        for (a, t) in series {
            out.series(Labels::from_pairs([("a", *a)]).view());
            out.chunk(Interval::new(*t, 10), Aggr::Raw, Encoding::Xor, true, Bytes::from_static(b"xy"));
        }
        out.finish()
    }

    fn check(batches: &[SeriesBatch], want: Result<&[(&str, usize)], &str>) {
        let mut check = Check::default();
        let mut got: Vec<(String, usize)> = Vec::new();
        let mut all = || -> Result<(), String> {
            for b in batches {
                let Some(b) = check.batch(b.clone())? else { continue };
                let name = |s: SeriesView<'_>| {
                    String::from_utf8_lossy(s.labels().get("a").unwrap_or_default()).into()
                };
                got.extend(b.iter().map(|s| (name(s), s.chunk_count())));
            }
            Ok(())
        };
        let done = all();
        let want = want.map(|list| list.iter().map(|(a, n)| ((*a).to_owned(), *n)).collect::<Vec<_>>());
        assert_eq!(done.map(|()| got), want.map_err(str::to_owned));
    }

    #[test]
    fn order_is_kept_over_frames() {
        check(
            &[batch(&[("1", 0), ("2", 0)]), batch(&[("2", 1), ("3", 0)])],
            Ok(&[("1", 1), ("2", 1), ("2", 1), ("3", 1)]),
        );
        check(&[batch(&[("1", 0), ("1", 1), ("2", 0)])], Ok(&[("1", 2), ("2", 1)]));
        let e = r#"series out of order: {a="1"} after {a="2"}"#;
        check(&[batch(&[("2", 0), ("1", 0)])], Err(e));
        check(&[batch(&[("2", 0)]), batch(&[("1", 0)])], Err(e));
    }

    #[test]
    fn chunks_end_after_they_begin() {
        check(&[batch(&[("1", 11)])], Err(r#"series {a="1"} has a chunk from 11 to 10"#));
    }

    #[test]
    fn copies_are_passed_over_up_to_a_number() {
        let one = || batch(&[("1", 0)]);
        check(&[one(), one(), one()], Ok(&[("1", 1), ("1", 1)]));
        let many: Vec<SeriesBatch> = (0..REPEATED_MAX + 3).map(|_| one()).collect();
        check(&many, Err(r#"series {a="1"} came 1000 times"#));
        let mut check = Check::default();
        for _ in 0..EMPTY_FRAMES_MAX {
            assert!(check.batch(SeriesBatch::default()).is_ok_and(|b| b.is_none()));
        }
        assert_eq!(check.aside(), Err("10000 frames without a series".to_owned()));
    }

    #[test]
    fn warnings_are_told_up_to_a_number_and_a_length() {
        let mut check = Check { address: Arc::from("a:1"), ..Check::default() };
        let mut told = Vec::new();
        for i in 0..2 * WARNINGS_MAX {
            let text = format!("{i}: {}", "ü".repeat(WARNING_BYTES_MAX));
            let Ok(frame) = check.frame(Frame::Warning(Warning::new(text))) else { panic!("too many") };
            told.extend(frame);
            assert!(check.batch(batch(&[(&format!("{i:05}"), 0)])).is_ok());
        }
        assert_eq!(told.len(), WARNINGS_MAX);
        let last = told.last();
        assert!(matches!(last, Some(Frame::Warning(w)) if w.message == "more warnings of a:1 are left out"));
        let short = |f: &Frame| matches!(f, Frame::Warning(w) if w.message.len() <= WARNING_BYTES_MAX);
        assert!(told.iter().all(short));
    }
}
