//! The postings of an index that is being written, made from its series by bounded passes.
//!
//! The series section is read again as often as needed: each pass gathers the lists of some
//! consecutive label pairs, or writes one long list as it goes.

use std::{
    collections::BTreeMap,
    io::{Read, Seek, Write},
    ops::Range,
};

use super::{
    file::{Out, section_len},
    strings::{Strings, uvarint_len},
};
use crate::{
    encoding::{Crc32c, Take, put_uvarint},
    error::{Error, Result},
};

/// Bytes of series that are read at a time.
const READ_BYTES: usize = 256 << 10;
/// Parts into which the values of a label are divided to count their series.
const BUCKETS: usize = 4096;

/// What is known of the series when they are all written.
#[derive(Debug)]
pub(super) struct Series {
    /// The bytes of the file that hold their entries.
    pub(super) section: Range<u64>,
    /// Number of series.
    pub(super) count: u64,
    /// For each label name, by its symbol, the number of series that have it.
    pub(super) names: BTreeMap<u32, u64>,
}

/// Reads entries again, one after another.
struct Scan {
    buf: Vec<u8>,
    /// File offset of the next entry.
    at: u64,
    /// File offset of the first byte of `buf`.
    base: u64,
    end: u64,
}

impl Scan {
    fn new(section: &Range<u64>) -> Self {
        let at = section.start.next_multiple_of(16);
        Self { buf: Vec::new(), at, base: at, end: section.end }
    }

    /// Calls `f` with the number and each label of every series.
    fn each<W: Read + Write + Seek>(
        mut self,
        out: &mut Out<W>,
        mut f: impl FnMut(&mut Out<W>, u32, u32, u32) -> Result<()>,
    ) -> Result<()> {
        while self.at < self.end {
            let len = self.fill(out)?;
            let start = (self.at - self.base) as usize;
            let mut take = Take::at(self.buf.get(start..start + len).unwrap_or_default(), self.at as usize);
            take.uvarint()?;
            let id = (self.at / 16) as u32;
            for _ in 0..take.uvarint()? {
                let (name, value) = (take.uvarint()? as u32, take.uvarint()? as u32);
                f(out, id, name, value)?;
            }
            self.at = (self.at + len as u64).next_multiple_of(16);
        }
        Ok(())
    }

    /// Makes `buf` hold the next entry whole; gives its length.
    fn fill<W: Read + Write + Seek>(&mut self, out: &mut Out<W>) -> Result<usize> {
        let mut need = 16.min((self.end - self.at) as usize);
        loop {
            let start = (self.at - self.base) as usize;
            let have = self.buf.get(start..).unwrap_or_default();
            if have.len() >= need {
                let mut take = Take::new(have);
                let len = take.uvarint()? as usize;
                let all = take.taken() + len + 4;
                if have.len() >= all {
                    return Ok(all);
                }
                need = all;
            }
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            if need > left {
                return Err(Error::internal("index reads back other bytes than were written"));
            }
            self.base = self.at;
            self.buf.resize(need.max(READ_BYTES).min(left), 0);
            out.read_at(self.base, &mut self.buf)?;
        }
    }
}

/// The label pairs of the lists written so far, with the number of series of each.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// Per pair, all uvarint: symbol of the name less that of the pair before, symbol of the
    /// value (less that of the pair before when the name is the same), number of series.
    bytes: Vec<u8>,
    count: u64,
    last: (u32, u32),
}

impl Pairs {
    fn push(&mut self, name: u32, value: u32, series: u64) {
        let (last_name, last_value) = self.last;
        put_uvarint(&mut self.bytes, u64::from(name - last_name));
        let base = if name == last_name { last_value } else { 0 };
        put_uvarint(&mut self.bytes, u64::from(value - base));
        put_uvarint(&mut self.bytes, series);
        self.last = (name, value);
        self.count += 1;
    }

    /// Calls `f` with name, value and number of series of each.
    fn each(&self, mut f: impl FnMut(u32, u32, u64) -> Result<()>) -> Result<()> {
        let mut take = Take::new(&self.bytes);
        let (mut name, mut value) = (0, 0);
        while !take.is_empty() {
            let step = take.uvarint()? as u32;
            value = take.uvarint()? as u32 + if step == 0 { value } else { 0 };
            name += step;
            f(name, value, take.uvarint()?)?;
        }
        Ok(())
    }
}

/// A list that is being written.
struct List {
    left: u64,
    crc: Crc32c,
}

impl List {
    fn begin<W: Read + Write + Seek>(out: &mut Out<W>, count: u64) -> Result<Self> {
        let len = section_len(4 + 4 * count, "postings list")?;
        let count_bytes = (count as u32).to_be_bytes();
        out.put(&len.to_be_bytes())?;
        out.put(&count_bytes)?;
        let mut crc = Crc32c::default();
        crc.update(&count_bytes);
        Ok(Self { left: count, crc })
    }

    /// Appends ids, big-endian.
    fn put<W: Read + Write + Seek>(&mut self, out: &mut Out<W>, ids: &[u8]) -> Result<()> {
        self.left = self.left.wrapping_sub(ids.len() as u64 / 4);
        self.crc.update(ids);
        out.put(ids)
    }

    fn end<W: Read + Write + Seek>(self, out: &mut Out<W>) -> Result<()> {
        if self.left != 0 {
            return Err(Error::internal("index reads back another number of series than were written"));
        }
        out.put(&self.crc.sum().to_be_bytes())
    }
}

/// Writes all lists; `entries_max` pairs of a label and a series are held at most.
pub(super) fn write<W: Read + Write + Seek>(
    out: &mut Out<W>,
    series: &Series,
    symbols: u64,
    entries_max: usize,
) -> Result<Pairs> {
    let mut lists = Lists { out, series, entries_max: entries_max.max(1) as u64, pairs: Pairs::default() };
    lists.all()?;
    let mut group: Option<(u32, u64)> = None;
    for (name, count) in &series.names {
        if let Some((first, sum)) = group
            && sum + count > lists.entries_max
        {
            lists.gather(first..=name - 1, 0..=u32::MAX, sum)?;
            group = None;
        }
        if *count > lists.entries_max {
            lists.divide(*name, 0, symbols)?;
        } else {
            let (first, sum) = group.unwrap_or((*name, 0));
            group = Some((first, sum + count));
        }
    }
    if let Some((first, sum)) = group {
        lists.gather(first..=u32::MAX, 0..=u32::MAX, sum)?;
    }
    Ok(lists.pairs)
}

struct Lists<'a, W> {
    out: &'a mut Out<W>,
    series: &'a Series,
    entries_max: u64,
    pairs: Pairs,
}

impl<W: Read + Write + Seek> Lists<'_, W> {
    fn scan(&mut self, f: impl FnMut(&mut Out<W>, u32, u32, u32) -> Result<()>) -> Result<()> {
        Scan::new(&self.series.section).each(self.out, f)
    }

    /// Writes the list of all series.
    fn all(&mut self) -> Result<()> {
        let mut list = List::begin(self.out, self.series.count)?;
        let mut scan = Scan::new(&self.series.section);
        let mut ids = Ids::default();
        while scan.at < scan.end {
            let len = scan.fill(self.out)?;
            ids.push(self.out, &mut list, (scan.at / 16) as u32)?;
            scan.at = (scan.at + len as u64).next_multiple_of(16);
        }
        ids.flush(self.out, &mut list)?;
        list.end(self.out)
    }

    /// Writes the lists of consecutive pairs, `count` entries in all.
    fn gather(
        &mut self,
        names: std::ops::RangeInclusive<u32>,
        values: std::ops::RangeInclusive<u32>,
        count: u64,
    ) -> Result<()> {
        let mut entries: Vec<(u32, u32, u32)> = Vec::with_capacity(count as usize);
        self.scan(|_, id, name, value| {
            if names.contains(&name) && values.contains(&value) {
                if entries.len() as u64 == count {
                    return Err(Error::internal("index reads back more labels than were written"));
                }
                entries.push((name, value, id));
            }
            Ok(())
        })?;
        entries.sort_unstable();
        let mut ids = Ids::default();
        for pair in entries.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let Some((name, value, _)) = pair.first() else { continue };
            let mut list = List::begin(self.out, pair.len() as u64)?;
            for (_, _, id) in pair {
                ids.push(self.out, &mut list, *id)?;
            }
            ids.flush(self.out, &mut list)?;
            list.end(self.out)?;
            self.pairs.push(*name, *value, pair.len() as u64);
        }
        Ok(())
    }

    /// Writes the lists of the values from `first` up to `end` of a name that has too many
    /// entries to be held at once.
    fn divide(&mut self, name: u32, first: u64, end: u64) -> Result<()> {
        let width = (end - first).div_ceil(BUCKETS as u64).max(1);
        let mut counts = vec![0u64; BUCKETS];
        self.scan(|_, _, n, value| {
            if n == name && (first..end).contains(&u64::from(value)) {
                let bucket = (u64::from(value) - first) / width;
                if let Some(count) = counts.get_mut(bucket as usize) {
                    *count += 1;
                }
            }
            Ok(())
        })?;
        let mut group: Option<(u64, u64)> = None;
        let value = |v: u64| u32::try_from(v).unwrap_or(u32::MAX);
        for (i, count) in counts.into_iter().enumerate() {
            let at = first + i as u64 * width;
            if let Some((from, sum)) = group
                && sum + count > self.entries_max
            {
                if sum > 0 {
                    self.gather(name..=name, value(from)..=value(at - 1), sum)?;
                }
                group = None;
            }
            if count <= self.entries_max {
                let (from, sum) = group.unwrap_or((at, 0));
                group = Some((from, sum + count));
            } else if width == 1 {
                self.long(name, value(at), count)?;
            } else {
                self.divide(name, at, (at + width).min(end))?;
            }
        }
        match group {
            Some((from, sum)) if sum > 0 => self.gather(name..=name, value(from)..=value(end - 1), sum),
            _ => Ok(()),
        }
    }

    /// Writes the list of one pair without holding it.
    fn long(&mut self, name: u32, value: u32, count: u64) -> Result<()> {
        let mut list = List::begin(self.out, count)?;
        let mut ids = Ids::default();
        self.scan(
            |out, id, n, v| {
                if (n, v) == (name, value) { ids.push(out, &mut list, id) } else { Ok(()) }
            },
        )?;
        ids.flush(self.out, &mut list)?;
        list.end(self.out)?;
        self.pairs.push(name, value, count);
        Ok(())
    }
}

/// Ids gathered for a list.
#[derive(Default)]
struct Ids(Vec<u8>);

impl Ids {
    fn push<W: Read + Write + Seek>(&mut self, out: &mut Out<W>, list: &mut List, id: u32) -> Result<()> {
        self.0.extend_from_slice(&id.to_be_bytes());
        if self.0.len() >= 64 << 10 { self.flush(out, list) } else { Ok(()) }
    }

    fn flush<W: Read + Write + Seek>(&mut self, out: &mut Out<W>, list: &mut List) -> Result<()> {
        list.put(out, &self.0)?;
        self.0.clear();
        Ok(())
    }
}

/// Writes the postings offset table; the first list, that of all `series`, lies at `first`.
pub(super) fn write_table<W: Read + Write + Seek>(
    out: &mut Out<W>,
    strings: &mut Strings,
    pairs: &Pairs,
    series: u64,
    first: u64,
) -> Result<()> {
    let mut table = Table { crc: Crc32c::default(), len: 0, buf: Vec::new() };
    let count = u32::try_from(pairs.count + 1).map_err(|_| {
        Error::limit(format!("postings offset table of {} entries exceeds 2^32", pairs.count))
    })?;
    // Once to know the length, once to write.
    let mut len = 4;
    each_entry(out, strings, pairs, series, first, |_, name, value, offset| {
        let string = |s: &[u8]| uvarint_len(s.len() as u64) + s.len() as u64;
        len += 1 + string(name) + string(value) + uvarint_len(offset);
        Ok(())
    })?;
    out.put(&section_len(len, "postings offset table")?.to_be_bytes())?;
    table.put(out, |buf| buf.extend_from_slice(&count.to_be_bytes()))?;
    each_entry(out, strings, pairs, series, first, |out, name, value, offset| {
        table.put(out, |buf| {
            buf.push(2);
            for s in [name, value] {
                put_uvarint(buf, s.len() as u64);
                buf.extend_from_slice(s);
            }
            put_uvarint(buf, offset);
        })
    })?;
    debug_assert_eq!(table.len, len, "the table has the length that was computed");
    out.put(&table.crc.sum().to_be_bytes())
}

/// Calls `f` with name, value and place of every list.
fn each_entry<W: Read + Write + Seek>(
    out: &mut Out<W>,
    strings: &mut Strings,
    pairs: &Pairs,
    series: u64,
    first: u64,
    mut f: impl FnMut(&mut Out<W>, &[u8], &[u8], u64) -> Result<()>,
) -> Result<()> {
    f(out, b"", b"", first)?;
    let (mut name_of, mut name, mut value) = (None, Vec::new(), Vec::new());
    let mut offset = first + 12 + 4 * series;
    pairs.each(|name_symbol, value_symbol, count| {
        if name_of != Some(name_symbol) {
            strings.get(out, name_symbol, &mut name)?;
            name_of = Some(name_symbol);
        }
        strings.get(out, value_symbol, &mut value)?;
        f(out, &name, &value, offset)?;
        offset += 12 + 4 * count;
        Ok(())
    })
}

struct Table {
    crc: Crc32c,
    len: u64,
    buf: Vec<u8>,
}

impl Table {
    fn put<W: Read + Write + Seek>(
        &mut self,
        out: &mut Out<W>,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        self.buf.clear();
        fill(&mut self.buf);
        self.crc.update(&self.buf);
        self.len += self.buf.len() as u64;
        out.put(&self.buf)
    }
}
