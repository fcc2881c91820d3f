//! Writing the index of a block.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
};

use super::{ChunkRef, Toc, toc::encode_header};
use crate::{
    encoding::{crc32c, put_uvarint, put_varint},
    error::{Error, ErrorKind, Result},
    model::{Interval, Labels, LabelsRef},
};

/// Time and place of a chunk of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexChunk {
    /// First and last sample.
    pub interval: Interval,
    /// Where the chunk lies.
    pub reference: ChunkRef,
}

/// Writes a version 2 index: all symbols first, then series in label order.
///
/// Series go out as they come; symbols and postings are kept in memory until the end.
/// The bytes are those that Prometheus writes for the same symbols, series and chunks.
///
/// Source: Prometheus `tsdb/docs/format/index.md`, `tsdb/index/index.go`.
#[derive(Debug)]
pub struct IndexWriter<W> {
    out: W,
    pos: u64,
    symbols: HashMap<Vec<u8>, u32>,
    names: Vec<Vec<u8>>,
    /// Series of each label, by the symbols of name and value, which are in byte order.
    postings: BTreeMap<(u32, u32), Vec<u32>>,
    all: Vec<u32>,
    toc: Toc,
    last: Option<Labels>,
    last_chunk: ChunkRef,
    buf: Vec<u8>,
}

const SECTION_MAX: usize = u32::MAX as usize;

fn failed(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot write index: {e}")).with_source(e)
}

impl<W: Write> IndexWriter<W> {
    /// Writes header and symbols. `symbols` must hold every label name and value, in any
    /// order; the empty string is added.
    ///
    /// # Errors
    /// `Limit` for symbols of more than 4 GiB, `Unavailable` when writing fails.
    pub fn new<S: AsRef<[u8]>>(out: W, symbols: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut names: Vec<Vec<u8>> = symbols.into_iter().map(|s| s.as_ref().to_vec()).collect();
        names.push(Vec::new());
        names.sort_unstable();
        names.dedup();
        let mut writer = Self {
            out,
            pos: 0,
            symbols: HashMap::with_capacity(names.len()),
            names: Vec::new(),
            postings: BTreeMap::new(),
            all: Vec::new(),
            toc: Toc {
                symbols: 0,
                series: 0,
                label_indices: 0,
                label_indices_table: 0,
                postings: 0,
                postings_table: 0,
            },
            last: None,
            last_chunk: ChunkRef(0),
            buf: Vec::new(),
        };
        encode_header(&mut writer.buf);
        writer.flush()?;
        writer.toc.symbols = writer.pos;
        let mut content = Vec::new();
        content.extend_from_slice(&count(names.len())?.to_be_bytes());
        for (i, name) in names.iter().enumerate() {
            put_uvarint(&mut content, name.len() as u64);
            content.extend_from_slice(name);
            writer.symbols.insert(name.clone(), i as u32);
        }
        writer.names = names;
        writer.section(&content)?;
        writer.toc.series = writer.pos;
        Ok(writer)
    }

    /// Adds a series with its chunks; gives its number.
    ///
    /// # Errors
    /// `Invalid` for labels that do not ascend from series to series, labels whose strings
    /// are no symbols, chunks that overlap or whose references go down. `Limit` beyond the
    /// 64 GiB of an index.
    pub fn add(&mut self, labels: LabelsRef<'_>, chunks: &[IndexChunk]) -> Result<u32> {
        if self.last.as_ref().is_some_and(|l| l.view() >= labels) {
            return Err(Error::invalid(format!("series {labels} is not after the series before")));
        }
        self.pad(16)?;
        let id = u32::try_from(self.pos / 16).map_err(|_| Error::limit("index exceeds 64 GiB"))?;
        let mut content = Vec::new();
        put_uvarint(&mut content, labels.iter().count() as u64);
        for label in labels.iter() {
            let name = self.symbol(label.name)?;
            let value = self.symbol(label.value)?;
            put_uvarint(&mut content, u64::from(name));
            put_uvarint(&mut content, u64::from(value));
            self.postings.entry((name, value)).or_default().push(id);
        }
        self.encode_chunks(labels, chunks, &mut content)?;
        put_uvarint(&mut self.buf, content.len() as u64);
        self.buf.extend_from_slice(&content);
        self.buf.extend_from_slice(&crc32c(&content).to_be_bytes());
        self.flush()?;
        self.all.push(id);
        self.last = Some(labels.to_labels());
        Ok(id)
    }

    fn encode_chunks(
        &mut self,
        labels: LabelsRef<'_>,
        chunks: &[IndexChunk],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        put_uvarint(out, chunks.len() as u64);
        let mut last: Option<IndexChunk> = None;
        for c in chunks {
            let Interval { mint, maxt } = c.interval;
            let overlap = last.is_some_and(|l| mint <= l.interval.maxt);
            if maxt < mint || overlap || c.reference < self.last_chunk {
                return Err(Error::invalid(format!(
                    "chunk {} at {:#x} of series {labels} is out of order",
                    c.interval, c.reference.0
                )));
            }
            match last {
                None => put_varint(out, mint),
                Some(l) => put_uvarint(out, mint.wrapping_sub(l.interval.maxt) as u64),
            }
            put_uvarint(out, maxt.wrapping_sub(mint) as u64);
            match last {
                None => put_uvarint(out, c.reference.0),
                Some(l) => put_varint(out, c.reference.0.wrapping_sub(l.reference.0) as i64),
            }
            self.last_chunk = c.reference;
            last = Some(*c);
        }
        Ok(())
    }

    fn symbol(&self, s: &[u8]) -> Result<u32> {
        let unknown = || Error::invalid(format!("{:?} is not among the symbols", String::from_utf8_lossy(s)));
        self.symbols.get(s).copied().ok_or_else(unknown)
    }

    /// Writes postings, postings offset table and table of contents.
    ///
    /// # Errors
    /// `Limit` for a table of more than 4 GiB, `Unavailable` when writing fails.
    pub fn finish(mut self) -> Result<W> {
        self.toc.postings = self.pos;
        self.toc.label_indices = self.pos;
        let postings = std::mem::take(&mut self.postings);
        let all = std::mem::take(&mut self.all);
        let names = std::mem::take(&mut self.names);
        let name = |i: u32| names.get(i as usize).map_or(&[][..], Vec::as_slice);
        let mut table = count(postings.len() + 1)?.to_be_bytes().to_vec();
        self.pad(4)?;
        let lists = std::iter::once(((&[][..], &[][..]), &all));
        let lists = lists.chain(postings.iter().map(|((n, v), ids)| ((name(*n), name(*v)), ids)));
        for ((name, value), ids) in lists {
            put_uvarint(&mut table, 2);
            for s in [name, value] {
                put_uvarint(&mut table, s.len() as u64);
                table.extend_from_slice(s);
            }
            put_uvarint(&mut table, self.pos);
            let mut content = count(ids.len())?.to_be_bytes().to_vec();
            ids.iter().for_each(|id| content.extend_from_slice(&id.to_be_bytes()));
            self.section(&content)?;
        }
        self.toc.postings_table = self.pos;
        self.toc.label_indices_table = self.pos;
        self.section(&table)?;
        self.toc.encode(&mut self.buf);
        self.flush()?;
        self.out.flush().map_err(failed)?;
        Ok(self.out)
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.pos
    }

    /// False: a header is there from the start.
    pub fn is_empty(&self) -> bool {
        self.pos == 0
    }

    fn section(&mut self, content: &[u8]) -> Result<()> {
        if content.len() > SECTION_MAX {
            return Err(Error::limit(format!("index section of {} bytes exceeds 4 GiB", content.len())));
        }
        self.buf.extend_from_slice(&(content.len() as u32).to_be_bytes());
        self.buf.extend_from_slice(content);
        self.buf.extend_from_slice(&crc32c(content).to_be_bytes());
        self.flush()
    }

    fn pad(&mut self, to: u64) -> Result<()> {
        let n = (to - self.pos % to) % to;
        self.buf.resize(self.buf.len() + n as usize, 0);
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        self.out.write_all(&self.buf).map_err(failed)?;
        self.pos += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }
}

fn count(n: usize) -> Result<u32> {
    u32::try_from(n).map_err(|_| Error::limit(format!("index section of {n} entries exceeds 2^32")))
}
