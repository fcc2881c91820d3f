//! Reads frames of Series answers into batches.
//!
//! Chunk data is not copied: it stays in the frame that it came in. A frame means what prost
//! reads from it; where that takes the merging of fields that are there twice, prost reads it.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use prost::Message;
use thanoslib::{
    DecodeError, Error, Result,
    chunk::Encoding,
    context::Context,
    model::{Aggr, Interval, LabelsRef},
    series::{BatchBuilder, SeriesBatch},
};

use super::{frame::field, wire::Cursor};
use crate::{
    convert::{self, FlatLabels},
    pb::thanos::{self as pb, SeriesResponse, series_response},
};

/// What a frame held beside series.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Received {
    /// Series, or nothing that is known; the series are in the reader.
    Series,
    /// A known gap.
    Warning(Bytes),
    /// What the peer did to answer.
    Hints(prost_types::Any),
}

/// Turns the frames of one answer into batches; frames of one series are joined.
///
/// ```
/// use thanoslib_grpc::{codec::{FrameReader, Received}, pb::thanos::Series};
/// use thanoslib_grpc::{codec::SeriesFrame, pb::thanos::series_response::Result as Frame};
/// let frame = SeriesFrame::from(Frame::Series(Series::default()));
/// let mut reader = FrameReader::default();
/// assert_eq!(reader.read(frame.encoded())?, Received::Series);
/// assert_eq!(reader.finish().map(|batch| batch.len()), Some(1));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct FrameReader {
    builder: BatchBuilder,
    /// Labels of the series seen last.
    last: FlatLabels,
    /// Those of the series that is read.
    this: FlatLabels,
    started: bool,
    /// Bytes of the frames behind the batch, and of the chunk data in them.
    frame_bytes: usize,
    data_bytes: usize,
}

/// One sub-chunk of a window.
#[derive(Clone, Default)]
struct Sub {
    there: bool,
    encoding: i32,
    data: Range<usize>,
}

/// Aggregates in the order of their field numbers, from 3.
const SUBS: [(&str, Aggr); 6] = [
    ("raw", Aggr::Raw),
    ("count", Aggr::Count),
    ("sum", Aggr::Sum),
    ("min", Aggr::Min),
    ("max", Aggr::Max),
    ("counter", Aggr::Counter),
];

impl FrameReader {
    /// Reads the next frame of the answer.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are no frame or labels descend, `Unsupported` for an unknown
    /// encoding. The series before the one that fails can still be taken.
    pub fn read(&mut self, frame: Bytes) -> Result<Received> {
        self.frame_bytes += frame.len();
        let mut only = None;
        let mut cursor = Cursor::new(&frame);
        while let Some((number, kind)) = cursor.field().map_err(broken)? {
            match u8::try_from(number) {
                Ok(n @ (field::SERIES | field::WARNING | field::HINTS | field::BATCH)) => {
                    let range = cursor.range(kind).map_err(broken)?;
                    if only.replace((n, range)).is_some() {
                        return self.read_slowly(&frame);
                    }
                }
                // A kind of frame that is newer than this client.
                _ => cursor.skip(number, kind).map_err(broken)?,
            }
        }
        match only {
            None => {}
            Some((field::SERIES, range)) => self.series(&frame, range)?,
            Some((field::BATCH, range)) => {
                // What cannot be read as a whole is not read in part.
                let mut list = Cursor::of(&frame, range.clone());
                while let Some((number, kind)) = list.field().map_err(broken)? {
                    list.skip(number, kind).map_err(broken)?;
                }
                let mut list = Cursor::of(&frame, range);
                while let Some((number, kind)) = list.field().map_err(broken)? {
                    match number {
                        1 => {
                            let series = list.range(kind).map_err(broken)?;
                            self.series(&frame, series)?;
                        }
                        _ => list.skip(number, kind).map_err(broken)?,
                    }
                }
            }
            Some((field::WARNING, range)) => return Ok(Received::Warning(frame.slice(range))),
            Some((_, range)) => {
                let hints = prost_types::Any::decode(&frame[range]);
                return hints.map(Received::Hints).map_err(|e| Error::corrupt(format!("frame: hints: {e}")));
            }
        }
        Ok(Received::Series)
    }

    /// The series since the last batch, if there are any.
    pub fn finish(&mut self) -> Option<SeriesBatch> {
        (self.frame_bytes, self.data_bytes) = (0, 0);
        (!self.builder.is_empty()).then(|| self.builder.finish())
    }

    /// Bytes that the next batch will keep alive: its own, and the frames that it refers to.
    pub fn held_bytes(&self) -> usize {
        self.frame_bytes + self.builder.size_bytes().saturating_sub(self.data_bytes)
    }

    /// As [`finish`](Self::finish), with what the batch holds taken from the budget for as long
    /// as it lives.
    ///
    /// # Errors
    /// `Limit` when the budget has too little left.
    pub(crate) fn finish_charged(&mut self, ctx: &Context) -> Result<Option<SeriesBatch>> {
        let held = self.held_bytes() as u64;
        let Some(batch) = self.finish() else { return Ok(None) };
        let lease = ctx.budget().reserve(held)?;
        Ok(Some(batch.with_lease(Arc::new(lease))))
    }

    /// Begins a series of the labels in `this`, or goes on with the last one.
    fn begin(&mut self) -> Result<()> {
        let (this, last) = (self.this.view(), self.last.view());
        if self.started && this < last {
            return Err(Error::corrupt(format!("series out of order: {this} after {last}")));
        }
        if !self.started || this != last || self.builder.is_empty() {
            self.builder.series(this);
        }
        self.started = true;
        std::mem::swap(&mut self.this, &mut self.last);
        Ok(())
    }

    /// Reads a `thanos.Series`.
    fn series(&mut self, frame: &Bytes, range: Range<usize>) -> Result<()> {
        let mut cursor = Cursor::of(frame, range.clone());
        let mut chunks = None;
        self.this.clear();
        loop {
            let before = cursor.at();
            let Some((number, kind)) = cursor.field().map_err(broken)? else { break };
            match number {
                1 => {
                    let label = cursor.range(kind).map_err(broken)?;
                    let (name, value) = label_ranges(frame, label).map_err(broken)?;
                    self.this.push(&frame[name], &frame[value]);
                }
                2 => {
                    cursor.range(kind).map_err(broken)?;
                    chunks.get_or_insert(before);
                }
                _ => cursor.skip(number, kind).map_err(broken)?,
            }
        }
        self.this.finish();
        self.begin()?;
        let Some(start) = chunks else { return Ok(()) };
        let mut cursor = Cursor::of(frame, start..range.end);
        let mut i = 0;
        while let Some((number, kind)) = cursor.field().map_err(broken)? {
            if number != 2 {
                cursor.skip(number, kind).map_err(broken)?;
                continue;
            }
            let chunk = cursor.range(kind).map_err(broken)?;
            self.window(frame, chunk).map_err(|e| self.at_chunk(e, i))?;
            i += 1;
        }
        Ok(())
    }

    fn at_chunk(&self, e: Error, i: usize) -> Error {
        e.context(format!("{}: chunks[{i}]", self.last.view()))
    }

    /// Reads a `thanos.AggrChunk`.
    fn window(&mut self, frame: &Bytes, range: Range<usize>) -> Result<()> {
        let mut cursor = Cursor::of(frame, range);
        let (mut mint, mut maxt) = (0, 0);
        let mut subs: [Sub; SUBS.len()] = Default::default();
        while let Some((number, kind)) = cursor.field().map_err(broken)? {
            match number {
                1 => mint = cursor.number(kind).map_err(broken)? as i64,
                2 => maxt = cursor.number(kind).map_err(broken)? as i64,
                3..=8 => {
                    let range = cursor.range(kind).map_err(broken)?;
                    sub_chunk(frame, range, &mut subs[number as usize - 3]).map_err(broken)?;
                }
                _ => cursor.skip(number, kind).map_err(broken)?,
            }
        }
        let at = Interval::new(mint, maxt);
        let mut first = true;
        for ((name, aggr), sub) in SUBS.into_iter().zip(subs) {
            if !sub.there {
                continue;
            }
            let encoding = convert::encoding(sub.encoding, name)?;
            self.data_bytes += sub.data.len();
            self.builder.chunk_in(at, aggr, encoding, first, frame, sub.data);
            first = false;
        }
        if first {
            self.builder.chunk(at, Aggr::Raw, Encoding::None, true, Bytes::new());
        }
        Ok(())
    }

    fn read_slowly(&mut self, frame: &Bytes) -> Result<Received> {
        let message =
            SeriesResponse::decode(frame.clone()).map_err(|e| Error::corrupt(format!("frame: {e}")))?;
        match message.result {
            None => {}
            Some(series_response::Result::Series(series)) => self.push(&series)?,
            Some(series_response::Result::Batch(batch)) => {
                batch.series.iter().try_for_each(|s| self.push(s))?
            }
            Some(series_response::Result::Warning(text)) => return Ok(Received::Warning(text)),
            Some(series_response::Result::Hints(hints)) => return Ok(Received::Hints(hints)),
        }
        Ok(Received::Series)
    }

    /// Adds a series that is a message already.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn push(&mut self, series: &pb::Series) -> Result<()> {
        self.this.clear();
        for label in &series.labels {
            self.this.push(&label.name, &label.value);
        }
        self.this.finish();
        self.begin()?;
        for (i, chunk) in series.chunks.iter().enumerate() {
            self.push_window(chunk).map_err(|e| self.at_chunk(e, i))?;
        }
        Ok(())
    }

    fn push_window(&mut self, chunk: &pb::AggrChunk) -> Result<()> {
        let at = Interval::new(chunk.min_time, chunk.max_time);
        let subs = [&chunk.raw, &chunk.count, &chunk.sum, &chunk.min, &chunk.max, &chunk.counter];
        let mut first = true;
        for ((name, aggr), sub) in SUBS.into_iter().zip(subs) {
            let Some(sub) = sub else { continue };
            let encoding = convert::encoding(sub.r#type, name)?;
            self.data_bytes += sub.data.len();
            self.builder.chunk(at, aggr, encoding, first, sub.data.clone());
            first = false;
        }
        if first {
            self.builder.chunk(at, Aggr::Raw, Encoding::None, true, Bytes::new());
        }
        Ok(())
    }

    /// Labels of the series read last.
    pub fn last_labels(&self) -> LabelsRef<'_> {
        self.last.view()
    }
}

fn broken(e: DecodeError) -> Error {
    e.context("frame")
}

/// Reads a `thanos.Label`.
#[inline]
fn label_ranges(frame: &[u8], range: Range<usize>) -> Result<(Range<usize>, Range<usize>), DecodeError> {
    let mut cursor = Cursor::of(frame, range);
    let (mut name, mut value) = (0..0, 0..0);
    while let Some((number, kind)) = cursor.field()? {
        match number {
            1 => name = cursor.range(kind)?,
            2 => value = cursor.range(kind)?,
            _ => cursor.skip(number, kind)?,
        }
    }
    Ok((name, value))
}

/// Reads a `thanos.Chunk` over what was there of it before.
#[inline]
fn sub_chunk(frame: &[u8], range: Range<usize>, sub: &mut Sub) -> Result<(), DecodeError> {
    sub.there = true;
    let mut cursor = Cursor::of(frame, range);
    while let Some((number, kind)) = cursor.field()? {
        match number {
            1 => sub.encoding = cursor.number(kind)? as i32,
            2 => sub.data = cursor.range(kind)?,
            // The hash: nobody looks at it, but it must be a number.
            3 => drop(cursor.number(kind)?),
            _ => cursor.skip(number, kind)?,
        }
    }
    Ok(())
}
