//! The frames of Series answers, `thanos.SeriesResponse`.

use std::{collections::VecDeque, sync::Arc};

use bytes::{Buf, Bytes};
use prost::Message;
use prost_types::Any;
use thanoslib::{Result, series::SeriesBatch};
use tonic::{
    Status,
    codec::{DecodeBuf, EncodeBuf},
};

use super::{
    Wire,
    encode::{self, Part},
    malformed,
};
use crate::{
    convert::FRAME_CHUNKS_MAX_BYTES,
    pb::thanos::{SeriesResponse, series_response},
};

/// Field numbers of `thanos.SeriesResponse`.
pub(super) mod field {
    pub(crate) const SERIES: u8 = 1;
    pub(crate) const WARNING: u8 = 2;
    pub(crate) const HINTS: u8 = 3;
    pub(crate) const BATCH: u8 = 4;
}

/// One frame of a Series answer.
///
/// What is sent refers to a batch of series until it is written to the connection; what was
/// received stays bytes until a [`FrameReader`](super::FrameReader) or [`message`](Self::message)
/// reads it.
#[derive(Debug)]
pub struct SeriesFrame(Content);

#[derive(Debug)]
enum Content {
    /// An encoded message.
    Encoded(Bytes),
    /// Series of batches.
    Series(Series),
}

/// Series that share a frame.
#[derive(Debug, Default)]
struct Series {
    pieces: Vec<Piece>,
    count: usize,
    /// True: one series without a list around it.
    single: bool,
}

/// Series of one batch.
#[derive(Debug)]
struct Piece {
    batch: Arc<SeriesBatch>,
    parts: Vec<Part>,
    /// Of the chunks of the parts.
    hashes: Vec<u64>,
}

impl SeriesFrame {
    /// A known gap of the answer.
    pub fn warning(text: impl Into<Bytes>) -> Self {
        series_response::Result::Warning(text.into()).into()
    }

    /// What a store did to answer.
    pub fn hints(hints: Any) -> Self {
        series_response::Result::Hints(hints).into()
    }

    /// A frame that is encoded already, such as one that was received.
    pub fn from_encoded(bytes: Bytes) -> Self {
        Self(Content::Encoded(bytes))
    }

    /// The frame as a message of its own.
    ///
    /// # Errors
    /// `Internal` for bytes that are no such message.
    pub fn message(self) -> Result<SeriesResponse, Status> {
        let bytes = self.encoded();
        SeriesResponse::decode(bytes).map_err(|e| malformed(&e.to_string(), false))
    }

    /// The frame as bytes.
    pub fn encoded(self) -> Bytes {
        match self.0 {
            Content::Encoded(bytes) => bytes,
            Content::Series(series) => {
                let mut out = Vec::with_capacity(series.len());
                series.write(&mut out);
                Bytes::from(out)
            }
        }
    }
}

impl From<series_response::Result> for SeriesFrame {
    fn from(result: series_response::Result) -> Self {
        SeriesResponse { result: Some(result) }.into()
    }
}

impl From<SeriesResponse> for SeriesFrame {
    fn from(message: SeriesResponse) -> Self {
        Self(Content::Encoded(Bytes::from(message.encode_to_vec())))
    }
}

impl Wire for SeriesFrame {
    fn write(self, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match self.0 {
            Content::Encoded(bytes) => bytes::BufMut::put(out, bytes),
            Content::Series(series) => {
                out.reserve(series.len());
                series.write(out);
            }
        }
        Ok(())
    }

    fn read(buf: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        // The bytes of the connection's buffer, shared.
        Ok(Self(Content::Encoded(buf.copy_to_bytes(buf.remaining()))))
    }
}

impl Series {
    /// Bytes of what lies in the frame's only field.
    fn body_len(&self) -> usize {
        let parts = self.pieces.iter().flat_map(|p| &p.parts);
        match self.single {
            true => parts.map(Part::len).sum(),
            false => parts.map(|p| encode::head_len(p.len()) + p.len()).sum(),
        }
    }

    fn len(&self) -> usize {
        let body = self.body_len();
        encode::head_len(body) + body
    }

    fn write(&self, out: &mut impl bytes::BufMut) {
        encode::head(if self.single { field::SERIES } else { field::BATCH }, self.body_len(), out);
        for piece in &self.pieces {
            let mut hashes = piece.hashes.iter().copied();
            for part in &piece.parts {
                if !self.single {
                    encode::head(1, part.len(), out);
                }
                encode::write(&piece.batch, part, &mut hashes, out);
            }
        }
    }
}

/// Cuts batches of series into the frames that a client asked for.
///
/// Up to `per_frame` series share a frame, less when their chunks are large. Series wait
/// for their frame to fill, but never behind a warning or hints.
///
/// ```
/// use thanoslib::{BatchBuilder, Labels};
/// use thanoslib_grpc::codec::FrameBuilder;
/// let mut builder = BatchBuilder::default();
/// builder.series(Labels::from_pairs([("job", "api")]).view());
/// let mut frames = FrameBuilder::new(64);
/// frames.batch(builder.finish())?;
/// assert!(frames.pop().is_none(), "there may be more");
/// frames.flush();
/// assert_eq!(frames.pop().map(|frame| frame.encoded().len()), Some(16));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Debug)]
pub struct FrameBuilder {
    per_frame: usize,
    ready: VecDeque<SeriesFrame>,
    waiting: Series,
    waiting_bytes: usize,
}

impl FrameBuilder {
    /// A builder of frames with so many series; 0 and 1 stand for single series.
    pub fn new(per_frame: usize) -> Self {
        Self { per_frame, ready: VecDeque::new(), waiting: Series::default(), waiting_bytes: 0 }
    }

    /// The next frame that is complete.
    pub fn pop(&mut self) -> Option<SeriesFrame> {
        self.ready.pop_front()
    }

    /// Adds the series of a batch, which lives until its frames are written.
    ///
    /// # Errors
    /// `Corrupt` for a chunk that must be rewritten for peers and does not decode,
    /// `Unsupported` for one of another kind.
    pub fn batch(&mut self, batch: SeriesBatch) -> Result<()> {
        let batch = match encode::for_peers(&batch)? {
            Some(rewritten) => Arc::new(rewritten),
            None => Arc::new(batch),
        };
        let (mut parts, mut hashes) = (Vec::with_capacity(1), Vec::new());
        for (number, series) in batch.iter().enumerate() {
            encode::parts(series, number as u32, FRAME_CHUNKS_MAX_BYTES, &mut hashes, |p, own| {
                parts.push((p, own));
            });
            for (part, own) in parts.drain(..) {
                self.part(&batch, part, &hashes[own]);
            }
            hashes.clear();
        }
        Ok(())
    }

    fn part(&mut self, batch: &Arc<SeriesBatch>, part: Part, hashes: &[u64]) {
        let pieces = &mut self.waiting.pieces;
        match pieces.last_mut().filter(|p| Arc::ptr_eq(&p.batch, batch)) {
            Some(piece) => {
                piece.parts.push(part);
                piece.hashes.extend_from_slice(hashes);
            }
            None => {
                pieces.push(Piece { batch: Arc::clone(batch), parts: vec![part], hashes: hashes.to_vec() })
            }
        }
        self.waiting.count += 1;
        self.waiting.single = self.per_frame <= 1;
        self.waiting_bytes += part.data_len;
        if self.waiting.count >= self.per_frame || self.waiting_bytes >= FRAME_CHUNKS_MAX_BYTES {
            self.flush();
        }
    }

    /// Adds a warning after all series so far.
    pub fn warning(&mut self, text: String) {
        self.flush();
        self.ready.push_back(SeriesFrame::warning(text));
    }

    /// Adds hints after all series so far.
    pub fn hints(&mut self, hints: Any) {
        self.flush();
        self.ready.push_back(SeriesFrame::hints(hints));
    }

    /// Completes the frame that waits for more series.
    pub fn flush(&mut self) {
        if self.waiting.count > 0 {
            self.waiting_bytes = 0;
            self.ready.push_back(SeriesFrame(Content::Series(std::mem::take(&mut self.waiting))));
        }
    }
}
