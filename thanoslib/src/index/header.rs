//! The index-header: what a gateway keeps of an index that lies in a bucket.
//!
//! The copied table ends with the table of contents of the index, so that series and postings are
//! found by their place in the index. The layout is with [`IndexHeader`].

use std::ops::Range;

use bytes::Bytes;

use super::{HEADER_LEN, Index, ListRef, Toc, Version, parse_header};
use crate::{
    encoding::{Take, crc32c},
    error::DecodeError,
};

const MAGIC: u32 = 0xbaaa_d792;
const START_LEN: usize = 14;
const END_LEN: usize = 20;

/// Places that are held of symbols and postings table by default: every 32nd.
pub const INDEX_HEADER_SAMPLING: usize = 32;

/// Which bytes of an index make its header.
///
/// Made from the ends of the index; then the bytes of [`symbols`](Self::symbols) and
/// [`table`](Self::table) are put between [`start`](Self::start) and [`end`](Self::end).
///
/// ```
/// use std::io::Cursor;
/// use thanoslib::index::{INDEX_HEADER_SAMPLING, IndexHeader, IndexHeaderPlan, IndexWriter};
/// let index = IndexWriter::new(Cursor::new(Vec::new()), ["job", "api"])?.finish()?.into_inner();
/// let plan = IndexHeaderPlan::new(&index[..5], &index[index.len() - 52..], index.len() as u64)?;
/// let part = |range: std::ops::Range<u64>| &index[range.start as usize..range.end as usize];
/// let header = plan.assemble(part(plan.symbols()), part(plan.table()))?;
/// let header = IndexHeader::parse(&header.into(), INDEX_HEADER_SAMPLING)?;
/// assert_eq!(header.symbol(1), Some(&b"api"[..]));
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexHeaderPlan {
    version: Version,
    toc: Toc,
    index_len: u64,
}

impl IndexHeaderPlan {
    /// Plans from the first and last bytes of an index of `index_len` bytes: at least 5 and
    /// 52 of them.
    ///
    /// # Errors
    /// Anything wrong with header and table of contents of the index.
    pub fn new(head: &[u8], tail: &[u8], index_len: u64) -> Result<Self, DecodeError> {
        let version = parse_header(head)?;
        let toc = tail.len().checked_sub(Toc::LEN).and_then(|n| tail.get(n..)).unwrap_or_default();
        if index_len < (HEADER_LEN + Toc::LEN) as u64 {
            return Err(DecodeError::new("index is too short", index_len as usize));
        }
        Ok(Self { version, toc: Toc::parse(toc, index_len)?, index_len })
    }

    /// Format version of the index.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where the sections of the index begin.
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// The bytes of the index that hold its symbols.
    pub fn symbols(&self) -> Range<u64> {
        Index::symbols_range(&self.toc)
    }

    /// The bytes of the index from its postings offset table to its end.
    pub fn table(&self) -> Range<u64> {
        self.toc.postings_table..self.index_len
    }

    /// What comes before the symbols.
    pub fn start(&self) -> [u8; START_LEN] {
        let mut out = [0; START_LEN];
        let (magic, rest) = out.split_at_mut(4);
        magic.copy_from_slice(&MAGIC.to_be_bytes());
        let (versions, table) = rest.split_at_mut(2);
        versions.copy_from_slice(&[1, self.version.number()]);
        table.copy_from_slice(&self.toc.postings_table.to_be_bytes());
        out
    }

    /// What comes after the table.
    pub fn end(&self) -> [u8; END_LEN] {
        let symbols = self.symbols();
        let table = START_LEN as u64 + (symbols.end - symbols.start);
        let mut out = [0; END_LEN];
        let (body, crc) = out.split_at_mut(16);
        body.copy_from_slice(&(u128::from(START_LEN as u64) << 64 | u128::from(table)).to_be_bytes());
        crc.copy_from_slice(&crc32c(body).to_be_bytes());
        out
    }

    /// Length of the whole header.
    pub fn header_len(&self) -> u64 {
        let len = |r: Range<u64>| r.end - r.start;
        (START_LEN + END_LEN) as u64 + len(self.symbols()) + len(self.table())
    }

    /// Puts the header together from the bytes of [`symbols`](Self::symbols) and
    /// [`table`](Self::table).
    ///
    /// # Errors
    /// Other lengths than were planned.
    pub fn assemble(&self, symbols: &[u8], table: &[u8]) -> Result<Vec<u8>, DecodeError> {
        for (bytes, range) in [(symbols, self.symbols()), (table, self.table())] {
            if bytes.len() as u64 != range.end - range.start {
                return Err(DecodeError::new("index section of another length", range.start as usize));
            }
        }
        Ok([&self.start()[..], symbols, table, &self.end()].concat())
    }
}

/// An index-header: answers where postings lie, and all about symbols, names and values.
///
/// The bytes are kept as they are, mapped as a rule; beside them lies the place of every n-th
/// symbol and of every n-th value of a label. (Of an index of version 1, whose table is not
/// sorted, lie all places of the table.)
///
/// See [`IndexHeaderPlan`].
#[doc = ""]
#[doc = include_str!("../../docs/format/index-header.md")]
#[derive(Clone, Debug)]
pub struct IndexHeader {
    index: Index,
}

impl IndexHeader {
    /// Reads a whole file and checks every sum; every `sampling`-th place is held, see
    /// [`INDEX_HEADER_SAMPLING`].
    ///
    /// # Errors
    /// Anything that is not as the layout says.
    pub fn parse(bytes: &Bytes, sampling: usize) -> Result<Self, DecodeError> {
        let mut take = Take::new(bytes);
        if take.be32()? != MAGIC {
            return Err(DecodeError::new("index-header: wrong magic number", 0));
        }
        if take.u8()? != 1 {
            return Err(DecodeError::new("index-header: unknown version", 4));
        }
        let version = match take.u8()? {
            1 => Version::V1,
            2 => Version::V2,
            _ => return Err(DecodeError::new("index-header: unknown version of the index", 5)),
        };
        let table_in_index = take.be64()?;
        let Some((rest, end)) = take.rest().split_last_chunk::<END_LEN>() else {
            return Err(take.error("unexpected end of data"));
        };
        let end_at = START_LEN + rest.len();
        let mut fields = Take::at(end, end_at);
        let body = fields.bytes(16)?;
        if fields.be32()? != crc32c(body) {
            return Err(DecodeError::new("index-header: checksum mismatch", end_at + 16));
        }
        let mut fields = Take::at(body, end_at);
        if fields.be64()? != START_LEN as u64 {
            return Err(DecodeError::new("index-header: symbols are not at their place", end_at));
        }
        let bad_table = DecodeError::new("index-header: table is not at its place", end_at + 8);
        let table_at = usize::try_from(fields.be64()?).map_err(|_| bad_table)?;
        let at = table_at.checked_sub(START_LEN).filter(|n| *n <= rest.len()).ok_or(bad_table)?;
        let (symbols, table) = rest.split_at(at);
        let index_len = table_in_index.checked_add(table.len() as u64);
        let index_len =
            index_len.ok_or(DecodeError::new("index-header: place of the table out of range", 6))?;
        let Some((table, toc)) = table.split_last_chunk::<{ Toc::LEN }>() else {
            return Err(DecodeError::new("index-header: no table of contents", table_at));
        };
        let toc = Toc::parse(toc, index_len)?;
        if toc.postings_table != table_in_index || toc.series - toc.symbols != symbols.len() as u64 {
            return Err(DecodeError::new("index-header: sections of another length", 6));
        }
        let (symbols, table) = (bytes.slice_ref(symbols), bytes.slice_ref(table));
        Ok(Self { index: Index::from_parts_sampled(version, toc, &symbols, &table, sampling)? })
    }

    /// The index without series and postings.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The index without series and postings.
    pub fn into_index(self) -> Index {
        self.index
    }

    /// Format version of the index: 1 or 2.
    pub fn index_version(&self) -> u8 {
        self.index.version.number()
    }

    /// The bytes of the index that hold number and ids of the list of a pair: without its
    /// length before and its checksum behind. `None` when no series has the pair.
    pub fn postings_range(&self, name: &[u8], value: &[u8]) -> Option<Range<u64>> {
        self.index.table.find(name, value).map(ids_of)
    }

    /// The same for several values of a label, in the order asked: `None` for a value that no
    /// series has; nothing at all for an unknown label.
    pub fn postings_ranges<'a>(
        &'a self,
        name: &'a [u8],
        values: impl IntoIterator<Item = &'a [u8], IntoIter: 'a>,
    ) -> impl Iterator<Item = Option<Range<u64>>> + 'a {
        let known = self.index.table.values(name).next().is_some();
        values.into_iter().take_while(move |_| known).map(|value| self.postings_range(name, value))
    }

    /// The string that a series entry calls `reference`.
    pub fn symbol(&self, reference: u32) -> Option<&[u8]> {
        self.index.symbols.get(reference)
    }

    /// Label names in order.
    pub fn label_names(&self) -> impl Iterator<Item = &[u8]> {
        self.index.table.names()
    }

    /// Values of a label in order; none for an unknown one.
    pub fn label_values(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.index.table.values(name).map(|(value, _)| value)
    }

    /// Bytes held in memory beside those of the file.
    pub fn held_bytes(&self) -> usize {
        self.index.held_bytes()
    }
}

fn ids_of(list: ListRef) -> Range<u64> {
    list.start + 4..list.end.saturating_sub(4).max(list.start + 4)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::{index::IndexWriter, model::Labels};

    /// The header of an index with so many values of one label.
    fn header(values: usize) -> Bytes {
        let series: Vec<Labels> =
            (0..values).map(|i| Labels::from_pairs([("a", format!("{i:05}"))])).collect();
        let symbols = series.iter().flat_map(|l| l.iter().flat_map(|l| [l.name.to_vec(), l.value.to_vec()]));
        let mut writer =
            IndexWriter::new(Cursor::new(Vec::new()), symbols.collect::<Vec<_>>()).expect("memory");
        for labels in &series {
            writer.add(labels.view(), &[]).expect("ascending");
        }
        let index = writer.finish().expect("memory").into_inner();
        let plan = IndexHeaderPlan::new(&index, &index, index.len() as u64).expect("an index");
        let part = |r: Range<u64>| &index[r.start as usize..r.end as usize];
        let header = plan.assemble(part(plan.symbols()), part(plan.table())).expect("its parts");
        assert_eq!(header.len() as u64, plan.header_len());
        assert!(plan.assemble(part(plan.table()), part(plan.symbols())).is_err());
        header.into()
    }

    #[test]
    fn memory_is_divided_by_the_sampling_rate() {
        let bytes = header(10_000);
        let whole = IndexHeader::parse(&bytes, 1).expect("a header");
        for rate in [2, 32, 100] {
            let sampled = IndexHeader::parse(&bytes, rate).expect("a header");
            let (held, all) = (sampled.held_bytes(), whole.held_bytes());
            assert!(
                held * rate <= all + rate * 40 && held * rate + 40 >= all,
                "{held} of {all} bytes at {rate}"
            );
            for i in (0..10_000).step_by(77) {
                let value = format!("{i:05}");
                let range = sampled.postings_range(b"a", value.as_bytes());
                assert!(range.is_some() && range == whole.postings_range(b"a", value.as_bytes()));
            }
            let asked = ["00000", "x", "09999"].map(str::as_bytes);
            let found: Vec<_> = sampled.postings_ranges(b"a", asked).map(|r| r.is_some()).collect();
            assert_eq!(found, [true, false, true]);
            assert_eq!(sampled.postings_ranges(b"b", asked).count(), 0);
            assert_eq!(sampled.label_values(b"a").count(), 10_000);
        }
    }

    #[test]
    fn damage_of_any_byte_is_noticed() {
        let bytes = header(3);
        IndexHeader::parse(&bytes, 32).expect("a header");
        for at in 0..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[at] ^= 1;
            assert!(IndexHeader::parse(&bad.into(), 32).is_err(), "byte {at}");
            assert!(IndexHeader::parse(&bytes.slice(..at), 32).is_err(), "{at} bytes");
        }
    }
}
