//! Series of a block that is being written, kept in a file until its strings are known.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::spill_symbols::{SYMBOLS_BYTES_MAX, SymbolSpill};
use crate::{
    encoding::{Take, put_uvarint, put_varint},
    error::{Error, Result, cannot_write},
    index::{ChunkRef, IndexChunk, IndexWriter},
    model::{Interval, LabelsRef},
};

/// Bytes that the file is written and read by.
const BUFFER_BYTES: usize = 256 << 10;

/// Series with strings numbered as they came.
///
/// **Layout** of the file, for each series: its length BE32, then as uvarint the number of
/// labels and for each the numbers of name and value, the number of chunks and for each its
/// first time (varint), its length in time and its reference.
#[derive(Debug)]
pub(super) struct Spill {
    path: PathBuf,
    file: BufWriter<File>,
    symbols: SymbolSpill,
    series: u64,
    buf: Vec<u8>,
}

impl Spill {
    /// Begins an empty file.
    pub(super) fn new(path: &Path) -> Result<Self> {
        let open = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = BufWriter::with_capacity(BUFFER_BYTES, open.map_err(cannot_write(path))?);
        let symbols = SymbolSpill::new(path.with_extension("symbols"), SYMBOLS_BYTES_MAX);
        Ok(Self { path: path.to_owned(), file, symbols, series: 0, buf: Vec::new() })
    }

    /// The number of a string, which gets one now if it has none.
    pub(super) fn symbol(&mut self, string: &[u8]) -> Result<u32> {
        self.symbols.number(string)
    }

    /// Adds a series.
    pub(super) fn add(&mut self, labels: LabelsRef<'_>, chunks: &[IndexChunk]) -> Result<()> {
        let mut buf = std::mem::take(&mut self.buf);
        buf.clear();
        buf.extend_from_slice(&[0; 4]);
        put_uvarint(&mut buf, labels.iter().count() as u64);
        for label in labels.iter() {
            put_uvarint(&mut buf, u64::from(self.symbol(label.name)?));
            put_uvarint(&mut buf, u64::from(self.symbol(label.value)?));
        }
        put_uvarint(&mut buf, chunks.len() as u64);
        for chunk in chunks {
            let Interval { mint, maxt } = chunk.interval;
            put_varint(&mut buf, mint);
            put_uvarint(&mut buf, maxt.wrapping_sub(mint) as u64);
            put_uvarint(&mut buf, chunk.reference.0);
        }
        let len = u32::try_from(buf.len() - 4).map_err(|_| Error::limit("series exceeds 4 GiB"))?;
        if let Some(field) = buf.first_chunk_mut() {
            *field = len.to_be_bytes();
        }
        self.file.write_all(&buf).map_err(cannot_write(&self.path))?;
        self.series += 1;
        self.buf = buf;
        Ok(())
    }

    /// Writes the index of all series into an empty file and gives it back.
    pub(super) fn write_index(self, file: File) -> Result<File> {
        let unreadable = |e| Error::unavailable(format!("cannot read {}: {e}", self.path.display()));
        let mut symbols = self.symbols.finish()?;
        let mut index = IndexWriter::with_sorted_symbols(file, symbols.by_ref())?;
        let numbers = symbols.into_places();
        let mut spilled = self.file.into_inner().map_err(|e| cannot_write(&self.path)(e.into_error()))?;
        spilled.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let mut spilled = BufReader::with_capacity(BUFFER_BYTES, spilled);
        let (mut buf, mut labels, mut chunks) = (self.buf, Vec::new(), Vec::new());
        for _ in 0..self.series {
            let mut len = [0; 4];
            spilled.read_exact(&mut len).map_err(unreadable)?;
            buf.resize(u32::from_be_bytes(len) as usize, 0);
            spilled.read_exact(&mut buf).map_err(unreadable)?;
            decode(&buf, &numbers, &mut labels, &mut chunks)?;
            index.add_resolved(&labels, &chunks)?;
        }
        index.finish()
    }
}

/// Reads a series again, with its strings numbered in byte order.
fn decode(
    bytes: &[u8],
    numbers: &[u32],
    labels: &mut Vec<(u32, u32)>,
    chunks: &mut Vec<IndexChunk>,
) -> Result<()> {
    labels.clear();
    chunks.clear();
    let mut take = Take::new(bytes);
    for _ in 0..take.uvarint()? {
        let (name, value) = (take.uvarint()? as usize, take.uvarint()? as usize);
        let (Some(name), Some(value)) = (numbers.get(name), numbers.get(value)) else {
            return Err(Error::internal("a series names a string that was not given"));
        };
        labels.push((*name, *value));
    }
    for _ in 0..take.uvarint()? {
        let mint = take.varint()?;
        let maxt = mint.wrapping_add(take.uvarint()? as i64);
        chunks.push(IndexChunk { interval: Interval::new(mint, maxt), reference: ChunkRef(take.uvarint()?) });
    }
    Ok(())
}
