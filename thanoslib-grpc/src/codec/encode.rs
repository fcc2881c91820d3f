//! Writes series of a batch as `thanos.Series` messages.
//!
//! The length of each message stands in front of it, so a series is measured first. What
//! measuring gives beside the length, the hashes of chunks, is kept for writing.

use std::ops::Range;

use bytes::{BufMut, Bytes};
use prost::encoding::encode_varint;
use thanoslib::{
    Error, Result,
    chunk::{self, Encoding},
    model::{Aggr, Interval, LabelsRef},
    series::{BatchBuilder, ChunkView, SeriesBatch, SeriesView},
};
use xxhash_rust::xxh64::xxh64;

use super::wire::{field_len, number_len, varint_len};

/// Tags of `thanos.AggrChunk` for each aggregate.
fn slot(aggr: Aggr) -> usize {
    match aggr {
        Aggr::Raw => 0,
        Aggr::Count => 1,
        Aggr::Sum => 2,
        Aggr::Min => 3,
        Aggr::Max => 4,
        Aggr::Counter => 5,
    }
}

/// Number of slots.
const SLOTS: usize = 6;
/// Field number of the first slot.
const SLOT_FIRST: u8 = 3;

/// Tag of field `n` that has its length in front.
const fn bytes_tag(n: u8) -> u8 {
    n << 3 | 2
}

/// Tag of field `n` that is a number.
const fn number_tag(n: u8) -> u8 {
    n << 3
}

/// The number of an encoding on the wire: one less than that of chunk files.
fn encoding(e: Encoding) -> Option<u8> {
    match e {
        Encoding::Xor => Some(0),
        Encoding::Histogram => Some(1),
        Encoding::FloatHistogram => Some(2),
        _ => None,
    }
}

/// A batch whose chunks all have encodings that peers know; `None` when this one has.
///
/// # Errors
/// `Corrupt` for a chunk that must be rewritten for peers and does not decode,
/// `Unsupported` for one of another kind.
pub(super) fn for_peers(batch: &SeriesBatch) -> Result<Option<SeriesBatch>> {
    let known = |c: ChunkView<'_>| c.meta.encoding == Encoding::None || encoding(c.meta.encoding).is_some();
    if batch.iter().all(|s| s.chunks().all(known)) {
        return Ok(None);
    }
    let mut out = BatchBuilder::default();
    for series in batch.iter() {
        out.series(series.labels());
        for chunk in series.chunks() {
            if known(chunk) {
                out.copy_chunk(chunk);
                continue;
            }
            let (e, data) = rewrite(chunk).map_err(|e| e.context(series.labels()))?;
            out.chunk(chunk.meta.interval, chunk.meta.aggr, e, chunk.meta.first, data);
        }
    }
    Ok(Some(out.finish()))
}

fn rewrite(chunk: ChunkView<'_>) -> Result<(Encoding, Bytes)> {
    let from = chunk.meta.encoding;
    match chunk::transcode(chunk::Chunk { encoding: from, data: chunk.data() })? {
        Some((to, data)) => Ok((to, Bytes::from(data))),
        None => Err(Error::unsupported(format!("no peer knows chunk encoding {from:?}"))),
    }
}

/// One `thanos.AggrChunk`: the chunks of one window, each in its slot.
struct Window<'a> {
    series: SeriesView<'a>,
    interval: Interval,
    /// Numbers of the chunks.
    slots: [u32; SLOTS],
}

/// A slot that is not taken.
const FREE: u32 = u32::MAX;

/// Cuts chunks into windows: one begins where a chunk says so, or where its slot is taken.
struct Windows<'a> {
    series: SeriesView<'a>,
    /// Number of the next chunk.
    at: u32,
}

impl<'a> Iterator for Windows<'a> {
    type Item = Window<'a>;

    #[inline]
    fn next(&mut self) -> Option<Window<'a>> {
        let first = self.series.chunk(self.at as usize)?;
        let mut window = Window { series: self.series, interval: first.meta.interval, slots: [FREE; SLOTS] };
        window.put(self.at, first);
        self.at += 1;
        while let Some(chunk) = self.series.chunk(self.at as usize) {
            if chunk.meta.first || window.slots[slot(chunk.meta.aggr)] != FREE {
                break;
            }
            window.put(self.at, chunk);
            self.at += 1;
        }
        Some(window)
    }
}

impl<'a> Window<'a> {
    fn put(&mut self, number: u32, chunk: ChunkView<'a>) {
        if chunk.meta.encoding != Encoding::None {
            self.slots[slot(chunk.meta.aggr)] = number;
        }
    }

    /// The slots that are taken, with their field numbers.
    #[inline]
    fn taken(&self) -> impl Iterator<Item = (u8, ChunkView<'a>)> {
        let series = self.series;
        let taken = (SLOT_FIRST..).zip(self.slots).filter(|(_, number)| *number != FREE);
        taken.filter_map(move |(n, number)| Some((n, series.chunk(number as usize)?)))
    }

    fn data_len(&self) -> usize {
        self.taken().map(|(_, c)| c.data().len()).sum()
    }

    /// Bytes of the message; `hash` gives the hash of each chunk in turn.
    #[inline]
    fn message_len(&self, mut hash: impl FnMut(&[u8]) -> u64) -> usize {
        let times = number_len(self.interval.mint as u64) + number_len(self.interval.maxt as u64);
        let mut len = times;
        for (_, chunk) in self.taken() {
            let data = chunk.data();
            len += field_len(chunk_len(chunk, data, hash(data)));
        }
        len
    }
}

/// Bytes of a `thanos.Chunk`.
#[inline]
fn chunk_len(chunk: ChunkView<'_>, data: &[u8], hash: u64) -> usize {
    let e = number_len(encoding(chunk.meta.encoding).unwrap_or_default().into());
    e + if data.is_empty() { 0 } else { field_len(data.len()) } + number_len(hash)
}

fn labels_len(labels: LabelsRef<'_>) -> usize {
    labels.iter().map(|l| field_len(string_len(l.name) + string_len(l.value))).sum()
}

#[inline]
fn string_len(s: &[u8]) -> usize {
    if s.is_empty() { 0 } else { field_len(s.len()) }
}

/// A series, or as many of its chunks as share one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Number of the series in its batch.
    series: u32,
    /// Number of its first chunk.
    chunk: u32,
    /// Number of its windows.
    windows: u32,
    /// Bytes of the message.
    len: usize,
    /// Bytes of chunk data.
    pub(super) data_len: usize,
}

impl Part {
    /// Bytes of the message.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// Measures the messages of series `number`: several when its chunks are more than `data_max`
/// bytes less those of its labels; the window that crosses this is the last of its message. The
/// hashes of all chunks are appended; each message comes with the range of its own.
pub(super) fn parts(
    series: SeriesView<'_>,
    number: u32,
    data_max: usize,
    hashes: &mut Vec<u64>,
    mut out: impl FnMut(Part, Range<usize>),
) {
    let labels = labels_len(series.labels());
    let room = data_max.saturating_sub(series.labels().as_bytes().len());
    let begin = |chunk| Part { series: number, chunk, windows: 0, len: labels, data_len: 0 };
    let mut part = begin(0);
    let mut all = Windows { series, at: 0 };
    let mut own = hashes.len();
    loop {
        let at = all.at;
        let Some(window) = all.next() else { break };
        if part.windows > 0 && part.data_len >= room {
            out(part, own..hashes.len());
            own = hashes.len();
            part = begin(at);
        }
        let len = window.message_len(|data| {
            let hash = xxh64(data, 0);
            hashes.push(hash);
            hash
        });
        part.windows += 1;
        part.len += field_len(len);
        part.data_len += window.data_len();
    }
    out(part, own..hashes.len());
}

/// Writes the message of a part; `hashes` gives those of its chunks in turn.
pub(super) fn write(
    batch: &SeriesBatch,
    part: &Part,
    hashes: &mut impl Iterator<Item = u64>,
    out: &mut impl BufMut,
) {
    let Some(series) = batch.get(part.series as usize) else { return };
    for label in series.labels().iter() {
        out.put_u8(bytes_tag(1));
        encode_varint((string_len(label.name) + string_len(label.value)) as u64, out);
        bytes(1, label.name, out);
        bytes(2, label.value, out);
    }
    let all = Windows { series, at: part.chunk };
    let mut small = Small::default();
    for window in all.take(part.windows as usize) {
        let mut own = [0; SLOTS];
        let mut taken = 0;
        let len = window.message_len(|_| {
            own[taken] = hashes.next().unwrap_or_default();
            taken += 1;
            own[taken - 1]
        });
        small.field(bytes_tag(2), len as u64);
        small.number(1, window.interval.mint as u64);
        small.number(2, window.interval.maxt as u64);
        for ((n, chunk), hash) in window.taken().zip(own) {
            let data = chunk.data();
            small.field(bytes_tag(n), chunk_len(chunk, data, hash) as u64);
            small.number(1, encoding(chunk.meta.encoding).unwrap_or_default().into());
            if !data.is_empty() {
                small.field(bytes_tag(2), data.len() as u64);
                small.flush(out);
                out.put_slice(data);
            }
            small.number(3, hash);
        }
        small.flush(out);
    }
}

/// Tags and numbers between chunk data, collected so that they go out as one piece.
struct Small {
    bytes: [u8; SMALL_BYTES],
    len: usize,
}

/// Most bytes of a tag and a number.
const FIELD_BYTES: usize = 11;
/// Room for what stands in front of the data of a window's chunks: three fields of the window, and four
/// fields for each slot if none has data.
const SMALL_BYTES: usize = FIELD_BYTES * (3 + 4 * SLOTS);

impl Default for Small {
    fn default() -> Self {
        Self { bytes: [0; SMALL_BYTES], len: 0 }
    }
}

impl Small {
    #[inline]
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    #[inline]
    fn field(&mut self, tag: u8, mut v: u64) {
        self.push(tag);
        while v >= 0x80 {
            self.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.push(v as u8);
    }

    /// A number; zero is left out.
    #[inline]
    fn number(&mut self, n: u8, v: u64) {
        if v != 0 {
            self.field(number_tag(n), v);
        }
    }

    #[inline]
    fn flush(&mut self, out: &mut impl BufMut) {
        out.put_slice(self.bytes.get(..self.len).unwrap_or_default());
        self.len = 0;
    }
}

/// A string or bytes; what is empty is left out.
#[inline]
fn bytes(n: u8, s: &[u8], out: &mut impl BufMut) {
    if !s.is_empty() {
        out.put_u8(bytes_tag(n));
        encode_varint(s.len() as u64, out);
        out.put_slice(s);
    }
}

/// Writes the tag and length of a message.
pub(super) fn head(n: u8, len: usize, out: &mut impl BufMut) {
    out.put_u8(bytes_tag(n));
    encode_varint(len as u64, out);
}

/// Bytes of a tag and a length.
pub(super) fn head_len(len: usize) -> usize {
    1 + varint_len(len as u64)
}
