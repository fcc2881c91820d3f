//! Cuts batches of series into the frames that the client asked for.

use std::collections::VecDeque;

use prost_types::Any;
use thanoslib::{Result, series::SeriesBatch};

use crate::{
    convert,
    pb::thanos::{self as pb, SeriesResponse, series_response::Result as Frame},
};

/// Frames of one answer in order.
///
/// Up to `per_frame` series share a frame, less when their chunks are large. Series wait
/// for their frame to fill, but never behind a warning or hints.
#[derive(Debug)]
pub(super) struct Frames {
    per_frame: usize,
    ready: VecDeque<SeriesResponse>,
    waiting: Vec<pb::Series>,
    waiting_bytes: usize,
}

impl Frames {
    pub(super) fn new(per_frame: usize) -> Self {
        Self { per_frame, ready: VecDeque::new(), waiting: Vec::new(), waiting_bytes: 0 }
    }

    /// The next frame that is complete.
    pub(super) fn pop(&mut self) -> Option<SeriesResponse> {
        self.ready.pop_front()
    }

    /// Adds the series of a batch.
    pub(super) fn batch(&mut self, batch: &SeriesBatch) -> Result<()> {
        for series in batch.iter() {
            for part in convert::parts(series)? {
                self.series(part);
            }
        }
        Ok(())
    }

    fn series(&mut self, series: pb::Series) {
        if self.per_frame <= 1 {
            self.push(Frame::Series(series));
            return;
        }
        self.waiting_bytes += data_bytes(&series);
        self.waiting.push(series);
        if self.waiting.len() >= self.per_frame || self.waiting_bytes >= convert::FRAME_CHUNKS_MAX_BYTES {
            self.flush();
        }
    }

    /// Adds a warning after all series so far.
    pub(super) fn warning(&mut self, text: String) {
        self.flush();
        self.push(Frame::Warning(text.into()));
    }

    /// Adds hints after all series so far.
    pub(super) fn hints(&mut self, hints: Any) {
        self.flush();
        self.push(Frame::Hints(hints));
    }

    /// Completes the frame that waits for more series.
    pub(super) fn flush(&mut self) {
        if !self.waiting.is_empty() {
            let series = std::mem::take(&mut self.waiting);
            self.waiting_bytes = 0;
            self.push(Frame::Batch(pb::SeriesBatch { series }));
        }
    }

    fn push(&mut self, frame: Frame) {
        self.ready.push_back(SeriesResponse { result: Some(frame) });
    }
}

fn data_bytes(series: &pb::Series) -> usize {
    let chunks = series.chunks.iter();
    let subs = chunks.flat_map(|c| [&c.raw, &c.count, &c.sum, &c.min, &c.max, &c.counter]);
    subs.flatten().map(|c| c.data.len()).sum()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use thanoslib::{
        chunk::Encoding,
        model::{Aggr, Interval, Labels},
        series::BatchBuilder,
    };

    use super::*;

    /// One step of an answer: series with the sizes of their only chunks, or a warning.
    enum Step {
        Series(&'static [usize]),
        Warning,
    }

    fn check(per_frame: usize, steps: &[Step], want: &[&str]) {
        let mut frames = Frames::new(per_frame);
        let mut n = 0;
        for step in steps {
            match step {
                Step::Series(sizes) => {
                    let mut builder = BatchBuilder::default();
                    for size in *sizes {
                        n += 1;
                        builder.series(Labels::from_pairs([("n", n.to_string())]).view());
                        let data = Bytes::from(vec![0; *size]);
                        builder.chunk(Interval::new(0, 1), Aggr::Raw, Encoding::Xor, true, data);
                    }
                    frames.batch(&builder.finish()).expect("known encodings");
                }
                Step::Warning => frames.warning("gap".to_owned()),
            }
        }
        frames.flush();
        let mut got = Vec::new();
        while let Some(frame) = frames.pop() {
            got.push(match frame.result.expect("a frame holds something") {
                Frame::Series(_) => "series".to_owned(),
                Frame::Batch(b) => format!("batch {}", b.series.len()),
                Frame::Warning(_) => "warning".to_owned(),
                Frame::Hints(_) => "hints".to_owned(),
            });
        }
        assert_eq!(got, want);
    }

    #[test]
    fn frames_fill_over_batches_and_keep_their_order() {
        use Step::{Series, Warning};
        check(0, &[Series(&[1, 1]), Warning], &["series", "series", "warning"]);
        check(1, &[Series(&[1, 1])], &["series", "series"]);
        check(3, &[Series(&[1]), Warning, Series(&[1])], &["batch 1", "warning", "batch 1"]);
        check(3, &[Series(&[1, 1]), Series(&[1, 1])], &["batch 3", "batch 1"]);
        check(64, &[Series(&[])], &[]);
    }

    #[test]
    fn large_series_fill_a_frame() {
        use Step::Series;
        check(64, &[Series(&[1 << 20, 1, 1 << 19, 1 << 19, 5])], &["batch 1", "batch 3", "batch 1"]);
    }
}
