//! Collecting rows under a budget, and giving them back as sorted chunks.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Scan, SourceSettings,
    spill::{BLOCK_SAMPLES, Run, RunReader, Sample},
};
use crate::{
    budget::{Budget, Lease},
    chunk::{Encoding, XorAppender},
    context::Context,
    error::{ErrorKind, Result},
    model::{Interval, Labels, LabelsRef},
    series::{Aggr, BatchBuilder, SeriesBatch},
};

/// What one more series costs beside its labels and samples.
const SERIES_BYTES: u64 = 96;
/// Bytes of one sample.
const SAMPLE_BYTES: u64 = size_of::<Sample>() as u64;
/// Samples in a chunk, as Prometheus cuts them.
const CHUNK_SAMPLES: usize = 120;
/// Series in a batch.
const BATCH_SERIES: usize = 256;
/// Bytes after which a batch is sent, inside of a series too.
const BATCH_BYTES: usize = 1 << 20;

/// Bytes of rows that are worth a file: each file costs memory when it is read.
const RUN_BYTES_MIN: u64 = 4 * RunReader::BYTES;

/// Takes the rows of a [`SampleSource`](super::SampleSource) and charges them to the budget
/// of the request.
///
/// What the budget does not hold goes to temporary files, if the store has a folder for
/// them: sorted runs, merged when the scan is done. They are written and read at once, on
/// the thread of the caller.
///
/// See [`SampleSource`](super::SampleSource).
#[derive(Debug)]
pub struct SampleSink {
    scan: Scan,
    settings: SourceSettings,
    budget: Arc<Budget>,
    lease: Lease,
    series: BTreeMap<Labels, Vec<Sample>>,
    runs: Vec<Run>,
}

impl SampleSink {
    pub(super) fn new(ctx: &Context, scan: Scan, mut settings: SourceSettings) -> Result<Self> {
        settings.rows_bytes_max = settings.rows_bytes_max.max(SourceSettings::ROWS_BYTES_MIN);
        let budget = Arc::clone(ctx.budget());
        let lease = budget.reserve(0)?;
        Ok(Self { scan, settings, budget, lease, series: BTreeMap::new(), runs: Vec::new() })
    }

    /// Takes one sample; those outside the interval or of other series are dropped.
    ///
    /// Of equal times of a series the sample that came first stays.
    ///
    /// # Errors
    /// `Limit` when the budget of the request is used up and there is no folder for temporary
    /// files; `Unavailable` when one cannot be written.
    pub fn sample(&mut self, labels: &Labels, t_ms: i64, v: f64) -> Result<()> {
        if !self.scan.interval.contains(t_ms) {
            return Ok(());
        }
        match self.keep(labels, t_ms, v) {
            Err(e)
                if e.kind() == ErrorKind::Limit && self.lease.bytes() >= RUN_BYTES_MIN && self.spill()? =>
            {
                self.keep(labels, t_ms, v)
            }
            done => done,
        }
    }

    fn keep(&mut self, labels: &Labels, t_ms: i64, v: f64) -> Result<()> {
        let over = |more: u64| {
            let held = self.lease.bytes();
            self.settings.spill_dir.is_some()
                && held >= RUN_BYTES_MIN
                && held + more > self.settings.rows_bytes_max
        };
        if let Some(samples) = self.series.get_mut(labels) {
            if self.scan.labels_only {
                return Ok(());
            }
            if samples.len() == samples.capacity() {
                // The memory is charged before it is asked for.
                let more = samples.capacity().max(4);
                let bytes = more as u64 * SAMPLE_BYTES;
                if over(bytes) {
                    return Err(full(self.settings.rows_bytes_max));
                }
                self.lease.grow(bytes)?;
                samples.reserve_exact(more);
            }
            samples.push((t_ms, v));
            return Ok(());
        }
        if self.scan.matchers.iter().all(|m| m.matches_labels(labels.view())) {
            let bytes = series_bytes(labels, 1);
            if over(bytes) {
                return Err(full(self.settings.rows_bytes_max));
            }
            self.lease.grow(bytes)?;
            self.series.insert(labels.clone(), vec![(t_ms, v)]);
        }
        Ok(())
    }

    /// Moves all rows to a file; false when there are none or no folder for it.
    fn spill(&mut self) -> Result<bool> {
        let Some(dir) = self.settings.spill_dir.as_deref().filter(|_| !self.series.is_empty()) else {
            return Ok(false);
        };
        let mut run = Run::create(dir)?;
        for (labels, mut samples) in std::mem::take(&mut self.series) {
            in_time_order(&mut samples);
            for block in samples.chunks(BLOCK_SAMPLES) {
                run.write(labels.view(), block)?;
            }
        }
        self.runs.push(run);
        self.lease.shrink_to(0);
        Ok(true)
    }

    /// All rows, sorted.
    pub(super) fn finish(mut self) -> Result<Merged> {
        // Reading runs back and the answer need memory that the last rows may be in the way of.
        let readers = |runs: &[Run]| runs.len() as u64 * RunReader::BYTES;
        let free = self.budget.reserve(readers(&self.runs) + BATCH_BYTES as u64).is_ok();
        if !free {
            self.spill()?;
        }
        let readers_lease = self.budget.reserve(readers(&self.runs))?;
        let labels_only = self.scan.labels_only;
        let mut cursors = Vec::with_capacity(self.runs.len() + 1);
        for run in self.runs {
            cursors.push(Cursor::new(Rows::File(run.into_reader()?))?);
        }
        cursors.push(Cursor::new(Rows::Memory(self.series.into_iter(), self.lease))?);
        let budget = self.budget;
        Ok(Merged { cursors, open: None, labels_only, budget, _readers: readers_lease })
    }
}

fn full(max: u64) -> crate::error::Error {
    crate::error::Error::limit(format!("rows of a scan take more than {max} bytes"))
}

fn series_bytes(labels: &Labels, samples: usize) -> u64 {
    SERIES_BYTES + labels.as_bytes().len() as u64 + samples as u64 * SAMPLE_BYTES
}

fn in_time_order(samples: &mut Vec<Sample>) {
    // Stable: of equal times the row that came first stays.
    samples.sort_by_key(|(t, _)| *t);
    samples.dedup_by_key(|(t, _)| *t);
}

/// Where sorted rows come from.
#[derive(Debug)]
enum Rows {
    File(RunReader),
    Memory(std::collections::btree_map::IntoIter<Labels, Vec<Sample>>, Lease),
}

/// The rows of one run, block by block.
#[derive(Debug)]
struct Cursor {
    rows: Rows,
    /// The series of the present block; `None` at the end.
    labels: Option<Labels>,
    samples: Vec<Sample>,
    at: usize,
}

impl Cursor {
    fn new(rows: Rows) -> Result<Self> {
        let mut cursor = Self { rows, labels: None, samples: Vec::new(), at: 0 };
        cursor.load()?;
        Ok(cursor)
    }

    /// Goes on to the next block, which may belong to the same series.
    fn load(&mut self) -> Result<()> {
        self.at = 0;
        match &mut self.rows {
            Rows::File(reader) => {
                let same = self.labels.take();
                self.labels = reader.read(same, &mut self.samples)?;
            }
            Rows::Memory(series, lease) => {
                if let Some(done) = self.labels.take() {
                    let bytes = series_bytes(&done, self.samples.capacity());
                    self.samples = Vec::new();
                    lease.shrink_to(lease.bytes().saturating_sub(bytes));
                }
                if let Some((labels, mut samples)) = series.next() {
                    in_time_order(&mut samples);
                    (self.labels, self.samples) = (Some(labels), samples);
                }
            }
        }
        Ok(())
    }

    fn time(&self) -> Option<i64> {
        self.samples.get(self.at).map(|(t, _)| *t)
    }
}

/// The rows of all runs as one, in the order of labels and times.
#[derive(Debug)]
pub(super) struct Merged {
    /// Those that came first have precedence.
    cursors: Vec<Cursor>,
    /// The series of which a part was sent, with the time of its last sample.
    open: Option<(Labels, Option<i64>)>,
    labels_only: bool,
    budget: Arc<Budget>,
    _readers: Lease,
}

impl Merged {
    /// The next series, the last of which may go on in the batch after; `None` at the end.
    pub(super) fn next_batch(&mut self) -> Result<Option<SeriesBatch>> {
        let mut out = BatchBuilder::default();
        let mut lease = self.budget.reserve(0)?;
        while out.len() < BATCH_SERIES && out.size_bytes() < BATCH_BYTES {
            let Some((labels, mut last)) = self.open.take().or_else(|| Some((self.smallest()?, None))) else {
                break;
            };
            out.series(labels.view());
            while self.labels_only || out.size_bytes() < BATCH_BYTES {
                if !self.append_chunk(&labels, &mut last, &mut out)? {
                    break;
                }
            }
            lease.grow((out.size_bytes() as u64).saturating_sub(lease.bytes()))?;
            if self.cursors.iter().any(|c| c.labels.as_ref() == Some(&labels)) {
                self.open = Some((labels, last));
            }
        }
        if out.is_empty() {
            return Ok(None);
        }
        Ok(Some(out.finish().with_lease(Arc::new(lease))))
    }

    /// Calls `f` with the labels of each series once, in order.
    pub(super) fn each_labels(&mut self, mut f: impl FnMut(LabelsRef<'_>) -> Result<()>) -> Result<()> {
        while let Some(labels) = self.smallest() {
            f(labels.view())?;
            for cursor in &mut self.cursors {
                while cursor.labels.as_ref() == Some(&labels) {
                    cursor.load()?;
                }
            }
        }
        Ok(())
    }

    fn smallest(&self) -> Option<Labels> {
        self.cursors.iter().filter_map(|c| c.labels.as_ref()).min().cloned()
    }

    /// Appends the next samples of a series; false when there are none.
    fn append_chunk(
        &mut self,
        labels: &Labels,
        last: &mut Option<i64>,
        out: &mut BatchBuilder,
    ) -> Result<bool> {
        let mut chunk = XorAppender::default();
        let (mut count, mut mint) = (0, 0);
        while count < CHUNK_SAMPLES {
            let of_series = self.cursors.iter_mut().filter(|c| c.labels.as_ref() == Some(labels));
            // Of equal times the first cursor's sample is the older row.
            let Some(cursor) = of_series.min_by_key(|c| c.time()) else { break };
            let Some((t, v)) = cursor.samples.get(cursor.at).copied() else {
                cursor.load()?;
                continue;
            };
            cursor.at += 1;
            if *last == Some(t) || self.labels_only {
                continue;
            }
            if count == 0 {
                mint = t;
            }
            chunk.append(t, v)?;
            *last = Some(t);
            count += 1;
        }
        if let Some(maxt) = last.filter(|_| count > 0) {
            out.chunk_copied(Interval::new(mint, maxt), Aggr::Raw, Encoding::Xor, true, chunk.bytes());
        }
        Ok(count > 0)
    }
}
