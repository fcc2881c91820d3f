//! Strings that come in any order, numbered as they come and sorted at the end.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    fs::File,
    io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::error::{Error, Result, cannot_write};

/// Memory of the strings that are held before they go to a file.
pub(super) const SYMBOLS_BYTES_MAX: usize = 64 << 20;
/// Memory of a string beside its bytes, about.
const ENTRY_BYTES: usize = 64;
/// Bytes of each sorted run that are read at a time.
const RUN_READ_BYTES: usize = 64 << 10;

/// Strings with their numbers; a string that went to the file and comes again gets another.
///
/// **Layout** of the file: sorted runs of strings, each string as its number BE32, its length
/// BE32, its bytes.
#[derive(Debug)]
pub(super) struct SymbolSpill {
    path: PathBuf,
    held: HashMap<Box<[u8]>, u32>,
    held_bytes: usize,
    held_max: usize,
    count: u32,
    file: Option<BufWriter<File>>,
    written: u64,
    /// Where runs end in the file.
    runs: Vec<u64>,
}

impl SymbolSpill {
    /// No strings; at most about `held_max` bytes are held before the file at `path` is used.
    pub(super) fn new(path: PathBuf, held_max: usize) -> Self {
        let held = HashMap::new();
        Self { path, held, held_bytes: 0, held_max, count: 0, file: None, written: 0, runs: Vec::new() }
    }

    /// The number of a string.
    pub(super) fn number(&mut self, string: &[u8]) -> Result<u32> {
        if let Some(i) = self.held.get(string) {
            return Ok(*i);
        }
        if self.held_bytes > self.held_max {
            self.spill()?;
        }
        let i = self.count;
        self.count = i.checked_add(1).ok_or_else(|| Error::limit("more than 2^32 symbols"))?;
        self.held_bytes += string.len() + ENTRY_BYTES;
        self.held.insert(string.into(), i);
        Ok(i)
    }

    fn sorted(&mut self) -> Vec<(Box<[u8]>, u32)> {
        let mut sorted: Vec<_> = std::mem::take(&mut self.held).into_iter().collect();
        sorted.sort_unstable();
        self.held_bytes = 0;
        sorted
    }

    /// Writes what is held as a sorted run.
    fn spill(&mut self) -> Result<()> {
        let sorted = self.sorted();
        let failed = cannot_write(&self.path);
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let open =
                    File::options().read(true).write(true).create(true).truncate(true).open(&self.path);
                none.insert(BufWriter::new(open.map_err(&failed)?))
            }
        };
        for (string, i) in sorted {
            let len = u32::try_from(string.len()).map_err(|_| Error::limit("symbol exceeds 4 GiB"))?;
            file.write_all(&i.to_be_bytes()).map_err(&failed)?;
            file.write_all(&len.to_be_bytes()).map_err(&failed)?;
            file.write_all(&string).map_err(&failed)?;
            self.written += 8 + string.len() as u64;
        }
        self.runs.push(self.written);
        Ok(())
    }

    /// All strings in order, some more than once.
    pub(super) fn finish(mut self) -> Result<Sorted> {
        let held = self.sorted();
        let mut sorted = Sorted {
            places: vec![0; self.count as usize],
            runs: vec![Run::Held(held.into_iter())],
            heads: BinaryHeap::new(),
            last: Vec::new(),
            place: 0,
        };
        if let Some(mut file) = self.file {
            file.flush().map_err(cannot_write(&self.path))?;
            let mut start = 0;
            for end in self.runs {
                sorted.runs.push(Run::open(&self.path, start, end - start)?);
                start = end;
            }
        }
        for i in 0..sorted.runs.len() {
            sorted.advance(i)?;
        }
        Ok(sorted)
    }
}

/// A sorted run.
enum Run {
    Held(std::vec::IntoIter<(Box<[u8]>, u32)>),
    File(std::io::Take<BufReader<File>>, PathBuf),
}

impl Run {
    fn open(path: &Path, start: u64, len: u64) -> Result<Self> {
        let unreadable = |e| Error::unavailable(format!("cannot read {}: {e}", path.display()));
        let mut file = File::open(path).map_err(unreadable)?;
        file.seek(SeekFrom::Start(start)).map_err(unreadable)?;
        Ok(Run::File(BufReader::with_capacity(RUN_READ_BYTES, file).take(len), path.to_owned()))
    }

    fn next(&mut self) -> Result<Option<(Box<[u8]>, u32)>> {
        let (file, path) = match self {
            Run::Held(held) => return Ok(held.next()),
            Run::File(file, path) => (file, path),
        };
        if file.limit() == 0 {
            return Ok(None);
        }
        let mut read = |bytes: &mut [u8]| {
            let failed = |e| Error::unavailable(format!("cannot read {}: {e}", path.display()));
            file.read_exact(bytes).map_err(failed)
        };
        let (mut number, mut len) = ([0; 4], [0; 4]);
        read(&mut number)?;
        read(&mut len)?;
        let mut string = vec![0; u32::from_be_bytes(len) as usize];
        read(&mut string)?;
        Ok(Some((string.into(), u32::from_be_bytes(number))))
    }
}

/// String, number, run; the least string comes out first.
type Head = Reverse<(Box<[u8]>, u32, usize)>;

/// Strings in order; knows afterwards which place among them each number has.
pub(super) struct Sorted {
    places: Vec<u32>,
    runs: Vec<Run>,
    /// The first string of each run.
    heads: BinaryHeap<Head>,
    last: Vec<u8>,
    place: u32,
}

impl Sorted {
    fn advance(&mut self, run: usize) -> Result<()> {
        if let Some((string, number)) = self.runs.get_mut(run).map_or(Ok(None), Run::next)? {
            self.heads.push(Reverse((string, number, run)));
        }
        Ok(())
    }

    /// The place of each number, the empty string being first whether it is used or not; valid
    /// when all strings have been taken.
    pub(super) fn into_places(self) -> Vec<u32> {
        self.places
    }
}

impl Iterator for Sorted {
    type Item = Result<Box<[u8]>>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((string, number, run)) = self.heads.pop()?;
        if let Err(e) = self.advance(run) {
            return Some(Err(e));
        }
        if *string != *self.last {
            self.place += 1;
            self.last.clear();
            self.last.extend_from_slice(&string);
        }
        if let Some(place) = self.places.get_mut(number as usize) {
            *place = self.place;
        }
        Some(Ok(string))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_sorted_and_numbers_find_their_place() {
        let dir = tempfile::tempdir().expect("a folder");
        for held_max in [usize::MAX, 1000, 0] {
            let mut spill = SymbolSpill::new(dir.path().join(format!("{held_max}")), held_max);
            let words: Vec<String> = (0..300u32).map(|i| format!("w{:03}", i * 7919 % 200)).collect();
            let numbers: Vec<u32> =
                words.iter().map(|w| spill.number(w.as_bytes()).expect("a number")).collect();
            assert_eq!(spill.runs.is_empty(), held_max == usize::MAX);
            let mut sorted = spill.finish().expect("a file");
            let mut strings: Vec<Vec<u8>> = Vec::new();
            for string in sorted.by_ref() {
                strings.push(string.expect("readable").into_vec());
            }
            assert!(strings.is_sorted());
            strings.dedup();
            assert_eq!(strings.len(), 200);
            let places = sorted.into_places();
            for (word, number) in words.iter().zip(numbers) {
                // The empty string comes first.
                let place = places[number as usize] as usize - 1;
                assert_eq!(strings[place], word.as_bytes(), "{held_max}");
            }
        }
    }
}
