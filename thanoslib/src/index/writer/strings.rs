//! The symbols of an index that is being written: in the file, with few places in memory.

use std::{
    cmp::Ordering,
    collections::HashMap,
    fmt,
    io::{Read, Seek, Write},
};

use xxhash_rust::xxh64::xxh64;

use super::file::{Out, section_len};
use crate::{
    encoding::{Crc32c, Take, put_uvarint},
    error::{Error, Result},
};

/// The place of every so many strings is held.
const STEP: usize = 32;
/// Of so many places, the first string is held too.
const GROUP: usize = 32;
/// Bytes of strings that are read at a time, at least.
const READ_BYTES: u64 = 64 << 10;
/// Strings found last that are kept.
const RECENT: u64 = 1024;

/// Ascending strings in the file, numbered from 0.
pub(super) struct Strings {
    /// The bytes of the file that hold the strings, each after its length.
    start: u64,
    end: u64,
    count: u64,
    /// Where every [`STEP`]-th string begins, from `start` on.
    places: Vec<u32>,
    /// The string at every [`GROUP`]-th place.
    firsts: Vec<Box<[u8]>>,
    /// Bytes read last, and where they lie.
    window: Vec<u8>,
    window_at: u64,
    recent: HashMap<u64, (Box<[u8]>, u32)>,
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strings").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Strings {
    /// Writes the section of symbols: the empty string, which every index has, and those
    /// given, which do not descend; repeated ones count once.
    pub(super) fn write<W: Read + Write + Seek, S: AsRef<[u8]>>(
        out: &mut Out<W>,
        symbols: impl IntoIterator<Item = Result<S>>,
    ) -> Result<Self> {
        let section = out.pos();
        // Length and number are known at the end.
        out.put(&[0; 8])?;
        let start = out.pos();
        let mut strings = Self {
            start,
            end: start,
            count: 0,
            places: Vec::new(),
            firsts: Vec::new(),
            window: Vec::new(),
            window_at: 0,
            recent: HashMap::new(),
        };
        let (mut last, mut crc, mut buf) = (Vec::new(), Crc32c::default(), Vec::new());
        strings.append(out, b"", &mut crc, &mut buf)?;
        for symbol in symbols {
            let symbol = symbol?;
            let symbol = symbol.as_ref();
            match last.as_slice().cmp(symbol) {
                Ordering::Less => {}
                Ordering::Equal => continue,
                Ordering::Greater => {
                    let show = |s: &[u8]| String::from_utf8_lossy(s).into_owned();
                    let (symbol, last) = (show(symbol), show(&last));
                    return Err(Error::invalid(format!("symbol {symbol:?} comes after {last:?}")));
                }
            }
            strings.append(out, symbol, &mut crc, &mut buf)?;
            last.clear();
            last.extend_from_slice(symbol);
        }
        let len = section_len(4 + strings.end - start, "symbols")?;
        // Every string takes a byte at least, so that their number fits when the length does.
        let count = (strings.count as u32).to_be_bytes();
        let mut sum = Crc32c::default();
        sum.update(&count);
        sum.append(&crc);
        out.put(&sum.sum().to_be_bytes())?;
        out.patch(section, &[len.to_be_bytes(), count].concat())?;
        Ok(strings)
    }

    fn append<W: Read + Write + Seek>(
        &mut self,
        out: &mut Out<W>,
        string: &[u8],
        crc: &mut Crc32c,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        let place = section_len(self.end - self.start, "symbols")?;
        if self.count.is_multiple_of(STEP as u64) {
            if self.places.len().is_multiple_of(GROUP) {
                self.firsts.push(string.into());
            }
            self.places.push(place);
        }
        buf.clear();
        put_uvarint(buf, string.len() as u64);
        buf.extend_from_slice(string);
        crc.update(buf);
        out.put(buf)?;
        self.count += 1;
        self.end += buf.len() as u64;
        Ok(())
    }

    /// Number of strings.
    pub(super) fn len(&self) -> u64 {
        self.count
    }

    /// Offset of a place; the end behind the last one.
    fn place(&self, i: usize) -> u64 {
        self.places.get(i).map_or(self.end, |p| self.start + u64::from(*p))
    }

    /// The bytes of the file from `from` to `to`.
    fn read<W: Read + Write + Seek>(&mut self, out: &mut Out<W>, from: u64, to: u64) -> Result<&[u8]> {
        let window_end = self.window_at + self.window.len() as u64;
        if from < self.window_at || to > window_end {
            let len = (to - from).max(READ_BYTES.min(self.end - from));
            self.window.resize(len as usize, 0);
            self.window_at = from;
            out.read_at(from, &mut self.window)?;
        }
        let (from, to) = ((from - self.window_at) as usize, (to - self.window_at) as usize);
        self.window.get(from..to).ok_or_else(|| Error::internal("a place of symbols is out of range"))
    }

    /// Puts string number `i` into `string`.
    pub(super) fn get<W: Read + Write + Seek>(
        &mut self,
        out: &mut Out<W>,
        i: u32,
        string: &mut Vec<u8>,
    ) -> Result<()> {
        if u64::from(i) >= self.count {
            return Err(Error::internal(format!("there is no symbol {i}")));
        }
        let place = i as usize / STEP;
        let mut take = Take::new(self.read(out, self.place(place), self.place(place + 1))?);
        for _ in 0..i as usize % STEP {
            take.str()?;
        }
        string.clear();
        string.extend_from_slice(take.str()?);
        Ok(())
    }

    /// The number of a string.
    pub(super) fn find<W: Read + Write + Seek>(
        &mut self,
        out: &mut Out<W>,
        string: &[u8],
    ) -> Result<Option<u32>> {
        let slot = xxh64(string, 0) % RECENT;
        if let Some((recent, i)) = self.recent.get(&slot)
            && **recent == *string
        {
            return Ok(Some(*i));
        }
        let found = self.search(out, string)?;
        if let Some(i) = found {
            self.recent.insert(slot, (string.into(), i));
        }
        Ok(found)
    }

    fn search<W: Read + Write + Seek>(&mut self, out: &mut Out<W>, string: &[u8]) -> Result<Option<u32>> {
        let Some(group) = self.firsts.partition_point(|f| **f <= *string).checked_sub(1) else {
            return Ok(None);
        };
        let first = group * GROUP;
        let last = (first + GROUP).min(self.places.len());
        let (from, to) = (self.place(first), self.place(last));
        let base = (from - self.start) as u32;
        // The places inside of the group, from its first byte on.
        let places: [u32; GROUP] =
            std::array::from_fn(|i| self.places.get(first + i).map_or(0, |p| p - base));
        let bytes = self.read(out, from, to)?;
        let rest = |place: u32| bytes.get(place as usize..).unwrap_or_default();
        let places = places.get(..last - first).unwrap_or_default();
        let before = |place: &u32| Take::new(rest(*place)).str().is_ok_and(|s| s <= string);
        let Some(step) = places.partition_point(before).checked_sub(1) else { return Ok(None) };
        let mut take = Take::new(rest(places.get(step).copied().unwrap_or_default()));
        for i in 0..STEP {
            if take.is_empty() {
                break;
            }
            match take.str()?.cmp(string) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some(((first + step) * STEP + i) as u32)),
                Ordering::Greater => break,
            }
        }
        Ok(None)
    }
}

/// Bytes of a number as uvarint.
pub(super) fn uvarint_len(x: u64) -> u64 {
    u64::from((64 - (x | 1).leading_zeros()).div_ceil(7))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::index::{Symbols, Version};

    #[test]
    fn strings_are_found_by_number_and_text() {
        let mut names: Vec<String> = (0..5000).map(|i| format!("instance-{:05}.example", i * 7)).collect();
        names.extend(["", "a", "instance", "instance-", "zz"].map(str::to_owned));
        names.push("y".repeat(100_000));
        names.sort_unstable();
        let mut out = Out::new(Cursor::new(Vec::new()));
        out.put(b"12345").expect("memory");
        let twice = names.iter().flat_map(|n| [Ok(n), Ok(n)]);
        let mut strings = Strings::write(&mut out, twice).expect("ascending");
        assert_eq!((strings.len(), strings.places.len(), strings.firsts.len()), (5006, 157, 5));
        let mut string = Vec::new();
        for _ in 0..2 {
            for (i, name) in names.iter().enumerate() {
                strings.get(&mut out, i as u32, &mut string).expect("there");
                assert_eq!(string, name.as_bytes());
                assert_eq!(strings.find(&mut out, name.as_bytes()).expect("whole"), Some(i as u32));
            }
        }
        for absent in ["0", "instance-00001", "instance-9", "yy", "zzz"] {
            assert_eq!(strings.find(&mut out, absent.as_bytes()).expect("whole"), None, "{absent}");
        }
        assert!(strings.get(&mut out, names.len() as u32, &mut string).is_err());
        let bytes = out.finish().expect("memory").into_inner();
        let section = bytes::Bytes::from(bytes).slice(5..);
        let symbols = Symbols::parse(&section, Version::V2, 5).expect("a section");
        assert!(symbols.iter().eq(names.iter().map(String::as_bytes)));
    }

    #[test]
    fn lengths_of_numbers() {
        for (x, want) in [(0, 1), (127, 1), (128, 2), (16383, 2), (16384, 3), (u64::MAX, 10)] {
            assert_eq!(uvarint_len(x), want, "{x}");
        }
    }
}
